// aligned_alloc: the size need not be a multiple of the alignment; an alignment that is no power of two gives EINVAL
// (17).
// expect: exit 0
// variants: preload linked static
#include "check.h"

int main(void) {
    const size_t odd[] = {0, 3, 5, 6, 7, 12, 24, 48, 1000, 4097, SIZE_MAX, (SIZE_MAX / 2) - 1};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        errno = 0;
        CHECK_WITH(opaque(aligned_alloc(opaque_size(odd[i]), 64)) == NULL && errno == EINVAL, odd[i]);
    }
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        void *block = opaque(aligned_alloc(alignment, alignment + 1));
        CHECK_WITH(block != NULL && aligned_to(block, alignment), alignment);
        memset(block, 1, alignment + 1);
        free(block);
    }
    return 0;
}
