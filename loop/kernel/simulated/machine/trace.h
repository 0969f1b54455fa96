/* SPDX-License-Identifier: ISC
 *
 * What happens in a world, as records that a person can read.
 */
#ifndef LOOP_KERNEL_SIMULATED_MACHINE_TRACE_H
#define LOOP_KERNEL_SIMULATED_MACHINE_TRACE_H

#include <stddef.h>
#include <stdint.h>

struct loop_sim_node;
struct loop_sim_world;

/* One thing that happened. */
struct loop_sim_record {
    int64_t time_ns;
    const char *event;                     /* a literal: "send", "deliver", "lost", "crash", ... */
    const struct loop_sim_node *from, *to; /* NULL: none. `from` is where it happened */
    char text[112];                        /* details */
    /* For pcap: a packet, or NULL. Owned by the trace. */
    unsigned char *packet;
    size_t packet_size;
};

/* So many are kept at most: of more, the first half and the last. */
enum { LOOP_SIM_MOST_RECORDS = 200000 };

/* Begins to record. */
void loop_sim_trace_begin(struct loop_sim_world *world);

/* Records. Does nothing when the world is not traced. */
void loop_sim_trace(const char *event, const struct loop_sim_node *from, const struct loop_sim_node *to,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* As loop_sim_trace, and copies an IP packet. */
void loop_sim_trace_packet(const char *event, const struct loop_sim_node *from, const struct loop_sim_node *to,
                           const void *packet, size_t size, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Returns the records and their number, at the end of a run. Where some were left out, a record says how many. */
const struct loop_sim_record *loop_sim_trace_records(const struct loop_sim_world *world, size_t *count);

/* Frees the records of a world. */
void loop_sim_trace_destroy(struct loop_sim_world *world);

#endif
