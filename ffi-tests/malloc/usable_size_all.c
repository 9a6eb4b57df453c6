// malloc_usable_size for every size to 40000 and around every boundary: at least the size, stable, wholly writable
// (15).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

static void check_size(size_t size) {
    unsigned char *block = opaque(malloc(size)), *neighbour = opaque(malloc(size));
    CHECK_WITH(block != NULL && neighbour != NULL, size);
    size_t usable = malloc_usable_size(block), other = malloc_usable_size(neighbour);
    CHECK_WITH(usable >= size && other >= size, size);
    memset(block, 0x11, usable);
    memset(neighbour, 0x22, other);
    free(opaque(malloc(size)));
    CHECK_WITH(malloc_usable_size(block) == usable, size);
    CHECK_WITH(
        block[0] == 0x11 && block[usable - 1] == 0x11 && neighbour[0] == 0x22 && neighbour[other - 1] == 0x22, size);
    free(block);
    free(neighbour);
}

int main(void) {
    CHECK(malloc_usable_size(opaque(NULL)) == 0);
    for (size_t size = 0; size <= 40000; size++) check_size(size);
    for (size_t power = 65536; power <= 64 * MIB; power *= 2)
        for (size_t eighth = 8; eighth < 16; eighth++)
            for (int step = -1; step <= 1; step++) {
                size_t size = power / 8 * eighth + (size_t)step;
                unsigned char *block = opaque(malloc(size));
                CHECK_WITH(block != NULL && malloc_usable_size(block) >= size, size);
                block[0] = 1;
                block[malloc_usable_size(block) - 1] = 1;
                free(block);
            }
    return 0;
}
