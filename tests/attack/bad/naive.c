// An allocator that believes everything: headers in front of blocks, one list of free blocks for each size, linked
// through the blocks themselves, and no check anywhere. Every category of attacks succeeds against it.
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEADER 16
#define CLASSES 1024
#define AREA ((size_t)8 << 30)

struct block { struct block *next; };
static struct block *freed[CLASSES];
static char *start, *top;
static volatile char locked;

static void lock(void) {
    while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE)) {}
}

static void unlock(void) { __atomic_clear(&locked, __ATOMIC_RELEASE); }

static size_t *size_of(void *block) { return (size_t *)((char *)block - 8); }

// The result may be smaller than the size: the sum may wrap.
static size_t rounded(size_t size) {
    size_t all = (size + 15) & ~(size_t)15;
    return all ? all : 16;
}

static unsigned class_of(size_t size) { return (rounded(size) / 16 * 2654435761u >> 8) % CLASSES; }

static void *cut(size_t alignment, size_t size) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (!start) start = top = mmap(NULL, AREA, PROT_READ | PROT_WRITE, flags, -1, 0);
    char *block = (char *)(((uintptr_t)top + HEADER + alignment - 1) & ~(alignment - 1));
    if (rounded(size) > (size_t)(start + AREA - block)) return errno = ENOMEM, NULL;
    top = block + rounded(size);
    *size_of(block) = rounded(size);
    return block;
}

void *malloc(size_t size) {
    lock();
    struct block **list = &freed[class_of(size)], *block = *list;
    while (block && *size_of(block) != rounded(size)) list = &block->next, block = *list;
    if (block) *list = block->next;
    else block = cut(16, size);
    unlock();
    return block;
}

static void give(void *pointer, size_t size) {
    struct block *block = pointer;
    if (!block) return;
    lock();
    *size_of(block) = rounded(size);
    block->next = freed[class_of(size)];
    freed[class_of(size)] = block;
    unlock();
}

// A header that no block can have is taken for that of a small block.
void free(void *block) {
    if (!block) return;
    size_t size = *size_of(block);
    give(block, size > AREA || size == 0 ? 112 : size);
}

void *calloc(size_t count, size_t size) { return malloc(count * size); }

void *realloc(void *block, size_t size) {
    if (!block) return malloc(size);
    size_t old = *size_of(block);
    if (rounded(size) == old) return block;
    void *moved = malloc(size);
    if (moved) memcpy(moved, block, old < size ? old : size), free(block);
    return moved;
}

void *reallocarray(void *block, size_t count, size_t size) { return realloc(block, count * size); }
size_t malloc_usable_size(void *block) { return block ? *size_of(block) : 0; }

void *aligned_alloc(size_t alignment, size_t size) {
    lock();
    void *block = cut(alignment < 16 ? 16 : alignment, size);
    unlock();
    return block;
}

void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }
void *valloc(size_t size) { return aligned_alloc(4096, size); }
void *pvalloc(size_t size) { return aligned_alloc(4096, (size + 4095) & ~(size_t)4095); }
int malloc_trim(size_t keep) { return keep != 0; }

int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = aligned_alloc(alignment, size);
    return *block ? 0 : ENOMEM;
}

// operator delete(void *, size_t) and its kin: the size is believed.
void delete_sized(void *block, size_t size) __asm__("_ZdlPvm");
void delete_sized(void *block, size_t size) { give(block, size); }
void delete_array_sized(void *block, size_t size) __asm__("_ZdaPvm");
void delete_array_sized(void *block, size_t size) { give(block, size); }
