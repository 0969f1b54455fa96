/* SPDX-License-Identifier: ISC
 *
 * A program that copies a tree, crashes at chosen times and begins again. By choice it copies as demos/files/cp.c does,
 * with the sources of that demo, or by loop_fs_copy_file with `sync`.
 *
 * Judges: a file that has its final name is whole, at chosen times while the program runs, and at the moment of a
 * crash, as if the program had been killed. With `sync` also after the crash; the demo, which does not sync, removes
 * what it finds then and begins anew. When faults have ended everything is copied.
 */
#include "explore.h"

#include "../../demos/files/cp_tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define N_FILES 5

struct file {
    const char *name;
    size_t size;
};

struct copier {
    struct loop_node *node;
    struct loop_env *env;
    bool is_demo;
    bool is_complete;
    bool is_trusted; /* false while the demo removes what a crash has left */
    struct file files[N_FILES];
    size_t at; /* the file that loop_fs_copy_file copies */
    char from[64], to[64];
    struct cp cp;
    struct cp_names names;
    struct loop_fs_status stat;
};

/* ---- judging ---- */

static void check(struct loop_world *world, const struct copier *copier)
{
    for (size_t i = 0; i < N_FILES && copier->is_trusted; i++) {
        const struct file *file = &copier->files[i];
        char path[64];
        void *data;
        size_t len;
        snprintf(path, sizeof path, "/to/%s", file->name);
        int result = loop_node_get_file(copier->node, path, &data, &len);
        if (result == 0 && (len != file->size || !explore_matches(data, len, i, 0))) {
            loop_world_fail(world, "half a file has its name: %s, %zu of %zu bytes", path, len, file->size);
        } else if (result < 0 && copier->is_complete) {
            loop_world_fail(world, "a file is missing: %s, %d", path, result);
        } else if (result == 0 && !copier->is_complete) {
            loop_simulation_sometimes("some files were copied");
        }
    }
}

static void check_now(struct loop_world *world, void *arg)
{
    check(world, arg);
}

static void restart(struct loop_world *world, void *arg)
{
    struct copier *copier = arg;

    check(world, copier);
    loop_node_restart(copier->node);
}

static void crash(struct loop_world *world, void *arg)
{
    struct copier *copier = arg;

    check(world, copier);
    if (loop_node_state(copier->node) == LOOP_NODE_RUNNING) {
        loop_simulation_sometimes("crashed while it copied");
        loop_node_crash(copier->node);
        copier->is_trusted = !copier->is_demo;
        copier->is_complete = false; /* the directories were not synced */
        loop_world_at(world, loop_world_now(world) + LOOP_SECOND, restart, copier);
    }
}

static void check_end(struct loop_world *world, void *arg)
{
    struct copier *copier = arg;

    if (!copier->is_complete) {
        loop_world_fail(world, "the copy has not ended");
    }
    check(world, copier);
}

/* ---- copying ---- */

static void begin_copy(void *arg, int64_t result);

static void on_copied(struct copier *copier, bool is_complete)
{
    if (is_complete) {
        loop_simulation_sometimes(copier->is_demo ? "the demo copied everything" : "everything was copied and synced");
        copier->is_complete = true;
    } else {
        loop_simulation_sometimes("a copy failed");
        loop_sleep(copier->env->scope, LOOP_MILLISECOND, begin_copy, copier);
    }
}

static void on_tree(void *arg, int64_t result)
{
    struct copier *copier = arg;

    on_copied(copier, result == 0 && copier->cp.status == 0);
}

static void on_stat(void *arg, int64_t result)
{
    struct copier *copier = arg;

    if (result < 0 || !cp_tree(&copier->cp, &copier->names, &copier->stat, false, on_tree, copier)) {
        on_copied(copier, false);
    }
}

static void copy_next(void *arg, int64_t result)
{
    static const struct loop_copy_options options = {.sync = true, .keep_times = true};
    struct copier *copier = arg;
    struct loop_dir *fs = copier->env->fs;

    if (result < 0 || copier->at == N_FILES) {
        on_copied(copier, result >= 0);
        return;
    }
    const char *name = copier->files[copier->at++].name;
    snprintf(copier->from, sizeof copier->from, "/from/%s", name);
    snprintf(copier->to, sizeof copier->to, "/to/%s", name);
    loop_fs_copy_file(copier->env->scope, fs, copier->from, fs, copier->to, &options, copy_next, copier);
}

static void begin_copy(void *arg, int64_t result)
{
    struct copier *copier = arg;
    struct loop_env *env = copier->env;

    (void)result;
    if (copier->is_demo) {
        copier->cp = (struct cp){.env = env, .scope = env->scope};
        copier->names = (struct cp_names){.from_dir = env->fs, .to_dir = env->fs, .from = "/from", .to = "/to"};
        loop_fs_stat(env->scope, env->fs, "/from", 0, &copier->stat, on_stat, copier);
    } else {
        copier->at = 0;
        loop_fs_mkdirs(env->scope, env->fs, "/to/inner/most", 0, copy_next, copier);
    }
}

static void on_removed(void *arg, int64_t result)
{
    struct copier *copier = arg;

    if (result < 0 && result != -ENOENT) {
        loop_simulation_sometimes("what a crash left was not removed at once");
        loop_fs_rmtree(copier->env->scope, copier->env->fs, "/to", on_removed, copier);
        return;
    }
    copier->is_trusted = true;
    begin_copy(copier, 0);
}

static int begin(struct loop_env *env, void *arg)
{
    struct copier *copier = arg;

    copier->env = env;
    if (copier->is_demo) {
        loop_fs_rmtree(env->scope, env->fs, "/to", on_removed, copier);
    } else {
        begin_copy(copier, 0);
    }
    return 0;
}

/* ---- the world ---- */

static int put_files(struct loop_world *world, struct copier *copier)
{
    static const struct file files[N_FILES] = {
        {"a", 10}, {"b", 70000}, {"inner/empty", 0}, {"inner/c", 5000}, {"inner/most/d", 20000}};
    int status = 0;

    memcpy(copier->files, files, sizeof files);
    if (loop_simulation_choose(16) == 15) {
        loop_simulation_sometimes("a big file");
        copier->files[1].size = CP_BIG_BYTES + 123;
    }
    for (size_t i = 0; i < N_FILES && status == 0; i++) {
        char path[64], *data = loop_world_alloc(world, copier->files[i].size + 1);
        snprintf(path, sizeof path, "/from/%s", copier->files[i].name);
        explore_fill(data, copier->files[i].size, i, 0);
        status = loop_node_put_file(copier->node, path, data, copier->files[i].size);
    }
    return status;
}

static int build(struct loop_world *world, void *arg)
{
    static const int64_t latencies[] = {LOOP_MILLISECOND, 0, 100 * LOOP_MICROSECOND};
    struct copier *copier = loop_world_alloc(world, sizeof *copier);

    (void)arg;
    copier->is_demo = loop_simulation_choose(2);
    copier->is_trusted = true;
    copier->node =
        explore_node(world, (struct loop_node_options){.name = "copier",
                                                       .main = begin,
                                                       .arg = copier,
                                                       .options = &(struct loop_options){.block_size = 65536},
                                                       .disk_latency_ns = EXPLORE_ONE_OF(latencies)});
    for (int i = 0; i < 2; i++) {
        if (loop_simulation_choose(2)) {
            loop_world_at(world, loop_simulation_choose(600) * (100 * LOOP_MICROSECOND), crash, copier);
        }
        loop_world_at(world, loop_simulation_choose(600) * (100 * LOOP_MICROSECOND), check_now, copier);
    }
    loop_world_at_end(world, check_end, copier);
    return put_files(world, copier);
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"some files were copied",
                                        "crashed while it copied",
                                        "a copy failed",
                                        "a demo complained",
                                        "the demo copied everything",
                                        "everything was copied and synced",
                                        NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 30 * LOOP_SECOND,
                                                                  .liveness_ns = 30 * LOOP_SECOND,
                                                                  .marks = marks});
}
