// Mode hardened finds at the call: frees of free blocks, by whichever thread and however long ago; frees of pointers
// that are no blocks; frees of blocks with a write behind them. It finds writes to freed blocks before these are
// reused. The report names the block.
// env: SPANDREL_MODE=hardened
// run: right
// args: right
// expect: exit 0
// run: right_moving
// args: right
// env: SPANDREL_REALLOC_MOVES=1
// expect: exit 0
// run: right_spread
// args: right
// env: SPANDREL_SPREAD=all
// expect: exit 0
// run: first_blocks_lie_apart
// args: apart
// expect: exit 0
// run: all_blocks_lie_apart
// args: apart
// env: SPANDREL_SPREAD=all
// expect: exit 0
// run: blocks_lie_in_order
// args: apart
// env: SPANDREL_SPREAD=none
// expect: exit 0
// run: right_without_quarantine
// args: right
// env: SPANDREL_QUARANTINE=0
// expect: exit 0
// run: what_is_held_back_is_no_leak
// args: right
// env: SPANDREL_LEAKS=1
// expect: exit 23 stderr ALLOCATOR_SHUTDOWN_LEAK
// says: 1001 blocks of 64112 bytes are live
// run: double_free
// args: double
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: free(0x … the block is free already (block of 112 bytes)
// run: double_free_other_between
// args: aba
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_remote
// args: remote
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_of_exited_thread
// args: exited
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_late
// args: late
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_large
// args: large
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_large_in_a_run
// args: run
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_of_nothing
// args: nothing
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: read_of_nothing
// args: read_nothing
// expect: signal SIGSEGV
// run: read_of_freed_large
// args: read_large
// expect: signal SIGSEGV
// run: underflow_of_large
// args: before_large
// expect: signal SIGSEGV
// run: underflow_of_direct
// args: before_direct
// expect: signal SIGSEGV
// run: read_behind_direct
// args: behind_direct
// expect: signal SIGSEGV
// run: underflow
// args: underflow
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote before the block
// run: overflow_of_a_neighbour_that_is_never_freed
// args: neighbour
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote before the block
// run: overflow_found_by_realloc
// args: overflow_realloc
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote behind the block, 100 bytes from its start
// run: overflow_found_by_another_thread
// args: overflow_remote
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// run: interior_misaligned
// args: misaligned
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: no block starts there … block of 100 bytes
// run: realloc_freed
// args: realloc
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: realloc(0x
// run: usable_freed
// args: usable
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: malloc_usable_size(0x
// run: interior
// args: interior
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// says: no block starts there … block of 100 bytes
// run: stack
// args: stack
// expect: signal SIGABRT stderr ALLOCATOR_INVALID_POINTER
// run: overflow
// args: overflow
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote behind the block, 100 bytes from its start (block of 100 bytes
// run: overflow_at_exit
// args: unfreed
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: exit(0x
// run: write_after_free
// args: written
// expect: signal SIGABRT stderr ALLOCATOR_USE_AFTER_FREE
// says: something wrote to the block after it was freed, 40 bytes from its start
// run: runs_on
// args: runs_on
// expect: signal SIGSEGV
// run: runs_on_unguarded
// args: runs_on_unguarded
// env: SPANDREL_GUARD_REGIONS=0
// expect: exit 0
// run: guards_come_and_go
// args: spans
// env: SPANDREL_GUARD_REGIONS=20
// expect: exit 0
// run: sized
// args: sized
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: report
// args: double
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_DOUBLE_FREE
// run: bad_value
// args: right
// env: SPANDREL_QUARANTINE=much
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// variants: preload linked static
#include "threads.h"
#include "spandrel_weak.h"

static void *release(void *block) {
    free(block);
    return NULL;
}

static void *allocate(void *unused) {
    (void)unused;
    return opaque(malloc(100));
}

// Requests of no bytes have addresses of their own, which can be freed and resized.
static void empty_requests(void) {
    void *blocks[100];
    for (int i = 0; i < 100; i++) {
        blocks[i] = opaque(malloc(0));
        CHECK(blocks[i] != NULL && malloc_usable_size(blocks[i]) == 0);
        for (int before = 0; before < i; before++) CHECK(blocks[before] != blocks[i]);
    }
    for (int i = 0; i < 100; i++) {
        if (i % 2 == 0) {
            free(blocks[i]);
        } else {
            free(opaque(realloc(blocks[i], 10)));
        }
    }
}

// Of the blocks that a thread allocates in turn, how many lie right behind the one before, as a share of 100.
static void *in_order(void *count) {
    enum { BLOCK = 64 };
    size_t side_by_side = 0, all = *(size_t *)count;
    char *last = opaque(malloc(BLOCK - 16));
    for (size_t i = 0; i < all; i++) {
        char *block = opaque(malloc(BLOCK - 16));
        side_by_side += block == last + BLOCK;
        last = block;
    }
    return (void *)(side_by_side * 100 / all);
}

static size_t share_in_order(size_t count) {
    void *share;
    pthread_t thread = start(in_order, &count);
    CHECK(pthread_join(thread, &share) == 0);
    return (size_t)share;
}

// Few blocks of a class lie apart, and many if the option says so. Blocks of several pages have room between them.
static void apart(void) {
    const char *option = getenv("SPANDREL_SPREAD");
    bool none = option != NULL && strcmp(option, "none") == 0, all = option != NULL && !none;
    size_t few = share_in_order(200), many = share_in_order(50000);
    CHECK_WITH(none ? few > 90 : few < 40, few);
    CHECK_WITH(all ? many < 40 : many > 90, many);
    enum { COUNT = 40, SIZE = 20000 };
    char *blocks[COUNT];
    size_t close = 0;
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = opaque(malloc(SIZE));
        for (int j = 0; j < i; j++) close += labs(blocks[i] - blocks[j]) < 2 * SIZE;
    }
    CHECK_WITH(none ? close > 0 : close == 0, close);
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
}

static void right(void) {
    // The usable size is the requested size, in every lane.
    for (size_t size = 0; size < 80 * MIB; size = size * 2 + 1) {
        char *block = opaque(malloc(size));
        CHECK_WITH(malloc_usable_size(block) == size, size);
        fill(block, size, size);
        char *moved = opaque(realloc(block, size + 1));
        CHECK(holds(moved, size, size) && malloc_usable_size(moved) == size + 1);
        char *moved_again = opaque(realloc(moved, size + 1));
        CHECK(holds(moved_again, size, size));
        // With the option even where nothing changes.
        if (getenv("SPANDREL_REALLOC_MOVES") != NULL) CHECK(moved != block && moved_again != moved);
        free(moved_again);
        char *zeroed = opaque(calloc(1, size));
        CHECK(all_zero(zeroed, size));
        free(zeroed);
    }
    for (size_t align = 16; align <= 4096; align *= 2) {
        void *block = opaque(aligned_alloc(align, 100));
        CHECK(aligned_to(block, align) && malloc_usable_size(block) == 100);
        free(block);
    }
    // A freed block is not the next one.
    size_t again = 0;
    for (int i = 0; i < 1000; i++) {
        char *block = opaque(malloc(48));
        free(block);
        again += opaque(malloc(48)) == block;
    }
    CHECK_WITH(getenv("SPANDREL_QUARANTINE") != NULL || again < 50, again);
    unsigned char *freed = opaque(malloc(1000));
    fill(freed, 1000, 3);
    free(freed);
    barrier();
    for (int i = 0; i < 1000; i++) CHECK(((volatile unsigned char *)opaque(freed))[i] == 0);
    empty_requests();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = start(allocate, NULL);
    for (int i = 0; i < 4; i++) {
        void *block;
        CHECK(pthread_join(threads[i], &block) == 0);
        free(block);
    }
    churn(1, 20000, 100, 5000);
}

int main(int argc, char **argv) {
    CHECK(argc == 2 && strcmp(spandrel_mode(), "hardened") == 0);
    const char *what = argv[1];
    char *block = opaque(malloc(100)), *other = opaque(malloc(100));
    void *result;
    if (strcmp(what, "right") == 0) {
        right();
        free(block);
    } else if (strcmp(what, "double") == 0) {
        free(block);
        free(opaque(block));
    } else if (strcmp(what, "aba") == 0) {
        free(block);
        free(other);
        free(opaque(block));
    } else if (strcmp(what, "remote") == 0) {
        join(start(release, block));
        join(start(release, block));
    } else if (strcmp(what, "exited") == 0) {
        CHECK(pthread_join(start(allocate, NULL), &result) == 0);
        free(result);
        free(opaque(result));
    } else if (strcmp(what, "late") == 0) {
        free(block);
        // The block leaves the quarantine at some time, but no other block takes its place.
        for (int i = 0; i < 100000; i++) free(opaque(malloc(3000)));
        free(opaque(block));
    } else if (strcmp(what, "large") == 0) {
        void *large = opaque(malloc(50 * MIB));
        free(large);
        free(opaque(large));
    } else if (strcmp(what, "run") == 0) {
        void *large = opaque(malloc(MIB));
        free(large);
        free(opaque(large));
    } else if (strcmp(what, "nothing") == 0) {
        void *nothing = opaque(malloc(0));
        free(nothing);
        free(opaque(nothing));
    } else if (strcmp(what, "read_nothing") == 0) {
        CHECK(((volatile char *)opaque(malloc(0)))[0] != 1);
    } else if (strcmp(what, "read_large") == 0) {
        volatile char *large = opaque(malloc(2 * MIB));
        large[0] = 1;
        free(opaque((void *)large));
        CHECK(large[0] != 1);
    } else if (strcmp(what, "before_large") == 0) {
        volatile char *large = opaque(malloc(MIB));
        large[-1] = 1;
    } else if (strcmp(what, "before_direct") == 0) {
        volatile char *direct = opaque(malloc(40 * MIB));
        direct[-1] = 1;
    } else if (strcmp(what, "behind_direct") == 0) {
        volatile char *direct = opaque(malloc(40 * MIB - 4096));
        CHECK(direct[40 * MIB] != 1);
    } else if (strcmp(what, "apart") == 0) {
        apart();
    } else if (strcmp(what, "underflow") == 0 || strcmp(what, "neighbour") == 0) {
        // Two blocks side by side: the one behind is written before its start, or the one before behind its end.
        char *blocks[64], *low = NULL, *high = NULL;
        for (int i = 0; i < 64; i++) blocks[i] = opaque(malloc(100));
        for (int i = 0; i < 64; i++) {
            for (int j = 0; j < 64; j++) {
                if (blocks[j] == blocks[i] + 112) low = blocks[i], high = blocks[j];
            }
        }
        CHECK(low != NULL);
        volatile char *place = strcmp(what, "underflow") == 0 ? (volatile char *)high - 1 : (volatile char *)low + 108;
        *place = (char)~*place;
        free(opaque(high));
    } else if (strcmp(what, "overflow_realloc") == 0) {
        ((volatile char *)opaque(block))[100] ^= 1;
        block = opaque(realloc(opaque(block), 5000));
    } else if (strcmp(what, "overflow_remote") == 0) {
        ((volatile char *)opaque(block))[100] ^= 1;
        join(start(release, block));
    } else if (strcmp(what, "misaligned") == 0) {
        free(opaque(block + 3));
    } else if (strcmp(what, "realloc") == 0) {
        free(block);
        block = opaque(realloc(opaque(block), 200));
    } else if (strcmp(what, "usable") == 0) {
        free(block);
        CHECK(malloc_usable_size(opaque(block)) == 0);
    } else if (strcmp(what, "interior") == 0) {
        free(opaque(block + 16));
    } else if (strcmp(what, "stack") == 0) {
        free(opaque(&result));
    } else if (strcmp(what, "overflow") == 0) {
        // Any byte but the one that is there.
        volatile char *behind = (volatile char *)opaque(block) + 100;
        *behind = (char)~*behind;
        free(block);
    } else if (strcmp(what, "unfreed") == 0) {
        volatile char *behind = (volatile char *)opaque(block) + 100;
        *behind = (char)~*behind;
    } else if (strcmp(what, "written") == 0) {
        free(block);
        ((volatile char *)opaque(block))[40] = 1;
        for (int i = 0; i < 1000000; i++) free(opaque(malloc(3000)));
    } else if (strncmp(what, "runs_on", 7) == 0) {
        // Two large blocks with only the guard between them: reads behind the first one run towards the second.
        volatile char *one = opaque(malloc(200000)), *two = opaque(malloc(200000));
        volatile char *low = one < two ? one : two, *high = one < two ? two : one;
        CHECK_WITH(high - low < 1000000, high - low);
        size_t sum = 0;
        while (low < high) sum += (size_t)*low++;
        CHECK(opaque_size(sum) != 1);
    } else if (strcmp(what, "spans") == 0) {
        // Spans and runs are made and given back many times, more than there are guards.
        for (int round = 0; round < 30; round++) {
            void *many[200];
            for (int i = 0; i < 200; i++) {
                size_t size = (size_t)(i * 337 + round * 1009) % 60000;
                many[i] = opaque(calloc(1, size));
                CHECK(all_zero(many[i], size));
                fill(many[i], size, size);
            }
            for (int i = 0; i < 200; i++) free(many[i]);
            spandrel_collect(true);
        }
        size_t mappings = 0;
        FILE *maps = fopen("/proc/self/maps", "r");
        for (int c; (c = getc(maps)) != EOF;) mappings += c == '\n';
        fclose(maps);
        CHECK_WITH(mappings < 150, mappings);
    } else if (strcmp(what, "sized") == 0 && free_sized != NULL) {
        free_sized(block, 99);
    } else {
        return 3;
    }
    free(other == NULL ? NULL : opaque(malloc(1)));
    return 0;
}
