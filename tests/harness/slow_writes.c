/* SPDX-License-Identifier: ISC
 *
 * A slow disk: preloaded, this library lets each pwrite(2) of a program take some time. Thus the threads of the loop's
 * pool lag behind the loop, as they do on a loaded machine.
 */
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

ssize_t pwrite(int number, const void *data, size_t len, off_t offset)
{
    const struct timespec duration = {.tv_nsec = 10000000};

    (void)nanosleep(&duration, NULL);
    return syscall(SYS_pwrite64, number, data, len, offset);
}
