/* SPDX-License-Identifier: ISC
 *
 * A trace as a sequence diagram in SVG.
 */
#include <loop/simulation/show/diagram.h>

#define LEFT 150 /* of the first node; the times are to the left of it */
#define COLUMN 260
#define TOP 50
#define ROW 24

static int x_of(int node)
{
    return LEFT + node * COLUMN;
}

/* Adds text with the characters of markup replaced, and those that XML does not allow. */
static void add_escaped(struct loop_sim_text *text, const char *plain)
{
    for (; *plain; plain++) {
        switch (*plain) {
        case '<': loop_sim_text_add(text, "&lt;"); break;
        case '>': loop_sim_text_add(text, "&gt;"); break;
        case '&': loop_sim_text_add(text, "&amp;"); break;
        case '"': loop_sim_text_add(text, "&quot;"); break;
        default: {
            unsigned char byte = (unsigned char)*plain;
            loop_sim_text_add(text, "%c", byte >= ' ' && byte < 127 ? byte : '?');
        }
        }
    }
}

static void add_head(struct loop_sim_text *text, int width, int height)
{
    loop_sim_text_add(text,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                      "viewBox=\"0 0 %d %d\" font-family=\"monospace\" font-size=\"11\">\n"
                      "<defs><marker id=\"arrow\" markerWidth=\"8\" markerHeight=\"8\" refX=\"8\" refY=\"4\" "
                      "orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\" fill=\"#205080\"/></marker></defs>\n"
                      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                      width, height, width, height);
}

static void add_node(struct loop_sim_text *text, const char *name, int node, int height)
{
    int x = x_of(node);
    loop_sim_text_add(text, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#b0b0b0\"/>\n", x, TOP - 14, x,
                      height - 10);
    loop_sim_text_add(text, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" font-weight=\"bold\">", x, TOP - 22);
    add_escaped(text, name);
    loop_sim_text_add(text, "</text>\n");
}

static void add_label(struct loop_sim_text *text, int x, int y, const char *anchor,
                      const struct loop_sim_kept_record *record)
{
    char label[LOOP_SIM_LABEL_SIZE];
    loop_sim_row_label(record, label, sizeof label);
    loop_sim_text_add(text, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">", x, y, anchor);
    add_escaped(text, label);
    loop_sim_text_add(text, "</text>\n");
}

/* An arrow; that of a loss is red, and ends with a cross. */
static void add_arrow(struct loop_sim_text *text, const struct loop_sim_kept_record *record, int y)
{
    int from = x_of(record->from), to = x_of(record->to);
    if (loop_sim_row_is_loss(record)) {
        int end = from + (to - from) * 3 / 4;
        loop_sim_text_add(text,
                          "<path d=\"M%d,%d L%d,%d M%d,%d l10,10 m0,-10 l-10,10\" stroke=\"#c02020\" fill=\"none\" "
                          "stroke-dasharray=\"5 3\"/>\n",
                          from, y, end, y, end - 5, y - 5);
    } else {
        loop_sim_text_add(text,
                          "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#205080\" "
                          "marker-end=\"url(#arrow)\"/>\n",
                          from, y, to, y);
    }
    add_label(text, (from + to) / 2, y - 4, "middle", record);
}

static void add_row(struct loop_sim_text *text, const struct loop_sim_row *row, int y)
{
    if (!row->record) {
        loop_sim_text_add(text, "<text x=\"10\" y=\"%d\" fill=\"#806000\">... %zu events are left out ...</text>\n", y,
                          row->n_left_out);
        return;
    }
    const struct loop_sim_kept_record *record = row->record;
    loop_sim_text_add(text, "<text x=\"10\" y=\"%d\" fill=\"#808080\">%lld.%09lld</text>\n", y,
                      (long long)(record->time_ns / LOOP_SECOND), (long long)(record->time_ns % LOOP_SECOND));
    if (loop_sim_row_is_arrow(record)) {
        add_arrow(text, record, y);
    } else if (record->from != LOOP_SIM_NO_NODE) {
        loop_sim_text_add(text, "<circle cx=\"%d\" cy=\"%d\" r=\"3\" fill=\"#205080\"/>\n", x_of(record->from), y - 4);
        add_label(text, x_of(record->from) + 8, y, "start", record);
    } else {
        add_label(text, LEFT, y, "start", record);
    }
}

char *loop_simulation_trace_svg(const struct loop_simulation_trace *trace)
{
    struct loop_sim_text text = {0};
    if (!trace) {
        return loop_sim_text_take(&text);
    }
    struct loop_sim_rows rows;
    loop_sim_rows_choose(&rows, trace);
    int height = TOP + ROW * ((int)rows.n_rows + 1);
    add_head(&text, LEFT + COLUMN * (int)(trace->n_nodes + 1), height);
    for (size_t i = 0; i < trace->n_nodes; i++) {
        add_node(&text, trace->names[i], (int)i, height);
    }
    for (size_t i = 0; i < rows.n_rows; i++) {
        add_row(&text, &rows.rows[i], TOP + ROW * (int)i);
    }
    loop_sim_text_add(&text, "</svg>\n");
    return loop_sim_text_take(&text);
}
