/* SPDX-License-Identifier: ISC
 *
 * Ranges of bytes as HTTP asks for them.
 */
#include "range.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GAP 128 /* bytes, about as many as the head of a part has */
#define MOST_OVERLAPS 2

enum kind { RANGE_INVALID, RANGE_NONE, RANGE_WHOLE, RANGE_PART };

/* Parses digits. A number beyond uint64_t becomes the largest one, which is beyond every file. */
static bool read_number(const char **text, uint64_t *number)
{
    char *end;

    if (**text < '0' || **text > '9') {
        return false;
    }
    *number = strtoull(*text, &end, 10);
    *text = end;
    return true;
}

/* "-LAST": the last LAST bytes. For an empty file that is the whole file. */
static enum kind from_end(uint64_t n, uint64_t size, struct range *range)
{
    if (n == 0) {
        return RANGE_NONE;
    }
    if (size == 0) {
        return RANGE_WHOLE;
    }
    range->len = n < size ? n : size;
    range->begin = size - range->len;
    return RANGE_PART;
}

static enum kind from_begin(uint64_t first, uint64_t last, uint64_t size, struct range *range)
{
    if (first >= size) {
        return RANGE_NONE;
    }
    range->begin = first;
    range->len = (last < size ? last + 1 : size) - first;
    return RANGE_PART;
}

/* Parses one range, and moves `*text` to what is behind it and the comma. */
static enum kind read_one(const char **text, uint64_t size, struct range *range)
{
    uint64_t first = 0, last = UINT64_MAX;

    *text += strspn(*text, ", \t");
    bool has_first = read_number(text, &first);
    if (*(*text)++ != '-') {
        return RANGE_INVALID;
    }
    bool has_last = read_number(text, &last);
    *text += strspn(*text, " \t");
    if ((**text != '\0' && **text != ',') || !(has_first || has_last) || (has_first && last < first)) {
        return RANGE_INVALID;
    }
    *text += strspn(*text, ", \t");
    return has_first ? from_begin(first, last, size, range) : from_end(last, size, range);
}

static bool are_closer(const struct range *a, const struct range *b, uint64_t gap)
{
    return a->begin < b->begin + b->len + gap && b->begin < a->begin + a->len + gap;
}

static struct range join(const struct range *a, const struct range *b)
{
    uint64_t begin = a->begin < b->begin ? a->begin : b->begin;
    uint64_t end = a->begin + a->len > b->begin + b->len ? a->begin + a->len : b->begin + b->len;

    return (struct range){begin, end - begin};
}

/* Adds a range, joined with those that it is close to, at the place of the first of them. Returns how many there are
 * then. */
static unsigned add(struct range *ranges, unsigned n, struct range range)
{
    unsigned place = n;

    for (unsigned i = 0; i < n;) {
        if (are_closer(&ranges[i], &range, GAP)) {
            range = join(&ranges[i], &range);
            memmove(&ranges[i], &ranges[i + 1], (--n - i) * sizeof *ranges);
            place = i < place ? i : place;
            i = 0; /* the longer one may be close to others */
        } else {
            i++;
        }
    }
    place = place < n ? place : n;
    memmove(&ranges[place + 1], &ranges[place], (n - place) * sizeof *ranges);
    ranges[place] = range;
    return n + 1;
}

static unsigned count_overlaps(const struct range *ranges, unsigned n, const struct range *range)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++) {
        count += are_closer(&ranges[i], range, 0);
    }
    return count;
}

int ranges_read(const char *text, uint64_t size, struct range ranges[MOST_RANGES])
{
    unsigned n = 0, n_read = 0, n_overlaps = 0;

    if (strncasecmp(text, "bytes=", 6) != 0) {
        return 0;
    }
    text += 6;
    do {
        struct range range;
        enum kind kind = read_one(&text, size, &range);
        if (kind == RANGE_INVALID || kind == RANGE_WHOLE || ++n_read > MOST_RANGES) {
            return 0;
        }
        if (kind == RANGE_PART) {
            n_overlaps += count_overlaps(ranges, n, &range);
            n = add(ranges, n, range);
        }
    } while (*text != '\0');
    if (n_overlaps > MOST_OVERLAPS) {
        return 0;
    }
    return n > 0 ? (int)n : RANGES_OUTSIDE;
}
