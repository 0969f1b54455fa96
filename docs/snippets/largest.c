/* SPDX-License-Identifier: ISC
 *
 * Finds the largest file of a directory, which may have a million: reads a few hundred entries at a time.
 */
#include <fs/fs.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct largest {
    struct loop_env *env;
    struct loop_entries *entries;
    uint64_t count, size_bytes;
    char name[256];
};

static void look_at(struct largest *largest, const struct loop_entry *entry)
{
    if (entry->stat && entry->kind == LOOP_KIND_REGULAR && entry->stat->size_bytes >= largest->size_bytes) {
        largest->size_bytes = entry->stat->size_bytes;
        snprintf(largest->name, sizeof largest->name, "%s", entry->name);
    }
}

static void on_entries(void *arg, int64_t result)
{
    struct largest *largest = arg;

    for (size_t i = 0; i < largest->entries->count; i++) {
        look_at(largest, &largest->entries->entry[i]);
        largest->count++;
    }
    if (result > 0) {
        loop_entries_next(largest->entries, on_entries, largest);
    } else if (result < 0) {
        loop_scope_fail(largest->env->scope, result);
    } else {
        printf("%" PRIu64 " entries, the largest is %s with %" PRIu64 " bytes\n", largest->count, largest->name,
               largest->size_bytes);
    }
}

static void on_open(void *arg, int64_t result)
{
    struct largest *largest = arg;

    if (result < 0) {
        loop_scope_fail(largest->env->scope, result);
        return;
    }
    loop_entries_next(largest->entries, on_entries, largest);
}

static int start(struct loop_env *env, void *arg)
{
    struct largest *largest = arg;

    largest->env = env;
    loop_fs_read_dir(NULL, env->cwd, ".", LOOP_FS_WITH_STAT, &largest->entries, on_open, largest);
    return 0;
}

int main(void)
{
    struct largest largest = {.count = 0};
    int result = loop_run(0, 0, 0, NULL, start, &largest);

    if (result < 0) {
        fprintf(stderr, "largest: %s\n", strerror(-result));
    }
    return result == 0 ? 0 : 1;
}
