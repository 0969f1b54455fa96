/* SPDX-License-Identifier: ISC
 *
 * A message on standard input: a header of lines, an empty line, and a body, which is copied to standard output.
 */
#include <loop/loop.h>
#include <loop/reader.h>

#include <errno.h>
#include <stdio.h>

struct message {
    struct loop_env *env;
    struct loop_reader *reader;
    unsigned fields;
};

static void on_field(void *arg, int64_t result);

static void read_field(struct message *message)
{
    loop_reader_line(message->reader, on_field, message);
}

static void on_field(void *arg, int64_t result)
{
    struct message *message = arg;
    size_t len;

    if (result <= 0) {
        fprintf(stderr, "there is no empty line\n");
        loop_scope_fail(message->env->scope, result < 0 ? result : -EBADMSG);
        return;
    }
    loop_reader_data(message->reader, &len);
    if (len > 0) {
        message->fields++;
        read_field(message);
        return;
    }
    printf("%u fields, and then:\n", message->fields);
    fflush(stdout);
    loop_copy(loop_reader_source(message->reader), message->env->out, NULL, NULL);
}

static int start(struct loop_env *env, void *arg)
{
    struct message *message = arg;

    message->env = env;
    message->reader = loop_reader_create(env->in, 8192); /* the limit for a line of the header */
    if (!message->reader) {
        return -ENOMEM;
    }
    read_field(message);
    return 0;
}

int main(void)
{
    struct message message = {.fields = 0};

    return loop_run(0, 0, 0, NULL, start, &message) == 0 ? 0 : 1;
}
