/* SPDX-License-Identifier: ISC
 *
 * Types of files.
 */
#ifndef DEMOS_HTTP_TYPE_H
#define DEMOS_HTTP_TYPE_H

/* Returns the media type for the name of a file. */
const char *type_of_file(const char *path);

#endif
