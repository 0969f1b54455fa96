/* SPDX-License-Identifier: ISC
 *
 * For parts built on the loop, as <net/net.h> and <fs/fs.h> are: what a part keeps once for each loop and where it
 * lives, working memory, descriptors and the log. Programs need nothing of this. All of it is for the loop's thread.
 */
#ifndef LOOP_PART_H
#define LOOP_PART_H

#include <loop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the loop's own scope, for descriptors and jobs that a part shares among the program's scopes. It is cancelled
 * when main's scope has ended, and loop_run waits for what is left in it. Jobs in it don't keep the loop running. */
LOOP_API struct loop_scope *loop_part_scope(struct loop *loop);

/* Returns the place in which the part that owns the address `key` keeps a pointer of its own in this loop: the same one
 * at each call, NULL in it at first. It is gone after the loop's own scope has ended; the loop never looks at what it
 * points to. Returns NULL when there is no memory. */
LOOP_API void **loop_part_slot(struct loop *loop, const void *key);

/* ---- working memory ---- */

/* Returns at least `size_bytes` of memory, aligned to 64 bytes, for a part that needs much of it for a short time. The
 * contents are undefined. The loop keeps the largest block that was given back for the next caller, so that it stays in
 * the processor's caches. Returns NULL when there is no memory. Give each block back before the loop ends: a debug
 * build logs a warning for one that is left. */
LOOP_API void *loop_scratch_take(struct loop *loop, size_t size_bytes);

/* Gives memory from loop_scratch_take back. NULL is harmless. */
LOOP_API void loop_scratch_give(struct loop *loop, void *memory);

/* ---- descriptors ---- */

/* loop_fd_adopt for a stream socket that is known to be nonblocking and CLOEXEC, such as a result of loop_op_accept.
 * Makes one system call, which asks for the protocol, or two where that is not TCP. */
LOOP_API struct loop_fd *loop_fd_adopt_stream(struct loop_scope *scope, int number);

/* Keeps the object of a descriptor, with its flow, source and sink, until loop_fd_unpin. Keeps neither its number nor
 * its openness: close, destroy and the end of its scope proceed as without a pin, and only the memory is not reused.
 * What is started on a descriptor that is gone ends with -EBADF. For parts that keep a pointer to a descriptor, source
 * or sink across a return to the loop without a job on it. Drop all pins before the loop ends: a debug build logs a
 * warning where some are left. */
LOOP_API void loop_fd_pin(struct loop_fd *fd);

/* Drops a pin. The pointer is dead from now on where the descriptor is gone and this was the last pin. */
LOOP_API void loop_fd_unpin(struct loop_fd *fd);

/* Waits until a descriptor may be free, after -EMFILE or -ENFILE. Resumes with 0 when the loop has closed one, or when
 * `timeout_ns` have passed, since other threads and processes may close some too. Counted in struct loop_stats. */
LOOP_API loop_job loop_descriptor_wait(struct loop_scope *scope, int64_t timeout_ns, loop_fn *fn, void *arg);

/* Resumes with POLLIN once soon after the start, and then each time something has come that a read would return: bytes,
 * a datagram, a connection, the end, an error. Cancelled, it ends with -ECANCELED. Edge-triggered: the continuation
 * must read by system calls until -EAGAIN. Other reads of the descriptor wait until it has ended. Ends with -EINVAL for
 * what can't be polled, such as a file. `scope` owns the job; NULL means the scope of `fd`. */
LOOP_API loop_job loop_op_poll_multishot(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg);

/* ---- streams ---- */

/* What a stream of the part's own does. All three are called on the loop's thread while the stream has no result, with
 * the `ops_arg` of loop_promise_stream; none may resume the program's functions. `cancel` has to see to it that
 * loop_resolve is called, then or later. `pause` and `resume` are what loop_pause and loop_resume do; they return 0, or
 * -ENOENT when the stream is about to end. */
struct loop_stream_ops {
    loop_cancel_fn *cancel LOOP_ZERO;
    int (*pause)(void *ops_arg, loop_job stream) LOOP_ZERO;
    int (*resume)(void *ops_arg, loop_job stream) LOOP_ZERO;
};

/* loop_promise for a stream: a job that loop_pause and loop_resume work on. `ops` must stay until loop_resolve has been
 * called. Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_promise_stream(struct loop_scope *scope, const struct loop_stream_ops *ops, void *ops_arg,
                                      loop_fn *fn, void *arg);

/* ---- the log ---- */

/* Formats one line, without its newline, and gives it to the loop's log function. */
LOOP_API void loop_log(struct loop *loop, enum loop_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- checks ----
 *
 * What the public functions of a part ask of what they are given; see <loop/base.h> for mistakes. Each returns true
 * when it may be used. Where it may not, a debug build stops with a line that names `function` and what is wrong. */

LOOP_API bool loop_check_scope(const struct loop_scope *scope, const char *function);
LOOP_API bool loop_check_fd(const struct loop_fd *fd, const char *function);
LOOP_API bool loop_check_flow(const struct loop_flow *flow, const char *function);

/* For an argument that points to what the caller has or wants: false for NULL. */
LOOP_API bool loop_check_pointer(const void *pointer, const char *name, const char *function);

/* For an object of the part's own, which `kind` names, in the memory of a scope to which it has a pointer, `scope_at`
 * bytes from its start. Returns false for NULL, and in a debug build when the scope has ended. */
LOOP_API bool loop_check_object(const void *object, size_t scope_at, const char *kind, const char *function);

#ifdef __cplusplus
}
#endif

#endif
