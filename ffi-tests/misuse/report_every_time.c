// Under `report` each misuse gets its own line, and a hundred of them harm nothing.
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x100
#include "check.h"

int main(void) {
    _Alignas(16) char local[4096];
    for (int i = 0; i < 100; i++) {
        errno = 0;
        free(opaque(local + i * 16));
        free(opaque(malloc((size_t)i * 50)));
    }
    return 0;
}
