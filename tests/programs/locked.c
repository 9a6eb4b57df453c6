// Locks all memory, and prints what page tables that took: `before=KiB after=KiB locked=0 or 1`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static long page_tables(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long found = -1;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) sscanf(line, "VmPTE: %ld", &found);
    if (status != NULL) fclose(status);
    return found;
}

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
