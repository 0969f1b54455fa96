/* SPDX-License-Identifier: ISC
 *
 * The mixed program: its parts, the record of its jobs, and the parts that transfer no bytes. See mixed.h.
 */
#include "mixed.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

enum { MOST_TRACKS = 1024, POSTS = 20, STALLED_S = 30 };

struct track {
    const char *function;
    int line;
    struct part *part;
    loop_fn *fn;
    void *arg;
    bool is_started, has_ended;
};

static struct track tracks[MOST_TRACKS];
static unsigned n_tracks, n_errors;
static const char *work_path, *only_part;

void mixed_broken(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "broken: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    _exit(3);
}

const char *mixed_path(void)
{
    return work_path;
}

unsigned mixed_errors(void)
{
    return n_errors;
}

/* ---- the account of jobs ---- */

void *mixed_track(const char *function, int line, struct part *part, loop_fn *fn, void *arg)
{
    if (n_tracks == MOST_TRACKS) {
        mixed_broken("more than %d jobs", MOST_TRACKS);
    }
    tracks[n_tracks] = (struct track){function, line, part, fn, arg, false, false};
    return &tracks[n_tracks++];
}

void *mixed_arg(void *track)
{
    return ((struct track *)track)->arg;
}

loop_job mixed_started(loop_job job)
{
    struct track *track = &tracks[n_tracks - 1];

    if (track->is_started || track->has_ended) {
        mixed_broken("%s:%d was resumed from inside the call", track->function, track->line);
    }
    if (job == 0) {
        track->has_ended = true; /* it never existed */
        mixed_failed(track->part, -ENOMEM);
    }
    track->is_started = true;
    return job;
}

void mixed_resumed(void *arg, int64_t result)
{
    struct track *track = arg;

    if (!track->is_started || track->has_ended) {
        mixed_broken("%s:%d was resumed %s, with %lld", track->function, track->line,
                     track->is_started ? "twice" : "from inside the call", (long long)result);
    }
    track->has_ended = true;
    if (result < 0 && result != -ECANCELED && result != -ETIMEDOUT && result != -ETIME) {
        n_errors++;
        fprintf(stderr, "%s:%d ended with %s\n", track->function, track->line, strerror((int)-result));
    }
    track->fn(track->arg, result);
}

void mixed_done(void *part, int64_t result)
{
    mixed_failed(part, result);
}

void mixed_cancelled(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
}

bool mixed_failed(struct part *part, int64_t result)
{
    if (result < 0) {
        n_errors += result != -ECANCELED;
        loop_scope_fail(part->scope, result);
    }
    return result < 0;
}

/* ---- time ---- */

static struct {
    struct loop_env *env;
    loop_job slow;
    unsigned fired;
} timing;

static void on_inner_end(void *part, int64_t result)
{
    if (result != -ETIMEDOUT && result != -ECANCELED) {
        mixed_failed(part, result < 0 ? result : -EIO);
    }
}

static void on_timer(void *arg, int64_t result)
{
    struct part *part = arg;

    mixed_failed(part, result);
    if (++timing.fired == 3) {
        loop_cancel(part->env->loop, timing.slow);
    }
}

static void on_ticked(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result == 0) {
        loop_daemon(part->env->loop,
                    mixed_started(loop_sleep(part->scope, LOOP_MILLISECOND, MIXED(part, on_ticked, part))));
    }
}

static void begin_timers(struct part *part)
{
    struct loop_scope *inner = loop_scope_open(part->scope, on_inner_end, part);

    for (int i = 0; i < 3; i++) {
        mixed_started(loop_sleep(part->scope, i * LOOP_MILLISECOND, MIXED(part, on_timer, part)));
    }
    timing.slow = mixed_started(loop_sleep(part->scope, 600 * LOOP_SECOND, MIXED(part, mixed_cancelled, NULL)));
    if (timing.slow == 0) {
        return;
    }
    on_ticked(part, 0);
    if (inner) {
        loop_scope_deadline(inner, loop_now(part->env->loop) + LOOP_MILLISECOND);
        mixed_started(loop_sleep(inner, LOOP_NEVER, MIXED(part, mixed_cancelled, NULL)));
    } else {
        mixed_failed(part, -ENOMEM);
    }
}

/* ---- scopes ---- */

static unsigned hooks_due, scopes_due;

static void on_hook(void *unused)
{
    (void)unused;
    hooks_due--;
}

static void on_scope_end(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    scopes_due--;
}

static void nest(struct part *part, struct loop_scope *parent, int depth)
{
    struct loop_scope *scope = depth < 4 ? loop_scope_open(parent, on_scope_end, NULL) : NULL;

    if (!scope) {
        return;
    }
    scopes_due++;
    hooks_due++;
    if (!loop_scope_defer(scope, on_hook, NULL) || !loop_scope_alloc(scope, 1000)) {
        mixed_failed(part, -ENOMEM);
    }
    loop_scope_hold(scope);
    mixed_started(loop_op_nop(scope, MIXED(part, mixed_done, part)));
    nest(part, scope, depth + 1);
    nest(part, scope, depth + 1);
    loop_scope_unhold(scope);
}

static void begin_scopes(struct part *part)
{
    nest(part, part->scope, 0);
}

static void scopes_ended(void)
{
    MIXED_MUST(hooks_due == 0 && scopes_due == 0);
}

/* ---- signals ---- */

static void on_signal(void *arg, int64_t result)
{
    MIXED_MUST(result < 0 || result == SIGUSR1);
    mixed_failed(arg, result);
}

static void begin_signals(struct part *part)
{
    loop_job job = mixed_started(loop_signal(part->scope, SIGUSR1, MIXED(part, on_signal, part)));
    loop_job other = mixed_started(loop_signal(part->scope, SIGUSR1, MIXED(part, on_signal, part)));

    if (job && other) {
        kill(getpid(), SIGUSR1);
    }
}

/* ---- posts ---- */

static struct {
    struct part *part;
    struct loop_inbox *inbox;
    pthread_t thread;
    bool has_thread;
    unsigned taken, run;
} posting;

static void on_post(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (++posting.run == POSTS) {
        loop_scope_unhold(posting.part->scope);
    }
}

static void *post_them(void *unused)
{
    for (int i = 0; i < POSTS; i++) {
        posting.taken += loop_post(posting.inbox, on_post, NULL) == 0;
    }
    return unused;
}

static void begin_posts(struct part *part)
{
    posting.part = part;
    posting.inbox = loop_inbox_ref(part->env->loop);
    if (!posting.inbox) {
        mixed_failed(part, -ENOMEM);
        return;
    }
    loop_scope_hold(part->scope);
    MIXED_MUST(pthread_create(&posting.thread, NULL, post_them, NULL) == 0);
    posting.has_thread = true;
}

static void posts_ended(void)
{
    if (posting.has_thread) {
        pthread_join(posting.thread, NULL);
        MIXED_MUST(posting.taken == POSTS && posting.run == POSTS);
    }
    loop_inbox_unref(posting.inbox);
}

/* ---- work ---- */

static int64_t work(void *arg)
{
    *(int *)arg += 1;
    return 7;
}

static void on_work(void *arg, int64_t result)
{
    MIXED_MUST(result == 7 || result < 0);
    mixed_failed(arg, result);
}

static void begin_work(struct part *part)
{
    static int done[8];

    for (int i = 0; i < 7; i++) {
        mixed_started(loop_work(part->scope, work, &done[i], MIXED(part, on_work, part)));
    }
    loop_cancel(part->env->loop,
                mixed_started(loop_work(part->scope, work, &done[7], MIXED(part, mixed_cancelled, NULL))));
}

/* ---- promises, and what a program is given ---- */

static loop_job promised;

static void on_slept(void *arg, int64_t result)
{
    struct part *part = arg;

    (void)result;
    loop_resolve(part->env->loop, promised, 5);
}

static void on_random(void *arg, int64_t result)
{
    MIXED_MUST(result < 0 || result == 16);
    mixed_failed(arg, result);
}

static void begin_env(struct part *part)
{
    static char random_bytes[16], in_bytes[16];
    struct loop_env *env = part->env;

    promised = mixed_started(loop_promise(part->scope, NULL, NULL, MIXED(part, mixed_done, part)));
    if (!mixed_started(loop_sleep(part->scope, 0, MIXED(part, on_slept, part)))) {
        return;
    }
    mixed_started(loop_read_exact(env->secure_random, random_bytes, 16, MIXED(part, on_random, part)));
    mixed_started(loop_read(env->in, in_bytes, sizeof in_bytes, MIXED(part, mixed_done, part)));
    mixed_started(loop_write(env->out, "out", 3, MIXED(part, mixed_done, part)));
    mixed_started(loop_write(env->err, "", 0, MIXED(part, mixed_done, part)));
}

/* ---- all of it ---- */

static struct part own_parts[] = {
    {.name = "timers", .begin = begin_timers},
    {.name = "scopes", .begin = begin_scopes, .ended = scopes_ended},
    {.name = "signals", .begin = begin_signals},
    {.name = "posts", .begin = begin_posts, .ended = posts_ended},
    {.name = "work", .begin = begin_work},
    {.name = "env", .begin = begin_env},
    {.name = NULL},
};

static void part_ended(void *arg, int64_t result)
{
    struct part *part = arg;

    if (result == -ETIMEDOUT) {
        mixed_broken("%s did not end: what it waits for was lost", part->name);
    }
    n_errors += result < 0 && result != -ECANCELED;
    part->scope = NULL;
    part->result = result;
    if (part->ended) {
        part->ended();
    }
}

static void begin_parts(struct loop_env *env, struct part *parts)
{
    for (struct part *part = parts; part->name; part++) {
        if (only_part && !strstr(part->name, only_part)) {
            continue;
        }
        part->env = env;
        part->scope = loop_scope_open(env->scope, part_ended, part);
        if (!part->scope) {
            n_errors++;
            continue;
        }
        loop_scope_deadline(part->scope, loop_now(env->loop) + STALLED_S * LOOP_SECOND);
        part->begin(part);
    }
}

static int mixed_main(struct loop_env *env, void *unused)
{
    (void)unused;
    begin_parts(env, own_parts);
    begin_parts(env, mixed_byte_parts);
    begin_parts(env, mixed_low_parts);
    begin_parts(env, mixed_own_parts);
    begin_parts(env, mixed_file_parts);
    return 0;
}

static void keep_quiet(void *unused, enum loop_log_level level, const char *line)
{
    (void)unused;
    (void)level;
    (void)line;
}

int mixed_run(const char *path, const char *only)
{
    const struct loop_options options = {.queue_depth = 16, .n_blocks = 16, .log = keep_quiet};

    work_path = path;
    only_part = only;
    int result = loop_run_with(&options, mixed_main, NULL);
    for (unsigned i = 0; i < n_tracks; i++) {
        if (!tracks[i].has_ended) {
            mixed_broken("the job of %s:%d was never resumed", tracks[i].function, tracks[i].line);
        }
    }
    for (const struct part *part = own_parts; part->name; part++) {
        MIXED_MUST(!part->scope);
    }
    return result;
}
