/* SPDX-License-Identifier: ISC
 *
 * Helpers that the fuzz targets share. A target receives arbitrary bytes from libFuzzer, makes the library calls that
 * they encode, and compares the results with a simple model. tests/fuzz/run builds and runs the targets.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <loop/loop.h>
#include <loop/low_level.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MUST(condition)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The remaining bytes of the input. */
struct fuzz_input {
    const uint8_t *data;
    size_t size;
};

/* Returns a number below `sides`, or 0 when the input is used up. */
static inline size_t fuzz_take(struct fuzz_input *input, size_t sides)
{
    size_t value = 0;

    for (size_t most = sides - 1; most > 0 && input->size > 0; most >>= 8) {
        value = value << 8 | *input->data++;
        input->size--;
    }
    return value % sides;
}

static inline void fuzz_no_log(void *unused, enum loop_log_level level, const char *line)
{
    (void)unused;
    (void)level;
    (void)line;
}

/* Runs a loop on epoll, whose order of events is deterministic. It must return 0. */
static inline void fuzz_run(loop_main_fn *body, void *arg)
{
    const struct loop_options options = {.backend = LOOP_BACKEND_EPOLL, .queue_depth = 8, .log = fuzz_no_log};
    int answer = loop_run_with(&options, body, arg);

    FUZZ_MUST(answer == 0);
}

#endif
