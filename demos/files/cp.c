/* SPDX-License-Identifier: ISC
 *
 * cp [-r] [--progress] SRC DST: finds out what the operands mean before it creates anything. Then it copies one file,
 * one link or one tree.
 *
 * One scope owns all copies. SIGINT, SIGTERM and SIGHUP cancel it: copies in flight end, temporary files are removed,
 * and the program dies by that signal, as its parent expects.
 */
#include "../common/arguments.h"
#include "cp_file.h"
#include "cp_link.h"
#include "cp_report.h"
#include "cp_tree.h"
#include "../common/printable.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_recursive, wants_progress;

static const struct arguments_option options[] = {
    {.name = "recursive", .letter = 'r', .flag = &is_recursive, .help = "copy directories with all that is in them"},
    {.name = "progress", .flag = &wants_progress, .help = "show how far it is, where standard error is a terminal"},
};

static const struct arguments_program program = {
    .name = "cp",
    .operands = "SRC DST",
    .about =
        "Copies a file, or a directory with -r, with its permissions and times; into DST where that is a directory.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 2,
    .most_operands = 2,
    .n_blocks = 48,
    .block_size = 256 << 10,
};

struct asked {
    struct cp cp;
    struct cp_names names;
    struct loop_fs_status from, to; /* `to` is of kind NONE if it does not exist */
    char *to_path;                  /* the path that DST means */
    char *real_from, *real_to;
    int signal_number; /* the signal that has cancelled it, or 0 */
};

/* ---- the end ---- */

static void finish(struct asked *asked)
{
    progress_end(asked->cp.progress);
    loop_scope_unhold(asked->cp.scope);
}

static void finish_with(struct asked *asked, const char *path, const char *text)
{
    cp_complain(&asked->cp, path, text);
    finish(asked);
}

/* Returns true if the job has failed. Then the program ends. */
static bool has_failed(struct asked *asked, const char *path, int64_t result)
{
    if (result < 0) {
        cp_fail(&asked->cp, path, result);
        finish(asked);
    }
    return result < 0;
}

/* Checks what the start of a job has returned: 0 is no job, and the program ends. */
static void must_be(struct asked *asked, loop_job job)
{
    if (!job) {
        (void)has_failed(asked, asked->names.from, -ENOMEM);
    }
}

static void on_copied(void *arg, int64_t result)
{
    struct asked *asked = arg;
    char names[PRINTABLE_IN_LINE];

    if (asked->from.kind == LOOP_KIND_REGULAR && result >= 0 && asked->from.size_bytes < CP_BIG_BYTES) {
        progress_add(asked->cp.progress, (uint64_t)result);
    }
    snprintf(names, sizeof names, "%s to %s", asked->names.from, asked->names.to);
    if (!has_failed(asked, names, result)) {
        finish(asked);
    }
}

/* ---- copying ---- */

static void on_counted(void *arg, int64_t result)
{
    struct asked *asked = arg;

    (void)result;
    progress_begin(asked->cp.progress);
    must_be(asked, cp_tree(&asked->cp, &asked->names, &asked->from, false, on_copied, asked));
}

static void copy_directory(struct asked *asked)
{
    if (asked->cp.progress) {
        must_be(asked, cp_tree(&asked->cp, &asked->names, &asked->from, true, on_counted, asked));
    } else {
        on_counted(asked, 0);
    }
}

static void copy_file(struct asked *asked)
{
    progress_expect(asked->cp.progress, asked->from.size_bytes);
    progress_begin(asked->cp.progress);
    must_be(asked, cp_file(&asked->cp, &asked->names, asked->from.size_bytes, on_copied, asked));
}

/* ---- a directory into itself ---- */

static bool is_inside(const char *path, const char *directory)
{
    size_t len = strlen(directory);

    return strncmp(path, directory, len) == 0 && (path[len] == '\0' || path[len] == '/' || directory[len - 1] == '/');
}

static void on_real_to(void *arg, int64_t result)
{
    struct asked *asked = arg;

    if (has_failed(asked, asked->names.to, result)) {
        return;
    }
    if (is_inside(asked->real_to, asked->real_from)) {
        finish_with(asked, asked->names.from, "can't copy a directory into itself");
    } else {
        copy_directory(asked);
    }
}

/* Resolves where the copy will be: the directory itself if it exists, else its parent. */
static void on_real_from(void *arg, int64_t result)
{
    struct asked *asked = arg;
    struct cp *cp = &asked->cp;
    char *slash, *path;

    if (has_failed(asked, asked->names.from, result)) {
        return;
    }
    path = strdup(asked->to_path);
    for (size_t len = path ? strlen(path) : 0; len > 1 && path[len - 1] == '/'; len--) {
        path[len - 1] = '\0';
    }
    slash = path && asked->to.kind == LOOP_KIND_NONE ? strrchr(path, '/') : NULL;
    if (slash) {
        slash[1] = '\0';
    }
    bool is_here = !slash && asked->to.kind == LOOP_KIND_NONE;
    must_be(asked,
            path ? loop_fs_realpath(cp->scope, cp->env->fs, is_here ? "." : path, &asked->real_to, on_real_to, asked)
                 : 0);
    free(path);
}

/* ---- the operands ---- */

static void begin_directory(struct asked *asked)
{
    struct cp *cp = &asked->cp;

    if (!is_recursive) {
        finish_with(asked, asked->names.from, "is a directory (-r copies those)");
    } else if (asked->to.kind != LOOP_KIND_NONE && asked->to.kind != LOOP_KIND_DIRECTORY) {
        finish_with(asked, asked->names.to, "is there and no directory");
    } else {
        must_be(asked,
                loop_fs_realpath(cp->scope, cp->env->fs, asked->names.from, &asked->real_from, on_real_from, asked));
    }
}

/* Whether DST can only be a directory. The open that creates a file there would end with -EISDIR. */
static bool ends_with_slash(const char *path)
{
    size_t len = strlen(path);

    return len > 0 && path[len - 1] == '/';
}

static bool may_be_replaced(enum loop_kind kind)
{
    return kind == LOOP_KIND_NONE || kind == LOOP_KIND_REGULAR || kind == LOOP_KIND_SYMLINK;
}

static void begin(struct asked *asked)
{
    struct cp *cp = &asked->cp;
    const struct loop_fs_status *from = &asked->from, *to = &asked->to;

    if (to->kind != LOOP_KIND_NONE && from->inode == to->inode && from->device == to->device) {
        finish_with(asked, asked->names.to, "is the same as what is to be copied");
    } else if (from->kind == LOOP_KIND_DIRECTORY) {
        begin_directory(asked);
    } else if (!may_be_replaced(to->kind)) {
        finish_with(asked, asked->names.to, "is there and no file that could be replaced");
    } else if (to->kind == LOOP_KIND_NONE && ends_with_slash(asked->names.to)) {
        (void)has_failed(asked, asked->names.to, -ENOTDIR);
    } else if (from->kind == LOOP_KIND_REGULAR) {
        copy_file(asked);
    } else if (from->kind == LOOP_KIND_SYMLINK) {
        must_be(asked, cp_link(cp, &asked->names, from, on_copied, asked));
    } else {
        finish_with(asked, asked->names.from, cp_why_special(from->kind));
    }
}

static void on_to_inside(void *arg, int64_t result)
{
    struct asked *asked = arg;

    asked->to.kind = result < 0 ? LOOP_KIND_NONE : asked->to.kind;
    if (result == -ENOENT || !has_failed(asked, asked->names.to, result)) {
        begin(asked);
    }
}

/* Returns the last component of a path, or "" for "/", "." and "..". The caller frees it. */
static char *last_name(const char *path)
{
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    size_t begin = len;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    char *name = strndup(path + begin, len - begin);
    if (name && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)) {
        *name = '\0';
    }
    return name;
}

/* DST is a directory: the copy is created in it. */
static void go_inside(struct asked *asked)
{
    struct cp *cp = &asked->cp;
    char *name = last_name(asked->names.from), *path = NULL;

    if (name && *name == '\0') {
        free(name);
        begin(asked);
        return;
    }
    if (!name || asprintf(&path, "%s/%s", asked->to_path, name) < 0) {
        path = NULL;
    }
    free(name);
    if (!path) {
        (void)has_failed(asked, asked->names.from, -ENOMEM);
        return;
    }
    free(asked->to_path);
    asked->to_path = path;
    asked->names.to = path;
    must_be(asked, loop_fs_stat(cp->scope, cp->env->fs, path, 0, &asked->to, on_to_inside, asked));
}

static void on_to(void *arg, int64_t result)
{
    struct asked *asked = arg;

    if (result == 0 && asked->to.kind == LOOP_KIND_DIRECTORY) {
        go_inside(asked);
    } else {
        on_to_inside(asked, result);
    }
}

static void on_from(void *arg, int64_t result)
{
    struct asked *asked = arg;
    struct cp *cp = &asked->cp;

    if (!has_failed(asked, asked->names.from, result)) {
        must_be(asked, loop_fs_stat(cp->scope, cp->env->fs, asked->names.to, LOOP_FS_FOLLOW, &asked->to, on_to, asked));
    }
}

/* ---- the program ---- */

static void on_signal(void *arg, int64_t result)
{
    struct asked *asked = arg;

    if (result > 0) {
        asked->signal_number = asked->signal_number ? asked->signal_number : (int)result;
        loop_scope_cancel(asked->cp.scope);
    }
}

static void on_end(void *arg, int64_t error)
{
    (void)arg;
    (void)error; /* the continuation of every job here handles its error */
}

static int start(struct loop_env *env, void *arg)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct asked *asked = arg;
    struct cp *cp = &asked->cp;

    cp->env = env;
    cp->scope = loop_scope_open(env->scope, on_end, asked);
    if (!cp->scope) {
        return arguments_fail("can't begin", -ENOMEM);
    }
    loop_scope_hold(cp->scope);
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        (void)loop_daemon(env->loop, loop_signal(env->scope, ending[i], on_signal, asked));
    }
    cp->progress = wants_progress ? progress_start(env, cp->scope) : NULL;
    asked->names.from_dir = asked->names.to_dir = env->fs;
    must_be(asked, loop_fs_stat(cp->scope, env->fs, asked->names.from, !is_recursive ? LOOP_FS_FOLLOW : 0, &asked->from,
                                on_from, asked));
    return 0;
}

int main(int argc, char **argv)
{
    struct asked asked = {.signal_number = 0};
    char **operands = arguments_parse(&program, argc, argv);
    int status;

    asked.names.from = operands[0];
    asked.to_path = strdup(operands[1]);
    asked.names.to = asked.to_path;
    if (!asked.to_path) {
        return arguments_fail("can't begin", -ENOMEM);
    }
    asked.cp.most_descriptors = arguments_allow_descriptors();
    status = arguments_run(start, &asked);
    free(asked.to_path);
    free(asked.real_from);
    free(asked.real_to);
    if (asked.signal_number) {
        signal(asked.signal_number, SIG_DFL);
        raise(asked.signal_number);
    }
    return status != 0 ? status : asked.cp.status;
}
