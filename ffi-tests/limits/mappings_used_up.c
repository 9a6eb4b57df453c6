// In a process that has as many mappings as vm.max_map_count allows one line names that reason, and libc serves (26).
// expect: exit 0 stderr ALLOCATOR_PAGE_EXHAUSTION|ALLOCATOR_EXHAUSTION x2
// timeout: 60
#include "all_mappings.h"

int main(void) {
    // Nothing was allocated before.
    char *area = use_up_mappings();
    for (int i = 0; i < 100; i++) free(opaque(malloc(100)));
    release_mappings(area);
    void *large = opaque(malloc(40 * MIB));
    CHECK(large != NULL);
    free(large);
    return 0;
}
