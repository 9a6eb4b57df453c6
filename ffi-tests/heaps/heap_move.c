// spandrel_heap_move gives a block to another heap: a large one stays where it is, a small one is copied, as is a
// direct mapping of the default heap, and both bills say so. It gives to the default heap as well, takes from it, and
// leaves the block as it was where it fails.
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT
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
#include "heaps.h"

static void check_moves(spandrel_heap_t *from, spandrel_heap_t *to, size_t size) {
    struct held block;
    unsigned char *at = opaque(spandrel_heap_malloc(from, size));
    held_fill(&block, at, size, size);
    size_t from_before = from ? settled(from).live_bytes : 0, to_before = to ? settled(to).live_bytes : 0;
    bool large = spandrel_lane_of_pointer(at) == SPANDREL_LANE_LARGE;
    size_t usable = malloc_usable_size(at), large_before = from ? bill_of(from).large_bytes : 0;
    block.at = opaque(spandrel_heap_move(to, at));
    CHECK(block.at != NULL);
    held_check(&block);
    CHECK(malloc_usable_size(block.at) >= size);
    CHECK(spandrel_heap_of(block.at) == to);
    if (large) CHECK(block.at == at);
    if (from != to && from != NULL && live_is_known()) {
        // The old block lies in a batch of the other heap.
        if (to != NULL) settled(to);
        CHECK_WITH(from_before - settled(from).live_bytes >= usable, from_before - settled(from).live_bytes);
        if (size > 32 * KIB) CHECK(large_before - bill_of(from).large_bytes >= size);
    }
    if (from != to && to != NULL) CHECK(settled(to).live_bytes - to_before >= size);
    if (from == to) CHECK(block.at == at);
    free(block.at);
    if (to != NULL && live_is_known()) {
        CHECK_WITH(settled(to).live_bytes <= (from == to ? to_before - usable : to_before), size);
    }
}

// Each move is refused by the limit of the heap that would get the block.
static void check_refusal(spandrel_heap_t *from) {
    spandrel_heap_t *small = heap_new("small", 8 * REGION, 0);
    struct held block;
    held_fill(&block, spandrel_heap_malloc(from, MIB), MIB, 3);
    size_t held = from == NULL ? 0 : bill_of(from).held_bytes;
    errno = 0;
    CHECK(opaque(spandrel_heap_move(small, block.at)) == NULL && errno == ENOMEM);
    held_check(&block);
    CHECK(spandrel_heap_of(block.at) == from);
    CHECK(from == NULL || bill_of(from).held_bytes == held);
    CHECK(bill_of(small).held_bytes <= 8 * REGION);
    free(block.at);
    destroy(small);
}

// A mapping of the default heap that has to move as it grows becomes the heap's that the thread uses. The second one
// lies below the first, and has no room.
static void check_growth(spandrel_heap_t *heap) {
    static struct held blocks[2];
    for (size_t i = 0; i < 2; i++) held_fill(&blocks[i], opaque(malloc(40 * MIB)), 40 * MIB, i);
    use_from(NULL, heap);
    int moved = 0;
    for (size_t i = 0; i < 2; i++) {
        unsigned char *before = blocks[i].at;
        blocks[i].at = opaque(realloc(before, 80 * MIB));
        held_check(&blocks[i]);
        CHECK(spandrel_heap_of(blocks[i].at) == (blocks[i].at == before ? NULL : heap));
        moved += blocks[i].at != before;
    }
    CHECK(moved > 0 && bill_of(heap).large_bytes >= (size_t)moved * 80 * MIB);
    use_from(heap, NULL);
    for (size_t i = 0; i < 2; i++) free(blocks[i].at);
    CHECK(bill_of(heap).large_bytes == 0 || !live_is_known());
}

int main(void) {
    spandrel_heap_t *a = heap_new("a", 0, 0), *b = heap_new("b", 0, SPANDREL_HEAP_SHARED);
    spandrel_heap_t *heaps[] = {NULL, a, b};
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 3; to++)
            for (int i = 0; i < HEAP_SIZE_COUNT; i++) check_moves(heaps[from], heaps[to], HEAP_SIZES[i]);
    check_refusal(a);
    check_growth(a);
    // A block that moved outlives its first heap.
    struct held blocks[HEAP_SIZE_COUNT];
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
        unsigned char *at = opaque(spandrel_heap_malloc(a, HEAP_SIZES[i]));
        held_fill(&blocks[i], at, HEAP_SIZES[i], (size_t)i);
        blocks[i].at = opaque(spandrel_heap_move(heaps[i % 2 * 2], at));
    }
    destroy(a);
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
        held_check(&blocks[i]);
        free(blocks[i].at);
    }
    check_empty(b);
    destroy(b);
    return 0;
}
