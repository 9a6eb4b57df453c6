// free leaves errno alone in every lane, also where pages go back to the kernel (16).
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    static void *ptrs[600];
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        size_t count = LANE_SIZES[lane] < 100000 ? 600 : 4;
        for (size_t i = 0; i < count; i++) ptrs[i] = opaque(malloc(LANE_SIZES[lane]));
        for (size_t i = 0; i < count; i++) {
            CHECK(ptrs[i] != NULL);
            errno = 1234;
            free(ptrs[i]);
            CHECK_WITH(errno == 1234, LANE_SIZES[lane]);
        }
    }
    errno = 1234;
    free(opaque(NULL));
    CHECK(errno == 1234);
    void *foreign = opaque(__libc_malloc(5000));
    errno = 1234;
    free(foreign);
    CHECK(errno == 1234);
    return 0;
}
