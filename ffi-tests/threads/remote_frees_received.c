// An owner that makes no small request receives its remote frees: by its own frees alone, and by large requests alone.
// The figures have as many received blocks as sent ones.
// env: SPANDREL_IDLE_RETURN=off
// expect: exit 0
// run: by_frees
// args: frees
// run: by_large_requests
// args: requests
#include "spandrel_weak.h"
#include "threads.h"

// Five batches and a part of one: below the sixteen at which others would empty the owner's inbox.
enum { SENT = 620, CALLS = 20, SIZE = 80 };
#define LARGE (100 * KIB)

static void *blocks[SENT], *large[CALLS];

static struct spandrel_stats now(void) {
    struct spandrel_stats stats;
    CHECK(spandrel_stats(&stats, sizeof stats));
    return stats;
}

static void *free_all(void *unused) {
    for (int i = 0; i < SENT; i++) free(blocks[i]);
    return unused;
}

int main(int argc, char **argv) {
    bool by_frees = argc == 2 && !strcmp(argv[1], "frees");
    for (int i = 0; i < SENT; i++) blocks[i] = opaque(malloc(SIZE));
    for (int i = 0; by_frees && i < CALLS; i++) large[i] = opaque(malloc(LARGE));
    struct spandrel_stats first = now();
    join(start(free_all, NULL));
    struct spandrel_stats sent = now();
    size_t on_their_way = sent.in_flight_bytes - first.in_flight_bytes;
    CHECK_WITH(on_their_way >= SENT * SIZE / 2, on_their_way);
    for (int i = 0; i < CALLS; i++) {
        if (by_frees) free(large[i]);
        else large[i] = opaque(malloc(LARGE));
    }
    struct spandrel_stats last = now();
    CHECK_WITH(last.in_flight_bytes == 0, last.in_flight_bytes);
    uint64_t came = last.received_blocks - first.received_blocks, left = last.sent_blocks - first.sent_blocks;
    CHECK_WITH(left >= SENT && left < SENT + 16, left);
    CHECK_WITH(came == left, came);
    return 0;
}
