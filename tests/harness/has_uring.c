/* SPDX-License-Identifier: ISC
 *
 * has_uring: says whether a program can have io_uring here and now. Status 0 and "yes", or status 1 and the call that
 * was refused with its error. It asks the kernel itself, not the library, so that the tests can tell the two apart.
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
