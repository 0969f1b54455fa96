/* SPDX-License-Identifier: ISC
 *
 * Directory listings, and directories as capabilities.
 */
#include "directory.h"

#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- directories read ---- */

#define NAMES 1500

LOOP_TEST(fs_read_dir_gives_every_entry_once)
{
    static const char *directory;
    static struct loop_entries *entries;
    static char name[32], seen[NAMES];
    static unsigned rounds, total;
    static int number;

    BEGIN;
    directory = enter_directory();
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "name%d", i);
        if (i % 100 == 0) {
            CHECK_IS(mkdir(name, 0755), 0);
        } else {
            put(name, i % 2 ? "x" : "");
        }
    }
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", LOOP_FS_WITH_STAT, &entries, GO));
    CHECK_IS(result, 0);
    CHECK_IS(entries->count, 0);
    for (;;) {
        AWAIT(loop_entries_next(entries, GO));
        CHECK_IS(entries->count, result);
        if (result == 0) {
            break;
        }
        CHECK(result > 0 && result < 1000);
        for (size_t i = 0; i < entries->count; i++) {
            const struct loop_entry *entry = &entries->entry[i];
            CHECK_IS(sscanf(entry->name, "name%d", &number), 1);
            CHECK(number >= 0 && number < NAMES && !seen[number]);
            seen[number] = 1;
            CHECK_IS(entry->kind, number % 100 == 0 ? LOOP_KIND_DIRECTORY : LOOP_KIND_REGULAR);
            CHECK(entry->stat && entry->stat->kind == entry->kind && entry->stat->inode == entry->inode);
            CHECK(number % 100 == 0 || entry->stat->size_bytes == (unsigned)number % 2);
            total++;
        }
        rounds++;
    }
    CHECK_IS(total, NAMES);
    CHECK(rounds > 2);
    AWAIT(loop_entries_next(entries, GO)); /* the end stays the end */
    CHECK_IS(result, 0);
    loop_entries_close(entries);
    loop_entries_close(NULL);
    AWAIT(loop_fs_read_dir(NULL, env->cwd, "name1", 0, &entries, GO));
    CHECK_IS(result, -ENOTDIR);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_read_dir_one_at_a_time)
{
    static const char *directory;
    static struct loop_entries *entries;
    static struct once first, second;

    BEGIN;
    directory = enter_directory();
    put("file", "");
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", 0, &entries, GO));
    START(loop_entries_next(entries, ONCE(&first)));
    START(loop_entries_next(entries, ONCE(&second)));
    WAIT_UNTIL(first.count && second.count);
    CHECK_IS(first.result, 1);
    CHECK_IS(second.result, -EBUSY);
    CHECK_TEXT(entries->entry[0].name, "file");
    CHECK(entries->entry[0].stat == NULL);
    first.count = 0;
    START(loop_entries_next(entries, ONCE(&first)));
    loop_entries_close(entries); /* under way */
    WAIT_UNTIL(first.count);
    CHECK_IS(first.result, -ECANCELED);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_list_is_sorted)
{
    static const char *directory;
    static struct loop_entry *list;

    BEGIN;
    directory = enter_directory();
    AWAIT(loop_fs_list(NULL, env->cwd, ".", LOOP_FS_WITH_STAT, &list, GO));
    CHECK_IS(result, 0);
    free(list);
    put("b", "1");
    put("a", "22");
    put("B", "333");
    CHECK_IS(mkdir("c", 0755), 0);
    CHECK_IS(symlink("a", ".hidden"), 0);
    AWAIT(loop_fs_list(NULL, env->cwd, ".", LOOP_FS_WITH_STAT, &list, GO));
    CHECK_IS(result, 5);
    for (int i = 0; i < 5; i++) {
        trace("%s %d %d", list[i].name, (int)list[i].kind,
              (int)(list[i].kind == LOOP_KIND_DIRECTORY ? 0 : list[i].stat->size_bytes));
    }
    CHECK_TEXT(trace_text(), ".hidden 3 1\nB 1 3\na 1 2\nb 1 1\nc 2 0\n");
    free(list);
    AWAIT(loop_fs_list(NULL, env->cwd, "c", 0, &list, GO));
    CHECK_IS(result, 0);
    free(list);
    AWAIT(loop_fs_list(NULL, env->cwd, "a", 0, &list, GO));
    CHECK_IS(result, -ENOTDIR);
    leave_directory(directory);
    END;
}

/* ---- directories as capabilities ---- */

LOOP_TEST(fs_a_directory_is_tied_to_itself)
{
    static const char *directory;
    static struct loop_dir *dir, *narrower;
    static void *data;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    CHECK_IS(mkdir("dir/sub", 0755), 0);
    put("dir/file", "inside");
    put("file", "outside");
    AWAIT(loop_fs_open_dir(NULL, env->fs, "dir", &dir, GO));
    CHECK_IS(result, 0);
    CHECK(dir->is_confined);
    CHECK_IS(fcntl(loop_fd_peek(dir->fd), F_GETFD), FD_CLOEXEC);
    CHECK_IS(rename("dir", "renamed"), 0);
    CHECK_IS(chdir("/"), 0);
    AWAIT(loop_fs_load(NULL, dir, "file", 0, &data, GO));
    CHECK_IS(result, 6);
    CHECK_TEXT(data, "inside");
    free(data);
    AWAIT(loop_fs_load(NULL, dir, "sub/../file", 0, &data, GO));
    CHECK_IS(result, 6);
    free(data);
    AWAIT(loop_fs_open_dir(NULL, dir, "sub", &narrower, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_load(NULL, narrower, "../file", 0, &data, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_fs_open_dir(NULL, dir, "file", &narrower, GO));
    CHECK_IS(result, -ENOTDIR);
    CHECK_IS(loop_fd_close(dir->fd), 0);
    AWAIT(loop_fs_load(NULL, dir, "file", 0, &data, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_fs_stat(NULL, narrower, "../x", LOOP_FS_FOLLOW, &(struct loop_fs_status){.mode = 0}, GO));
    CHECK_IS(result, -EXDEV);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_cwd_is_the_current_directory_of_the_moment)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    put("dir/file", "");
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_NONE);
    CHECK_IS(chdir("dir"), 0);
    AWAIT(loop_fs_kind(NULL, env->cwd, "file", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    AWAIT(loop_fs_kind(NULL, env->cwd, "../dir/file", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, -EXDEV);
    AWAIT(loop_fs_kind(NULL, env->fs, "../dir/file", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_REGULAR);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_a_directory_closes_with_its_scope)
{
    static struct loop_scope *scope;
    static struct loop_dir *dir;
    static struct once end;
    static int number;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    loop_scope_hold(scope);
    AWAIT(loop_fs_open_dir(scope, env->fs, "/tmp", &dir, GO));
    CHECK_IS(result, 0);
    CHECK(dir->scope == scope);
    number = loop_fd_peek(dir->fd);
    CHECK(is_open(number));
    loop_scope_unhold(scope);
    WAIT_UNTIL(end.count);
    CHECK(!is_open(number));
    END;
}

/* ---- things change ---- */

LOOP_TEST(fs_a_directory_is_deleted_while_it_is_read)
{
    static const char *directory;
    static struct loop_entries *entries;
    static struct loop_entry *list;
    static char name[32];
    static struct loop_dir *dir;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("dir", 0755), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "dir/%d", i);
        put_bytes(name, "", 0);
    }
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    AWAIT(loop_fs_read_dir(NULL, env->cwd, "dir", LOOP_FS_WITH_STAT, &entries, GO));
    AWAIT(loop_entries_next(entries, GO));
    CHECK(result > 0);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "dir", GO));
    CHECK_IS(result, 0);
    do {
        AWAIT(loop_entries_next(entries, GO));
        CHECK(result >= 0);
    } while (result > 0);
    loop_entries_close(entries);
    AWAIT(loop_fs_list(NULL, dir, ".", LOOP_FS_WITH_STAT, &list, GO));
    CHECK(result == 0 || result == -ENOENT);
    if (result == 0) {
        free(list);
    }
    AWAIT(loop_fs_mkdir(NULL, dir, "new", 0, GO));
    CHECK_IS(result, -ENOENT);
    leave_directory(directory);
    END;
}

/* ---- closing ---- */

static sem_t held, let_go;

static int64_t hold_thread(void *unused)
{
    (void)unused;
    sem_post(&held);
    while (sem_wait(&let_go) < 0) {
    }
    return 0;
}

/* A job that waits for a thread is cancelled at once; a running one is awaited. Either way it ends before the close. */
LOOP_TEST_WITH(p06_fs_a_directory_closes_with_operations_in_flight, .pool_threads = 1)
{
    static struct loop_dir *dir, *other;
    static struct once hold, one, two, three;
    static int number;

    BEGIN;
    AWAIT(loop_fs_open_dir(NULL, env->fs, "/tmp", &dir, GO));
    AWAIT(loop_fs_open_dir(NULL, env->fs, "/tmp", &other, GO));
    sem_init(&held, 0, 0);
    sem_init(&let_go, 0, 0);
    START(loop_work(env->scope, hold_thread, NULL, ONCE(&hold)));
    while (sem_wait(&held) < 0) {
    }
    number = loop_fd_peek(dir->fd);
    START(loop_fs_access(NULL, dir, ".", R_OK, ONCE(&one)));
    START(loop_fs_rename(NULL, other, "no", dir, "no", LOOP_RENAME_REPLACE, ONCE(&two)));
    CHECK_IS(loop_fd_close(dir->fd), 0);
    START(loop_fs_rename(NULL, other, "no", dir, "no", LOOP_RENAME_REPLACE, ONCE(&three)));
    WAIT_UNTIL(one.count && two.count && three.count);
    CHECK_IS(one.result, -ECANCELED);
    CHECK_IS(two.result, -ECANCELED);
    CHECK_IS(three.result, -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!is_open(number));
    sem_post(&let_go);
    WAIT_UNTIL(hold.count);
    sem_destroy(&held);
    sem_destroy(&let_go);
    END;
}

LOOP_TEST(fs_entries_go_with_their_scope)
{
    static struct loop_scope *scope;
    static struct loop_entries *entries;
    static struct once end, next;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&end));
    loop_scope_hold(scope);
    AWAIT(loop_fs_read_dir(scope, env->fs, "/proc", LOOP_FS_WITH_STAT, &entries, GO));
    CHECK_IS(result, 0);
    START(loop_entries_next(entries, ONCE(&next)));
    loop_scope_cancel(scope);
    loop_scope_unhold(scope);
    WAIT_UNTIL(end.count);
    ONCE_IS(next, next.result);
    CHECK_IS(end.result, -ECANCELED);
    END;
}

/* ---- no memory ---- */

#if !HAS_SANITIZER
/* The release hook of the entries frees them at once where there is no memory for it. */
LOOP_TEST(p02_fs_no_memory_at_any_step_of_reading_a_directory)
{
    static struct loop_scope *scope;
    static struct loop_entries *entries;
    static struct once opened, end;
    static bool is_over;
    static int with_stat;
    static unsigned n;

    BEGIN;
    for (with_stat = 0; with_stat < 2; with_stat++) {
        for (n = 1, is_over = false; !is_over; n++) {
            opened = end = (struct once){.count = 0};
            entries = NULL;
            scope = loop_scope_open(env->scope, ONCE(&end));
            CHECK(scope != NULL);
            fail_allocation(n, false);
            if (loop_fs_read_dir(scope, env->fs, "/proc/self", with_stat ? LOOP_FS_WITH_STAT : 0, &entries,
                                 ONCE(&opened))) {
                WAIT_UNTIL(opened.count);
                CHECK((opened.result == 0) == (entries != NULL));
                CHECK(opened.result == 0 || opened.result == -ENOMEM);
            }
            is_over = !allocation_failed();
            WAIT_UNTIL(end.count);
            ONCE_IS(end, 0);
            fail_allocation(0, false); /* what was freed is looked at */
        }
        CHECK(n > 3);
    }
    END;
}

LOOP_TEST(p02_fs_no_memory_for_attributes_loses_no_entry)
{
    static const char *directory;
    static struct loop_entries *entries;
    static struct once next;
    static unsigned n, refused;

    BEGIN;
    directory = enter_directory();
    put("a", "");
    put("b", "");
    put("c", "");
    AWAIT(loop_fs_read_dir(NULL, env->cwd, ".", LOOP_FS_WITH_STAT, &entries, GO));
    CHECK_IS(result, 0);
    for (n = 1; next.result <= 0; n++) {
        next = (struct once){.count = 0};
        fail_allocation(n, false);
        if (loop_entries_next(entries, ONCE(&next))) {
            WAIT_UNTIL(next.count);
            refused += next.result == -ENOMEM;
            CHECK(next.result == 3 || next.result == -ENOMEM);
        }
        fail_allocation(0, false);
    }
    CHECK(refused > 0);
    CHECK_IS(entries->count, 3);
    CHECK(entries->entry[0].stat != NULL && entries->entry[2].stat != NULL);
    AWAIT(loop_entries_next(entries, GO));
    CHECK_IS(result, 0);
    leave_directory(directory);
    END;
}
#endif

/* ---- a directory that may be read but not searched ---- */

static const char *make_unsearchable(void)
{
    const char *path = enter_directory();

    CHECK_IS(mkdir("dir", 0755), 0);
    put("dir/file", "text");
    CHECK_IS(mkdir("dir/sub", 0755), 0);
    CHECK_IS(symlink("file", "dir/link"), 0);
    CHECK_IS(chmod("dir", 0444), 0);
    become_nobody();
    return path;
}

static void drop_unsearchable(const char *path)
{
    become_root();
    CHECK_IS(chmod("dir", 0755), 0);
    leave_directory(path);
}

static const struct {
    const char *name;
    enum loop_kind kind;
} expected[] = {{"file", LOOP_KIND_REGULAR}, {"link", LOOP_KIND_SYMLINK}, {"sub", LOOP_KIND_DIRECTORY}};

static void check_entry(const struct loop_entry *entry)
{
    size_t i = 0;

    while (strcmp(entry->name, expected[i].name) != 0) {
        CHECK(++i < COUNT_OF(expected));
    }
    CHECK_IS(entry->kind, expected[i].kind);
    CHECK(entry->stat == NULL);
}

LOOP_TEST(fs_an_unsearchable_directory_is_read)
{
    static const char *const names[] = {".", "./", ".//.", "././/"};
    static const char *directory;
    static struct loop_dir *dir;
    static struct loop_entries *entries;
    static unsigned i;

    BEGIN;
    directory = make_unsearchable();
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    CHECK_IS(result, 0);
    for (i = 0; i < 2 * COUNT_OF(names); i++) {
        AWAIT(loop_fs_read_dir(NULL, dir, names[i / 2], i % 2 ? LOOP_FS_WITH_STAT : 0, &entries, GO));
        CHECK_IS(result, 0);
        AWAIT(loop_entries_next(entries, GO));
        CHECK_IS(result, COUNT_OF(expected));
        for (size_t at = 0; at < entries->count; at++) {
            check_entry(&entries->entry[at]);
        }
        AWAIT(loop_entries_next(entries, GO));
        CHECK_IS(result, 0);
        loop_entries_close(entries);
    }
    AWAIT(loop_fs_read_dir(NULL, dir, "sub", 0, &entries, GO));
    CHECK_IS(result, -EACCES);
    AWAIT(loop_fs_read_dir(NULL, dir, "sub/..", 0, &entries, GO));
    CHECK_IS(result, -EACCES);
    drop_unsearchable(directory);
    END;
}

LOOP_TEST(fs_an_unsearchable_directory_is_listed)
{
    static const char *directory;
    static struct loop_dir *dir;
    static struct loop_entry *list;
    static int with_stat;

    BEGIN;
    directory = make_unsearchable();
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    CHECK_IS(result, 0);
    for (with_stat = 0; with_stat < 2; with_stat++) {
        AWAIT(loop_fs_list(NULL, dir, ".", with_stat ? LOOP_FS_WITH_STAT : 0, &list, GO));
        CHECK_IS(result, COUNT_OF(expected));
        for (size_t at = 0; at < COUNT_OF(expected); at++) {
            CHECK_TEXT(list[at].name, expected[at].name);
            check_entry(&list[at]);
        }
        free(list);
        AWAIT(loop_fs_list(NULL, env->cwd, "dir", with_stat ? LOOP_FS_WITH_STAT : 0, &list, GO));
        CHECK_IS(result, COUNT_OF(expected));
        free(list);
    }
    drop_unsearchable(directory);
    END;
}

/* Operations on the directory itself, by the path ".". */
LOOP_TEST(fs_an_unsearchable_directory_is_itself)
{
    static const char *directory;
    static struct loop_dir *dir, *again;
    static struct loop_fs_status stat;
    static struct loop_fs_space space;
    static char *real;

    BEGIN;
    directory = make_unsearchable();
    become_root();
    CHECK_IS(chown("dir", 12345, (gid_t)-1), 0);
    become_nobody();
    AWAIT(loop_fs_open_dir(NULL, env->cwd, "dir", &dir, GO));
    AWAIT(loop_fs_open_dir(NULL, dir, ".", &again, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, again, ".", 0, &stat, GO));
    CHECK_IS(result, 0);
    CHECK_IS(stat.mode, 0444);
    AWAIT(loop_fs_kind(NULL, dir, ".", LOOP_FS_FOLLOW, GO));
    CHECK_IS(result, LOOP_KIND_DIRECTORY);
    AWAIT(loop_fs_access(NULL, dir, ".", R_OK, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_access(NULL, dir, ".", X_OK, GO));
    CHECK_IS(result, -EACCES);
    AWAIT(loop_fs_statfs(NULL, dir, ".", &space, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_realpath(NULL, dir, ".", &real, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(real, ".");
    free(real);
    AWAIT(loop_fs_sync(NULL, dir, ".", GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, dir, "file", 0, &stat, GO));
    CHECK_IS(result, -EACCES);
    AWAIT(loop_fs_chmod(NULL, dir, ".", 0, 0755, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, dir, "file", 0, &stat, GO));
    CHECK_IS(result, 0);
    drop_unsearchable(directory);
    END;
}
