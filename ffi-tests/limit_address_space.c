// RLIMIT_AS: the program starts and runs; exhaustion gives NULL and ENOMEM; after the frees malloc works again (27).
// run: 64M
// args: 64
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// run: 128M
// args: 128
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// run: 384M
// args: 384
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// variants: preload linked static
#include "resource_limits.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size_t limit = strtoull(argv[1], NULL, 10) * MIB;
    restart_under(argv, RLIMIT_AS, limit);
    const size_t sizes[] = {100, 5000, 100000, 3 * MIB, 35 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t total = exhaust_with(sizes[i], limit);
        // A third of what the limit allows must be usable, to a block, whatever was allocated before.
        CHECK_WITH(total + sizes[i] > limit / 3, total / KIB * 100 + i);
    }
    for (size_t size = 1; size < MIB; size *= 2) {
        char *block = opaque(malloc(size));
        CHECK_WITH(block != NULL, size);
        memset(block, 1, size);
        free(block);
    }
    return 0;
}
