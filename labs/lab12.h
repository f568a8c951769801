/* lab12.h - lab 12, encoded-words: the cases. */

/* ---- the student's function inside mail.h -------------------------------- */

static size_t lab12_word(mail_str s, mail_str *charset, mail_buf *b) {
    static char names[2][48];
    static int at;
    size_t made = 0, used;
    char *out, *name = names[at ^= 1];
    if (!LAB_INSIDE(decode_word)) return mail__decode_word(s, charset, b);
    if (s.n > b->cap - b->n) s.n = b->cap - b->n;
    out = lab_room(s.n);
    used = lab_inside->decode_word(s.p, s.n, name, out, &made);
    name[39] = 0;
    if (used > s.n || made > s.n) used = 0;
    if (used) mail_buf_add(b, mail_sn(out, made));
    *charset = mail_s(name);
    return used;
}

/* ---- mail.h's function in the student's form ----------------------------- */

static size_t lab12_decode(const char *s, size_t n, char *charset, char *out,
                           size_t *made) {
    mail_buf b = mail_buf_on(out, n);
    mail_str name = mail_sn("", 0);
    size_t used = mail__decode_word(mail_sn(s, n), &name, &b);
    charset[0] = 0;
    *made = used ? b.n : 0;
    if (used) mail_copy(charset, 40, name);
    return used;
}

static const lab_functions lab12_reference = { .decode_word = lab12_decode };

/* ---- impostors --------------------------------------------------------- */

/* M1: "_" stays. */
static size_t lab12_m1(const char *s, size_t n, char *charset, char *out,
                       size_t *made) {
    size_t used = lab12_decode(s, n, charset, out, made), i, k, at = 0;
    for (i = 2, k = 0; used && k < 2; i++) k += s[i] == '?';
    if (used && (s[i - 2] | 32) == 'q')
        for (; i + 2 < used; i++, at++) {
            if (s[i] == '_') out[at] = '_';
            if (s[i] == '=') i += 2;
        }
    return used;
}

/* M2: the encoding in capitals only. */
static size_t lab12_m2(const char *s, size_t n, char *charset, char *out,
                       size_t *made) {
    size_t used = lab12_decode(s, n, charset, out, made), i, k;
    for (i = 2, k = 0; used && k < 1; i++) k += s[i] == '?';
    return used && s[i] >= 'a' ? 0 : used;
}

/* M3: one octet of a character that is not complete is dropped. */
static size_t lab12_m3(const char *s, size_t n, char *charset, char *out,
                       size_t *made) {
    size_t used = lab12_decode(s, n, charset, out, made);
    while (used && *made && !mail_utf8_ok(mail_sn(out, *made))) --*made;
    return used;
}

/* M4: the language stays at the charset. */
static size_t lab12_m4(const char *s, size_t n, char *charset, char *out,
                       size_t *made) {
    size_t used = lab12_decode(s, n, charset, out, made);
    mail_str rest = mail_sn(s + 2, n > 2 ? n - 2 : 0);
    if (used) mail_copy(charset, 40, mail_cut(&rest, '?'));
    return used;
}

/* M5: what is malformed is decoded as far as it goes: here, to nothing. */
static size_t lab12_m5(const char *s, size_t n, char *charset, char *out,
                       size_t *made) {
    size_t used = lab12_decode(s, n, charset, out, made), i;
    if (used || n < 4 || s[0] != '=' || s[1] != '?') return used;
    for (i = 4; i < n; i++)
        if (s[i] == '=' && s[i - 1] == '?') {
            mail_copy(charset, 40, mail_s("UTF-8"));
            return i + 1;
        }
    return 0;
}

/* X1: the end may stand behind the last octet. */
static size_t lab12_x1(const char *s, size_t n, char *charset, char *out,
                       size_t *made) {
    size_t used = lab12_decode(s, n, charset, out, made);
    return !used && n > 8 && s[n - 1] == '?' && s[n] != '=' ? n : used;
}

static const lab_impostor lab12_impostors[] = {
    { "M1", "leaves \"_\" as it is", { .decode_word = lab12_m1 } },
    { "M2", "knows B and Q, but not b and q", { .decode_word = lab12_m2 } },
    { "M3", "drops octets that are no whole character",
      { .decode_word = lab12_m3 } },
    { "M4", "takes a language for a part of the charset",
      { .decode_word = lab12_m4 } },
    { "M5", "swallows words that are malformed", { .decode_word = lab12_m5 } },
    { "X1", "looks behind the last octet", { .decode_word = lab12_x1 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab12_groups[] = {
    { "ASCII and UTF-8", "one word, by B and by Q: its charset, its octets, "
      "where it ends", 40 },
    { "folded, split inside", "whole subjects: several words, folded, with a "
      "character cut in two between them", 30 },
    { "malformed", "shown as they are, and the good ones beside them decoded",
      20 }
};

/* way 'w': one word, and what becomes of it; 'm': many, one a line; 'c': one,
   and before it all its begins, from none of its octets on, which are no words;
   's': a subject, as a person reads it, put together by mail.h, with the
   function inside. */
typedef struct lab12_row {
    int group;
    char way;
    const char *in, *out, *rule;
} lab12_row;

static const lab12_row lab12_rows[] = {
    { 0, 'w', "=?UTF-8?B?7JWI64WV?= Bob",
      "20 octets, UTF-8: \xEC\x95\x88\xEB\x85\x95",
      "B is base64; what follows the word is not yours" },
    { 0, 'w', "=?us-ascii?Q?Hi_Bob?=", "21 octets, us-ascii: Hi Bob",
      "in Q a space is written _" },
    { 0, 'w', "=?UTF-8?Q?a=C3=B1o?=.", "20 octets, UTF-8: a\xC3\xB1o",
      "in Q =C3 is the octet C3" },
    { 0, 'w', "=?UTF-8?Q?a=c3=af=30!~?=", "24 octets, UTF-8: a\xC3\xAF" "0!~",
      "hex digits may be small; 33 to 126 may stand in a word" },
    { 0, 'w', "=?UTF-8?B?AwFABAEBQRAB?=",
      "24 octets, UTF-8: \003\001@\004\001\001A\020\001",
      "in base64 A is 0, and as good as any other letter" },
    { 0, 'w', "=?utf-8?b?aGVsbG8=?=", "20 octets, utf-8: hello",
      "b is B; base64 may end with =" },
    { 0, 'w', "=?UTF-8*ko?q?=ED=95=9C?=\r\n",
      "24 octets, UTF-8: \xED\x95\x9C",
      "behind * is a language (RFC 2231 5), no part of the charset" },
    { 0, 'w', "=?ISO-8859-1?Q?=5F=3D=3F_?=", "27 octets, ISO-8859-1: _=? ",
      "_ and = and ? themselves are written in hex" },
    { 0, 'w', "=?x-a-charset-whose-name-has-42-octets-x-x-x?Q?a?=",
      "50 octets, x-a-charset-whose-name-has-42-octets-x-: a",
      "of a long name 39 octets are kept: the room is 40" },
    { 0, 'w', "=?UTF-8?Q?" "?==?UTF-8?Q?b?=", "12 octets, UTF-8: ",
      "a word may be empty; it ends at its first ?=" },
    { 2, 'c', "=?UTF-8?Q?a=C3=B1?=", "19 octets, UTF-8: a\xC3\xB1",
      "cut off anywhere it is no word: look at no octet behind the last" },
    { 2, 'm', "x?UTF-8?Q?a?=\n=xUTF-8?Q?a?=\n=?UT F-8?Q?a?=\n=?U\177?Q?a?=\n"
      "=?x~!?Q?a=09?=", "0: no encoded-word; 0: no encoded-word; 0: no encoded-"
      "word; 0: no encoded-word; 14 octets, x~!: a\t",
      "it begins with =?, and 33 to 126 may stand in a charset" },
    { 2, 'c', "=?u*ko?B?YQ==?=", "15 octets, u: a",
      "cut off anywhere it is no word: look at no octet behind the last" },
    { 1, 's', "=?UTF-8?B?7JWI64WV?= =?UTF-8?B?7ZWY7IS47JqU?=",
      "\xEC\x95\x88\xEB\x85\x95\xED\x95\x98\xEC\x84\xB8\xEC\x9A\x94",
      "the space between two words is no space" },
    { 1, 's', "Re: =?UTF-8?Q?=EC=95=88?=\r\n =?UTF-8?Q?=EB=85=95_Bob?= !",
      "Re: \xEC\x95\x88\xEB\x85\x95 Bob !",
      "and a fold between them is none, either" },
    { 1, 's', "=?UTF-8?B?7JWI6w==?=\r\n =?UTF-8?B?hZU=?=",
      "\xEC\x95\x88\xEB\x85\x95",
      "a character may begin in one word and end in the next: do not look at "
      "what the octets mean" },
    { 1, 's', "=?UTF-8?Q?=EC?= =?utf-8?Q?=95=88?= ok",
      "\xEC\x95\x88 ok", "the same by Q, and the charset in small letters" },
    { 1, 's', "=?UTF-8*ko?B?7ZWc?= =?UTF-8?Q?a_b?=", "\xED\x95\x9C" "a b",
      "a language at one of them makes no other charset of it" },
    { 1, 's', "(=?ISO-8859-1?Q?a=F1o?=) =?windows-1252?b?gDU=?=",
      "(a\xC3\xB1o) \xE2\x82\xAC" "5", "each word has its own charset" },
    { 2, 's', "=?UTF-8?B?****?= =?UTF-8?Q?ok?=", "=?UTF-8?B?****?= ok",
      "base64 that is none" },
    { 2, 's', "=?UTF-8?B?*QQQ?= =?UTF-8?B?QQ*Q?= =?UTF-8?B?QQQ*?= =?UTF-8?Q?ok"
      "?=", "=?UTF-8?B?*QQQ?= =?UTF-8?B?QQ*Q?= =?UTF-8?B?QQQ*?= ok",
      "one octet is enough to make it none" },
    { 2, 's', "=?UTF-8?B?QUJD*?= =?UTF-8?B?QUJDQ?= =?UTF-8?Q?ok?=",
      "=?UTF-8?B?QUJD*?= =?UTF-8?B?QUJDQ?= ok",
      "four letters are three octets; one letter is nothing" },
    { 2, 's', "=?UTF-8?Q?a=C?= =?UTF-8?Q?=zz?= =?UTF-8?Q?ok?=",
      "=?UTF-8?Q?a=C?= =?UTF-8?Q?=zz?= ok", "= and one hex digit, or none" },
    { 2, 's', "=?UT F-8?Q?a?= =?UTF-8?Q?ok?=", "=?UT F-8?Q?a?= ok",
      "no space may stand in the charset" },
    { 2, 's', "=?UTF-8?Q?=G1?= =?UTF-8?Q?ok?=", "=?UTF-8?Q?=G1?= ok",
      "= without two hex digits" },
    { 2, 's', "=?UTF-8?X?abc?= =?UTF-8?Q?ok?=", "=?UTF-8?X?abc?= ok",
      "an encoding that nobody knows" },
    { 2, 's', "=?UTF-8?Q?a b?= =?UTF-8?Q?ok?=", "=?UTF-8?Q?a b?= ok",
      "no space may stand in a word" },
    { 2, 's', "=?UTF-8?Q?ok?= =?UTF-8?Q?abc", "ok =?UTF-8?Q?abc",
      "it has no end" },
    { 2, 's', "=?UTF-8?Q?a=?= =?UTF-8?Q?ok?=", "=?UTF-8?Q?a=?= ok",
      "= at the very end of the encoded text" }
};

/* One word: how many octets, the charset, and what they are. */
static void lab12_one(const lab_functions *f, const char *p, size_t n,
                      lab_case *c) {
    char *in = lab_exact(p, n), *out = lab_room(n), *charset = lab_room(40);
    size_t made = 0, used = f->decode_word(in, n, charset, out, &made);
    charset[39] = 0;
    if (used == 0) lab_say(&c->yours, "0: no encoded-word");
    else if (used > n || made > n || !lab_room_ok(out, n) ||
             !lab_room_ok(charset, 40))
        snprintf(c->note, sizeof c->note, "it says that it took %lu octets, "
                 "made %lu, or wrote where there is no room",
                 (unsigned long)used, (unsigned long)made);
    else {
        lab_fmt(&c->yours, "%lu octets, %s: ", (unsigned long)used, charset);
        lab_put(&c->yours, out, made);
    }
}

/* Its begins are no words. */
static void lab12_begins(const lab_functions *f, const char *in, size_t n,
                         lab_case *c) {
    size_t k, made;
    char *charset = lab_room(40);
    for (k = 0; k < n; k++)
        if (f->decode_word(lab_exact(in, k), k, charset, lab_room(k), &made))
            lab_fmt(&c->yours, "a word in the first %d of them; ", (int)k);
}

static void lab12_ask(const lab_functions *f, const lab12_row *r,
                      lab_case *c) {
    static char text[1200];
    mail_str rest = mail_s(r->in);
    if (r->way == 's') {
        mail_buf b = mail_buf_on(text, sizeof text);
        lab_inside = f;
        mail_text_decode(&b, rest, NULL, NULL);
        lab_inside = NULL;
        lab_put(&c->yours, b.p, b.n);
        return;
    }
    if (r->way == 'c') lab12_begins(f, rest.p, rest.n, c);
    for (; rest.n; lab_say(&c->yours, rest.n ? "; " : "")) {
        mail_str word = r->way == 'm' ? mail_cut(&rest, '\n') : rest;
        if (r->way != 'm') rest.n = 0;
        lab12_one(f, word.p, word.n, c);
    }
}

enum { LAB12_ROWS = sizeof lab12_rows / sizeof lab12_rows[0],
       LAB12_DRAWN = 12 };

/* Octets drawn by chance, encoded by B or Q. */
static void lab12_drawn(const lab_functions *f, size_t i, lab_case *c) {
    static const char hex[] = "0123456789ABCDEF";
    static char in[200], out[200];
    char octets[24];
    lab12_row r;
    size_t n = 1 + lab_random(20), k;
    mail_buf b = mail_buf_on(in, sizeof in - 1);
    for (k = 0; k < n; k++)
        octets[k] = (char)(i % 3 ? 33 + lab_random(94) : 128 +
                           lab_random(128));
    mail_buf_fmt(&b, "=?UTF-8?%c?", "BbQq"[i % 4]);
    if (i % 4 < 2) mail_b64_encode(&b, mail_sn(octets, n));
    else for (k = 0; k < n; k++) {
        unsigned char o = (unsigned char)octets[k];
        if (isalnum(o)) mail_buf_fmt(&b, "%c", o);
        else mail_buf_fmt(&b, "=%c%c", hex[o >> 4], hex[o & 15]);
    }
    mail_buf_fmt(&b, "?=");
    in[b.n] = 0;
    snprintf(out, sizeof out, "%lu octets, UTF-8: ", (unsigned long)b.n);
    mail_buf_fmt(&b, "?=");
    in[b.n] = 0;
    r.group = 0;
    r.way = 'w';
    r.in = in;
    snprintf(c->rule, sizeof c->rule, "drawn by chance, by %c",
             "BbQq"[i % 4]);
    lab_say(&c->given, in);
    lab_say(&c->expected, out);
    lab_put(&c->expected, octets, n);
    c->group = 0;
    if (f) lab12_ask(f, &r, c);
}

static int lab12_run(const lab_functions *f, size_t i, lab_case *c) {
    const lab12_row *r = &lab12_rows[i];
    if (i >= LAB12_ROWS + LAB12_DRAWN) return 0;
    if (i >= LAB12_ROWS) {
        lab12_drawn(f, i - LAB12_ROWS, c);
        return 1;
    }
    c->group = r->group;
    snprintf(c->rule, sizeof c->rule, "%s", r->rule);
    lab_say(&c->given, r->in);
    lab_say(&c->expected, r->out);
    if (f) lab12_ask(f, r, c);
    return 1;
}

static const lab lab12 = {
    .number = 12, .title = "Korean subject", .stars = 2, .minutes = 60,
    .chapter = 12, .rfc = "RFC 2047 2, 4",
    .task =
        "A header is ASCII. Other characters travel in encoded-words, such as\n"
        "`=?UTF-8?B?7JWI64WV?=` or `=?UTF-8?Q?Se=C3=B1or_Bob?=`: a charset, an "
        "encoding,\nthe encoded octets. Decode one (`decode_word`). mail.h "
        "puts words together, makes\ncharacters of octets, and shows as it "
        "is what you say is no encoded-word.\n",
    .inside = "decode_word",
    .carries = "Bob reads the subject of a Korean letter by it",
    .play = "korean",
    .groups = lab12_groups, .ngroups = LAB_COUNT(lab12_groups),
    .impostors = lab12_impostors, .nimpostors = LAB_COUNT(lab12_impostors),
    .reference = &lab12_reference, .run = lab12_run
};
