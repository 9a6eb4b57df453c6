// An allocator that nothing gets past: each block ends where a page ends, the pages around it have no access, no
// address is used twice, and a table knows every live block. It wins every row, at a cost that nobody would pay.
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define AREA ((size_t)1 << 40)
#define SLOTS (1 << 17)

static struct slot { char *block; size_t size; } slots[SLOTS];
static char *start, *top;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t pages(size_t size) { return (size + PAGE - 1) & ~(PAGE - 1); }

// Removed slots stay used: no address comes twice.
static struct slot *slot_of(const void *block) {
    size_t at = (uintptr_t)block / 16 * 0x9e3779b97f4a7c15u >> 47;
    while (slots[at].block && slots[at].block != block) at = (at + 1) % SLOTS;
    return &slots[at];
}

static void refuse(const char *what) {
    if (write(2, what, strlen(what)) > 0) abort();
    abort();
}

static void *make(size_t alignment, size_t size) {
    if (size > AREA / 4 || alignment > AREA / 4) return errno = ENOMEM, NULL;
    pthread_mutex_lock(&lock);
    if (!start) start = top = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t slack = (PAGE - size % PAGE) % PAGE & ~(alignment - 1);
    char *first = (char *)(((uintptr_t)top + PAGE + alignment - 1) & ~(alignment - 1) & ~(PAGE - 1));
    if (alignment > PAGE) first = (char *)(((uintptr_t)top + PAGE + alignment - 1) & ~(alignment - 1));
    struct slot *slot = slot_of(first + slack);
    void *block = NULL;
    if (first + pages(size) + 2 * PAGE > start + AREA || mprotect(first, pages(size), PROT_READ | PROT_WRITE)) {
        errno = ENOMEM;
    } else {
        block = first + slack;
        *slot = (struct slot){block, size + 1};
        top = first + pages(size) + PAGE;
    }
    pthread_mutex_unlock(&lock);
    return block;
}

static size_t size_of(const void *block) {
    pthread_mutex_lock(&lock);
    const struct slot *slot = slot_of(block);
    size_t size = slot->block ? slot->size : 0;
    pthread_mutex_unlock(&lock);
    if (size == 0) refuse("fence: no live block starts there\n");
    return size - 1;
}

void free(void *block) {
    if (!block) return;
    size_t size = size_of(block);
    slot_of(block)->size = 0;
    char *first = (char *)((uintptr_t)block & ~(PAGE - 1));
    mmap(first, pages(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void *malloc(size_t size) { return make(16, size); }

void *calloc(size_t count, size_t size) {
    size_t all;
    return __builtin_mul_overflow(count, size, &all) ? errno = ENOMEM, NULL : malloc(all);
}

void *realloc(void *block, size_t size) {
    if (!block) return malloc(size);
    size_t old = size_of(block);
    void *moved = malloc(size);
    if (moved) memcpy(moved, block, old < size ? old : size), free(block);
    return moved;
}

void *reallocarray(void *block, size_t count, size_t size) {
    size_t all;
    return __builtin_mul_overflow(count, size, &all) ? errno = ENOMEM, NULL : realloc(block, all);
}

size_t malloc_usable_size(void *block) { return block ? size_of(block) : 0; }
void *aligned_alloc(size_t alignment, size_t size) { return make(alignment < 16 ? 16 : alignment, size); }
void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }
void *valloc(size_t size) { return aligned_alloc(PAGE, size); }
void *pvalloc(size_t size) { return size > AREA ? NULL : aligned_alloc(PAGE, pages(size)); }
int malloc_trim(size_t keep) { return keep != 0; }

int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = aligned_alloc(alignment, size);
    return *block ? 0 : ENOMEM;
}

static void free_of_size(void *block, size_t size) {
    if (block && size_of(block) != size) refuse("fence: the block has another size\n");
    free(block);
}

// operator delete(void *, size_t), its kin, and the sized frees of C.
void delete_sized(void *block, size_t size) __asm__("_ZdlPvm");
void delete_sized(void *block, size_t size) { free_of_size(block, size); }
void delete_array_sized(void *block, size_t size) __asm__("_ZdaPvm");
void delete_array_sized(void *block, size_t size) { free_of_size(block, size); }

// operator new(size_t, std::align_val_t, const std::nothrow_t &): that of libstdc++ rounds the size up until it wraps.
void *new_aligned(size_t size, size_t alignment, const void *nothrow) __asm__("_ZnwmSt11align_val_tRKSt9nothrow_t");
void *new_aligned(size_t size, size_t alignment, const void *nothrow) {
    return nothrow ? aligned_alloc(alignment, size) : NULL;
}
