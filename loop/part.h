/* SPDX-License-Identifier: ISC
 *
 * Functions for libraries built on the loop, such as <net/net.h> and <fs/fs.h>: per-loop state, working memory,
 * descriptors, streams, the log and checks of arguments. Programs need none of them. All functions must be called on
 * the loop's thread.
 */
#ifndef LOOP_PART_H
#define LOOP_PART_H

#include <loop/loop.h>

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the loop's own scope, for descriptors and jobs that a part shares among the program's scopes. It is cancelled
 * when main's scope has ended, and loop_run returns after everything in it has ended. Jobs in it do not keep the loop
 * running. */
LOOP_API struct loop_scope *loop_part_scope(struct loop *loop);

/* Returns the address of a pointer that this loop stores for the part with the unique address `key`. Every call with
 * the same key returns the same address, and the pointer is NULL at first. It is valid until the loop's own scope has
 * ended. The loop neither reads nor frees the memory it points to. Returns NULL when there is no memory. */
LOOP_API void **loop_part_slot(struct loop *loop, const void *key);

/* Returns main's scope: loop_env.scope. It is valid until the loop's own scope is cancelled. */
LOOP_API struct loop_scope *loop_part_main_scope(struct loop *loop);

/* Sets the signal mask that children of this loop get, which loop_child_begin sets and loop_saved_mask returns. For a
 * part that runs loops in threads of its own, where every signal is blocked. */
LOOP_API void loop_part_set_child_mask(struct loop *loop, const sigset_t *mask);

/* ---- loops that share a region ---- */

/* The share of a loop in the region of several: see loop/ground/shares.h. */
struct loop_share;

/* Does what loop_run_with does, with a share of a region that other loops with the same options have the other shares
 * of. It takes a reference to it. With NULL the loop has a region of its own. */
LOOP_API int loop_part_run(const struct loop_options *options, const struct loop_share *share, loop_main_fn *main,
                           void *arg);

/* ---- jobs that wait for the same ---- */

/* A list of jobs that wait for one event of the part. Its fields are the library's. */
struct loop_waiters {
    struct loop_waiters *prev, *next;
};

/* Makes an empty list, in memory of the part that lasts as long as jobs are in it. */
LOOP_API void loop_waiters_init(struct loop_waiters *waiters);

/* Starts a job that waits in the list until loop_waiters_end, and resumes with the result given there. Cancelled, it
 * leaves the list and ends with -ECANCELED. Returns job 0 when there is no memory or the scope has ended. */
LOOP_API loop_job loop_waiters_add(struct loop_waiters *waiters, struct loop_scope *scope, loop_fn *fn, void *arg);

/* Ends all jobs of the list with `result`, in the order of their starts. Their continuations are resumed from the loop,
 * not inside the call. The list is empty then and can be used again. */
LOOP_API void loop_waiters_end(struct loop_waiters *waiters, int64_t result);

/* ---- tasks from other threads ---- */

/* A task of a loop. Like a post, but its memory is the sender's, so a full inbox cannot refuse it. */
struct loop_task {
    struct loop_task *next; /* of the inbox */
    loop_fn *fn;
    void *arg;
};

/* Runs `task->fn(task->arg, 0)` on the thread of the inbox's loop, soon. Tasks of one thread run in the order
 * of the calls. May be called on any thread that has a reference to the inbox until this has returned; it neither
 * blocks nor allocates. The task belongs to the loop until its function is called, which may free it. A task does
 * not keep a scope or the loop open.
 *
 * Returns 0: the function runs exactly once. When main's scope has ended, the remaining ones run with -ECANCELED in
 * place of 0, and can start no jobs. -ESHUTDOWN when main's scope of that loop has ended, and in a forked child; then
 * the task is still the caller's. -EINVAL for NULL. */
LOOP_API int loop_post_task(struct loop_inbox *inbox, struct loop_task *task);

/* Returns the inbox of a loop without taking a reference. It is valid as long as the loop. */
LOOP_API struct loop_inbox *loop_inbox_of(struct loop *loop);

/* Takes a reference to an inbox that the caller has a reference to, on any thread. Drop it with loop_inbox_unshare.
 * Unlike a reference of loop_inbox_ref, one that is left when the loop ends is not named in the log: the part drops it
 * later. */
LOOP_API void loop_inbox_share(struct loop_inbox *inbox);

/* Drops a reference of loop_inbox_share, on any thread. NULL is ignored. The last reference frees the inbox. */
LOOP_API void loop_inbox_unshare(struct loop_inbox *inbox);

/* Returns the loop of an inbox. Only for its thread: in the function of a task that is called with 0. */
LOOP_API struct loop *loop_inbox_loop(const struct loop_inbox *inbox);

/* ---- working memory ---- */

/* Returns at least `size_bytes` of memory, aligned to 64 bytes, for large buffers that are needed for a short time. The
 * contents are undefined. The loop keeps the largest block that was given back for the next caller, so that it stays in
 * the processor's caches. Returns NULL when there is no memory. The caller owns the block until loop_scratch_give,
 * which it must call before the loop ends: a debug build logs a warning for a block that is left. */
LOOP_API void *loop_scratch_take(struct loop *loop, size_t size_bytes);

/* Gives memory from loop_scratch_take back. NULL is ignored. */
LOOP_API void loop_scratch_give(struct loop *loop, void *memory);

/* ---- descriptors ---- */

/* Takes ownership of a stream socket that is nonblocking and CLOEXEC already, such as a result of loop_op_accept. It
 * saves the system calls with which loop_fd_adopt detects that, and only reads the protocol: one getsockopt(2), or two
 * for a Unix socket. Returns NULL when there is no memory, the scope has ended, or `number` is negative; an open
 * `number` has then been closed. */
LOOP_API struct loop_fd *loop_fd_adopt_stream(struct loop_scope *scope, int number);

/* Takes ownership of a datagram socket that is nonblocking and CLOEXEC already. It makes no system call. Returns NULL
 * when there is no memory, the scope has ended, or `number` is negative; an open `number` has then been closed. */
LOOP_API struct loop_fd *loop_fd_adopt_datagram(struct loop_scope *scope, int number);

/* Does what loop_fd_adopt_stream does for a socket that was accepted on `listener`, which may have been closed since:
 * the socket has its protocol, so no system call reads that. NULL for `listener`: one that is not known. */
LOOP_API struct loop_fd *loop_fd_adopt_accepted(struct loop_scope *scope, const struct loop_fd *listener, int number);

/* Keeps the memory of a descriptor's object, with its flow, source and sink, valid until loop_fd_unpin. It does not
 * keep the descriptor open: close, destroy and the end of its scope proceed as without a pin. Operations started after
 * that end with -EBADF. For parts that keep a pointer to a descriptor, source or sink across a return to the loop
 * without a job on it. Drop all pins before the loop ends: a debug build logs a warning where some are left. */
LOOP_API void loop_fd_pin(struct loop_fd *fd);

/* Drops a pin of loop_fd_pin. The pointer is invalid afterwards if this was the last pin and the descriptor was
 * destroyed or its scope has ended. */
LOOP_API void loop_fd_unpin(struct loop_fd *fd);

/* Returns how many jobs, uses (loop_fd_use) and pins a descriptor has. Inside a continuation the loop may have some of
 * its own for the job that has ended. */
LOOP_API uint32_t loop_fd_count_uses(const struct loop_fd *fd);

/* Returns whether the descriptor was borrowed. */
LOOP_API bool loop_fd_is_borrowed(const struct loop_fd *fd);

/* Returns the error that the next read would return behind all unread bytes, or 0, and keeps it no longer. Of a
 * descriptor without unread bytes, also in the continuation of loop_fd_take. */
LOOP_API int64_t loop_fd_take_error(struct loop_fd *fd);

/* Has the next read behind all unread bytes return `error`, a negative errno, once. One below
 * -32768 becomes -EINVAL. */
LOOP_API void loop_fd_keep_error(struct loop_fd *fd, int64_t error);

/* Waits until a descriptor may be free, after -EMFILE or -ENFILE. Resumes with 0 when the loop has closed a descriptor,
 * or after `timeout_ns` nanoseconds, because other threads and processes may close some too. Each closed descriptor
 * resumes one waiting job. Counted in loop_stats.descriptor_waits. Cancelled, it ends with -ECANCELED. Returns job 0
 * when there is no memory or the scope has ended. */
LOOP_API loop_job loop_descriptor_wait(struct loop_scope *scope, int64_t timeout_ns, loop_fn *fn, void *arg);

/* Polls a descriptor for input until it is cancelled. Resumes with POLLIN once soon after the start, and again each
 * time a read has something new to return: bytes, a datagram, a connection, the end, an error. Edge-triggered: the
 * continuation must read by system calls until -EAGAIN. Other reads of the descriptor wait until the job has ended.
 * `scope` owns the job; NULL means the scope of `fd`. Cancelled, it ends with -ECANCELED. Ends with -EINVAL for a
 * descriptor that cannot be polled, such as a file, without a continuation, and for a descriptor of another loop; with
 * -EBADF for a closed descriptor. */
LOOP_API loop_job loop_op_poll_multishot(struct loop_scope *scope, struct loop_fd *fd, loop_fn *fn, void *arg);

/* Sends all `len` bytes by a socket, after all earlier writes to its sink, and `n_fds` descriptors with the first of
 * them (SCM_RIGHTS). The job keeps the descriptors open until these bytes have left; `fds` is not used after the call.
 * `data` belongs to the job until the continuation is resumed. The job belongs to the scope of `fd`. It is a write to
 * the sink: it has the results of loop_write, also where it fails or is cancelled after some bytes; its bytes count in
 * the queue; and the writes behind it end as they do behind a write. On a packet or datagram socket it is one message.
 *
 * Also ends with -EINVAL without bytes or descriptors, or for more than 32 descriptors; -EBADF when `fd` or one of the
 * descriptors is closed, or one is NULL; -ENOTSOCK; or an errno of sendmsg(2). */
LOOP_API loop_job loop_fd_send_fds(struct loop_fd *fd, const void *data, size_t len, struct loop_fd *const *fds,
                                   size_t n_fds, loop_fn *fn, void *arg);

/* Calls the continuation of the program for a job that the part has made of several. Where `fn` is NULL, an error fails
 * `scope`, which must not have ended, as the error of a single job does. */
LOOP_API void loop_part_continue(struct loop_scope *scope, loop_fn *fn, void *arg, int64_t result);

/* A function that a part has called after a continuation. A part keeps one in an object of its own, with `fn` filled in
 * and zeros in the rest. */
struct loop_part_after {
    void (*fn)(struct loop_part_after *after) LOOP_ZERO;
    struct loop_scope *scope LOOP_ZERO; /* the loop's from here on */
    uintptr_t reserved[3] LOOP_ZERO;
    bool is_due LOOP_ZERO;
};

/* Has `after->fn(after)` called once when the continuation that runs has returned, before what was written is sent:
 * whatever it writes leaves together with that. Further calls before then have no effect. `scope` must not have ended,
 * and stays open until then; `after` must stay valid. The function may call itself in again. */
LOOP_API void loop_part_run_after(struct loop_scope *scope, struct loop_part_after *after);

/* ---- streams ---- */

/* The functions of a stream that a part implements. They are called on the loop's thread while the stream has no
 * result, with the `ops_arg` of loop_promise_stream. None of them may call functions of the program. */
struct loop_stream_ops {
    /* Called for loop_cancel and when the scope is cancelled: must call loop_resolve, now or later. */
    loop_cancel_fn *cancel LOOP_ZERO;
    /* Does and returns what loop_pause does and returns: 0, or -ENOENT when the stream is about to end. */
    int (*pause)(void *ops_arg, loop_job stream) LOOP_ZERO;
    /* Does and returns what loop_resume does and returns: 0, or -ENOENT when the stream is about to end. */
    int (*resume)(void *ops_arg, loop_job stream) LOOP_ZERO;
};

/* Starts a job that the part completes with loop_resolve, and that loop_pause and loop_resume accept. Like the job of
 * loop_promise, it ends when loop_resolve is called. `ops` must stay valid until then. Returns job 0 when there is no
 * memory, the scope has ended, or `ops` or one of its functions is NULL. */
LOOP_API loop_job loop_promise_stream(struct loop_scope *scope, const struct loop_stream_ops *ops, void *ops_arg,
                                      loop_fn *fn, void *arg);

/* ---- the log ---- */

/* Formats one line, without its newline, and passes it to the loop's log function. A long line is cut. */
LOOP_API void loop_log(struct loop *loop, enum loop_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- checks ----
 *
 * Checks of the arguments of a part's public functions; <loop/base.h> describes the mistakes they detect. `function` is
 * the name of the public function. Where an argument is bad a debug build aborts with a line that names the function
 * and the mistake. */

/* Returns whether `scope` is a scope that has not ended, called on its loop's thread. */
LOOP_API bool loop_check_scope(const struct loop_scope *scope, const char *function);

/* Does what loop_check_scope does, and returns whether `scope` is main's or one inside it, for jobs that other threads
 * end by a task: loop_post_task is refused when main's scope has ended, and the loop's own (loop_part_scope) ends
 * later. */
LOOP_API bool loop_check_main_scope(const struct loop_scope *scope, const char *function);

/* Returns whether `fd` is a descriptor's object that has not been freed, called on its loop's thread. */
LOOP_API bool loop_check_fd(const struct loop_fd *fd, const char *function);

/* Returns whether `flow` is not NULL and its descriptor, if it has one, has not been freed. */
LOOP_API bool loop_check_flow(const struct loop_flow *flow, const char *function);

/* Returns whether `pointer` is not NULL. `name` says in the message what it should point to. */
LOOP_API bool loop_check_pointer(const void *pointer, const char *name, const char *function);

/* Checks an object of the part, allocated in the memory of a scope. `scope_at` is the offset, in bytes, of its pointer
 * to that scope; `kind` names the object in the message. Returns false for NULL. A debug build aborts when the scope
 * has ended. */
LOOP_API bool loop_check_object(const void *object, size_t scope_at, const char *kind, const char *function);

#ifdef __cplusplus
}
#endif

#endif
