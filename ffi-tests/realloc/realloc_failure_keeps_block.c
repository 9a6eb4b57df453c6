// A realloc that fails leaves the block as it was, in every lane.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    for (size_t i = 0; i < LANE_COUNT; i++) {
        size_t filled = LANE_SIZES[i] < 65536 ? LANE_SIZES[i] : 65536;
        char *block = opaque(malloc(LANE_SIZES[i]));
        CHECK(block != NULL);
        fill(block, filled, i);
        size_t usable = malloc_usable_size(block);
        errno = 0;
        CHECK_WITH(opaque(realloc(block, opaque_size(SIZE_MAX / 2 + 1))) == NULL && errno == ENOMEM, i);
        errno = 0;
        CHECK_WITH(opaque(realloc(block, opaque_size(PTRDIFF_MAX - 8192))) == NULL && errno == ENOMEM, i);
        CHECK_WITH(holds(block, filled, i) && malloc_usable_size(block) == usable, i);
        free(block);
    }
    return 0;
}
