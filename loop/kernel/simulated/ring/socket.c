/* SPDX-License-Identifier: ISC
 *
 * Operations on sockets.
 */
#include <loop/kernel/simulated/ring/registered.h>
#include <loop/kernel/simulated/ring/socket.h>

#if NORIA_URING

#include <loop/kernel/simulated/network/network.h>

#include <limits.h>
#include <string.h>

/* Linux 5.19: the flags of accept and receive in the entry's ioprio. */
#define RECEIVE_FLAGS (IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT)

/* ---- connect ---- */

static int prepare_connect(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    if (entry->len || entry->buf_index || entry->rw_flags || entry->splice_fd_in ||
        entry->off > sizeof(struct sockaddr_storage)) {
        return -EINVAL;
    }
    if (!entry->addr && entry->off > 0) {
        return -EFAULT;
    }
    request->data = loop_sim_alloc(sizeof(struct sockaddr_storage));
    if (entry->off > 0) {
        memcpy(request->data, (const void *)(uintptr_t)entry->addr, entry->off);
    }
    return 0;
}

static int32_t issue_connect(struct loop_sim_request *request)
{
    int result = loop_sim_socket_connect(request->file, request->data, (socklen_t)request->entry.off);
    bool has_begun = request->done > 0;
    if (result == -EAGAIN && request->file->flags & O_NONBLOCK) {
        request->is_nowait = true; /* the backlog of a Unix listener is full: no event tells when it has room */
    }
    if (result == -EINPROGRESS || (has_begun && result == -EALREADY)) {
        request->done = 1;
        return LOOP_SIM_REQUEST_WAITS;
    }
    return has_begun && result == -EISCONN ? 0 : result;
}

const struct loop_sim_ring_op loop_sim_ring_connect = {
    .prepare = prepare_connect, .issue = issue_connect, .events = EPOLLOUT, .has_file = true};

/* ---- accept ---- */

static int prepare_accept(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    request->is_multishot = entry->ioprio & IORING_ACCEPT_MULTISHOT;
    bool is_wrong = entry->len || entry->buf_index || entry->file_index || entry->ioprio & ~IORING_ACCEPT_MULTISHOT ||
                    entry->accept_flags & ~(unsigned)(SOCK_CLOEXEC | SOCK_NONBLOCK);
    return is_wrong ? -EINVAL : 0;
}

static int32_t issue_accept(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    struct loop_sim_node *node = request->ring->file.node;
    int error, flags = (int)entry->accept_flags, number = loop_sim_file_reserve(node, 0);
    if (number < 0) {
        return number;
    }
    struct loop_sim_file *file = loop_sim_socket_accept(request->file, (struct sockaddr *)(uintptr_t)entry->addr,
                                                        (socklen_t *)(uintptr_t)entry->addr2, flags, &error);
    if (!file) {
        return error;
    }
    loop_sim_file_put(node, number, file, flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
    request->flags |= loop_sim_file_poll(request->file) & EPOLLIN ? IORING_CQE_F_SOCK_NONEMPTY : 0U;
    return number;
}

const struct loop_sim_ring_op loop_sim_ring_accept = {
    .prepare = prepare_accept, .issue = issue_accept, .events = EPOLLIN, .has_file = true};

/* ---- shutdown ---- */

static int prepare_shutdown(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    return entry->off || entry->addr || entry->rw_flags || entry->buf_index || entry->splice_fd_in ? -EINVAL : 0;
}

static int32_t issue_shutdown(struct loop_sim_request *request)
{
    return loop_sim_socket_shutdown(request->file, (int)request->entry.len);
}

const struct loop_sim_ring_op loop_sim_ring_shutdown = {
    .prepare = prepare_shutdown, .issue = issue_shutdown, .has_file = true, .is_slow = true};

/* ---- messages ---- */

/* What a send or receive moves: a copy of the message's header and vectors. */
struct message {
    struct msghdr header;
    struct msghdr *original; /* of the program; NULL for SEND and RECV */
    size_t len;              /* bytes in all */
    struct iovec vectors[];
};

static struct message *make_message(struct loop_sim_request *request, size_t n_iov)
{
    struct message *message = request->data = loop_sim_alloc(sizeof *message + n_iov * sizeof *message->vectors);
    message->header.msg_iov = message->vectors;
    message->header.msg_iovlen = n_iov;
    return message;
}

static int prepare_bytes(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    struct message *message = make_message(request, 1);
    message->vectors[0] = (struct iovec){(void *)(uintptr_t)entry->addr, entry->len};
    message->len = entry->len;
    return 0;
}

static int prepare_header(struct loop_sim_request *request)
{
    struct msghdr *original = (void *)(uintptr_t)request->entry.addr;
    if (!original) {
        return -EFAULT;
    }
    if (original->msg_iovlen > IOV_MAX) {
        return -EMSGSIZE;
    }
    struct message *message = make_message(request, original->msg_iovlen);
    message->header = *original;
    message->header.msg_iov = message->vectors;
    message->original = original;
    if (original->msg_iovlen > 0) {
        memcpy(message->vectors, original->msg_iov, original->msg_iovlen * sizeof *message->vectors);
    }
    message->len = loop_sim_vectors_length(message->vectors, message->header.msg_iovlen);
    return 0;
}

/* Removes bytes that have been moved from the front of the message. */
static void advance(struct message *message, size_t n)
{
    message->len -= n;
    struct msghdr *header = &message->header;
    while (n > 0) {
        size_t part = n < header->msg_iov->iov_len ? n : header->msg_iov->iov_len;
        header->msg_iov->iov_base = (char *)header->msg_iov->iov_base + part;
        header->msg_iov->iov_len -= part;
        n -= part;
        if (n > 0) {
            header->msg_iov++;
            header->msg_iovlen--;
        }
    }
}

/* Goes on after a part of MSG_WAITALL. Returns the result of the request, or LOOP_SIM_REQUEST_WAITS. */
static int32_t add_part(struct loop_sim_request *request, ssize_t moved)
{
    struct message *message = request->data;
    bool waits_for_all = request->entry.msg_flags & MSG_WAITALL && loop_sim_socket_is_stream(request->file);
    if (moved == -EAGAIN) {
        return LOOP_SIM_REQUEST_WAITS;
    }
    if (moved > 0 && waits_for_all && (size_t)moved < message->len) {
        advance(message, (size_t)moved);
        request->done += (size_t)moved;
        return LOOP_SIM_REQUEST_WAITS;
    }
    if (moved < 0) {
        return request->done > 0 ? (int32_t)request->done : (int32_t)moved;
    }
    return (int32_t)(request->done + (size_t)moved);
}

static int32_t cancelled_message(const struct loop_sim_request *request)
{
    return request->done > 0 ? (int32_t)request->done : -ECANCELED;
}

/* The program's flag that the operation is tried only when the socket is ready. */
static bool polls_first(const struct loop_sim_request *request)
{
    return request->entry.ioprio & IORING_RECVSEND_POLL_FIRST && !request->has_waited;
}

/* ---- send ---- */

static int prepare_send_flags(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    request->is_nowait = entry->msg_flags & MSG_DONTWAIT;
    return entry->file_index || entry->addr2 || entry->ioprio & ~IORING_RECVSEND_POLL_FIRST ? -EINVAL : 0;
}

static int prepare_send(struct loop_sim_request *request)
{
    int error = prepare_send_flags(request);
    return error ? error : prepare_bytes(request);
}

static int prepare_send_message(struct loop_sim_request *request)
{
    int error = prepare_send_flags(request);
    return error ? error : prepare_header(request);
}

static int32_t issue_send(struct loop_sim_request *request)
{
    const struct message *message = request->data;
    if (request->file->kind->is_socket && polls_first(request)) {
        return LOOP_SIM_REQUEST_WAITS;
    }
    int flags = (int)request->entry.msg_flags | MSG_NOSIGNAL;
    return add_part(request, loop_sim_socket_send(request->file, &message->header, flags));
}

const struct loop_sim_ring_op loop_sim_ring_send = {
    .prepare = prepare_send, .issue = issue_send, .cancelled = cancelled_message, .events = EPOLLOUT, .has_file = true};
const struct loop_sim_ring_op loop_sim_ring_send_message = {.prepare = prepare_send_message,
                                                            .issue = issue_send,
                                                            .cancelled = cancelled_message,
                                                            .events = EPOLLOUT,
                                                            .has_file = true};

/* ---- receive ---- */

static int prepare_receive_flags(struct loop_sim_request *request)
{
    const struct io_uring_sqe *entry = &request->entry;
    bool selects = entry->flags & IOSQE_BUFFER_SELECT;
    request->is_nowait = entry->msg_flags & MSG_DONTWAIT;
    request->is_multishot = entry->ioprio & IORING_RECV_MULTISHOT;
    if (entry->file_index || entry->addr2 || entry->ioprio & ~RECEIVE_FLAGS) {
        return -EINVAL;
    }
    return request->is_multishot && (!selects || entry->msg_flags & MSG_WAITALL || entry->len) ? -EINVAL : 0;
}

static int prepare_receive(struct loop_sim_request *request)
{
    int error = prepare_receive_flags(request);
    return error ? error : prepare_bytes(request);
}

/* Buffers are selected by RECV only. */
static int prepare_receive_message(struct loop_sim_request *request)
{
    int error = prepare_receive_flags(request);
    return error                     ? error
           : request->is_multishot   ? -EINVAL
           : request->entry.len != 1 ? -EINVAL
                                     : prepare_header(request);
}

/* Points the message to a provided buffer, unless a part of MSG_WAITALL is in one already. Returns 0 or -ENOBUFS. */
static int select_buffer(struct loop_sim_request *request)
{
    struct message *message = request->data;
    if (!(request->entry.flags & IOSQE_BUFFER_SELECT) || request->done > 0) {
        return 0;
    }
    size_t len = request->entry.len;
    void *buffer = loop_sim_request_select_buffer(request, &len);
    if (!buffer) {
        return -ENOBUFS;
    }
    message->vectors[0] = (struct iovec){buffer, len};
    message->len = len;
    return 0;
}

/* Copies back what the receive has found out beside the bytes. */
static void fill_in_original(struct message *message)
{
    struct msghdr *original = message->original;
    if (original) {
        original->msg_namelen = message->header.msg_namelen;
        original->msg_controllen = message->header.msg_controllen;
        original->msg_flags = message->header.msg_flags;
    }
}

/* Tells in the completion that the stream has more to receive. */
static void note_more(struct loop_sim_request *request, ssize_t received)
{
    request->flags &= ~IORING_CQE_F_SOCK_NONEMPTY;
    int left = received >= 0 ? loop_sim_socket_left(request->file) : 0;
    request->flags |= left > 0 ? IORING_CQE_F_SOCK_NONEMPTY : 0U;
    request->is_drained = left == 0;
}

static int32_t issue_receive(struct loop_sim_request *request)
{
    struct message *message = request->data;
    if (polls_first(request)) {
        return LOOP_SIM_REQUEST_WAITS;
    }
    int error = request->file->kind->is_socket ? select_buffer(request) : -ENOTSOCK;
    if (error) {
        return error;
    }
    ssize_t received = loop_sim_socket_receive(request->file, &message->header, (int)request->entry.msg_flags);
    if (received >= 0) {
        fill_in_original(message);
    }
    if (received > 0 && request->group) {
        loop_sim_request_take_buffer(request);
    }
    request->group = NULL;
    note_more(request, received);
    return add_part(request, received);
}

const struct loop_sim_ring_op loop_sim_ring_receive = {.prepare = prepare_receive,
                                                       .issue = issue_receive,
                                                       .cancelled = cancelled_message,
                                                       .events = EPOLLIN,
                                                       .has_file = true,
                                                       .selects = true};
const struct loop_sim_ring_op loop_sim_ring_receive_message = {.prepare = prepare_receive_message,
                                                               .issue = issue_receive,
                                                               .cancelled = cancelled_message,
                                                               .events = EPOLLIN,
                                                               .has_file = true};

#endif
