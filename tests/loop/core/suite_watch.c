/* SPDX-License-Identifier: ISC
 *
 * How the loop learns about a descriptor's kind and its events: at the descriptor limit, and when the kernel refuses a
 * watch.
 */
#include "harness.h"

#include <loop/part.h>

#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

/* ---- calls that fail when a test says so ---- */

static int watch_error;          /* what EPOLL_CTL_ADD of `watch_number` answers */
static int watch_number = -1;    /* -2: of any */
static int stat_error_of = -1;   /* the number of which fstat fails */
static int option_error_of = -1; /* the number of which getsockopt fails */
static unsigned n_changed;       /* EPOLL_CTL_MOD */

int epoll_ctl(int set, int what, int number, struct epoll_event *event)
{
    if (watch_error && what == EPOLL_CTL_ADD && (watch_number == -2 || watch_number == number)) {
        errno = watch_error;
        return -1;
    }
    n_changed += what == EPOLL_CTL_MOD;
    return (int)syscall(SYS_epoll_ctl, set, what, number, event);
}

int fstat(int number, struct stat *status)
{
    if (number == stat_error_of) {
        errno = EIO;
        return -1;
    }
    return fstatat(number, "", status, AT_EMPTY_PATH);
}

int getsockopt(int number, int level, int name, void *restrict value, socklen_t *restrict len)
{
    if (number == option_error_of) {
        errno = ENOBUFS;
        return -1;
    }
    return (int)syscall(SYS_getsockopt, number, level, name, value, len);
}

static bool is_on_epoll(const struct loop_env *env)
{
    return strcmp(loop_backend_name(env->loop), "epoll") == 0;
}

#define ONLY_ON_EPOLL                                                                                                  \
    if (!is_on_epoll(env)) {                                                                                           \
        script.is_done = true;                                                                                         \
        return;                                                                                                        \
    }                                                                                                                  \
    (void)0

/* ---- what it is ---- */

LOOP_TEST(at_the_descriptor_limit_an_eventfd_is_still_one)
{
    static struct loop_fd *fd;
    static int number;
    static uint64_t value, one = 1;
    static struct once read, cancelled;

    BEGIN;
    number = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    forbid_fds();
    fd = loop_fd_adopt(env->scope, number);
    CHECK(fd != NULL);
    START(loop_op_read(env->scope, fd, &value, sizeof value, LOOP_CURRENT, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read.count, 0);
    CHECK_IS(write(number, &one, sizeof one), sizeof one);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, sizeof value);
    loop_cancel(env->loop, START(loop_read(&loop_fd_flow(fd)->source, (char *)&value, sizeof value, ONCE(&cancelled))));
    WAIT_UNTIL(cancelled.count);
    ONCE_IS(cancelled, -ECANCELED);
    END;
}

LOOP_TEST(at_the_descriptor_limit_every_kind_that_polls_can_be_waited_for)
{
    static int numbers[4];
    static struct once polls[4];

    BEGIN;
    sigset_t set;
    sigemptyset(&set);
    numbers[0] = inotify_init1(IN_CLOEXEC);
    numbers[1] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    numbers[2] = signalfd(-1, &set, SFD_CLOEXEC);
    numbers[3] = epoll_create1(EPOLL_CLOEXEC);
    forbid_fds();
    for (unsigned i = 0; i < COUNT_OF(numbers); i++) {
        struct loop_fd *fd = i % 2 ? loop_fd_borrow(env->scope, numbers[i]) : loop_fd_adopt(env->scope, numbers[i]);
        CHECK(fd != NULL);
        START(loop_poll(fd, POLLIN, ONCE(&polls[i])));
    }
    AWAIT(turns(env->scope, 3, GO));
    for (unsigned i = 0; i < COUNT_OF(numbers); i++) {
        CHECK_IS(polls[i].count, 0); /* a file would be ready */
    }
    close(numbers[1]);
    close(numbers[3]);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    END;
}

LOOP_TEST(devices_that_do_not_poll_are_files_at_the_descriptor_limit)
{
    static int number;
    static char byte;

    BEGIN;
    number = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    forbid_fds();
    AWAIT(loop_read(&loop_fd_flow(loop_fd_adopt(env->scope, number))->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    END;
}

LOOP_TEST(a_full_table_of_watches_does_not_make_a_file_of_an_eventfd)
{
    static struct loop_fd *fd;
    static struct once poll;

    BEGIN;
    watch_number = eventfd(0, EFD_CLOEXEC);
    watch_error = ENOSPC;
    fd = loop_fd_adopt(env->scope, watch_number);
    CHECK(fd != NULL);
    watch_error = 0;
    START(loop_poll(fd, POLLIN, ONCE(&poll)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(poll.count, 0);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    END;
}

LOOP_TEST(what_the_kernel_does_not_tell_is_not_guessed)
{
    static int number, fds[2];

    BEGIN;
    number = eventfd(0, EFD_CLOEXEC);
    stat_error_of = number;
    CHECK(!loop_fd_borrow(env->scope, number));
    CHECK(is_open(number));
    CHECK(!loop_fd_adopt(env->scope, number));
    CHECK(!is_open(number));
    stat_error_of = -1;
    make_pair(fds);
    option_error_of = fds[0];
    CHECK(!loop_fd_adopt(env->scope, fds[0]));
    CHECK(!is_open(fds[0]));
    option_error_of = -1;
    close(fds[1]);
    watch_number = eventfd(0, EFD_CLOEXEC);
    watch_error = ENOSYS;
    CHECK(!loop_fd_adopt(env->scope, watch_number));
    CHECK(!is_open(watch_number));
    watch_error = 0;
    END;
}

LOOP_TEST(a_path_descriptor_of_a_fifo_has_no_operations)
{
    static char path[128], byte;
    static const char *directory;
    static struct loop_fd *fd;

    BEGIN;
    directory = make_directory();
    snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    fd = adopt(env->scope, open(path, O_PATH | O_CLOEXEC));
    AWAIT(loop_op_read(env->scope, fd, &byte, 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    remove_directory(directory);
    END;
}

/* ---- what can't be watched ---- */

static bool has_begun;

static int fail_if_run(struct loop_env *env, void *arg)
{
    (void)arg;
    has_begun = true;
    return is_on_epoll(env) ? 1 : 0;
}

TEST(a_loop_that_can_not_be_woken_does_not_begin)
{
    watch_number = -2;
    watch_error = ENOSPC;
    int result = run(fail_if_run, NULL);
    watch_error = 0;
    if (result == 0 && has_begun) {
        return; /* io_uring needs no watch for it */
    }
    CHECK_IS(result, -ENOSPC);
    CHECK(!has_begun);
    CHECK(strstr(log_text(), "max_user_watches"));
}

/* What each job ends with on a descriptor that the kernel doesn't watch. */
LOOP_TEST(what_waits_for_a_watch_that_was_refused_ends_with_the_reason)
{
    static int fds[2];
    static struct loop_fd *fd;
    static struct once read, poll, both, receive, write, again_read;
    static struct tally multishot;
    static char bytes[2];
    static size_t n;

    BEGIN;
    ONLY_ON_EPOLL;
    make_pair(fds);
    set_small_buffers(fds[0]);
    n = stuff(fds[0]);
    watch_number = fds[0];
    watch_error = ENOSPC;
    fd = adopt(env->scope, fds[0]);
    START(loop_read(&loop_fd_flow(fd)->source, bytes, 1, ONCE(&read)));
    WAIT_UNTIL(read.count);
    ONCE_IS(read, -ENOSPC);
    START(loop_poll(fd, POLLIN, ONCE(&poll)));
    START(loop_poll(fd, POLLIN | POLLOUT, ONCE(&both)));
    START(loop_op_recv(env->scope, fd, bytes, 1, 0, ONCE(&receive)));
    START(loop_op_poll_multishot(env->scope, fd, TALLY(&multishot)));
    WAIT_UNTIL(poll.count && both.count && receive.count && multishot.others);
    ONCE_IS(poll, -ENOSPC);
    ONCE_IS(both, -ENOSPC);
    ONCE_IS(receive, -ENOSPC);
    START(loop_write(&loop_fd_flow(fd)->sink, "z", 1, ONCE(&write)));
    WAIT_UNTIL(write.count);
    ONCE_IS(write, -ENOSPC);
    CHECK(strstr(log_text(), "max_user_watches"));
    watch_error = 0;
    CHECK_IS(drain(fds[1]), n);
    START(loop_read(&loop_fd_flow(fd)->source, bytes, 1, ONCE(&again_read))); /* where there is room it goes on */
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(send(fds[1], "y", 1, 0), 1);
    WAIT_UNTIL(again_read.count);
    ONCE_IS(again_read, 1);
    close(fds[1]);
    END;
}

/* The number of the first epoll set of this process. */
static int find_set(void)
{
    char path[64], what[64];
    for (int number = 0; number < 256; number++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", number);
        ssize_t length = readlink(path, what, sizeof what - 1);
        what[length > 0 ? length : 0] = 0;
        if (strcmp(what, "anon_inode:[eventpoll]") == 0) {
            return number;
        }
    }
    return -1;
}

static int64_t work(void *arg)
{
    (void)arg;
    return 7;
}

LOOP_TEST(a_set_that_the_program_closes_ends_the_loop_with_the_reason)
{
    static struct once read, poll, slept, worked, accepted, stolen;
    static struct sockaddr_in address;
    static struct loop_fd *fd;
    static int fds[2];
    static char byte;

    BEGIN;
    ONLY_ON_EPOLL;
    make_pair(fds);
    fd = adopt(env->scope, fds[0]);
    START(loop_read(&loop_fd_flow(fd)->source, &byte, 1, ONCE(&read)));
    START(loop_poll(fd, POLLIN, ONCE(&poll)));
    START(loop_sleep(env->scope, 3600 * LOOP_SECOND, ONCE(&slept)));
    START(loop_op_accept(env->scope, adopt(env->scope, make_listener(&address)), NULL, NULL, ONCE(&accepted)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(close(find_set()), 0);
    START(loop_work(env->scope, work, NULL, ONCE(&worked)));
    script.expected = -EBADF;
    WAIT_UNTIL(read.count && poll.count && slept.count && worked.count && accepted.count);
    ONCE_IS(read, -ECANCELED);
    ONCE_IS(poll, -ECANCELED);
    ONCE_IS(slept, -ECANCELED);
    ONCE_IS(accepted, -ECANCELED);
    CHECK(worked.result == 7 || worked.result == -ECANCELED);
    START(loop_poll(fd, POLLIN, ONCE(&stolen))); /* nothing begins any more */
    WAIT_UNTIL(stolen.count);
    ONCE_IS(stolen, -ECANCELED);
    CHECK(strstr(log_text(), "epoll_wait failed"));
    close(fds[1]);
    END;
}

LOOP_TEST(signals_that_can_not_be_heard_say_why)
{
    static struct once heard, later;

    BEGIN;
    ONLY_ON_EPOLL;
    watch_number = -2;
    watch_error = ENOMEM;
    START(loop_signal(env->scope, SIGUSR1, ONCE(&heard)));
    WAIT_UNTIL(heard.count);
    ONCE_IS(heard, -ENOMEM);
    watch_error = 0;
    AWAIT(turns(env->scope, 2, GO));
    START(loop_signal(env->scope, SIGUSR1, ONCE(&later)));
    CHECK_IS(raise(SIGUSR1), 0);
    WAIT_UNTIL(later.count);
    ONCE_IS(later, SIGUSR1);
    END;
}

/* ---- the interest in output, which an epoll set has only while writes wait for room ---- */

LOOP_TEST(a_sink_that_is_full_after_each_write_is_watched_for_room_once)
{
    enum { SIZE = 65536, WRITES = 20 };
    static char sent[SIZE], bytes[WRITES * SIZE];
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct record record;
    static unsigned n;

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    record = (struct record){.data = bytes, .room = sizeof bytes};
    START(loop_stream(source, RECORD(&record)));
    n_changed = 0;
    for (n = 0; n < WRITES; n++) {
        AWAIT(loop_write(sink, sent, SIZE, GO));
        CHECK_IS(result, SIZE);
    }
    CHECK(n_changed <= 2);
    WAIT_UNTIL(record.length == sizeof bytes);
    AWAIT(loop_shutdown(sink, GO));
    WAIT_UNTIL(record.ends);
    END;
}

LOOP_TEST(a_sink_that_no_write_waits_for_is_watched_for_room_no_longer)
{
    static struct loop_flow *flow;
    static struct once write;
    static int fds[2];
    static unsigned n;

    BEGIN;
    make_pair(fds);
    set_small_buffers(fds[0]);
    flow = flow_of(env->scope, fds[0]);
    n_changed = 0;
    (void)stuff(fds[0]);
    START(loop_write(&flow->sink, "x", 1, ONCE(&write)));
    AWAIT(turns(env->scope, 2, GO));
    (void)drain(fds[1]);
    WAIT_UNTIL(write.count);
    for (n = 0; n < 10; n++) { /* each read of the peer makes an event for output */
        AWAIT(loop_write(&flow->sink, "y", 1, GO));
        AWAIT(turns(env->scope, 2, GO));
        (void)drain(fds[1]);
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(n_changed, is_on_epoll(env)); /* the first write that waited has added the descriptor */
    close(fds[1]);
    END;
}

/* ---- files that can be polled ---- */

/* Of this process alone, where the rights are there. */
static bool have_own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static struct loop_fd *open_mounts(struct loop_scope *scope)
{
    return adopt(scope, open("/proc/self/mounts", O_RDONLY | O_CLOEXEC));
}

LOOP_TEST(file_that_can_be_polled_is_waited_for)
{
    static struct loop_fd *mounts;
    static struct once poll, second, closed;
    static loop_job job;

    BEGIN;
    mounts = open_mounts(env->scope);
    AWAIT(loop_poll(mounts, POLLIN | POLLPRI, GO));
    CHECK_IS(result, POLLIN);
    job = START(loop_poll(mounts, POLLPRI, ONCE(&poll)));
    START(loop_op_poll_add(NULL, mounts, POLLPRI, ONCE(&second)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(poll.count + second.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(poll.count);
    ONCE_IS(poll, -ECANCELED);
    loop_op_close(env->scope, mounts, ONCE(&closed));
    WAIT_UNTIL(closed.count);
    ONCE_IS(second, -ECANCELED);
    END;
}

/* The kernel reports a change once for each open file: every waiting job must receive it, and no change may be lost. */
LOOP_TEST(each_poll_of_a_file_hears_of_a_change)
{
    static struct loop_fd *mounts;
    static struct once polls[3];
    static const char *directory;
    static unsigned round;

    BEGIN;
    if (!have_own_mounts()) {
        script.is_done = true;
        return;
    }
    directory = make_directory();
    mounts = open_mounts(env->scope);
    for (round = 0; round < 4; round++) {
        memset(polls, 0, sizeof polls);
        START(loop_poll(mounts, POLLPRI, ONCE(&polls[0])));
        START(loop_poll(mounts, POLLPRI, ONCE(&polls[1])));
        AWAIT(turns(env->scope, 1 + round, GO));
        CHECK_IS(polls[0].count + polls[1].count, 0);
        CHECK_IS(round % 2 ? umount(directory) : mount("none", directory, "tmpfs", 0, NULL), 0);
        START(loop_poll(mounts, POLLPRI, ONCE(&polls[2])));
        WAIT_UNTIL(polls[0].count && polls[1].count && polls[2].count);
        CHECK(polls[0].result & POLLPRI && polls[1].result & POLLPRI && polls[2].result & POLLPRI);
    }
    remove_directory(directory);
    END;
}

LOOP_TEST(file_that_can_not_be_polled_has_no_other_events)
{
    static struct loop_fd *file;

    BEGIN;
    file = adopt(env->scope, make_file("x", 1));
    AWAIT(loop_poll(file, POLLPRI, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_poll(file, POLLPRI | POLLOUT, GO));
    CHECK_IS(result, POLLOUT);
    END;
}
