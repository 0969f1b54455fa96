/* SPDX-License-Identifier: ISC
 *
 * Calls from one loop to another: results, cancels, and loops that end meanwhile.
 */
#include "domains.h"

#include <loop/part.h>

#include <pthread.h>

static struct once ended, calls[8];
static loop_job group;

/* Starts domains that wait for calls. */
#define START_DOMAINS(n)                                                                                               \
    do {                                                                                                               \
        group = START(loop_domains(env->scope, (n), NULL, &domains, idle, NULL, ONCE(&ended)));                        \
        AWAIT(loop_domains_wait_started(env->scope, domains, GO));                                                     \
        CHECK_IS(result, 0);                                                                                           \
    } while (0)

#define END_DOMAINS                                                                                                    \
    do {                                                                                                               \
        loop_cancel(env->loop, group);                                                                                 \
        WAIT_UNTIL(ended.count);                                                                                       \
        ONCE_IS(ended, -ECANCELED);                                                                                    \
        CHECK_IS(n_ends, n_mains);                                                                                     \
    } while (0)

static bool have_ended(unsigned n)
{
    unsigned i = 0;

    while (i < n && calls[i].count > 0) {
        i++;
    }
    return i == n;
}

#define INBOX(index) loop_domains_inbox(domains, (index))

/* ---- results ---- */

static pthread_t callee;

static void double_it(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    int64_t *number = arg;

    (void)scope;
    callee = pthread_self();
    CHECK_IS(loop_call_return(call, *number * 2), 0);
    CHECK_IS(loop_call_return(call, 1), -EALREADY);
    *number = 5;
}

LOOP_TEST(a_call_runs_there_and_resumes_here_with_its_result)
{
    static int64_t number = INT64_C(1) << 40;

    BEGIN;
    START_DOMAINS(DOMAINS);
    AWAIT(loop_call(env->scope, INBOX(2), double_it, &number, GO));
    CHECK_IS(result, INT64_C(1) << 41);
    CHECK_IS(number, 5);
    CHECK(!pthread_equal(callee, pthread_self()));
    END_DOMAINS;
    END;
}

static void do_nothing(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)call;
    (void)scope;
    (void)arg;
}

static void return_error(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)scope;
    (void)arg;
    CHECK_IS(loop_call_return(call, -EDOM), 0);
}

static void fail_scope(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)arg;
    CHECK_IS(loop_call_return(call, 3), 0);
    loop_scope_fail(scope, -ENXIO);
}

static void cancel_own(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)call;
    (void)arg;
    loop_scope_cancel(scope);
}

static const struct {
    loop_call_fn *fn;
    int64_t result;
} results[] = {{do_nothing, 0}, {return_error, -EDOM}, {fail_scope, -ENXIO}, {cancel_own, -ECANCELED}};

LOOP_TEST_ROWS(the_results_of_calls, COUNT_OF(results))
{
    BEGIN;
    START_DOMAINS(1);
    AWAIT(loop_call(env->scope, INBOX(0), results[script.row].fn, NULL, GO));
    CHECK_IS(result, results[script.row].result);
    END_DOMAINS;
    END;
}

/* ---- functions that take time ---- */

static void return_later(void *arg, int64_t result)
{
    CHECK_IS(loop_call_return(arg, result == 0 ? 9 : result), 0);
}

static void take_time(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)arg;
    CHECK(loop_sleep(scope, LOOP_MILLISECOND, return_later, call));
}

LOOP_TEST(a_call_ends_with_the_jobs_that_it_has_started)
{
    BEGIN;
    START_DOMAINS(1);
    AWAIT(loop_call(env->scope, INBOX(0), take_time, NULL, GO));
    CHECK_IS(result, 9);
    END_DOMAINS;
    END;
}

LOOP_TEST(a_loop_may_call_itself)
{
    static struct loop_inbox *inbox;

    BEGIN;
    inbox = loop_inbox_ref(env->loop);
    AWAIT(loop_call(env->scope, inbox, take_time, NULL, GO));
    CHECK_IS(result, 9);
    loop_inbox_unref(inbox);
    END;
}

/* ---- order and number ---- */

enum { MANY = HAS_SANITIZER ? 500 : 5000 };

static unsigned next_number[DOMAINS];
static struct tally of_many;

static void in_order(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;

    (void)scope;
    CHECK_IS(next_number[number % DOMAINS]++, number / DOMAINS);
    CHECK_IS(loop_call_return(call, 0), 0);
}

LOOP_TEST(p01_many_calls_begin_in_order_and_end_once)
{
    BEGIN;
    START_DOMAINS(DOMAINS);
    for (unsigned i = 0; i < MANY * DOMAINS; i++) {
        CHECK(loop_call(env->scope, INBOX(i % DOMAINS), in_order, (void *)(uintptr_t)i, TALLY(&of_many)));
    }
    WAIT_UNTIL(of_many.count == MANY * DOMAINS);
    CHECK_IS(of_many.ended_well, MANY * DOMAINS);
    END_DOMAINS;
    END;
}

/* Each domain calls the next one, which calls the next: `left` times around. */
struct token {
    unsigned at, left;
};

static void on_passed(void *arg, int64_t result)
{
    CHECK_IS(loop_call_return(arg, result + 1), 0);
}

static struct loop_inbox *ring[DOMAINS];

static void pass_on(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    struct token *token = arg;

    if (token->left-- == 0) {
        CHECK_IS(loop_call_return(call, 0), 0);
        return;
    }
    token->at = (token->at + 1) % DOMAINS;
    CHECK(loop_call(scope, ring[token->at], pass_on, token, on_passed, call));
}

LOOP_TEST(calls_go_from_domain_to_domain_and_back)
{
    static struct token tokens[3] = {{.left = 40}, {.left = 41}, {.left = 42}};

    BEGIN;
    START_DOMAINS(DOMAINS);
    for (unsigned i = 0; i < DOMAINS; i++) {
        ring[i] = INBOX(i);
    }
    for (unsigned i = 0; i < 3; i++) {
        START(loop_call(env->scope, ring[0], pass_on, &tokens[i], ONCE(&calls[i])));
    }
    WAIT_UNTIL(calls[0].count && calls[1].count && calls[2].count);
    ONCE_IS(calls[0], 40);
    ONCE_IS(calls[2], 42);
    END_DOMAINS;
    END;
}

/* ---- cancels ---- */

static atomic_uint n_begun, n_scopes_over;

static void count_scope(void *unused)
{
    (void)unused;
    atomic_fetch_add(&n_scopes_over, 1);
}

static void sleep_for_ever(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    (void)call;
    (void)arg;
    atomic_fetch_add(&n_begun, 1);
    CHECK(loop_scope_defer(scope, count_scope, NULL));
    CHECK(loop_sleep(scope, LOOP_NEVER, NULL, NULL));
}

/* However much time lies between the call and the cancel. */
LOOP_TEST_ROWS(p03_a_cancel_ends_the_scope_there_before_it_resumes_here, 8)
{
    static loop_job job;

    BEGIN;
    START_DOMAINS(1);
    job = START(loop_call(env->scope, INBOX(0), sleep_for_ever, NULL, ONCE(&calls[0])));
    if (script.row > 0) {
        AWAIT(loop_sleep(env->scope, script.row * script.row * 10 * LOOP_MICROSECOND, GO));
    }
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    WAIT_UNTIL(calls[0].count);
    ONCE_IS(calls[0], -ECANCELED);
    CHECK_IS(n_begun, n_scopes_over);
    END_DOMAINS;
    END;
}

static void return_and_sleep(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    CHECK_IS(loop_call_return(call, 4), 0);
    sleep_for_ever(call, scope, arg);
}

LOOP_TEST(p04_a_result_that_was_given_before_the_cancel_is_delivered)
{
    static loop_job job;

    BEGIN;
    START_DOMAINS(1);
    job = START(loop_call(env->scope, INBOX(0), return_and_sleep, NULL, ONCE(&calls[0])));
    AWAIT(loop_call(env->scope, INBOX(0), do_nothing, NULL, GO)); /* the first has begun */
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(calls[0].count);
    ONCE_IS(calls[0], 4);
    END_DOMAINS;
    END;
}

/* Cancels race with results: each call ends once, with one of both. */
LOOP_TEST(p04_cancels_that_race_with_results)
{
    static unsigned i;
    static loop_job job;

    BEGIN;
    START_DOMAINS(1);
    for (i = 0; i < 300; i++) {
        calls[0] = (struct once){0};
        job = START(loop_call(env->scope, INBOX(0), take_time, NULL, ONCE(&calls[0])));
        AWAIT(loop_sleep(env->scope, (i % 3 == 0 ? 0 : 990 + i % 20) * LOOP_MICROSECOND, GO));
        loop_cancel(env->loop, job);
        WAIT_UNTIL(calls[0].count);
        CHECK(calls[0].result == 9 || calls[0].result == -ECANCELED);
    }
    END_DOMAINS;
    END;
}

LOOP_TEST(p07_a_scope_that_is_cancelled_waits_for_its_calls)
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    START_DOMAINS(2);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    for (unsigned i = 0; i < 4; i++) {
        START(loop_call(scope, INBOX(i % 2), sleep_for_ever, NULL, ONCE(&calls[i])));
    }
    loop_scope_cancel(scope);
    CHECK_IS(scope_end.count, 0);
    WAIT_UNTIL(scope_end.count);
    for (unsigned i = 0; i < 4; i++) {
        ONCE_IS(calls[i], -ECANCELED);
    }
    CHECK_IS(n_begun, n_scopes_over);
    START(loop_call(env->scope, INBOX(0), do_nothing, NULL, ONCE(&calls[5])));
    WAIT_UNTIL(calls[5].count);
    END_DOMAINS;
    END;
}

LOOP_TEST(a_deadline_ends_a_call)
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    START_DOMAINS(1);
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    START(loop_call(scope, INBOX(0), sleep_for_ever, NULL, ONCE(&calls[0])));
    loop_scope_deadline(scope, loop_now(env->loop) + LOOP_MILLISECOND);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(calls[0], -ETIMEDOUT);
    CHECK_IS(n_begun, n_scopes_over);
    END_DOMAINS;
    END;
}

/* ---- the other loop ends ---- */

LOOP_TEST_ROWS(the_other_loop_ends_while_calls_run, 8)
{
    BEGIN;
    START_DOMAINS(1);
    for (unsigned i = 0; i < 4; i++) {
        START(loop_call(env->scope, INBOX(0), sleep_for_ever, NULL, ONCE(&calls[i])));
    }
    if (script.row > 0) {
        AWAIT(loop_sleep(env->scope, script.row * script.row * 10 * LOOP_MICROSECOND, GO));
    }
    loop_cancel(env->loop, group);
    for (unsigned i = 4; i < 8; i++) {
        START(loop_call(env->scope, INBOX(0), sleep_for_ever, NULL, ONCE(&calls[i])));
    }
    WAIT_UNTIL(ended.count);
    WAIT_UNTIL(have_ended(8));
    for (unsigned i = 0; i < 8; i++) {
        ONCE_IS(calls[i], -ESHUTDOWN);
    }
    CHECK_IS(n_begun, n_scopes_over);
    AWAIT(loop_call(env->scope, INBOX(0), do_nothing, NULL, GO));
    CHECK_IS(result, -ESHUTDOWN);
    END;
}

/* Cancels that meet the end of the other loop. */
LOOP_TEST_ROWS(calls_are_cancelled_while_the_other_loop_ends, 8)
{
    static loop_job jobs[4];

    BEGIN;
    START_DOMAINS(1);
    for (unsigned i = 0; i < 4; i++) {
        jobs[i] = START(loop_call(env->scope, INBOX(0), sleep_for_ever, NULL, ONCE(&calls[i])));
    }
    loop_cancel(env->loop, group);
    if (script.row > 0) {
        AWAIT(loop_sleep(env->scope, script.row * script.row * 5 * LOOP_MICROSECOND, GO));
    }
    for (unsigned i = 0; i < 4; i++) {
        loop_cancel(env->loop, jobs[i]);
    }
    WAIT_UNTIL(ended.count);
    WAIT_UNTIL(have_ended(4));
    for (unsigned i = 0; i < 4; i++) {
        CHECK(calls[i].result == -ESHUTDOWN || calls[i].result == -ECANCELED);
    }
    CHECK_IS(n_begun, n_scopes_over);
    END;
}

/* ---- the calling loop ends ---- */

struct caller {
    struct loop_inbox *inbox; /* of the parent */
};

static int call_parent(struct loop_env *env, unsigned index, void *arg)
{
    struct caller *caller = arg;

    (void)index;
    count_domain(env);
    for (unsigned i = 0; i < 10; i++) {
        CHECK(loop_call(env->scope, caller->inbox, sleep_for_ever, NULL, NULL, NULL));
    }
    return 0;
}

LOOP_TEST(domains_that_end_take_their_calls_back)
{
    static struct caller caller;

    BEGIN;
    caller.inbox = loop_inbox_ref(env->loop);
    group = START(loop_domains(env->scope, DOMAINS, NULL, &domains, call_parent, &caller, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    CHECK_IS(n_begun, n_scopes_over);
    loop_inbox_unref(caller.inbox);
    END;
}

/* ---- calls that cross ---- */

/* A tree of calls from each domain to the two next ones: `depth` more, from the loop of domain `at`. Of the leaves one
 * waits for ever and the others for a moment. */
struct hop {
    unsigned depth, at;
};

static struct loop_inbox *inboxes[DOMAINS];
static atomic_uint n_made, n_over;

static void on_hop_over(void *arg, int64_t result)
{
    free(arg);
    atomic_fetch_add(&n_over, 1);
    CHECK(result == 0 || result == -ECANCELED || result == -ESHUTDOWN);
}

static void make_hop(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    const struct hop *hop = arg;
    struct loop *loop = loop_scope_loop(scope);
    unsigned depth = hop->depth, at = hop->at;
    loop_job jobs[2];

    if (depth == 0) {
        CHECK(loop_sleep(scope, at == 0 ? LOOP_NEVER : at * 50 * LOOP_MICROSECOND, NULL, NULL));
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct hop *next = calloc(1, sizeof *next);
        *next = (struct hop){.depth = depth - 1, .at = (at + 1 + i) % DOMAINS};
        atomic_fetch_add(&n_made, 1);
        jobs[i] = loop_call(scope, inboxes[next->at], make_hop, next, on_hop_over, next);
        CHECK(jobs[i]);
    }
    if ((depth + at) % 3 == 0) {
        loop_cancel(loop, jobs[0]);
        CHECK_IS(loop_call_return(call, 0), 0);
    }
}

/* However far the calls have come when all domains are cancelled at once. */
LOOP_TEST_ROWS(p01_calls_that_cross_end_once_when_all_domains_are_cancelled, 12)
{
    static struct hop roots[DOMAINS];

    BEGIN;
    START_DOMAINS(DOMAINS);
    for (unsigned i = 0; i < DOMAINS; i++) {
        inboxes[i] = INBOX(i);
    }
    for (unsigned i = 0; i < DOMAINS; i++) {
        roots[i] = (struct hop){.depth = 6, .at = i};
        START(loop_call(env->scope, INBOX(i), make_hop, &roots[i], ONCE(&calls[i])));
    }
    AWAIT(loop_sleep(env->scope, script.row * script.row * 30 * LOOP_MICROSECOND, GO));
    loop_cancel(env->loop, group);
    WAIT_UNTIL(ended.count && have_ended(DOMAINS));
    ONCE_IS(ended, -ECANCELED);
    CHECK_IS(n_over, n_made);
    CHECK_IS(n_ends, n_mains);
    END;
}

static int end_soon(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    count_domain(env);
    CHECK(loop_sleep(env->scope, index * 300 * LOOP_MICROSECOND, NULL, NULL));
    return 0;
}

static void expire_main(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    struct loop *loop = loop_scope_loop(scope);

    if (arg) {
        CHECK_IS(loop_call_return(call, 4), 0);
    }
    CHECK(loop_sleep(scope, LOOP_NEVER, NULL, NULL));
    loop_scope_deadline(loop_part_main_scope(loop), loop_now(loop));
}

/* The deadline is not the caller's. */
LOOP_TEST_ROWS(a_call_to_a_loop_that_ends_at_its_deadline, 2)
{
    BEGIN;
    START(loop_domains(env->scope, 1, NULL, &domains, idle, NULL, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    AWAIT(loop_call(env->scope, INBOX(0), expire_main, script.row ? &calls : NULL, GO));
    CHECK_IS(result, script.row ? 4 : -ESHUTDOWN);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

/* No hold keeps the domains: they end by themselves, while calls arrive. */
LOOP_TEST(calls_to_a_loop_that_ends_by_itself_end_once)
{
    static unsigned made;

    BEGIN;
    group = START(loop_domains(env->scope, DOMAINS, NULL, &domains, end_soon, NULL, ONCE(&ended)));
    while (!ended.count) {
        for (unsigned i = 0; i < DOMAINS; i++) {
            if (INBOX(i)) {
                made++;
                CHECK(loop_call(env->scope, INBOX(i), do_nothing, NULL, TALLY(&of_many)));
            }
        }
        AWAIT(loop_sleep(env->scope, 20 * LOOP_MICROSECOND, GO));
    }
    WAIT_UNTIL(of_many.count == made);
    ONCE_IS(ended, 0);
    END;
}

#if !HAS_SANITIZER
/* Each allocation of a call fails in turn, in either thread. */
LOOP_TEST(without_memory_a_call_is_refused_or_ends)
{
    static unsigned long nth;
    static loop_job job;
    static int64_t number;

    BEGIN;
    START_DOMAINS(1);
    for (nth = 1;; nth++) {
        number = 1;
        calls[0] = (struct once){0};
        fail_allocation(nth, false);
        job = loop_call(env->scope, INBOX(0), double_it, &number, ONCE(&calls[0]));
        if (job) {
            START(job);
            WAIT_UNTIL(calls[0].count);
            CHECK(calls[0].result == 2 || calls[0].result == -ENOMEM);
        }
        bool has_failed = allocation_failed();
        fail_allocation(0, false);
        if (!has_failed) {
            break;
        }
    }
    CHECK(nth > 1);
    END_DOMAINS;
    END;
}
#endif
