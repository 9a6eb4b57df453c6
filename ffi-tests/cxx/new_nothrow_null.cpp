// The nothrow forms return nullptr where the others would throw, also with a throwing new_handler.
// expect: exit 0
// variants: preload linked static glibc
#include <new>
#include "check.h"

static int called;

static void throwing() {
    called++;
    throw std::bad_alloc();
}

static void check_all() {
    std::size_t huge = opaque_size(SIZE_MAX / 2);
    CHECK(opaque(operator new(huge, std::nothrow)) == nullptr);
    CHECK(opaque(operator new[](huge, std::nothrow)) == nullptr);
    CHECK(opaque(operator new(huge, std::align_val_t{64}, std::nothrow)) == nullptr);
    CHECK(opaque(operator new[](huge, std::align_val_t{64}, std::nothrow)) == nullptr);
}

int main() {
    check_all();
    CHECK(called == 0);
    std::set_new_handler(throwing);
    check_all();
    CHECK_WITH(called == 4, called);
    return 0;
}
