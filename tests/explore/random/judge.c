/* SPDX-License-Identifier: ISC
 *
 * What the operations of random programs may end with. See program.h.
 */
#include "program.h"

#include <errno.h>
#include <loop/simulation.h>
#include <string.h>

/* ---- what operations may end with ---- */

static bool is_one_of(int64_t error, const int *errors)
{
    while (*errors && *errors != -error) {
        errors++;
    }
    return *errors;
}

static bool may_fail_with(enum kind kind, int64_t error)
{
    static const int network[] = {ECONNRESET, EPIPE, ECONNREFUSED, EHOSTUNREACH,  ENETUNREACH, EMFILE, ENFILE,
                                  ENOBUFS,    EBADF, ECONNABORTED, EADDRNOTAVAIL, EMSGSIZE,    0};
    static const int files[] = {EIO, ENOSPC, ENOENT, EEXIST, EMFILE, ENFILE, EBADF, EISDIR, EDQUOT, EFBIG, ENOTDIR, 0};
    static const int directories[] = {ENOTEMPTY, EXDEV, 0};

    if (error == -ENOMEM) {
        return kind != ON_CANCEL;
    }
    if (kind == COPY && error == -ENOSPC) {
        return true; /* of the memory that it fills */
    }
    if (kind == READER && error == -ENODATA) {
        return true; /* it ended before it had all */
    }
    if (kind == RECEIVE && error == -EBUSY) {
        return true; /* another stream receives */
    }
    if (kind <= TAKE || (kind >= CONNECT && kind <= ACCEPT) || (kind >= SEND && kind <= RECEIVE)) {
        return is_one_of(error, network);
    }
    if (kind == SIGNAL) {
        return error == -EMFILE || error == -ENFILE;
    }
    if ((kind == RMDIR || kind == RMTREE || kind == RENAME) && is_one_of(error, directories)) {
        return true;
    }
    return kind >= SAVE && kind <= WATCH && is_one_of(error, files);
}

static bool is_over(const struct group *group)
{
    return group->has_ended || loop_scope_is_cancelled(group->scope);
}

/* Returns whether something has cancelled an operation. */
static bool has_cause(const struct op *op)
{
    if (op->kind == POST || op->kind == ACCEPT) {
        return true; /* at the end of the loop; when the listener closes, whose scope may end by itself */
    }
    return op->is_cancelled || is_over(op->group) || (op->end && op->end->is_closed) ||
           (op->kind == DRAIN && (op->end->has_failed || op->end->has_ended || op->end->is_writing)) ||
           (op->other && op->other->is_closed) || (op->file && op->file->is_closed);
}

static void check_error(const struct op *op, int64_t result)
{
    const struct program *program = op->program;
    bool is_network = op->kind <= TAKE || op->kind == CONNECT || op->kind == ACCEPT;

    if (result == -ECANCELED) {
        if (!has_cause(op)) {
            loop_world_fail(NULL, "cancelled without a cause: %s", random_kind_names[op->kind]);
        }
    } else if (result == -ETIMEDOUT) {
        int64_t now_ns = loop_now(program->env->loop);
        if (!is_network && now_ns < op->group->deadline_ns && now_ns < op->deadline_ns) {
            loop_world_fail(NULL, "a deadline before its time: %s", random_kind_names[op->kind]);
        }
    } else if (result == -EBADF && !has_cause(op) && !(op->end && op->end->has_ended)) {
        loop_world_fail(NULL, "a descriptor that is not closed is: %s", random_kind_names[op->kind]);
    } else if (!may_fail_with(op->kind, result)) {
        loop_world_fail(NULL, "%s ended with a wrong error: %s", random_kind_names[op->kind], strerror((int)-result));
    }
}

static enum ending error_of(const struct op *op, int64_t result)
{
    switch (-result) {
    case ECANCELED:
        if (op->is_cancelled) {
            return op->is_cancelled_at_once ? CANCELLED_AT_ONCE : CANCELLED_LATER;
        }
        return (op->end && op->end->is_closed) || (op->file && op->file->is_closed) ? CLOSED : SCOPE_CANCELLED;
    case ETIMEDOUT: return TIMED_OUT;
    case ECONNRESET:
    case EPIPE: return RESET;
    case ECONNREFUSED: return REFUSED;
    case ENOMEM: return NO_MEMORY;
    case EMFILE:
    case ENFILE: return NO_DESCRIPTOR;
    case EBADF: return CLOSED;
    default: return FAILED;
    }
}

static enum ending ending_of(const struct op *op, int64_t result)
{
    if (result < 0) {
        return error_of(op, result);
    }
    if (op->full > 0 && result == 0) {
        return AT_END;
    }
    if (op->full > 0 && result < op->full) {
        return PARTLY;
    }
    return op->is_cancelled ? DONE_THOUGH_CANCELLED : DONE;
}

void random_judge(struct op *op, int64_t result)
{
    loop_simulation_note("%s ends with %d", random_kind_names[op->kind], (int)result);
    if (!op->is_started) {
        loop_world_fail(NULL, "resumed from inside the call: %s", random_kind_names[op->kind]);
    } else if (op->has_ended) {
        loop_world_fail(NULL, "resumed twice: %s", random_kind_names[op->kind]);
    } else if (result < 0) {
        check_error(op, result);
    } else if (op->full > 0 && result > op->full) {
        loop_world_fail(NULL, "a result that is too large: %s", random_kind_names[op->kind]);
    } else if (loop_now(op->program->env->loop) < op->not_before_ns) {
        loop_world_fail(NULL, "a timer before its time: %s", random_kind_names[op->kind]);
    }
    op->has_ended = true;
    op->program->n_running--;
    random_mark(op->kind, ending_of(op, result));
}
