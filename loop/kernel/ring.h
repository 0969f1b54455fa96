/* SPDX-License-Identifier: ISC
 *
 * The door: io_uring, by liburing. What liburing does to entries and completions in memory is called by its own names.
 */
#ifndef LOOP_KERNEL_RING_H
#define LOOP_KERNEL_RING_H

#include <loop/kernel/door.h>

#if NORIA_URING

#include <asm/unistd.h>
#include <liburing.h>

/* IORING_REGISTER_CLONE_BUFFERS and struct io_uring_clone_buffers of Linux 6.12, which older headers do not have. The
 * ring gets all registered buffers of `source`; the other fields are 0. Both rings are of one process. */
#define LOOP_KERNEL_REGISTER_CLONE_BUFFERS 30
struct loop_kernel_clone_buffers {
    uint32_t source, flags, reserved[6];
};

/* What has to be known of a ring to let an entry of it fail: see fail.c. Each is called where its name says. */
#if NORIA_HARD_MODES
int loop_kernel_ring_made(int result, struct io_uring *ring, const struct io_uring_params *params);
void loop_kernel_ring_gone(const struct io_uring *ring);
void loop_kernel_ring_entered(unsigned number);
#else
#define loop_kernel_ring_made(result, ring, params) (result)
#define loop_kernel_ring_gone(ring) ((void)0)
#define loop_kernel_ring_entered(number) ((void)0)
#endif

LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_queue_init_params,
                      (unsigned entries, struct io_uring *ring, struct io_uring_params *params),
                      loop_kernel_ring_made(io_uring_queue_init_params(entries, ring, params), ring, params))
LOOP_KERNEL_CALL_VOID(loop_kernel_io_uring_queue_exit, (struct io_uring * ring),
                      (loop_kernel_ring_gone(ring), io_uring_queue_exit(ring)))
/* The system call of io_uring_enter2, inline: after a system call the processor mispredicts the return to each function
 * on the stack. Builds with hard modes call liburing's function, which a test may replace. */
#if defined(__x86_64__) && defined(__LP64__) && !NORIA_HARD_MODES
__attribute__((always_inline)) static inline int
loop_kernel_enter_ring(unsigned number, unsigned to_submit, unsigned wait_for, unsigned flags, void *arg, size_t size)
{
    register long fourth __asm__("r10") = (long)flags;
    register void *fifth __asm__("r8") = arg;
    register size_t sixth __asm__("r9") = size;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)__NR_io_uring_enter), "D"((long)number), "S"((long)to_submit), "d"((long)wait_for),
                       "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    return (int)result;
}
#else
#define loop_kernel_enter_ring(number, to_submit, wait_for, flags, arg, size)                                          \
    io_uring_enter2(number, to_submit, wait_for, flags, arg, size)
#endif
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_enter2,
                      (unsigned number, unsigned to_submit, unsigned wait_for, unsigned flags, void *arg, size_t size),
                      (loop_kernel_ring_entered(number),
                       loop_kernel_enter_ring(number, to_submit, wait_for, flags, arg, size)))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_ring_dontfork, (struct io_uring * ring), io_uring_ring_dontfork(ring))

/* ---- what is registered with the ring ---- */

LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_register_buf_ring,
                      (struct io_uring * ring, struct io_uring_buf_reg *group, unsigned flags),
                      io_uring_register_buf_ring(ring, group, flags))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_unregister_buf_ring, (struct io_uring * ring, int group),
                      io_uring_unregister_buf_ring(ring, group))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_register_buffers,
                      (struct io_uring * ring, const struct iovec *vectors, unsigned count),
                      io_uring_register_buffers(ring, vectors, count))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_clone_buffers, (struct io_uring * ring, const struct io_uring *source),
                      io_uring_register((unsigned)ring->ring_fd, LOOP_KERNEL_REGISTER_CLONE_BUFFERS,
                                        &(struct loop_kernel_clone_buffers){.source = (uint32_t)source->ring_fd}, 1))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_unregister_buffers, (struct io_uring * ring),
                      io_uring_unregister_buffers(ring))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_register_files,
                      (struct io_uring * ring, const int *numbers, unsigned count),
                      io_uring_register_files(ring, numbers, count))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_register_iowq_max_workers, (struct io_uring * ring, unsigned *most),
                      io_uring_register_iowq_max_workers(ring, most))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_register_probe,
                      (struct io_uring * ring, struct io_uring_probe *probe, unsigned count),
                      io_uring_register_probe(ring, probe, count))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_register_ring_fd, (struct io_uring * ring),
                      io_uring_register_ring_fd(ring))
LOOP_KERNEL_CALL_CODE(-, loop_kernel_io_uring_register_sync_cancel,
                      (struct io_uring * ring, struct io_uring_sync_cancel_reg *request),
                      io_uring_register_sync_cancel(ring, request))

#endif

#endif
