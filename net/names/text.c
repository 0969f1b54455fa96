/* SPDX-License-Identifier: ISC
 *
 * Text: lines, words, numbers, names.
 */
#include <net/names/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *loop_names_line(char **rest, const char *comments)
{
    char *line = *rest;

    if (*line == '\0') {
        return NULL;
    }
    char *end = line; /* not strcspn: under a sanitizer it looks at the whole rest of the file */
    while (*end && *end != '\n') {
        end++;
    }
    *rest = *end ? end + 1 : end;
    *end = '\0';
    line[strcspn(line, comments)] = '\0';
    return line;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\v' || byte == '\f';
}

char *loop_names_word(char **rest)
{
    char *word = *rest;

    while (is_blank(*word)) {
        word++;
    }
    if (*word == '\0') {
        *rest = word;
        return NULL;
    }
    char *end = word;
    while (*end && !is_blank(*end)) {
        end++;
    }
    *rest = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

bool loop_names_number(const char *text, unsigned long most, unsigned long *number)
{
    unsigned long value = 0;

    if (*text == '\0') {
        return false;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        unsigned long digit = (unsigned long)(*text - '0');
        if (digit > most || value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

static unsigned char lower(char byte)
{
    return (unsigned char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
}

static bool is_end(const char *name)
{
    return name[0] == '\0' || (name[0] == '.' && name[1] == '\0');
}

bool loop_names_equal(const char *one, const char *other)
{
    for (; !is_end(one) && !is_end(other); one++, other++) {
        if (lower(*one) != lower(*other)) {
            return false;
        }
    }
    return is_end(one) && is_end(other);
}

uint32_t loop_names_hash(const char *name)
{
    uint32_t hash = 2166136261u;

    for (; !is_end(name); name++) {
        hash = (hash ^ lower(*name)) * 16777619u;
    }
    return hash;
}

void loop_names_copy(char *to, size_t size_bytes, const char *from)
{
    size_t len = strnlen(from, size_bytes - 1);

    memcpy(to, from, len);
    to[len] = '\0';
}

void loop_names_say(struct loop_name_error *error, const char *format, ...)
{
    size_t len = strlen(error->text);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error->text + len, sizeof error->text - len, format, arguments);
    va_end(arguments);
}
