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

static void touch(const struct load *load, int fd, unsigned char *received)
{
    if (send(fd, load->pattern, load->size, MSG_NOSIGNAL) != (ssize_t)load->size) {
        bench_fail("send");
    }
    if (recv(fd, received, load->size, MSG_WAITALL) != (ssize_t)load->size) {
        bench_fail("recv");
    }
    if (memcmp(received, load->pattern, load->size) != 0) {
        errno = EBADMSG;
        bench_fail("what came back");
    }
}

int load_hold(struct load *load)
{
    unsigned char *received = bench_alloc(load->size, 1);

    for (unsigned i = 0; i < load->hold; i++) {
        int fd = load_connect(load);

        if (fd < 0) {
            bench_fail("connect");
        }
        if (load->touch) {
            touch(load, fd, received);
        }
    }
    puts("holding");
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin) && !ferror(stdin)) {
    }
    free(received);
    return 0;
}
