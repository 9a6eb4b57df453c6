// A shared heap serves eight threads at once, which free one another's blocks, come and go; its limit holds to the span
// at every moment all the same, it counts its users and parts, and it cannot be destroyed while one thread uses it.
// In a static program the stack of a sample takes mode guarded milliseconds, so there are few samples.
// timeout: 60
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT|ALLOCATOR_HEAP_IN_USE x2
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
// env: SPANDREL_GUARDED_RATE=100000
// run: no_idle_return
// env: SPANDREL_IDLE_RETURN=off
#include <stdatomic.h>
#include "heaps.h"

enum { THREADS = 8, PLACES = 1024, STEPS = 12000, LIVES = 3, GREEDY = 3000 };
#define HARD (24 * MIB)

static spandrel_heap_t *heap;
static pthread_barrier_t all;
static _Atomic int ended;
static _Atomic(unsigned char *) places[PLACES];
static _Atomic uint64_t refused;

// A block carries its size in front and the low byte of it at its end.
static unsigned char *make(size_t size) {
    unsigned char *block = opaque(malloc(size));
    if (block == NULL) {
        CHECK_WITH(errno == ENOMEM, errno);
        atomic_fetch_add(&refused, 1);
        return NULL;
    }
    memcpy(block, &size, sizeof size);
    block[size - 1] = (unsigned char)size;
    return block;
}

static void unmake(unsigned char *block) {
    size_t size;
    memcpy(&size, block, sizeof size);
    CHECK_WITH(size > sizeof size && block[size - 1] == (unsigned char)size, size);
    CHECK(spandrel_heap_of(block) == heap);
    free(block);
}

static void *work(void *number) {
    uint64_t state = (uintptr_t)number * 7919 + 3;
    use_from(NULL, heap);
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&all);
    for (int i = 0; i < STEPS; i++) {
        size_t size = 9 + next_random(&state) % (i % 50 == 0 ? 200000 : 1500);
        unsigned char *mine = make(size);
        unsigned char *other = atomic_exchange(&places[next_random(&state) % PLACES], mine);
        if (other != NULL) unmake(other);
    }
    // As much as there is, at the same time as all others.
    static _Thread_local unsigned char *greedy[GREEDY];
    for (int i = 0; i < GREEDY; i++) greedy[i] = make(9 + next_random(&state) % 60000);
    for (int i = 0; i < GREEDY; i++)
        if (greedy[i] != NULL) unmake(greedy[i]);
    // Some leave it, others end inside.
    if ((uintptr_t)number % 2 == 0) use_from(heap, NULL);
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void watch(void) {
    struct spandrel_heap_stats bill;
    size_t parts = 0;
    while (atomic_load(&ended) < THREADS) {
        CHECK(spandrel_heap_stats(heap, &bill, sizeof bill) == 0);
        CHECK_WITH(bill.held_bytes <= HARD && bill.peak_bytes <= HARD, bill.held_bytes);
        CHECK(bill.users <= THREADS && bill.parts >= parts);
        parts = bill.parts;
        usleep(100);
    }
}

int main(void) {
    heap = heap_new("shared by eight", HARD, SPANDREL_HEAP_SHARED);
    CHECK(pthread_barrier_init(&all, NULL, THREADS + 1) == 0);
    for (int life = 0; life < LIVES; life++) {
        pthread_t threads[THREADS];
        atomic_store(&ended, 0);
        for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(work, (void *)(i + (uintptr_t)life * THREADS));
        pthread_barrier_wait(&all);
        CHECK_WITH(bill_of(heap).users == THREADS && bill_of(heap).parts == THREADS, bill_of(heap).parts);
        CHECK(spandrel_heap_destroy(heap) == EBUSY && spandrel_heap_delete(heap) == EBUSY);
        pthread_barrier_wait(&all);
        watch();
        for (int i = 0; i < THREADS; i++) join(threads[i]);
        CHECK(bill_of(heap).users == 0);
    }
    CHECK_WITH(atomic_load(&refused) > 0, bill_of(heap).peak_bytes);
    size_t live = 0;
    use_from(NULL, heap);
    for (int i = 0; i < PLACES; i++) {
        if (atomic_load(&places[i]) != NULL) live += malloc_usable_size(atomic_load(&places[i]));
    }
    CHECK_WITH(bill_of(heap).live_bytes >= live, live);
    for (int i = 0; i < PLACES; i += 2)
        if (atomic_load(&places[i]) != NULL) unmake(atomic_load(&places[i]));
    use_from(heap, NULL);
    destroy(heap);
    CHECK(spandrel_heap_list(NULL, 0) == 0);
    return 0;
}
