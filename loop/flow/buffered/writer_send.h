/* SPDX-License-Identifier: ISC
 *
 * How a writer sends what has been appended, and tells the jobs that wait for it.
 */
#ifndef LOOP_FLOW_BUFFERED_WRITER_SEND_H
#define LOOP_FLOW_BUFFERED_WRITER_SEND_H

#include <loop/core/loop.h>
#include <loop/flow/buffered/writer_state.h>

/* Checks the writer that a public function is given. One that has been destroyed is not good, also while something
 * keeps the object. */
bool loop_writer_is_good(const struct loop_writer *writer, const char *function);

/* Has the writer looked at when the continuation that is running has returned: what it has gathered is sent, and jobs
 * that wait are completed. */
void loop_writer_look_soon(struct loop_writer *writer);

/* Looks at the writer that has this `after`: the function in it. */
void loop_writer_look_after(struct loop_after *after);

/* Ends what loop_writer_enter has begun. The last to leave completes the jobs that have their result, and gives the
 * object back if nothing keeps it any more. */
void loop_writer_leave(struct loop_writer *writer);

/* Gives the object back if it has been destroyed and nothing keeps it any more. */
void loop_writer_let_go(struct loop_writer *writer);

/* Drops what is pending. Jobs that wait are completed when the write in flight has ended. Between enter and leave. */
void loop_writer_give_up(struct loop_writer *writer);

#endif
