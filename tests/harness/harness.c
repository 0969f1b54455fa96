/* SPDX-License-Identifier: ISC
 *
 * The harness: main, scripts, recorders, material, and the accounts that are settled after every test.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { MOST_FDS = 4096, TIMEOUT_S = HAS_SANITIZER ? 120 : 30 };

/* ---- memory ----
 *
 * Allocations are counted where they are made by this program's own text, which has the library in it. What the C
 * library allocates for itself (the dtv of a thread whose stack it keeps) is its own affair. */

#if !HAS_SANITIZER

enum { MOST_BLOCKS = 1 << 19 };

struct block {
    uintptr_t address;
    size_t size_bytes;
    void *caller;
};

static struct block *blocks;
static size_t n_blocks, n_bytes;
static unsigned long n_allocations, fail_at;
static bool fail_rest, has_failed;
static atomic_flag blocks_lock = ATOMIC_FLAG_INIT;

/* The linker's --wrap makes calls of malloc into calls of __wrap_malloc, and __real_malloc the C library's. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);
void __wrap_free(void *block);
extern char __executable_start, etext;

static void lock_blocks(void)
{
    while (atomic_flag_test_and_set_explicit(&blocks_lock, memory_order_acquire)) {
        sched_yield();
    }
}

static void unlock_blocks(void)
{
    atomic_flag_clear_explicit(&blocks_lock, memory_order_release);
}

static bool is_ours(const void *caller)
{
    return (uintptr_t)caller >= (uintptr_t)&__executable_start && (uintptr_t)caller < (uintptr_t)&etext;
}

static size_t home_of(uintptr_t address)
{
    return (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) % MOST_BLOCKS;
}

static void make_blocks(void)
{
    long map = syscall(SYS_mmap, NULL, sizeof *blocks * MOST_BLOCKS, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
    if (map == -1) {
        abort();
    }
    blocks = (struct block *)map;
    pthread_atfork(lock_blocks, unlock_blocks, unlock_blocks);
}

static void note_block(void *address, size_t size_bytes, void *caller)
{
    lock_blocks();
    if (!blocks) {
        make_blocks();
    }
    if (n_blocks > MOST_BLOCKS / 2) {
        abort();
    }
    size_t at = home_of((uintptr_t)address);
    while (blocks[at].address) {
        at = (at + 1) % MOST_BLOCKS;
    }
    blocks[at] = (struct block){(uintptr_t)address, size_bytes, caller};
    n_blocks++;
    n_bytes += size_bytes;
    unlock_blocks();
}

/* Closes the gap at `hole`: what comes behind it moves up as far as its home allows. */
static void close_gap(size_t hole)
{
    for (size_t at = (hole + 1) % MOST_BLOCKS; blocks[at].address; at = (at + 1) % MOST_BLOCKS) {
        size_t home = home_of(blocks[at].address);
        if ((at - home) % MOST_BLOCKS >= (at - hole) % MOST_BLOCKS) {
            blocks[hole] = blocks[at];
            hole = at;
        }
    }
    blocks[hole].address = 0;
}

/* Returns how long the block was, or 0 when it isn't one that was noted. */
static size_t forget_block(const void *address)
{
    size_t size_bytes = 0;

    lock_blocks();
    if (blocks && address) {
        size_t at = home_of((uintptr_t)address);
        while (blocks[at].address && blocks[at].address != (uintptr_t)address) {
            at = (at + 1) % MOST_BLOCKS;
        }
        if (blocks[at].address) {
            size_bytes = blocks[at].size_bytes;
            n_blocks--;
            n_bytes -= size_bytes;
            close_gap(at);
        }
    }
    unlock_blocks();
    return size_bytes;
}

/* True when this allocation is the one that has to fail. */
static bool must_fail(const void *caller)
{
    if (!is_ours(caller)) {
        return false;
    }
    unsigned long number = __atomic_add_fetch(&n_allocations, 1, __ATOMIC_RELAXED);
    if (fail_at == 0 || number < fail_at || (number > fail_at && !fail_rest)) {
        return false;
    }
    has_failed = true;
    errno = ENOMEM;
    return true;
}

static void *noted(void *block, size_t size_bytes, void *caller)
{
    if (block && is_ours(caller)) {
        note_block(block, size_bytes, caller);
    }
    return block;
}

void *__wrap_malloc(size_t size)
{
    void *caller = __builtin_return_address(0);
    return must_fail(caller) ? NULL : noted(__real_malloc(size), size, caller);
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *caller = __builtin_return_address(0);
    return must_fail(caller) ? NULL : noted(__real_calloc(count, size), count * size, caller);
}

void *__wrap_realloc(void *old, size_t size)
{
    void *caller = __builtin_return_address(0);
    if (must_fail(caller)) {
        return NULL;
    }
    forget_block(old);
    return noted(__real_realloc(old, size), size, caller);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *caller = __builtin_return_address(0);
    return must_fail(caller) ? NULL : noted(__real_aligned_alloc(alignment, size), size, caller);
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    void *caller = __builtin_return_address(0);
    int error = must_fail(caller) ? ENOMEM : __real_posix_memalign(block, alignment, size);
    if (error == 0) {
        noted(*block, size, caller);
    }
    return error;
}

/* While allocations fail, what is freed is kept for a while, overwritten, and looked at again before it is given back:
 * errors are where memory is freed too early. */
enum { MOST_KEPT = 64, FREED = 0xdd };

static struct {
    unsigned char *block;
    size_t size_bytes;
} kept[MOST_KEPT];
static unsigned next_kept;

static void give_back(unsigned at)
{
    unsigned char *block = kept[at].block;

    for (size_t i = 0; block && i < kept[at].size_bytes; i++) {
        if (block[i] != FREED) {
            static const char text[] = "harness: memory was written to after it had been freed\n";
            (void)!write(STDERR_FILENO, text, sizeof text - 1);
            abort();
        }
    }
    kept[at].block = NULL;
    __real_free(block);
}

static void keep_freed(void *block, size_t size_bytes)
{
    lock_blocks();
    give_back(next_kept);
    memset(block, FREED, size_bytes);
    kept[next_kept].block = block;
    kept[next_kept].size_bytes = size_bytes;
    next_kept = (next_kept + 1) % MOST_KEPT;
    unlock_blocks();
}

static void give_back_kept(void)
{
    lock_blocks();
    for (unsigned at = 0; at < MOST_KEPT; at++) {
        give_back(at);
    }
    unlock_blocks();
}

void __wrap_free(void *block)
{
    size_t size_bytes = forget_block(block);

    if (size_bytes > 0 && fail_at > 0) {
        keep_freed(block, size_bytes);
    } else {
        __real_free(block);
    }
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *caller = __builtin_return_address(0);
    if (must_fail(caller)) {
        return MAP_FAILED;
    }
    long map = syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    if (map == -1) {
        return MAP_FAILED;
    }
    return noted((void *)map, size, caller);
}

int munmap(void *address, size_t size)
{
    forget_block(address);
    return (int)syscall(SYS_munmap, address, size);
}

unsigned long allocations(void)
{
    return __atomic_load_n(&n_allocations, __ATOMIC_RELAXED);
}

void fail_allocation(unsigned long n, bool all_after)
{
    fail_at = n ? allocations() + n : 0;
    fail_rest = all_after;
    has_failed = false;
    if (!n) {
        give_back_kept();
    }
}

bool allocation_failed(void)
{
    return has_failed;
}

size_t live_bytes(void)
{
    return n_bytes;
}

/* The offset into the program, for addr2line, of whoever made the newest block that is left. */
static ptrdiff_t somebody_who_left_a_block(void)
{
    for (size_t at = MOST_BLOCKS; blocks && at-- > 0;) {
        if (blocks[at].address) {
            return (char *)blocks[at].caller - &__executable_start;
        }
    }
    return 0;
}

#else

const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "die_after_fork=0:allocator_may_return_null=1";
}

size_t live_bytes(void)
{
    return 0;
}

static ptrdiff_t somebody_who_left_a_block(void)
{
    return 0;
}

#endif

/* ---- accounts ---- */

struct account {
    unsigned char fds[MOST_FDS / 8];
    unsigned n_fds, n_threads;
    size_t n_bytes;
    sigset_t mask;
    bool sigpipe_is_pending;
};

static void note_fd(struct account *account, unsigned fd)
{
    CHECK(fd < MOST_FDS);
    account->fds[fd / 8] |= (unsigned char)(1u << fd % 8);
    account->n_fds++;
}

static bool has_fd(const struct account *account, unsigned fd)
{
    return account->fds[fd / 8] >> fd % 8 & 1;
}

static void list_fds(struct account *account)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory)) {
            note_fd(account, (unsigned)atoi(entry->d_name));
        }
    }
    closedir(directory);
}

/* The kernel's own helpers of a ring are listed as threads of the process, and end when they like. */
static bool is_kernels_helper(const char *thread)
{
    char path[64], name[32] = "";

    snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return true; /* it has ended meanwhile */
    }
    ssize_t length = read(fd, name, sizeof name - 1);
    close(fd);
    return length > 0 && strncmp(name, "iou-", 4) == 0;
}

static unsigned count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned count = 0;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        count += entry->d_name[0] != '.' && !is_kernels_helper(entry->d_name);
    }
    closedir(directory);
    return count;
}

static void take_account(struct account *account)
{
    sigset_t pending;

    memset(account, 0, sizeof *account);
    list_fds(account);
    account->n_threads = count_threads();
    account->n_bytes = live_bytes();
    pthread_sigmask(SIG_SETMASK, NULL, &account->mask);
    sigpending(&pending);
    account->sigpipe_is_pending = sigismember(&pending, SIGPIPE) == 1;
}

static void check_fds(const struct account *before)
{
    struct account after;
    char path[64], what[128] = "";

    memset(&after, 0, sizeof after);
    list_fds(&after);
    for (unsigned fd = 0; fd < MOST_FDS; fd++) {
        if (has_fd(&after, fd) && !has_fd(before, fd)) {
            snprintf(path, sizeof path, "/proc/self/fd/%u", fd);
            if (readlink(path, what, sizeof what - 1) < 0) {
                what[0] = 0;
            }
            ck_abort_msg("descriptor %u was left open: %s", fd, what);
        }
    }
}

/* A thread that has been joined may be listed a moment longer. */
static void check_threads(const struct account *before)
{
    int64_t deadline = now_ns() + 5 * LOOP_SECOND;

    while (count_threads() > before->n_threads) {
        if (now_ns() > deadline) {
            ck_abort_msg("%u threads, but there were %u", count_threads(), before->n_threads);
        }
        sched_yield();
    }
}

static void check_signals(const struct account *before)
{
    sigset_t mask, pending;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < 65; number++) {
        if (sigismember(&mask, number) != sigismember(&before->mask, number)) {
            ck_abort_msg("the mask of signal %d has been changed", number);
        }
    }
    sigpending(&pending);
    CHECK_IS(sigismember(&pending, SIGPIPE) == 1, before->sigpipe_is_pending);
}

static void check_maps(void)
{
    static char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");

    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        if (strstr(line, "[io_uring]")) {
            ck_abort_msg("a ring is still mapped: %s", line);
        }
    }
    fclose(maps);
}

static struct account at_start;

#ifdef __SANITIZE_THREAD__
static void *do_nothing(void *unused)
{
    return unused;
}

/* The sanitizer makes a thread of its own with the first one of the program. */
static void meet_sanitizer(void)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, do_nothing, NULL) == 0);
    pthread_join(thread, NULL);
}
#else
static void meet_sanitizer(void)
{
}
#endif

static void before_test(void)
{
    meet_sanitizer();
    take_account(&at_start);
}

static void after_test(void)
{
    size_t bytes = live_bytes();

    if (bytes > at_start.n_bytes) {
        ck_abort_msg("%zu bytes were left, one piece by the code at 0x%tx", bytes - at_start.n_bytes,
                     somebody_who_left_a_block());
    }
    check_fds(&at_start);
    check_threads(&at_start);
    check_maps();
}

/* ---- main ---- */

static struct harness_test *tests, **tests_end = &tests;

void harness_add(struct harness_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

int main(int argc, char **argv)
{
    Suite *suite = suite_create(program_invocation_short_name);
    TCase *tcase = tcase_create("all");

    tcase_set_timeout(tcase, TIMEOUT_S);
    tcase_add_checked_fixture(tcase, before_test, after_test);
    for (const struct harness_test *test = tests; test; test = test->next) {
        if (argc < 2 || strstr(test->test->name, argv[1])) {
            tcase_add_loop_test(tcase, test->test, 0, test->rows);
        }
    }
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, argc > 2 ? CK_VERBOSE : CK_NORMAL);
    int run_count = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner);
    printf("%s: checks=%d failed=%d\n", program_invocation_short_name, run_count, failed);
    srunner_free(runner);
    return failed == 0 && run_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- running a loop ---- */

static char log_lines[16384];

static void keep_line(void *unused, enum loop_log_level level, const char *line)
{
    size_t length = strlen(log_lines);

    (void)unused;
    if (level >= LOOP_LOG_WARNING && length + strlen(line) + 2 < sizeof log_lines) {
        snprintf(log_lines + length, sizeof log_lines - length, "%s\n", line);
    }
}

const char *log_text(void)
{
    return log_lines;
}

int run_with(const struct loop_options *options, loop_main_fn *body, void *arg)
{
    struct loop_options with_log = *options;
    struct account before;

    if (!with_log.log) {
        with_log.log = keep_line;
    }
    take_account(&before);
    int answer = loop_run_with(&with_log, body, arg);
    check_fds(&before);
    check_signals(&before);
    return answer;
}

int run(loop_main_fn *body, void *arg)
{
    return run_with(&(struct loop_options){.queue_depth = 0}, body, arg);
}

/* ---- scripts ---- */

struct script script;

static int script_main(struct loop_env *env, void *unused)
{
    (void)unused;
    script.env = env;
    script.steps(env, 0);
    return 0;
}

void script_run(const struct loop_options *options, steps_fn *steps)
{
    script = (struct script){.steps = steps, .row = script.row};
    int answer = run_with(options, script_main, NULL);
    if (!script.is_done) {
        ck_abort_msg("the loop returned %d while the script waited at line %d; it said:\n%s", answer, script.at,
                     log_text());
    }
    CHECK_IS(answer, script.expected);
}

void script_await(int line)
{
    script.at = line;
    script.awaits = true;
    script.starting++;
}

loop_job script_started(loop_job job)
{
    script.starting--;
    if (job == 0) {
        ck_abort_msg("no job was made (the script is at line %d)", script.at);
    }
    return job;
}

void script_poke(void)
{
    if (script.polls) {
        script.polls = false;
        script.steps(script.env, 0);
    }
}

void script_go(void *unused, int64_t result)
{
    (void)unused;
    if (script.starting > 0) {
        ck_abort_msg("resumed with %lld from inside the call, at line %d", (long long)result, script.at);
    }
    if (!script.awaits) {
        ck_abort_msg("resumed with %lld, once more than there were jobs, after line %d", (long long)result, script.at);
    }
    script.awaits = false;
    script.steps(script.env, result);
}

struct turns {
    struct loop_scope *scope;
    unsigned left;
    loop_job job;
};

static void on_turn(void *arg, int64_t result)
{
    struct turns *these = arg;
    struct loop *loop = loop_scope_loop(these->scope);

    if (result == 0 && --these->left > 0 && loop_sleep(these->scope, 0, on_turn, these) != 0) {
        return;
    }
    loop_job job = these->job;
    free(these);
    loop_resolve(loop, job, result);
}

loop_job turns(struct loop_scope *scope, unsigned count, loop_fn *fn, void *arg)
{
    struct turns *these = malloc(sizeof *these);

    CHECK(these != NULL);
    *these = (struct turns){scope, count, loop_promise(scope, NULL, NULL, fn, arg)};
    loop_job job = these->job;
    if (job == 0 || loop_sleep(scope, 0, on_turn, these) == 0) {
        free(these);
    }
    return job;
}

/* ---- recorders ---- */

static unsigned n_recorded;

void once_resumed(void *record, int64_t result)
{
    struct once *once = record;

    if (script.starting > 0) {
        ck_abort_msg("resumed with %lld from inside a call", (long long)result);
    }
    if (once->count++ > 0) {
        ck_abort_msg("resumed twice, with %lld and then %lld", (long long)once->result, (long long)result);
    }
    once->result = result;
    once->order = ++n_recorded;
    script_poke();
}

void tally_resumed(void *record, int64_t result)
{
    struct tally *tally = record;

    tally->count++;
    if (result >= 0) {
        tally->ended_well++;
    } else if (result == -ECANCELED) {
        tally->cancelled++;
    } else {
        tally->others++;
    }
    script_poke();
}

void record_stream(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct record *record = arg;

    CHECK_IS(record->ends, 0);
    if (!chunk) {
        CHECK(result <= 0);
        record->ends++;
        record->end = result;
    } else {
        CHECK(result > 0 && (size_t)result <= loop_chunk_length(chunk));
        CHECK(record->length + (size_t)result <= record->room);
        memcpy(record->data + record->length, loop_chunk_data(chunk), (size_t)result);
        record->length += (size_t)result;
        record->chunks++;
    }
    script_poke();
}

static char trace_lines[65536];

void trace(const char *format, ...)
{
    size_t length = strlen(trace_lines);
    va_list args;

    va_start(args, format);
    int more = vsnprintf(trace_lines + length, sizeof trace_lines - length, format, args);
    va_end(args);
    CHECK(more >= 0 && length + (size_t)more + 2 < sizeof trace_lines);
    strcat(trace_lines, "\n");
}

const char *trace_text(void)
{
    return trace_lines;
}

/* ---- material ---- */

static unsigned char pattern_byte(unsigned seed, size_t offset)
{
    return (unsigned char)(seed * 31 + offset + offset / 251 * 7 + offset / 65521 * 13);
}

void fill_pattern(void *data, size_t len, unsigned seed)
{
    unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) {
        bytes[i] = pattern_byte(seed, i);
    }
}

bool is_pattern_at(const void *data, size_t len, unsigned seed, size_t offset)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != pattern_byte(seed, offset + i)) {
            return false;
        }
    }
    return true;
}

bool is_pattern(const void *data, size_t len, unsigned seed)
{
    return is_pattern_at(data, len, seed, 0);
}

void make_pair(int fds[2])
{
    CHECK_IS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

int make_listener(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_IS(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    CHECK_IS(listen(fd, SOMAXCONN), 0);
    CHECK_IS(getsockname(fd, (struct sockaddr *)address, &length), 0);
    return fd;
}

int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_IS(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

void make_tcp_pair(int fds[2])
{
    struct sockaddr_in address;
    int listener = make_listener(&address);

    fds[0] = connect_to(&address);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fds[1] >= 0);
    close(listener);
}

void make_pipe(int fds[2])
{
    CHECK_IS(pipe2(fds, O_CLOEXEC), 0);
}

int make_file(const void *data, size_t len)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_IS(pwrite(fd, data, len, 0), (ssize_t)len);
    return fd;
}

void set_nonblocking(int fd)
{
    CHECK_IS(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

void close_with_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    CHECK_IS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    CHECK_IS(close(fd), 0);
}

void set_small_buffers(int fd)
{
    int size = 4096;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

const char *make_directory(void)
{
    static char path[64];

    strcpy(path, "/tmp/noria-test-XXXXXX");
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    CHECK_IS(remove(path), 0);
    return 0;
}

void remove_directory(const char *path)
{
    CHECK_IS(nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS), 0);
}

struct loop_fd *adopt(struct loop_scope *scope, int fd)
{
    struct loop_fd *object = loop_fd_adopt(scope, fd);

    CHECK(object != NULL);
    return object;
}

struct loop_flow *flow_of(struct loop_scope *scope, int fd)
{
    struct loop_flow *flow = loop_fd_flow(adopt(scope, fd));

    CHECK(flow != NULL);
    return flow;
}

void make_flows(struct loop_scope *scope, struct loop_flow *flows[2])
{
    int fds[2];

    make_pair(fds);
    flows[0] = flow_of(scope, fds[0]);
    flows[1] = flow_of(scope, fds[1]);
}

size_t stuff(int fd)
{
    static const char zeros[4096];
    int flags = fcntl(fd, F_GETFL);
    size_t total = 0;

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    for (size_t size = sizeof zeros; size > 0; size /= 2) {
        ssize_t n;
        while ((n = write(fd, zeros, size)) > 0) {
            total += (size_t)n;
        }
    }
    fcntl(fd, F_SETFL, flags);
    return total;
}

size_t drain(int fd)
{
    static char buffer[65536];
    int flags = fcntl(fd, F_GETFL);
    size_t total = 0;
    ssize_t n;

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        total += (size_t)n;
    }
    fcntl(fd, F_SETFL, flags);
    return total;
}

bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

unsigned count_fds(void)
{
    struct account account = {.n_fds = 0};

    list_fds(&account);
    return account.n_fds;
}

int lowest_free_fd(void)
{
    int fd = 0;

    while (is_open(fd)) {
        fd++;
    }
    return fd;
}

int limit_with_free_fds(unsigned n)
{
    int limit = 0;

    for (; n > 0; limit++) {
        n -= !is_open(limit);
    }
    return limit;
}

rlim_t limit_fds(rlim_t count)
{
    struct rlimit limit;

    CHECK_IS(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
    CHECK_IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

rlim_t forbid_fds(void)
{
    return limit_fds((rlim_t)lowest_free_fd());
}

/* ---- the world around ---- */

bool is_hard(const char *mode)
{
    const char *modes = getenv("NORIA_HARD");

#if NORIA_HARD_MODES
    return modes && strstr(modes, mode);
#else
    (void)mode;
    return !modes && modes;
#endif
}

static char child_lines[8192];

const char *child_text(void)
{
    return child_lines;
}

static void keep_child_text(int fd)
{
    ssize_t length = pread(fd, child_lines, sizeof child_lines - 1, 0);

    child_lines[length > 0 ? length : 0] = 0;
    close(fd);
}

int in_child(int (*fn)(void *arg), void *arg)
{
    int text = memfd_create("text", MFD_CLOEXEC), status = 0;

    CHECK(text >= 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(text, STDERR_FILENO);
        _exit(fn(arg));
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        continue;
    }
    keep_child_text(text);
    return status;
}

struct stop {
    int (*fn)(void *arg);
    void *arg;
    int answer;
};

static int try_stop(void *arg)
{
    const struct stop *stop = arg;

    return stop->fn(stop->arg) == stop->answer ? 0 : 1;
}

void expect_stop(int (*fn)(void *arg), void *arg, const char *word, int answer)
{
    struct stop stop = {fn, arg, answer};
    int status = in_child(try_stop, &stop);

#if NORIA_DEBUG
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
        ck_abort_msg("a debug build was to stop, not to end with status 0x%x; it said:\n%s", (unsigned)status,
                     child_text());
    }
    if (!strstr(child_text(), word)) {
        ck_abort_msg("'%s' is not in what it said:\n%s", word, child_text());
    }
#else
    (void)word;
    CHECK_IS(status, 0);
#endif
}

bool drop_privileges(void)
{
    if (geteuid() != 0) {
        return false;
    }
    return setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0;
}

void block_uring(int error, bool only_enter)
{
    const uint32_t other = only_enter ? __NR_io_uring_enter : __NR_io_uring_setup;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)),
    };
    const struct sock_fprog program = {COUNT_OF(filter), filter};

    CHECK_IS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_IS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

int64_t probe_uring(void)
{
    struct io_uring_params params;

    memset(&params, 0, sizeof params);
    long ring = syscall(__NR_io_uring_setup, 4, &params);
    if (ring < 0) {
        return -errno;
    }
    int error = syscall(__NR_io_uring_enter, ring, 0, 0, 0, NULL, 0) < 0 ? -errno : 0;
    close((int)ring);
    return error ? error : (int64_t)params.features;
}

long voluntary_switches(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * LOOP_SECOND + now.tv_nsec;
}

int64_t cpu_time_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
