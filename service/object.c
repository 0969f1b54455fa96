/* SPDX-License-Identifier: ISC
 *
 * What every file of the service uses.
 */
#include <loop/part.h>
#include <service/object.h>

bool loop_service_is_good(const struct loop_service *service, const char *function)
{
    return loop_check_object(service, offsetof(struct loop_service, scope), "service", function);
}

int64_t loop_service_parse(const char *text, int64_t most)
{
    int64_t value = 0;

    if (!*text) {
        return -1;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > (most - (*text - '0')) / 10) {
            return -1;
        }
        value = value * 10 + (*text - '0');
    }
    return value;
}
