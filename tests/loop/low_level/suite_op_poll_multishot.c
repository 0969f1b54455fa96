/* SPDX-License-Identifier: ISC
 *
 * loop_op_poll_multishot: the reported events, and reads and accepts after it has been cancelled.
 */
#include "harness.h"

#include <loop/part.h>

#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>

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

static struct loop_flow *flows[2];
static struct loop_fd *fd;
static char got[64];

static void make_ends(struct loop_scope *scope)
{
    make_flows(scope, flows);
    fd = flows[0]->fd;
    memset(got, 0, sizeof got);
}

static void send_to(const char *text)
{
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), text, strlen(text), 0), strlen(text));
}

/* ---- behind a poll_multishot ---- */

static unsigned n_polled;

static void on_polled(void *ended, int64_t result)
{
    n_polled += result == POLLIN;
    if (result < 0) {
        once_resumed(ended, result);
    } else {
        script_poke();
    }
}

LOOP_TEST(a_read_behind_a_poll_multishot_that_is_cancelled_gets_what_is_there)
{
    static struct once ended, read;
    static loop_job poll;

    BEGIN;
    make_ends(env->scope);
    poll = START(loop_op_poll_multishot(NULL, fd, on_polled, &ended));
    START(loop_read(&flows[0]->source, got, sizeof got, ONCE(&read)));
    WAIT_UNTIL(n_polled > 0);
    n_polled = 0;
    send_to("hello");
    WAIT_UNTIL(n_polled > 0);
    CHECK_IS(read.count, 0);
    CHECK_IS(loop_cancel(env->loop, poll), 0);
    WAIT_UNTIL(read.count && ended.count);
    ONCE_IS(ended, -ECANCELED);
    ONCE_IS(read, 5);
    CHECK_TEXT(got, "hello");
    END;
}

LOOP_TEST(reads_after_a_cancelled_poll_multishot_get_what_is_there)
{
    static struct once ended;
    static loop_job poll;

    BEGIN;
    make_ends(env->scope);
    poll = START(loop_op_poll_multishot(NULL, fd, on_polled, &ended));
    n_polled = 0;
    WAIT_UNTIL(n_polled > 0);
    send_to("hello");
    AWAIT(turns(env->scope, 3, GO));
    loop_cancel(env->loop, poll);
    CHECK_IS(loop_try_read(&flows[0]->source, got, 1), 1);
    AWAIT(loop_read_exact(&flows[0]->source, got + 1, 4, GO));
    CHECK_TEXT(got, "hello");
    END;
}

LOOP_TEST(a_read_after_a_cancelled_poll_multishot_learns_of_the_end)
{
    static struct once ended;
    static loop_job poll;

    BEGIN;
    make_ends(env->scope);
    poll = START(loop_op_poll_multishot(NULL, fd, on_polled, &ended));
    n_polled = 0;
    CHECK_IS(shutdown(loop_fd_peek(flows[1]->fd), SHUT_WR), 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK(n_polled > 0);
    loop_cancel(env->loop, poll);
    AWAIT(loop_read(&flows[0]->source, got, sizeof got, GO));
    CHECK_IS(result, 0);
    END;
}

/* One poll that cancels itself, and one with unread bytes, which no event reports. */
static loop_job itself;

static void cancel_itself(void *arg, int64_t result)
{
    if (result == POLLIN) {
        loop_cancel(arg, itself);
    }
}

LOOP_TEST(unread_bytes_are_read_after_a_cancelled_poll_multishot)
{
    static struct once ended, read;
    static loop_job poll;

    BEGIN;
    make_ends(env->scope);
    CHECK_IS(loop_fd_unread(fd, "q", 1), 0);
    poll = START(loop_op_poll_multishot(NULL, fd, on_polled, &ended));
    AWAIT(turns(env->scope, 3, GO));
    loop_cancel(env->loop, poll);
    AWAIT(loop_read(&flows[0]->source, got, sizeof got, GO));
    CHECK_TEXT(got, "q");
    CHECK_IS(loop_fd_unread(fd, "r", 1), 0);
    itself = START(loop_op_poll_multishot(NULL, fd, cancel_itself, env->loop));
    START(loop_read(&flows[0]->source, got, sizeof got, ONCE(&read)));
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    CHECK_TEXT(got, "r");
    END;
}

LOOP_TEST(an_accept_after_a_cancelled_poll_multishot_gets_the_connection)
{
    static struct once ended;
    static struct loop_fd *listener;
    static struct sockaddr_in address;
    static loop_job poll;
    static int client;

    BEGIN;
    listener = adopt(env->scope, make_listener(&address));
    poll = START(loop_op_poll_multishot(NULL, listener, on_polled, &ended));
    n_polled = 0;
    WAIT_UNTIL(n_polled > 0);
    client = connect_to(&address);
    WAIT_UNTIL(n_polled > 1);
    loop_cancel(env->loop, poll);
    AWAIT(loop_op_accept(NULL, listener, NULL, NULL, GO));
    CHECK(result >= 0);
    close((int)result);
    close(client);
    END;
}

/* Reading a fifo that never had a writer returns 0, but poll does not report its end. */
LOOP_TEST(a_fifo_without_a_writer_is_not_at_its_end_after_a_poll_multishot)
{
    static struct once ended[2], read;
    static struct loop_flow *fifo;
    static const char *directory;
    static char path[100];
    static int writer;

    BEGIN;
    directory = make_directory();
    (void)snprintf(path, sizeof path, "%s/fifo", directory);
    CHECK_IS(mkfifo(path, 0600), 0);
    fifo = flow_of(env->scope, open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_IS(loop_fd_unread(fifo->fd, "q", 1), 0);
    loop_cancel(env->loop, START(loop_op_poll_multishot(NULL, fifo->fd, on_polled, &ended[0])));
    AWAIT(loop_read(&fifo->source, got, sizeof got, GO));
    CHECK_IS(result, 1);
    loop_cancel(env->loop, START(loop_op_poll_multishot(NULL, fifo->fd, on_polled, &ended[1])));
    START(loop_read(&fifo->source, got, sizeof got, ONCE(&read)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read.count, 0);
    writer = open(path, O_WRONLY | O_CLOEXEC);
    remove_directory(directory);
    CHECK_IS(write(writer, "w", 1), 1);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    close(writer);
    END;
}
