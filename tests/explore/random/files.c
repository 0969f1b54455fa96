/* SPDX-License-Identifier: ISC
 *
 * The operations of random programs on files. See program.h. All files have the bytes of one stream, so that any of
 * them may replace any other.
 */
#include "program.h"

#include "../explore.h"

#include <stdlib.h>

static const char *const paths[] = {"/data/one", "/data/two", "/data/three"};

static loop_job start_save(struct op *op, const char *path)
{
    static const size_t lengths[] = {1000, 1, LARGEST};
    static const struct loop_save_options saves[] = {{0}, {.atomic = true}, {.sync = true}, {.exclusive = true}};

    op->full = (int64_t)RANDOM_ONE_OF(op->program, lengths);
    op->data = loop_world_alloc(op->program->world, (size_t)op->full);
    explore_fill(op->data, (size_t)op->full, FILE_KEY, 0);
    return loop_fs_save(op->group->scope, op->program->env->fs, path, op->data, (size_t)op->full,
                        &RANDOM_ONE_OF(op->program, saves), random_on_end, op);
}

loop_job random_start_file(struct op *op)
{
    struct loop_scope *scope = op->group->scope;
    struct loop_dir *dir = op->program->env->fs;
    const char *path = RANDOM_ONE_OF(op->program, paths);

    switch (op->kind) {
    case SAVE: return start_save(op, path);
    case LOAD: return loop_fs_load(scope, dir, path, LARGEST, &op->memory, random_on_end, op);
    case OPEN: return loop_fs_open(scope, dir, path, NULL, &op->flow, random_on_end, op);
    case UNLINK: return loop_fs_unlink(scope, dir, path, random_on_end, op);
    case RENAME:
        return loop_fs_rename(scope, dir, path, dir, RANDOM_ONE_OF(op->program, paths), LOOP_RENAME_REPLACE,
                              random_on_end, op);
    case LIST: return loop_fs_list(scope, dir, "/data", 0, (struct loop_entry **)&op->memory, random_on_end, op);
    case MKDIRS: return loop_fs_mkdirs(scope, dir, "/data", 0700, random_on_end, op);
    default:
        return loop_fs_copy_file(scope, dir, path, dir, RANDOM_ONE_OF(op->program, paths), NULL, random_on_end, op);
    }
}

/* ---- what they have brought ---- */

static void check_file(const void *bytes, int64_t len)
{
    if (!explore_matches(bytes, (size_t)len, FILE_KEY, 0)) {
        loop_world_fail(NULL, "a file with other bytes than were written");
    }
}

void random_finish_file(struct op *op, int64_t result)
{
    switch (op->kind) {
    case LOAD:
    case LIST:
        if (result >= 0) {
            check_file(op->memory, op->kind == LOAD ? result : 0);
            free(op->memory);
        }
        break;
    case OPEN:
        if (result == 0) {
            loop_flow_close(op->flow);
        }
        break;
    default: break;
    }
}
