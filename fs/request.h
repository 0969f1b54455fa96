/* SPDX-License-Identifier: ISC
 *
 * An operation of fs/ as a request: a copy of its arguments, a function that runs as plain synchronous code on a thread
 * of the loop's pool, and one that delivers the result on the loop's thread. The first never touches what the caller
 * owns, except the bytes that it saves. The second never blocks.
 */
#ifndef FS_REQUEST_H
#define FS_REQUEST_H

#include <fs/fs.h>
#include <fs/outcome.h>
#include <fs/resolve.h>

/* Permissions of a file that is created, where none are asked for. */
#define LOOP_FS_DEFAULT_MODE 0666

struct loop_fs_request {
    const char *function; /* the public one; NULL: its arguments have been checked */
    /* who asked, and what for */
    struct loop_scope *scope;    /* NULL: that of the directory or the file */
    struct loop_dir *dir;        /* what `path` is relative to; NULL for an operation on a file */
    struct loop_dir *second_dir; /* what `second_path` is relative to, where there are two */
    struct loop_fd *file;
    struct loop_fd *uses; /* a descriptor that the work uses as well, whose number is in `used_number`; or NULL */
    const char *path, *second_path;
    bool has_second; /* a second directory is asked for */
    bool is_on_file; /* and not on a path */
    loop_fn *fn;
    void *arg;
    int64_t (*run)(struct loop_fs_request *request);
    /* Gets the result of `run` and returns the continuation's. When `result` >= 0 it owns what is in `made`, and gives
     * that away. NULL where nothing is made. */
    int64_t (*deliver)(struct loop_fs_request *request, int64_t result);
    int error; /* of bad arguments: the job completes with this, and nothing is done */
    /* derived from the above */
    struct loop_fs_place at, second; /* of a file: its number */
    struct loop_fs_system system;    /* of `dir`; of a directory that was opened */
    int used_number;
    /* the arguments of single operations */
    bool tries_cache;  /* run on the loop's thread first, with `at.only_cached` */
    bool takes_long;   /* possibly: see struct loop_work_options */
    bool waits;        /* for its thread, also when cancelled: it changes something, or uses more than the request */
    bool makes_number; /* a descriptor, which is closed when it can not be delivered */
    bool makes_memory; /* which is freed when it can not be delivered */
    bool follow, with_stat, data_only, polled;
    unsigned mode;
    int flags;
    uid_t uid;
    gid_t gid;
    struct timespec times[2]; /* of access and of modification */
    uint64_t offset, len;
    const void *data;
    union {
        struct open_how how;
        struct loop_save_options save;
        struct loop_copy_options copy;
    } u;
    void *out, *second_out; /* where the caller wants what is made */
    union {
        struct loop_fs_space space;
        int number; /* a descriptor */
        void *memory;
    } made;
    struct loop_fs_status stat; /* made as well */
    int64_t result;             /* of `run`, which may return after the job has ended */
    bool is_delivered;          /* what is made has been given away */
    char text[];                /* the paths */
};

/* What all calls fill in, by the names that their parameters have in the header. */
#define LOOP_FS_ON_PATH .function = __func__, .scope = scope, .dir = dir, .path = path, .fn = fn, .arg = arg
#define LOOP_FS_ON_PATHS                                                                                               \
    .function = __func__, .scope = scope, .dir = from_dir, .path = from, .second_dir = to_dir, .second_path = to,      \
    .has_second = true, .fn = fn, .arg = arg
#define LOOP_FS_ON_FILE .function = __func__, .is_on_file = true, .scope = scope, .file = file, .fn = fn, .arg = arg

/* Returns 0, or -EINVAL when there are bits in `flags` that are not in `known`. */
static inline int loop_fs_check_flags(unsigned flags, unsigned known)
{
    return flags & ~known ? -EINVAL : 0;
}

/* Returns whether a public call may use its scope and its directory; `scope` may be NULL where there is a directory. A
 * NULL directory beside a good scope stops a debug build; otherwise the job completes with -EINVAL. */
bool loop_fs_is_good_place(const struct loop_scope *scope, const struct loop_dir *dir, const char *function);

/* Returns whether a public call may use its scope and its file; `scope` may be NULL where there is a file. A NULL file
 * beside a good scope stops a debug build; otherwise the job completes with -EINVAL. */
bool loop_fs_is_good_file(const struct loop_scope *scope, const struct loop_fd *file, const char *function);

/* Copies the request and starts it. Returns its job, or 0 when there is no memory. */
loop_job loop_fs_start(const struct loop_fs_request *request);

/* A `run`: reads the whole regular file at the path, at most `len` bytes of it, into memory that is made. A NUL follows
 * the contents. Returns their length or -errno. */
int64_t loop_fs_run_load(struct loop_fs_request *request);

/* A `deliver` for memory: stores it in the caller's pointer, `*out`. */
int64_t loop_fs_deliver_memory(struct loop_fs_request *request, int64_t result);

/* Makes an object of the descriptor that was made. Returns NULL when the request has failed, or when this fails, with
 * the reason in *result. */
struct loop_fd *loop_fs_adopt(struct loop_fs_request *request, int64_t *result);

#endif
