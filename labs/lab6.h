/* lab6.h - lab 6, the client MTA: the cases. The server is mail.h's, with an
   owner who answers as the case says. */

/* ---- mail.h's client in the student's form ------------------------------- */

/* It keeps what it knows in a session; there is one at a time. */
static mail_smtpc lab6_session;
static int lab6_asked;               /* recipients that it was told          */

static void lab6_fates(client_mta *c, int code) {
    int i;
    for (i = 0; i < c->rcpts; i++)
        if (c->fate[i] == RCPT_OPEN)
            c->fate[i] = code / 100 == 2 ? RCPT_GIVEN :
                         code / 100 == 5 ? RCPT_REFUSED : RCPT_LATER;
}

static void lab6_event(client_mta *c, const mail_event *ev) {
    mail_path from;
    if (ev->kind == MAIL_EV_READY) {
        mail_path_mailbox(mail_s("alice@a.example"), &from);
        mail_smtpc_mail(&lab6_session, &from, NULL);
    } else if (ev->kind == MAIL_EV_RCPT && ev->code / 100 != 2)
        c->fate[ev->number] = ev->code / 100 == 4 ? RCPT_LATER
                                                  : RCPT_REFUSED;
    else if (ev->kind == MAIL_EV_DATA) c->state = 2;
    else if (ev->kind == MAIL_EV_DONE) {
        lab6_fates(c, ev->code);
        mail_smtpc_quit(&lab6_session);
    } else if (ev->kind == MAIL_EV_CLOSED) {
        lab6_fates(c, 421);
        c->state = 4;
    }
}

/* The next recipient, or DATA, if it is their turn. */
static void lab6_more(client_mta *c) {
    mail_path to;
    char name[40];
    if (lab6_session.state != MAIL_SMTPC_MAIL) return;
    if (lab6_asked == c->rcpts) {
        if (lab6_session.rcpts_answered == c->rcpts)
            mail_smtpc_data(&lab6_session);
        return;
    }
    snprintf(name, sizeof name, "r%d@b.example", lab6_asked + 1);
    mail_path_mailbox(mail_s(name), &to);
    if (mail_smtpc_rcpt(&lab6_session, &to, NULL) == MAIL_ERR_OK)
        c->rcpt = lab6_asked++;
}

/* What it says, as an action. */
static client_action lab6_said(client_mta *c) {
    static const struct { const char *verb; client_action a; } says[] = {
        { "HELO", SAY_HELO }, { "MAIL", SAY_MAIL }, { "RCPT", SAY_RCPT },
        { "DATA", SAY_DATA }, { "RSET", SAY_RSET }, { "QUIT", SAY_QUIT },
        { ".", SAY_DOT }
    };
    mail_str out = mail_smtpc_out(&lab6_session);
    size_t i;
    for (i = 0; i < LAB_COUNT(says); i++)
        if (mail_starts(out, says[i].verb)) {
            mail_smtpc_sent(&lab6_session, out.n);
            return says[i].a;
        }
    return c->state == 4 ? HANG_UP : WAIT_REPLY;
}

static client_action lab6_next(client_mta *c, int code) {
    mail_smtpc *s = &lab6_session;
    mail_smtpc_opts o;
    mail_event ev;
    char line[20];
    if (c->state == 0) {
        memset(&o, 0, sizeof o);
        o.helo = "alice.a.example";
        o.basic = 1;
        mail_smtpc_init(s, o);
        lab6_asked = 0;
        c->state = 1;
    }
    if (c->state == 3) {                       /* behind the text, the dot */
        c->state = 1;
        mail_smtpc_end(s);
    }
    if (code > 0) {
        snprintf(line, sizeof line, "%d x\r\n", code);
        mail_smtpc_feed(s, line, strlen(line));
    } else if (code == CLIENT_CLOSED) mail_smtpc_eof(s);
    while (mail_smtpc_next(s, &ev)) lab6_event(c, &ev);
    if (c->state == 2) {
        c->state = 3;
        return SAY_TEXT;
    }
    lab6_more(c);
    return lab6_said(c);
}

static const lab_functions lab6_reference = { .client_next = lab6_next };

/* ---- the student's function in Alice's place ----------------------------- */

/* What it says, until it waits. The text is Alice's. */
static struct lab6_mta {
    const lab_functions *f;
    client_mta m;
    mail_line line;
    char out[2000]; size_t n;
} lab6_mta;

static void lab6_put(struct lab6_mta *t, const char *fmt, const char *what) {
    t->n += (size_t)snprintf(t->out + t->n, 300, fmt, what);
}

static void lab6_text(struct lab6_mta *t, sender *s) {
    mail_dot_out d = { 0, 0 };
    char text[600];
    size_t made = 0;
    int64_t n = s->read(s->ctx, text, sizeof text);
    if (n > 0) mail_dot_write(&d, text, (size_t)n, t->out + t->n,
                              sizeof t->out - t->n, &made);
    t->n += made;
}

static void lab6_do(struct lab6_mta *t, sender *s, client_action a) {
    char path[MAIL_PATH_SIZE];
    mail_buf b = mail_buf_on(path, sizeof path - 1);
    int rcpt = t->m.rcpt >= 0 && t->m.rcpt < t->m.rcpts ? t->m.rcpt : 0;
    mail_path_write(&b, a == SAY_RCPT ? &s->rcpts[rcpt].path : &s->from);
    path[b.n] = 0;
    switch (a) {
    case SAY_HELO: lab6_put(t, "HELO %s\r\n", "alice.a.example"); break;
    case SAY_MAIL: lab6_put(t, "MAIL FROM:%s\r\n", path); break;
    case SAY_RCPT: lab6_put(t, "RCPT TO:%s\r\n", path); break;
    case SAY_DATA: lab6_put(t, "DATA\r\n%s", ""); break;
    case SAY_TEXT: lab6_text(t, s); break;
    case SAY_DOT:  lab6_put(t, ".\r\n%s", ""); break;
    case SAY_RSET: lab6_put(t, "RSET\r\n%s", ""); break;
    case SAY_QUIT: lab6_put(t, "QUIT\r\n%s", ""); break;
    default:       s->a.over = 1; break;
    }
}

static void lab6_go(sender *s, int code) {
    struct lab6_mta *t = &lab6_mta;
    client_action a;
    while (!s->a.over && t->n < 700 &&
           (a = t->f->client_next(&t->m, code)) != WAIT_REPLY) {
        code = 0;
        lab6_do(t, s, a);
    }
}

static size_t lab6_feed(agent *a, const char *in, size_t n) {
    struct lab6_mta *t = &lab6_mta;
    mail_str text;
    int code, more;
    size_t used = mail_line_feed(&t->line, in, n, 1);
    if (!t->line.done) return used;
    if (mail_reply_line(mail_line_text(&t->line), &code, &more, &text) ==
        MAIL_ERR_OK && !more) {
        ((sender *)a)->code = code;
        lab6_go((sender *)a, code);
    }
    mail_line_reset(&t->line);
    return used;
}

static mail_str lab6_out(agent *a) {
    (void)a;
    return mail_sn(lab6_mta.out, lab6_mta.n);
}

static void lab6_sent(agent *a, size_t n) {
    struct lab6_mta *t = &lab6_mta;
    (void)a;
    memmove(t->out, t->out + n, t->n - n);
    t->n -= n;
}

static int64_t lab6_tick(agent *a, int64_t now) {
    (void)a;
    return now + 1000000;
}

static void lab6_eof(agent *a) { lab6_go((sender *)a, CLIENT_CLOSED); }

static int lab6_tls(agent *a) {
    (void)a;
    return 0;
}

static void lab6_alice(struct sender *s) {
    if (!LAB_INSIDE(client_next)) return;
    memset(&lab6_mta, 0, sizeof lab6_mta);
    lab6_mta.f = lab_inside;
    lab6_mta.m.rcpts = (int)s->nrcpts;
    s->a.feed = lab6_feed;
    s->a.out = lab6_out;
    s->a.sent = lab6_sent;
    s->a.tick = lab6_tick;
    s->a.eof = lab6_eof;
    s->a.tls = lab6_tls;
    lab6_go(s, 0);
}

/* ---- impostors ----------------------------------------------------------- */

static client_action lab6_m1(client_mta *c, int code) {
    client_action a = lab6_next(c, code);
    if (c->a == SAY_MAIL && a == WAIT_REPLY) a = SAY_RCPT;
    c->a = (int)a;
    return a;
}

static client_action lab6_m2(client_mta *c, int code) {
    client_action a = lab6_next(c, code);
    return a == SAY_DOT ? WAIT_REPLY : a;
}

static client_action lab6_m3(client_mta *c, int code) {
    client_action a = lab6_next(c, code);
    return c->a++ == 0 ? SAY_HELO : a;
}

static client_action lab6_m4(client_mta *c, int code) {
    client_action a = lab6_next(c, code);
    int i;
    for (i = 0; i < c->rcpts; i++)
        if (c->fate[i] == RCPT_LATER) c->fate[i] = RCPT_REFUSED;
    return a;
}

/* A way out: QUIT, its reply, the end. */
static client_action lab6_leave(client_mta *c) {
    return ++c->b == 1 ? SAY_QUIT : c->b == 2 ? WAIT_REPLY : HANG_UP;
}

static client_action lab6_m5(client_mta *c, int code) {
    client_action a;
    if (c->b) return lab6_leave(c);
    a = lab6_next(c, code);
    if (c->a == SAY_RCPT && code / 100 == 5 && code != 552) {
        lab6_fates(c, code);
        return lab6_leave(c);
    }
    if (a != WAIT_REPLY) c->a = (int)a;
    return a;
}

static client_action lab6_m6(client_mta *c, int code) {
    client_action a;
    if (c->b) return c->b++ == 1 ? WAIT_REPLY : lab6_leave(c);
    a = lab6_next(c, code);
    if (a == SAY_RSET && c->a == SAY_RCPT) {
        c->b = 1;
        c->accepted = 0;
        return SAY_DATA;
    }
    if (a != WAIT_REPLY) c->a = (int)a;
    return a;
}

static client_action lab6_m7(client_mta *c, int code) {
    client_action a;
    int i;
    if (c->a == SAY_RCPT && code / 100 == 2) c->accepted |= 1 << c->rcpt;
    a = lab6_next(c, code);
    for (i = 0; i < c->rcpts; i++)
        if (c->accepted >> i & 1) c->fate[i] = RCPT_GIVEN;
    if (a != WAIT_REPLY) c->a = (int)a;
    return a;
}

static client_action lab6_m8(client_mta *c, int code) {
    client_action a = lab6_next(c, code);
    return a == SAY_QUIT ? HANG_UP : a;
}

static client_action lab6_m9(client_mta *c, int code) {
    client_action a = lab6_next(c, code);
    int i;
    if (code == 421 || code == CLIENT_CLOSED)
        for (i = 0; i < c->rcpts; i++)
            if (c->fate[i] == RCPT_LATER) c->fate[i] = RCPT_OPEN;
    return a;
}

static const lab_impostor lab6_impostors[] = {
    { "M1", "says RCPT before MAIL is answered", { .client_next = lab6_m1 } },
    { "M2", "forgets the dot", { .client_next = lab6_m2 } },
    { "M3", "speaks before the greeting", { .client_next = lab6_m3 } },
    { "M4", "takes 4yz for never", { .client_next = lab6_m4 } },
    { "M5", "one is refused, and nobody gets it", { .client_next = lab6_m5 } },
    { "M6", "says DATA though nobody is accepted",
      { .client_next = lab6_m6 } },
    { "M7", "takes the 250 to RCPT for a mail that is given",
      { .client_next = lab6_m7 } },
    { "M8", "hangs up without QUIT", { .client_next = lab6_m8 } },
    { "M9", "forgets who was open when the connection was lost",
      { .client_next = lab6_m9 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab6_groups[] = {
    { "all is well", "one recipient, two, four", 20 },
    { "refused", "a recipient, all of them, the sender, the text", 30 },
    { "not now", "4yz to MAIL, RCPT, DATA and the text", 20 },
    { "421 and the cut wire", "at any time", 10 },
    { "one at a time", "no command before the reply to the one before", 10 }
};

/* What the server's owner says; 0: yes. -1: he hangs up. */
typedef struct lab6_row {
    int group, rcpts, greet, mail, rcpt[CLIENT_RCPTS], data, text;
    const char *rule;
} lab6_row;

static const lab6_row lab6_rows[] = {
    { 0, 1, 0, 0, { 0 }, 0, 0, "220 HELO MAIL RCPT DATA, the text, the dot, "
      "QUIT" },
    { 0, 2, 0, 0, { 0 }, 0, 0, "RCPT is said once for each recipient, the "
      "text once for all" },
    { 0, 4, 0, 0, { 0 }, 0, 0, "the 250 behind the dot gives it to all" },
    { 1, 2, 0, 0, { 550, 0 }, 0, 0, "one is refused: the other gets his "
      "mail" },
    { 1, 3, 0, 0, { 0, 0, 551 }, 0, 0, "the last is refused: the others get "
      "their mail" },
    { 1, 2, 0, 0, { 550, 553 }, 0, 0, "all are refused: there is no DATA" },
    { 1, 2, 0, 550, { 0 }, 0, 0, "the sender is refused: so are all "
      "recipients" },
    { 1, 2, 0, 0, { 0, 550 }, 554, 0, "DATA is refused: nobody gets it" },
    { 1, 2, 0, 0, { 0 }, 0, 552, "the text is refused: nobody gets it, "
      "though they were accepted" },
    { 2, 1, 0, 0, { 451 }, 0, 0, "4yz: keep the mail, and try again later" },
    { 2, 3, 0, 0, { 0, 450, 550 }, 0, 0, "three recipients, three fates" },
    { 2, 2, 0, 451, { 0 }, 0, 0, "4yz to MAIL: all of them later" },
    { 2, 2, 0, 0, { 0 }, 0, 452, "4yz to the text: all who were accepted, "
      "later" },
    { 2, 2, 0, 0, { 0, 552 }, 0, 0, "552 to RCPT: too many at once, later "
      "(RFC 5321 4.5.3.1.10)" },
    { 3, 2, 421, 0, { 0 }, 0, 0, "421 in place of the greeting: later" },
    { 3, 3, 0, 0, { 0, 550, 421 }, 0, 0, "421: who is refused is refused, all "
      "others later" },
    { 3, 2, 0, 0, { 0 }, 0, -1, "no reply to the text: was it taken? Nobody "
      "knows, so later" },
    { 3, 1, 0, -1, { 0 }, 0, 0, "the wire is cut: later" },
    { 3, 2, 0, 421, { 0 }, 0, 0, "421 to MAIL: all later, and no QUIT" },
    { 3, 2, 0, 0, { 421 }, 0, 0, "421 to the first RCPT: the second is never "
      "asked, and for later, too" },
    { 3, 3, 0, 0, { 550, -1 }, 0, 0, "the wire is cut in the middle of the "
      "recipients" },
    { 3, 2, 0, 0, { 0 }, 421, 0, "421 to DATA: later" },
    { 3, 2, 0, 0, { 0, 553 }, 0, 421, "421 to the text: who was accepted, "
      "later" },
    { 4, 1, 0, 0, { 0 }, 0, 0, "wait for the greeting, and for each reply" },
    { 4, 4, 0, 0, { 0, 550, 0, 451 }, 0, 0, "wait for each reply, whatever "
      "it is" }
};

/* The conversation, for the ladder. */
static char lab6_log[4000];
static size_t lab6_logged;

static void lab6_note(char who, mail_str s) {
    while (s.n && lab6_logged + 100 < sizeof lab6_log) {
        mail_str line = mail_cut(&s, '\n');
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        lab6_logged += (size_t)snprintf(lab6_log + lab6_logged, 100,
                                        "%c: %.*s\n", who,
                                        line.n > 90 ? 90 : (int)line.n,
                                        line.n ? line.p : "");
    }
}

typedef struct lab6_talk {
    const lab6_row *r;
    mail_smtpd s;
    int rcpt;               /* recipients that the owner was asked about   */
    int code;               /* a reply that nobody has read yet            */
    int owed;               /* the server owes a reply, or it is unread    */
    int cut, over;          /* it has hung up; and the client knows        */
    char said[200];         /* the last octets to it                       */
    size_t nsaid;
} lab6_talk;

/* What the row says, or the good code; -1 hangs up. */
static void lab6_decide(lab6_talk *t, int says, int good) {
    if (says < 0) t->cut = 1;
    else mail_smtpd_reply(&t->s, says ? says : good, NULL);
}

static void lab6_owner(lab6_talk *t, const mail_event *ev) {
    if (ev->kind == MAIL_EV_MAIL) lab6_decide(t, t->r->mail, 250);
    else if (ev->kind == MAIL_EV_RCPT)
        lab6_decide(t, t->r->rcpt[t->rcpt++ % CLIENT_RCPTS], 250);
    else if (ev->kind == MAIL_EV_DATA) lab6_decide(t, t->r->data, 354);
    else if (ev->kind == MAIL_EV_END) lab6_decide(t, t->r->text, 250);
    else if (ev->kind == MAIL_EV_CLOSED) t->over = 1;
}

static void lab6_replies(lab6_talk *t) {
    mail_str out = mail_smtpd_out(&t->s);
    if (out.n < 3 || t->cut) return;
    t->code = (out.p[0] - '0') * 100 + (out.p[1] - '0') * 10 +
              (out.p[2] - '0');
    lab6_note('S', out);
    mail_smtpd_sent(&t->s, out.n);
}

static void lab6_tell(lab6_talk *t, const char *line) {
    size_t n = strlen(line), k;
    mail_event ev;
    mail_copy(t->said, sizeof t->said, mail_s(line));
    t->nsaid = n;
    lab6_note('C', mail_s(line));
    do {
        k = mail_smtpd_feed(&t->s, line, n);
        line += k, n -= k;
        while (mail_smtpd_next(&t->s, &ev)) lab6_owner(t, &ev);
    } while (k && n);
    lab6_replies(t);
    t->owed = 1;
}

static void lab6_deadlock(lab6_talk *t, lab_case *c) {
    deadlock d;
    FILE *f = tmpfile();
    size_t n;
    mail_copy(c->note, sizeof c->note, mail_s("a deadlock"));
    if (f == NULL) return;
    memset(&d, 0, sizeof d);
    d.client = "your client";
    d.server = "the server";
    d.client_waits = "a reply";
    d.server_waits = waits_smtpd(&t->s, 0);
    d.said = mail_sn(t->said, t->nsaid);
    d.text = t->s.state == MAIL_SMTPD_DATA;
    deadlock_show(f, &d, 0);
    rewind(f);
    n = fread(c->more, 1, sizeof c->more - 1, f);
    c->more[n] = 0;
    fclose(f);
}

/* What a command is called in the answer, and what goes to the wire. */
static const char *lab6_line(client_action a, int rcpt, char line[60]) {
    static const char *const text =
        "Subject: lab 6\r\n\r\nHi Bob,\r\n..plan is at 3.\r\nbye\r\n";
    switch (a) {
    case SAY_HELO: strcpy(line, "HELO alice.a.example\r\n"); return "HELO ";
    case SAY_MAIL: strcpy(line, "MAIL FROM:<alice@a.example>\r\n");
                   return "MAIL ";
    case SAY_RCPT: snprintf(line, 60, "RCPT TO:<r%d@b.example>\r\n",
                            rcpt + 1);
                   return "RCPT";
    case SAY_DATA: strcpy(line, "DATA\r\n"); return "DATA ";
    case SAY_TEXT: strcpy(line, text); return "text ";
    case SAY_DOT:  strcpy(line, ".\r\n"); return "dot ";
    case SAY_RSET: strcpy(line, "RSET\r\n"); return "";
    case SAY_QUIT: strcpy(line, "QUIT\r\n"); return "QUIT ";
    default:       return NULL;
    }
}

/* The client waits. Returns what comes, 0: nothing ever will. */
static int lab6_wait(lab6_talk *t) {
    int code = t->code;
    t->code = 0;
    t->owed = 0;
    if (code) return code;
    if (t->cut || t->over) {
        t->cut = t->over = 0;
        t->owed = -1;                            /* only HANG_UP is left */
        return CLIENT_CLOSED;
    }
    return 0;
}

/* It says something. RSET is a matter of taste, QUIT behind 421, too: they are
   not in the answer. */
static int lab6_say(lab6_talk *t, client_action a, const client_mta *m,
                    lab_case *c) {
    char line[60];
    const char *name = lab6_line(a, m->rcpt, line);
    if ((int)a == LAB_TODO) lab_say(&c->yours, "not written yet ");
    else if (name == NULL)
        snprintf(c->note, sizeof c->note, "there is no action %d", (int)a);
    if (name == NULL) return 0;
    if (t->owed > 0) {
        snprintf(c->note, sizeof c->note, "%.4s, before the reply to what it "
                 "said last", line);
        return 0;
    }
    if (a == SAY_TEXT && t->s.state != MAIL_SMTPD_DATA) {
        mail_copy(c->note, sizeof c->note,
                  mail_s("the text, and the server has not said 354"));
        return 0;
    }
    if (t->owed < 0 || t->s.state == MAIL_SMTPD_END) return 1;
    lab_say(&c->yours, name);
    if (a == SAY_RCPT) lab_fmt(&c->yours, "%d ", m->rcpt + 1);
    lab6_tell(t, line);
    if (a == SAY_TEXT) t->owed = 0;
    return 1;
}

static void lab6_begin(lab6_talk *t, const lab6_row *r) {
    mail_smtpd_opts o;
    mail_event ev;
    memset(t, 0, sizeof *t);
    memset(&o, 0, sizeof o);
    t->r = r;
    o.host = "mail.b";
    o.basic = 1;
    if (r->greet) o.refuse = "4.3.2 too many connections, come again";
    mail_smtpd_init(&t->s, o);
    while (mail_smtpd_next(&t->s, &ev)) lab6_owner(t, &ev);
    t->owed = 1;                                  /* the greeting */
    lab6_logged = 0;
    lab6_replies(t);
}

static void lab6_talk_run(const lab_functions *f, const lab6_row *r,
                          lab_case *c) {
    static const char *const fates[] = { "forgotten", "given", "later",
                                         "refused" };
    static lab6_talk t;
    client_mta m;
    int i, code = 0, going = 1;
    memset(&m, 0, sizeof m);
    m.rcpts = r->rcpts;
    lab6_begin(&t, r);
    for (i = 0; going && i < 100; i++) {
        client_action a = f->client_next(&m, code);
        code = 0;
        if (a == HANG_UP) break;
        if (a != WAIT_REPLY) going = lab6_say(&t, a, &m, c);
        else if ((code = lab6_wait(&t)) == 0) {
            lab6_deadlock(&t, c);
            going = 0;
        }
    }
    if (i == 100) mail_copy(c->note, sizeof c->note,
                            mail_s("100 steps, and no HANG_UP"));
    lab_say(&c->yours, "/");
    for (i = 0; i < r->rcpts; i++)
        lab_fmt(&c->yours, " %d %s", i + 1, (unsigned)m.fate[i] < 4
                                            ? fates[m.fate[i]] : "?");
}

static void lab6_given(const lab6_row *r, lab_text *to) {
    int i;
    lab_fmt(to, "to %d; it says", r->rcpts);
    if (r->greet) lab_fmt(to, " %d at first,", r->greet);
    if (r->mail) lab_fmt(to, " %d to MAIL,", r->mail);
    for (i = 0; i < r->rcpts; i++)
        if (r->rcpt[i]) lab_fmt(to, " %d to RCPT%d,", r->rcpt[i], i + 1);
    if (r->data) lab_fmt(to, " %d to DATA,", r->data);
    if (r->text) lab_fmt(to, " %d to the dot,", r->text);
    lab_say(to, " yes to all else");
    if (r->mail < 0 || r->text < 0 || r->rcpt[1] < 0)
        lab_say(to, " (-1: it hangs up)");
}

static int lab6_run(const lab_functions *f, size_t i, lab_case *c) {
    static lab_case ours;
    if (i >= LAB_COUNT(lab6_rows)) return 0;
    c->group = lab6_rows[i].group;
    mail_copy(c->rule, sizeof c->rule, mail_s(lab6_rows[i].rule));
    lab6_given(&lab6_rows[i], &c->given);
    lab_begin(&ours);
    lab6_talk_run(&lab6_reference, &lab6_rows[i], &ours);
    c->expected = ours.yours;
    if (f) lab6_talk_run(f, &lab6_rows[i], c);
    return 1;
}

static void lab6_ladder(const lab_functions *f, size_t i) {
    static lab_case c;
    const char *p = lab6_log;
    int n = 1;
    lab_begin(&c);
    lab6_talk_run(f, &lab6_rows[i], &c);
    printf("\n     you    server\n");
    while (*p && p < lab6_log + lab6_logged) {
        size_t len = strcspn(p, "\n");
        printf(" %2d  %s  %.*s\n", n++, *p == 'C' ? "|------->|" : "|<-------|",
               (int)len, p);
        p += len + 1;
    }
    printf("%s", c.more);
}

static const lab lab6 = {
    .number = 6, .title = "client MTA", .stars = 2, .minutes = 60,
    .chapter = 7, .rfc = "RFC 5321 3, 4.2",
    .task =
        "The server says codes, and the client decides. Write `client_next`: "
        "it gets the\nreply that has come, and says what is done next, until "
        "all is said. In the end it\nmust know for each recipient whether the "
        "server has the mail (GIVEN), has it not\nnow (LATER), or never "
        "(REFUSED). Who is forgotten has lost a mail.\n",
    .inside = "client_next",
    .signs = "in front of / what your client said; behind it what became of "
             "each recipient",
    .carries = "it is Alice's client MTA in the demo",
    .groups = lab6_groups, .ngroups = LAB_COUNT(lab6_groups),
    .impostors = lab6_impostors, .nimpostors = LAB_COUNT(lab6_impostors),
    .reference = &lab6_reference, .run = lab6_run, .ladder = lab6_ladder
};
