// Fork storm: two threads fork while others churn. Children verify what they inherited, go on allocating, start
// threads, fork again, exec or exit; each way must end with status 0 within the time.
#include "stress.h"

enum { FORKERS = 2, CHURNERS_BESIDE = 2, HELD = 512, CHILDREN_AT_ONCE = 3, CHILD_STEPS = 2000 };

static void *child_thread(void *argument) {
    struct worker worker;
    worker_init(&worker, (uint32_t)(uintptr_t)argument);
    struct table table = table_new(256, 4 * MIB);
    for (int i = 0; i < CHILD_STEPS; i++) table_step(&worker, &table);
    table_empty(&worker, &table, 0);
    return NULL;
}

// A grandchild verifies and frees what came to it through two forks.
static void await_grandchild(struct worker *worker, struct table *table) {
    pid_t grandchild = fork();
    CHECK(grandchild >= 0);
    if (grandchild != 0) {
        await_child(grandchild);
        return;
    }
    alarm(CHILD_PATIENCE);
    for (int i = 0; i < CHILD_STEPS; i++) table_step(worker, table);
    table_empty(worker, table, 0);
    _exit(0);
}

// The life of a child. The blocks that it inherited are whole, and its own to free.
static _Noreturn void child(struct worker *worker, struct table *table) {
    status_leave();
    alarm(CHILD_PATIENCE);
    table_verify(table);
    for (int i = 0; i < CHILD_STEPS; i++) table_step(worker, table);
    uint64_t way = dice(worker) % 6;
    if (way == 0) {
        pthread_t threads[2];
        for (uintptr_t i = 0; i < 2; i++) threads[i] = crew_thread(child_thread, (void *)(i + 40));
        for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    } else if (way == 1) {
        await_grandchild(worker, table);
    } else if (way == 2) {
        execl("/proc/self/exe", "stress", "exec-child", (char *)NULL);
        CHECK(false);
    }
    table_empty(worker, table, 0);
    if (way == 3) exit(0);
    _exit(0);
}

static void fork_body(struct worker *worker) {
    struct table table = table_new(HELD, 4 * MIB);
    pid_t children[CHILDREN_AT_ONCE] = {0};
    for (unsigned turn = 0; !time_is_up(); turn++) {
        pid_t *place = &children[turn % CHILDREN_AT_ONCE];
        if (*place != 0) await_child(*place);
        for (int i = 0; i < 200; i++) table_step(worker, &table);
        *place = fork();
        CHECK(*place >= 0);
        // The same numbers in each child would make the same child each time.
        if (*place == 0) {
            worker->random += turn;
            child(worker, &table);
        }
        table_verify(&table);
    }
    for (int i = 0; i < CHILDREN_AT_ONCE; i++)
        if (children[i] != 0) await_child(children[i]);
    table_empty(worker, &table, 0);
}

static void churn_beside(struct worker *worker) {
    struct table table = table_new(2048, 16 * MIB);
    while (!time_is_up())
        for (int i = 0; i < 64; i++) table_step(worker, &table);
    table_empty(worker, &table, 0);
}

static void fork_or_churn(struct worker *worker) { (worker->number <= FORKERS ? fork_body : churn_beside)(worker); }

void fork_storm(void) { crew_run(FORKERS + CHURNERS_BESIDE, fork_or_churn); }

// A child after exec: a fresh process under the same preload.
int fork_child_of_exec(void) {
    alarm(CHILD_PATIENCE);
    child_thread((void *)1);
    return 0;
}
