// free(a); free(b); free(a) is refused at the second free of a, before any other call: own blocks, and those that join a
// batch for another thread.
// run: own_8
// args: own 8
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: own_100
// args: own 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: own_2048
// args: own 2048
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: own_several_regions
// args: own 5000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: own_largest
// args: own 32768
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: remote_100
// args: remote 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: remote_several_regions
// args: remote 5000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: large
// args: own 300000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: direct
// args: own 50000000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: report
// args: own 100
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE
// variants: preload linked static
#include "threads.h"

static size_t size;

static void *twice(void *pair) {
    void **blocks = pair;
    free(blocks[0]);
    free(blocks[1]);
    free(opaque(blocks[0]));
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    size = strtoull(argv[2], NULL, 10);
    void *blocks[2] = {opaque(malloc(size)), opaque(malloc(size))};
    CHECK(blocks[0] != NULL && blocks[1] != NULL);
    if (strcmp(argv[1], "remote") == 0) {
        join(start(twice, blocks));
    } else {
        twice(blocks);
    }
    // Only `report` gets here: nothing is handed out twice.
    void *others[100];
    for (int i = 0; i < 100; i++) {
        others[i] = opaque(malloc(size));
        for (int j = 0; j < i; j++) CHECK(others[i] != others[j]);
    }
    return 0;
}
