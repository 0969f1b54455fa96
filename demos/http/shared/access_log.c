/* SPDX-License-Identifier: ISC
 *
 * The access log.
 *
 * Lines wait in a writer of bounded memory while the file, which may be a pipe that is full or a slow disk, accepts no
 * more. A file that fails is opened again after a while.
 */
#include "access_log.h"
#include "../../common/arguments.h"
#include "../text/escape.h"

#include <fs/fs.h>
#include <loop/writer.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_BYTES ((size_t)1 << 18) /* that wait */
#define LINE_SIZE 4096
#define CLOSE_NS LOOP_SECOND
#define AGAIN_NS (5 * LOOP_SECOND)

/* The open file. It lives in its own scope, which is held until the file is to be closed. */
struct log_file {
    struct access_log *log;
    struct loop_scope *scope;
    struct loop_flow *flow;
    struct loop_writer *writer;
    bool is_held;
};

struct access_log {
    struct loop_env *env;
    const char *path;
    struct log_file *file; /* NULL: none */
    struct log_file *next; /* is being opened; or NULL */
    loop_job opening;      /* the promise of access_log_open */
    uint64_t n_dropped;    /* since a line has told so */
    bool is_full, is_closing;
    time_t second;
    char date[40]; /* of `second` */
};

/* ---- the file ---- */

static void open_again(void *arg, int64_t result);
static void tell_dropped(struct access_log *log);

static void release(struct log_file *file)
{
    if (file->is_held) {
        file->is_held = false;
        loop_scope_unhold(file->scope);
    }
}

static void close_file(struct log_file *file)
{
    if (!loop_scope_is_cancelled(file->scope)) {
        loop_scope_deadline(file->scope, loop_now(file->log->env->loop) + CLOSE_NS);
    }
    release(file);
}

/* A file that could not be written has failed its scope. */
static void on_file_end(void *arg, int64_t error)
{
    struct log_file *file = arg;
    struct access_log *log = file->log;

    if (log->file == file) {
        log->file = NULL;
        log->is_full = false;
        if (error < 0 && error != -ECANCELED && !log->is_closing) {
            arguments_fail(log->path, error);
            loop_daemon(log->env->loop, loop_sleep(log->env->scope, AGAIN_NS, open_again, log));
        }
    }
    free(file);
}

/* A scope that was cancelled or has failed ends only when it is not held any more. */
static void on_file_cancelled(void *arg, int64_t result)
{
    if (result < 0) {
        release(arg);
    }
}

static void use_file(struct access_log *log, struct log_file *file)
{
    struct log_file *before = log->file;

    log->file = file;
    log->is_full = false;
    if (before) {
        close_file(before);
    }
    if (log->n_dropped > 0) {
        tell_dropped(log);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct log_file *file = arg;
    struct access_log *log = file->log;

    if (result == 0) {
        file->writer = loop_writer_create(&file->flow->sink, LOG_BYTES);
        result = file->writer ? 0 : -ENOMEM;
    }
    log->next = NULL;
    if (result == 0 && !log->is_closing) {
        use_file(log, file);
    } else {
        release(file);
    }
    loop_resolve(log->env->loop, log->opening, result);
}

static void open_path(struct log_file *file)
{
    struct access_log *log = file->log;
    const struct loop_open_options options = {
        .access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_IF_MISSING, .mode = 0644, .append = true};

    if (strcmp(log->path, "-") == 0) {
        struct loop_fd *fd = loop_fd_borrow(file->scope, STDOUT_FILENO);
        file->flow = fd ? loop_fd_flow(fd) : NULL;
        on_opened(file, fd ? 0 : -ENOMEM);
    } else if (!loop_fs_open(file->scope, log->env->fs, log->path, &options, &file->flow, on_opened, file)) {
        on_opened(file, -ENOMEM);
    }
}

static struct log_file *new_file(struct access_log *log)
{
    struct log_file *file = calloc(1, sizeof *file);

    if (!file) {
        return NULL;
    }
    file->log = log;
    file->scope = loop_scope_open(log->env->scope, on_file_end, file);
    if (!file->scope) {
        free(file);
        return NULL;
    }
    loop_scope_hold(file->scope);
    file->is_held = true;
    loop_scope_on_cancel(file->scope, on_file_cancelled, file);
    return file;
}

loop_job access_log_open(struct access_log *log, loop_fn *fn, void *arg)
{
    loop_job opening = log->next ? 0 : loop_promise(log->env->scope, NULL, NULL, fn, arg);
    struct log_file *file = opening ? new_file(log) : NULL;

    if (!file) {
        if (opening) {
            loop_resolve(log->env->loop, opening, -ENOMEM);
        }
        return opening;
    }
    log->next = file;
    log->opening = opening;
    open_path(file);
    return opening;
}

static void ignore(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

static void open_again(void *arg, int64_t result)
{
    struct access_log *log = arg;

    if (result == 0 && !log->file && !log->is_closing) {
        access_log_open(log, ignore, NULL);
    }
}

/* ---- lines ---- */

static const char *date_now(struct access_log *log)
{
    time_t second = (time_t)(loop_clock_wall(log->env->clock) / LOOP_SECOND);
    struct tm parts;

    if (second != log->second && localtime_r(&second, &parts)) {
        log->second = second;
        strftime(log->date, sizeof log->date, "%d/%b/%Y:%H:%M:%S %z", &parts);
    }
    return log->date;
}

static void write_line(struct access_log *log, const char *line, size_t len);

static void tell_dropped(struct access_log *log)
{
    char line[128];
    unsigned long long n = log->n_dropped;
    int len = snprintf(line, sizeof line, "- - - [%s] \"%llu lines were dropped\" - -\n", date_now(log), n);

    arguments_complain("%s: %llu lines were dropped", log->path, n);
    log->n_dropped = 0;
    write_line(log, line, (size_t)len);
}

/* A file that has failed while this waited has not failed its scope yet. */
static void on_drained(void *arg, int64_t result)
{
    struct log_file *file = arg;
    struct access_log *log = file->log;

    if (log->file != file) {
        return;
    }
    log->is_full = false;
    if (result < 0) {
        loop_scope_fail(file->scope, result);
    } else if (log->n_dropped > 0) {
        tell_dropped(log);
    }
}

static void write_line(struct access_log *log, const char *line, size_t len)
{
    struct log_file *file = log->file;

    if (file && !log->is_full && loop_writer_append(file->writer, line, len) == 0) {
        return;
    }
    log->n_dropped++;
    if (file && !log->is_full) {
        loop_job job = loop_writer_wait_drained(file->writer, on_drained, file);
        loop_daemon(log->env->loop, job);
        log->is_full = job != 0;
    }
}

void access_log_add(struct access_log *log, const struct access *access)
{
    const struct http_request *request = access->request;
    char line[LINE_SIZE], end[64];

    if (!log) {
        return;
    }
    int len = snprintf(line, sizeof line, "%s - - [%s] \"", access->client, date_now(log));
    const char *version = !request->method ? "-" : request->is_old ? " HTTP/1.0" : " HTTP/1.1";
    int end_len =
        snprintf(end, sizeof end, "%s\" %d %llu\n", version, access->status, (unsigned long long)access->body_bytes);
    if (request->method) {
        len += snprintf(line + len, sizeof line - (size_t)len, "%s ", request->method);
        len += (int)escape_line(line + len, sizeof line - (size_t)len - sizeof end, request->target);
    }
    memcpy(line + len, end, (size_t)end_len);
    write_line(log, line, (size_t)(len + end_len));
}

/* ---- the log ---- */

struct access_log *access_log_create(struct loop_env *env, const char *path)
{
    struct access_log *log = loop_scope_alloc(env->scope, sizeof *log);

    if (log) {
        log->env = env;
        log->path = path;
    }
    return log;
}

void access_log_close(struct access_log *log)
{
    if (log) {
        log->is_closing = true;
        if (log->n_dropped > 0) {
            tell_dropped(log);
        }
        if (log->file) {
            close_file(log->file);
        }
    }
}
