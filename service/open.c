/* SPDX-License-Identifier: ISC
 *
 * Opening a service.
 */
#include <loop/kernel/file.h>
#include <loop/part.h>
#include <net/local.h>
#include <service/object.h>

#include <errno.h>

static void on_release(void *arg)
{
    struct loop_service *service = arg;

    while (service->n_sockets > 0) {
        const struct loop_service_socket *socket = &service->sockets[--service->n_sockets];
        struct loop_net_file file = {.path = NULL};
        if (socket->flags & LOOP_LISTENER_OWNS_FILE && !socket->is_shared) {
            (void)loop_net_find_file(socket->number, &file);
        }
        loop_net_end_file(&file);
        loop_kernel_close(socket->number);
    }
}

int loop_service_open(struct loop_scope *scope, struct loop_service **opened)
{
    if (!loop_check_pointer(opened, "service", __func__)) {
        return -EINVAL;
    }
    *opened = NULL;
    if (!loop_check_scope(scope, __func__)) {
        return -EINVAL;
    }
    if (loop_scope_is_cancelled(scope)) {
        return -ECANCELED;
    }
    struct loop_service *service = loop_scope_alloc(scope, sizeof *service);
    if (!service || !loop_scope_defer(scope, on_release, service)) {
        return -ENOMEM;
    }
    service->loop = loop_scope_loop(scope);
    service->scope = scope;
    int error = loop_service_read_sockets(service);
    if (error == 0) {
        error = loop_service_find_manager(service);
    }
    if (error == 0) {
        *opened = service;
    }
    return error;
}
