/* SPDX-License-Identifier: ISC
 *
 * Paths that the kernel and the walk without openat2(2) must answer alike. tests/fuzz/walk.c compares the two at
 * random.
 */
#include "harness.h"

#include <limits.h>
#include <stdio.h>

/* A file is asked for where a directory is named: the kernel says so before it looks what is there. */
LOOP_TEST(p22_a_name_with_a_slash_is_not_created)
{
    static const char *path;
    static struct loop_dir *dir;
    static struct loop_flow *flow;
    static char long_name[NAME_MAX + 3];
    static struct loop_open_options options = {.access = LOOP_ACCESS_WRITE};
    char link[128];

    BEGIN;
    path = make_directory();
    snprintf(link, sizeof link, "%s/loop", path);
    CHECK_IS(symlink("loop", link), 0);
    AWAIT(loop_fs_open_dir(env->scope, env->fs, path, &dir, GO));
    CHECK_IS(result, 0);
    options.create = LOOP_CREATE_IF_MISSING;
    AWAIT(loop_fs_open(env->scope, dir, "loop/", &options, &flow, GO));
    CHECK_IS(result, -EISDIR);
    AWAIT(loop_fs_open(env->scope, dir, "nothing/", &options, &flow, GO));
    CHECK_IS(result, -EISDIR);
    memset(long_name, 'n', NAME_MAX + 1);
    long_name[NAME_MAX + 1] = '/';
    AWAIT(loop_fs_open(env->scope, dir, long_name, &options, &flow, GO));
    CHECK_IS(result, -EISDIR);
    options.create = LOOP_CREATE_EXCLUSIVE;
    AWAIT(loop_fs_open(env->scope, dir, "./", &options, &flow, GO));
    CHECK_IS(result, -EEXIST);
    AWAIT(loop_fs_open(env->scope, dir, "loop", &options, &flow, GO));
    CHECK_IS(result, -EEXIST);
    remove_directory(path);
    END;
}
