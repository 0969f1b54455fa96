/* SPDX-License-Identifier: ISC
 *
 * <adapters/curl.h>, with the demo httpd.
 */
#include "allocate.h"
#include "servers.h"

#include <adapters/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define LARGE (64 << 20)
#define SMALL 3000

static struct server server;
static char port[16];

static void make_site(void)
{
    char path[PATH_MAX + 10], bytes[SMALL];

    fill_pattern(bytes, sizeof bytes, 1);
    for (int i = 0; i < 2; i++) {
        CHECK(snprintf(path, sizeof path, "%s/%s", server.directory, i ? "large" : "small") > 0);
        int number = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CHECK(number >= 0);
        CHECK_IS(i ? ftruncate(number, LARGE) : write(number, bytes, sizeof bytes), i ? 0 : SMALL);
        close(number);
    }
}

static void start_httpd(void)
{
    server_prepare(&server);
    make_site();
    const char *const arguments[] = {ADAPTER_SERVER,   "--max-per-address", "0",
                                     server.directory, "tcp:127.0.0.1:0",   NULL};
    server_start(&server, arguments, 0, "listening on"); /* one line, in one write */
    CHECK_IS(sscanf(strstr(server.text, "listening"), "listening on tcp:127.0.0.1:%15[0-9]", port), 1);
}

/* A script beside a server, once for each row of a table. */
#define CURL_TEST_ROWS(name, count)                                                                                    \
    static void name##_steps(struct loop_env *env, int64_t result);                                                    \
    TEST_ROWS(name, count, row)                                                                                        \
    {                                                                                                                  \
        script.row = row;                                                                                              \
        CHECK_IS(curl_global_init(CURL_GLOBAL_DEFAULT), 0);                                                            \
        start_httpd();                                                                                                 \
        script_run(&(struct loop_options){.queue_depth = 0}, name##_steps);                                            \
        server_finish(&server);                                                                                        \
        curl_global_cleanup();                                                                                         \
    }                                                                                                                  \
    static void name##_steps(struct loop_env *env, int64_t result)

#define CURL_TEST(name) CURL_TEST_ROWS(name, 1)

/* ---- transfers ---- */

struct transfer {
    CURL *easy;
    loop_job job;
    unsigned count;
    int64_t result;
    size_t length;
    long status;
    bool is_pattern;
    void (*act)(struct transfer *transfer); /* at the first bytes */
};

static struct loop_curl *curl;
static unsigned n_done;

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *transfer = arg;
    void (*act)(struct transfer *) = transfer->act;

    CHECK_IS(transfer->count, 0);
    transfer->is_pattern &= is_pattern_at(bytes, size * n, 1, transfer->length);
    transfer->length += size * n;
    transfer->act = NULL;
    if (act) {
        act(transfer);
    }
    return size * n;
}

static void make(struct transfer *transfer, const char *path)
{
    char url[100];

    CHECK(snprintf(url, sizeof url, "http://127.0.0.1:%s/%s", port, path) > 0);
    transfer->is_pattern = true;
    transfer->easy = transfer->easy ? transfer->easy : curl_easy_init();
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_PROXY, "");
}

static void on_done(void *arg, int64_t result)
{
    struct transfer *transfer = arg;

    transfer->count++;
    transfer->result = result;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->status);
    n_done++;
    script_poke();
}

static void begin(struct transfer *transfer, const char *path)
{
    make(transfer, path);
    transfer->job = loop_curl_perform(curl, transfer->easy, on_done, transfer);
    CHECK(transfer->job != 0);
}

static void check_small(struct transfer *transfer)
{
    CHECK_IS(transfer->count, 1);
    CHECK_IS(transfer->result, CURLE_OK);
    CHECK_IS(transfer->status, 200);
    CHECK_IS(transfer->length, SMALL);
    CHECK(transfer->is_pattern);
    curl_easy_cleanup(transfer->easy);
}

CURL_TEST(a_transfer_is_a_job)
{
    static struct transfer transfer, missing;

    BEGIN;
    curl = loop_curl_open(env->scope);
    begin(&transfer, "small");
    CHECK_IS(transfer.count, 0);
    WAIT_UNTIL(transfer.count);
    check_small(&transfer);
    begin(&missing, "missing");
    WAIT_UNTIL(missing.count);
    CHECK_IS(missing.result, CURLE_OK);
    CHECK_IS(missing.status, 404);
    curl_easy_cleanup(missing.easy);
    END;
}

CURL_TEST(a_thousand_transfers_at_once)
{
    static struct transfer transfers[1000];
    static unsigned i;

    BEGIN;
    curl = loop_curl_open(env->scope);
    curl_multi_setopt(loop_curl_multi(curl), CURLMOPT_MAX_TOTAL_CONNECTIONS, 50L);
    for (i = 0; i < COUNT_OF(transfers); i++) {
        begin(&transfers[i], "small");
    }
    WAIT_UNTIL(n_done == COUNT_OF(transfers));
    for (i = 0; i < COUNT_OF(transfers); i++) {
        check_small(&transfers[i]);
    }
    END;
}

static unsigned n_left = 300;

static void on_next(void *arg, int64_t result)
{
    struct transfer *transfer = arg;

    CHECK_IS(result, CURLE_OK);
    CHECK_IS(transfer->length, SMALL);
    CHECK(transfer->is_pattern);
    transfer->length = 0;
    if (n_left-- > 0) {
        CHECK(loop_curl_perform(curl, transfer->easy, on_next, transfer) != 0);
    } else {
        on_done(transfer, result);
    }
}

CURL_TEST(a_handle_may_be_used_again_in_its_continuation)
{
    static struct transfer transfer;
    static long n_connects;

    BEGIN;
    curl = loop_curl_open(env->scope);
    make(&transfer, "small");
    CHECK(loop_curl_perform(curl, transfer.easy, on_next, &transfer) != 0);
    WAIT_UNTIL(transfer.count);
    curl_easy_getinfo(transfer.easy, CURLINFO_NUM_CONNECTS, &n_connects);
    CHECK_IS(n_connects, 0); /* the connection was kept */
    curl_easy_cleanup(transfer.easy);
    END;
}

/* ---- ends ---- */

static void kill_server(struct transfer *transfer)
{
    (void)transfer;
    server_kill(&server);
}

/* A listener that the ring of a killed process was accepting on is closed by the kernel a little after the process has
 * ended, and takes connections until then. */
static void await_refusal(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(port, NULL, 10))};
    int result;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    do {
        int number = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(number >= 0);
        result = connect(number, (struct sockaddr *)&address, sizeof address);
        close(number);
    } while (result == 0);
}

CURL_TEST(a_server_killed_in_mid_answer_ends_each_transfer_once)
{
    static struct transfer transfers[5], late;
    static unsigned i;

    BEGIN;
    curl = loop_curl_open(env->scope);
    transfers[0].act = kill_server;
    for (i = 0; i < COUNT_OF(transfers); i++) {
        begin(&transfers[i], "large");
    }
    WAIT_UNTIL(n_done == COUNT_OF(transfers));
    for (i = 0; i < COUNT_OF(transfers); i++) {
        CHECK_IS(transfers[i].count, 1);
        CHECK(transfers[i].result > 0 && transfers[i].length < LARGE);
        curl_easy_cleanup(transfers[i].easy);
    }
    await_refusal();
    begin(&late, "small");
    WAIT_UNTIL(late.count);
    CHECK_IS(late.result, CURLE_COULDNT_CONNECT);
    curl_easy_cleanup(late.easy);
    END;
}

static struct loop_scope *cancelled;
static struct transfer inner;

static void cancel_scope(struct transfer *transfer)
{
    (void)transfer;
    loop_scope_cancel(cancelled);
}

static void cancel_job(struct transfer *transfer)
{
    CHECK_IS(loop_cancel(loop_scope_loop(cancelled), transfer->job), 0);
}

static void cancel_and_begin(struct transfer *transfer)
{
    cancel_job(transfer);
    begin(&inner, "small");
}

static void (*const acts[])(struct transfer *transfer) = {cancel_scope, cancel_job, cancel_and_begin};

CURL_TEST_ROWS(a_transfer_may_be_cancelled_in_its_callback, COUNT_OF(acts))
{
    static struct transfer large, beside;
    static struct once ended;

    BEGIN;
    cancelled = loop_scope_open(env->scope, ONCE(&ended));
    curl = loop_curl_open(cancelled);
    large.act = acts[script.row];
    begin(&large, "large");
    begin(&beside, "small");
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, script.row == 0 ? -ECANCELED : 0);
    CHECK_IS(large.count, 1);
    CHECK_IS(large.result, -ECANCELED);
    CHECK(large.length < LARGE);
    curl_easy_cleanup(large.easy);
    CHECK_IS(beside.count, 1);
    if (beside.result == CURLE_OK) {
        check_small(&beside);
    } else {
        CHECK_IS(script.row, 0);
        curl_easy_cleanup(beside.easy);
    }
    if (script.row == 2) {
        check_small(&inner);
    }
    END;
}

CURL_TEST_ROWS(p04_a_transfer_may_be_cancelled_at_every_step, 12)
{
    static struct transfer transfer;

    BEGIN;
    curl = loop_curl_open(env->scope);
    begin(&transfer, "large");
    if (script.row > 0) {
        AWAIT(turns(env->scope, (unsigned)script.row, GO));
    }
    CHECK_IS(loop_cancel(env->loop, transfer.job), 0);
    CHECK_IS(transfer.count, 0);
    CHECK_IS(loop_cancel(env->loop, transfer.job), -ENOENT);
    WAIT_UNTIL(transfer.count);
    CHECK_IS(transfer.result, -ECANCELED);
    curl_easy_cleanup(transfer.easy);
    END;
}

CURL_TEST(a_timeout_of_libcurl_is_its_own_error_and_a_deadline_that_of_the_scope)
{
    static struct transfer slow, late;
    static struct loop_scope *scope;
    static struct once ended;

    BEGIN;
    kill(server.pid, SIGSTOP);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    curl = loop_curl_open(scope);
    make(&slow, "small");
    curl_easy_setopt(slow.easy, CURLOPT_TIMEOUT_MS, 20L);
    begin(&slow, "small");
    begin(&late, "small");
    WAIT_UNTIL(slow.count);
    CHECK_IS(slow.result, CURLE_OPERATION_TIMEDOUT);
    CHECK_IS(late.count, 0);
    loop_scope_deadline(scope, loop_now(env->loop));
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ETIMEDOUT);
    CHECK_IS(late.count, 1);
    CHECK_IS(late.result, -ETIMEDOUT);
    curl_easy_cleanup(slow.easy);
    curl_easy_cleanup(late.easy);
    END;
}

/* ---- errors ---- */

CURL_TEST(bad_handles_end_with_einval)
{
    static struct transfer transfer;

    BEGIN;
    curl = loop_curl_open(env->scope);
    AWAIT(loop_curl_perform(curl, NULL, GO));
    CHECK_IS(result, -EINVAL);
    begin(&transfer, "small");
    AWAIT(loop_curl_perform(curl, transfer.easy, GO));
    CHECK_IS(result, -EINVAL);
    WAIT_UNTIL(transfer.count);
    check_small(&transfer);
    END;
}

static struct once second;

static void perform_again(struct transfer *transfer)
{
    CHECK(loop_curl_perform(curl, transfer->easy, ONCE(&second)) != 0);
}

CURL_TEST(p01_a_handle_that_its_callback_performs_again_is_in_use)
{
    static struct transfer transfer;

    BEGIN;
    curl = loop_curl_open(env->scope);
    transfer.act = perform_again;
    begin(&transfer, "small");
    WAIT_UNTIL(transfer.count && second.count);
    ONCE_IS(second, -EINVAL);
    check_small(&transfer);
    END;
}

CURL_TEST_ROWS(without_descriptors_transfers_end_with_an_error, 6)
{
    static struct transfer transfers[3];
    static rlim_t limit;
    static unsigned i;

    BEGIN;
    curl = loop_curl_open(env->scope);
    limit = limit_fds((rlim_t)limit_with_free_fds((unsigned)script.row));
    for (i = 0; i < COUNT_OF(transfers); i++) {
        begin(&transfers[i], "small");
    }
    WAIT_UNTIL(n_done == COUNT_OF(transfers));
    limit_fds(limit);
    for (i = 0; i < COUNT_OF(transfers); i++) {
        CHECK_IS(transfers[i].count, 1);
        if (transfers[i].result == CURLE_OK) {
            check_small(&transfers[i]);
        } else {
            CHECK(transfers[i].result > 0 || transfers[i].result == -EMFILE);
            curl_easy_cleanup(transfers[i].easy);
        }
    }
    END;
}

#if !HAS_SANITIZER
/* Each allocation of libcurl and of the loop fails in turn, until a transfer needs no more. */
CURL_TEST(without_memory_in_libcurl_a_transfer_works_or_ends)
{
    static struct transfer transfer;
    static unsigned long n;
    static unsigned ended_well;
    static bool has_failed;

    BEGIN;
    curl_global_cleanup();
    CHECK_IS(
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, given_malloc, given_free, given_realloc, given_strdup, given_calloc),
        CURLE_OK);
    for (n = 1; ended_well < 3 && n < 2000; n++) {
        transfer = (struct transfer){.easy = NULL};
        curl = loop_curl_open(env->scope);
        make(&transfer, "small");
        fail_allocation(n, false);
        transfer.job = loop_curl_perform(curl, transfer.easy, on_done, &transfer);
        if (transfer.job) {
            WAIT_UNTIL(transfer.count);
        }
        has_failed = allocation_failed();
        fail_allocation(0, false);
        CHECK_IS(transfer.count, transfer.job != 0);
        ended_well += !has_failed;
        CHECK(has_failed || transfer.result == CURLE_OK);
        curl_easy_cleanup(transfer.easy);
    }
    CHECK(n > 40 && n < 2000);
    END;
}

CURL_TEST_ROWS(without_memory_a_transfer_works_or_ends, 40)
{
    static struct transfer transfer;
    static bool has_failed;

    BEGIN;
    curl = loop_curl_open(env->scope);
    make(&transfer, "small");
    fail_allocation((unsigned long)script.row + 1, script.row % 2);
    transfer.job = loop_curl_perform(curl, transfer.easy, on_done, &transfer);
    if (transfer.job) {
        WAIT_UNTIL(transfer.count);
    }
    has_failed = allocation_failed();
    fail_allocation(0, false);
    if (transfer.job && transfer.result == CURLE_OK) {
        check_small(&transfer);
    } else {
        CHECK(has_failed);
        curl_easy_cleanup(transfer.easy);
    }
    END;
}
#endif
