/* SPDX-License-Identifier: ISC
 *
 * The door: every call by which the library reaches the operating system, the C library's allocator included, stands in
 * loop/kernel/, and no other file makes such a call. All that the library asks of the system can be read there, any
 * call can be made to fail, and another kernel can be put behind the same functions.
 *
 * loop_kernel_NAME is the call NAME with its arguments, and returns exactly what that returns: -1 and errno, unless the
 * manual page of NAME says otherwise. There is one header for each family (<loop/kernel/file.h>, ...);
 * <loop/kernel/all.h> includes them all. Functions of the C library that only compute (memcpy, snprintf, qsort) are
 * called by their names.
 *
 * A call is added by one line in the header of its family, and is known under its name to NORIA_FAIL from then on:
 *
 *     LOOP_KERNEL_CALL(int, loop_kernel_listen, (int number, int backlog), listen(number, backlog))
 *
 * which is the result's type, the function's name, its parameters, and the expression that makes the call. The macro's
 * name says how a failure is reported. The line becomes
 *
 * - a static inline function that is nothing but the call: the compiler makes the same code of both;
 * - with NORIA_HARD_MODES, one that first asks loop_kernel_fails whether this use is to fail, see <loop/kernel/fail.h>;
 * - with NORIA_DOOR_EXTERN, a prototype, and a function in all.c alone: then the imports of any other object show
 *   whether it bypasses the door, which tests/checks/door checks;
 * - with NORIA_SIMULATED, a prototype alone: loop/kernel/simulated/ has the functions.
 */
#ifndef LOOP_KERNEL_DOOR_H
#define LOOP_KERNEL_DOOR_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#if !defined(NORIA_DOOR_EXTERN)
#define NORIA_DOOR_EXTERN 0
#endif
#if !defined(NORIA_SIMULATED)
#define NORIA_SIMULATED 0
#endif

/* ---- calls that are to fail ---- */

/* With hard modes other libraries of this project, such as that of net/tls/, use the counters of this one. */
#define LOOP_KERNEL_SHARED __attribute__((visibility("default")))

#if NORIA_HARD_MODES

/* The uses of one call. */
struct loop_kernel_call {
    const char *name;
    unsigned uses;
};

/* Enters a call in the list of those that NORIA_FAIL knows. Called before main. */
void loop_kernel_add_call(struct loop_kernel_call *call);

/* Counts a use. Returns the error that it is to fail with, or 0. */
LOOP_KERNEL_SHARED int loop_kernel_use(struct loop_kernel_call *call);

/* Counts a use. Returns true when it is to fail, with errno set. */
LOOP_KERNEL_SHARED bool loop_kernel_fails(struct loop_kernel_call *call);

#define LOOP_KERNEL_COUNTER(name) LOOP_KERNEL_SHARED extern struct loop_kernel_call name##_counter;
#define LOOP_KERNEL_USE(name) loop_kernel_use(&name##_counter)
#if defined(__clang_analyzer__)
/* The analyzer does not know that a call that is made to fail sets errno, and takes what it would have filled in for
 * good. */
#define LOOP_KERNEL_FAILS(name) false
#else
#define LOOP_KERNEL_FAILS(name) loop_kernel_fails(&name##_counter)
#endif

#else

#define LOOP_KERNEL_COUNTER(name)
#define LOOP_KERNEL_USE(name) 0
#define LOOP_KERNEL_FAILS(name) false

#endif

#if defined(LOOP_KERNEL_COUNTS) /* fail.c defines the counters */
#undef LOOP_KERNEL_COUNTER
#define LOOP_KERNEL_COUNTER(name) LOOP_KERNEL_COUNTS(name)
#endif

/* ---- functions ---- */

#if !NORIA_DOOR_EXTERN && !NORIA_SIMULATED
#define LOOP_KERNEL_FUNCTION(type, name, parameters, ...)                                                              \
    static inline type name parameters                                                                                 \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#elif defined(LOOP_KERNEL_DEFINES) /* all.c defines the functions */
#define LOOP_KERNEL_FUNCTION(type, name, parameters, ...)                                                              \
    type name parameters;                                                                                              \
    type name parameters                                                                                               \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#else
#define LOOP_KERNEL_FUNCTION(type, name, parameters, ...) type name parameters;
#endif

/* A call that cannot fail, or whose failure nothing depends on. */
#define LOOP_KERNEL_CALL_SURE(type, name, parameters, call) LOOP_KERNEL_FUNCTION(type, name, parameters, return call;)

/* A call without a result. */
#define LOOP_KERNEL_CALL_VOID(name, parameters, call) LOOP_KERNEL_FUNCTION(void, name, parameters, call;)

/* A call that returns `failure` and sets errno. */
#define LOOP_KERNEL_CALL_OR(failure, type, name, parameters, call)                                                     \
    LOOP_KERNEL_COUNTER(name)                                                                                          \
    LOOP_KERNEL_FUNCTION(type, name, parameters, return LOOP_KERNEL_FAILS(name) ? failure : call;)

/* A call that returns -1 and sets errno. */
#define LOOP_KERNEL_CALL(type, name, parameters, call) LOOP_KERNEL_CALL_OR(-1, type, name, parameters, call)

/* A call that returns NULL and sets errno. */
#define LOOP_KERNEL_CALL_POINTER(type, name, parameters, call) LOOP_KERNEL_CALL_OR(NULL, type, name, parameters, call)

/* A call that returns the error itself, `sign` being + or -. */
#define LOOP_KERNEL_CALL_CODE(sign, name, parameters, call)                                                            \
    LOOP_KERNEL_COUNTER(name)                                                                                          \
    LOOP_KERNEL_FUNCTION(int, name, parameters, int error = LOOP_KERNEL_USE(name); return error ? sign error : call;)

/* A call that is made also when it is to fail: afterwards it returns -1 and sets errno. */
#define LOOP_KERNEL_CALL_ANYWAY(type, name, parameters, call)                                                          \
    LOOP_KERNEL_COUNTER(name)                                                                                          \
    LOOP_KERNEL_FUNCTION(type, name, parameters, type result = call;                                                   \
                         return LOOP_KERNEL_FAILS(name) && result == 0 ? -1 : result;)

#endif
