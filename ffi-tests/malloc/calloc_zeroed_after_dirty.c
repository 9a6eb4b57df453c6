// calloc returns zeroes, also where dirty blocks of the class wait for reuse (30).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    static void *ptrs[64];
    for (size_t size = 1; size <= 40000; size += size < 1100 ? 1 : 97) {
        size_t count = size < 4000 ? 64 : 8;
        for (int round = 0; round < 2; round++) {
            for (size_t i = 0; i < count; i++) {
                ptrs[i] = opaque(round ? calloc(1, size) : malloc(size));
                CHECK(ptrs[i] != NULL);
                CHECK_WITH(round == 0 || all_zero(ptrs[i], malloc_usable_size(ptrs[i]) < size ? 0 : size), size);
            }
            for (size_t i = 0; i < count; i++) {
                memset(ptrs[i], 0xa5, malloc_usable_size(ptrs[i]));
                free(ptrs[i]);
            }
        }
    }
    return 0;
}
