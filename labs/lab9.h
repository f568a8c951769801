/* lab9.h - lab 9, retry and bounce: the cases. */

/* ---- the student's function inside mail.h -------------------------------- */

static int64_t lab9_after(int64_t tries, int64_t first, int64_t max) {
    long wait = 0;
    if (!LAB_INSIDE(retry) || first != 300 || max != 14400)
        return mail_retry_after(tries, first, max);
    if (lab_inside->retry(451, tries < 1000 ? (int)tries : 1000, 0, 0, &wait)
        != TRY_LATER || wait < 1) wait = 86400;
    return wait;
}

static int lab9_for_good(int code) {
    long wait = 0;
    if (!LAB_INSIDE(retry)) return mail__for_good(code);
    return lab_inside->retry(code, 1, 0, 0, &wait) == TRY_BOUNCE;
}

/* ---- mail.h's decisions in the student's form ---------------------------- */

static int lab9_retry(int code, int tries, long age, int is_bounce,
                      long *wait) {
    long left = 432000 - age;
    *wait = 0;
    if (code / 100 == 2) return TRY_DONE;
    if (mail__for_good(code) || left <= 0)
        return is_bounce ? TRY_DEAD : TRY_BOUNCE;
    *wait = (long)mail_retry_after(tries, 300, 14400);
    if (*wait > left) *wait = left;
    return TRY_LATER;
}

static const lab_functions lab9_reference = { .retry = lab9_retry };

/* ---- impostors --------------------------------------------------------- */

static int lab9_b28(int code, int tries, long age, int is_bounce, long *wait) {
    (void)is_bounce;
    return lab9_retry(code, tries, age, 0, wait);
}

static int lab9_m1(int code, int tries, long age, int is_bounce, long *wait) {
    return lab9_retry(code / 100 == 5 ? 451 : code, tries, age, is_bounce,
                      wait);
}

static int lab9_m2(int code, int tries, long age, int is_bounce, long *wait) {
    int k = lab9_retry(code, tries, age, is_bounce, wait);
    if (k == TRY_LATER) *wait = 300;
    return k;
}

static int lab9_m3(int code, int tries, long age, int is_bounce, long *wait) {
    int k = lab9_retry(code, tries, 0, is_bounce, wait);
    (void)age;
    return k;
}

static int lab9_m4(int code, int tries, long age, int is_bounce, long *wait) {
    return lab9_retry(code ? code : 550, tries, age, is_bounce, wait);
}

static int lab9_m5(int code, int tries, long age, int is_bounce, long *wait) {
    int k = lab9_retry(code, tries, age, is_bounce, wait);
    if (k == TRY_LATER) *wait = tries < 22 ? 300L << (tries - 1) : 300L << 21;
    return k;
}

static const lab_impostor lab9_impostors[] = {
    { "B28", "a bounce bounces", { .retry = lab9_b28 } },
    { "M1", "tries again after 5yz, for five days", { .retry = lab9_m1 } },
    { "M2", "waits five minutes always", { .retry = lab9_m2 } },
    { "M3", "never gives up", { .retry = lab9_m3 } },
    { "M4", "takes no answer for a refusal", { .retry = lab9_m4 } },
    { "M5", "waits that double without an end", { .retry = lab9_m5 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab9_groups[] = {
    { "waits that grow", "4yz, or no answer, after 1, 2, 3 ... tries", 30 },
    { "refused for good", "5yz, at once and later; 2yz", 20 },
    { "too old", "before, at and after five days", 20 },
    { "a bounce never bounces", "reports that are refused, or too old", 20 }
};

typedef struct lab9_row {
    int group, code, tries;
    long age;
    int is_bounce;
    const char *rule;
} lab9_row;

static const lab9_row lab9_rows[] = {
    { 0, 451, 1, 0, 0, "five minutes after the first try" },
    { 0, 451, 2, 301, 0, "then ten" },
    { 0, 421, 3, 902, 0, "each wait is twice the one before" },
    { 0, 0, 1, 30, 0, "no answer is no refusal" },
    { 0, 0, 6, 9330, 0, "300 s, doubled five times" },
    { 0, 452, 7, 20000, 0, "four hours are the longest wait" },
    { 0, 450, 8, 40000, 0, "and it stays at that" },
    { 0, 451, 40, 420000, 0, "300 s, doubled 39 times, is no number for an "
      "int" },
    { 1, 550, 1, 5, 0, "5yz: the sender is told, at once" },
    { 1, 554, 5, 5000, 0, "also when it was 4yz before" },
    { 1, 552, 2, 301, 0, "whichever 5yz it is" },
    { 1, 250, 1, 1, 0, "2yz: it is not ours any more" },
    { 1, 251, 3, 901, 0, "251 is a 2yz (RFC 5321 3.4)" },
    { 1, 250, 30, 432000, 0, "and a success is one at the last moment, too" },
    { 2, 451, 30, 431999, 0, "a second before: the last try is at five days" },
    { 2, 451, 30, 425000, 0, "7000 s are left, not 14400" },
    { 2, 451, 31, 432000, 0, "five days: the sender is told" },
    { 2, 0, 32, 500000, 0, "it may have been older, when nobody was there to "
      "look" },
    { 3, 550, 1, 1, 1, "refused, but from <>: nobody is told" },
    { 3, 451, 30, 432000, 1, "too old, but from <>" },
    { 3, 0, 32, 500000, 1, "no answer for more than five days, and from <>" },
    { 3, 251, 30, 432000, 1, "a success at the last moment is one for it, "
      "too" },
    { 3, 451, 1, 0, 1, "a bounce is tried again like any mail" },
    { 3, 250, 1, 0, 1, "and may arrive" }
};

static void lab9_ask(const lab_functions *f, const lab9_row *r,
                     lab_text *out) {
    static const char *const kinds[] = { "DONE", "LATER", "BOUNCE", "DEAD" };
    long wait = 0;
    int k = f->retry(r->code, r->tries, r->age, r->is_bounce, &wait);
    lab_say(out, k >= 0 && k <= TRY_DEAD ? kinds[k] : "?");
    if (k == TRY_LATER) lab_fmt(out, ", in %ld s", wait);
}

enum { LAB9_ROWS = sizeof lab9_rows / sizeof lab9_rows[0], LAB9_DRAWN = 20 };

static int lab9_run(const lab_functions *f, size_t i, lab_case *c) {
    static const int codes[] = { 0, 421, 450, 451, 452 };
    lab9_row drawn;
    const lab9_row *r = &drawn;
    if (i >= LAB9_ROWS + LAB9_DRAWN) return 0;
    if (i < LAB9_ROWS) r = &lab9_rows[i];
    else {
        memset(&drawn, 0, sizeof drawn);
        drawn.group = i % 2 ? 0 : 2;
        drawn.code = codes[lab_random(5)];
        drawn.tries = 1 + (int)lab_random(12);
        drawn.age = (long)lab_random(60000) +
                    (drawn.group ? 400000 : (long)drawn.tries * 300);
        drawn.rule = "drawn by chance";
    }
    c->group = r->group;
    snprintf(c->rule, sizeof c->rule, "%s", r->rule);
    lab_fmt(&c->given, "%s ", r->is_bounce ? "a bounce:" : "a mail:");
    if (r->code) lab_fmt(&c->given, "%d", r->code);
    else lab_say(&c->given, "no answer");
    lab_fmt(&c->given, ", try %d, %ld s old", r->tries, r->age);
    lab9_ask(&lab9_reference, r, &c->expected);
    if (f) lab9_ask(f, r, &c->yours);
    return 1;
}

static const lab lab9 = {
    .number = 9, .title = "retry and bounce", .stars = 3, .minutes = 60,
    .chapter = 9, .rfc = "RFC 5321 4.5.4.1, 6.1",
    .task =
        "A mail server has called the next one, for one recipient. By the "
        "reply, how often it\nwas tried, how old the message is, and whether "
        "it is a report itself, decide what now\n(`retry`): done, later (and "
        "when), the sender is told, or set aside.\n",
    .inside = "retry",
    .carries = "it says what a refusal means, and when the next try is",
    .play = "down",
    .groups = lab9_groups, .ngroups = LAB_COUNT(lab9_groups),
    .impostors = lab9_impostors, .nimpostors = LAB_COUNT(lab9_impostors),
    .reference = &lab9_reference, .run = lab9_run
};
