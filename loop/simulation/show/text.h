/* SPDX-License-Identifier: ISC
 *
 * Text and bytes that grow, for results that the user frees.
 */
#ifndef LOOP_SIMULATION_SHOW_TEXT_H
#define LOOP_SIMULATION_SHOW_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zeros are an empty text. Without memory the text is lost, and loop_sim_text_take returns NULL. */
struct loop_sim_text {
    char *data; /* allocated by malloc; ends with a 0 byte that `len` does not count */
    size_t len, size;
    bool has_failed;
};

/* Appends formatted text. */
void loop_sim_text_add(struct loop_sim_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends bytes. */
void loop_sim_text_add_bytes(struct loop_sim_text *text, const void *bytes, size_t len);

/* Appends spaces until `len` is at least `until`. */
void loop_sim_text_pad(struct loop_sim_text *text, size_t until);

/* Returns the text, which the caller frees, and makes it empty. NULL when there was no memory. */
char *loop_sim_text_take(struct loop_sim_text *text);

#endif
