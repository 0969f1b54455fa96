/* SPDX-License-Identifier: ISC
 *
 * Programs that a service manager starts, and that are replaced under load (<service/service.h>). The programs are this
 * one, started again: a variable says what it is then.
 */
#include "sockets.h"

#include <service/service.h>

#include <stdio.h>
#include <sys/wait.h>

/* ---- the server that is started ---- */

struct server {
    struct loop_service *service;
    struct loop_address address, control;
    bool has_control;
};

static void on_connection(struct loop_flow *peer, void *arg)
{
    (void)arg;
    if (!loop_copy(&peer->source, &peer->sink, NULL, NULL)) {
        loop_scope_fail(peer->scope, -ENOMEM);
    }
}

static void on_ready(void *arg, int64_t result)
{
    struct server *server = arg;

    if (result == 0 && server->has_control) {
        (void)loop_service_offer(server->service, &server->control, NULL, NULL, NULL);
        (void)loop_service_notify(server->service, "STATUS=offering");
    }
}

static void on_taken(void *arg, int64_t result)
{
    static const struct loop_serve_options options = {.stop_on_signals = true};
    struct server *server = arg;

    if (result < 0 ||
        loop_service_serve(server->service, "echo", &server->address, &options, NULL, on_connection, NULL) ||
        !loop_service_ready(server->service, on_ready, server)) {
        _exit(3);
    }
}

static int start_server(struct loop_env *env, void *arg)
{
    struct server *server = arg;
    const char *control = getenv("SERVER_CONTROL");

    if (loop_address_parse(&server->address, getenv("SERVER_ADDRESS")) ||
        loop_service_open(env->scope, &server->service)) {
        return 4;
    }
    server->has_control = control != NULL;
    if (!control) {
        on_taken(server, 0);
        return 0;
    }
    return loop_address_parse(&server->control, control) ||
                   !loop_service_take_over(server->service, &server->control, on_taken, server)
               ? 5
               : 0;
}

__attribute__((constructor)) static void be_the_server(void)
{
    struct server server = {.service = NULL};

    if (getenv("SERVER_ADDRESS")) {
        _exit(loop_run(0, 0, 0, NULL, start_server, &server));
    }
}

/* ---- the manager, which is the test ---- */

static int manager; /* NOTIFY_SOCKET */
static char directory_text[60], heard[2048];

static void begin(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    snprintf(directory_text, sizeof directory_text, "%s", make_directory());
    snprintf(name.sun_path, sizeof name.sun_path, "%s/notify", directory_text);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(manager >= 0);
    CHECK_IS(bind(manager, (struct sockaddr *)&name, sizeof name), 0);
    CHECK_IS(setenv("NOTIFY_SOCKET", name.sun_path, 1), 0);
}

static void end(void)
{
    close(manager);
    remove_directory(directory_text);
}

/* Waits for the next thing that a program tells. */
static const char *hear(void)
{
    ssize_t n = recv(manager, heard, sizeof heard - 1, 0);

    CHECK(n > 0);
    heard[n] = 0;
    return heard;
}

/* Starts a server, with a listening socket as descriptor 3 unless it is -1. */
static pid_t start(const char *address, const char *control, int listener)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid > 0) {
        return pid;
    }
    if (listener >= 0) {
        char text[20];
        int copy = fcntl(listener, F_DUPFD, 10);
        snprintf(text, sizeof text, "%d", (int)getpid());
        if (dup2(copy, 3) != 3 || setenv("LISTEN_PID", text, 1) || setenv("LISTEN_FDS", "1", 1) ||
            setenv("LISTEN_FDNAMES", "echo", 1)) {
            _exit(6);
        }
        close(copy);
    }
    if (setenv("SERVER_ADDRESS", address, 1) || (control && setenv("SERVER_CONTROL", control, 1))) {
        _exit(6);
    }
    execl("/proc/self/exe", "server", (char *)NULL);
    _exit(7);
}

static void ended_with(pid_t pid, int status)
{
    int found;

    CHECK_IS(waitpid(pid, &found, 0), pid);
    CHECK_IS(found, status);
}

/* One connection: everything that is sent must come back. Returns false when it was refused or cut. */
static bool is_served(const struct sockaddr_in *address)
{
    char sent[32], got[32];
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_well = connect(client, (const struct sockaddr *)address, sizeof *address) == 0;

    for (unsigned i = 0; i < 3 && is_well; i++) {
        fill_pattern(sent, sizeof sent, i);
        is_well = send(client, sent, sizeof sent, MSG_NOSIGNAL) == sizeof sent &&
                  recv(client, got, sizeof got, MSG_WAITALL) == sizeof got && is_pattern(got, sizeof got, i);
    }
    close(client);
    return is_well;
}

/* ---- LISTEN_FDS ---- */

TEST(a_passed_socket_is_served)
{
    struct sockaddr_in address;
    int listener = make_listener(&address);

    begin();
    pid_t pid = start("tcp:127.0.0.1:0", NULL, listener);
    CHECK(is_served(&address)); /* also before the program has started: the socket listens already */
    CHECK_TEXT(hear(), "READY=1");
    CHECK_IS(kill(pid, SIGTERM), 0);
    ended_with(pid, 0);
    close(listener);
    end();
}

TEST(a_manager_restarts_a_program_without_a_refusal)
{
    struct sockaddr_in address;
    int listener = make_listener(&address);

    begin();
    for (unsigned i = 0; i < 5; i++) {
        pid_t pid = start("tcp:127.0.0.1:0", NULL, listener);
        CHECK(is_served(&address));
        CHECK_TEXT(hear(), "READY=1");
        CHECK_IS(kill(pid, SIGTERM), 0);
        ended_with(pid, 0);
    }
    close(listener);
    end();
}

struct passed {
    const char *pid, *n, *names, *watchdog, *notify;
    int result;
};

static const struct passed rows[] = {
    {"1", "1", NULL, NULL, NULL, 0}, /* for another process */
    {"0x1", "1", NULL, NULL, NULL, -EINVAL},
    {"self", "two", NULL, NULL, NULL, -EINVAL},
    {"self", "99999999999999999999", NULL, NULL, NULL, -EINVAL},
    {"self", "1000", NULL, NULL, NULL, -EBADF},
    {"self", "0", "", NULL, NULL, 0},
    {NULL, "1", NULL, NULL, NULL, 0},
    {NULL, NULL, NULL, "soon", NULL, -EINVAL},
    {NULL, NULL, NULL, "-1", NULL, -EINVAL},
    {NULL, NULL, NULL, NULL, "relative", -EINVAL},
    {NULL, NULL, NULL, NULL, "/nowhere/notify", -ENOENT},
    {NULL, NULL, NULL, NULL, "@noria-nobody-is-there", -ECONNREFUSED},
    {NULL, NULL, NULL, NULL, "", 0},
};

static void set(const char *name, const char *value)
{
    CHECK_IS(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static int open_service(struct loop_env *env, void *row)
{
    struct loop_service *service;
    int expected = ((const struct passed *)row)->result;

    CHECK_IS(loop_service_open(env->scope, &service), expected);
    CHECK_IS(service != NULL, expected == 0);
    return 0;
}

TEST_ROWS(variables_of_the_environment, COUNT_OF(rows), row)
{
    const struct passed *passed = &rows[row];
    char pid[20];

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    set("LISTEN_PID", passed->pid && strcmp(passed->pid, "self") == 0 ? pid : passed->pid);
    set("LISTEN_FDS", passed->n);
    set("LISTEN_FDNAMES", passed->names);
    set("WATCHDOG_USEC", passed->watchdog);
    set("NOTIFY_SOCKET", passed->notify);
    CHECK_IS(run(open_service, (void *)(uintptr_t)passed), 0);
}

/* ---- the watchdog ---- */

TEST(the_watchdog_is_told_that_the_loop_works)
{
    begin();
    set("WATCHDOG_USEC", "20000");
    pid_t pid = start("tcp:127.0.0.1:0", NULL, -1);
    unsigned n_ready = 0, n_ticks = 0;
    while (n_ticks < 5 || n_ready == 0) {
        bool is_tick = strcmp(hear(), "WATCHDOG=1") == 0;
        n_ticks += is_tick;
        n_ready += strcmp(heard, "READY=1") == 0;
    }
    CHECK_IS(kill(pid, SIGTERM), 0);
    ended_with(pid, 0);
    end();
}

/* ---- replacements ---- */

static void address_of(char *text, size_t size, const struct sockaddr_in *address)
{
    snprintf(text, size, "tcp:127.0.0.1:%u", ntohs(address->sin_port));
}

/* Connects as fast as it can, until it is told to stop. Its status is the number of connections that failed. */
static pid_t start_load(const struct sockaddr_in *address, int stop)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        struct pollfd told = {.fd = stop, .events = POLLIN};
        unsigned n = 0, failed = 0;
        while (poll(&told, 1, 0) == 0) {
            failed += !is_served(address);
            n++;
        }
        _exit(n == 0 ? 99 : failed < 90 ? (int)failed : 90);
    }
    return pid;
}

TEST(replacements_under_load_refuse_and_cut_nothing)
{
    enum { TIMES = 8, CLIENTS = 3 };
    struct sockaddr_in address;
    char text[40], control[160], ready[60];
    pid_t servers[TIMES + 1], clients[CLIENTS];
    int stop[2], listener = make_listener(&address);

    begin();
    address_of(text, sizeof text, &address);
    snprintf(control, sizeof control, "unix:%s/control", directory_text);
    servers[0] = start(text, control, listener);
    close(listener);
    CHECK_TEXT(hear(), "READY=1");
    CHECK_TEXT(hear(), "STATUS=offering");
    CHECK_IS(pipe(stop), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = start_load(&address, stop[0]);
    }
    for (unsigned i = 1; i <= TIMES; i++) {
        servers[i] = start(text, control, -1);
        snprintf(ready, sizeof ready, "MAINPID=%d\nREADY=1", (int)servers[i]);
        CHECK_TEXT(hear(), ready);
        CHECK_TEXT(hear(), "STATUS=offering");
        ended_with(servers[i - 1], 0);
        CHECK(is_served(&address));
    }
    CHECK_IS(write(stop[1], "x", 1), 1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        ended_with(clients[i], 0);
    }
    CHECK_IS(kill(servers[TIMES], SIGTERM), 0);
    ended_with(servers[TIMES], 0);
    close(stop[0]);
    close(stop[1]);
    end();
}

TEST(an_open_connection_outlives_a_replacement)
{
    struct sockaddr_in address;
    char text[40], control[160], ready[60], got[5] = "";
    int client, listener = make_listener(&address);

    begin();
    address_of(text, sizeof text, &address);
    snprintf(control, sizeof control, "unix:%s/control", directory_text);
    pid_t first = start(text, control, listener);
    close(listener);
    CHECK_TEXT(hear(), "READY=1");
    CHECK_TEXT(hear(), "STATUS=offering");
    client = connect_to(&address);
    CHECK_IS(send(client, "one!", 4, 0), 4);
    CHECK_IS(recv(client, got, 4, MSG_WAITALL), 4);
    pid_t second = start(text, control, -1);
    snprintf(ready, sizeof ready, "MAINPID=%d\nREADY=1", (int)second);
    CHECK_TEXT(hear(), ready);
    CHECK_TEXT(hear(), "STATUS=offering");
    CHECK_IS(send(client, "two!", 4, 0), 4);
    CHECK_IS(recv(client, got, 4, MSG_WAITALL), 4);
    CHECK_TEXT(got, "two!");
    CHECK_IS(waitpid(first, NULL, WNOHANG), 0);
    close(client);
    ended_with(first, 0);
    CHECK(is_served(&address));
    CHECK_IS(kill(second, SIGKILL), 0);
    ended_with(second, SIGKILL);
    end();
}
