// The default mode does not see a second free with two blocks in between if malloc takes the block twice before a
// flush. docs/diagnosing.md says that it never does; mode hardened finds it at the call.
// run: fast
// expect: exit 0
// run: hardened
// env: SPANDREL_MODE=hardened
// expect: signal SIGABRT stderr ALLOCATOR_DOUBLE_FREE
// variants: preload linked static
#include "check.h"

int main(void) {
    void *blocks[3], *again[4];
    for (int i = 0; i < 3; i++) blocks[i] = opaque(malloc(100));
    for (int i = 0; i < 3; i++) free(blocks[i]);
    free(opaque(blocks[0]));
    int times = 0;
    for (int i = 0; i < 4; i++) {
        again[i] = opaque(malloc(100));
        times += again[i] == blocks[0];
    }
    CHECK(times == 2);
    return 0;
}
