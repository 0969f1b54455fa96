/* SPDX-License-Identifier: ISC
 *
 * What suites of the simulated network share: a world of two nodes, and what these do.
 */
#ifndef TESTS_LOOP_KERNEL_SCENES_H
#define TESTS_LOOP_KERNEL_SCENES_H

#include "kernel.h"

#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/machine/trace.h>
#include <loop/kernel/simulated/network/network.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)

enum { PORT = 80, DELAY_MS = 10 };

typedef void *main_fn(void *arg);

/* A world with a server, 10.0.0.1, and a client, 10.0.0.2. What they find is kept here, and checked outside of them. */
struct scene {
    struct loop_sim_world *world;
    struct loop_sim_node *server, *client;
    struct loop_sim_event event;
    main_fn *again; /* the server's, after a crash */
    unsigned rule;
    ssize_t result;
    int error;
    int64_t time_ns;
    size_t total;
    size_t parts;
};

static inline int64_t now_ms(const struct scene *scene)
{
    return scene->world->now_ns / MS;
}

static inline void set_up(struct scene *scene, main_fn *server, main_fn *client)
{
    const struct loop_sim_link link = {.delay_ns = DELAY_MS * MS};
    *scene = (struct scene){.world = loop_sim_world_create(), .again = server};
    scene->server = loop_sim_node_create(scene->world, "server");
    scene->client = loop_sim_node_create(scene->world, "client");
    loop_sim_link_set(scene->world, NULL, NULL, &link);
    if (server) {
        loop_sim_node_start(scene->server, server, scene);
    }
    loop_sim_node_start(scene->client, client, scene);
}

static inline void run_world(struct scene *scene)
{
    CHECK_IS(loop_sim_world_run(scene->world), LOOP_SIM_STOP_ENDED);
}

/* Runs a world whose server does not end. */
static inline void run_until_stuck(struct scene *scene)
{
    CHECK_IS(loop_sim_world_run(scene->world), LOOP_SIM_STOP_STUCK);
}

static inline void tear_down(struct scene *scene)
{
    loop_sim_world_destroy(scene->world);
}

static inline struct sockaddr_in server_address(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0x0a000001)};
}

static inline int listen_at_port(int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int yes = 1;
    int number = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    CHECK_IS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_listen(number, backlog), 0);
    return number;
}

static inline int open_and_connect(struct scene *scene)
{
    struct sockaddr_in address = server_address();
    int number = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    int result = loop_kernel_connect(number, (struct sockaddr *)&address, sizeof address);
    scene->error = result ? errno : 0;
    return number;
}

/* Notes the result of a call and its time. */
static inline void note(struct scene *scene, ssize_t result)
{
    scene->error = result < 0 ? errno : 0;
    scene->result = result;
    scene->time_ns = scene->world->now_ns;
}

/* ---- nodes ---- */

static inline void *connect_only(void *arg)
{
    struct scene *scene = arg;
    int number = open_and_connect(scene);
    note(scene, scene->error ? -1 : 0);
    loop_kernel_close(number);
    return NULL;
}

/* Accepts one connection and reads it to its end. */
static inline void *read_to_end(void *arg)
{
    struct scene *scene = arg;
    static char bytes[1 << 16];
    int listener = listen_at_port(1);
    int number = loop_kernel_accept4(listener, NULL, NULL, 0);
    CHECK_IS(loop_kernel_close(listener), 0);
    ssize_t n;
    while ((n = loop_kernel_recv(number, bytes, sizeof bytes, 0)) > 0) {
        scene->total += (size_t)n;
        scene->parts++;
    }
    note(scene, n);
    loop_kernel_close(number);
    return NULL;
}

/* Accepts one connection, and holds it without a look at it. */
static inline void *accept_and_wait(void *arg)
{
    (void)arg;
    int listener = listen_at_port(1);
    int number = loop_kernel_accept4(listener, NULL, NULL, 0);
    CHECK_IS(loop_sim_wait(NULL, LOOP_SIM_NEVER), 0);
    loop_kernel_close(number);
    return NULL;
}

static inline void *listen_and_wait(void *arg)
{
    (void)arg;
    (void)listen_at_port(1);
    CHECK_IS(loop_sim_wait(NULL, LOOP_SIM_NEVER), 0);
    return NULL;
}

static inline void *send_100000(void *arg)
{
    struct scene *scene = arg;
    static char bytes[100000];
    int number = open_and_connect(scene);
    CHECK_IS(scene->error, 0);
    CHECK_IS(loop_kernel_send(number, bytes, sizeof bytes, 0), sizeof bytes);
    loop_kernel_close(number);
    return NULL;
}

/* Sends a byte after a second, and waits for an answer. */
static inline void *send_later(void *arg)
{
    struct scene *scene = arg;
    char byte;
    int number = open_and_connect(scene);
    CHECK_IS(scene->error, 0);
    (void)loop_sim_wait(NULL, SECOND);
    CHECK_IS(loop_kernel_send(number, "a", 1, 0), 1);
    note(scene, loop_kernel_recv(number, &byte, 1, 0));
    loop_kernel_close(number);
    return NULL;
}

/* Accepts one connection, answers one byte with another, and waits for the end. */
static inline void *answer_once(void *arg)
{
    char byte;
    int listener = listen_at_port(1);
    int number = loop_kernel_accept4(listener, NULL, NULL, 0);
    (void)arg;
    if (loop_kernel_recv(number, &byte, 1, 0) == 1) {
        CHECK_IS(loop_kernel_send(number, &byte, 1, 0), 1);
        (void)loop_kernel_recv(number, &byte, 1, 0);
    }
    loop_kernel_close(number);
    loop_kernel_close(listener);
    return NULL;
}

#endif
