/* SPDX-License-Identifier: ISC
 *
 * What the program tells the service manager: sd_notify(3), and its watchdog, sd_watchdog_enabled(3).
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/process.h>
#include <loop/part.h>
#include <service/object.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MICROSECONDS_MOST (INT64_MAX / LOOP_MICROSECOND)

/* A state that is on its way. */
struct told {
    struct loop_service *service;
    size_t len;
    char text[];
};

static void on_told(void *arg, int64_t result)
{
    struct told *told = arg;

    if (result < 0 && result != -ECANCELED) {
        loop_log(told->service->loop, LOOP_LOG_WARNING, "the service manager was not told \"%.60s\": %s", told->text,
                 strerror((int)-result));
    }
    loop_kernel_free(told);
}

int loop_service_notify(struct loop_service *service, const char *state)
{
    size_t len = state ? strlen(state) : 0;

    if (!loop_service_is_good(service, __func__) || len == 0 || len >= LOOP_SERVICE_STATE_SIZE) {
        return -EINVAL;
    }
    if (loop_scope_is_cancelled(service->scope)) {
        return -ECANCELED;
    }
    if (!service->manager) {
        return 0;
    }
    struct told *told = loop_kernel_malloc(sizeof *told + len + 1);
    if (!told) {
        return -ENOMEM;
    }
    told->service = service;
    told->len = len;
    memcpy(told->text, state, len + 1);
    if (!loop_datagram_send(service->manager, NULL, told->text, len, on_told, told)) {
        loop_kernel_free(told);
        return -ENOMEM;
    }
    return 0;
}

/* ---- the watchdog ---- */

static void tick(struct loop_service *service);

static void on_tick(void *arg, int64_t result)
{
    if (result == 0) {
        tick(arg);
    }
}

/* Tells that the loop works, and again after half of the time. */
static void tick(struct loop_service *service)
{
    static const char state[] = "WATCHDOG=1";

    (void)loop_datagram_put(service->manager, NULL, state, sizeof state - 1);
    loop_job job = loop_sleep(service->scope, service->watchdog_ns / 2, on_tick, service);
    if (job) {
        (void)loop_daemon(service->loop, job);
    } else {
        loop_log(service->loop, LOOP_LOG_ERROR, "the watchdog of the service manager will stop the program: no memory");
    }
}

/* Reads the time that the watchdog allows. Returns 0 when there is none, or -EINVAL. */
static int64_t read_watchdog(void)
{
    const char *usec = loop_kernel_getenv("WATCHDOG_USEC"), *pid = loop_kernel_getenv("WATCHDOG_PID");
    int64_t value = usec ? loop_service_parse(usec, MICROSECONDS_MOST) : 0;
    int64_t for_whom = pid ? loop_service_parse(pid, INT32_MAX) : loop_kernel_getpid();

    if (value < 0 || for_whom < 0) {
        return -EINVAL;
    }
    return for_whom == loop_kernel_getpid() ? value * LOOP_MICROSECOND : 0;
}

int64_t loop_service_watchdog_ns(const struct loop_service *service)
{
    return loop_service_is_good(service, __func__) ? service->watchdog_ns : 0;
}

/* ---- the manager ---- */

static int open_manager(struct loop_service *service, const char *path)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    struct loop_address address;
    int len = snprintf(text, sizeof text, "unix:%s", path);
    bool is_path = (*path == '/' || *path == '@') && len < (int)sizeof text;
    int error = is_path ? loop_address_parse(&address, text) : -EINVAL;

    if (error < 0) {
        return error;
    }
    struct loop_datagram_options options = {.connect_to = &address};
    return loop_datagram_open(service->scope, &options, &service->manager);
}

int loop_service_find_manager(struct loop_service *service)
{
    const char *path = loop_kernel_getenv("NOTIFY_SOCKET");
    int64_t watchdog_ns = read_watchdog();
    int error = watchdog_ns < 0 ? (int)watchdog_ns : path && *path ? open_manager(service, path) : 0;

    if (error == 0 && service->manager && watchdog_ns > 0) {
        service->watchdog_ns = watchdog_ns;
        tick(service);
    }
    return error;
}
