// memalign rounds an odd alignment up to the next power of two; an alignment above SIZE_MAX/2+1 gives EINVAL (17).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    const size_t pairs[][2] = {{0, 8}, {1, 8}, {3, 8}, {17, 32}, {24, 32}, {33, 64}, {48, 64}, {100, 128}, {1000, 1024},
        {4097, 8192}, {70000, 131072}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        for (int repeat = 0; repeat < 16; repeat++) {
            char *block = opaque(memalign(opaque_size(pairs[i][0]), 40 + (size_t)repeat));
            CHECK_WITH(block != NULL && aligned_to(block, pairs[i][1]), pairs[i][0]);
            memset(block, 1, 40 + (size_t)repeat);
            if (repeat % 2) free(block);
        }
    }
    errno = 0;
    CHECK(opaque(memalign(opaque_size(SIZE_MAX / 2 + 2), 8)) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(opaque(memalign(opaque_size(SIZE_MAX), 8)) == NULL && errno == EINVAL);
    return 0;
}
