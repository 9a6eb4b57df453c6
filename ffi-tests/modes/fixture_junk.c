// SPANDREL_JUNK: fresh blocks are full of one byte, freed ones of another; calloc still returns zeroes, and realloc
// keeps the contents.
// env: SPANDREL_JUNK=1
// expect: exit 0
#include "check.h"

static bool full_of(const char *block, size_t size, int byte) {
    barrier();
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)block[i] != byte) return false;
    return true;
}

int main(void) {
    static const size_t sizes[] = {1, 24, 500, 1500, 32768, 50000, 3 * MIB, 40 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        for (int round = 0; round < 3; round++) {
            char *block = opaque(malloc(size));
            CHECK_WITH(block != NULL && full_of(block, malloc_usable_size(block), 0xa5), size);
            fill(block, size, i);
            block = opaque(realloc(block, size * 3));
            CHECK_WITH(holds(block, size, i) && full_of(block + size, size * 2, 0xa5), size);
            free(block);
            block = opaque(calloc(1, size));
            CHECK_WITH(all_zero(block, size), size);
            free(block);
        }
        char *freed = opaque(malloc(size));
        fill(freed, size, i);
        free(freed);
        // The memory is still there: no purge comes that soon.
        if (size < MIB) CHECK_WITH(full_of(opaque(freed), size, 0x5a), size);
    }
    return 0;
}
