/* SPDX-License-Identifier: ISC
 *
 * The door's functions for readiness, epoll and poll: the real kernel and the simulated one must give the same answers,
 * edges among them.
 */
#include "kernel.h"

enum { PAGE = 4096, FULL = 16 * PAGE };

static char bytes[2 * FULL];

static int new_set(void)
{
    int set = loop_kernel_epoll_create1(EPOLL_CLOEXEC);
    CHECK(set >= 0);
    return set;
}

static void new_pipe(int pipe[2])
{
    CHECK_IS(loop_kernel_pipe2(pipe, O_NONBLOCK | O_CLOEXEC), 0);
}

static int control(int set, int what, int number, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = number};
    return loop_kernel_epoll_ctl(set, what, number, &event);
}

/* Returns the number of items that are reported at once. */
static int count(int set)
{
    struct epoll_event events[8];
    return loop_kernel_epoll_wait(set, events, 8, 0);
}

/* Returns the events of the only item that is reported at once, or 0. */
static unsigned events_of(int set)
{
    struct epoll_event events[8];
    int n = loop_kernel_epoll_wait(set, events, 8, 0);
    CHECK(n == 0 || n == 1);
    return n == 1 ? events[0].events : 0;
}

static void write_byte(int number)
{
    CHECK_IS(loop_kernel_write(number, "x", 1), 1);
}

static void read_bytes(int number, size_t len)
{
    CHECK_IS(loop_kernel_read(number, bytes, len), len);
}

/* ---- changing a set ---- */

TEST(epoll_set_is_a_descriptor_without_bytes)
{
    int set = new_set();
    struct stat status;

    CHECK_IS(loop_kernel_fcntl(set, F_GETFL, 0), O_RDWR);
    CHECK_IS(loop_kernel_fcntl(set, F_GETFD, 0), FD_CLOEXEC);
    CHECK_FAILS(loop_kernel_read(set, bytes, 8), EINVAL);
    CHECK_FAILS(loop_kernel_write(set, bytes, 8), EINVAL);
    CHECK_IS(loop_kernel_lseek(set, 0, SEEK_SET), 0);
    CHECK_IS(loop_kernel_fstat(set, &status), 0);
    CHECK_IS(status.st_mode, 0600);
    CHECK_IS(loop_kernel_close(set), 0);
    CHECK_FAILS(loop_kernel_epoll_create1(1), EINVAL);
}

TEST(epoll_ctl_refuses_what_is_wrong)
{
    int set = new_set(), pipe[2];

    new_pipe(pipe);
    CHECK_FAILS(control(set, EPOLL_CTL_MOD, pipe[0], EPOLLIN), ENOENT);
    CHECK_FAILS(control(set, EPOLL_CTL_DEL, pipe[0], EPOLLIN), ENOENT);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN), 0);
    CHECK_FAILS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN), EEXIST);
    CHECK_FAILS(control(set, 99, pipe[0], EPOLLIN), EINVAL);
    CHECK_FAILS(control(set, EPOLL_CTL_ADD, set, EPOLLIN), EINVAL);
    CHECK_FAILS(control(pipe[0], EPOLL_CTL_ADD, pipe[1], EPOLLIN), EINVAL);
    CHECK_FAILS(control(set, EPOLL_CTL_ADD, -1, EPOLLIN), EBADF);
    CHECK_FAILS(control(-1, EPOLL_CTL_ADD, pipe[0], EPOLLIN), EBADF);
    CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_DEL, pipe[0], NULL), 0);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN), 0);
    CHECK_IS(loop_kernel_close(set), 0);
    close_both(pipe);
}

TEST(epoll_wait_refuses_what_is_wrong)
{
    int set = new_set(), pipe[2];
    struct epoll_event event;
    struct __kernel_timespec wrong[] = {{-1, 0}, {0, 1000000000}, {0, -1}};

    new_pipe(pipe);
    CHECK_FAILS(loop_kernel_epoll_wait(set, &event, 0, 0), EINVAL);
    volatile int fewer_than_none = -1; /* compilers warn of a negative count */
    CHECK_FAILS(loop_kernel_epoll_wait(set, &event, fewer_than_none, 0), EINVAL);
    CHECK_FAILS(loop_kernel_epoll_wait(pipe[0], &event, 1, 0), EINVAL);
    CHECK_FAILS(loop_kernel_epoll_wait(-1, &event, 1, 0), EBADF);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        CHECK_FAILS(loop_kernel_epoll_pwait2(set, &event, 1, &wrong[i], NULL), EINVAL);
    }
    CHECK_IS(loop_kernel_epoll_pwait2(set, &event, 1, &(struct __kernel_timespec){0, 1000}, NULL), 0);
    CHECK_IS(loop_kernel_close(set), 0);
    close_both(pipe);
}

TEST(epoll_exclusive_is_only_added)
{
    int set = new_set(), inner = new_set(), pipe[2];

    new_pipe(pipe);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN | EPOLLEXCLUSIVE), 0);
    CHECK_FAILS(control(set, EPOLL_CTL_MOD, pipe[0], EPOLLIN), EINVAL);
    CHECK_FAILS(control(set, EPOLL_CTL_MOD, pipe[0], EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    CHECK_FAILS(control(set, EPOLL_CTL_ADD, pipe[1], EPOLLOUT | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
    CHECK_FAILS(control(set, EPOLL_CTL_ADD, inner, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    write_byte(pipe[1]);
    CHECK_IS(events_of(set), EPOLLIN);
    CHECK_IS(loop_kernel_close(set), 0);
    CHECK_IS(loop_kernel_close(inner), 0);
    close_both(pipe);
}

/* ---- levels, edges and one shot ---- */

TEST(epoll_level_is_reported_while_it_holds)
{
    int set = new_set(), pipe[2];

    new_pipe(pipe);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN), 0);
    CHECK_IS(events_of(set), 0);
    write_byte(pipe[1]);
    CHECK_IS(events_of(set), EPOLLIN);
    CHECK_IS(events_of(set), EPOLLIN);
    read_bytes(pipe[0], 1);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_close(set), 0);
    close_both(pipe);
}

TEST(epoll_edge_is_reported_once_for_each_write)
{
    int set = new_set(), pipe[2];

    new_pipe(pipe);
    write_byte(pipe[1]);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN | EPOLLET), 0);
    CHECK_IS(events_of(set), EPOLLIN); /* what holds when it is added */
    CHECK_IS(events_of(set), 0);
    write_byte(pipe[1]);
    write_byte(pipe[1]);
    CHECK_IS(events_of(set), EPOLLIN);
    CHECK_IS(events_of(set), 0);
    read_bytes(pipe[0], 1);
    CHECK_IS(events_of(set), 0); /* what is left is no edge */
    write_byte(pipe[1]);
    read_bytes(pipe[0], 3);
    CHECK_IS(events_of(set), 0); /* an edge that does not hold any more is not reported */
    CHECK_IS(loop_kernel_close(set), 0);
    close_both(pipe);
}

TEST(epoll_edge_for_writing_comes_when_a_full_pipe_has_room)
{
    int set = new_set(), pipe[2];

    new_pipe(pipe);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[1], EPOLLOUT | EPOLLET), 0);
    CHECK_IS(events_of(set), EPOLLOUT);
    CHECK_IS(loop_kernel_write(pipe[1], bytes, sizeof bytes), FULL);
    CHECK_IS(events_of(set), 0);
    read_bytes(pipe[0], PAGE - 1);
    CHECK_IS(events_of(set), 0);
    read_bytes(pipe[0], 1);
    CHECK_IS(events_of(set), EPOLLOUT);
    read_bytes(pipe[0], PAGE);
    CHECK_IS(events_of(set), 0); /* it was not full */
    CHECK_IS(loop_kernel_close(set), 0);
    close_both(pipe);
}

/* A splice from a pipe is an edge for its writers wherever it frees a page; a read is one only where the pipe was full.
 */
TEST(epoll_edge_for_writing_comes_with_each_splice_of_a_page)
{
    int set = new_set(), pair[2], pipe[2], other[2];
    new_pipe(pipe);
    new_pipe(other);
    CHECK_IS(loop_kernel_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[1], EPOLLOUT | EPOLLET), 0);
    CHECK_IS(events_of(set), EPOLLOUT);
    for (int i = 0; i < 2; i++) {
        int to = i == 0 ? pair[0] : other[1];
        CHECK_IS(loop_kernel_write(pipe[1], "abc", 3), 3);
        CHECK_IS(loop_kernel_splice(pipe[0], NULL, to, NULL, 2, 0), 2);
        CHECK_IS(events_of(set), 0);
        CHECK_IS(loop_kernel_splice(pipe[0], NULL, to, NULL, 2, 0), 1);
        CHECK_IS(events_of(set), EPOLLOUT);
    }
    close_both(pair);
    close_both(pipe);
    close_both(other);
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(epoll_mod_reports_an_edge_again)
{
    int set = new_set(), pipe[2];

    new_pipe(pipe);
    write_byte(pipe[1]);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN | EPOLLET), 0);
    CHECK_IS(events_of(set), EPOLLIN);
    CHECK_IS(control(set, EPOLL_CTL_MOD, pipe[0], EPOLLIN | EPOLLET), 0);
    CHECK_IS(events_of(set), EPOLLIN);
    CHECK_IS(control(set, EPOLL_CTL_MOD, pipe[0], EPOLLET), 0);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_close(set), 0);
    close_both(pipe);
}

TEST(epoll_oneshot_is_disabled_until_mod)
{
    int set = new_set(), pipe[2];

    new_pipe(pipe);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN | EPOLLONESHOT), 0);
    write_byte(pipe[1]);
    CHECK_IS(events_of(set), EPOLLIN);
    CHECK_IS(events_of(set), 0);
    write_byte(pipe[1]);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    CHECK_IS(events_of(set), 0); /* EPOLLHUP neither */
    CHECK_IS(control(set, EPOLL_CTL_MOD, pipe[0], EPOLLIN | EPOLLONESHOT), 0);
    CHECK_IS(events_of(set), EPOLLIN | EPOLLHUP);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_close(set), 0);
    CHECK_IS(loop_kernel_close(pipe[0]), 0);
}

TEST(epoll_errors_and_hangups_are_always_reported)
{
    int set = new_set(), one[2], other[2];

    new_pipe(one);
    new_pipe(other);
    CHECK_IS(control(set, EPOLL_CTL_ADD, one[0], 0), 0);
    CHECK_IS(events_of(set), 0);
    write_byte(one[1]);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_close(one[1]), 0);
    CHECK_IS(events_of(set), EPOLLHUP);
    CHECK_IS(loop_kernel_close(one[0]), 0);
    CHECK_IS(control(set, EPOLL_CTL_ADD, other[1], EPOLLET), 0);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_close(other[0]), 0);
    CHECK_IS(events_of(set), EPOLLERR);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_close(other[1]), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(epoll_edges_of_eventfd_come_with_every_write)
{
    int set = new_set(), event = loop_kernel_eventfd(0, EFD_NONBLOCK);
    uint64_t value = 1;

    CHECK_IS(control(set, EPOLL_CTL_ADD, event, EPOLLIN | EPOLLET), 0);
    CHECK_IS(events_of(set), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_wake(event, &value), sizeof value);
        CHECK_IS(events_of(set), EPOLLIN);
        CHECK_IS(events_of(set), 0);
    }
    CHECK_IS(control(set, EPOLL_CTL_MOD, event, EPOLLOUT | EPOLLET), 0);
    CHECK_IS(events_of(set), EPOLLOUT);
    CHECK_IS(loop_kernel_wake(event, &value), sizeof value);
    CHECK_IS(events_of(set), 0);
    CHECK_IS(loop_kernel_read(event, &value, sizeof value), sizeof value);
    CHECK_IS(events_of(set), EPOLLOUT); /* each read wakes who waits for writing */
    CHECK_IS(loop_kernel_close(event), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

/* ---- several items ---- */

TEST(epoll_reports_in_turn_what_does_not_fit)
{
    int set = new_set(), pipes[3][2];
    struct epoll_event events[2];
    unsigned seen = 0;

    for (unsigned i = 0; i < 3; i++) {
        new_pipe(pipes[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        CHECK_IS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, pipes[i][0], &event), 0);
        write_byte(pipes[i][1]);
    }
    CHECK_IS(loop_kernel_epoll_wait(set, events, 2, 0), 2);
    seen |= 1u << events[0].data.u64 | 1u << events[1].data.u64;
    CHECK_IS(loop_kernel_epoll_wait(set, events, 2, 0), 2);
    seen |= 1u << events[0].data.u64 | 1u << events[1].data.u64;
    CHECK_IS(seen, 7);
    CHECK_IS(count(set), 3);
    for (unsigned i = 0; i < 3; i++) {
        close_both(pipes[i]);
    }
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(epoll_item_goes_with_the_last_descriptor_of_its_file)
{
    int set = new_set(), pipe[2], number;

    new_pipe(pipe);
    write_byte(pipe[1]);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN), 0);
    int other = loop_kernel_dup(pipe[0], 0);
    CHECK_IS(control(set, EPOLL_CTL_ADD, other, EPOLLIN), 0);
    CHECK_IS(count(set), 2);
    number = pipe[0];
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(count(set), 2);
    CHECK_FAILS(control(set, EPOLL_CTL_DEL, number, 0), EBADF);
    CHECK_IS(loop_kernel_close(other), 0);
    CHECK_IS(count(set), 0);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

TEST(epoll_number_may_name_two_items_one_after_the_other)
{
    int set = new_set(), pipe[2];

    new_pipe(pipe);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN), 0);
    int other = loop_kernel_dup(pipe[0], 0), number = pipe[0];
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_eventfd(1, EFD_NONBLOCK), number);
    CHECK_IS(control(set, EPOLL_CTL_ADD, number, EPOLLIN), 0);
    write_byte(pipe[1]);
    CHECK_IS(count(set), 2);
    CHECK_IS(control(set, EPOLL_CTL_DEL, number, 0), 0);
    CHECK_IS(count(set), 1);
    CHECK_IS(loop_kernel_close(other), 0);
    CHECK_IS(count(set), 0);
    CHECK_IS(loop_kernel_close(number), 0);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    CHECK_IS(loop_kernel_close(set), 0);
}

/* ---- sets in sets ---- */

TEST(epoll_set_in_a_set_is_ready_when_an_item_is)
{
    int outer = new_set(), inner = new_set(), pipe[2];

    new_pipe(pipe);
    CHECK_IS(control(inner, EPOLL_CTL_ADD, pipe[0], EPOLLIN), 0);
    CHECK_IS(control(outer, EPOLL_CTL_ADD, inner, EPOLLIN), 0);
    CHECK_IS(events_of(outer), 0);
    write_byte(pipe[1]);
    CHECK_IS(poll_now(inner, POLLIN), POLLIN);
    CHECK_IS(events_of(outer), EPOLLIN);
    CHECK_IS(events_of(inner), EPOLLIN);
    read_bytes(pipe[0], 1);
    CHECK_IS(events_of(outer), 0);
    CHECK_IS(poll_now(inner, POLLIN), 0);
    CHECK_IS(loop_kernel_close(inner), 0);
    CHECK_IS(count(outer), 0);
    CHECK_IS(loop_kernel_close(outer), 0);
    close_both(pipe);
}

TEST(epoll_sets_make_no_circle)
{
    int a = new_set(), b = new_set(), c = new_set();

    CHECK_IS(control(a, EPOLL_CTL_ADD, b, EPOLLIN), 0);
    CHECK_IS(control(b, EPOLL_CTL_ADD, c, EPOLLIN), 0);
    CHECK_FAILS(control(c, EPOLL_CTL_ADD, a, EPOLLIN), ELOOP);
    CHECK_FAILS(control(b, EPOLL_CTL_ADD, a, EPOLLIN), ELOOP);
    CHECK_IS(loop_kernel_close(a), 0);
    CHECK_IS(loop_kernel_close(b), 0);
    CHECK_IS(loop_kernel_close(c), 0);
}

TEST(epoll_sets_nest_five_deep)
{
    int sets[8];
    unsigned n;

    for (n = 0; n < 8; n++) {
        sets[n] = new_set();
        if (n > 0 && control(sets[n], EPOLL_CTL_ADD, sets[n - 1], EPOLLIN)) {
            break;
        }
    }
    CHECK_IS(n, 5);
    CHECK_IS(errno, ELOOP);
    for (unsigned i = 0; i <= n; i++) {
        CHECK_IS(loop_kernel_close(sets[i]), 0);
    }
}

/* ---- waiting ---- */

static void *write_late(void *arg)
{
    write_byte(*(int *)arg);
    return NULL;
}

TEST(epoll_wait_waits_for_a_file)
{
    int set = new_set(), pipe[2];
    pthread_t thread;
    struct epoll_event event;

    new_pipe(pipe);
    CHECK_IS(control(set, EPOLL_CTL_ADD, pipe[0], EPOLLIN), 0);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, write_late, &pipe[1]), 0);
    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, -1), 1);
    CHECK_IS(event.events, EPOLLIN);
    CHECK_IS(event.data.fd, pipe[0]);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    CHECK_IS(loop_kernel_close(set), 0);
    close_both(pipe);
}

/* Two sets with the same pipe, exclusively, and a thread that waits in each. */
struct waiting {
    int set, n;
    pthread_t thread;
};

static void *wait_in_set(void *arg)
{
    struct waiting *waiting = arg;
    struct epoll_event event;

    waiting->n = loop_kernel_epoll_wait(waiting->set, &event, 1, 400);
    return NULL;
}

static void begin_to_wait(struct waiting waiting[2], int number)
{
    struct epoll_event event;
    int no_files = new_set();

    for (unsigned i = 0; i < 2; i++) {
        waiting[i].set = new_set();
        CHECK_IS(control(waiting[i].set, EPOLL_CTL_ADD, number, EPOLLIN | EPOLLEXCLUSIVE), 0);
        CHECK_IS(loop_kernel_pthread_create(&waiting[i].thread, NULL, wait_in_set, &waiting[i]), 0);
        CHECK_IS(loop_kernel_epoll_wait(no_files, &event, 1, 50), 0); /* until it waits */
    }
    CHECK_IS(loop_kernel_close(no_files), 0);
}

static void end_to_wait(struct waiting waiting[2])
{
    for (unsigned i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_pthread_join(waiting[i].thread, NULL), 0);
        CHECK_IS(loop_kernel_close(waiting[i].set), 0);
    }
}

/* On a busy machine the second one may be woken too: the first did not wait yet. */
TEST(epoll_exclusive_wakes_the_first_set_in_which_a_thread_waits)
{
    struct waiting waiting[2];
    int pipe[2];

    new_pipe(pipe);
    begin_to_wait(waiting, pipe[0]);
    write_byte(pipe[1]);
    end_to_wait(waiting);
    CHECK_IS(waiting[0].n, 1);
    CHECK(waiting[1].n == 0 || waiting[1].n == 1);
    close_both(pipe);
}

TEST(epoll_exclusive_wakes_all_sets_for_a_hangup)
{
    struct waiting waiting[2];
    int pipe[2];

    new_pipe(pipe);
    begin_to_wait(waiting, pipe[0]);
    CHECK_IS(loop_kernel_close(pipe[1]), 0);
    end_to_wait(waiting);
    CHECK_IS(waiting[0].n, 1);
    CHECK_IS(waiting[1].n, 1);
    CHECK_IS(loop_kernel_close(pipe[0]), 0);
}

TEST(epoll_exclusive_is_ready_in_all_sets_where_no_thread_waits)
{
    int sets[2] = {new_set(), new_set()}, pipe[2];

    new_pipe(pipe);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_IS(control(sets[i], EPOLL_CTL_ADD, pipe[0], EPOLLIN | EPOLLEXCLUSIVE), 0);
    }
    write_byte(pipe[1]);
    CHECK_IS(count(sets[0]), 1);
    CHECK_IS(count(sets[1]), 1);
    close_both(sets);
    close_both(pipe);
}

static int64_t clock_ns(void)
{
    struct timespec time;
    CHECK_IS(loop_kernel_clock_gettime(CLOCK_MONOTONIC, &time), 0);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

TEST(epoll_wait_ends_with_its_time)
{
    int set = new_set();
    struct epoll_event event;
    int64_t before_ns = clock_ns();

    CHECK_IS(loop_kernel_epoll_wait(set, &event, 1, 2), 0);
    CHECK(clock_ns() - before_ns >= 2000000);
    before_ns = clock_ns();
    CHECK_IS(loop_kernel_epoll_pwait2(set, &event, 1, &(struct __kernel_timespec){0, 1500000}, NULL), 0);
    CHECK(clock_ns() - before_ns >= 1500000);
    CHECK_IS(loop_kernel_close(set), 0);
}

/* ---- poll ---- */

TEST(poll_reports_each_entry)
{
    int pipe[2];

    new_pipe(pipe);
    write_byte(pipe[1]);
    struct pollfd entries[] = {{pipe[0], POLLIN, 0},  {-1, POLLIN, 1},   {pipe[1], POLLOUT, 0},
                               {pipe[0], POLLOUT, 0}, {1000, POLLIN, 0}, {pipe[0], POLLIN | POLLRDNORM, 0}};
    CHECK_IS(loop_kernel_poll(entries, COUNT_OF(entries), 0), 4);
    CHECK_IS(entries[0].revents, POLLIN);
    CHECK_IS(entries[1].revents, 0);
    CHECK_IS(entries[2].revents, POLLOUT);
    CHECK_IS(entries[3].revents, 0);
    CHECK_IS(entries[4].revents, POLLNVAL);
    CHECK_IS(entries[5].revents, POLLIN | POLLRDNORM);
    close_both(pipe);
}

TEST(poll_waits_for_any_file)
{
    int pipe[2], other[2];
    pthread_t thread;

    new_pipe(pipe);
    new_pipe(other);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, write_late, &pipe[1]), 0);
    struct pollfd entries[] = {{other[0], POLLIN, 0}, {pipe[0], POLLIN, 0}};
    CHECK_IS(loop_kernel_poll(entries, 2, -1), 1);
    CHECK_IS(entries[1].revents, POLLIN);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    close_both(pipe);
    close_both(other);
}

TEST(poll_ends_with_its_time)
{
    int pipe[2];
    int64_t before_ns = clock_ns();

    new_pipe(pipe);
    struct pollfd entry = {pipe[0], POLLIN, 0};
    CHECK_IS(loop_kernel_poll(&entry, 1, 1), 0);
    CHECK(clock_ns() - before_ns >= 1000000);
    CHECK_IS(loop_kernel_ppoll(&entry, 1, &(struct timespec){0, 1000}, NULL), 0);
    CHECK_FAILS(loop_kernel_ppoll(&entry, 1, &(struct timespec){0, -1}, NULL), EINVAL);
    close_both(pipe);
}
