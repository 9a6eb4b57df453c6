// A pointer into a live large block, where spans were before, is no double free.
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x15
#include "check.h"

int main(void) {
    static void *small[4000];
    for (int i = 0; i < 4000; i++) small[i] = opaque(malloc(500));
    for (int i = 0; i < 4000; i++) free(small[i]);
    malloc_trim(0);
    char *large = opaque(malloc(MIB));
    for (size_t region = 1; region < 16; region++) free(opaque(large + region * 64 * KIB));
    large[0] = large[MIB - 1] = 1;
    free(large);
    return 0;
}
