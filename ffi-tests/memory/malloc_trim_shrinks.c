// malloc_trim(0) gives freed memory back at once: resident size falls (20).
// env: SPANDREL_PURGE_DELAY=never
// expect: exit 0
// variants: preload linked
#include "proc.h"

static long resident_kib(void) { return proc_number("/proc/self/status", "VmRSS:"); }

int main(void) {
    static void *ptrs[64], *kept[64];
    long before = resident_kib();
    for (int i = 0; i < 64; i++) {
        memset(ptrs[i] = opaque(malloc(MIB)), 1, MIB);
        // So that what is freed is many runs, which go one by one.
        kept[i] = opaque(malloc(40 * KIB));
    }
    CHECK(resident_kib() >= before + 60 * 1024);
    for (int i = 0; i < 64; i++) free(ptrs[i]);
    CHECK(malloc_trim(0) == 1);
    CHECK_WITH(resident_kib() < before + 12 * 1024, resident_kib() - before);
    for (int i = 0; i < 64; i++) free(kept[i]);
    return 0;
}
