// Growing and shrinking direct blocks keeps contents and gives pages beyond the new end back. mremap copies nothing:
// pages that the program never touched stay absent.
// expect: exit 0
// variants: preload linked static glibc
#include <sys/mman.h>
#include "check.h"

// How many bytes of the block are resident, by mincore.
static size_t resident(void *block, size_t bytes) {
    static unsigned char pages[200000];
    char *start = (char *)((uintptr_t)block & ~(uintptr_t)4095);
    size_t count = 0;
    CHECK(bytes / 4096 <= sizeof pages && mincore(start, bytes, pages) == 0);
    for (size_t i = 0; i < bytes / 4096; i++) count += pages[i] & 1;
    return count * 4096;
}

int main(void) {
    size_t size = 33 * MIB;
    char *block = opaque(malloc(size));
    CHECK(block != NULL);
    fill(block, 1 * MIB, 3);
    for (int step = 0; step < 8; step++) {
        size += 40 * MIB;
        block = opaque(realloc(block, size));
        CHECK(block != NULL && malloc_usable_size(block) >= size);
        CHECK(holds(block, 1 * MIB, 3));
        block[size - 1] = (char)step;
        CHECK_WITH(resident(block, size) < 8 * MIB, resident(block, size));
    }
    void *neighbours[8];
    for (int i = 0; i < 8; i++) memset(neighbours[i] = opaque(malloc(34 * MIB)), i, 34 * MIB);
    size = 33 * MIB;
    block = opaque(realloc(block, size));
    CHECK(block != NULL && holds(block, 1 * MIB, 3));
    block = opaque(realloc(block, 600 * MIB));
    CHECK(block != NULL && holds(block, 1 * MIB, 3));
    block[600 * MIB - 1] = 1;
    for (int i = 0; i < 8; i++) {
        const unsigned char *bytes = neighbours[i];
        for (size_t at = 0; at < 34 * MIB; at += 4096) CHECK(bytes[at] == i);
        free(neighbours[i]);
    }
    free(block);
    return 0;
}
