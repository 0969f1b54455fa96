/* SPDX-License-Identifier: ISC
 *
 * Sockets whose kernel makes records of what is sent, as TLS in the kernel does (setsockopt(2), TCP_ULP): a record
 * stays open while the calls say that more follows (MSG_MORE), and an end of the connection does not send it. Functions
 * in the place of the C library's do the same here.
 */
#include "harness.h"

#include <netinet/tcp.h>
#include <sys/syscall.h>

static struct loop_flow *flow;
static int fds[2];
static bool has_records;
static unsigned n_more; /* calls with MSG_MORE */
static char record[64];
static size_t record_len;

int getsockopt(int number, int level, int name, void *value, socklen_t *len)
{
    if (has_records && number == fds[0] && level == IPPROTO_TCP && name == TCP_ULP) {
        memcpy(value, "tls", 4);
        *len = 4;
        return 0;
    }
    return (int)syscall(SYS_getsockopt, number, level, name, value, len);
}

/* Sends the record, which a call has made longer, unless more follows. */
static void end_record(int flags)
{
    n_more += (flags & MSG_MORE) != 0;
    if (!(flags & MSG_MORE)) {
        CHECK_IS(syscall(SYS_sendto, fds[0], record, record_len, MSG_NOSIGNAL, NULL, 0), record_len);
        record_len = 0;
    }
}

ssize_t sendmsg(int number, const struct msghdr *message, int flags)
{
    size_t before = record_len;

    if (number != fds[0]) {
        return syscall(SYS_sendmsg, number, message, flags);
    }
    for (size_t i = 0; i < (size_t)message->msg_iovlen; i++) {
        CHECK(message->msg_iov[i].iov_len <= sizeof record - record_len);
        memcpy(record + record_len, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        record_len += message->msg_iov[i].iov_len;
    }
    ssize_t n = (ssize_t)(record_len - before);
    end_record(flags);
    return n;
}

ssize_t send(int number, const void *bytes, size_t len, int flags)
{
    struct iovec vector = {(void *)(uintptr_t)bytes, len};

    return number == fds[0] ? sendmsg(number, &(struct msghdr){.msg_iov = &vector, .msg_iovlen = 1}, flags)
                            : syscall(SYS_sendto, number, bytes, len, flags, NULL, 0);
}

static char got[16];

static void open_tcp(struct loop_env *env)
{
    make_tcp_pair(fds);
    flow = flow_of(env->scope, fds[0]);
    has_records = script.row == 1;
}

/* Without records and with them. */
LOOP_TEST_ROWS(what_is_written_before_an_end_leaves_a_record, 2)
{
    static struct once written, shut;

    BEGIN;
    open_tcp(env);
    START(loop_write(&flow->sink, "abcd", 4, ONCE(&written)));
    START(loop_shutdown(&flow->sink, ONCE(&shut)));
    WAIT_UNTIL(written.count && shut.count);
    ONCE_IS(written, 4);
    ONCE_IS(shut, 0);
    if (script.row == 1) {
        CHECK_IS(recv(fds[1], got, sizeof got, MSG_WAITALL), 4);
        CHECK(memcmp(got, "abcd", 4) == 0);
    }
    CHECK_IS(n_more > 0, script.row == 0);
    close(fds[1]);
    END;
}

LOOP_TEST_ROWS(what_is_written_before_a_file_leaves_a_record, 2)
{
    static struct once written, copied;
    static struct loop_flow *file;

    BEGIN;
    open_tcp(env);
    file = flow_of(env->scope, make_file("file", 4));
    START(loop_write(&flow->sink, "head", 4, ONCE(&written)));
    START(loop_copy(&file->source, &flow->sink, ONCE(&copied)));
    WAIT_UNTIL(written.count && copied.count);
    ONCE_IS(written, 4);
    ONCE_IS(copied, 4);
    if (script.row == 1) {
        CHECK_IS(recv(fds[1], got, 8, MSG_WAITALL), 8);
        CHECK(memcmp(got, "headfile", 8) == 0);
    }
    CHECK_IS(n_more > 0, script.row == 0);
    close(fds[1]);
    END;
}
