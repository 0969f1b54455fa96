/* SPDX-License-Identifier: ISC
 *
 * The loop, and the small structs that are part of it.
 */
#ifndef LOOP_CORE_LOOP_H
#define LOOP_CORE_LOOP_H

#include <loop/core/log.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>
#include <loop/loop.h>

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

/* Jobs of one size have a slab of their own; the number is in the two bits of an id that are the slab's mark. Timers
 * are made a million at a time, reads and streams wait on every connection: what they don't use isn't there. */
enum loop_job_size {
    LOOP_JOB_SMALL, /* up to u.small */
    LOOP_JOB_LARGE, /* all of it */
    LOOP_JOB_BARE,  /* up to `fd`: neither that nor u may be touched */
    LOOP_JOB_SIZES = 1 << LOOP_SLAB_MARK_BITS
};

/* The open objects by their numbers. A number may be borrowed more than once. One that its owner has closed without
 * closing the object first is handed out again by the kernel, and then names another file. */
struct loop_numbers {
    struct loop_hlist *at; /* by number: objects, by in_number */
    unsigned capacity;
    struct loop_hlist lost; /* those that have lost theirs */
};

struct loop_owns {
    struct loop_hlist *at; /* struct loop_own, by in_table */
    unsigned capacity;     /* 0, or a power of two */
    struct loop_slab slab;
};

struct loop_broken {
    int error;     /* why it broke, -errno; 0 while it works */
    bool has_jobs; /* the kernel still has jobs (LOOP_AT_RING) */
    int released;  /* then: what hangs up when it has none any more */
};

struct loop_region {
    char *memory;
    size_t size_bytes;
    size_t block_size;
    uint32_t n_blocks, n_free;
    struct loop_chunk *chunks;
    struct loop_chunk *free_list; /* the one given back last is lent first: it is in the cache */
    struct loop_list line;        /* jobs that wait for a chunk: loop_chunk_alloc_wait, and streams */
    bool is_fixed;
};

struct loop_busy_poll {
    int64_t asleep_since_ns; /* while it sleeps without having looked; otherwise 0 */
    unsigned in_vain;        /* times in a row */
    unsigned left_out;       /* occasions still to be left out */
};

struct loop_signals {
    sigset_t watched;        /* blocked for us and read from `fd` */
    struct loop_fd *fd;      /* the signalfd, or NULL */
    struct loop_job *reader; /* waits on it */
    struct loop_list jobs;   /* loop_signal's, by job->link */
};

/* Buffers that nobody needs now, the hottest first. */
struct loop_spares {
    struct loop_block *first;
    unsigned n;
};

/* Something that a continuation has begun and that is to be done once when it has returned, before writes are sent and
 * scopes looked at. */
struct loop_after {
    struct loop_list link;
    void (*fn)(struct loop_after *after);
};

struct loop {
    /* the hot part */
    const struct loop_backend_ops *backend;
    void *backend_state;
    struct loop_list run_queue;
    uint32_t run_queue_length;
    struct loop_list active;                  /* descriptors with something to try */
    struct loop_list dirty;                   /* descriptors with writes to send */
    struct loop_list after;                   /* what else is to be done: struct loop_after */
    struct loop_scope *ending, **last_ending; /* scopes to look at, in a queue */
    bool is_settling;
    struct msghdr unix_message;            /* of io.h: it never changes but for what the kernel answers */
    struct iovec unix_vector;              /* its vector */
    struct loop_slab jobs[LOOP_JOB_SIZES]; /* the last has none, and is there for ids that never were */
    struct loop_slab fds, scopes, deadlines, readers, writers;
    struct loop_slab hooks; /* struct loop_hook */
    struct loop_numbers numbers;
    struct loop_owns owns;
    struct loop_region region;
    struct loop_spares spares, bulks;     /* copy.c's buffers */
    struct loop_file_write *spare_writes; /* fd_file.c's */
    struct loop_scratch *scratch;         /* scratch.c's: memory that nobody works in now, or NULL */
    /* the rest */
    struct loop_options options;
    struct loop_scope *main_scope, *own_scope;
    struct loop_env env;
    struct loop_source in, secure_random;
    struct loop_sink out, err;
    struct loop_inbox *inbox;
    struct loop_fd *inbox_fd;
    int probe; /* an epoll set, which knows what can be polled: the backend's own, or one kept for that */
    struct loop_broken broken;
    int wait_error; /* while loop_ready_fail cancels: what the jobs end with in place of -ECANCELED */
    struct loop_pool *pool;
    struct loop_busy_poll busy_poll;
    struct loop_signals signals;
    struct loop_part *parts;            /* part.c */
    struct loop_hlist descriptor_waits; /* jobs of loop_descriptor_wait, by in_fd: they have none */
    struct loop_stats stats;
#if NORIA_DEBUG
    const struct loop *next_loop;     /* check.c */
    struct loop_scope_memory *graves; /* scope.c: of scopes that have ended, the oldest first */
    struct loop_scope_memory **last_grave;
    size_t grave_bytes;
    struct loop_place inbox_taken; /* where loop_inbox_ref was called last */
    bool has_closing_uses;         /* there may be descriptors for loop_held_name_all */
    uint32_t n_scratch;            /* pieces of working memory taken and not given back */
#endif
    pthread_t thread;
    int thread_id;
    pid_t process;
    bool is_forked;       /* this is the copy in a forked child */
    bool is_making_child; /* between loop_child_begin and loop_child_end */
    struct loop_after after_child;
    sigset_t saved_mask; /* the thread's before loop_run */
    sigset_t loop_mask;  /* is_making_child: the mask to go back to */
    sigset_t caught;     /* is_making_child: the signals that are caught meanwhile */
    bool sigpipe_was_pending;
    int main_result;
    bool has_cancelled_holds; /* there may be scopes for loop_held_name_all */
    bool is_stopped;          /* main_result is decided: by loop_stop, or by main */
    bool main_has_ended, own_has_ended;
    char backend_detail[256];
    struct loop_wheel timers; /* large, and mostly untouched */
};

#endif
