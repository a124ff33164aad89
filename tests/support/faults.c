/* Calls of the kernel that fail, and a clock that jumps, in whatever process this is preloaded into (LD_PRELOAD), by a page of a file
 * that a test writes meanwhile: XBOT_FAULTS names it. Per call an error and how often, every so-manieth time; at 2048 an offset of
 * CLOCK_REALTIME in nanoseconds. The loader itself and the vDSO's callers inside the C library are not reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct rule {
    int error, every, calls, failed;
};
enum { OPEN, MMAP, FORK, RENAME, FSYNC, SENDMSG, MEMFD, SOCKETPAIR, UNLINK, CHMOD, TRUNCATE, THREAD };
static volatile char *page;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("XBOT_FAULTS");
    const int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    char *at = (char *)syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    page = at == MAP_FAILED ? NULL : at;
}

static int fails(int call)
{
    volatile struct rule *r = page ? (volatile struct rule *)page + call : NULL;
    if (!r || !r->error || __sync_add_and_fetch(&r->calls, 1) % r->every)
        return 0;
    __sync_add_and_fetch(&r->failed, 1);
    errno = r->error;
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define OPENS(name, given, said) \
    int name given \
    { \
        va_list more; \
        va_start(more, flags); \
        const mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        REAL(name); \
        return fails(OPEN) ? -1 : real said; \
    }
#define CALL(type, name, call, failed, given, said) \
    type name given \
    { \
        REAL(name); \
        return fails(call) ? failed : real said; \
    }
OPENS(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENS(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))
void *mmap64(void *at, size_t size, int protection, int flags, int fd, off_t from)
{
    REAL(mmap64);
    return fd >= 0 && fails(MMAP) ? MAP_FAILED : real(at, size, protection, flags, fd, from);
}
CALL(pid_t, fork, FORK, -1, (void), ())
pid_t vfork(void) { return fork(); }
CALL(int, renameat, RENAME, -1, (int a, const char *from, int b, const char *to), (a, from, b, to))
CALL(int, fsync, FSYNC, -1, (int fd), (fd))
CALL(ssize_t, sendmsg, SENDMSG, -1, (int fd, const struct msghdr *m, int f), (fd, m, f))
CALL(int, memfd_create, MEMFD, -1, (const char *name, unsigned f), (name, f))
CALL(int, socketpair, SOCKETPAIR, -1, (int a, int b, int c, int *d), (a, b, c, d))
CALL(int, unlinkat, UNLINK, -1, (int at, const char *path, int f), (at, path, f))
CALL(int, fchmod, CHMOD, -1, (int fd, mode_t m), (fd, m))
CALL(int, ftruncate64, TRUNCATE, -1, (int fd, off_t n), (fd, n))
CALL(int, pthread_create, THREAD, EAGAIN, (pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *with), (t, a, run, with))

int clock_gettime(clockid_t clock, struct timespec *t)
{
    const int result = (int)syscall(SYS_clock_gettime, clock, t);
    if (page && result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        const int64_t ns = t->tv_sec * 1000000000 + t->tv_nsec + *(volatile int64_t *)(page + 2048);
        *t = (struct timespec){ns / 1000000000, ns % 1000000000};
    }
    return result;
}

time_t time(time_t *to)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return to ? (*to = t.tv_sec) : t.tv_sec;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *to = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}
