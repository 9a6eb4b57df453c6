// Deleting a heap gives its live blocks to the default heap: they keep their contents, can be used, resized and freed
// by any thread, and are the default heap's from then on. Its free memory goes back.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: hardened
// env: SPANDREL_MODE=hardened
// run: guarded
// env: SPANDREL_MODE=guarded
// run: guarded_often
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=20
// run: profiled
// args: profile
#include "heaps.h"

enum { COUNT = 3000, ROUNDS = 8 };

static struct held blocks[COUNT];
static pthread_barrier_t turn;

// Frees some of them while the heap is there, and keeps what is in its batches until the heap is gone.
static void *free_some(void *unused) {
    for (int i = 0; i < COUNT; i += 5) {
        free(blocks[i].at);
        blocks[i].at = NULL;
    }
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    churn(5, 2000, 200, 3000);
    for (int i = 0; i < COUNT; i += 7)
        if (blocks[i].at != NULL) {
            held_check(&blocks[i]);
            free(blocks[i].at);
            blocks[i].at = NULL;
        }
    return unused;
}

static void check_all(spandrel_heap_t *heap) {
    for (int i = 0; i < COUNT; i++)
        if (blocks[i].at != NULL) {
            held_check(&blocks[i]);
            CHECK_WITH(spandrel_heap_of(blocks[i].at) == heap, i);
            CHECK(malloc_usable_size(blocks[i].at) >= blocks[i].size);
        }
}

static void one_round(int round) {
    spandrel_heap_t *heap = heap_new("deleted", 0, round % 2 == 0 ? 0 : SPANDREL_HEAP_SHARED);
    use_from(NULL, heap);
    uint64_t state = (uint64_t)round + 5;
    for (int i = 0; i < COUNT; i++) {
        size_t size = i < HEAP_SIZE_COUNT ? HEAP_SIZES[i] : 1 + next_random(&state) % (i % 100 == 0 ? 200000 : 2000);
        held_fill(&blocks[i], malloc(size), size, (size_t)i);
    }
    for (int i = 1; i < COUNT; i += 4) {
        free(blocks[i].at);
        blocks[i].at = NULL;
    }
    use_from(heap, NULL);
    check_all(heap);
    pthread_t other = start(free_some, NULL);
    pthread_barrier_wait(&turn);
    int error = spandrel_heap_delete(heap);
    CHECK_WITH(error == 0, error);
    // The next heap, which may get the place of that one, has nothing of it, and takes nothing along.
    spandrel_heap_t *next = heap_new("next", 0, 0);
    CHECK_WITH(bill_of(next).held_bytes == 0, bill_of(next).held_bytes);
    check_all(NULL);
    destroy(next);
    check_all(NULL);
    pthread_barrier_wait(&turn);
    // No new block lies over one that lives on.
    static struct held fresh[COUNT];
    for (size_t i = 0; i < COUNT; i++) held_fill(&fresh[i], malloc(1 + i % 2000), 1 + i % 2000, i);
    join(other);
    check_all(NULL);
    for (int i = 0; i < COUNT; i++) {
        if (blocks[i].at == NULL) continue;
        if (i % 3 == 0) {
            unsigned char *moved = opaque(realloc(blocks[i].at, blocks[i].size + 100));
            CHECK(moved != NULL && holds(moved, held_span(&blocks[i]), blocks[i].seed));
            CHECK(spandrel_heap_of(moved) == NULL);
            free(moved);
        } else {
            free(blocks[i].at);
        }
    }
    for (size_t i = 0; i < COUNT; i++) held_check(&fresh[i]);
    for (size_t i = 0; i < COUNT; i++) free(fresh[i].at);
}

int main(int argc, char **argv) {
    (void)argv;
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    if (argc == 2) CHECK(spandrel_profile_start(2000));
    struct spandrel_stats before = {0}, after;
    for (int round = 0; round < ROUNDS; round++) {
        one_round(round);
        spandrel_collect(true);
        after = process_now();
        if (round == 1) before = after;
        // Nothing of a round stays but what a thread's end leaves to libc.
        if (round > 1) CHECK_WITH(after.live_bytes <= before.live_bytes + 4 * KIB,
            after.live_bytes - before.live_bytes);
        if (round > 1) CHECK_WITH(after.large_blocks == before.large_blocks
            && after.direct_blocks == before.direct_blocks, round);
    }
    return 0;
}
