/* SPDX-License-Identifier: ISC
 *
 * Events other than bytes: timers, posts from other threads, signals, child processes, readiness, blocking work,
 * promises.
 *
 * All functions are for the loop's thread, except for loop_post and loop_inbox_unref, which may be called on any
 * thread, and loop_work_is_cancelled, which work calls. loop_post may also be called in a signal handler. Every job may
 * also end with -ECANCELED, or with -ETIMEDOUT after a deadline.
 */
#ifndef LOOP_EVENT_H
#define LOOP_EVENT_H

#include <loop/scope.h>

#include <sys/select.h> /* sigset_t, also in strict C11 */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- timers ---- */

/* Returns the time of CLOCK_MONOTONIC in nanoseconds. */
LOOP_API int64_t loop_now(const struct loop *loop);

/* Waits for `duration_ns` nanoseconds. Resumes with 0, never early; for a duration of 0 or less in the loop's next
 * turn. With LOOP_NEVER it only ends when it is cancelled. An idle loop resumes it on time, or up to
 * loop_options.timer_leeway_ns later where that is set. */
LOOP_API loop_job loop_sleep(struct loop_scope *scope, int64_t duration_ns, loop_fn *fn, void *arg);

/* Waits until CLOCK_MONOTONIC reaches `at_ns`. Resumes with 0, never early; for a time that has passed in the loop's
 * next turn. With LOOP_NEVER it only ends when it is cancelled. An idle loop resumes it on time, or up to
 * loop_options.timer_leeway_ns later where that is set. */
LOOP_API loop_job loop_sleep_until(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg);

/* ---- posts from other threads and signal handlers ---- */

/* The inbox of a loop, to which other threads post. It is reference counted and can outlive the loop, so a late post
 * finds a closed inbox rather than freed memory. */
struct loop_inbox;

/* Takes a reference to the loop's inbox and returns the inbox. Drop each reference with loop_inbox_unref. A debug build
 * logs a warning when the loop ends with references left; that is no error if another thread drops them later. */
LOOP_API struct loop_inbox *loop_inbox_ref(struct loop *loop);

/* Drops a reference, on any thread. NULL is ignored. The last one frees the inbox. Dropping a reference that was not
 * taken has no effect while the loop runs, and aborts a debug build. */
LOOP_API void loop_inbox_unref(struct loop_inbox *inbox);

/* Runs `fn(arg, 0)` on the loop's thread, soon. Posts of one thread run in the order of the calls. May be called on any
 * thread and in a signal handler: it is async-signal-safe, and it neither blocks nor allocates. A post does not keep a
 * scope or the loop open.
 *
 * Returns 0: the function runs exactly once. While the loop ends, the remaining ones run with -ECANCELED in place of 0,
 * and can start no jobs. -EAGAIN when the inbox is full (loop_options.post_capacity); -ESHUTDOWN when the loop has
 * ended, and in a forked child; -EINVAL for NULL. */
LOOP_API int loop_post(struct loop_inbox *inbox, loop_fn *fn, void *arg);

/* ---- signals ---- */

/* Waits for a signal to the process or to the loop's thread. Resumes with the signal's number. Several jobs for one
 * signal are all resumed.
 *
 * From the first call for a signal until the loop ends, the signal is blocked in the loop's thread and read from a
 * signalfd(2). So none is lost between one job and the next. Other threads of the program have to block it too, or the
 * kernel may deliver it to them; the threads of the pool do. When the loop ends, the thread's signal mask is restored,
 * and signals that no job has received are dropped.
 *
 * Ends with -EINVAL for a number that is no signal, for SIGKILL, SIGSTOP and SIGPIPE, and for the loop's own
 * loop_options.interrupt_signal; -EMFILE, -ENFILE or -ENOMEM when the signalfd cannot be created. */
LOOP_API loop_job loop_signal(struct loop_scope *scope, int signal_number, loop_fn *fn, void *arg);

/* ---- child processes ---- */

/* While the loop runs, its thread blocks SIGPIPE and every signal that loop_signal was called for. A child process
 * inherits the mask of the thread that creates it, and SIGTERM does not end a program that starts with SIGTERM blocked.
 * So call loop_child_begin before what creates a child (fork, posix_spawn, popen, system), and loop_child_end after it:
 *
 *     loop_child_begin(loop);
 *     FILE *pipe = popen(command, "r");
 *     loop_child_end(loop);
 *
 * Both are for the loop's thread only. The threads of the pool block every signal but loop_options.interrupt_signal. A
 * child that work creates needs the program's mask in another way: call loop_saved_mask on the loop's thread before the
 * work is started, and pass the mask to posix_spawnattr_setsigmask(3) with POSIX_SPAWN_SETSIGMASK, or to sigprocmask(2)
 * in the child between fork and exec. popen and system cannot use it.
 *
 * A forked child must call exec or _exit. The loop cannot run in it: its next turn aborts the child with a message. To
 * become a daemon, call daemon(3) before loop_run. */

/* Sets the signal mask that the thread had before loop_run. A signal that loop_signal waits for and that arrives before
 * loop_child_end is caught, and its jobs are resumed after it. A signal that the process ignores (SIG_IGN) stays
 * ignored, so the child inherits that too.
 *
 * Call loop_child_end before the calling function returns to the loop: otherwise a debug build aborts, and another
 * build sets the loop's mask itself. Returns 0; -EINVAL when it was called already, which aborts a debug build.
 *
 * Loops that hosts drive on one thread may do this at the same time. Each call sets the mask of its loop's children;
 * the last loop_child_end of them, in whatever order, sets the mask from before the first. */
LOOP_API int loop_child_begin(struct loop *loop);

/* Sets the loop's signal mask again, in the parent process. In a forked child it only ends what loop_child_begin has
 * begun. Returns 0; -EINVAL without loop_child_begin, which aborts a debug build. */
LOOP_API int loop_child_end(struct loop *loop);

/* Stores the signal mask that the thread had before loop_run in `*mask`: for posix_spawnattr_setsigmask(3), or for
 * sigprocmask(2) in a child between fork and exec. */
LOOP_API void loop_saved_mask(const struct loop *loop, sigset_t *mask);

/* ---- readiness ---- */

/* Waits for events of a descriptor: POLLIN, POLLOUT, POLLPRI and POLLRDHUP of <poll.h>; POLLERR and POLLHUP are always
 * reported. Resumes once, with the events that have occurred (level-triggered). For a library that opens and closes
 * descriptors of its own, loop_poll_number is the better one.
 *
 * A file that cannot be polled, such as a regular file, is always ready for POLLIN and POLLOUT. Some files of /proc and
 * /sys can be polled although they are regular files: POLLPRI waits for a change of their contents (/proc/self/mounts).
 * Every waiting poll is resumed for a change.
 *
 * Ends with -EINVAL when none of these events is asked for, and for POLLPRI alone on a file that cannot be polled;
 * -EBADF when the descriptor was closed before; -ECANCELED when it closes. */
LOOP_API loop_job loop_poll(struct loop_fd *fd, unsigned events, loop_fn *fn, void *arg);

/* Beside the events of loop_poll_number: after it has resumed no event is asked for any more. */
#define LOOP_POLL_ONCE (1u << 16)

/* Polls a number that another library owns, with a set of events that can be changed. Resumes with the events that have
 * occurred, of those that loop_poll knows; once per turn of the loop as long as one of them is there (level-triggered),
 * or with LOOP_POLL_ONCE once until the next loop_poll_change. With no events nothing is reported, not even POLLERR and
 * POLLHUP. One number may be polled several times at once.
 *
 * The number stays the caller's and is never closed here; its flags are not changed. The job has a duplicate of it
 * (dup(2)), so each job needs a descriptor of its own. The library may close the number at any time, also inside the
 * continuation, and the kernel may reuse it at once: this job never reports events of the new file. The old file is
 * open until the job ends, so end it with loop_cancel when the library closes its number, in any order but before
 * returning to the loop. After loop_cancel it resumes only to end. A job that finds its number closed, or reused, ends
 * with -EBADF; files without an inode of their own, such as eventfds, cannot be told apart.
 *
 * The job holds `scope` open, also while it asks for no events; loop_daemon changes that. Ends with -EINVAL for other
 * events, and without a continuation; -EBADF when `number` is no open descriptor; -EPERM for a file that cannot be
 * polled, such as a regular one; -EMFILE or -ENFILE without a descriptor for the duplicate; -ENOMEM; or with the error
 * for which the kernel cannot watch it. */
LOOP_API loop_job loop_poll_number(struct loop_scope *scope, int number, unsigned events, loop_fn *fn, void *arg);

/* Changes the events of a job of loop_poll_number: 0, or a set as for loop_poll_number. May be called inside its
 * continuation. An event that is there already is reported from the loop, not inside the call; one that is not asked
 * for any more is not reported. The only system call is fstat(2), which finds out whether the number still is the same
 * file.
 *
 * Returns 0; -ENOENT when the job has ended or has its result; -EINVAL for other events and for other jobs; -EBADF when
 * the number was closed, or names another file: then the job ends with -EBADF, and loop_poll_number starts another. */
LOOP_API int loop_poll_change(struct loop *loop, loop_job job, unsigned events);

/* ---- blocking work ---- */

/* Work: runs on a thread of the pool. Its result is that of the job. */
typedef int64_t loop_work_fn(void *arg);

/* Runs `work(work_arg)` on a thread of the loop's pool. The threads are created on first use, at most
 * loop_options.pool_threads that are not overdue (see loop_work_is_cancelled). If none can be created, the work runs on
 * the loop's thread, and the loop logs a warning; but while overdue threads are all that there are, it waits until one
 * has returned or can be created, and ends with -ENOMEM after a second. Work may block and compute. It must not call
 * the loop, except for loop_post and loop_work_is_cancelled. Resumes with the result of the work.
 *
 * `work_arg` belongs to the work until the continuation is resumed. A cancel ends work that has not begun with
 * -ECANCELED, and waits for work that has begun, whose result is then the job's. With loop_options.interrupt_signal it
 * interrupts system calls of the work, which fail with EINTR; work that returns -EINTR then ends with -ECANCELED. For
 * work that may hang all the same use loop_work_with and a release hook. loop_work_outcome tells what was done. */
LOOP_API loop_job loop_work(struct loop_scope *scope, loop_work_fn *work, void *work_arg, loop_fn *fn, void *arg);

/* How long a cancel waits for work with a release hook. */
#define LOOP_WORK_GRACE_NS (5 * LOOP_MILLISECOND)

/* Options of loop_work_with. Zero for all is loop_work. */
struct loop_work_options {
    /* NULL, or descriptors that stay open until the work has returned, so that it can use their numbers. Closing one
     * cancels the work. The job ends with -EBADF when one was closed before */
    struct loop_fd *fd LOOP_ZERO, *second LOOP_ZERO;
    /* Work that takes long: all such work together uses at most half of the pool's threads, so that short work always
     * finds one */
    bool takes_long LOOP_ZERO;
    /* Hands over `work_arg`: release(work_arg) is called once, on the loop's thread, when the continuation has been
     * resumed and no thread uses `work_arg` any more. It may free it. It is not called when loop_work_with returns job
     * 0.
     *
     * A cancel or a deadline then waits no longer than LOOP_WORK_GRACE_NS. After that the job ends with -ECANCELED or
     * -ETIMEDOUT although a thread still runs the work: its result is dropped, but its effects may still happen. The
     * descriptors are closed when it has returned; closing a borrowed one, or taking one, waits for that. loop_run
     * returns after it too. */
    loop_hook_fn *release LOOP_ZERO;
};

/* Runs work as loop_work does, with options, which may be NULL: descriptors that it uses, a share of the pool, and a
 * release hook for work that may hang. Resumes with the result of the work; -EBADF when a descriptor was closed before;
 * -ECANCELED. */
LOOP_API loop_job loop_work_with(struct loop_scope *scope, const struct loop_work_options *options, loop_work_fn *work,
                                 void *work_arg, loop_fn *fn, void *arg);

/* Returns, inside work, whether the job was cancelled. Long work should check this, also after EINTR, and return soon,
 * with -ECANCELED or a result. Once it has returned true, no system call of this work is interrupted any more
 * (loop_options.interrupt_signal), so that the work can clean up. A thread that has not returned LOOP_WORK_GRACE_NS
 * after a cancel is overdue: the pool creates another thread in its place, for at most 64 overdue ones at a time.
 * Outside of work it returns false. */
LOOP_API bool loop_work_is_cancelled(void);

/* How far work had come when its job ended. */
enum loop_outcome {
    LOOP_WORK_NOT_BEGUN,   /* it was cancelled before a thread had begun it: it has had no effect */
    LOOP_WORK_PARTLY_DONE, /* it ended early because of the cancel. A result >= 0 is its own count of what was done */
    LOOP_WORK_DONE,        /* it ended by itself. Its result, which may be an error, says how */
    LOOP_WORK_UNKNOWN      /* a thread was still running it: it may have had effects, and may have others later */
};

/* Returns how far the work had come, inside the continuation of a job of loop_work, loop_work_with, or a call of fs/.
 * `result` is what the continuation was given. Work counts as ended early when it was cancelled and has returned
 * -ECANCELED or -EINTR, or when loop_work_is_cancelled has returned true inside it and it has returned a result >= 0.
 * Elsewhere the value means nothing. */
LOOP_API enum loop_outcome loop_work_outcome(const struct loop *loop, int64_t result);

/* ---- promises ---- */

/* Called inside the cancel of a promise. It has to ensure that loop_resolve is called, then or later. */
typedef void loop_cancel_fn(void *cancel_arg, loop_job job);

/* Creates a job that ends when loop_resolve is called: for custom sources and sinks, and between parts of a program.
 * When the job is cancelled, `on_cancel(cancel_arg, job)` is called; with NULL the job ends with -ECANCELED at once.
 * Resumes with the result given to loop_resolve. */
LOOP_API loop_job loop_promise(struct loop_scope *scope, loop_cancel_fn *on_cancel, void *cancel_arg, loop_fn *fn,
                               void *arg);

/* Completes a job of loop_promise with `result`. Its continuation is resumed from the loop, not inside the call. If the
 * job was cancelled, a result of -ECANCELED becomes the reason of the scope's cancel: -ETIMEDOUT after a deadline.
 * Returns 0; -ENOENT when the job has its result, or has ended; -EINVAL for a job that is no promise, which aborts a
 * debug build. */
LOOP_API int loop_resolve(struct loop *loop, loop_job job, int64_t result);

#ifdef __cplusplus
}
#endif

#endif
