/* SPDX-License-Identifier: ISC
 *
 * A directory for a test to work in, and access to its contents by plain system calls.
 */
#ifndef TESTS_DIRECTORY_H
#define TESTS_DIRECTORY_H

#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#ifndef RENAME_EXCHANGE /* musl has it in no header */
#include <linux/fs.h>
#endif

/* Creates a directory and changes into it. Returns its path. */
static inline const char *enter_directory(void)
{
    const char *path = make_directory();

    CHECK_IS(chdir(path), 0);
    CHECK_IS(chmod(path, 0755), 0);
    umask(022);
    return path;
}

/* Leaves the directory and removes it. */
static inline void leave_directory(const char *path)
{
    CHECK_IS(chdir("/"), 0);
    remove_directory(path);
}

/* Writes a file that contains exactly these bytes. */
static inline void put_bytes(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    CHECK(fd >= 0);
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const char *)data + done, len - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
    close(fd);
}

static inline void put(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text));
}

/* Returns the contents of a short file. The next call overwrites the text. */
static inline const char *get(const char *path)
{
    static char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    CHECK(n >= 0);
    text[n] = '\0';
    close(fd);
    return text;
}

static inline bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static inline unsigned mode_of(const char *path)
{
    struct stat status;

    CHECK_IS(lstat(path, &status), 0);
    return status.st_mode & 07777;
}

static inline off_t size_of(const char *path)
{
    struct stat status;

    CHECK_IS(lstat(path, &status), 0);
    return status.st_size;
}

/* Returns the number of entries of a directory. */
static inline unsigned count_names(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(dir);
    return count;
}

/* Creates a tree with `width` directories and files on each of `depth` levels. */
static inline void make_tree(const char *path, unsigned width, unsigned depth)
{
    char name[200];

    CHECK_IS(mkdir(path, 0755), 0);
    for (unsigned i = 0; i < width; i++) {
        CHECK((size_t)snprintf(name, sizeof name, "%s/file%u", path, i) < sizeof name);
        put(name, "text");
        CHECK((size_t)snprintf(name, sizeof name, "%s/dir%u", path, i) < sizeof name);
        if (depth > 1) {
            make_tree(name, width, depth - 1);
        }
    }
}

/* Returns a time in the form that the calls which set one accept. */
#define AT(seconds, nanoseconds) (&(const struct timespec){.tv_sec = (seconds), .tv_nsec = (nanoseconds)})

#define TIME_IS(time, seconds, nanoseconds)                                                                            \
    do {                                                                                                               \
        CHECK_IS((time).tv_sec, seconds);                                                                              \
        CHECK_IS((time).tv_nsec, nanoseconds);                                                                         \
    } while (0)

/* Drops privileges for the rest of the test, except where it needs root. The library's threads change as well. */
static inline void become_nobody(void)
{
    CHECK(geteuid() != 0 || setresuid(12345, 12345, 0) == 0);
}

static inline void become_root(void)
{
    CHECK(getuid() != 12345 || setresuid(0, 0, 0) == 0);
}

#endif
