/* SPDX-License-Identifier: ISC
 *
 * Reading files, and parsing what is in the PEM format.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/path.h>
#include <net/tls/error.h>
#include <net/tls/pem.h>

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define MOST_BYTES ((size_t)16 << 20)

/* The bytes of a file or of the program's memory, and what is said about them. */
struct text {
    const struct loop_tls_pem *from;
    const char *what;
    void *file; /* the contents of the file; or NULL */
    BIO *bio;
};

static const char *place_of(const struct text *text)
{
    return text->from->path ? text->from->path : "in memory";
}

/* ---- files ---- */

/* Reads until the end of a file into `room` bytes. Returns how many; -EFBIG when there are more; -errno. */
static int64_t read_all(int number, char *data, size_t room)
{
    size_t len = 0;

    for (;;) {
        ssize_t n = loop_kernel_read(number, data + len, room - len);
        if (n == 0) {
            return (int64_t)len;
        }
        if (n < 0 && (errno != EINTR || loop_work_is_cancelled())) {
            return -errno;
        }
        len += n > 0 ? (size_t)n : 0;
        if (len == room) {
            return -EFBIG; /* it has grown, or is no regular file */
        }
    }
}

static int64_t read_open_file(int number, void **data)
{
    struct stat status;

    if (loop_kernel_fstat(number, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    }
    if ((uint64_t)status.st_size > MOST_BYTES) {
        return -EFBIG;
    }
    size_t room = (size_t)status.st_size + 1;
    *data = loop_kernel_malloc(room);
    return *data ? read_all(number, *data, room) : -ENOMEM;
}

/* Reads a file. Stores its contents in `*data`, which the caller frees, also after an error. Returns the length or
 * -errno. */
static int64_t read_file(const char *path, void **data)
{
    int number = loop_kernel_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);

    if (number < 0) {
        return -errno;
    }
    int64_t len = read_open_file(number, data);
    (void)loop_kernel_close(number);
    return len;
}

/* ---- texts ---- */

/* Opens a text to be parsed. The caller finishes it, also after an error. Returns 0 or -errno. */
static int text_init(struct text *text, const struct loop_tls_pem *from, const char *what, struct loop_tls_error *error)
{
    int64_t len = (int64_t)from->len;

    *text = (struct text){.from = from, .what = what};
    if (from->path) {
        len = read_file(from->path, &text->file);
        if (len < 0) {
            loop_tls_say(error, "%s: cannot read %s: %s", what, from->path,
                         len == -EINVAL ? "it is no regular file" : strerror((int)-len));
            return (int)len;
        }
    } else if (from->len > MOST_BYTES) {
        loop_tls_say(error, "%s in memory: more than 16 MiB", what);
        return -EFBIG;
    }
    text->bio = BIO_new_mem_buf(from->path ? text->file : from->data, (int)len);
    if (!text->bio) {
        loop_tls_say(error, "no memory");
    }
    return text->bio ? 0 : -ENOMEM;
}

static void text_finish(struct text *text)
{
    BIO_free(text->bio);
    loop_kernel_free(text->file);
}

/* Says what OpenSSL has refused. */
static int refuse(const struct text *text, struct loop_tls_error *error, int otherwise)
{
    struct loop_tls_error why;
    int failed = loop_tls_take_error(&why, otherwise);

    loop_tls_say(error, "%s %s: %.200s", text->what, place_of(text), why.text);
    return failed;
}

/* Whether the last PEM_read failed because nothing is left that it knows. Empties the queue of errors then. */
static bool is_at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    bool is_end = (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) ||
                  ERR_GET_REASON(code) == ERR_R_UNSUPPORTED;

    if (is_end) {
        ERR_clear_error();
    }
    return is_end;
}

/* The end of a list of `n` items. */
static int finish_list(const struct text *text, size_t n, const char *missing, struct loop_tls_error *error)
{
    if (!is_at_end()) {
        return refuse(text, error, -EBADMSG);
    }
    if (n == 0) {
        loop_tls_say(error, "%s %s: holds no %s in the PEM format", text->what, place_of(text), missing);
    }
    return n == 0 ? -EBADMSG : 0;
}

/* ---- identities ---- */

/* Refuses to ask for a password: the terminal is not this library's. */
static int no_password(char *buf, int size, int is_writing, void *unused)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)unused;
    return -1;
}

static int parse_chain(const struct text *text, struct loop_tls_identity *identity, struct loop_tls_error *error)
{
    size_t n = 0;
    X509 *certificate;

    ERR_clear_error();
    while ((certificate = PEM_read_bio_X509(text->bio, NULL, no_password, NULL))) {
        if (n++ == 0) {
            identity->certificate = certificate;
            continue;
        }
        if (!identity->chain) {
            identity->chain = sk_X509_new_null();
        }
        if (!identity->chain || !sk_X509_push(identity->chain, certificate)) {
            X509_free(certificate);
            loop_tls_say(error, "no memory");
            return -ENOMEM;
        }
    }
    return finish_list(text, n, "certificate", error);
}

static int parse_key(const struct text *text, struct loop_tls_identity *identity, struct loop_tls_error *error)
{
    ERR_clear_error();
    identity->key = PEM_read_bio_PrivateKey(text->bio, NULL, no_password, NULL);
    if (!identity->key && is_at_end()) {
        loop_tls_say(error, "%s %s: holds no private key in the PEM format", text->what, place_of(text));
        return -EBADMSG;
    }
    if (!identity->key) {
        return refuse(text, error, -EBADMSG);
    }
    if (!X509_check_private_key(identity->certificate, identity->key)) {
        ERR_clear_error();
        loop_tls_say(error, "%s %s: is not the key of the certificate", text->what, place_of(text));
        return -EKEYREJECTED;
    }
    return 0;
}

int loop_tls_pem_identity(const struct loop_tls_certificate *from, struct loop_tls_identity *identity,
                          struct loop_tls_error *error)
{
    bool has_key = from->key.path || from->key.data;
    struct text text;
    int failed = text_init(&text, &from->chain, "certificate", error);

    *identity = (struct loop_tls_identity){0};
    failed = failed == 0 ? parse_chain(&text, identity, error) : failed;
    text_finish(&text);
    if (failed == 0) {
        failed = text_init(&text, has_key ? &from->key : &from->chain, "key", error);
        failed = failed == 0 ? parse_key(&text, identity, error) : failed;
        text_finish(&text);
    }
    return failed;
}

void loop_tls_identity_finish(struct loop_tls_identity *identity)
{
    X509_free(identity->certificate);
    sk_X509_pop_free(identity->chain, X509_free);
    EVP_PKEY_free(identity->key);
    *identity = (struct loop_tls_identity){0};
}

/* ---- stores ---- */

static int parse_authorities(const struct text *text, X509_STORE *store, struct loop_tls_error *error)
{
    size_t n = 0;
    X509 *certificate;

    ERR_clear_error();
    while ((certificate = PEM_read_bio_X509(text->bio, NULL, no_password, NULL))) {
        int added = X509_STORE_add_cert(store, certificate);
        X509_free(certificate);
        if (!added) {
            return refuse(text, error, -EKEYREJECTED);
        }
        n++;
    }
    return finish_list(text, n, "certificate", error);
}

int loop_tls_pem_authorities(const struct loop_tls_pem *from, X509_STORE *store, struct loop_tls_error *error)
{
    struct text text;
    int failed = text_init(&text, from, "authorities", error);

    failed = failed == 0 ? parse_authorities(&text, store, error) : failed;
    text_finish(&text);
    return failed;
}

static int parse_revocations(const struct text *text, X509_STORE *store, struct loop_tls_error *error)
{
    size_t n = 0;
    X509_CRL *list;

    ERR_clear_error();
    while ((list = PEM_read_bio_X509_CRL(text->bio, NULL, no_password, NULL))) {
        int added = X509_STORE_add_crl(store, list);
        X509_CRL_free(list);
        if (!added) {
            return refuse(text, error, -EKEYREJECTED);
        }
        n++;
    }
    return finish_list(text, n, "list of revoked certificates (X509 CRL)", error);
}

int loop_tls_pem_revocations(const struct loop_tls_pem *from, X509_STORE *store, struct loop_tls_error *error)
{
    struct text text;
    int failed = text_init(&text, from, "revocations", error);

    failed = failed == 0 ? parse_revocations(&text, store, error) : failed;
    text_finish(&text);
    return failed;
}

/* OpenSSL's own look-up would read a file for each unknown authority, in the middle of a handshake. So the file that
 * has all of them is read here. */
int loop_tls_pem_system(X509_STORE *store, struct loop_tls_error *error)
{
    const char *const places[] = {
        X509_get_default_cert_file(),
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
        "/etc/ssl/ca-bundle.pem",             /* openSUSE */
        "/etc/ssl/cert.pem",
    };
    int failed = -ENOENT;

    for (size_t i = 0; i < sizeof places / sizeof *places && failed == -ENOENT; i++) {
        failed = loop_tls_pem_authorities(&(struct loop_tls_pem){.path = places[i]}, store, error);
    }
    if (failed == -ENOENT) {
        loop_tls_say(error, "the system has no file of authorities: install ca-certificates, or set `authorities`");
    }
    return failed;
}
