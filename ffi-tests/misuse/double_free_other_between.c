// free(a); free(b); free(c); free(a) within a bin: caught at the latest when the bin is flushed to the bitmap.
// run: abort
// args: 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: big_class
// args: 20000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: report
// args: 100
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE
// run: ignore
// args: 100
// env: SPANDREL_ON_ERROR=ignore
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size_t size = strtoull(argv[1], NULL, 10);
    void *a = opaque(malloc(size)), *b = opaque(malloc(size)), *c = opaque(malloc(size)), *guard = opaque(malloc(size));
    CHECK(a != NULL && b != NULL && c != NULL && guard != NULL);
    free(a);
    free(b);
    free(c);
    free(opaque(a));
    spandrel_collect(true);
    static void *ptrs[500];
    for (int i = 0; i < 500; i++) {
        ptrs[i] = opaque(malloc(size));
        for (int j = 0; j < i; j++) CHECK(ptrs[i] != ptrs[j]);
    }
    return 0;
}
