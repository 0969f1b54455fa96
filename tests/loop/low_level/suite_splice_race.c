/* SPDX-License-Identifier: ISC
 *
 * loop_op_splice while another process reads from the same source. This program overrides splice(2), which first lets
 * the other process read.
 */
#include "harness.h"

#include <loop/low_level.h>

#include <sys/syscall.h>

static int source = -1; /* what the other process empties at the next splice */

ssize_t splice(int from, loff_t *from_offset, int to, loff_t *to_offset, size_t len, unsigned flags)
{
    if (source >= 0) {
        CHECK(drain(source) > 0);
        source = -1;
    }
    return syscall(SYS_splice, from, from_offset, to, to_offset, len, flags);
}

LOOP_TEST(a_splice_whose_source_another_process_has_emptied_waits_for_it)
{
    static struct loop_flow *flows[2];
    static struct once watched, moved;
    static int pair[2], pipes[2];
    static size_t stuffed;

    BEGIN;
    make_pair(pair);
    flows[0] = flow_of(env->scope, pair[0]);
    make_pipe(pipes);
    flows[1] = flow_of(env->scope, pipes[1]);
    set_nonblocking(pair[0]);
    stuffed = stuff(pipes[1]);
    CHECK_IS(write(pair[1], "x", 1), 1);
    START(loop_op_splice(NULL, flows[0]->fd, LOOP_CURRENT, flows[1]->fd, LOOP_CURRENT, 10, ONCE(&watched)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(watched.count, 0);
    CHECK_IS(drain(pipes[0]), stuffed);
    WAIT_UNTIL(watched.count); /* from now on only a change of the destination is reported */
    CHECK_IS(write(pair[1], "lost", 4), 4);
    source = pair[0];
    START(loop_op_splice(NULL, flows[0]->fd, LOOP_CURRENT, flows[1]->fd, LOOP_CURRENT, 10, ONCE(&moved)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(source, -1);
    CHECK_IS(moved.count, 0);
    CHECK_IS(write(pair[1], "moved", 5), 5);
    WAIT_UNTIL(moved.count);
    CHECK_MOVED(moved.result, 5);
    close(pair[1]);
    close(pipes[0]);
    END;
}
