/* SPDX-License-Identifier: ISC
 *
 * A worker. Each of its processes has a scope, a run: in it are the process, its pipes and the jobs that use them. When
 * the run is over, a job without an answer is lost.
 */
#include "worker.h"
#include "../common/arguments.h"

#include <loop/reader.h>
#include <loop/writer.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define LEFT_OVER_NS LOOP_SECOND /* how long what others have kept open is read after a process's end */

static struct loop *loop_of(const struct worker *worker)
{
    return worker->kind->env->loop;
}

/* ---- a job ---- */

/* Kills the process: it has taken too long, or has closed its output. The run ends with it. */
static void kill_process(struct worker *worker)
{
    if (worker->process) {
        loop_process_stop(worker->process, 0);
    }
}

static void on_too_long(void *arg, int64_t result)
{
    struct worker *worker = arg;

    if (result < 0) {
        return;
    }
    worker->patience = 0;
    if (worker->job) {
        arguments_complain("job %llu takes too long: process %d is killed", worker->job->number,
                           worker->process ? (int)loop_process_pid(worker->process) : 0);
        kill_process(worker);
    }
}

/* Returns the answer without the number of its job, or NULL if it has another one or none. */
static const char *skip_number(const struct job *job, const char *line, size_t *len)
{
    char number[WORKER_NUMBER_BYTES];
    size_t n = (size_t)snprintf(number, sizeof number, "%llu", job->number);

    if (*len < n || memcmp(line, number, n) != 0 || (*len > n && line[n] != ' ')) {
        return NULL;
    }
    n += *len > n;
    *len -= n;
    return line + n;
}

/* An answer is a whole line with the number of the job. Anything else is the end of the process, or as good as that. */
static void on_answer(void *arg, int64_t result)
{
    struct worker *worker = arg;
    struct job *job = worker->job;
    size_t len;
    const char *line = loop_reader_data(worker->answers, &len);
    bool is_whole = result > (int64_t)len;
    const char *answer = is_whole ? skip_number(job, line, &len) : NULL;

    if (result == -EMSGSIZE) {
        arguments_complain("job %llu: the answer is too long", job->number);
    } else if (is_whole && !answer) {
        arguments_complain("job %llu: the answer does not begin with this number: the process is killed", job->number);
    }
    if (!answer) {
        if (result != -ECANCELED) {
            kill_process(worker);
        }
        return;
    }
    if (worker->patience) {
        loop_cancel(loop_of(worker), worker->patience);
        worker->patience = 0;
    }
    worker->job = NULL;
    worker->kind->on_answer(worker->kind->arg, job, answer, len);
}

/* An error of the writer is that of a process which has ended: the read finds its end. */
static void send_job(struct worker *worker)
{
    const struct worker_kind *kind = worker->kind;
    char number[WORKER_NUMBER_BYTES];
    int n = snprintf(number, sizeof number, "%llu ", worker->job->number);

    worker->is_sent = true;
    (void)loop_writer_append(worker->jobs, number, (size_t)n);
    (void)loop_writer_append(worker->jobs, worker->job->text, worker->job->len);
    worker->patience = kind->timeout_ns > 0 ? loop_sleep(worker->run, kind->timeout_ns, on_too_long, worker) : 0;
    loop_daemon(loop_of(worker), worker->patience);
    if (!loop_reader_line(worker->answers, on_answer, worker)) {
        loop_scope_fail(worker->run, -ENOMEM);
    }
}

/* ---- a run ---- */

static void start(struct worker *worker);

/* A job that came after the end of the process goes to the next one. */
static void on_run_over(void *arg, int64_t error)
{
    struct worker *worker = arg;
    struct job *job = worker->job;

    (void)error;
    worker->run = NULL;
    worker->process = NULL;
    worker->patience = 0;
    if (job && !worker->is_sent && !loop_scope_is_cancelled(worker->kind->env->scope)) {
        start(worker);
    } else if (job) {
        worker->job = NULL;
        worker->kind->on_lost(worker->kind->arg, job);
    }
}

static void on_ended(void *arg, int64_t status)
{
    struct worker *worker = arg;
    int pid = worker->process ? (int)loop_process_pid(worker->process) : 0;

    worker->process = NULL;
    if (status == -ECANCELED) {
        return;
    }
    if (worker->job && worker->is_sent && status >= 0 && WIFEXITED((int)status)) {
        arguments_complain("process %d has ended with status %d in job %llu", pid, WEXITSTATUS((int)status),
                           worker->job->number);
    } else if (worker->job && worker->is_sent && status >= 0) {
        arguments_complain("process %d was ended by signal %d in job %llu", pid, WTERMSIG((int)status),
                           worker->job->number);
    }
    loop_scope_deadline(worker->run, loop_now(loop_of(worker)) + LEFT_OVER_NS);
    if (!worker->job || !worker->is_sent) {
        loop_scope_cancel(worker->run); /* nothing is read any more */
    }
}

static void close_input(struct worker *worker)
{
    loop_flow_close(loop_process_flow(worker->process, 0));
    loop_scope_deadline(worker->run, loop_now(loop_of(worker)) + worker->kind->grace_ns);
}

static void on_started(void *arg, int64_t pid)
{
    struct worker *worker = arg;

    if (pid < 0) {
        if (pid != -ECANCELED) {
            arguments_complain("%s", worker->error.text);
        }
        worker->is_sent = true; /* as good as: it is not tried for ever */
        return;
    }
    worker->jobs = loop_writer_create(&loop_process_flow(worker->process, 0)->sink, 2 * WORKER_LINE_BYTES);
    worker->answers =
        loop_reader_create(&loop_process_flow(worker->process, 1)->source, WORKER_NUMBER_BYTES + WORKER_LINE_BYTES);
    if (!worker->jobs || !worker->answers || !loop_process_wait(NULL, worker->process, on_ended, worker)) {
        worker->is_sent = true;
        loop_scope_fail(worker->run, -ENOMEM);
    } else if (worker->job) {
        send_job(worker);
    } else if (worker->is_ending) {
        close_input(worker);
    }
}

static void start(struct worker *worker)
{
    const char *arguments[] = {"sh", "-c", worker->kind->command, NULL};
    const struct loop_spawn_fd fds[] = {{.number = 0, .how = LOOP_SPAWN_INPUT},
                                        {.number = 1, .how = LOOP_SPAWN_OUTPUT}};
    const struct loop_spawn_options options = {.arguments = arguments,
                                               .fds = fds,
                                               .n_fds = sizeof fds / sizeof *fds,
                                               .flags = LOOP_SPAWN_GROUP,
                                               .grace_ns = worker->kind->grace_ns};

    worker->is_sent = false;
    worker->run = loop_scope_open(worker->kind->env->scope, on_run_over, worker);
    if (!worker->run) {
        loop_scope_fail(worker->kind->env->scope, -ENOMEM);
    } else if (!loop_spawn(worker->run, "/bin/sh", &options, &worker->process, &worker->error, on_started, worker)) {
        worker->is_sent = true; /* the run is over at once, and the job is lost */
    }
}

/* ---- what the pool does ---- */

void worker_begin(struct worker *worker, struct job *job)
{
    worker->job = job;
    worker->is_sent = false;
    if (!worker->run) {
        start(worker);
    } else if (worker->process && worker->answers) {
        send_job(worker);
    } /* else the process has ended, and the next is started when its run is over */
}

void worker_end(struct worker *worker)
{
    worker->is_ending = true;
    if (worker->process) {
        close_input(worker);
    }
}
