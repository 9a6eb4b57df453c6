// realloc keeps the contents between any two lanes, direct blocks above 32 MiB included.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

#define STRIDE 4093

// The first 8 KiB wholly, then one byte per STRIDE.
static void mark(char *block, size_t length, size_t seed) {
    fill(block, length < 8192 ? length : 8192, seed);
    for (size_t at = 0; at < length; at += STRIDE) block[at] = (char)pattern_at(at, seed);
}

static bool marked(const char *block, size_t length, size_t seed) {
    for (size_t at = 0; at < length; at += STRIDE)
        if ((unsigned char)block[at] != pattern_at(at, seed)) return false;
    return holds(block, length < 8192 ? length : 8192, seed);
}

int main(void) {
    static const size_t sizes[] = {8, 1000, 32768, 32769, 70000, 1048576, 6000000, 33554432, 33554433, 50000000};
    const size_t count = sizeof sizes / sizeof sizes[0];
    for (size_t from = 0; from < count; from++) {
        for (size_t to = 0; to < count; to++) {
            char *block = opaque(malloc(sizes[from]));
            CHECK(block != NULL);
            mark(block, sizes[from], from);
            block = opaque(realloc(block, sizes[to]));
            CHECK_WITH(block != NULL && malloc_usable_size(block) >= sizes[to], from * 100 + to);
            CHECK_WITH(marked(block, sizes[from] < sizes[to] ? sizes[from] : sizes[to], from), from * 100 + to);
            block[sizes[to] - 1] = 1;
            free(block);
        }
    }
    return 0;
}
