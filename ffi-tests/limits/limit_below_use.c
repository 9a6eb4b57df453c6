// A hard limit below what is in use gets a line, and every request is refused until enough was freed.
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION|ALLOCATOR_PAGE_EXHAUSTION x2
#include "check.h"
#include "spandrel_weak.h"

int main(void) {
    void *direct = opaque(malloc(50 * MIB));
    CHECK(direct != NULL && spandrel_set_limits(0, 20 * MIB));
    CHECK(malloc(5 * MIB) == NULL && errno == ENOMEM);
    free(direct);
    void *large = opaque(malloc(5 * MIB));
    CHECK(large != NULL);
    free(large);
    return 0;
}
