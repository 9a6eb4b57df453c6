// A heap that is not shared serves one thread at a time: another one that wants to use it, or names it in a call, gets
// EBUSY and nothing else happens; one line says so for each heap. A heap that a thread uses, at whatever depth, is
// neither destroyed nor deleted. It is free again when that thread has left it, or ended.
// expect: exit 0 stderr ALLOCATOR_HEAP_IN_USE x2
// says: ALLOCATOR_HEAP_IN_USE … in use
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

static pthread_barrier_t turn;
static spandrel_heap_t *heap, *below;
static struct held block;

static void wait_turn(void) { pthread_barrier_wait(&turn); }

static void *use_heap(void *unused) {
    use_from(NULL, below);
    use_from(below, heap);
    held_fill(&block, malloc(1000), 1000, 1);
    wait_turn();
    wait_turn();
    // Still above `below`, which nobody else may use either.
    use_from(heap, below);
    wait_turn();
    wait_turn();
    return unused;
}

static void check_in_use(spandrel_heap_t *of) {
    errno = 0;
    CHECK(spandrel_heap_use(of) == SPANDREL_HEAP_FAILED && errno == EBUSY);
    CHECK(spandrel_heap_current() == NULL);
    errno = 0;
    CHECK(opaque(spandrel_heap_malloc(of, 100)) == NULL && errno == EBUSY);
    errno = 0;
    CHECK(opaque(spandrel_heap_calloc(of, 1, 100)) == NULL && errno == EBUSY);
    errno = 0;
    CHECK(opaque(spandrel_heap_aligned_alloc(of, 64, 100)) == NULL && errno == EBUSY);
    void *own = opaque(malloc(50));
    memset(own, 7, 50);
    errno = 0;
    CHECK(opaque(spandrel_heap_realloc(of, own, 5000)) == NULL && errno == EBUSY);
    errno = 0;
    CHECK(opaque(spandrel_heap_move(of, own)) == NULL && errno == EBUSY);
    CHECK(spandrel_heap_of(own) == NULL && ((char *)own)[49] == 7);
    free(own);
    CHECK(spandrel_heap_destroy(of) == EBUSY);
    CHECK(spandrel_heap_delete(of) == EBUSY);
    CHECK(bill_of(of).users == 1);
}

int main(void) {
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    heap = heap_new("in use", 0, 0);
    below = heap_new("below, in use", 0, 0);
    pthread_t user = start(use_heap, NULL);
    wait_turn();
    check_in_use(heap);
    check_in_use(below);
    // Blocks of a heap in use may be freed and resized by anybody.
    held_check(&block);
    unsigned char *moved = opaque(realloc(block.at, 100000));
    CHECK(moved != NULL && holds(moved, 1000, 1) && spandrel_heap_of(moved) == NULL);
    free(moved);
    wait_turn();
    wait_turn();
    // The other thread left it.
    use_from(NULL, heap);
    free(opaque(malloc(100)));
    use_from(heap, NULL);
    CHECK(bill_of(heap).users == 0 && bill_of(below).users == 1);
    destroy(heap);
    wait_turn();
    join(user);
    use_from(NULL, below);
    use_from(below, NULL);
    destroy(below);
    return 0;
}
