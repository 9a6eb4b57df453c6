// tenants SECONDS: a thousand tenants come and go in four threads, each in a heap of its own, with blocks that other
// threads free and limits that refuse. At every moment a bill holds what the program counted, no more than its limit,
// and its parts; with all threads stopped the bills add up to what the process holds. In the end all memory is back.
// Sampled blocks of mode guarded count by their pages.
// Prints `name=number` lines, among them, after a second or more, how long it takes to destroy 100 MiB of blocks of
// several sizes.
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include "heaps.h"
#include "proc.h"

enum { TENANTS = 1000, THREADS = 4, BLOCKS = 48, AUDIT_MILLISECONDS = 20 };
#define WHOLE (100 * MIB)
#define PAGE (4 * KIB)

// `counted`: the bytes that figures of live blocks have for it.
struct block {
    unsigned char *at;
    size_t size, counted;
};

// The state of a tenant; guarded by its lock.
struct tenant {
    pthread_mutex_t lock;
    spandrel_heap_t *heap;
    size_t hard, live_bytes, live_blocks;
    uint32_t number, limited;
    struct block blocks[BLOCKS];
};

static struct tenant *tenants;
// Threads work with it held to read; the audit has it to write, and does not wait behind them.
static pthread_rwlock_t world = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static _Atomic bool stop;
static _Atomic uint64_t operations, created, destroyed, deleted, refused, remote, audits;
static _Atomic uint32_t numbers;
static struct spandrel_stats at_start;

static void *own_memory(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 0, bytes);
    return memory;
}

static double seconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check_bill(const struct tenant *tenant) {
    struct spandrel_heap_stats bill = bill_of(tenant->heap);
    CHECK_WITH(tenant->hard == 0 || bill.peak_bytes <= tenant->hard, bill.peak_bytes);
    CHECK_WITH(bill.hard_limit == tenant->hard, bill.hard_limit);
    // Blocks on their way from other threads count as live still.
    CHECK_WITH(bill.live_blocks >= tenant->live_blocks, (long)bill.live_blocks - (long)tenant->live_blocks);
    CHECK_WITH(bill.live_bytes >= tenant->live_bytes, (long)bill.live_bytes - (long)tenant->live_bytes);
}

static void mark(struct block *block, uint32_t number) {
    memset(block->at, (int)(number & 0xff), block->size < 256 ? block->size : 256);
    block->at[block->size - 1] = (unsigned char)number;
}

static void check_mark(const struct tenant *tenant, const struct block *block) {
    unsigned char byte = (unsigned char)tenant->number;
    CHECK_WITH(block->at[0] == byte && block->at[block->size - 1] == byte, tenant->number);
    CHECK(spandrel_heap_of(block->at) == tenant->heap);
}

// No block here is so large that it gets a mapping of its own, so one outside of spans and regions is a sample.
static size_t counted(unsigned char *at) {
    return spandrel_lane_of_pointer(at) == SPANDREL_LANE_DIRECT ? PAGE : malloc_usable_size(at);
}

// Bills do not count large blocks by number.
static void count(struct tenant *tenant, size_t bytes, int sign) {
    tenant->live_bytes += (size_t)sign * bytes;
    if (bytes <= 32 * KIB) tenant->live_blocks += (size_t)sign;
}

static void put(struct tenant *tenant, struct block *block) {
    check_mark(tenant, block);
    count(tenant, block->counted, -1);
    free(block->at);
    block->at = NULL;
}

static bool account(struct tenant *tenant, struct block *block, unsigned char *at, size_t size) {
    if (at == NULL) {
        CHECK_WITH(errno == ENOMEM && tenant->hard != 0, errno);
        atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
        tenant->limited++;
        return false;
    }
    *block = (struct block){at, size, counted(at)};
    count(tenant, block->counted, 1);
    mark(block, tenant->number);
    return true;
}

static size_t any_size(uint64_t *random) {
    uint64_t any = next_random(random);
    if (any % 64 == 0) return 33 * KIB + any / 64 % (200 * KIB);
    if (any % 8 == 0) return KIB + any / 64 % (16 * KIB);
    return 1 + any / 64 % KIB;
}

// The tenant's own work, in its heap.
static void work(struct tenant *tenant, uint64_t *random) {
    CHECK(spandrel_heap_use(tenant->heap) == NULL);
    for (uint64_t i = 4 + next_random(random) % 40; i > 0; i--) {
        struct block *block = &tenant->blocks[next_random(random) % BLOCKS];
        size_t size = any_size(random);
        if (block->at == NULL) {
            account(tenant, block, opaque(malloc(size)), size);
        } else if (next_random(random) % 4 == 0) {
            struct block before = *block;
            check_mark(tenant, block);
            count(tenant, before.counted, -1);
            unsigned char *at = opaque(realloc(before.at, size));
            if (account(tenant, block, at, size)) continue;
            CHECK(before.at[0] == (unsigned char)tenant->number);
            count(tenant, before.counted, 1);
        } else {
            put(tenant, block);
        }
    }
    check_bill(tenant);
    CHECK(spandrel_heap_use(NULL) == tenant->heap);
}

// Another thread frees some of the tenant's blocks, and stands elsewhere.
static void free_from_outside(struct tenant *tenant, uint64_t *random) {
    for (uint64_t i = next_random(random) % 12; i > 0; i--) {
        struct block *block = &tenant->blocks[next_random(random) % BLOCKS];
        if (block->at == NULL) continue;
        put(tenant, block);
        atomic_fetch_add_explicit(&remote, 1, memory_order_relaxed);
    }
}

static void come(struct tenant *tenant, uint64_t *random) {
    char name[32];
    tenant->number = atomic_fetch_add(&numbers, 1);
    snprintf(name, sizeof name, "tenant %u", tenant->number);
    tenant->hard = next_random(random) % 4 == 0 ? (256 + next_random(random) % 1024 / 32 * 32) * KIB : 0;
    struct spandrel_heap_options options = {.name = name, .hard_limit = tenant->hard};
    tenant->heap = spandrel_heap_create(&options);
    CHECK(tenant->heap != NULL);
    tenant->limited = 0;
    atomic_fetch_add_explicit(&created, 1, memory_order_relaxed);
}

static void go(struct tenant *tenant) {
    for (int i = 0; i < BLOCKS; i++) {
        if (tenant->blocks[i].at != NULL) check_mark(tenant, &tenant->blocks[i]);
        tenant->blocks[i].at = NULL;
    }
    CHECK((bill_of(tenant->heap).refusals > 0) == (tenant->limited > 0));
    destroy(tenant->heap);
    tenant->heap = NULL;
    tenant->live_bytes = tenant->live_blocks = 0;
    atomic_fetch_add_explicit(&destroyed, 1, memory_order_relaxed);
}

// The blocks outlive the heap, and go one by one.
static void go_softly(struct tenant *tenant) {
    int error = spandrel_heap_delete(tenant->heap);
    CHECK_WITH(error == 0, error);
    tenant->heap = NULL;
    for (int i = 0; i < BLOCKS; i++)
        if (tenant->blocks[i].at != NULL) put(tenant, &tenant->blocks[i]);
    CHECK(tenant->live_bytes == 0 && tenant->live_blocks == 0);
    atomic_fetch_add_explicit(&deleted, 1, memory_order_relaxed);
}

static void *serve(void *seed) {
    uint64_t random = (uintptr_t)seed * 2654435761u + 12345;
    while (!atomic_load(&stop)) {
        pthread_rwlock_rdlock(&world);
        struct tenant *tenant = &tenants[next_random(&random) % TENANTS];
        pthread_mutex_lock(&tenant->lock);
        if (tenant->heap == NULL) come(tenant, &random);
        switch (next_random(&random) % 16) {
        case 0: go(tenant); break;
        case 1: if (next_random(&random) % 4 == 0) go_softly(tenant); break;
        case 2: case 3: case 4: free_from_outside(tenant, &random); break;
        default: work(tenant, &random);
        }
        pthread_mutex_unlock(&tenant->lock);
        pthread_rwlock_unlock(&world);
        atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
    }
    return NULL;
}

// Nothing moves: every tenant's bill, and their sum beside the process's figures.
static void audit(void) {
    static spandrel_heap_t *listed[TENANTS + 1];
    pthread_rwlock_wrlock(&world);
    size_t live_bytes = 0, heaps = 0, held = 0, spans = 0;
    for (int i = 0; i < TENANTS; i++) {
        if (tenants[i].heap == NULL) continue;
        check_bill(&tenants[i]);
        struct spandrel_heap_stats bill = bill_of(tenants[i].heap);
        CHECK(bill.users == 0);
        live_bytes += tenants[i].live_bytes;
        held += bill.held_bytes;
        spans += bill.span_bytes;
        heaps++;
    }
    CHECK_WITH(spandrel_heap_list(listed, TENANTS + 1) == heaps, heaps);
    struct spandrel_stats now = process_now();
    CHECK_WITH(now.live_bytes - at_start.live_bytes == live_bytes, now.live_bytes - at_start.live_bytes - live_bytes);
    // Deleted heaps left spans to the default one, so it may hold more than at the start, and never less.
    CHECK_WITH(now.span_bytes >= spans, (long)now.span_bytes - (long)spans);
    CHECK_WITH(now.obtained_bytes >= held, (long)now.obtained_bytes - (long)held);
    pthread_rwlock_unlock(&world);
    atomic_fetch_add_explicit(&audits, 1, memory_order_relaxed);
}

static size_t resident_kib(void) {
    spandrel_collect(true);
    return (size_t)proc_number("/proc/self/status", "VmRSS:");
}

// The shortest of `turns` times that it took to destroy a heap of 100 MiB in blocks of `size`; 0: of all sizes.
static void time_destroy(size_t size, int turns) {
    double best = 1e9, per_thousand = 0;
    uint64_t random = 7;
    for (int turn = 0; turn < turns; turn++) {
        spandrel_heap_t *heap = heap_new("large", 0, 0);
        CHECK(spandrel_heap_use(heap) == NULL);
        for (size_t sum = 0; sum < WHOLE;) {
            size_t bytes = size == 0 ? any_size(&random) : size;
            unsigned char *block = opaque(malloc(bytes));
            CHECK(block != NULL);
            for (size_t at = 0; at < bytes; at += 4 * KIB) block[at] = 1;
            sum += malloc_usable_size(block);
        }
        CHECK(spandrel_heap_use(NULL) == heap);
        double regions = (double)(bill_of(heap).held_bytes / REGION);
        double begin = seconds_now();
        destroy(heap);
        double spent = (seconds_now() - begin) * 1e3;
        if (spent < best) {
            best = spent;
            per_thousand = spent / regions * 1000;
        }
    }
    printf("destroy_%zu_microseconds=%.0f\ndestroy_%zu_microseconds_per_1000_spans=%.0f\n", size, best * 1e3, size, per_thousand * 1e3);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    double seconds = strtod(argv[1], NULL);
    tenants = own_memory(TENANTS * sizeof *tenants);
    for (int i = 0; i < TENANTS; i++) CHECK(pthread_mutex_init(&tenants[i].lock, NULL) == 0);
    // The memory that libc and the threads themselves keep is there before anything is counted.
    pthread_t threads[THREADS];
    printf("tenants=%d\n", TENANTS);
    atomic_store(&stop, true);
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(serve, (void *)i);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    atomic_store(&stop, false);
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start(serve, (void *)i);
    pthread_rwlock_wrlock(&world);
    for (int i = 0; i < TENANTS; i++)
        if (tenants[i].heap != NULL) go(&tenants[i]);
    printf("before_the_first=%zu\n", resident_kib());
    // The memory that a thousand heaps leave for the next ones is there from now on.
    uint64_t random = 1;
    for (int i = 0; i < TENANTS; i++) {
        come(&tenants[i], &random);
        work(&tenants[i], &random);
    }
    for (int i = 0; i < TENANTS; i++) go(&tenants[i]);
    size_t before = resident_kib();
    at_start = process_now();
    pthread_rwlock_unlock(&world);
    double end = seconds_now() + seconds;
    while (seconds_now() < end) {
        usleep(AUDIT_MILLISECONDS * 1000);
        audit();
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    for (int i = 0; i < TENANTS; i++)
        if (tenants[i].heap != NULL) go(&tenants[i]);
    CHECK(spandrel_heap_list(NULL, 0) == 0);
    size_t after = resident_kib();
    struct spandrel_stats last = process_now();
    // Libc keeps the stacks of ended threads, and frees a block or two with each.
    CHECK_WITH(last.live_bytes <= at_start.live_bytes, last.live_bytes - at_start.live_bytes);
    printf("operations=%lu\ncreated=%lu\ndestroyed=%lu\ndeleted=%lu\n", operations, created, destroyed, deleted);
    printf("refused=%lu\nfreed_by_others=%lu\naudits=%lu\n", refused, remote, audits);
    printf("early=%zu\nlate=%zu\n", before, after);
    static const size_t sizes[] = {16, 64, 1000, 30000, 0};
    if (seconds < 1) return 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) time_destroy(sizes[i], seconds < 10 ? 1 : 5);
    return 0;
}
