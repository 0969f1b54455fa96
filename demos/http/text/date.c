/* SPDX-License-Identifier: ISC
 *
 * Dates as HTTP writes them.
 */
#include "date.h"

#include <string.h>
#include <time.h>

const char *date_write(char text[DATE_SIZE], int64_t seconds)
{
    time_t time = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&time, &parts) || strftime(text, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &parts) == 0) {
        text[0] = '\0';
    }
    return text;
}

const char *date_of_now(struct loop_clock *clock)
{
    static _Thread_local char text[DATE_SIZE];
    static _Thread_local int64_t written = -1;
    int64_t now = loop_clock_wall(clock) / LOOP_SECOND;

    if (now != written) {
        written = now;
        date_write(text, now);
    }
    return text;
}

bool date_read(const char *text, int64_t *seconds)
{
    static const char *const formats[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                          "%a %b %d %H:%M:%S %Y"};

    for (size_t i = 0; text[0] != '\0' && i < sizeof formats / sizeof *formats; i++) {
        struct tm parts = {0};
        const char *end = strptime(text, formats[i], &parts);
        if (end && end[strspn(end, " \t")] == '\0') {
            *seconds = timegm(&parts);
            return true;
        }
    }
    return false;
}
