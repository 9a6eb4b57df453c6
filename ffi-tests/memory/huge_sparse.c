// A terabyte asked for and hardly touched is served or refused with ENOMEM, never fatal; resident memory stays small.
// expect: exit 0
// variants: preload linked static glibc
#include "proc.h"

int main(void) {
    for (size_t size = 64 * MIB; size <= (size_t)1 << 46; size *= 4) {
        errno = 0;
        char *block = opaque(malloc(size));
        CHECK_WITH(block != NULL || errno == ENOMEM, size);
        if (block == NULL) continue;
        CHECK_WITH(malloc_usable_size(block) >= size, size);
        block[0] = block[size / 2] = block[size - 1] = 1;
        free(block);
    }
    char *zeroed = opaque(calloc(1, (size_t)1 << 30));
    CHECK(zeroed != NULL && zeroed[0] == 0 && zeroed[((size_t)1 << 30) - 1] == 0);
    free(zeroed);
    CHECK_WITH(peak_kib() < 60 * 1024, peak_kib());
    return 0;
}
