// Blocks from aligned calls go through realloc and free like any other, contents kept (17).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    uint64_t state = 11;
    for (int round = 0; round < 20000; round++) {
        size_t alignment = (size_t)8 << next_random(&state) % 14;
        size_t size = 1 + next_random(&state) % (round % 50 ? 3000 : 200000);
        size_t grown = 1 + next_random(&state) % (round % 50 ? 6000 : 400000);
        char *block = opaque(round % 2 ? memalign(alignment, size) : aligned_alloc(alignment, size));
        CHECK_WITH(block != NULL && aligned_to(block, alignment), alignment);
        fill(block, size, (size_t)round);
        block = opaque(realloc(block, grown));
        CHECK_WITH(block != NULL && malloc_usable_size(block) >= grown, grown);
        CHECK_WITH(holds(block, size < grown ? size : grown, (size_t)round), round);
        free(block);
    }
    return 0;
}
