/* SPDX-License-Identifier: ISC
 *
 * Hard modes, calls that stop the program, and clocks.
 */
#include "harness.h"

#include <time.h>

#include <sys/wait.h>

bool is_hard(const char *mode)
{
    const char *modes = getenv("NORIA_HARD");

#if NORIA_HARD_MODES
    return modes && strstr(modes, mode);
#else
    (void)mode;
    return !modes && modes;
#endif
}

bool is_hosted(void)
{
    return getenv("TESTS_HOSTED") != NULL;
}

unsigned repeated(unsigned many, unsigned few)
{
#if HAS_SANITIZER || defined(NORIA_SIMULATED)
    (void)many;
    return few;
#else
    return getenv("LOOP_BACKEND") && !getenv("NORIA_HARD") && !is_hosted() ? many : few;
#endif
}

struct stop {
    int (*fn)(void *arg);
    void *arg;
    int answer;
};

static int try_stop(void *arg)
{
    const struct stop *stop = arg;

    return stop->fn(stop->arg) == stop->answer ? 0 : 1;
}

void expect_stop(int (*fn)(void *arg), void *arg, const char *word, int answer)
{
    struct stop stop = {fn, arg, answer};
    int status = in_child(try_stop, &stop);

#if NORIA_DEBUG
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
        ck_abort_msg("a debug build was to stop, not to end with status 0x%x; it said:\n%s", (unsigned)status,
                     child_text());
    }
    if (!strstr(child_text(), word)) {
        ck_abort_msg("'%s' is not in what it said:\n%s", word, child_text());
    }
#else
    (void)word;
    CHECK_IS(status, 0);
#endif
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * LOOP_SECOND + now.tv_nsec;
}

int64_t cpu_time_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
