/* SPDX-License-Identifier: ISC
 *
 * load TARGET... --server-pid PID [--connections N] [--size BYTES] [--pipeline N] [--seconds S] [--warmup S] [--churn]
 *             [--spin MICROSECONDS] [--batch N] [--engine io_uring|epoll] [--beside PID]
 * load TARGET --hold N [--touch]
 *
 * The load client of the benchmark. Loads an echo server at TARGET (tcp:127.0.0.1:7000, unix:/path, udp:127.0.0.1:7000)
 * and checks every byte of the answers. Of several targets its connections take one after the other. Prints one line of
 * JSON about the measured window: the number of messages (with --churn: of connections), the server's CPU time for
 * each, their latency, and the share of the time that server and client each spent on a processor. "full" names the one
 * that had no time left. If only the client was full, the figures say more about the client than about the server.
 * --beside names a process that shares the client's processor, and counts as a part of the client. Exits with status 1
 * on any error.
 *
 * It uses one thread. On io_uring (load_uring.c) one system call sends all messages of a turn, so that the client is
 * not full before the server where system calls are dear. Without io_uring it uses epoll (load_epoll.c). With --spin it
 * polls for that long before it sleeps. With --batch it sleeps until that many answers have come, so that it needs less
 * for each; the connections have to have more messages than that in flight, or the server runs dry.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_COMPLAINTS 5
#define DRAIN_TIME (5 * BENCH_SECOND) /* the time limit for messages in flight at the end */
#define TICK (50 * BENCH_MILLISECOND)
#define SOURCES 199 /* the number of local addresses that connections use in turn */
#define FULL 0.95   /* the share of the time from which on a side counts as full */

/* ---- connections ---- */

static bool is_loopback_tcp(const struct bench_address *address)
{
    return address->type == SOCK_STREAM && address->u.any.sa_family == AF_INET &&
           ntohl(address->u.ipv4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* A closed TCP connection keeps its port for a minute, and an address has some 28,000 ports. Connecting from
 * 127.0.0.1, .2, .3, ... yields enough for any load. */
int load_connect(struct load *load)
{
    static unsigned n_connected;
    const struct bench_address *target = &load->targets[n_connected % load->n_targets];
    struct bench_address source = {.length = 0};

    if (is_loopback_tcp(target)) {
        source = *target;
        source.u.ipv4.sin_port = 0;
        source.u.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + ((unsigned)getpid() + n_connected) % SOURCES);
    }
    n_connected++;
    return bench_connect_from(target, source.length > 0 ? &source : NULL);
}

static void complain(struct load *load, const struct connection *connection, const char *trouble)
{
    if (++load->errors <= MOST_COMPLAINTS) {
        fprintf(stderr, "load: connection %u: %s\n", connection->index, trouble ? trouble : strerror(errno));
    }
}

bool load_open(struct load *load, struct connection *connection)
{
    int fd = load_connect(load);

    if (fd < 0) {
        complain(load, connection, NULL);
        return false;
    }
    connection->fd = fd;
    connection->to_receive = connection->to_send;
    load->n_open++;
    load->engine->watch(load, connection);
    return true;
}

void load_close(struct load *load, struct connection *connection)
{
    load->engine->close(load, connection);
    connection->fd = -1;
    load->n_open--;
}

void load_sent(struct load *load, struct connection *connection, size_t n_bytes)
{
    if (load_is_datagram(load)) {
        connection->unsent = 0; /* its place stays: it is needed to compare the answer */
        return;
    }
    connection->to_send = load_place_after(connection->to_send, n_bytes);
    connection->unsent -= n_bytes;
}

void load_fail(struct load *load, struct connection *connection, const char *trouble)
{
    complain(load, connection, trouble);
    load_close(load, connection);
}

static unsigned char *make_pattern(size_t n_bytes)
{
    unsigned char *pattern = bench_alloc(n_bytes, 1);
    uint64_t random = UINT64_C(0x9E3779B97F4A7C15);

    for (size_t i = 0; i < n_bytes; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        pattern[i] = i < LOAD_PATTERN_PERIOD ? (unsigned char)(random >> 32) : pattern[i - LOAD_PATTERN_PERIOD];
    }
    return pattern;
}

static void make_connections(struct load *load)
{
    int64_t *times = bench_alloc((size_t)load->n_connections * load->pipeline, sizeof *times);

    load->connections = bench_alloc(load->n_connections, sizeof *load->connections);
    for (unsigned i = 0; i < load->n_connections; i++) {
        load->connections[i] = (struct connection){.fd = -1,
                                                   .index = i,
                                                   .to_send = i * 1021 % LOAD_PATTERN_PERIOD,
                                                   .sent_at = times + (size_t)i * load->pipeline};
    }
    for (unsigned i = 0; i < load->n_connections; i++) {
        load->kind->begin(load, &load->connections[i]);
    }
}

/* ---- time ---- */

static void tick_all(struct load *load)
{
    static int64_t next;

    if (!load->kind->tick || load->now < next) {
        return;
    }
    next = load->now + TICK;
    for (unsigned i = 0; i < load->n_connections; i++) {
        if (load->connections[i].fd >= 0) {
            load->kind->tick(load, &load->connections[i]);
        }
    }
}

/* Runs until that time, or until no connection is left. */
static void run(struct load *load, int64_t until)
{
    for (load->now = bench_now(); load->now < until && load->n_open > 0; load->now = bench_now()) {
        int64_t next = load->now + TICK;

        load->engine->turn(load, load->kind->tick && next < until ? next : until);
        tick_all(load);
    }
}

static void drain(struct load *load)
{
    load->measuring = false;
    load->stopping = true;
    for (unsigned i = 0; i < load->n_connections; i++) {
        if (load->connections[i].fd >= 0) {
            load->kind->finish(load, &load->connections[i]);
        }
    }
    run(load, bench_now() + DRAIN_TIME);
    for (unsigned i = 0; i < load->n_connections; i++) {
        if (load->connections[i].fd >= 0) {
            load_fail(load, &load->connections[i], "has not come to its end");
        }
    }
}

/* ---- the window ---- */

struct clocks {
    int64_t time, own, server;
};

/* The CPU time of a process, or 0 without one. */
static int64_t process_clock(int pid)
{
    clockid_t clock;

    if (pid == 0) {
        return 0;
    }
    errno = clock_getcpuclockid(pid, &clock);
    if (errno != 0) {
        bench_fail("a process's clock");
    }
    return bench_clock(clock);
}

static struct clocks read_clocks(const struct load *load)
{
    return (struct clocks){.time = bench_now(),
                           .own = bench_clock(CLOCK_PROCESS_CPUTIME_ID) + process_clock(load->beside_pid),
                           .server = process_clock(load->server_pid)};
}

static const char *full(double server, double client)
{
    if (server >= FULL) {
        return client >= FULL ? "both" : "server";
    }
    return client >= FULL ? "client" : "neither";
}

static void print(const struct load *load, const struct clocks *from, const struct clocks *to)
{
    double seconds = (double)(to->time - from->time) / 1e9;
    double server = (double)(to->server - from->server), own = (double)(to->own - from->own);
    double operations = (double)load->operations;

    printf("{\"client\":\"%s\",\"full\":\"%s\"", load->engine->name, full(server / seconds / 1e9, own / seconds / 1e9));
    printf(",\"operations\":%.0f,\"seconds\":%.6f,\"rate\":%.1f", operations, seconds, operations / seconds);
    if (load->server_pid > 0) {
        printf(",\"server_cpu_ns_per_op\":%.1f", operations > 0 ? server / operations : 0);
        printf(",\"server_cpu\":%.3f", server / seconds / 1e9);
    }
    printf(",\"client_cpu\":%.3f", own / seconds / 1e9);
    printf(",\"p50_us\":%.2f", histogram_quantile_us(&load->times, 0.5));
    printf(",\"p99_us\":%.2f", histogram_quantile_us(&load->times, 0.99));
    printf(",\"p999_us\":%.2f", histogram_quantile_us(&load->times, 0.999));
    if (load_is_datagram(load)) {
        printf(",\"lost\":%llu", (unsigned long long)load->lost);
    }
    printf(",\"errors\":%llu}\n", (unsigned long long)load->errors);
    fflush(stdout);
}

/* Opens the engine that was asked for, or io_uring if the kernel has it. */
static void open_engine(struct load *load)
{
    const struct load_engine *asked = load->engine;

    load->engine = asked ? asked : &load_uring_engine;
    if (load->engine->open(load)) {
        return;
    }
    if (asked) {
        bench_refuse("this kernel has no %s that suffices", asked->name);
    }
    load->engine = &load_epoll_engine;
    load->engine->open(load);
}

static int measure(struct load *load)
{
    struct clocks from, to;

    open_engine(load);
    make_connections(load);
    run(load, bench_now() + load->warmup_ns);
    load->measuring = true;
    load->lost = 0;
    from = read_clocks(load);
    run(load, from.time + load->seconds_ns);
    to = read_clocks(load);
    drain(load);
    print(load, &from, &to);
    return load->errors > 0 ? 1 : 0;
}

/* ---- arguments ---- */

static unsigned parse_count(const char *name, const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value < 1 || value > most) {
        bench_refuse("--%s is a number from 1 to %lu, not '%s'", name, most, text);
    }
    return (unsigned)value;
}

static int64_t parse_duration(const char *name, const char *text, double unit_ns)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0 && value * unit_ns <= 3600e9)) {
        bench_refuse("--%s is a time, not '%s'", name, text);
    }
    return (int64_t)(value * unit_ns);
}

static const struct load_engine *parse_engine(const char *text)
{
    const struct load_engine *engines[] = {&load_uring_engine, &load_epoll_engine};

    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        if (strcmp(text, engines[i]->name) == 0) {
            return engines[i];
        }
    }
    bench_refuse("--engine is io_uring or epoll, not '%s'", text);
}

static const struct option options[] = {
    {"server-pid", required_argument, NULL, 'P'},
    {"beside", required_argument, NULL, 'b'},
    {"connections", required_argument, NULL, 'c'},
    {"size", required_argument, NULL, 's'},
    {"pipeline", required_argument, NULL, 'p'},
    {"seconds", required_argument, NULL, 't'},
    {"warmup", required_argument, NULL, 'w'},
    {"spin", required_argument, NULL, 'S'},
    {"batch", required_argument, NULL, 'B'},
    {"engine", required_argument, NULL, 'e'},
    {"hold", required_argument, NULL, 'h'},
    {"churn", no_argument, NULL, 'C'},
    {"touch", no_argument, NULL, 'T'},
    {NULL, 0, NULL, 0},
};

static void take_option(struct load *load, int option, const char *name)
{
    switch (option) {
    case 'P': load->server_pid = (int)parse_count(name, optarg, INT32_MAX); break;
    case 'b': load->beside_pid = (int)parse_count(name, optarg, INT32_MAX); break;
    case 'c': load->n_connections = parse_count(name, optarg, 1000000); break;
    case 's': load->size = parse_count(name, optarg, 64u << 20); break;
    case 'p': load->pipeline = parse_count(name, optarg, 65536); break;
    case 't': load->seconds_ns = parse_duration(name, optarg, 1e9); break;
    case 'w': load->warmup_ns = parse_duration(name, optarg, 1e9); break;
    case 'S': load->spin_ns = parse_duration(name, optarg, 1e3); break;
    case 'B': load->batch = parse_count(name, optarg, 4096); break;
    case 'e': load->engine = parse_engine(optarg); break;
    case 'h': load->hold = parse_count(name, optarg, 1000000); break;
    case 'C': load->churn = true; break;
    case 'T': load->touch = true; break;
    default: exit(2);
    }
}

static void take_targets(struct load *load, char **texts, int n)
{
    load->n_targets = (unsigned)n;
    if (n < 1 || n > LOAD_TARGETS_MAX) {
        bench_refuse("1 to %d targets are wanted: tcp:IPV4:PORT, unix:PATH or udp:IPV4:PORT", LOAD_TARGETS_MAX);
    }
    for (int i = 0; i < n; i++) {
        if (!bench_address_parse(&load->targets[i], texts[i])) {
            bench_refuse("a target is tcp:IPV4:PORT, unix:PATH or udp:IPV4:PORT, not '%s'", texts[i]);
        }
    }
}

static void check(const struct load *load)
{
    for (unsigned i = 1; i < load->n_targets; i++) {
        if (load->targets[i].type != load->targets[0].type) {
            bench_refuse("several targets are all streams, or all for datagrams");
        }
    }
    if ((uint64_t)load->size * load->pipeline > 1u << 30) {
        bench_refuse("--size and --pipeline together are more than 1 GiB");
    }
    if ((load->churn || load_is_datagram(load)) && load->pipeline > 1) {
        bench_refuse("--pipeline is for streams that stay");
    }
    if (load->batch > 1 && (load->batch > load->n_connections || load->engine != &load_uring_engine)) {
        bench_refuse("--batch is for as many connections at least, with --engine io_uring");
    }
    if (load_is_datagram(load) && (load->size > 65507 || load->churn || load->hold > 0)) {
        bench_refuse("datagrams have up to 65507 bytes, and no connections");
    }
}

int main(int argc, char **argv)
{
    static struct load load = {.n_connections = 10,
                               .size = 64,
                               .pipeline = 1,
                               .batch = 1,
                               .seconds_ns = 2 * BENCH_SECOND,
                               .warmup_ns = 400 * BENCH_MILLISECOND};
    int option, place = 0;

    while ((option = getopt_long(argc, argv, "", options, &place)) != -1) {
        take_option(&load, option, options[place].name);
    }
    take_targets(&load, argv + optind, argc - optind);
    check(&load);
    load.kind = load_is_datagram(&load) ? &load_datagram_kind : &load_stream_kind;
    load.pattern = make_pattern(LOAD_PATTERN_PERIOD + (size_t)load.size * load.pipeline);
    bench_raise_descriptor_limit();
    return load.hold > 0 ? load_hold(&load) : measure(&load);
}
