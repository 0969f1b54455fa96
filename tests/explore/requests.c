/* SPDX-License-Identifier: ISC
 *
 * A server that answers requests, and three clients. A request is a line that asks for so many bytes of a stream; the
 * answer is a line and those bytes. The server reads by readers, answers by writers, and by choice serves in domains,
 * and moves connections between them. It is stopped gracefully at a chosen time, by itself or by a signal, and starts
 * again. A client sends several requests before it reads, shuts down, and reads the answers by the operations of a
 * reader, which it cancels at times. When an attempt fails, it begins again.
 *
 * Judges: answers are those of the requests, in their order, whole and with the right bytes; the end comes behind the
 * last one unless the server's side was cancelled or has failed; a cancelled operation of a reader loses no bytes. No
 * more connections are open than allowed, none begins after a stop, and the server has ended when the last of them has.
 * When faults have ended every client gets all answers.
 */
#include "explore.h"
#include "requests/requests.h"

#include <loop/reader.h>
#include <loop/writer.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { N_REQUESTS = 6, MOST_LINE = 1200 };

enum reading { BY_EXACT, BY_TAKE, BY_FILL, BY_SKIP, BY_SOURCE, BY_UNREAD, N_READINGS };

struct client {
    struct system *system;
    struct loop_node *node;
    unsigned number, n_attempts, n_sent, n_answers, n_crashes;
    enum reading reading;
    bool is_done, is_hasty; /* it cancels operations */
    size_t lengths[N_REQUESTS], padding, limit_bytes;
    struct loop_scope *scope, *attempt;
    struct loop_flow *flow;
    struct loop_reader *reader;
    struct loop_writer *writer;
    unsigned key;
    size_t received; /* of the answer that is read */
    bool is_cancelled, has_shut_down, has_ended, has_ended_early;
    char in[LARGEST];
};

/* ---- reading the answers ---- */

static void read_answer(struct client *client);
static void read_body(struct client *client);

/* Gives an operation to its end, or cancels it before. */
static void started(struct client *client, loop_job job)
{
    client->is_cancelled = job && client->is_hasty && loop_simulation_choose(3) == 2;
    if (!job) {
        loop_scope_fail(client->attempt, -ENOMEM);
    } else if (client->is_cancelled) {
        loop_cancel(loop_scope_loop(client->attempt), job);
    }
}

/* Whether an operation was cancelled by this program alone, which tries it again. */
static bool is_to_be_repeated(const struct client *client, int64_t result)
{
    if (result == -ECANCELED && client->is_cancelled && !loop_scope_is_cancelled(client->attempt)) {
        loop_simulation_sometimes("a cancelled operation was begun again");
        return true;
    }
    return false;
}

static void take(struct client *client, const void *data, size_t len)
{
    if (!explore_matches(data, len, client->key, client->received)) {
        loop_world_fail(NULL, "bytes of another answer: at %zu", client->received);
    }
    client->received += len;
}

/* Whether an end that came early has a cause. A reset is reported once, and maybe to a write. */
static bool has_cause(const struct client *client)
{
    const struct system *system = client->system;

    return !client->has_shut_down || !system->is_known[client->key] || system->is_excused[client->key] ||
           client->n_crashes != system->n_crashes;
}

/* Reads no more after an error or an early end. What is written comes to its end. */
static void stop_reading(struct client *client, int64_t result)
{
    client->has_ended_early = result == 0 || result == -ENODATA;
    if (!client->has_ended_early) {
        loop_scope_fail(client->attempt, result);
    }
}

static void on_body(void *arg, int64_t result)
{
    struct client *client = arg;
    size_t length = client->lengths[client->n_answers], len = 0;

    if (is_to_be_repeated(client, result)) {
        read_body(client);
        return;
    } else if (result <= 0) {
        stop_reading(client, result);
        return;
    }
    switch (client->reading) {
    case BY_EXACT:
    case BY_TAKE: {
        const char *data = loop_reader_data(client->reader, &len);
        take(client, data, len);
        break;
    }
    case BY_FILL: {
        const char *data = loop_reader_peek(client->reader, &len);
        if (len != (size_t)result || len < length) {
            loop_world_fail(NULL, "a window of another size: %zu", len);
        }
        take(client, data, length);
        loop_reader_consume(client->reader, length);
        break;
    }
    case BY_SKIP: client->received += (size_t)result; break;
    default: take(client, client->in, (size_t)result); break;
    }
    if (client->received < length) {
        read_body(client);
        return;
    }
    if (client->reading == BY_UNREAD) {
        client->reader = loop_reader_create(&client->flow->source, 0);
    }
    client->n_answers++;
    read_answer(client);
}

/* Reads what is missing of the bytes of an answer. */
static void read_body(struct client *client)
{
    size_t left = client->lengths[client->n_answers] - client->received;
    struct loop_reader *reader = client->reader;
    struct loop_source *source;

    switch (client->reading) {
    case BY_EXACT: started(client, loop_reader_exact(reader, left, on_body, client)); break;
    case BY_TAKE: started(client, loop_reader_take(reader, left, on_body, client)); break;
    case BY_FILL: started(client, loop_reader_fill(reader, left, on_body, client)); break;
    case BY_SKIP: started(client, loop_reader_skip(reader, left, on_body, client)); break;
    default:
        source = client->reading == BY_SOURCE ? loop_reader_source(reader) : &client->flow->source;
        started(client, loop_read(source, client->in, left, on_body, client));
        break;
    }
}

static void on_head(void *arg, int64_t result)
{
    struct client *client = arg;
    unsigned key;
    size_t length;

    if (is_to_be_repeated(client, result)) {
        read_answer(client);
        return;
    } else if (client->n_answers == N_REQUESTS) {
        if (result > 0) {
            loop_world_fail(NULL, "more than was asked for");
        }
        client->has_ended = result == 0;
        return;
    } else if (result <= 0) {
        stop_reading(client, result);
        return;
    }
    const char *line = loop_reader_data(client->reader, NULL);
    if (sscanf(line, "%u %zu", &key, &length) != 2 || key != client->key ||
        length != client->lengths[client->n_answers]) {
        stop_reading(client, -ENODATA); /* the beginning of a line, at most */
        return;
    }
    client->received = 0;
    if (client->reading == BY_UNREAD) {
        loop_reader_destroy(client->reader);
        client->reader = NULL;
    }
    read_body(client);
}

static void read_answer(struct client *client)
{
    if (!client->reader) {
        loop_scope_fail(client->attempt, -ENOMEM);
    } else if (client->n_answers == N_REQUESTS) {
        started(client, loop_reader_take(client->reader, 1, on_head, client));
    } else {
        started(client, loop_reader_line(client->reader, on_head, client));
    }
}

/* ---- requests ---- */

static void on_shut_down(void *arg, int64_t result)
{
    struct client *client = arg;

    client->has_shut_down = result == 0;
}

static void request_more(void *arg, int64_t result)
{
    struct client *client = arg;
    char line[MOST_LINE];

    if (result < 0) {
        loop_scope_fail(client->attempt, result);
        return;
    }
    while (client->n_sent < N_REQUESTS) {
        int n = snprintf(line, sizeof line, "%u %u %zu %zu ", client->key, client->n_sent,
                         client->lengths[client->n_sent], client->padding);
        memset(line + n, 'x', client->padding);
        line[(size_t)n + client->padding] = '\n';
        int error = loop_writer_append(client->writer, line, (size_t)n + client->padding + 1);
        if (error == -ENOBUFS) {
            loop_simulation_sometimes("a client waited for room");
            explore_must(client->attempt, loop_writer_wait_drained(client->writer, request_more, client));
            return;
        } else if (error != 0) {
            loop_scope_fail(client->attempt, error);
            return;
        }
        client->n_sent++;
    }
    explore_must(client->attempt, loop_writer_shutdown(client->writer, on_shut_down, client));
}

/* ---- attempts ---- */

static void attempt(void *arg, int64_t result);

static void on_attempt_end(void *arg, int64_t error)
{
    struct client *client = arg;

    if (client->has_ended_early && !has_cause(client)) {
        loop_world_fail(NULL, "an end that came too early: after %u answers", client->n_answers);
    }
    client->is_done = client->has_ended && client->has_shut_down;
    if (client->is_done) {
        loop_simulation_sometimes("all answers came");
        return;
    }
    loop_simulation_sometimes(error == -ETIMEDOUT ? "a deadline passed" : "an attempt failed");
    explore_must(client->scope, loop_sleep(client->scope, 200 * LOOP_MILLISECOND, attempt, client));
}

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0) {
        return;
    }
    client->reader = loop_reader_create(&client->flow->source, 0);
    client->writer = loop_writer_create(&client->flow->sink, client->limit_bytes);
    if (!client->writer) {
        loop_scope_fail(client->attempt, -ENOMEM);
        return;
    }
    request_more(client, 0);
    read_answer(client);
}

static void attempt(void *arg, int64_t result)
{
    struct client *client = arg;
    struct loop_address address;

    if (result < 0) {
        return;
    }
    client->key = client->number * MOST_ATTEMPTS + client->n_attempts++ % MOST_ATTEMPTS;
    client->n_crashes = client->system->n_crashes;
    client->n_sent = client->n_answers = 0;
    client->has_shut_down = client->has_ended = client->has_ended_early = false;
    client->attempt = loop_scope_open(client->scope, on_attempt_end, client);
    if (!client->attempt) {
        loop_scope_fail(client->scope, -ENOMEM);
        return;
    }
    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    loop_scope_deadline(client->attempt, loop_now(loop_scope_loop(client->scope)) + 8 * LOOP_SECOND);
    explore_must(client->attempt, loop_connect(client->attempt, &address, NULL, &client->flow, on_connected, client));
}

static int begin(struct loop_env *env, void *arg)
{
    struct client *client = arg;

    client->scope = env->scope;
    attempt(client, 0);
    return 0;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct client *client = arg;

    if (!client->is_done && !explore_gave_up(client->node)) {
        loop_world_fail(world, "a client ended without its answers: %u", client->n_answers);
    }
}

static void restart_server(struct loop_world *world, void *arg)
{
    const struct system *system = arg;

    (void)world;
    if (loop_node_state(system->server_node) == LOOP_NODE_CRASHED) {
        loop_node_restart(system->server_node);
    }
}

static void signal_server(struct loop_world *world, void *arg)
{
    struct system *system = arg;

    if (loop_node_state(system->server_node) == LOOP_NODE_RUNNING && system->env) {
        loop_simulation_sometimes("a server got a signal");
        system->is_signalled = true;
        system->n_crashes++; /* it kills a server that does not wait for it yet */
        loop_node_signal(system->server_node, SIGTERM);
        loop_world_at(world, loop_world_now(world) + LOOP_SECOND, restart_server, system);
    }
}

static void add_client(struct loop_world *world, struct system *system, unsigned number)
{
    static const size_t lengths[] = {10, 3000, LARGEST, 1}, paddings[] = {0, 1000}, limits[] = {0, 20, 2000};
    struct client *client = loop_world_alloc(world, sizeof *client);

    client->system = system;
    client->number = number;
    client->reading = loop_simulation_choose(N_READINGS);
    client->is_hasty = loop_simulation_choose(2);
    client->padding = EXPLORE_ONE_OF(paddings);
    client->limit_bytes = EXPLORE_ONE_OF(limits);
    for (unsigned i = 0; i < N_REQUESTS; i++) {
        client->lengths[i] = EXPLORE_ONE_OF(lengths);
    }
    client->node = explore_node(world, (struct loop_node_options){.main = begin, .arg = client});
    loop_world_at_end(world, check, client);
}

static int build(struct loop_world *world, void *arg)
{
    static const unsigned limits[] = {0, 1, 2};
    static const int64_t stops[] = {0, LOOP_MILLISECOND, 20 * LOOP_MILLISECOND, 300 * LOOP_MILLISECOND};
    struct system *system = loop_world_alloc(world, sizeof *system);

    (void)arg;
    system->n_domains = loop_simulation_choose(3);
    system->most_open = EXPLORE_ONE_OF(limits);
    system->stop_after_ns = EXPLORE_ONE_OF(stops);
    system->reads_lines = loop_simulation_choose(2);
    system->has_completions = loop_simulation_choose(2);
    system->moves = system->most_open == 0 && loop_simulation_choose(2);
    system->writing = loop_simulation_choose(3);
    system->server_node = explore_node(
        world, (struct loop_node_options){.name = "server", .main = requests_serve, .arg = system, .is_daemon = true});
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        add_client(world, system, i);
    }
    explore_links(world);
    explore_partition(world, system->server_node);
    if (loop_simulation_choose(2)) {
        loop_world_at(world, loop_simulation_choose(200) * LOOP_MILLISECOND, signal_server, system);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"all answers came",
                                        "an attempt failed",
                                        "a cancelled operation was begun again",
                                        "the server waited for room",
                                        "a client waited for room",
                                        "a server was stopped",
                                        "a server was told to stop while connections were open",
                                        "a server got a signal",
                                        "a connection was moved",
                                        NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 60 * LOOP_SECOND,
                                                                  .liveness_ns = 60 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
