/* SPDX-License-Identifier: ISC
 *
 * The trace of a world.
 */
#include <loop/kernel/simulated/machine/trace.h>

#include <loop/kernel/simulated/machine/machine.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct loop_sim_trace {
    struct loop_sim_record *records;
    size_t count, size;
};

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

/* Adds a record. Returns NULL when the world is not traced. */
static struct loop_sim_record *add(const char *event, const struct loop_sim_node *from, const struct loop_sim_node *to,
                                   const char *format, va_list arguments)
{
    const struct loop_sim_world *world = loop_sim_world_now();
    struct loop_sim_trace *trace = world ? world->trace : NULL;
    if (!trace) {
        return NULL;
    }
    if (trace->count == trace->size) {
        trace->size = trace->size ? 2 * trace->size : 64;
        trace->records = loop_sim_realloc(trace->records, trace->size * sizeof *trace->records);
    }
    struct loop_sim_record *record = &trace->records[trace->count++];
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

const struct loop_sim_record *loop_sim_trace_records(const struct loop_sim_world *world, size_t *count)
{
    *count = world->trace ? world->trace->count : 0;
    return world->trace ? world->trace->records : NULL;
}
