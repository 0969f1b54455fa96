/* SPDX-License-Identifier: ISC
 *
 * Numbers as they stand in files and on the wire: big-endian (`_be`, network order) and little-endian (`_le`), at any
 * address, aligned or not.
 *
 * loop_get_u32_be(from) gives the number that begins at `from`, loop_put_u32_be(to, value) writes one; `i` is two's
 * complement, `f` is IEEE 754, f32 a float and f64 a double. The caller sees to it that there are so many bytes.
 */
#ifndef LOOP_BYTES_H
#define LOOP_BYTES_H

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOOP_BYTES_BE(bits, value) __builtin_bswap##bits(value)
#define LOOP_BYTES_LE(bits, value) (value)
#else
#define LOOP_BYTES_BE(bits, value) (value)
#define LOOP_BYTES_LE(bits, value) __builtin_bswap##bits(value)
#endif

/* One number of `bits` bits in one order: loop_get_NAME and loop_put_NAME. */
#define LOOP_BYTES_DEFINE(name, type, bits, order)                                                                     \
    static inline type loop_get_##name(const void *from)                                                               \
    {                                                                                                                  \
        uint##bits##_t word;                                                                                           \
        type value;                                                                                                    \
        memcpy(&word, from, sizeof word);                                                                              \
        word = order(bits, word);                                                                                      \
        memcpy(&value, &word, sizeof value);                                                                           \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline void loop_put_##name(void *to, type value)                                                           \
    {                                                                                                                  \
        uint##bits##_t word;                                                                                           \
        memcpy(&word, &value, sizeof word);                                                                            \
        word = order(bits, word);                                                                                      \
        memcpy(to, &word, sizeof word);                                                                                \
    }

static inline uint8_t loop_get_u8(const void *from)
{
    return *(const uint8_t *)from;
}

static inline void loop_put_u8(void *to, uint8_t value)
{
    *(uint8_t *)to = value;
}

static inline int8_t loop_get_i8(const void *from)
{
    return *(const int8_t *)from;
}

static inline void loop_put_i8(void *to, int8_t value)
{
    *(int8_t *)to = value;
}

LOOP_BYTES_DEFINE(u16_be, uint16_t, 16, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(u16_le, uint16_t, 16, LOOP_BYTES_LE)
LOOP_BYTES_DEFINE(u32_be, uint32_t, 32, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(u32_le, uint32_t, 32, LOOP_BYTES_LE)
LOOP_BYTES_DEFINE(u64_be, uint64_t, 64, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(u64_le, uint64_t, 64, LOOP_BYTES_LE)
LOOP_BYTES_DEFINE(i16_be, int16_t, 16, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(i16_le, int16_t, 16, LOOP_BYTES_LE)
LOOP_BYTES_DEFINE(i32_be, int32_t, 32, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(i32_le, int32_t, 32, LOOP_BYTES_LE)
LOOP_BYTES_DEFINE(i64_be, int64_t, 64, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(i64_le, int64_t, 64, LOOP_BYTES_LE)
LOOP_BYTES_DEFINE(f32_be, float, 32, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(f32_le, float, 32, LOOP_BYTES_LE)
LOOP_BYTES_DEFINE(f64_be, double, 64, LOOP_BYTES_BE)
LOOP_BYTES_DEFINE(f64_le, double, 64, LOOP_BYTES_LE)

#undef LOOP_BYTES_DEFINE
#undef LOOP_BYTES_BE
#undef LOOP_BYTES_LE

#ifdef __cplusplus
}
#endif

#endif
