// A hard limit holds to the span, in every lane and by every function: what the heap holds is never more; a request
// that needs more gets NULL and ENOMEM, nothing comes from libc, the callback hears of it, one line names the heap; and
// what is freed serves again. A request is refused only where one more span, or the large block, would be too much.
// run: fast
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x12
// says: ALLOCATOR_HEAP_LIMIT … limited to the span
// run: counting
// env: SPANDREL_MODE=counting
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x12
// run: tracked
// env: SPANDREL_MODE=tracked
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x12
// run: hardened
// env: SPANDREL_MODE=hardened
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x12
// run: guarded
// env: SPANDREL_MODE=guarded
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x12
// run: pool
// env: SPANDREL_PROFILE=freestanding
// env: SPANDREL_POOL=64M
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x12
// variants: preload linked static
#include "heaps.h"

enum { MOST = 300000 };
// The largest span has so many bytes, or fewer.
#define SPAN_MAX (512 * KIB)

static const size_t sizes[] = {8, 100, 1000, 2600, 20000, 32768, 33000, 100000, 300000, 1024 * 1024};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void *blocks[MOST];
static int calls;
static spandrel_heap_t *heap;
static size_t hard;

static void on_limit(spandrel_heap_t *of, int limit, size_t held, size_t bytes, void *context) {
    CHECK(of == heap && limit == SPANDREL_LIMIT_HARD && context == &calls);
    CHECK_WITH(held <= hard && bytes == hard, bytes);
    calls++;
    // It may allocate, from other heaps as well.
    free(opaque(spandrel_heap_malloc(NULL, 100)));
}

static void *request(unsigned way, size_t size) {
    void *block = NULL;
    switch (way % 6) {
    case 0: return malloc(size);
    case 1: return spandrel_heap_malloc(heap, size);
    case 2: return spandrel_heap_calloc(heap, 1, size);
    case 3: return spandrel_heap_aligned_alloc(heap, 64, size);
    case 4: return realloc(NULL, size);
    default: errno = posix_memalign(&block, 32, size); return block;
    }
}

static void check_held(void) {
    struct spandrel_heap_stats bill = bill_of(heap);
    CHECK_WITH(bill.held_bytes <= hard && bill.peak_bytes <= hard, bill.held_bytes);
}

// Takes all there is; how many blocks there were.
static int use_up(size_t size, unsigned way) {
    int count = 0;
    for (;; count++) {
        CHECK(count < MOST);
        errno = 0;
        blocks[count] = opaque(request(way, size));
        if (count % 64 == 0 || size > 4 * KIB) check_held();
        if (blocks[count] == NULL) break;
        CHECK(spandrel_heap_of(blocks[count]) == heap);
        memset(blocks[count], 0x77, size);
    }
    CHECK_WITH(errno == ENOMEM, errno);
    return count;
}

static void check_size(size_t size, unsigned way) {
    struct spandrel_heap_options options = {"limited to the span", 0, hard, on_limit, &calls, 0, {0}};
    heap = spandrel_heap_create(&options);
    CHECK(heap != NULL);
    use_from(NULL, heap);
    calls = 0;
    int first = use_up(size, way);
    CHECK(calls >= 1 && bill_of(heap).refusals >= 1);
    // The need of one more, and the memory of other heaps of the process, are not part of it.
    CHECK_WITH(bill_of(heap).held_bytes + size + SPAN_MAX > hard, bill_of(heap).held_bytes);
    CHECK_WITH((size_t)first * size > hard / 3, (size_t)first * size);
    CHECK(opaque(malloc(hard + 1)) == NULL && errno == ENOMEM);
    CHECK(opaque(spandrel_heap_malloc(heap, 40 * MIB)) == NULL);
    void *outside = opaque(spandrel_heap_malloc(NULL, 4 * MIB));
    CHECK(outside != NULL && spandrel_heap_of(outside) == NULL);
    free(outside);
    for (int i = 0; i < first; i += 2) free(blocks[i]);
    for (int i = 0; i < first; i += 2) {
        blocks[i] = opaque(request(way, size));
        // Quarantined memory is not back yet.
        CHECK_WITH(blocks[i] != NULL || strcmp(spandrel_mode(), "hardened") == 0, i);
    }
    check_held();
    for (int i = 0; i < first; i++) free(blocks[i]);
    check_held();
    use_from(heap, NULL);
    destroy(heap);
}

// A block that grows, in place or not, is held to the limit, and stays as it was where it may not.
static void check_growth(void) {
    heap = heap_new("limited to the span", hard, 0);
    use_from(NULL, heap);
    size_t size = 64 * KIB;
    unsigned char *block = opaque(malloc(size));
    fill(block, 64 * KIB, 9);
    for (;;) {
        unsigned char *grown = opaque(realloc(block, size + 64 * KIB));
        check_held();
        if (grown == NULL) break;
        block = grown;
        size += 64 * KIB;
        CHECK(size <= hard);
    }
    CHECK_WITH(errno == ENOMEM && size >= hard / 3, size);
    CHECK(holds(block, 64 * KIB, 9) && malloc_usable_size(block) >= size);
    block = opaque(realloc(block, 64 * KIB));
    CHECK(block != NULL && holds(block, 64 * KIB, 9));
    check_held();
    free(block);
    use_from(heap, NULL);
    destroy(heap);
}

// A limit that is set below what is held refuses all that needs a span, until enough is freed; one that is lifted is
// gone.
static void check_change(void) {
    heap = heap_new("limited to the span", 0, 0);
    enum { COUNT = 64 };
    for (int i = 0; i < COUNT; i++) CHECK((blocks[i] = opaque(spandrel_heap_malloc(heap, 60000))) != NULL);
    size_t held = bill_of(heap).held_bytes;
    CHECK(spandrel_heap_set_limits(heap, 0, held / 2) == 0);
    CHECK(bill_of(heap).held_bytes == held);
    CHECK(opaque(spandrel_heap_malloc(heap, 60000)) == NULL && errno == ENOMEM);
    CHECK(bill_of(heap).held_bytes == held);
    for (int i = COUNT / 4; i < COUNT; i++) free(blocks[i]);
    if (strcmp(spandrel_mode(), "hardened") != 0) {
        CHECK((blocks[COUNT / 4] = opaque(spandrel_heap_malloc(heap, 60000))) != NULL);
        CHECK(bill_of(heap).held_bytes <= held / 2);
    }
    CHECK(spandrel_heap_set_limits(heap, 0, 0) == 0);
    for (int i = COUNT / 2; i < COUNT; i++) CHECK((blocks[i] = opaque(spandrel_heap_malloc(heap, 60000))) != NULL);
    destroy(heap);
}

int main(void) {
    hard = 2 * MIB;
    for (unsigned i = 0; i < SIZES; i++) check_size(sizes[i], i);
    check_growth();
    check_change();
    return 0;
}
