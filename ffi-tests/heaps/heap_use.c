// Requests of a thread are those of the heap that it uses, by every function; heaps nest, and going back to one leaves
// all above it. A thread that ends while it uses heaps leaves them, and their blocks stay.
// expect: exit 0
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

static spandrel_heap_t *a, *b, *c;

static void check_requests(spandrel_heap_t *heap) {
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
        size_t size = HEAP_SIZES[i];
        void *blocks[6] = {malloc(size), calloc(1, size), aligned_alloc(64, size), memalign(4096, size),
            realloc(NULL, size)};
        CHECK(posix_memalign(&blocks[5], 32, size) == 0);
        for (int k = 0; k < 6; k++) {
            CHECK(blocks[k] != NULL);
            CHECK_WITH(spandrel_heap_of(opaque(blocks[k])) == heap, k);
        }
        for (int k = 0; k < 6; k++) free(blocks[k]);
    }
    char *text = opaque(strdup("libc's own requests, too"));
    CHECK(spandrel_heap_of(text) == heap);
    free(text);
}

static void check_users(size_t of_a, size_t of_b, size_t of_c) {
    CHECK(bill_of(a).users == of_a && bill_of(b).users == of_b && bill_of(c).users == of_c);
}

static void check_nesting(void) {
    CHECK(spandrel_heap_current() == NULL);
    use_from(NULL, a);
    check_requests(a);
    use_from(a, b);
    check_requests(b);
    use_from(b, c);
    check_requests(c);
    check_users(1, 1, 1);
    use_from(c, c);
    use_from(c, b);
    check_users(1, 1, 0);
    check_requests(b);
    use_from(b, c);
    // Below both of them.
    use_from(c, a);
    check_users(1, 0, 0);
    check_requests(a);
    use_from(a, b);
    use_from(b, NULL);
    check_users(0, 0, 0);
    check_requests(NULL);
    use_from(NULL, NULL);
}

static unsigned char *left[HEAP_SIZE_COUNT];

static void *end_inside(void *unused) {
    use_from(NULL, a);
    use_from(a, b);
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
        left[i] = opaque(malloc(HEAP_SIZES[i]));
        left[i][0] = left[i][HEAP_SIZES[i] - 1] = (unsigned char)i;
    }
    return unused;
}

static void *exit_once(void *unused) { pthread_exit(unused); }

static pthread_key_t key;

static void allocate_at_end(void *unused) {
    (void)unused;
    free(opaque(malloc(100)));
    free(opaque(malloc(100000)));
}

static void *end_allocating(void *unused) {
    CHECK(pthread_setspecific(key, &key) == 0);
    end_inside(unused);
    pthread_exit(NULL);
}

static void check_end(void *(*body)(void *)) {
    join(start(body, NULL));
    check_users(0, 0, 0);
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) {
        CHECK(spandrel_heap_of(left[i]) == b);
        CHECK(left[i][0] == (unsigned char)i && left[i][HEAP_SIZES[i] - 1] == (unsigned char)i);
        if (i % 2 == 0) free(left[i]);
    }
    // Another thread takes the heap over.
    use_from(NULL, b);
    for (int i = 1; i < HEAP_SIZE_COUNT; i += 2) free(left[i]);
    check_requests(b);
    use_from(b, NULL);
}

// A thread that never stood on the default heap.
static void *begin_with_heap(void *heap) {
    use_from(NULL, heap);
    check_requests(heap);
    use_from(heap, NULL);
    check_requests(NULL);
    return NULL;
}

int main(void) {
    a = heap_new("a", 0, 0);
    b = heap_new("b", 0, 0);
    c = heap_new("c", 0, 0);
    // The first call loads a library, which stays; it must not lie in a heap.
    join(start(exit_once, NULL));
    check_nesting();
    check_end(end_inside);
    CHECK(pthread_key_create(&key, allocate_at_end) == 0);
    struct held block;
    held_fill(&block, spandrel_heap_malloc(a, 500), 500, 1);
    use_from(NULL, b);
    use_from(b, NULL);
    join(start(end_allocating, NULL));
    check_users(0, 0, 0);
    held_check(&block);
    free(block.at);
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) free(left[i]);
    join(start(begin_with_heap, c));
    check_empty(a);
    check_empty(b);
    check_empty(c);
    destroy(a);
    destroy(b);
    destroy(c);
    return 0;
}
