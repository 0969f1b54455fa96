/* SPDX-License-Identifier: ISC
 *
 * The marks of the world random: one for each kind of operation with each kind of ending. See program.h.
 */
#include "program.h"

#include <loop/simulation.h>
#include <stdio.h>

#define BIT(ending) (1u << (ending))

enum { MOST_MARK = 48 };

const char *const random_kind_names[N_KINDS] = {
    [READ] = "read",
    [READ_EXACT] = "read exactly",
    [RING_READ] = "read by the ring",
    [STREAM] = "stream",
    [WAIT_READABLE] = "wait readable",
    [COPY] = "copy",
    [READER] = "reader",
    [WRITE] = "write",
    [TWO_WRITES] = "two writes",
    [WRITEV] = "writev",
    [RING_WRITE] = "write by the ring",
    [COPY_IN] = "copy from memory",
    [FLUSH] = "flush",
    [SHUTDOWN] = "shutdown",
    [DRAIN] = "drain",
    [POLL] = "poll",
    [TAKE] = "take",
    [SLEEP] = "sleep",
    [WORK] = "work",
    [HANDED_WORK] = "handed work",
    [POST] = "post",
    [PROMISE] = "promise",
    [ON_CANCEL] = "on cancel",
    [SIGNAL] = "signal",
    [CHUNK] = "chunk",
    [CONNECT] = "connect",
    [ACCEPT] = "accept",
    [SAVE] = "save",
    [LOAD] = "load",
    [OPEN] = "open",
    [LIST] = "list",
    [MKDIRS] = "mkdirs",
    [MKDIR] = "mkdir",
    [RMDIR] = "rmdir",
    [RMTREE] = "rmtree",
    [UNLINK] = "unlink",
    [RENAME] = "rename",
    [COPY_FILE] = "copy file",
    [PREAD] = "pread",
    [PWRITE] = "pwrite",
    [FILE_SYNC] = "file sync",
    [WATCH] = "watch",
    [SEND] = "send",
    [RECEIVE] = "receive",
    [SCOPE] = "scope",
};

static const char *const ending_names[N_ENDINGS] = {
    [DONE] = "done",
    [PARTLY] = "partly done",
    [AT_END] = "end",
    [DONE_THOUGH_CANCELLED] = "done though cancelled",
    [CANCELLED_AT_ONCE] = "cancelled at once",
    [CANCELLED_LATER] = "cancelled later",
    [SCOPE_CANCELLED] = "scope cancelled",
    [CLOSED] = "closed",
    [TIMED_OUT] = "deadline",
    [RESET] = "reset",
    [REFUSED] = "refused",
    [NO_MEMORY] = "no memory",
    [NO_DESCRIPTOR] = "no descriptor",
    [FAILED] = "failed",
};

/* The endings that a search of some seconds reaches. */
static const unsigned reached[N_KINDS] = {
    [READ] = BIT(DONE) | BIT(PARTLY) | BIT(AT_END) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) |
             BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [READ_EXACT] =
        BIT(DONE) | BIT(AT_END) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [RING_READ] = BIT(DONE) | BIT(PARTLY) | BIT(AT_END) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) |
                  BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [STREAM] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [WAIT_READABLE] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [COPY] =
        BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT) | BIT(FAILED),
    [READER] = BIT(DONE) | BIT(PARTLY) | BIT(AT_END) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) |
               BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [WRITE] = BIT(DONE) | BIT(PARTLY) | BIT(CANCELLED_AT_ONCE),
    [TWO_WRITES] = BIT(DONE) | BIT(PARTLY),
    [WRITEV] = BIT(DONE) | BIT(PARTLY) | BIT(CANCELLED_AT_ONCE),
    [RING_WRITE] = BIT(DONE) | BIT(PARTLY),
    [COPY_IN] = BIT(DONE) | BIT(PARTLY) | BIT(CANCELLED_AT_ONCE),
    [FLUSH] =
        BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT) | BIT(RESET),
    [SHUTDOWN] = BIT(DONE),
    [DRAIN] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED),
    [POLL] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED),
    [TAKE] = BIT(DONE),
    [SLEEP] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [WORK] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED),
    [HANDED_WORK] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED),
    [POST] = BIT(DONE),
    [PROMISE] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [ON_CANCEL] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [SIGNAL] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
    [CHUNK] = BIT(DONE),
    [CONNECT] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT) |
                BIT(REFUSED) | BIT(NO_DESCRIPTOR) | BIT(FAILED),
    [ACCEPT] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED),
    [SAVE] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [LOAD] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [OPEN] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [LIST] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [MKDIRS] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED),
    [MKDIR] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [RMDIR] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [RMTREE] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [UNLINK] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [RENAME] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [COPY_FILE] = BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(SCOPE_CANCELLED) | BIT(FAILED),
    [PREAD] = BIT(DONE) | BIT(PARTLY) | BIT(AT_END),
    [PWRITE] = BIT(DONE) | BIT(CANCELLED_AT_ONCE),
    [FILE_SYNC] = BIT(DONE) | BIT(CANCELLED_AT_ONCE),
    [WATCH] =
        BIT(DONE) | BIT(CANCELLED_AT_ONCE) | BIT(CANCELLED_LATER) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT) | BIT(FAILED),
    [SEND] = BIT(DONE),
    [RECEIVE] = BIT(SCOPE_CANCELLED),
    [SCOPE] = BIT(DONE) | BIT(SCOPE_CANCELLED) | BIT(TIMED_OUT),
};

/* What else has to happen in a search. */
static const char *const others[] = {
    "a node crashed",         "a node was started again",    "a node was paused",
    "the network was parted", "a stream was paused",         "a stream went on",
    "watch: an event",        "bytes went on, then no more", "a pair of TCP sockets was made",
};
enum { N_OTHERS = sizeof others / sizeof *others };

static char names[N_KINDS][N_ENDINGS][MOST_MARK];

const char *const *random_marks(void)
{
    static const char *list[N_KINDS * N_ENDINGS + N_OTHERS + 1];
    unsigned n = 0;

    for (unsigned i = 0; i < N_OTHERS; i++) {
        list[n++] = others[i];
    }
    for (unsigned kind = 0; kind < N_KINDS; kind++) {
        for (unsigned ending = 0; ending < N_ENDINGS; ending++) {
            snprintf(names[kind][ending], MOST_MARK, "%s: %s", random_kind_names[kind], ending_names[ending]);
            if (reached[kind] & BIT(ending)) {
                list[n++] = names[kind][ending];
            }
        }
    }
    return list;
}

void random_mark(enum kind kind, enum ending ending)
{
    loop_simulation_sometimes(names[kind][ending]);
}
