// malloc_trim(keep) leaves about keep bytes of free pages, and says 0 when there is nothing to give (20).
// env: SPANDREL_PURGE_DELAY=never
// expect: exit 0
#include "check.h"
#include "spandrel_weak.h"

int main(void) {
    void *blocks[64];
    // Every other block stays live, so that the free ones are runs of their own.
    for (int i = 0; i < 64; i++) fill(blocks[i] = opaque(malloc(MIB)), MIB, 1);
    for (int i = 0; i < 64; i += 2) free(blocks[i]);
    size_t dirty = spandrel_resident_bytes();
    CHECK_WITH(dirty >= 32 * MIB, dirty);
    CHECK(malloc_trim(16 * MIB) == 1);
    size_t kept = spandrel_resident_bytes();
    CHECK_WITH(kept <= 16 * MIB && kept >= 14 * MIB, kept);
    CHECK(malloc_trim(16 * MIB) == 0);
    CHECK(malloc_trim(0) == 1 && spandrel_resident_bytes() == 0);
    for (int i = 1; i < 64; i += 2) CHECK(holds(blocks[i], MIB, 1));
    return 0;
}
