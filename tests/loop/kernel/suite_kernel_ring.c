/* SPDX-License-Identifier: ISC
 *
 * Rings: setting up, entering, pipes and event descriptors, polls, cancelling, timeouts, overflow. The real kernel and
 * the simulated one must give the same answers.
 */
#include "rings.h"

#if NORIA_URING

/* ---- setting up ---- */

static const struct {
    unsigned entries, completions, flags;
    int error;
} refused[] = {
    {0, 0, 0, -EINVAL},
    {32769, 0, 0, -EINVAL},
    {8, 4, IORING_SETUP_CQSIZE, -EINVAL},
    {8, 0, IORING_SETUP_CQSIZE, -EINVAL},
    {8, 65537, IORING_SETUP_CQSIZE, -EINVAL},
    {8, 0, IORING_SETUP_DEFER_TASKRUN, -EINVAL},
    {8, 0, IORING_SETUP_TASKRUN_FLAG, -EINVAL},
    {8, 0, IORING_SETUP_SQPOLL | IORING_SETUP_COOP_TASKRUN, -EINVAL},
    {8, 0, IORING_SETUP_SQPOLL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, -EINVAL},
    {8, 0, IORING_SETUP_SQ_AFF, -EINVAL},
    {8, 0, 1U << 31, -EINVAL},
};

TEST_ROWS(ring_setup_refuses_wrong_parameters, COUNT_OF(refused), row)
{
    struct io_uring ring;
    struct io_uring_params params = {.flags = refused[row].flags, .cq_entries = refused[row].completions};

    int error = loop_kernel_io_uring_queue_init_params(refused[row].entries, &ring, &params);
    if (error != -EPERM && error != -ENOSYS) {
        CHECK_IS(error, refused[row].error);
    }
}

TEST(ring_setup_rounds_sizes_up_and_clamps_them)
{
    struct io_uring ring;

    if (!make_ring(&ring, 5, 0, 0)) {
        return;
    }
    CHECK_IS(ring.sq.ring_entries, 8);
    CHECK_IS(ring.sq.ring_mask, 7);
    CHECK_IS(ring.cq.ring_entries, 16);
    loop_kernel_io_uring_queue_exit(&ring);

    CHECK(make_ring(&ring, 4, 100, 0));
    CHECK_IS(ring.cq.ring_entries, 128);
    loop_kernel_io_uring_queue_exit(&ring);

    CHECK(make_ring(&ring, 4, 1000000, IORING_SETUP_CLAMP));
    CHECK_IS(ring.cq.ring_entries, 65536);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_has_what_linux_6_1_has)
{
    struct io_uring ring;
    struct io_uring_probe *probe = calloc(1, sizeof *probe + 257 * sizeof *probe->ops);
    const unsigned features = IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS | IORING_FEAT_FAST_POLL |
                              IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP | IORING_FEAT_SUBMIT_STABLE;
    const unsigned operations[] = {IORING_OP_NOP,    IORING_OP_READ,         IORING_OP_WRITEV, IORING_OP_POLL_ADD,
                                   IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_STATX,  IORING_OP_OPENAT2};

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        free(probe);
        return;
    }
    CHECK_IS(ring.features & features, features);
    CHECK(probe != NULL);
    CHECK_IS(loop_kernel_io_uring_register_probe(&ring, probe, 256), 0);
    CHECK(probe->last_op >= IORING_OP_SENDMSG_ZC);
    CHECK_IS(loop_kernel_io_uring_register_probe(&ring, probe, 257), -EINVAL);
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        CHECK(probe->ops[operations[i]].flags & IO_URING_OP_SUPPORTED);
    }
    free(probe);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- entering ---- */

TEST(ring_enter_refuses_what_is_no_ring)
{
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ends[0], 0, 0, 0, NULL, 8), -EOPNOTSUPP);
    CHECK_IS(loop_kernel_io_uring_enter2(999, 0, 0, 0, NULL, 8), -EBADF);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring.ring_fd, 0, 0, 1U << 31, NULL, 8), -EINVAL);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
                                         NULL, 3),
             -EINVAL);
    CHECK_IS(loop_kernel_io_uring_enter2(0, 0, 0, IORING_ENTER_REGISTERED_RING, NULL, 8), -EBADF);
    CHECK_IS(loop_kernel_io_uring_register_ring_fd(&ring), 1);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring.enter_ring_fd, 0, 0, IORING_ENTER_REGISTERED_RING, NULL, 8), 0);
    CHECK_IS(loop_kernel_io_uring_enter2(15, 0, 0, IORING_ENTER_REGISTERED_RING, NULL, 8), -EBADF);
    CHECK_IS(loop_kernel_io_uring_enter2(16, 0, 0, IORING_ENTER_REGISTERED_RING, NULL, 8), -EINVAL);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST_ROWS(ring_completes_nops_in_their_order, COUNT_OF(setups), row)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, setups[row])) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        io_uring_prep_nop(entry_of(&ring));
        ring.sq.sqes[i].user_data = 10 + i;
    }
    CHECK_IS(enter(&ring, 4, 1000), 4);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT(&ring, 10 + i, 0, 0);
    }
    CHECK_IS(enter(&ring, 1, 0), -ETIME);
    CHECK_IS(enter(&ring, 1, 5), -ETIME);
    CHECK_IS(enter(&ring, 0, 0), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_does_not_mention_success_that_is_to_be_skipped)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_nop(entry);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry = entry_of(&ring);
    io_uring_prep_cancel64(entry, 77, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = 2;
    EXPECT(&ring, 2, -ENOENT, 0);
    EXPECT_NOTHING(&ring);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST_ROWS(ring_stops_at_a_bad_entry_unless_all_are_to_be_submitted, 2, row)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 0, row ? IORING_SETUP_SUBMIT_ALL : 0)) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        struct io_uring_sqe *entry = entry_of(&ring);
        io_uring_prep_nop(entry);
        entry->opcode = i == 1 ? 255 : IORING_OP_NOP;
        entry->user_data = i;
    }
    CHECK_IS(enter(&ring, 0, 0), row ? 3 : 2);
    EXPECT(&ring, 0, 0, 0);
    EXPECT(&ring, 1, -EINVAL, 0);
    EXPECT(&ring, 2, 0, 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

static void *enter_elsewhere(void *arg)
{
    struct io_uring *ring = arg;
    unsigned probe[4];
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring->ring_fd, 1, 0, 0, NULL, 8), -EEXIST);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring->ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 8), -EEXIST);
    CHECK_IS(loop_kernel_io_uring_register_iowq_max_workers(ring, probe), -EEXIST);
    CHECK_IS(loop_kernel_io_uring_register_probe(ring, (void *)probe, 0), -EEXIST);
    return NULL;
}

TEST(ring_of_a_single_issuer_refuses_other_threads)
{
    struct io_uring ring;
    pthread_t thread;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    io_uring_prep_nop(entry_of(&ring));
    __atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE);
    CHECK_IS(loop_kernel_pthread_create(&thread, NULL, enter_elsewhere, &ring), 0);
    CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    EXPECT(&ring, 0, 0, 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_with_a_submitting_thread_takes_entries_by_itself)
{
    struct io_uring ring;
    int ends[2];
    char byte = 0;

    if (!make_ring(&ring, 4, 0, IORING_SETUP_SQPOLL)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    io_uring_prep_read(entry_of(&ring), ends[0], &byte, 1, 0);
    ring.sq.sqes[0].user_data = 3;
    __atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE);
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring.ring_fd, 1, 0, IORING_ENTER_SQ_WAKEUP, NULL, 8), 1);
    write_all(ends[1], "x");
    CHECK_IS(loop_kernel_io_uring_enter2((unsigned)ring.ring_fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8), 0);
    EXPECT(&ring, 3, 1, 0);
    CHECK_IS(byte, 'x');
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- overflow ---- */

TEST_ROWS(ring_keeps_completions_without_room_in_their_order, COUNT_OF(setups), row)
{
    struct io_uring ring;

    if (!make_ring(&ring, 4, 4, setups[row])) {
        return;
    }
    for (unsigned i = 0; i < 12; i++) {
        struct io_uring_sqe *entry = entry_of(&ring);
        io_uring_prep_nop(entry);
        entry->user_data = i;
        if (i % 4 == 3) {
            CHECK_IS(loop_kernel_io_uring_enter2(
                         (unsigned)ring.ring_fd,
                         (__atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE), 4), 0, 0, NULL, 8),
                     4);
        }
    }
    CHECK(*ring.sq.kflags & IORING_SQ_CQ_OVERFLOW);
    for (unsigned i = 0; i < 12; i++) {
        EXPECT(&ring, i, 0, 0);
    }
    CHECK(!(*ring.sq.kflags & IORING_SQ_CQ_OVERFLOW));
    EXPECT_NOTHING(&ring);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_ends_a_multishot_poll_without_room)
{
    struct io_uring ring;
    uint64_t one = 1;

    if (!make_ring(&ring, 2, 2, DEFERRED)) {
        return;
    }
    int number = loop_kernel_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    io_uring_prep_poll_multishot(entry_of(&ring), number, POLLIN);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_IS(loop_kernel_write(number, &one, sizeof one), sizeof one);
        (void)enter(&ring, 0, 0);
    }
    EXPECT(&ring, 0, POLLIN, IORING_CQE_F_MORE);
    EXPECT(&ring, 0, POLLIN, IORING_CQE_F_MORE);
    EXPECT(&ring, 0, POLLIN, 0);
    CHECK_IS(loop_kernel_write(number, &one, sizeof one), sizeof one);
    EXPECT_NOTHING(&ring);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- pipes and event descriptors ---- */

TEST_ROWS(ring_reads_a_pipe_when_something_comes, 2 * COUNT_OF(setups), row)
{
    struct io_uring ring;
    int ends[2];
    char data[16] = "";

    if (!make_ring(&ring, 4, 0, setups[row / 2])) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC | (row % 2 ? O_NONBLOCK : 0)), 0);
    io_uring_prep_read(entry_of(&ring), ends[0], data, sizeof data, 0);
    ring.sq.sqes[0].user_data = 5;
    EXPECT_NOTHING(&ring);
    write_all(ends[1], "hello");
    EXPECT(&ring, 5, 5, 0);
    CHECK_TEXT(data, "hello");
    CHECK_IS(loop_kernel_close(ends[1]), 0);
    io_uring_prep_read(entry_of(&ring), ends[0], data, sizeof data, (uint64_t)-1);
    EXPECT(&ring, 0, 0, 0);
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_copies_vectors_when_it_takes_the_entry)
{
    struct io_uring ring;
    int ends[2];
    char one[3] = "", other[8] = "";
    struct iovec vectors[2] = {{one, 2}, {other, 7}};

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    io_uring_prep_readv(entry_of(&ring), ends[0], vectors, 2, 0);
    EXPECT_NOTHING(&ring);
    memset(vectors, 0, sizeof vectors);
    write_all(ends[1], "hello");
    EXPECT(&ring, 0, 5, 0);
    CHECK_TEXT(one, "he");
    CHECK_TEXT(other, "llo");
    io_uring_prep_readv(entry_of(&ring), ends[0], vectors, 1025, 0);
    EXPECT(&ring, 0, -EINVAL, 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_refuses_the_wrong_end_of_a_pipe)
{
    struct io_uring ring;
    int ends[2];
    char byte;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    io_uring_prep_read(entry_of(&ring), ends[1], &byte, 1, 0);
    EXPECT(&ring, 0, -EBADF, 0);
    io_uring_prep_write(entry_of(&ring), ends[0], "x", 1, 0);
    EXPECT(&ring, 0, -EBADF, 0);
    io_uring_prep_read(entry_of(&ring), 999, &byte, 1, 0);
    EXPECT(&ring, 0, -EBADF, 0);
    io_uring_prep_recv(entry_of(&ring), ends[0], &byte, 1, 0);
    EXPECT(&ring, 0, -ENOTSOCK, 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_writes_a_full_pipe_when_it_has_room)
{
    enum { SIZE = 65536 };
    static char data[SIZE];
    struct io_uring ring;
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_IS(loop_kernel_write(ends[1], data, SIZE), SIZE);
    io_uring_prep_write(entry_of(&ring), ends[1], "more", 4, 0);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_read(ends[0], data, SIZE), SIZE);
    EXPECT(&ring, 0, 4, 0);
    CHECK_IS(loop_kernel_read(ends[0], data, SIZE), 4);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_reads_an_event_descriptor)
{
    struct io_uring ring;
    uint64_t value = 0, three = 3;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    int number = loop_kernel_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    io_uring_prep_read(entry_of(&ring), number, &value, sizeof value, 0);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_write(number, &three, sizeof three), sizeof three);
    EXPECT(&ring, 0, sizeof value, 0);
    CHECK_IS(value, 3);
    loop_kernel_close(number);
    loop_kernel_io_uring_queue_exit(&ring);
}

TEST(ring_keeps_a_file_that_is_closed_meanwhile)
{
    struct io_uring ring;
    int ends[2];
    char byte = 0;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    io_uring_prep_read(entry_of(&ring), ends[0], &byte, 1, 0);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    write_all(ends[1], "x");
    EXPECT(&ring, 0, 1, 0);
    CHECK_IS(byte, 'x');
    CHECK_IS(loop_kernel_close(ends[1]), 0);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* ---- what happens when a ring goes ---- */

/* Waits until the other end of a pipe is closed. */
static void wait_for_hangup(int number, int event)
{
    struct pollfd entry = {.fd = number};
    CHECK_IS(loop_kernel_poll(&entry, 1, 5000), 1);
    CHECK_IS(entry.revents, event);
}

TEST(ring_lets_go_of_files_when_it_is_closed)
{
    struct io_uring ring;
    int ends[2], others[2];
    char byte = 0;

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    CHECK_IS(loop_kernel_pipe2(others, O_CLOEXEC), 0);
    io_uring_prep_read(entry_of(&ring), ends[0], &byte, 1, 0);
    EXPECT_NOTHING(&ring);
    CHECK_IS(loop_kernel_close(ends[0]), 0);
    CHECK_IS(loop_kernel_io_uring_register_files(&ring, &others[1], 1), 0);
    CHECK_IS(loop_kernel_io_uring_register_files(&ring, &others[1], 1), -EBUSY);
    CHECK_IS(loop_kernel_close(others[1]), 0);
    struct io_uring_sqe *entry = entry_of(&ring);
    io_uring_prep_write(entry, 0, "y", 1, 0);
    entry->flags |= IOSQE_FIXED_FILE;
    EXPECT(&ring, 0, 1, 0);
    entry = entry_of(&ring);
    io_uring_prep_write(entry, 1, "y", 1, 0);
    entry->flags |= IOSQE_FIXED_FILE;
    EXPECT(&ring, 0, -EBADF, 0);
    loop_kernel_io_uring_queue_exit(&ring);
    wait_for_hangup(ends[1], POLLERR);
    CHECK_IS(loop_kernel_read(others[0], &byte, 1), 1);
    wait_for_hangup(others[0], POLLHUP);
    close_all((int[]){ends[1], others[0]}, 2);
}

TEST(ring_registers_buffers_once_and_checks_their_bounds)
{
    enum { SIZE = 4096 };
    static char memory[2 * SIZE];
    struct io_uring ring;
    struct iovec vectors[2] = {{memory, SIZE}, {NULL, SIZE}};
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    CHECK_IS(loop_kernel_io_uring_unregister_buffers(&ring), -ENXIO);
    CHECK_IS(loop_kernel_io_uring_register_buffers(&ring, vectors, 0), -EINVAL);
    CHECK_IS(loop_kernel_io_uring_register_buffers(&ring, vectors, 2), -EFAULT);
    CHECK_IS(loop_kernel_io_uring_register_buffers(&ring, vectors, 1), 0);
    CHECK_IS(loop_kernel_io_uring_register_buffers(&ring, vectors, 1), -EBUSY);
    memcpy(memory + SIZE - 4, "tail", 4);
    io_uring_prep_write_fixed(entry_of(&ring), ends[1], memory + SIZE - 4, 4, 0, 0);
    EXPECT(&ring, 0, 4, 0);
    io_uring_prep_read_fixed(entry_of(&ring), ends[0], memory, SIZE, 0, 0);
    EXPECT(&ring, 0, 4, 0);
    CHECK(memcmp(memory, "tail", 4) == 0);
    io_uring_prep_write_fixed(entry_of(&ring), ends[1], memory + SIZE - 4, 5, 0, 0);
    EXPECT(&ring, 0, -EFAULT, 0);
    io_uring_prep_write_fixed(entry_of(&ring), ends[1], memory, 5, 0, 1);
    EXPECT(&ring, 0, -EFAULT, 0);
    CHECK_IS(loop_kernel_io_uring_unregister_buffers(&ring), 0);
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

/* Returns whether this kernel clones registered buffers: Linux 6.12. */
static bool knows_clones(struct io_uring *ring, const struct io_uring *source)
{
    int error = loop_kernel_io_uring_clone_buffers(ring, source);

    CHECK(error == -ENXIO || error == -EINVAL); /* there are none yet */
    return error == -ENXIO;
}

TEST(ring_keeps_buffers_that_it_has_cloned_when_their_source_is_gone)
{
    enum { SIZE = 4096 };
    static char memory[SIZE] = "cloned";
    const struct iovec vector = {memory, SIZE};
    struct io_uring source, ring, pipe = {.ring_fd = -1};
    int ends[2];

    if (!make_ring(&ring, 4, 0, DEFERRED) || !make_ring(&source, 4, 0, 0)) {
        return;
    }
    CHECK_IS(loop_kernel_pipe2(ends, O_CLOEXEC), 0);
    if (knows_clones(&ring, &source)) {
        CHECK_IS(loop_kernel_io_uring_register_buffers(&source, &vector, 1), 0);
        CHECK_IS(loop_kernel_io_uring_clone_buffers(&ring, &pipe), -EBADF);
        pipe.ring_fd = ends[0];
        CHECK_IS(loop_kernel_io_uring_clone_buffers(&ring, &pipe), -EOPNOTSUPP);
        CHECK_IS(loop_kernel_io_uring_clone_buffers(&ring, &source), 0);
        CHECK_IS(loop_kernel_io_uring_clone_buffers(&ring, &source), -EBUSY);
        CHECK_IS(loop_kernel_io_uring_unregister_buffers(&source), 0);
        loop_kernel_io_uring_queue_exit(&source);
        io_uring_prep_write_fixed(entry_of(&ring), ends[1], memory, 6, 0, 0);
        EXPECT(&ring, 0, 6, 0);
        CHECK_IS(loop_kernel_io_uring_unregister_buffers(&ring), 0);
    } else {
        loop_kernel_io_uring_queue_exit(&source);
    }
    close_all(ends, 2);
    loop_kernel_io_uring_queue_exit(&ring);
}

static void *clone_elsewhere(void *source)
{
    struct io_uring ring;

    CHECK(make_ring(&ring, 4, 0, DEFERRED));
    CHECK_IS(loop_kernel_io_uring_clone_buffers(&ring, source), -EEXIST);
    loop_kernel_io_uring_queue_exit(&ring);
    return NULL;
}

TEST(ring_of_one_thread_gives_no_buffers_to_another)
{
    enum { SIZE = 4096 };
    static char memory[SIZE];
    const struct iovec vector = {memory, SIZE};
    struct io_uring source, ring;
    pthread_t thread;

    if (!make_ring(&source, 4, 0, DEFERRED) || !make_ring(&ring, 4, 0, DEFERRED)) {
        return;
    }
    if (knows_clones(&ring, &source)) {
        CHECK_IS(loop_kernel_io_uring_register_buffers(&source, &vector, 1), 0);
        CHECK_IS(loop_kernel_pthread_create(&thread, NULL, clone_elsewhere, &source), 0);
        CHECK_IS(loop_kernel_pthread_join(thread, NULL), 0);
    }
    loop_kernel_io_uring_queue_exit(&ring);
    loop_kernel_io_uring_queue_exit(&source);
}

#endif
