// Blocks of one function freed by another, and sizes that overflow: the part of the cases that is C++.
#include "attack.h"
#include <cerrno>
#include <cstdlib>
#include <malloc.h>
#include <new>

extern "C" {
void free_sized(void *, size_t) __attribute__((weak));
void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));
}

namespace {

constexpr size_t ALIGNMENT = 64, OTHER = 4096;
constexpr auto ALIGNED = std::align_val_t{ALIGNMENT};
size_t lie;
std::align_val_t lied_alignment = ALIGNED;

void *aligned(size_t alignment, size_t length) {
    void *block = nullptr;
    return posix_memalign(&block, alignment, length) == 0 ? block : nullptr;
}

void *make(long how) {
    switch (how) {
    case MAKE_NEW: return ::operator new(size);
    case MAKE_ARRAY: return ::operator new[](size);
    case MAKE_ALIGNED: return aligned(ALIGNMENT, size);
    case MAKE_NEW_ALIGNED: return ::operator new(size, ALIGNED);
    default: return malloc(size);
    }
}

void *drop(void *block, size_t how) {
    switch (how) {
    case DROP_DELETE: ::operator delete(block); break;
    case DROP_ARRAY: ::operator delete[](block); break;
    case DROP_SIZED: ::operator delete(block, lie); break;
    case DROP_ARRAY_SIZED: ::operator delete[](block, lie); break;
    case DROP_ALIGNED: ::operator delete(block, lie, lied_alignment); break;
    case DROP_FREE_SIZED: free_sized(block, lie); break;
    case DROP_FREE_ALIGNED: free_aligned_sized(block, static_cast<size_t>(lied_alignment), lie); break;
    default: free(block);
    }
    return nullptr;
}

} // namespace

// It is harmless if nothing overlaps afterwards, blocks of the size that was claimed included.
extern "C" void mismatch() {
    long how = argument & 15, dropped = argument >> 4 & 15, wrong = argument >> 8;
    if ((dropped == DROP_FREE_SIZED && !free_sized) || (dropped == DROP_FREE_ALIGNED && !free_aligned_sized))
        not_applicable("the allocator has no such function");
    lie = wrong == TOO_SMALL ? size / 2 : wrong == TOO_LARGE ? size * 2 + 1 : size;
    if (wrong == FAR_TOO_LARGE) lie = size + (1 << 20);
    if (wrong == OTHER_ALIGNMENT) lied_alignment = std::align_val_t{OTHER};
    other_size = lie;
    crowd(neighbours());
    void *block = make(how);
    keep(block, size);
    crowd(neighbours());
    forget(block);
    MISUSE(there(drop, block, dropped));
    aftermath();
}

// Twice by other functions than malloc and free; in two threads each by one.
extern "C" void made_otherwise() {
    static const long makes[] = {MAKE_MALLOC, MAKE_ALIGNED, MAKE_NEW, MAKE_ARRAY, MAKE_NEW};
    static const long first[] = {DROP_FREE, DROP_FREE, DROP_DELETE, DROP_ARRAY, DROP_DELETE};
    static const long second[] = {DROP_FREE, DROP_FREE, DROP_DELETE, DROP_ARRAY, DROP_FREE};
    crowd(neighbours());
    void *block = argument == TWICE_CALLOC ? calloc(1, size) : make(makes[argument]);
    crowd(neighbours());
    here(drop, block, first[argument]);
    MISUSE(there(drop, block, second[argument]));
    aftermath();
}

namespace {

size_t count = SIZE_MAX / 16 + 2;

struct sixteen { long words[2]; };

void *too_large(void *block, size_t how) {
    switch (how) {
    case 0: return malloc(SIZE_MAX);
    case 1: return malloc(SIZE_MAX - 100);
    case 2: return malloc(static_cast<size_t>(PTRDIFF_MAX) + 1);
    case 3: return calloc(count, 16);
    case 4: return calloc(static_cast<size_t>(1) << 33, static_cast<size_t>(1) << 33);
    case 5: return realloc(block, SIZE_MAX);
    case 6: return reallocarray(block, count, 16);
    case 7: return reallocarray(nullptr, static_cast<size_t>(1) << 33, static_cast<size_t>(1) << 31);
    case 8: return aligned_alloc(OTHER, SIZE_MAX & ~(OTHER - 1));
    case 9: return aligned(OTHER, SIZE_MAX - 100);
    case 10: return memalign(static_cast<size_t>(1) << 62, static_cast<size_t>(1) << 62);
    case 11: return pvalloc(SIZE_MAX - 10);
    case 12: return ::operator new(SIZE_MAX - 8, std::nothrow);
    case 13: return ::operator new(SIZE_MAX - 8, ALIGNED, std::nothrow);
    default:
        try {
            return new sixteen[count];
        } catch (const std::bad_alloc &) {
            return nullptr;
        }
    }
}

} // namespace

// Refused is harmless. A block that is returned would be smaller than the program believes.
extern "C" void size_overflow() {
    void *block = argument == 5 || argument == 6 ? owned(size) : nullptr, *found = nullptr;
    MISUSE(found = there(too_large, block, argument));
    if (found) missed("a request that cannot be served was served");
    check();
    aftermath();
}
