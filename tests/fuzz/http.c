/* SPDX-License-Identifier: ISC
 *
 * Fuzzes the HTTP requests that the demo `serve` parses. The target, method and header fields of an accepted request
 * appear in its lines, and parsing the same bytes again returns the same result.
 */
#include "fuzz.h"

#include "../../demos/http/serve_http.h"

#include <ctype.h>
#include <strings.h>

enum { MOST_LINES = 64, MOST_SIZE = 20000 };

struct line {
    const char *text;
    size_t len;
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
        size_t len = (size_t)(end - at);
        len -= len > 0 && at[len - 1] == '\r';
        at[len] = '\0';
        lines[n_lines++] = (struct line){at, len};
    }
}

/* Reads one request, and counts its lines. */
static int read_request(struct http_reading *reading, size_t *used)
{
    int status = 0;

    http_reading_begin(reading);
    for (*used = 0; *used < n_lines && status == 0; (*used)++) {
        status = http_reading_line(reading, lines[*used].text, lines[*used].len);
    }
    return status;
}

/* ---- the model ---- */

static bool has_folding(size_t first, size_t used)
{
    for (size_t i = first + 1; i < used; i++) {
        FUZZ_MUST(!memchr(lines[i].text, '\r', lines[i].len));
        if (lines[i].text[0] == ' ' || lines[i].text[0] == '\t') {
            return true;
        }
    }
    return false;
}

/* Finds the last field of that name: its value without surrounding space, or "" if the value is too long including
 * its trailing space. Returns the number of such fields. */
static size_t find_field(size_t first, size_t used, const char *name, char value[HTTP_VALUE_SIZE])
{
    size_t count = 0, name_len = strlen(name);

    value[0] = '\0';
    for (size_t i = first + 1; i < used; i++) {
        const char *text = lines[i].text, *colon = memchr(text, ':', lines[i].len);
        if (!colon || (size_t)(colon - text) != name_len || strncasecmp(text, name, name_len) != 0) {
            continue;
        }
        const char *start = colon + 1 + strspn(colon + 1, " \t"), *end = text + lines[i].len;
        bool is_too_long = end - start >= HTTP_VALUE_SIZE;
        while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }
        count++;
        value[0] = '\0';
        if (!is_too_long) {
            memcpy(value, start, (size_t)(end - start));
            value[end - start] = '\0';
        }
    }
    return count;
}

static void check_field(size_t first, size_t used, const char *name, const char *read)
{
    char value[HTTP_VALUE_SIZE];

    find_field(first, used, name, value);
    FUZZ_MUST(strcmp(value, read) == 0);
}

static void check_request(const struct http_request *request, size_t used)
{
    size_t first = 0;
    char ignored[HTTP_VALUE_SIZE];

    while (lines[first].len == 0) {
        first++; /* skips leading line ends */
    }
    const char *line = lines[first].text;
    FUZZ_MUST(request->is_head == (strncmp(line, "HEAD ", 5) == 0));
    FUZZ_MUST(request->is_head || strncmp(line, "GET ", 4) == 0);
    const char *target = strchr(line, ' ') + strspn(strchr(line, ' '), " ");
    size_t len = strcspn(target, " ");
    const char *version = target + len + strspn(target + len, " ");
    FUZZ_MUST(version + 8 == lines[first].text + lines[first].len);
    FUZZ_MUST(memcmp(version, "HTTP/1.", 7) == 0);
    FUZZ_MUST(strlen(request->target) == len && memcmp(request->target, target, len) == 0);
    if (has_folding(first, used)) {
        return;
    }
    FUZZ_MUST(find_field(first, used, "host", ignored) == request->n_hosts && request->n_hosts <= 1);
    FUZZ_MUST(find_field(first, used, "transfer-encoding", ignored) == 0);
    check_field(first, used, "range", request->range);
    check_field(first, used, "if-range", request->if_range);
    check_field(first, used, "if-modified-since", request->if_modified_since);
}

static int begin(struct loop_env *env, void *unused)
{
    static struct http_request request;
    struct http_reading *reading = http_reading_create(env->scope);
    size_t used, again;

    (void)unused;
    FUZZ_MUST(reading != NULL);
    int status = read_request(reading, &used);
    FUZZ_MUST(status == 0 || status == 200 || (status >= 400 && status < 600));
    request = *http_reading_request(reading);
    if (status == 200) {
        check_request(&request, used);
    }
    FUZZ_MUST(read_request(reading, &again) == status && again == used);
    FUZZ_MUST(memcmp(&request, http_reading_request(reading), sizeof request) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    split(data, size < MOST_SIZE ? size : MOST_SIZE);
    fuzz_run(begin, NULL);
    return 0;
}
