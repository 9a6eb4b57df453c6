// malloc(0) returns a pointer of its own each time, and free takes it back.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    void *ptrs[1000];
    for (int i = 0; i < 1000; i++) {
        ptrs[i] = opaque(malloc(0));
        CHECK(ptrs[i] != NULL);
        for (int j = 0; j < i; j++) CHECK(ptrs[i] != ptrs[j]);
    }
    for (int i = 0; i < 1000; i++) free(ptrs[i]);
    void *zeroed = opaque(calloc(0, 8)), *array = opaque(reallocarray(NULL, 0, 4));
    CHECK(zeroed != NULL && array != NULL && zeroed != array);
    free(zeroed);
    free(array);
    free(opaque(NULL));
    return 0;
}
