// Every size has exactly one lane, and the lane of the pointer agrees, wherever in the block it points; every size to
// 40000 and all boundaries.
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
    for (size_t part = 1; part <= 3 && size > 1; part++)
        CHECK_WITH((int)spandrel_lane_of_pointer((char *)block + (size - 1) / 3 * part) == expected_lane(size), size);
    free(block);
}

// A large block ends with its last byte, and is gone once it is freed.
static void check_end_of_large(void) {
    char *block = opaque(malloc(5 * MIB + 4 * KIB));
    size_t usable = malloc_usable_size(block);
    CHECK((int)spandrel_lane_of_pointer(block + usable - 1) == SPANDREL_LANE_LARGE);
    CHECK((int)spandrel_lane_of_pointer(block + usable) == SPANDREL_LANE_LIBC);
    free(block);
    CHECK((int)spandrel_lane_of_pointer(opaque(block + 2 * MIB)) == SPANDREL_LANE_LIBC);
}

int main(void) {
    for (size_t size = 0; size <= 40000; size++) check_size(size);
    for (size_t power = 65536; power != 0; power *= 2)
        for (int step = -2; step <= 2; step++) check_size(power + (size_t)step);
    check_size(SIZE_MAX);
    check_end_of_large();
    int local;
    void *foreign = opaque(__libc_malloc(500));
    CHECK((int)spandrel_lane_of_pointer(foreign) == SPANDREL_LANE_LIBC);
    CHECK((int)spandrel_lane_of_pointer(&local) == SPANDREL_LANE_LIBC);
    CHECK((int)spandrel_lane_of_pointer(NULL) == SPANDREL_LANE_LIBC);
    __libc_free(foreign);
    return 0;
}
