/* Spandrel for C++17 and later: an allocator for containers, a resource for std::pmr, and the figures. Nothing but this
   header and the library is needed. docs/using.md explains it.

   Every block comes from operator new and goes back to the sized operator delete of its alignment. So a program's own
   operators are called if it replaced them, the new handler is asked, and a failure is std::bad_alloc. The header
   compiles without exceptions and without run-time types, too. */

#ifndef SPANDREL_HPP
#define SPANDREL_HPP

#if __cplusplus < 201703L
#error "spandrel.hpp needs C++17"
#endif

#include <spandrel.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <type_traits>
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

}  // namespace spandrel

#endif  // SPANDREL_HPP
