/* SPDX-License-Identifier: ISC
 *
 * loop_resolve_name: a look-up as a job.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/names/lookup.h>
#include <net/names/sort.h>
#include <net/names/task.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

struct resolving {
    struct loop_names_task task;
    struct loop_names_lookup lookup;
    struct loop_addresses **out;
};

/* Makes what the caller gets. Returns the number of addresses or -ENOMEM. */
static int64_t deliver(struct resolving *resolving)
{
    struct loop_names_records *records = &resolving->lookup.records;
    size_t count = records->n_addresses, name_size = strlen(records->canonical) + 1;
    struct loop_addresses *made = loop_kernel_malloc(sizeof *made + count * sizeof *made->items + name_size);

    if (!made) {
        return -ENOMEM;
    }
    struct loop_address *items = (struct loop_address *)(void *)(made + 1);
    memcpy(items, records->addresses, count * sizeof *items);
    loop_names_sort(items, count);
    for (size_t i = 0; i < count; i++) {
        items[i].u.ipv4.sin_port = resolving->lookup.port; /* the port of both families is at one place */
    }
    char *name = memcpy((char *)(items + count), records->canonical, name_size);
    *made = (struct loop_addresses){items, count, name, records->expires_ns};
    *resolving->out = made;
    loop_kernel_give(made);
    return (int64_t)count;
}

static void end(struct resolving *resolving, int64_t result)
{
    struct loop_name_error *error = resolving->task.error;

    loop_names_lookup_stop(&resolving->lookup);
    if (result == 0) {
        assert(resolving->lookup.records.n_addresses > 0);
        result = deliver(resolving);
    }
    if (result < 0) {
        loop_names_say(error, "looking up %s: ", resolving->lookup.host);
        loop_names_lookup_explain(&resolving->lookup, result, error);
    }
    loop_names_task_end(&resolving->task, result);
}

static void on_change(void *arg)
{
    struct resolving *resolving = arg;

    if (resolving->lookup.is_over) {
        end(resolving, resolving->lookup.outcome);
    }
}

static void cancel(struct loop_names_task *task, int64_t reason)
{
    end((struct resolving *)task, reason);
}

static void finish(struct loop_names_task *task)
{
    loop_names_lookup_finish(&((struct resolving *)task)->lookup);
}

loop_job loop_resolve_name(struct loop_scope *scope, const char *host, const char *service,
                           const struct loop_resolve_options *options, struct loop_addresses **addresses,
                           struct loop_name_error *error, loop_fn *fn, void *arg)
{
    static const struct loop_resolve_options defaults;
    static const struct loop_names_task_ops ops = {sizeof(struct resolving), cancel, finish};

    if (!loop_check_pointer(addresses, "addresses", __func__)) {
        return 0;
    }
    *addresses = NULL;
    if (!loop_check_scope(scope, __func__)) {
        return 0;
    }
    if (loop_scope_is_cancelled(scope)) {
        return loop_names_task_refuse(scope, error, fn, arg);
    }
    options = options ? options : &defaults;
    struct resolving *resolving = (struct resolving *)loop_names_task_create(scope, &ops, error, fn, arg);
    if (!resolving) {
        return 0;
    }
    loop_job job = resolving->task.promise;
    if (resolving->task.is_over) {
        return job;
    }
    resolving->out = addresses;
    resolving->lookup.on_change = on_change;
    resolving->lookup.arg = resolving;
    int failure = loop_names_lookup_init(&resolving->lookup, resolving->task.steps, host, service, options);
    if (failure == 0) {
        failure = loop_names_task_limit(&resolving->task, options->timeout_ns);
    }
    if (failure < 0) {
        end(resolving, failure);
    } else {
        loop_names_lookup_start(&resolving->lookup);
        if (!resolving->task.is_over) {
            on_change(resolving);
        }
    }
    return job;
}
