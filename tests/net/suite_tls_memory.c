/* SPDX-License-Identifier: ISC
 *
 * TLS without memory: each allocation fails once, or that one and all after it. Every job ends once, nothing is left.
 */
#include "tls.h"
#include "wire.h"

#include <loop/reader.h>
#include <net/tls/context.h>

#include <openssl/crypto.h>

#if !HAS_SANITIZER

static unsigned long jobs_taken;
static struct tally tally;
static struct tls_pair pair;
static char sent[100000], received[100000];

static struct loop_scope *scope_of_all;

/* Nothing goes on after a failure, which the others could wait for. */
static void note(void *arg, int64_t result)
{
    tally_resumed(arg, result);
    if (result < 0) {
        loop_scope_cancel(scope_of_all);
    }
}

static void take(loop_job job)
{
    jobs_taken += job != 0;
    if (!job) {
        loop_scope_cancel(scope_of_all);
    }
}

/* A copy that has failed after some bytes resumes with their number. */
static void on_copied(void *arg, int64_t result)
{
    note(arg, result);
    loop_flow_close(pair.flows[TLS_SERVER]);
}

static void on_server(void *arg, int64_t result)
{
    note(arg, result);
    if (result == 0) {
        struct loop_flow *flow = pair.flows[TLS_SERVER];
        take(loop_copy(&flow->source, &flow->sink, on_copied, &tally));
        take(loop_wait_readable(&flow->source, note, &tally));
    }
}

static void on_client(void *arg, int64_t result)
{
    note(arg, result);
    if (result == 0) {
        struct loop_flow *flow = pair.flows[TLS_CLIENT];
        take(loop_write(&flow->sink, sent, sizeof sent, note, &tally));
        take(loop_shutdown(&flow->sink, note, &tally));
        take(loop_read_exact(&flow->source, received, sizeof received, note, &tally));
        loop_source_unread(&flow->source, "x", 1);
    }
}

static void on_opened(void *arg, int64_t result)
{
    struct loop_scope *scope = arg;

    note(&tally, result);
    if (tally.ended_well < 2) {
        return;
    }
    if (loop_socketpair(scope, &pair.below[TLS_CLIENT], &pair.below[TLS_SERVER]) == 0) {
        take(loop_tls_connect(pair.below[TLS_CLIENT], tls.contexts[TLS_CLIENT], TLS_HOST, &pair.flows[TLS_CLIENT], NULL,
                              on_client, &tally));
        take(loop_tls_accept(pair.below[TLS_SERVER], tls.contexts[TLS_SERVER], &pair.flows[TLS_SERVER], NULL, on_server,
                             &tally));
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_scope *scope = loop_scope_open(env->scope, NULL, NULL);

    (void)arg;
    if (!scope) {
        return 0;
    }
    scope_of_all = scope;
    tls.contexts[TLS_CLIENT] = tls.contexts[TLS_SERVER] = NULL;
    take(loop_tls_open_client(scope, &tls.options[TLS_CLIENT], &tls.contexts[TLS_CLIENT], NULL, on_opened, scope));
    take(loop_tls_open_server(scope, &tls.options[TLS_SERVER], &tls.contexts[TLS_SERVER], NULL, on_opened, scope));
    return 0;
}

TEST(tls_without_memory_loses_and_leaves_nothing)
{
    unsigned long n = 0, most_jobs = 0;
    bool failed;

    tls_prepare();
    do {
        jobs_taken = 0;
        memset(&tally, 0, sizeof tally);
        n++;
        fail_allocation(n / 2, n % 2);
        run(start, NULL);
        failed = allocation_failed() || n < 4;
        fail_allocation(0, false);
        if (tally.count != jobs_taken) {
            ck_abort_msg("allocation %lu: %lu jobs, %lu ends", n / 2, jobs_taken, tally.count);
        }
        most_jobs = jobs_taken > most_jobs ? jobs_taken : most_jobs;
    } while (failed);
    CHECK(n > 40);
    CHECK(most_jobs >= 9);
}

/* ---- bytes that are given back ---- */

LOOP_TEST(tls_source_gets_the_bytes_of_a_reader_back_without_memory)
{
    static struct loop_source *source;
    static struct loop_reader *reader;
    static char got[8];

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    source = &pair.flows[TLS_SERVER]->source;
    reader = loop_reader_create(source, 0);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "one\ntwo\n", 8, GO));
    AWAIT(loop_reader_line(reader, GO));
    CHECK_IS(result, 4);
    fail_allocation(1, true);
    loop_reader_destroy(reader);
    CHECK(allocation_failed());
    fail_allocation(0, false);
    AWAIT(loop_read_exact(source, got, 4, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(got, "two\n", 4) == 0);
    END;
}

/* ---- no memory after the continuation ---- */

static loop_job stuck_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)iov;
    (void)n_iov;
    return loop_promise(sink->scope, NULL, NULL, fn, arg);
}

/* There is none for the write below, which is started when the continuation has returned: the write ends. */
LOOP_TEST(tls_write_ends_without_memory_for_the_one_below)
{
    static const struct loop_sink_ops ops = {.write = stuck_write};
    static struct loop_sink stuck;
    static struct once written;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    stuck = (struct loop_sink){.ops = &ops, .scope = loop_scope_open(env->scope, NULL, NULL)};
    CHECK(loop_write(&stuck, "x", 1, tally_resumed, &tally));
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, "hello", 5, ONCE(&written)));
    fail_allocation(1, true);
    while (loop_write(&stuck, "x", 1, tally_resumed, &tally)) {
        continue; /* until there is no room for a write */
    }
    WAIT_UNTIL(written.count);
    fail_allocation(0, false);
    ONCE_IS(written, -ENOMEM);
    loop_scope_cancel(stuck.scope);
    END;
}

/* There is none for the end of the output below, while the close_notify waits for room there: the shutdown ends. */
LOOP_TEST(tls_shutdown_ends_without_memory_for_the_one_below)
{
    static const struct loop_sink_ops ops = {.write = stuck_write};
    static struct loop_sink stuck;
    static struct wire wire;
    static struct loop_scope *scope;
    static struct once ended, shut;
    static loop_job job, last[2];

    BEGIN;
    TLS_SET_UP(env->scope);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    loop_scope_hold(scope);
    wire_make(&wire, scope);
    pair = (struct tls_pair){.below = {&wire.flows[0], &wire.flows[1]}};
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    stuck = (struct loop_sink){.ops = &ops, .scope = scope};
    CHECK_IS(loop_sink_limit(&wire.flows[TLS_SERVER].sink, 1000), 0); /* its queue is made now */
    fail_allocation(1, true);
    while ((job = loop_write(&stuck, "x", 1, tally_resumed, &tally))) {
        last[0] = last[1];
        last[1] = job;
    }
    fail_allocation(0, false);
    CHECK_IS(loop_cancel(env->loop, last[0]), 0); /* leaves room for the shutdown, */
    CHECK_IS(loop_cancel(env->loop, last[1]), 0); /* and for the write of the close_notify */
    AWAIT(turns(env->scope, 2, GO));
    wire.lanes[TLS_SERVER].is_full = true;
    START(loop_shutdown(&pair.flows[TLS_SERVER]->sink, ONCE(&shut)));
    fail_allocation(1, true);
    WAIT_UNTIL(shut.count);
    fail_allocation(0, false);
    ONCE_IS(shut, -ENOMEM);
    CHECK(wire.lanes[TLS_SERVER].writing && !wire.lanes[TLS_SERVER].has_ended);
    loop_scope_cancel(scope);
    loop_scope_unhold(scope);
    WAIT_UNTIL(ended.count);
    wire_free(&wire);
    END;
}

/* There is none for the close_notify behind the last bytes: the write and the shutdown end. */
LOOP_TEST(tls_write_ends_without_memory_for_the_end_behind_it)
{
    enum { LEN = (16 << 10) + 970 }; /* leaves less room in its block than a close_notify needs */
    static struct once written, shut;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LEN, ONCE(&written)));
    loop_tls_spares_finish(&tls.contexts[TLS_CLIENT]->spares);
    fail_allocation(1, true);
    START(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, ONCE(&shut)));
    CHECK(allocation_failed());
    fail_allocation(0, false);
    WAIT_UNTIL(written.count && shut.count);
    ONCE_IS(written, -ENOMEM);
    ONCE_IS(shut, -ENOMEM);
    END;
}

/* ---- the allocations of OpenSSL ---- */

/* The C library's: the harness does not count these. */
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);

static unsigned long n_foreign, foreign_fails_at;
static bool is_foreign_counted;

static bool foreign_fails(void)
{
    return is_foreign_counted && ++n_foreign == foreign_fails_at;
}

static void *foreign_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return foreign_fails() ? NULL : __real_malloc(size);
}

static void *foreign_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return foreign_fails() ? NULL : __real_realloc(old, size);
}

static void foreign_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    __real_free(memory);
}

/* Before OpenSSL allocates anything. */
__attribute__((constructor(101))) static void replace_foreign_allocator(void)
{
    if (!CRYPTO_set_mem_functions(foreign_malloc, foreign_realloc, foreign_free)) {
        abort();
    }
}

enum { STEP = 97 };

/* Every STEP-th allocation of OpenSSL, in turn, fails once. */
TEST(tls_without_memory_for_openssl)
{
    unsigned long n = 1;

    tls_prepare();
    is_foreign_counted = true;
    do {
        jobs_taken = 0;
        memset(&tally, 0, sizeof tally);
        n_foreign = 0;
        foreign_fails_at = n;
        run(start, NULL);
        CHECK_IS(tally.count, jobs_taken);
        n += STEP;
    } while (n_foreign >= foreign_fails_at);
    CHECK(n > 10 * STEP);
}

#endif
