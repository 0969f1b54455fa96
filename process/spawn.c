/* SPDX-License-Identifier: ISC
 *
 * Starting a program: the plan is made on the loop's thread, carried out on a thread of the pool, and its result
 * becomes a child. The caller holds a promise. The job of the thread is a daemon below it, so that a cancel is known
 * also when the thread has begun.
 */
#include <fs/fs.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <process/object.h>
#include <process/plan.h>

#include <errno.h>

struct spawning {
    struct loop_scope *scope;
    struct loop_plan *plan;
    struct loop_process *child;
    struct loop_process **out;
    struct loop_spawn_error *error;
    loop_fn *fn;
    void *arg;
    loop_job promise, work; /* `work` is the job below the promise; 0: none */
    bool is_cancelled;
    int64_t failure; /* of the plan; or 0 */
};

/* ---- the result ---- */

/* Gives the child its ends and its process. Returns 0 or -ENOMEM, and then nothing of the process is left. */
static int begin(struct spawning *spawning, pid_t pid)
{
    struct loop_plan *plan = spawning->plan;
    struct loop_process *child = spawning->child;
    int error = loop_process_begin(child, pid, plan->pidfd, spawning->is_cancelled);

    for (size_t i = 0; i < plan->n_fds && error == 0; i++) {
        if (plan->fds[i].ours >= 0) {
            error = loop_process_add_end(child, plan->fds[i].number, plan->fds[i].ours);
            plan->fds[i].ours = -1;
            if (error == 0 && plan->fds[i].how == LOOP_SPAWN_TERMINAL) {
                child->terminal = &child->ends[child->n_ends - 1];
            }
        }
    }
    return error;
}

/* The promise has its result. */
static void on_end(void *arg, int64_t result)
{
    struct spawning *spawning = arg;

    loop_plan_describe(spawning->plan, result, spawning->error);
    loop_plan_destroy(spawning->plan);
    *spawning->out = result > 0 ? spawning->child : NULL;
    if (result < 0) {
        loop_process_give_up(spawning->child);
    }
    loop_part_continue(spawning->scope, spawning->fn, spawning->arg, result);
    loop_kernel_free(spawning);
}

static void resolve(const struct spawning *spawning, int64_t result)
{
    (void)loop_resolve(loop_scope_loop(spawning->scope), spawning->promise, result);
}

static void on_done(void *arg, int64_t result)
{
    struct spawning *spawning = arg;

    if (result > 0) {
        int error = begin(spawning, (pid_t)result);
        result = error < 0 ? error : result;
    }
    resolve(spawning, result);
}

/* The job of the thread ends with -ECANCELED when it has not begun. */
static void on_cancel(void *arg, loop_job job)
{
    struct spawning *spawning = arg;

    (void)job;
    spawning->is_cancelled = true;
    (void)loop_cancel(loop_scope_loop(spawning->scope), spawning->work);
}

static int64_t run(void *arg)
{
    const struct spawning *spawning = arg;

    return loop_plan_run(spawning->plan);
}

/* ---- the start ---- */

static void start_work(struct spawning *spawning)
{
    static const struct loop_work_options options = {.takes_long = true};

    spawning->work = loop_work_with(spawning->scope, &options, run, spawning, on_done, spawning);
    if (spawning->work) {
        (void)loop_daemon(loop_scope_loop(spawning->scope), spawning->work);
    } else {
        resolve(spawning, -ENOMEM);
    }
}

static loop_job start(struct spawning *spawning)
{
    loop_job promise = loop_promise(spawning->scope, on_cancel, spawning, on_end, spawning);

    spawning->promise = promise;
    if (promise && !loop_scope_is_cancelled(spawning->scope)) { /* otherwise it ends by itself */
        if (spawning->failure < 0) {
            resolve(spawning, spawning->failure);
        } else {
            start_work(spawning);
        }
    }
    return promise;
}

/* Frees what was made for a job that could not be made. */
static void undo(struct spawning *spawning)
{
    if (spawning->plan) {
        loop_plan_destroy(spawning->plan);
    }
    if (spawning->child) {
        loop_process_give_up(spawning->child);
    }
    loop_kernel_free(spawning);
}

static struct spawning *prepare(struct loop_scope *scope, const char *program, const struct loop_spawn_options *options)
{
    struct spawning *spawning = loop_kernel_calloc(1, sizeof *spawning);

    if (!spawning) {
        return NULL;
    }
    spawning->scope = scope;
    spawning->plan = loop_plan_create(loop_scope_loop(scope), program, options, &spawning->failure);
    spawning->child = spawning->plan ? loop_process_create(scope, spawning->plan->n_fds) : NULL;
    if (!spawning->child) {
        undo(spawning);
        return NULL;
    }
    spawning->child->has_group = spawning->plan->program.has_group || spawning->plan->program.has_session;
    spawning->child->grace_ns = options && options->grace_ns > 0 ? options->grace_ns : LOOP_PROCESS_GRACE_NS;
    return spawning;
}

/* Returns whether the objects in the options have not been freed. */
static bool are_good(const struct loop_spawn_options *options, const char *function)
{
    const struct loop_dir *directory = options ? options->directory : NULL;

    if (directory && (!loop_check_object(directory, offsetof(struct loop_dir, scope), "directory", function) ||
                      (directory->fd && !loop_check_fd(directory->fd, function)))) {
        return false;
    }
    for (size_t i = 0; options && options->fds && i < options->n_fds; i++) {
        const struct loop_fd *fd = options->fds[i].how == LOOP_SPAWN_FD ? options->fds[i].fd : NULL;
        if (fd && !loop_check_fd(fd, function)) {
            return false;
        }
    }
    return true;
}

loop_job loop_spawn(struct loop_scope *scope, const char *program, const struct loop_spawn_options *options,
                    struct loop_process **child, struct loop_spawn_error *error, loop_fn *fn, void *arg)
{
    if (!loop_check_scope(scope, __func__) || !loop_check_pointer(program, "program", __func__) ||
        !loop_check_pointer(child, "process", __func__) || !are_good(options, __func__)) {
        return 0;
    }
    struct spawning *spawning = prepare(scope, program, options);
    if (!spawning) {
        return 0;
    }
    spawning->out = child;
    spawning->error = error;
    spawning->fn = fn;
    spawning->arg = arg;
    loop_job job = start(spawning);
    if (!job) {
        undo(spawning);
    }
    return job;
}
