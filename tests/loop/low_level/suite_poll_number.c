/* SPDX-License-Identifier: ISC
 *
 * loop_poll_number: polls of numbers that other code owns, closes and opens again, with events that change.
 */
#include "harness.h"

#include <stdio.h>

/* ---- a recorder ---- */

struct poller {
    loop_job job;
    int number;
    bool drains;
    unsigned resumed, ends, seen_in_turn;
    int64_t events; /* of the last time */
    int64_t end;
    void (*act)(struct poller *poller); /* called for each time */
    struct loop_scope *scope;
};

static void on_events(void *arg, int64_t result)
{
    struct poller *poller = arg;

    CHECK_IS(poller->ends, 0);
    CHECK(result != 0);
    if (result < 0) {
        poller->ends++;
        poller->end = result;
    } else {
        poller->resumed++;
        poller->events = result;
        if (poller->drains) {
            drain(poller->number);
        }
        if (poller->act) {
            poller->act(poller);
        }
    }
    script_poke();
}

static void begin(struct poller *poller, struct loop_scope *scope, int number, unsigned events)
{
    poller->number = number;
    poller->scope = scope;
    poller->job = START(loop_poll_number(scope, number, events, on_events, poller));
}

static int change(struct poller *poller, unsigned events)
{
    return loop_poll_change(loop_scope_loop(poller->scope), poller->job, events);
}

static void cancel(struct poller *poller)
{
    CHECK_IS(loop_cancel(loop_scope_loop(poller->scope), poller->job), 0);
}

#define END_POLLER(poller)                                                                                             \
    cancel(&(poller));                                                                                                 \
    WAIT_UNTIL((poller).ends);                                                                                         \
    CHECK_IS((poller).end, -ECANCELED)

static void put(int number)
{
    CHECK_IS(write(number, "x", 1), 1);
}

/* ---- level-triggered and one-shot ---- */

LOOP_TEST(a_poll_repeats_once_a_turn_while_an_event_is_there)
{
    static struct poller poller;
    static int pair[2];
    static unsigned seen, i;
    static struct loop_stats before, after;

    BEGIN;
    make_pair(pair);
    begin(&poller, env->scope, pair[0], POLLIN);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(poller.resumed, 0);
    put(pair[1]);
    WAIT_UNTIL(poller.resumed);
    CHECK_IS(poller.events, POLLIN);
    for (i = 0; i < 10; i++) {
        seen = poller.resumed;
        loop_get_stats(env->loop, &before);
        AWAIT(turns(env->scope, 5, GO)); /* other work goes on beside it */
        loop_get_stats(env->loop, &after);
        CHECK(poller.resumed > seen);
        CHECK(poller.resumed - seen <= after.turns - before.turns + 1);
    }
    drain(pair[0]);
    AWAIT(turns(env->scope, 3, GO));
    seen = poller.resumed;
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(poller.resumed, seen);
    put(pair[1]);
    WAIT_UNTIL(poller.resumed > seen);
    END_POLLER(poller);
    close(pair[0]);
    close(pair[1]);
    END;
}

LOOP_TEST(p18_a_poll_without_events_costs_nothing)
{
    static struct poller poller = {.drains = true};
    static int pair[2];
    static unsigned seen;
    static struct loop_stats before, after;

    BEGIN;
    make_pair(pair);
    begin(&poller, env->scope, pair[0], POLLIN);
    put(pair[1]);
    WAIT_UNTIL(poller.resumed);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    seen = poller.resumed;
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 50 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    CHECK_IS(poller.resumed, seen);
    END_POLLER(poller);
    close(pair[0]);
    close(pair[1]);
    END;
}

LOOP_TEST(a_poll_once_is_armed_by_each_change)
{
    static struct poller poller;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    put(pair[1]);
    begin(&poller, env->scope, pair[0], POLLIN | LOOP_POLL_ONCE);
    WAIT_UNTIL(poller.resumed);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(poller.resumed, 1);
    CHECK_IS(change(&poller, POLLIN | LOOP_POLL_ONCE), 0);
    WAIT_UNTIL(poller.resumed == 2);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(poller.resumed, 2);
    close(pair[1]);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(poller.resumed, 2); /* not even the hang-up */
    CHECK_IS(change(&poller, POLLIN | POLLRDHUP | LOOP_POLL_ONCE), 0);
    WAIT_UNTIL(poller.resumed == 3);
    CHECK_IS(poller.events, POLLIN | POLLRDHUP | POLLHUP);
    END_POLLER(poller);
    close(pair[0]);
    END;
}

/* ---- changes ---- */

static void to_output(struct poller *poller)
{
    CHECK_IS(change(poller, poller->events & POLLIN ? POLLOUT : 0), 0);
}

LOOP_TEST(events_may_be_changed_inside_the_continuation)
{
    static struct poller poller = {.act = to_output};
    static int pair[2];

    BEGIN;
    make_pair(pair);
    put(pair[1]);
    begin(&poller, env->scope, pair[0], POLLIN);
    WAIT_UNTIL(poller.resumed == 1);
    CHECK_IS(poller.events, POLLIN);
    WAIT_UNTIL(poller.resumed == 2);
    CHECK_IS(poller.events, POLLOUT);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(poller.resumed, 2);
    CHECK_IS(change(&poller, POLLIN | POLLOUT), 0);
    WAIT_UNTIL(poller.resumed == 3);
    CHECK_IS(poller.events, POLLIN | POLLOUT);
    END_POLLER(poller);
    CHECK_IS(change(&poller, POLLIN), -ENOENT);
    close(pair[0]);
    close(pair[1]);
    END;
}

LOOP_TEST(output_is_reported_when_there_is_room_again)
{
    static struct poller poller;
    static int pair[2];
    static unsigned seen;

    BEGIN;
    make_pair(pair);
    set_nonblocking(pair[0]);
    set_nonblocking(pair[1]);
    stuff(pair[0]);
    begin(&poller, env->scope, pair[0], 0);
    CHECK_IS(change(&poller, POLLOUT), 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(poller.resumed, 0);
    drain(pair[1]);
    WAIT_UNTIL(poller.resumed);
    CHECK_IS(poller.events, POLLOUT);
    seen = poller.resumed;
    WAIT_UNTIL(poller.resumed > seen + 3);
    CHECK_IS(change(&poller, 0), 0);
    seen = poller.resumed;
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(poller.resumed, seen);
    END_POLLER(poller);
    close(pair[0]);
    close(pair[1]);
    END;
}

LOOP_TEST(urgent_data_is_an_event_of_its_own)
{
    static struct poller poller;
    static int pair[2];

    BEGIN;
    make_tcp_pair(pair);
    begin(&poller, env->scope, pair[0], POLLPRI);
    put(pair[1]);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(poller.resumed, 0);
    CHECK_IS(send(pair[1], "!", 1, MSG_OOB), 1);
    WAIT_UNTIL(poller.resumed);
    CHECK_IS(poller.events, POLLPRI);
    END_POLLER(poller);
    close(pair[0]);
    close(pair[1]);
    END;
}

LOOP_TEST(flags_of_the_open_file_are_not_changed)
{
    static struct poller poller;
    static int pair[2];

    BEGIN;
    make_pipe(pair);
    CHECK_IS(fcntl(pair[0], F_SETFL, 0), 0);
    begin(&poller, env->scope, pair[0], POLLIN);
    put(pair[1]);
    WAIT_UNTIL(poller.resumed);
    CHECK_IS(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    END_POLLER(poller);
    close(pair[0]);
    close(pair[1]);
    END;
}

/* ---- numbers that are closed and used again ---- */

static int old_peer, new_peer, kept;
static struct poller second;

/* Puts another file under the number, while a duplicate keeps the old one open, as a forked child would. */
static void replace(int number)
{
    int pair[2];

    kept = dup(number);
    close(number);
    make_pair(pair);
    if (pair[0] != number) {
        CHECK_IS(dup2(pair[0], number), number);
        close(pair[0]);
    }
    new_peer = pair[1];
}

static void replace_and_poll_again(struct poller *poller)
{
    poller->act = NULL;
    replace(poller->number);
    cancel(poller);
    begin(&second, poller->scope, poller->number, POLLIN);
}

static void close_all(int number)
{
    close(number);
    close(new_peer);
    close(old_peer);
    close(kept);
}

LOOP_TEST(a_number_may_be_closed_and_reused_inside_the_continuation)
{
    static struct poller first = {.act = replace_and_poll_again};
    static int pair[2];

    BEGIN;
    make_pair(pair);
    old_peer = pair[1];
    begin(&first, env->scope, pair[0], POLLIN);
    put(old_peer);
    WAIT_UNTIL(first.ends);
    CHECK_IS(first.end, -ECANCELED);
    CHECK_IS(first.resumed, 1);
    put(old_peer); /* to the file that is not open under the number any more */
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(second.resumed, 0);
    put(new_peer);
    WAIT_UNTIL(second.resumed);
    END_POLLER(second);
    close_all(pair[0]);
    END;
}

LOOP_TEST(a_number_may_be_reused_many_times)
{
    static struct poller pollers[200];
    static int number, peer, i;

    BEGIN;
    for (i = 0; i < (int)COUNT_OF(pollers); i++) {
        int pair[2];
        make_pair(pair);
        number = pair[0];
        peer = pair[1];
        begin(&pollers[i], env->scope, number, POLLIN | (i % 2 ? POLLOUT : 0));
        put(peer);
        WAIT_UNTIL(pollers[i].resumed);
        close(number);
        cancel(&pollers[i]);
        close(peer);
    }
    WAIT_UNTIL(pollers[COUNT_OF(pollers) - 1].ends);
    for (i = 0; i < (int)COUNT_OF(pollers); i++) {
        CHECK_IS(pollers[i].end, -ECANCELED);
    }
    END;
}

LOOP_TEST(a_change_finds_that_the_number_is_another_file)
{
    static struct poller poller;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    old_peer = pair[1];
    begin(&poller, env->scope, pair[0], POLLIN);
    AWAIT(turns(env->scope, 3, GO));
    replace(pair[0]);
    CHECK_IS(change(&poller, POLLIN), -EBADF);
    CHECK_IS(change(&poller, POLLIN), -ENOENT);
    WAIT_UNTIL(poller.ends);
    CHECK_IS(poller.end, -EBADF);
    close_all(pair[0]);
    END;
}

LOOP_TEST(an_event_of_a_file_that_the_number_no_longer_is_ends_the_poll)
{
    static struct poller poller;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    old_peer = pair[1];
    begin(&poller, env->scope, pair[0], POLLIN);
    AWAIT(turns(env->scope, 3, GO));
    replace(pair[0]);
    put(old_peer);
    WAIT_UNTIL(poller.ends);
    CHECK_IS(poller.end, -EBADF);
    CHECK_IS(poller.resumed, 0);
    close_all(pair[0]);
    END;
}

LOOP_TEST(the_peer_sees_the_end_when_the_number_is_closed_and_the_poll_cancelled)
{
    static struct poller poller;
    static int pair[2];
    static struct loop_flow *peer;
    static char byte;

    BEGIN;
    make_pair(pair);
    peer = flow_of(env->scope, pair[1]);
    begin(&poller, env->scope, pair[0], POLLIN);
    AWAIT(turns(env->scope, 3, GO));
    close(pair[0]);
    cancel(&poller);
    AWAIT(loop_read(&peer->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(one_number_may_be_polled_several_times_at_once)
{
    static struct poller pollers[3];
    static int pair[2];
    static unsigned i, seen;

    BEGIN;
    make_pair(pair);
    for (i = 0; i < COUNT_OF(pollers); i++) {
        begin(&pollers[i], env->scope, pair[0], i == 2 ? POLLOUT : POLLIN);
    }
    WAIT_UNTIL(pollers[2].resumed);
    CHECK_IS(pollers[0].resumed, 0);
    put(pair[1]);
    WAIT_UNTIL(pollers[0].resumed && pollers[1].resumed);
    END_POLLER(pollers[0]);
    seen = pollers[1].resumed;
    WAIT_UNTIL(pollers[1].resumed > seen);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    close(pair[0]);
    close(pair[1]);
    END;
}

/* ---- ends ---- */

LOOP_TEST_ROWS(p04_a_poll_may_be_cancelled_at_every_step, 6)
{
    static struct poller poller;
    static int pair[2];
    static unsigned seen;

    BEGIN;
    make_pair(pair);
    begin(&poller, env->scope, pair[0], script.row % 2 ? POLLIN | POLLOUT : POLLIN);
    put(pair[1]);
    if (script.row / 2 > 0) {
        AWAIT(turns(env->scope, (unsigned)script.row / 2, GO));
    }
    cancel(&poller);
    seen = poller.resumed;
    CHECK_IS(loop_cancel(env->loop, poller.job), -ENOENT);
    CHECK_IS(change(&poller, POLLIN), -ENOENT);
    WAIT_UNTIL(poller.ends);
    CHECK_IS(poller.end, -ECANCELED);
    CHECK_IS(poller.resumed, seen);
    close(pair[0]);
    close(pair[1]);
    END;
}

static void cancel_scope(struct poller *poller)
{
    loop_scope_cancel(poller->scope);
}

LOOP_TEST_ROWS(p07_the_scope_may_be_cancelled_inside_the_continuation, 2)
{
    static struct poller poller = {.act = cancel_scope};
    static struct once ended;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    poller.act = script.row ? cancel : cancel_scope;
    put(pair[1]);
    begin(&poller, loop_scope_open(env->scope, ONCE(&ended)), pair[0], POLLIN);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, script.row ? 0 : -ECANCELED);
    CHECK_IS(poller.resumed, 1);
    CHECK_IS(poller.end, -ECANCELED);
    close(pair[0]);
    close(pair[1]);
    END;
}

LOOP_TEST(a_poll_holds_its_scope_unless_it_is_a_daemon)
{
    static struct poller poller;
    static struct once ended;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    begin(&poller, loop_scope_open(env->scope, ONCE(&ended)), pair[0], 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(ended.count, 0);
    CHECK_IS(loop_daemon(env->loop, poller.job), 0);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK_IS(poller.end, -ECANCELED);
    close(pair[0]);
    close(pair[1]);
    END;
}

/* ---- errors ---- */

LOOP_TEST(what_cannot_be_polled_ends_with_the_reason)
{
    static int file, pair[2];
    static loop_job other;
    static rlim_t limit;
    static struct once unheard;

    BEGIN;
    AWAIT(loop_poll_number(env->scope, -1, POLLIN, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_poll_number(env->scope, lowest_free_fd(), POLLIN, GO));
    CHECK_IS(result, -EBADF);
    file = make_file("x", 1);
    AWAIT(loop_poll_number(env->scope, file, POLLIN, GO));
    CHECK_IS(result, -EPERM);
    close(file);
    make_pair(pair);
    AWAIT(loop_poll_number(env->scope, pair[0], POLLIN | POLLNVAL, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(loop_poll_number(loop_scope_open(env->scope, ONCE(&unheard)), pair[0], POLLIN, NULL, NULL) != 0);
    WAIT_UNTIL(unheard.count);
    ONCE_IS(unheard, -EINVAL); /* nobody would hear of an event */
    limit = forbid_fds();
    AWAIT(loop_poll_number(env->scope, pair[0], POLLIN, GO));
    CHECK_IS(result, -EMFILE);
    limit_fds(limit);
    other = START(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL));
    CHECK_IS(loop_poll_change(env->loop, other, POLLIN), -EINVAL);
    CHECK_IS(loop_poll_change(env->loop, 0, POLLIN), -ENOENT);
    loop_cancel(env->loop, other);
    close(pair[0]);
    close(pair[1]);
    END;
}

LOOP_TEST(a_change_to_unknown_events_changes_nothing)
{
    static struct poller poller;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    begin(&poller, env->scope, pair[0], POLLIN);
    CHECK_IS(change(&poller, POLLIN | POLLNVAL), -EINVAL);
    put(pair[1]);
    WAIT_UNTIL(poller.resumed);
    END_POLLER(poller);
    close(pair[0]);
    close(pair[1]);
    END;
}

#if !HAS_SANITIZER
LOOP_TEST_ROWS(without_memory_a_poll_is_made_or_ends, 12)
{
    static struct poller poller;
    static int pair[2];
    static bool has_failed;

    BEGIN;
    make_pair(pair);
    put(pair[1]);
    fail_allocation((unsigned long)script.row + 1, true);
    poller.scope = env->scope;
    poller.job = loop_poll_number(env->scope, pair[0], POLLIN | POLLOUT, on_events, &poller);
    has_failed = allocation_failed();
    fail_allocation(0, false);
    if (poller.job) {
        WAIT_UNTIL(poller.resumed || poller.ends);
        CHECK_IS(poller.end, poller.ends ? -ENOMEM : 0);
        CHECK(has_failed || !poller.ends);
    } else {
        CHECK(has_failed);
    }
    if (poller.job && !poller.ends) {
        END_POLLER(poller);
    }
    close(pair[0]);
    close(pair[1]);
    END;
}
#endif
