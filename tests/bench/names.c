/* SPDX-License-Identifier: ISC
 *
 * names CLIENT COUNT AT_ONCE
 *
 * Looks COUNT names up, AT_ONCE at a time, each for its IPv4 address, with a server in another process that answers
 * every question at once. CLIENT is `noria`, loop_resolve_name without a cache, or `cares`, ares_getaddrinfo with one
 * channel and poll(2). Both look into the hosts file first, and both have a port that is a number. c-ares closes its
 * socket when no question is left: the next look-up begins when the last one is over.
 *
 * Prints one line: microseconds of processor time of the client, user and kernel, for each look-up, and those that have
 * passed.
 */
#include <net/names.h>

#include <ares.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct names {
    unsigned long total, started, done;
    struct sockaddr_in server;
    ares_channel channel;
    struct loop_env *env;
    struct loop_resolver *resolver;
} names;

static void fail(const char *what)
{
    fprintf(stderr, "names: %s\n", what);
    exit(1);
}

static const char *next_name(char text[64])
{
    snprintf(text, 64, "host-%lu.test.", names.started++);
    return text;
}

/* ---- the server ---- */

/* Appends an A record of the question's name. Queries end behind the question, or with an EDNS record that is cut off.
 */
static size_t answer(unsigned char *message, size_t len)
{
    static const unsigned char record[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};
    size_t at = 12;

    while (at < len && message[at] > 0) {
        at += message[at] + 1u;
    }
    at += 5;
    memcpy(message + 2, (const unsigned char[]){0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, 10);
    memcpy(message + at, record, sizeof record);
    return at + sizeof record;
}

static void serve(int number)
{
    unsigned char message[1024];
    struct sockaddr_in client;

    for (;;) {
        socklen_t length = sizeof client;
        ssize_t n = recvfrom(number, message, 512, 0, (struct sockaddr *)&client, &length);
        if (n > 17) {
            (void)sendto(number, message, answer(message, (size_t)n), 0, (struct sockaddr *)&client, length);
        }
    }
}

static pid_t start_server(void)
{
    int number = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof names.server;

    names.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (number < 0 || bind(number, (struct sockaddr *)&names.server, length) != 0 ||
        getsockname(number, (struct sockaddr *)&names.server, &length) != 0) {
        fail("no socket for the server");
    }
    pid_t pid = fork();
    if (pid == 0) {
        serve(number);
    }
    close(number);
    return pid;
}

/* ---- Noria ---- */

struct lookup {
    struct loop_addresses *found;
};

static void look_up(struct lookup *lookup);

static void on_found(void *arg, int64_t result)
{
    struct lookup *lookup = arg;

    if (result != 1) {
        fail("a look-up has failed");
    }
    free(lookup->found);
    names.done++;
    if (names.started < names.total) {
        look_up(lookup);
    }
}

static void look_up(struct lookup *lookup)
{
    const struct loop_resolve_options options = {.resolver = names.resolver, .family = AF_INET};
    char text[64];

    if (!loop_resolve_name(names.env->scope, next_name(text), "80", &options, &lookup->found, NULL, on_found, lookup)) {
        fail("no memory");
    }
}

static int start_noria(struct loop_env *env, void *at_once)
{
    struct loop_address server = {.length = sizeof server.u.ipv4, .u.ipv4 = names.server};
    const struct loop_resolver_options options = {.servers = &server, .n_servers = 1};
    unsigned long n = *(unsigned long *)at_once;
    struct lookup *lookups = loop_scope_alloc(env->scope, n * sizeof *lookups);

    names.env = env;
    names.resolver = loop_resolver_open(env->scope, &options);
    for (unsigned long i = 0; i < n && names.started < names.total; i++) {
        look_up(&lookups[i]);
    }
    return 0;
}

/* ---- c-ares ---- */

static void on_answer(void *unused, int status, int timeouts, struct ares_addrinfo *found)
{
    (void)unused;
    (void)timeouts;
    if (status != ARES_SUCCESS) {
        fail(ares_strerror(status));
    }
    ares_freeaddrinfo(found);
    names.done++;
}

static void ask(void)
{
    const struct ares_addrinfo_hints hints = {.ai_family = AF_INET, .ai_flags = ARES_AI_NUMERICSERV};
    char text[64];

    ares_getaddrinfo(names.channel, next_name(text), "80", &hints, on_answer, NULL);
}

static void open_channel(void)
{
    char lookups[] = "fb";
    struct ares_options options = {.lookups = lookups, .timeout = 5000, .tries = 2};
    int port = ntohs(names.server.sin_port);
    struct ares_addr_port_node node = {
        .family = AF_INET, .addr.addr4 = names.server.sin_addr, .udp_port = port, .tcp_port = port};

    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&names.channel, &options, ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) !=
            ARES_SUCCESS ||
        ares_set_servers_ports(names.channel, &node) != ARES_SUCCESS) {
        fail("no channel");
    }
}

/* Waits for the sockets of the channel, and lets it handle one after another. */
static void turn(void)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    struct pollfd entries[ARES_GETSOCK_MAXNUM];
    unsigned n = 0, bits = (unsigned)ares_getsock(names.channel, sockets, ARES_GETSOCK_MAXNUM);

    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        if (ARES_GETSOCK_READABLE(bits, i)) {
            entries[n++] = (struct pollfd){.fd = sockets[i], .events = POLLIN};
        }
    }
    if (poll(entries, n, 5000) <= 0) {
        fail("no answer");
    }
    for (unsigned i = 0; i < n; i++) {
        if (entries[i].revents) {
            ares_process_fd(names.channel, entries[i].fd, ARES_SOCKET_BAD);
        }
    }
}

static void run_cares(unsigned long at_once)
{
    open_channel();
    while (names.done < names.total) {
        while (names.started - names.done < at_once && names.started < names.total) {
            ask();
        }
        turn();
    }
    ares_destroy(names.channel);
}

/* ---- measuring ---- */

static double used_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return 1e6 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fail("usage: names noria|cares COUNT AT_ONCE");
    }
    unsigned long at_once = strtoul(argv[3], NULL, 10);
    names.total = strtoul(argv[2], NULL, 10);
    pid_t server = start_server();
    double used = used_us(), passed = now_us();
    if (strcmp(argv[1], "noria") == 0) {
        loop_run_with(NULL, start_noria, &at_once);
    } else {
        run_cares(at_once);
    }
    used = used_us() - used;
    passed = now_us() - passed;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    if (names.done != names.total) {
        fail("some look-ups have not ended");
    }
    printf("%.2f %.2f\n", used / (double)names.total, passed / (double)names.total);
    return 0;
}
