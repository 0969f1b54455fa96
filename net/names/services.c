/* SPDX-License-Identifier: ISC
 *
 * The table of a services file, in the order of the file: it is short.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <net/names/services.h>

#include <string.h>

struct service {
    const char *name; /* in the text */
    in_port_t port;
    bool is_datagram, is_alias;
};

struct loop_names_services {
    char *text;
    struct service *items;
    size_t count, room;
};

void loop_names_services_free(struct loop_names_services *services)
{
    if (services) {
        loop_kernel_free(services->text);
        loop_kernel_free(services->items);
        loop_kernel_free(services);
    }
}

static int add(struct loop_names_services *services, const struct service *service)
{
    if (services->count == services->room) {
        size_t room = services->room ? 2 * services->room : 64;
        struct service *more = loop_kernel_realloc(services->items, room * sizeof *more);
        if (!more) {
            return -ENOMEM;
        }
        services->items = more;
        services->room = room;
    }
    services->items[services->count++] = *service;
    return 0;
}

/* Parses "NAME PORT/PROTOCOL ALIAS...". Other lines, and other protocols than TCP and UDP, are left out. */
static int parse_line(struct loop_names_services *services, char *line)
{
    struct service service = {.name = loop_names_word(&line)};
    char *port = service.name ? loop_names_word(&line) : NULL;
    char *slash = port ? strchr(port, '/') : NULL;
    unsigned long number;

    if (!slash) {
        return 0;
    }
    *slash = '\0';
    service.is_datagram = strcmp(slash + 1, "udp") == 0;
    if ((!service.is_datagram && strcmp(slash + 1, "tcp") != 0) || !loop_names_number(port, 65535, &number)) {
        return 0;
    }
    service.port = (in_port_t)number;
    int error = add(services, &service);
    service.is_alias = true;
    while (error == 0 && (service.name = loop_names_word(&line))) {
        error = add(services, &service);
    }
    return error;
}

int loop_names_services_parse(char *text, struct loop_names_services **services)
{
    struct loop_names_services *made = loop_kernel_calloc(1, sizeof *made);
    char *rest = text, *line;
    int error = made ? 0 : -ENOMEM;

    if (!made) {
        loop_kernel_free(text);
        return error;
    }
    made->text = text;
    for (unsigned n = 1; error == 0 && (line = loop_names_line(&rest, "#")); n++) {
        error = n % 4096 == 0 && loop_work_is_cancelled() ? -ECANCELED : parse_line(made, line);
    }
    if (error < 0) {
        loop_names_services_free(made);
        return error;
    }
    *services = made;
    return 0;
}

bool loop_names_services_find(const struct loop_names_services *services, const char *name, bool is_datagram,
                              in_port_t *port)
{
    for (size_t i = 0; services && i < services->count; i++) {
        const struct service *service = &services->items[i];
        if (service->is_datagram == is_datagram && strcmp(service->name, name) == 0) {
            *port = service->port;
            return true;
        }
    }
    return false;
}

const char *loop_names_services_name(const struct loop_names_services *services, in_port_t port, bool is_datagram)
{
    for (size_t i = 0; services && i < services->count; i++) {
        const struct service *service = &services->items[i];
        if (service->is_datagram == is_datagram && !service->is_alias && service->port == port) {
            return service->name;
        }
    }
    return NULL;
}
