/* SPDX-License-Identifier: ISC
 *
 * Traces as text, diagrams and capture files, from records that are known.
 */
#include <loop/simulation.h>
#include <loop/simulation/show/trace.h>

#include "harness.h"

static unsigned char packet[] = {0x45, 0, 0, 20};
static char names[2][LOOP_SIM_NAME_SIZE] = {"client", "server"};

/* Two nodes, a segment that arrives, one that is lost, an event of a node and one of the world. */
static struct loop_sim_kept_record few[] = {
    {.time_ns = 0, .event = "start", .from = 0, .to = LOOP_SIM_NO_NODE, .text = "<1> & \"2\""},
    {.time_ns = 100000,
     .event = "deliver",
     .from = 0,
     .to = 1,
     .text = "tcp ack 1.2.3.4:5 > [::1]:6, 5 bytes \"a > b\"",
     .packet = packet,
     .packet_size = 4},
    {.time_ns = 3 * LOOP_SECOND + 7, .event = "lost", .from = 1, .to = 0, .text = "2 bytes"},
    {.time_ns = 4 * LOOP_SECOND, .event = "heal", .from = LOOP_SIM_NO_NODE, .to = LOOP_SIM_NO_NODE, .text = ""},
};

static struct loop_simulation_trace trace_of(struct loop_sim_kept_record *records, size_t n_records)
{
    return (struct loop_simulation_trace){
        .records = records, .n_records = n_records, .names = names, .n_nodes = 2, .start_ns = 1893456000 * LOOP_SECOND};
}

TEST(trace_is_one_line_for_each_event)
{
    struct loop_simulation_trace trace = trace_of(few, 4);
    char *text = loop_simulation_trace_text(&trace);

    CHECK_TEXT(text, "     0.000000000  client            start       <1> & \"2\"\n"
                     "     0.000100000  client -> server  deliver     tcp ack 1.2.3.4:5 > [::1]:6, 5 bytes \"a > b\"\n"
                     "     3.000000007  server -> client  lost        2 bytes\n"
                     "     4.000000000                    heal        \n");
    free(text);
}

TEST(diagram_has_a_column_for_each_node)
{
    struct loop_simulation_trace trace = trace_of(few, 4);
    char *text = loop_simulation_trace_diagram(&trace);

    CHECK_TEXT(text, "                           client                              server\n"
                     "     0.000000000           * start <1> & \"2\"                   |\n"
                     "     0.000100000           |--------- 5 bytes \"a > b\" -------->|\n"
                     "     3.000000007           |    x----- lost 2 bytes -----------|\n"
                     "     4.000000000  heal     |                                   |\n");
    free(text);
}

static size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

TEST(diagram_of_many_events_is_cut_in_the_middle_and_says_so)
{
    static struct loop_sim_kept_record many[1000];
    struct loop_simulation_trace trace = trace_of(many, 1000);
    char *text, *svg;

    for (size_t i = 0; i < 1000; i++) {
        many[i] = few[1];
        many[i].time_ns = (int64_t)i;
    }
    text = loop_simulation_trace_diagram(&trace);
    CHECK_IS(count_lines(text), 202);
    CHECK(strstr(text, "... 800 events are left out ...") != NULL);
    CHECK(strstr(text, "0.000000099 ") && !strstr(text, "0.000000100 "));
    CHECK(!strstr(text, "0.000000899 ") && strstr(text, "0.000000900 "));
    svg = loop_simulation_trace_svg(&trace);
    CHECK(strstr(svg, "... 800 events are left out ...") != NULL);
    free(text);
    free(svg);
}

TEST(svg_escapes_text_and_marks_losses)
{
    struct loop_simulation_trace trace = trace_of(few, 4);
    char *svg = loop_simulation_trace_svg(&trace);

    CHECK(!strncmp(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39));
    CHECK(strstr(svg, "start &lt;1&gt; &amp; &quot;2&quot;</text>") != NULL);
    CHECK(strstr(svg, "stroke-dasharray") != NULL);
    CHECK(!strcmp(svg + strlen(svg) - 7, "</svg>\n"));
    free(svg);
}

TEST(capture_file_has_a_header_and_the_packets_with_their_times)
{
    struct loop_simulation_trace trace = trace_of(few, 4);
    size_t size;
    uint32_t *data = loop_simulation_trace_pcap(&trace, &size);

    CHECK_IS(size, 24 + 16 + 4);
    CHECK_IS(data[0], 0xa1b23c4d);
    CHECK_IS(data[1], 2 + (4 << 16));
    CHECK_IS(data[5], 101);
    CHECK_IS(data[6], 1893456000);
    CHECK_IS(data[7], 100000);
    CHECK_IS(data[8], 4);
    CHECK_IS(data[9], 4);
    CHECK(!memcmp(data + 10, packet, 4));
    free(data);
}

TEST(trace_of_nothing_is_empty)
{
    size_t size;
    char *text = loop_simulation_trace_text(NULL), *diagram = loop_simulation_trace_diagram(NULL);
    void *capture = loop_simulation_trace_pcap(NULL, &size);

    CHECK_TEXT(text, "");
    CHECK_TEXT(diagram, "");
    CHECK_IS(size, 24);
    free(text);
    free(diagram);
    free(capture);
}
