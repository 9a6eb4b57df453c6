// spandrel.hpp: containers with the allocator, std::pmr with the resource, over-aligned types, failures, figures, named
// heaps. Built by each compiler and standard, with and without exceptions and run-time types.
#include <spandrel.hpp>

#include <cstdio>
#include <cstring>
#include <deque>
#include <list>
#include <malloc.h>
#include <map>
#include <memory>
#include <memory_resource>
#include <set>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

#define CHECK(condition) ((condition) ? static_cast<void>(0) : failed(#condition, __LINE__))

static void failed(const char *condition, int line) {
    std::fprintf(stderr, "line %d: %s\n", line, condition);
    std::_Exit(99);
}

template <class T> using Alloc = spandrel::allocator<T>;
using String = std::basic_string<char, std::char_traits<char>, Alloc<char>>;

struct alignas(64) Wide {
    char bytes[64];
    int value = 7;
};
struct alignas(4096) Page {
    char bytes[4096];
};

static bool is_aligned(const void *pointer, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0;
}

// Traits that containers read.
using Traits = std::allocator_traits<Alloc<int>>;
static_assert(Traits::is_always_equal::value);
static_assert(Traits::propagate_on_container_move_assignment::value);
static_assert(Traits::propagate_on_container_copy_assignment::value);
static_assert(Traits::propagate_on_container_swap::value);
static_assert(std::is_same_v<Traits::rebind_alloc<Wide>, Alloc<Wide>>);
static_assert(std::is_empty_v<Alloc<int>> && sizeof(std::vector<int, Alloc<int>>) == sizeof(std::vector<int>));
static_assert(std::is_nothrow_move_assignable_v<std::vector<int, Alloc<int>>>);
// An incomplete type is enough to name an allocator and a container of it.
struct Later;
static_assert(std::is_empty_v<Alloc<Later>>);
// The plain names of C are types.
static_assert(std::is_same_v<spandrel::stats, spandrel_stats_t>);
static_assert(std::is_same_v<spandrel_stats_t, struct spandrel_stats>);

static std::size_t live_bytes() {
    const auto figures = spandrel::current_stats();
    CHECK(figures.has_value());
    return figures->live_bytes;
}

static void containers() {
    std::vector<int, Alloc<int>> numbers;
    for (int i = 0; i < 100000; i++) numbers.push_back(i);
    std::map<int, String, std::less<int>, Alloc<std::pair<const int, String>>> names;
    std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, Alloc<std::pair<const int, int>>> squares;
    std::list<String, Alloc<String>> lines;
    std::deque<double, Alloc<double>> halves;
    std::set<int, std::less<int>, Alloc<int>> keys;
    for (int i = 0; i < 2000; i++) {
        names[i] = String(static_cast<std::size_t>(i % 90), 'x');
        squares[i] = i * i;
        lines.push_back(names[i]);
        halves.push_front(i / 2.0);
        keys.insert(-i);
    }
    CHECK(spandrel_lane_of_pointer(numbers.data()) == SPANDREL_LANE_LARGE);
    CHECK(spandrel_lane_of_pointer(&*names.begin()) == SPANDREL_LANE_SMALL);
    CHECK(numbers[99999] == 99999 && names[1999].size() == 1999 % 90 && squares[50] == 2500 && halves.back() == 0.0);
    // Containers move and swap without a copy of an element.
    auto moved = std::move(numbers);
    const int *data = moved.data();
    std::vector<int, Alloc<int>> other(3, 1);
    other = std::move(moved);
    CHECK(other.data() == data);
    std::swap(other, numbers);
    CHECK(numbers.data() == data);
    const auto shared = std::allocate_shared<Wide>(Alloc<Wide>());
    CHECK(is_aligned(shared.get(), 64) && shared->value == 7);
    CHECK(Alloc<int>() == Alloc<double>() && !(Alloc<int>() != Alloc<Wide>()));
}

static void alignments() {
    std::vector<Wide, Alloc<Wide>> wide(100);
    std::list<Page, Alloc<Page>> pages(3);
    CHECK(is_aligned(wide.data(), 64) && wide[99].value == 7);
    for (const Page &page : pages) CHECK(is_aligned(&page, 4096));
    std::pmr::memory_resource *const resource = spandrel::resource();
    for (std::size_t size : {0, 1, 8, 9, 15, 16, 100, 5000, 40000, 3000000}) {
        for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
            void *block = resource->allocate(size, alignment);
            CHECK(block != nullptr && is_aligned(block, alignment));
            std::memset(block, 1, size);
            resource->deallocate(block, size, alignment);
        }
        // The alignment that is meant where none is named.
        void *block = resource->allocate(size);
        CHECK(is_aligned(block, alignof(std::max_align_t)));
        resource->deallocate(block, size);
    }
}

static void resources() {
    spandrel::memory_resource own;
    std::pmr::memory_resource *const one = spandrel::resource();
    CHECK(one == spandrel::resource() && one->is_equal(*spandrel::resource()) && own.is_equal(own));
    CHECK(!one->is_equal(*std::pmr::new_delete_resource()) && !std::pmr::new_delete_resource()->is_equal(*one));
#if defined(__cpp_rtti)
    CHECK(own == *one);
#endif
    std::pmr::vector<std::pmr::string> lines(one);
    for (int i = 0; i < 1000; i++) lines.emplace_back(static_cast<std::size_t>(i % 70), 'y');
    CHECK(lines.back().get_allocator().resource() == one);
    CHECK(spandrel_lane_of_pointer(lines.data()) != SPANDREL_LANE_LIBC);
    std::pmr::unsynchronized_pool_resource pool(one);
    std::pmr::monotonic_buffer_resource buffer(one);
    std::pmr::list<int> pooled({1, 2, 3}, &pool);
    std::pmr::map<int, std::pmr::string> arena(&buffer);
    for (int i = 0; i < 500; i++) arena.emplace(i, "a text that is longer than what a string holds in itself");
    CHECK(pooled.size() == 3 && arena.size() == 500);
}

static void usable() {
    Alloc<char> bytes;
    const auto got = bytes.allocate_at_least(1000);
    CHECK(got.count >= 1000 && got.count == malloc_usable_size(got.ptr));
    std::memset(got.ptr, 1, got.count);
    bytes.deallocate(got.ptr, got.count);
    Alloc<Wide> wides;
    const auto many = wides.allocate_at_least(5);
    CHECK(many.count >= 5 && is_aligned(many.ptr, 64));
    wides.deallocate(many.ptr, 5);
}

static void figures() {
    const std::size_t before = live_bytes();
    {
        std::vector<char, Alloc<char>> block(1000000);
        const std::size_t grown = live_bytes() - before;
        CHECK(grown >= 1000000 && grown < 1100000);
    }
    CHECK(live_bytes() == before);
    const auto first = spandrel::current_class_stats(0);
    CHECK(first.has_value() && first->block_bytes == 8);
    CHECK(!spandrel::current_class_stats(100000).has_value());
    spandrel_stats_t plain;
    CHECK(spandrel_stats(&plain, sizeof plain) && plain.reserved_bytes > 0);
    spandrel_class_stats_t classes[256];
    const std::size_t count = spandrel_every_class_stats(classes, 256, sizeof *classes);
    CHECK(count > 10 && count < 256 && classes[count - 1].block_bytes == 32768);
    CHECK(spandrel_every_class_stats(nullptr, 0, sizeof *classes) == count);
    CHECK(spandrel_every_class_stats(nullptr, 1, sizeof *classes) == 0);
}

static void named_heaps() {
    const spandrel::heap_options options{"header", 0, 0, nullptr, nullptr, 0, {}};
    spandrel::heap home(std::nothrow, options);
    CHECK(home && home.stats().has_value() && std::strcmp(home.stats()->name, "header") == 0);
    {
        const spandrel::heap_scope scope(home);
        const auto one = std::make_unique<Wide>();
        CHECK(spandrel_heap_of(one.get()) == home.handle() && is_aligned(one.get(), 64));
    }
    spandrel::heap_resource resource(home);
    {
        std::pmr::vector<std::pmr::string> lines(&resource);
        for (int i = 0; i < 100; i++) lines.emplace_back(static_cast<std::size_t>(i), 'z');
        CHECK(spandrel_heap_of(lines.data()) == home.handle());
    }
    std::list<Page, spandrel::heap_allocator<Page>> pages(3, spandrel::heap_allocator<Page>(home));
    for (const Page &page : pages) CHECK(is_aligned(&page, 4096) && spandrel_heap_of(&page) == home.handle());
    pages.clear();
    spandrel_heap_t *const handle = home.release();
    CHECK(!home && spandrel_heap_destroy(handle) == 0);
    const spandrel::heap_options refused{"refused", 2, 1, nullptr, nullptr, 0, {}};
    CHECK(!spandrel::heap(std::nothrow, refused));
}

#if defined(__cpp_exceptions) && defined(__cpp_rtti)
template <class Error, class Work> static bool throws(Work work) {
    try {
        work();
    } catch (const Error &error) {
        return typeid(error) == typeid(Error);
    }
    return false;
}

static void failures() {
    // Through a volatile, or the compiler would refuse by itself.
    volatile std::size_t most = SIZE_MAX;
    const std::size_t all = most;
    Alloc<int> ints;
    CHECK(throws<std::bad_array_new_length>([&] { ints.deallocate(ints.allocate(all), all); }));
    CHECK(throws<std::bad_array_new_length>([&] { ints.deallocate(ints.allocate(all / 4 + 1), 1); }));
    CHECK(throws<std::bad_array_new_length>([&] { static_cast<void>(ints.allocate_at_least(all)); }));
    CHECK(throws<std::bad_alloc>([&] { ints.deallocate(ints.allocate(all / 4), all / 4); }));
    CHECK(throws<std::bad_alloc>([&] { static_cast<void>(ints.allocate_at_least(all / 8)); }));
    CHECK(throws<std::bad_alloc>([&] { static_cast<void>(Alloc<Wide>().allocate(all / sizeof(Wide))); }));
    CHECK(throws<std::bad_alloc>([&] { static_cast<void>(spandrel::resource()->allocate(all / 2)); }));
    CHECK(throws<std::bad_alloc>([&] { static_cast<void>(spandrel::resource()->allocate(all / 2, 64)); }));
}
#endif

int main() {
    containers();
    alignments();
    resources();
    usable();
    figures();
    named_heaps();
#if defined(__cpp_exceptions) && defined(__cpp_rtti)
    failures();
#endif
    std::puts("done");
    return 0;
}
