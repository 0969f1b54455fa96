/* SPDX-License-Identifier: ISC
 *
 * The operations of random programs on files, open files and directories. See program.h.
 *
 * Saved files all have the bytes of one stream, so that any of them may replace any other. A file that is opened to be
 * written has a stream of its own: bytes that were written to a wrong descriptor show. It is written without holes, but
 * a write may be repeated after an error.
 */
#include "program.h"

#include "../explore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 8 };

/* How long after its cause an event of a watch may come. */
#define WATCH_DELAY_NS LOOP_SECOND

static const char *const paths[] = {"/data/one", "/data/two", "/data/three"};
static const char *const directories[RANDOM_DIRECTORIES] = {"/data/sub", "/data/other"};

/* ---- open files ---- */

struct file *random_choose_file(struct group *group, enum kind kind)
{
    struct file *found[MOST_FILES];
    unsigned n_found = 0;

    for (struct file *file = group->files; file && n_found < MOST_FILES; file = file->next) {
        if (!file->is_closed && (kind != PWRITE || !file->is_writing)) {
            found[n_found++] = file;
        }
    }
    return n_found ? found[random_pick(group->program, n_found)] : NULL;
}

static loop_job start_pread(struct op *op)
{
    static const size_t lengths[] = {1000, 1, LARGEST};
    struct file *file = op->file;

    op->full = (int64_t)RANDOM_ONE_OF(op->program, lengths);
    op->data = loop_world_alloc(op->program->world, (size_t)op->full);
    op->iov[0] = (struct iovec){op->data, (size_t)op->full};
    op->offset = file->most_bytes * random_pick(op->program, 4) / 3;
    op->sure_bytes = file->written_bytes;
    return loop_file_pread(op->group->scope, file->flow->fd, op->iov, 1, op->offset, random_on_end, op);
}

static loop_job start_pwrite(struct op *op)
{
    static const size_t lengths[] = {1000, 1, LARGEST};
    struct file *file = op->file;
    size_t len = RANDOM_ONE_OF(op->program, lengths);

    op->full = (int64_t)len;
    op->data = loop_world_alloc(op->program->world, len);
    op->offset = file->written_bytes;
    explore_fill(op->data, len, file->key, (uint64_t)op->offset);
    op->iov[0] = (struct iovec){op->data, len / 3};
    op->iov[1] = (struct iovec){op->data + len / 3, len - len / 3};
    file->is_writing = true;
    file->most_bytes = op->offset + op->full > file->most_bytes ? op->offset + op->full : file->most_bytes;
    return loop_file_pwrite(op->group->scope, file->flow->fd, op->iov, 2, op->offset, random_on_end, op);
}

/* Opens a saved file, to close it again, or a new one to be read and written. */
static loop_job start_open(struct op *op, const char *path)
{
    struct loop_open_options options = {.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_EXCLUSIVE};
    struct program *program = op->program;
    char own[32];

    if (random_pick(op->program, 2) == 0) {
        return loop_fs_open(op->group->scope, program->env->fs, path, NULL, &op->flow, random_on_end, op);
    }
    snprintf(own, sizeof own, "/data/own%u", program->n_files);
    op->file = loop_world_alloc(program->world, sizeof *op->file);
    op->file->key = OWN_FILE_KEY + program->n_files++;
    return loop_fs_open(op->group->scope, program->env->fs, own, &options, &op->flow, random_on_end, op);
}

static void check_pread(const struct op *op, int64_t result)
{
    if (result < 0) {
        return;
    }
    if (!explore_matches(op->data, (size_t)result, op->file->key, (uint64_t)op->offset)) {
        loop_world_fail(NULL, "an open file with other bytes than were written");
    } else if (op->offset + result > op->file->most_bytes) {
        loop_world_fail(NULL, "an open file with more bytes than were written");
    } else if (result == 0 && op->offset < op->sure_bytes) {
        loop_world_fail(NULL, "an end of a file that came too early");
    }
}

static void finish_pwrite(struct op *op, int64_t result)
{
    struct file *file = op->file;

    file->is_writing = false;
    if (result > 0) {
        file->written_bytes = op->offset + result;
    }
}

static void finish_open(struct op *op)
{
    struct file *file = op->file;

    if (!file) {
        loop_flow_close(op->flow);
        return;
    }
    file->flow = op->flow;
    file->next = op->group->files;
    op->group->files = file;
}

/* ---- watches ---- */

/* A directory was created: every watch that began before has to report it. One of a directory that was removed does not
 * end while a file is open that was in it. */
static void expect_created(const struct op *made, unsigned directory)
{
    for (struct op *op = made->program->ops; op && !made->program->is_data_removed; op = op->next) {
        if (op->kind == WATCH && op->has_begun && !op->has_ended && op->begun_at <= made->number) {
            op->n_due[directory]++;
            op->due_ns = loop_world_now(op->program->world);
        }
    }
}

static void note_created(struct op *op, const char *name)
{
    for (unsigned i = 0; i < RANDOM_DIRECTORIES; i++) {
        op->n_seen[i] += !strcmp(name, strrchr(directories[i], '/') + 1);
    }
}

/* Checks that a watch has reported what has been due for a while. A directory that was removed reports its end. */
static void check_watch(const struct op *op, int64_t result)
{
    int64_t now_ns = loop_world_now(op->program->world), since_ns = op->due_ns;

    since_ns = since_ns > op->program->resumed_ns ? since_ns : op->program->resumed_ns;
    for (unsigned i = 0; i < RANDOM_DIRECTORIES; i++) {
        if (result == -ECANCELED && !op->is_doubtful && op->n_seen[i] < op->n_due[i] &&
            now_ns - since_ns > WATCH_DELAY_NS) {
            loop_world_fail(NULL, "a watch has not reported a new directory: %s", directories[i]);
        }
    }
}

void random_on_watched(void *arg, int64_t result, const struct loop_watch_event *event)
{
    struct op *op = arg;

    if (!event) {
        check_watch(op, result);
        random_on_end(op, result);
        return;
    }
    if (result != 1 || op->has_ended || op->is_paused || op->has_begun == (event->kind == LOOP_WATCH_BEGUN)) {
        loop_world_fail(NULL, "an event of a watch that is wrong: %d", (int)event->kind);
    }
    loop_simulation_note("watch %u: event %d of \"%s\"", op->number, (int)event->kind, event->name);
    loop_simulation_sometimes(event->kind == LOOP_WATCH_OVERFLOW ? "watch: overflow" : "watch: an event");
    if (event->kind == LOOP_WATCH_BEGUN) {
        op->has_begun = true;
        op->begun_at = op->program->n_ops;
    } else if (event->kind == LOOP_WATCH_OVERFLOW) {
        op->is_doubtful = true;
    } else if (event->kind == LOOP_WATCH_CREATED) {
        note_created(op, event->name);
    }
}

/* ---- all of them ---- */

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

static loop_job start_rename(struct op *op, const char *path)
{
    struct loop_scope *scope = op->group->scope;
    struct loop_dir *dir = op->program->env->fs;
    enum loop_rename how = (enum loop_rename)random_pick(op->program, 3);

    if (random_pick(op->program, 2) == 0) {
        return loop_fs_rename(scope, dir, path, dir, RANDOM_ONE_OF(op->program, paths), how, random_on_end, op);
    }
    return loop_fs_rename(scope, dir, RANDOM_ONE_OF(op->program, directories), dir,
                          RANDOM_ONE_OF(op->program, directories), how, random_on_end, op);
}

static loop_job start_directory(struct op *op)
{
    static const char *const trees[] = {"/data/sub", "/data/other", "/data"};
    static const char *const deep[] = {"/data", "/data/sub/in"};
    struct loop_scope *scope = op->group->scope;
    struct loop_dir *dir = op->program->env->fs;

    switch (op->kind) {
    case MKDIRS: return loop_fs_mkdirs(scope, dir, RANDOM_ONE_OF(op->program, deep), 0700, random_on_end, op);
    case MKDIR:
        op->directory = random_pick(op->program, RANDOM_DIRECTORIES);
        return loop_fs_mkdir(scope, dir, directories[op->directory], 0700, random_on_end, op);
    case RMDIR: return loop_fs_rmdir(scope, dir, RANDOM_ONE_OF(op->program, directories), random_on_end, op);
    case RMTREE: {
        unsigned tree = random_pick(op->program, sizeof trees / sizeof *trees);
        op->program->is_data_removed |= tree == 2;
        return loop_fs_rmtree(scope, dir, trees[tree], random_on_end, op);
    }
    case LIST: return loop_fs_list(scope, dir, "/data", 0, (struct loop_entry **)&op->memory, random_on_end, op);
    default: return loop_fs_watch(scope, dir, "/data", random_on_watched, op);
    }
}

/* Of two that write to one file at once, one may empty it after the other has begun, which leaves zeros before what
 * that one writes next. */
static void note_writers(struct op *op)
{
    for (const struct op *other = op->program->ops; other; other = other->next) {
        op->program->may_have_holes |=
            other != op && other->is_started && !other->has_ended && (other->kind == SAVE || other->kind == COPY_FILE);
    }
}

loop_job random_start_file(struct op *op)
{
    struct loop_scope *scope = op->group->scope;
    struct loop_dir *dir = op->program->env->fs;
    const char *path = RANDOM_ONE_OF(op->program, paths);

    if (op->kind == SAVE || op->kind == COPY_FILE) {
        note_writers(op);
    }
    switch (op->kind) {
    case SAVE: return start_save(op, path);
    case LOAD: return loop_fs_load(scope, dir, path, LARGEST, &op->memory, random_on_end, op);
    case OPEN: return start_open(op, path);
    case UNLINK: return loop_fs_unlink(scope, dir, path, random_on_end, op);
    case RENAME: return start_rename(op, path);
    case COPY_FILE:
        return loop_fs_copy_file(scope, dir, path, dir, RANDOM_ONE_OF(op->program, paths), NULL, random_on_end, op);
    case PREAD: return start_pread(op);
    case PWRITE: return start_pwrite(op);
    case FILE_SYNC: return loop_file_sync(scope, op->file->flow->fd, 0, random_on_end, op);
    default: return start_directory(op);
    }
}

/* ---- what they have brought ---- */

/* A crash may leave zeros in place of bytes that were written without a sync, and so may two writers of one file. */
static void check_file(const struct op *op, int64_t len)
{
    char *bytes = op->memory;

    bool may_have_zeros = op->program->n_crashes > 0 || op->program->may_have_holes;

    for (int64_t at = 0; may_have_zeros && at < len; at++) {
        if (bytes[at] == 0) {
            explore_fill(bytes + at, 1, FILE_KEY, (uint64_t)at);
        }
    }
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
            check_file(op, op->kind == LOAD ? result : 0);
            free(op->memory);
        }
        break;
    case OPEN:
        if (result == 0) {
            finish_open(op);
        }
        break;
    case MKDIR:
        if (result == 0) {
            expect_created(op, op->directory);
        }
        break;
    case PREAD: check_pread(op, result); break;
    case PWRITE: finish_pwrite(op, result); break;
    default: break;
    }
}
