/* SPDX-License-Identifier: ISC
 *
 * The access log.
 *
 * Lines wait in a writer of bounded memory while the file, which may be a pipe that is full or a slow disk, accepts no
 * more. A file that fails is opened again after a while, until it can be opened.
 *
 * All of that is the main loop's. Other loops of the server put whole lines into a buffer between the threads, also
 * of bounded memory, and the one that finds it empty wakes the main loop, which writes them in their order.
 */
#include "access_log.h"
#include "../../common/arguments.h"
#include "../text/escape.h"

#include <fs/fs.h>
#include <loop/writer.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_BYTES ((size_t)1 << 18) /* that wait */
#define LINE_SIZE 4096
#define SENT_BYTES ((size_t)1 << 17) /* that other loops have sent, and that have not been taken */
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
    bool is_waiting;   /* to open it again */
    struct sent *sent; /* NULL: the main loop alone adds lines */
};

/* Lines on their way from other loops. */
struct sent {
    struct access_log *log;
    struct loop_inbox *inbox; /* the main loop's */
    char *spare;              /* the main loop's: a buffer of which it has written the lines */
    pthread_mutex_t mutex;    /* for all that follows */
    char *lines;
    size_t len;
    uint64_t n_dropped; /* since lines were taken last */
    bool is_posted;     /* the main loop will take them */
};

/* ---- the file ---- */

static void open_again(void *arg, int64_t result);
static void tell_dropped(struct access_log *log);

/* Opens the file again after a while, where there is none by then. */
static void open_later(struct access_log *log)
{
    if (!log->file && !log->is_closing && !log->is_waiting) {
        loop_job job = loop_sleep(log->env->scope, AGAIN_NS, open_again, log);
        loop_daemon(log->env->loop, job);
        log->is_waiting = job != 0;
    }
}

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
            open_later(log);
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
        open_later(log);
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

    log->is_waiting = false;
    if (result == 0 && !log->file && !log->is_closing) {
        access_log_open(log, ignore, NULL);
        if (!log->next) {
            open_later(log);
        }
    }
}

/* ---- lines ---- */

/* Each thread keeps the text of the last second. */
static const char *date_now(const struct loop_clock *clock)
{
    static _Thread_local time_t kept;
    static _Thread_local char date[40];
    time_t second = (time_t)(loop_clock_wall(clock) / LOOP_SECOND);
    struct tm parts;

    if (second != kept && localtime_r(&second, &parts)) {
        kept = second;
        strftime(date, sizeof date, "%d/%b/%Y:%H:%M:%S %z", &parts);
    }
    return date;
}

static void write_line(struct access_log *log, const char *line, size_t len);

static void tell_dropped(struct access_log *log)
{
    char line[128];
    unsigned long long n = log->n_dropped;
    int len = snprintf(line, sizeof line, "- - - [%s] \"%llu lines were dropped\" - -\n", date_now(log->env->clock), n);

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

/* ---- lines of other loops ---- */

/* Takes all lines that were sent. Returns them; they stay until the next call. */
static const char *take_sent(struct sent *sent, size_t *len, uint64_t *n_dropped)
{
    pthread_mutex_lock(&sent->mutex);
    char *lines = sent->lines;
    *len = sent->len;
    *n_dropped = sent->n_dropped;
    sent->lines = sent->spare;
    sent->len = 0;
    sent->n_dropped = 0;
    sent->is_posted = false;
    pthread_mutex_unlock(&sent->mutex);
    sent->spare = lines;
    return lines;
}

static void write_sent(struct access_log *log)
{
    size_t len;
    uint64_t n_dropped;
    const char *lines = take_sent(log->sent, &len, &n_dropped), *end = lines + len;

    while (lines < end) {
        size_t line_len = (size_t)((const char *)memchr(lines, '\n', (size_t)(end - lines)) + 1 - lines);
        write_line(log, lines, line_len);
        lines += line_len;
    }
    log->n_dropped += n_dropped;
    if (n_dropped > 0 && log->file && !log->is_full) {
        tell_dropped(log);
    }
}

/* The memory of the log is gone when the main scope has ended. */
static void on_sent(void *arg, int64_t result)
{
    struct sent *sent = arg;

    if (result == 0) {
        write_sent(sent->log);
    }
}

/* Where the inbox is full, the next line tries again, and so does access_log_close. */
static void send_line(struct sent *sent, const char *line, size_t len)
{
    pthread_mutex_lock(&sent->mutex);
    if (sent->len + len <= SENT_BYTES) {
        memcpy(sent->lines + sent->len, line, len);
        sent->len += len;
    } else {
        sent->n_dropped++;
    }
    if (!sent->is_posted) {
        sent->is_posted = loop_post(sent->inbox, on_sent, sent) == 0;
    }
    pthread_mutex_unlock(&sent->mutex);
}

void access_log_write_client(char text[ACCESS_LOG_CLIENT_SIZE], const struct loop_address *address)
{
    if (address->u.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->u.ipv4.sin_addr, text, ACCESS_LOG_CLIENT_SIZE);
    } else if (address->u.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->u.ipv6.sin6_addr, text, ACCESS_LOG_CLIENT_SIZE);
    } else {
        strcpy(text, "unix");
    }
}

void access_log_add(struct access_log *log, const struct access *access)
{
    const struct http_request *request = access->request;
    char line[LINE_SIZE], end[64];

    if (!log) {
        return;
    }
    int len = snprintf(line, sizeof line, "%s - - [%s] \"", access->client, date_now(access->clock));
    const char *version = !request->method ? "-" : request->is_old ? " HTTP/1.0" : " HTTP/1.1";
    int end_len =
        snprintf(end, sizeof end, "%s\" %d %llu\n", version, access->status, (unsigned long long)access->body_bytes);
    if (request->method) {
        len += snprintf(line + len, sizeof line - (size_t)len, "%s ", request->method);
        len += (int)escape_line(line + len, sizeof line - (size_t)len - sizeof end, request->target);
    }
    memcpy(line + len, end, (size_t)end_len);
    if (log->sent) {
        send_line(log->sent, line, (size_t)len + (size_t)end_len);
    } else {
        write_line(log, line, (size_t)len + (size_t)end_len);
    }
}

/* ---- the log ---- */

static void drop_sent(void *arg)
{
    struct sent *sent = arg;

    loop_inbox_unref(sent->inbox);
    pthread_mutex_destroy(&sent->mutex);
}

static struct sent *create_sent(struct access_log *log)
{
    struct loop_scope *scope = log->env->scope;
    struct sent *sent = loop_scope_alloc(scope, sizeof *sent + 2 * SENT_BYTES);

    if (!sent) {
        return NULL;
    }
    sent->log = log;
    sent->lines = (char *)(sent + 1);
    sent->spare = sent->lines + SENT_BYTES;
    sent->inbox = loop_inbox_ref(log->env->loop);
    pthread_mutex_init(&sent->mutex, NULL);
    return loop_scope_defer(scope, drop_sent, sent) ? sent : NULL;
}

struct access_log *access_log_create(struct loop_env *env, const char *path, bool is_shared)
{
    struct access_log *log = loop_scope_alloc(env->scope, sizeof *log);

    if (!log) {
        return NULL;
    }
    log->env = env;
    log->path = path;
    log->sent = is_shared ? create_sent(log) : NULL;
    return is_shared && !log->sent ? NULL : log;
}

void access_log_close(struct access_log *log)
{
    if (log && log->sent) {
        write_sent(log);
    }
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
