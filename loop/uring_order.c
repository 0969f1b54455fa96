/* SPDX-License-Identifier: ISC
 *
 * The order of operations that wait for the same socket. The kernel wakes those that it has in an order of its own: the
 * newest first, or any, by version. So it has one at a time for each direction of a socket. The others stand in the
 * descriptor's line, and the next is started when the last completion of the one before has come.
 */
#include <loop/uring.h>

/* What returns at once, or takes other things than the bytes of the stream, waits for nobody, and nobody for it. */
#define IN_NO_LINE (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)

static bool is_message_call(const struct job *job)
{
    return job->op >= LOOP_OP_RECV && job->op <= LOOP_OP_RECV_MSG;
}

/* NULL: it needs no turn. */
static struct loop_turn *turn_of(const struct job *job)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    switch ((enum loop_op_class)row->op_class) {
    case LOOP_CLASS_READ:
    case LOOP_CLASS_WRITE:
    case LOOP_CLASS_MOVE: break;
    default: return NULL;
    }
    if (loop_fd_reads_by(job->fd) != LOOP_IO_SOCKET || (is_message_call(job) && job->u.args.flags & IN_NO_LINE)) {
        return NULL;
    }
    return row->is_output ? &job->fd->sending : &job->fd->receiving;
}

bool loop_uring_follows_others(const struct job *job)
{
    const struct loop_turn *turn = turn_of(job);
    if (!turn) {
        return false;
    }
    const struct loop_list *waiting = turn == &job->fd->sending ? &job->fd->writers : &job->fd->readers;
    return !loop_list_is_empty(waiting) && LOOP_CONTAINER(waiting->next, struct job, link)->op != LOOP_OP_NONE;
}

bool loop_uring_take_turn(struct job *job)
{
    struct loop_turn *turn = turn_of(job);
    if (!turn) {
        return true;
    }
    if (turn->is_taken) {
        job->where = LOOP_AT_RING_LINE;
        loop_list_push_back(&turn->line, &job->link);
        return false;
    }
    turn->is_taken = true;
    job->has_turn = true;
    return true;
}

void loop_uring_end_turn(struct loop *loop, struct job *job)
{
    struct loop_turn *turn = turn_of(job);
    assert(turn && turn->is_taken && job->has_turn);
    job->has_turn = false;
    turn->is_taken = false;
    struct loop_list *node;
    while (!turn->is_taken && (node = loop_list_pop_front(&turn->line))) {
        loop->backend->start(loop, LOOP_CONTAINER(node, struct job, link));
    }
}
