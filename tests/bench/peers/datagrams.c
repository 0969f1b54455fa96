/* SPDX-License-Identifier: ISC
 *
 * Echo of datagrams by plain calls. See datagrams.h.
 */
#include "datagrams.h"

#include "server.h"

#define AT_ONCE 32

static char buffers[AT_ONCE][SERVER_READ_BYTES] __attribute__((aligned(64)));
static struct sockaddr_storage senders[AT_ONCE];
static struct iovec vectors[AT_ONCE];
static struct mmsghdr messages[AT_ONCE];

/* Prepares room for `n` datagrams of any length, from any sender. */
static void make_room(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        vectors[i] = (struct iovec){.iov_base = buffers[i], .iov_len = sizeof buffers[i]};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &senders[i], .msg_namelen = sizeof senders[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
}

static void send_back(int fd, unsigned n)
{
    unsigned done = 0;
    int sent = 1;

    for (unsigned i = 0; i < n; i++) {
        vectors[i].iov_len = messages[i].msg_len;
    }
    for (; done < n && sent > 0; done += (unsigned)sent) {
        sent = sendmmsg(fd, messages + done, n - done, 0);
    }
}

void datagrams_echo(int fd)
{
    static unsigned used = AT_ONCE;
    int n;

    do {
        make_room(used);
        n = recvmmsg(fd, messages, AT_ONCE, 0, NULL);
        used = n > 0 ? (unsigned)n : 0;
        send_back(fd, used);
    } while (n == AT_ONCE);
}
