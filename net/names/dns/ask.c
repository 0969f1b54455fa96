/* SPDX-License-Identifier: ISC
 *
 * Asking servers by c-ares: it makes the questions, sends them, goes over to TCP, and tells which messages are answers.
 *
 * A channel serves one look-up at a time, so that a cancel ends all it has begun; a thread of the pool makes it,
 * because that reads files. It knows one server at a time, and its own timeouts never pass: which server is asked when
 * is decided here, by the loop's clock. The functions that c-ares calls only note what has happened. step() acts on it,
 * when no function of c-ares is on the stack.
 */
#include <loop/event.h>
#include <loop/kernel/memory.h>
#include <net/names/ask.h>
#include <net/names/dns/answer.h>
#include <net/names/dns/channel.h>
#include <net/names/task.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CLASS_IN 1

enum state { IDLE, PENDING, ANSWERED, FAILED };

struct question {
    struct loop_names_asking *asking;
    unsigned bit; /* enum loop_names_type */
    int type;     /* its number */
    enum state state;
    int result; /* ANSWERED: of loop_names_answer_read. FAILED: the error of this server */
};

struct loop_names_asking {
    struct loop_names_ask *ask; /* NULL: stopped */
    struct loop *loop;
    struct loop_names_config config;
    struct loop_names_sockets sockets;
    struct loop_names_channel *channel; /* NULL: none yet */
    bool is_opening, is_cancelling;
    struct question questions[2];
    unsigned n_questions;
    char name[LOOP_NAMES_HOST_MAX + 1]; /* the candidate that is asked for */
    bool has_domain;                    /* the candidate is the name in a search domain */
    unsigned candidate, n_candidates;   /* candidate is the next one */
    unsigned server, tries;             /* how many servers have been asked for this candidate */
    loop_job timer;
    int64_t timeout_at_ns;
    bool has_no_data; /* a candidate exists and has no records */
    int failure;      /* a candidate that servers failed to answer for */
};

static void go_on(struct loop_names_asking *asking);

/* ---- candidates ---- */

static bool is_absolute(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && name[len - 1] == '.';
}

static unsigned count_bytes(const char *text, size_t len, char byte)
{
    unsigned count = 0;

    for (size_t i = 0; i < len; i++) {
        count += text[i] == byte;
    }
    return count;
}

static unsigned count_candidates(const struct loop_names_asking *asking, const struct loop_names_ask *ask)
{
    if (ask->wanted == LOOP_NAMES_PTR || is_absolute(ask->name)) {
        return 1;
    }
    return 1 + count_bytes(asking->config.search, asking->config.search_len, '\0');
}

/* Makes a candidate: the name as it is comes first when it has enough dots, otherwise last. Returns false for one that
 * is too long. */
static bool make_candidate(struct loop_names_asking *asking, unsigned index)
{
    const char *name = asking->ask->name, *domain = asking->config.search;
    bool is_first = count_bytes(name, strlen(name), '.') >= asking->config.n_dots;

    asking->has_domain = asking->n_candidates > 1 && index != (is_first ? 0 : asking->n_candidates - 1);
    if (!asking->has_domain) {
        loop_names_copy(asking->name, sizeof asking->name, name);
        if (is_absolute(asking->name)) {
            asking->name[strlen(asking->name) - 1] = '\0';
        }
        return true;
    }
    for (unsigned i = index - is_first; i > 0; i--) {
        domain += strlen(domain) + 1;
    }
    if (strcmp(domain, ".") == 0) {
        domain = "";
    }
    int len = snprintf(asking->name, sizeof asking->name, "%s%s%s", name, *domain ? "." : "", domain);
    return len > 0 && (size_t)len < sizeof asking->name;
}

/* ---- answers ---- */

static void keep(const struct question *question, struct loop_names_message message, uint32_t ttl_s)
{
    struct loop_names_asking *asking = question->asking;
    struct loop_names_ask *ask = asking->ask;
    int64_t expires_ns = loop_now(asking->loop) + ttl_s * LOOP_SECOND;

    if (question->result > 0 && expires_ns < ask->records->expires_ns) {
        ask->records->expires_ns = expires_ns;
    }
    if (ttl_s > 0) {
        loop_names_cache_put(&ask->resolver->cache, asking->name, question->type, message, expires_ns);
    }
}

static void take_message(struct question *question, struct loop_names_message message)
{
    struct loop_names_asking *asking = question->asking;
    uint32_t ttl_s;

    question->result = loop_names_answer_read(message, asking->name, question->type, asking->ask->records, &ttl_s);
    question->state = question->result >= 0 || question->result == -ENOENT ? ANSWERED : FAILED;
    if (question->state == ANSWERED) {
        keep(question, message, ttl_s);
    }
}

static int error_of(const struct loop_names_asking *asking, int status)
{
    switch (status) {
    case ARES_ENOMEM: return -ENOMEM;
    case ARES_ETIMEOUT: return -ETIMEDOUT;
    case ARES_EBADNAME:
    case ARES_EBADQUERY: return -EINVAL;
    case ARES_ECONNREFUSED: return asking->sockets.error ? asking->sockets.error : -ECONNREFUSED;
    default: return -EAGAIN;
    }
}

/* Called by c-ares, inside any of its functions. */
static void on_reply(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct question *question = arg;
    struct loop_names_asking *asking = question->asking;

    (void)timeouts;
    if (asking->is_cancelling || status == ARES_ECANCELLED || status == ARES_EDESTRUCTION) {
        return;
    }
    assert(question->state == PENDING && asking->ask);
    if (bytes && len > 0 && (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND)) {
        take_message(question, (struct loop_names_message){bytes, (size_t)len});
    } else if (status == ARES_EBADNAME && asking->has_domain) { /* the host may be good without it */
        question->state = ANSWERED;
        question->result = -ENOENT;
    } else {
        question->state = FAILED;
        question->result = error_of(asking, status);
    }
}

/* ---- sending ---- */

/* Ends what c-ares has begun, without its replies. */
static void cancel_replies(struct loop_names_asking *asking)
{
    asking->is_cancelling = true;
    if (asking->channel) {
        ares_cancel(asking->channel->channel);
    }
    asking->is_cancelling = false;
}

/* Sets the server that is asked next, also where it is the last one: c-ares forgets the times of its answers first, of
 * which newer versions make timeouts as short as 250 ms. */
static int set_server(struct loop_names_asking *asking)
{
    const struct loop_address *server = &asking->config.servers[asking->server];
    int port = ntohs(server->u.ipv4.sin_port);
    struct ares_addr_port_node node = {.family = server->u.any.sa_family, .udp_port = port, .tcp_port = port};
    size_t len;
    const unsigned char *bytes = loop_names_bytes(server, &len);

    memcpy(&node.addr, bytes, len);
    asking->sockets.server = server;
    int status = loop_names_channel_forget_server(asking->channel);
    return status != ARES_SUCCESS ? status : ares_set_servers_ports(asking->channel->channel, &node);
}

/* What has not been answered has failed. */
static void fail_pending(struct loop_names_asking *asking, int error)
{
    for (unsigned i = 0; i < asking->n_questions; i++) {
        if (asking->questions[i].state == PENDING) {
            asking->questions[i].state = FAILED;
            asking->questions[i].result = error;
        }
    }
}

static void on_timeout(void *arg, int64_t result)
{
    struct loop_names_asking *asking = arg;

    if (result < 0 || !asking->ask || loop_now(asking->loop) < asking->timeout_at_ns) {
        return; /* it was cancelled, though maybe too late */
    }
    cancel_replies(asking);
    fail_pending(asking, -ETIMEDOUT);
    go_on(asking);
}

static void set_timer(struct loop_names_asking *asking)
{
    loop_cancel(asking->loop, asking->timer);
    asking->timeout_at_ns = loop_names_from_now(asking->loop, asking->config.timeout_ns);
    asking->timer = loop_sleep_until(asking->ask->scope, asking->timeout_at_ns, on_timeout, asking);
    asking->sockets.error = asking->timer ? 0 : -ENOMEM;
}

/* Asks a server the questions that are pending. */
static void send_questions(struct loop_names_asking *asking)
{
    cancel_replies(asking);
    set_timer(asking);
    int status = set_server(asking);
    for (unsigned i = 0; i < asking->n_questions; i++) {
        struct question *question = &asking->questions[i];
        if (question->state != PENDING) {
            continue;
        }
        if (status == ARES_SUCCESS && asking->timer) {
            ares_query(asking->channel->channel, asking->name, CLASS_IN, question->type, on_reply, question);
        } else {
            question->state = FAILED;
            question->result = -ENOMEM;
        }
    }
}

static void on_ready(void *arg, ares_socket_t to_read, ares_socket_t to_write)
{
    struct loop_names_asking *asking = arg;

    assert(asking->ask && asking->channel);
    ares_process_fd(asking->channel->channel, to_read, to_write);
    go_on(asking);
}

/* ---- making the channel ---- */

struct opening {
    struct loop_names_asking *asking;
    struct loop_names_channel *channel;
    int status;
};

static int64_t open_channel(void *arg)
{
    struct opening *opening = arg;

    opening->status = loop_names_channel_create(&opening->channel);
    return 0;
}

static void release_opening(void *arg)
{
    struct opening *opening = arg;

    loop_names_channels_destroy(opening->channel);
    loop_kernel_free(opening);
}

static void on_opened(void *arg, int64_t result)
{
    struct opening *opening = arg;
    struct loop_names_asking *asking = opening->asking;

    asking->is_opening = false;
    if (result < 0 || !asking->ask) {
        return; /* cancelled: the holder of the scope knows */
    }
    if (opening->status != ARES_SUCCESS) {
        fail_pending(asking, opening->status == ARES_EFILE ? -EMFILE : -ENOMEM);
    } else {
        asking->channel = opening->channel;
        opening->channel = NULL;
        loop_names_channel_use(asking->channel, &asking->sockets);
        send_questions(asking);
    }
    go_on(asking);
}

static int start_opening(struct loop_names_asking *asking)
{
    const struct loop_work_options options = {.release = release_opening};
    struct opening *opening = loop_kernel_calloc(1, sizeof *opening);

    if (!opening) {
        return -ENOMEM;
    }
    opening->asking = asking;
    if (!loop_work_with(asking->ask->scope, &options, open_channel, opening, on_opened, opening)) {
        loop_kernel_free(opening);
        return -ENOMEM;
    }
    asking->is_opening = true;
    return 0;
}

/* ---- the steps ---- */

static void end(struct loop_names_asking *asking, int outcome)
{
    struct loop_names_ask *ask = asking->ask;

    ask->is_over = true;
    ask->outcome = outcome;
}

/* Says which servers are asked. */
static void name_servers(struct loop_names_asking *asking)
{
    char text[LOOP_NAMES_ADDRESS_TEXT];
    struct loop_names_ask *ask = asking->ask;
    size_t len = 0;

    for (unsigned i = 0; i < asking->config.n_servers && len < sizeof ask->asked; i++) {
        len += (size_t)snprintf(ask->asked + len, sizeof ask->asked - len, "%s%s", i ? ", " : "",
                                loop_names_address_text(&asking->config.servers[i], text));
    }
}

/* Asks for the next candidate, as far as the cache has no answer. */
static void next_candidate(struct loop_names_asking *asking)
{
    struct loop_names_resolver *resolver = asking->ask->resolver;
    struct loop_names_message message;
    int64_t expires_ns;
    bool is_pending = false, is_good = make_candidate(asking, asking->candidate++);

    asking->tries = 0;
    for (unsigned i = 0; i < asking->n_questions; i++) {
        struct question *question = &asking->questions[i];
        question->state = is_good ? PENDING : ANSWERED;
        question->result = -ENOENT;
        if (is_good && loop_names_cache_get(&resolver->cache, asking->name, question->type, loop_now(asking->loop),
                                            &message, &expires_ns)) {
            uint32_t ttl_s;
            question->result =
                loop_names_answer_read(message, asking->name, question->type, asking->ask->records, &ttl_s);
            question->state = question->result >= 0 || question->result == -ENOENT ? ANSWERED : FAILED;
            if (question->result > 0 && expires_ns < asking->ask->records->expires_ns) {
                asking->ask->records->expires_ns = expires_ns;
            }
        }
        is_pending |= question->state == PENDING;
    }
    if (is_pending && !asking->channel && !asking->is_opening) {
        asking->channel = loop_names_channel_take(resolver, &asking->sockets);
    }
    if (is_pending && asking->channel) {
        send_questions(asking);
    } else if (is_pending && !asking->is_opening && start_opening(asking) < 0) {
        end(asking, -ENOMEM);
    }
}

/* Asks the next server what the last one has failed to answer. Returns false when all have been asked often enough. */
static bool next_server(struct loop_names_asking *asking)
{
    const struct loop_names_config *config = &asking->config;

    if (++asking->tries >= config->n_servers * config->attempts) {
        return false;
    }
    asking->server = (asking->server + 1) % config->n_servers;
    for (unsigned i = 0; i < asking->n_questions; i++) {
        if (asking->questions[i].state == FAILED) {
            asking->questions[i].state = PENDING;
        }
    }
    send_questions(asking);
    return true;
}

/* Returns whether no other server can help. */
static bool is_fatal(int error)
{
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EINVAL;
}

/* All questions of a candidate are settled. Where one has records, that is the answer, also when another failed. */
static void end_candidate(struct loop_names_asking *asking, int failure)
{
    bool is_found = false;

    for (unsigned i = 0; i < asking->n_questions; i++) {
        const struct question *question = &asking->questions[i];
        is_found |= question->state == ANSWERED && question->result > 0;
        asking->has_no_data |= question->state == ANSWERED && question->result == 0;
    }
    if (is_found) {
        end(asking, 0);
    } else if (is_fatal(failure) || (failure < 0 && failure != -EAGAIN)) {
        end(asking, failure);
    } else {
        asking->failure = failure ? failure : asking->failure;
        if (asking->candidate < asking->n_candidates) {
            next_candidate(asking);
        } else {
            end(asking, asking->failure ? asking->failure : asking->has_no_data ? -ENODATA : -ENOENT);
        }
    }
}

/* Does what is due. Returns whether something was. */
static bool step(struct loop_names_asking *asking)
{
    int failure = 0;

    if (asking->sockets.error == -ENOMEM) {
        end(asking, -ENOMEM);
        return false;
    }
    for (unsigned i = 0; i < asking->n_questions; i++) {
        const struct question *question = &asking->questions[i];
        if (question->state == PENDING) {
            return false;
        }
        if (question->state == FAILED && !is_fatal(failure)) {
            failure = question->result;
        }
    }
    if (failure == 0 || is_fatal(failure) || !next_server(asking)) {
        end_candidate(asking, failure);
    }
    return !asking->ask->is_over;
}

static void go_on(struct loop_names_asking *asking)
{
    struct loop_names_ask *ask = asking->ask;

    if (ask->is_over) {
        return;
    }
    bool goes_on;
    do {
        goes_on = step(asking);
    } while (goes_on);
    unsigned pending = 0;
    for (unsigned i = 0; i < asking->n_questions; i++) {
        pending |= asking->questions[i].state == PENDING ? asking->questions[i].bit : 0;
    }
    if (ask->is_over || pending != ask->pending) {
        ask->pending = ask->is_over ? 0 : pending;
        ask->on_change(ask->arg);
    }
}

/* ---- starting and stopping ---- */

static void begin(void *arg, int64_t result)
{
    struct loop_names_asking *asking = arg;

    if (result == 0 && asking->ask) {
        next_candidate(asking);
        go_on(asking);
    }
}

static void add_question(struct loop_names_asking *asking, unsigned bit, int type)
{
    if (asking->ask->wanted & bit) {
        asking->questions[asking->n_questions++] = (struct question){.asking = asking, .bit = bit, .type = type};
    }
}

int loop_names_ask_start(struct loop_names_ask *ask)
{
    struct loop_names_asking *asking = loop_scope_alloc(ask->scope, sizeof *asking);

    if (!asking) {
        return -ENOMEM;
    }
    asking->ask = ask;
    asking->loop = loop_scope_loop(ask->scope);
    asking->config = ask->resolver->config;
    asking->sockets = (struct loop_names_sockets){.scope = ask->scope, .on_ready = on_ready, .arg = asking};
    asking->n_candidates = count_candidates(asking, ask);
    asking->server = asking->config.rotates ? ask->resolver->turn++ % asking->config.n_servers : 0;
    add_question(asking, LOOP_NAMES_AAAA, LOOP_NAMES_TYPE_AAAA); /* it should be there first: RFC 8305 */
    add_question(asking, LOOP_NAMES_A, LOOP_NAMES_TYPE_A);
    add_question(asking, LOOP_NAMES_PTR, LOOP_NAMES_TYPE_PTR);
    assert(asking->n_questions > 0);
    ask->pending = ask->wanted;
    ask->is_over = false;
    name_servers(asking);
    if (!loop_sleep(ask->scope, 0, begin, asking)) {
        return -ENOMEM;
    }
    ask->asking = asking;
    return 0;
}

void loop_names_ask_stop(struct loop_names_ask *ask)
{
    struct loop_names_asking *asking = ask->asking;

    if (!asking) {
        return;
    }
    ask->asking = NULL;
    asking->ask = NULL;
    asking->sockets.is_stopped = true;
    loop_cancel(asking->loop, asking->timer);
    if (asking->channel) {
        asking->is_cancelling = true;
        loop_names_channel_give(ask->resolver, asking->channel);
        asking->channel = NULL;
    }
}
