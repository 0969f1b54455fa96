/* SPDX-License-Identifier: ISC
 *
 * A trace as a sequence diagram in text.
 */
#include <loop/simulation/show/diagram.h>

#include <stdio.h>
#include <string.h>

#define TIME_WIDTH 18
#define COLUMN_WIDTH 36 /* from one node to the next */
#define HALF (LOOP_SIM_ROWS_MAX / 2)

/* ---- rows ---- */

bool loop_sim_row_is_arrow(const struct loop_sim_kept_record *record)
{
    return record->from != LOOP_SIM_NO_NODE && record->to != LOOP_SIM_NO_NODE && record->from != record->to;
}

bool loop_sim_row_is_loss(const struct loop_sim_kept_record *record)
{
    static const char *const words[] = {"lost", "drop", "unreachable", "discard"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strstr(record->event, words[i])) {
            return true;
        }
    }
    return false;
}

/* Whether a record is left out: a packet is drawn when it arrives or is lost, not when it is sent. */
static bool is_left_out(const struct loop_sim_kept_record *record)
{
    return loop_sim_record_is_minor(record) || (loop_sim_row_is_arrow(record) && !strcmp(record->event, "send"));
}

static size_t count_major(const struct loop_simulation_trace *trace)
{
    size_t count = 0;
    for (size_t i = 0; i < trace->n_records; i++) {
        count += !is_left_out(&trace->records[i]);
    }
    return count;
}

void loop_sim_rows_choose(struct loop_sim_rows *rows, const struct loop_simulation_trace *trace)
{
    size_t n_major = count_major(trace), n_left_out = n_major > LOOP_SIM_ROWS_MAX ? n_major - (size_t)2 * HALF : 0;
    size_t n_seen = 0;
    rows->n_rows = 0;
    for (size_t i = 0; i < trace->n_records; i++) {
        if (is_left_out(&trace->records[i])) {
            continue;
        }
        if (n_left_out > 0 && n_seen == HALF) {
            rows->rows[rows->n_rows++] = (struct loop_sim_row){.n_left_out = n_left_out};
        }
        if (n_left_out == 0 || n_seen < HALF || n_seen >= HALF + n_left_out) {
            rows->rows[rows->n_rows++] = (struct loop_sim_row){.record = &trace->records[i]};
        }
        n_seen++;
    }
}

/* Writes what a packet is, without its protocol and addresses: "syn", "5 bytes "hello"". Returns false for text that is
 * not of a packet, "tcp syn A > B, N bytes". */
static bool put_packet_label(const struct loop_sim_kept_record *record, char *label, size_t size)
{
    const char *flags = record->text + 4, *arrow = strstr(record->text, " > ");
    const char *bytes = arrow ? strstr(arrow, ", ") : NULL;
    bool is_packet = !strncmp(record->text, "tcp ", 4) || !strncmp(record->text, "udp ", 4);
    if (!is_packet || !bytes) {
        return false;
    }
    const char *event = strcmp(record->event, "deliver") ? record->event : "";
    int n_flags = (int)strspn(flags, "abcdefghijklmnopqrstuvwxyz ");
    bool has_bytes = strncmp(bytes, ", 0 ", 4) != 0;
    (void)snprintf(label, size, "%s%s%.*s%s", event, event[0] ? " " : "", has_bytes ? 0 : n_flags, flags,
                   has_bytes ? bytes + 2 : "");
    return true;
}

void loop_sim_row_label(const struct loop_sim_kept_record *record, char *label, size_t size)
{
    if (!loop_sim_row_is_arrow(record) || !put_packet_label(record, label, size)) {
        (void)snprintf(label, size, "%s%s%s", record->event, record->text[0] ? " " : "", record->text);
    }
    size_t len = strlen(label);
    while (len > 0 && label[len - 1] == ' ') {
        label[--len] = 0;
    }
}

/* ---- lines ---- */

/* A line that is drawn over from left to right. */
struct canvas {
    char *cells;
    size_t width, n_nodes;
};

static size_t column_of(int node)
{
    return TIME_WIDTH + (size_t)node * COLUMN_WIDTH + COLUMN_WIDTH / 4;
}

static void clear(struct canvas *canvas)
{
    memset(canvas->cells, ' ', canvas->width);
    for (size_t i = 0; i < canvas->n_nodes; i++) {
        canvas->cells[column_of((int)i)] = '|';
    }
}

/* Puts text there, cut to `most` bytes and the width. */
static void put(struct canvas *canvas, size_t column, const char *text, size_t most)
{
    size_t len = strlen(text);
    len = len < most ? len : most;
    len = column + len < canvas->width ? len : canvas->width - column;
    memcpy(canvas->cells + column, text, len);
}

static void end_line(const struct canvas *canvas, struct loop_sim_text *text)
{
    size_t len = canvas->width;
    while (len > 0 && canvas->cells[len - 1] == ' ') {
        len--;
    }
    loop_sim_text_add_bytes(text, canvas->cells, len);
    loop_sim_text_add_bytes(text, "\n", 1);
}

/* Draws "|--- label --->|", or "|--- label --x |" for a loss. */
static void put_arrow(struct canvas *canvas, const struct loop_sim_kept_record *record, const char *label)
{
    size_t from = column_of(record->from), to = column_of(record->to);
    bool goes_right = to > from;
    size_t first = (goes_right ? from : to) + 1, end = goes_right ? to : from;
    memset(canvas->cells + first, '-', end - first);
    if (loop_sim_row_is_loss(record)) {
        size_t gap = 4;
        memset(canvas->cells + (goes_right ? end - gap : first), ' ', gap);
        canvas->cells[goes_right ? end - gap - 1 : first + gap] = 'x';
    } else {
        canvas->cells[goes_right ? end - 1 : first] = goes_right ? '>' : '<';
    }
    size_t room = end - first - 12, len = strlen(label) < room ? strlen(label) : room;
    size_t at = first + (end - first - len) / 2;
    canvas->cells[at - 1] = ' ';
    canvas->cells[at + len] = ' ';
    put(canvas, at, label, len);
}

static void put_row(struct canvas *canvas, const struct loop_sim_row *row)
{
    char label[LOOP_SIM_LABEL_SIZE], time[32];
    if (!row->record) {
        (void)snprintf(label, sizeof label, "... %zu events are left out ...", row->n_left_out);
        put(canvas, TIME_WIDTH, label, sizeof label);
        return;
    }
    const struct loop_sim_kept_record *record = row->record;
    loop_sim_row_label(record, label, sizeof label);
    (void)snprintf(time, sizeof time, "%6lld.%09lld", (long long)(record->time_ns / LOOP_SECOND),
                   (long long)(record->time_ns % LOOP_SECOND));
    put(canvas, 0, time, TIME_WIDTH);
    if (loop_sim_row_is_arrow(record)) {
        put_arrow(canvas, record, label);
    } else if (record->from != LOOP_SIM_NO_NODE) {
        canvas->cells[column_of(record->from)] = '*';
        put(canvas, column_of(record->from) + 2, label, canvas->width);
    } else {
        put(canvas, TIME_WIDTH, label, canvas->width);
    }
}

char *loop_simulation_trace_diagram(const struct loop_simulation_trace *trace)
{
    struct loop_sim_text text = {0};
    if (!trace) {
        return loop_sim_text_take(&text);
    }
    struct loop_sim_rows rows;
    struct canvas canvas = {.n_nodes = trace->n_nodes,
                            .width = TIME_WIDTH + (trace->n_nodes + 1) * COLUMN_WIDTH + COLUMN_WIDTH};
    canvas.cells = loop_sim_alloc(canvas.width);
    memset(canvas.cells, ' ', canvas.width);
    for (size_t i = 0; i < trace->n_nodes; i++) {
        put(&canvas, column_of((int)i), trace->names[i], COLUMN_WIDTH - 1);
    }
    end_line(&canvas, &text);
    loop_sim_rows_choose(&rows, trace);
    for (size_t i = 0; i < rows.n_rows; i++) {
        clear(&canvas);
        put_row(&canvas, &rows.rows[i]);
        end_line(&canvas, &text);
    }
    loop_sim_free(canvas.cells);
    return loop_sim_text_take(&text);
}
