/* SPDX-License-Identifier: ISC
 *
 * Forks of a program with a loop (P21, P24): the child inherits nothing, and the parent continues.
 */
#include "sockets.h"

#include <loop/syscall/interrupt.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

/* ---- P21: from elsewhere ---- */

static int count_inheritable(struct loop_env *env, void *before)
{
    struct loop_flow *flows[2];
    struct loop_source *source;
    struct loop_sink *sink;
    unsigned inheritable = 0;

    make_flows(env->scope, flows);
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    CHECK_IS(loop_socketpair(env->scope, &flows[0], &flows[1]), 0);
    CHECK(loop_signal(env->scope, SIGUSR1, NULL, NULL) != 0);
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        inheritable += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    CHECK_IS(inheritable, *(unsigned *)before);
    loop_scope_cancel(env->scope);
    return 0;
}

TEST(p21_every_descriptor_is_cloexec)
{
    unsigned before = 0;

    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        before += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    CHECK_IS(run(count_inheritable, &before), -ECANCELED);
}

/* ---- forks ---- */

static void never_run(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    _exit(66);
}

LOOP_TEST(p21_a_fork_in_mid_flight_leaves_the_parent_alone)
{
    static struct loop_flow *flows[2];
    static struct loop_inbox *inbox;
    static struct once read, sleep;
    static char buffer[4];
    static pid_t child;
    static int status;

    BEGIN;
    make_flows(env->scope, flows);
    inbox = loop_inbox_ref(env->loop);
    START(loop_read_exact(&flows[0]->source, buffer, 4, ONCE(&read)));
    START(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, ONCE(&sleep)));
    AWAIT(turns(env->scope, 2, GO));
    START(loop_op_nop(env->scope, NULL, NULL));
    child = fork();
    if (child == 0) {
        _exit(loop_post(inbox, never_run, NULL) == -ESHUTDOWN ? 0 : 65);
    }
    CHECK(child > 0);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    AWAIT(loop_write(&flows[1]->sink, "fork", 4, GO));
    WAIT_UNTIL(read.count && sleep.count);
    ONCE_IS(read, 4);
    CHECK(memcmp(buffer, "fork", 4) == 0);
    loop_inbox_unref(inbox);
    END;
}

static int run_anew(struct loop_env *env, void *unused)
{
    (void)unused;
    return loop_sleep(env->scope, 0, NULL, NULL) ? 5 : 6;
}

static void *run_in_thread(void *answer)
{
    *(int *)answer = loop_run_with(&(struct loop_options){.queue_depth = 0}, run_anew, NULL);
    return NULL;
}

/* The child's other threads may run loops of their own. */
LOOP_TEST(p24_a_forked_child_can_run_a_loop_of_its_own)
{
    static pid_t child;
    static int status;

    BEGIN;
    AWAIT(turns(env->scope, 2, GO));
    child = fork();
    if (child == 0) {
        pthread_t thread;
        int answer = 1;
        pthread_create(&thread, NULL, run_in_thread, &answer);
        pthread_join(thread, NULL);
        _exit(answer == 5 ? 0 : 65);
    }
    CHECK(child > 0);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    AWAIT(turns(env->scope, 5, GO));
    END;
}

static int64_t read_byte(void *number)
{
    char byte;

    return read(*(int *)number, &byte, 1) < 0 ? -errno : 1;
}

/* A loop that interrupts its work, in a child that has inherited the handler of its parent's. */
static int interrupt_work(struct loop_env *env, void *number)
{
    CHECK(loop_work(env->scope, read_byte, number, NULL, NULL) != 0);
    loop_scope_deadline(env->scope, loop_now(env->loop) + 5 * LOOP_MILLISECOND);
    return 0;
}

static void *interrupt_in_thread(void *number)
{
    struct loop_options options = {.interrupt_signal = SIGRTMIN};
    struct sigaction after;

    CHECK_IS(loop_run_with(&options, interrupt_work, number), -ETIMEDOUT);
    CHECK_IS(sigaction(SIGRTMIN, NULL, &after), 0);
    return after.sa_handler == SIG_DFL ? number : NULL;
}

LOOP_TEST_WITH(p27_a_forked_child_interrupts_work_of_its_own, .interrupt_signal = SIGRTMIN)
{
    static struct sigaction now;
    static int gate[2];
    static pid_t child;
    static int status;

    BEGIN;
    make_pipe(gate);
    AWAIT(turns(env->scope, 2, GO));
    child = fork();
    if (child == 0) {
        pthread_t thread;
        void *answer = NULL;
        pthread_create(&thread, NULL, interrupt_in_thread, &gate[0]);
        pthread_join(thread, &answer);
        _exit(answer ? 0 : 65);
    }
    CHECK(child > 0);
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    CHECK_IS(sigaction(SIGRTMIN, NULL, &now), 0);
    CHECK(now.sa_handler != SIG_DFL);
    close(gate[0]);
    close(gate[1]);
    END;
}

/* The users of a signal that are counted are loops of the parent: none of them can end in the child. */
TEST(p27_a_forked_child_leaves_the_handler_of_its_parent)
{
    const struct loop_options options = {.interrupt_signal = SIGRTMIN};
    struct sigaction now;
    pid_t child;
    int status;

    CHECK_IS(loop_interrupt_begin(&options), 0);
    child = fork();
    if (child == 0) {
        loop_interrupt_end(&options);
        _exit(sigaction(SIGRTMIN, NULL, &now) == 0 && now.sa_handler != SIG_DFL ? 0 : 65);
    }
    CHECK_IS(waitpid(child, &status, 0), child);
    CHECK_IS(status, 0);
    loop_interrupt_end(&options);
    CHECK_IS(sigaction(SIGRTMIN, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
}

/* ---- continuations that do what they like ---- */

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 0;
}

/* ---- forks ---- */

/* What a child finds of the loop: a closed box, and no ring under any of the numbers it has inherited. */
static int look_around(struct loop_inbox *inbox)
{
    char path[64], what[64];

    if (loop_post(inbox, never_run, NULL) != -ESHUTDOWN) {
        return 1;
    }
    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, what, sizeof what - 1);
        what[length > 0 ? length : 0] = 0;
        if (strstr(what, "io_uring") && fcntl(fd, F_GETFD) != FD_CLOEXEC) {
            return 2;
        }
    }
    FILE *maps = fopen("/proc/self/maps", "re");
    static char line[512];
    while (fgets(line, sizeof line, maps)) {
        if (strstr(line, "[io_uring]")) {
            return 3;
        }
    }
    fclose(maps);
    return 0;
}

/* Nothing that a loop makes for itself survives an exec. The standard streams, whatever they are, are not the
 * loop's. */
static void exec_and_look(void)
{
    static const char script_text[] =
        "for fd in /proc/self/fd/*; do case ${fd##*/}:$(readlink \"$fd\") in [012]:*) ;; *:anon_inode*) exit 1;; esac; "
        "done; exit 0";

    execl("/bin/sh", "sh", "-c", script_text, (char *)NULL);
    _exit(127);
}

LOOP_TEST(fork_in_mid_flight_and_the_parents_traffic_goes_on)
{
    enum { ROUNDS = 12 };
    static struct loop_inbox *inbox;
    static struct loop_flow *client;
    static struct once nop, sleep, work, post;
    static char sent[3000], got[3000];
    static int round, status;
    static pid_t child;

    BEGIN;
    serve_well(env->scope, echo_by_copy);
    client = visit(env->scope);
    inbox = loop_inbox_ref(env->loop);
    for (round = 0; round < ROUNDS; round++) {
        memset(&nop, 0, sizeof nop);
        memset(&sleep, 0, sizeof sleep);
        memset(&work, 0, sizeof work);
        memset(&post, 0, sizeof post);
        fill_pattern(sent, sizeof sent, (unsigned)round);
        START(loop_write(&client->sink, sent, sizeof sent, NULL, NULL));
        START(loop_op_nop(env->scope, ONCE(&nop)));
        START(loop_sleep(env->scope, LOOP_MILLISECOND, ONCE(&sleep)));
        START(loop_work(env->scope, do_nothing, NULL, ONCE(&work)));
        CHECK_IS(loop_post(inbox, ONCE(&post)), 0);
        if (round % 2) {
            AWAIT(turns(env->scope, 1, GO));
        }
        fflush(NULL);
        child = fork();
        if (child == 0 && round % 4 < 2) {
            _exit(look_around(inbox));
        } else if (child == 0) {
            exec_and_look();
        }
        CHECK(child > 0);
        AWAIT(loop_read_exact(&client->source, got, sizeof got, GO));
        CHECK_IS(result, sizeof got);
        CHECK(memcmp(sent, got, sizeof got) == 0);
        CHECK_IS(waitpid(child, &status, 0), child);
        CHECK_IS(status, 0);
        WAIT_UNTIL(nop.count && sleep.count && work.count && post.count);
        ONCE_IS(nop, 0);
        ONCE_IS(sleep, 0);
        ONCE_IS(work, 0);
        ONCE_IS(post, 0);
    }
    loop_inbox_unref(inbox);
    loop_flow_close(client);
    loop_server_stop(serving.server, LOOP_NEVER);
    END;
}
