/* SPDX-License-Identifier: ISC
 *
 * Descriptors that are passed over connections of Unix sockets, SCM_RIGHTS in unix(7). All functions are for the loop's
 * thread.
 */
#ifndef NET_PASS_H
#define NET_PASS_H

#include <net/net.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOOP_PASS_MAX_FDS 32
#define LOOP_PASS_MAX_BYTES 2048 /* what always leaves together with the descriptors */

/* Sends bytes together with `n_fds` descriptors, which stay open until then: the other end gets copies, as of dup(2).
 * `data` belongs to the job until the continuation is resumed; `fds` is not used after the call.
 *
 * The message is a write to the flow's sink: it leaves between the writes that were started before and after it, and
 * its bytes count in the queue. Only the first read that returns bytes of the message gets the descriptors, and only if
 * it is loop_receive_fds.
 *
 * Resumes with `len`; -EINVAL without bytes, without descriptors, or for more than LOOP_PASS_MAX_FDS; -EMSGSIZE for
 * more than LOOP_PASS_MAX_BYTES; -EBADF when one of the descriptors or the flow is closed, or the flow has no single
 * descriptor; -EOPNOTSUPP for a socket of another family; -ENOTSOCK; -ETOOMANYREFS when too many are on their way;
 * -EPIPE; -ECANCELED after a cancel, then nothing was sent; or an error of loop_write. */
LOOP_API loop_job loop_send_fds(struct loop_flow *flow, struct loop_fd *const *fds, size_t n_fds, const void *data,
                                size_t len, loop_fn *fn, void *arg);

/* Where received descriptors are stored. */
struct loop_passed {
    struct loop_fd **fds LOOP_ZERO; /* room for this many: */
    size_t room LOOP_ZERO;          /* at most LOOP_PASS_MAX_FDS */
    /* Set before the continuation is resumed: how many have arrived, and whether some were lost because there was no
     * room, or because of the limit of descriptors */
    size_t n LOOP_ZERO;
    bool is_truncated LOOP_ZERO;
};

/* Reads once, as loop_read does, and receives the descriptors that came with the bytes. They are close-on-exec and
 * belong to `scope`. Those without room in `passed` are closed. `buf` and `passed` belong to the job until the
 * continuation is resumed. Do not read from the flow otherwise meanwhile. Bytes that were read before and not used are
 * returned first, without descriptors: a stream or a reader on the flow loses those that it meets.
 *
 * Resumes with 1 to `len`; 0 at the end; -EINVAL for a `len` of 0 or too much room; -EBADF when the flow is closed or
 * has no single descriptor; -EOPNOTSUPP for a socket of another family; -ENOTSOCK; -ECANCELED after a cancel; or
 * another error of recvmsg(2). */
LOOP_API loop_job loop_receive_fds(struct loop_scope *scope, struct loop_flow *flow, void *buf, size_t len,
                                   struct loop_passed *passed, loop_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
