/* SPDX-License-Identifier: ISC
 *
 * worker-pool COMMAND: hands the lines of standard input to processes of COMMAND, several at a time, and writes their
 * answers in the order of the lines.
 *
 * The jobs stand in a ring, from the first that has not been answered in its turn to the last that was read. While the
 * ring is full nothing is read, so a slow job, a slow worker or a slow reader of the answers holds back the input.
 */
#include "../common/arguments.h"
#include "worker.h"

#include <loop/reader.h>
#include <loop/writer.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WORKERS 256
#define JOBS_PER_WORKER 4 /* in the ring */
#define MOST_TRIES 2
#define OUT_BYTES ((size_t)1 << 18) /* of answers that wait to be written; above that no job is begun */

static unsigned n_workers;
static int64_t timeout_ns, grace_ns = 5 * LOOP_SECOND;

static const struct arguments_option options[] = {
    {.name = "workers",
     .placeholder = "N",
     .count = &n_workers,
     .most = MOST_WORKERS,
     .help = "how many processes work at a time (0, the default: as many as there are processors)"},
    {.name = "timeout",
     .placeholder = "SECONDS",
     .duration_ns = &timeout_ns,
     .help = "how long a worker may take for a job before it is killed (0, the default: as long as it likes)"},
    {.name = "grace",
     .placeholder = "SECONDS",
     .duration_ns = &grace_ns,
     .help = "after SIGTERM or SIGINT, how long jobs that have begun may go on; and how long a worker may take to end "
             "(5)"},
};

static const struct arguments_program program = {
    .name = "worker-pool",
    .operands = "COMMAND",
    .about = "Hands each line of standard input to one of several workers, and writes the answers in their order.\n"
             "A worker is a process of COMMAND, by sh. Each line that it reads is a number, a space and a line of the\n"
             "input. It answers with one line, at once: the same number, a space and the answer.\n"
             "One that dies is replaced, and its job is tried again once. A job that fails twice gets an empty line,\n"
             "and the status is 1 at the end. SIGTERM and SIGINT let the jobs finish that have begun.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1,
};

struct pool {
    struct loop_env *env;
    struct worker_kind kind;
    struct worker workers[MOST_WORKERS];
    struct loop_reader *input;
    struct loop_writer *out;
    loop_job lines; /* 0: nothing more is read */
    bool is_paused, is_stopping, is_draining;
    struct job ring[MOST_WORKERS * JOBS_PER_WORKER];
    unsigned long long first, next; /* numbers of jobs: the first in the ring, and that of the next line */
    int status;
};

static unsigned room(void)
{
    return n_workers * JOBS_PER_WORKER;
}

static struct job *job_at(struct pool *pool, unsigned long long number)
{
    return &pool->ring[number % room()];
}

static void go_on(struct pool *pool);

/* ---- answers ---- */

static void on_drained(void *arg, int64_t result)
{
    struct pool *pool = arg;

    pool->is_draining = false;
    if (result < 0 && result != -ECANCELED) {
        loop_stop(pool->env->loop, arguments_fail("standard output", result));
    } else if (result == 0) {
        go_on(pool);
    }
}

static bool may_write(struct pool *pool)
{
    if (!pool->is_draining && loop_writer_is_full(pool->out)) {
        pool->is_draining = loop_writer_wait_drained(pool->out, on_drained, pool) != 0;
    }
    return !pool->is_draining;
}

static void forget(struct job *job)
{
    free(job->text);
    free(job->answer);
    *job = (struct job){.number = 0};
}

/* Writes the answers whose turn it is. One that was not accepted waits for room. */
static void write_answers(struct pool *pool)
{
    while (pool->first < pool->next && job_at(pool, pool->first)->is_done && may_write(pool)) {
        struct job *job = job_at(pool, pool->first);
        int error = loop_writer_append(pool->out, job->answer ? job->answer : "\n", job->answer ? job->answer_len : 1);
        if (error < 0 && error != -ECANCELED) {
            loop_stop(pool->env->loop, arguments_fail("standard output", error));
            return;
        }
        forget(job);
        pool->first++;
    }
}

/* ---- jobs ---- */

/* Returns the first job that no worker has, or NULL. When the program is stopping there are only those that have begun
 * before. */
static struct job *next_job(struct pool *pool)
{
    for (unsigned long long number = pool->first; number < pool->next; number++) {
        struct job *job = job_at(pool, number);
        if (!job->is_begun && !job->is_done) {
            return job;
        }
    }
    return NULL;
}

static void hand_out(struct pool *pool)
{
    for (unsigned i = 0; i < n_workers; i++) {
        struct worker *worker = &pool->workers[i];
        if (worker->job) {
            continue;
        }
        struct job *job = next_job(pool);
        if (!job) {
            return;
        }
        job->is_begun = true;
        job->n_tries++;
        worker_begin(worker, job);
    }
}

static void end_workers(struct pool *pool)
{
    for (unsigned i = 0; i < n_workers; i++) {
        if (!pool->workers[i].is_ending) {
            worker_end(&pool->workers[i]);
        }
    }
}

/* Does whatever can be done now. */
static void go_on(struct pool *pool)
{
    write_answers(pool);
    hand_out(pool);
    if (pool->is_paused && pool->next - pool->first < room()) {
        pool->is_paused = false;
        loop_resume(pool->env->loop, pool->lines);
    }
    if (!pool->lines && pool->first == pool->next) {
        end_workers(pool);
    }
}

static void on_answer(void *arg, struct job *job, const char *answer, size_t len)
{
    struct pool *pool = arg;

    job->answer = malloc(len + 1);
    if (!job->answer) {
        loop_stop(pool->env->loop, arguments_fail("an answer", -ENOMEM));
        return;
    }
    memcpy(job->answer, answer, len);
    job->answer[len] = '\n';
    job->answer_len = len + 1;
    job->is_done = true;
    go_on(pool);
}

static void on_lost(void *arg, struct job *job)
{
    struct pool *pool = arg;

    if (loop_scope_is_cancelled(pool->env->scope)) {
        return;
    }
    job->is_begun = false;
    if (job->n_tries == MOST_TRIES) {
        arguments_complain("job %llu has failed %d times", job->number, MOST_TRIES);
        job->is_done = true;
        pool->status = 1;
    }
    go_on(pool);
}

/* ---- the input ---- */

static void on_input_ended(struct pool *pool, int64_t result)
{
    pool->lines = 0;
    pool->is_paused = false;
    if (result == -EMSGSIZE) {
        arguments_complain("line %llu is too long", pool->next + 1);
        pool->status = 1;
    } else if (result < 0 && result != -ECANCELED) {
        pool->status = arguments_fail("standard input", result);
    }
    go_on(pool);
}

/* Adds a job. Returns false without memory. */
static bool add_job(struct pool *pool, const char *line, size_t len)
{
    struct job *job = job_at(pool, pool->next);

    *job = (struct job){.number = pool->next + 1, .text = malloc(len + 1), .len = len + 1};
    if (!job->text) {
        return false;
    }
    memcpy(job->text, line, len);
    job->text[len] = '\n';
    pool->next++;
    return true;
}

static void forget_unbegun(struct pool *pool);

/* A line may still come after the cancel of a stop. */
static void on_line(void *arg, int64_t result)
{
    struct pool *pool = arg;
    size_t len;
    const char *line = loop_reader_data(pool->input, &len);

    if (result <= 0) {
        on_input_ended(pool, result);
        return;
    }
    if (!add_job(pool, line, len)) {
        loop_stop(pool->env->loop, arguments_fail("a job", -ENOMEM));
        return;
    }
    if (pool->is_stopping) {
        forget_unbegun(pool);
        return;
    }
    if (pool->next - pool->first == room()) {
        pool->is_paused = true;
        loop_pause(pool->env->loop, pool->lines);
    }
    hand_out(pool);
}

/* ---- stopping ---- */

/* Forgets the jobs that no worker has had. They are the last ones. */
static void forget_unbegun(struct pool *pool)
{
    unsigned long long n = 0;

    for (; pool->next > pool->first && job_at(pool, pool->next - 1)->n_tries == 0; n++) {
        forget(job_at(pool, --pool->next));
    }
    if (n > 0) {
        arguments_complain("stopped: %llu jobs that were read have not begun", n);
        pool->status = 1;
    }
}

static void on_grace_over(void *arg, int64_t result)
{
    struct pool *pool = arg;

    if (result == 0) {
        arguments_complain("stopped: %llu jobs have not ended", pool->next - pool->first);
        loop_stop(pool->env->loop, 1);
    }
}

static void stop(struct pool *pool)
{
    pool->is_stopping = true;
    forget_unbegun(pool);
    if (pool->lines) {
        loop_cancel(pool->env->loop, pool->lines);
    }
    if (pool->first < pool->next) {
        loop_daemon(pool->env->loop, loop_sleep(pool->env->scope, grace_ns, on_grace_over, pool));
    }
}

static void await(struct pool *pool, int signal_number);

/* A second signal does not wait. */
static void on_stop(void *arg, int64_t signal_number)
{
    struct pool *pool = arg;

    if (signal_number < 0) {
        return;
    }
    if (pool->is_stopping) {
        loop_stop(pool->env->loop, 1);
    } else {
        stop(pool);
        await(pool, (int)signal_number);
    }
}

static void await(struct pool *pool, int signal_number)
{
    loop_daemon(pool->env->loop, loop_signal(pool->env->scope, signal_number, on_stop, pool));
}

/* ---- the program ---- */

static int start(struct loop_env *env, void *arg)
{
    struct pool *pool = arg;

    pool->env = env;
    pool->kind.env = env;
    pool->kind.timeout_ns = timeout_ns;
    pool->kind.grace_ns = grace_ns;
    pool->kind.on_answer = on_answer;
    pool->kind.on_lost = on_lost;
    pool->kind.arg = pool;
    for (unsigned i = 0; i < n_workers; i++) {
        pool->workers[i].kind = &pool->kind;
    }
    pool->out = arguments_output(env, OUT_BYTES);
    pool->input = loop_reader_create(env->in, WORKER_LINE_BYTES);
    pool->lines = pool->input ? loop_reader_lines(pool->input, on_line, pool) : 0;
    if (!pool->out || !pool->lines) {
        return arguments_fail("can't begin", -ENOMEM);
    }
    await(pool, SIGTERM);
    await(pool, SIGINT);
    return 0;
}

int main(int argc, char **argv)
{
    static struct pool pool;

    pool.kind.command = *arguments_parse(&program, argc, argv);
    n_workers = n_workers > 0 ? n_workers : loop_processors();
    n_workers = n_workers < MOST_WORKERS ? n_workers : MOST_WORKERS;
    signal(SIGCHLD, SIG_DFL); /* where it was ignored before, the kernel would forget how a worker has ended */
    int status = arguments_run(start, &pool);
    while (pool.first < pool.next) {
        forget(job_at(&pool, pool.first++));
    }
    return status != 0 ? status : pool.status;
}
