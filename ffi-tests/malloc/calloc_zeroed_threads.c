// calloc's zeroes hold while other threads dirty, free and purge neighbouring runs at the same time (30).
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include "threads.h"

static void *work(void *seed) {
    uint64_t state = (uintptr_t)seed * 977 + 5;
    for (int round = 0; round < 1500; round++) {
        size_t size = round % 4 ? 1 + next_random(&state) % 3000 : 33000 + next_random(&state) % 500000;
        unsigned char *zeroed = opaque(calloc(1, size)), *dirty = opaque(malloc(size));
        CHECK(zeroed != NULL && dirty != NULL);
        memset(dirty, 0xff, size);
        CHECK_WITH(all_zero(zeroed, size), size);
        memset(zeroed, 0xff, size);
        free(dirty);
        free(zeroed);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) threads[i] = start(work, (void *)i);
    for (int i = 0; i < 4; i++) join(threads[i]);
    return 0;
}
