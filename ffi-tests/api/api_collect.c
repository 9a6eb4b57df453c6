// spandrel_collect(true) gives cached memory back now, and spandrel_resident_bytes counts what waits for the purge.
// env: SPANDREL_PURGE_DELAY=never
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

int main(void) {
    static void *ptrs[20];
    spandrel_collect(true);
    size_t before = spandrel_resident_bytes();
    for (int i = 0; i < 20; i++) memset(ptrs[i] = opaque(malloc(MIB)), 1, MIB);
    for (int i = 0; i < 20; i++) free(ptrs[i]);
    CHECK_WITH(spandrel_resident_bytes() >= before + 19 * MIB, spandrel_resident_bytes());
    spandrel_collect(false);
    spandrel_collect(true);
    CHECK_WITH(spandrel_resident_bytes() <= before + MIB, spandrel_resident_bytes());
    for (size_t i = 0; i < 1000; i++) free(opaque(malloc(i * 100)));
    return 0;
}
