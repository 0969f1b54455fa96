/* SPDX-License-Identifier: ISC
 *
 * Binding, and the files of Unix sockets that are bound.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>
#include <loop/kernel/process.h>
#include <loop/kernel/socket.h>
#include <net/address.h>
#include <net/local.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* How often a lock may turn out to be on a file that has just been removed. */
#define LOCK_TRIES 100

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

/* ---- the path of a Unix socket ---- */

/* Copies the path with a NUL at its end, which an address may lack. Returns false when the address has no path. */
static bool path_of(const struct loop_address *address, char path[LOOP_NET_PATH_SIZE])
{
    if (address->u.any.sa_family != AF_UNIX || address->length <= PATH_OFFSET) {
        return false;
    }
    size_t len = strnlen(address->u.local.sun_path, address->length - PATH_OFFSET);
    memcpy(path, address->u.local.sun_path, len);
    path[len] = '\0';
    return len > 0;
}

/* ---- the lock ---- */

/* Returns whether the lock file still has its name: one that its owner has removed guards nothing. */
static bool is_still_there(const struct loop_net_lock *lock)
{
    struct stat opened, found;

    return loop_kernel_fstat(lock->number, &opened) == 0 && loop_kernel_lstat(lock->path, &found) == 0 &&
           opened.st_dev == found.st_dev && opened.st_ino == found.st_ino;
}

static int try_lock(struct loop_net_lock *lock)
{
    lock->number = loop_kernel_open(lock->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock->number < 0) {
        return -errno;
    }
    if (loop_kernel_flock(lock->number, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    int error = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
    loop_kernel_close(lock->number);
    lock->number = -1;
    return error;
}

static int lock_path(struct loop_net_lock *lock)
{
    for (int n = 0; n < LOCK_TRIES; n++) {
        int error = try_lock(lock);
        assert(error < 0 ? lock->number == -1 : lock->number >= 0);
        if (error < 0 || is_still_there(lock)) {
            return error;
        }
        loop_kernel_close(lock->number);
        lock->number = -1;
    }
    return -EADDRINUSE;
}

int loop_net_lock(const struct loop_address *address, struct loop_net_lock *lock)
{
    char path[LOOP_NET_PATH_SIZE];

    lock->number = -1;
    if (!path_of(address, path)) {
        return 0;
    }
    snprintf(lock->path, sizeof lock->path, "%s.lock", path);
    return lock_path(lock);
}

void loop_net_unlock(struct loop_net_lock *lock)
{
    if (lock->number >= 0) {
        (void)loop_kernel_unlink(lock->path);
        loop_kernel_close(lock->number);
        lock->number = -1;
    }
}

bool loop_net_is_locked(const struct loop_address *address)
{
    struct loop_net_lock lock;
    char path[LOOP_NET_PATH_SIZE];

    if (!path_of(address, path)) {
        return false;
    }
    snprintf(lock.path, sizeof lock.path, "%s.lock", path);
    lock.number = loop_kernel_open(lock.path, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
    if (lock.number < 0) {
        return false;
    }
    bool is_locked = loop_kernel_flock(lock.number, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    loop_kernel_close(lock.number);
    return is_locked;
}

/* ---- its identity ---- */

static bool is_same_socket(const char *path, dev_t device, ino_t inode)
{
    struct stat now;

    return loop_kernel_lstat(path, &now) == 0 && S_ISSOCK(now.st_mode) && now.st_dev == device && now.st_ino == inode;
}

/* Where another program has the lock, or none can be had, it is removed without. */
void loop_net_remove_file(struct loop_net_file *file)
{
    struct loop_net_lock lock = {.number = -1};

    if (!file->path) {
        return;
    }
    if ((size_t)snprintf(lock.path, sizeof lock.path, "%s.lock", file->path) < sizeof lock.path) {
        (void)lock_path(&lock);
    }
    if (is_same_socket(file->path, file->device, file->inode)) {
        (void)loop_kernel_unlink(file->path);
    }
    loop_net_unlock(&lock);
    file->path = NULL;
}

/* Returns whether a connect is refused: no program has this socket open any more. A listener that is too busy answers
 * EAGAIN. */
static bool is_deserted(const struct loop_address *address, int type)
{
    int number = loop_kernel_socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (number < 0) {
        return false;
    }
    bool is_refused = loop_kernel_connect(number, &address->u.any, address->length) < 0 && errno == ECONNREFUSED;
    loop_kernel_close(number);
    return is_refused;
}

/* Removes a socket file that a program has left behind. Any other file stays, and so does a socket that is in use.
 * Returns whether it has removed one. */
static bool remove_deserted(const struct loop_address *address, int type)
{
    char path[LOOP_NET_PATH_SIZE];
    struct stat found;

    return path_of(address, path) && loop_kernel_lstat(path, &found) == 0 && S_ISSOCK(found.st_mode) &&
           is_deserted(address, type) && is_same_socket(path, found.st_dev, found.st_ino) &&
           loop_kernel_unlink(path) == 0;
}

/* Sets the permissions of the very file that was made, not those of a path, where another file may be by now.
 * fchmod(2) does not accept an O_PATH descriptor, and fchmodat2(2) needs Linux 6.6. */
static int set_mode(const struct loop_net_file *file, unsigned mode)
{
    char path[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
    struct stat opened;

    assert(file->path && mode != 0);
    int number = loop_kernel_open(file->path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);

    if (number < 0) {
        return -errno;
    }
    int error = loop_kernel_fstat(number, &opened) < 0 ? -errno : 0;
    if (error == 0 && (opened.st_dev != file->device || opened.st_ino != file->inode)) {
        error = -EADDRINUSE;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    if (error == 0 && loop_kernel_chmod(path, mode) < 0) {
        error = -errno;
    }
    loop_kernel_close(number);
    return error;
}

/* Records the file that bind has just made, and gives it the permissions that were asked for. bind has masked those of
 * the socket with the umask, so that it never allowed more. A socket of another user is another program's, which has
 * replaced the file meanwhile. */
int loop_net_note_file(const struct loop_address *address, unsigned mode, struct loop_net_file *file)
{
    struct stat made;

    assert(file->path && mode <= 0777);
    if (!path_of(address, file->path)) {
        file->path = NULL;
        return 0;
    }
    int error = loop_kernel_lstat(file->path, &made) < 0 ? -errno : 0;
    if (error == 0 && (!S_ISSOCK(made.st_mode) || made.st_uid != loop_kernel_geteuid())) {
        error = -EADDRINUSE;
    }
    if (error < 0) {
        file->path = NULL;
        return error;
    }
    file->device = made.st_dev;
    file->inode = made.st_ino;
    return mode == 0 || (made.st_mode & 0777) == mode ? 0 : set_mode(file, mode);
}

int loop_net_copy_file(const struct loop_net_file *file, struct loop_net_file *copy)
{
    size_t size = file->path ? strlen(file->path) + 1 : 0;

    *copy = *file;
    copy->path = size > 0 ? loop_kernel_malloc(size) : NULL;
    if (copy->path) {
        memcpy(copy->path, file->path, size);
    }
    return size > 0 && !copy->path ? -ENOMEM : 0;
}

int loop_net_find_file(int number, struct loop_net_file *file)
{
    char path[LOOP_NET_PATH_SIZE];
    struct loop_net_file found = {.path = path};
    struct loop_address address;

    if (loop_net_local_address(number, &address) < 0 || loop_net_note_file(&address, 0, &found) < 0) {
        found.path = NULL;
    }
    return loop_net_copy_file(&found, file);
}

void loop_net_end_file(struct loop_net_file *file)
{
    char *path = file->path;

    loop_net_remove_file(file);
    loop_kernel_free(path);
}

void loop_net_disown_file(struct loop_net_file *file)
{
    loop_kernel_free(file->path);
    file->path = NULL;
}

/* Makes a path absolute: the program may change its directory before the file is removed. */
char *loop_net_absolute_path(struct loop_scope *scope, const char *path)
{
    char directory[PATH_MAX];

    if (path[0] == '/' || !loop_kernel_getcwd(directory, sizeof directory)) {
        directory[0] = '\0';
    }
    size_t size = strlen(directory) + strlen(path) + sizeof "/";
    char *copy = loop_scope_alloc(scope, size);
    if (copy) {
        snprintf(copy, size, "%s%s%s", directory, directory[0] ? "/" : "", path);
    }
    return copy;
}

/* ---- binding ---- */

int loop_net_bind(int number, int type, const struct loop_address *address, bool reuse)
{
    assert(number >= 0 && address->length > 0);
    if (loop_kernel_bind(number, &address->u.any, address->length) == 0) {
        return 0;
    }
    int error = -errno;
    if (error != -EADDRINUSE || !reuse || !remove_deserted(address, type)) {
        return error;
    }
    return loop_kernel_bind(number, &address->u.any, address->length) < 0 ? -errno : 0;
}

/* On a machine without IPv6 every address of both families is every address of IPv4. */
bool loop_net_fall_back_to_ipv4(struct loop_address *address)
{
    if (address->u.any.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&address->u.ipv6.sin6_addr)) {
        return false;
    }
    struct sockaddr_in everywhere = {.sin_family = AF_INET, .sin_port = address->u.ipv6.sin6_port};
    address->u.ipv4 = everywhere;
    address->length = sizeof everywhere;
    return true;
}
