/* SPDX-License-Identifier: ISC
 *
 * The one source of choice: everything that a run does not determine by itself. The list of choices is the run: the
 * same choices give the same run, byte for byte.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_CHOICE_H
#define LOOP_KERNEL_SIMULATED_MACHINE_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop_sim_world;

/* What is chosen. For each, choice 0 is the ordinary thing. */
enum loop_sim_point {
    LOOP_SIM_ORDER_FIBERS, /* which ready fiber runs; 0: that which has been ready longest */
    LOOP_SIM_ORDER_EVENTS, /* which of the events due at one time happens; 0: that which was set first */
    LOOP_SIM_ORDER_READY,  /* in which order readiness and completions are reported; 0: as they came */
    LOOP_SIM_SHORT_READ,   /* how many bytes are read; 0: all, else so many */
    LOOP_SIM_SHORT_WRITE,  /* how many bytes are written; 0: all, else so many */
    LOOP_SIM_FALSE_READY,  /* EAGAIN though something is there */
    LOOP_SIM_INTERRUPT,    /* EINTR */
    LOOP_SIM_NO_FILES,     /* EMFILE or ENFILE */
    LOOP_SIM_NO_MEMORY,    /* ENOMEM of an allocation */
    LOOP_SIM_NO_BUFFERS,   /* ENOBUFS or ENOMEM of a call */
    LOOP_SIM_ABORTED,      /* ECONNABORTED of accept */
    LOOP_SIM_CANCEL,       /* whether a cancel comes in time */
    LOOP_SIM_LATENCY,      /* how long the network takes beyond the least */
    LOOP_SIM_LOSS,         /* whether a datagram is lost, or a segment late */
    LOOP_SIM_DUPLICATE,    /* whether a datagram is doubled */
    LOOP_SIM_REORDER,      /* whether a datagram overtakes others */
    LOOP_SIM_RESET,        /* whether a connection is reset */
    LOOP_SIM_CONNECT,      /* whether a connection is refused or times out */
    LOOP_SIM_DISK_LATENCY, /* how long the disk takes */
    LOOP_SIM_DISK_ERROR,   /* EIO; fsync that fails once */
    LOOP_SIM_DISK_FULL,    /* ENOSPC */
    LOOP_SIM_CRASH_KEEPS,  /* what of the unsynced data a crash keeps: 0 nothing */
    LOOP_SIM_THREAD,       /* when a thread begins, and whether another runs before it locks a mutex */
    LOOP_SIM_PROGRAM,      /* what the program under test asks for, by loop_simulation_choose */
    LOOP_SIM_POINTS
};

/* Chooses one of n: 0 to n - 1. n is at least 1; of one there is no choice, and nothing is recorded. */
unsigned loop_sim_choose(enum loop_sim_point point, unsigned n);

/* Whether something goes wrong here: false is the ordinary thing. */
bool loop_sim_happens(enum loop_sim_point point);

/* As loop_sim_happens, for something whose probability the world states, such as a link's loss: `ppm` of 10^6. False
 * without a choice when it is 0. */
bool loop_sim_happens_ppm(enum loop_sim_point point, uint32_t ppm);

/* How many of `len` bytes are moved: all, or by choice fewer, but at least one. */
size_t loop_sim_choose_length(enum loop_sim_point point, size_t len);

/* Where choices come from. Returns a value below n. `ppm` is the probability of a value other than 0, where the world
 * states it; 0 leaves it to the source. */
typedef unsigned loop_sim_choose_fn(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm);

/* Makes choices come from a function; NULL: each is 0. They are recorded. */
void loop_sim_choices_set(struct loop_sim_world *world, loop_sim_choose_fn *choose, void *arg);

/* Limits choices to some points, given as bits 1 << enum loop_sim_point: at the others each is 0 and none is recorded.
 * A run is repeated with the same limit. Without a call there is a choice at all points. */
void loop_sim_choices_limit(struct loop_sim_world *world, uint64_t points);

/* Returns the recorded choices, without zeros at the end, and their number. Valid until the next choice. */
const uint32_t *loop_sim_choices_get(const struct loop_sim_world *world, size_t *count);

/* Returns the name of a point: "short read", ... */
const char *loop_sim_point_name(enum loop_sim_point point);

/* While suspended, every choice is 0 and none is recorded: for the last phase of a run. */
void loop_sim_choices_suspend(struct loop_sim_world *world, bool is_suspended);

/* Gives a world its choices, or frees them. */
void loop_sim_choices_create(struct loop_sim_world *world);
void loop_sim_choices_destroy(struct loop_sim_world *world);

#endif
