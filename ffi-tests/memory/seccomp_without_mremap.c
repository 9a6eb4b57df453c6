// In a sandbox where madvise, mremap and membarrier fail, allocation, realloc of direct maps and purging still work
// (29).
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include "sandbox.h"
#include "threads.h"

#define FORBID(number) ON_CALL(number, REFUSE(EPERM))

static void *body(void *seed) {
    churn((uintptr_t)seed, 3000, 64, 100000);
    return NULL;
}

int main(void) {
    struct sock_filter rules[] = {
        LOOK_AT_CALL,
        FORBID(SYS_madvise),
        FORBID(SYS_mremap),
        FORBID(SYS_membarrier),
        FORBID(SYS_openat),
        FORBID(SYS_sched_getaffinity),
        ELSE(ALLOW),
    };
    ENTER_SANDBOX(rules);
    char *direct = opaque(malloc(40 * MIB));
    fill(direct, 5000, 1);
    direct = opaque(realloc(direct, 90 * MIB));
    CHECK(direct != NULL && holds(direct, 5000, 1));
    direct[90 * MIB - 1] = 1;
    direct = opaque(realloc(direct, 35 * MIB));
    CHECK(direct != NULL && holds(direct, 5000, 1));
    free(direct);
    for (int round = 0; round < 20; round++) {
        char *block = opaque(calloc(1, 2 * MIB));
        CHECK(block != NULL && all_zero(block, 2 * MIB));
        memset(block, 1, 2 * MIB);
        free(block);
    }
    pthread_t one = start(body, (void *)1), two = start(body, (void *)2);
    join(one);
    join(two);
    CHECK(malloc_trim(0) >= 0);
    return 0;
}
