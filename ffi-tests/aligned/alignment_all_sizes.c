// Every block of 9 bytes and more is 16-byte aligned, smaller ones 8-byte, from malloc, calloc and realloc alike (18).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    void *moved = NULL;
    for (size_t size = 0; size <= 40000; size++) {
        size_t alignment = size <= 8 ? 8 : 16;
        void *plain = opaque(malloc(size)), *zeroed = opaque(calloc(1, size));
        moved = opaque(realloc(moved, size ? size : 1));
        CHECK_WITH(plain && zeroed && moved, size);
        CHECK_WITH(aligned_to(plain, alignment) && aligned_to(zeroed, alignment) && aligned_to(moved, alignment), size);
        if (size % 7) free(plain);
        free(zeroed);
    }
    for (size_t size = 40001; size < 100 * MIB; size += size / 5 + 1) {
        void *plain = opaque(malloc(size));
        CHECK_WITH(plain != NULL && aligned_to(plain, 16), size);
        free(plain);
    }
    return 0;
}
