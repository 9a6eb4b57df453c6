// calloc and reallocarray notice that count times size overflows; reallocarray keeps the old block.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    const size_t pairs[][2] = {{SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2}, {(size_t)1 << 32, (size_t)1 << 32},
                               {((size_t)1 << 32) + 1, (size_t)1 << 32}, {SIZE_MAX, SIZE_MAX}};
    char *block = opaque(malloc(64));
    fill(block, 64, 5);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        size_t count = opaque_size(pairs[i][0]), size = opaque_size(pairs[i][1]);
        errno = 0;
        CHECK_WITH(opaque(calloc(count, size)) == NULL && errno == ENOMEM, i);
        errno = 0;
        CHECK_WITH(opaque(reallocarray(block, count, size)) == NULL && errno == ENOMEM, i);
        CHECK_WITH(holds(block, 64, 5), i);
    }
    free(block);
    return 0;
}
