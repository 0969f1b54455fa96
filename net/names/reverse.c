/* SPDX-License-Identifier: ISC
 *
 * loop_resolve_address: the names of an address, as a job.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/names/lookup.h>
#include <net/names/task.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct naming {
    struct loop_names_task task;
    struct loop_names_lookup lookup;
    struct loop_host_names **out;
};

/* Makes what the caller gets: the struct, pointers, and the texts. Returns the number of names or -ENOMEM. */
static int64_t deliver(struct naming *naming)
{
    const struct loop_names_records *records = &naming->lookup.records;
    const char *service = loop_names_lookup_service(&naming->lookup);
    size_t count = records->n_names, service_size = service ? strlen(service) + 1 : 0;
    struct loop_host_names *made =
        loop_kernel_malloc(sizeof *made + count * sizeof *made->items + records->names_len + service_size);

    if (!made) {
        return -ENOMEM;
    }
    const char **items = (const char **)(void *)(made + 1);
    char *text = memcpy((char *)(items + count), records->names, records->names_len);
    for (size_t i = 0, at = 0; i < count; i++, at += strlen(text + at) + 1) {
        items[i] = text + at;
    }
    *made = (struct loop_host_names){items, count, NULL, records->expires_ns};
    if (service) {
        made->service = memcpy(text + records->names_len, service, service_size);
    }
    *naming->out = made;
    loop_kernel_give(made);
    return (int64_t)count;
}

static void end(struct naming *naming, int64_t result)
{
    struct loop_name_error *error = naming->task.error;
    const struct loop_names_lookup *lookup = &naming->lookup;
    char text[LOOP_NAMES_ADDRESS_TEXT] = "";

    loop_names_lookup_stop(&naming->lookup);
    if (result == 0) {
        assert(lookup->records.n_names > 0);
        result = deliver(naming);
    }
    if (result == -EAFNOSUPPORT) {
        loop_names_say(error, "looking up the name of an address: it is no internet address");
    } else if (result < 0) {
        if (lookup->address.length > 0) {
            loop_names_address_text(&lookup->address, text);
        }
        loop_names_say(error, "looking up the name of %s: ", text);
        loop_names_lookup_explain(lookup, result, error);
    }
    loop_names_task_end(&naming->task, result);
}

static void on_change(void *arg)
{
    struct naming *naming = arg;

    if (naming->lookup.is_over) {
        end(naming, naming->lookup.outcome);
    }
}

static void cancel(struct loop_names_task *task, int64_t reason)
{
    end((struct naming *)task, reason);
}

static void finish(struct loop_names_task *task)
{
    loop_names_lookup_finish(&((struct naming *)task)->lookup);
}

/* Writes the name that servers have for an address: its bytes or half bytes from the last to the first. */
static void arpa(const struct loop_address *address, char name[LOOP_NAMES_HOST_MAX + 1])
{
    size_t count;
    const unsigned char *bytes = loop_names_bytes(address, &count);
    bool is_ipv4 = count == 4;
    size_t len = 0;

    while (count-- > 0) {
        len += (size_t)(is_ipv4 ? sprintf(name + len, "%u.", bytes[count])
                                : sprintf(name + len, "%x.%x.", bytes[count] & 0xfu, bytes[count] >> 4u));
    }
    loop_names_copy(name + len, LOOP_NAMES_HOST_MAX + 1 - len, is_ipv4 ? "in-addr.arpa" : "ip6.arpa");
}

/* Stores the address. An IPv4 address that is mapped into IPv6 is one of IPv4. */
static int set_address(struct loop_names_lookup *lookup, const struct loop_address *address)
{
    if (!address || address->length < sizeof(sa_family_t)) {
        return -EINVAL;
    }
    int family = address->u.any.sa_family;
    if (family != AF_INET && family != AF_INET6) {
        return -EAFNOSUPPORT;
    }
    if (address->length < (family == AF_INET ? sizeof address->u.ipv4 : sizeof address->u.ipv6)) {
        return -EINVAL;
    }
    lookup->address = *address;
    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->u.ipv6.sin6_addr)) {
        lookup->address = loop_names_address(AF_INET, address->u.ipv6.sin6_addr.s6_addr + 12, 0);
        lookup->address.u.ipv4.sin_port = address->u.ipv6.sin6_port;
    }
    arpa(&lookup->address, lookup->host);
    return 0;
}

static int begin(struct naming *naming, const struct loop_address *address, const struct loop_resolve_options *options)
{
    struct loop_resolve_options used = *options;

    used.family = 0;
    naming->lookup.on_change = on_change;
    naming->lookup.arg = naming;
    naming->lookup.is_reverse = true;
    int failure = loop_names_lookup_init(&naming->lookup, naming->task.steps, NULL, NULL, &used);
    if (failure == 0) {
        failure = set_address(&naming->lookup, address);
    }
    return failure < 0 ? failure : loop_names_task_limit(&naming->task, options->timeout_ns);
}

loop_job loop_resolve_address(struct loop_scope *scope, const struct loop_address *address,
                              const struct loop_resolve_options *options, struct loop_host_names **names,
                              struct loop_name_error *error, loop_fn *fn, void *arg)
{
    static const struct loop_resolve_options defaults;
    static const struct loop_names_task_ops ops = {sizeof(struct naming), cancel, finish};

    if (!loop_check_pointer(names, "names", __func__)) {
        return 0;
    }
    *names = NULL;
    if (!loop_check_scope(scope, __func__)) {
        return 0;
    }
    if (loop_scope_is_cancelled(scope)) {
        return loop_names_task_refuse(scope, error, fn, arg);
    }
    struct naming *naming = (struct naming *)loop_names_task_create(scope, &ops, error, fn, arg);
    if (!naming) {
        return 0;
    }
    loop_job job = naming->task.promise;
    if (naming->task.is_over) {
        return job;
    }
    naming->out = names;
    int failure = begin(naming, address, options ? options : &defaults);
    if (failure < 0) {
        end(naming, failure);
    } else {
        loop_names_lookup_start(&naming->lookup);
        if (!naming->task.is_over) {
            on_change(naming);
        }
    }
    return job;
}
