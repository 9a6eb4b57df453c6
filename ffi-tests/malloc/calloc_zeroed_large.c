// calloc returns zeroes in the large and direct lanes after dirty runs were freed, in other sizes too (30).
// env: SPANDREL_PURGE_DELAY=never
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    uint64_t state = 42;
    const size_t biggest[] = {200 * KIB, 3 * MIB, 12 * MIB, 40 * MIB};
    for (size_t kind = 0; kind < 4; kind++) {
        for (int round = 0; round < 12; round++) {
            size_t size = biggest[kind] / 2 + next_random(&state) % (biggest[kind] / 2);
            unsigned char *dirty = opaque(malloc(size));
            CHECK(dirty != NULL);
            memset(dirty, 0xff, size);
            unsigned char *second = opaque(malloc(size / 3));
            memset(second, 0xee, size / 3);
            free(dirty);
            free(second);
            size_t zeroed_size = size - next_random(&state) % (size / 4);
            unsigned char *zeroed = opaque(calloc(zeroed_size / 8, 8));
            CHECK(zeroed != NULL);
            CHECK_WITH(all_zero(zeroed, zeroed_size / 8 * 8), zeroed_size);
            memset(zeroed, 0x77, zeroed_size / 8 * 8);
            free(zeroed);
        }
    }
    return 0;
}
