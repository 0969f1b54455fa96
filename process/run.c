/* SPDX-License-Identifier: ISC
 *
 * Carries a plan out on a thread, says why one has failed, and frees it.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>
#include <loop/kernel/socket.h>
#include <process/plan.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- on a thread ---- */

/* Opens the program's side of a terminal, unlocks it and sets the size. Returns -1 and errno after an error. */
static int open_side(int terminal, struct winsize *size)
{
    int unlocked = 0;

    if (loop_kernel_ioctl(terminal, TIOCSPTLCK, &unlocked) != 0 || loop_kernel_ioctl(terminal, TIOCSWINSZ, size) != 0) {
        return -1;
    }
    return loop_kernel_ioctl_int(terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* Makes the terminal, for the first of its numbers. Returns 0; -1 and errno. */
static int make_terminal(struct loop_plan *plan, struct loop_plan_fd *fd)
{
    if (plan->program.terminal >= 0) {
        fd->from = plan->program.terminal;
        fd->is_shared = true;
        return 0;
    }
    fd->ours = loop_kernel_open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
    fd->from = fd->ours < 0 ? -1 : open_side(fd->ours, &plan->size);
    plan->program.terminal = fd->from;
    return fd->from < 0 ? -1 : 0;
}

/* Makes what the program gets for this descriptor, and this process's end of it. Returns 0; -1 and errno. */
static int make(struct loop_plan *plan, struct loop_plan_fd *fd)
{
    int ends[2];
    bool is_output = fd->how == LOOP_SPAWN_OUTPUT;

    assert(fd->from == -1 && fd->ours == -1);
    if (fd->how == LOOP_SPAWN_TERMINAL) {
        return make_terminal(plan, fd);
    }
    if (fd->how == LOOP_SPAWN_NULL) {
        fd->from = loop_kernel_open("/dev/null", O_RDWR | O_CLOEXEC, 0);
        return fd->from < 0 ? -1 : 0;
    }
    if (fd->how == LOOP_SPAWN_SOCKET ? loop_kernel_socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0
                                     : loop_kernel_pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    fd->from = ends[is_output];
    fd->ours = ends[!is_output];
    return 0;
}

static bool is_made(const struct loop_plan_fd *fd)
{
    return fd->how != LOOP_SPAWN_NUMBER && fd->how != LOOP_SPAWN_FD;
}

static int make_all(struct loop_plan *plan)
{
    for (size_t i = 0; i < plan->n_fds; i++) {
        if (is_made(&plan->fds[i]) && make(plan, &plan->fds[i]) != 0) {
            return -1;
        }
        plan->program.fds[i] =
            (struct loop_program_fd){.from = plan->fds[i].from, .number = plan->fds[i].number, .moved = -1};
    }
    plan->program.n_fds = plan->n_fds;
    return 0;
}

static void close_one(int *number)
{
    if (*number >= 0) {
        loop_kernel_close(*number);
        *number = -1;
    }
}

/* Closes the ends that only the program needs. */
static void close_theirs(struct loop_plan *plan)
{
    for (size_t i = 0; i < plan->n_fds; i++) {
        if (is_made(&plan->fds[i]) && !plan->fds[i].is_shared) {
            close_one(&plan->fds[i].from);
        }
    }
}

int64_t loop_plan_run(struct loop_plan *plan)
{
    plan->has_run = true;
    plan->program.step = LOOP_PROGRAM_PREPARE;
    int64_t result = make_all(plan) == 0 ? loop_kernel_start_program(&plan->program, &plan->pidfd) : -1;
    if (result < 0) {
        result = -errno;
    }
    close_theirs(plan);
    assert(result != 0);
    return result;
}

/* ---- why it has failed ---- */

static const char *name_step(enum loop_program_step step)
{
    switch (step) {
    case LOOP_PROGRAM_PREPARE: return "making its pipes";
    case LOOP_PROGRAM_PROCESS: return "creating a process";
    case LOOP_PROGRAM_GROUP: return "making its group or session";
    case LOOP_PROGRAM_DIRECTORY: return "entering its directory";
    case LOOP_PROGRAM_DESCRIPTORS: return "setting its descriptors";
    case LOOP_PROGRAM_LIMITS: return "setting its resource limits";
    case LOOP_PROGRAM_USER: return "becoming its user";
    case LOOP_PROGRAM_PARENT: return "tying it to this process";
    case LOOP_PROGRAM_EXECUTE: return "executing it";
    }
    return "";
}

/* Returns what a person can do, or "". */
static const char *advise(const struct loop_plan *plan, int64_t result)
{
    enum loop_program_step step = plan->program.step;

    if (step == LOOP_PROGRAM_EXECUTE && result == -ENOENT && plan->program.is_searched) {
        return " (it is in no directory of PATH, or the interpreter that it names is missing)";
    }
    if (step == LOOP_PROGRAM_EXECUTE && result == -ENOENT) {
        return " (there is no such file, or not the interpreter that it names)";
    }
    if (step == LOOP_PROGRAM_EXECUTE && result == -ENOEXEC) {
        return " (a script begins with \"#!\" and its interpreter)";
    }
    if ((step == LOOP_PROGRAM_PROCESS || step == LOOP_PROGRAM_EXECUTE) && result == -EAGAIN) {
        return " (the user has as many processes as RLIMIT_NPROC or the control group allows)";
    }
    if ((step == LOOP_PROGRAM_USER || step == LOOP_PROGRAM_LIMITS) && result == -EPERM) {
        return " (this process lacks the privilege)";
    }
    return "";
}

void loop_plan_describe(const struct loop_plan *plan, int64_t result, struct loop_spawn_error *error)
{
    const char *name = plan->name ? plan->name : "a program", *why = result < 0 ? strerror((int)-result) : "";

    if (!error) {
        return;
    }
    if (result >= 0) {
        error->text[0] = '\0';
    } else if (plan->has_run) {
        snprintf(error->text, sizeof error->text, "starting %s: %s: %s%s", name, name_step(plan->program.step), why,
                 advise(plan, result));
    } else {
        const char *colon = plan->bad[0] ? ": " : "";
        snprintf(error->text, sizeof error->text, "starting %s: %s%s%s", name, plan->bad, colon, why);
    }
}

/* ---- the end ---- */

void loop_plan_destroy(struct loop_plan *plan)
{
    for (size_t i = 0; i < plan->n_fds; i++) {
        close_one(&plan->fds[i].ours);
        if (plan->fds[i].used) {
            loop_fd_unuse(plan->fds[i].used);
        }
    }
    if (plan->directory) {
        loop_fd_unuse(plan->directory);
    }
    while (plan->pieces) {
        struct loop_plan_piece *piece = plan->pieces;
        plan->pieces = piece->next;
        loop_kernel_free(piece);
    }
    loop_kernel_free(plan);
}
