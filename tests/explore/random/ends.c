/* SPDX-License-Identifier: ISC
 *
 * The ends of connections and pipes of random programs, and the operations on them. See program.h.
 */
#include "program.h"

#include "../explore.h"

#include <errno.h>
#include <loop/low_level.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

int loop_kernel_accept4(int number, struct sockaddr *address, socklen_t *length, int flags);
int loop_kernel_close(int number);
int loop_kernel_connect(int number, const struct sockaddr *address, socklen_t length);
int loop_kernel_getsockname(int number, struct sockaddr *address, socklen_t *length);
int loop_kernel_listen(int number, int backlog);
int loop_kernel_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
int loop_kernel_socket(int family, int type, int protocol);

enum { MOST_ENDS = 8 };

/* ---- ends ---- */

struct end *random_add_end(struct group *group, struct loop_flow *flow, struct loop_source *source,
                           struct loop_sink *sink, uint64_t write_key, uint64_t read_key)
{
    struct end *end = loop_world_alloc(group->program->world, sizeof *end);

    *end = (struct end){.group = group,
                        .flow = flow,
                        .source = flow ? &flow->source : source,
                        .sink = flow ? &flow->sink : sink,
                        .write_key = write_key,
                        .read_key = read_key,
                        .next = group->ends};
    group->ends = end;
    return end;
}

static void close_number(int number)
{
    if (number >= 0) {
        loop_kernel_close(number);
    }
}

/* Connects two TCP sockets of this node. Returns whether that was possible. */
static bool connect_sockets(int numbers[2])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int listener = loop_kernel_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd entry = {.fd = listener, .events = POLLIN};

    numbers[0] = loop_kernel_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    numbers[1] = -1;
    if (listener >= 0 && numbers[0] >= 0 && loop_kernel_listen(listener, 1) == 0 &&
        loop_kernel_getsockname(listener, (struct sockaddr *)&address, &length) == 0 &&
        (loop_kernel_connect(numbers[0], (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS) &&
        loop_kernel_poll(&entry, 1, 100) == 1) {
        numbers[1] = loop_kernel_accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    close_number(listener);
    if (numbers[1] < 0) {
        close_number(numbers[0]);
    }
    return numbers[1] >= 0;
}

/* As loop_socketpair, by TCP. */
static bool open_tcp_pair(struct loop_scope *scope, struct loop_flow **one, struct loop_flow **other)
{
    int numbers[2];
    struct loop_fd *fds[2];

    if (!connect_sockets(numbers)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        fds[i] = loop_fd_adopt(scope, numbers[i]);
    }
    if (!fds[0] || !fds[1]) {
        return false;
    }
    loop_simulation_sometimes("a pair of TCP sockets was made");
    *one = loop_fd_flow(fds[0]);
    *other = loop_fd_flow(fds[1]);
    return true;
}

void random_add_pair(struct group *group)
{
    struct loop_flow *one, *other;
    struct loop_source *source;
    struct loop_sink *sink;
    struct end *first, *second;

    unsigned what = random_pick(group->program, 3);
    if (what == 1) {
        if (loop_pipe(group->scope, &source, &sink) != 0) {
            return;
        }
        first = random_add_end(group, NULL, source, NULL, 0, 3);
        second = random_add_end(group, NULL, NULL, sink, 3, 0);
    } else {
        if (what == 0 ? loop_socketpair(group->scope, &one, &other) != 0 : !open_tcp_pair(group->scope, &one, &other)) {
            return;
        }
        first = random_add_end(group, one, NULL, NULL, 3, 3);
        second = random_add_end(group, other, NULL, NULL, 3, 3);
        first->is_tcp = second->is_tcp = what == 2;
    }
    first->peer = second;
    second->peer = first;
}

struct end *random_choose_end(struct group *group, enum kind kind)
{
    struct end *found[MOST_ENDS];
    unsigned n_found = 0;

    for (struct end *end = group->ends; end && n_found < MOST_ENDS; end = end->next) {
        bool fits = kind <= READER  ? end->source && !end->is_reading
                    : kind <= FLUSH ? end->sink && !end->is_writing && !end->is_lost
                    : kind <= DRAIN ? end->sink && (kind == DRAIN || !end->is_writing)
                                    : end->flow && (kind == POLL || (!end->is_reading && !end->is_writing));
        if (fits && !end->is_closed) {
            found[n_found++] = end;
        }
    }
    return n_found ? found[random_pick(group->program, n_found)] : NULL;
}

/* Returns an end that a copy from `from` may write to: one whose next byte is the next that is read. NULL: none. */
static struct end *choose_other(const struct end *from)
{
    for (struct end *end = from->group->ends; end; end = end->next) {
        if (end != from && end != from->peer && end->sink && !end->is_closed && !end->is_writing && !end->is_lost &&
            end->write_key == from->read_key && end->write_at == from->read_at) {
            return end;
        }
    }
    return NULL;
}

void random_close_end(struct end *end)
{
    end->is_closed = true;
    if (end->flow) {
        loop_flow_close(end->flow);
    } else if (end->source) {
        loop_source_close(end->source);
    } else {
        loop_sink_close(end->sink);
    }
}

/* ---- operations on ends ---- */

static loop_job start_read(struct op *op)
{
    static const int64_t lengths[] = {1000, 1, 64, LARGEST};
    struct loop_scope *scope = op->group->scope;
    struct loop_source *source = op->end->source;
    int64_t len = RANDOM_ONE_OF(op->program, lengths);

    op->end->is_reading = true;
    switch (op->kind) {
    case READ:
    case READ_EXACT:
        op->full = len;
        op->data = loop_world_alloc(op->program->world, (size_t)len);
        return op->kind == READ ? loop_read(source, op->data, (size_t)len, random_on_end, op)
                                : loop_read_exact(source, op->data, (size_t)len, random_on_end, op);
    case RING_READ:
        op->full = len;
        op->data = loop_world_alloc(op->program->world, (size_t)len);
        return loop_op_read(scope, source->ops->fd(source), op->data, (size_t)len, LOOP_CURRENT, random_on_end, op);
    case STREAM: return loop_stream(source, random_on_streamed, op);
    case WAIT_READABLE: return loop_wait_readable(source, random_on_end, op);
    case COPY:
        op->other = random_pick(op->program, 2) ? choose_other(op->end) : NULL;
        if (op->other) {
            op->other->is_writing = true;
            op->other->writing = UINT32_MAX;
            return loop_copy_report(source, op->other->sink, &op->outcome, random_on_end, op);
        }
        op->sink = loop_memory_sink(scope, random_pick(op->program, 2) * 3000);
        return op->sink ? loop_copy_report(source, op->sink, &op->outcome, random_on_end, op) : 0;
    default:
        op->reader = loop_reader_create(source, 0);
        if (!op->reader) {
            return 0;
        }
        op->is_line = random_pick(op->program, 3) == 2;
        if (op->is_line) {
            return loop_reader_line(op->reader, random_on_end, op);
        }
        op->full = len;
        return random_pick(op->program, 2) ? loop_reader_take(op->reader, (size_t)len, random_on_end, op)
                                           : loop_reader_exact(op->reader, (size_t)len, random_on_end, op);
    }
}

/* One of two writes has ended, and the operation with both. What is behind a write that was not complete is not
 * written. */
static void on_part(struct op *op, unsigned part, int64_t result)
{
    const int64_t *results = op->part_result;

    if (op->has_part_ended[part]) {
        loop_world_fail(NULL, "resumed twice: %s", random_kind_names[op->kind]);
    }
    op->has_part_ended[part] = true;
    op->part_result[part] = result;
    if (!op->has_part_ended[0] || !op->has_part_ended[1]) {
        return;
    }
    if (results[1] > 0 && results[0] < op->part_full[0]) {
        loop_world_fail(NULL, "bytes behind a write that was not complete: %d", (int)results[1]);
    }
    result = results[0] > 0 && results[1] > 0 ? results[0] + results[1] : results[0];
    random_on_end(op, result);
}

static void on_first_part(void *op, int64_t result)
{
    on_part(op, 0, result);
}

static void on_second_part(void *op, int64_t result)
{
    on_part(op, 1, result);
}

static loop_job start_two_writes(struct op *op)
{
    struct loop_sink *sink = op->end->sink;
    int64_t half = op->part_full[0] = op->full - op->full / 2;
    loop_job first = loop_write(sink, op->data, (size_t)half, on_first_part, op);

    op->part_full[1] = op->full - half;
    loop_job second = first ? loop_write(sink, op->data + half, (size_t)op->part_full[1], on_second_part, op) : 0;
    if (!second) {
        op->has_part_ended[1] = true;
        op->part_result[1] = -ENOMEM;
    }
    return second ? second : first;
}

static loop_job start_write(struct op *op)
{
    static const size_t lengths[] = {1000, 1, LARGEST, 300000};
    struct end *end = op->end;
    size_t len = RANDOM_ONE_OF(op->program, lengths);

    op->data = loop_world_alloc(op->program->world, len);
    explore_fill(op->data, len, end->write_key, end->write_at);
    end->is_writing = true;
    end->writing = len;
    op->full = op->kind == FLUSH ? 0 : (int64_t)len;
    switch (op->kind) {
    case WRITE: return loop_write(end->sink, op->data, len, random_on_end, op);
    case TWO_WRITES: return start_two_writes(op);
    case WRITEV:
        op->iov[0] = (struct iovec){op->data, len / 3};
        op->iov[1] = (struct iovec){op->data + len / 3, len - len / 3};
        return loop_writev(end->sink, op->iov, 2, random_on_end, op);
    case RING_WRITE:
        return loop_op_write(op->group->scope, end->sink->ops->fd(end->sink), op->data, len, LOOP_CURRENT,
                             random_on_end, op);
    case COPY_IN: {
        struct loop_source *source = loop_memory_source(op->group->scope, op->data, len);
        return source ? loop_copy_report(source, end->sink, &op->outcome, random_on_end, op) : 0;
    }
    default:
        op->writer = loop_writer_create(end->sink, 0);
        if (!op->writer) {
            return 0;
        }
        loop_writer_append(op->writer, op->data, len / 2);
        loop_writer_append(op->writer, op->data + len / 2, len - len / 2);
        return loop_writer_flush(op->writer, random_on_end, op);
    }
}

static loop_job start_on_end(struct op *op)
{
    struct end *end = op->end;

    switch (op->kind) {
    case SHUTDOWN:
        end->has_ended = end->is_lost = true; /* nothing is written after it */
        return loop_shutdown(end->sink, random_on_end, op);
    case DRAIN: return loop_sink_wait_drained(end->sink, random_on_end, op);
    case POLL: return loop_poll(end->flow->fd, random_pick(op->program, 2) ? POLLIN : POLLOUT, random_on_end, op);
    default: end->is_closed = true; return loop_fd_take(end->flow->fd, random_on_end, op);
    }
}

loop_job random_start_on_end(struct op *op)
{
    return op->kind <= READER ? start_read(op) : op->kind <= FLUSH ? start_write(op) : start_on_end(op);
}
