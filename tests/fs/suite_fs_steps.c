/* SPDX-License-Identifier: ISC
 *
 * Operations of several steps: cancelled at each step, failing at each step, and run while other programs change the
 * files.
 */
#include "big.h"
#include "directory.h"
#include "steps.h"

#include <stdio.h>
#include <sys/stat.h>

/* ---- the ground ---- */

static unsigned count_links(const char *path)
{
    struct stat status;

    CHECK_IS(lstat(path, &status), 0);
    return (unsigned)status.st_nlink;
}

/* ---- cancelled at each step ---- */

static unsigned cancels;

/* Returns whether the step at which to cancel was reached. */
static bool was_cancelled(int64_t result)
{
    bool came = atomic_load(&steps.count) >= steps.cancel_at;

    CHECK(result >= 0 || (came && result == -ECANCELED));
    cancels += result == -ECANCELED;
    return came;
}

LOOP_TEST(fs_cancel_at_each_step_of_mkdirs)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        begin_steps(env);
        AWAIT(steps.job = loop_fs_mkdirs(NULL, env->cwd, "a/b/c/d/e", 0, GO));
        end_steps();
        CHECK_IS(exists("a/b/c/d/e"), result == 0);
        if (!was_cancelled(result)) {
            break;
        }
        CHECK(exists("a"));
        AWAIT(loop_fs_rmtree(NULL, env->cwd, "a", GO));
        CHECK_IS(result, 0);
    }
    CHECK(cancels >= 4);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cancel_at_each_step_of_rmtree)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        make_tree("tree", 2, 3);
        begin_steps(env);
        AWAIT(steps.job = loop_fs_rmtree(NULL, env->cwd, "tree", GO));
        end_steps();
        CHECK_IS(exists("tree"), result < 0);
        if (!was_cancelled(result)) {
            break;
        }
        if (result < 0) {
            AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO)); /* what is left is a tree as any other */
            CHECK_IS(result, 0);
        }
    }
    CHECK(cancels > 20);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cancel_at_each_step_of_save)
{
    static const char *directory;
    static struct loop_save_options options = {.atomic = true};

    BEGIN;
    directory = enter_directory();
    make_big();
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        put_bytes("file", "old", 3);
        begin_steps(env);
        AWAIT(steps.job = loop_fs_save(NULL, env->cwd, "file", big, 3 << 20, &options, GO));
        end_steps();
        CHECK_IS(size_of("file"), result < 0 ? 3 : 3 << 20);
        CHECK_IS(count_names("."), 1);
        if (!was_cancelled(result)) {
            break;
        }
    }
    CHECK(cancels >= 4);
    free(big);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cancel_at_each_step_of_copy_file)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    make_big();
    put_bytes("from", big, BIG);
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        put_bytes("to", "old", 3);
        begin_steps(env);
        AWAIT(steps.job = loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to",
                                            &(struct loop_copy_options){.sync = true}, GO));
        end_steps();
        CHECK_IS(size_of("to"), result < 0 ? 3 : (off_t)BIG);
        CHECK_IS(count_names("."), 2);
        if (!was_cancelled(result)) {
            break;
        }
    }
    CHECK(cancels >= 4);
    free(big);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cancel_at_each_step_of_copy_files_leaves_whole_files)
{
    static const char *directory;
    static struct loop_copied files[2];

    BEGIN;
    directory = enter_directory();
    make_big();
    put_bytes("from", big, BIG);
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        files[0] = (struct loop_copied){.from = "from", .to = "one"};
        files[1] = (struct loop_copied){.from = "from", .to = "two"};
        begin_steps(env);
        AWAIT(steps.job = loop_fs_copy_files(NULL, env->cwd, env->cwd, files, 2, NULL, GO));
        end_steps();
        CHECK_IS(count_names("."), 1 + (files[0].result == (int64_t)BIG) + (files[1].result == (int64_t)BIG));
        for (unsigned i = 0; i < 2; i++) {
            CHECK(files[i].result == (int64_t)BIG || files[i].result == -ECANCELED);
            CHECK(files[i].result < 0 || size_of(files[i].to) == (off_t)BIG);
            CHECK(files[i].result < 0 || unlink(files[i].to) == 0);
        }
        if (!was_cancelled(result)) {
            break;
        }
    }
    CHECK(cancels >= 4);
    free(big);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cancel_at_each_step_of_load)
{
    static const char *directory;
    static void *data;

    BEGIN;
    directory = enter_directory();
    make_big();
    put_bytes("file", big, BIG);
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        data = NULL;
        begin_steps(env);
        AWAIT(steps.job = loop_fs_load(NULL, env->cwd, "file", 0, &data, GO));
        end_steps();
        CHECK_IS(data != NULL, result >= 0);
        free(data);
        if (!was_cancelled(result)) {
            break;
        }
    }
    CHECK(cancels >= 10);
    free(big);
    leave_directory(directory);
    END;
}

static void outlast_the_deadline(void)
{
    while (!loop_work_is_cancelled()) {
        usleep(100);
    }
}

LOOP_TEST(fs_a_deadline_ends_what_takes_long)
{
    static const char *directory;
    static struct loop_scope *scope;
    static struct once end;

    BEGIN;
    directory = enter_directory();
    make_tree("tree", 2, 3);
    scope = loop_scope_open(env->scope, ONCE(&end));
    steps.act_at = 3;
    steps.act = outlast_the_deadline;
    begin_steps(env);
    loop_scope_deadline(scope, loop_now(env->loop) + 20 * LOOP_MILLISECOND);
    AWAIT(loop_fs_rmtree(scope, env->cwd, "tree", GO));
    end_steps();
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(exists("tree"));
    WAIT_UNTIL(end.count);
    CHECK_IS(end.result, -ETIMEDOUT);
    leave_directory(directory);
    END;
}

/* The result wins the race: it is delivered, and the scope owns the descriptor. */
LOOP_TEST(p04_fs_a_file_that_is_open_by_then_is_delivered_and_closed)
{
    static const char *directory;
    static struct loop_scope *scope;
    static struct once end;
    static struct loop_flow *flow;
    static unsigned before;

    BEGIN;
    directory = enter_directory();
    put("file", "text");
    AWAIT(loop_fs_kind(NULL, env->fs, "file", LOOP_FS_FOLLOW, GO)); /* the pool has its thread */
    before = count_fds();
    scope = loop_scope_open(env->scope, ONCE(&end));
    steps.scope = scope;
    steps.cancel_at = 1;
    begin_steps(env);
    AWAIT(loop_fs_open(scope, env->fs, "file",
                       &(struct loop_open_options){.access = LOOP_ACCESS_WRITE, .create = LOOP_CREATE_OR_TRUNCATE},
                       &flow, GO));
    CHECK(result == 0 || result == -ECANCELED);
    end_steps();
    WAIT_UNTIL(end.count);
    CHECK_IS(count_fds(), before);
    leave_directory(directory);
    END;
}

/* ---- disks that are full ---- */

static const int full[] = {ENOSPC, EDQUOT, EIO, EFBIG};

LOOP_TEST(fs_a_full_disk_in_the_middle_of_save)
{
    static const char *directory;
    static struct loop_save_options options = {.atomic = true};
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    make_big();
    put_bytes("file", "old", 3);
    steps.name = "write";
    steps.fail_at = 2;
    for (i = 0; i < COUNT_OF(full); i++) {
        steps.error = full[i];
        begin_steps(env);
        AWAIT(loop_fs_save(NULL, env->cwd, "file", big, 3 << 20, &options, GO));
        end_steps();
        CHECK_IS(result, -full[i]);
        CHECK_IS(size_of("file"), 3);
        CHECK_IS(count_names("."), 1);
    }
    begin_steps(env);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", big, 3 << 20, NULL, GO)); /* in place: the beginning is there */
    end_steps();
    CHECK_IS(result, -full[3]);
    CHECK_IS(size_of("file"), 1 << 20);
    free(big);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_each_step_of_save_and_copy_file_fails)
{
    static const char *const names[] = {"openat", "write", "pwrite", "fsync", "renameat", "fchmod", "copy_file_range"};
    static const char *directory;
    static struct loop_save_options options = {.atomic = true};
    static struct loop_copy_options copy_options = {.sync = true};
    static unsigned i, failed;

    BEGIN;
    directory = enter_directory();
    put_bytes("from", "new", 3);
    steps.error = EIO;
    for (i = 0; i < COUNT_OF(names); i++) {
        steps.name = names[i];
        for (steps.fail_at = 1;; steps.fail_at++) {
            put_bytes("to", "older", 5);
            begin_steps(env);
            AWAIT(loop_fs_save(NULL, env->cwd, "to", "new", 3, &options, GO));
            if (result < 0) {
                CHECK_IS(result, -EIO);
                /* the last fsync is that of the directory, and the file has its name by then */
                CHECK(size_of("to") == 5 || (i == 3 && steps.fail_at == 2));
                failed++;
            }
            put_bytes("to", "older", 5);
            atomic_store(&steps.count, 0);
            AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", &copy_options, GO));
            end_steps();
            CHECK(result == 3 || (result == -EIO && (size_of("to") == 5 || (i == 3 && steps.fail_at == 2))));
            CHECK_IS(count_names("."), 2);
            if (atomic_load(&steps.count) < steps.fail_at && result == 3) {
                break;
            }
        }
    }
    CHECK(failed >= 6);
    leave_directory(directory);
    END;
}

/* ---- things change ---- */

static void truncate_source(void)
{
    CHECK_IS(truncate("from", 1000), 0);
}

LOOP_TEST(fs_a_file_is_truncated_while_it_is_copied)
{
    static const char *directory;
    static const char *const names[] = {"copy_file_range", "pwrite"};
    static const char *const elsewhere = "/dev/shm/noria-test-truncated"; /* another file system, as a rule */
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    make_big();
    for (i = 0; i < COUNT_OF(names); i++) {
        put_bytes("from", big, BIG);
        steps.name = names[i];
        steps.act_at = 2;
        steps.act = truncate_source;
        begin_steps(env);
        AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->fs, i == 0 ? "to" : elsewhere, NULL, GO));
        end_steps();
        CHECK(result >= 0 && result <= (int64_t)BIG);
        CHECK_IS(size_of(i == 0 ? "to" : elsewhere), result);
        CHECK_IS(size_of("from"), 1000);
    }
    CHECK_IS(unlink(elsewhere), 0);
    free(big);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_a_file_is_copied_where_the_kernel_does_not)
{
    static const char *directory;
    static void *data;

    BEGIN;
    directory = enter_directory();
    make_big();
    put_bytes("from", big, BIG);
    free(big);
    steps.name = "copy_file_range";
    steps.fail_at = 1;
    steps.error = EXDEV;
    begin_steps(env);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", NULL, GO));
    end_steps();
    CHECK_IS(result, BIG);
    AWAIT(loop_fs_load(NULL, env->cwd, "to", 0, &data, GO));
    CHECK(result == (int64_t)BIG && is_pattern(data, BIG, 1));
    free(data);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_a_small_file_is_copied_where_files_without_names_are_refused)
{
    static const struct {
        const char *name;
        int fail_at, error;
    } cases[] = {
        {"linkat", 1, EPERM},      {"linkat", 1, ENOSYS}, {"linkat", 1, ENOENT},
        {"openat", 3, EOPNOTSUPP}, {"openat", 3, EISDIR},
    };
    static const char *directory;
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    put_bytes("from", "new", 3);
    for (i = 0; i < COUNT_OF(cases); i++) {
        steps.name = cases[i].name;
        steps.fail_at = cases[i].fail_at;
        steps.error = cases[i].error;
        begin_steps(env);
        AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", NULL, GO));
        end_steps();
        CHECK_IS(result, 3);
        CHECK(atomic_load(&steps.count) >= steps.fail_at);
        CHECK_IS(size_of("to"), 3);
        CHECK_IS(count_names("."), 2);
        CHECK_IS(unlink("to"), 0);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_each_step_of_a_small_copy_fails)
{
    static const char *const names[] = {"openat", "linkat", "renameat", "copy_file_range"};
    static const struct loop_copy_options options[] = {{.exclusive = false}, {.exclusive = true}};
    static const char *directory;
    static unsigned i, failed;

    BEGIN;
    directory = enter_directory();
    put_bytes("from", "new", 3);
    steps.error = EIO;
    for (i = 0; i < 2 * COUNT_OF(names); i++) {
        steps.name = names[i / 2];
        for (steps.fail_at = 1;; steps.fail_at++) {
            put_bytes("to", "older", 5);
            begin_steps(env);
            AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", &options[i % 2], GO));
            end_steps();
            CHECK(result == 3 || result == -EIO || (i % 2 == 1 && result == -EEXIST));
            CHECK_IS(size_of("to"), result == 3 ? 3 : 5);
            CHECK_IS(count_names("."), 2);
            failed += result == -EIO;
            if (atomic_load(&steps.count) < steps.fail_at) {
                break;
            }
        }
    }
    CHECK(failed >= 5);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cancel_at_each_step_of_a_small_copy)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    put_bytes("from", "new", 3);
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        begin_steps(env);
        AWAIT(steps.job = loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", NULL, GO));
        end_steps();
        CHECK_IS(exists("to"), result >= 0);
        CHECK_IS(count_names("."), result < 0 ? 1 : 2);
        if (!was_cancelled(result)) {
            break;
        }
        if (result >= 0) {
            CHECK_IS(unlink("to"), 0);
        }
    }
    CHECK(cancels >= 2);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cancel_at_each_step_of_a_copy_in_place)
{
    static const struct loop_copy_options options = {.in_place = true, .keep_times = true};
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    put_bytes("from", "new", 3);
    for (steps.cancel_at = 1;; steps.cancel_at++) {
        begin_steps(env);
        AWAIT(steps.job = loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", &options, GO));
        end_steps();
        CHECK_IS(count_names("."), result < 0 ? 1 : 2);
        if (!was_cancelled(result)) {
            break;
        }
        CHECK(result < 0 || unlink("to") == 0);
    }
    CHECK(cancels >= 2);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_each_step_of_a_copy_in_place_fails)
{
    static const char *const names[] = {"openat", "copy_file_range", "fsync"};
    static const struct loop_copy_options options = {.in_place = true, .sync = true};
    static const char *directory;
    static unsigned i, failed;

    BEGIN;
    directory = enter_directory();
    put_bytes("from", "new", 3);
    steps.error = EIO;
    for (i = 0; i < COUNT_OF(names); i++) {
        steps.name = names[i];
        for (steps.fail_at = 1;; steps.fail_at++) {
            begin_steps(env);
            AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", &options, GO));
            end_steps();
            CHECK(result == 3 || result == -EIO);
            CHECK_IS(count_names("."), result == 3 ? 2 : 1);
            failed += result == -EIO;
            CHECK(result < 0 || unlink("to") == 0);
            if (atomic_load(&steps.count) < steps.fail_at) {
                break;
            }
        }
    }
    CHECK(failed >= 4);
    leave_directory(directory);
    END;
}

/* A directory is moved away while its contents are being removed: the removal does not continue at its new place. */
static void move_away(void)
{
    CHECK_IS(rename("tree/dir0/dir0", "moved"), 0);
}

LOOP_TEST(fs_rmtree_stops_where_a_directory_is_moved)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("tree", 0755), 0);
    CHECK_IS(mkdir("tree/dir0", 0755), 0);
    CHECK_IS(mkdir("tree/dir0/dir0", 0755), 0);
    CHECK_IS(mkdir("kept", 0755), 0);
    put_bytes("tree/dir0/dir0/file", "", 0);
    steps.name = "unlinkat";
    steps.act_at = 2; /* of the file; the first is of the tree itself */
    steps.act = move_away;
    begin_steps(env);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO));
    end_steps();
    CHECK_IS(result, -EXDEV);
    CHECK(exists("kept") && exists("moved"));
    CHECK_IS(count_links("moved"), 2);
    leave_directory(directory);
    END;
}
