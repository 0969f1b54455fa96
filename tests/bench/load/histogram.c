/* SPDX-License-Identifier: ISC
 *
 * Histogram of durations. See histogram.h.
 */
#include "histogram.h"

#include <stddef.h>

/* A counter's range begins at `low` and is 2^drop wide. The first two powers share drop 0: their ranges are exact. */
static double middle_us(size_t counter)
{
    size_t drop = counter < HISTOGRAM_STEPS ? 0 : counter / HISTOGRAM_STEPS - 1;
    double width = (double)(UINT64_C(1) << drop);
    double low = (double)(counter - drop * HISTOGRAM_STEPS) * width;

    return (low + (width - 1) / 2) / 1000;
}

double histogram_quantile_us(const struct histogram *histogram, double share)
{
    const size_t n = sizeof histogram->counters / sizeof histogram->counters[0];
    double missing = share * (double)histogram->total;

    for (size_t i = 0; i < n && histogram->total > 0; i++) {
        missing -= (double)histogram->counters[i];
        if (missing <= 0 && histogram->counters[i] > 0) {
            return middle_us(i);
        }
    }
    return 0;
}
