// With a hard limit, requests above it get NULL and ENOMEM in every lane, nothing comes from libc, and freed memory
// serves again.
// env: SPANDREL_HARD_LIMIT=64M
// expect: exit 0 stderr ALLOCATOR_PAGE_EXHAUSTION
#include "check.h"
#include "spandrel_weak.h"

// Takes all there is in blocks of `size`, then gives it back; the bytes there were.
static size_t use_up(size_t size) {
    void *chain = NULL, *block;
    size_t total = 0;
    errno = 0;
    while ((block = opaque(malloc(size))) != NULL) {
        CHECK(spandrel_lane_of_pointer(block) != SPANDREL_LANE_LIBC);
        *(void **)block = chain;
        chain = block;
        total += size;
    }
    CHECK(errno == ENOMEM);
    CHECK(malloc(40 * MIB) == NULL);
    while (chain != NULL) {
        block = *(void **)chain;
        free(chain);
        chain = block;
    }
    return total;
}

int main(void) {
    static const size_t sizes[] = {64, 1000, 20000, 130000, MIB};
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t total = use_up(sizes[i]);
            CHECK_WITH(total > 54 * MIB && total <= 64 * MIB, total);
        }
    char *direct = opaque(malloc(40 * MIB));
    CHECK(direct != NULL && realloc(direct, 70 * MIB) == NULL);
    direct = opaque(realloc(direct, 60 * MIB));
    CHECK(direct != NULL && malloc(8 * MIB) == NULL);
    direct = opaque(realloc(direct, 36 * MIB));
    void *large = opaque(malloc(20 * MIB));
    CHECK(direct != NULL && large != NULL);
    free(large);
    free(direct);
    return 0;
}
