// spandrel.hpp: an allocator for containers, a resource for std::pmr, and blocks that are used to their end.
// Run it: make -C examples pmr
// Prints:
//   memory by spandrel.hpp
//   1000 lines and their text come from one resource: 1000 of them
//   cells start at multiples of 64: yes
//   room for 1000 bytes is room for 1008
//   live bytes afterwards: as before
#include <cstdint>
#include <cstdio>
#include <spandrel.hpp>
#include <string>
#include <vector>

// One cell for each thread, on a cache line of its own.
struct alignas(64) Cell {
    long count = 0;
};

static std::size_t live_bytes() {
    const auto figures = spandrel::current_stats();
    return figures ? figures->live_bytes : 0;
}

int main() {
    // The first line also has the C library make its buffer, which it keeps.
    std::puts("memory by spandrel.hpp");
    const std::size_t before = live_bytes();
    {
        // The strings get the resource of the vector that holds them.
        std::pmr::vector<std::pmr::string> lines(spandrel::resource());
        for (int i = 0; i < 1000; i++) lines.emplace_back("a line that is too long to lie in the string itself");
        std::size_t same = 0;
        for (const auto &line : lines) same += line.get_allocator().resource() == spandrel::resource();
        std::printf("1000 lines and their text come from one resource: %zu of them\n", same);

        std::vector<Cell, spandrel::allocator<Cell>> cells(8);
        const bool aligned = reinterpret_cast<std::uintptr_t>(cells.data()) % 64 == 0;
        std::printf("cells start at multiples of 64: %s\n", aligned ? "yes" : "no");

        spandrel::allocator<char> bytes;
        const auto got = bytes.allocate_at_least(1000);
        std::printf("room for 1000 bytes is room for %zu\n", got.count);
        bytes.deallocate(got.ptr, got.count);
    }
    std::printf("live bytes afterwards: %s\n", live_bytes() == before ? "as before" : "more");
    return 0;
}
