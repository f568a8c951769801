/* lab5.h - lab 5, dots: the cases. */

/* ---- the student's functions inside mail.h ----------------------------- */

/* Slices of what was made live until the next octets are read. mail_dot_read
   tells text and end one after the other: an end that came with text is told
   when its last octet is read again. */
enum { LAB5_HELD = 2 };                 /* in bare: the end was seen already */

static size_t lab5_read(mail_dot_in *d, const char *in, size_t n,
                        mail_str *text) {
    static char out[1024 + 4];
    size_t made = 0, used;
    dots mine;
    if (!LAB_INSIDE(unstuff) || d->plain) return mail_dot_read(d, in, n, text);
    *text = mail_sn(in, 0);
    if (n == 0 || d->end) return 0;
    if (d->bare == LAB5_HELD) {
        d->bare = 0;
        d->end = 1;
        return 1;
    }
    if (n > 1024) n = 1024;
    mine.state = d->state;
    mine.end = 0;
    used = lab_inside->unstuff(&mine, in, n, out, &made);
    if (used > n) used = n;
    d->state = mine.state;
    *text = mail_sn(out, made < sizeof out ? made : sizeof out);
    if (mine.end && text->n && used) {
        d->bare = LAB5_HELD;
        return used - 1;
    }
    d->end = mine.end;
    return used;
}

static size_t lab5_write(mail_dot_out *d, const char *in, size_t n,
                         char *out, size_t cap, size_t *made) {
    dots mine;
    if (!LAB_INSIDE(stuff) || d->plain)
        return mail_dot_write(d, in, n, out, cap, made);
    *made = 0;
    if (cap < 4) return 0;
    if (n > (cap - 2) / 2) n = (cap - 2) / 2;
    mine.state = d->state;
    mine.end = 0;
    *made = lab_inside->stuff(&mine, in, n, out);
    if (*made > cap) *made = cap;
    d->state = mine.state;
    return n;
}

static size_t lab5_close(mail_dot_out *d, char *out, size_t cap) {
    dots mine;
    size_t made;
    if (!LAB_INSIDE(stuff_end) || d->plain)
        return mail_dot_close(d, out, cap);
    if (cap < 5) return 0;
    mine.state = d->state;
    mine.end = 0;
    made = lab_inside->stuff_end(&mine, out);
    d->state = mine.state;
    if (made == 0) memcpy(out, "\r\n.\r\n", made = 5); /* else it waits on */
    return made <= 5 ? made : 5;
}

/* ---- mail.h's functions in the student's form --------------------------- */

static size_t lab5_unstuff(dots *d, const char *in, size_t n, char *out,
                           size_t *made) {
    mail_dot_in x;
    mail_str text;
    size_t used = 0;
    memset(&x, 0, sizeof x);
    x.state = d->state;
    *made = 0;
    while (used < n && !x.end) {
        used += mail_dot_read(&x, in + used, n - used, &text);
        memcpy(out + *made, text.p, text.n);
        *made += text.n;
    }
    d->state = x.state;
    d->end = x.end;
    return used;
}

static size_t lab5_stuff(dots *d, const char *in, size_t n, char *out) {
    mail_dot_out x = { 0, 0 };
    size_t used = 0, made, all = 0;
    x.state = d->state;
    while (used < n) {
        used += mail_dot_write(&x, in + used, n - used, out + all,
                               2 * n + 2 - all, &made);
        all += made;
    }
    d->state = x.state;
    return all;
}

static size_t lab5_stuff_end(dots *d, char *out) {
    mail_dot_out x = { 0, 0 };
    x.state = d->state;
    return mail_dot_close(&x, out, 5);
}

static const lab_functions lab5_reference = {
    .unstuff = lab5_unstuff, .stuff = lab5_stuff, .stuff_end = lab5_stuff_end
};

/* ---- impostors ------------------------------------------------------- */

/* B5: leading dots are never removed. */
static size_t lab5_b5(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    size_t i;
    *made = 0;
    for (i = 0; i < n && !d->end; i++) {
        dots was = *d;
        size_t k, used;
        used = lab5_unstuff(d, in + i, 1, out + *made, &k);
        (void)used;
        if (was.state == MAIL__BOL_DOT && d->state != MAIL__BOL_DOT_CR) {
            out[*made + k] = out[*made + k - 1];
            out[*made + k - 1] = '.';
            k++;
        }
        *made += k;
    }
    return i;
}

/* B4: the text ends where a piece ends in ".", CR, LF, whatever is before. */
static size_t lab5_b4(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    size_t used = lab5_unstuff(d, in, n, out, made);
    if (used == n && n >= 3 && memcmp(in + n - 3, ".\r\n", 3) == 0)
        d->end = 1;
    return used;
}

/* B11: a line "RSET" ends it. (state: how much of it has been seen, and
   beside it what the reference knows) */
static size_t lab5_b11(dots *d, const char *in, size_t n, char *out,
                       size_t *made) {
    static const char rset[] = "RSET\r\n";
    size_t i, seen = d->state >> 3;
    *made = 0;
    for (i = 0; i < n && !d->end; i++) {
        dots x = { 0, 0 };
        size_t k;
        int bol = (d->state & 7) == MAIL__BOL;
        x.state = d->state & 7;
        lab5_unstuff(&x, in + i, 1, out + *made, &k);
        *made += k;
        if (bol) seen = 0;
        seen = seen < 6 && in[i] == rset[seen] ? seen + 1 : 7;
        d->end = x.end || seen == 6;
        d->state = (unsigned char)(x.state | seen << 3);
    }
    return i;
}

/* B18: LF . LF ends it, too (smuggling). */
static size_t lab5_b18(dots *d, const char *in, size_t n, char *out,
                       size_t *made) {
    size_t i, seen = d->state >> 3;
    *made = 0;
    for (i = 0; i < n && !d->end; i++) {
        dots x = { 0, 0 };
        size_t k;
        x.state = d->state & 7;
        lab5_unstuff(&x, in + i, 1, out + *made, &k);
        *made += k;
        seen = in[i] != '\n' ? (seen == 1 && in[i] == '.' ? 2 : 0)
                             : seen == 2 ? 3 : 1;
        d->end = x.end || seen == 3;
        d->state = (unsigned char)(x.state | seen << 3);
    }
    return i;
}

/* B23: a text without a final line end: the dot is glued to its last line. */
static size_t lab5_b23(dots *d, char *out) {
    (void)d;
    memcpy(out, ".\r\n", 3);
    return 3;
}

/* M1: removes every dot. */
static size_t lab5_m1(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    size_t used = lab5_unstuff(d, in, n, out, made), i, k = 0;
    for (i = 0; i < *made; i++)
        if (out[i] != '.') out[k++] = out[i];
    *made = k;
    return used;
}

/* M2: each piece is a text of its own. */
static size_t lab5_m2(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    d->state = 0;
    return lab5_unstuff(d, in, n, out, made);
}

static size_t lab5_m2_stuff(dots *d, const char *in, size_t n, char *out) {
    d->state = 0;
    return lab5_stuff(d, in, n, out);
}

/* M3: the first line is never stuffed: no line end stands before it. */
static size_t lab5_m3(dots *d, const char *in, size_t n, char *out) {
    if (d->state == 0 && !d->end) d->state = MAIL__MID;
    d->end = 1;
    return lab5_stuff(d, in, n, out);
}

/* M4: only a line that is a dot and nothing else is stuffed. One octet behind
   it must be known, so it looks no further than its piece. */
static size_t lab5_m4(dots *d, const char *in, size_t n, char *out) {
    size_t i, made = 0;
    for (i = 0; i < n; i++) {
        dots was = *d;
        size_t k = lab5_stuff(d, in + i, 1, out + made);
        if (k == 2 && in[i] == '.' && was.state != MAIL__MID &&
            i + 1 < n && in[i + 1] != '\r' && in[i + 1] != '\n') k = 1;
        made += k;
    }
    return made;
}

/* M5: behind a CR comes the LF, or text: so CR CR LF is no line end. */
static size_t lab5_m5(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    size_t i, k;
    *made = 0;
    for (i = 0; i < n && !d->end; i++, *made += k) {
        k = 2;
        if (in[i] == '\r' && (d->state == MAIL__MID_CR ||
                              d->state == MAIL__BOL_DOT_CR)) {
            memset(out + *made, '\r', k);
            d->state = MAIL__MID;
        } else lab5_unstuff(d, in + i, 1, out + *made, &k);
    }
    return i;
}

/* M6: CRLF . LF ends it, too (smuggling). */
static size_t lab5_m6(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    size_t i, k;
    *made = 0;
    for (i = 0; i < n && !d->end; i++, *made += k) {
        k = 0;
        if (in[i] == '\n' && d->state == MAIL__BOL_DOT) d->end = 1;
        else lab5_unstuff(d, in + i, 1, out + *made, &k);
    }
    return i;
}

/* M8: two dots become one, and one dot stays. */
static size_t lab5_m8(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    size_t i, k;
    *made = 0;
    for (i = 0; i < n && !d->end; i++, *made += k) {
        int dot = d->state == MAIL__BOL_DOT && in[i] != '.' && in[i] != '\r';
        if (dot) out[(*made)++] = '.';
        lab5_unstuff(d, in + i, 1, out + *made, &k);
    }
    return i;
}

/* M9: a CRLF more, if the last line is open or not. */
static size_t lab5_m9(dots *d, char *out) {
    (void)d;
    memcpy(out, "\r\n.\r\n", 5);
    return 5;
}

/* M10: as M5, but only behind a dot that was taken away. */
static size_t lab5_m10(dots *d, const char *in, size_t n, char *out,
                       size_t *made) {
    size_t i, k;
    *made = 0;
    for (i = 0; i < n && !d->end; i++, *made += k) {
        int dot = d->state == MAIL__BOL_DOT_CR && in[i] == '\r';
        lab5_unstuff(d, in + i, 1, out + *made, &k);
        if (!dot) continue;
        memset(out + *made, '\r', k = 2);
        d->state = MAIL__MID;
    }
    return i;
}

/* M11, M12: the octets are a C string here and there. */
static size_t lab5_no_nul(char *out, size_t n) {
    size_t i, k = 0;
    for (i = 0; i < n; i++)
        if (out[i]) out[k++] = out[i];
    return k;
}

static size_t lab5_m11(dots *d, const char *in, size_t n, char *out,
                       size_t *made) {
    size_t used = lab5_unstuff(d, in, n, out, made);
    *made = lab5_no_nul(out, *made);
    return used;
}

static size_t lab5_m12(dots *d, const char *in, size_t n, char *out) {
    return lab5_no_nul(out, lab5_stuff(d, in, n, out));
}

/* M13, M14: & 127. */
static size_t lab5_ascii(char *out, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) out[i] &= 127;
    return n;
}

static size_t lab5_m13(dots *d, const char *in, size_t n, char *out,
                       size_t *made) {
    size_t used = lab5_unstuff(d, in, n, out, made);
    lab5_ascii(out, *made);
    return used;
}

static size_t lab5_m14(dots *d, const char *in, size_t n, char *out) {
    return lab5_ascii(out, lab5_stuff(d, in, n, out));
}

/* X1, X2: what comes behind a piece is looked at before it has come. */
static size_t lab5_x1(dots *d, const char *in, size_t n, char *out,
                      size_t *made) {
    size_t used = lab5_unstuff(d, in, n, out, made);
    if (n && d->state == MAIL__MID_CR && in[n] == '\n') {
        memcpy(out + *made, "\r\n", 2);
        *made += 2;
        d->state = MAIL__BOL;
    }
    return used;
}

static size_t lab5_x2(dots *d, const char *in, size_t n, char *out) {
    size_t made = lab5_stuff(d, in, n, out);
    if (n && in[n - 1] == '\r' && in[n] == '\n') d->state = MAIL__MID;
    return made;
}

/* X3: it never ends, and unstuff is right. */
static size_t lab5_x3(dots *d, const char *in, size_t n, char *out) {
    while (lab_for_ever) continue;
    return lab5_stuff(d, in, n, out);
}

static const lab_impostor lab5_impostors[] = {
    { "B4", "ends whenever a piece ends in \".\" CR LF",
      { .unstuff = lab5_b4 } },
    { "B5", "leading dots are never removed", { .unstuff = lab5_b5 } },
    { "B11", "a line \"RSET\" ends the message", { .unstuff = lab5_b11 } },
    { "B18", "LF . LF ends the message", { .unstuff = lab5_b18 } },
    { "B23", "the final dot is glued to a last line that is open",
      { .stuff_end = lab5_b23 } },
    { "M1", "removes every dot", { .unstuff = lab5_m1 } },
    { "M2", "forgets what it knew between pieces",
      { .unstuff = lab5_m2, .stuff = lab5_m2_stuff } },
    { "M3", "does not stuff the first line", { .stuff = lab5_m3 } },
    { "M4", "stuffs a lone dot only", { .stuff = lab5_m4 } },
    { "M5", "does not see the line end in CR CR LF", { .unstuff = lab5_m5 } },
    { "M6", "CRLF . LF ends the message", { .unstuff = lab5_m6 } },
    { "M7", "unstuff forgets what it knew between pieces",
      { .unstuff = lab5_m2 } },
    { "M8", "takes a dot away only where there are two",
      { .unstuff = lab5_m8 } },
    { "M9", "ends the last line, though it is ended",
      { .stuff_end = lab5_m9 } },
    { "M10", "takes CRLF . CR CR LF for no line end",
      { .unstuff = lab5_m10 } },
    { "M11", "unstuff loses a NUL", { .unstuff = lab5_m11 } },
    { "M12", "stuff loses a NUL", { .stuff = lab5_m12 } },
    { "M13", "unstuff loses the eighth bit", { .unstuff = lab5_m13 } },
    { "M14", "stuff loses the eighth bit", { .stuff = lab5_m14 } },
    { "X1", "unstuff looks at the octet behind its piece",
      { .unstuff = lab5_x1 } },
    { "X2", "stuff looks at the octet behind its piece",
      { .stuff = lab5_x2 } },
    { "X3", "stuff never ends", { .stuff = lab5_x3 } }
};

/* ---- cases -------------------------------------------------------------- */

static const lab_group lab5_groups[] = {
    { "plain lines", "lines without a dot, both ways", 20 },
    { "dots, leading or not",
      "first, second, alone on a line, inside a line, at its end", 20 },
    { "bare CR or LF", "in unstuff they end nothing and stay as they are; "
      "stuff makes CRLF of them", 20 },
    { "empty message", "no octet at all", 10 },
    { "every way to cut it",
      "two texts of some 60 octets, and texts drawn by chance: each is cut at "
      "every place, at every two places, and octet by octet; two clients' "
      "texts at once", 20 }
};

/* What stands there is unstuffed, or stuffed and ended. Expected is what comes
   out; "[end]" is where the end was seen, and behind it is what was left. */
typedef struct lab5_row {
    int group;
    char way;                     /* '<' unstuff, '>' stuff */
    const char *in, *out, *rule;  /* "~" is a NUL */
} lab5_row;

static const lab5_row lab5_rows[] = {
    { 0, '<', "Hi Bob,\r\n.\r\n", "Hi Bob,\r\n[end]",
      "the end is CRLF.CRLF; that first CRLF belongs to the text" },
    { 0, '<', "Hi\r\n\r\nBob\r\n.\r\n", "Hi\r\n\r\nBob\r\n[end]",
      "an empty line ends nothing" },
    { 0, '<', "Hi\r\n.\r\nQUIT\r\n", "Hi\r\n[end]QUIT\r\n",
      "what follows the end is not yours to take: the next command" },
    { 0, '<', "Hi\r\n", "Hi\r\n", "the text is not over" },
    { 0, '>', "Hi Bob,\r\nbye\r\n", "Hi Bob,\r\nbye\r\n.\r\n",
      "its last line is ended already: the dot, and no CRLF before it" },
    { 0, '>', "Hi\r\n\r\nBob", "Hi\r\n\r\nBob\r\n.\r\n",
      "a last line that is open is ended first" },
    { 0, '<', "\xed\x95\x9c\xa0~\r\n.~\r\n.\r\n",
      "\xed\x95\x9c\xa0~\r\n~\r\n[end]",
      "a NUL and what is above 127, as in Korean, are octets like any other" },
    { 0, '>', "~.\xed\x95\x9c\xa0\r\n.~\r\n",
      "~.\xed\x95\x9c\xa0\r\n..~\r\n.\r\n",
      "a NUL and what is above 127, as in Korean, are octets like any other" },

    { 1, '<', "..plan\r\n.\r\n", ".plan\r\n[end]",
      "a dot that begins a line was added: away with it" },
    { 1, '<', "...\r\n..\r\n.\r\n", "..\r\n.\r\n[end]",
      "one dot is taken away, and no more" },
    { 1, '<', "a.b\r\nc.\r\n.\r\n", "a.b\r\nc.\r\n[end]",
      "a dot inside a line is an ordinary octet" },
    { 1, '<', "RSET\r\n.x\r\nQUIT\r\n.\r\n", "RSET\r\nx\r\nQUIT\r\n[end]",
      "each line that begins with a dot loses it; and no line of the text is "
      "a command" },
    { 1, '>', ".plan\r\na.b.\r\n", "..plan\r\na.b.\r\n.\r\n",
      "a dot is added wherever one begins a line, alone there or not; the "
      "first line is a line, too" },
    { 1, '>', "a\r\n.\r\n..\r\n", "a\r\n..\r\n...\r\n.\r\n",
      "each line that begins with a dot has one more" },

    { 2, '<', "a\n.\nb\r\n.\r\n", "a\n.\nb\r\n[end]",
      "LF . LF ends nothing: who takes it for the end can be sent mail "
      "inside mail" },
    { 2, '<', "a\n.\r\nb\r.\r\nc\r\n.\r\n", "a\n.\r\nb\r.\r\nc\r\n[end]",
      "LF . CRLF ends nothing, CR . CRLF neither: a line begins behind CRLF "
      "only" },
    { 2, '<', "a\r\n.\rb\r\n.\nc\r\n.\r\n", "a\r\n\rb\r\n\nc\r\n[end]",
      "a dot, and then a bare CR or LF, is no end; that dot was added" },
    { 2, '<', "a\r\r\n.\r\nQUIT\r\n", "a\r\r\n[end]QUIT\r\n",
      "CR, and then CRLF: a bare CR, and a line end" },
    { 2, '<', "a\r\n.\r\r\n.\r\nQUIT\r\n", "a\r\n\r\r\n[end]QUIT\r\n",
      "CRLF, dot, CR, and then CRLF: a bare CR, and a line end" },
    { 2, '<', "a\r\n.\nMAIL\r\n.\r\n", "a\r\n\nMAIL\r\n[end]",
      "CRLF . LF ends nothing: who takes it for the end can be sent mail "
      "inside mail" },
    { 2, '>', "a\n.b\nc\n", "a\r\n..b\r\nc\r\n.\r\n",
      "LF alone ends a line, too: on the wire it is CRLF" },
    { 2, '>', "a\r.b\r\r\nc\r", "a\r\n..b\r\n\r\nc\r\n.\r\n",
      "CR alone ends a line, too; CR and LF are one end" },

    { 3, '<', ".\r\n", "[end]", "the end, and no text before it" },
    { 3, '>', "", ".\r\n", "the end, and no text before it" }
};

/* Two texts for the cuts. */
static const char lab5_wire[] =
    "Subject: cut\r\n\r\n..plan is at 3.\r\n...\r\na\n.\nb\r\n.\r\nQUIT\r\n";
static const char lab5_file[] =
    "Subject: cut\r\n\r\n.plan is at 3.\r\n..\r\nc\n.\r.d\r\n\r\n.";

/* A room of n octets for what is made of a piece. Did it overflow? */
static int lab5_over(const char *out, size_t room, size_t made, lab_case *c) {
    if (made <= room && lab_room_ok(out, room)) return 0;
    snprintf(c->note, sizeof c->note, "it made more than the %lu octets that "
             "there is room for", (unsigned long)room);
    return 1;
}

/* Another client's text comes in between, a piece each time; 0: it is alone. */
static int lab5_two;

static void lab5_other(const lab_functions *f, char way) {
    static const char piece[] = "b\r\n.";
    dots d = { 0, 0 };
    size_t made;
    if (!lab5_two) return;
    if (way == '<') f->unstuff(&d, lab_exact(piece, 4), 4, lab_room(8), &made);
    else f->stuff(&d, lab_exact(piece, 4), 4, lab_room(10));
}

/* in, through unstuff. cut[i]: a piece ends behind octet i; 2: and one of no
   octets follows. */
static void lab5_run_unstuff(const lab_functions *f, const char *in, size_t n,
                             const unsigned char *cut, lab_case *c) {
    size_t at = 0, end, made, used;
    dots d = { 0, 0 };
    int empty = 0;
    while (at < n && !d.end) {
        char *out;
        for (end = at; !empty && end < n && (end == at || !cut[end - 1]);)
            end++;
        empty = !empty && cut[end - 1] == 2;
        out = lab_room(end - at + 4);
        made = 0;
        used = f->unstuff(&d, lab_exact(in + at, end - at), end - at, out,
                          &made);
        if (lab5_over(out, end - at + 4, made, c)) return;
        lab_put(&c->yours, out, made);
        if (used > end - at || (used < end - at && !d.end)) {
            snprintf(c->note, sizeof c->note, "it was given %lu octets, and "
                     "says that it took %lu", (unsigned long)(end - at),
                     (unsigned long)used);
            return;
        }
        at += used;
        lab5_other(f, '<');
    }
    if (d.end) lab_say(&c->yours, "[end]");
    lab_put(&c->yours, in + at, n - at);
}

static void lab5_run_stuff(const lab_functions *f, const char *in, size_t n,
                           const unsigned char *cut, lab_case *c) {
    size_t at = 0, end, made;
    dots d = { 0, 0 };
    int empty = n == 0;
    char *out;
    while (at < n || empty) {
        for (end = at; !empty && end < n && (end == at || !cut[end - 1]);)
            end++;
        empty = !empty && cut[end - 1] == 2;
        out = lab_room(2 * (end - at) + 2);
        made = f->stuff(&d, lab_exact(in + at, end - at), end - at, out);
        if (lab5_over(out, 2 * (end - at) + 2, made, c)) return;
        lab_put(&c->yours, out, made);
        at = end;
        lab5_other(f, '>');
    }
    out = lab_room(5);
    made = f->stuff_end(&d, out);
    if (!lab5_over(out, 5, made, c)) lab_put(&c->yours, out, made);
}

/* The text, with a stroke where it is cut, and what f makes of it. Who does
   nothing leaves all that it was given: that is no answer. */
static void lab5_answer(const lab_functions *f, char way, const char *in,
                        size_t n, const unsigned char *cut, lab_case *c) {
    size_t i;
    for (i = 0; i < n; i++) {
        lab_put(&c->given, in + i, 1);
        if (cut[i] && i + 1 < n) lab_say(&c->given, cut[i] > 1 ? "||" : "|");
    }
    if (f == NULL) return;
    if (way == '<') lab5_run_unstuff(f, in, n, cut, c);
    else lab5_run_stuff(f, in, n, cut, c);
}

enum { LAB5_ROWS = sizeof lab5_rows / sizeof lab5_rows[0],
       LAB5_TEXTS = 16, LAB5_TEXT = 80 };

/* A text drawn by chance, of octets that matter. Returns its length. */
static size_t lab5_drawn(char way, char in[LAB5_TEXT]) {
    static const char octets[] = "\r\n..a\xea\0";
    size_t n = 0;
    while (n < 24) {
        if (lab_random(3) == 0) in[n++] = '\r', in[n++] = '\n';
        else in[n++] = octets[lab_random(7)];
    }
    if (way == '<') memcpy(in + n, "a\r\n.\r\nx", 7), n += 7;
    return n;
}

/* The next way to cut it; into c unless it is right. */
static int lab5_way(const lab_functions *f, char way, const char *in,
                    size_t n, const unsigned char *cut, lab_case *c) {
    static lab_case a;
    if (++c->way != lab_one_way && lab_one_way) return 1;
    lab_begin(&a);
    lab_clear();
    lab5_answer(f, way, in, n, cut, &a);
    if (!a.note[0] && a.yours.hash == c->expected.hash) return 1;
    c->given = a.given;
    c->yours = a.yours;
    memcpy(c->note, a.note, sizeof c->note);
    return 0;
}

/* Cut behind octets i and k, for each i and k (twice behind the same: there is
   a piece of no octets); whole, and octet by octet. */
static void lab5_cuts(const lab_functions *f, char way, const char *in,
                      size_t n, lab_case *c) {
    unsigned char cut[LAB5_TEXT];
    static lab_case r;
    size_t i, k;
    lab_begin(&r);
    memset(cut, 0, sizeof cut);
    lab5_answer(&lab5_reference, way, in, n, cut, &r);
    c->given = r.given;
    c->expected = r.yours;
    if (f == NULL) return;
    if (!lab5_way(f, way, in, n, cut, c)) return;
    for (i = 0; i < n; i++)
        for (k = 0; k <= i; k++) {
            memset(cut, 0, sizeof cut);
            cut[i] = 1;
            cut[k]++;
            if (!lab5_way(f, way, in, n, cut, c)) return;
        }
    memset(cut, 1, sizeof cut);
    if (!lab5_way(f, way, in, n, cut, c)) return;
    c->way = 0;
    c->yours = c->expected;
}

/* Two texts at once, octet by octet. */
static void lab5_both(const lab_functions *f, char way, const char *in,
                      size_t n, lab_case *c) {
    unsigned char cut[LAB5_TEXT];
    static lab_case r;
    memset(cut, 1, sizeof cut);
    lab_begin(&r);
    lab5_answer(&lab5_reference, way, in, n, cut, &r);
    c->expected = r.yours;
    mail_copy(c->rule, sizeof c->rule, mail_s("two clients' texts come at "
              "once, and this is one of them: what you know of each stands in "
              "its own *d"));
    lab5_two = 1;
    lab5_answer(f, way, in, n, cut, c);
    lab5_two = 0;
}

static int lab5_run(const lab_functions *f, size_t i, lab_case *c) {
    static const unsigned char whole[LAB5_TEXT];
    char drawn[LAB5_TEXT];
    const lab5_row *r = &lab5_rows[i];
    char way = i < LAB5_ROWS ? r->way : i % 2 ? '<' : '>';
    c->calls = way == '<' ? "unstuff" : "stuff, stuff_end";
    if (i < LAB5_ROWS) {
        c->group = r->group;
        snprintf(c->rule, sizeof c->rule, "%s", r->rule);
        lab_put(&c->expected, drawn, lab_unwrite(drawn, r->out));
        lab5_answer(f, r->way, drawn, lab_unwrite(drawn, r->in), whole, c);
        return 1;
    }
    i -= LAB5_ROWS;
    if (i > LAB5_TEXTS + 1) return 0;
    c->group = 4;
    c->calls = i % 2 ? "stuff, stuff_end" : "unstuff";
    way = i % 2 ? '>' : '<';
    if (i == LAB5_TEXTS)
        return lab5_both(f, way, lab5_wire, sizeof lab5_wire - 1, c), 1;
    if (i > LAB5_TEXTS)
        return lab5_both(f, way, lab5_file, sizeof lab5_file - 1, c), 1;
    snprintf(c->rule, sizeof c->rule, "the same, wherever it is cut: at one "
             "place, at two, or octet by octet%s", i < 2 ? "" :
             " (drawn by chance)");
    if (i >= 2) lab5_cuts(f, way, drawn, lab5_drawn(way, drawn), c);
    else if (way == '<') lab5_cuts(f, way, lab5_wire, sizeof lab5_wire - 1, c);
    else lab5_cuts(f, way, lab5_file, sizeof lab5_file - 1, c);
    return 1;
}

static const lab lab5 = {
    .number = 5, .title = "dots", .stars = 2, .minutes = 45, .chapter = 6,
    .rfc = "RFC 5321 4.5.2",
    .task =
        "The end of a mail's text is a line with a dot: CRLF.CRLF, and nothing "
        "else. A\nline of the text that begins with a dot must not be taken "
        "for it. So the sender\nadds a dot to each such line (stuff, and at "
        "the end stuff_end), and the receiver\ntakes it away (unstuff). The "
        "octets come in pieces, cut anywhere: what has to be\nknown later "
        "goes into `d->state`\n(lab.h: one octet, 0 at the beginning).\n",
    .inside = "unstuff, stuff, stuff_end",
    .signs = "| here it is cut, || with a piece of no octets; [end] d->end is "
             "set, and what stands behind it was not taken",
    .carries = "it stuffs and unstuffs the mail of the demo",
    .groups = lab5_groups, .ngroups = LAB_COUNT(lab5_groups),
    .impostors = lab5_impostors, .nimpostors = LAB_COUNT(lab5_impostors),
    .reference = &lab5_reference, .run = lab5_run
};
