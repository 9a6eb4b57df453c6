// Coroutines that use a heap each: the scheduler names the heap of the next one, in any order, and every block is of
// the heap of the coroutine that asked for it. One that is dropped half-way leaves nothing behind when its heap is
// destroyed.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: hardened
// env: SPANDREL_MODE=hardened
// run: guarded
// env: SPANDREL_MODE=guarded
#include "context.h"
#include "heaps.h"

enum { COROUTINES = 24, HELD = 60, SWITCHES = 20000 };
#define STACK (64 * KIB)

struct coroutine {
    ucontext_t context;
    spandrel_heap_t *heap;
    struct held blocks[HELD];
    uint64_t random;
    uint64_t steps;
};

static struct coroutine coroutines[COROUTINES];
static ucontext_t scheduler;
static int running;
static _Alignas(64) unsigned char stacks[COROUTINES][STACK];

static void step(struct coroutine *own) {
    struct held *block = &own->blocks[next_random(&own->random) % HELD];
    size_t size = 1 + next_random(&own->random) % (next_random(&own->random) % 64 == 0 ? 100000 : 2000);
    if (block->at != NULL) {
        held_check(block);
        CHECK(spandrel_heap_of(block->at) == own->heap);
        free(block->at);
        block->at = NULL;
        return;
    }
    held_fill(block, malloc(size), size, own->steps++);
    CHECK(spandrel_heap_of(block->at) == own->heap);
}

static void run_coroutine(void) {
    struct coroutine *own = &coroutines[running];
    for (;;) {
        for (uint64_t i = next_random(&own->random) % 8; i > 0; i--) step(own);
        CHECK(swapcontext(&own->context, &scheduler) == 0);
    }
}

static void renew(int at) {
    struct coroutine *own = &coroutines[at];
    uint64_t seed = own->random + 2;
    memset(own->blocks, 0, sizeof own->blocks);
    own->heap = heap_new("coroutine", 0, 0);
    own->random = seed | 1;
    make_context(&own->context, stacks[at], STACK, NULL, run_coroutine);
}

int main(void) {
    uint64_t state = 99;
    for (int i = 0; i < COROUTINES; i++) {
        coroutines[i].random = (uint64_t)i * 1000 + 1;
        renew(i);
    }
    for (int i = 0; i < SWITCHES; i++) {
        running = (int)(next_random(&state) % COROUTINES);
        // Directly from one to another most of the time, which nests them.
        if (next_random(&state) % 4 == 0) CHECK(spandrel_heap_use(NULL) != SPANDREL_HEAP_FAILED);
        CHECK(spandrel_heap_use(coroutines[running].heap) != SPANDREL_HEAP_FAILED);
        CHECK(swapcontext(&scheduler, &coroutines[running].context) == 0);
        CHECK(spandrel_heap_current() == coroutines[running].heap);
        if (i % 100 != 99) continue;
        // One is dropped as it is.
        CHECK(spandrel_heap_use(NULL) == coroutines[running].heap);
        int dropped = (int)(next_random(&state) % COROUTINES);
        destroy(coroutines[dropped].heap);
        renew(dropped);
    }
    CHECK(spandrel_heap_use(NULL) != SPANDREL_HEAP_FAILED);
    for (int i = 0; i < COROUTINES; i++) {
        for (int k = 0; k < HELD; k++)
            if (coroutines[i].blocks[k].at != NULL) held_check(&coroutines[i].blocks[k]);
        destroy(coroutines[i].heap);
    }
    return 0;
}
