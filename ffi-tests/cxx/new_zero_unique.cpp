// operator new(0) returns distinct non-null pointers.
// expect: exit 0
// variants: preload linked static glibc
#include <new>
#include "check.h"

int main() {
    void *ptrs[300];
    for (int i = 0; i < 300; i++) {
        ptrs[i] = opaque(i % 2 ? operator new(0) : operator new[](0));
        CHECK(ptrs[i] != nullptr);
        for (int j = 0; j < i; j++) CHECK(ptrs[i] != ptrs[j]);
    }
    for (int i = 0; i < 300; i++) i % 2 ? operator delete(ptrs[i]) : operator delete[](ptrs[i]);
    return 0;
}
