/* SPDX-License-Identifier: ISC
 *
 * Fuzzes readers. The source delivers its bytes in arbitrary pieces, at once or later, and ends normally or with an
 * error. Each operation must return what a model computes from all of the bytes.
 */
#include "fuzz.h"

#include <loop/reader.h>

enum { OPERATIONS = 64, CONTENT = 2000 };

enum what { LINE, UNTIL, EXACT, TAKE, ALL, SKIP, FILL, LINES, WINDOW, KINDS };

static struct {
    struct fuzz_input input;
    struct loop_env *env;
    struct loop_source source;
    struct loop_reader *reader;
    const char *bytes; /* the source's; those before `given` are the reader's, and those before `at` consumed */
    size_t size, given, at, most;
    int64_t end; /* 0, or the error after the last byte */
    enum what what;
    size_t len;
    char delimiter[4];
    loop_job job;
    bool is_cancelled;
    unsigned done;
    void *read_buffer;
    size_t read_len;
    loop_job read;
} now;

static void next_operation(void);

/* ---- the source ---- */

static void give(void *unused, int64_t result)
{
    size_t n = 1 + fuzz_take(&now.input, 256), left = now.size - now.given;

    (void)unused;
    (void)result;
    n = n < left ? n : left;
    n = n < now.read_len ? n : now.read_len;
    memcpy(now.read_buffer, now.bytes + now.given, n);
    if (loop_resolve(now.env->loop, now.read, n > 0 ? (int64_t)n : now.end) == 0) {
        now.given += n;
    }
}

static loop_job source_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    FUZZ_MUST(len > 0);
    now.read = loop_promise(source->scope, NULL, NULL, fn, arg);
    now.read_buffer = buf;
    now.read_len = len;
    if (fuzz_take(&now.input, 4) == 0) {
        loop_op_nop(source->scope, give, NULL);
    } else {
        give(NULL, 0);
    }
    return now.read;
}

static const struct loop_source_ops source_ops = {.read = source_read};

/* ---- the model ---- */

/* The expected result of an operation, and the length of the bytes that it returns. */
struct answer {
    int64_t result;
    size_t given_out;
    bool has_data;
};

static const char *rest_bytes(void)
{
    return now.bytes + now.at;
}

static size_t rest(void)
{
    return now.size - now.at;
}

static struct answer whole_rest(void)
{
    if (rest() > now.most) {
        return (struct answer){-EMSGSIZE, 0, false};
    }
    if (now.end < 0 || rest() == 0) {
        return (struct answer){now.end, 0, false};
    }
    return (struct answer){(int64_t)rest(), rest(), true};
}

static struct answer until(const char *delimiter, size_t len)
{
    size_t most = rest() < now.most ? rest() : now.most;
    const char *found = memmem(rest_bytes(), most, delimiter, len);

    if (!found) {
        return whole_rest();
    }
    size_t given_out = (size_t)(found - rest_bytes());
    return (struct answer){(int64_t)(given_out + len), given_out, true};
}

static struct answer line(void)
{
    struct answer answer = until("\n", 1);

    if (answer.has_data && (size_t)answer.result > answer.given_out && answer.given_out > 0 &&
        rest_bytes()[answer.given_out - 1] == '\r') {
        answer.given_out--;
    }
    return answer;
}

static struct answer too_few(int64_t cut_off)
{
    return (struct answer){now.end < 0 || rest() == 0 ? now.end : cut_off, 0, false};
}

static struct answer exact(void)
{
    if (now.len == 0 || now.len > now.most) {
        return (struct answer){now.len == 0 ? -EINVAL : -EMSGSIZE, 0, false};
    }
    return rest() >= now.len ? (struct answer){(int64_t)now.len, now.len, true} : too_few(-ENODATA);
}

static struct answer skip(void)
{
    size_t n = now.len < rest() ? now.len : rest();

    if (now.len == 0) {
        return (struct answer){-EINVAL, 0, false};
    }
    return n > 0 ? (struct answer){(int64_t)n, 0, false} : too_few(0);
}

/* ---- comparing ---- */

static void check_data(size_t expected)
{
    size_t len;
    const char *data = loop_reader_data(now.reader, &len);

    FUZZ_MUST(len == expected && memcmp(data, rest_bytes(), len) == 0);
}

/* Checks an operation whose result is fully determined. */
static void check_answer(struct answer answer, int64_t result)
{
    FUZZ_MUST(result == answer.result);
    check_data(answer.has_data ? answer.given_out : 0);
    if (answer.has_data && (now.what == LINE || now.what == LINES || now.what == UNTIL || now.what == ALL)) {
        FUZZ_MUST(loop_reader_data(now.reader, NULL)[answer.given_out] == '\0');
    }
    now.at += result > 0 ? (size_t)result : 0;
}

/* Checks an operation that takes the bytes available at that moment. */
static void check_take(int64_t result)
{
    if (now.len == 0 || rest() == 0) {
        FUZZ_MUST(result == (now.len == 0 ? -EINVAL : now.end));
        return;
    }
    FUZZ_MUST(result > 0 && (size_t)result <= now.len && (size_t)result <= now.most && (size_t)result <= rest());
    check_data((size_t)result);
    now.at += (size_t)result;
}

static void check_window(void)
{
    size_t len;
    const char *bytes = loop_reader_peek(now.reader, &len);

    FUZZ_MUST(len == now.given - now.at && memcmp(bytes, rest_bytes(), len) == 0);
}

static void check_fill(int64_t result)
{
    struct answer answer = exact();

    if (answer.result < 0 || !answer.has_data) {
        FUZZ_MUST(result == answer.result);
        return;
    }
    FUZZ_MUST(result >= (int64_t)now.len && (size_t)result == now.given - now.at);
    check_window();
}

static void on_result(void *unused, int64_t result)
{
    (void)unused;
    if (now.is_cancelled && result == -ECANCELED) {
        next_operation();
        return;
    }
    if (now.is_cancelled && now.what == SKIP && result > 0) {
        FUZZ_MUST((size_t)result <= now.len && (size_t)result <= rest());
        now.at += (size_t)result;
        next_operation();
        return;
    }
    switch (now.what) {
    case LINE: check_answer(line(), result); break;
    case UNTIL:
        check_answer(now.len > 0 ? until(now.delimiter, now.len) : (struct answer){-EINVAL, 0, false}, result);
        break;
    case EXACT: check_answer(exact(), result); break;
    case ALL: check_answer(whole_rest(), result); break;
    case SKIP: check_answer(skip(), result); break;
    case TAKE: check_take(result); break;
    case FILL: check_fill(result); break;
    default: abort();
    }
    next_operation();
}

static void on_line(void *unused, int64_t result)
{
    (void)unused;
    if (now.is_cancelled) {
        FUZZ_MUST(result == -ECANCELED);
        next_operation();
        return;
    }
    check_answer(line(), result);
    if (result <= 0) {
        next_operation();
    } else if (fuzz_take(&now.input, 8) == 0) {
        now.is_cancelled = loop_cancel(now.env->loop, now.job) == 0;
    }
}

static void consume(void)
{
    size_t there = now.given - now.at;

    check_window();
    FUZZ_MUST(loop_reader_consume(now.reader, there + 1) == -EINVAL);
    now.len = now.len < there ? now.len : there;
    FUZZ_MUST(loop_reader_consume(now.reader, now.len) == 0);
    now.at += now.len;
    check_window();
}

static loop_job start(void)
{
    switch (now.what) {
    case LINE: return loop_reader_line(now.reader, on_result, NULL);
    case UNTIL: return loop_reader_until(now.reader, now.delimiter, now.len, on_result, NULL);
    case EXACT: return loop_reader_exact(now.reader, now.len, on_result, NULL);
    case TAKE: return loop_reader_take(now.reader, now.len, on_result, NULL);
    case ALL: return loop_reader_all(now.reader, on_result, NULL);
    case SKIP: return loop_reader_skip(now.reader, now.len, on_result, NULL);
    case FILL: return loop_reader_fill(now.reader, now.len, on_result, NULL);
    default: return loop_reader_lines(now.reader, on_line, NULL);
    }
}

static void next_operation(void)
{
    do {
        if (now.done++ == OPERATIONS || now.input.size == 0) {
            return;
        }
        now.what = (enum what)fuzz_take(&now.input, KINDS);
        now.len = fuzz_take(&now.input, now.what == UNTIL ? sizeof now.delimiter + 1 : 300);
        if (now.what == WINDOW) {
            consume();
        }
    } while (now.what == WINDOW);
    for (size_t i = 0; i < sizeof now.delimiter; i++) {
        now.delimiter[i] = (char)('a' + fuzz_take(&now.input, 2));
    }
    now.is_cancelled = false;
    now.job = start();
    FUZZ_MUST(now.job != 0);
    if (fuzz_take(&now.input, 8) == 0) {
        now.is_cancelled = loop_cancel(now.env->loop, now.job) == 0;
    }
}

static int begin(struct loop_env *env, void *unused)
{
    (void)unused;
    now.env = env;
    now.source = (struct loop_source){.ops = &source_ops, .scope = env->scope};
    now.reader = loop_reader_create(&now.source, now.most);
    FUZZ_MUST(now.reader != NULL);
    next_operation();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};

    memset(&now, 0, sizeof now);
    now.most = 1 + fuzz_take(&input, 200);
    now.end = fuzz_take(&input, 4) == 0 ? -EIO : 0;
    now.size = fuzz_take(&input, CONTENT);
    now.size = now.size < input.size ? now.size : input.size;
    char *bytes = malloc(now.size + 1);
    FUZZ_MUST(bytes != NULL);
    memcpy(bytes, input.data, now.size);
    for (size_t i = 0; i < now.size; i++) { /* so that delimiters occur */
        bytes[i] = "ab\n\rab\nc"[(unsigned char)bytes[i] % 8];
    }
    now.bytes = bytes;
    now.input = (struct fuzz_input){input.data + now.size, input.size - now.size};
    fuzz_run(begin, NULL);
    free(bytes);
    return 0;
}
