// malloc_trim answers 0 or 1, harms no live block and leaves the heap usable (20).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    static char *ptrs[4000];
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < 4000; i++) fill(ptrs[i] = opaque(malloc(i)), i, i);
        for (size_t i = 0; i < 4000; i += 2) free(ptrs[i]);
        for (size_t pad = 0; pad < 3; pad++) {
            int answer = malloc_trim(pad * MIB);
            CHECK_WITH(answer == 0 || answer == 1, answer);
        }
        for (size_t i = 1; i < 4000; i += 2) {
            CHECK_WITH(holds(ptrs[i], i, i), i);
            free(ptrs[i]);
        }
    }
    return 0;
}
