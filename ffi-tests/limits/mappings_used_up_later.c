// A heap grows in a process that has as many mappings as vm.max_map_count allows: a commit moves a border and cuts no
// mapping (26).
// expect: exit 0
// timeout: 60
#include "all_mappings.h"

enum { HELD = 4000 };

static void *held[HELD];

// Blocks of every class and of some larger sizes, `bytes` of them at most.
static void hold(size_t bytes) {
    size_t sum = 0;
    for (size_t i = 0; i < HELD && sum < bytes; i++) {
        size_t size = i % 50 == 0 ? 40000 + i * 100 : 1 + i * 37 % 32768;
        held[i] = opaque(malloc(size));
        CHECK_WITH(held[i] != NULL, i);
        fill(held[i], size, i);
        sum += size;
    }
}

static void drop(void) {
    for (size_t i = 0; i < HELD; i++) {
        free(held[i]);
        held[i] = NULL;
    }
}

int main(void) {
    hold(8 * MIB);
    drop();
    char *area = use_up_mappings();
    hold((size_t)-1);
    release_mappings(area);
    for (size_t i = 0; i < HELD; i++) CHECK_WITH(holds(held[i], 1, i), i);
    drop();
    return 0;
}
