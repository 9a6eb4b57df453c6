// An exception of the new_handler's own leaves operator new unchanged.
// expect: exit 0
// variants: preload linked static glibc
#include <new>
#include "check.h"

struct Custom : std::bad_alloc {
    int value = 42;
};

static void throwing() { throw Custom(); }

int main() {
    std::set_new_handler(throwing);
    for (int round = 0; round < 10; round++) {
        int seen = 0;
        try {
            if (round % 2) opaque(operator new[](opaque_size(SIZE_MAX / 2), std::align_val_t{64}));
            else opaque(operator new(opaque_size(SIZE_MAX / 2)));
        } catch (const Custom &custom) {
            seen = custom.value;
        }
        CHECK_WITH(seen == 42, round);
    }
    return 0;
}
