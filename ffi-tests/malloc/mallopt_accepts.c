// mallopt accepts glibc's documented parameters and harms nothing (20).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    CHECK(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
    CHECK(mallopt(M_TOP_PAD, 4096) == 1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    CHECK(mallopt(M_MMAP_MAX, 1000) == 1);
    CHECK(mallopt(M_ARENA_MAX, 4) == 1);
    CHECK(mallopt(M_ARENA_TEST, 4) == 1);
    CHECK(mallopt(M_PERTURB, 0) == 1);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        char *block = opaque(malloc(LANE_SIZES[i]));
        CHECK(block != NULL);
        block[LANE_SIZES[i] - 1] = 1;
        free(block);
    }
    return 0;
}
