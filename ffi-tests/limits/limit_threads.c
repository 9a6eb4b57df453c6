// Under RLIMIT_AS several threads run into exhaustion at once; all of them go on afterwards (27).
// expect: exit 0 stderr ALLOCATOR_EXHAUSTION
// variants: preload linked static
#include "resource_limits.h"
#include "threads.h"

static pthread_barrier_t started;

static void *body(void *seed) {
    // The stack of a thread that is yet to start comes out of the same address space.
    pthread_barrier_wait(&started);
    for (int round = 0; round < 3; round++) {
        exhaust_with(round % 2 ? 3000 : 200000, 400 * MIB);
        // Another thread may hold everything just now: only crashes and wrong errno count here.
        for (size_t size = 1; size < 100000; size *= 3) free(opaque(malloc(size + (uintptr_t)seed)));
    }
    return NULL;
}

int main(int argc, char **argv) {
    (void)argc;
    restart_under(argv, RLIMIT_AS, 400 * MIB);
    pthread_attr_t attributes;
    pthread_t threads[4];
    CHECK(pthread_barrier_init(&started, NULL, 4) == 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * KIB);
    for (uintptr_t i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], &attributes, body, (void *)i) == 0);
    for (int i = 0; i < 4; i++) join(threads[i]);
    for (size_t i = 0; i < 7; i++) {
        void *block = opaque(malloc(LANE_SIZES[i]));
        CHECK_WITH(block != NULL, i);
        free(block);
    }
    return 0;
}
