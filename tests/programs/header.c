// spandrel.h in C, and as C++: the structures that share their name with a function have another one, too.
#include <spandrel.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    spandrel_stats_t stats;
    struct spandrel_stats *same = &stats;
    spandrel_class_stats_t class_stats;
    struct spandrel_class_stats *same_class = &class_stats;
    // There are figures from the first call on.
    free(malloc(1));
    if (!spandrel_stats(same, sizeof stats) || stats.reserved_bytes == 0) return 1;
    if (!spandrel_class_stats(0, same_class, sizeof class_stats) || class_stats.block_bytes != 8) return 2;
    puts("done");
    return 0;
}
