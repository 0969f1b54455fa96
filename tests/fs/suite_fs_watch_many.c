/* SPDX-License-Identifier: ISC
 *
 * Many watches: all watches of a loop share one inotify instance, and do not affect each other.
 */
#include "directory.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* ---- the ground ---- */

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    CHECK(fd >= 0);
    close(fd);
}

/* Returns a name; valid for three more calls. */
__attribute__((format(printf, 1, 2))) static const char *name_of(const char *format, ...)
{
    static char names[4][64];
    static unsigned at;
    va_list values;

    at = (at + 1) % COUNT_OF(names);
    va_start(values, format);
    vsnprintf(names[at], sizeof names[at], format, values);
    va_end(values);
    return names[at];
}

static unsigned count_instances(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;
    char path[300], target[100];

    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        count += strcmp(target, "anon_inode:inotify") == 0;
    }
    closedir(dir);
    return count;
}

/* ---- the record of a watch ---- */

struct heard {
    loop_job job;
    unsigned begun, created, others, overflows, ends;
    int64_t end;
    char last[64]; /* the last name that was created */
};

static unsigned n_begun, n_created, n_ends;

static void on_event(void *arg, int64_t result, const struct loop_watch_event *event)
{
    struct heard *heard = arg;

    CHECK_IS(heard->ends, 0);
    if (!event) {
        heard->ends++;
        heard->end = result;
        n_ends++;
    } else if (event->kind == LOOP_WATCH_BEGUN) {
        CHECK_IS(heard->begun++, 0);
        n_begun++;
    } else if (event->kind == LOOP_WATCH_CREATED) {
        CHECK_IS(heard->begun, 1);
        snprintf(heard->last, sizeof heard->last, "%s", event->name);
        heard->created++;
        n_created++;
    } else {
        heard->overflows += event->kind == LOOP_WATCH_OVERFLOW;
        heard->others++;
    }
    script_poke();
}

static void start(struct loop_scope *scope, struct loop_env *env, const char *path, struct heard *heard)
{
    *heard = (struct heard){.begun = 0};
    heard->job = START(loop_fs_watch(scope, env->cwd, path, on_event, heard));
}

#define ENDED(heard, expected)                                                                                         \
    do {                                                                                                               \
        CHECK_IS((heard).ends, 1);                                                                                     \
        CHECK_IS((heard).end, expected);                                                                               \
    } while (0)

/* ---- many ---- */

#define MANY 200

LOOP_TEST(fs_watch_two_hundred_directories)
{
    static const char *directory;
    static struct loop_scope *scopes[7];
    static struct heard heard[MANY];
    static struct once ends[COUNT_OF(scopes)];
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    for (i = 0; i < COUNT_OF(scopes); i++) {
        scopes[i] = loop_scope_open(env->scope, ONCE(&ends[i]));
        loop_scope_hold(scopes[i]);
    }
    for (i = 0; i < MANY; i++) {
        CHECK_IS(mkdir(name_of("dir%u", i), 0755), 0);
        start(scopes[i % COUNT_OF(scopes)], env, name_of("dir%u", i), &heard[i]);
    }
    WAIT_UNTIL(n_begun == MANY);
    CHECK_IS(count_instances(), 1);
    for (i = 0; i < MANY; i++) {
        touch(name_of("dir%u/file%u", i, i));
    }
    WAIT_UNTIL(n_created == MANY);
    for (i = 0; i < MANY; i++) {
        CHECK_TEXT(heard[i].last, name_of("file%u", i));
    }
    for (i = COUNT_OF(scopes); i-- > 0;) { /* in another order than they began */
        loop_scope_cancel(scopes[i]);
        loop_scope_unhold(scopes[i]);
        WAIT_UNTIL(ends[i].count);
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(count_instances(), i > 0);
        n_created = 0;
        touch(name_of("dir%u/again%u", 0, i));
        if (i > 0) {
            WAIT_UNTIL(n_created == 1); /* those that are left go on */
        }
    }
    for (i = 0; i < MANY; i++) {
        ENDED(heard[i], -ECANCELED);
    }
    leave_directory(directory);
    END;
}

/* ---- one directory, watched several times ---- */

#define TIMES 5

LOOP_TEST(fs_watches_of_one_directory_end_in_any_order)
{
    static const unsigned orders[][TIMES] = {{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 4, 0, 3, 1}};
    static const char *const names[TIMES] = {"dir", "link", "dir/.", "dir", "link/"};
    static const char *directory;
    static struct heard heard[TIMES];
    static unsigned order, i;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    CHECK_IS(symlink("dir", "link"), 0);
    for (order = 0; order < COUNT_OF(orders); order++) {
        n_begun = 0;
        for (i = 0; i < TIMES; i++) {
            start(NULL, env, names[i], &heard[i]);
        }
        WAIT_UNTIL(n_begun == TIMES);
        for (i = 0; i < TIMES; i++) {
            n_created = 0;
            touch(name_of("dir/%u.%u", order, i));
            WAIT_UNTIL(n_created == TIMES - i);
            CHECK_IS(loop_cancel(env->loop, heard[orders[order][i]].job), 0);
            WAIT_UNTIL(heard[orders[order][i]].ends);
            ENDED(heard[orders[order][i]], -ECANCELED);
            CHECK_IS(heard[orders[order][i]].created, i + 1);
        }
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(count_instances(), 0);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_all_watches_of_a_directory_end_when_it_is_deleted)
{
    static const char *directory;
    static struct heard heard[3], other;
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    CHECK_IS(mkdir("other", 0755), 0);
    start(NULL, env, "other", &other);
    for (i = 0; i < COUNT_OF(heard); i++) {
        start(NULL, env, "dir", &heard[i]);
    }
    WAIT_UNTIL(n_begun == 4);
    CHECK_IS(rmdir("dir"), 0);
    WAIT_UNTIL(n_ends == 3);
    for (i = 0; i < COUNT_OF(heard); i++) {
        ENDED(heard[i], 0);
    }
    CHECK_IS(mkdir("dir", 0755), 0);
    start(NULL, env, "dir", &heard[0]);
    WAIT_UNTIL(n_begun == 5);
    touch("dir/file");
    touch("other/file");
    WAIT_UNTIL(n_created == 2);
    CHECK_IS(heard[0].created, 1);
    CHECK_IS(other.created, 1);
    loop_cancel(env->loop, heard[0].job);
    loop_cancel(env->loop, other.job);
    WAIT_UNTIL(n_ends == 5);
    leave_directory(directory);
    END;
}

/* A watch does not report events from before it began, even while other watches have yet to report them. */
LOOP_TEST(fs_watch_tells_nothing_of_the_past)
{
    static const char *directory;
    static struct heard early, late;
    static unsigned round;

    BEGIN;
    directory = enter_directory();
    start(NULL, env, ".", &early);
    WAIT_UNTIL(early.begun);
    for (round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 30; i++) {
            touch(name_of("early%u.%u", round, i));
        }
        n_ends = 0;
        start(NULL, env, ".", &late);
        WAIT_UNTIL(late.begun);
        touch(name_of("late%u", round));
        WAIT_UNTIL(late.created > 0);
        CHECK_TEXT(late.last, name_of("late%u", round));
        loop_cancel(env->loop, late.job);
        WAIT_UNTIL(late.ends);
    }
    WAIT_UNTIL(early.created == 20 * 31);
    loop_cancel(env->loop, early.job);
    WAIT_UNTIL(early.ends);
    leave_directory(directory);
    END;
}

/* The last watch of a directory leaves while another one is being added: what the adding has found may be gone. */
LOOP_TEST(fs_watch_begins_while_the_last_one_leaves)
{
    static const char *directory;
    static struct heard heard[2];
    static unsigned round;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    start(NULL, env, "dir", &heard[0]);
    WAIT_UNTIL(heard[0].begun);
    for (round = 1; round < 1000; round++) {
        start(NULL, env, "dir", &heard[round % 2]);
        for (unsigned i = 0; i < round % 8; i++) {
            sched_yield();
        }
        CHECK_IS(loop_cancel(env->loop, heard[1 - round % 2].job), 0);
        WAIT_UNTIL(heard[round % 2].begun && heard[1 - round % 2].ends);
        touch(name_of("dir/file%u", round));
        WAIT_UNTIL(heard[round % 2].created == 1);
    }
    CHECK_IS(loop_cancel(env->loop, heard[1 - round % 2].job), 0);
    WAIT_UNTIL(heard[1 - round % 2].ends);
    leave_directory(directory);
    END;
}

/* A directory that is deleted and made again while it is added: the watch begins and then ends, or fails, or stays. */
LOOP_TEST(fs_watch_begins_while_the_directory_goes)
{
    static const char *directory;
    static struct heard heard, other;
    static unsigned round;

    BEGIN;
    directory = enter_directory();
    start(NULL, env, ".", &other);
    WAIT_UNTIL(other.begun);
    for (round = 0; round < 500; round++) {
        CHECK_IS(mkdir("dir", 0755), 0);
        start(NULL, env, "dir", &heard);
        for (unsigned i = 0; i < round % 16; i++) {
            sched_yield();
        }
        CHECK_IS(rmdir("dir"), 0);
        WAIT_UNTIL(heard.ends);
        CHECK(heard.end == (heard.begun ? 0 : -ENOENT));
    }
    CHECK_IS(loop_cancel(env->loop, other.job), 0);
    WAIT_UNTIL(other.ends);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(count_instances(), 0);
    leave_directory(directory);
    END;
}

/* ---- from inside an event ---- */

static struct {
    struct loop_env *env;
    struct heard victim, later;
    struct loop_scope *scope;
    unsigned calls;
} inside;

static void cancel_others(void *arg, int64_t result, const struct loop_watch_event *event)
{
    struct heard *heard = arg;

    if (event && event->kind == LOOP_WATCH_CREATED && inside.calls++ == 0) {
        loop_cancel(inside.env->loop, inside.victim.job);
        loop_scope_cancel(inside.scope);
        start(NULL, inside.env, ".", &inside.later);
    }
    on_event(heard, result, event);
}

LOOP_TEST(fs_watches_are_cancelled_from_inside_another)
{
    static const char *directory;
    static struct heard first, in_scope[2];
    static struct once end;

    BEGIN;
    directory = enter_directory();
    inside.env = env;
    inside.scope = loop_scope_open(env->scope, ONCE(&end));
    start(NULL, env, ".", &inside.victim);
    start(inside.scope, env, ".", &in_scope[0]);
    WAIT_UNTIL(n_begun == 2);
    first.job = START(loop_fs_watch(NULL, env->cwd, ".", cancel_others, &first));
    WAIT_UNTIL(n_begun == 3);
    start(inside.scope, env, ".", &in_scope[1]);
    WAIT_UNTIL(n_begun == 4);
    for (unsigned i = 0; i < 10; i++) {
        touch(name_of("file%u", i));
    }
    WAIT_UNTIL(first.created == 10 && end.count && inside.victim.ends && inside.later.begun);
    CHECK(inside.victim.created <= 1 && in_scope[0].created <= 1 && in_scope[1].created <= 1);
    ENDED(inside.victim, -ECANCELED);
    ENDED(in_scope[0], -ECANCELED);
    touch("at last");
    WAIT_UNTIL(inside.later.created == 1);
    loop_cancel(env->loop, first.job);
    loop_cancel(env->loop, inside.later.job);
    WAIT_UNTIL(first.ends && inside.later.ends);
    leave_directory(directory);
    END;
}

/* ---- limits ---- */

/* Loses events of `busy`, which watches the current directory, and what `also` does then. */
static void overflow(void (*also)(void))
{
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    const int files[2] = {open("one", O_WRONLY | O_CREAT | O_CLOEXEC, 0600),
                          open("two", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
    unsigned most;

    CHECK(file && fscanf(file, "%u", &most) == 1);
    fclose(file);
    for (unsigned i = 0; i < most + 100; i++) { /* two in turns, or all would be one event */
        CHECK_IS(pwrite(files[i % 2], "x", 1, 0), 1);
    }
    also();
    close(files[0]);
    close(files[1]);
}

static void do_nothing(void)
{
}

LOOP_TEST(fs_an_overflow_is_told_to_all)
{
    static const char *directory;
    static struct heard busy, idle;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("idle", 0755), 0);
    start(NULL, env, ".", &busy);
    start(NULL, env, "idle", &idle);
    WAIT_UNTIL(n_begun == 2);
    overflow(do_nothing);
    WAIT_UNTIL(busy.overflows > 0 && idle.overflows > 0);
    CHECK_IS(idle.others, idle.overflows);
    loop_cancel(env->loop, busy.job);
    loop_cancel(env->loop, idle.job);
    WAIT_UNTIL(n_ends == 2);
    leave_directory(directory);
    END;
}

static void remove_some(void)
{
    for (unsigned i = 0; i < MANY; i += 2) {
        CHECK_IS(rmdir(name_of("dir%u", i)), 0);
    }
}

/* Their ends are among the events that are lost. */
LOOP_TEST(fs_watches_of_files_that_go_in_an_overflow_end)
{
    static const char *directory;
    static struct heard busy, heard[MANY];
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    start(NULL, env, ".", &busy);
    for (i = 0; i < MANY; i++) {
        CHECK_IS(mkdir(name_of("dir%u", i), 0755), 0);
        start(NULL, env, name_of("dir%u", i), &heard[i]);
    }
    WAIT_UNTIL(n_begun == MANY + 1);
    overflow(remove_some);
    WAIT_UNTIL(n_ends == MANY / 2);
    CHECK(busy.overflows > 0);
    n_created = 0;
    for (i = 1; i < MANY; i += 2) {
        touch(name_of("dir%u/file", i));
        CHECK_IS(heard[i].ends, 0);
        ENDED(heard[i - 1], 0);
        CHECK(heard[i - 1].overflows > 0);
    }
    WAIT_UNTIL(n_created == MANY / 2);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    WAIT_UNTIL(n_ends == MANY + 1);
    leave_directory(directory);
    END;
}

static struct heard blind;

/* The log says that the ends that were lost are not known. */
static void on_log(void *arg, enum loop_log_level level, const char *line)
{
    (void)arg;
    if (level == LOOP_LOG_WARNING && strstr(line, "may not end")) {
        touch("logged");
    }
}

static void on_blind(void *arg, int64_t result, const struct loop_watch_event *event)
{
    on_event(arg, result, event);
    if (event && event->kind == LOOP_WATCH_BEGUN) {
        overflow(do_nothing);
    }
    if (event && event->kind == LOOP_WATCH_CREATED && strcmp(event->name, "logged") == 0) {
        loop_cancel(inside.env->loop, blind.job);
    }
}

static int watch_blindly(struct loop_env *env, void *unused)
{
    (void)unused;
    inside.env = env;
    blind.job = loop_fs_watch(NULL, env->cwd, ".", on_blind, &blind);
    return 0;
}

/* Replaces the texts about descriptors by those of gVisor. */
static bool hide_watches(void)
{
    if ((unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("fdinfo", "/proc/self/fdinfo", "tmpfs", 0, NULL) < 0) {
        return false;
    }
    for (unsigned i = 0; i < 64; i++) {
        FILE *file = fopen(name_of("/proc/self/fdinfo/%u", i), "we");
        CHECK(file && fprintf(file, "flags:\t02004000\n") > 0);
        fclose(file);
    }
    return true;
}

static int be_blind(void *unused)
{
    (void)unused;
    if (!hide_watches()) {
        return 0;
    }
    CHECK_IS(loop_run_with(&(struct loop_options){.log = on_log}, watch_blindly, NULL), 0);
    return blind.ends == 1 && blind.end == -ECANCELED ? 0 : 1;
}

TEST(fs_watches_stay_in_an_overflow_where_proc_does_not_list_them)
{
    const char *directory = enter_directory();

    CHECK_CHILD(be_blind, NULL);
    leave_directory(directory);
}

LOOP_TEST(fs_watch_at_the_limit_of_descriptors)
{
    static const char *directory;
    static rlim_t limit;
    static struct heard first, second;

    BEGIN;
    directory = enter_directory();
    AWAIT(loop_fs_kind(NULL, env->fs, directory, LOOP_FS_FOLLOW, GO));
    limit = forbid_fds();
    start(NULL, env, ".", &first);
    WAIT_UNTIL(first.ends);
    ENDED(first, -EMFILE);
    limit_fds(limit);
    start(NULL, env, ".", &first);
    WAIT_UNTIL(first.begun);
    forbid_fds();
    start(NULL, env, ".", &second);
    WAIT_UNTIL(second.ends);
    ENDED(second, -EMFILE);
    limit_fds(limit);
    touch("file");
    WAIT_UNTIL(first.created == 1);
    loop_cancel(env->loop, first.job);
    WAIT_UNTIL(first.ends);
    leave_directory(directory);
    END;
}

static bool limit_to(const char *path, unsigned number)
{
    FILE *file = fopen(path, "we");
    bool is_written = file && fprintf(file, "%u", number) > 0;

    return file && fclose(file) == 0 && is_written;
}

static struct heard limited[5];

static void on_limited(void *arg, int64_t result, const struct loop_watch_event *event)
{
    struct heard *heard = arg;

    heard->begun += event && event->kind == LOOP_WATCH_BEGUN;
    if (!event) {
        heard->ends++;
        heard->end = result;
    }
    n_begun += event != NULL;
    n_ends += !event;
    for (size_t i = 0; n_begun + n_ends == COUNT_OF(limited) && i < COUNT_OF(limited); i++) {
        loop_cancel(inside.env->loop, limited[i].job);
    }
}

static int watch_up_to_the_limit(struct loop_env *env, void *unused)
{
    (void)unused;
    inside.env = env;
    for (unsigned i = 0; i < COUNT_OF(limited); i++) {
        limited[i].job = loop_fs_watch(NULL, env->cwd, name_of("dir%u", i), on_limited, &limited[i]);
    }
    return 0;
}

/* In a user namespace of its own, which has limits of its own: one instance, three watches. */
static int be_limited(void *unused)
{
    unsigned failed = 0;

    (void)unused;
    if (unshare(CLONE_NEWUSER) < 0 || !limit_to("/proc/sys/user/max_inotify_instances", 1) ||
        !limit_to("/proc/sys/user/max_inotify_watches", 3)) {
        return 0;
    }
    if (loop_run(0, 0, 0, NULL, watch_up_to_the_limit, NULL) != 0) {
        return 1;
    }
    for (unsigned i = 0; i < COUNT_OF(limited); i++) {
        failed += limited[i].end == -ENOSPC && !limited[i].begun;
    }
    return failed == 2 ? 0 : 2;
}

TEST(fs_watch_at_the_user_s_limits)
{
    const char *directory = enter_directory();

    for (unsigned i = 0; i < COUNT_OF(limited); i++) {
        CHECK_IS(mkdir(name_of("dir%u", i), 0755), 0);
    }
    CHECK_CHILD(be_limited, NULL);
    leave_directory(directory);
}

#if !HAS_SANITIZER
LOOP_TEST(p02_fs_watch_without_memory)
{
    static const char *directory;
    static struct heard heard, other;
    static bool is_over;
    static unsigned n;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    AWAIT(loop_fs_kind(NULL, env->fs, directory, LOOP_FS_FOLLOW, GO));
    for (n = 1, is_over = false; !is_over; n++) {
        heard = (struct heard){.begun = 0};
        fail_allocation(n, false);
        heard.job = loop_fs_watch(NULL, env->cwd, "dir", on_event, &heard);
        WAIT_UNTIL(!heard.job || heard.begun || heard.ends);
        is_over = !allocation_failed();
        fail_allocation(0, false);
        CHECK(is_over ? heard.begun == 1 : !heard.job || heard.begun || heard.end == -ENOMEM);
        start(NULL, env, "dir", &other);
        WAIT_UNTIL(other.begun);
        touch(name_of("dir/file%u", n));
        WAIT_UNTIL(other.created == 1 && (!heard.begun || heard.created == 1));
        loop_cancel(env->loop, heard.job);
        loop_cancel(env->loop, other.job);
        WAIT_UNTIL(other.ends && (!heard.job || heard.ends));
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(count_instances(), 0);
    }
    CHECK(n > 4);
    leave_directory(directory);
    END;
}
#endif

/* ---- two loops ---- */

struct of_thread {
    const char *path;
    struct heard heard;
    struct loop_env *env;
};

static void on_event_of_thread(void *arg, int64_t result, const struct loop_watch_event *event)
{
    struct of_thread *thread = arg;

    (void)result;
    if (event && event->kind == LOOP_WATCH_BEGUN) {
        touch(thread->path);
    } else if (event && event->kind == LOOP_WATCH_CREATED) {
        snprintf(thread->heard.last, sizeof thread->heard.last, "%s", event->name);
        loop_cancel(thread->env->loop, thread->heard.job);
    }
}

static int watch_in_thread(struct loop_env *env, void *arg)
{
    struct of_thread *thread = arg;

    thread->env = env;
    thread->heard.job = loop_fs_watch(NULL, env->cwd, thread->path[0] == 'a' ? "a" : "b", on_event_of_thread, thread);
    return 0;
}

static void *run_thread(void *arg)
{
    CHECK_IS(loop_run(0, 0, 0, NULL, watch_in_thread, arg), 0);
    return NULL;
}

TEST(fs_watches_of_two_loops)
{
    static struct of_thread threads[] = {{.path = "a/one"}, {.path = "b/two"}};
    const char *directory = enter_directory();
    pthread_t other;

    CHECK_IS(mkdir("a", 0755), 0);
    CHECK_IS(mkdir("b", 0755), 0);
    CHECK_IS(pthread_create(&other, NULL, run_thread, &threads[0]), 0);
    run_thread(&threads[1]);
    CHECK_IS(pthread_join(other, NULL), 0);
    CHECK_TEXT(threads[0].heard.last, "one");
    CHECK_TEXT(threads[1].heard.last, "two");
    leave_directory(directory);
}
