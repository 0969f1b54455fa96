/* SPDX-License-Identifier: ISC
 *
 * The rest of a reader as a source.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_REST_H
#define LOOP_FLOW_BUFFERED_READER_REST_H

#include <loop/flow/own/rest.h>

/* The functions of the rest of every reader. */
extern const struct loop_rest_functions loop_reader_rest;

#endif
