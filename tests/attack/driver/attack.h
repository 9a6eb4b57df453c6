// The words of all attacks: a block and its neighbours, the misuse, and the proof that nobody else was harmed.
//
// A case makes blocks, misuses the allocator once inside MISUSE, and looks for harm: overlapping blocks, a block at an
// address of the attacker's choice, changed bytes of another block, a secret that is read. With `calm` it leaves the
// misuse out; an allocator that dies then does not die of the misuse.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef void *(*operation)(void *block, size_t size);

extern size_t size;     // of the blocks of this run
extern int threads;     // 2: the misuse, or a part of it, is another thread's
extern long argument;   // of the case, from the table
extern int calm;
extern size_t other_size;   // the blocks that are taken afterwards are of this size, too

// Lines on standard output for the runner, and the end of a run.
void about_to(void);
void returned(void);
void harm(const char *why);                                  // missed, unless the allocator still notices
void missed(const char *why) __attribute__((noreturn));
void harmless(void) __attribute__((noreturn));               // ends by exit: what the allocator does then comes first
void leave(void) __attribute__((noreturn));                  // the same by _exit
void not_applicable(const char *why) __attribute__((noreturn));
#define MISUSE(...) do { if (!calm) { about_to(); __VA_ARGS__; returned(); } } while (0)

// Calls: by the main thread, by the second thread if there is one, by a thread that ends afterwards.
void *here(operation call, void *block, size_t size);
void *there(operation call, void *block, size_t size);
void *in_passing(operation call, void *block, size_t size);
void *op_malloc(void *, size_t), *op_calloc(void *, size_t), *op_free(void *, size_t), *op_realloc(void *, size_t);

// Live blocks: each is filled with a pattern of its own, and belongs to somebody else than the attacker.
void keep(void *block, size_t size);
void forget(void *block);
void *owned(size_t size);
void crowd(unsigned count);
void *victim(void);
unsigned neighbours(void);
void release(void *block);

// The proof.
extern int may_change;               // changed bytes of other blocks are no harm in this case
unsigned harvest_count(size_t size);
void harvest(void);
void check(void);
void release_all(void);
void aftermath(void) __attribute__((noreturn));

// Memory that no allocator made, in which every word is an address in its middle.
#define ZONE_WORDS 8192
extern uintptr_t zone[ZONE_WORDS];
#define TARGET ((uintptr_t)&zone[ZONE_WORDS / 2])
void zone_changes(void);             // from here on the case itself writes into the zone

// A secret: words that stand nowhere else. `secret_in` says whether one of them is there.
void write_secret(void *block, size_t size);
int secret_in(const void *block, size_t size);

#define EDGE 8192
static inline size_t round16(size_t n) { return (n + 15) & ~(size_t)15; }

// One row of the table. Sizes and threads are sets of bits.
enum { TINY = 1, SMALL = 2, MEDIUM = 4, BIG = 8, LARGE = 16, DIRECT = 32, BINNED = 15, ALL = 63, ONE = 2 };
enum { ALONE = 1, PAIR = 2, BOTH = 3 };
struct attack { const char *category, *name; void (*run)(void); long argument; unsigned sizes, threads; };

#define BODY(name) void name(void)
BODY(double_free); BODY(double_free_wiped); BODY(double_free_poisoned); BODY(remote_twice); BODY(remote_then_owner);
BODY(owner_ended); BODY(freer_ended); BODY(two_strangers); BODY(realloc_moved); BODY(realloc_in_place);
BODY(realloc_twice); BODY(realloc_freed); BODY(span_gone); BODY(after_trim); BODY(made_otherwise);
BODY(free_neighbour); BODY(invalid_offset); BODY(invalid_place); BODY(invalid_freed_inside); BODY(invalid_realloc);
BODY(invalid_usable_size); BODY(invalid_tag); BODY(invalid_forged);
BODY(overflow); BODY(underflow);
BODY(write_freed); BODY(write_reused); BODY(write_after_realloc); BODY(write_freed_exit);
BODY(read_freed); BODY(read_freed_later); BODY(read_after_realloc); BODY(read_freed_pointer); BODY(read_beyond);
BODY(reuse_soon); BODY(reuse_stale_free); BODY(reuse_adjacent);
BODY(uninitialised); BODY(calloc_dirty); BODY(calloc_written); BODY(realloc_grown);
BODY(zero_write); BODY(zero_read); BODY(zero_double); BODY(zero_distinct); BODY(zero_realloc);
BODY(size_overflow);
BODY(mismatch);
BODY(forge_next); BODY(forge_header); BODY(forge_unlink); BODY(forge_top); BODY(forge_off_by_null);
BODY(forge_spirit); BODY(forge_before_first); BODY(forge_usable_size); BODY(forge_ended);

// Arguments of the cases.
enum { TWICE_CALLOC, TWICE_ALIGNED, TWICE_DELETE, TWICE_DELETE_ARRAY, TWICE_FREE_DELETE };
enum { STACK, GLOBAL, CODE, LITERAL, ARGUMENTS, THREAD_LOCAL, LOW, WILD, KERNEL, FAR_AWAY, NEAR_NULL, MAPPED,
    MAPPED_INSIDE, UNMAPPED, LIBC, BREAK, STREAM };
enum { AT_FREE, AT_REALLOC, AT_NEIGHBOUR, AT_EXIT, NEVER };
#define EVENT(when, bytes) ((when) | (long)(bytes) << 4)
enum { MAKE_MALLOC, MAKE_NEW, MAKE_ARRAY, MAKE_ALIGNED, MAKE_NEW_ALIGNED };
enum { DROP_FREE, DROP_DELETE, DROP_ARRAY, DROP_SIZED, DROP_ARRAY_SIZED, DROP_ALIGNED, DROP_FREE_SIZED,
    DROP_FREE_ALIGNED };
enum { TRUE_SIZE, TOO_SMALL, TOO_LARGE, FAR_TOO_LARGE, OTHER_ALIGNMENT };
#define PAIRED(make, drop, lie) ((make) | (drop) << 4 | (lie) << 8)
enum { NEXT_TARGET, NEXT_TARGET_EVERYWHERE, NEXT_SHIFTED, NEXT_SHIFTED_EVERYWHERE, NEXT_DERIVED, NEXT_LIVE,
    NEXT_LIVE_EVERYWHERE, NEXT_LIVE_SHIFTED, NEXT_LIVE_DERIVED, NEXT_ITSELF, NEXT_ITSELF_DERIVED, NEXT_COPIED,
    NEXT_LOW_BYTE, NEXT_ZERO, NEXT_WILD };
enum { HEADER_LARGER, HEADER_MINUS_ONE, HEADER_ZERO, HEADER_COPIED, HEADER_MAPPED, HEADER_POINTERS };
enum { SPIRIT_GLOBAL, SPIRIT_STACK, SPIRIT_HEAP };

#ifdef __cplusplus
}
#endif
