// Fills a heap and prints how much of it lies in huge pages; then frees part of it, waits, and prints that again.
// Arguments: MiB to fill; what is freed (none, all, most: all but every 64th block); size of the blocks.
#include <time.h>
#include "proc.h"

// The sum of a line of /proc/self/smaps_rollup, in KiB.
static long rollup(const char *name) { return proc_number("/proc/self/smaps_rollup", name); }

static void say(const char *when) {
    // The kernel counts private pages of 1 GiB as shared.
    long explicit = rollup("Private_Hugetlb:") + rollup("Shared_Hugetlb:");
    printf("%s_rss=%ld %s_huge=%ld\n", when, rollup("Rss:"), when, rollup("AnonHugePages:") + explicit);
}

static void nap(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    size_t bytes = strtoull(argv[1], NULL, 10) * MIB, size = strtoull(argv[3], NULL, 10), count = bytes / size;
    void **blocks = malloc(count * sizeof *blocks);
    CHECK(blocks != NULL);
    for (size_t i = 0; i < count; i++) memset(blocks[i] = opaque(malloc(size)), 1, size);
    say("full");
    if (strcmp(argv[2], "none") == 0) return 0;
    bool all = strcmp(argv[2], "all") == 0;
    for (size_t i = 0; i < count; i++)
        if (all || i % 64 != 0) free(blocks[i]);
    malloc_trim(0);
    say("trimmed");
    // Time for the kernel to collapse pages with holes into huge ones.
    nap(3000);
    say("late");
    for (size_t i = 0; i < count; i += 64)
        if (!all) CHECK(*(char *)blocks[i] == 1);
    return 0;
}
