/* SPDX-License-Identifier: ISC
 *
 * Standard input, output and error of every kind: files, pipes, sockets, terminals, and closed.
 */
#include "sockets.h"

#include <pty.h>

/* ---- standard input of every kind ---- */

static struct {
    char bytes[256];
    int64_t result;
} input;

static void on_input(void *sink, int64_t result)
{
    size_t length = 0;
    const void *data = loop_memory_data(sink, &length);

    CHECK(length < sizeof input.bytes);
    if (length > 0) {
        memcpy(input.bytes, data, length);
    }
    input.bytes[length] = 0;
    input.result = result;
}

static int copy_input(struct loop_env *env, void *unused)
{
    struct loop_sink *sink = loop_memory_sink(env->scope, 0);

    (void)unused;
    return loop_copy(env->in, sink, on_input, sink) ? 0 : 1;
}

static void on_input_read(void *unused, int64_t result)
{
    (void)unused;
    input.result = result;
    input.bytes[result > 0 ? result : 0] = 0;
}

static int read_input(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_read(env->in, input.bytes, sizeof input.bytes - 1, on_input_read, NULL) ? 0 : 1;
}

/* `fd` becomes standard input; its flags have to be as they were afterwards, and it has to be open still. */
static void check_input(int fd, int64_t result, const char *bytes)
{
    int flags = fcntl(fd, F_GETFL);

    CHECK_IS(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    CHECK_IS(run(copy_input, NULL), 0);
    CHECK_IS(input.result, result);
    CHECK_TEXT(input.bytes, bytes);
    CHECK_IS(fcntl(STDIN_FILENO, F_GETFL), flags);
    CHECK_IS(fcntl(STDIN_FILENO, F_GETFD), 0);
    close(fd);
}

TEST(input_from_a_file)
{
    check_input(make_file("a file", 6), 6, "a file");
}

TEST(input_from_a_file_goes_on_where_it_stands)
{
    int fd = make_file("before and after", 16);

    CHECK_IS(lseek(fd, 7, SEEK_SET), 7);
    check_input(fd, 9, "and after");
    CHECK_IS(lseek(STDIN_FILENO, 0, SEEK_CUR), 16);
}

TEST(input_from_a_pipe)
{
    int fds[2];

    make_pipe(fds);
    CHECK_IS(write(fds[1], "a pipe", 6), 6);
    close(fds[1]);
    check_input(fds[0], 6, "a pipe");
}

TEST(input_from_a_socket)
{
    int fds[2];

    make_pair(fds);
    CHECK_IS(write(fds[1], "a socket", 8), 8);
    close(fds[1]);
    check_input(fds[0], 8, "a socket");
}

TEST(input_from_dev_null)
{
    check_input(open("/dev/null", O_RDONLY), 0, "");
}

TEST(input_from_a_directory_is_eisdir)
{
    check_input(open("/tmp", O_RDONLY | O_DIRECTORY), -EISDIR, "");
}

TEST(input_only_for_writing_is_ebadf)
{
    check_input(open("/dev/null", O_WRONLY), -EBADF, "");
}

TEST(input_from_a_terminal)
{
    int master, slave;
    const char typed[] = {'a', ' ', 't', 't', 'y', '\n', 4}; /* ^D at the start of a line is the end */

    CHECK_IS(openpty(&master, &slave, NULL, NULL, NULL), 0);
    CHECK_IS(write(master, typed, sizeof typed), sizeof typed);
    check_input(slave, 6, "a tty\n");
    close(master);
}

TEST(input_from_a_terminal_that_hangs_up)
{
    int master, slave;

    CHECK_IS(openpty(&master, &slave, NULL, NULL, NULL), 0);
    close(master);
    CHECK_IS(dup2(slave, STDIN_FILENO), STDIN_FILENO);
    CHECK_IS(run(read_input, NULL), 0);
    CHECK(input.result == 0 || input.result == -EIO);
    close(slave);
}

static int close_standard(void *unused)
{
    (void)unused;
    for (int fd = 0; fd <= 2; fd++) {
        close(fd);
    }
    int answer = run(copy_input, NULL);
    if (answer != 0 || input.result != 0) {
        return 1;
    }
    for (int fd = 0; fd <= 2; fd++) {
        if (is_open(fd)) {
            return 2;
        }
    }
    return 0;
}

TEST(input_output_and_error_all_closed)
{
    CHECK_CHILD(close_standard, NULL);
}

static int write_output(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_write(env->out, "x", 1, on_input_read, NULL) ? 0 : 1;
}

static int close_output(void *unused)
{
    (void)unused;
    close(STDOUT_FILENO);
    int answer = run(write_output, NULL);
    return answer == 0 && input.result == -EBADF && !is_open(STDOUT_FILENO) ? 0 : 1;
}

TEST(output_that_is_closed_is_ebadf)
{
    CHECK_CHILD(close_output, NULL);
}

static int full_output(void *unused)
{
    (void)unused;
    dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
    int answer = run(write_output, NULL);
    return answer == 0 && input.result == -ENOSPC ? 0 : 1;
}

TEST(output_that_is_full_is_enospc)
{
    CHECK_CHILD(full_output, NULL);
}

/* ---- a terminal that is full ---- */

static int master;
static char lines[100000], shown[sizeof lines];
static size_t n_shown;
static struct once written;

/* Starts a write to a terminal of which a part has arrived. */
static loop_job write_to_terminal(struct loop_env *env)
{
    int slave;

    CHECK_IS(openpty(&master, &slave, NULL, NULL, NULL), 0);
    set_nonblocking(master);
    memset(lines, 'x', sizeof lines);
    struct loop_fd *fd = adopt(env->scope, slave);
    return START(loop_write(&loop_fd_flow(fd)->sink, lines, sizeof lines, ONCE(&written)));
}

static void show(void)
{
    ssize_t n;

    while ((n = read(master, shown, sizeof shown)) > 0) {
        n_shown += (size_t)n;
    }
}

/* The count is what has arrived, or still does. */
static void check_shown(void)
{
    size_t told = written.result > 0 ? (size_t)written.result : 0;

    while (n_shown < told) {
        CHECK_IS(poll(&(struct pollfd){.fd = master, .events = POLLIN}, 1, -1), 1);
        show();
    }
    show();
    CHECK_IS(n_shown, told);
    CHECK(told < sizeof lines);
    close(master);
}

/* A thread may be stuck in it: then it ends when the other side has read. */
LOOP_TEST(p03_a_cancelled_write_to_a_full_terminal_uses_its_memory_until_its_end)
{
    static loop_job job;

    BEGIN;
    job = write_to_terminal(env);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    while (written.count == 0) {
        show();
        AWAIT(turns(env->scope, 1, GO));
    }
    if (written.result < (int64_t)sizeof lines) {
        check_shown();
    } else {
        close(master);
    }
    END;
}

LOOP_TEST_WITH(p27_a_cancelled_write_to_a_full_terminal_is_interrupted, .interrupt_signal = SIGRTMIN)
{
    static loop_job job;

    BEGIN;
    job = write_to_terminal(env);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(written.count);
    check_shown();
    END;
}
