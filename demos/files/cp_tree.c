/* SPDX-License-Identifier: ISC
 *
 * Copies a tree. A few directories are read at a time, and a few dozen of their files are copied at a time. Directories
 * that were found and not begun are on a stack, so the walk goes down first: memory grows with the directories on the
 * stack, not with the files.
 *
 * Everything is done relative to its directory, so no path is too long, and a rename by another process leads nowhere
 * else. A directory stays open until its last subdirectory has been opened and has its name. It gets its permissions
 * and times when nothing more will be created in it; until then no other user can look into it.
 *
 * A directory inside one that this program has made has a temporary name until its files are complete. So its small
 * files need none, and an incomplete one is never found under the path that it is to have. When the program is killed,
 * the directories whose files were being copied keep their temporary names.
 */
#include "cp_tree.h"
#include "cp_file.h"
#include "cp_item.h"
#include "cp_limits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DIRECTORIES 8

struct tree {
    struct cp *cp;
    bool only_counts;
    struct loop_fs_status top;  /* the destination: it is not copied into itself */
    struct directory *waiting;  /* not begun yet: a stack */
    struct directory *ready;    /* with unprocessed entries: the last one of a ring */
    unsigned n_reading, n_jobs; /* directories being read; files and links being copied */
    unsigned n_open;            /* directories with descriptors: until nothing in them is left to do */
    struct cp_limits limits;
    bool is_done;
    loop_fn *fn;
    void *arg;
};

enum step {
    STEP_OPEN_FROM,
    STEP_MAKE_TO,
    STEP_OPEN_TO,
    STEP_STAT_TOP,
    STEP_STAT_NAME,   /* an existing destination: its name, */
    STEP_STAT_OPENED, /* and what was opened by the name */
    STEP_READ,
    STEP_NEXT,
    STEP_NAME, /* of one with a temporary name */
    STEP_CHMOD,
    STEP_TIMES
};

struct directory {
    struct tree *tree;
    struct directory *parent; /* NULL for the source itself */
    struct directory *next;   /* on the stack, or in the ring */
    struct cp_names names;
    struct cp_way way;
    char *temporary; /* the temporary name, until it is renamed; or NULL */
    struct loop_fs_status stat;
    struct loop_fs_status there, opened; /* of an existing destination */
    enum step step;
    struct loop_scope *scope; /* owns its descriptors */
    struct loop_dir *from, *to;
    struct loop_entries *entries;
    size_t at;                  /* the next entry */
    struct cp_place place;      /* for its files and links */
    struct cp_batch *batch;     /* small files that were found and are not being copied yet; or NULL */
    bool is_made;               /* created by this program */
    bool has_begun;             /* it no longer needs its parent's descriptors */
    bool has_been_read;         /* all entries were read */
    unsigned n_jobs, n_waiting; /* its files and links in flight; its subdirectories that need its descriptors */
    unsigned n_left;            /* its subdirectories on the stack */
    unsigned n_references;      /* one until it is closed, and one per subdirectory */
    char name[];
};

static void pump(struct tree *tree);
static void on_failed(void *arg, const char *name, int64_t error);
static void on_ended(void *arg);

/* ---- complaints ---- */

/* Reports an error of `name` in the directory; "" is the directory itself. */
static void complain(const struct directory *directory, const char *name, const char *text)
{
    if (!directory->tree->only_counts) { /* the copy will report it */
        cp_complain_in(directory->tree->cp, &directory->way, name, text);
    }
}

static void fail(const struct directory *directory, const char *name, int64_t error)
{
    if (error != -ECANCELED) {
        complain(directory, name, strerror((int)-error));
    }
}

/* ---- ending a directory ---- */

static void forget_temporary(struct directory *directory)
{
    free(directory->temporary);
    directory->temporary = NULL;
}

static void drop(struct directory *directory)
{
    while (directory && --directory->n_references == 0) {
        struct directory *parent = directory->parent;
        directory->tree->is_done = !parent;
        assert(!directory->temporary);
        free(directory);
        directory = parent;
    }
}

static void close_directory(struct directory *directory)
{
    directory->tree->n_open--;
    loop_scope_unhold(directory->scope);
    drop(directory);
}

static void take_step(struct directory *directory);

/* Continues with the directory when nothing in it is left to do. One with a temporary name is renamed when its files
 * are complete, and does not wait for its subdirectories: its parent has to stay open until then. */
static void end_if_done(struct directory *directory)
{
    if (!directory->has_been_read || directory->n_jobs > 0) {
        return;
    }
    if (directory->temporary) {
        directory->n_jobs++; /* until it has been renamed */
        directory->step = STEP_NAME;
        take_step(directory);
    } else if (directory->n_waiting == 0 && (!directory->is_made || loop_scope_is_cancelled(directory->scope))) {
        close_directory(directory);
    } else if (directory->n_waiting == 0) {
        directory->step = STEP_CHMOD;
        take_step(directory);
    }
}

static void end_reading(struct directory *directory)
{
    loop_entries_close(directory->entries);
    directory->entries = NULL;
    directory->has_been_read = true;
    directory->tree->n_reading--;
}

/* ---- beginning a directory ---- */

/* The directory no longer needs its parent's descriptors, unless it has to be renamed. */
static void leave_parent(struct directory *directory)
{
    if (directory->temporary) {
        return;
    }
    if (!directory->has_begun && directory->parent) {
        directory->parent->n_waiting--;
        end_if_done(directory->parent);
    }
    directory->has_begun = true;
}

static void on_step(void *arg, int64_t result);
static void end_step(struct directory *directory, int64_t result);

static loop_job start_step(struct directory *directory)
{
    const struct cp_names *names = &directory->names;
    const struct loop_fs_status *stat = &directory->stat;
    const char *to = directory->temporary ? directory->temporary : names->to;
    struct loop_scope *scope = directory->scope;

    switch (directory->step) {
    case STEP_OPEN_FROM:
        return loop_fs_open_dir(scope, names->from_dir, names->from, &directory->from, on_step, directory);
    case STEP_MAKE_TO: return loop_fs_mkdir(scope, names->to_dir, to, 0700, on_step, directory);
    case STEP_OPEN_TO: return loop_fs_open_dir(scope, names->to_dir, to, &directory->to, on_step, directory);
    case STEP_STAT_TOP: return loop_fs_stat(scope, directory->to, ".", 0, &directory->tree->top, on_step, directory);
    case STEP_STAT_NAME: return loop_fs_stat(scope, names->to_dir, names->to, 0, &directory->there, on_step, directory);
    case STEP_STAT_OPENED: return loop_fs_stat(scope, directory->to, ".", 0, &directory->opened, on_step, directory);
    case STEP_READ:
        return loop_fs_read_dir(scope, directory->from, ".", LOOP_FS_WITH_STAT, &directory->entries, on_step,
                                directory);
    case STEP_NEXT: return loop_entries_next(directory->entries, on_step, directory);
    case STEP_NAME: /* in a scope that is not cancelled with the copy */
        return loop_fs_rename(directory->tree->cp->env->scope, names->to_dir, to, names->to_dir, names->to,
                              LOOP_RENAME_REPLACE, on_step, directory);
    case STEP_CHMOD: return loop_fs_chmod(scope, directory->to, ".", 0, stat->mode & 01777, on_step, directory);
    case STEP_TIMES:
        return loop_fs_set_times(scope, directory->to, ".", 0, &stat->accessed, &stat->modified, on_step, directory);
    }
    return 0;
}

static void take_step(struct directory *directory)
{
    if (!start_step(directory)) {
        end_step(directory, -ENOMEM);
    }
}

static enum step next_step(const struct directory *directory)
{
    switch (directory->step) {
    case STEP_OPEN_FROM: return directory->tree->only_counts ? STEP_READ : STEP_MAKE_TO;
    case STEP_OPEN_TO: return !directory->parent ? STEP_STAT_TOP : directory->is_made ? STEP_READ : STEP_STAT_NAME;
    case STEP_STAT_TOP: return STEP_READ;
    case STEP_READ: return STEP_NEXT;
    default: return directory->step + 1;
    }
}

/* Returns true if the destination is a link to another directory. Nothing is written through it. */
static bool leads_elsewhere(const struct directory *directory)
{
    return directory->there.kind != LOOP_KIND_DIRECTORY || directory->there.inode != directory->opened.inode ||
           directory->there.device != directory->opened.device;
}

static void begin_step_ended(struct directory *directory, int64_t result)
{
    if (directory->step == STEP_MAKE_TO) {
        directory->is_made = result == 0;
        result = result == -EEXIST && !directory->temporary ? 0 : result; /* the next step finds out what it is */
    }
    if (result == 0 && directory->step == STEP_STAT_OPENED && leads_elsewhere(directory)) {
        complain(directory, "", "cannot overwrite what is no directory with a directory");
        result = -ECANCELED; /* it was reported */
    }
    if (result < 0) {
        fail(directory, "", result);
        if (!directory->is_made) {
            forget_temporary(directory);
        }
        directory->is_made = directory->is_made && directory->to;
        leave_parent(directory);
        end_reading(directory);
        end_if_done(directory);
        return;
    }
    directory->step = next_step(directory);
    if (directory->step == STEP_READ) {
        directory->place = (struct cp_place){directory->tree->cp, directory->from,    directory->to,
                                             directory->scope,    directory->is_made, directory->temporary != NULL,
                                             on_failed,           on_ended,           directory};
    }
    if (directory->step == STEP_STAT_TOP || directory->step == STEP_READ) {
        leave_parent(directory);
    }
    take_step(directory);
}

/* Appends the directory to the ring. */
static void make_ready(struct directory *directory)
{
    struct tree *tree = directory->tree;

    directory->next = tree->ready ? tree->ready->next : directory;
    if (tree->ready) {
        tree->ready->next = directory;
    }
    tree->ready = directory;
}

static void reading_step_ended(struct directory *directory, int64_t result)
{
    if (result > 0) {
        directory->at = 0;
        make_ready(directory);
        return;
    }
    if (result < 0) {
        fail(directory, "", result);
    }
    end_reading(directory);
    end_if_done(directory);
}

static void naming_step_ended(struct directory *directory, int64_t result)
{
    if (result < 0) {
        fail(directory, "", result);
    }
    forget_temporary(directory);
    directory->n_jobs--;
    leave_parent(directory);
    end_if_done(directory);
}

/* An error of the attributes does not undo the copy of the contents. */
static void ending_step_ended(struct directory *directory, int64_t result)
{
    if (result < 0) {
        fail(directory, "", result);
    }
    if (directory->step == STEP_TIMES) {
        close_directory(directory);
    } else {
        directory->step = STEP_TIMES;
        take_step(directory);
    }
}

static void end_step(struct directory *directory, int64_t result)
{
    switch (directory->step) {
    case STEP_NEXT: reading_step_ended(directory, result); break;
    case STEP_NAME: naming_step_ended(directory, result); break;
    case STEP_CHMOD:
    case STEP_TIMES: ending_step_ended(directory, result); break;
    default: begin_step_ended(directory, result); break;
    }
}

static void on_step(void *arg, int64_t result)
{
    struct directory *directory = arg;
    struct tree *tree = directory->tree;

    end_step(directory, result);
    pump(tree);
}

static void begin_directory(struct directory *directory)
{
    struct tree *tree = directory->tree;

    tree->n_reading++;
    if (directory->parent) {
        directory->parent->n_left--;
    }
    directory->scope = loop_scope_open(tree->cp->scope, NULL, NULL);
    if (directory->scope) {
        tree->n_open++;
        cp_hold(directory->scope);
        take_step(directory);
        return;
    }
    fail(directory, "", loop_scope_is_cancelled(tree->cp->scope) ? -ECANCELED : -ENOMEM);
    forget_temporary(directory);
    leave_parent(directory);
    tree->n_reading--;
    drop(directory);
}

static struct directory *make_directory(struct tree *tree, struct directory *parent, const char *name,
                                        const struct loop_fs_status *stat)
{
    size_t size = strlen(name) + 1;
    struct directory *directory = calloc(1, sizeof *directory + size);

    if (!directory) {
        return NULL;
    }
    directory->tree = tree;
    directory->parent = parent;
    directory->stat = *stat;
    directory->n_references = 1;
    memcpy(directory->name, name, size);
    directory->way = (struct cp_way){parent ? &parent->way : NULL, directory->name};
    if (parent) {
        directory->temporary = parent->is_made ? cp_temporary_name(name) : NULL; /* without memory it has none */
        directory->names = (struct cp_names){parent->from, parent->to, directory->name, directory->name};
        parent->n_waiting++;
        parent->n_left++;
        parent->n_references++;
    }
    directory->next = tree->waiting;
    tree->waiting = directory;
    return directory;
}

/* ---- files and links ---- */

static void on_failed(void *arg, const char *name, int64_t error)
{
    fail(arg, name, error);
}

static void on_ended(void *arg)
{
    struct directory *directory = arg;
    struct tree *tree = directory->tree;

    tree->n_jobs--;
    directory->n_jobs--;
    end_if_done(directory);
    pump(tree);
}

static void count_job(struct directory *directory, bool is_started)
{
    directory->n_jobs += is_started;
    directory->tree->n_jobs += is_started;
}

static void copy_batch(struct directory *directory)
{
    struct cp_batch *batch = directory->batch;

    directory->batch = NULL;
    if (batch) {
        count_job(directory, cp_batch_copy(&directory->place, batch));
    }
}

static void take_file(struct directory *directory, const struct loop_entry *entry)
{
    if (!cp_batch_takes(&directory->place, entry->name, entry->stat)) {
        count_job(directory, cp_item(&directory->place, entry->name, entry->stat));
    } else if (!cp_batch_add(&directory->batch, entry->name, entry->stat)) {
        fail(directory, entry->name, -ENOMEM);
    } else if (cp_batch_is_full(directory->batch)) {
        copy_batch(directory);
    }
}

/* ---- the walk ---- */

static bool is_top(const struct tree *tree, const struct loop_fs_status *stat)
{
    return stat->inode == tree->top.inode && stat->device == tree->top.device;
}

static void take_directory(struct directory *directory, const struct loop_entry *entry)
{
    if (!directory->tree->only_counts && is_top(directory->tree, entry->stat)) {
        complain(directory, entry->name, "is what is being made of the source: not copied into itself");
    } else if (!make_directory(directory->tree, directory, entry->name, entry->stat)) {
        fail(directory, entry->name, -ENOMEM);
    }
}

static void take_entry(struct directory *directory, const struct loop_entry *entry)
{
    struct tree *tree = directory->tree;

    if (!entry->stat) {
        if (entry->kind != LOOP_KIND_NONE) { /* NONE: it was removed */
            fail(directory, entry->name, -EACCES);
        }
        return;
    }
    if (entry->kind == LOOP_KIND_DIRECTORY) {
        take_directory(directory, entry);
    } else if (tree->only_counts) {
        progress_expect(tree->cp->progress, entry->kind == LOOP_KIND_REGULAR ? entry->stat->size_bytes : 0);
    } else if (entry->kind == LOOP_KIND_REGULAR || entry->kind == LOOP_KIND_SYMLINK) {
        take_file(directory, entry);
    } else {
        complain(directory, entry->name, cp_why_special(entry->kind));
    }
}

static struct directory *take_ready(struct tree *tree)
{
    struct directory *first = tree->ready->next;

    if (first == tree->ready) {
        tree->ready = NULL;
    } else {
        tree->ready->next = first->next;
    }
    return first;
}

/* Processes entries of each directory in turn, until a copy is started, because threads that create files in the same
 * directory wait for each other. After the last entry the directory is read on. */
static void go_on(struct tree *tree)
{
    struct directory *directory = take_ready(tree);
    unsigned n_jobs = directory->n_jobs;

    while (directory->at < directory->entries->count && directory->n_jobs == n_jobs &&
           !loop_scope_is_cancelled(tree->cp->scope)) {
        take_entry(directory, &directory->entries->entry[directory->at++]);
    }
    if (directory->at < directory->entries->count && !loop_scope_is_cancelled(tree->cp->scope)) {
        make_ready(directory);
        return;
    }
    copy_batch(directory);
    take_step(directory);
}

/* A directory stays open while subdirectories of it wait. If there are no descriptors for another one, the copies in
 * flight end first. Where that does not help, it begins all the same, and so does the last one of a directory: only
 * then can those above be closed. */
static bool may_begin(const struct tree *tree)
{
    const struct directory *parent = tree->waiting->parent;

    return tree->n_reading < MOST_DIRECTORIES &&
           (tree->n_open < tree->limits.most_open ||
            (tree->n_jobs == 0 && (tree->n_reading == 0 || (parent && parent->n_left == 1))));
}

/* Starts as much as the limits allow. In a cancelled scope everything that was begun ends by itself. */
static void pump(struct tree *tree)
{
    while (tree->ready && tree->n_jobs < tree->limits.most_jobs) {
        go_on(tree);
    }
    while (tree->waiting && may_begin(tree)) {
        struct directory *directory = tree->waiting;
        tree->waiting = directory->next;
        begin_directory(directory);
    }
    if (tree->is_done) {
        loop_fn *fn = tree->fn;
        void *arg = tree->arg;
        free(tree);
        fn(arg, 0);
    }
}

bool cp_tree(struct cp *cp, const struct cp_names *names, const struct loop_fs_status *stat, bool only_counts,
             loop_fn *fn, void *arg)
{
    struct tree *tree = malloc(sizeof *tree);

    if (!tree) {
        return false;
    }
    *tree = (struct tree){.cp = cp, .only_counts = only_counts, .fn = fn, .arg = arg};
    tree->limits = cp_limits_of(cp->most_descriptors);
    struct directory *top = make_directory(tree, NULL, "", stat);
    if (!top) {
        free(tree);
        return false;
    }
    top->names = *names;
    top->way.name = names->from;
    pump(tree);
    return true;
}
