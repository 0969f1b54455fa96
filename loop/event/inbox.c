/* SPDX-License-Identifier: ISC
 *
 * The inbox: posts from other threads and from signal handlers, and the eventfd that wakes a sleeping loop.
 *
 * The inbox is a ring of slots. Each slot has a turn: 2 * round while it is free for that round, and one more while it
 * has a post. A poster claims the next position by moving the tail, writes the post, and sets the turn of the slot. No
 * thread waits for another. The top bit of the tail means that the inbox is open. Closing clears it, so that no claim
 * can follow. In a forked child the memory is zeroed, which also means closed.
 *
 * Waking the loop. Before it sleeps, the loop marks itself asleep and then looks for posts. A poster posts and then
 * looks whether the loop is asleep. These four steps are sequentially consistent: either the loop finds the post, or
 * the poster finds the loop asleep and writes to the eventfd. The eventfd is never read, because each write makes an
 * edge; the loop must watch it edge-triggered. A write that comes when the loop is already awake costs one more turn.
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

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define OPEN_BIT (UINT64_C(1) << 63)

/* A thread that only posts makes about this many posts while a sleeping loop wakes up. With 1024 it found the inbox
 * full. */
#define DEFAULT_CAPACITY 4096u

struct slot {
    _Atomic uint64_t turn;
    loop_fn *fn;
    void *arg;
};

struct loop_inbox {
    /* Written by posters, and by the loop when it goes to sleep. */
    _Alignas(64) _Atomic uint64_t tail;
    atomic_bool is_asleep;
    atomic_uint ringers; /* posters that may be about to write to the eventfd */
    /* Of the loop's thread alone. */
    _Alignas(64) uint64_t head;
    struct slot *next;  /* of the next post */
    uint64_t next_turn; /* the turn of that slot when it has the post */
    uint64_t wakeups;
    bool has_slept;
    /* Constant, except the references. */
    _Alignas(64) uint64_t capacity;
    unsigned round_shift; /* position >> round_shift is the round */
    int number;
    size_t size_bytes;
    atomic_uint references;
    struct slot slots[];
};

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

struct loop_inbox *loop_inbox_create(unsigned capacity)
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
    inbox->next = inbox->slots;
    inbox->next_turn = 1;
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

/* Whether the reference is the loop's own, which it drops when the inbox is closed. */
static bool is_loops_own(const struct loop_inbox *inbox)
{
    return atomic_load_explicit(&inbox->references, memory_order_relaxed) == 1 &&
           (atomic_load_explicit(&inbox->tail, memory_order_relaxed) & OPEN_BIT);
}

/* In a forked child the count is 0, and the memory stays mapped until the child ends. */
void loop_inbox_unref(struct loop_inbox *inbox)
{
    if (!inbox || atomic_load_explicit(&inbox->references, memory_order_relaxed) == 0) {
        return;
    }
    if (is_loops_own(inbox)) {
        loop_misuse(NULL, __func__, "only the loop's own reference is left", "call it once for each loop_inbox_ref");
        return;
    }
    if (atomic_fetch_sub_explicit(&inbox->references, 1, memory_order_acq_rel) == 1) {
        loop_kernel_munmap(inbox, inbox->size_bytes);
    }
}

uint32_t loop_inbox_references(const struct loop_inbox *inbox)
{
    return atomic_load_explicit(&inbox->references, memory_order_relaxed);
}

/* ---- posting: any thread, and signal handlers ---- */

static struct slot *slot_at(struct loop_inbox *inbox, uint64_t position)
{
    return &inbox->slots[position & (inbox->capacity - 1)];
}

static uint64_t free_turn(const struct loop_inbox *inbox, uint64_t position)
{
    return (position >> inbox->round_shift) * 2;
}

/* Claims the next position and returns it. -EAGAIN: the inbox is full. -ESHUTDOWN: it is closed. */
static int64_t claim(struct loop_inbox *inbox)
{
    uint64_t tail = atomic_load_explicit(&inbox->tail, memory_order_relaxed);
    while (tail & OPEN_BIT) {
        uint64_t position = tail & ~OPEN_BIT;
        uint64_t turn = atomic_load_explicit(&slot_at(inbox, position)->turn, memory_order_acquire);
        if (turn < free_turn(inbox, position)) {
            return -EAGAIN;
        }
        if (turn > free_turn(inbox, position)) { /* another poster was faster */
            tail = atomic_load_explicit(&inbox->tail, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&inbox->tail, &tail, tail + 1, memory_order_relaxed,
                                                         memory_order_relaxed)) {
            return (int64_t)position;
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
    if (!atomic_load(&inbox->is_asleep)) {
        return;
    }
    atomic_fetch_add(&inbox->ringers, 1);
    if (atomic_exchange(&inbox->is_asleep, false)) {
        ring(inbox);
    }
    atomic_fetch_sub(&inbox->ringers, 1);
}

int loop_post(struct loop_inbox *inbox, loop_fn *fn, void *arg)
{
    if (!inbox || !fn) {
        loop_bad_null(__func__, inbox ? "function" : "inbox");
        return -EINVAL;
    }
    int64_t position = claim(inbox);
    if (position < 0) {
        loop_kernel_relax();
        return (int)position;
    }
    struct slot *slot = slot_at(inbox, (uint64_t)position);
    slot->fn = fn;
    slot->arg = arg;
    atomic_store(&slot->turn, free_turn(inbox, (uint64_t)position) + 1);
    loop_inbox_wake(inbox);
    return 0;
}

/* ---- taking posts: the loop's thread ---- */

bool loop_inbox_is_empty(const struct loop_inbox *inbox)
{
    return atomic_load(&inbox->next->turn) != inbox->next_turn;
}

static void expect(struct loop_inbox *inbox, uint64_t position)
{
    inbox->head = position;
    inbox->next = slot_at(inbox, position);
    inbox->next_turn = free_turn(inbox, position) + 1;
}

bool loop_inbox_take(struct loop_inbox *inbox, loop_fn **fn, void **arg)
{
    struct slot *slot = inbox->next;
    if (loop_inbox_is_empty(inbox)) {
        return false;
    }
    *fn = slot->fn;
    *arg = slot->arg;
    atomic_store_explicit(&slot->turn, inbox->next_turn + 1, memory_order_release);
    expect(inbox, inbox->head + 1);
    return true;
}

bool loop_inbox_sleep(struct loop_inbox *inbox)
{
    atomic_store(&inbox->is_asleep, true);
    inbox->has_slept = loop_inbox_is_empty(inbox);
    if (!inbox->has_slept) {
        atomic_store_explicit(&inbox->is_asleep, false, memory_order_relaxed);
    }
    return inbox->has_slept;
}

void loop_inbox_awake(struct loop_inbox *inbox)
{
    if (!inbox->has_slept) {
        return;
    }
    inbox->has_slept = false;
    if (atomic_load_explicit(&inbox->is_asleep, memory_order_relaxed)) {
        atomic_store_explicit(&inbox->is_asleep, false, memory_order_relaxed);
    } else {
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

/* Waits for a poster that has claimed a position and has not written the post yet. */
static void wait_a_little(void)
{
    loop_kernel_nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

/* Runs the posts whose positions were claimed before the inbox was closed. They are accepted, even if written later. */
static void run_the_last(struct loop_inbox *inbox, uint64_t end)
{
    while (inbox->head != end) {
        loop_fn *fn;
        void *arg;
        if (loop_inbox_take(inbox, &fn, &arg)) {
            fn(arg, -ECANCELED);
        } else {
            wait_a_little();
        }
    }
}

void loop_inbox_close(struct loop_inbox *inbox)
{
    uint64_t end = atomic_fetch_and(&inbox->tail, ~OPEN_BIT) & ~OPEN_BIT;
    run_the_last(inbox, end);
    atomic_exchange(&inbox->is_asleep, false);
    while (atomic_load(&inbox->ringers)) {
        wait_a_little();
    }
    loop_kernel_close(inbox->number);
    inbox->number = -1;
}
