// Allocates on processors of two NUMA nodes and prints on which node the kernel says each page is:
//     pages CASE NODE0 NODE1     how many pages of the blocks of that case lie on each node
//     again CASE PAGES           how many of them are pages that the same case had before
//     policy CASE WORD           what /proc/self/numa_maps calls the policy of its first block
// The last cases are the mappings that prefer a node: the allocator's records, its metadata, and data.
// With an argument, in the end, more than a node has.
// Needs a machine whose processors 0 and 1 are on nodes 0 and 1. Its own tables are mappings, so that all of the heap
// is the cases'.
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(what) ((what) ? (void)0 : fail(#what, __LINE__))
#define KIB 1024UL
#define MIB (1024 * KIB)
enum { PAGE = 4096, NODES = 2, BLOCKS_MAX = 1 << 16, PAGES_MAX = 1 << 17 };

static void fail(const char *what, int line) {
    printf("failed %d %s\n", line, what);
    exit(1);
}

// A set of blocks, and the pages that they lie on.
struct blocks {
    char *block[BLOCKS_MAX];
    size_t count, bytes;
    void *page[PAGES_MAX];
    size_t pages;
};

static struct blocks *new_blocks(void) {
    void *map = mmap(NULL, sizeof(struct blocks), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    return map;
}

static void run_on(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
    unsigned now, node;
    CHECK(syscall(SYS_getcpu, &now, &node, NULL) == 0 && now == (unsigned)processor && node == now);
}

static int by_address(const void *left, const void *right) {
    uintptr_t a = (uintptr_t)*(void *const *)left, b = (uintptr_t)*(void *const *)right;
    return (a > b) - (a < b);
}

// In place and without memory, as qsort is not.
static void sort(void **page, size_t count) {
    for (size_t step = count / 2; step > 0; step /= 2)
        for (size_t start = step; start < count; start++) {
            void *moving = page[start];
            size_t at = start;
            for (; at >= step && by_address(&page[at - step], &moving) > 0; at -= step) page[at] = page[at - step];
            page[at] = moving;
        }
}

static void note_pages(struct blocks *set) {
    size_t noted = 0, kept = 0;
    for (size_t index = 0; index < set->count; index++) {
        const uintptr_t block = (uintptr_t)set->block[index];
        for (uintptr_t at = block & -(uintptr_t)PAGE; at < block + set->bytes; at += PAGE)
            if (noted == 0 || set->page[noted - 1] != (void *)at) {
                CHECK(noted < PAGES_MAX);
                set->page[noted++] = (void *)at;
            }
    }
    sort(set->page, noted);
    for (size_t index = 0; index < noted; index++)
        if (kept == 0 || set->page[kept - 1] != set->page[index]) set->page[kept++] = set->page[index];
    set->pages = kept;
}

// Adds blocks of `bytes`, `total` in all, and writes to each page of them.
static void fill(struct blocks *set, size_t bytes, size_t total) {
    set->bytes = bytes;
    set->count = 0;
    for (size_t done = 0; done < total; done += bytes) {
        char *block = malloc(bytes);
        CHECK(block != NULL && set->count < BLOCKS_MAX);
        for (size_t at = 0; at < bytes; at += PAGE) block[at] = 1;
        block[bytes - 1] = 1;
        set->block[set->count++] = block;
    }
    note_pages(set);
}

static void empty(struct blocks *set, size_t from, size_t step) {
    for (size_t index = from; index < set->count; index += step) free(set->block[index]);
}

// Asks the kernel on which node each page is.
static void tell(const char *name, const struct blocks *set) {
    static int where[PAGES_MAX];
    size_t on[NODES] = {0};
    CHECK(syscall(SYS_move_pages, 0, set->pages, set->page, NULL, where, 0) == 0);
    for (size_t index = 0; index < set->pages; index++) {
        CHECK(where[index] >= 0 && where[index] < NODES);
        on[where[index]]++;
    }
    printf("pages %s %zu %zu\n", name, on[0], on[1]);
}

static void tell_again(const char *name, const struct blocks *now, const struct blocks *before) {
    size_t again = 0;
    for (size_t index = 0; index < now->pages; index++)
        again += bsearch(&now->page[index], before->page, before->pages, sizeof(void *), by_address) != NULL;
    printf("again %s %zu\n", name, again);
}

// The second word of the line of numa_maps for the mapping that the first block lies in: the last that starts at or
// below it.
static void tell_policy(const char *name, const struct blocks *set) {
    static char line[512];
    char policy[64] = "", word[64];
    unsigned long start, best = 0;
    FILE *maps = fopen("/proc/self/numa_maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "%lx %63s", &start, word) == 2 && start <= (unsigned long)set->block[0] && start >= best) {
            best = start;
            strcpy(policy, word);
        }
    fclose(maps);
    printf("policy %s %s\n", name, policy);
}

// The pages of the mappings that prefer `node` and have any, in order of address.
static void tell_bank(int node) {
    static const char *const names[] = {"records", "metadata", "data"};
    static char line[512];
    char policy[32];
    size_t seen = 0;
    FILE *maps = fopen("/proc/self/numa_maps", "r");
    CHECK(maps != NULL);
    snprintf(policy, sizeof policy, " prefer:%d ", node);
    while (fgets(line, sizeof line, maps) != NULL) {
        long on[NODES] = {0};
        for (int other = 0; other < NODES; other++) {
            char word[8];
            snprintf(word, sizeof word, " N%d=", other);
            const char *count = strstr(line, word);
            if (count != NULL) on[other] = strtol(count + strlen(word), NULL, 10);
        }
        if (strstr(line, policy) == NULL || on[0] + on[1] == 0) continue;
        CHECK(seen < sizeof names / sizeof *names);
        printf("pages %s-node%d %ld %ld\n", names[seen++], node, on[0], on[1]);
    }
    fclose(maps);
}

static void on_thread(int processor, void (*work)(void)) {
    pthread_t thread;
    // A thread starts on the processor of the thread that created it.
    run_on(processor);
    CHECK(pthread_create(&thread, NULL, (void *(*)(void *))(void *)work, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static struct blocks *first, *second, *third;

// Fresh memory of every lane.
static void fresh(int node, size_t bytes, size_t total, const char *lane) {
    char name[64];
    snprintf(name, sizeof name, "fresh-%s-node%d", lane, node);
    fill(first, bytes, total);
    tell(name, first);
    tell_policy(name, first);
    empty(first, 0, 1);
}

static void fresh_lanes(int node) {
    fresh(node, 64, MIB, "small");
    fresh(node, 5000, MIB, "medium");
    fresh(node, MIB, 4 * MIB, "large");
    fresh(node, 40 * MIB, 40 * MIB, "direct");
}

static void fresh_on_node0(void) { fresh_lanes(0); }
static void fresh_on_node1(void) { fresh_lanes(1); }

// Free runs that were node 0's: does a thread of node 1 get them? Does one of node 0?
static void leave_runs(void) {
    fill(first, MIB, 16 * MIB);
    empty(first, 0, 1);
}
static void take_runs(void) {
    fill(second, MIB, 4 * MIB);
    tell("runs-node1", second);
    empty(second, 0, 1);
    fill(second, 64, 2 * MIB);
    tell("spans-node1", second);
    empty(second, 0, 1);
}
static void take_runs_back(void) {
    fill(second, MIB, 4 * MIB);
    tell("runs-node0", second);
    tell_again("runs-node0", second, first);
    empty(second, 0, 1);
}

// Blocks of a thread on node 0, freed by one on node 1: who gets them next?
static pthread_barrier_t turn;
static void wait_turn(void) { pthread_barrier_wait(&turn); }

static void own_and_come_back(void) {
    fill(first, 200, 4 * MIB);
    wait_turn();
    wait_turn();
    fill(third, 200, 2 * MIB);
    tell("home-node0", third);
    tell_again("home-node0", third, first);
    empty(third, 0, 1);
}
static void free_remotely(void) {
    run_on(1);
    wait_turn();
    empty(first, 0, 1);
    fill(second, 200, 2 * MIB);
    tell("freed-remotely-node1", second);
    tell_again("freed-remotely-node1", second, first);
    empty(second, 0, 1);
    wait_turn();
}
static void remote_frees(void) {
    pthread_t owner, other;
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    run_on(0);
    CHECK(pthread_create(&owner, NULL, (void *(*)(void *))(void *)own_and_come_back, NULL) == 0);
    CHECK(pthread_create(&other, NULL, (void *(*)(void *))(void *)free_remotely, NULL) == 0);
    CHECK(pthread_join(owner, NULL) == 0 && pthread_join(other, NULL) == 0);
}

// Threads on both nodes end and leave spans with free blocks: which does a new thread adopt?
static void leave_spans_node1(void) {
    fill(second, 300, 2 * MIB);
    empty(second, 0, 2);
}
static void leave_spans_node0(void) {
    fill(first, 300, 2 * MIB);
    empty(first, 0, 2);
}
static void adopt_node1(void) {
    fill(third, 300, 512 * KIB);
    tell("adopted-node1", third);
    tell_again("adopted-node1", third, second);
    empty(third, 0, 1);
}
static void adopt_node0(void) {
    fill(third, 300, 512 * KIB);
    tell("adopted-node0", third);
    tell_again("adopted-node0", third, first);
    empty(third, 0, 1);
}
static void adoption(void) {
    on_thread(1, leave_spans_node1);
    on_thread(0, leave_spans_node0);
    on_thread(1, adopt_node1);
    on_thread(0, adopt_node0);
    empty(first, 1, 2);
    empty(second, 1, 2);
}

// Spans that no heap owns. A thread on node 1 frees their blocks, and works with such blocks itself.
static void leave_full_spans(void) { fill(first, 400, MIB); }
static void free_what_was_left(void) {
    fill(second, 400, 256 * KIB);
    empty(first, 0, 1);
    fill(third, 400, MIB);
    tell("left-behind-node1", third);
    tell_again("left-behind-node1", third, first);
    empty(second, 0, 1);
    empty(third, 0, 1);
}

// A thread that moves from node 0 to node 1.
static void wander(void) {
    fill(first, 700, 2 * MIB);
    run_on(1);
    fill(second, 700, 2 * MIB);
    tell("moved-node1", second);
    empty(first, 0, 1);
    empty(second, 0, 1);
}

// More than node 1 has.
static void overflow(void) {
    fill(first, 4 * MIB, 200 * MIB);
    tell("more-than-node1-has", first);
    empty(first, 0, 1);
}

int main(int argc, char **argv) {
    (void)argv;
    setvbuf(stdout, NULL, _IOLBF, 4096);
    first = new_blocks(), second = new_blocks(), third = new_blocks();
    on_thread(0, fresh_on_node0);
    on_thread(1, fresh_on_node1);
    on_thread(0, leave_runs);
    on_thread(1, take_runs);
    on_thread(0, take_runs_back);
    remote_frees();
    adoption();
    on_thread(0, leave_full_spans);
    on_thread(1, free_what_was_left);
    on_thread(0, wander);
    for (int node = 0; node < NODES; node++) tell_bank(node);
    if (argc > 1) on_thread(1, overflow);
    return 0;
}
