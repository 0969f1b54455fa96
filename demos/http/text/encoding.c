/* SPDX-License-Identifier: ISC
 *
 * Content encodings, as clients accept them (RFC 9110, 12.5.3).
 */
#include "encoding.h"

#include <string.h>
#include <strings.h>

#define NOT_LISTED (-1)

const struct encoding_names encodings[N_ENCODINGS] = {
    [ENCODING_BROTLI] = {"br", ".br"},
    [ENCODING_GZIP] = {"gzip", ".gz"},
};

/* Returns the quality in thousandths at ";q=0.5", 1000 where there is none, or 0 where it is invalid. */
static int quality_at(const char *text, const char *end)
{
    int quality = 0, unit = 1000;

    text += strspn(text, " \t");
    if (text >= end || *text != ';') {
        return 1000;
    }
    text += 1 + strspn(text + 1, " \t");
    if (strncasecmp(text, "q=", 2) != 0 || text[2] < '0' || text[2] > '1') {
        return 0;
    }
    for (text += 2; unit > 0 && ((*text >= '0' && *text <= '9') || *text == '.'); text++) {
        if (*text != '.') {
            quality += (*text - '0') * unit;
            unit /= 10;
        }
    }
    return quality < 1000 ? quality : 1000;
}

/* Returns the quality that the list gives to a name, or NOT_LISTED. */
static int quality_of(const char *list, const char *name)
{
    size_t name_len = strlen(name);

    while (*list) {
        list += strspn(list, ", \t");
        const char *end = list + strcspn(list, ",");
        size_t len = strcspn(list, ",; \t");
        if (len == name_len && strncasecmp(list, name, len) == 0) {
            return quality_at(list + len, end);
        }
        list = end;
    }
    return NOT_LISTED;
}

unsigned encodings_accepted(const char *value, enum encoding accepted[N_ENCODINGS])
{
    int qualities[N_ENCODINGS], best = 0;
    unsigned n = 0;

    if (!value) {
        return 0;
    }
    int any = quality_of(value, "*"), none = quality_of(value, "identity");
    for (unsigned i = 0; i < N_ENCODINGS; i++) {
        int quality = quality_of(value, encodings[i].name);
        qualities[i] = quality == NOT_LISTED ? any : quality;
        if (qualities[i] <= 0 || qualities[i] < none) {
            continue;
        }
        if (n > 0 && qualities[i] > best) { /* there are two of them */
            accepted[n++] = accepted[0];
            accepted[0] = (enum encoding)i;
        } else {
            accepted[n++] = (enum encoding)i;
            best = qualities[i];
        }
    }
    return n;
}
