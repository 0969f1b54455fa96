/* SPDX-License-Identifier: ISC
 *
 * Names on the simulated kernel: the names of a world, a server in it, addresses that lose every packet, and faults.
 */
#include "name_server.h"

#include <loop/simulation.h>

/* A client that connects by name or looks a name up, and what it got and when. */
struct seeker {
    const char *host, *hosts, *resolv_conf;
    bool only_looks_up;
    unsigned n_lost; /* so many of the servers lose every packet */
    struct loop_node *servers[4], *client;
    /* the result */
    int64_t began_ns, took_ns, result;
    char error[LOOP_NAME_ERROR_SIZE], peer[LOOP_ADDRESS_TEXT_SIZE];
    struct loop_flow *flow;
    struct loop_addresses *addresses;
    struct loop_name_error text;
    struct loop_env *env;
};

static void on_connection(struct loop_flow *peer, void *unused)
{
    (void)unused;
    loop_read(&peer->source, loop_scope_alloc(peer->scope, 1), 1, NULL, NULL);
}

static int serve_in_world(struct loop_env *env, void *unused)
{
    struct loop_address address = parsed("tcp:[::]:7000");

    (void)unused;
    return loop_serve(env->scope, &address, NULL, NULL, on_connection, NULL);
}

static int serve_names(struct loop_env *env, void *unused)
{
    (void)unused;
    start_name_server_at(env->scope, "udp:10.0.0.9:53");
    return (int)(loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) == 0);
}

static void on_found(void *arg, int64_t result)
{
    struct seeker *seeker = arg;
    struct loop_address address;

    seeker->result = result;
    seeker->took_ns = loop_now(seeker->env->loop) - seeker->began_ns;
    snprintf(seeker->error, sizeof seeker->error, "%s", seeker->text.text);
    if (result < 0) {
        loop_simulation_sometimes("not found");
    } else if (seeker->only_looks_up) {
        snprintf(seeker->peer, sizeof seeker->peer, "%.500s", text_of(seeker->addresses));
        free(seeker->addresses);
    } else {
        loop_simulation_sometimes("found");
        if (loop_flow_peer_address(seeker->flow, &address) == 0) {
            (void)loop_address_format(&address, seeker->peer, sizeof seeker->peer);
        }
        loop_flow_close(seeker->flow);
    }
}

static int seek(struct loop_env *env, void *arg)
{
    struct seeker *seeker = arg;
    loop_job job;

    seeker->env = env;
    seeker->began_ns = loop_now(env->loop);
    seeker->flow = NULL;
    if (seeker->only_looks_up) {
        job = loop_resolve_name(env->scope, seeker->host, "7000", NULL, &seeker->addresses, &seeker->text, on_found,
                                seeker);
    } else {
        job = loop_connect_name(env->scope, seeker->host, "7000", NULL, &seeker->flow, &seeker->text, on_found, seeker);
    }
    return job ? 0 : -ENOMEM;
}

static void put_file(struct seeker *seeker, const char *path, const char *text)
{
    if (text) {
        CHECK_IS(loop_node_put_file(seeker->client, path, text, strlen(text)), 0);
    }
}

static int build(struct loop_world *world, void *arg)
{
    static const char *const names[] = {"one", "two", "three", "four"};
    static const char *const of_ns[] = {"10.0.0.9", NULL};
    struct seeker *seeker = arg;

    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        seeker->servers[i] = loop_world_add_node(
            world,
            &(struct loop_node_options){.name = names[i], .main = serve_in_world, .is_daemon = true, .may_fail = true});
    }
    seeker->client = loop_world_add_node(
        world, &(struct loop_node_options){.name = "client", .main = seek, .arg = seeker, .may_fail = true});
    if (seeker->resolv_conf) {
        loop_world_add_node(world, &(struct loop_node_options){
                                       .name = "ns", .addresses = of_ns, .main = serve_names, .is_daemon = true});
    }
    loop_world_add_name(world, "outside", "10.0.0.2");
    put_file(seeker, "/etc/hosts", seeker->hosts);
    put_file(seeker, "/etc/resolv.conf", seeker->resolv_conf);
    for (unsigned i = 0; i < seeker->n_lost; i++) {
        loop_world_partition(world, seeker->client, seeker->servers[i]);
    }
    return 0;
}

/* Runs a world without faults. */
static void run_seeker(struct seeker *seeker)
{
    static const uint32_t ordinary[1];
    struct loop_simulation_result result = {0};

    memset(&name_server, 0, sizeof name_server);
    loop_simulation_run(build, seeker,
                        &(struct loop_simulation_options){.choices = ordinary, .most_time_ns = 3600 * LOOP_SECOND},
                        &result);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}

static void took_between(const struct seeker *seeker, int64_t least_ms, int64_t most_ms)
{
    int64_t ms = seeker->took_ns / LOOP_MILLISECOND;

    if (ms < least_ms || ms > most_ms) {
        ck_abort_msg("it took %d ms", (int)ms);
    }
}

static const char *const four = "10.0.0.1 all\n10.0.0.2 all\n10.0.0.3 all\n10.0.0.4 all\n";

/* ---- names of the world ---- */

TEST(nodes_are_found_by_their_names)
{
    struct seeker seeker = {.host = "two"};

    run_seeker(&seeker);
    CHECK_IS(seeker.result, 0);
    CHECK_TEXT(seeker.peer, "tcp:10.0.0.2:7000");
    seeker = (struct seeker){.host = "outside"};
    run_seeker(&seeker);
    CHECK_TEXT(seeker.peer, "tcp:10.0.0.2:7000");
}

/* ---- the steps of RFC 8305 in virtual time ---- */

TEST(each_black_hole_costs_250_ms)
{
    for (unsigned n = 0; n < 4; n++) {
        struct seeker seeker = {.host = "all", .hosts = four, .n_lost = n};
        char peer[40];

        run_seeker(&seeker);
        CHECK_IS(seeker.result, 0);
        snprintf(peer, sizeof peer, "tcp:10.0.0.%u:7000", n + 1);
        CHECK_TEXT(seeker.peer, peer);
        took_between(&seeker, 250 * n, 250 * n + 5);
    }
}

TEST(when_all_are_black_holes_the_kernel_gives_up)
{
    struct seeker seeker = {.host = "all", .hosts = four, .n_lost = 4};

    run_seeker(&seeker);
    CHECK_IS(seeker.result, -ETIMEDOUT);
    CHECK(strstr(seeker.error, "connecting to all:7000: 10.0.0.1:7000: Connection timed out; 10.0.0.2:7000: "));
    took_between(&seeker, 60000, 200000);
}

TEST(a_refused_address_costs_no_delay)
{
    struct seeker seeker = {.host = "all", .hosts = "10.0.0.5 all\n10.0.0.3 all\n"}; /* its own first */

    run_seeker(&seeker);
    CHECK_TEXT(seeker.peer, "tcp:10.0.0.3:7000");
    took_between(&seeker, 0, 5);
}

TEST(families_alternate)
{
    struct seeker seeker = {.host = "all", .hosts = "10.0.0.1 all\n10.0.0.2 all\nfd00::3 all\n", .n_lost = 2};

    run_seeker(&seeker);
    CHECK_TEXT(seeker.peer, "tcp:[fd00::3]:7000");
    took_between(&seeker, 250, 255);
}

/* ---- a server ---- */

#if NORIA_CARES
TEST(servers_are_asked_in_virtual_time)
{
    struct seeker seeker = {
        .host = "www.one", .only_looks_up = true, .resolv_conf = "nameserver 10.0.0.9\nsearch test\n"};

    run_seeker(&seeker);
    CHECK_IS(seeker.result, 1);
    CHECK_TEXT(seeker.peer, "192.0.2.2:7000");
    took_between(&seeker, 0, 5);
}

/* Five seconds for each server and attempt pass in no time. */
TEST(a_server_that_does_not_answer_costs_its_timeouts)
{
    struct seeker seeker = {.host = "host.test",
                            .only_looks_up = true,
                            .n_lost = 1,
                            .resolv_conf = "nameserver 10.0.0.1\nnameserver 10.0.0.9\noptions timeout:3\n"};

    run_seeker(&seeker);
    CHECK_IS(seeker.result, 2);
    took_between(&seeker, 3000, 3010);
    seeker = (struct seeker){.host = "silent.test",
                             .only_looks_up = true,
                             .resolv_conf = "nameserver 10.0.0.9\noptions timeout:7 attempts:3\n"};
    run_seeker(&seeker);
    CHECK_IS(seeker.result, -ETIMEDOUT);
    took_between(&seeker, 21000, 21010);
}

TEST(p26_runs_with_a_server_are_their_choices)
{
    char *texts[2];

    for (int i = 0; i < 2; i++) {
        struct seeker seeker = {.host = "host.test", .only_looks_up = true, .resolv_conf = "nameserver 10.0.0.9\n"};
        struct loop_simulation_result result = {0};
        memset(&name_server, 0, sizeof name_server);
        loop_simulation_run(build, &seeker,
                            &(struct loop_simulation_options){.seed = 7, .faults = LOOP_FAULT_ORDER, .is_traced = true},
                            &result);
        CHECK_TEXT(result.reason, "");
        texts[i] = loop_simulation_trace_text(result.trace);
        loop_simulation_result_finish(&result);
    }
    CHECK_TEXT(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}
#endif

/* ---- faults ---- */

static int explore(unsigned faults, const char *host, uint64_t runs, const char *const *marks)
{
    static struct seeker seeker;
    const struct loop_simulation_options options = {.seed = 1, .runs = runs, .faults = faults, .marks = marks};
    struct loop_simulation_result result = {0};

    seeker = (struct seeker){.host = host, .hosts = four};
    int failed = loop_simulation_explore(build, &seeker, &options, &result);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
    return failed;
}

TEST(connects_by_name_survive_faults)
{
    static const char *const marks[] = {"found", "not found", NULL};

    CHECK_IS(explore(LOOP_FAULT_ORDER | LOOP_FAULT_SHORT | LOOP_FAULT_SPURIOUS | LOOP_FAULT_MEMORY | LOOP_FAULT_LIMITS |
                         LOOP_FAULT_CONNECTIONS | LOOP_FAULT_DISK,
                     "all", 1000, marks),
             0);
}

TEST(connects_by_name_survive_a_bad_network)
{
    static const char *const marks[] = {"found", NULL};

    CHECK_IS(explore(LOOP_FAULT_ORDER | LOOP_FAULT_SPURIOUS | LOOP_FAULT_NETWORK | LOOP_FAULT_CONNECTIONS, "all", 500,
                     marks),
             0);
}
