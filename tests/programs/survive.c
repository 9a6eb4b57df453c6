// Allocates under load in every lane while the kernel may refuse memory now and then. A call that fails sets ENOMEM
// and changes nothing; once the kernel gives memory again every call works; at the end no block is live.
#include <stdatomic.h>
#include "threads.h"
#include "spandrel_weak.h"

enum { SLOTS = 48, THREADS = 3, EXCHANGE = 16 };

static struct { _Atomic(char *) at; } exchange[EXCHANGE];
static atomic_long refused;

static size_t size_of(uint64_t dice) {
    uint64_t of = dice >> 20;
    if (dice % 64 == 0) return 33 * MIB + of % (8 * MIB);
    if (dice % 16 == 0) return 5 * MIB + of % (4 * MIB);
    if (dice % 4 == 0) return 33000 + of % 400000;
    return 1 + of % 30000;
}

// A block that got no memory: errno must say so.
static bool failed(const void *block) {
    if (block != NULL) return false;
    CHECK(errno == ENOMEM);
    atomic_fetch_add(&refused, 1);
    return true;
}

// Marks and checks both ends of a block and its middle.
static void mark(char *block, size_t size, size_t seed) {
    block[0] = block[size / 2] = block[size - 1] = (char)seed;
}

static bool marked(const char *block, size_t size, size_t seed) {
    return block[0] == (char)seed && block[size / 2] == (char)seed && block[size - 1] == (char)seed;
}

static void *work(void *number) {
    uint64_t state = (uintptr_t)number;
    char *blocks[SLOTS] = {0};
    size_t sizes[SLOTS] = {0};
    for (int round = 0; round < 400; round++) {
        uint64_t dice = next_random(&state);
        size_t slot = dice % SLOTS, size = size_of(next_random(&state));
        if (blocks[slot] != NULL) CHECK_WITH(marked(blocks[slot], sizes[slot], slot), sizes[slot]);
        char *block;
        switch (dice >> 32 & 3) {
        case 0:
            block = opaque(realloc(blocks[slot], size));
            if (failed(block)) {
                if (blocks[slot] != NULL) CHECK(marked(blocks[slot], sizes[slot], slot));
                continue;
            }
            break;
        case 1:
            free(blocks[slot]);
            block = opaque(calloc(1, size));
            if (block != NULL) CHECK_WITH(block[0] == 0 && block[size / 2] == 0 && block[size - 1] == 0, size);
            break;
        case 2:
            free(atomic_exchange(&exchange[dice % EXCHANGE].at, blocks[slot]));
            block = opaque(malloc(size));
            break;
        default:
            free(blocks[slot]);
            block = opaque(memalign(4096, size));
        }
        blocks[slot] = failed(block) ? NULL : block;
        sizes[slot] = size;
        if (block != NULL) mark(block, size, slot);
    }
    for (size_t slot = 0; slot < SLOTS; slot++) free(blocks[slot]);
    return NULL;
}

static void round_of_work(uintptr_t first) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(work, (void *)(first + i));
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    for (int i = 0; i < EXCHANGE; i++) free(atomic_exchange(&exchange[i].at, NULL));
}

// A block of every lane, once the kernel no longer refuses.
static void all_lanes_serve(void) {
    enum { TRIES = 200 };
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        char *block = NULL;
        for (int turn = 0; block == NULL && turn < TRIES; turn++) block = opaque(malloc(LANE_SIZES[lane]));
        CHECK_WITH(block != NULL, LANE_SIZES[lane]);
        mark(block, LANE_SIZES[lane], 1);
        free(block);
    }
}

// A direct block grows and shrinks, and keeps what it holds whether or not it could.
static void direct_resizes(void) {
    size_t size = 34 * MIB;
    char *block = opaque(malloc(size));
    if (failed(block)) return;
    for (int turn = 0; turn < 6; turn++) {
        mark(block, 34 * MIB, 7);
        size_t wanted = (34 + (size_t)turn % 3 * 8) * MIB;
        char *moved = opaque(realloc(block, wanted));
        if (!failed(moved)) block = moved, size = wanted;
        CHECK_WITH(marked(block, 34 * MIB, 7), size);
    }
    free(block);
}

static size_t live(void) {
    struct spandrel_stats stats = {0};
    spandrel_collect(true);
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats.live_bytes;
}

static int mappings(void) {
    static char text[1 << 16];
    FILE *file = fopen("/proc/self/maps", "r");
    CHECK(file != NULL);
    int lines = 0;
    while (fgets(text, sizeof text, file) != NULL) lines++;
    fclose(file);
    return lines;
}

int main(void) {
    mappings();
    size_t live_before = live();
    int before = mappings();
    // Before there are other threads: these calls have the same numbers in each run, so all of them are refused.
    direct_resizes();
    round_of_work(1);
    malloc_trim(0);
    direct_resizes();
    round_of_work(100);
    all_lanes_serve();
    round_of_work(200);
    all_lanes_serve();
    size_t live_after = live();
    printf("refused=%ld live_before=%zu live_after=%zu mappings=%d\n", atomic_load(&refused), live_before, live_after,
        mappings() - before);
    return 0;
}
