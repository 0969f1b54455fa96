/* SPDX-License-Identifier: ISC
 *
 * Listeners on the path of a Unix socket: ownership of the socket file, and servers that start on one path at the same
 * time.
 */
#include "sockets.h"

#include <loop/part.h>

#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- listening, accepting, connecting ---- */

LOOP_TEST(the_file_of_a_unix_listener_goes_with_it)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    listener = listen_at(env->scope, &address, unix_path(directory));
    CHECK_IS(stat(socket_file(), &status), 0);
    CHECK(S_ISSOCK(status.st_mode));
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK_IS(loop_listener_close(listener), -EBADF);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(stat(socket_file(), &status), -1);
    remove_directory(directory);
    END;
}

LOOP_TEST(somebody_elses_file_stays)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    listener = listen_at(env->scope, &address, unix_path(directory));
    CHECK_IS(unlink(socket_file()), 0);
    close(open(socket_file(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_IS(loop_listener_close(listener), 0);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(stat(socket_file(), &status), 0);
    remove_directory(directory);
    END;
}

LOOP_TEST(a_stale_unix_socket_is_replaced_when_asked)
{
    static struct loop_address address;
    static struct loop_listener *listener, *second;
    static struct loop_listen_options reuse = {.reuse_addr = true};
    static const char *directory;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_stale(&address);
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), -EADDRINUSE);
    CHECK(!listener);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &listener), 0);
    /* One that is alive is not. */
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &second), -EADDRINUSE);
    CHECK(!second);
    CHECK_IS(loop_listener_close(listener), 0);
    /* Nor is a file that is no socket. */
    close(open(socket_file(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &second), -EADDRINUSE);
    CHECK_IS(access(socket_file(), F_OK), 0);
    remove_directory(directory);
    END;
}

LOOP_TEST(the_mode_of_a_unix_socket)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_listen_options options = {.mode = 0620};
    static const char *directory;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    CHECK_IS(loop_listen(env->scope, &address, &options, &listener), 0);
    CHECK_IS(stat(socket_file(), &status), 0);
    CHECK_IS(status.st_mode & 0777, 0620);
    CHECK_IS(loop_listener_close(listener), 0);
    remove_directory(directory);
    END;
}

/* ---- listen, accept ---- */

LOOP_TEST(a_relative_unix_path_is_removed_from_any_directory)
{
    static const char *directory;
    static struct loop_listener *listener;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    CHECK_IS(chdir(directory), 0);
    struct loop_address address = parsed("unix:relative");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    CHECK_IS(lstat("relative", &status), 0);
    CHECK_IS(chdir("/"), 0);
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK(faccessat(AT_FDCWD, directory, F_OK, 0) == 0);
    CHECK_IS(chdir(directory), 0);
    CHECK_IS(lstat("relative", &status), -1);
    CHECK_IS(errno, ENOENT);
    CHECK_IS(chdir("/"), 0);
    remove_directory(directory);
    END;
}

static const char *lock_in(const char *directory)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/socket.lock", directory);
    return path;
}

/* ---- two servers on one path ---- */

static const struct loop_listen_options reuse = {.reuse_addr = true};

/* The other server is between bind and listen, where a connect to it is refused. */
LOOP_TEST(a_server_that_is_starting_keeps_its_unix_socket)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    int other, lock;
    struct stat status;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    lock = open(lock_in(directory), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
    other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(other, &address.u.any, address.length), 0);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &listener), -EADDRINUSE);
    CHECK_IS(stat(socket_file(), &status), 0);
    close(other);
    close(lock);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &listener), 0);
    CHECK_IS(access(lock_in(directory), F_OK), -1);
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK_IS(access(lock_in(directory), F_OK), -1);
    remove_directory(directory);
    END;
}

/* Many programs start at the same time on the file that a killed one has left: one of them listens, and keeps its
 * file. */
#define RACERS 8

struct race {
    struct loop_address address;
    int start, done; /* ends of pipes: the race begins, and is over, when the other ends close */
};

static int listen_and_stay(struct loop_env *env, void *arg)
{
    const struct race *race = arg;
    struct loop_listener *listener;
    struct stat mine, there;
    char byte;

    CHECK_IS(read(race->start, &byte, 1), 0);
    int error = loop_listen(env->scope, &race->address, &reuse, &listener);
    if (error == 0) {
        CHECK_IS(stat(socket_file(), &mine), 0);
    }
    CHECK_IS(read(race->done, &byte, 1), 0);
    if (error == 0) {
        CHECK_IS(stat(socket_file(), &there), 0);
        CHECK(mine.st_ino == there.st_ino);
    }
    return error == 0 ? 1 : error == -EADDRINUSE ? 2 : 3;
}

static pid_t start_racer(struct race *race, const int start[2], const int done[2])
{
    pid_t child = fork();

    if (child == 0) {
        close(start[1]);
        close(done[1]);
        race->start = start[0];
        race->done = done[0];
        _exit(loop_run(0, 0, 0, NULL, listen_and_stay, race));
    }
    CHECK(child > 0);
    return child;
}

static unsigned count_winners(struct race *race)
{
    pid_t children[RACERS];
    int start[2], done[2], status;
    unsigned winners = 0;

    make_pipe(start);
    make_pipe(done);
    for (unsigned i = 0; i < RACERS; i++) {
        children[i] = start_racer(race, start, done);
    }
    close(start[0]);
    close(done[0]);
    close(start[1]);
    close(done[1]);
    for (unsigned i = 0; i < RACERS; i++) {
        CHECK_IS(waitpid(children[i], &status, 0), children[i]);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 2));
        winners += WEXITSTATUS(status) == 1;
    }
    return winners;
}

TEST(of_servers_that_start_at_once_none_loses_its_file)
{
    const char *directory = make_directory();
    struct race race = {.address = parsed(unix_path(directory))};

    for (unsigned round = 0; round < 20; round++) {
        int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_IS(bind(stale, &race.address.u.any, race.address.length), 0);
        close(stale);
        CHECK(count_winners(&race) >= 1);
        (void)unlink(socket_file());
    }
    remove_directory(directory);
}

LOOP_TEST(a_refused_start_leaves_the_socket_and_no_lock)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    struct loop_listen_options options = {.reuse_addr = true, .mode = 0666};
    struct stat status;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    CHECK_IS(loop_listen(env->scope, &address, &options, &listener), 0);
    CHECK_IS(stat(socket_file(), &status), 0);
    CHECK_IS(status.st_mode & 0777, 0666);
    CHECK_IS(loop_listen(env->scope, &address, &options, &listener), -EADDRINUSE);
    CHECK_IS(access(lock_in(directory), F_OK), -1);
    (void)unlink(socket_file());
    remove_directory(directory);
    END;
}
