/* SPDX-License-Identifier: ISC
 *
 * Attributes: status, modes, owners, times, access, extended attributes, file systems.
 */
#include "files.h"

#include <linux/magic.h>

/* ---- status ---- */

TEST(attributes_of_all_calls_are_the_same)
{
    struct ground ground = enter_ground();
    struct stat by_name, by_number;
    struct statx extended;

    put_text(ground.dir, "file", "hello");
    int number = open_in(ground.dir, "file", O_RDONLY);
    by_name = status_of(ground.dir, "file");
    CHECK_IS(loop_kernel_fstat(number, &by_number), 0);
    CHECK_IS(by_name.st_ino, by_number.st_ino);
    CHECK_IS(by_name.st_dev, by_number.st_dev);
    CHECK_IS(by_name.st_size, 5);
    CHECK_IS(by_name.st_blocks, 8);
    CHECK_IS(by_name.st_blksize, 4096);
    CHECK_IS(loop_kernel_statx(ground.dir, "file", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &extended), 0);
    CHECK_IS(extended.stx_mask & (STATX_BASIC_STATS | STATX_BTIME), STATX_BASIC_STATS | STATX_BTIME);
    CHECK_IS(extended.stx_ino, by_name.st_ino);
    CHECK_IS(extended.stx_size, 5);
    CHECK_IS(extended.stx_mode, S_IFREG | 0644);
    CHECK_IS(extended.stx_mtime.tv_sec, by_name.st_mtim.tv_sec);
    CHECK_IS(loop_kernel_statx(number, "", AT_EMPTY_PATH, STATX_SIZE, &extended), 0);
    CHECK_IS(extended.stx_size, 5);
    CHECK_FAILS(loop_kernel_statx(number, "", 0, STATX_SIZE, &extended), ENOENT);
    CHECK_FAILS(loop_kernel_statx(number, "", AT_EMPTY_PATH, 0x80000000u, &extended), EINVAL);
    CHECK_FAILS(loop_kernel_statx(number, "", 0x10, STATX_SIZE, &extended), EINVAL);
    CHECK_FAILS(loop_kernel_fstat(777, &by_number), EBADF);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(attributes_of_a_directory)
{
    struct ground ground = enter_ground();
    struct stat status = status_of(ground.dir, "");

    CHECK_IS(status.st_mode, S_IFDIR | 0700);
    CHECK_IS(status.st_size, 4096);
    CHECK_IS(status.st_nlink, 2);
    CHECK_IS(status.st_blocks, 8);
    leave_ground(&ground);
}

TEST(attributes_of_what_is_no_file)
{
    struct stat status;
    int numbers[2];

    make_pipe(numbers);
    CHECK_IS(loop_kernel_fstat(numbers[0], &status), 0);
    CHECK(S_ISFIFO(status.st_mode));
    CHECK_IS(loop_kernel_fstatat(numbers[1], "", &status, AT_EMPTY_PATH), 0);
    CHECK(S_ISFIFO(status.st_mode));
    close_both(numbers);
}

/* ---- modes and owners ---- */

TEST(attributes_mode_is_set)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "");
    CHECK_IS(loop_kernel_symlinkat("file", ground.dir, "link"), 0);
    int number = open_in(ground.dir, "file", O_RDONLY);
    CHECK_IS(loop_kernel_fchmod(number, 0640), 0);
    CHECK_IS(status_of(number, "").st_mode, S_IFREG | 0640);
    CHECK_IS(loop_kernel_fchmodat2(ground.dir, "link", 0600, 0), 0);
    CHECK_IS(status_of(number, "").st_mode, S_IFREG | 0600);
    CHECK_FAILS(loop_kernel_fchmodat2(ground.dir, "link", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    CHECK_IS(loop_kernel_fchmodat2(number, "", 0644, AT_EMPTY_PATH), 0);
    CHECK_FAILS(loop_kernel_fchmodat2(number, "", 0644, 0x10), EINVAL);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(attributes_owner_is_set_and_takes_bits_away)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "");
    if (loop_kernel_geteuid() == 0) {
        int number = open_in(ground.dir, "file", O_RDONLY);
        CHECK_IS(loop_kernel_fchmod(number, 06755), 0);
        CHECK_IS(loop_kernel_fchown(number, 1234, (gid_t)-1), 0);
        CHECK_IS(status_of(number, "").st_uid, 1234);
        CHECK_IS(status_of(number, "").st_gid, 0);
        CHECK_IS(status_of(number, "").st_mode, S_IFREG | 0755);
        CHECK_IS(loop_kernel_fchownat(ground.dir, "file", (uid_t)-1, 77, 0), 0);
        CHECK_IS(status_of(number, "").st_gid, 77);
        CHECK_FAILS(loop_kernel_fchownat(ground.dir, "file", 0, 0, 0x10), EINVAL);
        loop_kernel_close(number);
    }
    leave_ground(&ground);
}

TEST(attributes_access)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "");
    CHECK_IS(loop_kernel_faccessat(ground.dir, "file", F_OK, 0), 0);
    CHECK_IS(loop_kernel_faccessat(ground.dir, "file", R_OK | W_OK, AT_EACCESS), 0);
    CHECK_FAILS(loop_kernel_faccessat2(ground.dir, "file", X_OK, 0), EACCES);
    CHECK_IS(loop_kernel_faccessat2(ground.dir, ".", X_OK, 0), 0);
    CHECK_FAILS(loop_kernel_faccessat2(ground.dir, "file", 8, 0), EINVAL);
    CHECK_FAILS(loop_kernel_faccessat2(ground.dir, "file", R_OK, 0x10), EINVAL);
    int number = open_in(ground.dir, "file", O_PATH);
    CHECK_IS(loop_kernel_faccessat2(number, "", R_OK, AT_EACCESS | AT_EMPTY_PATH), 0);
    loop_kernel_close(number);
    leave_ground(&ground);
}

/* ---- times ---- */

static bool is_time(struct timespec time, time_t seconds, long ns)
{
    return time.tv_sec == seconds && time.tv_nsec == ns;
}

TEST(attributes_times_are_set)
{
    struct ground ground = enter_ground();
    struct timespec times[2] = {{1000, 1}, {2000, 2}};

    put_text(ground.dir, "file", "");
    CHECK_IS(loop_kernel_symlinkat("file", ground.dir, "link"), 0);
    CHECK_IS(loop_kernel_utimensat(ground.dir, "link", times, 0), 0);
    CHECK(is_time(status_of(ground.dir, "file").st_atim, 1000, 1));
    CHECK(is_time(status_of(ground.dir, "file").st_mtim, 2000, 2));
    CHECK(!is_time(status_of(ground.dir, "link").st_mtim, 2000, 2));
    CHECK_IS(loop_kernel_utimensat(ground.dir, "link", times, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(is_time(status_of(ground.dir, "link").st_mtim, 2000, 2));
    times[0] = (struct timespec){5, UTIME_OMIT};
    times[1] = (struct timespec){3000, 3};
    int number = open_in(ground.dir, "file", O_RDONLY);
    CHECK_IS(loop_kernel_futimens(number, times), 0);
    CHECK(is_time(status_of(number, "").st_atim, 1000, 1));
    CHECK(is_time(status_of(number, "").st_mtim, 3000, 3));
    times[1].tv_nsec = 1000000000;
    CHECK_FAILS(loop_kernel_futimens(number, times), EINVAL);
    CHECK_IS(loop_kernel_futimens(number, NULL), 0);
    CHECK(status_of(number, "").st_mtim.tv_sec > 1000000);
    times[1].tv_nsec = UTIME_OMIT;
    CHECK_IS(loop_kernel_futimens(number, times), 0);
    loop_kernel_close(number);
    number = open_in(ground.dir, "file", O_PATH);
    CHECK_FAILS(loop_kernel_futimens(number, NULL), EBADF);
    CHECK_IS(loop_kernel_utimensat(number, "", NULL, AT_EMPTY_PATH), 0);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(attributes_times_follow_changes)
{
    struct ground ground = enter_ground();
    const struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char byte;

    put_text(ground.dir, "file", "text");
    int number = open_in(ground.dir, "file", O_RDWR);
    CHECK_IS(loop_kernel_futimens(number, past), 0);
    CHECK_IS(loop_kernel_fchmod(number, 0600), 0);
    CHECK_IS(status_of(number, "").st_mtim.tv_sec, 1000);
    CHECK(status_of(number, "").st_ctim.tv_sec > 1000);
    CHECK_IS(loop_kernel_read(number, &byte, 1), 1);
    CHECK(status_of(number, "").st_atim.tv_sec > 1000);
    CHECK_IS(loop_kernel_pwrite(number, "x", 1, 0), 1);
    CHECK(status_of(number, "").st_mtim.tv_sec > 1000);
    CHECK_IS(loop_kernel_futimens(ground.dir, past), 0);
    put_text(ground.dir, "file", "again");
    CHECK_IS(status_of(ground.dir, "").st_mtim.tv_sec, 1000);
    put_text(ground.dir, "new", "");
    CHECK(status_of(ground.dir, "").st_mtim.tv_sec > 1000);
    loop_kernel_close(number);
    leave_ground(&ground);
}

/* ---- extended attributes ---- */

TEST(attributes_extended)
{
    struct ground ground = enter_ground();
    char path[128], value[16] = "";

    put_text(ground.dir, "file", "");
    snprintf(path, sizeof path, "%s/file", ground.path);
    int number = open_in(ground.dir, "file", O_RDWR);
    CHECK_FAILS(loop_kernel_getxattr(path, "user.a", value, sizeof value), ENODATA);
    CHECK_IS(loop_kernel_fsetxattr(number, "user.a", "value", 5, 0), 0);
    CHECK_IS(loop_kernel_getxattr(path, "user.a", NULL, 0), 5);
    CHECK_FAILS(loop_kernel_getxattr(path, "user.a", value, 4), ERANGE);
    CHECK_IS(loop_kernel_getxattr(path, "user.a", value, sizeof value), 5);
    CHECK_TEXT(value, "value");
    CHECK_FAILS(loop_kernel_fgetxattr(number, "user.b", value, sizeof value), ENODATA);
    CHECK_FAILS(loop_kernel_fgetxattr(number, "user.a", value, 4), ERANGE);
    CHECK_IS(loop_kernel_fgetxattr(number, "user.a", NULL, 0), 5);
    CHECK_IS(loop_kernel_fgetxattr(number, "user.a", value, sizeof value), 5);
    CHECK_FAILS(loop_kernel_fgetxattr(-1, "user.a", value, sizeof value), EBADF);
    CHECK_FAILS(loop_kernel_fsetxattr(number, "user.a", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_FAILS(loop_kernel_fsetxattr(number, "user.b", "x", 1, XATTR_REPLACE), ENODATA);
    CHECK_FAILS(loop_kernel_fsetxattr(number, "nonsense", "x", 1, 0), EOPNOTSUPP);
    CHECK_FAILS(loop_kernel_fsetxattr(number, "user.b", "x", 1, 77), EINVAL);
    CHECK_IS(loop_kernel_fsetxattr(number, "user.b", "", 0, 0), 0);
    CHECK_IS(loop_kernel_getxattr(path, "user.b", value, sizeof value), 0);
    CHECK_IS(loop_kernel_fremovexattr(number, "user.a"), 0);
    CHECK_FAILS(loop_kernel_fremovexattr(number, "user.a"), ENODATA);
    loop_kernel_close(number);
    leave_ground(&ground);
}

/* ---- file systems ---- */

TEST(attributes_of_file_systems)
{
    struct ground ground = enter_ground();
    struct statfs status;

    CHECK_IS(loop_kernel_fstatfs(ground.dir, &status), 0);
    CHECK_IS(status.f_bsize, 4096);
    CHECK_IS(status.f_namelen, 255);
    CHECK(status.f_bfree <= status.f_blocks && status.f_blocks > 0);
    CHECK_IS(loop_kernel_statfs("/proc/self", &status), 0);
    CHECK_IS(status.f_type, PROC_SUPER_MAGIC);
    CHECK_FAILS(loop_kernel_statfs("/none", &status), ENOENT);
    CHECK_FAILS(loop_kernel_fstatfs(777, &status), EBADF);
    leave_ground(&ground);
}
