// Pairs of an allocation and its free, of one kind and count, for a count of instructions.
#include <spandrel.hpp>

#include <cstdlib>
#include <cstring>
#include <memory_resource>

extern "C" void *mallocx(std::size_t size, int flags);
extern "C" void dallocx(void *block, int flags);

// The compiler can no longer know where this comes from, nor leave the pair out.
template <class T> static T opaque(T value) {
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

struct alignas(64) Wide {
    char bytes[64];
};

template <class Pair> static void repeat(long count, Pair pair) {
    for (long i = 0; i < count; i++) pair();
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const char *const kind = arguments[1];
    const long pairs = std::atol(arguments[2]);
    const auto is = [kind](const char *name) { return std::strcmp(kind, name) == 0; };
    std::pmr::memory_resource *const resource = opaque<std::pmr::memory_resource *>(spandrel::resource());
    std::pmr::memory_resource *const plain = opaque(std::pmr::new_delete_resource());
    spandrel::allocator<char> bytes;
    spandrel::allocator<Wide> wide;
    if (is("loop")) repeat(pairs, [] { opaque(0); });
    else if (is("malloc")) repeat(pairs, [] { std::free(opaque(std::malloc(16))); });
    else if (is("mallocx")) repeat(pairs, [] { dallocx(opaque(mallocx(16, 0)), 0); });
    else if (is("new")) repeat(pairs, [] { ::operator delete(opaque(::operator new(16)), std::size_t{16}); });
    else if (is("allocator")) repeat(pairs, [&] { bytes.deallocate(opaque(bytes.allocate(16)), 16); });
    else if (is("resource")) repeat(pairs, [&] { resource->deallocate(opaque(resource->allocate(16, 8)), 16, 8); });
    else if (is("new_delete_resource")) repeat(pairs, [&] { plain->deallocate(opaque(plain->allocate(16, 8)), 16, 8); });
    else if (is("wide_new")) repeat(pairs, [] { delete opaque(new Wide); });
    else if (is("wide_allocator")) repeat(pairs, [&] { wide.deallocate(opaque(wide.allocate(1)), 1); });
    else return 2;
    return 0;
}
