/* SPDX-License-Identifier: ISC
 *
 * Each call of the system and each allocation that look-ups make fails in turn: every job ends once, nothing leaks,
 * nothing hangs. Every run is a process of its own; the server is in another one, which no fault reaches.
 */
#include "name_server.h"

#include <loop/kernel/fail.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#if NORIA_HARD_MODES && defined(NORIA_CARES) && NORIA_CARES && !HAS_SANITIZER

enum { N_TOGETHER = 5, N_JOBS, WATCHDOG_S = 30, MOST_USES = 60 };

/* ---- the server's process ---- */

static int server_pipe[2];

static int serve_names(struct loop_env *env, void *unused)
{
    (void)unused;
    start_name_server(env->scope);
    CHECK_IS(write(server_pipe[1], &name_server.address, sizeof name_server.address), sizeof name_server.address);
    CHECK(loop_sleep(env->scope, 600 * LOOP_SECOND, NULL, NULL));
    return 0;
}

static pid_t start_server_process(void)
{
    CHECK_IS(pipe(server_pipe), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)loop_run_with(NULL, serve_names, NULL);
        _exit(0);
    }
    CHECK_IS(read(server_pipe[0], &name_server.address, sizeof name_server.address), sizeof name_server.address);
    close(server_pipe[0]);
    close(server_pipe[1]);
    return pid;
}

/* ---- one run ---- */

struct shared {
    const char *what;
    unsigned uses[256];
};
static struct shared *shared;

static struct ending {
    bool is_started;
    unsigned count;
    int64_t result;
} endings[N_JOBS];

static unsigned n_started, n_ended;
static struct loop_scope *scope;
static struct loop_resolve_options how;
static struct loop_addresses *found[4];
static struct loop_host_names *names;
static struct loop_flow *flow;
static struct loop_name_error errors[N_JOBS];

static void on_end(void *arg, int64_t result);

/* Looks at files that have not changed. */
static void look_up_again(void)
{
    endings[N_TOGETHER].is_started =
        loop_resolve_name(scope, "filed", "1", &how, &found[3], &errors[N_TOGETHER], on_end, &endings[N_TOGETHER]) != 0;
}

static void on_end(void *arg, int64_t result)
{
    struct ending *ending = arg;
    struct loop_name_error *error = &errors[ending - endings];

    ending->count++;
    ending->result = result;
    if ((result < 0) != (error->text[0] != '\0')) {
        printf("result %d and the error \"%s\"\n", (int)result, error->text);
        ending->count = 99;
    }
    if (++n_ended == n_started) {
        look_up_again();
    }
}

static int look_up(struct loop_env *env, void *unused)
{
    struct loop_resolver *resolver = loop_resolver_open(env->scope, &resolver_files.options);
    scope = env->scope;
    how = (struct loop_resolve_options){.resolver = resolver, .timeout_ns = LOOP_SECOND};
    struct loop_connect_name_options connect_how = {.resolve = how, .timeout_ns = LOOP_SECOND};
    struct loop_address address = parsed("tcp:192.0.2.1:80");
    char port[8];

    (void)unused;
    if (!resolver) {
        return 0;
    }
    snprintf(port, sizeof port, "%u", (unsigned)ntohs(name_server.address.u.ipv4.sin_port));
    endings[0].is_started =
        loop_resolve_name(env->scope, "host", "http", &how, &found[0], &errors[0], on_end, &endings[0]) != 0;
    endings[1].is_started =
        loop_resolve_name(env->scope, "big.test", "1", &how, &found[1], &errors[1], on_end, &endings[1]) != 0;
    endings[2].is_started =
        loop_resolve_name(env->scope, "filed", "1", &how, &found[2], &errors[2], on_end, &endings[2]) != 0;
    endings[3].is_started =
        loop_resolve_address(env->scope, &address, &how, &names, &errors[3], on_end, &endings[3]) != 0;
    endings[4].is_started =
        loop_connect_name(env->scope, "local.test", port, &connect_how, &flow, &errors[4], on_end, &endings[4]) != 0;
    for (int i = 0; i < N_TOGETHER; i++) {
        n_started += endings[i].is_started;
    }
    return 0;
}

/* Whether these are calls of the loop's thread, in place of which a thread of the pool looks at the files. */
static bool is_of_first_look(const char *what)
{
    return what && (strncmp(what, "openat2:", 8) == 0 || strncmp(what, "statx:", 6) == 0);
}

static int run_once(void *unused)
{
    int bad = 0;

    (void)unused;
    signal(SIGALRM, SIG_DFL);
    alarm(WATCHDOG_S);
    unsigned fds = count_fds();
    size_t bytes = live_bytes();
    if (!loop_kernel_fail_set(shared->what)) {
        return 2;
    }
    (void)loop_run_with(NULL, look_up, NULL);
    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        shared->uses[i] = loop_kernel_fail_uses(i);
    }
    loop_kernel_fail_set(NULL);
    for (int i = 0; i < N_JOBS; i++) {
        if (endings[i].count != endings[i].is_started) {
            printf("job %d ended %u times\n", i, endings[i].count);
            bad = 1;
        }
    }
    if (is_of_first_look(shared->what) && endings[N_TOGETHER].result != 1) {
        printf("a look-up of a file that a thread can read: %d\n", (int)endings[N_TOGETHER].result);
        bad = 1;
    }
    for (size_t i = 0; i < COUNT_OF(found); i++) {
        free(found[i]);
    }
    free(names);
    if (count_fds() != fds || live_bytes() != bytes) {
        printf("%u descriptors, there were %u; %zu bytes, there were %zu\n", count_fds(), fds, live_bytes(), bytes);
        bad = 1;
    }
    fflush(stdout);
    return bad;
}

static const struct {
    const char *call, *error;
} faults[] = {
    {"malloc", "ENOMEM"},
    {"calloc", "ENOMEM"},
    {"realloc", "ENOMEM"},
    {"strdup", "ENOMEM"},
    {"socket", "EMFILE"},
    {"connect", "ENETUNREACH"},
    {"recvmsg", "ECONNREFUSED"},
    {"recvmsg", "EINTR"},
    {"sendmsg", "EPIPE"},
    {"getsockname", "ENOBUFS"},
    {"getsockopt", "ENOMEM"},
    {"fstatat", "EACCES"},
    {"openat2", "ENOSYS"}, /* before Linux 5.6 */
    {"openat2", "EINVAL"}, /* before 5.12 */
    {"openat2", "EPERM"},  /* a filter of seccomp(2) */
    {"openat2", "EAGAIN"}, /* a part of the path is not in memory */
    {"openat2", "EMFILE"},
    {"statx", "ENOSYS"},
    {"statx", "EPERM"},
    {"fstatfs", "EINTR"},
    {"open", "EMFILE"},
    {"fstat", "EIO"},
    {"read", "EIO"},
    {"read", "EINTR"},
    {"epoll_ctl", "ENOMEM"},
    {"pthread_create", "EAGAIN"},
    {"setsockopt", "ENOPROTOOPT"},
    {"close", "EINTR"},
};

static unsigned uses_of(const unsigned uses[], const char *call)
{
    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        if (strcmp(loop_kernel_fail_name(i), call) == 0) {
            return uses[i];
        }
    }
    return 0;
}

/* The first uses fail one after another, later ones with gaps that grow. */
static void let_fail(const char *call, const char *error, unsigned uses, unsigned *n_broken)
{
    char what[64];

    for (unsigned nth = 1; nth <= uses; nth += 1 + nth / 12) {
        snprintf(what, sizeof what, "%s:%s:%u", call, error, nth);
        shared->what = what;
        int status = in_child(run_once, NULL);
        if (status != 0) {
            ++*n_broken;
            printf("NORIA_FAIL=%s: status 0x%x\n%s\n", what, (unsigned)status, child_text());
        }
    }
}

/* Waits until a file was changed so long ago that its times tell of the next change: see net/names/load.c. */
static void wait_until_old(const char *path)
{
    struct stat status;

    CHECK_IS(stat(path, &status), 0);
    struct timespec until = status.st_ctim;
    until.tv_nsec += 100 * LOOP_MILLISECOND;
    until.tv_sec += until.tv_nsec / LOOP_SECOND;
    until.tv_nsec %= LOOP_SECOND;
    CHECK_IS(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL), 0);
}

TEST(every_call_of_lookups_fails)
{
    unsigned uses[256], n_broken = 0;

    if (getenv("NORIA_HARD")) {
        return;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    make_files("search test\n", "192.0.2.9 filed\n", "hosts: files dns\n");
    wait_until_old(resolver_files.services);
    pid_t server = start_server_process();
    resolver_files.options.servers = &name_server.address;
    resolver_files.options.n_servers = 1;
    resolver_files.options.timeout_ns = 100 * LOOP_MILLISECOND;
    resolver_files.options.attempts = 2;
    resolver_files.options.cache_limit = 10;
    shared->what = NULL;
    CHECK_IS(in_child(run_once, NULL), 0);
    memcpy(uses, shared->uses, sizeof uses);
    CHECK(!can_look_at_once() || (uses_of(uses, "openat2") > 0 && uses_of(uses, "statx") > 0));
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        let_fail(faults[i].call, faults[i].error, uses_of(uses, faults[i].call), &n_broken);
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    remove_files();
    munmap(shared, sizeof *shared);
    CHECK_IS(n_broken, 0);
}

static unsigned n_getsockname(void)
{
    size_t i = 0;

    while (strcmp(loop_kernel_fail_name(i), "getsockname") != 0) {
        i++;
    }
    return loop_kernel_fail_uses(i);
}

/* Of an answer with 100 addresses only some are looked at for the address that the kernel would send from. */
LOOP_TEST(sorting_makes_a_bounded_number_of_calls)
{
    static struct loop_addresses *many;
    static struct loop_name_error error;
    static struct loop_resolver *resolver;
    static unsigned before;

    BEGIN;
    resolver = make_resolver(env->scope, "", "");
    before = n_getsockname();
    AWAIT(loop_resolve_name(env->scope, "big.test", "1", &(struct loop_resolve_options){.resolver = resolver}, &many,
                            &error, GO));
    CHECK_IS(result, 100);
    CHECK(n_getsockname() - before < 50);
    free(many);
    remove_files();
    END;
}

#else

TEST(faults_of_lookups_need_hard_modes)
{
}

#endif
