/* SPDX-License-Identifier: ISC
 *
 * A file by low-level operations: created, written, synced to the disk, closed.
 */
#include <loop/loop.h>
#include <loop/low_level.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char text[] = "a line that is worth keeping\n";

struct save {
    struct loop_env *env;
    const char *path;
    struct loop_fd *file;
};

static void on_closed(void *arg, int64_t result)
{
    struct save *save = arg;

    if (result == 0) {
        printf("saved\n");
    } else {
        loop_scope_fail(save->env->scope, result);
    }
}

static void on_synced(void *arg, int64_t result)
{
    struct save *save = arg;

    if (result < 0) {
        loop_scope_fail(save->env->scope, result);
        return;
    }
    loop_op_close(save->env->scope, save->file, on_closed, save);
}

static void on_written(void *arg, int64_t result)
{
    struct save *save = arg;

    if (result != (int64_t)sizeof text - 1) {
        loop_scope_fail(save->env->scope, result < 0 ? result : -EIO); /* a short write is not continued */
        return;
    }
    loop_op_fsync(NULL, save->file, 0, on_synced, save);
}

static void on_open(void *arg, int64_t result)
{
    struct save *save = arg;

    if (result >= 0) {
        save->file = loop_fd_adopt(save->env->scope, (int)result);
        result = save->file ? 0 : -ENOMEM;
    }
    if (result < 0) {
        loop_scope_fail(save->env->scope, result);
        return;
    }
    loop_op_write(NULL, save->file, text, sizeof text - 1, 0, on_written, save);
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_open_how how = {.flags = O_WRONLY | O_CREAT | O_TRUNC, .mode = 0644};
    struct save *save = arg;

    save->env = env;
    loop_op_openat2(env->scope, save->path, &how, on_open, save);
    return 0;
}

int main(int argc, char **argv)
{
    struct save save = {.path = argc == 2 ? argv[1] : "/dev/null"};
    int result = loop_run(0, 0, 0, NULL, start, &save);

    if (result < 0) {
        fprintf(stderr, "save: %s: %s\n", save.path, strerror(-result));
    }
    return result == 0 ? 0 : 1;
}
