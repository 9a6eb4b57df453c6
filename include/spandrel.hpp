/* Spandrel for C++17 and later: an allocator for containers, a resource for std::pmr, the figures, and named heaps.
   Nothing but this header and the library is needed. docs/using.md explains it, docs/heaps.md the heaps.

   Blocks of allocator and memory_resource come from operator new and go back to the sized operator delete of their
   alignment. So a program's own operators are called if it replaced them, the new handler is asked, and a failure is
   std::bad_alloc. Those of named heaps come from spandrel_heap_malloc and go back to free; a failure is std::bad_alloc,
   or std::system_error for other reasons. The header compiles without exceptions and run-time types, too. */

#ifndef SPANDREL_HPP
#define SPANDREL_HPP

#if __cplusplus < 201703L
#error "spandrel.hpp needs C++17"
#endif

#include <spandrel.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#if __has_include(<memory_resource>)
#include <memory_resource>
#endif

namespace spandrel {

namespace detail {

/* The alignment that operator new keeps without asking, for blocks of at least so many bytes. */
inline constexpr std::size_t natural_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

/* A block of new below 16 bytes is aligned to 8 alone, which is enough for an object of its size. A caller that names
   an alignment may want more. */
[[nodiscard]] inline std::size_t padded(std::size_t bytes, std::size_t alignment) noexcept {
    return bytes < alignment ? alignment : bytes;
}

[[nodiscard]] inline void *allocate(std::size_t bytes, std::size_t alignment) {
    if (alignment > natural_alignment) return ::operator new(bytes, std::align_val_t{alignment});
    return ::operator new(padded(bytes, alignment));
}

inline void deallocate(void *block, std::size_t bytes, std::size_t alignment) noexcept {
#if defined(__cpp_sized_deallocation)
    if (alignment > natural_alignment)
        ::operator delete(block, bytes, std::align_val_t{alignment});
    else
        ::operator delete(block, padded(bytes, alignment));
#else
    static_cast<void>(bytes);
    if (alignment > natural_alignment)
        ::operator delete(block, std::align_val_t{alignment});
    else
        ::operator delete(block);
#endif
}

[[noreturn]] inline void throw_bad_length() {
#if defined(__cpp_exceptions)
    throw std::bad_array_new_length();
#else
    std::abort();
#endif
}

/* A block and its usable bytes. */
struct sized_block {
    void *block;
    std::size_t bytes;
};

extern "C" {
sized_block spandrel_detail_new(std::size_t size) __asm__("__size_returning_new");
sized_block spandrel_detail_new_aligned(std::size_t size, std::align_val_t alignment)
    __asm__("__size_returning_new_aligned");
}

[[nodiscard]] inline sized_block allocate_at_least(std::size_t bytes, std::size_t alignment) {
    if (alignment > natural_alignment) return spandrel_detail_new_aligned(bytes, std::align_val_t{alignment});
    return spandrel_detail_new(padded(bytes, alignment));
}

}  // namespace detail

/* Where allocate_at_least put how many objects: std::allocation_result, which C++23 has. */
template <class T> struct allocation_result {
    T *ptr;
    std::size_t count;
};

/* An allocator for containers. All of them are equal and interchangeable. */
template <class T> class allocator {
public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using is_always_equal = std::true_type;
    using propagate_on_container_copy_assignment = std::true_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;

    constexpr allocator() noexcept = default;
    template <class U> constexpr allocator(const allocator<U> &) noexcept {}

    /* Throws std::bad_array_new_length if so many objects have more bytes than there are, std::bad_alloc if there is
       no memory. */
    [[nodiscard]] T *allocate(std::size_t count) {
        if (count > SIZE_MAX / sizeof(T)) detail::throw_bad_length();
        return static_cast<T *>(detail::allocate(count * sizeof(T), alignof(T)));
    }

    /* As allocate, and says how many objects there is room for. deallocate takes any count from the one asked for to
       that one. */
    [[nodiscard]] allocation_result<T> allocate_at_least(std::size_t count) {
        if (count > SIZE_MAX / sizeof(T)) detail::throw_bad_length();
        const detail::sized_block got = detail::allocate_at_least(count * sizeof(T), alignof(T));
        return {static_cast<T *>(got.block), got.bytes / sizeof(T)};
    }

    void deallocate(T *block, std::size_t count) noexcept {
        detail::deallocate(block, count * sizeof(T), alignof(T));
    }
};

template <class T, class U> constexpr bool operator==(const allocator<T> &, const allocator<U> &) noexcept {
    return true;
}

template <class T, class U> constexpr bool operator!=(const allocator<T> &, const allocator<U> &) noexcept {
    return false;
}

#if __has_include(<memory_resource>)

/* A resource for std::pmr. All of them are equal. */
class memory_resource final : public std::pmr::memory_resource {
    void *do_allocate(std::size_t bytes, std::size_t alignment) override {
        return detail::allocate(bytes, alignment);
    }

    void do_deallocate(void *block, std::size_t bytes, std::size_t alignment) override {
        detail::deallocate(block, bytes, alignment);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
#if defined(__cpp_rtti)
        return this == &other || dynamic_cast<const memory_resource *>(&other) != nullptr;
#else
        return this == &other;
#endif
    }
};

/* One such resource. It is never destroyed, so objects that outlive main may use it. */
[[nodiscard]] inline memory_resource *resource() noexcept {
    alignas(memory_resource) static unsigned char place[sizeof(memory_resource)];
    static memory_resource *const one = ::new (static_cast<void *>(place)) memory_resource;
    return one;
}

#endif

/* The structures of spandrel.h by names that are no functions. */
using stats = ::spandrel_stats_t;
using class_stats = ::spandrel_class_stats_t;

/* The figures of the allocator at this moment; nothing if there is no memory to take them in. */
[[nodiscard]] inline std::optional<stats> current_stats() noexcept {
    stats figures{};
    if (!::spandrel_stats(&figures, sizeof figures)) return std::nullopt;
    return figures;
}

/* Those of the size class of that number, the smallest blocks first; nothing if there is no such class. */
[[nodiscard]] inline std::optional<class_stats> current_class_stats(std::size_t index) noexcept {
    class_stats figures{};
    if (!::spandrel_class_stats(index, &figures, sizeof figures)) return std::nullopt;
    return figures;
}

namespace detail {

/* std::bad_alloc for ENOMEM, std::system_error for other error numbers. */
[[noreturn]] inline void throw_error(int error, const char *call) {
#if defined(__cpp_exceptions)
    if (error == ENOMEM) throw std::bad_alloc();
    throw std::system_error(error, std::generic_category(), call);
#else
    static_cast<void>(error);
    static_cast<void>(call);
    std::abort();
#endif
}

/* A block of a named heap. The new handler is not asked, since it knows nothing of heaps: a heap's callback is. */
[[nodiscard]] inline void *allocate_in(spandrel_heap_t *heap, std::size_t bytes, std::size_t alignment) {
    void *const block = alignment > alignof(std::max_align_t)
                            ? ::spandrel_heap_aligned_alloc(heap, alignment, bytes)
                            : ::spandrel_heap_malloc(heap, padded(bytes, alignment));
    if (block == nullptr) throw_error(errno, "spandrel_heap_malloc");
    return block;
}

}  // namespace detail

/* Figures of a named heap, and what one is made with, by names that are no functions. */
using heap_stats = struct ::spandrel_heap_stats;
using heap_options = struct ::spandrel_heap_options;

/* Limits of a named heap in bytes; 0: none. */
struct heap_limits {
    std::size_t soft = 0;
    std::size_t hard = 0;
};

/* The owner of a named heap. Its destructor destroys the heap with all blocks in it. A heap that a thread uses just
   then stays as it was, and the library prints ALLOCATOR_HEAP_IN_USE. */
class heap {
public:
    /* An owner without a heap. */
    heap() noexcept = default;

    /* Makes a heap. Flags: SPANDREL_HEAP_SHARED if several threads use it at the same time. Throws std::bad_alloc, or
       std::system_error: EINVAL if the soft limit is above the hard one, ENOTSUP if libc or mode "custom" serves. */
    explicit heap(const char *name, heap_limits limits = {}, unsigned flags = 0)
        : heap(heap_options{name, limits.soft, limits.hard, nullptr, nullptr, flags, {}}) {}

    /* The same with all options, such as a callback. */
    explicit heap(const heap_options &options) : heap(std::nothrow, options) {
        if (handle_ == nullptr) detail::throw_error(errno, "spandrel_heap_create");
    }

    /* The same without exceptions: an owner without a heap, and errno, if there is none. */
    heap(std::nothrow_t, const heap_options &options) noexcept : handle_(::spandrel_heap_create(&options)) {}

    /* The owner of a heap that C made. */
    [[nodiscard]] static heap adopt(spandrel_heap_t *handle) noexcept {
        heap owner;
        owner.handle_ = handle;
        return owner;
    }

    heap(heap &&other) noexcept : handle_(other.release()) {}
    heap &operator=(heap &&other) noexcept {
        const heap former = adopt(std::exchange(handle_, other.release()));
        return *this;
    }
    heap(const heap &) = delete;
    heap &operator=(const heap &) = delete;
    ~heap() {
        if (handle_ != nullptr) static_cast<void>(::spandrel_heap_destroy(handle_));
    }

    [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }
    [[nodiscard]] spandrel_heap_t *handle() const noexcept { return handle_; }

    /* Leaves the heap to the caller, who destroys or deletes it. */
    [[nodiscard]] spandrel_heap_t *release() noexcept { return std::exchange(handle_, nullptr); }

    /* Frees every block of the heap at once; the owner has no heap then. Throws std::system_error (EBUSY) if a thread
       uses the heap, which stays as it was. */
    void destroy() { end(&::spandrel_heap_destroy, "spandrel_heap_destroy"); }

    /* Ends the heap, and its live blocks pass to the default heap. Throws as destroy. */
    void delete_softly() { end(&::spandrel_heap_delete, "spandrel_heap_delete"); }

    /* A block of the heap, whichever heap the thread uses; std::free frees it. Throws std::bad_alloc, or
       std::system_error (EBUSY) if another thread uses the heap, which is not shared. */
    [[nodiscard]] void *allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) const {
        return detail::allocate_in(handle_, bytes, alignment);
    }

    /* Gives a live block to the heap. Returns where it is then: small blocks are copied. Throws as allocate, and the
       block is as it was. */
    [[nodiscard]] void *take(void *block) const {
        void *const moved = ::spandrel_heap_move(handle_, block);
        if (moved == nullptr) detail::throw_error(errno, "spandrel_heap_move");
        return moved;
    }

    void set_limits(heap_limits to) const {
        const int error = ::spandrel_heap_set_limits(handle_, to.soft, to.hard);
        if (error != 0) detail::throw_error(error, "spandrel_heap_set_limits");
    }

    /* The figures of this moment; nothing if there is no heap. */
    [[nodiscard]] std::optional<heap_stats> stats() const noexcept {
        heap_stats figures{};
        if (!*this || ::spandrel_heap_stats(handle_, &figures, sizeof figures) != 0) return std::nullopt;
        return figures;
    }

private:
    void end(int (*how)(spandrel_heap_t *), const char *call) {
        if (handle_ == nullptr) return;
        const int error = how(handle_);
        if (error != 0) detail::throw_error(error, call);
        handle_ = nullptr;
    }

    spandrel_heap_t *handle_ = nullptr;
};

/* While it lives, what the thread asks for is the heap's: new, malloc, and all that calls them. Scopes nest, and end on
   the thread that began them, the last one first. */
class [[nodiscard]] heap_scope {
public:
    /* Throws std::system_error: EBUSY if another thread uses the heap, which is not shared; EINVAL if there is none. */
    explicit heap_scope(const heap &used) : heap_scope(used.handle()) {}

    /* The same by a handle. nullptr leaves all heaps, and the end of the scope uses the innermost of them alone. */
    explicit heap_scope(spandrel_heap_t *handle) : before_(::spandrel_heap_use(handle)) {
        if (before_ == SPANDREL_HEAP_FAILED) detail::throw_error(errno, "spandrel_heap_use");
    }

    heap_scope(const heap_scope &) = delete;
    heap_scope &operator=(const heap_scope &) = delete;
    ~heap_scope() {
        /* It fails only where that heap is gone, or another thread's by now. */
        if (::spandrel_heap_use(before_) == SPANDREL_HEAP_FAILED) static_cast<void>(::spandrel_heap_use(nullptr));
    }

private:
    spandrel_heap_t *before_;
};

/* An allocator for containers that takes every block from one heap. Two are equal if their heaps are, so a container
   that is assigned to one of another heap moves or copies its elements there. The heap outlives the container, or the
   container is left without a call of its destructor, and destroying the heap frees its memory. */
template <class T> class heap_allocator {
public:
    using value_type = T;
    using propagate_on_container_swap = std::true_type;

    explicit heap_allocator(const heap &used) noexcept : handle_(used.handle()) {}
    explicit heap_allocator(spandrel_heap_t *handle) noexcept : handle_(handle) {}
    template <class U> heap_allocator(const heap_allocator<U> &other) noexcept : handle_(other.handle()) {}

    /* Throws as heap::allocate, and std::bad_array_new_length if so many objects have more bytes than there are. */
    [[nodiscard]] T *allocate(std::size_t count) {
        if (count > SIZE_MAX / sizeof(T)) detail::throw_bad_length();
        return static_cast<T *>(detail::allocate_in(handle_, count * sizeof(T), alignof(T)));
    }

    void deallocate(T *block, std::size_t) noexcept { std::free(block); }

    [[nodiscard]] spandrel_heap_t *handle() const noexcept { return handle_; }

private:
    spandrel_heap_t *handle_;
};

template <class T, class U> bool operator==(const heap_allocator<T> &one, const heap_allocator<U> &other) noexcept {
    return one.handle() == other.handle();
}

template <class T, class U> bool operator!=(const heap_allocator<T> &one, const heap_allocator<U> &other) noexcept {
    return !(one == other);
}

#if __has_include(<memory_resource>)

/* A resource for std::pmr that takes every block from one heap. Two are equal if their heaps are. */
class heap_resource final : public std::pmr::memory_resource {
public:
    explicit heap_resource(const heap &used) noexcept : handle_(used.handle()) {}
    explicit heap_resource(spandrel_heap_t *handle) noexcept : handle_(handle) {}

    [[nodiscard]] spandrel_heap_t *handle() const noexcept { return handle_; }

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override {
        return detail::allocate_in(handle_, bytes, alignment);
    }

    void do_deallocate(void *block, std::size_t, std::size_t) override { std::free(block); }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
#if defined(__cpp_rtti)
        const auto *const same = dynamic_cast<const heap_resource *>(&other);
        return same != nullptr && same->handle_ == handle_;
#else
        return this == &other;
#endif
    }

    spandrel_heap_t *handle_;
};

#endif

}  // namespace spandrel

#endif  // SPANDREL_HPP
