/* SPDX-License-Identifier: ISC
 *
 * Sources deliver bytes, sinks accept bytes. A flow is both, such as a socket.
 *
 * A source or sink is a table of functions and two pointers, so a program can write its own. Every function here works
 * on those as on descriptors. A job belongs to the scope of its source or sink. Cancelled, it ends with -ECANCELED
 * unless its comment says otherwise.
 *
 * The job of a read or write uses the memory it was given, the iovec array included, until its continuation is resumed,
 * even after a cancel or a close. Where a thread of the pool is stuck in it, as in a write to a full terminal on epoll,
 * a cancelled job ends when the system call has returned: loop_options.interrupt_signal interrupts that.
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

/* The functions of a source that the program implements. `read` is required; the others may be NULL.
 *
 * With `try_read` and `wait_readable` a stream reads directly into a chunk of the region. Without them it reads into a
 * buffer of its own, of at most 64 KiB, and copies. A source on top of another source implements both with
 * loop_try_read and loop_wait_readable.
 *
 * A source that returns more bytes than it was asked for aborts a debug build; otherwise the read ends with -EINVAL.
 * After the scope of a source is cancelled its functions are not called for bytes: reads end with -ECANCELED. */
struct loop_source_ops {
    /* Starts a read of 1 to `len` bytes and keeps the promises of loop_read. `len` is never 0. Returns a job of
     * loop_promise, or the job of a read from the source below. */
    loop_job (*read)(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Returns the descriptor from which the library may read the bytes directly, or NULL. */
    struct loop_fd *(*fd)(struct loop_source *source)LOOP_ZERO;
    /* Closes the source. Returns 0 or -errno for loop_source_close; -EBADF when it is closed already. */
    int (*close)(struct loop_source *source) LOOP_ZERO;
    /* Reads without waiting. Returns 1 to `len`, 0 at the end, or -errno; -EAGAIN where a read would wait. */
    int64_t (*try_read)(struct loop_source *source, void *buf, size_t len) LOOP_ZERO;
    /* Starts a job that reads nothing. It ends with 0 when try_read may return something other than -EAGAIN, or with
     * -EOPNOTSUPP where the source cannot detect that. */
    loop_job (*wait_readable)(struct loop_source *source, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Takes back the last `len` bytes it has delivered, by a copy or by moving its position back. Its next reads
     * deliver them again; reads and jobs of wait_readable that wait already are resumed. Returns 0; -EBADF when it is
     * closed; -EOPNOTSUPP when it takes nothing back; or -errno.
     * Without it, or after one of these two errors, bytes that a copy has read and cannot write are lost. After another
     * error, such as -ENOMEM, the library keeps bytes of its own readers, copies and streams. The next reads of the
     * source get them first, until loop_source_close or the end of the scope. */
    int (*unread)(struct loop_source *source, const void *bytes, size_t len) LOOP_ZERO;
    /* Returns false only where a read would have to wait. A source on top of another source looks at what it has
     * buffered, and then calls loop_source_is_readable. Without it any read may end at once. */
    bool (*is_readable)(struct loop_source *source) LOOP_ZERO;
};

/* The functions of a sink that the program implements. `write` is required; the others may be NULL.
 *
 * The library keeps a queue for the sink. It calls `write` and `shutdown` in the order in which their jobs were
 * started, each after the job before it has ended. So a slow sink needs no queue of its own, and loop_sink_queued,
 * loop_sink_is_full, loop_sink_limit and loop_sink_wait_drained work as on a descriptor. It does not call `shutdown`
 * behind a write that has failed (loop_shutdown). After the scope of a sink is cancelled its functions are not called
 * for bytes: writes end with -ECANCELED. */
struct loop_sink_ops {
    /* Starts a write of all the vectors and keeps the promises of loop_writev. Where it returns 0 the write ends with
     * -ENOMEM. A result of more bytes than it was given aborts a debug build; otherwise the write ends with -EINVAL. */
    loop_job (*write)(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Starts a job that ends the output: no write follows. Keeps the promises of loop_shutdown. */
    loop_job (*shutdown)(struct loop_sink *sink, loop_fn *fn, void *arg) LOOP_ZERO;
    /* Called when a shutdown has been started directly behind the write in flight: what ends the output may leave
     * together with the last bytes. `shutdown` follows when the write has ended, unless it has been cancelled or the
     * write has failed. */
    void (*expect_shutdown)(struct loop_sink *sink) LOOP_ZERO;
    /* Returns the descriptor to which the library may write the bytes directly, or NULL. */
    struct loop_fd *(*fd)(struct loop_sink *sink)LOOP_ZERO;
    /* Closes the sink. Returns 0 or -errno for loop_sink_close; -EBADF when it is closed already. */
    int (*close)(struct loop_sink *sink) LOOP_ZERO;
};

/* A source. A program that implements one fills in this struct, and keeps it valid until all its jobs have ended. */
struct loop_source {
    const struct loop_source_ops *ops LOOP_ZERO;
    struct loop_scope *scope LOOP_ZERO; /* owns the jobs */
    void *self LOOP_ZERO;               /* for the functions in `ops` */
};

/* A sink. A program that implements one fills in this struct, and does not move it until all its jobs have ended: its
 * address identifies its queue. */
struct loop_sink {
    const struct loop_sink_ops *ops LOOP_ZERO;
    struct loop_scope *scope LOOP_ZERO; /* owns the jobs */
    void *self LOOP_ZERO;               /* for the functions in `ops` */
};

/* A source and a sink that belong together, such as the two directions of a socket. */
struct loop_flow {
    struct loop_source source LOOP_ZERO;
    struct loop_sink sink LOOP_ZERO;
    struct loop_scope *scope LOOP_ZERO; /* owns both */
    struct loop_fd *fd LOOP_ZERO;       /* the one descriptor of both, or NULL where there is none */
};

/* ---- reading ---- */

/* Reads once. Resumes with 1 to `len` as soon as there are bytes, 0 at the end of the source, or -errno: the source's
 * error, or -EINVAL when `len` is 0, because its result would look like the end. Several reads of one source are served
 * in the order of the calls.
 *
 * The kernel reports a reset once. Where a write to the same connection has ended with -ECONNRESET, the read that comes
 * to the end behind the last bytes does too, once: that is no end of the peer's. Also in streams, copies and readers.
 *
 * A packet or datagram socket delivers one message per read, and the part that does not fit is lost (recv(2)). What
 * fits is `len` here, a chunk or more in streams, a chunk in readers, and 64 KiB in loop_copy. loop_op_recv_msg reports
 * a truncated message; <net/net.h> has datagram sockets. */
LOOP_API loop_job loop_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads until `buf` has `len` bytes. Resumes with `len`; with fewer where the source ended, failed or the job was
 * cancelled after some bytes, which are in `buf`; with 0 or -errno where no bytes came. An error after some bytes, also
 * -ENOMEM, is returned once by the next read, of any kind. -EINVAL when `len` is 0. Concurrent reads of a descriptor do
 * not mix their bytes; other sources support only one loop_read_exact at a time. */
LOOP_API loop_job loop_read_exact(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg);

/* Reads without waiting. Returns 1 to `len` bytes, 0 at the end of the source, or -errno. -EAGAIN when a read would
 * wait or other reads are waiting, and always for a source without try_read, such as loop_reader_source. -EINVAL when
 * `len` is 0. -ECANCELED when the scope is cancelled or has ended, -ETIMEDOUT after its deadline. */
LOOP_API int64_t loop_try_read(struct loop_source *source, void *buf, size_t len);

/* Waits until loop_try_read may return something other than -EAGAIN. Resumes with 0, and reads nothing. Waits in one
 * line with the reads of the source. Ends with -EOPNOTSUPP for a source that cannot detect it: a file, a source of the
 * program without wait_readable, or loop_reader_source. Bytes for a reader arrive only in its own buffer:
 * loop_reader_fill waits for them, and loop_reader_peek returns them. */
LOOP_API loop_job loop_wait_readable(struct loop_source *source, loop_fn *fn, void *arg);

/* Returns false only where a read would have to wait: nothing has come that was not read, neither bytes nor the end nor
 * an error. It asks the kernel, so it knows of what has come since the loop looked last, which loop_try_read may not.
 * True where that cannot be detected: for a file, for a descriptor whose bytes the ring is receiving, and for a source
 * of the program without is_readable.
 *
 * A server looks before it closes a TCP connection: bytes that are unread, or come later, reset it, and the peer may
 * lose the last answer. With TLS a close_notify comes later. For a reader, look at loop_reader_source. */
LOOP_API bool loop_source_is_readable(struct loop_source *source);

/* Gives back the last `len` bytes that were read; the next reads deliver them first. For the source of a descriptor it
 * does what loop_fd_unread does (<loop/fd.h>). Returns 0; -EOPNOTSUPP where the source takes nothing back; -EINVAL
 * where the source cannot have delivered these bytes, or `bytes` is NULL and `len` is not 0; -EBADF when it is closed;
 * -EBUSY while an operation of a reader runs, for its source; -ENOMEM. */
LOOP_API int loop_source_unread(struct loop_source *source, const void *bytes, size_t len);

/* The continuation of a stream. For bytes, `result` > 0 is how many are at the start of `chunk`. The chunk is lent for
 * the duration of the call; loop_chunk_keep keeps it longer, and loop_write_chunk takes it over. The last call has NULL
 * as `chunk`, and as `result` 0 at the end of the source, or -errno. */
typedef void loop_stream_fn(void *arg, int64_t result, struct loop_chunk *chunk);

/* Reads bytes as they arrive into chunks of the region, and resumes `fn` for each until the source ends. When no chunk
 * is free the stream waits in line for one; an idle stream of any source holds none. loop_pause and loop_resume work on
 * it.
 *
 * Cancelled, it ends with -ECANCELED. Bytes not yet read stay in the source. Bytes already read are delivered first,
 * and wait for a chunk where none is free. Where earlier bytes are given back before that (loop_fd_unread), they follow
 * those as unread bytes instead. When the scope is cancelled, bytes that would have to wait are dropped. Where there is
 * no memory to wait, the stream ends with -ENOMEM, and the bytes go back to the source. */
LOOP_API loop_job loop_stream(struct loop_source *source, loop_stream_fn *fn, void *arg);

/* ---- writing ---- */

/* Writes all `len` bytes, after all earlier writes to the sink. Resumes with `len`. After an error or a cancel it
 * resumes with the count that was written, or with -errno where none was. Without a continuation, a write of fewer than
 * `len` bytes fails the scope with the error. -EINVAL when `len` is more than INT64_MAX.
 *
 * Writes that were started in one continuation leave in one system call. Where the descriptor preserves message
 * boundaries (a packet or datagram socket, a pipe in packet mode, a device), each write is one message in a system call
 * of its own.
 *
 * The queue of a sink is bounded (loop_sink_limit). A write that finds the queue full ends with -ENOBUFS and writes
 * nothing. So does every later write until the continuation of that one has been resumed: the bytes written have no
 * gap. For the same reason the writes and copies behind a write or a copy that fails to write end with its error and
 * write nothing, and so do those that are started before its continuation is resumed. A copy that is started behind a
 * refused write ends with -ENOBUFS. A write that is cancelled does not end the others, nor does one of a sink that
 * preserves message boundaries; a sink of the program's own is called for each. */
LOOP_API loop_job loop_write(struct loop_sink *sink, const void *buf, size_t len, loop_fn *fn, void *arg);

/* Writes the bytes of `n_iov` vectors, in order, as one loop_write of all of them would. There may be more vectors than
 * IOV_MAX. The vectors are in use until the continuation is resumed. -EINVAL when the lengths add up to more than
 * INT64_MAX. */
LOOP_API loop_job loop_writev(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg);

/* Writes the first `len` bytes of a chunk, with the results of loop_write, and gives the chunk back when the write has
 * ended in any way, or the call has returned job 0. Takes over a chunk that a stream lends, or one that the caller
 * owns. Where the bytes cannot leave at once and less than half of the region is free, they are copied elsewhere and
 * the chunk is given back early. -EINVAL when `len` is more than the chunk has, or the chunk is another loop's. */
LOOP_API loop_job loop_write_chunk(struct loop_sink *sink, struct loop_chunk *chunk, size_t len, loop_fn *fn,
                                   void *arg);

/* Returns how many bytes are in the sink's queue, including those being written. 0 for a sink without a queue, which
 * accepts everything at once, such as one in memory. */
LOOP_API size_t loop_sink_queued(const struct loop_sink *sink);

/* Returns whether the next write would end with -ENOBUFS. False for a sink without a queue, such as one in memory. */
LOOP_API bool loop_sink_is_full(const struct loop_sink *sink);

/* Sets the limit of the sink's queue; the default is loop_options.sink_limit_bytes. A write is accepted while fewer
 * than `limit_bytes` bytes are queued, so an empty queue accepts one write of any size. Returns 0; -EOPNOTSUPP for a
 * sink without a queue, such as one in memory; -ENOMEM or, when its scope has ended, -ECANCELED for a sink of the
 * program. */
LOOP_API int loop_sink_limit(struct loop_sink *sink, size_t limit_bytes);

/* Waits until at most half of the limit is queued. Resumes with 0, or with -errno when the last write has failed. A
 * sink without a queue resumes with 0 at once. Every function that waits for a state is named `wait_` and the state, as
 * loop_wait_readable and those of writers and datagram sockets are. */
LOOP_API loop_job loop_sink_wait_drained(struct loop_sink *sink, loop_fn *fn, void *arg);

/* Ends the output of the sink after all earlier writes have left: shuts down a socket for writing, closes a pipe, ends
 * a memory sink. Started behind a write in the same continuation, it ends a TCP connection in the segment of the last
 * bytes, unless a protocol such as TLS in the kernel is on top (TCP_ULP). Resumes with 0 or -errno. A peer that has
 * already gone is not an error. Later writes to a socket, a pipe or a memory sink end with an error.
 *
 * Behind a write or a copy that fails, or a write that was refused, it ends with the error of that one, and so does a
 * shutdown that is started before the continuation of that one is resumed. Nothing is shut down: the peer cannot
 * mistake what it got for all. Where a write of a sink of the program's own has stopped half-way the error is -EIO.
 * The program may then write the rest and shut down again. A close of the descriptor ends the output too, so a
 * connection whose peer must notice is reset (SO_LINGER with a time of 0) before it is closed. Like writes, a shutdown
 * goes on behind one that was cancelled, or that has failed on a sink that preserves message boundaries. */
LOOP_API loop_job loop_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg);

/* ---- closing ---- */

/* Closes the source. For the source of a descriptor this is loop_fd_close: both directions. The streams and copies that
 * use the source, directly or through readers, end with -ECANCELED. Returns 0; -EBADF when it was closed before;
 * -EOPNOTSUPP for a source of the program without `close`. Bytes and an error kept for its next read are dropped, so
 * call it before the struct is used for another source. */
LOOP_API int loop_source_close(struct loop_source *source);

/* Closes the sink. For the sink of a descriptor this is loop_fd_close: both directions. The copies that use the sink
 * end with -ECANCELED. Returns 0; -EBADF when it was closed before; -EOPNOTSUPP for a sink of the program without
 * `close`. The limit of a sink of the program and the error of its last write are forgotten. */
LOOP_API int loop_sink_close(struct loop_sink *sink);

/* Closes the source and the sink of a flow. With a descriptor this is loop_fd_close. Without one it does what
 * loop_source_close and then loop_sink_close do, and returns the error of the source, else that of the sink. Returns 0
 * or -errno: -EBADF when it was closed before, -EOPNOTSUPP where one of the two has no `close`. */
LOOP_API int loop_flow_close(struct loop_flow *flow);

/* ---- moving ---- */

/* Moves bytes from `source` to `sink` until the source ends. It reads no faster than the sink accepts, and neither
 * closes nor shuts down either of them. The job belongs to the scope of the source and also holds the scope of the sink
 * open. It ends when either scope is cancelled, or when the source or the sink is closed. Between regular files a
 * thread of the pool moves the bytes; other reads of the source and writes to the sink take turns with it. From a
 * regular file, or a part of one (loop_range_source), to a TCP or Unix stream socket the kernel moves what is in the
 * page cache (sendfile(2)); what was written before the copy began leaves together with its first bytes.
 *
 * Resumes with how many bytes the sink has accepted, even when the copy was cancelled or one of the two has failed;
 * with -errno only where the sink has accepted none. So a positive count does not tell whether the source has ended:
 * loop_copy_report does, or the next read of the source, which returns the source's error. Without a continuation an
 * error fails the scope, however many bytes were moved. -EBADF, before anything is read, when the descriptor of the
 * sink is closed.
 *
 * Bytes that were read and not written go back to the source, and its next read delivers them: as unread bytes of a
 * descriptor (<loop/fd.h>), in a reader, or in a source with `unread`. For a regular file the position is set back
 * instead, unless other reads have moved it meanwhile. */
LOOP_API loop_job loop_copy(struct loop_source *source, struct loop_sink *sink, loop_fn *fn, void *arg);

/* How a copy ended. */
struct loop_copy_outcome {
    int64_t bytes;      /* how many bytes the sink has accepted */
    int64_t lost_bytes; /* bytes that were read and not written, of a source without `unread` or one that was closed */
    int error;          /* 0 when the source has ended; otherwise -errno: why the copy ended earlier */
    bool is_sink_error; /* whether `error` is the sink's; otherwise the source's, or the copy was cancelled */
};

/* Moves bytes as loop_copy does, with the same results, and stores in `*outcome` how the copy ended. The job uses
 * `outcome` until its continuation is resumed. */
LOOP_API loop_job loop_copy_report(struct loop_source *source, struct loop_sink *sink,
                                   struct loop_copy_outcome *outcome, loop_fn *fn, void *arg);

/* Creates a pipe(2), nonblocking and CLOEXEC: bytes written to `*sink` are read from `*source`. Both belong to `scope`.
 * Returns 0; -EMFILE, -ENFILE or -ENOMEM; -ECANCELED when the scope has ended. */
LOOP_API int loop_pipe(struct loop_scope *scope, struct loop_source **source, struct loop_sink **sink);

/* ---- without a descriptor ---- */

/* Creates a source that delivers the `len` bytes at `data` and then ends. The bytes are not copied and must outlive the
 * source, which belongs to `scope`. Returns NULL when there is no memory or the scope has ended. */
LOOP_API struct loop_source *loop_memory_source(struct loop_scope *scope, const void *data, size_t len);

/* Creates a source of a part of a regular file: the `len` bytes from `offset` on, and then its end. It has a position
 * of its own, and neither uses nor moves the file's. So any number of such sources can read one descriptor at the same
 * time. It ends earlier where the file does, so a program that needs all `len` bytes counts them. `*source` belongs to
 * `scope`. It does not keep `file` open: after a close of the descriptor its reads end with -EBADF. loop_source_close
 * ends it, and leaves the file open.
 *
 * Returns 0; -EBADF when `file` is closed; -EINVAL when it is no regular file, or the part ends beyond INT64_MAX;
 * -ENOMEM; -ECANCELED when the scope has ended. After an error `*source` is NULL. */
LOOP_API int loop_range_source(struct loop_scope *scope, struct loop_fd *file, uint64_t offset, uint64_t len,
                               struct loop_source **source);

/* Returns how many bytes a source of loop_range_source has still to deliver, or to send: the progress of a copy. Any
 * other source has none, and aborts a debug build. */
LOOP_API uint64_t loop_range_left(const struct loop_source *range_source);

/* Creates a sink that stores the bytes written to it, up to `limit_bytes` (0: no limit). A write beyond the limit ends
 * with -ENOSPC, one without memory with -ENOMEM, and stores nothing. The scope owns the sink and the bytes. Returns
 * NULL when there is no memory or the scope has ended. */
LOOP_API struct loop_sink *loop_memory_sink(struct loop_scope *scope, size_t limit_bytes);

/* Returns the bytes that were written to a sink of loop_memory_sink, and stores how many in `*len`. NULL when there are
 * none. The sink owns them; a later write may move them. Any other sink has none, and aborts a debug build. */
LOOP_API const void *loop_memory_data(const struct loop_sink *memory_sink, size_t *len);

/* Creates a source that has no bytes: it is at its end from the start. Returns NULL when there is no memory or the
 * scope has ended. */
LOOP_API struct loop_source *loop_null_source(struct loop_scope *scope);

/* Creates a sink that accepts every write and drops its bytes. Returns NULL when there is no memory or its scope has
 * ended already. */
LOOP_API struct loop_sink *loop_null_sink(struct loop_scope *scope);

#ifdef __cplusplus
}
#endif

#endif
