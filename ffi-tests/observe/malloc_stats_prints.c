// malloc_stats prints on standard error, and the heap stays usable (20).
// expect: exit 0
// variants: preload linked static glibc
#include "check.h"

int main(void) {
    int ends[2], kept = dup(2);
    CHECK(pipe(ends) == 0);
    void *live = opaque(malloc(3000));
    CHECK(dup2(ends[1], 2) == 2);
    malloc_stats();
    CHECK(dup2(kept, 2) == 2);
    close(ends[1]);
    char text[256];
    CHECK(read(ends[0], text, sizeof text) > 10);
    free(live);
    free(opaque(malloc(70000)));
    return 0;
}
