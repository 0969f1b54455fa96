/* SPDX-License-Identifier: ISC
 *
 * Regular files and devices: opening, reading, writing, sizes and holes.
 */
#include "files.h"

#include <linux/falloc.h>

/* ---- opening ---- */

TEST(file_open_creates_truncates_and_refuses)
{
    struct ground ground = enter_ground();

    CHECK_FAILS(loop_kernel_openat(ground.dir, "a", O_RDWR, 0), ENOENT);
    int number = loop_kernel_openat(ground.dir, "a", O_RDWR | O_CREAT | O_EXCL, 0666);
    CHECK(number >= 0);
    CHECK_IS(status_of(ground.dir, "a").st_mode, S_IFREG | 0644);
    CHECK_IS(loop_kernel_write(number, "hello", 5), 5);
    CHECK_FAILS(loop_kernel_openat(ground.dir, "a", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    int second = loop_kernel_openat(ground.dir, "a", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    CHECK(second > number);
    CHECK_IS(status_of(ground.dir, "a").st_size, 0);
    CHECK_FAILS(loop_kernel_read(second, &second, 1), EBADF);
    loop_kernel_close(second);
    second = open_in(ground.dir, "a", O_RDONLY);
    CHECK_FAILS(loop_kernel_write(second, "x", 1), EBADF);
    loop_kernel_close(second);
    loop_kernel_close(number);
    leave_ground(&ground);
}

static const struct {
    const char *path;
    int flags, error;
} refused[] = {
    {"", O_RDONLY, ENOENT},
    {"file/", O_RDONLY, ENOTDIR},
    {"file/x", O_RDONLY, ENOTDIR},
    {"file", O_RDONLY | O_DIRECTORY, ENOTDIR},
    {"new/", O_RDWR | O_CREAT, EISDIR},
    {"file/", O_RDWR | O_CREAT, EISDIR},
    {"nowhere/", O_RDWR | O_CREAT, EISDIR},
    {".", O_RDWR | O_CREAT, EISDIR},
    {".", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"dir/..", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"dir/", O_RDWR | O_CREAT | O_EXCL, EISDIR},
    {"dir", O_RDWR, EISDIR},
    {"dir", O_RDONLY | O_TRUNC, EISDIR},
    {"dir", O_RDONLY | O_CREAT, EISDIR},
    {"link", O_RDONLY | O_NOFOLLOW, ELOOP},
    {"link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, ENOTDIR},
    {"link", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"nowhere", O_RDONLY, ENOENT},
    {"nowhere", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"none/x", O_RDWR | O_CREAT, ENOENT},
    {".", O_TMPFILE | O_RDONLY, EINVAL},
    {"file", O_TMPFILE | O_RDWR, ENOTDIR},
    {"dir", O_RDONLY | O_DIRECT, EINVAL},
};

TEST_ROWS(file_open_refuses, COUNT_OF(refused), row)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "text");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_IS(loop_kernel_symlinkat("file", ground.dir, "link"), 0);
    CHECK_IS(loop_kernel_symlinkat("missing", ground.dir, "nowhere"), 0);
    CHECK_FAILS(loop_kernel_openat(ground.dir, refused[row].path, refused[row].flags, 0666), refused[row].error);
    leave_ground(&ground);
}

TEST(file_open_creates_where_a_link_leads)
{
    struct ground ground = enter_ground();

    CHECK_IS(loop_kernel_symlinkat("made", ground.dir, "link"), 0);
    loop_kernel_close(open_in(ground.dir, "link", O_RDWR | O_CREAT));
    CHECK_IS(status_of(ground.dir, "made").st_size, 0);
    leave_ground(&ground);
}

TEST(file_open_by_path_gives_no_access_but_a_name)
{
    struct ground ground = enter_ground();
    struct stat status;
    char byte, path[64];

    put_text(ground.dir, "file", "text");
    CHECK_IS(loop_kernel_symlinkat("file", ground.dir, "link"), 0);
    int number = open_in(ground.dir, "file", O_PATH);
    CHECK_FAILS(loop_kernel_read(number, &byte, 1), EBADF);
    CHECK_FAILS(loop_kernel_fsync(number), EBADF);
    CHECK_FAILS(loop_kernel_fchmod(number, 0600), EBADF);
    CHECK_FAILS(loop_kernel_ftruncate(number, 0), EBADF);
    CHECK_FAILS(loop_kernel_getdents64(number, path, sizeof path), EBADF);
    CHECK_IS(loop_kernel_fstat(number, &status), 0);
    CHECK_IS(status.st_size, 4);
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    int second = loop_kernel_open(path, O_RDWR, 0);
    CHECK(second >= 0);
    check_content(second, "text");
    loop_kernel_close(second);
    loop_kernel_close(number);
    number = open_in(ground.dir, "link", O_PATH | O_NOFOLLOW);
    CHECK_IS(loop_kernel_fstat(number, &status), 0);
    CHECK(S_ISLNK(status.st_mode));
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_number_of_proc_tells_the_path)
{
    struct ground ground = enter_ground();
    char path[64], text[256], expected[128];

    int number = open_in(ground.dir, "a", O_RDWR | O_CREAT);
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    ssize_t len = loop_kernel_readlinkat(AT_FDCWD, path, text, sizeof text);
    snprintf(expected, sizeof expected, "%s/a", ground.path);
    CHECK(len > 0 && (size_t)len == strlen(expected) && memcmp(text, expected, (size_t)len) == 0);
    CHECK_IS(loop_kernel_renameat(ground.dir, "a", ground.dir, "b"), 0);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "b", 0), 0);
    len = loop_kernel_readlinkat(AT_FDCWD, path, text, sizeof text);
    snprintf(expected, sizeof expected, "%s/b (deleted)", ground.path);
    CHECK(len > 0 && (size_t)len == strlen(expected) && memcmp(text, expected, (size_t)len) == 0);
    CHECK_IS(loop_kernel_readlinkat(AT_FDCWD, path, text, 4), 4);
    loop_kernel_close(number);
    CHECK_FAILS(loop_kernel_readlinkat(AT_FDCWD, path, text, sizeof text), ENOENT);
    leave_ground(&ground);
}

TEST(file_of_proc_has_a_text_but_no_size)
{
    char text[4096] = "";

    int number = open_in(AT_FDCWD, "/proc/self/status", O_RDONLY);
    CHECK_IS(status_of(number, "").st_size, 0);
    CHECK(loop_kernel_read(number, text, sizeof text - 1) > 0);
    CHECK(strstr(text, "\nThreads:\t1\n") != NULL);
    CHECK_IS(loop_kernel_read(number, text, sizeof text), 0);
    loop_kernel_close(number);
    number = open_in(AT_FDCWD, "/proc/self/limits", O_RDONLY);
    CHECK(loop_kernel_read(number, text, sizeof text - 1) > 0);
    CHECK(strstr(text, "\nMax open files  ") != NULL);
    loop_kernel_close(number);
    struct stat here = status_of(AT_FDCWD, "/proc/self/cwd/."), root = status_of(AT_FDCWD, "/proc/self/root/.");
    CHECK_IS(here.st_ino, status_of(AT_FDCWD, "").st_ino);
    CHECK_IS(root.st_ino, status_of(AT_FDCWD, "/").st_ino);
    CHECK_IS(loop_kernel_readlinkat(AT_FDCWD, "/proc/self/root", text, sizeof text), 1);
}

/* ---- files without a name ---- */

TEST(file_without_a_name_may_get_one)
{
    struct ground ground = enter_ground();
    char path[64];

    int number = open_in(ground.dir, ".", O_TMPFILE | O_RDWR);
    CHECK_IS(status_of(number, "").st_nlink, 0);
    CHECK_IS(loop_kernel_write(number, "text", 4), 4);
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    CHECK_IS(loop_kernel_linkat(AT_FDCWD, path, ground.dir, "named", AT_SYMLINK_FOLLOW), 0);
    CHECK_FAILS(loop_kernel_linkat(AT_FDCWD, path, ground.dir, "named", AT_SYMLINK_FOLLOW), EEXIST);
    CHECK_IS(status_of(number, "").st_nlink, 1);
    check_text(ground.dir, "named", "text");
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "named", 0), 0);
    CHECK_FAILS(loop_kernel_linkat(AT_FDCWD, path, ground.dir, "named", AT_SYMLINK_FOLLOW), ENOENT);
    loop_kernel_close(number);
    number = open_in(ground.dir, ".", O_TMPFILE | O_RDWR | O_EXCL);
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    CHECK_FAILS(loop_kernel_linkat(AT_FDCWD, path, ground.dir, "named", AT_SYMLINK_FOLLOW), ENOENT);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_lives_on_while_it_is_open)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "text");
    int number = open_in(ground.dir, "file", O_RDWR);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "file", 0), 0);
    CHECK_IS(status_of(number, "").st_nlink, 0);
    check_content(number, "text");
    CHECK_IS(loop_kernel_pwrite(number, "more", 4, 4), 4);
    check_content(number, "textmore");
    CHECK(!exists(ground.dir, "file"));
    loop_kernel_close(number);
    leave_ground(&ground);
}

/* ---- reading and writing ---- */

TEST(file_position_moves_with_reads_and_writes)
{
    struct ground ground = enter_ground();
    char bytes[8] = "";

    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT);
    CHECK_IS(loop_kernel_write(number, "abcdef", 6), 6);
    CHECK_IS(loop_kernel_read(number, bytes, 8), 0);
    CHECK_IS(loop_kernel_lseek(number, 2, SEEK_SET), 2);
    CHECK_IS(loop_kernel_read(number, bytes, 3), 3);
    CHECK_IS(memcmp(bytes, "cde", 3), 0);
    CHECK_IS(loop_kernel_pread(number, bytes, 8, 4), 2);
    CHECK_IS(loop_kernel_pwrite(number, "X", 1, 0), 1);
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_CUR), 5);
    CHECK_IS(loop_kernel_lseek(number, -2, SEEK_END), 4);
    CHECK_FAILS(loop_kernel_lseek(number, -7, SEEK_END), EINVAL);
    CHECK_FAILS(loop_kernel_lseek(number, 0, 77), EINVAL);
    CHECK_FAILS(loop_kernel_pread(number, bytes, 1, -1), EINVAL);
    check_content(number, "Xbcdef");
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_appends_wherever_it_is)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "abc");
    int number = open_in(ground.dir, "file", O_RDWR | O_APPEND);
    CHECK_IS(loop_kernel_write(number, "d", 1), 1);
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_CUR), 4);
    CHECK_IS(loop_kernel_pwrite(number, "e", 1, 0), 1);
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_CUR), 4);
    check_content(number, "abcde");
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_is_longer_behind_its_end)
{
    struct ground ground = enter_ground();
    char bytes[16];

    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT);
    CHECK_IS(loop_kernel_pwrite(number, "end", 3, 1000000), 3);
    CHECK_IS(status_of(number, "").st_size, 1000003);
    CHECK(status_of(number, "").st_blocks < 64);
    CHECK_IS(loop_kernel_pread(number, bytes, 8, 500000), 8);
    CHECK_IS(memcmp(bytes, "\0\0\0\0\0\0\0\0", 8), 0);
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_DATA), 1000000 / 4096 * 4096);
    CHECK_IS(loop_kernel_lseek(number, 1000001, SEEK_DATA), 1000001);
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_HOLE), 0);
    CHECK_IS(loop_kernel_lseek(number, 1000000, SEEK_HOLE), 1000003);
    CHECK_FAILS(loop_kernel_lseek(number, 1000003, SEEK_DATA), ENXIO);
    CHECK_FAILS(loop_kernel_lseek(number, 1000003, SEEK_HOLE), ENXIO);
    CHECK_FAILS(loop_kernel_lseek(number, -1, SEEK_DATA), ENXIO);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_vectors_are_one_move)
{
    struct ground ground = enter_ground();
    char first[] = "abc", second[] = "defg", one[3] = "", other[4] = "";
    struct iovec from[2] = {{first, 3}, {second, 4}}, to[2] = {{one, 2}, {other, 3}};

    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT);
    CHECK_IS(loop_kernel_writev(number, from, 2), 7);
    CHECK_IS(loop_kernel_preadv(number, to, 2, 1), 5);
    CHECK_TEXT(one, "bc");
    CHECK_TEXT(other, "def");
    CHECK_IS(loop_kernel_pwritev2(number, from, 1, 0, RWF_APPEND), 3);
    check_content(number, "abcdefgabc");
    CHECK_FAILS(loop_kernel_pwritev2(number, from, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
    CHECK_IS(loop_kernel_pwritev2(number, from, 1, 0, RWF_DSYNC), 3);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_direct_moves_whole_sectors)
{
    struct ground ground = enter_ground();
    char *bytes = loop_kernel_aligned_alloc(4096, 8192);

    memset(bytes, 'x', 8192);
    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT | O_DIRECT);
    CHECK_IS(loop_kernel_pwrite(number, bytes, 4096, 0), 4096);
    CHECK_FAILS(loop_kernel_pwrite(number, bytes, 100, 0), EINVAL);
    CHECK_FAILS(loop_kernel_pwrite(number, bytes, 512, 1), EINVAL);
    CHECK_FAILS(loop_kernel_pread(number, bytes, 100, 0), EINVAL);
    CHECK_IS(loop_kernel_ftruncate(number, 1000), 0);
    CHECK_IS(loop_kernel_pread(number, bytes, 4096, 0), 1000);
    loop_kernel_close(number);
    loop_kernel_free(bytes);
    leave_ground(&ground);
}

/* ---- sizes ---- */

TEST(file_moves_beyond_the_largest_offset_are_refused)
{
    struct ground ground = enter_ground();
    char bytes[2] = {0};

    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT);
    CHECK_FAILS(loop_kernel_pwrite(number, bytes, 1, INT64_MAX - 1), EFBIG);
    CHECK_FAILS(loop_kernel_pwrite(number, bytes, 2, INT64_MAX - 1), EINVAL);
    CHECK_IS(loop_kernel_pread(number, bytes, 1, INT64_MAX - 1), 0);
    CHECK_FAILS(loop_kernel_pread(number, bytes, 2, INT64_MAX - 1), EINVAL);
    CHECK_FAILS(loop_kernel_pread(ground.dir, bytes, 2, INT64_MAX - 1), EINVAL);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_truncate_cuts_and_lengthens)
{
    struct ground ground = enter_ground();
    char bytes[8];

    put_text(ground.dir, "file", "abcdef");
    int number = open_in(ground.dir, "file", O_RDWR);
    CHECK_IS(loop_kernel_ftruncate(number, 3), 0);
    CHECK_IS(loop_kernel_ftruncate(number, 6), 0);
    CHECK_IS(loop_kernel_pread(number, bytes, 8, 0), 6);
    CHECK_IS(memcmp(bytes, "abc\0\0\0", 6), 0);
    CHECK_FAILS(loop_kernel_ftruncate(number, -1), EINVAL);
    CHECK_FAILS(loop_kernel_ftruncate(number, INT64_MAX), EFBIG);
    CHECK_FAILS(loop_kernel_pwrite(number, "x", 1, INT64_MAX - 1), EFBIG);
    CHECK_FAILS(loop_kernel_ftruncate(ground.dir, 1), EINVAL);
    loop_kernel_close(number);
    number = open_in(ground.dir, "file", O_RDONLY);
    CHECK_FAILS(loop_kernel_ftruncate(number, 1), EINVAL);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_ends_at_the_limit_of_the_process)
{
    struct ground ground = enter_ground();
    const struct rlimit limit = {10, 10};

    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_IS(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_IS(loop_kernel_write(number, "01234567", 8), 8);
    CHECK_IS(loop_kernel_write(number, "01234567", 8), 2);
    CHECK_FAILS(loop_kernel_write(number, "x", 1), EFBIG);
    CHECK_FAILS(loop_kernel_ftruncate(number, 11), EFBIG);
    CHECK_FAILS(loop_kernel_fallocate(number, 0, 0, 11), EFBIG);
    CHECK_IS(loop_kernel_fallocate(number, FALLOC_FL_KEEP_SIZE, 0, 11), 0);
    CHECK_IS(loop_kernel_ftruncate(number, 9), 0);
    CHECK_IS(loop_kernel_ftruncate(number, 10), 0);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_allocate_takes_room_and_makes_holes)
{
    struct ground ground = enter_ground();
    char bytes[16384];

    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT);
    CHECK_IS(loop_kernel_fallocate(number, FALLOC_FL_KEEP_SIZE, 0, 16384), 0);
    CHECK_IS(status_of(number, "").st_size, 0);
    CHECK_IS(status_of(number, "").st_blocks, 32);
    CHECK_IS(loop_kernel_fallocate(number, 0, 0, 16384), 0);
    CHECK_IS(status_of(number, "").st_size, 16384);
    memset(bytes, 'x', sizeof bytes);
    CHECK_IS(loop_kernel_pwrite(number, bytes, 16384, 0), 16384);
    CHECK_IS(loop_kernel_fallocate(number, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 9000), 0);
    CHECK_IS(status_of(number, "").st_blocks, 24);
    CHECK_IS(loop_kernel_pread(number, bytes, 16384, 0), 16384);
    CHECK(bytes[99] == 'x' && bytes[100] == '\0' && bytes[9099] == '\0' && bytes[9100] == 'x');
    CHECK_IS(loop_kernel_lseek(number, 0, SEEK_HOLE), 4096);
    CHECK_IS(loop_kernel_lseek(number, 4096, SEEK_DATA), 8192);
    CHECK_FAILS(loop_kernel_fallocate(number, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
    CHECK_FAILS(loop_kernel_fallocate(number, 0, 0, 0), EINVAL);
    CHECK_FAILS(loop_kernel_fallocate(number, 0, -1, 1), EINVAL);
    CHECK_FAILS(loop_kernel_fallocate(number, 0, INT64_MAX - 10, 5), EFBIG);
    loop_kernel_close(number);
    number = open_in(ground.dir, "file", O_RDONLY);
    CHECK_FAILS(loop_kernel_fallocate(number, 0, 0, 1), EBADF);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_copy_range_copies)
{
    struct ground ground = enter_ground();
    off64_t from_offset = 2, to_offset = 1;
    int numbers[2];

    put_text(ground.dir, "from", "abcdef");
    put_text(ground.dir, "to", "0123");
    int from = open_in(ground.dir, "from", O_RDONLY), to = open_in(ground.dir, "to", O_RDWR);
    CHECK_IS(loop_kernel_copy_file_range(from, &from_offset, to, &to_offset, 2, 0), 2);
    CHECK_IS(from_offset, 4);
    CHECK_IS(to_offset, 3);
    check_content(to, "0cd3");
    CHECK_IS(loop_kernel_copy_file_range(from, NULL, to, NULL, 100, 0), 6);
    CHECK_IS(loop_kernel_copy_file_range(from, NULL, to, NULL, 100, 0), 0);
    check_content(to, "abcdef");
    CHECK_FAILS(loop_kernel_copy_file_range(to, NULL, from, NULL, 1, 0), EBADF);
    CHECK_FAILS(loop_kernel_copy_file_range(from, NULL, ground.dir, NULL, 1, 0), EISDIR);
    from_offset = 0;
    to_offset = 1;
    CHECK_FAILS(loop_kernel_copy_file_range(to, &from_offset, to, &to_offset, 2, 0), EINVAL);
    make_pipe(numbers);
    CHECK_FAILS(loop_kernel_copy_file_range(from, NULL, numbers[1], NULL, 1, 0), EINVAL);
    close_both(numbers);
    loop_kernel_close(from);
    loop_kernel_close(to);
    leave_ground(&ground);
}

/* ---- syncing, locks ---- */

TEST(file_sync_of_what_can_be_synced)
{
    struct ground ground = enter_ground();
    int numbers[2];

    put_text(ground.dir, "file", "text");
    int number = open_in(ground.dir, "file", O_RDONLY);
    CHECK_IS(loop_kernel_fsync(number), 0);
    CHECK_IS(loop_kernel_fdatasync(number), 0);
    CHECK_IS(loop_kernel_fsync(ground.dir), 0);
    make_pipe(numbers);
    CHECK_FAILS(loop_kernel_fsync(numbers[0]), EINVAL);
    CHECK_FAILS(loop_kernel_fsync(777), EBADF);
    close_both(numbers);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(file_locks_exclude_each_other)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "text");
    int one = open_in(ground.dir, "file", O_RDONLY), other = open_in(ground.dir, "file", O_RDWR);
    CHECK_IS(loop_kernel_flock(one, LOCK_SH), 0);
    CHECK_IS(loop_kernel_flock(other, LOCK_SH | LOCK_NB), 0);
    CHECK_FAILS(loop_kernel_flock(one, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_IS(loop_kernel_flock(other, LOCK_UN), 0);
    CHECK_IS(loop_kernel_flock(one, LOCK_EX | LOCK_NB), 0);
    CHECK_FAILS(loop_kernel_flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    int copy = loop_kernel_dup(one, 0);
    loop_kernel_close(one);
    CHECK_FAILS(loop_kernel_flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    loop_kernel_close(copy);
    CHECK_IS(loop_kernel_flock(other, LOCK_EX | LOCK_NB), 0);
    CHECK_FAILS(loop_kernel_flock(other, 77), EINVAL);
    loop_kernel_close(other);
    leave_ground(&ground);
}

/* ---- devices ---- */

TEST(file_devices_answer)
{
    char bytes[16] = "0123456789abcde";

    int null = open_in(AT_FDCWD, "/dev/null", O_RDWR), zero = open_in(AT_FDCWD, "/dev/zero", O_RDWR);
    int full = open_in(AT_FDCWD, "/dev/full", O_RDWR), random = open_in(AT_FDCWD, "/dev/urandom", O_RDONLY);
    CHECK_IS(loop_kernel_write(null, bytes, 16), 16);
    CHECK_IS(loop_kernel_read(null, bytes, 16), 0);
    CHECK_IS(loop_kernel_pread(zero, bytes, 8, 100), 8);
    CHECK_IS(memcmp(bytes,
                    "\0\0\0\0\0\0\0\0"
                    "89abcde",
                    16),
             0);
    CHECK_FAILS(loop_kernel_write(full, bytes, 1), ENOSPC);
    CHECK_IS(loop_kernel_read(random, bytes, 16), 16);
    CHECK(S_ISCHR(status_of(null, "").st_mode));
    CHECK_FAILS(loop_kernel_fsync(null), EINVAL);
    CHECK_FAILS(loop_kernel_openat(AT_FDCWD, "/dev/null", O_RDONLY | O_DIRECTORY, 0), ENOTDIR);
    loop_kernel_close(null);
    loop_kernel_close(zero);
    loop_kernel_close(full);
    loop_kernel_close(random);
}

TEST(file_is_always_ready)
{
    struct ground ground = enter_ground();
    struct epoll_event event = {.events = EPOLLIN};

    put_text(ground.dir, "file", "");
    int number = open_in(ground.dir, "file", O_RDWR), set = loop_kernel_epoll_create1(EPOLL_CLOEXEC);
    CHECK_IS(poll_now(number, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_FAILS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, number, &event), EPERM);
    CHECK_FAILS(loop_kernel_epoll_ctl(set, EPOLL_CTL_ADD, ground.dir, &event), EPERM);
    loop_kernel_close(set);
    loop_kernel_close(number);
    leave_ground(&ground);
}
