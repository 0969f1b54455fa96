/* SPDX-License-Identifier: ISC
 *
 * Two clients send datagrams to a server, which sends each back. The network loses, repeats and reorders them. Sockets
 * receive up to a chosen size; longer datagrams arrive truncated. A client sends a number again until it is answered.
 *
 * Judges: every datagram that arrives is one that was sent, whole or cut at the receive limit, and says so; its length
 * is the result; its addresses are right. Statistics count what was received. When faults have ended every number is
 * answered. A program may end when memory or descriptors are short.
 */
#include "explore.h"

#include <net/net.h>

#include <errno.h>
#include <string.h>

enum { N_CLIENTS = 2, N_NUMBERS = 12, LARGEST = 9000, HEADER = 4 };

struct client {
    struct loop_node *node;
    unsigned id; /* also the last byte of its address, less 2 */
    size_t max_bytes;
    bool is_connected, sends_by_put, is_done;
    bool answered[N_NUMBERS];
    unsigned n_answered;
    uint64_t n_received, n_truncated;
    struct loop_scope *scope;
    struct loop_datagram_socket *socket;
    struct loop_address server;
    char out[N_NUMBERS][LARGEST];
    bool is_sending[N_NUMBERS];
};

struct server {
    size_t max_bytes;
    bool closes; /* its socket, for a while */
    struct loop_scope *scope;
    struct loop_datagram_socket *socket;
    uint64_t n_received, n_truncated;
};

/* ---- what a datagram is ---- */

static size_t size_of(unsigned id, unsigned number)
{
    static const size_t sizes[] = {HEADER, 50, 600, 1300, 5000, LARGEST, 100};

    return sizes[(id * 3 + number) % (sizeof sizes / sizeof sizes[0])];
}

static size_t make(char *data, unsigned id, unsigned number)
{
    size_t len = size_of(id, number);

    memcpy(data, (uint8_t[HEADER]){'D', (uint8_t)id, (uint8_t)number, 'x'}, HEADER);
    explore_fill(data + HEADER, len - HEADER, id * N_NUMBERS + number, 0);
    return len;
}

/* Checks a datagram that a socket with this limit has received. Returns its number and stores the client. */
static unsigned check_datagram(int64_t result, const struct loop_datagram *datagram, size_t max_bytes, unsigned *id)
{
    const uint8_t *data = datagram->data;
    unsigned number = datagram->len >= HEADER ? data[2] : N_NUMBERS;

    *id = 0;
    if (result != (int64_t)datagram->len) {
        loop_world_fail(NULL, "a result that is not the length: %d of %zu", (int)result, datagram->len);
    } else if (number >= N_NUMBERS || data[0] != 'D' || data[3] != 'x' || data[1] >= N_CLIENTS) {
        loop_world_fail(NULL, "a datagram that was not sent: %zu bytes", datagram->len);
    } else {
        *id = data[1];
        size_t sent = size_of(*id, number), len = sent < max_bytes ? sent : max_bytes;
        if (datagram->len != len || datagram->is_truncated != (sent > max_bytes)) {
            loop_world_fail(NULL, "a wrong length: %zu in place of %zu", datagram->len, len);
        } else if (!explore_matches(data + HEADER, len - HEADER, *id * N_NUMBERS + number, 0)) {
            loop_world_fail(NULL, "bytes of another datagram: %zu bytes", len);
        }
        return number;
    }
    return 0;
}

static void check_statistics(struct loop_datagram_socket *socket, uint64_t n_received, uint64_t n_truncated)
{
    struct loop_datagram_stats stats;

    loop_datagram_get_stats(socket, &stats);
    if (stats.truncated < n_truncated || stats.received < n_received) {
        loop_world_fail(NULL, "wrong statistics: %u received, of %u", (unsigned)stats.received, (unsigned)n_received);
    }
}

/* ---- the server ---- */

static void on_request(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct server *server = arg;
    unsigned id;

    if (!datagram || !datagram->data) {
        explore_must(server->scope, datagram || result == -ECANCELED);
        return;
    }
    (void)check_datagram(result, datagram, server->max_bytes, &id);
    server->n_received++;
    server->n_truncated += datagram->is_truncated;
    check_statistics(server->socket, server->n_received, server->n_truncated);
    if (datagram->sender->u.ipv4.sin_addr.s_addr != htonl(0x0a000002 + id)) {
        loop_world_fail(NULL, "a wrong sender");
    }
    if (datagram->is_truncated) {
        loop_simulation_sometimes("the server received a part");
        char whole[LARGEST];
        const uint8_t *data = datagram->data;
        size_t len = make(whole, data[1], data[2]);
        loop_datagram_put(server->socket, datagram->sender, whole, len);
    } else {
        loop_datagram_put(server->socket, datagram->sender, datagram->data, datagram->len);
    }
}

static void open_again(void *arg, int64_t result);

static void close_for_a_while(void *arg, int64_t result)
{
    struct server *server = arg;

    if (result < 0) {
        return;
    }
    loop_datagram_close(server->socket);
    explore_must(server->scope, loop_sleep(server->scope, LOOP_SECOND, open_again, server));
}

static void open_again(void *arg, int64_t result)
{
    struct server *server = arg;
    struct loop_address address;

    if (result < 0) {
        return;
    }
    loop_address_parse(&address, "udp:0.0.0.0:7000");
    server->n_received = server->n_truncated = 0;
    int status = loop_datagram_open(
        server->scope, &(struct loop_datagram_options){.bind_to = &address, .max_bytes = server->max_bytes},
        &server->socket);
    if (status != 0) {
        loop_scope_fail(server->scope, status);
        return;
    }
    explore_must(server->scope, loop_datagram_stream(server->socket, on_request, server));
    if (server->closes) {
        server->closes = false;
        explore_must(server->scope, loop_sleep(server->scope, 50 * LOOP_MILLISECOND, close_for_a_while, server));
    }
}

static int run_server(struct loop_env *env, void *arg)
{
    struct server *server = arg;

    server->scope = env->scope;
    open_again(server, 0);
    return 0;
}

/* ---- the clients ---- */

static void on_answer(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct client *client = arg;
    unsigned id;

    if (!datagram || !datagram->data) {
        loop_simulation_sometimes(datagram ? "the network reported an error" : "a stream ended");
        explore_must(client->scope, datagram || client->is_done || result == -ECANCELED);
        return;
    }
    unsigned number = check_datagram(result, datagram, client->max_bytes, &id);
    if (id != client->id) {
        loop_world_fail(NULL, "a datagram for another client: %u", id);
    }
    client->n_received++;
    client->n_truncated += datagram->is_truncated;
    check_statistics(client->socket, client->n_received, client->n_truncated);
    if (datagram->is_truncated) {
        loop_simulation_sometimes("a client received a part");
    }
    if (client->answered[number]) {
        loop_simulation_sometimes("an answer came twice");
        return;
    }
    if (number < client->n_answered) {
        loop_simulation_sometimes("answers came in another order");
    }
    client->answered[number] = true;
    if (++client->n_answered == N_NUMBERS) {
        client->is_done = true;
        loop_datagram_close(client->socket);
    }
}

struct sending {
    struct client *client;
    unsigned number;
};

static void on_sent(void *arg, int64_t result)
{
    struct sending *sending = arg;

    sending->client->is_sending[sending->number] = false;
    if (result >= 0 && result != (int64_t)size_of(sending->client->id, sending->number)) {
        loop_world_fail(NULL, "a wrong length was sent: %d", (int)result);
    }
}

static void send_one(struct client *client, unsigned number)
{
    const struct loop_address *to = client->is_connected ? NULL : &client->server;
    struct sending *sending;

    if (client->is_sending[number]) {
        return;
    }
    size_t len = make(client->out[number], client->id, number);
    if (client->sends_by_put) {
        loop_datagram_put(client->socket, to, client->out[number], len);
    } else if ((sending = loop_scope_alloc(client->scope, sizeof *sending))) {
        *sending = (struct sending){.client = client, .number = number};
        client->is_sending[number] = loop_datagram_send(client->socket, to, client->out[number], len, on_sent, sending);
    }
}

/* Sends what is not answered, again and again. */
static void send_all(void *arg, int64_t result)
{
    struct client *client = arg;

    if (result < 0 || client->is_done) {
        return;
    }
    for (unsigned number = 0; number < N_NUMBERS; number++) {
        if (!client->answered[number]) {
            send_one(client, number);
        }
    }
    explore_must(client->scope, loop_sleep(client->scope, 200 * LOOP_MILLISECOND, send_all, client));
}

static int run_client(struct loop_env *env, void *arg)
{
    struct client *client = arg;
    struct loop_address any;

    client->scope = env->scope;
    loop_address_parse(&any, "udp:0.0.0.0:0");
    loop_address_parse(&client->server, "udp:10.0.0.1:7000");
    int status =
        loop_datagram_open(env->scope,
                           &(struct loop_datagram_options){.bind_to = client->is_connected ? NULL : &any,
                                                           .connect_to = client->is_connected ? &client->server : NULL,
                                                           .max_bytes = client->max_bytes},
                           &client->socket);
    if (status == 0) {
        explore_must(client->scope, loop_datagram_stream(client->socket, on_answer, client));
        send_all(client, 0);
    }
    return status;
}

/* ---- the world ---- */

static void check(struct loop_world *world, void *arg)
{
    const struct client *client = arg;

    if (!client->is_done && !explore_gave_up(client->node)) {
        loop_world_fail(world, "a client ended without its answers: %u of %d", client->n_answered, N_NUMBERS);
    }
}

static int build(struct loop_world *world, void *arg)
{
    static const size_t limits[] = {0, 1000, HEADER, LARGEST};
    struct server *server = loop_world_alloc(world, sizeof *server);

    (void)arg;
    server->closes = loop_simulation_choose(2);
    server->max_bytes = EXPLORE_ONE_OF(limits);
    struct loop_node *node = explore_node(
        world, (struct loop_node_options){.name = "server", .main = run_server, .arg = server, .is_daemon = true});
    server->max_bytes = server->max_bytes ? server->max_bytes : 65536;
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        struct client *client = loop_world_alloc(world, sizeof *client);
        client->id = i;
        client->max_bytes = EXPLORE_ONE_OF(limits);
        client->max_bytes = client->max_bytes ? client->max_bytes : 65536;
        client->is_connected = loop_simulation_choose(2);
        client->sends_by_put = loop_simulation_choose(2);
        client->node = explore_node(world, (struct loop_node_options){.main = run_client, .arg = client});
        loop_world_at_end(world, check, client);
    }
    loop_world_set_link(world, NULL, NULL,
                        &(struct loop_link){.delay_ns = LOOP_MILLISECOND,
                                            .jitter_ns = loop_simulation_choose(2) * 3 * LOOP_MILLISECOND,
                                            .loss_ppm = loop_simulation_choose(2) * 200000,
                                            .duplicate_ppm = loop_simulation_choose(2) * 200000,
                                            .reorder_ppm = loop_simulation_choose(2) * 200000});
    explore_partition(world, node);
    explore_crash(world, node, 300 * LOOP_MILLISECOND);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"the server received a part",
                                        "a client received a part",
                                        "an answer came twice",
                                        "answers came in another order",
                                        "the network reported an error",
                                        "a node crashed",
                                        NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 30 * LOOP_SECOND,
                                                                  .liveness_ns = 90 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
