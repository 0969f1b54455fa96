/* SPDX-License-Identifier: ISC
 *
 * Copies of options, with all that they point to.
 */
#include <loop/kernel/memory.h>
#include <net/tls/error.h>
#include <net/tls/settings.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { LONGEST_PROTOCOL = 255, MOST_PROTOCOL_BYTES = 65535 };

static bool is_given(const struct loop_tls_pem *pem)
{
    return pem->path || pem->data;
}

/* ---- checks ---- */

static const char *mistake_in_versions(const struct loop_tls_options *options)
{
    unsigned least = options->least_version, greatest = options->greatest_version;

    if (least > LOOP_TLS_VERSION_1_3 || greatest > LOOP_TLS_VERSION_1_3) {
        return "there is no such version: use enum loop_tls_version";
    }
    return least && greatest && least > greatest ? "least_version is greater than greatest_version" : NULL;
}

static const char *mistake_in_protocols(const struct loop_tls_options *options)
{
    size_t total = 0;

    if (options->n_protocols > 0 && !options->protocols) {
        return "`protocols` is NULL: n_protocols has to be 0";
    }
    for (size_t i = 0; i < options->n_protocols; i++) {
        size_t len = options->protocols[i] ? strlen(options->protocols[i]) : 0;
        if (len == 0 || len > LONGEST_PROTOCOL) {
            return "an application protocol has a name of 1 to 255 bytes";
        }
        total += len + 1;
    }
    return total > MOST_PROTOCOL_BYTES ? "there are too many application protocols" : NULL;
}

static const char *mistake_in_certificates(const struct loop_tls_options *options)
{
    if (options->n_certificates > 0 && !options->certificates) {
        return "`certificates` is NULL: n_certificates has to be 0";
    }
    for (size_t i = 0; i < options->n_certificates; i++) {
        if (!is_given(&options->certificates[i].chain)) {
            return "a certificate has no chain: give a path or data";
        }
    }
    return NULL;
}

static const char *mistake_in(const struct loop_tls_options *options, bool is_server)
{
    bool verifies = options->verify > LOOP_TLS_VERIFY_NONE;
    const char *mistake = mistake_in_versions(options);

    mistake = mistake ? mistake : mistake_in_protocols(options);
    mistake = mistake ? mistake : mistake_in_certificates(options);
    if (mistake) {
        return mistake;
    }
    if ((unsigned)options->verify > LOOP_TLS_VERIFY_REQUIRED) {
        return "there is no such verification: use enum loop_tls_verify";
    }
    if (options->handshake_timeout_ns < 0) {
        return "handshake_timeout_ns is negative";
    }
    if (is_server && options->n_certificates == 0) {
        return "a server needs a certificate: set `certificates`";
    }
    return is_server && verifies && !is_given(&options->authorities)
               ? "to verify clients takes the authorities of their certificates: set `authorities`"
               : NULL;
}

/* ---- copies ---- */

/* Copies a path or bytes. The copy owns its memory also when it fails. Returns 0 or -ENOMEM. */
static int copy_pem(struct loop_tls_pem *copy, const struct loop_tls_pem *pem)
{
    *copy = (struct loop_tls_pem){0};
    if (pem->path) {
        copy->path = loop_kernel_strdup(pem->path);
        return copy->path ? 0 : -ENOMEM;
    }
    if (!pem->data) {
        return 0;
    }
    void *data = loop_kernel_malloc(pem->len ? pem->len : 1);
    if (!data) {
        return -ENOMEM;
    }
    memcpy(data, pem->data, pem->len);
    copy->data = data;
    copy->len = pem->len;
    return 0;
}

static void free_pem(const struct loop_tls_pem *pem)
{
    loop_kernel_free((void *)(uintptr_t)pem->path);
    loop_kernel_free((void *)(uintptr_t)pem->data);
}

static int copy_certificates(struct loop_tls_settings *settings, const struct loop_tls_options *options)
{
    struct loop_tls_certificate *copies = loop_kernel_calloc(options->n_certificates, sizeof *copies);

    settings->options.certificates = copies;
    if (!copies) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < options->n_certificates; i++) {
        settings->options.n_certificates = i + 1;
        if (copy_pem(&copies[i].chain, &options->certificates[i].chain) < 0 ||
            copy_pem(&copies[i].key, &options->certificates[i].key) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int copy_protocols(struct loop_tls_settings *settings, const struct loop_tls_options *options)
{
    size_t total = 0;

    for (size_t i = 0; i < options->n_protocols; i++) {
        total += strlen(options->protocols[i]) + 1;
    }
    assert(total > 0); /* there is one */
    settings->protocols = loop_kernel_malloc(total);
    if (!settings->protocols) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < options->n_protocols; i++) {
        size_t len = strlen(options->protocols[i]);
        settings->protocols[settings->protocols_len] = (unsigned char)len;
        memcpy(settings->protocols + settings->protocols_len + 1, options->protocols[i], len);
        settings->protocols_len += len + 1;
    }
    return 0;
}

static int copy_all(struct loop_tls_settings *settings, const struct loop_tls_options *options)
{
    int error = copy_pem(&settings->options.authorities, &options->authorities);

    if (error == 0) {
        error = copy_pem(&settings->options.revocations, &options->revocations);
    }
    if (error == 0 && options->n_certificates > 0) {
        error = copy_certificates(settings, options);
    }
    if (error == 0 && options->n_protocols > 0) {
        error = copy_protocols(settings, options);
    }
    if (error == 0 && options->key_log_path) {
        settings->options.key_log_path = loop_kernel_strdup(options->key_log_path);
        error = settings->options.key_log_path ? 0 : -ENOMEM;
    }
    return error;
}

int loop_tls_settings_init(struct loop_tls_settings *settings, const struct loop_tls_options *options, bool is_server,
                           struct loop_tls_error *error)
{
    static const struct loop_tls_options defaults;

    options = options ? options : &defaults;
    const char *mistake = mistake_in(options, is_server);
    *settings = (struct loop_tls_settings){.options = *options, .is_server = is_server};
    settings->options.authorities = (struct loop_tls_pem){0};
    settings->options.revocations = (struct loop_tls_pem){0};
    settings->options.certificates = NULL;
    settings->options.n_certificates = 0;
    settings->options.protocols = NULL;
    settings->options.key_log_path = NULL;
    if (mistake) {
        loop_tls_say(error, "%s", mistake);
        return -EINVAL;
    }
    if (options->verify == LOOP_TLS_VERIFY_DEFAULT) {
        settings->options.verify = is_server ? LOOP_TLS_VERIFY_NONE : LOOP_TLS_VERIFY_REQUIRED;
    }
    if (options->handshake_timeout_ns == 0) {
        settings->options.handshake_timeout_ns = 10 * LOOP_SECOND;
    }
    int failed = copy_all(settings, options);
    if (failed < 0) {
        loop_tls_say(error, "no memory");
        loop_tls_settings_finish(settings);
    }
    return failed;
}

void loop_tls_settings_finish(struct loop_tls_settings *settings)
{
    for (size_t i = 0; i < settings->options.n_certificates; i++) {
        free_pem(&settings->options.certificates[i].chain);
        free_pem(&settings->options.certificates[i].key);
    }
    loop_kernel_free((void *)(uintptr_t)settings->options.certificates);
    free_pem(&settings->options.authorities);
    free_pem(&settings->options.revocations);
    loop_kernel_free((void *)(uintptr_t)settings->options.key_log_path);
    loop_kernel_free(settings->protocols);
    *settings = (struct loop_tls_settings){0};
}
