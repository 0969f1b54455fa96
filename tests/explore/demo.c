/* SPDX-License-Identifier: ISC
 *
 * The functions that demos share, for worlds that are made of demos: they print nothing and read no arguments.
 */
#include "explore.h"

#include "../../demos/common/arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int loop_kernel_ioctl(int number, int what, void *argument);
void *loop_kernel_malloc(size_t size);

int explore_ioctl(int number, unsigned long what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return loop_kernel_ioctl(number, (int)what, argument);
}

int explore_asprintf(char **text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    *text = len >= 0 ? loop_kernel_malloc((size_t)len + 1) : NULL;
    if (*text) {
        vsnprintf(*text, (size_t)len + 1, format, again);
    }
    va_end(again);
    va_end(arguments);
    return *text ? len : -1;
}

char **arguments_parse(const struct arguments_program *unused, int argc, char **argv)
{
    (void)unused;
    (void)argc;
    return argv;
}

struct loop_address arguments_address(const char *text)
{
    struct loop_address address;

    loop_address_parse(&address, text);
    return address;
}

void arguments_refuse(const char *format, ...)
{
    loop_world_fail(NULL, "the arguments of a demo are wrong: %s", format);
    abort();
}

void arguments_complain(const char *format, ...)
{
    (void)format;
    loop_simulation_sometimes("a demo complained");
}

int arguments_fail(const char *what, int64_t error)
{
    (void)what;
    (void)error;
    loop_simulation_sometimes("a demo reported an error");
    return 1;
}

int arguments_run(loop_main_fn *fn, void *arg)
{
    return loop_run(0, 0, 0, NULL, fn, arg);
}

int arguments_announce(struct loop_env *env, struct loop_server *server, const char *more)
{
    (void)env;
    (void)server;
    (void)more;
    return 0;
}

void arguments_bound_connections(struct arguments_serving *serving, uint64_t each, uint64_t others)
{
    (void)serving;
    (void)each;
    (void)others;
}

int arguments_serve(struct loop_env *env, const struct loop_address *address, const struct arguments_serving *unused,
                    struct loop_server **server, loop_connection_fn *fn, void *arg)
{
    (void)unused;
    return loop_serve(env->scope, address, &(struct loop_serve_options){.listen.reuse_addr = true}, server, fn, arg);
}
