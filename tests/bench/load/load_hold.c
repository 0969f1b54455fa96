/* SPDX-License-Identifier: ISC
 *
 * load TARGET --hold N [--touch]: opens N connections and keeps them open until it reads a line from standard input, so
 * that the memory of the server can be measured. With --touch each connection first echoes one message.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void touch(const struct load *load, int fd)
{
    if (send(fd, load->pattern, load->size, MSG_NOSIGNAL) != (ssize_t)load->size) {
        bench_fail("send");
    }
    if (recv(fd, load_received, load->size, MSG_WAITALL) != (ssize_t)load->size) {
        bench_fail("recv");
    }
    if (memcmp(load_received, load->pattern, load->size) != 0) {
        errno = EBADMSG;
        bench_fail("what came back");
    }
}

int load_hold(struct load *load)
{
    for (unsigned i = 0; i < load->hold; i++) {
        int fd = load_connect(load);

        if (fd < 0) {
            bench_fail("connect");
        }
        if (load->touch) {
            touch(load, fd);
        }
    }
    puts("holding");
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin) && !ferror(stdin)) {
    }
    return 0;
}
