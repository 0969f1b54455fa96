/* SPDX-License-Identifier: ISC
 *
 * An error without a continuation: a write to a full disk fails the scope, which cancels a timer.
 */
#include <loop/loop.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void on_timer(void *arg, int64_t result)
{
    (void)arg;
    printf("the timer: %s\n", strerror((int)-result));
}

static void on_end(void *arg, int64_t error)
{
    (void)arg;
    printf("the scope: %s\n", strerror((int)-error));
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_scope *scope = loop_scope_open(env->scope, on_end, NULL);
    struct loop_fd *disk = scope ? loop_fd_adopt(scope, open("/dev/full", O_WRONLY)) : NULL;

    (void)arg;
    if (!disk) {
        return -ENOMEM;
    }
    loop_sleep(scope, 3600 * LOOP_SECOND, on_timer, NULL);
    loop_write(&loop_fd_flow(disk)->sink, "kept\n", 5, NULL, NULL);
    return 0;
}

int main(void)
{
    int result = loop_run(0, 0, 0, NULL, start, NULL);

    printf("the loop: %d\n", result);
    return result == 0 ? 0 : 1;
}
