/* SPDX-License-Identifier: ISC
 *
 * Conditions of requests.
 */
#include "condition.h"
#include "text/date.h"

#include <string.h>

/* A file that was written within this time before the answer may have been written again in the same second. */
#define SETTLED_SECONDS 60

/* Returns the length of the tag at `text`, with its quotes but without a W/ before it. */
static size_t tag_len(const char *text)
{
    if (text[0] != '"') {
        return strcspn(text, ", \t");
    }
    size_t len = 1 + strcspn(text + 1, "\"");
    return len + (text[len] == '"');
}

/* Whether a list of tags has this one. A weak tag is never the same as another one by the strong comparison. By the
 * weak one it is: the bytes are the same where they match. */
static bool has_tag(const char *list, const char *tag, bool is_weak_enough)
{
    size_t len = strlen(tag);

    if (strcmp(list, "*") == 0) {
        return true;
    }
    while (*list) {
        list += strspn(list, ", \t");
        bool is_weak = strncmp(list, "W/", 2) == 0;
        list += is_weak ? 2 : 0;
        size_t n = tag_len(list);
        if (n == len && memcmp(list, tag, len) == 0 && (is_weak_enough || !is_weak)) {
            return true;
        }
        list += n;
    }
    return false;
}

/* A tag decides where the client has sent one, because dates are of whole seconds. */
int condition_status(const struct http_request *request, const struct condition_subject *subject)
{
    const char *const *fields = request->fields;
    int64_t seconds;

    if (fields[FIELD_IF_MATCH]) {
        if (!has_tag(fields[FIELD_IF_MATCH], subject->tag, false)) {
            return 412;
        }
    } else if (fields[FIELD_IF_UNMODIFIED_SINCE] && date_read(fields[FIELD_IF_UNMODIFIED_SINCE], &seconds) &&
               subject->modified > seconds) {
        return 412;
    }
    if (fields[FIELD_IF_NONE_MATCH]) {
        return has_tag(fields[FIELD_IF_NONE_MATCH], subject->tag, true) ? 304 : 200;
    }
    bool is_old = fields[FIELD_IF_MODIFIED_SINCE] && date_read(fields[FIELD_IF_MODIFIED_SINCE], &seconds) &&
                  subject->modified <= seconds;
    return is_old ? 304 : 200;
}

bool condition_allows_range(const struct http_request *request, const struct condition_subject *subject, int64_t now)
{
    const char *condition = request->fields[FIELD_IF_RANGE];
    int64_t seconds;

    return !condition || strcmp(condition, subject->tag) == 0 ||
           (date_read(condition, &seconds) && seconds == subject->modified &&
            subject->modified < now - SETTLED_SECONDS);
}
