// Prints the sum of the addresses of many blocks of all sizes, some freed in between.
#include "check.h"

int main(void) {
    enum { SLOTS = 200 };
    static void *slots[SLOTS];
    uint64_t state = 7, sum = 0;
    for (int step = 0; step < 20000; step++) {
        size_t slot = next_random(&state) % SLOTS;
        uint64_t dice = next_random(&state);
        size_t size = dice % 1000 == 0 ? 34 * MIB : dice % 50 == 0 ? dice % 300000 : dice % 3000;
        free(slots[slot]);
        slots[slot] = opaque(malloc(size));
        sum = sum * 31 + (uintptr_t)slots[slot];
    }
    for (int slot = 0; slot < SLOTS; slot++) free(slots[slot]);
    printf("sum=%llu\n", (unsigned long long)(sum >> 1));
    return 0;
}
