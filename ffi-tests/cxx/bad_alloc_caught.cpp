// operator new throws a std::bad_alloc which unwinds and is caught by type, from every throwing form.
// expect: exit 0
// variants: preload linked static glibc
#include <new>
#include "check.h"

static int unwound;

struct Witness {
    ~Witness() { unwound++; }
};

template <typename Form> static void throws(Form form) {
    bool caught = false;
    try {
        Witness witness;
        opaque(form(opaque_size(SIZE_MAX / 2)));
    } catch (const std::bad_alloc &error) {
        caught = strcmp(error.what(), "std::bad_alloc") == 0;
    }
    CHECK(caught);
}

int main() {
    for (int round = 0; round < 100; round++) {
        throws([](std::size_t n) { return operator new(n); });
        throws([](std::size_t n) { return operator new[](n); });
        throws([](std::size_t n) { return operator new(n, std::align_val_t{128}); });
        throws([](std::size_t n) { return operator new[](n, std::align_val_t{128}); });
    }
    CHECK_WITH(unwound == 400, unwound);
    delete[] static_cast<char *>(opaque(new char[1000]));
    return 0;
}
