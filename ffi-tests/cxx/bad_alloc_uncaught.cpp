// A std::bad_alloc that no handler catches ends the program by std::terminate, with no diagnostic of ours.
// expect: signal SIGABRT
// variants: preload linked static glibc
#include <exception>
#include <new>
#include "check.h"

int main() {
    // A program without any other use of the C++ runtime might be linked without it.
    CHECK(std::get_terminate() != nullptr);
    opaque(operator new(opaque_size(SIZE_MAX / 2)));
    return 0;
}
