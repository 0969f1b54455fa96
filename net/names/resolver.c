/* SPDX-License-Identifier: ISC
 *
 * Resolvers. Look-ups that begin in the same turn of the loop share one look at the files. While nothing has changed
 * the look needs no thread. Otherwise one thread at a time reads them: for all look-ups that wait when it begins.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/names/resolver.h>

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

struct loop_resolver {
    struct loop_scope *scope;
    struct loop_names_resolver *counted;
};

static const char *const usual_paths[LOOP_NAMES_N_FILES] = {
    [LOOP_NAMES_HOSTS_FILE] = "/etc/hosts",
    [LOOP_NAMES_SERVICES_FILE] = "/etc/services",
    [LOOP_NAMES_RESOLV_CONF] = "/etc/resolv.conf",
    [LOOP_NAMES_NSSWITCH] = "/etc/nsswitch.conf",
};

/* ---- making and freeing ---- */

void loop_names_resolver_drop(struct loop_names_resolver *resolver)
{
    assert(resolver->references > 0);
    if (--resolver->references > 0) {
        return;
    }
    assert(!resolver->is_reading && loop_list_is_empty(&resolver->served) && loop_list_is_empty(&resolver->waiting));
    for (unsigned i = 0; i < LOOP_NAMES_N_FILES; i++) {
        loop_kernel_free(resolver->paths[i]);
    }
    if (resolver->idle) {
        resolver->destroy_idle(resolver->idle);
    }
    loop_names_hosts_free(resolver->hosts);
    loop_names_services_free(resolver->services);
    loop_names_cache_flush(&resolver->cache);
    loop_kernel_free(resolver);
}

static bool copy_paths(struct loop_names_resolver *resolver, const struct loop_resolver_options *options)
{
    const char *const set[LOOP_NAMES_N_FILES] = {
        [LOOP_NAMES_HOSTS_FILE] = options->hosts,
        [LOOP_NAMES_SERVICES_FILE] = options->services,
        [LOOP_NAMES_RESOLV_CONF] = options->resolv_conf,
        [LOOP_NAMES_NSSWITCH] = options->nsswitch,
    };

    for (unsigned i = 0; i < LOOP_NAMES_N_FILES; i++) {
        resolver->paths[i] = loop_kernel_strdup(set[i] ? set[i] : usual_paths[i]);
        if (!resolver->paths[i]) {
            return false;
        }
    }
    return true;
}

static void copy_servers(struct loop_names_resolver *resolver, const struct loop_resolver_options *options)
{
    for (size_t i = 0; i < options->n_servers; i++) {
        struct loop_address *server = &resolver->servers[i];
        *server = options->servers[i];
        if (server->u.ipv4.sin_port == 0) { /* the port of both families is at one place */
            server->u.ipv4.sin_port = htons(53);
        }
    }
    resolver->n_servers = (unsigned)options->n_servers;
}

/* Returns a resolver with one reference, or NULL without memory. */
static struct loop_names_resolver *create(struct loop *loop, const struct loop_resolver_options *options)
{
    struct loop_names_resolver *resolver = loop_kernel_calloc(1, sizeof *resolver);

    if (!resolver) {
        return NULL;
    }
    resolver->references = 1;
    resolver->loop = loop;
    resolver->timeout_ns = options->timeout_ns;
    resolver->attempts = options->attempts;
    resolver->sets_resolv_conf = options->resolv_conf != NULL;
    copy_servers(resolver, options);
    loop_list_init(&resolver->served);
    loop_list_init(&resolver->waiting);
    loop_names_cache_init(&resolver->cache, options->cache_limit);
    if (!copy_paths(resolver, options)) {
        loop_names_resolver_drop(resolver);
        return NULL;
    }
    return resolver;
}

static void drop_reference(void *arg)
{
    loop_names_resolver_drop(arg);
}

enum { MOST_ATTEMPTS = 1000 };

static bool is_internet(const struct loop_address *address)
{
    return (address->u.any.sa_family == AF_INET && address->length >= sizeof address->u.ipv4) ||
           (address->u.any.sa_family == AF_INET6 && address->length >= sizeof address->u.ipv6);
}

static bool are_good(const struct loop_resolver_options *options)
{
    if (options->timeout_ns < 0 || options->attempts > MOST_ATTEMPTS || options->n_servers > LOOP_NAMES_MOST_SERVERS ||
        (options->n_servers > 0 && !options->servers)) {
        return false;
    }
    for (size_t i = 0; i < options->n_servers; i++) {
        if (!is_internet(&options->servers[i])) {
            return false;
        }
    }
    return true;
}

struct loop_resolver *loop_resolver_open(struct loop_scope *scope, const struct loop_resolver_options *options)
{
    static const struct loop_resolver_options defaults;

    options = options ? options : &defaults;
    if (!loop_check_scope(scope, __func__) || !are_good(options)) {
        return NULL;
    }
    struct loop_resolver *opened = loop_scope_alloc(scope, sizeof *opened);
    if (!opened) {
        return NULL;
    }
    opened->scope = scope;
    opened->counted = create(loop_scope_loop(scope), options);
    if (!opened->counted || !loop_scope_defer(scope, drop_reference, opened->counted)) {
        return NULL;
    }
    return opened;
}

void loop_resolver_flush(struct loop_resolver *resolver)
{
    if (loop_check_object(resolver, offsetof(struct loop_resolver, scope), "resolver", __func__)) {
        loop_names_cache_flush(&resolver->counted->cache);
    }
}

/* ---- which one ---- */

/* Returns the loop's own, which its first use makes. */
static struct loop_names_resolver *usual(struct loop *loop)
{
    static const struct loop_resolver_options defaults;
    static const char key;
    void **slot = loop_part_slot(loop, &key);

    if (slot && !*slot) {
        struct loop_names_resolver *made = create(loop, &defaults);
        if (made && loop_scope_defer(loop_part_scope(loop), drop_reference, made)) {
            *slot = made;
        }
    }
    return slot ? *slot : NULL;
}

bool loop_names_resolver_is_good(const struct loop_scope *scope, const struct loop_resolver *resolver)
{
    return loop_check_object(resolver, offsetof(struct loop_resolver, scope), "resolver", __func__) &&
           resolver->counted->loop == loop_scope_loop(scope);
}

struct loop_names_resolver *loop_names_resolver_take(struct loop_scope *scope, struct loop_resolver *resolver)
{
    struct loop_names_resolver *counted = resolver ? resolver->counted : usual(loop_scope_loop(scope));

    if (counted) {
        counted->references++;
    }
    return counted;
}

/* ---- reading the files ---- */

/* What a thread does. It has copies of the identities, and the paths stay as they are. */
struct reading {
    struct loop_names_resolver *resolver;
    unsigned wanted, read; /* bits */
    int errors[LOOP_NAMES_N_FILES];
    bool is_cancelled;
    struct loop_names_identity identities[LOOP_NAMES_N_FILES];
    struct loop_names_hosts *hosts;
    struct loop_names_services *services;
    struct loop_names_config config;
    struct loop_names_order order;
};

/* Makes of a text what is kept of that file. The text is freed, or belongs to what was made. */
static int parse(struct reading *reading, enum loop_names_file file, char *text)
{
    switch (file) {
    case LOOP_NAMES_HOSTS_FILE: return loop_names_hosts_parse(text, &reading->hosts);
    case LOOP_NAMES_SERVICES_FILE: return loop_names_services_parse(text, &reading->services);
    case LOOP_NAMES_RESOLV_CONF: loop_names_config_parse(text, &reading->config); break;
    default: loop_names_order_parse(text, &reading->order); break;
    }
    loop_kernel_free(text);
    return 0;
}

static int64_t read_files(void *arg)
{
    struct reading *reading = arg;

    for (unsigned file = 0; file < LOOP_NAMES_N_FILES && !reading->is_cancelled; file++) {
        char *text = NULL;
        if (!(reading->wanted & 1u << file)) {
            continue;
        }
        int result = loop_names_load(reading->resolver->paths[file], &reading->identities[file], &text);
        if (result > 0) {
            result = parse(reading, (enum loop_names_file)file, text);
            reading->read |= result == 0 ? 1u << file : 0;
        }
        reading->errors[file] = result;
        reading->is_cancelled = result == -ECANCELED;
    }
    return 0;
}

static void release_reading(void *arg)
{
    struct reading *reading = arg;

    loop_names_hosts_free(reading->hosts);
    loop_names_services_free(reading->services);
    loop_names_resolver_drop(reading->resolver);
    loop_kernel_free(reading);
}

/* The program's settings replace those of resolv.conf. */
static void set_config(struct loop_names_resolver *resolver, const struct loop_names_config *config)
{
    resolver->config = *config;
    if (resolver->n_servers > 0) {
        memcpy(resolver->config.servers, resolver->servers, sizeof resolver->servers);
        resolver->config.n_servers = resolver->n_servers;
    }
    if (resolver->timeout_ns > 0) {
        resolver->config.timeout_ns = resolver->timeout_ns;
    }
    if (resolver->attempts > 0) {
        resolver->config.attempts = resolver->attempts;
    }
}

/* Replaces what was made of the files that the thread has read. The old is freed with `reading`. */
static void install(struct loop_names_resolver *resolver, struct reading *reading)
{
    struct loop_names_hosts *hosts = resolver->hosts;
    struct loop_names_services *services = resolver->services;

    if (reading->read & 1u << LOOP_NAMES_HOSTS_FILE) {
        resolver->hosts = reading->hosts;
        reading->hosts = hosts;
    }
    if (reading->read & 1u << LOOP_NAMES_SERVICES_FILE) {
        resolver->services = reading->services;
        reading->services = services;
    }
    if (reading->read & 1u << LOOP_NAMES_RESOLV_CONF) {
        set_config(resolver, &reading->config);
    }
    if (reading->read & 1u << LOOP_NAMES_NSSWITCH) {
        resolver->order = reading->order;
    }
    for (unsigned file = 0; file < LOOP_NAMES_N_FILES; file++) {
        if (reading->read & 1u << file) {
            resolver->identities[file] = reading->identities[file];
        }
    }
}

static void look_for_waiting(struct loop_names_resolver *resolver);

/* Returns the error of the first file that is wanted and could not be read, and stores its path; or 0. */
static int error_of(struct loop_names_resolver *resolver, const struct reading *reading, unsigned wanted)
{
    for (unsigned file = 0; file < LOOP_NAMES_N_FILES; file++) {
        if (wanted & 1u << file && reading->errors[file] < 0) {
            resolver->failed_path = resolver->paths[file];
            return reading->errors[file];
        }
    }
    return 0;
}

/* Calls those that were served, each with the error of its own files. Without `reading` it is `error`. Each may
 * leave. */
static void tell(struct loop_names_resolver *resolver, const struct reading *reading, int error)
{
    for (struct loop_list *node; (node = loop_list_pop_front(&resolver->served));) {
        struct loop_names_wait *wait = LOOP_CONTAINER(node, struct loop_names_wait, node);
        wait->fn(wait->arg, reading ? error_of(resolver, reading, wait->wanted) : error);
    }
}

/* Begins the next look where something waits for it. */
static void end_look(struct loop_names_resolver *resolver)
{
    resolver->is_reading = false;
    if (!loop_list_is_empty(&resolver->waiting)) {
        look_for_waiting(resolver);
    }
}

/* The work was cancelled with the look-up whose scope it was in: it begins anew in that of another one. */
static void on_read(void *arg, int64_t result)
{
    struct reading *reading = arg;
    struct loop_names_resolver *resolver = reading->resolver;

    if (result < 0 || reading->is_cancelled) {
        loop_list_put_before(&resolver->waiting, &resolver->served);
    } else {
        install(resolver, reading);
        tell(resolver, reading, 0);
    }
    end_look(resolver);
}

/* The bits of all files that a list of waits wants. */
static unsigned wanted_by(struct loop_list *waits)
{
    unsigned wanted = 0;

    for (struct loop_list *node = waits->next; node != waits; node = node->next) {
        wanted |= LOOP_CONTAINER(node, struct loop_names_wait, node)->wanted;
    }
    return wanted;
}

static struct loop_scope *first_scope(const struct loop_list *waits)
{
    return LOOP_CONTAINER(loop_list_first(waits), struct loop_names_wait, node)->scope;
}

static struct reading *create_reading(struct loop_names_resolver *resolver)
{
    struct reading *reading = loop_kernel_calloc(1, sizeof *reading);

    if (!reading) {
        return NULL;
    }
    reading->resolver = resolver;
    resolver->references++;
    memcpy(reading->identities, resolver->identities, sizeof reading->identities);
    reading->wanted = wanted_by(&resolver->served);
    return reading;
}

/* Begins to read for those that are served, in the scope of the first of them. Without memory they are told at once. */
static void start_reading(struct loop_names_resolver *resolver)
{
    const struct loop_work_options options = {.release = release_reading};
    struct reading *reading = create_reading(resolver);
    loop_job job = 0;

    if (reading) {
        job = loop_work_with(first_scope(&resolver->served), &options, read_files, reading, on_read, reading);
    }
    resolver->is_reading = job != 0;
    if (!job) {
        if (reading) {
            release_reading(reading);
        }
        tell(resolver, NULL, -ENOMEM);
    }
}

/* Returns whether the files are as they were loaded, as far as that is known without waiting. */
static bool are_current(const struct loop_names_resolver *resolver, unsigned wanted)
{
    bool is_current = true;

    for (unsigned file = 0; file < LOOP_NAMES_N_FILES && is_current; file++) {
        is_current =
            !(wanted & 1u << file) || loop_names_is_current(resolver->paths[file], &resolver->identities[file]);
    }
    return is_current;
}

/* Looks for all that wait by now. */
static void look(struct loop_names_resolver *resolver)
{
    bool is_current = are_current(resolver, wanted_by(&resolver->waiting));

    loop_list_take_all(&resolver->served, &resolver->waiting);
    if (!is_current) {
        start_reading(resolver);
    } else {
        tell(resolver, NULL, 0);
        end_look(resolver);
    }
}

/* A look that was cancelled with the scope it was in begins anew in that of another look-up. */
static void on_look(void *arg, int64_t result)
{
    struct loop_names_resolver *resolver = arg;

    if (result == 0 && !loop_list_is_empty(&resolver->waiting)) {
        look(resolver);
    } else {
        end_look(resolver);
    }
    loop_names_resolver_drop(resolver);
}

/* Has the loop look at the files when it is back in its turn. Without memory those that wait are told at once. */
static void look_for_waiting(struct loop_names_resolver *resolver)
{
    assert(loop_list_is_empty(&resolver->served));
    resolver->is_reading = loop_sleep(first_scope(&resolver->waiting), 0, on_look, resolver) != 0;
    if (resolver->is_reading) {
        resolver->references++;
    } else {
        loop_list_take_all(&resolver->served, &resolver->waiting);
        tell(resolver, NULL, -ENOMEM);
    }
}

void loop_names_resolver_read(struct loop_names_resolver *resolver, struct loop_names_wait *wait)
{
    loop_list_push_back(&resolver->waiting, &wait->node);
    if (!resolver->is_reading) {
        look_for_waiting(resolver);
    }
}

void loop_names_resolver_leave(struct loop_names_wait *wait)
{
    loop_list_remove(&wait->node);
}
