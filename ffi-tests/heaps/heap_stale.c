// A handle of a heap that was destroyed or deleted, or of none, is an error in every call, even when later heaps took
// its place; one line says so.
// expect: exit 0 stderr ALLOCATOR_HEAP_GONE
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: hardened
// env: SPANDREL_MODE=hardened
// run: guarded
// env: SPANDREL_MODE=guarded
#include "heaps.h"

enum { LATER = 300 };

static void check_stale(spandrel_heap_t *heap) {
    struct spandrel_heap_stats bill;
    void *own = opaque(malloc(100));
    memset(own, 3, 100);
    CHECK(spandrel_heap_destroy(heap) == EINVAL);
    CHECK(spandrel_heap_delete(heap) == EINVAL);
    CHECK(spandrel_heap_set_limits(heap, 0, MIB) == EINVAL);
    CHECK(spandrel_heap_stats(heap, &bill, sizeof bill) == EINVAL);
    errno = 0;
    CHECK(spandrel_heap_use(heap) == SPANDREL_HEAP_FAILED && errno == EINVAL);
    CHECK(spandrel_heap_current() == NULL);
    errno = 0;
    CHECK(opaque(spandrel_heap_malloc(heap, 10)) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(opaque(spandrel_heap_calloc(heap, 1, 10)) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(opaque(spandrel_heap_aligned_alloc(heap, 64, 10)) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(opaque(spandrel_heap_realloc(heap, own, 1000)) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(opaque(spandrel_heap_move(heap, own)) == NULL && errno == EINVAL);
    CHECK(((char *)own)[99] == 3);
    free(own);
}

int main(void) {
    spandrel_heap_t *destroyed = heap_new("destroyed", 0, 0), *deleted = heap_new("deleted", 0, 0);
    free(opaque(spandrel_heap_malloc(destroyed, 100)));
    free(opaque(spandrel_heap_malloc(deleted, 100)));
    destroy(destroyed);
    CHECK(spandrel_heap_delete(deleted) == 0);
    check_stale(destroyed);
    check_stale(deleted);
    static spandrel_heap_t *later[LATER];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < LATER; i++) {
            later[i] = heap_new("later", 0, 0);
            CHECK(later[i] != destroyed && later[i] != deleted);
        }
        check_stale(destroyed);
        check_stale(deleted);
        for (int i = 0; i < LATER; i++) destroy(later[i]);
        check_stale(later[round]);
    }
    CHECK(spandrel_heap_destroy(NULL) == EINVAL && spandrel_heap_delete(NULL) == EINVAL);
    CHECK(spandrel_heap_set_limits(NULL, 0, MIB) == EINVAL);
    int local;
    check_stale((spandrel_heap_t *)(void *)&local);
    check_stale((spandrel_heap_t *)(uintptr_t)8);
    return 0;
}
