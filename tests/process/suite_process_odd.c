/* SPDX-License-Identifier: ISC
 *
 * Odd times, programs and systems: hooks, handlers, filters, a child that leaves its group or becomes another user, and
 * a loop that fails.
 */
#include "programs.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <loop/part.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const struct loop_spawn_fd output[] = {{.number = 1, .how = LOOP_SPAWN_OUTPUT}};
static struct loop_scope *inner;
static struct once ended;
static char byte, text[4096];

#define AWAIT_OUTPUT AWAIT(loop_read_exact(&loop_process_flow(process, 1)->source, &byte, 1, GO))

/* ---- the end of a scope ---- */

static loop_job in_hook = 1;

static void use_in_hook(void *scope)
{
    struct loop_process *none;

    CHECK_IS(loop_process_stop(process, 0), -ESRCH);
    CHECK(loop_process_pid(process) > 0);
    in_hook = loop_spawn(scope, "true", NULL, &none, NULL, NULL, NULL);
}

static void on_inner_end(void *unused, int64_t error)
{
    (void)unused;
    CHECK_IS(error, 0);
    CHECK(loop_process_pid(process) > 0);
    CHECK(!loop_process_flow(process, 1));
    once_resumed(&ended, error);
}

LOOP_TEST_ROWS(p03_a_child_can_be_asked_until_its_scope_has_ended, 2)
{
    BEGIN;
    inner = loop_scope_open(env->scope, on_inner_end, NULL);
    loop_scope_hold(inner);
    if (script.row == 0) {
        CHECK(loop_scope_defer(inner, use_in_hook, inner));
    }
    AWAIT(shell_with(inner, (struct loop_spawn_options){.fds = output, .n_fds = 1}, "exit 0", GO));
    CHECK_STARTED(result);
    if (script.row == 1) {
        CHECK(loop_scope_defer(inner, use_in_hook, inner));
    }
    loop_scope_unhold(inner);
    WAIT_UNTIL(ended.count);
    CHECK_IS(in_hook, 0);
    END;
}

LOOP_TEST(p31_a_cancel_names_no_step)
{
    static struct once started;

    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_cancel(inner);
    START(shell_with(inner, (struct loop_spawn_options){.n_fds = 0}, "true", ONCE(&started)));
    WAIT_UNTIL(started.count && ended.count);
    ONCE_IS(started, -ECANCELED);
    CHECK(strncmp(spawn_error.text, "starting sh: ", 13) == 0 && !strchr(spawn_error.text + 13, ':'));
    END;
}

/* ---- stopping ---- */

LOOP_TEST(a_grace_without_end_is_no_overflow)
{
    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1},
                     "trap 'echo; exec sleep 1000' TERM; echo; while :; do sleep 0.01; done", GO));
    CHECK_STARTED(result);
    AWAIT_OUTPUT;
    CHECK_IS(loop_process_stop(process, LOOP_NEVER - 1), 0);
    AWAIT_OUTPUT;
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_process_stop(process, 0), 0);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, SIGKILL);
    END;
}

LOOP_TEST_ROWS(p30_a_child_that_has_left_its_group_ends_too, 2)
{
    static const char *const arguments[] = {
        "perl", "-e", "setpgrp(0, getpgrp(getppid())) or die; $| = 1; print 'x'; close STDOUT; sleep 1000", NULL};
    static const struct loop_spawn_options options = {
        .arguments = arguments, .fds = output, .n_fds = 1, .flags = LOOP_SPAWN_GROUP, .grace_ns = 3600 * LOOP_SECOND};

    BEGIN;
    inner = loop_scope_open(env->scope, ONCE(&ended));
    AWAIT(loop_spawn(inner, "perl", &options, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    AWAIT_OUTPUT;
    if (script.row == 0) {
        CHECK_IS(loop_process_stop(process, 0), 0);
    } else {
        loop_scope_cancel(inner);
    }
    WAIT_UNTIL(ended.count);
    END;
}

#if !HAS_SANITIZER
/* The child has left its group by the time that the loop finds no memory for it. */
LOOP_TEST(p30_without_memory_a_child_that_has_left_its_group_ends_too)
{
    static const char *const arguments[] = {
        "perl", "-e", "setpgrp(0, getpgrp(getppid())) or die; $| = 1; print 'x'; close STDOUT; sleep 1000", NULL};
    static struct loop_spawn_fd fds[] = {{.number = 1, .how = LOOP_SPAWN_NUMBER}};
    static const struct loop_spawn_options options = {
        .arguments = arguments, .fds = fds, .n_fds = 1, .flags = LOOP_SPAWN_GROUP};
    static struct once started;
    static int ends[2];

    BEGIN;
    inner = loop_scope_open(env->scope, NULL, NULL);
    loop_scope_hold(inner);
    CHECK_IS(pipe2(ends, O_CLOEXEC), 0);
    fds[0].from = ends[1];
    START(loop_spawn(env->scope, "perl", &options, &process, &spawn_error, ONCE(&started)));
    CHECK_IS(read(ends[0], &byte, 1), 1); /* the loop waits meanwhile, the pool does not */
    fail_allocation(1, true);
    while (loop_fd_borrow(inner, ends[0])) {
    }
    WAIT_UNTIL(started.count);
    fail_allocation(0, false);
    ONCE_IS(started, -ENOMEM);
    CHECK(!process);
    loop_scope_cancel(inner);
    loop_scope_unhold(inner);
    close(ends[0]);
    close(ends[1]);
    END;
}
#endif

LOOP_TEST(what_is_left_of_a_group_ends_with_the_child)
{
    static char rest[8];

    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1, .flags = LOOP_SPAWN_GROUP},
                     "sleep 1000 & exit 3", GO));
    CHECK_STARTED(result);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, EXITED(3));
    AWAIT(loop_read(&loop_process_flow(process, 1)->source, rest, sizeof rest, GO)); /* nobody holds its other end */
    CHECK_IS(result, 0);
    END;
}

/* ---- handlers ---- */

static atomic_bool in_other, stop_signalling;
static pid_t own;

static void note_process(int number)
{
    (void)number;
    if ((pid_t)syscall(SYS_getpid) != own) {
        in_other = true; /* seen here if the memory is shared */
    }
}

static void *signal_the_group(void *unused)
{
    (void)unused;
    while (!stop_signalling) {
        kill(0, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

LOOP_TEST(no_handler_of_this_process_runs_in_the_new_one)
{
    static pthread_t thread;
    static int i;

    BEGIN;
    CHECK_IS(setpgid(0, 0), 0);
    own = getpid();
    CHECK(signal(SIGUSR1, note_process) != SIG_ERR);
    CHECK_IS(pthread_create(&thread, NULL, signal_the_group, NULL), 0);
    for (i = 0; i < 50 && !in_other; i++) {
        AWAIT(loop_spawn(env->scope, i % 2 ? "true" : "no-such-program", NULL, &process, NULL, GO));
        if (result > 0) {
            AWAIT(loop_process_wait(NULL, process, GO));
        }
    }
    stop_signalling = true;
    pthread_join(thread, NULL);
    CHECK(!in_other);
    END;
}

/* ---- the search ---- */

static const struct {
    const char *before; /* directories of PATH in front of the one that has a file of that name */
    mode_t mode;        /* of that file; 0: there is none */
    int error;
} searches[] = {
    {"/etc/passwd:/usr/bin:/bin:", 0, -ENOENT}, /* a file in the place of a directory */
    {"/etc/passwd:", 0600, -EACCES},
    {"", 0600, -EACCES},
    {"", 0755, -ENOENT}, /* its interpreter is missing */
};

LOOP_TEST_ROWS(a_search_ends_as_that_of_execvp, COUNT_OF(searches))
{
    static char path[600], file[600];
    static const char *directory;

    BEGIN;
    directory = make_directory();
    (void)snprintf(file, sizeof file, "%s/no-such-program", directory);
    if (searches[script.row].mode) {
        int number = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, searches[script.row].mode);
        CHECK_IS(write(number, "#!/no/such\n", 11), 11);
        close(number);
    }
    (void)snprintf(path, sizeof path, "%s%s", searches[script.row].before, directory);
    CHECK_IS(setenv("PATH", path, 1), 0);
    AWAIT(loop_spawn(env->scope, "no-such-program", NULL, &process, &spawn_error, GO));
    CHECK_IS(result, searches[script.row].error);
    CHECK_IS(strstr(spawn_error.text, "interpreter") != NULL, result == -ENOENT);
    remove_directory(directory);
    END;
}

/* ---- kernels and containers without close_range(2) ---- */

static void forbid_close_range(int error)
{
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 436, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {COUNT_OF(code), code};

    CHECK_IS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_IS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

LOOP_TEST_ROWS(a_program_inherits_nothing_where_ranges_cannot_be_closed, 2)
{
    static const char *const arguments[] = {"sh", "-c", "cd /proc/self/fd && echo *", NULL};
    static const struct loop_spawn_options options = {.arguments = arguments, .fds = output, .n_fds = 1};
    static rlim_t before;

    BEGIN;
    forbid_close_range(script.row == 0 ? EPERM : ENOSYS);
    for (int number = 100; number < 200; number++) {
        CHECK_IS(dup2(2, number), number);
    }
    CHECK_IS(dup2(2, 600), 600);
    before = limit_fds(400);
    AWAIT(loop_spawn(env->scope, "sh", &options, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    AWAIT(loop_read_exact(&loop_process_flow(process, 1)->source, text, sizeof text - 1, GO));
    limit_fds(before);
    close(600);
    for (int number = 100; number < 200; number++) {
        close(number);
    }
    CHECK(strcmp(text, "0 1 2\n") == 0 || strcmp(text, "0 1 2 3\n") == 0);
    END;
}

/* ---- a loop that fails, and the loop's own scope ---- */

static void ignore(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
}

static void fail_the_ring(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    block_uring(EPERM, true);
}

/* Only the ring fails in this way. */
static int start_and_fail(struct loop_env *env, void *unused)
{
    (void)unused;
    if (strcmp(loop_backend_name(env->loop), "io_uring") != 0) {
        return 0;
    }
    loop_sleep(env->scope, 1000 * LOOP_SECOND, ignore, NULL);
    return SHELL("exec sleep 1000", fail_the_ring, NULL) ? 0 : -1;
}

static int start_in_own_scope(struct loop_env *env, void *unused)
{
    static const struct loop_spawn_options options = {.n_fds = 0};

    (void)unused;
    loop_sleep(env->scope, 50 * LOOP_MILLISECOND, ignore, NULL);
    return shell_with(loop_part_scope(env->loop), options, "exec sleep 1000", ignore, NULL) ? 0 : -1;
}

static loop_main_fn *const starts[] = {start_and_fail, start_in_own_scope};

static int leaves_no_child(void *row)
{
    (void)loop_run(0, 0, 0, NULL, starts[*(int *)row], NULL);
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : 1;
}

TEST_ROWS(p30_a_loop_that_ends_leaves_no_child, COUNT_OF(starts), row)
{
    CHECK_CHILD(leaves_no_child, &row);
}
