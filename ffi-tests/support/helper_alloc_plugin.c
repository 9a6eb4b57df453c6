// A plugin for mode custom: blocks of libc's behind a header of its own, which only its own free can take. It calls
// malloc.
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *block);

enum { MARK = 0x333, HEADER = 64 };
struct head {
    void *base;
    uint64_t mark;
};
static atomic_size_t made, mistakes;

void *spandrel_plugin_aligned_alloc(size_t align, size_t size) {
    size_t before = align > HEADER ? align : HEADER;
    if (size > PTRDIFF_MAX - before) return NULL;
    char *base = __libc_memalign(align, before + size);
    if (base == NULL) return NULL;
    ((struct head *)(base + before))[-1] = (struct head){base, MARK};
    atomic_fetch_add(&made, 1);
    return base + before;
}

void *spandrel_plugin_malloc(size_t size) {
    free(malloc(size % 100));
    return spandrel_plugin_aligned_alloc(16, size);
}

void spandrel_plugin_free(void *block) {
    free(malloc(10));
    struct head *head = (struct head *)block - 1;
    if (head->mark != MARK) {
        atomic_fetch_add(&mistakes, 1);
        return;
    }
    head->mark = 0;
    __libc_free(head->base);
}

size_t plugin_blocks(void) { return made; }
size_t plugin_mistakes(void) { return mistakes; }
