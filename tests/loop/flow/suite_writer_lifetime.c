/* SPDX-License-Identifier: ISC
 *
 * Writers whose descriptor is closed, destroyed or taken, and the destruction of writers: no byte reaches another
 * connection, and every job ends once.
 */
#include "buffered.h"

/* ---- the descriptor goes ---- */

LOOP_TEST(pending_bytes_never_go_to_the_next_connection)
{
    static struct loop_scope *first, *second;
    static struct once first_ended, second_ended;
    static struct loop_fd *fd;
    static int peer;

    BEGIN;
    first = loop_scope_open(env->scope, ONCE(&first_ended));
    second = loop_scope_open(env->scope, ONCE(&second_ended));
    loop_scope_hold(second);
    fd = connection(first, &peer);
    CHECK_IS(loop_writer_append(writer_to(fd), "for the first alone", 19), 0);
    loop_fd_destroy(fd);
    adopt_newcomers(second);
    WAIT_UNTIL(first_ended.count);
    ONCE_IS(first_ended, -EBADF); /* no other result has reported the loss */
    AWAIT(turns(env->scope, 4, GO));
    CHECK(are_untouched());
    CHECK_IS(second_ended.count, 0);
    CHECK_IS(drain(peer), 0);
    loop_scope_unhold(second);
    WAIT_UNTIL(second_ended.count);
    ONCE_IS(second_ended, 0);
    close(peer);
    close_peers();
    END;
}

/* The same with all that one may do to such a writer, in `way`. */
enum way { ABORT, FLUSH, DRAINED, SHUTDOWN, UNCORK, LATER, DESTROY, WAYS };

static struct once way_ended;

static void go_way(struct loop_scope *scope, struct loop_writer *writer, enum way way)
{
    switch (way) {
    case ABORT: loop_writer_abort(writer); break;
    case FLUSH: START(loop_writer_flush(writer, ONCE(&way_ended))); break;
    case DRAINED:
        START(loop_writer_flush(writer, NULL, NULL)); /* receives the error first */
        START(loop_writer_wait_drained(writer, ONCE(&way_ended)));
        break;
    case SHUTDOWN: START(loop_writer_shutdown(writer, ONCE(&way_ended))); break;
    case UNCORK: loop_writer_uncork(writer); break;
    case DESTROY: loop_writer_destroy(writer); break;
    default: START(turns(scope, 3, ONCE(&way_ended)));
    }
}

LOOP_TEST(whatever_is_done_to_a_writer_whose_descriptor_is_gone_stays_with_it)
{
    static const int64_t end_of_scope[WAYS] = {[ABORT] = 0,       [FLUSH] = 0,      [DRAINED] = -EBADF, [SHUTDOWN] = 0,
                                               [UNCORK] = -EBADF, [LATER] = -EBADF, [DESTROY] = 0};
    static struct loop_scope *first, *second;
    static struct once first_ended, second_ended;
    static struct loop_writer *writer;
    static struct loop_fd *fd;
    static int peer, way;

    BEGIN;
    for (way = 0; way < WAYS; way++) {
        first_ended = second_ended = way_ended = (struct once){0};
        first = loop_scope_open(env->scope, ONCE(&first_ended));
        second = loop_scope_open(env->scope, ONCE(&second_ended));
        loop_scope_hold(first);
        loop_scope_hold(second);
        fd = connection(first, &peer);
        writer = writer_to(fd);
        if (way == UNCORK) {
            loop_writer_cork(writer);
        }
        CHECK_IS(loop_writer_append(writer, "for the first alone", 19), 0);
        loop_fd_destroy(fd);
        adopt_newcomers(second);
        go_way(first, writer, (enum way)way);
        AWAIT(turns(env->scope, 6, GO));
        CHECK(are_untouched());
        CHECK_IS(first_ended.count, 0);
        CHECK_IS(second_ended.count, 0);
        if (way == FLUSH || way == SHUTDOWN) {
            ONCE_IS(way_ended, -EBADF);
        }
        if (way != DESTROY) {
            CHECK(loop_writer_append(writer, "more", 4) < 0);
        }
        loop_scope_unhold(first);
        loop_scope_unhold(second);
        WAIT_UNTIL(first_ended.count && second_ended.count);
        CHECK_IS(first_ended.result, end_of_scope[way]);
        CHECK_IS(second_ended.result, 0);
        CHECK_IS(drain(peer), 0);
        close(peer);
        close_peers();
    }
    END;
}

LOOP_TEST(a_write_in_flight_ends_when_its_descriptor_is_destroyed)
{
    static struct loop_writer *writer;
    static struct once flushed, shut_down;
    static struct loop_fd *fd;
    static char much[1 << 20];
    static int peer;

    BEGIN;
    fd = connection(env->scope, &peer);
    writer = writer_to(fd);
    CHECK_IS(loop_writer_append_borrowed(writer, much, sizeof much), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(flushed.count, 0); /* the peer doesn't read */
    loop_fd_destroy(fd);
    AWAIT(turns(env->scope, 4, GO)); /* the kernel has let go of it */
    adopt_newcomers(env->scope);
    START(loop_writer_shutdown(writer, ONCE(&shut_down)));
    WAIT_UNTIL(flushed.count && shut_down.count);
    CHECK(flushed.result == -ECANCELED || flushed.result == -EBADF);
    CHECK_IS(shut_down.result, flushed.result);
    CHECK_IS(loop_writer_append(writer, "more", 4), flushed.result);
    CHECK_IS(loop_writer_pending(writer), 0);
    CHECK(are_untouched());
    close(peer);
    close_peers();
    END;
}

/* ---- the end of a writer ---- */

LOOP_TEST(destroying_a_writer_drops_what_is_pending_and_tells_who_waits)
{
    static struct loop_writer *writer;
    static struct once flushed, drained, shut_down;
    static int peer, is_corked;

    BEGIN;
    for (is_corked = 0; is_corked < 2; is_corked++) {
        flushed = drained = shut_down = (struct once){0};
        writer = writer_to(connection(env->scope, &peer));
        if (is_corked) {
            loop_writer_cork(writer);
        }
        CHECK_IS(loop_writer_append(writer, "never sent", 10), 0);
        START(loop_writer_flush(writer, ONCE(&flushed)));
        START(loop_writer_wait_drained(writer, ONCE(&drained)));
        START(loop_writer_shutdown(writer, ONCE(&shut_down)));
        loop_writer_destroy(writer);
        WAIT_UNTIL(flushed.count && drained.count && shut_down.count);
        ONCE_IS(flushed, -ECANCELED);
        ONCE_IS(drained, -ECANCELED);
        ONCE_IS(shut_down, -ECANCELED);
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(drain(peer), 0);
        close(peer);
    }
    loop_writer_destroy(NULL);
    END;
}

LOOP_TEST(a_destroyed_writer_uses_what_was_put_by_reference_until_the_flush_before_it_is_heard)
{
    static struct loop_writer *writer;
    static struct once flushed;
    static char *much;
    static int peer;
    enum { LENGTH = 1 << 22 };

    BEGIN;
    writer = writer_to(connection(env->scope, &peer));
    much = malloc(LENGTH);
    CHECK(much != NULL);
    memset(much, 'x', LENGTH);
    CHECK_IS(loop_writer_append_borrowed(writer, much, LENGTH), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK(drain(peer) > 0);
    loop_writer_destroy(writer);
    CHECK_IS(flushed.count, 0);
    WAIT_UNTIL(flushed.count);
    ONCE_IS(flushed, -ECANCELED);
    free(much);
    AWAIT(turns(env->scope, 2, GO));
    drain(peer);
    close(peer);
    END;
}

static struct loop_writer *own;
static struct once own_ended;

static void destroy_own_writer(void *unused, int64_t result)
{
    (void)unused;
    loop_writer_destroy(own);
    once_resumed(&own_ended, result);
}

LOOP_TEST(a_writer_can_be_destroyed_by_whoever_waits_for_it)
{
    static loop_job (*const waits[])(struct loop_writer *, loop_fn *,
                                     void *) = {loop_writer_flush, loop_writer_wait_drained, loop_writer_shutdown};
    static struct once other;
    static unsigned i, closed;
    static int peer;
    static struct loop_fd *fd;

    BEGIN;
    for (i = 0; i < COUNT_OF(waits); i++) {
        for (closed = 0; closed < 2; closed++) {
            own_ended = other = (struct once){0};
            fd = connection(env->scope, &peer);
            own = writer_to(fd);
            CHECK_IS(loop_writer_append(own, "text", 4), 0);
            START(waits[i](own, destroy_own_writer, NULL));
            START(loop_writer_flush(own, ONCE(&other)));
            if (closed) {
                loop_fd_close(fd);
            }
            WAIT_UNTIL(own_ended.count && other.count);
            CHECK_IS(own_ended.result, closed && waits[i] != loop_writer_wait_drained ? -EBADF : 0);
            CHECK(other.result == 0 || other.result == -EBADF || other.result == -ECANCELED);
            CHECK_IS(drain(peer), closed ? 0 : 4);
            loop_fd_destroy(fd);
            close(peer);
        }
    }
    END;
}

/* A sink whose functions do to their writer what a program may do anywhere. */
enum doing { ABORTS, DESTROYS, CANCELS_SCOPE, DOINGS };

static struct loop_writer *wild_writer;
static enum doing doing;

static loop_job do_wild(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    if (doing == ABORTS) {
        loop_writer_abort(wild_writer);
    } else if (doing == DESTROYS) {
        loop_writer_destroy(wild_writer);
    } else {
        loop_scope_cancel(sink->scope);
    }
    return loop_promise(sink->scope, NULL, NULL, fn, arg);
}

static loop_job wild_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    (void)iov;
    (void)n_iov;
    return do_wild(sink, fn, arg);
}

static loop_job good_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    return loop_writev(sink->self, iov, n_iov, fn, arg);
}

static const struct loop_sink_ops wild_ops = {.write = wild_write};
static const struct loop_sink_ops wild_end_ops = {.write = good_write, .shutdown = do_wild};

LOOP_TEST(a_sinks_own_functions_may_end_its_writer)
{
    static struct once flushed, shut_down, ended;
    static struct loop_scope *scope;
    static struct loop_sink sink;
    static int way;

    BEGIN;
    for (way = 0; way < 2 * DOINGS; way++) {
        flushed = shut_down = ended = (struct once){0};
        doing = (enum doing)(way / 2);
        scope = loop_scope_open(env->scope, ONCE(&ended));
        sink = (struct loop_sink){.ops = way % 2 ? &wild_end_ops : &wild_ops, .scope = scope};
        sink.self = loop_null_sink(scope);
        wild_writer = loop_writer_create(&sink, 0);
        CHECK_IS(loop_writer_append(wild_writer, "text", 4), 0);
        START(loop_writer_flush(wild_writer, ONCE(&flushed)));
        START(loop_writer_shutdown(wild_writer, ONCE(&shut_down)));
        if (way % 2 && doing == ABORTS) {
            WAIT_UNTIL(flushed.count);
            loop_scope_cancel(scope); /* an abort leaves the sink's shutdown alone */
        }
        WAIT_UNTIL(ended.count);
        ONCE_IS(flushed, way % 2 ? 0 : -ECANCELED);
        ONCE_IS(shut_down, -ECANCELED);
    }
    END;
}

/* ---- scopes ---- */

/* A sink that writes to one of another scope: its writes are jobs of that scope. */
static loop_job write_all(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    return loop_writev(sink->self, iov, n_iov, fn, arg);
}

static const struct loop_sink_ops beyond_ops = {.write = write_all};

LOOP_TEST(a_scope_stays_open_until_a_write_that_belongs_to_another_has_ended)
{
    static struct loop_scope *scope;
    static struct loop_writer *writer;
    static struct loop_sink sink;
    static struct once ended;
    static struct loop_flow *flows[2];
    static char much[1 << 21];
    static size_t seen;

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    sink = (struct loop_sink){.ops = &beyond_ops, .scope = scope, .self = &flows[0]->sink};
    writer = loop_writer_create(&sink, 0);
    CHECK_IS(loop_writer_append(writer, much, sizeof much), 0);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(ended.count, 0);
    while (seen < sizeof much) {
        AWAIT(loop_read(&flows[1]->source, much, sizeof much, GO));
        CHECK(result > 0);
        seen += (size_t)result;
    }
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    END;
}

LOOP_TEST(cancelling_a_scope_ends_a_write_that_belongs_to_another)
{
    static struct loop_scope *scope;
    static struct loop_writer *writer;
    static struct loop_sink sink;
    static struct once ended, flushed;
    static struct loop_flow *flows[2];
    static char much[1 << 21];

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    sink = (struct loop_sink){.ops = &beyond_ops, .scope = scope, .self = &flows[0]->sink};
    writer = loop_writer_create(&sink, 0);
    CHECK_IS(loop_writer_append(writer, much, sizeof much), 0);
    START(loop_writer_flush(writer, ONCE(&flushed)));
    AWAIT(turns(env->scope, 3, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, -ECANCELED);
    ONCE_IS(flushed, -ECANCELED);
    END;
}
