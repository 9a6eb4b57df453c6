// The calls that name a heap serve as those of C do, from that heap, wherever the thread stands: sizes, alignments,
// zeroes, overflows; spandrel_heap_of names the heap of every block, and blocks of two heaps share no region, but for
// those that mode guarded gives a page of their own.
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
#include "heaps.h"

static spandrel_heap_t *heaps[2];

static void check_of(spandrel_heap_t *heap, const void *block) {
    spandrel_heap_t *seen = spandrel_heap_of(block);
    CHECK_WITH(seen == heap, (uintptr_t)seen);
}

static void check_zeroes(spandrel_heap_t *heap, size_t size) {
    unsigned char *dirty = opaque(spandrel_heap_malloc(heap, size));
    memset(dirty, 0x5a, size);
    free(dirty);
    unsigned char *block = opaque(spandrel_heap_calloc(heap, 1, size));
    CHECK(block != NULL && all_zero(block, size < MIB ? size : MIB));
    check_of(heap, block);
    free(block);
}

static void check_alignment(spandrel_heap_t *heap, size_t size) {
    for (size_t alignment = 8; alignment <= 256 * KIB; alignment *= 2) {
        unsigned char *block = opaque(spandrel_heap_aligned_alloc(heap, alignment, size));
        CHECK_WITH(block != NULL && aligned_to(block, alignment), alignment);
        CHECK(malloc_usable_size(block) >= size);
        check_of(heap, block);
        block[0] = block[size - 1] = 1;
        free(block);
    }
}

static void check_realloc(spandrel_heap_t *heap, spandrel_heap_t *from, size_t size) {
    static const size_t others[] = {1, 500, 30000, 200000, 40 * 1024 * 1024};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t kept = size < others[i] ? size : others[i];
        if (kept > 64 * KIB) kept = 64 * KIB;
        unsigned char *block = opaque(spandrel_heap_malloc(from, size));
        fill(block, kept, i);
        block = opaque(spandrel_heap_realloc(heap, block, others[i]));
        CHECK(block != NULL && holds(block, kept, i) && malloc_usable_size(block) >= others[i]);
        check_of(heap, block);
        block[others[i] - 1] = 1;
        free(block);
    }
    unsigned char *fresh = opaque(spandrel_heap_realloc(heap, NULL, size));
    CHECK(fresh != NULL);
    check_of(heap, fresh);
    free(fresh);
}

static void check_errors(spandrel_heap_t *heap) {
    errno = 0;
    CHECK(opaque(spandrel_heap_malloc(heap, opaque_size(PTRDIFF_MAX) + 1)) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(opaque(spandrel_heap_calloc(heap, opaque_size(SIZE_MAX / 2), 3)) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(opaque(spandrel_heap_aligned_alloc(heap, 64, opaque_size(PTRDIFF_MAX))) == NULL && errno == ENOMEM);
    unsigned char *block = opaque(spandrel_heap_malloc(heap, 1000));
    fill(block, 1000, 3);
    errno = 0;
    CHECK(opaque(spandrel_heap_realloc(heap, block, opaque_size(PTRDIFF_MAX) + 1)) == NULL && errno == ENOMEM);
    CHECK(holds(block, 1000, 3));
    check_of(heap, block);
    free(block);
    void *empty = opaque(spandrel_heap_malloc(heap, 0));
    CHECK(empty != NULL);
    free(empty);
}

// Small blocks in turn from three heaps: no region has blocks of two.
static void check_regions(void) {
    enum { COUNT = 600 };
    static unsigned char *blocks[3][COUNT];
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < 3; k++) {
            blocks[k][i] = opaque(spandrel_heap_malloc(k == 2 ? NULL : heaps[k], 40 + (size_t)i % 7 * 60));
            CHECK(blocks[k][i] != NULL);
        }
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < COUNT; i++) {
            check_of(k == 2 ? NULL : heaps[k], blocks[k][i]);
            if (spandrel_lane_of_pointer(blocks[k][i]) == SPANDREL_LANE_DIRECT) continue;
            for (int other = 0; other < k; other++)
                for (int at = 0; at < COUNT; at += 7)
                    CHECK_WITH((uintptr_t)blocks[k][i] / REGION != (uintptr_t)blocks[other][at] / REGION, i);
        }
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < COUNT; i++) free(blocks[k][i]);
}

int main(void) {
    heaps[0] = heap_new("first", 0, 0);
    heaps[1] = heap_new("second", 0, 0);
    int local = 0;
    check_of(NULL, &local);
    check_of(NULL, NULL);
    spandrel_heap_t *stands[] = {NULL, heaps[0], heaps[1]};
    for (int stand = 0; stand < 3; stand++) {
        spandrel_heap_use(stands[stand]);
        for (int k = 0; k < 3; k++) {
            spandrel_heap_t *heap = k == 2 ? NULL : heaps[k];
            for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
                void *block = opaque(spandrel_heap_malloc(heap, HEAP_SIZES[i]));
                CHECK(block != NULL);
                check_of(heap, block);
                CHECK(malloc_usable_size(block) >= HEAP_SIZES[i]);
                free(block);
                check_zeroes(heap, HEAP_SIZES[i]);
                if (stand != 1) continue;
                check_alignment(heap, HEAP_SIZES[i]);
                check_realloc(heap, heap, HEAP_SIZES[i]);
                check_realloc(heap, heaps[0], HEAP_SIZES[i]);
            }
            check_errors(heap);
        }
    }
    use_from(heaps[1], NULL);
    check_regions();
    for (int k = 0; k < 2; k++) {
        check_empty(heaps[k]);
        destroy(heaps[k]);
    }
    return 0;
}
