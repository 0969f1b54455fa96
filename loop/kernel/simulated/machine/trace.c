/* SPDX-License-Identifier: ISC
 *
 * The trace of a world.
 */
#include <loop/kernel/simulated/machine/trace.h>

#include <loop/kernel/simulated/machine/machine.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The first records and the last ones: a run that does not end has more than there is memory for. The last ones are a
 * ring when some between were left out. */
struct loop_sim_trace {
    struct loop_sim_record *records;
    size_t count, size;
    size_t oldest; /* in the ring, from its beginning */
    size_t n_left_out;
};

enum { MOST_FIRST = LOOP_SIM_MOST_RECORDS / 2, MOST_LAST = LOOP_SIM_MOST_RECORDS - MOST_FIRST };

void loop_sim_trace_begin(struct loop_sim_world *world)
{
    if (!world->trace) {
        world->trace = loop_sim_alloc(sizeof *world->trace);
    }
}

void loop_sim_trace_destroy(struct loop_sim_world *world)
{
    if (!world->trace) {
        return;
    }
    for (size_t i = 0; i < world->trace->count; i++) {
        loop_sim_free(world->trace->records[i].packet);
    }
    loop_sim_free(world->trace->records);
    loop_sim_free(world->trace);
    world->trace = NULL;
}

static struct loop_sim_record *add(const char *event, const struct loop_sim_node *from, const struct loop_sim_node *to,
                                   const char *format, va_list arguments) __attribute__((format(printf, 4, 0)));

/* Returns the place of the next record, which may be that of an older one. */
static struct loop_sim_record *next_record(struct loop_sim_trace *trace)
{
    if (trace->count == LOOP_SIM_MOST_RECORDS) {
        struct loop_sim_record *record = &trace->records[MOST_FIRST + trace->oldest];
        trace->oldest = (trace->oldest + 1) % MOST_LAST;
        trace->n_left_out++;
        loop_sim_free(record->packet);
        return record;
    }
    if (trace->count == trace->size) {
        trace->size = trace->size ? 2 * trace->size : 64;
        trace->records = loop_sim_realloc(trace->records, trace->size * sizeof *trace->records);
    }
    return &trace->records[trace->count++];
}

/* Adds a record. Returns NULL when the world is not traced. */
static struct loop_sim_record *add(const char *event, const struct loop_sim_node *from, const struct loop_sim_node *to,
                                   const char *format, va_list arguments)
{
    const struct loop_sim_world *world = loop_sim_world_now();
    struct loop_sim_trace *trace = world ? world->trace : NULL;
    if (!trace) {
        return NULL;
    }
    struct loop_sim_record *record = next_record(trace);
    memset(record, 0, sizeof *record);
    record->time_ns = world->now_ns;
    record->event = event;
    record->from = from;
    record->to = to;
    vsnprintf(record->text, sizeof record->text, format, arguments);
    return record;
}

void loop_sim_trace(const char *event, const struct loop_sim_node *from, const struct loop_sim_node *to,
                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(event, from, to, format, arguments);
    va_end(arguments);
}

void loop_sim_trace_packet(const char *event, const struct loop_sim_node *from, const struct loop_sim_node *to,
                           const void *packet, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct loop_sim_record *record = add(event, from, to, format, arguments);
    va_end(arguments);
    if (record && size > 0) {
        record->packet = loop_sim_alloc(size);
        record->packet_size = size;
        memcpy(record->packet, packet, size);
    }
}

/* Brings the ring into order. Its oldest record is replaced by one that counts those that were left out. */
static void close_gap(struct loop_sim_trace *trace)
{
    struct loop_sim_record *ring = trace->records + MOST_FIRST;
    struct loop_sim_record *before = loop_sim_alloc(MOST_LAST * sizeof *before);
    memcpy(before, ring, MOST_LAST * sizeof *before);
    for (size_t i = 0; i < MOST_LAST; i++) {
        ring[i] = before[(trace->oldest + i) % MOST_LAST];
    }
    loop_sim_free(before);
    loop_sim_free(ring->packet);
    *ring = (struct loop_sim_record){.time_ns = ring->time_ns, .event = "left out"};
    snprintf(ring->text, sizeof ring->text, "%zu events", ++trace->n_left_out);
    trace->oldest = 0;
}

const struct loop_sim_record *loop_sim_trace_records(const struct loop_sim_world *world, size_t *count)
{
    struct loop_sim_trace *trace = world->trace;
    if (trace && trace->n_left_out > 0) {
        close_gap(trace);
    }
    *count = trace ? trace->count : 0;
    return trace ? trace->records : NULL;
}
