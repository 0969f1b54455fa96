/* SPDX-License-Identifier: ISC
 *
 * has_uring: checks whether a program can use io_uring on this system. Prints "yes" with status 0, or the refused call
 * and its error with status 1. It makes the system calls itself, so that the tests can distinguish a missing io_uring
 * from an error of the library.
 */
#include "error_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/io_uring.h>
#include <sys/syscall.h>

static int refused(const char *call)
{
    const char *name = error_name(errno);

    printf("%s: %s\n", call, name ? name : strerror(errno));
    return 1;
}

int main(void)
{
    struct io_uring_params params;
    long ring;

    memset(&params, 0, sizeof params);
    ring = syscall(__NR_io_uring_setup, 4, &params);
    if (ring < 0) {
        return refused("io_uring_setup");
    }
    if (syscall(__NR_io_uring_enter, ring, 0, 0, 0, NULL, 0) < 0) {
        return refused("io_uring_enter");
    }
    puts("yes");
    return 0;
}
