// The first process of the emulated machine: runs /nodes once for each policy, and switches the machine off. Where
// memory is kept by node, one node is to run out.
// `make numa-check` (xtask/src/gate/numa/console.rs) reads its output, and that of /nodes, from the console.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const POLICIES[] = {"off", "first-touch", "local", "interleave", "bind:0", "bind:1", "bind:5"};

static void run(const char *policy) {
    printf("run %s\n", policy);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setenv("LD_PRELOAD", "/lib/libspandrel.so", 1);
        setenv("SPANDREL_PROFILE", "hosted-server", 1);
        setenv("SPANDREL_NUMA", policy, 1);
        bool overflow = strcmp(policy, "local") == 0;
        execl("/nodes", "/nodes", overflow ? "more" : NULL, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) printf("failed to run\n");
    printf("ended %d\n", status);
}

int main(void) {
    struct utsname kernel;
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL) != 0 || mount("sysfs", "/sys", "sysfs", 0, NULL) != 0) printf("failed to mount\n");
    uname(&kernel);
    printf("kernel %s\n", kernel.release);
    for (size_t index = 0; index < sizeof POLICIES / sizeof *POLICIES; index++) run(POLICIES[index]);
    printf("done\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 1;
}
