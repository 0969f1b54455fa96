/* SPDX-License-Identifier: ISC
 *
 * Copies what a directory has beside directories. To hand a small file to a thread and back costs a tenth of what else
 * copying it takes, so small files are copied in batches, into directories that this program has made and that no other
 * user can look into yet: there no name can exist. Where such a directory has a temporary name itself, its small files
 * have their names from the start.
 */
#include "cp_item.h"
#include "cp_file.h"
#include "cp_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A batch ends when it has so many files, so many bytes of them, or names of so many bytes. */
#define MOST_FILES 32
#define MOST_BYTES ((uint64_t)1 << 20)
#define MOST_TEXT 4096

#define SMALL_BYTES ((uint64_t)128 << 10)
#define LONGEST_NAME 256

/* Returns the error of a copy that could not be started. */
static int64_t why_not_started(const struct cp_place *place)
{
    return loop_scope_is_cancelled(place->cp->scope) ? -ECANCELED : -ENOMEM;
}

/* ---- one ---- */

struct item {
    const struct cp_place *place;
    struct cp_names names;
    struct loop_fs_status stat;
    char name[];
};

static void end_item(struct item *item, int64_t result)
{
    const struct cp_place *place = item->place;

    if (result < 0) {
        place->failed(place->arg, item->name, result);
    } else if (item->stat.kind == LOOP_KIND_REGULAR && item->stat.size_bytes < CP_BIG_BYTES) {
        progress_add(place->cp->progress, (uint64_t)result);
    }
    free(item);
}

static void on_item(void *arg, int64_t result)
{
    struct item *item = arg;
    const struct cp_place *place = item->place;

    end_item(item, result);
    place->ended(place->arg);
}

static bool copy_item(struct item *item)
{
    struct cp *cp = item->place->cp;

    return item->stat.kind == LOOP_KIND_SYMLINK ? cp_link(cp, &item->names, &item->stat, on_item, item)
                                                : cp_file(cp, &item->names, item->stat.size_bytes, on_item, item);
}

/* Copies the item if the copy may replace what is there. */
static void on_kind(void *arg, int64_t result)
{
    struct item *item = arg;
    bool may_replace = result == LOOP_KIND_NONE || result == LOOP_KIND_REGULAR || result == LOOP_KIND_SYMLINK;

    if (!may_replace) {
        on_item(item, result < 0 ? result : result == LOOP_KIND_DIRECTORY ? -EISDIR : -EEXIST);
    } else if (!copy_item(item)) {
        on_item(item, why_not_started(item->place));
    }
}

bool cp_item(const struct cp_place *place, const char *name, const struct loop_fs_status *stat)
{
    size_t size = strlen(name) + 1;
    struct item *item = malloc(sizeof *item + size);

    if (!item) {
        place->failed(place->arg, name, -ENOMEM);
        return false;
    }
    item->place = place;
    item->stat = *stat;
    item->names = (struct cp_names){place->from, place->to, item->name, item->name};
    memcpy(item->name, name, size);
    bool is_started =
        place->is_new ? copy_item(item) : loop_fs_kind(place->scope, place->to, item->name, 0, on_kind, item) != 0;
    if (!is_started) {
        end_item(item, why_not_started(place));
    }
    return is_started;
}

/* ---- many ---- */

struct cp_batch {
    const struct cp_place *place;
    size_t n, n_text;
    uint64_t n_bytes;
    struct loop_copied files[MOST_FILES];
    char text[MOST_TEXT]; /* the names */
};

bool cp_batch_takes(const struct cp_place *place, const char *name, const struct loop_fs_status *stat)
{
    return place->is_new && stat->kind == LOOP_KIND_REGULAR && stat->size_bytes < SMALL_BYTES &&
           strlen(name) < LONGEST_NAME;
}

bool cp_batch_add(struct cp_batch **batch, const char *name, const struct loop_fs_status *stat)
{
    size_t size = strlen(name) + 1;

    if (!*batch) {
        *batch = malloc(sizeof **batch);
        if (!*batch) {
            return false;
        }
        (*batch)->n = (*batch)->n_text = 0;
        (*batch)->n_bytes = 0;
    }
    struct cp_batch *to = *batch;
    char *copy = memcpy(to->text + to->n_text, name, size);
    to->files[to->n++] = (struct loop_copied){.from = copy, .to = copy};
    to->n_text += size;
    to->n_bytes += stat->size_bytes;
    return true;
}

bool cp_batch_is_full(const struct cp_batch *batch)
{
    return batch &&
           (batch->n == MOST_FILES || batch->n_bytes >= MOST_BYTES || batch->n_text > MOST_TEXT - LONGEST_NAME);
}

/* Reports what has become of each file. */
static void end_batch(struct cp_batch *batch)
{
    const struct cp_place *place = batch->place;
    uint64_t n_bytes = 0;

    for (size_t i = 0; i < batch->n; i++) {
        const struct loop_copied *file = &batch->files[i];
        if (file->result < 0) {
            place->failed(place->arg, file->from, file->result);
        } else {
            n_bytes += (uint64_t)file->result;
        }
    }
    progress_add(place->cp->progress, n_bytes);
    free(batch);
}

static void on_batch(void *arg, int64_t result)
{
    struct cp_batch *batch = arg;
    const struct cp_place *place = batch->place;

    for (size_t i = 0; i < batch->n && result < 0 && result != -ECANCELED; i++) {
        batch->files[i].result = result; /* none was begun */
    }
    end_batch(batch);
    place->ended(place->arg);
}

bool cp_batch_copy(const struct cp_place *place, struct cp_batch *batch)
{
    const struct loop_copy_options options = {.keep_times = true, .exclusive = true, .in_place = place->is_unnamed};

    batch->place = place;
    if (loop_fs_copy_files(place->cp->scope, place->from, place->to, batch->files, batch->n, &options, on_batch,
                           batch)) {
        return true;
    }
    for (size_t i = 0; i < batch->n; i++) {
        batch->files[i].result = why_not_started(place);
    }
    end_batch(batch);
    return false;
}
