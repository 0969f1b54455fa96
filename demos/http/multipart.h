/* SPDX-License-Identifier: ISC
 *
 * Several ranges of a file in one answer.
 */
#ifndef DEMOS_HTTP_MULTIPART_H
#define DEMOS_HTTP_MULTIPART_H

#include "send.h"

struct multipart {
    struct sending *sending;
    const struct cached_file *file;
    const char *type; /* of the file */
    struct range ranges[MOST_RANGES];
    unsigned n_ranges, at;
    uint64_t len; /* of the whole body */
    char boundary[33];
    char head[512]; /* of the part at hand, or the end of the body */
};

/* Prepares the body: chooses the boundary and computes `len`. The other members have been set. */
void multipart_begin(struct multipart *multipart);

/* Sends the head of the answer, which has ended, and the body. */
void multipart_send(struct multipart *multipart);

#endif
