// Blocks whose thread has ended are freed, resized and read by others; the memory is used again (21).
// expect: exit 0
// variants: preload linked static glibc
#include "proc.h"
#include "threads.h"

#define COUNT 2000

static void *allocate(void *seed) {
    unsigned char **blocks = malloc(COUNT * sizeof *blocks);
    for (size_t i = 0; i < COUNT; i++) fill(blocks[i] = opaque(malloc(i % 1500 + 1)), i % 1500 + 1, (uintptr_t)seed);
    return blocks;
}

int main(void) {
    long warm = 0;
    for (uintptr_t round = 0; round < 120; round++) {
        unsigned char **blocks = join(start(allocate, (void *)round));
        for (size_t i = 0; i < COUNT; i++) {
            CHECK_WITH(holds(blocks[i], i % 1500 + 1, round), i);
            if (i % 3 == 0) {
                blocks[i] = opaque(realloc(blocks[i], i % 1500 + 300));
                CHECK_WITH(blocks[i] != NULL && holds(blocks[i], i % 1500 + 1, round), i);
            }
            free(blocks[i]);
        }
        free(blocks);
        if (round == 20) warm = peak_kib();
    }
    // Each round allocates about 1.5 MB; without reuse the later hundred would add 150 MB.
    CHECK_WITH(peak_kib() < warm + 16 * 1024, peak_kib() - warm);
    return 0;
}
