// Thousands of wrong pointers, into stack and data full of plausible chunk headers, into mapped memory full of noise,
// and to addresses without memory: one line each, and no harm (6). A plausible header in mapped memory could be libc's
// own, so the program puts none there.
// env: SPANDREL_ON_ERROR=report
// expect: exit 0 stderr ALLOCATOR_INVALID_POINTER x5000
// variants: preload linked static
#include <sys/mman.h>
#include "check.h"

#define LENGTH (256 * KIB)

static uint64_t state = 4242;

// Words as libc's chunk headers have them: a small size with flag bits.
static void fill_with_headers(unsigned char *area) {
    uint64_t *words = (uint64_t *)area;
    for (size_t i = 0; i < LENGTH / 8; i++) words[i] = next_random(&state) % 16384 * 16 + next_random(&state) % 8;
}

static void *pick(unsigned char *area) {
    // At offset 16 of a page there could be a real mapped chunk of libc's: no check can know.
    size_t offset;
    do offset = next_random(&state) % (LENGTH - 64) / 16 * 16 + 32; while (offset % 4096 == 16);
    return area + offset;
}

int main(void) {
    static _Alignas(4096) unsigned char in_data[LENGTH];
    _Alignas(4096) unsigned char on_stack[LENGTH];
    unsigned char *mapped = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *guarded = mmap(NULL, LENGTH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED && guarded != MAP_FAILED);
    for (int round = 0; round < 5000; round++) {
        if (round % 500 == 0) {
            fill_with_headers(in_data);
            fill_with_headers(on_stack);
            for (size_t i = 0; i < LENGTH / 8; i++)
                ((uint64_t *)(void *)mapped)[i] = next_random(&state) | (uint64_t)1 << 60;
        }
        void *wrong = NULL;
        switch (round % 6) {
        case 0: wrong = pick(in_data); break;
        case 1: wrong = pick(on_stack); break;
        case 2: wrong = pick(mapped); break;
        case 3: wrong = pick(guarded); break;
        case 4: wrong = (void *)(next_random(&state) | (uint64_t)1 << 63); break;
        default: wrong = (void *)(next_random(&state) % (uint64_t)1e9 * 16 + 4096);
        }
        free(opaque(wrong));
        if (round % 10 == 0) free(opaque(malloc((size_t)round)));
    }
    void *foreign = opaque(__libc_malloc(1000));
    free(foreign);
    return 0;
}
