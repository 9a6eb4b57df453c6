// free_aligned_sized takes what aligned_alloc and posix_memalign were given (17, 19).
// expect: exit 0
#include "check.h"

int main(void) {
    free_aligned_sized(opaque(NULL), 64, 100);
    for (size_t alignment = 8; alignment <= 128 * KIB; alignment *= 2)
        for (size_t size = 1; size <= 200000; size = size * 3 / 2 + 1) {
            errno = 66;
            void *block = opaque(aligned_alloc(alignment, size));
            CHECK(block != NULL);
            free_aligned_sized(block, alignment, size);
            CHECK(posix_memalign(&block, alignment, size) == 0);
            free_aligned_sized(opaque(block), alignment, size);
            CHECK(errno == 66);
        }
    return 0;
}
