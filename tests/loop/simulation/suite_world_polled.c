/* SPDX-License-Identifier: ISC
 *
 * Polled files on disks with latency: reads that are in flight while everything else goes on, and while they are
 * cancelled, their file is closed, or their scope ends. On kernels that poll, and on those that do not.
 */
#include <fs/fs.h>
#include <loop/low_level.h>
#include <loop/simulation.h>

#include "harness.h"

#include <linux/io_uring.h>
#include <stdio.h>

enum { BLOCK = 4096, BLOCKS = 16, READS = 40 };

enum way { POLLED, WITHOUT_RING, BY_EPOLL };

enum ending { BY_ITSELF, CANCELLED, CLOSED, SCOPE_CANCELLED, DEADLINE, ENDINGS };

/* A program that reads blocks of a file, all at once, and one that ends it. */
struct reading {
    enum way way;
    struct loop_env *env;
    struct loop_scope *scope;
    struct loop_flow *flow;
    struct loop_world *world;
    char *content;
    unsigned ended, beats;
    struct block {
        struct reading *reading;
        loop_job job;
        char *data;
        unsigned number, count;
        bool is_cancelled;
    } blocks[READS];
};

static void check_reason(const struct reading *reading)
{
    static const char *const wanted[] = {[WITHOUT_RING] = "IORING_SETUP_IOPOLL", [BY_EPOLL] = "io_uring"};
    const char *reason = loop_fd_unpolled_reason(reading->flow->fd);

    if (reading->way == POLLED ? reason != NULL : !reason || !strstr(reason, wanted[reading->way])) {
        loop_world_fail(reading->world, "another reason: %s", reason ? reason : "none");
    }
}

static void on_read(void *arg, int64_t result)
{
    struct block *block = arg;
    struct reading *reading = block->reading;
    bool is_right = result > 0 && result <= BLOCK &&
                    memcmp(block->data, reading->content + (size_t)block->number % BLOCKS * BLOCK, (size_t)result) == 0;

    reading->ended++;
    if (++block->count != 1) {
        loop_world_fail(reading->world, "ended twice");
    } else if (result > 0 && !is_right) {
        loop_world_fail(reading->world, "other bytes");
    } else if (result <= 0 && result != -ECANCELED && result != -ETIMEDOUT && result != -EIO) {
        loop_world_fail(reading->world, "another result: %d", (int)result);
    }
    if (block->is_cancelled) {
        loop_simulation_sometimes(result > 0 ? "cancelled, and had its result" : "cancelled");
    }
}

static void on_beat(void *arg, int64_t result)
{
    struct reading *reading = arg;

    if (result == 0 && reading->ended < READS) {
        loop_simulation_sometimes("another job while reads are in flight");
        (void)loop_sleep(reading->env->scope, 5 * LOOP_MICROSECOND, on_beat, reading);
    }
}

static void end(void *arg, int64_t result)
{
    struct reading *reading = arg;

    if (result != 0 || reading->ended == READS) {
        return; /* the scope has ended */
    }
    switch ((enum ending)loop_simulation_choose(ENDINGS)) {
    case BY_ITSELF: break;
    case CANCELLED:
        for (unsigned i = 0; i < READS; i += 1 + loop_simulation_choose(3)) {
            reading->blocks[i].is_cancelled = loop_cancel(reading->env->loop, reading->blocks[i].job) == 0;
        }
        break;
    case CLOSED: (void)loop_fd_close(reading->flow->fd); break;
    case SCOPE_CANCELLED: loop_scope_cancel(reading->scope); break;
    case DEADLINE: loop_scope_deadline(reading->scope, loop_now(reading->env->loop)); break;
    case ENDINGS: break;
    }
}

static void on_open(void *arg, int64_t result)
{
    struct reading *reading = arg;

    if (result != 0) {
        return; /* a fault of the disk */
    }
    check_reason(reading);
    for (unsigned i = 0; i < READS; i++) {
        struct block *block = &reading->blocks[i];
        block->job = loop_op_read(reading->scope, reading->flow->fd, block->data, BLOCK, (int64_t)(i % BLOCKS) * BLOCK,
                                  on_read, block);
    }
    on_beat(reading, 0);
    (void)loop_sleep(reading->env->scope, loop_simulation_choose(8) * 20 * LOOP_MICROSECOND, end, reading);
}

/* Everything in the scope has ended: no read may end later. */
static void on_scope_end(void *arg, int64_t result)
{
    const struct reading *reading = arg;

    (void)result;
    if (reading->flow && reading->ended != READS) {
        loop_world_fail(reading->world, "the scope ended before its reads: %u", reading->ended);
    }
}

static int read_blocks(struct loop_env *env, void *arg)
{
    struct reading *reading = arg;

    reading->env = env;
    reading->scope = loop_scope_open(env->scope, on_scope_end, reading);
    for (unsigned i = 0; i < READS; i++) {
        reading->blocks[i] = (struct block){.reading = reading, .number = i};
        reading->blocks[i].data = loop_scope_alloc(env->scope, BLOCK);
    }
    loop_fs_open(reading->scope, env->fs, "/data/file", &(struct loop_open_options){.polled = true, .flags = O_DIRECT},
                 &reading->flow, on_open, reading);
    return 0;
}

static int build_reading(struct loop_world *world, void *arg)
{
    struct reading *reading = arg;
    enum loop_backend backend = reading->way == BY_EPOLL ? LOOP_BACKEND_EPOLL : LOOP_BACKEND_URING;
    const struct loop_options options = {.queue_depth = 8, .backend = backend};

    *reading = (struct reading){.way = reading->way, .world = world};
    reading->content = loop_world_alloc(world, (size_t)BLOCKS * BLOCK);
    fill_pattern(reading->content, (size_t)BLOCKS * BLOCK, 1);
    struct loop_node *node = loop_world_add_node(
        world,
        &(struct loop_node_options){.main = read_blocks,
                                    .arg = reading,
                                    .options = &options,
                                    .may_fail = true,
                                    .backend = backend,
                                    .ring_setup_refused = reading->way == WITHOUT_RING ? IORING_SETUP_IOPOLL : 0u,
                                    .disk_latency_ns = 100 * LOOP_MICROSECOND});
    return loop_node_put_file(node, "/data/file", reading->content, (size_t)BLOCKS * BLOCK);
}

static void explore(enum way way, const char *const *marks)
{
    static struct reading reading;
    struct loop_simulation_result result = {0};

    reading.way = way;
    loop_simulation_explore(build_reading, &reading,
                            &(struct loop_simulation_options){.seed = 1, .runs = 150, .marks = marks}, &result);
    if (result.has_failed) {
        char *text = loop_simulation_result_text(&result);
        fputs(text, stderr);
        free(text);
    }
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}

TEST(polled_reads_end_once_beside_everything_else)
{
    static const char *const marks[] = {"another job while reads are in flight", "cancelled, and had its result",
                                        "cancelled", NULL};
    explore(POLLED, marks);
}

TEST(reads_of_a_kernel_that_does_not_poll_end_once)
{
    explore(WITHOUT_RING, NULL);
}

TEST(reads_that_epoll_can_not_poll_end_once)
{
    explore(BY_EPOLL, NULL);
}
