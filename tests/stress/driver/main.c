// stress SCENARIO SECONDS SEED STATUS-FILE: runs one scenario and ends with 0, or with one line `stress: KIND: ...` and
// status 90.
#include "stress.h"

static const struct {
    const char *name;
    void (*run)(void);
    // Runs before live memory is first counted.
    void (*prepare)(void);
} SCENARIOS[] = {
    {"churn", churn, NULL},
    {"churn-large", churn_large, NULL},
    {"remote-free", remote_free, NULL},
    {"producer-consumer", producer_consumer, NULL},
    {"thread-churn", thread_churn, NULL},
    {"transfer-cache", transfer_cache, NULL},
    {"control", control, NULL},
    {"deepbind", deepbind, deepbind_prepare},
    {"hostile-descriptor", hostile_descriptor, NULL},
    {"exhaustion", exhaustion, NULL},
    {"fork-storm", fork_storm, NULL},
    {"fork-nested", fork_nested, NULL},
    {"fork-crowd", fork_crowd, NULL},
    {"thread-crowd", thread_crowd, NULL},
    {"tenants", tenants, NULL},
    {"shutdown", shutdown_storm, NULL},
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
        account_open(strtoull(argv[3], NULL, 10), strtod(argv[2], NULL));
        SCENARIOS[i].run();
        account_close();
        return 0;
    }
    fprintf(stderr, "stress: no scenario is called %s\n", argv[1]);
    return 2;
}
