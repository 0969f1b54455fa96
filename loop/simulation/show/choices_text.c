/* SPDX-License-Identifier: ISC
 *
 * Lists of choices as text.
 */
#include <loop/simulation.h>
#include <loop/simulation/misuse.h>
#include <loop/simulation/show/text.h>

#include <ctype.h>
#include <stdlib.h>

#define MOST_CHOICES ((size_t)1 << 24)
#define LEAST_RUN 3 /* zeros in a row that are written as one word */

static size_t zeros_from(const uint32_t *choices, size_t n_choices, size_t first)
{
    size_t end = first;
    while (end < n_choices && choices[end] == 0) {
        end++;
    }
    return end - first;
}

char *loop_simulation_choices_format(const uint32_t *choices, size_t n_choices)
{
    struct loop_sim_text text = {0};
    LOOP_SIM_NEED(n_choices > 0 ? (const void *)choices : "", "list of choices");
    for (size_t i = 0; i < n_choices;) {
        size_t n_zeros = zeros_from(choices, n_choices, i);
        const char *space = i > 0 ? " " : "";
        if (n_zeros >= LEAST_RUN) {
            loop_sim_text_add(&text, "%s%zux0", space, n_zeros);
            i += n_zeros;
        } else {
            loop_sim_text_add(&text, "%s%lu", space, (unsigned long)choices[i]);
            i++;
        }
    }
    return loop_sim_text_take(&text);
}

/* Reads a number of at most UINT32_MAX. Returns what follows it, or NULL. */
static const char *read_number(const char *text, uint32_t *number)
{
    uint64_t value = 0;
    if (!isdigit((unsigned char)*text)) {
        return NULL;
    }
    for (; isdigit((unsigned char)*text); text++) {
        value = 10 * value + (uint64_t)(*text - '0');
        if (value > UINT32_MAX) {
            return NULL;
        }
    }
    *number = (uint32_t)value;
    return text;
}

/* Reads "VALUE" or "COUNTxVALUE". Returns what follows it, or NULL. */
static const char *read_word(const char *text, uint32_t *count, uint32_t *value)
{
    *count = 1;
    text = read_number(text, value);
    if (text && *text == 'x') {
        *count = *value;
        text = read_number(text + 1, value);
    }
    return text && (*text == 0 || isspace((unsigned char)*text)) ? text : NULL;
}

static const char *skip_spaces(const char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    return text;
}

/* Stores the choices in `choices`, or only counts them when it is NULL. Returns false for text that is none. */
static bool read_choices(const char *text, uint32_t *choices, size_t *n_choices)
{
    size_t n = 0;
    for (text = skip_spaces(text); *text; text = skip_spaces(text)) {
        uint32_t count, value;
        text = read_word(text, &count, &value);
        if (!text || count > MOST_CHOICES - n) {
            return false;
        }
        for (uint32_t i = 0; i < count && choices; i++) {
            choices[n + i] = value;
        }
        n += count;
    }
    *n_choices = n;
    return true;
}

uint32_t *loop_simulation_choices_parse(const char *text, size_t *n_choices)
{
    size_t n;
    LOOP_SIM_NEED(n_choices, "pointer to the number of choices");
    if (!text || !read_choices(text, NULL, &n)) {
        return NULL;
    }
    uint32_t *choices = malloc((n + 1) * sizeof *choices);
    if (choices) {
        (void)read_choices(text, choices, n_choices);
    }
    return choices;
}
