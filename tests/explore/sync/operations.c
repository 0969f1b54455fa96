/* SPDX-License-Identifier: ISC
 *
 * The operations of the world sync, and what they may end with. See world.h.
 */
#include "world.h"

#include "../explore.h"

#include <errno.h>

/* ---- the ends of operations ---- */

static void finish(struct op *op, int64_t result);

/* Whether the result of a group is one that the results of its members allow. */
static bool is_allowed(const struct op *op, int64_t result)
{
    bool has_such = false, all_went_well = true;

    for (unsigned i = 0; i < op->n_members; i++) {
        int64_t member = loop_group_result(op->together, i);
        has_such |= member == result;
        all_went_well &= member >= 0;
    }
    if (result == -ECANCELED || result == -ETIMEDOUT) {
        return true; /* by itself, or with all of its members */
    } else if (result < 0) {
        return has_such && op->how != LOOP_FIRST_OF;
    } else if (op->how == LOOP_ALL_OF) {
        return result == 0 && all_went_well;
    }
    return result < op->n_members &&
           (op->how == LOOP_FIRST_OF || loop_group_result(op->together, (unsigned)result) >= 0);
}

static void finish_group(struct op *op, int64_t result)
{
    if (!is_allowed(op, result)) {
        loop_world_fail(NULL, "a group with a wrong result: %d", (int)result);
    }
    for (unsigned i = 0; i < op->n_members; i++) {
        if (op->members[i]->is_started) {
            int64_t member = loop_group_result(op->together, i);
            finish(op->members[i], member);
            if (member >= 0 && result != i && op->how == LOOP_FIRST_OF) {
                loop_simulation_sometimes("a member succeeded although it had lost");
            }
        }
    }
    loop_simulation_sometimes(result < 0 ? "a group failed" : "a group ended");
}

bool sync_is_alive(const struct op *op)
{
    return !op->is_cancelled && !op->group->has_ended && !loop_scope_is_cancelled(op->group->scope);
}

static void check_result(const struct op *op, int64_t result)
{
    bool may_be_cancelled = op->kind == GROUP || op->is_cancelled || op->together || !sync_is_alive(op);

    if (op->has_ended || !op->is_started) {
        loop_world_fail(NULL, "resumed twice, or too early: %d", op->kind);
    } else if (result == -ECANCELED && !may_be_cancelled) {
        loop_world_fail(NULL, "cancelled without a cause: %d", op->kind);
    } else if (result == -ECANCELED && op->must_be_resumed) {
        loop_world_fail(NULL, "a broadcast that was missed");
    }
    if (result == -ECANCELED && op->kind != SLEEP) {
        loop_simulation_sometimes("a wait was cancelled");
    } else if (result >= 0 && op->is_cancelled) {
        loop_simulation_sometimes("a wait that was cancelled ended with its result");
    }
}

static void finish(struct op *op, int64_t result)
{
    check_result(op, result);
    op->has_ended = true;
    op->result = result;
    switch (op->kind) {
    case SEND: sync_sent(op->item, result); break;
    case RECEIVE:
        if (result == 1) {
            sync_arrived(op->item);
        }
        break;
    case ACQUIRE:
        if (result == 0) {
            sync_acquired(op->player);
        }
        break;
    case GROUP: finish_group(op, result); break;
    case TAKE:
        if (result == 0) {
            sync_take_resource(op);
        }
        break;
    default: break;
    }
}

static void on_end(void *op, int64_t result)
{
    finish(op, result);
}

/* ---- operations ---- */

/* Tries something on a thread of the pool. */
static int64_t work(void *arg)
{
    struct op *op = arg;
    struct system *system = op->player->system;
    uint32_t number;

    switch (op->what) {
    case 0:
        sync_item_of(op->item)->fate = SENDING;
        sync_sent(op->item, loop_channel_try_send(system->channels[op->channel], &op->item));
        break;
    case 1:
        if (loop_channel_try_receive(system->channels[op->channel], &number) == 1) {
            sync_arrived(number);
        }
        break;
    default: loop_condition_signal(system->condition); break;
    }
    return 0;
}

static struct op *add_op(struct group *group, enum kind kind)
{
    struct player *player = group->player;
    struct op *op = loop_world_alloc(player->system->world, sizeof *op);

    *op = (struct op){.player = player, .group = group, .kind = kind, .channel = loop_simulation_choose(N_CHANNELS)};
    *player->last = op;
    player->last = &op->next;
    return op;
}

static loop_job start(struct op *op, loop_fn *fn, void *arg)
{
    struct system *system = op->player->system;
    struct loop_scope *scope = op->group->scope;

    switch (op->kind) {
    case SEND:
        op->item = sync_make_item(op->player, op->channel);
        sync_item_of(op->item)->fate = SENDING;
        return loop_channel_send(scope, system->channels[op->channel], &op->item, fn, arg);
    case RECEIVE: return loop_channel_receive(scope, system->channels[op->channel], &op->item, fn, arg);
    case ACQUIRE: return loop_semaphore_acquire(scope, system->semaphore, fn, arg);
    case WAIT: return loop_condition_wait(scope, system->condition, fn, arg);
    case TAKE: return loop_resource_acquire(scope, op->player->pool, &op->resource, fn, arg);
    case WORK:
        op->what = loop_simulation_choose(3);
        op->item = sync_make_item(op->player, op->channel);
        sync_item_of(op->item)->is_of_thread = true;
        return loop_work(scope, work, op, fn, arg);
    default: return loop_sleep(scope, loop_simulation_choose(3) * LOOP_MICROSECOND, fn, arg);
    }
}

static void note_start(struct op *op, loop_job job)
{
    op->job = job;
    op->is_started = job != 0;
    if (!job && op->kind == SEND) {
        sync_sent(op->item, -ENOMEM);
    }
}

static void start_group(struct group *group)
{
    static const enum loop_group_kind kinds[] = {LOOP_ALL_OF, LOOP_FIRST_OF, LOOP_ANY_OF};
    static const enum kind member_kinds[] = {RECEIVE, ACQUIRE, SLEEP, WAIT, SEND};
    struct op *op = add_op(group, GROUP);

    op->how = EXPLORE_ONE_OF(kinds);
    op->n_members = 1 + loop_simulation_choose(MOST_MEMBERS);
    op->together = loop_group_open(group->scope, op->how, op->n_members, on_end, op);
    op->is_started = op->together != NULL;
    for (unsigned i = 0; op->together && i < op->n_members; i++) {
        struct op *member = op->members[i] = add_op(group, EXPLORE_ONE_OF(member_kinds));
        member->together = op->together;
        note_start(member, start(member, LOOP_MEMBER(op->together, i)));
        loop_group_add(op->together, i, member->job);
    }
    op->job = op->together ? loop_group_job(op->together) : 0;
}

void sync_start(struct group *group, enum kind kind)
{
    if (kind == GROUP) {
        start_group(group);
    } else {
        struct op *op = add_op(group, kind);
        note_start(op, start(op, on_end, op));
    }
}
