// Above the soft limit of a heap its callback is called once, and again only after an eighth of the limit was free in
// between; requests are served all the same. Another heap with the same limit is not meant, and a limit that was raised
// is not reported.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
#include "heaps.h"

enum { COUNT = 40 };
#define SOFT (2 * MIB)
#define SIZE (4 * REGION)

static spandrel_heap_t *heap;
static void *blocks[COUNT];
static int calls;

static void on_limit(spandrel_heap_t *of, int limit, size_t held, size_t bytes, void *context) {
    CHECK(of == heap && limit == SPANDREL_LIMIT_SOFT && bytes == SOFT && context == blocks);
    CHECK_WITH(held > SOFT && (calls == 2 || held <= SOFT + 2 * SIZE), held);
    calls++;
    // Not called from within itself.
    free(opaque(spandrel_heap_malloc(heap, SIZE)));
}

static void take(int from, int to) {
    for (int i = from; i < to; i++) CHECK((blocks[i] = opaque(spandrel_heap_malloc(heap, SIZE))) != NULL);
}

static void give(int from, int to) {
    for (int i = from; i < to; i++) free(blocks[i]);
}

int main(void) {
    struct spandrel_heap_options options = {"soft", SOFT, 0, on_limit, blocks, 0, {0}};
    heap = spandrel_heap_create(&options);
    CHECK(heap != NULL);
    spandrel_heap_t *other = heap_new("other", 0, 0);
    CHECK(spandrel_heap_set_limits(other, SOFT, 0) == 0);
    for (int i = 0; i < COUNT; i++) free(opaque(spandrel_heap_malloc(other, SIZE)));
    // Sixteen blocks, or a little less with what comes with each, are the limit.
    take(0, 15);
    CHECK_WITH(calls == 0, bill_of(heap).held_bytes);
    take(15, COUNT);
    CHECK_WITH(calls == 1, calls);
    // Down to the limit less a little, and up again.
    give(16, COUNT);
    CHECK_WITH(bill_of(heap).held_bytes > SOFT - SOFT / 8, bill_of(heap).held_bytes);
    take(16, COUNT);
    CHECK_WITH(calls == 1, calls);
    // Down by more than an eighth below it.
    give(12, COUNT);
    CHECK_WITH(bill_of(heap).held_bytes < SOFT - SOFT / 8, bill_of(heap).held_bytes);
    take(12, COUNT);
    CHECK_WITH(calls == 2, calls);
    // A limit that is set anew is reported anew, without anything freed in between.
    CHECK(spandrel_heap_set_limits(heap, SOFT, 0) == 0);
    void *more = opaque(spandrel_heap_malloc(heap, SIZE));
    free(opaque(malloc(40 * MIB)));
    CHECK_WITH(calls == 3, calls);
    free(more);
    // A limit that a block met on its way from another heap, and that is raised before a request reports it.
    void *outside = opaque(malloc(SIZE));
    CHECK(spandrel_heap_set_limits(heap, SOFT, 0) == 0);
    CHECK(spandrel_heap_move(heap, outside) == outside);
    CHECK(spandrel_heap_set_limits(heap, 10 * SOFT, 0) == 0);
    free(opaque(malloc(40 * MIB)));
    CHECK_WITH(calls == 3, calls);
    CHECK(bill_of(heap).refusals == 0);
    destroy(heap);
    destroy(other);
    return 0;
}
