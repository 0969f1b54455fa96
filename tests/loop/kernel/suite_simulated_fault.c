/* SPDX-License-Identifier: ISC
 *
 * What fails in the network between simulated nodes: by rules and partitions, by hosts that crash or pause, and by
 * choice.
 */
#include "scenes.h"

/* ---- rules ---- */

static void heal(struct loop_sim_event *event)
{
    struct scene *scene = LOOP_CONTAINER(event, struct scene, event);
    loop_sim_rule_remove(scene->world, scene->rule);
}

static void cut(struct loop_sim_event *event)
{
    struct scene *scene = LOOP_CONTAINER(event, struct scene, event);
    const struct loop_sim_rule rule = {.from = scene->server, .to = scene->client, .action = LOOP_SIM_RULE_DROP};
    scene->rule = loop_sim_rule_add(scene->world, &rule);
    if (scene->time_ns > 0) {
        loop_sim_event_set(&scene->event, scene->time_ns, heal);
    }
}

TEST(a_partition_that_heals_loses_nothing)
{
    struct scene scene;
    set_up(&scene, answer_once, send_later);
    scene.time_ns = 60 * SECOND;
    loop_sim_event_set(&scene.event, SECOND / 2, cut);
    run_world(&scene);
    CHECK_IS(scene.error, 0);
    CHECK_IS(scene.result, 1);
    CHECK(scene.time_ns > 60 * SECOND && scene.time_ns < 120 * SECOND);
    tear_down(&scene);
}

TEST(a_partition_that_stays_ends_connections_after_a_quarter_of_an_hour)
{
    struct scene scene;
    set_up(&scene, answer_once, send_later);
    loop_sim_event_set(&scene.event, SECOND / 2, cut);
    run_world(&scene);
    CHECK_IS(scene.error, ETIMEDOUT);
    CHECK(scene.time_ns > 900 * SECOND && scene.time_ns < 1000 * SECOND);
    tear_down(&scene);
}

static void *accept_and_close_later(void *arg)
{
    (void)arg;
    int listener = listen_at_port(1);
    int number = loop_kernel_accept4(listener, NULL, NULL, 0);
    (void)loop_sim_wait(NULL, SECOND);
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_close(listener), 0);
    return NULL;
}

static void *read_one_byte(void *arg)
{
    struct scene *scene = arg;
    char byte;
    int number = open_and_connect(scene);
    CHECK_IS(scene->error, 0);
    note(scene, loop_kernel_recv(number, &byte, 1, 0));
    loop_kernel_close(number);
    return NULL;
}

/* Nothing but the end is on its way. */
TEST(an_end_that_a_partition_drops_is_sent_again)
{
    struct scene scene;
    set_up(&scene, accept_and_close_later, read_one_byte);
    scene.time_ns = 10 * SECOND;
    loop_sim_event_set(&scene.event, SECOND / 2, cut);
    run_world(&scene);
    CHECK_IS(scene.error, 0);
    CHECK_IS(scene.result, 0);
    CHECK(scene.time_ns > 10 * SECOND && scene.time_ns < 20 * SECOND);
    tear_down(&scene);
}

TEST(a_rule_resets_what_it_matches)
{
    struct scene scene;
    set_up(&scene, read_to_end, send_later);
    const struct loop_sim_rule rule = {.kind = LOOP_SIM_KIND_STREAM, .least_bytes = 1, .action = LOOP_SIM_RULE_RESET};
    CHECK_IS(loop_sim_rule_add(scene.world, &rule), 1);
    run_world(&scene);
    CHECK_IS(scene.error, ECONNRESET);
    CHECK_IS(scene.total, 0);
    tear_down(&scene);
    set_up(&scene, listen_and_wait, connect_only);
    const struct loop_sim_rule refuses = {.kind = LOOP_SIM_KIND_CONNECT, .action = LOOP_SIM_RULE_RESET};
    CHECK_IS(loop_sim_rule_add(scene.world, &refuses), 1);
    run_until_stuck(&scene);
    CHECK_IS(scene.error, ECONNREFUSED);
    tear_down(&scene);
}

TEST(a_rule_delays_what_it_matches)
{
    struct scene scene;
    set_up(&scene, answer_once, send_later);
    const struct loop_sim_rule passes = {.action = LOOP_SIM_RULE_PASS};
    const struct loop_sim_rule delays = {.from = scene.client,
                                         .kind = LOOP_SIM_KIND_STREAM,
                                         .least_bytes = 1,
                                         .action = LOOP_SIM_RULE_DELAY,
                                         .delay_ns = 5 * SECOND};
    CHECK_IS(loop_sim_rule_add(scene.world, &passes), 1);
    CHECK_IS(loop_sim_rule_add(scene.world, &delays), 2);
    run_world(&scene);
    CHECK_IS(scene.result, 1);
    CHECK_IS(scene.time_ns / MS, 6000 + 2 * DELAY_MS);
    loop_sim_rules_clear(scene.world);
    loop_sim_rule_remove(scene.world, 2);
    tear_down(&scene);
}

/* ---- hosts that crash, pause and end ---- */

static void restart(struct loop_sim_event *event)
{
    struct scene *scene = LOOP_CONTAINER(event, struct scene, event);
    loop_sim_node_start(scene->server, scene->again, scene);
}

static void crash(struct loop_sim_event *event)
{
    struct scene *scene = LOOP_CONTAINER(event, struct scene, event);
    loop_sim_node_crash(scene->server);
    if (scene->time_ns > 0) {
        loop_sim_event_set(&scene->event, scene->time_ns, restart);
    }
}

TEST(a_host_that_crashed_is_silent_and_then_resets)
{
    struct scene scene;
    set_up(&scene, listen_and_wait, send_later);
    scene.time_ns = 10 * SECOND;
    loop_sim_event_set(&scene.event, SECOND / 2, crash);
    run_until_stuck(&scene);
    CHECK_IS(scene.error, ECONNRESET);
    CHECK(scene.time_ns > 10 * SECOND && scene.time_ns < 30 * SECOND);
    tear_down(&scene);
    set_up(&scene, listen_and_wait, send_later);
    loop_sim_event_set(&scene.event, SECOND / 2, crash);
    run_world(&scene);
    CHECK_IS(scene.error, ETIMEDOUT);
    CHECK(scene.time_ns > 900 * SECOND);
    tear_down(&scene);
}

static void *wait_with_keepalive(void *arg)
{
    struct scene *scene = arg;
    int yes = 1, idle = 10, interval = 2, count = 3;
    char byte;
    int number = open_and_connect(scene);
    CHECK_IS(scene->error, 0);
    CHECK_IS(loop_kernel_setsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes), 0);
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle), 0);
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval), 0);
    CHECK_IS(loop_kernel_setsockopt(number, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count), 0);
    note(scene, loop_kernel_recv(number, &byte, 1, 0));
    loop_kernel_close(number);
    return NULL;
}

TEST(keepalive_finds_a_host_that_is_gone)
{
    struct scene scene;
    set_up(&scene, listen_and_wait, wait_with_keepalive);
    loop_sim_event_set(&scene.event, 25 * SECOND, crash);
    run_world(&scene);
    CHECK_IS(scene.error, ETIMEDOUT);
    CHECK_IS(scene.time_ns / SECOND, 36);
    tear_down(&scene);
}

static void go_on(struct loop_sim_event *event)
{
    loop_sim_node_go_on(LOOP_CONTAINER(event, struct scene, event)->server);
}

static void pause_server(struct loop_sim_event *event)
{
    struct scene *scene = LOOP_CONTAINER(event, struct scene, event);
    loop_sim_node_pause(scene->server);
    loop_sim_event_set(&scene->event, 2000 * SECOND, go_on);
}

TEST(a_host_that_is_paused_still_acknowledges)
{
    struct scene scene;
    set_up(&scene, answer_once, send_later);
    loop_sim_event_set(&scene.event, SECOND / 2, pause_server);
    run_world(&scene);
    CHECK_IS(scene.result, 1);
    CHECK(scene.time_ns > 2000 * SECOND && scene.time_ns < 2001 * SECOND);
    tear_down(&scene);
}

TEST(a_node_that_ends_still_sends_what_it_has)
{
    struct scene scene;
    const struct loop_sim_link link = {.bytes_per_s = 1000};
    set_up(&scene, read_to_end, send_100000);
    loop_sim_link_set(scene.world, scene.client, scene.server, &link);
    run_world(&scene);
    CHECK_IS(scene.total, 100000);
    CHECK_IS(scene.result, 0);
    CHECK(now_ms(&scene) >= 100000);
    tear_down(&scene);
}

/* ---- choices ---- */

/* Chooses the last of what there is at one point, and 0 elsewhere. */
static unsigned choose_last(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)ppm;
    return point == *(const enum loop_sim_point *)arg ? n - 1 : 0;
}

static void set_up_choice(struct scene *scene, enum loop_sim_point *point, main_fn *server, main_fn *client)
{
    set_up(scene, server, client);
    loop_sim_choices_set(scene->world, choose_last, point);
}

TEST(connections_fail_by_choice)
{
    struct scene scene;
    enum loop_sim_point point = LOOP_SIM_CONNECT;
    set_up_choice(&scene, &point, listen_and_wait, connect_only);
    run_until_stuck(&scene);
    CHECK_IS(scene.error, ETIMEDOUT);
    tear_down(&scene);
    point = LOOP_SIM_RESET;
    set_up_choice(&scene, &point, read_to_end, send_later);
    run_world(&scene);
    CHECK_IS(scene.error, ECONNRESET);
    CHECK_IS(scene.total, 0);
    tear_down(&scene);
}

static void *accept_once(void *arg)
{
    note(arg, loop_kernel_accept4(listen_at_port(1), NULL, NULL, 0));
    return NULL;
}

static void *connect_and_forget(void *arg)
{
    struct scene scene = *(struct scene *)arg;
    loop_kernel_close(open_and_connect(&scene));
    return NULL;
}

TEST(accept_fails_by_choice)
{
    struct scene scene;
    enum loop_sim_point point = LOOP_SIM_ABORTED;
    set_up_choice(&scene, &point, accept_once, connect_and_forget);
    run_world(&scene);
    CHECK_IS(scene.error, ECONNABORTED);
    tear_down(&scene);
}

TEST(segments_are_cut_by_choice)
{
    struct scene scene;
    enum loop_sim_point point = LOOP_SIM_SHORT_READ;
    set_up_choice(&scene, &point, read_to_end, send_100000);
    run_world(&scene);
    CHECK_IS(scene.total, 100000);
    CHECK_IS(scene.result, 0);
    tear_down(&scene);
}
