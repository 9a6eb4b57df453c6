// spandrel.hpp's named heaps: an owner destroys its heap, scopes nest and end by exceptions too, resources and
// allocators take every block from their heap and are equal by heap, and failures are exceptions of the right kind.
// expect: exit 0 stderr ALLOCATOR_HEAP_LIMIT|ALLOCATOR_HEAP_IN_USE|ALLOCATOR_HEAP_GONE x3
// variants: linked static
// run: fast
// run: tracked
// env: SPANDREL_MODE=tracked
// run: guarded
// env: SPANDREL_MODE=guarded
#include <list>
#include <map>
#include <memory>
#include <new>
#include <spandrel.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>
#include "check.h"

using spandrel::heap;
using spandrel::heap_allocator;
using spandrel::heap_resource;
using spandrel::heap_scope;

static_assert(!std::is_copy_constructible_v<heap> && std::is_nothrow_move_constructible_v<heap>);
static_assert(!std::is_copy_constructible_v<heap_scope> && !std::is_move_constructible_v<heap_scope>);
static_assert(!std::allocator_traits<heap_allocator<int>>::is_always_equal::value);
static_assert(std::is_same_v<spandrel::heap_stats, struct spandrel_heap_stats>);

// The error number of the exception that the work ends with; 0 without one, ENOMEM for std::bad_alloc.
template <class Work> static int error_of(Work work) {
    try {
        work();
    } catch (const std::bad_alloc &) {
        return ENOMEM;
    } catch (const std::system_error &error) {
        return error.code().category() == std::generic_category() ? error.code().value() : -1;
    }
    return 0;
}

static bool exists(spandrel_heap_t *handle) {
    spandrel_heap_t *all[64];
    const size_t count = spandrel_heap_list(all, 64);
    CHECK(count <= 64);
    for (size_t i = 0; i < count; i++)
        if (all[i] == handle) return true;
    return false;
}

// Blocks that a thread frees while it uses another heap travel in batches: the figures once these have arrived.
static spandrel::heap_stats settled(const heap &home) {
    spandrel_safepoint(0);
    const heap_scope scope(home);
    spandrel_safepoint(0);
    return *home.stats();
}

static void owners() {
    spandrel_heap_t *handle;
    {
        heap one("one", {MIB, 2 * MIB});
        handle = one.handle();
        CHECK(one && exists(handle));
        const auto figures = one.stats();
        CHECK(figures && strcmp(figures->name, "one") == 0 && figures->soft_limit == MIB);
        CHECK(figures->hard_limit == 2 * MIB && figures->live_blocks == 0);
        heap two(std::move(one));
        CHECK(!one && two.handle() == handle && !one.stats() && exists(handle));
        // Moving to an owner of another heap destroys that one.
        heap three("three");
        spandrel_heap_t *const former = three.handle();
        three = std::move(two);
        CHECK(!two && three.handle() == handle && !exists(former));
        three.set_limits({});
        CHECK(three.stats()->hard_limit == 0);
        CHECK(error_of([&] { three.set_limits({2, 1}); }) == EINVAL);
    }
    CHECK(!exists(handle));
    {
        heap released("released");
        handle = released.release();
        CHECK(!released);
    }
    CHECK(exists(handle));
    heap adopted = heap::adopt(handle);
    char *const block = static_cast<char *>(adopted.allocate(100));
    fill(block, 100, 1);
    adopted.delete_softly();
    CHECK(!adopted && !exists(handle) && holds(block, 100, 1));
    CHECK(spandrel_heap_of(block) == nullptr);
    free(block);
    heap none(std::nothrow, spandrel::heap_options{"none", 2, 1, nullptr, nullptr, 0});
    CHECK(!none && errno == EINVAL);
    CHECK(error_of([] { heap refused("refused", {2, 1}); }) == EINVAL);
    none.destroy();
}

static void scopes() {
    const heap outer("outer"), inner("inner");
    CHECK(spandrel_heap_current() == nullptr);
    {
        const heap_scope in_outer(outer);
        const auto text = std::make_unique<std::string>(1000, 'x');
        CHECK(spandrel_heap_of(text.get()) == outer.handle() && spandrel_heap_of(text->data()) == outer.handle());
        try {
            const heap_scope in_inner(inner);
            CHECK(spandrel_heap_current() == inner.handle());
            const std::vector<int> numbers(1000);
            CHECK(spandrel_heap_of(numbers.data()) == inner.handle());
            throw 1;
        } catch (int) {
            CHECK(spandrel_heap_current() == outer.handle());
        }
        {
            const heap_scope outside(nullptr);
            CHECK(spandrel_heap_current() == nullptr);
            const std::unique_ptr<int[]> kept(new int[100]);
            CHECK(spandrel_heap_of(kept.get()) == nullptr);
        }
        CHECK(spandrel_heap_current() == outer.handle());
    }
    CHECK(spandrel_heap_current() == nullptr);
    CHECK(outer.stats()->live_blocks == 0 && outer.stats()->users == 0 && inner.stats()->users == 0);
}

static void containers() {
    heap home("home");
    const heap other("other");
    heap_resource resource(home), same(home), elsewhere(other);
    CHECK(resource.is_equal(same) && !resource.is_equal(elsewhere) && !resource.is_equal(*spandrel::resource()));
    {
        std::pmr::map<int, std::pmr::string> names(&resource);
        for (int i = 0; i < 1000; i++) names.emplace(i, "a text that is longer than what a string holds in itself");
        CHECK(spandrel_heap_of(&*names.begin()) == home.handle());
        CHECK(spandrel_heap_of(names.at(7).data()) == home.handle());
        CHECK(home.stats()->live_blocks >= 2000);
        // Assigned to a map of another heap, the elements are there.
        std::pmr::map<int, std::pmr::string> moved(&elsewhere);
        moved = std::move(names);
        CHECK(spandrel_heap_of(moved.at(7).data()) == other.handle() && moved.size() == 1000);
    }
    CHECK(settled(home).live_blocks == 0 && settled(other).live_blocks == 0);
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (size_t size : {0, 1, 8, 100, 5000, 300000}) {
            void *const block = resource.allocate(size, alignment);
            CHECK_WITH(aligned_to(block, alignment) && spandrel_heap_of(block) == home.handle(), alignment);
            memset(block, 1, size);
            resource.deallocate(block, size, alignment);
        }
    }
    {
        std::vector<long, heap_allocator<long>> numbers{heap_allocator<long>(home)};
        for (long i = 0; i < 100000; i++) numbers.push_back(i);
        std::list<long, heap_allocator<long>> listed(numbers.begin(), numbers.begin() + 10, heap_allocator<long>(home));
        CHECK(spandrel_heap_of(numbers.data()) == home.handle() && spandrel_heap_of(&listed.back()) == home.handle());
        CHECK(heap_allocator<char>(home) == heap_allocator<long>(home));
        CHECK(heap_allocator<char>(home) != heap_allocator<char>(other));
        std::vector<long, heap_allocator<long>> there(std::move(numbers), heap_allocator<long>(other));
        CHECK(spandrel_heap_of(there.data()) == other.handle() && there[99999] == 99999);
        // A block of no heap passes to one.
        char *text = static_cast<char *>(malloc(200));
        fill(text, 200, 3);
        text = static_cast<char *>(home.take(text));
        CHECK(spandrel_heap_of(text) == home.handle() && holds(text, 200, 3));
    }
    CHECK_WITH(settled(home).live_blocks == 1 && settled(home).large_bytes == 0, settled(home).live_blocks);
    // An object that nothing destroys goes with the heap.
    new (home.allocate(sizeof(std::pmr::vector<int>))) std::pmr::vector<int>(100000, 7, &resource);
    CHECK(home.stats()->live_bytes >= 400000);
    home.destroy();
    CHECK(!home);
}

static void failures() {
    const heap small("small", {0, MIB});
    heap_resource resource(small);
    std::vector<void *> taken;
    CHECK(error_of([&] {
              for (int i = 0; i < 1000; i++) taken.push_back(resource.allocate(10000));
          }) == ENOMEM);
    CHECK(taken.size() > 50 && small.stats()->held_bytes <= MIB && small.stats()->refusals > 0);
    for (void *block : taken) resource.deallocate(block, 10000);
    heap_allocator<long> longs(small);
    volatile size_t most = SIZE_MAX;
    bool is_length = false;
    try {
        longs.deallocate(longs.allocate(most / 4), 1);
    } catch (const std::bad_array_new_length &) {
        is_length = true;
    }
    CHECK(is_length);
    // A heap that a thread uses is not destroyed, and no other thread may use it.
    heap used("used");
    {
        const heap_scope in_used(used);
        CHECK(error_of([&] { used.destroy(); }) == EBUSY && used && exists(used.handle()));
        int found = 0;
        std::thread([&] { found = error_of([&] { const heap_scope too(used); }); }).join();
        CHECK_WITH(found == EBUSY, found);
    }
    // One that is shared may be used by both.
    const heap shared("shared", {}, SPANDREL_HEAP_SHARED);
    const heap_scope in_shared(shared);
    std::thread([&] {
        const heap_scope too(shared);
        const std::string text(1000, 'y');
        CHECK(spandrel_heap_of(text.data()) == shared.handle());
    }).join();
    spandrel_heap_t *const gone = used.handle();
    used.destroy();
    heap_resource stale(gone);
    CHECK(error_of([&] { stale.deallocate(stale.allocate(10), 10); }) == EINVAL);
    CHECK(error_of([&] { const heap_scope in_gone(gone); }) == EINVAL);
}

int main() {
    owners();
    scopes();
    containers();
    failures();
    return 0;
}
