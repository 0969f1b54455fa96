/* SPDX-License-Identifier: ISC
 *
 * Starts the operations of random programs. See program.h.
 */
#include "program.h"

#include "../explore.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_GROUPS = 4, MOST_ENDS = 8 };

static const char *const paths[] = {"/data/one", "/data/two", "/data/three"};

/* ---- scopes ---- */

static void on_group_end(void *arg, int64_t result)
{
    struct group *group = arg;

    (void)result;
    group->has_ended = true;
    for (const struct op *op = group->program->ops; op; op = op->next) {
        if (op->group == group && op->is_started && !op->has_ended && op->kind != POST) {
            loop_world_fail(NULL, "a scope ended before its job: kind %d", (int)op->kind);
        }
    }
}

static struct group *open_group(struct program *program)
{
    struct group *group = loop_world_alloc(program->world, sizeof *group);

    group->program = program;
    group->deadline_ns = LOOP_NEVER;
    group->scope = loop_scope_open(program->env->scope, on_group_end, group);
    if (!group->scope) {
        return NULL;
    }
    group->next = program->groups;
    program->groups = group;
    return group;
}

/* Returns a scope that has not ended, by choice a new one; NULL without memory. */
static struct group *choose_group(struct program *program)
{
    struct group *alive[MOST_GROUPS];
    unsigned n_alive = 0;

    for (struct group *group = program->groups; group && n_alive < MOST_GROUPS; group = group->next) {
        if (!group->has_ended) {
            alive[n_alive++] = group;
        }
    }
    if (n_alive == 0 || (n_alive < MOST_GROUPS && loop_simulation_choose(4) == 3)) {
        return open_group(program);
    }
    return alive[loop_simulation_choose(n_alive)];
}

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

static void add_pair(struct group *group)
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

/* Returns an end that is open and has what the operation needs, or NULL. */
static struct end *choose_end(struct group *group, enum kind kind)
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

static void close_end(struct end *end)
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

/* ---- operations without an end ---- */

static int64_t work(void *arg)
{
    struct op *op = arg;

    return op->has_ended || loop_work_is_cancelled() ? -ECANCELED : 5;
}

static void on_release(void *arg)
{
    struct op *op = arg;

    op->n_released++;
}

static loop_job start_event(struct op *op)
{
    static const int64_t durations[] = {0, 100 * LOOP_MICROSECOND, 50 * LOOP_MILLISECOND, LOOP_NEVER};
    struct loop_scope *scope = op->group->scope;
    struct loop *loop = op->program->env->loop;

    switch (op->kind) {
    case SLEEP: {
        int64_t duration_ns = EXPLORE_ONE_OF(durations);
        op->not_before_ns = duration_ns == LOOP_NEVER ? LOOP_NEVER : loop_now(loop) + duration_ns;
        return loop_sleep(scope, duration_ns, random_on_end, op);
    }
    case WORK: return loop_work(scope, work, op, random_on_end, op);
    case HANDED_WORK:
        return loop_work_with(
            scope, &(struct loop_work_options){.takes_long = loop_simulation_choose(2), .release = on_release}, work,
            op, random_on_end, op);
    case PROMISE: return loop_promise(scope, NULL, NULL, random_on_end, op);
    case ON_CANCEL: return loop_scope_on_cancel(scope, random_on_end, op);
    default: return loop_chunk_alloc_wait(scope, (struct loop_chunk **)&op->memory, random_on_end, op);
    }
}

static loop_job start_file(struct op *op)
{
    static const size_t lengths[] = {1000, 1, LARGEST};
    static const struct loop_save_options saves[] = {{0}, {.atomic = true}, {.sync = true}, {.exclusive = true}};
    struct loop_scope *scope = op->group->scope;
    struct loop_dir *dir = op->program->env->fs;
    const char *path = EXPLORE_ONE_OF(paths);

    switch (op->kind) {
    case SAVE:
        op->full = (int64_t)EXPLORE_ONE_OF(lengths);
        op->data = loop_world_alloc(op->program->world, (size_t)op->full);
        explore_fill(op->data, (size_t)op->full, FILE_KEY, 0);
        return loop_fs_save(scope, dir, path, op->data, (size_t)op->full, &EXPLORE_ONE_OF(saves), random_on_end, op);
    case LOAD: return loop_fs_load(scope, dir, path, LARGEST, &op->memory, random_on_end, op);
    case OPEN: return loop_fs_open(scope, dir, path, NULL, &op->flow, random_on_end, op);
    case LIST: return loop_fs_list(scope, dir, "/data", 0, (struct loop_entry **)&op->memory, random_on_end, op);
    case MKDIRS: return loop_fs_mkdirs(scope, dir, "/data", 0700, random_on_end, op);
    case UNLINK: return loop_fs_unlink(scope, dir, path, random_on_end, op);
    case RENAME:
        return loop_fs_rename(scope, dir, path, dir, EXPLORE_ONE_OF(paths), LOOP_RENAME_REPLACE, random_on_end, op);
    default: return loop_fs_copy_file(scope, dir, path, dir, EXPLORE_ONE_OF(paths), NULL, random_on_end, op);
    }
}

static loop_job start_network(struct op *op)
{
    static const struct loop_connect_options options[] = {{0}, {.timeout_ns = 50 * LOOP_MILLISECOND}};
    struct loop_address address;
    char text[32];

    bool is_datagram = op->kind == SEND || op->kind == RECEIVE;
    unsigned port = is_datagram ? 7001 : 7000 + (loop_simulation_choose(8) == 7);
    snprintf(text, sizeof text, "%s:10.0.0.%u:%u", is_datagram ? "udp" : "tcp",
             1 + loop_simulation_choose(op->program->n_nodes), port);
    loop_address_parse(&address, text);
    switch (op->kind) {
    case CONNECT:
        return loop_connect(op->group->scope, &address, &EXPLORE_ONE_OF(options), &op->flow, random_on_end, op);
    case ACCEPT: return loop_accept(op->group->scope, op->program->listener, &op->flow, random_on_end, op);
    case SEND:
        op->full = 1 + loop_simulation_choose(2000);
        op->data = loop_world_alloc(op->program->world, (size_t)op->full);
        explore_fill(op->data, (size_t)op->full, DATAGRAM_KEY, 0);
        return loop_datagram_send(op->program->socket, &address, op->data, (size_t)op->full, random_on_end, op);
    default: return loop_datagram_stream(op->program->socket, random_on_datagram, op);
    }
}

/* ---- what else is done ---- */

static loop_job start_inner_scope(struct op *op)
{
    struct loop_scope *scope = loop_scope_open(op->group->scope, random_on_end, op);

    if (scope && loop_simulation_choose(2)) {
        op->deadline_ns = loop_now(op->program->env->loop) + LOOP_MILLISECOND;
        loop_scope_deadline(scope, op->deadline_ns);
        loop_sleep(scope, LOOP_NEVER, NULL, NULL);
    }
    return scope != NULL;
}

static loop_job post(struct op *op)
{
    struct loop_inbox *inbox = loop_inbox_ref(op->program->env->loop);

    op->memory = inbox;
    if (inbox && loop_post(inbox, random_on_end, op) == 0) {
        return 1;
    }
    loop_inbox_unref(inbox);
    return 0;
}

static void start_kind(struct program *program, struct group *group, enum kind kind)
{
    struct op *op = loop_world_alloc(program->world, sizeof *op);
    bool is_datagram = kind == SEND || kind == RECEIVE;

    *op = (struct op){
        .program = program, .group = is_datagram ? program->listening : group, .kind = kind, .deadline_ns = LOOP_NEVER};
    if (kind <= TAKE) {
        op->end = choose_end(group, kind);
        if (!op->end) {
            add_pair(group);
            return;
        }
    }
    if (op->group->has_ended || (kind == ACCEPT && program->listening->has_ended)) {
        return;
    }
    op->next = program->ops;
    program->ops = op;
    op->job = kind <= READER                                     ? start_read(op)
              : kind <= FLUSH                                    ? start_write(op)
              : kind <= TAKE                                     ? start_on_end(op)
              : kind == POST                                     ? post(op)
              : kind <= CHUNK                                    ? start_event(op)
              : kind == SCOPE                                    ? start_inner_scope(op)
              : kind == CONNECT || kind == ACCEPT || is_datagram ? start_network(op)
                                                                 : start_file(op);
    op->is_started = op->job != 0;
    random_note_start(op);
    if (op->job && loop_simulation_choose(8) == 7 && kind != POST && kind != SCOPE) {
        op->is_cancelled = op->is_cancelled_at_once = loop_cancel(program->env->loop, op->job) == 0;
    } else if (!op->job && op->end) {
        op->end->is_lost = op->end->has_dropped = true;
        op->end->is_reading = op->end->is_writing = true; /* not used any more */
        if (op->other) {
            op->other->is_lost = true;
        }
        loop_reader_destroy(op->reader);
        loop_writer_destroy(op->writer);
    }
}

/* Cancels an operation that runs, or resolves it when it is a promise. */
static void disturb(struct program *program)
{
    unsigned skipped = loop_simulation_choose(4);

    for (struct op *op = program->ops; op; op = op->next) {
        if (!op->is_started || op->has_ended || op->kind == POST || op->kind == SCOPE || skipped-- > 0) {
            continue;
        }
        if (op->kind == PROMISE && loop_simulation_choose(2) == 0) {
            loop_resolve(program->env->loop, op->job, 1);
        } else {
            op->is_cancelled |= loop_cancel(program->env->loop, op->job) == 0;
        }
        return;
    }
}

void random_set_deadline(struct group *group, int64_t duration_ns)
{
    int64_t now_ns = loop_now(group->program->env->loop);

    if (group->deadline_ns > now_ns && !loop_scope_is_cancelled(group->scope)) {
        group->deadline_ns = now_ns + duration_ns;
        loop_scope_deadline(group->scope, group->deadline_ns);
    }
}

static void end_group(struct group *group)
{
    switch (loop_simulation_choose(4)) {
    case 0:
    case 1: random_set_deadline(group, 10 * LOOP_MILLISECOND); break;
    case 2: loop_scope_cancel(group->scope); break;
    default: loop_scope_fail(group->scope, -EPERM); break;
    }
}

bool random_listen(struct program *program)
{
    struct loop_address address;

    program->listening = open_group(program);
    if (!program->listening) {
        return false;
    }
    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    int status = loop_listen(program->listening->scope, &address, NULL, &program->listener);
    loop_address_parse(&address, "udp:0.0.0.0:7001");
    if (status == 0) {
        status = loop_datagram_open(program->listening->scope, &(struct loop_datagram_options){.bind_to = &address},
                                    &program->socket);
    }
    /* The sleep keeps the scope open until it is cancelled. */
    return status == 0 && loop_sleep(program->listening->scope, LOOP_NEVER, NULL, NULL);
}

void random_start(struct program *program)
{
    struct group *group = choose_group(program);

    if (!group) {
        return;
    }
    unsigned what = loop_simulation_choose(N_KINDS + 22);
    if (what < N_KINDS) {
        start_kind(program, group, (enum kind)what);
    } else if (what < N_KINDS + 5) {
        start_kind(program, group, loop_simulation_choose(2) ? CONNECT : ACCEPT);
    } else if (what < N_KINDS + 12) {
        start_kind(program, group, (enum kind)loop_simulation_choose(TAKE));
    } else if (what < N_KINDS + 16) {
        disturb(program);
    } else if (what < N_KINDS + 18) {
        end_group(group);
    } else if (what >= N_KINDS + 20) {
        add_pair(group);
        add_pair(group);
        start_kind(program, group, WRITE);
        start_kind(program, group, COPY);
        start_kind(program, group, READ);
    } else {
        struct end *end = choose_end(group, POLL);
        if (end) {
            close_end(end);
        }
    }
}
