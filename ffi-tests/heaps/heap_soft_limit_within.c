// A soft limit that a heap meets while its callback runs, by the callback's own requests or by those of another thread,
// is reported once after it, by a request of any thread: also where requests found it while the callback ran, and could
// not report it then.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
#include "heaps.h"

enum { COUNT = 20 };
#define SOFT (2 * MIB)
#define SIZE (4 * REGION)

static spandrel_heap_t *heap;
static void *blocks[COUNT];
static bool in_thread;
static int calls;

// A request that reports the limits which were met.
static void look(void) { free(opaque(malloc(40 * MIB))); }

static void take_all(void) {
    for (int i = 0; i < COUNT; i++) CHECK((blocks[i] = opaque(spandrel_heap_malloc(heap, SIZE))) != NULL);
}

static void give_all(void) {
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
}

// Down by more than an eighth below the limit, and up again.
static void *meet_again(void *unused) {
    give_all();
    take_all();
    look();
    return unused;
}

static void on_limit(spandrel_heap_t *of, int limit, size_t held, size_t bytes, void *context) {
    CHECK(of == heap && limit == SPANDREL_LIMIT_SOFT && context == blocks);
    CHECK_WITH(held > SOFT && bytes == SOFT, held);
    if (++calls > 1) return;
    if (in_thread) {
        join(start(meet_again, NULL));
    } else {
        meet_again(NULL);
    }
    CHECK_WITH(calls == 1, calls);
}

static void check(void) {
    struct spandrel_heap_options options = {
        .name = "met again", .callback = on_limit, .context = blocks, .flags = SPANDREL_HEAP_SHARED};
    CHECK((heap = spandrel_heap_create(&options)) != NULL);
    calls = 0;
    take_all();
    CHECK(spandrel_heap_set_limits(heap, SOFT, 0) == 0);
    void *more = opaque(spandrel_heap_malloc(heap, SIZE));
    look();
    look();
    CHECK_WITH(calls == 2, calls);
    look();
    CHECK_WITH(calls == 2, calls);
    free(more);
    give_all();
    destroy(heap);
}

int main(void) {
    check();
    in_thread = true;
    check();
    return 0;
}
