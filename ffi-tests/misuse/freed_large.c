// A large or direct block freed long ago, its pages reused by others or gone: freeing it again is refused, others stay
// whole.
// run: large
// args: 300000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE|ALLOCATOR_INVALID_POINTER
// run: direct
// args: 50000000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE|ALLOCATOR_INVALID_POINTER
// run: realloc_large
// args: 300000 realloc
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE|ALLOCATOR_INVALID_POINTER
// run: report
// args: 300000
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE|ALLOCATOR_INVALID_POINTER
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    size_t size = strtoull(argv[1], NULL, 10);
    void *block = opaque(malloc(size));
    CHECK(block != NULL);
    memset(block, 1, size);
    free(block);
    spandrel_collect(true);
    if (argc > 2) CHECK(opaque(realloc(opaque(block), 400000)) == NULL);
    else free(opaque(block));
    unsigned char *one = opaque(malloc(size)), *two = opaque(malloc(size));
    memset(one, 1, size);
    memset(two, 2, size);
    CHECK(one[size - 1] == 1 && two[0] == 2);
    return 0;
}
