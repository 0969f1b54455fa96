/* SPDX-License-Identifier: ISC
 *
 * The process and what surrounds it.
 */
#include <loop/kernel/simulated/object/object.h>
#include <loop/kernel/simulated/object/process.h>

#include <loop/kernel/process.h>
#include <loop/kernel/program.h>

#include <string.h>

enum { FIRST_PROCESS = 100, PROCESSES_OF_START = 1000, FIRST_THREAD = 1000000 };

/* ---- limits and users ---- */

static bool is_resource(int resource)
{
    return resource >= 0 && resource < (int)RLIM_NLIMITS;
}

int loop_sim_limit_set(struct loop_sim_node *node, int resource, const struct rlimit *limit)
{
    if (!is_resource(resource) || limit->rlim_cur > limit->rlim_max ||
        (resource == RLIMIT_NOFILE && limit->rlim_max > INT32_MAX)) {
        return -EINVAL;
    }
    loop_sim_files_of(node)->limits[resource] = *limit;
    return 0;
}

rlim_t loop_sim_limit(struct loop_sim_node *node, int resource)
{
    return loop_sim_files_of(node)->limits[resource].rlim_cur;
}

void loop_sim_user_set(struct loop_sim_node *node, uid_t user, gid_t group)
{
    loop_sim_files_of(node)->user = user;
    loop_sim_files_of(node)->group = group;
}

uid_t loop_sim_user(const struct loop_sim_node *node)
{
    return node->files ? node->files->user : 0;
}

gid_t loop_sim_group(const struct loop_sim_node *node)
{
    return node->files ? node->files->group : 0;
}

pid_t loop_sim_process_id(const struct loop_sim_node *node)
{
    return (pid_t)(FIRST_PROCESS + node->index + PROCESSES_OF_START * node->incarnation);
}

/* ---- random bytes ---- */

/* The generator splitmix64. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

ssize_t loop_kernel_getrandom(void *data, size_t len, unsigned flags)
{
    if (flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) {
        return loop_sim_return(-EINVAL);
    }
    uint64_t *state = &loop_sim_files_of(loop_sim_here())->random;
    for (size_t done = 0; done < len;) {
        uint64_t value = next_random(state);
        size_t n = len - done < sizeof value ? len - done : sizeof value;
        memcpy((char *)data + done, &value, n);
        done += n;
    }
    return (ssize_t)len;
}

/* ---- the rest of the door ---- */

pid_t loop_kernel_getpid(void)
{
    return loop_sim_process_id(loop_sim_here());
}

pid_t loop_kernel_gettid(void)
{
    const struct loop_sim_node *node = loop_sim_here();
    const struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    return loop_sim_fiber_is_first(fiber) ? loop_sim_process_id(node)
                                          : (pid_t)(FIRST_THREAD + loop_sim_fiber_number(fiber));
}

uid_t loop_kernel_geteuid(void)
{
    return loop_sim_user(loop_sim_here());
}

/* The environment is that of the program, but for the backend of the node. */
char *loop_kernel_getenv(const char *name)
{
    static char uring[] = "uring", epoll[] = "epoll";
    if (!strcmp(name, "LOOP_BACKEND")) {
        switch (loop_sim_here()->backend) {
        case LOOP_SIM_BACKEND_URING: return uring;
        case LOOP_SIM_BACKEND_EPOLL: return epoll;
        case LOOP_SIM_BACKEND_AUTO: break;
        }
    }
    return getenv(name);
}

int loop_kernel_getrlimit(int resource, struct rlimit *limit)
{
    if (!is_resource(resource)) {
        return (int)loop_sim_return(-EINVAL);
    }
    *limit = loop_sim_files_of(loop_sim_here())->limits[resource];
    return 0;
}

/* There are no programs. */
pid_t loop_kernel_start_program(struct loop_program *program, int *pidfd)
{
    (void)pidfd;
    program->step = LOOP_PROGRAM_PROCESS;
    return (pid_t)loop_sim_return(-ENOSYS);
}

int loop_kernel_pidfd_send_signal(int pidfd, int signal)
{
    (void)pidfd;
    (void)signal;
    return (int)loop_sim_return(-ENOSYS);
}

int loop_kernel_kill(pid_t process, int signal)
{
    (void)process;
    (void)signal;
    return (int)loop_sim_return(-ENOSYS);
}

pid_t loop_kernel_waitpid(pid_t process, int *status, int options)
{
    (void)process;
    (void)status;
    (void)options;
    return (pid_t)loop_sim_return(-ENOSYS);
}

char **loop_kernel_environ(void)
{
    return environ;
}

/* No process forks. */
int loop_kernel_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    (void)before;
    (void)in_parent;
    (void)in_child;
    return 0;
}

/* The program's code is real. */
int loop_kernel_dladdr(const void *address, Dl_info *info)
{
    return dladdr(address, info);
}
