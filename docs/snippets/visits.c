/* SPDX-License-Identifier: ISC
 *
 * A number in a file, incremented each time the program runs. It is saved atomically: no reader sees half of it. The
 * program is given the right to one directory and uses no other.
 */
#include <fs/fs.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct visits {
    struct loop_env *env;
    const char *path;
    struct loop_dir *dir;
    void *loaded;
    char text[32];
};

static void on_outside(void *arg, int64_t result)
{
    (void)arg;
    printf("outside: %s\n", strerror((int)-result));
}

static void on_saved(void *arg, int64_t result)
{
    struct visits *visits = arg;

    if (result < 0) {
        loop_scope_fail(visits->env->scope, result);
        return;
    }
    printf("visit %s", visits->text);
    loop_fs_load(NULL, visits->dir, "../outside", 0, &visits->loaded, on_outside, visits);
}

static void on_loaded(void *arg, int64_t result)
{
    const struct loop_save_options options = {.atomic = true};
    struct visits *visits = arg;
    unsigned long count = 0;

    if (result >= 0) {
        count = strtoul(visits->loaded, NULL, 10);
        free(visits->loaded);
    } else if (result != -ENOENT) {
        loop_scope_fail(visits->env->scope, result);
        return;
    }
    int len = snprintf(visits->text, sizeof visits->text, "%lu\n", count + 1);
    loop_fs_save(NULL, visits->dir, "visits", visits->text, (size_t)len, &options, on_saved, visits);
}

static void on_dir(void *arg, int64_t result)
{
    struct visits *visits = arg;

    if (result < 0) {
        loop_scope_fail(visits->env->scope, result);
        return;
    }
    loop_fs_load(NULL, visits->dir, "visits", 1000, &visits->loaded, on_loaded, visits);
}

static int start(struct loop_env *env, void *arg)
{
    struct visits *visits = arg;

    visits->env = env;
    loop_fs_open_dir(env->scope, env->fs, visits->path, &visits->dir, on_dir, visits);
    return 0;
}

int main(int argc, char **argv)
{
    struct visits visits = {.path = argc == 2 ? argv[1] : "."};
    int result = loop_run(0, 0, 0, NULL, start, &visits);

    if (result < 0) {
        fprintf(stderr, "visits: %s: %s\n", visits.path, strerror(-result));
    }
    return result == 0 ? 0 : 1;
}
