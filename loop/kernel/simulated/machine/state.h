/* SPDX-License-Identifier: ISC
 *
 * What a world knows of its fibers, events and programs' memory, for the files of this folder.
 *
 * The scheduler runs on the stack of the caller of loop_sim_world_run. In an implicit world it runs on the caller's
 * stack as well, which is at the same time that of the first fiber: there it is called when that fiber waits, and
 * returns when that fiber is to run.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_STATE_H
#define LOOP_KERNEL_SIMULATED_MACHINE_STATE_H

#include <loop/kernel/simulated/machine/context.h>
#include <loop/kernel/simulated/machine/machine.h>

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

/* ---- the machine ---- */

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
    bool is_ending;                /* the world is being destroyed */
    struct loop_sim_block *blocks; /* a hash table; of all nodes */
    size_t n_blocks, blocks_size;
    struct loop_list mappings; /* of all nodes */
    size_t memory_bytes;       /* outside of any node */

    struct loop_sim_world *outer; /* which was the thread's before */
    void *outer_locals, *outer_process_locals;
};

#endif
