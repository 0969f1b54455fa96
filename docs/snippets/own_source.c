/* SPDX-License-Identifier: ISC
 *
 * A custom source: the alphabet. loop_copy, loop_read and loop_stream work on it as on any other.
 */
#include <loop/loop.h>

#include <stdio.h>

struct alphabet {
    struct loop_source source;
    const char *rest;
};

static loop_job alphabet_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct alphabet *alphabet = source->self;
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);
    size_t count = 0;

    while (job && count < len && *alphabet->rest) {
        ((char *)buf)[count++] = *alphabet->rest++;
    }
    loop_resolve(loop_scope_loop(source->scope), job, (int64_t)count);
    return job;
}

static const struct loop_source_ops alphabet_ops = {.read = alphabet_read};

static int start(struct loop_env *env, void *arg)
{
    struct alphabet *alphabet = arg;

    alphabet->source = (struct loop_source){.ops = &alphabet_ops, .scope = env->scope, .self = alphabet};
    loop_copy(&alphabet->source, env->out, NULL, NULL);
    return 0;
}

int main(void)
{
    struct alphabet alphabet = {.rest = "abcdefghijklmnopqrstuvwxyz\n"};

    return loop_run(0, 0, 0, NULL, start, &alphabet) == 0 ? 0 : 1;
}
