// Bills add up: what a heap holds is its spans and its large blocks; what the process holds grows by what its heaps do,
// and their live blocks are those that the program counted, block for block. Peaks stay.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
#include "heaps.h"

enum { HEAPS = 5, COUNT = 2500 };

static spandrel_heap_t *heaps[HEAPS];
// One more for a block of the direct lane.
static void *blocks[HEAPS][COUNT + 1];
// As bills count: large blocks by their regions, and not by their number.
static size_t live_bytes[HEAPS], live_blocks[HEAPS], live_of_process;

static void count(int heap, void *block, int sign) {
    size_t usable = malloc_usable_size(block);
    bool large = usable > 32 * KIB;
    live_of_process += (size_t)sign * usable;
    live_bytes[heap] += (size_t)sign * (large ? (usable + REGION - 1) / REGION * REGION : usable);
    live_blocks[heap] += (size_t)sign * !large;
}

static void add(int heap, int at, size_t size) {
    blocks[heap][at] = opaque(spandrel_heap_malloc(heaps[heap], size));
    CHECK(blocks[heap][at] != NULL);
    count(heap, blocks[heap][at], 1);
}

static void drop(int heap, int at) {
    count(heap, blocks[heap][at], -1);
    free(blocks[heap][at]);
    blocks[heap][at] = NULL;
}

// Compares with the program's own count, and with how much more the process has than before.
static void check_sums(const struct spandrel_stats *before) {
    struct spandrel_heap_stats sum = {0};
    for (int i = 0; i < HEAPS; i++) {
        struct spandrel_heap_stats bill = settled(heaps[i]);
        CHECK_WITH(bill.live_blocks == live_blocks[i], (long)bill.live_blocks - (long)live_blocks[i]);
        CHECK_WITH(bill.live_bytes == live_bytes[i], (long)bill.live_bytes - (long)live_bytes[i]);
        sum.span_bytes += bill.span_bytes;
        sum.large_bytes += bill.large_bytes;
    }
    struct spandrel_stats now = process_now();
    CHECK_WITH(now.span_bytes - before->span_bytes == sum.span_bytes,
        now.span_bytes - before->span_bytes - sum.span_bytes);
    CHECK_WITH(now.live_bytes - before->live_bytes == live_of_process,
        now.live_bytes - before->live_bytes - live_of_process);
    size_t obtained = now.obtained_bytes - before->obtained_bytes;
    // Regions that were ever used.
    CHECK_WITH(obtained >= sum.span_bytes + sum.large_bytes,
        (long)obtained - (long)sum.span_bytes - (long)sum.large_bytes);
}

int main(void) {
    // The default heap gets no span meanwhile.
    free(opaque(malloc(100)));
    struct spandrel_stats before = process_now();
    for (int i = 0; i < HEAPS; i++) heaps[i] = heap_new("billed", 0, i % 2 == 0 ? 0 : SPANDREL_HEAP_SHARED);
    check_sums(&before);
    uint64_t state = 4711;
    for (int i = 0; i < COUNT; i++)
        for (int heap = 0; heap < HEAPS; heap++)
            add(heap, i, i % 100 == heap ? 32769 + next_random(&state) % MIB : 1 + next_random(&state) % 4000);
    for (int heap = 0; heap < HEAPS; heap++) add(heap, COUNT, 40 * MIB);
    check_sums(&before);
    size_t peak = bill_of(heaps[0]).peak_bytes;
    CHECK(peak == bill_of(heaps[0]).held_bytes);
    for (int i = 0; i < COUNT; i++)
        for (int heap = 0; heap < HEAPS; heap++)
            if (next_random(&state) % 3 != 0) drop(heap, i);
    check_sums(&before);
    CHECK(bill_of(heaps[0]).peak_bytes >= peak && bill_of(heaps[0]).held_bytes < peak);
    for (int i = 0; i <= COUNT; i++)
        for (int heap = 0; heap < HEAPS; heap++)
            if (blocks[heap][i] != NULL) drop(heap, i);
    check_sums(&before);
    for (int i = 0; i < HEAPS; i++) destroy(heaps[i]);
    struct spandrel_stats after = process_now();
    CHECK_WITH(after.live_bytes == before.live_bytes, after.live_bytes - before.live_bytes);
    CHECK_WITH(after.span_bytes == before.span_bytes, after.span_bytes - before.span_bytes);
    return 0;
}
