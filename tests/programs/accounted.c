// A program that makes no heaps, and has its memory billed by SPANDREL_ACCOUNT. It reads the bills by <spandrel.h> only
// to print and check them. Argument: what it does.
//   names: threads take their names before they allocate, between two allocations, and twice. Each name has the bytes
//     of its thread, and all of them are the bytes of the process.
//   ends: threads end while their blocks live. Their names are billed for large blocks alone then.
//   many: more threads come and go, each with a name of its own, than there is room for bills.
//   limited: a thread whose name has a hard limit of 8 MiB meets it, frees and goes on; another one is not limited.
//   soft: a thread passes the soft limit of its name twice.
//   renamed: a thread holds more than the limit of a name when it takes that; then only frees help.
//   fork: in the child the names of threads that it does not have come to nothing, and the thread's own stays.
//   group FILE: a thread writes its number into FILE, which moves it to another group.
//   objects: blocks of the program and of zlib.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "spandrel.h"
#include "threads.h"

#pragma weak spandrel_heap_list
#pragma weak spandrel_heap_stats
#pragma weak spandrel_stats_write

enum { MANY = 3000, LISTED = 4096, BLOCK = 1000 };

static pthread_barrier_t meet;

static void meet_others(void) { pthread_barrier_wait(&meet); }

static void take_name(const char *name) { CHECK(prctl(PR_SET_NAME, name, 0, 0, 0) == 0); }

// Blocks in a chain through their first words.
static void *hold(void *chain, size_t bytes, size_t size) {
    for (size_t held = 0; held < bytes; held += size) {
        void **block = opaque(malloc(size));
        CHECK(block != NULL);
        *block = chain;
        chain = block;
    }
    return chain;
}

static void drop(void *chain) {
    while (chain != NULL) {
        void *next = *(void **)chain;
        free(chain);
        chain = next;
    }
}

static bool bill(const char *name, struct spandrel_heap_stats *stats) {
    static spandrel_heap_t *heaps[LISTED];
    size_t count = spandrel_heap_list(heaps, LISTED);
    CHECK_WITH(count <= LISTED, count);
    for (size_t i = 0; i < count; i++)
        if (spandrel_heap_stats(heaps[i], stats, sizeof *stats) == 0 && strcmp(stats->name, name) == 0) return true;
    return false;
}

static size_t held(const char *name) {
    struct spandrel_heap_stats stats;
    return bill(name, &stats) ? stats.held_bytes : 0;
}

static void expect(const char *name, size_t least, size_t most) {
    size_t found = held(name);
    printf("%s=%zu\n", name, found);
    fflush(stdout);
    CHECK_WITH(found >= least && found <= most, found);
}

// A figure of the process, by its name in the statistics.
static size_t figure(const char *name) {
    static char text[1 << 20];
    char key[64];
    int file = memfd_create("figures", 0);
    CHECK(file >= 0 && spandrel_stats_write(file, SPANDREL_FORMAT_JSON));
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    CHECK(length > 0 && close(file) == 0);
    text[length] = 0;
    snprintf(key, sizeof key, "\"%s\":", name);
    char *found = strstr(text, key);
    CHECK(found != NULL);
    return strtoull(found + strlen(key), NULL, 10);
}

static size_t sum_of_bills(void) {
    static spandrel_heap_t *heaps[LISTED];
    size_t count = spandrel_heap_list(heaps, LISTED), sum = 0;
    for (size_t i = 0; i < count && i < LISTED; i++) {
        struct spandrel_heap_stats stats;
        if (spandrel_heap_stats(heaps[i], &stats, sizeof stats) == 0) sum += stats.held_bytes;
    }
    return sum;
}

static size_t held_by_process(void) { return figure("span_bytes") + figure("large_bytes") + figure("direct_bytes"); }

// Blocks of many sizes, and enough slow calls to have a new name seen.
static void *work(void *chain) {
    for (size_t size = 16; size <= 16384; size *= 2) chain = hold(chain, 256 * KIB, size);
    return chain;
}

static void *named_before(void *unused) {
    take_name("alpha");
    void *chain = work(NULL);
    void *large = opaque(malloc(3 * MIB));
    meet_others();
    meet_others();
    free(large);
    drop(chain);
    return unused;
}

static void *named_between(void *unused) {
    void *chain = work(NULL);
    take_name("beta");
    chain = work(chain);
    meet_others();
    meet_others();
    drop(chain);
    return unused;
}

static void *named_twice(void *unused) {
    take_name("gamma");
    void *chain = work(NULL);
    take_name("delta");
    chain = work(chain);
    meet_others();
    meet_others();
    drop(chain);
    return unused;
}

static void names(void) {
    void *(*bodies[])(void *) = {named_before, named_between, named_twice};
    pthread_t threads[3];
    take_name("first");
    void *own = work(NULL);
    CHECK(pthread_barrier_init(&meet, NULL, 4) == 0);
    for (int i = 0; i < 3; i++) threads[i] = start(bodies[i], NULL);
    meet_others();
    // Eleven sizes, 256 KiB of each: 2816 KiB.
    size_t once = 2816 * KIB, spare = 1024 * KIB;
    expect("alpha", once + 3 * MIB, once + 3 * MIB + spare);
    expect("beta", 2 * once, 2 * once + spare);
    expect("gamma", 0, 0);
    expect("delta", 2 * once, 2 * once + spare);
    expect("first", once, once + spare);
    CHECK_WITH(sum_of_bills() == held_by_process(), sum_of_bills() - held_by_process());
    meet_others();
    for (int i = 0; i < 3; i++) join(threads[i]);
    drop(own);
    CHECK(sum_of_bills() <= held_by_process());
}

static void *leaves_blocks(void *chains) {
    take_name("leaver");
    void **both = chains;
    both[0] = work(NULL);
    both[1] = opaque(malloc(5 * MIB));
    return NULL;
}

static void ends(void) {
    void *chains[2];
    join(start(leaves_blocks, chains));
    expect("leaver", 5 * MIB, 5 * MIB);
    free(chains[1]);
    expect("leaver", 0, 0);
    drop(chains[0]);
}

static void *one_of_many(void *number) {
    char name[16];
    snprintf(name, sizeof name, "many-%zu", (size_t)(uintptr_t)number);
    take_name(name);
    void *chain = hold(NULL, 200 * KIB, BLOCK);
    CHECK(sum_of_bills() > 0);
    drop(chain);
    return NULL;
}

static void many(void) {
    for (uintptr_t i = 0; i < MANY; i++) join(start(one_of_many, (void *)i));
    take_name("after");
    void *chain = work(NULL);
    expect("after", 2816 * KIB, 4096 * KIB);
    drop(chain);
}

// All that the thread gets, in small and in large blocks.
static size_t use_up(void **chain, size_t size, size_t most) {
    size_t total = 0;
    void **block;
    errno = 0;
    while (total < most && (block = opaque(malloc(size))) != NULL) {
        *block = *chain;
        *chain = block;
        total += size;
    }
    CHECK(total >= most || errno == ENOMEM);
    return total;
}

static void *meets_limit(void *unused) {
    take_name("small-1");
    drop(hold(NULL, MIB, BLOCK));
    size_t sizes[] = {100, 2000, 30000, 100000, MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *chain = NULL;
        size_t got = use_up(&chain, sizes[i], 64 * MIB);
        CHECK_WITH(held("small-1") <= 8 * MIB, held("small-1"));
        CHECK_WITH(got > 5 * MIB && got <= 8 * MIB, got);
        drop(chain);
    }
    CHECK(malloc(9 * MIB) == NULL && errno == ENOMEM);
    CHECK(malloc(40 * MIB) == NULL && errno == ENOMEM);
    return unused;
}

static void *has_no_limit(void *unused) {
    take_name("large-1");
    void *chain = NULL;
    CHECK(use_up(&chain, BLOCK, 32 * MIB) >= 32 * MIB);
    drop(chain);
    return unused;
}

static void limited(void) {
    join(start(meets_limit, NULL));
    join(start(has_no_limit, NULL));
    void *chain = hold(NULL, 32 * MIB, BLOCK);
    drop(chain);
}

static void *passes_soft_limit(void *unused) {
    take_name("small-1");
    for (int turn = 0; turn < 2; turn++) {
        void *chain = hold(NULL, 16 * MIB, BLOCK);
        drop(chain);
    }
    take_name("large-1");
    drop(hold(NULL, 2 * MIB, BLOCK));
    return unused;
}

static void *holds_more(void *unused) {
    take_name("roomy");
    void *chain = hold(NULL, 16 * MIB, BLOCK);
    take_name("small-2");
    // The name is seen within some calls; no more than the spans that the thread has serves from then on.
    size_t got = use_up(&chain, BLOCK, 64 * MIB);
    CHECK_WITH(got < 4 * MIB, got);
    expect("small-2", 16 * MIB, 24 * MIB);
    expect("roomy", 0, 0);
    drop(chain);
    chain = NULL;
    got = use_up(&chain, BLOCK, 64 * MIB);
    CHECK_WITH(got > 5 * MIB && got <= 8 * MIB, got);
    drop(chain);
    return unused;
}

static void *waits(void *unused) {
    take_name("other");
    void *chain = work(NULL);
    meet_others();
    meet_others();
    drop(chain);
    return unused;
}

static void *forks(void *unused) {
    take_name("forker");
    void *chain = work(NULL);
    meet_others();
    pid_t child = fork();
    if (child == 0) {
        chain = work(chain);
        chain = work(chain);
        expect("forker", 3 * 2816 * KIB, 3 * 2816 * KIB + MIB);
        expect("other", 0, 0);
        CHECK(sum_of_bills() <= held_by_process());
        drop(chain);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    expect("forker", 2816 * KIB, 4096 * KIB);
    expect("other", 2816 * KIB, 4096 * KIB);
    meet_others();
    drop(chain);
    return unused;
}

static void forked(void) {
    CHECK(pthread_barrier_init(&meet, NULL, 2) == 0);
    pthread_t other = start(waits, NULL), forker = start(forks, NULL);
    join(other);
    join(forker);
}

static void *moves(void *path) {
    char number[32];
    void *chain = work(NULL);
    int length = snprintf(number, sizeof number, "%ld", (long)syscall(SYS_gettid));
    int file = open(path, O_WRONLY);
    CHECK(file >= 0 && write(file, number, (size_t)length) == length && close(file) == 0);
    struct timespec nap = {0, 20 * 1000 * 1000};
    for (int turn = 0; turn < 4; turn++) {
        chain = work(chain);
        CHECK(nanosleep(&nap, NULL) == 0);
    }
    return chain;
}

static void print_bills(void) {
    static spandrel_heap_t *heaps[LISTED];
    size_t count = spandrel_heap_list(heaps, LISTED);
    for (size_t i = 0; i < count && i < LISTED; i++) {
        struct spandrel_heap_stats stats;
        if (spandrel_heap_stats(heaps[i], &stats, sizeof stats) == 0)
            printf("bill %zu %s\n", stats.held_bytes, stats.name);
    }
}

static void *moves_and_prints(void *path) {
    void *chain = moves(path);
    print_bills();
    drop(chain);
    return NULL;
}

static void objects(void) {
    void *library = dlopen("libz.so.1", RTLD_NOW);
    void *chain = hold(NULL, 32 * MIB, BLOCK);
    CHECK(library != NULL);
    const char *(*version)(void) = (const char *(*)(void))dlsym(library, "zlibVersion");
    int (*begin)(void *, int, const char *, int) =
        (int (*)(void *, int, const char *, int))dlsym(library, "deflateInit_");
    CHECK(version != NULL && begin != NULL);
    // A z_stream has 112 bytes; each keeps some 260 KiB.
    static uint64_t streams[64][14];
    for (int i = 0; i < 64; i++) CHECK(begin(streams[i], 6, version(), sizeof streams[i]) == 0);
    for (int i = 0; i < 4000; i++) *(char *)opaque(strdup("from libc")) = 1;
    print_bills();
    drop(chain);
    puts("later");
    print_bills();
}

int main(int argc, char **argv) {
    CHECK(argc > 1);
    const char *what = argv[1];
    if (strcmp(what, "names") == 0) names();
    else if (strcmp(what, "ends") == 0) ends();
    else if (strcmp(what, "many") == 0) many();
    else if (strcmp(what, "limited") == 0) limited();
    else if (strcmp(what, "soft") == 0) join(start(passes_soft_limit, NULL));
    else if (strcmp(what, "renamed") == 0) join(start(holds_more, NULL));
    else if (strcmp(what, "fork") == 0) forked();
    else if (strcmp(what, "objects") == 0) objects();
    else if (strcmp(what, "group") == 0 && argc > 2) join(start(moves_and_prints, argv[2]));
    else CHECK(false);
    return 0;
}
