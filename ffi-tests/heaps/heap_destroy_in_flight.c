// Thread B freed blocks of a heap, which wait in its batches or in the inbox of the heap, when A destroys the heap and
// uses its memory again, for another heap and for the default one. B frees and allocates on and ends: nothing that A
// wrote changes, no block is handed out twice, and nobody reports a misuse.
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
// run: guarded_often
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=20
// env: SPANDREL_GUARDED_SLOTS=4096
// run: no_idle_return
// env: SPANDREL_IDLE_RETURN=off
// run: thread
// env: SPANDREL_IDLE_RETURN=thread
// env: SPANDREL_PURGE_DELAY=1
#include "heaps.h"

enum { MOST = 400, NEW = 300 };

static const size_t sizes[] = {16, 48, 1000, 3000, 9000};
static const int counts[] = {1, 2, 60, 122, 123, 124, 125, 250, MOST};
enum { SIZES = sizeof sizes / sizeof *sizes, COUNTS = sizeof counts / sizeof *counts };

static pthread_barrier_t turn;
static void *doomed[MOST];
static int count;
static spandrel_heap_t *of_b;
static bool ends;

static void wait_turn(void) { pthread_barrier_wait(&turn); }

// Frees blocks of the heap that is going to be destroyed, then lives on.
static void *be_b(void *stands) {
    if (stands != NULL) use_from(NULL, stands);
    wait_turn();
    for (int i = 0; i < count; i++) free(doomed[i]);
    wait_turn();
    // A destroys the heap and writes to its memory.
    wait_turn();
    if (!ends) {
        static struct held own[500];
        for (size_t i = 0; i < 500; i++) held_fill(&own[i], malloc(1 + i * 13 % 4000), 1 + i * 13 % 4000, i);
        for (size_t i = 0; i < 500; i++) held_check(&own[i]);
        for (size_t i = 0; i < 500; i++) free(own[i].at);
        spandrel_safepoint(0);
        spandrel_collect(false);
    }
    if (stands != NULL) use_from(stands, NULL);
    return NULL;
}

static struct held fresh[NEW];

// New blocks in the memory that became free, most of one class; how many lie where the old ones did.
static int fill_again(spandrel_heap_t *heap, size_t size, const uintptr_t *old) {
    int again = 0;
    for (int i = 0; i < NEW; i++) {
        size_t bytes = i % 8 == 7 ? 1 + (size_t)i * 5 % 3000 : size;
        held_fill(&fresh[i], spandrel_heap_malloc(i % 2 == 0 ? heap : NULL, bytes), bytes, (size_t)i);
        for (int k = 0; k < count; k++) again += (uintptr_t)fresh[i].at / REGION == old[k] / REGION;
    }
    return again;
}

static void check_fresh(spandrel_heap_t *heap) {
    for (int i = 0; i < NEW; i++) {
        held_check(&fresh[i]);
        CHECK_WITH(spandrel_heap_of(fresh[i].at) == (i % 2 == 0 ? heap : NULL), i);
    }
}

static int round_of(size_t size, spandrel_heap_t *stands) {
    spandrel_heap_t *heap = heap_new("doomed", 0, 0);
    static uintptr_t old[MOST];
    use_from(NULL, heap);
    for (int i = 0; i < count; i++) {
        doomed[i] = opaque(malloc(size));
        old[i] = (uintptr_t)doomed[i];
        memset(doomed[i], 0x11, size);
        // Some stay.
        opaque(malloc(size));
    }
    use_from(heap, NULL);
    pthread_t b = start(be_b, stands);
    wait_turn();
    wait_turn();
    destroy(heap);
    spandrel_heap_t *next = heap_new("next", 0, 0);
    int again = fill_again(next, size, old);
    wait_turn();
    check_fresh(next);
    join(b);
    check_fresh(next);
    // A block that B gave back is not handed out while it is live.
    static struct held more[NEW];
    for (int i = 0; i < NEW; i++) held_fill(&more[i], spandrel_heap_malloc(i % 2 == 0 ? next : NULL, size), size,
        (size_t)i + NEW);
    check_fresh(next);
    for (int i = 0; i < NEW; i++) held_check(&more[i]);
    for (int i = 0; i < NEW; i++) {
        free(fresh[i].at);
        free(more[i].at);
    }
    check_empty(next);
    destroy(next);
    return again;
}

int main(void) {
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    of_b = heap_new("of b", 0, 0);
    int again = 0;
    for (int i = 0; i < COUNTS; i++) {
        count = counts[i];
        for (int k = 0; k < SIZES; k++) {
            ends = (i + k) % 2 == 0;
            again += round_of(sizes[k], (i + k) % 3 == 0 ? of_b : NULL);
        }
    }
    // Memory was used again, or this proves nothing.
    CHECK_WITH(again > 0, again);
    destroy(of_b);
    return 0;
}
