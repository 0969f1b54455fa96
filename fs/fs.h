/* SPDX-License-Identifier: ISC
 *
 * Files, and directories as capabilities.
 *
 * A struct loop_dir is the right to use what is beneath one directory. A program is given two: env->cwd is the current
 * directory at the time of each call, and env->fs is the whole file system. loop_fs_open_dir opens narrower ones. These
 * refer to the directory itself: they stay valid when it is renamed and when the process changes its current directory.
 *
 * Every path is relative to its directory and cannot escape it. A "..", an absolute path, a symbolic link or a magic
 * link of /proc that leads out ends with -EXDEV or -ELOOP, also while another process renames files; a ".." that stays
 * inside is good. Only env->fs accepts absolute paths, resolves relative ones against the current directory, and
 * follows links anywhere. A call that changes or removes a name, or does not follow links, never follows the last
 * component, and ".." there does not lead out. Without openat2(2) (Linux before 5.6, or a filter that refuses it) the
 * path is resolved component by component, with the same results.
 *
 * Calls. All functions are for the loop's thread. Each call that takes a continuation starts a job in `scope`; NULL is
 * the scope of the directory or the file. `dir` has to outlive the job; closing it cancels the job. Paths are copied.
 * Results are written through pointers before the continuation is resumed, and only when the result is not negative.
 * Memory that the caller has to free with free() is named.
 *
 * Results. Where nothing else is said, a job ends with 0 or with the errno of the system call: -ENOENT, -EACCES,
 * -EEXIST, -ENOTDIR, -EISDIR, -ENAMETOOLONG, -EROFS, -ENOSPC, -EMFILE, -EIO, … Every job may also end with -EXDEV or
 * -ELOOP for a path that leads out; -ENOENT for ""; -EINVAL for NULL in place of a path or of a pointer for a result;
 * -EBADF when the directory or file was closed before; -ENOMEM; -ECANCELED, or -ETIMEDOUT after a deadline.
 *
 * Cancel. An operation of one step is done or not done: the result says which. Operations of many steps check between
 * two steps and end with -ECANCELED: loop_fs_mkdirs, loop_fs_rmtree, loop_fs_copy_file, loop_fs_copy_files,
 * loop_fs_load, loop_fs_save and loop_fs_list. What they have done stays done, except for temporary files. The
 * continuation is resumed when no thread works for the job any more. So a thread that hangs, for example in a network
 * file system, delays the cancel of a job that changes something; loop_options.interrupt_signal interrupts it where the
 * file system can be. Jobs that only read end LOOP_WORK_GRACE_NS after a cancel in any case, and what the thread
 * returns later is dropped: loop_fs_open_dir, loop_fs_open that neither creates nor truncates, loop_fs_stat,
 * loop_fs_kind, loop_fs_access, loop_fs_statfs, loop_fs_realpath, loop_fs_read_link, loop_fs_sync, loop_fs_load,
 * loop_fs_read_dir, loop_fs_list, loop_file_stat and loop_file_sync.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include <loop/loop.h>

#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of the calls below that have a parameter `flags`; 0 is none. Each call says which flags it accepts, and ends
 * with -EINVAL for any other bit. */
enum loop_fs_flag {
    LOOP_FS_FOLLOW = 1u << 0,    /* follow a symbolic link that is the last component of the path */
    LOOP_FS_WITH_STAT = 1u << 1, /* read the attributes of each entry as well */
    LOOP_FS_DATA_ONLY = 1u << 2  /* fdatasync(2): leave out what is not needed to read the bytes back */
};

/* ---- directories ---- */

/* A directory as a capability: the right to what is beneath it. Belongs to its scope. */
struct loop_dir {
    struct loop_scope *scope;
    struct loop_fd *fd; /* NULL: the current directory, at the time of use */
    bool is_confined;   /* no path escapes it */
    /* for the library: the device that it was on when a thread looked, or 0, and whether a cached file of that is
     * opened without waiting for a network or another process */
    uint64_t device;
    bool is_local;
};

/* Opens the directory `path`. `*opened` is confined to it, also when `dir` is env->fs. It belongs to `scope` and closes
 * with it; loop_fd_close((*opened)->fd) closes it earlier. The directory itself needs no permission, only the path to
 * it. The path "." names the directory itself: a directory that may be read but not searched (mode 0444) can be listed
 * by it, which needs /proc. Resumes with 0; -ENOTDIR when `path` is no directory; or an error. */
LOOP_API loop_job loop_fs_open_dir(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                                   struct loop_dir **opened, loop_fn *fn, void *arg);

/* ---- reading attributes ---- */

enum loop_kind {
    LOOP_KIND_NONE, /* the name does not exist */
    LOOP_KIND_REGULAR,
    LOOP_KIND_DIRECTORY,
    LOOP_KIND_SYMLINK,
    LOOP_KIND_FIFO,
    LOOP_KIND_SOCKET,
    LOOP_KIND_CHARACTER, /* devices */
    LOOP_KIND_BLOCK
};

/* The attributes of a file, statx(2). Times count from 1970, as in clock_gettime(2) with CLOCK_REALTIME. */
struct loop_fs_status {
    enum loop_kind kind;
    unsigned mode; /* permissions, with S_ISUID, S_ISGID and S_ISVTX, without the kind */
    uint64_t size_bytes;
    uint64_t used_bytes;    /* on the disk: less than size_bytes for a sparse file */
    uint64_t device, inode; /* the identity of the file: names with both values equal refer to the same file */
    uint64_t n_links;
    uid_t uid;
    gid_t gid;
    struct timespec accessed, modified, changed;
    struct timespec created; /* zero when the file system does not store it */
    uint64_t device_number;  /* of a device file: the number of the device */
    size_t block_bytes;      /* reads and writes should be multiples of this */
};

/* Reads the attributes of `path` into `*stat`. With LOOP_FS_FOLLOW those of the file that a symbolic link leads to,
 * stat(2), otherwise those of the link, lstat(2). */
LOOP_API loop_job loop_fs_stat(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                               struct loop_fs_status *stat, loop_fn *fn, void *arg);

/* Resumes with the kind of `path`, an enum loop_kind, or an error. LOOP_KIND_NONE when the name does not exist
 * (-ENOENT, -ENOTDIR), which is no error here. Flags: LOOP_FS_FOLLOW. */
LOOP_API loop_job loop_fs_kind(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                               loop_fn *fn, void *arg);

/* Checks whether this process has access to `path`, with its effective user and group, faccessat(2). `mode` is F_OK, or
 * of R_OK, W_OK and X_OK. Links are followed. Resumes with 0; -EACCES or -EROFS when it has not; -EINVAL for another
 * mode; or an error. Checking first is a race: try the operation and handle its error. */
LOOP_API loop_job loop_fs_access(struct loop_scope *scope, struct loop_dir *dir, const char *path, int mode,
                                 loop_fn *fn, void *arg);

/* The space of a file system, statfs(2). */
struct loop_fs_space {
    uint64_t total_bytes, free_bytes;
    uint64_t avail_bytes; /* available to users other than root */
    uint64_t total_files, free_files;
    uint64_t type; /* a magic number of <linux/magic.h> */
    size_t block_bytes;
    size_t name_max;
};

/* Reads the space of the file system that `path` is on into `*space`. Links are followed. */
LOOP_API loop_job loop_fs_statfs(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                                 struct loop_fs_space *space, loop_fn *fn, void *arg);

/* Resolves `path` to one without links, "." and "..": relative to `dir` ("." is `dir` itself), or absolute in env->fs,
 * which needs /proc. The caller frees `*real` with free(). Resumes with 0; -ENOENT when the file does not exist; or an
 * error. */
LOOP_API loop_job loop_fs_realpath(struct loop_scope *scope, struct loop_dir *dir, const char *path, char **real,
                                   loop_fn *fn, void *arg);

/* Reads the text of a symbolic link, readlink(2); its target need not exist. The caller frees `*target`, which ends
 * with a NUL, with free(). Resumes with the length of the text; -EINVAL when `path` is no link; or an error. */
LOOP_API loop_job loop_fs_read_link(struct loop_scope *scope, struct loop_dir *dir, const char *path, char **target,
                                    loop_fn *fn, void *arg);

/* ---- creating, renaming and removing names ---- */

/* Creates the directory `path`, mkdir(2). The umask is applied to `mode`; 0 means 0777. Resumes with 0; -EEXIST when
 * the name exists; -EINVAL for other bits than 07777 in `mode`; or an error. */
LOOP_API loop_job loop_fs_mkdir(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned mode,
                                loop_fn *fn, void *arg);

/* Creates the directory `path` and all missing directories in the path, each with `mode` as in loop_fs_mkdir. Resumes
 * with 0, also when the directory exists; -EEXIST when another file has the name (-ENOENT for a link that leads to
 * nothing); -EINVAL for other bits than 07777 in `mode`; or an error. */
LOOP_API loop_job loop_fs_mkdirs(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned mode,
                                 loop_fn *fn, void *arg);

/* Removes a name that is not a directory's, unlink(2). Resumes with 0; -EISDIR for a directory; or an error. */
LOOP_API loop_job loop_fs_unlink(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn,
                                 void *arg);

/* Removes an empty directory, rmdir(2). Resumes with 0; -ENOTEMPTY; -ENOTDIR; -EINVAL for "."; or an error. */
LOOP_API loop_job loop_fs_rmdir(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn,
                                void *arg);

/* Removes a name, and a directory with everything in it. Links are removed, never what they lead to. An entry that
 * another process removes meanwhile is no error. A tree of any depth needs two descriptors. Resumes with 0; -ENOENT
 * when `path` does not exist; -EINVAL for "/", and for a path that ends in "." or ".."; -EXDEV when a directory on the
 * way was moved meanwhile; or the first error, after which the rest of the tree is still there. */
LOOP_API loop_job loop_fs_rmtree(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn,
                                 void *arg);

enum loop_rename {
    LOOP_RENAME_REPLACE,   /* replaces what has the new name */
    LOOP_RENAME_NOREPLACE, /* -EEXIST when the new name exists */
    LOOP_RENAME_EXCHANGE   /* exchanges the names; both must exist */
};

/* Renames `from` to `to`, renameat2(2). Each path is relative to its own directory. With NULL `scope` the job belongs
 * to the scope of `from_dir`. Resumes with 0; -EXDEV also between two file systems; -EINVAL when `how` is unknown, the
 * file system does not support it, or a directory would be moved into itself; -ENOTEMPTY or -EEXIST when `to` is a
 * directory with entries; or an error. */
LOOP_API loop_job loop_fs_rename(struct loop_scope *scope, struct loop_dir *from_dir, const char *from,
                                 struct loop_dir *to_dir, const char *to, enum loop_rename how, loop_fn *fn, void *arg);

/* Creates `to` as another name of the file `from`, link(2). A symbolic link is not followed: the new name is the
 * link's. With NULL `scope` the job belongs to the scope of `from_dir`. Resumes with 0; -EEXIST when `to` exists;
 * -EPERM for a directory; -EXDEV between two file systems; -EMLINK; or an error. */
LOOP_API loop_job loop_fs_link(struct loop_scope *scope, struct loop_dir *from_dir, const char *from,
                               struct loop_dir *to_dir, const char *to, loop_fn *fn, void *arg);

/* Creates the symbolic link `path` with the text `target`, symlink(2). The target is not checked. Resumes with 0;
 * -EEXIST when `path` exists; -EINVAL for NULL `target`; or an error. */
LOOP_API loop_job loop_fs_symlink(struct loop_scope *scope, const char *target, struct loop_dir *dir, const char *path,
                                  loop_fn *fn, void *arg);

/* ---- changing attributes ---- */

/* Sets the permissions of `path`, chmod(2). `mode` includes S_ISUID, S_ISGID and S_ISVTX. Flags: LOOP_FS_FOLLOW.
 * Resumes with 0; -EOPNOTSUPP for a link that is not followed; -EINVAL for other bits than 07777 in `mode`; -EPERM; or
 * an error. */
LOOP_API loop_job loop_fs_chmod(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                                unsigned mode, loop_fn *fn, void *arg);

/* Sets the owner and the group of `path`, chown(2) with LOOP_FS_FOLLOW, lchown(2) without. (uid_t)-1 and (gid_t)-1 keep
 * the current ones. Resumes with 0; -EPERM; or an error. */
LOOP_API loop_job loop_fs_chown(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                                uid_t uid, gid_t gid, loop_fn *fn, void *arg);

/* Sets the times of access and of modification of `path`, utimensat(2). NULL keeps the current time. UTIME_NOW in
 * `tv_nsec` (<sys/stat.h>) is the current time. A time that the file system cannot store becomes the nearest one.
 * Flags: LOOP_FS_FOLLOW. Resumes with 0; -EINVAL when `tv_nsec` is no part of a second; -EPERM; or an error. */
LOOP_API loop_job loop_fs_set_times(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                                    const struct timespec *accessed, const struct timespec *modified, loop_fn *fn,
                                    void *arg);

/* Sets the size of a file, ftruncate(2). Links are followed. Resumes with 0; -EISDIR; -EINVAL for what is no regular
 * file (-ENXIO for a fifo without a reader, and for a socket); -EFBIG; -ETXTBSY; or an error. */
LOOP_API loop_job loop_fs_truncate(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                                   uint64_t size_bytes, loop_fn *fn, void *arg);

/* Syncs the file `path` to the disk, fsync(2). For a directory that syncs its entries: without it a new file can be
 * lost in a crash, although its contents were synced. Links are followed. Resumes with 0; -EIO; -EINVAL for a file that
 * cannot be synced (-ENXIO for a socket); or an error. */
LOOP_API loop_job loop_fs_sync(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn,
                               void *arg);

/* ---- opening ---- */

enum loop_access { LOOP_ACCESS_READ, LOOP_ACCESS_WRITE, LOOP_ACCESS_READ_WRITE };

enum loop_create {
    LOOP_CREATE_NEVER,       /* -ENOENT when the file does not exist */
    LOOP_CREATE_IF_MISSING,  /* keeps an existing file */
    LOOP_CREATE_OR_TRUNCATE, /* truncates an existing file */
    LOOP_CREATE_EXCLUSIVE    /* -EEXIST when the name exists, also as a link that leads nowhere */
};

/* Zero for all opens an existing file for reading. */
struct loop_open_options {
    enum loop_access access LOOP_ZERO;
    enum loop_create create LOOP_ZERO;
    unsigned mode LOOP_ZERO; /* permissions of a new file, to which the umask is applied; 0: 0666 */
    bool append LOOP_ZERO;   /* O_APPEND: every write is at the end of the file */
    bool tmpfile LOOP_ZERO;  /* O_TMPFILE: `path` is a directory, and the new file has no name in it */
    /* Polls the device for the completions of reads and writes at an offset, where that is possible; needs O_DIRECT in
     * `flags`. loop_fd_unpolled_reason in <loop/low_level.h> tells why it is not possible */
    bool polled LOOP_ZERO;
    unsigned flags LOOP_ZERO; /* further flags of open(2): O_DIRECT, O_NOFOLLOW, O_DSYNC, O_NOATIME, … */
    /* Further flags of openat2(2) from <linux/openat2.h>: RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, … RESOLVE_IN_ROOT
     * confines in place of RESOLVE_BENEATH: the directory is "/" for links and "..". Without openat2(2) only the first
     * works; the others end with -ENOSYS or -EPERM */
    uint64_t resolve LOOP_ZERO;
};

/* Opens a file as a source and a sink. `*flow` belongs to `scope`; loop_flow_close closes it earlier. `(*flow)->fd` is
 * the descriptor for the functions below. Reads and writes of <loop/flow.h> are at the file's position and move it. A
 * fifo is opened without waiting for the other end. `options` may be NULL.
 *
 * Resumes with 0; -EINVAL for options that exclude each other, or bits beyond 07777 in `mode`; -EISDIR for writing to a
 * directory; -ENXIO for a socket, and for writing to a fifo without a reader; or an error. */
LOOP_API loop_job loop_fs_open(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                               const struct loop_open_options *options, struct loop_flow **flow, loop_fn *fn,
                               void *arg);

/* Opens a file as loop_fs_open does, and reads the attributes of what has been opened into `*stat`, without another
 * hand over to a thread. Results and errors are those of loop_fs_open; -EINVAL for NULL `stat`. */
LOOP_API loop_job loop_fs_open_stat(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                                    const struct loop_open_options *options, struct loop_flow **flow,
                                    struct loop_fs_status *stat, loop_fn *fn, void *arg);

/* ---- whole files ---- */

/* Reads a whole regular file, also one of /proc or /sys, whose size is not the length of its contents. The caller frees
 * `*data` with free(); a NUL follows the contents. Resumes with the length in bytes; -EFBIG for more than `limit_bytes`
 * (0: no limit); -EISDIR; -EINVAL for fifos, sockets and devices, which have no defined end (-ENXIO for a socket that
 * is opened); or an error. */
LOOP_API loop_job loop_fs_load(struct loop_scope *scope, struct loop_dir *dir, const char *path, size_t limit_bytes,
                               void **data, loop_fn *fn, void *arg);

/* Zero for all creates the file, or truncates an existing one, and writes. */
struct loop_save_options {
    unsigned mode LOOP_ZERO;  /* permissions of a new file, as in struct loop_open_options */
    bool exclusive LOOP_ZERO; /* -EEXIST when the name exists */
    bool append LOOP_ZERO;    /* appends to an existing file */
    bool sync LOOP_ZERO;      /* syncs to the disk before the job ends */
    /* All or nothing, also after a crash of the machine: writes a temporary file in the same directory, syncs it,
     * renames it, and syncs the directory. A replaced file passes on its permissions, its access control list, and its
     * owner and group as far as the process may set them. If the group cannot be set, or the file is removed meanwhile,
     * the group gets no more permissions than others; set-user-ID and set-group-ID are dropped unless both owner and
     * group are the same. Until then only the process's user can read the temporary file. A link is replaced, not
     * followed. Excludes `append` */
    bool atomic LOOP_ZERO;
};

/* Writes a whole file of the `len` bytes at `data`, which belong to the job until its continuation is resumed. After an
 * error or a cancel the file has the beginning of the data; with `atomic` it is unchanged. `options` may be NULL.
 *
 * Resumes with `len`; -EINVAL for `atomic` with `append`, bits beyond 07777 in `mode`, NULL `data` of a length, or a
 * fifo or device (-ENXIO for a fifo without a reader, and for a socket); -EEXIST for `exclusive`; -EISDIR; or an error.
 *
 * The last step of an atomic save, syncing the directory, comes after the rename. If it fails, the old file is
 * restored, but after a crash of the machine either one may be found. On a file system that cannot exchange two names
 * (RENAME_EXCHANGE of renameat2(2): NFS) the new file stays. */
LOOP_API loop_job loop_fs_save(struct loop_scope *scope, struct loop_dir *dir, const char *path, const void *data,
                               size_t len, const struct loop_save_options *options, loop_fn *fn, void *arg);

struct loop_copy_options {
    bool exclusive LOOP_ZERO;  /* -EEXIST when the new name exists; otherwise it is replaced */
    bool keep_times LOOP_ZERO; /* copies the times of access and of modification */
    bool keep_owner LOOP_ZERO; /* copies user and group, and the set-ID bits */
    bool sync LOOP_ZERO;       /* syncs to the disk before the job ends */
    bool in_place LOOP_ZERO;   /* implies `exclusive`; creates the copy under its new name, see below */
};

/* Copies a regular file with its permissions. It first asks the file system to share the blocks (FICLONE), then to copy
 * them (copy_file_range(2)), and otherwise reads and writes. Holes stay holes. Until it is complete, the copy has no
 * name, or a temporary one in the same directory, so no process finds half of it under the new name. Links at `from`
 * are followed, a link at `to` is replaced. With NULL `scope` the job belongs to the scope of `from_dir`. `options` may
 * be NULL.
 *
 * With `in_place` the copy has its new name from the start, which takes less processor time for a small file. A copy
 * that fails or is cancelled is removed, but other processes find the incomplete one until then, and it stays when the
 * process is killed. It is meant for a directory that is renamed when all its files are complete.
 *
 * Resumes with the length in bytes; -EISDIR for a directory; -EINVAL for anything else that is no regular file (-ENXIO
 * for a socket); -EEXIST for `exclusive`; -EPERM when the owner cannot be set; or an error. */
LOOP_API loop_job loop_fs_copy_file(struct loop_scope *scope, struct loop_dir *from_dir, const char *from,
                                    struct loop_dir *to_dir, const char *to, const struct loop_copy_options *options,
                                    loop_fn *fn, void *arg);

/* A file for loop_fs_copy_files. */
struct loop_copied {
    const char *from, *to;    /* paths from the two directories */
    int64_t result LOOP_ZERO; /* set by the call: the length in bytes, or an error of loop_fs_copy_file */
};

/* Copies `n` files, one after another, as loop_fs_copy_file does. All are copied on one visit to a thread, which for
 * small files costs less than one for each. A file that fails does not stop the others. `files` and the paths belong to
 * the job until the continuation is resumed. A cancel takes effect between two files, and inside a long one; the result
 * of a file that was not begun is then -ECANCELED.
 *
 * Resumes with the number of files that were copied; -ECANCELED when it was cancelled before the last file was begun:
 * the results of the files say which were copied; or, with nothing done, another error of loop_fs_copy_file: -EINVAL,
 * -EBADF for a closed directory, -ENOMEM. The result of each file is then -ECANCELED. */
LOOP_API loop_job loop_fs_copy_files(struct loop_scope *scope, struct loop_dir *from_dir, struct loop_dir *to_dir,
                                     struct loop_copied *files, size_t n, const struct loop_copy_options *options,
                                     loop_fn *fn, void *arg);

/* ---- reading directories ---- */

struct loop_entry {
    const char *name;
    enum loop_kind kind; /* NONE: removed before its attributes were read */
    uint64_t inode;
    /* attributes of the name itself, not followed. NULL when they were not asked for, when the entry was removed, or
     * when the directory may be read but not searched */
    const struct loop_fs_status *stat;
};

/* A directory opened for reading, a few hundred entries at a time: it needs the same memory for a million entries as
 * for ten. To pause, do not ask for the next ones. */
struct loop_entries {
    struct loop_scope *scope;
    const struct loop_entry *entry; /* the entries of the last read, valid until the next one is started */
    size_t count;
};

/* Opens the directory `path` for reading its entries. LOOP_FS_WITH_STAT also reads the attributes of each entry, for
 * a small part of the cost of a call for each. `*entries` belongs to `scope`. Resumes with 0; -ENOTDIR; or an error. */
LOOP_API loop_job loop_fs_read_dir(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                                   struct loop_entries **entries, loop_fn *fn, void *arg);

/* Reads the next entries, getdents64(2), in the order of the file system, without "." and "..". An entry that is
 * created or removed meanwhile may be missing or not. A directory that is deleted meanwhile is at its end. Resumes with
 * the number of entries; 0 at the end; -EBUSY when another read runs; -ECANCELED after loop_entries_close; or an
 * error. */
LOOP_API loop_job loop_entries_next(struct loop_entries *entries, loop_fn *fn, void *arg);

/* Closes the directory before its scope ends, and frees it with its entries. A read in flight ends with -ECANCELED.
 * NULL is ignored. */
LOOP_API void loop_entries_close(struct loop_entries *entries);

/* Reads all entries of the directory `path`, sorted by name (strcmp(3)). `*list` is one allocation that includes the
 * names; the caller frees it with free(). Flags: LOOP_FS_WITH_STAT. Resumes with the number of entries;
 * -ENOTDIR; or an error. */
LOOP_API loop_job loop_fs_list(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                               struct loop_entry **list, loop_fn *fn, void *arg);

/* ---- watching ---- */

enum loop_watch_kind {
    LOOP_WATCH_BEGUN,      /* the first event, once: no later change is missed */
    LOOP_WATCH_CREATED,    /* a name was created */
    LOOP_WATCH_WRITTEN,    /* a file was written or truncated */
    LOOP_WATCH_FINISHED,   /* a file that was open for writing was closed */
    LOOP_WATCH_CHANGED,    /* attributes have changed: permissions, owner, times, links */
    LOOP_WATCH_MOVED_FROM, /* a name was moved away; see `cookie` */
    LOOP_WATCH_MOVED_TO,   /* a name was moved here */
    LOOP_WATCH_DELETED,
    LOOP_WATCH_OVERFLOW /* events of any watch of the loop were lost, but no end: read the directory again */
};

struct loop_watch_event {
    enum loop_watch_kind kind;
    const char *name; /* name in the directory; "" for the directory itself, or for a watched file */
    /* the same in a MOVED_FROM and its MOVED_TO, which are adjacent unless another event comes between */
    uint32_t cookie;
    bool is_directory;
};

/* The continuation of a watch. For each event `result` is 1, and `event` is valid for the duration of the call. At the
 * end, once, `event` is NULL: `result` is 0 when the watched file was deleted or unmounted, or an error. */
typedef void loop_watch_fn(void *arg, int64_t result, const struct loop_watch_event *event);

/* Watches a directory and the names in it, or a single file, until it is cancelled: inotify(7), with its limits (a
 * network file system does not report changes by other machines). A watched directory is tied to itself, not to its
 * name: the watch follows when it is moved. A deleted file that a process holds open is not reported as deleted until
 * it is closed. In a confined directory this needs /proc, and so does the end of a watch whose file goes while events
 * are lost.
 *
 * All watches of a loop share one inotify instance, which is created with the first and closed with the last. The same
 * directory may be watched several times; each watch has its own events and its own end. While a watch is paused
 * (loop_pause) its events are dropped, because all watches share one queue. If there were any, LOOP_WATCH_OVERFLOW is
 * the first event after loop_resume, or follows a LOOP_WATCH_BEGUN that was due. The end is reported also while it is
 * paused.
 *
 * Ends with 0 when the watched file is gone; -ENOSPC at the user's limit of watches (fs.inotify.max_user_watches);
 * -EMFILE at the user's limit of instances (fs.inotify.max_user_instances) for the first watch of a loop, or at the
 * process's limit of descriptors, of which one is needed until the watch has begun; -ECANCELED; or an error. The other
 * watches of the loop go on. Returns job 0 for NULL `fn`. */
LOOP_API loop_job loop_fs_watch(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_watch_fn *fn,
                                void *arg);

/* ---- open files ----
 *
 * `file` is the descriptor of an open file, `flow->fd`. NULL for `scope` is the file's own. Closing the file cancels
 * the jobs in flight. Operations on chunks of the region are in <loop/low_level.h>: loop_op_read_chunk,
 * loop_op_write_chunk and others. */

/* Reads from the file at `offset` into the vectors, preadv(2). Any number of vectors is accepted, also beyond IOV_MAX;
 * they and their memory belong to the job until its continuation is resumed. The position of the file does not change.
 *
 * Resumes with the number of bytes, which is less than asked for only at the end of the file, or when an error or a
 * cancel came after some bytes; -ESPIPE for pipes and sockets; -EINVAL for a negative offset, for lengths that add up
 * to more than INT64_MAX - `offset`, or for unaligned memory with O_DIRECT; or an error. */
LOOP_API loop_job loop_file_pread(struct loop_scope *scope, struct loop_fd *file, const struct iovec *iov, size_t n_iov,
                                  int64_t offset, loop_fn *fn, void *arg);

/* Writes the vectors to the file at `offset`, pwritev(2). The vectors and their memory belong to the job as in
 * loop_file_pread. A file opened with O_APPEND is written at its end, whatever `offset` is.
 *
 * Resumes with the number of bytes, which is less than asked for only when an error or a cancel came after some bytes;
 * or with the errors of loop_file_pread. Without a continuation, a write of fewer bytes fails the scope with the
 * error. */
LOOP_API loop_job loop_file_pwrite(struct loop_scope *scope, struct loop_fd *file, const struct iovec *iov,
                                   size_t n_iov, int64_t offset, loop_fn *fn, void *arg);

/* Sets the position of a file, lseek(2), inside the call. `whence` is SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or
 * SEEK_HOLE. Do not call it while a read or write at the position is in flight. Returns the new position; -EINVAL;
 * -ESPIPE for pipes and sockets; -ENXIO for SEEK_DATA and SEEK_HOLE beyond the end; -EOVERFLOW; -EBADF when the file is
 * closed.
 *
 * Unread bytes (<loop/fd.h>), such as those that a reader leaves, count as not read: the position is that many bytes
 * before the kernel's. They are dropped, because the next read is at the new position. SEEK_CUR with an offset of 0
 * only returns the position. A write at the position does not account for unread bytes: after a reader, seek before
 * writing. */
LOOP_API int64_t loop_file_seek(struct loop_fd *file, int64_t offset, int whence);

/* Reads the attributes of an open file into `*stat`, fstat(2). Resumes with 0 or an error. */
LOOP_API loop_job loop_file_stat(struct loop_scope *scope, struct loop_fd *file, struct loop_fs_status *stat,
                                 loop_fn *fn, void *arg);

/* Sets the size of an open file, ftruncate(2). Resumes with 0; -EINVAL for a file that is not open for writing, or is
 * no regular file; -EFBIG; or an error. */
LOOP_API loop_job loop_file_truncate(struct loop_scope *scope, struct loop_fd *file, uint64_t size_bytes, loop_fn *fn,
                                     void *arg);

/* Allocates or frees space of an open file, fallocate(2). `mode` is 0, or flags of <linux/falloc.h>:
 * FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, … Resumes with 0; -EOPNOTSUPP when the file system does not support it;
 * -EFBIG; -EINVAL for `len` 0; -ENOSPC; or an error. */
LOOP_API loop_job loop_file_allocate(struct loop_scope *scope, struct loop_fd *file, int mode, uint64_t offset,
                                     uint64_t len, loop_fn *fn, void *arg);

/* Syncs an open file to the disk: fsync(2), or fdatasync(2) with LOOP_FS_DATA_ONLY. Does not wait for writes in flight.
 * Resumes with 0; -EIO; -EINVAL for a file that cannot be synced; or an error. */
LOOP_API loop_job loop_file_sync(struct loop_scope *scope, struct loop_fd *file, unsigned flags, loop_fn *fn,
                                 void *arg);

/* Sets the permissions of an open file, fchmod(2). Resumes with 0; -EINVAL for other bits than 07777 in `mode`; -EPERM;
 * or an error. */
LOOP_API loop_job loop_file_chmod(struct loop_scope *scope, struct loop_fd *file, unsigned mode, loop_fn *fn,
                                  void *arg);

/* Sets the owner and the group of an open file, fchown(2). (uid_t)-1 and (gid_t)-1 keep the current ones. Resumes with
 * 0; -EPERM; or an error. */
LOOP_API loop_job loop_file_chown(struct loop_scope *scope, struct loop_fd *file, uid_t uid, gid_t gid, loop_fn *fn,
                                  void *arg);

/* Sets the times of access and of modification of an open file, futimens(3), as loop_fs_set_times does for a path: NULL
 * keeps the current time, UTIME_NOW is the current time. Resumes with 0; -EINVAL when `tv_nsec` is no part of a second;
 * -EPERM; or an error. */
LOOP_API loop_job loop_file_set_times(struct loop_scope *scope, struct loop_fd *file, const struct timespec *accessed,
                                      const struct timespec *modified, loop_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
