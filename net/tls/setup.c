/* SPDX-License-Identifier: ISC
 *
 * Making OpenSSL's context from options.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>
#include <loop/part.h>
#include <net/tls/choose.h>
#include <net/tls/error.h>
#include <net/tls/setup.h>

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

struct loop_tls_setup *loop_tls_setup_create(struct loop *loop, struct loop_tls_settings *settings)
{
    struct loop_tls_setup *setup = loop_kernel_calloc(1, sizeof *setup);

    if (setup) {
        setup->refs = 1;
        setup->loop = loop;
        setup->key_log = -1;
        setup->settings = *settings;
        *settings = (struct loop_tls_settings){0};
    }
    return setup;
}

void loop_tls_setup_ref(struct loop_tls_setup *setup)
{
    assert(setup->refs > 0);
    setup->refs++;
}

void loop_tls_setup_unref(struct loop_tls_setup *setup)
{
    if (!setup || --setup->refs > 0) {
        return;
    }
    loop_tls_sessions_finish(&setup->sessions);
    SSL_CTX_free(setup->ssl_context);
    BIO_meth_free(setup->method);
    for (size_t i = 0; i < setup->identities.n; i++) {
        loop_tls_identity_finish(&setup->identities.at[i]);
    }
    loop_kernel_free(setup->identities.at);
    if (setup->key_log >= 0) {
        (void)loop_kernel_close(setup->key_log);
    }
    loop_tls_settings_finish(&setup->settings);
    loop_kernel_free(setup);
}

/* ---- callbacks ---- */

/* Appends a line to the file by one write, so that lines of several processes do not mix. */
static void append_key(struct loop_tls_setup *setup, const char *line)
{
    struct iovec parts[] = {{(void *)(uintptr_t)line, strlen(line)}, {(char[]){'\n'}, 1}};
    ssize_t written = loop_kernel_writev(setup->key_log, parts, 2);

    if (written != (ssize_t)parts[0].iov_len + 1 && !setup->has_lost_keys) {
        setup->has_lost_keys = true;
        loop_log(setup->loop, LOOP_LOG_WARNING, "TLS: cannot write to the key log %s: %s",
                 setup->settings.options.key_log_path, strerror(written < 0 ? errno : ENOSPC));
    }
}

static void on_key_log(const SSL *ssl, const char *line)
{
    struct loop_tls_setup *setup = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (setup->key_log >= 0) {
        append_key(setup, line);
    }
    if (setup->settings.options.key_log) {
        setup->settings.options.key_log(setup->settings.options.key_log_arg, line);
    }
}

/* Stores a session that a server has issued a ticket for. Returns 1 when it has taken over the reference. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct loop_tls_setup *setup = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct loop_tls_note *note = SSL_get_app_data(ssl);
    bool can_resume = note && note->host && SSL_SESSION_is_resumable(session);

    return can_resume && loop_tls_sessions_put(&setup->sessions, note->host, session);
}

/* ---- the steps ---- */

static int no_memory(struct loop_tls_error *error)
{
    ERR_clear_error();
    loop_tls_say(error, "no memory");
    return -ENOMEM;
}

/* Says which step OpenSSL has refused. */
static int refused(struct loop_tls_error *error, const char *step)
{
    struct loop_tls_error why;
    int failed = loop_tls_take_error(&why, -EKEYREJECTED);

    loop_tls_say(error, "%s: %.200s", step, why.text);
    return failed;
}

static int load_identities(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    const struct loop_tls_options *options = &setup->settings.options;
    int failed = 0;

    if (options->n_certificates == 0) {
        return 0;
    }
    setup->identities.at = loop_kernel_calloc(options->n_certificates, sizeof *setup->identities.at);
    if (!setup->identities.at) {
        return no_memory(error);
    }
    for (size_t i = 0; i < options->n_certificates && failed == 0; i++) {
        setup->identities.n = i + 1;
        failed = loop_tls_pem_identity(&options->certificates[i], &setup->identities.at[i], error);
        if (failed == 0 && loop_work_is_cancelled()) {
            failed = -ECANCELED;
        }
    }
    return failed;
}

/* Uses an identity in a context of OpenSSL, which refuses keys that are too short. */
static int use(SSL_CTX *context, const struct loop_tls_identity *identity, struct loop_tls_error *error)
{
    return SSL_CTX_use_cert_and_key(context, identity->certificate, identity->key, identity->chain, 1)
               ? 0
               : refused(error, "certificate");
}

/* Presents the first certificate, unless a server chooses another one for the connection. The others are tried in a
 * context that is dropped: one that OpenSSL refuses should not show up in a handshake. */
static int present(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    const struct loop_tls_identities *identities = &setup->identities;
    int failed = identities->n > 0 ? use(setup->ssl_context, &identities->at[0], error) : 0;

    for (size_t i = 1; i < identities->n && failed == 0; i++) {
        SSL_CTX *trial = SSL_CTX_new(TLS_server_method());
        failed = trial ? use(trial, &identities->at[i], error) : no_memory(error);
        SSL_CTX_free(trial);
    }
    if (failed == 0 && setup->settings.is_server) {
        SSL_CTX_set_cert_cb(setup->ssl_context, loop_tls_choose_certificate, &setup->identities);
    }
    return failed;
}

/* Fills the store of authorities and lists. */
static int trust(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    const struct loop_tls_options *options = &setup->settings.options;
    X509_STORE *store = SSL_CTX_get_cert_store(setup->ssl_context);
    bool is_given = options->authorities.path || options->authorities.data;
    int failed =
        is_given ? loop_tls_pem_authorities(&options->authorities, store, error) : loop_tls_pem_system(store, error);

    if (failed == 0 && (options->revocations.path || options->revocations.data)) {
        failed = loop_tls_pem_revocations(&options->revocations, store, error);
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    return failed;
}

/* Tells clients whose certificates a server accepts: the authorities that it trusts. */
static int name_authorities(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(setup->ssl_context));

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (certificate && !SSL_CTX_add_client_CA(setup->ssl_context, certificate)) {
            return no_memory(error);
        }
    }
    return 0;
}

static int verify(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    enum loop_tls_verify wanted = setup->settings.options.verify;
    int mode = SSL_VERIFY_PEER | (wanted == LOOP_TLS_VERIFY_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

    if (wanted == LOOP_TLS_VERIFY_NONE) {
        SSL_CTX_set_verify(setup->ssl_context, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    SSL_CTX_set_verify(setup->ssl_context, mode, loop_tls_on_verified);
    int failed = trust(setup, error);
    return failed == 0 && setup->settings.is_server ? name_authorities(setup, error) : failed;
}

static int version_of(enum loop_tls_version version, int otherwise)
{
    return version == LOOP_TLS_VERSION_1_3   ? TLS1_3_VERSION
           : version == LOOP_TLS_VERSION_1_2 ? TLS1_2_VERSION
                                             : otherwise;
}

static void resume_sessions(struct loop_tls_setup *setup)
{
    static const unsigned char name[] = "noria";

    (void)SSL_CTX_set_session_id_context(setup->ssl_context, name, sizeof name - 1);
    if (setup->settings.options.no_resumption) {
        SSL_CTX_set_options(setup->ssl_context, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(setup->ssl_context, 0);
        SSL_CTX_set_session_cache_mode(setup->ssl_context, SSL_SESS_CACHE_OFF);
    } else if (setup->settings.is_server) {
        SSL_CTX_set_session_cache_mode(setup->ssl_context, SSL_SESS_CACHE_OFF); /* tickets are enough */
        loop_tls_tickets_expire(setup->ssl_context);
    } else {
        SSL_CTX_set_session_cache_mode(setup->ssl_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(setup->ssl_context, on_session);
    }
}

/* Has the secrets of connections logged, where that is asked for. */
static int open_key_log(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    const struct loop_tls_options *options = &setup->settings.options;

    if (options->key_log_path) {
        setup->key_log =
            loop_kernel_open(options->key_log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                             S_IRUSR | S_IWUSR);
    }
    if (options->key_log_path && setup->key_log < 0) {
        int failed = -errno;
        loop_tls_say(error, "key log: cannot open %s: %s", options->key_log_path, strerror(-failed));
        return failed;
    }
    if (options->key_log || options->key_log_path) {
        SSL_CTX_set_keylog_callback(setup->ssl_context, on_key_log);
    }
    return 0;
}

/* Acknowledges the name that a client has asked for, so that OpenSSL keeps it with the session: connections that resume
 * one of TLS 1.2 know it too. The certificate is chosen by another callback. */
static int on_name(SSL *ssl, int *alert, void *unused)
{
    (void)ssl;
    (void)alert;
    (void)unused;
    return SSL_TLSEXT_ERR_OK;
}

static int configure(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    const struct loop_tls_settings *settings = &setup->settings;
    SSL_CTX *context = setup->ssl_context;

    if (!SSL_CTX_set_app_data(context, setup)) {
        return no_memory(error);
    }
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (!SSL_CTX_set_min_proto_version(context, version_of(settings->options.least_version, TLS1_2_VERSION)) ||
        !SSL_CTX_set_max_proto_version(context, version_of(settings->options.greatest_version, TLS1_3_VERSION))) {
        return refused(error, "versions");
    }
    if (settings->protocols_len > 0 && settings->is_server) {
        SSL_CTX_set_alpn_select_cb(context, loop_tls_choose_protocol, &setup->settings);
    } else if (settings->protocols_len > 0 &&
               SSL_CTX_set_alpn_protos(context, settings->protocols, (unsigned)settings->protocols_len) != 0) {
        return no_memory(error);
    }
    if (settings->is_server) {
        SSL_CTX_set_tlsext_servername_callback(context, on_name);
    }
    resume_sessions(setup);
    return 0;
}

int loop_tls_setup_load(struct loop_tls_setup *setup, struct loop_tls_error *error)
{
    ERR_clear_error();
    int failed = load_identities(setup, error);
    if (failed < 0) {
        return failed;
    }
    setup->ssl_context = SSL_CTX_new(setup->settings.is_server ? TLS_server_method() : TLS_client_method());
    if (!setup->ssl_context) {
        return refused(error, "OpenSSL");
    }
    failed = configure(setup, error);
    failed = failed == 0 ? present(setup, error) : failed;
    failed = failed == 0 ? verify(setup, error) : failed;
    failed = failed == 0 ? open_key_log(setup, error) : failed;
    ERR_clear_error();
    return failed;
}
