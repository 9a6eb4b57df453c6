// Prints the kernel's NUMA policy for the memory of a small and of a very large block.
#include "check.h"

// The second word of the line of numa_maps for the mapping that `address` lies in: the last that starts at or below it.
static void tell(const void *address) {
    static char line[4096], policy[64] = "";
    FILE *maps = fopen("/proc/self/numa_maps", "r");
    CHECK(maps != NULL);
    unsigned long start, best = 0;
    char word[64];
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%lx %63s", &start, word) == 2 && start <= (unsigned long)address && start >= best) {
            best = start;
            strcpy(policy, word);
        }
    fclose(maps);
    printf("%s\n", policy);
}

int main(void) {
    char *small = opaque(malloc(1000)), *direct = opaque(malloc(36 * MIB));
    CHECK(small != NULL && direct != NULL);
    small[0] = direct[0] = 1;
    tell(small);
    tell(direct);
    return 0;
}
