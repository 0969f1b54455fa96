/* SPDX-License-Identifier: ISC
 *
 * What happens besides bytes: time, calls from other threads, signals, readiness, work that blocks, and
 * jobs of one's own making.
 */
#ifndef LOOP_EVENT_H
#define LOOP_EVENT_H

#include <loop/scope.h>

#include <sys/select.h> /* sigset_t, also in strict C11 */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- time ---- */

/* CLOCK_MONOTONIC now, in nanoseconds. */
LOOP_API int64_t loop_now(const struct loop *loop);

/* Resumes with 0 when `duration_ns` have passed, or at `at_ns`; never early. What has passed already (also a
 * negative duration) is resumed from the loop's next turn, never inside the call. LOOP_NEVER only ends when
 * cancelled. */
LOOP_API loop_job loop_sleep(struct loop_scope *scope, int64_t duration_ns, loop_fn *fn, void *arg);
LOOP_API loop_job loop_sleep_until(struct loop_scope *scope, int64_t at_ns, loop_fn *fn, void *arg);

/* ---- from other threads and from signal handlers ---- */

/* The loop's letter box. It outlives the loop for as long as somebody holds it, so that a late post finds
 * a closed box instead of freed memory. */
struct loop_inbox;

/* Takes a counted reference to the loop's inbox. On the loop's thread. Drop each reference once with loop_inbox_unref.
 * A debug build logs a warning when the loop ends and some references are left. That is no mistake where another thread
 * drops them later. */
LOOP_API struct loop_inbox *loop_inbox_ref(struct loop *loop);

/* Drops a reference. May be called on any thread; NULL is harmless. One unref too many stops a debug build, and does
 * nothing otherwise while the loop runs. */
LOOP_API void loop_inbox_unref(struct loop_inbox *inbox);

/* Has `fn(arg, 0)` run on the loop's thread, soon, in the order of the posts of one thread. The only call
 * that may be made from other threads; async-signal-safe. It never blocks and never allocates: the box
 * holds as many as loop_options.post_capacity.
 * Returns 0; -EAGAIN when the box is full; -ESHUTDOWN when the loop has ended (also in a forked child).
 * A post that was taken runs, exactly once: the last ones as the loop ends, with -ECANCELED in place of 0,
 * when no job can be started any more. Posts do not keep the loop running. */
LOOP_API int loop_post(struct loop_inbox *inbox, loop_fn *fn, void *arg);

/* ---- signals ---- */

/* Resumes with the signal's number when it has arrived at the process or the loop's thread. Signals are read
 * from a signalfd: from the first call for a signal until the loop ends it is blocked in the loop's thread,
 * so that nothing is lost between one job and the next. Other threads of the program must block it too
 * (those of the loop's pool do). With several jobs for one signal each hears it. When the loop ends the
 * thread's mask is put back, and arrivals that nobody heard are dropped.
 * Ends with -EINVAL for a number that is no signal, SIGKILL, SIGSTOP and SIGPIPE. */
LOOP_API loop_job loop_signal(struct loop_scope *scope, int signal_number, loop_fn *fn, void *arg);

/* ---- child processes ---- */

/* While the loop runs, its thread blocks SIGPIPE and every signal that loop_signal has been called for. A child process
 * inherits the mask of the thread that makes it, and a program that starts with SIGTERM blocked can't be ended by it.
 * So call loop_child_begin before whatever makes a child (fork, posix_spawn, popen, system), and loop_child_end after
 * it:
 *
 *     loop_child_begin(loop);
 *     FILE *pipe = popen(command, "r");
 *     loop_child_end(loop);
 *
 * They are for the loop's thread only. The threads of the pool block every signal, so a child that work makes needs the
 * program's mask by other means: call loop_saved_mask on the loop's thread before the work is started, and give that
 * mask to posix_spawnattr_setsigmask(3) with POSIX_SPAWN_SETSIGMASK, or to sigprocmask(2) in the child between fork and
 * exec. popen and system have no place for it.
 *
 * A forked child must call exec or _exit. The loop can't go on in it: its next turn stops the child with a line that
 * says so. To become a daemon, call daemon(3) before loop_run. */

/* Puts the signal mask that the thread had before loop_run in force. A signal that loop_signal waits for and that
 * arrives meanwhile is caught and delivered to its jobs after loop_child_end; one that the process ignores (SIG_IGN)
 * stays ignored meanwhile, so that the child inherits that as well.
 * Returns 0; -EINVAL when it was called already, which stops a debug build. On the loop's thread, and loop_child_end
 * has to follow before the calling function returns to the loop: where it has not, a debug build stops then, and
 * another one puts the loop's mask back in force by itself. */
LOOP_API int loop_child_begin(struct loop *loop);

/* Puts the loop's signal mask back in force. In the parent; a forked child has nothing to put back.
 * Returns 0; -EINVAL without a loop_child_begin, which stops a debug build. */
LOOP_API int loop_child_end(struct loop *loop);

/* Stores the signal mask that the thread had before loop_run in `*mask`: for posix_spawnattr_setsigmask(3), or
 * sigprocmask(2) in a child between fork and exec. */
LOOP_API void loop_saved_mask(const struct loop *loop, sigset_t *mask);

/* ---- readiness ---- */

/* Resumes with the events (POLLIN, POLLOUT, POLLPRI, POLLRDHUP of <poll.h>; POLLERR and POLLHUP come unasked)
 * as soon as at least one is there: once, level-triggered. What can't be polled, such as a regular file, is
 * always ready for POLLIN and POLLOUT. Some files of /proc and /sys can be polled, though they call themselves regular:
 * POLLPRI waits for a change of what they say (/proc/self/mounts). Every poll that waits is resumed for a change.
 * -EINVAL when no event is asked for, and for POLLPRI alone where it can't be waited for. For libraries that bring
 * their own descriptors, together with loop_fd_borrow. */
LOOP_API loop_job loop_poll(struct loop_fd *fd, unsigned events, loop_fn *fn, void *arg);

/* ---- work that blocks ---- */

typedef int64_t loop_work_fn(void *arg);

/* Runs `work(work_arg)` on a thread of the loop's pool and resumes with what it returned. The pool's threads
 * are made when first needed, at most loop_options.pool_threads that are not overdue (see below). `work` must not call
 * the loop, except for loop_post.
 *
 * What is at `work_arg` is in use until the continuation is resumed. So work that has not begun can be cancelled, but
 * for work that has begun a cancel waits. Give work that may hang a release hook: see loop_work_with. */
LOOP_API loop_job loop_work(struct loop_scope *scope, loop_work_fn *work, void *work_arg, loop_fn *fn, void *arg);

/* How long work that was asked to end may take for it. */
#define LOOP_WORK_GRACE_NS (5 * LOOP_MILLISECOND)

/* All zero is what loop_work does. */
struct loop_work_options {
    /* Descriptors that the work is on, or NULL: they stay open until it has ended, so that their numbers may be used in
     * it. Closing one cancels it; -EBADF when one has been closed. */
    struct loop_fd *fd LOOP_ZERO, *second LOOP_ZERO;
    /* It gets at most half of the pool's threads at a time, together with other work that does, so that what is short
     * always finds one. */
    bool takes_long LOOP_ZERO;
    /* Hands `work_arg` over: release(work_arg) is called once, on the loop's thread, when the continuation has been
     * resumed and no thread uses `work_arg` any more; it may free it. Not when loop_work_with returns job 0.
     *
     * A cancel, and a deadline, then wait no longer than LOOP_WORK_GRACE_NS. After that the job ends with -ECANCELED
     * though a thread still works for it: what the work returns is dropped, and what it does may still happen. Its
     * descriptors are closed when it has returned; where one was borrowed or is being taken, that waits. loop_run
     * returns after it, too. */
    loop_hook_fn *release LOOP_ZERO;
};

/* loop_work with options, which may be NULL. */
LOOP_API loop_job loop_work_with(struct loop_scope *scope, const struct loop_work_options *options, loop_work_fn *work,
                                 void *work_arg, loop_fn *fn, void *arg);

/* For work that takes its time, from inside it: whether it has been asked to end early. It should then return soon,
 * -ECANCELED or what it has reached. A thread that has not come back within LOOP_WORK_GRACE_NS is overdue: the pool
 * makes another in its place, at most 64 for all that are overdue at a time. */
LOOP_API bool loop_work_is_cancelled(void);

/* ---- jobs of one's own ---- */

/* A job that ends when somebody calls loop_resolve: what a source or sink of one's own returns, or a promise
 * between two parts of a program. `on_cancel(cancel_arg)` is called, from inside the cancel, when the job is
 * asked to end early: it has to see to it that loop_resolve is called, then or later. NULL: the job ends
 * with -ECANCELED at once. */
typedef void loop_cancel_fn(void *cancel_arg, loop_job job);
LOOP_API loop_job loop_promise(struct loop_scope *scope, loop_cancel_fn *on_cancel, void *cancel_arg, loop_fn *fn,
                               void *arg);

/* Ends such a job with `result`; the continuation is resumed from the loop. Returns 0, or -ENOENT when it
 * has its result already; -EINVAL for a job that is no promise, which stops a debug build. Where the job was cancelled,
 * -ECANCELED as the result becomes the scope's reason
 * (-ETIMEDOUT after a deadline). */
LOOP_API int loop_resolve(struct loop *loop, loop_job job, int64_t result);

#ifdef __cplusplus
}
#endif

#endif
