/* inv.c - the investigations: evidence, not code. `make pcapng STUDENT=1` makes
   a capture for one student, `make inv1` looks at the answers in inv1.md.

   Whatever is asked about is worked out here and now, from the same trace that
   the capture is written from, or by running what the student wrote. No
   answer is stored but as a salted hash, in the key that goes with a capture
   (build/inv1-NUMBER.key); labs/README.md says what that is worth.

   An answer is a line of the sheet, indented: "    3: 2 0 1". Upper case and
   the number of spaces do not count. The paragraph for the teacher is what
   stands behind the heading "For the teacher". */

#define MAIL_NO_MAIN
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#define _POSIX_C_SOURCE 200809L
#include "../mail.h"
#include "../mail.c"
#include "inv.h"

#include <ctype.h>

enum { INV_ANSWERS = 24, INV_ROUNDS = 4096, INV_FRAMES = 400 };

typedef struct inv_sheet {          /* what the student wrote              */
    char key[INV_ANSWERS][8], text[INV_ANSWERS][800];
    size_t n;
    size_t words;                   /* for the teacher                     */
} inv_sheet;

typedef struct inv {
    int number;
    const char *student, *seed;     /* SEED: the teacher's, or ""          */
    const char *from;               /* where the sheets are: labs          */
    uint64_t luck;
    inv_sheet sheet;
    int right, all;
} inv;

/* ==== the sheet ========================================================== */

/* Lower case, one space between words, none around. */
static void inv_normal(char *to, size_t cap, mail_str s) {
    size_t n = 0, i;
    s = mail_trim(s);
    for (i = 0; i < s.n && n + 1 < cap; i++) {
        int space = isspace((unsigned char)s.p[i]);
        if (space && n && to[n - 1] == ' ') continue;
        to[n++] = space ? ' ' : (char)tolower((unsigned char)s.p[i]);
    }
    to[n] = 0;
}

/* "    3: 2 0 1" */
static void inv_answer(inv_sheet *a, mail_str line) {
    mail_str rest = line, key;
    if (!mail_starts(line, "    ") || !memchr(line.p, ':', line.n)) return;
    key = mail_trim(mail_cut(&rest, ':'));
    if (key.n == 0 || key.n > 7 || a->n == INV_ANSWERS) return;
    inv_normal(a->key[a->n], sizeof a->key[0], key);
    mail_copy(a->text[a->n], sizeof a->text[0], mail_trim(rest));
    a->n++;
}

static void inv_read(inv_sheet *a, const char *name) {
    char line[1000];
    int teacher = 0;
    FILE *f = fopen(name, "r");
    memset(a, 0, sizeof *a);
    if (f == NULL) {
        fprintf(stderr, "inv: %s: %s\n", name, strerror(errno));
        exit(2);
    }
    while (fgets(line, sizeof line, f)) {
        mail_str s = mail_sn(line, strcspn(line, "\r\n"));
        if (mail_starts(s, "## ")) teacher = mail_starts(s, "## For the");
        else if (mail_starts(s, "<!--")) teacher = -1;  /* what is asked */
        else if (teacher == 0) inv_answer(a, s);
        else while (teacher > 0 && s.n)
            a->words += mail_trim(mail_cut(&s, ' ')).n != 0;
        if (strstr(line, "-->")) teacher = 1;
    }
    fclose(f);
}

static const char *inv_said(const inv *v, const char *key) {
    size_t i;
    for (i = 0; i < v->sheet.n; i++)
        if (strcmp(v->sheet.key[i], key) == 0) return v->sheet.text[i];
    return "";
}

/* A row of the verdict; what is not answered yet is not wrong. */
static void inv_row(inv *v, const char *key, int right, const char *what) {
    int said = inv_said(v, key)[0] != 0;
    v->all++;
    v->right += right;
    printf("  %-3s %-10s %s\n", key, right ? "right" : said ? "not so"
                                                            : "-", what);
}

static void inv_end(inv *v) {
    char name[300];
    FILE *f;
    printf("%40d of %d\n", v->right, v->all);
    printf("  for the teacher: %lu words%s\n", (unsigned long)v->sheet.words,
           v->sheet.words < 40 ? "; write a few sentences more" : "");
    snprintf(name, sizeof name, "%s/inv%d.result", v->from, v->number);
    f = fopen(name, "w");
    if (f == NULL) return;
    fprintf(f, "inv %d\nstudent %s\npoints %d.0 of %d.0\nwords %lu\n",
            v->number, v->student, v->right, v->all,
            (unsigned long)v->sheet.words);
    fclose(f);
    printf("  saved: %s\n", name);
}

/* 0..n-1, the student's */
static size_t inv_random(inv *v, size_t n) {
    return (size_t)(luck_next(&v->luck) % n);
}

static void inv_luck(inv *v) {
    char text[200];
    unsigned char h[32];
    mail_sha256 m;
    size_t i;
    mail_sha256_init(&m);
    snprintf(text, sizeof text, "mail.h %s/%s", v->seed, v->student);
    mail_sha256_add(&m, mail_s(text));
    mail_sha256_end(&m, h);
    for (v->luck = i = 0; i < 8; i++) v->luck = v->luck << 8 | h[i];
}

/* ==== 1: a capture ======================================================= */

typedef struct inv_world {
    world w;
    world_host *a, *b;
    trace t;
    char text[2000]; size_t n, at;  /* what Alice writes                   */
    int keep, early, dots;
    const char *nobody, *helo;      /* a recipient who is refused; her name */
    int carol;                      /* gets it, too                        */
} inv_world;

static const trace_part inv_parts[] = {
    { "Alice", "192.0.2.1" }, { "mail.a", "192.0.2.25" },
    { "mail.b", "198.51.100.25" }, { "Bob", "198.51.100.1" }
};

static void inv_watch(void *ctx, unsigned conn, char role, mail_note kind,
                      mail_str text, const char *state) {
    world_host *h = ((mail_sys *)ctx)->ctx;
    inv_world *x = (inv_world *)((char *)h->w - offsetof(inv_world, w));
    trace_note n;
    memset(&n, 0, sizeof n);
    n.ms = x->w.ms;
    n.host = h == x->a ? 1 : 2;
    n.conn = conn;
    n.role = role;
    n.kind = kind;
    mail_copy(n.state, sizeof n.state, mail_s(state));
    if (role != 'c') trace_add(&x->t, &n, text);
}

static world_host *inv_host(inv_world *x, int part, const char *users) {
    static const char *const domains[] = { "a.example", "b.example" };
    static const mail_route routes[] = { { "b.example", "mail.b:25" } };
    world_host *h = world_host_add(&x->w, inv_parts[part].name,
                                   inv_parts[part].address);
    h->opts.host = inv_parts[part].name;
    h->opts.basic = h->opts.any_auth = 1;
    h->opts.routing.domains = &domains[part - 1];
    h->opts.routing.ndomains = 1;
    h->opts.routing.routes = routes;
    h->opts.routing.nroutes = part == 1;
    h->opts.watch = inv_watch;
    h->opts.watch_ctx = &h->sys;
    if (part == 1) h->opts.relay_from = inv_parts[0].address;
    vdisk_put(&h->disk, "users", mail_s(users));
    world_boot(h);
    return h;
}

static int64_t inv_text(void *ctx, void *p, size_t n) {
    inv_world *x = ctx;
    if (n > x->n - x->at) n = x->n - x->at;
    memcpy(p, x->text + x->at, n);
    x->at += n;
    return (int64_t)n;
}

static void inv_alice(inv_world *x) {
    static sender s;
    send_rcpt to[3];
    mail_smtpc_opts o;
    memset(&s, 0, sizeof s);
    memset(&o, 0, sizeof o);
    memset(to, 0, sizeof to);
    o.helo = x->helo;
    o.basic = 1;
    sender_init(&s, o);
    mail_path_mailbox(mail_s("alice@a.example"), &s.from);
    mail_path_mailbox(mail_s("bob@b.example"), &to[0].path);
    mail_path_mailbox(mail_s(x->nobody), &to[1].path);
    mail_path_mailbox(mail_s("carol@a.example"), &to[2].path);
    s.rcpts = to;
    s.nrcpts = x->carol ? 3 : 2;
    s.read = inv_text;
    s.ctx = x;
    s.size = -1;
    world_call(&x->w, &s.a, "mail.a:25", inv_parts[0].address);
    world_run(&x->w, x->w.ms + 60000);
}

static mail_err inv_new(void *ctx, int64_t number, mail_str uid) {
    (void)ctx, (void)number, (void)uid;
    return MAIL_ERR_NOTFOUND;
}
static mail_err inv_take(void *ctx, mail_str text) {
    (void)ctx, (void)text;
    return MAIL_ERR_OK;
}
static mail_err inv_store(void *ctx, int64_t number) {
    (void)ctx, (void)number;
    return MAIL_ERR_OK;
}

static void inv_bob(inv_world *x) {
    static fetcher g;
    mail_fetcher_opts o;
    memset(&g, 0, sizeof g);
    memset(&o, 0, sizeof o);
    o.pop3.user = "bob";
    o.pop3.password = "secret";
    o.pop3.basic = o.pop3.plaintext_ok = 1;
    o.keep = x->keep;
    fetcher_init(&g, o);
    g.have = inv_new;
    g.text = inv_take;
    g.store = inv_store;
    world_call(&x->w, &g.a, "mail.b:110", inv_parts[3].address);
    world_run(&x->w, x->w.ms + 60000);
}

/* What Alice writes: some lines, and some of them begin with a dot. */
static void inv_write(inv *v, inv_world *x) {
    static const char *const subjects[] = {
        "hello", "the plan", "lunch on Friday", "that bug, again", "minutes"
    };
    static const char *const lines[] = {
        "see you at three.", "the queue is empty now.", "bring the notes.",
        "I have counted them twice.", "the lecture hall is cold.",
        "ask Carol, she knows.", "no. Not before Monday.", "that was quick."
    };
    static const char *const dotted[] = {
        ".plan is at 3.", "...and so on.", ".", ".profile is gone.", ".."
    };
    mail_buf b = mail_buf_on(x->text, sizeof x->text);
    size_t n = 3 + inv_random(v, 6), dots = 1 + inv_random(v, 3), i;
    mail_buf_fmt(&b, "From: Alice <alice@a.example>\r\n"
                 "To: Bob <bob@b.example>\r\nSubject: %s\r\n"
                 "Date: Thu, 01 Jan 2026 09:00:00 +0900\r\n"
                 "Message-ID: <%u@a.example>\r\n\r\nHi Bob,\r\n",
                 subjects[inv_random(v, 5)],
                 (unsigned)inv_random(v, 100000));
    for (i = 0; i < n + dots; i++) {
        int dot = inv_random(v, n + dots - i) < dots - (size_t)x->dots;
        const char *s = dot ? dotted[inv_random(v, 5)]
                            : lines[inv_random(v, 8)];
        x->dots += dot;
        mail_buf_fmt(&b, "%s\r\n", s);
    }
    x->n = b.n;
}

static void inv_make(inv *v, inv_world *x) {
    static const char *const nobody[] = {
        "zed@a.example", "alcie@a.example", "carl@a.example", "boss@a.example"
    };
    static const char *const helo[] = {
        "alice.a.example", "laptop.a.example", "pc17.a.example", "a.example"
    };
    memset(x, 0, sizeof *x);
    inv_luck(v);
    world_init(&x->w, v->luck >> 1);
    x->t.seed = 1;
    x->t.epoch = x->w.epoch;
    memcpy(x->t.parts, inv_parts, sizeof inv_parts);
    x->t.nparts = 4;
    x->keep = inv_random(v, 2) != 0;
    x->early = inv_random(v, 3) != 0;
    x->nobody = nobody[inv_random(v, 4)];
    x->helo = helo[inv_random(v, 4)];
    x->carol = inv_random(v, 2) != 0;
    inv_write(v, x);
    x->a = inv_host(x, 1, "alice:{PLAIN}secret\ncarol:{PLAIN}secret\n");
    x->b = inv_host(x, 2, "bob:{PLAIN}secret\n");
    if (x->early) inv_bob(x);            /* too early: nothing is there */
    inv_alice(x);
    inv_bob(x);
}

static void inv_free(inv_world *x) {
    world_free(&x->w);
    trace_free(&x->t);
}

/* --- the capture, read back: what can be counted in it ------------------- */

typedef struct inv_frame {
    unsigned number, stream, port;
    int server;                     /* said by the server                  */
    size_t at, n;                   /* its octets                          */
} inv_frame;

typedef struct inv_frames {
    inv_frame p[INV_FRAMES]; size_t n;
    char octets[65536]; size_t used;
} inv_frames;

static const char *inv_port(const char *row, unsigned *port, int *server) {
    const char *at = strstr(row, "  port ");
    const char *arrow = strstr(row, " -> ");
    if (at == NULL || arrow == NULL) exit(2);
    *port = (unsigned)strtoul(at + 7, NULL, 10);
    /* Who is called has that port: mail.a of Alice, mail.b of all others. */
    *server = *port == 110 ? strncmp(arrow + 4, "Bob", 3) == 0
            : strncmp(arrow + 4, "Alice", 5) == 0 ||
              strncmp(arrow + 4, "mail.a ", 7) == 0;
    if (*port == 25 && strstr(row, "Alice -> mail.a")) *server = 0;
    return at;
}

static void inv_capture(inv_frames *c, const steps *s) {
    char row[120];
    FILE *f = tmpfile();
    memset(c, 0, sizeof *c);
    if (f == NULL) exit(2);
    octets_show(f, s, -1, -1);
    rewind(f);
    while (fgets(row, sizeof row, f)) {
        inv_frame *p = &c->p[c->n ? c->n - 1 : 0];
        int i;
        if (strncmp(row, "frame ", 6) == 0) {
            char *end;
            if (c->n == INV_FRAMES) exit(2);
            p = &c->p[c->n++];
            p->number = (unsigned)strtoul(row + 6, &end, 10);
            p->stream = (unsigned)strtoul(end + 9, NULL, 10);
            inv_port(row, &p->port, &p->server);
            p->at = c->used;
            continue;
        }
        for (i = 0; i < OCTETS_ROW && row[6 + 3 * i] != ' '; i++) {
            c->octets[c->used++] = (char)strtoul(row + 6 + 3 * i, NULL, 16);
            p->n++;
        }
    }
    fclose(f);
}

static mail_str inv_octets(const inv_frames *c, size_t i) {
    return mail_sn(c->octets + c->p[i].at, c->p[i].n);
}

static int inv_ends(mail_str s, const char *with) {
    size_t n = strlen(with);
    return s.n >= n && memcmp(s.p + s.n - n, with, n) == 0;
}

typedef struct inv_facts {          /* what is asked                       */
    unsigned streams, smtp[2], nsmtp, pop3, mine, pass, refused;
    size_t wire[2], retr, stuffed;  /* octets: message and final dot       */
} inv_facts;

static size_t inv_stuffed(mail_str s) {
    size_t n = 0;
    while (s.n) {
        mail_str line = mail_cut(&s, '\n');
        n += line.n > 2 && line.p[0] == '.';
    }
    return n;
}

static void inv_count(const inv_frames *c, inv_facts *f) {
    size_t i;
    int data = -1, retr = 0;
    memset(f, 0, sizeof *f);
    for (i = 0; i < c->n; i++) {
        const inv_frame *p = &c->p[i];
        mail_str s = inv_octets(c, i);
        if (p->stream >= f->streams) f->streams = p->stream + 1;
        if (p->server && mail_starts(s, "354")) {
            data = (int)f->nsmtp;
            f->smtp[f->nsmtp++] = p->stream;
            continue;
        }
        if (data >= 0 && !p->server) {
            f->wire[data] += s.n;
            if (data == 0) f->stuffed += inv_stuffed(s);
        } else if (data >= 0) {
            if (data == 0) f->mine = p->number;
            data = -1;
        }
        if (p->server && mail_starts(s, "550")) f->refused = p->number;
        if (!p->server && mail_starts(s, "PASS ")) f->pass = p->number;
        if (p->server && retr && !mail_starts(s, "+OK")) f->retr += s.n;
        if (!p->server) retr = mail_starts(s, "RETR ") && s.n > 0;
        if (retr) f->pop3 = p->stream;
        if (f->retr && !retr) break;
    }
}

static const char *const inv1_what[] = {
    "connections", "the two uses of SMTP", "where Bob gets the message",
    "who is refused", "responsibility passes to mail.a",
    "a password on the wire", "dots that were added",
    "octets that Alice wrote", "octets on the wire, first use",
    "what mail.a added", "what mail.b added", "delete mode or keep mode"
};

typedef struct inv_question { const char *key; char right[80]; } inv_question;

static size_t inv1_questions(const inv_world *x, inv_question *q) {
    static inv_frames c;
    inv_facts f;
    steps s;
    trace t = x->t;
    unsigned first;
    steps_make(&s, &t, LANG_EN);
    inv_capture(&c, &s);
    inv_count(&c, &f);
    first = f.pass;
    if (x->early) {                  /* the first of the two is asked for */
        size_t i;
        for (i = 0; i < c.n; i++)
            if (!c.p[i].server && mail_starts(inv_octets(&c, i), "PASS ")) {
                first = c.p[i].number;
                break;
            }
    }
#define Q(k, ...) q[k - 1].key = #k; \
    snprintf(q[k - 1].right, sizeof q[0].right, __VA_ARGS__)
    Q(1, "%u", f.streams);
    Q(2, "%u %u", f.smtp[0], f.smtp[1]);
    Q(3, "%u", f.pop3);
    Q(4, "%s 550", x->nobody);
    Q(5, "%u", f.mine);
    Q(6, "%u", first);
    Q(7, "%lu", (unsigned long)f.stuffed);
    Q(8, "%lu", (unsigned long)x->n);
    Q(9, "%lu", (unsigned long)f.wire[0]);
    Q(10, "received %lu",
      (unsigned long)(f.wire[1] - f.wire[0]));
    Q(11, "return-path received %lu",
      (unsigned long)(f.retr - f.wire[1]));
    Q(12, "%s", x->keep ? "keep" : "delete");
#undef Q
    steps_free(&s);
    return 12;
}

/* --- the key: a salt, and a hash of each answer --------------------------- */

static void inv_hash(const char *salt, const char *key, const char *answer,
                     char out[41]) {
    char text[300], normal[200];
    unsigned char h[32];
    int i;
    inv_normal(normal, sizeof normal, mail_s(answer));
    snprintf(text, sizeof text, "%s:%s", key, normal);
    mail_pbkdf2(mail_s(text), mail_s(salt), INV_ROUNDS, h);
    for (i = 0; i < 20; i++) sprintf(out + 2 * i, "%02x", (unsigned)h[i]);
}

static const char *inv_name(const inv *v, const char *end) {
    static char name[120];
    snprintf(name, sizeof name, "build/inv1-%s.%s", v->student, end);
    return name;
}

static FILE *inv_open(const char *name) {
    FILE *f = fopen(name, "wb");
    if (f) return f;
    fprintf(stderr, "inv: %s: %s\n", name, strerror(errno));
    exit(2);
}

static int inv_make_capture(inv *v) {
    static inv_world x;
    inv_question q[INV_ANSWERS];
    char salt[40], h[41];
    size_t n, i;
    steps s;
    FILE *f;
    inv_make(v, &x);
    snprintf(salt, sizeof salt, "%08x%08x", (unsigned)inv_random(v, 1u << 31),
             (unsigned)inv_random(v, 1u << 31));
    n = inv1_questions(&x, q);
    f = inv_open(inv_name(v, "key"));
    fprintf(f, "student %s\nsalt %s\n", v->student, salt);
    for (i = 0; i < n; i++) {
        inv_hash(salt, q[i].key, q[i].right, h);
        fprintf(f, "%s %s\n", q[i].key, h);
    }
    fclose(f);
    steps_make(&s, &x.t, LANG_EN);
    f = inv_open(inv_name(v, "json"));
    view_json(f, &s);
    fclose(f);
    f = inv_open(inv_name(v, "pcapng"));
    view_pcapng(f, &s);
    fclose(f);
    steps_free(&s);
    inv_free(&x);
    printf("%s  for Wireshark or tshark\n", inv_name(v, "pcapng"));
    printf("%s    without them: ./mail octets %s\n", inv_name(v, "json"),
           inv_name(v, "json"));
    printf("questions: labs/inv1.md; then: make inv1 STUDENT=%s\n",
           v->student);
    return 0;
}

/* For the teacher: what is right for that student. */
static int inv_answers(inv *v) {
    static inv_world x;
    inv_question q[INV_ANSWERS];
    size_t n, i;
    inv_make(v, &x);
    n = inv1_questions(&x, q);
    for (i = 0; i < n; i++) printf("    %s: %s\n", q[i].key, q[i].right);
    inv_free(&x);
    return 0;
}

static int inv1(inv *v) {
    char line[200], salt[60] = "", h[41];
    FILE *f = fopen(inv_name(v, "key"), "r");
    if (f == NULL) {
        fprintf(stderr, "inv: no %s yet: make pcapng STUDENT=%s\n",
                inv_name(v, "key"), v->student);
        return 2;
    }
    printf("investigation 1  a capture        tutorial chapters 0 to 10\n");
    while (fgets(line, sizeof line, f)) {
        mail_str rest = mail_sn(line, strcspn(line, "\r\n"));
        char key[12];
        int64_t k;
        mail_copy(key, sizeof key, mail_cut(&rest, ' '));
        if (strcmp(key, "salt") == 0) mail_copy(salt, sizeof salt, rest);
        if (mail_number(mail_s(key), 12, &k) || k == 0) continue;
        inv_hash(salt, key, inv_said(v, key), h);
        inv_row(v, key, inv_said(v, key)[0] && mail_eq(mail_s(h), rest),
                inv1_what[k - 1]);
    }
    fclose(f);
    inv_end(v);
    return 0;
}

/* ==== 2: smuggling ======================================================= */

typedef struct inv_wire { char p[4096]; size_t n; } inv_wire;

/* "<CR>" and "<LF>" as the octets that they are. */
static size_t inv_plain(char *to, const char *s) {
    size_t n = 0;
    while (*s) {
        if (strncmp(s, "<CR>", 4) == 0) to[n++] = '\r', s += 4;
        else if (strncmp(s, "<LF>", 4) == 0) to[n++] = '\n', s += 4;
        else to[n++] = *s++;
    }
    return n;
}

static void inv_strict_send(const char *in, size_t n, inv_wire *w) {
    mail_dot_out d;
    size_t used;
    memset(&d, 0, sizeof d);
    used = mail_dot_write(&d, in, n, w->p, sizeof w->p - 8, &w->n);
    (void)used;
    w->n += mail_dot_close(&d, w->p + w->n, 5);
}

/* Stuffs behind CRLF, and passes on all else: as many have done. */
static void inv_lenient_send(const char *in, size_t n, inv_wire *w) {
    size_t i;
    w->n = 0;
    for (i = 0; i < n; i++) {
        int first = i == 0 || (i > 1 && in[i - 1] == '\n' &&
                               in[i - 2] == '\r');
        if (first && in[i] == '.') w->p[w->n++] = '.';
        w->p[w->n++] = in[i];
    }
    memcpy(w->p + w->n, "\r\n.\r\n", 5);
    w->n += 5;
}

static void inv_student_send(const char *in, size_t n, inv_wire *w) {
    w->n = send_text(in, n, w->p);
}

static int inv_is_end(char c) { return c == '\r' || c == '\n'; }

static size_t inv_lenient_end(const char *p, size_t n, int *bare) {
    size_t i;
    *bare = 0;
    for (i = 0; i + 1 < n; i++)
        if (p[i] == '.' && (i == 0 || inv_is_end(p[i - 1])) &&
            inv_is_end(p[i + 1]))
            return i + 2 + (p[i + 1] == '\r' && i + 2 < n &&
                            p[i + 2] == '\n');
    return 0;
}

static size_t inv_strict_end(const char *p, size_t n, int *bare) {
    mail_dot_in d;
    size_t used = 0;
    mail_str text;
    memset(&d, 0, sizeof d);
    while (used < n && !d.end) used += mail_dot_read(&d, p + used, n - used,
                                                     &text);
    *bare = d.bare;
    return d.end ? used : 0;
}

static size_t inv_student_end(const char *p, size_t n, int *bare) {
    *bare = 0;
    return find_end(p, n);
}

/* What follows the end is commands: the mails that they make, and whether one
   comes from an address with that number in it. */
static int inv_commands(const char *p, size_t n, const char *number,
                        int *mine) {
    static mail_smtpd s;
    mail_smtpd_opts o;
    mail_event ev;
    int mails = 0, named = 0;
    size_t k;
    memset(&o, 0, sizeof o);
    o.host = "mail.b";
    mail_smtpd_init(&s, o);
    mail_smtpd_feed(&s, "HELO mail.a\r\n", 13);
    do {
        k = mail_smtpd_feed(&s, p, n);
        p += k;
        n -= k;
        while (mail_smtpd_next(&s, &ev)) {
            if (ev.kind == MAIL_EV_MAIL)
                named = *number && strstr(ev.path->local, number) != NULL;
            if (ev.kind == MAIL_EV_END) mails++, *mine |= named;
            if (ev.kind == MAIL_EV_DATA) mail_smtpd_reply(&s, 354, NULL);
            else if (ev.kind == MAIL_EV_MAIL || ev.kind == MAIL_EV_RCPT ||
                     ev.kind == MAIL_EV_END) mail_smtpd_reply(&s, 250, NULL);
        }
        mail_smtpd_sent(&s, mail_smtpd_out(&s).n);
    } while (k && n);
    return mails;
}

typedef void inv_sends(const char *in, size_t n, inv_wire *w);
typedef size_t inv_finds(const char *p, size_t n, int *bare);

/* How many mails does this one become? 0: it is refused. */
static int inv_mails(inv_sends *send, inv_finds *find, const char *in,
                     const char *number, int *mine) {
    static inv_wire w;
    char text[1000];
    size_t n = inv_plain(text, in), end;
    int bare;
    *mine = 0;
    send(text, n, &w);
    end = find(w.p, w.n, &bare);
    if (end == 0 || bare) return 0;
    return 1 + inv_commands(w.p + end, w.n - end, number, mine);
}

static const char *const inv_ends_list[] = {
    "<LF>.<LF>", "<LF>.<CR><LF>", "<CR><LF>.<LF>", "<CR><LF>.<CR>",
    "<CR>.<CR>", "<CR>.<CR><LF>"
};
enum { INV_ENDS = 6 };

static void inv_body(char body[400], int k) {
    snprintf(body, 400, "Hi%sMAIL FROM:<x@evil.example><CR><LF>RCPT TO:"
             "<bob@b.example><CR><LF>DATA<CR><LF>Bye", inv_ends_list[k]);
}

static void inv2_matrix(inv *v) {
    static inv_sends *const send[] = { inv_lenient_send, inv_strict_send };
    static inv_finds *const find[] = { inv_lenient_end, inv_strict_end };
    int k, c, mine;
    for (k = 0; k < INV_ENDS; k++) {
        char key[2] = { (char)('a' + k), 0 }, right[20] = "", body[400];
        inv_body(body, k);
        for (c = 0; c < 4; c++)
            sprintf(right + 2 * c, "%d ", inv_mails(send[c / 2], find[c % 2],
                                                    body, "", &mine));
        right[7] = 0;
        inv_row(v, key, strcmp(inv_said(v, key), right) == 0,
                inv_ends_list[k]);
    }
}

/* Does the student's pair still carry ordinary mail? */
static int inv2_works(void) {
    static const char *const texts[] = {
        "Hi Bob,<CR><LF>.plan<CR><LF>..<CR><LF>", "a<CR><LF>.<CR><LF>b", "."
    };
    static inv_wire w, r;
    char text[200];
    size_t i, n;
    int bare;
    for (i = 0; i < 3; i++) {
        n = inv_plain(text, texts[i]);
        inv_student_send(text, n, &w);
        inv_strict_send(text, n, &r);
        if (w.n != r.n || memcmp(w.p, r.p, w.n) != 0 ||
            inv_student_end(r.p, r.n, &bare) != r.n) return 0;
    }
    return 1;
}

static int inv2(inv *v) {
    const char *attack = inv_said(v, "attack");
    char body[400];
    int k, mine, two = 0, sender = 0, receiver = 0, works = inv2_works();
    printf("investigation 2  smuggling        tutorial chapter 13\n");
    inv2_matrix(v);
    if (attack[0])
        two = inv_mails(inv_lenient_send, inv_lenient_end, attack, v->student,
                        &mine) == 2 && mine;
    inv_row(v, "attack", two, "one body, two mails; the second from an "
            "address with your number");
    for (k = 0; k < INV_ENDS; k++) {
        inv_body(body, k);
        sender += inv_mails(inv_student_send, inv_lenient_end, body, "",
                            &mine) == 1;
        receiver += inv_mails(inv_lenient_send, inv_student_end, body, "",
                              &mine) <= 1;
    }
    v->all += 2;
    v->right += works && sender == INV_ENDS;
    v->right += works && receiver == INV_ENDS;
    printf("  inv2.c: send_text is safe with the lenient receiver for %d of "
           "%d\n  inv2.c: find_end is safe with the lenient sender for %d of "
           "%d%s\n", sender, INV_ENDS, receiver, INV_ENDS, works ? "" :
           "\n  inv2.c: but ordinary mail does not come through any more");
    inv_end(v);
    return 0;
}

/* ==== 3: crash the queue ================================================= */

typedef struct inv_state {          /* 0 no, 1 only in memory, 2 durable */
    int text, queued, removed, told, sent;
} inv_state;

enum { FATE_FINE, FATE_DOUBLED, FATE_HALF, FATE_LOST };
static const char *const inv_fates[] = { "fine", "doubled", "half", "lost" };

static void inv_do(inv_state *s, int op) {
    if (op == WRITE) s->text = 1;
    if (op == FLUSH && s->text) s->text = 2;
    if (op == RENAME && s->text) s->queued = 1;
    if (op == FLUSHDIR && s->queued) s->queued = 2;
    if (op == FLUSHDIR && s->removed) s->removed = 2;
    if (op == REPLY) s->told = 1;
    if (op == SEND && s->text) s->sent++;
    if (op == REMOVE && s->queued) s->removed = 1;
}

/* The power goes now. Of the changes that are only in memory none may survive,
   or the first ones (of names: the rename, and not the removal), or all. The
   client sends again if it was not told. */
static int inv_after(const inv_state *s, int names, int text) {
    int there = s->queued == 2 || (s->queued && names > 0);
    int gone = s->removed == 2 || (s->removed && names > 1);
    int whole = s->text == 2 || (s->text && text);
    int copies = s->sent + (there && !gone && whole) + !s->told;
    if (there && !gone && !whole) return FATE_HALF;
    return copies == 0 ? FATE_LOST : copies > 1 ? FATE_DOUBLED : FATE_FINE;
}

static int inv_worst(const inv_state *s) {
    int names, text, worst = FATE_FINE;
    for (names = 0; names < 3; names++)
        for (text = 0; text < 2; text++)
            if (inv_after(s, names, text) > worst)
                worst = inv_after(s, names, text);
    return worst;
}

static const char *inv_op(int op) {
    static const char *const names[] = {
        "?", "WRITE", "FLUSH", "RENAME", "FLUSHDIR", "REPLY", "SEND", "REMOVE"
    };
    return names[op > 0 && op <= REMOVE ? op : 0];
}

/* "fine fine doubled ...": after each step of the order */
static void inv_order(const int *order, char *to, size_t cap) {
    mail_buf b = mail_buf_on(to, cap - 1);
    inv_state s;
    memset(&s, 0, sizeof s);
    for (; *order; order++) {
        inv_do(&s, *order);
        mail_buf_fmt(&b, "%s%s", b.n ? " " : "", inv_fates[inv_worst(&s)]);
    }
    to[b.n] = 0;
}

static const int inv_good[] = {
    WRITE, FLUSH, RENAME, FLUSHDIR, REPLY, SEND, REMOVE, FLUSHDIR, 0
};
static const int inv_bad[][9] = {
    { WRITE, REPLY, FLUSH, RENAME, FLUSHDIR, SEND, REMOVE, FLUSHDIR, 0 },
    { WRITE, RENAME, FLUSHDIR, REPLY, SEND, REMOVE, FLUSHDIR, 0 },
    { WRITE, FLUSH, RENAME, REPLY, SEND, REMOVE, FLUSHDIR, 0 },
    { WRITE, FLUSH, RENAME, FLUSHDIR, REPLY, REMOVE, FLUSHDIR, SEND, 0 },
    { WRITE, FLUSH, REPLY, RENAME, FLUSHDIR, SEND, REMOVE, FLUSHDIR, 0 }
};

static void inv3_table(inv *v, const char *key, const int *order) {
    char right[200], said[200];
    inv_order(order, right, sizeof right);
    inv_normal(said, sizeof said, mail_s(inv_said(v, key)));
    printf("  order %s:", key);
    for (; *order; order++) printf(" %s", inv_op(*order));
    printf("\n");
    inv_row(v, key, strcmp(said, right) == 0, "what a crash after each step "
            "does");
}

/* The student's own order, shown: nothing is hidden here. */
static void inv3_own(inv *v) {
    int i, lost = 0, twice = 0, told = 0, sent = 0, late = 0, fine;
    inv_state s;
    memset(&s, 0, sizeof s);
    printf("  your order (labs/inv3.c), the power fails after\n");
    for (i = 0; my_order[i] && i < 20; i++) {
        int fate;
        inv_do(&s, my_order[i]);
        fate = inv_worst(&s);
        printf("    %2d %-9s %s\n", i + 1, inv_op(my_order[i]),
               inv_fates[fate]);
        lost += fate == FATE_LOST || fate == FATE_HALF;
        twice += fate == FATE_DOUBLED;
        late |= my_order[i] == SEND && !s.told;
    }
    told = s.told, sent = s.sent;
    fine = lost == 0 && told && sent == 1 && !late && s.removed == 2;
    v->all += 2;
    v->right += fine + (fine && twice <= 4);
    printf("  %s; twice after %d steps%s\n",
           !told ? "nobody ever hears 250" :
           sent != 1 ? "it is not sent once" :
           late ? "the client waits for the next server" :
           s.removed != 2 ? "it is in the queue for ever" :
           lost ? "mail is lost" : "no mail is lost", twice,
           fine && twice > 4 ? ": there is a better order" : "");
}

static int inv3(inv *v) {
    inv_luck(v);
    printf("investigation 3  crash the queue  tutorial chapter 8\n");
    inv3_table(v, "a", inv_good);
    inv3_table(v, "b", inv_bad[inv_random(v, 5)]);
    inv3_own(v);
    inv_end(v);
    return 0;
}

/* ==== 4: real servers ==================================================== */

typedef struct inv_seen {           /* in the trace of mail serve */
    int ehlo, took, number, dotted, retr, got;    /* level A */
    int bird_sent, bird_auth, bird_got;           /* level B */
    int from_postfix, to_postfix, to_took;        /* level C */
} inv_seen;

static void inv_look(inv_seen *x, const trace_note *n, const char *number) {
    mail_str s = mail_sn(n->text, n->n);
    const char *t = n->text;
    int said = n->kind == MAIL_NOTE_COMMAND, text = n->kind == MAIL_NOTE_TEXT;
    int reply = n->kind == MAIL_NOTE_REPLY;
    if (n->role == 's') {
        x->ehlo |= said && mail_starts(s, "EHLO");
        x->bird_auth |= said && mail_starts(s, "AUTH");
        x->took |= reply && mail_starts(s, "250 2.0.0");
        x->number |= text && *number && strstr(t, number) != NULL;
        x->dotted |= text && strstr(t, "\r\n..") != NULL;
        x->bird_sent |= text && strstr(t, "Thunderbird") != NULL;
        x->from_postfix |= text && strstr(t, "(Postfix") != NULL;
    }
    if (n->role == 'p') {
        x->retr |= said && mail_starts(s, "RETR");
        x->got |= text && *number && strstr(t, number) != NULL;
        x->bird_got |= text && strstr(t, "Thunderbird") != NULL;
    }
    if (n->role == 'c') {
        x->to_postfix |= reply && strstr(t, "Postfix") != NULL;
        x->to_took |= x->to_postfix && reply && mail_starts(s, "250 2.0.0");
    }
}

static void inv4_row(inv *v, int right, const char *what) {
    v->all++;
    v->right += right != 0;
    printf("  %-9s %s\n", right ? "seen" : "-", what);
}

static int inv4(inv *v) {
    static trace t;
    inv_seen x;
    const char *why, *name = "build/inv4.trace";
    FILE *f = fopen(name, "r");
    size_t i;
    int line;
    memset(&x, 0, sizeof x);
    printf("investigation 4  real servers     tutorial chapter 14\n");
    line = f ? trace_read(&t, f, &why) : 0;
    if (f) fclose(f);
    else printf("  no %s yet: mail serve --trace %s (see labs/inv4.md)\n",
                name, name);
    if (line) printf("  %s, line %d: %s\n", name, line, why);
    for (i = 0; i < t.n; i++) inv_look(&x, &t.p[i], v->student);
    inv4_row(v, x.ehlo && x.took, "A: a client said EHLO, and we took mail");
    inv4_row(v, x.number, "A: your number stands in it");
    inv4_row(v, x.dotted, "A: a line of it begins with a dot");
    inv4_row(v, x.retr && x.got, "A: it was fetched with RETR");
    inv4_row(v, x.bird_sent, "B: a mail was written with Thunderbird");
    inv4_row(v, x.bird_sent && x.bird_auth, "B: who sent it had logged in");
    inv4_row(v, x.bird_got, "B: and it was fetched");
    inv4_row(v, x.from_postfix, "C: a mail came through Postfix");
    inv4_row(v, x.to_postfix, "C: our client MTA called a Postfix");
    inv4_row(v, x.to_took, "C: and that one took the mail");
    inv_end(v);
    trace_free(&t);
    return 0;
}

/* ==== the program ======================================================== */

int main(int argc, char **argv) {
    static inv v;
    char sheet[300];
    const char *s = getenv("STUDENT");
    v.student = s && *s ? s : "1";
    s = getenv("SEED");
    v.seed = s ? s : "";
    if (strlen(v.student) > 40 ||
        strspn(v.student, "0123456789abcdefghijklmnopqrstuvwxyz"
               "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != strlen(v.student)) {
        fprintf(stderr, "inv: STUDENT= is letters, digits, - and _\n");
        return 2;
    }
    if (argc == 2 && strcmp(argv[1], "pcapng") == 0)
        return inv_make_capture(&v);
    if (argc == 2 && strcmp(argv[1], "answers") == 0) return inv_answers(&v);
    v.number = argc == 2 ? atoi(argv[1]) : 0;
    if (v.number < 1 || v.number > 4) {
        fprintf(stderr, "inv: make pcapng STUDENT=1, make inv1 ... inv4\n");
        return 2;
    }
    s = getenv("FROM");
    v.from = s && *s ? s : "labs";
    snprintf(sheet, sizeof sheet, "%s/inv%d.md", v.from, v.number);
    s = getenv("FILE");
    inv_read(&v.sheet, s && *s ? s : sheet);
    return v.number == 1 ? inv1(&v) : v.number == 2 ? inv2(&v) :
           v.number == 3 ? inv3(&v) : inv4(&v);
}
