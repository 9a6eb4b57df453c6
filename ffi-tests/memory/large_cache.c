// Large blocks that were freed wait for the next ones: no page faults in a steady state, counted as dirty, given back
// by malloc_trim and above a soft limit, and there for another thread before a call fails at the hard limit (34).
// expect: exit 0
// run: steady
// args: steady
// run: trimmed
// args: trimmed
// env: SPANDREL_PURGE_DELAY=never
// run: limited
// args: limited
// env: SPANDREL_HARD_LIMIT=8M
// run: above_soft_limit
// args: above_soft_limit
// env: SPANDREL_PURGE_DELAY=never
// env: SPANDREL_SOFT_LIMIT=16M
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include "check.h"
#include "spandrel_weak.h"

// The blocks that are freed fit the cache when they have merged.
enum { BLOCKS = 3, BYTES = 512 * KIB, STEPS = 20000 };

static pthread_barrier_t freed, done;

static long faults(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

static size_t dirty(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.dirty_bytes;
}

static void free_some(void) {
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) blocks[i] = memset(opaque(malloc(BYTES)), 1, BYTES);
    for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
}

static void *other(void *unused) {
    free_some();
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&done);
    return unused;
}

static void steady(void) {
    uint64_t state = 7;
    char *blocks[BLOCKS] = {0};
    long warm = 0;
    for (int step = 0; step < STEPS; step++) {
        if (step == STEPS / 2) warm = faults();
        char **block = &blocks[next_random(&state) % BLOCKS];
        size_t size = 64 * KIB + next_random(&state) % (448 * KIB);
        free(*block);
        *block = opaque(malloc(size));
        for (size_t at = 0; at < size; at += 4096) (*block)[at] = 1;
    }
    CHECK_WITH(faults() - warm < STEPS / 4, faults() - warm);
    for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
}

static void trimmed(void) {
    free_some();
    CHECK_WITH(dirty() >= BLOCKS * BYTES, dirty());
    CHECK(malloc_trim(0) == 1);
    CHECK_WITH(dirty() < BYTES, dirty());
}

// The limit has room for the block alone, so what another thread freed, which sleeps, must serve.
static void limited(void) {
    pthread_t thread;
    CHECK(pthread_barrier_init(&freed, NULL, 2) == 0 && pthread_barrier_init(&done, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
    pthread_barrier_wait(&freed);
    char *block = opaque(malloc(7 * MIB));
    CHECK(block != NULL && spandrel_lane_of_pointer(block) == SPANDREL_LANE_LARGE);
    free(block);
    pthread_barrier_wait(&done);
    CHECK(pthread_join(thread, NULL) == 0);
}

// A direct mapping passes the limit, so nothing stays dirty while it is there.
static void above_soft_limit(void) {
    free_some();
    CHECK_WITH(dirty() >= BLOCKS * BYTES, dirty());
    void *mapping = opaque(malloc(40 * MIB));
    CHECK(mapping != NULL && dirty() == 0);
    free_some();
    CHECK_WITH(dirty() == 0, dirty());
    free(mapping);
    free_some();
    free_some();
    CHECK_WITH(dirty() >= BLOCKS * BYTES, dirty());
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    if (!strcmp(argv[1], "steady")) steady();
    if (!strcmp(argv[1], "trimmed")) trimmed();
    if (!strcmp(argv[1], "limited")) limited();
    if (!strcmp(argv[1], "above_soft_limit")) above_soft_limit();
    return 0;
}
