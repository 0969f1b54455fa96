/* SPDX-License-Identifier: ISC
 *
 * The low level: every operation of the ring as a job, its results, its errors, and what a cancel does to it.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <linux/openat2.h>
#include <linux/stat.h>

/* ---- openat2 ---- */

LOOP_TEST(openat2_opens_creates_and_refuses)
{
    static const char *directory;
    static struct loop_open_how how;
    static char path[200];
    static struct stat status;
    static int fd;

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/file", directory);
    how = (struct loop_open_how){.flags = O_RDONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENOENT);
    umask(022);
    how = (struct loop_open_how){.flags = O_WRONLY | O_CREAT | O_EXCL, .mode = 0666};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK(result >= 0);
    fd = (int)result;
    CHECK_IS(fstat(fd, &status), 0);
    CHECK_IS(status.st_mode & 0777, 0644);
    CHECK_IS(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_IS(write(fd, "abc", 3), 3);
    close(fd);
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -EEXIST);
    how = (struct loop_open_how){.flags = O_RDONLY | O_DIRECTORY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENOTDIR);
    remove_directory(directory);
    END;
}

LOOP_TEST(openat2_is_relative_to_a_directory)
{
    static const char *directory;
    static struct loop_fd *dir;
    static struct loop_open_how how;

    BEGIN;
    directory = make_directory();
    dir = adopt(env->scope, open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    how = (struct loop_open_how){.dir = dir, .flags = O_RDWR | O_CREAT, .mode = 0600};
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK(result >= 0);
    close((int)result);
    how = (struct loop_open_how){.dir = dir, .flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK(result >= 0);
    close((int)result);
    AWAIT(loop_op_openat2(env->scope, "../..", &how, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_op_openat2(env->scope, "/etc/passwd", &how, GO));
    CHECK_IS(result, -EXDEV);
    how.resolve = UINT64_C(1) << 40;
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK_IS(result, -EINVAL);
    loop_fd_close(dir);
    how.resolve = 0;
    AWAIT(loop_op_openat2(env->scope, "here", &how, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(turns(env->scope, 2, GO));
    remove_directory(directory);
    END;
}

LOOP_TEST(openat2_of_a_fifo_does_not_wait)
{
    static const char *directory;
    static struct loop_open_how how;
    static char path[200];

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    how = (struct loop_open_how){.flags = O_WRONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENXIO);
    how = (struct loop_open_how){.flags = O_RDONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK(result >= 0);
    close((int)result);
    remove_directory(directory);
    END;
}

LOOP_TEST(openat2_with_a_long_path)
{
    static char path[8192];
    static struct loop_open_how how;

    BEGIN;
    memset(path, 'x', sizeof path - 1);
    how = (struct loop_open_how){.flags = O_RDONLY};
    AWAIT(loop_op_openat2(env->scope, path, &how, GO));
    CHECK_IS(result, -ENAMETOOLONG);
    AWAIT(loop_op_openat2(env->scope, "", &how, GO));
    CHECK_IS(result, -ENOENT);
    END;
}

/* ---- read, write and their kin ---- */

LOOP_TEST(file_reads_at_offsets_and_at_the_position)
{
    static struct loop_fd *fd;
    static char bytes[1000], got[1000];

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 1);
    fd = adopt(env->scope, make_file(bytes, sizeof bytes));
    AWAIT(loop_op_read(NULL, fd, got, 100, 500, GO));
    CHECK_MOVED(result, 100);
    CHECK(is_pattern_at(got, (size_t)result, 1, 500));
    AWAIT(loop_op_read(NULL, fd, got, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    CHECK(is_pattern_at(got, 1, 1, 0));
    AWAIT(loop_op_read(env->scope, fd, got, 1, LOOP_CURRENT, GO));
    CHECK(is_pattern_at(got, 1, 1, 1));
    AWAIT(loop_op_read(NULL, fd, got, 10, 1000, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_read(NULL, fd, got, 10, 999, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_read(NULL, fd, got, 0, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(file_writes_at_offsets_and_at_the_position)
{
    static struct loop_fd *fd;
    static char got[20];
    static int number;

    BEGIN;
    number = make_file("", 0);
    fd = adopt(env->scope, number);
    AWAIT(loop_op_write(NULL, fd, "x", 1, 5, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_write(NULL, fd, "a", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_write(NULL, fd, "b", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    CHECK_IS(pread(number, got, sizeof got, 0), 6);
    CHECK(memcmp(got, "ab\0\0\0x", 6) == 0);
    END;
}

LOOP_TEST(vectors_of_a_file)
{
    static struct loop_fd *fd;
    static char a[] = "abc", b[] = "de", c[4], d[4];
    static struct iovec out[] = {{a, 3}, {b, 2}}, in[] = {{c, 2}, {d, 3}};
    static int number;

    BEGIN;
    number = make_file("", 0);
    fd = adopt(env->scope, number);
    AWAIT(loop_op_writev(NULL, fd, out, 2, 0, GO));
    CHECK_MOVED(result, 5);
    CHECK_IS(pwrite(number, "abcde", 5, 0), 5);
    AWAIT(loop_op_readv(NULL, fd, in, 2, 0, GO));
    CHECK_MOVED(result, 5);
    CHECK(c[0] == 'a' && (result < 5 || (memcmp(c, "ab", 2) == 0 && memcmp(d, "cde", 3) == 0)));
    AWAIT(loop_op_readv(NULL, fd, in, 0, 0, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(more_than_iov_max_vectors_are_refused)
{
    enum { N = 1025 };
    static struct loop_flow *flows[2];
    static struct iovec vectors[N];
    static char bytes[N];

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        vectors[i] = (struct iovec){&bytes[i], 1};
    }
    AWAIT(loop_op_writev(NULL, flows[0]->fd, vectors, N, LOOP_CURRENT, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_readv(NULL, flows[0]->fd, vectors, N, LOOP_CURRENT, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_writev(NULL, flows[0]->fd, vectors, N - 1, LOOP_CURRENT, GO));
    CHECK_MOVED(result, N - 1);
    END;
}

LOOP_TEST(pipe_and_socket_reads_wait)
{
    static struct loop_fd *ends[2];
    static struct once read[2], write;
    static int pipes[2];
    static char byte, other, got[3];
    static struct iovec vector = {&other, 1};

    BEGIN;
    make_pipe(pipes);
    ends[0] = adopt(env->scope, pipes[0]);
    ends[1] = adopt(env->scope, pipes[1]);
    START(loop_op_read(NULL, ends[0], &byte, 1, LOOP_CURRENT, ONCE(&read[0])));
    START(loop_op_readv(NULL, ends[0], &vector, 1, LOOP_CURRENT, ONCE(&read[1])));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read[0].count + read[1].count, 0);
    START(loop_op_write(NULL, ends[1], "1", 1, LOOP_CURRENT, ONCE(&write)));
    WAIT_UNTIL(write.count && read[0].count + read[1].count == 1);
    AWAIT(loop_op_write(NULL, ends[1], "2", 1, LOOP_CURRENT, GO));
    WAIT_UNTIL(read[0].count && read[1].count);
    CHECK(byte + other == '1' + '2');
    AWAIT(loop_op_write(NULL, ends[1], "x", 1, 0, GO));
    CHECK(result == -ESPIPE || result == 1);
    AWAIT(loop_op_read(NULL, ends[1], got, 3, LOOP_CURRENT, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(writes_to_a_full_pipe_wait)
{
    static struct loop_fd *fd;
    static struct once write;
    static int pipes[2];
    static size_t stuffed;

    BEGIN;
    make_pipe(pipes);
    fd = adopt(env->scope, pipes[1]);
    stuffed = stuff(pipes[1]);
    START(loop_op_write(NULL, fd, "abc", 3, LOOP_CURRENT, ONCE(&write)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(write.count, 0);
    CHECK(drain(pipes[0]) >= stuffed);
    WAIT_UNTIL(write.count);
    CHECK_MOVED(write.result, 3);
    close(pipes[0]);
    END;
}

LOOP_TEST(fixed_reads_and_writes)
{
    static struct loop_fd *fd;
    static struct loop_chunk *chunk;
    static char bytes[1000];
    static size_t offset, region;
    static int number;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 2);
    number = make_file(bytes, sizeof bytes);
    fd = adopt(env->scope, number);
    chunk = loop_chunk_alloc(env->loop);
    offset = loop_chunk_offset(chunk);
    region = loop_region_count(env->loop) * loop_chunk_length(chunk);
    AWAIT(loop_op_read_fixed(NULL, fd, offset + 10, 500, 100, GO));
    CHECK_MOVED(result, 500);
    CHECK(is_pattern_at((char *)loop_chunk_data(chunk) + 10, (size_t)result, 2, 100));
    memset(loop_chunk_data(chunk), 'w', 100);
    AWAIT(loop_op_write_fixed(NULL, fd, offset, 1, 0, GO));
    CHECK_IS(result, 1);
    CHECK_IS(pread(number, bytes, 2, 0), 2);
    CHECK(bytes[0] == 'w' && bytes[1] != 'w');
    AWAIT(loop_op_read_fixed(NULL, fd, region - 10, 11, 0, GO));
    CHECK_IS(result, -EFAULT);
    AWAIT(loop_op_read_fixed(NULL, fd, region, 1, 0, GO));
    CHECK_IS(result, -EFAULT);
    AWAIT(loop_op_write_fixed(NULL, fd, SIZE_MAX, 2, 0, GO));
    CHECK_IS(result, -EFAULT);
    AWAIT(loop_op_write_fixed(NULL, fd, 1, SIZE_MAX, 0, GO));
    CHECK_IS(result, -EFAULT);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST(fixed_reads_and_writes_of_streams)
{
    static struct loop_flow *flows[2];
    static struct loop_chunk *chunk;
    static struct once read;
    static char got[4];

    BEGIN;
    make_flows(env->scope, flows);
    chunk = loop_chunk_alloc(env->loop);
    START(loop_op_read_chunk(NULL, flows[0]->fd, chunk, 1, LOOP_CURRENT, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "q", 1, 0), 1);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    CHECK_IS(*(char *)loop_chunk_data(chunk), 'q');
    AWAIT(loop_op_write_chunk(NULL, flows[0]->fd, chunk, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 1);
    CHECK_IS(recv(loop_fd_peek(flows[1]->fd), got, 4, 0), 1);
    CHECK_IS(got[0], 'q');
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST(chunk_reads_and_writes_of_a_file)
{
    static struct loop_fd *fd;
    static struct loop_chunk *chunk;
    static char bytes[3000], got[3000];
    static int number;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 3);
    number = make_file(bytes, sizeof bytes);
    fd = adopt(env->scope, number);
    chunk = loop_chunk_alloc(env->loop);
    AWAIT(loop_op_read_chunk(NULL, fd, chunk, 3000, 0, GO));
    CHECK_MOVED(result, 3000);
    CHECK(is_pattern(loop_chunk_data(chunk), (size_t)result, 3));
    fill_pattern(loop_chunk_data(chunk), 3000, 4);
    AWAIT(loop_op_write_chunk(NULL, fd, chunk, 3000, 0, GO));
    CHECK_MOVED(result, 3000);
    CHECK_IS(pread(number, got, (size_t)result, 0), result);
    CHECK(is_pattern(got, (size_t)result, 4));
    AWAIT(loop_op_read_chunk(NULL, fd, chunk, loop_chunk_length(chunk) + 1, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_write_chunk(NULL, fd, chunk, SIZE_MAX, 0, GO));
    CHECK_IS(result, -EINVAL);
    CHECK_IS(loop_chunk_free(env->loop, chunk), 0);
    END;
}

LOOP_TEST(read_only_and_closed_descriptors)
{
    static struct loop_fd *fd;
    static char byte;

    BEGIN;
    fd = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    AWAIT(loop_op_write(NULL, fd, "x", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_write(NULL, fd, "x", 1, 0, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_read(NULL, fd, &byte, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, 0);
    loop_fd_close(fd);
    AWAIT(loop_op_read(NULL, fd, &byte, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_fsync(NULL, fd, false, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_shutdown(NULL, fd, SHUT_WR, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_poll_add(NULL, fd, POLLIN, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_splice(NULL, fd, LOOP_CURRENT, fd, LOOP_CURRENT, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_accept(NULL, fd, NULL, NULL, GO));
    CHECK_IS(result, -EBADF);
    END;
}

/* ---- poll ---- */

LOOP_TEST(poll_add_says_what_is_there)
{
    static struct loop_flow *flows[2];
    static struct once poll;

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_op_poll_add(NULL, flows[0]->fd, POLLOUT, GO));
    CHECK_IS(result, POLLOUT);
    START(loop_op_poll_add(env->scope, flows[0]->fd, POLLIN, ONCE(&poll)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(poll.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(poll.count);
    ONCE_IS(poll, POLLIN);
    END;
}

/* ---- splice ---- */

LOOP_TEST(splice_from_a_file_through_a_pipe_to_a_file)
{
    static struct loop_fd *from, *to, *pipe_in, *pipe_out;
    static char bytes[3000], got[3000];
    static int pipes[2], number;
    static int64_t moved;

    BEGIN;
    fill_pattern(bytes, sizeof bytes, 5);
    from = adopt(env->scope, make_file(bytes, sizeof bytes));
    number = make_file("", 0);
    to = adopt(env->scope, number);
    make_pipe(pipes);
    pipe_out = adopt(env->scope, pipes[0]);
    pipe_in = adopt(env->scope, pipes[1]);
    AWAIT(loop_op_splice(NULL, from, 100, pipe_in, LOOP_CURRENT, 2000, GO));
    CHECK_MOVED(result, 2000);
    moved = result;
    AWAIT(loop_op_splice(NULL, pipe_out, LOOP_CURRENT, to, 10, (size_t)moved, GO));
    CHECK_MOVED(result, moved);
    CHECK_IS(pread(number, got, sizeof got, 10), result);
    CHECK(is_pattern_at(got, (size_t)result, 5, 100));
    AWAIT(loop_op_splice(NULL, from, 3000, pipe_in, LOOP_CURRENT, 10, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_splice(NULL, from, 0, to, 0, 10, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(splice_waits_for_the_source_and_for_room)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *pipe_in;
    static struct once waiting, full;
    static int pipes[2];
    static char got[4];
    static size_t stuffed;

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(pipes);
    pipe_in = adopt(env->scope, pipes[1]);
    START(loop_op_splice(NULL, flows[0]->fd, LOOP_CURRENT, pipe_in, LOOP_CURRENT, 1, ONCE(&waiting)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(waiting.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "s", 1, 0), 1);
    WAIT_UNTIL(waiting.count);
    ONCE_IS(waiting, 1);
    CHECK_IS(read(pipes[0], got, 4), 1);
    CHECK_IS(got[0], 's');
    stuffed = stuff(pipes[1]);
    CHECK(stuffed > 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "t", 1, 0), 1);
    START(loop_op_splice(NULL, flows[0]->fd, LOOP_CURRENT, pipe_in, LOOP_CURRENT, 1, ONCE(&full)));
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(full.count, 0);
    drain(pipes[0]);
    WAIT_UNTIL(full.count);
    ONCE_IS(full, 1);
    close(pipes[0]);
    END;
}

LOOP_TEST(a_waiting_splice_holds_no_thread_and_can_be_cancelled)
{
    enum { N = 20 };
    static struct loop_fd *from[N], *to;
    static struct once splices[N];
    static loop_job jobs[N];
    static struct loop_stats stats;
    static int pipes[2], sink[2], at;

    BEGIN;
    make_pipe(sink);
    to = adopt(env->scope, sink[1]);
    for (int i = 0; i < N; i++) {
        make_pipe(pipes);
        from[i] = adopt(env->scope, pipes[0]);
        adopt(env->scope, pipes[1]);
        jobs[i] = START(loop_op_splice(NULL, from[i], LOOP_CURRENT, to, LOOP_CURRENT, 1, ONCE(&splices[i])));
    }
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &stats);
    CHECK_IS(stats.pool_threads_now, 0);
    for (int i = 0; i < N; i++) {
        CHECK_IS(loop_cancel(env->loop, jobs[i]), 0);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(splices[at].count);
        ONCE_IS(splices[at], -ECANCELED);
    }
    close(sink[0]);
    END;
}

/* ---- sockets ---- */

LOOP_TEST(connect_and_accept)
{
    static struct sockaddr_in address, peer;
    static socklen_t length = sizeof peer;
    static struct loop_fd *listener, *fd;
    static struct once accepted;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    START(loop_op_accept(NULL, listener, (struct sockaddr *)&peer, &length, ONCE(&accepted)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(accepted.count, 0);
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(accepted.count);
    CHECK(accepted.result >= 0);
    CHECK_IS(length, sizeof peer);
    CHECK_IS(peer.sin_family, AF_INET);
    CHECK_IS(fcntl((int)accepted.result, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl((int)accepted.result, F_GETFL) & O_NONBLOCK);
    close((int)accepted.result);
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, -EISCONN);
    END;
}

LOOP_TEST(connect_is_refused)
{
    static struct sockaddr_in address;
    static struct loop_fd *fd;
    static struct sockaddr_un missing;

    BEGIN;
    close(make_listener(&address));
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, -ECONNREFUSED);
    fd = adopt(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    missing.sun_family = AF_UNIX;
    strcpy(missing.sun_path, "/nowhere/at/all");
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&missing, sizeof missing, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&missing, 1, GO));
    CHECK_IS(result, -EINVAL);
    fd = adopt(env->scope, make_file("", 0));
    AWAIT(loop_op_connect(NULL, fd, (struct sockaddr *)&address, sizeof address, GO));
    CHECK_IS(result, -ENOTSOCK);
    END;
}

LOOP_TEST(accept_says_einval_where_nobody_listens)
{
    static struct loop_fd *fd;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(loop_op_accept(NULL, fd, NULL, NULL, GO));
    CHECK_IS(result, -EINVAL);
    fd = adopt(env->scope, make_file("", 0));
    AWAIT(loop_op_accept(NULL, fd, NULL, NULL, GO));
    CHECK_IS(result, -ENOTSOCK);
    END;
}

LOOP_TEST(accept_at_the_limit_of_descriptors_says_emfile)
{
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static struct rlimit limit, old;
    static int client;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    client = connect_to(&address);
    AWAIT(turns(env->scope, 2, GO));
    getrlimit(RLIMIT_NOFILE, &old);
    limit = old;
    limit.rlim_cur = (rlim_t)lowest_free_fd();
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
    CHECK_IS(result, -EMFILE);
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &old), 0);
    AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
    CHECK(result >= 0);
    close((int)result);
    close(client);
    END;
}

static int accepted_fds[100];
static unsigned n_accepted;
static struct once accept_end;

static void on_accepted(void *unused, int64_t result)
{
    (void)unused;
    if (result >= 0) {
        accepted_fds[n_accepted++] = (int)result;
        script_poke();
    } else {
        once_resumed(&accept_end, result);
    }
}

LOOP_TEST(multishot_accept_goes_on_until_cancelled)
{
    enum { N = 30 };
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static loop_job job;
    static int clients[N];
    static unsigned i;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    job = START(loop_op_accept_multishot(NULL, listener, on_accepted, NULL));
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&address);
        if (i % 3 == 0) {
            WAIT_UNTIL(n_accepted == i + 1);
        }
    }
    WAIT_UNTIL(n_accepted == N);
    CHECK(loop_job_is_alive(env->loop, job));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(accept_end.count);
    ONCE_IS(accept_end, -ECANCELED);
    for (i = 0; i < N; i++) {
        CHECK_IS(fcntl(accepted_fds[i], F_GETFD), FD_CLOEXEC);
        close(accepted_fds[i]);
        close(clients[i]);
    }
    END;
}

LOOP_TEST(multishot_accept_loses_nothing_to_a_cancel)
{
    enum { N = 20 };
    static struct sockaddr_in address;
    static struct loop_fd *listener;
    static loop_job job;
    static int clients[N];
    static unsigned i;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    job = START(loop_op_accept_multishot(NULL, listener, on_accepted, NULL));
    AWAIT(turns(env->scope, 2, GO));
    for (i = 0; i < N; i++) {
        clients[i] = connect_to(&address);
    }
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(accept_end.count);
    ONCE_IS(accept_end, -ECANCELED);
    while (n_accepted < N) {
        AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
        CHECK(result >= 0);
        accepted_fds[n_accepted++] = (int)result;
    }
    for (i = 0; i < N; i++) {
        close(accepted_fds[i]);
        close(clients[i]);
    }
    END;
}

LOOP_TEST(multishot_accept_ends_with_its_descriptor)
{
    static struct sockaddr_in address;
    static struct loop_fd *listener;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    START(loop_op_accept_multishot(NULL, listener, on_accepted, NULL));
    AWAIT(turns(env->scope, 2, GO));
    loop_fd_close(listener);
    WAIT_UNTIL(accept_end.count);
    ONCE_IS(accept_end, -ECANCELED);
    CHECK_IS(n_accepted, 0);
    END;
}

LOOP_TEST(multishot_accept_hears_of_errors)
{
    static struct loop_fd *fd;

    BEGIN;
    fd = adopt(env->scope, make_file("", 0));
    START(loop_op_accept_multishot(NULL, fd, on_accepted, NULL));
    WAIT_UNTIL(accept_end.count);
    ONCE_IS(accept_end, -ENOTSOCK);
    END;
}

static struct received {
    void *buffers[64];
    size_t lengths[64];
    unsigned count, ends;
    int64_t end;
} received;

static void on_received(void *unused, int64_t result, void *data)
{
    (void)unused;
    CHECK_IS(received.ends, 0);
    if (data) {
        CHECK(result > 0);
        received.buffers[received.count] = data;
        received.lengths[received.count++] = (size_t)result;
    } else {
        CHECK(result <= 0);
        received.ends++;
        received.end = result;
    }
    script_poke();
}

static size_t total_received(void)
{
    size_t total = 0;

    for (unsigned i = 0; i < received.count; i++) {
        total += received.lengths[i];
    }
    return total;
}

LOOP_TEST(multishot_recv_delivers_until_the_end)
{
    static struct loop_flow *flows[2];
    static struct loop_buffers *buffers;

    BEGIN;
    make_flows(env->scope, flows);
    buffers = loop_buffers_create(env->scope, 8, 100);
    CHECK(buffers != NULL);
    CHECK_IS(loop_buffers_avail(buffers), 8);
    START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_received, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(received.count, 0);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "first", 5, 0), 5);
    WAIT_UNTIL(total_received() == 5);
    CHECK_IS(((char *)received.buffers[0])[0], 'f');
    CHECK_IS(loop_buffers_avail(buffers), 8 - received.count);
    CHECK_IS(loop_buffers_recycle(buffers, received.buffers[0]), 0);
    CHECK_IS(loop_buffers_avail(buffers), 9 - received.count);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(total_received() == 6);
    loop_flow_close(flows[1]);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, 0);
    END;
}

LOOP_TEST(multishot_recv_without_buffers_says_enobufs_and_loses_nothing)
{
    static struct loop_flow *flows[2];
    static struct loop_buffers *buffers;
    static unsigned i;

    BEGIN;
    make_flows(env->scope, flows);
    buffers = loop_buffers_create(env->scope, 2, 4);
    START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_received, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "0123456789ab", 12, 0), 12);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ENOBUFS);
    CHECK_IS(received.count, 2);
    CHECK_IS(loop_buffers_avail(buffers), 0);
    for (i = 0; total_received() < 12; i++) {
        CHECK_IS(loop_buffers_recycle(buffers, received.buffers[i]), 0);
        if (received.ends) {
            received.ends = 0;
            START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_received, NULL));
        }
        WAIT_UNTIL(received.count > i + 2 || total_received() == 12);
    }
    loop_flow_close(flows[1]);
    WAIT_UNTIL(received.ends);
    CHECK(received.end == 0 || received.end == -ENOBUFS);
    END;
}

LOOP_TEST(multishot_recv_can_be_cancelled)
{
    static struct loop_flow *flows[2];
    static struct loop_buffers *buffers;
    static loop_job job;
    static char got[4];

    BEGIN;
    make_flows(env->scope, flows);
    buffers = loop_buffers_create(env->scope, 4, 64);
    job = START(loop_op_recv_multishot(NULL, flows[0]->fd, buffers, on_received, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(received.ends);
    CHECK_IS(received.end, -ECANCELED);
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "left", 4, 0), 4);
    AWAIT(loop_read_exact(&flows[0]->source, got, 4, GO));
    CHECK_IS(result, 4);
    CHECK_IS(loop_buffers_avail(buffers), 4);
    END;
}

LOOP_TEST(buffers_of_bad_sizes)
{
    static struct loop_buffers *buffers;

    BEGIN;
    CHECK(!loop_buffers_create(env->scope, 0, 100));
    CHECK(!loop_buffers_create(env->scope, 3, 100));
    CHECK(!loop_buffers_create(env->scope, 65536, 100));
    CHECK(!loop_buffers_create(env->scope, UINT32_MAX, 100));
    CHECK(!loop_buffers_create(env->scope, 8, 0));
    CHECK(!loop_buffers_create(env->scope, 32768, SIZE_MAX));
    CHECK(!loop_buffers_create(env->scope, 2, SIZE_MAX / 2 + 1));
    buffers = loop_buffers_create(env->scope, 1, 1);
    CHECK(buffers != NULL);
    CHECK_IS(loop_buffers_avail(buffers), 1);
    buffers = loop_buffers_create(env->scope, 32768, 16);
    CHECK(buffers != NULL);
    CHECK_IS(loop_buffers_avail(buffers), 32768);
    END;
}

/* What is given back in error: the address of the byte after a buffer's first, a buffer twice, something foreign,
 * nothing. */
enum mistake { INSIDE, TWICE, FOREIGN, NOTHING, MISTAKES };
static enum mistake mistake;
static int64_t mistake_answer;
static struct loop_flow *mistaken[2];
static struct loop_buffers *mistaken_buffers;

static void recycle_wrongly(void *unused, int64_t result, void *data)
{
    static char foreign[64];

    (void)unused;
    if (!data) {
        return;
    }
    CHECK_IS(result, 1);
    if (mistake == TWICE) {
        CHECK_IS(loop_buffers_recycle(mistaken_buffers, data), 0);
    }
    void *const wrong[] = {(char *)data + 1, data, foreign, NULL};
    mistake_answer = loop_buffers_recycle(mistaken_buffers, wrong[mistake]);
    loop_flow_close(mistaken[0]);
}

static int recv_and_recycle(struct loop_env *env, void *unused)
{
    (void)unused;
    make_flows(env->scope, mistaken);
    mistaken_buffers = loop_buffers_create(env->scope, 4, 64);
    CHECK(loop_op_recv_multishot(NULL, mistaken[0]->fd, mistaken_buffers, recycle_wrongly, NULL) != 0);
    CHECK_IS(send(loop_fd_peek(mistaken[1]->fd), "x", 1, 0), 1);
    return 0;
}

static int run_mistake(void *unused)
{
    (void)unused;
    loop_run_with(&(struct loop_options){.queue_depth = 0}, recv_and_recycle, NULL);
    return (int)mistake_answer;
}

TEST_ROWS(buffers_recycled_in_error_are_caught, MISTAKES, row)
{
    mistake = (enum mistake)row;
    expect_stop(run_mistake, NULL, "loop_buffers_recycle", -EINVAL);
    expect_stop(run_mistake, NULL, "isn't lent", -EINVAL);
}

LOOP_TEST(send_and_recv_with_flags)
{
    static struct loop_flow *flows[2];
    static char got[4];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_op_send(NULL, flows[0]->fd, "a", 1, 0, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_recv(NULL, flows[1]->fd, got, 1, MSG_PEEK, GO));
    CHECK_IS(result, 1);
    AWAIT(loop_op_recv(NULL, flows[1]->fd, got, 1, 0, GO));
    CHECK_IS(result, 1);
    CHECK_IS(got[0], 'a');
    AWAIT(loop_op_recv(NULL, flows[1]->fd, got, 1, MSG_DONTWAIT, GO));
    CHECK_IS(result, -EAGAIN);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_op_recv(NULL, flows[0]->fd, got, 1, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_send(NULL, flows[0]->fd, "a", 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

/* ---- messages ---- */

static char read_byte(int fd)
{
    char byte = 0;

    CHECK_IS(read(fd, &byte, 1), 1);
    return byte;
}

static int make_udp(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_IS(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    CHECK_IS(getsockname(fd, (struct sockaddr *)address, &length), 0);
    return fd;
}

LOOP_TEST(messages_carry_descriptors)
{
    static struct loop_flow *flows[2];
    static struct loop_message out, in;
    static char text[] = "with fds", got[16];
    static struct iovec out_vector = {text, 8}, in_vector = {got, 16};
    static int sent[2], came[4];
    static struct once read;

    BEGIN;
    make_flows(env->scope, flows);
    make_pipe(sent);
    out = (struct loop_message){.iov = &out_vector, .n_iov = 1, .fds = sent, .n_fds = 2};
    in = (struct loop_message){.iov = &in_vector, .n_iov = 1, .fds = came, .n_fds = 4};
    START(loop_op_recv_msg(NULL, flows[1]->fd, &in, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(read.count, 0);
    AWAIT(loop_op_send_msg(NULL, flows[0]->fd, &out, GO));
    CHECK_MOVED(result, 8);
    WAIT_UNTIL(read.count);
    CHECK(read.result > 0 && read.result <= 8);
    CHECK(memcmp(got, text, (size_t)read.result) == 0);
    CHECK_IS(in.n_fds, 2);
    CHECK_IS(fcntl(came[0], F_GETFD), FD_CLOEXEC);
    CHECK_IS(fcntl(came[1], F_GETFD), FD_CLOEXEC);
    CHECK_IS(write(came[1], "p", 1), 1);
    CHECK_IS(read_byte(sent[0]), 'p');
    for (int i = 0; i < 2; i++) {
        close(came[i]);
        close(sent[i]);
    }
    END;
}

LOOP_TEST(descriptors_without_room_are_closed)
{
    static struct loop_flow *flows[2];
    static struct loop_message out, in;
    static char byte = 'x', got;
    static struct iovec out_vector = {&byte, 1}, in_vector = {&got, 1};
    static int sent[3], came[1];
    static unsigned before;

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < 3; i++) {
        sent[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    out = (struct loop_message){.iov = &out_vector, .n_iov = 1, .fds = sent, .n_fds = 3};
    in = (struct loop_message){.iov = &in_vector, .n_iov = 1, .fds = came, .n_fds = 1};
    AWAIT(loop_op_send_msg(NULL, flows[0]->fd, &out, GO));
    CHECK_IS(result, 1);
    before = count_fds();
    AWAIT(loop_op_recv_msg(NULL, flows[1]->fd, &in, GO));
    CHECK_IS(result, 1);
    CHECK_IS(in.n_fds, 1);
    CHECK(in.flags & MSG_CTRUNC);
    CHECK_IS(count_fds(), before + 1);
    close(came[0]);
    for (int i = 0; i < 3; i++) {
        close(sent[i]);
    }
    END;
}

LOOP_TEST(too_many_descriptors_are_refused)
{
    static struct loop_flow *flows[2];
    static struct loop_message out;
    static char byte = 'x';
    static struct iovec vector = {&byte, 1};
    static int fds[LOOP_MAX_FDS + 1];

    BEGIN;
    make_flows(env->scope, flows);
    out = (struct loop_message){.iov = &vector, .n_iov = 1, .fds = fds, .n_fds = LOOP_MAX_FDS + 1};
    AWAIT(loop_op_send_msg(NULL, flows[0]->fd, &out, GO));
    CHECK_IS(result, -EINVAL);
    memset(fds, 0xff, sizeof fds);
    out.n_fds = 1;
    AWAIT(loop_op_send_msg(NULL, flows[0]->fd, &out, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(messages_have_senders_and_destinations)
{
    static struct loop_fd *one, *other;
    static struct sockaddr_in addresses[2], from;
    static socklen_t length = sizeof *addresses;
    static struct loop_message out, in;
    static char text[] = "datagram", got[4];
    static struct iovec out_vector = {text, 8}, in_vector = {got, 4};

    BEGIN;
    one = adopt(env->scope, make_udp(&addresses[0]));
    other = adopt(env->scope, make_udp(&addresses[1]));
    out = (struct loop_message){
        .iov = &out_vector, .n_iov = 1, .address = (struct sockaddr *)&addresses[1], .address_len = sizeof *addresses};
    in = (struct loop_message){
        .iov = &in_vector, .n_iov = 1, .address = (struct sockaddr *)&from, .address_len = sizeof from};
    AWAIT(loop_op_send_msg(NULL, one, &out, GO));
    CHECK_IS(result, 8);
    AWAIT(loop_op_recv_msg(NULL, other, &in, GO));
    CHECK_IS(result, 4);
    CHECK(in.flags & MSG_TRUNC);
    CHECK_IS(in.address_len, length);
    CHECK_IS(from.sin_port, addresses[0].sin_port);
    CHECK_IS(in.n_fds, 0);
    END;
}

/* ---- shutdown, close, cancel, timeout ---- */

LOOP_TEST(shutdown_of_one_direction)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *fd;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_op_shutdown(NULL, flows[0]->fd, SHUT_WR, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_recv(NULL, flows[1]->fd, &byte, 1, 0, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_shutdown(NULL, flows[0]->fd, 17, GO));
    CHECK_IS(result, -EINVAL);
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    AWAIT(loop_op_shutdown(NULL, fd, SHUT_RDWR, GO));
    CHECK_IS(result, -ENOTCONN);
    fd = adopt(env->scope, make_file("", 0));
    AWAIT(loop_op_shutdown(NULL, fd, SHUT_RDWR, GO));
    CHECK_IS(result, -ENOTSOCK);
    END;
}

LOOP_TEST(shutdown_wakes_a_waiting_recv)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    START(loop_op_recv(NULL, flows[0]->fd, &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_op_shutdown(NULL, flows[0]->fd, SHUT_RDWR, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 0);
    END;
}

LOOP_TEST(close_says_when_it_is_done)
{
    static struct loop_flow *flows[2];
    static struct once read, closed;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    START(loop_op_close(env->scope, flows[0]->fd, ONCE(&closed)));
    CHECK(!loop_fd_is_open(flows[0]->fd));
    WAIT_UNTIL(closed.count);
    ONCE_IS(closed, 0);
    ONCE_IS(read, -ECANCELED);
    CHECK(read.order < closed.order);
    CHECK(!is_open(number));
    AWAIT(loop_op_close(env->scope, flows[0]->fd, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(close_cannot_be_cancelled)
{
    static struct loop_flow *flows[2];
    static struct once closed;
    static loop_job job;

    BEGIN;
    make_flows(env->scope, flows);
    CHECK(loop_fd_use(flows[0]->fd) >= 0);
    job = START(loop_op_close(env->scope, flows[0]->fd, ONCE(&closed)));
    loop_cancel(env->loop, job);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(closed.count, 0);
    loop_fd_unuse(flows[0]->fd);
    WAIT_UNTIL(closed.count);
    ONCE_IS(closed, 0);
    END;
}

LOOP_TEST(cancel_as_a_job)
{
    static struct once target;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&target)));
    AWAIT(loop_op_cancel(env->scope, job, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(target.count);
    ONCE_IS(target, -ECANCELED);
    AWAIT(loop_op_cancel(env->scope, job, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_cancel(env->scope, 0, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_cancel(env->scope, UINT64_MAX, GO));
    CHECK_IS(result, -ENOENT);
    END;
}

LOOP_TEST(timeout_ends_with_etime)
{
    static struct once cancelled;
    static loop_job job;
    static int64_t at;

    BEGIN;
    at = now_ns() + 3 * LOOP_MILLISECOND;
    AWAIT(loop_op_timeout(env->scope, at, GO));
    CHECK_IS(result, -ETIME);
    CHECK(now_ns() >= at);
    AWAIT(loop_op_timeout(env->scope, 0, GO));
    CHECK_IS(result, -ETIME);
    job = START(loop_op_timeout(env->scope, LOOP_NEVER, ONCE(&cancelled)));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(cancelled.count);
    ONCE_IS(cancelled, -ECANCELED);
    END;
}

/* ---- statx, fsync ---- */

LOOP_TEST(statx_of_paths_and_descriptors)
{
    static struct statx status;
    static struct loop_fd *file, *directory;

    BEGIN;
    file = adopt(env->scope, make_file("12345", 5));
    directory = adopt(env->scope, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    AWAIT(loop_op_statx(env->scope, file, "", AT_EMPTY_PATH, STATX_SIZE, &status, GO));
    CHECK_IS(result, 0);
    CHECK_IS(status.stx_size, 5);
    AWAIT(loop_op_statx(env->scope, NULL, "/tmp", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, 0);
    CHECK(S_ISDIR(status.stx_mode));
    AWAIT(loop_op_statx(env->scope, directory, ".", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_statx(env->scope, directory, "no such file here", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_statx(env->scope, file, "beneath a file", 0, STATX_TYPE, &status, GO));
    CHECK_IS(result, -ENOTDIR);
    AWAIT(loop_op_statx(env->scope, NULL, "/tmp", 1 << 30, STATX_TYPE, &status, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(fsync_of_files_and_others)
{
    static struct loop_fd *file, *socket;
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    file = adopt(env->scope, make_file("x", 1));
    socket = flows[0]->fd;
    AWAIT(loop_op_fsync(NULL, file, false, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(NULL, file, true, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_op_fsync(NULL, socket, false, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

/* ---- cancel of each that can wait ---- */

static struct loop_flow *waiting[2];
static struct loop_fd *waiting_pipe[2], *waiting_listener, *waiting_full;
static struct loop_chunk *waiting_chunk;
static struct loop_buffers *waiting_buffers;
static char waiting_bytes[64];
static struct iovec waiting_vector = {waiting_bytes, 64};
static struct loop_message waiting_message;

static loop_job wait_read(loop_fn *fn, void *arg)
{
    return loop_op_read(NULL, waiting[0]->fd, waiting_bytes, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_read_pipe(loop_fn *fn, void *arg)
{
    return loop_op_read(NULL, waiting_pipe[0], waiting_bytes, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_readv(loop_fn *fn, void *arg)
{
    return loop_op_readv(NULL, waiting[0]->fd, &waiting_vector, 1, LOOP_CURRENT, fn, arg);
}

static loop_job wait_read_chunk(loop_fn *fn, void *arg)
{
    return loop_op_read_chunk(NULL, waiting_pipe[0], waiting_chunk, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_write(loop_fn *fn, void *arg)
{
    return loop_op_write(NULL, waiting_full, waiting_bytes, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_writev(loop_fn *fn, void *arg)
{
    return loop_op_writev(NULL, waiting_full, &waiting_vector, 1, LOOP_CURRENT, fn, arg);
}

static loop_job wait_recv(loop_fn *fn, void *arg)
{
    return loop_op_recv(NULL, waiting[0]->fd, waiting_bytes, 64, 0, fn, arg);
}

static loop_job wait_send(loop_fn *fn, void *arg)
{
    return loop_op_send(NULL, waiting_full, waiting_bytes, 64, 0, fn, arg);
}

static loop_job wait_recv_msg(loop_fn *fn, void *arg)
{
    return loop_op_recv_msg(NULL, waiting[0]->fd, &waiting_message, fn, arg);
}

static loop_job wait_send_msg(loop_fn *fn, void *arg)
{
    return loop_op_send_msg(NULL, waiting_full, &waiting_message, fn, arg);
}

static loop_job wait_poll(loop_fn *fn, void *arg)
{
    return loop_op_poll_add(NULL, waiting[0]->fd, POLLIN, fn, arg);
}

static loop_job wait_accept(loop_fn *fn, void *arg)
{
    return loop_op_accept(NULL, waiting_listener, NULL, NULL, fn, arg);
}

static loop_job wait_accept_multishot(loop_fn *fn, void *arg)
{
    return loop_op_accept_multishot(NULL, waiting_listener, fn, arg);
}

static loop_job wait_splice(loop_fn *fn, void *arg)
{
    return loop_op_splice(NULL, waiting[0]->fd, LOOP_CURRENT, waiting_pipe[1], LOOP_CURRENT, 64, fn, arg);
}

static loop_job (*const waits[])(loop_fn *fn, void *arg) = {
    wait_read, wait_read_pipe, wait_readv,    wait_read_chunk, wait_write,  wait_writev,           wait_recv,
    wait_send, wait_recv_msg,  wait_send_msg, wait_poll,       wait_accept, wait_accept_multishot, wait_splice};

static void make_waiting(struct loop_scope *scope)
{
    struct sockaddr_in address;
    int fds[2];

    make_flows(scope, waiting);
    make_pipe(fds);
    waiting_pipe[0] = adopt(scope, fds[0]);
    waiting_pipe[1] = adopt(scope, fds[1]);
    waiting_listener = adopt(scope, make_listener(&address));
    make_pair(fds);
    waiting_full = adopt(scope, fds[0]);
    stuff(fds[0]);
    adopt(scope, fds[1]);
    waiting_chunk = loop_chunk_alloc(loop_scope_loop(scope));
    waiting_buffers = loop_buffers_create(scope, 4, 64);
    waiting_message = (struct loop_message){.iov = &waiting_vector, .n_iov = 1};
}

/* At once, before it can have been submitted, and after it has waited for a while. */
LOOP_TEST(every_operation_that_waits_can_be_cancelled)
{
    static struct once ended;
    static loop_job job;
    static unsigned i, delay;

    BEGIN;
    make_waiting(env->scope);
    for (delay = 0; delay < 4; delay++) {
        for (i = 0; i < COUNT_OF(waits); i++) {
            memset(&ended, 0, sizeof ended);
            job = START(waits[i](ONCE(&ended)));
            if (delay > 0) {
                AWAIT(turns(env->scope, delay, GO));
            }
            CHECK_IS(ended.count, 0);
            CHECK_IS(loop_cancel(env->loop, job), 0);
            CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
            WAIT_UNTIL(ended.count);
            if (ended.result != -ECANCELED) {
                ck_abort_msg("operation %u, after %u turns: %lld", i, delay, (long long)ended.result);
            }
        }
    }
    CHECK_IS(loop_chunk_free(env->loop, waiting_chunk), 0);
    END;
}

LOOP_TEST(every_operation_that_waits_ends_with_its_scope)
{
    static struct loop_scope *scope;
    static struct once ended, scope_ended;
    static unsigned i, delay;

    BEGIN;
    for (delay = 0; delay < 3; delay++) {
        for (i = 0; i < COUNT_OF(waits); i++) {
            memset(&ended, 0, sizeof ended);
            memset(&scope_ended, 0, sizeof scope_ended);
            scope = loop_scope_open(env->scope, ONCE(&scope_ended));
            make_waiting(scope);
            START(waits[i](ONCE(&ended)));
            if (delay > 0) {
                AWAIT(turns(env->scope, delay, GO));
            }
            loop_scope_cancel(scope);
            WAIT_UNTIL(scope_ended.count);
            ONCE_IS(ended, -ECANCELED);
            CHECK_IS(loop_chunk_free(env->loop, waiting_chunk), 0);
        }
    }
    END;
}

LOOP_TEST(every_operation_that_waits_ends_when_its_descriptors_close)
{
    static struct loop_scope *scope;
    static struct once ended, scope_ended;
    static unsigned i, delay;

    BEGIN;
    for (delay = 0; delay < 3; delay++) {
        for (i = 0; i < COUNT_OF(waits); i++) {
            memset(&ended, 0, sizeof ended);
            memset(&scope_ended, 0, sizeof scope_ended);
            scope = loop_scope_open(env->scope, ONCE(&scope_ended));
            make_waiting(scope);
            START(waits[i](ONCE(&ended)));
            if (delay > 0) {
                AWAIT(turns(env->scope, delay, GO));
            }
            loop_fd_close(waiting[0]->fd);
            loop_fd_close(waiting_pipe[0]);
            loop_fd_close(waiting_listener);
            loop_fd_close(waiting_full);
            WAIT_UNTIL(scope_ended.count);
            ONCE_IS(ended, -ECANCELED);
            CHECK_IS(loop_chunk_free(env->loop, waiting_chunk), 0);
        }
    }
    END;
}

/* Its data comes in the same turn as the cancel: what won is delivered, and nothing is lost. */
LOOP_TEST(every_read_against_its_data)
{
    static loop_job (*const reads[])(loop_fn *, void *) = {wait_read, wait_readv, wait_recv, wait_recv_msg};
    static struct once ended;
    static loop_job job;
    static unsigned i, round;
    static char got[8];

    BEGIN;
    make_waiting(env->scope);
    for (round = 0; round < 40; round++) {
        for (i = 0; i < COUNT_OF(reads); i++) {
            memset(&ended, 0, sizeof ended);
            waiting_message = (struct loop_message){.iov = &waiting_vector, .n_iov = 1};
            job = START(reads[i](ONCE(&ended)));
            if (round % 2) {
                AWAIT(turns(env->scope, 2, GO));
            }
            CHECK_IS(send(loop_fd_peek(waiting[1]->fd), "d", 1, 0), 1);
            loop_cancel(env->loop, job);
            WAIT_UNTIL(ended.count);
            CHECK(ended.result == 1 || ended.result == -ECANCELED);
            if (ended.result < 0) {
                AWAIT(loop_op_recv(NULL, waiting[0]->fd, got, 8, 0, GO));
                CHECK_IS(result, 1);
            }
        }
    }
    CHECK_IS(loop_chunk_free(env->loop, waiting_chunk), 0);
    END;
}

LOOP_TEST(an_operation_in_another_scope_than_its_descriptor)
{
    static struct loop_scope *scope;
    static struct loop_flow *flows[2];
    static struct once ended, read;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_op_recv(scope, flows[0]->fd, &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(read, -ECANCELED);
    CHECK(loop_fd_is_open(flows[0]->fd));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    AWAIT(loop_op_recv(NULL, flows[0]->fd, &byte, 1, 0, GO));
    CHECK_IS(result, 1);
    END;
}

/* ---- multishot poll ---- */

struct readiness {
    int fd;
    bool drains;
    unsigned events, ends;
    int64_t end;
};

static void on_readiness(void *arg, int64_t result)
{
    struct readiness *readiness = arg;

    CHECK_IS(readiness->ends, 0);
    if (result < 0) {
        readiness->ends++;
        readiness->end = result;
    } else {
        CHECK(result & POLLIN);
        readiness->events++;
        if (readiness->drains) {
            drain(readiness->fd);
        }
    }
    script_poke();
}

LOOP_TEST(multishot_poll_tells_of_all_that_comes)
{
    static struct loop_stats before, after;
    static struct readiness readiness = {.drains = true};
    static struct loop_fd *fd;
    static loop_job job;
    static int pair[2];
    static unsigned i, seen;

    BEGIN;
    make_pair(pair);
    readiness.fd = pair[0];
    fd = adopt(env->scope, pair[0]);
    CHECK_IS(write(pair[1], "early", 5), 5);
    job = START(loop_op_poll_multishot(NULL, fd, on_readiness, &readiness));
    CHECK_IS(readiness.events, 0);
    WAIT_UNTIL(readiness.events > 0);
    for (i = 0; i < 20; i++) {
        AWAIT(turns(env->scope, 2, GO));
        seen = readiness.events;
        CHECK_IS(write(pair[1], "x", 1), 1);
        WAIT_UNTIL(readiness.events > seen);
    }
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 50 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    seen = readiness.events;
    close(pair[1]);
    WAIT_UNTIL(readiness.events > seen);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(readiness.ends, 0);
    WAIT_UNTIL(readiness.ends);
    CHECK_IS(readiness.end, -ECANCELED);
    END;
}

LOOP_TEST(multishot_poll_begins_with_what_is_there_already)
{
    static struct readiness first, second;
    static struct loop_fd *fd;
    static loop_job job;
    static int pair[2];

    BEGIN;
    make_pair(pair);
    fd = adopt(env->scope, pair[0]);
    job = START(loop_op_poll_multishot(NULL, fd, on_readiness, &first));
    WAIT_UNTIL(first.events > 0);
    CHECK_IS(write(pair[1], "x", 1), 1);
    WAIT_UNTIL(first.events > 1);
    loop_cancel(env->loop, job);
    WAIT_UNTIL(first.ends);
    START(loop_op_poll_multishot(NULL, fd, on_readiness, &second)); /* no event will come for the byte */
    WAIT_UNTIL(second.events > 0);
    loop_fd_close(fd);
    WAIT_UNTIL(second.ends);
    CHECK_IS(second.end, -ECANCELED);
    close(pair[1]);
    END;
}

LOOP_TEST(multishot_poll_of_a_file_is_refused)
{
    static struct loop_fd *fd;

    BEGIN;
    fd = adopt(env->scope, make_file("x", 1));
    AWAIT(loop_op_poll_multishot(NULL, fd, GO));
    CHECK_IS(result, -EINVAL);
    END;
}
