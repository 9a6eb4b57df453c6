// The child of a fork has the heaps of its parent: the one that the forking thread uses, those that other threads used,
// which are free for use then, and those that nobody used. Their blocks are there, their limits hold, the child
// allocates, frees, destroys and deletes, forks again, and the parent's heaps are as they were.
// timeout: 60
// expect: exit 0
// variants: preload linked static
// run: fast
// run: counting
// env: SPANDREL_MODE=counting
// run: tracked
// env: SPANDREL_MODE=tracked
// run: guarded
// env: SPANDREL_MODE=guarded
// run: guarded_often
// env: SPANDREL_MODE=guarded
// env: SPANDREL_GUARDED_RATE=20
// env: SPANDREL_GUARDED_SLOTS=300
// run: hardened
// env: SPANDREL_MODE=hardened
#include <stdatomic.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "heaps.h"

enum { COUNT = 400, FORKS = 4, CHURNERS = 3 };
#define HARD (4 * MIB)

enum { OWN, OTHERS, SLEEPERS, NOBODYS, SHARED, KINDS };
static spandrel_heap_t *heaps[KINDS];
static struct held blocks[KINDS][COUNT];
static _Atomic bool stop;
static bool in_child;
static pthread_barrier_t ready, over;
// Children that found the small blocks of a thread which slept in its heap; shared with them.
static _Atomic int *kept;

static void make_blocks(int kind) {
    for (int i = 0; i < COUNT; i++) {
        size_t size = i % 100 == 0 ? 100 * KIB : 1 + (size_t)i * 17 % 5000;
        held_fill(&blocks[kind][i], spandrel_heap_malloc(heaps[kind], size), size, (size_t)(kind * COUNT + i));
    }
}

static void check_blocks(int kind) {
    for (int i = 0; i < COUNT; i++) {
        if (blocks[kind][i].at == NULL) continue;
        held_check(&blocks[kind][i]);
        spandrel_heap_t *of = spandrel_heap_of(blocks[kind][i].at);
        // The fork may have caught a thread inside the heap: then its small blocks are the default heap's in the child.
        CHECK(of == heaps[kind] || (of == NULL && in_child && kind != OWN && kind != NOBODYS));
    }
}

// A thread that goes on in a heap of its own while the process forks.
static void *go_on(void *unused) {
    use_from(NULL, heaps[OTHERS]);
    pthread_barrier_wait(&ready);
    for (uint64_t round = 0; !atomic_load(&stop); round++) churn(round, 100, 64, 3000);
    return unused;
}

// A thread that sleeps in a heap of its own while the process forks.
static void *sleep_on(void *unused) {
    use_from(NULL, heaps[SLEEPERS]);
    churn(2, 500, 64, 3000);
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&over);
    return unused;
}

static void *go_on_shared(void *seed) {
    use_from(NULL, heaps[SHARED]);
    pthread_barrier_wait(&ready);
    for (uint64_t round = (uintptr_t)seed; !atomic_load(&stop); round += CHURNERS) churn(round, 100, 64, 40000);
    return NULL;
}

// The limit refuses; children say so in a line each, which is no finding.
static void check_limit(spandrel_heap_t *heap) {
    CHECK(spandrel_heap_set_limits(heap, 0, HARD) == 0);
    static void *taken[HARD / KIB];
    size_t count = 0;
    int errors = dup(2), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(errors >= 0 && nowhere >= 0 && dup2(nowhere, 2) == 2);
    while ((taken[count] = opaque(spandrel_heap_malloc(heap, 3000))) != NULL) count++;
    CHECK(errno == ENOMEM && bill_of(heap).held_bytes <= HARD && bill_of(heap).refusals > 0);
    CHECK(dup2(errors, 2) == 2 && close(errors) == 0 && close(nowhere) == 0);
    while (count > 0) free(taken[--count]);
}

static void *stand_on(void *heap) {
    use_from(NULL, heap);
    churn(9, 500, 64, 5000);
    return NULL;
}

// One generation: uses what it inherited. True in a child of its own.
static bool inherit(int depth) {
    alarm(40);
    in_child = true;
    CHECK(spandrel_heap_current() == heaps[OWN]);
    CHECK(spandrel_heap_list(NULL, 0) == KINDS);
    for (int kind = 0; kind < KINDS; kind++) check_blocks(kind);
    CHECK(bill_of(heaps[OTHERS]).users == 0 && bill_of(heaps[OWN]).users == 1);
    CHECK(bill_of(heaps[SLEEPERS]).users == 0);
    churn(3, 1000, 100, 5000);
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = depth; i < COUNT; i += 3) {
            if (blocks[kind][i].at != NULL) free(blocks[kind][i].at);
            blocks[kind][i].at = NULL;
        }
    use_from(heaps[OWN], heaps[OTHERS]);
    churn(4, 1000, 100, 5000);
    use_from(heaps[OTHERS], heaps[SHARED]);
    churn(5, 1000, 100, 5000);
    use_from(heaps[SHARED], heaps[OWN]);
    join(start(stand_on, heaps[OTHERS]));
    join(start(stand_on, heaps[SLEEPERS]));
    join(start(stand_on, heaps[SHARED]));
    for (int kind = 0; kind < KINDS; kind++) check_blocks(kind);
    pid_t child = depth == 0 ? fork() : -1;
    if (child == 0) return true;
    int how = 0;
    if (child > 0) CHECK(waitpid(child, &how, 0) == child);
    CHECK_WITH(WIFEXITED(how) && WEXITSTATUS(how) == 0, how);
    return false;
}

static _Noreturn void live_as_child(void) {
    if (inherit(0)) inherit(1);
    // By now the child has what was of heaps that the fork caught threads in.
    destroy(heaps[OTHERS]);
    if (spandrel_heap_of(blocks[SLEEPERS][2].at) == heaps[SLEEPERS]) atomic_fetch_add(kept, 1);
    destroy(heaps[SLEEPERS]);
    CHECK(spandrel_heap_delete(heaps[SHARED]) == 0);
    for (int i = 0; i < COUNT; i++) {
        if (blocks[SHARED][i].at == NULL) continue;
        held_check(&blocks[SHARED][i]);
        free(blocks[SHARED][i].at);
    }
    check_blocks(OWN);
    check_blocks(NOBODYS);
    check_limit(heaps[OWN]);
    check_limit(heaps[NOBODYS]);
    use_from(heaps[OWN], NULL);
    destroy(heaps[OWN]);
    spandrel_heap_t *fresh = heap_new("made by a child", 0, 0);
    for (int i = 0; i < HEAP_SIZE_COUNT; i++) CHECK(opaque(spandrel_heap_malloc(fresh, HEAP_SIZES[i])) != NULL);
    destroy(fresh);
    check_blocks(NOBODYS);
    destroy(heaps[NOBODYS]);
    CHECK(spandrel_heap_list(NULL, 0) == 0);
    churn(6, 1000, 100, 5000);
    _exit(0);
}

int main(void) {
    static const char *const names[] = {"own", "another thread's", "a sleeping thread's", "nobody's", "shared"};
    kept = mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(kept != MAP_FAILED);
    for (int kind = 0; kind < KINDS; kind++) {
        heaps[kind] = heap_new(names[kind], 0, kind == SHARED ? SPANDREL_HEAP_SHARED : 0);
        make_blocks(kind);
    }
    pthread_t threads[1 + CHURNERS];
    CHECK(pthread_barrier_init(&ready, NULL, 3 + CHURNERS) == 0 && pthread_barrier_init(&over, NULL, 2) == 0);
    pthread_t sleeper = start(sleep_on, NULL);
    threads[0] = start(go_on, NULL);
    for (uintptr_t i = 1; i <= CHURNERS; i++) threads[i] = start(go_on_shared, (void *)i);
    pthread_barrier_wait(&ready);
    use_from(NULL, heaps[OWN]);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) live_as_child();
        churn((uint64_t)i, 500, 100, 5000);
        int how = 0;
        CHECK(waitpid(child, &how, 0) == child);
        CHECK_WITH(WIFEXITED(how) && WEXITSTATUS(how) == 0, how);
    }
    atomic_store(&stop, true);
    for (int i = 0; i <= CHURNERS; i++) join(threads[i]);
    pthread_barrier_wait(&over);
    join(sleeper);
    // A thread that returns memory of idle ones may be inside the sleeper's heap at one fork, but not at all.
    CHECK(atomic_load(kept) > 0);
    for (int kind = 0; kind < KINDS; kind++) check_blocks(kind);
    CHECK(bill_of(heaps[OTHERS]).users == 0 && bill_of(heaps[SHARED]).users == 0);
    use_from(heaps[OWN], NULL);
    for (int kind = 0; kind < KINDS; kind++) destroy(heaps[kind]);
    return 0;
}
