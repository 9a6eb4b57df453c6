// The figures of each class are exact in a quiet program, wherever its freed blocks are: in bins, in transfer caches,
// or in flight to their owner.
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

enum { SIZES = 4, BLOCKS = 3000, KEPT_BY_OTHER = 3 };

static const size_t sizes[SIZES] = {24, 112, 1024, 20000};
static void *blocks[SIZES][BLOCKS];
static size_t before[SIZES];

static size_t live_of(size_t size) {
    struct spandrel_class_stats stats;
    for (size_t index = 0; spandrel_class_stats(index, &stats, sizeof stats); index++) {
        if (stats.block_bytes >= size) {
            return stats.live_blocks;
        }
    }
    return (size_t)-1;
}

static void expect(size_t held) {
    for (size_t at = 0; at < SIZES; at++) {
        size_t live = live_of(sizes[at]) - before[at];
        if (live != held) {
            printf("size %zu: %zu live blocks, %zu held\n", sizes[at], live, held);
        }
        CHECK(live == held);
    }
}

static void free_range(size_t from, size_t to, size_t step) {
    for (size_t at = 0; at < SIZES; at++) {
        for (size_t block = from; block < to; block += step) {
            free(blocks[at][block]);
        }
    }
}

static void *other(void *unused) {
    (void)unused;
    free_range(1, BLOCKS, KEPT_BY_OTHER);
    // The batches that are not full wait in this thread's outbox now.
    expect(BLOCKS - BLOCKS / 3);
    return NULL;
}

int main(void) {
    pthread_t thread;
    // Blocks that libc takes at the first start of a thread, and keeps.
    CHECK(
        pthread_create(&thread, NULL, (void *(*)(void *))live_of, (void *)24) == 0 && pthread_join(thread, NULL) == 0);
    for (size_t at = 0; at < SIZES; at++) {
        before[at] = live_of(sizes[at]);
    }
    for (size_t at = 0; at < SIZES; at++) {
        for (size_t block = 0; block < BLOCKS; block++) {
            blocks[at][block] = opaque(malloc(sizes[at]));
        }
    }
    expect(BLOCKS);
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0 && pthread_join(thread, NULL) == 0);
    expect(BLOCKS - BLOCKS / 3);
    free_range(0, BLOCKS, 3);
    free_range(2, BLOCKS, 3);
    expect(0);
    struct spandrel_class_stats stats;
    errno = 0;
    CHECK(!spandrel_class_stats(1000, &stats, sizeof stats) && errno == EINVAL);
    CHECK(!spandrel_class_stats(0, NULL, sizeof stats) && !spandrel_class_stats(0, &stats, sizeof stats + 1));
    return 0;
}
