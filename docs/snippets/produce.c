/* SPDX-License-Identifier: ISC
 *
 * A producer that writes no more than the sink has room for, and a consumer at the other end.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* The producer stops when more than this is queued: half of the sink's limit, where loop_sink_wait_drained resumes. */
#define ENOUGH 65536u

struct producer {
    struct loop_sink *sink;
    unsigned blocks_left;
};

static const char block[4096];

static void produce(struct producer *producer);

static void on_drained(void *arg, int64_t result)
{
    if (result == 0) {
        produce(arg);
    }
}

static void produce(struct producer *producer)
{
    while (producer->blocks_left > 0 && loop_sink_queued(producer->sink) <= ENOUGH) {
        loop_write(producer->sink, block, sizeof block, NULL, NULL);
        producer->blocks_left--;
    }
    if (producer->blocks_left > 0) {
        loop_sink_wait_drained(producer->sink, on_drained, producer);
    } else {
        loop_shutdown(producer->sink, NULL, NULL);
    }
}

static void on_consumed(void *arg, int64_t result)
{
    (void)arg;
    printf("%" PRId64 " bytes came through\n", result);
}

static int start(struct loop_env *env, void *arg)
{
    struct producer *producer = arg;
    struct loop_sink *nowhere = loop_null_sink(env->scope);
    struct loop_flow *here, *there;
    int error = nowhere ? loop_socketpair(env->scope, &here, &there) : -ENOMEM;

    if (error == 0) {
        producer->sink = &here->sink;
        loop_sink_limit(producer->sink, 2 * ENOUGH);
        loop_copy(&there->source, nowhere, on_consumed, NULL);
        produce(producer);
    }
    return error;
}

int main(void)
{
    struct producer producer = {.blocks_left = 4096};

    return loop_run(0, 0, 0, NULL, start, &producer) == 0 ? 0 : 1;
}
