/* SPDX-License-Identifier: ISC
 *
 * Noria: an event loop on io_uring, with epoll as the fallback where io_uring is not available.
 *
 * This header includes the others: <loop/base.h> jobs, <loop/scope.h> ownership, <loop/fd.h> descriptors,
 * <loop/region.h> chunks, <loop/event.h> timers, posts, signals, readiness and blocking work, <loop/flow.h> sources and
 * sinks. <net/net.h> has sockets, <fs/fs.h> files, and <loop/low_level.h> the ring's own operations.
 *
 * How objects are made. A call that takes time returns a job, and stores the object through a pointer parameter in
 * front of the continuation: `*flow` of loop_connect is set when the continuation is resumed with 0. A call that
 * completes at once returns the object, or NULL when there is no memory, the scope has ended, or an argument is wrong:
 * loop_scope_open, loop_fd_adopt. Where the system may refuse it for other reasons, such a call returns 0 or a negative
 * errno, and stores the object through a pointer parameter: loop_listen, loop_pipe. No call stores anything through a
 * member of an options struct.
 *
 * A loop belongs to the thread that runs or opens it. Any number of threads may each run one; loops share no state. All
 * functions must be called on the loop's thread, except loop_post, loop_inbox_unref and loop_work_is_cancelled. A debug
 * build aborts on other calls.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <loop/base.h>
#include <loop/event.h>
#include <loop/fd.h>
#include <loop/flow.h>
#include <loop/region.h>
#include <loop/scope.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_clock;
struct loop_debug;
struct loop_dir;

/* The environment of a program: what main gets. Everything in it belongs to main's scope. A standard stream that is
 * closed when the loop starts is present too: `in` is at its end, and writes to `out` and `err` end with -EBADF. */
struct loop_env {
    struct loop *loop;
    struct loop_scope *scope;          /* main's scope: loop_run returns after it has ended */
    struct loop_source *in;            /* standard input; <stdio.h> defines stdin as a macro */
    struct loop_sink *out, *err;       /* standard output and error; never closed, never made nonblocking */
    struct loop_clock *clock;          /* for loop_clock_wall; loop_now needs none */
    struct loop_source *secure_random; /* random bytes of getrandom(2); never ends */
    struct loop_dir *cwd;              /* the current directory; no path escapes it. See <fs/fs.h> */
    struct loop_dir *fs;               /* the whole file system; accepts absolute paths */
    struct loop_debug *debug;          /* for loop_trace and loop_dump */
};

/* The first function of the program, called by the loop. Returns 0 to continue until main's scope has ended. Any other
 * value cancels main's scope, and loop_run returns it after the scope has ended. */
typedef int loop_main_fn(struct loop_env *env, void *arg);

/* Decides what to do when io_uring is not available. `reason` is one line that names the likely cause and the cure.
 * Returns 0 to run on epoll. Any other value is returned by loop_run, and main is not called. */
typedef int loop_fallback_fn(const char *reason, void *arg);

/* Runs a loop on this thread until main's scope has ended.
 *
 * queue_depth   number of entries in the submission queue; 0 means 64, at most 32768 (the kernel's limit). More jobs
 *               than that may be in flight: the others wait in line.
 * n_blocks      number of chunks in the region; 0 means queue_depth.
 * block_size    size of a chunk in bytes; 0 means 4096. n_blocks * block_size is at most 1 GiB.
 * fallback      called with `arg` when io_uring is not available; NULL runs on epoll and logs the reason once.
 *
 * Returns the first of these that is not 0: the value that main returned, the status given to loop_stop, the first
 * error of main's scope. Otherwise 0. When main was not called, it returns the value of `fallback`; -EINVAL when `main`
 * is NULL, for a size beyond a limit, an unknown LOOP_BACKEND or LOOP_WAY; -EMFILE, -ENFILE, -ENOMEM or another error
 * of io_uring_setup(2) where io_uring was demanded; -ENOSPC on epoll when the user has no watch left to wake the loop
 * (the sysctl fs.epoll.max_user_watches); -EDEADLK when this thread is inside a loop_run or a turn. When it returns,
 * everything it opened is closed, every thread it created has ended, and the signal mask of this thread is restored.
 *
 * The loop waits while the kernel is short of memory. When the backend fails, the loop ends: main's scope fails, and
 * every job ends once; a job of the kernel ends after the kernel has released its memory. The log has the reason, and
 * loop_run returns it: -EBADR where the kernel has lost a completion, else the error of io_uring_enter(2) or
 * epoll_wait(2). The program is aborted if the kernel may still use memory of the program and there is no descriptor or
 * memory left to learn when it has released it.
 *
 * LOOP_BACKEND=uring or LOOP_BACKEND=epoll in the environment forces a backend for any program. When a forced backend
 * is not available, loop_run returns an error and does not call `fallback`. LOOP_WAY=readiness or LOOP_WAY=completions
 * forces how flows move bytes on io_uring (enum loop_way).
 *
 * SIGPIPE is blocked on this thread while the loop runs. One that the loop's own writes raise is discarded. */
LOOP_API int loop_run(unsigned queue_depth, unsigned n_blocks, size_t block_size, loop_fallback_fn *fallback,
                      loop_main_fn *main, void *arg);

/* Ends the program: cancels main's scope, and makes loop_run return `status` after that scope has ended. The
 * cancellation itself is not an error: with status 0 loop_run returns 0, unless main's scope has failed before or fails
 * with a real error while it ends; then it returns that error. A status other than 0 always wins.
 *
 * The first call sets the status, and so does a value other than 0 that main returns. A later call has no effect.
 * Returns 0; -EALREADY when the status is set already, or main's scope has ended. Must be called on the loop's thread;
 * from another thread or a signal handler, post a function that calls it. loop_run waits for work that a thread of the
 * pool has begun. */
LOOP_API int loop_stop(struct loop *loop, int status);

/* How important a line of the log is. */
enum loop_log_level { LOOP_LOG_DEBUG, LOOP_LOG_INFO, LOOP_LOG_WARNING, LOOP_LOG_ERROR };

/* Which backend a loop runs on. */
enum loop_backend {
    LOOP_BACKEND_AUTO,  /* io_uring, or epoll where `fallback` accepts it */
    LOOP_BACKEND_URING, /* io_uring, or loop_run_with returns an error */
    LOOP_BACKEND_EPOLL  /* epoll */
};

/* How flows move the bytes of stream sockets on io_uring. */
enum loop_way {
    LOOP_WAY_AUTO,       /* the better one, by what a system call costs here, and how many have input at once */
    LOOP_WAY_READINESS,  /* the ring tells when a socket is ready, and system calls receive and send */
    LOOP_WAY_COMPLETIONS /* the ring receives and sends where it can, all flows of a turn by one system call */
};

/* Receives one line of the library's log, without its newline. The default writes warnings and errors to standard error
 * and never waits: a line that a pipe or terminal has no room for is lost. Called on the loop's thread. */
typedef void loop_log_fn(void *arg, enum loop_log_level level, const char *line);

/* The options of loop_run_with. A field that is zero has its default. */
struct loop_options {
    /* Number of entries in the submission queue: 0 means 64, at most 32768. Number of chunks: 0 means queue_depth */
    unsigned queue_depth LOOP_ZERO, n_blocks LOOP_ZERO;
    size_t block_size LOOP_ZERO;          /* size of a chunk in bytes; 0 means 4096. The region is at most 1 GiB */
    loop_fallback_fn *fallback LOOP_ZERO; /* called when io_uring is not available; NULL runs on epoll */
    void *fallback_arg LOOP_ZERO;         /* passed to `fallback` */
    enum loop_backend backend LOOP_ZERO;  /* with AUTO the variable LOOP_BACKEND decides; other values override it */
    /* With AUTO the variable LOOP_WAY decides, "readiness" or "completions"; other values override it. No effect on
     * epoll, nor on results */
    enum loop_way way LOOP_ZERO;
    /* > 0: a kernel thread submits (SQPOLL, io_uring_setup(2)), and sleeps after this time without work. It uses a
     * whole processor while it does not sleep. No effect on epoll */
    unsigned polling_timeout_ms LOOP_ZERO;
    /* The threads for blocking work. The first pool_threads_min of them are created as soon as work needs them: 0 means
     * 4. While a processor is free, and more work waits than the threads run, or they are stuck for 10 milliseconds,
     * the pool grows, up to pool_threads: 0 means 64, or pool_threads_min where that is more. At most 1024 are used.
     * Threads beyond pool_threads_min end when they were not needed for some seconds */
    unsigned pool_threads LOOP_ZERO, pool_threads_min LOOP_ZERO;
    /* > 0: a real-time signal, SIGRTMIN to SIGRTMAX, which then belongs to the library. It interrupts the system call
     * of a thread of the pool whose job is cancelled: the call fails with EINTR. It is sent again, less and less often,
     * until the thread has left the call, has returned, or has called loop_work_is_cancelled. The first loop that asks
     * for it installs a handler that does nothing, and the last one restores the default. The program must not change
     * its disposition meanwhile. Several loops may use one signal */
    int interrupt_signal LOOP_ZERO;
    unsigned post_capacity LOOP_ZERO;  /* maximal number of pending posts; 0 means 4096. Rounded up to a power of two */
    size_t sink_limit_bytes LOOP_ZERO; /* default limit of a sink's write queue; 0 means 1 MiB */
    /* > 0: the loop spins up to this long before it sleeps, which trades CPU for latency. It skips the spin while
     * nothing happens within that time */
    int64_t busy_poll_ns LOOP_ZERO;
    /* > 0: timers and deadlines may take effect up to this much later than asked for. A loop with nothing else to do
     * then sleeps until the last of those that are due within this time of the first, so that they share one wake-up.
     * A loop that is awake waits for none. None takes effect early, and they keep the order of their times */
    int64_t timer_leeway_ns LOOP_ZERO;
    loop_log_fn *log LOOP_ZERO; /* receives the log; NULL means the default of loop_log_fn */
    void *log_arg LOOP_ZERO;    /* passed to `log` */
};

/* Runs a loop on this thread until main's scope has ended, with `options`; NULL means the defaults. Returns what
 * loop_run returns, and -EINVAL for an unknown backend, a negative busy_poll_ns or timer_leeway_ns, a pool_threads_min
 * above pool_threads, or an interrupt_signal that is no real-time signal; -EBUSY when the program handles or ignores
 * interrupt_signal: the log names it. A backend other than AUTO that is not available is an error, and `fallback` is
 * not called. */
LOOP_API int loop_run_with(const struct loop_options *options, loop_main_fn *main, void *arg);

/* ---- a loop inside another event loop ----
 *
 * loop_open makes a loop that a host drives: the event loop of a toolkit, or a plain poll(2). Before each sleep the
 * host asks loop_prepare for how long it may sleep, polls loop_number for input for that long, and then calls
 * loop_turn:
 *
 *     while (loop_turn(loop) > 0) {
 *         struct pollfd ready = {.fd = loop_number(loop), .events = POLLIN};
 *         poll(&ready, 1, milliseconds(loop_prepare(loop)));
 *     }
 *     status = loop_close(loop);
 *
 * <adapters/glib.h>, <adapters/libuv.h> and <adapters/sd_event.h> do that inside these loops.
 *
 * All functions may also be called between two turns, from functions of the host. What they start begins with the next
 * turn: loop_prepare then returns 0. A host that cannot ask before each sleep asks after each turn, and after each of
 * its own calls.
 *
 * Such a loop belongs to the thread that opened it. A thread may have any number of them. The turn of one may be made
 * inside a continuation of another, but not inside one of its own. loop_run can be called on such a thread between
 * turns; it blocks, and no turn is made meanwhile.
 *
 * SIGPIPE is blocked on the thread until the last of them is closed, and each signal of loop_signal until the loops
 * that have waited for it are closed. Children that the host starts on this thread inherit that; see loop_child_begin.
 *
 * On io_uring an epoll_wait(2) of the host can end with EINTR when something is to be done. The kernel then works on
 * operations between turns as well, so an operation can still succeed after its cancel where loop_run's would not. With
 * LOOP_WAY_AUTO flows move bytes by readiness. A ring that cannot be used any more is noticed when it is next entered,
 * which a turn does when it has something to submit. */

/* Makes a loop, calls main, and stores the loop in `*loop`. The loop ends as that of loop_run does: when nothing is
 * left in main's scope. A host that starts jobs later keeps it open with a job that only a cancel ends, such as
 * loop_sleep(env->scope, LOOP_NEVER, NULL, NULL). A value other than 0 that main returns is the status of loop_close.
 *
 * Returns 0; or what loop_run_with returns when main was not called; -EINVAL when `loop` is NULL; -EDEADLK inside
 * loop_run. Ignores options->busy_poll_ns: a turn never waits. The caller owns the loop until loop_close. */
LOOP_API int loop_open(const struct loop_options *options, loop_main_fn *main, void *arg, struct loop **loop);

/* Returns the number of a descriptor that is readable (POLLIN, level-triggered) when a turn has something to do that
 * loop_prepare did not know of. It stays the same, and belongs to the loop until loop_close: the host only polls it.
 * Returns -EINVAL for a loop that was not opened by loop_open. */
LOOP_API int loop_number(const struct loop *loop);

/* Prepares the loop for a sleep of its host: from now on a post of another thread makes loop_number readable. Returns
 * the time in nanoseconds after which the next turn is due even if loop_number does not become readable: 0 when there
 * is something to do, LOOP_NEVER when no timer runs. Runs no user code, and costs little when nothing has changed.
 * Returns -EINVAL for a loop that was not opened by loop_open, and -EDEADLK inside one of its continuations. */
LOOP_API int64_t loop_prepare(struct loop *loop);

/* Makes one turn: resumes the continuations that are due, at most a few hundred of each kind, and submits what they
 * have started. Never waits. May be called at any time; without a reason to it finds nothing to do.
 *
 * Returns 1; or 0 when the loop has ended and only loop_close is left; -EINVAL for a loop that was not opened by
 * loop_open; -EDEADLK inside one of its continuations. Where the backend fails, turns end the loop, and loop_close
 * returns the error: the first of these turns can take up to a second. */
LOOP_API int loop_turn(struct loop *loop);

/* Ends the loop and frees it. When it has not ended yet, cancels main's scope as loop_stop(loop, 0) does, and makes
 * turns that wait until everything has ended, also for work that a thread of the pool has begun and for holds of the
 * program (loop_scope_hold). To end it without waiting, call loop_stop, and go on with turns until loop_turn returns 0.
 *
 * Returns what loop_run would return. Afterwards everything that the loop opened is closed, its threads have ended, and
 * the signals that it blocked on this thread are unblocked, unless another open loop of the thread needs them. NULL is
 * ignored, with status 0. Returns -EINVAL for a loop that was not opened by loop_open, and -EDEADLK inside one of its
 * continuations and inside loop_run; the loop then stays open. */
LOOP_API int loop_close(struct loop *loop);

/* Returns the name of the backend that runs: "io_uring" or "epoll". The string is valid as long as the loop. */
LOOP_API const char *loop_backend_name(const struct loop *loop);

/* Returns a line with details of the backend: the flags in use, or why the loop fell back to epoll. The string is valid
 * as long as the loop. */
LOOP_API const char *loop_backend_detail(const struct loop *loop);

/* Statistics of a loop. Fields that end with _now are current values, the others counts since the loop started, or the
 * largest value since then. */
struct loop_stats {
    uint64_t turns;                /* turns of the loop */
    uint64_t enters;               /* system calls that submit or wait */
    uint64_t jobs_started;         /* jobs that calls have made */
    uint64_t jobs_now;             /* jobs whose continuation is not resumed yet */
    uint64_t job_slots;            /* jobs that memory is allocated for; never shrinks */
    uint64_t scopes_now;           /* scopes that have not ended, including main's and the loop's own */
    uint64_t fds_now;              /* descriptor objects, including closed ones of scopes that have not ended */
    uint64_t submit_waits;         /* jobs that waited because the submission queue was full */
    uint64_t completion_overflows; /* times the completion queue had overflowed */
    uint64_t region_fixed_bytes;   /* of the region, as the kernel has them registered: all shares, one, or none */
    uint64_t chunk_waits;          /* times a job had to wait for a chunk */
    uint64_t descriptor_waits;     /* times a job waited for a free descriptor */
    uint64_t served_otherwise;     /* operations that the ring refused and system calls performed */
    uint64_t pool_threads_now;     /* threads of the pool */
    uint64_t pool_threads_most;    /* the most threads that it had at a time */
    uint64_t pool_waits;           /* times a job had to wait for a thread of the pool */
    uint64_t pool_longest_wait_ns; /* the longest of those waits, including those that go on */
    uint64_t pool_interrupts;      /* signals sent to threads of the pool: loop_options.interrupt_signal */
    uint64_t received_flows_now;   /* stream sockets for which the ring receives: enum loop_way */
    uint64_t receive_buffers_now;  /* buffers, of 4 and of 64 KiB, into which the ring receives for all of them */
    uint64_t filled_buffers_now;   /* of those, the ones with bytes that nothing has taken yet */
    uint64_t ring_reads;           /* reads for which the ring has received into the program's buffer */
    uint64_t ring_sends;           /* writes that the ring has sent */
    uint64_t wakeups;              /* times a post from another thread woke the loop */
};

/* Stores the statistics of the loop in `*stats`. All are zero when `loop` is NULL. */
LOOP_API void loop_get_stats(const struct loop *loop, struct loop_stats *stats);

/* ---- the rest of env ---- */

/* Returns the wall-clock time: nanoseconds since 1970 (CLOCK_REALTIME). Durations and deadlines use loop_now. */
LOOP_API int64_t loop_clock_wall(const struct loop_clock *clock);

/* Writes one formatted line to standard error, for debugging. Other threads and processes do not write into a line of
 * up to PIPE_BUF bytes. Waits up to a second for room in a full pipe or terminal; then the line is lost. */
LOOP_API void loop_trace(struct loop_debug *debug, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes the tree of scopes with their jobs and descriptors to standard error, one line each. */
LOOP_API void loop_dump(struct loop_debug *debug);

#ifdef __cplusplus
}
#endif

#endif
