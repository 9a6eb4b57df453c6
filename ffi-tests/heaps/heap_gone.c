// A block whose heap was destroyed is reported when it is freed, as a double free is, with the reason, as long
// as its memory was not used again.
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_GONE
// run: free_small
// args: free 100
// says: ALLOCATOR_HEAP_GONE … its heap was destroyed
// run: free_several_regions
// args: free 3000
// says: ALLOCATOR_HEAP_GONE … its heap was destroyed
// run: free_large
// args: free 100000
// says: ALLOCATOR_HEAP_GONE … its heap was destroyed
// run: free_by_another_thread
// args: thread 100
// says: ALLOCATOR_HEAP_GONE … its heap was destroyed
// run: realloc
// args: realloc 100
// says: ALLOCATOR_HEAP_GONE … its heap was destroyed
// run: measure_large
// args: measure 100000
// says: ALLOCATOR_HEAP_GONE … its heap was destroyed
// run: report
// args: free 100
// says: ALLOCATOR_HEAP_GONE … its heap was destroyed
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_HEAP_GONE
// run: ignore
// args: ignore 100
// env: SPANDREL_ON_ERROR=ignore
// expect: exit 0
// variants: preload linked static
#include "heaps.h"

static pthread_barrier_t turn;
static void *gone;

// Begins before the heap ends, for what a thread allocates may lie in its memory.
static void *free_it(void *unused) {
    pthread_barrier_wait(&turn);
    free(opaque(gone));
    return unused;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    size_t size = strtoull(argv[2], NULL, 10);
    spandrel_heap_t *heap = heap_new("destroyed", 0, 0);
    // More than a span, so that it is not the last thing that was given back.
    static void *blocks[200];
    for (int i = 0; i < 200; i++) blocks[i] = opaque(spandrel_heap_malloc(heap, size));
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    bool by_thread = strcmp(argv[1], "thread") == 0;
    pthread_t other = by_thread ? start(free_it, NULL) : pthread_self();
    gone = blocks[100];
    destroy(heap);
    if (by_thread) {
        pthread_barrier_wait(&turn);
        join(other);
    } else {
        if (strcmp(argv[1], "realloc") == 0) gone = realloc(opaque(gone), 4000);
        if (strcmp(argv[1], "measure") == 0) CHECK(malloc_usable_size(opaque(gone)) == 0);
        free(opaque(gone));
    }
    // Nothing was harmed.
    churn(1, 2000, 200, 5000);
    spandrel_heap_t *next = heap_new("next", 0, 0);
    use_from(NULL, next);
    churn(2, 2000, 200, 5000);
    use_from(next, NULL);
    destroy(next);
    return 0;
}
