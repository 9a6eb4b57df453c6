// A std::bad_alloc nobody catches ends the program by std::terminate, with no diagnostic of ours.
// expect: signal SIGABRT
// variants: preload linked static glibc
#include <new>
#include "check.h"

int main() {
    opaque(operator new(opaque_size(SIZE_MAX / 2)));
    return 0;
}
