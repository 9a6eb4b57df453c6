// A thread that frees one block of another thread and no more still sends it, after some time of work on its own
// blocks.
// env: SPANDREL_IDLE_RETURN=off
// expect: exit 0
#include "spandrel_weak.h"
#include "threads.h"

// Ten rounds through more blocks than a bin holds make hundreds of refills and flushes.
enum { ROUNDS = 10, CLASSES = 4, OWN = 4000 };

static void *block;
static pthread_barrier_t turn;

static uint64_t sent(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.sent_blocks;
}

static void work(void) {
    static void *own[OWN];
    for (size_t size = 64; size < 64 + CLASSES * 160; size += 160) {
        for (int i = 0; i < OWN; i++) own[i] = opaque(malloc(size));
        for (int i = 0; i < OWN; i++) free(own[i]);
    }
}

static void *free_one_and_work(void *unused) {
    free(opaque(malloc(100)));
    free(block);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    for (int round = 0; round < ROUNDS; round++) work();
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    return unused;
}

int main(void) {
    block = opaque(malloc(1000));
    pthread_barrier_init(&turn, NULL, 2);
    pthread_t thread = start(free_one_and_work, NULL);
    pthread_barrier_wait(&turn);
    uint64_t before = sent();
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    CHECK_WITH(sent() > before, sent());
    pthread_barrier_wait(&turn);
    join(thread);
    return 0;
}
