/* SPDX-License-Identifier: ISC
 *
 * The parts of the mixed program that use files and directories. Each step starts when the one before has ended,
 * whatever its result.
 */
#include "mixed.h"

#include <loop/reader.h>

#include <stdio.h>
#include <sys/stat.h>

enum { SAVED = 5000, LARGE = 700000, MOST_NAMES = 16 };

static struct {
    struct part *part;
    struct loop_dir *dir, *opened;
    struct loop_fs_status stat;
    struct loop_fs_space space;
    struct loop_entry *list;
    struct loop_entries *entries;
    struct loop_flow *flow;
    struct iovec iov;
    void *data;
    char *text;
    char bytes[SAVED], in[SAVED];
    unsigned at;
    bool is_saved;
} files;

#define SCOPE files.part->scope
#define STEP(name) static loop_job name(loop_fn *fn, void *arg)

STEP(open_dir)
{
    return loop_fs_open_dir(SCOPE, files.part->env->fs, mixed_path(), &files.opened, fn, arg);
}

STEP(mkdirs)
{
    if (files.opened) {
        files.dir = files.opened;
    }
    return loop_fs_mkdirs(SCOPE, files.dir, "d/e/f", 0755, fn, arg);
}

STEP(save)
{
    const struct loop_save_options options = {.atomic = true};
    return loop_fs_save(SCOPE, files.dir, "d/a", files.bytes, SAVED, &options, fn, arg);
}

STEP(load)
{
    return loop_fs_load(SCOPE, files.dir, "d/a", 0, &files.data, fn, arg);
}

static void loaded(int64_t result)
{
    if (result >= 0) {
        MIXED_MUST(result == SAVED && memcmp(files.data, files.bytes, SAVED) == 0);
        free(files.data);
    }
}

STEP(append)
{
    const struct loop_save_options options = {.append = true, .sync = true};
    return loop_fs_save(SCOPE, files.dir, "d/b", files.bytes, 100, &options, fn, arg);
}

STEP(stat_a)
{
    return loop_fs_stat(SCOPE, files.dir, "d/a", LOOP_FS_FOLLOW, &files.stat, fn, arg);
}

static void stated(int64_t result)
{
    MIXED_MUST(result < 0 || files.stat.size_bytes == SAVED || mixed_errors() > 0);
}

STEP(kind)
{
    return loop_fs_kind(SCOPE, files.dir, "d", 0, fn, arg);
}

STEP(may_read)
{
    return loop_fs_access(SCOPE, files.dir, "d/a", R_OK, fn, arg);
}

STEP(space)
{
    return loop_fs_statfs(SCOPE, files.dir, "d", &files.space, fn, arg);
}

STEP(symlink_s)
{
    return loop_fs_symlink(SCOPE, "a", files.dir, "d/s", fn, arg);
}

STEP(read_link)
{
    return loop_fs_read_link(SCOPE, files.dir, "d/s", &files.text, fn, arg);
}

static void has_text(int64_t result)
{
    if (result >= 0) {
        MIXED_MUST(files.text && strlen(files.text) > 0);
        free(files.text);
    }
}

STEP(real_path)
{
    return loop_fs_realpath(SCOPE, files.dir, "d/e/../s", &files.text, fn, arg);
}

STEP(link_l)
{
    return loop_fs_link(SCOPE, files.dir, "d/a", files.dir, "d/l", fn, arg);
}

STEP(rename_l)
{
    return loop_fs_rename(SCOPE, files.dir, "d/l", files.dir, "d/m", LOOP_RENAME_NOREPLACE, fn, arg);
}

STEP(chmod_m)
{
    return loop_fs_chmod(SCOPE, files.dir, "d/m", LOOP_FS_FOLLOW, 0640, fn, arg);
}

STEP(chown_m)
{
    return loop_fs_chown(SCOPE, files.dir, "d/m", 0, (uid_t)-1, (gid_t)-1, fn, arg);
}

STEP(set_times)
{
    const struct timespec accessed = {.tv_sec = 1}, now = {.tv_nsec = UTIME_NOW};
    return loop_fs_set_times(SCOPE, files.dir, "d/m", LOOP_FS_FOLLOW, &accessed, &now, fn, arg);
}

STEP(copy_file)
{
    const struct loop_copy_options options = {.keep_times = true, .sync = true};
    return loop_fs_copy_file(SCOPE, files.dir, "d/a", files.dir, "d/c", &options, fn, arg);
}

STEP(truncate_c)
{
    return loop_fs_truncate(SCOPE, files.dir, "d/c", 10, fn, arg);
}

STEP(sync_d)
{
    return loop_fs_sync(SCOPE, files.dir, "d", fn, arg);
}

STEP(list)
{
    return loop_fs_list(SCOPE, files.dir, "d", LOOP_FS_WITH_STAT, &files.list, fn, arg);
}

static void listed(int64_t result)
{
    if (result >= 0) {
        MIXED_MUST(result == 6 || mixed_errors() > 0);
        free(files.list);
    }
}

STEP(read_dir)
{
    return loop_fs_read_dir(SCOPE, files.dir, "d", 0, &files.entries, fn, arg);
}

/* Completes a step that has nothing to work with. */
static loop_job pass(loop_fn *fn, void *arg)
{
    return loop_op_nop(SCOPE, fn, arg);
}

STEP(next_entries)
{
    return files.entries ? loop_entries_next(files.entries, fn, arg) : pass(fn, arg);
}

static void entries_read(int64_t result)
{
    (void)result;
    loop_entries_close(files.entries);
}

STEP(open_file)
{
    const struct loop_open_options options = {.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_OR_TRUNCATE};
    return loop_fs_open(SCOPE, files.dir, "d/o", &options, &files.flow, fn, arg);
}

STEP(write_flow)
{
    return files.flow ? loop_write(&files.flow->sink, files.bytes, SAVED, fn, arg) : pass(fn, arg);
}

STEP(read_flow)
{
    if (!files.flow || loop_file_seek(files.flow->fd, 0, SEEK_SET) < 0) {
        return pass(fn, arg);
    }
    return loop_read(&files.flow->source, files.in, SAVED, fn, arg);
}

static void flow_read(int64_t result)
{
    MIXED_MUST(result <= 0 || memcmp(files.in, files.bytes, (size_t)result) == 0);
}

STEP(pwrite_file)
{
    files.iov = (struct iovec){files.bytes, SAVED};
    return files.flow ? loop_file_pwrite(SCOPE, files.flow->fd, &files.iov, 1, 0, fn, arg) : pass(fn, arg);
}

static void written(int64_t result)
{
    files.is_saved = result == SAVED;
}

STEP(pread_file)
{
    files.iov = (struct iovec){files.in, SAVED};
    return files.flow ? loop_file_pread(SCOPE, files.flow->fd, &files.iov, 1, 0, fn, arg) : pass(fn, arg);
}

static void pread_done(int64_t result)
{
    MIXED_MUST(result <= 0 || !files.is_saved || memcmp(files.in, files.bytes, (size_t)result) == 0);
}

STEP(allocate)
{
    return files.flow ? loop_file_allocate(SCOPE, files.flow->fd, 0, 0, 65536, fn, arg) : pass(fn, arg);
}

STEP(file_stat)
{
    return files.flow ? loop_file_stat(SCOPE, files.flow->fd, &files.stat, fn, arg) : pass(fn, arg);
}

STEP(file_truncate)
{
    return files.flow ? loop_file_truncate(SCOPE, files.flow->fd, 5, fn, arg) : pass(fn, arg);
}

STEP(file_sync)
{
    if (!files.flow) {
        return pass(fn, arg);
    }
    return loop_file_sync(SCOPE, files.flow->fd, 0, fn, arg);
}

static void file_synced(int64_t result)
{
    (void)result;
    if (files.flow) {
        loop_flow_close(files.flow);
    }
}

STEP(unlink_o)
{
    return loop_fs_unlink(SCOPE, files.dir, "d/o", fn, arg);
}

STEP(rmdir_f)
{
    return loop_fs_rmdir(SCOPE, files.dir, "d/e/f", fn, arg);
}

STEP(rmtree)
{
    return loop_fs_rmtree(SCOPE, files.dir, "d", fn, arg);
}

static const struct {
    loop_job (*start)(loop_fn *fn, void *arg);
    void (*look)(int64_t result); /* may be NULL */
} steps[] = {
    {open_dir, NULL},
    {mkdirs, NULL},
    {save, NULL},
    {load, loaded},
    {append, NULL},
    {stat_a, stated},
    {kind, NULL},
    {may_read, NULL},
    {space, NULL},
    {symlink_s, NULL},
    {read_link, has_text},
    {real_path, has_text},
    {link_l, NULL},
    {rename_l, NULL},
    {chmod_m, NULL},
    {chown_m, NULL},
    {set_times, NULL},
    {copy_file, NULL},
    {truncate_c, NULL},
    {sync_d, NULL},
    {list, listed},
    {read_dir, NULL},
    {next_entries, entries_read},
    {open_file, NULL},
    {write_flow, NULL},
    {read_flow, flow_read},
    {pwrite_file, written},
    {pread_file, pread_done},
    {allocate, NULL},
    {file_stat, NULL},
    {file_truncate, NULL},
    {file_sync, file_synced},
    {unlink_o, NULL},
    {rmdir_f, NULL},
    {rmtree, NULL},
};

static void on_step(void *arg, int64_t result)
{
    struct part *part = arg;

    if (steps[files.at].look) {
        steps[files.at].look(result);
    }
    if (++files.at < COUNT_OF(steps)) {
        mixed_started(steps[files.at].start(MIXED(part, on_step, part)));
    }
}

static void begin_files(struct part *part)
{
    files.part = part;
    files.dir = part->env->cwd;
    fill_pattern(files.bytes, SAVED, 7);
    mixed_started(steps[0].start(MIXED(part, on_step, part)));
}

/* ---- large files, copied to files and sockets ---- */

static struct {
    struct loop_flow *from, *to, *again;
    struct loop_flow *ends[2];
    struct loop_reader *reader;
    struct loop_copy_outcome outcome;
    char path[3][160];
    char bytes[LARGE];
} large;

static void on_all_read(void *part, int64_t result)
{
    size_t len;

    if (!mixed_failed(part, result)) {
        const char *data = loop_reader_data(large.reader, &len);
        MIXED_MUST(is_pattern(data, len, 8));
        MIXED_MUST(len == LARGE || mixed_errors() > 0);
    }
}

static void on_sent(void *arg, int64_t result)
{
    struct part *part = arg;
    int64_t error = result < 0 ? result : large.outcome.error;

    MIXED_MUST(error < 0 || result == LARGE);
    if (!mixed_failed(part, error)) {
        mixed_started(loop_shutdown(&large.ends[0]->sink, MIXED(part, mixed_done, part)));
    }
}

static void on_reopened(void *arg, int64_t result)
{
    struct part *part = arg;

    if (mixed_failed(part, result) ||
        mixed_failed(part, loop_socketpair(part->scope, &large.ends[0], &large.ends[1]))) {
        return;
    }
    large.reader = loop_reader_create(&large.ends[1]->source, LARGE);
    if (!large.reader) {
        mixed_failed(part, -ENOMEM);
        return;
    }
    mixed_started(
        loop_copy_report(&large.again->source, &large.ends[0]->sink, &large.outcome, MIXED(part, on_sent, part)));
    mixed_started(loop_reader_all(large.reader, MIXED(part, on_all_read, part)));
}

static void on_copied(void *arg, int64_t result)
{
    struct part *part = arg;
    int64_t error = result < 0 ? result : large.outcome.error;

    MIXED_MUST(error < 0 || result == LARGE);
    if (!mixed_failed(part, error)) {
        mixed_started(loop_fs_open(part->scope, part->env->fs, large.path[1], NULL, &large.again,
                                   MIXED(part, on_reopened, part)));
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        mixed_started(
            loop_copy_report(&large.from->source, &large.to->sink, &large.outcome, MIXED(part, on_copied, part)));
    }
}

static void on_source_opened(void *arg, int64_t result)
{
    const struct loop_open_options options = {.access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_IF_MISSING};
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        mixed_started(
            loop_fs_open(part->scope, part->env->fs, large.path[1], &options, &large.to, MIXED(part, on_opened, part)));
    }
}

static void on_large_saved(void *arg, int64_t result)
{
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        mixed_started(loop_fs_open(part->scope, part->env->fs, large.path[0], NULL, &large.from,
                                   MIXED(part, on_source_opened, part)));
    }
}

static void begin_large(struct part *part)
{
    fill_pattern(large.bytes, LARGE, 8);
    for (int i = 0; i < 2; i++) {
        snprintf(large.path[i], sizeof large.path[i], "%s/large%d", mixed_path(), i);
    }
    mixed_started(loop_fs_save(part->scope, part->env->fs, large.path[0], large.bytes, LARGE, NULL,
                               MIXED(part, on_large_saved, part)));
}

/* ---- watching ---- */

static struct {
    struct part *part;
    loop_job watch;
    bool has_seen;
    char path[160];
} watching;

static void on_event(void *track, int64_t result, const struct loop_watch_event *event)
{
    struct part *part = watching.part;

    if (!event) {
        mixed_resumed(track, result);
    } else if (event->kind == LOOP_WATCH_BEGUN) {
        mixed_started(
            loop_fs_save(part->scope, part->env->fs, watching.path, "x", 1, NULL, MIXED(part, mixed_done, part)));
    } else if (event->kind == LOOP_WATCH_CREATED) {
        watching.has_seen = true;
        loop_cancel(part->env->loop, watching.watch);
    }
}

/* The part cancels the watch when it has reported the file. An earlier end is an error. */
static void on_watch_end(void *part, int64_t result)
{
    if (!watching.has_seen) {
        mixed_failed(part, result);
    }
}

static void begin_watching(struct part *part)
{
    static char path[140];

    snprintf(path, sizeof path, "%s/watched", mixed_path());
    MIXED_MUST(mkdir(path, 0700) == 0);
    snprintf(watching.path, sizeof watching.path, "%s/name", path);
    watching.part = part;
    watching.watch = mixed_started(loop_fs_watch(part->scope, part->env->fs, path, on_event,
                                                 mixed_track(__func__, __LINE__, part, on_watch_end, part)));
}

struct part mixed_file_parts[] = {
    {.name = "files", .begin = begin_files},
    {.name = "large", .begin = begin_large},
    {.name = "watching", .begin = begin_watching},
    {.name = NULL},
};
