// Every form of operator new and delete, called by hand: blocks writable, aligned, taken back by every matching delete
// (8).
// expect: exit 0
// variants: preload linked static glibc
#include <initializer_list>
#include <new>
#include "check.h"

using std::align_val_t;
using std::nothrow;

static void *good(void *ptr, std::size_t size, std::size_t alignment) {
    ptr = opaque(ptr);
    CHECK_WITH(ptr != nullptr && aligned_to(ptr, alignment), size);
    std::size_t edge = size < 100000 ? size : 100000;
    memset(ptr, 0x5a, edge);
    memset(static_cast<char *>(ptr) + size - edge, 0x5a, edge);
    return ptr;
}

int main() {
    for (std::size_t size : {0ul, 1ul, 8ul, 24ul, 500ul, 5000ul, 40000ul, 3000000ul, 40000000ul}) {
        std::size_t natural = size > 8 ? 16 : 8;
        for (int round = 0; round < 3; round++) {
            operator delete(good(operator new(size), size, natural));
            operator delete[](good(operator new[](size), size, natural));
            operator delete(good(operator new(size), size, natural), size);
            operator delete[](good(operator new[](size), size, natural), size);
            operator delete(good(operator new(size, nothrow), size, natural), nothrow);
            operator delete[](good(operator new[](size, nothrow), size, natural), nothrow);
        }
        for (std::size_t a = 8; a <= 65536; a *= 2) {
            align_val_t alignment{a};
            operator delete(good(operator new(size, alignment), size, a), alignment);
            operator delete[](good(operator new[](size, alignment), size, a), alignment);
            operator delete(good(operator new(size, alignment), size, a), size, alignment);
            operator delete[](good(operator new[](size, alignment), size, a), size, alignment);
            operator delete(good(operator new(size, alignment, nothrow), size, a), alignment, nothrow);
            operator delete[](good(operator new[](size, alignment, nothrow), size, a), alignment, nothrow);
        }
    }
    void *none = opaque(nullptr);
    operator delete(none);
    operator delete[](none);
    operator delete(none, 8ul);
    operator delete(none, align_val_t{64});
    return 0;
}
