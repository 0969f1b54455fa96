/* SPDX-License-Identifier: ISC
 *
 * Opens, restarts, finishes and leaves the file of a download.
 *
 * The order of the steps: information is valid only for bytes that are written after it. So a restart truncates the
 * file first, and then replaces the information; a file without bytes is not resumed.
 */
#include "fetch_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MOST_INFO_BYTES ((size_t)8192)

static bool ends_with(const char *text, const char *suffix)
{
    size_t len = strlen(text), suffix_len = strlen(suffix);

    return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

bool part_has_name(const char *name)
{
    return ends_with(name, ".part") || ends_with(name, PART_LONGEST_SUFFIX);
}

static void end(struct part *part, int64_t result)
{
    part->fn(part->arg, result);
}

static void fail(struct part *part, const char *step, const char *name, int64_t error)
{
    fetch_error_write(part->why, "%s %s: %s", step, name, strerror((int)-error));
    end(part, error);
}

/* Ends with an error unless the next step has been started. */
static void require(struct part *part, loop_job next)
{
    if (!next) {
        fail(part, "going on with", part->part_name, -ENOMEM);
    }
}

static bool remember(struct part *part, loop_fn *fn, void *arg, loop_job first)
{
    part->fn = fn;
    part->arg = arg;
    return first != 0;
}

/* ---- opening ---- */

/* Reads "URL\nVALIDATOR\n". */
static bool read_info(struct part *part, const char *text)
{
    size_t url_len = strcspn(text, "\n");
    const char *validator = text + url_len + (text[url_len] == '\n');
    size_t len = strcspn(validator, "\n");

    if (strlen(part->url) != url_len || memcmp(part->url, text, url_len) != 0 || len == 0 ||
        len >= sizeof part->validator || validator[len] != '\n') {
        return false;
    }
    snprintf(part->validator, sizeof part->validator, "%.*s", (int)len, validator);
    return true;
}

static void on_info(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result > 0 && read_info(part, part->loaded)) {
        part->has_info = true;
        part->offset = part->named.size_bytes;
    }
    if (result >= 0) {
        free(part->loaded);
    }
    end(part, 0);
}

/* The lock is taken on the file that had the name then. Another program may have finished with it since. */
static void on_named(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result == -ENOENT || (result == 0 && part->named.inode != part->status.inode)) {
        fail(part, "opening", part->part_name, -EBUSY);
    } else if (result < 0) {
        fail(part, "opening", part->part_name, result);
    } else {
        part->is_ours = true;
        if (!part->may_resume || part->named.size_bytes == 0) {
            end(part, 0);
            return;
        }
        require(part,
                loop_fs_load(part->scope, part->dir, part->info_name, MOST_INFO_BYTES, &part->loaded, on_info, part));
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result == 0 && part->status.kind != LOOP_KIND_REGULAR) {
        result = -EINVAL;
    } else if (result == 0 && part->status.uid != geteuid()) {
        result = -EPERM; /* another user may have put the file and its information there, and may write to it */
    }
    if (result == 0 && flock(loop_fd_peek(part->flow->fd), LOCK_EX | LOCK_NB) < 0) {
        result = errno == EWOULDBLOCK ? -EBUSY : -errno;
    }
    if (result < 0) {
        fail(part, "opening", part->part_name, result);
        return;
    }
    require(part, loop_fs_stat(part->scope, part->dir, part->part_name, 0, &part->named, on_named, part));
}

/* A device, a pipe or a directory is not replaced by a file. What else is wrong the opening says. */
static void on_old(void *arg, int64_t result)
{
    static const struct loop_open_options options = {
        .access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_IF_MISSING, .flags = O_NOFOLLOW};
    struct part *part = arg;

    if (result == 0 && part->named.kind != LOOP_KIND_REGULAR) {
        fetch_error_write(part->why, "replacing %s: it is not a regular file", part->name);
        end(part, -EEXIST);
        return;
    }
    require(part, loop_fs_open_stat(part->scope, part->dir, part->part_name, &options, &part->flow, &part->status,
                                    on_opened, part));
}

bool part_open(struct part *part, bool may_resume, loop_fn *fn, void *arg)
{
    part->may_resume = may_resume;
    part->is_ours = part->has_info = false;
    part->validator[0] = '\0';
    part->offset = 0;
    snprintf(part->part_name, sizeof part->part_name, "%s.part", part->name);
    snprintf(part->info_name, sizeof part->info_name, "%s.part.info", part->name);
    return remember(part, fn, arg,
                    loop_fs_stat(part->scope, part->dir, part->name, LOOP_FS_FOLLOW, &part->named, on_old, part));
}

/* ---- beginning anew ---- */

static void on_info_saved(void *arg, int64_t result)
{
    struct part *part = arg;

    part->has_info = result >= 0 && part->validator[0];
    if (result < 0 && result != -ENOENT) {
        fail(part, "writing", part->info_name, result);
    } else {
        end(part, 0);
    }
}

/* The name is free: the new information is no file that another user has put there, nor one that a link leads to. */
static void on_old_info_removed(void *arg, int64_t result)
{
    static const struct loop_save_options options = {.exclusive = true};
    struct part *part = arg;

    if (!part->validator[0] || (result < 0 && result != -ENOENT)) {
        on_info_saved(part, result);
        return;
    }
    int len = snprintf(part->info, sizeof part->info, "%s\n%s\n", part->url, part->validator);
    require(part, loop_fs_save(part->scope, part->dir, part->info_name, part->info, (size_t)len, &options,
                               on_info_saved, part));
}

static void on_truncated(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result < 0) {
        fail(part, "truncating", part->part_name, result);
        return;
    }
    part->offset = 0;
    loop_file_seek(part->flow->fd, 0, SEEK_SET);
    require(part, loop_fs_unlink(part->scope, part->dir, part->info_name, on_old_info_removed, part));
}

bool part_restart(struct part *part, const char *validator, loop_fn *fn, void *arg)
{
    snprintf(part->validator, sizeof part->validator, "%s", validator);
    return remember(part, fn, arg, loop_file_truncate(part->scope, part->flow->fd, 0, on_truncated, part));
}

/* ---- the end ---- */

/* The file has its name: what it came from is of no use any more, nor is an error of removing that. */
static void on_info_removed(void *arg, int64_t result)
{
    (void)result;
    end(arg, 0);
}

static void on_renamed(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result < 0) {
        fetch_error_write(part->why, "renaming %s to %s: %s", part->part_name, part->name, strerror((int)-result));
        end(part, result);
        return;
    }
    part->is_ours = false;
    require(part, loop_fs_unlink(part->scope, part->dir, part->info_name, on_info_removed, part));
}

bool part_finish(struct part *part, loop_fn *fn, void *arg)
{
    return remember(part, fn, arg,
                    loop_fs_rename(part->scope, part->dir, part->part_name, part->dir, part->name, LOOP_RENAME_REPLACE,
                                   on_renamed, part));
}

static void on_part_removed(void *arg, int64_t result)
{
    struct part *part = arg;

    (void)result;
    require(part, loop_fs_unlink(part->scope, part->dir, part->info_name, on_info_removed, part));
}

static void on_length(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result == 0 && part->has_info && part->status.size_bytes > 0) {
        end(part, 0);
        return;
    }
    require(part, loop_fs_unlink(part->scope, part->dir, part->part_name, on_part_removed, part));
}

bool part_leave(struct part *part, loop_fn *fn, void *arg)
{
    return remember(part, fn, arg, loop_file_stat(part->scope, part->flow->fd, &part->status, on_length, part));
}
