// A block's address with other high bits is no block: every call refuses it at once, in every lane and mode, for blocks
// of the thread and of others, and the block stays whole and live. The same holds for addresses of the kernel and for
// those that are not canonical.
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x800
// variants: preload linked static
// timeout: 60
// run: fast
// run: limited
// args: limited
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: guarded
// env: SPANDREL_MODE=guarded
// run: hardened
// env: SPANDREL_MODE=hardened
#include "resource_limits.h"
#include "threads.h"

enum { WILD = 8 };

static void refused(unsigned char *block, size_t size) {
    const uintptr_t address = (uintptr_t)block;
    const uintptr_t wild[WILD] = {
        address | (uintptr_t)0xabcd << 48, address | (uintptr_t)0xffff << 48, address | (uintptr_t)1 << 63,
        address | (uintptr_t)1 << 62,      address | (uintptr_t)0x7f << 56,   address ^ (uintptr_t)1 << 47,
        address + ((uintptr_t)1 << 48),    0xffff888000000000 | (address & 0xfffffffff),
    };
    for (size_t i = 0; i < WILD; i++) {
        void *pointer = opaque((void *)wild[i]);
        free(pointer);
        CHECK_WITH(realloc(pointer, size + 1) == NULL, i);
        CHECK_WITH(malloc_usable_size(pointer) == 0, i);
        free_sized(pointer, size);
        free_aligned_sized(pointer, 16, size);
    }
}

static void *refuse_all(void *blocks) {
    for (size_t i = 0; i < LANE_COUNT; i++) refused(((unsigned char **)blocks)[i], LANE_SIZES[i]);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc > 1) restart_under(argv, RLIMIT_AS, 1024 * MIB);
    unsigned char *blocks[LANE_COUNT];
    for (size_t i = 0; i < LANE_COUNT; i++) {
        blocks[i] = (unsigned char *)opaque(malloc(LANE_SIZES[i]));
        CHECK_WITH(blocks[i] != NULL, i);
        fill(blocks[i], LANE_SIZES[i], i);
    }
    refuse_all(blocks);
    // To another thread these are remote blocks.
    join(start(refuse_all, blocks));
    for (size_t i = 0; i < LANE_COUNT; i++) {
        for (int more = 0; more < 4; more++) {
            void *other = opaque(malloc(LANE_SIZES[i]));
            for (size_t j = 0; j < LANE_COUNT; j++) CHECK_WITH(other != blocks[j], j);
        }
    }
    for (size_t i = 0; i < LANE_COUNT; i++) {
        CHECK_WITH(holds(blocks[i], LANE_SIZES[i], i), i);
        free(blocks[i]);
    }
    return 0;
}
