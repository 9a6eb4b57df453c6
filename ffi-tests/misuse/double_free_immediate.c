// free(p); free(p): caught at once in every lane.
// run: class_8
// args: 8
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: class_100
// args: 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: class_32768
// args: 32768
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: large
// args: 300000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE|ALLOCATOR_INVALID_POINTER
// run: direct
// args: 50000000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE|ALLOCATOR_INVALID_POINTER
// run: report
// args: 100
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE
// run: report_large
// args: 300000
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE|ALLOCATOR_INVALID_POINTER
// run: ignore
// args: 100
// env: SPANDREL_ON_ERROR=ignore
// expect: exit 0
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size_t size = strtoull(argv[1], NULL, 10);
    void *block = opaque(malloc(size));
    CHECK(block != NULL);
    free(block);
    free(opaque(block));
    // Where the program goes on, the block must not be handed out twice.
    void *one = opaque(malloc(size)), *two = opaque(malloc(size));
    CHECK(one != NULL && two != NULL && one != two);
    free(one);
    free(two);
    return 0;
}
