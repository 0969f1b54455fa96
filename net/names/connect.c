/* SPDX-License-Identifier: ISC
 *
 * loop_connect_name: connections to the addresses of a host, tried one after another and side by side, RFC 8305.
 *
 * Each attempt is a loop_connect in the caller's scope, to which the connection that wins belongs. The job ends when
 * every attempt has ended, so that the caller finds no other socket.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <net/names/lookup.h>
#include <net/names/sort.h>
#include <net/names/task.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

#define ATTEMPT_DELAY_NS (250 * LOOP_MILLISECOND)
#define RESOLUTION_DELAY_NS (50 * LOOP_MILLISECOND)

struct attempt {
    struct connecting *connecting;
    struct attempt *next; /* the one begun before */
    struct loop_address address;
    struct loop_flow *flow;
    loop_job job; /* 0: it has ended */
};

struct connecting {
    struct loop_names_task task;
    struct loop_names_lookup lookup;
    struct loop_connect_options options; /* what it points to is in the next members */
    struct loop_address bind_to;
    char interface[LOOP_SOCKET_TEXT_SIZE], congestion[LOOP_SOCKET_TEXT_SIZE];
    struct loop_socket_setting *settings;
    int64_t attempt_delay_ns;
    struct attempt *attempts; /* all, the last first */
    unsigned n_attempts, n_running;
    struct loop_address *left; /* the addresses to try, sorted; from malloc */
    size_t n_left, n_known;    /* how many; how many addresses were known when they were sorted */
    loop_job delay, resolution;
    int64_t delay_until_ns;
    bool waits_for_ipv6, has_waited;
    bool has_said; /* what became of an address */
    bool is_ending;
    int64_t result;      /* when it ends */
    int64_t first_error; /* of the address that was tried first */
    struct loop_flow *winner, **out;
};

/* ---- the end ---- */

/* Ends the job when no attempt runs any more. */
static void end_when_quiet(struct connecting *connecting)
{
    assert(connecting->is_ending);
    if (connecting->n_running == 0 && !connecting->task.is_over) {
        *connecting->out = connecting->winner;
        loop_names_task_end(&connecting->task, connecting->result);
    }
}

/* Begins to end: nothing new is begun, and the attempts that run are cancelled. */
static void begin_end(struct connecting *connecting, int64_t result)
{
    if (connecting->is_ending) {
        return;
    }
    connecting->is_ending = true;
    connecting->result = result;
    loop_names_lookup_stop(&connecting->lookup);
    loop_cancel(connecting->task.loop, connecting->delay);
    loop_cancel(connecting->task.loop, connecting->resolution);
    for (struct attempt *attempt = connecting->attempts; attempt; attempt = attempt->next) {
        loop_cancel(connecting->task.loop, attempt->job);
    }
    end_when_quiet(connecting);
}

static void say_address(struct connecting *connecting, const struct loop_address *address, const char *what)
{
    char text[LOOP_NAMES_ADDRESS_TEXT];

    loop_names_say(connecting->task.error, "%s%s: %s", connecting->has_said ? "; " : "",
                   loop_names_address_text(address, text), what);
    connecting->has_said = true;
}

/* Ends because of the look-up, or from outside. Attempts that run have not been answered. */
static void fail(struct connecting *connecting, int64_t error)
{
    if (connecting->is_ending) {
        return;
    }
    for (struct attempt *attempt = connecting->attempts; attempt; attempt = attempt->next) {
        if (attempt->job) {
            say_address(connecting, &attempt->address, "no answer yet");
        }
    }
    if (!connecting->has_said) {
        loop_names_lookup_explain(&connecting->lookup, error, connecting->task.error);
    }
    begin_end(connecting, error);
}

/* ---- attempts ---- */

static void start_next(struct connecting *connecting);

static void on_attempt(void *arg, int64_t result)
{
    struct attempt *attempt = arg;
    struct connecting *connecting = attempt->connecting;

    assert(attempt->job && connecting->n_running > 0);
    attempt->job = 0;
    connecting->n_running--;
    if (result == 0 && !connecting->is_ending) {
        connecting->winner = attempt->flow;
        begin_end(connecting, 0);
        return;
    }
    if (result == 0) { /* it came too late */
        loop_fd_destroy(attempt->flow->fd);
    }
    if (connecting->is_ending) {
        end_when_quiet(connecting);
    } else if (result == -ECANCELED || loop_scope_is_cancelled(connecting->task.scope)) {
        fail(connecting, result);
    } else {
        say_address(connecting, &attempt->address, strerror((int)-result));
        if (!attempt->next) { /* the first: others may have failed before it */
            connecting->first_error = result;
        }
        start_next(connecting);
    }
}

static bool was_tried(const struct connecting *connecting, const struct loop_address *address)
{
    const struct attempt *attempt = connecting->attempts;

    while (attempt && !loop_names_same_address(&attempt->address, address)) {
        attempt = attempt->next;
    }
    return attempt != NULL;
}

/* Sorts what is left to try of the addresses known by now, unless no new one has come. Returns 0 or -ENOMEM. */
static int sort(struct connecting *connecting)
{
    const struct loop_names_records *records = &connecting->lookup.records;

    if (records->n_addresses == connecting->n_known) {
        return 0;
    }
    struct loop_address *left = loop_kernel_realloc(connecting->left, records->n_addresses * sizeof *left);
    if (!left) {
        return -ENOMEM;
    }
    connecting->left = left;
    connecting->n_left = 0;
    connecting->n_known = records->n_addresses;
    for (size_t i = 0; i < records->n_addresses; i++) {
        if (!was_tried(connecting, &records->addresses[i])) {
            left[connecting->n_left++] = records->addresses[i];
        }
    }
    loop_names_sort(left, connecting->n_left);
    return 0;
}

/* Returns the place of the first address of the family whose turn it is, or of the first of all. */
static size_t next_in_turn(const struct connecting *connecting)
{
    size_t at = 0;

    if (!connecting->attempts) {
        return 0;
    }
    sa_family_t last = connecting->attempts->address.u.any.sa_family;
    while (at < connecting->n_left && connecting->left[at].u.any.sa_family == last) {
        at++;
    }
    return at < connecting->n_left ? at : 0;
}

/* Takes the address to try next out of those that are known by now. Returns 1 and stores it; 0 when there is none;
 * -ENOMEM. */
static int choose(struct connecting *connecting, struct loop_address *chosen)
{
    int error = sort(connecting);

    if (error < 0 || connecting->n_left == 0) {
        return error;
    }
    struct loop_address *at = connecting->left + next_in_turn(connecting);
    *chosen = *at;
    connecting->n_left--;
    memmove(at, at + 1, (size_t)(connecting->left + connecting->n_left - at) * sizeof *at);
    return 1;
}

static void on_delay(void *arg, int64_t result)
{
    struct connecting *connecting = arg;

    /* Earlier is one that was cancelled too late. */
    if (result == 0 && !connecting->is_ending && loop_now(connecting->task.loop) >= connecting->delay_until_ns) {
        connecting->delay = 0;
        start_next(connecting);
    }
}

static void start_attempt(struct connecting *connecting, const struct loop_address *address)
{
    struct attempt *attempt = loop_scope_alloc(connecting->task.steps, sizeof *attempt);

    if (!attempt) {
        fail(connecting, -ENOMEM);
        return;
    }
    *attempt = (struct attempt){.connecting = connecting, .next = connecting->attempts, .address = *address};
    attempt->address.u.ipv4.sin_port = connecting->lookup.port; /* the port of both families is at one place */
    connecting->attempts = attempt;
    connecting->n_attempts++;
    attempt->job = loop_connect(connecting->task.scope, &attempt->address, &connecting->options, &attempt->flow,
                                on_attempt, attempt);
    if (!attempt->job) {
        fail(connecting, -ENOMEM);
        return;
    }
    connecting->n_running++;
    loop_cancel(connecting->task.loop, connecting->delay);
    connecting->delay_until_ns = loop_names_from_now(connecting->task.loop, connecting->attempt_delay_ns);
    connecting->delay = loop_sleep_until(connecting->task.steps, connecting->delay_until_ns, on_delay, connecting);
    if (!connecting->delay) {
        fail(connecting, -ENOMEM);
    }
}

/* Tries the next address, or ends when there is nothing left to wait for. */
static void start_next(struct connecting *connecting)
{
    struct loop_address address;
    int result = connecting->waits_for_ipv6 ? 0 : choose(connecting, &address);

    if (result < 0) {
        fail(connecting, result);
    } else if (result > 0) {
        start_attempt(connecting, &address);
    } else if (connecting->n_running == 0 && connecting->lookup.is_over) {
        begin_end(connecting, connecting->first_error);
    }
}

/* ---- the look-up ---- */

static void on_resolution_delay(void *arg, int64_t result)
{
    struct connecting *connecting = arg;

    if (result == 0 && connecting->waits_for_ipv6 && !connecting->is_ending) {
        connecting->waits_for_ipv6 = false;
        start_next(connecting);
    }
}

/* Returns whether to wait for IPv6 addresses, which has a bound in time. */
static bool is_to_wait(struct connecting *connecting)
{
    const struct loop_names_lookup *lookup = &connecting->lookup;

    if (!loop_names_lookup_awaits_ipv6(lookup) || loop_names_has_family(&lookup->records, AF_INET6)) {
        return false;
    }
    if (!connecting->has_waited) {
        connecting->has_waited = true;
        connecting->waits_for_ipv6 = true;
        connecting->resolution =
            loop_sleep(connecting->task.steps, RESOLUTION_DELAY_NS, on_resolution_delay, connecting);
    }
    return connecting->resolution && connecting->waits_for_ipv6;
}

/* Something was found, or the look-up is over. */
static void on_change(void *arg)
{
    struct connecting *connecting = arg;
    const struct loop_names_lookup *lookup = &connecting->lookup;

    if (connecting->is_ending) {
        return;
    }
    if (lookup->is_over && lookup->outcome < 0 && lookup->records.n_addresses == 0) {
        fail(connecting, lookup->outcome);
        return;
    }
    if (lookup->records.n_addresses == 0) {
        return;
    }
    connecting->waits_for_ipv6 = is_to_wait(connecting);
    if (!connecting->waits_for_ipv6 && (connecting->n_running == 0 || !connecting->delay)) {
        start_next(connecting);
    }
}

/* The look-up takes too long: what was found by now is tried. */
static void on_lookup_timeout(void *arg, int64_t result)
{
    struct connecting *connecting = arg;

    if (result == 0 && !connecting->is_ending && !connecting->lookup.is_over) {
        loop_names_lookup_give_up(&connecting->lookup);
        on_change(connecting);
    }
}

/* ---- starting ---- */

static void cancel(struct loop_names_task *task, int64_t reason)
{
    fail((struct connecting *)task, reason);
}

static void finish(struct loop_names_task *task)
{
    struct connecting *connecting = (struct connecting *)task;

    loop_kernel_free(connecting->settings);
    loop_kernel_free(connecting->left);
    loop_names_lookup_finish(&connecting->lookup);
}

/* Copies a text of the options, and has `*text` point to the copy. Returns false for one that is too long. */
static bool copy_text(const char **text, char copy[LOOP_SOCKET_TEXT_SIZE])
{
    if (!*text) {
        return true;
    }
    bool fits = strnlen(*text, LOOP_SOCKET_TEXT_SIZE) < LOOP_SOCKET_TEXT_SIZE;
    loop_names_copy(copy, LOOP_SOCKET_TEXT_SIZE, *text);
    *text = copy;
    return fits;
}

/* Copies what the attempts need of the options. Returns 0, -EINVAL or -ENOMEM. */
static int copy_options(struct connecting *connecting, const struct loop_connect_name_options *options)
{
    size_t size = options->connect.n_settings * sizeof *connecting->settings;

    connecting->options = options->connect;
    connecting->attempt_delay_ns = options->attempt_delay_ns ? options->attempt_delay_ns : ATTEMPT_DELAY_NS;
    if (options->connect.timeout_ns < 0 || options->attempt_delay_ns < 0 || options->resolve.timeout_ns < 0 ||
        (size > 0 && !options->connect.settings)) {
        return -EINVAL;
    }
    if (!copy_text(&connecting->options.interface, connecting->interface) ||
        !copy_text(&connecting->options.congestion, connecting->congestion)) {
        return -EINVAL;
    }
    if (options->connect.bind_to) {
        connecting->bind_to = *options->connect.bind_to;
        connecting->options.bind_to = &connecting->bind_to;
    }
    if (size > 0) {
        connecting->settings = loop_kernel_malloc(size);
        if (!connecting->settings) {
            return -ENOMEM;
        }
        memcpy(connecting->settings, options->connect.settings, size);
        connecting->options.settings = connecting->settings;
    }
    return 0;
}

/* Begins the look-up, of addresses that the socket can be bound for. Returns 0, -EINVAL or -ENOMEM. */
static int begin(struct connecting *connecting, const char *host, const char *service,
                 const struct loop_connect_name_options *options)
{
    struct loop_resolve_options resolve = options->resolve;
    int error = copy_options(connecting, options);

    resolve.datagram = false;
    if (connecting->options.bind_to && resolve.family == 0) {
        resolve.family = connecting->bind_to.u.any.sa_family;
    }
    connecting->lookup.on_change = on_change;
    connecting->lookup.arg = connecting;
    int bad = loop_names_lookup_init(&connecting->lookup, connecting->task.steps, host, service, &resolve);
    if (error == 0) {
        error = bad < 0 ? bad : !service || !*service ? -EINVAL : 0;
    }
    if (error == 0 && resolve.timeout_ns > 0) {
        loop_job job = loop_sleep(connecting->task.steps, resolve.timeout_ns, on_lookup_timeout, connecting);
        error = job ? 0 : -ENOMEM;
    }
    return error < 0 ? error : loop_names_task_limit(&connecting->task, options->timeout_ns);
}

loop_job loop_connect_name(struct loop_scope *scope, const char *host, const char *service,
                           const struct loop_connect_name_options *options, struct loop_flow **flow,
                           struct loop_name_error *error, loop_fn *fn, void *arg)
{
    static const struct loop_connect_name_options defaults;
    static const struct loop_names_task_ops ops = {sizeof(struct connecting), cancel, finish};

    if (!loop_check_pointer(flow, "flow", __func__)) {
        return 0;
    }
    *flow = NULL;
    if (!loop_check_scope(scope, __func__)) {
        return 0;
    }
    if (loop_scope_is_cancelled(scope)) {
        return loop_names_task_refuse(scope, error, fn, arg);
    }
    struct connecting *connecting = (struct connecting *)loop_names_task_create(scope, &ops, error, fn, arg);
    if (!connecting) {
        return 0;
    }
    loop_job job = connecting->task.promise;
    if (connecting->task.is_over) {
        return job;
    }
    connecting->out = flow;
    int failure = begin(connecting, host, service, options ? options : &defaults);
    loop_names_say(connecting->task.error, "connecting to %s:%s: ", host ? host : "", service ? service : "");
    if (failure < 0) {
        fail(connecting, failure);
        return job;
    }
    loop_names_lookup_start(&connecting->lookup);
    on_change(connecting);
    return job;
}
