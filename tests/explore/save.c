/* SPDX-License-Identifier: ISC
 *
 * A program that saves one version of a file after another, atomically, and reads the file meanwhile. It crashes at
 * chosen times and begins again.
 *
 * Judges: the file is always there and is one whole version, when it is read and after each crash. It is not older than
 * the last version that was saved with success, and not newer than the last one that was begun. When faults have ended
 * the program saves all versions. It may give up when there is no memory.
 */
#include "explore.h"

#include <fs/fs.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { N_VERSIONS = 6, LARGEST = 20000 };

static const char path[] = "/data/state";

struct saver {
    uint64_t saved, begun; /* versions */
    uint64_t oldest;       /* that a reader may find: the one saved when it began */
    unsigned n_saved;      /* with success */
    struct loop_env *env;
    void *loaded;
    char data[LARGEST];
};

/* Versions have the number at the start, and different sizes. */
static size_t size_of(uint64_t version)
{
    static const size_t sizes[] = {sizeof version, 3000, LARGEST, 100, 9000};

    return sizes[version % (sizeof sizes / sizeof sizes[0])];
}

static size_t make(void *data, uint64_t version)
{
    size_t len = size_of(version);

    memcpy(data, &version, sizeof version);
    explore_fill((char *)data + sizeof version, len - sizeof version, version, 0);
    return len;
}

/* Checks a file. Stores its version in `*version`. */
static void check(struct loop_world *world, const struct saver *saver, const void *data, size_t len, uint64_t *version)
{
    *version = saver->saved;
    if (len < sizeof *version) {
        loop_world_fail(world, "a file that is cut off: %zu bytes", len);
        return;
    }
    memcpy(version, data, sizeof *version);
    if (len != size_of(*version) ||
        !explore_matches((const char *)data + sizeof *version, len - sizeof *version, *version, 0)) {
        loop_world_fail(world, "a file that is no version: %zu bytes", len);
    } else if (*version < saver->oldest || *version > saver->begun) {
        loop_world_fail(world, "a wrong version: %u, of %u to %u", (unsigned)*version, (unsigned)saver->oldest,
                        (unsigned)saver->begun);
    }
}

/* ---- saving ---- */

static void save_next(void *arg, int64_t result);

static void on_saved(void *arg, int64_t result)
{
    struct saver *saver = arg;

    if (result >= 0) {
        saver->saved = saver->begun;
        saver->n_saved++;
        loop_simulation_sometimes("a version was saved");
    } else {
        loop_simulation_sometimes("a save failed");
    }
    if (saver->n_saved < N_VERSIONS) {
        explore_must(saver->env->scope, loop_sleep(saver->env->scope, LOOP_MILLISECOND, save_next, saver));
    }
}

static void save_next(void *arg, int64_t result)
{
    static const struct loop_save_options options = {.atomic = true};
    struct saver *saver = arg;

    if (result < 0) {
        return;
    }
    saver->begun++;
    explore_must(saver->env->scope, loop_fs_save(saver->env->scope, saver->env->fs, path, saver->data,
                                                 make(saver->data, saver->begun), &options, on_saved, saver));
}

/* ---- reading meanwhile ---- */

static void load(void *arg, int64_t result);

static void on_loaded(void *arg, int64_t result)
{
    struct saver *saver = arg;
    uint64_t version;

    if (result == -ENOENT) {
        loop_world_fail(NULL, "the file is gone");
    } else if (result >= 0) {
        check(NULL, saver, saver->loaded, (size_t)result, &version);
        if (version < saver->begun) {
            loop_simulation_sometimes("read an old version");
        }
        free(saver->loaded);
    }
    if (saver->n_saved < N_VERSIONS) {
        explore_must(saver->env->scope, loop_sleep(saver->env->scope, 500 * LOOP_MICROSECOND, load, saver));
    }
}

static void load(void *arg, int64_t result)
{
    struct saver *saver = arg;

    if (result < 0) {
        return;
    }
    saver->oldest = saver->saved;
    explore_must(saver->env->scope,
                 loop_fs_load(saver->env->scope, saver->env->fs, path, 0, &saver->loaded, on_loaded, saver));
}

/* ---- the program ---- */

/* What has survived counts from now on. */
static void on_recovered(void *arg, int64_t result)
{
    struct saver *saver = arg;

    if (result == -ENOENT) {
        loop_world_fail(NULL, "the file was gone after a crash");
    } else if (result < 0) {
        explore_must(saver->env->scope,
                     loop_fs_load(saver->env->scope, saver->env->fs, path, 0, &saver->loaded, on_recovered, saver));
        return;
    }
    if (saver->begun > saver->saved) {
        loop_simulation_sometimes("crashed during a save");
    }
    if (result >= 0) {
        uint64_t version;
        check(NULL, saver, saver->loaded, (size_t)result, &version);
        if (version > saver->saved) {
            loop_simulation_sometimes("an unfinished save survived");
        }
        saver->saved = version;
        free(saver->loaded);
    }
    save_next(saver, 0);
    load(saver, 0);
}

static int begin(struct loop_env *env, void *arg)
{
    struct saver *saver = arg;

    saver->env = env;
    saver->oldest = saver->saved;
    explore_must(env->scope, loop_fs_load(env->scope, env->fs, path, 0, &saver->loaded, on_recovered, saver));
    return 0;
}

static int build(struct loop_world *world, void *arg)
{
    static const int64_t latencies[] = {LOOP_MILLISECOND, 0, 100 * LOOP_MICROSECOND};
    struct saver *saver = loop_world_alloc(world, sizeof *saver);
    char first[LARGEST];

    (void)arg;
    struct loop_node *node = explore_node(
        world, (struct loop_node_options){
                   .name = "saver", .main = begin, .arg = saver, .disk_latency_ns = EXPLORE_ONE_OF(latencies)});
    if (loop_node_put_file(node, path, first, make(first, 0)) < 0) {
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        explore_crash(world, node, 60 * LOOP_MILLISECOND);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const marks[] = {"a version was saved",
                                        "a save failed",
                                        "read an old version",
                                        "crashed during a save",
                                        "a node crashed",
                                        "an unfinished save survived",
                                        NULL};

    return loop_simulation_main(argc, argv, build, NULL,
                                &(struct loop_simulation_options){.faults_end_ns = 30 * LOOP_SECOND,
                                                                  .liveness_ns = 30 * LOOP_SECOND,
                                                                  .faults = LOOP_FAULT_ALL,
                                                                  .marks = marks});
}
