/* SPDX-License-Identifier: ISC
 *
 * The ends of connections and pipes of random programs, and the operations on them. See program.h.
 */
#include "program.h"

#include "../explore.h"

#include <poll.h>

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

void random_add_pair(struct group *group)
{
    struct loop_flow *one, *other;
    struct loop_source *source;
    struct loop_sink *sink;
    struct end *first, *second;

    if (loop_simulation_choose(2)) {
        if (loop_pipe(group->scope, &source, &sink) != 0) {
            return;
        }
        first = random_add_end(group, NULL, source, NULL, 0, 3);
        second = random_add_end(group, NULL, NULL, sink, 3, 0);
    } else {
        if (loop_socketpair(group->scope, &one, &other) != 0) {
            return;
        }
        first = random_add_end(group, one, NULL, NULL, 3, 3);
        second = random_add_end(group, other, NULL, NULL, 3, 3);
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
    return n_found ? found[loop_simulation_choose(n_found)] : NULL;
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
    int64_t len = EXPLORE_ONE_OF(lengths);

    op->end->is_reading = true;
    switch (op->kind) {
    case READ:
    case READ_EXACT:
        op->full = len;
        op->data = loop_world_alloc(op->program->world, (size_t)len);
        return op->kind == READ ? loop_read(source, op->data, (size_t)len, random_on_end, op)
                                : loop_read_exact(source, op->data, (size_t)len, random_on_end, op);
    case STREAM: return loop_stream(source, random_on_streamed, op);
    case WAIT_READABLE: return loop_wait_readable(source, random_on_end, op);
    case COPY:
        op->other = loop_simulation_choose(2) ? choose_other(op->end) : NULL;
        if (op->other) {
            op->other->is_writing = true;
            op->other->writing = UINT32_MAX;
            return loop_copy_report(source, op->other->sink, &op->outcome, random_on_end, op);
        }
        op->sink = loop_memory_sink(scope, loop_simulation_choose(2) * 3000);
        return op->sink ? loop_copy_report(source, op->sink, &op->outcome, random_on_end, op) : 0;
    default:
        op->reader = loop_reader_create(source, 0);
        if (!op->reader) {
            return 0;
        }
        op->is_line = loop_simulation_choose(3) == 2;
        if (op->is_line) {
            return loop_reader_line(op->reader, random_on_end, op);
        }
        op->full = len;
        return loop_simulation_choose(2) ? loop_reader_take(op->reader, (size_t)len, random_on_end, op)
                                         : loop_reader_exact(op->reader, (size_t)len, random_on_end, op);
    }
}

static loop_job start_write(struct op *op)
{
    static const size_t lengths[] = {1000, 1, LARGEST, 300000};
    struct end *end = op->end;
    size_t len = EXPLORE_ONE_OF(lengths);

    op->data = loop_world_alloc(op->program->world, len);
    explore_fill(op->data, len, end->write_key, end->write_at);
    end->is_writing = true;
    end->writing = len;
    op->full = op->kind == FLUSH ? 0 : (int64_t)len;
    switch (op->kind) {
    case WRITE: return loop_write(end->sink, op->data, len, random_on_end, op);
    case WRITEV:
        op->iov[0] = (struct iovec){op->data, len / 3};
        op->iov[1] = (struct iovec){op->data + len / 3, len - len / 3};
        return loop_writev(end->sink, op->iov, 2, random_on_end, op);
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
    case POLL: return loop_poll(end->flow->fd, loop_simulation_choose(2) ? POLLIN : POLLOUT, random_on_end, op);
    default: end->is_closed = true; return loop_fd_take(end->flow->fd, random_on_end, op);
    }
}

loop_job random_start_on_end(struct op *op)
{
    return op->kind <= READER ? start_read(op) : op->kind <= FLUSH ? start_write(op) : start_on_end(op);
}
