/* SPDX-License-Identifier: ISC
 *
 * Answers a request with a file, a part of a file, or an error text.
 *
 * An answer is a source: first its head, then the bytes of the file that the head has announced. It is copied to the
 * peer through one buffer, whatever the size of the file, and the head leaves together with the first bytes. Each read
 * of the source means that the peer has received earlier bytes, and moves the deadline.
 *
 * Paths are not checked: the directory is confined, and a path that leads out of it cannot be opened.
 */
#include "serve_file.h"

#include <fs/fs.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ROOT "./"
#define INDEX "index.html"
#define HEAD_SIZE (HTTP_TARGET_SIZE + 1024) /* room for a redirection to a target of any length */
#define DATE_SIZE 32

struct answer {
    struct file_answer how;
    struct loop_scope *scope;
    struct loop_source source;
    struct loop_source *nothing;
    struct loop_flow *file;
    struct loop_fs_status stat;
    uint64_t begin, left; /* offset in the file, and bytes still to be sent */
    bool is_index;
    size_t head_len, head_sent;
    /* The current read: its bytes of the head, the bytes requested from the file, its continuation. */
    size_t read_head, read_file;
    loop_fn *fn;
    void *arg;
    const char *name; /* in the target, after the leading slashes */
    char path[HTTP_TARGET_SIZE + sizeof ROOT INDEX];
    char head[HEAD_SIZE];
};

/* ---- the answer as a source ---- */

static void on_read(void *arg, int64_t result)
{
    struct answer *answer = arg;

    if (result == 0 && answer->read_file > 0) {
        result = -EIO; /* the file was truncated below the announced size */
    }
    if (result >= 0) {
        answer->left -= (uint64_t)result;
        result += (int64_t)answer->read_head;
    }
    answer->fn(answer->arg, result);
}

static size_t lesser(uint64_t a, uint64_t b)
{
    return (size_t)(a < b ? a : b);
}

static loop_job read_answer(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct answer *answer = source->self;
    struct loop_scope *peer = answer->how.peer->scope;

    answer->fn = fn;
    answer->arg = arg;
    answer->read_head = lesser(len, answer->head_len - answer->head_sent);
    memcpy(buf, answer->head + answer->head_sent, answer->read_head);
    answer->head_sent += answer->read_head;
    answer->read_file = lesser(len - answer->read_head, answer->left);
    loop_scope_deadline(peer, loop_now(loop_scope_loop(peer)) + answer->how.patience_ns);
    if (answer->read_file == 0) {
        return loop_read(answer->nothing, buf, len, on_read, answer);
    }
    return loop_read(&answer->file->source, (char *)buf + answer->read_head, answer->read_file, on_read, answer);
}

static const struct loop_source_ops answer_ops = {.read = read_answer};

static void send_answer(struct answer *answer)
{
    if (!loop_copy(&answer->source, &answer->how.peer->sink, NULL, NULL)) {
        loop_scope_fail(answer->scope, -ENOMEM);
    }
}

/* ---- the head ---- */

static void add(struct answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends to the head. Everything appended is shorter than the buffer; a longer text would be cut. */
static void add(struct answer *answer, const char *format, ...)
{
    size_t room = sizeof answer->head - answer->head_len;
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(answer->head + answer->head_len, room, format, arguments);
    va_end(arguments);
    answer->head_len += len > 0 ? lesser((uint64_t)len, room - 1) : 0;
}

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {416, "Range Not Satisfiable"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

static const char *date(char *text, int64_t seconds)
{
    time_t time = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&time, &parts) || strftime(text, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &parts) == 0) {
        text[0] = '\0';
    }
    return text;
}

static int64_t modified(const struct answer *answer)
{
    return answer->stat.modified.tv_sec;
}

static void begin_head(struct answer *answer, int status)
{
    char now[DATE_SIZE];

    answer->head_len = 0;
    add(answer, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: %s\r\n", status, reason_of(status),
        date(now, loop_clock_wall(answer->how.clock) / LOOP_SECOND), answer->how.keep_alive ? "keep-alive" : "close");
}

/* Completes the head and sends the status in words as the body. */
static void send_words(struct answer *answer, int status)
{
    char words[64];
    int len = snprintf(words, sizeof words, "%d %s\n", status, reason_of(status));

    add(answer, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", len,
        answer->how.request->is_head ? "" : words);
    send_answer(answer);
}

static void refuse(struct answer *answer, int status)
{
    begin_head(answer, status);
    if (status == 405) {
        add(answer, "Allow: GET, HEAD\r\n");
    } else if (status == 416) {
        add(answer, "Content-Range: bytes */%llu\r\n", (unsigned long long)answer->stat.size_bytes);
    }
    send_words(answer, status);
}

/* Redirects a request for a directory without its slash. Relative links in its index would lead elsewhere. */
static void redirect(struct answer *answer)
{
    size_t name_len = strcspn(answer->name, "?#");

    begin_head(answer, 301);
    add(answer, "Location: /%.*s/%s\r\n", (int)name_len, answer->name, answer->name + name_len);
    send_words(answer, 301);
}

/* ---- types ---- */

static const struct {
    const char *extension, *type;
} types[] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"xml", "application/xml"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/vnd.microsoft.icon"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"wasm", "application/wasm"},
    {"pdf", "application/pdf"},
    {"gz", "application/gzip"},
    {"zip", "application/zip"},
    {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
};

static const char *type_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++) {
        if (strcasecmp(dot + 1, types[i].extension) == 0) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* ---- dates and ranges ---- */

/* Parses a date in one of the three formats of HTTP. Returns false if it is none. */
static bool read_date(const char *text, int64_t *seconds)
{
    static const char *const formats[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                          "%a %b %d %H:%M:%S %Y"};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct tm parts = {0};
        const char *end = strptime(text, formats[i], &parts);
        if (end && end[strspn(end, " \t")] == '\0') {
            *seconds = timegm(&parts);
            return true;
        }
    }
    return false;
}

/* Parses digits. A number beyond uint64_t becomes the largest one, which is beyond every file. */
static bool read_number(const char **text, uint64_t *number)
{
    char *end;

    if (**text < '0' || **text > '9') {
        return false;
    }
    *number = strtoull(*text, &end, 10);
    *text = end;
    return true;
}

enum range { RANGE_NONE, RANGE_PART, RANGE_OUTSIDE };

/* "bytes=-LAST": the last LAST bytes. For an empty file that is the whole file. */
static enum range from_end(struct answer *answer, uint64_t n)
{
    uint64_t size = answer->stat.size_bytes;

    if (n == 0) {
        return RANGE_OUTSIDE;
    }
    answer->left = n < size ? n : size;
    answer->begin = size - answer->left;
    return size > 0 ? RANGE_PART : RANGE_NONE;
}

static enum range from_begin(struct answer *answer, uint64_t begin, uint64_t last)
{
    uint64_t size = answer->stat.size_bytes;

    if (begin >= size) {
        return RANGE_OUTSIDE;
    }
    answer->begin = begin;
    answer->left = (last < size ? last + 1 : size) - begin;
    return RANGE_PART;
}

/* Parses one range of bytes. A server may ignore other units, invalid ranges and several ranges: they are ignored. */
static enum range read_range(struct answer *answer, const char *text)
{
    uint64_t begin = 0, last = UINT64_MAX;

    if (strncasecmp(text, "bytes=", 6) != 0) {
        return RANGE_NONE;
    }
    text += 6;
    bool has_begin = read_number(&text, &begin);
    if (*text++ != '-') {
        return RANGE_NONE;
    }
    bool has_last = read_number(&text, &last);
    if (text[strspn(text, " \t")] != '\0' || !(has_begin || has_last) || (has_begin && last < begin)) {
        return RANGE_NONE;
    }
    return has_begin ? from_begin(answer, begin, last) : from_end(answer, last);
}

/* A range is sent only if the file is still the one that the client has a part of. */
static bool may_be_range(const struct answer *answer)
{
    const struct http_request *request = answer->how.request;
    int64_t seconds;

    return !request->is_head &&
           (request->if_range[0] == '\0' || (read_date(request->if_range, &seconds) && seconds == modified(answer)));
}

static bool is_unchanged(const struct answer *answer)
{
    int64_t seconds;

    return read_date(answer->how.request->if_modified_since, &seconds) && modified(answer) <= seconds;
}

/* ---- files ---- */

static void send_part(struct answer *answer, int status)
{
    char date_text[DATE_SIZE];
    uint64_t size = answer->left;

    begin_head(answer, status);
    add(answer, "Last-Modified: %s\r\nAccept-Ranges: bytes\r\n", date(date_text, modified(answer)));
    if (status == 206) {
        add(answer, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)answer->begin,
            (unsigned long long)(answer->begin + size - 1), (unsigned long long)answer->stat.size_bytes);
    }
    if (status != 304) {
        add(answer, "Content-Type: %s\r\nContent-Length: %llu\r\n", type_of(answer->path), (unsigned long long)size);
    }
    add(answer, "\r\n");
    if (status == 304 || answer->how.request->is_head) {
        answer->left = 0;
    }
    send_answer(answer);
}

static void send_file(struct answer *answer)
{
    enum range range = RANGE_NONE;

    answer->left = answer->stat.size_bytes;
    if (is_unchanged(answer)) {
        send_part(answer, 304);
        return;
    }
    if (may_be_range(answer)) {
        range = read_range(answer, answer->how.request->range);
    }
    if (range == RANGE_OUTSIDE) {
        answer->left = 0;
        refuse(answer, 416);
    } else if (answer->begin > 0 && loop_file_seek(answer->file->fd, (int64_t)answer->begin, SEEK_SET) < 0) {
        answer->left = 0;
        refuse(answer, 500);
    } else {
        send_part(answer, range == RANGE_PART ? 206 : 200);
    }
}

static int status_of(int64_t error)
{
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG: return 404;
    case EACCES:
    case EPERM:
    case EXDEV: /* the path leads out of the directory */
    case ELOOP:
    case ENXIO: /* a socket */ return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM: return 503;
    default: return 500;
    }
}

static void open_file(struct answer *answer);

static void on_directory(struct answer *answer)
{
    size_t len = strlen(answer->path);

    loop_fd_destroy(answer->file->fd);
    answer->file = NULL;
    if (answer->is_index) {
        refuse(answer, 404);
    } else if (answer->path[len - 1] != '/') {
        redirect(answer);
    } else {
        answer->is_index = true;
        memcpy(answer->path + len, INDEX, sizeof INDEX);
        open_file(answer);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct answer *answer = arg;

    if (loop_scope_is_cancelled(answer->scope)) {
        return;
    }
    if (result < 0) {
        refuse(answer, status_of(result));
    } else if (answer->stat.kind == LOOP_KIND_DIRECTORY) {
        on_directory(answer);
    } else if (answer->stat.kind != LOOP_KIND_REGULAR) {
        refuse(answer, 403);
    } else {
        send_file(answer);
    }
}

static void open_file(struct answer *answer)
{
    if (!loop_fs_open_stat(answer->scope, answer->how.dir, answer->path, NULL, &answer->file, &answer->stat, on_opened,
                           answer)) {
        loop_scope_fail(answer->scope, -ENOMEM);
    }
}

/* ---- targets ---- */

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* "/path?query", or the same after a scheme and a host, as sent to proxies. Returns the part after the leading slashes,
 * or NULL for anything else. Several slashes would make a redirection point to another host. */
static const char *name_in(const char *target)
{
    static const char scheme[] = "http://";

    if (strncasecmp(target, scheme, sizeof scheme - 1) == 0) {
        target += sizeof scheme - 1;
        target += strcspn(target, "/?#");
    } else if (target[0] != '/') {
        return NULL;
    }
    return target + strspn(target, "/");
}

/* Decodes a name to a path. Returns false if it is invalid: a NUL would end the path early. */
static bool decode(const char *name, char *path)
{
    size_t end = strcspn(name, "?#");

    for (size_t i = 0; i < end; i++) {
        char byte = name[i];
        if (byte == '%') {
            int high = hex_digit(name[i + 1]), low = high < 0 ? -1 : hex_digit(name[i + 2]);
            if (low < 0 || high + low == 0) {
                return false;
            }
            byte = (char)(high << 4 | low);
            i += 2;
        }
        *path++ = byte;
    }
    *path = '\0';
    return true;
}

static bool read_target(struct answer *answer)
{
    answer->name = name_in(answer->how.request->target);
    if (!answer->name || !decode(answer->name, answer->path)) {
        return false;
    }
    size_t n_slashes = strspn(answer->path, "/"); /* slashes that were encoded */
    memmove(answer->path, answer->path + n_slashes, strlen(answer->path + n_slashes) + 1);
    if (answer->path[0] == '\0') {
        memcpy(answer->path, ROOT, sizeof ROOT);
    }
    return true;
}

void file_answer(struct loop_scope *scope, const struct file_answer *how)
{
    struct answer *answer = loop_scope_alloc(scope, sizeof *answer);

    if (answer) {
        answer->how = *how;
        answer->scope = scope;
        answer->nothing = loop_null_source(scope);
        answer->source = (struct loop_source){.ops = &answer_ops, .scope = scope, .self = answer};
    }
    if (!answer || !answer->nothing) {
        loop_scope_fail(scope, -ENOMEM);
    } else if (how->status != 200) {
        refuse(answer, how->status);
    } else if (!read_target(answer)) {
        refuse(answer, 400);
    } else {
        open_file(answer);
    }
}
