// 512 threads at once, with 16 blocks each of 16 to 1040 bytes, which they replace again and again: a thread that uses
// little of each size keeps no page for each of them.
// expect: exit 0
// variants: preload linked static
#include "proc.h"
#include "threads.h"

enum { THREADS = 512, SLOTS = 16, REPLACED = 4000, LEAST = 16, MOST = 1040 };

// A thread holds some 100 KiB, its stack included; with a page for each of 65 sizes it would be more than 300.
enum { KIB_EACH_MAX = 160 };

static pthread_barrier_t gate;

static void *work(void *seed) {
    uint64_t state = (uintptr_t)seed + 1;
    unsigned char *blocks[SLOTS] = {0};
    size_t sizes[SLOTS] = {0};
    for (int i = 0; i < REPLACED; i++) {
        size_t slot = next_random(&state) % SLOTS;
        if (blocks[slot] != NULL) CHECK(blocks[slot][0] == slot && blocks[slot][sizes[slot] - 1] == slot);
        free(blocks[slot]);
        sizes[slot] = LEAST + next_random(&state) % (MOST - LEAST + 1);
        blocks[slot] = opaque(malloc(sizes[slot]));
        CHECK(blocks[slot] != NULL && malloc_usable_size(blocks[slot]) >= sizes[slot]);
        memset(blocks[slot], (int)slot, sizes[slot]);
    }
    pthread_barrier_wait(&gate);
    for (int slot = 0; slot < SLOTS; slot++) free(blocks[slot]);
    return seed;
}

int main(void) {
    static pthread_t threads[THREADS];
    CHECK(pthread_barrier_init(&gate, NULL, THREADS) == 0);
    long before = peak_kib();
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(work, (void *)i);
    for (uintptr_t i = 0; i < THREADS; i++) CHECK(join(threads[i]) == (void *)i);
    long each = (peak_kib() - before) / THREADS;
    CHECK_WITH(each <= KIB_EACH_MAX, each);
    return 0;
}
