// Purged bytes are counted once: large blocks by their regions, and none where no dirty page is left.
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
#include <sys/mman.h>
#include "check.h"
#include "spandrel_weak.h"

static size_t purged(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.purged_bytes;
}

// How many bytes of a range are resident, by mincore.
static size_t resident(void *start, size_t bytes) {
    static unsigned char pages[8 * 256];
    size_t count = 0;
    CHECK(mincore(start, bytes, pages) == 0);
    for (size_t i = 0; i < bytes / 4096; i++) count += pages[i] & 1;
    return count * 4096;
}

int main(void) {
    // The first purge of a process reads one page again, which leaves a page of zeroes resident.
    free(memset(opaque(malloc(MIB)), 1, MIB));
    spandrel_collect(true);
    for (size_t bytes = MIB; bytes <= 8 * MIB; bytes *= 2) {
        char *block = opaque(malloc(bytes));
        memset(block, 1, bytes);
        CHECK(resident(block, bytes) == bytes);
        size_t before = purged();
        free(opaque(block));
        CHECK_WITH(purged() - before == bytes, purged() - before);
        CHECK_WITH(resident(block, bytes) == 0, resident(block, bytes));
    }
    size_t before = purged();
    spandrel_collect(true);
    spandrel_collect(true);
    CHECK_WITH(purged() == before, purged() - before);
    return 0;
}
