/* SPDX-License-Identifier: ISC
 *
 * struct loop, and the small structs embedded in it.
 */
#ifndef LOOP_CORE_LOOP_H
#define LOOP_CORE_LOOP_H

#include <loop/core/log.h>
#include <loop/ground/index_list.h>
#include <loop/ground/list.h>
#include <loop/ground/shares.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>
#include <loop/loop.h>

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

/* The sizes of jobs. Each has a slab of its own; its number is the mark of the slab in the two top bits of an id. A
 * program may have a million timers, and a read or stream per connection, so they have no fields that they do not
 * use. */
enum loop_job_size {
    LOOP_JOB_SMALL, /* up to u.small */
    LOOP_JOB_LARGE, /* all of it */
    LOOP_JOB_BARE,  /* up to `fd`: neither that nor u may be touched */
    LOOP_JOB_SIZES = 1 << LOOP_SLAB_MARK_BITS
};

/* The open descriptor objects by their numbers. A number may be borrowed more than once. When its owner closes a number
 * before its object, the kernel reuses it, and it then names another file. */
struct loop_numbers {
    uint32_t *at; /* by number: the index of the newest object, plus 1; or 0. The others follow by next_of_number */
    unsigned capacity;
};

/* A hash table of the records that the library keeps for sources and sinks of the program (loop/flow/own/own.h). */
struct loop_owns {
    struct loop_hlist *at; /* struct loop_own, by in_table */
    unsigned capacity;     /* 0, or a power of two */
    struct loop_slab slab;
};

/* What the loop stores about a backend that cannot be used any more. */
struct loop_broken {
    int error;     /* why the backend broke, as -errno; 0 while it works */
    bool has_jobs; /* the kernel still has jobs (LOOP_AT_RING) */
    int released;  /* then: a descriptor that hangs up when the kernel has none any more */
};

/* The region: its memory, and the jobs that wait for a chunk. Several loops may have one region: each has its own share
 * of it, and chunks that move from one loop to another. */
struct loop_region {
    char *memory; /* of all shares */
    size_t size_bytes;
    size_t block_size;
    uint32_t n_blocks, n_free;    /* of this loop's chunks */
    uint32_t n_shared;            /* of the blocks of one share */
    struct loop_share share;      /* its own */
    struct loop_chunk *free_list; /* a stack: the chunk given back last is in the cache */
    struct loop_list line;        /* jobs that wait for a chunk: loop_chunk_alloc_wait, and streams */
};

/* The state of spinning before sleeping (loop/turn/busy_poll.c). */
struct loop_busy_poll {
    int64_t asleep_since_ns; /* set while it sleeps without having spun; otherwise 0 */
    unsigned in_vain;        /* consecutive misses */
    unsigned left_out;       /* turns that are still to be skipped */
};

/* The state of signals (loop/event/signal.c). */
struct loop_signals {
    sigset_t watched;        /* blocked for us and read from `fd` */
    struct loop_fd *fd;      /* the signalfd, or NULL */
    struct loop_job *reader; /* the job that waits on it */
    struct loop_list jobs;   /* jobs of loop_signal, by job->link */
};

/* Buffers kept for reuse, the one in the cache first. */
struct loop_spares {
    struct loop_block *first;
    unsigned n;
};

#define LOOP_LEAVING_MAX 64u /* a power of two */

/* Cancelled timers that are still in the wheel, in the order of the cancels (job.c). */
struct loop_leaving {
    uint32_t n_added, n_taken; /* of all times: the next one to be taken is jobs[n_taken % LOOP_LEAVING_MAX] */
    struct loop_job *jobs[LOOP_LEAVING_MAX];
};

/* A function to be called once after the running continuation, before writes are sent and scopes are checked. */
struct loop_after {
    struct loop_list link;
    void (*fn)(struct loop_after *after);
};

/* A loop. It belongs to one thread. */
struct loop {
    /* the hot part */
    const struct loop_backend_ops *backend;
    void *backend_state;
    struct loop_list run_queue;
    uint32_t run_queue_length;
    struct loop_index_queue active; /* descriptors with something to try */
    struct loop_index_queue dirty;  /* descriptors with writes to send */
    struct loop_list after;         /* functions to be called after a continuation: struct loop_after */
    uint32_t ending, *last_ending;  /* a queue of scopes that may end, by their indices plus 1 */
    bool is_settling;
    bool prefers_completions; /* the backend receives and sends for flows where it can */
    bool is_forked;           /* this is the copy in a forked child */
    bool is_hosted;           /* made by loop_open */
    bool main_has_ended, own_has_ended;
    struct msghdr unix_message;            /* for io.h: constant but for the fields that the kernel sets */
    struct iovec unix_vector;              /* its vector */
    struct loop_slab jobs[LOOP_JOB_SIZES]; /* the last is empty, for ids that never existed */
    struct loop_slab fds, fds_more, scopes, scopes_more, deadlines, readers, writers;
    struct loop_slab hooks; /* struct loop_hook */
    struct loop_numbers numbers;
    struct loop_owns owns;
    struct loop_region region;
    struct loop_spares spares, bulks;     /* buffers of copies (copy_buffer.h) */
    struct loop_file_write *spare_writes; /* of descriptor/file.c */
    struct loop_scratch *scratch;         /* of scratch.c: memory kept for the next caller, or NULL */
    /* the rest */
    struct loop_options options;
    struct loop_scope *main_scope, *own_scope;
    struct loop_env env;
    struct loop_source in, secure_random;
    struct loop_sink out, err;
    struct loop_inbox *inbox;
    struct loop_fd *inbox_fd;
    int probe; /* an epoll set for loop_can_poll: that of the backend, or one made for it */
    struct loop_broken broken;
    struct loop_pool *pool;
    bool has_outcome;          /* the job whose continuation runs was run by a thread of the pool */
    enum loop_outcome outcome; /* and this is how far it has come */
    struct loop_busy_poll busy_poll;
    struct loop_signals signals;
    struct loop_part *parts;            /* slots of loop_part_slot */
    struct loop_hlist descriptor_waits; /* jobs of loop_descriptor_wait, by in_fd, which they do not use otherwise */
    struct loop_stats stats;
#if NORIA_DEBUG
    const struct loop *next_loop;     /* of check.c: the next loop of the process */
    struct loop_scope_memory *graves; /* of scope.c: memory of scopes that have ended, the oldest first */
    struct loop_scope_memory **last_grave;
    size_t grave_bytes;
    struct loop_place inbox_taken; /* the last call of loop_inbox_ref */
    bool has_closing_uses;         /* loop_held_name_all may find a descriptor */
    uint32_t n_scratch;            /* blocks of loop_scratch_take that are not given back */
#endif
    pthread_t thread;
    int thread_id;
    pid_t process;
    bool is_making_child; /* between loop_child_begin and loop_child_end */
    struct loop_after after_child;
    sigset_t mask_before; /* the thread's before this loop */
    sigset_t saved_mask;  /* the program's own: mask_before without what other loops of the thread have blocked */
    sigset_t child_mask;  /* what children get: the same, unless loop_part_set_child_mask has set another */
    sigset_t loop_mask;   /* is_making_child: the mask to restore */
    sigset_t caught;      /* is_making_child: the signals that are caught meanwhile */
    bool sigpipe_was_pending;
    int main_result;
    bool has_cancelled_holds; /* loop_held_name_all may find a scope */
    bool is_stopped;          /* main_result is set, by loop_stop or by main */
    bool is_turning;          /* is_hosted: a function of this loop is on the stack */
    int host_number;          /* is_hosted: what loop_number returns, a duplicate of backend->number; else -1 */
    unsigned occupied;        /* of loop_env_occupy_standard */
    struct loop *next_here;   /* of child.c: the next loop of this thread */
    char backend_detail[256];
    struct loop_leaving leaving;
    int64_t clock_ns;         /* a time that the clock has reached */
    struct loop_wheel timers; /* large, and mostly untouched */
};

#endif
