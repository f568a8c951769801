/* lab3.h - lab 3, the reply parser: the cases. */

/* ---- the student's function inside mail.h -------------------------------- */

static mail_err lab3_line(mail_str line, int *code, int *more,
                          mail_str *text) {
    if (!LAB_INSIDE(parse_reply))
        return mail_reply_line(line, code, more, text);
    *code = *more = 0;
    *text = line.n > 4 ? mail_sn(line.p + 4, line.n - 4) : mail_s("");
    return lab_inside->parse_reply(line.p, line.n, code, more) == 1
           ? MAIL_ERR_OK : MAIL_ERR_PROTOCOL;
}

/* ---- mail.h's function in the student's form ----------------------------- */

static int lab3_parse(const char *line, size_t n, int *code, int *more) {
    mail_str text;
    return mail_reply_line(mail_sn(line, n), code, more, &text) ==
           MAIL_ERR_OK;
}

static const lab_functions lab3_reference = { .parse_reply = lab3_parse };

/* ---- impostors ----------------------------------------------------------- */

/* M1: atoi: any number at the begin is a code. */
static int lab3_m1(const char *line, size_t n, int *code, int *more) {
    size_t i = 0;
    *code = 0;
    while (i < n && line[i] == ' ') i++;
    for (; i < n && isdigit((unsigned char)line[i]); i++)
        *code = *code * 10 + (line[i] - '0');
    *more = n > 3 && line[3] == '-';
    return *code > 0;
}

static int lab3_m2(const char *line, size_t n, int *code, int *more) {
    int is = lab3_parse(line, n, code, more);
    *more = 0;
    return is;
}

static int lab3_m3(const char *line, size_t n, int *code, int *more) {
    int is = lab3_parse(line, n, code, more);
    *more = n <= 3 || line[3] != ' ';
    return is;
}

static int lab3_m4(const char *line, size_t n, int *code, int *more) {
    return lab3_parse(line, n, code, more) && n > 3;
}

static int lab3_m5(const char *line, size_t n, int *code, int *more) {
    int is = lab3_parse(line, n, code, more);
    size_t i;
    for (i = 0; i < n; i++)
        if (line[i] == '-') *more = 1;
    return is;
}

static const lab_impostor lab3_impostors[] = {
    { "M1", "takes any number at the begin for a code (atoi)",
      { .parse_reply = lab3_m1 } },
    { "M2", "takes each line for the last one (\"250-\" is not awaited)",
      { .parse_reply = lab3_m2 } },
    { "M3", "waits for more unless there is a space",
      { .parse_reply = lab3_m3 } },
    { "M4", "wants words behind the code", { .parse_reply = lab3_m4 } },
    { "M5", "takes a hyphen anywhere for \"more\"", { .parse_reply = lab3_m5 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab3_groups[] = {
    { "single lines", "with words, without, with a space only", 40 },
    { "many lines", "\"250-\" and what follows, line by line", 30 },
    { "no reply at all",
      "what looks like one; each together with one that is", 20 }
};

typedef struct lab3_row {
    int group;
    const char *in, *out, *rule;     /* lines, each ended by LF */
} lab3_row;

static const lab3_row lab3_rows[] = {
    { 0, "250 ok\n", "250 last\n", "three digits, a space, words" },
    { 0, "354 end with <CR><LF>.<CR><LF>\n", "354 last\n",
      "the words are for people; whatever they are" },
    { 0, "250\n", "250 last\n", "the words may be left out, and the space" },
    { 0, "221 \n599 \n", "221 last\n599 last\n",
      "the words may be left out, and not the space" },
    { 0, "550-5.1.1 no\n550 5.1.1 such-user\n", "550 more\n550 last\n",
      "only the octet behind the code says whether more follows" },
    { 0, "421 4.3.2 closing\n501 a=3 - 2\n", "421 last\n501 last\n",
      "a hyphen in the words means nothing" },
    { 1, "250-mail.b\n250-SIZE 1000\n250 HELP\n",
      "250 more\n250 more\n250 last\n",
      "EHLO is answered in many lines: all but the last have a hyphen" },
    { 1, "250-\n250\n", "250 more\n250 last\n", "lines without words" },
    { 1, "220-mail.b\n220-no spam\n220 ready\n",
      "220 more\n220 more\n220 last\n",
      "a greeting may have many lines: a client waits for the last" },
    { 1, "250-250 ok\n250 250-ok\n", "250 more\n250 last\n",
      "what looks like a code in the words is none" },
    { 2, "2500 ok\n250 ok\n", "no reply\n250 last\n",
      "behind three digits a space, a hyphen, or the end" },
    { 2, "250ok\n250\tok\n251 ok\n", "no reply\nno reply\n251 last\n",
      "behind three digits a space, a hyphen, or the end" },
    { 2, "150 ok\n650 ok\n450 ok\n", "no reply\nno reply\n450 last\n",
      "the first digit is 2, 3, 4 or 5" },
    { 2, " 250 ok\n250 ok\n", "no reply\n250 last\n",
      "the code begins the line" },
    { 2, "\n25\n2\n250\n", "no reply\nno reply\nno reply\n250 last\n",
      "three digits are three" },
    { 2, "25O ok\n+OK ready\n250-ok\n", "no reply\nno reply\n250 more\n",
      "a digit is 0 to 9; and POP3 is another protocol" }
};

static int lab3_run(const lab_functions *f, size_t i, lab_case *c) {
    mail_str rest, line;
    const lab3_row *r;
    if (i >= LAB_COUNT(lab3_rows)) return 0;
    r = &lab3_rows[i];
    c->group = r->group;
    mail_copy(c->rule, sizeof c->rule, mail_s(r->rule));
    lab_say(&c->given, r->in);
    lab_say(&c->expected, r->out);
    rest = mail_sn(r->in, strlen(r->in) - 1);
    while (f && rest.p != NULL) {
        int code = -1, more = -1, is, last;
        char *p;
        last = rest.n == 0 || memchr(rest.p, '\n', rest.n) == NULL;
        line = mail_cut(&rest, '\n');
        p = lab_exact(line.p, line.n);
        is = f->parse_reply(p, line.n, &code, &more);
        if (is == LAB_TODO) lab_say(&c->yours, "not written yet\n");
        else if (is == 0) lab_say(&c->yours, "no reply\n");
        else lab_fmt(&c->yours, "%d %s\n", code, more == 1 ? "more" :
                     more == 0 ? "last" : "?");
        if (last) break;
    }
    return 1;
}

static const lab lab3 = {
    .number = 3, .title = "reply parser", .stars = 1, .minutes = 30,
    .chapter = 3, .rfc = "RFC 5321 4.2",
    .task =
        "A reply is three digits, and words for people. It may have several "
        "lines: \"250-\"\nsays that another one follows, \"250 \" that this "
        "is the last. Write `parse_reply`:\nit gets one line, and says what "
        "the code is and whether more follows.\n",
    .inside = "parse_reply",
    .carries = "the demo's client MTAs read every reply with it",
    .groups = lab3_groups, .ngroups = LAB_COUNT(lab3_groups),
    .impostors = lab3_impostors, .nimpostors = LAB_COUNT(lab3_impostors),
    .reference = &lab3_reference, .run = lab3_run
};
