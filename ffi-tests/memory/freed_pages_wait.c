// Freed pages stay resident for the purge delay, whatever else is freed meanwhile, and are reused first. After the
// delay the next free gives them back (34).
// expect: exit 0
// run: long
// args: long
// env: SPANDREL_PURGE_DELAY=1000000
// run: short
// args: short
// env: SPANDREL_PURGE_DELAY=20
#include <sys/mman.h>
#include "check.h"
#include "spandrel_weak.h"

enum { MANY = 16 };

static size_t purged(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.purged_bytes;
}

// How many pages of a range are resident, by mincore.
static size_t resident(void *start, size_t bytes) {
    static unsigned char pages[256];
    size_t count = 0;
    CHECK(bytes / 4096 <= sizeof pages && mincore(start, bytes, pages) == 0);
    for (size_t i = 0; i < bytes / 4096; i++) count += pages[i] & 1;
    return count;
}

int main(int argc, char **argv) {
    char *block = opaque(malloc(MIB));
    void *between = opaque(malloc(MIB));
    memset(block, 1, MIB);
    free(opaque(block));
    if (argc == 2 && !strcmp(argv[1], "short")) {
        usleep(40000);
        free(between);
        // The first purge of a process reads one page again, to see its effect.
        CHECK_WITH(resident(block, MIB) <= 1, resident(block, MIB));
        CHECK_WITH(purged() >= MIB, purged());
        return 0;
    }
    for (int i = 0; i < 100; i++) free(memset(opaque(malloc(100 * KIB)), 1, 100 * KIB));
    CHECK_WITH(resident(block, MIB) == MIB / 4096, resident(block, MIB));
    CHECK_WITH(purged() == 0, purged());
    CHECK(opaque(malloc(MIB)) == block);
    free(between);
    // More than the cache of large blocks keeps: the rest are free runs, and so what the next release may purge.
    void *many[MANY];
    for (int i = 0; i < MANY; i++) many[i] = memset(opaque(malloc(MIB)), 1, MIB);
    for (int i = 0; i < MANY; i++) free(many[i]);
    for (int i = 0; i < MANY; i++) CHECK_WITH(resident(many[i], MIB) == MIB / 4096, i);
    CHECK_WITH(purged() == 0, purged());
    return 0;
}
