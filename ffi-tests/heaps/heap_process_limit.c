// The hard limit of the process bounds all heaps together: at it a heap without a limit of its own gets NULL and
// ENOMEM, nothing comes from libc, and creating a heap fails in the same way or serves. A heap that is destroyed makes
// room for others. At a heap's own limit a refusal is the process's where that is met first.
// expect: exit 0 stderr ALLOCATOR_PAGE_EXHAUSTION
// variants: preload linked static
// run: hard_limit
// env: SPANDREL_HARD_LIMIT=32M
// run: pool
// env: SPANDREL_PROFILE=freestanding
// env: SPANDREL_POOL=32M
#include "heaps.h"

enum { MANY = 2000 };

// Takes all there is in blocks of `size`; the bytes there were.
static size_t use_up(spandrel_heap_t *heap, size_t size) {
    size_t total = 0;
    for (;;) {
        errno = 0;
        void *block = opaque(spandrel_heap_malloc(heap, size));
        if (block == NULL) break;
        CHECK(spandrel_heap_of(block) == heap);
        memset(block, 1, size < 4096 ? size : 4096);
        total += size;
        CHECK(total <= 32 * MIB);
    }
    CHECK_WITH(errno == ENOMEM, errno);
    return total;
}

int main(void) {
    static const size_t sizes[] = {64, 1000, 20000, 130000, 1024 * 1024};
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            spandrel_heap_t *first = heap_new("first", 0, 0), *second = heap_new("second", 0, 0);
            size_t total = use_up(first, sizes[i]);
            CHECK_WITH(total > 22 * MIB, total);
            CHECK(use_up(second, sizes[i]) < 2 * MIB);
            CHECK(bill_of(first).held_bytes <= 32 * MIB && bill_of(first).refusals == 0);
            destroy(first);
            CHECK_WITH(use_up(second, sizes[i]) > 20 * MIB, sizes[i]);
            size_t held = bill_of(second).held_bytes;
            destroy(second);
            // Room for one more span or block, which the process does not have.
            spandrel_heap_t *limited = heap_new("limited", held + 2 * MIB, 0);
            use_up(limited, sizes[i]);
            CHECK_WITH(bill_of(limited).held_bytes + MIB <= held + 2 * MIB, bill_of(limited).held_bytes);
            CHECK_WITH(bill_of(limited).refusals == 0, sizes[i]);
            destroy(limited);
        }
    // Heaps themselves need memory, too: those that there is room for can be used and destroyed.
    static spandrel_heap_t *made[MANY];
    size_t count = 0;
    spandrel_heap_t *full = heap_new("full", 0, 0);
    use_up(full, 20000);
    struct spandrel_heap_options options = {.name = "one of many"};
    while (count < MANY && (made[count] = spandrel_heap_create(&options)) != NULL) count++;
    CHECK(count == MANY || errno == ENOMEM);
    destroy(full);
    for (size_t i = 0; i < count; i++) {
        void *block = opaque(spandrel_heap_malloc(made[i], 100));
        CHECK(block != NULL || errno == ENOMEM);
        CHECK(block == NULL || spandrel_heap_of(block) == made[i]);
    }
    for (size_t i = 0; i < count; i++) destroy(made[i]);
    free(opaque(malloc(10 * MIB)));
    return 0;
}
