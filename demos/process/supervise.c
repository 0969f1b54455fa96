/* SPDX-License-Identifier: ISC
 *
 * supervise FILE: keeps the programs of a file running, and logs what they write.
 *
 * Each run of a program has a scope of its own: in it are the process, its pipes and the jobs that read them. When it
 * has ended the next run begins, after a pause that grows while the program keeps failing. To stop, the programs are
 * ended one after the other, the last one of the file first.
 */
#include "../common/arguments.h"

#include <fs/fs.h>
#include <loop/writer.h>
#include <process/process.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define FILE_BYTES ((size_t)1 << 20)
#define MOST_PROGRAMS 256
#define PIECE_BYTES 4096                                                /* a longer line is logged in pieces */
#define PENDING_BYTES ((size_t)1 << 18)                                 /* above this no more is read */
#define LOG_BYTES (4 * PENDING_BYTES + 2 * PIECE_BYTES * MOST_PROGRAMS) /* above this lines are dropped */
#define LEFT_OVER_NS (LOOP_SECOND) /* how long what others have kept open is read after a program's end */

static int64_t least_pause_ns = LOOP_SECOND / 10, most_pause_ns = 30 * LOOP_SECOND, healthy_ns = 10 * LOOP_SECOND;
static int64_t grace_ns = 5 * LOOP_SECOND;

static const struct arguments_option options[] = {
    {.name = "grace",
     .placeholder = "SECONDS",
     .duration_ns = &grace_ns,
     .help = "how long a program may take to end after SIGTERM, before SIGKILL (5)"},
    {.name = "pause",
     .placeholder = "SECONDS",
     .duration_ns = &least_pause_ns,
     .help = "before a program is started again; doubled while it keeps failing (0.1)"},
    {.name = "most-pause", .placeholder = "SECONDS", .duration_ns = &most_pause_ns, .help = "the longest pause (30)"},
    {.name = "healthy",
     .placeholder = "SECONDS",
     .duration_ns = &healthy_ns,
     .help = "a program that has run for so long has not failed: its next pause is the shortest (10)"},
};

static const struct arguments_program about = {
    .name = "supervise",
    .operands = "FILE",
    .about =
        "Keeps programs running until SIGTERM or SIGINT, and logs what they write with the time and their name.\n"
        "Each line of FILE is a unique name, and a command for sh; lines that are empty or begin with # are left out.\n"
        "The programs are started in the order of FILE, and stopped in the opposite one.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1,
};

/* What a program writes to its standard output or error, as far as it has not been logged. */
struct output {
    struct program *program;
    struct loop_source *source;
    size_t len;
    char piece[PIECE_BYTES];
};

struct program {
    struct supervisor *supervisor;
    char *name, *command;
    struct loop_scope *run; /* NULL between two runs */
    struct loop_process *process;
    struct loop_spawn_error error;
    struct output outputs[2];
    int64_t began_at_ns, pause_ns;
    loop_job pausing; /* or 0 */
};

struct supervisor {
    struct loop_env *env;
    const char *path;
    struct loop_writer *log;
    bool is_log_full;             /* lines are dropped, until it has drained */
    unsigned long long n_dropped; /* since a line has told so */
    void *text;                   /* of the file */
    struct program *programs;
    size_t n_programs;
    size_t n_to_stop; /* while it is stopping: the programs that have not been stopped yet */
    bool is_stopping;
};

/* ---- the log ---- */

/* Writes the time and a name. */
static void log_prefix(struct supervisor *supervisor, const char *name)
{
    int64_t now_ns = loop_clock_wall(supervisor->env->clock);
    time_t seconds = (time_t)(now_ns / LOOP_SECOND);
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    loop_writer_print(supervisor->log, "%s.%03dZ %s: ", text, (int)(now_ns % LOOP_SECOND / LOOP_MILLISECOND), name);
}

static void on_room(void *arg, int64_t result)
{
    struct supervisor *supervisor = arg;

    if (result == 0) {
        supervisor->is_log_full = false;
        log_prefix(supervisor, about.name);
        loop_writer_print(supervisor->log, "%llu lines were dropped\n", supervisor->n_dropped);
        supervisor->n_dropped = 0;
    }
}

/* Returns whether the log has room for a line, which has then begun. The programs whose output is read wait for room,
 * but others go on, and what happens to them fills the log of a reader that does not read. */
static bool begin_line(const struct program *program)
{
    struct supervisor *supervisor = program->supervisor;

    if (!supervisor->is_log_full && loop_writer_pending(supervisor->log) >= LOG_BYTES) {
        loop_job job = loop_writer_wait_drained(supervisor->log, on_room, supervisor);
        loop_daemon(supervisor->env->loop, job);
        supervisor->is_log_full = job != 0;
    }
    if (supervisor->is_log_full) {
        supervisor->n_dropped++;
        return false;
    }
    log_prefix(supervisor, program->name);
    return true;
}

/* Logs what happens to a program. */
__attribute__((format(printf, 2, 3))) static void say(const struct program *program, const char *format, ...)
{
    va_list args;

    if (begin_line(program)) {
        va_start(args, format);
        loop_writer_vprint(program->supervisor->log, format, args);
        va_end(args);
        loop_writer_append(program->supervisor->log, "\n", 1);
    }
}

/* ---- what a program writes ---- */

static void read_more(struct output *output);

static void log_piece(struct output *output, size_t len)
{
    if (begin_line(output->program)) {
        loop_writer_append(output->program->supervisor->log, output->piece, len);
        loop_writer_append(output->program->supervisor->log, "\n", 1);
    }
}

/* Logs the whole lines, and keeps the rest; a piece that is full is logged too. */
static void log_lines(struct output *output)
{
    char *end;

    while ((end = memchr(output->piece, '\n', output->len))) {
        size_t len = (size_t)(end - output->piece);
        log_piece(output, len);
        output->len -= len + 1;
        memmove(output->piece, end + 1, output->len);
    }
    if (output->len == PIECE_BYTES) {
        log_piece(output, output->len);
        output->len = 0;
    }
}

/* There is room in the log again. The scope of the run was held meanwhile. */
static void on_log_drained(void *arg, int64_t result)
{
    struct output *output = arg;
    struct loop_scope *run = output->program->run;

    if (result == 0) {
        read_more(output);
    }
    loop_scope_unhold(run);
}

static void on_output(void *arg, int64_t result)
{
    struct output *output = arg;
    struct loop_writer *log = output->program->supervisor->log;

    output->len += result > 0 ? (size_t)result : 0;
    log_lines(output);
    if (result <= 0) {
        if (output->len > 0) { /* a last line without an end */
            log_piece(output, output->len);
        }
    } else if (loop_writer_pending(log) < PENDING_BYTES) {
        read_more(output);
    } else if (loop_writer_wait_drained(log, on_log_drained, output)) {
        loop_scope_hold(output->program->run);
    }
}

static void read_more(struct output *output)
{
    loop_read(output->source, output->piece + output->len, PIECE_BYTES - output->len, on_output, output);
}

/* ---- a run ---- */

static void start_run(struct program *program);
static void stop_next(struct supervisor *supervisor);

/* Whether the programs are being stopped, and this one is at its turn. */
static bool is_next_to_stop(const struct program *program)
{
    const struct supervisor *supervisor = program->supervisor;

    return supervisor->is_stopping && program == &supervisor->programs[supervisor->n_to_stop];
}

static void on_pause_over(void *arg, int64_t result)
{
    struct program *program = arg;

    program->pausing = 0;
    if (result == 0 && !program->supervisor->is_stopping) {
        start_run(program);
    }
}

/* Ends the run when nothing is left in its scope: neither the process nor its output. */
static void on_run_over(void *arg, int64_t error)
{
    struct program *program = arg;
    struct supervisor *supervisor = program->supervisor;
    bool was_healthy = loop_now(supervisor->env->loop) - program->began_at_ns >= healthy_ns;

    (void)error;
    program->run = NULL;
    program->process = NULL;
    if (is_next_to_stop(program)) {
        stop_next(supervisor);
    }
    if (supervisor->is_stopping) {
        return;
    }
    program->pause_ns = was_healthy || program->pause_ns == 0 ? least_pause_ns : 2 * program->pause_ns;
    program->pause_ns = program->pause_ns < most_pause_ns ? program->pause_ns : most_pause_ns;
    program->pausing = loop_sleep(supervisor->env->scope, program->pause_ns, on_pause_over, program);
}

static void on_ended(void *arg, int64_t status)
{
    struct program *program = arg;

    if (status >= 0 && WIFEXITED((int)status)) {
        say(program, "has ended with status %d", WEXITSTATUS((int)status));
    } else if (status >= 0) {
        say(program, "was ended by signal %d", WTERMSIG((int)status));
    }
    loop_scope_deadline(program->run, loop_now(program->supervisor->env->loop) + LEFT_OVER_NS);
}

static void on_started(void *arg, int64_t pid)
{
    struct program *program = arg;

    if (pid < 0) {
        say(program, "%s", program->error.text);
        return;
    }
    say(program, "runs as process %lld", (long long)pid);
    for (int i = 0; i < 2; i++) {
        struct output *output = &program->outputs[i];
        output->program = program;
        output->source = &loop_process_flow(program->process, i + 1)->source;
        output->len = 0;
        read_more(output);
    }
    loop_process_wait(NULL, program->process, on_ended, program);
    if (is_next_to_stop(program)) {
        loop_process_stop(program->process, grace_ns);
    }
}

static void start_run(struct program *program)
{
    const char *arguments[] = {"sh", "-c", program->command, NULL};
    const struct loop_spawn_fd fds[] = {{.number = 0, .how = LOOP_SPAWN_NULL},
                                        {.number = 1, .how = LOOP_SPAWN_OUTPUT},
                                        {.number = 2, .how = LOOP_SPAWN_OUTPUT}};
    const struct loop_spawn_options spawn = {
        .arguments = arguments, .fds = fds, .n_fds = 3, .flags = LOOP_SPAWN_GROUP, .grace_ns = grace_ns};
    struct loop_env *env = program->supervisor->env;

    program->began_at_ns = loop_now(env->loop);
    program->run = loop_scope_open(env->scope, on_run_over, program);
    if (!program->run ||
        !loop_spawn(program->run, "/bin/sh", &spawn, &program->process, &program->error, on_started, program)) {
        say(program, "%s", strerror(ENOMEM));
    }
}

/* ---- stopping ---- */

/* Stops the last program that has not been stopped yet, and the next one when that has ended. */
static void stop_next(struct supervisor *supervisor)
{
    while (supervisor->n_to_stop > 0) {
        struct program *program = &supervisor->programs[--supervisor->n_to_stop];
        if (program->pausing) {
            loop_cancel(supervisor->env->loop, program->pausing);
        }
        if (program->run) { /* one that is being started is stopped by on_started */
            if (program->process) {
                loop_process_stop(program->process, grace_ns);
            }
            return;
        }
    }
}

static void on_stop(void *arg, int64_t signal_number)
{
    struct supervisor *supervisor = arg;

    if (signal_number > 0 && !supervisor->is_stopping) {
        supervisor->is_stopping = true;
        supervisor->n_to_stop = supervisor->n_programs;
        stop_next(supervisor);
    }
}

/* ---- the file ---- */

/* Takes a line apart. Returns false for one that names no program. */
static bool parse_line(struct program *program, char *line)
{
    char *name = line + strspn(line, " \t"), *end = name + strcspn(name, " \t");

    if (*name == '\0' || *name == '#') {
        return false;
    }
    program->name = name;
    program->command = end + strspn(end, " \t");
    *end = '\0';
    return true;
}

/* Returns why a program cannot be one more of them, or NULL. */
static const char *refusal(const struct supervisor *supervisor, const struct program *program)
{
    if (*program->command == '\0') {
        return "there is no command";
    }
    for (size_t i = 0; i < supervisor->n_programs; i++) {
        if (strcmp(supervisor->programs[i].name, program->name) == 0) {
            return "there are two programs of this name";
        }
    }
    return supervisor->n_programs == MOST_PROGRAMS ? "there are more than 256 programs" : NULL;
}

/* Finds the programs in the text of the file. A NUL would end it early, and what follows would not run. Returns 0, or
 * the result of arguments_fail. */
static int parse(struct supervisor *supervisor, size_t len)
{
    char *save = NULL;

    if (memchr(supervisor->text, '\0', len)) {
        arguments_complain("%s: there is a NUL in it", supervisor->path);
        return 1;
    }
    for (char *line = strtok_r(supervisor->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct program program = {.supervisor = supervisor};
        if (!parse_line(&program, line)) {
            continue;
        }
        const char *wrong = refusal(supervisor, &program);
        if (wrong) {
            arguments_complain("%s: %s: %s", supervisor->path, program.name, wrong);
            return 1;
        }
        supervisor->programs[supervisor->n_programs++] = program;
    }
    return 0;
}

static void on_file(void *arg, int64_t result)
{
    struct supervisor *supervisor = arg;
    struct loop_env *env = supervisor->env;

    if (result < 0) {
        loop_stop(env->loop, arguments_fail(supervisor->path, result));
        return;
    }
    supervisor->programs = loop_scope_alloc(env->scope, MOST_PROGRAMS * sizeof *supervisor->programs);
    int status = supervisor->programs ? parse(supervisor, (size_t)result) : arguments_fail(supervisor->path, -ENOMEM);
    if (status != 0) {
        loop_stop(env->loop, status);
        return;
    }
    for (size_t i = 0; i < supervisor->n_programs && !supervisor->is_stopping; i++) {
        start_run(&supervisor->programs[i]);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct supervisor *supervisor = arg;

    supervisor->env = env;
    supervisor->log = arguments_output(env, LOG_BYTES + 2 * FILE_BYTES); /* a name is part of the file */
    if (!supervisor->log) {
        return arguments_fail("standard output", -ENOMEM);
    }
    loop_daemon(env->loop, loop_signal(env->scope, SIGTERM, on_stop, supervisor));
    loop_daemon(env->loop, loop_signal(env->scope, SIGINT, on_stop, supervisor));
    loop_fs_load(env->scope, env->fs, supervisor->path, FILE_BYTES, &supervisor->text, on_file, supervisor);
    return 0;
}

int main(int argc, char **argv)
{
    struct supervisor supervisor = {.path = *arguments_parse(&about, argc, argv)};
    signal(SIGCHLD, SIG_DFL); /* where it was ignored before, the kernel would forget how a program has ended */
    int status = arguments_run(start, &supervisor);

    free(supervisor.text);
    return status;
}
