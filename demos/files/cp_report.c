/* SPDX-License-Identifier: ISC
 *
 * What cp reports on standard error.
 */
#include "cp_report.h"
#include "../common/arguments.h"
#include "../common/printable.h"

#include <errno.h>
#include <string.h>

#define LONGEST_PATH 600

void cp_complain(struct cp *cp, const char *path, const char *text)
{
    char shown[PRINTABLE_IN_LINE];

    cp->status = 1;
    progress_clear(cp->progress);
    arguments_complain("%s: %s", printable(shown, sizeof shown, path), text);
}

/* Prepends "NAME/" to the text at `*path`. Returns false if there is no room. */
static bool put_in_front(const char *begin, char **path, const char *name)
{
    size_t len = strlen(name);

    if (len + 1 > (size_t)(*path - begin)) {
        return false;
    }
    *path -= len + 1;
    memcpy(*path, name, len);
    (*path)[len] = '/';
    return true;
}

void cp_complain_in(struct cp *cp, const struct cp_way *way, const char *name, const char *text)
{
    char buffer[LONGEST_PATH] = "";
    char *end = buffer + sizeof buffer - 1, *path = end;
    bool fits = !*name || put_in_front(buffer, &path, name);

    while (fits && way) {
        fits = put_in_front(buffer, &path, way->name);
        way = way->parent;
    }
    *(path < end ? end - 1 : end) = '\0'; /* removes the slash after the last name */
    cp_complain(cp, path, text);
}

void cp_fail(struct cp *cp, const char *path, int64_t error)
{
    if (error != -ECANCELED) {
        cp_complain(cp, path, strerror((int)-error));
    }
}

/* Says to the loop that the cancel of a held scope has been noticed. */
static void on_cancelled(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

void cp_hold(struct loop_scope *scope)
{
    loop_scope_hold(scope);
    (void)loop_scope_on_cancel(scope, on_cancelled, NULL);
}

const char *cp_why_special(enum loop_kind kind)
{
    switch (kind) {
    case LOOP_KIND_FIFO: return "is a fifo, which is not copied";
    case LOOP_KIND_SOCKET: return "is a socket, which is not copied";
    default: return "is a device, which is not copied";
    }
}
