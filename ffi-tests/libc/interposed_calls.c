// A program that replaces libc functions by its own, which allocate: the allocator must not reach them and recurse (1).
// expect: exit 0
// variants: preload linked
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include "check.h"

static int entered;

static void use_heap(void) {
    CHECK(++entered < 1000);
    free(opaque(malloc(200)));
}

// Each would be entered from inside malloc if the allocator called it.
void *mmap(void *at, size_t n, int p, int f, int d, off_t o) {
    use_heap();
    return (void *)syscall(SYS_mmap, at, n, p, f, d, o);
}
int munmap(void *at, size_t n) { use_heap(); return (int)syscall(SYS_munmap, at, n); }
int madvise(void *at, size_t n, int a) { use_heap(); return (int)syscall(SYS_madvise, at, n, a); }
int mprotect(void *at, size_t n, int p) { use_heap(); return (int)syscall(SYS_mprotect, at, n, p); }
int clock_gettime(clockid_t c, struct timespec *t) { use_heap(); return (int)syscall(SYS_clock_gettime, c, t); }
long sysconf(int name) { use_heap(); return name == _SC_PAGESIZE ? 4096 : -1; }
char *getenv(const char *name) { use_heap(); (void)name; return NULL; }

int main(void) {
    int before = entered;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < LANE_COUNT; i++) {
            char *block = opaque(malloc(LANE_SIZES[i]));
            CHECK(block != NULL);
            block[LANE_SIZES[i] - 1] = 1;
            block = opaque(realloc(block, LANE_SIZES[i] * 2));
            CHECK(block != NULL);
            free(block);
        }
    CHECK_WITH(entered == before, entered);
    return 0;
}
