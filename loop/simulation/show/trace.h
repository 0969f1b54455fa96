/* SPDX-License-Identifier: ISC
 *
 * The trace of a run, as it is kept after its world is freed.
 */
#ifndef LOOP_SIMULATION_SHOW_TRACE_H
#define LOOP_SIMULATION_SHOW_TRACE_H

#include <loop/kernel/simulated/machine/trace.h>
#include <loop/simulation/show/text.h>
#include <loop/simulation/world.h>

enum { LOOP_SIM_NO_NODE = -1 };

/* One thing that happened: struct loop_sim_record, with numbers in place of nodes. */
struct loop_sim_kept_record {
    int64_t time_ns;
    const char *event;
    int from, to; /* or LOOP_SIM_NO_NODE */
    char text[sizeof(((struct loop_sim_record *)NULL)->text)];
    unsigned char *packet; /* NULL: none */
    size_t packet_size;
};

/* A trace. */
struct loop_simulation_trace {
    struct loop_sim_kept_record *records;
    size_t n_records;
    char (*names)[LOOP_SIM_NAME_SIZE]; /* of the nodes */
    size_t n_nodes;
    int64_t start_ns; /* the wall clock when time was 0 */
};

/* Copies the trace of a world. */
struct loop_simulation_trace *loop_sim_trace_copy(const struct loop_world *world);

/* Whether a record is a TCP acknowledgement without bytes, which reports leave out. */
bool loop_sim_record_is_minor(const struct loop_sim_kept_record *record);

/* Appends the records as text, with or without those that are minor. */
void loop_sim_trace_write(struct loop_sim_text *text, const struct loop_simulation_trace *trace, bool has_minor);

/* Frees a trace. NULL does nothing. */
void loop_sim_trace_free(struct loop_simulation_trace *trace);

#endif
