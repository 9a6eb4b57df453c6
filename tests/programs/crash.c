// Crashes in the way that its argument names.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct node { struct node *next; long value; };

static void *volatile keep;

static void handler(int number) {
    (void)number;
    _exit(44);
}

// Faults at an address that no memory can have, while another register holds `address`.
static void fault_with(void *address) {
    __asm__ volatile("movabs $0x4141414141414141, %%rax\n movq (%%rax), %%rax" : : "D"(address) : "rax", "memory");
}

static long overflow(volatile char *above) {
    volatile char here[4096];
    here[0] = above[0];
    return overflow(here) + here[0];
}

static void *overflow_thread(void *unused) {
    char start = 0;
    keep = malloc(100);
    overflow(&start);
    return unused;
}

static void crash(const char *how) {
    char start = 0;
    pthread_t thread;
    if (strcmp(how, "null") == 0 || strncmp(how, "handler", 7) == 0) {
        keep = (void *)((struct node *)keep)->value;
    } else if (strcmp(how, "wild") == 0) {
        *(volatile char *)0x6b0000000000 = 1;
    } else if (strcmp(how, "beyond") == 0) {
        char *block = malloc(100);
        *(volatile char *)(block + (8L << 30)) = 1;
    } else if (strcmp(how, "live") == 0) {
        fault_with((char *)malloc(100) + 40);
    } else if (strcmp(how, "binned") == 0) {
        char *block = malloc(100);
        keep = block;
        free(block);
        fault_with((char *)keep + 8);
    } else if (strcmp(how, "stale") == 0) {
        struct node *node = malloc(sizeof *node);
        keep = node;
        node->next = node;
        free(node);
        keep = ((struct node *volatile)keep)->next;
        keep = (void *)((struct node *volatile)keep)->value;
    } else if (strcmp(how, "overflow") == 0) {
        overflow(&start);
    } else if (strcmp(how, "thread-overflow") == 0) {
        pthread_create(&thread, NULL, overflow_thread, NULL);
        pthread_join(thread, NULL);
    } else if (strcmp(how, "sent") == 0) {
        kill(getpid(), SIGSEGV);
    } else if (strcmp(how, "bus") == 0) {
        FILE *file = tmpfile();
        char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
        keep = (void *)(long)*(volatile char *)map;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    if (strcmp(argv[1], "handler-before") == 0) signal(SIGSEGV, handler);
    void *first = malloc(10);
    free(first);
    if (strcmp(argv[1], "handler-after") == 0) signal(SIGSEGV, handler);
    crash(argv[1]);
    return 3;
}
