// Above the soft limit freed pages go back at once, whatever the delay; below it they stay for reuse.
// env: SPANDREL_SOFT_LIMIT=32M
// env: SPANDREL_PURGE_DELAY=never
// expect: exit 0
#include "check.h"
#include "spandrel_weak.h"

int main(void) {
    enum { COUNT = 64 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = opaque(malloc(MIB));
        CHECK(blocks[i] != NULL);
        fill(blocks[i], MIB, 1);
    }
    for (int i = 0; i < COUNT / 2 - 4; i++) free(blocks[i]);
    CHECK_WITH(spandrel_resident_bytes() == 0, spandrel_resident_bytes());
    for (int i = COUNT / 2 - 4; i < COUNT; i++) free(blocks[i]);
    CHECK_WITH(
        spandrel_resident_bytes() > 24 * MIB && spandrel_resident_bytes() <= 33 * MIB, spandrel_resident_bytes());
    return 0;
}
