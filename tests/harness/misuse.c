/* SPDX-License-Identifier: ISC
 *
 * Runs the calls of misuse.h.
 */
#include "misuse.h"

#include <stdio.h>
#include <sys/wait.h>

struct gone gone;
struct loop_env *here;
struct once refused;

static struct misuse *misuses, **misuses_end = &misuses;
static const struct misuse *current;
static bool answer_is_right;

void misuse_add(struct misuse *misuse)
{
    *misuses_end = misuse;
    misuses_end = &misuse->next;
}

static void make_call(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    answer_is_right = current->call();
}

/* The objects exist until this function returns. */
static void on_gone(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    CHECK(turns(here->scope, 3, make_call, NULL) != 0);
}

static void run_hook(void *unused)
{
    (void)unused;
}

static int make_gone(struct loop_env *env, void *unused)
{
    static struct loop_flow *flows[2];
    struct loop_address address;
    struct loop_datagram_options options = {.bind_to = &address};

    (void)unused;
    here = env;
    gone.scope = loop_scope_open(env->scope, on_gone, NULL);
    gone.hook = loop_scope_defer(gone.scope, run_hook, NULL);
    make_flows(gone.scope, flows);
    struct loop_fd *spare = adopt(gone.scope, make_file("", 0));
    gone.fd = flows[0]->fd;
    gone.flow = flows[0];
    gone.source = &flows[0]->source;
    gone.sink = &flows[0]->sink;
    gone.scopes_fd = flows[1]->fd;
    gone.reader = loop_reader_create(&flows[1]->source, 0);
    gone.writer = loop_writer_create(&flows[1]->sink, 0);
    gone.scopes_reader = loop_reader_create(&flows[1]->source, 0);
    gone.scopes_writer = loop_writer_create(&flows[1]->sink, 0);
    gone.rest = loop_reader_source(gone.scopes_reader);
    CHECK_IS(loop_address_parse(&address, "tcp:127.0.0.1:0"), 0);
    CHECK_IS(loop_listen(gone.scope, &address, NULL, &gone.listener), 0);
    CHECK_IS(loop_datagram_open(gone.scope, &options, &gone.datagrams), 0);
    CHECK(loop_fs_open_dir(gone.scope, env->cwd, ".", &gone.dir, NULL, NULL) != 0);
    gone.chunk = loop_chunk_alloc(env->loop);
    CHECK_IS(loop_chunk_free(env->loop, gone.chunk), 0);
    loop_reader_destroy(gone.reader);
    loop_writer_destroy(gone.writer);
    loop_fd_destroy(gone.fd);
    loop_fd_destroy(spare); /* its slot is the first to be reused: by the directory, if one is opened */
    return 0;
}

static int run_call(void *unused)
{
    int result = loop_run_with(&(struct loop_options){.n_blocks = 4}, make_gone, NULL);

    (void)unused;
    bool is_refused = refused.count == 1 && refused.result == -EINVAL;
    return result == 0 && answer_is_right && (is_refused || !current->is_job) ? 0 : 1;
}

static void check_one(const struct misuse *misuse)
{
    char line[64];

    current = misuse;
    int status = in_child(run_call, NULL);
#if NORIA_DEBUG
    snprintf(line, sizeof line, "noria: %s: ", misuse->function);
    bool has_stopped = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    if (!has_stopped || !strstr(child_text(), line) || !strstr(child_text(), misuse->words)) {
        ck_abort_msg("%s, which was to stop with '%s', ended with status 0x%x and said:\n%s", misuse->function,
                     misuse->words, (unsigned)status, child_text());
    }
#else
    (void)line;
    if (status != 0) {
        ck_abort_msg("%s (%s) ended with status 0x%x and said:\n%s", misuse->function, misuse->words, (unsigned)status,
                     child_text());
    }
#endif
}

void misuse_check_all(void)
{
    CHECK(misuses != NULL);
    for (const struct misuse *misuse = misuses; misuse; misuse = misuse->next) {
        check_one(misuse);
    }
}
