/* SPDX-License-Identifier: ISC
 *
 * What keeps a reader.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_KEEP_H
#define LOOP_FLOW_BUFFERED_READER_KEEP_H

#include <loop/flow/buffered/reader_state.h>

/* Checks the reader that a public function is given. One that has been destroyed is not good, also while something
 * keeps the object. */
bool loop_reader_is_good(const struct loop_reader *reader, const char *function);

/* Gives the bytes and the object back if the reader has been destroyed and nothing keeps it any more. */
void loop_reader_let_go(struct loop_reader *reader);

/* What an operation that was cut short by a destroy ends with: an error of the source that no other read would return,
 * or `otherwise`. */
int64_t loop_reader_last_word(const struct loop_reader *reader, int64_t otherwise);

#endif
