/* SPDX-License-Identifier: ISC
 *
 * Results of system calls, as the functions of fs/ pass them on.
 */
#ifndef FS_OUTCOME_H
#define FS_OUTCOME_H

#include <errno.h>
#include <stdint.h>

/* Returns the answer of a system call, or -errno where it has failed. */
static inline int64_t loop_fs_outcome(int64_t answer)
{
    return answer < 0 ? -errno : answer;
}

#endif
