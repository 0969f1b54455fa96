/* SPDX-License-Identifier: ISC
 *
 * Two producers and a consumer, with a channel between them that holds two items.
 */
#include <loop/loop.h>
#include <sync/sync.h>

#include <stdio.h>
#include <stdlib.h>

struct item {
    const char *producer;
    int number;
};

struct producer {
    struct program *program;
    struct item next;
};

struct program {
    struct loop_scope *scope;
    struct loop_channel *channel;
    struct producer producers[2];
    struct item item; /* the one that the consumer receives */
    int n_producing;
};

static void produce(void *arg, int64_t result)
{
    struct producer *producer = arg;
    struct program *program = producer->program;

    if (result == 0 && producer->next.number < 3) {
        producer->next.number++;
        loop_channel_send(program->scope, program->channel, &producer->next, produce, producer);
    } else if (--program->n_producing == 0) {
        loop_channel_close(program->channel); /* the consumer still gets what is in it */
    }
}

static void consume(void *arg, int64_t result)
{
    struct program *program = arg;

    if (result == 1) {
        printf("%s %d\n", program->item.producer, program->item.number);
        loop_channel_receive(program->scope, program->channel, &program->item, consume, program);
    } else {
        printf("no more\n");
        loop_channel_unref(program->channel);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct program *program = arg;
    const char *names[] = {"left", "right"};

    program->scope = env->scope;
    program->channel = loop_channel_create(sizeof(struct item), 2, NULL);
    if (!program->channel) {
        return EXIT_FAILURE;
    }
    program->n_producing = 2;
    for (int i = 0; i < 2; i++) {
        program->producers[i] = (struct producer){program, {names[i], 0}};
        produce(&program->producers[i], 0);
    }
    consume(program, loop_channel_try_receive(program->channel, &program->item));
    return 0;
}

int main(void)
{
    static struct program program;

    return loop_run(0, 0, 0, NULL, start, &program);
}
