// posix_memalign, memalign and aligned_alloc serve every power-of-two alignment to 1 MiB, with sizes around it: blocks
// are usable and disjoint (17).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    static struct { unsigned char *ptr; size_t size; } held[64];
    uint64_t state = 7;
    size_t turn = 0;
    for (size_t alignment = 8; alignment <= MIB; alignment *= 2) {
        for (int i = 0; i < 200; i++) {
            size_t size = next_random(&state) % (alignment < 4096 ? 5000 : alignment * 2);
            if (i < 4) size = alignment - 2 + (size_t)i;
            void *block = NULL;
            if (i % 3 == 0) CHECK(posix_memalign(&block, alignment, size) == 0);
            else if (i % 3 == 1) block = opaque(memalign(alignment, size));
            else block = opaque(aligned_alloc(alignment, size));
            CHECK_WITH(block != NULL && aligned_to(block, alignment), alignment);
            CHECK_WITH(malloc_usable_size(block) >= size, alignment);
            size_t slot = turn++ % 64, checked = held[slot].size < 3000 ? held[slot].size : 3000;
            if (held[slot].ptr) {
                CHECK_WITH(holds(held[slot].ptr, checked, slot), alignment);
                CHECK_WITH(holds(held[slot].ptr + held[slot].size - checked, checked, slot), alignment);
            }
            free(held[slot].ptr);
            held[slot].ptr = block;
            held[slot].size = size;
            checked = size < 3000 ? size : 3000;
            fill(block, checked, slot);
            if (size >= 6000) fill((char *)block + size - checked, checked, slot);
            else held[slot].size = checked;
        }
    }
    for (int i = 0; i < 64; i++) free(held[i].ptr);
    return 0;
}
