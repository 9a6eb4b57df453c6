// A signal handler that interrupted malloc frees blocks of a heap, which are deferred, and stays in the handler while
// another thread destroys the heap and uses its memory again: what that thread wrote stays as it is, no block is handed
// out twice, and nobody reports a misuse. Junk keeps the interrupted thread inside the allocator.
// env: SPANDREL_JUNK=1
// expect: exit 0
// run: small
// args: 64
// run: several_regions
// args: 3000
// run: large
// args: 100000
// run: guarded_often
// args: 64
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=2
// env: SPANDREL_GUARDED_SLOTS=4096
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include "heaps.h"

enum { COUNT = 40, ROUNDS = 40, NEW = 400, NEW_LARGE = 40 };

static size_t size, fresh_count;
static void *doomed[COUNT];
static _Atomic int step;
static _Atomic bool stop;

static void nap(void) {
    struct timespec time = {0, 50000};
    nanosleep(&time, NULL);
}

// Steps: 0 nothing, 1 the handler is wanted, 2 it freed the blocks, 3 their memory is in use again, 4 the handler is
// over.
static void on_signal(int number) {
    (void)number;
    int kept = errno;
    for (int i = 0; i < COUNT; i++) free(doomed[i]);
    atomic_store(&step, 2);
    // Not for ever: the other thread may need a lock that this one holds.
    for (int i = 0; i < 200 && atomic_load(&step) == 2; i++) nap();
    errno = kept;
    atomic_store(&step, 4);
}

static void *be_interrupted(void *unused) {
    while (!atomic_load(&stop)) {
        void *block = opaque(malloc(700000));
        free(block);
        churn((uintptr_t)block >> 12, 20, 8, 500);
    }
    return unused;
}

static void one_round(pthread_t thread) {
    static struct held fresh[NEW];
    spandrel_heap_t *heap = heap_new("doomed", 0, 0);
    for (int i = 0; i < COUNT; i++) doomed[i] = opaque(spandrel_heap_malloc(heap, size));
    for (int i = 0; i < COUNT; i++) opaque(spandrel_heap_malloc(heap, size));
    atomic_store(&step, 1);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    while (atomic_load(&step) == 1) nap();
    destroy(heap);
    spandrel_heap_t *next = heap_new("next", 0, 0);
    for (size_t i = 0; i < fresh_count; i++) held_fill(&fresh[i], spandrel_heap_malloc(i % 2 == 0 ? next : NULL,
        size), size, i);
    int seen = 2;
    atomic_compare_exchange_strong(&step, &seen, 3);
    while (atomic_load(&step) != 4) nap();
    for (size_t i = 0; i < fresh_count; i++) held_check(&fresh[i]);
    // The deferred frees are done by now, or by these calls.
    for (int i = 0; i < 4; i++) free(opaque(malloc(500000)));
    for (size_t i = 0; i < fresh_count; i++) held_check(&fresh[i]);
    for (size_t i = 0; i < fresh_count; i++) free(fresh[i].at);
    destroy(next);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size = strtoull(argv[1], NULL, 10);
    fresh_count = size > 32 * KIB ? NEW_LARGE : NEW;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t thread = start(be_interrupted, NULL);
    usleep(1000);
    for (int i = 0; i < ROUNDS; i++) one_round(thread);
    atomic_store(&stop, true);
    join(thread);
    return 0;
}
