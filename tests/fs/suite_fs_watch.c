/* SPDX-License-Identifier: ISC
 *
 * loop_fs_watch: its events, overflows, and cancels.
 */
#include "directory.h"

#include <stdio.h>
#include <sys/stat.h>

/* ---- watching ---- */

static struct {
    unsigned begun, events, overflows, ends;
    int64_t end;
    uint32_t cookie;
} watched;

static const char *const kind_names[] = {"begun",      "created",  "written", "finished", "changed",
                                         "moved from", "moved to", "deleted", "overflow"};

static void on_event(void *arg, int64_t result, const struct loop_watch_event *event)
{
    (void)arg;
    if (!event) {
        watched.ends++;
        watched.end = result;
    } else if (event->kind == LOOP_WATCH_BEGUN) {
        watched.begun++;
    } else {
        CHECK_IS(result, 1);
        watched.overflows += event->kind == LOOP_WATCH_OVERFLOW;
        if (watched.events < 20) {
            trace("%s %s%s", kind_names[event->kind], event->name, event->is_directory ? "/" : "");
        }
        watched.cookie = event->cookie;
        watched.events++;
    }
    script_poke();
}

LOOP_TEST(fs_watch_tells_what_happens)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    job = START(loop_fs_watch(NULL, env->cwd, "dir", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    put("dir/file", "text");
    WAIT_UNTIL(watched.events == 3);
    CHECK_TEXT(trace_text(), "created file\nwritten file\nfinished file\n");
    CHECK_IS(rename("dir/file", "dir/other"), 0);
    WAIT_UNTIL(watched.events == 5);
    CHECK(watched.cookie != 0);
    CHECK_IS(rename("dir/other", "away"), 0);
    CHECK_IS(mkdir("dir/sub", 0755), 0);
    CHECK_IS(chmod("dir/sub", 0700), 0);
    CHECK_IS(rmdir("dir/sub"), 0);
    WAIT_UNTIL(watched.events == 9);
    CHECK_TEXT(trace_text(), "created file\nwritten file\nfinished file\nmoved from file\nmoved to other\n"
                             "moved from other\ncreated sub/\nchanged sub/\ndeleted sub/\n");
    CHECK_IS(rename("dir", "renamed"), 0);
    put("renamed/again", "");
    WAIT_UNTIL(watched.events == 11);
    CHECK_IS(watched.ends, 0);
    CHECK_IS(unlink("renamed/again"), 0);
    CHECK_IS(rmdir("renamed"), 0);
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, 0);
    CHECK(!loop_job_is_alive(env->loop, job));
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_ends_when_cancelled)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    job = START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    CHECK_IS(loop_cancel(env->loop, job), 0); /* before it has begun */
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, -ECANCELED);
    job = START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
    WAIT_UNTIL(watched.ends == 2);
    CHECK_IS(watched.end, -ECANCELED);
    START(loop_fs_watch(NULL, env->cwd, "nothing", on_event, NULL));
    WAIT_UNTIL(watched.ends == 3);
    CHECK_IS(watched.end, -ENOENT);
    START(loop_fs_watch(NULL, env->cwd, "..", on_event, NULL));
    WAIT_UNTIL(watched.ends == 4);
    CHECK_IS(watched.end, -EXDEV);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_paused_says_that_events_were_lost)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    job = START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    CHECK_IS(loop_pause(env->loop, job), 0); /* before it has begun */
    CHECK_IS(loop_resume(env->loop, job), 0);
    WAIT_UNTIL(watched.begun == 1);
    CHECK_IS(loop_pause(env->loop, job), 0);
    CHECK_IS(loop_pause(env->loop, job), 0);
    CHECK_IS(loop_resume(env->loop, job), 0);
    put("nothing_was_lost", "");
    WAIT_UNTIL(watched.events == 2);
    CHECK_TEXT(trace_text(), "created nothing_was_lost\nfinished nothing_was_lost\n");
    CHECK_IS(loop_pause(env->loop, job), 0);
    put("lost", "");
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(watched.events, 2);
    CHECK_IS(loop_resume(env->loop, job), 0);
    CHECK_IS(loop_resume(env->loop, job), 0);
    put("again", "");
    CHECK_IS(watched.events, 2);
    WAIT_UNTIL(watched.events == 5);
    CHECK_TEXT(trace_text(), "created nothing_was_lost\nfinished nothing_was_lost\n"
                             "overflow \ncreated again\nfinished again\n");
    CHECK_IS(loop_pause(env->loop, job), 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, -ECANCELED);
    CHECK_IS(loop_pause(env->loop, job), -ENOENT);
    CHECK_IS(loop_resume(env->loop, job), -ENOENT);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_paused_begins_and_ends)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    job = START(loop_fs_watch(NULL, env->cwd, "dir", on_event, NULL));
    CHECK_IS(loop_pause(env->loop, job), 0);
    AWAIT(turns(env->scope, 10, GO));
    CHECK_IS(watched.begun, 0);
    CHECK_IS(loop_resume(env->loop, job), 0);
    WAIT_UNTIL(watched.begun == 1);
    CHECK_IS(loop_pause(env->loop, job), 0);
    CHECK_IS(rmdir("dir"), 0);
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, 0);
    CHECK_IS(watched.events, 0);
    leave_directory(directory);
    END;
}

static loop_job cancelled_inside;

static void cancel_inside(void *env, int64_t result, const struct loop_watch_event *event)
{
    if (event && event->kind == LOOP_WATCH_CREATED) {
        watched.events++;
        CHECK_IS(loop_cancel(((struct loop_env *)env)->loop, cancelled_inside), 0);
    } else if (event && event->kind == LOOP_WATCH_BEGUN) {
        watched.begun++;
    } else if (!event) {
        watched.ends++;
        watched.end = result;
    }
    script_poke();
}

LOOP_TEST(fs_watch_is_cancelled_from_inside)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    cancelled_inside = START(loop_fs_watch(NULL, env->cwd, ".", cancel_inside, env));
    WAIT_UNTIL(watched.begun == 1);
    put("one", "");
    put("two", "");
    WAIT_UNTIL(watched.ends == 1);
    CHECK_IS(watched.end, -ECANCELED);
    CHECK_IS(watched.events, 1);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_tells_of_an_overflow)
{
    static const char *directory;
    static unsigned most, i;
    static int files[2];

    BEGIN;
    directory = enter_directory();
    {
        FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        CHECK(file && fscanf(file, "%u", &most) == 1);
        fclose(file);
    }
    files[0] = open("one", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    files[1] = open("two", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    for (i = 0; i < most + 100; i++) { /* two in turns, or all would be one event */
        CHECK_IS(pwrite(files[i % 2], "x", 1, 0), 1);
    }
    close(files[0]);
    close(files[1]);
    WAIT_UNTIL(watched.overflows > 0);
    loop_scope_cancel(env->scope);
    script.expected = -ECANCELED;
    WAIT_UNTIL(watched.ends == 1);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_watch_can_be_a_daemon)
{
    static const char *directory;
    static loop_job job;

    BEGIN;
    directory = enter_directory();
    job = START(loop_fs_watch(NULL, env->cwd, ".", on_event, NULL));
    WAIT_UNTIL(watched.begun == 1);
    CHECK_IS(loop_daemon(env->loop, job), 0);
    leave_directory(directory);
    END; /* and the loop ends */
}
