// A constant amount of live data whose sizes drift over time does not make the process grow without bound (28).
// expect: exit 0
// variants: preload linked glibc
#include "proc.h"

#define LIVE (40 * MIB)
#define SLOTS 1000000

static struct { void *ptr; size_t size; } slots[SLOTS];

int main(void) {
    uint64_t state = 99;
    size_t live = 0, next = 0, oldest = 0;
    for (size_t phase = 0; phase < 12; phase++) {
        size_t centre = (size_t)100 << phase % 6;
        for (size_t allocated = 0; allocated < 60 * MIB;) {
            size_t size = centre / 2 + next_random(&state) % centre;
            // Mostly the oldest is freed, now and then a younger one: holes of every age.
            while (live + size > LIVE) {
                while (slots[oldest].ptr == NULL) oldest = (oldest + 1) % SLOTS;
                size_t younger = (oldest + next_random(&state) % 4000) % SLOTS;
                size_t victim = next_random(&state) % 8 == 0 && slots[younger].ptr != NULL ? younger : oldest;
                live -= slots[victim].size;
                free(slots[victim].ptr);
                slots[victim].ptr = NULL;
            }
            while (slots[next].ptr != NULL) next = (next + 1) % SLOTS;
            slots[next].ptr = opaque(malloc(size));
            slots[next].size = size;
            memset(slots[next].ptr, 1, size);
            live += size;
            allocated += size;
        }
    }
    CHECK_WITH(peak_kib() < 130 * 1024, peak_kib());
    return 0;
}
