/* SPDX-License-Identifier: ISC
 *
 * loop_op_splice while another process reads from the same source, and on threads while others wait for it. This
 * program overrides splice(2), which first lets the other process read, or waits.
 */
#include "harness.h"

#include <loop/low_level.h>

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static int source = -1; /* what the other process empties at the next splice */

/* Of splices on threads: the first waits until it may end, the second until the third has begun. */
static struct {
    bool is_on;
    atomic_uint n_begun;
    sem_t may_end, has_third;
    atomic_bool has_waited_in_vain;
} threads;

static void wait_on_thread(void)
{
    struct timespec until;
    unsigned nth = atomic_fetch_add(&threads.n_begun, 1);
    if (nth == 0) {
        CHECK_IS(sem_wait(&threads.may_end), 0);
    } else if (nth == 1) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 5;
        atomic_store(&threads.has_waited_in_vain, sem_timedwait(&threads.has_third, &until) != 0);
    } else if (nth == 2) {
        CHECK_IS(sem_post(&threads.has_third), 0);
    }
}

ssize_t splice(int from, loff_t *from_offset, int to, loff_t *to_offset, size_t len, unsigned flags)
{
    if (threads.is_on) {
        wait_on_thread();
    }
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

/* The end of one splice releases one at its source and one at its destination. */
LOOP_TEST_WITH(splices_behind_both_ends_of_another_run_together, .pool_threads = 4, .pool_threads_min = 4)
{
    static struct once moved[3];
    static struct loop_fd *files[2], *ends[2];
    static int pipes[2][2];

    BEGIN;
    memset(moved, 0, sizeof moved);
    CHECK(!sem_init(&threads.may_end, 0, 0) && !sem_init(&threads.has_third, 0, 0));
    atomic_store(&threads.n_begun, 0);
    threads.is_on = true;
    for (unsigned i = 0; i < 2; i++) {
        files[i] = adopt(env->scope, make_file("abcdef", 6));
        make_pipe(pipes[i]);
        ends[i] = adopt(env->scope, pipes[i][1]);
    }
    START(loop_op_splice(NULL, files[0], LOOP_CURRENT, ends[0], LOOP_CURRENT, 2, ONCE(&moved[0])));
    START(loop_op_splice(NULL, files[0], LOOP_CURRENT, ends[1], LOOP_CURRENT, 2, ONCE(&moved[1])));
    START(loop_op_splice(NULL, files[1], LOOP_CURRENT, ends[0], LOOP_CURRENT, 2, ONCE(&moved[2])));
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO)); /* the threads that find nothing sleep again */
    CHECK_IS(sem_post(&threads.may_end), 0);
    WAIT_UNTIL(moved[0].count && moved[1].count && moved[2].count);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_IS(moved[i].count, 1);
        CHECK_MOVED(moved[i].result, 2);
    }
    CHECK(!atomic_load(&threads.has_waited_in_vain));
    threads.is_on = false;
    close(pipes[0][0]);
    close(pipes[1][0]);
    END;
}
