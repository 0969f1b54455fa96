/* SPDX-License-Identifier: ISC
 *
 * bulk SENDER RECEIVER BYTES DATAGRAMS
 *
 * Sends DATAGRAMS datagrams of BYTES bytes over loopback, from a process on the first CPU to one on the last. SENDER is
 * `plain`, sendmmsg(2) of 64 datagrams by hand; `split`, the same of trains that the kernel splits (UDP_SEGMENT);
 * `noria`, loop_datagram_put of each; or `train`, loop_datagram_put_with of many at a time. RECEIVER is `plain`,
 * recvmmsg(2) of 64 datagrams, or `noria`. The receiver answers after some datagrams, so that none are lost.
 *
 * Prints one line: nanoseconds of processor time, user and kernel, for each datagram, of the sender and of the
 * receiver. Over loopback the sender's includes the way of the datagram through the kernel up to the receiver's socket.
 */
#include "bench.h"

#include <loop/loop.h>
#include <net/net.h>

#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 64
#define MOST_BYTES 1472
#define BUFFER_BYTES (16 << 20)
#define BYTES_OF_BUFFER 4096 /* that a datagram takes, and more */
#define MOST_WINDOW 1024
#define PARTS 4 /* of the window; the receiver answers after each */

static struct bulk {
    const char *sender, *receiver;
    size_t bytes;
    uint64_t total, sent, answered, received;
    unsigned window;
    int number; /* the socket of this process */
    struct loop_datagram_socket *socket;
    struct rusage before;
    bool is_counting;
} bulk;

static char payload[MOST_WINDOW * MOST_BYTES];

/* ---- both processes ---- */

static double nanoseconds(struct timeval time)
{
    return (double)time.tv_sec * 1e9 + (double)time.tv_usec * 1e3;
}

/* Returns the processor time since `before`, for each datagram. */
static double cost(void)
{
    struct rusage after;

    getrusage(RUSAGE_SELF, &after);
    return (nanoseconds(after.ru_utime) - nanoseconds(bulk.before.ru_utime) + nanoseconds(after.ru_stime) -
            nanoseconds(bulk.before.ru_stime)) /
           (double)bulk.total;
}

static void open_both(int pair[2])
{
    struct sockaddr_in at[2];
    socklen_t length = sizeof at[0];
    int size = BUFFER_BYTES;

    for (int i = 0; i < 2; i++) {
        pair[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        at[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (bind(pair[i], (struct sockaddr *)&at[i], length) < 0 ||
            getsockname(pair[i], (struct sockaddr *)&at[i], &length) < 0) {
            bench_fail("bind");
        }
        if (setsockopt(pair[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) {
            (void)setsockopt(pair[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        }
    }
    for (int i = 0; i < 2; i++) {
        if (connect(pair[i], (struct sockaddr *)&at[1 - i], length) < 0) {
            bench_fail("connect");
        }
    }
    length = sizeof size;
    (void)getsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &size, &length);
    bulk.window = (unsigned)size / BYTES_OF_BUFFER < MOST_WINDOW ? (unsigned)size / BYTES_OF_BUFFER : MOST_WINDOW;
}

static unsigned part(void)
{
    return bulk.window / PARTS;
}

/* ---- receiving ---- */

/* Counts datagrams. Returns whether an answer is due. */
static bool count(uint64_t n)
{
    uint64_t before = bulk.received;

    bulk.received += n;
    return before / part() != bulk.received / part() || bulk.received == bulk.total;
}

static void receive_plain(void)
{
    static char bytes[AT_ONCE][MOST_BYTES];
    struct mmsghdr headers[AT_ONCE] = {0};
    struct iovec vectors[AT_ONCE];

    for (int i = 0; i < AT_ONCE; i++) {
        vectors[i] = (struct iovec){bytes[i], MOST_BYTES};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    while (bulk.received < bulk.total) {
        int n = recvmmsg(bulk.number, headers, AT_ONCE, MSG_WAITFORONE, NULL);
        if (n < 0) {
            bench_fail("recvmmsg");
        }
        if (count((uint64_t)n) && send(bulk.number, &bulk.received, sizeof bulk.received, 0) < 0) {
            bench_fail("send");
        }
    }
}

static void on_datagram(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    (void)arg;
    if (!datagram) {
        return;
    }
    if (result < 0 || (size_t)result != bulk.bytes) {
        bench_refuse("a datagram ended with %lld", (long long)result);
    }
    if (count(1) && loop_datagram_put(bulk.socket, NULL, &bulk.received, sizeof bulk.received) < 0) {
        bench_refuse("no answer");
    }
    if (bulk.received == bulk.total) {
        (void)loop_datagram_wait_drained(bulk.socket, NULL, NULL);
        loop_scope_unhold(loop_fd_scope(loop_datagram_fd(bulk.socket)));
    }
}

static int receiver_main(struct loop_env *env, void *arg)
{
    static const struct loop_datagram_options options = {.max_bytes = MOST_BYTES};
    const int yes = 1;

    (void)arg;
    (void)setsockopt(bulk.number, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes); /* as a socket that the library opens */
    if (loop_datagram_adopt(env->scope, bulk.number, &options, &bulk.socket) < 0) {
        bench_refuse("no socket");
    }
    loop_scope_hold(env->scope);
    loop_daemon(env->loop, loop_datagram_stream(bulk.socket, on_datagram, NULL));
    return 0;
}

/* ---- sending ---- */

/* Returns how many more may be on their way now, up to a part of the window. */
static unsigned room(void)
{
    uint64_t room = bulk.window - (bulk.sent - bulk.answered), left = bulk.total - bulk.sent;

    return (unsigned)(left < room ? left : room);
}

static void send_by_hand(unsigned n, unsigned joined)
{
    struct mmsghdr headers[AT_ONCE] = {0};
    struct iovec vectors[AT_ONCE];
    _Alignas(struct cmsghdr) char control[AT_ONCE][CMSG_SPACE(sizeof(uint16_t))];
    unsigned n_messages = 0;

    for (unsigned at = 0; at < n && n_messages < AT_ONCE; n_messages++) {
        unsigned taken = n - at < joined ? n - at : joined;
        vectors[n_messages] = (struct iovec){payload + (size_t)at * bulk.bytes, taken * bulk.bytes};
        struct msghdr *header = &headers[n_messages].msg_hdr;
        *header = (struct msghdr){.msg_iov = &vectors[n_messages], .msg_iovlen = 1};
        if (taken > 1) {
            uint16_t segment = (uint16_t)bulk.bytes;
            header->msg_control = control[n_messages];
            header->msg_controllen = sizeof control[n_messages];
            struct cmsghdr *message = CMSG_FIRSTHDR(header);
            *message = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof segment), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
            memcpy(CMSG_DATA(message), &segment, sizeof segment);
        }
        at += taken;
        bulk.sent += taken;
    }
    if (sendmmsg(bulk.number, headers, n_messages, 0) != (int)n_messages) {
        bench_fail("sendmmsg");
    }
}

static void send_plain(bool splits)
{
    struct timeval second = {.tv_sec = 1};
    size_t most = 65000 / bulk.bytes;
    unsigned joined = !splits ? 1 : most < AT_ONCE ? (unsigned)most : AT_ONCE;

    (void)setsockopt(bulk.number, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    while (bulk.answered < bulk.total) {
        while (room() > 0) {
            send_by_hand(room(), joined);
        }
        if (recv(bulk.number, &bulk.answered, sizeof bulk.answered, 0) < 0) {
            bench_fail("datagrams were lost: recv");
        }
    }
}

static void put_some(void)
{
    const struct loop_datagram_send_options train = {.segment_bytes = bulk.bytes};
    unsigned n = room();
    int error = 0;

    if (bulk.sender[0] == 't' && n > 0) {
        error = loop_datagram_put_with(bulk.socket, &train, NULL, payload, n * bulk.bytes);
    }
    for (unsigned i = 0; bulk.sender[0] != 't' && i < n && error == 0; i++) {
        error = loop_datagram_put(bulk.socket, NULL, payload + i * bulk.bytes, bulk.bytes);
    }
    if (error < 0) {
        bench_refuse("a datagram was refused: %s", strerror(-error));
    }
    bulk.sent += n;
}

static void on_answer(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    (void)arg;
    if (!datagram || result != (int64_t)sizeof bulk.answered) {
        return;
    }
    memcpy(&bulk.answered, datagram->data, sizeof bulk.answered);
    if (bulk.answered == bulk.total) {
        (void)loop_datagram_close(bulk.socket);
    } else {
        put_some();
    }
}

static int sender_main(struct loop_env *env, void *arg)
{
    static const struct loop_datagram_options options = {.limit_bytes = BUFFER_BYTES, .max_bytes = MOST_BYTES};

    (void)arg;
    if (loop_datagram_adopt(env->scope, bulk.number, &options, &bulk.socket) < 0) {
        bench_refuse("no socket");
    }
    (void)loop_datagram_stream(bulk.socket, on_answer, NULL);
    put_some();
    return 0;
}

/* ---- the processes ---- */

static void run_receiver(int report)
{
    bench_pin((int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
    getrusage(RUSAGE_SELF, &bulk.before);
    if (strcmp(bulk.receiver, "noria") == 0) {
        (void)loop_run(0, 0, 0, NULL, receiver_main, NULL);
    } else {
        receive_plain();
    }
    double spent = cost();
    _exit(write(report, &spent, sizeof spent) != (ssize_t)sizeof spent);
}

static void run_sender(void)
{
    bench_pin(0);
    getrusage(RUSAGE_SELF, &bulk.before);
    if (strcmp(bulk.sender, "plain") == 0 || strcmp(bulk.sender, "split") == 0) {
        send_plain(bulk.sender[0] == 's');
    } else {
        (void)loop_run(0, 0, 0, NULL, sender_main, NULL);
    }
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

int main(int argc, char **argv)
{
    static const char *const senders[] = {"plain", "split", "noria", "train", NULL};
    int pair[2], report[2], status = 0;
    double received = 0;

    if (argc != 5 || !is_one_of(argv[1], senders) || !is_one_of(argv[2], senders)) {
        bench_refuse("usage: bulk plain|split|noria|train plain|noria BYTES DATAGRAMS");
    }
    bulk = (struct bulk){.sender = argv[1],
                         .receiver = argv[2],
                         .bytes = (size_t)strtoul(argv[3], NULL, 10),
                         .total = strtoull(argv[4], NULL, 10)};
    if (bulk.bytes < sizeof bulk.answered || bulk.bytes > MOST_BYTES || bulk.total == 0) {
        bench_refuse("%zu bytes or %llu datagrams", bulk.bytes, (unsigned long long)bulk.total);
    }
    open_both(pair);
    pid_t child = pipe(report) == 0 ? fork() : -1;
    bulk.number = pair[child == 0];
    close(pair[child != 0]);
    if (child == 0) {
        run_receiver(report[1]);
    } else if (child < 0) {
        bench_fail("fork");
    }
    run_sender();
    double sent = cost();
    if (read(report[0], &received, sizeof received) != (ssize_t)sizeof received || waitpid(child, &status, 0) < 0 ||
        status != 0) {
        bench_refuse("the receiver failed");
    }
    printf("%.1f %.1f\n", sent, received);
    return 0;
}
