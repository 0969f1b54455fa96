/* SPDX-License-Identifier: ISC
 *
 * Terminals: that of a child, and those of this process.
 */
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/part.h>
#include <process/object.h>

#include <errno.h>
#include <limits.h>
#include <termios.h>

/* ---- that of a child ---- */

int loop_process_resize(struct loop_process *child, unsigned rows, unsigned columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

    if (!loop_check_object(child, offsetof(struct loop_process, scope), "process", __func__) || rows > USHRT_MAX ||
        columns > USHRT_MAX) {
        return -EINVAL;
    }
    int number = child->terminal && child->n_ends > 0 ? loop_fd_peek(child->terminal->fd) : -1;
    if (number < 0) {
        return -ENOTTY;
    }
    return loop_kernel_ioctl(number, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

/* ---- those of this process ---- */

int loop_terminal_get_size(int number, unsigned *rows, unsigned *columns)
{
    struct winsize size;

    if (!loop_check_pointer(rows, "rows", __func__) || !loop_check_pointer(columns, "columns", __func__)) {
        return -EINVAL;
    }
    if (loop_kernel_ioctl(number, TIOCGWINSZ, &size) < 0) {
        return -errno;
    }
    *rows = size.ws_row;
    *columns = size.ws_col;
    return 0;
}

/* A terminal in raw mode, in the memory of its scope. */
struct raw {
    int number; /* a duplicate */
    struct termios before;
};

static void restore(void *arg)
{
    struct raw *raw = arg;

    (void)loop_kernel_ioctl(raw->number, TCSETS, &raw->before);
    loop_kernel_close(raw->number);
}

/* As cfmakeraw(3): bytes pass as they are, one at a time. */
static struct termios make_raw(struct termios settings)
{
    settings.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    settings.c_oflag &= ~(tcflag_t)OPOST;
    settings.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    settings.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    settings.c_cflag |= CS8;
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    return settings;
}

int loop_terminal_set_raw(struct loop_scope *scope, int number)
{
    if (!loop_check_scope(scope, __func__)) {
        return -EINVAL;
    }
    if (loop_scope_is_cancelled(scope)) {
        return -ECANCELED;
    }
    struct raw *raw = loop_scope_alloc(scope, sizeof *raw);
    if (!raw) {
        return -ENOMEM;
    }
    if (loop_kernel_ioctl(number, TCGETS, &raw->before) < 0) {
        return -errno;
    }
    raw->number = loop_kernel_dup(number, 3);
    if (raw->number < 0) {
        return -errno;
    }
    struct termios settings = make_raw(raw->before);
    int error = loop_kernel_ioctl(raw->number, TCSETS, &settings) < 0 ? -errno : 0;
    if (error < 0) {
        loop_kernel_close(raw->number);
        return error;
    }
    return loop_scope_defer(scope, restore, raw) ? 0 : -ENOMEM;
}
