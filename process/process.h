/* SPDX-License-Identifier: ISC
 *
 * Child processes: programs that are started, signalled, waited for, and ended with their scope.
 *
 *     const char *arguments[] = {"sort", "-n", NULL};
 *     struct loop_spawn_fd fds[] = {{.number = 0, .how = LOOP_SPAWN_INPUT}};
 *     struct loop_spawn_options options = {.arguments = arguments, .fds = fds, .n_fds = 1};
 *     loop_spawn(env->scope, "sort", &options, &child, NULL, on_started, arg);
 *
 *     in on_started:  loop_write(&loop_process_flow(child, 0)->sink, ...);
 *                     loop_process_wait(NULL, child, on_ended, arg);
 *
 * A child belongs to a scope, and does not outlive it. Neither does it keep the scope open: a job of loop_process_wait
 * does. When the scope is cancelled, or only daemons are left in it, the child gets SIGTERM, and SIGKILL when it has
 * not ended after a grace. The scope ends when the kernel has reported the end of the child. A program that starts many
 * gives each a scope of its own: the object and the pipes are freed with it.
 *
 * When this process dies, however it dies, the kernel kills the child, but not what the child has started
 * (PR_SET_PDEATHSIG in prctl(2)). A program that gains privileges by its file (set-user-ID, set-group-ID, capabilities)
 * is not killed. A program that has become another user can neither be killed by the loop: its scope waits for its end,
 * and the log says so.
 *
 * The loop waits for a child by its pidfd (Linux 5.4), so no signal is caught, and no other child is waited for. The
 * host program must neither ignore SIGCHLD nor set SA_NOCLDWAIT, and must not call wait(2) for children that are not
 * its own: then the kernel forgets how a child has ended, and the wait for it ends with -ECHILD.
 *
 * A thread of the pool starts the program, so that nothing here blocks the loop's thread, unless the pool has no memory
 * for a thread. A start that hangs, as on a file system whose server is gone, occupies its thread and holds its scope
 * open. Every function may be called on the loop's thread only. On the simulated kernel there are no programs:
 * loop_spawn ends with -ENOSYS.
 */
#ifndef PROCESS_PROCESS_H
#define PROCESS_PROCESS_H

#include <loop/loop.h>

#include <sys/resource.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the descriptors of a program ---- */

/* Where a descriptor of the program comes from. */
enum loop_spawn_how {
    LOOP_SPAWN_NULL,    /* /dev/null, for reading and writing */
    LOOP_SPAWN_NUMBER,  /* `from`, a number of this process */
    LOOP_SPAWN_FD,      /* `fd` */
    LOOP_SPAWN_INPUT,   /* the reading end of a new pipe: the program reads what is written to loop_process_flow */
    LOOP_SPAWN_OUTPUT,  /* the writing end of a new pipe: what the program writes is read from loop_process_flow */
    LOOP_SPAWN_SOCKET,  /* one end of a pair of Unix stream sockets, loop_process_flow is the other: both ways */
    LOOP_SPAWN_TERMINAL /* the program's side of a new terminal, pty(7), the same for all entries of this kind. The
                         * loop_process_flow of the lowest such number is the other side: both ways. It is at its end
                         * when no process has the program's side any more. The program gets a session of its own
                         * (LOOP_SPAWN_SESSION), which the terminal controls */
};

/* A descriptor that the program has. It shares the open file description with `from` or `fd`, with its position and its
 * O_NONBLOCK: the loop makes what it adopts nonblocking where the kernel has no other way, so a terminal or a pipe that
 * a program is to have should be borrowed or passed by its number. The program's end of a new pipe or pair blocks. */
struct loop_spawn_fd {
    int number LOOP_ZERO; /* in the program; each number once, and below RLIMIT_NOFILE less `n_fds` */
    enum loop_spawn_how how LOOP_ZERO;
    int from LOOP_ZERO;           /* stays open until the job has ended */
    struct loop_fd *fd LOOP_ZERO; /* stays open until the program has been started */
};

/* ---- starting a program ---- */

/* Size of the text of an error, including its NUL. A longer text is cut. */
#define LOOP_SPAWN_ERROR_SIZE 512

/* What has failed when a program could not be started, for a person to read: which step, of which program, and what to
 * look at. It belongs to the job until the continuation is resumed. `text` is "" after a success. */
struct loop_spawn_error {
    char text[LOOP_SPAWN_ERROR_SIZE];
};

/* The user that the program runs as. Needs the privilege for that (CAP_SETUID, CAP_SETGID). */
struct loop_spawn_user {
    uid_t uid;
    gid_t gid;
    const gid_t *groups LOOP_ZERO; /* all of its supplementary groups */
    size_t n_groups LOOP_ZERO;
};

/* A resource limit of the program, see setrlimit(2). */
struct loop_spawn_limit {
    int resource; /* RLIMIT_NOFILE, ... */
    struct rlimit limit;
};

/* The time from SIGTERM to SIGKILL where the options do not say. */
#define LOOP_PROCESS_GRACE_NS (5 * LOOP_SECOND)

enum loop_spawn_flag {
    LOOP_SPAWN_GROUP = 1u << 0, /* a process group of its own. Signals go to all of it, and what is left of it when the
                                   child has ended gets SIGKILL */
    LOOP_SPAWN_SESSION = 1u << 1, /* a session of its own (setsid(2)), and so a group of its own */
    LOOP_SPAWN_BARE = 1u << 2     /* it has no descriptors 0, 1 and 2 but those of `fds` */
};

struct loop_spawn_options {
    const char *const *arguments LOOP_ZERO;   /* the first is the program's name; then NULL. NULL: the name alone */
    const char *const *environment LOOP_ZERO; /* "NAME=value", then NULL. NULL: that of this process, at this time */
    struct loop_dir *directory LOOP_ZERO;     /* it starts there. NULL: in the current directory */
    /* What it has. 0, 1 and 2 are those of this process where no entry has that number, and closed where this process
     * has them closed (LOOP_SPAWN_NULL is /dev/null); nothing else is inherited */
    const struct loop_spawn_fd *fds LOOP_ZERO;
    size_t n_fds LOOP_ZERO;
    unsigned flags LOOP_ZERO;                     /* of enum loop_spawn_flag */
    const struct loop_spawn_user *user LOOP_ZERO; /* NULL: the same as this process */
    const struct loop_spawn_limit *limits LOOP_ZERO;
    size_t n_limits LOOP_ZERO;
    unsigned rows LOOP_ZERO, columns LOOP_ZERO; /* of its terminal (LOOP_SPAWN_TERMINAL), up to 65535; 0: not known */
    int64_t grace_ns LOOP_ZERO; /* from SIGTERM to SIGKILL when its scope ends; 0: LOOP_PROCESS_GRACE_NS */
};

/* A program that was started. */
struct loop_process;

/* Starts `program`: a path when it has a slash, which is relative to the current directory of the program (`directory`
 * where that is given); else a name that is looked for in the directories of PATH of this process. The program starts
 * with the signal mask that the loop's thread had before loop_run, and with the default action of every signal.
 * `options` may be NULL. What it and `program` point to is not used after the call. `error` may be NULL.
 *
 * `*process` is set before the continuation is resumed with the process ID, and belongs to `scope`. The program has
 * begun by then, or has been killed before. After an error `*process` is NULL, and no process and no pipe is left.
 * Resumes with the error of execve(2) or of a step before it: -ENOENT when there is no such program, -EACCES, -ENOEXEC
 * for a script without "#!", -E2BIG, -ELOOP, -ENOTDIR for a path; -EPERM for a user or a limit; -EAGAIN at
 * RLIMIT_NPROC; -EMFILE, -ENFILE; -EBADF when an `fd` or the directory is closed or a `from` is no descriptor; -EINVAL
 * for bad options, such as a number given twice or an object of another loop; -ENOMEM; -ENOSYS. A cancel ends what has
 * not begun with -ECANCELED, a deadline with -ETIMEDOUT. Both wait for what has begun, and then stop the child. */
LOOP_API loop_job loop_spawn(struct loop_scope *scope, const char *program, const struct loop_spawn_options *options,
                             struct loop_process **process, struct loop_spawn_error *error, loop_fn *fn, void *arg);

/* ---- a child ---- */

/* Returns the process ID. After the child's end it may be that of another process: signal by loop_process_signal. */
LOOP_API pid_t loop_process_pid(const struct loop_process *process);

/* Returns this process's end of the pipe or socket that is the child's descriptor `number`, and NULL where it has no
 * such descriptor. The flow belongs to the scope of the child, and may be closed earlier by loop_flow_close. Returns
 * NULL once the hooks of the scope run. */
LOOP_API struct loop_flow *loop_process_flow(const struct loop_process *process, int number);

/* Waits until the child has ended. Resumes with its status as waitpid(2) has it: WIFEXITED, WEXITSTATUS, WIFSIGNALED
 * and WTERMSIG of <sys/wait.h>, applied to `(int)result`, take it apart. Several jobs may wait, also after the end: all
 * get the same status. What the child has written to a pipe may still be in there. `scope` owns the job; NULL means the
 * scope of the child. When that is cancelled or past its deadline, a wait in it ends with -ECANCELED or -ETIMEDOUT, and
 * a wait in a scope around it with the status. -ECHILD when another wait(2) has taken the status, or the process
 * ignores SIGCHLD. */
LOOP_API loop_job loop_process_wait(struct loop_scope *scope, struct loop_process *process, loop_fn *fn, void *arg);

/* Sends a signal to the child, or to its group where it has one of its own. Returns 0; -ESRCH when the child has ended;
 * -EINVAL for a number that is no signal; -EPERM when the program runs as another user. */
LOOP_API int loop_process_signal(struct loop_process *process, int signal_number);

/* Stops the child as the end of its scope does: SIGTERM now, and SIGKILL after `grace_ns`; with 0 SIGKILL now, with
 * LOOP_NEVER only SIGTERM. loop_process_wait resumes when the child has ended. A second call may shorten the grace.
 *
 * Returns 0; -ESRCH when the child has ended; -EPERM when it has become another user; -EINVAL for a negative grace;
 * -ENOMEM when there is no memory for the timer, and only SIGTERM was sent. */
LOOP_API int loop_process_stop(struct loop_process *process, int64_t grace_ns);

/* ---- terminals ---- */

/* Sets the size of the child's terminal, each at most 65535; its program gets SIGWINCH. Returns 0; -ENOTTY when it has
 * none, or the flow of it is closed; -EINVAL for a larger size. */
LOOP_API int loop_process_resize(struct loop_process *process, unsigned rows, unsigned columns);

/* Stores the size of a terminal of this process, such as 0, in `*rows` and `*columns`: for LOOP_SPAWN_TERMINAL, and for
 * loop_process_resize after SIGWINCH (loop_signal). Returns 0; -ENOTTY; -EBADF. */
LOOP_API int loop_terminal_get_size(int number, unsigned *rows, unsigned *columns);

/* Sets a terminal of this process to raw mode, as cfmakeraw(3) does, so that every key goes to the child's terminal.
 * The settings that it had come back when `scope` ends. `number` may be closed before that. Where SIGKILL ends this
 * process the terminal stays as it is. Returns 0; -ENOTTY; -EBADF; -EIO, as tcsetattr(3); -EMFILE; -ENFILE; -ENOMEM;
 * -ECANCELED when the scope is cancelled. */
LOOP_API int loop_terminal_set_raw(struct loop_scope *scope, int number);

#ifdef __cplusplus
}
#endif

#endif
