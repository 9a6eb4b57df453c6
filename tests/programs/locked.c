// Locks all memory, and prints how much its page tables took before and after: `before=KiB after=KiB locked=0 or 1`.
#include <sys/mman.h>
#include "proc.h"

static long page_tables(void) { return proc_number("/proc/self/status", "VmPTE:"); }

int main(void) {
    for (int i = 0; i < 1000; i++) {
        char *block = malloc(10000);
        if (block == NULL) return 3;
        memset(block, i, 10000);
    }
    long before = page_tables();
    int locked = mlockall(MCL_CURRENT) == 0;
    printf("before=%ld after=%ld locked=%d\n", before, page_tables(), locked);
    return 0;
}
