/* SPDX-License-Identifier: ISC
 *
 * Writing and reading the message of message.h.
 */
#include <service/message.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Static_assert(LOOP_SERVICE_MESSAGE_SIZE > LOOP_SERVICE_MOST * (LOOP_SERVICE_NAME_SIZE + 4) + 32,
               "a message has room for every server");

static const char begin[] = "noria 1 ";

/* Whether the server accepts: not one that has been stopped and serves its last connections. */
static bool is_listening(const struct loop_service_server *entry)
{
    return entry->server && loop_fd_is_open(loop_listener_fd(loop_server_listener(entry->server)));
}

size_t loop_service_write_message(struct loop_service *service, char text[LOOP_SERVICE_MESSAGE_SIZE],
                                  struct loop_fd *fds[LOOP_SERVICE_MOST], size_t *n_fds)
{
    size_t n = 0, len = 0;

    for (size_t i = 0; i < LOOP_SERVICE_MOST; i++) {
        n += is_listening(&service->servers[i]);
    }
    len += (size_t)snprintf(text, LOOP_SERVICE_MESSAGE_SIZE, "%s%zu\n", begin, n);
    *n_fds = 0;
    for (size_t i = 0; i < LOOP_SERVICE_MOST; i++) {
        const struct loop_service_server *entry = &service->servers[i];
        if (is_listening(entry)) {
            fds[(*n_fds)++] = loop_listener_fd(loop_server_listener(entry->server));
            len += (size_t)snprintf(text + len, LOOP_SERVICE_MESSAGE_SIZE - len, "%u %s\n", entry->flags, entry->name);
        }
    }
    return len;
}

/* Returns the end of a line, or NULL while it is not whole. */
static const char *end_of_line(const char *line, const char *end)
{
    return memchr(line, '\n', (size_t)(end - line));
}

int loop_service_read_message(const char *text, size_t len)
{
    const char *end = text + len, *line = end_of_line(text, end);
    char digits[4] = "";
    size_t n_digits = line ? (size_t)(line - text) - (sizeof begin - 1) : 0;

    if (memcmp(text, begin, len < sizeof begin - 1 ? len : sizeof begin - 1) != 0) {
        return -EPROTO;
    }
    if (!line) {
        return len < sizeof begin + sizeof digits ? -EAGAIN : -EPROTO;
    }
    if (n_digits == 0 || n_digits >= sizeof digits) {
        return -EPROTO;
    }
    memcpy(digits, text + sizeof begin - 1, n_digits);
    int64_t n = loop_service_parse(digits, LOOP_SERVICE_MOST);
    for (int64_t i = 0; i < n; i++) {
        line = end_of_line(line + 1, end);
        if (!line) {
            return len == LOOP_SERVICE_MESSAGE_SIZE ? -EPROTO : -EAGAIN;
        }
    }
    return n >= 0 && line + 1 == end ? (int)n : -EPROTO;
}

bool loop_service_read_line(const char *text, size_t len, size_t index, struct loop_service_socket *socket)
{
    const char *line = end_of_line(text, text + len) + 1;

    for (size_t i = 0; i < index; i++) {
        line = end_of_line(line, text + len) + 1;
    }
    size_t n = (size_t)(end_of_line(line, text + len) - line);
    if (n < 3 || n >= LOOP_SERVICE_NAME_SIZE + 2 || line[1] != ' ' || (line[0] != '0' && line[0] != '1')) {
        return false;
    }
    socket->flags = line[0] == '1' ? LOOP_LISTENER_OWNS_FILE : 0;
    (void)snprintf(socket->name, sizeof socket->name, "%.*s", (int)(n - 2), line + 2);
    return true;
}
