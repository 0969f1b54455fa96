/* SPDX-License-Identifier: ISC
 *
 * A custom sink: a printer that takes a millisecond for each write. The library keeps the queue.
 */
#include <loop/loop.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct printer {
    struct loop_sink sink;
    struct loop *loop;
    const struct iovec *iov; /* of the current write */
    size_t n_iov;
    loop_job write, timer;
};

static void on_time(void *arg, int64_t result)
{
    struct printer *printer = arg;

    for (size_t i = 0; result >= 0 && i < printer->n_iov; i++) {
        result += (int64_t)fwrite(printer->iov[i].iov_base, 1, printer->iov[i].iov_len, stdout);
    }
    loop_resolve(printer->loop, printer->write, result);
}

static void on_cancel(void *arg, loop_job write)
{
    struct printer *printer = arg;

    (void)write;
    loop_cancel(printer->loop, printer->timer);
}

static loop_job printer_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct printer *printer = sink->self;

    printer->iov = iov;
    printer->n_iov = n_iov;
    printer->write = loop_promise(sink->scope, on_cancel, printer, fn, arg);
    printer->timer = printer->write ? loop_sleep(sink->scope, LOOP_MILLISECOND, on_time, printer) : 0;
    if (!printer->timer) {
        loop_resolve(printer->loop, printer->write, -ENOMEM);
    }
    return printer->write;
}

static const struct loop_sink_ops printer_ops = {.write = printer_write};

static int start(struct loop_env *env, void *arg)
{
    static const char *const lines[] = {"one\n", "two\n", "three\n"};
    struct printer *printer = arg;

    printer->loop = env->loop;
    printer->sink = (struct loop_sink){.ops = &printer_ops, .scope = env->scope, .self = printer};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        loop_write(&printer->sink, lines[i], strlen(lines[i]), NULL, NULL);
    }
    printf("%zu bytes wait\n", loop_sink_queued(&printer->sink));
    return 0;
}

int main(void)
{
    struct printer printer = {.loop = NULL};

    return loop_run(0, 0, 0, NULL, start, &printer) == 0 ? 0 : 1;
}
