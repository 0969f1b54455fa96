/* SPDX-License-Identifier: ISC
 *
 * What the files of fs/ share among themselves and with nobody else.
 *
 * An operation is a request: a copy of what was asked for, a function that does it on a thread of the loop's pool as
 * plain synchronous code, and one that hands over what came of it on the loop's thread. The first never touches what is
 * the caller's (but the bytes it is to save); the second never blocks.
 */
#ifndef FS_INTERNAL_H
#define FS_INTERNAL_H

#include <fs/fs.h>

#include <errno.h>
#include <linux/openat2.h>
#include <sys/queue.h>
#include <sys/stat.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

/* Permissions of a file that is created, where none are asked for. */
#define LOOP_FS_DEFAULT_MODE 0666

/* Those of a file that nobody else may read. */
#define LOOP_FS_PRIVATE_MODE 0600

/* A system call's answer as a result. */
static inline int64_t loop_fs_outcome(int64_t answer)
{
    return answer < 0 ? -errno : answer;
}

/* ---- request.c ---- */

/* From where a path is resolved: a descriptor's number or AT_FDCWD. */
struct loop_fs_place {
    int number;
    bool is_confined;
    bool only_cached; /* what would have to wait for a disk or a network is -EAGAIN */
};

struct loop_fs_request {
    const char *function; /* the public one; NULL: what is given has been looked at */
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
    /* Takes the result and returns what the continuation is to get. What `made` holds is there when `result` >= 0, and
     * is this function's to give away. NULL where nothing is made. */
    int64_t (*deliver)(struct loop_fs_request *request, int64_t result);
    int error; /* bad arguments: the job ends with this, and nothing is done */
    /* made out of the above */
    struct loop_fs_place at, second; /* of a file: its number */
    int used_number;
    /* the arguments of single operations */
    bool tries_cache;  /* run on the loop's thread first, with `at.only_cached` */
    bool takes_long;   /* perhaps: see struct loop_work_options */
    bool waits;        /* for its thread, also on a cancel: it changes something, or uses more than the request */
    bool makes_number; /* a descriptor, which is to be closed when there is nobody to deliver it to */
    bool makes_memory; /* which is to be freed then */
    bool follow, with_stat;
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
    int64_t result;             /* what `run` returned; it may do so when the job has ended */
    bool is_delivered;          /* what is made has been given away */
    char text[];                /* the paths */
};

/* What the calls have in common, by the names that their parameters have in the header. */
#define LOOP_FS_ON_PATH .function = __func__, .scope = scope, .dir = dir, .path = path, .fn = fn, .arg = arg
#define LOOP_FS_ON_PATHS                                                                                               \
    .function = __func__, .scope = scope, .dir = from_dir, .path = from, .second_dir = to_dir, .second_path = to,      \
    .has_second = true, .fn = fn, .arg = arg
#define LOOP_FS_ON_FILE .function = __func__, .is_on_file = true, .scope = scope, .file = file, .fn = fn, .arg = arg

/* Whether a public call may use what it is given: `scope` may be NULL where there is a directory or a file. A NULL
 * directory or file beside a good scope stops a debug build; otherwise the job ends with -EINVAL. */
bool loop_fs_is_good_place(const struct loop_scope *scope, const struct loop_dir *dir, const char *function);
bool loop_fs_is_good_file(const struct loop_scope *scope, const struct loop_fd *file, const char *function);

/* Copies the request and has it done. */
loop_job loop_fs_start(const struct loop_fs_request *request);

/* Gives a piece of memory that was made to a caller who wants a pointer in `*out`. */
int64_t loop_fs_deliver_memory(struct loop_fs_request *request, int64_t result);

/* Makes an object of a descriptor that was made: NULL when the request has failed, or when that fails; then *result
 * tells. */
struct loop_fd *loop_fs_adopt(struct loop_fs_request *request, int64_t *result);

/* ---- resolve.c ---- */

/* openat2(2) at a place, with its confinement added: a descriptor (CLOEXEC) or -errno. */
int loop_fs_open_at(struct loop_fs_place at, const char *path, const struct open_how *how);

/* Whether a path names the directory that it is relative to: ".", "./", "./.". */
bool loop_fs_is_itself(const char *path);

/* As loop_fs_open_at: what is there, whatever it is, without opening it (O_PATH). */
int loop_fs_find(struct loop_fs_place at, const char *path, bool follow);

/* Opens for the use of a thread that must not wait for the other end of a fifo, nor get a terminal. */
int loop_fs_open_plainly(struct loop_fs_place at, const char *path, int flags, unsigned mode);

/* 0 and the status when it is a regular file: those have an end, and don't wait for anybody. -EISDIR, -EINVAL. */
int loop_fs_check_regular(int number, struct stat *status);

/* The directory that a path's last component is in, and that component, which no call that is given both can follow out
 * of the directory. 0 or -errno; given back with loop_fs_leave. */
struct loop_fs_leaf {
    int dir;
    bool is_opened;   /* `dir` is to be closed */
    const char *name; /* a part of the path, with its slashes at the end, or "." */
};
int loop_fs_find_leaf(struct loop_fs_place at, const char *path, struct loop_fs_leaf *leaf);
void loop_fs_leave(const struct loop_fs_leaf *leaf);

/* ---- walk.c ---- */

/* What openat2 with RESOLVE_BENEATH does (and RESOLVE_NO_SYMLINKS, where asked for), component by component. -EAGAIN
 * when somebody has moved a directory on the way. */
int loop_fs_walk(int base, const char *path, const struct open_how *how);

/* The path without links, "." and "..", in `*real`: 0 or -errno. */
int loop_fs_walk_real(int base, const char *path, char **real);

/* ---- attributes.c ---- */

enum loop_kind loop_fs_kind_of(unsigned mode);

/* The stat of `name` in the directory `dir`, or of `dir` itself when that is "", never followed: 0 or -errno. */
int loop_fs_stat_name(int dir, const char *name, struct loop_fs_status *stat);

/* ---- temporary.c, inherit.c ---- */

/* A file that gets its name when it is complete. */
struct loop_fs_temporary {
    struct loop_fs_leaf leaf; /* where it is to be */
    bool is_exclusive;        /* and nothing else may be there */
    int dir;                  /* that directory */
    bool is_opened;           /* `dir` is to be closed */
    int number;               /* the file */
    char name[32];            /* "" when there is none */
    bool replaces;            /* a regular file has the name that it is to get, */
    mode_t replaced_mode;     /* with these permissions */
    bool keeps_old;           /* it has its name, and `name` is that of what it has replaced */
    bool replaced_other;      /* the same, but that is gone */
};

/* Makes one beside `path`, to be written to: 0 or -errno. Where it is to replace a regular file only this process's
 * user may read it, whatever `mode` says, until loop_fs_inherit. Ended by loop_fs_temporary_end in any case. */
int loop_fs_temporary_make(struct loop_fs_temporary *temporary, struct loop_fs_place at, const char *path,
                           unsigned mode, bool exclusive);

/* Gives it the permissions, the access control list and, where that is allowed, the owner and group of the file that it
 * replaces, as they are now; nothing when it replaces none. 0 or -errno. */
int64_t loop_fs_inherit(const struct loop_fs_temporary *temporary);

/* Gives it its name. With `sync` it is on the disk before that, and its name is after it: where that fails, what was
 * there before is there again, on file systems with RENAME_EXCHANGE. */
int loop_fs_temporary_publish(struct loop_fs_temporary *temporary, bool sync);

/* Closes, and removes what has not been published. */
void loop_fs_temporary_end(struct loop_fs_temporary *temporary);

/* ---- inotify.c ---- */

struct inotify_event;

/* The loop's inotify instance, which all its watches share. On the loop's thread. */
struct loop_fs_inotify;

/* What one watch has in the instance. */
struct loop_fs_watcher {
    LIST_ENTRY(loop_fs_watcher) link;
    struct loop_fs_watched *watched; /* an inode; NULL: none (any more) */
    uint64_t begins_at;              /* in the stream of events */
    /* An event, and result 1; or NULL, when there is nothing to be watched any more: result 0, or -errno. May not join
     * or leave. */
    void (*fn)(struct loop_fs_watcher *watcher, int64_t result, const struct inotify_event *event);
};

/* Each use is given back with loop_fs_inotify_put. NULL: *error tells why there is no instance. */
struct loop_fs_inotify *loop_fs_inotify_get(struct loop *loop, int64_t *error);
void loop_fs_inotify_put(struct loop_fs_inotify *inotify);

/* What inotify_add_watch(2) is to be called with; it outlives the use. */
struct loop_fd *loop_fs_inotify_fd(const struct loop_fs_inotify *inotify);

/* To be asked before a watch descriptor is added, for loop_fs_inotify_join. */
uint64_t loop_fs_inotify_deaths(const struct loop_fs_inotify *inotify);

/* The watcher hears of `wd`, which has been added, in place of what it heard of before. -EAGAIN: `wd` may be dead
 * already; the watcher keeps it, and has to add what it wants to watch once more. */
int loop_fs_inotify_join(struct loop_fs_inotify *inotify, struct loop_fs_watcher *watcher, int wd, uint64_t deaths);

/* Harmless for one that has not joined. */
void loop_fs_inotify_leave(struct loop_fs_inotify *inotify, struct loop_fs_watcher *watcher);

#endif
