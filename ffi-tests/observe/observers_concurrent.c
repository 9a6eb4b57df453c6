// Statistics, trimming and collecting while other threads allocate, free and come and go (20).
// expect: exit 0
// variants: preload linked static
#include "threads.h"
#include "spandrel_weak.h"

static volatile int stop;

static void *work(void *seed) {
    while (!stop) churn((uintptr_t)seed, 1000, 128, (uintptr_t)seed % 2 ? 2000 : 200000);
    return NULL;
}

static void *brief(void *seed) {
    churn((uintptr_t)seed, 100, 32, 5000);
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++) threads[i] = start(work, (void *)(i + 1));
    FILE *sink = fopen("/dev/null", "w");
    CHECK(sink != NULL);
    for (uintptr_t round = 0; round < 150; round++) {
        struct spandrel_stats stats;
        pthread_t other = start(brief, (void *)round);
        CHECK(spandrel_stats(&stats, sizeof stats));
        CHECK(malloc_info(0, sink) == 0);
        struct mallinfo2 info = mallinfo2();
        CHECK(info.uordblks <= info.arena + info.hblkhd);
        (void)malloc_trim(0);
        spandrel_collect(round % 2);
        (void)spandrel_resident_bytes();
        join(other);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) join(threads[i]);
    fclose(sink);
    return 0;
}
