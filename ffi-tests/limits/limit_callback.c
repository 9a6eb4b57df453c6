// Limits set by the program: each calls the callback once, and the request at the hard limit succeeds by what it frees.
// expect: exit 0 stderr ALLOCATOR_PAGE_EXHAUSTION
#include "check.h"
#include "spandrel_weak.h"

enum { COUNT = 80 };
static void *cache[COUNT];
static int soft_calls, hard_calls;

static void on_limit(int limit, size_t held, size_t bytes) {
    if (limit == SPANDREL_LIMIT_SOFT) {
        CHECK(held > 16 * MIB && bytes == 16 * MIB);
        soft_calls++;
        return;
    }
    CHECK(limit == SPANDREL_LIMIT_HARD && bytes == 64 * MIB && held <= bytes);
    hard_calls++;
    // The callback may allocate, and is not called from within itself.
    free(opaque(malloc(100)));
    CHECK(malloc(70 * MIB) == NULL);
    for (int i = 0; i < COUNT; i++) {
        free(cache[i]);
        cache[i] = NULL;
    }
}

int main(void) {
    CHECK(!spandrel_set_limits(2 * MIB, MIB) && errno == EINVAL);
    CHECK(!spandrel_set_limits(MIB, MIB));
    CHECK(spandrel_set_limits(16 * MIB, 64 * MIB));
    spandrel_set_limit_callback(on_limit);
    for (int i = 0; i < COUNT; i++) {
        void *block = opaque(malloc(MIB));
        CHECK_WITH(block != NULL, i);
        cache[i] = block;
    }
    CHECK_WITH(soft_calls == 1, soft_calls);
    CHECK_WITH(hard_calls == 1, hard_calls);
    spandrel_set_limit_callback(NULL);
    CHECK(spandrel_set_limits(0, 0));
    void *direct = opaque(malloc(100 * MIB));
    CHECK(direct != NULL);
    free(direct);
    return 0;
}
