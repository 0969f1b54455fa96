/* SPDX-License-Identifier: ISC
 *
 * Heads of answers.
 */
#ifndef DEMOS_HTTP_HEAD_H
#define DEMOS_HTTP_HEAD_H

#include "request.h"

#define HEAD_SIZE (HTTP_TARGET_SIZE + 1024) /* room for a redirection to a target of any length */

struct head {
    int status;
    size_t len;
    size_t end; /* where the body begins, when it is in `text` as well */
    char *text; /* of HEAD_SIZE bytes */
};

/* Begins a head, with the date and whether the connection is kept. */
void head_begin(struct head *head, struct loop_clock *clock, int status, bool keep_alive);

/* Appends to a head. Everything appended is shorter than the buffer; a longer text would be cut. */
void head_add(struct head *head, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a text to a head, as it is. */
void head_put(struct head *head, const char *text);

/* Ends the head. */
void head_end(struct head *head);

/* Ends the head with the status in words as the body, which is left out for a request of HEAD. */
void head_end_with_words(struct head *head, bool is_head);

#endif
