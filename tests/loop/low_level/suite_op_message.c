/* SPDX-License-Identifier: ISC
 *
 * loop_op_recv_msg and loop_op_send_msg: passed descriptors, senders and destinations.
 */
#include "descriptors.h"

#include <arpa/inet.h>
#include <limits.h>

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
    out = (struct loop_message){.iov = &out_vector, .n_iov = 1, .numbers = sent, .n_numbers = 2};
    in = (struct loop_message){.iov = &in_vector, .n_iov = 1, .numbers = came, .n_numbers = 4};
    START(loop_op_recv_msg(NULL, flows[1]->fd, &in, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(read.count, 0);
    AWAIT(loop_op_send_msg(NULL, flows[0]->fd, &out, GO));
    CHECK_MOVED(result, 8);
    WAIT_UNTIL(read.count);
    CHECK(read.result > 0 && read.result <= 8);
    CHECK(memcmp(got, text, (size_t)read.result) == 0);
    CHECK_IS(in.n_numbers, 2);
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
    out = (struct loop_message){.iov = &out_vector, .n_iov = 1, .numbers = sent, .n_numbers = 3};
    in = (struct loop_message){.iov = &in_vector, .n_iov = 1, .numbers = came, .n_numbers = 1};
    AWAIT(loop_op_send_msg(NULL, flows[0]->fd, &out, GO));
    CHECK_IS(result, 1);
    before = count_fds();
    AWAIT(loop_op_recv_msg(NULL, flows[1]->fd, &in, GO));
    CHECK_IS(result, 1);
    CHECK_IS(in.n_numbers, 1);
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
    static int fds[LOOP_MESSAGE_MAX_NUMBERS + 1];

    BEGIN;
    make_flows(env->scope, flows);
    out = (struct loop_message){.iov = &vector, .n_iov = 1, .numbers = fds, .n_numbers = LOOP_MESSAGE_MAX_NUMBERS + 1};
    AWAIT(loop_op_send_msg(NULL, flows[0]->fd, &out, GO));
    CHECK_IS(result, -EINVAL);
    memset(fds, 0xff, sizeof fds);
    out.n_numbers = 1;
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
    CHECK_IS(in.n_numbers, 0);
    END;
}

/* ---- messages ---- */

LOOP_TEST(a_message_passes_descriptors)
{
    static struct loop_fd *pair[2], *files[2];
    static char sent[] = "with two", bytes[16];
    static struct iovec out[] = {{sent, 5}, {sent + 5, 3}}, in = {bytes, sizeof bytes};
    static int numbers[2], got[4];
    static struct loop_message message;
    static char content[4];

    BEGIN;
    open_pair(env->scope, pair);
    files[0] = open_file(env->scope, "one");
    files[1] = open_file(env->scope, "two");
    numbers[0] = loop_fd_peek(files[0]);
    numbers[1] = loop_fd_peek(files[1]);
    message = (struct loop_message){.iov = out, .n_iov = 2, .numbers = numbers, .n_numbers = 2};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, 8);
    message = (struct loop_message){.iov = &in, .n_iov = 1, .numbers = got, .n_numbers = 4};
    AWAIT(loop_op_recv_msg(env->scope, pair[1], &message, GO));
    CHECK_IS(result, 8);
    CHECK(memcmp(bytes, "with two", 8) == 0);
    CHECK_IS(message.n_numbers, 2);
    CHECK_IS(message.flags, 0);
    for (int i = 0; i < 2; i++) {
        CHECK(got[i] != numbers[i] && fcntl(got[i], F_GETFD) & FD_CLOEXEC);
        CHECK_IS(pread(got[i], content, 4, 0), 3);
        CHECK(memcmp(content, i == 0 ? "one" : "two", 3) == 0);
        close(got[i]);
    }
    END;
}

LOOP_TEST(as_many_descriptors_as_promised_and_no_more)
{
    static struct loop_fd *pair[2];
    static char byte = 'x';
    static struct iovec iov = {&byte, 1};
    static int numbers[LOOP_MESSAGE_MAX_NUMBERS + 1], got[LOOP_MESSAGE_MAX_NUMBERS + 1];
    static struct loop_message message;

    BEGIN;
    open_pair(env->scope, pair);
    for (int i = 0; i <= LOOP_MESSAGE_MAX_NUMBERS; i++) {
        numbers[i] = STDERR_FILENO;
    }
    message =
        (struct loop_message){.iov = &iov, .n_iov = 1, .numbers = numbers, .n_numbers = LOOP_MESSAGE_MAX_NUMBERS + 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    message.n_numbers = LOOP_MESSAGE_MAX_NUMBERS;
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, 1);
    message = (struct loop_message){.iov = &iov, .n_iov = 1, .numbers = got, .n_numbers = LOOP_MESSAGE_MAX_NUMBERS + 1};
    AWAIT(loop_op_recv_msg(env->scope, pair[1], &message, GO));
    CHECK_IS(result, 1);
    CHECK_IS(message.n_numbers, LOOP_MESSAGE_MAX_NUMBERS);
    CHECK_IS(message.flags & MSG_CTRUNC, 0);
    for (int i = 0; i < LOOP_MESSAGE_MAX_NUMBERS; i++) {
        close(got[i]);
    }
    END;
}

LOOP_TEST(messages_that_cannot_be_sent)
{
    static struct loop_fd *pair[2];
    static char byte = 'x';
    static struct iovec iov = {&byte, 1}, many[IOV_MAX + 1];
    static int no_descriptor = 1 << 20;
    static struct loop_message message;

    BEGIN;
    open_pair(env->scope, pair);
    AWAIT(loop_op_send_msg(env->scope, pair[0], NULL, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_recv_msg(env->scope, pair[0], NULL, GO));
    CHECK_IS(result, -EINVAL);
    message = (struct loop_message){.n_iov = 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    message = (struct loop_message){.iov = &iov, .n_iov = 1, .n_numbers = 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_op_recv_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EINVAL);
    message.numbers = &no_descriptor;
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EBADF);
    message = (struct loop_message){.iov = many, .n_iov = IOV_MAX + 1};
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EMSGSIZE);
    message.n_iov = SIZE_MAX / 2 + 2; /* 1, where it is cut to an int */
    AWAIT(loop_op_send_msg(env->scope, pair[0], &message, GO));
    CHECK_IS(result, -EMSGSIZE);
    END;
}

LOOP_TEST(messages_have_addresses_on_datagram_sockets)
{
    static struct sockaddr_in one, other, from;
    static struct loop_fd *sockets[2];
    static char bytes[16], sent[] = "datagram";
    static struct iovec out = {sent, 8}, in = {bytes, 4};
    static struct loop_message message;

    BEGIN;
    sockets[0] = adopt(env->scope, make_datagram_socket(&one));
    sockets[1] = adopt(env->scope, make_datagram_socket(&other));
    message = (struct loop_message){
        .iov = &out, .n_iov = 1, .address = (struct sockaddr *)&other, .address_len = sizeof other};
    AWAIT(loop_op_send_msg(env->scope, sockets[0], &message, GO));
    CHECK_IS(result, 8);
    message =
        (struct loop_message){.iov = &in, .n_iov = 1, .address = (struct sockaddr *)&from, .address_len = sizeof from};
    AWAIT(loop_op_recv_msg(env->scope, sockets[1], &message, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(bytes, "data", 4) == 0);
    CHECK_IS(message.flags & MSG_TRUNC, MSG_TRUNC);
    CHECK_IS(message.address_len, sizeof from);
    CHECK_IS(from.sin_port, one.sin_port);
    message = (struct loop_message){.iov = &out, .n_iov = 1};
    AWAIT(loop_op_send_msg(env->scope, sockets[0], &message, GO));
    CHECK_IS(result, -EDESTADDRREQ);
    END;
}

LOOP_TEST(an_empty_datagram_is_a_message)
{
    static struct sockaddr_in one, other, from;
    static struct loop_fd *sockets[2];
    static struct loop_message message;
    static struct once once;

    BEGIN;
    sockets[0] = adopt(env->scope, make_datagram_socket(&one));
    sockets[1] = adopt(env->scope, make_datagram_socket(&other));
    message = (struct loop_message){.address = (struct sockaddr *)&from, .address_len = sizeof from};
    START(loop_op_recv_msg(env->scope, sockets[1], &message, ONCE(&once)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(once.count, 0);
    CHECK_IS(sendto(loop_fd_peek(sockets[0]), NULL, 0, 0, (struct sockaddr *)&other, sizeof other), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, 0);
    CHECK_IS(from.sin_port, one.sin_port);
    CHECK_IS(message.address_len, sizeof from);
    END;
}

LOOP_TEST(a_cancelled_message_says_that_nothing_came)
{
    static struct loop_fd *pair[2];
    static int fds[2] = {-1, -1};
    static struct loop_message message;
    static struct once once;
    static char byte;
    static struct iovec iov = {&byte, 1};
    static loop_job job;

    BEGIN;
    open_pair(env->scope, pair);
    message = (struct loop_message){.iov = &iov, .n_iov = 1, .numbers = fds, .n_numbers = 2};
    job = START(loop_op_recv_msg(env->scope, pair[0], &message, ONCE(&once)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(once.count);
    ONCE_IS(once, -ECANCELED);
    CHECK_IS(message.n_numbers, 0);
    END;
}
