// Property: six threads swap blocks through shared slots, so that any thread reads, resizes and frees any other's
// blocks.
// run: default
// expect: exit 0
// run: tiny_bins
// env: SPANDREL_BIN_BYTES=1K
// expect: exit 0
// run: purge_at_once
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include "threads.h"

struct block {
    size_t size, seed;
    unsigned char bytes[];
};

#define SLOTS 1000
static struct block *slots[SLOTS];

static struct block *make(uint64_t *state) {
    uint64_t dice = next_random(state);
    size_t size = sizeof(struct block) + (dice % 100 < 95 ? dice / 100 % 1500 : dice / 100 % 120000);
    struct block *block = dice % 7 == 0 ? opaque(memalign((size_t)16 << dice / 7 % 9, size)) : opaque(malloc(size));
    CHECK(block != NULL);
    block->size = size;
    block->seed = dice % 1000;
    fill(block->bytes, size - sizeof *block, block->seed);
    return block;
}

static void check(const struct block *block) {
    CHECK(holds(block->bytes, block->size - sizeof *block, block->seed));
}

static void *body(void *seed) {
    uint64_t state = (uintptr_t)seed * 7919 + 1;
    for (int step = 0; step < 12000; step++) {
        struct block *mine = make(&state);
        struct block *theirs = __atomic_exchange_n(&slots[next_random(&state) % SLOTS], mine, __ATOMIC_ACQ_REL);
        if (theirs == NULL) continue;
        check(theirs);
        if (step % 4 == 0) {
            size_t grown = theirs->size + next_random(&state) % 1000;
            theirs = opaque(realloc(theirs, grown));
            CHECK(theirs != NULL);
            check(theirs);
        }
        free(theirs);
    }
    return NULL;
}

int main(void) {
    for (uintptr_t generation = 0; generation < 2; generation++) {
        pthread_t threads[6];
        for (uintptr_t i = 0; i < 6; i++) threads[i] = start(body, (void *)(generation * 6 + i + 1));
        for (int i = 0; i < 6; i++) join(threads[i]);
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i]) check(slots[i]);
        free(slots[i]);
    }
    return 0;
}
