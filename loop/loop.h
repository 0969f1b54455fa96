/* SPDX-License-Identifier: ISC
 *
 * Noria: an event loop on io_uring, and the same on epoll where io_uring is missing.
 *
 * This header brings the others: <loop/base.h> jobs, <loop/scope.h> who owns what, <loop/fd.h> descriptors,
 * <loop/region.h> chunks, <loop/event.h> time, posts, signals, readiness, work, <loop/flow.h> sources and sinks.
 * Sockets are in <net/net.h>, files in <fs/fs.h>, the ring's own operations in <loop/low_level.h>.
 *
 * How things are made. What takes time returns a job, and stores what it has made through a pointer that stands before
 * the continuation: `*flow` of loop_connect is set when the continuation is resumed with 0. What is made at once is
 * returned, with NULL when there is no memory, the scope has ended, or an argument is wrong: loop_scope_open,
 * loop_fd_adopt. What is made at once of something that the system may refuse for other reasons returns 0 or a negative
 * errno, and stores it through a pointer: loop_listen, loop_pipe. Nothing is ever stored through a member of an options
 * struct.
 *
 * A loop belongs to the thread that runs it. Any number of threads may each run one; they share nothing. Of all
 * the functions only loop_post and loop_inbox_unref may be called from elsewhere; a debug build stops other calls.
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

/* What a program is given of the world outside. It all lives in main's scope. Of the standard streams those that are
 * closed when the loop begins are there as well: `in` is at its end, and writes to `out` and `err` end with -EBADF. */
struct loop_env {
    struct loop *loop;
    struct loop_scope *scope;          /* main's: loop_run returns when it has ended */
    struct loop_source *in;            /* standard input; not called stdin, which <stdio.h> has as a macro */
    struct loop_sink *out, *err;       /* standard output and error; never closed, never made nonblocking */
    struct loop_clock *clock;          /* loop_clock_wall; loop_now needs none */
    struct loop_source *secure_random; /* getrandom(2); never ends */
    struct loop_dir *cwd;              /* the current directory, and nothing outside it; see <fs/fs.h> */
    struct loop_dir *fs;               /* all there is: absolute paths too */
    struct loop_debug *debug;          /* loop_trace, loop_dump */
};

/* The program's first function, run by the loop. 0: go on until main's scope has ended. Anything else: main's scope
 * is cancelled, and loop_run returns that value when it has ended. */
typedef int loop_main_fn(struct loop_env *env, void *arg);

/* Asked when io_uring cannot be had. `reason` is one line that names the likely cause and the cure. 0 accepts epoll;
 * with anything else loop_run returns that value and main never runs. */
typedef int loop_fallback_fn(const char *reason, void *arg);

/* Runs a loop in this thread until main's scope has ended.
 *
 * queue_depth   entries of the submission queue; 0 means 64. More jobs than that may be in flight: the rest waits in
 *               line. At most 32768 (the kernel's limit).
 * n_blocks      how many chunks the region has; 0 means as many as queue_depth.
 * block_size    bytes of one chunk; 0 means 4096. n_blocks * block_size may be up to 1 GiB.
 * fallback      see above, called with `arg`; NULL takes epoll and logs the reason once.
 *
 * Returns what main returned if that was not 0, else the status given to loop_stop if that was not 0, else the first
 * error of main's scope, else 0. Before main has run: what `fallback` returned; -EINVAL for sizes beyond the limits or
 * an unknown LOOP_BACKEND; -EMFILE, -ENFILE, -ENOMEM; on epoll -ENOSPC where the user has no watch left to wake the
 * loop by (the sysctl fs.epoll.max_user_watches); -EDEADLK when this thread is inside a loop_run already. On return
 * everything it opened is closed, every thread it made has ended, and the thread's signal mask is as it was.
 *
 * A shortage of the kernel's memory is waited out. A backend that breaks ends the loop: main's scope fails, every job
 * ends once (one that the kernel has, when it has let go of its memory), the log says why, and loop_run returns the
 * reason: -EBADR where the kernel has lost a completion, else the error of io_uring_enter(2) or epoll_wait(2). Where
 * the kernel may still use memory of the program's and it can't be known when it has let go of it, because no
 * descriptor or no memory is left to hear of that, the program is aborted.
 *
 * The environment variable LOOP_BACKEND=uring or LOOP_BACKEND=epoll forces a backend for any program. A forced
 * one that can't be had is an error: `fallback` is not asked.
 *
 * SIGPIPE is blocked in this thread while the loop runs; one that was raised by the loop's own writes is taken back.
 */
LOOP_API int loop_run(unsigned queue_depth, unsigned n_blocks, size_t block_size, loop_fallback_fn *fallback,
                      loop_main_fn *main, void *arg);

/* Ends the program: cancels main's scope, and has loop_run return `status` once that scope has ended. The cancellation
 * itself is not an error: with status 0 loop_run returns 0, unless main's scope had failed already, or fails with a
 * real error while it ends; that error is returned then. A status other than 0 always wins.
 *
 * The first call decides, and so does a value other than 0 returned by main: a later call changes nothing.
 * Returns 0; -EALREADY when the status was decided before. On the loop's thread: from another
 * thread or a signal handler, post a function that calls it. Work that the pool has begun is waited for. */
LOOP_API int loop_stop(struct loop *loop, int status);

enum loop_log_level { LOOP_LOG_DEBUG, LOOP_LOG_INFO, LOOP_LOG_WARNING, LOOP_LOG_ERROR };

enum loop_backend {
    LOOP_BACKEND_AUTO, /* io_uring, or epoll where the fallback agrees */
    LOOP_BACKEND_URING,
    LOOP_BACKEND_EPOLL
};

/* What the library has to say, one line without its newline. The default writes warnings and errors to standard error,
 * and never waits: a line for which a pipe or terminal has no room is lost. Called on the loop's thread. */
typedef void loop_log_fn(void *arg, enum loop_log_level level, const char *line);

/* All zero is the default. */
struct loop_options {
    unsigned queue_depth LOOP_ZERO, n_blocks LOOP_ZERO;
    size_t block_size LOOP_ZERO;
    loop_fallback_fn *fallback LOOP_ZERO;
    void *fallback_arg LOOP_ZERO;
    enum loop_backend backend LOOP_ZERO; /* AUTO lets LOOP_BACKEND decide; other values win over it */
    /* > 0: a kernel thread submits (SQPOLL) and sleeps after so long without work; a whole processor while it doesn't.
     * Nothing on epoll */
    unsigned polling_timeout_ms LOOP_ZERO;
    unsigned pool_threads LOOP_ZERO;   /* most threads for what blocks; 0 means 4 */
    unsigned post_capacity LOOP_ZERO;  /* posts that may wait; 0 means 4096; rounded up to a power of two */
    size_t sink_limit_bytes LOOP_ZERO; /* default limit of a descriptor's write queue; 0 means 1 MiB */
    /* > 0: before it sleeps the loop looks for so long whether something happens: sooner answers for processor time. It
     * leaves that out while nothing happens so soon */
    int64_t busy_poll_ns LOOP_ZERO;
    loop_log_fn *log LOOP_ZERO;
    void *log_arg LOOP_ZERO;
};

LOOP_API int loop_run_with(const struct loop_options *options, loop_main_fn *main, void *arg);

/* The backend that runs: "io_uring" or "epoll", and a line that says more (flags in use, or why it fell back). The
 * strings live as long as the loop. */
LOOP_API const char *loop_backend_name(const struct loop *loop);
LOOP_API const char *loop_backend_detail(const struct loop *loop);

/* Counted since the loop began; `..._now` are of this moment. */
struct loop_stats {
    uint64_t turns;  /* times round the loop */
    uint64_t enters; /* system calls that submit or wait */
    uint64_t jobs_started;
    uint64_t jobs_now;  /* accepted, continuation not yet resumed */
    uint64_t job_slots; /* memory for so many has been made; never shrinks */
    uint64_t scopes_now;
    uint64_t fds_now;              /* descriptor objects, closed ones that live on with their scope included */
    uint64_t submit_waits;         /* jobs that found the submission queue full and waited in line */
    uint64_t completion_overflows; /* times the completion queue had overflown */
    uint64_t chunk_waits;          /* times somebody had to wait for a chunk */
    uint64_t descriptor_waits;     /* times somebody waited for a descriptor to come free */
    uint64_t served_otherwise;     /* operations that the ring refused and that were done by system calls */
    uint64_t pool_threads_now;
    uint64_t wakeups; /* times a post from elsewhere woke the loop */
};

LOOP_API void loop_get_stats(const struct loop *loop, struct loop_stats *stats);

/* ---- the rest of env ---- */

/* Returns CLOCK_REALTIME: nanoseconds since 1970. Durations and deadlines are of the other clock, loop_now. */
LOOP_API int64_t loop_clock_wall(const struct loop_clock *clock);

/* Writes one line to standard error, whole, whatever else writes there: for tracing while one looks for a bug. */
LOOP_API void loop_trace(struct loop_debug *debug, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes the tree of scopes with their jobs and descriptors to standard error, one line each. */
LOOP_API void loop_dump(struct loop_debug *debug);

#ifdef __cplusplus
}
#endif

#endif
