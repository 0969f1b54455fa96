/* SPDX-License-Identifier: ISC
 *
 * Reads a file into chunks of the region, which is registered with the ring if possible.
 */
#include <loop/loop.h>
#include <loop/low_level.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct sum {
    struct loop_env *env;
    const char *path;
    struct loop_fd *file;
    struct loop_chunk *chunk;
    int64_t offset;
    uint64_t value;
};

static void on_read(void *arg, int64_t result);

static void read_next(struct sum *sum)
{
    loop_op_read_chunk(NULL, sum->file, sum->chunk, loop_chunk_length(sum->chunk), sum->offset, on_read, sum);
}

static void on_read(void *arg, int64_t result)
{
    struct sum *sum = arg;
    const unsigned char *data = loop_chunk_data(sum->chunk);

    for (int64_t i = 0; i < result; i++) {
        sum->value += data[i];
    }
    if (result > 0) {
        sum->offset += result;
        read_next(sum);
        return;
    }
    loop_chunk_free(sum->env->loop, sum->chunk);
    if (result < 0) {
        loop_scope_fail(sum->env->scope, result);
    } else {
        printf("%" PRId64 " bytes, their sum is %" PRIu64 "\n", sum->offset, sum->value);
    }
}

static void on_chunk(void *arg, int64_t result)
{
    if (result == 0) {
        read_next(arg);
    }
}

static void on_open(void *arg, int64_t result)
{
    struct sum *sum = arg;

    if (result >= 0) {
        sum->file = loop_fd_adopt(sum->env->scope, (int)result);
        result = sum->file ? 0 : -ENOMEM;
    }
    if (result < 0) {
        loop_scope_fail(sum->env->scope, result);
        return;
    }
    loop_chunk_alloc_wait(sum->env->scope, &sum->chunk, on_chunk, sum);
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_open_how how = {.flags = O_RDONLY};
    struct sum *sum = arg;

    sum->env = env;
    loop_op_openat2(env->scope, sum->path, &how, on_open, sum);
    return 0;
}

int main(int argc, char **argv)
{
    struct sum sum = {.path = argc == 2 ? argv[1] : "/dev/null"};
    int result = loop_run(0, 0, 0, NULL, start, &sum);

    if (result < 0) {
        fprintf(stderr, "sum: %s: %s\n", sum.path, strerror(-result));
    }
    return result == 0 ? 0 : 1;
}
