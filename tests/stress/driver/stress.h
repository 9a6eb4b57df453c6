// The ground that all scenarios share: pieces (blocks that are stamped and watched), workers, the page that the runner
// reads from outside. Nothing of the checker's own lies in the heap that it checks.
#ifndef STRESS_H
#define STRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include "check.h"
#include "spandrel_weak.h"

enum {
    MOST_WORKERS = 64,
    CHURNERS = 4,
    STATUS_SLOTS = 256,
    // Exit statuses. EXIT_LEAKS is Spandrel's own, of SPANDREL_LEAKS.
    EXIT_FOUND = 90,
    EXIT_LEAKS = 23,
    // Seconds after which a child process counts as hanging.
    CHILD_PATIENCE = 40,
};

// The page that the runner reads; src/status.rs knows this layout.
struct status_slot {
    _Atomic int64_t live;
    _Atomic uint64_t operations, refusals;
    uint64_t unused[5];
};

struct status {
    uint64_t magic;
    // `running`: the time of the scenario has begun and is not over.
    _Atomic uint64_t own_bytes, running;
    uint64_t unused[5];
    struct status_slot slots[STATUS_SLOTS];
};

#define STATUS_MAGIC UINT64_C(0x5350414e44524c31)

// A block of the allocator under test, and what it was stamped with.
struct piece {
    unsigned char *at;
    size_t size, usable;
    uint64_t sequence;
    uint32_t worker, alignment;
};

// One thread's random numbers and count of pieces.
struct worker {
    uint64_t random, sequence;
    uint32_t number;
    bool may_be_refused;
};

// watch.c: memory of the checker's own, and which bytes belong to a live piece.
void watch_start(void);
void *own_memory(size_t bytes);
void watch_claim(const struct piece *piece);
void watch_release(const struct piece *piece);
size_t watch_left(void);

// piece.c
bool piece_get(struct worker *worker, struct piece *piece, size_t size);
bool piece_get_plain(struct worker *worker, struct piece *piece, size_t size);
bool piece_resize(struct worker *worker, struct piece *piece, size_t size);
void piece_verify(const struct piece *piece);
void *piece_forget(struct worker *worker, struct piece *piece);
void piece_put(struct worker *worker, struct piece *piece);

// crew.c: workers and threads, the status page, the account at the end.
extern struct status *status;
_Noreturn void found(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
void status_open(const char *path);
void status_leave(void);
void judge_child(int how);
void await_child(pid_t child);
void worker_init(struct worker *worker, uint32_t number);
uint64_t dice(struct worker *worker);
size_t size_of_any(struct worker *worker);
size_t size_of_small(struct worker *worker, size_t most);
pthread_t crew_thread(void *(*body)(void *), void *argument);
void crew_run(unsigned count, void (*body)(struct worker *worker));
bool time_is_up(void);
void time_open(uint64_t seed, double seconds);
void account_open(uint64_t seed);
void account_close(void);

// churn.c: a table of pieces that one worker keeps changing.
struct table {
    struct piece *pieces;
    size_t count, budget, held;
};
struct table table_new(size_t count, size_t budget);
void table_step(struct worker *worker, struct table *table);
void table_verify(const struct table *table);
void table_empty(struct worker *worker, struct table *table, size_t keep_one_in);
void churn_body(struct worker *worker);

// The scenarios.
void churn(void);
void churn_large(void);
void remote_free(void);
void producer_consumer(void);
void thread_churn(void);
void transfer_cache(void);
void control(void);
void deepbind(void);
void deepbind_prepare(void);
void hostile_descriptor(void);
void exhaustion(void);
void fork_storm(void);
void fork_nested(void);
int fork_nested_target(const char *seconds, const char *seed);
void fork_crowd(void);
void fork_crowd_set_up(void);
void thread_crowd(void);
void thread_crowd_set_up(void);
void tenants(void);
int fork_child_of_exec(void);
void shutdown_storm(void);
int shutdown_child(const char *mode);

#endif
