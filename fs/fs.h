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
 * two steps and end with -ECANCELED: loop_fs_mkdirs, loop_fs_rmtree, loop_fs_copy_file, loop_fs_load, loop_fs_save and
 * loop_fs_list. What they have done stays done, except for temporary files. The continuation is resumed when no thread
 * works for the job any more. So a thread that hangs, for example in a network file system, delays the cancel of a job
 * that changes something. Jobs that only read end LOOP_WORK_GRACE_NS after a cancel in any case, and what the thread
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

/* ---- directories ---- */

/* A directory as a capability: the right to what is beneath it. Belongs to its scope. */
struct loop_dir {
    struct loop_scope *scope;
    struct loop_fd *fd; /* NULL: the current directory, at the time of use */
    bool is_confined;   /* no path escapes it */
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

/* Reads the attributes of `path` into `*stat`. With `follow` those of the file that a symbolic link leads to, stat(2),
 * otherwise those of the link, lstat(2). */
LOOP_API loop_job loop_fs_stat(struct loop_scope *scope, struct loop_dir *dir, const char *path, bool follow,
                               struct loop_fs_status *stat, loop_fn *fn, void *arg);

/* Resumes with the kind of `path`, an enum loop_kind, or an error. LOOP_KIND_NONE when the name does not exist
 * (-ENOENT, -ENOTDIR), which is no error here. `follow` is that of loop_fs_stat. */
LOOP_API loop_job loop_fs_kind(struct loop_scope *scope, struct loop_dir *dir, const char *path, bool follow,
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
 * with 0, also when the directory exists; -EEXIST when another file has the name; -EINVAL for other bits than 07777 in
 * `mode`; or an error. */
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

/* Sets the permissions of `path`, chmod(2). `mode` includes S_ISUID, S_ISGID and S_ISVTX. Resumes with 0; -EOPNOTSUPP
 * for a link that is not followed; -EINVAL for other bits than 07777 in `mode`; -EPERM; or an error. */
LOOP_API loop_job loop_fs_chmod(struct loop_scope *scope, struct loop_dir *dir, const char *path, bool follow,
                                unsigned mode, loop_fn *fn, void *arg);

/* Sets the owner and the group of `path`, chown(2), or with `follow` false lchown(2). (uid_t)-1 and (gid_t)-1 keep the
 * current ones. Resumes with 0; -EPERM; or an error. */
LOOP_API loop_job loop_fs_chown(struct loop_scope *scope, struct loop_dir *dir, const char *path, bool follow,
                                uid_t uid, gid_t gid, loop_fn *fn, void *arg);

/* Sets the times of access and of modification of `path`, utimensat(2). NULL keeps the current time. UTIME_NOW in
 * `tv_nsec` (<sys/stat.h>) is the current time. A time that the file system cannot store becomes the nearest one.
 * Resumes with 0; -EINVAL when `tv_nsec` is no part of a second; -EPERM; or an error. */
LOOP_API loop_job loop_fs_set_times(struct loop_scope *scope, struct loop_dir *dir, const char *path, bool follow,
                                    const struct timespec *accessed, const struct timespec *modified, loop_fn *fn,
                                    void *arg);

/* Sets the size of a file, ftruncate(2). Links are followed. Resumes with 0; -EISDIR; -EINVAL for what is no regular
 * file; -EFBIG; -ETXTBSY; or an error. */
LOOP_API loop_job loop_fs_truncate(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                                   uint64_t size_bytes, loop_fn *fn, void *arg);

/* Syncs the file `path` to the disk, fsync(2). For a directory that syncs its entries: without it a new file can be
 * lost in a crash, although its contents were synced. Links are followed. Resumes with 0; -EIO; -EINVAL for a file that
 * cannot be synced; or an error. */
LOOP_API loop_job loop_fs_sync(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn,
                               void *arg);

/* ---- opening ---- */

enum loop_access { LOOP_ACCESS_READ, LOOP_ACCESS_WRITE, LOOP_ACCESS_READ_WRITE };

enum loop_create {
    LOOP_CREATE_NEVER,       /* -ENOENT when there is none */
    LOOP_CREATE_IF_MISSING,  /* what is there stays */
    LOOP_CREATE_OR_TRUNCATE, /* what is there is emptied */
    LOOP_CREATE_EXCLUSIVE    /* -EEXIST when there is one, also a link that leads nowhere */
};

/* All zero opens for reading. */
struct loop_open_options {
    enum loop_access access LOOP_ZERO;
    enum loop_create create LOOP_ZERO;
    unsigned mode LOOP_ZERO;  /* of what is created, less the umask; 0 stands for 0666 */
    bool append LOOP_ZERO;    /* every write at the end */
    bool tmpfile LOOP_ZERO;   /* `path` is a directory, and the file has no name in it (O_TMPFILE) */
    unsigned flags LOOP_ZERO; /* more of O_DIRECT, O_NOFOLLOW, O_DSYNC, O_NOATIME, …; others of open(2) as well */
    /* More of RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, … of <linux/openat2.h>. RESOLVE_IN_ROOT confines instead of
     * RESOLVE_BENEATH: the directory is "/" to links and to "..". Without openat2(2) all but the first are refused:
     * -ENOSYS, -EPERM */
    uint64_t resolve LOOP_ZERO;
    /* Where to put what loop_file_stat would tell; NULL where it isn't needed */
    struct loop_fs_status *stat LOOP_ZERO;
};

/* Opens a file as a source and a sink: `*flow` belongs to `scope`, `(*flow)->fd` is the file for what is below, and
 * loop_flow_close closes it. Reads and writes of <loop/flow.h> are at the file's position, which they move. A fifo is
 * opened without waiting for the other end (for writing that is -ENXIO where nobody reads), and a socket can't be
 * opened (-ENXIO). `options` may be NULL. */
LOOP_API loop_job loop_fs_open(struct loop_scope *scope, struct loop_dir *dir, const char *path,
                               const struct loop_open_options *options, struct loop_flow **flow, loop_fn *fn,
                               void *arg);

/* ---- whole files ---- */

/* Reads all of a regular file, also one that claims size 0 (/proc): resumes with its length, `*data` is to be freed
 * with free(), and there is a NUL after the end. -EFBIG beyond `limit_bytes` (0: no limit); -EISDIR; -EINVAL for fifos,
 * sockets and devices, which have no end that one could count on. */
LOOP_API loop_job loop_fs_load(struct loop_scope *scope, struct loop_dir *dir, const char *path, size_t limit_bytes,
                               void **data, loop_fn *fn, void *arg);

/* All zero creates the file, or empties the one that is there, and writes. */
struct loop_save_options {
    unsigned mode LOOP_ZERO;  /* as in struct loop_open_options */
    bool exclusive LOOP_ZERO; /* -EEXIST when there is one */
    bool append LOOP_ZERO;    /* what is there stays in front */
    bool sync LOOP_ZERO;      /* on the disk when the job has ended */
    /* All or nothing, also when the machine goes down: written to a temporary file in the same directory, synchronised,
     * given its name, and the directory synchronised. A file that is replaced passes on its permissions with its access
     * control list, and its owner and group where the process may set them; a group that it may not set gets no more
     * than everybody, and set-user-ID and set-group-ID go unless both are the same. Until then only the process's user
     * may read the temporary file. A link is replaced, not followed. Not together with `append`: -EINVAL */
    bool atomic LOOP_ZERO;
};

/* Writes the `len` bytes at `data`, which are the job's until it ends, and resumes with `len`. When that fails or is
 * cancelled, what is there is the beginning of it; with `atomic`, what was there before. `options` may be NULL.
 * One step of an atomic save comes behind the new name, the synchronising of the directory: where that fails the old
 * file is brought back, but which of the two a machine finds that goes down then isn't known; and on a file system
 * that can't exchange two names (RENAME_EXCHANGE of renameat2(2): NFS) the new one stays. */
LOOP_API loop_job loop_fs_save(struct loop_scope *scope, struct loop_dir *dir, const char *path, const void *data,
                               size_t len, const struct loop_save_options *options, loop_fn *fn, void *arg);

struct loop_copy_options {
    bool exclusive LOOP_ZERO;  /* -EEXIST when there is something of the new name; otherwise it is replaced */
    bool keep_times LOOP_ZERO; /* the times of access and of modification */
    bool keep_owner LOOP_ZERO; /* user and group */
    bool sync LOOP_ZERO;       /* on the disk when the job has ended */
};

/* Copies a regular file, its bytes and its permissions, and resumes with its length. The file system is asked to share
 * the blocks, then to copy them itself, and otherwise they are read and written; holes stay holes. The copy has a
 * temporary name in the same directory until it is complete: nobody ever finds half of it. -EINVAL for what is no
 * regular file, -EISDIR. `from` is followed, `to` is not. `options` may be NULL. */
LOOP_API loop_job loop_fs_copy_file(struct loop_scope *scope, struct loop_dir *from_dir, const char *from,
                                    struct loop_dir *to_dir, const char *to, const struct loop_copy_options *options,
                                    loop_fn *fn, void *arg);

/* ---- reading directories ---- */

struct loop_entry {
    const char *name;
    enum loop_kind kind; /* NONE: it was gone before it could be asked */
    uint64_t inode;
    const struct loop_fs_status *stat; /* of the name itself, never followed; NULL where it wasn't asked for, is gone,
                                        or may not be asked: the directory may be read but not searched */
};

/* A directory that is being read, some hundred entries at a time: as much memory for a million as for ten. Whoever
 * wants to pause doesn't ask for the next. */
struct loop_entries {
    struct loop_scope *scope;
    const struct loop_entry *entry; /* the last ones, good until the next are asked for */
    size_t count;
};

/* Opens the directory `path` to read it; `with_stat` asks for the stat of each entry as well, for a small part of what
 * single calls would take. `*entries` belongs to `scope`. */
LOOP_API loop_job loop_fs_read_dir(struct loop_scope *scope, struct loop_dir *dir, const char *path, bool with_stat,
                                   struct loop_entries **entries, loop_fn *fn, void *arg);

/* Reads the next entries, in the order of the file system, without "." and "..": resumes with how many there are, 0 at
 * the end. A name that others add or remove meanwhile may be seen or not. A directory that is deleted meanwhile is at
 * its end. One at a time: -EBUSY. */
LOOP_API loop_job loop_entries_next(struct loop_entries *entries, loop_fn *fn, void *arg);

/* Closes it before its scope ends. Dead from now on, the entries too, but a job that is under way is resumed. NULL is
 * harmless. */
LOOP_API void loop_entries_close(struct loop_entries *entries);

/* All entries at once, sorted by name (as strcmp does); resumes with how many. `*list` is one piece of memory, names
 * included, to be freed with free(). */
LOOP_API loop_job loop_fs_list(struct loop_scope *scope, struct loop_dir *dir, const char *path, bool with_stat,
                               struct loop_entry **list, loop_fn *fn, void *arg);

/* ---- watching ---- */

enum loop_watch_kind {
    LOOP_WATCH_BEGUN,      /* first of all, once: from now on nothing is missed */
    LOOP_WATCH_CREATED,    /* a name has appeared: created, linked */
    LOOP_WATCH_WRITTEN,    /* a file's bytes have changed: written, truncated */
    LOOP_WATCH_FINISHED,   /* somebody who could write to it has closed it */
    LOOP_WATCH_CHANGED,    /* something else about it has: permissions, owner, times, links */
    LOOP_WATCH_MOVED_FROM, /* a name has gone; where it is now inside what is watched has the same cookie */
    LOOP_WATCH_MOVED_TO,   /* a name has come */
    LOOP_WATCH_DELETED,
    LOOP_WATCH_OVERFLOW /* events have been lost, of any of the loop's watches: look at the directory itself */
};

struct loop_watch_event {
    enum loop_watch_kind kind;
    const char *name; /* in the directory; "" is the directory itself, or the file when that is watched */
    uint32_t cookie;  /* ties a MOVED_FROM to its MOVED_TO; both come next to each other when nothing comes between */
    bool is_directory;
};

/* While events come: `result` is 1 and `event` is good for the duration of the call. At the end, once: `event` is NULL
 * and `result` is 0 when what was watched has been deleted or unmounted, or -errno. */
typedef void loop_watch_fn(void *arg, int64_t result, const struct loop_watch_event *event);

/* Watches the directory `path` and the names right in it, or a single file, until cancelled: inotify(7), with its
 * limits (network file systems tell nothing of other machines). A directory is tied to itself, not to its name: when it
 * is moved the watch goes with it; and while somebody holds it open it is not gone, though deleted. Needs /proc, for a
 * confined directory.
 * All watches of a loop share one inotify instance, which is made with the first and closed with the last. Any number
 * of them may watch the same directory, each with events and an end of its own.
 * Ends with -ENOSPC at the user's limit of watches (fs.inotify.max_user_watches); with -EMFILE at the limit of
 * instances (fs.inotify.max_user_instances) when it is the loop's first, or at the process's limit of descriptors, of
 * which one is needed until it has begun. The loop's other watches go on. */
LOOP_API loop_job loop_fs_watch(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_watch_fn *fn,
                                void *arg);

/* ---- files ----
 *
 * `file` is the descriptor of an open file, `flow->fd`. NULL for `scope` is the file's own. Closing the file cancels
 * what is in flight. Single operations on chunks of the region (fixed buffers): loop_op_read_chunk, loop_op_write_chunk
 * and others in <loop/low_level.h>. */

/* Fills the vectors from what is at `offset` (not negative), or as many as there are: resumes with the count of bytes,
 * less than asked only at the end of the file, or when an error or a cancel came in between. The position stays where
 * it is. Any number of vectors, also beyond IOV_MAX; they are the job's until it ends. -ESPIPE for pipes and sockets.
 */
LOOP_API loop_job loop_file_pread(struct loop_scope *scope, struct loop_fd *file, const struct iovec *iov, size_t n_iov,
                                  int64_t offset, loop_fn *fn, void *arg);

/* Writes all of the vectors at `offset`: resumes with how many bytes went out, less than asked only when an error or a
 * cancel came in between. Without a continuation anything less fails the scope with the error. A file opened for
 * appending writes at its end whatever `offset` says. */
LOOP_API loop_job loop_file_pwrite(struct loop_scope *scope, struct loop_fd *file, const struct iovec *iov,
                                   size_t n_iov, int64_t offset, loop_fn *fn, void *arg);

/* Moves the position, at once: `whence` is SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or SEEK_HOLE. The new position, or
 * -EINVAL, -ESPIPE, -ENXIO, -EBADF. Not while a read or write at the position is in flight.
 * Unread bytes (<loop/fd.h>), which a reader leaves, count as not read: the position is that many bytes before the
 * kernel's. They are dropped, since what is read next is read at the new position; but SEEK_CUR with an offset of 0
 * only returns the position. A write at the position does not look at them: after a reader, seek to where it is to go.
 */
LOOP_API int64_t loop_file_seek(struct loop_fd *file, int64_t offset, int whence);

LOOP_API loop_job loop_file_stat(struct loop_scope *scope, struct loop_fd *file, struct loop_fs_status *stat,
                                 loop_fn *fn, void *arg);
LOOP_API loop_job loop_file_truncate(struct loop_scope *scope, struct loop_fd *file, uint64_t size_bytes, loop_fn *fn,
                                     void *arg);

/* fallocate(2): `mode` is 0 or of FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, … */
LOOP_API loop_job loop_file_allocate(struct loop_scope *scope, struct loop_fd *file, int mode, uint64_t offset,
                                     uint64_t len, loop_fn *fn, void *arg);

/* fsync(2), or fdatasync(2). Doesn't wait for writes that are in flight. */
LOOP_API loop_job loop_file_sync(struct loop_scope *scope, struct loop_fd *file, bool data_only, loop_fn *fn,
                                 void *arg);

LOOP_API loop_job loop_file_chmod(struct loop_scope *scope, struct loop_fd *file, unsigned mode, loop_fn *fn,
                                  void *arg);
LOOP_API loop_job loop_file_chown(struct loop_scope *scope, struct loop_fd *file, uid_t uid, gid_t gid, loop_fn *fn,
                                  void *arg);

/* As loop_fs_set_times, of an open file. */
LOOP_API loop_job loop_file_set_times(struct loop_scope *scope, struct loop_fd *file, const struct timespec *accessed,
                                      const struct timespec *modified, loop_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
