/* SPDX-License-Identifier: ISC
 *
 * rename(2), RENAME_NOREPLACE and RENAME_EXCHANGE.
 */
#include "files.h"

static int rename_in(const struct ground *ground, const char *from, const char *to, unsigned flags)
{
    return loop_kernel_renameat2(ground->dir, from, ground->dir, to, flags);
}

static struct ground enter_tree(void)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "one", "one");
    put_text(ground.dir, "two", "two");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "empty", 0777), 0);
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "full", 0777), 0);
    put_text(ground.dir, "full/inside", "inside");
    CHECK_IS(loop_kernel_symlinkat("one", ground.dir, "link"), 0);
    return ground;
}

TEST(rename_replaces_in_one_step)
{
    struct ground ground = enter_tree();

    int replaced = open_in(ground.dir, "two", O_RDONLY);
    ino_t inode = status_of(ground.dir, "one").st_ino;
    CHECK_IS(rename_in(&ground, "one", "two", 0), 0);
    CHECK(!exists(ground.dir, "one"));
    CHECK_IS(status_of(ground.dir, "two").st_ino, inode);
    check_text(ground.dir, "two", "one");
    check_content(replaced, "two");
    CHECK_IS(status_of(replaced, "").st_nlink, 0);
    loop_kernel_close(replaced);
    CHECK_IS(rename_in(&ground, "two", "full/two", 0), 0);
    check_text(ground.dir, "full/two", "one");
    leave_ground(&ground);
}

TEST(rename_moves_directories)
{
    struct ground ground = enter_tree();

    CHECK_IS(rename_in(&ground, "full", "empty", 0), 0);
    check_text(ground.dir, "empty/inside", "inside");
    CHECK_IS(status_of(ground.dir, "").st_nlink, 3);
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "other", 0777), 0);
    CHECK_IS(rename_in(&ground, "empty/", "other/moved/", 0), 0);
    CHECK_IS(status_of(ground.dir, "").st_nlink, 3);
    CHECK_IS(status_of(ground.dir, "other").st_nlink, 3);
    CHECK_IS(status_of(ground.dir, "other/moved/..").st_ino, status_of(ground.dir, "other").st_ino);
    leave_ground(&ground);
}

TEST(rename_of_two_names_of_one_file_does_nothing)
{
    struct ground ground = enter_tree();

    CHECK_IS(loop_kernel_linkat(ground.dir, "one", ground.dir, "second", 0), 0);
    CHECK_IS(rename_in(&ground, "one", "second", 0), 0);
    CHECK_IS(status_of(ground.dir, "one").st_nlink, 2);
    CHECK_IS(rename_in(&ground, "one", "one", 0), 0);
    leave_ground(&ground);
}

TEST(rename_exchange_swaps)
{
    struct ground ground = enter_tree();

    CHECK_IS(rename_in(&ground, "one", "full", RENAME_EXCHANGE), 0);
    check_text(ground.dir, "full", "one");
    check_text(ground.dir, "one/inside", "inside");
    CHECK_IS(rename_in(&ground, "one/inside", "two", RENAME_EXCHANGE), 0);
    check_text(ground.dir, "two", "inside");
    check_text(ground.dir, "one/inside", "two");
    CHECK_IS(rename_in(&ground, "one", "empty", RENAME_EXCHANGE), 0);
    check_text(ground.dir, "empty/inside", "two");
    CHECK_IS(status_of(ground.dir, "").st_nlink, 4);
    leave_ground(&ground);
}

TEST(rename_without_replacing)
{
    struct ground ground = enter_tree();

    CHECK_FAILS(rename_in(&ground, "one", "two", RENAME_NOREPLACE), EEXIST);
    CHECK_FAILS(rename_in(&ground, "one", "one", RENAME_NOREPLACE), EEXIST);
    CHECK_IS(rename_in(&ground, "one", "three", RENAME_NOREPLACE), 0);
    check_text(ground.dir, "three", "one");
    leave_ground(&ground);
}

static const struct {
    const char *from, *to;
    unsigned flags;
    int error;
} refused[] = {
    {"none", "new", 0, ENOENT},
    {"one", "none/new", 0, ENOENT},
    {"", "new", 0, ENOENT},
    {"one", "", 0, ENOENT},
    {"one", "empty", 0, EISDIR},
    {"empty", "one", 0, ENOTDIR},
    {"empty", "full", 0, ENOTEMPTY},
    {"one/", "new", 0, ENOTDIR},
    {"one", "new/", 0, ENOTDIR},
    {"one", "two/new", 0, ENOTDIR},
    {"full", "full/new", 0, EINVAL},
    {"full/inside", "full", 0, ENOTEMPTY},
    {".", "new", 0, EBUSY},
    {"full/..", "new", 0, EBUSY},
    {"one", ".", 0, EBUSY},
    {"one", ".", RENAME_NOREPLACE, EEXIST},
    {"one", "/dev/shm/noria-new", 0, EXDEV},
    {"one", "new", RENAME_EXCHANGE, ENOENT},
    {"none", "one", RENAME_EXCHANGE, ENOENT},
    {"full", "full/inside", RENAME_EXCHANGE, EINVAL},
    {"full/inside", "full", RENAME_EXCHANGE, EINVAL},
    {"one/", "two", RENAME_EXCHANGE, ENOTDIR},
    {"one", "two/", RENAME_EXCHANGE, ENOTDIR},
    {"one", "two", RENAME_EXCHANGE | RENAME_NOREPLACE, EINVAL},
    {"one", "two", 0x40, EINVAL},
    {"link/", "new", 0, ENOTDIR},
};

TEST_ROWS(rename_refuses, COUNT_OF(refused), row)
{
    struct ground ground = enter_tree();

    CHECK_FAILS(rename_in(&ground, refused[row].from, refused[row].to, refused[row].flags), refused[row].error);
    check_text(ground.dir, "one", "one");
    check_text(ground.dir, "full/inside", "inside");
    leave_ground(&ground);
}

TEST(rename_does_not_follow_links)
{
    struct ground ground = enter_tree();

    CHECK_IS(rename_in(&ground, "link", "moved", 0), 0);
    CHECK(S_ISLNK(status_of(ground.dir, "moved").st_mode));
    CHECK_IS(rename_in(&ground, "two", "moved", 0), 0);
    CHECK(S_ISREG(status_of(ground.dir, "moved").st_mode));
    check_text(ground.dir, "one", "one");
    leave_ground(&ground);
}

TEST(rename_changes_times_of_what_it_touches)
{
    struct ground ground = enter_tree();
    const struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    CHECK_IS(loop_kernel_utimensat(ground.dir, "full", past, 0), 0);
    CHECK_IS(loop_kernel_futimens(ground.dir, past), 0);
    CHECK_IS(loop_kernel_utimensat(ground.dir, "one", past, 0), 0);
    CHECK_IS(rename_in(&ground, "one", "full/one", 0), 0);
    CHECK(status_of(ground.dir, "full").st_mtim.tv_sec > 1000);
    CHECK(status_of(ground.dir, "").st_mtim.tv_sec > 1000);
    CHECK_IS(status_of(ground.dir, "full/one").st_mtim.tv_sec, 1000);
    CHECK(status_of(ground.dir, "full/one").st_ctim.tv_sec > 1000);
    leave_ground(&ground);
}
