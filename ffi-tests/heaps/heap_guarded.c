// Mode guarded samples requests of named heaps, too: a sampled block is its heap's, on its bill by its page and below
// its limit, whichever thread frees it; it moves between heaps, outlives a heap that is deleted, and goes with one that
// is destroyed: any use of it faults then, and the report says why.
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=1
// env: SPANDREL_GUARDED_SLOTS=1000
// run: bills
// args: bills
// expect: exit 0
// run: limits
// args: limits
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT|ALLOCATOR_GUARDED_SLOTS x2
// run: moves
// args: moves
// expect: exit 0
// run: moves_up_to_a_limit
// args: full
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT
// run: ends
// args: ends
// expect: exit 0
// run: ends_with_junk
// args: ends
// env: SPANDREL_PROFILE=test-fixture
// expect: exit 0
// run: forks
// args: forks
// expect: exit 0
// run: accounts
// args: accounts
// env: SPANDREL_ACCOUNT=thread-name
// expect: exit 0
// run: touched
// args: touched
// env: SPANDREL_GUARDED_SIGSEGV=1
// expect: signal SIGSEGV stderr ALLOCATOR_USE_AFTER_FREE
// says: 40 bytes from the start of a (freed block of 100 bytes … , freed with its heap)
// says: spandrel: guarded: allocated by thread
// says: spandrel: guarded: freed with its heap by thread
// says: spandrel: guarded: accessed by thread
// run: freed
// args: freed
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_GONE
// says: its heap was destroyed (freed block of 100 bytes
// says: spandrel: guarded: freed with its heap by thread
// run: resized
// args: resized
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_GONE
// run: freed_before
// args: freed_before
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// says: the block is free already (freed block of 100 bytes
// run: overflowed
// args: overflowed
// env: SPANDREL_GUARDED_SIDE=left
// expect: signal SIGABRT stderr ALLOCATOR_HEAP_OVERFLOW
// says: something wrote behind the block
// variants: preload linked static
// flags: -rdynamic
#include <sys/wait.h>
#include "heaps.h"

#define PAGE (4 * KIB)
enum { HEAPS = 3, COUNT = 100, SLOTS = 1000 };

static spandrel_heap_t *heaps[HEAPS];
static void *blocks[HEAPS][COUNT];

static bool is_guarded(void *block) { return spandrel_lane_of_pointer(block) == SPANDREL_LANE_DIRECT; }

static void *make(spandrel_heap_t *heap, size_t size) {
    void *block = opaque(spandrel_heap_malloc(heap, size));
    CHECK(is_guarded(block) && spandrel_heap_of(block) == heap);
    return block;
}

static void *release(void *block) {
    free(block);
    return NULL;
}

// The pages of all sampled blocks of the heap, which has no other blocks, are on its bill; nothing else is.
static void check_pages(spandrel_heap_t *heap, size_t count) {
    struct spandrel_heap_stats bill = bill_of(heap);
    CHECK_WITH(bill.large_bytes == count * PAGE, bill.large_bytes);
    CHECK_WITH(bill.held_bytes == count * PAGE && bill.live_bytes == count * PAGE, bill.held_bytes);
    CHECK_WITH(bill.live_blocks == count, bill.live_blocks);
}

// The process has so many sampled blocks more than before.
static void check_process(const struct spandrel_stats *before, size_t count) {
    struct spandrel_stats now = process_now();
    CHECK_WITH(now.direct_blocks - before->direct_blocks == count, now.direct_blocks - before->direct_blocks);
    CHECK_WITH(now.live_bytes - before->live_bytes == count * PAGE, now.live_bytes - before->live_bytes);
    size_t obtained = now.obtained_bytes - before->obtained_bytes;
    CHECK_WITH(obtained == count * PAGE, obtained);
    CHECK(now.span_bytes == before->span_bytes);
}

static void make_heaps(unsigned flags) {
    for (int i = 0; i < HEAPS; i++) heaps[i] = heap_new("guarded", 0, flags);
}

static void bills(void) {
    // The C library keeps what a thread needs.
    join(start(release, NULL));
    struct spandrel_stats before = process_now();
    make_heaps(0);
    for (int at = 0; at < COUNT; at++)
        for (int i = 0; i < HEAPS; i++) blocks[i][at] = make(heaps[i], (size_t)at * 41);
    for (int i = 0; i < HEAPS; i++) check_pages(heaps[i], COUNT);
    check_process(&before, HEAPS * COUNT);
    // The last ones by another thread, or while another heap is in use; all count at once.
    use_from(NULL, heaps[1]);
    for (int at = 0; at < COUNT / 2; at++) free(blocks[0][at]);
    use_from(heaps[1], NULL);
    check_pages(heaps[0], COUNT / 2);
    for (int at = 0; at < COUNT / 4; at++) join(start(release, blocks[1][at]));
    check_pages(heaps[1], COUNT - COUNT / 4);
    CHECK(bill_of(heaps[1]).peak_bytes >= COUNT * PAGE);
    CHECK(bill_of(heaps[0]).peak_bytes == COUNT * PAGE);
    check_pages(heaps[2], COUNT);
    for (int at = COUNT / 2; at < COUNT; at++) free(blocks[0][at]);
    check_pages(heaps[0], 0);
    for (int i = 0; i < HEAPS; i++) destroy(heaps[i]);
    check_process(&before, 0);
}

static void limits(void) {
    // No span fits, and seven pages do.
    spandrel_heap_t *heap = heap_new("small", 8 * PAGE - 1, 0);
    for (int at = 0; at < 7; at++) {
        blocks[0][at] = make(heap, 100);
        CHECK(bill_of(heap).held_bytes == (size_t)(at + 1) * PAGE);
    }
    errno = 0;
    CHECK(opaque(spandrel_heap_malloc(heap, 100)) == NULL && errno == ENOMEM);
    CHECK(bill_of(heap).refusals == 1);
    free(blocks[0][3]);
    blocks[0][3] = make(heap, 200);
    // While all slots are live, a request takes a span.
    CHECK(spandrel_heap_set_limits(heap, 0, 7 * PAGE + REGION) == 0);
    static void *others[SLOTS];
    int count = 0;
    while (is_guarded(others[count] = opaque(malloc(1)))) count++;
    CHECK(!is_guarded(opaque(spandrel_heap_malloc(heap, 100))));
    CHECK(bill_of(heap).held_bytes == 7 * PAGE + REGION);
    for (int at = 0; at <= count; at++) free(others[at]);
    // The limit leaves no page, and the span serves what is no refusal then.
    for (int at = 0; at < 50; at++) {
        void *block = opaque(spandrel_heap_malloc(heap, 100));
        CHECK(block != NULL && !is_guarded(block) && spandrel_heap_of(block) == heap);
    }
    CHECK(bill_of(heap).held_bytes == 7 * PAGE + REGION && bill_of(heap).refusals == 1);
    destroy(heap);
}

static void moves(void) {
    make_heaps(SPANDREL_HEAP_SHARED);
    spandrel_heap_t *from[] = {NULL, heaps[0], heaps[1]};
    for (int i = 0; i < 3; i++)
        for (int to = 0; to < 3; to++)
            for (size_t size = 0; size < 9000; size = size * 3 + 1) {
                struct held block;
                held_fill(&block, spandrel_heap_malloc(from[i], size), size, size + 3);
                block.at = opaque(spandrel_heap_move(from[to], block.at));
                CHECK(block.at != NULL && spandrel_heap_of(block.at) == from[to]);
                held_check(&block);
                unsigned char *grown = opaque(spandrel_heap_realloc(from[i], block.at, size + 100));
                CHECK(spandrel_heap_of(grown) == from[i] && holds(grown, size, size + 3));
                // A plain call that has to move it gives it to the heap in use.
                use_from(NULL, heaps[2]);
                grown = opaque(realloc(grown, size + 5000));
                use_from(heaps[2], NULL);
                CHECK(spandrel_heap_of(grown) == heaps[2] && holds(grown, size, size + 3));
                free(grown);
            }
    for (int i = 0; i < 2; i++) CHECK(bill_of(heaps[i]).large_bytes == 0);
    for (int i = 0; i < HEAPS; i++) destroy(heaps[i]);
}

static void full(void) {
    spandrel_heap_t *from = heap_new("from", 0, 0), *to = heap_new("to", PAGE, 0);
    struct held block;
    held_fill(&block, make(from, 100), 100, 1);
    void *only = make(to, 100);
    errno = 0;
    CHECK(opaque(spandrel_heap_move(to, block.at)) == NULL && errno == ENOMEM);
    CHECK(spandrel_heap_of(block.at) == from);
    held_check(&block);
    check_pages(from, 1);
    free(only);
    block.at = spandrel_heap_move(to, block.at);
    CHECK(spandrel_heap_of(block.at) == to);
    held_check(&block);
    check_pages(from, 0);
    check_pages(to, 1);
    destroy(from);
    destroy(to);
}

static void ends(void) {
    struct spandrel_stats before = process_now();
    for (int round = 0; round < 20; round++) {
        make_heaps(0);
        struct held kept[COUNT];
        for (int at = 0; at < COUNT; at++) {
            make(heaps[0], 50);
            held_fill(&kept[at], make(heaps[1], 60), 60, (size_t)at);
        }
        blocks[2][0] = make(heaps[2], 70);
        destroy(heaps[0]);
        check_process(&before, COUNT + 1);
        check_pages(heaps[1], COUNT);
        CHECK(spandrel_heap_delete(heaps[1]) == 0);
        check_process(&before, COUNT + 1);
        // A heap that is made later, in the same place of the table, has none of them.
        spandrel_heap_t *later[] = {heap_new("later", 0, 0), heap_new("later", 0, 0)};
        for (int i = 0; i < 2; i++) check_pages(later[i], 0);
        for (int at = 0; at < COUNT; at++) {
            CHECK(spandrel_heap_of(kept[at].at) == NULL && is_guarded(kept[at].at));
            held_check(&kept[at]);
            free(kept[at].at);
        }
        for (int i = 0; i < 2; i++) check_pages(later[i], 0), destroy(later[i]);
        CHECK(spandrel_heap_of(blocks[2][0]) == heaps[2]);
        check_pages(heaps[2], 1);
        destroy(heaps[2]);
        check_process(&before, 0);
    }
}

static void forks(void) {
    make_heaps(0);
    struct held kept;
    for (int i = 0; i < HEAPS; i++) held_fill(&kept, make(heaps[i], 500), 500, 7);
    pid_t child = fork();
    if (child == 0) {
        held_check(&kept);
        for (int i = 0; i < HEAPS; i++) check_pages(heaps[i], 1);
        destroy(heaps[0]);
        CHECK(spandrel_heap_delete(heaps[2]) == 0);
        held_check(&kept);
        free(kept.at);
        make(heaps[1], 10);
        check_pages(heaps[1], 2);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < HEAPS; i++) check_pages(heaps[i], 1);
    held_check(&kept);
    for (int i = 0; i < HEAPS; i++) destroy(heaps[i]);
}

// The account of this thread, by the list: no heap was made.
static void accounts(void) {
    free(opaque(malloc(1)));
    spandrel_heap_t *account;
    CHECK(spandrel_heap_list(&account, 1) == 1);
    struct spandrel_heap_stats before = bill_of(account);
    for (int at = 0; at < COUNT; at++) {
        blocks[0][at] = opaque(malloc(100));
        // An account is not a heap that a block is of.
        CHECK(is_guarded(blocks[0][at]) && spandrel_heap_of(blocks[0][at]) == NULL);
    }
    CHECK_WITH(bill_of(account).large_bytes - before.large_bytes == COUNT * PAGE, bill_of(account).large_bytes);
    for (int at = 0; at < COUNT; at++) free(blocks[0][at]);
    CHECK_WITH(bill_of(account).large_bytes == before.large_bytes, bill_of(account).large_bytes);
}

int main(int argc, char **argv) {
    CHECK(argc == 2 && strcmp(spandrel_mode(), "guarded") == 0);
    static const struct {
        const char *name;
        void (*work)(void);
    } works[] = {{"bills", bills}, {"limits", limits}, {"moves", moves}, {"full", full}, {"ends", ends},
        {"forks", forks}, {"accounts", accounts}};
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (strcmp(argv[1], works[i].name) == 0) return works[i].work(), 0;
    spandrel_heap_t *heap = heap_new("ends", 0, 0);
    volatile char *block = make(heap, 100);
    if (strcmp(argv[1], "freed_before") == 0) {
        free((void *)block);
        destroy(heap);
        free(opaque((void *)block));
    }
    if (strcmp(argv[1], "overflowed") == 0) ((volatile char *)opaque((void *)block))[101] = 1;
    destroy(heap);
    if (strcmp(argv[1], "touched") == 0) ((volatile char *)opaque((void *)block))[40] = 1;
    if (strcmp(argv[1], "freed") == 0) free(opaque((void *)block));
    if (strcmp(argv[1], "resized") == 0) CHECK(realloc(opaque((void *)block), 10) == NULL);
    return 0;
}
