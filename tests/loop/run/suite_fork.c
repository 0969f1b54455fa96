/* SPDX-License-Identifier: ISC
 *
 * Forks of a program with a loop (P21, P24): nothing is inherited, and the parent goes on.
 */
#include "harness.h"

#include <pthread.h>
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
