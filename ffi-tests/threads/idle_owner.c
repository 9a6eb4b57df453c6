// Other threads free the blocks of a thread that sleeps: the memory is reused while it still sleeps (21).
// expect: exit 0
// variants: preload linked static glibc
#include "proc.h"
#include "threads.h"

#define COUNT 40000
#define SIZE 1000

static unsigned char *blocks[COUNT];

static void allocate(uintptr_t seed) {
    for (size_t i = 0; i < COUNT; i++) fill(blocks[i] = opaque(malloc(SIZE)), SIZE, seed + i);
}

static void release(uintptr_t seed) {
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_WITH(holds(blocks[i], SIZE, seed + i), i);
        free(blocks[i]);
    }
}

static void *take_over(void *unused) {
    (void)unused;
    release(1);
    long before = peak_kib();
    for (uintptr_t round = 2; round < 6; round++) {
        allocate(round);
        release(round);
    }
    // Without reuse the 40 MB of the sleeping thread would stay out of reach.
    CHECK_WITH(peak_kib() < before + 16 * 1024, peak_kib() - before);
    return NULL;
}

int main(void) {
    allocate(1);
    join(start(take_over, NULL));
    allocate(7);
    release(7);
    return 0;
}
