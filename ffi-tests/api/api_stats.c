// spandrel_stats fills a structure of the size that the caller knows, older and shorter ones too, and writes nothing
// beyond it. Live bytes count blocks of every lane, and no freed block.
// expect: exit 0
// variants: preload linked static
#include "check.h"
#include "spandrel_weak.h"

int main(void) {
    struct { struct spandrel_stats stats; unsigned char guard[64]; } wide;
    memset(&wide, 0xa5, sizeof wide);
    CHECK(spandrel_stats(&wide.stats, sizeof wide.stats));
    for (int i = 0; i < 64; i++) CHECK(wide.guard[i] == 0xa5);
    bool changed = false;
    const unsigned char *bytes = (const unsigned char *)&wide.stats;
    for (size_t i = 0; i < sizeof wide.stats; i++) changed |= bytes[i] != 0xa5;
    CHECK(changed);
    unsigned char small[sizeof(struct spandrel_stats)];
    memset(small, 0xa5, sizeof small);
    (void)spandrel_stats((struct spandrel_stats *)(void *)small, 8);
    for (size_t i = 8; i < sizeof small; i++) CHECK_WITH(small[i] == 0xa5, i);
    const size_t sizes[] = {32 * KIB, MIB, 40 * MIB};
    struct spandrel_stats before, with, after;
    for (size_t lane = 0; lane < 3; lane++) {
        CHECK(spandrel_stats(&before, sizeof before));
        void *block = opaque(malloc(sizes[lane]));
        CHECK(spandrel_stats(&with, sizeof with));
        free(block);
        CHECK(spandrel_stats(&after, sizeof after));
        CHECK_WITH(with.live_bytes - before.live_bytes == sizes[lane] && after.live_bytes == before.live_bytes, lane);
        CHECK_WITH(
            with.large_blocks - before.large_blocks == (lane == 1) && after.large_blocks == before.large_blocks, lane);
        CHECK_WITH(
            with.direct_blocks - before.direct_blocks == (lane == 2) && after.direct_blocks == before.direct_blocks,
            lane);
    }
    return 0;
}
