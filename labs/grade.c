/* grade.c - the grader of the labs. `make lab5` compiles labs/lab5.c and links
   it to this; all of the mail system is in here too. So a student's function
   is compared with the real one on any input, and then put into it: the demo
   runs again, and mail is carried by what was handed in.

   How a lab is added: five places, and nothing else.

   1. lab.h     LABn: what its functions are called, take and return, and the
                structs they need; LABn is in the list LABS.
   2. labN.c    the stub: a comment says the goal, the chapter, the RFC and
                what will be tested; it compiles without a warning, scores 0
                and cannot crash. A pure function: no sockets, no allocation.
   3. seams.h   (if mail.h has a seam for it) the name of the seam, defined to
                the adaptor in labN.h, which calls what is LAB_INSIDE, or
                mail.h's own function.
   4. labN.h    the adaptors (from mail.h's form of the function to the
                student's, and back for the reference), the impostors, the
                cases, and a `static const lab labN`.
   5. the list `all_labs` below, and its #include.

   A case is run by the lab's run(f, i, c): it fills in the group, the rule (a
   sentence: what this case is about), what is given and what is expected; and
   with f, what f makes of it. Who answers what is expected has passed. So that
   nobody scores by doing nothing, no expected answer is empty; and so that
   nobody scores by refusing all, what must be refused is asked together with
   what must not. Whatever a lab wants to draw by chance comes from
   lab_random, so that each student has his own (STUDENT=, SEED=).

   Each case runs in a child process with a limit of 3 s, and of a tenth of one
   behind the first that was late: a crash or an endless loop costs the case.
   What is given to a function is a copy of exact
   size (lab_exact), and its room, too (lab_room): with a sanitizer an octet too
   much is seen at the line that touched it.

   The last point is for all cases at once: a server with one mistake loses
   mail. So no known mistake keeps more than 9 points of 10. */

#define MAIL_NO_MAIN
#define MAIL_STATIC                  /* a student's file cannot call them */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#define _POSIX_C_SOURCE 200809L
#include "../mail.h"

#include "lab.h"
#include "seams.h"

#include <stdio.h>

/* What the demo prints is not mixed with what a student's printf says. */
static FILE *lab_said;                           /* NULL: standard output */
static FILE *lab_out(void) { return lab_said ? lab_said : stdout; }
#undef stdout
#define stdout lab_out()
#define printf(...) fprintf(stdout, __VA_ARGS__)

#include "../mail.c"

#include <ctype.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ==== what a lab is made of ============================================== */

enum { LAB_TEXT = 1500, LAB_CASES = 2000, LAB_LIMIT = 3, LAB_CRASHED = 99,
       LAB_GROUPS = 16, LAB_LAST = 10,         /* the last point, in tenths */
       LAB_UNTRIED = 2, LAB_CALLS = 8 };

typedef struct lab_text {         /* octets; what has no room is only hashed */
    size_t   n;
    uint64_t hash;
    char     p[LAB_TEXT];
} lab_text;

typedef struct lab_case {
    int group;                    /* which of the lab's groups, from 0      */
    const char *calls;            /* what is called, if a lab has several   */
    char rule[160];               /* what it is about                       */
    int skip;                     /* this solution has nothing to say here  */
    lab_text given, expected, yours;
    char note[160];               /* why there is no answer: a crash        */
    char more[400];               /* what else can be said, in lines        */
    size_t way;                   /* which of many ways was wrong, from 1   */
} lab_case;

typedef struct lab_group {
    const char *name, *tests;     /* in the table; on the handout           */
    int points;                   /* in tenths                              */
} lab_group;

typedef struct lab_impostor {
    const char *id, *what;        /* "B5", or "M1": not one of the 28; "X1":
                                     it may crash, and is not recognized    */
    lab_functions f;              /* what is NULL is the reference's        */
} lab_impostor;

typedef struct lab {
    int number, stars, minutes, chapter;
    const char *title, *rfc;
    const char *also;             /* another chapter, or NULL               */
    const char *task;             /* for the handout                        */
    const char *inside;           /* which functions are in the demo        */
    const char *signs;            /* what the signs in a case mean          */
    const char *carries;          /* what it does in the demo; NULL: nothing */
    const char *play;             /* in which scenario; NULL: the demo's own */
    const lab_group *groups; size_t ngroups;
    const lab_impostor *impostors; size_t nimpostors;
    const lab_functions *reference;
    /* Case i, run by f; f is NULL: only say what it is. 0: there is none. */
    int (*run)(const lab_functions *f, size_t i, lab_case *c);
    /* Prints the ladder of a case, for labs that have one. May be NULL. */
    void (*ladder)(const lab_functions *f, size_t i);
    /* Draws what a table of groups does not show: right[i] is case i, 1 if
       it is, 2 if it was not tried. */
    void (*draw)(const unsigned char *right);
} lab;

#define LAB_COUNT(a) (sizeof(a) / sizeof(a)[0])

/* The solution that is inside mail.h now; NULL: mail.h's own functions. */
static const lab_functions *lab_inside;
#define LAB_INSIDE(name) (lab_inside && lab_inside->name)

static uint64_t lab_seed = 1;

/* 0..n-1. The sequence begins with lab_random_from. */
static uint64_t lab_state;

static void lab_random_from(uint64_t k) {
    lab_state = lab_seed * UINT64_C(0x9e3779b97f4a7c15) + k;
}

static size_t lab_random(size_t n) {
    uint64_t z = lab_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ z >> 31) % n);
}

static uint64_t lab_hash(uint64_t h, const char *p, size_t n) {
    size_t i;
    for (i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static void lab_put(lab_text *t, const char *p, size_t n) {
    size_t room = t->n < sizeof t->p ? sizeof t->p - t->n : 0, all = n;
    t->hash = lab_hash(t->hash, p, n);
    if (n > room) n = room;
    if (n) memcpy(t->p + t->n, p, n);
    t->n += all;
}

/* A row's text, where "~" stands for a NUL. Returns its length. */
static size_t lab_unwrite(char *to, const char *s) {
    size_t n;
    for (n = 0; s[n]; n++) to[n] = s[n] == '~' ? 0 : s[n];
    return n;
}

static void lab_say(lab_text *t, const char *s) { lab_put(t, s, strlen(s)); }

MAIL_PRINTF(2, 3)
static void lab_fmt(lab_text *t, const char *fmt, ...) {
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    lab_say(t, text);
}

/* n octets of memory, no more and no less: LAB_GUARD octets before and behind
   them are forbidden, and a sanitizer stops who touches them. Without one the
   guard is looked at by lab_room_ok. All rooms are given back when the next
   case begins. */
enum { LAB_GUARD = 8, LAB_FRONT = 2 * LAB_GUARD };

static char *lab_rooms;                    /* the last one; each has the next */

static char *lab_guarded(size_t n, int guard) {
    size_t all = (n + LAB_GUARD + 7) / 8 * 8;
    char *p = malloc(LAB_FRONT + all);
    if (p == NULL) exit(2);
    memcpy(p, &lab_rooms, sizeof lab_rooms);
    lab_rooms = p;
    memset(p + LAB_GUARD, 0x55, LAB_GUARD + n);
    memset(p + LAB_FRONT + n, guard, all - n);
    lab_forbid(p, LAB_FRONT);
    lab_forbid(p + LAB_FRONT + n, all - n);
    return p + LAB_FRONT;
}

static char *lab_room(size_t n) { return lab_guarded(n, 0x55); }

/* A copy of n octets. Behind it are line ends: who looks there without being
   stopped by a sanitizer gets a wrong answer by it. */
static char *lab_exact(const char *p, size_t n) {
    char *copy = lab_guarded(n, '\n');
    if (n) memcpy(copy, p, n);
    return copy;
}

static int lab_room_ok(const char *p, size_t n) {
    size_t i;
    for (i = 1; i < LAB_GUARD; i++)
        if (p[n + i] != p[n] || p[-(int)i] != 0x55) return 0;
    return p[n] == 0x55 || p[n] == '\n';
}

static void lab_clear(void) {
    while (lab_rooms) {
        char *p = lab_rooms;
        lab_allow(p, LAB_FRONT);
        memcpy(&lab_rooms, p, sizeof lab_rooms);
        free(p);
    }
}

static void lab_begin(lab_case *c) {
    memset(c, 0, sizeof *c);
    c->group = -1;
    c->given.hash = c->expected.hash = c->yours.hash =
        UINT64_C(0xcbf29ce484222325);
}

/* How many octets of a text are there to be shown. */
static size_t lab_kept(const lab_text *t) {
    return t->n < sizeof t->p ? t->n : sizeof t->p;
}

static int lab_passed(const lab_case *c) {
    return !c->skip && !c->note[0] && c->expected.n &&
           c->yours.n == c->expected.n && c->yours.hash == c->expected.hash &&
           memcmp(c->yours.p, c->expected.p, lab_kept(&c->yours)) == 0;
}

/* A copy of f, with the reference's functions where f has none. */
static lab_functions lab_whole(const lab *l, const lab_functions *f) {
    lab_functions w = *l->reference;
#define LAB_OWN(type, name, takes) if (f->name) w.name = f->name;
    LABS(LAB_OWN)
#undef LAB_OWN
    return w;
}

/* The last call of a student's function, in memory that outlives its process:
   what n was. -1: the lab does not say. */
static volatile long *lab_n;

static void lab_called(size_t n) {
    if (lab_n) *lab_n = (long)n;
}

static volatile int lab_for_ever = 1;        /* for impostors that loop */

/* Of a case's ways only this one is tried, from 1; 0: each. */
static size_t lab_one_way;

#include "lab1.h"
#include "lab2.h"
#include "lab3.h"
#include "lab4.h"
#include "lab5.h"
#include "lab6.h"
#include "lab7.h"
#include "lab8.h"
#include "lab9.h"
#include "lab10.h"
#include "lab11.h"
#include "lab12.h"

static const lab *const all_labs[] = {
    &lab1, &lab2, &lab3, &lab4, &lab5, &lab6, &lab7, &lab8, &lab9, &lab10,
    &lab11, &lab12
};

/* ==== running a case ===================================================== */

static int lab_run(const lab *l, const lab_functions *f, size_t i,
                   lab_case *c) {
    lab_begin(c);
    lab_clear();
    lab_random_from(i);
    return l->run(f, i, c);
}

/* A line of a sanitizer's stack, "#2 0x12 in next_line /x/labs/lab1.c:31:9",
   if that is the student's: not the C library or the sanitizer itself. */
static void lab_frame(const char *line, char *to, size_t cap) {
    static const char *const others[] = {
        "../", "sanitizer", "/asan/", "compiler-rt"
    };
    char name[60], path[300], *at;
    size_t i;
    int n, col = 0;
    if (sscanf(line, " #%d %*s in %59s %299s", &n, name, path) != 3) return;
    for (i = 0; i < LAB_COUNT(others); i++)
        if (strstr(path, others[i])) return;
    at = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strchr(at, ':') == NULL) return;
    sscanf(strchr(at, ':'), ":%d:%n", &n, &col);
    if (col) at[strcspn(at, ":") + (size_t)col - 1] = 0;
    snprintf(to, cap, " in %s, %s", name, at);
}

/* What a sanitizer said, in a sentence; or nothing. */
static void lab_blame(FILE *err, char *to, size_t cap) {
    static const char asan[] = "ERROR: AddressSanitizer: ";
    char line[500], what[60] = "", where[90] = "", *at;
    const char *said = what;
    rewind(err);
    while (fgets(line, sizeof line, err)) {
        line[strcspn(line, "\n")] = 0;
        if (strstr(line, "runtime error: ")) {
            at = strrchr(line, '/');
            snprintf(to, cap, ": %s", at ? at + 1 : line);
            return;
        }
        at = strstr(line, asan);
        if (at) {
            mail_copy(what, sizeof what, mail_s(at + sizeof asan - 1));
            at = strstr(what, " on ");
            if (at) *at = 0;
        }
        if (!where[0]) lab_frame(line, where, sizeof where);
    }
    if (what[0] == 0) return;
    if (strstr(what, "overflow") || strstr(what, "poison") ||
        strstr(what, "underflow"))
        said = strncmp(what, "stack-overflow", 14) ?
            "it touched an octet outside of a buffer" :
            "it calls itself without an end";
    if (strcmp(what, "SEGV") == 0)
        said = "it touched memory that is not its own";
    snprintf(to, cap, "%s: %s", where, said);
}

static int lab_late(int status) {
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGALRM ||
                                   WTERMSIG(status) == SIGPROF);
}

/* Why a child gave no answer. */
static void lab_died(lab_case *c, int status, FILE *err) {
    char why[140] = "";
    lab_blame(err, why, sizeof why);
    if (lab_late(status))
        mail_copy(c->note, sizeof c->note,
                  mail_s("stopped: it did not end in time"));
    else if (why[0]) snprintf(c->note, sizeof c->note, "crashed%s", why);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
        mail_copy(c->note, sizeof c->note,
                  mail_s("crashed: it touched memory that is not its own "
                         "(signal 11)"));
    else if (WIFEXITED(status) && WEXITSTATUS(status) == LAB_CRASHED)
        mail_copy(c->note, sizeof c->note, mail_s("crashed"));
    else if (WIFSIGNALED(status))
        snprintf(c->note, sizeof c->note, "crashed: signal %d",
                 WTERMSIG(status));
    else snprintf(c->note, sizeof c->note, "it ended the program: exit(%d)",
                  WEXITSTATUS(status));
}

/* Which call it was. */
static void lab_died_at(lab_case *c) {
    size_t n = strlen(c->note);
    if (lab_n && *lab_n >= 0)
        snprintf(c->note + n, sizeof c->note - n, " (n was %ld)", *lab_n);
}

static void lab_remember(void) {
    FILE *f;
    void *p;
    if (lab_n == NULL && (f = tmpfile()) != NULL) {
        if (ftruncate(fileno(f), sizeof *lab_n)) exit(2);
        p = mmap(NULL, sizeof *lab_n, PROT_READ | PROT_WRITE, MAP_SHARED,
                 fileno(f), 0);
        if (p != MAP_FAILED) lab_n = p;
        fclose(f);
    }
    if (lab_n) *lab_n = -1;
}

static size_t lab_read(int fd, void *to, size_t n) {
    size_t got = 0;
    ssize_t k;
    while (got < n && (k = read(fd, (char *)to + got, n - got)) != 0) {
        if (k > 0) got += (size_t)k;
        else if (errno != EINTR) break;
    }
    return got;
}

/* One case's printf: an endless loop's is cut off. */
enum { LAB_SAID = 9000 };

static void lab_copy_some(FILE *from, FILE *to) {
    size_t n = LAB_SAID;
    int c;
    while (n-- && (c = getc(from)) != EOF) putc(c, to);
    if (n == (size_t)-1) fputs("\n... (and more)\n", to);
}

static void lab_copy(FILE *from, FILE *to) {
    int c;
    while ((c = getc(from)) != EOF) putc(c, to);
}

/* One case is asked for: what a student's printf says is to be seen. Else it
   is only known that there was something. */
static int lab_loud, lab_prints;

/* A sanitizer's report takes half a second: after some of them a crash is one
   without it. */
static int lab_hurry;

void lab_on_error(void) {
    if (lab_hurry) _exit(LAB_CRASHED);
}

/* A printf in an endless loop does not fill the disk. */
static void lab_quiet(void) {
    struct rlimit r;
    r.rlim_cur = r.rlim_max = 1 << 20;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &r);
}

/* This process ends when it has computed so long, in ms; or when it slept. */
static void lab_until(int ms) {
    struct itimerval t;
    memset(&t, 0, sizeof t);
    t.it_value.tv_sec = ms / 1000;
    t.it_value.tv_usec = ms % 1000 * 1000;
    signal(SIGALRM, SIG_DFL);
    signal(SIGPROF, SIG_DFL);
    setitimer(ITIMER_PROF, &t, NULL);
    alarm((unsigned)ms / 1000 + 1);
}

/* Case i in a process of its own. Returns 0 if it took all of its time. */
static int lab_apart(const lab *l, const lab_functions *f, size_t i,
                     lab_case *c, int ms) {
    static FILE *err;
    int ends[2], status = 0;
    pid_t child;
    lab_run(l, NULL, i, c);
    lab_remember();
    if (err == NULL) err = tmpfile();
    if (err == NULL || ftruncate(fileno(err), 0) || pipe(ends)) exit(2);
    rewind(err);
    fflush(NULL);
    child = fork();
    if (child < 0) exit(2);
    if (child == 0) {
        size_t at;
        ssize_t k;
        dup2(fileno(err), 2);
        dup2(fileno(err), 1);
        lab_until(ms);
        lab_quiet();
        lab_run(l, f, i, c);
        fflush(stdout);
        for (at = 0; at < sizeof *c; at += (size_t)k)
            if ((k = write(ends[1], (char *)c + at, sizeof *c - at)) <= 0)
                _exit(3);
        _exit(0);
    }
    close(ends[1]);
    if (lab_read(ends[0], c, sizeof *c) != sizeof *c) {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
        lab_run(l, NULL, i, c);
        lab_died(c, status, err);
        lab_died_at(c);
    } else while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    close(ends[0]);
    if (status == 0) lab_prints |= lseek(fileno(err), 0, SEEK_END) > 0;
    rewind(err);
    if (lab_loud) lab_copy_some(err, stdout);
    return !lab_late(status);
}

/* ==== what was found ===================================================== */

typedef struct lab_report {
    const lab *l;
    size_t n;                            /* cases                          */
    int right[LAB_GROUPS], all[LAB_GROUPS];            /* of each group    */
    size_t first;                        /* that failed; -1: none          */
    uint64_t answers[LAB_CASES];         /* what was answered, hashed      */
    unsigned char passed[LAB_CASES];
    lab_case c;                          /* the first that failed          */
    int lates;                           /* did not end in time            */
    int untried, dropped[LAB_GROUPS];    /* all of them; of each group     */
    struct { const char *name; double lost; } calls[LAB_CALLS];
    int carried, step;                   /* -1: not tried; how far         */
} lab_report;

static uint64_t lab_answer(const lab_case *c) {
    return c->note[0] ? lab_hash(1, c->note, strlen(c->note))
                      : c->yours.hash + c->yours.n;
}

static double lab_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What the cases have cost that crashed or were late, for each function that
   is called, in s. */
static double *lab_lost(lab_report *r, const char *name) {
    size_t i;
    if (name == NULL) name = "";
    for (i = 0; i + 1 < LAB_CALLS && r->calls[i].name; i++)
        if (strcmp(r->calls[i].name, name) == 0) break;
    r->calls[i].name = name;
    return &r->calls[i].lost;
}

/* How long a case may compute, in ms: the first one, and when one was late. */
static int lab_patience = LAB_LIMIT * 1000, lab_impatience = 100;

/* The verdict is to come soon. The first that is late may take 3 s; when then
   a function has lost 2 s, 20 times a tenth, no more of its cases are tried,
   and when all have lost 4 s, none at all. */
static void lab_try_one(lab_report *r, const lab_functions *f, size_t i,
                        lab_case *c, double *all) {
    double begin = lab_now(), took, *lost = lab_lost(r, c->calls);
    int first = r->lates == 0, late;
    if (*lost > .02 * lab_impatience || *all > .04 * lab_impatience) {
        mail_copy(c->note, sizeof c->note, mail_s("not tried"));
        r->untried++;
        r->dropped[c->group]++;
        return;
    }
    late = !lab_apart(r->l, f, i, c, first ? lab_patience : lab_impatience);
    r->lates += late;
    if (!c->note[0] || (first && late)) return;
    took = late ? lab_impatience / 1000. : lab_now() - begin;
    *lost += took;
    *all += took;
}

/* All cases. The first that failed is of the first group with one. */
static void lab_try(lab_report *r, const lab_functions *f) {
    static lab_case c;
    double lost = 0;
    size_t i;
    int crashes = 0, untried;
    r->first = (size_t)-1;
    for (i = 0; i < LAB_CASES && lab_run(r->l, NULL, i, &c); i++) {
        untried = r->untried;
        lab_hurry = crashes > 2;
        lab_try_one(r, f, i, &c, &lost);
        untried = r->untried > untried;
        crashes += c.note[0] != 0;
        r->all[c.group]++;
        r->passed[i] = untried ? LAB_UNTRIED : (unsigned char)lab_passed(&c);
        r->right[c.group] += r->passed[i] == 1;
        if (!r->passed[i] && (r->first == (size_t)-1 || c.group < r->c.group))
            r->first = i, r->c = c;
        r->answers[i] = lab_answer(&c);
    }
    r->n = i;
}

/* Tenths of a point; all of them only for all cases. */
static int lab_points(const lab_report *r, size_t g) {
    return r->all[g] ? r->l->groups[g].points * r->right[g] / r->all[g] : 0;
}

/* How many groups have no mistake. */
static int lab_faultless(const lab_report *r) {
    size_t g;
    int n = 0;
    for (g = 0; g < r->l->ngroups; g++)
        n += r->all[g] && r->right[g] == r->all[g];
    return n;
}

static int lab_last(const lab_report *r) {
    return lab_faultless(r) == (int)r->l->ngroups ? LAB_LAST : 0;
}

static int lab_sum(const lab_report *r) {
    size_t g;
    int sum = lab_last(r);
    for (g = 0; g < r->l->ngroups; g++) sum += lab_points(r, g);
    return sum;
}

static int lab_full(const lab *l) {
    size_t g;
    int sum = LAB_LAST;
    for (g = 0; g < l->ngroups; g++) sum += l->groups[g].points;
    return sum;
}

/* The impostor that gives the same answers in all cases; NULL: none. Our own
   functions: they need no process. */
static const lab_impostor *lab_match(const lab_report *r) {
    static lab_case c;
    size_t k, i;
    for (k = 0; k < r->l->nimpostors; k++) {
        lab_functions f = lab_whole(r->l, &r->l->impostors[k].f);
        if (r->l->impostors[k].id[0] == 'X') continue;
        for (i = 0; i < r->n; i++) {
            lab_run(r->l, &f, i, &c);
            if (lab_answer(&c) != r->answers[i]) break;
        }
        if (i == r->n) return &r->l->impostors[k];
    }
    return NULL;
}

/* ==== showing it ========================================================= */

/* How an octet is shown, and how wide that is. */
static int lab_octet(char *to, unsigned char c) {
    if (c == '\r') return sprintf(to, "<CR>");
    if (c == '\n') return sprintf(to, "<LF>");
    if (c < 32 || c > 126) return sprintf(to, "<%02X>", (unsigned)c);
    return sprintf(to, "%c", c);
}

/* What stands at i: an octet, or many that are the same, "(510 x)". Returns how
   many octets that is. */
static size_t lab_item(char to[24], const lab_text *t, size_t i) {
    size_t k = i;
    char o[8];
    while (k < lab_kept(t) && t->p[k] == t->p[i]) k++;
    lab_octet(o, (unsigned char)t->p[i]);
    if (k - i < 20) return strcpy(to, o), 1;
    snprintf(to, 24, "(%lu %s)", (unsigned long)(k - i), o);
    return k - i;
}

enum { LAB_WIDE = 62 };

/* The octets from the 20th before mark on, as far as a line goes. Returns the
   column that mark is in. */
static int lab_show(FILE *f, const char *what, const lab_text *t,
                    size_t mark) {
    char o[24] = "";
    int col = 0, found = -1;
    size_t i = 0, n = lab_kept(t);
    while (mark > 30 && i + 20 < mark && i < n) i += lab_item(o, t, i);
    fprintf(f, "  %-10s %s|", what, i ? "..." : "");
    if (i) col += 3;
    while (i < n) {
        size_t k = lab_item(o, t, i);
        if (col + (int)strlen(o) > LAB_WIDE) break;
        if (found < 0 && mark < i + k) found = col;
        fputs(o, f);
        col += (int)strlen(o);
        i += k;
    }
    fprintf(f, "%s\n", i < t->n ? "..." : "|");
    return found < 0 ? col : found;
}

static int lab_on(FILE *f) {
    fprintf(f, "\n%14s", "");
    return 0;
}

/* How wide a word is that begins at i: what has no room goes to the next line,
   unless it has no room there either. */
static int lab_word(const lab_text *t, size_t i) {
    char o[24];
    int wide = 0;
    while (i < lab_kept(t) && t->p[i] != ' ' && wide < LAB_WIDE) {
        i += lab_item(o, t, i);
        wide += (int)strlen(o);
    }
    return wide < LAB_WIDE ? wide : 0;
}

/* A text whole: a line of octets each, and no line too long. */
static void lab_show_lines(FILE *f, const char *what, const lab_text *t) {
    char o[24];
    int col = 0;
    size_t i = 0, n = lab_kept(t);
    fprintf(f, "  %-10s |", what);
    while (i < n) {
        size_t k = lab_item(o, t, i);
        if (col + (int)strlen(o) > LAB_WIDE) col = lab_on(f);
        col += fprintf(f, "%s", o);
        i += k;
        if (i < n && (t->p[i - 1] == '\n' || (t->p[i - 1] == ' ' &&
                      col + lab_word(t, i) > LAB_WIDE))) col = lab_on(f);
    }
    fprintf(f, "|\n");
}

/* A sentence, in lines that fit. */
static void lab_wrap(FILE *f, const char *what, const char *s) {
    int col = fprintf(f, "  %-10s", what);
    while (*s) {
        size_t n = strcspn(s, " ");
        if (col + 1 + (int)n > 78) col = fprintf(f, "\n%12s", "") - 1;
        col += fprintf(f, " %.*s", (int)n, s);
        s += n + (s[n] == ' ');
    }
    fprintf(f, "\n");
}

/* Where the two part. */
static size_t lab_parting(const lab_text *a, const lab_text *b) {
    size_t i = 0, n = lab_kept(a) < lab_kept(b) ? lab_kept(a) : lab_kept(b);
    while (i < n && a->p[i] == b->p[i]) i++;
    return i;
}

static void lab_show_case(FILE *f, const lab *l, const lab_case *c) {
    size_t d = lab_parting(&c->expected, &c->yours);
    int col;
    if (c->calls) lab_wrap(f, "calls", c->calls);
    lab_show_lines(f, "given", &c->given);
    if (lab_passed(c)) {
        lab_show_lines(f, "expected", &c->expected);
        lab_wrap(f, "yours", "the same");
        lab_wrap(f, "passed", c->rule);
    } else if (c->note[0]) {
        lab_show(f, "expected", &c->expected, 0);
        lab_wrap(f, "yours", c->note);
        lab_wrap(f, "the rule", c->rule);
        fputs(c->more, f);
    } else if (lab_loud) {
        lab_show_lines(f, "expected", &c->expected);
        lab_show_lines(f, "yours", &c->yours);
        fprintf(f, "  they differ from octet %lu on\n", (unsigned long)d + 1);
        lab_wrap(f, "the rule", c->rule);
    } else {
        lab_show(f, "expected", &c->expected, d);
        col = lab_show(f, "yours", &c->yours, d);
        fprintf(f, "%*s^ octet %lu\n", 14 + col, "", (unsigned long)d + 1);
        lab_wrap(f, "the rule", c->rule);
    }
    if (l->signs) lab_wrap(f, "signs", l->signs);
}

static void lab_title(FILE *f, const lab *l) {
    char title[40];
    size_t g;
    snprintf(title, sizeof title, "lab %d  %s", l->number, l->title);
    int col;
    fprintf(f, "%-24s tutorial chapter %d   %s\n", title, l->chapter,
            l->rfc);
    col = fprintf(f, "will test:");
    for (g = 0; g < l->ngroups; g++) {
        if (col + (int)strlen(l->groups[g].name) > 76)
            col = fprintf(f, "\n%10s", "") - 1;
        col += fprintf(f, " %s%s", l->groups[g].name,
                       g + 1 < l->ngroups ? "," : "");
    }
    fprintf(f, "\n");
}

static void lab_table(FILE *f, const lab_report *r) {
    size_t g, k;
    for (g = 0; g < r->l->ngroups; g++) {
        const lab_group *x = &r->l->groups[g];
        int points = lab_points(r, g);
        fprintf(f, "  %s ", x->name);
        for (k = strlen(x->name); k < 25; k++) putc('.', f);
        fprintf(f, " %3d/%-3d  %3d.%d of %d.%d", r->right[g], r->all[g],
                points / 10, points % 10, x->points / 10, x->points % 10);
        if (r->dropped[g]) fprintf(f, "   %d not tried", r->dropped[g]);
        fprintf(f, "\n");
    }
    fprintf(f, "  and all of these ......... %3d/%-3d  %3d.%d of %d.%d\n",
            lab_faultless(r), (int)r->l->ngroups, lab_last(r) / 10,
            lab_last(r) % 10, LAB_LAST / 10, LAB_LAST % 10);
}

/* The case's number in its group. */
static int lab_in_group(const lab *l, size_t i, int group) {
    static lab_case c;
    size_t k;
    int n = 0;
    for (k = 0; k <= i && lab_run(l, NULL, k, &c); k++) n += c.group == group;
    return n;
}

/* ==== real mail ========================================================== */

/* What the demo prints (args), with f inside, into a file. 0: it failed, or
   did not end. */
static FILE *lab_demo(const lab *l, const lab_functions *f,
                      const char *view, unsigned seconds) {
    FILE *out = tmpfile();
    char mail[] = "mail", demo[] = "demo", how[40], play[60];
    char *args[5];
    int status = 1, n = l->play ? 3 : 2;
    pid_t child;
    if (out == NULL) exit(2);
    snprintf(how, sizeof how, "--%s", view);
    snprintf(play, sizeof play, "--scenario=%s", l->play ? l->play : "");
    args[0] = mail, args[1] = demo, args[2] = play, args[n] = how;
    n += strcmp(view, "ladder") != 0;
    args[n] = NULL;
    fflush(NULL);
    child = fork();
    if (child < 0) exit(2);
    if (child == 0) {
        lab_said = out;
        dup2(open("/dev/null", O_WRONLY), 1);
        dup2(1, 2);
        signal(SIGALRM, SIG_DFL);
        alarm(seconds);
        lab_inside = f;
        status = mail_main(n, args);
        fflush(NULL);
        _exit(status);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    rewind(out);
    return out;
}

/* Are the four programs' steps the same, with the octets of each mail? step:
   the last one that is. */
static int lab_carries(const lab *l, const lab_functions *f,
                       unsigned seconds, int *step) {
    FILE *ours = lab_demo(l, NULL, "plain", LAB_LIMIT);
    FILE *yours = lab_demo(l, f, "plain", seconds);
    char a[300], b[300], *more;
    int same;
    *step = 0;
    do {
        more = fgets(a, sizeof a, ours);
        same = more ? fgets(b, sizeof b, yours) && strcmp(a, b) == 0
                    : fgets(b, sizeof b, yours) == NULL;
        if (same && more) sscanf(a, "Step %d.", step);
    } while (same && more);
    fclose(ours);
    fclose(yours);
    return same;
}

/* In the demo only some of a lab's functions are asked, and not for all that
   they must know. */
static void lab_show_carried(const lab_report *r) {
    const lab *l = r->l;
    int all = lab_sum(r) == lab_full(l);
    printf("the demo with your %s: ", l->inside);
    if (r->carried) {
        printf("the mail arrived%s%s\n", all ? "" :
               ";\n  but the demo asks less than the cases do", lab_prints
               ? ";\n  take your printf away" : "");
        return;
    }
    printf("no mail, it goes wrong\n");
    if (r->step) printf("  behind step %d:", r->step);
    else printf("  from the beginning:");
    printf(" make lab%d VIEW=full\n", l->number);
}

/* ==== the program ======================================================== */

typedef struct lab_line {           /* of commands, and the environment */
    const char *as;                 /* "", "reference", "B5"            */
    const char *view, *student, *file;
    size_t only;                    /* a case, from 1; 0: all           */
    int here;                       /* in this process, for a debugger  */
} lab_line;

static const char *lab_env(const char *name) {
    const char *s = getenv(name);
    return s ? s : "";
}

/* A number that was said; none if it was not. */
static uint64_t lab_number(const char *name, int64_t least, uint64_t none) {
    const char *s = lab_env(name);
    int64_t n;
    if (s[0] == 0) return none;
    if (mail_number(mail_s(s), INT64_MAX, &n) == MAIL_ERR_OK && n >= least)
        return (uint64_t)n;
    fprintf(stderr, "grade: %s=%s is no number from %d on\n", name, s,
            (int)least);
    exit(2);
}

/* Can the demo be shown in that view? */
static void lab_view(const lab *l, const char *name) {
    size_t i;
    if (name[0] == 0 || (l->ladder && strcmp(name, "ladder") == 0)) return;
    for (i = 0; l->carries && i < LAB_COUNT(views); i++)
        if (!views[i].file && strcmp(name, views[i].name) == 0) return;
    fprintf(stderr, "grade: lab %d has no VIEW=%s%s", l->number, name,
            l->carries ? "; it has" : ": it is not in the demo");
    for (i = 0; l->carries && i < LAB_COUNT(views); i++)
        if (!views[i].file) fprintf(stderr, " %s", views[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

/* Where the students' files are, and what was saved of them: FROM=DIR. */
static const char *lab_from(void) {
    const char *from = lab_env("FROM");
    return from[0] ? from : "labs";
}

static const lab *lab_find(const char *number) {
    size_t i;
    char name[8];
    for (i = 0; i < LAB_COUNT(all_labs); i++) {
        snprintf(name, sizeof name, "%d", all_labs[i]->number);
        if (strcmp(number, name) == 0) return all_labs[i];
    }
    fprintf(stderr, "grade: there is no lab \"%s\": 1 to %d, as in LAB=5\n",
            number, (int)LAB_COUNT(all_labs));
    exit(2);
}

/* Whose answers are asked for. */
static lab_functions lab_who(const lab *l, const char *as) {
    lab_functions none;
    size_t i;
    memset(&none, 0, sizeof none);
    if (as[0] == 0) {
        lab_hand(&none);
        return lab_whole(l, &none);
    }
    if (strcmp(as, "reference") == 0) return *l->reference;
    for (i = 0; i < l->nimpostors; i++)
        if (strcmp(as, l->impostors[i].id) == 0)
            return lab_whole(l, &l->impostors[i].f);
    fprintf(stderr, "grade: lab %d has no AS=%s; it has reference", l->number,
            as);
    for (i = 0; i < l->nimpostors; i++)
        fprintf(stderr, " %s", l->impostors[i].id);
    fprintf(stderr, "\n");
    exit(2);
}

static void lab_save(const lab_report *r, const lab_line *o) {
    char name[300];
    FILE *f;
    size_t g;
    int sum = lab_sum(r), full = lab_full(r->l);
    snprintf(name, sizeof name, "%s/lab%d.result", lab_from(),
             r->l->number);
    f = fopen(name, "w");
    if (f == NULL) return;
    fprintf(f, "lab %d\ntitle %s\nstudent %s\nseed %llu\npoints %d.%d of "
               "%d.%d\ncarried %s\n", r->l->number, r->l->title, o->student,
            (unsigned long long)lab_seed, sum / 10, sum % 10, full / 10,
            full % 10, r->carried < 0 ? "-" : r->carried ? "yes" : "no");
    for (g = 0; g < r->l->ngroups; g++) {
        int p = lab_points(r, g), all = r->l->groups[g].points;
        fprintf(f, "group %d.%d %d.%d %d %d %s\n", p / 10, p % 10, all / 10,
                all % 10, r->right[g], r->all[g], r->l->groups[g].name);
    }
    fprintf(f, "group %d.%d %d.%d %d %d and all of these\n",
            lab_last(r) / 10, lab_last(r) % 10, LAB_LAST / 10, LAB_LAST % 10,
            lab_faultless(r), (int)r->l->ngroups);
    fclose(f);
    printf("      saved: %s", name);
}

/* A way that is wrong behind the others, and right in a process of its own:
   something was kept from one text to the next. */
static int lab_right_alone(const lab *l, const lab_functions *f, size_t i,
                           const lab_case *c) {
    static lab_case again;
    if (c->way == 0) return 0;
    lab_one_way = c->way;
    lab_apart(l, f, i, &again, lab_patience);
    lab_one_way = 0;
    return lab_passed(&again);
}

static void lab_print(lab_report *r, const lab_functions *f,
                      const lab_line *o) {
    int sum = lab_sum(r), full = lab_full(r->l);
    const lab_impostor *match;
    char first[80];
    lab_table(stdout, r);
    r->carried = -1;
    if (r->l->carries)
        r->carried = lab_carries(r->l, f, r->lates ? 1 : LAB_LIMIT, &r->step);
    printf("%37s%3d.%d of %d.%d", "", sum / 10, sum % 10, full / 10,
           full % 10);
    if (!o->as[0]) lab_save(r, o);
    printf("\n");
    if (r->l->carries) lab_show_carried(r);
    if (r->first == (size_t)-1) return;
    if (r->l->draw) r->l->draw(r->passed);
    snprintf(first, sizeof first, "first failure: %s, case %d",
             r->l->groups[r->c.group].name,
             lab_in_group(r->l, r->first, r->c.group));
    printf("%-48s again: make lab%d CASE=%lu\n", first, r->l->number,
           (unsigned long)r->first + 1);
    lab_show_case(stdout, r->l, &r->c);
    if (lab_right_alone(r->l, f, r->first, &r->c))
        printf("  Alone it is right: do you keep something from one text to "
               "the next, in a\n  static variable?\n");
    if (r->untried)
        printf("  and %d case%s not tried: too many of the function crashed "
               "or did not end\n", r->untried,
               r->untried > 1 ? "s were" : " was");
    if (r->l->ladder && !r->c.skip)
        printf("  ladder of the run: make lab%d CASE=%lu VIEW=ladder\n",
               r->l->number, (unsigned long)r->first + 1);
    match = lab_match(r);
    if (match)
        printf("  on all %lu cases yours answers exactly like a known "
               "mistake (chapter 15),\n  impostor %s: \"%s\"\n",
               (unsigned long)r->n, match->id, match->what);
}

/* One case, by its number, and all that can be seen of it. */
static int lab_one(const lab *l, const lab_functions *f, const lab_line *o) {
    static lab_case c;
    size_t i = o->only - 1;
    if (!lab_run(l, NULL, i, &c)) {
        fprintf(stderr, "grade: lab %d has no case %lu\n", l->number,
                (unsigned long)o->only);
        return 2;
    }
    lab_loud = 1;
    if (o->here) lab_run(l, f, i, &c);
    else lab_apart(l, f, i, &c, lab_patience);
    printf("lab %d, case %lu: %s, case %d\n", l->number,
           (unsigned long)o->only, l->groups[c.group].name,
           lab_in_group(l, i, c.group));
    lab_show_case(stdout, l, &c);
    if (o->view[0] && l->ladder) l->ladder(f, i);
    if (!lab_passed(&c) && !o->here)
        printf("in a debugger: HERE=1 CASE=%lu gdb --args build/labs/lab%d "
               "%d\n", (unsigned long)o->only, l->number, l->number);
    return 0;
}

static int lab_grade(const lab *l, const lab_line *o) {
    static lab_report r;
    lab_functions f = lab_who(l, o->as);
    lab_view(l, o->view);
    if (o->as[0]) printf("answers: AS=%s, not labs/lab%d.c\n", o->as,
                         l->number);
    if (o->only) return lab_one(l, &f, o);
    memset(&r, 0, sizeof r);
    r.l = l;
    lab_title(stdout, l);
    lab_try(&r, &f);
    lab_print(&r, &f, o);
    if (o->view[0])
        lab_copy(lab_demo(l, &f, o->view, r.lates ? 1 : LAB_LIMIT), stdout);
    return 0;
}

/* ==== the sheet ========================================================== */

/* A paragraph of Markdown; first is "*" for one of a list, else "". */
static void lab_fill(const char *first, const char *s) {
    int col = printf("%s", first), begin = 1;
    while (*s) {
        size_t n = strcspn(s, " \n");
        if (col + 1 + (int)n > 78) {
            printf("\n%s", *first ? " " : "");
            col = *first != 0;
            begin = !*first;
        }
        col += printf("%s%.*s", begin && !*first ? "" : " ", (int)n, s);
        begin = 0;
        s += n + (s[n] != 0);
    }
    printf("\n");
}

static int lab_handout(const lab *l) {
    static const char *const hard[] = { "Easy", "Medium", "Hard" };
    char text[600];
    size_t g;
    int p;
    printf("# Lab %d: %s\n\n%s, %d minutes. Tutorial chapter%s %d%s%s, "
           "%s.\n\n", l->number, l->title, hard[l->stars - 1], l->minutes,
           l->also ? "s" : "", l->chapter, l->also ? " and " : "",
           l->also ? l->also : "", l->rfc);
    printf("## The task\n\n");
    lab_fill("", l->task);
    snprintf(text, sizeof text, "Your file is `labs/lab%d.c`. It is there "
             "already, and compiles. Above each function stands what it takes "
             "and returns.", l->number);
    printf("\n");
    lab_fill("", text);
    printf("\n## What will be tested\n\n");
    for (g = 0; g < l->ngroups; g++) {
        p = l->groups[g].points;
        snprintf(text, sizeof text, "**%s** (%d.%d points): %s",
                 l->groups[g].name, p / 10, p % 10, l->groups[g].tests);
        lab_fill("*", text);
    }
    snprintf(text, sizeof text, "**and all of these** (%d.%d points): for who "
             "makes no mistake at all", LAB_LAST / 10, LAB_LAST % 10);
    lab_fill("*", text);
    snprintf(text, sizeof text, "`make lab%d` says how far you are, as often "
             "as you like. It shows the first case that failed: what was "
             "given, what was expected, what you answered; `make lab%d CASE=9` "
             "shows case 9, and what your own printf says. Each case runs by "
             "itself: a crash or an endless loop costs that case, and no "
             "other; if there are too many, the function's other cases are "
             "not tried, and the table says so.", l->number, l->number);
    printf("\n");
    lab_fill("", text);
    printf("\n");
    if (l->carries) {
        snprintf(text, sizeof text, "Then what you wrote goes into the mail "
                 "system: %s. `make lab%d VIEW=ladder` shows how that went.",
                 l->carries, l->number);
        lab_fill("", text);
        printf("\n");
    }
    snprintf(text, sizeof text, "`labs/lab%d.c`, and nothing else. What is "
             "drawn by chance is drawn anew when it is graded (`SEED=`): a "
             "table of answers does not help.", l->number);
    printf("## Handing in\n\n");
    lab_fill("", text);
    return 0;
}

#include "impostors.h"

/* ==== the grader is graded =============================================== */

static int lab_checks, lab_wrongs;

static void lab_must(int is, const lab *l, const char *who,
                     const char *what) {
    lab_checks++;
    if (is) return;
    lab_wrongs++;
    printf("lab %d: %s %s\n", l->number, who, what);
}

/* All cases in this process. */
static void lab_try_here(lab_report *r, const lab *l,
                         const lab_functions *f) {
    static lab_case c;
    memset(r, 0, sizeof *r);
    r->l = l;
    for (r->n = 0; lab_run(r->l, f, r->n, &c); r->n++) {
        r->all[c.group]++;
        r->right[c.group] += lab_passed(&c);
        r->answers[r->n] = lab_answer(&c);
    }
}

/* Who costs only what he is asked keeps so much at least, in tenths: the other
   functions' cases are tried, too. */
static const struct { const lab *l; const char *id; int points; } keepers[] = {
    { &lab5, "X3", 40 }, { &lab8, "M8", 70 }, { &lab8, "X1", 80 },
    { &lab8, "X2", 70 }, { &lab10, "X4", 70 }
};

static int lab_keeps(const lab *l, const char *id) {
    size_t i;
    for (i = 0; i < LAB_COUNT(keepers); i++)
        if (keepers[i].l == l && strcmp(keepers[i].id, id) == 0)
            return keepers[i].points;
    return 0;
}

/* An impostor keeps 9 points at most, and is known again. One that may crash
   has processes of its own. */
static void lab_check_impostor(const lab *l, const lab_impostor *who) {
    static lab_report r;
    lab_functions f = lab_whole(l, &who->f);
    if (who->id[0] == 'X') {
        memset(&r, 0, sizeof r);
        r.l = l;
        lab_try(&r, &f);
    } else {
        lab_try_here(&r, l, &f);
        lab_must(lab_match(&r) == who, l, who->id, "is taken for another");
    }
    lab_must(lab_sum(&r) <= 90, l, who->id, "keeps more than 9.0");
    lab_must(lab_sum(&r) >= lab_keeps(l, who->id), l, who->id,
             "costs other functions");
}

/* The reference scores all. */
static void lab_check_one(const lab *l) {
    static lab_report r;
    lab_functions f = *l->reference;
    size_t k;
    lab_try_here(&r, l, &f);
    lab_must(lab_full(l) == 100, l, "the groups", "are not 10 points");
    lab_must(lab_sum(&r) == 100, l, "the reference", "does not score 10");
    lab_must(!l->carries || lab_carries(l, &f, LAB_LIMIT, &r.step), l,
             "the reference", "carries no mail");
    for (k = 0; k < l->nimpostors; k++)
        lab_check_impostor(l, &l->impostors[k]);
}

/* Right, but a printf was left in it. */
static size_t lab_talks(const char *buf, size_t n, size_t *len) {
    puts("here");
    return lab1_next_line(buf, n, len);
}

/* Right, but its state is not in *d. */
static size_t lab_static(dots *d, const char *in, size_t n, char *out,
                         size_t *made) {
    static dots mine;
    size_t used;
    mine.end = 0;
    used = lab5_unstuff(&mine, in, n, out, made);
    d->end = mine.end;
    return used;
}

static void lab_check_static(void) {
    static lab_report r;
    lab_functions f = lab5_reference;
    f.unstuff = lab_static;
    r.l = &lab5;
    lab_try(&r, &f);
    lab_must(lab_sum(&r) <= 90, &lab5, "a static state", "keeps 10");
    lab_must(r.first != (size_t)-1 && lab_right_alone(&lab5, &f, r.first,
             &r.c), &lab5, "a static state", "is not recognized");
    f.unstuff = lab5_m10;
    memset(&r, 0, sizeof r);
    r.l = &lab5;
    lab_try(&r, &f);
    lab_must(!lab_right_alone(&lab5, &f, r.first, &r.c), &lab5, "M10",
             "is taken for a static state");
}

/* And what was handed in, the stubs (make stubs), scores nothing and does not
   crash. */
static int lab_check(void) {
    static const lab_functions none;
    static lab_report r;
    lab_functions f = lab1_reference;
    size_t i;
    f.next_line = lab_talks;
    lab_check_static();
    lab_must(lab_carries(&lab1, &f, LAB_LIMIT, &r.step), &lab1, "a printf",
             "is in the way of the demo");
    lab_patience = 200;
    lab_impatience = 30;
    for (i = 0; i < LAB_COUNT(all_labs); i++) {
        const lab *l = all_labs[i];
        memset(&f, 0, sizeof f);
        lab_hand(&f);
        lab_check_one(l);
        if (memcmp(&f, &none, sizeof f) == 0) continue;
        f = lab_whole(l, &f);
        memset(&r, 0, sizeof r);
        r.l = l;
        lab_try(&r, &f);
        lab_must(lab_sum(&r) == 0, l, "the stub", "scores");
        lab_must(!r.c.note[0], l, "the stub:", r.c.note);
        lab_must(!l->carries || !lab_carries(l, &f, LAB_LIMIT, &r.step), l,
                 "the stub", "carries mail");
    }
    printf("%s%d passed, %d failed\n", r.l ? "" : "labs: ", lab_checks,
           lab_wrongs);
    return lab_wrongs != 0;
}

/* ==== all labs =========================================================== */

typedef struct lab_saved {                     /* a file of lab_save */
    char title[40], student[80], carried[8];
    int points, most;                          /* in tenths */
    int there;
} lab_saved;

/* "8.7" in tenths. */
static int lab_tenths(const char *s) {
    return atoi(s) * 10 + (strchr(s, '.') ? strchr(s, '.')[1] - '0' : 0);
}

static void lab_json_group(FILE *json, const char *lab, const char *line,
                           int *some) {
    char got[12], most[12], name[80];
    int right, all;
    if (sscanf(line, "group %11s %11s %d %d %79[^\n]", got, most, &right,
               &all, name) != 5) return;
    fprintf(json, "%s\n  {\"name\": \"%s: %s\", \"score\": %s, "
            "\"max_score\": %s, \"output\": \"%d of %d cases\"}",
            *some ? "," : "", lab, name, got, most, right, all);
    *some = 1;
}

/* What was saved of a lab, and its groups as Gradescope wants them. */
static void lab_load(const char *lab, lab_saved *r, FILE *json, int *some) {
    char name[300], line[200], got[12], most[12];
    FILE *f;
    memset(r, 0, sizeof *r);
    snprintf(name, sizeof name, "%s/%s.result", lab_from(), lab);
    f = fopen(name, "r");
    if (f == NULL) return;
    r->there = 1;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "points %11s of %11s", got, most) == 2) {
            r->points = lab_tenths(got);
            r->most = lab_tenths(most);
        }
        if (strncmp(line, "title ", 6) == 0)
            mail_copy(r->title, sizeof r->title, mail_s(line + 6));
        if (strncmp(line, "student ", 8) == 0)
            mail_copy(r->student, sizeof r->student, mail_s(line + 8));
        sscanf(line, "carried %7s", r->carried);
        lab_json_group(json, lab, line, some);
    }
    fclose(f);
}

static FILE *lab_results(const char *kind) {
    char name[300];
    FILE *f;
    snprintf(name, sizeof name, "%s/results.%s", lab_from(), kind);
    f = fopen(name, "w");
    if (f) return f;
    fprintf(stderr, "grade: cannot write %s: %s\n", name, strerror(errno));
    exit(2);
}

/* The table; results.json in Gradescope's form, results.csv. names: of all
   that may be there. Fails unless each has all its points. */
static int lab_grade_all(char **names, int n) {
    static lab_saved r;
    FILE *json = lab_results("json"), *csv = lab_results("csv");
    int i, sum = 0, most = 0, some = 0;
    fprintf(json, "{\"tests\": [");
    fprintf(csv, "student");
    for (i = 0; i < n; i++) fprintf(csv, ",%s", names[i]);
    fprintf(csv, ",sum\n%s", lab_env("STUDENT")[0] ? lab_env("STUDENT")
                                                   : lab_from());
    for (i = 0; i < n; i++) {
        lab_load(names[i], &r, json, &some);
        printf("  %-9s %-24s ", names[i], r.title);
        if (!r.there) printf("   -\n");
        else printf("%3d.%d of %2d.%d%s\n", r.points / 10, r.points % 10,
                    r.most / 10, r.most % 10, strcmp(r.carried, "yes") == 0
                    ? "  carries real mail" : "");
        fprintf(csv, ",%d.%d", r.points / 10, r.points % 10);
        sum += r.points;
        most += r.there ? r.most : strcmp(names[i], "impostor") == 0
                ? 10 * OFFICE_BUGS : 100;
    }
    printf("%35s %4d.%d of %d.%d\n", "", sum / 10, sum % 10, most / 10,
           most % 10);
    printf("saved: %s/results.json (Gradescope), %s/results.csv\n",
           lab_from(), lab_from());
    fprintf(csv, ",%d.%d\n", sum / 10, sum % 10);
    fprintf(json, "\n ], \"score\": %d.%d}\n", sum / 10, sum % 10);
    fclose(csv);
    fclose(json);
    return sum < most;
}

/* grade N: the lab that is linked in. grade handout N. grade all NAME...: a
   table of what was saved. grade impostor FILE. grade check: is the grader
   right? The rest is said in the environment, as make hands it on: CASE AS
   VIEW SEED STUDENT HERE. */
int main(int argc, char **argv) {
    lab_line o;
    uint64_t seed = lab_number("SEED", 0, 1);
    memset(&o, 0, sizeof o);
    o.as = lab_env("AS");
    o.view = lab_env("VIEW");
    o.student = lab_env("STUDENT");
    o.only = (size_t)lab_number("CASE", 1, 0);
    o.here = lab_env("HERE")[0] != 0;
    signal(SIGPIPE, SIG_IGN);
    lab_seed = lab_hash(seed, o.student, strlen(o.student));
    if (argc == 3 && strcmp(argv[1], "handout") == 0)
        return lab_handout(lab_find(argv[2]));
    if (argc == 2 && strcmp(argv[1], "check") == 0) return lab_check();
    if (argc == 3 && strcmp(argv[1], "impostor") == 0)
        return impostor_grade(argv[2]);
    if (argc > 2 && strcmp(argv[1], "all") == 0)
        return lab_grade_all(argv + 2, argc - 2);
    if (argc == 2) return lab_grade(lab_find(argv[1]), &o);
    fprintf(stderr, "grade: make lab5, make handout LAB=5\n");
    return 2;
}
