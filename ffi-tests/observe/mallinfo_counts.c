// mallinfo and mallinfo2 answer plausibly: mapped bytes cover live bytes (20). A block that is a mapping of its own
// counts only as one.
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

int main(void) {
    char *live[32];
    for (int i = 0; i < 32; i++) memset(live[i] = opaque(malloc(MIB)), 1, MIB);
    struct mallinfo2 wide = mallinfo2();
    CHECK_WITH(wide.arena + wide.hblkhd >= 32 * MIB, wide.arena + wide.hblkhd);
    CHECK_WITH(wide.uordblks + wide.hblkhd >= 32 * MIB, wide.uordblks + wide.hblkhd);
    CHECK(wide.uordblks <= wide.arena + wide.hblkhd);
    struct mallinfo narrow = mallinfo();
    CHECK_WITH((unsigned)narrow.arena + (unsigned)narrow.hblkhd >= 32 * MIB, narrow.arena);
    for (int i = 0; i < 32; i++) free(live[i]);
    struct mallinfo2 after = mallinfo2();
    CHECK_WITH(after.uordblks + after.hblkhd + 16 * MIB < wide.uordblks + wide.hblkhd, after.uordblks + after.hblkhd);
    void *direct = opaque(malloc(64 * MIB));
    struct mallinfo2 with = mallinfo2();
    CHECK_WITH(with.hblkhd >= after.hblkhd + 64 * MIB && with.hblks == after.hblks + 1, with.hblkhd);
    CHECK_WITH(with.uordblks < after.uordblks + MIB && with.arena < after.arena + MIB, with.uordblks);
    free(direct);
    return 0;
}
