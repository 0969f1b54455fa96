/* SPDX-License-Identifier: ISC
 *
 * The items, permits and resources of the world sync. See world.h.
 */
#include "world.h"

#include "../explore.h"

#include <errno.h>

struct system *sync_system; /* items that are dropped name no world */

/* ---- items ---- */

struct item *sync_item_of(uint32_t number)
{
    if (number >= sync_system->n_items) {
        loop_world_fail(NULL, "an item that was never made: %u", (unsigned)number);
        return &sync_system->items[0];
    }
    return &sync_system->items[number];
}

/* An item that has left its channel. */
void sync_arrived(uint32_t number)
{
    struct item *item = sync_item_of(number);

    if (item->has_arrived) {
        loop_world_fail(NULL, "an item that arrived twice: %u", (unsigned)number);
    } else if (item->fate == REFUSED || item->fate == UNSENT) {
        loop_world_fail(NULL, "an item that was refused, and arrived: %u", (unsigned)number);
    }
    item->has_arrived = true;
}

void sync_on_dropped(void *item)
{
    sync_arrived(*(uint32_t *)item);
}

void sync_sent(uint32_t number, int64_t result)
{
    struct item *item = sync_item_of(number);

    item->fate = result == 0 ? SENT : REFUSED;
    if (result < 0 && item->has_arrived) {
        loop_world_fail(NULL, "an item that arrived, and was refused: %u", (unsigned)number);
    }
}

uint32_t sync_make_item(const struct player *player, unsigned channel)
{
    struct system *system = player->system;
    uint32_t number = system->n_items++;

    system->items[number] = (struct item){.channel = channel, .player = player->number, .number = number};
    return number;
}

/* ---- permits ---- */

void sync_acquired(struct player *player)
{
    player->n_held++;
    if (++player->system->n_held > player->system->n_permits) {
        loop_world_fail(NULL, "more permits than there are: %u", player->system->n_held);
    }
}

void sync_release(struct player *player)
{
    if (player->n_held > 0) {
        player->n_held--;
        player->system->n_held--;
        loop_semaphore_release(player->system->semaphore);
    }
}

/* ---- resources ---- */

static loop_job make_resource(void *arg, struct loop_scope *scope, void **resource, loop_fn *fn, void *fn_arg)
{
    struct player *player = arg;
    struct loop_resources_stats stats;

    loop_resources_get_stats(player->pool, &stats);
    if (player->n_resources == MOST_RESOURCES || stats.in_use + stats.idle + stats.being_made > LIMIT) {
        loop_world_fail(NULL, "more resources than allowed: %u", stats.in_use + stats.idle + stats.being_made);
        return 0;
    }
    *resource = &player->resources[player->n_resources++];
    if (loop_simulation_choose(4) == 3) {
        loop_job job = loop_promise(scope, NULL, NULL, fn, fn_arg);
        loop_resolve(player->env->loop, job, -EIO);
        return job;
    }
    return loop_sleep(scope, loop_simulation_choose(3) * LOOP_MICROSECOND, fn, fn_arg);
}

static void dispose_resource(void *arg, void *pointer)
{
    struct resource *resource = pointer;

    (void)arg;
    if (resource->is_in_use || resource->is_disposed) {
        loop_world_fail(NULL, "a resource that is disposed of twice, or in use");
    }
    resource->is_disposed = true;
}

static bool check_resource(void *arg, void *resource)
{
    (void)arg;
    (void)resource;
    return loop_simulation_choose(4) != 3;
}

static void give_back(struct player *player, struct resource *resource)
{
    bool is_bad = loop_simulation_choose(4) == 3;

    resource->is_in_use = false;
    if ((is_bad ? loop_resource_discard(player->pool, resource) : loop_resource_release(player->pool, resource)) != 0) {
        loop_world_fail(NULL, "a resource that cannot be given back");
    }
}

void sync_take_resource(struct op *op)
{
    struct resource *resource = op->resource;

    if (resource->is_in_use || resource->is_disposed) {
        loop_world_fail(NULL, "a resource that is in use, or was disposed of");
    }
    resource->is_in_use = true;
    if (op->player->is_over || loop_simulation_choose(2)) {
        give_back(op->player, resource);
    }
}

void sync_give_all_back(struct player *player, bool is_one_enough)
{
    for (unsigned i = 0; i < player->n_resources; i++) {
        if (player->resources[i].is_in_use) {
            give_back(player, &player->resources[i]);
            if (is_one_enough) {
                return;
            }
        }
    }
}

bool sync_make_pool(struct player *player)
{
    const struct loop_resources_options options = {.limit = LIMIT,
                                                   .idle_timeout_ns = loop_simulation_choose(2) * LOOP_MICROSECOND,
                                                   .make = make_resource,
                                                   .dispose = dispose_resource,
                                                   .check = check_resource,
                                                   .arg = player};

    player->pool = loop_resources_create(player->env->scope, &options);
    return player->pool != NULL;
}
