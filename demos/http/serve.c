/* SPDX-License-Identifier: ISC
 *
 * serve DIR ADDRESS: serves the files beneath DIR over HTTP/1.1.
 *
 * A connection is one job that reads lines. When they form a request, the job is paused and the request is answered in
 * a scope of its own, which closes the file. Then the lines go on: pipelined requests wait in the socket meanwhile. So
 * a connection needs at most two descriptors, and memory for a line and a buffer.
 *
 * The deadline of a connection's scope ends it when the peer is too slow in sending a whole request, or in receiving a
 * piece of an answer.
 */
#include "../common/arguments.h"
#include "serve_file.h"
#include "serve_http.h"

#include <fs/fs.h>
#include <loop/reader.h>

#include <errno.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/resource.h>

#define LINE_BYTES ((size_t)8192)
#define LINGER_BYTES ((uint64_t)1 << 24) /* bytes that a peer may still send after its last answer */
#define LINGER_NS (2 * LOOP_SECOND)
#define DESCRIPTORS_OF_OURS 64 /* a connection needs two more */

static struct arguments_serving serving_limits = {.grace_ns = 5 * LOOP_SECOND};
static int64_t patience_ns = 30 * LOOP_SECOND;

static const struct arguments_option options[] = {
    {.name = "timeout",
     .placeholder = "SECONDS",
     .duration_ns = &patience_ns,
     .help = "how long a peer may take for a request, or for 64 KiB of an answer (30)"},
    ARGUMENTS_SERVING(serving_limits),
};

static const struct arguments_program program = {
    .name = "serve",
    .operands = "DIR ADDRESS",
    .about = "Serves the files beneath DIR over HTTP/1.1, until SIGTERM or SIGINT.\n"
             "ADDRESS is tcp:127.0.0.1:7000, tcp:[::1]:7000, unix:/path or unix:@name; port 0 takes a free one.\n"
             "There are never more connections than there are descriptors for.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 2,
    .most_operands = 2,
};

struct connection {
    struct serving *serving;
    struct loop_flow *peer;
    struct loop_reader *reader;
    struct http_reading *reading;
    loop_job lines; /* 0 after it has ended */
    bool is_answering, is_closing;
    LIST_ENTRY(connection) link;
};

struct serving {
    struct loop_env *env;
    const char *name; /* the name of the directory */
    struct loop_address address;
    struct loop_dir *dir;
    bool is_stopping;
    int status;
    LIST_HEAD(, connection) connections;
};

static void set_deadline(struct connection *connection, int64_t duration_ns)
{
    loop_scope_deadline(connection->peer->scope, loop_now(connection->serving->env->loop) + duration_ns);
}

/* ---- the end of a connection ---- */

/* Reads what the peer is still sending: closing a socket with unread bytes resets the connection, and the peer loses
 * the last answer. */
static void linger(struct connection *connection)
{
    loop_reader_skip(connection->reader, LINGER_BYTES, NULL, NULL);
}

static void finish(struct connection *connection)
{
    connection->is_closing = true;
    set_deadline(connection, LINGER_NS);
    loop_shutdown(&connection->peer->sink, NULL, NULL);
    if (connection->lines) {
        loop_cancel(connection->serving->env->loop, connection->lines);
    } else {
        linger(connection);
    }
}

/* ---- answers ---- */

static void await_request(struct connection *connection)
{
    http_reading_begin(connection->reading);
    set_deadline(connection, patience_ns);
    loop_resume(connection->serving->env->loop, connection->lines);
}

static void on_answered(void *arg, int64_t error)
{
    struct connection *connection = arg;

    connection->is_answering = false;
    if (error < 0) {
        loop_scope_fail(connection->peer->scope, error);
    } else if (connection->is_closing || connection->serving->is_stopping || !connection->lines) {
        finish(connection);
    } else {
        await_request(connection);
    }
}

static void answer(struct connection *connection, int status)
{
    const struct serving *serving = connection->serving;
    const struct http_request *request = http_reading_request(connection->reading);
    struct loop_scope *scope = loop_scope_open(connection->peer->scope, on_answered, connection);

    if (!scope) {
        loop_scope_fail(connection->peer->scope, -ENOMEM);
        return;
    }
    loop_pause(serving->env->loop, connection->lines);
    connection->is_answering = true;
    connection->is_closing = !request->keep_alive || serving->is_stopping;
    file_answer(scope, &(struct file_answer){.dir = serving->dir,
                                             .clock = serving->env->clock,
                                             .peer = connection->peer,
                                             .patience_ns = patience_ns,
                                             .request = request,
                                             .status = status,
                                             .keep_alive = !connection->is_closing});
}

/* ---- requests ---- */

static void on_lines_ended(struct connection *connection, int64_t result)
{
    connection->lines = 0;
    if (connection->is_answering) {
        return;
    }
    if (connection->is_closing) {
        linger(connection);
    } else if (result == -EMSGSIZE) {
        answer(connection, http_reading_has_begun(connection->reading) ? 431 : 414);
    }
}

static void on_line(void *arg, int64_t result)
{
    struct connection *connection = arg;
    size_t len;
    const char *line = loop_reader_data(connection->reader, &len);

    if (result <= 0) {
        on_lines_ended(connection, result);
    } else if ((size_t)result > len) { /* a partial line: the end of the connection follows */
        int status = http_reading_line(connection->reading, line, len);
        if (status != 0) {
            answer(connection, status);
        }
    }
}

/* ---- connections ---- */

static void forget(void *arg)
{
    struct connection *connection = arg;

    LIST_REMOVE(connection, link);
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct serving *serving = arg;
    struct connection *connection = loop_scope_alloc(peer->scope, sizeof *connection);

    if (!connection) {
        return;
    }
    connection->serving = serving;
    connection->peer = peer;
    connection->reader = loop_reader_create(&peer->source, LINE_BYTES);
    connection->reading = http_reading_create(peer->scope);
    if (!connection->reader || !connection->reading) {
        return;
    }
    LIST_INSERT_HEAD(&serving->connections, connection, link);
    if (!loop_scope_defer(peer->scope, forget, connection)) {
        return; /* `forget` was called: nothing runs in the scope, so it ends */
    }
    set_deadline(connection, patience_ns);
    connection->lines = loop_reader_lines(connection->reader, on_line, connection);
}

/* Stops the server: requests being read and answers being sent are finished, idle connections are closed. */
static void on_stop(void *arg, int64_t result)
{
    struct serving *serving = arg;
    struct connection *connection;

    if (result < 0) {
        return;
    }
    serving->is_stopping = true;
    LIST_FOREACH(connection, &serving->connections, link)
    {
        if (!connection->is_answering && !connection->is_closing && !http_reading_has_begun(connection->reading)) {
            loop_scope_cancel(connection->peer->scope);
        }
    }
}

/* ---- the server ---- */

static void stop_on(struct serving *serving, int signal_number)
{
    struct loop_env *env = serving->env;

    loop_daemon(env->loop, loop_signal(env->scope, signal_number, on_stop, serving));
}

/* Limits the connections to the number of descriptors, or to the user's lower limit. */
static void limit_connections(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlim_t most = limit.rlim_cur > DESCRIPTORS_OF_OURS + 2 ? (limit.rlim_cur - DESCRIPTORS_OF_OURS) / 2 : 1;
    if (serving_limits.max_connections == 0 || serving_limits.max_connections > most) {
        serving_limits.max_connections = (unsigned)most;
    }
}

static void on_directory(void *arg, int64_t result)
{
    struct serving *serving = arg;
    struct loop_server *server;

    if (result < 0) {
        serving->status = arguments_fail(serving->name, result);
        return;
    }
    limit_connections();
    serving->status =
        arguments_serve(serving->env, &serving->address, &serving_limits, &server, on_connection, serving);
    if (serving->status != 0) {
        return;
    }
    stop_on(serving, SIGTERM);
    stop_on(serving, SIGINT);
    serving->status = arguments_announce(serving->env, server, "");
    if (serving->status != 0) {
        loop_server_stop(server, loop_now(serving->env->loop));
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct serving *serving = arg;

    serving->env = env;
    LIST_INIT(&serving->connections);
    if (!loop_fs_open_dir(env->scope, env->fs, serving->name, &serving->dir, on_directory, serving)) {
        return arguments_fail(serving->name, -ENOMEM);
    }
    return 0;
}

int main(int argc, char **argv)
{
    char **operands = arguments_parse(&program, argc, argv);
    struct serving serving = {.name = operands[0], .address = arguments_address(operands[1])};
    int status = arguments_run(start, &serving);

    return status != 0 ? status : serving.status;
}
