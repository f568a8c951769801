/* lab11.h - lab 11, delete mode and keep mode: the cases. */

/* ---- the student's function inside mail.h -------------------------------- */

static mail_fetch_step lab11_plan(mail_fetcher *f, int ok) {
    static fetch m;
    int next, tries;
    int64_t i;
    if (!LAB_INSIDE(fetch_next)) return mail__fetch_plan(f, ok);
    if (f->step == MAIL_FETCH_STAT || f->step == MAIL_FETCH_UIDL) {
        memset(&m, 0, sizeof m);
        m.keep = f->opts.keep;
        next = lab_inside->fetch_next(&m, FETCH_LOGIN, 1);
        m.count = f->count < 31 ? (int)f->count : 31;
        for (i = 1; i <= m.count; i++)
            m.known[i] = f->step == MAIL_FETCH_UIDL &&
                         mail__fetch_known(f, i) != MAIL__UNSEEN;
    } else if (f->step == MAIL_FETCH_STORE) {
        next = lab_inside->fetch_next(&m, FETCH_RETR, 1);
        if (next == FETCH_STORE)
            next = lab_inside->fetch_next(&m, FETCH_STORE, ok);
    } else next = lab_inside->fetch_next(&m, f->step == MAIL_FETCH_DELE
                                         ? FETCH_DELE : FETCH_RETR, ok);
    for (tries = 0; tries < 3 && (next == FETCH_STAT || next == FETCH_UIDL);
         tries++) next = lab_inside->fetch_next(&m, next, 1);
    if ((next != FETCH_RETR && next != FETCH_DELE) || m.number < 1 ||
        m.number > m.count) return MAIL_FETCH_QUIT;
    f->number = m.number;
    return next == FETCH_RETR ? MAIL_FETCH_RETR : MAIL_FETCH_DELE;
}

/* ---- mail.h's decision in the student's form ----------------------------- */

static int lab11_next(fetch *m, int last, int ok) {
    static const mail_fetch_step steps[] = {
        MAIL_FETCH_LOGIN, MAIL_FETCH_STAT, MAIL_FETCH_UIDL, MAIL_FETCH_RETR,
        MAIL_FETCH_STORE, MAIL_FETCH_DELE, MAIL_FETCH_QUIT, MAIL_FETCH_END
    };
    static mail_fetcher f;
    mail_fetch_step next;
    int i;
    if (last == FETCH_LOGIN) return FETCH_STAT;
    if (last == FETCH_STAT && m->count) return FETCH_UIDL;
    if (last == FETCH_RETR && ok) return FETCH_STORE;
    if (last == FETCH_QUIT) return FETCH_END;
    memset(&f, 0, sizeof f);
    f.opts.keep = m->keep;
    f.count = m->count;
    f.number = m->number;
    f.step = steps[last];
    for (i = 1; i <= m->count; i++)
        if (m->known[i]) mail__fetch_learn(&f, i, MAIL__HERE);
    next = mail__fetch_plan(&f, ok);
    m->number = (int)f.number;
    return next == MAIL_FETCH_RETR ? FETCH_RETR :
           next == MAIL_FETCH_DELE ? FETCH_DELE : FETCH_QUIT;
}

static const lab_functions lab11_reference = { .fetch_next = lab11_next };

/* ---- impostors --------------------------------------------------------- */

/* M1: marks a message before it is durable here. */
static int lab11_m1(fetch *f, int last, int ok) {
    if (f->keep) return lab11_next(f, last, ok);
    if (last == FETCH_RETR && ok) return FETCH_DELE;
    if (last == FETCH_DELE && f->state != f->number) {
        f->state = f->number;
        return f->known[f->number] ? lab11_next(f, last, ok) : FETCH_STORE;
    }
    if (last == FETCH_STORE && ok) return lab11_next(f, FETCH_DELE, 1);
    return lab11_next(f, last, ok);
}

/* M2: in delete mode it asks for no UID: what is there is new. */
static int lab11_m2(fetch *f, int last, int ok) {
    if (!f->keep) memset(f->known, 0, sizeof f->known);
    return lab11_next(f, last, ok);
}

/* M3: keep mode that deletes. */
static int lab11_m3(fetch *f, int last, int ok) {
    int keep = f->keep, next;
    f->keep = 0;
    next = lab11_next(f, last, ok);
    f->keep = keep;
    return next;
}

/* M4: keep mode without a memory. */
static int lab11_m4(fetch *f, int last, int ok) {
    if (f->keep) memset(f->known, 0, sizeof f->known);
    return lab11_next(f, last, ok);
}

/* M5: hangs up in place of QUIT. */
static int lab11_m5(fetch *f, int last, int ok) {
    int next = lab11_next(f, last, ok);
    return next == FETCH_QUIT ? FETCH_END : next;
}

/* M6: what was known already stays on the server in delete mode. */
static int lab11_m6(fetch *f, int last, int ok) {
    int next = lab11_next(f, last, ok);
    while (next == FETCH_DELE && f->known[f->number] && !f->keep)
        next = lab11_next(f, FETCH_DELE, 1);
    return next;
}

static const lab_impostor lab11_impostors[] = {
    { "M1", "marks a message before it is safe here",
      { .fetch_next = lab11_m1 } },
    { "M2", "remembers nothing in delete mode", { .fetch_next = lab11_m2 } },
    { "M3", "deletes in keep mode, too", { .fetch_next = lab11_m3 } },
    { "M4", "takes all again in keep mode", { .fetch_next = lab11_m4 } },
    { "M5", "hangs up without QUIT", { .fetch_next = lab11_m5 } },
    { "M6", "leaves on the server what it has already",
      { .fetch_next = lab11_m6 } }
};

/* ---- a server with messages, and Bob's computer -------------------------- */

enum { LAB11_MAX = 6 };

typedef struct lab11_world {
    int there[LAB11_MAX + 1], n;      /* UIDs on the server, in order      */
    int uids;                         /* given so far                      */
    int bob[20], nbob;                /* what Bob has stored, in order     */
    int full, refuse;                 /* the STORE that fails; that UID's
                                         RETR is refused                   */
    int stores;
    int wrong;                        /* something that must never be      */
    const char *what;
} lab11_world;

static void lab11_mail(lab11_world *w, int n) {
    while (n--) w->there[w->n++] = ++w->uids;
}

static int lab11_has(const lab11_world *w, int uid) {
    int i;
    for (i = 0; i < w->nbob; i++)
        if (w->bob[i] == uid) return 1;
    return 0;
}

static void lab11_wrong(lab11_world *w, const char *what) {
    if (!w->wrong) w->what = what;
    w->wrong = 1;
}

/* One run. Command cut (from 1) of it gets no answer; of a QUIT the server has
   heard if heard is set. */
static void lab11_visit(const lab_functions *f, lab11_world *w, int keep,
                        int cut, int heard) {
    fetch *m = (fetch *)lab_room(sizeof *m);
    int marked[LAB11_MAX + 1] = { 0 }, last = FETCH_LOGIN, ok = 1, said = 0;
    int i, k, uid, got = 0, budget = 60, counted = 0;
    memset(m, 0, sizeof *m);
    m->keep = keep;
    while (budget-- && last != FETCH_END) {
        last = f->fetch_next(m, last, ok);
        ok = 1;
        if (last == FETCH_END) break;
        if (last != FETCH_STORE && ++said == cut) {
            if (last != FETCH_QUIT || !heard) return;
        }
        uid = m->number >= 1 && m->number <= counted ? w->there[m->number - 1]
                                                     : 0;
        if (last == FETCH_STAT) counted = m->count = w->n;
        else if (last == FETCH_UIDL)
            for (i = 0; i < w->n; i++)
                m->known[i + 1] = (char)lab11_has(w, w->there[i]);
        else if (last == FETCH_RETR) {
            ok = uid && !marked[m->number] && uid != w->refuse;
            if (!uid || marked[m->number])
                lab11_wrong(w, "RETR of a message that is not there");
            got = ok ? uid : 0;
        } else if (last == FETCH_STORE) {
            if (!got) lab11_wrong(w, "STORE, and RETR brought nothing");
            ok = got && ++w->stores != w->full;
            if (ok && w->nbob < 20) w->bob[w->nbob++] = got;
            got = 0;
        } else if (last == FETCH_DELE) {
            ok = uid && !marked[m->number];
            if (!ok) lab11_wrong(w, "DELE of a message that is not there");
            else if (!lab11_has(w, uid))
                lab11_wrong(w, "DELE of a message that is not safe here");
            if (keep) lab11_wrong(w, "DELE in keep mode");
            if (ok) marked[m->number] = 1;
        } else if (last == FETCH_QUIT) {
            for (i = k = 0; i < w->n; i++)
                if (!marked[i + 1]) w->there[k++] = w->there[i];
            w->n = k;
            if (said == cut) return;
        } else {
            lab11_wrong(w, "no such step");
            return;
        }
    }
    if (budget < 0) lab11_wrong(w, "it goes on for ever");
}

static void lab11_say(const lab11_world *w, lab_text *out) {
    int i;
    lab_say(out, "Bob has");
    for (i = 0; i < w->nbob; i++) lab_fmt(out, " %d", w->bob[i]);
    lab_fmt(out, "%s; on the server", w->nbob ? "" : " nothing");
    for (i = 0; i < w->n; i++) lab_fmt(out, " %d", w->there[i]);
    lab_say(out, w->n ? "" : " nothing");
    if (w->wrong) lab_fmt(out, "; %s", w->what);
}

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab11_groups[] = {
    { "delete mode", "what is there is taken and removed; a RETR that is "
      "refused, a disk that is full", 30 },
    { "keep mode", "what is there stays, and only what is new is taken", 30 },
    { "cut after every reply", "the connection breaks, and the client calls "
      "again: never lost, never twice", 30 }
};

/* Some messages, a run; then some more, and two runs. */
typedef struct lab11_row {
    int keep, first, more, full, refuse;
    const char *rule;
} lab11_row;

static const lab11_row lab11_rows[] = {
    { 0, 1, 0, 0, 0, "STAT, UIDL, RETR, STORE, DELE, QUIT" },
    { 0, 3, 0, 0, 0, "all of them" },
    { 0, 0, 2, 0, 0, "first nothing is there, then two" },
    { 0, 2, 2, 0, 0, "numbers begin with 1 again in each run" },
    { 0, 3, 0, 0, 2, "RETR 2 is refused: it stays, and 3 comes" },
    { 0, 3, 0, 2, 0, "the second STORE fails: QUIT; the next run goes on" },
    { 1, 1, 0, 0, 0, "taken once, in three runs" },
    { 1, 3, 0, 0, 0, "and stays on the server" },
    { 1, 2, 2, 0, 0, "then two new ones behind them" },
    { 1, 0, 1, 0, 0, "first nothing is there" },
    { 1, 3, 1, 0, 1, "RETR 1 is refused" },
    { 1, 3, 0, 2, 0, "the second STORE fails: QUIT; the next run goes on" }
};

static void lab11_ask(const lab_functions *f, const lab11_row *r, int cut,
                      int heard, lab_text *out) {
    lab11_world w;
    memset(&w, 0, sizeof w);
    w.full = r->full;
    w.refuse = r->refuse;
    lab11_mail(&w, r->first);
    lab11_visit(f, &w, r->keep, cut, heard);
    lab11_mail(&w, r->more);
    lab11_visit(f, &w, r->keep, 0, 0);
    lab11_visit(f, &w, r->keep, 0, 0);
    lab11_say(&w, out);
}

enum { LAB11_ROWS = sizeof lab11_rows / sizeof lab11_rows[0],
       LAB11_CUTS = 10, LAB11_DRAWN = 20 };

/* By chance; never so that nothing can be fetched at all. Returns the cut. */
static int lab11_drawn(lab11_row *r) {
    memset(r, 0, sizeof *r);
    r->keep = lab_random(2) != 0;
    r->first = 1 + (int)lab_random(4);
    r->more = (int)lab_random(3);
    r->full = (int)lab_random(4);
    if (r->first + r->more > 1) r->refuse = (int)lab_random(4);
    return 1 + (int)lab_random(12);
}

static int lab11_run(const lab_functions *f, size_t i, lab_case *c) {
    static const lab11_row cuts[] = {
        { 0, 3, 1, 0, 0, NULL }, { 1, 3, 1, 0, 0, NULL }
    };
    lab11_row drawn;
    const lab11_row *r = &lab11_rows[i];
    int cut = 0, heard = 0;
    if (i >= LAB11_ROWS + 4 * LAB11_CUTS + LAB11_DRAWN) return 0;
    if (i >= LAB11_ROWS + 4 * LAB11_CUTS) {
        cut = lab11_drawn(&drawn);
        heard = lab_random(2) != 0;
        r = &drawn;
    } else if (i >= LAB11_ROWS) {
        i -= LAB11_ROWS;
        r = &cuts[i % 2];
        heard = i / 2 % 2 != 0;
        cut = (int)(i / 4) + 1;
    }
    c->group = cut ? 2 : r->keep;
    if (cut) snprintf(c->rule, sizeof c->rule, "command %d gets no answer%s; "
                      "then two whole runs", cut, heard ? " (if it is QUIT: "
                      "the server has heard it)" : "");
    else snprintf(c->rule, sizeof c->rule, "%s", r->rule);
    lab_fmt(&c->given, "%s mode, %d message%s", r->keep ? "keep" : "delete",
            r->first, r->first == 1 ? "" : "s");
    if (r->more) lab_fmt(&c->given, ", then %d more", r->more);
    if (r->refuse) lab_fmt(&c->given, "; RETR of %d is refused", r->refuse);
    if (r->full) lab_fmt(&c->given, "; STORE %d fails", r->full);
    lab11_ask(&lab11_reference, r, cut, heard, &c->expected);
    if (f) lab11_ask(f, r, cut, heard, &c->yours);
    return 1;
}

static const lab lab11 = {
    .number = 11, .title = "delete and keep", .stars = 2, .minutes = 45,
    .chapter = 11, .rfc = "RFC 1939 6, 7",
    .task =
        "Bob's client MAA takes what is new, and nothing twice. In delete "
        "mode mail goes from\nthe server once it is safe here; in keep mode "
        "it stays, and the client must remember\nwhat it has. After each "
        "answer you are asked what comes next (`fetch_next`). The\nconnection "
        "may break at any time.\n",
    .inside = "fetch_next",
    .carries = "Bob's program fetches the mail of the demo by it",
    .groups = lab11_groups, .ngroups = LAB_COUNT(lab11_groups),
    .impostors = lab11_impostors, .nimpostors = LAB_COUNT(lab11_impostors),
    .reference = &lab11_reference, .run = lab11_run
};
