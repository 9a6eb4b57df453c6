// Aligned operator new without memory asks the new handler and throws std::bad_alloc, in every mode; blocks of it come
// from bins, and go back by every form of delete.
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: hardened
// env: SPANDREL_MODE=hardened
// run: guarded
// env: SPANDREL_MODE=guarded
// run: libc
// env: SPANDREL_MODE=libc
#include <new>
#include "check.h"

using std::align_val_t;

static int asked;

static void handler() {
    asked++;
    if (asked % 2 == 0) std::set_new_handler(nullptr);
}

int main() {
    int caught = 0;
    for (std::size_t alignment = 8; alignment <= 65536; alignment *= 4) {
        std::set_new_handler(handler);
        try {
            operator delete(operator new(opaque_size(PTRDIFF_MAX), align_val_t{alignment}), align_val_t{alignment});
        } catch (const std::bad_alloc &) {
            caught++;
        }
        CHECK(operator new(opaque_size(PTRDIFF_MAX), align_val_t{alignment}, std::nothrow) == nullptr);
    }
    CHECK_WITH(caught == 7 && asked == 14, caught * 100 + asked);
    for (std::size_t size = 0; size < 40000; size += 1 + size / 5) {
        for (std::size_t alignment = 8; alignment <= 65536; alignment *= 2) {
            void *blocks[4];
            for (int i = 0; i < 4; i++) {
                const align_val_t wanted{alignment};
                void *block = blocks[i] = opaque(i < 2 ? operator new(size, wanted) : operator new[](size, wanted));
                CHECK_WITH(block != nullptr && aligned_to(block, alignment), size);
                fill(block, size, alignment);
            }
            for (void *block : blocks) CHECK_WITH(holds(block, size, alignment), size);
            operator delete(blocks[0], align_val_t{alignment});
            operator delete(blocks[1], size, align_val_t{alignment});
            operator delete[](blocks[2], align_val_t{alignment}, std::nothrow);
            operator delete[](blocks[3], size, align_val_t{alignment});
        }
    }
    return 0;
}
