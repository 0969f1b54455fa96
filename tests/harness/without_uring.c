/* SPDX-License-Identifier: ISC
 *
 * without_uring: runs a command with io_uring blocked, as containers block it, or with openat2 blocked.
 *
 * It installs a seccomp filter, which needs no privilege and which the command and all its children inherit. The filter
 * fails the three system calls of io_uring with an errno: EPERM, as in Docker, unless an option selects another. All
 * other calls pass. The filter covers the machine's other system call tables (32-bit, x32) as well.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#define COMPAT_ARCH AUDIT_ARCH_I386
#elif defined(__i386__)
#define NATIVE_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#define COMPAT_ARCH AUDIT_ARCH_ARM
#elif defined(__arm__)
#define NATIVE_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define NATIVE_ARCH AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define NATIVE_ARCH AUDIT_ARCH_S390X
#elif defined(__loongarch64)
#define NATIVE_ARCH AUDIT_ARCH_LOONGARCH64
#else
#error "without_uring does not know how this machine is called in AUDIT_ARCH_..."
#endif
#ifndef COMPAT_ARCH
#define COMPAT_ARCH NATIVE_ARCH
#endif

/* An x32 program calls with the x86-64 architecture and this bit in the number. No other machine uses the bit. */
#define X32_BIT 0x40000000U

/* Exit statuses of this program, as in env(1) and timeout(1). */
enum { STATUS_USAGE = 2, STATUS_NO_FILTER = 125, STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127 };

struct settings {
    int error;
    bool only_enter, only_openat2;
};

static const char help[] =
    "Usage: without_uring [--errno EPERM|ENOSYS|EACCES] [--only enter|openat2] COMMAND [ARGUMENT...]\n"
    "\n"
    "Runs COMMAND with io_uring blocked, as containers block it. It needs no privilege.\n"
    "\n"
    "  --errno NAME   what io_uring's calls answer: EPERM as in Docker (the default), ENOSYS as in Podman, EACCES\n"
    "  --only enter   block io_uring_enter alone: a ring can be made, and not used\n"
    "  --only openat2 block openat2 instead of io_uring, as older kernels and filters do\n"
    "  --help         show this\n"
    "\n"
    "The status is COMMAND's; 2 for wrong arguments, 125 when the filter cannot be installed, 126 when COMMAND\n"
    "cannot be run, 127 when it is not found. Set-user-ID programs such as sudo have no privilege under the filter.\n";

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list args;

    fputs("without_uring: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" (--help tells more)\n", stderr);
    exit(STATUS_USAGE);
}

static int error_by_name(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } known[] = {{"EPERM", EPERM}, {"ENOSYS", ENOSYS}, {"EACCES", EACCES}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return known[i].error;
        }
    }
    refuse("--errno takes EPERM, ENOSYS or EACCES, not '%s'", name);
}

static void read_only(struct settings *settings, const char *name)
{
    settings->only_enter = strcmp(name, "enter") == 0;
    settings->only_openat2 = strcmp(name, "openat2") == 0;
    if (!settings->only_enter && !settings->only_openat2) {
        refuse("--only takes enter or openat2, not '%s'", name);
    }
}

/* Returns the index of the command in argv. */
static int read_arguments(struct settings *settings, int argc, char **argv)
{
    static const struct option options[] = {{"errno", required_argument, NULL, 'e'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
        if (option == 'e') {
            settings->error = error_by_name(optarg);
        } else if (option == 'o') {
            read_only(settings, optarg);
        } else if (option == 'h') {
            fputs(help, stdout);
            exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        } else if (option == ':') {
            refuse("%s needs a value", argv[optind - 1]);
        } else if (optopt != 0) {
            refuse("there is no option '-%c'", optopt);
        } else {
            refuse("there is no option '%s'", argv[optind - 1]);
        }
    }
    if (optind == argc) {
        refuse("a command is missing");
    }
    return optind;
}

/* The numbers of these calls are the same in all tables of a machine. */
static int install_filter(const struct settings *settings)
{
    const uint32_t refused = SECCOMP_RET_ERRNO | ((uint32_t)settings->error & SECCOMP_RET_DATA);
    const uint32_t all[] = {__NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register};
    const uint32_t enter[] = {__NR_io_uring_enter, __NR_io_uring_enter, __NR_io_uring_enter};
    const uint32_t openat2[] = {__NR_openat2, __NR_openat2, __NR_openat2};
    const uint32_t *calls = settings->only_openat2 ? openat2 : settings->only_enter ? enter : all;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, COMPAT_ARCH, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~X32_BIT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[0], 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[1], 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[2], 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, refused),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
        return -errno;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {.error = EPERM};
    char **command = argv + read_arguments(&settings, argc, argv);
    int error = install_filter(&settings);

    if (error != 0) {
        fprintf(stderr, "without_uring: the filter cannot be installed: %s\n", strerror(-error));
        return STATUS_NO_FILTER;
    }
    execvp(command[0], command);
    error = errno;
    fprintf(stderr, "without_uring: %s cannot be run: %s\n", command[0], strerror(error));
    return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
}
