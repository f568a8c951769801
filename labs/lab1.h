/* lab1.h - lab 1, the line reader: the cases. */

/* ---- the student's function inside mail.h -------------------------------- */

/* A line too long is dropped up to its end. */
static size_t lab1_drop(mail_line *l, const char *in, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        int end = in[i] == '\n' && l->cr;
        l->cr = in[i] == '\r';
        if (!end) continue;
        l->torn = l->cr = 0;
        return i + 1;
    }
    return n;
}

static size_t lab1_feed(mail_line *l, const char *in, size_t n,
                        int lf_ends) {
    size_t had, used = 0, len = 0, took, room;
    if (!LAB_INSIDE(next_line)) return mail_line_feed(l, in, n, lf_ends);
    if (l->torn) used = lab1_drop(l, in, n);
    room = sizeof l->p - l->n;
    had = l->n;
    if (n - used < room) room = n - used;
    memcpy(l->p + had, in + used, room);
    l->n += room;
    took = lab_inside->next_line(l->p, l->n, &len);
    if (took == 0 || took > l->n) return used + room;
    l->done = 1;
    l->longer = len == LINE_TOO_LONG;
    l->torn = l->longer;
    l->n = len > l->n ? 0 : len;
    l->bad = memchr(l->p, '\n', l->n) || memchr(l->p, '\r', l->n) ||
             memchr(l->p, 0, l->n);
    return took > had ? used + took - had : used + room;
}

/* ---- mail.h's function in the student's form ----------------------------- */

static size_t lab1_next_line(const char *buf, size_t n, size_t *len) {
    size_t i, most = n < LINE_MAX_OCTETS ? n : LINE_MAX_OCTETS;
    mail_line l;
    for (i = 1; i < most; i++) {
        if (buf[i] != '\n' || buf[i - 1] != '\r') continue;
        memset(&l, 0, sizeof l);
        if (mail_line_feed(&l, buf, i + 1, 0) == i + 1 && !l.bad)
            *len = mail_line_text(&l).n;
        else *len = i - 1;              /* it holds what mail.h refuses */
        return i + 1;
    }
    *len = LINE_TOO_LONG;
    return most == LINE_MAX_OCTETS ? most : 0;
}

static const lab_functions lab1_reference = { .next_line = lab1_next_line };

/* ---- impostors ----------------------------------------------------------- */

/* B1: what is there is the line. */
static size_t lab1_b1(const char *buf, size_t n, size_t *len) {
    *len = n;
    while (*len && (buf[*len - 1] == '\r' || buf[*len - 1] == '\n')) --*len;
    return n;
}

/* B2: what stands behind the first line is thrown away. */
static size_t lab1_b2(const char *buf, size_t n, size_t *len) {
    return lab1_next_line(buf, n, len) ? n : 0;
}

static size_t lab1_m1(const char *buf, size_t n, size_t *len) {
    const char *lf = n ? memchr(buf, '\n', n) : NULL;
    *len = lf ? (size_t)(lf - buf) : n;
    if (lf && *len && buf[*len - 1] == '\r') --*len;
    return lf ? (size_t)(lf - buf) + 1 : 0;
}

static size_t lab1_m2(const char *buf, size_t n, size_t *len) {
    const char *cr = n ? memchr(buf, '\r', n) : NULL;
    *len = cr ? (size_t)(cr - buf) : n;
    return cr && *len + 2 <= n ? *len + 2 : 0;
}

static size_t lab1_m3(const char *buf, size_t n, size_t *len) {
    size_t k = lab1_next_line(buf, n, len);
    if (k && *len != LINE_TOO_LONG) *len += 2;
    return k;
}

static size_t lab1_m4(const char *buf, size_t n, size_t *len) {
    size_t k = lab1_next_line(buf, n, len);
    return k == 2 ? 0 : k;
}

static size_t lab1_m5(const char *buf, size_t n, size_t *len) {
    size_t k = lab1_next_line(buf, n, len);
    return k && *len == LINE_TOO_LONG ? 0 : k;
}

static size_t lab1_too_long(size_t n, size_t *len) {
    *len = LINE_TOO_LONG;
    return n >= LINE_MAX_OCTETS ? LINE_MAX_OCTETS : 0;
}

/* X1: i < n, and a look at the octet behind it. */
static size_t lab1_x1(const char *buf, size_t n, size_t *len) {
    for (*len = 0; *len < n && *len < LINE_MAX_OCTETS - 1; ++*len)
        if (buf[*len] == '\r' && buf[*len + 1] == '\n') return *len + 2;
    return lab1_too_long(n, len);
}

/* X2: n is 0, and n - 1 is a great number. */
static size_t lab1_x2(const char *buf, size_t n, size_t *len) {
    if (n > LINE_MAX_OCTETS) n = LINE_MAX_OCTETS;
    for (*len = 0; *len < n - 1; ++*len)
        if (buf[*len] == '\r' && buf[*len + 1] == '\n') return *len + 2;
    return lab1_too_long(n, len);
}

/* X3: the octets are no C string. */
static size_t lab1_x3(const char *buf, size_t n, size_t *len) {
    const char *end = strstr(buf, "\r\n");
    *len = end ? (size_t)(end - buf) : n;
    return *len + 2 <= LINE_MAX_OCTETS && end ? *len + 2
                                              : lab1_too_long(n, len);
}

static size_t lab1_m6(const char *buf, size_t n, size_t *len) {
    size_t k = lab1_next_line(buf, n, len);
    return k && *len != LINE_TOO_LONG ? *len : k;
}

/* M7: a NUL is the end of what has come. */
static size_t lab1_m7(const char *buf, size_t n, size_t *len) {
    const char *nul = n ? memchr(buf, 0, n) : NULL;
    return lab1_next_line(buf, nul ? (size_t)(nul - buf) : n, len);
}

/* M8: chars are signed, and what is below 0 is no octet of a line. */
static size_t lab1_m8(const char *buf, size_t n, size_t *len) {
    size_t i;
    for (i = 0; i < n; i++)
        if (buf[i] & 128) break;
    return lab1_next_line(buf, i, len);
}

static const lab_impostor lab1_impostors[] = {
    { "B1", "one delivery is one line", { .next_line = lab1_b1 } },
    { "B2", "throws away what comes behind the first line",
      { .next_line = lab1_b2 } },
    { "M1", "takes LF alone for the end of a line", { .next_line = lab1_m1 } },
    { "M2", "takes CR and any octet for the end of a line",
      { .next_line = lab1_m2 } },
    { "M3", "counts the CRLF to the line", { .next_line = lab1_m3 } },
    { "M4", "waits for more where a line is empty", { .next_line = lab1_m4 } },
    { "M5", "waits for ever for the end of a line that is too long",
      { .next_line = lab1_m5 } },
    { "M6", "leaves the CRLF in the buffer", { .next_line = lab1_m6 } },
    { "M7", "takes a NUL for the end of what has come",
      { .next_line = lab1_m7 } },
    { "M8", "stops at an octet above 127", { .next_line = lab1_m8 } },
    { "X1", "looks at the octet behind the buffer",
      { .next_line = lab1_x1 } },
    { "X2", "takes 0 - 1 for a number below 0", { .next_line = lab1_x2 } },
    { "X3", "takes the buffer for a C string", { .next_line = lab1_x3 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab1_groups[] = {
    { "whole lines", "a line comes in one piece; an empty line is one, too",
      20 },
    { "several lines at once", "what comes behind the first line is kept",
      20 },
    { "bare CR or LF", "what ends no line", 20 },
    { "too long", "a line of 512 octets is one, of 513 or 1300 it is "
      "not", 10 },
    { "every way to cut it",
      "a session of 16 octets in all 32768 ways, and one of 60 octets cut "
      "twice", 20 }
};

/* In the answer a dot is a delivery, brackets are a line that came out, and
   behind them is what else was taken. Who has taken all is asked again: there
   is no line in 0 octets. */
static void lab1_piece(const lab_functions *f, mail_buf *b, lab_text *to) {
    size_t len = 0, took, lines;
    lab_say(to, ".");
    for (lines = 0; lines < 100; lines++) {
        char *p = lab_exact(b->p, b->n);
        if (f != &lab1_reference) lab_called(b->n);
        took = f->next_line(p, b->n, &len);
        if (!lab_room_ok(p, b->n)) lab_say(to, "(it wrote into the buffer)");
        if (took == 0) return;
        if (took > b->n) {
            lab_fmt(to, "(took %lu of %lu octets)", (unsigned long)took,
                    (unsigned long)b->n);
            return;
        }
        lab_say(to, "[");
        if (len == LINE_TOO_LONG) lab_say(to, "too long");
        else if (len > b->n)
            lab_fmt(to, "%lu of %lu octets", (unsigned long)len,
                    (unsigned long)b->n);
        else lab_put(to, b->p, len);
        lab_say(to, "]");
        if (len == LINE_TOO_LONG) len = 0;
        if (took > len) lab_put(to, b->p + len, took - len);
        memmove(b->p, b->p + took, b->n - took);
        b->n -= took;
    }
    lab_say(to, "...");
}

/* in; where cut(i) is set a delivery ends behind octet i. */
static void lab1_feed_cut(const lab_functions *f, const char *in, size_t n,
                          const unsigned char *cut, lab_text *to) {
    char *room = lab_room(n);
    mail_buf b = mail_buf_on(room, n);
    size_t i;
    for (i = 0; i < n; i++) {
        mail_buf_add(&b, mail_sn(in + i, 1));
        if (cut[i] || i + 1 == n) lab1_piece(f, &b, to);
    }
}

/* The octets, with a stroke where they are cut. */
static void lab1_given(const char *in, size_t n, const unsigned char *cut,
                       lab_text *to) {
    size_t i;
    for (i = 0; i < n; i++) {
        lab_put(to, in + i, 1);
        if (cut[i] && i + 1 < n) lab_say(to, "|");
    }
}

/* One way to cut; into c, unless it is right and only failures are wanted. */
static int lab1_way(const lab_functions *f, const char *in, size_t n,
                    const unsigned char *cut, lab_case *c) {
    static lab_case a;
    lab_begin(&a);
    lab_clear();
    lab1_given(in, n, cut, &a.given);
    lab1_feed_cut(&lab1_reference, in, n, cut, &a.expected);
    if (f) lab1_feed_cut(f, in, n, cut, &a.yours);
    if (f && a.yours.hash == a.expected.hash) return 1;
    c->given = a.given;
    c->expected = a.expected;
    c->yours = a.yours;
    return 0;
}

static const char lab1_short[] = "HELO a\r\n\r\nQUIT\r\n";
static const char lab1_long[] =
    "EHLO alice.example\r\nMAIL FROM:<alice@a.example>\r\nNOOP\r\nQUIT\r\n";

enum { LAB1_PARTS = 16, LAB1_WAYS = 2048 };

/* 2048 of the 32768 ways; the first that is wrong is shown. */
static void lab1_ways(const lab_functions *f, size_t part, lab_case *c) {
    unsigned char cut[16];
    size_t w, i, n = sizeof lab1_short - 1;
    snprintf(c->rule, sizeof c->rule, "the lines are the same, however the "
             "octets come (part %d of %d of the 32768 ways)",
             (int)part + 1, LAB1_PARTS);
    lab_put(&c->given, lab1_short, n);
    lab_say(&c->expected, "right in 2048 ways");
    if (f == NULL) return;
    for (w = 0; w < LAB1_WAYS; w++) {
        size_t way = part * LAB1_WAYS + w;
        for (i = 0; i < n; i++) cut[i] = i < 15 && (way >> (14 - i) & 1);
        if (!lab1_way(f, lab1_short, n, cut, c)) return;
    }
    lab_say(&c->yours, "right in 2048 ways");
}

/* Cut behind octet i, and behind each other one. */
static void lab1_twice(const lab_functions *f, size_t at, lab_case *c) {
    unsigned char cut[sizeof lab1_long];
    size_t k, n = sizeof lab1_long - 1;
    snprintf(c->rule, sizeof c->rule, "cut behind octet %d, and at one more "
             "place", (int)at + 1);
    lab_put(&c->given, lab1_long, n);
    lab_say(&c->expected, "right wherever it is cut again");
    if (f == NULL) return;
    for (k = 0; k < n; k++) {
        memset(cut, 0, sizeof cut);
        cut[at] = cut[k] = 1;
        if (!lab1_way(f, lab1_long, n, cut, c)) return;
    }
    lab_say(&c->yours, "right wherever it is cut again");
}

typedef struct lab1_row {
    int group;
    const char *in, *rule;   /* "|" is where a delivery ends, "~" a NUL */
} lab1_row;

static const lab1_row lab1_rows[] = {
    { 0, "NOOP\r\n", "a line is what stands before CR LF" },
    { 0, "HELO a\r\n|QUIT\r\n", "two deliveries, and a line in each" },
    { 0, "\r\n|QUIT\r\n", "an empty line is a line" },
    { 0, "HELO", "no line is whole yet" },
    { 1, "HELO a\r\nQUIT\r\n",
      "one delivery, two lines: the second is not lost" },
    { 1, "NOOP\r\nNOOP\r\nQU|IT\r\n",
      "two lines and the begin of a third, which comes later" },
    { 1, "\r\n\r\n\r\n", "three empty lines are three lines" },
    { 1, "A\r\nB\r\nC\r\nD\r\nE\r", "the last one is not whole: its LF is not "
      "there" },
    { 2, "HELO a\nb\r\nQUIT\r\n", "LF alone ends no line (RFC 5321 2.3.8)" },
    { 2, "HELO a\rb\r\nQUIT\r\n", "CR alone ends no line" },
    { 2, "A\n\r\nB\r\r\n", "LF CR ends no line; behind CR CR an LF ends it" },
    { 2, "A\n|B\n|C\r|\n", "wherever they are cut" },
    { 2, "\xed\x95\x9c \xff\r\nA~\nB~\r\nQUIT\r\n", "a NUL ends no line, and "
      "what is above 127, as in Korean, is an octet like any other" }
};

enum { LAB1_ROWS = sizeof lab1_rows / sizeof lab1_rows[0] };

static void lab1_row_run(const lab_functions *f, const lab1_row *r,
                         lab_case *c) {
    char in[64];
    unsigned char cut[64];
    size_t n = 0;
    const char *p;
    memset(cut, 0, sizeof cut);
    for (p = r->in; *p; p++)
        if (*p == '|') cut[n - 1] = 1;
        else in[n++] = *p == '~' ? 0 : *p;
    c->group = r->group;
    mail_copy(c->rule, sizeof c->rule, mail_s(r->rule));
    if (lab1_way(f, in, n, cut, c)) {
        lab1_way(NULL, in, n, cut, c);
        c->yours = c->expected;
    }
}

/* A line of so many octets with its CRLF, and one behind it; cut behind octet
   cut, or not. */
static const struct { size_t octets, cut; const char *rule; } lab1_longs[] = {
    { 512, 0, "512 octets may be" },
    { 512, 511, "512 octets may be, whenever the last one comes" },
    { 513, 0, "513 are too many: 512 are dropped, and its LF begins the next "
      "line" },
    { 513, 512, "513 are too many, and 512 without a line end say so" },
    { 1300, 0, "1300 octets: 512 are dropped, 512 more, and the rest is a "
      "line" }
};
enum { LAB1_LONGS = sizeof lab1_longs / sizeof lab1_longs[0] };

static void lab1_longer(const lab_functions *f, size_t i, lab_case *c) {
    char in[1400];
    unsigned char cut[1400];
    size_t octets = lab1_longs[i].octets;
    memset(in, 'x', octets);
    memset(cut, 0, sizeof cut);
    if (lab1_longs[i].cut) cut[lab1_longs[i].cut - 1] = 1;
    memcpy(in + octets - 2, "\r\nQUIT\r\n", 8);
    c->group = 3;
    snprintf(c->rule, sizeof c->rule, "%s (RFC 5321 4.5.3.1.4)",
             lab1_longs[i].rule);
    if (lab1_way(f, in, octets + 6, cut, c)) {
        lab1_way(NULL, in, octets + 6, cut, c);
        c->yours = c->expected;
    }
}

static int lab1_run(const lab_functions *f, size_t i, lab_case *c) {
    if (i < LAB1_ROWS) {
        lab1_row_run(f, &lab1_rows[i], c);
        return 1;
    }
    i -= LAB1_ROWS;
    if (i < LAB1_LONGS) lab1_longer(f, i, c);
    else if ((i -= LAB1_LONGS) < LAB1_PARTS) c->group = 4, lab1_ways(f, i, c);
    else if ((i -= LAB1_PARTS) < sizeof lab1_long - 1)
        c->group = 4, lab1_twice(f, i, c);
    else return 0;
    return 1;
}

static const lab lab1 = {
    .number = 1, .title = "line reader", .stars = 1, .minutes = 45,
    .chapter = 2, .rfc = "RFC 5321 2.3.8",
    .task =
        "Commands and responses are lines; a line ends with CR LF, and nothing "
        "else. But\nTCP carries a stream of octets. One delivery may bring a "
        "line, half of one, or\nthree of them and the begin of a fourth. "
        "Write `next_line`: it gets what has come\nso far, and says how much "
        "of it is the first line.\n",
    .inside = "next_line",
    .signs = "| here it is cut; . a delivery; [ ] a line that came out, and "
             "behind it what else was taken; (510 x) so many of them",
    .carries = "it reads every command and response of the demo",
    .groups = lab1_groups, .ngroups = LAB_COUNT(lab1_groups),
    .impostors = lab1_impostors, .nimpostors = LAB_COUNT(lab1_impostors),
    .reference = &lab1_reference, .run = lab1_run
};
