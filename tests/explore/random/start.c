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
        op->end = random_choose_end(group, kind);
        if (!op->end) {
            random_add_pair(group);
            return;
        }
    }
    if (op->group->has_ended || (kind == ACCEPT && program->listening->has_ended)) {
        return;
    }
    op->next = program->ops;
    program->ops = op;
    op->job = kind <= TAKE                                       ? random_start_on_end(op)
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
        random_add_pair(group);
        random_add_pair(group);
        start_kind(program, group, WRITE);
        start_kind(program, group, COPY);
        start_kind(program, group, READ);
    } else {
        struct end *end = random_choose_end(group, POLL);
        if (end) {
            random_close_end(end);
        }
    }
}
