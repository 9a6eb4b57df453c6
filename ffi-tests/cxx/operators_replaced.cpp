// A program replaces only the plain forms of new and delete: all other forms call them, as the standard demands.
// expect: exit 0
// variants: preload linked glibc
#include <new>
#include "check.h"

static const size_t MARK = 16;
static int made, freed;

void *operator new(std::size_t size) {
    char *block = static_cast<char *>(malloc(size + MARK));
    if (block == nullptr || size > 64 * MIB) {
        free(block);
        throw std::bad_alloc();
    }
    *reinterpret_cast<long *>(block) = 0x1234;
    made++;
    return block + MARK;
}

void operator delete(void *block) noexcept {
    if (block == nullptr) return;
    char *start = static_cast<char *>(block) - MARK;
    CHECK(*reinterpret_cast<long *>(start) == 0x1234);
    freed++;
    free(start);
}

extern "C" {
struct Sized {
    void *block;
    size_t bytes;
};
#pragma weak __size_returning_new
Sized __size_returning_new(size_t size);
}

struct Item {
    int fields[10];
    ~Item() { fields[0] = 0; }
};

int main() {
    Item *one = static_cast<Item *>(opaque(new Item));
    delete one;
    Item *many = static_cast<Item *>(opaque(new Item[20]));
    delete[] many;
    Item *quiet = static_cast<Item *>(opaque(new (std::nothrow) Item));
    CHECK(quiet != nullptr);
    delete quiet;
    char *bytes = static_cast<char *>(opaque(new (std::nothrow) char[100]));
    CHECK(bytes != nullptr);
    operator delete[](bytes, std::nothrow);
    CHECK(opaque(new (std::nothrow) char[100 * MIB]) == nullptr);
    int sized = 0;
    if (__size_returning_new != nullptr) {
        Sized got = __size_returning_new(100);
        CHECK_WITH(got.bytes == 100 && made == 5, got.bytes);
        operator delete(got.block);
        sized = 1;
    }
    CHECK_WITH(made == 4 + sized && freed == 4 + sized, made * 10 + freed);
    return 0;
}
