// reallocarray multiplies and keeps contents; zero elements free the block.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    int *array = NULL;
    size_t written = 0;
    for (size_t count = 1; count <= 100000; count = count * 3 / 2 + 1) {
        array = opaque(reallocarray(array, count, sizeof *array));
        CHECK(array != NULL && malloc_usable_size(array) >= count * sizeof *array);
        for (size_t i = 0; i < written; i++) CHECK_WITH(array[i] == (int)i, count);
        for (; written < count; written++) array[written] = (int)written;
    }
    CHECK(reallocarray(array, opaque_size(0), 16) == NULL);
    return 0;
}
