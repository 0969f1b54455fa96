/* SPDX-License-Identifier: ISC
 *
 * Opening contexts: files and memory, and what is said about bad ones.
 */
#include "tls.h"

#include <stdio.h>
#include <sys/stat.h>

static struct loop_tls_context *context;
static struct loop_tls_error error;
static char path[200], key_path[200];

/* ---- bad options ---- */

static char junk[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", empty[] = "nothing here\n";
static struct issued other;
static struct loop_tls_certificate certificate;
static const char *protocols[] = {"h2", ""};

static void set_key_of_another(struct loop_tls_options *options)
{
    other = issue(&(struct issue){.name = "Other"});
    certificate = (struct loop_tls_certificate){.chain = pem(tls.server.chain), .key = pem(other.key)};
    options->certificates = &certificate;
}

static void set_no_certificate(struct loop_tls_options *options)
{
    options->n_certificates = 0;
}

static void set_no_chain(struct loop_tls_options *options)
{
    certificate = (struct loop_tls_certificate){.key = pem(tls.server.key)};
    options->certificates = &certificate;
}

static void set_no_key(struct loop_tls_options *options)
{
    certificate = (struct loop_tls_certificate){.chain = pem(tls.server.chain)};
    options->certificates = &certificate;
}

static void set_no_authorities(struct loop_tls_options *options)
{
    options->verify = LOOP_TLS_VERIFY_REQUIRED;
}

static void set_empty_authorities(struct loop_tls_options *options)
{
    options->verify = LOOP_TLS_VERIFY_REQUIRED;
    options->authorities = pem(empty);
}

static void set_junk(struct loop_tls_options *options)
{
    certificate = (struct loop_tls_certificate){.chain = pem(junk), .key = pem(tls.server.key)};
    options->certificates = &certificate;
}

static void set_missing_file(struct loop_tls_options *options)
{
    certificate = (struct loop_tls_certificate){.chain = {.path = "/no/such/file.pem"}};
    options->certificates = &certificate;
}

static void set_directory(struct loop_tls_options *options)
{
    certificate = (struct loop_tls_certificate){.chain = {.path = "/tmp"}};
    options->certificates = &certificate;
}

/* Devices and pipes, which may block, are not read. */
static void set_device(struct loop_tls_options *options)
{
    certificate = (struct loop_tls_certificate){.chain = {.path = "/dev/null"}};
    options->certificates = &certificate;
}

static void set_bad_protocol(struct loop_tls_options *options)
{
    options->protocols = protocols;
    options->n_protocols = 2;
}

static void set_versions(struct loop_tls_options *options)
{
    options->least_version = LOOP_TLS_VERSION_1_3;
    options->greatest_version = LOOP_TLS_VERSION_1_2;
}

static void set_bad_list(struct loop_tls_options *options)
{
    options->verify = LOOP_TLS_VERIFY_OPTIONAL;
    options->authorities = pem(tls.authority.chain);
    options->revocations = pem(tls.authority.chain);
}

static void set_negative_timeout(struct loop_tls_options *options)
{
    options->handshake_timeout_ns = -1;
}

static const struct {
    void (*set)(struct loop_tls_options *options);
    int result;
    const char *text;
} mistakes[] = {
    {set_key_of_another, -EKEYREJECTED, "key in memory: is not the key of the certificate"},
    {set_no_certificate, -EINVAL, "set `certificates`"},
    {set_no_chain, -EINVAL, "has no chain"},
    {set_no_key, -EBADMSG, "key in memory: holds no private key"},
    {set_no_authorities, -EINVAL, "set `authorities`"},
    {set_empty_authorities, -EBADMSG, "authorities in memory: holds no certificate"},
    {set_junk, -EBADMSG, "certificate in memory: "},
    {set_missing_file, -ENOENT, "certificate: cannot read /no/such/file.pem: No such file"},
    {set_directory, -EISDIR, "/tmp"},
    {set_device, -EINVAL, "certificate: cannot read /dev/null: it is no regular file"},
    {set_bad_protocol, -EINVAL, "1 to 255 bytes"},
    {set_versions, -EINVAL, "least_version is greater"},
    {set_bad_list, -EBADMSG, "holds no list of revoked certificates"},
    {set_negative_timeout, -EINVAL, "handshake_timeout_ns"},
};

LOOP_TEST_ROWS(p31_contexts_name_what_is_wrong, COUNT_OF(mistakes))
{
    BEGIN;
    tls_prepare();
    context = (void *)&context;
    mistakes[script.row].set(&tls.options[TLS_SERVER]);
    AWAIT(loop_tls_open_server(env->scope, &tls.options[TLS_SERVER], &context, &error, GO));
    CHECK_HAS(error.text, mistakes[script.row].text);
    CHECK_IS(result, mistakes[script.row].result);
    CHECK(!context);
    AWAIT(loop_tls_open_server(env->scope, &tls.options[TLS_SERVER], &context, NULL, GO));
    CHECK_IS(result, mistakes[script.row].result);
    END;
}

/* ---- files ---- */

static void write_file(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_IS(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

LOOP_TEST(p28_contexts_from_files)
{
    static const char *directory;
    static struct tls_pair pair;

    BEGIN;
    tls_prepare();
    directory = make_directory();
    snprintf(path, sizeof path, "%s/chain.pem", directory);
    snprintf(key_path, sizeof key_path, "%s/key.pem", directory);
    write_file(path, tls.server.chain);
    write_file(key_path, tls.server.key);
    tls.certificate = (struct loop_tls_certificate){.chain = {.path = path}, .key = {.path = key_path}};
    TLS_OPEN(env->scope);
    CHECK_IS(unlink(path), 0);
    TLS_CONNECTED(env->scope, &pair);
    /* A reload reads the file that is there now. */
    AWAIT(loop_tls_reload(tls.contexts[TLS_SERVER], &tls.options[TLS_SERVER], &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_HAS(error.text, path);
    TLS_CONNECTED(env->scope, &pair);
    remove_directory(directory);
    END;
}

/* The file of the key log: a new one is its owner's, an old one is appended to. */
LOOP_TEST(tls_key_log_is_appended_to_a_file)
{
    static const char *directory;
    static struct tls_pair pair;
    static struct stat status;
    static char text[8192];
    static int fd;

    BEGIN;
    tls_prepare();
    directory = make_directory();
    snprintf(path, sizeof path, "%s/new", directory);
    snprintf(key_path, sizeof key_path, "%s/old", directory);
    write_file(key_path, "an old line\n");
    tls.options[TLS_CLIENT].key_log_path = path;
    tls.options[TLS_SERVER].key_log_path = key_path;
    umask(0);
    TLS_OPEN(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    CHECK_IS(stat(path, &status), 0);
    CHECK_IS(status.st_mode & 0777, 0600);
    CHECK(status.st_size > 0);
    fd = open(key_path, O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    CHECK(strncmp(text, "an old line\n", 12) == 0);
    CHECK_HAS(text, "\nSERVER_TRAFFIC_SECRET_0 ");
    CHECK(text[strlen(text) - 1] == '\n');
    remove_directory(directory);
    END;
}

/* Errors of the key log: of its opening, and of writes, which are logged once. */
LOOP_TEST(tls_key_log_reports_errors)
{
    static const char line[] = "TLS: cannot write to the key log /dev/full: No space left on device\n";
    static struct tls_pair pair;

    BEGIN;
    tls_prepare();
    tls.options[TLS_CLIENT].key_log_path = "/no/such/directory/keys";
    AWAIT(loop_tls_open_client(env->scope, &tls.options[TLS_CLIENT], &context, &error, GO));
    CHECK_IS(result, -ENOENT);
    CHECK_TEXT(error.text, "key log: cannot open /no/such/directory/keys: No such file or directory");
    tls.options[TLS_CLIENT].key_log_path = "/dev/full";
    TLS_OPEN(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    const char *first = strstr(log_text(), line); /* behind what a loop says that falls back to epoll */
    CHECK(first && !strstr(first + 1, line));
    END;
}

/* Options and what they point to are not used after the call. */
LOOP_TEST(tls_options_are_copied)
{
    static struct loop_tls_options options;
    static struct tls_pair pair;
    static struct once opened;
    static char *chain, *key;

    BEGIN;
    TLS_SET_UP(env->scope);
    chain = strdup(tls.server.chain);
    key = strdup(tls.server.key);
    certificate = (struct loop_tls_certificate){.chain = pem(chain), .key = pem(key)};
    options = (struct loop_tls_options){.certificates = &certificate, .n_certificates = 1};
    START(loop_tls_open_server(env->scope, &options, &tls.contexts[TLS_SERVER], &error, ONCE(&opened)));
    memset(chain, 'x', strlen(chain));
    memset(key, 'x', strlen(key));
    free(chain);
    free(key);
    memset(&options, 1, sizeof options);
    memset(&certificate, 1, sizeof certificate);
    WAIT_UNTIL(opened.count);
    ONCE_IS(opened, 0);
    TLS_CONNECTED(env->scope, &pair);
    END;
}

LOOP_TEST(p04_contexts_are_cancelled)
{
    static struct loop_scope *scope;
    static struct once opened[3], ended;
    static struct loop_tls_context *contexts[3];

    BEGIN;
    tls_prepare();
    scope = loop_scope_open(env->scope, ONCE(&ended));
    for (int i = 0; i < 3; i++) {
        loop_job job =
            START(loop_tls_open_server(scope, &tls.options[TLS_SERVER], &contexts[i], &error, ONCE(&opened[i])));
        if (i == 1) {
            loop_cancel(env->loop, job);
        }
    }
    WAIT_UNTIL(opened[0].count && opened[1].count && opened[2].count && ended.count);
    ONCE_IS(opened[0], 0);
    CHECK(opened[1].result == 0 || opened[1].result == -ECANCELED);
    CHECK(!contexts[1] == (opened[1].result < 0));
    ONCE_IS(opened[2], 0);
    /* In a scope that is cancelled. */
    memset(&ended, 0, sizeof ended);
    memset(opened, 0, sizeof opened);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_tls_open_client(scope, &tls.options[TLS_CLIENT], &contexts[0], &error, ONCE(&opened[0])));
    loop_scope_cancel(scope);
    START(loop_tls_open_client(scope, &tls.options[TLS_CLIENT], &contexts[1], &error, ONCE(&opened[1])));
    WAIT_UNTIL(ended.count);
    CHECK(opened[0].result == -ECANCELED || opened[0].result == 0); /* a thread may have been sooner */
    ONCE_IS(opened[1], -ECANCELED);
    END;
}

/* Connections outlive the scope of their context. */
LOOP_TEST(tls_connections_outlive_their_context)
{
    static struct loop_scope *scope;
    static struct once ended;
    static struct tls_pair pair;
    static char buf[4];

    BEGIN;
    tls_prepare();
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    TLS_OPEN(scope);
    TLS_CONNECTED(env->scope, &pair);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "x", 1, GO));
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, buf, 4, GO));
    CHECK_IS(result, 1);
    END;
}
