/* SPDX-License-Identifier: ISC
 *
 * loop_dump: prints what a loop has at this moment, for example to find out why it does not end.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/core/scope.h>
#include <loop/core/unread.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/run/env.h>

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#define DEEPEST_INDENT 40

/* A line that is built in pieces. Text that does not fit is cut. */
struct line {
    char text[400];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int n = vsnprintf(line->text + line->len, sizeof line->text - line->len, format, values);
    va_end(values);
    if (n > 0) {
        size_t room = sizeof line->text - 1 - line->len;
        line->len += (size_t)n < room ? (size_t)n : room;
    }
}

static void indent(struct line *line, unsigned depth)
{
    int width = depth < DEEPEST_INDENT / 2 ? (int)depth * 2 : DEEPEST_INDENT;
    add(line, "%*s", width, "");
}

/* Adds slot and generation of an id, as a debugger shows them. */
static void add_id(struct line *line, const char *what, uint64_t id)
{
    add(line, "%s %u.%llu", what, (unsigned)(id & (LOOP_SLAB_MAX - 1)),
        (unsigned long long)(id >> LOOP_SLAB_INDEX_BITS));
}

/* ---- jobs ---- */

static const char *where_name(const struct loop_job *job)
{
    static const char *const names[] = {
        [LOOP_AT_START] = "being made",
        [LOOP_AT_RUN_QUEUE] = "ended, continuation due",
        [LOOP_AT_RING_LINE] = "in line for the ring",
        [LOOP_AT_RING] = "in the ring",
        [LOOP_AT_WAIT] = "waits for the descriptor",
        [LOOP_AT_POOL_LINE] = "in line for a thread",
        [LOOP_AT_TIMER] = "timer",
        [LOOP_AT_LEAVING] = "timer",
        [LOOP_AT_CHUNK_LINE] = "waits for a chunk",
        [LOOP_AT_OWNER] = "held by its maker",
    };
    return names[job->where];
}

static const char *job_name(const struct loop_job *job)
{
    return job->op == LOOP_OP_NONE ? job->kind->name : loop_op_table[job->op].name;
}

static void add_time_left(struct line *line, int64_t at_ns)
{
    int64_t left = at_ns - loop_clock_read();
    add(line, " due in %.3f ms", (double)left / (double)LOOP_MILLISECOND);
}

static void dump_job(const struct loop_job *job, unsigned depth)
{
    struct line line = {.len = 0};
    indent(&line, depth);
    add_id(&line, "job", job->id);
    add(&line, " %s: %s", job_name(job), where_name(job));
    if (job->where == LOOP_AT_TIMER) {
        add_time_left(&line, (int64_t)job->timer.at_ns);
    }
    if (job->where == LOOP_AT_RUN_QUEUE) {
        add(&line, " with %lld", (long long)loop_job_due_result(job));
    }
    if (job->kind->size != LOOP_JOB_BARE && job->fd) {
        add(&line, ", fd %d", job->fd->number);
    }
    add(&line, "%s%s%s", job->is_daemon ? ", daemon" : "", job->is_cancelled ? ", cancelled" : "",
        job->is_otherwise ? ", refused by the ring" : "");
    loop_log_line("%s", line.text);
}

/* ---- descriptors ---- */

static void dump_fd(const struct loop_fd *fd, unsigned depth)
{
    static const char *const states[] = {"open", "closing", "closed"};
    struct line line = {.len = 0};
    indent(&line, depth);
    add(&line, "fd %d: %s, %u uses", fd->number, states[fd->state], (unsigned)fd->uses);
    add(&line, "%s%s%s", fd->is_borrowed ? ", borrowed" : "", fd->ready & POLLIN ? ", readable" : "",
        fd->ready & POLLOUT ? ", writable" : "");
    if (fd->queued_bytes > 0) {
        add(&line, ", %zu bytes queued", fd->queued_bytes);
    }
    if (fd->unread) {
        add(&line, ", %zu bytes unread", loop_unread_length(fd));
    }
    loop_log_line("%s", line.text);
}

/* ---- scopes ---- */

static void dump_scope(const struct loop_scope *scope, unsigned depth)
{
    static const char *const states[] = {"open", "draining", "releasing", "closing"};
    struct line line = {.len = 0};
    indent(&line, depth);
    add_id(&line, "scope", scope->id);
    add(&line, ": %s, %u holds, %u daemons", states[scope->state], (unsigned)scope->holds, (unsigned)scope->daemons);
    add(&line, "%s%s", scope->is_daemon ? ", daemon" : "", scope->is_cancelled ? ", cancelled" : "");
    if (scope->error) {
        add(&line, ", error %d", (int)scope->error);
    }
    const struct loop_deadline *deadline = loop_scope_own_deadline(scope);
    if (deadline) {
        add(&line, ", deadline");
        add_time_left(&line, (int64_t)deadline->alarm.node.at_ns);
    }
    loop_log_line("%s", line.text);
}

static void dump_contents(const struct loop_scope *scope, unsigned depth)
{
    dump_scope(scope, depth);
    for (struct loop_fd *fd = loop_scope_oldest_fd(scope); fd; fd = loop_fd_newer_sibling(fd)) {
        dump_fd(fd, depth + 1);
    }
    for (struct loop_hnode *node = loop_hlist_oldest(&scope->jobs); node; node = loop_hlist_newer(&scope->jobs, node)) {
        dump_job(LOOP_CONTAINER(node, struct loop_job, in_scope), depth + 1);
    }
}

static void dump_tree(const struct loop_scope *top)
{
    unsigned depth = 0;
    for (const struct loop_scope *scope = top; scope; scope = loop_scope_next(top, scope, &depth)) {
        dump_contents(scope, depth);
    }
}

void loop_dump(struct loop_debug *debug)
{
    if (!loop_is_good(debug ? debug->loop : NULL, __func__)) {
        return;
    }
    const struct loop *loop = debug->loop;
    loop_timers_leave(debug->loop);
    loop_log_line("loop on %s: %u jobs, %u scopes, %u descriptors, %u continuations due", loop->backend->name,
                  (unsigned)loop_jobs_in_use(loop), (unsigned)loop_slab_in_use(&loop->scopes),
                  (unsigned)loop_slab_in_use(&loop->fds), (unsigned)loop->run_queue_length);
    loop_log_line("main's scope:");
    dump_tree(loop->main_scope);
    loop_log_line("the loop's own:");
    dump_tree(loop->own_scope);
}
