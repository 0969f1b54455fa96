/* SPDX-License-Identifier: ISC
 *
 * Channels. Receivers wait only while the channel has no items, senders only while it has no room, so never both, but
 * for a capacity of 0: there the items of senders that wait are those of the channel.
 */
#include <loop/kernel/memory.h>
#include <sync/line.h>
#include <sync/sync.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

struct loop_channel {
    struct loop_shared shared;
    size_t item_bytes;
    unsigned capacity;
    loop_channel_drop_fn *drop;
    unsigned length, head; /* of the items */
    bool is_closed;
    struct loop_list senders, receivers; /* struct loop_waiter */
    unsigned char items[];
};

static void *item_at(struct loop_channel *channel, unsigned position)
{
    return channel->items + (((size_t)channel->head + position) % channel->capacity) * channel->item_bytes;
}

/* ---- making ---- */

static void destroy(struct loop_shared *shared)
{
    struct loop_channel *channel = LOOP_CONTAINER(shared, struct loop_channel, shared);

    assert(loop_list_is_empty(&channel->senders) && loop_list_is_empty(&channel->receivers));
    for (unsigned i = 0; channel->drop && i < channel->length; i++) {
        channel->drop(item_at(channel, i));
    }
    loop_shared_finish(shared);
    loop_kernel_free(channel);
}

struct loop_channel *loop_channel_create(size_t item_bytes, unsigned capacity, loop_channel_drop_fn *drop)
{
    if (item_bytes == 0 || item_bytes > LOOP_CHANNEL_ITEM_MAX || capacity > LOOP_CHANNEL_BYTES_MAX / item_bytes) {
        return NULL;
    }
    struct loop_channel *channel = loop_kernel_malloc(sizeof *channel + item_bytes * capacity);
    if (!channel) {
        return NULL;
    }
    *channel = (struct loop_channel){.item_bytes = item_bytes, .capacity = capacity, .drop = drop};
    loop_shared_init(&channel->shared, destroy);
    loop_list_init(&channel->senders);
    loop_list_init(&channel->receivers);
    return channel;
}

struct loop_channel *loop_channel_ref(struct loop_channel *channel)
{
    if (loop_check_pointer(channel, "channel", __func__)) {
        loop_shared_ref(&channel->shared);
    }
    return channel;
}

void loop_channel_unref(struct loop_channel *channel)
{
    if (channel) {
        loop_shared_unref(&channel->shared);
    }
}

/* ---- items, inside of the mutex ---- */

/* Returns what loop_channel_try_send returns. */
static int send_now(struct loop_channel *channel, const void *item, struct loop_list *granted)
{
    struct loop_waiter *receiver = loop_waiter_first(&channel->receivers);

    if (channel->is_closed) {
        return -EPIPE;
    }
    if (receiver) {
        assert(channel->length == 0);
        memcpy(receiver->item, item, channel->item_bytes);
        loop_waiter_grant(receiver, 1, granted);
        return 0;
    }
    if (channel->length == channel->capacity) {
        return -EAGAIN;
    }
    memcpy(item_at(channel, channel->length), item, channel->item_bytes);
    channel->length++;
    return 0;
}

/* Takes the oldest item, which exists, and makes room for the sender that has waited longest. */
static void take_oldest(struct loop_channel *channel, void *item, struct loop_list *granted)
{
    struct loop_waiter *sender = loop_waiter_first(&channel->senders);

    memcpy(item, item_at(channel, 0), channel->item_bytes);
    channel->head = (channel->head + 1) % channel->capacity;
    channel->length--;
    if (sender) {
        memcpy(item_at(channel, channel->length), sender->item, channel->item_bytes);
        channel->length++;
        loop_waiter_grant(sender, 0, granted);
    }
}

/* Returns what loop_channel_try_receive returns. */
static int receive_now(struct loop_channel *channel, void *item, struct loop_list *granted)
{
    struct loop_waiter *sender = loop_waiter_first(&channel->senders);

    if (channel->length > 0) {
        take_oldest(channel, item, granted);
        return 1;
    }
    if (sender) {
        assert(channel->capacity == 0);
        memcpy(item, sender->item, channel->item_bytes);
        loop_waiter_grant(sender, 0, granted);
        return 1;
    }
    return channel->is_closed ? 0 : -EAGAIN;
}

/* ---- jobs ---- */

static bool is_good(const struct loop_scope *scope, const struct loop_channel *channel, const void *item,
                    const char *function)
{
    return loop_check_main_scope(scope, function) && loop_check_pointer(channel, "channel", function) &&
           loop_check_pointer(item, "item", function);
}

loop_job loop_channel_send(struct loop_scope *scope, struct loop_channel *channel, const void *item, loop_fn *fn,
                           void *arg)
{
    struct loop_list granted;
    loop_job job;

    if (!is_good(scope, channel, item, __func__)) {
        return 0;
    }
    struct loop_waiter *waiter = loop_waiter_create(scope, &channel->shared, channel->item_bytes, fn, arg, &job);
    if (!waiter) {
        return job;
    }
    loop_list_init(&granted);
    loop_shared_lock(&channel->shared);
    int result = send_now(channel, item, &granted);
    if (result == -EAGAIN) {
        waiter->item = memcpy(waiter->copy, item, channel->item_bytes);
        loop_list_push_back(&channel->senders, &waiter->link);
    }
    loop_shared_unlock(&channel->shared);
    if (result != -EAGAIN) {
        loop_waiter_end(waiter, result);
    }
    loop_waiters_tell(&granted);
    return job;
}

loop_job loop_channel_receive(struct loop_scope *scope, struct loop_channel *channel, void *item, loop_fn *fn,
                              void *arg)
{
    struct loop_list granted;
    loop_job job;

    if (!is_good(scope, channel, item, __func__)) {
        return 0;
    }
    struct loop_waiter *waiter = loop_waiter_create(scope, &channel->shared, 0, fn, arg, &job);
    if (!waiter) {
        return job;
    }
    loop_list_init(&granted);
    loop_shared_lock(&channel->shared);
    int result = receive_now(channel, item, &granted);
    if (result == -EAGAIN) {
        waiter->item = item;
        loop_list_push_back(&channel->receivers, &waiter->link);
    }
    loop_shared_unlock(&channel->shared);
    if (result != -EAGAIN) {
        loop_waiter_end(waiter, result);
    }
    loop_waiters_tell(&granted);
    return job;
}

/* ---- from any thread ---- */

int loop_channel_try_send(struct loop_channel *channel, const void *item)
{
    struct loop_list granted;

    if (!loop_check_pointer(channel, "channel", __func__) || !loop_check_pointer(item, "item", __func__)) {
        return -EINVAL;
    }
    loop_list_init(&granted);
    loop_shared_lock(&channel->shared);
    int result = send_now(channel, item, &granted);
    loop_shared_unlock(&channel->shared);
    loop_waiters_tell(&granted);
    return result;
}

int loop_channel_try_receive(struct loop_channel *channel, void *item)
{
    struct loop_list granted;

    if (!loop_check_pointer(channel, "channel", __func__) || !loop_check_pointer(item, "item", __func__)) {
        return -EINVAL;
    }
    loop_list_init(&granted);
    loop_shared_lock(&channel->shared);
    int result = receive_now(channel, item, &granted);
    loop_shared_unlock(&channel->shared);
    loop_waiters_tell(&granted);
    return result;
}

static void grant_all(struct loop_list *line, int64_t result, struct loop_list *granted)
{
    for (struct loop_waiter *waiter; (waiter = loop_waiter_first(line)) != NULL;) {
        loop_waiter_grant(waiter, result, granted);
    }
}

void loop_channel_close(struct loop_channel *channel)
{
    struct loop_list granted;

    if (!loop_check_pointer(channel, "channel", __func__)) {
        return;
    }
    loop_list_init(&granted);
    loop_shared_lock(&channel->shared);
    channel->is_closed = true;
    grant_all(&channel->senders, -EPIPE, &granted);
    grant_all(&channel->receivers, 0, &granted);
    loop_shared_unlock(&channel->shared);
    loop_waiters_tell(&granted);
}

unsigned loop_channel_length(struct loop_channel *channel)
{
    if (!loop_check_pointer(channel, "channel", __func__)) {
        return 0;
    }
    loop_shared_lock(&channel->shared);
    unsigned length = channel->length;
    loop_shared_unlock(&channel->shared);
    return length;
}
