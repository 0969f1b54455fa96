/* SPDX-License-Identifier: ISC
 *
 * A thread of the program posts its result to the loop.
 */
#include <loop/loop.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

struct question {
    struct loop_scope *scope;
    struct loop_inbox *inbox;
    pthread_t thread;
    int answer;
};

/* Runs on the loop's thread. */
static void on_answer(void *arg, int64_t result)
{
    struct question *question = arg;

    pthread_join(question->thread, NULL);
    if (result == 0) {
        printf("the thread says %d\n", question->answer);
    }
    loop_inbox_unref(question->inbox);
    loop_scope_unhold(question->scope);
}

/* Runs on the other thread, which may call no function of the loop but loop_post. */
static void *think(void *arg)
{
    struct question *question = arg;

    question->answer = 42;
    loop_post(question->inbox, on_answer, question);
    return NULL;
}

static int start(struct loop_env *env, void *arg)
{
    struct question *question = arg;
    int error;

    question->scope = env->scope;
    question->inbox = loop_inbox_ref(env->loop);
    error = question->inbox ? pthread_create(&question->thread, NULL, think, question) : ENOMEM;
    if (error == 0) {
        loop_scope_hold(env->scope); /* a pending post does not keep a scope open */
    } else {
        loop_inbox_unref(question->inbox);
    }
    return -error;
}

int main(void)
{
    struct question question = {0};

    return loop_run(0, 0, 0, NULL, start, &question) == 0 ? 0 : 1;
}
