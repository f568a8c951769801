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

   Each case runs in a child process with a limit of 5 s: a crash or an
   endless loop costs the case. Buffers of exact size come from lab_room: with
   a sanitizer an octet too much is seen at the line that wrote it. */

#define MAIL_NO_MAIN
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#define _POSIX_C_SOURCE 200809L
#include "../mail.h"

#include "lab.h"
#include "seams.h"

#include "../mail.c"

#include <ctype.h>
#include <sys/wait.h>

/* ==== what a lab is made of ============================================== */

enum { LAB_TEXT = 1200, LAB_CASES = 2000, LAB_LIMIT = 5 };

typedef struct lab_text {         /* octets; what has no room is only hashed */
    size_t   n;
    uint64_t hash;
    char     p[LAB_TEXT];
} lab_text;

typedef struct lab_case {
    int group;                    /* which of the lab's groups, from 0      */
    char rule[160];               /* what it is about                       */
    int skip;                     /* this solution has nothing to say here  */
    lab_text given, expected, yours;
    char note[160];               /* why there is no answer: a crash        */
    char more[400];               /* what else can be said, in lines        */
} lab_case;

typedef struct lab_group {
    const char *name, *tests;     /* in the table; on the handout           */
    int points;                   /* in tenths                              */
} lab_group;

typedef struct lab_impostor {
    const char *id, *what;        /* "B5", or "M1": not one of the 28       */
    lab_functions f;              /* what is NULL is the reference's        */
} lab_impostor;

typedef struct lab {
    int number, stars, minutes, chapter;
    const char *title, *rfc;
    const char *task;             /* for the handout                        */
    const char *carries;          /* what it does in the demo; NULL: nothing */
    const char *play;             /* in which scenario; NULL: the demo's own */
    const lab_group *groups; size_t ngroups;
    const lab_impostor *impostors; size_t nimpostors;
    const lab_functions *reference;
    /* Case i, run by f; f is NULL: only say what it is. 0: there is none. */
    int (*run)(const lab_functions *f, size_t i, lab_case *c);
    /* Prints the ladder of a case, for labs that have one. May be NULL. */
    void (*ladder)(const lab_functions *f, size_t i);
    /* Draws what a table of groups does not show: right[i] is case i. */
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
    size_t room = sizeof t->p - t->n;
    t->hash = lab_hash(t->hash, p, n);
    if (n > room) n = room;
    if (n) memcpy(t->p + t->n, p, n);
    t->n += n;
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

/* n octets of memory, no more and no less; behind them guards that lab_room_ok
   looks at. Never given back: a case's process ends soon. */
static char *lab_room(size_t n) {
    char *p = malloc(n + 8);
    if (p == NULL) exit(2);
    memset(p, 0x55, n + 8);
    return p;
}

static int lab_room_ok(const char *p, size_t n) {
    size_t i;
    for (i = 0; i < 8; i++)
        if (p[n + i] != 0x55) return 0;
    return 1;
}

static void lab_begin(lab_case *c) {
    memset(c, 0, sizeof *c);
    c->group = -1;
    c->given.hash = c->expected.hash = c->yours.hash =
        UINT64_C(0xcbf29ce484222325);
}

static int lab_passed(const lab_case *c) {
    return !c->skip && !c->note[0] && c->expected.n &&
           c->yours.n == c->expected.n && c->yours.hash == c->expected.hash &&
           memcmp(c->yours.p, c->expected.p, c->yours.n) == 0;
}

/* A copy of f, with the reference's functions where f has none. */
static lab_functions lab_whole(const lab *l, const lab_functions *f) {
    lab_functions w = *l->reference;
#define LAB_OWN(type, name, takes) if (f->name) w.name = f->name;
    LABS(LAB_OWN)
#undef LAB_OWN
    return w;
}

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
    lab_random_from(i);
    return l->run(f, i, c);
}

/* What a sanitizer said, in a line; or nothing. */
static void lab_blame(FILE *err, char *to, size_t cap) {
    char line[500], *at;
    rewind(err);
    while (fgets(line, sizeof line, err)) {
        line[strcspn(line, "\n")] = 0;
        at = strstr(line, "runtime error: ");
        if (at == NULL) at = strstr(line, "SUMMARY: ");
        if (at == NULL) continue;
        if (*at == 'r') at = line;
        else at += strlen("SUMMARY: ");
        mail_copy(to, cap, mail_s(at));
        return;
    }
}

/* Why a child gave no answer. */
static void lab_died(lab_case *c, int status, FILE *err) {
    char why[140] = "";
    lab_blame(err, why, sizeof why);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        mail_copy(c->note, sizeof c->note,
                  mail_s("stopped: it did not end in time"));
    else if (why[0]) snprintf(c->note, sizeof c->note, "crashed: %s", why);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
        mail_copy(c->note, sizeof c->note,
                  mail_s("crashed: it touched memory that is not its own "
                         "(signal 11)"));
    else if (WIFSIGNALED(status))
        snprintf(c->note, sizeof c->note, "crashed: signal %d",
                 WTERMSIG(status));
    else snprintf(c->note, sizeof c->note, "it ended the program: exit(%d)",
                  WEXITSTATUS(status));
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

static void lab_copy(FILE *from, FILE *to) {
    int c;
    while ((c = getc(from)) != EOF) putc(c, to);
    fclose(from);
}

/* One case is asked for: what a student's printf says is to be seen. */
static int lab_loud;

/* Case i in a process of its own. Returns 0 if it took all of its time. */
static int lab_apart(const lab *l, const lab_functions *f, size_t i,
                     lab_case *c, unsigned seconds) {
    int ends[2], status = 0;
    FILE *err = tmpfile();
    pid_t child;
    lab_run(l, NULL, i, c);
    if (err == NULL || pipe(ends)) exit(2);
    fflush(NULL);
    child = fork();
    if (child < 0) exit(2);
    if (child == 0) {
        size_t at;
        ssize_t k;
        dup2(fileno(err), 2);
        if (!lab_loud) dup2(fileno(err), 1);
        signal(SIGALRM, SIG_DFL);
        alarm(seconds);
        lab_run(l, f, i, c);
        if (lab_loud) fflush(stdout);
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
    } else while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    close(ends[0]);
    rewind(err);
    if (lab_loud) lab_copy(err, stderr);
    else fclose(err);
    return !(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

/* ==== what was found ===================================================== */

typedef struct lab_report {
    const lab *l;
    size_t n;                            /* cases                          */
    int right[16], all[16];              /* of each group                  */
    size_t first;                        /* that failed; n: none           */
    uint64_t answers[LAB_CASES];         /* what was answered, hashed      */
    unsigned char passed[LAB_CASES];
    lab_case c;                          /* the first that failed          */
    int carried;                         /* -1: not tried                  */
} lab_report;

static uint64_t lab_answer(const lab_case *c) {
    return c->note[0] ? lab_hash(1, c->note, strlen(c->note))
                      : c->yours.hash + c->yours.n;
}

/* All cases. Who takes all the time again and again is asked no more. */
static void lab_try(lab_report *r, const lab_functions *f) {
    static lab_case c;
    unsigned limit = LAB_LIMIT;
    size_t i;
    int late = 0, fine;
    r->first = (size_t)-1;
    for (i = 0; i < LAB_CASES && lab_run(r->l, NULL, i, &c); i++) {
        fine = 0;
        if (late > 4) mail_copy(c.note, sizeof c.note,
                                mail_s("not asked: too many did not end"));
        else fine = lab_apart(r->l, f, i, &c, limit);
        if (!fine) late++, limit = 1;
        r->all[c.group]++;
        if (lab_passed(&c)) r->right[c.group]++;
        else if (r->first == (size_t)-1) r->first = i, r->c = c;
        r->answers[i] = lab_answer(&c);
        r->passed[i] = (unsigned char)lab_passed(&c);
    }
    r->n = i;
}

/* Tenths of a point; all of them only for all cases. */
static int lab_points(const lab_report *r, size_t g) {
    return r->all[g] ? r->l->groups[g].points * r->right[g] / r->all[g] : 0;
}

static int lab_sum(const lab_report *r) {
    size_t g;
    int sum = 0;
    for (g = 0; g < r->l->ngroups; g++) sum += lab_points(r, g);
    return sum;
}

static int lab_full(const lab *l) {
    size_t g;
    int sum = 0;
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

enum { LAB_WIDE = 64 };

/* The octets from at on, as far as a line goes. Returns the column that octet
   mark is in, or -1. */
static int lab_show(FILE *f, const char *what, const lab_text *t, size_t at,
                    size_t mark) {
    char o[8];
    int col = 0, found = -1;
    size_t i;
    fprintf(f, "  %-10s %s|", what, at ? "..." : "");
    if (at) col += 3;
    for (i = at; i < t->n && col < LAB_WIDE; i++) {
        if (i == mark) found = col;
        col += lab_octet(o, (unsigned char)t->p[i]);
        fputs(o, f);
    }
    if (i == mark && found < 0) found = col;
    fprintf(f, "%s\n", i < t->n ? "..." : "|");
    return found;
}

/* A long text whole: a line of octets each. */
static void lab_show_lines(FILE *f, const char *what, const lab_text *t) {
    size_t from = 0, i;
    char o[8];
    for (i = 0; i <= t->n; i++)
        if (i == t->n || (t->p[i] == '\n' && i + 1 < t->n)) {
            size_t to = i == t->n ? i : i + 1;
            fprintf(f, "  %-10s %s", from ? "" : what, from ? " " : "|");
            for (; from < to; from++) {
                lab_octet(o, (unsigned char)t->p[from]);
                fputs(o, f);
            }
            fprintf(f, "%s\n", i == t->n ? "|" : "");
        }
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
    size_t i = 0;
    while (i < a->n && i < b->n && a->p[i] == b->p[i]) i++;
    return i;
}

static void lab_show_case(FILE *f, const lab_case *c) {
    size_t d = lab_parting(&c->expected, &c->yours);
    size_t at = d > 30 ? d - 20 : 0;
    int col;
    char where[40];
    if (c->given.n > 50 && memchr(c->given.p, '\n', c->given.n))
        lab_show_lines(f, "given", &c->given);
    else lab_show(f, "given", &c->given, 0, (size_t)-1);
    if (c->note[0]) {
        lab_show(f, "expected", &c->expected, 0, (size_t)-1);
        fprintf(f, "  yours      %s\n", c->note);
        lab_wrap(f, "the rule", c->rule);
        fputs(c->more, f);
        return;
    }
    lab_show(f, "expected", &c->expected, at, d);
    col = lab_show(f, "yours", &c->yours, at, d);
    snprintf(where, sizeof where, "^ octet %lu", (unsigned long)d + 1);
    if (!lab_passed(c)) fprintf(f, "%*s%s\n", 14 + (col < 0 ? 0 : col), "",
                                where);
    lab_wrap(f, lab_passed(c) ? "passed" : "the rule", c->rule);
}

static void lab_title(FILE *f, const lab *l) {
    char title[40];
    size_t g;
    snprintf(title, sizeof title, "lab %d  %s", l->number, l->title);
    int col;
    fprintf(f, "%-22s tutorial chapter %d   %s\n", title, l->chapter,
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
        fprintf(f, " %3d/%-3d  %3d.%d of %d.%d\n", r->right[g], r->all[g],
                points / 10, points % 10, x->points / 10, x->points % 10);
    }
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
                      const char *view) {
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
        dup2(fileno(out), 1);
        dup2(open("/dev/null", O_WRONLY), 2);
        signal(SIGALRM, SIG_DFL);
        alarm(LAB_LIMIT);
        lab_inside = f;
        status = mail_main(n, args);
        fflush(NULL);
        _exit(status);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    rewind(out);
    return out;
}

/* Are the four programs' steps the same, with the octets of each mail? */
static int lab_carries(const lab *l, const lab_functions *f) {
    FILE *ours = lab_demo(l, NULL, "plain");
    FILE *yours = lab_demo(l, f, "plain");
    int a, b;
    do {
        a = getc(ours);
        b = getc(yours);
    } while (a == b && a != EOF);
    fclose(ours);
    fclose(yours);
    return a == b;
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

/* Where the students' files are, and what was saved of them: FROM=DIR. */
static const char *lab_from(void) {
    const char *from = lab_env("FROM");
    return from[0] ? from : "labs";
}

static const lab *lab_find(const char *number) {
    size_t i;
    for (i = 0; i < LAB_COUNT(all_labs); i++)
        if (atoi(number) == all_labs[i]->number) return all_labs[i];
    fprintf(stderr, "grade: there is no lab %s\n", number);
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
    fprintf(stderr, "grade: lab %d has no impostor %s; it has", l->number, as);
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
    fclose(f);
    printf("      saved: %s", name);
}

static void lab_print(lab_report *r, const lab_functions *f,
                      const lab_line *o) {
    int sum = lab_sum(r), full = lab_full(r->l);
    const lab_impostor *match;
    char first[80];
    lab_table(stdout, r);
    r->carried = -1;
    if (r->l->carries) r->carried = lab_carries(r->l, f);
    printf("%37s%3d.%d of %d.%d", "", sum / 10, sum % 10, full / 10,
           full % 10);
    if (!o->as[0]) lab_save(r, o);
    printf("\n");
    if (r->l->carries)
        printf("your function carried real mail: %s%s\n",
               r->carried ? "yes" : "no", r->carried || sum < full ? "" :
               " (does it print something? That is in the way)");
    if (r->first == (size_t)-1) return;
    if (r->l->draw) r->l->draw(r->passed);
    snprintf(first, sizeof first, "first failure: %s, case %d",
             r->l->groups[r->c.group].name,
             lab_in_group(r->l, r->first, r->c.group));
    printf("%-48s again: make lab%d CASE=%lu\n", first, r->l->number,
           (unsigned long)r->first + 1);
    lab_show_case(stdout, &r->c);
    if (r->l->ladder && !r->c.skip)
        printf("  ladder of the run: make lab%d CASE=%lu VIEW=ladder\n",
               r->l->number, (unsigned long)r->first + 1);
    match = lab_match(r);
    if (match)
        printf("  on all %lu cases your function answers exactly like "
               "impostor %s,\n  \"%s\"\n", (unsigned long)r->n, match->id,
               match->what);
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
    else lab_apart(l, f, i, &c, LAB_LIMIT);
    printf("lab %d, case %lu: %s, case %d\n", l->number,
           (unsigned long)o->only, l->groups[c.group].name,
           lab_in_group(l, i, c.group));
    lab_show_case(stdout, &c);
    if (o->view[0] && l->ladder) l->ladder(f, i);
    if (!lab_passed(&c) && !o->here)
        printf("in a debugger: HERE=1 CASE=%lu gdb --args build/labs/lab%d "
               "%d\n", (unsigned long)o->only, l->number, l->number);
    return 0;
}

static int lab_grade(const lab *l, const lab_line *o) {
    static lab_report r;
    lab_functions f = lab_who(l, o->as);
    if (o->only) return lab_one(l, &f, o);
    memset(&r, 0, sizeof r);
    r.l = l;
    lab_title(stdout, l);
    lab_try(&r, &f);
    lab_print(&r, &f, o);
    if (o->view[0] && l->carries)
        lab_copy(lab_demo(l, &f, o->view), stdout);
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
    printf("# Lab %d: %s\n\n%s, %d minutes. Tutorial chapter %d, %s.\n\n",
           l->number, l->title, hard[l->stars - 1], l->minutes, l->chapter,
           l->rfc);
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
    snprintf(text, sizeof text, "`make lab%d` says how far you are, as often "
             "as you like. It shows the first case that failed: what was "
             "given, what was expected, what you answered; `make lab%d CASE=9` "
             "shows case 9. Each case runs by itself: a crash or an endless "
             "loop costs that case and no other.", l->number, l->number);
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
static void lab_try_here(lab_report *r, const lab_functions *f) {
    static lab_case c;
    memset(r->right, 0, sizeof r->right);
    memset(r->all, 0, sizeof r->all);
    for (r->n = 0; lab_run(r->l, f, r->n, &c); r->n++) {
        r->all[c.group]++;
        r->right[c.group] += lab_passed(&c);
        r->answers[r->n] = lab_answer(&c);
    }
}

/* The reference scores all; each impostor less, and is known again. */
static void lab_check_one(const lab *l) {
    static lab_report r;
    lab_functions f = *l->reference;
    size_t k;
    memset(&r, 0, sizeof r);
    r.l = l;
    lab_try_here(&r, &f);
    lab_must(lab_sum(&r) == 100, l, "the reference", "does not score 10");
    lab_must(!l->carries || lab_carries(l, &f), l, "the reference",
             "carries no mail");
    for (k = 0; k < l->nimpostors; k++) {
        f = lab_whole(l, &l->impostors[k].f);
        lab_try_here(&r, &f);
        lab_must(lab_sum(&r) < 100, l, l->impostors[k].id, "scores 10");
        lab_must(lab_match(&r) == &l->impostors[k], l, l->impostors[k].id,
                 "is taken for another");
    }
}

/* And what was handed in, the stubs (make stubs), scores nothing and does not
   crash. */
static int lab_check(void) {
    static const lab_functions none;
    static lab_report r;
    size_t i;
    for (i = 0; i < LAB_COUNT(all_labs); i++) {
        const lab *l = all_labs[i];
        lab_functions f;
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
        lab_must(!l->carries || !lab_carries(l, &f), l, "the stub",
                 "carries mail");
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
    fprintf(csv, "%s", lab_env("STUDENT")[0] ? lab_env("STUDENT")
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
        most += r.there ? r.most : 100;
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
    const char *seed = lab_env("SEED");
    memset(&o, 0, sizeof o);
    o.as = lab_env("AS");
    o.view = lab_env("VIEW");
    o.student = lab_env("STUDENT");
    o.only = (size_t)atol(lab_env("CASE"));
    o.here = lab_env("HERE")[0] != 0;
    signal(SIGPIPE, SIG_IGN);
    lab_seed = lab_hash(seed[0] ? strtoull(seed, NULL, 10) : 1, o.student,
                        strlen(o.student));
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
