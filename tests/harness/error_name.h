/* SPDX-License-Identifier: ISC
 *
 * The names of errno values, which the tests compare as text. Not every C library has a function that returns them.
 */
#ifndef TESTS_ERROR_NAME_H
#define TESTS_ERROR_NAME_H

#include <errno.h>
#include <stddef.h>

/* clang-format off */
#define ERROR_NAMES(NAME)                                                                                              \
    NAME(E2BIG) NAME(EACCES) NAME(EADDRINUSE) NAME(EADDRNOTAVAIL) NAME(EAFNOSUPPORT) NAME(EAGAIN)                      \
    NAME(EALREADY) NAME(EBADF) NAME(EBADMSG) NAME(EBUSY) NAME(ECANCELED) NAME(ECHILD) NAME(ECONNABORTED)               \
    NAME(ECONNREFUSED) NAME(ECONNRESET) NAME(EDESTADDRREQ) NAME(EEXIST) NAME(EFAULT) NAME(EFBIG)                       \
    NAME(EHOSTUNREACH) NAME(EINPROGRESS) NAME(EINTR) NAME(EINVAL) NAME(EIO) NAME(EISCONN) NAME(EISDIR)                 \
    NAME(ELOOP) NAME(EMFILE) NAME(EMLINK) NAME(EMSGSIZE) NAME(ENAMETOOLONG) NAME(ENETUNREACH) NAME(ENFILE)             \
    NAME(ENOBUFS) NAME(ENODATA) NAME(ENODEV) NAME(ENOENT) NAME(ENOLCK) NAME(ENOMEM) NAME(ENOPROTOOPT)                  \
    NAME(ENOSPC) NAME(ENOSYS) NAME(ENOTCONN) NAME(ENOTDIR) NAME(ENOTEMPTY) NAME(ENOTSOCK) NAME(ENOTTY)                 \
    NAME(ENXIO) NAME(EOPNOTSUPP) NAME(EOVERFLOW) NAME(EPERM) NAME(EPIPE) NAME(EPROTO) NAME(EPROTONOSUPPORT)            \
    NAME(EPROTOTYPE) NAME(ERANGE) NAME(EROFS) NAME(ESHUTDOWN) NAME(ESOCKTNOSUPPORT) NAME(ESPIPE) NAME(ESRCH)           \
    NAME(ESTALE) NAME(ETIME) NAME(ETIMEDOUT) NAME(ETXTBSY) NAME(EXDEV)
/* clang-format on */

/* Returns the name of an errno value, or NULL if it is not in the table. */
static inline const char *error_name(int error)
{
#define ERROR_NAME(name)                                                                                               \
    case name: return #name;
    switch (error) {
        ERROR_NAMES(ERROR_NAME)
    default: return NULL;
    }
#undef ERROR_NAME
}

#endif
