/* SPDX-License-Identifier: ISC
 *
 * One to three loops of one program that share channels, a semaphore and a condition, and have a pool of resources
 * each. Each loop runs random operations in scopes that are cancelled or pass their deadlines: it sends and receives,
 * waits and signals, takes permits and resources, alone or as members of groups, and on threads of the pool.
 *
 * Judges: every job is resumed once; an item that was sent arrives once, or is dropped with its channel, and one that
 * was refused never does; of one loop items arrive in their order; no more permits are held than there are, and none is
 * lost; a broadcast resumes all who wait; a group ends as its members do; a resource is in use once at a time, is
 * disposed of once, and there are no more than allowed. All loops end.
 */
#include "explore.h"
#include "sync/world.h"

#include <domain/domain.h>
#include <errno.h>

/* ---- what disturbs operations ---- */

static void cancel_something(struct player *player)
{
    unsigned skipped = loop_simulation_choose(4);

    for (struct op *op = player->first; op; op = op->next) {
        bool is_member = op->together && op->kind != GROUP;
        if (op->is_started && !op->has_ended && !is_member && skipped-- == 0) {
            op->is_cancelled |= loop_cancel(player->env->loop, op->job) == 0;
            return;
        }
    }
}

/* Notes who waits for the condition in this loop: all of them are to be resumed. */
static void broadcast(struct player *player)
{
    for (struct op *op = player->first; op; op = op->next) {
        op->must_be_resumed |=
            op->kind == WAIT && op->is_started && !op->has_ended && !op->together && sync_is_alive(op);
    }
    loop_condition_broadcast(player->system->condition);
}

static void on_group_end(void *arg, int64_t error)
{
    struct group *group = arg;

    group->has_ended = true;
    if (error == -ETIMEDOUT) {
        loop_simulation_sometimes("a deadline passed");
    }
}

static struct group *choose_group(struct player *player)
{
    struct group *group = &player->groups[loop_simulation_choose(2)];

    if (!group->scope || group->has_ended) {
        *group = (struct group){.player = player};
        group->scope = loop_scope_open(player->env->scope, on_group_end, group);
        group->has_ended = !group->scope;
    }
    return group->scope ? group : NULL;
}

static void try_something(struct player *player)
{
    struct system *system = player->system;
    unsigned channel = loop_simulation_choose(N_CHANNELS);
    uint32_t number;

    switch (loop_simulation_choose(4)) {
    case 0:
        number = sync_make_item(player, channel);
        sync_item_of(number)->fate = SENDING;
        sync_sent(number, loop_channel_try_send(system->channels[channel], &number));
        break;
    case 1:
        if (loop_channel_try_receive(system->channels[channel], &number) == 1) {
            sync_arrived(number);
        }
        break;
    case 2:
        if (loop_semaphore_try_acquire(system->semaphore) == 0) {
            sync_acquired(player);
        }
        break;
    default: loop_condition_signal(system->condition); break;
    }
}

static void disturb(struct player *player, struct group *group)
{
    switch (loop_simulation_choose(8)) {
    case 0: cancel_something(player); break;
    case 1: sync_release(player); break;
    case 2: sync_give_all_back(player, true); break;
    case 3: broadcast(player); break;
    case 4: loop_scope_cancel(group->scope); break;
    case 5: loop_scope_deadline(group->scope, loop_now(player->env->loop) + 2 * LOOP_MICROSECOND); break;
    case 6: try_something(player); break;
    default:
        if (loop_simulation_choose(6) == 5) {
            loop_channel_close(player->system->channels[loop_simulation_choose(N_CHANNELS)]);
        }
        break;
    }
}

static void start_something(struct player *player)
{
    unsigned what = loop_simulation_choose(N_KINDS + 6);
    struct group *group = choose_group(player);

    if (!group || player->system->n_items > MOST_ITEMS - 16) {
        return;
    } else if (what < N_KINDS) {
        sync_start(group, (enum kind)what);
    } else {
        disturb(player, group);
    }
}

/* ---- loops ---- */

static void end_all(struct player *player)
{
    player->is_over = true;
    for (unsigned i = 0; i < 2; i++) {
        if (player->groups[i].scope && !player->groups[i].has_ended) {
            loop_scope_cancel(player->groups[i].scope);
        }
    }
    sync_give_all_back(player, false);
}

static void step(void *arg, int64_t result)
{
    static const int64_t pauses[] = {0, LOOP_MICROSECOND, 5 * LOOP_MICROSECOND};
    struct player *player = arg;

    for (unsigned n = 0; result == 0 && n < 3; n++) {
        start_something(player);
    }
    if (result < 0 || ++player->n_steps >= player->system->n_steps ||
        !loop_sleep(player->env->scope, EXPLORE_ONE_OF(pauses), step, player)) {
        end_all(player);
    }
}

static int play(struct loop_env *env, unsigned index, void *arg)
{
    struct system *system = arg;
    struct player *player = loop_world_alloc(system->world, sizeof *player);

    *player = (struct player){.system = system, .number = index, .env = env};
    player->last = &player->first;
    system->players[index] = player;
    if (!sync_make_pool(player)) {
        return -ENOMEM;
    }
    step(player, 0);
    return 0;
}

/* The program's references. The jobs that are left have theirs. */
static void drop_all(void *arg)
{
    struct system *system = arg;

    for (unsigned i = 0; i < N_CHANNELS; i++) {
        loop_channel_unref(system->channels[i]);
    }
    if (system->semaphore && loop_semaphore_permits(system->semaphore) != system->n_permits - system->n_held) {
        loop_world_fail(NULL, "permits that were lost: %u are held", system->n_held);
    }
    loop_semaphore_unref(system->semaphore);
    loop_condition_unref(system->condition);
}

static int begin(struct loop_env *env, void *arg)
{
    struct system *system = arg;

    for (unsigned i = 0; i < N_CHANNELS; i++) {
        system->channels[i] = loop_channel_create(sizeof(uint32_t), loop_simulation_choose(3), sync_on_dropped);
    }
    system->semaphore = loop_semaphore_create(system->n_permits);
    system->condition = loop_condition_create();
    if (!loop_scope_defer(env->scope, drop_all, system) || !system->channels[0] || !system->channels[1] ||
        !system->semaphore || !system->condition) {
        return -ENOMEM;
    }
    if (system->n_loops == 1) {
        return play(env, 0, system);
    }
    explore_must(env->scope, loop_domains(env->scope, system->n_loops, NULL, NULL, play, system, NULL, NULL));
    return 0;
}

/* ---- the world ---- */

/* Items of one loop reach another one in their order. */
static void check_order(const struct player *player)
{
    uint32_t last[MOST_LOOPS][N_CHANNELS] = {{0}};

    for (const struct op *op = player->first; op; op = op->next) {
        if (op->is_started && !op->has_ended) {
            loop_world_fail(NULL, "never resumed: %d", op->kind);
        } else if (op->kind == RECEIVE && op->is_started && op->result == 1) {
            const struct item *item = sync_item_of(op->item);
            uint32_t *before = &last[item->player][item->channel];
            if (item->channel != op->channel || (!item->is_of_thread && item->number < *before)) {
                loop_world_fail(NULL, "items in another order: %u", (unsigned)item->number);
            }
            *before = item->is_of_thread ? *before : item->number;
        }
    }
    for (unsigned i = 0; i < player->n_resources; i++) {
        if (!player->resources[i].is_disposed) {
            loop_world_fail(NULL, "a resource that is left");
        }
    }
}

static void check(struct loop_world *world, void *arg)
{
    struct system *system = arg;

    for (unsigned i = 0; i < MOST_LOOPS; i++) {
        if (system->players[i]) {
            check_order(system->players[i]);
        }
    }
    for (unsigned i = 0; i < system->n_items; i++) {
        if (system->items[i].fate == SENT && !system->items[i].has_arrived) {
            loop_world_fail(world, "an item that was lost: %u", i);
        }
    }
    (void)explore_gave_up(system->node);
}

static int build(struct loop_world *world, void *arg)
{
    static const unsigned steps[] = {20, 5, 100};
    struct system *system = sync_system = loop_world_alloc(world, sizeof *system);

    (void)arg;
    system->world = world;
    system->n_loops = 1 + loop_simulation_choose(MOST_LOOPS);
    system->n_steps = EXPLORE_ONE_OF(steps);
    system->n_permits = 1 + loop_simulation_choose(2);
    system->node = explore_node(world, (struct loop_node_options){.main = begin, .arg = system});
    loop_world_at_end(world, check, system);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"a wait was cancelled",
                                        "a wait that was cancelled ended with its result",
                                        "a deadline passed",
                                        "a group ended",
                                        "a group failed",
                                        "a member succeeded although it had lost",
                                        NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 60 * LOOP_SECOND,
                                                                  .liveness_ns = 60 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
