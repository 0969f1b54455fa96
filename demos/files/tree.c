/* SPDX-License-Identifier: ISC
 *
 * tree DIR: prints a directory tree, one line for each entry with its size, and totals at the end.
 *
 * Entries are read in portions of a few hundred, as the kernel returns them, and each portion is printed before the
 * next one is used. So memory is bounded by the depth of the tree, not by the size of a directory. Each portion is
 * sorted: a directory that fits into one portion is sorted as a whole. One portion is read ahead, to know which entry
 * is the last. A directory without more entries is closed while its entries are printed.
 *
 * A directory in which nothing more is to be opened is closed when its last subdirectory has been opened. So a descent
 * without branches needs no more descriptors than one step of it.
 */
#include "../common/arguments.h"
#include "../common/printable.h"

#include <fs/fs.h>
#include <loop/writer.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct arguments_program program = {
    .name = "tree",
    .operands = "[DIR]",
    .about = "Shows what is in a directory and beneath it, with sizes in bytes, and totals at the end.",
    .most_operands = 1,
};

#define INDENT_MORE "│   "
#define INDENT_LAST "    "
#define BRANCH_MORE "├── "
#define BRANCH_LAST "└── "
#define MOST_PENDING ((size_t)64 << 10)   /* bytes of output that are collected before a flush */
#define MOST_IN_WRITER ((size_t)64 << 20) /* more than a line of a very deep tree can add */

struct item {
    const char *name;
    enum loop_kind kind;
    uint64_t size_bytes, used_bytes;
};

/* One directory of the current path. */
struct level {
    struct tree *tree;
    struct level *parent;
    struct loop_scope *scope; /* owns its descriptors; NULL when they are no longer needed */
    struct loop_dir *dir;
    struct loop_entries *entries; /* holds the next portion; NULL if there is none */
    struct item *items;           /* the current portion, in one allocation with its names */
    size_t at, count;
    size_t indent_len; /* indentation of its lines */
    char name[];       /* for error messages */
};

struct tree {
    struct loop_env *env;
    const char *path;
    struct loop_writer *writer;
    struct level *level; /* the deepest one */
    bool is_waiting;     /* for a job, whose continuation goes on */
    bool has_begun, is_at_end;
    char *indent;
    size_t indent_room;
    char *target; /* the target of a link */
    uint64_t n_directories, n_files, n_others, size_bytes, used_bytes;
    int status;
};

static void run(struct tree *tree);

/* ---- ending ---- */

static void complain(struct tree *tree, const char *name, int64_t error)
{
    char shown[PRINTABLE_IN_LINE];

    tree->status = arguments_fail(printable(shown, sizeof shown, name), error);
}

static void leave(struct tree *tree)
{
    struct level *level = tree->level;

    tree->level = level->parent;
    if (level->scope) {
        loop_scope_unhold(level->scope);
    }
    free(level->items);
    free(level);
}

/* Ends the program: the output has failed, or there is no memory. */
static void give_up(struct tree *tree, const char *what, int64_t error)
{
    tree->status = arguments_fail(what, error);
    tree->is_at_end = true;
    while (tree->level) {
        leave(tree);
    }
}

/* Waits for a job. Ends the program if it could not start. */
static void wait_for(struct tree *tree, loop_job job)
{
    if (job) {
        tree->is_waiting = true;
    } else {
        give_up(tree, "can't go on", -ENOMEM);
    }
}

static void go_on(struct tree *tree)
{
    tree->is_waiting = false;
    run(tree);
}

/* ---- writing ---- */

static void on_flushed(void *arg, int64_t result)
{
    struct tree *tree = arg;

    if (result < 0) {
        give_up(tree, "standard output", result);
    }
    go_on(tree);
}

/* Flushes the output. The flush also reports errors of the appends. */
static void flush(struct tree *tree)
{
    wait_for(tree, loop_writer_flush(tree->writer, on_flushed, tree));
}

static void print_target(struct tree *tree)
{
    char shown[PRINTABLE_MOST(PATH_MAX)];

    loop_writer_print(tree->writer, " -> %s", printable(shown, sizeof shown, tree->target));
    free(tree->target);
    tree->target = NULL;
}

static bool is_last(const struct level *level)
{
    return level->at + 1 == level->count && !level->entries;
}

/* Prints the line of an entry without its end: the target of a link may follow. */
static void print_item(const struct level *level, const struct item *item)
{
    struct loop_writer *writer = level->tree->writer;
    char shown[PRINTABLE_MOST(NAME_MAX)];

    if (item->kind == LOOP_KIND_REGULAR || item->kind == LOOP_KIND_SYMLINK) {
        loop_writer_print(writer, "%14" PRIu64 "  ", item->size_bytes);
    } else {
        loop_writer_print(writer, "%14s  ", "");
    }
    loop_writer_append(writer, level->tree->indent, level->indent_len);
    loop_writer_print(writer, "%s%s%s", is_last(level) ? BRANCH_LAST : BRANCH_MORE,
                      printable(shown, sizeof shown, item->name), item->kind == LOOP_KIND_DIRECTORY ? "/" : "");
}

static void end_line(struct tree *tree)
{
    loop_writer_append(tree->writer, "\n", 1);
}

static void print_totals(struct tree *tree)
{
    loop_writer_print(tree->writer,
                      "\n%" PRIu64 " directories, %" PRIu64 " files, %" PRIu64 " others; %" PRIu64 " bytes, %" PRIu64
                      " on the disk\n",
                      tree->n_directories, tree->n_files, tree->n_others, tree->size_bytes, tree->used_bytes);
}

/* ---- portions ---- */

static int compare_items(const void *one, const void *other)
{
    return strcmp(((const struct item *)one)->name, ((const struct item *)other)->name);
}

/* Copies the portion out of the entries, which are then free to read the next one. */
static bool take_portion(struct level *level)
{
    const struct loop_entries *entries = level->entries;
    size_t size = entries->count * sizeof(struct item);

    for (size_t i = 0; i < entries->count; i++) {
        size += strlen(entries->entry[i].name) + 1;
    }
    struct item *items = realloc(level->items, size);
    if (!items) {
        return false;
    }
    char *name = (char *)(items + entries->count);
    for (size_t i = 0; i < entries->count; i++) {
        const struct loop_entry *entry = &entries->entry[i];
        const struct loop_fs_status *stat = entry->stat;
        items[i] = (struct item){.name = name, .kind = entry->kind};
        if (stat) {
            items[i].size_bytes = stat->size_bytes;
            items[i].used_bytes = stat->used_bytes;
        } else if (entry->kind != LOOP_KIND_NONE) {
            complain(level->tree, entry->name, -EACCES); /* the directory is readable but not searchable */
        }
        name = stpcpy(name, entry->name) + 1;
    }
    qsort(items, entries->count, sizeof *items, compare_items);
    level->items = items;
    level->at = 0;
    level->count = entries->count;
    return true;
}

static void on_next(void *arg, int64_t result)
{
    struct level *level = arg;

    if (result < 0) {
        complain(level->tree, level->name, result);
    }
    if (result <= 0) {
        loop_entries_close(level->entries);
        level->entries = NULL;
    }
    go_on(level->tree);
}

static void read_ahead(struct level *level)
{
    if (take_portion(level)) {
        wait_for(level->tree, loop_entries_next(level->entries, on_next, level));
    } else {
        give_up(level->tree, "can't go on", -ENOMEM);
    }
}

/* ---- going down ---- */

/* Returns false if the directory cannot be read. That is reported, and the directory is treated as empty. */
static bool is_readable(struct level *level, int64_t result)
{
    struct tree *tree = level->tree;

    if (result < 0) {
        complain(tree, level->name, result);
        leave(tree);
        tree->is_at_end = !tree->has_begun; /* without the first directory there is nothing to print */
        go_on(tree);
    }
    return result >= 0;
}

static void on_reader(void *arg, int64_t result)
{
    struct level *level = arg;

    if (is_readable(level, result)) {
        level->tree->has_begun = true;
        wait_for(level->tree, loop_entries_next(level->entries, on_next, level));
    }
}

static bool needs_directory(const struct level *level)
{
    for (size_t i = level->at; i < level->count; i++) {
        if (level->items[i].kind == LOOP_KIND_DIRECTORY || level->items[i].kind == LOOP_KIND_SYMLINK) {
            return true;
        }
    }
    return level->entries != NULL;
}

/* Closes the parent if nothing more is to be opened in it: its remaining lines are only printed. */
static void close_parent(struct level *parent)
{
    if (parent && parent->scope && !needs_directory(parent)) {
        loop_scope_unhold(parent->scope);
        parent->scope = NULL;
    }
}

static void on_dir(void *arg, int64_t result)
{
    struct level *level = arg;

    if (is_readable(level, result)) {
        close_parent(level->parent);
        wait_for(level->tree,
                 loop_fs_read_dir(level->scope, level->dir, ".", LOOP_FS_WITH_STAT, &level->entries, on_reader, level));
    }
}

static bool add_indent(struct tree *tree, size_t len, const char *text)
{
    size_t needed = len + strlen(text) + 1;

    if (needed > tree->indent_room) {
        char *indent = realloc(tree->indent, 2 * needed);
        if (!indent) {
            return false;
        }
        tree->indent = indent;
        tree->indent_room = 2 * needed;
    }
    strcpy(tree->indent + len, text);
    return true;
}

static void enter(struct tree *tree, struct loop_dir *dir, const char *name, const char *indent)
{
    size_t len = tree->level ? tree->level->indent_len : 0;
    struct level *level = calloc(1, sizeof *level + strlen(name) + 1);

    if (level && add_indent(tree, len, indent)) {
        level->scope = loop_scope_open(tree->env->scope, NULL, NULL);
    }
    if (!level || !level->scope) {
        free(level);
        give_up(tree, "can't go on", -ENOMEM);
        return;
    }
    loop_scope_hold(level->scope);
    level->tree = tree;
    level->parent = tree->level;
    strcpy(level->name, name);
    level->indent_len = len + strlen(indent);
    tree->level = level;
    wait_for(tree, loop_fs_open_dir(level->scope, dir, name, &level->dir, on_dir, level));
}

/* ---- the walk ---- */

static void on_link(void *arg, int64_t result)
{
    struct tree *tree = arg;

    if (result >= 0) {
        print_target(tree);
    }
    end_line(tree);
    go_on(tree);
}

static void count(struct tree *tree, const struct item *item)
{
    if (item->kind == LOOP_KIND_DIRECTORY) {
        tree->n_directories++;
    } else if (item->kind == LOOP_KIND_REGULAR) {
        tree->n_files++;
        tree->size_bytes += item->size_bytes;
    } else {
        tree->n_others++;
    }
    tree->used_bytes += item->used_bytes;
}

static void take_item(struct level *level)
{
    struct tree *tree = level->tree;
    const struct item *item = &level->items[level->at];
    const char *indent = is_last(level) ? INDENT_LAST : INDENT_MORE;

    print_item(level, item);
    count(tree, item);
    level->at++;
    if (item->kind == LOOP_KIND_SYMLINK) {
        wait_for(tree, loop_fs_read_link(level->scope, level->dir, item->name, &tree->target, on_link, tree));
        return;
    }
    end_line(tree);
    if (item->kind == LOOP_KIND_DIRECTORY) {
        enter(tree, level->dir, item->name, indent);
    }
}

static void step(struct tree *tree)
{
    struct level *level = tree->level;

    if (loop_writer_pending(tree->writer) >= MOST_PENDING) {
        flush(tree);
    } else if (level && level->at < level->count) {
        take_item(level);
    } else if (level && level->entries) {
        read_ahead(level);
    } else if (level) {
        leave(tree);
    } else {
        print_totals(tree);
        tree->is_at_end = true;
        flush(tree);
    }
}

static void run(struct tree *tree)
{
    while (!tree->is_waiting && !tree->is_at_end) {
        step(tree);
    }
}

/* ---- the program ---- */

static int start(struct loop_env *env, void *arg)
{
    struct tree *tree = arg;
    char shown[PRINTABLE_MOST(PATH_MAX)];

    tree->env = env;
    tree->writer = loop_writer_create(env->out, MOST_IN_WRITER);
    if (!tree->writer) {
        return arguments_fail("can't begin", -ENOMEM);
    }
    loop_writer_cork(tree->writer); /* everything is written by a flush, which handles errors */
    loop_writer_print(tree->writer, "%14s  %s\n", "", printable(shown, sizeof shown, tree->path));
    enter(tree, env->fs, tree->path, "");
    return 0;
}

int main(int argc, char **argv)
{
    static struct tree tree;
    char **operands = arguments_parse(&program, argc, argv);
    int status;

    tree.path = operands[0] ? operands[0] : ".";
    arguments_allow_descriptors();
    status = arguments_run(start, &tree);
    free(tree.indent);
    free(tree.target);
    return status != 0 ? status : tree.status;
}
