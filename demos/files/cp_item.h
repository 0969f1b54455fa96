/* SPDX-License-Identifier: ISC
 *
 * Copies what a directory has beside directories: small files many at a time, other files and links one by one.
 */
#ifndef DEMOS_CP_ITEM_H
#define DEMOS_CP_ITEM_H

#include "cp_report.h"

/* What a copy reports to, and where it copies. It has to stay valid until `ended`. */
struct cp_place {
    struct cp *cp;
    struct loop_dir *from, *to;
    struct loop_scope *scope; /* of the two directories */
    bool is_new;              /* `to` was made by this program, and only it can look into it */
    bool is_unnamed;          /* is_new, and `to` gets its name when its small files are complete */
    void (*failed)(void *arg, const char *name, int64_t error); /* called for each file or link that was not copied */
    void (*ended)(void *arg);                                   /* called when a started copy has ended */
    void *arg;
};

/* Copies a file or a link, and replaces a file or a link of that name. Returns false if nothing was started: then
 * `failed` has been called, and `ended` is not. */
bool cp_item(const struct cp_place *place, const char *name, const struct loop_fs_status *stat);

/* Small files that are copied on one visit to a thread. */
struct cp_batch;

/* Returns whether a file belongs into a batch: it is small, and its name cannot exist yet. */
bool cp_batch_takes(const struct cp_place *place, const char *name, const struct loop_fs_status *stat);

/* Adds a file to `*batch`, which is made where it is NULL. Returns false without memory. */
bool cp_batch_add(struct cp_batch **batch, const char *name, const struct loop_fs_status *stat);

/* Returns whether a batch has to be copied before another file is added. NULL is not full. */
bool cp_batch_is_full(const struct cp_batch *batch);

/* Copies and frees the batch. Returns false if nothing was started: then `failed` has been called for each file, and
 * `ended` is not. */
bool cp_batch_copy(const struct cp_place *place, struct cp_batch *batch);

#endif
