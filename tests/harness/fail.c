/* SPDX-License-Identifier: ISC
 *
 * The calls by which the library reaches the system and the allocator, each able to fail; see fail.h. The build renames
 * what each CALL… below names in a copy of the library, NAME to fail_NAME: tests/CMakeLists.txt reads these lines.
 */
#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if NORIA_URING
#include <liburing.h>
#endif

enum { MOST_FAULTS = 16, MOST_CALLS = 160 };

struct call {
    const char *name;
    unsigned uses;
};

struct fault {
    const struct call *call;
    int error;
    unsigned nth, every; /* every 0: once */
};

static struct call *calls[MOST_CALLS];
static size_t n_calls;
static struct fault faults[MOST_FAULTS];
static unsigned n_faults, n_failed;

static void add_call(struct call *call)
{
    if (n_calls == MOST_CALLS) {
        abort();
    }
    calls[n_calls++] = call;
}

static struct call *find_call(const char *name, size_t len)
{
    for (size_t i = 0; i < n_calls; i++) {
        if (strlen(calls[i]->name) == len && memcmp(calls[i]->name, name, len) == 0) {
            return calls[i];
        }
    }
    return NULL;
}

/* ---- which are to fail ---- */

/* The errno of that name or number, 0 when it is none. */
static int read_error(const char *word, size_t len)
{
    char text[32] = "", *end;

    if (len < sizeof text) {
        memcpy(text, word, len);
    }
    long number = strtol(text, &end, 10);
    if (*text && !*end) {
        return number > 0 && number < 4096 ? (int)number : 0;
    }
    for (int error = 1; error < 200; error++) {
        const char *name = strerrorname_np(error);
        if (name && strcmp(name, text) == 0) {
            return error;
        }
    }
    return 0;
}

/* One fault; the end of it in the text, or NULL. */
static const char *read_fault(const char *text, struct fault *fault)
{
    const char *error = strchr(text, ':'), *nth = error ? strchr(error + 1, ':') : NULL;
    char *end;

    if (!nth) {
        return NULL;
    }
    fault->call = find_call(text, (size_t)(error - text));
    fault->error = read_error(error + 1, (size_t)(nth - error - 1));
    fault->nth = (unsigned)strtoul(nth + 1, &end, 10);
    fault->every = *end == '+' ? (unsigned)strtoul(end + 1, &end, 10) : 0;
    return fault->call && fault->error && fault->nth ? end : NULL;
}

static bool read_faults(const char *text)
{
    while (text && *text && n_faults < MOST_FAULTS) {
        text = read_fault(text, &faults[n_faults]);
        n_faults += text != NULL;
        if (text && *text == ',') {
            text++;
        } else if (!text || *text) {
            return false;
        }
    }
    return !text || !*text;
}

bool fail_set(const char *what)
{
    for (size_t i = 0; i < n_calls; i++) {
        __atomic_store_n(&calls[i]->uses, 0, __ATOMIC_RELAXED);
    }
    n_faults = 0;
    __atomic_store_n(&n_failed, 0, __ATOMIC_RELAXED);
    return read_faults(what);
}

/* A word that isn't known stops the program: a test that believes that something fails must have it so. */
__attribute__((constructor)) static void read_environment(void)
{
    const char *what = getenv("NORIA_FAIL");

    if (what && !fail_set(what)) {
        fprintf(stderr, "noria: NORIA_FAIL: \"%s\" is not CALL:ERRNO:NTH[+EVERY]\n", what);
        abort();
    }
}

size_t fail_count(void)
{
    return n_calls;
}

const char *fail_name(size_t index)
{
    return calls[index]->name;
}

unsigned fail_uses(size_t index)
{
    return __atomic_load_n(&calls[index]->uses, __ATOMIC_RELAXED);
}

unsigned fail_failed(void)
{
    return __atomic_load_n(&n_failed, __ATOMIC_RELAXED);
}

/* Counts a use; the error that it is to fail with, or 0. */
static int use(struct call *call)
{
    unsigned number = __atomic_add_fetch(&call->uses, 1, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < n_faults; i++) {
        const struct fault *fault = &faults[i];
        bool is_it =
            number == fault->nth || (fault->every && number > fault->nth && (number - fault->nth) % fault->every == 0);
        if (fault->call == call && is_it) {
            __atomic_add_fetch(&n_failed, 1, __ATOMIC_RELAXED);
            return fault->error;
        }
    }
    return 0;
}

/* As use, and sets errno. */
static bool fails(struct call *call)
{
    int error = use(call);

    if (error) {
        errno = error;
    }
    return error != 0;
}

/* ---- the calls ---- */

#define ADD(name)                                                                                                      \
    static struct call name##_call = {#name, 0};                                                                       \
    __attribute__((constructor(200))) static void name##_add(void)                                                     \
    {                                                                                                                  \
        add_call(&name##_call);                                                                                        \
    }

/* One that answers `failure` with errno. Where it doesn't fail it returns as the call itself, so that whoever looks for
 * the caller finds the library. */
#define CALL_OR(failure, type, name, parameters, arguments)                                                            \
    ADD(name)                                                                                                          \
    type fail_##name parameters;                                                                                       \
    type fail_##name parameters                                                                                        \
    {                                                                                                                  \
        return fails(&name##_call) ? failure : name arguments;                                                         \
    }

#define CALL(type, name, parameters, arguments) CALL_OR(-1, type, name, parameters, arguments)
#define CALL_POINTER(type, name, parameters, arguments) CALL_OR(NULL, type, name, parameters, arguments)
#define CALL_MAP(type, name, parameters, arguments) CALL_OR(MAP_FAILED, type, name, parameters, arguments)

/* One that answers the error itself, `sign` times. */
#define CALL_CODE(sign, name, parameters, arguments)                                                                   \
    ADD(name)                                                                                                          \
    int fail_##name parameters;                                                                                        \
    int fail_##name parameters                                                                                         \
    {                                                                                                                  \
        int error = use(&name##_call);                                                                                 \
        return error ? sign error : name arguments;                                                                    \
    }

/* One with a last argument that is there or not. */
#define CALL_REST(name, parameters, last, arguments)                                                                   \
    ADD(name)                                                                                                          \
    int fail_##name parameters;                                                                                        \
    int fail_##name parameters                                                                                         \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, last);                                                                                          \
        unsigned long more = va_arg(rest, unsigned long);                                                              \
        va_end(rest);                                                                                                  \
        return fails(&name##_call) ? -1 : name arguments;                                                              \
    }

/* clang-format off */
CALL_POINTER(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
CALL_POINTER(void *, calloc, (size_t count, size_t size), (count, size))
CALL_POINTER(void *, malloc, (size_t size), (size))
CALL_POINTER(void *, realloc, (void *old, size_t size), (old, size))
CALL_POINTER(char *, strdup, (const char *text), (text))
CALL_POINTER(char *, strndup, (const char *text, size_t len), (text, len))
CALL_MAP(void *, mmap, (void *at, size_t size, int prot, int flags, int fd, off_t offset), (at, size, prot, flags, fd, offset))

CALL_CODE(+, pthread_create, (pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg), (thread, attributes, run, arg))

CALL(int, epoll_create1, (int flags), (flags))
CALL(int, epoll_ctl, (int set, int what, int fd, struct epoll_event *event), (set, what, fd, event))
CALL(int, epoll_wait, (int set, struct epoll_event *events, int most, int timeout), (set, events, most, timeout))
CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))
CALL(int, inotify_init1, (int flags), (flags))
CALL(int, inotify_rm_watch, (int fd, int watch), (fd, watch))
CALL(int, pipe2, (int fds[2], int flags), (fds, flags))
CALL(int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
CALL(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
CALL(ssize_t, getrandom, (void *data, size_t len, unsigned flags), (data, len, flags))
CALL(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *limit), (resource, limit))

CALL(int, accept4, (int fd, struct sockaddr *address, socklen_t *len, int flags), (fd, address, len, flags))
CALL(int, bind, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len))
CALL(int, connect, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len))
CALL(int, getpeername, (int fd, struct sockaddr *address, socklen_t *len), (fd, address, len))
CALL(int, getsockname, (int fd, struct sockaddr *address, socklen_t *len), (fd, address, len))
CALL(int, getsockopt, (int fd, int level, int option, void *value, socklen_t *len), (fd, level, option, value, len))
CALL(int, listen, (int fd, int backlog), (fd, backlog))
CALL(int, setsockopt, (int fd, int level, int option, const void *value, socklen_t len), (fd, level, option, value, len))
CALL(int, shutdown, (int fd, int how), (fd, how))
CALL(int, socket, (int family, int type, int protocol), (family, type, protocol))
CALL(int, socketpair, (int family, int type, int protocol, int fds[2]), (family, type, protocol, fds))
CALL(ssize_t, recv, (int fd, void *data, size_t len, int flags), (fd, data, len, flags))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
CALL(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout), (fd, messages, count, flags, timeout))
CALL(ssize_t, send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
CALL(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), (fd, messages, count, flags))

CALL(ssize_t, copy_file_range, (int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags), (from, from_at, to, to_at, len, flags))
CALL(ssize_t, pread, (int fd, void *data, size_t len, off_t at), (fd, data, len, at))
CALL(ssize_t, preadv, (int fd, const struct iovec *iov, int count, off_t at), (fd, iov, count, at))
CALL(ssize_t, pwrite, (int fd, const void *data, size_t len, off_t at), (fd, data, len, at))
CALL(ssize_t, pwritev, (int fd, const struct iovec *iov, int count, off_t at), (fd, iov, count, at))
CALL(ssize_t, read, (int fd, void *data, size_t len), (fd, data, len))
CALL(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count))
CALL(ssize_t, splice, (int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags), (from, from_at, to, to_at, len, flags))
CALL(ssize_t, writev, (int fd, const struct iovec *iov, int count), (fd, iov, count))

CALL(int, chmod, (const char *path, mode_t mode), (path, mode))
CALL(int, faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags))
CALL(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
CALL(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags))
CALL(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
CALL(int, fchownat, (int dir, const char *path, uid_t user, gid_t group, int flags), (dir, path, user, group, flags))
CALL(int, fdatasync, (int fd), (fd))
CALL(int, flock, (int fd, int operation), (fd, operation))
CALL(int, fstat, (int fd, struct stat *stat), (fd, stat))
CALL(int, fstatat, (int dir, const char *path, struct stat *stat, int flags), (dir, path, stat, flags))
CALL(int, fstatfs, (int fd, struct statfs *stat), (fd, stat))
CALL(int, fsync, (int fd), (fd))
CALL(int, ftruncate, (int fd, off_t size), (fd, size))
CALL(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
CALL(int, linkat, (int from, const char *from_path, int to, const char *to_path, int flags), (from, from_path, to, to_path, flags))
CALL(int, lstat, (const char *path, struct stat *stat), (path, stat))
CALL(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
CALL(int, renameat, (int from, const char *from_path, int to, const char *to_path), (from, from_path, to, to_path))
CALL(int, stat, (const char *path, struct stat *stat_), (path, stat_))
CALL(int, statfs, (const char *path, struct statfs *stat), (path, stat))
CALL(int, symlinkat, (const char *target, int dir, const char *path), (target, dir, path))
CALL(int, unlink, (const char *path), (path))
CALL(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
CALL(int, utimensat, (int dir, const char *path, const struct timespec times[2], int flags), (dir, path, times, flags))
CALL(off_t, lseek, (int fd, off_t at, int whence), (fd, at, whence))
CALL(ssize_t, readlinkat, (int dir, const char *path, char *text, size_t size), (dir, path, text, size))
CALL_POINTER(char *, getcwd, (char *path, size_t size), (path, size))
CALL(int, madvise, (void *at, size_t len, int advice), (at, len, advice))

CALL_REST(ioctl, (int fd, unsigned long what, ...), what, (fd, what, more))
CALL_REST(open, (const char *path, int flags, ...), flags, (path, flags, (mode_t)more))
CALL_REST(openat, (int dir, const char *path, int flags, ...), flags, (dir, path, flags, (mode_t)more))

#if NORIA_URING
CALL_CODE(-, io_uring_register_buf_ring, (struct io_uring *ring, struct io_uring_buf_reg *group, unsigned flags), (ring, group, flags))
CALL_CODE(-, io_uring_register_buffers, (struct io_uring *ring, const struct iovec *iov, unsigned count), (ring, iov, count))
CALL_CODE(-, io_uring_register_iowq_max_workers, (struct io_uring *ring, unsigned *most), (ring, most))
CALL_CODE(-, io_uring_register_probe, (struct io_uring *ring, struct io_uring_probe *probe, unsigned count), (ring, probe, count))
CALL_CODE(-, io_uring_register_ring_fd, (struct io_uring *ring), (ring))
CALL_CODE(-, io_uring_ring_dontfork, (struct io_uring *ring), (ring))
#endif
/* clang-format on */

/* CALL_BY_HAND names those that follow. */
#define CALL_BY_HAND(type, name, parameters)                                                                           \
    ADD(name)                                                                                                          \
    type fail_##name parameters;                                                                                       \
    type fail_##name parameters

enum { MOST_FDS = 1024 };
static bool is_eventfd[MOST_FDS];

static void note_eventfd(int fd, bool is_one)
{
    if (fd >= 0 && fd < MOST_FDS) {
        __atomic_store_n(&is_eventfd[fd], is_one, __ATOMIC_RELAXED);
    }
}

CALL_BY_HAND(int, eventfd, (unsigned value, int flags))
{
    int fd = fails(&eventfd_call) ? -1 : eventfd(value, flags);

    note_eventfd(fd, true);
    return fd;
}

/* What wakes a loop can't fail: it is "wake". */
ADD(wake)
CALL_BY_HAND(ssize_t, write, (int fd, const void *data, size_t len))
{
    bool wakes = fd >= 0 && fd < MOST_FDS && __atomic_load_n(&is_eventfd[fd], __ATOMIC_RELAXED);

    return fails(wakes ? &wake_call : &write_call) ? -1 : write(fd, data, len);
}

/* The descriptor is gone all the same. */
CALL_BY_HAND(int, close, (int fd))
{
    note_eventfd(fd, false);
    int error = use(&close_call), result = close(fd);

    if (error && result == 0) {
        errno = error;
        return -1;
    }
    return result;
}

__attribute__((format(printf, 2, 3))) int fail_asprintf(char **text, const char *format, ...);
CALL_BY_HAND(int, asprintf, (char **text, const char *format, ...))
{
    va_list args;

    if (fails(&asprintf_call)) {
        return -1;
    }
    va_start(args, format);
    int result = vasprintf(text, format, args);
    va_end(args);
    return result;
}

/* Of what fcntl(2) does only F_DUPFD_CLOEXEC can fail for a descriptor that is open: it is "dup". */
ADD(dup)
CALL_BY_HAND(int, fcntl, (int fd, int what, ...))
{
    va_list rest;

    va_start(rest, what);
    unsigned long more = va_arg(rest, unsigned long);
    va_end(rest);
    return fails(what == F_DUPFD_CLOEXEC ? &dup_call : &fcntl_call) ? -1 : fcntl(fd, what, more);
}

/* ---- system calls by their number ---- */

ADD(openat2)
ADD(getdents64)
ADD(faccessat2)
ADD(fchmodat2)
ADD(epoll_pwait2)
ADD(preadv2)
ADD(pwritev2)
ADD(renameat2)
ADD(statx)
ADD(other_syscall)

static struct call *call_of(long number)
{
    switch (number) {
    case SYS_openat2: return &openat2_call;
    case SYS_getdents64: return &getdents64_call;
    case SYS_faccessat2: return &faccessat2_call;
    case 452: return &fchmodat2_call;
    case SYS_epoll_pwait2: return &epoll_pwait2_call;
    case SYS_preadv2: return &preadv2_call;
    case SYS_pwritev2: return &pwritev2_call;
    case SYS_renameat2: return &renameat2_call;
    case SYS_statx: return &statx_call;
    default: return &other_syscall_call;
    }
}

CALL_BY_HAND(long, syscall, (long number, ...))
{
    va_list rest;
    long a[6];

    va_start(rest, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(rest, long);
    }
    va_end(rest);
    use(&syscall_call);
    return fails(call_of(number)) ? -1 : syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- operations of the ring ---- */

#if NORIA_URING

#define RING(name, opcode)                                                                                             \
    {                                                                                                                  \
        {"ring-" name, 0}, opcode                                                                                      \
    }

static struct ring_call {
    struct call call;
    unsigned opcode;
} ring_calls[] = {
    RING("nop", IORING_OP_NOP),
    RING("openat2", IORING_OP_OPENAT2),
    RING("read", IORING_OP_READ),
    RING("readv", IORING_OP_READV),
    RING("write", IORING_OP_WRITE),
    RING("writev", IORING_OP_WRITEV),
    RING("read-fixed", IORING_OP_READ_FIXED),
    RING("write-fixed", IORING_OP_WRITE_FIXED),
    RING("poll", IORING_OP_POLL_ADD),
    RING("poll-remove", IORING_OP_POLL_REMOVE),
    RING("connect", IORING_OP_CONNECT),
    RING("accept", IORING_OP_ACCEPT),
    RING("recv", IORING_OP_RECV),
    RING("send", IORING_OP_SEND),
    RING("sendmsg", IORING_OP_SENDMSG),
    RING("recvmsg", IORING_OP_RECVMSG),
    RING("statx", IORING_OP_STATX),
    RING("fsync", IORING_OP_FSYNC),
    RING("cancel", IORING_OP_ASYNC_CANCEL),
};

__attribute__((constructor(200))) static void add_ring_calls(void)
{
    for (size_t i = 0; i < sizeof ring_calls / sizeof *ring_calls; i++) {
        add_call(&ring_calls[i].call);
    }
}

/* A loop's ring belongs to its thread. */
static _Thread_local struct io_uring *own_ring;
static _Thread_local unsigned seen; /* entries up to here have been counted */

CALL_BY_HAND(int, io_uring_queue_init_params, (unsigned entries, struct io_uring *ring, struct io_uring_params *params))
{
    int error = use(&io_uring_queue_init_params_call);
    int result = error ? -error : io_uring_queue_init_params(entries, ring, params);

    if (result == 0) {
        own_ring = params->flags & IORING_SETUP_SQPOLL ? NULL : ring;
        seen = 0;
    }
    return result;
}

CALL_BY_HAND(void, io_uring_queue_exit, (struct io_uring * ring))
{
    use(&io_uring_queue_exit_call);
    own_ring = NULL;
    io_uring_queue_exit(ring);
}

/* Turns the entry into one that completes with the error: IORING_NOP_INJECT_RESULT, Linux 6.10. Before that it is none
 * that the kernel knows: -EINVAL. */
static void spoil(struct io_uring_sqe *entry, int error)
{
    unsigned opcode = entry->opcode;
    uint64_t user_data = entry->user_data;

    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_NOP;
    if (opcode == IORING_OP_ASYNC_CANCEL) {
        entry->flags = IOSQE_CQE_SKIP_SUCCESS;
    }
    entry->rw_flags = 1;
    entry->len = (uint32_t)-error;
    entry->user_data = user_data;
}

static void count_entry(struct io_uring_sqe *entry)
{
    for (size_t i = 0; i < sizeof ring_calls / sizeof *ring_calls; i++) {
        if (ring_calls[i].opcode == entry->opcode) {
            int error = use(&ring_calls[i].call);
            if (error) {
                spoil(entry, error);
            }
            return;
        }
    }
}

CALL_BY_HAND(int, io_uring_enter2,
             (unsigned fd, unsigned to_submit, unsigned wait_for, unsigned flags, sigset_t *mask, size_t size))
{
    int error = use(&io_uring_enter2_call);

    if (error) {
        return -error;
    }
    if (own_ring && fd == (unsigned)own_ring->enter_ring_fd) {
        unsigned tail = __atomic_load_n(own_ring->sq.ktail, __ATOMIC_RELAXED);
        for (; seen != tail; seen++) {
            count_entry(&own_ring->sq.sqes[seen & *own_ring->sq.kring_mask]);
        }
    }
    return io_uring_enter2(fd, to_submit, wait_for, flags, mask, size);
}

#endif
