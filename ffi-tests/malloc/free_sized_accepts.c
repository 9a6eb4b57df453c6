// free_sized takes the requested size, any size of the same class, the usable size, and sizes after an in-place realloc
// (19).
// expect: exit 0
#include "check.h"

int main(void) {
    free_sized(opaque(NULL), 0);
    free_sized(opaque(NULL), 100);
    for (size_t size = 0; size <= 40000; size += size < 1100 ? 1 : 61) {
        free_sized(opaque(malloc(size)), size);
        void *block = opaque(malloc(size));
        free_sized(block, malloc_usable_size(block));
        block = opaque(malloc(size + 200));
        block = opaque(realloc(block, size + 150));
        free_sized(block, size + 150);
        free_sized(opaque(calloc(1, size)), size);
    }
    for (size_t i = 0; i < LANE_COUNT; i++) {
        errno = 66;
        free_sized(opaque(malloc(LANE_SIZES[i])), LANE_SIZES[i]);
        CHECK_WITH(errno == 66, i);
    }
    return 0;
}
