/* SPDX-License-Identifier: ISC
 *
 * A child from its beginning to its end. A job in the loop's own scope polls its pidfd, so that it is reaped also while
 * the scope of the child is cancelled. A daemon in that scope, the keeper, keeps it from ending before that, and stops
 * the child when it is cancelled itself.
 *
 * Until the child has been reaped here its process ID belongs to it, also after its end, and so does the ID of its
 * group.
 */
#include <loop/kernel/program.h>
#include <process/object.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>

/* ---- signals ---- */

/* Sends SIGKILL to the child and to what is left of its group. The child may have left the group. */
static int64_t kill_all(const struct loop_process *child)
{
    if (child->has_group) {
        (void)loop_kernel_kill(-child->pid, SIGKILL);
    }
    return loop_kernel_pidfd_send_signal(loop_fd_peek(child->pidfd), SIGKILL) == 0 ? 0 : -errno;
}

/* Sends a signal to the group of the child, or to the child itself where that has no group or has left it. */
static int64_t send_signal(const struct loop_process *child, int signal_number)
{
    if (child->has_group && loop_kernel_kill(-child->pid, signal_number) == 0) {
        return 0;
    }
    return loop_kernel_pidfd_send_signal(loop_fd_peek(child->pidfd), signal_number) == 0 ? 0 : -errno;
}

/* ---- waiting ---- */

loop_job loop_process_wait(struct loop_scope *scope, struct loop_process *child, loop_fn *fn, void *arg)
{
    if (!loop_check_object(child, offsetof(struct loop_process, scope), "process", __func__) ||
        (scope && !loop_check_scope(scope, __func__))) {
        return 0;
    }
    scope = scope ? scope : child->scope;
    if (!child->has_ended) {
        return loop_waiters_add(&child->waiters, scope, fn, arg);
    }
    loop_job job = loop_promise(scope, NULL, NULL, fn, arg);
    if (job) {
        loop_resolve(child->loop, job, child->status);
    }
    return job;
}

/* ---- stopping ---- */

/* Lets go of the scope when nothing of the child is left. */
static void let_go(struct loop_process *child)
{
    bool is_over = (child->has_ended || child->pid == 0) && !child->killer;

    if (is_over && child->keeper) {
        loop_resolve(child->loop, child->keeper, 0);
        child->keeper = 0;
    }
}

static void on_grace_over(void *arg, int64_t result);

/* Waits until SIGKILL is due. Returns false without memory. */
static bool wait_to_kill(struct loop_process *child)
{
    struct loop_scope *own = loop_part_scope(child->loop);

    child->killer = loop_sleep_until(own, child->kill_at_ns, on_grace_over, child);
    return child->killer != 0;
}

/* Sends SIGKILL. A program that has changed its user cannot be killed: then its scope waits for it, and the log says
 * why. */
static void kill_now(const struct loop_process *child)
{
    int64_t error = kill_all(child);

    if (error == -EPERM) {
        loop_log(child->loop, LOOP_LOG_WARNING,
                 "process %d runs as another user and cannot be killed: its scope waits for its end", (int)child->pid);
    }
}

static void on_grace_over(void *arg, int64_t result)
{
    struct loop_process *child = arg;

    child->killer = 0;
    if (!child->has_ended && (result == 0 || !wait_to_kill(child))) {
        kill_now(child);
    }
    let_go(child);
}

/* Sees to it that SIGKILL is sent at `at_ns`, or earlier if it is due then. Returns 0 or -ENOMEM. */
static int kill_at(struct loop_process *child, int64_t at_ns)
{
    if (at_ns >= child->kill_at_ns) {
        return 0;
    }
    child->kill_at_ns = at_ns;
    if (child->killer) {
        loop_cancel(child->loop, child->killer); /* its continuation waits again */
    } else if (!wait_to_kill(child)) {
        child->kill_at_ns = LOOP_NEVER;
        return -ENOMEM;
    }
    return 0;
}

static int stop(struct loop_process *child, int64_t grace_ns)
{
    int64_t now_ns = loop_now(child->loop), error = 0, timer_error = 0;

    if (grace_ns == 0) {
        child->is_stopping = true;
        return (int)kill_all(child);
    }
    if (!child->is_stopping) {
        child->is_stopping = true;
        error = send_signal(child, SIGTERM);
    }
    if (grace_ns < LOOP_NEVER - now_ns) {
        timer_error = kill_at(child, now_ns + grace_ns);
    }
    return (int)(error < 0 ? error : timer_error);
}

/* The scope of the child ends, or its start was cancelled. Without memory for a timer there is no grace. */
static void stop_with_scope(struct loop_process *child)
{
    if (stop(child, child->grace_ns) == -ENOMEM) {
        kill_now(child);
    }
}

/* A child that is being started is stopped when it has begun. */
static void on_keeper_cancel(void *arg, loop_job job)
{
    struct loop_process *child = arg;

    (void)job;
    if (child->pid != 0 && !child->has_ended) {
        stop_with_scope(child);
    }
}

/* ---- its end ---- */

/* Takes the status of a process: waits for its end, unless `options` has WNOHANG, where -EAGAIN tells that it has not
 * come. */
static int64_t reap(pid_t pid, int options)
{
    int status = 0;
    pid_t reaped;

    do {
        reaped = loop_kernel_waitpid(pid, &status, options);
    } while (reaped < 0 && errno == EINTR);
    return reaped < 0 ? -errno : reaped == 0 ? -EAGAIN : status;
}

static void note_end(struct loop_process *child, int64_t status)
{
    child->has_ended = true;
    child->status = status;
    loop_fd_destroy(child->pidfd);
    child->pidfd = NULL;
    if (child->killer) {
        loop_cancel(child->loop, child->killer);
    }
    loop_waiters_end(&child->waiters, status);
    let_go(child);
}

static void on_readable(void *arg, int64_t result);

static bool watch(struct loop_process *child)
{
    return loop_poll(child->pidfd, POLLIN, on_readable, child) != 0;
}

/* The process has ended, or the loop cannot watch it any more. Then it is killed and waited for: the kernel ends it at
 * once, unless it is in a system call that no signal ends. */
static void on_readable(void *arg, int64_t result)
{
    struct loop_process *child = arg;

    assert(!child->has_ended);
    if (child->has_group) {
        (void)loop_kernel_kill(-child->pid, SIGKILL); /* what is left of it */
    }
    int64_t status = result < 0 ? -EAGAIN : reap(child->pid, WNOHANG);
    if (status == -EAGAIN && result >= 0 && watch(child)) {
        return;
    }
    if (status == -EAGAIN) {
        (void)kill_all(child);
        status = reap(child->pid, 0);
    }
    note_end(child, status);
}

/* ---- its beginning ---- */

/* The hooks of the scope run: the child has ended, and its ends close. */
static void drop_ends(void *arg)
{
    struct loop_process *child = arg;

    while (child->n_ends > 0) {
        loop_fd_unpin(child->ends[--child->n_ends].fd);
    }
}

struct loop_process *loop_process_create(struct loop_scope *scope, size_t most_ends)
{
    struct loop_process *child = loop_scope_alloc(scope, sizeof *child + most_ends * sizeof *child->ends);

    if (!child) {
        return NULL;
    }
    child->scope = scope;
    child->loop = loop_scope_loop(scope);
    child->kill_at_ns = LOOP_NEVER;
    child->most_ends = most_ends;
    loop_waiters_init(&child->waiters);
    if (!loop_scope_defer(scope, drop_ends, child)) {
        return NULL;
    }
    child->keeper = loop_promise(scope, on_keeper_cancel, child, NULL, NULL);
    if (!child->keeper) {
        return NULL;
    }
    loop_daemon(child->loop, child->keeper);
    return child;
}

int loop_process_add_end(struct loop_process *child, int number, int ours)
{
    struct loop_fd *fd = loop_fd_adopt(child->scope, ours);

    assert(child->n_ends < child->most_ends);
    if (!fd) {
        return -ENOMEM;
    }
    loop_fd_pin(fd);
    child->ends[child->n_ends++] = (struct loop_process_end){.number = number, .fd = fd};
    return 0;
}

int loop_process_begin(struct loop_process *child, pid_t pid, int pidfd, bool is_cancelled)
{
    child->pidfd = loop_fd_adopt(loop_part_scope(child->loop), pidfd);
    if (!child->pidfd || !watch(child)) {
        if (child->has_group) {
            (void)loop_kernel_kill(-pid, SIGKILL);
        }
        (void)loop_kernel_kill(pid, SIGKILL); /* it may have left the group */
        (void)reap(pid, 0);
        loop_fd_destroy(child->pidfd);
        child->pidfd = NULL;
        return -ENOMEM;
    }
    child->pid = pid;
    if (is_cancelled || loop_scope_is_cancelled(child->scope)) { /* while it was started */
        stop_with_scope(child);
    }
    return 0;
}

void loop_process_give_up(struct loop_process *child)
{
    if (child->pid != 0 && !child->has_ended) {
        (void)stop(child, 0);
    }
    for (size_t i = 0; i < child->n_ends; i++) {
        loop_fd_destroy(child->ends[i].fd);
    }
    let_go(child);
}

/* ---- what the program does with it ---- */

pid_t loop_process_pid(const struct loop_process *child)
{
    return loop_check_object(child, offsetof(struct loop_process, scope), "process", __func__) ? child->pid : -1;
}

struct loop_flow *loop_process_flow(const struct loop_process *child, int number)
{
    if (!loop_check_object(child, offsetof(struct loop_process, scope), "process", __func__)) {
        return NULL;
    }
    for (size_t i = 0; i < child->n_ends; i++) {
        if (child->ends[i].number == number) {
            return loop_fd_flow(child->ends[i].fd);
        }
    }
    return NULL;
}

int loop_process_signal(struct loop_process *child, int signal_number)
{
    if (!loop_check_object(child, offsetof(struct loop_process, scope), "process", __func__)) {
        return -EINVAL;
    }
    return child->has_ended ? -ESRCH : (int)send_signal(child, signal_number);
}

int loop_process_stop(struct loop_process *child, int64_t grace_ns)
{
    if (!loop_check_object(child, offsetof(struct loop_process, scope), "process", __func__) || grace_ns < 0) {
        return -EINVAL;
    }
    return child->has_ended ? -ESRCH : stop(child, grace_ns);
}
