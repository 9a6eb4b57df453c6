// Mode hardened has freed blocks of 32 KiB to 1 MiB wait with their memory: they read as zeroes, writes to them are
// found, and programs that make and free them again and again cause no system calls. Their guards stay. And a small
// block that another thread frees keeps the marks of a write until its owner has it.
// env: SPANDREL_MODE=hardened
// run: right
// args: right
// expect: exit 0
// run: right_without_quarantine
// args: right
// env: SPANDREL_QUARANTINE_LARGE=0
// expect: exit 0
// run: right_unguarded
// args: right
// env: SPANDREL_GUARD_REGIONS=0
// expect: exit 0
// run: without_system_calls
// args: calls
// expect: exit 0
// run: grows_without_system_calls
// args: grows
// expect: exit 0
// run: written_before_it_leaves
// args: written
// expect: signal SIGABRT stderr ALLOCATOR_USE_AFTER_FREE
// says: something wrote to the block after it was freed, 50000 bytes from its start
// run: written_at_exit
// args: written_last
// expect: signal SIGABRT stderr ALLOCATOR_USE_AFTER_FREE
// says: something wrote to the block after it was freed, 50000 bytes from its start
// run: written_on_its_way
// args: way
// expect: signal SIGABRT stderr ALLOCATOR_USE_AFTER_FREE
// says: something wrote to the block after it was freed, 500 bytes from its start
// run: double_free
// args: double
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: double_free_late
// args: late
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: overflow_of_one_that_was_used_before
// args: overflow
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote behind the block, 90000 bytes from its start
// run: guard_of_one_that_was_used_before
// args: before
// expect: signal SIGSEGV
// run: guard_of_one_that_grew
// args: behind
// expect: signal SIGSEGV
// variants: preload linked static
#include <sys/wait.h>
#include <unistd.h>
#include "sandbox.h"
#include "threads.h"

#define FORBID(number) ON_CALL(number, KILL)

enum { SIZES = 4 };
static const size_t sizes[SIZES] = {32 * 1024, 60000, 200000, 1000000};

// A block that another use has left, as most are in a program that runs for long.
static char *used_before(size_t size) {
    for (int i = 0; i < 100; i++) free(opaque(malloc(size)));
    return opaque(malloc(size));
}

static void *release(void *block) {
    free(block);
    return NULL;
}

static void *make_and_free(void *seed) {
    churn((uintptr_t)seed, 2000, 20, 300000);
    return NULL;
}

static void right(void) {
    for (int round = 0; round < 60; round++) {
        size_t size = sizes[round % SIZES] + (size_t)round * 13;
        char *block = opaque(malloc(size));
        CHECK_WITH(malloc_usable_size(block) == size, size);
        fill(block, size, (size_t)round);
        char *grown = opaque(realloc(block, size + 5000));
        CHECK(holds(grown, size, (size_t)round) && malloc_usable_size(grown) == size + 5000);
        grown = opaque(realloc(grown, 2 * size));
        CHECK(holds(grown, size, (size_t)round) && malloc_usable_size(grown) == 2 * size);
        free(grown);
        char *zeroed = opaque(calloc(1, size + 4000));
        CHECK(all_zero(zeroed, size + 4000));
        fill(zeroed, size + 4000, 1);
        free(zeroed);
    }
    char *freed = opaque(malloc(200000));
    fill(freed, 200000, 3);
    free(freed);
    barrier();
    // Without a quarantine it has no owner either.
    for (int i = 0; i < 200000; i += 100) CHECK(((volatile char *)opaque(freed))[i] == 0);
    pthread_t one = start(make_and_free, (void *)1), two = start(make_and_free, (void *)2);
    join(one);
    join(two);
    CHECK(malloc_trim(0) >= 0);
}

static void forbid_memory_calls(void) {
    struct sock_filter rules[] = {
        LOOK_AT_CALL,        FORBID(SYS_madvise), FORBID(SYS_mprotect), FORBID(SYS_mmap),
        FORBID(SYS_munmap), FORBID(SYS_mremap),  ELSE(ALLOW),
    };
    ENTER_SANDBOX(rules);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *what = argv[1];
    if (strcmp(what, "right") == 0) {
        right();
    } else if (strcmp(what, "calls") == 0) {
        for (int i = 0; i < SIZES; i++) {
            pid_t child = fork();
            if (child == 0) {
                free(used_before(sizes[i]));
                forbid_memory_calls();
                for (int round = 0; round < 200; round++) {
                    char *block = opaque(malloc(sizes[i]));
                    fill(block, 40, 1);
                    free(block);
                }
                _exit(0);
            }
            int status = -1;
            CHECK(child > 0 && waitpid(child, &status, 0) == child);
            CHECK_WITH(status == 0, sizes[i]);
        }
    } else if (strcmp(what, "grows") == 0) {
        char *block = used_before(140000);
        forbid_memory_calls();
        for (size_t size = 140000; size < 250000; size += 4096) {
            fill(block, size, size);
            char *grown = opaque(realloc(block, size + 4096));
            CHECK(grown == block && holds(grown, size, size));
        }
    } else if (strncmp(what, "written", 7) == 0) {
        char *block = opaque(malloc(100000));
        free(block);
        ((volatile char *)opaque(block))[50000] = 1;
        for (int i = 0; i < 1000 && what[7] == 0; i++) free(opaque(malloc(100000)));
    } else if (strcmp(what, "way") == 0) {
        // A small block, which another thread frees: it is written before its owner receives it, and waits there.
        char *block = opaque(malloc(1000));
        join(start(release, block));
        ((volatile char *)opaque(block))[500] = 1;
        for (int i = 0; i < 100000; i++) free(opaque(malloc(1000)));
        char *many[1000];
        for (int i = 0; i < 1000; i++) many[i] = opaque(malloc(1000));
        for (int i = 0; i < 1000; i++) free(many[i]);
        for (int i = 0; i < 100000; i++) free(opaque(malloc(1000)));
    } else if (strcmp(what, "double") == 0) {
        char *block = used_before(100000);
        free(block);
        free(opaque(block));
    } else if (strcmp(what, "late") == 0) {
        // When it has left the quarantine it is ready for requests of that size, and there are none.
        char *blocks[100];
        for (int i = 0; i < 100; i++) blocks[i] = opaque(malloc(100000));
        for (int i = 0; i < 100; i++) free(blocks[i]);
        for (int i = 0; i < 100; i++) free(opaque(blocks[i]));
    } else if (strcmp(what, "overflow") == 0) {
        char *block = used_before(90000);
        ((volatile char *)block)[90000] ^= 1;
        free(block);
    } else if (strcmp(what, "before") == 0) {
        volatile char *block = used_before(90000);
        block[-1] = 1;
    } else if (strcmp(what, "behind") == 0) {
        // As far as the guard, wherever the block is now: twice its bytes behind its start at most.
        volatile char *block = opaque(realloc(used_before(90000), 300000));
        size_t sum = 0;
        for (size_t i = 0; i < 600000; i++) sum += (size_t)block[i];
        CHECK(opaque_size(sum) != 1);
    } else {
        return 3;
    }
    return 0;
}
