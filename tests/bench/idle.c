/* SPDX-License-Identifier: ISC
 *
 * idle none|read|stream|copy: serves 1000 connections and then 7000 more, and prints what each of the latter costs
 * while nothing happens on it: bytes from the allocator, before any data and after a message was echoed on each, and
 * bytes of the kernel's slabs for both of its ends. The argument is the job that each connection has. tests/bench/idle
 * builds and runs it.
 *
 * The clients are in a process of their own, so that nothing of them is counted. The counts fill the tables that grow
 * by doubling, and no slab is so large that it grows by huge pages.
 */
#include <net/net.h>

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FEW = 1000, MANY = 8000 };

struct sample {
    long heap, slab; /* bytes */
};

static struct loop_env *env;
static struct loop_server *server;
static const char *job;
static char messages[MANY];
static unsigned opened;
static struct sample few, many, after;
static int orders[2], answers[2]; /* pipes to and from the clients */
static char answer;

static void stop(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* ---- the clients ---- */

struct order {
    struct sockaddr_in to;
    unsigned connections; /* open so many more; 0: exchange a byte on each */
};

static void order(unsigned connections)
{
    struct loop_address address;
    struct order order = {.connections = connections};

    loop_listener_address(loop_server_listener(server), &address);
    order.to = address.u.ipv4;
    if (write(orders[1], &order, sizeof order) != sizeof order) {
        stop("an order");
    }
}

static void open_one(const struct sockaddr_in *to, int *number)
{
    *number = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*number < 0 || connect(*number, (const struct sockaddr *)to, sizeof *to) != 0) {
        stop("a connection");
    }
}

static void exchange(const int *numbers)
{
    char byte = 'x';

    for (unsigned i = 0; i < MANY; i++) {
        if (send(numbers[i], &byte, 1, MSG_NOSIGNAL) != 1 || recv(numbers[i], &byte, 1, 0) != 1) {
            stop("a message");
        }
    }
    if (write(answers[1], &byte, 1) != 1) {
        stop("an answer");
    }
}

static void be_clients(void)
{
    static int numbers[MANY];
    unsigned n = 0;
    struct order order;

    close(orders[1]);
    while (read(orders[0], &order, sizeof order) == sizeof order) {
        if (order.connections == 0) {
            exchange(numbers);
        }
        for (; order.connections > 0; order.connections--) {
            open_one(&order.to, &numbers[n++]);
        }
    }
    exit(EXIT_SUCCESS);
}

/* ---- measuring ---- */

static long kernel_slab(void)
{
    char line[128];
    long kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");

    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "Slab:", 5) == 0) {
            kib = strtol(line + 5, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return kib * 1024;
}

static struct sample measure(void)
{
    struct mallinfo2 info = mallinfo2();

    return (struct sample){.heap = (long)(info.uordblks + info.hblkhd), .slab = kernel_slab()};
}

static void report(void)
{
    double before = (double)(many.heap - few.heap) / (MANY - FEW);
    double later = before + (double)(after.heap - many.heap) / MANY;

    printf("%-8s %-6s %8.1f %8.1f %8.0f\n", loop_backend_name(env->loop), job, before, later,
           (double)(many.slab - few.slab) / (MANY - FEW));
    exit(EXIT_SUCCESS); /* the connections are left to the kernel */
}

static void on_answer(void *arg, int64_t result)
{
    (void)arg;
    if (result == 1) {
        after = measure();
        report();
    }
}

static void on_opened(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    if (opened == FEW) {
        few = measure();
        order(MANY - FEW);
    } else {
        many = measure();
        if (strcmp(job, "none") == 0) {
            after = many;
            report();
        } else {
            order(0);
        }
    }
}

/* ---- the server ---- */

static void on_read(void *arg, int64_t result);

static void read_next(struct loop_flow *flow)
{
    static unsigned n;

    loop_read(&flow->source, &messages[n++ % MANY], 1, on_read, flow);
}

static void on_read(void *arg, int64_t result)
{
    struct loop_flow *flow = arg;

    if (result > 0) {
        loop_write(&flow->sink, "x", 1, NULL, NULL);
        read_next(flow);
    }
}

static void on_chunk(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *flow = arg;

    if (chunk) {
        loop_write(&flow->sink, "x", (size_t)result, NULL, NULL);
    }
}

static void on_copied(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

static void on_connection(struct loop_flow *flow, void *arg)
{
    (void)arg;
    if (strcmp(job, "read") == 0) {
        read_next(flow);
    } else if (strcmp(job, "stream") == 0) {
        loop_stream(&flow->source, on_chunk, flow);
    } else if (strcmp(job, "copy") == 0) {
        loop_copy(&flow->source, &flow->sink, on_copied, NULL);
    } else {
        loop_scope_hold(flow->scope);
    }
    if (++opened == FEW || opened == MANY) {
        loop_sleep(env->scope, LOOP_SECOND / 10, on_opened, NULL);
    }
}

static int serve(struct loop_env *given, void *unused)
{
    struct loop_address address;
    struct loop_serve_options options = {.listen.backlog = MANY};

    (void)unused;
    env = given;
    struct loop_fd *fd = loop_fd_adopt(env->scope, answers[0]);
    if (!fd || !loop_read(&loop_fd_flow(fd)->source, &answer, 1, on_answer, NULL)) {
        stop("the answers");
    }
    loop_address_parse(&address, "tcp:127.0.0.1:0");
    int error = loop_serve(env->scope, &address, &options, &server, on_connection, NULL);
    if (error) {
        errno = -error;
        stop("the server");
    }
    order(FEW);
    return 0;
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    job = argc == 2 ? argv[1] : "";
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || pipe(orders) != 0 || pipe(answers) != 0) {
        stop("the start");
    }
    signal(SIGCHLD, SIG_IGN);
    if (fork() == 0) {
        be_clients();
    }
    close(orders[0]);
    return loop_run(256, 64, 4096, NULL, serve, NULL) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
