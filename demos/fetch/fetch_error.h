/* SPDX-License-Identifier: ISC
 *
 * Errors as lines for a person.
 */
#ifndef DEMOS_FETCH_ERROR_H
#define DEMOS_FETCH_ERROR_H

/* Which step failed, and why. */
struct fetch_error {
    char text[2048];
};

/* Writes the line, which is cut where it does not fit. */
void fetch_error_write(struct fetch_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
