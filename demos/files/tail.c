/* SPDX-License-Identifier: ISC
 *
 * tail [-f] FILE: prints the last lines of a file, and with -f what is appended to it, also after it was renamed,
 * truncated or created again.
 *
 * The directory is watched, and every event in it makes the program look: first at the open file, whether it has grown
 * or was truncated, then at the name, whether it refers to another file now. Looking again has no effect, so lost
 * events do no harm. A renamed file is read until there is another one of its name, and to its end before that one is
 * begun.
 */
#include "../common/arguments.h"

#include <fs/fs.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned n_lines = 10;
static bool follows;

static const struct arguments_option options[] = {
    {.name = "follow", .letter = 'f', .flag = &follows, .help = "go on with what is added, also when FILE is replaced"},
    {.name = "lines",
     .letter = 'n',
     .placeholder = "N",
     .count = &n_lines,
     .most = 1u << 30,
     .help = "begin with the last N lines (10)"},
};

static const struct arguments_program program = {
    .name = "tail",
    .operands = "FILE",
    .about = "Prints the last lines of FILE, a regular file. A symbolic link stands for the file that it leads to now.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1,
};

struct tail {
    struct loop_env *env;
    struct loop_scope *scope; /* owns all jobs; held until the end */
    const char *name;         /* as given by the user */
    char *path;               /* path of the file, without links if it existed at the start */
    char *directory;
    struct loop_flow *file; /* NULL if there is none */
    struct loop_flow *next; /* a new file of the same name, read after the end of the other */
    struct loop_fs_status stat, next_stat;
    uint64_t position;
    uint64_t newlines; /* found so far, backwards from the end */
    uint64_t end;      /* where the last byte was found; 0 before that */
    bool is_missing;   /* the name does not exist, and that was reported */
    bool is_looking, looks_again, is_over;
    int status;
    loop_job output_watch;
    size_t written, len; /* bytes of the buffer */
    struct iovec piece;
    char buffer[1 << 16];
};

/* Ends the program with `status`: cancels what still runs. */
static void finish(struct tail *tail, int status)
{
    if (!tail->is_over) {
        tail->is_over = true;
        tail->status = status;
        loop_cancel(tail->env->loop, tail->output_watch);
        loop_scope_cancel(tail->scope);
        loop_scope_unhold(tail->scope);
    }
}

static void fail(struct tail *tail, const char *what, int64_t error)
{
    if (!tail->is_over) {
        finish(tail, arguments_fail(what, error));
    }
}

/* Checks that a job has started. Every job here goes through this. */
static void expect(struct tail *tail, loop_job job)
{
    if (!job) {
        fail(tail, tail->name, -ENOMEM);
    }
}

/* ---- reading on ---- */

static void look(struct tail *tail);
static void look_at_name(struct tail *tail);
static void look_at_file(struct tail *tail);
static void read_more(struct tail *tail);
static void on_written(void *arg, int64_t result);

static void write_rest(struct tail *tail)
{
    expect(tail, loop_write(tail->env->out, tail->buffer + tail->written, tail->len - tail->written, on_written, tail));
}

static void on_written(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        fail(tail, "standard output", result);
        return;
    }
    tail->written += (size_t)result;
    if (tail->written < tail->len) {
        write_rest(tail); /* an error stopped the write: writing the rest returns it */
    } else {
        read_more(tail);
    }
}

static void take_next(struct tail *tail)
{
    loop_fd_destroy(tail->file->fd);
    tail->file = tail->next;
    tail->next = NULL;
    tail->stat = tail->next_stat;
    tail->position = 0;
    read_more(tail);
}

static void on_read(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        fail(tail, tail->name, result);
    } else if (result > 0) {
        tail->position += (uint64_t)result;
        tail->written = 0;
        tail->len = (size_t)result;
        write_rest(tail);
    } else if (tail->next) {
        take_next(tail);
    } else if (follows) {
        look_at_name(tail);
    } else {
        finish(tail, 0);
    }
}

static void read_piece(struct tail *tail, size_t len, uint64_t offset, loop_fn *fn)
{
    tail->piece = (struct iovec){tail->buffer, len};
    expect(tail, loop_file_pread(tail->scope, tail->file->fd, &tail->piece, 1, (int64_t)offset, fn, tail));
}

static void read_more(struct tail *tail)
{
    read_piece(tail, sizeof tail->buffer, tail->position, on_read);
}

static void on_file_stat(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        fail(tail, tail->name, result);
        return;
    }
    if (tail->stat.size_bytes < tail->position) {
        arguments_complain("%s: file truncated", tail->name);
        tail->position = 0;
    }
    read_more(tail);
}

static void look_at_file(struct tail *tail)
{
    expect(tail, loop_file_stat(tail->scope, tail->file->fd, &tail->stat, on_file_stat, tail));
}

/* ---- the last lines ---- */

static void go_back(struct tail *tail);

/* Searches a piece backwards for newlines. The newline at the end of the file ends the last line and begins none. The
 * end may come before the size that the file had: it has become shorter, or is one of /sys, whose size is a page. */
static void on_piece_before(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        fail(tail, tail->name, result);
        return;
    }
    if (tail->end == 0 && result > 0) {
        tail->end = tail->position + (uint64_t)result;
    }
    for (size_t i = (size_t)result; i > 0; i--) {
        bool is_last = tail->position + i == tail->end;
        if (tail->buffer[i - 1] == '\n' && !is_last && ++tail->newlines == n_lines) {
            tail->position += i;
            read_more(tail);
            return;
        }
    }
    go_back(tail);
}

static void go_back(struct tail *tail)
{
    uint64_t end = tail->position;

    if (end == 0 || n_lines == 0) {
        read_more(tail);
        return;
    }
    tail->position = end > sizeof tail->buffer ? end - sizeof tail->buffer : 0;
    read_piece(tail, (size_t)(end - tail->position), tail->position, on_piece_before);
}

static void find_end(struct tail *tail);

static void on_piece_after(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        fail(tail, tail->name, result);
        return;
    }
    tail->position += (uint64_t)result;
    if (result > 0) {
        find_end(tail);
    } else {
        go_back(tail);
    }
}

/* A file of /proc has a size of 0: only reading finds its end. */
static void find_end(struct tail *tail)
{
    read_piece(tail, sizeof tail->buffer, tail->position, on_piece_after);
}

static void begin_at_end(struct tail *tail)
{
    tail->position = tail->stat.size_bytes;
    if (tail->stat.size_bytes == 0) {
        find_end(tail);
    } else {
        go_back(tail);
    }
}

/* ---- the file behind the name ---- */

static void end_look(struct tail *tail)
{
    tail->is_looking = false;
    if (tail->looks_again) {
        look(tail);
    }
}

/* The name does not exist. A deleted file is closed: it would keep its directory alive, and the watch would not see the
 * end of that. */
static void miss(struct tail *tail, int64_t error)
{
    if (tail->is_over) {
        return; /* cancelled, not missing */
    }
    if (!follows) {
        fail(tail, tail->name, error);
        return;
    }
    if (!tail->is_missing) {
        arguments_complain(tail->file ? "'%s' has become inaccessible: %s" : "cannot open '%s' for reading: %s",
                           tail->name, strerror((int)-error));
        tail->is_missing = true;
    }
    if (tail->file && tail->stat.n_links == 0) {
        loop_fd_destroy(tail->file->fd);
        tail->file = NULL;
    }
    end_look(tail);
}

static void on_opened(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        miss(tail, result);
        return;
    }
    if (tail->next_stat.kind != LOOP_KIND_REGULAR) {
        loop_fd_destroy(tail->next->fd);
        tail->next = NULL;
        miss(tail, tail->next_stat.kind == LOOP_KIND_DIRECTORY ? -EISDIR : -EINVAL);
        return;
    }
    if (tail->file || tail->is_missing) {
        arguments_complain("'%s' has %s;  following new file", tail->name,
                           tail->is_missing ? "appeared" : "been replaced");
    }
    if (tail->file) {
        read_more(tail); /* first to its end */
    } else {
        tail->file = tail->next;
        tail->next = NULL;
        tail->stat = tail->next_stat;
        tail->position = 0;
        if (tail->is_missing) {
            read_more(tail);
        } else {
            begin_at_end(tail);
        }
    }
    tail->is_missing = false;
}

static void open_next(struct tail *tail)
{
    expect(tail, loop_fs_open_stat(tail->scope, tail->env->fs, tail->path, NULL, &tail->next, &tail->next_stat,
                                   on_opened, tail));
}

static void on_name_stat(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        miss(tail, result);
    } else if (!tail->file || tail->next_stat.inode != tail->stat.inode ||
               tail->next_stat.device != tail->stat.device) {
        open_next(tail);
    } else {
        tail->is_missing = false;
        end_look(tail);
    }
}

static void look_at_name(struct tail *tail)
{
    expect(tail,
           loop_fs_stat(tail->scope, tail->env->fs, tail->path, LOOP_FS_FOLLOW, &tail->next_stat, on_name_stat, tail));
}

/* Looks at the file. Only one look runs at a time; an event meanwhile causes another one. */
static void look(struct tail *tail)
{
    if (tail->is_looking) {
        tail->looks_again = true;
        return;
    }
    tail->is_looking = true;
    tail->looks_again = false;
    if (tail->file) {
        look_at_file(tail);
    } else {
        look_at_name(tail);
    }
}

/* ---- the reader of the output ---- */

static void watch_output(struct tail *tail);

static void on_output_event(void *arg, int64_t events)
{
    struct tail *tail = arg;

    tail->output_watch = 0;
    if (events < 0) {
        return;
    }
    if (events & (POLLERR | POLLHUP)) {
        fail(tail, "standard output", -EPIPE);
    } else {
        watch_output(tail);
    }
}

/* Waits for the reader of a pipe to close it. There may be nothing to write for a long time, and then no write would
 * fail. POLLERR and POLLHUP are always reported; the requested events never occur on a pipe. */
static void watch_output(struct tail *tail)
{
    struct loop_sink *out = tail->env->out;
    struct loop_fd *fd = out->ops->fd ? out->ops->fd(out) : NULL;
    struct stat status;

    if (fd && fstat(STDOUT_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))) {
        tail->output_watch = loop_poll(fd, POLLPRI, on_output_event, tail);
        expect(tail, tail->output_watch);
    }
}

/* ---- watching ---- */

static void on_event(void *arg, int64_t result, const struct loop_watch_event *event)
{
    struct tail *tail = arg;

    if (event) {
        look(tail);
    } else if (result < 0) {
        fail(tail, tail->directory, result);
    } else {
        arguments_complain("%s: the directory has been removed", tail->directory);
        finish(tail, 1);
    }
}

/* Returns the directory part of a path: inotify reports names in a directory. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash) {
        return strdup(".");
    }
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static void on_real_path(void *arg, int64_t result)
{
    struct tail *tail = arg;

    if (result < 0) {
        tail->path = strdup(tail->name);
    }
    tail->directory = tail->path ? directory_of(tail->path) : NULL;
    if (!tail->directory) {
        fail(tail, tail->name, -ENOMEM);
    } else if (follows) {
        expect(tail, loop_fs_watch(tail->scope, tail->env->fs, tail->directory, on_event, tail));
    } else {
        look(tail);
    }
}

/* The reason was already reported. */
static void on_end(void *arg, int64_t error)
{
    (void)arg;
    (void)error;
}

static int start(struct loop_env *env, void *arg)
{
    struct tail *tail = arg;

    tail->env = env;
    tail->scope = loop_scope_open(env->scope, on_end, tail);
    if (!tail->scope) {
        return arguments_fail(tail->name, -ENOMEM);
    }
    loop_scope_hold(tail->scope);
    if (follows) {
        watch_output(tail);
    }
    expect(tail, loop_fs_realpath(tail->scope, env->fs, tail->name, &tail->path, on_real_path, tail));
    return 0;
}

int main(int argc, char **argv)
{
    static struct tail tail;

    tail.name = arguments_parse(&program, argc, argv)[0];
    int status = arguments_run(start, &tail);
    free(tail.path);
    free(tail.directory);
    return status != 0 ? status : tail.status;
}
