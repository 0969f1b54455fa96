/* SPDX-License-Identifier: ISC
 *
 * A stream needs no buffer of the program: counts the lines and bytes of standard input.
 */
#include <loop/loop.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct count {
    uint64_t lines, bytes;
};

static void on_data(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct count *count = arg;

    if (!chunk) {
        printf("%s: %" PRIu64 " lines, %" PRIu64 " bytes\n", result == 0 ? "the end" : strerror((int)-result),
               count->lines, count->bytes);
        return;
    }
    const char *data = loop_chunk_data(chunk);
    for (int64_t i = 0; i < result; i++) {
        count->lines += data[i] == '\n';
    }
    count->bytes += (uint64_t)result;
}

static int start(struct loop_env *env, void *count)
{
    loop_stream(env->in, on_data, count);
    return 0;
}

int main(void)
{
    struct count count = {0};

    return loop_run(0, 0, 0, NULL, start, &count) == 0 ? 0 : 1;
}
