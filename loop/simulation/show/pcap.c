/* SPDX-License-Identifier: ISC
 *
 * The packets of a trace as a capture file: pcap with nanoseconds, in the byte order of the machine, of link type RAW,
 * which are IP packets without a header of the link.
 */
#include <loop/simulation/misuse.h>
#include <loop/simulation/show/text.h>
#include <loop/simulation/show/trace.h>

#include <stdint.h>

#define MAGIC_NANOSECONDS 0xa1b23c4du
#define LINKTYPE_RAW 101
#define SNAP_LENGTH 262144

/* Of the file. */
struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t accuracy, snap_length, link_type;
};

/* In front of each packet. */
struct packet_header {
    uint32_t seconds, nanoseconds, kept_size, size;
};

static void add_packet(struct loop_sim_text *bytes, int64_t start_ns, const struct loop_sim_kept_record *record)
{
    int64_t time_ns = start_ns + record->time_ns;
    size_t kept = record->packet_size < SNAP_LENGTH ? record->packet_size : SNAP_LENGTH;
    struct packet_header header = {.seconds = (uint32_t)(time_ns / LOOP_SECOND),
                                   .nanoseconds = (uint32_t)(time_ns % LOOP_SECOND),
                                   .kept_size = (uint32_t)kept,
                                   .size = (uint32_t)record->packet_size};
    loop_sim_text_add_bytes(bytes, &header, sizeof header);
    loop_sim_text_add_bytes(bytes, record->packet, kept);
}

void *loop_simulation_trace_pcap(const struct loop_simulation_trace *trace, size_t *size)
{
    struct loop_sim_text bytes = {0};
    struct file_header header = {
        .magic = MAGIC_NANOSECONDS, .major = 2, .minor = 4, .snap_length = SNAP_LENGTH, .link_type = LINKTYPE_RAW};
    LOOP_SIM_NEED(size, "pointer to the size");
    loop_sim_text_add_bytes(&bytes, &header, sizeof header);
    for (size_t i = 0; trace && i < trace->n_records; i++) {
        if (trace->records[i].packet) {
            add_packet(&bytes, trace->start_ns, &trace->records[i]);
        }
    }
    *size = bytes.len;
    return loop_sim_text_take(&bytes);
}
