// mallopt says 1 where what is asked for holds from then on, and 0 elsewhere; it harms nothing (20).
// variants: preload linked static
// expect: exit 0
// run: default
// args: default
// run: pool
// args: pool
// env: SPANDREL_PROFILE=realtime
// env: SPANDREL_POOL=64M
// run: junk
// args: junk
// env: SPANDREL_JUNK=1
// run: never
// args: never
// env: SPANDREL_PURGE_DELAY=never
// run: libc
// args: libc
// env: SPANDREL_FORCE_LIBC=1
#include <time.h>
#include "check.h"
#include "proc.h"

static long resident_kib(void) { return proc_number("/proc/self/status", "VmRSS:"); }

static bool is(const char *run, const char *name) { return strcmp(run, name) == 0; }

// The part that stays resident, in KiB, of 40 blocks of a megabyte, some time after they are freed.
static long kept(void) {
    enum { COUNT = 40 };
    char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = opaque(malloc(MIB));
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 1, MIB);
    }
    long full = resident_kib();
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
    // Calls now and then, or nothing would look at the time.
    for (int i = 0; i < 120; i++) {
        nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
        free(opaque(malloc(100000)));
    }
    long left = full - resident_kib();
    return COUNT * 1024 - left;
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    const char *run = arguments[1];
    bool served = !is(run, "libc");
    CHECK(mallopt(M_MXFAST, 64) == 1 && mallopt(M_MXFAST, 160) == 1);
    CHECK(mallopt(M_MXFAST, 0) == 0 && mallopt(M_MXFAST, 161) == 0);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1 && mallopt(M_MMAP_THRESHOLD, 32 << 20) == 1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 0) == 0 && mallopt(M_MMAP_THRESHOLD, 4096) == 0);
    CHECK(mallopt(M_MMAP_THRESHOLD, (32 << 20) + 1) == 0);
    CHECK(mallopt(M_CHECK_ACTION, 3) == 1);
    CHECK(mallopt(M_TOP_PAD, 4096) == 0);
    CHECK(mallopt(M_ARENA_MAX, 1) == 0 && mallopt(M_ARENA_TEST, 4) == 0);
    CHECK(mallopt(M_MMAP_MAX, 1000) == 0);
    CHECK(mallopt(M_MMAP_MAX, 0) == is(run, "pool"));
    CHECK(mallopt(M_PERTURB, 0) == !is(run, "junk"));
    CHECK(mallopt(M_PERTURB, 0x5a) == is(run, "junk"));
    CHECK(mallopt(12345, 1) == 0 && mallopt(0, 0) == 0);
    bool keeps_always = is(run, "pool") || is(run, "never");
    CHECK(mallopt(M_TRIM_THRESHOLD, 1 << 20) == (served && !keeps_always));
    if (is(run, "default")) CHECK_WITH(kept() < 10 * 1024, 1);
    CHECK(mallopt(M_TRIM_THRESHOLD, -1) == served);
    if (is(run, "default")) {
        long stays = kept();
        CHECK_WITH(stays > 30 * 1024, stays);
        CHECK(mallopt(M_TRIM_THRESHOLD, 128 << 10) == 1);
        long goes = kept();
        CHECK_WITH(goes < 10 * 1024, goes);
    }
    for (size_t i = 0; i < LANE_COUNT && !is(run, "pool"); i++) {
        char *block = opaque(malloc(LANE_SIZES[i]));
        CHECK(block != NULL);
        block[LANE_SIZES[i] - 1] = 1;
        free(block);
    }
    return 0;
}
