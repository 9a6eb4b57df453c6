// Pointers into the middle of a live block, aligned or not, are refused in every lane; the block stays whole (6).
// run: small_aligned
// args: 200 16
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: small_misaligned
// args: 200 3
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: small_8
// args: 8 4
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: small_big
// args: 32000 16384
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: large_first_page
// args: 300000 16
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: large_other_region
// args: 300000 131072
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: direct_first_page
// args: 50000000 64
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: direct_far
// args: 50000000 40000000
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: report_small
// args: 200 16
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER
// run: report_large
// args: 300000 65536
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER
// run: report_direct
// args: 50000000 4096
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER
// run: ignore_small
// args: 200 16
// env: SPANDREL_ON_ERROR=ignore
// expect: exit 0
#include "check.h"
#include "spandrel_weak.h"

int main(int argc, char **argv) {
    CHECK(argc == 3);
    size_t size = strtoull(argv[1], NULL, 10), offset = strtoull(argv[2], NULL, 10);
    unsigned char *block = opaque(malloc(size));
    CHECK(block != NULL);
    fill(block, size, 1);
    free(block + offset);
    // A wrong free that only sits in a bin is noticed when the bin is flushed.
    spandrel_collect(true);
    CHECK(holds(block, size, 1));
    for (int i = 0; i < 2000; i++) {
        unsigned char *other = opaque(malloc(size < 40000 ? size : 8));
        CHECK(other + size <= block || other >= block + size);
    }
    free(block);
    spandrel_collect(true);
    return 0;
}
