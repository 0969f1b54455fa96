/* SPDX-License-Identifier: ISC
 *
 * Functions to allocate that tests give to other libraries. The harness counts the calls of the test program, and lets
 * them fail: it must not be the library that malloc returns to.
 */
#ifndef TESTS_ADAPTERS_ALLOCATE_H
#define TESTS_ADAPTERS_ALLOCATE_H

#include <stdlib.h>
#include <string.h>

__attribute__((unused)) static void *given_malloc(size_t size)
{
    void *volatile block = malloc(size);

    return block;
}

__attribute__((unused)) static void *given_calloc(size_t count, size_t size)
{
    void *volatile block = calloc(count, size);

    return block;
}

__attribute__((unused)) static void *given_realloc(void *old, size_t size)
{
    void *volatile block = realloc(old, size);

    return block;
}

__attribute__((unused)) static void given_free(void *block)
{
    free(block);
}

__attribute__((unused)) static char *given_strdup(const char *text)
{
    char *volatile copy = malloc(strlen(text) + 1);

    return copy ? strcpy(copy, text) : NULL;
}

#endif
