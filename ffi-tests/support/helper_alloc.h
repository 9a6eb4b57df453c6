// An allocator for tests: blocks from a fixed piece of memory, behind a header that names their allocator, never
// reused.
#ifndef HELPER_ALLOC_H
#define HELPER_ALLOC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HELPER_HEADER = 16 };
struct helper_head {
    uint64_t owner;
    uint64_t size;
};
#define HELPER_POOL ((size_t)256 << 20)

// One allocator: the pool, how much of it is used, blocks made and freed.
#define HELPER_ALLOCATOR(name, mark)                                                                              \
    static _Alignas(4096) char name##_pool[HELPER_POOL];                                                          \
    static atomic_size_t name##_used, name##_made, name##_freed, name##_wrong;                                    \
    static void *name##_aligned(size_t align, size_t size) {                                                      \
        if (size > HELPER_POOL) return NULL;                                                                      \
        size_t room = HELPER_HEADER + align + ((size + 15) & ~(size_t)15);                                        \
        size_t at = atomic_fetch_add(&name##_used, room) + HELPER_HEADER;                                         \
        if (at + align + size > HELPER_POOL) return NULL;                                                         \
        at = (at + align - 1) & ~(align - 1);                                                                     \
        *(struct helper_head *)(name##_pool + at - HELPER_HEADER) = (struct helper_head){mark, size};             \
        atomic_fetch_add(&name##_made, 1);                                                                        \
        return name##_pool + at;                                                                                  \
    }                                                                                                             \
    static void *name##_malloc(size_t size) { return name##_aligned(16, size); }                                  \
    static int name##_owns(void *block) {                                                                         \
        return (char *)block > name##_pool && (char *)block < name##_pool + HELPER_POOL &&                        \
               ((struct helper_head *)block)[-1].owner == mark;                                                   \
    }                                                                                                             \
    static void name##_free(void *block) {                                                                        \
        if (!name##_owns(block)) {                                                                                \
            atomic_fetch_add(&name##_wrong, 1);                                                                   \
            return;                                                                                               \
        }                                                                                                         \
        ((struct helper_head *)block)[-1].owner = 0;                                                              \
        atomic_fetch_add(&name##_freed, 1);                                                                       \
    }

#endif
