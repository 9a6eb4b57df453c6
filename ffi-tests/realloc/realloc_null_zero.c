// realloc(NULL, n) is malloc(n); realloc(p, 0) frees and returns NULL; realloc(NULL, 0) is malloc(0).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    void *fresh = opaque(realloc(opaque(NULL), 100));
    CHECK(fresh != NULL && malloc_usable_size(fresh) >= 100);
    free(fresh);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        void *block = opaque(malloc(LANE_SIZES[i]));
        CHECK(block != NULL);
        CHECK_WITH(realloc(block, opaque_size(0)) == NULL, i);
    }
    // If the blocks were not freed, this would need 64 GiB.
    for (int i = 0; i < 2000; i++) {
        char *block = opaque(malloc(32 * MIB));
        CHECK(block != NULL);
        block[i] = 1;
        CHECK(realloc(block, opaque_size(0)) == NULL);
    }
    void *empty = opaque(realloc(opaque(NULL), opaque_size(0)));
    CHECK(empty != NULL);
    free(empty);
    return 0;
}
