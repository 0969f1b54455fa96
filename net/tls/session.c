/* SPDX-License-Identifier: ISC
 *
 * The sessions of a client, newest first. There are few: a list is enough. A server keeps none: its tickets say when
 * they were issued.
 */
#include <loop/kernel/memory.h>
#include <loop/kernel/time.h>
#include <net/tls/session.h>

#include <string.h>

enum { MOST_SESSIONS = 64 };

struct loop_tls_session {
    struct loop_tls_session *next;
    SSL_SESSION *session;
    int64_t begin_s; /* when it was stored */
    char host[];
};

static int64_t now_s(void)
{
    struct timespec now;

    loop_kernel_clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static bool has_expired(const SSL_SESSION *session, int64_t begin_s)
{
    return now_s() - begin_s >= (int64_t)SSL_SESSION_get_timeout(session);
}

/* ---- those of a client ---- */

static void drop(struct loop_tls_sessions *sessions, struct loop_tls_session **at)
{
    struct loop_tls_session *entry = *at;

    *at = entry->next;
    sessions->n--;
    SSL_SESSION_free(entry->session);
    loop_kernel_free(entry);
}

static void drop_oldest(struct loop_tls_sessions *sessions)
{
    struct loop_tls_session **at = &sessions->newest;

    while ((*at)->next) {
        at = &(*at)->next;
    }
    drop(sessions, at);
}

bool loop_tls_sessions_put(struct loop_tls_sessions *sessions, const char *host, SSL_SESSION *session)
{
    size_t size = strlen(host) + 1;
    struct loop_tls_session *entry = loop_kernel_malloc(sizeof *entry + size);

    if (!entry) {
        return false;
    }
    memcpy(entry->host, host, size);
    entry->session = session;
    entry->begin_s = now_s();
    entry->next = sessions->newest;
    sessions->newest = entry;
    if (++sessions->n > MOST_SESSIONS) {
        drop_oldest(sessions);
    }
    return true;
}

SSL_SESSION *loop_tls_sessions_take(struct loop_tls_sessions *sessions, const char *host)
{
    struct loop_tls_session **at = &sessions->newest;

    while (*at) {
        if (has_expired((*at)->session, (*at)->begin_s)) {
            drop(sessions, at);
        } else if (strcmp((*at)->host, host) == 0) {
            break;
        } else {
            at = &(*at)->next;
        }
    }
    if (!*at) {
        return NULL;
    }
    SSL_SESSION *session = (*at)->session;
    SSL_SESSION_up_ref(session);
    if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) {
        drop(sessions, at);
    }
    return session;
}

void loop_tls_sessions_finish(struct loop_tls_sessions *sessions)
{
    while (sessions->newest) {
        drop(sessions, &sessions->newest);
    }
}

/* ---- the tickets of a server ---- */

static int on_issue(SSL *ssl, void *unused)
{
    int64_t begin_s = now_s();

    (void)unused;
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &begin_s, sizeof begin_s);
}

static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                                   SSL_TICKET_STATUS status, void *unused)
{
    void *data = NULL;
    size_t len = 0;
    int64_t begin_s;

    (void)ssl;
    (void)name;
    (void)name_len;
    (void)unused;
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        !SSL_SESSION_get0_ticket_appdata(session, &data, &len) || len != sizeof begin_s) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    memcpy(&begin_s, data, sizeof begin_s);
    if (has_expired(session, begin_s)) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

void loop_tls_tickets_expire(SSL_CTX *context)
{
    (void)SSL_CTX_set_session_ticket_cb(context, on_issue, on_ticket, NULL);
}
