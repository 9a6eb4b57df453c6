// A thread's blocks outlive it; others free a few of them and end: short batches must not be counted as full ones (20).
// expect: exit 0
#include "spandrel_weak.h"
#include "threads.h"

enum { MADE = 2000, FREED = 4, SIZE = 512 };
static void *blocks[MADE];

static void *make(void *unused) {
    for (int i = 0; i < MADE; i++) blocks[i] = opaque(malloc(SIZE));
    return unused;
}

static void *free_one(void *block) {
    free(block);
    return NULL;
}

static size_t live(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.live_bytes;
}

int main(void) {
    join(start(make, NULL));
    for (int i = 0; i < FREED; i++) join(start(free_one, blocks[i]));
    size_t now = live(), expected = (size_t)(MADE - FREED) * SIZE;
    CHECK_WITH(now >= expected && now < expected + 16 * KIB, now);
    for (int i = FREED; i < MADE; i++) free(blocks[i]);
    spandrel_collect(true);
    CHECK_WITH(live() < 16 * KIB, live());
    return 0;
}
