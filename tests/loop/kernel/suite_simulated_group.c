/* SPDX-License-Identifier: ISC
 *
 * Multicast groups, trains and measured round trips between simulated nodes, which are on one link.
 */
#include "kernel.h"

#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/network/network.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#define MS INT64_C(1000000)

#define GROUP UINT32_C(0xef010203) /* 239.1.2.3 */

enum { PORT = 80, DELAY_MS = 10, MEMBERS = 3 };

static struct loop_sim_world *world;
static char received[MEMBERS][16]; /* by each member, a byte of each datagram */
static int64_t first_ns[MEMBERS];
static unsigned char hops;

static void set_up(void)
{
    const struct loop_sim_link link = {.delay_ns = DELAY_MS * MS};

    world = loop_sim_world_create();
    loop_sim_link_set(world, NULL, NULL, &link);
}

static void start(const char *name, void *(*main)(void *arg), void *arg)
{
    loop_sim_node_start(loop_sim_node_create(world, name), main, arg);
}

static void tear_down(void)
{
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    loop_sim_world_destroy(world);
}

static void sleep_ms(int64_t ms)
{
    const struct timespec time = {.tv_nsec = ms * MS};

    CHECK_IS(loop_kernel_nanosleep(&time, NULL), 0);
}

static int open_bound(in_port_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int number = loop_kernel_socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    CHECK_IS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address), 0);
    return number;
}

/* Receives for 50 ms. All but the last one are members. */
static void *be_member(void *arg)
{
    char *bytes = arg;
    ptrdiff_t i = (char(*)[16])bytes - received;
    struct group_req request = {.gr_interface = LOOP_SIM_ETHERNET};
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(GROUP)};
    int number = open_bound(PORT);

    memcpy(&request.gr_group, &group, sizeof group);
    if (i < MEMBERS - 1) {
        CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof request), 0);
    }
    for (int ms = 0; ms < 50; ms++) {
        while (loop_kernel_recv(number, bytes, 1, 0) == 1) {
            bytes++;
            first_ns[i] = first_ns[i] ? first_ns[i] : world->now_ns;
        }
        sleep_ms(1);
    }
    loop_kernel_close(number);
    return NULL;
}

static void *send_to_group(void *unused)
{
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(GROUP)};
    int number = open_bound(0), limit = hops;

    (void)unused;
    sleep_ms(5); /* until the members are there */
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_IP, IP_MULTICAST_TTL, &limit, sizeof limit), 0);
    CHECK_IS(loop_kernel_connect(number, (struct sockaddr *)&group, sizeof group), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_IS(loop_kernel_send(number, &"abc"[i], 1, 0), 1);
    }
    loop_kernel_close(number);
    return NULL;
}

TEST_ROWS(datagrams_to_a_group_reach_its_members_on_other_nodes, 2, row)
{
    static const char *const names[MEMBERS] = {"first", "second", "stranger"};

    hops = row == 0;
    set_up();
    for (int i = 0; i < MEMBERS; i++) {
        start(names[i], be_member, received[i]);
    }
    start("sender", send_to_group, NULL);
    tear_down();
    for (int i = 0; i < MEMBERS - 1; i++) {
        CHECK_TEXT(received[i], row == 0 ? "abc" : ""); /* without a hop they stay at home */
        CHECK(row == 1 || first_ns[i] >= (5 + DELAY_MS) * MS);
    }
    CHECK_TEXT(received[MEMBERS - 1], "");
}

/* ---- trains ---- */

static ssize_t lengths[8];
static unsigned n_lengths;

static void *receive_trains(void *unused)
{
    static char bytes[4096];
    int number = open_bound(PORT), yes = 1;
    ssize_t n;

    (void)unused;
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes), 0);
    sleep_ms(50);
    while ((n = loop_kernel_recv(number, bytes, sizeof bytes, 0)) >= 0) {
        CHECK(n_lengths < COUNT_OF(lengths));
        lengths[n_lengths++] = n;
    }
    loop_kernel_close(number);
    return NULL;
}

static void *send_train(void *unused)
{
    static char bytes[2500];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0x0a000001)};
    int number = open_bound(0), segment = 1000;

    (void)unused;
    sleep_ms(5);
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    CHECK_IS(loop_kernel_connect(number, (struct sockaddr *)&to, sizeof to), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_send(number, bytes, sizeof bytes, 0), sizeof bytes);
        sleep_ms(1);
    }
    loop_kernel_close(number);
    return NULL;
}

/* The segments of a train that wait together are one message; two trains are two. */
TEST(trains_are_joined_again_on_another_node)
{
    set_up();
    start("receiver", receive_trains, NULL);
    start("sender", send_train, NULL);
    tear_down();
    CHECK_IS(n_lengths, 2);
    CHECK(lengths[0] == 2500 && lengths[1] == 2500);
}

/* ---- round trips ---- */

static struct tcp_info info;

static void *answer_all(void *unused)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int listener = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    char byte;

    (void)unused;
    CHECK_IS(loop_kernel_bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_listen(listener, 1), 0);
    int number = loop_kernel_accept4(listener, NULL, NULL, 0);
    while (loop_kernel_recv(number, &byte, 1, 0) == 1) {
        CHECK_IS(loop_kernel_send(number, &byte, 1, 0), 1);
    }
    loop_kernel_close(number);
    loop_kernel_close(listener);
    return NULL;
}

static void *ask_once(void *unused)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0x0a000001)};
    int number = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof info;
    char byte = 'x';

    (void)unused;
    CHECK_IS(loop_kernel_connect(number, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_IS(loop_kernel_send(number, &byte, 1, 0), 1);
    CHECK_IS(loop_kernel_recv(number, &byte, 1, 0), 1);
    CHECK_IS(loop_kernel_getsockopt(number, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    loop_kernel_close(number);
    return NULL;
}

TEST(a_round_trip_takes_the_time_of_the_link_twice)
{
    set_up();
    start("server", answer_all, NULL);
    start("client", ask_once, NULL);
    tear_down();
    CHECK_IS(info.tcpi_state, TCP_ESTABLISHED);
    CHECK(info.tcpi_rtt >= 2 * DELAY_MS * 1000 && info.tcpi_rtt < 3 * DELAY_MS * 1000);
    CHECK(info.tcpi_rttvar > 0 && info.tcpi_rttvar <= info.tcpi_rtt);
    CHECK_IS(info.tcpi_pmtu, 1500);
    CHECK_IS(info.tcpi_total_retrans, 0);
}
