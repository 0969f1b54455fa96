/* SPDX-License-Identifier: ISC
 *
 * Descriptors (P6): adopted, borrowed, taken and destroyed; and borrowed numbers that their owner closes first.
 */
#include "harness.h"

#include <loop/kernel/fail.h>

#include <sys/eventfd.h>

/* ---- P6: descriptors ---- */

LOOP_TEST(p06_take_gives_the_number_when_nobody_uses_it)
{
    static struct loop_flow *flows[2];
    static struct once read, take;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    CHECK_IS(loop_fd_use(flows[0]->fd), number);
    START(loop_fd_take(flows[0]->fd, ONCE(&take)));
    CHECK(!loop_fd_is_open(flows[0]->fd));
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    AWAIT(turns(env->scope, 5, GO));
    ONCE_IS(read, -ECANCELED);
    CHECK_IS(take.count, 0);
    loop_fd_unuse(flows[0]->fd);
    WAIT_UNTIL(take.count);
    ONCE_IS(take, number);
    CHECK(read.order < take.order);
    CHECK_IS(send(number, "y", 1, 0), 1);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(byte, 'y');
    CHECK_IS(close(number), 0);
    END;
}

/* The number is free for the taking already, but its job has not been resumed. */
LOOP_TEST(p06_bytes_given_back_before_a_take_is_resumed_go_with_the_number)
{
    static struct loop_flow *flows[2];
    static struct once take;
    static char got[8];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_fd_unread(flows[0]->fd, "ef", 2), 0);
    CHECK(loop_fd_use(flows[0]->fd) >= 0);
    START(loop_fd_take(flows[0]->fd, ONCE(&take)));
    CHECK_IS(loop_fd_unread(flows[0]->fd, "cd", 2), 0);
    loop_fd_unuse(flows[0]->fd);
    CHECK_IS(take.count, 0);
    CHECK_IS(loop_source_unread(&flows[0]->source, "ab", 2), 0);
    CHECK_IS(loop_fd_unread_length(flows[0]->fd), 6);
    WAIT_UNTIL(take.count);
    CHECK(take.result >= 0);
    CHECK_IS(loop_fd_unread(flows[0]->fd, "x", 1), -EBADF);
    CHECK_IS(loop_fd_take_unread(flows[0]->fd, got, sizeof got), 6);
    CHECK_TEXT(got, "abcdef");
    CHECK_IS(close((int)take.result), 0);
    END;
}

LOOP_TEST(p06_a_taken_number_works_on_in_another_object)
{
    static struct loop_flow *flows[2], *again;
    static struct once take;
    static char bytes[4];

    BEGIN;
    make_flows(env->scope, flows);
    AWAIT(loop_write(&flows[1]->sink, "ab", 2, GO));
    AWAIT(loop_read_exact(&flows[0]->source, bytes, 1, GO));
    START(loop_fd_take(flows[0]->fd, ONCE(&take)));
    WAIT_UNTIL(take.count);
    again = flow_of(env->scope, (int)take.result);
    AWAIT(loop_read_exact(&again->source, bytes, 1, GO));
    CHECK_IS(bytes[0], 'b');
    AWAIT(loop_read(&flows[0]->source, bytes, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&flows[1]->sink, "c", 1, GO));
    AWAIT(loop_read_exact(&again->source, bytes, 1, GO));
    CHECK_IS(bytes[0], 'c');
    END;
}

LOOP_TEST(p06_borrowed_descriptors_are_neither_closed_nor_changed)
{
    static struct loop_scope *scope;
    static struct loop_fd *fd;
    static struct once ended, read;
    static int fds[2], flags;
    static char byte;

    BEGIN;
    make_pipe(fds);
    fcntl(fds[0], F_SETFD, 0);
    flags = fcntl(fds[0], F_GETFL);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    fd = loop_fd_borrow(scope, fds[0]);
    START(loop_read(&loop_fd_flow(fd)->source, &byte, 1, ONCE(&read)));
    CHECK_IS(write(fds[1], "z", 1), 1);
    WAIT_UNTIL(ended.count);
    ONCE_IS(read, 1);
    CHECK_IS(fcntl(fds[0], F_GETFL), flags);
    CHECK_IS(fcntl(fds[0], F_GETFD), 0);
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(p06_adopted_descriptors_become_cloexec_and_streams_nonblocking)
{
    static int pipes[2], sockets[2], file;

    BEGIN;
    CHECK_IS(pipe(pipes), 0);
    CHECK_IS(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    file = open("/dev/null", O_RDWR);
    adopt(env->scope, pipes[0]);
    adopt(env->scope, pipes[1]);
    adopt(env->scope, sockets[0]);
    adopt(env->scope, sockets[1]);
    adopt(env->scope, file);
    for (int i = 0; i < 2; i++) {
        CHECK_IS(fcntl(pipes[i], F_GETFD), FD_CLOEXEC);
        CHECK_IS(fcntl(sockets[i], F_GETFD), FD_CLOEXEC);
        CHECK(fcntl(pipes[i], F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(sockets[i], F_GETFL) & O_NONBLOCK);
    }
    CHECK_IS(fcntl(file, F_GETFD), FD_CLOEXEC);
    END;
}

#if NORIA_HARD_MODES && !defined(NORIA_SIMULATED)

/* As a filter of system calls may have it. */
LOOP_TEST(p06_a_descriptor_whose_flags_the_kernel_refuses_is_closed)
{
    static int fds[2];

    BEGIN;
    make_pair(fds);
    CHECK(loop_kernel_fail_set("fcntl:EPERM:1"));
    CHECK(!loop_fd_adopt(env->scope, fds[0]));
    CHECK(loop_kernel_fail_set(NULL));
    CHECK_IS(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
    END;
}

#endif

LOOP_TEST(p06_what_is_no_descriptor_is_not_adopted)
{
    BEGIN;
    CHECK(!loop_fd_adopt(env->scope, -1));
    CHECK(!loop_fd_adopt(env->scope, lowest_free_fd()));
    CHECK(!loop_fd_adopt(env->scope, INT32_MAX));
    CHECK(!loop_fd_borrow(env->scope, -1));
    CHECK(!loop_fd_borrow(env->scope, lowest_free_fd()));
    loop_fd_destroy(NULL);
    END;
}

static struct loop_scope *ended_scope;
static int adopted_too_late;
static struct loop_fd *object_too_late;

static void adopt_too_late(void *unused)
{
    (void)unused;
    object_too_late = loop_fd_adopt(ended_scope, adopted_too_late);
}

LOOP_TEST(p06_what_is_adopted_too_late_is_closed)
{
    static struct once ended;

    BEGIN;
    adopted_too_late = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ended_scope = loop_scope_open(env->scope, ONCE(&ended));
    CHECK(loop_scope_defer(ended_scope, adopt_too_late, NULL));
    WAIT_UNTIL(ended.count);
    CHECK(!object_too_late);
    CHECK(!is_open(adopted_too_late));
    END;
}

LOOP_TEST(p06_destroy_gives_the_object_back)
{
    static struct loop_stats before, after;
    static struct loop_flow *flows[2];
    static struct once read;
    static int number;
    static char byte;

    BEGIN;
    loop_get_stats(env->loop, &before);
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, ONCE(&read)));
    loop_fd_destroy(flows[0]->fd);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, -ECANCELED);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    CHECK(!is_open(number));
    loop_fd_close(flows[1]->fd);
    loop_fd_destroy(flows[1]->fd);
    AWAIT(turns(env->scope, 4, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now);
    END;
}

enum end { OLD_END_BEFORE, OLD_END_WAITING, OLD_END_AFTER, OLD_ENDS };
enum material { PIPES, SOCKETS, EVENTFDS, MATERIALS };

static struct again {
    enum material material;
    enum end end;
    bool old_waits_first, old_waits_later, old_lives_on, is_adopted;
    struct loop_scope *scope;
    struct loop_fd *old, *new;
    int number, old_peer, new_peer, other;
    struct once old_read, first, second, ended;
    char old_bytes[8], new_bytes[8];
} again;

/* Something with another end; `*peer` is what is written to. */
static int make_material(int *peer)
{
    int fds[2];
    if (again.material == EVENTFDS) {
        fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
    } else if (again.material == PIPES) {
        make_pipe(fds);
    } else {
        make_pair(fds);
    }
    *peer = fds[1];
    return fds[0];
}

static void feed(int peer, char letter)
{
    char bytes[8] = {letter, 0, 0, 0, 0, 0, 0, 0};
    CHECK_IS(write(peer, bytes, sizeof bytes), sizeof bytes);
}

static loop_job start_read(struct loop_fd *fd, char *bytes, struct once *once)
{
    return loop_read_exact(&loop_fd_flow(fd)->source, bytes, sizeof again.new_bytes, ONCE(once));
}

static void begin_again(struct loop_scope *parent, unsigned index)
{
    memset(&again, 0, sizeof again);
    again.material = (enum material)(index % MATERIALS);
    index /= MATERIALS;
    again.end = (enum end)(index % OLD_ENDS);
    index /= OLD_ENDS;
    again.old_waits_first = index & 1;
    again.old_waits_later = index & 2;
    again.old_lives_on = index & 4;
    again.is_adopted = index & 8;
    again.scope = loop_scope_open(parent, ONCE(&again.ended));
    loop_scope_hold(again.scope);
    loop_scope_deadline(again.scope, now_ns() + 20 * LOOP_SECOND);
    again.other = make_material(&again.old_peer);
    again.number = fcntl(again.other, F_DUPFD_CLOEXEC, 100);
    if (again.material == EVENTFDS && !again.old_lives_on) {
        close(again.old_peer); /* that one is the same file */
        again.old_peer = -1;
    }
    if (!again.old_lives_on) {
        close(again.other);
        again.other = -1;
    }
    again.old = loop_fd_borrow(again.scope, again.number);
}

/* The owner closes the number, and gets it again for something else. */
static void reopen(void)
{
    close(again.number);
    int fresh = make_material(&again.new_peer);
    CHECK_IS(dup2(fresh, again.number), again.number);
    close(fresh);
    again.new = again.is_adopted ? loop_fd_adopt(again.scope, again.number) : loop_fd_borrow(again.scope, again.number);
    CHECK(again.new != NULL);
}

static void end_old(enum end now)
{
    if (again.end == now) {
        loop_fd_destroy(again.old);
        again.old = NULL;
    }
}

static void end_again(void)
{
    loop_scope_unhold(again.scope);
    loop_fd_destroy(again.new);
    if (!again.is_adopted) {
        CHECK_IS(close(again.number), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        int number = i == 0 ? again.old_peer : i == 1 ? again.new_peer : again.other;
        if (number >= 0) {
            CHECK_IS(close(number), 0);
        }
    }
}

#define AGAINS ((int)MATERIALS * (int)OLD_ENDS * 16u)

LOOP_TEST(a_number_that_was_closed_too_early_is_heard_by_its_next_object)
{
    static unsigned i;

    BEGIN;
    for (i = 0; i < AGAINS; i++) {
        begin_again(env->scope, i);
        if (again.old_waits_first) {
            START(start_read(again.old, again.old_bytes, &again.old_read));
            AWAIT(turns(env->scope, 2, GO));
        }
        reopen();
        end_old(OLD_END_BEFORE);
        AWAIT(turns(env->scope, 3, GO));
        START(start_read(again.new, again.new_bytes, &again.first));
        if (again.old && again.old_waits_later && !again.old_waits_first && again.material != EVENTFDS) {
            START(start_read(again.old, again.old_bytes, &again.old_read));
        }
        AWAIT(turns(env->scope, 2, GO));
        end_old(OLD_END_WAITING);
        AWAIT(turns(env->scope, 3, GO));
        if (again.old_lives_on) {
            feed(again.old_peer, 1); /* must neither reach the new one nor take what is meant for it */
            AWAIT(turns(env->scope, 3, GO));
        }
        feed(again.new_peer, 2);
        WAIT_UNTIL(again.first.count);
        ONCE_IS(again.first, sizeof again.new_bytes);
        CHECK_IS(again.new_bytes[0], 2);
        end_old(OLD_END_AFTER);
        AWAIT(turns(env->scope, 3, GO));
        START(start_read(again.new, again.new_bytes, &again.second));
        AWAIT(turns(env->scope, 2, GO));
        feed(again.new_peer, 3);
        WAIT_UNTIL(again.second.count);
        ONCE_IS(again.second, sizeof again.new_bytes);
        CHECK_IS(again.new_bytes[0], 3);
        end_again();
        WAIT_UNTIL(again.ended.count);
        CHECK(again.old_read.count <= 1);
        CHECK(again.old_read.result <= 0 || again.old_bytes[0] == 1); /* the ring has the old file, and its bytes */
    }
    END;
}

/* Not watched by anything any more, but still in the epoll set: the number comes back to the same file. */
LOOP_TEST(a_number_that_comes_back_to_its_first_file_is_heard)
{
    static int fds[2], number;
    static struct loop_fd *first, *second;
    static struct once old, new;
    static char byte;

    BEGIN;
    make_pair(fds);
    number = fcntl(fds[0], F_DUPFD_CLOEXEC, 100);
    first = loop_fd_borrow(env->scope, number);
    START(loop_read(&loop_fd_flow(first)->source, &byte, 1, ONCE(&old)));
    AWAIT(turns(env->scope, 2, GO));
    close(number);
    loop_fd_destroy(first);
    WAIT_UNTIL(old.count);
    ONCE_IS(old, -ECANCELED);
    CHECK_IS(dup2(fds[0], number), number);
    second = loop_fd_borrow(env->scope, number);
    START(loop_read(&loop_fd_flow(second)->source, &byte, 1, ONCE(&new)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(write(fds[1], "z", 1), 1);
    WAIT_UNTIL(new.count);
    ONCE_IS(new, 1);
    loop_fd_destroy(second);
    close(number);
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(one_number_may_be_borrowed_by_many_at_once)
{
    enum { MANY = 5 };
    static int fds[2];
    static unsigned i;
    static struct loop_fd *objects[MANY];
    static struct once reads[MANY];
    static char bytes[MANY];

    BEGIN;
    make_pair(fds);
    for (i = 0; i < MANY; i++) {
        objects[i] = loop_fd_borrow(env->scope, fds[0]);
        START(loop_read(&loop_fd_flow(objects[i])->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    loop_fd_destroy(objects[0]); /* the one whose number is in the set */
    WAIT_UNTIL(reads[0].count);
    ONCE_IS(reads[0], -ECANCELED);
    CHECK_IS(write(fds[1], "abcd", 4), 4);
    for (i = 1; i < MANY; i++) {
        WAIT_UNTIL(reads[i].count);
        ONCE_IS(reads[i], 1);
    }
    CHECK(!strstr(log_text(), "was closed before"));
    for (i = 1; i < MANY; i++) {
        loop_fd_destroy(objects[i]);
    }
    AWAIT(turns(env->scope, 2, GO));
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(a_borrowed_number_that_was_closed_first_is_told_of)
{
    static int fds[2];
    static struct loop_fd *first, *second;

    BEGIN;
    make_pair(fds);
    first = loop_fd_borrow(env->scope, fds[0]);
    close(fds[0]);
    loop_fd_destroy(first);
    AWAIT(turns(env->scope, 2, GO));
#if NORIA_DEBUG
    CHECK(strstr(log_text(), "was closed before its object"));
#endif
    CHECK_IS(dup2(fds[1], fds[0]), fds[0]);
    second = loop_fd_borrow(env->scope, fds[0]);
    CHECK_IS(loop_fd_peek(second), fds[0]);
    close(fds[0]);
    CHECK_IS(open("/dev/null", O_RDONLY | O_CLOEXEC), fds[0]);
    CHECK(loop_fd_borrow(env->scope, fds[0]) != NULL);
    CHECK_IS(loop_fd_peek(second), -1);
    CHECK_IS(loop_fd_use(second), -EBADF);
    AWAIT(loop_fd_take(second, GO));
    CHECK_IS(result, -EBADF);
    close(fds[0]);
    close(fds[1]);
    END;
}
