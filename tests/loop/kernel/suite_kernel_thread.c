/* SPDX-License-Identifier: ISC
 *
 * The door's threads, and what they wait for.
 */
#include <loop/kernel/all.h>

#include "harness.h"

/* What the threads of a test share. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    pthread_once_t once;
    int value, waiting, woken;
    bool may_end;
} shared = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_ONCE_INIT, 0, 0, 0, false};

static void lock(void)
{
    CHECK_IS(loop_kernel_pthread_mutex_lock(&shared.mutex), 0);
}

static void unlock(void)
{
    CHECK_IS(loop_kernel_pthread_mutex_unlock(&shared.mutex), 0);
}

static pthread_t start(void *(*body)(void *), void *arg)
{
    pthread_t thread;

    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, body, arg), 0);
    return thread;
}

static void *join(pthread_t thread)
{
    void *result = NULL;

    CHECK_IS(loop_kernel_pthread_join(thread, &result), 0);
    return result;
}

/* Waits until so many threads wait for the condition. */
static void wait_for_waiting(int count)
{
    for (;;) {
        lock();
        bool is_there = shared.waiting == count;
        unlock();
        if (is_there) {
            return;
        }
        loop_kernel_sched_yield();
    }
}

/* ---- threads ---- */

static void *return_the_argument(void *arg)
{
    return arg;
}

TEST(thread_result_is_what_join_stores)
{
    int x;

    CHECK(join(start(return_the_argument, &x)) == &x);
    CHECK_IS(loop_kernel_pthread_join(start(return_the_argument, &x), NULL), 0);
}

static void *store_self(void *arg)
{
    *(pthread_t *)arg = loop_kernel_pthread_self();
    CHECK(pthread_equal(loop_kernel_pthread_self(), loop_kernel_pthread_self()));
    return NULL;
}

TEST(thread_self_is_what_create_stores)
{
    pthread_t self, thread = start(store_self, &self);

    join(thread);
    CHECK(pthread_equal(self, thread));
    CHECK(!pthread_equal(self, loop_kernel_pthread_self()));
}

static void *store_thread_id(void *arg)
{
    *(pid_t *)arg = loop_kernel_gettid();
    return NULL;
}

TEST(thread_id_differs_from_the_process_id)
{
    pid_t one, other;

    join(start(store_thread_id, &one));
    join(start(store_thread_id, &other));
    CHECK(one > 0);
    CHECK(one != loop_kernel_getpid());
    CHECK(other != loop_kernel_getpid());
}

static LOOP_KERNEL_THREAD_LOCAL int own_value;

static void *count_own_value(void *arg)
{
    (void)arg;
    CHECK_IS(own_value, 0);
    for (int i = 1; i <= 10; i++) {
        own_value++;
        loop_kernel_sched_yield();
        CHECK_IS(own_value, i);
    }
    return NULL;
}

TEST(thread_local_variables_begin_as_zeros_in_each_thread)
{
    own_value = 100;
    pthread_t one = start(count_own_value, NULL), other = start(count_own_value, NULL);
    join(one);
    join(other);
    CHECK_IS(own_value, 100);
}

static void *keep_errno(void *arg)
{
    errno = *(int *)arg;
    for (int i = 0; i < 10; i++) {
        loop_kernel_sched_yield();
        CHECK_IS(errno, *(int *)arg);
    }
    return NULL;
}

TEST(thread_has_its_own_errno)
{
    int errors[] = {EIO, EPERM};

    pthread_t one = start(keep_errno, &errors[0]), other = start(keep_errno, &errors[1]);
    errno = EXDEV;
    join(one);
    join(other);
    CHECK_IS(errno, EXDEV);
}

static void *name_itself(void *arg)
{
    char name[16];

    CHECK_IS(loop_kernel_pthread_setname_np(loop_kernel_pthread_self(), arg), 0);
    CHECK_IS(loop_kernel_pthread_getname_np(loop_kernel_pthread_self(), name, sizeof name), 0);
    CHECK_TEXT(name, arg);
    return NULL;
}

TEST(thread_name_belongs_to_one_thread)
{
    char before[16], after[16];

    CHECK_IS(loop_kernel_pthread_getname_np(loop_kernel_pthread_self(), before, sizeof before), 0);
    join(start(name_itself, (char[]){"fifteen letters"}));
    CHECK_IS(loop_kernel_pthread_getname_np(loop_kernel_pthread_self(), after, sizeof after), 0);
    CHECK_TEXT(after, before);
}

static void *has_the_name(void *arg)
{
    char name[16];

    CHECK_IS(loop_kernel_pthread_getname_np(loop_kernel_pthread_self(), name, sizeof name), 0);
    CHECK_TEXT(name, arg);
    return NULL;
}

TEST(thread_begins_with_the_name_of_its_creator)
{
    CHECK_IS(loop_kernel_pthread_setname_np(loop_kernel_pthread_self(), "creator"), 0);
    join(start(has_the_name, (char[]){"creator"}));
}

TEST(thread_name_of_sixteen_letters_is_refused)
{
    char name[16], small[8];

    CHECK_IS(loop_kernel_pthread_setname_np(loop_kernel_pthread_self(), "sixteen letters!"), ERANGE);
    CHECK_IS(loop_kernel_pthread_setname_np(loop_kernel_pthread_self(), "short"), 0);
    CHECK_IS(loop_kernel_pthread_getname_np(loop_kernel_pthread_self(), small, sizeof small), ERANGE);
    CHECK_IS(loop_kernel_pthread_getname_np(loop_kernel_pthread_self(), name, sizeof name), 0);
    CHECK_TEXT(name, "short");
}

#ifdef __GLIBC__
TEST(thread_that_joins_itself_gets_edeadlk)
{
    CHECK_IS(loop_kernel_pthread_join(loop_kernel_pthread_self(), NULL), EDEADLK);
}

static void *wait_until_told(void *arg)
{
    lock();
    shared.waiting++;
    while (!shared.may_end) {
        loop_kernel_pthread_cond_wait(&shared.condition, &shared.mutex);
    }
    shared.woken++;
    unlock();
    return arg;
}

TEST(thread_that_is_detached_cannot_be_joined)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    CHECK_IS(loop_kernel_pthread_create(&thread, &attributes, wait_until_told, NULL), 0);
    pthread_attr_destroy(&attributes);
    wait_for_waiting(1);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), EINVAL);
    lock();
    shared.may_end = true;
    loop_kernel_pthread_cond_signal(&shared.condition);
    while (shared.woken == 0) {
        unlock();
        loop_kernel_sched_yield();
        lock();
    }
    unlock();
}
#endif

static void *set_value(void *arg)
{
    __atomic_store_n(&shared.value, 1, __ATOMIC_RELAXED);
    return arg;
}

/* Starts a thread, and looks for events that are always there until it has run. */
static void look_until_thread_has_run(void (*look)(int number))
{
    int ends[2];

    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    CHECK_IS(loop_kernel_write(ends[1], "x", 1), 1);
    pthread_t thread = start(set_value, NULL);
    while (__atomic_load_n(&shared.value, __ATOMIC_RELAXED) == 0) {
        look(ends[0]);
    }
    join(thread);
    loop_kernel_close(ends[0]);
    loop_kernel_close(ends[1]);
}

static void look_by_poll(int number)
{
    struct pollfd entry = {.fd = number, .events = POLLIN};

    CHECK_IS(loop_kernel_poll(&entry, 1, -1), 1);
}

TEST(thread_runs_while_another_polls_what_is_ready)
{
    look_until_thread_has_run(look_by_poll);
}

static int epoll_set = -1;

static void look_by_epoll(int number)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (epoll_set < 0) {
        epoll_set = loop_kernel_epoll_create1(EPOLL_CLOEXEC);
        CHECK_IS(loop_kernel_epoll_ctl(epoll_set, EPOLL_CTL_ADD, number, &event), 0);
    }
    CHECK_IS(loop_kernel_epoll_wait(epoll_set, &event, 1, -1), 1);
}

TEST(thread_runs_while_another_waits_in_epoll_for_what_is_ready)
{
    look_until_thread_has_run(look_by_epoll);
    loop_kernel_close(epoll_set);
}

/* ---- mutexes ---- */

static void *set_value_locked(void *arg)
{
    lock();
    shared.value = *(int *)arg;
    unlock();
    return NULL;
}

TEST(mutex_keeps_other_threads_out_until_unlocked)
{
    int value = 7;

    lock();
    pthread_t thread = start(set_value_locked, &value);
    for (int i = 0; i < 100; i++) {
        loop_kernel_sched_yield();
        CHECK_IS(shared.value, 0);
    }
    unlock();
    join(thread);
    CHECK_IS(shared.value, 7);
}

static void *add_one_by_one(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        lock();
        int value = shared.value;
        if (i % 100 == 0) {
            loop_kernel_sched_yield();
        }
        shared.value = value + 1;
        unlock();
    }
    return arg;
}

TEST(mutex_makes_counting_by_many_threads_exact)
{
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        threads[i] = start(add_one_by_one, NULL);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        join(threads[i]);
    }
    CHECK_IS(shared.value, 4000);
}

TEST(mutex_that_was_initialized_locks)
{
    pthread_mutex_t mutex;

    CHECK_IS(loop_kernel_pthread_mutex_init(&mutex, NULL), 0);
    CHECK_IS(loop_kernel_pthread_mutex_lock(&mutex), 0);
    CHECK_IS(loop_kernel_pthread_mutex_unlock(&mutex), 0);
    CHECK_IS(loop_kernel_pthread_mutex_destroy(&mutex), 0);
}

#ifdef __GLIBC__
TEST(mutex_that_is_locked_is_not_destroyed)
{
    lock();
    CHECK_IS(loop_kernel_pthread_mutex_destroy(&shared.mutex), EBUSY);
    unlock();
    CHECK_IS(loop_kernel_pthread_mutex_destroy(&shared.mutex), 0);
}
#endif

/* ---- conditions ---- */

static void *take_one(void *arg)
{
    lock();
    shared.waiting++;
    while (shared.value == 0) {
        CHECK_IS(loop_kernel_pthread_cond_wait(&shared.condition, &shared.mutex), 0);
    }
    shared.value--;
    shared.woken++;
    unlock();
    return arg;
}

TEST(condition_signal_wakes_a_waiting_thread)
{
    pthread_t thread = start(take_one, NULL);

    wait_for_waiting(1);
    lock();
    shared.value = 1;
    CHECK_IS(loop_kernel_pthread_cond_signal(&shared.condition), 0);
    unlock();
    join(thread);
    CHECK_IS(shared.value, 0);
}

TEST(condition_broadcast_wakes_all_waiting_threads)
{
    pthread_t threads[3];

    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        threads[i] = start(take_one, NULL);
    }
    wait_for_waiting(3);
    lock();
    shared.value = 3;
    CHECK_IS(loop_kernel_pthread_cond_broadcast(&shared.condition), 0);
    unlock();
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        join(threads[i]);
    }
    CHECK_IS(shared.woken, 3);
}

TEST(condition_signal_wakes_no_thread_that_waits_later)
{
    CHECK_IS(loop_kernel_pthread_cond_signal(&shared.condition), 0);
    CHECK_IS(loop_kernel_pthread_cond_broadcast(&shared.condition), 0);
    pthread_t thread = start(take_one, NULL);
    wait_for_waiting(1);
    CHECK_IS(shared.woken, 0);
    lock();
    shared.value = 1;
    loop_kernel_pthread_cond_signal(&shared.condition);
    unlock();
    join(thread);
}

TEST(condition_that_was_initialized_is_destroyed)
{
    pthread_cond_t condition;

    CHECK_IS(loop_kernel_pthread_cond_init(&condition, NULL), 0);
    CHECK_IS(loop_kernel_pthread_cond_signal(&condition), 0);
    CHECK_IS(loop_kernel_pthread_cond_destroy(&condition), 0);
}

/* ---- calls made once ---- */

static void count_slowly(void)
{
    for (int i = 0; i < 100; i++) {
        loop_kernel_sched_yield();
    }
    shared.value++;
}

static void *call_once(void *arg)
{
    CHECK_IS(loop_kernel_pthread_once(&shared.once, count_slowly), 0);
    CHECK_IS(shared.value, 1); /* it has returned */
    return arg;
}

TEST(once_calls_one_time_and_every_thread_waits_for_it)
{
    pthread_t one = start(call_once, NULL), other = start(call_once, NULL);

    call_once(NULL);
    join(one);
    join(other);
    CHECK_IS(shared.value, 1);
}
