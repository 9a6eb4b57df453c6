// Freed pages stay for the purge delay, in case they are used again, whatever else is freed meanwhile; and then they are.
// env: SPANDREL_PURGE_DELAY=1000000
// expect: exit 0
#include <sys/mman.h>
#include "check.h"
#include "spandrel_weak.h"

static size_t purged(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.purged_bytes;
}

// Pages of a range that are resident, the kernel says.
static size_t resident(void *start, size_t bytes) {
    static unsigned char pages[256];
    size_t count = 0;
    CHECK(bytes / 4096 <= sizeof pages && mincore(start, bytes, pages) == 0);
    for (size_t i = 0; i < bytes / 4096; i++) count += pages[i] & 1;
    return count;
}

int main(void) {
    char *block = opaque(malloc(MIB));
    void *between = opaque(malloc(MIB));
    memset(block, 1, MIB);
    free(opaque(block));
    for (int i = 0; i < 100; i++) free(memset(opaque(malloc(100 * KIB)), 1, 100 * KIB));
    CHECK_WITH(resident(block, MIB) == MIB / 4096, resident(block, MIB));
    CHECK_WITH(purged() == 0, purged());
    CHECK(opaque(malloc(MIB)) == block);
    free(between);
    return 0;
}
