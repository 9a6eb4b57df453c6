// With no file descriptors left, the allocator still starts and works: it opens nothing (1, 29).
// expect: exit 0
// variants: preload linked static glibc
#include "resource_limits.h"
#include "threads.h"

static void *body(void *seed) {
    churn((uintptr_t)seed, 2000, 64, 50000);
    return NULL;
}

int main(void) {
    struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    for (size_t i = 0; i < LANE_COUNT; i++) free(opaque(malloc(LANE_SIZES[i])));
    pthread_t one = start(body, (void *)1), two = start(body, (void *)2);
    join(one);
    join(two);
    CHECK(malloc_trim(0) >= 0);
    return 0;
}
