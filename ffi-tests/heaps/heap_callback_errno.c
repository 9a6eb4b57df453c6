// A call of free that reports a limit keeps errno, whatever the function that hears of it does (16): the soft limit of
// a heap, which a block meets that was moved there, and that of the process, which a block meets that grew in place.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
#include "heaps.h"

#define SIZE (4 * REGION)

// Not known to the compiler, which takes it that free changes nothing that the program sees.
static void (*volatile freed_by)(void *) = free;
static int calls;

static void change_errno(void) {
    calls++;
    errno = EAGAIN;
}

static void on_heap_limit(spandrel_heap_t *of, int limit, size_t held, size_t bytes, void *context) {
    (void)of, (void)held, (void)bytes, (void)context;
    CHECK(limit == SPANDREL_LIMIT_SOFT);
    change_errno();
}

static void on_limit(int limit, size_t held, size_t bytes) {
    (void)held, (void)bytes;
    CHECK(limit == SPANDREL_LIMIT_SOFT);
    change_errno();
}

static void check_free(void *block, int expected) {
    CHECK_WITH(calls == expected - 1, calls);
    errno = 1234;
    freed_by(block);
    CHECK_WITH(errno == 1234 && calls == expected, calls);
}

int main(void) {
    struct spandrel_heap_options options = {.name = "small", .soft_limit = REGION, .callback = on_heap_limit};
    spandrel_heap_t *heap = spandrel_heap_create(&options);
    CHECK(heap != NULL);
    void *outside = opaque(malloc(SIZE)), *other = opaque(malloc(SIZE));
    CHECK(spandrel_heap_move(heap, outside) == outside);
    check_free(other, 1);
    free(outside);
    destroy(heap);

    spandrel_set_limit_callback(on_limit);
    char *grows = (char *)opaque(malloc(64 * MIB));
    other = opaque(malloc(SIZE));
    memset(grows, 1, MIB);
    CHECK(spandrel_set_limits(80 * MIB, 0));
    CHECK((grows = (char *)opaque(realloc(grows, 128 * MIB))) != NULL);
    check_free(other, 2);
    free(grows);
    spandrel_set_limit_callback(NULL);
    return 0;
}
