// Class sizes: 8, then 16-byte steps to 1024, then eight per doubling; never more than an eighth wasted above 128
// bytes.
// expect: exit 0
#include "check.h"
#include "spandrel_weak.h"

int main(void) {
    size_t previous = 0;
    for (size_t size = 0; size <= 32768; size++) {
        size_t good = spandrel_good_size(size);
        CHECK_WITH(good >= previous, size);
        if (size <= 8) CHECK_WITH(good == 8, size);
        else if (size <= 1024) CHECK_WITH(good == (size + 15) / 16 * 16, size);
        else {
            size_t step = 128;
            while (step * 16 < size) step *= 2;
            CHECK_WITH(good == (size + step - 1) / step * step, size);
        }
        previous = good;
    }
    return 0;
}
