/* SPDX-License-Identifier: ISC
 *
 * Fuzzes the HTTP requests that the demo `httpd` parses. The target, method and header fields of an accepted request
 * appear in its lines, and parsing the same bytes again returns the same result.
 */
#include "fuzz.h"

#include "../../demos/http/request.h"

#include <stdlib.h>
#include <strings.h>

enum { MOST_LINES = 64, MOST_SIZE = 20000 };

struct line {
    const char *text;
    size_t len, end_len;
};

static char bytes[MOST_SIZE + 1];
static struct line lines[MOST_LINES];
static size_t n_lines;

/* Splits the input into lines as loop_reader_lines does. */
static void split(const uint8_t *data, size_t size)
{
    memcpy(bytes, data, size);
    bytes[size] = '\0';
    n_lines = 0;
    for (char *at = bytes, *end; n_lines < MOST_LINES && at < bytes + size; at = end + 1) {
        end = memchr(at, '\n', (size_t)(bytes + size - at));
        if (!end) {
            break;
        }
        size_t len = (size_t)(end - at), end_len = 1;
        end_len += len > 0 && at[len - 1] == '\r';
        len -= end_len - 1;
        at[len] = '\0';
        lines[n_lines++] = (struct line){at, len, end_len};
    }
}

/* Reads one request, and counts its lines. */
static int read_request(struct http_reading *reading, size_t *used)
{
    int status = 0;

    http_reading_begin(reading);
    for (*used = 0; *used < n_lines && status == 0; (*used)++) {
        status = http_reading_line(reading, lines[*used].text, lines[*used].len, lines[*used].end_len);
    }
    return status;
}

/* ---- the model ---- */

/* Checks that every line but the request line is a name, a colon and a value, and that all lines end alike. */
static void check_lines(size_t first, size_t used)
{
    for (size_t i = first; i < used; i++) {
        const char *text = lines[i].text, *colon = memchr(text, ':', lines[i].len);
        FUZZ_MUST(!memchr(text, '\r', lines[i].len) && !memchr(text, '\0', lines[i].len));
        FUZZ_MUST(lines[i].end_len == lines[first].end_len);
        FUZZ_MUST(i == first || i == used - 1 || (colon && colon > text && !memchr(text, ' ', (size_t)(colon - text))));
    }
}

/* Finds the last field of that name, without surrounding space. Returns the number of such fields. */
static size_t find_field(size_t first, size_t used, const char *name, char value[MOST_SIZE])
{
    size_t count = 0, name_len = strlen(name);

    value[0] = '\0';
    for (size_t i = first + 1; i < used; i++) {
        const char *text = lines[i].text, *colon = memchr(text, ':', lines[i].len);
        if (!colon || (size_t)(colon - text) != name_len || strncasecmp(text, name, name_len) != 0) {
            continue;
        }
        const char *start = colon + 1 + strspn(colon + 1, " \t"), *end = text + lines[i].len;
        while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }
        count++;
        memcpy(value, start, (size_t)(end - start));
        value[end - start] = '\0';
    }
    return count;
}

/* The value that was read is the last one, or empty where there was no room for it. */
static void check_field(size_t first, size_t used, const char *name, const char *read)
{
    static char value[MOST_SIZE];
    size_t count = find_field(first, used, name, value);

    FUZZ_MUST((count > 0) == (read != NULL));
    FUZZ_MUST(!read || read[0] == '\0' || strcmp(value, read) == 0);
}

static void check_request(const struct http_request *request, size_t used)
{
    size_t first = 0;
    static char coding[MOST_SIZE], length[MOST_SIZE];

    while (lines[first].len == 0) {
        first++; /* skips leading line ends */
    }
    const char *line = lines[first].text;
    FUZZ_MUST(request->is_head == (strncmp(line, "HEAD ", 5) == 0));
    FUZZ_MUST(request->is_options == (strncmp(line, "OPTIONS ", 8) == 0));
    FUZZ_MUST(request->is_head || request->is_options || strncmp(line, "GET ", 4) == 0);
    const char *target = strchr(line, ' ') + strspn(strchr(line, ' '), " ");
    size_t len = strcspn(target, " ");
    const char *version = target + len + strspn(target + len, " ");
    FUZZ_MUST(version + 8 == lines[first].text + lines[first].len);
    FUZZ_MUST(memcmp(version, "HTTP/1.", 7) == 0);
    FUZZ_MUST(strlen(request->target) == len && memcmp(request->target, target, len) == 0);
    check_lines(first, used);
    FUZZ_MUST(request->n_hosts <= 1 && (request->n_hosts == 1 || request->is_old));
    size_t n_codings = find_field(first, used, "transfer-encoding", coding);
    size_t n_lengths = find_field(first, used, "content-length", length);
    FUZZ_MUST(n_codings + n_lengths <= 1);
    FUZZ_MUST((request->body == BODY_CHUNKED) == (n_codings == 1));
    FUZZ_MUST(request->body != BODY_OF_LENGTH || n_lengths == 1);
    FUZZ_MUST(n_codings == 0 || strcasecmp(coding, "chunked") == 0);
    check_field(first, used, "host", request->fields[FIELD_HOST]);
    check_field(first, used, "range", request->fields[FIELD_RANGE]);
    check_field(first, used, "if-range", request->fields[FIELD_IF_RANGE]);
    check_field(first, used, "if-modified-since", request->fields[FIELD_IF_MODIFIED_SINCE]);
    check_field(first, used, "if-unmodified-since", request->fields[FIELD_IF_UNMODIFIED_SINCE]);
}

/* Reads chunks of which each is a line, and the trailer. A size that is accepted is the number that is written there.
 */
static void read_chunks(struct http_reading *reading, size_t i)
{
    bool is_trailer = false;
    uint64_t size;

    for (; i < n_lines; i++) {
        if (is_trailer) {
            if (!http_reading_trailer(reading, lines[i].text, lines[i].len) || lines[i].len == 0) {
                break;
            }
            continue;
        }
        if (!http_reading_chunk(reading, lines[i].text, lines[i].len, &size)) {
            break;
        }
        FUZZ_MUST(size == strtoull(lines[i].text, NULL, 16));
        is_trailer = size == 0;
        if (size > 0 &&
            (++i == n_lines || lines[i].len != size || !http_reading_piece(reading, lines[i].text, lines[i].len) ||
             !http_reading_trailer(reading, "", 0))) {
            break;
        }
    }
}

static int begin(struct loop_env *env, void *unused)
{
    static struct http_request request;
    struct spares none = {0};
    struct http_reading *reading = http_reading_create(&none, 16384);
    size_t used, again;

    (void)env;
    (void)unused;
    FUZZ_MUST(reading != NULL);
    int status = read_request(reading, &used);
    FUZZ_MUST(status == 0 || status == 200 || (status >= 400 && status < 600));
    request = *http_reading_request(reading);
    if (status == 200) {
        check_request(&request, used);
        if (request.body == BODY_CHUNKED) {
            read_chunks(reading, used);
        }
    }
    FUZZ_MUST(read_request(reading, &again) == status && again == used);
    FUZZ_MUST(memcmp(&request, http_reading_request(reading), sizeof request) == 0);
    spares_give(&none, reading);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    split(data, size < MOST_SIZE ? size : MOST_SIZE);
    fuzz_run(begin, NULL);
    return 0;
}
