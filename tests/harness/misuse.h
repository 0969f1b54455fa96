/* SPDX-License-Identifier: ISC
 *
 * Calls with objects that are NULL or destroyed. Each call runs in a child process with its own loop. A debug build
 * must abort with a line that names the call and the error. Other builds must return the documented error.
 */
#ifndef TESTS_MISUSE_H
#define TESTS_MISUSE_H

#include "harness.h"

#include <loop/part.h>
#include <loop/reader.h>
#include <loop/writer.h>

/* Former objects. All of them have been destroyed, or have ended with `scope`, when the calls are made. */
struct gone {
    struct loop_scope *scope;          /* "has ended" */
    struct loop_fd *fd, *scopes_fd;    /* "destroyed by", "went with its scope" */
    struct loop_source *source, *rest; /* of `fd`; of `scopes_reader` */
    struct loop_sink *sink;
    struct loop_flow *flow;
    struct loop_reader *reader, *scopes_reader;
    struct loop_writer *writer, *scopes_writer;
    struct loop_hook *hook;   /* "has run" */
    struct loop_chunk *chunk; /* "given back by" */
    struct loop_listener *listener;
    struct loop_datagram_socket *datagrams;
    struct loop_dir *dir;
};
extern struct gone gone;
extern struct loop_env *here; /* the environment of the loop that makes the call */
extern struct once refused;

struct misuse {
    const char *function, *words;
    bool (*call)(void); /* returns true if the result is that of a build without debug checks */
    bool is_job;        /* the call returns a job that ends with -EINVAL and resumes `refused` */
    struct misuse *next;
};

void misuse_add(struct misuse *misuse);
/* Makes all added calls. */
void misuse_check_all(void);

#define MISUSE_NAME_(line) misuse_##line
#define MISUSE_NAME(line) MISUSE_NAME_(line)
#define MISUSE_ADD_(line) misuse_add_##line
#define MISUSE_ADD(line) MISUSE_ADD_(line)

/* Adds one call of `function`: the condition makes it and checks its result. The line of the abort contains `words`. */
#define MISUSE_AS(function, words, condition, is_job)                                                                  \
    static bool MISUSE_NAME(__LINE__)(void)                                                                            \
    {                                                                                                                  \
        return (condition);                                                                                            \
    }                                                                                                                  \
    __attribute__((constructor)) static void MISUSE_ADD(__LINE__)(void)                                                \
    {                                                                                                                  \
        static struct misuse misuse = {#function, (words), MISUSE_NAME(__LINE__), (is_job), NULL};                     \
        misuse_add(&misuse);                                                                                           \
    }

#define MISUSE(function, words, condition) MISUSE_AS(function, words, condition, false)

/* Adds a call whose job ends with -EINVAL. REFUSED is passed as its continuation. */
#define MISUSE_JOB(function, words, job) MISUSE_AS(function, words, (job) != 0, true)
#define REFUSED once_resumed, &refused

/* Adds a call that returns nothing. */
#define MISUSE_VOID(function, words, call) MISUSE(function, words, ((call), true))

#endif
