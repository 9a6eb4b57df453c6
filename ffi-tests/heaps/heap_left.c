// Two heaps that nobody uses any more have blocks of each other in their batches: a thread freed them in the one while
// it used the other one. When one is destroyed or deleted, what it had of the other arrives there, what the other has
// of it is dropped or returns, the memory serves again, and the blocks that are live stay whole. It does not matter
// whether that thread lives on, and whether it was the one that ends the heap.
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
// env: SPANDREL_GUARDED_RATE=50
// run: no_idle_return
// env: SPANDREL_IDLE_RETURN=off
#include "heaps.h"

enum { MOST = 400, NEW = 150 };
static const size_t sizes[] = {16, 100, 3000};
// Fewer than a batch has, some of which stay in one, and several batches.
static const int counts[] = {2, 50, MOST};
enum { SIZES = sizeof sizes / sizeof *sizes, COUNTS = sizeof counts / sizeof *counts };

// The thread that frees the blocks.
enum who { MAIN, SLEEPS, ENDS, WHOS };

static spandrel_heap_t *ended, *other;
static struct held of_ended[MOST], of_other[MOST], fresh[NEW];
static int count;
static pthread_barrier_t turn;

static void make(spandrel_heap_t *heap, struct held *blocks, size_t size) {
    use_from(NULL, heap);
    for (int i = 0; i < count; i++) held_fill(&blocks[i], malloc(size), size, (size_t)i);
    use_from(heap, NULL);
}

static void check(struct held *blocks, spandrel_heap_t *heap) {
    for (int i = 0; i < count; i++) {
        if (blocks[i].at == NULL) continue;
        held_check(&blocks[i]);
        CHECK_WITH(spandrel_heap_of(blocks[i].at) == heap, i);
    }
}

// Frees each `step`th block in a heap that the thread leaves then.
static void free_in(spandrel_heap_t *heap, struct held *blocks, int step) {
    if (heap != NULL) use_from(NULL, heap);
    for (int i = 0; i < count; i += step) {
        free(blocks[i].at);
        blocks[i].at = NULL;
    }
    if (heap != NULL) use_from(heap, NULL);
}

static void free_crosswise(void) {
    free_in(other, of_ended, 2);
    free_in(ended, of_other, 2);
}

static void *free_beside(void *lives) {
    pthread_barrier_wait(&turn);
    free_crosswise();
    pthread_barrier_wait(&turn);
    if (lives != NULL) pthread_barrier_wait(&turn);
    return NULL;
}

static void check_live(spandrel_heap_t *heap, int live) {
    size_t more = settled(heap).live_blocks - (size_t)live;
    CHECK_WITH(more == 0 || !live_is_known(), more);
}

static void one_round(size_t size, bool destroys, enum who who) {
    pthread_t thread = who == MAIN ? pthread_self() : start(free_beside, who == SLEEPS ? &turn : NULL);
    size_t before = process_now().live_bytes;
    int64_t counted_before = 0, counted = 0;
    bool counts_blocks = spandrel_outstanding(&counted_before, NULL);
    ended = heap_new("ended", 0, 0);
    other = heap_new("other", 0, 0);
    make(ended, of_ended, size);
    make(other, of_other, size);
    if (who == MAIN) {
        free_crosswise();
    } else {
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn);
    }
    check(of_ended, ended);
    check(of_other, other);
    if (destroys) {
        destroy(ended);
        for (int i = 0; i < count; i++) of_ended[i].at = NULL;
    } else {
        CHECK(spandrel_heap_delete(ended) == 0);
    }
    // The next heap may get the records and the memory of that one.
    spandrel_heap_t *next = heap_new("next", 0, 0);
    for (int i = 0; i < NEW; i++) held_fill(&fresh[i], spandrel_heap_malloc(next, size), size, (size_t)i + 3);
    check_live(next, NEW);
    check_live(other, count / 2);
    check(of_ended, NULL);
    check(of_other, other);
    check_live(next, NEW);
    for (int i = 0; i < NEW; i++) held_check(&fresh[i]);
    if (!destroys) {
        for (int i = 0; i < count; i++) free(of_ended[i].at);
    }
    free_in(NULL, of_other, 1);
    check_live(other, 0);
    destroy(other);
    destroy(next);
    if (who == SLEEPS) pthread_barrier_wait(&turn);
    spandrel_safepoint(0);
    size_t now = process_now().live_bytes;
    // The blocks that libc frees for a thread at its end may go before or after.
    CHECK_WITH(now == before || (who == ENDS && now < before) || !live_is_known(), now - before);
    if (counts_blocks && who != ENDS) {
        CHECK(spandrel_outstanding(&counted, NULL));
        CHECK_WITH(counted == counted_before, counted - counted_before);
    }
    if (who != MAIN) join(thread);
}

int main(void) {
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    for (int k = 0; k < COUNTS; k++) {
        count = counts[k];
        for (int i = 0; i < SIZES; i++)
            for (enum who who = MAIN; who < WHOS; who++) {
                one_round(sizes[i], true, who);
                one_round(sizes[i], false, who);
            }
    }
    return 0;
}
