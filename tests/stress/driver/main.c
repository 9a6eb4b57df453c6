// stress SCENARIO SECONDS SEED STATUS-FILE: runs one scenario and ends with 0, or with one line `stress: KIND: ...` and
// status 90.
#include "stress.h"

static const struct {
    const char *name;
    void (*run)(void);
    // Runs before live memory is first counted.
    void (*prepare)(void);
    // Runs after that and before the scenario's time begins, and until it does the runner takes no samples: memory that
    // fills up is no growth, however long a busy machine takes to fill it.
    void (*set_up)(void);
} SCENARIOS[] = {
    {"churn", churn, NULL, NULL},
    {"churn-large", churn_large, NULL, NULL},
    {"remote-free", remote_free, NULL, NULL},
    {"producer-consumer", producer_consumer, NULL, NULL},
    {"thread-churn", thread_churn, NULL, NULL},
    {"transfer-cache", transfer_cache, NULL, NULL},
    {"control", control, NULL, NULL},
    {"deepbind", deepbind, deepbind_prepare, NULL},
    {"hostile-descriptor", hostile_descriptor, NULL, NULL},
    {"exhaustion", exhaustion, NULL, NULL},
    {"fork-storm", fork_storm, NULL, NULL},
    {"fork-nested", fork_nested, NULL, NULL},
    {"fork-crowd", fork_crowd, NULL, fork_crowd_set_up},
    {"thread-crowd", thread_crowd, NULL, thread_crowd_set_up},
    {"tenants", tenants, NULL, NULL},
    {"shutdown", shutdown_storm, NULL, NULL},
};

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "exec-child") == 0) {
        status_leave();
        watch_start();
        return fork_child_of_exec();
    }
    if (argc == 3 && strcmp(argv[1], "shutdown-child") == 0) return shutdown_child(argv[2]);
    if (argc == 4 && strcmp(argv[1], "nested-target") == 0) return fork_nested_target(argv[2], argv[3]);
    if (argc != 5) {
        fprintf(stderr, "usage: stress SCENARIO SECONDS SEED STATUS-FILE\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof SCENARIOS / sizeof *SCENARIOS; i++) {
        if (strcmp(argv[1], SCENARIOS[i].name) != 0) continue;
        status_open(argv[4]);
        watch_start();
        if (SCENARIOS[i].prepare != NULL) SCENARIOS[i].prepare();
        uint64_t seed = strtoull(argv[3], NULL, 10);
        account_open(seed);
        if (SCENARIOS[i].set_up != NULL) SCENARIOS[i].set_up();
        time_open(seed, strtod(argv[2], NULL));
        atomic_store(&status->running, 1);
        SCENARIOS[i].run();
        account_close();
        return 0;
    }
    fprintf(stderr, "stress: no scenario is called %s\n", argv[1]);
    return 2;
}
