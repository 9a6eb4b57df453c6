// Property: under random malloc, calloc, realloc, memalign and free no two live blocks share a byte, usable tails
// included.
// run: seed1
// args: 1
// expect: exit 0
// run: seed2
// args: 20260101
// expect: exit 0
// run: bins_tiny
// args: 99
// env: SPANDREL_BIN_BYTES=1K
// expect: exit 0
// run: purge_at_once
// args: 7
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

#define SLOTS 3000

static struct { unsigned char *ptr; size_t usable; } slots[SLOTS];

static void verify_and_stamp(size_t slot, bool stamp) {
    // Up to 4 KiB at both ends, so that the large sizes stay affordable.
    size_t usable = slots[slot].usable, edge = usable < 4096 ? usable : 4096;
    unsigned char *last = slots[slot].ptr + usable - edge;
    if (stamp) {
        memset(slots[slot].ptr, (int)(slot % 251), edge);
        memset(last, (int)(slot % 251), edge);
    } else {
        for (size_t i = 0; i < edge; i++) CHECK_WITH(slots[slot].ptr[i] == slot % 251 && last[i] == slot % 251, slot);
    }
}

int main(int argc, char **argv) {
    uint64_t state = argc > 1 ? strtoull(argv[1], NULL, 10) : 3;
    for (int step = 0; step < 300000; step++) {
        size_t slot = next_random(&state) % SLOTS;
        uint64_t dice = next_random(&state);
        size_t size = dice % 1000 < 900 ? dice / 1000 % 1100
            : dice % 1000 < 995         ? dice / 1000 % 33000
                                        : dice / 1000 % 700000;
        if (slots[slot].ptr) verify_and_stamp(slot, false);
        if (slots[slot].ptr && dice % 3 == 0) {
            slots[slot].ptr = opaque(realloc(slots[slot].ptr, size + 1));
        } else {
            free(slots[slot].ptr);
            slots[slot].ptr = NULL;
            if (dice % 3 == 1) continue;
            if (dice % 16 == 4) slots[slot].ptr = opaque(memalign((size_t)16 << (dice >> 40) % 10, size));
            else if (dice % 16 == 5) slots[slot].ptr = opaque(calloc(size, 1));
            else slots[slot].ptr = opaque(malloc(size));
        }
        CHECK(slots[slot].ptr != NULL);
        slots[slot].usable = malloc_usable_size(slots[slot].ptr);
        CHECK_WITH(slots[slot].usable >= size, size);
        verify_and_stamp(slot, true);
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        if (slots[slot].ptr) verify_and_stamp(slot, false);
        free(slots[slot].ptr);
    }
    return 0;
}
