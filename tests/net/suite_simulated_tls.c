/* SPDX-License-Identifier: ISC
 *
 * TLS between two nodes of a simulated world: a handshake and an echo, a partition, deadlines and certificates in
 * virtual time, and faults.
 */
#include "tls.h"

#include <loop/simulation.h>
#include <openssl/ssl.h>
#include <stdio.h>

enum { LENGTH = 100000, LIFETIME_S = 300 };

/* What the nodes share; each run begins with zeros. */
struct story {
    struct loop_node *server, *client;
    struct loop_tls_context *contexts[2];
    struct loop_flow *below, *flow;
    struct loop_tls_error error;
    char sent[LENGTH], received[LENGTH];
    int64_t shaken, echoed, ended;   /* the client's results; 1: none */
    int64_t connected_ns, shaken_ns; /* when */
    bool has_paused, is_resumed;
};

static struct story story;
static int64_t server_wall_ns, client_wall_ns; /* offsets of the clocks */
static int64_t pause_ns;                       /* then the client connects again; 0: it does not */
static bool is_partitioned_early, is_partitioned_late;

/* A node that is stopped in the midst of what it does takes the library's memory with it. OpenSSL's stays: it is from
 * the real malloc. */
const char *__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier): the sanitizer calls it */
const char *__lsan_default_suppressions(void)  /* NOLINT(bugprone-reserved-identifier) */
{
    return "leak:libcrypto.so\nleak:libssl.so\n";
}

/* ---- the server ---- */

struct visitor {
    struct loop_flow *flow;
};

static void on_echoed(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    if (result >= 0) {
        loop_shutdown(&visitor->flow->sink, NULL, NULL);
    }
}

static void on_visitor(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    if (result == 0) {
        loop_copy(&visitor->flow->source, &visitor->flow->sink, on_echoed, visitor);
    }
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct visitor *visitor = loop_scope_alloc(peer->scope, sizeof *visitor);

    (void)arg;
    if (visitor) {
        loop_tls_accept(peer, story.contexts[TLS_SERVER], &visitor->flow, NULL, on_visitor, visitor);
    }
}

static void serve(void *arg, int64_t result)
{
    struct loop_env *env = arg;
    struct loop_address address;

    if (result == 0) {
        SSL_CTX_set_timeout(loop_tls_ssl_context(story.contexts[TLS_SERVER]), LIFETIME_S);
        loop_address_parse(&address, "tcp:0.0.0.0:7000");
        loop_serve(env->scope, &address, NULL, NULL, on_connection, NULL);
    }
}

static int server(struct loop_env *env, void *arg)
{
    (void)arg;
    return loop_tls_open_server(env->scope, &tls.options[TLS_SERVER], &story.contexts[TLS_SERVER], NULL, serve, env)
               ? 0
               : -ENOMEM;
}

/* ---- the client ---- */

static void connect_now(void *arg, int64_t result);

static void on_end(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    story.ended = result;
    if (pause_ns > 0 && !story.has_paused) {
        story.has_paused = true;
        loop_sleep(env->scope, pause_ns, connect_now, env);
    }
}

static void on_received(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    story.echoed = result;
    if (result > 0 && memcmp(story.sent, story.received, (size_t)result) != 0) {
        loop_world_fail(NULL, "other bytes came back");
    }
    if (result == LENGTH) {
        loop_read(&story.flow->source, story.received, 1, on_end, env);
    }
}

static void on_written(void *arg, int64_t result)
{
    (void)arg;
    if (result == LENGTH) {
        loop_shutdown(&story.flow->sink, NULL, NULL);
    }
}

static void on_shaken(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    story.shaken = result;
    story.shaken_ns = loop_now(env->loop);
    if (result == 0) {
        struct loop_tls_info info;
        loop_tls_get_info(story.flow, &info);
        story.is_resumed = info.is_resumed;
        loop_write(&story.flow->sink, story.sent, LENGTH, on_written, env);
        loop_read_exact(&story.flow->source, story.received, LENGTH, on_received, env);
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    story.connected_ns = loop_now(env->loop);
    if (result == 0) {
        loop_tls_connect(story.below, story.contexts[TLS_CLIENT], TLS_HOST, &story.flow, &story.error, on_shaken, env);
    }
}

static void connect_now(void *arg, int64_t result)
{
    struct loop_env *env = arg;
    struct loop_address address;

    if (result == 0) {
        loop_address_parse(&address, "tcp:10.0.0.1:7000");
        loop_connect(env->scope, &address, NULL, &story.below, on_connected, env);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct loop_env *env = arg;

    if (result == 0) {
        loop_sleep(env->scope, 100 * LOOP_MILLISECOND, connect_now, env); /* the server has begun by then */
    }
}

static int client(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_scope_deadline(env->scope, loop_now(env->loop) + pause_ns + 60 * LOOP_SECOND);
    return loop_tls_open_client(env->scope, &tls.options[TLS_CLIENT], &story.contexts[TLS_CLIENT], NULL, on_opened, env)
               ? 0
               : -ENOMEM;
}

/* ---- the world ---- */

static void cut(struct loop_world *world, void *arg)
{
    (void)arg;
    loop_world_partition(world, story.server, story.client);
}

static int build(struct loop_world *world, void *arg)
{
    (void)arg;
    memset(&story, 0, sizeof story);
    story.shaken = story.echoed = story.ended = 1;
    fill_pattern(story.sent, LENGTH, 8);
    story.server = loop_world_add_node(
        world, &(struct loop_node_options){
                   .main = server, .wall_offset_ns = server_wall_ns, .is_daemon = true, .may_fail = true});
    story.client = loop_world_add_node(
        world, &(struct loop_node_options){.main = client, .wall_offset_ns = client_wall_ns, .may_fail = true});
    if (is_partitioned_early) {
        loop_world_at(world, 100 * LOOP_MILLISECOND + 250 * LOOP_MICROSECOND, cut, NULL);
    }
    if (is_partitioned_late) {
        loop_world_set_link(world, NULL, NULL, &(struct loop_link){.bytes_per_s = 100000});
        loop_world_at(world, 500 * LOOP_MILLISECOND, cut, NULL);
    }
    return 0;
}

/* Runs the world without faults, at a time at which the certificates are valid. */
static void run_story(void)
{
    static const uint32_t ordinary[1];
    struct timespec now;
    struct loop_simulation_result result = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    if (!tls.server.chain) {
        enum loop_tls_version version = tls.options[TLS_CLIENT].greatest_version;
        tls_prepare();
        tls.options[TLS_CLIENT].greatest_version = version;
        tls.options[TLS_CLIENT].handshake_timeout_ns = tls.options[TLS_SERVER].handshake_timeout_ns = 0;
    }
    CHECK_IS(loop_simulation_run(build, NULL,
                                 &(struct loop_simulation_options){.choices = ordinary,
                                                                   .start_wall_ns = now.tv_sec * LOOP_SECOND,
                                                                   .most_time_ns = 3600 * LOOP_SECOND},
                                 &result),
             0);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}

TEST(simulated_tls_echoes)
{
    run_story();
    CHECK_TEXT(story.error.text, "");
    CHECK_IS(story.shaken, 0);
    CHECK_IS(story.echoed, LENGTH);
    CHECK_IS(story.ended, 0);
}

/* The clock of the node decides. */
TEST(simulated_tls_knows_the_time_of_its_node)
{
    client_wall_ns = 3 * 24 * 3600 * LOOP_SECOND;
    run_story();
    CHECK_IS(story.shaken, -EKEYEXPIRED);
    CHECK_HAS(story.error.text, "certificate has expired");
    client_wall_ns = -3 * 24 * 3600 * LOOP_SECOND;
    run_story();
    CHECK_IS(story.shaken, -EKEYEXPIRED);
    CHECK_HAS(story.error.text, "not yet valid");
    client_wall_ns = 0;
    server_wall_ns = 30 * 24 * 3600 * LOOP_SECOND;
    run_story();
    CHECK_IS(story.ended, 0);
}

/* A session expires by the virtual clock: with TLS 1.3 at the client, which knows how long the ticket lasts, and with
 * TLS 1.2 at the server. */
TEST(simulated_tls_sessions_expire)
{
    static const enum loop_tls_version versions[] = {LOOP_TLS_VERSION_1_3, LOOP_TLS_VERSION_1_2};

    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        for (int after_s = LIFETIME_S - 10; after_s <= LIFETIME_S + 10; after_s += 20) {
            tls.options[TLS_CLIENT].greatest_version = versions[i];
            pause_ns = after_s * LOOP_SECOND;
            run_story();
            CHECK(story.has_paused);
            CHECK_IS(story.ended, 0);
            CHECK_IS(story.is_resumed, after_s < LIFETIME_S);
        }
    }
}

/* The network is cut in the handshake: it ends after 10 seconds of virtual time. */
TEST(simulated_tls_handshake_has_a_deadline)
{
    is_partitioned_early = true;
    run_story();
    CHECK_IS(story.shaken, -ETIMEDOUT);
    CHECK(story.shaken_ns - story.connected_ns >= 10 * LOOP_SECOND);
    CHECK(story.shaken_ns - story.connected_ns < 11 * LOOP_SECOND);
}

/* The network is cut in the middle of the echo: an error, at the deadline of the program. */
TEST(p29_simulated_tls_cut_by_a_partition)
{
    is_partitioned_late = true;
    run_story();
    CHECK_IS(story.shaken, 0);
    CHECK(story.echoed == -ETIMEDOUT || (story.echoed > 0 && story.echoed < LENGTH));
    CHECK_IS(story.ended, 1);
}

/* With every kind of fault an echo is whole or ends with an error: a read never ends with 0 early. */
static int build_judged(struct loop_world *world, void *arg);

static void judge(struct loop_world *world, void *arg)
{
    (void)arg;
    if (story.ended == 0 && story.echoed != LENGTH) {
        loop_world_fail(world, "it ended well after %lld bytes", (long long)story.echoed);
    }
    if (story.shaken == -EPROTO || story.echoed == -EPROTO) {
        loop_world_fail(world, "TLS was violated: %s", story.error.text);
    }
}

static int build_judged(struct loop_world *world, void *arg)
{
    loop_world_at_end(world, judge, NULL);
    return build(world, arg);
}

TEST(simulated_tls_with_faults)
{
    struct timespec now;
    struct loop_simulation_result result = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    tls_prepare();
    CHECK_IS(loop_simulation_explore(
                 build_judged, NULL,
                 &(struct loop_simulation_options){
                     .seed = 1, .runs = 200, .start_wall_ns = now.tv_sec * LOOP_SECOND, .faults = LOOP_FAULT_ALL},
                 &result),
             0);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}
