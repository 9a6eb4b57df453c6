// Plain free, realloc, malloc_usable_size and sized frees take blocks of any heap from any thread, wherever it stands.
// A block that realloc moves belongs to the heap that the thread uses then; one that stays keeps its heap.
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
#include "heaps.h"

enum { ROUNDS = 40 };

static spandrel_heap_t *from, *other, *shared;

struct visit {
    struct held *blocks;
    spandrel_heap_t *stands;
};

static void resize(struct held *block, size_t size) {
    held_check(block);
    spandrel_heap_t *before = spandrel_heap_of(block->at), *now = spandrel_heap_current();
    unsigned char *moved = opaque(realloc(block->at, size));
    CHECK(moved != NULL);
    size_t kept = size < block->size ? size : block->size;
    if (kept > held_span(block)) kept = held_span(block);
    CHECK(holds(moved, kept, block->seed));
    CHECK_WITH(spandrel_heap_of(moved) == (moved == block->at ? before : now), moved == block->at);
    held_fill(block, moved, size, block->seed + 1);
}

static void *visit(void *argument) {
    const struct visit *visit = argument;
    if (visit->stands != NULL) use_from(NULL, visit->stands);
    uint64_t state = (uintptr_t)visit->stands | 1;
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
        struct held *block = &visit->blocks[i];
        held_check(block);
        CHECK(malloc_usable_size(block->at) >= block->size);
        resize(block, HEAP_SIZES[next_random(&state) % HEAP_SIZE_COUNT]);
        resize(block, block->size + 1);
        if (block->size > 1) resize(block, block->size - block->size / 4);
        held_check(block);
        if (i % 3 == 0 && free_sized != NULL) free_sized(block->at, block->size);
        else free(block->at);
        block->at = NULL;
    }
    if (visit->stands != NULL) use_from(visit->stands, NULL);
    return NULL;
}

int main(void) {
    from = heap_new("from", 0, 0);
    other = heap_new("other", 0, 0);
    shared = heap_new("shared", 0, SPANDREL_HEAP_SHARED);
    spandrel_heap_t *givers[] = {NULL, from, shared}, *stands[] = {NULL, other, shared};
    static struct held blocks[HEAP_SIZE_COUNT];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
            // The largest ones now and then, for they take long.
            size_t size = HEAP_SIZES[round % 8 == 0 ? i : i % 8];
            void *block = spandrel_heap_malloc(givers[round % 3], size);
            CHECK(block != NULL);
            held_fill(&blocks[i], block, size, (size_t)i);
        }
        struct visit there = {blocks, stands[round / 3 % 3]};
        if (round % 2 == 0) join(start(visit, &there));
        else visit(&there);
    }
    // Batches may lie with any of them.
    for (int i = 0; i < 3; i++) settled(i == 0 ? shared : i == 1 ? other : from);
    check_empty(from);
    check_empty(other);
    destroy(from);
    destroy(other);
    destroy(shared);
    return 0;
}
