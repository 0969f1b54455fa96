/* SPDX-License-Identifier: ISC
 *
 * psql-lite CONNINFO [COMMAND...]: runs commands on a PostgreSQL server, one after another, and prints their rows.
 *
 * Rows are printed as they come, and no more are read from the server than standard output takes: a result of any size
 * needs little memory. COPY ... FROM STDIN sends standard input, COPY ... TO STDOUT prints. With --listen it then
 * prints notifications, until SIGINT or SIGTERM.
 */
#include "../common/arguments.h"

#include <adapters/postgres.h>
#include <loop/writer.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_BYTES ((size_t)1 << 20)
#define INPUT_BYTES 65536

/* What the options say. */
static struct {
    bool prints_names;
    const char *separator, *channel;
    unsigned n_notifications;
    int64_t timeout_ns;
} asked = {.separator = "\t"};

static struct program {
    struct loop_env *env;
    const char *conninfo;
    char **commands; /* the next one first */
    struct loop_postgres *postgres;
    struct loop_writer *out;
    PGresult *result;
    PGnotify *notification;
    char *row;
    loop_job reading; /* of standard input */
    bool has_names, listens, has_ended;
    int status;
    char input[INPUT_BYTES];
} state;

static void run_next(void);
static void get_result(void);
static void on_result(void *unused, int64_t result);
static void on_notification(void *unused, int64_t result);

/* ---- the end ---- */

static void on_flushed(void *unused, int64_t result)
{
    (void)unused;
    if (result < 0 && result != -ECANCELED) {
        state.status = arguments_fail("standard output", result);
    }
}

/* Closes the connection: then nothing is left to do but to write what has been printed. A signal can come at any time:
 * a continuation that is to be resumed by then is resumed after this, and begins a job that fails. */
static void end(void)
{
    if (state.has_ended) {
        return;
    }
    state.has_ended = true;
    loop_postgres_close(state.postgres);
    (void)loop_cancel(state.env->loop, state.reading);
    loop_writer_flush(state.out, on_flushed, NULL);
}

static void end_by(const char *what, int64_t error)
{
    if (state.status == 0 && error != -ECANCELED && !state.has_ended) {
        state.status = arguments_fail(what, error);
    }
    end();
}

/* Prints what the server tells beside its answers, such as warnings. */
static void on_notice(void *unused, const char *text)
{
    (void)unused;
    arguments_complain("%.*s", (int)strcspn(text, "\n"), text);
}

/* Reports an error of the server or of libpq, whose text ends with a newline. */
static void complain(const char *text)
{
    arguments_complain("%.*s", (int)strcspn(text, "\n"), text);
    state.status = 1;
}

static void end_lost(int64_t error)
{
    const char *text =
        loop_postgres_connection(state.postgres) ? PQerrorMessage(loop_postgres_connection(state.postgres)) : "";

    if (error != -ECANCELED && *text && !state.has_ended) {
        complain(text);
        end();
    } else {
        end_by("the connection", error);
    }
}

/* Goes on when standard output has taken enough. */
static void when_written(loop_fn *next)
{
    if (loop_writer_pending(state.out) < LIMIT_BYTES / 2) {
        next(NULL, 0);
    } else if (!loop_writer_wait_drained(state.out, next, NULL)) {
        end_by("standard output", -ENOMEM);
    }
}

/* ---- rows ---- */

static void print_row(const PGresult *result, int row)
{
    for (int i = 0; i < PQnfields(result); i++) {
        const char *text = row < 0 ? PQfname(result, i) : PQgetvalue(result, row, i);
        loop_writer_print(state.out, "%s%s", i ? asked.separator : "", text);
    }
    loop_writer_append(state.out, "\n", 1);
}

static void print_rows(const PGresult *result)
{
    if (asked.prints_names && !state.has_names) {
        print_row(result, -1);
        state.has_names = true;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        print_row(result, i);
    }
}

static void on_may_get_result(void *unused, int64_t result)
{
    (void)unused;
    if (result < 0) {
        end_by("standard output", result);
    } else {
        get_result();
    }
}

/* ---- COPY ---- */

static void on_row(void *unused, int64_t result);

static void get_row(void *unused, int64_t result)
{
    (void)unused;
    if (result < 0) {
        end_by("standard output", result);
    } else if (!loop_postgres_get_copy(state.postgres, &state.row, on_row, NULL)) {
        end_by("COPY", -ENOMEM);
    }
}

static void on_row(void *unused, int64_t result)
{
    (void)unused;
    if (result > 0) {
        loop_writer_append(state.out, state.row, (size_t)result);
        PQfreemem(state.row);
        when_written(get_row);
    } else {
        get_result(); /* also for an error: that of the command */
    }
}

static void on_sent(void *unused, int64_t result);

static void on_input(void *unused, int64_t result)
{
    loop_job job;

    (void)unused;
    if (result > 0) {
        job = loop_postgres_put_copy(state.postgres, state.input, (int)result, on_sent, NULL);
    } else {
        job =
            loop_postgres_end_copy(state.postgres, result < 0 ? "standard input cannot be read" : NULL, on_sent, NULL);
    }
    if (!job) {
        end_by("COPY", -ENOMEM);
    }
}

static void read_input(void)
{
    if (state.has_ended) {
        return;
    }
    state.reading = loop_read(state.env->in, state.input, sizeof state.input, on_input, NULL);
    if (!state.reading) {
        end_by("standard input", -ENOMEM);
    }
}

/* Resumed with the count for a piece of the input, and with 0 for its end. */
static void on_sent(void *unused, int64_t result)
{
    (void)unused;
    if (result > 0) {
        read_input();
    } else if (result == 0) {
        get_result();
    } else {
        end_lost(result);
    }
}

/* ---- commands ---- */

static void get_result(void)
{
    if (!loop_postgres_get_result(state.postgres, &state.result, on_result, NULL)) {
        end_by("the connection", -ENOMEM);
    }
}

/* Acts on a result, of which a command with rows has one for each row. */
static void follow(ExecStatusType status)
{
    if (status == PGRES_COPY_OUT) {
        get_row(NULL, 0);
    } else if (status == PGRES_COPY_IN) {
        read_input();
    } else {
        when_written(on_may_get_result);
    }
}

static void on_result(void *unused, int64_t result)
{
    (void)unused;
    if (result < 0) {
        end_lost(result);
        return;
    }
    if (result == 0) {
        run_next();
        return;
    }
    ExecStatusType status = PQresultStatus(state.result);
    if (status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK) {
        print_rows(state.result);
    } else if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        complain(PQresultErrorMessage(state.result));
    }
    PQclear(state.result);
    follow(status);
}

static void send_command(const char *text)
{
    PGconn *connection = loop_postgres_connection(state.postgres);

    state.has_names = false;
    if (!PQsendQuery(connection, text)) {
        complain(PQerrorMessage(connection));
        end();
        return;
    }
    PQsetSingleRowMode(connection);
    get_result();
}

static void listen_to(const char *channel)
{
    PGconn *connection = loop_postgres_connection(state.postgres);
    char *name = PQescapeIdentifier(connection, channel, strlen(channel)), text[512];

    state.listens = true;
    if (!name || snprintf(text, sizeof text, "LISTEN %s", name) >= (int)sizeof text) {
        arguments_complain("'%s' is no name of a channel", channel);
        state.status = 1;
        end();
    } else {
        send_command(text);
    }
    PQfreemem(name);
}

static void get_notification(void *unused, int64_t result)
{
    (void)unused;
    if (result < 0) {
        end_by("standard output", result);
    } else if (!loop_postgres_get_notification(state.postgres, &state.notification, on_notification, NULL)) {
        end_by("the connection", -ENOMEM);
    }
}

static void on_notification(void *unused, int64_t result)
{
    (void)unused;
    if (result < 0) {
        end_lost(result);
        return;
    }
    loop_writer_print(state.out, "%s%s%s\n", state.notification->relname, asked.separator, state.notification->extra);
    PQfreemem(state.notification);
    if (asked.n_notifications == 1) {
        end();
        return;
    }
    asked.n_notifications -= asked.n_notifications > 0;
    when_written(get_notification);
}

/* Runs the next command, if none has failed; then listens; then ends. */
static void run_next(void)
{
    if (state.has_ended) {
        return;
    }
    if (state.status == 0 && *state.commands) {
        send_command(*state.commands++);
    } else if (state.status == 0 && asked.channel && !state.listens) {
        listen_to(asked.channel);
    } else if (state.status == 0 && state.listens) {
        get_notification(NULL, 0);
    } else {
        end();
    }
}

/* ---- the beginning ---- */

static void on_connected(void *unused, int64_t result)
{
    (void)unused;
    if (result < 0) {
        end_lost(result);
    } else {
        run_next();
    }
}

static void on_signal(void *unused, int64_t result)
{
    (void)unused;
    if (result > 0) {
        end();
    }
}

static void on_timeout(void *unused, int64_t result)
{
    (void)unused;
    if (result == 0 && !state.listens) {
        arguments_complain("the server has not answered in time");
        state.status = 1;
        end();
    }
}

static int start(struct loop_env *env, void *unused)
{
    (void)unused;
    state.env = env;
    state.out = arguments_output(env, LIMIT_BYTES);
    if (!state.out || !loop_postgres_connect(env->scope, state.conninfo, &state.postgres, on_connected, NULL)) {
        return arguments_fail("can't begin", -ENOMEM);
    }
    PQsetNoticeProcessor(loop_postgres_connection(state.postgres), on_notice, NULL);
    if (asked.timeout_ns > 0) {
        loop_daemon(env->loop, loop_sleep(env->scope, asked.timeout_ns, on_timeout, NULL));
    }
    loop_daemon(env->loop, loop_signal(env->scope, SIGINT, on_signal, NULL));
    loop_daemon(env->loop, loop_signal(env->scope, SIGTERM, on_signal, NULL));
    return 0;
}

static const struct arguments_option options[] = {
    {.name = "header",
     .letter = 'H',
     .flag = &asked.prints_names,
     .help = "print the names of columns before the rows"},
    {.name = "separator",
     .letter = 'F',
     .placeholder = "TEXT",
     .text = &asked.separator,
     .help = "between columns (tab)"},
    {.name = "listen",
     .placeholder = "CHANNEL",
     .text = &asked.channel,
     .help = "then print notifications: the channel and the text"},
    {.name = "notifications",
     .letter = 'n',
     .placeholder = "N",
     .count = &asked.n_notifications,
     .most = 1000000000,
     .help = "end after N of them (0, the default: at SIGINT or SIGTERM)"},
    {.name = "timeout",
     .placeholder = "SECONDS",
     .duration_ns = &asked.timeout_ns,
     .help = "give up when not all commands are done in this time (0, the default: never)"},
};

static const struct arguments_program program = {
    .name = "psql-lite",
    .operands = "CONNINFO [COMMAND...]",
    .about = "Runs commands on a PostgreSQL server, and prints their rows as they come.\n"
             "CONNINFO is that of libpq: \"host=/run/postgresql dbname=books\". COPY uses standard input and output.\n"
             "Status 1 when a command fails: those behind it are not run.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1000,
};

int main(int argc, char **argv)
{
    char **operands = arguments_parse(&program, argc, argv);

    if (!operands[1] && !asked.channel) {
        arguments_refuse("there is neither a command nor --listen");
    }
    state.conninfo = operands[0];
    state.commands = operands + 1;
    int status = arguments_run(start, NULL);
    return status ? status : state.status;
}
