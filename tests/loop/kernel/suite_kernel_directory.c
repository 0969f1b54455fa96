/* SPDX-License-Identifier: ISC
 *
 * Directories: making, listing and removing names.
 */
#include "files.h"

#include <dirent.h>

/* ---- listing ---- */

/* Names that have been read, sorted, each with a space behind it. */
struct names {
    char text[4096];
    unsigned count;
};

static void add_name(struct names *names, const char *name)
{
    char rest[4096] = "";
    size_t len = strlen(name), at = 0;

    while (names->text[at] && strncmp(names->text + at, name, len) < 0) {
        at += strcspn(names->text + at, " ") + 1;
    }
    strcpy(rest, names->text + at);
    snprintf(names->text + at, sizeof names->text - at, "%s %s", name, rest);
    names->count++;
}

/* Reads entries once. Returns what getdents64 has. */
static ssize_t list_once(int dir, size_t room, struct names *names)
{
    _Alignas(struct dirent64) char buffer[4096];
    ssize_t len = loop_kernel_getdents64(dir, buffer, room);

    for (ssize_t at = 0; at < len;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
        add_name(names, entry->d_name);
        at += entry->d_reclen;
    }
    return len;
}

static struct names list_all(int dir, size_t room)
{
    struct names names = {.count = 0};
    ssize_t len;

    CHECK_IS(loop_kernel_lseek(dir, 0, SEEK_SET), 0);
    while ((len = list_once(dir, room, &names)) > 0) {
    }
    CHECK_IS(len, 0);
    return names;
}

TEST(directory_lists_each_entry_once)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_IS(loop_kernel_symlinkat("x", ground.dir, "link"), 0);
    CHECK_TEXT(list_all(ground.dir, 4096).text, ". .. dir file link ");
    CHECK_TEXT(list_all(ground.dir, 32).text, ". .. dir file link ");
    CHECK_FAILS(loop_kernel_getdents64((loop_kernel_lseek(ground.dir, 0, SEEK_SET), ground.dir), &ground, 8), EINVAL);
    leave_ground(&ground);
}

TEST(directory_entries_tell_kind_and_inode)
{
    struct ground ground = enter_ground();
    _Alignas(struct dirent64) char buffer[4096];
    unsigned seen = 0;

    put_text(ground.dir, "file", "");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_IS(loop_kernel_symlinkat("x", ground.dir, "link"), 0);
    ssize_t len = loop_kernel_getdents64(ground.dir, buffer, sizeof buffer);
    for (ssize_t at = 0; at < len;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
        if (strcmp(entry->d_name, "..") != 0) {
            struct stat status = status_of(ground.dir, entry->d_name);
            CHECK_IS(entry->d_ino, status.st_ino);
            CHECK_IS(entry->d_type, IFTODT(status.st_mode));
        }
        seen++;
        at += entry->d_reclen;
    }
    CHECK_IS(seen, 5);
    leave_ground(&ground);
}

TEST(directory_is_listed_while_entries_come_and_go)
{
    struct ground ground = enter_ground();
    struct names names = {.count = 0};
    char name[24];

    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "stays%02d", i);
        put_text(ground.dir, name, "");
        snprintf(name, sizeof name, "goes%02d", i);
        put_text(ground.dir, name, "");
    }
    for (int i = 0; list_once(ground.dir, 120, &names) > 0; i++) {
        if (i < 40) {
            snprintf(name, sizeof name, "goes%02d", i);
            CHECK_IS(loop_kernel_unlinkat(ground.dir, name, 0), 0);
        }
    }
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "stays%02d ", i);
        const char *found = strstr(names.text, name);
        CHECK(found && !strstr(found + 1, name));
    }
    leave_ground(&ground);
}

TEST(directory_position_is_kept_and_set)
{
    struct ground ground = enter_ground();
    _Alignas(struct dirent64) char buffer[4096] = {0}, again[4096] = {0}; /* the kernel leaves gaps as they are */
    const struct dirent64 *entry = (const struct dirent64 *)(const void *)buffer;

    for (char name[] = "a"; *name <= 'h'; ++*name) {
        put_text(ground.dir, name, "");
    }
    CHECK(loop_kernel_getdents64(ground.dir, again, 64) > 0);
    off_t position = loop_kernel_lseek(ground.dir, 0, SEEK_CUR);
    CHECK(position > 0);
    ssize_t len = loop_kernel_getdents64(ground.dir, buffer, sizeof buffer);
    CHECK(len > 0);
    CHECK_IS(loop_kernel_getdents64(ground.dir, again, sizeof again), 0);
    CHECK_IS(loop_kernel_lseek(ground.dir, position, SEEK_SET), position);
    memset(again, 0, sizeof again);
    CHECK_IS(loop_kernel_getdents64(ground.dir, again, sizeof again), len);
    CHECK_IS(memcmp(buffer, again, (size_t)len), 0);
    CHECK_IS(loop_kernel_lseek(ground.dir, entry->d_off, SEEK_SET), entry->d_off);
    CHECK_IS(loop_kernel_getdents64(ground.dir, again, sizeof again), len - entry->d_reclen);
    CHECK_FAILS(loop_kernel_lseek(ground.dir, -1, SEEK_SET), EINVAL);
    leave_ground(&ground);
}

TEST(directory_is_no_file_and_the_other_way_round)
{
    struct ground ground = enter_ground();
    char bytes[64];

    put_text(ground.dir, "file", "");
    int number = open_in(ground.dir, "file", O_RDONLY);
    CHECK_FAILS(loop_kernel_getdents64(number, bytes, sizeof bytes), ENOTDIR);
    CHECK_FAILS(loop_kernel_read(ground.dir, bytes, sizeof bytes), EISDIR);
    CHECK_FAILS(loop_kernel_pread(ground.dir, bytes, sizeof bytes, 0), EISDIR);
    CHECK_FAILS(loop_kernel_write(ground.dir, bytes, 1), EBADF);
    CHECK_FAILS(loop_kernel_openat(number, "x", O_RDONLY, 0), ENOTDIR);
    loop_kernel_close(number);
    leave_ground(&ground);
}

/* ---- making ---- */

TEST(directory_make_and_remove)
{
    struct ground ground = enter_ground();

    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir/", 01777), 0);
    CHECK_IS(status_of(ground.dir, "dir").st_mode, S_IFDIR | 01755);
    CHECK_IS(status_of(ground.dir, "dir").st_nlink, 2);
    CHECK_IS(status_of(ground.dir, "").st_nlink, 3);
    CHECK_FAILS(loop_kernel_mkdirat(ground.dir, "dir", 0777), EEXIST);
    CHECK_FAILS(loop_kernel_mkdirat(ground.dir, ".", 0777), EEXIST);
    CHECK_FAILS(loop_kernel_mkdirat(ground.dir, "none/dir", 0777), ENOENT);
    CHECK_FAILS(loop_kernel_mkdirat(ground.dir, "", 0777), ENOENT);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir", 0), EISDIR);
    put_text(ground.dir, "dir/file", "");
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir", AT_REMOVEDIR), ENOTEMPTY);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir/.", AT_REMOVEDIR), EINVAL);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir/..", AT_REMOVEDIR), ENOTEMPTY);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "/", AT_REMOVEDIR), EBUSY);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir/file", AT_REMOVEDIR), ENOTDIR);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir/file/", 0), ENOTDIR);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir/none", 0), ENOENT);
    CHECK_FAILS(loop_kernel_unlinkat(ground.dir, "dir", 77), EINVAL);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "dir/file", 0), 0);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "dir/", AT_REMOVEDIR), 0);
    CHECK_IS(status_of(ground.dir, "").st_nlink, 2);
    leave_ground(&ground);
}

TEST(directory_that_is_removed_takes_no_names)
{
    struct ground ground = enter_ground();
    char bytes[256];

    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    int dir = open_in(ground.dir, "dir", O_RDONLY | O_DIRECTORY);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "dir", AT_REMOVEDIR), 0);
    CHECK_IS(status_of(dir, "").st_nlink, 0);
    CHECK_FAILS(loop_kernel_openat(dir, "new", O_RDWR | O_CREAT, 0666), ENOENT);
    CHECK_FAILS(loop_kernel_mkdirat(dir, "new", 0777), ENOENT);
    CHECK_FAILS(loop_kernel_getdents64(dir, bytes, sizeof bytes), ENOENT);
    CHECK_IS(status_of(dir, "..").st_ino, status_of(ground.dir, "").st_ino);
    loop_kernel_close(dir);
    leave_ground(&ground);
}

TEST(directory_second_names)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "text");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_IS(loop_kernel_symlinkat("file", ground.dir, "link"), 0);
    CHECK_IS(loop_kernel_linkat(ground.dir, "file", ground.dir, "dir/second", 0), 0);
    CHECK_IS(status_of(ground.dir, "file").st_nlink, 2);
    CHECK_IS(status_of(ground.dir, "dir/second").st_ino, status_of(ground.dir, "file").st_ino);
    CHECK_FAILS(loop_kernel_linkat(ground.dir, "file", ground.dir, "dir/second", 0), EEXIST);
    CHECK_FAILS(loop_kernel_linkat(ground.dir, "dir", ground.dir, "other", 0), EPERM);
    CHECK_FAILS(loop_kernel_linkat(ground.dir, "none", ground.dir, "other", 0), ENOENT);
    CHECK_FAILS(loop_kernel_linkat(ground.dir, "file", ground.dir, "other/", 0), ENOENT);
    CHECK_FAILS(loop_kernel_linkat(ground.dir, "file", AT_FDCWD, "/dev/shm/noria-other", 0), EXDEV);
    CHECK_FAILS(loop_kernel_linkat(ground.dir, "file", ground.dir, "other", 77), EINVAL);
    CHECK_IS(loop_kernel_linkat(ground.dir, "link", ground.dir, "of link", 0), 0);
    CHECK(S_ISLNK(status_of(ground.dir, "of link").st_mode));
    CHECK_IS(loop_kernel_linkat(ground.dir, "link", ground.dir, "of file", AT_SYMLINK_FOLLOW), 0);
    CHECK_IS(status_of(ground.dir, "of file").st_nlink, 3);
    int number = open_in(ground.dir, "file", O_PATH);
    CHECK_IS(loop_kernel_linkat(number, "", ground.dir, "of number", AT_EMPTY_PATH), 0);
    loop_kernel_close(number);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "file", 0), 0);
    check_text(ground.dir, "dir/second", "text");
    leave_ground(&ground);
}

TEST(directory_links_have_a_text)
{
    struct ground ground = enter_ground();
    char text[64];

    CHECK_IS(loop_kernel_symlinkat("some/where", ground.dir, "link"), 0);
    CHECK_IS(status_of(ground.dir, "link").st_mode, S_IFLNK | 0777);
    CHECK_IS(status_of(ground.dir, "link").st_size, 10);
    CHECK_IS(loop_kernel_readlinkat(ground.dir, "link", text, sizeof text), 10);
    CHECK_IS(memcmp(text, "some/where", 10), 0);
    CHECK_FAILS(loop_kernel_symlinkat("x", ground.dir, "link"), EEXIST);
    CHECK_FAILS(loop_kernel_symlinkat("", ground.dir, "other"), ENOENT);
    CHECK_FAILS(loop_kernel_symlinkat("x", ground.dir, "other/"), ENOENT);
    put_text(ground.dir, "file", "");
    CHECK_FAILS(loop_kernel_readlinkat(ground.dir, "file", text, sizeof text), EINVAL);
    CHECK_FAILS(loop_kernel_readlinkat(ground.dir, "link", text, 0), EINVAL);
    int number = open_in(ground.dir, "link", O_PATH | O_NOFOLLOW);
    CHECK_IS(loop_kernel_readlinkat(number, "", text, sizeof text), 10);
    loop_kernel_close(number);
    number = open_in(ground.dir, "file", O_PATH);
    CHECK_FAILS(loop_kernel_readlinkat(number, "", text, sizeof text), ENOENT);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(directory_current_has_a_path)
{
    char path[4096];
    struct stat here;

    CHECK(loop_kernel_getcwd(path, sizeof path) == path);
    CHECK_IS(path[0], '/');
    CHECK_IS(loop_kernel_lstat(path, &here), 0);
    CHECK_IS(here.st_ino, status_of(AT_FDCWD, "").st_ino);
    CHECK(!loop_kernel_getcwd(path, 1));
    CHECK_IS(errno, ERANGE);
}
