/* SPDX-License-Identifier: ISC
 *
 * Noria inside libuv's loop (<adapters/libuv.h>).
 */
#include "in_host.h"

#include <adapters/libuv.h>

static uv_loop_t uv;
static uv_idle_t always;

static void create(void)
{
    CHECK_IS(uv_loop_init(&uv), 0);
}

static void destroy(void)
{
    CHECK_IS(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_IS(uv_loop_close(&uv), 0);
    uv_library_shutdown(); /* libuv keeps a pipe open for signals */
}

static void *attach_by_libuv(struct loop *loop, host_fn *ended, void *arg)
{
    struct loop_libuv *attached = NULL;
    int error = loop_libuv_attach(loop, &uv, ended, arg, &attached);

    return error ? NULL : attached;
}

static void detach(void *attached)
{
    loop_libuv_detach(attached);
}

static void turn(void)
{
    (void)uv_run(&uv, UV_RUN_ONCE);
}

struct call {
    uv_timer_t timer;
    host_fn *fn;
    void *arg;
};

static void free_call(uv_handle_t *timer)
{
    free(timer->data);
}

static void call_once(uv_timer_t *timer)
{
    struct call *call = timer->data;

    call->fn(call->arg);
    uv_close((uv_handle_t *)timer, free_call);
}

static void call_after(unsigned ms, host_fn *fn, void *arg)
{
    struct call *call = calloc(1, sizeof *call);

    CHECK(call != NULL);
    call->fn = fn;
    call->arg = arg;
    CHECK_IS(uv_timer_init(&uv, &call->timer), 0);
    call->timer.data = call;
    CHECK_IS(uv_timer_start(&call->timer, call_once, ms, 0), 0);
}

static host_fn *always_fn;

static void call_each_time(uv_idle_t *idle)
{
    always_fn(idle->data);
}

static void call_always(host_fn *fn, void *arg)
{
    if (!fn) {
        uv_close((uv_handle_t *)&always, NULL);
        return;
    }
    always_fn = fn;
    always.data = arg;
    CHECK_IS(uv_idle_init(&uv, &always), 0);
    always.data = arg;
    CHECK_IS(uv_idle_start(&always, call_each_time), 0);
}

static const struct host tested = {create, destroy, attach_by_libuv, detach, turn, call_after, call_always};

TEST(p08_run_returns_when_the_loop_has_ended)
{
    static struct attached attached;
    int status = 4;

    tested.create();
    attach_with(&attached, run_a_timer, &status);
    CHECK_IS(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_IS(attached.n_ended, 1);
    CHECK_IS(attached.status, 4);
    tested.destroy();
}

static void attach_in_prepare(uv_prepare_t *prepare)
{
    CHECK_IS(uv_prepare_stop(prepare), 0);
    attach_with(prepare->data, run_a_timer, &(int){6});
}

/* libuv does not call a handle for the sleep that follows, if it was started just before. */
TEST(p01_a_loop_that_is_attached_before_a_sleep_gets_its_first_turn)
{
    static struct attached attached;
    static uv_prepare_t prepare;

    tested.create();
    CHECK_IS(uv_prepare_init(&uv, &prepare), 0);
    prepare.data = &attached;
    CHECK_IS(uv_prepare_start(&prepare, attach_in_prepare), 0);
    CHECK_IS(uv_run(&uv, UV_RUN_DEFAULT), 0);
    CHECK_IS(attached.n_ended, 1);
    CHECK_IS(attached.status, 6);
    uv_close((uv_handle_t *)&prepare, NULL);
    tested.destroy();
}
