/* SPDX-License-Identifier: ISC
 *
 * The test harness: main, scripts, recorders, material, and the resource check after each test.
 */
#include "account.h"

#include <stdarg.h>
#include <stdio.h>

enum { TIMEOUT_S = HAS_SANITIZER ? 120 : 60 };

/* ---- main ---- */

static struct harness_test *tests, **tests_end = &tests;

void harness_add(struct harness_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

static bool is_run(const char *test)
{
    return !account_left_out(test) && !(is_hosted() && hosted_left_out(test));
}

void not_run(const char *what)
{
    (void)printf("NOT RUN: %s: %s\n", what, strerror(errno));
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    Suite *suite = suite_create(program_invocation_short_name);
    TCase *tcase = tcase_create("all");

    tcase_set_timeout(tcase, TIMEOUT_S);
    tcase_add_checked_fixture(tcase, account_before_test, account_after_test);
    for (const struct harness_test *test = tests; test; test = test->next) {
        if (argc < 2 ? is_run(test->test->name) : strstr(test->test->name, argv[1]) != NULL) {
            tcase_add_loop_test(tcase, test->test, 0, test->rows);
        }
    }
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, argc > 2 ? CK_VERBOSE : CK_NORMAL);
    int run_count = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner);
    printf("%s: checks=%d failed=%d\n", program_invocation_short_name, run_count, failed);
    srunner_free(runner);
    return failed == 0 && run_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- running a loop ---- */

static char log_lines[16384];

static void keep_line(void *unused, enum loop_log_level level, const char *line)
{
    size_t length = strlen(log_lines);

    (void)unused;
    if (level >= LOOP_LOG_WARNING && length + strlen(line) + 2 < sizeof log_lines) {
        snprintf(log_lines + length, sizeof log_lines - length, "%s\n", line);
    }
}

const char *log_text(void)
{
    return log_lines;
}

/* Runs a loop as loop_run_with does, but with a host: poll(2). */
static int run_in_host(const struct loop_options *options, loop_main_fn *body, void *arg)
{
    struct loop *loop;
    int error = loop_open(options, body, arg, &loop);

    if (error) {
        return error;
    }
    while (loop_turn(loop) > 0) {
        struct pollfd ready = {.fd = loop_number(loop), .events = POLLIN};
        int64_t timeout_ns = loop_prepare(loop);
        struct timespec timeout = {.tv_sec = timeout_ns / LOOP_SECOND, .tv_nsec = timeout_ns % LOOP_SECOND};

        CHECK(timeout_ns >= 0);
        if (timeout_ns > 0) {
            CHECK(ppoll(&ready, 1, timeout_ns == LOOP_NEVER ? NULL : &timeout, NULL) >= 0 || errno == EINTR);
        }
    }
    return loop_close(loop);
}

int (*run_by)(const struct loop_options *options, loop_main_fn *body, void *arg);

static int run_any(const struct loop_options *options, loop_main_fn *body, void *arg)
{
    if (run_by) {
        return run_by(options, body, arg);
    }
    return is_hosted() ? run_in_host(options, body, arg) : loop_run_with(options, body, arg);
}

int run_with(const struct loop_options *options, loop_main_fn *body, void *arg)
{
    struct loop_options with_log = *options;
    struct account before;

    if (!with_log.log) {
        with_log.log = keep_line;
    }
    account_take(&before);
    int answer = run_any(&with_log, body, arg);
    account_check_fds(&before);
    account_check_signals(&before);
    return answer;
}

int run(loop_main_fn *body, void *arg)
{
    return run_with(&(struct loop_options){.queue_depth = 0}, body, arg);
}

/* ---- scripts ---- */

struct script script;

static int script_main(struct loop_env *env, void *unused)
{
    (void)unused;
    script.env = env;
    script.steps(env, 0);
    return 0;
}

void script_run(const struct loop_options *options, steps_fn *steps)
{
    script = (struct script){.steps = steps, .row = script.row};
    int answer = run_with(options, script_main, NULL);
    if (!script.is_done) {
        ck_abort_msg("the loop returned %d while the script waited at line %d; it said:\n%s", answer, script.at,
                     log_text());
    }
    CHECK_IS(answer, script.expected);
}

void script_await(int line)
{
    script.at = line;
    script.awaits = true;
    script.starting++;
}

loop_job script_started(loop_job job)
{
    script.starting--;
    if (job == 0) {
        ck_abort_msg("no job was made (the script is at line %d)", script.at);
    }
    return job;
}

void script_poke(void)
{
    if (script.polls) {
        script.polls = false;
        script.steps(script.env, 0);
    }
}

void script_go(void *unused, int64_t result)
{
    (void)unused;
    if (script.starting > 0) {
        ck_abort_msg("resumed with %lld from inside the call, at line %d", (long long)result, script.at);
    }
    if (!script.awaits) {
        ck_abort_msg("resumed with %lld, once more than there were jobs, after line %d", (long long)result, script.at);
    }
    script.awaits = false;
    script.steps(script.env, result);
}

struct turns {
    struct loop_scope *scope;
    unsigned left;
    loop_job job;
};

static void on_turn(void *arg, int64_t result)
{
    struct turns *these = arg;
    struct loop *loop = loop_scope_loop(these->scope);

    if (result == 0 && --these->left > 0 && loop_sleep(these->scope, 0, on_turn, these) != 0) {
        return;
    }
    loop_job job = these->job;
    free(these);
    loop_resolve(loop, job, result);
}

loop_job turns(struct loop_scope *scope, unsigned count, loop_fn *fn, void *arg)
{
    struct turns *these = malloc(sizeof *these);

    CHECK(these != NULL);
    *these = (struct turns){scope, count, loop_promise(scope, NULL, NULL, fn, arg)};
    loop_job job = these->job;
    if (job == 0 || loop_sleep(scope, 0, on_turn, these) == 0) {
        free(these);
    }
    return job;
}

/* ---- recorders ---- */

static unsigned n_recorded;

void once_resumed(void *record, int64_t result)
{
    struct once *once = record;

    if (script.starting > 0) {
        ck_abort_msg("resumed with %lld from inside a call", (long long)result);
    }
    if (once->count++ > 0) {
        ck_abort_msg("resumed twice, with %lld and then %lld", (long long)once->result, (long long)result);
    }
    once->result = result;
    once->order = ++n_recorded;
    script_poke();
}

void tally_resumed(void *record, int64_t result)
{
    struct tally *tally = record;

    tally->count++;
    if (result >= 0) {
        tally->ended_well++;
    } else if (result == -ECANCELED) {
        tally->cancelled++;
    } else {
        tally->others++;
    }
    script_poke();
}

void record_stream(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct record *record = arg;

    CHECK_IS(record->ends, 0);
    if (!chunk) {
        CHECK(result <= 0);
        record->ends++;
        record->end = result;
    } else {
        CHECK(result > 0 && (size_t)result <= loop_chunk_length(chunk));
        CHECK(record->length + (size_t)result <= record->room);
        memcpy(record->data + record->length, loop_chunk_data(chunk), (size_t)result);
        record->length += (size_t)result;
        record->chunks++;
    }
    script_poke();
}

static char trace_lines[65536];

void trace(const char *format, ...)
{
    size_t length = strlen(trace_lines);
    va_list args;

    va_start(args, format);
    int more = vsnprintf(trace_lines + length, sizeof trace_lines - length, format, args);
    va_end(args);
    CHECK(more >= 0 && length + (size_t)more + 2 < sizeof trace_lines);
    strcat(trace_lines, "\n");
}

const char *trace_text(void)
{
    return trace_lines;
}
