/* lab2.h - lab 2, the command parser: the cases. */

/* ---- the student's function inside mail.h -------------------------------- */

/* What is not asked for in the lab, <postmaster> and literals, mail.h reads. */
static mail_err lab2_path(mail_str s, mail_path *out, mail_str *rest) {
    path_parts p;
    size_t used = 0;
    if (!LAB_INSIDE(parse_path) || mail_starts(s, "<postmaster>") ||
        (s.n && memchr(s.p, '[', s.n))) return mail_path_read(s, out, rest);
    memset(&p, 0, sizeof p);
    memset(out, 0, sizeof *out);
    if (lab_inside->parse_path(s.p, s.n, &p, &used) != 1 || used > s.n)
        return MAIL_ERR_SYNTAX;
    mail_copy(out->local, sizeof out->local, mail_s(p.local));
    mail_copy(out->domain, sizeof out->domain, mail_s(p.domain));
    *rest = mail_sn(s.p + used, s.n - used);
    return MAIL_ERR_OK;
}

/* ---- mail.h's functions in the student's form ---------------------------- */

static int lab2_command(const char *line, size_t n, command_parts *c) {
    mail_str rest = mail_sn(line, n), verb;
    memset(c, 0, sizeof *c);
    while (rest.n && rest.p[rest.n - 1] == ' ') rest.n--;
    if (rest.n == 0 || mail_has_control(rest)) return 0;
    verb = mail_cut(&rest, ' ');
    c->verb = verb.p;
    c->nverb = verb.n;
    c->arg = rest.p;
    c->narg = rest.n;
    return 1;
}

static int lab2_same(const char *p, size_t n, const char *word) {
    return mail_ieq(mail_sn(p, n), mail_s(word));
}

static int lab2_parse(const char *s, size_t n, path_parts *p, size_t *used) {
    mail_path x;
    mail_str rest;
    if (mail_path_read(mail_sn(s, n), &x, &rest)) return 0;
    memcpy(p->local, x.local, sizeof p->local);
    memcpy(p->domain, x.domain, sizeof p->domain);
    *used = n - rest.n;
    return 1;
}

static const lab_functions lab2_reference = {
    .parse_command = lab2_command, .same_word = lab2_same,
    .parse_path = lab2_parse
};

/* ---- impostors ----------------------------------------------------------- */

/* B7: an empty line. It does not crash here, but what it says is nonsense. */
static int lab2_b7(const char *line, size_t n, command_parts *c) {
    int is = lab2_command(line, n, c);
    return n == 0 ? 1 : is;
}

static int lab2_b8(const char *p, size_t n, const char *word) {
    return mail_eq(mail_sn(p, n), mail_s(word));
}

static int lab2_b14(const char *s, size_t n, path_parts *p, size_t *used) {
    return lab2_parse(s, n, p, used) && p->domain[0];
}

/* B24: an argument ends at the first space: so does a password. */
static int lab2_b24(const char *line, size_t n, command_parts *c) {
    int is = lab2_command(line, n, c);
    size_t i = 0;
    while (i < c->narg && c->arg[i] != ' ') i++;
    c->narg = i;
    return is;
}

static int lab2_m1(const char *s, size_t n, path_parts *p, size_t *used) {
    return lab2_parse(s, n, p, used) && n && s[1] != '@';
}

static int lab2_m2(const char *s, size_t n, path_parts *p, size_t *used) {
    int is = lab2_parse(s, n, p, used);
    const char *gt = n ? memchr(s, '>', n) : NULL;
    if (is && gt && (size_t)(gt - s) + 1 != *used) return 0;
    return is;
}

/* M3: what stands before the last "@" and behind it, whatever it is. */
static int lab2_m3(const char *s, size_t n, path_parts *p, size_t *used) {
    size_t end = 0, at, from = 1;
    while (end < n && s[end] != '>') end++;
    if (n < 2 || s[0] != '<' || end == n) return 0;
    *used = end + 1;
    at = end;
    while (at > 1 && s[at] != '@') at--;
    if (end == 1) return 1;
    mail_copy(p->local, sizeof p->local, mail_sn(s + from, at - from));
    mail_copy(p->domain, sizeof p->domain, mail_sn(s + at + 1, end - at - 1));
    return s[at] == '@';
}

static int lab2_m4(const char *p, size_t n, const char *word) {
    return n <= strlen(word) && mail_starts(mail_s(word), "") &&
           mail_ieq(mail_sn(p, n), mail_sn(word, n));
}

/* X1: looks at the first octet, though there is none; X2: at the one behind a
   backslash. */
static int lab2_x1(const char *s, size_t n, path_parts *p, size_t *used) {
    return lab2_parse(s, n, p, used) || (n == 0 && s[0] != '<');
}

static int lab2_x2(const char *s, size_t n, path_parts *p, size_t *used) {
    return lab2_parse(s, n, p, used) ||
           (n && s[n - 1] == '\\' && s[n] == '\n');
}

static const lab_impostor lab2_impostors[] = {
    { "B7", "an empty line is a command (and then it crashes)",
      { .parse_command = lab2_b7 } },
    { "B8", "\"helo\" and \"RCPT To:\" are not known in lower case",
      { .same_word = lab2_b8 } },
    { "B14", "the null reverse-path <> is refused",
      { .parse_path = lab2_b14 } },
    { "B24", "an argument ends at its first space, a password too",
      { .parse_command = lab2_b24 } },
    { "M1", "a source route is refused", { .parse_path = lab2_m1 } },
    { "M2", "> in quotes ends the path", { .parse_path = lab2_m2 } },
    { "M3", "whatever stands around the last @ is a path",
      { .parse_path = lab2_m3 } },
    { "M4", "the begin of a word is that word", { .same_word = lab2_m4 } },
    { "X1", "looks at the first of 0 octets", { .parse_path = lab2_x1 } },
    { "X2", "looks behind a last backslash", { .parse_path = lab2_x2 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab2_groups[] = {
    { "verbs, any case", "HELO, helo and HeLo, and what is no verb", 20 },
    { "arguments", "none, one, with spaces in it, with spaces behind it", 20 },
    { "paths", "<a@b.example>, <>, quoted ones, routes", 20 },
    { "malformed", "each together with one that is well-formed; also what is "
      "empty, or ends too early", 30 }
};

/* way: 'c' a command, 'w' two words with a space between, 'p' a path. Several
   of them stand in lines. */
typedef struct lab2_row {
    int group;
    char way;
    const char *in, *rule;
} lab2_row;

#define LAB2_X16 "xxxxxxxxxxxxxxxx"
#define LAB2_X63 LAB2_X16 LAB2_X16 LAB2_X16 "xxxxxxxxxxxxxxx"

static const lab2_row lab2_rows[] = {
    { 0, 'c', "NOOP\nQUIT", "a verb alone" },
    { 0, 'w', "HELO HELO\nhelo HELO\nHeLo HELO",
      "upper and lower case are the same (RFC 5321 2.4)" },
    { 0, 'w', "From: FROM:\nTo: TO:\nto: TO:",
      "that goes for what stands before a path, too" },
    { 0, 'w', "HEL HELO\nHELOO HELO\nYELO HELO\nHELO HELO\nH@LO HELO",
      "the whole word, and only that" },
    { 0, 'w', " HELO\nHELO HELO", "no octet at all is no word" },

    { 1, 'c', "HELO alice.example\nMAIL FROM:<a@b.example> SIZE=100",
      "the argument is all that stands behind the first space" },
    { 1, 'c', "PASS my secret  word", "spaces inside it belong to it" },
    { 1, 'c', "NOOP  \nQUIT \nHELO a ", "spaces at the end belong to "
      "nothing" },
    { 1, 'c', "HELO \xEC\x95\x88\nHELO \xFF", "octets from 128 on are no "
      "control octets: a char may be below 0" },
    { 1, 'c', "HELO  a", "the first space ends the verb, and only that one is "
      "dropped" },

    { 2, 'p', "<bob@b.example>", "local part and domain" },
    { 2, 'p', "<bob@b.example> SIZE=100\n<a-b.c+d@b-1.example>, x",
      "what stands behind the path is not part of it" },
    { 2, 'p', "<>", "the null path: where reports come from, which nobody "
      "answers" },
    { 2, 'p', "<@r.example:bob@b.example>\n"
      "<@r.example,@s.example:bob@b.example>",
      "a route is read and dropped (RFC 5321 appendix C)" },
    { 2, 'p', "<\"bob smith\"@b.example>\n<\"a@b\"@b.example>",
      "quotes are not part of the name, what is in them is" },
    { 2, 'p', "<\"a\\\"b\\\\c\"@b.example>\n<\"a>b\"@b.example>",
      "in quotes \\ takes the next octet as it is, and > ends nothing" },
    { 2, 'p', "<!#$%&'*+-/=?^_`{|}~@b.example>", "all of these may stand in a "
      "name" },
    { 2, 'p', "<" LAB2_X63 "x@b.example>\n<" LAB2_X63 "xx@b.example>\n<\""
      LAB2_X63 " \"@b.example>\n<\"" LAB2_X63 " x\"@b.example>",
      "64 octets of a name are not too many, 65 are" },

    { 2, 'p', "<a@" LAB2_X63 "." LAB2_X63 "." LAB2_X63 "." LAB2_X63 ">\n<a@"
      LAB2_X63 "." LAB2_X63 "." LAB2_X63 "." LAB2_X16 ".." LAB2_X16 ">\n<a@"
      LAB2_X63 "." LAB2_X63 "." LAB2_X63 "." LAB2_X63 ".x>",
      "255 octets of a domain are not too many, 257 are" },

    { 3, 'c', "\n \n   \nNOOP", "an empty line is no command, nor are "
      "spaces alone" },
    { 3, 'c', "NO\001OP\n\037NOOP\nNOOP \177\nNOOP\tx\nNOOP x",
      "no control octet in a command" },
    { 3, 'p', "<bob@b.example\nbob@b.example>\nbob@b.example\n"
      "<bob@b.example>", "a path stands in < and >" },
    { 3, 'p', "<bob>\n<@b.example>\n<bob@>\n<b@b.example>",
      "it has a local part and a domain" },
    { 3, 'p', "<a b@b.example>\n<a@b@c.example>\n<a@b c>\n<a_b@c.example>",
      "no space, no second @" },
    { 3, 'p', "<.a@b.example>\n<a.@b.example>\n<a..b@b.example>\n"
      "<a.b@b.example>", "dots stand between, one at a time" },
    { 3, 'p', "<a@.b>\n<a@b.>\n<a@b..c>\n<a@-b>\n<a@b->\n<a@b_c>\n<a@b-c>",
      "a label has letters, digits and hyphens, and no hyphen at its ends" },
    { 3, 'p', "<\"a@b.example>\n<\"a\"b@b.example>\n<\"\"@b.example>\n"
      "<\"a\"@b.example>", "quotes are closed, and all of the name is in "
      "them" },
    { 3, 'p', "<\001@b.example>\n<\"\037\"@b.example>\n<\"\177\"@b.example>\n"
      "<\" ~\"@b.example>",
      "no control octet, in quotes neither" },
    { 3, 'p', "\n<\n<a\n<a@\n<a@b\n<\"\n<\"a\\\n<\"a\"\n<@\n<@r\n<@r,\n<@r:"
      "\n<a@b>",
      "whatever is cut off is no path: look at no octet behind the last" },
    { 3, 'p', "<@r.example bob@b.example>\n<@:bob@b.example>\n"
      "<@r.example,s.example:bob@b.example>\n"
      "<@r.example:bob@b.example>", "a route ends with a colon" }
};

static void lab2_show(lab_text *to, const char *p, size_t n) {
    lab_say(to, "(");
    lab_put(to, p, n);
    lab_say(to, ")");
}

/* Does p point into the line? Then show it. */
static void lab2_part(lab_text *to, const char *line, size_t n,
                      const char *p, size_t k) {
    if (k == 0) lab_say(to, "()");
    else if (p < line || p > line + n || k > n - (size_t)(p - line))
        lab_say(to, "(not in the line)");
    else lab2_show(to, p, k);
}

static void lab2_one(const lab_functions *f, char way, const char *p,
                     size_t n, lab_text *to) {
    command_parts c;
    path_parts *x = (path_parts *)lab_room(sizeof *x);
    size_t used = 0;
    int is;
    char word[20];
    memset(&c, 0, sizeof c);
    memset(x, 0, sizeof *x);
    if (way == 'c') {
        is = f->parse_command(p, n, &c);
        if (is == 1) {
            lab2_part(to, p, n, c.verb, c.nverb);
            lab2_part(to, p, n, c.arg, c.narg);
        }
    } else if (way == 'w') {
        const char *space = memchr(p, ' ', n);
        mail_copy(word, sizeof word,
                  mail_sn(space + 1, (size_t)(p + n - space) - 1));
        n = (size_t)(space - p);
        is = f->same_word(lab_exact(p, n), n, word);
        if (is == 1) lab_say(to, "same");
    } else {
        is = f->parse_path(p, n, x, &used);
        x->local[sizeof x->local - 1] = x->domain[sizeof x->domain - 1] = 0;
        if (!lab_room_ok((char *)x, sizeof *x))
            lab_say(to, "(it wrote behind the domain)");
        if (is == 1) {
            lab2_show(to, x->local, strlen(x->local));
            lab2_show(to, x->domain, strlen(x->domain));
            lab_fmt(to, " %lu octets", (unsigned long)used);
        }
    }
    if (is == LAB_TODO) lab_say(to, "not written yet");
    else if (is == 0) lab_say(to, "no");
    else if (is != 1) lab_say(to, "neither 0 nor 1");
    lab_say(to, "\n");
}

static int lab2_run(const lab_functions *f, size_t i, lab_case *c) {
    const lab2_row *r;
    mail_str rest, line;
    int last = 0;
    if (i >= LAB_COUNT(lab2_rows)) return 0;
    r = &lab2_rows[i];
    c->group = r->group;
    c->calls = r->way == 'c' ? "parse_command" : r->way == 'w' ? "same_word"
                                                : "parse_path";
    mail_copy(c->rule, sizeof c->rule, mail_s(r->rule));
    lab_say(&c->given, r->in);
    for (rest = mail_s(r->in); !last;) {
        char *p;
        last = rest.n == 0 || memchr(rest.p, '\n', rest.n) == NULL;
        line = mail_cut(&rest, '\n');
        p = lab_exact(line.p, line.n);
        lab2_one(&lab2_reference, r->way, p, line.n, &c->expected);
        if (f) lab2_one(f, r->way, p, line.n, &c->yours);
    }
    return 1;
}

static const lab lab2 = {
    .number = 2, .title = "command parser", .stars = 1, .minutes = 45,
    .chapter = 3, .rfc = "RFC 5321 2.4, 4.1.2",
    .task =
        "A command is a verb and perhaps an argument; in the argument of MAIL "
        "and RCPT\nstands a path, <user@domain>. Write three functions: "
        "`parse_command` takes the\nline apart, `same_word` compares words "
        "whatever their case, and `parse_path`\nreads a path. None of them "
        "repairs anything: what is malformed is refused.\n",
    .inside = "parse_path",
    .signs = "(verb)(argument), or (local)(domain) and the octets of the path; "
             "a line for each line",
    .carries = "parse_path reads the demo's envelopes",
    .groups = lab2_groups, .ngroups = LAB_COUNT(lab2_groups),
    .impostors = lab2_impostors, .nimpostors = LAB_COUNT(lab2_impostors),
    .reference = &lab2_reference, .run = lab2_run
};
