/* lab10.h - lab 10, the POP3 server: the cases. */

static const char *const lab10_verbs[] = {
    "USER", "PASS", "STAT", "LIST", "UIDL", "RETR", "DELE", "RSET", "NOOP",
    "QUIT", "(dropped)"
};
enum { LAB10_VERBS = 10 };

static const char *lab10_state(int state) {
    static const char *const names[] = {
        "AUTH", "USER", "TRANS", "UPDATE", "END"
    };
    return state >= 0 && state <= MAA_END ? names[state] : "no state";
}

/* ---- the student's function inside mail.h -------------------------------- */

static int lab10_may(const mail_pop3d *s, mail_str verb, mail_str arg,
                     int allowed) {
    maa p;
    size_t i;
    int64_t n = 0;
    int k = 0;
    if (!LAB_INSIDE(pop3_step))
        return mail__pop3d_may(s, verb, arg, allowed);
    while (k < LAB10_VERBS && !mail_ieq(verb, mail_s(lab10_verbs[k]))) k++;
    if (k == LAB10_VERBS) return mail__pop3d_may(s, verb, arg, allowed);
    memset(&p, 0, sizeof p);
    p.state = s->state == MAIL_POP3D_TRANS ? MAA_TRANS :
              s->user[0] && k == POP3_PASS ? MAA_USER : MAA_AUTH;
    p.count = s->count < 32 ? (int)s->count : 31;
    for (i = 0; (int)i < p.count && s->drops; i++)
        p.marked[i + 1] = s->drops[i].deleted != 0;
    if (k == POP3_PASS) n = 1;
    else mail_number(arg, 31, &n);
    return lab_inside->pop3_step(&p, k, (int)n) == 1;
}

/* ---- the reference in the student's form ----------------------------------
   mail.h's own session, told the same commands; nobody else is inside then. */

static int lab10_step(maa *p, int verb, int n) {
    static mail_pop3d s;
    static mail_drop drops[32];
    const lab_functions *inside = lab_inside;
    mail_pop3d_opts o;
    mail_event ev;
    char line[40];
    int i, ok;
    if (p->state > MAA_TRANS) return 0;
    if (verb == POP3_DROPPED) {
        p->state = MAA_END;
        return 0;
    }
    memset(&o, 0, sizeof o);
    lab_inside = NULL;
    o.host = "mail.b";
    mail_pop3d_init(&s, o);
    memset(drops, 0, sizeof drops);
    for (i = 0; i < p->count; i++) {
        drops[i].uid = "uid";
        drops[i].deleted = p->marked[i + 1];
    }
    s.out.n = 0;
    if (p->state == MAA_USER) mail_copy(s.user, sizeof s.user, mail_s("bob"));
    s.state = p->state == MAA_TRANS ? MAIL_POP3D_TRANS :
              p->state == MAA_USER ? MAIL_POP3D_USER : MAIL_POP3D_AUTH;
    s.drops = drops;
    s.count = (size_t)p->count;
    snprintf(line, sizeof line, verb == POP3_USER ? "USER bob\r\n" :
             verb == POP3_PASS ? "PASS secret\r\n" :
             n ? "%s %d\r\n" : verb == POP3_RETR || verb == POP3_DELE
             ? "%s 0\r\n" : "%s\r\n", lab10_verbs[verb], n);
    mail_pop3d_feed(&s, line, strlen(line));
    while (mail_pop3d_next(&s, &ev)) {
        if (ev.kind == MAIL_EV_LOGIN)
            mail_pop3d_login(&s, n ? MAIL_ERR_OK : MAIL_ERR_DENIED, drops,
                             (size_t)p->count);
        if (ev.kind == MAIL_EV_UPDATE) p->state = MAA_UPDATE;
        if (ev.kind == MAIL_EV_UPDATE || ev.kind == MAIL_EV_RETR)
            mail_pop3d_reply(&s, MAIL_ERR_OK);
    }
    lab_inside = inside;
    ok = mail_starts(mail_pop3d_out(&s), "+OK");
    for (i = 0; i < p->count; i++) p->marked[i + 1] = (char)drops[i].deleted;
    if (p->state != MAA_UPDATE)
        p->state = s.state == MAIL_POP3D_TRANS || s.state == MAIL_POP3D_SEND
                       ? MAA_TRANS : s.state == MAIL_POP3D_USER ? MAA_USER :
                   s.state == MAIL_POP3D_END ? MAA_END : MAA_AUTH;
    return ok;
}

static size_t lab10_retr(const char *file, size_t n, char *out) {
    mail_dot_out d;
    size_t made;
    memset(&d, 0, sizeof d);
    mail_dot_write(&d, file, n, out, 3 * n + 5, &made);
    return made + mail_dot_close(&d, out + made, 5);
}

static long lab10_size(const char *file, size_t n) {
    long size = (long)n;
    size_t i;
    for (i = 0; i < n; i++) size += file[i] == '\n';
    return size + (n && file[n - 1] != '\n' ? 2 : 0);
}

static size_t lab10_password(const char *line, size_t n) {
    mail_str rest = mail_sn(line, n);
    mail_cut(&rest, ' ');
    return rest.n;
}

static const lab_functions lab10_reference = {
    .pop3_step = lab10_step, .pop3_size = lab10_size,
    .pop3_retr = lab10_retr, .pop3_password = lab10_password
};

/* ---- impostors --------------------------------------------------------- */

/* B17: a line of the body that begins with "Subject:" is swallowed. */
static size_t lab10_b17(const char *file, size_t n, char *out) {
    mail_str rest = mail_sn(file, n);
    char copy[200];
    size_t k = 0, body = 0;
    while (rest.n) {
        mail_str line = mail_cut(&rest, '\n');
        int over = line.p + line.n == file + n;
        body |= line.n == 0;
        if (body && mail_starts(line, "Subject:")) continue;
        memcpy(copy + k, line.p, line.n);
        k += line.n;
        if (!over) copy[k++] = '\n';
    }
    return lab10_retr(copy, k, out);
}

/* B19: a line end counts as one octet. */
static long lab10_b19(const char *file, size_t n) {
    (void)file;
    return (long)n;
}

/* B20: DELE renumbers: what was 3 is 2 now. */
static int lab10_b20(maa *p, int verb, int n) {
    int old = p->state, ok = lab10_step(p, verb, n);
    if (ok && verb == POP3_DELE && old == MAA_TRANS) {
        memmove(p->marked + n, p->marked + n + 1,
                sizeof p->marked - (size_t)n - 1);
        p->count--;
    }
    return ok;
}

/* B21: what is marked goes when the connection drops, too. */
static int lab10_b21(maa *p, int verb, int n) {
    int old = p->state, ok = lab10_step(p, verb, n);
    if (verb == POP3_DROPPED && old == MAA_TRANS) p->state = MAA_UPDATE;
    return ok;
}

/* B22: RETR does not stuff. */
static size_t lab10_b22(const char *file, size_t n, char *out) {
    size_t i, made = 0;
    for (i = 0; i < n; i++) {
        if (file[i] == '\n') out[made++] = '\r';
        out[made++] = file[i];
    }
    if (n && file[n - 1] != '\n') out[made++] = '\r', out[made++] = '\n';
    memcpy(out + made, ".\r\n", 3);
    return made + 3;
}

/* B23: a file without a last LF: the dot is glued to its last line. */
static size_t lab10_b23(const char *file, size_t n, char *out) {
    size_t made = lab10_retr(file, n, out);
    if (n == 0 || file[n - 1] == '\n') return made;
    memcpy(out + made - 5, ".\r\n", 3);
    return made - 2;
}

/* B24: a password ends at its first space. */
static size_t lab10_b24(const char *line, size_t n) {
    mail_str rest = mail_sn(line, n);
    mail_cut(&rest, ' ');
    return n - (size_t)(rest.p - line) - (rest.n - mail_cut(&rest, ' ').n);
}

static int lab10_m1(maa *p, int verb, int n) {        /* no USER first */
    if (p->state == MAA_AUTH && verb == POP3_PASS) p->state = MAA_USER;
    return lab10_step(p, verb, n);
}

static int lab10_m2(maa *p, int verb, int n) {        /* retrieves marked */
    char was[32];
    int ok;
    if (verb == POP3_DELE) return lab10_step(p, verb, n);
    memcpy(was, p->marked, sizeof was);
    if (verb != POP3_RSET) memset(p->marked, 0, sizeof p->marked);
    else memset(was, 0, sizeof was);
    ok = lab10_step(p, verb, n);
    memcpy(p->marked, was, sizeof was);
    return ok;
}

static int lab10_m3(maa *p, int verb, int n) {        /* USER at any time */
    int old = p->state, ok = lab10_step(p, verb, n);
    if (verb == POP3_PASS && !ok && old == MAA_USER) p->state = MAA_USER;
    return ok;
}

static int lab10_m4(maa *p, int verb, int n) {        /* QUIT always UPDATE */
    int ok = lab10_step(p, verb, n);
    if (verb == POP3_QUIT && ok) p->state = MAA_UPDATE;
    return ok;
}

static int lab10_m5(maa *p, int verb, int n) {        /* is never at an end */
    if (p->state > MAA_TRANS) p->state = MAA_AUTH;
    return lab10_step(p, verb, n);
}

static long lab10_m6(const char *file, size_t n) {    /* 2 for an empty file */
    return n ? lab10_size(file, n) : 2;
}

static size_t lab10_m7(const char *file, size_t n, char *out) {
    if (n) return lab10_retr(file, n, out);           /* an empty line there */
    memcpy(out, "\r\n.\r\n", 5);
    return 5;
}

static size_t lab10_m8(const char *line, size_t n) {  /* what is behind PASS_ */
    (void)line;
    return n - 5;
}

static int lab10_x1(maa *p, int verb, int n) {        /* looks, then counts */
    if (n && verb >= POP3_LIST && verb <= POP3_DELE && p->marked[n]) return 0;
    return lab10_step(p, verb, n);
}

static long lab10_x2(const char *file, size_t n) {    /* what if n is 0? */
    return lab10_size(file, n) + (n == 0 && file[n - 1] != '\n' ? 2 : 0);
}

static long lab10_x3(const char *file, size_t n) {    /* file[n] is none */
    size_t i;
    long size = (long)n + (n && file[0] == '\n');
    for (i = 0; i < n; i++) size += file[i + 1] == '\n';
    return size + (n && file[n - 1] != '\n' ? 2 : 0);
}

/* RSET counts down below 0. */
static int lab10_x4(maa *p, int verb, int n) {
    while (lab_for_ever && verb == POP3_RSET) continue;
    return lab10_step(p, verb, n);
}

static const lab_impostor lab10_impostors[] = {
    { "B17", "swallows a line of the body that begins with Subject:",
      { .pop3_retr = lab10_b17 } },
    { "B19", "counts a line end as one octet", { .pop3_size = lab10_b19 } },
    { "B20", "DELE renumbers the messages behind it",
      { .pop3_step = lab10_b20 } },
    { "B21", "removes what is marked when the connection drops, too",
      { .pop3_step = lab10_b21 } },
    { "B22", "RETR adds no dots", { .pop3_retr = lab10_b22 } },
    { "B23", "the final dot is glued to a last line that is open",
      { .pop3_retr = lab10_b23 } },
    { "B24", "cuts a password at its first space",
      { .pop3_password = lab10_b24 } },
    { "M1", "takes PASS without USER", { .pop3_step = lab10_m1 } },
    { "M2", "hands out what is marked", { .pop3_step = lab10_m2 } },
    { "M3", "lets guess again without a new USER", { .pop3_step = lab10_m3 } },
    { "M4", "removes on QUIT though nobody has logged in",
      { .pop3_step = lab10_m4 } },
    { "M5", "lets log in again behind QUIT", { .pop3_step = lab10_m5 } },
    { "M6", "counts a line end in an empty file", { .pop3_size = lab10_m6 } },
    { "M7", "makes a line of an empty file", { .pop3_retr = lab10_m7 } },
    { "M8", "takes PASS alone for a very long password",
      { .pop3_password = lab10_m8 } },
    { "X1", "looks at a mark before the number", { .pop3_step = lab10_x1 } },
    { "X2", "looks before an empty file", { .pop3_size = lab10_x2 } },
    { "X3", "looks behind the file", { .pop3_size = lab10_x3 } },
    { "X4", "RSET never ends", { .pop3_step = lab10_x4 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab10_groups[] = {
    { "3 states, 10 commands", "each command in AUTH, USER and TRANS: +OK or "
      "-ERR, and the state behind it. PASS comes right after USER: anything "
      "but PASS or another USER leads back to AUTH. Otherwise what is "
      "refused changes nothing", 50 },
    { "marks", "DELE, then LIST, RETR, DELE of the same and of others; "
      "numbers stay; RSET; numbers that are none; commands drawn by chance",
      15 },
    { "UPDATE only on QUIT", "QUIT with and without a login; connections that "
      "drop; commands behind the end", 10 },
    { "octets, and a password", "sizes, the text of RETR, PASS; of nothing, "
      "too", 15 }
};

/* One command, and what became of it: "DELE 2 +OK [TRANS]". */
static void lab10_say(const lab_functions *f, maa *p, int verb, int n,
                      lab_text *given, lab_text *out) {
    char line[40];
    int ok;
    snprintf(line, sizeof line, verb == POP3_PASS
             ? (n ? "PASS secret" : "PASS wrong") : verb == POP3_USER
             ? "USER bob" : n ? "%s %d" : "%s", lab10_verbs[verb], n);
    if (given) lab_fmt(given, "%s%s", given->n ? ", " : "", line);
    if (f == NULL || out == NULL) return;
    ok = f->pop3_step(p, verb, n);
    if (verb == POP3_DROPPED) lab_fmt(out, "dropped [%s]  ",
                                      lab10_state(p->state));
    else lab_fmt(out, "%s %s [%s]  ", line, ok == 1 ? "+OK" : ok == 0
                 ? "-ERR" : "?", lab10_state(p->state));
}

/* A script of letters: a command each, with a number behind it, or none. There
   are 3 messages; with # at first as many as there may be, 31.
   U P S L I R D T N Q X (dropped); p: a wrong password. */
static void lab10_script(const lab_functions *f, const char *script,
                         int state, lab_text *given,
                         lab_text *out) {
    static const char letters[] = "UPSLIRDTNQX";
    maa *p = (maa *)lab_room(sizeof *p);
    size_t i;
    memset(p, 0, sizeof *p);
    p->state = state;
    p->count = script[0] == '#' ? 31 : 3;
    if (script[0] == '#' && given) lab_say(given, "31 messages");
    for (i = script[0] == '#'; script[i]; i++) {
        const char *at = strchr(letters, script[i]);
        int verb = script[i] == 'p' ? POP3_PASS : (int)(at - letters);
        int n = script[i] == 'P';
        if (script[i + 1] >= '0' && script[i + 1] <= '9') n = 0;
        while (script[i + 1] >= '0' && script[i + 1] <= '9')
            n = 10 * n + script[++i] - '0';
        if (verb == POP3_DROPPED) {
            if (given) lab_fmt(given, ", the connection drops");
        }
        lab10_say(f, p, verb, n, verb == POP3_DROPPED ? NULL : given, out);
    }
    if (out && f) {
        lab_fmt(out, "to be removed:");
        for (i = 1; i < 32; i++)
            if (p->marked[i] && p->state == MAA_UPDATE)
                lab_fmt(out, " %d", (int)i);
    }
}

/* Why a command is allowed in a state, or not. */
static const char *lab10_reason(int state, int verb) {
    if (verb == POP3_QUIT && state == MAA_TRANS)
        return "QUIT leads to UPDATE: what is marked is removed now (RFC 1939 "
               "6)";
    if (verb == POP3_QUIT)
        return "QUIT may always be said; without a login there is no UPDATE "
               "(RFC 1939 4)";
    if (state == MAA_TRANS && verb <= POP3_PASS)
        return "who has logged in cannot log in again (RFC 1939 4)";
    if (state == MAA_TRANS)
        return "allowed, once a user has logged in (RFC 1939 5, 7)";
    if (verb == POP3_USER)
        return "USER may be said, and said again (RFC 1939 7)";
    if (state == MAA_USER || verb == POP3_PASS)
        return "PASS comes right after USER: anything but PASS or another USER "
               "leads back to AUTH (RFC 1939 7)";
    return "before the login only USER, PASS and QUIT may be said (RFC 1939 4)";
}

/* The state, its number on the way there, the command, then what must still
   be possible. */
static void lab10_cell(const lab_functions *f, int state, int verb,
                       lab_case *c) {
    static const char *const then[] = { "UPS", "UPS", "SN" };
    static const char letters[] = "UPSLIRDTNQ";
    char script[16];
    maa x;
    int needs = verb == POP3_RETR || verb == POP3_DELE;
    snprintf(script, sizeof script, needs ? "%c2" : "%c", letters[verb]);
    memset(&x, 0, sizeof x);
    x.state = state;
    x.count = 3;
    if (!lab10_step(&x, verb, verb == POP3_PASS ? 1 : needs ? 2 : 0))
        snprintf(script + strlen(script), 8, "%s", then[state]);
    c->group = 0;
    lab_fmt(&c->given, "in %s: ", lab10_state(state));
    {
        lab_text said;
        memset(&said, 0, sizeof said);
        lab10_script(NULL, script, state, &said, NULL);
        lab_put(&c->given, said.p, said.n);
    }
    lab10_script(&lab10_reference, script, state, NULL, &c->expected);
    snprintf(c->rule, sizeof c->rule, "%s", lab10_reason(state, verb));
    if (f) lab10_script(f, script, state, NULL, &c->yours);
}

typedef struct lab10_row {
    int group;
    const char *script, *rule;
} lab10_row;

static const lab10_row lab10_rows[] = {
    { 1, "UPD2LR1", "a mark is a mark, and nothing more: the others are there "
      "as before" },
    { 1, "UPD1R2R3", "numbers stay: what was message 2 is message 2" },
    { 1, "UPD2R2", "what is marked cannot be retrieved any more" },
    { 1, "UPD2L2I2N", "what is marked cannot be listed by its number" },
    { 1, "UPD2D2Q", "what is marked cannot be marked again" },
    { 1, "UPD3D1TR1R3", "RSET takes all marks away" },
    { 1, "UPD3TD1Q", "behind RSET new marks can be made" },
    { 1, "UPR0R4D0D4R3", "numbers begin with 1 and end with the last message" },
    { 1, "UPL4I4L3I3", "numbers that are none, for LIST and UIDL" },
    { 1, "UPR1999999999D1999999999L1999999999I1999999999N", "a number may be "
      "far too great: look at it before you look at a mark" },
    { 1, "UPD32R33D40D1Q", "no mark behind the last message" },
    { 1, "UpP", "after a wrong password USER is said again" },
    { 1, "UpUPS", "behind a wrong password USER and PASS may be said "
      "again" },
    { 1, "USPUPS", "PASS comes right after USER: anything but PASS or another "
      "USER leads back to AUTH, even if it is refused" },
    { 1, "UUPS", "USER may be said again" },
    { 1, "UPUPS", "who has logged in cannot log in again" },
    { 2, "UPD1D3Q", "QUIT removes what is marked" },
    { 2, "UPRQ", "QUIT removes nothing that is not marked" },
    { 2, "UPD1X", "a connection that drops removes nothing" },
    { 2, "UPD1D2TX", "nor does it, whatever was said before" },
    { 2, "X", "a connection that drops at once" },
    { 2, "UQ", "QUIT without a login ends the connection, and there is no "
      "UPDATE" },
    { 2, "Q", "QUIT at once ends the connection, and there is no UPDATE" },
    { 2, "UPD1QUPS", "behind QUIT nothing is said any more: -ERR, and UPDATE "
      "stays" },
    { 2, "QUPS", "behind QUIT nothing is said any more: -ERR, and END stays" },
    { 2, "UPD1XUPQ", "a connection that is gone cannot say QUIT" },
    { 2, "#UPD1D17D31TR1R31D16D30Q", "a mailbox may have more than three "
      "messages, and RSET takes all marks away" },
    { 2, "UPD2TD3Q", "what counts is what is marked at QUIT" }
};

/* what 's' size, 'r' retr, 'p' password */
typedef struct lab10_text { char what; const char *in, *rule; } lab10_text;

static const lab10_text lab10_texts[] = {
    { 's', "Subject: hi\n\nHi Bob\n", "CRLF is two octets" },
    { 's', "Hi", "a last line without LF is counted as if it had one" },
    { 's', "a\n..b\n\n\n", "an added dot is not counted" },
    { 's', "\nHi\n", "its first octet may be a line end" },
    { 's', "", "an empty file has no octets, and no last line" },
    { 'r', "Subject: hi\n\nHi Bob\n", "each line with CRLF, then a line with "
      "a dot" },
    { 'r', "Subject: a\n\nHi\nSubject: b\n", "in the body no line is a field" },
    { 'r', "a\n.b\n..\n.\n", "a line that begins with a dot has one more" },
    { 'r', ".a\nb", "the first line is one, too; and a last line without LF "
      "is ended before the dot" },
    { 'r', "", "an empty file: the line with the dot, and no other" },
    { 'p', "PASS secret", "what follows the space" },
    { 'p', "PASS\nPASS \nPASS x", "without a space there is no password: 0 "
      "octets; and behind it there may be none" },
    { 'p', "pass two words", "a password may have spaces in it" },
    { 'p', "PASS  x ", "also at its ends: two octets of space, one letter" }
};

static void lab10_octets(const lab_functions *f, const lab10_text *t,
                         lab_text *out) {
    size_t n = strlen(t->in), k;
    char *in = lab_exact(t->in, n), *wire;
    mail_str rest = mail_sn(in, n);
    if (t->what == 's') lab_fmt(out, "%ld octets", f->pop3_size(in, n));
    else if (t->what == 'p') while (rest.n) {
        mail_str line = mail_cut(&rest, '\n');
        k = f->pop3_password(lab_exact(line.p, line.n), line.n);
        if (k > line.n) lab_fmt(out, "%lu octets of %lu", (unsigned long)k,
                                (unsigned long)line.n);
        else lab_fmt(out, "password \"%.*s\" ", (int)k,
                     line.p + line.n - k);
    } else {
        wire = lab_room(3 * n + 5);
        k = f->pop3_retr(in, n, wire);
        if (k > 3 * n + 5 || !lab_room_ok(wire, 3 * n + 5))
            lab_fmt(out, "more octets than there is room for");
        else lab_put(out, wire, k);
    }
}

enum { LAB10_DRAWN = 12 };

/* A login, and eight commands drawn by chance. */
static void lab10_drawn(const lab_functions *f, lab_case *c) {
    char script[30] = "UP";
    size_t n = 2, i;
    for (i = 0; i < 8; i++) {
        script[n] = "LIRDDTNS"[lab_random(8)];
        if (strchr("LIRD", script[n++]))
            script[n++] = (char)('0' + lab_random(i < 6 ? 4 : 5));
    }
    script[n++] = "QQX"[lab_random(3)];
    script[n] = 0;
    c->group = 1;
    snprintf(c->rule, sizeof c->rule, "drawn by chance");
    lab10_script(&lab10_reference, script, MAA_AUTH, &c->given, &c->expected);
    if (f) lab10_script(f, script, MAA_AUTH, NULL, &c->yours);
}

static int lab10_run(const lab_functions *f, size_t i, lab_case *c) {
    c->calls = "pop3_step";
    if (i < 3 * LAB10_VERBS) {
        lab10_cell(f, (int)i / LAB10_VERBS, (int)i % LAB10_VERBS, c);
        return 1;
    }
    i -= 3 * LAB10_VERBS;
    if (i < LAB_COUNT(lab10_rows)) {
        const lab10_row *r = &lab10_rows[i];
        c->group = r->group;
        snprintf(c->rule, sizeof c->rule, "%s", r->rule);
        lab10_script(&lab10_reference, r->script, MAA_AUTH, &c->given,
                     &c->expected);
        if (f) lab10_script(f, r->script, MAA_AUTH, NULL, &c->yours);
        return 1;
    }
    i -= LAB_COUNT(lab10_rows);
    if (i < LAB10_DRAWN) {
        lab10_drawn(f, c);
        return 1;
    }
    i -= LAB10_DRAWN;
    if (i >= LAB_COUNT(lab10_texts)) return 0;
    c->group = 3;
    c->calls = lab10_texts[i].what == 's' ? "pop3_size" :
               lab10_texts[i].what == 'r' ? "pop3_retr" : "pop3_password";
    snprintf(c->rule, sizeof c->rule, "%s", lab10_texts[i].rule);
    lab_say(&c->given, lab10_texts[i].in);
    lab10_octets(&lab10_reference, &lab10_texts[i], &c->expected);
    if (f) lab10_octets(f, &lab10_texts[i], &c->yours);
    return 1;
}

static const lab lab10 = {
    .number = 10, .title = "POP3 server", .stars = 2, .minutes = 75,
    .chapter = 10, .also = "11 (marks)", .rfc = "RFC 1939",
    .task =
        "The server MAA is a table: in which state is which command allowed, "
        "and what does\nit do (`pop3_step`)? There are three messages, or 31. "
        "And what servers get wrong: how\nmany octets a message has "
        "(`pop3_size`), how it goes over the wire (`pop3_retr`), and\nwhat a "
        "password is (`pop3_password`). Predict the table first; then look "
        "at the one of\n`./mail states`, server MAA.\n",
    .inside = "pop3_step",
    .signs = "[ ] is the state behind the command (lab.h)",
    .carries = "it says yes or no to each command that Bob's program gives",
    .groups = lab10_groups, .ngroups = LAB_COUNT(lab10_groups),
    .impostors = lab10_impostors, .nimpostors = LAB_COUNT(lab10_impostors),
    .reference = &lab10_reference, .run = lab10_run
};
