// A block was freed and flushed to the bitmap of its span. Freed again, it is caught when it reaches the bitmap.
// run: abort
// args: 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: big_class
// args: 8000
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

#define COUNT 20000

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size_t size = strtoull(argv[1], NULL, 10);
    static void *around[64];
    for (int i = 0; i < 64; i++) around[i] = opaque(malloc(size));
    void *stale = around[32];
    static void *others[COUNT];
    for (int i = 0; i < COUNT; i++) others[i] = opaque(malloc(size));
    free(stale);
    for (int i = 0; i < COUNT; i++) if (i % 8) free(others[i]);
    free(opaque(stale));
    // One in eight stayed alive until now, so that the spans did too.
    for (int i = 0; i < COUNT; i++) if (i % 8 == 0) free(others[i]);
    spandrel_collect(true);
    return 0;
}
