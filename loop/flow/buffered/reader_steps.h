/* SPDX-License-Identifier: ISC
 *
 * The steps of operations: what they make of the bytes that are buffered.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_STEPS_H
#define LOOP_FLOW_BUFFERED_READER_STEPS_H

#include <loop/flow/buffered/reader_state.h>

/* Ends the loan of what the last operation has given out. */
void loop_reader_give_nothing(struct loop_reader *reader);

/* Buffers again what the last operation has given out. There has been no read since. */
void loop_reader_take_back(struct loop_reader *reader);

/* ---- steps: each returns the result of its operation, or LOOP_READER_NEEDS_MORE ---- */

/* Gives out all that is left, as text, when the source has ended. */
int64_t loop_reader_step_all(struct loop_reader *reader, struct loop_reader_operation *operation);

/* Gives out a line, without its end. */
int64_t loop_reader_step_line(struct loop_reader *reader, struct loop_reader_operation *operation);

/* Gives out the bytes before the delimiter operation->bytes. */
int64_t loop_reader_step_until(struct loop_reader *reader, struct loop_reader_operation *operation);

/* Gives out operation->len bytes. */
int64_t loop_reader_step_exact(struct loop_reader *reader, struct loop_reader_operation *operation);

/* Gives out 1 to operation->len bytes. */
int64_t loop_reader_step_take(struct loop_reader *reader, struct loop_reader_operation *operation);

/* Consumes operation->len bytes, or all up to the end of the source. */
int64_t loop_reader_step_skip(struct loop_reader *reader, struct loop_reader_operation *operation);

/* Buffers operation->len bytes, and consumes none. */
int64_t loop_reader_step_fill(struct loop_reader *reader, struct loop_reader_operation *operation);

/* Copies up to operation->len bytes to operation->bytes. */
int64_t loop_reader_step_rest(struct loop_reader *reader, struct loop_reader_operation *operation);

#endif
