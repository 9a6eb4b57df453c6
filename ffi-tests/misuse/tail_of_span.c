// A pointer behind the last block of a region, where the next one would start, is refused at the call.
// run: class_48
// args: 48
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: class_1008
// args: 1008
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: two_regions
// args: 2560
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// variants: preload linked static
#include "check.h"

#define REGION ((size_t)32768)

int main(int argc, char **argv) {
    CHECK(argc == 2);
    size_t size = strtoull(argv[1], NULL, 10), span = size > 2048 ? 2 * REGION : REGION;
    // Blocks come by address, so a whole span is among these; its last block ends before the span does.
    for (int i = 0; i < 5000; i++) {
        uintptr_t block = (uintptr_t)opaque(malloc(size)), next = (uintptr_t)opaque(malloc(size));
        uintptr_t tail = next + size;
        // The blocks of one span follow each other, and those of the next one start at a region.
        if (next != block + size || tail % REGION + size <= REGION || tail % REGION < size) continue;
        uintptr_t first = next - span / size * size + size;
        if (first % REGION != 0) continue;
        free(opaque((void *)tail));
        return 1;
    }
    return 2;
}
