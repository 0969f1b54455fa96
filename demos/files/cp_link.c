/* SPDX-License-Identifier: ISC
 *
 * Copies a symbolic link: its target, which need not exist, and its times. A file with the new name is removed first. A
 * link is created in one step, so no incomplete one exists.
 */
#include "cp_link.h"

#include <errno.h>
#include <stdlib.h>

struct linking {
    struct cp *cp;
    struct cp_names names;
    struct loop_fs_status stat;
    char *target;
    bool has_removed; /* has removed what had the new name */
    loop_fn *fn;
    void *arg;
};

static void finish(struct linking *linking, int64_t result)
{
    loop_fn *fn = linking->fn;
    void *arg = linking->arg;

    free(linking->target);
    free(linking);
    fn(arg, result);
}

static void on_times(void *arg, int64_t result)
{
    finish(arg, result);
}

static void make(struct linking *linking);

static void on_removed(void *arg, int64_t result)
{
    struct linking *linking = arg;

    if (result < 0) {
        finish(linking, result);
    } else {
        make(linking);
    }
}

static void on_made(void *arg, int64_t result)
{
    struct linking *linking = arg;
    const struct cp_names *names = &linking->names;
    loop_job job = 0;

    if (result == -EEXIST && !linking->has_removed) {
        linking->has_removed = true;
        job = loop_fs_unlink(linking->cp->scope, names->to_dir, names->to, on_removed, linking);
    } else if (result < 0) {
        finish(linking, result);
        return;
    } else {
        job = loop_fs_set_times(linking->cp->scope, names->to_dir, names->to, 0, &linking->stat.accessed,
                                &linking->stat.modified, on_times, linking);
    }
    if (!job) {
        finish(linking, -ENOMEM);
    }
}

static void make(struct linking *linking)
{
    if (!loop_fs_symlink(linking->cp->scope, linking->target, linking->names.to_dir, linking->names.to, on_made,
                         linking)) {
        finish(linking, -ENOMEM);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct linking *linking = arg;

    if (result < 0) {
        finish(linking, result);
    } else {
        make(linking);
    }
}

bool cp_link(struct cp *cp, const struct cp_names *names, const struct loop_fs_status *stat, loop_fn *fn, void *arg)
{
    struct linking *linking = malloc(sizeof *linking);

    if (!linking) {
        return false;
    }
    *linking = (struct linking){.cp = cp, .names = *names, .stat = *stat, .fn = fn, .arg = arg};
    if (!loop_fs_read_link(cp->scope, names->from_dir, names->from, &linking->target, on_read, linking)) {
        free(linking);
        return false;
    }
    return true;
}
