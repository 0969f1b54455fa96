/* SPDX-License-Identifier: ISC
 *
 * Helpers that the suites of readers and writers share: connections, and new objects that reuse the slots of destroyed
 * ones.
 */
#ifndef TESTS_BUFFERED_H
#define TESTS_BUFFERED_H

#include "reading.h"

#include <loop/reader.h>
#include <loop/writer.h>

/* More than a slab page has slots, so that one of the new objects reuses the slot of the destroyed one, in whatever
 * order slots are reused. */
#define NEWCOMERS 70

__attribute__((unused)) static int newcomer_peers[NEWCOMERS];
__attribute__((unused)) static struct loop_fd *newcomer_fds[NEWCOMERS];

static inline void adopt_newcomers(struct loop_scope *scope)
{
    for (unsigned i = 0; i < NEWCOMERS; i++) {
        int pair[2];
        make_pair(pair);
        set_nonblocking(pair[1]);
        newcomer_peers[i] = pair[1];
        newcomer_fds[i] = adopt(scope, pair[0]);
    }
}

/* Returns true if the new connections are open and have received nothing. */
static inline bool are_untouched(void)
{
    char byte;

    for (unsigned i = 0; i < NEWCOMERS; i++) {
        if (recv(newcomer_peers[i], &byte, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN ||
            !loop_fd_is_open(newcomer_fds[i])) {
            return false;
        }
    }
    return true;
}

static inline void close_peers(void)
{
    for (unsigned i = 0; i < NEWCOMERS; i++) {
        close(newcomer_peers[i]);
    }
}

/* Returns a connection in `scope`, and stores its other end in `*peer`. */
static inline struct loop_fd *connection(struct loop_scope *scope, int *peer)
{
    int pair[2];

    make_pair(pair);
    set_nonblocking(pair[1]);
    *peer = pair[1];
    return adopt(scope, pair[0]);
}

static inline struct loop_writer *writer_to(struct loop_fd *fd)
{
    struct loop_writer *writer = loop_writer_create(&loop_fd_flow(fd)->sink, 0);

    CHECK(writer != NULL);
    return writer;
}

static inline struct loop_reader *reader_from(struct loop_fd *fd)
{
    struct loop_reader *reader = loop_reader_create(&loop_fd_flow(fd)->source, 0);

    CHECK(reader != NULL);
    return reader;
}

static inline void send_text(int peer, const char *text)
{
    CHECK_IS(write(peer, text, strlen(text)), strlen(text));
}

#endif
