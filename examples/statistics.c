// Links with the library, asks what a request becomes, and reads the allocator's figures.
// Run it: make -C examples statistics
// Prints:
//   a request of 100 bytes gets a block of 112
//   1000 of them: 112000 live bytes more
//   all freed: 0 live bytes more
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 1000, SIZE = 100 };

static size_t live_bytes(void) {
    struct spandrel_stats stats;
    // The size tells the library which version of the structure the program was compiled with.
    if (!spandrel_stats(&stats, sizeof stats)) abort();
    return stats.live_bytes;
}

int main(void) {
    static void *blocks[COUNT];
    printf("a request of %d bytes gets a block of %zu\n", SIZE, spandrel_good_size(SIZE));
    size_t before = live_bytes();
    for (int i = 0; i < COUNT; i++) blocks[i] = malloc(SIZE);
    printf("%d of them: %zu live bytes more\n", COUNT, live_bytes() - before);
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
    printf("all freed: %zu live bytes more\n", live_bytes() - before);
    return 0;
}
