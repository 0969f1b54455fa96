/* SPDX-License-Identifier: ISC
 *
 * Domains: how they start, end, fail and are cancelled. No thread is left, which the harness checks.
 */
#include "domains.h"

#include <pthread.h>
#include <sched.h>

static struct once ended, started;

/* ---- the ordinary day ---- */

static atomic_uint seen;
static pthread_t thread_of_parent;

static int note_index(struct loop_env *env, unsigned index, void *arg)
{
    CHECK(arg == &seen);
    CHECK(!pthread_equal(pthread_self(), thread_of_parent));
    CHECK(env->scope && env->cwd && env->out);
    atomic_fetch_or(&seen, 1u << index);
    count_domain(env);
    return 0;
}

LOOP_TEST(each_domain_runs_its_main_function_in_a_thread_of_its_own)
{
    BEGIN;
    thread_of_parent = pthread_self();
    AWAIT(loop_domains(env->scope, DOMAINS, NULL, &domains, note_index, &seen, GO));
    CHECK_IS(result, 0);
    CHECK_IS(seen, (1u << DOMAINS) - 1);
    CHECK_IS(n_ends, DOMAINS);
    CHECK_IS(loop_domains_count(domains), DOMAINS);
    CHECK(!loop_domains_inbox(domains, DOMAINS));
    END;
}

LOOP_TEST(without_a_number_there_is_one_for_each_processor)
{
    static cpu_set_t set;

    BEGIN;
    CHECK_IS(sched_getaffinity(0, sizeof set, &set), 0);
    AWAIT(loop_domains(env->scope, 0, NULL, &domains, note_index, &seen, GO));
    CHECK_IS(result, 0);
    CHECK_IS(n_mains, CPU_COUNT(&set));
    END;
}

static atomic_uint waits_over;

static void on_wait_over(void *arg, int64_t result)
{
    (void)arg;
    CHECK_IS(result, 0);
    atomic_fetch_add(&waits_over, 1);
}

static int sleep_a_little(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    CHECK(loop_sleep(env->scope, index * LOOP_MILLISECOND, on_wait_over, NULL));
    return 0;
}

LOOP_TEST(a_domain_ends_with_its_scope_and_the_job_with_the_last)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, DOMAINS, NULL, NULL, sleep_a_little, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(waits_over, DOMAINS);
    END;
}

static int refuse_to_run(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    count_domain(env);
    return index == 1 ? 7 : 0;
}

LOOP_TEST(a_main_function_may_end_its_domain_alone)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, 2, NULL, NULL, refuse_to_run, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(n_ends, 2);
    END;
}

/* ---- pinning ---- */

static int check_processor(struct loop_env *env, unsigned index, void *arg)
{
    cpu_set_t set;

    (void)env;
    (void)index;
    (void)arg;
    CHECK_IS(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK_IS(CPU_COUNT(&set), 1);
    return 0;
}

LOOP_TEST(pinned_domains_have_one_processor_each)
{
    static struct loop_domains_options options = {.flags = LOOP_DOMAINS_PIN};
    static cpu_set_t before, after;

    BEGIN;
    CHECK_IS(sched_getaffinity(0, sizeof before, &before), 0);
    AWAIT(loop_domains(env->scope, DOMAINS, &options, NULL, check_processor, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(sched_getaffinity(0, sizeof after, &after), 0);
    CHECK(CPU_EQUAL(&before, &after));
    END;
}

/* ---- starting ---- */

LOOP_TEST(it_is_told_when_all_can_be_called)
{
    static loop_job job;

    BEGIN;
    job = START(loop_domains(env->scope, DOMAINS, NULL, &domains, idle, NULL, ONCE(&ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    CHECK_IS(result, 0);
    CHECK_IS(n_mains, DOMAINS);
    for (unsigned i = 0; i < DOMAINS; i++) {
        CHECK(loop_domains_inbox(domains, i));
    }
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    CHECK_IS(n_ends, DOMAINS);
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    CHECK_IS(result, -ESHUTDOWN);
    CHECK_IS(loop_post(loop_domains_inbox(domains, 0), ONCE(&started)), -ESHUTDOWN);
    END;
}

LOOP_TEST(a_wait_that_is_cancelled_takes_nothing)
{
    static struct once waits[3];
    static loop_job job, all;

    BEGIN;
    all = START(loop_domains(env->scope, DOMAINS, NULL, &domains, idle, NULL, ONCE(&ended)));
    START(loop_domains_wait_started(env->scope, domains, ONCE(&waits[0])));
    job = START(loop_domains_wait_started(env->scope, domains, ONCE(&waits[1])));
    START(loop_domains_wait_started(env->scope, domains, ONCE(&waits[2])));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(waits[0].count && waits[1].count && waits[2].count);
    ONCE_IS(waits[0], 0);
    ONCE_IS(waits[1], -ECANCELED);
    ONCE_IS(waits[2], 0);
    loop_cancel(env->loop, all);
    WAIT_UNTIL(ended.count);
    END;
}

LOOP_TEST(a_stop_during_the_start_ends_all)
{
    static loop_job job;

    BEGIN;
    job = START(loop_domains(env->scope, DOMAINS, NULL, &domains, idle, NULL, ONCE(&ended)));
    START(loop_domains_wait_started(env->scope, domains, ONCE(&started)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(ended.count && started.count);
    ONCE_IS(ended, -ECANCELED);
    ONCE_IS(started, -ESHUTDOWN);
    CHECK_IS(n_ends, n_mains);
    END;
}

static int end_first(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    count_domain(env);
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL));
    return index == 0;
}

LOOP_TEST(a_wait_for_a_domain_that_has_ended_ends)
{
    static loop_job job;

    BEGIN;
    job = START(loop_domains(env->scope, 2, NULL, &domains, end_first, NULL, ONCE(&ended)));
    START(loop_domains_wait_started(env->scope, domains, ONCE(&started)));
    WAIT_UNTIL(started.count);
    ONCE_IS(started, -ESHUTDOWN);
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    CHECK_IS(result, -ESHUTDOWN);
    while (!loop_domains_inbox(domains, 1)) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    CHECK_IS(result, -ESHUTDOWN);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(ended.count);
    CHECK_IS(n_ends, 2);
    END;
}

/* However many turns and how much time lie between the start and the cancel. */
LOOP_TEST_ROWS(p07_a_scope_that_is_cancelled_at_any_step_ends_its_domains, 12)
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    START(loop_domains(scope, DOMAINS, NULL, NULL, idle, NULL, ONCE(&ended)));
    AWAIT(loop_sleep(env->scope, script.row * script.row * 20 * LOOP_MICROSECOND, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(ended, -ECANCELED);
    ONCE_IS(scope_end, -ECANCELED);
    CHECK_IS(n_ends, n_mains);
    END;
}

LOOP_TEST(a_deadline_ends_domains)
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    START(loop_domains(scope, 2, NULL, NULL, idle, NULL, ONCE(&ended)));
    loop_scope_deadline(scope, loop_now(env->loop) + LOOP_MILLISECOND);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(ended, -ETIMEDOUT);
    END;
}

LOOP_TEST(in_a_cancelled_scope_no_domain_starts)
{
    static struct loop_scope *scope;
    static struct once scope_end;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    loop_scope_cancel(scope);
    START(loop_domains(scope, 2, NULL, &domains, idle, NULL, ONCE(&ended)));
    CHECK(!domains);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(ended, -ECANCELED);
    CHECK_IS(n_mains, 0);
    END;
}

/* ---- errors ---- */

static int fail_later(struct loop_env *env, unsigned index, void *arg)
{
    count_domain(env);
    if (index == *(unsigned *)arg) {
        loop_scope_fail(env->scope, -EXDEV);
    } else {
        CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL));
    }
    return 0;
}

LOOP_TEST_ROWS(an_error_of_one_reaches_the_parent_and_ends_the_others, DOMAINS)
{
    static unsigned index;

    BEGIN;
    index = (unsigned)script.row;
    AWAIT(loop_domains(env->scope, DOMAINS, NULL, NULL, fail_later, &index, GO));
    CHECK_IS(result, -EXDEV);
    CHECK_IS(n_ends, n_mains);
    END;
}

LOOP_TEST(without_a_continuation_an_error_fails_the_scope)
{
    static struct loop_scope *scope;
    static struct once scope_end;
    static unsigned index = 1;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    START(loop_domains(scope, DOMAINS, NULL, NULL, fail_later, &index, NULL, NULL));
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(scope_end, -EXDEV);
    END;
}

static int return_error(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    count_domain(env);
    return index == 2 ? -EPROTO : 0;
}

LOOP_TEST(the_error_of_a_main_function_is_that_of_the_job)
{
    BEGIN;
    START(loop_domains(env->scope, DOMAINS, NULL, &domains, return_error, NULL, ONCE(&ended)));
    START(loop_domains_wait_started(env->scope, domains, ONCE(&started)));
    WAIT_UNTIL(ended.count && started.count);
    ONCE_IS(ended, -EPROTO);
    ONCE_IS(started, -EPROTO);
    END;
}

LOOP_TEST(p23_options_that_cannot_be)
{
    static struct loop_domains_options options;

    BEGIN;
    options.flags = 1u << 7;
    AWAIT(loop_domains(env->scope, 2, &options, &domains, idle, NULL, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(!domains);
    AWAIT(loop_domains(env->scope, LOOP_DOMAINS_MAX + 1, NULL, &domains, idle, NULL, GO));
    CHECK_IS(result, -EINVAL);
    options = (struct loop_domains_options){.loop.busy_poll_ns = -1};
    AWAIT(loop_domains(env->scope, 2, &options, NULL, idle, NULL, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(strstr(log_text(), "cannot start: "));
    CHECK_IS(n_mains, 0);
    END;
}

static void cancel_scope(void *scope, int64_t result)
{
    (void)result;
    loop_scope_cancel(scope);
}

static int cancel_itself(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    count_domain(env);
    CHECK(loop_sleep(env->scope, index * LOOP_MICROSECOND, cancel_scope, env->scope));
    CHECK(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL));
    return 0;
}

LOOP_TEST(domains_that_cancel_themselves_are_no_error)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, DOMAINS, NULL, NULL, cancel_itself, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(n_ends, DOMAINS);
    END;
}

static int never(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return 1;
}

static int start_more(struct loop_env *env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    count_domain(env);
    CHECK_IS(loop_run_with(NULL, never, NULL), -EDEADLK);
    CHECK(loop_domains(env->scope, 2, NULL, NULL, idle, NULL, NULL, NULL));
    CHECK(loop_sleep(env->scope, LOOP_MILLISECOND, cancel_scope, env->scope));
    return 0;
}

LOOP_TEST(p24_a_domain_may_have_domains_but_no_loop_within_its_own)
{
    BEGIN;
    AWAIT(loop_domains(env->scope, 2, NULL, NULL, start_more, NULL, GO));
    CHECK_IS(result, 0);
    CHECK_IS(n_mains, n_ends);
    END;
}
