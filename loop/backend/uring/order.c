/* SPDX-License-Identifier: ISC
 *
 * Keeps operations that wait for the same socket in the order of their calls. The kernel wakes its waiters in another
 * order, which depends on its version. So it gets one operation at a time for each direction of a socket. The others
 * wait in the descriptor's line. The next is started after the last completion of the one before.
 *
 * Polls wait for different events, so one must not wait for another. The kernel has a single poll. When a second one is
 * started, the first is called back, and all polls wait for readiness, in the order of their calls.
 */
#include <loop/backend/uring/order.h>
#include <loop/backend/uring/ring.h>
#include <loop/core/backend.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/ground/list.h>
#include <loop/syscall/direct.h>

/* Calls with these flags take no turn: they return at once, or take something other than the bytes of the stream. */
#define IN_NO_LINE (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)

/* Whether the operation moves the position of a file. Reads and writes of it share one turn. */
static bool is_at_position(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    return row->op_class == LOOP_CLASS_MOVE && job->u.args.move.offset == LOOP_CURRENT &&
           job->fd->write_by == LOOP_IO_BLOCKING;
}

/* Returns the turn that the job has to take, or LOOP_TURNS when it needs none. */
static enum loop_turn turn_of(const struct loop_job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    switch ((enum loop_op_class)row->op_class) {
    case LOOP_CLASS_READ:
    case LOOP_CLASS_WRITE:
    case LOOP_CLASS_MOVE: break;
    case LOOP_CLASS_POLL: return LOOP_TURN_POLL;
    default: return LOOP_TURNS;
    }
    if (is_at_position(job)) {
        return LOOP_TURN_RECEIVE;
    }
    if (loop_fd_reads_by(job->fd) != LOOP_IO_SOCKET || (row->is_message && job->u.args.message.flags & IN_NO_LINE)) {
        return LOOP_TURNS;
    }
    return row->is_output ? LOOP_TURN_SEND : LOOP_TURN_RECEIVE;
}

bool loop_uring_follows_others(const struct loop_job *job)
{
    enum loop_turn turn = turn_of(job);
    if (turn == LOOP_TURNS || is_at_position(job)) {
        return false; /* the lists of a file belong to its source and sink */
    }
    if (turn == LOOP_TURN_POLL) {
        return loop_fd_has_pollers(job->fd);
    }
    if (turn == LOOP_TURN_SEND) {
        return job->fd->is_sending || !loop_line_is_empty(&job->fd->writers); /* a copy sends from another line */
    }
    return loop_ready_has_readers(job->fd);
}

bool loop_uring_waits_for_turn(const struct loop_job *job)
{
    const struct loop_fd *fd = loop_op_table[job->op].needs_fd ? job->fd : NULL;
    bool is_jobs = fd && loop_fd_has_turn_taken(fd, LOOP_TURN_RECEIVE) && !fd->is_receiving && !fd->is_reading;
    return is_jobs && !job->is_otherwise && loop_fd_reads_by(fd) == LOOP_IO_SOCKET && turn_of(job) == LOOP_TURN_RECEIVE;
}

static bool is_poll(const struct loop_job *job)
{
    return loop_op_table[job->op].op_class == LOOP_CLASS_POLL;
}

static struct loop_job *find_poll(const struct loop_fd *fd)
{
    struct loop_hnode *node = fd->jobs.first;
    while (!is_poll(LOOP_CONTAINER(node, struct loop_job, in_fd)) ||
           !LOOP_CONTAINER(node, struct loop_job, in_fd)->has_turn) {
        node = node->next;
        assert(node);
    }
    return LOOP_CONTAINER(node, struct loop_job, in_fd);
}

/* Has the poll with the turn go on by readiness. */
static void call_poll_back(struct loop *loop, const struct loop_fd *fd)
{
    struct loop_job *poll = find_poll(fd);
    if (poll->where == LOOP_AT_RING) {
        loop_uring_cancel(loop_uring_of(loop), poll);
        return;
    }
    loop_list_remove(&poll->link);
    loop_uring_go_on_elsewhere(loop, poll);
}

void loop_uring_go_on_elsewhere(struct loop *loop, struct loop_job *job)
{
    job->is_otherwise = true;
    loop_direct_start(loop, job);
    loop_uring_drop_turn(loop, job);
}

/* Puts a job in line for its turn. It ends when there is no memory. */
static void wait_for_turn(struct loop *loop, struct loop_job *job, enum loop_turn turn)
{
    struct loop_fd_more *more = loop_fd_get_more(job->fd);
    if (!more) {
        loop_job_backend_complete(loop, job, -ENOMEM);
        return;
    }
    struct loop_list *line = &more->lines[turn];
    job->where = LOOP_AT_RING_LINE;
    loop_list_push_back(line, &job->link);
    if (turn == LOOP_TURN_POLL && line->next == &job->link) {
        call_poll_back(loop, job->fd);
    }
}

bool loop_uring_take_turn(struct loop_job *job)
{
    enum loop_turn turn = turn_of(job);
    if (turn == LOOP_TURNS) {
        return true;
    }
    if (loop_fd_has_turn_taken(job->fd, turn)) {
        wait_for_turn(job->scope->loop, job, turn);
        return false;
    }
    loop_fd_take_turn(job->fd, turn);
    job->has_turn = true;
    return true;
}

void loop_uring_end_turn(struct loop *loop, struct loop_job *job)
{
    enum loop_turn turn = turn_of(job);
    assert(turn != LOOP_TURNS && loop_fd_has_turn_taken(job->fd, turn) && job->has_turn);
    job->has_turn = false;
    loop_uring_pass_turn(loop, job->fd, turn);
}

void loop_uring_start_next(struct loop *loop, struct loop_fd *fd, enum loop_turn turn)
{
    struct loop_list *node;
    while (!loop_fd_has_turn_taken(fd, turn) && (node = loop_list_pop_front(&loop_fd_more(fd)->lines[turn]))) {
        loop->backend->start(loop, LOOP_CONTAINER(node, struct loop_job, link));
    }
}
