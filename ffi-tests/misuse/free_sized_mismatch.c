// A sized free whose size cannot belong to the block is reported; under policies that go on the block stays allocated.
// run: abort_small
// args: 100 3000
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: abort_too_little
// args: 30000 8
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: abort_large
// args: 300000 100
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: abort_direct
// args: 50000000 100
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: abort_direct_more
// args: 50000000 60000000
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: abort_aligned
// args: 100 3000 aligned
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: report
// env: SPANDREL_ON_ERROR=report
// args: 100 3000
// expect: exit 0 stderr ALLOCATOR_SIZE_MISMATCH
// run: ignore
// env: SPANDREL_ON_ERROR=ignore
// args: 100 3000
// expect: exit 0
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc >= 3);
    size_t size = strtoull(argv[1], NULL, 10), wrong = strtoull(argv[2], NULL, 10);
    char *block = opaque(malloc(size));
    CHECK(block != NULL);
    block[0] = 1;
    if (argc > 3) free_aligned_sized(block, 16, wrong);
    else free_sized(block, wrong);
    return 0;
}
