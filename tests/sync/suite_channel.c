/* SPDX-License-Identifier: ISC
 *
 * Channels in one loop.
 */
#include "harness.h"

#include <sync/sync.h>

static int items[4];
static struct once sent[4], received[4];

static loop_job send_item(struct loop_scope *scope, struct loop_channel *channel, int item, struct once *once)
{
    return loop_channel_send(scope, channel, &item, ONCE(once));
}

LOOP_TEST_ROWS(items_arrive_in_the_order_of_the_sends, 3)
{
    static struct loop_channel *channel;

    BEGIN;
    channel = loop_channel_create(sizeof(int), (unsigned)script.row, NULL);
    for (int i = 0; i < 4; i++) {
        START(send_item(env->scope, channel, i + 1, &sent[i]));
    }
    CHECK_IS(loop_channel_length(channel), script.row);
    for (int i = 0; i < 4; i++) {
        START(loop_channel_receive(env->scope, channel, &items[i], ONCE(&received[i])));
    }
    WAIT_UNTIL(received[3].count && sent[3].count);
    for (int i = 0; i < 4; i++) {
        ONCE_IS(sent[i], 0);
        ONCE_IS(received[i], 1);
        CHECK_IS(items[i], i + 1);
        CHECK(i == 0 || received[i].order > received[i - 1].order);
    }
    loop_channel_unref(channel);
    END;
}

LOOP_TEST(receivers_that_wait_are_served_in_their_order)
{
    static struct loop_channel *channel;

    BEGIN;
    channel = loop_channel_create(sizeof(int), 1, NULL);
    for (int i = 0; i < 3; i++) {
        START(loop_channel_receive(env->scope, channel, &items[i], ONCE(&received[i])));
    }
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_channel_try_send(channel, &(int){i + 7}), 0);
    }
    CHECK_IS(loop_channel_length(channel), 0);
    AWAIT(turns(env->scope, 3, GO));
    ONCE_IS(received[0], 1);
    ONCE_IS(received[1], 1);
    CHECK_IS(received[2].count, 0);
    CHECK_IS(items[0], 7);
    CHECK_IS(items[1], 8);
    loop_channel_close(channel);
    WAIT_UNTIL(received[2].count);
    ONCE_IS(received[2], 0);
    loop_channel_unref(channel);
    END;
}

LOOP_TEST(what_was_sent_before_a_close_is_received_and_what_waited_is_not)
{
    static struct loop_channel *channel;

    BEGIN;
    channel = loop_channel_create(sizeof(int), 1, NULL);
    START(send_item(env->scope, channel, 1, &sent[0]));
    START(send_item(env->scope, channel, 2, &sent[1]));
    loop_channel_close(channel);
    loop_channel_close(channel);
    CHECK_IS(sent[1].count, 0);
    START(send_item(env->scope, channel, 3, &sent[2]));
    START(loop_channel_receive(env->scope, channel, &items[0], ONCE(&received[0])));
    AWAIT(loop_channel_receive(env->scope, channel, &items[1], GO));
    CHECK_IS(result, 0);
    ONCE_IS(sent[0], 0);
    ONCE_IS(sent[1], -EPIPE);
    ONCE_IS(sent[2], -EPIPE);
    ONCE_IS(received[0], 1);
    CHECK_IS(items[0], 1);
    CHECK_IS(loop_channel_try_send(channel, &items[0]), -EPIPE);
    CHECK_IS(loop_channel_try_receive(channel, &items[0]), 0);
    loop_channel_unref(channel);
    END;
}

LOOP_TEST(trying_does_not_wait)
{
    static struct loop_channel *full, *none;
    static int item;

    BEGIN;
    full = loop_channel_create(sizeof(int), 1, NULL);
    CHECK_IS(loop_channel_try_receive(full, &item), -EAGAIN);
    CHECK_IS(loop_channel_try_send(full, &(int){5}), 0);
    CHECK_IS(loop_channel_try_send(full, &(int){6}), -EAGAIN);
    CHECK_IS(loop_channel_try_receive(full, &item), 1);
    CHECK_IS(item, 5);
    loop_channel_unref(full);
    none = loop_channel_create(sizeof(int), 0, NULL);
    CHECK_IS(loop_channel_try_send(none, &(int){7}), -EAGAIN);
    START(send_item(env->scope, none, 8, &sent[0]));
    CHECK_IS(loop_channel_try_receive(none, &item), 1);
    CHECK_IS(item, 8);
    CHECK_IS(loop_channel_try_receive(none, &item), -EAGAIN);
    WAIT_UNTIL(sent[0].count);
    ONCE_IS(sent[0], 0);
    loop_channel_unref(none);
    END;
}

LOOP_TEST(p09_a_cancelled_job_of_a_channel_takes_nothing)
{
    static struct loop_channel *channel;
    static loop_job job;

    BEGIN;
    channel = loop_channel_create(sizeof(int), 0, NULL);
    job = START(loop_channel_receive(env->scope, channel, &items[0], ONCE(&received[0])));
    START(loop_channel_receive(env->scope, channel, &items[1], ONCE(&received[1])));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    START(send_item(env->scope, channel, 4, &sent[0]));
    WAIT_UNTIL(received[1].count && received[0].count && sent[0].count);
    ONCE_IS(received[0], -ECANCELED);
    ONCE_IS(received[1], 1);
    CHECK_IS(items[1], 4);
    job = START(send_item(env->scope, channel, 5, &sent[1]));
    START(send_item(env->scope, channel, 6, &sent[2]));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    AWAIT(loop_channel_receive(env->scope, channel, &items[2], GO));
    CHECK_IS(items[2], 6);
    ONCE_IS(sent[1], -ECANCELED);
    loop_channel_unref(channel);
    END;
}

LOOP_TEST(a_receiver_that_has_its_item_keeps_it_although_cancelled)
{
    static struct loop_channel *channel;
    static loop_job job;

    BEGIN;
    channel = loop_channel_create(sizeof(int), 0, NULL);
    job = START(loop_channel_receive(env->scope, channel, &items[0], ONCE(&received[0])));
    CHECK_IS(loop_channel_try_send(channel, &(int){9}), 0);
    (void)loop_cancel(env->loop, job);
    WAIT_UNTIL(received[0].count);
    ONCE_IS(received[0], 1);
    CHECK_IS(items[0], 9);
    loop_channel_unref(channel);
    END;
}

LOOP_TEST(a_scope_ends_its_jobs_and_a_cancelled_one_starts_none)
{
    static struct loop_channel *channel;
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    channel = loop_channel_create(sizeof(int), 1, NULL);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_channel_receive(scope, channel, &items[0], ONCE(&received[0])));
    loop_scope_cancel(scope);
    START(loop_channel_receive(scope, channel, &items[1], ONCE(&received[1])));
    START(send_item(scope, channel, 1, &sent[0]));
    loop_channel_unref(channel); /* the last reference is that of a job */
    WAIT_UNTIL(ended.count);
    ONCE_IS(received[0], -ECANCELED);
    ONCE_IS(received[1], -ECANCELED);
    ONCE_IS(sent[0], -ECANCELED);
    ONCE_IS(ended, -ECANCELED);
    END;
}

static unsigned dropped;

static void drop(void *item)
{
    int *number;

    memcpy(&number, item, sizeof number);
    dropped += (unsigned)*number;
}

LOOP_TEST(items_that_nobody_receives_are_dropped)
{
    static struct loop_channel *channel;
    static int *pointers[3], *got;

    BEGIN;
    channel = loop_channel_create(sizeof(int *), 3, drop);
    for (int i = 0; i < 3; i++) {
        items[i] = 1 << i;
        pointers[i] = &items[i];
        CHECK_IS(loop_channel_try_send(channel, &pointers[i]), 0);
    }
    CHECK(loop_channel_ref(channel) == channel);
    loop_channel_unref(channel);
    CHECK_IS(loop_channel_try_receive(channel, &got), 1);
    CHECK(got == &items[0]);
    CHECK_IS(dropped, 0);
    loop_channel_unref(channel);
    CHECK_IS(dropped, 2 + 4);
    loop_channel_unref(NULL);
    END;
}

LOOP_TEST(sizes_beyond_the_limits_are_refused)
{
    static struct loop_channel *channel;

    BEGIN;
    CHECK(loop_channel_create(0, 1, NULL) == NULL);
    CHECK(loop_channel_create(LOOP_CHANNEL_ITEM_MAX + 1, 1, NULL) == NULL);
    CHECK(loop_channel_create(LOOP_CHANNEL_ITEM_MAX, (1u << 14) + 1, NULL) == NULL);
    channel = loop_channel_create(LOOP_CHANNEL_ITEM_MAX, 2, NULL);
    CHECK(channel != NULL);
    loop_channel_unref(channel);
    END;
}

/* A producer and a consumer that pass many items by a small channel: none is lost, none comes twice. */
static struct pass {
    struct loop_scope *scope;
    struct loop_channel *channel;
    unsigned next, item, expected;
    struct once *done;
} pass;

enum { PASSED = 5000 };

static void on_sent(void *arg, int64_t result)
{
    (void)arg;
    CHECK_IS(result, 0);
    if (pass.next == PASSED) {
        loop_channel_close(pass.channel);
        return;
    }
    pass.next++;
    CHECK(loop_channel_send(pass.scope, pass.channel, &pass.next, on_sent, NULL));
}

static void on_received(void *arg, int64_t result)
{
    (void)arg;
    if (result == 0) {
        once_resumed(pass.done, 0);
        return;
    }
    CHECK_IS(result, 1);
    CHECK_IS(pass.item, ++pass.expected);
    CHECK(loop_channel_receive(pass.scope, pass.channel, &pass.item, on_received, NULL));
}

LOOP_TEST_ROWS(a_small_channel_passes_many_items, 3)
{
    static struct once done;

    BEGIN;
    pass = (struct pass){.scope = env->scope,
                         .channel = loop_channel_create(sizeof(unsigned), 2 * (unsigned)script.row, NULL),
                         .done = &done};
    START(loop_channel_receive(env->scope, pass.channel, &pass.item, on_received, NULL));
    on_sent(NULL, 0);
    WAIT_UNTIL(done.count);
    CHECK_IS(pass.expected, PASSED);
    loop_channel_unref(pass.channel);
    END;
}

#if !HAS_SANITIZER

static loop_job try_jobs(struct loop_scope *scope, struct loop_channel *channel, unsigned kind, struct once *once)
{
    return kind ? send_item(scope, channel, 1, once) : loop_channel_receive(scope, channel, &items[0], ONCE(once));
}

LOOP_TEST_ROWS(without_memory_no_job_of_a_channel_is_started, 2)
{
    static struct loop_channel *channel;
    static unsigned long n;
    static loop_job job;

    BEGIN;
    fail_allocation(1, false);
    CHECK(loop_channel_create(4, 1, NULL) == NULL);
    fail_allocation(0, false);
    channel = loop_channel_create(sizeof(int), 0, NULL);
    for (n = 1; job == 0; n++) {
        fail_allocation(n, false);
        job = try_jobs(env->scope, channel, (unsigned)script.row, &received[0]);
        fail_allocation(0, false);
    }
    CHECK(n > 2);
    loop_channel_close(channel);
    WAIT_UNTIL(received[0].count);
    ONCE_IS(received[0], script.row ? -EPIPE : 0);
    loop_channel_unref(channel);
    END;
}

#endif
