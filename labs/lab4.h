/* lab4.h - lab 4, the table of the server MTA: the cases. */

enum { LAB4_STATES = 6, LAB4_VERBS = 11 };

static const char *const lab4_states[LAB4_STATES] = {
    "START", "READY", "MAIL", "RCPT", "DATA", "END"
};

static const char *const lab4_verbs[LAB4_VERBS] = {
    "HELO", "EHLO", "MAIL", "RCPT", "DATA", ".", "RSET", "NOOP", "VRFY",
    "QUIT", "(none)"
};

/* ---- the student's function inside mail.h -------------------------------- */

/* mail.h's state, if the lab has it. */
static int lab4_state(mail_smtpd_state s, smtp_state *to) {
    switch (s) {
    case MAIL_SMTPD_START: *to = SMTP_START; return 1;
    case MAIL_SMTPD_READY: *to = SMTP_READY; return 1;
    case MAIL_SMTPD_MAIL:  *to = SMTP_MAIL;  return 1;
    case MAIL_SMTPD_RCPT:  *to = SMTP_RCPT;  return 1;
    case MAIL_SMTPD_DATA:  *to = SMTP_DATA;  return 1;
    case MAIL_SMTPD_END:   *to = SMTP_END;   return 1;
    default: return 0;
    }
}

/* What the student's table refuses is refused. */
static int lab4_may(mail_smtpd_state s, const char *name) {
    smtp_state state;
    int verb, code;
    if (!LAB_INSIDE(smtp_step) || !lab4_state(s, &state)) return 1;
    for (verb = 0; verb < LAB4_VERBS; verb++)
        if (strcmp(name, lab4_verbs[verb]) == 0) break;
    if (verb == LAB4_VERBS) return 1;
    code = lab_inside->smtp_step(&state, (smtp_verb)verb, 1);
    return code >= 200 && code < 400;
}

/* ---- mail.h's server in the student's form ------------------------------- */

/* A line to the server, and its owner's answer: ok or not. The code of its
   reply, 0: none. */
static int lab4_line(mail_smtpd *s, const char *line, int ok) {
    size_t n = strlen(line), k;
    mail_event ev;
    mail_str out;
    int code = 0;
    do {
        k = mail_smtpd_feed(s, line, n);
        line += k, n -= k;
        while (mail_smtpd_next(s, &ev)) {
            if (ev.kind == MAIL_EV_MAIL || ev.kind == MAIL_EV_RCPT)
                mail_smtpd_reply(s, ok ? 250 : 550, NULL);
            else if (ev.kind == MAIL_EV_DATA) mail_smtpd_reply(s, 354, NULL);
            else if (ev.kind == MAIL_EV_END)
                mail_smtpd_reply(s, ok ? 250 : 452, NULL);
        }
        out = mail_smtpd_out(s);
        if (out.n >= 3) code = (out.p[0] - '0') * 100 +
                               (out.p[1] - '0') * 10 + (out.p[2] - '0');
        mail_smtpd_sent(s, out.n);
    } while (k && n);
    return code;
}

static int lab4_step(smtp_state *state, smtp_verb verb, int ok) {
    static const char *const way[] = {
        "HELO a.example\r\n", "MAIL FROM:<a@b.example>\r\n",
        "RCPT TO:<c@d.example>\r\n", "DATA\r\n"
    };
    static const char *const lines[LAB4_VERBS] = {
        "HELO a.example\r\n", "EHLO a.example\r\n",
        "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n", "DATA\r\n",
        ".\r\n", "RSET\r\n", "NOOP\r\n", "VRFY bob\r\n", "QUIT\r\n",
        "HELLO\r\n"
    };
    const lab_functions *inside = lab_inside;
    mail_smtpd s;
    mail_smtpd_opts o;
    size_t i;
    int code;
    lab_inside = NULL;                       /* it is the reference that runs */
    memset(&o, 0, sizeof o);
    o.host = "mail.b";
    mail_smtpd_init(&s, o);
    mail_smtpd_sent(&s, mail_smtpd_out(&s).n);
    for (i = 0; i < (size_t)*state && i < 4; i++) lab4_line(&s, way[i], 1);
    if (*state == SMTP_END) {
        lab4_line(&s, ".\r\n", 1);
        lab4_line(&s, "QUIT\r\n", 1);
    }
    if (!ok && verb <= VERB_EHLO) code = lab4_line(&s, "HELO *\r\n", 1);
    else if (!ok && verb == VERB_VRFY) code = lab4_line(&s, "VRFY\r\n", 1);
    else code = lab4_line(&s, lines[verb], ok);
    lab4_state(s.state, state);
    lab_inside = inside;
    return code;
}

static const lab_functions lab4_reference = { .smtp_step = lab4_step };

/* ---- impostors ----------------------------------------------------------- */

static int lab4_b9(smtp_state *state, smtp_verb verb, int ok) {
    int code = lab4_step(state, verb, ok);
    if (verb == VERB_RSET && *state == SMTP_START) *state = SMTP_READY;
    return code;
}

static int lab4_b10(smtp_state *state, smtp_verb verb, int ok) {
    int again = *state > SMTP_START && *state < SMTP_DATA;
    int code = lab4_step(state, verb, ok);
    return again && verb <= VERB_EHLO ? 0 : code;
}

static int lab4_b11(smtp_state *state, smtp_verb verb, int ok) {
    if (*state != SMTP_DATA || verb != VERB_RSET)
        return lab4_step(state, verb, ok);
    *state = SMTP_READY;
    return 250;
}

static int lab4_b12(smtp_state *state, smtp_verb verb, int ok) {
    if (*state != SMTP_MAIL || verb != VERB_DATA)
        return lab4_step(state, verb, ok);
    *state = SMTP_DATA;
    return 354;
}

static int lab4_b15(smtp_state *state, smtp_verb verb, int ok) {
    return *state == SMTP_START && verb == VERB_NOOP
           ? 503 : lab4_step(state, verb, ok);
}

static int lab4_b25(smtp_state *state, smtp_verb verb, int ok) {
    int code = lab4_step(state, verb, ok);
    if (code >= 500) *state = SMTP_END;
    return code;
}

static int lab4_m1(smtp_state *state, smtp_verb verb, int ok) {
    smtp_state was = *state;
    int code = lab4_step(state, verb, ok);
    if (verb <= VERB_EHLO && was > SMTP_READY) *state = was;
    return code;
}

static int lab4_m2(smtp_state *state, smtp_verb verb, int ok) {
    if ((*state == SMTP_MAIL || *state == SMTP_RCPT) && verb == VERB_MAIL)
        *state = SMTP_READY;
    return lab4_step(state, verb, ok);
}

static int lab4_m3(smtp_state *state, smtp_verb verb, int ok) {
    int text = *state == SMTP_DATA, code = lab4_step(state, verb, ok);
    if (text && verb == VERB_DOT) *state = SMTP_START;
    return code;
}

static int lab4_m4(smtp_state *state, smtp_verb verb, int ok) {
    int code = lab4_step(state, verb, ok);
    if (!ok && verb == VERB_RCPT && code == 550) *state = SMTP_READY;
    return code;
}

static int lab4_m5(smtp_state *state, smtp_verb verb, int ok) {
    int text = *state == SMTP_DATA, code = lab4_step(state, verb, ok);
    if (text && verb == VERB_DOT && !ok) *state = SMTP_RCPT;
    return code;
}

static const lab_impostor lab4_impostors[] = {
    { "B9", "RSET before HELO unlocks MAIL", { .smtp_step = lab4_b9 } },
    { "B10", "a second HELO gets no reply at all", { .smtp_step = lab4_b10 } },
    { "B11", "a body line \"RSET\" aborts the message",
      { .smtp_step = lab4_b11 } },
    { "B12", "all recipients refused, and DATA still gets 354",
      { .smtp_step = lab4_b12 } },
    { "B15", "NOOP before HELO is refused", { .smtp_step = lab4_b15 } },
    { "B25", "hangs up at the first error", { .smtp_step = lab4_b25 } },
    { "M1", "HELO does not end an open transaction",
      { .smtp_step = lab4_m1 } },
    { "M2", "MAIL in a transaction begins a new one",
      { .smtp_step = lab4_m2 } },
    { "M3", "wants a new HELO after each message", { .smtp_step = lab4_m3 } },
    { "M4", "one refused RCPT ends the transaction",
      { .smtp_step = lab4_m4 } },
    { "M5", "a message that was not kept leaves its transaction open",
      { .smtp_step = lab4_m5 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab4_groups[LAB4_STATES] = {
    { "state START", "connected, and nobody has said HELO", 15 },
    { "state READY", "a transaction may begin", 20 },
    { "state MAIL", "the sender is known, no recipient is", 15 },
    { "state RCPT", "one recipient is accepted", 15 },
    { "state DATA", "all is text, but for a dot", 15 },
    { "state END", "221 is said: nothing more", 10 }
};

/* The codes that are right where mail.h says the first of each. */
static const int lab4_codes[][8] = {
    { 252, 250, 251, 502, 550, 551, 553 },          /* VRFY */
    { 500, 502, 503 }, { 501, 502, 550, 553, 504 },
    { 550, 501, 551, 553, 554, 450, 451, 452 },
    { 452, 451, 450, 552, 554, 550, 471 },
    { 503, 554 }
};

/* Where the code is good, too, it is shown as mail.h's own. */
static int lab4_like(int code, int expected) {
    size_t i, k;
    for (i = 0; i < LAB_COUNT(lab4_codes); i++)
        if (lab4_codes[i][0] == expected)
            for (k = 0; k < 8; k++)
                if (code && lab4_codes[i][k] == code) return expected;
    return code;
}

static void lab4_answer(const lab_functions *f, smtp_state state,
                        smtp_verb verb, int ok, lab_case *c) {
    smtp_state after = state, yours = state;
    int code = lab4_step(&after, verb, ok), got;
    lab_fmt(&c->expected, "[%d %s]", code, lab4_states[after]);
    if (f == NULL) return;
    got = f->smtp_step(&yours, verb, ok);
    if (got == LAB_TODO) lab_say(&c->yours, "[not written yet]");
    else lab_fmt(&c->yours, "[%d %s]", lab4_like(got, code),
                 (unsigned)yours < LAB4_STATES ? lab4_states[yours] : "?");
}

/* Where it matters whether ok is 0. A name's form matters to nobody where
   the order is wrong already, or all is text. */
static int lab4_twice(smtp_state state, smtp_verb verb) {
    switch (verb) {
    case VERB_HELO: case VERB_EHLO: case VERB_VRFY: return state < SMTP_DATA;
    case VERB_MAIL: return state == SMTP_READY;
    case VERB_RCPT: return state == SMTP_MAIL || state == SMTP_RCPT;
    case VERB_DOT:  return state == SMTP_DATA;
    default:        return 0;
    }
}

/* The rule where only the second answer was wrong. */
static const char *lab4_not_ok(smtp_verb verb) {
    return verb == VERB_MAIL ? "not ok: the sender is refused, and no "
                               "transaction begins" :
           verb == VERB_RCPT ? "not ok: this recipient is refused; the others "
                               "stay as they are" :
           verb == VERB_DOT ? "not ok: the text is not kept, and the "
                              "transaction is over" :
           "not ok: the argument is malformed: 501, and nothing changes";
}

static int lab4_run(const lab_functions *f, size_t i, lab_case *c) {
    static const char *const rules[LAB4_STATES] = {
        "before HELO or EHLO no transaction; but RSET, NOOP, VRFY and QUIT "
        "may be said (RFC 5321 4.1.4)",
        "MAIL begins a transaction; what needs one gets 503",
        "at least one recipient, then DATA; HELO, EHLO and RSET end the "
        "transaction",
        "more recipients, or DATA; one that is refused changes nothing for "
        "the others",
        "in the text no line is a command; the dot ends text and transaction",
        "after 221 the server says nothing more"
    };
    smtp_state state = (smtp_state)(i / LAB4_VERBS);
    smtp_verb verb = (smtp_verb)(i % LAB4_VERBS);
    int first;
    if (i >= LAB4_STATES * LAB4_VERBS) return 0;
    c->group = (int)state;
    mail_copy(c->rule, sizeof c->rule, mail_s(rules[state]));
    lab_fmt(&c->given, "state %s, %s", lab4_states[state], lab4_verbs[verb]);
    lab4_answer(f, state, verb, 1, c);
    if (lab4_twice(state, verb)) {
        lab_say(&c->given, ", ok; then the same, not ok");
        first = f && c->yours.hash == c->expected.hash;
        lab4_answer(f, state, verb, 0, c);
        if (first && c->yours.hash != c->expected.hash)
            mail_copy(c->rule, sizeof c->rule, mail_s(lab4_not_ok(verb)));
    }
    return 1;
}

static void lab4_draw(const unsigned char *right) {
    int state, verb, untried = 0;
    printf("\n          ");
    for (state = 0; state < LAB4_STATES; state++)
        printf("%-*s", state < LAB4_STATES - 1 ? 7 : 3, lab4_states[state]);
    for (verb = 0; verb < LAB4_VERBS; verb++) {
        printf("\n  %-8s", lab4_verbs[verb]);
        for (state = 0; state < LAB4_STATES; state++)
            printf("  %c%*s", "X.?"[right[state * LAB4_VERBS + verb]],
                   state < LAB4_STATES - 1 ? 4 : 0, "");
    }
    for (state = 0; state < LAB4_STATES * LAB4_VERBS; state++)
        untried |= right[state] == LAB_UNTRIED;
    printf("   X is wrong%s\n\n", untried ? ", ? was not tried" : "");
}

static const lab lab4 = {
    .number = 4, .title = "SMTP server table", .stars = 2, .minutes = 75,
    .chapter = 4, .rfc = "RFC 5321 4.1, 4.3",
    .task =
        "The server MTA answers each line from one word that it remembers, its "
        "state. Write\n`smtp_step`: it gets the state and the verb, and "
        "whether the argument is accepted;\nit says the code of the reply, and "
        "the state after it. 6 states and 11 verbs make\n66 cells, and each of "
        "them counts. The table of `./mail states` is a way to begin.\n",
    .inside = "smtp_step",
    .signs = "[ ] the code of the reply, and the state after it",
    .carries = "the demo's servers ask it whether a command may be said now",
    .groups = lab4_groups, .ngroups = LAB_COUNT(lab4_groups),
    .impostors = lab4_impostors, .nimpostors = LAB_COUNT(lab4_impostors),
    .reference = &lab4_reference, .run = lab4_run, .draw = lab4_draw
};
