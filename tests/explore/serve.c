/* SPDX-License-Identifier: ISC
 *
 * The server of demos/http/httpd.c, made of its sources, and two clients that ask for files and parts of files, one
 * request after another or several at once on a connection. What is not answered is asked for again on the next one.
 *
 * Judges: answers come in the order of the requests, with the right status and length, and with the bytes that were
 * asked for. An answer may end early only by the end of the connection. When faults have ended, everything is answered.
 * The server may crash, and
 * memory and descriptors may be short: then the server answers with 503 or ends, and a client may give up.
 */
#include "explore.h"

#include <loop/reader.h>
#include <net/net.h>

#include <stdio.h>
#include <string.h>

enum { N_CLIENTS = 2, N_FILES = 4, N_REQUESTS = 4, PART_BEGIN = 5, PART_END = 14 };

static const size_t sizes[N_FILES] = {20, 5000, 0, 70000};

struct request {
    unsigned file; /* N_FILES: one that is missing */
    bool is_part;  /* the bytes from PART_BEGIN to PART_END */
};

struct client {
    struct loop_node *node;
    bool is_pipelined, is_done;
    struct request requests[N_REQUESTS];
    unsigned n_answered;
    struct loop_scope *scope;
    struct loop_flow *flow;
    struct loop_reader *reader;
    int status;
    size_t length, received;
    char out[N_REQUESTS * 128];
};

/* ---- the demo's program ---- */

#define main serve_main
#define options serve_options
int serve_main(int argc, char **argv);
#include "../../demos/http/httpd.c"
#undef options
#undef main

static int run_server(struct loop_env *env, void *arg)
{
    struct serving *serving = loop_scope_alloc(env->scope, sizeof *serving);

    (void)arg;
    if (!serving) {
        return -ENOMEM;
    }
    sites.site[0].directory = "/www";
    loop_address_parse(&serving->address, "tcp:0.0.0.0:7000");
    return start(env, serving);
}

/* ---- the clients ---- */

static void ask_next(struct client *client);
static void read_head(struct client *client);

static const struct request *request_now(const struct client *client)
{
    return &client->requests[client->n_answered];
}

static void on_body(void *arg, int64_t result)
{
    struct client *client = arg;
    const struct request *request = request_now(client);
    bool is_missing = request->file == N_FILES;

    if (result < 0 || (result == 0 && client->received < client->length)) {
        loop_simulation_sometimes("an answer was cut off");
        return;
    }
    size_t begin = request->is_part ? PART_BEGIN : 0;
    if (!is_missing && !explore_matches(loop_reader_data(client->reader, NULL), (size_t)result, request->file,
                                        begin + client->received)) {
        loop_world_fail(NULL, "wrong bytes in an answer: at %zu of %zu", client->received, client->length);
    }
    client->received += (size_t)result;
    if (client->received < client->length) {
        size_t left = client->length - client->received;
        loop_reader_take(client->reader, left, on_body, client);
        return;
    }
    loop_simulation_sometimes(is_missing         ? "a file was missing"
                              : request->is_part ? "a part was answered"
                                                 : "a file was answered");
    if (++client->n_answered == N_REQUESTS) {
        client->is_done = true;
    } else if (client->is_pipelined) {
        loop_simulation_sometimes("a second answer on a connection");
        read_head(client);
    } else {
        ask_next(client);
    }
}

/* The head is complete. */
static void check_head(struct client *client)
{
    const struct request *request = request_now(client);
    size_t size = request->file < N_FILES ? sizes[request->file] : 0;
    int expected = request->file == N_FILES ? 404 : request->is_part ? 206 : 200;
    size_t len = request->is_part ? PART_END + 1 - PART_BEGIN : size;

    if (client->status == 503) {
        loop_simulation_sometimes("the server had no memory");
        loop_scope_cancel(client->flow->scope);
    } else if (client->status != expected) {
        loop_world_fail(NULL, "a wrong status: %d in place of %d", client->status, expected);
    } else if (request->file < N_FILES && client->length != len) {
        loop_world_fail(NULL, "a wrong length: %zu in place of %zu", client->length, len);
    } else if (client->length == 0) {
        on_body(client, 0);
    } else {
        loop_reader_take(client->reader, client->length, on_body, client);
    }
}

static void on_head_line(void *arg, int64_t result)
{
    struct client *client = arg;
    const char *line = loop_reader_data(client->reader, NULL);

    if (result <= 0) {
        return;
    }
    if (client->status == 0) {
        if (sscanf(line, "HTTP/1.1 %d", &client->status) != 1 && (size_t)result != strlen(line)) {
            loop_world_fail(NULL, "an answer that is none: %.40s", line);
            return;
        }
    } else if (line[0] == 0) {
        check_head(client);
        return;
    } else {
        (void)sscanf(line, "Content-Length: %zu", &client->length);
    }
    loop_reader_line(client->reader, on_head_line, client);
}

static void read_head(struct client *client)
{
    client->status = 0;
    client->length = client->received = 0;
    loop_reader_line(client->reader, on_head_line, client);
}

/* Sends one request, or all that are left. */
static void ask_next(struct client *client)
{
    unsigned end = client->is_pipelined ? N_REQUESTS : client->n_answered + 1;
    size_t len = 0;

    for (unsigned i = client->n_answered; i < end; i++) {
        const struct request *request = &client->requests[i];
        char range[48] = "";
        if (request->is_part) {
            snprintf(range, sizeof range, "Range: bytes=%d-%d\r\n", PART_BEGIN, PART_END);
        }
        len += (size_t)snprintf(client->out + len, sizeof client->out - len,
                                "GET /%u HTTP/1.1\r\nHost: server\r\n%s\r\n", request->file, range);
    }
    loop_write(&client->flow->sink, client->out, len, NULL, NULL);
    read_head(client);
}

static void attempt(void *arg, int64_t result);

static void on_attempt_end(void *arg, int64_t error)
{
    struct client *client = arg;

    (void)error;
    if (!client->is_done) {
        loop_simulation_sometimes("an attempt failed");
        explore_must(client->scope, loop_sleep(client->scope, 300 * LOOP_MILLISECOND, attempt, client));
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result == 0) {
        client->reader = loop_reader_create(&client->flow->source, 8192);
        if (client->reader) {
            ask_next(client);
        }
    }
}

static void attempt(void *arg, int64_t result)
{
    struct client *client = arg;
    struct loop_address address;

    (void)result;
    loop_address_parse(&address, "tcp:10.0.0.1:7000");
    struct loop_scope *scope = loop_scope_open(client->scope, on_attempt_end, client);
    if (!scope) {
        explore_must(client->scope, false);
        return;
    }
    loop_scope_deadline(scope, loop_now(loop_scope_loop(scope)) + 20 * LOOP_SECOND);
    loop_connect(scope, &address, NULL, &client->flow, on_connected, client);
}

static int run_client(struct loop_env *env, void *arg)
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
        loop_world_fail(world, "a client ended without its answers: %u of %d", client->n_answered, N_REQUESTS);
    }
}

static int build(struct loop_world *world, void *arg)
{
    static char data[70000];
    struct loop_node *server =
        explore_node(world, (struct loop_node_options){.name = "server", .main = run_server, .is_daemon = true});

    (void)arg;
    for (unsigned i = 0; i < N_FILES; i++) {
        char path[16];
        snprintf(path, sizeof path, "/www/%u", i);
        explore_fill(data, sizes[i], i, 0);
        if (loop_node_put_file(server, path, data, sizes[i]) < 0) {
            return 1;
        }
    }
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        struct client *client = loop_world_alloc(world, sizeof *client);
        client->is_pipelined = loop_simulation_choose(2);
        for (unsigned j = 0; j < N_REQUESTS; j++) {
            client->requests[j].file = loop_simulation_choose(N_FILES + 1);
            client->requests[j].is_part = client->requests[j].file < 2 && loop_simulation_choose(2);
        }
        client->node = explore_node(world, (struct loop_node_options){.main = run_client, .arg = client});
        loop_world_at_end(world, check, client);
    }
    explore_links(world);
    explore_partition(world, server);
    explore_crash(world, server, 100 * LOOP_MILLISECOND);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"a file was answered", "a part was answered",
                                        "a file was missing",  "an answer was cut off",
                                        "an attempt failed",   "a second answer on a connection",
                                        "a node crashed",      NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 60 * LOOP_SECOND,
                                                                  .liveness_ns = 90 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
