// In mode hardened a process that goes quiet gives back the memory of blocks in the quarantine of a thread that sleeps.
// They are in quarantine afterwards as before: a write to one is found, whether it came before or after.
// env: SPANDREL_MODE=hardened
// env: SPANDREL_PURGE_DELAY=100
// env: SPANDREL_IDLE_RETURN=thread
// run: memory_goes
// args: none
// expect: exit 0
// run: written_before
// args: before
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_USE_AFTER_FREE
// run: written_afterwards
// args: after
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_USE_AFTER_FREE
// run: large
// args: large
// expect: exit 0
// variants: preload linked static
#include <sys/mman.h>
#include <time.h>
#include "threads.h"

enum { SIZE = 15000, BLOCKS = 64, KEPT = 8, LARGE = 1 * MIB, PAGE = 4096 };

static pthread_barrier_t turn;
static char *blocks[BLOCKS];

// Whether the page behind the first one of the block is there.
static bool is_resident(char *block) {
    unsigned char page = 0;
    char *second = (char *)(((uintptr_t)block + 2 * PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    CHECK(mincore(second, PAGE, &page) == 0);
    return page & 1;
}

static void *use_and_sleep(void *size_of_blocks) {
    size_t size = (uintptr_t)size_of_blocks;
    for (int i = 0; i < BLOCKS; i++) fill(blocks[i] = opaque(malloc(size)), size, (size_t)i);
    for (int i = 0; i < BLOCKS; i++) {
        if (i % KEPT != 0) free(blocks[i]);
    }
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    for (int i = 0; i < BLOCKS; i += KEPT) CHECK_WITH(holds(blocks[i], size, (size_t)i), i);
    // Enough that each block in quarantine leaves it.
    for (int i = 0; i < 2000; i++) {
        char *block = opaque(malloc(size));
        block[0] = 1;
        free(block);
    }
    for (int i = 0; i < BLOCKS; i += KEPT) {
        CHECK_WITH(holds(blocks[i], size, (size_t)i), i);
        free(blocks[i]);
    }
    return NULL;
}

// Works enough for a look at the time, and then sleeps until the page of one of `count` blocks is gone, for twenty
// seconds at most.
static void wait_until_gone(char **some, int count) {
    churn(1, 3000, 200, 3000);
    for (int turn = 0; turn < 2000; turn++) {
        for (int i = 0; i < count; i++) {
            if (!is_resident(some[i])) return;
        }
        struct timespec pause = {0, 10000000};
        nanosleep(&pause, NULL);
    }
    CHECK(!"a page is gone");
}

int main(int argc, char **argv) {
    CHECK(argc == 2 && pthread_barrier_init(&turn, NULL, 2) == 0);
    size_t size = strcmp(argv[1], "large") == 0 ? LARGE : SIZE;
    pthread_t sleeper = start(use_and_sleep, (void *)(uintptr_t)size);
    pthread_barrier_wait(&turn);
    // The block that was freed last took a place in the quarantine.
    char *last = blocks[BLOCKS - 1];
    if (strcmp(argv[1], "before") == 0) {
        last[SIZE / 2] = 1;
        // One of those that were freed before it may have left again, but hardly all.
        wait_until_gone(blocks + BLOCKS - KEPT + 1, KEPT - 2);
        CHECK(is_resident(last));
    } else {
        wait_until_gone(&last, 1);
        if (strcmp(argv[1], "after") == 0) last[SIZE / 2] = 1;
    }
    pthread_barrier_wait(&turn);
    join(sleeper);
    return 0;
}
