/* SPDX-License-Identifier: ISC
 *
 * Links, rules and partitions of worlds, seen by a client that asks a server for an echo.
 */
#include "exchange.h"
#include "harness.h"

/* A client that sends one message, and what the world does to it. */
struct probe {
    struct loop_node *server, *client;
    struct exchange exchange;
    void (*prepare)(struct loop_world *world, struct probe *probe);
    unsigned number;
    int64_t end_ns;
};

static void note_end(struct loop_world *world, void *arg)
{
    struct probe *probe = arg;

    probe->end_ns = loop_world_now(world);
}

static int build_probe(struct loop_world *world, void *arg)
{
    struct probe *probe = arg;

    probe->server = loop_world_add_node(
        world, &(struct loop_node_options){.name = "server", .main = exchange_server, .is_daemon = true});
    probe->client = loop_world_add_node(
        world, &(struct loop_node_options){.name = "client", .main = exchange_client, .arg = &probe->exchange});
    loop_world_at_end(world, note_end, probe);
    if (probe->prepare) {
        probe->prepare(world, probe);
    }
    return 0;
}

/* Runs a world without faults. Returns the reason of its failure, "" for none. */
static const char *run_probe(struct probe *probe, void (*prepare)(struct loop_world *, struct probe *))
{
    static const uint32_t ordinary[1];
    static char reason[256];
    struct loop_simulation_result result = {0};

    probe->prepare = prepare;
    loop_simulation_run(build_probe, probe,
                        &(struct loop_simulation_options){.choices = ordinary, .most_time_ns = 3600 * LOOP_SECOND},
                        &result);
    snprintf(reason, sizeof reason, "%s", result.reason);
    loop_simulation_result_finish(&result);
    return reason;
}

static void ends_between(const struct probe *probe, int64_t least_ns, int64_t most_ns)
{
    if (probe->end_ns < least_ns || probe->end_ns > most_ns) {
        fprintf(stderr, "it ended after %lld ns\n", (long long)probe->end_ns);
    }
    CHECK(probe->end_ns >= least_ns && probe->end_ns <= most_ns);
}

/* ---- links ---- */

static void make_slow(struct loop_world *world, struct probe *probe)
{
    loop_world_set_link(world, NULL, NULL, &(struct loop_link){.delay_ns = LOOP_SECOND});
    loop_world_set_link(world, probe->server, probe->client, &(struct loop_link){.delay_ns = 2 * LOOP_SECOND});
}

static void make_narrow(struct loop_world *world, struct probe *probe)
{
    loop_world_set_link(world, probe->client, probe->server, &(struct loop_link){.bytes_per_s = 64});
}

#define STEPS_NS (10 * LOOP_MICROSECOND) /* what very many steps at one time may add: a little of the least delay */

TEST(link_delays_each_way_by_its_own_time)
{
    struct probe probe = {0};

    CHECK_TEXT(run_probe(&probe, NULL), "");
    ends_between(&probe, 22 * 100 * LOOP_MICROSECOND, 22 * 100 * LOOP_MICROSECOND + STEPS_NS);
    CHECK_TEXT(run_probe(&probe, make_slow), "");
    ends_between(&probe, (1 + EXCHANGE_MESSAGES) * 3 * LOOP_SECOND,
                 (1 + EXCHANGE_MESSAGES) * 3 * LOOP_SECOND + STEPS_NS);
    CHECK_TEXT(run_probe(&probe, make_narrow), "");
    ends_between(&probe, (EXCHANGE_MESSAGES - 1) * LOOP_SECOND, 60 * LOOP_SECOND);
}

/* ---- partitions ---- */

static void heal(struct loop_world *world, void *arg)
{
    (void)arg;
    loop_world_heal(world);
}

static void remove_partition(struct loop_world *world, void *arg)
{
    const struct probe *probe = arg;

    loop_world_remove_rule(world, probe->number);
    loop_world_remove_rule(world, probe->number);
    loop_world_remove_rule(world, 77);
}

static void cut_off(struct loop_world *world, struct probe *probe)
{
    probe->number = loop_world_partition(world, probe->client, NULL);
    loop_world_at(world, 10 * LOOP_SECOND, remove_partition, probe);
}

static void cut_off_from_the_server(struct loop_world *world, struct probe *probe)
{
    loop_world_partition(world, probe->server, probe->client);
    loop_world_at(world, 10 * LOOP_SECOND, heal, NULL);
}

static void cut_off_answers(struct loop_world *world, struct probe *probe)
{
    loop_world_partition_one_way(world, probe->server, NULL);
    loop_world_at(world, 10 * LOOP_SECOND, heal, NULL);
}

static void cut_off_another(struct loop_world *world, struct probe *probe)
{
    struct loop_node *other = loop_world_add_node(
        world, &(struct loop_node_options){.name = "other", .main = exchange_server, .is_daemon = true});

    loop_world_partition(world, probe->client, other);
}

TEST(partition_holds_until_it_is_removed)
{
    struct probe probe = {0};

    CHECK_TEXT(run_probe(&probe, cut_off), "");
    ends_between(&probe, 10 * LOOP_SECOND, 30 * LOOP_SECOND);
    CHECK_TEXT(run_probe(&probe, cut_off_from_the_server), "");
    ends_between(&probe, 10 * LOOP_SECOND, 30 * LOOP_SECOND);
    CHECK_TEXT(run_probe(&probe, cut_off_answers), "");
    ends_between(&probe, 10 * LOOP_SECOND, 30 * LOOP_SECOND);
    CHECK_TEXT(run_probe(&probe, cut_off_another), "");
    ends_between(&probe, 0, LOOP_SECOND);
}

/* ---- rules ---- */

static void reset_the_first_second(struct loop_world *world, struct probe *probe)
{
    probe->number = loop_world_add_rule(world, &(struct loop_rule){.from = probe->client, .action = LOOP_RULE_RESET});
    loop_world_at(world, LOOP_SECOND, remove_partition, probe);
}

static void delay_messages(struct loop_world *world, struct probe *probe)
{
    (void)probe;
    loop_world_add_rule(world, &(struct loop_rule){.kind = LOOP_RULE_DATAGRAM, .action = LOOP_RULE_DROP});
    loop_world_add_rule(world, &(struct loop_rule){.most_bytes = 1, .action = LOOP_RULE_PASS});
    loop_world_add_rule(world, &(struct loop_rule){.kind = LOOP_RULE_STREAM,
                                                   .least_bytes = EXCHANGE_LENGTH,
                                                   .action = LOOP_RULE_DELAY,
                                                   .delay_ns = LOOP_SECOND});
}

TEST(rules_reset_and_delay_what_they_match)
{
    struct probe probe = {0};

    CHECK_TEXT(run_probe(&probe, reset_the_first_second), "");
    ends_between(&probe, LOOP_SECOND, 2 * LOOP_SECOND);
    CHECK(probe.exchange.n_attempts > 10);
    CHECK_TEXT(run_probe(&probe, delay_messages), "");
    ends_between(&probe, 2 * EXCHANGE_MESSAGES * LOOP_SECOND, (2 * EXCHANGE_MESSAGES + 1) * LOOP_SECOND);
    CHECK_IS(probe.exchange.n_attempts, 0);
}

static void delay_for_ever(struct loop_world *world, struct probe *probe)
{
    loop_world_set_link(world, probe->client, probe->server, &(struct loop_link){.delay_ns = LOOP_SECOND});
    loop_world_add_rule(world,
                        &(struct loop_rule){.from = probe->client, .action = LOOP_RULE_DELAY, .delay_ns = INT64_MAX});
}

static void reset_far_away(struct loop_world *world, struct probe *probe)
{
    loop_world_set_link(world, probe->client, probe->server, &(struct loop_link){.delay_ns = INT64_MAX});
    loop_world_add_rule(world, &(struct loop_rule){.from = probe->client, .action = LOOP_RULE_RESET});
}

TEST(longest_delay_is_not_taken_for_a_short_one)
{
    struct probe probe = {0};

    CHECK_TEXT(run_probe(&probe, delay_for_ever), "too much time: after 3600 s these have not ended: client");
    CHECK_TEXT(run_probe(&probe, reset_far_away), "too much time: after 3600 s these have not ended: client");
}

/* ---- datagrams ---- */

enum { DATAGRAMS = 2000, BURST = 50 };

/* A receiver that counts, and a sender. */
struct rain {
    struct loop_link link;
    struct loop_scope *scope;
    struct loop_datagram_socket *receiver, *sender;
    unsigned n_sent, n_received, n_early;
    unsigned last;
};

static void on_datagram(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct rain *rain = arg;
    unsigned number;

    if (result > 0 && datagram->len == sizeof number) {
        memcpy(&number, datagram->data, sizeof number);
        rain->n_received++;
        rain->n_early += number < rain->last;
        rain->last = number;
    }
}

static int receive_rain(struct loop_env *env, void *arg)
{
    struct rain *rain = arg;
    struct loop_address address;

    loop_address_parse(&address, "udp:0.0.0.0:7000");
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.bind_to = &address}, &rain->receiver), 0);
    loop_datagram_stream(rain->receiver, on_datagram, rain);
    return 0;
}

static void send_burst(void *arg, int64_t result)
{
    struct rain *rain = arg;

    CHECK_IS(result, 0);
    for (unsigned i = 0; i < BURST; i++) {
        rain->n_sent++;
        CHECK_IS(loop_datagram_put(rain->sender, NULL, &rain->n_sent, sizeof rain->n_sent), 0);
    }
    if (rain->n_sent < DATAGRAMS) {
        loop_sleep(rain->scope, LOOP_MILLISECOND, send_burst, rain);
    }
}

static int send_rain(struct loop_env *env, void *arg)
{
    struct rain *rain = arg;
    struct loop_address address;

    rain->scope = env->scope;
    loop_address_parse(&address, "udp:10.0.0.1:7000");
    CHECK_IS(loop_datagram_open(env->scope, &(struct loop_datagram_options){.connect_to = &address}, &rain->sender), 0);
    send_burst(rain, 0);
    return 0;
}

static int linger(struct loop_env *env, void *arg)
{
    (void)arg;
    loop_sleep(env->scope, LOOP_SECOND, NULL, NULL);
    return 0;
}

static int build_rain(struct loop_world *world, void *arg)
{
    struct rain *rain = arg;

    loop_world_add_node(world, &(struct loop_node_options){.main = receive_rain, .arg = rain, .is_daemon = true});
    loop_world_add_node(world, &(struct loop_node_options){.main = send_rain, .arg = rain});
    loop_world_add_node(world, &(struct loop_node_options){.main = linger});
    loop_world_set_link(world, NULL, NULL, &rain->link);
    return 0;
}

static struct rain rain_of(struct loop_link link, unsigned faults)
{
    struct rain rain = {.link = link};
    struct loop_simulation_result result = {0};

    loop_simulation_run(build_rain, &rain, &(struct loop_simulation_options){.seed = 7, .faults = faults}, &result);
    CHECK_TEXT(result.reason, "");
    CHECK_IS(rain.n_sent, DATAGRAMS);
    loop_simulation_result_finish(&result);
    return rain;
}

TEST(link_loses_doubles_and_reorders_as_many_datagrams_as_it_states)
{
    struct rain rain = rain_of((struct loop_link){.delay_ns = LOOP_MILLISECOND}, LOOP_FAULT_PROGRAM);

    CHECK_IS(rain.n_received, DATAGRAMS);
    CHECK_IS(rain.n_early, 0);
    rain = rain_of((struct loop_link){.delay_ns = LOOP_MILLISECOND, .loss_ppm = 200000}, LOOP_FAULT_PROGRAM);
    CHECK(rain.n_received > DATAGRAMS * 75 / 100 && rain.n_received < DATAGRAMS * 85 / 100);
    rain = rain_of((struct loop_link){.delay_ns = LOOP_MILLISECOND, .duplicate_ppm = 200000}, LOOP_FAULT_PROGRAM);
    CHECK(rain.n_received > DATAGRAMS * 115 / 100 && rain.n_received < DATAGRAMS * 125 / 100);
    rain = rain_of((struct loop_link){.delay_ns = LOOP_MILLISECOND, .reorder_ppm = 200000}, LOOP_FAULT_PROGRAM);
    CHECK_IS(rain.n_received, DATAGRAMS);
    CHECK(rain.n_early > 10);
    rain = rain_of((struct loop_link){.loss_ppm = 1000000}, LOOP_FAULT_PROGRAM);
    CHECK_IS(rain.n_received, 0);
}

TEST(link_that_states_nothing_loses_datagrams_by_the_faults_of_the_run)
{
    unsigned n_lossy = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rain rain = {.link = {.delay_ns = LOOP_MILLISECOND}};
        struct loop_simulation_result result = {0};
        struct loop_simulation_options options = {.seed = seed, .faults = LOOP_FAULT_NETWORK};

        loop_simulation_run(build_rain, &rain, &options, &result);
        CHECK_TEXT(result.reason, "");
        n_lossy += rain.n_received != DATAGRAMS;
        loop_simulation_result_finish(&result);
    }
    CHECK(n_lossy > 10 && n_lossy < 40);
}

/* ---- the last phase ---- */

static int build_cut_off(struct loop_world *world, void *arg)
{
    struct probe *probe = arg;

    build_probe(world, probe);
    loop_world_partition(world, probe->client, probe->server);
    return 0;
}

TEST(longest_time_for_liveness_is_not_taken_for_a_short_one)
{
    struct loop_simulation_options options = {.seed = 1, .faults_end_ns = 1, .liveness_ns = INT64_MAX};
    struct probe probe = {0};

    CHECK_IS(loop_simulation_run(build_probe, &probe, &options, NULL), 0);
}

TEST(rules_end_with_the_faults)
{
    struct loop_simulation_options options = {
        .seed = 1, .faults_end_ns = 10 * LOOP_SECOND, .liveness_ns = 100 * LOOP_SECOND};
    struct loop_simulation_result result = {0};
    struct probe probe = {0};

    for (; options.seed <= 50; options.seed++) {
        loop_simulation_run(build_cut_off, &probe, &options, &result);
        CHECK_TEXT(result.reason, "");
        ends_between(&probe, 10 * LOOP_SECOND, 110 * LOOP_SECOND);
    }
    loop_simulation_result_finish(&result);
}

/* ---- servers that crash, pause and get signals ---- */

static void crash_server(struct loop_world *world, void *arg)
{
    const struct probe *probe = arg;

    (void)world;
    loop_node_crash(probe->server);
}

static void restart_server(struct loop_world *world, void *arg)
{
    const struct probe *probe = arg;

    (void)world;
    loop_node_restart(probe->server);
}

static void crash_and_restart(struct loop_world *world, struct probe *probe)
{
    make_slow(world, probe);
    loop_world_at(world, 9 * LOOP_SECOND + LOOP_SECOND / 2, crash_server, probe);
    loop_world_at(world, 20 * LOOP_SECOND, restart_server, probe);
}

TEST(client_reaches_a_server_that_has_crashed_and_started_again)
{
    struct probe probe = {0};

    CHECK_TEXT(run_probe(&probe, crash_and_restart), "");
    ends_between(&probe, 40 * LOOP_SECOND, 80 * LOOP_SECOND);
    CHECK(probe.exchange.n_attempts > 0);
}

static int serve_until_signal(struct loop_env *env, void *arg)
{
    struct loop_address address;

    (void)arg;
    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    return loop_serve(env->scope, &address, &(struct loop_serve_options){.stop_on_signals = true}, NULL,
                      exchange_accepted, NULL);
}

static void send_signal(struct loop_world *world, void *arg)
{
    const struct probe *probe = arg;

    (void)world;
    loop_node_signal(probe->server, SIGTERM);
}

static void check_ended(struct loop_world *world, void *arg)
{
    const struct probe *probe = arg;

    if (loop_node_state(probe->server) != LOOP_NODE_ENDED || loop_world_now(world) < 5 * LOOP_SECOND) {
        loop_world_fail(world, "it has not ended");
    }
}

static int build_signal(struct loop_world *world, void *arg)
{
    struct probe *probe = arg;

    probe->server = loop_world_add_node(world, &(struct loop_node_options){.main = serve_until_signal});
    loop_world_at(world, 5 * LOOP_SECOND, send_signal, probe);
    loop_world_at_end(world, check_ended, probe);
    return 0;
}

TEST(signal_stops_a_server)
{
    static const uint32_t ordinary[1];
    struct loop_simulation_result result = {0};
    struct probe probe = {0};

    loop_simulation_run(build_signal, &probe, &(struct loop_simulation_options){.choices = ordinary}, &result);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}
