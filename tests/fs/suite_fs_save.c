/* SPDX-License-Identifier: ISC
 *
 * Atomic saves and copies: what another process can read at each moment.
 *
 * The library's system calls go through the functions below, which inspect the directory before and after each call.
 */
#include "directory.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

/* ---- what is seen from outside ---- */

static struct {
    bool is_on;
    unsigned widest;           /* every permission that a temporary file has had */
    unsigned count;            /* calls that saw one */
    void (*act)(const char *); /* done once, before the first call named `act_at` that sees one */
    const char *act_at;
} seen;

static unsigned mode_now(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 ? status.st_mode & 07777 : 0;
}

static bool is_temporary(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && name[0] == '.' && strcmp(name + len - 4, ".tmp") == 0;
}

static void look(const char *call)
{
    int error = errno;
    DIR *dir = seen.is_on ? opendir(".") : NULL;
    bool is_there = false;

    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (is_temporary(entry->d_name)) {
            is_there = true;
            seen.widest |= mode_now(entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
    seen.count += is_there;
    if (is_there && seen.act && strcmp(call, seen.act_at) == 0) {
        void (*act)(const char *) = seen.act;
        seen.act = NULL;
        act("file");
    }
    errno = error;
}

static int seen_as(const char *call, long result)
{
    look(call);
    return (int)result;
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return seen_as("openat", syscall(SYS_openat, dir, path, flags, mode));
}

int fchmod(int fd, mode_t mode)
{
    look("fchmod");
    return seen_as("fchmod", syscall(SYS_fchmod, fd, mode));
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    look("fchown");
    return seen_as("fchown", syscall(SYS_fchown, fd, uid, gid));
}

static bool directories_fail; /* to be synchronised */

/* When a directory is, the new file has its name, and what has a temporary one is the file that it has replaced. */
int fsync(int fd)
{
    struct stat status;
    bool is_directory = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);

    if (is_directory && directories_fail) {
        errno = EIO;
        return -1;
    }
    if (is_directory) {
        return (int)syscall(SYS_fsync, fd);
    }
    look("fsync");
    return seen_as("fsync", syscall(SYS_fsync, fd));
}

static int list_error; /* of reading an access control list by a link in /proc; 0: none */

ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    if (list_error && strncmp(path, "/proc/", 6) == 0) {
        errno = list_error;
        return -1;
    }
    return syscall(SYS_getxattr, path, name, value, size);
}

static bool cannot_exchange;

/* The library calls renameat2(2) by its number. */
long syscall(long number, ...)
{
    long (*next)(long number, ...);
    void *found = dlsym(RTLD_NEXT, "syscall");
    va_list args;
    long a[6];

    memcpy(&next, &found, sizeof next);
    va_start(args, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    if (number == SYS_renameat2 && (unsigned)a[4] & RENAME_EXCHANGE && cannot_exchange) {
        errno = EINVAL;
        return -1;
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void watch(void (*act)(const char *), const char *act_at)
{
    seen.is_on = true;
    seen.widest = seen.count = 0;
    seen.act = act;
    seen.act_at = act_at;
}

static unsigned unwatch(void)
{
    seen.is_on = false;
    CHECK(seen.count > 0);
    CHECK(!seen.act);
    return seen.widest;
}

/* ---- the ground ---- */

static const char *enter_open_directory(void)
{
    const char *path = enter_directory();

    CHECK_IS(chmod(".", 0777), 0);
    return path;
}

/* A file that is there may be one that its owner cannot open. */
static void put_with_mode(const char *path, const char *text, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_IS(write(fd, text, strlen(text)), strlen(text));
    CHECK_IS(syscall(SYS_fchmod, fd, mode), 0);
    close(fd);
}

/* The library's threads change as well. */
static bool leave_root(void)
{
    return geteuid() == 0 && setresgid(12345, 12345, 0) == 0 && setresuid(12345, 12345, 0) == 0;
}

static void back_to_root(void)
{
    CHECK(setresuid(0, 0, 0) == 0 && setresgid(0, 0, 0) == 0);
}

static const struct loop_save_options atomic = {.atomic = true};

/* ---- permissions ---- */

LOOP_TEST(fs_save_is_never_more_readable_than_what_it_replaces)
{
    static const mode_t modes[] = {0600, 0400, 0000, 0640, 0604, 0644, 0666, 0755, 04755, 02755, 06755};
    static const char *directory;
    static unsigned i;

    BEGIN;
    directory = enter_open_directory();
    for (i = 0; i < COUNT_OF(modes); i++) {
        put_with_mode("file", "old", modes[i]);
        watch(NULL, NULL);
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        CHECK_IS(result, 3);
        CHECK_IS(unwatch() & ~(modes[i] | 0600), 0);
        CHECK_IS(mode_now("file"), modes[i]);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_save_of_a_new_file_never_allows_more_than_was_asked)
{
    static const char *directory;
    static struct loop_save_options options;
    static int is_exclusive;

    BEGIN;
    directory = enter_open_directory();
    for (is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        options = (struct loop_save_options){.atomic = true, .mode = 0660, .exclusive = is_exclusive};
        watch(NULL, NULL);
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &options, GO));
        CHECK_IS(result, 3);
        CHECK_IS(unwatch(), 0640);
        CHECK_IS(mode_now("file"), 0640);
        CHECK_IS(unlink("file"), 0);
    }
    leave_directory(directory);
    END;
}

static void make_private(const char *path)
{
    CHECK_IS(chmod(path, 0600), 0);
}

static void take_away(const char *path)
{
    CHECK_IS(unlink(path), 0);
}

static void put_link(const char *path)
{
    CHECK_IS(unlink(path), 0);
    CHECK_IS(symlink("elsewhere", path), 0);
}

static void put_private(const char *path)
{
    put_with_mode(path, "another's", 0600);
}

LOOP_TEST(fs_save_over_a_file_that_changes_meanwhile)
{
    static const struct {
        mode_t before, after;
        void (*act)(const char *path);
        bool is_new;
    } cases[] = {
        {0644, 0600, make_private, false},
        {0640, 0600, take_away, false},
        {0640, 0600, put_link, false},
        {0000, 0600, put_private, true},
    };
    static const char *directory;
    static unsigned i;

    BEGIN;
    directory = enter_open_directory();
    for (i = 0; i < COUNT_OF(cases); i++) {
        put_with_mode("file", "old", cases[i].before);
        CHECK(!cases[i].is_new || unlink("file") == 0);
        watch(cases[i].act, "openat");
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        CHECK_IS(result, 3);
        CHECK(cases[i].is_new || (unwatch() & 077 & ~cases[i].before) == 0);
        CHECK_IS(mode_now("file"), cases[i].after);
        CHECK_TEXT(get("file"), "new");
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_copy_of_a_private_file_is_private)
{
    static const char *directory;

    BEGIN;
    directory = enter_open_directory();
    put_with_mode("from", "secret", 0600);
    put_with_mode("to", "old", 0666);
    watch(NULL, NULL);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "to", &(struct loop_copy_options){.sync = true}, GO));
    CHECK_IS(result, 6);
    CHECK_IS(unwatch(), 0600);
    CHECK_IS(mode_now("to"), 0600);
    leave_directory(directory);
    END;
}

/* ---- owners ---- */

static void check_owner(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
    struct stat status;

    CHECK_IS(lstat(path, &status), 0);
    CHECK_IS(status.st_uid, uid);
    CHECK_IS(status.st_gid, gid);
    CHECK_IS(status.st_mode & 07777, mode);
}

LOOP_TEST(fs_save_passes_on_the_owner_and_the_group)
{
    static const char *directory;

    BEGIN;
    directory = enter_open_directory();
    put_with_mode("file", "old", 0660);
    if (chown("file", 12345, 12346) == 0) {
        CHECK_IS(chmod("file", 06770), 0);
        watch(NULL, NULL);
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        CHECK_IS(result, 3);
        CHECK_IS(unwatch() & 07, 0);
        check_owner("file", 12345, 12346, 06770);
    }
    leave_directory(directory);
    END;
}

/* The permissions of a group are for that group alone. */
LOOP_TEST(fs_save_gives_another_group_no_more_than_everybody)
{
    static const char *directory;
    static const mode_t modes[][2] = {{0660, 0600}, {0664, 0644}, {0640, 0600},
                                      {0677, 0677}, {0607, 0607}, {06775, 0755}};
    static unsigned i;

    BEGIN;
    directory = enter_open_directory();
    for (i = 0; geteuid() == 0 && i < COUNT_OF(modes); i++) {
        put_with_mode("file", "old", modes[i][0]);
        CHECK_IS(chown("file", 12345, 12346), 0);
        CHECK_IS(chmod("file", modes[i][0]), 0); /* which the other has taken off */
        CHECK(leave_root());
        watch(NULL, NULL);
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        back_to_root();
        CHECK_IS(result, 3);
        CHECK_IS(unwatch() & ~(0600 | modes[i][1]), 0);
        check_owner("file", 12345, 12345, modes[i][1]);
        CHECK_IS(unlink("file"), 0);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_save_over_a_file_that_goes_meanwhile_gives_its_permissions_to_no_group)
{
    static const char *directory;
    static bool is_root;

    BEGIN;
    directory = enter_open_directory();
    for (is_root = true; geteuid() == 0; is_root = false) {
        put_with_mode("file", "old", 0660);
        CHECK_IS(chown("file", 12345, 12346), 0);
        CHECK(is_root || leave_root());
        watch(take_away, "openat");
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        back_to_root();
        CHECK_IS(result, 3);
        (void)unwatch();
        check_owner("file", 12345, is_root ? 12346 : 12345, 0600);
        CHECK_IS(unlink("file"), 0);
        if (!is_root) {
            break;
        }
    }
    leave_directory(directory);
    END;
}

/* ---- access control lists ---- */

#define ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

struct acl_entry {
    uint16_t tag, permissions;
    uint32_t id;
};

struct acl {
    uint32_t version;
    struct acl_entry entries[5];
};

/* The user 12347 may read and write, the group may do nothing; the mode says 0660. */
static const struct acl acl = {
    .version = 2,
    .entries = {{1, 6, UINT32_MAX}, {2, 6, 12347}, {4, 0, UINT32_MAX}, {16, 6, UINT32_MAX}, {32, 0, UINT32_MAX}}};

LOOP_TEST(fs_save_passes_on_the_access_control_list)
{
    static const char *directory;
    static struct acl found;

    BEGIN;
    directory = enter_open_directory();
    put_with_mode("file", "old", 0600);
    if (setxattr("file", ACL, &acl, sizeof acl, 0) == 0) {
        CHECK_IS(mode_now("file"), 0660);
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        CHECK_IS(result, 3);
        CHECK_IS(mode_now("file"), 0660);
        CHECK_IS(getxattr("file", ACL, &found, sizeof found), sizeof found);
        CHECK(memcmp(&found, &acl, sizeof acl) == 0);
    }
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_save_passes_on_the_access_control_list_without_proc)
{
    static const char *directory;
    static struct acl found;

    BEGIN;
    directory = enter_open_directory();
    list_error = ENOENT;
    put_with_mode("file", "old", 0664);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
    CHECK_IS(mode_now("file"), 0664);
    if (setxattr("file", ACL, &acl, sizeof acl, 0) == 0) {
        CHECK_IS(mode_now("file"), 0660);
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "newer", 5, &atomic, GO));
        CHECK_IS(result, 5);
        CHECK_IS(mode_now("file"), 0660);
        CHECK_IS(getxattr("file", ACL, &found, sizeof found), sizeof found);
        CHECK(memcmp(&found, &acl, sizeof acl) == 0);
    }
    list_error = 0;
    leave_directory(directory);
    END;
}

/* The permissions of the group may be those of a list, which gives the group itself less. */
LOOP_TEST(fs_save_gives_the_group_nothing_where_the_access_control_list_is_not_known)
{
    static const char *directory;
    static const int errors[] = {EIO, ENOMEM, ERANGE};
    static unsigned i;

    BEGIN;
    directory = enter_open_directory();
    for (i = 0; i < COUNT_OF(errors); i++) {
        put_with_mode("file", "old", 0600);
        if (setxattr("file", ACL, &acl, sizeof acl, 0) == 0) {
            list_error = errors[i];
            AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
            list_error = 0;
            CHECK_IS(result, 3);
            CHECK_IS(mode_now("file"), 0600);
        }
        CHECK_IS(unlink("file"), 0);
    }
    leave_directory(directory);
    END;
}

/* The list went with the file. */
LOOP_TEST(fs_save_gives_the_group_nothing_of_a_list_that_goes_meanwhile)
{
    static const char *directory;

    BEGIN;
    directory = enter_open_directory();
    put_with_mode("file", "old", 0600);
    if (setxattr("file", ACL, &acl, sizeof acl, 0) == 0) {
        watch(take_away, "openat");
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        (void)unwatch();
        CHECK_IS(result, 3);
        CHECK_IS(mode_now("file"), 0600);
    } else {
        not_run("access control lists");
    }
    leave_directory(directory);
    END;
}

/* What the directory gives to new files isn't what the file had. */
LOOP_TEST(fs_save_adds_no_access_control_list)
{
    static const char *directory;
    static struct acl found;

    BEGIN;
    directory = enter_open_directory();
    put_with_mode("file", "old", 0640);
    if (setxattr(".", DEFAULT_ACL, &acl, sizeof acl, 0) == 0) {
        AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
        CHECK_IS(result, 3);
        CHECK_IS(mode_now("file"), 0640);
        CHECK_IS(getxattr("file", ACL, &found, sizeof found), -1);
        CHECK_IS(errno, ENODATA);
    }
    leave_directory(directory);
    END;
}

/* ---- the last step fails ---- */

static ino_t inode_of(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 ? status.st_ino : 0;
}

LOOP_TEST(fs_save_whose_directory_cannot_be_synchronised_leaves_what_was_there)
{
    static const char *directory;
    static ino_t before;

    BEGIN;
    directory = enter_open_directory();
    directories_fail = true;
    put_with_mode("file", "old", 0640);
    before = inode_of("file");
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
    CHECK_IS(result, -EIO);
    CHECK_TEXT(get("file"), "old");
    CHECK_IS(inode_of("file"), before);
    put_with_mode("from", "copy", 0640);
    AWAIT(loop_fs_copy_file(NULL, env->cwd, "from", env->cwd, "file", &(struct loop_copy_options){.sync = true}, GO));
    CHECK_IS(result, -EIO);
    CHECK_TEXT(get("file"), "old");
    CHECK_IS(unlink("from"), 0);
    CHECK_IS(unlink("file"), 0);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
    CHECK_IS(result, -EIO);
    CHECK_IS(count_names("."), 0);
    CHECK_IS(symlink("elsewhere", "file"), 0);
    before = inode_of("file");
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
    CHECK_IS(result, -EIO);
    CHECK_IS(inode_of("file"), before);
    CHECK_IS(unlink("file"), 0);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &(struct loop_save_options){.atomic = true, .exclusive = true},
                       GO));
    CHECK_IS(result, -EIO);
    CHECK_IS(count_names("."), 0);
    directories_fail = false;
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
    CHECK_IS(result, 3);
    CHECK_TEXT(get("file"), "new");
    CHECK_IS(count_names("."), 1);
    leave_directory(directory);
    END;
}

LOOP_TEST(fs_save_on_a_file_system_that_cannot_exchange_names)
{
    static const char *directory;

    BEGIN;
    directory = enter_open_directory();
    cannot_exchange = true;
    put_with_mode("file", "old", 0640);
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "new", 3, &atomic, GO));
    CHECK_IS(result, 3);
    CHECK_TEXT(get("file"), "new");
    directories_fail = true;
    AWAIT(loop_fs_save(NULL, env->cwd, "file", "other", 5, &atomic, GO));
    CHECK_IS(result, -EIO);
    CHECK_TEXT(get("file"), "other");
    CHECK_IS(count_names("."), 1);
    cannot_exchange = directories_fail = false;
    leave_directory(directory);
    END;
}
