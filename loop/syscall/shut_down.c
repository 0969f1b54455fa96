/* SPDX-License-Identifier: ISC
 *
 * shutdown(2) of a descriptor that jobs may wait for.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/ready.h>
#include <loop/kernel/socket.h>
#include <loop/syscall/shut_down.h>

#include <errno.h>
#include <sys/socket.h>

/* Whether the job, which the kernel has, waits for room. */
static bool waits_for_room(const struct loop_job *job)
{
    return loop_op_table[job->op].moves_output;
}

/* The kernel does not wake jobs that wait for room on the socket, nor all that wait for bytes. They are tried again,
 * and their calls return the error. */
int64_t loop_fd_shut_down(struct loop *loop, struct loop_fd *fd, int how)
{
    if (loop_kernel_shutdown(fd->number, how)) {
        return -errno;
    }
    uint32_t input = how == SHUT_WR ? 0 : POLLIN, output = how == SHUT_RD ? 0 : POLLOUT;
    fd->is_shut |= output != 0;
    loop_ready_note(loop, fd, input | output);
    if (output) {
        loop_ready_call_back(loop, fd, waits_for_room);
    }
    return 0;
}
