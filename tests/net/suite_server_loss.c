/* SPDX-License-Identifier: ISC
 *
 * Servers whose domains fail: what waits for such a domain is served by the others, and no connection is reset.
 */
#include <loop/kernel/thread.h> /* its parameters have names that the harness has, too */

#include "sockets.h"

#include <stdatomic.h>
#include <time.h>
#if NORIA_HARD_MODES
#include <loop/kernel/fail.h>
#endif

enum { DOMAINS = 3, CLIENTS = 48 };

static LOOP_KERNEL_THREAD_LOCAL struct loop_env *domain_env;
static LOOP_KERNEL_THREAD_LOCAL unsigned domain_index;
static LOOP_KERNEL_THREAD_LOCAL bool is_victim;
static atomic_uint begun, over, n_victims;
static atomic_bool may_fail, has_failed;

static int prepare(struct loop_env *env, unsigned index, void *arg)
{
    (void)arg;
    domain_index = index;
    domain_env = env;
    return 0;
}

static void on_over(void *unused)
{
    (void)unused;
    atomic_fetch_add(&over, 1);
}

static void echo_in_domain(struct loop_flow *peer)
{
    CHECK(!is_victim);
    CHECK(loop_scope_defer(peer->scope, on_over, NULL));
    CHECK(loop_copy(&peer->source, &peer->sink, NULL, NULL) != 0);
}

/* The domain that gets the first connection does nothing until it may fail. All that arrives for it meanwhile waits. */
static void fail_or_echo(struct loop_flow *peer, void *unused)
{
    (void)unused;
    if (atomic_fetch_add(&begun, 1) > 0) {
        echo_in_domain(peer);
        return;
    }
    is_victim = true;
    while (!atomic_load(&may_fail)) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    loop_scope_fail(domain_env->scope, -EIO);
    atomic_store(&has_failed, true);
}

static struct loop_flow *clients[CLIENTS];
static int i;
static char byte;

static void serve_in_domains(struct loop_scope *scope, unsigned limit, loop_connection_fn *fn)
{
    struct loop_serve_options options = {.domains = DOMAINS, .domain_main = prepare, .max_connections = limit};

    serve(scope, options, fn);
}

/* By a listener for each domain, and by one for all. */
static const unsigned limits[] = {0, 1000};

LOOP_TEST_ROWS(what_waits_for_a_domain_that_fails_is_served_by_others, COUNT_OF(limits))
{
    BEGIN;
    serve_in_domains(env->scope, limits[script.row], fail_or_echo);
    clients[0] = visit(env->scope);
    while (!begun) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (i = 1; i < CLIENTS; i++) {
        clients[i] = visit(env->scope);
    }
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    atomic_store(&may_fail, true);
    for (i = 1; i < CLIENTS; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
    }
    AWAIT(loop_read(&clients[0]->source, &byte, 1, GO)); /* the one that was served there */
    CHECK(result <= 0);
    CHECK(has_failed);
    loop_flow_close(clients[0]);
    while (!strstr(log_text(), "has ended")) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (i = 0; i < 20; i++) { /* the kernel still chooses the listener of that domain for some */
        clients[0] = visit(env->scope);
        AWAIT(talk(clients[0], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[0]);
    }
    for (i = 1; i < CLIENTS; i++) {
        loop_flow_close(clients[i]);
        clients[i] = visit(env->scope);
    }
    loop_server_stop(serving.server, LOOP_NEVER); /* serves those that have just come */
    for (i = 1; i < CLIENTS; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[i]);
    }
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(over, begun - 1);
    END;
}

/* ---- retiring ---- */

static atomic_bool is_armed;
static atomic_uint used;

/* Counts the domains that serve; then the one that gets the first connection does what fail_or_echo says. */
static void echo_until_armed(struct loop_flow *peer, void *unused)
{
    if (atomic_load(&is_armed)) {
        fail_or_echo(peer, unused);
    } else {
        atomic_fetch_or(&used, 1u << domain_index);
        echo_in_domain(peer);
    }
}

/* Each domain gets every third one: when the others have begun the last, all have been accepted. */
LOOP_TEST(p05_what_goes_to_a_domain_that_fails_when_the_server_has_retired_is_served_by_others)
{
    struct loop_serve_options options = {.domains = DOMAINS, .domain_main = prepare, .one_listener = true};

    BEGIN;
    serve(env->scope, options, echo_until_armed);
    while (used != (1u << DOMAINS) - 1) {
        clients[0] = visit(env->scope);
        AWAIT(talk(clients[0], GO));
        loop_flow_close(clients[0]);
    }
    atomic_store(&is_armed, true);
    clients[0] = visit(env->scope);
    while (!begun) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (i = 1; i < CLIENTS; i++) {
        clients[i] = visit(env->scope);
    }
    while (begun < 1 + CLIENTS / DOMAINS * (DOMAINS - 1)) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    loop_server_retire(serving.server, LOOP_NEVER);
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    atomic_store(&may_fail, true);
    for (i = 1; i < CLIENTS; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[i]);
    }
    loop_flow_close(clients[0]);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

/* The domain that does nothing holds up neither the deadline nor the others. */
LOOP_TEST(a_deadline_of_a_retired_server_holds_while_connections_are_on_their_way)
{
    struct loop_serve_options options = {.domains = DOMAINS, .domain_main = prepare, .one_listener = true};

    BEGIN;
    serve(env->scope, options, echo_until_armed);
    while (used != (1u << DOMAINS) - 1) {
        clients[0] = visit(env->scope);
        AWAIT(talk(clients[0], GO));
        loop_flow_close(clients[0]);
    }
    atomic_store(&is_armed, true);
    clients[0] = visit(env->scope);
    while (!begun) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (i = 1; i < 2 * DOMAINS; i++) {
        clients[i] = visit(env->scope);
    }
    while (begun < 1 + 2 * (DOMAINS - 1)) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    loop_server_retire(serving.server, loop_now(env->loop) + LOOP_MILLISECOND);
    AWAIT(loop_read(&clients[1]->source, &byte, 1, GO));
    CHECK(result <= 0);
    atomic_store(&may_fail, true);
    WAIT_UNTIL(serving.ended.count);
    for (i = 0; i < 2 * DOMAINS; i++) {
        loop_flow_close(clients[i]);
    }
    END;
}

/* ---- a slow start ---- */

static int prepare_slowly(struct loop_env *env, unsigned index, void *arg)
{
    while (index > 0 && !atomic_load(&has_failed)) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return prepare(env, index, arg);
}

/* The first domain fails while the others still start. */
LOOP_TEST_ROWS(what_waits_for_a_domain_that_fails_waits_for_others_that_start, COUNT_OF(limits))
{
    struct loop_serve_options options = {.domains = DOMAINS, .domain_main = prepare_slowly};

    BEGIN;
    options.max_connections = limits[script.row];
    serve(env->scope, options, fail_or_echo);
    while (!begun) { /* by several listeners, the kernel may choose that of another domain */
        clients[0] = visit(env->scope);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (i = 1; i < CLIENTS; i++) {
        clients[i] = visit(env->scope);
    }
    AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    atomic_store(&may_fail, true);
    for (i = 1; i < CLIENTS; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[i]);
    }
    loop_server_stop(serving.server, loop_now(env->loop));
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

static void fail_domain(struct loop_flow *peer, void *unused)
{
    (void)unused;
    (void)peer;
    atomic_fetch_add(&n_victims, 1);
    loop_scope_fail(domain_env->scope, -EIO);
}

LOOP_TEST_ROWS(when_the_last_domain_has_failed_the_server_ends_with_its_error, COUNT_OF(limits))
{
    static int fd;

    BEGIN;
    serve_in_domains(env->scope, limits[script.row], fail_domain);
    while (!serving.ended.count) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fd, &serving.address.u.any, serving.address.length);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
        close(fd);
    }
    ONCE_IS(serving.ended, -EIO);
    CHECK_IS(n_victims, DOMAINS);
    END;
}

static int fail_to_prepare(struct loop_env *env, unsigned index, void *arg)
{
    (void)env;
    (void)arg;
    return index == 1 ? -EPERM : 0;
}

LOOP_TEST(a_domain_that_cannot_prepare_stops_the_server)
{
    BEGIN;
    serve(env->scope, (struct loop_serve_options){.domains = DOMAINS, .domain_main = fail_to_prepare}, echo_connection);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, -EPERM);
    END;
}

LOOP_TEST(without_on_end_that_error_fails_the_scope)
{
    static struct loop_scope *scope;
    static struct once scope_end;
    static const struct loop_serve_options options = {.domains = DOMAINS, .domain_main = fail_to_prepare};

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&scope_end));
    serving.address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(scope, &serving.address, &options, NULL, echo_connection, NULL), 0);
    WAIT_UNTIL(scope_end.count);
    ONCE_IS(scope_end, -EPERM);
    END;
}

#if NORIA_HARD_MODES && !NORIA_SIMULATED
static void start_without_threads(struct loop_env *env, int64_t result)
{
    BEGIN;
    serve_in_domains(env->scope, 0, fail_or_echo);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, -EAGAIN);
    CHECK(strstr(log_text(), "domain 1 cannot start"));
    END;
}

TEST(a_thread_that_cannot_start_stops_the_server)
{
    CHECK(loop_kernel_fail_set("pthread_create:EAGAIN:2"));
    script_run(&(struct loop_options){.queue_depth = 0}, start_without_threads);
    CHECK(loop_kernel_fail_set(NULL));
}

/* SIGTERM is blocked by then, so a server that went on could not be stopped by it. */
static void start_without_signals(struct loop_env *env, int64_t result)
{
    static struct loop_serve_options options;

    BEGIN;
    options = (struct loop_serve_options){.stop_on_signals = true,
                                          .domains = script.row ? DOMAINS : 0,
                                          .on_end = once_resumed,
                                          .on_end_arg = &serving.ended};
    serving.address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &serving.address, &options, NULL, echo_connection, NULL), 0);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, -EMFILE);
    END;
}

TEST_ROWS(a_server_that_cannot_hear_signals_stops, 2, row)
{
    script.row = row;
    CHECK(loop_kernel_fail_set("signalfd:EMFILE:1"));
    script_run(&(struct loop_options){.queue_depth = 0}, start_without_signals);
    CHECK(loop_kernel_fail_set(NULL));
}
#endif

#if !HAS_SANITIZER
/* Each allocation of a start fails in turn, in any thread. */
LOOP_TEST_ROWS(without_memory_a_server_is_refused_or_stops, COUNT_OF(limits))
{
    static unsigned long nth;
    static struct loop_serve_options options = {.domains = 2, .on_end = once_resumed, .on_end_arg = &serving.ended};
    static int answer;

    BEGIN;
    options.max_connections = limits[script.row];
    for (nth = 1;; nth++) {
        serving.ended = (struct once){0};
        serving.address = parsed("tcp:127.0.0.1:0");
        fail_allocation(nth, false);
        answer = loop_serve(env->scope, &serving.address, &options, &serving.server, echo_connection, NULL);
        CHECK(answer == 0 || answer == -ENOMEM);
        if (answer == 0) {
            AWAIT(loop_sleep(env->scope, 2 * LOOP_MILLISECOND, GO));
            if (!serving.ended.count) {
                loop_server_stop(serving.server, LOOP_NEVER);
            }
            WAIT_UNTIL(serving.ended.count);
            CHECK(serving.ended.result == 0 || serving.ended.result == -ENOMEM);
        }
        bool has_failed_once = allocation_failed();
        fail_allocation(0, false);
        if (!has_failed_once) {
            break;
        }
    }
    CHECK(nth > 20);
    END;
}

static void echo_there(struct loop_flow *peer, void *unused)
{
    (void)unused;
    if (!loop_copy(&peer->source, &peer->sink, NULL, NULL)) {
        loop_scope_fail(peer->scope, -ENOMEM);
    }
}

/* Each allocation that a connection needs fails in turn, in any thread: it is served or closed, and counted right. */
LOOP_TEST_ROWS(without_memory_a_connection_is_served_or_closed, COUNT_OF(limits))
{
    static unsigned long nth;
    static int fd;
    static int64_t got;
    static bool has_failed_once;

    BEGIN;
    serve_in_domains(env->scope, script.row > 0, echo_there); /* at a limit of one, a wrong count ends the service */
    for (i = 0; i < 20; i++) {                                /* until all domains run and are warm */
        clients[0] = visit(env->scope);
        AWAIT(talk(clients[0], GO));
        loop_flow_close(clients[0]);
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    for (nth = 1, has_failed_once = true; has_failed_once; nth++) {
        fd = connect_to(&serving.address.u.ipv4);
        set_nonblocking(fd);
        CHECK_IS(write(fd, &byte, 1), 1);
        fail_allocation(nth, false);
        do {
            AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND / 4, GO));
            got = read(fd, &byte, 1) < 0 ? -errno : 1;
        } while (got == -EAGAIN);
        has_failed_once = allocation_failed();
        fail_allocation(0, false);
        close(fd);
        while (served().connections_now > 0) {
            AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND / 4, GO));
        }
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}
#endif
