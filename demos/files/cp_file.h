/* SPDX-License-Identifier: ISC
 *
 * Copies a regular file.
 */
#ifndef DEMOS_CP_FILE_H
#define DEMOS_CP_FILE_H

#include "cp_report.h"

/* Copies a regular file of `size_bytes`, its permissions and times. The copy replaces the target when it is complete.
 * Resumes `fn` with the bytes copied or a negative errno. Returns false without memory or when the scope has ended;
 * `fn` is not called then. */
bool cp_file(struct cp *cp, const struct cp_names *names, uint64_t size_bytes, loop_fn *fn, void *arg);

/* Returns an unpredictable name in the directory of `path`, which the caller frees, or NULL without memory. */
char *cp_temporary_name(const char *path);

#endif
