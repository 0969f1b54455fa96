/* SPDX-License-Identifier: ISC
 *
 * Copies one file. The library copies small files. Big files are copied here, with a queue of reads and writes over the
 * region: each piece of the file is read into a chunk and written from it, and a dozen pieces are in flight at once, in
 * any order. Only data is read, so holes stay holes. The copy has a temporary name until it is complete.
 */
#include "cp_file.h"

#include <loop/low_level.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

/* The number of pieces of one file in flight. */
#define MOST_PIECES 12

struct piece {
    struct copying *copying;
    struct loop_chunk *chunk;
    int64_t offset;
    size_t len, done; /* bytes of the piece; bytes of it that were written */
    size_t in_chunk;  /* bytes in the chunk that are not written yet */
};

enum step { STEP_TRUNCATE, STEP_CHMOD, STEP_SET_TIMES, STEP_RENAME, STEP_DONE };

struct copying {
    struct cp *cp;
    struct cp_names names;
    struct loop_scope *scope;
    struct loop_flow *in, *out;
    int from_number, to_number; /* descriptors for work on a thread */
    struct loop_fs_status stat;
    char *temporary; /* the temporary name; NULL if the file does not exist */
    int64_t at;      /* the offset of the next piece */
    int64_t data_end;
    int64_t size;   /* the size of the copy */
    bool has_ended; /* the source has ended before its size */
    unsigned n_flying;
    int64_t error;
    enum step step;
    loop_fn *fn;
    void *arg;
    struct piece pieces[MOST_PIECES];
};

/* ---- the end ---- */

static void finish(struct copying *copying, int64_t result)
{
    loop_fn *fn = copying->fn;
    void *arg = copying->arg;

    loop_scope_unhold(copying->scope);
    free(copying->temporary);
    free(copying);
    fn(arg, result);
}

static void on_removed(void *arg, int64_t result)
{
    struct copying *copying = arg;

    if (result < 0 && result != -ENOENT) {
        cp_fail(copying->cp, copying->temporary, result);
    }
    finish(copying, copying->error);
}

/* Removes the temporary file, in a scope that is not cancelled with the copy. */
static void give_up(struct copying *copying)
{
    if (!copying->temporary ||
        !loop_fs_unlink(copying->cp->env->scope, copying->names.to_dir, copying->temporary, on_removed, copying)) {
        finish(copying, copying->error);
    }
}

static void fail(struct copying *copying, int64_t error)
{
    copying->error = copying->error < 0 ? copying->error : error;
}

/* ---- finishing the copy ---- */

static void on_step(void *arg, int64_t result);

static loop_job start_step(struct copying *copying)
{
    const struct loop_fs_status *stat = &copying->stat;
    const struct cp_names *names = &copying->names;
    struct loop_fd *file = copying->out->fd;

    switch (copying->step) {
    case STEP_TRUNCATE: /* a hole at the end of the file is not written */
        return loop_file_truncate(copying->scope, file, (uint64_t)copying->size, on_step, copying);
    case STEP_CHMOD: return loop_file_chmod(copying->scope, file, stat->mode & 0777, on_step, copying);
    case STEP_SET_TIMES:
        return loop_file_set_times(copying->scope, file, &stat->accessed, &stat->modified, on_step, copying);
    case STEP_RENAME:
        return loop_fs_rename(copying->scope, names->to_dir, copying->temporary, names->to_dir, names->to,
                              LOOP_RENAME_REPLACE, on_step, copying);
    case STEP_DONE: break;
    }
    return 0;
}

static void take_step(struct copying *copying)
{
    if (copying->step == STEP_DONE) {
        finish(copying, copying->size);
    } else if (!start_step(copying)) {
        fail(copying, -ENOMEM);
        give_up(copying);
    }
}

static void on_step(void *arg, int64_t result)
{
    struct copying *copying = arg;

    if (result < 0) {
        fail(copying, result);
        give_up(copying);
    } else {
        copying->step++;
        take_step(copying);
    }
}

/* ---- data and holes ---- */

/* Skips a hole and counts it as done. */
static void skip_to(struct copying *copying, int64_t at)
{
    if (at > copying->at) {
        progress_add(copying->cp->progress, (uint64_t)(at - copying->at));
        copying->at = at;
    }
}

/* Finds the next data. Returns false if only a hole is left. On a file system without holes everything is data. */
static bool find_data(struct copying *copying)
{
    int64_t begin = loop_file_seek(copying->in->fd, copying->at, SEEK_DATA);
    int64_t end = begin < 0 ? begin : loop_file_seek(copying->in->fd, begin, SEEK_HOLE);

    if (begin == -ENXIO) {
        skip_to(copying, copying->size);
        return false;
    }
    skip_to(copying, begin);
    copying->data_end = end < 0 ? copying->size : end;
    return copying->at < copying->data_end;
}

/* Assigns the next part of the file to the piece. Returns false if there is none. */
static bool take_part(struct piece *piece)
{
    struct copying *copying = piece->copying;
    int64_t most = (int64_t)loop_chunk_length(piece->chunk);

    if (copying->error < 0 || copying->has_ended || (copying->at >= copying->data_end && !find_data(copying))) {
        return false;
    }
    int64_t left = copying->data_end - copying->at;
    piece->offset = copying->at;
    piece->len = (size_t)(left < most ? left : most);
    piece->done = 0;
    copying->at += (int64_t)piece->len;
    if (copying->size < copying->at) {
        copying->size = copying->at; /* the file has grown */
    }
    return true;
}

/* ---- pieces ---- */

static void on_read(void *arg, int64_t result);
static void on_written(void *arg, int64_t result);

/* Ends a piece. The last one continues with the whole copy. */
static void end_piece(struct piece *piece, int64_t error)
{
    struct copying *copying = piece->copying;

    fail(copying, error);
    loop_chunk_free(loop_scope_loop(copying->scope), piece->chunk);
    if (--copying->n_flying > 0) {
        return;
    }
    if (copying->error < 0) {
        give_up(copying);
    } else {
        take_step(copying);
    }
}

static void read_piece(struct piece *piece)
{
    struct copying *copying = piece->copying;

    if (piece->done == piece->len && !take_part(piece)) {
        end_piece(piece, 0);
    } else if (!loop_op_read_chunk(copying->scope, copying->in->fd, piece->chunk, piece->len - piece->done,
                                   piece->offset + (int64_t)piece->done, on_read, piece)) {
        end_piece(piece, -ENOMEM);
    }
}

/* Writes the chunk. After a short write the rest has been moved to the start of the chunk. */
static void write_piece(struct piece *piece)
{
    struct copying *copying = piece->copying;

    if (!loop_op_write_chunk(copying->scope, copying->out->fd, piece->chunk, piece->in_chunk,
                             piece->offset + (int64_t)piece->done, on_written, piece)) {
        end_piece(piece, -ENOMEM);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct piece *piece = arg;
    struct copying *copying = piece->copying;

    if (result > 0) {
        piece->in_chunk = (size_t)result;
        write_piece(piece);
        return;
    }
    if (result == 0) { /* the file was truncated */
        int64_t end = piece->offset + (int64_t)piece->done;
        copying->size = copying->has_ended && copying->size < end ? copying->size : end;
        copying->has_ended = true;
    }
    end_piece(piece, result);
}

static void on_written(void *arg, int64_t result)
{
    struct piece *piece = arg;

    if (result <= 0) {
        end_piece(piece, result < 0 ? result : -EIO);
        return;
    }
    piece->done += (size_t)result;
    piece->in_chunk -= (size_t)result;
    progress_add(piece->copying->cp->progress, (uint64_t)result);
    if (piece->in_chunk > 0) {
        char *data = loop_chunk_data(piece->chunk);
        memmove(data, data + result, piece->in_chunk);
        write_piece(piece);
    } else {
        read_piece(piece);
    }
}

static void on_chunk(void *arg, int64_t result)
{
    struct piece *piece = arg;

    if (result < 0) {
        piece->chunk = NULL;
        end_piece(piece, result);
    } else {
        read_piece(piece);
    }
}

/* ---- the beginning ---- */

static void begin_pieces(struct copying *copying)
{
    copying->n_flying = 1; /* this function's own, until the loop is done */
    for (size_t i = 0; i < MOST_PIECES && copying->error == 0; i++) {
        struct piece *piece = &copying->pieces[i];
        piece->copying = copying;
        if (loop_chunk_alloc_wait(copying->scope, &piece->chunk, on_chunk, piece)) {
            copying->n_flying++;
        } else {
            fail(copying, -ENOMEM);
        }
    }
    if (--copying->n_flying == 0) {
        give_up(copying);
    }
}

/* Runs on a thread of the pool. The scope keeps both descriptors open. */
static int64_t share_blocks(void *arg)
{
    const struct copying *copying = arg;

    return ioctl(copying->to_number, FICLONE, copying->from_number) < 0 ? -errno : 0;
}

static void on_shared(void *arg, int64_t result)
{
    struct copying *copying = arg;

    if (result == 0) {
        progress_add(copying->cp->progress, (uint64_t)copying->size);
        take_step(copying);
    } else {
        begin_pieces(copying);
    }
}

static void on_temporary(void *arg, int64_t result)
{
    struct copying *copying = arg;

    if (result < 0) {
        free(copying->temporary);
        copying->temporary = NULL;
        fail(copying, result);
        give_up(copying);
        return;
    }
    copying->from_number = loop_fd_peek(copying->in->fd);
    copying->to_number = loop_fd_peek(copying->out->fd);
    if (!loop_work(copying->scope, share_blocks, copying, on_shared, copying)) {
        fail(copying, -ENOMEM);
        give_up(copying);
    }
}

char *cp_temporary_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    int dir_len = slash ? (int)(slash - path) + 1 : 0;
    uint64_t number;
    char *name;

    if (getrandom(&number, sizeof number, 0) != sizeof number ||
        asprintf(&name, "%.*s.%016" PRIx64 ".tmp", dir_len, path, number) < 0) {
        return NULL;
    }
    return name;
}

static void on_opened(void *arg, int64_t result)
{
    struct copying *copying = arg;
    static const struct loop_open_options options = {
        .access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_EXCLUSIVE, .mode = 0600};

    if (result == 0 && copying->stat.kind != LOOP_KIND_REGULAR) {
        result = -EINVAL;
    }
    if (result == 0) {
        copying->size = (int64_t)copying->stat.size_bytes;
        copying->temporary = cp_temporary_name(copying->names.to);
        result = copying->temporary ? 0 : -ENOMEM;
    }
    if (result == 0 && !loop_fs_open(copying->scope, copying->names.to_dir, copying->temporary, &options, &copying->out,
                                     on_temporary, copying)) {
        result = -ENOMEM;
    }
    if (result < 0) {
        finish(copying, result);
    }
}

static bool copy_big(struct cp *cp, const struct cp_names *names, loop_fn *fn, void *arg)
{
    struct copying *copying = calloc(1, sizeof *copying);

    if (!copying) {
        return false;
    }
    *copying = (struct copying){.cp = cp, .names = *names, .fn = fn, .arg = arg};
    copying->scope = loop_scope_open(cp->scope, NULL, NULL);
    if (!copying->scope) {
        free(copying);
        return false;
    }
    cp_hold(copying->scope);
    if (!loop_fs_open_stat(copying->scope, names->from_dir, names->from, NULL, &copying->in, &copying->stat, on_opened,
                           copying)) {
        loop_scope_unhold(copying->scope);
        free(copying);
        return false;
    }
    return true;
}

bool cp_file(struct cp *cp, const struct cp_names *names, uint64_t size_bytes, loop_fn *fn, void *arg)
{
    static const struct loop_copy_options options = {.keep_times = true};

    if (size_bytes >= CP_BIG_BYTES) {
        return copy_big(cp, names, fn, arg);
    }
    return loop_fs_copy_file(cp->scope, names->from_dir, names->from, names->to_dir, names->to, &options, fn, arg) != 0;
}
