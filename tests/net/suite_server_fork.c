/* SPDX-License-Identifier: ISC
 *
 * Forks of a program in which many loops work (P21): connections, calls between loops and work go on, and no number of
 * theirs survives an exec.
 */
#include "sockets.h"

#include <domain/domain.h>
#include <stdio.h>
#include <sync/sync.h>
#include <sys/wait.h>

enum { DOMAINS = 4, CLIENTS = 12, ROUNDS = HAS_SANITIZER ? 8 : 32 };

static struct loop_domain_group *domains;
static struct loop_channel *channel;
static struct loop_flow *clients[CLIENTS];
static char sent[CLIENTS][3000], got[CLIENTS][3000];
static struct sum {
    unsigned count;
    int64_t sum;
} answers, calls, items;
static int i, turn_number, status, numbers[DOMAINS];
static pid_t child;

static void add(void *sum, int64_t result)
{
    ((struct sum *)sum)->count++;
    ((struct sum *)sum)->sum += result;
    script_poke();
}

static void echo_in_domain(struct loop_flow *peer, void *unused)
{
    (void)unused;
    CHECK(loop_copy(&peer->source, &peer->sink, NULL, NULL) != 0);
}

static int idle(struct loop_env *env, unsigned index, void *unused)
{
    (void)index;
    (void)unused;
    return loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) ? 0 : -ENOMEM;
}

static int64_t work(void *unused)
{
    (void)unused;
    return 0;
}

/* Takes a while, and sends an item to the loop that called. */
static void answer_later(struct loop_incoming *call, struct loop_scope *scope, void *number)
{
    CHECK(loop_sleep(scope, LOOP_MILLISECOND, NULL, NULL) && loop_work(scope, work, NULL, NULL, NULL));
    CHECK(loop_channel_send(scope, channel, number, NULL, NULL) != 0);
    CHECK_IS(loop_call_return(call, 7), 0);
}

static void start_round(struct loop_env *env)
{
    answers = calls = items = (struct sum){.count = 0};
    for (int j = 0; j < CLIENTS; j++) {
        fill_pattern(sent[j], sizeof sent[j], (unsigned)(turn_number * CLIENTS + j));
        START(loop_write(&clients[j]->sink, sent[j], sizeof sent[j], NULL, NULL));
        START(loop_read_exact(&clients[j]->source, got[j], sizeof got[j], add, &answers));
    }
    for (unsigned j = 0; j < DOMAINS; j++) {
        START(loop_call(env->scope, loop_domains_inbox(domains, j), answer_later, &numbers[j], add, &calls));
        START(loop_channel_receive(env->scope, channel, &numbers[j], add, &items));
    }
    START(loop_work(env->scope, work, NULL, NULL, NULL));
}

static void check_round(void)
{
    for (int j = 0; j < CLIENTS; j++) {
        CHECK(memcmp(sent[j], got[j], sizeof got[j]) == 0);
    }
    CHECK_IS(answers.sum, CLIENTS * (int64_t)sizeof got[0]);
    CHECK_IS(calls.sum, 7 * DOMAINS);
    CHECK_IS(items.sum, DOMAINS);
}

static void never_run(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    _exit(66);
}

/* No loop of the parent's can be posted to, and nothing that the loops have made is there after an exec. The standard
 * streams, whatever they are, are not the loops'. */
static void be_a_child(void)
{
    static const char script_text[] = "for fd in /proc/self/fd/*; do case ${fd##*/}:$(readlink \"$fd\") in [012]:*) ;; "
                                      "*:anon_inode*|*:socket*) exit 1;; esac; done; exit 0";

    alarm(60);
    for (unsigned j = 0; j < DOMAINS; j++) {
        if (loop_post(loop_domains_inbox(domains, j), never_run, NULL) != -ESHUTDOWN) {
            _exit(65);
        }
    }
    if (turn_number % 2) {
        _exit(0);
    }
    execl("/bin/sh", "sh", "-c", script_text, (char *)NULL);
    _exit(127);
}

LOOP_TEST(p21_a_fork_in_the_midst_of_many_loops_leaves_them_alone)
{
    static const struct loop_serve_options options = {
        .domains = DOMAINS, .on_end = once_resumed, .on_end_arg = &serving.ended};
    static loop_job group;
    static struct once group_ended;

    BEGIN;
    serving.address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &serving.address, &options, &serving.server, echo_in_domain, NULL), 0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &serving.address), 0);
    group = START(loop_domains(env->scope, DOMAINS, NULL, &domains, idle, NULL, ONCE(&group_ended)));
    AWAIT(loop_domains_wait_started(env->scope, domains, GO));
    CHECK_IS(result, 0);
    channel = loop_channel_create(sizeof(int), 1, NULL);
    for (i = 0; i < CLIENTS; i++) {
        clients[i] = visit(env->scope);
    }
    for (turn_number = 0; turn_number < ROUNDS; turn_number++) {
        start_round(env);
        if (turn_number % 4 > 1) {
            AWAIT(turns(env->scope, (unsigned)turn_number % 5 + 1, GO));
        }
        fflush(NULL);
        child = fork();
        if (child == 0) {
            be_a_child();
        }
        CHECK(child > 0);
        WAIT_UNTIL(answers.count == CLIENTS && calls.count == DOMAINS && items.count == DOMAINS);
        check_round();
        CHECK_IS(waitpid(child, &status, 0), child);
        CHECK_IS(status, 0);
    }
    for (i = 0; i < CLIENTS; i++) {
        loop_flow_close(clients[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    loop_cancel(env->loop, group);
    WAIT_UNTIL(group_ended.count);
    loop_channel_unref(channel);
    END;
}
