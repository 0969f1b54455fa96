/* SPDX-License-Identifier: ISC
 *
 * Real servers for the tests of the adapters: started by a test in a directory of its own, and ended by it.
 */
#ifndef TESTS_ADAPTERS_SERVERS_H
#define TESTS_ADAPTERS_SERVERS_H

#include "harness.h"

#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct server {
    pid_t pid;
    int output; /* a pipe from its output */
    char directory[PATH_MAX];
    char text[65536]; /* what it printed at its start */
};

static inline void server_child(const char *const *arguments, int output, uid_t user)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    unsetenv("NORIA_HARD");           /* that is for the test itself */
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive the test */
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    dup2(output, 1);
    dup2(output, 2);
    if (user != 0 && (setgroups(0, NULL) || setgid(user) || setuid(user))) {
        _exit(126);
    }
    execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Starts a program, as `user` unless that is 0. */
static inline void server_fork(struct server *server, const char *const *arguments, uid_t user)
{
    int ends[2];

    CHECK_IS(pipe2(ends, O_CLOEXEC), 0);
    server->pid = fork();
    CHECK(server->pid >= 0);
    if (server->pid == 0) {
        server_child(arguments, ends[1], user);
    }
    close(ends[1]);
    server->output = ends[0];
}

/* Starts a server, and returns when it has printed `word`. */
static inline void server_start(struct server *server, const char *const *arguments, uid_t user, const char *word)
{
    size_t at = 0;
    ssize_t n;

    server_fork(server, arguments, user);
    do {
        n = read(server->output, server->text + at, sizeof server->text - 1 - at);
        at += n > 0 ? (size_t)n : 0;
        server->text[at] = 0;
    } while (n > 0 && !strstr(server->text, word));
    if (n <= 0) {
        ck_abort_msg("%s has not begun: %s", arguments[0], server->text);
    }
}

static inline int server_end(struct server *server, int signal_number)
{
    int status = 0;

    kill(server->pid, signal_number);
    CHECK_IS(waitpid(server->pid, &status, 0), server->pid);
    close(server->output);
    server->pid = 0;
    return status;
}

/* Runs a program to its end, which has to be a good one. */
static inline void server_run(const char *const *arguments, uid_t user)
{
    struct server server;
    int status = 0;
    char text[4096];

    server_fork(&server, arguments, user);
    while (read(server.output, text, sizeof text) > 0) {
    }
    CHECK_IS(waitpid(server.pid, &status, 0), server.pid);
    close(server.output);
    if (status != 0) {
        ck_abort_msg("%s has ended with status 0x%x", arguments[0], (unsigned)status);
    }
}

/* Ends it at once, as a crash would. */
static inline void server_kill(struct server *server)
{
    server_end(server, SIGKILL);
}

/* Creates the directory of the server. */
static inline void server_prepare(struct server *server)
{
    CHECK(snprintf(server->directory, sizeof server->directory, "%s", make_directory()) > 0);
}

static inline void server_finish(struct server *server)
{
    if (server->pid) {
        server_kill(server);
    }
    remove_directory(server->directory);
}

#endif
