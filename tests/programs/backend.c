// Works on memory of one kind in parts with a mark between each two: the first call; fill; free; trim; fill again.
// Argument: the kind (small, large, direct, aligned). After each part but the first prints what is resident, in KiB; at
// the end how many bytes that calloc handed out were not zero.
#include "mark.h"
#include "proc.h"

enum { SMALL = 60000, LARGE = 120, DIRECT = 3 };
static char *blocks[SMALL];

static void say(const char *when) {
    printf("%s=%ld ", when, proc_number("/proc/self/status", "VmRSS:"));
    mark_part();
}

static size_t size_of(const char *kind, size_t index) {
    uint64_t state = index * 0x9e3779b97f4a7c15u + 1;
    uint64_t dice = next_random(&state) >> 11;
    switch (kind[0]) {
    case 's': return 16 + dice % 1500;
    case 'l': return 40 * KIB + dice % (700 * KIB);
    case 'a': return 4 * KIB + dice % (28 * KIB);
    default: return 34 * MIB + dice % (4 * MIB);
    }
}

static long fill_all(const char *kind, size_t count) {
    long dirty = 0;
    for (size_t index = 0; index < count; index++) {
        size_t size = size_of(kind, index);
        bool zeroed = index % 2 == 0 && kind[0] != 'a';
        char *block = opaque(zeroed ? calloc(1, size) : kind[0] == 'a' ? memalign(4096, size) : malloc(size));
        CHECK(block != NULL);
        // A page each: what is given must all be there, and direct blocks are large.
        for (size_t at = 0; at < size; at += 512) {
            dirty += zeroed && block[at] != 0;
            block[at] = 1;
        }
        blocks[index] = block;
    }
    return dirty;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *kind = argv[1];
    size_t count = kind[0] == 's' ? SMALL : kind[0] == 'd' ? DIRECT : LARGE;
    free(opaque(malloc(1)));
    mark_part();
    long dirty = fill_all(kind, count);
    say("full");
    for (size_t index = 0; kind[0] == 'd' && index < count; index++) {
        blocks[index] = opaque(realloc(blocks[index], 50 * MIB));
        CHECK(blocks[index] != NULL && blocks[index][0] == 1);
    }
    for (size_t index = 0; index < count; index++) free(blocks[index]);
    say("freed");
    malloc_trim(0);
    say("trimmed");
    dirty += fill_all(kind, count);
    say("again");
    for (size_t index = 0; index < count; index++) free(blocks[index]);
    dirty += fill_all(kind, count);
    printf("dirty=%ld\n", dirty);
    return 0;
}
