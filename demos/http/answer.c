/* SPDX-License-Identifier: ISC
 *
 * Answers a request with a file, parts of a file, the list of a directory, or an error text.
 *
 * Paths are not checked: the directory is confined, and a path that leads out of it cannot be opened.
 */
#include "answer.h"
#include "condition.h"
#include "index.h"
#include "multipart.h"
#include "text/date.h"
#include "text/encoding.h"
#include "text/target.h"
#include "text/type.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROOT "./"
#define INDEX "index.html"
#define METHODS "GET, HEAD, OPTIONS"

struct answer {
    struct answer_how how;
    struct loop_scope *scope;
    struct cached_file *opened;  /* of file_cache_open */
    struct cached_file *file;    /* with a use of the answer's; NULL until it is open */
    const char *encoding;        /* of `file`; NULL: none */
    struct cached_file *encoded; /* of file_cache_open */
    enum encoding candidates[N_ENCODINGS];
    unsigned n_candidates, candidate;
    bool is_index;
    struct listing *listing; /* NULL: none */
    size_t path_len;         /* without INDEX, or without the extension of an encoding */
    struct target target;    /* in the request */
    struct sending sending;
    char path[HTTP_TARGET_SIZE + sizeof ROOT INDEX ".gz"]; /* and what follows: not set to zero */
    char head_text[HEAD_SIZE];
};

/* ---- answers without a file ---- */

static void begin_head(struct answer *answer, int status)
{
    head_begin(&answer->sending.head, answer->how.clock, status, answer->how.keep_alive);
    answer->sending.is_last = !answer->how.keep_alive;
}

static void send_words(struct answer *answer)
{
    head_end_with_words(&answer->sending.head, answer->how.request->is_head);
    sending_head(&answer->sending);
}

static void refuse(struct answer *answer, int status)
{
    struct head *head = &answer->sending.head;

    begin_head(answer, status);
    if (status == 405) {
        head_put(head, "Allow: " METHODS "\r\n");
    } else if (status == 416) {
        head_add(head, "Content-Range: bytes */%llu\r\n", (unsigned long long)answer->file->stat.size_bytes);
    }
    send_words(answer);
}

/* Redirects a request for a directory without its slash. Relative links in its index would lead elsewhere. */
static void redirect(struct answer *answer)
{
    const char *name = answer->target.name;
    size_t name_len = strcspn(name, "?#");

    begin_head(answer, 301);
    head_add(&answer->sending.head, "Location: /%.*s/%s\r\n", (int)name_len, name, name + name_len);
    send_words(answer);
}

static void tell_methods(struct answer *answer)
{
    begin_head(answer, 204);
    head_put(&answer->sending.head, "Allow: " METHODS "\r\n");
    head_end(&answer->sending.head);
    sending_head(&answer->sending);
}

/* ---- files ---- */

static struct condition_subject subject_of(const struct answer *answer)
{
    return (struct condition_subject){.tag = answer->file->tag, .modified = answer->file->stat.modified.tv_sec};
}

/* Writes the entity tag of the file: other bytes have another one, as far as the file system tells. A file in another
 * encoding is another file. */
static void write_tag(struct cached_file *file)
{
    const struct loop_fs_status *stat = &file->stat;

    snprintf(file->tag, sizeof file->tag, "\"%llx-%llx-%llx\"", (unsigned long long)stat->inode,
             (unsigned long long)stat->modified.tv_sec * 1000000000u + (unsigned long long)stat->modified.tv_nsec,
             (unsigned long long)stat->size_bytes);
}

/* Returns the type of the file without its encoding. */
static const char *type_of(struct answer *answer)
{
    if (answer->encoding) {
        answer->path[answer->path_len] = '\0';
        return type_of_file(answer->path);
    }
    if (!answer->file->type) {
        answer->file->type = type_of_file(answer->path);
    }
    return answer->file->type;
}

/* Adds what all answers with the file have in common. */
static void add_head_of_file(struct answer *answer)
{
    struct cached_file *file = answer->file;
    char *text = file->heads[answer->encoding ? 1 : 0], date[DATE_SIZE];

    if (text[0] == '\0') {
        snprintf(text, sizeof file->heads[0], "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n%s%s%s%s",
                 date_write(date, file->stat.modified.tv_sec), file->tag,
                 answer->how.has_precompressed ? "Vary: Accept-Encoding\r\n" : "",
                 answer->encoding ? "Content-Encoding: " : "", answer->encoding ? answer->encoding : "",
                 answer->encoding ? "\r\n" : "");
    }
    head_put(&answer->sending.head, text);
}

static void send_range(struct answer *answer, int status, struct range range)
{
    struct head *head = &answer->sending.head;

    begin_head(answer, status);
    add_head_of_file(answer);
    if (status == 206) {
        head_add(head, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)range.begin,
                 (unsigned long long)(range.begin + range.len - 1), (unsigned long long)answer->file->stat.size_bytes);
    }
    if (status != 304) {
        head_put(head, "Content-Type: ");
        head_put(head, type_of(answer));
        head_add(head, "\r\nContent-Length: %llu\r\n", (unsigned long long)range.len);
    }
    head_end(head);
    if (status == 304 || answer->how.request->is_head) {
        sending_head(&answer->sending);
    } else {
        sending_file(&answer->sending, answer->file, range);
    }
}

static void send_ranges(struct answer *answer, const struct range *ranges, unsigned n)
{
    struct head *head = &answer->sending.head;
    struct multipart *multipart = loop_scope_alloc(answer->scope, sizeof *multipart);

    if (!multipart) {
        loop_scope_fail(answer->scope, -ENOMEM);
        return;
    }
    multipart->sending = &answer->sending;
    multipart->file = answer->file;
    multipart->type = type_of(answer);
    multipart->n_ranges = n;
    memcpy(multipart->ranges, ranges, n * sizeof *ranges);
    multipart_begin(multipart);
    begin_head(answer, 206);
    add_head_of_file(answer);
    head_add(head, "Content-Type: multipart/byteranges; boundary=%s\r\nContent-Length: %llu\r\n", multipart->boundary,
             (unsigned long long)multipart->len);
    head_end(head);
    multipart_send(multipart);
}

/* Returns the number of ranges to be sent, RANGES_OUTSIDE, or 0: the whole file. */
static int wanted_ranges(const struct answer *answer, struct range ranges[MOST_RANGES])
{
    const struct http_request *request = answer->how.request;
    const struct condition_subject subject = subject_of(answer);
    const char *field = request->fields[FIELD_RANGE];

    if (!field || request->is_head ||
        !condition_allows_range(request, &subject, loop_clock_wall(answer->how.clock) / LOOP_SECOND)) {
        return 0;
    }
    return ranges_read(field, answer->file->stat.size_bytes, ranges);
}

static void send_file(struct answer *answer)
{
    const struct range whole = {.len = answer->file->stat.size_bytes};
    struct range ranges[MOST_RANGES];

    if (answer->file->tag[0] == '\0') {
        write_tag(answer->file);
    }
    const struct condition_subject subject = subject_of(answer);
    int status = condition_status(answer->how.request, &subject);
    int n = status == 200 ? wanted_ranges(answer, ranges) : 0;
    if (status == 412 || n == RANGES_OUTSIDE) {
        refuse(answer, status == 412 ? 412 : 416);
    } else if (n > 1) {
        send_ranges(answer, ranges, (unsigned)n);
    } else if (n == 1) {
        send_range(answer, 206, ranges[0]);
    } else {
        send_range(answer, status, whole);
    }
}

/* ---- opening ---- */

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

static void unuse_file(void *file)
{
    cached_file_unuse(file);
}

/* Keeps a file in use until the answer has been sent. Returns false without memory. */
static bool keep(struct answer *answer, struct cached_file *file)
{
    if (!loop_scope_defer(answer->scope, unuse_file, file)) {
        loop_scope_fail(answer->scope, -ENOMEM);
        return false;
    }
    return true;
}

/* Opens `path`, or finds it in the cache. Calls `fn` with the result in either case. */
static void open_path(struct answer *answer, struct cached_file **file, loop_fn *fn)
{
    struct file_cache *cache = answer->how.cache;

    *file = file_cache_find(cache, answer->path);
    if (*file) {
        fn(answer, 0);
    } else if (!file_cache_open(cache, answer->scope, answer->path, file, fn, answer)) {
        loop_scope_fail(answer->scope, -ENOMEM);
    }
}

/* ---- encoded files ---- */

/* Returns whether what is open serves as the file in another encoding: an older one has other contents. */
static bool is_encoded_file(const struct answer *answer, const struct cached_file *encoded)
{
    const struct timespec *own = &answer->file->stat.modified, *its = &encoded->stat.modified;

    return encoded->stat.kind == LOOP_KIND_REGULAR &&
           (its->tv_sec > own->tv_sec || (its->tv_sec == own->tv_sec && its->tv_nsec >= own->tv_nsec));
}

static void try_next(struct answer *answer);

static void on_encoded(void *arg, int64_t result)
{
    struct answer *answer = arg;
    enum encoding encoding = answer->candidates[answer->candidate++];

    if (loop_scope_is_cancelled(answer->scope)) {
        if (result == 0) {
            cached_file_unuse(answer->encoded);
        }
        return;
    }
    if (result == 0 && !keep(answer, answer->encoded)) {
        return;
    }
    if (result == 0 && is_encoded_file(answer, answer->encoded)) {
        answer->file = answer->encoded;
        answer->encoding = encodings[encoding].name;
        send_file(answer);
        return;
    }
    answer->file->lacks |= 1u << encoding;
    try_next(answer);
}

/* Looks for the file in the encodings that the client accepts. What is missing is not looked for again as long as the
 * file stays in the cache. */
static void try_next(struct answer *answer)
{
    while (answer->candidate < answer->n_candidates &&
           (answer->file->lacks & 1u << answer->candidates[answer->candidate])) {
        answer->candidate++;
    }
    if (answer->candidate == answer->n_candidates) {
        answer->path[answer->path_len] = '\0';
        send_file(answer);
        return;
    }
    strcpy(answer->path + answer->path_len, encodings[answer->candidates[answer->candidate]].extension);
    open_path(answer, &answer->encoded, on_encoded);
}

static void choose_encoding(struct answer *answer)
{
    answer->path_len = strlen(answer->path);
    answer->n_candidates = encodings_accepted(answer->how.request->fields[FIELD_ACCEPT_ENCODING], answer->candidates);
    try_next(answer);
}

/* ---- directories ---- */

static void on_listing(void *arg, int64_t result)
{
    struct answer *answer = arg;
    struct listing *listing = answer->listing;
    const struct http_request *request = answer->how.request;

    if (loop_scope_is_cancelled(answer->scope)) {
        return;
    }
    if (result < 0) {
        refuse(answer, status_of(result));
        return;
    }
    begin_head(answer, 200);
    head_add(&answer->sending.head, "Content-Type: text/html; charset=utf-8\r\n%s",
             listing->is_chunked ? "Transfer-Encoding: chunked\r\n" : "");
    head_end(&answer->sending.head);
    if (request->is_head) {
        sending_head(&answer->sending);
    } else {
        listing_send(listing);
    }
}

static void list(struct answer *answer)
{
    struct listing *listing = loop_scope_alloc(answer->scope, sizeof *listing);

    if (!listing) {
        loop_scope_fail(answer->scope, -ENOMEM);
        return;
    }
    answer->path[answer->path_len] = '\0';
    answer->listing = listing;
    listing->sending = &answer->sending;
    listing->path = answer->path;
    listing->is_chunked = !answer->how.request->is_old;
    answer->how.keep_alive &= listing->is_chunked;
    if (!listing_open(listing, answer->how.dir, on_listing, answer)) {
        loop_scope_fail(answer->scope, -ENOMEM);
    }
}

static void on_opened(void *arg, int64_t result);

static void on_directory(struct answer *answer)
{
    size_t len = strlen(answer->path);

    if (answer->is_index) {
        refuse(answer, 404);
    } else if (answer->path[len - 1] != '/') {
        redirect(answer);
    } else {
        answer->is_index = true;
        answer->path_len = len;
        memcpy(answer->path + len, INDEX, sizeof INDEX);
        open_path(answer, &answer->opened, on_opened);
    }
}

static void on_file(struct answer *answer, struct cached_file *file)
{
    if (!keep(answer, file)) {
        return;
    }
    answer->file = file;
    if (file->stat.kind == LOOP_KIND_DIRECTORY) {
        on_directory(answer);
    } else if (file->stat.kind != LOOP_KIND_REGULAR) {
        refuse(answer, 403);
    } else if (answer->how.has_precompressed) {
        choose_encoding(answer);
    } else {
        send_file(answer);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct answer *answer = arg;

    if (loop_scope_is_cancelled(answer->scope)) {
        if (result == 0) {
            cached_file_unuse(answer->opened);
        }
    } else if (result == 0) {
        on_file(answer, answer->opened);
    } else if (result == -ENOENT && answer->is_index && answer->how.has_index) {
        list(answer);
    } else {
        refuse(answer, status_of(result));
    }
}

/* ---- the answer ---- */

static bool read_target(struct answer *answer)
{
    if (!target_read(answer->how.request->target, &answer->target) ||
        !target_decode(answer->target.name, answer->path)) {
        return false;
    }
    if (answer->path[0] == '\0') {
        memcpy(answer->path, ROOT, sizeof ROOT);
    }
    return true;
}

static void begin(struct answer *answer)
{
    const struct http_request *request = answer->how.request;

    if (answer->how.status != 200) {
        refuse(answer, answer->how.status);
    } else if (request->is_options && strcmp(request->target, "*") == 0) {
        tell_methods(answer);
    } else if (!read_target(answer)) {
        answer->how.keep_alive = false; /* it may be meant for another kind of server */
        refuse(answer, 400);
    } else if (request->is_options) {
        tell_methods(answer);
    } else {
        open_path(answer, &answer->opened, on_opened);
    }
}

struct answer *answer_begin(struct spares *spares, struct loop_scope *scope, const struct answer_how *how)
{
    struct answer *answer = spares_take(spares, sizeof *answer);

    if (!answer) {
        loop_scope_fail(scope, -ENOMEM);
        return NULL;
    }
    memset(answer, 0, offsetof(struct answer, path));
    answer->path[0] = '\0';
    answer->sending.head.text = answer->head_text;
    answer->how = *how;
    answer->scope = scope;
    answer->sending.scope = scope;
    answer->sending.peer = how->peer;
    begin(answer);
    return answer;
}

int answer_status(const struct answer *answer)
{
    return answer->sending.head.status;
}

bool answer_keeps_connection(const struct answer *answer)
{
    return answer->how.keep_alive;
}

bool answer_has_ended_output(const struct answer *answer)
{
    return answer->sending.has_ended;
}

uint64_t answer_body_bytes(const struct answer *answer)
{
    uint64_t sent = sending_progress(&answer->sending), head_len = answer->sending.head.end;

    return sent > head_len ? sent - head_len : 0;
}

uint64_t answer_progress(const struct answer *answer)
{
    return sending_progress(&answer->sending);
}

bool answer_is_read(const struct answer *answer)
{
    return sending_is_read(&answer->sending);
}
