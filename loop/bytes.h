/* SPDX-License-Identifier: ISC
 *
 * Reads and writes numbers in memory in a fixed byte order, as file formats and network protocols store them.
 *
 * A name ends with the byte order: `_be` is big-endian, which is network order, and `_le` is little-endian. Addresses
 * need no alignment. The caller provides as many bytes as the number has. Signed integers are in two's complement,
 * floating-point numbers in IEEE 754. All of it is inline: no function needs the library or the loop's thread.
 */
#ifndef LOOP_BYTES_H
#define LOOP_BYTES_H

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Convert a word between the machine's byte order and the named one. Undefined at the end of this header. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOOP_BYTES_BE(bits, value) __builtin_bswap##bits(value)
#define LOOP_BYTES_LE(bits, value) (value)
#else
#define LOOP_BYTES_BE(bits, value) (value)
#define LOOP_BYTES_LE(bits, value) __builtin_bswap##bits(value)
#endif

/* Defines loop_get_NAME and loop_put_NAME for numbers of `bits` bits. Undefined at the end of this header. */
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

/* Returns the unsigned 8-bit integer at `from`. */
static inline uint8_t loop_get_u8(const void *from)
{
    return *(const uint8_t *)from;
}

/* Writes `value` to `to` as an unsigned 8-bit integer. */
static inline void loop_put_u8(void *to, uint8_t value)
{
    *(uint8_t *)to = value;
}

/* Returns the signed 8-bit integer at `from`. */
static inline int8_t loop_get_i8(const void *from)
{
    return *(const int8_t *)from;
}

/* Writes `value` to `to` as a signed 8-bit integer. */
static inline void loop_put_i8(void *to, int8_t value)
{
    *(int8_t *)to = value;
}

/* loop_get_u16_be(from): returns the big-endian unsigned 16-bit integer at `from`. */
/* loop_put_u16_be(to, value): writes `value` to `to` as a big-endian unsigned 16-bit integer. */
LOOP_BYTES_DEFINE(u16_be, uint16_t, 16, LOOP_BYTES_BE)

/* loop_get_u16_le(from): returns the little-endian unsigned 16-bit integer at `from`. */
/* loop_put_u16_le(to, value): writes `value` to `to` as a little-endian unsigned 16-bit integer. */
LOOP_BYTES_DEFINE(u16_le, uint16_t, 16, LOOP_BYTES_LE)

/* loop_get_u32_be(from): returns the big-endian unsigned 32-bit integer at `from`. */
/* loop_put_u32_be(to, value): writes `value` to `to` as a big-endian unsigned 32-bit integer. */
LOOP_BYTES_DEFINE(u32_be, uint32_t, 32, LOOP_BYTES_BE)

/* loop_get_u32_le(from): returns the little-endian unsigned 32-bit integer at `from`. */
/* loop_put_u32_le(to, value): writes `value` to `to` as a little-endian unsigned 32-bit integer. */
LOOP_BYTES_DEFINE(u32_le, uint32_t, 32, LOOP_BYTES_LE)

/* loop_get_u64_be(from): returns the big-endian unsigned 64-bit integer at `from`. */
/* loop_put_u64_be(to, value): writes `value` to `to` as a big-endian unsigned 64-bit integer. */
LOOP_BYTES_DEFINE(u64_be, uint64_t, 64, LOOP_BYTES_BE)

/* loop_get_u64_le(from): returns the little-endian unsigned 64-bit integer at `from`. */
/* loop_put_u64_le(to, value): writes `value` to `to` as a little-endian unsigned 64-bit integer. */
LOOP_BYTES_DEFINE(u64_le, uint64_t, 64, LOOP_BYTES_LE)

/* loop_get_i16_be(from): returns the big-endian signed 16-bit integer at `from`. */
/* loop_put_i16_be(to, value): writes `value` to `to` as a big-endian signed 16-bit integer. */
LOOP_BYTES_DEFINE(i16_be, int16_t, 16, LOOP_BYTES_BE)

/* loop_get_i16_le(from): returns the little-endian signed 16-bit integer at `from`. */
/* loop_put_i16_le(to, value): writes `value` to `to` as a little-endian signed 16-bit integer. */
LOOP_BYTES_DEFINE(i16_le, int16_t, 16, LOOP_BYTES_LE)

/* loop_get_i32_be(from): returns the big-endian signed 32-bit integer at `from`. */
/* loop_put_i32_be(to, value): writes `value` to `to` as a big-endian signed 32-bit integer. */
LOOP_BYTES_DEFINE(i32_be, int32_t, 32, LOOP_BYTES_BE)

/* loop_get_i32_le(from): returns the little-endian signed 32-bit integer at `from`. */
/* loop_put_i32_le(to, value): writes `value` to `to` as a little-endian signed 32-bit integer. */
LOOP_BYTES_DEFINE(i32_le, int32_t, 32, LOOP_BYTES_LE)

/* loop_get_i64_be(from): returns the big-endian signed 64-bit integer at `from`. */
/* loop_put_i64_be(to, value): writes `value` to `to` as a big-endian signed 64-bit integer. */
LOOP_BYTES_DEFINE(i64_be, int64_t, 64, LOOP_BYTES_BE)

/* loop_get_i64_le(from): returns the little-endian signed 64-bit integer at `from`. */
/* loop_put_i64_le(to, value): writes `value` to `to` as a little-endian signed 64-bit integer. */
LOOP_BYTES_DEFINE(i64_le, int64_t, 64, LOOP_BYTES_LE)

/* loop_get_f32_be(from): returns the big-endian float at `from`. */
/* loop_put_f32_be(to, value): writes `value` to `to` as a big-endian float. */
LOOP_BYTES_DEFINE(f32_be, float, 32, LOOP_BYTES_BE)

/* loop_get_f32_le(from): returns the little-endian float at `from`. */
/* loop_put_f32_le(to, value): writes `value` to `to` as a little-endian float. */
LOOP_BYTES_DEFINE(f32_le, float, 32, LOOP_BYTES_LE)

/* loop_get_f64_be(from): returns the big-endian double at `from`. */
/* loop_put_f64_be(to, value): writes `value` to `to` as a big-endian double. */
LOOP_BYTES_DEFINE(f64_be, double, 64, LOOP_BYTES_BE)

/* loop_get_f64_le(from): returns the little-endian double at `from`. */
/* loop_put_f64_le(to, value): writes `value` to `to` as a little-endian double. */
LOOP_BYTES_DEFINE(f64_le, double, 64, LOOP_BYTES_LE)

#undef LOOP_BYTES_DEFINE
#undef LOOP_BYTES_BE
#undef LOOP_BYTES_LE

#ifdef __cplusplus
}
#endif

#endif
