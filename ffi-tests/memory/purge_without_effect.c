// Where madvise succeeds and does nothing, as under emulators, calloc returns no old bytes, and purging ends (29, 30).
// env: SPANDREL_PURGE_DELAY=0
// expect: exit 0
// variants: preload linked static glibc
#include "sandbox.h"

int main(void) {
    struct sock_filter rules[] = {LOOK_AT_CALL, ON_CALL(SYS_madvise, REFUSE(0)), ELSE(ALLOW)};
    ENTER_SANDBOX(rules);
    static const size_t sizes[] = {40000, 200000, 3 * MIB, 6 * MIB, 20 * MIB};
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char *block = opaque(calloc(1, sizes[i]));
            CHECK_WITH(block != NULL && all_zero(block, sizes[i]), sizes[i]);
            fill(block, sizes[i], 1);
            free(block);
        }
        malloc_trim(0);
    }
    return 0;
}
