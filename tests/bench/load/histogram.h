/* SPDX-License-Identifier: ISC
 *
 * Histogram of durations: counters for ranges of nanoseconds, each less than two percent wide.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

/* The number of ranges in each power of two. */
#define HISTOGRAM_STEP_BITS 6
#define HISTOGRAM_STEPS (1u << HISTOGRAM_STEP_BITS)

struct histogram {
    uint64_t total;
    uint64_t counters[(64 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS];
};

static inline void histogram_add(struct histogram *histogram, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    unsigned top = 63u - (unsigned)__builtin_clzll(value | HISTOGRAM_STEPS);
    unsigned drop = top - HISTOGRAM_STEP_BITS;

    histogram->counters[drop * HISTOGRAM_STEPS + (unsigned)(value >> drop)]++;
    histogram->total++;
}

/* Returns the percentile for `share` in microseconds, or 0 for an empty histogram. */
double histogram_quantile_us(const struct histogram *histogram, double share);

#endif
