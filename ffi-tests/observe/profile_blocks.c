// Blocks that are sampled for the heap profile are blocks like others: usable size, alignment, zeroes, realloc, sized
// frees, frees in other threads and in the child of a fork; and every byte of them is the program's (18).
// expect: exit 0
// env: SPANDREL_HEAP_PROFILE_RATE=1K
// variants: preload linked static
// run: from the start
// env: SPANDREL_HEAP_PROFILE=/dev/null/nowhere
// expect: exit 0 stderr ALLOCATOR_REPORT_OUTPUT
// run: in a mode that samples for itself
// env: SPANDREL_MODE=guarded
// env: SPANDREL_HEAP_PROFILE=/dev/null/nowhere
// expect: exit 0 stderr ALLOCATOR_BAD_OPTION
// run: by call
// args: start
#include <pthread.h>
#include <sys/wait.h>
#include "check.h"
#include "spandrel_weak.h"

#define SLOTS 512

static void *blocks[SLOTS];
static size_t sizes[SLOTS];
static bool is_aligned[SLOTS];

static size_t some_size(uint64_t *random) {
    uint64_t bits = next_random(random);
    return bits % 256 == 0 ? bits / 256 % (3 * MIB) : bits % 8 == 0 ? bits / 8 % 40000 : bits / 8 % 1100;
}

static void *some_block(uint64_t *random, size_t size, bool *aligned) {
    size_t alignment = (size_t)16 << next_random(random) % 9;
    void *block = NULL;
    *aligned = false;
    switch (next_random(random) % 4) {
    case 0:
        block = calloc(1, size);
        CHECK(block && all_zero(block, size));
        return block;
    case 1:
        *aligned = true;
        CHECK(posix_memalign(&block, alignment, size) == 0 && aligned_to(block, alignment));
        return block;
    default:
        block = malloc(size);
        CHECK(block && (size < 16 || aligned_to(block, 16)));
        return block;
    }
}

static void churn(uint64_t seed, int steps) {
    uint64_t random = seed;
    for (int step = 0; step < steps; step++) {
        size_t slot = next_random(&random) % SLOTS, size = some_size(&random);
        if (!blocks[slot]) {
            blocks[slot] = some_block(&random, size, &is_aligned[slot]);
            CHECK_WITH(malloc_usable_size(blocks[slot]) >= size, size);
        } else {
            CHECK_WITH(holds(blocks[slot], sizes[slot], slot), sizes[slot]);
            if (next_random(&random) % 3) {
                if (is_aligned[slot] || next_random(&random) % 2)
                    free(blocks[slot]);
                else
                    free_sized(blocks[slot], sizes[slot]);
                blocks[slot] = NULL;
                continue;
            }
            size_t kept = sizes[slot] < size ? sizes[slot] : size;
            void *moved = realloc(blocks[slot], size + 1);
            CHECK(moved && holds(moved, kept, slot));
            blocks[slot] = moved;
            is_aligned[slot] = false;
            size += 1;
        }
        sizes[slot] = size;
        fill(blocks[slot], size, slot);
    }
}

static void *free_all(void *argument) {
    for (int slot = 0; slot < SLOTS; slot++) {
        CHECK(!blocks[slot] || holds(blocks[slot], sizes[slot], (size_t)slot));
        free(blocks[slot]);
        blocks[slot] = NULL;
    }
    return argument;
}

int main(int count, char **arguments) {
    (void)arguments;
    pthread_t thread;
    if (count > 1) CHECK(spandrel_profile_start(0));
    churn(1, 20000);
    pid_t child = fork();
    if (child == 0) {
        churn(2, 5000);
        free_all(NULL);
        _exit(0);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(pthread_create(&thread, NULL, free_all, NULL) == 0 && pthread_join(thread, NULL) == 0);
    churn(3, 5000);
    if (count > 1) spandrel_profile_stop();
    churn(4, 5000);
    free_all(NULL);
    return 0;
}
