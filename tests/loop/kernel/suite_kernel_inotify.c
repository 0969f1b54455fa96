/* SPDX-License-Identifier: ISC
 *
 * inotify: which events come, and in which order.
 */
#include "files.h"

static const struct {
    uint32_t bit;
    const char *name;
} bits[] = {{IN_ACCESS, "access"},       {IN_MODIFY, "modify"},        {IN_ATTRIB, "attrib"},
            {IN_CLOSE_WRITE, "written"}, {IN_CLOSE_NOWRITE, "closed"}, {IN_OPEN, "open"},
            {IN_MOVED_FROM, "from"},     {IN_MOVED_TO, "to"},          {IN_CREATE, "create"},
            {IN_DELETE, "delete"},       {IN_DELETE_SELF, "gone"},     {IN_MOVE_SELF, "moved"},
            {IN_IGNORED, "ignored"},     {IN_Q_OVERFLOW, "overflow"},  {IN_ISDIR, "dir"}};

/* Watches by number: "1:create file; 2:attrib; ". */
static const char *events(int inotify)
{
    static char text[4096];
    _Alignas(struct inotify_event) char buffer[8192];
    size_t used = 0;

    ssize_t len = loop_kernel_read(inotify, buffer, sizeof buffer);
    text[0] = '\0';
    for (ssize_t at = 0; at < len;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);
        used += (size_t)snprintf(text + used, sizeof text - used, "%d:", event->wd);
        for (size_t i = 0; i < COUNT_OF(bits); i++) {
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%s", event->mask & bits[i].bit ? bits[i].name : "",
                                 event->mask & bits[i].bit && bits[i].bit != IN_ISDIR ? " " : "");
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s; ", event->mask & IN_ISDIR ? " " : "",
                                 event->len ? event->name : "");
        at += (ssize_t)(sizeof *event + event->len);
    }
    return text;
}

static int watch(int inotify, const struct ground *ground, const char *name, uint32_t mask)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", ground->path, name);
    return loop_kernel_inotify_add_watch(inotify, path, mask);
}

/* What the library watches for. */
#define USUAL                                                                                                          \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF)

TEST(inotify_tells_of_a_file_in_a_directory)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char byte;

    CHECK_IS(watch(inotify, &ground, "", IN_ALL_EVENTS), 1);
    CHECK_TEXT(events(inotify), "");
    int number = open_in(ground.dir, "file", O_RDWR | O_CREAT);
    CHECK_TEXT(events(inotify), "1:create file; 1:open file; ");
    CHECK_IS(loop_kernel_write(number, "abc", 3), 3);
    CHECK_IS(loop_kernel_write(number, "", 0), 0);
    CHECK_TEXT(events(inotify), "1:modify file; ");
    CHECK_IS(loop_kernel_pread(number, &byte, 1, 0), 1);
    CHECK_IS(loop_kernel_pread(number, &byte, 1, 100), 0);
    CHECK_TEXT(events(inotify), "1:access file; ");
    CHECK_IS(loop_kernel_ftruncate(number, 1), 0);
    CHECK_IS(loop_kernel_fallocate(number, 0, 0, 100), 0);
    CHECK_TEXT(events(inotify), "1:modify file; ");
    CHECK_IS(loop_kernel_fchmod(number, 0600), 0);
    CHECK_IS(loop_kernel_fsetxattr(number, "user.a", "b", 1, 0), 0);
    CHECK_IS(loop_kernel_futimens(number, NULL), 0);
    CHECK_TEXT(events(inotify), "1:attrib file; ");
    loop_kernel_close(number);
    CHECK_TEXT(events(inotify), "1:written file; ");
    number = open_in(ground.dir, "file", O_RDONLY);
    loop_kernel_close(number);
    CHECK_TEXT(events(inotify), "1:open file; 1:closed file; ");
    loop_kernel_close(open_in(ground.dir, "file", O_PATH));
    CHECK_TEXT(events(inotify), "");
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_tells_the_directory_before_the_file)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    put_text(ground.dir, "file", "text");
    CHECK_IS(watch(inotify, &ground, "", IN_ALL_EVENTS & ~IN_OPEN), 1);
    CHECK_IS(watch(inotify, &ground, "file", IN_ALL_EVENTS & ~IN_OPEN), 2);
    int number = open_in(ground.dir, "file", O_RDWR | O_TRUNC);
    CHECK_TEXT(events(inotify), "1:modify file; 2:modify ; ");
    CHECK_IS(loop_kernel_linkat(ground.dir, "file", ground.dir, "second", 0), 0);
    CHECK_TEXT(events(inotify), "2:attrib ; 1:create second; ");
    CHECK_IS(loop_kernel_renameat(ground.dir, "second", ground.dir, "file"), 0);
    CHECK_TEXT(events(inotify), "");
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "second", 0), 0);
    CHECK_TEXT(events(inotify), "2:attrib ; 1:delete second; ");
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "file", 0), 0);
    CHECK_TEXT(events(inotify), "2:attrib ; 1:delete file; ");
    loop_kernel_close(number);
    CHECK_TEXT(events(inotify), "1:written file; 2:written ; 2:gone ; 2:ignored ; ");
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_tells_that_an_inode_is_gone)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    put_text(ground.dir, "file", "");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_IS(watch(inotify, &ground, "", USUAL), 1);
    CHECK_IS(watch(inotify, &ground, "file", USUAL), 2);
    CHECK_IS(watch(inotify, &ground, "dir", USUAL), 3);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "file", 0), 0);
    CHECK_TEXT(events(inotify), "2:attrib ; 2:gone ; 2:ignored ; 1:delete file; ");
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "dir", AT_REMOVEDIR), 0);
    CHECK_TEXT(events(inotify), "3:gone ; 3:ignored ; 1:delete dir dir; ");
    CHECK_FAILS(loop_kernel_inotify_rm_watch(inotify, 2), EINVAL);
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_tells_of_renames)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    put_text(ground.dir, "one", "");
    put_text(ground.dir, "two", "");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_IS(watch(inotify, &ground, "", IN_ALL_EVENTS), 1);
    CHECK_IS(watch(inotify, &ground, "dir", IN_ALL_EVENTS), 2);
    CHECK_IS(watch(inotify, &ground, "one", IN_ALL_EVENTS), 3);
    CHECK_IS(watch(inotify, &ground, "two", IN_ALL_EVENTS), 4);
    CHECK_IS(loop_kernel_renameat(ground.dir, "one", ground.dir, "dir/one"), 0);
    CHECK_TEXT(events(inotify), "1:from one; 2:to one; 3:moved ; ");
    CHECK_IS(loop_kernel_renameat(ground.dir, "dir/one", ground.dir, "two"), 0);
    CHECK_TEXT(events(inotify), "2:from one; 1:to two; 4:attrib ; 3:moved ; 4:gone ; 4:ignored ; ");
    CHECK_IS(loop_kernel_renameat2(ground.dir, "two", ground.dir, "dir", RENAME_EXCHANGE), 0);
    CHECK_TEXT(events(inotify), "1:from two; 1:to dir; 3:moved ; 1:from dir dir; 1:to dir two; 2:moved ; ");
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_cookies_pair_renames)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    _Alignas(struct inotify_event) char moved[2][32];
    const struct inotify_event *from = (const struct inotify_event *)(const void *)moved[0];
    const struct inotify_event *to = (const struct inotify_event *)(const void *)moved[1];

    put_text(ground.dir, "one", "");
    CHECK_IS(watch(inotify, &ground, "", USUAL), 1);
    CHECK_IS(loop_kernel_renameat(ground.dir, "one", ground.dir, "two"), 0);
    CHECK_IS(loop_kernel_read(inotify, moved, sizeof moved), sizeof moved);
    CHECK(from->cookie != 0);
    CHECK_IS(from->cookie, to->cookie);
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_tells_of_a_file_that_was_unlinked)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    put_text(ground.dir, "file", "");
    int number = open_in(ground.dir, "file", O_RDWR);
    CHECK_IS(watch(inotify, &ground, "", USUAL), 1);
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "file", 0), 0);
    CHECK_IS(loop_kernel_write(number, "x", 1), 1);
    CHECK_TEXT(events(inotify), "1:delete file; 1:modify file; ");
    CHECK_IS(watch(inotify, &ground, "", USUAL | IN_EXCL_UNLINK), 1);
    CHECK_IS(loop_kernel_write(number, "x", 1), 1);
    CHECK_TEXT(events(inotify), "");
    loop_kernel_close(number);
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_tells_of_directories_and_listing)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char bytes[1024];

    CHECK_IS(watch(inotify, &ground, "", IN_ALL_EVENTS), 1);
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_TEXT(events(inotify), "1:create dir dir; ");
    int dir = open_in(ground.dir, "dir", O_RDONLY | O_DIRECTORY);
    CHECK(loop_kernel_getdents64(dir, bytes, sizeof bytes) > 0);
    loop_kernel_close(dir);
    CHECK_TEXT(events(inotify), "1:open dir dir; 1:access dir dir; 1:closed dir dir; ");
    CHECK_IS(loop_kernel_symlinkat("x", ground.dir, "link"), 0);
    CHECK_TEXT(events(inotify), "1:create link; ");
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_watches_are_one_for_each_inode)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    put_text(ground.dir, "file", "");
    CHECK_IS(loop_kernel_linkat(ground.dir, "file", ground.dir, "second", 0), 0);
    CHECK_IS(loop_kernel_symlinkat("file", ground.dir, "link"), 0);
    CHECK_IS(watch(inotify, &ground, "file", IN_ATTRIB), 1);
    CHECK_IS(watch(inotify, &ground, "second", IN_MODIFY | IN_MASK_ADD), 1);
    CHECK_IS(watch(inotify, &ground, "link", IN_ATTRIB | IN_MASK_ADD), 1);
    CHECK_FAILS(watch(inotify, &ground, "file", IN_ATTRIB | IN_MASK_CREATE), EEXIST);
    CHECK_IS(watch(inotify, &ground, "link", IN_ATTRIB | IN_DONT_FOLLOW), 2);
    CHECK_FAILS(watch(inotify, &ground, "file", IN_ATTRIB | IN_ONLYDIR), ENOTDIR);
    CHECK_FAILS(watch(inotify, &ground, "none", IN_ATTRIB), ENOENT);
    CHECK_FAILS(watch(inotify, &ground, "file", 0), EINVAL);
    CHECK_FAILS(watch(ground.dir, &ground, "file", IN_ATTRIB), EINVAL);
    CHECK_FAILS(watch(777, &ground, "file", IN_ATTRIB), EBADF);
    CHECK_IS(loop_kernel_inotify_rm_watch(inotify, 1), 0);
    CHECK_TEXT(events(inotify), "1:ignored ; ");
    CHECK_IS(watch(inotify, &ground, "file", IN_ATTRIB | IN_ONESHOT), 3);
    CHECK_IS(loop_kernel_utimensat(ground.dir, "file", NULL, 0), 0);
    CHECK_IS(loop_kernel_utimensat(ground.dir, "file", NULL, 0), 0);
    CHECK_TEXT(events(inotify), "3:attrib ; 3:ignored ; ");
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

TEST(inotify_is_read_in_whole_events)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC), queued = 0;
    char bytes[64];

    CHECK_FAILS(loop_kernel_read(inotify, bytes, sizeof bytes), EAGAIN);
    CHECK_IS(poll_now(inotify, POLLIN), 0);
    CHECK_IS(watch(inotify, &ground, "", IN_CREATE), 1);
    put_text(ground.dir, "a", "");
    put_text(ground.dir, "a name of 17 char", "");
    CHECK_IS(poll_now(inotify, POLLIN), POLLIN);
    CHECK_IS(loop_kernel_ioctl(inotify, FIONREAD, &queued), 0);
    CHECK_IS(queued, 32 + 48);
    CHECK_FAILS(loop_kernel_read(inotify, bytes, 31), EINVAL);
    CHECK_IS(loop_kernel_read(inotify, bytes, 64), 32);
    CHECK_IS(loop_kernel_read(inotify, bytes, 64), 48);
    CHECK_FAILS(loop_kernel_read(inotify, bytes, sizeof bytes), EAGAIN);
    CHECK_FAILS(loop_kernel_inotify_init1(77), EINVAL);
    loop_kernel_close(inotify);
    leave_ground(&ground);
}

/* Returns the watches that /proc tells of, by number: "2 1 ". */
static const char *living(int inotify)
{
    static const char begin[] = "inotify wd:";
    static char living[64];
    char path[64], text[4096] = "";
    size_t used = 0;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", inotify);
    int number = open_in(AT_FDCWD, path, O_RDONLY);
    CHECK_IS(status_of(number, "").st_size, 0);
    CHECK(S_ISREG(status_of(number, "").st_mode));
    CHECK(loop_kernel_read(number, text, sizeof text - 1) > 0);
    CHECK(strstr(text, "pos:\t0\nflags:\t0") == text);
    loop_kernel_close(number);
    living[0] = '\0';
    for (const char *at = text; (at = strstr(at, begin)); at++) {
        used += (size_t)snprintf(living + used, sizeof living - used, "%lx ", strtoul(at + strlen(begin), NULL, 16));
    }
    return living;
}

TEST(inotify_has_its_watches_in_proc)
{
    struct ground ground = enter_ground();
    int inotify = loop_kernel_inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char path[64];

    CHECK_TEXT(living(inotify), "");
    put_text(ground.dir, "a", "");
    put_text(ground.dir, "b", "");
    CHECK_IS(watch(inotify, &ground, "", IN_CREATE), 1);
    CHECK_IS(watch(inotify, &ground, "a", IN_MODIFY), 2);
    CHECK_IS(watch(inotify, &ground, "b", IN_MODIFY), 3);
    CHECK_TEXT(living(inotify), "3 2 1 ");
    CHECK_IS(loop_kernel_unlinkat(ground.dir, "a", 0), 0);
    CHECK_TEXT(living(inotify), "3 1 ");
    CHECK_IS(loop_kernel_inotify_rm_watch(inotify, 1), 0);
    CHECK_TEXT(living(inotify), "3 ");
    loop_kernel_close(inotify);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", inotify);
    CHECK_FAILS(loop_kernel_openat(AT_FDCWD, path, O_RDONLY, 0), ENOENT);
    leave_ground(&ground);
}
