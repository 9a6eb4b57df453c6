// A new_handler that installs another, which uninstalls itself, ends in std::bad_alloc after exactly two calls.
// expect: exit 0
// variants: preload linked static glibc
#include <new>
#include "check.h"

static int first_calls, second_calls;

static void second() {
    second_calls++;
    std::set_new_handler(nullptr);
}

static void first() {
    first_calls++;
    std::set_new_handler(second);
}

int main() {
    std::set_new_handler(first);
    bool caught = false;
    try {
        opaque(operator new(opaque_size(SIZE_MAX / 2)));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught && first_calls == 1 && second_calls == 1);
    return 0;
}
