// The function that hears of a limit uses other heaps, goes back to the one that it found, or leaves all: the call that
// it interrupts goes on, and the thread uses what it used before, or, where the function left that, no heap. No part
// stays taken: another thread may use both heaps afterwards, and they can be destroyed.
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x12
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: hardened
// env: SPANDREL_MODE=hardened
#include "heaps.h"

enum way { BACK, LEAVE, LEAVE_AND_BACK, ANOTHER, WAYS };

static spandrel_heap_t *used, *limited, *third;
static enum way way;
static int calls;

static void on_limit(spandrel_heap_t *of, int limit, size_t held, size_t bytes, void *context) {
    (void)held, (void)bytes, (void)context;
    CHECK(of == limited && limit == SPANDREL_LIMIT_HARD);
    spandrel_heap_t *found = spandrel_heap_current();
    CHECK(found == limited);
    calls++;
    switch (way) {
    case BACK:
        use_from(found, third);
        free(opaque(malloc(100)));
        use_from(third, found);
        break;
    case LEAVE: use_from(found, NULL); break;
    case LEAVE_AND_BACK:
        use_from(found, NULL);
        free(opaque(malloc(100)));
        use_from(NULL, found);
        break;
    default:
        use_from(found, NULL);
        use_from(NULL, third);
    }
}

static void *use_both(void *unused) {
    use_from(NULL, used);
    use_from(used, limited);
    free(opaque(malloc(1000)));
    return unused;
}

// The thread uses `above` heaps, and names the limited one in a call.
static void check(int above) {
    used = heap_new("used", 0, 0);
    third = heap_new("third", 0, 0);
    struct spandrel_heap_options options = {.name = "limited", .hard_limit = MIB, .callback = on_limit};
    CHECK((limited = spandrel_heap_create(&options)) != NULL);
    if (above == 2) use_from(NULL, limited);
    if (above > 0) use_from(spandrel_heap_current(), used);
    int before = calls;
    CHECK(opaque(spandrel_heap_malloc(limited, 2 * MIB)) == NULL && errno == ENOMEM);
    CHECK_WITH(calls == before + 1, calls);
    spandrel_heap_t *wanted = way == ANOTHER ? third : NULL;
    if (way == BACK && above > 0) wanted = used;
    // Where the heap that is named lies below, the function that goes back to it leaves what lies above.
    if (way == LEAVE_AND_BACK && above == 2) wanted = used;
    spandrel_heap_t *now = spandrel_heap_current();
    CHECK_WITH(now == wanted || (way == ANOTHER && above == 0 && now == NULL), way);
    void *block = opaque(malloc(500));
    CHECK(spandrel_heap_of(block) == now);
    free(block);
    CHECK(spandrel_heap_use(NULL) == now && spandrel_heap_current() == NULL);
    join(start(use_both, NULL));
    destroy(limited);
    destroy(used);
    destroy(third);
}

int main(void) {
    for (way = BACK; way < WAYS; way++)
        for (int above = 0; above < 3; above++) check(above);
    return 0;
}
