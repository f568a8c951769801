/* impostors.h - catch the impostor. A small post office, made of mail.h's
   sessions and an owner with a mailbox for each user; 28 bugs that real mail
   programs have had can be planted in it, one at a time. A student writes
   conversations, labs/impostor.txt; the true office must pass all of them, and
   each impostor that does not is caught.

   Bugs that a lab has are planted through its seam, as that lab's impostor;
   the others are in the owner. */

enum { OFFICE_USERS = 3, OFFICE_MAILS = 12, OFFICE_TEXT = 3000,
       OFFICE_CONNS = 4, OFFICE_BUGS = 28 };

static const struct { const char *name, *password; } office_users[] = {
    { "bob", "my secret" }, { "carol", "secret" }, { "postmaster", "secret" }
};

static const struct { const char *what; const lab *by; } office_bugs[] = {
    { "no bug", NULL },
    { "one delivery is one command", &lab1 },
    { "the second command of a delivery is thrown away", &lab1 },
    { "each reply has a NUL behind it", NULL },
    { "a message ends where a delivery ends in \".\" CR LF", &lab5 },
    { "leading dots are never removed", &lab5 },
    { "who hangs up in the middle leaves half a message", NULL },
    { "an empty line crashes the server", NULL },
    { "commands in lower case, \"RCPT To:\", are not known", NULL },
    { "RSET before HELO unlocks MAIL", NULL },
    { "a second HELO gets no reply at all", NULL },
    { "a line \"RSET\" of the text ends the message", &lab5 },
    { "all recipients refused, DATA still gets 354 and 250", NULL },
    { "who hangs up makes the server spin for ever", NULL },
    { "the null reverse-path <> is refused", &lab2 },
    { "NOOP before HELO is refused", &lab4 },
    { "the mailbox is chosen by the To: field", NULL },
    { "a line \"Subject:\" of the text is lost", NULL },
    { "LF . LF ends the message", &lab5 },
    { "sizes are counted with one octet for each line end", NULL },
    { "DELE renumbers", NULL },
    { "DELE holds although the connection was lost", NULL },
    { "RETR does not stuff dots", NULL },
    { "the final dot is glued to a last line that is open", &lab5 },
    { "a password ends at its first space", NULL },
    { "hangs up at the first error", NULL },
    { "250 before the message is on the disk", NULL },
    { "two clients at once write into each other's message", NULL },
    { "a report about a report is sent", NULL }
};

typedef struct office_mail {
    int    user, durable, gone;
    char   uid[12], text[OFFICE_TEXT];
    size_t n;
} office_mail;

typedef struct office_conn {
    char kind;                       /* 's', 'p'; 0: none                  */
    int  closed;                     /* by the server                      */
    mail_smtpd s;
    int  rcpts, gone, refused;       /* users, as bits; gone@; nobody here */
    int  null, met;                  /* from <>; HELO was said             */
    mail_path from;
    char draft[OFFICE_TEXT]; size_t ndraft;
    mail_pop3d p;
    int  user;
    mail_drop drops[OFFICE_MAILS];
    int  mails[OFFICE_MAILS]; size_t ndrops;
    char out[12000]; size_t nout, at;        /* said; read by the client   */
} office_conn;

typedef struct office {
    int bug;
    int stuck;                       /* it will never answer again         */
    office_mail mails[OFFICE_MAILS]; size_t nmails;
    int uids;
    office_conn c[OFFICE_CONNS];
} office;

/* The solution that is put inside for a bug; NULL: the bug is the owner's. */
static const lab_functions *office_inside(int bug) {
    static lab_functions none, plain;
    const lab *l = office_bugs[bug].by;
    char id[8];
    size_t i;
    snprintf(id, sizeof id, "B%d", bug);
    memset(&plain, 0, sizeof plain);
    for (i = 0; l && i < l->nimpostors; i++)
        if (strcmp(l->impostors[i].id, id) == 0) {
            plain = l->impostors[i].f;
            return &plain;
        }
    return &none;
}

/* ---- mailboxes ----------------------------------------------------------- */

static void office_keep(office *o, int user, mail_str text, int durable) {
    office_mail *m;
    if (o->nmails == OFFICE_MAILS) return;
    m = &o->mails[o->nmails++];
    memset(m, 0, sizeof *m);
    m->user = user;
    m->durable = durable;
    m->n = text.n < sizeof m->text ? text.n : sizeof m->text;
    memcpy(m->text, text.p, m->n);
    snprintf(m->uid, sizeof m->uid, "uid-%d", ++o->uids);
}

/* B17: lines of the body that look like a Subject field are lost. */
static void office_swallow(mail_str *text) {
    static char kept[OFFICE_TEXT];
    mail_str rest = *text;
    size_t n = 0;
    int body = 0;
    while (rest.n) {
        const char *from = rest.p;
        mail_str line = mail_cut(&rest, '\n');
        size_t len = rest.n ? (size_t)(rest.p - from)
                            : (size_t)(text->p + text->n - from);
        if (!body || !mail_starts(line, "Subject:")) {
            memcpy(kept + n, from, len);
            n += len;
        }
        if (line.n <= 1) body = 1;
    }
    *text = mail_sn(kept, n);
}

/* B16: whom the To: field names. */
static int office_to(mail_str text) {
    mail_str line;
    size_t i;
    while (text.n) {
        line = mail_cut(&text, '\n');
        if (!mail_starts(line, "To:")) continue;
        for (i = 0; i + 5 <= line.n; i++)
            if (memcmp(line.p + i, "carol", 5) == 0) return 1 << 1;
    }
    return 1;
}

static void office_report(office *o, const mail_path *to, int user) {
    char text[400];
    mail_buf b = mail_buf_on(text, sizeof text);
    (void)to;
    mail_buf_fmt(&b, "From: <postmaster@b.example>\r\nSubject: not delivered"
                     "\r\n\r\ngone@b.example has no room.\r\n");
    office_keep(o, user, mail_buf_str(&b), 1);
}

static int office_user(const mail_path *p) {
    int i;
    if (strcmp(p->domain, "b.example") != 0) return -1;
    for (i = 0; i < OFFICE_USERS; i++)
        if (strcmp(p->local, office_users[i].name) == 0) return i;
    return -1;
}

static void office_deliver(office *o, office_conn *c) {
    office_conn *d = o->bug == 27 ? &o->c[0] : c;
    mail_str text = mail_sn(d->draft, d->ndraft);
    int i, to = c->rcpts, from = office_user(&c->from);
    if (o->bug == 17) office_swallow(&text);
    if (o->bug == 16) to = office_to(text);
    for (i = 0; i < OFFICE_USERS; i++)
        if (to >> i & 1) office_keep(o, i, text, o->bug != 26);
    if (c->gone && !c->null && from >= 0) office_report(o, &c->from, from);
    if (c->gone && c->null && o->bug == 28) office_report(o, &c->from, 2);
    d->ndraft = 0;
}

/* ---- the owner of the sessions ------------------------------------------- */

static void office_rcpt(office *o, office_conn *c, const mail_path *p) {
    int user = office_user(p);
    (void)o;
    if (user >= 0) c->rcpts |= 1 << user;
    else if (strcmp(p->local, "gone") == 0 &&
             strcmp(p->domain, "b.example") == 0) c->gone = 1;
    else {
        c->refused++;
        mail_smtpd_reply(&c->s, 550, "5.1.1 no such user here");
        return;
    }
    mail_smtpd_reply(&c->s, 250, NULL);
}

static void office_smtp(office *o, office_conn *c, const mail_event *ev) {
    office_conn *d = o->bug == 27 ? &o->c[0] : c;
    switch (ev->kind) {
    case MAIL_EV_MAIL:
        c->rcpts = c->gone = c->refused = 0;
        c->null = mail_path_null(ev->path);
        c->from = *ev->path;
        mail_smtpd_reply(&c->s, 250, NULL);
        break;
    case MAIL_EV_RCPT: office_rcpt(o, c, ev->path); break;
    case MAIL_EV_DATA:
        if (d == c) c->ndraft = 0;
        mail_smtpd_reply(&c->s, 354, NULL);
        break;
    case MAIL_EV_TEXT:
        if (ev->text.n > sizeof d->draft - d->ndraft) break;
        memcpy(d->draft + d->ndraft, ev->text.p, ev->text.n);
        d->ndraft += ev->text.n;
        break;
    case MAIL_EV_END:
        office_deliver(o, c);
        mail_smtpd_reply(&c->s, 250, NULL);
        break;
    case MAIL_EV_CLOSED: c->closed = 1; break;
    default: break;
    }
}

/* The maildrop of who has logged in. */
static void office_login(office *o, office_conn *c, const mail_event *ev) {
    mail_str given = ev->secret;
    size_t i, k;
    int user;
    if (o->bug == 24) given = mail_cut(&given, ' ');
    for (user = 0; user < OFFICE_USERS; user++)
        if (mail_eq(ev->user, mail_s(office_users[user].name)) &&
            mail_eq(given, mail_s(office_users[user].password))) break;
    if (user == OFFICE_USERS) {
        mail_pop3d_login(&c->p, MAIL_ERR_DENIED, NULL, 0);
        return;
    }
    c->user = user;
    for (i = c->ndrops = 0; i < o->nmails; i++) {
        const office_mail *m = &o->mails[i];
        mail_drop *d = &c->drops[c->ndrops];
        if (m->user != user || m->gone) continue;
        c->mails[c->ndrops++] = (int)i;
        memset(d, 0, sizeof *d);
        d->size = (int64_t)m->n;
        d->uid = m->uid;
        for (k = 0; o->bug == 19 && k < m->n; k++)
            d->size -= m->text[k] == '\n';
    }
    mail_pop3d_login(&c->p, MAIL_ERR_OK, c->drops, c->ndrops);
}

static void office_say(office *o, office_conn *c, mail_str s) {
    size_t i;
    for (i = 0; i < s.n && c->nout + 2 < sizeof c->out; i++) {
        c->out[c->nout++] = s.p[i];
        if (o->bug == 3 && s.p[i] == '\n') c->out[c->nout++] = 0;
    }
}

static void office_pop_out(office *o, office_conn *c) {
    mail_str out = mail_pop3d_out(&c->p);
    office_say(o, c, out);
    mail_pop3d_sent(&c->p, out.n);
}

static size_t office_b22(dots *d, const char *in, size_t n, char *out) {
    memcpy(out, in, n);
    if (n) d->state = in[n - 1] != '\n';
    return n;
}

static size_t office_b22_end(dots *d, char *out) {
    memcpy(out, "\r\n.\r\n", 5);
    if (d->state) return 5;
    memmove(out, out + 2, 3);
    return 3;
}

static void office_retr(office *o, office_conn *c, int64_t number) {
    static const lab_functions b22 = { .stuff = office_b22,
                                       .stuff_end = office_b22_end };
    const lab_functions *was = lab_inside;
    const office_mail *m = &o->mails[c->mails[number - 1]];
    size_t at = 0, k;
    mail_pop3d_reply(&c->p, MAIL_ERR_OK);
    office_pop_out(o, c);
    if (o->bug == 22) lab_inside = &b22;
    do {
        k = mail_pop3d_write(&c->p, m->text + at, m->n - at);
        at += k;
        office_pop_out(o, c);
    } while (at < m->n && k);
    mail_pop3d_end(&c->p);
    lab_inside = was;
}

static void office_remove(office *o, const office_conn *c) {
    size_t i;
    for (i = 0; i < c->ndrops; i++)
        if (c->drops[i].deleted) o->mails[c->mails[i]].gone = 1;
}

static void office_pop(office *o, office_conn *c, const mail_event *ev) {
    switch (ev->kind) {
    case MAIL_EV_LOGIN: office_login(o, c, ev); break;
    case MAIL_EV_RETR:  office_retr(o, c, ev->number); break;
    case MAIL_EV_UPDATE:
        office_remove(o, c);
        mail_pop3d_reply(&c->p, MAIL_ERR_OK);
        break;
    case MAIL_EV_CLOSED: c->closed = 1; break;
    default: break;
    }
}

/* Octets to the session; all that comes of them. */
static void office_feed(office *o, office_conn *c, const char *p, size_t n) {
    mail_event ev;
    mail_str out;
    size_t k;
    do {
        k = c->kind == 's' ? mail_smtpd_feed(&c->s, p, n)
                           : mail_pop3d_feed(&c->p, p, n);
        p += k, n -= k;
        while (c->kind == 's' ? mail_smtpd_next(&c->s, &ev)
                              : mail_pop3d_next(&c->p, &ev)) {
            if (c->kind == 's') office_smtp(o, c, &ev);
            else office_pop(o, c, &ev);
        }
        out = c->kind == 's' ? mail_smtpd_out(&c->s) : mail_pop3d_out(&c->p);
        office_say(o, c, out);
        if (c->kind == 's') mail_smtpd_sent(&c->s, out.n);
        else mail_pop3d_sent(&c->p, out.n);
    } while (k && n && !c->closed);
}

/* ---- bugs of whoever reads commands ------------------------------------- */

/* B20: the number of the n-th message that is not marked. */
static void office_renumber(const office_conn *c, char *line, size_t cap) {
    char verb[8];
    int number, i;
    if (sscanf(line, "%7s %d", verb, &number) != 2 || number < 1) return;
    for (i = 0; i < (int)c->ndrops; i++)
        if (!c->drops[i].deleted && --number == 0) break;
    if (i == (int)c->ndrops) i = 998;
    snprintf(line, cap, "%s %d\r\n", verb, i + 1);
}

static void office_broken(office *o, office_conn *c, char *line, size_t cap) {
    mail_str s = mail_s(line);
    size_t had = c->nout;
    int hello = mail_starts(s, "HELO") || mail_starts(s, "EHLO");
    int start = c->s.state == MAIL_SMTPD_START;
    if (o->bug == 7 && (line[0] == '\r' || line[0] == '\n')) {
        o->stuck = 1;
        return;
    }
    if (o->bug == 8 && (islower((unsigned char)line[0]) ||
                        memcmp(line, "RCPT To", 7) == 0)) line[0] = '?';
    if (o->bug == 12 && c->s.state == MAIL_SMTPD_MAIL && c->refused &&
        mail_starts(s, "DATA")) c->s.state = MAIL_SMTPD_RCPT;
    if (o->bug == 20 && c->kind == 'p') office_renumber(c, line, cap);
    office_feed(o, c, line, strlen(line));
    if (o->bug == 9 && start && mail_starts(s, "RSET"))
        c->s.state = MAIL_SMTPD_READY;
    if (o->bug == 10 && hello && c->met) c->nout = had;
    if (o->bug == 25 && c->nout > had && c->out[had] == '5') c->closed = 1;
    c->met |= hello;
}

/* One delivery. A server with a bug of that kind reads it line by line; the
   true one need not. */
static void office_hear(office *o, office_conn *c, const char *p, size_t n) {
    static const char kinds[] = { 7, 8, 9, 10, 12, 20, 25, 0 };
    char line[600];
    size_t i, len = 0;
    if (o->stuck || c->closed || c->kind == 0) return;
    if (o->bug == 0 || strchr(kinds, o->bug) == NULL) {
        office_feed(o, c, p, n);
        return;
    }
    for (i = 0; i < n && !c->closed && !o->stuck; i++) {
        line[len++] = p[i];
        if (p[i] != '\n' && i + 1 < n && len + 1 < sizeof line) continue;
        line[len] = 0;
        if (c->kind == 's' && c->s.state == MAIL_SMTPD_DATA)
            office_feed(o, c, line, len);
        else office_broken(o, c, line, sizeof line);
        len = 0;
    }
}

/* ---- connections -------------------------------------------------------- */

static void office_open(office *o, office_conn *c, char kind) {
    mail_smtpd_opts s;
    mail_pop3d_opts p;
    memset(c, 0, sizeof *c);
    memset(&s, 0, sizeof s);
    memset(&p, 0, sizeof p);
    if (o->stuck) return;
    c->kind = kind;
    s.host = p.host = "mail.b";
    if (kind == 's') mail_smtpd_init(&c->s, s);
    else mail_pop3d_init(&c->p, p);
    office_feed(o, c, "", 0);
}

/* The client hangs up. */
static void office_gone(office *o, office_conn *c) {
    size_t i;
    int text = c->kind == 's' && c->s.state == MAIL_SMTPD_DATA;
    if (c->kind == 0) return;
    if (o->bug == 6 && text) office_deliver(o, c);
    if (o->bug == 13 && !c->closed) o->stuck = 1;
    if (o->bug == 21 && c->kind == 'p') office_remove(o, c);
    for (i = 0; i < o->nmails; i++) o->mails[i].durable = 1;
    c->kind = 0;
}

/* The power fails, and comes back. */
static void office_power(office *o) {
    size_t i;
    for (i = 0; i < OFFICE_CONNS; i++) o->c[i].kind = 0;
    for (i = 0; i < o->nmails; i++)
        if (!o->mails[i].durable) o->mails[i].gone = 1;
    o->stuck = 0;
}

/* ---- what the student writes -------------------------------------------- */

typedef struct talk_line {
    int number;                      /* in the file                        */
    char what;                       /* C S H P O(pen) F(ile)              */
    int conn;
    char text[300]; size_t n;        /* octets, escapes undone             */
    int rest;                        /* S: "..." at its end                */
} talk_line;

typedef struct talk {
    char name[80];
    int number;
    size_t from, to;                 /* its lines                          */
} talk;

enum { TALKS = 100, TALK_LINES = 4000 };
static talk talks[TALKS];
static talk_line talk_lines[TALK_LINES];
static size_t ntalks, ntalk_lines;

/* <LF> <CR> <NUL> <TAB> are octets, <+> at the end is no CRLF. */
static void talk_octets(talk_line *l, const char *s, int crlf) {
    static const struct { const char *name; char octet; } table[] = {
        { "<LF>", '\n' }, { "<CR>", '\r' }, { "<NUL>", 0 }, { "<TAB>", '\t' }
    };
    size_t i;
    while (*s && l->n + 3 < sizeof l->text) {
        if (strcmp(s, "<+>") == 0) return;
        for (i = 0; i < LAB_COUNT(table); i++)
            if (strncmp(s, table[i].name, strlen(table[i].name)) == 0) break;
        l->text[l->n++] = i < LAB_COUNT(table) ? table[i].octet : *s;
        s += i < LAB_COUNT(table) ? strlen(table[i].name) : 1;
    }
    if (crlf) l->text[l->n++] = '\r', l->text[l->n++] = '\n';
}

/* "C: x", "S2: x" and so on. NULL, or what is wrong with it. */
static const char *talk_read_line(talk_line *l, const char *s) {
    l->conn = 1;
    if (strncmp(s, "open ", 5) == 0) {
        l->what = 'O';
        l->text[0] = s[5];
        if (strstr(s, "smtp") != s + 5 && strstr(s, "pop3") != s + 5)
            return "open smtp, or open pop3";
        if (s[9] == ' ') l->conn = atoi(s + 10);
    } else if (strncmp(s, "file ", 5) == 0) {
        l->what = 'F';
        talk_octets(l, s + 5, 0);
    } else if (strcmp(s, "power") == 0) l->what = 'P';
    else if (strncmp(s, "hang up", 7) == 0) {
        l->what = 'H';
        if (s[7] == ' ') l->conn = atoi(s + 8);
    } else {
        l->what = *s;
        if (*s != 'C' && *s != 'S')
            return "a line is = NAME, C:, S:, open, hang up, power or file";
        if (isdigit((unsigned char)s[1])) l->conn = s++[1] - '0';
        if (s[1] != ':') return "no colon behind C or S";
        s += s[2] == ' ' ? 3 : 2;
        talk_octets(l, s, l->what == 'C');
        if (l->what == 'S' && l->n >= 3 &&
            memcmp(l->text + l->n - 3, "...", 3) == 0) l->n -= 3, l->rest = 1;
    }
    return l->conn < 1 || l->conn >= OFFICE_CONNS ? "connections are 1 to 3"
                                                  : NULL;
}

/* The file. Returns 0 if a line of it is wrong, and says so. */
static int talk_read(const char *name) {
    FILE *f = fopen(name, "r");
    char line[400];
    int number = 0;
    const char *why = NULL;
    if (f == NULL) {
        fprintf(stderr, "impostor: cannot read %s: %s\n", name,
                strerror(errno));
        return 0;
    }
    while (why == NULL && fgets(line, sizeof line, f)) {
        talk_line *l = &talk_lines[ntalk_lines];
        line[strcspn(line, "\r\n")] = 0;
        number++;
        if (line[0] == 0 || line[0] == '#') continue;
        if (line[0] == '=') {
            if (ntalks == TALKS) why = "that are too many conversations";
            else {
                mail_copy(talks[ntalks].name, sizeof talks[0].name,
                          mail_trim(mail_s(line + 1)));
                talks[ntalks].number = number;
                talks[ntalks].from = talks[ntalks].to = ntalk_lines;
                ntalks++;
            }
            continue;
        }
        if (ntalks == 0) why = "a conversation begins with = NAME";
        else if (ntalk_lines == TALK_LINES) why = "that are too many lines";
        else why = talk_read_line(l, line);
        if (why) break;
        l->number = number;
        talks[ntalks - 1].to = ++ntalk_lines;
    }
    if (why) printf("%s:%d: %s\n", name, number, why);
    fclose(f);
    return why == NULL;
}

/* Where one has failed. */
typedef struct talk_end {
    int line;                        /* of the file; 0: it has passed      */
    char got[120], want[120];
} talk_end;

/* <CR><LF>, as in the labs. */
static void talk_shown(char *to, size_t cap, mail_str s) {
    size_t i, n = 0;
    for (i = 0; i < s.n && n + 5 < cap; i++)
        n += (size_t)lab_octet(to + n, (unsigned char)s.p[i]);
    to[n] = 0;
}

static void talk_fail(talk_end *e, const talk_line *l, const char *want,
                      mail_str got) {
    e->line = l->number;
    mail_copy(e->want, sizeof e->want, mail_s(want));
    talk_shown(e->got, sizeof e->got, got);
}

/* The next line that the server has said and the client has not read. */
static mail_str talk_next(const office_conn *c) {
    mail_str s = mail_sn(c->out + c->at, c->nout - c->at), rest = s;
    mail_str line = mail_cut(&rest, '\n');
    return mail_sn(s.p, line.n + (line.n < s.n));
}

static void talk_expect(office_conn *c, const talk_line *l, talk_end *e) {
    char want[120];
    mail_str text = mail_sn(l->text, l->n), line = talk_next(c), got;
    talk_shown(want, sizeof want - 4, text);
    if (l->rest) strcat(want, "...");
    if (mail_eq(text, mail_s("(closed)"))) {
        if (line.n) talk_fail(e, l, want, line);
        else if (!c->closed && c->kind) talk_fail(e, l, want,
                                                  mail_s("(still open)"));
        return;
    }
    if (mail_eq(text, mail_s("(nothing)"))) {
        if (line.n) talk_fail(e, l, want, line);
        else if (c->closed || !c->kind) talk_fail(e, l, want,
                                                  mail_s("(closed)"));
        return;
    }
    got = line;
    if (line.n >= 2 && line.p[line.n - 2] == '\r') got.n -= 2;
    c->at += line.n;
    if (line.n == 0) talk_fail(e, l, want, mail_s(c->closed || !c->kind
                                                  ? "(closed)" : "(nothing)"));
    else if (got.n < text.n || (!l->rest && got.n != text.n) ||
             (text.n && memcmp(got.p, text.p, text.n) != 0))
        talk_fail(e, l, want, got);
}

/* "bob TEXT": it is in his mailbox, as it stands. */
static void talk_file(office *o, const talk_line *l, talk_end *e) {
    mail_str text = mail_sn(l->text, l->n), name = mail_cut(&text, ' ');
    int i;
    for (i = 0; i < OFFICE_USERS; i++)
        if (mail_eq(name, mail_s(office_users[i].name))) break;
    if (i < OFFICE_USERS) office_keep(o, i, text, 1);
    else talk_fail(e, l, "a user", name);
}

/* Something was said that nobody read: was it expected? */
static int talk_unread(const office_conn *c, const talk_line *l,
                       talk_end *e) {
    mail_str line = talk_next(c);
    if (line.n == 0) return 0;
    talk_fail(e, l, "(nothing before that)", line);
    return 1;
}

static void talk_step(office *o, const talk_line *l, talk_end *e) {
    office_conn *c = &o->c[l->conn];
    if (strchr("COH", l->what) && talk_unread(c, l, e)) return;
    switch (l->what) {
    case 'C': office_hear(o, c, l->text, l->n); break;
    case 'S': talk_expect(c, l, e); break;
    case 'O': office_gone(o, c); office_open(o, c, l->text[0]); break;
    case 'H': office_gone(o, c); break;
    case 'P': office_power(o); break;
    default:  talk_file(o, l, e); break;
    }
}

/* One conversation with an office that has that bug; 0: none. */
static void talk_run(const talk *t, int bug, talk_end *e) {
    static office o;
    size_t i;
    int k;
    memset(&o, 0, sizeof o);
    memset(e, 0, sizeof *e);
    o.bug = bug;
    lab_inside = office_inside(bug);
    for (i = t->from; i < t->to && e->line == 0; i++)
        talk_step(&o, &talk_lines[i], e);
    for (k = 1; i && k < OFFICE_CONNS && e->line == 0; k++)
        talk_unread(&o.c[k], &talk_lines[i - 1], e);
    lab_inside = NULL;
}

/* ---- the verdict -------------------------------------------------------- */

static void talk_caught(int bug, const talk_end *e) {
    char id[8];
    snprintf(id, sizeof id, "B%d", bug);
    printf("  %-4s %-55s line %d\n", id, office_bugs[bug].what, e->line);
}

static void talk_save(int points) {
    char name[300];
    FILE *f;
    snprintf(name, sizeof name, "%s/impostor.result", lab_from());
    f = fopen(name, "w");
    if (f == NULL) return;
    fprintf(f, "title catch the impostor\nstudent %s\npoints %d.0 of %d.0\n"
               "group %d.0 %d.0 %d %d impostors caught\n",
            lab_env("STUDENT"), points, OFFICE_BUGS, points, OFFICE_BUGS,
            points, OFFICE_BUGS);
    fclose(f);
    printf("      saved: %s", name);
}

/* Which talks does the true office pass? Those alone count. */
static size_t talk_true(unsigned char ok[TALKS]) {
    talk_end e;
    size_t i, n = 0;
    for (i = 0; i < ntalks; i++) {
        talk_run(&talks[i], 0, &e);
        ok[i] = e.line == 0;
        n += ok[i];
        if (ok[i]) continue;
        printf("  the true server does not pass \"%s\", line %d:\n"
               "    expected   %s\n    it says    %s\n", talks[i].name,
               e.line, e.want, e.got);
    }
    return n;
}

static int impostor_grade(const char *file) {
    static unsigned char ok[TALKS];
    int bug, caught = 0;
    size_t i, n;
    talk_end e;
    printf("catch the impostor     tutorial chapter 15   28 servers, a bug in "
           "each\n");
    if (!talk_read(file)) return 2;
    n = talk_true(ok);
    printf("%lu conversation%s, of which the true server passes %lu%s\n",
           (unsigned long)ntalks, ntalks == 1 ? "" : "s", (unsigned long)n,
           n < ntalks ? ": only these count" : "");
    for (bug = 1; bug <= OFFICE_BUGS; bug++) {
        for (i = 0; i < ntalks; i++) {
            if (!ok[i]) continue;
            talk_run(&talks[i], bug, &e);
            if (e.line) break;
        }
        if (i == ntalks) continue;
        talk_caught(bug, &e);
        caught++;
    }
    printf("%d of %d impostors caught", caught, OFFICE_BUGS);
    if (lab_env("AS")[0] == 0) talk_save(caught);
    printf("\n");
    return 0;
}
