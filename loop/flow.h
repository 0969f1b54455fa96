/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks: where bytes come from, and where they go. A flow, such as a socket, is both.
 *
 * A source or sink is a small table of functions and two pointers, so that a program can write its own. Every call here
 * works on those as on descriptors. Jobs belong to the scope of the source or sink.
 *
 * The memory that is given to a read or a write, the iovec array included, is in use until the continuation of the job
 * is resumed, also after a cancel or a close.
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

/* The functions of a source. Only `read` is required; the others may be NULL. With `try_read` and `wait_readable` a
 * stream reads straight into a chunk of the region; without them it reads into a buffer of its own, of 64 KiB at most,
 * and copies. A source that is built on another one passes both on, by loop_try_read and loop_wait_readable. A result
 * of more bytes than were asked for stops a debug build; otherwise it becomes -EINVAL. Once its scope is cancelled a
 * source is not read any more, and a sink not written to: the calls end with -ECANCELED. */
struct loop_source_ops {
    /* Starts a read of 1 to `len` bytes, and keeps the promises of loop_read. `len` is never 0. The job is one of
     * loop_promise, or of the source below. */
    loop_job (*read)(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Returns the descriptor from which the bytes may be read directly, or NULL. */
    struct loop_fd *(*fd)(struct loop_source *source)LOOP_ZERO;
    /* Closes what is behind the source; results as loop_source_close. */
    int (*close)(struct loop_source *source) LOOP_ZERO;
    /* Reads what is there now. Returns 1 to `len`, 0 at the end, or -errno: -EAGAIN where a read would wait. */
    int64_t (*try_read)(struct loop_source *source, void *buf, size_t len) LOOP_ZERO;
    /* Starts a job that takes nothing from the source. It ends with 0 when try_read may return something else than
     * -EAGAIN, or with -EOPNOTSUPP where the source can't tell. */
    loop_job (*wait_readable)(struct loop_source *source, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Takes back the last `len` bytes that it has delivered: copies them, or goes back by as many. Its next reads
     * deliver them again. Returns 0 or -errno. Without this function a copy loses what it has read and can't write. */
    int (*unread)(struct loop_source *source, const void *bytes, size_t len) LOOP_ZERO;
};

/* The functions of a sink. Only `write` is required; the others may be NULL. The library keeps a queue for a sink of
 * the program's own: it calls `write` and `shutdown` in the order of the calls, each when the job before it has ended.
 * So such a sink needs no queue, and loop_sink_queued, loop_sink_is_full, loop_sink_limit and loop_sink_wait_drained
 * work as on a descriptor. The struct loop_sink has to stay in its place until all jobs of the sink have ended.
 *
 * `write` writes all of the vectors and keeps the promises of loop_writev. Where it returns 0 the write ends with
 * -ENOMEM. A result of more bytes than it was given stops a debug build; otherwise the write ends with -EINVAL.
 * `shutdown` ends the output. */
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
    struct loop_fd *fd LOOP_ZERO; /* NULL where the flow is not that of one descriptor */
};

/* ---- reading ---- */

/* Reads once. Resumes with 1 to `len` as soon as there are bytes, 0 at the end of the source, or -errno: -EINVAL when
 * `len` is 0, which would look like the end. Several reads of one source are served in the order of the calls. A read
 * of a socket of packets or datagrams takes one of them, and loses what does not fit, recv(2). What fits is `len` here,
 * a chunk or more in streams, a chunk in readers, 64 KiB in loop_copy. loop_op_recv_msg reports the loss, and net/net.h
 * has datagram sockets. */
LOOP_API loop_job loop_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads until `len` bytes are there. Resumes with `len`; with the count of the bytes in `buf` when the source ended or
 * the job was cancelled before; with -errno where none came. The next read, of whatever kind, returns an error that
 * came behind some bytes. Several such reads of a descriptor don't mix their bytes; of another source, start one at a
 * time. */
LOOP_API loop_job loop_read_exact(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads what is there now, without waiting. Returns 1 to `len`, 0 at the end of the source, or -errno: -EAGAIN when a
 * read would wait, when other reads wait, and always for a source without `try_read`. */
LOOP_API int64_t loop_try_read(struct loop_source *source, void *buf, size_t len);

/* Waits until loop_try_read may return something else than -EAGAIN. Resumes with 0, and takes nothing from the source;
 * it waits in the order of the reads. -EOPNOTSUPP for a source that can't tell: a file, or one of the program's own
 * without `wait_readable`. */
LOOP_API loop_job loop_wait_readable(struct loop_source *source, loop_fn *fn, void *arg);

/* Gives the last `len` bytes that were read back to the source: the next reads deliver them first. For the source of a
 * descriptor this is loop_fd_unread (<loop/fd.h>). Returns 0; -EOPNOTSUPP where the source takes nothing back; -EINVAL
 * where the bytes can't be those that it delivered; -EBADF when it is closed; -ENOMEM. */
LOOP_API int loop_source_unread(struct loop_source *source, const void *bytes, size_t len);

/* The continuation of a stream. While bytes come, `result` is their count, and they are at the start of `chunk`, which
 * is lent for the duration of the call: loop_chunk_keep keeps it longer, loop_write_chunk takes it over. At the end,
 * once, `chunk` is NULL, and `result` is 0 for the end of the source or -errno. */
typedef void loop_stream_fn(void *arg, int64_t result, struct loop_chunk *chunk);

/* Reads as bytes come, without a buffer of the program's own. When no chunk is free the stream waits in line for one.
 * An idle stream holds none. A cancel ends it with -ECANCELED: bytes that have been read are lent first, others stay in
 * the source. Where no chunk is free the bytes that have been read wait for one; they are dropped when the scope is
 * cancelled. */
LOOP_API loop_job loop_stream(struct loop_source *source, loop_stream_fn *fn, void *arg);

/* ---- writing ---- */

/* Writes all of the bytes, after the writes that were started before. Resumes with `len`; when an error or a cancel
 * came in between, with the count that was written, or -errno where none was. Without a continuation anything less than
 * `len` fails the scope with the error. All that one continuation writes is sent in one system call, except where the
 * descriptor keeps writes apart (a socket of packets or datagrams, a pipe in packet mode, a device): there each write
 * is one packet, in one call. The queue of a sink has a limit (loop_sink_limit). A write that finds it full ends with
 * -ENOBUFS and writes nothing, and so does every later one until that continuation has been resumed, so that no gap
 * appears in what is written. */
LOOP_API loop_job loop_write(struct loop_sink *sink, const void *buf, size_t len, loop_fn *fn, void *arg);

/* Writes any number of vectors, also more than IOV_MAX, as loop_write does. -EINVAL when they have more bytes than a
 * result can count. */
LOOP_API loop_job loop_writev(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg);

/* Writes the first `len` bytes of a chunk as loop_write does, and gives the chunk back when the job has ended. Takes
 * over a chunk that a stream lends, or one that the program owns, also where it returns job 0. When less than half of
 * the region is free, bytes that can't be sent at once are moved out of their chunk. */
LOOP_API loop_job loop_write_chunk(struct loop_sink *sink, struct loop_chunk *chunk, size_t len, loop_fn *fn,
                                   void *arg);

/* Returns how many bytes wait in the sink's queue, those being written included. 0 for a sink without a queue, such as
 * one in memory. */
LOOP_API size_t loop_sink_queued(const struct loop_sink *sink);

/* Whether the next write would be refused. Always false for a sink without a queue. */
LOOP_API bool loop_sink_is_full(const struct loop_sink *sink);

/* Sets the limit of the sink's queue, which is 1 MiB by default. A write is accepted while less than that is queued, so
 * that an empty queue accepts one write of any size. Returns 0; -EOPNOTSUPP for a sink without a queue; for one of the
 * program's own also -ENOMEM, and -ECANCELED when its scope has ended. */
LOOP_API int loop_sink_limit(struct loop_sink *sink, size_t limit_bytes);

/* Waits for room: resumes with 0 when at most half of the limit is queued, or with -errno when the last write has
 * failed. A call that waits for a state is named `wait_` and the state, here and for writers and datagram sockets, as
 * loop_wait_readable is. */
LOOP_API loop_job loop_sink_wait_drained(struct loop_sink *sink, loop_fn *fn, void *arg);

/* Says that nothing more comes, when all that was written before has left: half-closes a socket, closes a pipe,
 * ends a memory sink. Resumes with 0 or -errno; a peer that is gone already is no error. */
LOOP_API loop_job loop_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

/* ---- closing ---- */

/* Closes what is behind the source: for that of a descriptor as loop_fd_close. Returns 0; -EBADF when it was closed
 * before; -EOPNOTSUPP for a source of the program's own without `close`. An error that its next read would return is
 * forgotten. */
LOOP_API int loop_source_close(struct loop_source *source);

/* Closes what is behind the sink: for that of a descriptor as loop_fd_close. Returns 0; -EBADF when it was closed
 * before; -EOPNOTSUPP for a sink of the program's own without `close`. Forgets its limit and the error of its last
 * write. */
LOOP_API int loop_sink_close(struct loop_sink *sink);

/* Closes the descriptor of a flow as loop_fd_close; where the flow has none, its source and its sink. Returns 0 or the
 * first error. */
LOOP_API int loop_flow_close(struct loop_flow *flow);

/* ---- moving ---- */

/* Copies from `source` to `sink` until the source ends. Reads no more while the sink is slow. Closes and shuts down
 * neither. The job belongs to the source's scope and holds the sink's scope open as well. The copy ends when either
 * scope is cancelled, or source or sink is closed. Between regular files a thread copies; other reads of the source and
 * writes to the sink come in between.
 *
 * Resumes with how many bytes the sink has accepted, also after a cancel or an error; with -errno only where it has
 * accepted none. So a positive count doesn't say that the source has ended: loop_copy_report does, and the next read of
 * the source returns its error. Without a continuation an error fails the scope, whatever was copied before. -EBADF,
 * before anything is read, when the sink's descriptor is closed.
 *
 * What was read and not written goes back to the source, and its next read delivers it: as unread bytes of its
 * descriptor (<loop/fd.h>), in a reader, or in a source that has `unread`. The position of a regular file is set back
 * instead, unless another job has read the file meanwhile. */
LOOP_API loop_job loop_copy(struct loop_source *source, struct loop_sink *sink, loop_fn *fn, void *arg);

/* How a copy ended. */
struct loop_copy_outcome {
    int64_t bytes;      /* how many the sink has accepted */
    int64_t lost_bytes; /* read of a source that takes nothing back, and not written */
    int error;          /* 0: the source has ended. Otherwise -errno: why the copy has ended before that */
    bool is_sink_error; /* the error is the sink's; else the source's, or the copy was cancelled */
};

/* Copies as loop_copy does, and reports the end in `*outcome`, which is in use until the continuation is resumed. */
LOOP_API loop_job loop_copy_report(struct loop_source *source, struct loop_sink *sink,
                                   struct loop_copy_outcome *outcome, loop_fn *fn, void *arg);

/* Makes a pipe(2), nonblocking and CLOEXEC: what is written to `*sink` comes out of `*source`. Both belong to `scope`.
 * Returns 0 or -errno: -EMFILE, -ENFILE, -ENOMEM, -ECANCELED in a scope that has ended. */
LOOP_API int loop_pipe(struct loop_scope *scope, struct loop_source **source, struct loop_sink **sink);

/* ---- without a descriptor ---- */

/* Returns a source of the `len` bytes at `data`, which are not copied and have to outlive it. NULL when there is no
 * memory. */
LOOP_API struct loop_source *loop_memory_source(struct loop_scope *scope, const void *data, size_t len);

/* Returns a sink that keeps what is written to it. Writes beyond `limit_bytes` (0: no limit) end with -ENOSPC. NULL
 * when there is no memory. */
LOOP_API struct loop_sink *loop_memory_sink(struct loop_scope *scope, size_t limit_bytes);

/* Returns the bytes that a sink of loop_memory_sink keeps, and their count in `*len`. They belong to the sink, and move
 * when more are written. */
LOOP_API const void *loop_memory_data(const struct loop_sink *memory_sink, size_t *len);

/* Returns a source that is at its end. NULL when there is no memory. */
LOOP_API struct loop_source *loop_null_source(struct loop_scope *scope);

/* Returns a sink that accepts everything and keeps nothing. NULL when there is no memory. */
LOOP_API struct loop_sink *loop_null_sink(struct loop_scope *scope);

#ifdef __cplusplus
}
#endif

#endif
