// Named heaps by spandrel.hpp: an owner, a scope, a resource for std::pmr and an allocator for containers.
// Run it: make -C examples heaps
// Prints:
//   a request: 501 blocks live in its heap
//   its end destroys them at once: 0 heaps are left
//   a cache of 1 MiB takes 96 lines of 10000 bytes, then std::bad_alloc
//   half of it dropped, it takes more: yes
// Says: ALLOCATOR_HEAP_LIMIT
#include <cstdio>
#include <list>
#include <memory_resource>
#include <new>
#include <spandrel.hpp>
#include <string>
#include <vector>

static std::size_t heaps() { return spandrel_heap_list(nullptr, 0); }

// All memory of a request, in whichever library it is asked for, goes at once at its end. So the list, which nothing
// destroys, is no leak.
static void serve_request() {
    const spandrel::heap request("request");
    {
        const spandrel::heap_scope scope(request);
        auto &lines = *new std::list<std::string>;
        for (int i = 0; i < 250; i++) lines.emplace_back("a line that is too long to lie in the string itself");
    }
    std::printf("a request: %zu blocks live in its heap\n", request.stats()->live_blocks);
}

// Memory of one purpose, bounded, with containers that know where theirs comes from.
static void fill_cache() {
    const spandrel::heap cache("cache", {0, std::size_t{1} << 20});
    spandrel::heap_resource resource(cache);
    std::pmr::list<std::pmr::string> lines(&resource);
    try {
        for (;;) lines.emplace_back(std::size_t{9999}, 'x');
    } catch (const std::bad_alloc &) {
        std::printf("a cache of 1 MiB takes %zu lines of 10000 bytes, then std::bad_alloc\n", lines.size());
    }
    lines.resize(lines.size() / 2);
    std::vector<char, spandrel::heap_allocator<char>> more(100000, 'y', spandrel::heap_allocator<char>(cache));
    const bool taken = spandrel_heap_of(more.data()) == cache.handle();
    std::printf("half of it dropped, it takes more: %s\n", taken ? "yes" : "no");
}

int main() {
    serve_request();
    std::printf("its end destroys them at once: %zu heaps are left\n", heaps());
    fill_cache();
    return 0;
}
