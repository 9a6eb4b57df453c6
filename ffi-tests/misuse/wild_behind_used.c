// Pointers behind the last region in use, where records may not be committed yet: one line each, no crash.
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x400
#include "check.h"

int main(void) {
    char *highest = NULL;
    for (int i = 0; i < 63; i++) {
        char *block = opaque(malloc(MIB));
        if (block > highest) highest = block;
    }
    for (size_t step = 1; step <= 400; step++) free(opaque(highest + MIB + step * 64 * KIB));
    return 0;
}
