/* SPDX-License-Identifier: ISC
 *
 * Reading messages. What they say is not trusted: every length is checked, and the pointers of compressed names lead
 * only backwards.
 */
#include <net/names/dns/answer.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_SIZE = 12, CLASS_IN = 1, RCODE_NO_ERROR = 0, RCODE_NO_NAME = 3 };

/* A name has at most 127 labels, RFC 1035, so that more pointers than labels lead nowhere but take their time. */
enum { MOST_POINTERS = 127 };

/* Longer is not believed: RFC 8767 suggests a week at most, RFC 2308 3 hours for negative answers. */
#define MOST_TTL_S (7u * 24 * 3600)
#define MOST_NEGATIVE_TTL_S (3u * 3600)

struct reading {
    const unsigned char *bytes;
    size_t len, at;
    bool is_bad; /* read beyond the end, or nonsense: what was returned is 0 */
};

struct record {
    char owner[LOOP_NAMES_HOST_MAX + 1];
    unsigned type, class;
    uint32_t ttl_s;
    size_t at, len; /* of its data */
};

/* ---- pieces ---- */

static uint32_t number(struct reading *reading, size_t size)
{
    uint32_t value = 0;

    if (reading->len - reading->at < size) {
        reading->is_bad = true;
        reading->at = reading->len;
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | reading->bytes[reading->at++];
    }
    return value;
}

/* Whether a byte of a label stands for itself in a text. A host that a program asks for may have all of these: labels
 * may have any bytes, RFC 2181. */
static bool is_plain(unsigned char byte)
{
    return byte > ' ' && byte <= '~' && byte != '.' && byte != '\\';
}

/* Whether a name can be handed to programs that expect that of a host, which may make a part of a path or of a command
 * of it. */
static bool is_host_name(const char *name)
{
    for (; *name; name++) {
        bool is_letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');
        if (!is_letter && !(*name >= '0' && *name <= '9') && !strchr("-_.", *name)) {
            return false;
        }
    }
    return true;
}

/* Appends a label and its dot to `name`, bytes that are not plain as \DDD. Returns the new length, or 0 when it does
 * not fit. */
static size_t append_label(char *name, size_t len, const unsigned char *label, size_t label_len)
{
    for (size_t i = 0; i < label_len; i++) {
        if (LOOP_NAMES_HOST_MAX - len < (is_plain(label[i]) ? 2 : 5)) { /* itself or "\DDD", and the dot */
            return 0;
        }
        if (is_plain(label[i])) {
            name[len++] = (char)label[i];
        } else {
            len += (size_t)sprintf(name + len, "\\%03u", (unsigned)label[i]);
        }
    }
    name[len++] = '.';
    return len;
}

/* Reads a name as text without a dot at its end. Each pointer has to lead before the one that led there. */
static void read_name(struct reading *reading, char name[LOOP_NAMES_HOST_MAX + 1])
{
    struct reading from = *reading;
    size_t len = 0, bound = reading->at;
    unsigned pointers = 0;

    for (;;) {
        size_t size = number(&from, 1);
        if (size >= 0xc0) {
            size_t target = (size & 0x3f) << 8 | number(&from, 1);
            if (pointers++ == 0) {
                reading->at = from.at;
            }
            from.is_bad |= target >= bound || pointers > MOST_POINTERS;
            bound = from.at = target < bound ? target : bound;
        } else if (size > 0x3f || size > from.len - from.at) {
            from.is_bad = true;
        } else if (size > 0) {
            len = append_label(name, len, from.bytes + from.at, size);
            from.is_bad |= len == 0;
            from.at += size;
        }
        if (size == 0 || from.is_bad) {
            break;
        }
    }
    name[len > 0 ? len - 1 : 0] = '\0';
    if (pointers == 0) {
        reading->at = from.at;
    }
    reading->is_bad |= from.is_bad;
}

/* Reads a record, and goes behind it. */
static bool read_record(struct reading *reading, struct record *record)
{
    read_name(reading, record->owner);
    record->type = number(reading, 2);
    record->class = number(reading, 2);
    record->ttl_s = number(reading, 4);
    record->len = number(reading, 2);
    record->at = reading->at;
    if (reading->is_bad || record->len > reading->len - reading->at) {
        reading->is_bad = true;
        return false;
    }
    if (record->ttl_s > MOST_TTL_S) {
        record->ttl_s = record->ttl_s > INT32_MAX ? 0 : MOST_TTL_S;
    }
    reading->at += record->len;
    return true;
}

/* Reads the name that the data of a record is. */
static bool read_target(const struct reading *reading, const struct record *record, char name[LOOP_NAMES_HOST_MAX + 1])
{
    struct reading data = *reading;

    data.at = record->at;
    read_name(&data, name);
    return !data.is_bad;
}

/* ---- answers ---- */

/* Adds a record of the type asked for. Returns 1; 0 for one that is left out; -ENOMEM. */
static int add_record(const struct reading *reading, const struct record *record, struct loop_names_records *records)
{
    char name[LOOP_NAMES_HOST_MAX + 1];
    const unsigned char *data = reading->bytes + record->at;
    int error;

    if (record->type == LOOP_NAMES_TYPE_A && record->len == 4) {
        error = loop_names_add_bytes(records, AF_INET, data, 0);
    } else if (record->type == LOOP_NAMES_TYPE_AAAA && record->len == 16) {
        error = loop_names_add_bytes(records, AF_INET6, data, 0);
    } else if (record->type == LOOP_NAMES_TYPE_PTR && read_target(reading, record, name) && name[0] != '\0' &&
               is_host_name(name)) {
        error = loop_names_add_name(records, name);
    } else {
        return 0;
    }
    return error < 0 ? error : 1;
}

/* Reads the section of answers, following the aliases from `name`, which becomes the last of them. Returns how many
 * records were added, or -ENOMEM. */
static int read_answers(struct reading *reading, unsigned count, int type, char name[LOOP_NAMES_HOST_MAX + 1],
                        struct loop_names_records *records, uint32_t *ttl_s)
{
    struct record record;
    int added = 0;

    while (count-- > 0 && read_record(reading, &record)) {
        if (record.class != CLASS_IN || !loop_names_equal(record.owner, name)) {
            continue;
        }
        int result = 0;
        if (record.type == LOOP_NAMES_TYPE_CNAME && type != LOOP_NAMES_TYPE_CNAME) {
            result = read_target(reading, &record, name);
            reading->is_bad |= result == 0;
        } else if ((int)record.type == type) {
            result = add_record(reading, &record, records);
            added += result > 0;
        }
        if (result < 0) {
            return result;
        }
        *ttl_s = result > 0 && record.ttl_s < *ttl_s ? record.ttl_s : *ttl_s;
    }
    return added;
}

/* Returns for how long a negative answer is valid: RFC 2308. Without a record SOA it is not to be kept. */
static uint32_t negative_ttl(struct reading *reading, unsigned count)
{
    struct record record;

    while (count-- > 0 && read_record(reading, &record)) {
        if (record.type == LOOP_NAMES_TYPE_SOA && record.len >= 22) {
            struct reading minimum = {reading->bytes, reading->len, record.at + record.len - 4, false};
            uint32_t value = number(&minimum, 4), ttl_s = value < record.ttl_s ? value : record.ttl_s;
            return ttl_s < MOST_NEGATIVE_TTL_S ? ttl_s : MOST_NEGATIVE_TTL_S;
        }
    }
    return 0;
}

/* Forgets what a message has added that could not be read to its end. */
static void take_back(struct loop_names_records *records, const struct loop_names_records *before)
{
    records->n_addresses = before->n_addresses;
    records->n_names = before->n_names;
    records->names_len = before->names_len;
}

int loop_names_answer_read(struct loop_names_message message, const char *name, int type,
                           struct loop_names_records *records, uint32_t *ttl_s)
{
    struct reading reading = {message.bytes, message.len, 4, message.len < HEADER_SIZE};
    char last[LOOP_NAMES_HOST_MAX + 1];

    *ttl_s = 0;
    if (reading.is_bad) {
        return -EAGAIN;
    }
    unsigned rcode = message.bytes[3] & 0xf;
    unsigned questions = number(&reading, 2), answers = number(&reading, 2), authorities = number(&reading, 2);
    reading.at = HEADER_SIZE;
    while (questions-- > 0 && !reading.is_bad) {
        read_name(&reading, last);
        (void)number(&reading, 4);
    }
    if (reading.is_bad || (rcode != RCODE_NO_ERROR && rcode != RCODE_NO_NAME)) {
        return -EAGAIN;
    }
    uint32_t ttl = MOST_TTL_S;
    const struct loop_names_records before = *records;
    loop_names_copy(last, sizeof last, name);
    int added = read_answers(&reading, answers, type, last, records, &ttl);
    if (added < 0 || reading.is_bad) {
        take_back(records, &before);
        return added < 0 ? added : -EAGAIN;
    }
    if (added > 0) {
        loop_names_copy(records->canonical, sizeof records->canonical, is_host_name(last) ? last : name);
        *ttl_s = ttl;
        return 1;
    }
    uint32_t negative = negative_ttl(&reading, authorities);
    *ttl_s = negative < ttl ? negative : ttl;
    return rcode == RCODE_NO_NAME ? -ENOENT : 0;
}
