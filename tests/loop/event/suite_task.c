/* SPDX-License-Identifier: ISC
 *
 * Tasks: posts whose memory is the sender's (P21).
 */
#include "harness.h"

#include <loop/part.h>
#include <pthread.h>

enum { SENDERS = 4, TASKS = HAS_SANITIZER ? 2000 : 20000 };

static struct sender {
    struct loop_inbox *inbox;
    pthread_t thread;
    unsigned got;
} senders[SENDERS];

static struct sent {
    struct loop_task task;
    struct sender *sender;
    unsigned number;
} sent[SENDERS][TASKS];

static unsigned senders_done;

static void on_task(void *arg, int64_t result)
{
    struct sent *task = arg;

    CHECK_IS(result, 0);
    CHECK_IS(task->sender->got, task->number);
    if (++task->sender->got == TASKS) {
        senders_done++;
        script_poke();
    }
}

static void *send_many(void *arg)
{
    struct sender *sender = arg;

    for (unsigned i = 0; i < TASKS; i++) {
        struct sent *task = &sent[sender - senders][i];
        *task = (struct sent){{.fn = on_task, .arg = task}, sender, i};
        CHECK_IS(loop_post_task(sender->inbox, &task->task), 0);
    }
    loop_inbox_unshare(sender->inbox);
    return NULL;
}

/* The inbox has room for one post: none of the tasks is refused. */
LOOP_TEST_WITH(p21_tasks_of_many_threads_run_once_and_in_order, .post_capacity = 1)
{
    BEGIN;
    for (int i = 0; i < SENDERS; i++) {
        senders[i].inbox = loop_inbox_of(env->loop);
        loop_inbox_share(senders[i].inbox);
        CHECK_IS(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    loop_scope_hold(env->scope);
    WAIT_UNTIL(senders_done == SENDERS);
    loop_scope_unhold(env->scope);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    END;
}

static struct once runs[3];
static struct loop_task tasks[3];
static struct loop_inbox *kept;

static int leave_tasks(struct loop_env *env, void *arg)
{
    (void)arg;
    kept = loop_inbox_of(env->loop);
    loop_inbox_share(kept);
    CHECK(loop_inbox_loop(kept) == env->loop);
    for (int i = 0; i < 2; i++) {
        tasks[i] = (struct loop_task){.fn = once_resumed, .arg = &runs[i]};
        CHECK_IS(loop_post_task(kept, &tasks[i]), 0);
    }
    CHECK_IS(runs[0].count, 0);
    return 0;
}

TEST(p21_tasks_that_are_left_run_when_the_loop_ends_and_later_ones_are_refused)
{
    run(leave_tasks, NULL);
    ONCE_IS(runs[0], -ECANCELED);
    ONCE_IS(runs[1], -ECANCELED);
    CHECK(runs[0].order < runs[1].order);
    tasks[2] = (struct loop_task){.fn = once_resumed, .arg = &runs[2]};
    CHECK_IS(loop_post_task(kept, &tasks[2]), -ESHUTDOWN);
    CHECK_IS(runs[2].count, 0);
    loop_inbox_unshare(kept);
    CHECK(!strstr(log_text(), "reference")); /* such a one is no leak */
}

static unsigned rounds;
static struct once post;
static struct loop_inbox *inbox;

/* The task posts itself again until the post has run. */
static void go_round(void *arg, int64_t result)
{
    if (result == 0 && ++rounds < 10000 && !post.count) {
        CHECK_IS(loop_post_task(inbox, arg), 0);
    }
}

LOOP_TEST(p13_a_task_that_posts_itself_lets_others_run)
{
    BEGIN;
    inbox = loop_inbox_of(env->loop);
    tasks[0] = (struct loop_task){.fn = go_round, .arg = &tasks[0]};
    CHECK_IS(loop_post_task(inbox, &tasks[0]), 0);
    AWAIT(loop_sleep(env->scope, 0, GO));
    CHECK(rounds > 0 && rounds < 10000);
    CHECK_IS(loop_post(inbox, ONCE(&post)), 0);
    loop_scope_hold(env->scope);
    WAIT_UNTIL(post.count);
    loop_scope_unhold(env->scope);
    CHECK(rounds < 10000);
    END;
}

static int post_in_child(void *arg)
{
    (void)arg;
    tasks[0] = (struct loop_task){.fn = once_resumed, .arg = &runs[0]};
    return loop_post_task(inbox, &tasks[0]) == -ESHUTDOWN ? 0 : 1;
}

LOOP_TEST(p21_a_forked_child_cannot_post_a_task)
{
    BEGIN;
    inbox = loop_inbox_of(env->loop);
    CHECK_CHILD(post_in_child, NULL);
    END;
}
