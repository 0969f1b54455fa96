/* SPDX-License-Identifier: ISC
 *
 * Bad input and bad days: sizes that make no sense, limits of the machine reached, peers that reset, stall or trickle,
 * disks that are full, everything closed in the middle, forks, storms of signals, and a standard input of every kind.
 */
#include "sockets.h"

#include <malloc.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { FEW = HAS_SANITIZER ? 200 : 1000 };

/* ---- helpers ---- */

static void forget_line(void *unused, enum loop_log_level level, const char *line)
{
    (void)unused;
    (void)level;
    (void)line;
}

/* ---- sizes ---- */

static unsigned mains;

static int count_main(struct loop_env *env, void *unused)
{
    (void)unused;
    mains++;
    return loop_op_nop(env->scope, must_end_well, NULL) != 0 ? 0 : 1;
}

TEST(sizes_zero_and_absurd_are_taken_or_refused)
{
    const struct {
        unsigned depth, blocks;
        size_t size;
        int answer;
    } runs[] = {{0, 0, 0, 0},
                {1, 0, 0, 0},
                {0, 1, 1, 0},
                {32768, 0, 1, 0},
                {32769, 1, 1, -EINVAL},
                {UINT32_MAX, UINT32_MAX, SIZE_MAX, -EINVAL},
                {1, UINT32_MAX, 0, -EINVAL},
                {1, 0, SIZE_MAX, -EINVAL},
                {1, 1, ((size_t)1 << 30) + 1, -EINVAL},
                {UINT32_MAX, 1, 1, -EINVAL}};

    for (unsigned i = 0; i < COUNT_OF(runs); i++) {
        struct loop_options options = {
            .queue_depth = runs[i].depth, .n_blocks = runs[i].blocks, .block_size = runs[i].size};
        mains = 0;
        CHECK_IS(run_with(&options, count_main, NULL), runs[i].answer);
        CHECK_IS(mains, runs[i].answer == 0);
    }
}

/* ---- locked memory ---- */

static struct traffic {
    char bytes[10000];
    struct loop_flow *flows[2];
} traffic;

static void check_traffic(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, sizeof traffic.bytes);
    CHECK(is_pattern(traffic.bytes, sizeof traffic.bytes, 9));
    mains++;
    loop_flow_close(traffic.flows[0]);
}

/* Something of everything: an echo, a file, a chunk, a timer, and a thread's work. */
static int carry_traffic(struct loop_env *env, void *unused)
{
    static char pattern[sizeof traffic.bytes];

    (void)unused;
    make_flows(env->scope, traffic.flows);
    fill_pattern(pattern, sizeof pattern, 9);
    loop_copy(&traffic.flows[1]->source, &traffic.flows[1]->sink, NULL, NULL);
    loop_write(&traffic.flows[0]->sink, pattern, sizeof pattern, NULL, NULL);
    loop_read_exact(&traffic.flows[0]->source, traffic.bytes, sizeof traffic.bytes, check_traffic, NULL);
    loop_op_fsync(NULL, adopt(env->scope, make_file("x", 1)), 0, must_end_well, NULL);
    loop_sleep(env->scope, 1, must_end_well, NULL);
    CHECK_IS(loop_chunk_free(env->loop, loop_chunk_alloc(env->loop)), 0);
    return 0;
}

static int run_with_locked_memory(void *limit)
{
    struct loop_options options = {.log = forget_line};

    unsetenv("LOOP_BACKEND");
    if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){*(rlim_t *)limit, *(rlim_t *)limit}) != 0) {
        return 1;
    }
    drop_privileges();
    int answer = loop_run_with(&options, carry_traffic, NULL);
    return answer == 0 && mains == 1 ? 0 : 2;
}

TEST(memlock_of_nothing_for_an_ordinary_user)
{
    rlim_t limit = 0;

    CHECK_CHILD(run_with_locked_memory, &limit);
}

TEST(memlock_of_64_kib_for_an_ordinary_user)
{
    rlim_t limit = 65536;

    CHECK_CHILD(run_with_locked_memory, &limit);
}

/* ---- no descriptors ---- */

TEST(no_descriptors_at_the_start_is_emfile_or_nothing_worse)
{
    struct loop_options options = {.log = forget_line};
    int answer = -EMFILE;
    unsigned left;

    for (left = 0; left < 40 && answer != 0; left++) {
        mains = 0;
        rlim_t before = limit_fds((rlim_t)limit_with_free_fds(left));
        answer = loop_run_with(&options, count_main, NULL);
        limit_fds(before);
        CHECK(answer == 0 || answer == -EMFILE);
        CHECK_IS(mains, answer == 0);
    }
    CHECK_IS(answer, 0);
    CHECK(left > 1 && left < 20);
}

LOOP_TEST(no_descriptors_at_connect_and_its_kin)
{
    static struct loop_flow *flow, *flows[2];
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_listener *listener;
    static struct loop_address address;
    static rlim_t limit;
    static struct loop_open_how how;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    address = serving.address;
    address.u.ipv4.sin_port = 0;
    limit = forbid_fds();
    AWAIT(loop_connect(env->scope, &serving.address, NULL, &flow, GO));
    CHECK_IS(result, -EMFILE);
    CHECK(!flow);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), -EMFILE);
    CHECK_IS(loop_socketpair(env->scope, &flows[0], &flows[1]), -EMFILE);
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), -EMFILE);
    how.flags = O_RDONLY;
    AWAIT(loop_op_openat2(env->scope, "/dev/null", &how, GO));
    CHECK_IS(result, -EMFILE);
    limit_fds(limit);
    AWAIT(loop_connect(env->scope, &serving.address, NULL, &flow, GO));
    CHECK_IS(result, 0);
    loop_flow_close(flow);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

LOOP_TEST(no_descriptors_at_accept_only_delays)
{
    enum { N = 20 };
    static struct loop_fd *ballast[2];
    static struct loop_stats before, after;
    static int clients[N];
    static rlim_t limit;
    static char byte;
    static int at;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < 2; i++) {
        ballast[i] = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    for (int i = 0; i < N; i++) {
        clients[i] = connect_to(&serving.address.u.ipv4);
        CHECK_IS(send(clients[i], "x", 1, 0), 1);
    }
    limit = forbid_fds();
    AWAIT(turns(env->scope, 20, GO));
    CHECK_IS(served().connections_now, 0);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 50 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns < 50);
    CHECK(after.descriptor_waits > 0);
    loop_fd_destroy(ballast[0]);
    loop_fd_destroy(ballast[1]);
    /* Room for two at a time, and each that is done makes room for the next. */
    for (at = 0; at < N; at++) {
        AWAIT(loop_poll(loop_fd_borrow(env->scope, clients[at]), POLLIN, GO));
        CHECK_IS(recv(clients[at], &byte, 1, 0), 1);
        CHECK_IS(shutdown(clients[at], SHUT_RDWR), 0);
    }
    limit_fds(limit);
    loop_server_stop(serving.server, LOOP_NEVER);
    AWAIT(turns(env->scope, 20, GO));
    for (int i = 0; i < N; i++) {
        close(clients[i]);
    }
    END;
}

/* ---- peers ---- */

static void tcp_flow(struct loop_scope *scope, struct loop_flow **flow, int *peer)
{
    int fds[2];

    make_tcp_pair(fds);
    *flow = flow_of(scope, fds[0]);
    *peer = fds[1];
}

static struct once received;

static void on_received(void *unused, int64_t result, void *data)
{
    (void)unused;
    CHECK(!data);
    once_resumed(&received, result);
}

LOOP_TEST(peer_that_resets_is_heard_by_whatever_waits)
{
    enum { READ, EXACT, STREAM, COPY, POLL, RECEIVE, MULTISHOT, N };
    static struct loop_flow *flows[N], *sinks[2];
    static struct once ends[N];
    static struct record record;
    static char bytes[N][8];
    static int peers[N];

    BEGIN;
    make_flows(env->scope, sinks);
    for (int i = 0; i < N; i++) {
        tcp_flow(env->scope, &flows[i], &peers[i]);
    }
    START(loop_read(&flows[READ]->source, bytes[READ], 8, ONCE(&ends[READ])));
    START(loop_read_exact(&flows[EXACT]->source, bytes[EXACT], 8, ONCE(&ends[EXACT])));
    START(loop_stream(&flows[STREAM]->source, RECORD(&record)));
    START(loop_copy(&flows[COPY]->source, &sinks[0]->sink, ONCE(&ends[COPY])));
    START(loop_poll(flows[POLL]->fd, POLLIN, ONCE(&ends[POLL])));
    START(loop_op_recv(NULL, flows[RECEIVE]->fd, bytes[RECEIVE], 8, 0, ONCE(&ends[RECEIVE])));
    START(
        loop_op_recv_multishot(NULL, flows[MULTISHOT]->fd, loop_buffers_create(env->scope, 4, 64), on_received, NULL));
    AWAIT(turns(env->scope, 3, GO));
    for (int i = 0; i < N; i++) {
        close_with_reset(peers[i]);
    }
    WAIT_UNTIL(ends[READ].count && ends[EXACT].count && record.ends && ends[COPY].count && ends[POLL].count &&
               ends[RECEIVE].count && received.count);
    CHECK_IS(record.end, -ECONNRESET);
    CHECK_IS(ends[POLL].result & (POLLIN | POLLERR | POLLHUP), POLLIN | POLLERR | POLLHUP);
    ONCE_IS(received, -ECONNRESET);
    ONCE_IS(ends[READ], -ECONNRESET);
    ONCE_IS(ends[EXACT], -ECONNRESET);
    ONCE_IS(ends[COPY], -ECONNRESET);
    ONCE_IS(ends[RECEIVE], -ECONNRESET);
    END;
}

LOOP_TEST(peer_that_resets_ends_a_blocked_write_with_its_count)
{
    static char data[1 << 20];
    static struct loop_flow *flow;
    static struct once write, later;
    static int peer;

    BEGIN;
    tcp_flow(env->scope, &flow, &peer);
    stuff(loop_fd_peek(flow->fd));
    START(loop_write(&flow->sink, data, sizeof data, ONCE(&write)));
    START(loop_shutdown(&flow->sink, ONCE(&later)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(write.count, 0);
    close_with_reset(peer);
    WAIT_UNTIL(write.count && later.count);
    CHECK(write.result == -ECONNRESET || write.result == -EPIPE ||
          (write.result > 0 && write.result < (int64_t)sizeof data));
    CHECK(later.result <= 0);
    AWAIT(loop_write(&flow->sink, data, 1, GO));
    CHECK(result == -ECONNRESET || result == -EPIPE);
    END;
}

LOOP_TEST(peers_that_reset_leave_the_server_serving)
{
    enum { N = 100 };
    static struct loop_flow *good;
    static struct loop_server_stats stats;
    static int fds[N];
    static char byte;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&serving.address.u.ipv4);
        CHECK_IS(send(fds[i], "bye", 3, 0), 3);
        if (i % 2) {
            close_with_reset(fds[i]);
        }
    }
    good = visit(env->scope);
    AWAIT(loop_write(&good->sink, "x", 1, GO));
    AWAIT(loop_read(&good->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    for (int i = 0; i < N; i += 2) {
        close_with_reset(fds[i]);
    }
    AWAIT(loop_write(&good->sink, "y", 1, GO));
    AWAIT(loop_read(&good->source, &byte, 1, GO));
    CHECK_IS(byte, 'y');
    while (served().connections_now > 1) {
        AWAIT(turns(env->scope, 1, GO));
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK(stats.accepted > N / 2 && stats.failed >= N / 2 && stats.failed <= N);
    loop_flow_close(good);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

static size_t allocated_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* A hundred clients of an echo server that write for as long as they can and never read; another one isn't held up. */
LOOP_TEST(peers_that_never_read_hold_nobody_up)
{
    enum { N = 100, TRIPS = 50 };
    static int fds[N], trip, quiet;
    static struct loop_flow *good;
    static size_t before, moved;
    static char sent[5000], got[5000];

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&serving.address.u.ipv4);
        set_small_buffers(fds[i]);
    }
    AWAIT(turns(env->scope, 10, GO));
    before = allocated_bytes();
    for (quiet = 0; quiet < 3; quiet = moved ? 0 : quiet + 1) {
        moved = 0;
        for (int i = 0; i < N; i++) {
            moved += stuff(fds[i]);
        }
        AWAIT(turns(env->scope, 5, GO));
    }
    good = visit(env->scope);
    for (trip = 0; trip < TRIPS; trip++) {
        fill_pattern(sent, sizeof sent, (unsigned)trip);
        START(loop_write(&good->sink, sent, sizeof sent, NULL, NULL));
        AWAIT(loop_read_exact(&good->source, got, sizeof got, GO));
        CHECK_IS(result, sizeof got);
        CHECK(memcmp(sent, got, sizeof got) == 0);
    }
    CHECK_IS(served().connections_now, N + 1);
    CHECK(HAS_SANITIZER || allocated_bytes() < before + N * (size_t)72000 + (1 << 20));
    for (int i = 0; i < N; i++) {
        close(fds[i]);
    }
    loop_flow_close(good);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

static unsigned trickled;
static struct loop_flow *trickle_client;
static char trickle_byte;

static void trickle(void *arg, int64_t result)
{
    struct loop_flow *client = trickle_client;
    const unsigned *count = arg;

    CHECK_IS(result, 1);
    if (trickled > 0) {
        CHECK_IS((unsigned char)trickle_byte, trickled & 255);
    }
    if (++trickled > *count) {
        loop_flow_close(client);
        loop_server_stop(serving.server, LOOP_NEVER);
        return;
    }
    trickle_byte = (char)trickled;
    CHECK_IS(send(loop_fd_peek(client->fd), &trickle_byte, 1, 0), 1);
    trickle_byte = 0;
    CHECK(loop_read(&client->source, &trickle_byte, 1, trickle, arg) != 0);
}

static int start_trickle(struct loop_env *env, void *fn)
{
    static unsigned count = FEW;
    loop_connection_fn *const *echo = fn;

    trickled = 0;
    serve_well(env->scope, *echo);
    trickle_client = visit(env->scope);
    trickle(&count, 1);
    return 0;
}

TEST(peer_that_sends_one_byte_at_a_time_is_echoed)
{
    loop_connection_fn *fns[] = {echo_by_copy, echo_by_chunks};

    for (unsigned i = 0; i < COUNT_OF(fns); i++) {
        CHECK_IS(run(start_trickle, &fns[i]), 0);
        CHECK_IS(trickled, FEW + 1);
    }
}

LOOP_TEST(peer_that_sends_one_byte_at_a_time_fills_an_exact_read)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char bytes[300], pattern[300];
    static int at;

    BEGIN;
    make_flows(env->scope, flows);
    fill_pattern(pattern, sizeof pattern, 4);
    START(loop_read_exact(&flows[0]->source, bytes, sizeof bytes, ONCE(&read)));
    for (at = 0; at < (int)sizeof bytes; at++) {
        CHECK_IS(read.count, 0);
        CHECK_IS(send(loop_fd_peek(flows[1]->fd), &pattern[at], 1, 0), 1);
        AWAIT(turns(env->scope, 1, GO));
    }
    WAIT_UNTIL(read.count);
    ONCE_IS(read, sizeof bytes);
    CHECK(memcmp(bytes, pattern, sizeof bytes) == 0);
    END;
}

LOOP_TEST(peer_that_half_closes_gets_everything_back)
{
    enum { LENGTH = 100000 };
    static char sent[LENGTH], got[LENGTH + 1];
    static struct loop_flow *client;
    static struct once write, down;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    client = visit(env->scope);
    fill_pattern(sent, LENGTH, 5);
    START(loop_write(&client->sink, sent, LENGTH, ONCE(&write)));
    START(loop_shutdown(&client->sink, ONCE(&down)));
    AWAIT(loop_read_exact(&client->source, got, LENGTH + 1, GO));
    CHECK_IS(result, LENGTH);
    CHECK(memcmp(sent, got, LENGTH) == 0);
    ONCE_IS(write, LENGTH);
    ONCE_IS(down, 0);
    AWAIT(loop_write(&client->sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    while (served().connections_now > 0) {
        AWAIT(turns(env->scope, 1, GO));
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

LOOP_TEST(peer_that_has_closed_is_found_out_by_writing)
{
    static struct loop_flow *flow;
    static struct once writes[3], drained;
    static int peer, at;

    BEGIN;
    tcp_flow(env->scope, &flow, &peer);
    close(peer);
    for (at = 0; at < 50; at++) {
        AWAIT(loop_write(&flow->sink, "x", 1, GO));
        if (result < 0) {
            break;
        }
    }
    CHECK(result == -EPIPE || result == -ECONNRESET);
    CHECK(at > 0);
    for (int i = 0; i < 3; i++) {
        START(loop_write(&flow->sink, "y", 1, ONCE(&writes[i])));
    }
    START(loop_sink_wait_drained(&flow->sink, ONCE(&drained)));
    WAIT_UNTIL(writes[2].count && drained.count);
    for (int i = 0; i < 3; i++) {
        CHECK(writes[i].result == -EPIPE || writes[i].result == -ECONNRESET);
    }
    CHECK_IS(loop_sink_queued(&flow->sink), 0);
    END;
}

LOOP_TEST(listener_closed_with_connections_in_its_backlog)
{
    enum { N = 10 };
    static struct loop_listener *listener;
    static struct loop_flow *flow, *clients[N];
    static struct once accepts[1], reads[N];
    static char bytes[N];
    static int at;

    BEGIN;
    CHECK_IS(loop_address_parse(&serving.address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(env->scope, &serving.address, NULL, &listener), 0);
    CHECK_IS(loop_listener_address(listener, &serving.address), 0);
    for (int i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
        START(loop_read(&clients[i]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    AWAIT(loop_accept(env->scope, listener, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK_IS(loop_listener_close(listener), -EBADF);
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepts[0])));
    WAIT_UNTIL(accepts[0].count);
    ONCE_IS(accepts[0], -EBADF);
    for (at = 1; at < N; at++) {
        WAIT_UNTIL(reads[at].count);
        ONCE_IS(reads[at], -ECONNRESET);
    }
    CHECK_IS(reads[0].count, 0);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    END;
}

LOOP_TEST(listener_closed_while_several_wait_to_accept)
{
    static struct loop_listener *listener;
    static struct loop_flow *flows[3];
    static struct once accepts[3];

    BEGIN;
    CHECK_IS(loop_address_parse(&serving.address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(env->scope, &serving.address, NULL, &listener), 0);
    for (int i = 0; i < 3; i++) {
        START(loop_accept(env->scope, listener, &flows[i], ONCE(&accepts[i])));
    }
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_listener_close(listener), 0);
    WAIT_UNTIL(accepts[0].count && accepts[1].count && accepts[2].count);
    for (int i = 0; i < 3; i++) {
        ONCE_IS(accepts[i], -ECANCELED);
        CHECK(!flows[i]);
    }
    END;
}

/* ---- full disks ---- */

static char megabyte[1 << 20];

LOOP_TEST(full_disk_ends_writes_and_copies_with_enospc)
{
    static struct loop_flow *flows[2];
    static struct loop_sink *full;
    static struct loop_source *memory;
    static struct once copy;

    BEGIN;
    full = &flow_of(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC))->sink;
    memory = loop_memory_source(env->scope, megabyte, sizeof megabyte);
    AWAIT(loop_copy(memory, full, GO));
    CHECK_IS(result, -ENOSPC);
    make_flows(env->scope, flows);
    full = &flow_of(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC))->sink;
    START(loop_copy(&flows[0]->source, full, ONCE(&copy)));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "some", 4, 0), 4);
    WAIT_UNTIL(copy.count);
    ONCE_IS(copy, -ENOSPC);
    full = &flow_of(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC))->sink;
    AWAIT(loop_write(full, "x", 1, GO));
    CHECK_IS(result, -ENOSPC);
    AWAIT(loop_op_write(env->scope, adopt(env->scope, open("/dev/full", O_WRONLY | O_CLOEXEC)), "x", 1, 0, GO));
    CHECK_IS(result, -ENOSPC);
    END;
}

static struct {
    int64_t write, copy;
    struct loop_copy_outcome outcome;
    int fd; /* of the file that was written */
} disk;

/* What is said to have been written is there, in its place, and nothing else is. */
static void check_written(int fd, int64_t length)
{
    static char there[sizeof megabyte];

    CHECK_IS(pread(fd, there, sizeof there, 0), length);
    CHECK(is_pattern(there, (size_t)length, 6));
}

static void note_result(void *where, int64_t result)
{
    *(int64_t *)where = result;
}

static int fill_disk(struct loop_env *env, void *path)
{
    char name[128];
    int fds[2];

    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%d", (const char *)path, i);
        fds[i] = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fds[i] >= 0);
    }
    disk.fd = dup(fds[0]);
    struct loop_source *memory = loop_memory_source(env->scope, megabyte, sizeof megabyte);
    loop_write(&flow_of(env->scope, fds[0])->sink, megabyte, sizeof megabyte, note_result, &disk.write);
    loop_copy_report(memory, &flow_of(env->scope, fds[1])->sink, &disk.outcome, note_result, &disk.copy);
    return 0;
}

static int on_a_small_disk(void *path)
{
    struct loop_options options = {.log = forget_line};

    fill_pattern(megabyte, sizeof megabyte, 6);
    CHECK_IS(loop_run_with(&options, fill_disk, path), 0);
    CHECK_IS(disk.outcome.error, -ENOSPC);
    CHECK(disk.outcome.is_sink_error);
    CHECK_IS(disk.copy, disk.outcome.bytes > 0 ? disk.outcome.bytes : -ENOSPC);
    CHECK(disk.write == -ENOSPC || (disk.write > 0 && disk.write < (int64_t)sizeof megabyte));
    check_written(disk.fd, disk.write > 0 ? disk.write : 0);
    return 0;
}

TEST(full_tmpfs_behind_a_write_and_a_copy)
{
    const char *path = make_directory();

    if (mount("noria", path, "tmpfs", 0, "size=256k") != 0) {
        CHECK(errno == EPERM || errno == EACCES || errno == ENODEV); /* not permitted here */
        remove_directory(path);
        return;
    }
    int status = in_child(on_a_small_disk, (void *)(uintptr_t)path);
    umount2(path, MNT_DETACH);
    remove_directory(path);
    CHECK_IS(status, 0);
}

/* The limit of a process on the size of its files, which the kernel makes heard by a signal as well. */
LOOP_TEST(full_quota_ends_writes_with_efbig)
{
    static struct loop_flow *file;
    static struct loop_source *memory;
    static struct rlimit limit;
    static int fd;

    BEGIN;
    signal(SIGXFSZ, SIG_IGN);
    fill_pattern(megabyte, sizeof megabyte, 6);
    limit = (struct rlimit){100000, 100000};
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fd = make_file("", 0);
    file = flow_of(env->scope, fd);
    AWAIT(loop_write(&file->sink, megabyte, sizeof megabyte, GO));
    CHECK_IS(result, 100000);
    check_written(fd, 100000);
    file = flow_of(env->scope, make_file("", 0));
    memory = loop_memory_source(env->scope, megabyte, sizeof megabyte);
    AWAIT(loop_copy(memory, &file->sink, GO));
    CHECK_IS(result, 100000);
    AWAIT(loop_copy(memory, &file->sink, GO));
    CHECK_IS(result, -EFBIG);
    END;
}

/* ---- SIGPIPE ---- */

static bool sigpipe_is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

/* Writes in every way there is to a socket (Unix, TCP) or a pipe whose other end has gone. */
static struct tally broken;
static unsigned long n_broken; /* how many there are to be */

static void on_broken(void *unused, int64_t result)
{
    (void)unused;
    CHECK(result == -EPIPE || result == -ECONNRESET);
    broken.count++;
}

static void write_in_every_way(struct loop_scope *scope, struct loop_flow *flow, bool is_socket)
{
    static struct iovec iov = {(char *)(uintptr_t) "xy", 2};
    static const struct loop_message message = {.iov = &iov, .n_iov = 1};
    struct loop_chunk *chunk = loop_chunk_alloc(loop_scope_loop(scope));

    loop_op_write(NULL, flow->fd, "x", 1, LOOP_CURRENT, on_broken, NULL);
    loop_op_writev(NULL, flow->fd, &iov, 1, LOOP_CURRENT, on_broken, NULL);
    n_broken += 5 + (is_socket ? 2 : 1) + (chunk ? 1 : 0);
    if (is_socket) {
        loop_op_send(NULL, flow->fd, "x", 1, 0, on_broken, NULL);
        loop_op_send_msg(NULL, flow->fd, &message, on_broken, NULL);
    } else {
        loop_op_splice(NULL, adopt(scope, make_file("abc", 3)), 0, flow->fd, LOOP_CURRENT, 3, on_broken, NULL);
    }
    loop_copy(loop_memory_source(scope, "xyz", 3), &flow->sink, on_broken, NULL);
    loop_write(&flow->sink, "x", 1, on_broken, NULL);
    loop_writev(&flow->sink, &iov, 1, on_broken, NULL);
    if (chunk) {
        loop_write_chunk(&flow->sink, chunk, 1, on_broken, NULL);
    }
}

static int write_to_nobody(struct loop_env *env, void *unused)
{
    int fds[2];

    (void)unused;
    make_pipe(fds);
    close(fds[0]);
    write_in_every_way(env->scope, flow_of(env->scope, fds[1]), false);
    make_pair(fds);
    close(fds[0]);
    write_in_every_way(env->scope, flow_of(env->scope, fds[1]), true);
    make_tcp_pair(fds);
    close_with_reset(fds[0]);
    write_in_every_way(env->scope, flow_of(env->scope, fds[1]), true);
    return 0;
}

TEST(sigpipe_kills_nobody_whatever_is_written_and_however)
{
    struct sigaction action;

    CHECK(!sigpipe_is_pending());
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(n_broken >= 20);
    CHECK_IS(broken.count, n_broken);
    CHECK(!sigpipe_is_pending());
    CHECK_IS(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
}

TEST(sigpipe_that_was_pending_before_stays_pending)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGPIPE);
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(n_broken >= 20);
    CHECK_IS(broken.count, n_broken);
    CHECK(sigpipe_is_pending());
    CHECK_IS(sigtimedwait(&set, NULL, &(struct timespec){0, 0}), SIGPIPE);
}

static int write_and_die(void *unused)
{
    int fds[2];

    (void)unused;
    run(write_to_nobody, NULL);
    make_pipe(fds);
    close(fds[0]);
    return write(fds[1], "x", 1) == 1 ? 1 : 2;
}

TEST(sigpipe_kills_as_ever_when_the_loop_has_ended)
{
    int status = in_child(write_and_die, NULL);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

/* ---- cancels ---- */

LOOP_TEST(cancel_of_a_cancel_hits_nothing_else)
{
    static struct once target, cancel, second;
    static loop_job jobs[3];
    static int answer;

    BEGIN;
    jobs[0] = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&target)));
    jobs[1] = START(loop_op_cancel(env->scope, jobs[0], ONCE(&cancel)));
    answer = loop_cancel(env->loop, jobs[1]);
    CHECK(answer == 0 || answer == -ENOENT);
    WAIT_UNTIL(cancel.count);
    if (cancel.result == 0) {
        WAIT_UNTIL(target.count);
    } else {
        CHECK_IS(cancel.result, -ECANCELED);
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(target.count, 0);
        CHECK_IS(loop_cancel(env->loop, jobs[0]), 0);
        WAIT_UNTIL(target.count);
    }
    ONCE_IS(target, -ECANCELED);
    CHECK_IS(loop_cancel(env->loop, jobs[0]), -ENOENT);
    CHECK_IS(loop_cancel(env->loop, jobs[1]), -ENOENT);
    jobs[2] = START(loop_op_cancel(env->scope, jobs[1], ONCE(&second)));
    WAIT_UNTIL(second.count);
    ONCE_IS(second, -ENOENT);
    CHECK_IS(loop_cancel(env->loop, jobs[2]), -ENOENT);
    END;
}

LOOP_TEST(cancel_in_a_cancelled_scope_is_cancelled_itself)
{
    static struct loop_scope *scope;
    static struct once target, cancel, ended;
    static loop_job job;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&target)));
    loop_scope_cancel(scope);
    START(loop_op_cancel(scope, job, ONCE(&cancel)));
    WAIT_UNTIL(ended.count);
    ONCE_IS(cancel, -ECANCELED);
    CHECK_IS(target.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(target.count);
    END;
}

/* ---- closed in the middle of every operation ---- */

/* One operation on `fd` that can't end by itself: the others of its kind, and the way it hears of its end. */
struct blocked {
    struct loop_scope *scope; /* of the operation */
    struct loop_flow *flow;   /* to be closed */
    struct loop_flow *other;
    int peer;
    struct once end;
};

static void on_stream_end(void *arg, int64_t result, struct loop_chunk *chunk)
{
    CHECK(!chunk);
    once_resumed(arg, result);
}

static void on_receive_end(void *arg, int64_t result, void *data)
{
    CHECK(!data);
    once_resumed(arg, result);
}

static char scratch[16];

static loop_job block_read(struct blocked *this)
{
    return loop_read(&this->flow->source, scratch, sizeof scratch, ONCE(&this->end));
}

static loop_job block_exact(struct blocked *this)
{
    return loop_read_exact(&this->flow->source, scratch, sizeof scratch, ONCE(&this->end));
}

static loop_job block_stream(struct blocked *this)
{
    return loop_stream(&this->flow->source, on_stream_end, &this->end);
}

static loop_job block_paused_stream(struct blocked *this)
{
    loop_job job = block_stream(this);

    CHECK_IS(loop_stream_pause(loop_scope_loop(this->scope), job), 0);
    CHECK_IS(send(this->peer, "x", 1, 0), 1);
    return job;
}

static loop_job block_write(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_write(&this->flow->sink, scratch, sizeof scratch, ONCE(&this->end));
}

static loop_job block_write_chunk(struct blocked *this)
{
    struct loop_chunk *chunk = loop_chunk_alloc(loop_scope_loop(this->scope));

    stuff(loop_fd_peek(this->flow->fd));
    CHECK(chunk != NULL);
    return loop_write_chunk(&this->flow->sink, chunk, 16, ONCE(&this->end));
}

static loop_job block_shutdown(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    loop_write(&this->flow->sink, scratch, sizeof scratch, TALLY(&broken));
    return loop_shutdown(&this->flow->sink, ONCE(&this->end));
}

static loop_job block_drained(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    CHECK_IS(loop_sink_limit(&this->flow->sink, 10), 0);
    loop_write(&this->flow->sink, scratch, sizeof scratch, TALLY(&broken));
    return loop_sink_wait_drained(&this->flow->sink, ONCE(&this->end));
}

static loop_job block_copy_from(struct blocked *this)
{
    return loop_copy(&this->flow->source, &this->other->sink, ONCE(&this->end));
}

static loop_job block_copy_to(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    loop_write(&this->other->sink, scratch, sizeof scratch, NULL, NULL);
    return loop_copy(&this->other->source, &this->flow->sink, ONCE(&this->end));
}

static loop_job block_copy_between(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_copy(&this->flow->source, &this->flow->sink, ONCE(&this->end));
}

static loop_job block_poll(struct blocked *this)
{
    return loop_poll(this->flow->fd, POLLIN, ONCE(&this->end));
}

static loop_job block_op_poll(struct blocked *this)
{
    return loop_op_poll_add(this->scope, this->flow->fd, POLLIN, ONCE(&this->end));
}

static loop_job block_op_read(struct blocked *this)
{
    return loop_op_read(this->scope, this->flow->fd, scratch, 1, LOOP_CURRENT, ONCE(&this->end));
}

static loop_job block_op_write(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_write(this->scope, this->flow->fd, "x", 1, LOOP_CURRENT, ONCE(&this->end));
}

static loop_job block_recv(struct blocked *this)
{
    return loop_op_recv(this->scope, this->flow->fd, scratch, 1, 0, ONCE(&this->end));
}

static loop_job block_send(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_send(this->scope, this->flow->fd, "x", 1, 0, ONCE(&this->end));
}

static struct iovec message_iov = {scratch, sizeof scratch};
static struct loop_message message = {.iov = &message_iov, .n_iov = 1};

static loop_job block_recv_msg(struct blocked *this)
{
    return loop_op_recv_msg(this->scope, this->flow->fd, &message, ONCE(&this->end));
}

static loop_job block_send_msg(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_send_msg(this->scope, this->flow->fd, &message, ONCE(&this->end));
}

static loop_job block_multishot(struct blocked *this)
{
    struct loop_buffers *buffers = loop_buffers_create(this->scope, 2, 64);

    return loop_op_recv_multishot(this->scope, this->flow->fd, buffers, on_receive_end, &this->end);
}

/* For these the flow is a listener, or a socket that isn't connected yet. */
static void replace_fd(struct blocked *this, int fd)
{
    loop_fd_destroy(this->flow->fd);
    this->flow = flow_of(this->scope, fd);
}

static loop_job block_accept(struct blocked *this)
{
    struct sockaddr_in address;

    replace_fd(this, make_listener(&address));
    return loop_op_accept(this->scope, this->flow->fd, NULL, NULL, ONCE(&this->end));
}

static loop_job block_accept_multishot(struct blocked *this)
{
    struct sockaddr_in address;

    replace_fd(this, make_listener(&address));
    return loop_op_accept_multishot(this->scope, this->flow->fd, ONCE(&this->end));
}

/* A Unix socket's connect waits while the listener's backlog is full, and so does a TCP one's. */
static loop_job block_connect(struct blocked *this)
{
    struct sockaddr_in address;
    int listener = make_listener(&address);

    CHECK_IS(listen(listener, 0), 0);
    adopt(this->scope, listener);
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&address, sizeof address);
        adopt(this->scope, fd);
    }
    replace_fd(this, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return loop_op_connect(this->scope, this->flow->fd, (struct sockaddr *)&address, sizeof address, ONCE(&this->end));
}

/* From the socket into a pipe, and from a pipe into the socket. */
static loop_job block_splice_from(struct blocked *this)
{
    int fds[2];

    make_pipe(fds);
    adopt(this->scope, fds[0]);
    return loop_op_splice(this->scope, this->flow->fd, LOOP_CURRENT, adopt(this->scope, fds[1]), LOOP_CURRENT, 100,
                          ONCE(&this->end));
}

static loop_job block_splice_to(struct blocked *this)
{
    int fds[2];

    make_pipe(fds);
    CHECK_IS(write(fds[1], "bytes", 5), 5);
    adopt(this->scope, fds[1]);
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_splice(this->scope, adopt(this->scope, fds[0]), LOOP_CURRENT, this->flow->fd, LOOP_CURRENT, 5,
                          ONCE(&this->end));
}

static const struct blocker {
    const char *name;
    loop_job (*start)(struct blocked *this);
} blockers[] = {
    {"read", block_read},
    {"read_exact", block_exact},
    {"stream", block_stream},
    {"paused stream", block_paused_stream},
    {"write", block_write},
    {"write_chunk", block_write_chunk},
    {"shutdown", block_shutdown},
    {"drained", block_drained},
    {"copy from", block_copy_from},
    {"copy to", block_copy_to},
    {"copy back", block_copy_between},
    {"poll", block_poll},
    {"op_poll_add", block_op_poll},
    {"op_read", block_op_read},
    {"op_write", block_op_write},
    {"op_recv", block_recv},
    {"op_send", block_send},
    {"op_recv_msg", block_recv_msg},
    {"op_send_msg", block_send_msg},
    {"recv_multishot", block_multishot},
    {"accept", block_accept},
    {"accept_multishot", block_accept_multishot},
    {"connect", block_connect},
    {"splice from", block_splice_from},
    {"splice to", block_splice_to},
};

/* How it is ended: each of these takes the descriptor from under the operation. */
enum way { CLOSE, DESTROY, OP_CLOSE, TAKE, CANCEL_SCOPE, FAIL_SCOPE, DEADLINE, CANCEL, WAYS };
static const char *const way_names[WAYS] = {"close",        "destroy",    "op_close", "take",
                                            "scope_cancel", "scope_fail", "deadline", "cancel"};

static struct once taken, closed, scope_ended;

static void end_it(enum way way, struct blocked *this, loop_job job, struct loop_scope *around)
{
    switch (way) {
    case CLOSE: CHECK_IS(loop_fd_close(this->flow->fd), 0); break;
    case DESTROY: loop_fd_destroy(this->flow->fd); break;
    case OP_CLOSE: CHECK(loop_op_close(around, this->flow->fd, ONCE(&closed)) != 0); break;
    case TAKE: CHECK(loop_fd_take(this->flow->fd, ONCE(&taken)) != 0); break;
    case CANCEL_SCOPE: loop_scope_cancel(this->scope); break;
    case FAIL_SCOPE: loop_scope_fail(this->scope, -EPROTO); break;
    case DEADLINE: loop_scope_deadline(this->scope, 0); break;
    case CANCEL: CHECK_IS(loop_cancel(loop_scope_loop(around), job), 0); break;
    case WAYS: break;
    }
}

static int64_t expected_end(enum way way)
{
    return way == DEADLINE ? -ETIMEDOUT : -ECANCELED;
}

static int64_t expected_scope_end(enum way way)
{
    return way == CANCEL_SCOPE ? -ECANCELED : way == FAIL_SCOPE ? -EPROTO : way == DEADLINE ? -ETIMEDOUT : 0;
}

static void begin_blocked(struct loop_env *env, struct blocked *this)
{
    int fds[2];

    memset(&taken, 0, sizeof taken);
    memset(&closed, 0, sizeof closed);
    memset(&scope_ended, 0, sizeof scope_ended);
    memset(this, 0, sizeof *this);
    this->scope = loop_scope_open(env->scope, ONCE(&scope_ended));
    make_tcp_pair(fds);
    set_small_buffers(fds[0]);
    set_small_buffers(fds[1]);
    this->flow = flow_of(this->scope, fds[0]);
    this->peer = fds[1];
    make_pair(fds);
    this->other = flow_of(this->scope, fds[0]);
    adopt(this->scope, fds[1]);
}

static void check_blocked(enum way way, const struct blocker *blocker, const struct blocked *this)
{
    if (this->end.result != expected_end(way)) {
        ck_abort_msg("%s after %s ended with %lld, not %lld", blocker->name, way_names[way],
                     (long long)this->end.result, (long long)expected_end(way));
    }
    if (way == TAKE) {
        CHECK(taken.count == 1 && taken.result >= 0 && taken.order > this->end.order);
        CHECK_IS(close((int)taken.result), 0);
    } else if (way == OP_CLOSE) {
        ONCE_IS(closed, 0);
        CHECK(closed.order > this->end.order);
    } else if (way == CANCEL) {
        CHECK_IS(loop_fd_close(this->flow->fd), 0); /* what else waits there has nothing to do with that job */
    }
}

/* Every operation, ended in every way, at once and when it has had time to begin. */
LOOP_TEST(closed_in_the_middle_every_operation_ends_once)
{
    static struct blocked this;
    static unsigned which, way, pause;
    static unsigned fds_before;
    static struct loop_stats before, after;
    static loop_job job;

    BEGIN;
    fds_before = count_fds();
    loop_get_stats(env->loop, &before);
    for (which = 0; which < COUNT_OF(blockers); which++) {
        for (way = 0; way < WAYS; way++) {
            for (pause = 0; pause < 4; pause += 3) {
                begin_blocked(env, &this);
                loop_scope_hold(this.scope);
                job = START(blockers[which].start(&this));
                if (pause > 0) {
                    AWAIT(turns(env->scope, pause, GO));
                }
                if (this.end.count) {
                    ck_abort_msg("%s ended with %lld", blockers[which].name, (long long)this.end.result);
                }
                end_it(way, &this, job, env->scope);
                WAIT_UNTIL(this.end.count && (way != TAKE || taken.count) && (way != OP_CLOSE || closed.count));
                check_blocked(way, &blockers[which], &this);
                loop_scope_unhold(this.scope);
                WAIT_UNTIL(scope_ended.count);
                CHECK_IS(scope_ended.result, expected_scope_end(way));
                close(this.peer);
                CHECK_IS(count_fds(), fds_before);
                CHECK(loop_region_avail(env->loop) == loop_region_count(env->loop));
            }
        }
    }
    AWAIT(turns(env->scope, 1, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.jobs_now, before.jobs_now);
    CHECK_IS(after.fds_now, before.fds_now);
    CHECK_IS(after.scopes_now, before.scopes_now);
    END;
}

/* ---- continuations that do what they like ---- */

/* What a continuation does to the things it lives in. */
enum deed { CLOSES, DESTROYS, CANCELS_SCOPE, FAILS_SCOPE, CANCELS_PARENT, STARTS_A_HUNDRED, CANCELS_ITSELF, DEEDS };

static struct doer {
    enum deed deed;
    struct loop_scope *parent, *scope;
    struct loop_flow *flow;
    int peer;
    loop_job job;
    unsigned calls, ends;
    struct tally hundred;
} doer;
static struct once parent_ended;

static void do_it(void)
{
    struct loop *loop = loop_scope_loop(doer.scope);

    switch (doer.deed) {
    case CLOSES: CHECK_IS(loop_fd_close(doer.flow->fd), 0); break;
    case DESTROYS: loop_fd_destroy(doer.flow->fd); break;
    case CANCELS_SCOPE: loop_scope_cancel(doer.scope); break;
    case FAILS_SCOPE: loop_scope_fail(doer.scope, -EPROTO); break;
    case CANCELS_PARENT: loop_scope_cancel(doer.parent); break;
    case STARTS_A_HUNDRED:
        for (int i = 0; i < 100; i++) {
            CHECK(loop_op_nop(doer.scope, TALLY(&doer.hundred)) != 0);
        }
        CHECK_IS(doer.hundred.count, 0);
        break;
    case CANCELS_ITSELF: loop_cancel(loop, doer.job); break;
    case DEEDS: break;
    }
}

/* The first call does it; one that goes on by itself is ended afterwards. */
static void on_first(int64_t result, bool is_end)
{
    CHECK_IS(doer.ends, 0);
    doer.ends += is_end;
    if (doer.calls++ == 0) {
        CHECK(result >= 0);
        do_it();
    }
    if (!is_end && doer.deed == STARTS_A_HUNDRED) {
        loop_cancel(loop_scope_loop(doer.scope), doer.job);
    }
}

static void doer_resumed(void *unused, int64_t result)
{
    (void)unused;
    on_first(result, true);
}

static void doer_streamed(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    on_first(result, !chunk);
}

static void doer_received(void *buffers, int64_t result, void *data)
{
    if (data) {
        CHECK_IS(loop_buffers_recycle(buffers, data), 0);
    }
    on_first(result, !data);
}

static void doer_accepted(void *unused, int64_t result)
{
    (void)unused;
    if (result >= 0) {
        close((int)result);
    }
    on_first(result, result < 0);
}

static loop_job do_in_read(void)
{
    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_read(&doer.flow->source, scratch, 4, doer_resumed, NULL);
}

static loop_job do_in_exact(void)
{
    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_read_exact(&doer.flow->source, scratch, 4, doer_resumed, NULL);
}

static loop_job do_in_stream(void)
{
    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_stream(&doer.flow->source, doer_streamed, NULL);
}

static loop_job do_in_write(void)
{
    loop_job job = loop_write(&doer.flow->sink, "x", 1, doer_resumed, NULL);

    loop_write(&doer.flow->sink, "y", 1, TALLY(&broken));
    return job;
}

static loop_job do_in_copy(void)
{
    CHECK_IS(shutdown(doer.peer, SHUT_WR), 0);
    return loop_copy(&doer.flow->source, &doer.flow->sink, doer_resumed, NULL);
}

static loop_job do_in_poll(void)
{
    return loop_poll(doer.flow->fd, POLLOUT, doer_resumed, NULL);
}

static loop_job do_in_shutdown(void)
{
    return loop_shutdown(&doer.flow->sink, doer_resumed, NULL);
}

static loop_job do_in_op_send(void)
{
    return loop_op_send(doer.scope, doer.flow->fd, "x", 1, 0, doer_resumed, NULL);
}

static loop_job do_in_multishot(void)
{
    struct loop_buffers *buffers = loop_buffers_create(doer.scope, 4, 64);

    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_op_recv_multishot(doer.scope, doer.flow->fd, buffers, doer_received, buffers);
}

static loop_job do_in_accept_multishot(void)
{
    struct sockaddr_in address;

    loop_fd_destroy(doer.flow->fd);
    doer.flow = flow_of(doer.scope, make_listener(&address));
    adopt(doer.scope, connect_to(&address));
    adopt(doer.scope, connect_to(&address));
    return loop_op_accept_multishot(doer.scope, doer.flow->fd, doer_accepted, NULL);
}

static loop_job do_in_timer(void)
{
    return loop_sleep(doer.scope, 0, doer_resumed, NULL);
}

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 0;
}

static loop_job do_in_work(void)
{
    return loop_work(doer.scope, do_nothing, NULL, doer_resumed, NULL);
}

static loop_job (*const doings[])(void) = {
    do_in_read,
    do_in_exact,
    do_in_stream,
    do_in_write,
    do_in_copy,
    do_in_poll,
    do_in_work,
    do_in_shutdown,
    do_in_op_send,
    do_in_multishot,
    do_in_accept_multishot,
    do_in_timer,
};

static void begin_deed(struct loop_env *env, enum deed deed)
{
    int fds[2];

    memset(&parent_ended, 0, sizeof parent_ended);
    memset(&scope_ended, 0, sizeof scope_ended);
    memset(&doer, 0, sizeof doer);
    doer.deed = deed;
    doer.parent = loop_scope_open(env->scope, ONCE(&parent_ended));
    doer.scope = loop_scope_open(doer.parent, ONCE(&scope_ended));
    make_tcp_pair(fds);
    doer.flow = flow_of(doer.scope, fds[0]);
    doer.peer = fds[1];
}

LOOP_TEST(continuations_that_end_what_they_live_in)
{
    static unsigned which, deed, fds_before;
    static struct loop_stats before, after;

    BEGIN;
    fds_before = count_fds();
    loop_get_stats(env->loop, &before);
    for (which = 0; which < COUNT_OF(doings); which++) {
        for (deed = 0; deed < DEEDS; deed++) {
            begin_deed(env, deed);
            doer.job = START(doings[which]());
            WAIT_UNTIL(scope_ended.count && parent_ended.count);
            CHECK(doer.calls > 0);
            CHECK_IS(doer.ends, 1);
            CHECK_IS(doer.hundred.count, deed == STARTS_A_HUNDRED ? 100 : 0);
            CHECK_IS(scope_ended.result, deed == FAILS_SCOPE      ? -EPROTO
                                         : deed == CANCELS_SCOPE  ? -ECANCELED
                                         : deed == CANCELS_PARENT ? -ECANCELED
                                                                  : 0);
            CHECK_IS(parent_ended.result, deed == CANCELS_PARENT ? -ECANCELED : 0);
            close(doer.peer);
            CHECK_IS(count_fds(), fds_before);
        }
    }
    AWAIT(turns(env->scope, 1, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now);
    CHECK_IS(after.scopes_now, before.scopes_now);
    END;
}

static void close_from_hook(void *fd)
{
    loop_fd_close(fd);
    loop_fd_destroy(fd);
}

LOOP_TEST(hook_that_closes_what_others_are_using)
{
    static struct loop_flow *flows[2];
    static struct loop_scope *scope;
    static struct once ended, read, copy;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    START(loop_copy(&flows[1]->source, &flows[0]->sink, ONCE(&copy)));
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(scope, close_from_hook, flows[0]->fd));
    CHECK(loop_scope_defer(scope, close_from_hook, flows[1]->fd));
    WAIT_UNTIL(ended.count && read.count && copy.count);
    ONCE_IS(ended, 0);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(copy, -ECANCELED);
    END;
}

static void cancel_at_once(struct loop_flow *peer, void *unused)
{
    (void)unused;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
    loop_scope_cancel(peer->scope);
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

LOOP_TEST(connection_cancelled_inside_on_connection)
{
    enum { N = 20 };
    static struct loop_flow *clients[N];
    static struct once reads[N];
    static struct loop_server_stats stats;
    static char bytes[N];
    static int at;

    BEGIN;
    serve_well(env->scope, cancel_at_once);
    for (int i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
        START(loop_read(&clients[i]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(reads[at].count);
        ONCE_IS(reads[at], 0);
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.accepted, N);
    CHECK_IS(stats.connections_now, 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

/* ---- forks ---- */

static void never_run(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    _exit(66);
}

/* What a child finds of the loop: a closed box, and no ring under any of the numbers it has inherited. */
static int look_around(struct loop_inbox *inbox)
{
    char path[64], what[64];

    if (loop_post(inbox, never_run, NULL) != -ESHUTDOWN) {
        return 1;
    }
    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, what, sizeof what - 1);
        what[length > 0 ? length : 0] = 0;
        if (strstr(what, "io_uring") && fcntl(fd, F_GETFD) != FD_CLOEXEC) {
            return 2;
        }
    }
    FILE *maps = fopen("/proc/self/maps", "re");
    static char line[512];
    while (fgets(line, sizeof line, maps)) {
        if (strstr(line, "[io_uring]")) {
            return 3;
        }
    }
    fclose(maps);
    return 0;
}

/* Nothing that a loop makes for itself survives an exec. */
static void exec_and_look(void)
{
    static const char script_text[] =
        "for fd in /proc/self/fd/*; do case $(readlink \"$fd\") in anon_inode*) exit 1;; esac; "
        "done; exit 0";

    execl("/bin/sh", "sh", "-c", script_text, (char *)NULL);
    _exit(127);
}

LOOP_TEST(fork_in_mid_flight_and_the_parents_traffic_goes_on)
{
    enum { ROUNDS = 12 };
    static struct loop_inbox *inbox;
    static struct loop_flow *client;
    static struct once nop, sleep, work, post;
    static char sent[3000], got[3000];
    static int round, status;
    static pid_t child;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    client = visit(env->scope);
    inbox = loop_inbox_ref(env->loop);
    for (round = 0; round < ROUNDS; round++) {
        memset(&nop, 0, sizeof nop);
        memset(&sleep, 0, sizeof sleep);
        memset(&work, 0, sizeof work);
        memset(&post, 0, sizeof post);
        fill_pattern(sent, sizeof sent, (unsigned)round);
        START(loop_write(&client->sink, sent, sizeof sent, NULL, NULL));
        START(loop_op_nop(env->scope, ONCE(&nop)));
        START(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&sleep)));
        START(loop_work(env->scope, do_nothing, NULL, ONCE(&work)));
        CHECK_IS(loop_post(inbox, ONCE(&post)), 0);
        if (round % 2) {
            AWAIT(turns(env->scope, 1, GO));
        }
        fflush(NULL);
        child = fork();
        if (child == 0 && round % 4 < 2) {
            _exit(look_around(inbox));
        } else if (child == 0) {
            exec_and_look();
        }
        CHECK(child > 0);
        AWAIT(loop_read_exact(&client->source, got, sizeof got, GO));
        CHECK_IS(result, sizeof got);
        CHECK(memcmp(sent, got, sizeof got) == 0);
        CHECK_IS(waitpid(child, &status, 0), child);
        CHECK_IS(status, 0);
        WAIT_UNTIL(nop.count && sleep.count && work.count && post.count);
        ONCE_IS(nop, 0);
        ONCE_IS(sleep, 0);
        ONCE_IS(work, 0);
        ONCE_IS(post, 0);
    }
    loop_inbox_unref(inbox);
    loop_flow_close(client);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

/* ---- loops one after another, and inside each other ---- */

static struct loop_inbox *kept_inbox;

static int keep_inbox(struct loop_env *env, void *unused)
{
    struct loop_options options = {.log = forget_line};

    (void)unused;
    kept_inbox = loop_inbox_ref(env->loop);
    return kept_inbox && loop_run_with(&options, count_main, NULL) == -EDEADLK ? carry_traffic(env, NULL) : 1;
}

TEST(loops_one_after_another_leave_nothing_and_refuse_late_posts)
{
    unsigned before = count_fds();

    for (int i = 0; i < 50; i++) {
        mains = 0;
        CHECK_IS(run(keep_inbox, NULL), 0);
        CHECK_IS(mains, 1);
        CHECK_IS(count_fds(), before);
        CHECK_IS(loop_post(kept_inbox, never_run, NULL), -ESHUTDOWN);
        CHECK_IS(loop_post(kept_inbox, never_run, NULL), -ESHUTDOWN);
        loop_inbox_unref(kept_inbox);
    }
}

/* ---- standard input of every kind ---- */

static struct {
    char bytes[256];
    int64_t result;
} input;

static void on_input(void *sink, int64_t result)
{
    size_t length = 0;
    const void *data = loop_memory_data(sink, &length);

    CHECK(length < sizeof input.bytes);
    if (length > 0) {
        memcpy(input.bytes, data, length);
    }
    input.bytes[length] = 0;
    input.result = result;
}

static int copy_input(struct loop_env *env, void *unused)
{
    struct loop_sink *sink = loop_memory_sink(env->scope, 0);

    (void)unused;
    return loop_copy(env->in, sink, on_input, sink) ? 0 : 1;
}

static void on_input_read(void *unused, int64_t result)
{
    (void)unused;
    input.result = result;
    input.bytes[result > 0 ? result : 0] = 0;
}

static int read_input(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_read(env->in, input.bytes, sizeof input.bytes - 1, on_input_read, NULL) ? 0 : 1;
}

/* `fd` becomes standard input; its flags have to be as they were afterwards, and it has to be open still. */
static void check_input(int fd, int64_t result, const char *bytes)
{
    int flags = fcntl(fd, F_GETFL);

    CHECK_IS(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    CHECK_IS(run(copy_input, NULL), 0);
    CHECK_IS(input.result, result);
    CHECK_TEXT(input.bytes, bytes);
    CHECK_IS(fcntl(STDIN_FILENO, F_GETFL), flags);
    CHECK_IS(fcntl(STDIN_FILENO, F_GETFD), 0);
    close(fd);
}

TEST(input_from_a_file)
{
    check_input(make_file("a file", 6), 6, "a file");
}

TEST(input_from_a_file_goes_on_where_it_stands)
{
    int fd = make_file("before and after", 16);

    CHECK_IS(lseek(fd, 7, SEEK_SET), 7);
    check_input(fd, 9, "and after");
    CHECK_IS(lseek(STDIN_FILENO, 0, SEEK_CUR), 16);
}

TEST(input_from_a_pipe)
{
    int fds[2];

    make_pipe(fds);
    CHECK_IS(write(fds[1], "a pipe", 6), 6);
    close(fds[1]);
    check_input(fds[0], 6, "a pipe");
}

TEST(input_from_a_socket)
{
    int fds[2];

    make_pair(fds);
    CHECK_IS(write(fds[1], "a socket", 8), 8);
    close(fds[1]);
    check_input(fds[0], 8, "a socket");
}

TEST(input_from_dev_null)
{
    check_input(open("/dev/null", O_RDONLY), 0, "");
}

TEST(input_from_a_directory_is_eisdir)
{
    check_input(open("/tmp", O_RDONLY | O_DIRECTORY), -EISDIR, "");
}

TEST(input_only_for_writing_is_ebadf)
{
    check_input(open("/dev/null", O_WRONLY), -EBADF, "");
}

TEST(input_from_a_terminal)
{
    int master, slave;
    const char typed[] = {'a', ' ', 't', 't', 'y', '\n', 4}; /* ^D at the start of a line is the end */

    CHECK_IS(openpty(&master, &slave, NULL, NULL, NULL), 0);
    CHECK_IS(write(master, typed, sizeof typed), sizeof typed);
    check_input(slave, 6, "a tty\n");
    close(master);
}

TEST(input_from_a_terminal_that_hangs_up)
{
    int master, slave;

    CHECK_IS(openpty(&master, &slave, NULL, NULL, NULL), 0);
    close(master);
    CHECK_IS(dup2(slave, STDIN_FILENO), STDIN_FILENO);
    CHECK_IS(run(read_input, NULL), 0);
    CHECK(input.result == 0 || input.result == -EIO);
    close(slave);
}

static int close_standard(void *unused)
{
    (void)unused;
    for (int fd = 0; fd <= 2; fd++) {
        close(fd);
    }
    int answer = run(copy_input, NULL);
    if (answer != 0 || input.result != 0) {
        return 1;
    }
    for (int fd = 0; fd <= 2; fd++) {
        if (is_open(fd)) {
            return 2;
        }
    }
    return 0;
}

TEST(input_output_and_error_all_closed)
{
    CHECK_CHILD(close_standard, NULL);
}

static int write_output(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_write(env->out, "x", 1, on_input_read, NULL) ? 0 : 1;
}

static int close_output(void *unused)
{
    (void)unused;
    close(STDOUT_FILENO);
    int answer = run(write_output, NULL);
    return answer == 0 && input.result == -EBADF && !is_open(STDOUT_FILENO) ? 0 : 1;
}

TEST(output_that_is_closed_is_ebadf)
{
    CHECK_CHILD(close_output, NULL);
}

static int full_output(void *unused)
{
    (void)unused;
    dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
    int answer = run(write_output, NULL);
    return answer == 0 && input.result == -ENOSPC ? 0 : 1;
}

TEST(output_that_is_full_is_enospc)
{
    CHECK_CHILD(full_output, NULL);
}

/* ---- many connections ---- */

enum { MESSAGE = 3000, TRIPS = 4 };

/* Clients of one echo server. A slow one lets many turns pass between reading pieces; a fast one doesn't. */
static struct client {
    struct loop_flow *flow;
    unsigned trips, got;
    bool is_slow;
    char message[MESSAGE];
} clients[FEW];
static unsigned clients_done;

static void begin_trip(struct client *client);
static void read_piece(void *arg, int64_t result);

static void on_piece(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK(result > 0);
    CHECK(is_pattern_at(client->message, (size_t)result, (unsigned)(client - clients), client->got));
    client->got += (unsigned)result;
    if (client->got < MESSAGE) {
        read_piece(client, 0);
    } else if (++client->trips < TRIPS) {
        begin_trip(client);
    } else {
        clients_done++;
        loop_flow_close(client->flow);
        if (clients_done == FEW) {
            loop_server_stop(serving.server, LOOP_NEVER);
        }
    }
}

static void read_now(void *arg, int64_t result)
{
    struct client *client = arg;
    size_t most = client->is_slow ? 700 : MESSAGE;

    CHECK_IS(result, 0);
    CHECK(loop_read(&client->flow->source, client->message, most, on_piece, client) != 0);
}

static void read_piece(void *arg, int64_t result)
{
    struct client *client = arg;

    CHECK(result >= 0);
    if (client->is_slow) {
        CHECK(turns(client->flow->scope, 10, read_now, client) != 0);
    } else {
        read_now(client, 0);
    }
}

static void begin_trip(struct client *client)
{
    static char patterns[FEW][MESSAGE];
    size_t which = (size_t)(client - clients);

    client->got = 0;
    fill_pattern(patterns[which], MESSAGE, (unsigned)which);
    CHECK(loop_write(&client->flow->sink, patterns[which], MESSAGE, NULL, NULL) != 0);
    read_piece(client, 0);
}

static int start_clients(struct loop_env *env, void *fn)
{
    loop_connection_fn *const *echo = fn;

    memset(clients, 0, sizeof clients);
    clients_done = 0;
    serve_well(env->scope, *echo);
    for (unsigned i = 0; i < FEW; i++) {
        clients[i].is_slow = i % 7 == 0;
        clients[i].flow = visit(env->scope);
        begin_trip(&clients[i]);
    }
    return 0;
}

static void check_clients(loop_connection_fn *fn)
{
    limit_fds(4000);
    CHECK_IS(run(start_clients, &fn), 0);
    CHECK_IS(clients_done, FEW);
}

TEST(thousand_connections_with_slow_ones_by_copy)
{
    check_clients(echo_by_copy);
}

TEST(thousand_connections_with_slow_ones_by_chunks)
{
    check_clients(echo_by_chunks);
}

/* ---- large messages ---- */

enum { LARGE = 65536, SMALL = 64 };

static struct {
    size_t size;
    unsigned trips, left;
    uint64_t turns, enters;
    struct loop_flow *client;
    char sent[LARGE], got[LARGE];
} dialog;

static void next_message(void *unused, int64_t result)
{
    struct loop_stats stats;

    (void)unused;
    CHECK_IS(result, dialog.size);
    CHECK(dialog.left == dialog.trips || memcmp(dialog.sent, dialog.got, dialog.size) == 0);
    if (dialog.left-- == 0) {
        loop_get_stats(loop_scope_loop(dialog.client->scope), &stats);
        dialog.turns = stats.turns;
        dialog.enters = stats.enters;
        loop_flow_close(dialog.client);
        loop_server_stop(serving.server, LOOP_NEVER);
        return;
    }
    loop_write(&dialog.client->sink, dialog.sent, dialog.size, NULL, NULL);
    CHECK(loop_read_exact(&dialog.client->source, dialog.got, dialog.size, next_message, NULL) != 0);
}

static int start_talk(struct loop_env *env, void *fn)
{
    loop_connection_fn *const *echo = fn;

    serve_well(env->scope, *echo);
    dialog.client = visit(env->scope);
    fill_pattern(dialog.sent, sizeof dialog.sent, 8);
    next_message(NULL, (int64_t)dialog.size);
    return 0;
}

/* System calls and turns for one message there and back. */
static uint64_t cost_of(loop_connection_fn *fn, size_t size)
{
    dialog.size = size;
    dialog.trips = dialog.left = 100;
    CHECK_IS(run(start_talk, &fn), 0);
    return (dialog.turns + dialog.enters) / dialog.trips;
}

static void check_large(loop_connection_fn *fn)
{
    uint64_t small = cost_of(fn, SMALL), large = cost_of(fn, LARGE);

    if (large > 12 * (small + 1) && !is_hard("short") && !is_hard("onechunk")) {
        ck_abort_msg("a large message takes %llu turns and calls, a small one %llu", (unsigned long long)large,
                     (unsigned long long)small);
    }
}

TEST(large_messages_take_few_turns_by_copy)
{
    check_large(echo_by_copy);
}

TEST(large_messages_take_few_turns_by_chunks)
{
    check_large(echo_by_chunks);
}

/* ---- churn ---- */

enum { CHURN = HAS_SANITIZER ? 400 : 3000, AT_ONCE = 20 };

static struct churner {
    struct loop_scope *scope;
    struct loop_flow *flow;
    char byte;
} churners[AT_ONCE];
static unsigned churn_started, churn_done;

static void churn(void *arg, int64_t result);

static void churn_echoed(void *arg, int64_t result)
{
    struct churner *churner = arg;

    CHECK_IS(result, 1);
    CHECK_IS(churner->byte, 'c');
    churn_done++;
}

static void churn_connected(void *arg, int64_t result)
{
    struct churner *churner = arg;

    CHECK_IS(result, 0);
    churner->byte = 'c';
    loop_write(&churner->flow->sink, &churner->byte, 1, NULL, NULL);
    loop_read(&churner->flow->source, &churner->byte, 1, churn_echoed, churner);
}

/* Each connection in a scope of its own, the next one when that has ended. */
static void churn(void *arg, int64_t result)
{
    struct churner *churner = arg;

    CHECK_IS(result, 0);
    if (churn_started < CHURN) {
        churn_started++;
        churner->scope = loop_scope_open(script.env->scope, churn, churner);
        loop_connect(churner->scope, &serving.address, NULL, &churner->flow, churn_connected, churner);
    } else {
        script_poke();
    }
}

LOOP_TEST(churn_of_connections_leaves_everything_where_it_began)
{
    static struct loop_stats before, after;
    static unsigned fds_before, target;
    static size_t memory_before;
    static int round;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (round = 0; round < 2; round++) {
        fds_before = count_fds();
        memory_before = allocated_bytes();
        loop_get_stats(env->loop, &before);
        churn_started = churn_done = 0;
        for (target = 0; target < AT_ONCE; target++) {
            churn(&churners[target], 0);
        }
        WAIT_UNTIL(churn_done == CHURN);
        while (served().connections_now > 0) {
            AWAIT(turns(env->scope, 1, GO));
        }
        AWAIT(turns(env->scope, 3, GO));
        loop_get_stats(env->loop, &after);
        CHECK_IS(count_fds(), fds_before);
        CHECK_IS(after.scopes_now, before.scopes_now);
        CHECK_IS(after.fds_now, before.fds_now);
        CHECK_IS(after.jobs_now, before.jobs_now);
    }
    CHECK_IS(after.job_slots, before.job_slots);
    CHECK(HAS_SANITIZER || allocated_bytes() < memory_before + 65536);
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

LOOP_TEST(idle_server_makes_no_wakeups)
{
    enum { N = 50 };
    static struct loop_stats before, after;
    static int fds[N];
    static long switches;
    static int64_t cpu;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&serving.address.u.ipv4);
    }
    while (served().connections_now < N) {
        AWAIT(turns(env->scope, 1, GO));
    }
    AWAIT(turns(env->scope, 10, GO));
    loop_get_stats(env->loop, &before);
    switches = voluntary_switches();
    cpu = cpu_time_ns();
    AWAIT(loop_sleep(env->scope, 300 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    CHECK(after.enters - before.enters <= 4);
    CHECK(voluntary_switches() - switches <= 4);
    CHECK(cpu_time_ns() - cpu < 10 * LOOP_MILLISECOND);
    CHECK_IS(after.wakeups, before.wakeups);
    for (int i = 0; i < N; i++) {
        close(fds[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

/* ---- storms of signals ---- */

static volatile sig_atomic_t storms;

static void on_storm(int number)
{
    (void)number;
    storms = storms + 1;
}

static void set_storm(long microseconds)
{
    struct sigaction action = {.sa_handler = on_storm}; /* without SA_RESTART */
    struct itimerval every = {{0, microseconds}, {0, microseconds}};

    CHECK_IS(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_IS(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static int64_t busy_work(void *unused)
{
    (void)unused;
    for (int64_t until = now_ns() + LOOP_MILLISECOND; now_ns() < until;) {
    }
    return 7;
}

LOOP_TEST(storm_of_signals_is_seen_by_nobody)
{
    enum { LENGTH = 200000 };
    static char sent[LENGTH], got[LENGTH];
    static struct loop_flow *client, *file;
    static struct once work, sleep, write;
    static int64_t until;
    static int round;

    BEGIN;
    until = now_ns() + 300 * LOOP_MILLISECOND;
    set_storm(1000);
    serve_well(env->scope, echo_by_copy);
    for (round = 0; now_ns() < until || storms < 20; round++) {
        memset(&work, 0, sizeof work);
        memset(&sleep, 0, sizeof sleep);
        memset(&write, 0, sizeof write);
        AWAIT(loop_connect(env->scope, &serving.address, NULL, &client, GO));
        CHECK_IS(result, 0);
        fill_pattern(sent, LENGTH, (unsigned)round);
        START(loop_work(env->scope, busy_work, NULL, ONCE(&work)));
        START(loop_sleep(env->scope, 2 * LOOP_MILLISECOND, ONCE(&sleep)));
        file = flow_of(env->scope, make_file("", 0));
        START(loop_write(&file->sink, sent, LENGTH, ONCE(&write)));
        START(loop_write(&client->sink, sent, LENGTH, NULL, NULL));
        AWAIT(loop_read_exact(&client->source, got, LENGTH, GO));
        CHECK_IS(result, LENGTH);
        CHECK(memcmp(sent, got, LENGTH) == 0);
        WAIT_UNTIL(work.count && sleep.count && write.count);
        ONCE_IS(work, 7);
        ONCE_IS(sleep, 0);
        ONCE_IS(write, LENGTH);
        loop_fd_destroy(client->fd);
        loop_fd_destroy(file->fd);
    }
    set_storm(0);
    CHECK(storms >= 20);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}

/* ---- streams stopped from inside ---- */

static struct {
    loop_job job;
    size_t got, stop_at;
    bool pauses;
    unsigned ends, stops;
    int64_t end;
    struct loop *loop;
} stopped;

static void stop_inside(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    CHECK_IS(stopped.ends, 0);
    if (!chunk) {
        stopped.ends++;
        stopped.end = result;
        script_poke();
        return;
    }
    CHECK(is_pattern_at(loop_chunk_data(chunk), (size_t)result, 3, stopped.got));
    stopped.got += (size_t)result;
    if (stopped.got < stopped.stop_at) {
        return;
    }
    if (stopped.pauses) {
        CHECK_IS(loop_stream_pause(stopped.loop, stopped.job), 0);
    } else if (stopped.stops == 0) {
        CHECK_IS(loop_cancel(stopped.loop, stopped.job), 0);
    }
    stopped.stops++;
    script_poke();
}

/* Cancelled from inside, what the stream has read is delivered, and the rest is there for a plain read. */
LOOP_TEST(stream_cancelled_in_its_own_continuation_loses_nothing)
{
    enum { LENGTH = 200000 };
    static char sent[LENGTH], got[LENGTH];
    static struct loop_flow *flows[2];
    static struct once write;
    static int round;

    BEGIN;
    fill_pattern(sent, LENGTH, 3);
    for (round = 0; round < 8; round++) {
        make_flows(env->scope, flows);
        memset(&write, 0, sizeof write);
        memset(&stopped, 0, sizeof stopped);
        stopped.loop = env->loop;
        stopped.stop_at = (size_t)round * 12345 + 1;
        START(loop_write(&flows[1]->sink, sent, LENGTH, ONCE(&write)));
        stopped.job = START(loop_stream(&flows[0]->source, stop_inside, NULL));
        WAIT_UNTIL(stopped.ends);
        CHECK_IS(stopped.end, -ECANCELED);
        CHECK(stopped.got >= stopped.stop_at && stopped.got <= stopped.stop_at + 16 * 4096);
        AWAIT(loop_read_exact(&flows[0]->source, got, LENGTH - stopped.got, GO));
        CHECK_IS(result, LENGTH - stopped.got);
        CHECK(is_pattern_at(got, LENGTH - stopped.got, 3, stopped.got));
        WAIT_UNTIL(write.count);
        loop_fd_destroy(flows[0]->fd);
        loop_fd_destroy(flows[1]->fd);
    }
    CHECK_IS(loop_region_avail(env->loop), loop_region_count(env->loop));
    END;
}

LOOP_TEST(stream_paused_in_its_own_continuation_loses_nothing)
{
    enum { LENGTH = 100000 };
    static char sent[LENGTH];
    static struct loop_flow *flows[2];
    static unsigned stops;
    static size_t got;

    BEGIN;
    fill_pattern(sent, LENGTH, 3);
    make_flows(env->scope, flows);
    stopped.loop = env->loop;
    stopped.pauses = true;
    START(loop_write(&flows[1]->sink, sent, LENGTH, NULL, NULL));
    stopped.job = START(loop_stream(&flows[0]->source, stop_inside, NULL));
    while (stopped.got < LENGTH) {
        stops = stopped.stops;
        WAIT_UNTIL(stopped.stops > stops);
        got = stopped.got;
        AWAIT(turns(env->scope, 4, GO));
        CHECK_IS(stopped.got, got); /* nothing comes while it is paused */
        CHECK_IS(loop_stream_resume(env->loop, stopped.job), 0);
    }
    loop_stream_resume(env->loop, stopped.job);
    stopped.pauses = false;
    stopped.stops = 1;
    START(loop_shutdown(&flows[1]->sink, NULL, NULL));
    WAIT_UNTIL(stopped.ends);
    CHECK_IS(stopped.end, 0);
    CHECK_IS(stopped.got, LENGTH);
    END;
}

/* ---- keepers of chunks ---- */

static struct loop_chunk *kept[8];
static unsigned n_kept;
static size_t kept_bytes;

static void keep_it(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    if (chunk) {
        CHECK(n_kept < COUNT_OF(kept));
        CHECK(is_pattern_at(loop_chunk_data(chunk), (size_t)result, 3, kept_bytes));
        CHECK_IS(loop_chunk_keep(script.env->loop, chunk), 0);
        kept[n_kept++] = chunk;
        kept_bytes += (size_t)result;
    } else {
        CHECK_IS(result, 0);
        stopped.ends++;
    }
    script_poke();
}

LOOP_TEST_WITH(keepers_of_all_chunks_hold_streams_back_and_nothing_else, .n_blocks = 8, .block_size = 512)
{
    enum { LENGTH = 20000 };
    static char sent[LENGTH];
    static struct loop_flow *flows[2], *others[2];
    static struct once write, copy;
    static char bytes[4];
    static size_t count;

    BEGIN;
    fill_pattern(sent, LENGTH, 3);
    make_flows(env->scope, flows);
    make_flows(env->scope, others);
    count = loop_region_count(env->loop);
    START(loop_write(&flows[1]->sink, sent, LENGTH, ONCE(&write)));
    START(loop_shutdown(&flows[1]->sink, NULL, NULL));
    START(loop_stream(&flows[0]->source, keep_it, NULL));
    START(loop_copy(&others[1]->source, &others[1]->sink, ONCE(&copy)));
    while (!stopped.ends) {
        WAIT_UNTIL(n_kept == count || stopped.ends);
        /* Plain reads and copies go on meanwhile. */
        AWAIT(loop_write(&others[0]->sink, "more", 4, GO));
        AWAIT(loop_read_exact(&others[0]->source, bytes, 4, GO));
        CHECK_IS(result, 4);
        CHECK(n_kept == count || stopped.ends);
        CHECK(stopped.ends || !loop_chunk_alloc(env->loop));
        while (n_kept > 0) {
            CHECK_IS(loop_chunk_free(env->loop, kept[--n_kept]), 0);
        }
    }
    CHECK_IS(kept_bytes, LENGTH);
    CHECK_IS(loop_region_avail(env->loop), count);
    loop_flow_close(others[0]);
    WAIT_UNTIL(copy.count);
    END;
}
