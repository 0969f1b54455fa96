/* SPDX-License-Identifier: ISC
 *
 * A disk that does not answer: preloaded, this library holds up what opens the path in HELD_PATH, but for the first
 * time, for as long as there is a file of the name in HOLD. It creates one beside it, HOLD.met, when it has. So the
 * main loop of a server with domains opens what it checks, and the domains wait.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_held(const char *path)
{
    static atomic_int n_opened;
    const char *held = getenv("HELD_PATH");

    return held && strcmp(path, held) == 0 && atomic_fetch_add(&n_opened, 1) > 0;
}

static void wait_while_held(const char *path)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    const char *hold = getenv("HOLD");
    char met[4096];

    if (!hold || !is_held(path)) {
        return;
    }
    (void)snprintf(met, sizeof met, "%s.met", hold);
    while (access(hold, F_OK) == 0) {
        (void)syscall(SYS_close, (int)syscall(SYS_openat, AT_FDCWD, met, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        (void)nanosleep(&moment, NULL);
    }
}

static int open_at(int dir, const char *path, int flags, va_list more)
{
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;

    wait_while_held(path);
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    int number = open_at(AT_FDCWD, path, flags, more);
    va_end(more);
    return number;
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    int number = open_at(dir, path, flags, more);
    va_end(more);
    return number;
}
