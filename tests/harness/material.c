/* SPDX-License-Identifier: ISC
 *
 * Descriptors, files and bytes for tests.
 */
#include "account.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <stdio.h>

#include <sys/resource.h>
#include <sys/stat.h>

static unsigned char pattern_byte(unsigned seed, size_t offset)
{
    return (unsigned char)(seed * 31 + offset + offset / 251 * 7 + offset / 65521 * 13);
}

void fill_pattern(void *data, size_t len, unsigned seed)
{
    unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) {
        bytes[i] = pattern_byte(seed, i);
    }
}

bool is_pattern_at(const void *data, size_t len, unsigned seed, size_t offset)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != pattern_byte(seed, offset + i)) {
            return false;
        }
    }
    return true;
}

bool is_pattern(const void *data, size_t len, unsigned seed)
{
    return is_pattern_at(data, len, seed, 0);
}

void make_pair(int fds[2])
{
    CHECK_IS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

int make_listener(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_IS(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    CHECK_IS(listen(fd, SOMAXCONN), 0);
    CHECK_IS(getsockname(fd, (struct sockaddr *)address, &length), 0);
    return fd;
}

int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_IS(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

void make_tcp_pair(int fds[2])
{
    struct sockaddr_in address;
    int listener = make_listener(&address);

    fds[0] = connect_to(&address);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fds[1] >= 0);
    close(listener);
}

void make_pipe(int fds[2])
{
    CHECK_IS(pipe2(fds, O_CLOEXEC), 0);
}

int make_file(const void *data, size_t len)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_IS(pwrite(fd, data, len, 0), (ssize_t)len);
    return fd;
}

void set_nonblocking(int fd)
{
    CHECK_IS(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

void close_with_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    CHECK_IS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_IS(close(fd), 0);
}

void set_small_buffers(int fd)
{
    int size = 4096;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

const char *make_directory(void)
{
    static char path[64];

    strcpy(path, "/tmp/noria-test-XXXXXX");
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    CHECK_IS(remove(path), 0);
    return 0;
}

void remove_directory(const char *path)
{
    CHECK_IS(nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS), 0);
}

struct loop_fd *adopt(struct loop_scope *scope, int fd)
{
    struct loop_fd *object = loop_fd_adopt(scope, fd);

    CHECK(object != NULL);
    return object;
}

struct loop_flow *flow_of(struct loop_scope *scope, int fd)
{
    struct loop_flow *flow = loop_fd_flow(adopt(scope, fd));

    CHECK(flow != NULL);
    return flow;
}

void make_flows(struct loop_scope *scope, struct loop_flow *flows[2])
{
    int fds[2];

    make_pair(fds);
    flows[0] = flow_of(scope, fds[0]);
    flows[1] = flow_of(scope, fds[1]);
}

size_t stuff(int fd)
{
    static const char zeros[4096];
    int flags = fcntl(fd, F_GETFL);
    size_t total = 0;

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    for (size_t size = sizeof zeros; size > 0; size /= 2) {
        ssize_t n;
        while ((n = write(fd, zeros, size)) > 0) {
            total += (size_t)n;
        }
    }
    fcntl(fd, F_SETFL, flags);
    return total;
}

size_t drain(int fd)
{
    static char buffer[65536];
    int flags = fcntl(fd, F_GETFL);
    size_t total = 0;
    ssize_t n;

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        total += (size_t)n;
    }
    fcntl(fd, F_SETFL, flags);
    return total;
}

bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

unsigned count_fds(void)
{
    struct account account = {.n_fds = 0};

    account_list_fds(&account);
    return account.n_fds;
}

int lowest_free_fd(void)
{
    int fd = 0;

    while (is_open(fd)) {
        fd++;
    }
    return fd;
}

int limit_with_free_fds(unsigned n)
{
    int limit = 0;

    for (; n > 0; limit++) {
        n -= !is_open(limit);
    }
    return limit;
}

rlim_t limit_fds(rlim_t count)
{
    struct rlimit limit;

    CHECK_IS(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

rlim_t forbid_fds(void)
{
    return limit_fds((rlim_t)lowest_free_fd());
}
