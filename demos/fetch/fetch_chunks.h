/* SPDX-License-Identifier: ISC
 *
 * The framing of a chunked body (RFC 9112, 7.1): which bytes may follow which. http_parser skips the two bytes behind a
 * chunk, and whatever follows a space behind a size, so that a damaged body would be taken for a whole one. llhttp does
 * not accept such spaces at all.
 */
#ifndef DEMOS_FETCH_CHUNKS_H
#define DEMOS_FETCH_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the next byte is a part of. */
enum chunks_place {
    CHUNKS_SIZE, /* all zero: the first digit of a size */
    CHUNKS_MORE_SIZE,
    CHUNKS_PADDING, /* spaces behind a size, which old servers send */
    CHUNKS_EXTENSION,
    CHUNKS_SIZE_LF,
    CHUNKS_BYTES,
    CHUNKS_BYTES_CR,
    CHUNKS_BYTES_LF,
    CHUNKS_TRAILER, /* the beginning of a line behind the last chunk */
    CHUNKS_TRAILER_LINE,
    CHUNKS_LAST_LF,
    CHUNKS_BEHIND
};

struct chunks {
    enum chunks_place place;
    uint64_t left; /* of the chunk; in its size, what the digits so far stand for */
};

/* Follows the framing over the next `len` bytes, which may end anywhere. Returns false when it is not valid. Bytes
 * behind the end of the body are ignored. */
bool chunks_follow(struct chunks *chunks, const char *bytes, size_t len);

#endif
