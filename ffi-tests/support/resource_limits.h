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

// The whole of a program under a limit of as many MiB as its argument says: exhausts it with blocks of several sizes in
// turn.
static inline int survive_limit(int argc, char **argv, int resource) {
    CHECK(argc == 2);
    size_t limit = strtoull(argv[1], NULL, 10) * MIB;
    restart_under(argv, resource, limit);
    const size_t sizes[] = {100, 5000, 100000, 3 * MIB, 35 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t total = exhaust_with(sizes[i], limit);
        // A third of what the limit allows must be usable, to a block, whatever was allocated before.
        CHECK_WITH(total + sizes[i] > limit / 3, total / KIB * 100 + i);
    }
    for (size_t size = 1; size < MIB; size *= 2) {
        char *block = (char *)opaque(malloc(size));
        CHECK_WITH(block != NULL, size);
        memset(block, 1, size);
        free(block);
    }
    return 0;
}

#endif
