/* SPDX-License-Identifier: ISC
 *
 * Rings of the simulated kernel, where it does more than answer as the real one: what is chosen, how long a disk takes,
 * which features a node lacks, and what a crash leaves.
 */
#include "rings.h"

#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/machine/machine.h>
#include <loop/kernel/simulated/object/process.h>

#if NORIA_URING

#define MS INT64_C(1000000)

/* Which choice is made at one point; all others are 0. */
struct wish {
    enum loop_sim_point point;
    unsigned value;
};

static unsigned grant(void *arg, enum loop_sim_point point, unsigned n, uint32_t ppm)
{
    const struct wish *wish = arg;
    (void)ppm;
    return point == wish->point && wish->value < n ? wish->value : 0;
}

static void choose(struct wish *wish)
{
    loop_sim_choices_set(loop_sim_here()->world, grant, wish);
}

static void open_pipe(int ends[2])
{
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
}

/* ---- order ---- */

TEST(ring_reports_what_is_ready_at_one_time_in_a_chosen_order)
{
    struct wish wish = {LOOP_SIM_ORDER_READY, 1};
    struct io_uring ring;
    int ends[2][2];

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    for (unsigned i = 0; i < 2; i++) {
        struct io_uring_sqe *entry = entry_of(&ring);
        open_pipe(ends[i]);
        io_uring_prep_poll_multishot(entry, ends[i][0], POLLIN);
        entry->user_data = i;
    }
    EXPECT_NOTHING(&ring);
    for (unsigned round = 0; round < 2; round++) {
        write_all(ends[0][1], "x");
        write_all(ends[1][1], "x");
        EXPECT(&ring, round, POLLIN, IORING_CQE_F_MORE);
        EXPECT(&ring, !round, POLLIN, IORING_CQE_F_MORE);
        choose(&wish);
    }
    loop_kernel_io_uring_queue_exit(&ring);
    close_all(ends[0], 2);
    close_all(ends[1], 2);
}

/* ---- disks ---- */

/* Makes a file of 8 bytes on a disk that takes 5 ms for each operation. */
static int make_slow_file(void)
{
    const struct loop_sim_disk_options options = {.latency_ns = 5 * MS};
    int number = loop_kernel_open("/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(number >= 0);
    write_all(number, "contents");
    loop_sim_disk_set(loop_sim_here(), &options);
    return number;
}

static void start_read(struct io_uring *ring, int number, char *data, uint64_t user_data)
{
    struct io_uring_sqe *entry = entry_of(ring);
    io_uring_prep_read(entry, number, data, 8, 0);
    entry->user_data = user_data;
}

TEST(ring_takes_the_time_of_the_disk)
{
    struct io_uring ring;
    char data[9] = "";

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    int number = make_slow_file();
    int64_t before_ns = loop_sim_here()->world->now_ns;
    start_read(&ring, number, data, 1);
    EXPECT_NOTHING(&ring);
    CHECK_TEXT(data, "");
    EXPECT(&ring, 1, 8, 0);
    CHECK_TEXT(data, "contents");
    CHECK_IS(loop_sim_here()->world->now_ns - before_ns, 5 * MS);
    io_uring_prep_fsync(entry_of(&ring), number, 0);
    EXPECT(&ring, 0, 0, 0);
    CHECK_IS(loop_sim_here()->world->now_ns - before_ns, 10 * MS);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST_ROWS(ring_cancels_what_a_worker_has_in_time_or_too_late, 2, in_time)
{
    struct wish wish = {LOOP_SIM_CANCEL, (unsigned)in_time};
    struct io_uring ring;
    char data[9] = "";

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    int number = make_slow_file();
    choose(&wish);
    start_read(&ring, number, data, 1);
    EXPECT_NOTHING(&ring);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_cancel64(entry, 1, 0);
    entry->user_data = 2;
    EXPECT(&ring, 2, in_time ? 0 : -EALREADY, 0);
    EXPECT(&ring, 1, in_time ? -ECANCELED : 8, 0);
    CHECK_TEXT(data, in_time ? "" : "contents");
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_cancels_from_outside_when_the_worker_is_done_or_the_time_is_over)
{
    struct io_uring_sync_cancel_reg one = {.addr = 1, .timeout = {.tv_nsec = 1 * MS}};
    struct io_uring ring;
    char data[9] = "";

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    int number = make_slow_file();
    start_read(&ring, number, data, 1);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_io_uring_register_sync_cancel(&ring, &one), -ETIME);
    one.timeout.tv_nsec = 100 * MS;
    CHECK_IS(loop_kernel_io_uring_register_sync_cancel(&ring, &one), 0);
    EXPECT(&ring, 1, 8, 0);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- the end of a ring ---- */

TEST(ring_touches_no_memory_of_the_program_when_it_is_closed)
{
    struct io_uring ring;
    char slow[9] = "", data[9] = "";
    int ends[2];

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    open_pipe(ends);
    int number = make_slow_file();
    start_read(&ring, number, slow, 1);
    start_read(&ring, ends[0], data, 2);
    EXPECT_NOTHING(&ring);
    loop_kernel_io_uring_queue_exit(&ring);
    write_all(ends[1], "12345678");
    CHECK_IS(loop_sim_wait(NULL, loop_sim_here()->world->now_ns + 100 * MS), -ETIMEDOUT);
    CHECK_TEXT(slow, "");
    CHECK_TEXT(data, "");
    close_all(ends, 2);
    loop_kernel_close(number);
}

TEST(ring_leaves_its_queues_to_the_program_when_its_number_is_closed)
{
    struct io_uring ring;

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    CHECK_IS(loop_kernel_close(ring.ring_fd), 0);
    CHECK_IS(*ring.sq.khead, 0);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring.ring_fd, 0, 0, 0, NULL, 8), -EBADF);
    ring.ring_fd = -1;
    loop_kernel_io_uring_queue_exit(&ring);
}

static void *wait_in_ring(void *unused)
{
    static struct io_uring ring;
    static char data[9];
    int ends[2];

    (void)unused;
    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    CHECK_IS(loop_kernel_io_uring_register_ring_fd(&ring), 1);
    open_pipe(ends);
    start_read(&ring, make_slow_file(), data, 1);
    start_read(&ring, ends[0], data, 2);
    io_uring_prep_poll_add(entry_of(&ring), ring.ring_fd, POLLPRI);
    return (void *)(intptr_t)enter(&ring, 3, 1000000);
}

static void crash(struct loop_sim_event *event)
{
    struct loop_sim_world *world = loop_sim_world_now();
    (void)event;
    loop_sim_node_crash(LOOP_CONTAINER(world->nodes.next, struct loop_sim_node, link));
}

TEST(ring_is_gone_with_its_node)
{
    static struct loop_sim_event event;
    struct loop_sim_world *world = loop_sim_world_create();

    loop_sim_node_start(loop_sim_node_create(world, "a"), wait_in_ring, NULL);
    loop_sim_event_set(&event, 2 * MS, crash);
    CHECK_IS(loop_sim_world_run(world), LOOP_SIM_STOP_ENDED);
    CHECK_IS(world->now_ns, 2 * MS);
    loop_sim_world_destroy(world);
}

/* A request of the ring has the last use of the writing end. That it is dropped wakes the request that reads. */
TEST_ROWS(ring_that_is_closed_runs_no_work_of_requests_that_it_wakes, 3, setup)
{
    struct io_uring ring;
    char data[9] = "";
    int ends[2];

    CHECK(make_ring(&ring, 4, 0, setups[setup]));
    open_pipe(ends);
    io_uring_prep_poll_add(entry_of(&ring), ends[1], POLLPRI);
    start_read(&ring, ends[0], data, 1);
    EXPECT_NOTHING(&ring);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
    CHECK_IS(loop_sim_wait(NULL, loop_sim_here()->world->now_ns + MS), -ETIMEDOUT);
}

/* ---- what a node lacks ---- */

TEST(ring_lacks_what_the_node_masks)
{
    struct loop_sim_node *node = loop_sim_here();
    struct io_uring_params params = {.flags = DEFERRED};
    struct io_uring ring;

    node->ring_setup_refused = IORING_SETUP_DEFER_TASKRUN;
    node->ring_features_masked = IORING_FEAT_CQE_SKIP;
    node->ring_ops_masked[0] = UINT64_C(1) << IORING_OP_NOP;
    CHECK_IS(loop_kernel_io_uring_queue_init_params(4, &ring, &params), -EINVAL);
    CHECK(make_ring(&ring, 4, 0, COOPERATIVE));
    CHECK(!(ring.features & IORING_FEAT_CQE_SKIP));
    io_uring_prep_nop(entry_of(&ring));
    EXPECT(&ring, 0, -EINVAL, 0);
    loop_kernel_io_uring_queue_exit(&ring);
    node->backend = LOOP_SIM_BACKEND_EPOLL;
    CHECK_IS(loop_kernel_io_uring_queue_init_params(4, &ring, &params), -ENOSYS);
}

TEST(ring_is_refused_by_a_filter_and_by_the_limit_of_locked_memory)
{
    enum { SIZE = 65536 };
    static char memory[SIZE];
    const struct rlimit limit = {SIZE, SIZE};
    const struct iovec vector = {memory, SIZE};
    struct loop_sim_node *node = loop_sim_here();
    struct io_uring_params params = {0};
    struct io_uring ring;

    loop_sim_limit_set(node, RLIMIT_MEMLOCK, &limit);
    loop_sim_user_set(node, 1000, 1000);
    CHECK_IS(loop_kernel_io_uring_queue_init_params(2048, &ring, &params), -ENOMEM);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(make_ring(&ring, 512, 0, 0));
        CHECK_IS(loop_kernel_io_uring_register_buffers(&ring, &vector, 1), -ENOMEM);
        loop_kernel_io_uring_queue_exit(&ring);
    }
    node->ring_error = EPERM;
    CHECK_IS(loop_kernel_io_uring_queue_init_params(4, &ring, &params), -EPERM);
    node->ring_error_is_of_enter = true;
    CHECK(make_ring(&ring, 4, 0, 0));
    CHECK_IS(enter(&ring, 0, 0), -EPERM);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_locks_bytes_that_are_cloned_once_until_the_last_clone_is_gone)
{
    enum { SIZE = 65536, LIMIT = 3 * SIZE / 2 };
    static char memory[2][SIZE];
    const struct rlimit limit = {LIMIT, LIMIT};
    const struct iovec vector = {memory[0], SIZE}, other = {memory[1], SIZE};
    struct loop_sim_node *node = loop_sim_here();
    struct io_uring rings[3];

    loop_sim_limit_set(node, RLIMIT_MEMLOCK, &limit);
    loop_sim_user_set(node, 1000, 1000);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(make_ring(&rings[i], 4, 0, 0));
    }
    CHECK_IS(loop_kernel_io_uring_register_buffers(&rings[0], &vector, 1), 0);
    CHECK_IS(loop_kernel_io_uring_register_buffers(&rings[1], &other, 1), -ENOMEM);
    node->ring_refuses_clones = true;
    CHECK_IS(loop_kernel_io_uring_clone_buffers(&rings[1], &rings[0]), -EINVAL);
    node->ring_refuses_clones = false;
    CHECK_IS(loop_kernel_io_uring_clone_buffers(&rings[1], &rings[0]), 0);
    CHECK_IS(loop_kernel_io_uring_clone_buffers(&rings[2], &rings[1]), 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_io_uring_unregister_buffers(&rings[i]), 0);
        CHECK_IS(loop_kernel_io_uring_register_buffers(&rings[i], &other, 1), -ENOMEM);
    }
    loop_kernel_io_uring_queue_exit(&rings[2]);
    CHECK_IS(loop_kernel_io_uring_register_buffers(&rings[0], &other, 1), 0);
    loop_kernel_io_uring_queue_exit(&rings[0]);
    loop_kernel_io_uring_queue_exit(&rings[1]);
}

TEST(ring_tells_that_the_kernel_is_short_of_memory)
{
    struct wish wish = {LOOP_SIM_NO_BUFFERS, 1};
    struct io_uring ring;

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    for (unsigned i = 0; i < 3; i++) {
        io_uring_prep_nop(entry_of(&ring));
    }
    choose(&wish);
    CHECK_IS(enter(&ring, 0, 0), 1);
    wish.value = 0;
    CHECK_IS(enter(&ring, 0, 0), 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

#endif
