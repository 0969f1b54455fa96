/* SPDX-License-Identifier: ISC
 *
 * Directories that are read: where there is no memory, and where they may be read but not searched.
 */
#include "directory.h"

#include <stdio.h>
#include <sys/stat.h>

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
            if (loop_fs_read_dir(scope, env->fs, "/proc/self", with_stat, &entries, ONCE(&opened))) {
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
#endif

/* ---- a directory that may be read but not searched ---- */

/* For the rest of the test, but for what has to be done as root: the library's threads change as well. */
static void become_nobody(void)
{
    CHECK(geteuid() != 0 || setresuid(12345, 12345, 0) == 0);
}

static void become_root(void)
{
    CHECK(getuid() != 12345 || setresuid(0, 0, 0) == 0);
}

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
        AWAIT(loop_fs_read_dir(NULL, dir, names[i / 2], i % 2, &entries, GO));
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
    AWAIT(loop_fs_read_dir(NULL, dir, "sub", false, &entries, GO));
    CHECK_IS(result, -EACCES);
    AWAIT(loop_fs_read_dir(NULL, dir, "sub/..", false, &entries, GO));
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
        AWAIT(loop_fs_list(NULL, dir, ".", with_stat, &list, GO));
        CHECK_IS(result, COUNT_OF(expected));
        for (size_t at = 0; at < COUNT_OF(expected); at++) {
            CHECK_TEXT(list[at].name, expected[at].name);
            check_entry(&list[at]);
        }
        free(list);
        AWAIT(loop_fs_list(NULL, env->cwd, "dir", with_stat, &list, GO));
        CHECK_IS(result, COUNT_OF(expected));
        free(list);
    }
    drop_unsearchable(directory);
    END;
}

/* What is asked of it, or done with it, by the path ".". */
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
    AWAIT(loop_fs_stat(NULL, again, ".", false, &stat, GO));
    CHECK_IS(result, 0);
    CHECK_IS(stat.mode, 0444);
    AWAIT(loop_fs_kind(NULL, dir, ".", true, GO));
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
    AWAIT(loop_fs_stat(NULL, dir, "file", false, &stat, GO));
    CHECK_IS(result, -EACCES);
    AWAIT(loop_fs_chmod(NULL, dir, ".", false, 0755, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_fs_stat(NULL, dir, "file", false, &stat, GO));
    CHECK_IS(result, 0);
    drop_unsearchable(directory);
    END;
}

/* As rm -r does: an empty directory takes no permission for itself. */
LOOP_TEST(fs_rmtree_removes_empty_directories_that_it_may_not_enter)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    CHECK_IS(mkdir("tree", 0755), 0);
    CHECK_IS(mkdir("tree/unreadable", 0000), 0);
    CHECK_IS(mkdir("tree/unsearchable", 0444), 0);
    CHECK_IS(mkdir("tree/full", 0755), 0);
    put("tree/full/file", "text");
    CHECK_IS(chmod("tree/full", 0444), 0);
    CHECK(geteuid() != 0 || (chown("tree", 12345, 0) == 0 && chown("tree/unreadable", 12345, 0) == 0 &&
                             chown("tree/unsearchable", 12345, 0) == 0 && chown("tree/full", 12345, 0) == 0));
    become_nobody();
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree/unreadable", GO));
    CHECK_IS(result, 0);
    CHECK_IS(mkdir("tree/unreadable", 0000), 0);
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO));
    CHECK_IS(result, -EACCES);
    CHECK_IS(chmod("tree/full", 0755), 0);
    CHECK(exists("tree/full/file"));
    become_root();
    CHECK_IS(chmod(".", 0777), 0);
    become_nobody();
    AWAIT(loop_fs_rmtree(NULL, env->cwd, "tree", GO));
    CHECK_IS(result, 0);
    CHECK(!exists("tree"));
    become_root();
    leave_directory(directory);
    END;
}
