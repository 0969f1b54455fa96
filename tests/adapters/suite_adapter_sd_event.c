/* SPDX-License-Identifier: ISC
 *
 * Noria inside sd-event (<adapters/sd_event.h>).
 */
#include "in_host.h"

#include <adapters/sd_event.h>

#include <sys/eventfd.h>

static sd_event *event;
static sd_event_source *always;

static void create(void)
{
    CHECK(sd_event_new(&event) >= 0);
}

static void destroy(void)
{
    sd_event_unref(event);
}

static void *attach_by_sd_event(struct loop *loop, host_fn *ended, void *arg)
{
    struct loop_sd_event *attached = NULL;
    int error = loop_sd_event_attach(loop, event, ended, arg, &attached);

    return error ? NULL : attached;
}

static void detach(void *attached)
{
    loop_sd_event_detach(attached);
}

static void turn(void)
{
    CHECK(sd_event_run(event, UINT64_MAX) >= 0);
}

struct call {
    host_fn *fn;
    void *arg;
};

static int call_once(sd_event_source *source, uint64_t usec, void *call)
{
    (void)source;
    (void)usec;
    ((struct call *)call)->fn(((struct call *)call)->arg);
    return 0;
}

static void call_after(unsigned ms, host_fn *fn, void *arg)
{
    static struct call calls[256];
    static unsigned n;
    uint64_t usec = (uint64_t)now_ns() / 1000 + ms * UINT64_C(1000);

    CHECK(n < COUNT_OF(calls));
    calls[n] = (struct call){fn, arg};
    CHECK(sd_event_add_time(event, NULL, CLOCK_MONOTONIC, usec, 1, call_once, &calls[n++]) >= 0);
}

/* A deferred source would be dispatched before everything else. */
static host_fn *always_fn;
static int always_ready;

static int call_each_time(sd_event_source *source, int number, uint32_t events, void *arg)
{
    (void)source;
    (void)number;
    (void)events;
    always_fn(arg);
    return 0;
}

static void call_always(host_fn *fn, void *arg)
{
    if (!fn) {
        sd_event_source_disable_unref(always);
        close(always_ready);
        return;
    }
    always_fn = fn;
    always_ready = eventfd(1, EFD_CLOEXEC);
    CHECK(sd_event_add_io(event, &always, always_ready, EPOLLIN, call_each_time, arg) >= 0);
}

static const struct host tested = {create, destroy, attach_by_sd_event, detach, turn, call_after, call_always};

TEST(p20_timers_are_exact_to_the_microsecond)
{
    static struct attached attached;
    static struct once timer;
    int64_t start_ns = now_ns();

    begin(&attached);
    CHECK(loop_sleep(env->scope, 1234567, ONCE(&timer)) != 0);
    TURNS_UNTIL(timer.count);
    CHECK(now_ns() - start_ns >= 1234567);
    end(&attached);
}
