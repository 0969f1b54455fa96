/* SPDX-License-Identifier: ISC
 *
 * What cp reports on standard error.
 */
#include "cp_report.h"
#include "../common/arguments.h"
#include "../common/printable.h"

#include <errno.h>
#include <string.h>

void cp_complain(struct cp *cp, const char *path, const char *text)
{
    char shown[PRINTABLE_IN_LINE];

    cp->status = 1;
    progress_clear(cp->progress);
    arguments_complain("%s: %s", printable(shown, sizeof shown, path), text);
}

void cp_fail(struct cp *cp, const char *path, int64_t error)
{
    if (error != -ECANCELED) {
        cp_complain(cp, path, strerror((int)-error));
    }
}

const char *cp_why_special(enum loop_kind kind)
{
    switch (kind) {
    case LOOP_KIND_FIFO: return "is a fifo, which is not copied";
    case LOOP_KIND_SOCKET: return "is a socket, which is not copied";
    default: return "is a device, which is not copied";
    }
}
