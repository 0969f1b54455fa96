/* SPDX-License-Identifier: ISC
 *
 * What the operations that need more than a buffer keep in `args.extra`: one piece of memory, freed with the job. Made
 * by low_level.c and those above it, read by both backends.
 */
#ifndef LOOP_SYSCALL_REQUEST_H
#define LOOP_SYSCALL_REQUEST_H

#include <loop/low_level.h>

#include <linux/openat2.h>

/* openat2. `dir_number` is AT_FDCWD, or the number of the job's descriptor. */
struct loop_open_request {
    struct open_how how;
    int dir_number;
    char path[];
};

/* statx. */
struct loop_path_request {
    int dir_number;
    char path[];
};

/* send_msg and recv_msg. */
struct loop_message_request {
    struct msghdr header;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(LOOP_MESSAGE_MAX_NUMBERS * sizeof(int))];
};

/* connect keeps a struct sockaddr_storage, whose length is in `args.connect`. */

#endif
