/* SPDX-License-Identifier: ISC
 *
 * Follows the framing of chunked bodies, byte by byte but for the bytes of the chunks.
 */
#include "fetch_chunks.h"

static int digit_of(char byte)
{
    char letter = (char)(byte | 0x20);

    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static bool add_digit(struct chunks *chunks, char byte)
{
    int digit = digit_of(byte);

    if (digit < 0 || chunks->left >> 60 != 0) {
        return false;
    }
    chunks->left = chunks->left << 4 | (uint64_t)digit;
    chunks->place = CHUNKS_MORE_SIZE;
    return true;
}

static bool expect(struct chunks *chunks, bool is_expected, enum chunks_place next)
{
    chunks->place = next;
    return is_expected;
}

/* The line of a size, behind its first digit. */
static bool follow_size(struct chunks *chunks, char byte)
{
    switch (byte) {
    case '\r': return expect(chunks, true, CHUNKS_SIZE_LF);
    case ';': return expect(chunks, true, CHUNKS_EXTENSION);
    case ' ':
    case '\t': return expect(chunks, true, CHUNKS_PADDING);
    default: return chunks->place == CHUNKS_MORE_SIZE && add_digit(chunks, byte);
    }
}

/* A trailer is lines, which may end with a lone LF as those of a head. An empty one ends the body. */
static enum chunks_place place_in_trailer(enum chunks_place place, char byte)
{
    if (byte == '\n') {
        return place == CHUNKS_TRAILER ? CHUNKS_BEHIND : CHUNKS_TRAILER;
    }
    return place == CHUNKS_TRAILER && byte == '\r' ? CHUNKS_LAST_LF : CHUNKS_TRAILER_LINE;
}

static bool follow(struct chunks *chunks, char byte)
{
    switch (chunks->place) {
    case CHUNKS_SIZE: return add_digit(chunks, byte);
    case CHUNKS_MORE_SIZE:
    case CHUNKS_PADDING: return follow_size(chunks, byte);
    case CHUNKS_EXTENSION: return byte == '\r' ? expect(chunks, true, CHUNKS_SIZE_LF) : byte != '\n';
    case CHUNKS_SIZE_LF: return expect(chunks, byte == '\n', chunks->left > 0 ? CHUNKS_BYTES : CHUNKS_TRAILER);
    case CHUNKS_BYTES_CR: return expect(chunks, byte == '\r', CHUNKS_BYTES_LF);
    case CHUNKS_BYTES_LF: return expect(chunks, byte == '\n', CHUNKS_SIZE);
    case CHUNKS_LAST_LF: return expect(chunks, byte == '\n', CHUNKS_BEHIND);
    default: return expect(chunks, true, place_in_trailer(chunks->place, byte));
    }
}

/* Skips bytes of the chunk. Returns how many. */
static size_t skip(struct chunks *chunks, size_t len)
{
    len = len < chunks->left ? len : (size_t)chunks->left;
    chunks->left -= len;
    if (chunks->left == 0) {
        chunks->place = CHUNKS_BYTES_CR;
    }
    return len;
}

bool chunks_follow(struct chunks *chunks, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len && chunks->place != CHUNKS_BEHIND;) {
        if (chunks->place == CHUNKS_BYTES) {
            at += skip(chunks, len - at);
        } else if (!follow(chunks, bytes[at++])) {
            return false;
        }
    }
    return true;
}
