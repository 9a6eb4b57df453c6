// Sized delete with a size that cannot belong to the block (a base class without a virtual destructor) is reported.
// run: scalar
// args: s
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: array
// args: a
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// run: aligned
// args: l
// expect: signal SIGABRT stderr ALLOCATOR_SIZE_MISMATCH
// variants: preload linked static
#include <new>
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    std::size_t wrong = opaque_size(16);
    switch (argv[1][0]) {
    case 's': operator delete(opaque(operator new(4000)), wrong); break;
    case 'a': operator delete[](opaque(operator new[](4000)), wrong); break;
    default: operator delete(opaque(operator new(4000, std::align_val_t{64})), wrong, std::align_val_t{64});
    }
    return 0;
}
