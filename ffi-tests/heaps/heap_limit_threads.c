// Two threads at the hard limit of a shared heap. While one is in the function that hears of the limit, the other one
// takes, is refused, frees, or changes the limit: the heap never holds more than its limit, each refused request counts
// and gets ENOMEM, a request is tried again after the function, and a limit that was lifted is not reported. The memory
// that both free serves both again.
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT x3
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: guarded
// env: SPANDREL_MODE=guarded
#include "heaps.h"

enum { MOST = 64 };
#define SIZE (4 * REGION)
#define HARD (16 * SIZE)

// The other thread does this while the first one is in the function.
enum way { FREES_ONE, FREES_ALL_AND_TAKES_ALL, IS_REFUSED, LIFTS, LOWERS, WAYS };

static spandrel_heap_t *heap;
static enum way way;
static pthread_barrier_t turn;
static void *own[MOST], *others[MOST];
static int own_count, others_count, calls;

static void wait_turn(void) { pthread_barrier_wait(&turn); }

static void check_held(void) {
    struct spandrel_heap_stats bill = bill_of(heap);
    CHECK_WITH(bill.held_bytes <= HARD && bill.peak_bytes <= HARD, bill.held_bytes);
}

static bool take(void **blocks, int *count) {
    errno = 0;
    void *block = opaque(malloc(SIZE));
    CHECK_WITH(block != NULL ? spandrel_heap_of(block) == heap : errno == ENOMEM, errno);
    if (block != NULL) {
        CHECK(*count < MOST);
        memset(block, 0x35, SIZE);
        blocks[(*count)++] = block;
    }
    return block != NULL;
}

static void give_all(void **blocks, int *count) {
    while (*count > 0) free(blocks[--*count]);
}

// In the first thread; the second one has its turn meanwhile, unless it is the one that is refused.
static void on_limit(spandrel_heap_t *of, int limit, size_t held, size_t bytes, void *context) {
    CHECK(of == heap && limit == SPANDREL_LIMIT_HARD && context == &turn);
    CHECK_WITH(held <= HARD && bytes == HARD, bytes);
    if (++calls > 1) return;
    wait_turn();
    wait_turn();
}

static void *be_the_other(void *unused) {
    use_from(NULL, heap);
    for (int i = 0; i < 4; i++) CHECK(take(others, &others_count));
    wait_turn();
    wait_turn();
    size_t refusals = bill_of(heap).refusals;
    switch (way) {
    case FREES_ONE: free(others[--others_count]); break;
    case FREES_ALL_AND_TAKES_ALL:
        give_all(others, &others_count);
        for (int i = 0; i < 4; i++) CHECK(take(others, &others_count));
        break;
    case IS_REFUSED:
        CHECK(!take(others, &others_count));
        CHECK(bill_of(heap).refusals == refusals + 1 && calls == 1);
        break;
    case LIFTS: CHECK(spandrel_heap_set_limits(heap, 0, 0) == 0); break;
    default: CHECK(spandrel_heap_set_limits(heap, 0, HARD / 2) == 0);
    }
    if (way != LIFTS) check_held();
    wait_turn();
    wait_turn();
    give_all(others, &others_count);
    wait_turn();
    wait_turn();
    // All is free, and half of it is this thread's.
    for (int i = 0; i < 4; i++) CHECK(take(others, &others_count));
    give_all(others, &others_count);
    use_from(heap, NULL);
    return unused;
}

static void check(void) {
    struct spandrel_heap_options options = {
        .name = "of two", .hard_limit = HARD, .callback = on_limit, .context = &turn, .flags = SPANDREL_HEAP_SHARED};
    CHECK((heap = spandrel_heap_create(&options)) != NULL);
    calls = 0;
    // The memory that starting a thread takes is not the heap's.
    pthread_t other = start(be_the_other, NULL);
    use_from(NULL, heap);
    wait_turn();
    while (bill_of(heap).held_bytes + SIZE <= HARD) CHECK(take(own, &own_count));
    // The function runs in here, once.
    bool served = take(own, &own_count);
    CHECK_WITH(calls == 1, calls);
    CHECK_WITH(served == (way == FREES_ONE || way == LIFTS), way);
    size_t refusals = way == IS_REFUSED ? 2 : served ? 0 : 1;
    CHECK_WITH(bill_of(heap).refusals == refusals, bill_of(heap).refusals);
    if (way != LIFTS) check_held();
    CHECK(spandrel_heap_set_limits(heap, 0, HARD) == 0);
    give_all(own, &own_count);
    wait_turn();
    wait_turn();
    for (int i = 0; i < 4; i++) CHECK(take(own, &own_count));
    wait_turn();
    give_all(own, &own_count);
    use_from(heap, NULL);
    join(other);
    destroy(heap);
}

int main(void) {
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    for (way = FREES_ONE; way < WAYS; way++) check();
    return 0;
}
