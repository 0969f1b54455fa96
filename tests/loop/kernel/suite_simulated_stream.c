/* SPDX-License-Identifier: ISC
 *
 * TCP between simulated nodes keeps its promise whatever is chosen: all bytes, in order, and the end after them.
 */
#include "kernel.h"

#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/network/network.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#define MS INT64_C(1000000)

enum { PORT = 80, SEEDS = 60, MOST_BYTES = 200000, CUTS = 20 };

struct run {
    uint64_t random;
    struct loop_sim_world *world;
    struct loop_sim_event event;
    unsigned rule, cuts;
    bool has_rules;
    size_t len, answered;
};

/* Returns the next number of the generator splitmix64, below n. */
static unsigned draw(struct run *run, unsigned n)
{
    uint64_t z = run->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ (z >> 31)) % n);
}

/* Chooses what does not end connections. */
static unsigned choose(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)ppm;
    switch (point) {
    case LOOP_SIM_ORDER_FIBERS:
    case LOOP_SIM_ORDER_EVENTS:
    case LOOP_SIM_ORDER_READY:
    case LOOP_SIM_SHORT_READ:
    case LOOP_SIM_SHORT_WRITE:
    case LOOP_SIM_FALSE_READY:
    case LOOP_SIM_LATENCY:
    case LOOP_SIM_LOSS: return draw(arg, 4) == 0 ? draw(arg, n) : 0;
    default: return 0;
    }
}

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

static size_t draw_length(struct run *run, size_t most)
{
    size_t n = draw(run, 2) ? draw(run, 100) + 1 : draw(run, 20000) + 1;
    return n < most ? n : most;
}

static void shrink_buffers(struct run *run, int number)
{
    int size = (int)draw(run, 20000);
    if (draw(run, 2)) {
        CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    }
    if (draw(run, 2)) {
        CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    }
}

/* Sends back what it receives, and its end. */
static void *echo(void *arg)
{
    static char bytes[20000];
    struct run *run = arg;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int listener = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_IS(loop_kernel_bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    shrink_buffers(run, listener);
    CHECK_IS(loop_kernel_listen(listener, 1), 0);
    int number = loop_kernel_accept4(listener, NULL, NULL, 0);
    ssize_t n;
    while ((n = loop_kernel_recv(number, bytes, draw_length(run, sizeof bytes), 0)) > 0) {
        CHECK_IS(loop_kernel_send(number, bytes, (size_t)n, 0), n);
    }
    CHECK_IS(n, 0);
    close_both((int[]){number, listener});
    return NULL;
}

/* Receives an answer without waiting, or until the end. */
static void receive(struct run *run, int number, bool to_the_end)
{
    unsigned char bytes[4096];
    ssize_t n;
    while ((n = loop_kernel_recv(number, bytes, draw_length(run, sizeof bytes), to_the_end ? 0 : MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            CHECK_IS(bytes[i], byte_at(run->answered + (size_t)i));
        }
        run->answered += (size_t)n;
    }
    CHECK(to_the_end ? n == 0 : n == 0 || errno == EAGAIN);
}

static void *ask(void *arg)
{
    static unsigned char bytes[MOST_BYTES];
    struct run *run = arg;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0x0a000001)};
    int number = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    shrink_buffers(run, number);
    CHECK_IS(loop_kernel_connect(number, (struct sockaddr *)&address, sizeof address), 0);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = byte_at(i);
    }
    for (size_t sent = 0; sent < run->len;) {
        ssize_t n = loop_kernel_send(number, bytes + sent, draw_length(run, run->len - sent), MSG_DONTWAIT);
        if (n < 0) {
            CHECK_IS(errno, EAGAIN);
            struct pollfd entry = {.fd = number, .events = POLLIN | POLLOUT};
            CHECK_IS(loop_kernel_poll(&entry, 1, -1), 1);
        }
        sent += n > 0 ? (size_t)n : 0;
        receive(run, number, false);
    }
    CHECK_IS(loop_kernel_shutdown(number, SHUT_WR), 0);
    receive(run, number, true);
    CHECK_IS(loop_kernel_close(number), 0);
    return NULL;
}

/* Cuts the nodes off, one way or both, or heals that. */
static void cut_or_heal(struct loop_sim_event *event)
{
    struct run *run = LOOP_CONTAINER(event, struct run, event);
    struct loop_sim_node *first = LOOP_CONTAINER(run->world->nodes.next, struct loop_sim_node, link);
    const struct loop_sim_rule rule = {
        .from = draw(run, 2) ? first : NULL, .to = draw(run, 2) ? first : NULL, .action = LOOP_SIM_RULE_DROP};
    loop_sim_rule_remove(run->world, run->rule);
    run->rule = run->cuts % 2 == 0 ? loop_sim_rule_add(run->world, &rule) : 0;
    if (++run->cuts < CUTS) {
        loop_sim_event_set(event, run->world->now_ns + (draw(run, 3000) + 1) * MS, cut_or_heal);
    }
}

static void run_one(uint64_t seed, bool has_rules)
{
    struct run run = {.random = seed, .world = loop_sim_world_create()};
    struct loop_sim_node *server = loop_sim_node_create(run.world, "server");
    struct loop_sim_node *client = loop_sim_node_create(run.world, "client");
    run.len = draw(&run, 2) ? draw(&run, 1000) : draw(&run, MOST_BYTES);
    loop_sim_choices_set(run.world, choose, &run);
    loop_sim_node_start(server, echo, &run);
    loop_sim_node_start(client, ask, &run);
    if (has_rules) {
        loop_sim_event_set(&run.event, MS, cut_or_heal);
    }
    CHECK_IS(loop_sim_world_run(run.world), LOOP_SIM_STOP_ENDED);
    CHECK_IS(run.answered, run.len);
    loop_sim_world_destroy(run.world);
}

TEST(streams_deliver_everything_whatever_is_chosen)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_one(seed, false);
    }
}

TEST(streams_deliver_everything_between_partitions)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_one(seed, true);
    }
}

/* ---- with failures ---- */

enum { ATTEMPTS = 10, CRASHES = 5 };

/* Chooses anything, failures rarely. */
static unsigned choose_failures(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    switch (point) {
    case LOOP_SIM_RESET:
    case LOOP_SIM_CONNECT:
    case LOOP_SIM_ABORTED:
    case LOOP_SIM_NO_BUFFERS: return draw(arg, 20) == 0 ? draw(arg, n) : 0;
    default: return choose(arg, point, n, ppm);
    }
}

/* Echoes one connection after another, for ever. */
static void *echo_all(void *arg)
{
    static char buffer[20000];
    struct run *run = arg;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int yes = 1;
    int listener = -1;
    while (listener < 0) {
        listener = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    }
    CHECK_IS(loop_kernel_setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    CHECK_IS(loop_kernel_bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_listen(listener, 1), 0);
    for (;;) {
        int number = loop_kernel_accept4(listener, NULL, NULL, 0);
        ssize_t n = number < 0 ? -1 : 1;
        while (n > 0) {
            n = loop_kernel_recv(number, buffer, draw_length(run, sizeof buffer), 0);
            ssize_t sent = n > 0 ? loop_kernel_send(number, buffer, (size_t)n, MSG_NOSIGNAL) : 0;
            n = sent == n ? n : -1; /* an error in the middle makes a send short */
        }
        if (number >= 0) {
            CHECK_IS(loop_kernel_close(number), 0);
        }
    }
    return NULL;
}

/* Sends `len` bytes, and checks what comes back: nothing else than what was sent. Returns whether all of it did. */
static bool attempt(struct run *run, int number)
{
    unsigned char sent[4096], received[4096];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0x0a000001)};
    const struct timeval time = {.tv_sec = 100};
    size_t len = draw(run, sizeof sent) + 1;
    for (size_t i = 0; i < len; i++) {
        sent[i] = (unsigned char)draw(run, 256);
    }
    CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
    if (loop_kernel_connect(number, (struct sockaddr *)&address, sizeof address)) {
        return false;
    }
    ssize_t n = loop_kernel_send(number, sent, len, MSG_NOSIGNAL);
    size_t at = 0;
    len = n > 0 ? (size_t)n : len;
    while (n > 0 && at < len && (n = loop_kernel_recv(number, received, sizeof received, 0)) > 0) {
        CHECK((size_t)n <= len - at);
        CHECK_IS(memcmp(received, sent + at, (size_t)n), 0);
        at += (size_t)n;
    }
    return at == len;
}

static void *ask_often(void *arg)
{
    struct run *run = arg;
    for (int i = 0; i < ATTEMPTS; i++) {
        int number = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
        if (number >= 0) {
            run->answered += attempt(run, number);
            CHECK_IS(loop_kernel_close(number), 0);
        }
    }
    return NULL;
}

static void crash_or_restart(struct loop_sim_event *event)
{
    struct run *run = LOOP_CONTAINER(event, struct run, event);
    struct loop_sim_node *server = LOOP_CONTAINER(run->world->nodes.next, struct loop_sim_node, link);
    if (run->cuts++ % 2 == 0) {
        loop_sim_node_crash(server);
    } else {
        loop_sim_node_start(server, echo_all, run);
    }
    if (run->cuts < 2 * CRASHES) {
        loop_sim_event_set(event, run->world->now_ns + (draw(run, 3000) + 1) * MS, crash_or_restart);
    }
}

TEST(connections_end_whatever_fails)
{
    size_t answered = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct run run = {.random = seed, .world = loop_sim_world_create()};
        struct loop_sim_node *server = loop_sim_node_create(run.world, "server");
        struct loop_sim_node *client = loop_sim_node_create(run.world, "client");
        loop_sim_choices_set(run.world, choose_failures, &run);
        loop_sim_node_start(server, echo_all, &run);
        loop_sim_node_start(client, ask_often, &run);
        loop_sim_event_set(&run.event, MS, crash_or_restart);
        CHECK_IS(loop_sim_world_run(run.world), LOOP_SIM_STOP_STUCK); /* the server serves for ever */
        CHECK_IS(client->state, LOOP_SIM_NODE_ENDED);
        answered += run.answered;
        loop_sim_world_destroy(run.world);
    }
    CHECK(answered > SEEDS);
}
