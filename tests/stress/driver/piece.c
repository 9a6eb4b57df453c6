// Pieces: blocks got in every way there is, checked as they come, stamped with address, size, number and worker, and
// verified before they go. All usable bytes are stamped, not only those that were asked for; of large blocks both ends
// and a word of each page.
#include "stress.h"

enum {
    STAMPED_WHOLE = 16 << 10,
    STAMPED_END = 4096,
    LEAST_ALIGNMENT = 16,
    MOST_ALIGNMENT_BITS = 13,
};

static uint64_t stamp_of(const struct piece *piece) {
    uint64_t stamp = (uintptr_t)piece->at ^ piece->size << 40 ^ piece->sequence << 20 ^ piece->worker;
    stamp = (stamp ^ stamp >> 31) * UINT64_C(0x7fb5d329728ea185);
    return (stamp ^ stamp >> 27) * UINT64_C(0x81dadef4bc2dd44d);
}

static uint64_t word_at(uint64_t stamp, size_t index) { return stamp + index * UINT64_C(0x9e3779b97f4a7c15); }

static void stamp_range(const struct piece *piece, uint64_t stamp, size_t from, size_t to) {
    for (; from + 8 <= to; from += 8) *(uint64_t *)(piece->at + from) = word_at(stamp, from / 8);
    uint64_t last = word_at(stamp, from / 8);
    memcpy(piece->at + from, &last, to - from);
}

static void verify_range(const struct piece *piece, uint64_t stamp, size_t from, size_t to) {
    for (size_t at = from; at < to; at += 8) {
        uint64_t wanted = word_at(stamp, at / 8);
        size_t length = to - at < 8 ? to - at : 8;
        if (memcmp(piece->at + at, &wanted, length) == 0) continue;
        uint64_t seen = 0;
        memcpy(&seen, piece->at + at, length);
        found("corrupt", "block %p of %zu bytes (%zu usable; worker %u, number %lu) holds %016lx at byte %zu instead of %016lx",
              (void *)piece->at, piece->size, piece->usable, piece->worker, piece->sequence, seen, at, wanted);
    }
}

// Calls `each` for all stamped ranges within the first `length` bytes.
static void over_stamped(const struct piece *piece, size_t length,
                         void (*each)(const struct piece *, uint64_t, size_t, size_t)) {
    uint64_t stamp = stamp_of(piece);
    barrier();
    if (length <= STAMPED_WHOLE) {
        each(piece, stamp, 0, length);
    } else {
        each(piece, stamp, 0, STAMPED_END);
        for (size_t at = STAMPED_END; at + STAMPED_END < length; at += STAMPED_END) each(piece, stamp, at, at + 8);
        // From a multiple of eight, as everywhere, whatever the length is.
        each(piece, stamp, (length - STAMPED_END) / 8 * 8, length);
    }
    barrier();
}

void piece_verify(const struct piece *piece) { over_stamped(piece, piece->usable, verify_range); }

static void count(const struct worker *worker, int64_t bytes) {
    struct status_slot *slot = &status->slots[worker->number % STATUS_SLOTS];
    atomic_fetch_add_explicit(&slot->live, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->operations, 1, memory_order_relaxed);
}

static bool refused(struct worker *worker, size_t size) {
    int error = errno;
    if (error != ENOMEM) found("errno", "a request of %zu bytes failed with errno %d, not ENOMEM", size, error);
    if (!worker->may_be_refused) found("refused", "a request of %zu bytes failed where memory is left", size);
    atomic_fetch_add_explicit(&status->slots[worker->number % STATUS_SLOTS].refusals, 1, memory_order_relaxed);
    return false;
}

// Checks a block that was just handed out, and makes it the piece.
static void adopt(struct worker *worker, struct piece *piece, void *block, size_t size, size_t alignment) {
    const size_t usable = malloc_usable_size(block);
    *piece = (struct piece){block, size, usable, ++worker->sequence, worker->number, (uint32_t)alignment};
    // A block below 16 bytes need only suit what fits into it.
    size_t natural = size < LEAST_ALIGNMENT ? 8 : LEAST_ALIGNMENT;
    if (!aligned_to(block, alignment > natural ? alignment : natural))
        found("misaligned", "block %p of %zu bytes is not aligned to %zu", block, size, alignment);
    if (piece->usable < size) found("short", "block %p has %zu usable bytes of %zu", block, piece->usable, size);
    watch_claim(piece);
}

static void stamp(struct worker *worker, const struct piece *piece) {
    over_stamped(piece, piece->usable, stamp_range);
    count(worker, (int64_t)piece->size);
}

static void check_zeroed(const struct piece *piece) {
    size_t step = piece->size <= STAMPED_WHOLE ? 1 : 512;
    for (size_t at = 0; at < piece->size; at += step)
        if (piece->at[at] != 0) found("not-zero", "calloc: block %p of %zu bytes holds %02x at byte %zu", (void *)piece->at, piece->size, piece->at[at], at);
}

// A piece from malloc.
bool piece_get_plain(struct worker *worker, struct piece *piece, size_t size) {
    errno = 0;
    void *block = opaque(malloc(size));
    if (block == NULL) return refused(worker, size);
    adopt(worker, piece, block, size, LEAST_ALIGNMENT / 2);
    stamp(worker, piece);
    return true;
}

static void *get_aligned(unsigned way, size_t alignment, size_t size) {
    void *block = NULL;
    switch (way) {
    case 0: return memalign(alignment, size);
    case 1: return aligned_alloc(alignment, size);
    default: errno = posix_memalign(&block, alignment, size);
    }
    return block;
}

// A piece from any of the functions that hand out blocks.
bool piece_get(struct worker *worker, struct piece *piece, size_t size) {
    uint64_t any = dice(worker);
    errno = 0;
    unsigned way = any % 16;
    if (way < 10) return piece_get_plain(worker, piece, size);
    if (way < 13) {
        void *block = opaque(way == 10 ? calloc(size, 1) : calloc(1, size));
        if (block == NULL) return refused(worker, size);
        adopt(worker, piece, block, size, LEAST_ALIGNMENT / 2);
        check_zeroed(piece);
    } else {
        // Up to 64 KiB, but not so much that alignment would be most of what is resident.
        size_t alignment = (size_t)8 << (any >> 8) % (MOST_ALIGNMENT_BITS + 1);
        while (alignment > 64 && alignment > size * 2) alignment /= 2;
        void *block = opaque(get_aligned(way - 13, alignment, size));
        if (block == NULL) return refused(worker, size);
        adopt(worker, piece, block, size, alignment);
    }
    stamp(worker, piece);
    return true;
}

// The stamp is that of the old address; the bytes are at the new one.
static void verify_kept(const struct piece *before, void *block, size_t length) {
    uint64_t stamp = stamp_of(before);
    struct piece moved = *before;
    moved.at = block;
    bool whole = before->usable <= STAMPED_WHOLE;
    verify_range(&moved, stamp, 0, whole || length < STAMPED_END ? length : STAMPED_END);
    for (size_t at = STAMPED_END; !whole && at + STAMPED_END < before->usable && at + 8 <= length; at += STAMPED_END)
        verify_range(&moved, stamp, at, at + 8);
}

// realloc: keeps what was there, or fails and leaves the block as it was.
bool piece_resize(struct worker *worker, struct piece *piece, size_t size) {
    piece_verify(piece);
    struct piece before = *piece;
    // Released first: once realloc has moved the block, its old place may be another thread's at any moment.
    watch_release(piece);
    errno = 0;
    void *block = opaque(realloc(piece->at, size));
    if (block == NULL) {
        watch_claim(piece);
        piece_verify(piece);
        return refused(worker, size);
    }
    adopt(worker, piece, block, size, LEAST_ALIGNMENT / 2);
    verify_kept(&before, block, before.size < size ? before.size : size);
    count(worker, -(int64_t)before.size);
    stamp(worker, piece);
    return true;
}

// Takes a piece off the books whose block goes in another way than by itself, such as with its heap.
void *piece_forget(struct worker *worker, struct piece *piece) {
    piece_verify(piece);
    watch_release(piece);
    count(worker, -(int64_t)piece->size);
    void *block = piece->at;
    piece->at = NULL;
    return block;
}

void piece_put(struct worker *worker, struct piece *piece) { free(piece_forget(worker, piece)); }
