/* SPDX-License-Identifier: ISC
 *
 * Results of system calls, as the functions of fs/ pass them on.
 */
#ifndef FS_OUTCOME_H
#define FS_OUTCOME_H

#include <loop/event.h>

#include <errno.h>
#include <stdint.h>

/* Returns the answer of a system call, or -errno where it has failed. Where a cancel has interrupted it, what the work
 * does next, such as removing a temporary file, is not interrupted. */
static inline int64_t loop_fs_outcome(int64_t answer)
{
    int error = errno;
    if (answer < 0 && error == EINTR) {
        (void)loop_work_is_cancelled();
    }
    return answer < 0 ? -error : answer;
}

#endif
