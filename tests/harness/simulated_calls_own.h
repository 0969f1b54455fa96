/* SPDX-License-Identifier: ISC
 *
 * The functions that simulated_calls.h puts in the place of calls of the C library. Each is named after the call that
 * it stands for, and returns what that returns.
 */
#ifndef TESTS_SIMULATED_CALLS_OWN_H
#define TESTS_SIMULATED_CALLS_OWN_H

#include <dirent.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

struct rlimit;

/* ---- simulated_calls.c ---- */

typedef void simulated_handler(int signal);

int simulated_accept(int number, struct sockaddr *address, socklen_t *length);
int simulated_dup(int number);
int simulated_dup2(int from, int to);
int simulated_eventfd_read(int number, uint64_t *value);
int simulated_eventfd_write(int number, uint64_t value);
int simulated_fcntl(int number, int what, ...);
gid_t simulated_getegid(void);
int simulated_ioctl(int number, unsigned long what, ...);
int simulated_kill(pid_t process, int signal);
int simulated_memfd_create(const char *name, unsigned flags);
int simulated_mount(void);
int simulated_openpty(void);
int simulated_pipe(int numbers[2]);
int simulated_posix_fadvise(int number, off_t offset, off_t len, int advice);
ssize_t simulated_recvfrom(int number, void *data, size_t len, int flags, struct sockaddr *address, socklen_t *length);
int simulated_sem_destroy(sem_t *semaphore);
int simulated_sem_init(sem_t *semaphore, int is_shared, unsigned value);
int simulated_sem_post(sem_t *semaphore);
int simulated_sem_wait(sem_t *semaphore);
ssize_t simulated_sendto(int number, const void *data, size_t len, int flags, const struct sockaddr *address,
                         socklen_t length);
int simulated_setitimer(int which, const struct itimerval *value, struct itimerval *before);
int simulated_setresgid(gid_t real, gid_t effective, gid_t saved);
int simulated_setresuid(uid_t real, uid_t effective, uid_t saved);
int simulated_setrlimit(int resource, const struct rlimit *limit);
simulated_handler *simulated_signal(int signal, simulated_handler *handler);
long simulated_syscall(long number, ...);
time_t simulated_time(time_t *result);
int simulated_timerfd_create(int clock, int flags);
int simulated_timerfd_settime(int number, int flags, const struct itimerspec *value, struct itimerspec *before);
int simulated_umount(void);
int simulated_umount2(void);
int simulated_unshare(int flags);
int simulated_usleep(useconds_t duration_us);

/* ---- simulated_paths.c ---- */

int simulated_access(const char *path, int mode);
int simulated_chdir(const char *path);
int simulated_chown(const char *path, uid_t user, gid_t group);
int simulated_closedir(DIR *dir);
int simulated_dirfd(DIR *dir);
int simulated_link(const char *from, const char *to);
int simulated_mkdir(const char *path, mode_t mode);
char *simulated_mkdtemp(char *pattern);
int simulated_mkfifo(const char *path, mode_t mode);
int simulated_nftw(const char *path, __nftw_func_t fn, int most_open, int flags);
int simulated_open(const char *path, int flags, ...);
int simulated_openat(int dir, const char *path, int flags, ...);
DIR *simulated_opendir(const char *path);
struct dirent *simulated_readdir(DIR *dir);
ssize_t simulated_readlink(const char *path, char *text, size_t size);
int simulated_remove(const char *path);
int simulated_rename(const char *from, const char *to);
int simulated_rmdir(const char *path);
int simulated_setxattr(const char *path, const char *name, const void *value, size_t size, int flags);
int simulated_stat(const char *path, struct stat *status);
int simulated_symlink(const char *target, const char *path);
int simulated_truncate(const char *path, off_t size);
mode_t simulated_umask(mode_t mask);

#endif
