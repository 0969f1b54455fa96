/* SPDX-License-Identifier: ISC
 *
 * libpq, the client of PostgreSQL (10 or newer), on the loop.
 *
 *     loop_postgres_connect(env->scope, "host=/run/postgresql dbname=books", &postgres, on_connected, arg);
 *
 *     in on_connected:  PQsendQuery(loop_postgres_connection(postgres), "SELECT title FROM books");
 *                       loop_postgres_get_result(postgres, &answer, on_result, arg);
 *     in on_result:     while the result is 1, use `answer` and PQclear it, and get the next; 0: the command is done
 *
 * Commands are sent by libpq's functions that do not wait (PQsendQuery, PQsendQueryParams, PQsendPrepare, pipelines),
 * and what takes time is a job of the loop: connecting, results, COPY in both directions, notifications. The functions
 * that wait (PQexec, PQgetResult, PQcancel) block the loop. At most one job of a connection may wait for the server at
 * a time, and beside it one for a notification.
 *
 * Connecting resolves names by blocking calls of the C library: give `hostaddr` in place of `host`, or a directory of
 * Unix sockets. A password file, a service file and certificates are read by blocking calls as well.
 *
 * A connection belongs to its scope, and ends with it; it does not hold the scope open, its jobs do. After the cancel
 * of a job the connection goes on: what the server still sends for the command is got by later jobs. To stop the server
 * too, close the connection. Errors are -errno, and PQerrorMessage of the connection has the text.
 */
#ifndef ADAPTERS_POSTGRES_H
#define ADAPTERS_POSTGRES_H

#include <loop/loop.h>
#include <loop/part.h>

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct loop_postgres;

/* One try at what a job waits for. Returns the job's result, or LOOP_POSTGRES_WAITS, with the events in
 * `wait->events`. */
typedef int64_t loop_postgres_try(struct loop_postgres *postgres);

#define LOOP_POSTGRES_WAITS INT64_MIN

/* A job that waits for the server. */
struct loop_postgres_wait {
    loop_job job; /* 0: none */
    loop_postgres_try *once_more;
    unsigned events;
};

/* A connection. */
struct loop_postgres {
    struct loop *loop;
    struct loop_scope *scope;
    PGconn *connection; /* NULL once closed */
    loop_job polling;
    unsigned n_stale; /* polls that were cancelled and have not ended */
    struct loop_postgres_wait command, notification;
    PGresult **result;   /* where they are stored: of loop_postgres_get_result, */
    char **row;          /* loop_postgres_get_copy */
    PGnotify **notified; /* and loop_postgres_get_notification */
    const char *bytes;   /* of loop_postgres_put_copy */
    int n_bytes;
    const char *failure; /* of loop_postgres_end_copy */
    bool is_taken;       /* libpq has the bytes, or the end, of the copy */
};

/* ---- for the adapter itself: polling ---- */

static inline void loop_postgres_on_events(void *arg, int64_t result);

static inline void loop_postgres_end(struct loop_postgres *postgres, struct loop_postgres_wait *wait, int64_t result)
{
    loop_job job = wait->job;

    wait->job = 0;
    wait->once_more = NULL;
    wait->events = 0;
    (void)loop_resolve(postgres->loop, job, result);
}

static inline void loop_postgres_fail(struct loop_postgres *postgres, int64_t error)
{
    loop_postgres_end(postgres, &postgres->command, error);
    loop_postgres_end(postgres, &postgres->notification, error);
}

static inline void loop_postgres_stop_polling(struct loop_postgres *postgres)
{
    if (postgres->polling) {
        (void)loop_cancel(postgres->loop, postgres->polling);
        postgres->polling = 0;
        postgres->n_stale++;
    }
}

/* Polls for what the jobs wait for. While it connects, libpq closes its number and opens another, often the same. */
static inline void loop_postgres_poll(struct loop_postgres *postgres)
{
    unsigned events = postgres->command.events | postgres->notification.events;

    if (postgres->polling && loop_poll_change(postgres->loop, postgres->polling, events) == 0) {
        return;
    }
    loop_postgres_stop_polling(postgres);
    if (events && PQsocket(postgres->connection) < 0) {
        loop_postgres_fail(postgres, -ECONNRESET);
    } else if (events) {
        postgres->polling = loop_poll_number(postgres->scope, PQsocket(postgres->connection), events,
                                             loop_postgres_on_events, postgres);
        (void)loop_daemon(postgres->loop, postgres->polling);
        if (!postgres->polling) {
            loop_postgres_fail(postgres, -ENOMEM);
        }
    }
}

static inline void loop_postgres_try_again(struct loop_postgres *postgres, struct loop_postgres_wait *wait,
                                           bool is_lost)
{
    int64_t result = wait->job ? wait->once_more(postgres) : LOOP_POSTGRES_WAITS;

    if (wait->job && result == LOOP_POSTGRES_WAITS && is_lost) {
        result = -ECONNRESET;
    }
    if (wait->job && result != LOOP_POSTGRES_WAITS) {
        loop_postgres_end(postgres, wait, result);
    }
}

static inline int64_t loop_postgres_try_connect(struct loop_postgres *postgres)
{
    PostgresPollingStatusType status = PQconnectPoll(postgres->connection);

    if (status == PGRES_POLLING_FAILED || (status == PGRES_POLLING_OK && PQsetnonblocking(postgres->connection, 1))) {
        return -ECONNREFUSED;
    }
    postgres->command.events = status == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
    return status == PGRES_POLLING_OK ? 0 : LOOP_POSTGRES_WAITS;
}

static inline void loop_postgres_on_events(void *arg, int64_t result)
{
    struct loop_postgres *postgres = (struct loop_postgres *)arg;
    bool is_lost = false;

    if (result < 0 && postgres->n_stale > 0) {
        postgres->n_stale--; /* they end in the order in which they were cancelled, before the one in use */
        return;
    }
    if (result < 0) {
        postgres->polling = 0;
        loop_postgres_fail(postgres, result);
        return;
    }
    if (postgres->command.once_more != loop_postgres_try_connect && result & (POLLIN | POLLHUP | POLLERR)) {
        is_lost = !PQconsumeInput(postgres->connection);
    }
    loop_postgres_try_again(postgres, &postgres->notification, is_lost);
    loop_postgres_try_again(postgres, &postgres->command, is_lost);
    loop_postgres_poll(postgres);
}

/* ---- for the adapter itself: tries ---- */

/* Sends what libpq still has. Returns 0, LOOP_POSTGRES_WAITS, or -errno. */
static inline int64_t loop_postgres_flush(struct loop_postgres *postgres)
{
    int left = PQflush(postgres->connection);

    postgres->command.events = left > 0 ? (unsigned)(POLLIN | POLLOUT) : (unsigned)POLLIN;
    return left < 0 ? -ECONNRESET : left > 0 ? LOOP_POSTGRES_WAITS : 0;
}

static inline int64_t loop_postgres_try_result(struct loop_postgres *postgres)
{
    int64_t flushed = loop_postgres_flush(postgres);

    if (PQisBusy(postgres->connection)) {
        return flushed == 0 ? LOOP_POSTGRES_WAITS : flushed;
    }
    *postgres->result = PQgetResult(postgres->connection);
    return *postgres->result ? 1 : 0;
}

static inline int64_t loop_postgres_try_get_copy(struct loop_postgres *postgres)
{
    int64_t flushed = loop_postgres_flush(postgres);
    int n = PQgetCopyData(postgres->connection, postgres->row, 1);

    if (n == 0) {
        return flushed == 0 ? LOOP_POSTGRES_WAITS : flushed;
    }
    return n > 0 ? n : n == -1 ? 0 : -EIO;
}

static inline int64_t loop_postgres_try_put_copy(struct loop_postgres *postgres)
{
    int taken = postgres->is_taken ? 1 : PQputCopyData(postgres->connection, postgres->bytes, postgres->n_bytes);
    int64_t flushed;

    postgres->is_taken = taken == 1;
    flushed = taken < 0 ? -EIO : loop_postgres_flush(postgres);
    if (taken == 0 && flushed == 0) {
        postgres->command.events |= POLLOUT;
        return LOOP_POSTGRES_WAITS;
    }
    return flushed == 0 ? postgres->n_bytes : flushed;
}

static inline int64_t loop_postgres_try_end_copy(struct loop_postgres *postgres)
{
    int taken = postgres->is_taken ? 1 : PQputCopyEnd(postgres->connection, postgres->failure);
    int64_t flushed;

    postgres->is_taken = taken == 1;
    flushed = taken < 0 ? -EIO : loop_postgres_flush(postgres);
    if (taken == 0 && flushed == 0) {
        postgres->command.events |= POLLOUT;
        return LOOP_POSTGRES_WAITS;
    }
    return flushed;
}

static inline int64_t loop_postgres_try_notification(struct loop_postgres *postgres)
{
    postgres->notification.events = POLLIN;
    *postgres->notified = PQnotifies(postgres->connection);
    return *postgres->notified ? 0 : LOOP_POSTGRES_WAITS;
}

/* ---- for the adapter itself: jobs ---- */

static inline void loop_postgres_on_cancel(void *arg, loop_job job)
{
    struct loop_postgres *postgres = (struct loop_postgres *)arg;

    loop_postgres_end(postgres, postgres->command.job == job ? &postgres->command : &postgres->notification,
                      -ECANCELED);
    if (postgres->connection && !loop_scope_is_cancelled(postgres->scope)) {
        loop_postgres_poll(postgres);
    }
}

/* Starts a job that tries until it has a result. Returns 0 when there is no memory or the scope has ended. */
static inline loop_job loop_postgres_begin(struct loop_postgres *postgres, struct loop_postgres_wait *wait,
                                           loop_postgres_try *once_more, loop_fn *fn, void *arg)
{
    loop_job job = loop_promise(postgres->scope, loop_postgres_on_cancel, postgres, fn, arg);

    if (!job || loop_scope_is_cancelled(postgres->scope)) {
        return job;
    }
    if (wait->job || !postgres->connection) {
        (void)loop_resolve(postgres->loop, job, wait->job ? -EBUSY : -ENOTCONN);
        return job;
    }
    wait->job = job;
    wait->once_more = once_more;
    if (once_more == loop_postgres_try_connect) {
        wait->events = POLLOUT; /* as libpq asks for after PQconnectStart */
    } else {
        loop_postgres_try_again(postgres, wait, false);
    }
    loop_postgres_poll(postgres);
    return job;
}

/* Whether a job of a command may set its arguments: they are those of another one while that waits. */
static inline bool loop_postgres_is_free(const struct loop_postgres *postgres)
{
    return postgres->command.job == 0;
}

/* ---- for programs: connections ---- */

/* Returns the connection for libpq's functions: to send commands, to set options, for the text of an error. It belongs
 * to `postgres`. NULL after loop_postgres_close, and where libpq had no memory for it. */
static inline PGconn *loop_postgres_connection(const struct loop_postgres *postgres)
{
    return loop_check_pointer(postgres, "connection", __func__) ? postgres->connection : NULL;
}

/* Closes a connection before its scope ends: its jobs end with -ECANCELED. Idempotent. NULL is ignored. Its memory goes
 * with the scope. */
static inline void loop_postgres_close(struct loop_postgres *postgres)
{
    if (postgres && postgres->connection) {
        loop_postgres_stop_polling(postgres);
        loop_postgres_fail(postgres, -ECANCELED);
        PQfinish(postgres->connection);
        postgres->connection = NULL;
    }
}

/* The release hook. All jobs of the scope have ended by now. */
static inline void loop_postgres_finish(void *arg)
{
    struct loop_postgres *postgres = (struct loop_postgres *)arg;

    PQfinish(postgres->connection);
    postgres->connection = NULL;
}

/* Connects to a server. `conninfo` is that of PQconnectdb, and not used after the call. `*postgres` is set in the call;
 * it belongs to `scope`, is valid until that has ended, and NULL when the job is 0. Resumes with 0; -ECONNREFUSED when
 * the server cannot be reached or refuses the connection; -ENOMEM; -EMFILE; -ECANCELED; -ETIMEDOUT after a deadline of
 * the scope (libpq's connect_timeout is for its blocking functions). Returns job 0 when there is no memory or the scope
 * has ended. */
static inline loop_job loop_postgres_connect(struct loop_scope *scope, const char *conninfo,
                                             struct loop_postgres **postgres, loop_fn *fn, void *arg)
{
    struct loop_postgres *made;
    loop_job job;

    if (!loop_check_scope(scope, __func__) || !loop_check_pointer(postgres, "connection", __func__) ||
        !loop_check_pointer(conninfo, "conninfo", __func__)) {
        return 0;
    }
    *postgres = NULL;
    made = (struct loop_postgres *)loop_scope_alloc(scope, sizeof *made);
    if (!made || !loop_scope_defer(scope, loop_postgres_finish, made)) {
        return 0;
    }
    made->loop = loop_scope_loop(scope);
    made->scope = scope;
    made->connection = loop_scope_is_cancelled(scope) ? NULL : PQconnectStart(conninfo);
    if (PQstatus(made->connection) == CONNECTION_BAD) {
        job = loop_promise(scope, NULL, NULL, fn, arg);
        (void)loop_resolve(made->loop, job, made->connection ? -ECONNREFUSED : -ENOMEM);
    } else {
        job = loop_postgres_begin(made, &made->command, loop_postgres_try_connect, fn, arg);
    }
    *postgres = job ? made : NULL;
    return job;
}

/* ---- for programs: commands ---- */

/* Waits for the next result of the commands that were sent, and sends what libpq has not sent of them. Resumes with 1,
 * and a result in `*result` that the program clears (PQclear); 0, and NULL, when a command has no more results: then
 * the next one may be sent; -ECONNRESET when the connection is lost; -EBUSY while another job of the connection waits;
 * -ENOTCONN after loop_postgres_close. What went wrong with a command is a result: see PQresultStatus. */
static inline loop_job loop_postgres_get_result(struct loop_postgres *postgres, PGresult **result, loop_fn *fn,
                                                void *arg)
{
    if (!loop_check_pointer(postgres, "connection", __func__) || !loop_check_pointer(result, "result", __func__)) {
        return 0;
    }
    if (loop_postgres_is_free(postgres)) {
        *result = NULL;
        postgres->result = result;
    }
    return loop_postgres_begin(postgres, &postgres->command, loop_postgres_try_result, fn, arg);
}

/* Waits for the next row of COPY TO STDOUT, after a result of PGRES_COPY_OUT. Resumes with its length, and the row in
 * `*row`, which the program frees by PQfreemem; 0 when there are no more: loop_postgres_get_result tells how it went;
 * -EIO when the copy fails; or as loop_postgres_get_result. */
static inline loop_job loop_postgres_get_copy(struct loop_postgres *postgres, char **row, loop_fn *fn, void *arg)
{
    if (!loop_check_pointer(postgres, "connection", __func__) || !loop_check_pointer(row, "row", __func__)) {
        return 0;
    }
    if (loop_postgres_is_free(postgres)) {
        *row = NULL;
        postgres->row = row;
    }
    return loop_postgres_begin(postgres, &postgres->command, loop_postgres_try_get_copy, fn, arg);
}

/* Sends bytes of COPY FROM STDIN, after a result of PGRES_COPY_IN: rows, or any pieces of them. `bytes` belong to the
 * job until the continuation is resumed. Resumes with `n_bytes` when the kernel has them; -EIO when no copy is going
 * on; or as loop_postgres_get_result. */
static inline loop_job loop_postgres_put_copy(struct loop_postgres *postgres, const char *bytes, int n_bytes,
                                              loop_fn *fn, void *arg)
{
    if (!loop_check_pointer(postgres, "connection", __func__) || !loop_check_pointer(bytes, "bytes", __func__)) {
        return 0;
    }
    if (loop_postgres_is_free(postgres)) {
        postgres->bytes = bytes;
        postgres->n_bytes = n_bytes;
        postgres->is_taken = false;
    }
    return loop_postgres_begin(postgres, &postgres->command, loop_postgres_try_put_copy, fn, arg);
}

/* Ends COPY FROM STDIN: well, or with a `failure`, a text that belongs to the job until the continuation is resumed;
 * then the server drops what was sent. Resumes with 0: loop_postgres_get_result tells how it went; -EIO when no copy is
 * going on; or as loop_postgres_get_result. */
static inline loop_job loop_postgres_end_copy(struct loop_postgres *postgres, const char *failure, loop_fn *fn,
                                              void *arg)
{
    if (!loop_check_pointer(postgres, "connection", __func__)) {
        return 0;
    }
    if (loop_postgres_is_free(postgres)) {
        postgres->failure = failure;
        postgres->is_taken = false;
    }
    return loop_postgres_begin(postgres, &postgres->command, loop_postgres_try_end_copy, fn, arg);
}

/* Waits for a notification of a channel that was listened to (LISTEN). May wait beside one other job. Resumes with 0,
 * and the notification in `*notification`, which the program frees by PQfreemem; or as loop_postgres_get_result. */
static inline loop_job loop_postgres_get_notification(struct loop_postgres *postgres, PGnotify **notification,
                                                      loop_fn *fn, void *arg)
{
    if (!loop_check_pointer(postgres, "connection", __func__) ||
        !loop_check_pointer(notification, "notification", __func__)) {
        return 0;
    }
    if (postgres->notification.job == 0) {
        *notification = NULL;
        postgres->notified = notification;
    }
    return loop_postgres_begin(postgres, &postgres->notification, loop_postgres_try_notification, fn, arg);
}

#ifdef __cplusplus
}
#endif

#endif
