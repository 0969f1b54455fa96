/* SPDX-License-Identifier: ISC
 *
 * Reads the hard modes from the environment; see hard.h. Only in builds that have them.
 */
#include <loop/ground/hard.h>
#include <loop/kernel/file.h>
#include <loop/kernel/process.h>
#include <loop/kernel/thread.h>

#if NORIA_HARD_MODES

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static LOOP_KERNEL_PROCESS_LOCAL struct loop_hard modes;

static bool is_word(const char *word, size_t len, const char *name)
{
    return len == strlen(name) && memcmp(word, name, len) == 0;
}

static bool read_depth(const char *word, size_t len)
{
    static const char prefix[] = "depth=";
    size_t prefix_len = sizeof prefix - 1;
    if (len <= prefix_len || memcmp(word, prefix, prefix_len) != 0) {
        return false;
    }
    char *end;
    unsigned long depth = strtoul(word + prefix_len, &end, 10);
    modes.depth = (unsigned)depth;
    return end == word + len && depth >= 1 && depth <= 32768;
}

static bool read_word(const char *word, size_t len)
{
    if (is_word(word, len, "short")) {
        modes.is_short = true;
    } else if (is_word(word, len, "nofixed")) {
        modes.has_no_fixed = true;
    } else if (is_word(word, len, "onechunk")) {
        modes.has_one_chunk = true;
    } else if (is_word(word, len, "ways")) {
        modes.switches_ways = true;
    } else if (is_word(word, len, "refuse")) {
        modes.refuses = true;
    } else {
        return len == 0 || read_depth(word, len);
    }
    return true;
}

static void refuse(const char *word, size_t len)
{
    char text[128];
    int n = snprintf(text, sizeof text, "noria: NORIA_HARD: unknown mode \"%.*s\"\n", (int)len, word);

    (void)loop_kernel_write(STDERR_FILENO, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    abort();
}

/* Reads the modes. Aborts on an unknown word: a test that names a mode must run in it. */
static void read_modes(void)
{
    const char *word = loop_kernel_getenv("NORIA_HARD");
    while (word && *word) {
        size_t len = strcspn(word, ",");
        if (!read_word(word, len)) {
            refuse(word, len);
        }
        word += len + (word[len] == ',');
    }
}

const struct loop_hard *loop_hard(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    loop_kernel_pthread_once(&once, read_modes);
    return &modes;
}

#endif
