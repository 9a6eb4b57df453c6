// The slow path compares a block with more than the last two of its bin: the second free of a block with some others
// between is found at the call where another thread begins a batch with it, and where realloc has to move it.
// Blocks that are passed on while their bin is in use are freed without a report.
// run: other_thread
// args: other 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: realloc
// args: realloc 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: realloc_by_another_thread
// args: realloc_other 100
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: realloc_of_several_regions
// args: realloc 4000
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// run: passed_on
// args: passed 48
// expect: exit 0
// run: passed_on_in_several_regions
// args: passed 5000
// expect: exit 0
// variants: preload linked static
#include "threads.h"
#include <sched.h>
#include <stdatomic.h>

enum { BETWEEN = 9, MANY = 1000, PASSED = 20000 };
static size_t size;
static _Atomic(void *) passed;

static void *free_again(void *block) {
    free(block);
    _exit(97);
}

static void *realloc_again(void *block) {
    (void)!realloc(block, size * 4);
    _exit(97);
}

// Frees each block that it gets; a batch begins with every hundredth or so.
static void *free_all(void *unused) {
    for (int i = 0; i < PASSED; i++) {
        void *block;
        while ((block = atomic_exchange(&passed, NULL)) == NULL) sched_yield();
        free(block);
    }
    return unused;
}

// Passes blocks on that were in the bin a moment ago, while the bin goes up and down.
static void pass(void) {
    pthread_t other = start(free_all, NULL);
    for (int i = 0; i < PASSED; i++) {
        void *blocks[8];
        for (int j = 0; j < 8; j++) blocks[j] = opaque(malloc(size));
        for (int j = 1; j < 8; j++) free(blocks[j]);
        void *none = NULL;
        while (!atomic_compare_exchange_weak(&passed, &none, blocks[0])) {
            none = NULL;
            sched_yield();
        }
    }
    join(other);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    size = strtoull(argv[2], NULL, 10);
    if (strcmp(argv[1], "passed") == 0) {
        pass();
        return 0;
    }
    // The bin grows, so that it does not return the first block to its span.
    void *many[MANY];
    for (int i = 0; i < MANY; i++) many[i] = opaque(malloc(size));
    for (int i = 0; i < MANY; i++) free(many[i]);
    void *block = opaque(malloc(size)), *others[BETWEEN];
    for (int i = 0; i < BETWEEN; i++) others[i] = opaque(malloc(size));
    free(block);
    for (int i = 0; i < BETWEEN; i++) free(others[i]);
    if (strcmp(argv[1], "other") == 0) join(start(free_again, opaque(block)));
    if (strcmp(argv[1], "realloc") == 0) realloc_again(opaque(block));
    if (strcmp(argv[1], "realloc_other") == 0) join(start(realloc_again, opaque(block)));
    free_again(opaque(block));
    return 0;
}
