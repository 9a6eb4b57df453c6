// A stray write into a freed block cannot redirect the allocator, which keeps no data there.
// expect: exit 0
// variants: preload linked static
#include "check.h"

int main(void) {
    static unsigned char *ptrs[2000];
    for (size_t size = 8; size <= 33000; size = size * 2 + 1) {
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 2000; i++) CHECK((ptrs[i] = opaque(malloc(size))) != NULL);
            for (int i = 0; i < 2000; i++) memset(ptrs[i], i & 0xff, size);
            for (int i = 0; i < 2000; i++)
                CHECK_WITH(ptrs[i][0] == (i & 0xff) && ptrs[i][size - 1] == (i & 0xff), size);
            for (int i = 0; i < 2000; i++) {
                free(ptrs[i]);
                barrier();
                memset(ptrs[i], 0xff, 8);
            }
        }
    }
    return 0;
}
