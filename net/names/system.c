/* SPDX-License-Identifier: ISC
 *
 * Asking the C library, where the library is built without c-ares: a thread of the pool calls getaddrinfo(3) or
 * getnameinfo(3). No call of POSIX ends one of them, so a cancelled look-up leaves its thread behind until it returns.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/name.h>
#include <net/names/ask.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a thread does, with copies of everything. */
struct loop_names_asking {
    struct loop_names_ask *ask; /* NULL: stopped */
    unsigned wanted;
    struct loop_address address;
    char name[LOOP_NAMES_HOST_MAX + 1];
    struct loop_names_records records; /* what it has found */
    int outcome;
};

/* Translates a result of getaddrinfo(3); `number` is errno. */
static int error_of(int code, int number)
{
    switch (code) {
    case 0: return 0;
    case EAI_NONAME: return -ENOENT;
#if defined(EAI_NODATA) && defined(EAI_ADDRFAMILY) /* not in musl */
    case EAI_NODATA:
    case EAI_ADDRFAMILY: return -ENODATA;
#endif
    case EAI_MEMORY: return -ENOMEM;
    case EAI_SYSTEM: return number > 0 ? -number : -EIO;
    case EAI_FAMILY:
    case EAI_BADFLAGS:
    case EAI_SERVICE: return -EINVAL;
    default: return -EAGAIN;
    }
}

static int add_all(struct loop_names_records *records, const struct addrinfo *found)
{
    int error = 0;

    if (found && found->ai_canonname) {
        loop_names_copy(records->canonical, sizeof records->canonical, found->ai_canonname);
    }
    for (; found && error == 0; found = found->ai_next) {
        struct loop_address address = {.length = 0};
        if (found->ai_family == AF_INET || found->ai_family == AF_INET6) {
            memcpy(&address.u, found->ai_addr, found->ai_addrlen);
            address.length = found->ai_addrlen;
            address.u.ipv4.sin_port = 0;
            error = loop_names_add_address(records, &address);
        }
    }
    return error;
}

static int find_addresses(struct loop_names_asking *asking)
{
    const struct addrinfo hints = {.ai_flags = AI_CANONNAME,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_family = asking->wanted == LOOP_NAMES_A      ? AF_INET
                                                : asking->wanted == LOOP_NAMES_AAAA ? AF_INET6
                                                                                    : AF_UNSPEC};
    struct addrinfo *found = NULL;
    int code = loop_kernel_getaddrinfo(asking->name, NULL, &hints, &found);
    int error = error_of(code, errno);

    if (error == 0) {
        error = add_all(&asking->records, found);
        loop_kernel_freeaddrinfo(found);
    }
    return error == 0 && asking->records.n_addresses == 0 ? -ENODATA : error;
}

static int find_name(struct loop_names_asking *asking)
{
    char name[NI_MAXHOST];
    const struct loop_address *address = &asking->address;
    int code = loop_kernel_getnameinfo(&address->u.any, address->length, name, sizeof name, NI_NAMEREQD);
    int error = error_of(code, errno);

    return error == 0 ? loop_names_add_name(&asking->records, name) : error;
}

static int64_t work(void *arg)
{
    struct loop_names_asking *asking = arg;

    asking->outcome = asking->wanted == LOOP_NAMES_PTR ? find_name(asking) : find_addresses(asking);
    return 0;
}

static void release(void *arg)
{
    struct loop_names_asking *asking = arg;

    loop_names_records_finish(&asking->records);
    loop_kernel_free(asking);
}

/* Moves what the thread has found to the look-up. */
static int take(struct loop_names_asking *asking, struct loop_names_records *records)
{
    assert(records->n_addresses == 0 && records->n_names == 0);
    loop_names_records_finish(records);
    *records = asking->records;
    records->expires_ns = 0;
    loop_names_records_init(&asking->records);
    return 0;
}

static void on_done(void *arg, int64_t result)
{
    struct loop_names_asking *asking = arg;
    struct loop_names_ask *ask = asking->ask;

    if (!ask || result == -ECANCELED || result == -ETIMEDOUT) {
        return; /* the holder of the scope knows */
    }
    ask->is_over = true;
    ask->pending = 0;
    ask->outcome = result < 0 ? (int)result : asking->outcome;
    if (ask->outcome == 0) {
        ask->outcome = take(asking, ask->records);
    }
    ask->on_change(ask->arg);
}

static bool has_settings(const struct loop_names_resolver *resolver)
{
    return resolver->n_servers > 0 || resolver->timeout_ns > 0 || resolver->attempts > 0 || resolver->sets_resolv_conf;
}

int loop_names_ask_start(struct loop_names_ask *ask)
{
    const struct loop_work_options options = {.takes_long = true, .release = release};

    if (has_settings(ask->resolver)) {
        return -EOPNOTSUPP;
    }
    struct loop_names_asking *asking = loop_kernel_calloc(1, sizeof *asking);
    if (!asking) {
        return -ENOMEM;
    }
    loop_names_records_init(&asking->records);
    asking->ask = ask;
    asking->wanted = ask->wanted;
    asking->address = *ask->address;
    loop_names_copy(asking->name, sizeof asking->name, ask->name);
    if (!loop_work_with(ask->scope, &options, work, asking, on_done, asking)) {
        release(asking);
        return -ENOMEM;
    }
    ask->pending = ask->wanted;
    ask->is_over = false;
    loop_names_copy(ask->asked, sizeof ask->asked, "the C library");
    ask->asking = asking;
    return 0;
}

void loop_names_ask_stop(struct loop_names_ask *ask)
{
    if (ask->asking) {
        ask->asking->ask = NULL;
        ask->asking = NULL;
    }
}
