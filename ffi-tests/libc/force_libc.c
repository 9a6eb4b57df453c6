// SPANDREL_FORCE_LIBC=1 sends every call to libc, and everything still works.
// env: SPANDREL_FORCE_LIBC=1
// expect: exit 0
// variants: preload linked static
#include "threads.h"
#include "spandrel_weak.h"

static void *body(void *seed) {
    churn((uintptr_t)seed, 3000, 64, 60000);
    return NULL;
}

int main(void) {
    for (size_t i = 0; i < LANE_COUNT; i++) {
        char *block = opaque(malloc(LANE_SIZES[i])), *aligned = opaque(memalign(4096, LANE_SIZES[i]));
        CHECK(block != NULL && aligned != NULL && aligned_to(aligned, 4096));
        CHECK((int)spandrel_lane_of_pointer(block) == SPANDREL_LANE_LIBC &&
            (int)spandrel_lane_of_pointer(aligned) == SPANDREL_LANE_LIBC);
        CHECK(malloc_usable_size(block) >= LANE_SIZES[i]);
        block = opaque(realloc(block, LANE_SIZES[i] * 2));
        CHECK(block != NULL);
        free_sized(block, LANE_SIZES[i] * 2);
        free(aligned);
    }
    pthread_t one = start(body, (void *)1), two = start(body, (void *)2);
    join(one);
    join(two);
    CHECK(malloc_trim(0) >= 0);
    return 0;
}
