/* SPDX-License-Identifier: ISC
 *
 * What an operation of a reader makes of the bytes that are buffered.
 */
#ifndef LOOP_FLOW_BUFFERED_READER_STEPS_H
#define LOOP_FLOW_BUFFERED_READER_STEPS_H

#include <loop/flow/buffered/reader_state.h>

/* Takes from the program what the last operation has given out. */
void loop_reader_give_nothing(struct loop_reader *reader);

/* Buffers again what the last operation has given out. Nothing has been read since. */
void loop_reader_take_back(struct loop_reader *reader);

/* The steps: each returns the result of its operation, or LOOP_READER_NEEDS_MORE. */
int64_t loop_reader_step_all(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_line(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_until(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_exact(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_take(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_skip(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_fill(struct loop_reader *reader, struct loop_reader_operation *operation);
int64_t loop_reader_step_rest(struct loop_reader *reader, struct loop_reader_operation *operation);

#endif
