// A request that cannot be served is tried again after a reclaim: a pool that was full of small blocks, all of them
// freed, has room for one block that takes all of it.
// env: SPANDREL_PROFILE=freestanding
// env: SPANDREL_POOL=8M
// expect: exit 0 stderr ALLOCATOR_PAGE_EXHAUSTION
#include "check.h"

enum { COUNT = 1 << 20, SIZE = 48, SOMETIMES = 7 };
static void *blocks[COUNT];

// The largest block that there is room for, to 64 KiB.
static size_t largest(void) {
    for (size_t size = 8 * MIB; size > 0; size -= 64 * KIB) {
        void *block = opaque(malloc(size));
        if (block) {
            free(block);
            return size;
        }
    }
    return 0;
}

int main(void) {
    size_t whole = largest();
    CHECK_WITH(whole > 5 * MIB, whole);
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        while (count < COUNT && (blocks[count] = opaque(malloc(SIZE)))) count++;
        CHECK_WITH(count * SIZE > whole * 3 / 4 && count < COUNT, count);
        // Not in order, so that the blocks that stay in bins lie here and there.
        for (size_t first = 0; first < SOMETIMES; first++)
            for (size_t i = first; i < count; i += SOMETIMES) free(blocks[i]);
        void *block = opaque(malloc(whole));
        CHECK_WITH(block != NULL, round);
        free(block);
    }
    return 0;
}
