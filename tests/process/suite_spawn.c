/* SPDX-License-Identifier: ISC
 *
 * Starting programs: arguments, environment, directory, descriptors, user, limits, and each step that can fail.
 */
#include "programs.h"

#include <limits.h>
#include <stdio.h>

/* Reads all that the program writes to its descriptor 1 into `text`, and waits for its end. */
static char text[4096];

static loop_job read_output(void)
{
    memset(text, 0, sizeof text);
    return loop_read_exact(&loop_process_flow(process, 1)->source, text, sizeof text - 1, GO);
}

static const struct loop_spawn_fd output[] = {{.number = 1, .how = LOOP_SPAWN_OUTPUT}};

/* Checks the text of an error. The C libraries have different words for the errno. */
static void check_text(const char *program, const char *step, int error, const char *advice)
{
    char expected[LOOP_SPAWN_ERROR_SIZE];

    CHECK(snprintf(expected, sizeof expected, "starting %s: %s: %s%s", program, step, strerror(-error), advice) > 0);
    CHECK_TEXT(spawn_error.text, expected);
}

LOOP_TEST(a_program_gets_its_arguments_and_tells_its_status)
{
    static const char *const arguments[] = {"sh", "-c", "printf '%s|' \"$0\" \"$@\"; exit 7", "a b", "", "c\n", NULL};
    static const struct loop_spawn_options options = {.arguments = arguments, .fds = output, .n_fds = 1};

    BEGIN;
    AWAIT(loop_spawn(env->scope, "sh", &options, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    AWAIT(read_output());
    CHECK_TEXT(text, "a b||c\n|");
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, EXITED(7));
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, EXITED(7));
    CHECK_IS(loop_process_signal(process, SIGTERM), -ESRCH);
    CHECK_IS(loop_process_stop(process, 0), -ESRCH);
    END;
}

LOOP_TEST(a_program_has_the_name_alone_where_no_arguments_are_given)
{
    BEGIN;
    AWAIT(loop_spawn(env->scope, "true", NULL, &process, NULL, GO));
    CHECK(result > 0 && process);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(an_environment_is_the_whole_one)
{
    static const char *const environment[] = {"ONE=1", "PATH=/nowhere", NULL};
    static const struct loop_spawn_options options = {.environment = environment, .fds = output, .n_fds = 1};

    BEGIN;
    AWAIT(loop_spawn(env->scope, "env", &options, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    AWAIT(read_output());
    CHECK_TEXT(text, "ONE=1\nPATH=/nowhere\n");
    END;
}

LOOP_TEST(a_program_starts_in_the_directory_and_a_path_is_relative_to_that)
{
    static struct loop_dir *directory;
    static const char *path;
    static struct loop_spawn_options options = {.fds = output, .n_fds = 1};
    static char expected[PATH_MAX];

    BEGIN;
    path = make_directory();
    CHECK(snprintf(expected, sizeof expected, "%s/shell", path) > 0);
    CHECK_IS(symlink("/bin/sh", expected), 0);
    AWAIT(loop_fs_open_dir(env->scope, env->fs, path, &directory, GO));
    CHECK_IS(result, 0);
    options.directory = directory;
    static const char *const arguments[] = {"sh", "-c", "pwd -P", NULL};
    options.arguments = arguments;
    AWAIT(loop_spawn(env->scope, "./shell", &options, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    AWAIT(read_output());
    CHECK(snprintf(expected, sizeof expected, "%s\n", path) > 0);
    CHECK_TEXT(text, expected);
    CHECK_IS(loop_fd_close(directory->fd), 0);
    AWAIT(loop_spawn(env->scope, "./shell", &options, &process, &spawn_error, GO));
    CHECK_IS(result, -EBADF);
    CHECK(!process);
    remove_directory(path);
    END;
}

/* ---- descriptors ---- */

LOOP_TEST(a_program_inherits_nothing_but_what_it_was_given)
{
    static struct loop_spawn_options options = {.fds = output, .n_fds = 1};
    static int leak;

    BEGIN;
    leak = open("/dev/null", O_RDONLY); /* not CLOEXEC */
    CHECK(fcntl(leak, F_DUPFD, 100) >= 0);
    static const char *const arguments[] = {"sh", "-c", "cd /proc/self/fd && echo *", NULL};
    options.arguments = arguments;
    AWAIT(loop_spawn(env->scope, "sh", &options, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    AWAIT(read_output());
    if (strcmp(text, "0 1 2 3\n") != 0) { /* 3: of the shell, that reads the directory */
        CHECK_TEXT(text, "0 1 2\n");
    }
    close(100);
    close(leak);
    END;
}

LOOP_TEST(a_bare_program_has_not_even_the_standard_descriptors)
{
    static const struct loop_spawn_fd fds[] = {{.number = 7, .how = LOOP_SPAWN_OUTPUT}};

    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = fds, .n_fds = 1, .flags = LOOP_SPAWN_BARE},
                     "for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n >&7; done; echo end >&7", GO));
    CHECK_STARTED(result);
    CHECK(!loop_process_flow(process, 1));
    memset(text, 0, sizeof text);
    AWAIT(loop_read_exact(&loop_process_flow(process, 7)->source, text, sizeof text - 1, GO));
    CHECK_TEXT(text, "end\n");
    END;
}

/* The loop occupies the number while it runs, by a descriptor that leads to the root directory. */
static void spawn_without_input(struct loop_env *env, int64_t result)
{
    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1},
                     "[ -e /proc/$$/fd/0 ] && echo has 0; [ -e /proc/$$/fd/2 ] && echo has 2", GO));
    CHECK_STARTED(result);
    AWAIT(read_output());
    CHECK_TEXT(text, "has 2\n");
    END;
}

TEST(a_standard_descriptor_that_this_process_has_closed_is_closed_in_a_program)
{
    close(STDIN_FILENO);
    script_run(&(struct loop_options){.queue_depth = 0}, spawn_without_input);
}

LOOP_TEST(descriptors_may_change_their_places)
{
    static int ends[2], other[2];
    static struct loop_spawn_fd fds[5];

    BEGIN;
    make_pipe(ends);
    make_pipe(other);
    CHECK_IS(write(other[1], "given", 5), 5);
    /* each is where another shall be */
    fds[0] = (struct loop_spawn_fd){.number = ends[0], .how = LOOP_SPAWN_NUMBER, .from = ends[1]};
    fds[1] = (struct loop_spawn_fd){.number = ends[1], .how = LOOP_SPAWN_NUMBER, .from = other[0]};
    fds[2] = (struct loop_spawn_fd){.number = other[0], .how = LOOP_SPAWN_NUMBER, .from = ends[0]};
    fds[3] = (struct loop_spawn_fd){.number = 0, .how = LOOP_SPAWN_NUMBER, .from = other[0]};
    fds[4] = (struct loop_spawn_fd){.number = 1, .how = LOOP_SPAWN_NUMBER, .from = ends[1]};
    close(other[1]);
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = fds, .n_fds = 5}, "cat", GO));
    CHECK_STARTED(result);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, 0);
    CHECK_IS(read(ends[0], text, sizeof text), 5);
    CHECK(memcmp(text, "given", 5) == 0);
    close(ends[0]);
    close(ends[1]);
    close(other[0]);
    END;
}

LOOP_TEST(input_output_and_sockets_are_flows)
{
    static const struct loop_spawn_fd fds[] = {{.number = 0, .how = LOOP_SPAWN_INPUT},
                                               {.number = 1, .how = LOOP_SPAWN_OUTPUT},
                                               {.number = 2, .how = LOOP_SPAWN_NULL},
                                               {.number = 9, .how = LOOP_SPAWN_SOCKET}};
    static char answer[8];

    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = fds, .n_fds = 4},
                     "cat; exec >&-; echo lost >&2; read line <&9; echo got $line >&9", GO));
    CHECK_STARTED(result);
    START(loop_write(&loop_process_flow(process, 0)->sink, "some input", 10, NULL, NULL));
    START(loop_shutdown(&loop_process_flow(process, 0)->sink, NULL, NULL));
    AWAIT(read_output());
    CHECK_TEXT(text, "some input");
    START(loop_write(&loop_process_flow(process, 9)->sink, "it\n", 3, NULL, NULL));
    AWAIT(loop_read_exact(&loop_process_flow(process, 9)->source, answer, 7, GO));
    CHECK_TEXT(answer, "got it\n");
    CHECK(!loop_process_flow(process, 2) && !loop_process_flow(process, 5));
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(a_descriptor_of_the_loop_stays_open_until_the_program_has_it)
{
    static struct loop_fd *fd;
    static struct once started;
    static int ends[2];

    BEGIN;
    make_pipe(ends);
    fd = loop_fd_borrow(env->scope, ends[1]);
    CHECK(fd);
    const struct loop_spawn_fd fds[] = {{.number = 1, .how = LOOP_SPAWN_FD, .fd = fd}};
    START(shell_with(env->scope, (struct loop_spawn_options){.fds = fds, .n_fds = 1}, "echo here", ONCE(&started)));
    CHECK_IS(loop_fd_close(fd), 0);
    WAIT_UNTIL(started.count);
    CHECK_STARTED(started.result);
    AWAIT(loop_process_wait(NULL, process, GO));
    CHECK_IS(read(ends[0], text, sizeof text), 5);
    close(ends[0]);
    close(ends[1]);
    END;
}

/* ---- signals ---- */

LOOP_TEST(a_program_has_the_mask_and_default_actions)
{
    static struct once term;
    static struct loop_spawn_options options = {.fds = output, .n_fds = 1};

    BEGIN;
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    term.count = 0;
    loop_job waiting = START(loop_signal(env->scope, SIGTERM, ONCE(&term)));
    static const char *const arguments[] = {"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL};
    options.arguments = arguments;
    CHECK_IS(loop_cancel(env->loop, waiting), 0);
    AWAIT(loop_spawn(env->scope, "grep", &options, &process, &spawn_error, GO));
    CHECK_STARTED(result);
    AWAIT(read_output());
    CHECK_TEXT(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
    END;
}

/* ---- sessions, limits, users ---- */

LOOP_TEST_ROWS(a_group_and_a_session_are_the_childs_own, 2)
{
    static struct loop_spawn_options options = {.fds = output, .n_fds = 1};
    static char expected[64];

    BEGIN;
    options.flags = script.row == 0 ? LOOP_SPAWN_GROUP : LOOP_SPAWN_SESSION;
    AWAIT(shell_with(env->scope, options, "cut -d ' ' -f 5,6 /proc/$$/stat", GO));
    CHECK_STARTED(result);
    CHECK(snprintf(expected, sizeof expected, "%d %d\n", (int)result, script.row == 0 ? (int)getsid(0) : (int)result) >
          0);
    AWAIT(read_output());
    CHECK_TEXT(text, expected);
    END;
}

LOOP_TEST(limits_are_the_programs)
{
    static const struct loop_spawn_limit limits[] = {{RLIMIT_NOFILE, {17, 19}}, {RLIMIT_CORE, {0, 0}}};

    BEGIN;
    AWAIT(shell_with(env->scope,
                     (struct loop_spawn_options){.fds = output, .n_fds = 1, .limits = limits, .n_limits = 2},
                     "ulimit -Sn; ulimit -Hn; ulimit -c", GO));
    CHECK_STARTED(result);
    AWAIT(read_output());
    CHECK_TEXT(text, "17\n19\n0\n");
    END;
}

LOOP_TEST(the_highest_number_leaves_room_for_those_that_are_asked_for)
{
    static struct loop_spawn_fd fds[] = {{.number = 1, .how = LOOP_SPAWN_OUTPUT}, {.number = 256 - 2 - 1}};
    static struct rlimit before, few;

    BEGIN;
    CHECK_IS(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){256, before.rlim_max};
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &few), 0);
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = fds, .n_fds = 2},
                     "[ -e /proc/$$/fd/253 ] && [ -e /proc/$$/fd/2 ] && echo there", GO));
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_STARTED(result);
    AWAIT(read_output());
    CHECK_TEXT(text, "there\n");
    END;
}

LOOP_TEST(a_user_is_taken_with_the_groups_that_are_given)
{
    static const gid_t groups[] = {60001, 60002};
    static const struct loop_spawn_user user = {.uid = 60000, .gid = 60001, .groups = groups, .n_groups = 2};

    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1, .user = &user},
                     "id -u; id -g; id -G", GO));
    if (geteuid() != 0) {
        CHECK_IS(result, -EPERM);
        check_text("sh", "becoming its user", -EPERM, " (this process lacks the privilege)");
    } else {
        CHECK_STARTED(result);
        AWAIT(read_output());
        CHECK_TEXT(text, "60000\n60001\n60001 60002\n");
    }
    END;
}

/* ---- failures ---- */

static const struct failure {
    const char *program;
    int error;
    const char *advice;
} failures[] = {
    {"no-such-program", -ENOENT, " (it is in no directory of PATH, or the interpreter that it names is missing)"},
    {"/no/such", -ENOENT, " (there is no such file, or not the interpreter that it names)"},
    {"/etc", -EACCES, ""},
    {"/etc/passwd/x", -ENOTDIR, ""},
    {"", -ENOENT, " (there is no such file, or not the interpreter that it names)"},
};

LOOP_TEST_ROWS(p31_a_program_that_does_not_start_names_the_step, COUNT_OF(failures))
{
    BEGIN;
    AWAIT(loop_spawn(env->scope, failures[script.row].program, NULL, &process, &spawn_error, GO));
    CHECK_IS(result, failures[script.row].error);
    CHECK(!process);
    check_text(failures[script.row].program, "executing it", (int)result, failures[script.row].advice);
    CHECK_IS(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    END;
}

LOOP_TEST(a_script_without_an_interpreter_is_refused)
{
    static const char *directory;
    static char path[PATH_MAX];

    BEGIN;
    directory = make_directory();
    CHECK(snprintf(path, sizeof path, "%s/script", directory) > 0);
    int number = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    CHECK_IS(write(number, "echo here\n", 10), 10);
    close(number);
    AWAIT(loop_spawn(env->scope, path, NULL, &process, &spawn_error, GO));
    CHECK_IS(result, -ENOEXEC);
    CHECK(strstr(spawn_error.text, "(a script begins with \"#!\" and its interpreter)"));
    remove_directory(directory);
    END;
}

LOOP_TEST(options_that_make_no_sense_are_refused)
{
    static const struct loop_spawn_fd twice[] = {{.number = 4, .how = LOOP_SPAWN_NULL},
                                                 {.number = 4, .how = LOOP_SPAWN_OUTPUT}},
                                      negative[] = {{.number = -1, .how = LOOP_SPAWN_NULL}},
                                      closed[] = {{.number = 4, .how = LOOP_SPAWN_NUMBER, .from = 999}},
                                      none[] = {{.number = 4, .how = LOOP_SPAWN_FD}},
                                      minus[] = {{.number = 4, .how = LOOP_SPAWN_NUMBER, .from = -1}};
    static const char *const no_arguments[] = {NULL};
    static const struct {
        struct loop_spawn_options options;
        int error;
        const char *bad;
    } rows[] = {{{.fds = twice, .n_fds = 2}, -EINVAL, ": descriptor 4: "},
                {{.fds = negative, .n_fds = 1}, -EINVAL, ": descriptor -1: "},
                {{.fds = closed, .n_fds = 1}, -EBADF, ": setting its descriptors: "},
                {{.fds = none, .n_fds = 1}, -EINVAL, ": descriptor 4: "},
                {{.fds = minus, .n_fds = 1}, -EBADF, ": descriptor 4: "},
                {{.n_fds = 1}, -EINVAL, ": its options: "},
                {{.n_limits = 1}, -EINVAL, ": its options: "},
                {{.flags = 1u << 10}, -EINVAL, ": its options: "},
                {{.grace_ns = -1}, -EINVAL, ": its options: "},
                {{.arguments = no_arguments}, -EINVAL, ": its options: "}};
    static size_t row;

    BEGIN;
    for (row = 0; row < COUNT_OF(rows); row++) {
        AWAIT(loop_spawn(env->scope, "true", &rows[row].options, &process, &spawn_error, GO));
        CHECK_IS(result, rows[row].error);
        CHECK(!process);
        CHECK(strstr(spawn_error.text, rows[row].bad));
    }
    END;
}

LOOP_TEST(limits_of_descriptors_are_told)
{
    static const struct loop_spawn_fd high[] = {{.number = 2000000000, .how = LOOP_SPAWN_NULL}};
    static rlim_t before;

    BEGIN;
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = high, .n_fds = 1}, "true", GO));
    CHECK_IS(result, -EMFILE);
    check_text("sh", "setting its descriptors", -EMFILE, "");
    before = forbid_fds();
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1}, "true", GO));
    CHECK_IS(result, -EMFILE);
    check_text("sh", "making its pipes", -EMFILE, "");
    AWAIT(shell_with(env->scope, (struct loop_spawn_options){.n_fds = 0}, "true", GO));
    CHECK_IS(result, -EMFILE);
    check_text("sh", "creating a process", -EMFILE, "");
    limit_fds(before);
    END;
}

#if !HAS_SANITIZER
/* Each allocation of a start fails in turn: it is refused or ends with an error, and leaves nothing. */
LOOP_TEST(p31_memory_that_is_missing_at_any_point_is_told)
{
    static unsigned long nth;
    static struct once started;

    BEGIN;
    for (nth = 1;; nth++) {
        started = (struct once){0};
        fail_allocation(nth, false);
        if (shell_with(env->scope, (struct loop_spawn_options){.fds = output, .n_fds = 1}, "exit 3", ONCE(&started))) {
            WAIT_UNTIL(started.count);
            if (started.result > 0) {
                fail_allocation(0, false);
                AWAIT(loop_process_wait(NULL, process, GO));
                CHECK_IS(result, EXITED(3));
            } else {
                CHECK_IS(started.result, -ENOMEM);
                CHECK(!process);
            }
        }
        bool has_failed = allocation_failed();
        fail_allocation(0, false);
        if (!has_failed) {
            break;
        }
    }
    CHECK(nth > 5);
    CHECK_IS(waitpid(-1, NULL, WNOHANG), -1);
    END;
}
#endif
