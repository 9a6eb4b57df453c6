// realloc keeps min(old, new) bytes for every step between small sizes, growing and shrinking.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    for (size_t old_size = 1; old_size <= 2100; old_size += 1 + old_size / 24) {
        for (size_t new_size = 1; new_size <= 2100; new_size += 1 + new_size / 16) {
            char *block = opaque(malloc(old_size));
            CHECK(block != NULL);
            fill(block, old_size, old_size);
            block = opaque(realloc(block, new_size));
            CHECK(block != NULL && malloc_usable_size(block) >= new_size);
            CHECK_WITH(holds(block, old_size < new_size ? old_size : new_size, old_size), old_size * 10000 + new_size);
            memset(block, 1, new_size);
            free(block);
        }
    }
    char *grown = NULL;
    for (size_t size = 1; size <= 50000; size++) {
        grown = opaque(realloc(grown, size));
        CHECK(grown != NULL);
        grown[size - 1] = (char)pattern_at(size - 1, 9);
    }
    CHECK(holds(grown, 50000, 9));
    for (size_t size = 50000; size > 0; size--) {
        grown = opaque(realloc(grown, size));
        CHECK(grown != NULL && grown[size - 1] == (char)pattern_at(size - 1, 9));
    }
    free(grown);
    return 0;
}
