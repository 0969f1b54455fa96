/* SPDX-License-Identifier: ISC
 *
 * The network between simulated nodes: connections, links, datagrams, names and traces.
 */
#include "scenes.h"

/* ---- connecting ---- */

TEST(a_connect_takes_the_way_there_and_back)
{
    struct scene scene;
    set_up(&scene, read_to_end, connect_only);
    scene.time_ns = -1;
    run_world(&scene);
    CHECK_IS(scene.error, 0);
    tear_down(&scene);
    set_up(&scene, NULL, connect_only);
    loop_sim_node_start(scene.server, connect_only, &scene); /* to itself: nobody listens */
    run_world(&scene);
    CHECK_IS(scene.error, ECONNREFUSED);
    CHECK_IS(scene.time_ns, 2 * DELAY_MS * MS);
    tear_down(&scene);
}

TEST(a_host_that_is_down_lets_connects_time_out)
{
    struct scene scene;
    set_up(&scene, NULL, connect_only);
    run_world(&scene);
    CHECK_IS(scene.error, ETIMEDOUT);
    CHECK_IS(scene.time_ns / SECOND, 127);
    tear_down(&scene);
}

static void *connect_to_nobody(void *arg)
{
    struct scene *scene = arg;
    struct sockaddr_in address = server_address();
    int number = loop_kernel_socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(0x0b000001);
    CHECK_FAILS(loop_kernel_connect(number, (struct sockaddr *)&address, sizeof address), ENETUNREACH);
    CHECK_IS(scene->world->now_ns, 0);
    address.sin_addr.s_addr = htonl(0x0a000063);
    note(scene, loop_kernel_connect(number, (struct sockaddr *)&address, sizeof address));
    loop_kernel_close(number);
    return NULL;
}

TEST(addresses_that_nobody_has_are_unreachable)
{
    struct scene scene;
    set_up(&scene, NULL, connect_to_nobody);
    run_world(&scene);
    CHECK_IS(scene.error, EHOSTUNREACH);
    CHECK_IS(scene.time_ns, 3 * SECOND);
    tear_down(&scene);
}

static void *overflow_backlog(void *arg)
{
    struct scene *scene = arg;
    int first = open_and_connect(scene);
    CHECK_IS(scene->error, 0);
    int second = open_and_connect(scene);
    CHECK_IS(scene->error, 0);
    int third = open_and_connect(scene);
    note(scene, scene->error ? -1 : 0);
    loop_kernel_close(first);
    loop_kernel_close(second);
    loop_kernel_close(third);
    return NULL;
}

static void *accept_late(void *arg)
{
    int listener = listen_at_port(1);
    (void)arg;
    (void)loop_sim_wait(NULL, 5 * SECOND);
    for (int i = 0; i < 3; i++) {
        loop_kernel_close(loop_kernel_accept4(listener, NULL, NULL, 0));
    }
    loop_kernel_close(listener);
    return NULL;
}

TEST(a_full_backlog_makes_connects_try_again)
{
    struct scene scene;
    set_up(&scene, accept_late, overflow_backlog);
    run_world(&scene);
    CHECK_IS(scene.error, 0);
    CHECK_IS(scene.time_ns / SECOND, 7); /* of the SYNs at 0, 1, 3 and 7 seconds */
    tear_down(&scene);
}

/* ---- bytes ---- */

TEST(bytes_and_the_end_arrive_later)
{
    struct scene scene;
    set_up(&scene, read_to_end, send_100000);
    run_world(&scene);
    CHECK_IS(scene.total, 100000);
    CHECK_IS(scene.result, 0);
    CHECK(scene.parts > 1);
    CHECK(scene.time_ns >= 3 * DELAY_MS * MS && scene.time_ns <= 9 * DELAY_MS * MS);
    tear_down(&scene);
}

TEST(a_rate_slows_streams_down)
{
    struct scene scene;
    const struct loop_sim_link link = {.bytes_per_s = 10000};
    set_up(&scene, read_to_end, send_100000);
    loop_sim_link_set(scene.world, scene.client, scene.server, &link);
    run_world(&scene);
    CHECK_IS(scene.total, 100000);
    CHECK_IS(scene.time_ns / SECOND, 10);
    tear_down(&scene);
}

static void *fill_socket(void *arg)
{
    struct scene *scene = arg;
    static char bytes[10000];
    int number = open_and_connect(scene);
    CHECK_IS(scene->error, 0);
    ssize_t n;
    for (int i = 0; i < 10; i++) {
        while ((n = loop_kernel_send(number, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
            scene->total += (size_t)n;
        }
        CHECK_IS(errno, EAGAIN);
        (void)loop_sim_wait(NULL, scene->world->now_ns + SECOND);
    }
    struct pollfd entry = {.fd = number, .events = POLLOUT};
    CHECK_IS(loop_kernel_poll(&entry, 1, 0), 0);
    note(scene, 0);
    return NULL;
}

TEST(a_reader_that_does_not_read_stops_the_sender)
{
    struct scene scene;
    set_up(&scene, accept_and_wait, fill_socket);
    run_until_stuck(&scene);
    CHECK(scene.total > 100000 && scene.total < 1000000);
    tear_down(&scene);
}

/* ---- datagrams ---- */

static void *send_10(void *arg)
{
    struct scene *scene = arg;
    struct sockaddr_in address = server_address();
    char bytes[100] = "";
    int number = loop_kernel_socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_IS(loop_kernel_connect(number, (struct sockaddr *)&address, sizeof address), 0);
    for (int i = 0; i < 10; i++) {
        bytes[0] = (char)i;
        scene->parts += loop_kernel_send(number, bytes, sizeof bytes, 0) == sizeof bytes;
    }
    loop_kernel_close(number);
    return NULL;
}

/* Receives datagrams for a second. */
static void *receive_datagrams(void *arg)
{
    struct scene *scene = arg;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    const struct timeval second = {.tv_sec = 1};
    char bytes[100];
    int number = loop_kernel_socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_IS(loop_kernel_bind(number, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second), 0);
    int last = -1;
    while (loop_kernel_recv(number, bytes, sizeof bytes, 0) == sizeof bytes) {
        scene->total++;
        scene->result += bytes[0] < last; /* out of order */
        last = bytes[0];
    }
    CHECK_IS(errno, EAGAIN);
    loop_kernel_close(number);
    return NULL;
}

/* Returns how many of 10 datagrams arrive over a link. */
static size_t count_over(struct loop_sim_link link)
{
    struct scene scene;
    set_up(&scene, receive_datagrams, send_10);
    loop_sim_link_set(scene.world, scene.client, NULL, &link);
    run_world(&scene);
    CHECK_IS(scene.parts, 10);
    CHECK_IS(scene.result, 0);
    tear_down(&scene);
    return scene.total;
}

TEST(datagrams_are_lost_and_doubled_as_the_link_has_it)
{
    CHECK_IS(count_over((struct loop_sim_link){.delay_ns = MS}), 10);
    CHECK_IS(count_over((struct loop_sim_link){.loss_ppm = 1000000}), 0);
    CHECK_IS(count_over((struct loop_sim_link){.duplicate_ppm = 1000000}), 20);
    CHECK_IS(count_over((struct loop_sim_link){.bytes_per_s = 1000, .queue_bytes = 500}), 3);
}

static void *send_to_closed(void *arg)
{
    struct scene *scene = arg;
    struct sockaddr_in address = server_address();
    int number = loop_kernel_socket(AF_INET, SOCK_DGRAM, 0);
    char byte;
    CHECK_IS(loop_kernel_connect(number, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_IS(loop_kernel_send(number, "a", 1, 0), 1);
    note(scene, loop_kernel_recv(number, &byte, 1, 0));
    loop_kernel_close(number);
    return NULL;
}

TEST(a_closed_port_is_reported_to_connected_sockets)
{
    struct scene scene;
    set_up(&scene, listen_and_wait, send_to_closed);
    run_until_stuck(&scene);
    CHECK_IS(scene.error, ECONNREFUSED);
    CHECK_IS(scene.time_ns, 2 * DELAY_MS * MS);
    tear_down(&scene);
}

/* ---- names and traces ---- */

TEST(names_have_addresses)
{
    struct loop_sim_world *world = loop_sim_world_create();
    struct in6_addr addresses[2];
    CHECK_IS(loop_sim_name_add(world, "example", "10.0.0.7"), 0);
    CHECK_IS(loop_sim_name_add(world, "example", "fd00::7"), 0);
    CHECK_IS(loop_sim_name_add(world, "example", "fd00::8"), 0);
    CHECK_IS(loop_sim_name_add(world, "example", "10.0.0.256"), -EINVAL);
    CHECK_IS(loop_sim_name_find(world, "example", addresses, 2), 3);
    CHECK_IS(addresses[1].s6_addr[15], 7);
    CHECK_IS(loop_sim_name_find(world, "other", addresses, 2), 0);
    loop_sim_world_destroy(world);
}

TEST(nodes_have_addresses_of_their_own)
{
    struct loop_sim_world *world = loop_sim_world_create();
    struct loop_sim_node *one = loop_sim_node_create(world, "one");
    struct loop_sim_node *other = loop_sim_node_create(world, "other");
    CHECK_IS(loop_sim_host_add_address(one, "192.168.0.1"), 0);
    CHECK_IS(loop_sim_host_add_address(other, "192.168.0.1"), -EADDRINUSE);
    CHECK_IS(loop_sim_host_add_address(other, "127.0.0.1"), -EADDRINUSE);
    CHECK_IS(loop_sim_host_add_address(other, "192.168.0.2"), 0);
    CHECK_IS(loop_sim_host_add_address(other, "10.0.0.1"), 0);
    CHECK_IS(loop_sim_host_add_address(other, "nonsense"), -EINVAL);
    loop_sim_world_destroy(world);
}

static unsigned sum_of(const unsigned char *data, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 ? data[i] : (unsigned)data[i] << 8;
    }
    return sum;
}

static bool is_zero_sum(unsigned sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum == 0xffff;
}

TEST(traced_packets_have_right_checksums)
{
    struct scene scene;
    set_up(&scene, answer_once, send_later);
    loop_sim_trace_begin(scene.world);
    run_world(&scene);
    size_t count;
    size_t packets = 0;
    const struct loop_sim_record *records = loop_sim_trace_records(scene.world, &count);
    for (size_t i = 0; i < count; i++) {
        const unsigned char *packet = records[i].packet;
        if (packet) {
            size_t len = records[i].packet_size - 20;
            packets++;
            CHECK_IS(packet[0], 0x45);
            CHECK_IS((size_t)packet[2] << 8 | packet[3], records[i].packet_size);
            CHECK(is_zero_sum(sum_of(packet, 20)));
            CHECK(is_zero_sum(sum_of(packet + 12, 8) + IPPROTO_TCP + (unsigned)len + sum_of(packet + 20, len)));
        }
    }
    CHECK(packets >= 8); /* the handshake, a byte each way, and an end */
    tear_down(&scene);
}
