/* SPDX-License-Identifier: ISC
 *
 * Makes plans: checks what was asked for and copies it, and works out the descriptors that the program has.
 */
#include <fs/fs.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/process.h>
#include <loop/part.h>
#include <process/plan.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Where programs are looked for when PATH is not set. */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* What every program has unless it was asked otherwise: standard input, output and error. */
#define N_STANDARD 3

/* ---- memory ---- */

/* Returns memory that is freed with the plan, or NULL; plan->has_no_memory tells whether any was refused. */
static void *keep(struct loop_plan *plan, size_t size_bytes)
{
    struct loop_plan_piece *piece = loop_kernel_calloc(1, sizeof *piece + size_bytes);

    if (!piece) {
        plan->has_no_memory = true;
        return NULL;
    }
    piece->next = plan->pieces;
    plan->pieces = piece;
    return piece->bytes;
}

static void *keep_copy(struct loop_plan *plan, const void *bytes, size_t size_bytes)
{
    void *copy = keep(plan, size_bytes);

    return copy && size_bytes > 0 ? memcpy(copy, bytes, size_bytes) : copy;
}

/* Copies a list of texts that ends with NULL, and the texts, into one piece. */
static char **keep_texts(struct loop_plan *plan, const char *const *texts)
{
    size_t n = 0, size_bytes = sizeof *texts;

    for (; texts[n]; n++) {
        size_bytes += sizeof *texts + strlen(texts[n]) + 1;
    }
    char **copies = keep(plan, size_bytes);
    if (!copies) {
        return NULL;
    }
    char *to = (char *)(copies + n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(texts[i]) + 1;
        copies[i] = memcpy(to, texts[i], len);
        to += len;
    }
    copies[n] = NULL;
    return copies;
}

/* ---- where the program is ---- */

/* Writes DIRECTORY/NAME, for the directory at `*at` of PATH, and moves `*at` behind that. Returns the end. */
static char *write_path(char *to, const char **at, const char *name)
{
    size_t len = strcspn(*at, ":"), name_len = strlen(name);

    memcpy(to, *at, len);
    *at += len;
    to += len;
    if (len > 0) { /* an empty one is the current directory */
        *to++ = '/';
    }
    memcpy(to, name, name_len + 1);
    return to + name_len + 1;
}

static const char **keep_search(struct loop_plan *plan, const char *name, const char *where)
{
    size_t n = 1, name_len = strlen(name);

    for (const char *at = where; *at; at++) {
        n += *at == ':';
    }
    const char **paths = keep(plan, (n + 1) * sizeof *paths + strlen(where) + n * (name_len + 2));
    if (!paths) {
        return NULL;
    }
    char *to = (char *)(paths + n + 1);
    for (size_t i = 0; i < n; i++) {
        paths[i] = to;
        to = write_path(to, &where, name);
        where += *where == ':';
    }
    paths[n] = NULL;
    return paths;
}

static void find_program(struct loop_plan *plan)
{
    const char *where = loop_kernel_getenv("PATH");
    const char *const path[] = {plan->name, NULL};

    plan->program.is_searched = !strchr(plan->name, '/') && *plan->name;
    if (!plan->program.is_searched) {
        plan->program.paths = (const char **)(void *)keep_texts(plan, path);
    } else {
        plan->program.paths = keep_search(plan, plan->name, where ? where : DEFAULT_PATH);
    }
}

/* ---- descriptors ---- */

static bool is_in(const struct loop_spawn_options *options, int number)
{
    for (size_t i = 0; i < options->n_fds; i++) {
        if (options->fds[i].number == number) {
            return true;
        }
    }
    return false;
}

/* Puts a descriptor in its place, by ascending numbers. Returns -EINVAL for a number that is there already. */
static int insert(struct loop_plan *plan, struct loop_plan_fd fd)
{
    size_t at = plan->n_fds;

    for (; at > 0 && plan->fds[at - 1].number >= fd.number; at--) {
        if (plan->fds[at - 1].number == fd.number) {
            return -EINVAL;
        }
    }
    memmove(&plan->fds[at + 1], &plan->fds[at], (plan->n_fds - at) * sizeof *plan->fds);
    plan->fds[at] = fd;
    plan->n_fds++;
    return 0;
}

/* Uses a descriptor of this loop. Returns its number or -errno. */
static int use(const struct loop_plan *plan, struct loop_fd *fd)
{
    bool is_ours = fd && loop_scope_loop(loop_fd_scope(fd)) == plan->loop;

    return is_ours ? loop_fd_use(fd) : -EINVAL;
}

/* Adds one that was asked for. Returns 0 or -errno. */
static int add_asked(struct loop_plan *plan, const struct loop_spawn_fd *asked)
{
    struct loop_plan_fd fd = {.how = asked->how, .number = asked->number, .from = -1, .ours = -1};

    if (asked->number < 0 || asked->number == INT_MAX || (unsigned)asked->how > LOOP_SPAWN_TERMINAL) {
        return -EINVAL;
    }
    if (asked->how == LOOP_SPAWN_NUMBER) {
        fd.from = asked->from;
    } else if (asked->how == LOOP_SPAWN_FD) {
        fd.from = use(plan, asked->fd);
        fd.used = fd.from >= 0 ? asked->fd : NULL;
    }
    bool is_given = asked->how == LOOP_SPAWN_NUMBER || asked->how == LOOP_SPAWN_FD;
    int error = is_given && fd.from < 0 ? (fd.from == -EINVAL ? -EINVAL : -EBADF) : insert(plan, fd);
    if (error < 0 && fd.used) {
        loop_fd_unuse(fd.used);
    }
    return error;
}

/* Returns whether this process has a descriptor that can be read or written. The loop's own stand for closed ones: they
 * are O_PATH, and would lead the program to the root directory of this process. */
static bool is_stream(int number)
{
    int flags = loop_kernel_fcntl(number, F_GETFL, 0);

    return flags >= 0 && !(flags & O_PATH);
}

static int add_fds(struct loop_plan *plan, const struct loop_spawn_options *options)
{
    int error = 0;

    plan->fds = keep(plan, (options->n_fds + N_STANDARD) * sizeof *plan->fds);
    plan->program.fds = keep(plan, (options->n_fds + N_STANDARD) * sizeof *plan->program.fds);
    if (plan->has_no_memory) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < options->n_fds && error == 0; i++) {
        error = add_asked(plan, &options->fds[i]);
        if (error < 0) {
            snprintf(plan->bad, sizeof plan->bad, "descriptor %d", options->fds[i].number);
        }
        plan->program.has_session |= options->fds[i].how == LOOP_SPAWN_TERMINAL;
    }
    for (int number = 0; number < N_STANDARD && error == 0 && !(options->flags & LOOP_SPAWN_BARE); number++) {
        if (!is_in(options, number) && is_stream(number)) {
            error = insert(
                plan, (struct loop_plan_fd){.how = LOOP_SPAWN_NUMBER, .number = number, .from = number, .ours = -1});
        }
    }
    return error;
}

static int use_directory(struct loop_plan *plan, const struct loop_dir *directory)
{
    plan->program.directory = -1;
    if (!directory || !directory->fd) {
        return 0;
    }
    plan->program.directory = use(plan, directory->fd);
    if (plan->program.directory < 0) {
        snprintf(plan->bad, sizeof plan->bad, "its directory");
        return plan->program.directory;
    }
    plan->directory = directory->fd;
    return 0;
}

/* ---- the rest ---- */

static int check(struct loop_plan *plan, const struct loop_spawn_options *options)
{
    const unsigned known = LOOP_SPAWN_GROUP | LOOP_SPAWN_SESSION | LOOP_SPAWN_BARE;
    const struct loop_spawn_user *user = options->user;

    if ((options->flags & ~known) != 0 || options->rows > USHRT_MAX || options->columns > USHRT_MAX ||
        options->grace_ns < 0 || options->n_fds > INT_MAX || (options->n_fds > 0 && !options->fds) ||
        (options->n_limits > 0 && !options->limits) || (options->arguments && !options->arguments[0]) ||
        (user && user->n_groups > 0 && !user->groups)) {
        snprintf(plan->bad, sizeof plan->bad, "its options");
        return -EINVAL;
    }
    return 0;
}

static void copy_user(struct loop_plan *plan, const struct loop_spawn_user *user)
{
    struct loop_program *program = &plan->program;

    if (user) {
        program->has_user = true;
        program->uid = user->uid;
        program->gid = user->gid;
        program->groups = keep_copy(plan, user->groups, user->n_groups * sizeof *user->groups);
        program->n_groups = user->n_groups;
    }
}

static void copy_limits(struct loop_plan *plan, const struct loop_spawn_options *options)
{
    struct loop_program_limit *limits = keep(plan, options->n_limits * sizeof *limits);

    for (size_t i = 0; limits && i < options->n_limits; i++) {
        limits[i].resource = options->limits[i].resource;
        limits[i].limit = options->limits[i].limit;
    }
    plan->program.limits = limits;
    plan->program.n_limits = options->n_limits;
}

static void copy_texts(struct loop_plan *plan, const struct loop_spawn_options *options)
{
    const char *const name_alone[] = {plan->name, NULL};
    const char *const *environment = options->environment;

    plan->program.arguments = keep_texts(plan, options->arguments ? options->arguments : name_alone);
    if (!environment) {
        environment = (const char *const *)loop_kernel_environ();
    }
    plan->program.environment = keep_texts(plan, environment ? environment : &name_alone[1]);
}

/* Fills the plan. Returns 0 or -errno. */
static int64_t fill(struct loop_plan *plan, const struct loop_spawn_options *options)
{
    int64_t error = check(plan, options);

    if (error == 0) {
        error = use_directory(plan, options->directory);
    }
    if (error == 0) {
        error = add_fds(plan, options);
    }
    if (error < 0) {
        return error;
    }
    copy_texts(plan, options);
    copy_user(plan, options->user);
    copy_limits(plan, options);
    find_program(plan);
    plan->program.has_group = options->flags & LOOP_SPAWN_GROUP;
    plan->program.has_session |= options->flags & LOOP_SPAWN_SESSION;
    plan->size = (struct winsize){.ws_row = (unsigned short)options->rows, .ws_col = (unsigned short)options->columns};
    plan->program.parent = loop_kernel_getpid();
    return plan->has_no_memory ? -ENOMEM : 0;
}

struct loop_plan *loop_plan_create(struct loop *loop, const char *program, const struct loop_spawn_options *options,
                                   int64_t *error)
{
    static const struct loop_spawn_options none;
    struct loop_plan *plan = loop_kernel_calloc(1, sizeof *plan);

    if (!plan) {
        return NULL;
    }
    plan->pidfd = -1;
    plan->program.terminal = -1;
    plan->loop = loop;
    loop_saved_mask(loop, &plan->program.mask);
    plan->name = keep_copy(plan, program, strlen(program) + 1);
    *error = plan->name ? fill(plan, options ? options : &none) : -ENOMEM;
    return plan;
}
