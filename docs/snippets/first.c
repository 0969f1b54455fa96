/* SPDX-License-Identifier: ISC
 *
 * Waits for an answer, or for the time in which it has to come, whichever ends first.
 */
#include <loop/loop.h>
#include <net/net.h>
#include <sync/sync.h>

#include <stdio.h>
#include <stdlib.h>

enum { ANSWER, TIME };

struct question {
    struct loop_flow *us, *them;
    struct loop_group *group;
    char answer[64];
};

static void on_first(void *arg, int64_t first)
{
    struct question *question = arg;

    if (first == ANSWER) {
        int64_t count = loop_group_result(question->group, ANSWER);
        printf("the answer is %.*s\n", (int)(count > 0 ? count : 0), question->answer);
    } else if (first == TIME) {
        printf("there was no answer in time\n");
    }
}

static void ask(struct loop_env *env, struct question *question)
{
    struct loop_group *group = loop_group_open(env->scope, LOOP_FIRST_OF, 2, on_first, question);

    question->group = group;
    if (group) {
        loop_group_add(
            group, ANSWER,
            loop_read(&question->us->source, question->answer, sizeof question->answer, LOOP_MEMBER(group, ANSWER)));
        loop_group_add(group, TIME, loop_sleep(env->scope, 20 * LOOP_MILLISECOND, LOOP_MEMBER(group, TIME)));
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct question *question = arg;

    if (loop_socketpair(env->scope, &question->us, &question->them) != 0) {
        return EXIT_FAILURE;
    }
    ask(env, question); /* nobody answers */
    return 0;
}

int main(void)
{
    static struct question question;

    return loop_run(0, 0, 0, NULL, start, &question);
}
