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

/* Gives the buffered bytes back and frees the object, if the reader has been destroyed and nothing keeps it. */
void loop_reader_let_go(struct loop_reader *reader);

/* Returns what an operation ends with that a destroy has cut short: an error of the source, which no other read would
 * return, or `otherwise`. */
int64_t loop_reader_last_word(const struct loop_reader *reader, int64_t otherwise);

/* Has no close of what is below the reader end `job`, an operation, any more. Harmless where none would. */
static inline void loop_reader_untie(struct loop_reader *reader, struct loop_job *job)
{
    loop_own_untie_source(&reader->rest.source, job, &reader->operation.member, &reader->operation.uses_fd);
}

#endif
