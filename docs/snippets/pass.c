/* SPDX-License-Identifier: ISC
 *
 * Passing a descriptor over a Unix socket: one end opens a file, the other reads it.
 */
#include <fs/fs.h>
#include <loop/loop.h>
#include <net/pass.h>

#include <stdio.h>

static struct {
    struct loop_env *env;
    struct loop_flow *file, *giver, *taker;
    struct loop_fd *fds[1];
    struct loop_passed passed;
    char request[20], text[20];
} state;

static void on_read(void *arg, int64_t result)
{
    (void)arg;
    printf("%.*s\n", (int)result, state.text);
}

static void on_passed(void *arg, int64_t result)
{
    (void)arg;
    if (result > 0 && state.passed.n == 1) {
        printf("%.*s:\n", (int)result, state.request);
        loop_read(&loop_fd_flow(state.passed.fds[0])->source, state.text, sizeof state.text, on_read, NULL);
    }
}

static void on_open(void *arg, int64_t result)
{
    (void)arg;
    if (result == 0) {
        loop_send_fds(state.giver, &state.file->fd, 1, "take this", 9, NULL, NULL);
    }
}

static int start(struct loop_env *env, void *arg)
{
    (void)arg;
    state.env = env;
    state.passed = (struct loop_passed){.fds = state.fds, .room = 1};
    int error = loop_socketpair(env->scope, &state.giver, &state.taker);
    if (error < 0) {
        return error;
    }
    loop_receive_fds(env->scope, state.taker, state.request, sizeof state.request, &state.passed, on_passed, NULL);
    loop_fs_open(env->scope, env->fs, "/proc/sys/kernel/ostype", NULL, &state.file, on_open, NULL);
    return 0;
}

int main(void)
{
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
