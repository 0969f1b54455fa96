/* SPDX-License-Identifier: ISC
 *
 * Public functions of <process/process.h> called with NULL, or in a scope that has ended.
 */
#include "misuse.h"

#include <process/process.h>

TEST(p23_null_and_what_is_gone_are_named_in_process)
{
    misuse_check_all();
}

#define FN NULL, NULL
#define ENDED "opened by loop_scope_open (at suite_misuse_process+0x"
#define DESTROYED "destroyed by loop_fd_destroy (at suite_misuse_process+0x"

static struct loop_process *process;

static loop_job spawn_with_gone_fd(void)
{
    const struct loop_spawn_fd fds[] = {{.number = 4, .how = LOOP_SPAWN_FD, .fd = gone.fd}};
    const struct loop_spawn_options options = {.fds = fds, .n_fds = 1};

    return loop_spawn(here->scope, "true", &options, &process, NULL, FN);
}

MISUSE(loop_spawn, "the scope is NULL", loop_spawn(NULL, "true", NULL, &process, NULL, FN) == 0)
MISUSE(loop_spawn, ENDED, loop_spawn(gone.scope, "true", NULL, &process, NULL, FN) == 0)
MISUSE(loop_spawn, "program is NULL", loop_spawn(here->scope, NULL, NULL, &process, NULL, FN) == 0)
MISUSE(loop_spawn, "process is NULL", loop_spawn(here->scope, "true", NULL, NULL, NULL, FN) == 0)
MISUSE(loop_spawn, DESTROYED, spawn_with_gone_fd() == 0)
#if NORIA_DEBUG /* other builds do not detect it */
static loop_job spawn_in_gone_directory(void)
{
    const struct loop_spawn_options options = {.directory = gone.dir};

    return loop_spawn(here->scope, "true", &options, &process, NULL, FN);
}

MISUSE(loop_spawn, "the directory", spawn_in_gone_directory() == 0)
#endif
MISUSE(loop_process_pid, "the process is NULL", loop_process_pid(NULL) == -1)
MISUSE(loop_process_flow, "the process is NULL", loop_process_flow(NULL, 1) == NULL)
MISUSE(loop_process_wait, "the process is NULL", loop_process_wait(here->scope, NULL, FN) == 0)
MISUSE(loop_process_signal, "the process is NULL", loop_process_signal(NULL, SIGTERM) == -EINVAL)
MISUSE(loop_process_stop, "the process is NULL", loop_process_stop(NULL, 0) == -EINVAL)
MISUSE(loop_process_resize, "the process is NULL", loop_process_resize(NULL, 1, 1) == -EINVAL)
static unsigned rows;
MISUSE(loop_terminal_get_size, "rows is NULL", loop_terminal_get_size(0, NULL, &rows) == -EINVAL)
MISUSE(loop_terminal_get_size, "columns is NULL", loop_terminal_get_size(0, &rows, NULL) == -EINVAL)
MISUSE(loop_terminal_set_raw, "the scope is NULL", loop_terminal_set_raw(NULL, 0) == -EINVAL)
MISUSE(loop_terminal_set_raw, ENDED, loop_terminal_set_raw(gone.scope, 0) == -EINVAL)
