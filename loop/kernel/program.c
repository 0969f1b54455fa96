/* SPDX-License-Identifier: ISC
 *
 * What happens between the creation of a process and its program. This file is a part of the door.
 *
 * The new process shares the memory of this one until it executes the program, as that of vfork(2): copying the page
 * tables of a large process takes milliseconds, and may fail for want of memory. It has a stack of its own, and only
 * makes system calls. Those that the C library would make for every thread of the process (setresuid(2)) are made
 * directly. The thread that starts it sleeps meanwhile.
 */
#include <loop/kernel/program.h>

#if !NORIA_SIMULATED

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

/* The stack of the new process, and what it reports. */
#define STACK_BYTES ((size_t)64 * 1024)

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* The sanitizer of threads keeps an account of them in memory, which a second process must not share. */
#if defined(__SANITIZE_THREAD__)
#define SHARED_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHARED_MEMORY 0
#else
#define SHARED_MEMORY CLONE_VM
#endif
#else
#define SHARED_MEMORY CLONE_VM
#endif

/* Of the functions that the new process runs: sanitizers know nothing of its stack. */
#define IN_CHILD __attribute__((no_sanitize("address", "undefined", "thread")))

/* The calls whose IDs have 32 bits: some systems have two of each. */
#if defined(SYS_setresuid32)
#define SET_UIDS SYS_setresuid32
#define SET_GIDS SYS_setresgid32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_UIDS SYS_setresuid
#define SET_GIDS SYS_setresgid
#define SET_GROUPS SYS_setgroups
#endif

/* What both processes know, at the lower end of the stack. */
struct start {
    struct loop_program *program;
    enum loop_program_step step;
    int error; /* 0: the program has begun */
};

/* ---- in the new process: each step returns 0, or -1 and errno ---- */

IN_CHILD static int make_group(const struct loop_program *program)
{
    if (program->has_session && syscall(SYS_setsid) < 0) {
        return -1;
    }
    if (program->terminal >= 0) {
        return (int)syscall(SYS_ioctl, program->terminal, TIOCSCTTY, 0);
    }
    if (program->has_session) {
        return 0;
    }
    return program->has_group ? (int)syscall(SYS_setpgid, 0, 0) : 0;
}

IN_CHILD static int enter_directory(const struct loop_program *program)
{
    return program->directory < 0 ? 0 : (int)syscall(SYS_fchdir, program->directory);
}

/* Copies each descriptor to a number above those that the program is to have, so that none is overwritten. One that
 * keeps its number, such as standard input, needs no other. */
IN_CHILD static int move_up(const struct loop_program *program)
{
    int above = program->n_fds > 0 ? program->fds[program->n_fds - 1].number + 1 : 0;
    for (size_t i = 0; i < program->n_fds; i++) {
        struct loop_program_fd *fd = &program->fds[i];
        fd->moved = fd->from;
        if (fd->from == fd->number) {
            continue;
        }
        fd->moved = (int)syscall(SYS_fcntl, fd->from, F_DUPFD_CLOEXEC, above);
        if (fd->moved < 0) {
            errno = errno == EINVAL ? EMFILE : errno; /* no number above is allowed */
            return -1;
        }
    }
    return 0;
}

IN_CHILD static bool is_programs(const struct loop_program *program, int number)
{
    for (size_t i = 0; i < program->n_fds; i++) {
        if (program->fds[i].number == number) {
            return true;
        }
    }
    return false;
}

/* An entry of a directory, as getdents64(2) stores it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* Returns the number that is an entry of /proc/self/fd, or -1. */
IN_CHILD static int number_of(const struct entry *entry)
{
    int number = 0;
    for (const char *digit = entry->name; *digit; digit++) {
        if (*digit < '0' || *digit > '9') {
            return -1;
        }
        number = 10 * number + (*digit - '0');
    }
    return number;
}

/* Closes what is not the program's of some entries. Returns whether there was any. */
IN_CHILD static bool close_entries(const struct loop_program *program, int directory, const char *entries, long size)
{
    bool is_any = false;
    for (const char *at = entries; at < entries + size;) {
        const struct entry *entry = (const struct entry *)(const void *)at;
        int number = number_of(entry);
        if (number >= 0 && number != directory && !is_programs(program, number)) {
            (void)syscall(SYS_close, number);
            is_any = true;
        }
        at += entry->size;
    }
    return is_any;
}

/* Closes what the program is not to have by the list of what is open. Reads it again after it has changed. */
IN_CHILD static int close_listed(const struct loop_program *program)
{
    _Alignas(struct entry) char entries[1024];
    bool is_any = true;
    long size = 0;
    int directory = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (directory < 0) {
        return -1;
    }
    while (is_any) {
        is_any = false;
        (void)syscall(SYS_lseek, directory, 0, SEEK_SET);
        while ((size = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
            is_any |= close_entries(program, directory, entries, size);
        }
    }
    (void)syscall(SYS_close, directory);
    return size < 0 ? -1 : 0;
}

/* Closes what the program is not to have by the gaps between its numbers, and what is above them. False where the
 * kernel has no close_range(2), as before Linux 5.9, or a filter forbids it. */
IN_CHILD static bool close_gaps(const struct loop_program *program)
{
    unsigned first = 0;
    for (size_t i = 0; i < program->n_fds; i++) {
        unsigned number = (unsigned)program->fds[i].number;
        if (number > first && syscall(SYS_close_range, first, number - 1, 0) != 0) {
            return false;
        }
        first = number + 1;
    }
    return syscall(SYS_close_range, first, UINT32_MAX, 0) == 0;
}

/* Gives a descriptor its number, to be kept by execve(2). */
IN_CHILD static int set_number(const struct loop_program_fd *fd)
{
    return fd->moved == fd->number ? (int)syscall(SYS_fcntl, fd->number, F_SETFD, 0)
                                   : (int)syscall(SYS_dup3, fd->moved, fd->number, 0);
}

IN_CHILD static int set_descriptors(const struct loop_program *program)
{
    if (move_up(program) != 0) {
        return -1;
    }
    for (size_t i = 0; i < program->n_fds; i++) {
        if (set_number(&program->fds[i]) < 0) {
            return -1;
        }
    }
    return close_gaps(program) ? 0 : close_listed(program);
}

IN_CHILD static int set_limits(const struct loop_program *program)
{
    for (size_t i = 0; i < program->n_limits; i++) {
        if (setrlimit(program->limits[i].resource, &program->limits[i].limit) != 0) {
            return -1;
        }
    }
    return 0;
}

IN_CHILD static int become_user(const struct loop_program *program)
{
    if (!program->has_user) {
        return 0;
    }
    if (syscall(SET_GROUPS, program->n_groups, program->groups) != 0 ||
        syscall(SET_GIDS, program->gid, program->gid, program->gid) != 0) {
        return -1;
    }
    return (int)syscall(SET_UIDS, program->uid, program->uid, program->uid);
}

/* Asks the kernel to kill this process when its parent has died, which may have happened already. In a new namespace of
 * process IDs the parent has none: 0. */
IN_CHILD static int die_with_parent(const struct loop_program *program)
{
    if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        return -1;
    }
    pid_t parent = (pid_t)syscall(SYS_getppid);
    if (parent != program->parent && parent != 0) {
        errno = ESRCH;
        return -1;
    }
    return 0;
}

/* Gives every signal its default action before the mask lets them through: a handler would run here, in the memory of
 * the parent, and a signal that is ignored would stay so. The kernel's struct of an action, all zeros, is the default
 * one; it is smaller than this. */
IN_CHILD static void reset_signals(const struct loop_program *program)
{
    static const uint64_t action[16];
    for (int number = 1; number < _NSIG; number++) {
        (void)syscall(SYS_rt_sigaction, number, action, NULL, _NSIG / 8);
    }
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &program->mask, NULL, _NSIG / 8);
}

/* Whether a search goes on after an error: there is nothing at the path, or it cannot be reached. */
IN_CHILD static bool is_elsewhere(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE || error == ENODEV ||
           error == ETIMEDOUT;
}

/* Executes the first path at which there is a program. A search that finds none tells of one that may not be executed,
 * as execvp(3) does. */
IN_CHILD static int execute(const struct loop_program *program)
{
    int error = ENOENT;
    for (const char **path = program->paths; *path; path++) {
        (void)syscall(SYS_execve, *path, program->arguments, program->environment);
        if (!program->is_searched || !is_elsewhere(errno)) {
            return -1;
        }
        error = errno == EACCES ? EACCES : error;
    }
    errno = error;
    return -1;
}

IN_CHILD static int run_step(const struct loop_program *program, enum loop_program_step step)
{
    switch (step) {
    case LOOP_PROGRAM_GROUP: return make_group(program);
    case LOOP_PROGRAM_DIRECTORY: return enter_directory(program);
    case LOOP_PROGRAM_DESCRIPTORS: return set_descriptors(program);
    case LOOP_PROGRAM_LIMITS: return set_limits(program);
    case LOOP_PROGRAM_USER: return become_user(program);
    case LOOP_PROGRAM_PARENT: return die_with_parent(program);
    case LOOP_PROGRAM_EXECUTE: reset_signals(program); return execute(program);
    case LOOP_PROGRAM_PREPARE:
    case LOOP_PROGRAM_PROCESS: break;
    }
    return 0;
}

IN_CHILD static int run(void *arg)
{
    struct start *start = arg;
    enum loop_program_step step = LOOP_PROGRAM_GROUP;
    while (run_step(start->program, step) == 0) {
        step++;
    }
    start->step = step;
    start->error = errno;
    syscall(SYS_exit_group, 127);
    return 0;
}

/* ---- in this process ---- */

/* Creates the process, and returns when it has executed the program or has ended. No handler of this process may run in
 * the new one, so it begins with all signals blocked. */
static pid_t create(struct start *start, int *pidfd)
{
    char *stack = (char *)start;
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t process = clone(run, stack + STACK_BYTES, SHARED_MEMORY | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, start, pidfd);
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return process;
}

/* Takes the status of a process that has ended without a program. */
static void forget(pid_t process, int pidfd)
{
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {
    }
    close(pidfd);
}

pid_t loop_program_start(struct loop_program *program, int *pidfd)
{
    int error = 0;
    program->step = LOOP_PROGRAM_PREPARE;
    struct start *start = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return -1;
    }
    start->program = program;
    program->step = LOOP_PROGRAM_PROCESS;
    pid_t process = create(start, pidfd);
    if (process < 0) {
        error = errno;
    } else if (start->error != 0) {
        error = start->error;
        program->step = start->step;
        forget(process, *pidfd);
    }
    munmap(start, STACK_BYTES);
    errno = error;
    return error == 0 ? process : -1;
}

#else
typedef int loop_program_is_simulated; /* no program can be started */
#endif
