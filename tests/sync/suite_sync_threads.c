/* SPDX-License-Identifier: ISC
 *
 * Channels, semaphores and conditions between loops and threads (P21).
 */
#include "harness.h"

#include <pthread.h>
#include <sync/sync.h>

enum { LOOPS = 4, ITEMS = HAS_SANITIZER ? 500 : 3000 };

/* A loop in a thread. */
struct peer {
    pthread_t thread;
    loop_main_fn *main;
    struct loop_scope *scope;
    unsigned index, n_sent, n_received;
    uint64_t sum;
    unsigned item;
    int status;
};

static struct peer peers[LOOPS];
static struct loop_channel *channel;

static void *run_peer(void *arg)
{
    struct peer *peer = arg;

    peer->status = loop_run(8, 1, 4096, NULL, peer->main, peer);
    return NULL;
}

static void start_peers(loop_main_fn *main)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        peers[i] = (struct peer){.main = main, .index = i};
        CHECK_IS(pthread_create(&peers[i].thread, NULL, run_peer, &peers[i]), 0);
    }
}

static void join_peers(void)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        CHECK_IS(pthread_join(peers[i].thread, NULL), 0);
        CHECK_IS(peers[i].status, 0);
    }
}

/* ---- many senders, many receivers ---- */

static void on_sent(void *arg, int64_t result)
{
    struct peer *peer = arg;

    CHECK_IS(result, 0);
    if (peer->n_sent == ITEMS) {
        return;
    }
    peer->n_sent++;
    unsigned item = peer->index * ITEMS + peer->n_sent;
    CHECK(loop_channel_send(peer->scope, channel, &item, on_sent, peer));
}

static void on_received(void *arg, int64_t result)
{
    struct peer *peer = arg;

    CHECK(result == 0 || result == 1);
    if (result == 1) {
        peer->n_received++;
        peer->sum += peer->item;
        CHECK(loop_channel_receive(peer->scope, channel, &peer->item, on_received, peer));
    }
}

static int send_or_receive(struct loop_env *env, void *arg)
{
    struct peer *peer = arg;

    peer->scope = env->scope;
    if (peer->index % 2 == 0) {
        on_sent(peer, 0);
    } else {
        CHECK(loop_channel_receive(env->scope, channel, &peer->item, on_received, peer));
    }
    return 0;
}

/* Closes the channel when the senders have ended, so that the receivers end. */
static void pass_items(unsigned capacity)
{
    uint64_t sum = 0, expected = 0;
    unsigned n = 0;

    channel = loop_channel_create(sizeof(unsigned), capacity, NULL);
    start_peers(send_or_receive);
    for (unsigned i = 0; i < LOOPS; i += 2) {
        CHECK_IS(pthread_join(peers[i].thread, NULL), 0);
        for (unsigned item = 1; item <= ITEMS; item++) {
            expected += i * ITEMS + item;
        }
    }
    loop_channel_close(channel);
    for (unsigned i = 1; i < LOOPS; i += 2) {
        CHECK_IS(pthread_join(peers[i].thread, NULL), 0);
        sum += peers[i].sum;
        n += peers[i].n_received;
    }
    CHECK_IS(n, LOOPS / 2 * ITEMS);
    CHECK_IS(sum, expected);
    loop_channel_unref(channel);
}

static const unsigned capacities[] = {0, 1, 64};

TEST_ROWS(p21_items_of_many_loops_arrive_once, COUNT_OF(capacities), row)
{
    pass_items(capacities[row]);
}

/* ---- a semaphore as a lock ---- */

static struct loop_semaphore *semaphore;
static unsigned counter; /* guarded by the semaphore */

static void on_permit(void *arg, int64_t result)
{
    struct peer *peer = arg;

    CHECK_IS(result, 0);
    counter++;
    CHECK_IS(loop_semaphore_release(semaphore), 0);
    if (++peer->n_received < ITEMS) {
        CHECK(loop_semaphore_acquire(peer->scope, semaphore, on_permit, peer));
    }
}

static int count_up(struct loop_env *env, void *arg)
{
    struct peer *peer = arg;

    peer->scope = env->scope;
    CHECK(loop_semaphore_acquire(env->scope, semaphore, on_permit, peer));
    return 0;
}

TEST(p21_a_permit_is_held_by_one_loop_at_a_time)
{
    semaphore = loop_semaphore_create(1);
    counter = 0;
    start_peers(count_up);
    join_peers();
    CHECK_IS(counter, LOOPS * ITEMS);
    CHECK_IS(loop_semaphore_permits(semaphore), 1);
    loop_semaphore_unref(semaphore);
}

/* ---- cancels that race with grants ---- */

static void on_raced(void *arg, int64_t result)
{
    struct peer *peer = arg;

    CHECK(result == 1 || result == -ECANCELED);
    peer->n_received += result == 1;
}

/* With a capacity of 0, each item that was sent has reached somebody, who resumes with it. */
static unsigned try_counted(unsigned n)
{
    unsigned sent = 0, item = 7;

    for (unsigned i = 0; i < n; i++) {
        sent += loop_channel_try_send(channel, &item) == 0;
    }
    return sent;
}

static void receive_and_cancel(void *arg, int64_t result)
{
    struct peer *peer = arg;

    CHECK_IS(result, 0);
    loop_job job = loop_channel_receive(peer->scope, channel, &peer->item, on_raced, peer);
    CHECK(job != 0);
    if (peer->n_sent % 2) {
        (void)loop_cancel(loop_scope_loop(peer->scope), job);
    }
    if (++peer->n_sent < ITEMS) {
        CHECK(loop_sleep(peer->scope, 0, receive_and_cancel, peer));
    } else {
        loop_scope_cancel(peer->scope);
    }
}

static int race(struct loop_env *env, void *arg)
{
    struct peer *peer = arg;

    peer->scope = loop_scope_open(env->scope, NULL, NULL);
    receive_and_cancel(peer, 0);
    return 0;
}

TEST(p09_a_cancel_that_races_with_a_send_loses_no_item)
{
    unsigned sent, received = 0;

    channel = loop_channel_create(sizeof(unsigned), 0, NULL);
    start_peers(race);
    sent = try_counted(200000 / (HAS_SANITIZER ? 10 : 1));
    join_peers();
    for (unsigned i = 0; i < LOOPS; i++) {
        received += peers[i].n_received;
    }
    CHECK_IS(received, sent);
    loop_channel_unref(channel);
}

/* ---- a condition with a mutex ---- */

static struct loop_condition *condition;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned turn; /* guarded by the mutex: whose turn it is */

static void take_turn(void *arg, int64_t result)
{
    struct peer *peer = arg;

    CHECK_IS(result, 0);
    pthread_mutex_lock(&mutex);
    while (turn % LOOPS == peer->index && peer->n_sent < 50) {
        turn++;
        peer->n_sent++;
        loop_condition_broadcast(condition);
    }
    if (peer->n_sent < 50) {
        CHECK(loop_condition_wait(peer->scope, condition, take_turn, peer));
    }
    pthread_mutex_unlock(&mutex);
}

static int take_turns(struct loop_env *env, void *arg)
{
    struct peer *peer = arg;

    peer->scope = env->scope;
    take_turn(peer, 0);
    return 0;
}

TEST(p21_no_signal_is_missed_inside_of_a_mutex)
{
    turn = 0;
    condition = loop_condition_create();
    start_peers(take_turns);
    join_peers();
    CHECK_IS(turn, LOOPS * 50);
    loop_condition_unref(condition);
}
