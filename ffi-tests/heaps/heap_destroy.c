// Destroying a heap frees all of its blocks at once: those in bins, those of every lane, aligned ones, ones that
// realloc made larger, ones that were sampled for the heap profile or placed between guards. The process holds as much
// as before, and neither other heaps nor the default heap lose anything.
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
// run: purged
// env: SPANDREL_PURGE_DELAY=0
// run: no_idle_return
// env: SPANDREL_IDLE_RETURN=off
#include "heaps.h"

enum { SMALL = 4000, OTHERS = 500, ROUNDS = 6 };

static struct held others[3][OTHERS];

static void make_others(spandrel_heap_t **heaps) {
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < OTHERS; i++) {
            size_t size = i % 50 == 0 ? 100 * KIB : 1 + (size_t)i * 11;
            held_fill(&others[k][i], spandrel_heap_malloc(heaps[k], size), size, (size_t)(k * OTHERS + i));
        }
}

static void check_others(void) {
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < OTHERS; i++) held_check(&others[k][i]);
}

static void fill_heap(int round) {
    static void *small[SMALL];
    uint64_t state = (uint64_t)round + 77;
    for (int i = 0; i < SMALL; i++) small[i] = opaque(malloc(next_random(&state) % 3000));
    // Some of each class go back, into bins and spans.
    for (int i = 0; i < SMALL; i += 1 + round) free(small[i]);
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
        CHECK(opaque(calloc(1, HEAP_SIZES[i])) != NULL);
        CHECK(opaque(aligned_alloc(4096, HEAP_SIZES[i])) != NULL);
        void *grown = opaque(malloc(HEAP_SIZES[i]));
        CHECK((grown = opaque(realloc(grown, HEAP_SIZES[i] * 2))) != NULL);
        CHECK((grown = opaque(realloc(grown, HEAP_SIZES[i] * 3 / 2))) != NULL);
    }
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc == 2) CHECK(spandrel_profile_start(1000));
    spandrel_heap_t *neighbours[] = {NULL, heap_new("a", 0, 0), heap_new("b", 0, SPANDREL_HEAP_SHARED)};
    make_others(neighbours);
    size_t held[3] = {0, bill_of(neighbours[1]).held_bytes, bill_of(neighbours[2]).held_bytes};
    struct spandrel_stats before = process_now(), after = before;
    // In mode counting.
    int64_t counted[2] = {0};
    spandrel_outstanding(&counted[0], NULL);
    for (int round = 0; round < ROUNDS; round++) {
        spandrel_heap_t *heap = heap_new("doomed", 0, round % 2 == 0 ? 0 : SPANDREL_HEAP_SHARED);
        use_from(NULL, heap);
        fill_heap(round);
        if (round % 3 == 1) spandrel_collect(false);
        use_from(heap, NULL);
        if (round % 3 == 2) use_from(NULL, neighbours[1]);
        CHECK(bill_of(heap).held_bytes > 100 * MIB);
        destroy(heap);
        if (round % 3 == 2) use_from(neighbours[1], NULL);
        check_others();
        if (spandrel_outstanding(&counted[1], NULL)) CHECK_WITH(counted[0] == counted[1], counted[1] - counted[0]);
        after = process_now();
        if (!live_is_known()) continue;
        CHECK_WITH(after.live_bytes == before.live_bytes, after.live_bytes - before.live_bytes);
        CHECK_WITH(after.large_blocks == before.large_blocks, after.large_blocks - before.large_blocks);
        CHECK_WITH(after.direct_blocks == before.direct_blocks, after.direct_blocks - before.direct_blocks);
        // A span or two of some classes may stay for the default heap.
        CHECK_WITH(after.span_bytes <= before.span_bytes + 2 * MIB, after.span_bytes - before.span_bytes);
    }
    CHECK(bill_of(neighbours[1]).held_bytes == held[1] && bill_of(neighbours[2]).held_bytes == held[2]);
    destroy(neighbours[1]);
    destroy(neighbours[2]);
    for (int i = 0; i < OTHERS; i++) held_check(&others[0][i]);
    if (argc == 2) spandrel_profile_stop();
    return 0;
}
