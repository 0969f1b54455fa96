/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks: where bytes come from, where they go. A flow is both: a socket.
 *
 * A source or sink is a small table of functions and two pointers, so that programs write their own; every
 * call here works on those as on descriptors. Jobs belong to the source's or sink's scope.
 *
 * Memory handed to a read or a write, the iovec array included, is the job's until its continuation is
 * resumed, also after a cancel or a close.
 */
#ifndef LOOP_FLOW_H
#define LOOP_FLOW_H

#include <loop/base.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_source;
struct loop_sink;

/* What a source of the program's own offers. Only `read` is required; the others may be NULL. `try_read` and
 * `wait_readable` let a stream read straight into a chunk of the region; without them it reads into a buffer of its
 * own, of 64 KiB at most, and copies. A source that stands on another passes both on, by loop_try_read and
 * loop_wait_readable. An answer of more bytes than were asked for stops a debug build; otherwise it becomes -EINVAL.
 * Once its scope is cancelled a source is asked for no bytes any more, and a sink gets none: the calls end with
 * -ECANCELED. */
struct loop_source_ops {
    /* Starts a read of 1 to `len` bytes (len is never 0) and keeps the promises of loop_read. The job is one from
     * loop_promise, or a job of what stands below. */
    loop_job (*read)(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Names the descriptor that bytes may be taken from directly, or NULL. */
    struct loop_fd *(*fd)(struct loop_source *source)LOOP_ZERO;
    /* Closes what stands behind, as loop_source_close says. */
    int (*close)(struct loop_source *source) LOOP_ZERO;
    /* Reads what is there now: 1 to `len`, 0 at the end, -errno; -EAGAIN where a read would wait. */
    int64_t (*try_read)(struct loop_source *source, void *buf, size_t len) LOOP_ZERO;
    /* Starts a job that takes nothing from the source and ends with 0 when try_read may return something else than
     * -EAGAIN, or with -EOPNOTSUPP where that can't be known. */
    loop_job (*wait_readable)(struct loop_source *source, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Takes back the last `len` bytes that it has delivered, which its next reads deliver again: copies them, or goes
     * back by so many. 0 or -errno. Without it what a copy has read and can't write is lost. */
    int (*unread)(struct loop_source *source, const void *bytes, size_t len) LOOP_ZERO;
};

/* What a sink of the program's own offers. The library keeps a queue for it: `write` and `shutdown` are called in the
 * order in which their jobs were started, each when the job before it has ended. So a sink that takes its time needs no
 * queue of its own, and loop_sink_queued, loop_sink_is_full, loop_sink_limit and loop_sink_wait_drained work as on a
 * descriptor. The struct loop_sink stays where it is until all jobs of the sink have ended.
 *
 * `write` writes all of the vectors and keeps the promises of loop_writev. Where it returns 0 the write ends with
 * -ENOMEM. More bytes than it was given stop a debug build; otherwise the write ends with -EINVAL. `shutdown` (may be
 * NULL) says that nothing more comes. */
struct loop_sink_ops {
    loop_job (*write)(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg) LOOP_ZERO;
    loop_job (*shutdown)(struct loop_sink *sink, loop_fn *fn, void *arg) LOOP_ZERO;
    struct loop_fd *(*fd)(struct loop_sink *sink)LOOP_ZERO;
    int (*close)(struct loop_sink *sink) LOOP_ZERO;
};

struct loop_source {
    const struct loop_source_ops *ops LOOP_ZERO;
    struct loop_scope *scope LOOP_ZERO;
    void *self LOOP_ZERO; /* for the functions in `ops` */
};

struct loop_sink {
    const struct loop_sink_ops *ops LOOP_ZERO;
    struct loop_scope *scope LOOP_ZERO;
    void *self LOOP_ZERO;
};

struct loop_flow {
    struct loop_source source LOOP_ZERO;
    struct loop_sink sink LOOP_ZERO;
    struct loop_scope *scope LOOP_ZERO;
    struct loop_fd *fd LOOP_ZERO; /* NULL where no single descriptor is behind it */
};

/* ---- reading ---- */

/* Reads once: resumes with 1 to `len` as soon as there are bytes, 0 at the end of the source, or -errno.
 * -EINVAL when `len` is 0, which would look like the end. Several reads on one source are served in the order
 * of the calls. A socket of packets or datagrams gives one at a time, and what of it has no room is lost, recv(2): room
 * is `len` here, a chunk or more in streams, a chunk in readers, 64 KiB in loop_copy. loop_op_recv_msg tells of a cut,
 * and net/net.h has datagram sockets. */
LOOP_API loop_job loop_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads until `len` bytes are there: resumes with `len`; with less when the source ended or the job was
 * cancelled before (what came is in `buf`); with -errno where nothing came. An error that comes behind some bytes is
 * returned once by the next read, of whatever kind. Two at a time on a descriptor don't mix their bytes; on a source of
 * another kind, have one at a time. */
LOOP_API loop_job loop_read_exact(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads what is there now and does not wait: returns 1 to `len` bytes, 0 at the end of the source, -errno. -EAGAIN when
 * a read would wait, when other reads are waiting, and always from a source that has no try_read. */
LOOP_API int64_t loop_try_read(struct loop_source *source, void *buf, size_t len);

/* Waits until loop_try_read may return something else than -EAGAIN: resumes with 0, and takes nothing from the source.
 * Its turn comes in order with the reads. -EOPNOTSUPP for a source that can't tell: a file, or one of the
 * program's own that has no wait_readable. */
LOOP_API loop_job loop_wait_readable(struct loop_source *source, loop_fn *fn, void *arg);

/* Gives back `len` bytes that were read, the last ones: the next reads deliver them first. On a descriptor's source
 * this is loop_fd_unread (<loop/fd.h>). 0, or -errno: -EOPNOTSUPP where the source takes nothing back, -EINVAL where
 * the bytes can't be those that it delivered, -EBADF when it is closed, -ENOMEM. */
LOOP_API int loop_source_unread(struct loop_source *source, const void *bytes, size_t len);

/* The stream's continuation. While bytes come: `result` > 0 and that many bytes at the start of `chunk`, lent for
 * the duration of the call; loop_chunk_keep keeps it longer, loop_write_chunk takes it over. At the end, once:
 * `chunk` is NULL and `result` 0 (end of the source) or -errno. */
typedef void loop_stream_fn(void *arg, int64_t result, struct loop_chunk *chunk);

/* Reads as bytes come, without a buffer of the program's own. When no chunk is free the stream waits in line for one;
 * an idle stream holds none, whatever its source. Cancel ends it with -ECANCELED; bytes not yet read stay in the
 * source, bytes that have been read are lent first. Those wait for a chunk where none is free, unless the scope is
 * cancelled: then they are dropped. */
LOOP_API loop_job loop_stream(struct loop_source *source, loop_stream_fn *fn, void *arg);

/* ---- writing ---- */

/* Writes all of it, after what was written before: resumes with `len`, or, when an error or a cancel came in
 * between, with the count that went out, or -errno where none did. Without a continuation that count is told to
 * nobody: anything less than all fails the scope with the error. Writes started in one continuation leave together in
 * one system call; but where the descriptor keeps writes apart (a socket of packets or datagrams, a pipe in packet
 * mode, a device), each is one packet, in one call. The queue of a sink is bounded (loop_sink_limit): a write that
 * finds it full ends with -ENOBUFS and writes nothing, and so does every later one until that continuation has been
 * resumed: there are no gaps. */
LOOP_API loop_job loop_write(struct loop_sink *sink, const void *buf, size_t len, loop_fn *fn, void *arg);

/* Gathers: any number of vectors, also beyond IOV_MAX. -EINVAL when their lengths add up to more than a result can
 * tell. */
LOOP_API loop_job loop_writev(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg);

/* Writes the first `len` bytes of a chunk and gives the chunk back when that has ended, however it ended. Takes
 * over a chunk that a stream is lending, or one of one's own; where it returns job 0 the chunk has been
 * given back. What can't leave at once doesn't keep the chunk from others: when less than half of the region is free
 * the bytes move elsewhere. */
LOOP_API loop_job loop_write_chunk(struct loop_sink *sink, struct loop_chunk *chunk, size_t len, loop_fn *fn,
                                   void *arg);

/* How many bytes wait in the sink's queue, those under way included; whether the next write would be refused; the limit
 * in bytes (default 1 MiB): a write is taken while less than that is queued, so that one write of any size is taken by
 * an empty queue. loop_sink_limit returns 0; -ENOMEM, for a sink of the program's own; -ECANCELED when its scope has
 * ended. Sinks that take all at once, such as one in memory, have no queue: 0, false and -EOPNOTSUPP. */
LOOP_API size_t loop_sink_queued(const struct loop_sink *sink);
LOOP_API bool loop_sink_is_full(const struct loop_sink *sink);
LOOP_API int loop_sink_limit(struct loop_sink *sink, size_t limit_bytes);

/* Waits for room: resumes with 0 when at most half of the limit is queued, or with -errno when the last write has
 * failed. A call that waits for a state is named `wait_` and the state, here and for writers and datagram sockets, as
 * loop_wait_readable is. */
LOOP_API loop_job loop_sink_wait_drained(struct loop_sink *sink, loop_fn *fn, void *arg);

/* Says that nothing more comes, when all that was written before has left: half-closes a socket, closes a pipe,
 * ends a memory sink. Resumes with 0 or -errno; a peer that is gone already is no error. */
LOOP_API loop_job loop_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

/* ---- closing ---- */

/* Close what stands behind. For a flow of a descriptor all three do the same: loop_fd_close. -EBADF when closed
 * before. -EOPNOTSUPP for one of the program's own that has no `close`. What the library keeps for one of those is
 * forgotten: the error of a source that its next read would return; the limit of a sink, and the error of its last
 * write. */
LOOP_API int loop_source_close(struct loop_source *source);
LOOP_API int loop_sink_close(struct loop_sink *sink);
LOOP_API int loop_flow_close(struct loop_flow *flow);

/* ---- moving ---- */

/* Moves bytes from `source` to `sink` until the source ends. Holds the source back while the sink is slow. Closes and
 * shuts down neither. Belongs to the source's scope, and holds that of the sink open as well: when either is cancelled,
 * or one of the two is closed, the copy ends. Between regular files a thread moves the bytes; other reads of the source
 * and writes to the sink come in between.
 *
 * Resumes with how many bytes the sink has taken, also when the copy was cancelled or one of the two has failed; with
 * -errno only where it has taken none. So a positive count doesn't say that the source has ended: loop_copy_report
 * does, and otherwise the next read of the source returns its error. Without a continuation an error fails the scope,
 * whatever was moved before. -EBADF, before anything is read, when the sink is a descriptor's that is closed.
 *
 * What was read and not written is the source's again, and the next read of it delivers it: as unread bytes of its
 * descriptor (<loop/fd.h>), in a reader, or in a source that has `unread`. A regular file's position is set back
 * instead, unless others have read the file meanwhile. */
LOOP_API loop_job loop_copy(struct loop_source *source, struct loop_sink *sink, loop_fn *fn, void *arg);

/* How a copy ended. */
struct loop_copy_outcome {
    int64_t bytes;      /* how many the sink has taken */
    int64_t lost_bytes; /* read of a source that takes nothing back, and not written */
    int error;          /* 0: the source has ended. Otherwise -errno: why the copy has ended before that */
    bool is_sink_error; /* that is the sink's: else the source's, or the copy was cancelled */
};

/* loop_copy, and how it ended in `*outcome`, which is the job's until its continuation is resumed. */
LOOP_API loop_job loop_copy_report(struct loop_source *source, struct loop_sink *sink,
                                   struct loop_copy_outcome *outcome, loop_fn *fn, void *arg);

/* A pipe(2), nonblocking and CLOEXEC: what is written to `*sink` comes out of `*source`. Both live in `scope`.
 * Returns 0 or -errno (-EMFILE, -ENFILE, -ENOMEM, -ECANCELED in a scope that has ended). */
LOOP_API int loop_pipe(struct loop_scope *scope, struct loop_source **source, struct loop_sink **sink);

/* ---- without a descriptor ---- */

/* A source that gives the `len` bytes at `data`, then ends. The bytes are not copied and must outlive it. NULL when
 * there is no memory. */
LOOP_API struct loop_source *loop_memory_source(struct loop_scope *scope, const void *data, size_t len);

/* A sink that keeps what is written to it, up to `limit_bytes` (0: no limit), beyond which writes end with -ENOSPC.
 * The bytes are the sink's and move when more are written. */
LOOP_API struct loop_sink *loop_memory_sink(struct loop_scope *scope, size_t limit_bytes);
LOOP_API const void *loop_memory_data(const struct loop_sink *memory_sink, size_t *len);

/* At its end from the start; takes everything and keeps nothing. */
LOOP_API struct loop_source *loop_null_source(struct loop_scope *scope);
LOOP_API struct loop_sink *loop_null_sink(struct loop_scope *scope);

#ifdef __cplusplus
}
#endif

#endif
