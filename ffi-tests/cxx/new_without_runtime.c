// operator new that fails in a program without a C++ runtime cannot throw: one line with its own code, then abort.
// run: fails
// args: fail
// expect: signal SIGABRT stderr ALLOCATOR_NO_BAD_ALLOC
// run: works
// expect: exit 0
#include "check.h"

extern void *_Znwm(size_t size) __attribute__((weak));
extern void _ZdlPv(void *ptr) __attribute__((weak));

int main(int argc, char **argv) {
    (void)argv;
    CHECK(_Znwm != NULL && _ZdlPv != NULL);
    void *block = opaque(_Znwm(100));
    CHECK(block != NULL);
    _ZdlPv(block);
    if (argc > 1) opaque(_Znwm(opaque_size(SIZE_MAX / 2)));
    return 0;
}
