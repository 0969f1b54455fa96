/* SPDX-License-Identifier: ISC
 *
 * Lines and words of configuration files, names compared as DNS compares them, and lines for people.
 */
#ifndef NET_NAMES_TEXT_H
#define NET_NAMES_TEXT_H

#include <net/names.h>

/* The longest name of a host without its NUL. */
#define LOOP_NAMES_HOST_MAX 255

/* Cuts the next line off `*rest`, which ends with a NUL, and any part of it that begins with one of the characters
 * `comments`. Returns the line, or NULL at the end. */
char *loop_names_line(char **rest, const char *comments);

/* Cuts the next word off `*rest`: what stands between blanks. Returns NULL when there is none. */
char *loop_names_word(char **rest);

/* Reads a decimal number of at most `most`. Returns false for any other text. */
bool loop_names_number(const char *text, unsigned long most, unsigned long *number);

/* Returns whether two names are the same: the case of ASCII letters and a dot at the end make no difference. */
bool loop_names_equal(const char *one, const char *other);

/* Returns a hash that is the same for names that are equal. */
uint32_t loop_names_hash(const char *name);

/* Copies as much of `from` as fits into `size_bytes`, with a NUL. */
void loop_names_copy(char *to, size_t size_bytes, const char *from);

/* Appends a formatted text to that of an error, as much of it as fits. */
void loop_names_say(struct loop_name_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
