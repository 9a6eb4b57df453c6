// Shared by the programs under resource limits: set a limit, then start the program anew so that start-up meets it too.
#ifndef LIMITS_H
#define LIMITS_H

#include <sys/resource.h>
#include "check.h"

extern char **environ;

// Returns in the second incarnation only.
static inline void restart_under(char **argv, int resource, size_t limit) {
    if (getenv("FFI_LIMITED") != NULL) return;
    struct rlimit wanted = {limit, limit};
    CHECK(setrlimit((__rlimit_resource_t)resource, &wanted) == 0);
    CHECK(setenv("FFI_LIMITED", "1", 1) == 0);
    execve("/proc/self/exe", argv, environ);
    check_failed("execve", __FILE__, __LINE__, 0);
}

// Allocates blocks of one size until there are no more, frees them, and says how many bytes there were.
static inline size_t exhaust_with(size_t size, size_t ceiling) {
    void **chain = NULL;
    size_t total = 0;
    for (;;) {
        errno = 0;
        void **block = (void **)opaque(malloc(size));
        if (block == NULL) break;
        *block = (void *)chain;
        chain = block;
        total += size;
        CHECK_WITH(total <= ceiling, total);
    }
    CHECK(errno == ENOMEM);
    while (chain != NULL) {
        void **next = (void **)*chain;
        free(chain);
        chain = next;
    }
    return total;
}

#endif
