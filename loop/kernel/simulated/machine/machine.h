/* SPDX-License-Identifier: ISC
 *
 * The machine of the simulated kernel: a world with its virtual time, its nodes, and their fibers.
 *
 * The simulated kernel implements the functions of the door. A node is one simulated process: it has descriptors, a
 * disk, addresses and clocks. Its threads are fibers, each with a stack of its own; all run in the one thread that
 * created the world. A fiber runs until it waits, so nothing else happens meanwhile, and no time passes. When no fiber
 * is ready, time moves to the next event.
 *
 * A thread that calls the door outside of any world gets one of its own, with one node: then the caller's stack is a
 * fiber of that node.
 *
 * Functions of the simulated kernel return results of calls as the kernel does, as a negative errno; the functions of
 * the door convert them by loop_sim_return. Memory of the simulated kernel itself comes from loop_sim_alloc, which
 * stops the program when there is none.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_MACHINE_H
#define LOOP_KERNEL_SIMULATED_MACHINE_MACHINE_H

#include <loop/ground/list.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#define LOOP_SIM_NEVER INT64_MAX

/* Returns the sum of two times or durations; the nearest number that there is for a sum that is too large or small.
 * Worlds and programs may state any duration, so times are added by this. */
static inline int64_t loop_sim_sum_ns(int64_t one_ns, int64_t other_ns)
{
    int64_t sum_ns;
    bool is_too_much = __builtin_add_overflow(one_ns, other_ns, &sum_ns);
    return !is_too_much ? sum_ns : one_ns > 0 ? INT64_MAX : INT64_MIN;
}

/* Returns seconds and nanoseconds as nanoseconds; the nearest number that there is where they are too many. */
static inline int64_t loop_sim_time_ns(int64_t seconds, int64_t nanoseconds)
{
    int64_t whole_ns;
    bool is_too_much = __builtin_mul_overflow(seconds, INT64_C(1000000000), &whole_ns);
    return loop_sim_sum_ns(!is_too_much ? whole_ns : seconds > 0 ? INT64_MAX : INT64_MIN, nanoseconds);
}

/* What CLOCK_MONOTONIC answers when now_ns of the world is 0, and what the wall clock does: 2030-01-01 00:00 UTC. */
#define LOOP_SIM_MONOTONIC_START_NS (INT64_C(1000) * 1000000000)
#define LOOP_SIM_WALL_START_NS (INT64_C(1893456000) * 1000000000)

struct loop_sim_choices;
struct loop_sim_disk;
struct loop_sim_files;
struct loop_sim_host;
struct loop_sim_machine;
struct loop_sim_network;
struct loop_sim_node;
struct loop_sim_rings;
struct loop_sim_signals;
struct loop_sim_trace;
struct loop_sim_world;

/* ---- events: what happens at a time ---- */

struct loop_sim_event;
typedef void loop_sim_event_fn(struct loop_sim_event *event);

/* Something that happens at a virtual time. It is a member of what it concerns. Zeros are an event that is not set. */
struct loop_sim_event {
    int64_t due_ns;
    uint64_t order; /* of two that are due at a time, that which was set first happens first */
    size_t place;   /* in the heap, from 1; 0: not set */
    loop_sim_event_fn *happen;
};

/* Sets an event, again if it is set already. It happens once, outside of any fiber: it must not wait. */
void loop_sim_event_set(struct loop_sim_event *event, int64_t due_ns, loop_sim_event_fn *happen);

/* The event does not happen. Harmless when it is not set. */
void loop_sim_event_cancel(struct loop_sim_event *event);

/* ---- fibers ---- */

enum { LOOP_SIM_STACK_SIZE = 1 << 20 };

/* A thread of a node. */
struct loop_sim_fiber;

/* Creates a fiber that calls run(arg), at once or after a delay. */
struct loop_sim_fiber *loop_sim_fiber_create(struct loop_sim_node *node, void *(*run)(void *arg), void *arg,
                                             int64_t delay_ns);

/* Returns the running fiber. It is NULL while an event happens. */
struct loop_sim_fiber *loop_sim_fiber_now(void);

/* Which signals a thread blocks, and which are pending for it alone: bit n - 1 is signal n. Kept by object/. A new
 * fiber blocks what the fiber blocks that creates it. */
struct loop_sim_fiber_signals {
    uint64_t blocked, pending;
};
struct loop_sim_fiber_signals *loop_sim_fiber_signals(struct loop_sim_fiber *fiber);

/* Returns the fiber of a node that was created after this one, the first one for NULL, or NULL: no more. */
struct loop_sim_fiber *loop_sim_fiber_next(const struct loop_sim_node *node, const struct loop_sim_fiber *fiber);

/* Whether an address is just below the stack of a fiber: a fault there means that the stack is used up. */
bool loop_sim_fiber_is_below(const struct loop_sim_fiber *fiber, const void *address);

/* Whether the fiber is the first of its node. */
bool loop_sim_fiber_is_first(const struct loop_sim_fiber *fiber);

/* Returns a number that no other fiber of the world has, from 1. */
uint64_t loop_sim_fiber_number(const struct loop_sim_fiber *fiber);

/* Returns the fiber that pthread_self returns this for, or NULL when it is gone. */
struct loop_sim_fiber *loop_sim_fiber_of_thread(pthread_t thread);

/* Lets a fiber that waits in loop_sim_wait return -EINTR from it. Returns whether it has waited so. */
bool loop_sim_fiber_interrupt(struct loop_sim_fiber *fiber);

/* Something that a fiber holds while it waits: a use of a file, memory of the kernel. When its node crashes meanwhile,
 * or ends, the fiber does not run again: then release(hold) is called. It is a member of something on its stack. */
struct loop_sim_fiber_hold {
    struct loop_list link;
    void (*release)(struct loop_sim_fiber_hold *hold);
};

/* Adds a hold to the running fiber, or removes it without calling its function. */
void loop_sim_fiber_hold(struct loop_sim_fiber_hold *hold, void (*release)(struct loop_sim_fiber_hold *hold));
void loop_sim_fiber_unhold(struct loop_sim_fiber_hold *hold);

/* ---- waiting ---- */

/* One who waits for a change of something: a fiber, an entry of an epoll set, a request of a ring. `wake` is called for
 * each change, with what has changed (EPOLLIN, ...; 0 stands for anything), until the waiter is removed. It must not
 * wait, and may remove any waiter. */
struct loop_sim_waiter {
    struct loop_list link;
    void (*wake)(struct loop_sim_waiter *waiter, uint32_t events);
    /* Of a waiter that need not be woken when another one is: whether it would act on this change. NULL: it is always
     * woken. */
    bool (*is_willing)(struct loop_sim_waiter *waiter, uint32_t events);
};

/* Those who wait for one thing. */
struct loop_sim_queue {
    struct loop_list waiters;
};

void loop_sim_queue_init(struct loop_sim_queue *queue);
void loop_sim_queue_add(struct loop_sim_queue *queue, struct loop_sim_waiter *waiter);
void loop_sim_queue_remove(struct loop_sim_waiter *waiter); /* harmless when it is in no queue */

/* Wakes the waiters. Of those with is_willing: the first that is willing and those before it, or by choice another one
 * that is; all of them when none is, and for an end or an error (EPOLLHUP, EPOLLERR, or 0). */
void loop_sim_queue_wake(struct loop_sim_queue *queue, uint32_t events);

/* Lets the running fiber wait until the queue is woken, or `until_ns`, or it is interrupted by a signal or by choice.
 * Returns 0, -ETIMEDOUT or -EINTR. The caller looks again at what it waits for. A NULL queue: waits for the time. */
int loop_sim_wait(struct loop_sim_queue *queue, int64_t until_ns);

/* As loop_sim_wait, for any of `count` queues. */
int loop_sim_wait_any(struct loop_sim_queue *const *queues, size_t count, int64_t until_ns);

/* As loop_sim_wait, but nothing interrupts it: for a mutex, a disk. Returns 0 or -ETIMEDOUT. */
int loop_sim_wait_for(struct loop_sim_queue *queue, int64_t until_ns);

/* Lets the other fibers run that are ready. When there are none, time moves a little, at most to the next event: so a
 * fiber that polls in a circle does not stop time. */
void loop_sim_yield(void);

/* Called first in a function of the door that a program may call in a circle without waiting: to look at a clock, or
 * for events that are always there. After many such calls without a wait the fiber yields, so that other threads of
 * the program run as they would on another processor. */
void loop_sim_count_call(void);

/* ---- nodes ---- */

enum { LOOP_SIM_NAME_SIZE = 32 };

/* How a node stands. */
enum loop_sim_node_state {
    LOOP_SIM_NODE_NEW,
    LOOP_SIM_NODE_RUNNING,
    LOOP_SIM_NODE_PAUSED, /* its fibers do not run; what arrives for it waits */
    LOOP_SIM_NODE_ENDED,  /* its main function has returned */
    LOOP_SIM_NODE_CRASHED /* its fibers are gone, its descriptors closed, its memory freed; the disk remains */
};

/* Which backend a node runs on, and which features its ring has. */
enum loop_sim_backend { LOOP_SIM_BACKEND_AUTO, LOOP_SIM_BACKEND_URING, LOOP_SIM_BACKEND_EPOLL };

/* One simulated process and its host. */
struct loop_sim_node {
    struct loop_sim_world *world;
    struct loop_list link; /* in the world */
    unsigned index;        /* from 0, in the order of creation; the process id is index + 1 */
    char name[LOOP_SIM_NAME_SIZE];
    enum loop_sim_node_state state;
    struct loop_list fibers;
    uint64_t incarnation; /* counts starts: what belongs to an earlier one is void */

    int64_t wall_offset_ns; /* of the wall clock against the world's */
    int64_t wall_drift_ppb; /* of the wall clock, in parts per 10^9 */

    enum loop_sim_backend backend;
    uint32_t ring_features_masked; /* IORING_FEAT_... that its ring does not have */
    uint32_t ring_setup_refused;   /* IORING_SETUP_... that its ring refuses */
    uint64_t ring_ops_masked[4];   /* IORING_OP_... that its ring does not know, as bits */
    bool ring_refuses_clones;      /* its ring does not know IORING_REGISTER_CLONE_BUFFERS */
    int ring_error;                /* what io_uring_setup fails with, as a filter makes it: EPERM, ...; 0: it works */
    bool ring_error_is_of_enter;   /* io_uring_enter fails with it instead */

    size_t memory_bytes;      /* what the program has allocated through the door */
    size_t memory_left_bytes; /* memory_bytes when it ended */
    bool is_crashing;
    void *locals; /* its static variables while another node has theirs, see LOOP_KERNEL_PROCESS_LOCAL */

    struct loop_list held; /* ready fibers, while it is paused */
    struct loop_list mutexes, conditions, onces;

    struct loop_sim_files *files;     /* object/: the descriptors */
    struct loop_sim_host *host;       /* network/: the addresses, and what is bound */
    struct loop_sim_disk *disk;       /* disk/: survives crashes */
    struct loop_sim_signals *signals; /* object/: mask and pending signals */
    struct loop_sim_rings *rings;     /* ring/: NULL until the node makes one */
};

/* Returns the node on whose behalf the caller runs: that of the running fiber. Creates the world of this thread where
 * there is none. While an event happens it is NULL. */
struct loop_sim_node *loop_sim_here(void);

/* Adds a node. It starts by loop_sim_node_start. */
struct loop_sim_node *loop_sim_node_create(struct loop_sim_world *world, const char *name);

/* Starts a node that is new, has ended or has crashed: run(arg) becomes its first fiber. When that returns, the node
 * has ended. */
void loop_sim_node_start(struct loop_sim_node *node, void *(*run)(void *arg), void *arg);

/* Ends a node at once, as a loss of power does. Does not return when a fiber of the node itself calls it. */
void loop_sim_node_crash(struct loop_sim_node *node);

/* Ends a node by a signal, as a crash. A program that has made its world by calling the door ends itself by that
 * signal. */
void loop_sim_node_kill(struct loop_sim_node *node, int signal);

void loop_sim_node_pause(struct loop_sim_node *node);
void loop_sim_node_go_on(struct loop_sim_node *node);

/* ---- parts of the simulated kernel ---- */

/* What a part does when a node is created, starts, ends and is destroyed. Each part defines one: in standard.c, host.c,
 * disk.c, ... A function may be NULL. */
struct loop_sim_part {
    void (*node_created)(struct loop_sim_node *node);
    void (*node_started)(struct loop_sim_node *node);
    /* The node has ended or crashed, as its state says, and its fibers are gone: closes descriptors, drops what has not
     * reached the disk, frees what is the node's. The memory of its program is freed last. */
    void (*node_stopped)(struct loop_sim_node *node, bool has_crashed);
    void (*node_destroyed)(struct loop_sim_node *node);
    void (*world_created)(struct loop_sim_world *world);
    void (*world_destroyed)(struct loop_sim_world *world);
};

/* The machine's own: what programs have in use of mutexes, conditions and calls made once, and of memory. */
extern const struct loop_sim_part loop_sim_thread_part, loop_sim_memory_part;

/* The list of the parts, in the order in which they are called, is in a section of its own, where the machine finds it:
 * so the machine uses nothing that is above it. Programs are linked with -u loop_sim_parts, which takes the list and
 * the parts out of the library. */
#define LOOP_SIM_PARTS __attribute__((section("loop_sim_part")))

/* ---- the world ---- */

/* Why a world has stopped. */
enum loop_sim_stop {
    LOOP_SIM_STOP_ENDED,    /* every node has ended, and nothing is due */
    LOOP_SIM_STOP_STUCK,    /* nodes wait, and nothing is due */
    LOOP_SIM_STOP_STEPS,    /* the limit of steps is reached */
    LOOP_SIM_STOP_TIME,     /* the limit of time is reached */
    LOOP_SIM_STOP_REQUESTED /* by loop_sim_world_stop */
};

/* All that one run knows. Of one thread. */
struct loop_sim_world {
    int64_t now_ns;   /* the monotonic clock of all nodes */
    int64_t start_ns; /* the wall clock when now_ns was 0 */
    uint64_t steps, most_steps;
    int64_t most_time_ns;
    struct loop_list nodes;
    unsigned n_nodes;
    struct loop_sim_choices *choices;
    struct loop_sim_trace *trace; /* NULL: not traced */
    struct loop_sim_network *network;
    struct loop_sim_machine *machine; /* fibers, events, scheduler */
    void *owner;                      /* of loop/simulation */
    /* Called after a node has ended or crashed, with its state set; NULL: not. It may stop the world. */
    void (*node_stopped)(struct loop_sim_node *node);
};

/* Creates a world, and makes it that of this thread. Zero limits are none. */
struct loop_sim_world *loop_sim_world_create(void);

/* Frees a world and all its nodes. NULL does nothing. */
void loop_sim_world_destroy(struct loop_sim_world *world);

/* Returns the world of this thread, or NULL. */
struct loop_sim_world *loop_sim_world_now(void);

/* Runs until the world stops. Called outside of its fibers. May be called again: after LOOP_SIM_STOP_REQUESTED, or with
 * other limits. */
enum loop_sim_stop loop_sim_world_run(struct loop_sim_world *world);

/* Makes loop_sim_world_run return after the current step. */
void loop_sim_world_stop(struct loop_sim_world *world);

/* ---- clocks ---- */

/* Return what CLOCK_MONOTONIC answers, and CLOCK_REALTIME in a node (NULL: without its offset and drift). */
int64_t loop_sim_monotonic_ns(const struct loop_sim_world *world);
int64_t loop_sim_wall_ns(const struct loop_sim_world *world, const struct loop_sim_node *node);

/* ---- memory of the simulated kernel ---- */

/* Ends the process with a line on standard error, also in a run, which cannot be repeated without that memory. */
_Noreturn void loop_sim_stop_without_memory(void);

/* Allocates zeroed memory. Calls loop_sim_stop_without_memory when there is none. */
void *loop_sim_alloc(size_t size);
void *loop_sim_realloc(void *memory, size_t size);
void loop_sim_free(void *memory);

/* ---- memory of programs ---- */

/* Maps pages for a program, as mmap(2). `file_error` is what the kernel says about the mapped file, an errno; 0 for
 * MAP_ANONYMOUS. Returns MAP_FAILED and errno when it fails. */
void *loop_sim_map(void *at, size_t size, int prot, int flags, int file_error, off_t offset);

/* ---- results ---- */

/* Returns a result as functions of the C library do: -1 and errno for a negative errno. */
static inline ssize_t loop_sim_return(ssize_t result)
{
    if (result >= 0) {
        return result;
    }
    errno = (int)-result;
    return -1;
}

#endif
