/* SPDX-License-Identifier: ISC
 *
 * The calls of the C library that suites and the harness make by themselves, on the simulated kernel. The compiler is
 * given this header before each source (-include); from then on each name stands for a function of the door, or for one
 * of simulated_calls.c where the door has none. The sources stay as they are.
 *
 * Streams (FILE), fork, exec and memory stay those of the C library.
 */
#ifndef TESTS_SIMULATED_CALLS_H
#define TESTS_SIMULATED_CALLS_H

/* ---- descriptors ---- */

#pragma redefine_extname close loop_kernel_close
#pragma redefine_extname copy_file_range loop_kernel_copy_file_range
#pragma redefine_extname dup simulated_dup
#pragma redefine_extname dup2 simulated_dup2
#pragma redefine_extname fallocate loop_kernel_fallocate
#pragma redefine_extname fchmod loop_kernel_fchmod
#pragma redefine_extname fchown loop_kernel_fchown
#pragma redefine_extname fcntl simulated_fcntl
#pragma redefine_extname fdatasync loop_kernel_fdatasync
#pragma redefine_extname flock loop_kernel_flock
#pragma redefine_extname fremovexattr loop_kernel_fremovexattr
#pragma redefine_extname fsetxattr loop_kernel_fsetxattr
#pragma redefine_extname fstat loop_kernel_fstat
#pragma redefine_extname fstatfs loop_kernel_fstatfs
#pragma redefine_extname fsync loop_kernel_fsync
#pragma redefine_extname ftruncate loop_kernel_ftruncate
#pragma redefine_extname futimens loop_kernel_futimens
#pragma redefine_extname ioctl simulated_ioctl
#pragma redefine_extname isatty loop_kernel_isatty
#pragma redefine_extname lseek loop_kernel_lseek
#pragma redefine_extname memfd_create simulated_memfd_create
#pragma redefine_extname openpty simulated_openpty
#pragma redefine_extname pipe simulated_pipe
#pragma redefine_extname pipe2 loop_kernel_pipe2
#pragma redefine_extname posix_fadvise simulated_posix_fadvise
#pragma redefine_extname pread loop_kernel_pread
#pragma redefine_extname preadv loop_kernel_preadv
#pragma redefine_extname pwrite loop_kernel_pwrite
#pragma redefine_extname pwritev loop_kernel_pwritev
#pragma redefine_extname read loop_kernel_read
#pragma redefine_extname readv loop_kernel_readv
#pragma redefine_extname splice loop_kernel_splice
#pragma redefine_extname syscall simulated_syscall
#pragma redefine_extname write loop_kernel_write
#pragma redefine_extname writev loop_kernel_writev

/* ---- readiness and events ---- */

#pragma redefine_extname epoll_create1 loop_kernel_epoll_create1
#pragma redefine_extname epoll_ctl loop_kernel_epoll_ctl
#pragma redefine_extname epoll_wait loop_kernel_epoll_wait
#pragma redefine_extname eventfd loop_kernel_eventfd
#pragma redefine_extname eventfd_read simulated_eventfd_read
#pragma redefine_extname eventfd_write simulated_eventfd_write
#pragma redefine_extname inotify_add_watch loop_kernel_inotify_add_watch
#pragma redefine_extname inotify_init1 loop_kernel_inotify_init1
#pragma redefine_extname inotify_rm_watch loop_kernel_inotify_rm_watch
#pragma redefine_extname poll loop_kernel_poll
#pragma redefine_extname ppoll loop_kernel_ppoll
#pragma redefine_extname signalfd loop_kernel_signalfd
#pragma redefine_extname timerfd_create simulated_timerfd_create
#pragma redefine_extname timerfd_settime simulated_timerfd_settime

/* ---- sockets ---- */

#pragma redefine_extname accept simulated_accept
#pragma redefine_extname accept4 loop_kernel_accept4
#pragma redefine_extname bind loop_kernel_bind
#pragma redefine_extname connect loop_kernel_connect
#pragma redefine_extname getpeername loop_kernel_getpeername
#pragma redefine_extname getsockname loop_kernel_getsockname
#pragma redefine_extname getsockopt loop_kernel_getsockopt
#pragma redefine_extname if_indextoname loop_kernel_if_indextoname
#pragma redefine_extname if_nametoindex loop_kernel_if_nametoindex
#pragma redefine_extname listen loop_kernel_listen
#pragma redefine_extname recv loop_kernel_recv
#pragma redefine_extname recvfrom simulated_recvfrom
#pragma redefine_extname recvmmsg loop_kernel_recvmmsg
#pragma redefine_extname recvmsg loop_kernel_recvmsg
#pragma redefine_extname send loop_kernel_send
#pragma redefine_extname sendmmsg loop_kernel_sendmmsg
#pragma redefine_extname sendmsg loop_kernel_sendmsg
#pragma redefine_extname sendto simulated_sendto
#pragma redefine_extname setsockopt loop_kernel_setsockopt
#pragma redefine_extname shutdown loop_kernel_shutdown
#pragma redefine_extname socket loop_kernel_socket
#pragma redefine_extname socketpair loop_kernel_socketpair

/* ---- names of files ---- */

#pragma redefine_extname access simulated_access
#pragma redefine_extname chdir simulated_chdir
#pragma redefine_extname chmod loop_kernel_chmod
#pragma redefine_extname chown simulated_chown
#pragma redefine_extname closedir simulated_closedir
#pragma redefine_extname dirfd simulated_dirfd
#pragma redefine_extname faccessat loop_kernel_faccessat
#pragma redefine_extname fchownat loop_kernel_fchownat
#pragma redefine_extname fstatat loop_kernel_fstatat
#pragma redefine_extname getcwd loop_kernel_getcwd
#pragma redefine_extname getxattr loop_kernel_getxattr
#pragma redefine_extname link simulated_link
#pragma redefine_extname linkat loop_kernel_linkat
#pragma redefine_extname lstat loop_kernel_lstat
#pragma redefine_extname mkdir simulated_mkdir
#pragma redefine_extname mkdirat loop_kernel_mkdirat
#pragma redefine_extname mkdtemp simulated_mkdtemp
#pragma redefine_extname mkfifo simulated_mkfifo
#pragma redefine_extname mount simulated_mount
#pragma redefine_extname nftw simulated_nftw
#pragma redefine_extname open simulated_open
#pragma redefine_extname openat simulated_openat
#pragma redefine_extname opendir simulated_opendir
#pragma redefine_extname readdir simulated_readdir
#pragma redefine_extname readlink simulated_readlink
#pragma redefine_extname readlinkat loop_kernel_readlinkat
#pragma redefine_extname remove simulated_remove
#pragma redefine_extname rename simulated_rename
#pragma redefine_extname renameat loop_kernel_renameat
#pragma redefine_extname rmdir simulated_rmdir
#pragma redefine_extname setxattr simulated_setxattr
#pragma redefine_extname stat simulated_stat
#pragma redefine_extname statfs loop_kernel_statfs
#pragma redefine_extname symlink simulated_symlink
#pragma redefine_extname symlinkat loop_kernel_symlinkat
#pragma redefine_extname truncate simulated_truncate
#pragma redefine_extname umask simulated_umask
#pragma redefine_extname umount simulated_umount
#pragma redefine_extname umount2 simulated_umount2
#pragma redefine_extname unlink loop_kernel_unlink
#pragma redefine_extname unlinkat loop_kernel_unlinkat
#pragma redefine_extname utimensat loop_kernel_utimensat

/* ---- the process ---- */

#pragma redefine_extname getegid simulated_getegid
#pragma redefine_extname geteuid loop_kernel_geteuid
#pragma redefine_extname getgid simulated_getegid
#pragma redefine_extname getpid loop_kernel_getpid
#pragma redefine_extname getrlimit loop_kernel_getrlimit
#pragma redefine_extname gettid loop_kernel_gettid
#pragma redefine_extname getuid loop_kernel_geteuid
#pragma redefine_extname setresgid simulated_setresgid
#pragma redefine_extname setresuid simulated_setresuid
#pragma redefine_extname setrlimit simulated_setrlimit
#pragma redefine_extname unshare simulated_unshare

/* ---- signals ---- */

#pragma redefine_extname kill simulated_kill
#pragma redefine_extname pthread_kill loop_kernel_pthread_kill
#pragma redefine_extname pthread_sigmask loop_kernel_pthread_sigmask
#pragma redefine_extname raise loop_kernel_raise
#pragma redefine_extname sigaction loop_kernel_sigaction
#pragma redefine_extname signal simulated_signal
#pragma redefine_extname sigpending loop_kernel_sigpending
#pragma redefine_extname sigtimedwait loop_kernel_sigtimedwait

/* ---- threads and time ---- */

#pragma redefine_extname clock_gettime loop_kernel_clock_gettime
#pragma redefine_extname nanosleep loop_kernel_nanosleep
#pragma redefine_extname pthread_cond_broadcast loop_kernel_pthread_cond_broadcast
#pragma redefine_extname pthread_cond_destroy loop_kernel_pthread_cond_destroy
#pragma redefine_extname pthread_cond_init loop_kernel_pthread_cond_init
#pragma redefine_extname pthread_cond_signal loop_kernel_pthread_cond_signal
#pragma redefine_extname pthread_cond_wait loop_kernel_pthread_cond_wait
#pragma redefine_extname pthread_create loop_kernel_pthread_create
#pragma redefine_extname pthread_getname_np loop_kernel_pthread_getname_np
#pragma redefine_extname pthread_join loop_kernel_pthread_join
#pragma redefine_extname pthread_mutex_destroy loop_kernel_pthread_mutex_destroy
#pragma redefine_extname pthread_mutex_init loop_kernel_pthread_mutex_init
#pragma redefine_extname pthread_mutex_lock loop_kernel_pthread_mutex_lock
#pragma redefine_extname pthread_mutex_unlock loop_kernel_pthread_mutex_unlock
#pragma redefine_extname pthread_once loop_kernel_pthread_once
#pragma redefine_extname pthread_self loop_kernel_pthread_self
#pragma redefine_extname pthread_setname_np loop_kernel_pthread_setname_np
#pragma redefine_extname sched_yield loop_kernel_sched_yield
#pragma redefine_extname sem_destroy simulated_sem_destroy
#pragma redefine_extname sem_init simulated_sem_init
#pragma redefine_extname sem_post simulated_sem_post
#pragma redefine_extname sem_wait simulated_sem_wait
#pragma redefine_extname setitimer simulated_setitimer
#pragma redefine_extname time simulated_time
#pragma redefine_extname usleep simulated_usleep

#endif
