/* SPDX-License-Identifier: ISC
 *
 * Starts the operations of random programs. See program.h.
 */
#include "program.h"

#include "../explore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_GROUPS = 4 };

int loop_kernel_nanosleep(const struct timespec *duration, struct timespec *left);

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
    if (n_alive == 0 || (n_alive < MOST_GROUPS && random_pick(program, 4) == 3)) {
        return open_group(program);
    }
    return alive[random_pick(program, n_alive)];
}

/* ---- operations without an end ---- */

/* Runs on a thread, by choice longer than a cancel waits for it. */
static int64_t work(void *arg)
{
    struct op *op = arg;
    struct timespec duration = {.tv_nsec = op->work_ns};

    op->is_working = true;
    if (op->work_ns > 0) {
        loop_kernel_nanosleep(&duration, NULL);
    }
    op->is_working = false;
    return loop_work_is_cancelled() ? -ECANCELED : 5;
}

static void on_release(void *arg)
{
    struct op *op = arg;

    if (op->is_working || !op->has_ended) {
        loop_world_fail(NULL, "memory of work was handed back while it was used");
    }
    op->n_released++;
}

static loop_job start_event(struct op *op)
{
    static const int64_t durations[] = {0, 100 * LOOP_MICROSECOND, 50 * LOOP_MILLISECOND, LOOP_NEVER};
    static const int64_t works[] = {0, 0, 2 * LOOP_MILLISECOND, 200 * LOOP_MILLISECOND};
    struct loop_scope *scope = op->group->scope;
    struct loop *loop = op->program->env->loop;

    op->work_ns = RANDOM_ONE_OF(op->program, works);
    switch (op->kind) {
    case SLEEP: {
        int64_t duration_ns = RANDOM_ONE_OF(op->program, durations);
        op->not_before_ns = duration_ns == LOOP_NEVER ? LOOP_NEVER : loop_now(loop) + duration_ns;
        return loop_sleep(scope, duration_ns, random_on_end, op);
    }
    case WORK: return loop_work(scope, work, op, random_on_end, op);
    case HANDED_WORK:
        return loop_work_with(
            scope, &(struct loop_work_options){.takes_long = random_pick(op->program, 2), .release = on_release}, work,
            op, random_on_end, op);
    case PROMISE: return loop_promise(scope, NULL, NULL, random_on_end, op);
    case SIGNAL: return random_start_signal(op);
    case ON_CANCEL: return loop_scope_on_cancel(scope, random_on_end, op);
    default: return loop_chunk_alloc_wait(scope, (struct loop_chunk **)&op->memory, random_on_end, op);
    }
}

static loop_job start_network(struct op *op)
{
    static const int64_t lengths[] = {100, 1, 2000};
    static const struct loop_connect_options options[] = {{0}, {.timeout_ns = 50 * LOOP_MILLISECOND}};
    struct loop_address address;
    char text[32];

    bool is_datagram = op->kind == SEND || op->kind == RECEIVE;
    unsigned port = is_datagram ? 7001 : 7000 + (random_pick(op->program, 8) == 7);
    snprintf(text, sizeof text, "%s:10.0.0.%u:%u", is_datagram ? "udp" : "tcp",
             1 + random_pick(op->program, op->program->n_nodes), port);
    loop_address_parse(&address, text);
    switch (op->kind) {
    case CONNECT:
        return loop_connect(op->group->scope, &address, &RANDOM_ONE_OF(op->program, options), &op->flow, random_on_end,
                            op);
    case ACCEPT: return loop_accept(op->group->scope, op->program->listener, &op->flow, random_on_end, op);
    case SEND:
        op->full = RANDOM_ONE_OF(op->program, lengths);
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

    if (scope && random_pick(op->program, 2)) {
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
        op->end = random_choose_end(group, kind);
        if (!op->end) {
            random_add_pair(group);
            return;
        }
    }
    if (kind >= PREAD && kind <= FILE_SYNC) {
        op->file = random_choose_file(group, kind);
        kind = op->kind = op->file ? kind : OPEN;
    }
    if (op->group->has_ended || (kind == ACCEPT && program->listening->has_ended)) {
        return;
    }
    op->next = program->ops;
    program->ops = op;
    op->number = program->n_ops++;
    op->job = kind <= TAKE                                       ? random_start_on_end(op)
              : kind == POST                                     ? post(op)
              : kind <= CHUNK                                    ? start_event(op)
              : kind == SCOPE                                    ? start_inner_scope(op)
              : kind == CONNECT || kind == ACCEPT || is_datagram ? start_network(op)
                                                                 : random_start_file(op);
    op->is_started = op->job != 0;
    random_note_start(op);
    if (op->job && program->cancels_next && kind != POST && kind != SCOPE) {
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

static bool is_stream(const struct op *op)
{
    return op->kind == STREAM || op->kind == WATCH || op->kind == RECEIVE;
}

/* Pauses a stream, or lets it go on. */
static void pause_or_resume(struct op *op)
{
    struct loop *loop = op->program->env->loop;
    int error = op->is_paused ? loop_resume(loop, op->job) : loop_pause(loop, op->job);

    if (error == 0) {
        op->is_paused = !op->is_paused;
        op->is_doubtful = true;
        loop_simulation_sometimes(op->is_paused ? "a stream was paused" : "a stream went on");
    } else if (error != -ENOENT) {
        loop_world_fail(NULL, "a stream that cannot be paused: %s", random_kind_names[op->kind]);
    }
}

/* The handle of an operation that has ended names nothing any more. */
static void use_stale(struct program *program)
{
    struct loop *loop = program->env->loop;

    for (const struct op *op = program->ops; op; op = op->next) {
        if (op->is_started && op->has_ended && op->kind != POST && op->kind != SCOPE) {
            if (loop_job_is_alive(loop, op->job) || loop_cancel(loop, op->job) != -ENOENT ||
                loop_resolve(loop, op->job, 2) != -ENOENT) {
                loop_world_fail(NULL, "alive after its end: %s", random_kind_names[op->kind]);
            }
        }
    }
}

/* Cancels an operation that runs, or resolves it when it is a promise. */
static void disturb(struct program *program)
{
    unsigned skipped = random_pick(program, 4);

    use_stale(program);
    for (struct op *op = program->ops; op; op = op->next) {
        if (!op->is_started || op->has_ended || op->kind == POST || op->kind == SCOPE || skipped-- > 0) {
            continue;
        }
        if (op->kind == PROMISE && random_pick(program, 2) == 0) {
            loop_resolve(program->env->loop, op->job, 1);
        } else if (is_stream(op) && random_pick(program, 2) == 0) {
            pause_or_resume(op);
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
    switch (random_pick(group->program, 4)) {
    case 0:
    case 1: random_set_deadline(group, 10 * LOOP_MILLISECOND); break;
    case 2: loop_scope_cancel(group->scope); break;
    default: loop_scope_fail(group->scope, -EPERM); break;
    }
}

static void close_something(struct group *group)
{
    struct file *file = random_pick(group->program, 2) ? random_choose_file(group, PREAD) : NULL;
    struct end *end = file ? NULL : random_choose_end(group, POLL);

    if (file) {
        file->is_closed = true;
        loop_flow_close(file->flow);
    } else if (end) {
        random_close_end(end);
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

/* Starts an operation of a kind that needs others of its kind before it. */
static void start_in_company(struct program *program, struct group *group, unsigned what)
{
    switch (what) {
    case 0:
        random_add_pair(group);
        random_add_pair(group);
        start_kind(program, group, WRITE);
        start_kind(program, group, COPY);
        start_kind(program, group, READ);
        break;
    case 1: start_kind(program, group, random_pick(program, 2) ? CONNECT : ACCEPT); break;
    case 2: start_kind(program, group, (enum kind)(PREAD + random_pick(program, 3))); break;
    default: start_kind(program, group, SIGNAL); break;
    }
}

/* Does what was drawn: nothing for 0. */
static void start_drawn(struct program *program, struct group *group, unsigned what)
{
    static const unsigned in_company[] = {0, 1, 1, 2};
    unsigned n_kinds = program->n_kinds;

    if (what < n_kinds) {
        start_kind(program, group, (enum kind)(program->first_kind + what));
    } else if (what < n_kinds + 7) {
        start_kind(program, group, (enum kind)random_pick(program, TAKE));
    } else if (what < n_kinds + 11) {
        disturb(program);
    } else if (what < n_kinds + 13) {
        end_group(group);
    } else if (what < n_kinds + 15) {
        close_something(group);
    } else {
        start_in_company(program, group, what < n_kinds + 25 ? RANDOM_ONE_OF(program, in_company) : 3);
    }
}

/* Draws as many choices whatever they are: shrinking then finds what can be left out. */
void random_start(struct program *program)
{
    unsigned what = loop_simulation_choose(program->n_kinds + 27);

    for (unsigned i = 0; i < RANDOM_DICE; i++) {
        program->dice[i] = loop_simulation_choose(60);
    }
    program->n_picked = 0;
    program->cancels_next = loop_simulation_choose(8) == 7;
    struct group *group = what ? choose_group(program) : NULL;
    if (group) {
        start_drawn(program, group, what - 1);
    }
}

unsigned random_pick(struct program *program, unsigned n)
{
    return program->dice[program->n_picked++ % RANDOM_DICE] % n;
}
