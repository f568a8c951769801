/* lab7.h - lab 7, the relay decision: the cases. */

/* ---- the student's functions inside mail.h ------------------------------- */

typedef struct lab7_user { const mail_routing *r; } lab7_user;

static int lab7_is_user(const void *who, const char *name) {
    const mail_routing *r = ((const lab7_user *)who)->r;
    return r->is_user(r->ctx, name);
}

static mail_route_kind lab7_route(const mail_routing *r,
                                  const mail_path *rcpt, int may_relay,
                                  char *to) {
    static const mail_route_kind kinds[] = {
        MAIL_ROUTE_LOCAL, MAIL_ROUTE_RELAY, MAIL_ROUTE_NO_USER,
        MAIL_ROUTE_DENIED
    };
    const char *domains[8], *hops[8];
    lab7_user who;
    post p;
    size_t i;
    int k;
    if (!LAB_INSIDE(relay_decide) || r->lmtp || r->catch_all)
        return mail_route_find(r, rcpt, may_relay, to);
    memset(&p, 0, sizeof p);
    for (i = 0; i < r->nroutes && i < 8; i++) {
        domains[i] = r->routes[i].domain;
        hops[i] = r->routes[i].hop;
    }
    who.r = r;
    p.domains = r->domains;
    p.ndomains = r->ndomains;
    p.is_user = lab7_is_user;
    p.who = &who;
    p.route_domains = domains;
    p.route_hops = hops;
    p.nroutes = i;
    p.smarthost = r->smarthost;
    p.may_relay = may_relay;
    k = lab_inside->relay_decide(&p, rcpt->local, rcpt->domain, to);
    to[MAIL_NAME_SIZE - 1] = 0;
    return k >= 0 && k < 4 ? kinds[k] : MAIL_ROUTE_DENIED;
}

static void lab7_received(mail_buf *b, const mail_received *r) {
    char path[MAIL_PATH_SIZE] = "", date[60], out[1000];
    mail_buf d = mail_buf_on(date, sizeof date - 1);
    mail_buf a = mail_buf_on(path, sizeof path - 1);
    trace_line t;
    size_t n;
    if (!LAB_INSIDE(received)) {
        mail_received_write(b, r);
        return;
    }
    mail_date(&d, r->time, r->zone);
    date[d.n] = 0;
    if (r->for_) mail_path_write(&a, r->for_);
    if (a.n) path[a.n - 1] = 0;                     /* without < > */
    memset(&t, 0, sizeof t);
    t.helo = r->helo;
    t.address = r->address;
    t.by = r->by;
    t.with = r->with;
    t.id = r->id;
    t.for_ = a.n ? path + 1 : NULL;
    t.date = date;
    n = lab_inside->received(&t, out);
    mail_buf_add(b, mail_sn(out, n <= sizeof out ? n : 0));
}

/* ---- mail.h's functions in the student's form ---------------------------- */

static int lab7_asks(void *ctx, const char *name) {
    const post *p = ctx;
    return p->is_user(p->who, name);
}

static int lab7_decide(const post *p, const char *local, const char *domain,
                       char *to) {
    mail_route routes[8];
    mail_routing r;
    mail_path path;
    mail_route_kind k;
    size_t i;
    memset(&r, 0, sizeof r);
    memset(&path, 0, sizeof path);
    for (i = 0; i < p->nroutes; i++) {
        routes[i].domain = p->route_domains[i];
        routes[i].hop = p->route_hops[i];
    }
    r.domains = p->domains;
    r.ndomains = p->ndomains;
    r.routes = routes;
    r.nroutes = p->nroutes;
    r.smarthost = p->smarthost;
    r.is_user = lab7_asks;
    r.ctx = (void *)p;
    mail_copy(path.local, sizeof path.local, mail_s(local));
    mail_copy(path.domain, sizeof path.domain, mail_s(domain));
    k = mail_route_find(&r, &path, p->may_relay, to);
    if ((k == MAIL_ROUTE_LOCAL || k == MAIL_ROUTE_RELAY) && p->hops > 100)
        return ROUTE_LOOP;
    return k == MAIL_ROUTE_LOCAL ? ROUTE_LOCAL :
           k == MAIL_ROUTE_RELAY ? ROUTE_RELAY :
           k == MAIL_ROUTE_NO_USER ? ROUTE_NO_USER : ROUTE_DENIED;
}

static int lab7_hops(const char *header, size_t n) {
    mail_head h;
    memset(&h, 0, sizeof h);
    mail_head_feed(&h, mail_sn(header, n));
    return h.received;
}

static size_t lab7_write(const trace_line *t, char *out) {
    return (size_t)sprintf(out, "Received: from %s ([%s])\r\n\tby %s with %s "
                           "id %s%s%s%s;\r\n\t%s\r\n", t->helo, t->address,
                           t->by, t->with, t->id,
                           t->for_ ? "\r\n\tfor <" : "",
                           t->for_ ? t->for_ : "", t->for_ ? ">" : "",
                           t->date);
}

static const lab_functions lab7_reference = {
    .relay_decide = lab7_decide, .count_hops = lab7_hops,
    .received = lab7_write
};

/* ---- impostors --------------------------------------------------------- */

static int lab7_m1(const post *p, const char *local, const char *domain,
                   char *to) {                        /* an open relay */
    post open = *p;
    open.may_relay = 1;
    return lab7_decide(&open, local, domain, to);
}

static int lab7_m2(const post *p, const char *local, const char *domain,
                   char *to) {                        /* the %-hack */
    const char *at = strrchr(local, '%');
    char part[MAIL_LOCAL_SIZE];
    post open = *p;
    if (at == NULL || lab7_decide(p, local, domain, to) != ROUTE_NO_USER)
        return lab7_decide(p, local, domain, to);
    mail_copy(part, sizeof part, mail_sn(local, (size_t)(at - local)));
    open.may_relay = 1;
    return lab7_decide(&open, part, at + 1, to);
}

static int lab7_m3(const post *p, const char *local, const char *domain,
                   char *to) {          /* a domain that ends in ours is ours */
    size_t i, n = strlen(domain), m;
    for (i = 0; i < p->ndomains; i++) {
        m = strlen(p->domains[i]);
        if (n > m && strcmp(domain + n - m, p->domains[i]) == 0)
            return lab7_decide(p, local, p->domains[i], to);
    }
    return lab7_decide(p, local, domain, to);
}

static int lab7_m4(const post *p, const char *local, const char *domain,
                   char *to) {                 /* asks who the sender says */
    post none = *p;
    none.hops = 0;
    return lab7_decide(&none, local, domain, to);
}

static int lab7_m5(const char *header, size_t n) {  /* in the body, too */
    int hops = 0;
    size_t i;
    for (i = 0; i + 9 <= n; i++)
        hops += (i == 0 || header[i - 1] == '\n') &&
                mail_starts(mail_sn(header + i, n - i), "Received:");
    return hops;
}

static size_t lab7_m6(const trace_line *t, char *out) { /* not folded */
    size_t n = lab7_write(t, out), i, k = 0;
    for (i = 0; i < n; i++) {
        if (i + 2 < n && memcmp(out + i, "\r\n\t", 3) == 0) {
            out[k++] = ' ';
            i += 2;
        } else out[k++] = out[i];
    }
    return k;
}

/* X1: the name is there, and the colon behind it is not looked for, or where
   nothing is any more. */
static int lab7_x1(const char *header, size_t n) {
    return lab7_hops(header, n) +
           (n >= 8 && mail_ieq(mail_sn(header + n - 8, 8), mail_s("Received"))
            && header[n] != ':');
}

static const lab_impostor lab7_impostors[] = {
    { "M1", "is an open relay", { .relay_decide = lab7_m1 } },
    { "M2", "obeys % in a local part, for everybody",
      { .relay_decide = lab7_m2 } },
    { "M3", "takes a domain that only ends like ours for ours",
      { .relay_decide = lab7_m3 } },
    { "M4", "never sees a loop", { .relay_decide = lab7_m4 } },
    { "M5", "counts Received fields in the body, too",
      { .count_hops = lab7_m5 } },
    { "M6", "writes a field that is not folded", { .received = lab7_m6 } },
    { "X1", "looks behind the end of a header", { .count_hops = lab7_x1 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab7_groups[] = {
    { "routing", "our domains and others; routes and the smarthost; capitals, "
      "details", 20 },
    { "no open relay", "who has not logged in sends to our users and to "
      "nobody else, whatever the address looks like", 30 },
    { "loops", "Received fields counted; more than 100 hops are a loop", 20 },
    { "the trace field", "one recipient, several", 20 }
};

/* may: 0 nobody has logged in, 1 somebody has; both are asked where that
   matters, so that neither yes nor no to all is right. */
typedef struct lab7_row {
    int group;
    const char *rcpt;               /* "bob@a.example" */
    int smarthost, hops;
    const char *rule;
} lab7_row;

static const lab7_row lab7_rows[] = {
    { 0, "bob@a.example", 0, 0, "our domain, and a user" },
    { 0, "dan@a.example", 0, 0, "our domain, and nobody of that name" },
    { 0, "BOB@A.Example", 0, 0, "capitals make no difference" },
    { 0, "Bob+news@b.example", 0, 0, "we have two domains; a detail behind +" },
    { 0, "bob+@a.example", 0, 0, "a detail may be empty" },
    { 0, "+bob@a.example", 0, 0, "a name may not" },
    { 0, "bob@", 0, 0, "no domain: ours" },
    { 0, "carol@c.example", 0, 0, "a route says which server" },
    { 0, "carol@C.EXAMPLE", 1, 0, "a route counts more than the smarthost" },
    { 0, "dave@d.example", 0, 0, "no route: the domain itself is looked up" },
    { 0, "dave@d.example", 1, 0, "the smarthost takes all that has no route" },
    { 0, "dave@sub.c.example", 0, 0, "a route is for one domain, not for "
      "those below it" },
    { 0, "@a.example", 0, 0, "no name is no user" },
    { 1, "v@d.example", 0, 0, "another domain" },
    { 1, "v@c.example", 0, 0, "a route opens nothing" },
    { 1, "v@d.example", 1, 0, "a smarthost opens nothing" },
    { 1, "v%d.example@a.example", 0, 0, "% is a letter of a name that nobody "
      "has" },
    { 1, "d.example!v@a.example", 0, 0, "and so is !" },
    { 1, "v@d.example@a.example", 0, 0, "the domain is what is given as it; "
      "an @ in a local part is a letter" },
    { 1, "bob@sub.a.example", 0, 0, "below our domain is another domain" },
    { 1, "bob@xa.example", 0, 0, "it only ends like ours" },
    { 1, "bob@a.example.d.example", 0, 0, "it only begins like ours" },
    { 2, "bob@a.example", 0, 100, "100 hops may be" },
    { 2, "bob@a.example", 0, 101, "101 may not, even if it is for us" },
    { 2, "carol@c.example", 0, 101, "nor if it goes on" },
    { 2, "dan@a.example", 0, 101, "who is not here is not here" }
};

static const char *const lab7_headers[] = {
    "Received: from a ([192.0.2.1])\r\n\tby b with SMTP id 1;\r\n\tThu, 01 Jan "
    "2026 09:00:00 +0900\r\nrEcEiVeD: from c\r\nSubject: hi\r\n\r\nHi\r\n",
    "Subject: see Received:\r\n Received: not a field, a line that goes on\r\n"
    "Received: one\r\nX-Received: no\r\nReceived-By: no\r\n"
    "Deceived: no\r\n",
    "Received: 1\r\n\r\nReceived: in the body\r\nReceived: again\r\n",
    "From: a@b\r\nReceived:\r\nRECEIVED: 2\r\nTo: c@d\r\nReceived: 3\r\n\r\n",
    "",
    "Received: 1\r\nReceived",
    "Subject: hi\r\nReceived:"
};

static const trace_line lab7_fields[] = {
    { "alice.a.example", "192.0.2.1", "mail.a", "SMTP",
      "6955B900-6DBF0680-000001", "bob@b.example",
      "Thu, 01 Jan 2026 09:00:00 +0900" },
    { "mail.a", "192.0.2.25", "mail.b", "ESMTP", "7", NULL,
      "Fri, 02 Jan 2026 00:00:01 +0000" }
};

static const char *const lab7_domains[] = { "a.example", "b.example" };
static const char *const lab7_routed[] = { "c.example", "e.example" };
static const char *const lab7_hosts[] = { "mail.c:25", "mail.e:2525" };

static int lab7_has(const void *who, const char *name) {
    (void)who;
    return strcmp(name, "bob") == 0 || strcmp(name, "alice") == 0;
}

/* A list of exact size. */
static const char *const *lab7_list(const char *const *p, size_t n) {
    return (const char *const *)lab_exact((const char *)p, n * sizeof *p);
}

/* What is decided for somebody who may not relay, and for one who may. */
static void lab7_ask(const lab_functions *f, const lab7_row *r,
                     lab_text *out) {
    static const char *const kinds[] = {
        "LOCAL", "RELAY", "NO_USER", "DENIED", "LOOP"
    };
    char local[80], domain[80];
    const char *at = strrchr(r->rcpt, '@');
    int may, k;
    post p;
    memset(&p, 0, sizeof p);
    mail_copy(local, sizeof local, mail_sn(r->rcpt, (size_t)(at - r->rcpt)));
    mail_copy(domain, sizeof domain, mail_s(at + 1));
    p.domains = lab7_list(lab7_domains, 2);
    p.ndomains = 2;
    p.is_user = lab7_has;
    p.route_domains = lab7_list(lab7_routed, 2);
    p.route_hops = lab7_list(lab7_hosts, 2);
    p.nroutes = 2;
    p.smarthost = r->smarthost ? "smart.example:587" : NULL;
    p.hops = r->hops;
    for (may = 0; may < 2; may++) {
        char *to = lab_room(256);
        to[0] = to[255] = 0;
        p.may_relay = may;
        k = f->relay_decide(&p, local, domain, to);
        lab_fmt(out, "%s%s %s", may ? "; logged in: " : "a stranger: ",
                k >= 0 && k <= ROUTE_LOOP ? kinds[k] : "?",
                k > ROUTE_RELAY || k < 0 ? "" : lab_room_ok(to, 256) ? to
                                              : "(longer than its room)");
    }
}

enum { LAB7_ROWS = sizeof lab7_rows / sizeof lab7_rows[0],
       LAB7_HEADERS = sizeof lab7_headers / sizeof lab7_headers[0],
       LAB7_FIELDS = sizeof lab7_fields / sizeof lab7_fields[0] };

static void lab7_field(const lab_functions *f, const trace_line *t,
                       lab_text *out) {
    char *room = lab_room(1000);
    size_t n = f->received(t, room);
    if (n > 1000 || !lab_room_ok(room, 1000))
        lab_say(out, "more octets than there is room for");
    else lab_put(out, room, n);
}

static void lab7_count(const lab_functions *f, const char *header,
                       lab_text *out) {
    size_t n = strlen(header);
    char *in = lab_exact(header, n);
    lab_fmt(out, "%d hops", f->count_hops(in, n));
}

enum { LAB7_DRAWN = 16 };

/* A name and a domain, put together by chance. */
static void lab7_drawn(lab7_row *r, char rcpt[80]) {
    static const char *const names[] = {
        "bob", "alice", "dan", "BoB", "alice+x", "bob%d.example", "a+b"
    };
    static const char *const domains[] = {
        "a.example", "B.example", "c.example", "E.Example", "d.example",
        "xa.example", "example", ""
    };
    static const int hops[] = { 0, 1, 99, 100, 101 };
    memset(r, 0, sizeof *r);
    snprintf(rcpt, 80, "%s@%s", names[lab_random(7)], domains[lab_random(8)]);
    r->rcpt = rcpt;
    r->smarthost = lab_random(2) != 0;
    r->hops = hops[lab_random(5)];
    r->rule = "drawn by chance";
}

static int lab7_run(const lab_functions *f, size_t i, lab_case *c) {
    c->calls = "relay_decide";
    if (i < LAB7_ROWS + LAB7_DRAWN) {
        lab7_row drawn;
        const lab7_row *r = i < LAB7_ROWS ? &lab7_rows[i] : &drawn;
        char rcpt[80];
        if (r == &drawn) lab7_drawn(&drawn, rcpt);
        c->group = r->group;
        snprintf(c->rule, sizeof c->rule, "%s", r->rule);
        lab_fmt(&c->given, "%s%s%s", r->rcpt, r->smarthost
                ? ", with a smarthost" : "", r->hops ? ", hops: " : "");
        if (r->hops) lab_fmt(&c->given, "%d", r->hops);
        lab7_ask(&lab7_reference, r, &c->expected);
        if (f) lab7_ask(f, r, &c->yours);
        return 1;
    }
    i -= LAB7_ROWS + LAB7_DRAWN;
    c->group = i < LAB7_HEADERS ? 2 : 3;
    if (i < LAB7_HEADERS) {
        snprintf(c->rule, sizeof c->rule, "fields named Received, in the "
                 "header only, as far as it goes");
        c->calls = "count_hops";
        lab_say(&c->given, lab7_headers[i]);
        lab7_count(&lab7_reference, lab7_headers[i], &c->expected);
        if (f) lab7_count(f, lab7_headers[i], &c->yours);
        return 1;
    }
    i -= LAB7_HEADERS;
    if (i >= LAB7_FIELDS) return 0;
    c->calls = "received";
    snprintf(c->rule, sizeof c->rule, lab7_fields[i].for_
             ? "for one recipient he is named"
             : "for several none is named: each would learn of the others");
    lab_fmt(&c->given, "%s %s", lab7_fields[i].helo, lab7_fields[i].address);
    lab7_field(&lab7_reference, &lab7_fields[i], &c->expected);
    if (f) lab7_field(f, &lab7_fields[i], &c->yours);
    return 1;
}

static const lab lab7 = {
    .number = 7, .title = "relay decision", .stars = 2, .minutes = 60,
    .chapter = 9, .rfc = "RFC 5321 3.6, 4.4, 6.3",
    .task =
        "Each RCPT asks a mail server: is that one of ours, and is there such "
        "a user? If not:\nwhere does it go on to, and may this client send "
        "mail through us at all\n(`relay_decide`)? How often has the mail "
        "been passed on already (`count_hops`)? And\nwhat does this server "
        "write on it (`received`)? Ours are a.example and b.example,\nwith "
        "alice and bob; c.example and e.example have routes.\n",
    .inside = "relay_decide, received",
    .carries = "it routes the mail of the demo, and writes its trace fields",
    .groups = lab7_groups, .ngroups = LAB_COUNT(lab7_groups),
    .impostors = lab7_impostors, .nimpostors = LAB_COUNT(lab7_impostors),
    .reference = &lab7_reference, .run = lab7_run
};
