/* SPDX-License-Identifier: ISC
 *
 * Path resolution: links, "..", limits, and the flags of openat2(2).
 */
#include "files.h"

/* A tree: file, dir/file, dir/sub/, and links. */
static struct ground enter_tree(void)
{
    struct ground ground = enter_ground();

    put_text(ground.dir, "file", "outer");
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir", 0777), 0);
    CHECK_IS(loop_kernel_mkdirat(ground.dir, "dir/sub", 0777), 0);
    put_text(ground.dir, "dir/file", "inner");
    CHECK_IS(loop_kernel_symlinkat("file", ground.dir, "link"), 0);
    CHECK_IS(loop_kernel_symlinkat("dir", ground.dir, "dirlink"), 0);
    CHECK_IS(loop_kernel_symlinkat("../file", ground.dir, "dir/out"), 0);
    CHECK_IS(loop_kernel_symlinkat("/", ground.dir, "dir/root"), 0);
    CHECK_IS(loop_kernel_symlinkat("/file", ground.dir, "dir/rooted"), 0);
    CHECK_IS(loop_kernel_symlinkat("circle", ground.dir, "circle"), 0);
    CHECK_IS(loop_kernel_symlinkat("missing", ground.dir, "nowhere"), 0);
    return ground;
}

/* ---- plain paths ---- */

static const struct {
    const char *path, *text;
} found[] = {
    {"file", "outer"},
    {"./file", "outer"},
    {"dir/file", "inner"},
    {"dir//file", "inner"},
    {"dir/./sub/../file", "inner"},
    {"dir/../file", "outer"},
    {"link", "outer"},
    {"dirlink/file", "inner"},
    {"dirlink/../file", "outer"},
    {"dir/out", "outer"},
    {"dirlink/sub/../out", "outer"},
};

TEST_ROWS(resolve_finds, COUNT_OF(found), row)
{
    struct ground ground = enter_tree();

    check_text(ground.dir, found[row].path, found[row].text);
    leave_ground(&ground);
}

static const struct {
    const char *path;
    int error;
} lost[] = {
    {"", ENOENT},         {"none", ENOENT},       {"none/file", ENOENT}, {"dir/none/..", ENOENT},
    {"file/..", ENOTDIR}, {"file/.", ENOTDIR},    {"link/", ENOTDIR},    {"link/file", ENOTDIR},
    {"circle", ELOOP},    {"circle/file", ELOOP}, {"nowhere", ENOENT},   {"nowhere/", ENOENT},
};

TEST_ROWS(resolve_loses, COUNT_OF(lost), row)
{
    struct ground ground = enter_tree();
    struct stat status;

    CHECK_FAILS(loop_kernel_openat(ground.dir, lost[row].path, O_RDONLY, 0), lost[row].error);
    CHECK_FAILS(loop_kernel_fstatat(ground.dir, lost[row].path, &status, 0), lost[row].error);
    CHECK_FAILS(loop_kernel_faccessat(ground.dir, lost[row].path, F_OK, 0), lost[row].error);
    leave_ground(&ground);
}

TEST(resolve_has_limits)
{
    struct ground ground = enter_ground();
    char name[300], path[4200];

    memset(name, 'n', sizeof name);
    name[256] = '\0';
    CHECK_FAILS(loop_kernel_openat(ground.dir, name, O_RDONLY, 0), ENAMETOOLONG);
    CHECK_FAILS(loop_kernel_openat(ground.dir, name, O_RDWR | O_CREAT, 0666), ENAMETOOLONG);
    name[255] = '\0';
    CHECK_FAILS(loop_kernel_openat(ground.dir, name, O_RDONLY, 0), ENOENT);
    loop_kernel_close(open_in(ground.dir, name, O_RDWR | O_CREAT));
    for (size_t i = 0; i < 4096; i++) {
        path[i] = i % 2 ? '/' : '.';
    }
    path[4096] = '\0';
    CHECK_FAILS(loop_kernel_openat(ground.dir, path, O_RDONLY, 0), ENAMETOOLONG);
    path[4095] = '\0';
    loop_kernel_close(open_in(ground.dir, path, O_RDONLY));
    leave_ground(&ground);
}

TEST(resolve_follows_forty_links)
{
    struct ground ground = enter_ground();
    char name[16], target[16] = "file";

    put_text(ground.dir, "file", "text");
    for (int i = 1; i <= 41; i++) {
        snprintf(name, sizeof name, "link%d", i);
        CHECK_IS(loop_kernel_symlinkat(target, ground.dir, name), 0);
        memcpy(target, name, sizeof target);
    }
    check_text(ground.dir, "link40", "text");
    CHECK_FAILS(loop_kernel_openat(ground.dir, "link41", O_RDONLY, 0), ELOOP);
    leave_ground(&ground);
}

TEST(resolve_needs_a_good_directory)
{
    struct ground ground = enter_tree();
    struct stat status;

    int number = open_in(ground.dir, "file", O_RDONLY);
    CHECK_FAILS(loop_kernel_openat(number, "x", O_RDONLY, 0), ENOTDIR);
    CHECK_FAILS(loop_kernel_openat(777, "x", O_RDONLY, 0), EBADF);
    CHECK_FAILS(loop_kernel_fstatat(777, "", &status, AT_EMPTY_PATH), EBADF);
    CHECK_FAILS(loop_kernel_fstatat(number, "", &status, 0), ENOENT);
    CHECK_IS(loop_kernel_fstatat(number, "", &status, AT_EMPTY_PATH), 0);
    int root = loop_kernel_openat(777, "/", O_RDONLY, 0);
    CHECK(root >= 0);
    CHECK_IS(status_of(root, "..").st_ino, status_of(root, "").st_ino);
    loop_kernel_close(root);
    loop_kernel_close(number);
    leave_ground(&ground);
}

/* ---- openat2 ---- */

static const struct {
    const char *path;
    unsigned flags;
    uint64_t resolve;
    int error; /* 0: it is opened */
} confined[] = {
    {"file", O_RDONLY, RESOLVE_BENEATH, 0},
    {"sub/../file", O_RDONLY, RESOLVE_BENEATH, 0},
    {"sub/../../file", O_RDONLY, RESOLVE_BENEATH, EXDEV},
    {"..", O_RDONLY, RESOLVE_BENEATH, EXDEV},
    {"out", O_RDONLY, RESOLVE_BENEATH, EXDEV},
    {"root", O_RDONLY, RESOLVE_BENEATH, EXDEV},
    {"/", O_RDONLY, RESOLVE_BENEATH, EXDEV},
    {"out", O_PATH | O_NOFOLLOW, RESOLVE_BENEATH, 0},
    {"new", O_RDWR | O_CREAT, RESOLVE_BENEATH, 0},
    {"../new", O_RDWR | O_CREAT, RESOLVE_BENEATH, EXDEV},
    {"file", O_RDONLY, RESOLVE_IN_ROOT, 0},
    {"/file", O_RDONLY, RESOLVE_IN_ROOT, 0},
    {"../../file", O_RDONLY, RESOLVE_IN_ROOT, 0},
    {"rooted", O_RDONLY, RESOLVE_IN_ROOT, 0},
    {"root/sub", O_RDONLY, RESOLVE_IN_ROOT, 0},
    {"out", O_RDONLY, RESOLVE_IN_ROOT, 0},
    {"out", O_RDONLY, RESOLVE_NO_SYMLINKS, ELOOP},
    {"root/etc", O_RDONLY, RESOLVE_NO_SYMLINKS, ELOOP},
    {"out", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS, 0},
    {"out", O_RDONLY, RESOLVE_NO_MAGICLINKS, 0},
    {"/proc/self/fd/0", O_RDONLY, RESOLVE_NO_MAGICLINKS, ELOOP},
    {"/proc/self/fd/0", O_PATH | O_NOFOLLOW, RESOLVE_NO_MAGICLINKS, 0},
    {"/proc/self/fd/0", O_RDONLY, RESOLVE_NO_SYMLINKS, ELOOP},
    {"/dev/null", O_RDONLY, RESOLVE_NO_XDEV, EXDEV},
    {"../file", O_RDONLY, RESOLVE_NO_XDEV, 0},
    {"file", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT, EINVAL},
    {"file", O_RDONLY, 0x4000, EINVAL},
    {"new", O_RDWR | O_CREAT, RESOLVE_CACHED, EAGAIN},
    {"file", O_RDWR | O_TRUNC, RESOLVE_CACHED, EAGAIN},
    {"file", O_PATH | O_RDWR, 0, EINVAL},
    {"sub", O_DIRECTORY | O_CREAT, 0, EINVAL},
};

TEST_ROWS(resolve_is_confined, COUNT_OF(confined), row)
{
    struct ground ground = enter_tree();
    int dir = open_in(ground.dir, "dir", O_PATH | O_DIRECTORY);
    struct open_how how = {.flags = confined[row].flags | O_CLOEXEC, .resolve = confined[row].resolve};

    how.mode = confined[row].flags & O_CREAT ? 0644 : 0;
    if (confined[row].error) {
        CHECK_FAILS(loop_kernel_openat2(dir, confined[row].path, &how), confined[row].error);
    } else {
        int number = loop_kernel_openat2(dir, confined[row].path, &how);
        if (number < 0) {
            ck_abort_msg("%s: %s", confined[row].path, strerror(errno));
        }
        loop_kernel_close(number);
    }
    loop_kernel_close(dir);
    leave_ground(&ground);
}

TEST(resolve_in_root_stays_in_the_directory)
{
    struct ground ground = enter_tree();
    int dir = open_in(ground.dir, "dir", O_PATH | O_DIRECTORY);

    for (size_t i = 0; i < 2; i++) {
        int number =
            loop_kernel_openat2(dir, i ? "rooted" : "../../../file", &(struct open_how){.resolve = RESOLVE_IN_ROOT});
        CHECK(number >= 0);
        check_content(number, "inner");
        loop_kernel_close(number);
    }
    loop_kernel_close(dir);
    leave_ground(&ground);
}

TEST(resolve_checks_modes_only_in_openat2)
{
    struct ground ground = enter_tree();

    CHECK_FAILS(loop_kernel_openat2(ground.dir, "file", &(struct open_how){.mode = 0644}), EINVAL);
    CHECK_FAILS(loop_kernel_openat2(ground.dir, "new", &(struct open_how){.flags = O_CREAT, .mode = 0100644}), EINVAL);
    CHECK_FAILS(loop_kernel_openat2(ground.dir, "file", &(struct open_how){.flags = 1ull << 40}), EINVAL);
    int number = loop_kernel_openat(ground.dir, "file", O_RDONLY, 0100644);
    CHECK(number >= 0);
    loop_kernel_close(number);
    leave_ground(&ground);
}

TEST(resolve_by_a_number_of_proc)
{
    struct ground ground = enter_tree();
    char path[64];

    int dir = open_in(ground.dir, "dir", O_PATH | O_DIRECTORY);
    CHECK_IS(loop_kernel_renameat(ground.dir, "dir", ground.dir, "moved"), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d/file", dir);
    check_text(AT_FDCWD, path, "inner");
    snprintf(path, sizeof path, "/proc/self/fd/%d/../file", dir);
    check_text(AT_FDCWD, path, "outer");
    snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
    CHECK_FAILS(loop_kernel_openat(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, 0), ELOOP);
    int again = open_in(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    CHECK_IS(status_of(again, "").st_ino, status_of(dir, "").st_ino);
    loop_kernel_close(again);
    loop_kernel_close(dir);
    CHECK_FAILS(loop_kernel_openat(AT_FDCWD, path, O_RDONLY, 0), ENOENT);
    CHECK_FAILS(loop_kernel_openat(AT_FDCWD, "/proc/self/fd/x", O_RDONLY, 0), ENOENT);
    leave_ground(&ground);
}
