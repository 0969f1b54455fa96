/* SPDX-License-Identifier: ISC
 *
 * What a program may know of a connection.
 */
#include <loop/part.h>
#include <net/tls/flow.h>

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

/* Returns the open connection of a flow, or NULL; stores -EINVAL or -EBADF then. */
static struct loop_tls_connection *open_one(const struct loop_flow *flow, const char *function, int *error)
{
    struct loop_tls_connection *connection = loop_check_flow(flow, function) ? loop_tls_flow_connection(flow) : NULL;

    *error = !connection ? -EINVAL : -EBADF;
    return connection && !connection->is_closed ? connection : NULL;
}

struct loop_flow *loop_tls_under(struct loop_flow *flow)
{
    struct loop_tls_connection *connection = loop_check_flow(flow, __func__) ? loop_tls_flow_connection(flow) : NULL;

    return connection ? connection->under : NULL;
}

const char *loop_tls_why(const struct loop_flow *flow)
{
    const struct loop_tls_connection *connection =
        loop_check_flow(flow, __func__) ? loop_tls_flow_connection(flow) : NULL;

    return connection && connection->note.text ? connection->note.text : "";
}

int loop_tls_get_info(const struct loop_flow *flow, struct loop_tls_info *info)
{
    const unsigned char *protocol;
    unsigned protocol_len;
    int error;

    if (!loop_check_pointer(info, "info", __func__)) {
        return -EINVAL;
    }
    *info = (struct loop_tls_info){0};
    const struct loop_tls_connection *connection = open_one(flow, __func__, &error);
    if (!connection) {
        return error;
    }
    info->version = SSL_get_version(connection->ssl);
    info->cipher = SSL_get_cipher_name(connection->ssl);
    info->server_name = SSL_get_servername(connection->ssl, TLSEXT_NAMETYPE_host_name);
    SSL_get0_alpn_selected(connection->ssl, &protocol, &protocol_len);
    if (protocol_len > 0 && protocol_len < sizeof info->protocol) {
        memcpy(info->protocol, protocol, protocol_len);
    }
    info->is_resumed = SSL_session_reused(connection->ssl);
    info->is_verified = SSL_get_verify_mode(connection->ssl) != SSL_VERIFY_NONE &&
                        SSL_get0_peer_certificate(connection->ssl) &&
                        SSL_get_verify_result(connection->ssl) == X509_V_OK;
    return 0;
}

int64_t loop_tls_peer_certificate(const struct loop_flow *flow, void *buf, size_t size_bytes)
{
    int error;
    const struct loop_tls_connection *connection = open_one(flow, __func__, &error);
    X509 *certificate = connection ? SSL_get0_peer_certificate(connection->ssl) : NULL;

    if (!certificate) {
        return connection ? -ENOENT : error;
    }
    ERR_clear_error();
    int len = i2d_X509(certificate, NULL);
    if (len < 0) {
        return -ENOMEM;
    }
    if ((size_t)len > size_bytes) {
        return -ENOSPC;
    }
    unsigned char *at = buf;
    return i2d_X509(certificate, &at);
}

int loop_tls_peer_subject(const struct loop_flow *flow, char *text, size_t size_bytes)
{
    int error;
    const struct loop_tls_connection *connection = open_one(flow, __func__, &error);
    X509 *certificate = connection ? SSL_get0_peer_certificate(connection->ssl) : NULL;

    if (!certificate) {
        return connection ? -ENOENT : error;
    }
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
                                   XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) < 0) {
        BIO_free(bio);
        return -ENOMEM;
    }
    long len = BIO_get_mem_data(bio, &data);
    if ((size_t)len < size_bytes) {
        memcpy(text, data, (size_t)len);
        text[len] = '\0';
    }
    BIO_free(bio);
    return (size_t)len < size_bytes ? (int)len : -ENOSPC;
}

struct ssl_st *loop_tls_ssl(const struct loop_flow *flow)
{
    int error;
    const struct loop_tls_connection *connection = open_one(flow, __func__, &error);

    return connection ? connection->ssl : NULL;
}
