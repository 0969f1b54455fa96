/* SPDX-License-Identifier: ISC
 *
 * Groups: several jobs as one. The job of the group is a promise, which is resolved after the last member has ended.
 * The group is freed when the continuation has returned. In a scope that is cancelled already, the promise ends by
 * itself; then the group holds the scope until the last member has ended, and a task calls the continuation.
 */
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <sync/sync.h>

#include <assert.h>
#include <errno.h>

struct loop_member {
    struct loop_group *group;
    loop_job job;
    int64_t result;
    bool is_added, has_ended;
};

struct loop_group {
    struct loop_scope *scope;
    struct loop *loop;
    loop_job job;
    enum loop_group_kind kind;
    bool is_decided;
    bool holds_scope;      /* the job ends by itself */
    bool has_ended;        /* the job */
    struct loop_task over; /* has_ended: posted when the last member has ended */
    int64_t result;        /* is_decided: of the group; before that, the first error of a member, or 0 */
    unsigned n, n_over;    /* members, and those that have been added and have ended */
    loop_fn *fn;
    void *arg;
    struct loop_member members[];
};

/* ---- its end ---- */

static void finish(struct loop_group *group, int64_t result)
{
    loop_part_continue(group->scope, group->fn, group->arg, result);
    if (group->holds_scope) {
        loop_scope_unhold(group->scope);
    }
    loop_kernel_free(group);
}

static void on_over(void *arg, int64_t result)
{
    struct loop_group *group = arg;

    (void)result;
    finish(group, group->result);
}

/* The last member has ended, after the job, and maybe inside a call of the program. */
static void finish_later(struct loop_group *group)
{
    group->over = (struct loop_task){.fn = on_over, .arg = group};
    if (loop_post_task(loop_inbox_of(group->loop), &group->over) < 0) {
        finish(group, group->result); /* a part's own scope, after main's */
    }
}

static void on_end(void *arg, int64_t result)
{
    struct loop_group *group = arg;

    if (group->n_over == group->n) {
        finish(group, result);
        return;
    }
    assert(group->holds_scope && group->is_decided);
    group->has_ended = true;
    group->result = result;
}

static void decide(struct loop_group *group, int64_t result)
{
    group->is_decided = true;
    group->result = result;
    for (unsigned i = 0; i < group->n; i++) {
        const struct loop_member *member = &group->members[i];
        if (member->is_added && !member->has_ended) {
            loop_cancel(group->loop, member->job);
        }
    }
}

static void on_cancel(void *arg, loop_job job)
{
    struct loop_group *group = arg;

    (void)job;
    if (!group->is_decided) {
        decide(group, -ECANCELED);
    }
}

/* Looks whether the end of this member decides the group. */
static void count_result(struct loop_group *group, unsigned index, int64_t result)
{
    if (group->is_decided) {
        return;
    }
    bool is_error = result < 0;
    if (group->kind == LOOP_FIRST_OF || (group->kind == LOOP_ANY_OF && !is_error)) {
        decide(group, index);
    } else if (group->kind == LOOP_ALL_OF && is_error) {
        decide(group, result);
    } else if (is_error && group->result == 0) {
        group->result = result;
    }
}

static void count_over(struct loop_group *group)
{
    assert(group->n_over < group->n);
    if (++group->n_over < group->n) {
        return;
    }
    if (group->has_ended) {
        finish_later(group);
    } else {
        loop_resolve(group->loop, group->job, group->result);
    }
}

static void end_member(struct loop_member *member, int64_t result)
{
    struct loop_group *group = member->group;

    assert(!member->has_ended && "loop_member_end is the continuation of one job, which ends once");
    if (member->has_ended) {
        return;
    }
    member->has_ended = true;
    member->result = result;
    count_result(group, (unsigned)(member - group->members), result);
    if (member->is_added) {
        count_over(group);
    }
}

/* ---- for the program ---- */

static bool is_kind(enum loop_group_kind kind)
{
    return kind == LOOP_ALL_OF || kind == LOOP_FIRST_OF || kind == LOOP_ANY_OF;
}

struct loop_group *loop_group_open(struct loop_scope *scope, enum loop_group_kind kind, unsigned n, loop_fn *fn,
                                   void *arg)
{
    if (!loop_check_scope(scope, __func__) || n == 0 || n > LOOP_GROUP_MAX || !is_kind(kind)) {
        return NULL;
    }
    struct loop_group *group = loop_kernel_calloc(1, sizeof *group + n * sizeof *group->members);
    if (!group) {
        return NULL;
    }
    group->scope = scope;
    group->loop = loop_scope_loop(scope);
    group->kind = kind;
    group->n = n;
    group->fn = fn;
    group->arg = arg;
    for (unsigned i = 0; i < n; i++) {
        group->members[i].group = group;
    }
    group->job = loop_promise(scope, on_cancel, group, on_end, group);
    if (group->job == 0) {
        loop_kernel_free(group);
        return NULL;
    }
    if (loop_scope_is_cancelled(scope)) {
        group->is_decided = group->holds_scope = true;
        group->result = -ECANCELED;
        loop_scope_hold(scope);
    }
    return group;
}

loop_job loop_group_job(const struct loop_group *group)
{
    return loop_check_pointer(group, "group", __func__) ? group->job : 0;
}

struct loop_member *loop_group_member(struct loop_group *group, unsigned index)
{
    if (!loop_check_pointer(group, "group", __func__) || index >= group->n) {
        return NULL;
    }
    return &group->members[index];
}

/* Before its job was added, a member is no stream: no call that starts a stream resumes it. */
static bool is_stream_that_goes_on(const struct loop_member *member)
{
    return member->is_added && loop_job_is_alive(member->group->loop, member->job);
}

void loop_member_end(void *member, int64_t result)
{
    if (loop_check_pointer(member, "member", __func__) && !is_stream_that_goes_on(member)) {
        end_member(member, result);
    }
}

int loop_group_add(struct loop_group *group, unsigned index, loop_job job)
{
    if (!loop_check_pointer(group, "group", __func__) || index >= group->n) {
        return -EINVAL;
    }
    struct loop_member *member = &group->members[index];
    if (member->is_added) {
        return -EALREADY;
    }
    member->job = job;
    member->is_added = true;
    if (member->has_ended) {
        count_over(group);
    } else if (job == 0) {
        end_member(member, -ENOMEM);
    } else if (group->is_decided) {
        loop_cancel(group->loop, job);
    }
    return 0;
}

int64_t loop_group_result(const struct loop_group *group, unsigned index)
{
    if (!loop_check_pointer(group, "group", __func__) || index >= group->n) {
        return -EINVAL;
    }
    return group->members[index].result;
}
