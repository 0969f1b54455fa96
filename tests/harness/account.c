/* SPDX-License-Identifier: ISC
 *
 * Counts a process's resources. See account.h.
 */
#include "account.h"

#include <pthread.h>
#include <sched.h>

void account_note_fd(struct account *account, unsigned fd)
{
    CHECK(fd < MOST_FDS);
    account->fds[fd / 8] |= (unsigned char)(1u << fd % 8);
    account->n_fds++;
}

static bool has_fd(const struct account *account, unsigned fd)
{
    return account->fds[fd / 8] >> fd % 8 & 1;
}

void account_take(struct account *account)
{
    sigset_t pending;

    memset(account, 0, sizeof *account);
    account_list_fds(account);
    account->n_threads = account_count_threads();
    account->n_bytes = live_bytes();
    pthread_sigmask(SIG_SETMASK, NULL, &account->mask);
    sigpending(&pending);
    account->sigpipe_is_pending = sigismember(&pending, SIGPIPE) == 1;
}

void account_check_fds(const struct account *before)
{
    struct account after;
    char what[128] = "";

    memset(&after, 0, sizeof after);
    account_list_fds(&after);
    for (unsigned fd = 0; fd < MOST_FDS; fd++) {
        if (has_fd(&after, fd) && !has_fd(before, fd)) {
            account_describe_fd(fd, what, sizeof what);
            ck_abort_msg("descriptor %u was left open: %s", fd, what);
        }
    }
}

/* A joined thread may still be listed for a moment. */
static void check_threads(const struct account *before)
{
    int64_t deadline = now_ns() + 5 * LOOP_SECOND;

    while (account_count_threads() > before->n_threads) {
        if (now_ns() > deadline) {
            ck_abort_msg("%u threads, but there were %u", account_count_threads(), before->n_threads);
        }
        sched_yield();
    }
}

void account_check_signals(const struct account *before)
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

static struct account at_start;

#ifdef __SANITIZE_THREAD__
static void *do_nothing(void *unused)
{
    return unused;
}

/* The sanitizer creates a thread of its own together with the program's first one. */
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

void account_before_test(void)
{
    meet_sanitizer();
    account_make_files();
    account_take(&at_start);
}

void account_after_test(void)
{
    size_t bytes = live_bytes();

    if (bytes > at_start.n_bytes) {
        ck_abort_msg("%zu bytes were left, one piece by the code at 0x%tx", bytes - at_start.n_bytes,
                     account_left_block());
    }
    account_check_fds(&at_start);
    check_threads(&at_start);
    account_check_maps();
}
