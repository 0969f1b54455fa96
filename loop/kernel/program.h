/* SPDX-License-Identifier: ISC
 *
 * The door: programs that are started, and the processes that run them. program.c has what happens between the creation
 * of a process and the program.
 */
#ifndef LOOP_KERNEL_PROGRAM_H
#define LOOP_KERNEL_PROGRAM_H

#include <loop/kernel/door.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/* The steps by which a program is started, in their order. */
enum loop_program_step {
    LOOP_PROGRAM_PREPARE,     /* in this process: pipes, /dev/null, memory */
    LOOP_PROGRAM_PROCESS,     /* the new process */
    LOOP_PROGRAM_GROUP,       /* a group or a session of its own */
    LOOP_PROGRAM_DIRECTORY,   /* where it starts */
    LOOP_PROGRAM_DESCRIPTORS, /* its numbers */
    LOOP_PROGRAM_LIMITS,      /* its resource limits */
    LOOP_PROGRAM_USER,        /* as whom it runs */
    LOOP_PROGRAM_PARENT,      /* it ends with this process */
    LOOP_PROGRAM_EXECUTE      /* execve(2) */
};

/* A descriptor of a program. */
struct loop_program_fd {
    int from;   /* in this process */
    int number; /* in the program */
    int moved;  /* used by the new process */
};

/* A resource limit of a program. */
struct loop_program_limit {
    int resource;
    struct rlimit limit;
};

/* All that is to be known to start a program. */
struct loop_program {
    const char **paths;          /* what is tried, in this order; then NULL */
    bool is_searched;            /* `paths` are those of a search: one at which there is nothing does not count */
    char **arguments;            /* then NULL */
    char **environment;          /* then NULL */
    int directory;               /* -1: the current one */
    struct loop_program_fd *fds; /* by ascending `number`, each once */
    size_t n_fds;
    const struct loop_program_limit *limits;
    size_t n_limits;
    bool has_group, has_session, has_user;
    int terminal; /* in this process: the one that controls the session; -1: none */
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t n_groups;
    sigset_t mask;
    pid_t parent;                /* this process */
    enum loop_program_step step; /* set by loop_kernel_start_program: that which has failed */
};

#if !NORIA_SIMULATED
/* Starts a program and stores a pidfd of it. Returns its process ID; -1 and errno, and then no process is left. The
 * thread sleeps until the program has begun. */
pid_t loop_program_start(struct loop_program *program, int *pidfd);
#endif

LOOP_KERNEL_CALL(pid_t, loop_kernel_start_program, (struct loop_program * program, int *pidfd),
                 loop_program_start(program, pidfd))

/* Sends a signal to the process of a pidfd. */
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pidfd_send_signal, (int pidfd, int signal),
                      (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0))

/* Sends a signal to a process, or to the group -`process`. */
LOOP_KERNEL_CALL_SURE(int, loop_kernel_kill, (pid_t process, int signal), kill(process, signal))

LOOP_KERNEL_CALL_SURE(pid_t, loop_kernel_waitpid, (pid_t process, int *status, int options),
                      waitpid(process, status, options))

/* The environment of this process, which ends with NULL. */
LOOP_KERNEL_CALL_SURE(char **, loop_kernel_environ, (void), environ)

#endif
