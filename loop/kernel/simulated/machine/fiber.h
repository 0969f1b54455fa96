/* SPDX-License-Identifier: ISC
 *
 * Fibers and the scheduler, for the files of this folder: stacks, contexts, and what a world knows of them.
 *
 * The scheduler runs on the stack of the caller of loop_sim_world_run. In an implicit world it runs on the caller's
 * stack as well, which is at the same time that of the first fiber: there it is called when that fiber waits, and
 * returns when that fiber is to run.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_FIBER_H
#define LOOP_KERNEL_SIMULATED_MACHINE_FIBER_H

#include <loop/kernel/simulated/machine/machine.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

/* ---- stacks and contexts ---- */

/* A stack, below it a page that must not be touched. */
struct loop_sim_stack {
    char *bottom; /* NULL: none */
    size_t size;
};

/* Returns a stack, of those that have been given back or a new one. */
struct loop_sim_stack loop_sim_stack_get(void);

/* Gives a stack back, on which nothing runs any more. Harmless for none. */
void loop_sim_stack_put(struct loop_sim_stack *stack);

/* What is kept of something that runs on a stack of its own, while another runs. */
struct loop_sim_context {
#if defined(__x86_64__)
    void *pointer; /* the stack pointer */
#else
    ucontext_t context;
#endif
    struct loop_sim_context *from; /* which context has switched to this one */
    /* For the sanitizers. */
    const void *bottom;
    size_t size;
    void *fake_stack;
    void *thread;
    bool is_over;    /* it will not run again */
    bool must_leave; /* when it runs again it is only to end */
};

/* Makes a context that calls entry() on a stack when it is switched to for the first time. */
void loop_sim_context_make(struct loop_sim_context *context, const struct loop_sim_stack *stack, void (*entry)(void));

/* Keeps the running context in `from`, and runs `to`. Returns when something switches to `from`. */
void loop_sim_context_switch(struct loop_sim_context *from, struct loop_sim_context *to);

/* Called first in entry(): the context that runs. */
void loop_sim_context_entered(struct loop_sim_context *context);

/* Frees what the sanitizers keep of a context that will not run again, or has never run. */
void loop_sim_context_destroy(struct loop_sim_context *context);

/* ---- fibers ---- */

enum loop_sim_fiber_state {
    LOOP_SIM_FIBER_READY,
    LOOP_SIM_FIBER_RUNNING,
    LOOP_SIM_FIBER_WAITING,
    LOOP_SIM_FIBER_ENDED
};

/* The waiter of a fiber in one queue. */
struct loop_sim_fiber_waiter {
    struct loop_sim_waiter waiter;
    struct loop_sim_fiber *fiber;
};

enum { LOOP_SIM_FEW_QUEUES = 4, LOOP_SIM_THREAD_NAME_SIZE = 16 };

struct loop_sim_fiber {
    struct loop_list link;  /* in the node */
    struct loop_list ready; /* in the machine's list, or in that of a paused node */
    struct loop_sim_node *node;
    uint64_t number; /* from 1, of this world */
    enum loop_sim_fiber_state state;
    bool is_first;    /* of its node: when it returns the node has ended */
    bool is_detached; /* it is freed when it ends */
    bool is_joined;   /* by a fiber that waits for its end, and then frees it */
    char name[LOOP_SIM_THREAD_NAME_SIZE];

    void *(*run)(void *arg);
    void *arg, *result;
    struct loop_sim_stack stack;
    struct loop_sim_context context;
    int saved_errno;
    void *locals; /* its thread-local variables while another fiber has theirs */

    /* While it waits. */
    struct loop_sim_fiber_waiter few[LOOP_SIM_FEW_QUEUES], *waiters;
    size_t n_waiters;
    bool may_be_interrupted;
    int wait_result;
    struct loop_sim_event timeout;

    struct loop_list holds;
    struct loop_sim_fiber_signals signals;
    struct loop_sim_queue ended; /* those who join it */
    unsigned calls;              /* since it has waited last, of those that are counted */
};

/* Makes the stack of the caller the first fiber of a node. */
struct loop_sim_fiber *loop_sim_fiber_adopt(struct loop_sim_node *node);

/* Ends a fiber that is not running: it is in no queue any more, and its stack is given back. */
void loop_sim_fiber_stop(struct loop_sim_fiber *fiber);

/* Frees a fiber that has been stopped. */
void loop_sim_fiber_free(struct loop_sim_fiber *fiber);

/* Lets a waiting fiber run again, with this as the result of its wait. */
void loop_sim_fiber_ready(struct loop_sim_fiber *fiber, int result);

/* ---- static variables of threads and processes ---- */

/* Returns memory for those of a thread or a process, which begin as zeros. */
void *loop_sim_locals_create(bool of_process);

/* Returns a copy of the present ones, or sets them and frees the copy. */
void *loop_sim_locals_save(bool of_process);
void loop_sim_locals_restore(bool of_process, void *saved);

/* Makes those of the fiber and of its node the present ones. */
void loop_sim_locals_switch(struct loop_sim_machine *machine, struct loop_sim_fiber *fiber);

/* ---- the scheduler ---- */

struct loop_sim_machine {
    struct loop_sim_context scheduler;
    struct loop_sim_fiber *running;   /* NULL: the scheduler runs, or an event happens */
    struct loop_sim_fiber *caller;    /* of an implicit world: the fiber that is the caller's stack */
    struct loop_sim_fiber *locals_of; /* whose thread-local variables are the present ones; NULL: of none */
    struct loop_sim_node *process_locals_of;
    struct loop_list ready;
    unsigned n_ready;
    uint64_t n_fibers; /* created so far */
    bool must_stop;
    int64_t steps_ns; /* the time of the steps that are counted in n_steps */
    unsigned n_steps; /* at one time */

    struct loop_sim_event **heap; /* from 1 */
    size_t n_events, heap_size;
    uint64_t n_events_set; /* so far */

    /* What programs have allocated through the door. */
    struct loop_sim_block *blocks; /* a hash table; of all nodes */
    size_t n_blocks, blocks_size;
    struct loop_list mappings; /* of all nodes */
    size_t memory_bytes;       /* outside of any node */

    struct loop_sim_world *outer; /* which was the thread's before */
    void *outer_locals, *outer_process_locals;
};

/* Runs fibers and events. Returns why it has stopped; LOOP_SIM_STOP_REQUESTED also when `until` is to run. */
enum loop_sim_stop loop_sim_schedule(struct loop_sim_world *world, struct loop_sim_fiber *until);

/* Leaves the running fiber. Returns when it runs again; never when it has ended or its node has crashed. */
void loop_sim_leave(struct loop_sim_fiber *fiber);

/* ---- events ---- */

/* Returns when the next event is due, or LOOP_SIM_NEVER. */
int64_t loop_sim_event_next_ns(const struct loop_sim_world *world);

/* Lets one of the events happen that are due first, and moves time there. There must be one. */
void loop_sim_event_happen(struct loop_sim_world *world);

/* ---- nodes ---- */

/* Begins a node, with the caller's stack as its first fiber. */
void loop_sim_node_adopt(struct loop_sim_node *node);

/* Ends a node none of whose fibers runs. */
void loop_sim_node_stop(struct loop_sim_node *node, bool has_crashed);

/* Frees a node, which ends before if it runs. */
void loop_sim_node_destroy(struct loop_sim_node *node);

/* Calls these functions of the parts. */
void loop_sim_parts_world_created(struct loop_sim_world *world);
void loop_sim_parts_world_destroyed(struct loop_sim_world *world);

/* Frees what a node keeps of mutexes, conditions and calls made once. */
void loop_sim_threads_clear(struct loop_sim_node *node);

/* ---- memory ---- */

/* Frees all that a node has allocated through the door; of no node where it is NULL. */
void loop_sim_memory_clear(struct loop_sim_world *world, struct loop_sim_node *node);

/* Frees the table itself. */
void loop_sim_memory_destroy(struct loop_sim_world *world);

/* ---- of the world ---- */

void loop_sim_choices_create(struct loop_sim_world *world);
void loop_sim_choices_destroy(struct loop_sim_world *world);
void loop_sim_trace_destroy(struct loop_sim_world *world);

#endif
