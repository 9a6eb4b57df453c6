// realloc and malloc_usable_size of a block that was just freed are reported, not served.
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE x2
#include "check.h"

int main(void) {
    void *block = opaque(malloc(200));
    free(block);
    CHECK(malloc_usable_size(opaque(block)) == 0);
    errno = 0;
    CHECK(realloc(opaque(block), 5000) == NULL && errno == EINVAL);
    CHECK(opaque(malloc(200)) == block);
    return 0;
}
