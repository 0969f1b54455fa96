/* SPDX-License-Identifier: ISC
 *
 * Fuzzes the messages of DNS servers. The first byte chooses the type that was asked for; the rest is the message. The
 * name that was asked for is that of its question. What is found has to be consistent, what cannot be read adds
 * nothing, and bytes behind the message make no difference.
 */
#include "fuzz.h"

#include <net/names/dns/answer.h>

#include <ctype.h>

enum { HEADER_SIZE = 12, WEEK_S = 7 * 24 * 3600, NEGATIVE_S = 3 * 3600 };

/* Stores the name of the question, as far as it is made of letters and digits, without pointers. */
static void find_name(const uint8_t *bytes, size_t len, char name[LOOP_NAMES_HOST_MAX + 1])
{
    size_t at = HEADER_SIZE, name_len = 0;

    while (at < len && bytes[at] > 0 && bytes[at] < 64 && at + bytes[at] < len && name_len + bytes[at] < 200) {
        for (size_t i = 1; i <= bytes[at]; i++) {
            name[name_len++] = isalnum(bytes[at + i]) ? (char)bytes[at + i] : 'x';
        }
        name[name_len++] = '.';
        at += bytes[at] + 1u;
    }
    name[name_len > 0 ? name_len - 1 : 0] = '\0';
}

static void check_records(const struct loop_names_records *records, int type)
{
    FUZZ_MUST((type == LOOP_NAMES_TYPE_PTR) == (records->n_addresses == 0));
    FUZZ_MUST((type == LOOP_NAMES_TYPE_PTR) == (records->n_names > 0));
    for (size_t i = 0; i < records->n_addresses; i++) {
        FUZZ_MUST(records->addresses[i].u.any.sa_family == (type == LOOP_NAMES_TYPE_A ? AF_INET : AF_INET6));
    }
    size_t n_names = 0;
    for (size_t at = 0; at < records->names_len; at += strlen(records->names + at) + 1, n_names++) {
        const char *name = records->names + at;
        FUZZ_MUST(strlen(name) > 0 && strlen(name) <= LOOP_NAMES_HOST_MAX);
        for (; *name; name++) {
            FUZZ_MUST(isalnum((unsigned char)*name) || strchr("-_.", *name));
        }
    }
    FUZZ_MUST(n_names == records->n_names);
}

/* Reads a copy, so that the sanitizer sees a read behind its end. Returns the result. */
static int read_copy(const uint8_t *bytes, size_t len, const char *name, int type, struct loop_names_records *records,
                     uint32_t *ttl_s)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    FUZZ_MUST(copy);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    int result = loop_names_answer_read((struct loop_names_message){copy, len}, name, type, records, ttl_s);
    free(copy);
    return result;
}

/* Reads the message again, with other bytes behind it: nothing new is found. */
static void read_again(const uint8_t *bytes, size_t len, const char *name, int type, struct loop_names_records *records,
                       int expected)
{
    uint8_t longer[8192];
    size_t n_addresses = records->n_addresses, n_names = records->n_names;
    uint32_t ttl_s;

    if (len + 16 > sizeof longer) {
        return;
    }
    memcpy(longer, bytes, len);
    memset(longer + len, 0xff, 16);
    FUZZ_MUST(read_copy(longer, len + 16, name, type, records, &ttl_s) == expected);
    FUZZ_MUST(records->n_addresses == n_addresses && records->n_names == n_names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int types[] = {LOOP_NAMES_TYPE_A, LOOP_NAMES_TYPE_AAAA, LOOP_NAMES_TYPE_PTR};
    struct fuzz_input input = {data, size};
    struct loop_names_records records;
    char name[LOOP_NAMES_HOST_MAX + 1];
    uint32_t ttl_s = 1;
    int type = types[fuzz_take(&input, 3)];

    find_name(input.data, input.size, name);
    loop_names_records_init(&records);
    int result = read_copy(input.data, input.size, name, type, &records, &ttl_s);
    FUZZ_MUST(result == 1 || result == 0 || result == -ENOENT || result == -EAGAIN);
    FUZZ_MUST(ttl_s <= (result > 0 ? WEEK_S : result == -EAGAIN ? 0 : NEGATIVE_S));
    if (result > 0) {
        check_records(&records, type);
    } else {
        FUZZ_MUST(records.n_addresses == 0 && records.n_names == 0 && records.names_len == 0);
    }
    if (result != -EAGAIN) {
        read_again(input.data, input.size, name, type, &records, result);
    }
    loop_names_records_finish(&records);
    return 0;
}
