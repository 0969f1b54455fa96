/* SPDX-License-Identifier: ISC
 *
 * chat ADDRESS: passes each line that a client sends on to all others.
 *
 * A message is one block of memory, which the writes to all clients share. What a client has not read yet waits in its
 * sink. A client for whom more than the limit waits is dropped, so that the slowest one holds up nobody, and memory is
 * bounded by the number of clients.
 */
#include "../common/arguments.h"
#include "../common/printable.h"

#include <loop/reader.h>

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES ((size_t)1024)
#define NAME_BYTES 32
#define LEAVING_NS (2 * LOOP_SECOND) /* for a client that has ended its output, to read what waits for it */

static struct arguments_serving serving = {.grace_ns = LOOP_SECOND};
static unsigned limit_kib = 64;

static const struct arguments_option options[] = {
    {.name = "limit",
     .placeholder = "KIB",
     .count = &limit_kib,
     .least = 1,
     .most = 1 << 20,
     .help = "drop a client for whom more than so many KiB wait (64)"},
    ARGUMENTS_SERVING(serving),
};

static const struct arguments_program program = {
    .name = "chat",
    .operands = "ADDRESS",
    .about = "Passes each line that a client sends on to all others, until SIGTERM or SIGINT.\n"
             "ADDRESS is tcp:127.0.0.1:7000, tcp:[::1]:7000, unix:/path or unix:@name; port 0 takes a free one.\n"
             "A client can be nc, or socat. Its lines may also be /name NAME, /who and /quit.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .least_operands = 1,
    .most_operands = 1,
};

struct client {
    struct loop_flow *peer;
    struct loop_reader *reader;
    char name[NAME_BYTES + 1];
    const char *reason;          /* why it leaves */
    bool is_here;                /* in `clients` */
    struct client *next, **link; /* in `clients`; `link` is what points to this one */
};

static struct client *clients;
static unsigned n_guests;

/* ---- messages ---- */

struct message {
    unsigned uses;
    size_t len;
    char text[];
};

#define MESSAGE_BYTES (LINE_BYTES + NAME_BYTES + 64)

/* Returns a message with one use and room for a text, or NULL. */
static struct message *allocate(size_t size_bytes)
{
    struct message *message = malloc(sizeof *message + size_bytes);

    if (message) {
        message->uses = 1;
        message->len = 0;
    }
    return message;
}

static void unuse(struct message *message)
{
    if (--message->uses == 0) {
        free(message);
    }
}

static void on_written(void *message, int64_t result)
{
    (void)result; /* a client that is gone, or is leaving, ends by itself */
    unuse(message);
}

static void send_to(struct client *client, struct message *message)
{
    struct loop_sink *sink = &client->peer->sink;

    if (loop_sink_is_full(sink)) {
        client->reason = "was too slow";
        loop_scope_cancel(client->peer->scope);
        return;
    }
    message->uses++;
    if (!loop_write(sink, message->text, message->len, on_written, message)) {
        message->uses--; /* not the last one: the caller has it */
    }
}

static struct message *new_message(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/* Returns a message with one use, or NULL. A text that is too long is cut; those of clients are not. */
static struct message *new_message(const char *format, va_list arguments)
{
    struct message *message = allocate(MESSAGE_BYTES);

    if (message) {
        int len = vsnprintf(message->text, MESSAGE_BYTES - 1, format, arguments);
        size_t most = MESSAGE_BYTES - 2;
        message->len = len < 0 ? 0 : (size_t)len < most ? (size_t)len : most;
        message->text[message->len++] = '\n';
    }
    return message;
}

static void tell(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell_others(const struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct client *client, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    struct message *message = new_message(format, arguments);
    va_end(arguments);
    if (message) {
        send_to(client, message);
        unuse(message);
    }
}

static void tell_others(const struct client *client, const char *format, ...)
{
    struct client *other;
    va_list arguments;

    va_start(arguments, format);
    struct message *message = new_message(format, arguments);
    va_end(arguments);
    if (!message) {
        return;
    }
    for (other = clients; other; other = other->next) {
        if (other != client) {
            send_to(other, message);
        }
    }
    unuse(message);
}

/* ---- commands ---- */

static bool is_name(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i])) {
            return false;
        }
    }
    return len > 0 && len <= NAME_BYTES;
}

static bool is_taken(const char *name)
{
    const struct client *client;

    for (client = clients; client; client = client->next) {
        if (strcmp(client->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void rename_to(struct client *client, const char *name)
{
    if (!is_name(name)) {
        tell(client, "* a name has 1 to %d letters, digits, dots, dashes and underscores", NAME_BYTES);
    } else if (is_taken(name)) {
        tell(client, "* there is somebody named %s", name);
    } else {
        tell_others(client, "* %s is now %s", client->name, name);
        tell(client, "* you are %s", name);
        strcpy(client->name, name);
    }
}

/* One message: of several the last ones could be above the limit, and the client would be dropped for its question. */
static void list_names(struct client *client)
{
    const struct client *other;
    size_t size_bytes = 0;

    for (other = clients; other; other = other->next) {
        size_bytes += NAME_BYTES + sizeof "*  (you)\n";
    }
    struct message *message = allocate(size_bytes);
    if (!message) {
        return;
    }
    for (other = clients; other; other = other->next) {
        message->len +=
            (size_t)sprintf(message->text + message->len, "* %s%s\n", other->name, other == client ? " (you)" : "");
    }
    send_to(client, message);
    unuse(message);
}

/* ---- clients ---- */

static void enter(struct client *client)
{
    client->next = clients;
    client->link = &clients;
    if (clients) {
        clients->link = &client->next;
    }
    clients = client;
}

/* Takes the client off the list, and tells the others once. */
static void leave(void *arg)
{
    struct client *client = arg;

    if (client->is_here) {
        client->is_here = false;
        *client->link = client->next;
        if (client->next) {
            client->next->link = client->link;
        }
        tell_others(client, "* %s %s", client->name, client->reason ? client->reason : "has left");
    }
}

/* Lets the client read what waits for it. Its scope ends with the last write. */
static void say_farewell(struct client *client)
{
    struct loop_scope *scope = client->peer->scope;

    leave(client);
    loop_scope_deadline(scope, loop_now(loop_scope_loop(scope)) + LEAVING_NS);
    loop_shutdown(&client->peer->sink, NULL, NULL);
}

static void on_text(struct client *client, const char *text)
{
    if (strncmp(text, "/name ", 6) == 0) {
        rename_to(client, text + 6);
    } else if (strcmp(text, "/who") == 0) {
        list_names(client);
    } else if (strcmp(text, "/quit") == 0) {
        say_farewell(client);
    } else if (text[0] == '/') {
        tell(client, "* the commands are /name NAME, /who and /quit");
    } else if (text[0] != '\0') {
        tell_others(client, "%s: %s", client->name, text);
    }
}

/* Copies a line without its ending. No client controls the terminals of the others. */
static void copy_line(char *text, const char *line, size_t len)
{
    len -= len > 0 && line[len - 1] == '\r';
    while (len > 0) {
        size_t n_control = *line == '\t' ? 0 : printable_control_len(line, len);
        size_t n = n_control > 0 ? n_control : 1;
        *text++ = n_control > 0 ? '?' : *line;
        line += n;
        len -= n;
    }
    *text = '\0';
}

static void on_line(void *arg, int64_t result)
{
    struct client *client = arg;
    char text[LINE_BYTES + 1];
    size_t len;
    const char *line = loop_reader_data(client->reader, &len);

    if (!client->is_here) {
        return; /* lines behind /quit */
    }
    if (result <= 0) {
        client->reason = result == -EMSGSIZE ? "has sent too long a line" : client->reason;
        say_farewell(client);
        return;
    }
    copy_line(text, line, len);
    on_text(client, text);
}

static void on_connection(struct loop_flow *peer, void *arg)
{
    struct client *client = loop_scope_alloc(peer->scope, sizeof *client);

    (void)arg;
    if (!client) {
        return;
    }
    client->peer = peer;
    client->reader = loop_reader_create(&peer->source, LINE_BYTES);
    if (!client->reader || loop_sink_limit(&peer->sink, (size_t)limit_kib << 10) != 0 ||
        !loop_scope_defer(peer->scope, leave, client)) {
        return;
    }
    snprintf(client->name, sizeof client->name, "guest-%u", ++n_guests);
    client->is_here = true;
    enter(client);
    tell(client, "* you are %s", client->name);
    tell_others(client, "* %s has come", client->name);
    loop_reader_lines(client->reader, on_line, client);
}

static int start(struct loop_env *env, void *address)
{
    struct loop_server *server;
    int status = arguments_serve(env, address, &serving, &server, on_connection, NULL);

    return status != 0 ? status : arguments_announce(env, server, "");
}

int main(int argc, char **argv)
{
    struct loop_address address = arguments_address(arguments_parse(&program, argc, argv)[0]);

    return arguments_run(start, &address);
}
