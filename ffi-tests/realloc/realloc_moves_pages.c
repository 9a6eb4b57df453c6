// A large block that grows beyond 32 MiB is not copied: pages that the program never touched stay absent. The memory
// that it leaves is free as any other, and calloc finds no old bytes there.
// expect: exit 0
// variants: preload linked static
// run: moves
// args: moves
// run: without_the_call
// args: sandbox
// run: locked
// args: locked
#include <sys/mman.h>
#include "sandbox.h"
#include "check.h"
#include "proc.h"

enum { OLD = 30 * MIB, NEW = 60 * MIB, MARKED = 1 * MIB };

static long resident(void) { return proc_number("/proc/self/status", "VmRSS:"); }

static long locked(void) { return proc_number("/proc/self/status", "VmLck:"); }

// Grows a block of which the first bytes are used; how much more is resident then, in KiB.
static long grow(void) {
    char *block = opaque(malloc(OLD));
    CHECK(block != NULL);
    fill(block, MARKED, 5);
    fill(block + OLD - MARKED, MARKED, 7);
    long before = resident();
    block = opaque(realloc(block, NEW));
    CHECK(block != NULL && malloc_usable_size(block) >= NEW);
    CHECK(holds(block, MARKED, 5) && holds(block + OLD - MARKED, MARKED, 7));
    long more = resident() - before;
    fill(block + NEW - MARKED, MARKED, 9);
    // The old place is used again, and holds nothing of the block.
    char *next = opaque(calloc(1, OLD));
    CHECK(next != NULL && all_zero(next, OLD));
    fill(next, OLD, 11);
    CHECK(holds(block, MARKED, 5) && holds(block + OLD - MARKED, MARKED, 7) && holds(block + NEW - MARKED, MARKED, 9));
    CHECK(holds(next, OLD, 11));
    block = opaque(realloc(block, 2 * NEW));
    CHECK(block != NULL && holds(block, MARKED, 5) && holds(block + NEW - MARKED, MARKED, 9));
    block = opaque(realloc(block, MARKED));
    CHECK(block != NULL && holds(block, MARKED, 5));
    free(block);
    free(next);
    return more;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    if (strcmp(argv[1], "sandbox") == 0) {
        struct sock_filter rules[] = {LOOK_AT_CALL, ON_CALL(SYS_mremap, REFUSE(EINVAL)), ELSE(ALLOW)};
        ENTER_SANDBOX(rules);
        grow();
    } else if (strcmp(argv[1], "locked") == 0) {
        // Memory that stays behind would not be locked any more.
        char *block = opaque(malloc(OLD));
        memset(block, 1, OLD);
        if (mlockall(MCL_CURRENT) != 0) return 0;
        long before = locked();
        char *left = (char *)((uintptr_t)block & ~(uintptr_t)4095);
        block = opaque(realloc(block, NEW));
        CHECK(block != NULL && block[OLD - 1] == 1);
        CHECK_WITH(locked() >= before, locked());
        // The kernel refuses advice that a locked page is not needed soon.
        CHECK(madvise(left, 4096, MADV_COLD) == -1 && errno == EINVAL);
        free(block);
    } else {
        for (int round = 0; round < 4; round++) CHECK_WITH(grow() < 8 * MIB / 1024, round);
    }
    return 0;
}
