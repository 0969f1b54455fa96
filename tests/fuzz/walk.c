/* SPDX-License-Identifier: ISC
 *
 * Fuzzes paths beneath a directory: compares the component-by-component walk with openat2(2) and RESOLVE_BENEATH. Both
 * start in identical trees, and must find the same file or return the same error.
 */
#include "fuzz.h"

#include <fs/outcome.h>
#include <fs/walk.h>

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

static int trees[2];
static char roots[2][64];

/* ---- the trees ---- */

static const char *const directories[] = {"a", "a/b", "a/b/c", "d", "d/e"};
static const char *const files[] = {"f", "a/f", "a/b/f", "d/e/f"};
static const char *const links[][2] = {
    {"a", "la"},
    {"a/b", "lab"},
    {"../a", "a/up"},
    {"../../d", "a/b/upup"},
    {"../..", "a/out"},
    {"/", "root"},
    {"..", "dotdot"},
    {".", "here"},
    {"nowhere", "dead"},
    {"loop", "loop"},
    {"pong", "ping"},
    {"ping", "pong"},
    {"f", "lf"},
    {"a/f/", "a/lfs"},
    {"lab/../..", "twisty"},
    {"../d/e/../e/f", "a/lef"},
    {"/proc/self", "proc"},
    {"la//b/./c", "slashes"},
};

static void make_tree(int index)
{
    char path[PATH_MAX];

    snprintf(roots[index], sizeof roots[index], "/tmp/noria-fuzz-XXXXXX");
    FUZZ_MUST(mkdtemp(roots[index]) != NULL);
    trees[index] = open(roots[index], O_PATH | O_DIRECTORY | O_CLOEXEC);
    FUZZ_MUST(trees[index] >= 0);
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        FUZZ_MUST(mkdirat(trees[index], directories[i], 0700) == 0);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int file = openat(trees[index], files[i], O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        FUZZ_MUST(file >= 0 && write(file, "x", 1) == 1 && close(file) == 0);
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        snprintf(path, sizeof path, "%s", links[i][1]);
        FUZZ_MUST(symlinkat(links[i][0], trees[index], path) == 0);
    }
}

static void remove_trees(void)
{
    for (int index = 0; index < 2; index++) {
        for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
            unlinkat(trees[index], links[i][1], 0);
        }
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            unlinkat(trees[index], files[i], 0);
        }
        for (size_t i = sizeof directories / sizeof *directories; i-- > 0;) {
            unlinkat(trees[index], directories[i], AT_REMOVEDIR);
        }
        rmdir(roots[index]);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    make_tree(0);
    make_tree(1);
    atexit(remove_trees);
    return 0;
}

/* ---- a path ---- */

static void make_path(struct fuzz_input *input, char *path, size_t size)
{
    static const char *const words[] = {"a",       "b",    "c",   "d",    "e",    "f",      "la",     "lab",
                                        "up",      "upup", "out", "root", "here", "dead",   "loop",   "ping",
                                        "lf",      "lfs",  ".",   "..",   "/",    "dotdot", "twisty", "lef",
                                        "slashes", "proc", "new", "...",  "//",   "./",     "../",    ""};
    size_t len = 0, n = 1 + fuzz_take(input, 12);

    path[0] = '\0';
    for (size_t i = 0; i < n && len + 300 < size; i++) {
        const char *word = words[fuzz_take(input, sizeof words / sizeof *words)];
        bool is_long = fuzz_take(input, 64) == 1;
        len += (size_t)snprintf(
            path + len, size - len, "%.*s%s%s", is_long ? (int)(254 + fuzz_take(input, 3)) : 0,
            "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
            "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
            "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
            word, fuzz_take(input, 8) ? "/" : "");
    }
    if (len > 0 && path[len - 1] == '/' && fuzz_take(input, 4)) {
        path[len - 1] = '\0';
    }
}

static uint64_t make_flags(struct fuzz_input *input)
{
    static const uint64_t choices[] = {
        O_PATH,
        O_PATH | O_NOFOLLOW,
        O_PATH | O_DIRECTORY,
        O_PATH | O_NOFOLLOW | O_DIRECTORY,
        O_RDONLY,
        O_RDONLY | O_NOFOLLOW,
        O_RDONLY | O_DIRECTORY,
        O_WRONLY,
        O_WRONLY | O_CREAT,
        O_WRONLY | O_CREAT | O_EXCL,
        O_WRONLY | O_CREAT | O_NOFOLLOW,
        O_RDONLY | O_CREAT,
    };
    return choices[fuzz_take(input, sizeof choices / sizeof *choices)] | O_CLOEXEC;
}

/* ---- comparing ---- */

/* Describes an open file: its path in its tree, and its open flags. Removes a file that has been created. */
static void describe(int number, int tree, char *text, size_t size)
{
    char link[64], path[PATH_MAX] = "";
    struct stat status;

    if (number < 0) {
        snprintf(text, size, "%s", strerrorname_np(-number));
        return;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", number);
    FUZZ_MUST(readlink(link, path, sizeof path - 1) > 0);
    FUZZ_MUST(strncmp(path, roots[tree], strlen(roots[tree])) == 0 && fstat(number, &status) == 0);
    snprintf(text, size, "%s mode %o flags %x", path + strlen(roots[tree]), (unsigned)status.st_mode,
             (unsigned)fcntl(number, F_GETFL) & (O_ACCMODE | O_PATH));
    if (S_ISREG(status.st_mode) && status.st_size == 0) {
        unlink(path);
    }
    close(number);
}

/* openat2(2) ends with EAGAIN when a path with ".." meets a rename or a mount anywhere in the system. */
static int open_by_kernel(const char *path, struct open_how *how)
{
    int number;

    do {
        number = (int)loop_fs_outcome(syscall(SYS_openat2, trees[1], path, how, sizeof *how));
    } while (number == -EAGAIN);
    return number;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct open_how how = {.flags = make_flags(&input)};
    char path[4096], walked[PATH_MAX + 100], resolved[PATH_MAX + 100];

    if (how.flags & O_CREAT) {
        how.mode = 0640;
    }
    if (fuzz_take(&input, 4) == 0) {
        how.resolve = RESOLVE_NO_SYMLINKS;
    }
    make_path(&input, path, sizeof path);
    describe(loop_fs_walk(trees[0], path, &how), 0, walked, sizeof walked);
    how.resolve |= RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    int number = open_by_kernel(path, &how);
    describe(number, 1, resolved, sizeof resolved);
    /* The kernel may abandon a walk in RCU mode and restart it with the links already counted, so its ELOOP may come
     * after half as many links. */
    if (number != -ELOOP && strcmp(walked, resolved) != 0) {
        fprintf(stderr, "\"%s\" with flags %llx, resolve %llx: the walk says %s, the kernel %s\n", path,
                (unsigned long long)how.flags, (unsigned long long)how.resolve, walked, resolved);
        abort();
    }
    return 0;
}
