/* SPDX-License-Identifier: ISC
 *
 * How a writer sends what was appended, and completes the jobs that wait for that.
 */
#ifndef LOOP_FLOW_BUFFERED_WRITER_SEND_H
#define LOOP_FLOW_BUFFERED_WRITER_SEND_H

#include <loop/core/loop.h>
#include <loop/flow/buffered/writer_state.h>

/* Checks the writer that a public function is given. One that has been destroyed is not good, also while something
 * keeps the object. */
bool loop_writer_is_good(const struct loop_writer *writer, const char *function);

/* Has the writer looked at when the continuation that is running has returned: it then sends what was appended, and
 * completes the jobs that wait. */
void loop_writer_look_soon(struct loop_writer *writer);

/* Does that: the function of writer->after. */
void loop_writer_look_after(struct loop_after *after);

/* Ends what loop_writer_enter has begun. The last one completes the jobs that have their result, and frees the object
 * if nothing keeps it. */
void loop_writer_leave(struct loop_writer *writer);

/* Frees the object if the writer has been destroyed and nothing keeps it. */
void loop_writer_let_go(struct loop_writer *writer);

/* Drops what was appended, and cancels the write in flight. Jobs that wait are completed when that has ended. Between
 * enter and leave only. */
void loop_writer_give_up(struct loop_writer *writer);

#endif
