/* SPDX-License-Identifier: ISC
 *
 * Records of a length and that many bytes: written at one end of a pipe, read at the other.
 */
#include <loop/bytes.h>
#include <loop/loop.h>
#include <loop/reader.h>
#include <loop/writer.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void write_records(struct loop_writer *writer)
{
    static const char *const names[] = {"noria", "", "wheel"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        loop_writer_u16_be(writer, (uint16_t)strlen(names[i]));
        loop_writer_print(writer, "%s", names[i]);
    }
    loop_writer_shutdown(writer, NULL, NULL);
}

static void on_length(void *reader, int64_t result);

static void read_record(struct loop_reader *reader)
{
    loop_reader_exact(reader, 2, on_length, reader);
}

static void on_name(void *reader, int64_t result)
{
    if (result <= 0) {
        printf("cut off: %s\n", result == 0 ? "no name" : strerror((int)-result));
        return;
    }
    printf("%.*s\n", (int)result, loop_reader_data(reader, NULL));
    read_record(reader);
}

static void on_length(void *reader, int64_t result)
{
    if (result <= 0) {
        printf("%s\n", result == 0 ? "the end" : strerror((int)-result));
        return;
    }
    uint16_t len = loop_get_u16_be(loop_reader_data(reader, NULL));
    if (len > 0) {
        loop_reader_exact(reader, len, on_name, reader);
    } else {
        printf("(no name)\n"); /* reading 0 bytes would look like the end */
        read_record(reader);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct loop_source *source;
    struct loop_sink *sink;
    int error = loop_pipe(env->scope, &source, &sink);
    struct loop_writer *writer = error ? NULL : loop_writer_create(sink, 0);
    struct loop_reader *reader = error ? NULL : loop_reader_create(source, 65535);

    (void)arg;
    if (!writer || !reader) {
        return error ? error : -ENOMEM;
    }
    write_records(writer);
    read_record(reader);
    return 0;
}

int main(void)
{
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
