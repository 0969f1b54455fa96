/* SPDX-License-Identifier: ISC
 *
 * A worker of worker-pool: a process that reads a line from its standard input for each job, and answers it with a line
 * on its standard output. Both begin with the number of the job and a space, so that a line too many is not taken for
 * the answer of the next job.
 */
#ifndef DEMOS_PROCESS_WORKER_H
#define DEMOS_PROCESS_WORKER_H

#include <process/process.h>

#define WORKER_LINE_BYTES ((size_t)1 << 20) /* of a job or an answer, with its end and without its number */
#define WORKER_NUMBER_BYTES ((size_t)24)

/* A job, as its worker has it. */
struct job {
    unsigned long long number; /* of its line, from 1 */
    char *text;                /* with the end of the line */
    size_t len;
    char *answer; /* with it, too; NULL: there is none */
    size_t answer_len;
    unsigned n_tries;
    bool is_begun, is_done;
};

/* What all workers have in common. */
struct worker_kind {
    struct loop_env *env;
    const char *command; /* for sh */
    int64_t timeout_ns;  /* of a job; 0: none */
    int64_t grace_ns;    /* between the end of the input and SIGTERM, and between that and SIGKILL */
    /* Both are called when the worker has no job any more. The answer comes without its number and its end. */
    void (*on_answer)(void *arg, struct job *job, const char *answer, size_t len);
    void (*on_lost)(void *arg, struct job *job); /* the process has ended without an answer */
    void *arg;
};

struct worker {
    const struct worker_kind *kind;
    struct job *job;              /* NULL: it is free */
    bool is_sent;                 /* the process has the job */
    bool is_ending;               /* it gets no more jobs */
    struct loop_scope *run;       /* of the process; NULL: there is none */
    struct loop_process *process; /* NULL: it is being started, or has ended */
    struct loop_spawn_error error;
    struct loop_writer *jobs; /* its standard input */
    struct loop_reader *answers;
    loop_job patience; /* or 0 */
};

/* Gives a job to a free worker. Its process is started if it has none: so one that dies is replaced when there is
 * something to do, and a command that cannot run is tried only as often as there are jobs. */
void worker_begin(struct worker *worker, struct job *job);

/* Ends a free worker: its process reads the end of its input. */
void worker_end(struct worker *worker);

#endif
