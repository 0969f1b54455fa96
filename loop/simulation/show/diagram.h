/* SPDX-License-Identifier: ISC
 *
 * What both diagrams of a trace have in common: which events they show, and how.
 */
#ifndef LOOP_SIMULATION_SHOW_DIAGRAM_H
#define LOOP_SIMULATION_SHOW_DIAGRAM_H

#include <loop/simulation/show/trace.h>

enum { LOOP_SIM_ROWS_MAX = 200, LOOP_SIM_LABEL_SIZE = 192 };

/* A row of a diagram: an event, or the events that were left out. */
struct loop_sim_row {
    const struct loop_sim_kept_record *record; /* NULL: `n_left_out` events */
    size_t n_left_out;
};

/* The rows of a diagram. */
struct loop_sim_rows {
    struct loop_sim_row rows[LOOP_SIM_ROWS_MAX + 1];
    size_t n_rows;
};

/* Chooses the rows. */
void loop_sim_rows_choose(struct loop_sim_rows *rows, const struct loop_simulation_trace *trace);

/* Whether an event is drawn as an arrow from one node to another. */
bool loop_sim_row_is_arrow(const struct loop_sim_kept_record *record);

/* Writes what the row says. */
void loop_sim_row_label(const struct loop_sim_kept_record *record, char *label, size_t size);

/* Whether what it is about does not arrive. */
bool loop_sim_row_is_loss(const struct loop_sim_kept_record *record);

#endif
