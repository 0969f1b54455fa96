/* SPDX-License-Identifier: ISC
 *
 * Lists of directories, written while the directory is read. So the length of a list is not known when it begins, and a
 * directory of any size needs the same memory.
 *
 * Names that begin with a dot are left out.
 */
#include "index.h"
#include "text/escape.h"

#include <net/net.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The longest entry: a name of 255 bytes as URL and as HTML, and what is around them. */
#define MOST_ENTRY (255 * (3 + ESCAPE_MOST) + 64)

static void put(struct listing *listing, const char *text)
{
    size_t len = strlen(text), room = sizeof listing->buffer - listing->len;

    len = len < room ? len : room;
    memcpy(listing->buffer + listing->len, text, len);
    listing->len += len;
}

typedef size_t escaping_fn(char *out, size_t room, const char *text);

static void put_escaped(struct listing *listing, escaping_fn *escaping, const char *text)
{
    listing->len += escaping(listing->buffer + listing->len, sizeof listing->buffer - listing->len, text);
}

static void put_entry(struct listing *listing, const struct loop_entry *entry)
{
    const char *end = entry->kind == LOOP_KIND_DIRECTORY ? "/" : "";

    put(listing, "<li><a href=\"");
    put_escaped(listing, escape_url, entry->name);
    put(listing, end);
    put(listing, "\">");
    put_escaped(listing, escape_html, entry->name);
    put(listing, end);
    put(listing, "</a>\n");
}

static void put_begin(struct listing *listing)
{
    const char *path = strcmp(listing->path, "./") == 0 ? "" : listing->path;

    put(listing, "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/");
    put_escaped(listing, escape_html, path);
    put(listing, "</title>\n<h1>/");
    put_escaped(listing, escape_html, path);
    put(listing, "</h1>\n<ul>\n");
    put(listing, path[0] ? "<li><a href=\"../\">../</a>\n" : "");
}

/* Sends what is in the buffer, and then calls `then`. */
static void flush(struct listing *listing, sending_fn *then)
{
    struct sending *sending = listing->sending;
    const char *end = listing->is_end ? "\r\n0\r\n\r\n" : "\r\n";
    int size_len = snprintf(listing->size, sizeof listing->size, "%zx\r\n", listing->len);

    sending->vectors[0] = (struct iovec){listing->size, listing->is_chunked ? (size_t)size_len : 0};
    sending->vectors[1] = (struct iovec){listing->buffer, listing->len};
    sending->vectors[2] = (struct iovec){(char *)(uintptr_t)end, listing->is_chunked ? strlen(end) : 0};
    listing->len = 0;
    sending_write(sending, 3, then, listing);
}

static void on_entries(void *arg, int64_t result);

/* Writes entries that were read while there is room, and then reads the next ones. */
static void go_on(void *arg)
{
    struct listing *listing = arg;
    const struct loop_entries *entries = listing->entries;

    while (listing->at < entries->count && sizeof listing->buffer - listing->len > MOST_ENTRY) {
        const struct loop_entry *entry = &entries->entry[listing->at++];
        if (entry->name[0] != '.') {
            put_entry(listing, entry);
        }
    }
    if (listing->at < entries->count) {
        flush(listing, go_on);
    } else if (!loop_entries_next(listing->entries, on_entries, listing)) {
        loop_scope_fail(listing->sending->scope, -ENOMEM);
    }
}

/* Makes a close of the connection reset it, or not. Where the list ends with the connection, one that was cut off by a
 * limit or an error would be taken for whole. TLS says so itself. */
static void set_reset(const struct listing *listing, bool is_wanted)
{
    struct loop_fd *socket = listing->sending->peer->fd;

    if (!listing->is_chunked && socket) {
        (void)loop_socket_set(socket, LOOP_SO_LINGER_S, is_wanted ? 0 : -1);
    }
}

static void on_all_sent(void *arg)
{
    set_reset(arg, false);
}

/* After an error the list has no end that the peer could take for its own. */
static void on_entries(void *arg, int64_t result)
{
    struct listing *listing = arg;

    if (result < 0) {
        loop_scope_fail(listing->sending->peer->scope, result);
        return;
    }
    listing->at = 0;
    listing->is_end = result == 0;
    if (listing->is_end) {
        put(listing, "</ul>\n");
        flush(listing, listing->is_chunked ? NULL : on_all_sent);
    } else {
        go_on(listing);
    }
}

loop_job listing_open(struct listing *listing, struct loop_dir *dir, loop_fn *fn, void *arg)
{
    struct loop_scope *scope = listing->sending->scope;

    return loop_fs_read_dir(scope, dir, listing->path, 0, &listing->entries, fn, arg);
}

void listing_send(struct listing *listing)
{
    struct sending *sending = listing->sending;

    listing->is_end = false;
    listing->at = listing->entries->count;
    set_reset(listing, true);
    put_begin(listing);
    sending->vectors[0] = (struct iovec){sending->head.text, sending->head.len};
    sending_write(sending, 1, go_on, listing);
}
