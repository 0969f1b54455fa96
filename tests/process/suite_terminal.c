/* SPDX-License-Identifier: ISC
 *
 * Programs with terminals, and terminals of this process.
 */
#include "programs.h"

#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

static const struct loop_spawn_fd all_three[] = {{.number = 0, .how = LOOP_SPAWN_TERMINAL},
                                                 {.number = 1, .how = LOOP_SPAWN_TERMINAL},
                                                 {.number = 2, .how = LOOP_SPAWN_TERMINAL}};

#define WITH_TERMINAL(script_text)                                                                                     \
    shell_with(env->scope, (struct loop_spawn_options){.fds = all_three, .n_fds = 3, .rows = 30, .columns = 100},      \
               (script_text), GO)

static struct loop_flow *terminal;
static char text[4096];
static size_t text_len;

static loop_job read_more(void)
{
    terminal = loop_process_flow(process, 0);
    return loop_read(&terminal->source, text + text_len, sizeof text - 1 - text_len, GO);
}

/* Reads until `words` have come. */
#define AWAIT_TEXT(words)                                                                                              \
    while (!strstr(text, (words))) {                                                                                   \
        AWAIT(read_more());                                                                                            \
        CHECK(result > 0);                                                                                             \
        text_len += (size_t)result;                                                                                    \
    }

LOOP_TEST(a_program_has_a_terminal_that_controls_its_session)
{
    BEGIN;
    AWAIT(WITH_TERMINAL("test -t 0 && test -t 1 && test -t 2 && stty size && : >/dev/tty && echo done >&2"));
    CHECK_STARTED(result);
    CHECK(loop_process_flow(process, 1) == NULL);
    do {
        AWAIT(read_more());
        text_len += result > 0 ? (size_t)result : 0;
    } while (result > 0);
    CHECK_IS(result, 0); /* pty(7): read(2) fails with EIO */
    CHECK_TEXT(text, "30 100\r\ndone\r\n");
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, 0);
    END;
}

/* So does a terminal that the program has made itself, whether the loop may make it nonblocking or not. */
LOOP_TEST_ROWS(a_terminal_ends_when_nobody_has_its_other_side, 2)
{
    static struct loop_fd *fd;
    static struct loop_flow *flow;
    static int ends[2];

    BEGIN;
    CHECK_IS(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
    fd = script.row ? loop_fd_borrow(env->scope, ends[0]) : loop_fd_adopt(env->scope, ends[0]);
    flow = loop_fd_flow(fd);
    CHECK_IS(write(ends[1], "last", 4), 4);
    AWAIT(loop_read(&flow->source, text, 4, GO));
    CHECK_IS(result, 4);
    close(ends[1]);
    AWAIT(loop_read(&flow->source, text, sizeof text, GO));
    CHECK_IS(result, 0);
    loop_fd_destroy(fd);
    if (script.row) {
        close(ends[0]);
    }
    END;
}

/* What a write to one side of a terminal of this process waits for: its other side does not read. */
static struct {
    int ends[2];
    struct loop_fd *fd;
    struct once written;
    loop_job write;
    char bytes[100000], read[100000];
    size_t read_len;
} full;

/* Makes a terminal that passes all bytes on as they are. */
static void open_raw(void)
{
    struct termios raw;

    memset(&full, 0, sizeof full);
    CHECK_IS(openpty(&full.ends[0], &full.ends[1], NULL, NULL, NULL), 0);
    CHECK_IS(tcgetattr(full.ends[1], &raw), 0);
    cfmakeraw(&raw);
    CHECK_IS(tcsetattr(full.ends[1], TCSANOW, &raw), 0);
}

/* Makes a terminal, and an object of one side of it. Another program has made that one nonblocking, where `is_shared`
 * says so. */
static void make_full(struct loop_scope *scope, int side, bool is_shared)
{
    open_raw();
    fill_pattern(full.bytes, sizeof full.bytes, 9);
    CHECK_IS(fcntl(full.ends[!side], F_SETFL, O_RDWR | O_NONBLOCK), 0);
    if (is_shared) {
        CHECK_IS(fcntl(full.ends[side], F_SETFL, O_RDWR | O_NONBLOCK), 0);
    }
    full.fd = loop_fd_borrow(scope, full.ends[side]);
    full.write = START(loop_write(&loop_fd_flow(full.fd)->sink, full.bytes, sizeof full.bytes, ONCE(&full.written)));
}

/* Reads what the other side has got. Returns whether there was something. */
static bool read_other_side(int side)
{
    ssize_t n = read(full.ends[!side], full.read + full.read_len, sizeof full.read - full.read_len);

    full.read_len += n > 0 ? (size_t)n : 0;
    return n > 0;
}

static void close_full(void)
{
    loop_fd_destroy(full.fd);
    close(full.ends[0]);
    close(full.ends[1]);
}

LOOP_TEST_ROWS(p13_a_write_that_a_terminal_has_no_room_for_holds_up_nothing, 4)
{
    BEGIN;
    make_full(env->scope, script.row & 1, script.row & 2);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(full.written.count, 0);
    while (full.read_len < sizeof full.read) {
        (void)read_other_side(script.row & 1);
        AWAIT(turns(env->scope, 1, GO));
    }
    WAIT_UNTIL(full.written.count);
    ONCE_IS(full.written, sizeof full.bytes);
    CHECK(is_pattern(full.read, sizeof full.read, 9));
    close_full();
    END;
}

/* By epoll, and where the ring refuses it, a thread of the pool writes, which a cancel does not interrupt. */
LOOP_TEST_ROWS(p05_a_cancelled_write_to_a_terminal_tells_what_has_gone, 4)
{
    BEGIN;
    make_full(env->scope, script.row & 1, script.row & 2);
    while (!read_other_side(script.row & 1)) {
        AWAIT(turns(env->scope, 1, GO));
    }
    CHECK_IS(loop_cancel(env->loop, full.write), 0);
    while (!full.written.count) {
        if (strcmp(loop_backend_name(env->loop), "epoll") == 0 || is_hard("refuse")) {
            (void)read_other_side(script.row & 1);
        }
        AWAIT(turns(env->scope, 1, GO));
    }
    while (read_other_side(script.row & 1)) {
    }
    ONCE_IS(full.written, full.read_len);
    CHECK(is_pattern(full.read, full.read_len, 9));
    close_full();
    END;
}

/* In the second row the bytes are unread ones. A thread of the pool waits for the terminal, which another program has
 * made nonblocking and stopped. */
LOOP_TEST_ROWS(p18_a_splice_waits_for_a_stopped_terminal, 2)
{
    enum { ROUNDS = 20 };
    static struct loop_stats before, after;
    static struct loop_fd *from;
    static struct once spliced;
    static unsigned round;
    static int fds[2];

    BEGIN;
    open_raw();
    CHECK_IS(fcntl(full.ends[1], F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_IS(tcflow(full.ends[1], TCOOFF), 0);
    full.fd = loop_fd_borrow(env->scope, full.ends[1]);
    make_pipe(fds);
    from = adopt(env->scope, fds[0]);
    if (script.row == 0) {
        CHECK_IS(write(fds[1], "bytes", 5), 5);
    } else {
        CHECK_IS(loop_fd_unread(from, "bytes", 5), 0);
    }
    START(loop_op_splice(NULL, from, LOOP_CURRENT, full.fd, LOOP_CURRENT, 5, ONCE(&spliced)));
    AWAIT(turns(env->scope, 3, GO));
    loop_get_stats(env->loop, &before);
    for (round = 0; round < ROUNDS; round++) {
        AWAIT(loop_sleep(env->scope, LOOP_MILLISECOND, GO));
    }
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 4 * ROUNDS);
    CHECK_IS(spliced.count, 0);
    CHECK_IS(tcflow(full.ends[1], TCOON), 0);
    WAIT_UNTIL(spliced.count);
    CHECK(spliced.result == 5 || is_hard("short"));
    close(fds[1]);
    close_full();
    END;
}

LOOP_TEST(what_is_written_is_echoed_and_read_by_the_program)
{
    BEGIN;
    AWAIT(WITH_TERMINAL("read -r line; echo \"got $line\""));
    CHECK_STARTED(result);
    terminal = loop_process_flow(process, 0);
    AWAIT(loop_write(&terminal->sink, "a line\n", 7, GO));
    CHECK_IS(result, 7);
    AWAIT_TEXT("got a line\r\n");
    CHECK_TEXT(text, "a line\r\ngot a line\r\n");
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(a_terminal_gets_another_size_and_its_program_a_signal)
{
    BEGIN;
    AWAIT(WITH_TERMINAL("trap 'stty size; kill $!; exit 3' WINCH; sleep 1000 & echo ready; wait"));
    CHECK_STARTED(result);
    CHECK_IS(loop_process_resize(process, 65536, 1), -EINVAL);
    AWAIT_TEXT("ready\r\n");
    CHECK_IS(loop_process_resize(process, 40, 120), 0);
    AWAIT_TEXT("40 120\r\n");
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, EXITED(3));
    END;
}

LOOP_TEST(a_program_whose_terminal_closes_gets_a_hangup)
{
    BEGIN;
    AWAIT(WITH_TERMINAL("echo ready; exec sleep 1000"));
    CHECK_STARTED(result);
    AWAIT_TEXT("ready\r\n");
    loop_flow_close(terminal);
    CHECK_IS(loop_process_resize(process, 1, 1), -ENOTTY);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK(WIFSIGNALED((int)result) && WTERMSIG((int)result) == SIGHUP);
    END;
}

LOOP_TEST(p30_a_child_with_a_terminal_ends_with_its_scope)
{
    static struct loop_scope *scope;
    static struct once ended;
    static pid_t pid;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    AWAIT(shell_with(scope, (struct loop_spawn_options){.fds = all_three, .n_fds = 3}, "exec sleep 1000", GO));
    CHECK_STARTED(result);
    pid = loop_process_pid(process);
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    CHECK(kill(pid, 0) < 0 && errno == ESRCH);
    END;
}

LOOP_TEST(sizes_that_no_terminal_has_are_refused)
{
    static const struct loop_spawn_options options = {.fds = all_three, .n_fds = 3, .columns = 65536};

    BEGIN;
    AWAIT(loop_spawn(env->scope, "true", &options, &process, &spawn_error, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(strstr(spawn_error.text, "its options"));
    AWAIT(loop_spawn(env->scope, "true", NULL, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    CHECK_IS(loop_process_resize(process, 1, 1), -ENOTTY);
    END;
}

/* A program that cannot be executed, and no descriptors: the harness finds what is left. */
LOOP_TEST(a_start_that_fails_leaves_no_terminal)
{
    static const struct loop_spawn_options options = {.fds = all_three, .n_fds = 3};
    static rlim_t before;

    BEGIN;
    AWAIT(loop_spawn(env->scope, "/nowhere/program", &options, &process, &spawn_error, GO));
    CHECK_IS(result, -ENOENT);
    before = limit_fds((rlim_t)limit_with_free_fds(1));
    AWAIT(loop_spawn(env->scope, "true", &options, &process, &spawn_error, GO));
    limit_fds(before);
    CHECK_IS(result, -EMFILE);
    CHECK(strstr(spawn_error.text, "making its pipes"));
    END;
}

/* ---- terminals of this process ---- */

static int ours, theirs;

static void open_terminal(void)
{
    struct winsize size = {.ws_row = 25, .ws_col = 80};

    ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(ours >= 0);
    CHECK_IS(grantpt(ours), 0);
    CHECK_IS(unlockpt(ours), 0);
    theirs = open(ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(theirs >= 0);
    CHECK_IS(ioctl(theirs, TIOCSWINSZ, &size), 0);
}

static void close_terminal(void)
{
    CHECK_IS(close(theirs), 0);
    CHECK_IS(close(ours), 0);
}

static bool echoes(void)
{
    struct termios settings;

    CHECK_IS(tcgetattr(theirs, &settings), 0);
    return settings.c_lflag & ECHO;
}

LOOP_TEST(a_terminal_is_raw_until_its_scope_ends)
{
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    open_terminal();
    scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(echoes());
    CHECK_IS(loop_terminal_set_raw(scope, theirs), 0);
    CHECK(!echoes());
    CHECK_IS(ended.count, 0);
    WAIT_UNTIL(ended.count);
    CHECK(echoes());
    close_terminal();
    END;
}

LOOP_TEST(what_is_no_terminal_is_refused)
{
    static struct loop_scope *scope;
    static struct once ended;
    static unsigned rows, columns;

    BEGIN;
    open_terminal();
    CHECK_IS(loop_terminal_get_size(theirs, &rows, &columns), 0);
    CHECK_IS(rows, 25);
    CHECK_IS(columns, 80);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(scope);
    CHECK_IS(loop_terminal_set_raw(scope, theirs), -ECANCELED);
    close_terminal();
    ours = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK_IS(loop_terminal_get_size(ours, &rows, &columns), -ENOTTY);
    CHECK_IS(loop_terminal_set_raw(env->scope, ours), -ENOTTY);
    CHECK_IS(close(ours), 0);
    CHECK_IS(loop_terminal_get_size(ours, &rows, &columns), -EBADF);
    CHECK_IS(loop_terminal_set_raw(env->scope, ours), -EBADF);
    WAIT_UNTIL(ended.count);
    END;
}

#if !HAS_SANITIZER

LOOP_TEST(without_memory_a_terminal_stays_as_it_is)
{
    static struct loop_scope *scope;
    static unsigned long n;
    static int error;

    BEGIN;
    open_terminal();
    for (n = 1, error = -ENOMEM; error < 0; n++) {
        fail_allocation(n, false);
        scope = loop_scope_open(env->scope, NULL, NULL);
        error = scope ? loop_terminal_set_raw(scope, theirs) : -ENOMEM;
        fail_allocation(0, false);
        CHECK(error == 0 || error == -ENOMEM);
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK(echoes());
    close_terminal();
    END;
}

#endif
