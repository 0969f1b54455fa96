/* SPDX-License-Identifier: ISC
 *
 * Writes errors.
 */
#include "fetch_error.h"

#include <stdarg.h>
#include <stdio.h>

void fetch_error_write(struct fetch_error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
}
