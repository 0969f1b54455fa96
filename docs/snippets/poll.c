/* SPDX-License-Identifier: ISC
 *
 * A foreign descriptor: the loop reports when it is ready, and its owner reads it.
 */
#include <loop/loop.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void on_ready(void *arg, int64_t result)
{
    struct loop_fd *fd = arg;
    int number = result > 0 ? loop_fd_use(fd) : -1;
    uint64_t expirations = 0;

    if (number < 0) {
        return; /* cancelled, or closed in the meantime */
    }
    if (read(number, &expirations, sizeof expirations) == sizeof expirations) {
        printf("the other library's timer has expired\n");
    }
    loop_fd_unuse(fd);
}

static int start(struct loop_env *env, void *arg)
{
    const int *number = arg;
    struct loop_fd *fd = loop_fd_borrow(env->scope, *number);

    if (!fd) {
        return -ENOMEM;
    }
    loop_poll(fd, POLLIN, on_ready, fd);
    return 0;
}

int main(void)
{
    struct itimerspec in_20_ms = {.it_value = {.tv_nsec = 20 * LOOP_MILLISECOND}};
    int number = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int result = timerfd_settime(number, 0, &in_20_ms, NULL);

    if (result == 0) {
        result = loop_run(0, 0, 0, NULL, start, &number);
    }
    close(number);
    return result == 0 ? 0 : 1;
}
