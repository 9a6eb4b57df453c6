// Prints how much of the library's mappings is resident, and how much of it this process wrote: it reads the kernel's
// file by itself. Arguments:
//   none: without a malloc.
//   malloc: after one malloc and free.
//   pages: how many pages of code one malloc and free use, and how much of the code the kernel maps for these, the mean
//     over all addresses. The pages are counted by their first use, which neither address nor page cache changes.
//   pages work: the same of a program that works for a while.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include "check.h"

// The kernel maps WINDOW pages around one that is used; addresses that are multiples of that are the borders.
enum { PAGE = 4096, WINDOW = 16, PAGES_MAX = 1024 };
enum { BLOCKS = 4096, ROUNDS = 50 };

static char text[1 << 18];
static char *code;
static size_t code_pages;
static volatile char used[PAGES_MAX];

struct sizes {
    long code, data, written;
};

// Also finds the code.
static struct sizes read_sizes(void) {
    int file = open("/proc/self/smaps", O_RDONLY);
    size_t length = 0;
    for (ssize_t got; (got = read(file, text + length, sizeof text - 1 - length)) > 0;) length += (size_t)got;
    close(file);
    text[length] = 0;
    struct sizes sizes = {0, 0, 0};
    long value;
    size_t from, to;
    int ours = 0, executable = 0, behind = 0;
    char access[8];
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        if (sscanf(line, "%zx-%zx %7s", &from, &to, access) == 3) {
            int named = strstr(line, "libspandrel.so") != NULL;
            // The part that is zero at first has no name; it follows the data.
            ours = named || (behind && strrchr(line, ' ')[1] == 0);
            behind = named;
            executable = access[2] == 'x';
            if (named && executable && code == NULL) code = (char *)from, code_pages = (to - from) / PAGE;
        } else if (ours && sscanf(line, "Rss: %ld", &value) == 1) {
            *(executable ? &sizes.code : &sizes.data) += value;
        } else if (ours && sscanf(line, "Anonymous: %ld", &value) == 1) {
            sizes.written += value;
        }
    }
    return sizes;
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    size_t page = (size_t)((char *)info->si_addr - code) / PAGE;
    if (page >= code_pages || used[page]) _exit(3);
    used[page] = 1;
    if (mprotect(code + page * PAGE, PAGE, PROT_READ | PROT_EXEC) != 0) _exit(4);
}

// Blocks of many sizes that come and go for so long that bins grow, overflow and are scavenged, and spans become empty.
static void work(void) {
    static void *blocks[BLOCKS];
    unsigned random = 1;
    for (int round = 0; round < ROUNDS * BLOCKS; round++) {
        random = random * 1664525 + 1013904223;
        size_t place = random >> 16 & (BLOCKS - 1);
        free(blocks[place]);
        blocks[place] = round < (ROUNDS - 1) * BLOCKS ? opaque(malloc(1 + (random >> 8) % 1024)) : NULL;
    }
    for (size_t place = 0; place < BLOCKS; place++) free(blocks[place]);
}

static int use_code(int much) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    read_sizes();
    if (code_pages == 0 || code_pages > PAGES_MAX || sigaction(SIGSEGV, &action, NULL) != 0) return 0;
    if (mprotect(code, code_pages * PAGE, PROT_NONE) != 0) return 0;
    if (much) {
        work();
    } else {
        free(opaque(malloc(16)));
    }
    return mprotect(code, code_pages * PAGE, PROT_READ | PROT_EXEC) == 0;
}

// KiB of the windows with used pages, the mean over their borders.
static long mapped_kib(void) {
    size_t pages = 0;
    for (size_t shift = 0; shift < WINDOW; shift++) {
        for (size_t start = 0; start < code_pages + shift; start += WINDOW) {
            size_t from = start < shift ? 0 : start - shift, to = start + WINDOW - shift, any = 0;
            if (to > code_pages) to = code_pages;
            for (size_t page = from; page < to; page++) any |= used[page] != 0;
            if (any) pages += to - from;
        }
    }
    return (long)(pages * PAGE / 1024 / WINDOW);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "pages") == 0) {
        if (!use_code(argc > 2)) return 2;
        size_t pages = 0;
        for (size_t page = 0; page < code_pages; page++) pages += used[page] != 0;
        dprintf(1, "pages=%zu mapped=%ld\n", pages, mapped_kib());
        return 0;
    }
    if (argc > 1) free(opaque(malloc(16)));
    struct sizes sizes = read_sizes();
    dprintf(1, "code=%ld data=%ld written=%ld\n", sizes.code, sizes.data, sizes.written);
    return 0;
}
