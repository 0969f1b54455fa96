/* SPDX-License-Identifier: ISC
 *
 * The disks of nodes: files that a world puts there and reads, and what a crash leaves of one that is being replaced.
 */
#include <fs/fs.h>
#include <loop/simulation.h>

#include "harness.h"

#include <stdio.h>

enum { CONTENT_SIZE = 10000 };

/* A world whose node replaces a file while it may crash. */
struct save {
    struct loop_node *node;
    enum loop_backend backend;
    bool is_atomic; /* false is a mistake: a crash leaves a part of the content */
    bool is_saved;
    char *before, *now;
};

static void on_saved(void *arg, int64_t result)
{
    struct save *save = arg;

    save->is_saved = result == CONTENT_SIZE;
}

static int save_file(struct loop_env *env, void *arg)
{
    struct save *save = arg;

    loop_fs_save(env->scope, env->fs, "/data/file", save->now, CONTENT_SIZE,
                 &(struct loop_save_options){.atomic = save->is_atomic, .sync = true}, on_saved, save);
    return 0;
}

static void crash(struct loop_world *world, void *arg)
{
    const struct save *save = arg;

    if (loop_node_state(save->node) == LOOP_NODE_RUNNING) {
        loop_simulation_sometimes("crashed while it saved");
    }
    if (save->is_saved) {
        loop_simulation_sometimes("crashed after it saved");
    }
    (void)world;
    loop_node_crash(save->node);
}

/* Old or new, never a mix; and new once the save has ended. */
static void check_file(struct loop_world *world, void *arg)
{
    const struct save *save = arg;
    void *data;
    size_t len;
    int error = loop_node_get_file(save->node, "/data/file", &data, &len);

    if (error || len != CONTENT_SIZE) {
        loop_world_fail(world, "torn: %s, %zu bytes", strerror(-error), error ? 0 : len);
    } else if (!memcmp(data, save->now, len)) {
        loop_simulation_sometimes("new");
    } else if (memcmp(data, save->before, len) != 0) {
        loop_world_fail(world, "torn: a mix");
    } else if (save->is_saved) {
        loop_world_fail(world, "lost: it was saved");
    } else {
        loop_simulation_sometimes("old");
    }
}

static int build_save(struct loop_world *world, void *arg)
{
    struct save *save = arg;

    save->is_saved = false;
    save->before = memset(loop_world_alloc(world, CONTENT_SIZE), 'a', CONTENT_SIZE);
    save->now = memset(loop_world_alloc(world, CONTENT_SIZE), 'b', CONTENT_SIZE);
    save->node = loop_world_add_node(world, &(struct loop_node_options){.main = save_file,
                                                                        .arg = save,
                                                                        .backend = save->backend,
                                                                        .disk_latency_ns = 100 * LOOP_MICROSECOND});
    if (loop_node_put_file(save->node, "/data/file", save->before, CONTENT_SIZE) != 0) {
        return 1;
    }
    loop_world_at(world, (int64_t)loop_simulation_choose(30) * 50 * LOOP_MICROSECOND, crash, save);
    loop_world_at_end(world, check_file, save);
    return 0;
}

static void check_atomic(enum loop_backend backend)
{
    static const char *const marks[] = {"crashed while it saved", "old", "new", NULL};
    struct save save = {.backend = backend, .is_atomic = true};
    struct loop_simulation_result result = {0};

    loop_simulation_explore(build_save, &save,
                            &(struct loop_simulation_options){.seed = 1, .runs = 1000, .marks = marks}, &result);
    if (result.has_failed) {
        char *text = loop_simulation_result_text(&result);
        fputs(text, stderr);
        free(text);
    }
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}

TEST(atomic_save_survives_crashes_by_a_ring)
{
    check_atomic(LOOP_BACKEND_URING);
}

TEST(atomic_save_survives_crashes_by_system_calls)
{
    check_atomic(LOOP_BACKEND_EPOLL);
}

TEST(save_that_is_not_atomic_is_found_torn)
{
    struct save save = {0};
    struct loop_simulation_result result = {0};

    CHECK_IS(loop_simulation_explore(build_save, &save, &(struct loop_simulation_options){.seed = 1}, &result), 1);
    CHECK(!strncmp(result.reason, "torn: ", 6));
    CHECK(result.n_departures <= 2);
    loop_simulation_result_finish(&result);
}

/* ---- latency ---- */

static void check_unsaved(struct loop_world *world, void *arg)
{
    const struct save *save = arg;

    if (save->is_saved) {
        loop_world_fail(world, "saved at once");
    }
}

static int build_slow(struct loop_world *world, void *arg)
{
    struct save *save = arg;

    save->is_saved = false;
    save->now = memset(loop_world_alloc(world, CONTENT_SIZE), 'b', CONTENT_SIZE);
    save->node = loop_world_add_node(
        world,
        &(struct loop_node_options){
            .main = save_file, .arg = save, .backend = save->backend, .disk_latency_ns = INT64_MAX, .is_daemon = true});
    loop_world_at_end(world, check_unsaved, save);
    return loop_node_put_file(save->node, "/data/file", "old", 3);
}

/* By choice each operation takes longer still: the bytes choose 126 modulo the number of outcomes, and no error. */
TEST_ROWS(longest_latency_of_a_disk_is_not_taken_for_none, 2, row)
{
    struct save save = {.backend = row == 0 ? LOOP_BACKEND_URING : LOOP_BACKEND_EPOLL};
    struct loop_simulation_result result = {0};
    uint8_t bytes[1000];

    memset(bytes, 128 + 126, sizeof bytes);
    loop_simulation_run(
        build_slow, &save,
        &(struct loop_simulation_options){.bytes = bytes, .n_bytes = sizeof bytes, .faults = LOOP_FAULT_DISK}, &result);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}

/* ---- files of a world ---- */

static int do_nothing(struct loop_env *env, void *arg)
{
    (void)env;
    (void)arg;
    return 0;
}

static int build_files(struct loop_world *world, void *arg)
{
    struct loop_node *node = loop_world_add_node(world, &(struct loop_node_options){.main = do_nothing, .arg = arg});
    void *data;
    size_t len;

    CHECK_IS(loop_node_put_file(node, "/some/where/file", "hello", 5), 0);
    CHECK_IS(loop_node_get_file(node, "/some/where/file", &data, &len), 0);
    CHECK_IS(len, 5);
    CHECK_TEXT((const char *)data, "hello");
    CHECK_IS(loop_node_put_file(node, "/some/where/file", "", 0), 0);
    CHECK_IS(loop_node_get_file(node, "/some/where/file", &data, &len), 0);
    CHECK_IS(len, 0);
    CHECK_IS(loop_node_get_file(node, "/some/where/else", &data, &len), -ENOENT);
    CHECK_IS(loop_node_get_file(node, "/some/where", &data, &len), -EISDIR);
    return 0;
}

TEST(world_puts_files_on_a_disk_and_reads_them)
{
    struct loop_simulation_result result = {0};

    loop_simulation_run(build_files, NULL, NULL, &result);
    CHECK_TEXT(result.reason, "");
    loop_simulation_result_finish(&result);
}
