/* SPDX-License-Identifier: ISC
 *
 * The memory in args.extra of operations that need more than a buffer. It is allocated with malloc by the low level,
 * read by both backends, and freed with the job. A connect has a struct sockaddr_storage there.
 */
#ifndef LOOP_SYSCALL_REQUEST_H
#define LOOP_SYSCALL_REQUEST_H

#include <loop/low_level.h>

#include <linux/openat2.h>

/* Of an openat2. `dir_number` is AT_FDCWD, or the number of the job's descriptor. */
struct loop_open_request {
    struct open_how how;
    int dir_number;
    char path[];
};

/* Of a statx. */
struct loop_path_request {
    int dir_number;
    char path[];
};

/* Of send_msg and recv_msg. */
struct loop_message_request {
    struct msghdr header;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(LOOP_MESSAGE_MAX_NUMBERS * sizeof(int))];
};

#endif
