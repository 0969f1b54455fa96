/* SPDX-License-Identifier: ISC
 *
 * Attributes of files, read and changed by path and by descriptor. A path is first resolved beneath its directory
 * (O_PATH); the call is then made on the descriptor.
 */
#include <fs/attributes.h>
#include <fs/request.h>
#include <fs/walk.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The text of a descriptor's link in /proc, for calls that accept no descriptor, or only in newer kernels. */
struct link_text {
    char path[32];
};

static struct link_text link_of(int number)
{
    struct link_text text;

    snprintf(text.path, sizeof text.path, "/proc/self/fd/%d", number);
    return text;
}

/* Returns whether an older kernel or a filter may have refused the call itself. */
static bool may_be_unknown(int error)
{
    return error == -ENOSYS || error == -EINVAL || error == -EPERM;
}

/* Returns the result of a call that was made again by a link in /proc; without /proc that of the first one. */
static int of_both(int first, int64_t by_link)
{
    return by_link == -ENOENT ? first : (int)by_link;
}

/* Runs `act` on what the request's path or file names. Returns its result or -errno. */
static int64_t act_on_found(const struct loop_fs_request *request,
                            int64_t (*act)(const struct loop_fs_request *request, int number))
{
    if (request->file) {
        return act(request, request->at.number);
    }
    int number = loop_fs_find(request->at, request->path, request->follow);
    if (number < 0) {
        return number;
    }
    int64_t result = act(request, number);
    loop_kernel_close(number);
    return result;
}

/* ---- stat ---- */

enum loop_kind loop_fs_kind_of(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: return LOOP_KIND_REGULAR;
    case S_IFDIR: return LOOP_KIND_DIRECTORY;
    case S_IFLNK: return LOOP_KIND_SYMLINK;
    case S_IFIFO: return LOOP_KIND_FIFO;
    case S_IFSOCK: return LOOP_KIND_SOCKET;
    case S_IFCHR: return LOOP_KIND_CHARACTER;
    case S_IFBLK: return LOOP_KIND_BLOCK;
    default: return LOOP_KIND_NONE;
    }
}

static struct timespec to_time(const struct statx_timestamp *time)
{
    return (struct timespec){.tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec};
}

static uint64_t to_device(uint32_t major, uint32_t minor)
{
    return (uint64_t)major << 32 | minor;
}

static void translate(const struct statx *from, struct loop_fs_status *stat)
{
    *stat = (struct loop_fs_status){
        .kind = loop_fs_kind_of(from->stx_mode),
        .mode = from->stx_mode & 07777u,
        .size_bytes = from->stx_size,
        .used_bytes = from->stx_blocks * 512,
        .device = to_device(from->stx_dev_major, from->stx_dev_minor),
        .inode = from->stx_ino,
        .n_links = from->stx_nlink,
        .uid = from->stx_uid,
        .gid = from->stx_gid,
        .accessed = to_time(&from->stx_atime),
        .modified = to_time(&from->stx_mtime),
        .changed = to_time(&from->stx_ctime),
        .created = from->stx_mask & STATX_BTIME ? to_time(&from->stx_btime) : (struct timespec){.tv_sec = 0},
        .device_number = to_device(from->stx_rdev_major, from->stx_rdev_minor),
        .block_bytes = from->stx_blksize,
    };
}

int loop_fs_stat_name(int dir, const char *name, struct loop_fs_status *stat)
{
    struct statx answer;
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);

    if (loop_kernel_statx(dir, name, flags, STATX_BASIC_STATS | STATX_BTIME, &answer) < 0) {
        return -errno;
    }
    translate(&answer, stat);
    return 0;
}

/* Reads the status without resolving: of a file, or of a path that is a single name. Returns false when the path has to
 * be resolved, also because it names a link that is to be followed. */
static bool stat_at_once(struct loop_fs_request *request, int64_t *result)
{
    if (request->file) {
        *result = loop_fs_stat_name(request->at.number, "", &request->stat);
        return true;
    }
    if (request->at.only_cached || !*request->path || strchr(request->path, '/') || strcmp(request->path, "..") == 0 ||
        loop_fs_is_itself(request->path)) {
        return false;
    }
    *result = loop_fs_stat_name(request->at.number, request->path, &request->stat);
    return *result < 0 || !request->follow || request->stat.kind != LOOP_KIND_SYMLINK;
}

static int64_t run_stat(struct loop_fs_request *request)
{
    int64_t result;

    if (stat_at_once(request, &result)) {
        return result;
    }
    int number = loop_fs_find(request->at, request->path, request->follow);
    if (number < 0) {
        return number;
    }
    result = loop_fs_stat_name(number, "", &request->stat);
    loop_kernel_close(number);
    return result;
}

static int64_t deliver_stat(struct loop_fs_request *request, int64_t result)
{
    if (result >= 0) {
        *(struct loop_fs_status *)request->out = request->stat;
    }
    return result;
}

loop_job loop_fs_stat(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                      struct loop_fs_status *stat, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_stat, .tries_cache = true,
                                                   .deliver = deliver_stat,
                                                   .error = stat ? loop_fs_check_flags(flags, LOOP_FS_FOLLOW) : -EINVAL,
                                                   .follow = flags & LOOP_FS_FOLLOW, .out = stat});
}

loop_job loop_file_stat(struct loop_scope *scope, struct loop_fd *file, struct loop_fs_status *stat, loop_fn *fn,
                        void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_FILE, .run = run_stat, .deliver = deliver_stat,
                                                   .error = stat && file ? 0 : -EINVAL, .out = stat});
}

static int64_t run_kind(struct loop_fs_request *request)
{
    int64_t result = run_stat(request);

    if (result == -ENOENT || result == -ENOTDIR) {
        return LOOP_KIND_NONE;
    }
    return result < 0 ? result : (int64_t)request->stat.kind;
}

loop_job loop_fs_kind(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags, loop_fn *fn,
                      void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_kind, .tries_cache = true,
                                                   .error = loop_fs_check_flags(flags, LOOP_FS_FOLLOW),
                                                   .follow = flags & LOOP_FS_FOLLOW});
}

/* ---- access, space, links and paths ---- */

static int64_t access_number(const struct loop_fs_request *request, int number)
{
    int result =
        (int)loop_fs_outcome(loop_kernel_faccessat2(number, "", (int)request->mode, AT_EACCESS | AT_EMPTY_PATH));

    if (may_be_unknown(result)) {
        result = of_both(result, loop_fs_outcome(loop_kernel_faccessat(AT_FDCWD, link_of(number).path,
                                                                       (int)request->mode, AT_EACCESS)));
    }
    return result;
}

static int64_t run_access(struct loop_fs_request *request)
{
    return act_on_found(request, access_number);
}

loop_job loop_fs_access(struct loop_scope *scope, struct loop_dir *dir, const char *path, int mode, loop_fn *fn,
                        void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_access,
                                                   .error = mode & ~(R_OK | W_OK | X_OK) ? -EINVAL : 0, .follow = true,
                                                   .mode = (unsigned)mode});
}

static int64_t run_statfs(struct loop_fs_request *request)
{
    struct statfs fs;
    int number = loop_fs_find(request->at, request->path, true);

    if (number < 0) {
        return number;
    }
    int64_t result = loop_fs_outcome(loop_kernel_fstatfs(number, &fs));
    loop_kernel_close(number);
    if (result == 0) {
        uint64_t unit = (uint64_t)(fs.f_frsize ? fs.f_frsize : fs.f_bsize);
        request->made.space = (struct loop_fs_space){
            .total_bytes = fs.f_blocks * unit,
            .free_bytes = fs.f_bfree * unit,
            .avail_bytes = fs.f_bavail * unit,
            .total_files = fs.f_files,
            .free_files = fs.f_ffree,
            .type = (uint64_t)fs.f_type,
            .block_bytes = (size_t)fs.f_bsize,
            .name_max = (size_t)fs.f_namelen,
        };
    }
    return result;
}

static int64_t deliver_space(struct loop_fs_request *request, int64_t result)
{
    if (result >= 0) {
        *(struct loop_fs_space *)request->out = request->made.space;
    }
    return result;
}

loop_job loop_fs_statfs(struct loop_scope *scope, struct loop_dir *dir, const char *path, struct loop_fs_space *space,
                        loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_statfs, .deliver = deliver_space,
                                                   .error = space ? 0 : -EINVAL, .out = space});
}

/* Reads the text of a link, which is the one at `number` itself when `path` is "". Returns its length or -errno. */
static int64_t read_link(struct loop_fs_request *request, int number, const char *path)
{
    char target[PATH_MAX];

    assert(request->makes_memory && !request->made.memory);
    ssize_t len = loop_kernel_readlinkat(number, path, target, sizeof target);

    if (len < 0) {
        return errno == ENOENT && !*path ? -EINVAL : -errno;
    }
    if (len == sizeof target) {
        return -ENAMETOOLONG;
    }
    request->made.memory = loop_kernel_strndup(target, (size_t)len);
    return request->made.memory ? len : -ENOMEM;
}

static int64_t run_read_link(struct loop_fs_request *request)
{
    int number = loop_fs_find(request->at, request->path, false);

    if (number < 0) {
        return number;
    }
    int64_t result = read_link(request, number, "");
    loop_kernel_close(number);
    return result;
}

loop_job loop_fs_read_link(struct loop_scope *scope, struct loop_dir *dir, const char *path, char **target, loop_fn *fn,
                           void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_read_link,
                                                   .deliver = loop_fs_deliver_memory, .makes_memory = true,
                                                   .error = target ? 0 : -EINVAL, .out = target});
}

/* Reads the path of a file from its link in /proc. A file that has been deleted meanwhile is -ENOENT. */
static int64_t find_real(struct loop_fs_request *request)
{
    struct stat status;
    int number = loop_fs_find(request->at, request->path, true);

    if (number < 0) {
        return number;
    }
    int64_t result = loop_kernel_fstat(number, &status) < 0 ? -errno : 0;
    if (result == 0) {
        result = status.st_nlink > 0 ? read_link(request, AT_FDCWD, link_of(number).path) : -ENOENT;
    }
    loop_kernel_close(number);
    return result < 0 ? result : 0;
}

static int64_t run_realpath(struct loop_fs_request *request)
{
    if (!request->at.is_confined) {
        return find_real(request);
    }
    char *real = NULL;
    int64_t result = loop_fs_walk_real(request->at.number, request->path, &real);
    request->made.memory = real;
    return result;
}

loop_job loop_fs_realpath(struct loop_scope *scope, struct loop_dir *dir, const char *path, char **real, loop_fn *fn,
                          void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_realpath,
                                                   .deliver = loop_fs_deliver_memory, .makes_memory = true,
                                                   .error = real ? 0 : -EINVAL, .out = real});
}

/* ---- changing ---- */

/* Changes the mode. Of a symbolic link it is -EOPNOTSUPP: some file systems would change it, but nothing ever uses
 * it. */
static int64_t chmod_number(const struct loop_fs_request *request, int number)
{
    struct stat status;

    if (request->file) {
        return loop_fs_outcome(loop_kernel_fchmod(number, request->mode));
    }
    if (loop_kernel_fstat(number, &status) < 0) {
        return -errno;
    }
    if (S_ISLNK(status.st_mode)) {
        return -EOPNOTSUPP;
    }
    int result = (int)loop_fs_outcome(loop_kernel_fchmodat2(number, "", request->mode, AT_EMPTY_PATH));
    if (may_be_unknown(result)) {
        result = of_both(result, loop_fs_outcome(loop_kernel_chmod(link_of(number).path, request->mode)));
    }
    return result;
}

static int64_t run_chmod(struct loop_fs_request *request)
{
    return act_on_found(request, chmod_number);
}

loop_job loop_fs_chmod(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags, unsigned mode,
                       loop_fn *fn, void *arg)
{
    return loop_fs_start(
        &(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_chmod, .waits = true,
                                  .error = mode & ~07777u ? -EINVAL : loop_fs_check_flags(flags, LOOP_FS_FOLLOW),
                                  .follow = flags & LOOP_FS_FOLLOW, .mode = mode});
}

loop_job loop_file_chmod(struct loop_scope *scope, struct loop_fd *file, unsigned mode, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_FILE, .run = run_chmod, .waits = true,
                                                   .error = !file || mode & ~07777u ? -EINVAL : 0, .mode = mode});
}

static int64_t chown_number(const struct loop_fs_request *request, int number)
{
    return loop_fs_outcome(loop_kernel_fchownat(number, "", request->uid, request->gid, AT_EMPTY_PATH));
}

static int64_t run_chown(struct loop_fs_request *request)
{
    return act_on_found(request, chown_number);
}

loop_job loop_fs_chown(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags, uid_t uid,
                       gid_t gid, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_chown, .waits = true,
                                                   .error = loop_fs_check_flags(flags, LOOP_FS_FOLLOW),
                                                   .follow = flags & LOOP_FS_FOLLOW, .uid = uid, .gid = gid});
}

loop_job loop_file_chown(struct loop_scope *scope, struct loop_fd *file, uid_t uid, gid_t gid, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_FILE, .run = run_chown, .waits = true,
                                                   .error = file ? 0 : -EINVAL, .uid = uid, .gid = gid});
}

static int64_t times_of_number(const struct loop_fs_request *request, int number)
{
    int result = (int)loop_fs_outcome(loop_kernel_utimensat(number, "", request->times, AT_EMPTY_PATH));

    if (may_be_unknown(result)) {
        result =
            of_both(result, loop_fs_outcome(loop_kernel_utimensat(AT_FDCWD, link_of(number).path, request->times, 0)));
    }
    return result;
}

static int64_t run_set_times(struct loop_fs_request *request)
{
    return act_on_found(request, times_of_number);
}

static struct timespec time_or_keep(const struct timespec *time)
{
    return time ? *time : (struct timespec){.tv_nsec = UTIME_OMIT};
}

loop_job loop_fs_set_times(struct loop_scope *scope, struct loop_dir *dir, const char *path, unsigned flags,
                           const struct timespec *accessed, const struct timespec *modified, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){
        LOOP_FS_ON_PATH, .run = run_set_times, .waits = true, .error = loop_fs_check_flags(flags, LOOP_FS_FOLLOW),
        .follow = flags & LOOP_FS_FOLLOW, .times = {time_or_keep(accessed), time_or_keep(modified)}});
}

loop_job loop_file_set_times(struct loop_scope *scope, struct loop_fd *file, const struct timespec *accessed,
                             const struct timespec *modified, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_FILE, .run = run_set_times, .waits = true,
                                                   .error = file ? 0 : -EINVAL,
                                                   .times = {time_or_keep(accessed), time_or_keep(modified)}});
}

/* ---- changing the contents ---- */

/* Runs `act` on the request's file, or on its path after opening it. Returns its result or -errno. */
static int64_t act_on_opened(const struct loop_fs_request *request, int flags,
                             int64_t (*act)(const struct loop_fs_request *request, int number))
{
    if (request->file) {
        return act(request, request->at.number);
    }
    int number = loop_fs_open_plainly(request->at, request->path, flags, 0);
    if (number < 0) {
        return number;
    }
    int64_t result = act(request, number);
    loop_kernel_close(number);
    return result;
}

static int64_t truncate_number(const struct loop_fs_request *request, int number)
{
    return loop_fs_outcome(loop_kernel_ftruncate(number, (off_t)request->len));
}

static int64_t run_truncate(struct loop_fs_request *request)
{
    return act_on_opened(request, O_WRONLY, truncate_number);
}

loop_job loop_fs_truncate(struct loop_scope *scope, struct loop_dir *dir, const char *path, uint64_t size_bytes,
                          loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_truncate, .waits = true,
                                                   .error = size_bytes > INT64_MAX ? -EFBIG : 0, .len = size_bytes});
}

loop_job loop_file_truncate(struct loop_scope *scope, struct loop_fd *file, uint64_t size_bytes, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_FILE, .run = run_truncate, .waits = true,
                                                   .error = !file                    ? -EINVAL
                                                            : size_bytes > INT64_MAX ? -EFBIG
                                                                                     : 0,
                                                   .len = size_bytes});
}

static int64_t run_allocate(struct loop_fs_request *request)
{
    return loop_fs_outcome(
        loop_kernel_fallocate(request->at.number, request->flags, (off_t)request->offset, (off_t)request->len));
}

loop_job loop_file_allocate(struct loop_scope *scope, struct loop_fd *file, int mode, uint64_t offset, uint64_t len,
                            loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_FILE, .run = run_allocate, .waits = true,
                                                   .error = !file                                   ? -EINVAL
                                                            : offset > INT64_MAX || len > INT64_MAX ? -EFBIG
                                                                                                    : 0,
                                                   .flags = mode, .offset = offset, .len = len});
}

/* Synchronises a file, with `data_only` without metadata that reading it does not need. */
static int64_t sync_number(const struct loop_fs_request *request, int number)
{
    return loop_fs_outcome(request->data_only ? loop_kernel_fdatasync(number) : loop_kernel_fsync(number));
}

/* A file that may only be written is opened for writing. */
static int64_t run_sync(struct loop_fs_request *request)
{
    int64_t result = act_on_opened(request, O_RDONLY, sync_number);

    return result == -EACCES ? act_on_opened(request, O_WRONLY, sync_number) : result;
}

loop_job loop_fs_sync(struct loop_scope *scope, struct loop_dir *dir, const char *path, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){LOOP_FS_ON_PATH, .run = run_sync});
}

loop_job loop_file_sync(struct loop_scope *scope, struct loop_fd *file, unsigned flags, loop_fn *fn, void *arg)
{
    return loop_fs_start(&(struct loop_fs_request){
        LOOP_FS_ON_FILE, .run = run_sync, .error = file ? loop_fs_check_flags(flags, LOOP_FS_DATA_ONLY) : -EINVAL,
        .data_only = flags & LOOP_FS_DATA_ONLY});
}
