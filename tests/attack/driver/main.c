// The table of all attacks, and the choice of one: `driver list`, or `driver CATEGORY/NAME SIZE THREADS [calm]`.
#include "attack.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECONDS_MOST 10

#define D "double-free"
#define I "invalid-free"
#define O "overflow"
#define U "underflow"
#define W "write-after-free"
#define R "read"
#define N "reuse"
#define F "fresh-memory"
#define Z "zero-size"
#define S "size-overflow"
#define M "mismatch"
#define G "forgery"
#define HEADED (SMALL | MEDIUM | BIG)

#define SPILL(word, function, category, bytes, sizes) \
    {category, word "-free", function, EVENT(AT_FREE, bytes), sizes, BOTH}, \
    {category, word "-realloc", function, EVENT(AT_REALLOC, bytes), sizes, ALONE}, \
    {category, word "-neighbour-freed", function, EVENT(AT_NEIGHBOUR, bytes), sizes, ALONE}, \
    {category, word "-exit", function, EVENT(AT_EXIT, bytes), sizes, ALONE}, \
    {category, word "-never", function, EVENT(NEVER, bytes), sizes, ALONE}

static const struct attack ATTACKS[] = {
    {D, "near", double_free, 0, ALL, BOTH},
    {D, "interleaved", double_free, 1, ALL, BOTH},
    {D, "interleaved-2", double_free, 2, ALL, BOTH},
    {D, "far-8", double_free, 8, ALL & ~DIRECT, BOTH},
    {D, "far-100", double_free, 100, ALL & ~DIRECT, BOTH},
    {D, "far-1000", double_free, 1000, BINNED, BOTH},
    {D, "wiped", double_free_wiped, 0, ALL, BOTH},
    {D, "wiped-interleaved", double_free_wiped, 1, ALL, BOTH},
    {D, "wiped-far-8", double_free_wiped, 8, ALL & ~DIRECT, BOTH},
    {D, "wiped-far-100", double_free_wiped, 100, ALL & ~DIRECT, BOTH},
    {D, "poisoned", double_free_poisoned, 0, ALL, BOTH},
    {D, "poisoned-far-8", double_free_poisoned, 8, ALL & ~DIRECT, BOTH},
    {D, "remote-twice", remote_twice, 0, ALL, PAIR},
    {D, "remote-twice-far-8", remote_twice, 8, ALL & ~DIRECT, PAIR},
    {D, "remote-then-owner", remote_then_owner, 0, ALL, PAIR},
    {D, "remote-then-owner-far-8", remote_then_owner, 8, ALL & ~DIRECT, PAIR},
    {D, "two-strangers", two_strangers, 0, ALL, PAIR},
    {D, "owner-ended", owner_ended, 0, ALL, BOTH},
    {D, "owner-ended-far-8", owner_ended, 8, ALL & ~DIRECT, BOTH},
    {D, "freer-ended", freer_ended, 0, ALL, BOTH},
    {D, "after-realloc-moved", realloc_moved, 0, ALL, BOTH},
    {D, "after-realloc-in-place", realloc_in_place, 0, ALL, BOTH},
    {D, "realloc-twice", realloc_twice, 0, ALL, BOTH},
    {D, "realloc-freed", realloc_freed, 0, ALL, BOTH},
    {D, "realloc-freed-far-8", realloc_freed, 8, ALL & ~DIRECT, BOTH},
    {D, "all-freed", span_gone, 0, ALL, BOTH},
    {D, "all-freed-and-trimmed", after_trim, 0, ALL, BOTH},
    {D, "end-of-block", free_neighbour, 0, ALL, BOTH},
    {D, "calloc", made_otherwise, TWICE_CALLOC, ALL, BOTH},
    {D, "aligned", made_otherwise, TWICE_ALIGNED, ALL, BOTH},
    {D, "delete", made_otherwise, TWICE_DELETE, ALL, BOTH},
    {D, "delete-array", made_otherwise, TWICE_DELETE_ARRAY, ALL, BOTH},
    {D, "free-and-delete", made_otherwise, TWICE_FREE_DELETE, ALL, BOTH},

    {I, "inside-8", invalid_offset, 8, ALL, BOTH},
    {I, "inside-16", invalid_offset, 16, ALL & ~TINY, BOTH},
    {I, "inside-middle", invalid_offset, 0, ALL & ~TINY, BOTH},
    {I, "inside-page", invalid_offset, 4096, BIG | LARGE | DIRECT, BOTH},
    {I, "inside-32k", invalid_offset, 32768, LARGE | DIRECT, BOTH},
    {I, "misaligned-1", invalid_offset, 1, ALL, BOTH},
    {I, "misaligned-7", invalid_offset, 7, ALL, BOTH},
    {I, "before-8", invalid_offset, -8, ALL, BOTH},
    {I, "before-16", invalid_offset, -16, ALL & ~TINY, BOTH},
    {I, "inside-freed-16", invalid_freed_inside, 16, ALL & ~TINY, BOTH},
    {I, "inside-freed-middle", invalid_freed_inside, 0, ALL & ~TINY, BOTH},
    {I, "inside-with-header", invalid_forged, 0, ALL & ~TINY, BOTH},
    {I, "realloc-inside-16", invalid_realloc, 16, ALL & ~TINY, BOTH},
    {I, "realloc-inside-middle", invalid_realloc, 0, ALL & ~TINY, BOTH},
    {I, "usable-size-inside-16", invalid_usable_size, 16, ALL & ~TINY, BOTH},
    {I, "tagged-top-byte", invalid_tag, 0x5a00, ALL, BOTH},
    {I, "tagged-bit-48", invalid_tag, 1, ALL, BOTH},
    {I, "stack", invalid_place, STACK, SMALL, BOTH},
    {I, "global", invalid_place, GLOBAL, SMALL, BOTH},
    {I, "code", invalid_place, CODE, SMALL, BOTH},
    {I, "literal", invalid_place, LITERAL, SMALL, BOTH},
    {I, "environment", invalid_place, ARGUMENTS, SMALL, BOTH},
    {I, "thread-local", invalid_place, THREAD_LOCAL, SMALL, BOTH},
    {I, "low-address", invalid_place, LOW, SMALL, BOTH},
    {I, "near-null", invalid_place, NEAR_NULL, SMALL, BOTH},
    {I, "wild", invalid_place, WILD, SMALL, BOTH},
    {I, "kernel-address", invalid_place, KERNEL, SMALL, BOTH},
    {I, "far-in-the-heap", invalid_place, FAR_AWAY, ALL & ~DIRECT, BOTH},
    {I, "mapping", invalid_place, MAPPED, SMALL, BOTH},
    {I, "inside-mapping", invalid_place, MAPPED_INSIDE, SMALL, BOTH},
    {I, "unmapped", invalid_place, UNMAPPED, SMALL, BOTH},
    {I, "of-libc", invalid_place, LIBC, ALL, BOTH},
    {I, "program-break", invalid_place, BREAK, SMALL, BOTH},
    {I, "stream", invalid_place, STREAM, SMALL, BOTH},

    SPILL("1", overflow, O, 1, ALL), SPILL("8", overflow, O, 8, ALL), SPILL("32", overflow, O, 32, ALL),
    SPILL("64", overflow, O, 64, ALL), SPILL("memcpy-256", overflow, O, 256, ALL),
    {O, "nul-free", overflow, EVENT(AT_FREE, 0), ALL, BOTH},
    {O, "next-page-free", overflow, EVENT(AT_FREE, 4096 + 256), ALL, BOTH},
    {O, "next-span-free", overflow, EVENT(AT_FREE, 1 << 16), ALL, BOTH},

    SPILL("1", underflow, U, 1, ALL), SPILL("8", underflow, U, 8, ALL), SPILL("32", underflow, U, 32, ALL),
    SPILL("64", underflow, U, 64, ALL), SPILL("memcpy-256", underflow, U, 256, ALL),

    {W, "at-once", write_freed, 0, ALL, BOTH},
    {W, "last-word", write_freed, 1, ALL, BOTH},
    {W, "after-1000-calls", write_freed, 1000 << 4, ALL & ~DIRECT, BOTH},
    {W, "then-exit", write_freed_exit, 0, ALL, BOTH},
    {W, "reused-by-next", write_reused, 1, ALL, BOTH},
    {W, "reused-by-64", write_reused, 64, ALL, BOTH},
    {W, "reused-by-all", write_reused, 1200, ALL, BOTH},
    {W, "after-realloc", write_after_realloc, 0, ALL, BOTH},

    {R, "freed", read_freed, 0, ALL, BOTH},
    {R, "freed-after-100-calls", read_freed_later, 100, ALL, BOTH},
    {R, "after-realloc", read_after_realloc, 0, ALL, BOTH},
    {R, "address-in-freed", read_freed_pointer, 0, ALL, BOTH},
    {R, "beyond-64", read_beyond, 64, ALL, BOTH},
    {R, "beyond-page", read_beyond, 4096, ALL, BOTH},
    {R, "before-64", read_beyond, -64, ALL, BOTH},

    {N, "next-malloc", reuse_soon, 1, ALL, BOTH},
    {N, "next-8-mallocs", reuse_soon, 8, ALL, BOTH},
    {N, "next-64-mallocs", reuse_soon, 64, ALL & ~DIRECT, BOTH},
    {N, "stale-free-after-1", reuse_stale_free, 1, ALL, BOTH},
    {N, "stale-free-after-64", reuse_stale_free, 64, ALL & ~DIRECT, BOTH},
    {N, "side-by-side", reuse_adjacent, 0, ALL & ~DIRECT, ALONE},

    {F, "old-secret-in-malloc", uninitialised, 0, ALL, BOTH},
    {F, "old-secret-in-realloc", realloc_grown, 0, ALL, BOTH},
    {F, "calloc-of-dirty", calloc_dirty, 0, ALL, BOTH},
    {F, "calloc-after-write", calloc_written, 0, ALL, BOTH},

    {Z, "write-1", zero_write, 1, TINY, BOTH},
    {Z, "write-16", zero_write, 16, TINY, BOTH},
    {Z, "write-64", zero_write, 64, TINY, BOTH},
    {Z, "read-16", zero_read, 16, TINY, BOTH},
    {Z, "read-64", zero_read, 64, TINY, BOTH},
    {Z, "double-free", zero_double, 0, TINY, BOTH},
    {Z, "distinct", zero_distinct, 0, TINY, BOTH},
    {Z, "realloc-to-zero-and-free", zero_realloc, 0, ALL, BOTH},

    {S, "malloc-all", size_overflow, 0, SMALL, BOTH},
    {S, "malloc-minus-101", size_overflow, 1, SMALL, BOTH},
    {S, "malloc-half", size_overflow, 2, SMALL, BOTH},
    {S, "calloc-wraps-small", size_overflow, 3, SMALL, BOTH},
    {S, "calloc-wraps-to-zero", size_overflow, 4, SMALL, BOTH},
    {S, "realloc-all", size_overflow, 5, ALL, BOTH},
    {S, "reallocarray-wraps", size_overflow, 6, ALL, BOTH},
    {S, "reallocarray-wraps-to-zero", size_overflow, 7, SMALL, BOTH},
    {S, "aligned-alloc", size_overflow, 8, SMALL, BOTH},
    {S, "posix-memalign", size_overflow, 9, SMALL, BOTH},
    {S, "memalign-wraps-to-half", size_overflow, 10, SMALL, BOTH},
    {S, "pvalloc-wraps", size_overflow, 11, SMALL, BOTH},
    {S, "new", size_overflow, 12, SMALL, BOTH},
    {S, "new-aligned", size_overflow, 13, SMALL, BOTH},
    {S, "new-array-wraps", size_overflow, 14, SMALL, BOTH},

    {M, "malloc-delete", mismatch, PAIRED(MAKE_MALLOC, DROP_DELETE, TRUE_SIZE), ALL, BOTH},
    {M, "malloc-delete-array", mismatch, PAIRED(MAKE_MALLOC, DROP_ARRAY, TRUE_SIZE), ALL, BOTH},
    {M, "new-free", mismatch, PAIRED(MAKE_NEW, DROP_FREE, TRUE_SIZE), ALL, BOTH},
    {M, "new-delete-array", mismatch, PAIRED(MAKE_NEW, DROP_ARRAY, TRUE_SIZE), ALL, BOTH},
    {M, "new-array-free", mismatch, PAIRED(MAKE_ARRAY, DROP_FREE, TRUE_SIZE), ALL, BOTH},
    {M, "new-array-delete", mismatch, PAIRED(MAKE_ARRAY, DROP_DELETE, TRUE_SIZE), ALL, BOTH},
    {M, "new-aligned-free", mismatch, PAIRED(MAKE_NEW_ALIGNED, DROP_FREE, TRUE_SIZE), ALL, BOTH},
    {M, "new-aligned-delete", mismatch, PAIRED(MAKE_NEW_ALIGNED, DROP_DELETE, TRUE_SIZE), ALL, BOTH},
    {M, "new-delete-aligned", mismatch, PAIRED(MAKE_NEW, DROP_ALIGNED, TRUE_SIZE), ALL, BOTH},
    {M, "aligned-delete", mismatch, PAIRED(MAKE_ALIGNED, DROP_DELETE, TRUE_SIZE), ALL, BOTH},
    {M, "malloc-sized-delete-small", mismatch, PAIRED(MAKE_MALLOC, DROP_SIZED, TOO_SMALL), ALL, BOTH},
    {M, "new-sized-delete-small", mismatch, PAIRED(MAKE_NEW, DROP_SIZED, TOO_SMALL), ALL, BOTH},
    {M, "new-sized-delete-large", mismatch, PAIRED(MAKE_NEW, DROP_SIZED, TOO_LARGE), ALL, BOTH},
    {M, "new-sized-delete-far-too-large", mismatch, PAIRED(MAKE_NEW, DROP_SIZED, FAR_TOO_LARGE), ALL, BOTH},
    {M, "array-sized-delete-small", mismatch, PAIRED(MAKE_ARRAY, DROP_ARRAY_SIZED, TOO_SMALL), ALL, BOTH},
    {M, "array-sized-delete-large", mismatch, PAIRED(MAKE_ARRAY, DROP_ARRAY_SIZED, TOO_LARGE), ALL, BOTH},
    {M, "aligned-sized-delete-large", mismatch, PAIRED(MAKE_NEW_ALIGNED, DROP_ALIGNED, TOO_LARGE), ALL, BOTH},
    {M, "aligned-delete-other-alignment", mismatch, PAIRED(MAKE_NEW_ALIGNED, DROP_ALIGNED, OTHER_ALIGNMENT), ALL, BOTH},
    {M, "free-sized-small", mismatch, PAIRED(MAKE_MALLOC, DROP_FREE_SIZED, TOO_SMALL), ALL, BOTH},
    {M, "free-sized-large", mismatch, PAIRED(MAKE_MALLOC, DROP_FREE_SIZED, TOO_LARGE), ALL, BOTH},
    {M, "free-aligned-sized-large", mismatch, PAIRED(MAKE_ALIGNED, DROP_FREE_ALIGNED, TOO_LARGE), ALL, BOTH},
    {M, "free-aligned-sized-other", mismatch, PAIRED(MAKE_ALIGNED, DROP_FREE_ALIGNED, OTHER_ALIGNMENT), ALL, BOTH},

    {G, "link-to-target", forge_next, NEXT_TARGET, ALL & ~DIRECT, BOTH},
    {G, "links-to-target", forge_next, NEXT_TARGET_EVERYWHERE, ALL & ~DIRECT, BOTH},
    {G, "shifted-link-to-target", forge_next, NEXT_SHIFTED, ALL & ~DIRECT, BOTH},
    {G, "shifted-links-to-target", forge_next, NEXT_SHIFTED_EVERYWHERE, ALL & ~DIRECT, BOTH},
    {G, "derived-link-to-target", forge_next, NEXT_DERIVED, ALL & ~DIRECT, BOTH},
    {G, "link-to-live", forge_next, NEXT_LIVE, ALL & ~DIRECT, BOTH},
    {G, "links-to-live", forge_next, NEXT_LIVE_EVERYWHERE, ALL & ~DIRECT, BOTH},
    {G, "shifted-link-to-live", forge_next, NEXT_LIVE_SHIFTED, ALL & ~DIRECT, BOTH},
    {G, "derived-link-to-live", forge_next, NEXT_LIVE_DERIVED, ALL & ~DIRECT, BOTH},
    {G, "link-to-itself", forge_next, NEXT_ITSELF, ALL & ~DIRECT, BOTH},
    {G, "derived-link-to-itself", forge_next, NEXT_ITSELF_DERIVED, ALL & ~DIRECT, BOTH},
    {G, "link-copied", forge_next, NEXT_COPIED, ALL & ~DIRECT, BOTH},
    {G, "link-low-byte", forge_next, NEXT_LOW_BYTE, ALL & ~DIRECT, BOTH},
    {G, "link-zero", forge_next, NEXT_ZERO, ALL & ~DIRECT, BOTH},
    {G, "link-wild", forge_next, NEXT_WILD, ALL & ~DIRECT, BOTH},
    {G, "thread-ended-link-to-target", forge_ended, NEXT_TARGET, ALL & ~DIRECT, ALONE},
    {G, "thread-ended-shifted-link-to-target", forge_ended, NEXT_SHIFTED, ALL & ~DIRECT, ALONE},
    {G, "thread-ended-link-to-live", forge_ended, NEXT_LIVE, ALL & ~DIRECT, ALONE},
    {G, "header-larger", forge_header, HEADER_LARGER, ALL & ~DIRECT, BOTH},
    {G, "header-minus-one", forge_header, HEADER_MINUS_ONE, ALL & ~DIRECT, BOTH},
    {G, "header-zero", forge_header, HEADER_ZERO, ALL & ~DIRECT, BOTH},
    {G, "header-copied", forge_header, HEADER_COPIED, ALL & ~DIRECT, BOTH},
    {G, "header-mapped", forge_header, HEADER_MAPPED, ALL & ~DIRECT, BOTH},
    {G, "header-pointers", forge_header, HEADER_POINTERS, ALL & ~DIRECT, BOTH},
    {G, "usable-size", forge_usable_size, 0, ALL & ~DIRECT, BOTH},
    {G, "unlink", forge_unlink, 0, HEADED, BOTH},
    {G, "rest-of-the-heap", forge_top, 0, ALL & ~DIRECT, BOTH},
    {G, "off-by-null", forge_off_by_null, 0, HEADED, BOTH},
    {G, "block-in-global", forge_spirit, SPIRIT_GLOBAL, BINNED, BOTH},
    {G, "block-on-stack", forge_spirit, SPIRIT_STACK, BINNED, BOTH},
    {G, "block-in-block", forge_spirit, SPIRIT_HEAP, BINNED, BOTH},
    {G, "page-header-64", forge_before_first, 64, ALL & ~DIRECT, BOTH},
    {G, "page-header-256", forge_before_first, 256, ALL & ~DIRECT, BOTH},
};

static const size_t SIZES[] = {16, 100, 3000, 20000, 200000, 40000000};
#define COUNT(list) (sizeof(list) / sizeof *(list))

static void list(void) {
    for (size_t i = 0; i < COUNT(ATTACKS); i++) {
        const struct attack *one = &ATTACKS[i];
        for (size_t s = 0; s < COUNT(SIZES); s++)
            for (unsigned t = 1; t <= 2; t++)
                if (one->sizes >> s & 1 && one->threads & t) printf("%s/%s %zu %u\n", one->category, one->name, SIZES[s], t);
    }
}

static int is(const struct attack *one, const char *name) {
    size_t length = strlen(one->category);
    return !strncmp(name, one->category, length) && name[length] == '/' && !strcmp(name + length + 1, one->name);
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "list")) {
        list();
        return 0;
    }
    if (count < 4) return 2;
    size = strtoul(words[2], NULL, 10);
    threads = atoi(words[3]);
    calm = count > 4;
    // An attack that hangs is ended, and nobody needs a core dump of one that succeeds.
    alarm(SECONDS_MOST);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (size_t i = 0; i < COUNT(ATTACKS); i++)
        if (is(&ATTACKS[i], words[1])) {
            argument = ATTACKS[i].argument;
            ATTACKS[i].run();
        }
    return 2;
}
