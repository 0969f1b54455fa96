/* SPDX-License-Identifier: ISC
 *
 * Groups of provided buffers: their sizes, and buffers that are returned by mistake.
 */
#include "harness.h"

/* ---- sockets ---- */

LOOP_TEST(buffers_of_bad_sizes)
{
    static struct loop_buffers *buffers;

    BEGIN;
    CHECK(!loop_buffers_create(env->scope, 0, 100));
    CHECK(!loop_buffers_create(env->scope, 3, 100));
    CHECK(!loop_buffers_create(env->scope, 65536, 100));
    CHECK(!loop_buffers_create(env->scope, UINT32_MAX, 100));
    CHECK(!loop_buffers_create(env->scope, 8, 0));
    CHECK(!loop_buffers_create(env->scope, 32768, SIZE_MAX));
    CHECK(!loop_buffers_create(env->scope, 2, SIZE_MAX / 2 + 1));
    buffers = loop_buffers_create(env->scope, 1, 1);
    CHECK(buffers != NULL);
    CHECK_IS(loop_buffers_avail(buffers), 1);
    buffers = loop_buffers_create(env->scope, 32768, 16);
    CHECK(buffers != NULL);
    CHECK_IS(loop_buffers_avail(buffers), 32768);
    END;
}

/* What is given back in error: the address of the byte after a buffer's first, a buffer twice, something foreign,
 * nothing. */
enum mistake { INSIDE, TWICE, FOREIGN, NOTHING, MISTAKES };

static enum mistake mistake;
static int64_t mistake_answer;
static struct loop_flow *mistaken[2];
static struct loop_buffers *mistaken_buffers;

static void recycle_wrongly(void *unused, int64_t result, void *data)
{
    static char foreign[64];

    (void)unused;
    if (!data) {
        return;
    }
    CHECK_IS(result, 1);
    if (mistake == TWICE) {
        CHECK_IS(loop_buffers_recycle(mistaken_buffers, data), 0);
    }
    void *const wrong[] = {(char *)data + 1, data, foreign, NULL};
    mistake_answer = loop_buffers_recycle(mistaken_buffers, wrong[mistake]);
    loop_flow_close(mistaken[0]);
}

static int recv_and_recycle(struct loop_env *env, void *unused)
{
    (void)unused;
    make_flows(env->scope, mistaken);
    mistaken_buffers = loop_buffers_create(env->scope, 4, 64);
    CHECK(loop_op_recv_multishot(NULL, mistaken[0]->fd, mistaken_buffers, recycle_wrongly, NULL) != 0);
    CHECK_IS(send(loop_fd_peek(mistaken[1]->fd), "x", 1, 0), 1);
    return 0;
}

static int run_mistake(void *unused)
{
    (void)unused;
    loop_run_with(&(struct loop_options){.queue_depth = 0}, recv_and_recycle, NULL);
    return (int)mistake_answer;
}

TEST_ROWS(buffers_recycled_in_error_are_caught, MISTAKES, row)
{
    mistake = (enum mistake)row;
    expect_stop(run_mistake, NULL, "loop_buffers_recycle", -EINVAL);
    expect_stop(run_mistake, NULL, "isn't lent", -EINVAL);
}

/* ---- receiving into provided buffers ---- */

LOOP_TEST(buffers_have_a_power_of_two_and_a_size)
{
    static struct loop_buffers *buffers;

    BEGIN;
    CHECK(!loop_buffers_create(env->scope, 0, 64));
    CHECK(!loop_buffers_create(env->scope, 3, 64));
    CHECK(!loop_buffers_create(env->scope, 65536, 64));
    CHECK(!loop_buffers_create(env->scope, 4, 0));
    CHECK(!loop_buffers_create(env->scope, 32768, SIZE_MAX / 2));
    buffers = loop_buffers_create(env->scope, 1, 1);
    CHECK(buffers);
    CHECK_IS(loop_buffers_avail(buffers), 1);
    buffers = loop_buffers_create(env->scope, 32768, 1);
    CHECK(buffers);
    CHECK_IS(loop_buffers_avail(buffers), 32768);
    END;
}
