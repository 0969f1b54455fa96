/* SPDX-License-Identifier: ISC
 *
 * Ranges of bytes as HTTP asks for them.
 */
#ifndef DEMOS_HTTP_RANGE_H
#define DEMOS_HTTP_RANGE_H

#include <stdint.h>

#define MOST_RANGES 16
#define RANGES_OUTSIDE (-1)

struct range {
    uint64_t begin, len;
};

/* Parses ranges of bytes of a file. Ranges that overlap, or are closer to each other than the head of a part is long,
 * become one. Returns their number; RANGES_OUTSIDE when the file has no byte of them; or 0 where the whole file is to
 * be sent: a server may ignore other units, invalid ranges, and requests that ask for too much (RFC 9110, 14.2): more
 * than MOST_RANGES, or more than two that overlap. */
int ranges_read(const char *text, uint64_t size, struct range ranges[MOST_RANGES]);

#endif
