/* SPDX-License-Identifier: ISC
 *
 * Descriptors, standard streams and signals of simulated nodes: what no real kernel shows, as crashes and choices.
 */
#include "kernel.h"

#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/object/file.h>
#include <loop/kernel/simulated/object/process.h>

#define MS INT64_C(1000000)

static struct loop_sim_world *world;
static struct loop_sim_node *node;
static int reached; /* how far a node's main function has come */

/* Makes a world with one node. */
static void begin(void)
{
    world = loop_sim_world_create();
    node = loop_sim_node_create(world, "node");
    reached = 0;
}

static void run_to(void *(*body)(void *), enum loop_sim_stop stop)
{
    loop_sim_node_start(node, body, NULL);
    CHECK_IS(loop_sim_world_run(world), stop);
}

static void end(void)
{
    loop_sim_world_destroy(world);
}

/* Happens at a time of the world. */
static struct {
    struct loop_sim_event event;
    int signal; /* 0: a crash */
} later;

static void happen(struct loop_sim_event *event)
{
    (void)event;
    if (later.signal) {
        loop_sim_signal_send(node, later.signal);
    } else {
        loop_sim_node_crash(node);
    }
}

static void set_later(int64_t at_ns, int signal)
{
    later.signal = signal;
    loop_sim_event_set(&later.event, at_ns, happen);
}

/* ---- standard streams ---- */

static char big[200000];

static void *copy_input(void *arg)
{
    char buf[5000];
    ssize_t n;

    while ((n = loop_kernel_read(0, buf, sizeof buf)) > 0) {
        CHECK_IS(loop_kernel_write(1, buf, (size_t)n), n);
    }
    CHECK_IS(n, 0);
    CHECK_IS(loop_kernel_write(2, "done", 4), 4);
    return arg;
}

TEST(streams_bring_the_whole_input_and_keep_the_output)
{
    size_t len;

    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (char)(i * 31 + i / 999);
    }
    begin();
    loop_sim_standard_input(node, big, sizeof big);
    run_to(copy_input, LOOP_SIM_STOP_ENDED);
    CHECK(memcmp(loop_sim_standard_output(node, 1, &len), big, sizeof big) == 0);
    CHECK_IS(len, sizeof big);
    CHECK_TEXT(loop_sim_standard_output(node, 2, &len), "done");
    CHECK_IS(len, 4);
    CHECK_TEXT(loop_sim_standard_output(node, 0, &len), "");
    run_to(copy_input, LOOP_SIM_STOP_ENDED); /* started again: the same input, new output */
    (void)loop_sim_standard_output(node, 1, &len);
    CHECK_IS(len, sizeof big);
    end();
}

static void *leave_input(void *arg)
{
    CHECK_IS(loop_kernel_close(0), 0);
    CHECK_IS(loop_kernel_close(1), 0);
    CHECK_IS(loop_kernel_eventfd(0, 0), 0);
    return arg;
}

TEST(streams_may_be_closed)
{
    begin();
    loop_sim_standard_input(node, big, sizeof big);
    run_to(leave_input, LOOP_SIM_STOP_ENDED);
    CHECK_IS(loop_sim_files_count(node), 0);
    end();
}

/* ---- crashes ---- */

static int numbers[2];

static void *read_for_ever(void *arg)
{
    char byte;
    reached++;
    (void)loop_kernel_read(numbers[0], &byte, 1);
    reached = -100;
    return arg;
}

static void *wait_everywhere(void *arg)
{
    pthread_t thread;
    struct epoll_event event = {.events = EPOLLIN};
    int set = loop_kernel_epoll_create1(0);

    CHECK_IS(loop_kernel_pipe2(numbers, 0), 0);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, numbers[0], &event), 0);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, read_for_ever, NULL), 0);
    reached++;
    (void)loop_kernel_epoll_wait(set, &event, 1, -1);
    reached = -100;
    return arg;
}

static void *poll_for_ever(void *arg)
{
    CHECK_IS(loop_kernel_pipe2(numbers, 0), 0);
    struct pollfd entries[2] = {{numbers[0], POLLIN, 0}, {numbers[0], POLLIN, 0}};
    reached += 2;
    (void)loop_kernel_poll(entries, 2, -1);
    reached = -100;
    return arg;
}

static void *splice_for_ever(void *arg)
{
    CHECK_IS(loop_kernel_pipe2(numbers, 0), 0);
    reached += 2;
    (void)loop_kernel_splice(numbers[0], NULL, 1, NULL, 1, 0);
    reached = -100;
    return arg;
}

static void *open_for_ever(void *arg)
{
    CHECK_IS(mkfifo("/fifo", 0600), 0);
    reached += 2;
    (void)loop_kernel_open("/fifo", O_RDONLY, 0);
    reached = -100;
    return arg;
}

static void *(*const waits[])(void *) = {wait_everywhere, poll_for_ever, splice_for_ever, open_for_ever};

/* The harness checks that no memory is left. */
TEST_ROWS(crash_while_fibers_wait_leaves_nothing, COUNT_OF(waits), row)
{
    begin();
    set_later(5 * MS, 0);
    run_to(waits[row], LOOP_SIM_STOP_ENDED);
    CHECK_IS(node->state, LOOP_SIM_NODE_CRASHED);
    CHECK_IS(reached, 2);
    CHECK_IS(loop_sim_files_count(node), 0);
    end();
}

/* ---- signals ---- */

TEST(signal_without_handler_crashes_the_node)
{
    begin();
    set_later(5 * MS, SIGTERM);
    run_to(poll_for_ever, LOOP_SIM_STOP_ENDED);
    CHECK_IS(node->state, LOOP_SIM_NODE_CRASHED);
    end();
}

static void *write_to_nobody(void *arg)
{
    CHECK_IS(loop_kernel_pipe2(numbers, 0), 0);
    CHECK_IS(loop_kernel_close(numbers[0]), 0);
    reached++;
    (void)loop_kernel_write(numbers[1], "x", 1);
    reached = -100;
    return arg;
}

TEST(signal_of_a_broken_pipe_crashes_the_node)
{
    begin();
    run_to(write_to_nobody, LOOP_SIM_STOP_ENDED);
    CHECK_IS(node->state, LOOP_SIM_NODE_CRASHED);
    CHECK_IS(reached, 1);
    end();
}

static void on_signal(int signal)
{
    CHECK_IS(signal, SIGUSR1);
    reached++;
}

static void *read_with_handler(void *arg)
{
    struct sigaction action = {.sa_handler = on_signal};
    char byte;

    CHECK_IS(loop_kernel_sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_IS(loop_kernel_pipe2(numbers, 0), 0);
    CHECK_FAILS(loop_kernel_read(numbers[0], &byte, 1), EINTR);
    CHECK_IS(reached, 1);
    CHECK_IS(world->now_ns, 5 * MS);
    return arg;
}

TEST(signal_with_handler_interrupts_a_read)
{
    begin();
    set_later(5 * MS, SIGUSR1);
    run_to(read_with_handler, LOOP_SIM_STOP_ENDED);
    CHECK_IS(reached, 1);
    end();
}

static void *read_signal(void *arg)
{
    struct signalfd_siginfo record;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    CHECK_IS(loop_kernel_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    int number = loop_kernel_signalfd(-1, &set, 0);
    CHECK_IS(loop_kernel_read(number, &record, sizeof record), sizeof record);
    CHECK_IS(record.ssi_signo, SIGTERM);
    CHECK_IS(record.ssi_code, SI_USER);
    CHECK_IS(world->now_ns, 5 * MS);
    reached++;
    return arg;
}

TEST(signal_is_read_from_a_signalfd)
{
    begin();
    set_later(5 * MS, SIGTERM);
    run_to(read_signal, LOOP_SIM_STOP_ENDED);
    CHECK_IS(reached, 1);
    end();
}

/* ---- choices ---- */

/* Chooses the same at one point, the ordinary thing at the others. */
static enum loop_sim_point point_chosen;

static unsigned choose(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    (void)arg;
    (void)n;
    (void)ppm;
    return point == point_chosen ? 1 : 0;
}

static void run_choosing(void *(*body)(void *), enum loop_sim_point point)
{
    begin();
    point_chosen = point;
    loop_sim_choices_set(world, choose, NULL);
    run_to(body, LOOP_SIM_STOP_ENDED);
    CHECK_IS(reached, 1);
    end();
}

static void *move_short(void *arg)
{
    char data[10000] = {0};

    CHECK_IS(loop_kernel_pipe2(numbers, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_write(numbers[1], data, sizeof data), 4096); /* never less than PIPE_BUF */
    CHECK_IS(loop_kernel_write(numbers[1], data, 4096), 4096);
    CHECK_IS(loop_kernel_read(numbers[0], data, sizeof data), 8192);
    int event = loop_kernel_eventfd(1, EFD_NONBLOCK);
    CHECK_IS(loop_kernel_read(event, data, 8), 8);
    reached++;
    return arg;
}

TEST(choice_of_a_short_write_keeps_small_writes_whole)
{
    run_choosing(move_short, LOOP_SIM_SHORT_WRITE);
}

/* Whoever waits for an edge after a move that was cut short, or refused, gets one. */
static void *wait_for_edge(void *arg)
{
    char data[100] = {0};
    int set = loop_kernel_epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    bool is_short = point_chosen == LOOP_SIM_SHORT_READ;

    CHECK_IS(loop_kernel_pipe2(numbers, O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, numbers[0], &event), 0);
    for (int i = 0; i < 100; i++) {
        point_chosen = LOOP_SIM_POINTS;
        CHECK_IS(loop_kernel_write(numbers[1], "xy", 2), 2);
        CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 0), 1);
        point_chosen = is_short ? LOOP_SIM_SHORT_READ : LOOP_SIM_FALSE_READY;
        CHECK_IS(loop_kernel_read(numbers[0], data, sizeof data), is_short ? 1 : -1);
        CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, -1), 1);
        point_chosen = LOOP_SIM_POINTS;
        CHECK_IS(loop_kernel_read(numbers[0], data, sizeof data), is_short ? 1 : 2);
    }
    reached++;
    return arg;
}

TEST(choice_of_a_short_read_is_followed_by_an_edge)
{
    run_choosing(wait_for_edge, LOOP_SIM_SHORT_READ);
}

TEST(choice_of_eagain_though_ready_is_followed_by_an_edge)
{
    run_choosing(wait_for_edge, LOOP_SIM_FALSE_READY);
}

/* Whether each of two threads is woken, which wait for the same pipe in sets of their own, exclusively. */
static int woken[2];
static unsigned n_waiting;

static void *wait_exclusively(void *arg)
{
    int set = loop_kernel_epoll_create1(0), *is_woken = &woken[n_waiting++];
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, numbers[0], &event), 0);
    *is_woken = loop_kernel_epoll_wait(set, &event, 1, 10);
    return arg;
}

static void *wake_one(void *arg)
{
    pthread_t threads[2];
    bool is_ordinary = point_chosen != LOOP_SIM_ORDER_READY;

    n_waiting = 0;
    CHECK_IS(loop_kernel_pipe2(numbers, O_NONBLOCK), 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_pthread_create(&threads[i], NULL, wait_exclusively, NULL), 0);
    }
    CHECK_IS(loop_sim_wait(NULL, loop_sim_here()->world->now_ns + MS), -ETIMEDOUT);
    CHECK_IS(loop_kernel_write(numbers[1], "x", 1), 1);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_pthread_join(threads[i], NULL), 0);
    }
    CHECK_IS(woken[0], is_ordinary ? 1 : 0);
    CHECK_IS(woken[1], is_ordinary ? 0 : 1);
    reached++;
    return arg;
}

TEST(choice_of_whom_an_exclusive_wait_wakes)
{
    run_choosing(wake_one, LOOP_SIM_POINTS);
    run_choosing(wake_one, LOOP_SIM_ORDER_READY);
}

static void *run_out_of_files(void *arg)
{
    CHECK_FAILS(loop_kernel_eventfd(0, 0), ENFILE);
    CHECK_FAILS(loop_kernel_pipe2(numbers, 0), ENFILE);
    CHECK_FAILS(loop_kernel_dup(1, 0), EMFILE);
    CHECK_IS(loop_sim_files_count(node), 3);
    reached++;
    return arg;
}

TEST(choice_of_no_files_leaves_none)
{
    run_choosing(run_out_of_files, LOOP_SIM_NO_FILES);
}

static void *report_in_order(void *arg)
{
    int set = loop_kernel_epoll_create1(0);
    struct epoll_event events[3];

    for (unsigned i = 0; i < 3; i++) {
        events[0] = (struct epoll_event){.events = EPOLLIN, .data.u64 = i};
        CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, loop_kernel_eventfd(1, 0), events), 0);
    }
    CHECK_IS(loop_kernel_epoll_wait(set, events, 3, 0), 3);
    bool is_chosen = point_chosen == LOOP_SIM_ORDER_READY;
    CHECK_IS(events[0].data.u64, is_chosen ? 1 : 0);
    CHECK_IS(events[1].data.u64, is_chosen ? 2 : 1);
    CHECK_IS(events[2].data.u64, is_chosen ? 0 : 2);
    reached++;
    return arg;
}

TEST(choice_of_an_order_is_that_of_reports)
{
    run_choosing(report_in_order, LOOP_SIM_POINTS);
    run_choosing(report_in_order, LOOP_SIM_ORDER_READY);
}
