// Buffers of 5 to 25 MiB are reused instead of going to the kernel each time: few page faults (34).
// env: SPANDREL_PURGE_DELAY=never
// expect: exit 0
// variants: preload linked
#include <sys/resource.h>
#include "check.h"

static long faults(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

int main(void) {
    uint64_t state = 5;
    long warm = 0;
    for (int round = 0; round < 220; round++) {
        if (round == 20) warm = faults();
        size_t size = 5 * MIB + next_random(&state) % (20 * MIB);
        char *one = opaque(malloc(size)), *two = opaque(malloc(6 * MIB));
        CHECK(one != NULL && two != NULL);
        for (size_t at = 0; at < size; at += 4096) one[at] = 1;
        for (size_t at = 0; at < 6 * MIB; at += 4096) two[at] = 1;
        free(one);
        free(two);
    }
    // Without reuse: 200 rounds of about 5400 pages.
    CHECK_WITH(faults() - warm < 100000, faults() - warm);
    return 0;
}
