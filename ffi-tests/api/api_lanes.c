// Every size has exactly one lane, and the lane of the pointer agrees; every size to 40000 and all boundaries.
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

static int expected_lane(size_t size) {
    if (size <= 32768) return SPANDREL_LANE_SMALL;
    if (size <= 32 * MIB) return SPANDREL_LANE_LARGE;
    return size <= PTRDIFF_MAX ? SPANDREL_LANE_DIRECT : SPANDREL_LANE_REFUSED;
}

static void check_size(size_t size) {
    CHECK_WITH((int)spandrel_lane_of_size(size) == expected_lane(size), size);
    if (size > 200 * MIB) return;
    void *block = opaque(malloc(size));
    CHECK_WITH(block != NULL && (int)spandrel_lane_of_pointer(block) == expected_lane(size), size);
    free(block);
}

int main(void) {
    for (size_t size = 0; size <= 40000; size++) check_size(size);
    for (size_t power = 65536; power != 0; power *= 2)
        for (int step = -2; step <= 2; step++) check_size(power + (size_t)step);
    check_size(SIZE_MAX);
    int local;
    void *foreign = opaque(__libc_malloc(500));
    CHECK((int)spandrel_lane_of_pointer(foreign) == SPANDREL_LANE_LIBC);
    CHECK((int)spandrel_lane_of_pointer(&local) == SPANDREL_LANE_LIBC);
    CHECK((int)spandrel_lane_of_pointer(NULL) == SPANDREL_LANE_LIBC);
    __libc_free(foreign);
    return 0;
}
