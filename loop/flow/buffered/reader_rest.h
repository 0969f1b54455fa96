/* SPDX-License-Identifier: ISC
 *
 * The rest of a reader as a source.
 */
#ifndef LOOP_READER_REST_H
#define LOOP_READER_REST_H

#include <loop/flow/buffered/reader_state.h>

/* The functions of every reader's rest. */
extern const struct loop_rest_functions loop_reader_rest;

#endif
