// Works on a fixed pool while any request for memory makes the kernel kill the process, then exhausts the pool, and
// goes on. First argument: what the kernel allows (no_memory: all but calls for memory; nothing: writing and ending
// alone). Second: threads beside the main one.
#include <stdatomic.h>
#include "sandbox.h"
#include "spandrel_weak.h"
#include "threads.h"

enum { SLOTS = 512, EXCHANGE = 64 };

static _Atomic(void *) exchange[EXCHANGE];
static atomic_int go, done;

// Every kind of call, on sizes of all kinds; other threads free some of the blocks.
static void work(uint64_t seed, int rounds) {
    static _Thread_local struct { char *at; size_t size; } slots[SLOTS];
    for (int round = 0; round < rounds; round++) {
        uint64_t dice = next_random(&seed);
        size_t slot = dice % SLOTS, size = (dice >> 12) % 3000;
        if (dice % 97 == 0) size = 40000 + (dice >> 12) % 200000;
        if (slots[slot].at != NULL) {
            CHECK(holds(slots[slot].at, slots[slot].size > 16 ? 16 : slots[slot].size, slot));
            if (dice >> 40 & 1) {
                free(atomic_exchange(&exchange[(dice >> 41) % EXCHANGE], slots[slot].at));
                slots[slot].at = NULL;
                continue;
            }
        }
        char *block = NULL;
        switch (dice >> 50 & 3) {
        case 0:
            block = opaque(realloc(slots[slot].at, size + 1));
            break;
        case 1:
            free(slots[slot].at);
            block = opaque(calloc(1, size + 1));
            CHECK(block == NULL || all_zero(block, size + 1));
            break;
        case 2:
            free(slots[slot].at);
            block = opaque(memalign(256, size + 1));
            CHECK(aligned_to(block, 256));
            break;
        default:
            free(slots[slot].at);
            block = opaque(malloc(size + 1));
        }
        CHECK_WITH(block != NULL, size);
        fill(block, size > 15 ? 16 : size + 1, slot);
        slots[slot].at = block;
        slots[slot].size = size + 1;
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        free(slots[slot].at);
        slots[slot].at = NULL;
    }
}

static void *helper(void *seed) {
    free(opaque(malloc(100)));
    atomic_fetch_add(&done, 1);
    while (!atomic_load(&go)) {}
    work((uintptr_t)seed, 100000);
    atomic_fetch_add(&done, 1);
    for (;;) {}
}

static void enforce(const char *what) {
    struct sock_filter no_memory[] = {
        LOOK_AT_CALL,
        ON_CALL(SYS_mmap, KILL), ON_CALL(SYS_munmap, KILL), ON_CALL(SYS_mremap, KILL), ON_CALL(SYS_madvise, KILL),
        ON_CALL(SYS_mprotect, KILL), ON_CALL(SYS_brk, KILL), ON_CALL(SYS_mlock, KILL),
        ELSE(ALLOW),
    };
    struct sock_filter nothing[] = {
        LOOK_AT_CALL, ON_CALL(SYS_write, ALLOW), ON_CALL(SYS_exit_group, ALLOW), ELSE(KILL)};
    if (strcmp(what, "nothing") == 0) ENTER_SANDBOX(nothing);
    else ENTER_SANDBOX(no_memory);
}

// Allocates blocks of `size` until none is left, linked through their first word, then frees them; how many there were.
static size_t use_up(size_t size) {
    void *chain = NULL, *block;
    size_t count = 0;
    errno = 0;
    while ((block = opaque(malloc(size))) != NULL) {
        CHECK(spandrel_lane_of_pointer(block) != SPANDREL_LANE_LIBC);
        *(void **)block = chain;
        chain = block;
        count++;
    }
    CHECK(errno == ENOMEM);
    CHECK(malloc(size) == NULL && calloc(1, size) == NULL && memalign(16, size) == NULL && errno == ENOMEM);
    CHECK(realloc(chain, 64 * MIB) == NULL && errno == ENOMEM);
    while (chain != NULL) {
        block = *(void **)chain;
        free(chain);
        chain = block;
    }
    return count;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    int helpers = atoi(argv[2]);
    free(opaque(malloc(100)));
    for (uintptr_t i = 0; i < (uintptr_t)helpers; i++) start(helper, (void *)(i + 2));
    while (atomic_load(&done) < helpers) {}
    enforce(argv[1]);
    atomic_store(&go, 1);
    work(1, 100000);
    while (atomic_load(&done) < 2 * helpers) {}
    for (int i = 0; i < EXCHANGE; i++) free(atomic_exchange(&exchange[i], NULL));
    static const size_t sizes[] = {64, 1000, 20000, 100000, 3 * MIB, 40 * MIB};
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t count = use_up(sizes[i]);
            // At most a part of a span of each class stays behind.
            CHECK_WITH(count * sizes[i] > (helpers ? 20 : 40) * MIB || sizes[i] > MIB, count * sizes[i]);
        }
    // Zeroes in memory that was used before, more than a fill is worth elsewhere.
    char *large = opaque(calloc(1, 8 * MIB));
    CHECK(large != NULL && all_zero(large, 8 * MIB));
    free(large);
    malloc_trim(0);
    work(3, 10000);
    static const char well[] = "served\n";
    CHECK(write(1, well, sizeof well - 1) > 0);
    _exit(0);
}
