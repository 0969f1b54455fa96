/* SPDX-License-Identifier: ISC
 *
 * loop_fs_copy_file of files that change between two of its steps.
 *
 * The library's lseek(2) goes through the function below, which runs another program's action after one that has found
 * no more data.
 */
#include "directory.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void (*after_last_data)(void); /* NULL: nothing */

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
