/* SPDX-License-Identifier: ISC
 *
 * The inbox: posts from other threads and from signal handlers, and the eventfd that wakes a sleeping loop.
 *
 * The inbox is a ring of slots. A poster claims the next position by moving the tail, writes the post, and stores the
 * round of the position in the slot, which publishes the post. No poster waits for another. The loop only reads slots,
 * and frees many of them at a time by moving the head: so posters seldom lose a cache line to it. The top bit of the
 * tail means that the inbox is open. Closing clears it, so that no claim can follow. In a forked child the memory is
 * zeroed, which also means closed.
 *
 * Tasks are posts whose memory is the sender's, so that no full inbox can refuse them. They are a stack, which the
 * loop takes whole and turns round. When the inbox closes, the stack gets an end that no task is pushed on.
 *
 * Waking the loop. Another bit of the tail means that the loop sleeps. The loop sets it only while no position is
 * claimed that it has not taken, and each claim clears it. All of these are changes of one word, so either the loop
 * finds the claim, or the claim finds the bit: then its poster writes to the eventfd. The eventfd is never read,
 * because each write makes an edge; the loop must watch it edge-triggered. A write that comes when the loop is already
 * awake costs one more turn.
 */
#include <loop/core/check.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/event/inbox.h>
#include <loop/kernel/event.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/thread.h>
#include <loop/kernel/time.h>
#include <loop/part.h>

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define OPEN_BIT (UINT64_C(1) << 63)
#define ASLEEP_BIT (UINT64_C(1) << 62)
#define POSITION_BITS (ASLEEP_BIT - 1)

/* A thread that only posts makes about this many posts while a sleeping loop wakes up. With 1024 it found the inbox
 * full. */
#define DEFAULT_CAPACITY 4096u

/* The most posts that the loop takes before it frees their slots, or an eighth of a small inbox. */
#define MOST_UNFREED 64u

/* How many slots ahead a poster loads the slot that will be written. */
#define AHEAD 8u

/* A reference of loop_inbox_share, in the count of all. */
#define SHARED (UINT64_C(1) << 32)

/* How often the loop looks for a post whose position is claimed, before it lets the poster run. */
#define LOOKS 100u

/* So many posts and tasks since the loop last slept are a burst. The loop waits for more of it for as many pauses,
 * about a microsecond: less than it takes to wake a sleeping loop. */
#define BURST 16u
#define BURST_PAUSES 32u

struct slot {
    _Atomic uint64_t round; /* of the post that is in it, or was last; the first round is 1 */
    loop_fn *fn;
    void *arg;
};

struct loop_inbox {
    /* Written by posters, and by the loop when it goes to sleep. */
    _Alignas(64) _Atomic uint64_t tail; /* the next position that is not claimed, and the bits above */
    _Atomic uint64_t known_head;        /* the head when a poster last looked it up */
    atomic_uint ringers;                /* posters that may be about to write to the eventfd */
    /* Written by senders, and by the loop when it takes tasks. */
    _Alignas(64) _Atomic(struct loop_task *) tasks; /* the newest first; or &closed_stack */
    /* Written by the loop, read by posters. */
    _Alignas(64) _Atomic uint64_t head; /* the slots of positions before it are free */
    /* Of the loop's thread alone. */
    _Alignas(64) uint64_t position; /* of the next post */
    struct slot *next;              /* its slot */
    uint64_t next_round;            /* the round of that slot when it has the post */
    struct loop_task *taken;        /* tasks that were taken and have not run, the oldest first */
    struct loop_task **last_taken;
    uint64_t burst_from;  /* the position when the loop was last about to sleep */
    uint64_t burst_tasks; /* tasks taken since then */
    uint64_t wakeups;
    bool has_slept;
    /* Constant, except the references. */
    _Alignas(64) uint64_t capacity;
    unsigned round_shift; /* position >> round_shift is the round, counted from 0 */
    unsigned most_unfreed;
    int number;
    size_t size_bytes;
    struct loop *loop;           /* valid on its thread, until it has ended */
    _Atomic uint64_t references; /* a count of those of loop_inbox_share above SHARED, and of all others below */
    struct slot slots[];
};

/* What the stack of tasks is once the inbox has closed. */
static struct loop_task closed_stack;

/* ---- creating and references ---- */

/* Maps the memory of an inbox. Zeroed pages are a closed inbox with free slots, which a forked child gets again. On
 * kernels without that, the child has an inbox that is never emptied, which does no harm. */
static struct loop_inbox *map_box(size_t size_bytes)
{
    void *memory = loop_kernel_mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    loop_kernel_madvise(memory, size_bytes, MADV_WIPEONFORK);
    return memory;
}

struct loop_inbox *loop_inbox_create(struct loop *loop, unsigned capacity)
{
    unsigned shift = 0;
    while (UINT64_C(1) << shift < (capacity ? capacity : DEFAULT_CAPACITY)) {
        shift++;
    }
    size_t size_bytes = sizeof(struct loop_inbox) + (sizeof(struct slot) << shift);
    struct loop_inbox *inbox = map_box(size_bytes);
    if (!inbox) {
        return NULL;
    }
    inbox->number = loop_kernel_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inbox->number < 0) {
        int error = errno;
        loop_kernel_munmap(inbox, size_bytes);
        errno = error;
        return NULL;
    }
    inbox->capacity = UINT64_C(1) << shift;
    inbox->round_shift = shift;
    inbox->size_bytes = size_bytes;
    inbox->most_unfreed = inbox->capacity / 8 < MOST_UNFREED ? (unsigned)(inbox->capacity / 8) : MOST_UNFREED;
    inbox->next = inbox->slots;
    inbox->next_round = 1;
    inbox->last_taken = &inbox->taken;
    inbox->loop = loop;
    atomic_init(&inbox->references, 1);
    atomic_store(&inbox->tail, OPEN_BIT);
    return inbox;
}

struct loop_inbox *loop_inbox_ref(struct loop *loop)
{
    if (!loop_is_good(loop, __func__)) {
        return NULL;
    }
#if NORIA_DEBUG
    loop->inbox_taken = LOOP_THIS_CALL;
#endif
    atomic_fetch_add_explicit(&loop->inbox->references, 1, memory_order_relaxed);
    return loop->inbox;
}

struct loop_inbox *loop_inbox_of(struct loop *loop)
{
    return loop_is_good(loop, __func__) ? loop->inbox : NULL;
}

struct loop *loop_inbox_loop(const struct loop_inbox *inbox)
{
    if (!inbox) {
        loop_bad_null(__func__, "inbox");
    }
    return inbox ? inbox->loop : NULL;
}

/* Whether the reference is the loop's own, which it drops when the inbox is closed. */
static bool is_loops_own(const struct loop_inbox *inbox)
{
    return loop_inbox_references(inbox) == 1 && (atomic_load_explicit(&inbox->tail, memory_order_relaxed) & OPEN_BIT);
}

/* Drops a reference. In a forked child the count is 0, and the memory stays mapped until the child ends. */
static void drop(struct loop_inbox *inbox, uint64_t reference)
{
    if (atomic_fetch_sub_explicit(&inbox->references, reference, memory_order_acq_rel) == reference) {
        loop_kernel_munmap(inbox, inbox->size_bytes);
    }
}

static bool is_of_parent(const struct loop_inbox *inbox)
{
    return atomic_load_explicit(&inbox->references, memory_order_relaxed) == 0;
}

void loop_inbox_unref(struct loop_inbox *inbox)
{
    if (!inbox || is_of_parent(inbox)) {
        return;
    }
    if (is_loops_own(inbox)) {
        loop_misuse(NULL, __func__, "only the loop's own reference is left", "call it once for each loop_inbox_ref");
        return;
    }
    drop(inbox, 1);
}

void loop_inbox_share(struct loop_inbox *inbox)
{
    if (!inbox) {
        loop_bad_null(__func__, "inbox");
        return;
    }
    atomic_fetch_add_explicit(&inbox->references, SHARED, memory_order_relaxed);
}

void loop_inbox_unshare(struct loop_inbox *inbox)
{
    if (inbox && !is_of_parent(inbox)) {
        drop(inbox, SHARED);
    }
}

uint32_t loop_inbox_references(const struct loop_inbox *inbox)
{
    return (uint32_t)atomic_load_explicit(&inbox->references, memory_order_relaxed);
}

/* ---- posting: any thread, and signal handlers ---- */

static struct slot *slot_at(struct loop_inbox *inbox, uint64_t position)
{
    return &inbox->slots[position & (inbox->capacity - 1)];
}

static uint64_t round_of(const struct loop_inbox *inbox, uint64_t position)
{
    return (position >> inbox->round_shift) + 1;
}

/* Whether the slot of the position is free. Looks up the head only when the one known does not show it: the loop moves
 * the head often, and each look takes its cache line from the loop. */
static bool has_room(struct loop_inbox *inbox, int64_t position)
{
    uint64_t head = atomic_load_explicit(&inbox->known_head, memory_order_acquire);
    if (position - (int64_t)head >= (int64_t)inbox->capacity) { /* negative when other posters were faster */
        head = atomic_load_explicit(&inbox->head, memory_order_acquire);
        atomic_store_explicit(&inbox->known_head, head, memory_order_release);
    }
    return position - (int64_t)head < (int64_t)inbox->capacity;
}

/* Claims the next position and returns it. Stores in `*is_asleep` whether the caller has to wake the loop. -EAGAIN: the
 * inbox is full. -ESHUTDOWN: it is closed. */
static int64_t claim(struct loop_inbox *inbox, bool *is_asleep)
{
    uint64_t tail = atomic_load_explicit(&inbox->tail, memory_order_relaxed);
    while (tail & OPEN_BIT) {
        int64_t position = (int64_t)(tail & POSITION_BITS);
        if (!has_room(inbox, position)) {
            return -EAGAIN;
        }
        uint64_t claimed = OPEN_BIT | (uint64_t)(position + 1);
        if (atomic_compare_exchange_weak_explicit(&inbox->tail, &tail, claimed, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *is_asleep = tail & ASLEEP_BIT;
            return position;
        }
    }
    return -ESHUTDOWN;
}

static void ring(struct loop_inbox *inbox)
{
    static const uint64_t one = 1;
    int saved_errno = errno;
    while (loop_kernel_wake(inbox->number, &one) < 0 && errno == EINTR) {
    }
    errno = saved_errno;
}

/* Only the caller that finds the loop asleep wakes it. It is counted until it has written, which keeps the eventfd
 * open. */
void loop_inbox_wake(struct loop_inbox *inbox)
{
    if (!(atomic_load(&inbox->tail) & ASLEEP_BIT)) {
        return;
    }
    atomic_fetch_add(&inbox->ringers, 1);
    if (atomic_fetch_and(&inbox->tail, ~ASLEEP_BIT) & ASLEEP_BIT) {
        ring(inbox);
    }
    atomic_fetch_sub(&inbox->ringers, 1);
}

/* Starts to load memory that will be written. On x86 the compiler's own prefetch is one for reading. */
static void prefetch_for_writing(const void *memory)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)memory));
#else
    __builtin_prefetch(memory, 1);
#endif
}

/* Writes the post of a claimed position, which publishes it. The loop has read the slots ahead one round before, and
 * the processor would wait for each cache line to come back before the next claim. */
static void put(struct loop_inbox *inbox, uint64_t position, loop_fn *fn, void *arg)
{
    struct slot *slot = slot_at(inbox, position);
    prefetch_for_writing(slot_at(inbox, position + AHEAD));
    slot->fn = fn;
    slot->arg = arg;
    atomic_store_explicit(&slot->round, round_of(inbox, position), memory_order_release);
}

/* A poster that has to wake the loop is counted before its post can be taken, which closing waits for. */
int loop_post(struct loop_inbox *inbox, loop_fn *fn, void *arg)
{
    if (!inbox || !fn) {
        loop_bad_null(__func__, inbox ? "function" : "inbox");
        return -EINVAL;
    }
    bool is_asleep;
    int64_t position = claim(inbox, &is_asleep);
    if (position < 0) {
        loop_kernel_relax();
        return (int)position;
    }
    if (!is_asleep) {
        put(inbox, (uint64_t)position, fn, arg);
        return 0;
    }
    atomic_fetch_add(&inbox->ringers, 1);
    put(inbox, (uint64_t)position, fn, arg);
    ring(inbox);
    atomic_fetch_sub(&inbox->ringers, 1);
    return 0;
}

/* In a forked child the stack is empty, and the inbox is closed. */
int loop_post_task(struct loop_inbox *inbox, struct loop_task *task)
{
    if (!inbox || !task) {
        loop_bad_null(__func__, inbox ? "task" : "inbox");
        return -EINVAL;
    }
    if (!(atomic_load_explicit(&inbox->tail, memory_order_relaxed) & OPEN_BIT)) {
        return -ESHUTDOWN;
    }
    struct loop_task *newest = atomic_load_explicit(&inbox->tasks, memory_order_relaxed);
    do {
        if (newest == &closed_stack) {
            return -ESHUTDOWN;
        }
        task->next = newest;
    } while (!atomic_compare_exchange_weak(&inbox->tasks, &newest, task));
    loop_inbox_wake(inbox);
    return 0;
}

/* ---- taking posts: the loop's thread ---- */

static bool has_post(const struct loop_inbox *inbox)
{
    return atomic_load_explicit(&inbox->next->round, memory_order_acquire) == inbox->next_round;
}

static bool has_task(const struct loop_inbox *inbox)
{
    struct loop_task *newest = atomic_load(&inbox->tasks);
    return __builtin_expect(inbox->taken || (newest && newest != &closed_stack), false);
}

bool loop_inbox_is_empty(const struct loop_inbox *inbox)
{
    return !has_post(inbox) && !has_task(inbox);
}

/* Frees the slots of all posts that were taken. */
static void free_slots(struct loop_inbox *inbox)
{
    atomic_store_explicit(&inbox->head, inbox->position, memory_order_release);
}

static uint64_t unfreed(const struct loop_inbox *inbox)
{
    return inbox->position - atomic_load_explicit(&inbox->head, memory_order_relaxed);
}

bool loop_inbox_take(struct loop_inbox *inbox, loop_fn **fn, void **arg)
{
    if (!has_post(inbox)) {
        if (unfreed(inbox) > 0) {
            free_slots(inbox);
        }
        return false;
    }
    *fn = inbox->next->fn;
    *arg = inbox->next->arg;
    inbox->position++;
    inbox->next = slot_at(inbox, inbox->position);
    inbox->next_round = round_of(inbox, inbox->position);
    if (unfreed(inbox) >= inbox->most_unfreed) {
        free_slots(inbox);
    }
    return true;
}

/* Puts the tasks of the stack behind those that were taken before, in the order of the calls. */
static void take_stack(struct loop_inbox *inbox, struct loop_task *replacement)
{
    struct loop_task *task = atomic_exchange(&inbox->tasks, replacement), *oldest = NULL, *next;
    struct loop_task **last = task && task != &closed_stack ? &task->next : NULL;
    for (; task && task != &closed_stack; task = next) {
        next = task->next;
        task->next = oldest;
        oldest = task;
    }
    if (last) {
        *inbox->last_taken = oldest;
        inbox->last_taken = last;
    }
}

struct loop_task *loop_inbox_take_task(struct loop_inbox *inbox)
{
    if (!has_task(inbox)) {
        return NULL;
    }
    if (!inbox->taken) {
        take_stack(inbox, NULL);
    }
    struct loop_task *task = inbox->taken;
    inbox->taken = task->next;
    inbox->burst_tasks++;
    if (!inbox->taken) {
        inbox->last_taken = &inbox->taken;
    }
    return task;
}

/* Waits for a poster that has claimed a position and has not written the post yet. */
static void wait_a_little(void)
{
    loop_kernel_nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

/* Waits a little for the post of the next position, which is claimed. Its poster writes it at once, unless it does not
 * run: this thread may be what keeps it from running. */
static void wait_for_claimed(const struct loop_inbox *inbox)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        if (has_post(inbox)) {
            return;
        }
        loop_kernel_pause(1);
    }
    wait_a_little();
}

/* Returns whether a post or a task is pending. After a burst that has been taken, waits for more of it first. A poster
 * that finds the loop asleep makes a system call. And a loop that is always right behind the poster takes from it the
 * cache lines that it is writing, so the loop does not look at them meanwhile. */
static bool has_more(const struct loop_inbox *inbox)
{
    if (__builtin_expect(!loop_inbox_is_empty(inbox), false)) {
        return true;
    }
    if (__builtin_expect(inbox->position - inbox->burst_from + inbox->burst_tasks < BURST, true)) {
        return false;
    }
    loop_kernel_pause(BURST_PAUSES);
    return !loop_inbox_is_empty(inbox);
}

bool loop_inbox_sleep(struct loop_inbox *inbox)
{
    if (has_more(inbox)) {
        return false;
    }
    inbox->burst_from = inbox->position;
    inbox->burst_tasks = 0;
    uint64_t tail = atomic_load_explicit(&inbox->tail, memory_order_relaxed);
    inbox->has_slept = (tail & POSITION_BITS) == inbox->position &&
                       atomic_compare_exchange_strong(&inbox->tail, &tail, tail | ASLEEP_BIT);
    if (__builtin_expect(!inbox->has_slept, false)) {
        wait_for_claimed(inbox);
    }
    return inbox->has_slept && !has_task(inbox); /* a sender that has not found it asleep is found here */
}

void loop_inbox_awake(struct loop_inbox *inbox)
{
    if (!inbox->has_slept) {
        return;
    }
    inbox->has_slept = false;
    bool is_asleep = atomic_load_explicit(&inbox->tail, memory_order_relaxed) & ASLEEP_BIT;
    if (__builtin_expect(!is_asleep || !(atomic_fetch_and(&inbox->tail, ~ASLEEP_BIT) & ASLEEP_BIT), false)) {
        inbox->wakeups++;
    }
}

int loop_inbox_number(const struct loop_inbox *inbox)
{
    return inbox->number;
}

uint64_t loop_inbox_wakeups(const struct loop_inbox *inbox)
{
    return inbox->wakeups;
}

/* ---- closing ---- */

/* Runs the posts whose positions were claimed before the inbox was closed. They are accepted, even if written later. */
static void run_the_last(struct loop_inbox *inbox, uint64_t end)
{
    while (inbox->position != end) {
        loop_fn *fn;
        void *arg;
        if (loop_inbox_take(inbox, &fn, &arg)) {
            fn(arg, -ECANCELED);
        } else {
            wait_a_little();
        }
    }
}

static void run_the_last_tasks(struct loop_inbox *inbox)
{
    struct loop_task *task, *next;
    take_stack(inbox, &closed_stack);
    task = inbox->taken;
    inbox->taken = NULL;
    inbox->last_taken = &inbox->taken;
    for (; task; task = next) {
        next = task->next;
        task->fn(task->arg, -ECANCELED);
    }
}

void loop_inbox_close(struct loop_inbox *inbox)
{
    uint64_t tail = atomic_fetch_and(&inbox->tail, POSITION_BITS);
    run_the_last(inbox, tail & POSITION_BITS);
    run_the_last_tasks(inbox);
}

void loop_inbox_finish(struct loop_inbox *inbox)
{
    while (atomic_load(&inbox->ringers)) {
        wait_a_little();
    }
    loop_kernel_close(inbox->number);
    inbox->number = -1;
}
