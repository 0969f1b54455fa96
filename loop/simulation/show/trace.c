/* SPDX-License-Identifier: ISC
 *
 * Keeps the trace of a run, and writes it as text.
 */
#include <loop/simulation/show/trace.h>

#include <string.h>

#define NODES_WIDTH 16 /* at least, of the column of nodes */
#define EVENT_WIDTH 10

static int number_of(const struct loop_sim_node *node)
{
    return node ? (int)node->index : LOOP_SIM_NO_NODE;
}

static void copy_record(struct loop_sim_kept_record *to, const struct loop_sim_record *from)
{
    to->time_ns = from->time_ns;
    to->event = from->event;
    to->from = number_of(from->from);
    to->to = number_of(from->to);
    memcpy(to->text, from->text, sizeof to->text);
    if (from->packet) {
        to->packet = loop_sim_alloc(from->packet_size + 1);
        to->packet_size = from->packet_size;
        memcpy(to->packet, from->packet, from->packet_size);
    }
}

struct loop_simulation_trace *loop_sim_trace_copy(const struct loop_world *world)
{
    struct loop_simulation_trace *trace = loop_sim_alloc(sizeof *trace);
    const struct loop_sim_record *records = loop_sim_trace_records(world->sim, &trace->n_records);
    trace->start_ns = world->sim->start_ns;
    trace->n_nodes = world->n_nodes;
    trace->names = loop_sim_alloc((trace->n_nodes + 1) * sizeof *trace->names);
    for (size_t i = 0; i < trace->n_nodes; i++) {
        memcpy(trace->names[i], world->nodes[i]->sim->name, sizeof trace->names[i]);
    }
    trace->records = loop_sim_alloc((trace->n_records + 1) * sizeof *trace->records);
    for (size_t i = 0; i < trace->n_records; i++) {
        copy_record(&trace->records[i], &records[i]);
    }
    return trace;
}

void loop_sim_trace_free(struct loop_simulation_trace *trace)
{
    if (trace) {
        for (size_t i = 0; i < trace->n_records; i++) {
            loop_sim_free(trace->records[i].packet);
        }
        loop_sim_free(trace->records);
        loop_sim_free(trace->names);
        loop_sim_free(trace);
    }
}

/* ---- text ---- */

static void write_record(struct loop_sim_text *text, const struct loop_simulation_trace *trace,
                         const struct loop_sim_kept_record *record)
{
    loop_sim_text_add(text, "%6lld.%09lld  ", (long long)(record->time_ns / LOOP_SECOND),
                      (long long)(record->time_ns % LOOP_SECOND));
    size_t column = text->len + NODES_WIDTH;
    if (record->from != LOOP_SIM_NO_NODE) {
        loop_sim_text_add(text, "%s", trace->names[record->from]);
    }
    if (record->to != LOOP_SIM_NO_NODE) {
        loop_sim_text_add(text, " -> %s", trace->names[record->to]);
    }
    loop_sim_text_pad(text, column);
    loop_sim_text_add(text, "  %-*s  %s\n", EVENT_WIDTH, record->event, record->text);
}

bool loop_sim_record_is_minor(const struct loop_sim_kept_record *record)
{
    static const char ack[] = "tcp ack ", empty[] = ", 0 bytes";
    size_t len = strlen(record->text);
    return (!strcmp(record->event, "send") || !strcmp(record->event, "deliver")) &&
           !strncmp(record->text, ack, sizeof ack - 1) && len >= sizeof empty - 1 &&
           !strcmp(record->text + len - (sizeof empty - 1), empty);
}

void loop_sim_trace_write(struct loop_sim_text *text, const struct loop_simulation_trace *trace, bool has_minor)
{
    for (size_t i = 0; i < trace->n_records; i++) {
        if (has_minor || !loop_sim_record_is_minor(&trace->records[i])) {
            write_record(text, trace, &trace->records[i]);
        }
    }
}

char *loop_simulation_trace_text(const struct loop_simulation_trace *trace)
{
    struct loop_sim_text text = {0};
    if (trace) {
        loop_sim_trace_write(&text, trace, true);
    }
    return loop_sim_text_take(&text);
}
