/* SPDX-License-Identifier: ISC
 *
 * Copies of files, and removals of trees, that another program changes between two steps.
 *
 * The library's lseek(2) and unlinkat(2) go through the functions below, which run the other program's action.
 */
#include "directory.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void (*after_last_data)(void); /* after an lseek that has found no more data; NULL: nothing */
static void (*before_unlink)(void);   /* before the first unlinkat in a directory below the top; NULL: nothing */

off_t lseek(int fd, off_t offset, int whence)
{
    off_t result = syscall(SYS_lseek, fd, offset, whence);
    void (*act)(void) = after_last_data;

    if (result < 0 && whence == SEEK_DATA && act) {
        after_last_data = NULL;
        act();
        errno = ENXIO;
    }
    return result;
}

int unlinkat(int dir, const char *path, int flags)
{
    void (*act)(void) = before_unlink;

    if (act && strcmp(path, "inner") == 0) {
        before_unlink = NULL;
        act();
    }
    return (int)syscall(SYS_unlinkat, dir, path, flags);
}

/* ---- copies ---- */

static char text[5000];

static void append(void)
{
    int fd = open("from", O_WRONLY | O_APPEND | O_CLOEXEC);

    CHECK(fd >= 0);
    memset(text, 'x', sizeof text);
    CHECK_IS(write(fd, text, sizeof text), sizeof text);
    close(fd);
}

static void cut(void)
{
    CHECK_IS(truncate("from", 10), 0);
}

/* Returns how many of the bytes are `byte`. */
static size_t count_bytes(const char *data, size_t len, char byte)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        n += data[i] == byte;
    }
    return n;
}

LOOP_TEST(fs_copy_file_takes_no_appended_bytes_for_a_hole)
{
    static const char *directory;
    static void *data;
    static const off_t holes[] = {0, 1, 4096, 1 << 20};
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    for (i = 0; i < COUNT_OF(holes); i++) {
        put("from", "");
        CHECK_IS(truncate("from", holes[i]), 0);
        after_last_data = append;
        AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", NULL, GO));
        CHECK(!after_last_data);
        CHECK(result == holes[i] || result == holes[i] + (int64_t)sizeof text);
        AWAIT(loop_fs_load(NULL, env->cwd, "to", 0, &data, GO));
        CHECK(data != NULL);
        CHECK_IS(count_bytes(data, (size_t)result, '\0'), holes[i]);
        CHECK_IS(count_bytes(data, (size_t)result, 'x'), result - holes[i]);
        free(data);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_copy_file_of_a_hole_that_is_cut_meanwhile)
{
    static const char *directory;

    BEGIN;
    directory = enter_directory();
    put("from", "");
    CHECK_IS(truncate("from", 1 << 20), 0);
    after_last_data = cut;
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", NULL, GO));
    CHECK(!after_last_data);
    CHECK_IS(result, 10);
    CHECK_IS(size_of("to"), 10);
    leave_directory(directory);
    END;
}

/* ---- removals ---- */

static void remove_sub(void)
{
    CHECK_IS(unlink("top/sub/inner"), 0);
    CHECK_IS(rmdir("top/sub"), 0);
}

static void remove_top(void)
{
    remove_sub();
    (void)unlink("top/outer"); /* unless the library was faster */
    CHECK_IS(rmdir("top"), 0);
}

LOOP_TEST(fs_rmtree_of_a_directory_that_another_removes_meanwhile)
{
    static const char *directory;
    static void (*const acts[])(void) = {remove_sub, remove_top};
    static unsigned i;

    BEGIN;
    directory = enter_directory();
    for (i = 0; i < COUNT_OF(acts); i++) {
        CHECK_IS(mkdir("top", 0755), 0);
        CHECK_IS(mkdir("top/sub", 0755), 0);
        put("top/sub/inner", "text");
        put("top/outer", "text");
        before_unlink = acts[i];
        AWAIT(loop_fs_rmtree(NULL, env->cwd, "top", GO));
        CHECK(!before_unlink);
        CHECK_IS(result, 0);
        CHECK(!exists("top"));
    }
    leave_directory(directory);
    END;
}
