// With no metadata left for batches, remote frees wait with the thread that made them; once there is some again, all
// reach their owner.
// env: SPANDREL_PROFILE=freestanding
// env: SPANDREL_POOL=4M
// expect: exit 0 stderr ALLOCATOR_REMOTE_FREE_OVERFLOW|ALLOCATOR_PAGE_EXHAUSTION x2
#include <stdatomic.h>
#include "threads.h"
#include "spandrel_weak.h"

enum { THREADS_MAX = 200, EACH = 20 };

static void *blocks[THREADS_MAX][EACH];
static atomic_int done, end;

static void *body(void *number) {
    for (int i = 0; i < EACH; i++) blocks[(uintptr_t)number][i] = opaque(malloc(64));
    atomic_fetch_add(&done, 1);
    while (!atomic_load(&end)) usleep(1000);
    return NULL;
}

int main(void) {
    static pthread_t threads[THREADS_MAX];
    struct spandrel_stats stats;
    int count = 0;
    // Until a thread gets no heap, for which there must be 8 KiB of metadata.
    do {
        CHECK(count < THREADS_MAX);
        threads[count] = start(body, (void *)(uintptr_t)count);
        count++;
        while (atomic_load(&done) < count) usleep(100);
    } while (blocks[count - 1][0] != NULL);
    CHECK(count > 10);
    for (int thread = 0; thread < count; thread++)
        for (int i = 0; i < EACH; i++) free(blocks[thread][i]);
    atomic_store(&end, 1);
    for (int thread = 0; thread < count; thread++) join(threads[thread]);
    spandrel_collect(true);
    for (int i = 0; i < 1000; i++) free(opaque(malloc((size_t)i * 8)));
    spandrel_collect(true);
    CHECK(spandrel_stats(&stats, sizeof stats));
    // Blocks that libc keeps for its threads, but none of ours.
    CHECK_WITH(stats.live_bytes < (size_t)count * 64, stats.live_bytes);
    return 0;
}
