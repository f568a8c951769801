/* mail.h - v0.1.0 - Internet mail in one file: SMTP, POP3, and the mail
   server between them. Public domain or MIT-0, your choice: see the end.

   Do this:
       #define MAIL_IMPLEMENTATION
       #include "mail.h"
   in one C file, and include mail.h without the define in others.

   The smallest complete program: a server MTA that reads a dialogue from
   memory and prints its replies. No sockets: bytes in, events out, decisions
   in, bytes out. (`make test` compiles and runs it.)

   #define MAIL_IMPLEMENTATION
   #include "mail.h"
   #include <stdio.h>

   int main(void) {
       const char *in = "EHLO me.example\r\nMAIL FROM:<a@b.example>\r\n"
                        "QUIT\r\n";
       size_t n = strlen(in), k;
       mail_smtpd s;
       mail_event ev;
       mail_str out;
       mail_smtpd_init(&s, (mail_smtpd_opts){ .host = "mx.example" });
       do {
           k = mail_smtpd_feed(&s, in, n);
           in += k, n -= k;
           while (mail_smtpd_next(&s, &ev))
               if (ev.kind == MAIL_EV_MAIL) mail_smtpd_reply(&s, 250, NULL);
           out = mail_smtpd_out(&s);
           printf("%.*s", MAIL_ARG(out));
           mail_smtpd_sent(&s, out.n);
       } while (k);
       return 0;
   }

   The journey of a message, and who is who

     sender       sender's mail server      receiver's mail server   receiver
     client MTA --SMTP--> server MTA
       [SMTPC]            [SMTPD]
                          queue [QUEUE]
                          client MTA --SMTP--> server MTA
                          [SMTPC] [ROUTE]      [SMTPD]
                                               mailbox [BOX]
                                               server MAA <--POP3-- client MAA
                                               [POP3D]                 [POP3C]

   SMTP twice: push. POP3 once: pull, in delete mode or keep mode.

   Sections, bottom-up; each uses only those above it. The declarations, the
   implementation and the tutorial have the same order. Search for "[DOT]".

   CONFIG   switches                                                    ch.14
   ERROR    one list of results                                         ch.3
   STR      slices and bounded buffers                                  ch.2
   TRACE    what a watcher is told                                      ch.0
   B64      base64                                RFC 4648              ch.12
   QP       the three transfer encodings          RFC 2045 6            ch.12
   HASH     MD5, SHA-256, HMAC, PBKDF2            RFC 1321 6234 2104    ch.10
   SASL     names and passwords: SCRAM, PLAIN ... RFC 5802 4616 1939    ch.10
   DATE     dates of messages                     RFC 5322 3.3          ch.9
   ADDR     reverse-path, forward-path            RFC 5321 4.1.2  lab 2 ch.5
   PARAM    what MAIL and RCPT say beside them    RFC 3461, 6531        ch.9
   MSG      header fields                         RFC 5322, 2047 lab 12 ch.12
   MIME     composing letters of many parts       RFC 2045 2046 2231    ch.12
   LINE     a line is not a packet                RFC 5321 2.3.8  lab 1 ch.2
   DOT      dot-stuffing                          RFC 5321 4.5.2  lab 5 ch.6
   REPLY    replies of one line or several        RFC 5321 4.2    lab 3 ch.3
   SMTPD    the server MTA                        RFC 5321 4      lab 4 ch.4
   SMTPC    the client MTA                        RFC 5321 3      lab 6 ch.7
   POP3D    the server MAA                        RFC 1939       lab 10 ch.10
   POP3C    the client MAA                        RFC 1939       lab 11 ch.11
   BOX      mailbox files                         Maildir         lab 8 ch.8
   QUEUE    the file forms of the queue                           lab 9 ch.9
   ROUTE    local, next hop, or refused           RFC 5321 3.6    lab 7 ch.9
   DSN      the report that comes back            RFC 3464        lab 9 ch.9
   SERVER   a mail server, over its machine                       lab 8 ch.8
            in parts: TIMER PEERS USERS LOGIN ALIASES ITEM JOURNAL
            CHECKPOINT ROUND LOOKUP HOP RELAY RECEIVE HAND OUT CONN ASK
            RECOVER LIFE
   CALLS    mail_send, mail_fetch, mail_serve_...: in mail.c            ch.14

   House rules

   Names     mail_noun_verb and MAIL_NAME are yours to use. mail__name is
             private; so are struct members marked so.
   Memory    Nothing allocates but SERVER, through mail_sys. A pointer you
             pass is borrowed for the call, one in options for the session's
             life, unless its comment says otherwise.
   Options   one struct; zero is the documented default.
   Errors    one list. A session keeps its first error; later calls do not
             change it. A result of a call is for you, MISUSE too; what a
             peer did wrong never is an assertion.
   Threads   no globals, no locks: one session, one thread at a time.
   Limits    every buffer is bounded; full output means less input is taken.
   Moving    a session is a plain struct and may be moved at any time. A slice
             that you were given before stays where it was: use it first.
   Text      message text has CRLF line ends wherever it is handed out.

   Switches (define them before every include of mail.h)

   MAIL_IMPLEMENTATION   in one file: the code
   MAIL_STATIC           all functions static, for one file that holds all
   MAIL_LINE_SIZE        longest command or reply line: 2048
   MAIL_OUT_SIZE         output a session holds: 2048
   MAIL_DOT_READ ...     your function in place of mail_dot_read: a seam, one
                         for each lab (search for "seam")

   It needs C99 and libc (memory, string, vsnprintf, qsort). No POSIX, no
   clock, no errno, no locale, no global that can be written.

   What this is not, on purpose: IMAP, spam filtering, DKIM, BINARYMIME and
   REQUIRETLS: they would bury what the file is for. The records of TLS are no
   part of it: the sessions say when TLS begins, and their owner makes it.

   Security: what is refused

   End of data is CRLF.CRLF and nothing else; a bare CR or LF is refused or
   made CRLF, and never passed on (SMTP smuggling). Every string that goes on
   a wire is checked for control octets (command and header injection). A
   client relays only after a login. Numbers have one reader, which knows its
   limit. A peer costs a bounded amount of memory; silence ends in a timeout.
   Passwords are kept as SCRAM keys, compared in constant time, and shown in
   no trace; of one that was right a proof stays in memory. A client shows one
   only inside TLS, or where it is told that it may. A login does not tell, by
   words or by time, who is a user; who guesses is slowed down and locked out,
   by address. What held a secret is wiped before it is given back. No file
   has a name that a peer chose.
   What a peer says goes to a log or a terminal through mail_printable. mail.c
   makes files that nobody else can read, and gives root up before it opens
   the first of them.

   What was said before TLS is forgotten, what came behind STARTTLS in clear
   is dropped or ends a client, and who must have TLS says nothing without it;
   the records are the owner's (mail.c: OpenSSL, where it is found). A server
   offers no plaintext login outside TLS but to loopback, unless told to.

   Not promised: secrecy between servers: a relay takes TLS where it is
   offered, and looks at no certificate. Secrecy on the disk, or from who can
   be the server's user: mail is plain text there. That a sender is who it
   says (no SPF, DKIM, DMARC), or that a mail is harmless. That nobody learns
   who has a mailbox: RCPT says so, for mail to nobody is refused where its
   sender still sees it. An answer for everybody in a flood from many
   addresses: who is in goes on, who is not is told to come again.

   Words

   agent        a program that moves mail (MTA) or hands it out (MAA)
   client       the agent that connects; the server is the one that waits
   command      a line from client to server; response or reply: from server
   envelope     who sends and who gets it, as MAIL and RCPT said
   forward-path who gets it; reverse-path: who is told when it fails
   LMTP         SMTP to a server that has mailboxes and no queue: a reply for
                each recipient (RFC 2033)
   look-up      a question to the name system (DNS), and its answer
   maildrop     a mailbox, as POP3 sees it
   MX           mail exchanger: the record that names a domain's mail hosts,
                each with a preference; the lowest is tried first
   next hop     the mail server that is tried next
   nonce        a number used once: random, new in each login
   proof        of knowing a password, without showing it (SCRAM); salt and
                rounds make a stolen one, or its keys, slow to guess from
   report       the DSN: what comes back when mail cannot be delivered
   transaction  MAIL, RCPT, DATA: one message; a connection may carry several
   UID          a message's name in POP3, which never changes
   wire         what octets go over, whatever it is made of

   History
   0.1.0  the pipeline: four sessions, the server, real and virtual machine */

#ifndef MAIL_H
#define MAIL_H

/* ======================================================================
   [CONFIG] switches                                                ch.14
   Define them before including mail.h, in every file that includes it.
   ====================================================================== */

#include <stddef.h>
#include <stdint.h>

#define MAIL_VERSION "0.1.0"

/* Longest command or reply line kept, with its CRLF, in octets. RFC 5321
   4.5.3.1.4 asks for 512 and more for extensions. A longer line is read to
   its end and refused; it never grows anything. At least 600. For a response
   to a challenge RFC 4954 4 asks for 12,288: that is for mechanisms that carry
   tickets. Those here need less than 1,100, and every session would have to
   hold the rest. */
#ifndef MAIL_LINE_SIZE
#define MAIL_LINE_SIZE 2048
#endif

/* Octets a session can have waiting for the peer. At least 1024. */
#ifndef MAIL_OUT_SIZE
#define MAIL_OUT_SIZE 2048
#endif

/* MAIL_STATIC: make every function static, for one file that holds all. */
#ifdef MAIL_STATIC
#if defined(__GNUC__)
#define MAIL_DEF static __attribute__((unused))
#else
#define MAIL_DEF static
#endif
#else
#define MAIL_DEF extern
#endif

#if defined(__GNUC__)
#define MAIL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define MAIL_PRINTF(f, a)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ======================================================================
   [ERROR] one list of results                                       ch.3
   "You called it wrongly" (MISUSE) is not "the peer broke the protocol"
   (PROTOCOL); need-more, too-long and bad-syntax are three results.
   ====================================================================== */

#define MAIL_ERRORS(X) \
    X(OK,       "done") \
    X(MORE,     "not yet: give more input, or take output, and try again") \
    X(MISUSE,   "the caller used this function out of order or wrongly") \
    X(SYNTAX,   "not well-formed") \
    X(TOOLONG,  "longer than the limit") \
    X(PROTOCOL, "the peer broke the protocol") \
    X(TEMPFAIL, "the peer refused for now (4yz): try again later") \
    X(REFUSED,  "the peer refused for good (5yz or -ERR)") \
    X(DENIED,   "wrong user name or password") \
    X(UNABLE,   "the peer lacks an extension that this mail needs") \
    X(TLS,      "TLS could not be made with that peer") \
    X(TIMEOUT,  "the peer was silent for too long") \
    X(CLOSED,   "the connection ended too early") \
    X(BUSY,     "in use by somebody else") \
    X(NOTFOUND, "no such file, user or host") \
    X(EXISTS,   "it exists already") \
    X(NOSPACE,  "no space left on the disk") \
    X(NOMEM,    "out of memory") \
    X(SEALED,   "sealed to loopback addresses: see --unsealed, --resolver") \
    X(IO,       "the disk or the network failed")

typedef enum mail_err {
#define MAIL__X(name, text) MAIL_ERR_##name,
    MAIL_ERRORS(MAIL__X)
#undef MAIL__X
    MAIL_ERR_COUNT
} mail_err;

/* "TOOLONG" and its sentence. Never NULL. */
MAIL_DEF const char *mail_err_name(mail_err e);
MAIL_DEF const char *mail_err_text(mail_err e);

/* ======================================================================
   [STR] slices and bounded buffers                                  ch.2
   A slice borrows octets and may hold NUL; a buffer writes into memory
   that you own and says when it was too small. Nothing here allocates.
   ====================================================================== */

typedef struct mail_str { const char *p; size_t n; } mail_str;

/* For printf: printf("%.*s", MAIL_ARG(s)). */
#define MAIL_ARG(s) (int)(s).n, (s).n ? (s).p : ""

MAIL_DEF mail_str mail_s(const char *z);          /* borrowed; NULL is "" */
MAIL_DEF mail_str mail_sn(const char *p, size_t n);
MAIL_DEF int mail_eq(mail_str a, mail_str b);     /* same octets? */
MAIL_DEF int mail_ieq(mail_str a, mail_str b);    /* but for ASCII case? */
MAIL_DEF int mail_starts(mail_str s, const char *prefix); /* case-blind */
MAIL_DEF mail_str mail_trim(mail_str s);          /* no SP, HT at the ends */

/* Cuts the part before the first c off *rest; all of it if c is absent. */
MAIL_DEF mail_str mail_cut(mail_str *rest, char c);

/* Decimal digits and nothing else, 0..max: the only reader of numbers.
   SYNTAX for anything else, TOOLONG beyond max. *value is filled on OK. */
MAIL_DEF mail_err mail_number(mail_str s, int64_t max, int64_t *value);

/* True if s holds an octet that may not stand in a command, a reply or a
   header field: 0..31 (so CR, LF, NUL) and 127. */
MAIL_DEF int mail_has_control(mail_str s);

/* Is s UTF-8, by RFC 3629: no overlong forms, no surrogates? */
MAIL_DEF int mail_utf8_ok(mail_str s);

/* A C string made of at most cap-1 octets of s. Returns 0 if it was cut. */
MAIL_DEF int mail_copy(char *to, size_t cap, mail_str s);

typedef struct mail_buf {
    char  *p;      /* owned by you                                   */
    size_t n, cap; /* octets used, octets there                      */
    int    full;   /* something did not fit; nothing after it is kept */
} mail_buf;

MAIL_DEF mail_buf mail_buf_on(char *p, size_t cap);
MAIL_DEF void mail_buf_add(mail_buf *b, mail_str s);
MAIL_DEF void mail_buf_fmt(mail_buf *b, const char *fmt, ...)
    MAIL_PRINTF(2, 3);
MAIL_DEF mail_str mail_buf_str(const mail_buf *b);

/* ======================================================================
   [TRACE] what a watcher is told                                    ch.0
   One list of events, of which every view (ladder, log, capture) is a
   rendering. A session calls the watcher you give it, or nobody.
   ====================================================================== */

#define MAIL_NOTES(X) \
    X(OPEN,    "a connection was made") \
    X(COMMAND, "a command line, secrets masked") \
    X(REPLY,   "a reply line") \
    X(TEXT,    "octets of message text, as they are on the wire") \
    X(CLOSE,   "a connection ended") \
    X(TLS,     "TLS runs, by version and cipher; or why it does not") \
    X(DISK,    "a step on the disk") \
    X(FATE,    "what became of a message, a recipient or a login")

typedef enum mail_note {
#define MAIL__X(name, text) MAIL_NOTE_##name,
    MAIL_NOTES(MAIL__X)
#undef MAIL__X
    MAIL_NOTE_COUNT
} mail_note;

MAIL_DEF const char *mail_note_name(mail_note n);

/* What a peer sent, fit for a terminal or a log: what is not printable ASCII
   as \x1B, what has no room as "...". A C string in to, which is returned;
   cap is at least 8. */
MAIL_DEF const char *mail_printable(char *to, size_t cap, mail_str s);

/* The same for text that is meant to be read: characters of UTF-8 stay, but
   for those that control or turn the line (C1, U+202E ...). */
MAIL_DEF const char *mail_printable_utf8(char *to, size_t cap, mail_str s);

/* text is borrowed for the call; state is the session's state after it. */
typedef void mail_watch(void *ctx, mail_note kind, mail_str text,
                        const char *state);

/* ======================================================================
   [B64] base64                                     RFC 4648 | ch.12
   ====================================================================== */

/* Octets that encoding n octets takes, without a NUL. */
#define MAIL_B64_SIZE(n) (((n) + 2) / 3 * 4)

/* Adds the encoding of s. */
MAIL_DEF void mail_b64_encode(mail_buf *b, mail_str s);

/* Strict: no white space, right padding, no stray bits. out may be the
   memory of s itself; it takes at most s.n / 4 * 3 octets. SYNTAX, or OK. */
MAIL_DEF mail_err mail_b64_decode(mail_str s, char *out, size_t *n);

/* ======================================================================
   [QP] the three transfer encodings                RFC 2045 6 | ch.12
   A wire may want lines of at most 998 octets, none of them over 127. As it
   is (7bit), with =ED for what is not ASCII (quoted-printable), or base64.
   ====================================================================== */

typedef enum mail_coding {
    MAIL_CODING_NONE, MAIL_CODING_QP, MAIL_CODING_B64
} mail_coding;

/* "7bit", "quoted-printable", "base64". */
MAIL_DEF const char *mail_coding_name(mail_coding c);

/* Octets that one octet may become, and those that n then need. */
#define MAIL_ENCODE_ONE 80
#define MAIL_ENCODE_SIZE(n) (4 * (n) + MAIL_ENCODE_ONE)

typedef struct mail_encode {
    mail_coding coding;     /* yours; zero the others to begin            */
    int  lines;             /* yours: CRLF ends a line (text), and is not
                               two octets of a file that must come back   */
    unsigned char col;      /* private: octets on this line               */
    unsigned char n;        /* private: octets held                       */
    char held[57];          /* private                                    */
} mail_encode;

/* Adds the encoding of s, and at the end that of what is held. b has room
   for MAIL_ENCODE_SIZE of it. There is no line end behind the last line. */
MAIL_DEF void mail_encode_add(mail_encode *e, mail_str s, mail_buf *b);
MAIL_DEF void mail_encode_end(mail_encode *e, mail_buf *b);

typedef struct mail_decode {
    mail_coding coding;     /* yours; zero the others to begin */
    unsigned char n;        /* private: octets held            */
    uint32_t bits;          /* private                         */
    char held[80];          /* private                         */
} mail_decode;

/* Adds what s encodes, and at the end what is held. b has room for
   MAIL_DECODE_SIZE of it. What is not well-formed stays as it is in
   quoted-printable and is left out in base64 (RFC 2045 6.7, 6.8). */
#define MAIL_DECODE_SIZE(n) ((n) + 80)

MAIL_DEF void mail_decode_add(mail_decode *d, mail_str s, mail_buf *b);
MAIL_DEF void mail_decode_end(mail_decode *d, mail_buf *b);

/* ======================================================================
   [HASH] MD5, SHA-256, HMAC, PBKDF2       RFC 1321 6234 2104 8018 | ch.10
   MD5 is here for APOP only (RFC 1939 7); it protects nothing else.
   ====================================================================== */

typedef struct mail_md5 {
    uint32_t h[4]; uint64_t n; unsigned char block[64];
} mail_md5;
typedef struct mail_sha256 {
    uint32_t h[8]; uint64_t n; unsigned char block[64];
} mail_sha256;

MAIL_DEF void mail_md5_init(mail_md5 *m);
MAIL_DEF void mail_md5_add(mail_md5 *m, mail_str s);
MAIL_DEF void mail_md5_end(mail_md5 *m, unsigned char out[16]);
MAIL_DEF void mail_sha256_init(mail_sha256 *m);
MAIL_DEF void mail_sha256_add(mail_sha256 *m, mail_str s);
MAIL_DEF void mail_sha256_end(mail_sha256 *m, unsigned char out[32]);
MAIL_DEF void mail_hmac(mail_str key, mail_str text, unsigned char out[32]);
MAIL_DEF void mail_pbkdf2(mail_str password, mail_str salt, unsigned rounds,
                          unsigned char out[32]);

/* The same in pieces, for whoever has others to serve meanwhile: begin, some
   rounds at a time until none is left, end. All members are private; end
   wipes them. */
typedef struct mail_kdf {
    uint32_t in[8], out[8];
    unsigned char u[64], sum[32];
    unsigned left;
} mail_kdf;

MAIL_DEF void mail_kdf_begin(mail_kdf *k, mail_str password, mail_str salt,
                             unsigned rounds);
MAIL_DEF unsigned mail_kdf_run(mail_kdf *k, unsigned most); /* rounds left */
MAIL_DEF void mail_kdf_end(mail_kdf *k, unsigned char out[32]);

/* Equal octets? Takes the same time whatever they are. */
MAIL_DEF int mail_same_secret(const void *a, const void *b, size_t n);

/* Overwrites a secret in a way that compilers do not drop. */
MAIL_DEF void mail_wipe(void *p, size_t n);

/* ======================================================================
   [SASL] names and passwords           RFC 4616 5802 5803 7677 1939 | ch.10
   ====================================================================== */

#define MAIL_USER_SIZE 64      /* a user name and its NUL */
#define MAIL_SECRET_SIZE 192   /* what stands behind the colon in `users` */

/* Splits authzid NUL authcid NUL passwd; SYNTAX if it is something else.
   The three slices borrow s. */
MAIL_DEF mail_err mail_sasl_plain(mail_str s, mail_str *authzid,
                                  mail_str *user, mail_str *password);

/* Mechanisms, as bits: those that a list, "PLAIN LOGIN ...", names. What it
   names beside is passed over. */
enum { MAIL_SASL_PLAIN = 1, MAIL_SASL_LOGIN = 2, MAIL_SASL_SCRAM = 4 };

MAIL_DEF unsigned mail_sasl_list(mail_str list);
MAIL_DEF const char *mail_sasl_name(unsigned mech);  /* of one; or "" */

/* A user name: 1..63 octets, a-z A-Z 0-9 . _ - and UTF-8, and no dot first,
   so that it can name a directory. */
MAIL_DEF int mail_user_ok(mail_str name);

/* Adds "{SCRAM-SHA-256}rounds,salt,StoredKey,ServerKey" (RFC 5803): the
   password cannot be read back from it. */
MAIL_DEF void mail_secret_make(mail_buf *b, mail_str password, mail_str salt,
                               unsigned rounds);

/* What such a line keeps of a password. The server can check a client that
   knows it, and prove to it that it has them; but it cannot log in itself. */
#define MAIL_ROUNDS     4096   /* for a new secret; RFC 7677 4: at least */
#define MAIL_ROUNDS_MAX 1000000
#define MAIL_SALT_MAX   48

typedef struct mail_keys {
    unsigned rounds;                     /* 1..MAIL_ROUNDS_MAX */
    size_t nsalt; char salt[MAIL_SALT_MAX];
    unsigned char stored[32], server[32];
} mail_keys;

/* SYNTAX if it is no "{SCRAM-SHA-256}...". */
MAIL_DEF mail_err mail_secret_keys(mail_str secret, mail_keys *k);
/* StoredKey and ServerKey, of what PBKDF2 has made of a password. */
MAIL_DEF void mail_keys_make(mail_keys *k, const unsigned char salted[32]);

/* A login under way; a part of every session. All members are private. */
#define MAIL_SCRAM_SIZE 768

typedef struct mail_sasl {
    unsigned mech;                       /* 0: there is none             */
    unsigned char step, done;
    char user[MAIL_USER_SIZE];
    unsigned short gs2, at, n;           /* of text: where AuthMessage and
                                            the server's part of it begin */
    unsigned char stored[32], server[32];
    char text[MAIL_SCRAM_SIZE];
} mail_sasl;

/* Is this the password of that secret ("{SCRAM-SHA-256}..." or
   "{PLAIN}...")? An empty secret takes as long as a full one and says no,
   so that an unknown user cannot be told from a wrong password. */
MAIL_DEF int mail_secret_check(mail_str secret, mail_str password);

/* APOP (RFC 1939 7): 32 lower-case hex digits and a NUL, the MD5 of the
   greeting's timestamp, its < > included, and the secret. */
MAIL_DEF void mail_apop(mail_str timestamp, mail_str secret, char out[33]);

/* The password of a {PLAIN} secret: what APOP needs. 0 if it is none. */
MAIL_DEF int mail_secret_plain(mail_str secret, mail_str *password);

/* ======================================================================
   [DATE] dates of messages                        RFC 5322 3.3 | ch.9
   ====================================================================== */

/* Adds "Thu, 01 Jan 2026 09:00:00 +0900": seconds since 1970 in UTC, shown
   in a zone so many minutes east of it. */
MAIL_DEF void mail_date(mail_buf *b, int64_t seconds, int zone);

/* ======================================================================
   [ADDR] reverse-path and forward-path       RFC 5321 4.1.2 | ch.5, lab 2
   The one reader of envelope addresses. What is ambiguous is refused, not
   repaired. It takes UTF-8 (RFC 6531 3.3) but for U+0080 to U+009F, which
   some terminals obey, and does not normalise it: two ways to write what looks
   the same are two addresses, as for every mail server on the way.
   ====================================================================== */

#define MAIL_LOCAL_SIZE  65    /* RFC 5321 4.5.3.1.1: 64 octets  */
#define MAIL_DOMAIN_SIZE 256   /* RFC 5321 4.5.3.1.2: 255 octets */
#define MAIL_PATH_SIZE   400   /* a path written out, quoted, in < > */

typedef struct mail_path {
    char local[MAIL_LOCAL_SIZE];   /* unquoted; "" with "" is <>         */
    char domain[MAIL_DOMAIN_SIZE]; /* "" for <postmaster>, else a domain
                                      name or a literal with its [ ]     */
} mail_path;

/* Reads "<a@b>", "<>", "<@relay:a@b>" (the route is dropped) from the front
   of s; *rest is what follows the ">". "<postmaster>" needs no domain.
   SYNTAX or TOOLONG. */
MAIL_DEF mail_err mail_path_read(mail_str s, mail_path *out, mail_str *rest);

/* The same for a mailbox without < >, all of s: "a@b". */
MAIL_DEF mail_err mail_path_mailbox(mail_str s, mail_path *out);

/* Adds "<a@b>", quoted where it must be: the shortest form of it. */
MAIL_DEF void mail_path_write(mail_buf *b, const mail_path *p);
MAIL_DEF int mail_path_null(const mail_path *p);
MAIL_DEF int mail_path_same(const mail_path *a, const mail_path *b);
/* Has it octets over 127? Then it goes to nobody without SMTPUTF8. */
MAIL_DEF int mail_path_utf8(const mail_path *p);

/* A domain name by letters, digits, hyphens and UTF-8; or a literal
   [127.0.0.1], [IPv6:::1]. */
MAIL_DEF int mail_domain_ok(mail_str s);

/* A domain as the name system has it: a label in UTF-8 (a U-label, RFC 5890)
   becomes "xn--" and Punycode (RFC 3492). SYNTAX; TOOLONG: over 63 octets a
   label, 255 in all. */
MAIL_DEF mail_err mail_domain_ascii(mail_str s, char out[MAIL_DOMAIN_SIZE]);
/* The same name, in whichever of the two forms? */
MAIL_DEF int mail_domain_same(mail_str a, mail_str b);

/* An address of the Internet protocol: IPv6, or IPv4 as ::ffff:192.0.2.1
   (RFC 4291 2.5.5.2). */
typedef struct mail_address { unsigned char p[16]; } mail_address;

/* "192.0.2.1", "2001:db8::1". SYNTAX, or OK. */
MAIL_DEF mail_err mail_address_read(mail_str s, mail_address *out);

/* A network: the addresses that agree with at in the first bits. */
typedef struct mail_net { mail_address at; int bits; } mail_net;

/* "192.0.2.0/24", "2001:db8::/32" (CIDR, RFC 4632), or one address. SYNTAX;
   also for 192.0.2.1/24: an address is no name of a network. */
MAIL_DEF mail_err mail_net_read(mail_str s, mail_net *out);
MAIL_DEF int mail_net_has(const mail_net *net, const mail_address *a);

/* ======================================================================
   [PARAM] what MAIL and RCPT say beside the path   RFC 5321 4.1.2 | ch.9
   One list for a server that reads it, a client that writes it, and the
   queue, which keeps it in the same words.
   ====================================================================== */

enum {                       /* NOTIFY=: when to report, RFC 3461 4.1 */
    MAIL_NOTIFY_NEVER = 1, MAIL_NOTIFY_SUCCESS = 2, MAIL_NOTIFY_FAILURE = 4,
    MAIL_NOTIFY_DELAY = 8
};
enum { MAIL_RET_FULL = 1, MAIL_RET_HDRS = 2 };

#define MAIL_ENVID_SIZE 101  /* RFC 3461 4.4: 100 octets */
#define MAIL_ORCPT_SIZE 501  /* RFC 3461 4.2: 500 octets */

typedef struct mail_param {
    int64_t  size;           /* MAIL SIZE=: octets; 0: not said           */
    int      body_8bit;      /* MAIL BODY=8BITMIME                        */
    int      utf8;           /* MAIL SMTPUTF8: an address or the header has
                                octets over 127                           */
    int      ret;            /* MAIL RET=: what a report of a failure brings
                                back, MAIL_RET_; 0: not said              */
    char     envid[MAIL_ENVID_SIZE];  /* MAIL ENVID=: xtext, for reports  */
    unsigned notify;         /* RCPT NOTIFY=: MAIL_NOTIFY_ bits; 0: not said,
                                which is FAILURE and DELAY                */
    char     orcpt[MAIL_ORCPT_SIZE];  /* RCPT ORCPT=: "rfc822;" and, in xtext,
                                         whom the sender wrote to         */
    unsigned said;           /* private: which of them were               */
} mail_param;

/* One more parameter, "RET=HDRS", of MAIL, or (rcpt) of RCPT. p is zero to
   begin. NULL, or a refusal: "501 5.5.4 RET is ...". */
MAIL_DEF const char *mail_param_read(mail_param *p, mail_str word, int rcpt);
/* Adds each that is there, " RET=HDRS ENVID=x". SYNTAX if a string is not
   what mail_param_read takes. */
MAIL_DEF mail_err mail_param_write(mail_buf *b, const mail_param *p);

/* xtext, RFC 3461 4: printable ASCII; "+", "=" and what is not a graphic
   character as "+2B". SYNTAX, too, for what does not stand for printable
   ASCII. out may be the memory of s; it takes at most s.n octets. */
MAIL_DEF void mail_xtext_write(mail_buf *b, mail_str s);
MAIL_DEF mail_err mail_xtext_read(mail_str s, char *out, size_t *n);

/* ======================================================================
   [MSG] header fields                    RFC 5322, 5321 4.4 | ch.9, ch.12
   ====================================================================== */

/* Reads a header as it passes, in any pieces: what a server must know of a
   message it does not keep in memory. Zero it to begin. */
typedef struct mail_head {
    int  received;        /* Received fields so far: hops             */
    int  has_8bit;        /* an octet over 127, header or body        */
    int  head_8bit;       /* one in the header                        */
    int  over;            /* the empty line has passed                */
    int  lines;           /* of the header, up to one that is no field */
    int64_t size;         /* octets of them                           */
    int64_t line;         /* private: octets of this line             */
    unsigned char kind;   /* private: MAIL__FIELD, or what it is      */
    char name[12];        /* private: the field name being read       */
    unsigned char at;     /* private: its length, or 255: not a name  */
} mail_head;

MAIL_DEF void mail_head_feed(mail_head *h, mail_str text);

/* One Received field (RFC 5321 4.4), folded, with its CRLF. */
typedef struct mail_received {
    const char *helo;      /* what the client called itself            */
    const char *address;   /* its address, "127.0.0.1"                 */
    const char *by;        /* our host name                            */
    const char *with;      /* SMTP, ESMTP, ESMTPS, ESMTPSA (RFC 3848),
                              UTF8SMTP ... (RFC 6531)                  */
    const char *id;        /* our name for the message                 */
    const mail_path *for_; /* the recipient if there is one only, or NULL */
    int64_t time; int zone;
} mail_received;

MAIL_DEF void mail_received_write(mail_buf *b, const mail_received *r);

/* Cuts the next address off a list, "Al <al@a.example>, c@d, G: e@f, g@h;":
   the value of a From, To or Cc field, folded or not, with comments and the
   obsolete forms of RFC 5322 4.4. Returns 0 if there is none left. */
enum {
    MAIL_ADDR_MAILBOX,
    MAIL_ADDR_GROUP,       /* a group begins: its name, then its members  */
    MAIL_ADDR_END          /* a group ends                                */
};

typedef struct mail_addr {
    int       kind;
    mail_str  name;        /* as it is written: see mail_addr_name        */
    mail_path path;
    mail_err  err;         /* SYNTAX, TOOLONG: name is no address         */
} mail_addr;

MAIL_DEF int mail_addr_next(mail_str *list, mail_addr *a);

/* Turns text of a charset into UTF-8: adds as much of in as is whole
   characters to b, U+FFFD for what is none, and returns how many octets it
   took; MAIL_NO_CHARSET if it does not know that one. */
#define MAIL_NO_CHARSET ((size_t)-1)

typedef size_t mail_convert(void *ctx, mail_str charset, mail_str in,
                            mail_buf *b);

/* Knows UTF-8, US-ASCII, ISO-8859-1, ISO-8859-15, windows-1252; ctx is not
   used. Whoever knows more calls it first; a NULL for a mail_convert is it. */
MAIL_DEF size_t mail_charset(void *ctx, mail_str charset, mail_str in,
                             mail_buf *b);

/* Cuts the next field off a header; its lines may end with LF alone. all is
   the whole of it; value is folded still; name is "" if it is no field.
   Returns 0 behind the last one: *head is then the body. */
typedef struct mail_field { mail_str name, value, all; } mail_field;

MAIL_DEF int mail_field_next(mail_str *head, mail_field *f);

/* The first field of that name, in a header; or 0. */
MAIL_DEF int mail_field_find(mail_str head, const char *name,
                             mail_str *value);

/* Adds the text of a field as a person reads it: UTF-8, unfolded, with its
   encoded-words decoded (RFC 2047); those that are not well-formed, and those
   of an unknown charset, as they are. No control octet comes out of it. */
MAIL_DEF void mail_text_decode(mail_buf *b, mail_str value,
                               mail_convert *convert, void *ctx);

/* The same for the name of an address, which may be quoted. */
MAIL_DEF void mail_addr_name(mail_buf *b, const mail_addr *a,
                             mail_convert *convert, void *ctx);

/* Adds a parameter of "text/plain; charset=UTF-8; name*0*=...": unquoted, its
   pieces put together and decoded (RFC 2231). Returns 0 if it is not there. */
MAIL_DEF int mail_field_param(mail_buf *b, mail_str value, const char *name,
                              mail_convert *convert, void *ctx);

/* ======================================================================
   [MIME] letters of many parts               RFC 2045, 2046, 2231 | ch.12
   What goes out is ASCII in lines of at most 998 octets, so that any server
   takes it. Only an address outside ASCII needs SMTPUTF8, and says so.
   ====================================================================== */

/* The octets of a part: text in memory, or what read gives: at most n octets
   from the offset at on, 0 at the end, -1 if it cannot be read. It is read
   twice: to count, and to send. Zero the private members to begin. */
typedef struct mail_source {
    mail_str text;
    int64_t (*read)(void *ctx, int64_t at, char *p, size_t n);  /* or NULL */
    void    *ctx;
    int64_t  n;              /* private: octets it had                   */
    unsigned char coding;    /* private: mail_coding                     */
    unsigned char is;        /* private: MAIL__8BIT ...                  */
} mail_source;

typedef struct mail_file {
    const char *name;        /* as its reader sees it: UTF-8, no path    */
    const char *type;        /* "image/png"; NULL: application/octet-stream */
    mail_source from;
} mail_file;

/* A letter. Every string is borrowed, UTF-8, and may be NULL but for from;
   to and cc may hold several addresses with commas. Bcc is not in it. */
typedef struct mail_compose {
    const char *from, *to, *cc, *subject;
    const char *message_id;            /* with its < >                  */
    int64_t time; int zone;
    int body_8bit;                     /* adds the MIME fields for UTF-8 */
    mail_source text, html;            /* mail_letter_init only, as are: */
    mail_file *files; size_t nfiles;
} mail_compose;

/* Adds the header and the empty line, CRLF line ends, for a body that you
   have. A control octet in a string, and what is not UTF-8, is SYNTAX: nobody
   puts a field of his own into your header. Names and the subject become
   encoded-words (RFC 2047) where they must. TOOLONG if b is too small. */
MAIL_DEF mail_err mail_compose_head(mail_buf *b, const mail_compose *m);

/* Whom a header names: To, Cc and Bcc; of a letter that is sent on, Resent-To,
   Resent-Cc and Resent-Bcc instead (RFC 5322 3.6.6). Set head, zero the rest.
   The next address, groups as mail_addr_next has them; 0 behind the last. */
typedef struct mail_named {
    mail_str head;
    mail_str list;           /* private: the rest of this field          */
    int      resent;         /* private: 0: not known, 1: no, 2: yes     */
} mail_named;

MAIL_DEF int mail_named_next(mail_named *r, mail_addr *a);

/* Makes the header of a letter whole that a user hands over (RFC 6409 8): adds
   it to b with CRLF line ends and the empty line, without Bcc, Resent-Bcc,
   Return-Path and an mbox's "From " line, and with From, Date and Message-ID
   of m where it has none. *text begins with the letter as far as it is known;
   what is left in it is body. Errors as of mail_compose_head. */
MAIL_DEF mail_err mail_head_complete(mail_buf *b, mail_str *text,
                                     const mail_compose *m);

/* All private: UTF-8 as it passes, and a part as it passes. */
typedef struct mail_utf8 { unsigned char more, low, high; } mail_utf8;
typedef struct mail_look {
    int64_t n, col;
    unsigned char cr, trap, is;
    mail_utf8 utf8;
} mail_look;

/* A letter that is written while it is sent: it takes no more memory than
   this struct, however long its parts are. */
typedef struct mail_letter {
    /* read only */
    int64_t  size;           /* octets of all of it                      */
    int      utf8;           /* it has an address outside ASCII: SMTPUTF8 */
    mail_err err;            /* MISUSE SYNTAX TOOLONG IO ...             */
    char     why[160];       /* "the subject is not UTF-8"; or ""        */
    /* private */
    mail_compose m;
    mail_buf head;
    char     boundary[36];
    size_t   part, parts;    /* text, html, then the files               */
    unsigned char step, cr, has_text;
    int64_t  at;             /* octets of this part that were read       */
    mail_look look;
    mail_encode code;
    mail_str next;           /* written, not yet taken                   */
    char     out[9000];
} mail_letter;

/* Checks every string, reads each part once and chooses the shortest encoding
   that fits it. room, 32 KiB for a header with many addresses, is yours and
   borrowed as long as the letter is, as are m->files, which are filled. The
   text (text/plain) and html are UTF-8 with any line ends; both make a
   multipart/alternative, files a multipart/mixed around it. Files come back
   octet by octet. Errors: SYNTAX, TOOLONG, IO, MISUSE; l->why names it. */
MAIL_DEF mail_err mail_letter_init(mail_letter *l, const mail_compose *m,
                                   mail_buf room);

/* The next octets, at most n, with CRLF line ends and no dot stuffed. 0 at the
   end; -1 if it failed, IO also if a part is not any more what it was. */
MAIL_DEF int64_t mail_letter_read(mail_letter *l, char *p, size_t n);

/* Takes a message apart as it passes, in any pieces and with any line ends:
   how often, and what, tell is called is all there is to it. */
#define MAIL_MIME_DEPTH 8      /* multiparts in multiparts that are opened */

enum {
    MAIL_MIME_PART,        /* a part begins: its header is known          */
    MAIL_MIME_TEXT,        /* octets of it, decoded (not its charset)     */
    MAIL_MIME_END          /* it ends; a multipart has no text and no end */
};

typedef struct mail_mime mail_mime;
typedef void mail_mime_tell(void *ctx, const mail_mime *m, int what,
                            mail_str text);

struct mail_mime {
    /* yours */
    mail_mime_tell *tell; void *ctx;
    mail_convert *convert; void *convert_ctx; /* for names; or NULL        */
    mail_buf head;           /* room for a header: of the part             */
    int      most;           /* parts, at most (1000)                      */
    /* read only */
    int      part, depth;    /* its number, 0 for the message; how deep    */
    int      multipart, attachment;
    char     type[80];       /* "text/plain", in lower case                */
    char     charset[40];    /* or ""                                      */
    char     name[260];      /* the file name somebody gave it, UTF-8: it
                                is no path and no name for a file of yours */
    const char *broken;      /* the first thing that is wrong, or NULL     */
    /* private */
    unsigned char state, digest, middle, eol;
    mail_decode decode;
    size_t   n;
    char     boundary[MAIL_MIME_DEPTH][72];
    char     line[1000];
};

/* Zero it and set what is yours to begin. What is broken is read as far as it
   can be: a part that is not closed ends with the message, and one that
   cannot be taken apart is text. */
MAIL_DEF void mail_mime_feed(mail_mime *m, mail_str s);
MAIL_DEF void mail_mime_end(mail_mime *m);

/* ======================================================================
   [LINE] a line is not a packet               RFC 5321 2.3.8 | ch.2, lab 1
   ====================================================================== */

typedef struct mail_line {
    size_t n;             /* octets kept                              */
    unsigned char done;   /* a line is complete: read text, then reset */
    unsigned char cr;     /* private: the last octet was CR           */
    unsigned char bad;    /* a bare CR, a bare LF or a NUL in it      */
    unsigned char longer; /* it was longer than MAIL_LINE_SIZE        */
    unsigned char torn;   /* private: a bare LF was in it; drop the rest */
    char p[MAIL_LINE_SIZE];
} mail_line;

/* Zero it to begin. Takes octets up to the end of a line: n, or fewer with
   l->done set. With lf_ends an LF alone ends a line too; without, it makes
   the line bad and done, and what follows is dropped up to a CRLF. */
MAIL_DEF size_t mail_line_feed(mail_line *l, const char *in, size_t n,
                               int lf_ends);
MAIL_DEF mail_str mail_line_text(const mail_line *l);  /* without CRLF */
MAIL_DEF void mail_line_reset(mail_line *l);

/* ======================================================================
   [DOT] dot-stuffing                        RFC 5321 4.5.2 | ch.6, lab 5
   One bit of state: is the next octet the first of a line?
   ====================================================================== */

typedef struct mail_dot_in {
    unsigned char state;    /* private                                  */
    unsigned char lenient;  /* a bare CR or LF becomes CRLF             */
    unsigned char plain;    /* BDAT: a dot is a dot, and nothing ends   */
    unsigned char bare;     /* one was seen                             */
    unsigned char end;      /* CRLF.CRLF was seen: nothing more is taken */
} mail_dot_in;

/* Reads the wire form. Takes octets from in and gives a slice of message
   text, borrowed from in (or constant); both may be empty. Returns how many
   were taken; call again until it has taken all, or end is set. Only
   CRLF.CRLF ends a message: with anything else, text goes on. */
MAIL_DEF size_t mail_dot_read(mail_dot_in *d, const char *in, size_t n,
                              mail_str *text);

typedef struct mail_dot_out {
    unsigned char state;    /* private                     */
    unsigned char plain;    /* BDAT: no dot is added       */
} mail_dot_out;

/* Writes the wire form: every line end CRLF, whatever it was (LF, CR, CRLF),
   a dot added to each line that starts with one. Fills out with at most cap
   octets, *made of them, and returns how many of in it took. */
MAIL_DEF size_t mail_dot_write(mail_dot_out *d, const char *in, size_t n,
                               char *out, size_t cap, size_t *made);

/* The end of the data: CRLF if a line is open, then ".CRLF". Returns its
   length, at most 5, or 0 if cap is too small. */
MAIL_DEF size_t mail_dot_close(mail_dot_out *d, char *out, size_t cap);

/* ======================================================================
   [REPLY] the other half of a conversation      RFC 5321 4.2 | ch.3, lab 3
   ====================================================================== */

/* One line of an SMTP reply: "250-text" (more is set), "250 text", "250".
   PROTOCOL if it is none. text is borrowed. */
MAIL_DEF mail_err mail_reply_line(mail_str line, int *code, int *more,
                                  mail_str *text);

/* A POP3 status line: "+OK text", "-ERR text". PROTOCOL if it is none. */
MAIL_DEF mail_err mail_status_line(mail_str line, int *ok, mail_str *text);

/* Splits "5.1.1 no such user" into the enhanced status code (RFC 2034) and
   the rest; the code is "" if there is none. */
MAIL_DEF mail_str mail_enhanced(mail_str text, mail_str *rest);

/* What a reply of SMTP means to who sends: OK 2yz and 3yz (and 0: there was
   none), TEMPFAIL 4yz, DENIED a login is wanted, or no leave (5.7.1), NOTFOUND
   there is no such mailbox (5.1.z), REFUSED all else. */
MAIL_DEF mail_err mail_reply_err(int code, mail_str text);

/* Octets that wait for the peer; a part of every session. */
typedef struct mail_out {
    size_t at, n;
    char p[MAIL_OUT_SIZE];
} mail_out;

/* ======================================================================
   The four conversations
   Bytes in, events out, decisions in, bytes out: no I/O, no clock, no
   memory of their own, six verbs.

       init   begin. Zero options are the documented defaults.
       feed   octets from the peer. Returns how many it took: all of them,
              or fewer, because an event or a decision of yours is due, or
              the output is full. Feed the rest again later.
       next   one event, or 0. Slices in it live until the next feed.
       out    octets for the peer; sent: so many of them are gone.
       tick   the time now, in ms on any clock that never goes back.
              Returns when to call again. Late is a timeout.

   Each is a plain struct without a pointer to itself: move it as you like.
   A string in the options is borrowed for the session's life.
   ====================================================================== */

#define MAIL_EVENTS(X) \
    X(NONE,    "nothing") \
    X(TLS,     "server: TLS is asked for; decide. client: begin it") \
    X(LOGIN,   "server: user and secret; decide") \
    X(APOP,    "POP3 server: user and digest; decide") \
    X(KEYS,    "server: user; give the keys of his secret, SCRAM goes on") \
    X(PROOF,   "server: user, and code 1 if the proof was right; decide") \
    X(MAIL,    "server: reverse-path; decide. client: its reply") \
    X(RCPT,    "server: forward-path; decide. client: a reply, by number") \
    X(DATA,    "server: decide. client: write the text") \
    X(TEXT,    "message text, without dot-stuffing, CRLF line ends") \
    X(END,     "server: end of data; decide. client: end of a listing") \
    X(ABORT,   "server: the mail transaction is dropped; no decision") \
    X(RETR,    "POP3 server: wants message number (lines >= 0: TOP)") \
    X(UPDATE,  "POP3 server: QUIT; remove what is marked; decide") \
    X(READY,   "client: greeted and logged in; give it work") \
    X(GIVEN,   "LMTP client: what became of an accepted recipient, by number") \
    X(DONE,    "client: this transaction or command is over") \
    X(ITEM,    "POP3 client: one line of a listing") \
    X(HAVE,    "mail access: do you have this UID already? decide") \
    X(STORE,   "mail access: the message is whole; decide when durable") \
    X(CLOSED,  "over: drop an open transaction, send the rest, hang up")

typedef enum mail_event_kind {
#define MAIL__X(name, text) MAIL_EV_##name,
    MAIL_EVENTS(MAIL__X)
#undef MAIL__X
    MAIL_EV_COUNT
} mail_event_kind;

typedef struct mail_event {
    mail_event_kind kind;
    int      code;           /* the peer's reply code; POP3: 1 is +OK     */
    int64_t  number;         /* which recipient (from 0), message (from 1) */
    int64_t  size;           /* octets declared, or -1                     */
    const mail_path *path;   /* MAIL, RCPT                                 */
    const mail_param *param; /* server: MAIL, RCPT                         */
    mail_str text;           /* TEXT; a reply's words; a UID               */
    mail_str user, secret;   /* LOGIN, APOP; user: KEYS, PROOF             */
} mail_event;

MAIL_DEF const char *mail_event_name(mail_event_kind k);

/* TLS (RFC 3207, 2595, 8314): one list for servers and clients. The records
   are the owner's; when, and what is forgotten, is the session's. In its
   state TLS a session has nothing to say and takes no input: what comes in
   clear then is dropped (server) or ends it (client). So: send what is left
   in out, begin TLS on the wire, and say how that went, mail_..._tls. From
   then on what you feed and send is what goes through TLS. */
typedef enum mail_tls {
    MAIL_TLS_NO,             /* none                                       */
    MAIL_TLS_MAY,            /* server: offered. client: used, if offered  */
    MAIL_TLS_MUST,           /* server: no mail and no login before it.
                                client: nothing but hello is said before it */
    MAIL_TLS_NOW             /* it begins in state TLS: implicit TLS       */
} mail_tls;

/* A state of a session and a row of its table, for `mail states`. */
typedef struct mail_row {
    const char *name, *from, *then, *says;
} mail_row;

/* ======================================================================
   [SMTPD] the server MTA                       RFC 5321 4 | ch.4, lab 4
   ====================================================================== */

#define MAIL_SMTPD_STATES(X) \
    X(START, "connected; neither HELO nor EHLO yet") \
    X(READY, "greeted: a mail transaction may begin") \
    X(MAIL,  "the reverse-path is known") \
    X(RCPT,  "at least one forward-path is accepted") \
    X(BDAT,  "message text in chunks, until the LAST one") \
    X(DATA,  "message text, until CRLF.CRLF") \
    X(AUTH,  "in the middle of a login") \
    X(TLS,   "TLS is being made: nothing more is said in clear") \
    X(END,   "221 or 421 is said")

typedef enum mail_smtpd_state {
#define MAIL__X(name, text) MAIL_SMTPD_##name,
    MAIL_SMTPD_STATES(MAIL__X)
#undef MAIL__X
    MAIL_SMTPD_COUNT
} mail_smtpd_state;

typedef struct mail_smtpd_opts {
    const char *host;       /* our name, in the greeting                  */
    int64_t max_size;       /* octets a message may have: 10 MiB          */
    int     max_rcpts;      /* recipients a message may have: 100         */
    int     max_errors;     /* refused commands, and recipients, before 421:
                               20; wrong passwords: always 3              */
    int     max_junk;       /* NOOP, RSET, VRFY, HELP, EHLO without a
                               message before 421: 100                    */
    int     max_messages;   /* of one connection, then 421: 1,000         */
    int64_t timeout;        /* ms without a whole line before 421: 300,000 */
    int64_t hello_timeout;  /* ms until the first HELO or EHLO: 60,000    */
    int64_t max_time;       /* ms a connection lasts, a text that is on its
                               way excepted: 3,600,000                    */
    int     min_rate;       /* octets a second that a text must come at:
                               500; it has timeout ms more than that, and
                               for what is over max_size no more          */
    int     auth;           /* 1: offer AUTH SCRAM-SHA-256, PLAIN, LOGIN  */
    int     submission;     /* 1: no MAIL before a login (RFC 6409)       */
    mail_tls tls;
    int     auth_tls;       /* 1: no AUTH outside TLS: 538                */
    int     reject_bare;    /* 1: refuse bare CR and LF, and lines of a dot
                               and control octets; 0: make them CRLF     */
    int     basic;          /* 1: no extensions, as in 1982: for class    */
    const char *refuse;     /* greets with 421 and these words, and ends  */
    mail_watch *watch; void *watch_ctx;
} mail_smtpd_opts;

typedef struct mail_smtpd {
    mail_smtpd_opts opts;            /* yours, before init               */

    mail_smtpd_state state;          /* read only from here              */
    mail_err err; mail_err why;      /* first error; why the text is bad */
    int      secure;                 /* TLS runs                         */
    int      esmtp, authed;          /* said EHLO; logged in             */
    char     helo[MAIL_DOMAIN_SIZE]; /* what the client calls itself     */
    char     user[MAIL_USER_SIZE];   /* who has logged in                */
    int      rcpts;                  /* forward-paths accepted           */
    int      body_8bit;              /* BODY=8BITMIME was said           */
    int      utf8;                   /* SMTPUTF8 was said                */
    int64_t  size;                   /* octets of this message so far    */

    mail_event ev; uintptr_t home;   /* private from here                */
    mail_event_kind wait;            /* the decision that is due         */
    unsigned char pending, active, hide, near_end;
    unsigned char met;               /* EHLO or HELO was said once       */
    unsigned char chunk, last;       /* a chunk is due; LAST was said    */
    int64_t  left;                   /* octets of it that are still due  */
    char     refusal[512];           /* said when it has come            */
    int      errors, denied, junk, messages;
    int64_t  since, hurry;
    int64_t  began, text_began;      /* by tick; -1: it has not seen it  */
    mail_sasl sasl;
    mail_path path;
    mail_param param;
    mail_dot_in dot;
    mail_out  out;
    mail_line line;
} mail_smtpd;

/* Begins with the greeting in out. MISUSE without a host, or with control
   octets in it. */
MAIL_DEF mail_err mail_smtpd_init(mail_smtpd *s, mail_smtpd_opts opts);
MAIL_DEF size_t   mail_smtpd_feed(mail_smtpd *s, const char *in, size_t n);
MAIL_DEF int      mail_smtpd_next(mail_smtpd *s, mail_event *ev);
MAIL_DEF mail_str mail_smtpd_out(const mail_smtpd *s);
MAIL_DEF void     mail_smtpd_sent(mail_smtpd *s, size_t n);
MAIL_DEF int64_t  mail_smtpd_tick(mail_smtpd *s, int64_t now);

/* Your decision on TLS (220, 454), LOGIN and PROOF (235, 535, 454), KEYS if
   you have none (454), MAIL, RCPT (250, 4yz, 5yz), DATA (354, 4yz, 5yz), END
   (250, 4yz, 5yz). text begins with an enhanced status
   code, "5.1.1 no such user"; NULL is a usual sentence. A control octet in
   it, or a decision that is not due, is MISUSE and nothing is sent. Whether
   the text comes by DATA or by BDAT is the session's business: a 354 is said
   to the one, and a refusal to the other only when its chunk has come. */
MAIL_DEF mail_err mail_smtpd_reply(mail_smtpd *s, int code, const char *text);

/* Your answer to KEYS: the keys of his secret, and of a user that there is
   not, keys that look like it; nonce, new each time, has 16 to 64 printable
   octets and no comma. A proof then comes as PROOF, with its code 0 if it
   was wrong: 235 is MISUSE then. */
MAIL_DEF mail_err mail_smtpd_keys(mail_smtpd *s, const mail_keys *k,
                                  const char *nonce);

/* In state TLS, with out sent: TLS runs (OK), or could not be made, and the
   session is over. It begins anew: name, login and transaction that came in
   clear are forgotten (RFC 3207 4.2). MISUSE in any other state. */
MAIL_DEF mail_err mail_smtpd_tls(mail_smtpd *s, mail_err e);

/* From now on a client may be silent for ms and no longer, because others
   wait for its place; 0: as long as the options say. A text that is on its
   way is not meant. */
MAIL_DEF void mail_smtpd_hurry(mail_smtpd *s, int64_t ms);

/* Says 421 (RFC 5321 3.8) and ends: shutdown, too many connections. */
MAIL_DEF void mail_smtpd_bye(mail_smtpd *s, const char *text);

MAIL_DEF const char *mail_smtpd_state_name(mail_smtpd_state s);
MAIL_DEF const char *mail_smtpd_state_text(mail_smtpd_state s);
/* Row i of the verb table; 0 past the last one. */
MAIL_DEF int mail_smtpd_row(size_t i, mail_row *row);

/* ======================================================================
   [SMTPC] the client MTA                   RFC 5321 3, 4.5.3 | ch.7, lab 6
   It greets and logs in by itself, then says READY; you give it a mail:

       mail, rcpt once for each recipient, data    when MORE: take output,
       on DATA: write the text, then end           feed replies, try again
       on DONE: the next mail, or quit

   A RCPT event has that recipient's own code; DONE's is for those who were
   accepted, and a 554 of our own if nobody was. After a MAIL that was refused
   rcpt and data say MISUSE: DONE is on its way.

   LMTP (RFC 2033) is the same, from a mail server that has a queue to one that
   has mailboxes only: it says LHLO, and each recipient who was accepted has an
   answer of his own after the text, a GIVEN event, as it comes. DONE says only
   that it was the last of them. Who has had no GIVEN when it is CLOSED is to
   be tried again.
   ====================================================================== */

#define MAIL_SMTPC_STATES(X) \
    X(GREET, "waits for 220") \
    X(EHLO,  "said EHLO, or LHLO (LMTP)") \
    X(HELO,  "said HELO") \
    X(STARTTLS, "said STARTTLS") \
    X(TLS,   "TLS is being made: nothing more is said in clear") \
    X(AUTH,  "in the middle of AUTH") \
    X(READY, "a mail transaction may begin") \
    X(MAIL,  "mail transaction: MAIL, RCPT or DATA not yet answered") \
    X(TEXT,  "354 or BDAT was said: message text goes out") \
    X(DOT,   "end of data sent: who is responsible now?") \
    X(RSET,  "said RSET, nobody was accepted") \
    X(QUIT,  "said QUIT") \
    X(END,   "over")

typedef enum mail_smtpc_state {
#define MAIL__X(name, text) MAIL_SMTPC_##name,
    MAIL_SMTPC_STATES(MAIL__X)
#undef MAIL__X
    MAIL_SMTPC_COUNT
} mail_smtpc_state;

enum {                       /* extensions the server offered */
    MAIL_EXT_PIPELINING = 1, MAIL_EXT_SIZE = 2, MAIL_EXT_8BITMIME = 4,
    MAIL_EXT_AUTH = 8, MAIL_EXT_STARTTLS = 16, MAIL_EXT_DSN = 32,
    MAIL_EXT_SMTPUTF8 = 64, MAIL_EXT_CHUNKING = 128
};

#define MAIL_LMTP_RCPTS 1024     /* in a transaction of LMTP, at most */

typedef struct mail_smtpc_opts {
    const char *helo;        /* our name, a domain or a literal          */
    const char *user, *password; /* log in, if given                     */
    mail_tls tls;
    const char *nonce;       /* 16 to 64 random octets, printable and no
                                comma, new each time: without, no SCRAM  */
    int     plaintext_ok;    /* 1: the password may cross in clear (PLAIN,
                                LOGIN): to loopback, say. 0: in TLS only */
    int     lmtp;            /* 1: LMTP; never on port 25 (RFC 2033 5)   */
    int     basic;           /* 1: HELO only, no extensions: for class   */
    int     relay;           /* 1: the mail is others': behind a login MAIL
                                says AUTH=<>, that we do not vouch for who
                                sent it (RFC 4954 5)                     */
    int64_t timeout;         /* ms: no reply is waited for longer; 0: as
                                RFC 5321 4.5.3.2 has it, 2 to 10 minutes */
    int     min_rate;        /* octets a second at which the server must
                                take a text: 500, and 3 minutes more     */
    int     all;             /* 1: a mail that one recipient is refused for
                                goes to nobody: DONE has 554 for the others */
    mail_watch *watch; void *watch_ctx;
} mail_smtpc_opts;

typedef struct mail_smtpc {
    mail_smtpc_opts opts;    /* yours, before init                       */

    mail_smtpc_state state;  /* read only from here                      */
    mail_err err;            /* first error; CLOSED says which it was    */
    int      secure;         /* TLS runs                                 */
    unsigned ext;            /* MAIL_EXT_ bits                           */
    unsigned mechs;          /* MAIL_SASL_ bits, of the AUTH extension,  */
    char     offer[128];     /* and all that it named                    */
    int64_t  max_size;       /* of the SIZE extension, or 0              */
    int64_t  max_mails;      /* mails of one connection, and recipients  */
    int64_t  max_rcpts;      /* of one mail, of LIMITS; 0: not said      */
    int      code;           /* the last reply, with its own words       */
    char     words[512];

    mail_event ev; uintptr_t home;   /* private from here                */
    unsigned char pending, active, later, lines;
    unsigned char mail_due, data_due, data_asked, utf8, bdat, go;
    int64_t  left;           /* octets of the chunk that are to come     */
    int      rcpts_sent, rcpts_answered, rcpts_ok, fail_code;
    int      given, given_at;        /* LMTP: answers; whose was the last */
    unsigned char taken[MAIL_LMTP_RCPTS / 8];
    int64_t  since, text_began, text_size;
    mail_sasl sasl;
    mail_dot_out dot;
    mail_out  out;
    mail_line line;
} mail_smtpc;

/* MISUSE without helo; SYNTAX for control octets in any option. A login that
   cannot be is UNABLE, with a sentence in words that says why. The answer to
   a challenge of SCRAM takes up to MAIL_ROUNDS_MAX rounds of PBKDF2, in feed:
   a third of a second. */
MAIL_DEF mail_err mail_smtpc_init(mail_smtpc *s, mail_smtpc_opts opts);
MAIL_DEF size_t   mail_smtpc_feed(mail_smtpc *s, const char *in, size_t n);
MAIL_DEF int      mail_smtpc_next(mail_smtpc *s, mail_event *ev);
MAIL_DEF mail_str mail_smtpc_out(const mail_smtpc *s);
MAIL_DEF void     mail_smtpc_sent(mail_smtpc *s, size_t n);
MAIL_DEF int64_t  mail_smtpc_tick(mail_smtpc *s, int64_t now);

/* MAIL FROM, with what p says; NULL: nothing. TOOLONG if the server's SIZE is
   less than p->size; UNABLE if the text has octets over 127 (body_8bit), or an
   address or the header has (utf8), and the server does not take them.
   Nothing is sent then. What asks for reports is left out where the server has
   no DSN: see ext. */
MAIL_DEF mail_err mail_smtpc_mail(mail_smtpc *s, const mail_path *from,
                                  const mail_param *p);
/* The same, for RCPT. UNABLE for an address in UTF-8 when mail did not say
   utf8. TOOLONG: no more fit into this transaction (LMTP only). */
MAIL_DEF mail_err mail_smtpc_rcpt(mail_smtpc *s, const mail_path *to,
                                  const mail_param *p);
MAIL_DEF mail_err mail_smtpc_data(mail_smtpc *s);
/* In place of data: BDAT, with all of the text as one chunk. Then the server
   need not look for its end, and nothing in it can be taken for one. size is
   what will be written, in octets with CRLF line ends (the last line has one);
   if it was not, the session ends with MISUSE. UNABLE, and nothing is said, if
   the server has no CHUNKING, and in LMTP: say data. */
MAIL_DEF mail_err mail_smtpc_bdat(mail_smtpc *s, int64_t size);
/* Octets taken; 0 when the output is full, or it is not the time. */
MAIL_DEF size_t   mail_smtpc_write(mail_smtpc *s, const char *p, size_t n);
/* The same for big pieces, past the session's own output: *made octets for
   the peer are in your out, at most cap. 0 too while mail_smtpc_out still
   holds something: that goes first. */
MAIL_DEF size_t   mail_smtpc_write_to(mail_smtpc *s, const char *p, size_t n,
                                      char *out, size_t cap, size_t *made);
MAIL_DEF mail_err mail_smtpc_end(mail_smtpc *s);
MAIL_DEF mail_err mail_smtpc_quit(mail_smtpc *s);
/* In state TLS, with out sent: TLS runs (OK), or why not, in words: the
   session is over with that error. What the server said in clear is
   forgotten, EHLO is said again (RFC 3207 4.2). MISUSE in any other state. */
MAIL_DEF mail_err mail_smtpc_tls(mail_smtpc *s, mail_err e, const char *why);
/* The peer hung up: TEMPFAIL in the middle of anything (5321-13). */
MAIL_DEF void     mail_smtpc_eof(mail_smtpc *s);

MAIL_DEF const char *mail_smtpc_state_name(mail_smtpc_state s);
MAIL_DEF const char *mail_smtpc_state_text(mail_smtpc_state s);
MAIL_DEF int mail_smtpc_row(size_t i, mail_row *row);

/* ======================================================================
   [POP3D] the server MAA                        RFC 1939 | ch.10, lab 10
   ====================================================================== */

#define MAIL_POP3D_STATES(X) \
    X(AUTH,   "AUTHORIZATION: who are you?") \
    X(USER,   "AUTHORIZATION: a name was given, its password is due") \
    X(SASL,   "AUTHORIZATION: in the middle of AUTH") \
    X(TRANS,  "TRANSACTION: the maildrop is open and locked") \
    X(SEND,   "TRANSACTION: a message is on its way out") \
    X(UPDATE, "UPDATE: what is marked is being removed") \
    X(TLS,    "TLS is being made: nothing more is said in clear") \
    X(END,    "over")

typedef enum mail_pop3d_state {
#define MAIL__X(name, text) MAIL_POP3D_##name,
    MAIL_POP3D_STATES(MAIL__X)
#undef MAIL__X
    MAIL_POP3D_COUNT
} mail_pop3d_state;

/* A message of the maildrop. The table is yours and borrowed; the session
   writes deleted and nothing else. */
typedef struct mail_drop {
    int64_t size;           /* octets on the wire, without stuffed dots */
    const char *uid;        /* 1..70 of 0x21..0x7E                      */
    int     deleted;
} mail_drop;

typedef struct mail_pop3d_opts {
    const char *host;       /* our name, in the greeting                */
    const char *stamp;      /* "<unique@host>": offers APOP; or NULL    */
    int64_t timeout;        /* ms without a whole line: 600,000; so long
                               a connection lasts without a login       */
    int64_t login_timeout;  /* ms without a whole line before it: 60,000 */
    int     max_errors;     /* refused commands before hanging up: 20;
                               wrong passwords: always 3                */
    int     reject_bare;    /* as in mail_smtpd_opts                    */
    int     no_login;       /* 1: refuse passwords on this connection   */
    mail_tls tls;
    const char *refuse;     /* greets with -ERR and these words         */
    mail_watch *watch; void *watch_ctx;
} mail_pop3d_opts;

typedef struct mail_pop3d {
    mail_pop3d_opts opts;          /* yours, before init              */

    mail_pop3d_state state;        /* read only from here             */
    mail_err err;
    int      secure;               /* TLS runs                        */
    int      utf8;                 /* UTF8 was said (RFC 6856)        */
    char     user[MAIL_USER_SIZE];
    size_t   count;                /* messages, the marked included   */
    int      top_over;             /* TOP has its lines: send no more */

    mail_drop *drops;              /* private from here               */
    mail_event ev; uintptr_t home;
    mail_event_kind wait;
    unsigned char pending, active, listing, uidl, head, bol, hide;
    int      errors, denied;
    mail_sasl sasl;
    size_t   list_at;
    int64_t  lines, since, hurry;
    int64_t  began;                /* by tick; -1: it has not seen it */
    mail_dot_out dot;
    mail_out  out;
    mail_line line;
} mail_pop3d;

MAIL_DEF mail_err mail_pop3d_init(mail_pop3d *s, mail_pop3d_opts opts);
MAIL_DEF size_t   mail_pop3d_feed(mail_pop3d *s, const char *in, size_t n);
MAIL_DEF int      mail_pop3d_next(mail_pop3d *s, mail_event *ev);
MAIL_DEF mail_str mail_pop3d_out(const mail_pop3d *s);
MAIL_DEF void     mail_pop3d_sent(mail_pop3d *s, size_t n);
MAIL_DEF int64_t  mail_pop3d_tick(mail_pop3d *s, int64_t now);

/* Your decision on LOGIN, APOP or PROOF: OK with the maildrop, or DENIED
   ([AUTH], RFC 3206), BUSY ([IN-USE], RFC 2449), TEMPFAIL (too many wrong
   passwords), REFUSED ([SYS/PERM]: somebody must mend it first), anything
   else ([SYS/TEMP]). KEYS is answered as in mail_smtpd_keys, or by a refusal
   here. */
MAIL_DEF mail_err mail_pop3d_login(mail_pop3d *s, mail_err e,
                                   mail_drop *drops, size_t count);
MAIL_DEF mail_err mail_pop3d_keys(mail_pop3d *s, const mail_keys *k,
                                  const char *nonce);
/* On RETR: OK, then write its text and end; or why not: UNABLE for a message
   with addresses or fields in UTF-8 while s->utf8 is 0 ([UTF8], RFC 6856 5).
   On UPDATE: OK, or IO when some could not be removed. On TLS: OK, or why not
   now. */
MAIL_DEF mail_err mail_pop3d_reply(mail_pop3d *s, mail_err e);
MAIL_DEF size_t   mail_pop3d_write(mail_pop3d *s, const char *p, size_t n);
/* As mail_smtpc_write_to: big pieces, into your own memory. */
MAIL_DEF size_t   mail_pop3d_write_to(mail_pop3d *s, const char *p, size_t n,
                                      char *out, size_t cap, size_t *made);
MAIL_DEF mail_err mail_pop3d_end(mail_pop3d *s);
/* As mail_smtpd_tls: it begins anew in AUTHORIZATION (RFC 2595 4). */
MAIL_DEF mail_err mail_pop3d_tls(mail_pop3d *s, mail_err e);
MAIL_DEF void     mail_pop3d_bye(mail_pop3d *s, const char *text);
/* As mail_smtpd_hurry, before a login only (RFC 1939 3: after it a client may
   be silent for ten minutes). */
MAIL_DEF void     mail_pop3d_hurry(mail_pop3d *s, int64_t ms);

MAIL_DEF const char *mail_pop3d_state_name(mail_pop3d_state s);
MAIL_DEF const char *mail_pop3d_state_text(mail_pop3d_state s);
MAIL_DEF int mail_pop3d_row(size_t i, mail_row *row);

/* ======================================================================
   [POP3C] the client MAA          RFC 1939 | ch.10, ch.11, lab 11
   Two things: the conversation, one command at a time; and on top of it
   mail_fetcher, which knows what delete mode and keep mode are.
   ====================================================================== */

#define MAIL_POP3C_STATES(X) \
    X(GREET, "waits for +OK") \
    X(CAPA,  "said CAPA") \
    X(OFFER, "reads what the server can do") \
    X(STLS,  "said STLS") \
    X(TLS,   "TLS is being made: nothing more is said in clear") \
    X(UTF8,  "said UTF8") \
    X(USER,  "said USER") \
    X(PASS,  "said PASS or APOP") \
    X(SASL,  "in the middle of AUTH") \
    X(READY, "logged in: give it a command") \
    X(ONE,   "waits for a reply of one line") \
    X(MANY,  "waits for the first line of a longer reply") \
    X(LIST,  "reads a listing") \
    X(TEXT,  "reads a message") \
    X(QUIT,  "said QUIT") \
    X(END,   "over")

typedef enum mail_pop3c_state {
#define MAIL__X(name, text) MAIL_POP3C_##name,
    MAIL_POP3C_STATES(MAIL__X)
#undef MAIL__X
    MAIL_POP3C_COUNT
} mail_pop3c_state;

enum {                       /* what an answer to CAPA offered (RFC 2449) */
    MAIL_CAPA_KNOWN = 1,     /* there was one: what is absent is not there */
    MAIL_CAPA_USER = 2, MAIL_CAPA_STLS = 4,
    MAIL_CAPA_UTF8 = 8, MAIL_CAPA_UTF8_USER = 16      /* RFC 6856 2     */
};

typedef struct mail_pop3c_opts {
    const char *user, *password;
    mail_tls tls;
    const char *nonce;       /* as in mail_smtpc_opts                    */
    int     plaintext_ok;    /* the same: AUTH PLAIN, LOGIN, USER, PASS  */
    int     apop;            /* 1: APOP or nothing                       */
    int     ascii;           /* 1: never says UTF8, and what needs it is
                                not handed out. 0: says it, if offered   */
    int     basic;           /* 1: no CAPA: logs in at once, as in 1996:
                                for class                                */
    int64_t timeout;         /* ms of silence: 60,000                    */
    mail_watch *watch; void *watch_ctx;
} mail_pop3c_opts;

typedef struct mail_pop3c {
    mail_pop3c_opts opts;    /* yours, before init                       */

    mail_pop3c_state state;  /* read only from here                      */
    mail_err err;
    int      secure;         /* TLS runs                                 */
    int      utf8;           /* the server has said yes to UTF8          */
    unsigned capa, mechs;    /* MAIL_CAPA_ and MAIL_SASL_ bits           */
    char     offer[128];     /* what it named for a login                */
    char     words[512];     /* the last status line, without +OK, -ERR  */

    mail_event ev; uintptr_t home;   /* private from here                */
    unsigned char pending, active, text_next, early, lines;
    char     stamp[128];     /* the greeting's, for APOP                 */
    int64_t  since;
    mail_sasl sasl;
    mail_dot_in dot;
    mail_out  out;
    mail_line line;
} mail_pop3c;

MAIL_DEF mail_err mail_pop3c_init(mail_pop3c *s, mail_pop3c_opts opts);
MAIL_DEF size_t   mail_pop3c_feed(mail_pop3c *s, const char *in, size_t n);
MAIL_DEF int      mail_pop3c_next(mail_pop3c *s, mail_event *ev);
MAIL_DEF mail_str mail_pop3c_out(const mail_pop3c *s);
MAIL_DEF void     mail_pop3c_sent(mail_pop3c *s, size_t n);
MAIL_DEF int64_t  mail_pop3c_tick(mail_pop3c *s, int64_t now);

/* One command; its events end with DONE (code 1: +OK, 0: -ERR). n is a
   message number; 0 asks LIST and UIDL for all. MORE while one is open. */
MAIL_DEF mail_err mail_pop3c_stat(mail_pop3c *s);
MAIL_DEF mail_err mail_pop3c_list(mail_pop3c *s, int64_t n);
MAIL_DEF mail_err mail_pop3c_uidl(mail_pop3c *s, int64_t n);
MAIL_DEF mail_err mail_pop3c_retr(mail_pop3c *s, int64_t n);
MAIL_DEF mail_err mail_pop3c_dele(mail_pop3c *s, int64_t n);
MAIL_DEF mail_err mail_pop3c_quit(mail_pop3c *s);
/* As mail_smtpc_tls; CAPA is said again (RFC 2595 4). */
MAIL_DEF mail_err mail_pop3c_tls(mail_pop3c *s, mail_err e, const char *why);
MAIL_DEF void     mail_pop3c_eof(mail_pop3c *s);

MAIL_DEF const char *mail_pop3c_state_name(mail_pop3c_state s);
MAIL_DEF const char *mail_pop3c_state_text(mail_pop3c_state s);
MAIL_DEF int mail_pop3c_row(size_t i, mail_row *row);

/* A run of the client MAA: log in, take what is new, mark it for deletion
   (delete mode) or leave it (keep mode), QUIT. Events: HAVE, then for each
   message TEXT ... STORE, then CLOSED. Nothing is marked for deletion
   before you have answered STORE with OK. */
#define MAIL_FETCH_STEPS(X) \
    X(LOGIN, "logging in") \
    X(STAT,  "asking how many") \
    X(UIDL,  "asking for the UIDs") \
    X(LIST,  "asking how large a message is") \
    X(RETR,  "taking a message") \
    X(STORE, "waiting until it is durable here") \
    X(DELE,  "marking it for deletion") \
    X(QUIT,  "saying QUIT") \
    X(END,   "over")

typedef enum mail_fetch_step {
#define MAIL__X(name, text) MAIL_FETCH_##name,
    MAIL_FETCH_STEPS(MAIL__X)
#undef MAIL__X
    MAIL_FETCH_COUNT
} mail_fetch_step;

typedef struct mail_fetcher_opts {
    mail_pop3c_opts pop3;
    int     keep;            /* 1: keep mode: the mail stays there        */
    int     ledger;          /* 1: ask HAVE in delete mode too            */
    int64_t max_size;        /* octets a message may have: 50 MiB         */
    unsigned char *seen;     /* borrowed, 2 bits a message; or NULL: for
                                4,096 of them                             */
    size_t  seen_size;       /* its octets                                */
} mail_fetcher_opts;

typedef struct mail_fetcher {
    mail_fetcher_opts opts;  /* yours, before init                        */

    mail_pop3c pop3;         /* read only from here                       */
    mail_fetch_step step;
    mail_err err;            /* first error, or OK                        */
    mail_fetch_step failed;  /* where it happened                         */
    char     words[512];     /* what the server said when it failed       */
    int64_t  count, octets;  /* what STAT said                            */
    int64_t  number;         /* the message being worked on               */
    int64_t  taken, removed, skipped;

    int64_t  size;           /* private from here                         */
    int64_t  uids;           /* lines that UIDL may have, still           */
    unsigned char waiting;
    int64_t  asked;          /* the number HAVE asks about */
    char     uid[72];
    unsigned char own[1024];
} mail_fetcher;

MAIL_DEF mail_err mail_fetcher_init(mail_fetcher *f, mail_fetcher_opts opts);
MAIL_DEF size_t   mail_fetcher_feed(mail_fetcher *f, const char *in, size_t n);
MAIL_DEF int      mail_fetcher_next(mail_fetcher *f, mail_event *ev);
MAIL_DEF mail_str mail_fetcher_out(const mail_fetcher *f);
MAIL_DEF void     mail_fetcher_sent(mail_fetcher *f, size_t n);
MAIL_DEF int64_t  mail_fetcher_tick(mail_fetcher *f, int64_t now);
MAIL_DEF mail_err mail_fetcher_tls(mail_fetcher *f, mail_err e,
                                   const char *why);
MAIL_DEF void     mail_fetcher_eof(mail_fetcher *f);
/* HAVE: OK (have it), NOTFOUND, or EXISTS: have it, and it is marked in keep
   mode, too, because it has been here for long. STORE: OK once durable, else
   why not: the run then ends without marking that message. */
MAIL_DEF mail_err mail_fetcher_answer(mail_fetcher *f, mail_err e);
/* Was DELE n answered with +OK? If the run has ended with OK, that message is
   gone from the server. */
MAIL_DEF int mail_fetcher_marked(const mail_fetcher *f, int64_t n);

/* ======================================================================
   [BOX] mailbox files                                     Maildir | ch.8
   mail/NAME/{tmp,new,cur}: a message is written in tmp, made durable, then
   renamed into new: whoever reads new sees whole messages only.
   ====================================================================== */

#define MAIL_NAME_SIZE 256      /* a file name or a path under DIR */

/* Adds "1767225600.QID.host,S=265,W=274": S octets in the file (LF line
   ends), W octets on the wire (CRLF), as Dovecot writes them. Of host, 60
   octets; a slash, a colon or a comma in it is written "_". */
MAIL_DEF void mail_box_name(mail_buf *b, int64_t time, const char *unique,
                            const char *host, int64_t s, int64_t w);

/* The UID of a name: what stands before the first "," or ":"; 64 hex digits
   of its SHA-256 if that is no UID (RFC 1939 7: 1..70 of 0x21..0x7E). */
MAIL_DEF void mail_box_uid(mail_str name, char uid[72]);

/* The number behind ",S=" or ",W=" (which is 'S' or 'W'); -1 if absent. */
MAIL_DEF int64_t mail_box_size(mail_str name, char which);

/* Wire text (CRLF) to mailbox text (LF), in any pieces. Zero it to begin.
   Writes at most n + 1 octets into out (a CR held back); returns how many. */
typedef struct mail_to_lf { unsigned char cr; } mail_to_lf;
MAIL_DEF size_t mail_to_lf_feed(mail_to_lf *t, const char *in, size_t n,
                                char *out);
MAIL_DEF size_t mail_to_lf_end(mail_to_lf *t, char *out);

/* Mailbox text to the form of an mbox, a file that holds many (RFC 4155): a
   line "From ..." would begin the next message, so it gets a ">" before it,
   and so does one that has some already (mboxrd: it can be undone). In any
   pieces; zero it to begin. Writes at most n + n / 5 + 5 octets; at the end,
   with the empty line that belongs there, at most 6. */
typedef struct mail_mbox { unsigned char inside, at; } mail_mbox;
MAIL_DEF size_t mail_mbox_feed(mail_mbox *m, const char *in, size_t n,
                               char *out);
MAIL_DEF size_t mail_mbox_end(mail_mbox *m, char *out);
/* Adds the line before each: "From MAILER-DAEMON Thu Jan  1 00:00:00 1970". */
MAIL_DEF void mail_mbox_from(mail_buf *b, int64_t seconds);

/* A line of the ledger, without its LF: "ACCOUNT UID TIME": a message that a
   client MAA has fetched, and when (s since 1970; 0: not known, and a line
   may end before it). Slices are borrowed. SYNTAX if it is none. */
typedef struct mail_ledger { mail_str account, uid; int64_t time; } mail_ledger;
MAIL_DEF mail_err mail_ledger_read(mail_str line, mail_ledger *out);
MAIL_DEF void mail_ledger_write(mail_buf *b, const mail_ledger *l);

/* ======================================================================
   [QUEUE] the file forms of the queue                            ch.8, ch.9

   queue/journal.0, queue/journal.1
                   two segments of records, one behind the other. One is
                   written to, until it is full or a second old; then the
                   other, while all that the first one holds becomes files
                   (a checkpoint), after which it is free again. Grown in
                   steps the first time, then overwritten: a flush of what
                   does not grow costs one write of the disk.
   queue/ID        a message that did not leave in its first second: the
                   envelope, an empty line, the text. Never changed.
   queue/ID.text   the text alone, if it is long; the envelope is elsewhere.
   queue/ID.state  what has become of its recipients. Replaced as a whole.
                   Without it every recipient is still due.
   queue/tmp/      being written. Removed at the start of a server.
   queue/dead/ID   a report that nobody could be given. Never deleted by us.
   queue/ask       what `mail queue` asks a running server, and the answers.

   A record is a line of MAIL_RECORD_HEAD octets and a body:

       mail A 000000000000000C 0000051F 3E0A71C4 9A3C0E51B7D24F68
            |              lap   octets head sum             sum

   S  start, twice, at the front of a segment: the salt of this lap
   A  accepted: the body is what queue/ID would be
   F  fates: an ID, then the lines of queue/ID.state
   D  done: an ID. It has left; its files are removed
   R  refused: an ID whose A may be durable, and was not answered with 250;
      of a report, what its A said about others, which is not so

   The sums are taken over a salt that is new and random for each lap: what is
   left of the lap before is no record, and no text that a peer has sent can
   be one. So a start reads what is whole and knows it, in any order, and
   behind a damaged place too.

   The instant of acceptance: the flush after its A record has succeeded.
   Then, and not before, 250 is said.

   Why nothing is lost. A is durable before 250 (of a long text, ID.text and
   its name are durable before A is written). A segment is given up only when
   each message in it has left (D), or is durable as a file in its mailbox or
   the queue: written under tmp, flushed, renamed, flushed again; whatever
   fails on the way, the segment stays. D is durable before a file is
   removed, and the removal is durable before the segment with the D is given
   up.
   Why nothing comes back. A mailbox is opened by POP3 only when the segment
   with the user's newest mail has been given up: what can be deleted is in
   no journal any more. (While the disk fails, what is not yet so is hidden.)
   An A in a journal outweighs the files of the same ID; F and D after it say
   what has happened since. What has become of a recipient is never undone: an
   F that knows less than queue/ID.state is older.
   ====================================================================== */

#define MAIL_ID_SIZE 40

/* An ID: when it came (s since 1970), the run of the server, a number. */
MAIL_DEF void mail_id_write(char id[MAIL_ID_SIZE], int64_t time,
                            uint32_t run, uint32_t number);
/* SYNTAX for a name that mail_id_write does not make. */
MAIL_DEF mail_err mail_id_read(mail_str name, int64_t *time, uint32_t *run,
                               uint32_t *number);

#define MAIL_FATES(X) \
    X(DUE,     "due",     "still to be delivered") \
    X(LATE,    "late",    "still to be delivered; the sender knows by now") \
    X(SENT,    "sent",    "the next mail server has said 250") \
    X(BOXED,   "boxed",   "in a mailbox here") \
    X(FAILED,  "failed",  "refused for good; the sender is to be told") \
    X(TOLD,    "told",    "there is no more to be told") \
    X(RELAYED, "relayed", "as sent, to a server without DSN; the sender " \
                          "asked, and is to be told") \
    X(DELIVERED, "delivered", "as boxed; the sender asked, and is to be told") \
    X(EXPANDED, "expanded", "an alias: those behind it have the mail; the " \
                            "sender asked, and is to be told")

typedef enum mail_fate {
#define MAIL__X(name, word, text) MAIL_FATE_##name,
    MAIL_FATES(MAIL__X)
#undef MAIL__X
    MAIL_FATE_COUNT
} mail_fate;

MAIL_DEF const char *mail_fate_word(mail_fate f);

/* One line of an envelope, without its LF. which is
     'q'  the first line
     'i'  id
     't'  text: octets in mailbox form, on the wire; 7 or 8 bits; apart: in
          ID.text
     'f'  from, the reverse-path, and the parameters of its MAIL
     'r'  to, a recipient, and those of its RCPT
     'o'  alias: the name that was written to, of the recipient before
     'g'  group: an alias of several recipients, to be told EXPANDED
     'a'  a report: about recipient number (from 0) of the message in text,
     'l'  or the same, but it is only late; or it is
     'd'  delivered, 'y' relayed, 'e' expanded
     0    the empty line that ends it. SYNTAX for anything else.
   This is form 3. Form 2 had no parameters, and is read as well. */
typedef struct mail_queue_line {
    char which; int eight, apart; int64_t number, size, wire;
    mail_str text; mail_path path; mail_param param;
} mail_queue_line;
MAIL_DEF void mail_queue_write(mail_buf *b, const mail_queue_line *q);
MAIL_DEF mail_err mail_queue_read(mail_str line, mail_queue_line *out);

/* One line of a state file: recipient n (from 0), its fate, the number of
   tries, the reply code and the peer's words (control octets become "?"). */
typedef struct mail_state_line {
    int64_t n, tries, code; mail_fate fate; mail_str words;
} mail_state_line;
MAIL_DEF void mail_state_write(mail_buf *b, const mail_state_line *s);
MAIL_DEF mail_err mail_state_read(mail_str line, mail_state_line *out);

enum { MAIL_RECORD_HEAD = 59, MAIL_SALT_SIZE = 16,
       MAIL_RECORD_MAX = 98304 };   /* octets, with its head */

/* The head of a record whose body is known. (The sum of an S is taken without
   a salt: it is the one that says what the salt is.) */
MAIL_DEF void mail_record_write(char head[MAIL_RECORD_HEAD], char kind,
                                uint64_t lap, mail_str salt, mail_str body);
/* A whole record of that lap at the front of s: how many octets it takes.
   0: there is none. An S record is taken of any lap, which *lap then is. */
MAIL_DEF size_t mail_record_read(mail_str s, uint64_t *lap, mail_str salt,
                                 char *kind, mail_str *body);

/* Seconds until try number tries+1: first, doubled each time, at most max. */
MAIL_DEF int64_t mail_retry_after(int64_t tries, int64_t first, int64_t max);

/* ======================================================================
   [ROUTE] local, next hop, or refused             RFC 5321 3.6, 5 | ch.9

   Whose mail is it? A mailbox's here, or another domain's; then it goes to a
   next hop. Somebody may have said which (a route, the smarthost); else the
   domain itself says so in the name system, with up to three kinds of record:

       b.example.     MX    10 mx1.b.example.     its mail hosts; the lowest
       b.example.     MX    20 mx2.b.example.     preference is tried first
       mx1.b.example. A     192.0.2.1             where a host is: IPv4
       mx1.b.example. AAAA  2001:db8::1                            IPv6

   The functions here are given the answers and decide. Asking, and waiting
   for the answers, is done by [SERVER LOOKUP].
   ====================================================================== */

typedef struct mail_route { const char *domain, *hop; } mail_route;

typedef struct mail_routing {
    const char *const *domains; size_t ndomains;  /* ours             */
    const mail_route *routes;   size_t nroutes;   /* DOMAIN=HOST:PORT */
    const char *smarthost;                        /* or NULL          */
    const char *lmtp;                             /* where mail for our
                                                     domains goes, by LMTP;
                                                     NULL: mailboxes here */
    const char *catch_all;                        /* user, or NULL    */
    int any_user;                                 /* with lmtp: any name of
                                                     a domain is a user's */
    int (*is_user)(void *ctx, const char *name);  /* lower case       */
    void *ctx;
} mail_routing;

#define MAIL_ROUTES(X) \
    X(LOCAL,   "a mailbox here") \
    X(RELAY,   "on to the next hop") \
    X(NO_USER, "our domain, but no such user: 550 5.1.1") \
    X(DENIED,  "another domain, and the client may not relay: 550 5.7.1")

typedef enum mail_route_kind {
#define MAIL__X(name, text) MAIL_ROUTE_##name,
    MAIL_ROUTES(MAIL__X)
#undef MAIL__X
    MAIL_ROUTE_COUNT
} mail_route_kind;

/* Where does this forward-path go? LOCAL fills to with the user's name,
   RELAY with the next hop: "host:port" of a route, of the smarthost or of an
   address literal; "lmtp:host:port" for our domains, if that is so; else the
   domain, as mail_domain_ascii writes it, whose mail hosts are to be found. to
   has MAIL_NAME_SIZE + 8 octets. */
MAIL_DEF mail_route_kind mail_route_find(const mail_routing *r,
                                         const mail_path *rcpt,
                                         int may_relay, char *to);

/* Networks that may relay without a login, with spaces: "192.0.2.0/24
   2001:db8::/32". SYNTAX: *bad is none; MISUSE: *bad is so large, over /8 or
   (IPv6) /16, that it holds strangers: with 0.0.0.0/0 the server would be an
   open relay. */
MAIL_DEF mail_err mail_relay_check(mail_str nets, mail_str *bad);
MAIL_DEF int mail_relay_has(mail_str nets, mail_str address);

/* Is this next hop "host:port", to be called as it stands? If not it is a
   domain: no domain has a colon. */
MAIL_DEF int mail_hop_is_host(const char *hop);
/* What is behind "lmtp:" of a next hop; NULL: it speaks SMTP. */
MAIL_DEF const char *mail_hop_lmtp(const char *hop);

/* Can mail_routing.lmtp be this? "HOST:PORT", "PORT", or the name of a UNIX
   socket, "/run/lmtp", of at most 100 octets. SYNTAX; MISUSE: port 25, which
   belongs to SMTP alone (RFC 2033 5). */
MAIL_DEF mail_err mail_lmtp_check(const char *lmtp);

/* "HOST:PORT", "[::1]:PORT", ":PORT" or "PORT": host is "" if there is
   none. SYNTAX, or OK. */
MAIL_DEF mail_err mail_host_port(mail_str s, mail_str *host, int *port);

/* One record of an answer, by its number in RFC 1035 and RFC 3596. */
enum { MAIL_RR_A = 1, MAIL_RR_MX = 15, MAIL_RR_AAAA = 28 };

typedef struct mail_rr {
    int  type, preference;        /* MAIL_RR_; of an MX: 0..65535        */
    char data[MAIL_DOMAIN_SIZE];  /* MX: a host's name, "" for the root;
                                     A, AAAA: an address as text         */
} mail_rr;

/* What comes of looking for a domain's mail hosts. 4yz: tried again later;
   5yz: for ever, and the sender is told. */
#define MAIL_VERDICTS(X) \
    X(HOSTS,      250, "2.0.0 here they are") \
    X(LATER,      451, "4.4.3 the name cannot be looked up now") \
    X(NO_ROUTE,   451, "4.3.5 the host that a route names has no address") \
    X(NO_DOMAIN,  550, "5.1.2 there is no such domain") \
    X(NO_ADDRESS, 550, "5.1.2 the domain has no MX and no address") \
    X(NO_HOST,    550, "5.4.4 no MX of the domain is a host with an address") \
    X(NULL_MX,    556, "5.1.10 the domain takes no mail: its MX is null") \
    X(LOOP,       554, "5.4.6 the MX of the domain lead back to this server")

typedef enum mail_verdict {
#define MAIL__X(name, code, text) MAIL_VERDICT_##name,
    MAIL_VERDICTS(MAIL__X)
#undef MAIL__X
    MAIL_VERDICT_COUNT
} mail_verdict;

/* The reply code, and the words behind it. Never NULL. */
MAIL_DEF int         mail_verdict_code(mail_verdict v);
MAIL_DEF const char *mail_verdict_text(mail_verdict v);

#define MAIL_HOSTS 8              /* of one domain; more are not tried */

typedef struct mail_hosts {
    size_t n;
    int  implicit;                /* no MX: the domain is its own host   */
    char name[MAIL_HOSTS][MAIL_DOMAIN_SIZE]; /* in the order of the tries */
} mail_hosts;

/* The mail hosts of a domain, from the answer to the question for its MX: e
   is OK (n may be 0), NOTFOUND (there is no such name), or why there was no
   answer. Equal preferences are shuffled; chance is a random number. own is
   our name: hosts that are no better than we are left out (RFC 5321 5.1). */
MAIL_DEF mail_verdict mail_hosts_find(mail_hosts *h, const char *domain,
                                      const char *own, uint32_t chance,
                                      mail_err e, const mail_rr *rr,
                                      size_t n);

/* ======================================================================
   [DSN] the report that comes back                RFC 3464, 6522 | ch.9
   Written in pieces, each under 3 KiB: head, a line for each recipient,
   middle, a group for each recipient, then original, the header of the
   message or all of it, and tail. With utf8 it is the form of RFC 6533, which
   has addresses in UTF-8.
   ====================================================================== */

typedef struct mail_dsn {
    const char *host;        /* who reports: Reporting-MTA           */
    const char *id;          /* of the report: boundary, Message-ID  */
    const char *queue_id;    /* of the message reported about        */
    const mail_path *to;     /* the reverse-path of that message     */
    const char *envid;       /* ENVID= of it, in xtext; or ""        */
    int64_t time, arrived; int zone;
    mail_fate about;         /* FAILED, DELIVERED, RELAYED, EXPANDED, or
                                DUE: it is only late, and will be    */
    int64_t until;           /* tried until then                     */
    int utf8;                /* 1: octets over 127 may be in it      */
    int full;                /* 1: all of the message follows        */
} mail_dsn;

typedef struct mail_dsn_rcpt {
    const mail_path *path;
    const char *hop;         /* who said so, or ""                   */
    int      code;           /* its reply code, or 0                 */
    const char *words;       /* its words                            */
    const mail_path *alias;  /* what was written to, if another; or NULL */
    const char *orcpt;       /* ORCPT= of it; or NULL                */
} mail_dsn_rcpt;

MAIL_DEF void mail_dsn_head(mail_buf *b, const mail_dsn *d);
MAIL_DEF void mail_dsn_say(mail_buf *b, const mail_dsn_rcpt *r);
MAIL_DEF void mail_dsn_middle(mail_buf *b, const mail_dsn *d);
MAIL_DEF void mail_dsn_group(mail_buf *b, const mail_dsn *d,
                             const mail_dsn_rcpt *r);
MAIL_DEF void mail_dsn_original(mail_buf *b, const mail_dsn *d);
MAIL_DEF void mail_dsn_tail(mail_buf *b, const mail_dsn *d);

/* ======================================================================
   [SERVER] a mail server, over its machine              ch.8, ch.9, ch.14
   One host: sessions, mailboxes, queue, routing, reports. It reaches the
   outside only through mail_sys; there are two: the real machine and the
   virtual world (mail.c). It never blocks and never waits.
   ====================================================================== */

enum {
    MAIL_OPEN_READ,
    MAIL_OPEN_NEW,                  /* to write; fails if it exists     */
    MAIL_OPEN_BOTH                  /* to read and write; made if need be */
};

/* Every file name is relative to the server's directory, and ours: it never
   holds an octet that a peer chose. A result is OK or an error of the list;
   a file or a wire is a number >= 0, or -1 - error. */
typedef struct mail_sys {
    void *ctx;
    int64_t  (*clock)(void *ctx);         /* ms, never goes back        */
    int64_t  (*time)(void *ctx, int *zone); /* s since 1970; min. east  */
    void     (*random)(void *ctx, void *p, size_t n);
    void    *(*alloc)(void *ctx, void *p, size_t n); /* as realloc; 0 frees */
    int      (*open)(void *ctx, const char *name, int how);
    int64_t  (*read)(void *ctx, int file, int64_t at, void *p, size_t n);
    mail_err (*write)(void *ctx, int file, int64_t at, const void *p,
                      size_t n);
    mail_err (*close)(void *ctx, int file);
    mail_err (*rename)(void *ctx, const char *from, const char *to,
                       int replace);
    /* A second name for the same file; EXISTS if it is taken. */
    mail_err (*link)(void *ctx, const char *from, const char *to);
    mail_err (*remove)(void *ctx, const char *name);
    mail_err (*mkdir)(void *ctx, const char *name); /* OK if it is there */
    mail_err (*list)(void *ctx, const char *dir,
                     void (*each)(void *arg, const char *name), void *arg);
    int64_t  (*space)(void *ctx);   /* octets free; -1: not known       */
    /* Make durable: the content of a file (file >= 0), the names in a
       directory, or (dir NULL) everything that was written before. Answered
       later, many at once, by mail_server_flushed; with ticket NULL by
       nobody. A flush of everything begins when those asked for before it
       are answered: who has heard of no failure has lost nothing by one.
       Once the server is closed, or has failed to open, nobody is told any
       more. */
    mail_err (*flush)(void *ctx, int file, const char *dir, void *ticket);
    /* Octets; 0: the peer has ended; -1: not now; -2: broken. */
    int64_t  (*recv)(void *ctx, int wire, void *p, size_t n);
    int64_t  (*send)(void *ctx, int wire, const void *p, size_t n);
    /* Looks a name up, by a MAIL_RR_ type. Answered later, never from here,
       by mail_server_found with the ticket. */
    mail_err (*lookup)(void *ctx, const char *name, int type, void *ticket);
    /* Begins to connect to "address:port"; mail_server_connected says how it
       went, with the conn. A wire, or -1 - error at once. */
    int      (*connect)(void *ctx, const char *host_port, void *conn);
    /* Begins TLS on a wire, once: host is who was called, NULL: we are the
       server. No certificate is verified. Answered later, never from here, by
       mail_server_secured with conn; recv and send are not called till then,
       and carry what is inside afterwards. The end of TLS is the end of the
       wire: nothing is ever in clear again. NULL: this machine has no TLS. */
    mail_err (*secure)(void *ctx, int wire, const char *host, void *conn);
    void     (*hangup)(void *ctx, int wire);
} mail_sys;

typedef struct mail_server_opts {
    const char *host;               /* our name                        */
    mail_routing routing;           /* is_user, any_user, ctx are ours */
    int64_t max_size;               /* 10 MiB                          */
    int     max_rcpts;              /* 100; at most 1,000              */
    int     max_conns;              /* clients at once: 100            */
    int     max_per_address;        /* of them, from one IPv4 address or
                                       one IPv6 /64: half of max_conns */
    int64_t crowd_timeout;          /* ms: with over 80 % of max_conns a
                                       client may be silent for 10,000 */
    int     max_errors, max_junk, max_messages, min_rate;
    int64_t timeout, hello_timeout, max_time;  /* mail_smtpd_opts      */
    int64_t pop3_timeout, login_timeout;       /* mail_pop3d_opts      */
    int     slow_errors;            /* refused commands, from which on a
                                       reply waits for a second: 5     */
    int64_t max_header;             /* octets of a message's header:
                                       102,400; more is refused: 552   */
    int     max_lines;              /* lines of it: 1,000              */
    int     max_hops;               /* its Received fields: 100        */
    int     max_out, max_hop;       /* outgoing connections: 20; of them
                                       to one next hop: 10             */
    int     max_addresses;          /* of a next hop, called in a try: 5 */
    int     max_sessions;           /* of them, that answered: 2       */
    int64_t connect_timeout;        /* ms until a connection is: 30,000 */
    int64_t reply_timeout;          /* mail_smtpc_opts                 */
    int64_t bdat;                   /* octets from which on a text goes out
                                       by BDAT, where it can: 65,536   */
    int     reject_bare, basic;     /* as in mail_smtpd_opts           */
    int     any_auth;               /* 1: logins on port 25 too        */
    int     tls;                    /* 1: there is a certificate: offer
                                       TLS to clients                  */
    int64_t auth_delay;             /* ms that the answer to a wrong
                                       password waits: 2,000. Each more from
                                       that address (or IPv6 /64) doubles it,
                                       up to 15 s; -1: no delay        */
    int     auth_tries;             /* wrong passwords for one name from one
                                       address until it is locked: 10; -1:
                                       never                           */
    int64_t auth_lock;              /* s that it is, or that a wrong password
                                       is remembered: 900              */
    const char *relay_from;         /* networks that may relay without a
                                       login: see mail_relay_check; NULL:
                                       nobody                          */
    int64_t retry_first, retry_max; /* s: 300, 14,400                  */
    int64_t warn;                   /* s: 14,400: the sender is told   */
    int64_t expire;                 /* s: 432,000: five days           */
    int64_t reserve;                /* octets that stay free on the
                                       disk: with less, 452; 0: any    */
    int64_t journal;                /* octets of a segment: 64 MiB; at
                                       least 256 KiB                   */
    int64_t max_return;             /* octets of a failed message that come
                                       back whole, if its sender asks
                                       (RET=FULL): 51,200; of a longer one
                                       its header                      */
    int64_t checkpoint;             /* ms: 1,000: what is longer in the
                                       journal becomes files           */
    void (*watch)(void *ctx, unsigned conn, char role, mail_note kind,
                  mail_str text, const char *state);
    void *watch_ctx;
} mail_server_opts;

typedef struct mail_server mail_server;
typedef struct mail_conn mail_conn;

enum {                              /* what a listening port speaks */
    MAIL_PORT_SMTP, MAIL_PORT_SUBMISSION, MAIL_PORT_POP3,
    MAIL_PORT_SMTPS, MAIL_PORT_POP3S    /* submission and POP3, in TLS from
                                           the first octet (RFC 8314)     */
};
enum { MAIL_WANT_READ = 1, MAIL_WANT_WRITE = 2 };

/* Opens what is in the directory: reads users, goes through the queue.
   sys and the strings in opts are borrowed for its life. NULL and *err. */
MAIL_DEF mail_server *mail_server_open(const mail_sys *sys,
                                       const mail_server_opts *opts,
                                       mail_err *err);
/* Ends it at once: open transactions are dropped, the queue stays. */
MAIL_DEF void mail_server_close(mail_server *v);
/* Reads users and aliases again. After an error in one of the two files its
   old ones stay; for aliases the log says which line it is. */
MAIL_DEF mail_err mail_server_reload(mail_server *v);

/* A client has connected: the conn, to be called ready at once, or NULL
   (hang up: no memory). One too many is told so (421 4.7.0). peer is its
   address, "127.0.0.1", copied. local: may it give its password in clear? In
   TLS everybody may. */
MAIL_DEF mail_conn *mail_server_accept(mail_server *v, int wire, int port,
                                       const char *peer, int local);
/* The answer to sys->lookup: OK and the records of that type, wherever a
   CNAME led; n = 0: the name is there, but no such record. NOTFOUND: there is
   no such name. Any other error: no answer for now. rr is borrowed. */
MAIL_DEF void mail_server_found(mail_server *v, void *ticket, mail_err e,
                                const mail_rr *rr, size_t n);
/* An outgoing connection is made, or has failed. */
MAIL_DEF void mail_server_connected(mail_server *v, mail_conn *c,
                                    mail_err err, const char *why);
/* The answer to sys->secure: OK, and what TLS it is ("TLSv1.3 ..."), or an
   error, and why. */
MAIL_DEF void mail_server_secured(mail_server *v, mail_conn *c, mail_err err,
                                  const char *text);
/* Its wire can be read or written. After this, or any call here, c may be
   gone: sys->hangup was called for it. */
MAIL_DEF void mail_server_ready(mail_server *v, mail_conn *c);
/* What to wait for: MAIL_WANT_ bits. */
MAIL_DEF int mail_conn_wants(const mail_conn *c);
/* A flush is done: the answer to sys->flush. */
MAIL_DEF void mail_server_flushed(mail_server *v, void *ticket, mail_err e);
/* Does what is due; returns when to call again, by sys->clock. due says so
   without doing anything. */
MAIL_DEF int64_t mail_server_tick(mail_server *v);
MAIL_DEF int64_t mail_server_due(const mail_server *v);
/* No new mail, say 421 to idle clients; 1 when nothing is under way. */
MAIL_DEF int mail_server_stop(mail_server *v);
/* What an operator asks about the queue: "list", "show ID", "retry", "retry
   ID" (due now) or "remove ID" (it leaves, and nobody is told; durable after
   the next flushes). The answer comes in lines, without their ends and
   without control octets, borrowed for the call. SYNTAX: no such request;
   NOTFOUND: no such message; BUSY: it is being sent just now. */
MAIL_DEF mail_err mail_server_ask(mail_server *v, mail_str request,
                                  void (*line)(void *ctx, mail_str text),
                                  void *ctx);
/* Messages in the queue; connections. */
MAIL_DEF size_t mail_server_queued(const mail_server *v);
MAIL_DEF size_t mail_server_conns(const mail_server *v);

/* ======================================================================
   [CALLS] for a project that copies mail.c, too                    ch.14
   What is above is in this file alone. These calls are in mail.c: compile it
   in, with MAIL_NO_MAIN. They open sockets and files, and wait; they print
   nothing, end nothing, touch no signal, and keep nothing from one call to
   the next: threads may call them at the same time. MAIL_STATIC does not
   make them static.
   ====================================================================== */

/* Where a server is, and how to talk to it. Strings are borrowed for the
   call. */
typedef struct mail_peer {
    const char *server;      /* "HOST:PORT"; NULL: `mail serve` on this
                                machine, 127.0.0.1:2587 or :2110           */
    const char *user, *password; /* log in, if given                       */
    mail_tls tls;            /* zero: NOW at the ports 465 and 995, else
                                none to this machine, MUST beyond it       */
    int     in_clear;        /* 1: no TLS, wherever the server is          */
    int     insecure;        /* 1: TLS with whoever answers                */
    const char *cafile;      /* PEM: whom to trust; NULL: as the system    */
    int     plaintext_ok;    /* 1: the password may cross a network in
                                clear; to this machine it always may       */
    int     unsealed;        /* 1: the server may be on another machine    */
    int     basic;           /* 1: no extensions: HELO; no CAPA, no AUTH   */
    int64_t deadline;        /* ms for the whole call, the look-up of a
                                name excepted; 0: each step has its own    */
    mail_watch *watch; void *watch_ctx;
} mail_peer;

/* How it went. Words come from the server: see mail_printable. */
typedef struct mail_result {
    mail_err err;            /* what the call has returned                 */
    int      code;           /* the last SMTP reply, or 0                  */
    char     words[512];     /* what the server said, or what went wrong   */
    int64_t  count;          /* recipients; messages there, -1: not known  */
    int64_t  done;           /* of them, accepted; fetched                 */
    int64_t  removed;        /* messages that are gone from the server     */
    int64_t  skipped;        /* that it did not give, or are too large     */
    int64_t  octets;         /* of message text, sent or fetched           */
} mail_result;

enum { MAIL_TO, MAIL_CC, MAIL_BCC };

/* Who gets it, and what came of that. */
typedef struct mail_send_rcpt {
    const char *address;     /* yours: "bob@b.example", or with a name,
                                "Bob <bob@b.example>"                      */
    int      field;          /* yours: MAIL_TO, MAIL_CC; MAIL_BCC: it is
                                named nowhere                              */
    const mail_param *param; /* yours: reports for him; NULL: as for all   */
    mail_err err;            /* filled: OK: the server has it now          */
    int      code;           /* filled: the reply; 0: there was none       */
    char     words[512];     /* filled: its words                          */
} mail_send_rcpt;

/* A message: raw, with its header, sent as it is; or text, html and files, of
   which one is composed. */
typedef struct mail_send_opts {
    mail_peer peer;
    const char *helo;        /* our name: the machine's                    */
    const char *from;        /* as an address above; raw: "<>" too         */
    mail_send_rcpt *rcpts; size_t nrcpts;  /* filled                       */
    mail_source raw;
    const char *subject;     /* UTF-8, as are                              */
    mail_source text, html;  /* see mail_compose                           */
    mail_file *files; size_t nfiles;  /* borrowed. Without a source: a file
                                on the disk, by its path                   */
    mail_param param;        /* reports (DSN); the rest of it is set here  */
    int     all;             /* 1: if one recipient is refused, nobody gets
                                it: the code of the others is 0 then       */
} mail_send_opts;

/* Sends it, and waits for the answers. The result is filled; it may be NULL.
   OK: every recipient was accepted; else the first error. Nothing is sent
   unless all of it can be: an address that is none, a file that cannot be
   read, are found before. A file that changes while it is read ends the
   connection, and nobody gets half of it. TIMEOUT and CLOSED at the very end
   may mean that the server has it all the same (RFC 5321 6.1). */
mail_err mail_send(mail_send_opts opts, mail_result *result);

/* Several messages over one connection. next fills in the message: what it
   leaves alone is as in opts; peer, helo and all are those of opts. last has
   become of the one before, NULL at the first; its rcpts are filled. 0: no
   more. When a server takes no more in a connection (LIMITS, RFC 9422; 421;
   it hangs up between two) there is another connection. One that cannot be
   made, or breaks in a message, is that message's result: go on or not.
   Returns the first error of any. */
typedef int mail_send_next(void *ctx, mail_send_opts *next,
                           const mail_result *last);
mail_err mail_send_many(mail_send_opts opts, mail_send_next *next, void *ctx);

/* Fetches mail. Without `into` you take the text (in pieces, CRLF line ends)
   and store; OK from store says that the message is durable. Nothing is
   removed from the server before that. */
typedef struct mail_fetch_opts {
    mail_peer peer;
    int     keep;            /* 1: keep mode: the mail stays there         */
    int     leave_days;      /* in keep mode: what was fetched so many days
                                ago is removed there; 0: never             */
    int     apop;            /* 1: log in by APOP, or not at all           */
    int64_t max_size;        /* octets a message may have: 50 MiB          */
    const char *into;        /* a Maildir, or FILE.mbox; made if need be   */
    const char *ledger;      /* a file: which UIDs are here. NULL: beside
                                into, INTO.uidl; without into, none        */
    mail_err (*text)(void *ctx, int64_t number, mail_str text);
    mail_err (*store)(void *ctx, int64_t number);
    void   (*progress)(void *ctx, const mail_result *so_far); /* or NULL  */
    void    *ctx;
} mail_fetch_opts;

/* The result is filled; it may be NULL. OK: all that was new is here. A run
   that was cut off goes on where it was: what is in the ledger is not fetched
   again. A crash costs nothing, and twice there is at most the message that
   was being stored; with UIDL and a ledger, none that was in it. BUSY: the
   mailbox, the mbox or the ledger is in use. At most 100,000 messages. */
mail_err mail_fetch(mail_fetch_opts opts, mail_result *result);

/* A whole server in your process, for tests of programs that send or fetch
   mail: on loopback, at ports that are free, in memory. It does not relay to
   other machines, and forgets everything when it is stopped. */
typedef struct mail_serve_opts {
    const char *host;        /* its name: localhost                        */
    const char *domain;      /* whose mail ends here: host                 */
    const char *users;       /* lines, as DIR/users has them:
                                "bob:{PLAIN}secret\n"                      */
    const char *catch_all;   /* a user: gets the mail for unknown ones, who
                                are refused without                        */
    int64_t max_size;        /* octets of a message: 10 MiB                */
    int     reject_bare, basic; /* as in mail_smtpd_opts                   */
    int     thread;          /* 1: it runs in a thread of its own, which is
                                where message is called; 0: you call step  */
    /* A mailbox has got a message, whole, with its Return-Path and Received
       fields, CRLF line ends. Borrowed for the call. */
    void  (*message)(void *ctx, const char *user, mail_str text);
    void   *ctx;
} mail_serve_opts;

typedef struct mail_serve mail_serve;

/* NULL: why is in result, which may be NULL. Strings are borrowed for the
   server's life. */
mail_serve *mail_serve_start(mail_serve_opts opts, mail_result *result);
/* The number of its port MAIL_PORT_SMTP, _SUBMISSION or _POP3. */
int mail_serve_port(const mail_serve *s, int port);
/* Does what is due, and waits for more no longer than ms. */
void mail_serve_step(mail_serve *s, int ms);
/* Finishes what is under way, and is gone; after it message is called no
   more. NULL is nothing. */
void mail_serve_stop(mail_serve *s);

#ifdef __cplusplus
}
#endif
#endif /* MAIL_H */

/* ############################ IMPLEMENTATION ########################### */

#ifdef MAIL_IMPLEMENTATION
#ifndef MAIL_IMPLEMENTATION_DONE
#define MAIL_IMPLEMENTATION_DONE

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Seams: where a function of yours goes in place of one of these, of the same
   form. The labs use them, one each. Declare yours behind the declarations of
   mail.h, and define the name before its implementation. */
#ifndef MAIL_DECODE_WORD
#define MAIL_DECODE_WORD mail__decode_word                  /* lab 12 */
#endif
#ifndef MAIL_PATH_READ
#define MAIL_PATH_READ mail_path_read          /* lab 2, the server MTA's */
#endif
#ifndef MAIL_LINE_FEED
#define MAIL_LINE_FEED mail_line_feed                       /* lab 1 */
#endif
#ifndef MAIL_SMTPD_MAY
#define MAIL_SMTPD_MAY(state, verb) 1      /* lab 4: a table before the table */
#endif
#ifndef MAIL_DOT_READ
#define MAIL_DOT_READ mail_dot_read                         /* lab 5 */
#endif
#ifndef MAIL_DOT_WRITE
#define MAIL_DOT_WRITE mail_dot_write
#endif
#ifndef MAIL_DOT_CLOSE
#define MAIL_DOT_CLOSE mail_dot_close
#endif
#ifndef MAIL_REPLY_LINE
#define MAIL_REPLY_LINE mail_reply_line                     /* lab 3 */
#endif
#ifndef MAIL_ROUTE_FIND
#define MAIL_ROUTE_FIND mail_route_find                     /* lab 7 */
#endif
#ifndef MAIL_RECEIVED_WRITE
#define MAIL_RECEIVED_WRITE mail_received_write
#endif
#ifndef MAIL_RETRY_AFTER
#define MAIL_RETRY_AFTER mail_retry_after                   /* lab 9 */
#endif
#ifndef MAIL_FOR_GOOD
#define MAIL_FOR_GOOD mail__for_good
#endif
#ifndef MAIL_POP3D_MAY
#define MAIL_POP3D_MAY mail__pop3d_may                      /* lab 10 */
#endif
#ifndef MAIL_FETCH_PLAN
#define MAIL_FETCH_PLAN mail__fetch_plan                    /* lab 11 */
#endif

/* ======================================================================
   [ERROR]
   ====================================================================== */

MAIL_DEF const char *mail_err_name(mail_err e) {
    static const char *const names[] = {
#define MAIL__X(name, text) #name,
        MAIL_ERRORS(MAIL__X)
#undef MAIL__X
    };
    return (unsigned)e < MAIL_ERR_COUNT ? names[e] : "?";
}

MAIL_DEF const char *mail_err_text(mail_err e) {
    static const char *const texts[] = {
#define MAIL__X(name, text) text,
        MAIL_ERRORS(MAIL__X)
#undef MAIL__X
    };
    return (unsigned)e < MAIL_ERR_COUNT ? texts[e] : "?";
}

/* ======================================================================
   [STR]
   ====================================================================== */

MAIL_DEF mail_str mail_sn(const char *p, size_t n) {
    mail_str s;
    s.p = p;
    s.n = n;
    return s;
}

MAIL_DEF mail_str mail_s(const char *z) {
    return z ? mail_sn(z, strlen(z)) : mail_sn("", 0);
}

MAIL_DEF int mail_eq(mail_str a, mail_str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Not tolower: that one asks the locale, and SMTP has none. */
static char mail__lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static int mail__digit(char c) { return c >= '0' && c <= '9'; }

static int mail__alnum(char c) {
    c = mail__lower(c);
    return mail__digit(c) || (c >= 'a' && c <= 'z');
}

MAIL_DEF int mail_ieq(mail_str a, mail_str b) {
    size_t i;
    if (a.n != b.n) return 0;
    for (i = 0; i < a.n; i++)
        if (mail__lower(a.p[i]) != mail__lower(b.p[i])) return 0;
    return 1;
}

MAIL_DEF int mail_starts(mail_str s, const char *prefix) {
    mail_str p = mail_s(prefix);
    return s.n >= p.n && mail_ieq(mail_sn(s.p, p.n), p);
}

MAIL_DEF mail_str mail_trim(mail_str s) {
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

MAIL_DEF mail_str mail_cut(mail_str *rest, char c) {
    mail_str head = *rest;
    const char *at = rest->n ? (const char *)memchr(rest->p, c, rest->n)
                             : NULL;
    if (at == NULL) {
        if (rest->n) rest->p += rest->n;        /* p may be NULL, with 0 */
        rest->n = 0;
        return head;
    }
    head.n = (size_t)(at - head.p);
    rest->p = at + 1;
    rest->n -= head.n + 1;
    return head;
}

MAIL_DEF mail_err mail_number(mail_str s, int64_t max, int64_t *value) {
    int64_t v = 0;
    size_t i;
    if (s.n == 0) return MAIL_ERR_SYNTAX;
    for (i = 0; i < s.n; i++)
        if (!mail__digit(s.p[i])) return MAIL_ERR_SYNTAX;
    for (i = 0; i < s.n; i++) {
        int d = s.p[i] - '0';
        if (d > max || v > (max - d) / 10) return MAIL_ERR_TOOLONG;
        v = v * 10 + d;
    }
    *value = v;
    return MAIL_ERR_OK;
}

MAIL_DEF int mail_has_control(mail_str s) {
    size_t i;
    for (i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 32 || s.p[i] == 127) return 1;
    return 0;
}

/* Eight octets at a time: this looks at every octet of every message. */
static int mail__is_8bit(mail_str s) {
    size_t i = 0;
    uint64_t any = 0, eight;
    for (; i + 8 <= s.n; i += 8) {
        memcpy(&eight, s.p + i, 8);
        any |= eight;
    }
    if (any & UINT64_C(0x8080808080808080)) return 1;
    for (; i < s.n; i++)
        if ((unsigned char)s.p[i] > 127) return 1;
    return 0;
}

enum { MAIL__NO_CHAR = 0x110000 };

/* UTF-8 octet by octet, by RFC 3629: no overlong forms, no surrogates. Zero
   it to begin; a character is open as long as more is set. */
static int mail__utf8_step(mail_utf8 *u, unsigned char c) {
    if (u->more) {
        int ok = c >= u->low && c <= u->high;
        u->more = (unsigned char)(ok ? u->more - 1 : 0);
        u->low = 0x80;
        u->high = 0xbf;
        return ok;
    }
    u->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    u->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    u->more = c < 0xc2 || c > 0xf4 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    return c < 0x80 || u->more;
}

/* Takes the code point off the front of s, which is not empty; NO_CHAR if
   there is none. */
static uint32_t mail__utf8_take(mail_str *s) {
    mail_utf8 u;
    uint32_t v = 0;
    size_t i = 0;
    memset(&u, 0, sizeof u);
    do {
        unsigned char c = i < s->n ? (unsigned char)s->p[i] : 0;
        if (i == s->n || !mail__utf8_step(&u, c)) return MAIL__NO_CHAR;
        v = i++ ? v << 6 | (c & 0x3fu)
                : u.more ? c & (0x3fu >> u.more) : (uint32_t)c;
    } while (u.more);
    *s = mail_sn(s->p + i, s->n - i);
    return v;
}

MAIL_DEF int mail_utf8_ok(mail_str s) {
    while (s.n)
        if (mail__utf8_take(&s) == MAIL__NO_CHAR) return 0;
    return 1;
}

/* UTF-8 that may stand in a name: without the control characters that are
   no octets under 32. */
static int mail__utf8_name(mail_str s) {
    while (s.n) {
        uint32_t c = mail__utf8_take(&s);
        if (c == MAIL__NO_CHAR || (c >= 0x80 && c < 0xa0)) return 0;
    }
    return 1;
}

MAIL_DEF int mail_copy(char *to, size_t cap, mail_str s) {
    size_t n = s.n < cap ? s.n : cap - 1;
    if (n) memcpy(to, s.p, n);
    to[n] = 0;
    return n == s.n;
}

MAIL_DEF mail_buf mail_buf_on(char *p, size_t cap) {
    mail_buf b;
    b.p = p;
    b.n = 0;
    b.cap = cap;
    b.full = 0;
    return b;
}

MAIL_DEF void mail_buf_add(mail_buf *b, mail_str s) {
    if (b->full || s.n > b->cap - b->n) {
        b->full = 1;
        return;
    }
    if (s.n) memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

static void mail__buf_vfmt(mail_buf *b, const char *fmt, va_list ap) {
    int n;
    if (b->full) return;
    n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
    /* vsnprintf needs room for its NUL: a text that just fits is full. */
    if (n < 0 || (size_t)n >= b->cap - b->n) b->full = 1;
    else b->n += (size_t)n;
}

MAIL_DEF void mail_buf_fmt(mail_buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    mail__buf_vfmt(b, fmt, ap);
    va_end(ap);
}

MAIL_DEF mail_str mail_buf_str(const mail_buf *b) {
    return mail_sn(b->p, b->n);
}

/* ======================================================================
   [TRACE]
   ====================================================================== */

MAIL_DEF const char *mail_note_name(mail_note n) {
    static const char *const names[] = {
#define MAIL__X(name, text) #name,
        MAIL_NOTES(MAIL__X)
#undef MAIL__X
    };
    return (unsigned)n < MAIL_NOTE_COUNT ? names[n] : "?";
}

/* Octets at the front of s that may be shown as they are: one character. */
static size_t mail__showable(mail_str s, int utf8) {
    mail_str rest = s;
    uint32_t c = (unsigned char)s.p[0];
    if (c < 128) return c >= 32 && c < 127;
    if (!utf8 || (c = mail__utf8_take(&rest)) == MAIL__NO_CHAR) return 0;
    return c < 0xa0 || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           c == 0xfeff || c >= 0xe0000 ? 0 : s.n - rest.n;
}

static const char *mail__printable(char *to, size_t cap, mail_str s,
                                   int utf8) {
    mail_buf b = mail_buf_on(to, cap - 4);
    size_t i, n;
    for (i = 0; i < s.n && !b.full; i += n ? n : 1) {
        n = mail__showable(mail_sn(s.p + i, s.n - i), utf8);
        if (n) mail_buf_add(&b, mail_sn(s.p + i, n));
        else mail_buf_fmt(&b, "\\x%02X", (unsigned)(unsigned char)s.p[i]);
    }
    memcpy(to + b.n, b.full ? "..." : "", b.full ? 4 : 1);
    return to;
}

MAIL_DEF const char *mail_printable(char *to, size_t cap, mail_str s) {
    return mail__printable(to, cap, s, 0);
}

MAIL_DEF const char *mail_printable_utf8(char *to, size_t cap, mail_str s) {
    return mail__printable(to, cap, s, 1);
}

/* ======================================================================
   [B64]
   ====================================================================== */

MAIL_DEF void mail_b64_encode(mail_buf *b, mail_str s) {
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i;
    for (i = 0; i < s.n; i += 3) {
        size_t have = s.n - i < 3 ? s.n - i : 3;
        uint32_t v = (uint32_t)(unsigned char)s.p[i] << 16;
        char four[4];
        if (have > 1) v |= (uint32_t)(unsigned char)s.p[i + 1] << 8;
        if (have > 2) v |= (uint32_t)(unsigned char)s.p[i + 2];
        four[0] = abc[v >> 18];
        four[1] = abc[v >> 12 & 63];
        four[2] = have > 1 ? abc[v >> 6 & 63] : '=';
        four[3] = have > 2 ? abc[v & 63] : '=';
        mail_buf_add(b, mail_sn(four, 4));
    }
}

static int mail__b64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

MAIL_DEF mail_err mail_b64_decode(mail_str s, char *out, size_t *n) {
    size_t i, k, made = 0;
    if (s.n % 4) return MAIL_ERR_SYNTAX;
    for (i = 0; i < s.n; i += 4) {
        int last = i + 4 == s.n, pad = 0;
        uint32_t v = 0;
        for (k = 0; k < 4; k++) {
            char c = s.p[i + k];
            int d = mail__b64_value(c);
            if (c == '=' && last && k > 1) d = 0, pad++;
            else if (d < 0 || pad) return MAIL_ERR_SYNTAX;
            v = v << 6 | (uint32_t)d;
        }
        /* Stray bits under the padding would give one text two codes. */
        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
            return MAIL_ERR_SYNTAX;
        out[made++] = (char)(v >> 16 & 0xff);
        if (pad < 2) out[made++] = (char)(v >> 8 & 0xff);
        if (pad < 1) out[made++] = (char)(v & 0xff);
    }
    *n = made;
    return MAIL_ERR_OK;
}

/* ======================================================================
   [QP]
   ====================================================================== */

MAIL_DEF const char *mail_coding_name(mail_coding c) {
    return c == MAIL_CODING_QP ? "quoted-printable"
         : c == MAIL_CODING_B64 ? "base64" : "7bit";
}

/* A line has at most 76 octets, with the "=" that joins it to the next:
   RFC 2045 6.7 (5). */
static void mail__qp_put(mail_encode *e, mail_str s, mail_buf *b) {
    if (e->col + s.n > 75) {
        mail_buf_add(b, mail_s("=\r\n"));
        e->col = 0;
    }
    mail_buf_add(b, s);
    e->col = (unsigned char)(e->col + s.n);
}

static void mail__qp_hex(mail_encode *e, char c, mail_buf *b) {
    static const char hex[] = "0123456789ABCDEF";
    char three[3];
    three[0] = '=';
    three[1] = hex[(unsigned char)c >> 4];
    three[2] = hex[c & 15];
    mail__qp_put(e, mail_sn(three, 3), b);
}

/* White space at the end of a line would be lost on the way (6.7 (3)), and
   CR LF is a line end and CR alone is none: so one octet is held. */
static void mail__qp_add(mail_encode *e, char c, mail_buf *b) {
    char held = e->n ? e->held[0] : 0;
    e->n = 0;
    if (held == '\r' && c == '\n') {
        mail_buf_add(b, mail_s("\r\n"));
        e->col = 0;
        return;
    }
    if (held == '\r' || (held && e->lines && c == '\r'))
        mail__qp_hex(e, held, b);
    else if (held) mail__qp_put(e, mail_sn(&held, 1), b);
    if (c == ' ' || c == '\t' || (c == '\r' && e->lines))
        e->held[e->n++] = c;
    else if (c > ' ' && c <= '~' && c != '=')
        mail__qp_put(e, mail_sn(&c, 1), b);
    else mail__qp_hex(e, c, b);
}

static void mail__b64_line(mail_encode *e, mail_buf *b) {
    if (e->col) mail_buf_add(b, mail_s("\r\n"));
    mail_b64_encode(b, mail_sn(e->held, e->n));
    e->col = 1;
    e->n = 0;
}

MAIL_DEF void mail_encode_add(mail_encode *e, mail_str s, mail_buf *b) {
    size_t i, n;
    if (e->coding == MAIL_CODING_NONE) mail_buf_add(b, s);
    if (e->coding == MAIL_CODING_QP)
        for (i = 0; i < s.n; i++) mail__qp_add(e, s.p[i], b);
    while (e->coding == MAIL_CODING_B64 && s.n) {
        n = sizeof e->held - e->n;
        if (n > s.n) n = s.n;
        memcpy(e->held + e->n, s.p, n);
        e->n = (unsigned char)(e->n + n);
        s = mail_sn(s.p + n, s.n - n);
        if (e->n == sizeof e->held) mail__b64_line(e, b);
    }
}

MAIL_DEF void mail_encode_end(mail_encode *e, mail_buf *b) {
    if (e->n == 0) return;
    if (e->coding == MAIL_CODING_B64) mail__b64_line(e, b);
    else mail__qp_hex(e, e->held[0], b);
    e->n = 0;
}

static int mail__hex_value(char c) {
    if (mail__digit(c)) return c - '0';
    c = mail__lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void mail__decode_flush(mail_decode *d, mail_buf *b) {
    mail_buf_add(b, mail_sn(d->held, d->n));
    d->n = 0;
}

/* What has begun with "=": two digits; or white space up to the end of the
   line, which joins it to the next. Returns 0 if it is none of them. */
static int mail__qp_escape(mail_decode *d, char c, mail_buf *b) {
    int white = c == ' ' || c == '\t' || c == '\r';
    int hex = mail__hex_value(c), first = mail__hex_value(d->held[1]);
    if (d->n > 1 && first >= 0) {
        char octet = (char)(first * 16 + hex);
        if (hex < 0) return 0;
        mail_buf_add(b, mail_sn(&octet, 1));
        d->n = 0;
        return 1;
    }
    if (c == '\n') d->n = 0;
    else if ((white || (hex >= 0 && d->n == 1)) && d->n < sizeof d->held)
        d->held[d->n++] = c;
    else return 0;
    return 1;
}

/* White space before a line end was added on the way: RFC 2045 6.7 (3). */
static void mail__qp_take(mail_decode *d, char c, mail_buf *b) {
    int white = c == ' ' || c == '\t';
    if (d->n && d->held[0] == '=' && mail__qp_escape(d, c, b)) return;
    if (d->n && d->held[0] != '=' && (c == '\r' || c == '\n')) d->n = 0;
    if (!white || d->n == sizeof d->held || (d->n && d->held[0] == '='))
        mail__decode_flush(d, b);
    if (white || c == '=') d->held[d->n++] = c;
    else mail_buf_add(b, mail_sn(&c, 1));
}

/* Four characters are three octets; "=" ends them early. */
static void mail__b64_take(mail_decode *d, char c, mail_buf *b) {
    int v = mail__b64_value(c);
    char three[3];
    if (v < 0 && c != '=') return;
    if (v >= 0) {
        d->bits = d->bits << 6 | (uint32_t)v;
        if (++d->n < 4) return;
    } else d->bits <<= 6 * (4 - d->n);
    three[0] = (char)(d->bits >> 16 & 255);
    three[1] = (char)(d->bits >> 8 & 255);
    three[2] = (char)(d->bits & 255);
    if (d->n > 1) mail_buf_add(b, mail_sn(three, (size_t)d->n - 1));
    d->bits = 0;
    d->n = 0;
}

MAIL_DEF void mail_decode_add(mail_decode *d, mail_str s, mail_buf *b) {
    size_t i;
    if (d->coding == MAIL_CODING_NONE) mail_buf_add(b, s);
    else for (i = 0; i < s.n; i++)
        if (d->coding == MAIL_CODING_QP) mail__qp_take(d, s.p[i], b);
        else mail__b64_take(d, s.p[i], b);
}

MAIL_DEF void mail_decode_end(mail_decode *d, mail_buf *b) {
    if (d->coding == MAIL_CODING_B64) mail__b64_take(d, '=', b);
    else if (d->n && d->held[0] == '=' &&
             mail_trim(mail_sn(d->held + 1, (size_t)d->n - 1)).n)
        mail__decode_flush(d, b);
    d->n = 0;
}

/* ======================================================================
   [HASH]
   ====================================================================== */

static uint32_t mail__rol(uint32_t x, unsigned n) {
    return x << n | x >> (32 - n);
}
static uint32_t mail__ror(uint32_t x, unsigned n) {
    return x >> n | x << (32 - n);
}

/* RFC 1321 3.4: the four functions, a step, and four steps, after which each
   letter is back where it was (as in SHA-256 below). g is a step's word, by
   how far the next one's is. */
#define MAIL__MD5_F(x, y, z) ((x & y) | (~x & z))
#define MAIL__MD5_G(x, y, z) ((x & z) | (y & ~z))
#define MAIL__MD5_H(x, y, z) (x ^ y ^ z)
#define MAIL__MD5_I(x, y, z) (y ^ (x | ~z))
#define MAIL__MD5(f, a, b, c, d, i, g, n) \
    a += f(b, c, d) + k[i] + w[(g) % 16], \
    a = b + mail__rol(a, n)
#define MAIL__MD5_FOUR(f, i, g, by, n1, n2, n3, n4) \
    MAIL__MD5(f, a, b, c, d, i, g, n1); \
    MAIL__MD5(f, d, a, b, c, i + 1, g + by, n2); \
    MAIL__MD5(f, c, d, a, b, i + 2, g + 2 * by, n3); \
    MAIL__MD5(f, b, c, d, a, i + 3, g + 3 * by, n4)

static void mail__md5_block(uint32_t h[4], const unsigned char block[64]) {
    /* floor(2^32 * |sin(i + 1)|), RFC 1321 3.4 */
    static const uint32_t k[64] = {
        0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf,
        0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af,
        0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e,
        0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
        0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6,
        0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
        0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
        0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
        0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039,
        0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97,
        0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d,
        0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
        0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391
    };
    uint32_t w[16], a = h[0], b = h[1], c = h[2], d = h[3];
    unsigned i;
    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)block[i * 4] | (uint32_t)block[i * 4 + 1] << 8 |
               (uint32_t)block[i * 4 + 2] << 16 |
               (uint32_t)block[i * 4 + 3] << 24;
    for (i = 0; i < 16; i += 4) {
        MAIL__MD5_FOUR(MAIL__MD5_F, i, i, 1, 7, 12, 17, 22);
    }
    for (; i < 32; i += 4) {
        MAIL__MD5_FOUR(MAIL__MD5_G, i, 5 * i + 1, 5, 5, 9, 14, 20);
    }
    for (; i < 48; i += 4) {
        MAIL__MD5_FOUR(MAIL__MD5_H, i, 3 * i + 5, 3, 4, 11, 16, 23);
    }
    for (; i < 64; i += 4) {
        MAIL__MD5_FOUR(MAIL__MD5_I, i, 7 * i, 7, 6, 10, 15, 21);
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d;
}

MAIL_DEF void mail_md5_init(mail_md5 *m) {
    m->h[0] = 0x67452301;
    m->h[1] = 0xefcdab89;
    m->h[2] = 0x98badcfe;
    m->h[3] = 0x10325476;
    m->n = 0;
}

MAIL_DEF void mail_md5_add(mail_md5 *m, mail_str s) {
    while (s.n) {
        size_t at = (size_t)(m->n % 64), k = 64 - at;
        if (k > s.n) k = s.n;
        memcpy(m->block + at, s.p, k);
        m->n += k;
        s = mail_sn(s.p + k, s.n - k);
        if (m->n % 64 == 0) mail__md5_block(m->h, m->block);
    }
}

/* Behind the text 0x80, zeros, and its length in bits: they end a block. */
MAIL_DEF void mail_md5_end(mail_md5 *m, unsigned char out[16]) {
    static const char pad[64] = "\x80";
    uint64_t bits = m->n * 8;
    char size[8];
    unsigned i;
    for (i = 0; i < 8; i++) size[i] = (char)(bits >> (8 * i) & 0xff);
    mail_md5_add(m, mail_sn(pad, 1 + (size_t)((119 - m->n % 64) % 64)));
    mail_md5_add(m, mail_sn(size, 8));
    for (i = 0; i < 16; i++)
        out[i] = (unsigned char)(m->h[i / 4] >> (8 * (i % 4)) & 0xff);
}

/* One round, RFC 6234 6.2. The eight letters move down one place after each
   round; here they stay, and the next round is called with their names
   moved: eight rounds, and every letter is back where it was. */
#define MAIL__SHA(a, b, c, d, e, f, g, h, i) \
    h += (mail__ror(e, 6) ^ mail__ror(e, 11) ^ mail__ror(e, 25)) + \
         (g ^ (e & (f ^ g))) + k[i] + w[i], \
    d += h, \
    h += (mail__ror(a, 2) ^ mail__ror(a, 13) ^ mail__ror(a, 22)) + \
         ((a & b) | (c & (a | b)))

static void mail__sha256_block(uint32_t state[8],
                               const unsigned char block[64]) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
        0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
        0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7,
        0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
        0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152,
        0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
        0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
        0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
        0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
        0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
        0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
    };
    uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    unsigned i;
    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)block[i * 4] << 24 |
               (uint32_t)block[i * 4 + 1] << 16 |
               (uint32_t)block[i * 4 + 2] << 8 | (uint32_t)block[i * 4 + 3];
    for (; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        x = mail__ror(x, 7) ^ mail__ror(x, 18) ^ x >> 3;
        y = mail__ror(y, 17) ^ mail__ror(y, 19) ^ y >> 10;
        w[i] = w[i - 16] + x + w[i - 7] + y;
    }
    for (i = 0; i < 64; i += 8) {
        MAIL__SHA(a, b, c, d, e, f, g, h, i);
        MAIL__SHA(h, a, b, c, d, e, f, g, i + 1);
        MAIL__SHA(g, h, a, b, c, d, e, f, i + 2);
        MAIL__SHA(f, g, h, a, b, c, d, e, i + 3);
        MAIL__SHA(e, f, g, h, a, b, c, d, i + 4);
        MAIL__SHA(d, e, f, g, h, a, b, c, i + 5);
        MAIL__SHA(c, d, e, f, g, h, a, b, i + 6);
        MAIL__SHA(b, c, d, e, f, g, h, a, i + 7);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

MAIL_DEF void mail_sha256_init(mail_sha256 *m) {
    static const uint32_t h[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
    };
    memcpy(m->h, h, sizeof h);
    m->n = 0;
}

MAIL_DEF void mail_sha256_add(mail_sha256 *m, mail_str s) {
    while (s.n) {
        size_t at = (size_t)(m->n % 64), k = 64 - at;
        if (k > s.n) k = s.n;
        memcpy(m->block + at, s.p, k);
        m->n += k;
        s = mail_sn(s.p + k, s.n - k);
        if (m->n % 64 == 0) mail__sha256_block(m->h, m->block);
    }
}

/* The eight words as octets, the first octet the highest. */
static void mail__sha256_out(const uint32_t h[8], unsigned char out[32]) {
    unsigned i;
    for (i = 0; i < 8; i++) {
        out[4 * i] = (unsigned char)(h[i] >> 24);
        out[4 * i + 1] = (unsigned char)(h[i] >> 16 & 0xff);
        out[4 * i + 2] = (unsigned char)(h[i] >> 8 & 0xff);
        out[4 * i + 3] = (unsigned char)(h[i] & 0xff);
    }
}

/* Behind the text 0x80, zeros, and its length in bits: all of it in one
   block, or in two where there is no room for the length. */
MAIL_DEF void mail_sha256_end(mail_sha256 *m, unsigned char out[32]) {
    size_t at = (size_t)(m->n % 64);
    uint64_t bits = m->n * 8;
    unsigned i;
    m->block[at++] = 0x80;
    if (at > 56) {
        memset(m->block + at, 0, 64 - at);
        mail__sha256_block(m->h, m->block);
        at = 0;
    }
    memset(m->block + at, 0, 56 - at);
    for (i = 0; i < 8; i++)
        m->block[56 + i] = (unsigned char)(bits >> (56 - 8 * i) & 0xff);
    mail__sha256_block(m->h, m->block);
    mail__sha256_out(m->h, out);
}

/* H(key ^ opad, H(key ^ ipad, text)). The two halves begin alike for every
   text under one key, so PBKDF2 makes them once. RFC 2104 */
typedef struct mail__hmac { mail_sha256 in, out; } mail__hmac;

static void mail__hmac_key(mail__hmac *h, mail_str key) {
    unsigned char pad[64] = {0};
    size_t i;
    if (key.n > 64) {
        mail_sha256_init(&h->in);
        mail_sha256_add(&h->in, key);
        mail_sha256_end(&h->in, pad);
    } else if (key.n) memcpy(pad, key.p, key.n);
    mail_sha256_init(&h->in);
    mail_sha256_init(&h->out);
    for (i = 0; i < 64; i++) pad[i] ^= 0x36;
    mail_sha256_add(&h->in, mail_sn((char *)pad, 64));
    for (i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5c;
    mail_sha256_add(&h->out, mail_sn((char *)pad, 64));
    mail_wipe(pad, sizeof pad);
}

static void mail__hmac_text(const mail__hmac *h, mail_str text,
                            unsigned char out[32]) {
    mail__hmac c = *h;
    mail_sha256_add(&c.in, text);
    mail_sha256_end(&c.in, out);
    mail_sha256_add(&c.out, mail_sn((char *)out, 32));
    mail_sha256_end(&c.out, out);
}

MAIL_DEF void mail_hmac(mail_str key, mail_str text, unsigned char out[32]) {
    mail__hmac h;
    mail__hmac_key(&h, key);
    mail__hmac_text(&h, text, out);
    mail_wipe(&h, sizeof h);
}

/* HMAC of the 32 octets of u, into u, in two blocks and no more: both halves
   go on behind their key, and behind 32 octets the padding is always the
   same. mac holds it: u, 0x80, zeros, 768 bits (a key's block, and u). */
static void mail__hmac_32(const mail_kdf *k, unsigned char mac[64]) {
    uint32_t half[8];
    memcpy(half, k->in, sizeof half);
    mail__sha256_block(half, mac);
    mail__sha256_out(half, mac);
    memcpy(half, k->out, sizeof half);
    mail__sha256_block(half, mac);
    mail__sha256_out(half, mac);
}

/* One block of output is all that SCRAM needs: Hi() of RFC 5802 2.2. The
   rounds are to cost whoever guesses passwords; what we waste is his gain. */
MAIL_DEF void mail_kdf_begin(mail_kdf *k, mail_str password, mail_str salt,
                             unsigned rounds) {
    mail__hmac h;
    mail_sha256 first;
    mail__hmac_key(&h, password);
    memset(k, 0, sizeof *k);
    memcpy(k->in, h.in.h, sizeof k->in);
    memcpy(k->out, h.out.h, sizeof k->out);
    first = h.in;
    mail_sha256_add(&first, salt);
    mail_sha256_add(&first, mail_sn("\0\0\0\1", 4));
    mail_sha256_end(&first, k->u);
    first = h.out;
    mail_sha256_add(&first, mail_sn((char *)k->u, 32));
    mail_sha256_end(&first, k->u);
    memcpy(k->sum, k->u, sizeof k->sum);
    k->u[32] = 0x80;
    k->u[62] = 768 >> 8;
    k->left = rounds ? rounds - 1 : 0;
    mail_wipe(&h, sizeof h);
    mail_wipe(&first, sizeof first);
}

MAIL_DEF unsigned mail_kdf_run(mail_kdf *k, unsigned most) {
    unsigned i;
    for (; most && k->left; most--, k->left--) {
        mail__hmac_32(k, k->u);
        for (i = 0; i < 32; i++) k->sum[i] ^= k->u[i];
    }
    return k->left;
}

MAIL_DEF void mail_kdf_end(mail_kdf *k, unsigned char out[32]) {
    memcpy(out, k->sum, 32);
    mail_wipe(k, sizeof *k);
}

MAIL_DEF void mail_pbkdf2(mail_str password, mail_str salt, unsigned rounds,
                          unsigned char out[32]) {
    mail_kdf k;
    mail_kdf_begin(&k, password, salt, rounds);
    mail_kdf_run(&k, rounds);
    mail_kdf_end(&k, out);
}

MAIL_DEF int mail_same_secret(const void *a, const void *b, size_t n) {
    const unsigned char *x = (const unsigned char *)a;
    const unsigned char *y = (const unsigned char *)b;
    unsigned diff = 0;
    size_t i;
    for (i = 0; i < n; i++) diff |= (unsigned)(x[i] ^ y[i]);
    return diff == 0;
}

MAIL_DEF void mail_wipe(void *p, size_t n) {
    volatile unsigned char *v = (volatile unsigned char *)p;
    while (n--) *v++ = 0;
}

/* ======================================================================
   [SASL]
   ====================================================================== */

MAIL_DEF mail_err mail_sasl_plain(mail_str s, mail_str *authzid,
                                  mail_str *user, mail_str *password) {
    size_t i, nuls = 0;
    for (i = 0; i < s.n; i++) nuls += s.p[i] == 0;
    if (nuls != 2) return MAIL_ERR_SYNTAX;
    *authzid = mail_cut(&s, 0);
    *user = mail_cut(&s, 0);
    *password = s;
    return user->n && password->n ? MAIL_ERR_OK : MAIL_ERR_SYNTAX;
}

MAIL_DEF const char *mail_sasl_name(unsigned mech) {
    return mech == MAIL_SASL_PLAIN ? "PLAIN" :
           mech == MAIL_SASL_LOGIN ? "LOGIN" :
           mech == MAIL_SASL_SCRAM ? "SCRAM-SHA-256" : "";
}

MAIL_DEF unsigned mail_sasl_list(mail_str list) {
    unsigned bits = 0, bit;
    while (list.n) {
        mail_str mech = mail_cut(&list, ' ');
        for (bit = 1; *mail_sasl_name(bit); bit <<= 1)
            if (mail_ieq(mech, mail_s(mail_sasl_name(bit)))) bits |= bit;
    }
    return bits;
}

MAIL_DEF int mail_user_ok(mail_str name) {
    size_t i;
    if (name.n == 0 || name.n >= MAIL_USER_SIZE || name.p[0] == '.')
        return 0;
    for (i = 0; i < name.n; i++)
        if (!mail__alnum(name.p[i]) && name.p[i] != '.' &&
            name.p[i] != '_' && name.p[i] != '-' &&
            (unsigned char)name.p[i] < 128) return 0;
    return mail__utf8_name(name);
}

/* 32 octets, of an HMAC or of a hash, as a slice. */
static mail_str mail__key(const unsigned char key[32]) {
    return mail_sn((const char *)key, 32);
}

static void mail__sha256_key(const unsigned char key[32],
                             unsigned char out[32]) {
    mail_sha256 m;
    mail_sha256_init(&m);
    mail_sha256_add(&m, mail__key(key));
    mail_sha256_end(&m, out);
    mail_wipe(&m, sizeof m);
}

/* ClientKey = HMAC(SaltedPassword, "Client Key"), StoredKey = H(ClientKey),
   ServerKey = HMAC(SaltedPassword, "Server Key"). RFC 5802 3 */
MAIL_DEF void mail_keys_make(mail_keys *k, const unsigned char salted[32]) {
    mail_hmac(mail__key(salted), mail_s("Client Key"), k->stored);
    mail__sha256_key(k->stored, k->stored);
    mail_hmac(mail__key(salted), mail_s("Server Key"), k->server);
}

MAIL_DEF void mail_secret_make(mail_buf *b, mail_str password, mail_str salt,
                               unsigned rounds) {
    unsigned char salted[32];
    mail_keys k;
    mail_pbkdf2(password, salt, rounds, salted);
    mail_keys_make(&k, salted);
    mail_buf_fmt(b, "{SCRAM-SHA-256}%u,", rounds);
    mail_b64_encode(b, salt);
    mail_buf_add(b, mail_s(","));
    mail_b64_encode(b, mail__key(k.stored));
    mail_buf_add(b, mail_s(","));
    mail_b64_encode(b, mail__key(k.server));
    mail_wipe(salted, sizeof salted);
    mail_wipe(&k, sizeof k);
}

/* Base64 of 1 to cap octets; returns how many, 0 if it is something else. */
static size_t mail__b64_field(mail_str s, char *out, size_t cap) {
    char got[MAIL_SALT_MAX];
    size_t n;
    if (s.n > MAIL_B64_SIZE(sizeof got) || mail_b64_decode(s, got, &n) ||
        n > cap) return 0;
    memcpy(out, got, n);
    return n;
}

MAIL_DEF mail_err mail_secret_keys(mail_str secret, mail_keys *k) {
    int64_t rounds;
    if (!mail_starts(secret, "{SCRAM-SHA-256}")) return MAIL_ERR_SYNTAX;
    secret = mail_sn(secret.p + 15, secret.n - 15);
    if (mail_number(mail_cut(&secret, ','), MAIL_ROUNDS_MAX, &rounds) ||
        rounds == 0) return MAIL_ERR_SYNTAX;
    k->rounds = (unsigned)rounds;
    k->nsalt = mail__b64_field(mail_cut(&secret, ','), k->salt,
                               sizeof k->salt);
    if (k->nsalt == 0 ||
        mail__b64_field(mail_cut(&secret, ','), (char *)k->stored,
                        32) != 32 ||
        mail__b64_field(secret, (char *)k->server, 32) != 32)
        return MAIL_ERR_SYNTAX;
    return MAIL_ERR_OK;
}

MAIL_DEF int mail_secret_plain(mail_str secret, mail_str *password) {
    if (!mail_starts(secret, "{PLAIN}")) return 0;
    *password = mail_sn(secret.p + 7, secret.n - 7);
    return 1;
}

MAIL_DEF int mail_secret_check(mail_str secret, mail_str password) {
    unsigned char salted[32];
    mail_keys want, got;
    mail_str plain;
    int known;
    if (mail_secret_plain(secret, &plain))
        return plain.n && plain.n == password.n &&
               mail_same_secret(plain.p, password.p, plain.n);
    memset(&want, 0, sizeof want);
    known = mail_secret_keys(secret, &want) == MAIL_ERR_OK;
    mail_pbkdf2(password, mail_sn(want.salt, want.nsalt),
                known ? want.rounds : MAIL_ROUNDS, salted);
    mail_keys_make(&got, salted);
    known &= mail_same_secret(got.stored, want.stored, 32);
    mail_wipe(salted, sizeof salted);
    mail_wipe(&got, sizeof got);
    return known;
}

/* --- SCRAM-SHA-256, RFC 5802 and 7677 ------------------------------------
   Client: n,,n=user,r=NONCE        Server: r=NONCE+ITS,s=salt,i=rounds
   Client: c=biws,r=NONCE+ITS,p=proof        Server: v=signature
   x->text holds what both have said: "n,,", then AuthMessage. */

static void mail__sasl_begin(mail_sasl *x, unsigned mech) {
    mail_wipe(x, sizeof *x);
    x->mech = mech;
}

static int mail__sasl_add(mail_sasl *x, mail_str s) {
    if (s.n > sizeof x->text - x->n) return 0;
    if (s.n) memcpy(x->text + x->n, s.p, s.n);
    x->n = (unsigned short)(x->n + s.n);
    return 1;
}

/* AuthMessage: all but the header. */
static mail_str mail__scram_auth(const mail_sasl *x) {
    return mail_sn(x->text + x->gs2, (size_t)(x->n - x->gs2));
}

/* attr-val = ALPHA "=" value, up to the next comma. */
static int mail__scram_attr(mail_str *rest, char key, mail_str *value) {
    mail_str one = mail_cut(rest, ',');
    *value = mail_sn("", 0);
    if (one.n < 2 || one.p[0] != key || one.p[1] != '=') return 0;
    *value = mail_sn(one.p + 2, one.n - 2);
    return 1;
}

/* printable = %x21-2B / %x2D-7E: all but the comma. */
static int mail__nonce_ok(mail_str s) {
    size_t i;
    for (i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ',') return 0;
    return s.n > 0;
}

/* saslname: "=2C" for a comma, "=3D" for "=". A name that is too long for a
   user of ours becomes "", which is nobody's. 0 if it is badly written. */
static int mail__sasl_name(mail_str s, char to[MAIL_USER_SIZE]) {
    char name[MAIL_USER_SIZE * 3];
    size_t i, n = 0;
    for (i = 0; i < s.n; i++) {
        mail_str rest = mail_sn(s.p + i, s.n - i);
        char c = s.p[i];
        if (c == 0) return 0;
        if (c == '=' && mail_starts(rest, "=2C")) c = ',', i += 2;
        else if (c == '=' && mail_starts(rest, "=3D")) i += 2;
        else if (c == '=') return 0;
        if (n < sizeof name) name[n++] = c;
    }
    if (!mail_copy(to, MAIL_USER_SIZE, mail_sn(name, n))) to[0] = 0;
    return s.n > 0;
}

/* gs2-header = ( "n" / "y" ) "," [ "a=" saslname ] ","; then n=, r=. Who
   says "y" could bind the login to a TLS channel and thinks that we cannot,
   which is right; who says "p=" does, and is refused. An identity other than
   one's own is refused as well. */
static int mail__scram_first(mail_sasl *x, mail_str got) {
    mail_str rest = got, flag = mail_cut(&rest, ','), other, name, nonce;
    char as[MAIL_USER_SIZE];
    int acts;
    other = mail_cut(&rest, ',');
    acts = other.n > 0;
    x->gs2 = (unsigned short)(rest.p - got.p);
    x->n = 0;
    if ((!mail_eq(flag, mail_s("n")) && !mail_eq(flag, mail_s("y"))) ||
        !mail__sasl_add(x, got)) return 0;
    if (acts && (!mail__scram_attr(&other, 'a', &name) ||
                 !mail__sasl_name(name, as))) return 0;
    if (!mail__scram_attr(&rest, 'n', &name) ||
        !mail__scram_attr(&rest, 'r', &nonce) || !mail__nonce_ok(nonce) ||
        !mail__sasl_name(name, x->user)) return 0;
    return !acts || mail_ieq(mail_s(as), mail_s(x->user));
}

/* server-first-message, with a nonce of ours behind the client's. */
static int mail__scram_ask(mail_sasl *x, const mail_keys *k, mail_str nonce,
                           mail_str *say) {
    char text[MAIL_B64_SIZE(MAIL_SALT_MAX) + 32];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_str rest = mail__scram_auth(x), theirs;
    mail_cut(&rest, ',');
    mail__scram_attr(&rest, 'r', &theirs);
    mail_buf_add(&b, mail_s(",s="));
    mail_b64_encode(&b, mail_sn(k->salt, k->nsalt));
    mail_buf_fmt(&b, ",i=%u", k->rounds);
    memcpy(x->stored, k->stored, 32);
    memcpy(x->server, k->server, 32);
    if (!mail__sasl_add(x, mail_s(","))) return 0;
    x->at = x->n;
    if (!mail__sasl_add(x, mail_s("r=")) || !mail__sasl_add(x, theirs) ||
        !mail__sasl_add(x, nonce) || !mail__sasl_add(x, mail_buf_str(&b)))
        return 0;
    *say = mail_sn(x->text + x->at, (size_t)(x->n - x->at));
    return 1;
}

/* Cuts ",p=..." off the end of client-final-message. */
static int mail__scram_proof(mail_str *got, unsigned char proof[32]) {
    size_t at = got->n;
    while (at && got->p[at - 1] != ',') at--;
    if (at == 0 || got->n - at < 2 || got->p[at] != 'p' ||
        got->p[at + 1] != '=' ||
        mail__b64_field(mail_sn(got->p + at + 2, got->n - at - 2),
                        (char *)proof, 32) != 32) return 0;
    got->n = at - 1;
    return 1;
}

/* ClientKey = proof XOR HMAC(StoredKey, AuthMessage). Whoever has the right
   one has made it from the password: its hash is all that we know. */
static int mail__scram_right(const mail_sasl *x, unsigned char proof[32]) {
    unsigned char sign[32];
    size_t i;
    mail_hmac(mail__key(x->stored), mail__scram_auth(x), sign);
    for (i = 0; i < 32; i++) proof[i] ^= sign[i];
    mail__sha256_key(proof, sign);
    return mail_same_secret(sign, x->stored, 32);
}

/* client-final-message: c= is the header once more, r= the whole nonce, or
   somebody on the way has changed it. 0 if it is none, else *right; *say is
   the server's own proof then. */
static int mail__scram_final(mail_sasl *x, mail_str got, int *right,
                             mail_str *say) {
    unsigned char proof[32], sign[32];
    char header[MAIL_SCRAM_SIZE];
    mail_str asked = mail_sn(x->text + x->at, (size_t)(x->n - x->at));
    mail_str rest, c, r, nonce;
    mail_buf b = mail_buf_on(header, sizeof header);
    mail__scram_attr(&asked, 'r', &nonce);
    mail_b64_encode(&b, mail_sn(x->text, x->gs2));
    if (!mail__scram_proof(&got, proof)) return 0;
    rest = got;
    if (!mail__scram_attr(&rest, 'c', &c) ||
        !mail__scram_attr(&rest, 'r', &r) ||
        !mail_eq(r, nonce) || !mail_eq(c, mail_buf_str(&b)) ||
        !mail__sasl_add(x, mail_s(",")) || !mail__sasl_add(x, got)) return 0;
    *right = mail__scram_right(x, proof);
    mail_hmac(mail__key(x->server), mail__scram_auth(x), sign);
    mail_wipe(proof, sizeof proof);
    b = mail_buf_on(x->text, sizeof x->text);
    mail_buf_add(&b, mail_s("v="));
    mail_b64_encode(&b, mail__key(sign));
    *say = mail_buf_str(&b);
    return 1;
}

/* --- a login, as the server sees it -------------------------------------- */

/* A message of SASL in base64, as a string. */
enum { MAIL__SASL_B64 = MAIL_B64_SIZE(MAIL_SCRAM_SIZE) + 1 };

static void mail__sasl_b64(mail_str text, char out[MAIL__SASL_B64]) {
    mail_buf b = mail_buf_on(out, MAIL__SASL_B64 - 1);
    mail_b64_encode(&b, text);
    out[b.n] = 0;
}

/* What comes of a client's response. */
enum {
    MAIL__SASL_BAD,               /* it is none: the login is over          */
    MAIL__SASL_OTHER,             /* for another than oneself: refused      */
    MAIL__SASL_SAY,               /* the next challenge is there            */
    MAIL__SASL_LOGIN,             /* user and password: to be decided       */
    MAIL__SASL_KEYS,              /* user: the owner looks for his keys     */
    MAIL__SASL_PROOF              /* the proof was right, or it was not     */
};

typedef struct mail__step {
    mail_str user, secret, say;
    int right;
} mail__step;

/* The challenge when there was no initial response. */
static mail_str mail__sasl_first(const mail_sasl *x) {
    return mail_s(x->mech == MAIL_SASL_LOGIN ? "Username:" : "");
}

static int mail__sasl_plain(mail_sasl *x, mail_str got, mail__step *o) {
    mail_str other;
    if (mail_sasl_plain(got, &other, &o->user, &o->secret))
        return MAIL__SASL_BAD;
    if (other.n && !mail_ieq(other, o->user)) return MAIL__SASL_OTHER;
    mail_copy(x->user, sizeof x->user, o->user);
    return MAIL__SASL_LOGIN;
}

static int mail__sasl_login(mail_sasl *x, mail_str got, mail__step *o) {
    if (x->step++ == 0) {
        if (!mail_copy(x->user, sizeof x->user, got)) x->user[0] = 0;
        o->say = mail_s("Password:");
        return MAIL__SASL_SAY;
    }
    o->user = mail_s(x->user);
    o->secret = got;
    return MAIL__SASL_LOGIN;
}

/* After the server's own proof the client says nothing, and that it does.
   Step 2 is for who was right: whatever else came, 3, there is no way on. */
static int mail__sasl_scram(mail_sasl *x, mail_str got, mail__step *o) {
    o->user = mail_s(x->user);
    if (x->step == 0) {
        if (!mail__scram_first(x, got)) return MAIL__SASL_BAD;
        o->user = mail_s(x->user);
        return MAIL__SASL_KEYS;
    }
    if (x->step == 1) {
        x->step = 3;
        if (!mail__scram_final(x, got, &o->right, &o->say))
            return MAIL__SASL_BAD;
        if (o->right) x->step = 2;
        return o->right ? MAIL__SASL_SAY : MAIL__SASL_PROOF;
    }
    o->right = x->done = x->step++ == 2 && got.n == 0;
    return o->right ? MAIL__SASL_PROOF : MAIL__SASL_BAD;
}

/* A response, decoded. The slices of *o live as long as got and x. */
static int mail__sasl_take(mail_sasl *x, mail_str got, mail__step *o) {
    memset(o, 0, sizeof *o);
    return x->mech == MAIL_SASL_PLAIN ? mail__sasl_plain(x, got, o) :
           x->mech == MAIL_SASL_LOGIN ? mail__sasl_login(x, got, o)
                                      : mail__sasl_scram(x, got, o);
}

/* The same in base64, decoded where it stands, in the line. */
static int mail__sasl_line(mail_sasl *x, char *line, mail_str arg,
                           mail__step *o) {
    char *at = line + (arg.p - line);
    mail_str got = mail_sn(at, 0);
    if (mail_b64_decode(arg, at, &got.n)) return MAIL__SASL_BAD;
    return mail__sasl_take(x, got, o);
}

/* The owner has found the keys, and gives a nonce: the next challenge. */
static int mail__sasl_keys(mail_sasl *x, const mail_keys *k, mail_str nonce,
                           mail_str *say) {
    x->step = 1;
    return mail__scram_ask(x, k, nonce, say);
}

/* --- and as the client sees it ------------------------------------------- */

typedef struct mail__who { mail_str user, password, nonce; } mail__who;

/* The strongest of what is offered. A mechanism that shows the password is
   none, where it may not be shown. */
static unsigned mail__saslc_choose(unsigned mechs, const char *nonce,
                                   int show) {
    if ((mechs & MAIL_SASL_SCRAM) && nonce) return MAIL_SASL_SCRAM;
    if (!show) return 0;
    return mechs & MAIL_SASL_PLAIN ? MAIL_SASL_PLAIN
                                   : mechs & MAIL_SASL_LOGIN;
}

/* client-first-message. We do no channel binding: "n". */
static int mail__scram_hello(mail_sasl *x, const mail__who *w) {
    size_t i;
    x->gs2 = 3;
    if (!mail__sasl_add(x, mail_s("n,,n="))) return 0;
    for (i = 0; i < w->user.n; i++) {
        char c = w->user.p[i];
        if (!mail__sasl_add(x, c == ',' ? mail_s("=2C") : c == '=' ?
                            mail_s("=3D") : mail_sn(&c, 1))) return 0;
    }
    return mail__sasl_add(x, mail_s(",r=")) && mail__sasl_add(x, w->nonce);
}

/* The server's r=, s= and i=. Its nonce begins with ours, or it is an answer
   to somebody else; a number of rounds under MAIL_ROUNDS makes the password
   easy to guess from the proof, one over MAIL_ROUNDS_MAX would keep us busy
   for a second and more. Returns what is wrong, or NULL. */
static const char *mail__scram_read(const mail_sasl *x, mail_str got,
                                    mail_str *nonce, mail_keys *k) {
    mail_str rest = mail__scram_auth(x), ours, salt, rounds;
    int64_t n;
    mail_cut(&rest, ',');
    mail__scram_attr(&rest, 'r', &ours);
    if (!mail__scram_attr(&got, 'r', nonce) ||
        !mail__scram_attr(&got, 's', &salt) ||
        !mail__scram_attr(&got, 'i', &rounds))
        return "the server's challenge is not one of SCRAM";
    if (nonce->n <= ours.n || !mail__nonce_ok(*nonce) ||
        !mail_eq(mail_sn(nonce->p, ours.n), ours))
        return "the server's nonce does not begin with ours";
    k->nsalt = mail__b64_field(salt, k->salt, sizeof k->salt);
    if (k->nsalt == 0) return "the server's salt is none";
    if (mail_number(rounds, MAIL_ROUNDS_MAX, &n) || n < MAIL_ROUNDS)
        return "the server wants less than 4,096 rounds, or more than "
               "1,000,000";
    k->rounds = (unsigned)n;
    return NULL;
}

/* ClientProof, and what the server's signature will have to be. */
static void mail__scram_prove(mail_sasl *x, const mail__who *w, mail_keys *k,
                              unsigned char proof[32]) {
    unsigned char salted[32], sign[32];
    size_t i;
    mail_pbkdf2(w->password, mail_sn(k->salt, k->nsalt), k->rounds, salted);
    mail_keys_make(k, salted);
    mail_hmac(mail__key(salted), mail_s("Client Key"), proof);
    mail_hmac(mail__key(k->stored), mail__scram_auth(x), sign);
    for (i = 0; i < 32; i++) proof[i] ^= sign[i];
    mail_hmac(mail__key(k->server), mail__scram_auth(x), x->server);
    mail_wipe(salted, sizeof salted);
    mail_wipe(k, sizeof *k);
}

static const char *mail__scram_answer(mail_sasl *x, const mail__who *w,
                                      mail_str got, mail_buf *b) {
    unsigned char proof[32];
    mail_str nonce;
    mail_keys k;
    const char *no = mail__scram_read(x, got, &nonce, &k);
    if (no) return no;
    mail_buf_add(b, mail_s("c=biws,r="));            /* base64 of "n,," */
    mail_buf_add(b, nonce);
    if (b->full || !mail__sasl_add(x, mail_s(",")) ||
        !mail__sasl_add(x, got) || !mail__sasl_add(x, mail_s(",")) ||
        !mail__sasl_add(x, mail_buf_str(b)))
        return "the server's challenge is too long";
    mail__scram_prove(x, w, &k, proof);
    mail_buf_add(b, mail_s(",p="));
    mail_b64_encode(b, mail__key(proof));
    return b->full ? "the server's challenge is too long" : NULL;
}

/* A server that does not know the password is not the one we think. */
static const char *mail__scram_trust(mail_sasl *x, mail_str got) {
    unsigned char sign[32];
    mail_str v;
    if (mail__scram_attr(&got, 'v', &v) &&
        mail__b64_field(v, (char *)sign, 32) == 32 &&
        mail_same_secret(sign, x->server, 32)) return NULL;
    return "the server did not prove that it knows the password";
}

/* The response to a challenge; the first one needs none. Returns what is
   wrong with the challenge, or NULL. No mechanism asks more than three
   times; x->done: the server may say that the login was good. */
static const char *mail__saslc_answer(mail_sasl *x, const mail__who *w,
                                      mail_str got, mail_buf *b) {
    const char *no = NULL;
    unsigned char step = x->step++;
    if (x->done) return "the server asks on, and everything is said";
    if (x->mech == MAIL_SASL_PLAIN) {       /* [authzid] NUL user NUL pass */
        mail_buf_add(b, mail_sn("", 1));
        mail_buf_add(b, w->user);
        mail_buf_add(b, mail_sn("", 1));
    }
    if (x->mech == MAIL_SASL_LOGIN && step == 0) mail_buf_add(b, w->user);
    else if (x->mech != MAIL_SASL_SCRAM) mail_buf_add(b, w->password);
    else if (step == 0) {
        if (!mail__scram_hello(x, w)) no = "the user name is too long";
        mail_buf_add(b, mail_sn(x->text, x->n));
    } else no = step == 1 ? mail__scram_answer(x, w, got, b)
                          : mail__scram_trust(x, got);
    x->done = step == (x->mech == MAIL_SASL_PLAIN ? 0 :
                       x->mech == MAIL_SASL_LOGIN ? 1 : 2);
    return no;
}

static const char mail__early[] =
    "the server says welcome before it has proved who it is";

/* Begins, with the initial response in b64; 0 if there is none, or if the
   command would be longer than so many octets. */
static int mail__saslc_begin(mail_sasl *x, unsigned mech, mail__who w,
                             size_t most, char b64[MAIL__SASL_B64]) {
    char text[MAIL_SCRAM_SIZE];
    mail_buf b = mail_buf_on(text, sizeof text);
    int ok = mech != MAIL_SASL_LOGIN;
    mail__sasl_begin(x, mech);
    if (ok) ok = mail__saslc_answer(x, &w, mail_s(""), &b) == NULL;
    mail__sasl_b64(mail_buf_str(&b), b64);
    mail_wipe(text, sizeof text);
    ok = ok && 5 + strlen(mail_sasl_name(mech)) + 1 + strlen(b64) + 2 <= most;
    if (!ok) mail__sasl_begin(x, mech);
    return ok;
}

/* The response to a challenge in base64. Returns what is wrong, or NULL. */
static const char *mail__saslc_go(mail_sasl *x, mail__who w, mail_str got,
                                  char b64[MAIL__SASL_B64]) {
    char text[MAIL_SCRAM_SIZE], challenge[MAIL_SCRAM_SIZE];
    mail_buf b = mail_buf_on(text, sizeof text);
    const char *no = NULL;
    size_t n;
    b64[0] = 0;
    if (x->mech != MAIL_SASL_SCRAM) got.n = 0;      /* it is for people */
    if (got.n > MAIL_SCRAM_SIZE) no = "the server's challenge is too long";
    else if (mail_b64_decode(got, challenge, &n))
        no = "the server's challenge is not base64";
    else no = mail__saslc_answer(x, &w, mail_sn(challenge, n), &b);
    if (no == NULL) mail__sasl_b64(mail_buf_str(&b), b64);
    mail_wipe(text, sizeof text);
    return no;
}

/* Why there is no login: a sentence. */
enum { MAIL__WHY = 300 };

static void mail__saslc_why(char why[MAIL__WHY], unsigned mechs,
                            const char *offer) {
    if (offer[0] == 0)
        snprintf(why, MAIL__WHY, "the server offers no login here");
    else if (mechs & (MAIL_SASL_PLAIN | MAIL_SASL_LOGIN))
        snprintf(why, MAIL__WHY, "the server offers %s, and the password "
                 "would cross the network in clear", offer);
    else snprintf(why, MAIL__WHY, "the server offers %s: no way of logging "
                  "in that is known here", offer);
}

MAIL_DEF void mail_apop(mail_str timestamp, mail_str secret, char out[33]) {
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[16];
    mail_md5 m;
    unsigned i;
    mail_md5_init(&m);
    mail_md5_add(&m, timestamp);
    mail_md5_add(&m, secret);
    mail_md5_end(&m, digest);
    for (i = 0; i < 16; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[32] = 0;
}

/* ======================================================================
   [DATE]
   ====================================================================== */

/* Years are counted from March, so that the day a leap year adds is the
   last one of its year, and in eras of 400 years, which are all alike. */
static void mail__civil(int64_t days, int *year, int *month, int *day) {
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

MAIL_DEF void mail_date(mail_buf *b, int64_t seconds, int zone) {
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char week[] = "ThuFriSatSunMonTueWed";
    int64_t local = seconds + (int64_t)zone * 60;
    int64_t days = (local >= 0 ? local : local - 86399) / 86400;
    int secs = (int)(local - days * 86400), wd = (int)(days % 7);
    int year, month, day, east = zone < 0 ? -zone : zone;
    mail__civil(days, &year, &month, &day);
    if (wd < 0) wd += 7;
    mail_buf_fmt(b, "%.3s, %02d %.3s %04d %02d:%02d:%02d %c%02d%02d",
                 week + 3 * wd, day, names + 3 * (month - 1), year,
                 secs / 3600, secs / 60 % 60, secs % 60,
                 zone < 0 ? '-' : '+', east / 60, east % 60);
}

/* ======================================================================
   [ADDR]
   ====================================================================== */

/* atext, RFC 5322 3.2.3: what may stand in a local part without quotes; and
   an octet of UTF-8 (RFC 6531 3.3), which is looked at later. */
static int mail__atext(char c) {
    return mail__alnum(c) || (unsigned char)c > 127 ||
           (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static int mail__ipv4_ok(mail_str s) {
    int parts = 0;
    int64_t v;
    if (s.n && s.p[s.n - 1] == '.') return 0;
    while (parts < 4) {
        mail_str part = mail_cut(&s, '.');
        if (part.n > 3 || mail_number(part, 255, &v)) return 0;
        parts++;
        if (s.n == 0) break;
    }
    return parts == 4 && s.n == 0;
}

/* IPv6-addr, RFC 5321 4.1.3: 8 groups, or fewer and one "::". */
static int mail__ipv6_ok(mail_str s) {
    int groups = 0, gap = 0;
    size_t digits = 0, i, start = 0;
    for (i = 0; i <= s.n; i++) {
        char c = i < s.n ? s.p[i] : ':';
        if (c == '.' && digits)     /* the last two may be an IPv4 address */
            return groups <= 6 - gap && (gap || groups == 6) &&
                   mail__ipv4_ok(mail_sn(s.p + start, s.n - start));
        if (c != ':') {
            c = mail__lower(c);
            if (++digits > 4 || !(mail__digit(c) || (c >= 'a' && c <= 'f')))
                return 0;
            continue;
        }
        if (digits) groups++;
        else if (i < s.n && i > 0) {          /* "::" */
            if (gap++) return 0;
        } else if (i == 0 && !(s.n > 1 && s.p[1] == ':')) return 0;
        else if (i == s.n && !(i > 1 && s.p[i - 2] == ':')) return 0;
        digits = 0;
        start = i + 1;
    }
    return gap ? groups <= 7 : groups == 8;
}

static const unsigned char mail__v4[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                            0xff, 0xff };

static int mail__is_v4(const mail_address *a) {
    return memcmp(a->p, mail__v4, sizeof mail__v4) == 0;
}

static void mail__ipv4_put(mail_str s, unsigned char *p) {
    int i;
    for (i = 0; i < 4; i++) {
        int64_t v = 0;
        mail_number(mail_cut(&s, '.'), 255, &v);
        p[i] = (unsigned char)v;
    }
}

/* A well-formed one. What is behind the "::" goes to the end. */
static void mail__ipv6_put(mail_str s, unsigned char *p) {
    size_t n = 0, gap = 16, i;
    memset(p, 0, 16);
    while (s.n) {
        mail_str group = mail_cut(&s, ':');
        unsigned v = 0;
        if (group.n == 0) {
            gap = n;
            continue;
        }
        if (memchr(group.p, '.', group.n)) {
            mail__ipv4_put(group, p + n);
            n += 4;
            continue;
        }
        for (i = 0; i < group.n; i++) {
            char c = mail__lower(group.p[i]);
            v = v * 16 + (unsigned)(mail__digit(c) ? c - '0' : c - 'a' + 10);
        }
        p[n++] = (unsigned char)(v >> 8);
        p[n++] = (unsigned char)(v & 255);
    }
    if (gap >= n) return;
    memmove(p + 16 - (n - gap), p + gap, n - gap);
    memset(p + gap, 0, 16 - n);
}

MAIL_DEF mail_err mail_address_read(mail_str s, mail_address *out) {
    memset(out, 0, sizeof *out);
    if (mail__ipv4_ok(s)) {
        memcpy(out->p, mail__v4, sizeof mail__v4);
        mail__ipv4_put(s, out->p + 12);
    } else if (mail__ipv6_ok(s)) mail__ipv6_put(s, out->p);
    else return MAIL_ERR_SYNTAX;
    return MAIL_ERR_OK;
}

static int mail__bit(const mail_address *a, int i) {
    return a->p[i / 8] >> (7 - i % 8) & 1;
}

MAIL_DEF mail_err mail_net_read(mail_str s, mail_net *out) {
    mail_str bits = s, at = mail_cut(&bits, '/');
    int64_t n, most;
    int i;
    if (mail_address_read(at, &out->at)) return MAIL_ERR_SYNTAX;
    most = mail__is_v4(&out->at) && !memchr(at.p, ':', at.n) ? 32 : 128;
    n = most;
    if (at.n < s.n && mail_number(bits, most, &n)) return MAIL_ERR_SYNTAX;
    out->bits = (int)(128 - most + n);
    for (i = out->bits; i < 128; i++)
        if (mail__bit(&out->at, i)) return MAIL_ERR_SYNTAX;
    return MAIL_ERR_OK;
}

/* An IPv4 address is in no network of IPv6 ones, not even in ::/0. */
MAIL_DEF int mail_net_has(const mail_net *net, const mail_address *a) {
    int i;
    if (mail__is_v4(&net->at) != mail__is_v4(a)) return 0;
    for (i = 0; i < net->bits; i++)
        if (mail__bit(&net->at, i) != mail__bit(a, i)) return 0;
    return 1;
}

/* --- U-labels into A-labels: Punycode, RFC 3492 ------------------------- */

static uint32_t mail__puny_adapt(uint32_t delta, uint32_t chars, int first) {
    uint32_t k = 0;
    delta /= first ? 700 : 2;
    for (delta += delta / chars; delta > 455; k += 36) delta /= 35;
    return k + 36 * delta / (delta + 38);
}

/* A number of variable length; each digit says whether it is the last. */
static void mail__puny_number(mail_buf *b, uint32_t q, uint32_t bias) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint32_t k, t;
    for (k = 36; ; k += 36) {
        t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        if (q < t) break;
        mail_buf_add(b, mail_sn(&digits[t + (q - t) % (36 - t)], 1));
        q = (q - t) / (36 - t);
    }
    mail_buf_add(b, mail_sn(&digits[q], 1));
}

/* The code points in ASCII first; then, in the order of their values, the
   others: how far each is from the one before, in value and in place. */
static void mail__puny(mail_buf *b, const uint32_t *c, uint32_t n) {
    uint32_t at = 128, delta = 0, bias = 72, done = 0, ascii, i;
    for (i = 0; i < n; i++) {
        char low = mail__lower((char)c[i]);
        if (c[i] < 128) mail_buf_add(b, mail_sn(&low, 1)), done++;
    }
    ascii = done;
    if (ascii) mail_buf_add(b, mail_s("-"));
    for (; done < n; delta++, at++) {
        uint32_t next = MAIL__NO_CHAR;
        for (i = 0; i < n; i++)
            if (c[i] >= at && c[i] < next) next = c[i];
        delta += (next - at) * (done + 1);
        at = next;
        for (i = 0; i < n; i++) {
            if (c[i] < at) delta++;
            if (c[i] != at) continue;
            mail__puny_number(b, delta, bias);
            bias = mail__puny_adapt(delta, done + 1, done == ascii);
            delta = 0;
            done++;
        }
    }
}

static mail_err mail__label_ascii(mail_buf *b, mail_str label) {
    uint32_t c[60], n = 0;               /* each takes an octet at least */
    size_t at = b->n;
    if (!mail__utf8_name(label)) return MAIL_ERR_SYNTAX;
    while (label.n) {
        if (n == sizeof c / sizeof c[0]) return MAIL_ERR_TOOLONG;
        c[n++] = mail__utf8_take(&label);
    }
    mail_buf_add(b, mail_s("xn--"));
    mail__puny(b, c, n);
    return b->n - at > 63 ? MAIL_ERR_TOOLONG : MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_domain_ascii(mail_str s, char out[MAIL_DOMAIN_SIZE]) {
    mail_buf b = mail_buf_on(out, MAIL_DOMAIN_SIZE - 1);
    mail_err e = MAIL_ERR_OK;
    for (;;) {
        mail_str rest = s, label = mail_cut(&rest, '.');
        if (mail__is_8bit(label)) e = mail__label_ascii(&b, label);
        else mail_buf_add(&b, label);
        if (e || label.n == s.n) break;
        mail_buf_add(&b, mail_s("."));
        s = rest;
    }
    out[b.n] = 0;
    return e ? e : b.full ? MAIL_ERR_TOOLONG : MAIL_ERR_OK;
}

MAIL_DEF int mail_domain_same(mail_str a, mail_str b) {
    char x[MAIL_DOMAIN_SIZE], y[MAIL_DOMAIN_SIZE];
    if (!mail__is_8bit(a) && !mail__is_8bit(b)) return mail_ieq(a, b);
    return !mail_domain_ascii(a, x) && !mail_domain_ascii(b, y) &&
           mail_ieq(mail_s(x), mail_s(y));
}

/* sub-domain = Let-dig [Ldh-str] / U-label. How long a U-label may be is seen
   in its other form. */
static int mail__label_ok(mail_str label) {
    char out[MAIL_DOMAIN_SIZE];
    size_t i;
    if (label.n == 0 || label.p[0] == '-' || label.p[label.n - 1] == '-')
        return 0;
    for (i = 0; i < label.n; i++)
        if (!mail__alnum(label.p[i]) && label.p[i] != '-' &&
            (unsigned char)label.p[i] < 128) return 0;
    return mail__is_8bit(label) ? mail_domain_ascii(label, out) == MAIL_ERR_OK
                                : label.n <= 63;
}

/* Domain = sub-domain *("." sub-domain) */
MAIL_DEF int mail_domain_ok(mail_str s) {
    char out[MAIL_DOMAIN_SIZE];
    if (s.n == 0 || s.n >= MAIL_DOMAIN_SIZE) return 0;
    if (s.p[0] == '[') {
        if (s.p[s.n - 1] != ']') return 0;
        s = mail_sn(s.p + 1, s.n - 2);
        if (mail_starts(s, "IPv6:"))
            return mail__ipv6_ok(mail_sn(s.p + 5, s.n - 5));
        return mail__ipv4_ok(s);
    }
    if (mail__is_8bit(s) && mail_domain_ascii(s, out)) return 0;
    for (;;) {
        mail_str rest = s, label = mail_cut(&rest, '.');
        if (!mail__label_ok(label)) return 0;
        if (label.n == s.n) return 1;
        s = rest;                /* a dot at the end leaves an empty label */
    }
}

/* Local-part = Dot-string / Quoted-string. Takes it off the front of *s.
   "a", a and "\a" are the same mailbox: what is kept is the bare text. */
static mail_err mail__local(mail_str *s, char out[MAIL_LOCAL_SIZE]) {
    size_t i = 0, n = 0;
    int quoted = s->n && s->p[0] == '"';
    if (quoted) i = 1;
    for (; i < s->n; i++) {
        char c = s->p[i];
        if (quoted && c == '"') break;
        if (quoted && c == '\\') {
            if (++i == s->n) return MAIL_ERR_SYNTAX;
            c = s->p[i];
        }
        if (!quoted && c == '.') {         /* not first, not twice, not last */
            if (n == 0 || out[n - 1] == '.') return MAIL_ERR_SYNTAX;
        } else if (!quoted && !mail__atext(c)) break;
        if ((unsigned char)c < 32 || c == 127) return MAIL_ERR_SYNTAX;
        if (n == MAIL_LOCAL_SIZE - 1) return MAIL_ERR_TOOLONG;
        out[n++] = c;
    }
    if (n == 0 || (!quoted && out[n - 1] == '.')) return MAIL_ERR_SYNTAX;
    if (quoted && i++ == s->n) return MAIL_ERR_SYNTAX;
    if (!mail__utf8_name(mail_sn(out, n))) return MAIL_ERR_SYNTAX;
    out[n] = 0;
    s->p += i;
    s->n -= i;
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_path_mailbox(mail_str s, mail_path *out) {
    mail_err e = mail__local(&s, out->local);
    out->domain[0] = 0;
    if (e) return e;
    if (s.n == 0)
        return mail_ieq(mail_s(out->local), mail_s("postmaster"))
                   ? MAIL_ERR_OK : MAIL_ERR_SYNTAX;
    if (s.p[0] != '@') return MAIL_ERR_SYNTAX;
    s = mail_sn(s.p + 1, s.n - 1);
    if (s.n >= MAIL_DOMAIN_SIZE) return MAIL_ERR_TOOLONG;
    if (!mail_domain_ok(s)) return MAIL_ERR_SYNTAX;
    mail_copy(out->domain, sizeof out->domain, s);
    return MAIL_ERR_OK;
}

/* A-d-l = "@" Domain *( "," "@" Domain ) ":", read and dropped:
   RFC 5321 appendix C says so, and nobody may be relayed by it. */
static mail_err mail__source_route(mail_str *s) {
    while (s->n && s->p[0] == '@') {
        size_t i = 1;
        while (i < s->n && s->p[i] != ',' && s->p[i] != ':') i++;
        if (i == s->n || !mail_domain_ok(mail_sn(s->p + 1, i - 1)))
            return MAIL_ERR_SYNTAX;
        *s = mail_sn(s->p + i + 1, s->n - i - 1);
        if (s->p[-1] == ':') return MAIL_ERR_OK;
        if (s->n == 0 || s->p[0] != '@') return MAIL_ERR_SYNTAX;
    }
    return MAIL_ERR_OK;
}

/* The ">" that closes a path: not the one inside quotes. */
static size_t mail__path_end(mail_str s) {
    size_t i;
    int quoted = 0;
    for (i = 0; i < s.n; i++) {
        if (quoted && s.p[i] == '\\') i++;
        else if (s.p[i] == '"') quoted = !quoted;
        else if (s.p[i] == '>' && !quoted) return i;
    }
    return s.n;
}

/* Path = "<" [ A-d-l ":" ] Mailbox ">" */
MAIL_DEF mail_err mail_path_read(mail_str s, mail_path *out,
                                 mail_str *rest) {
    size_t end;
    mail_err e;
    memset(out, 0, sizeof *out);
    if (s.n < 2 || s.p[0] != '<') return MAIL_ERR_SYNTAX;
    end = mail__path_end(s);
    if (end >= s.n) return MAIL_ERR_SYNTAX;
    *rest = mail_sn(s.p + end + 1, s.n - end - 1);
    s = mail_sn(s.p + 1, end - 1);
    if (s.n == 0) return MAIL_ERR_OK;                   /* <> */
    e = mail__source_route(&s);
    return e ? e : mail_path_mailbox(s, out);
}

static int mail__dot_string(const char *local) {
    size_t i;
    for (i = 0; local[i]; i++)
        if (!mail__atext(local[i]) &&
            !(local[i] == '.' && i && local[i + 1] && local[i - 1] != '.'))
            return 0;
    return 1;
}

MAIL_DEF void mail_path_write(mail_buf *b, const mail_path *p) {
    const char *c;
    mail_buf_add(b, mail_s("<"));
    if (mail__dot_string(p->local)) mail_buf_add(b, mail_s(p->local));
    else {
        mail_buf_add(b, mail_s("\""));
        for (c = p->local; *c; c++) {
            if (*c == '"' || *c == '\\') mail_buf_add(b, mail_s("\\"));
            mail_buf_add(b, mail_sn(c, 1));
        }
        mail_buf_add(b, mail_s("\""));
    }
    if (p->domain[0]) mail_buf_add(b, mail_s("@"));
    mail_buf_add(b, mail_s(p->domain));
    mail_buf_add(b, mail_s(">"));
}

MAIL_DEF int mail_path_null(const mail_path *p) { return p->local[0] == 0; }

MAIL_DEF int mail_path_same(const mail_path *a, const mail_path *b) {
    return strcmp(a->local, b->local) == 0 &&
           mail_domain_same(mail_s(a->domain), mail_s(b->domain));
}

MAIL_DEF int mail_path_utf8(const mail_path *p) {
    return mail__is_8bit(mail_s(p->local)) ||
           mail__is_8bit(mail_s(p->domain));
}

/* A path that did not come from our reader may hold anything. */
static int mail__path_sane(const mail_path *p) {
    mail_str local = mail_s(p->local);
    return !mail_has_control(local) && mail__utf8_name(local) &&
           (p->domain[0] == 0 || mail_domain_ok(mail_s(p->domain)));
}

/* ======================================================================
   [PARAM]
   ====================================================================== */

static int mail__xchar(char c) {
    return c > ' ' && c < 127 && c != '+' && c != '=';
}

MAIL_DEF void mail_xtext_write(mail_buf *b, mail_str s) {
    size_t i;
    for (i = 0; i < s.n; i++)
        if (mail__xchar(s.p[i])) mail_buf_add(b, mail_sn(s.p + i, 1));
        else mail_buf_fmt(b, "+%02X", (unsigned)(unsigned char)s.p[i]);
}

static int mail__hex_digit(char c) {
    return mail__digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                           : -1;
}

/* xtext = *( xchar / hexchar );  hexchar = "+" 2(%x30-39 / %x41-46). What it
   stands for goes into reports: a line break in it would write their fields
   (CVE-2020-28026). */
MAIL_DEF mail_err mail_xtext_read(mail_str s, char *out, size_t *n) {
    size_t i;
    *n = 0;
    for (i = 0; i < s.n; i++) {
        int c = s.p[i];
        if (c == '+') {
            int hi = i + 2 < s.n ? mail__hex_digit(s.p[i + 1]) : -1;
            int lo = i + 2 < s.n ? mail__hex_digit(s.p[i + 2]) : -1;
            c = hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
            if (c < 32 || c > 126) return MAIL_ERR_SYNTAX;
            i += 2;
        } else if (!mail__xchar(s.p[i])) return MAIL_ERR_SYNTAX;
        out[(*n)++] = (char)c;
    }
    return MAIL_ERR_OK;
}

static int mail__envid_ok(mail_str s) {
    char out[MAIL_ENVID_SIZE];
    size_t n;
    return s.n && s.n < MAIL_ENVID_SIZE &&
           mail_xtext_read(s, out, &n) == MAIL_ERR_OK;
}

/* addr-type ";" xtext. An address of the type utf-8 may stand in UTF-8, where
   SMTPUTF8 was said, or with \x{D55C} for a character (RFC 6533 3). */
static int mail__orcpt_ok(mail_str s) {
    char out[MAIL_ORCPT_SIZE];
    mail_str addr = s, type = mail_cut(&addr, ';');
    size_t n, i;
    if (type.n == 0 || addr.n == 0 || s.n >= MAIL_ORCPT_SIZE) return 0;
    for (i = 0; i < type.n; i++)
        if (!mail__alnum(type.p[i]) && type.p[i] != '-') return 0;
    if (mail_ieq(type, mail_s("utf-8")) && mail__is_8bit(addr)) {
        for (i = 0; i < addr.n; i++)
            if (!mail__xchar(addr.p[i]) && (unsigned char)addr.p[i] < 128)
                return 0;
        return mail__utf8_name(addr);
    }
    return mail_xtext_read(addr, out, &n) == MAIL_ERR_OK;
}

static const struct { const char *word; unsigned bit; } mail__notify[] = {
    { "NEVER", MAIL_NOTIFY_NEVER }, { "SUCCESS", MAIL_NOTIFY_SUCCESS },
    { "FAILURE", MAIL_NOTIFY_FAILURE }, { "DELAY", MAIL_NOTIFY_DELAY }
};

/* notify-esmtp-value = "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ) */
static const char *mail__read_notify(mail_param *p, mail_str value) {
    const char *no = "501 5.5.4 NOTIFY is NEVER, or some of SUCCESS,FAILURE,"
                     "DELAY";
    int more = 1;
    while (more) {
        mail_str rest = value, word = mail_cut(&rest, ',');
        unsigned bit = 0;
        size_t i;
        for (i = 0; i < sizeof mail__notify / sizeof mail__notify[0]; i++)
            if (mail_ieq(word, mail_s(mail__notify[i].word)))
                bit = mail__notify[i].bit;
        if (bit == 0) return no;
        p->notify |= bit;
        more = word.n < value.n;
        value = rest;
    }
    return p->notify & MAIL_NOTIFY_NEVER && p->notify != MAIL_NOTIFY_NEVER
           ? no : NULL;
}

static const char *mail__read_orcpt(mail_param *p, mail_str value) {
    if (!mail__orcpt_ok(value))
        return "501 5.5.4 ORCPT is a type, a semicolon, and xtext";
    mail_copy(p->orcpt, sizeof p->orcpt, value);
    return NULL;
}

static const char *mail__read_envid(mail_param *p, mail_str value) {
    if (!mail__envid_ok(value))
        return "501 5.5.4 ENVID is 1 to 100 octets of xtext";
    mail_copy(p->envid, sizeof p->envid, value);
    return NULL;
}

static const char *mail__read_ret(mail_param *p, mail_str value) {
    p->ret = mail_ieq(value, mail_s("FULL")) ? MAIL_RET_FULL :
             mail_ieq(value, mail_s("HDRS")) ? MAIL_RET_HDRS : 0;
    return p->ret ? NULL : "501 5.5.4 RET is FULL or HDRS";
}

static const char *mail__read_size(mail_param *p, mail_str value) {
    mail_err e = mail_number(value, INT64_MAX, &p->size);
    return e == MAIL_ERR_SYNTAX ? "501 5.5.4 SIZE takes a number" :
           e ? "552 5.3.4 that is more than I take" : NULL;
}

static const char *mail__read_body(mail_param *p, mail_str value) {
    p->body_8bit = mail_ieq(value, mail_s("8BITMIME"));
    if (p->body_8bit || mail_ieq(value, mail_s("7BIT"))) return NULL;
    return "501 5.5.4 BODY is 7BIT or 8BITMIME";
}

static const char *mail__read_utf8(mail_param *p, mail_str value) {
    p->utf8 = 1;
    return value.p ? "501 5.5.4 SMTPUTF8 takes no value" : NULL;
}

/* esmtp-param = esmtp-keyword [ "=" esmtp-value ], RFC 5321 4.1.2. Each may
   stand there once (RFC 3461 4.5). */
MAIL_DEF const char *mail_param_read(mail_param *p, mail_str word,
                                     int rcpt) {
    static const struct {
        const char *key;
        int rcpt;
        const char *(*read)(mail_param *p, mail_str value);
    } rows[] = {
        { "SIZE", 0, mail__read_size },   { "BODY", 0, mail__read_body },
        { "RET", 0, mail__read_ret },     { "ENVID", 0, mail__read_envid },
        { "NOTIFY", 1, mail__read_notify }, { "ORCPT", 1, mail__read_orcpt },
        { "SMTPUTF8", 0, mail__read_utf8 }
    };
    mail_str value = word, key = mail_cut(&value, '=');
    size_t i;
    if (key.n == word.n) value.p = NULL;              /* there was no "=" */
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].rcpt != !!rcpt || !mail_ieq(key, mail_s(rows[i].key)))
            continue;
        if (p->said & 1u << i) return "501 5.5.4 the same parameter twice";
        p->said |= 1u << i;
        return rows[i].read(p, value);
    }
    return "555 5.5.4 I did not offer that parameter";
}

MAIL_DEF mail_err mail_param_write(mail_buf *b, const mail_param *p) {
    size_t i, n = 0;
    if ((p->envid[0] && !mail__envid_ok(mail_s(p->envid))) ||
        (p->orcpt[0] && !mail__orcpt_ok(mail_s(p->orcpt))))
        return MAIL_ERR_SYNTAX;
    if (p->size) mail_buf_fmt(b, " SIZE=%lld", (long long)p->size);
    if (p->body_8bit) mail_buf_add(b, mail_s(" BODY=8BITMIME"));
    if (p->utf8) mail_buf_add(b, mail_s(" SMTPUTF8"));
    if (p->ret) mail_buf_add(b, mail_s(p->ret == MAIL_RET_FULL ? " RET=FULL"
                                                               : " RET=HDRS"));
    if (p->envid[0]) mail_buf_fmt(b, " ENVID=%s", p->envid);
    for (i = 0; i < sizeof mail__notify / sizeof mail__notify[0]; i++)
        if (p->notify & mail__notify[i].bit)
            mail_buf_fmt(b, "%s%s", n++ ? "," : " NOTIFY=",
                         mail__notify[i].word);
    if (p->orcpt[0]) mail_buf_fmt(b, " ORCPT=%s", p->orcpt);
    return MAIL_ERR_OK;
}

/* ======================================================================
   [MSG]
   ====================================================================== */

enum { MAIL__NO_NAME = 255 };

enum { MAIL__NO_FIELD, MAIL__FIELD, MAIL__BODY };   /* what a line is */

/* A line has ended. Behind one that is no field there is no header, though
   the empty line is still to come: a text may have none at all. */
static void mail__head_line(mail_head *h) {
    h->over = h->at == 0;                  /* nothing before it: empty line */
    if (h->over || h->kind == MAIL__NO_FIELD) h->kind = MAIL__BODY;
    if (h->kind == MAIL__FIELD) {
        h->lines++;
        h->size += h->line;
        h->kind = MAIL__NO_FIELD;
    }
    h->line = 0;
    h->at = 0;
}

MAIL_DEF void mail_head_feed(mail_head *h, mail_str text) {
    size_t i;
    if (!h->has_8bit) h->has_8bit = mail__is_8bit(text);
    for (i = 0; i < text.n && !h->over; i++) {
        char c = text.p[i];
        int folded = h->line++ == 0 && h->lines && (c == ' ' || c == '\t');
        h->head_8bit |= (unsigned char)c > 127;
        if ((c == ':' || folded) && h->kind == MAIL__NO_FIELD)
            h->kind = MAIL__FIELD;
        if (c == '\n') mail__head_line(h);
        else if (c == ':' && h->at != MAIL__NO_NAME) {
            h->received += mail_ieq(mail_sn(h->name, h->at),
                                    mail_s("Received"));
            h->at = MAIL__NO_NAME;
        } else if (c != '\r' && h->at < sizeof h->name)
            h->name[h->at++] = c;
        else if (c != '\r') h->at = MAIL__NO_NAME;
    }
}

MAIL_DEF void mail_received_write(mail_buf *b, const mail_received *r) {
    int v6 = strchr(r->address, ':') != NULL;
    mail_buf_fmt(b, "Received: from %s ([%s%s])\r\n\tby %s with %s id %s",
                 r->helo[0] ? r->helo : "unknown", v6 ? "IPv6:" : "",
                 r->address, r->by, r->with, r->id);
    if (r->for_) {
        mail_buf_add(b, mail_s("\r\n\tfor "));
        mail_path_write(b, r->for_);
    }
    mail_buf_add(b, mail_s(";\r\n\t"));
    mail_date(b, r->time, r->zone);
    mail_buf_add(b, mail_s("\r\n"));
}

/* The octet behind the quoted string, comment or "@[literal]" that begins at
   i, or behind the octet there. What is never closed goes to the end.
   Comments are counted, not called: they may nest as deep as they like. */
static size_t mail__past(mail_str s, size_t i) {
    char open = s.p[i], close = open == '(' ? ')' : open == '[' ? ']' : '"';
    size_t depth = 0;
    if (open != '"' && open != '(' &&
        (open != '[' || i == 0 || s.p[i - 1] != '@')) return i + 1;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\') i++;
        else if (depth && c == close) {
            if (--depth == 0) return i + 1;
        } else if (c == open && (depth == 0 || open == '(')) depth++;
    }
    return s.n;
}

static int mail__white(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Nothing but white space and comments? CFWS, RFC 5322 3.2.2 */
static int mail__cfws(mail_str s) {
    size_t i = 0;
    while (i < s.n && (mail__white(s.p[i]) || s.p[i] == '('))
        i = mail__past(s, i);
    return i >= s.n;
}

static mail_str mail__strip(mail_str s) {
    while (s.n && mail__white(s.p[0])) s.p++, s.n--;
    while (s.n && mail__white(s.p[s.n - 1])) s.n--;
    return s;
}

/* Adds s without white space and comments, which the obsolete forms have
   around each "." and "@". Between two words they are an error: a comment
   would make one domain of two. */
static mail_err mail__squeeze(mail_str s, mail_buf *b) {
    size_t i = 0, end;
    int gap = 0;
    for (; i < s.n; i = end) {
        char c = s.p[i], last = b->n ? b->p[b->n - 1] : '@';
        end = mail__past(s, i);
        if (mail__white(c) || c == '(') {
            gap = 1;
            continue;
        }
        if (gap && !strchr(".@<>,:", c) && !strchr(".@<>,:", last))
            return MAIL_ERR_SYNTAX;
        gap = 0;
        mail_buf_add(b, mail_sn(s.p + i, (end < s.n ? end : s.n) - i));
    }
    return b->full ? MAIL_ERR_TOOLONG : MAIL_ERR_OK;
}

/* What stands in the last comment of s: a name, in "al@a.example (Al)". */
static mail_str mail__comment(mail_str s) {
    mail_str found = mail_sn(s.p, 0);
    size_t i, end;
    for (i = 0; i < s.n; i = end) {
        end = mail__past(s, i);
        if (s.p[i] == '(' && end <= s.n && s.p[end - 1] == ')')
            found = mail_sn(s.p + i + 1, end - i - 2);
    }
    return found;
}

/* mailbox = name-addr / addr-spec; all of s is one, and lt where its "<" is,
   or s.n. A list of hops before the address is dropped, as in a path. */
static mail_err mail__mailbox(mail_str s, size_t lt, mail_addr *a) {
    char text[2 * MAIL_PATH_SIZE];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_str spec = mail_sn(s.p + lt, s.n - lt), rest;
    size_t gt = mail__path_end(spec);
    mail_err e;
    if (lt == s.n) {
        if ((e = mail__squeeze(s, &b)) != MAIL_ERR_OK) return e;
        if ((e = mail_path_mailbox(mail_buf_str(&b), &a->path)) ==
            MAIL_ERR_OK) a->name = mail__comment(s);
        return e;
    }
    if (gt == spec.n ||
        !mail__cfws(mail_sn(spec.p + gt + 1, spec.n - gt - 1)))
        return MAIL_ERR_SYNTAX;
    if ((e = mail__squeeze(mail_sn(spec.p, gt + 1), &b)) != MAIL_ERR_OK ||
        (e = mail_path_read(mail_buf_str(&b), &a->path, &rest)) !=
            MAIL_ERR_OK) return e;
    if (mail_path_null(&a->path)) return MAIL_ERR_SYNTAX;
    a->name = mail__strip(mail_sn(s.p, lt));
    return MAIL_ERR_OK;
}

/* The length of the piece that is next: up to a comma, to the end of a group,
   or to a colon: then it is the name of one. *lt is where its "<" is. */
static size_t mail__addr_piece(mail_str s, size_t *lt) {
    size_t i = 0;
    *lt = s.n;
    while (i < s.n && s.p[i] != ',' && s.p[i] != ';' && s.p[i] != ':') {
        if (s.p[i] != '<' || *lt < s.n) {
            i = mail__past(s, i);
            continue;
        }
        *lt = i;
        i += mail__path_end(mail_sn(s.p + i, s.n - i));
    }
    if (i > s.n) i = s.n;
    if (*lt > i) *lt = i;
    return i;
}

/* address-list = address *("," address), and nothing between two commas;
   group = display-name ":" [mailbox-list] ";"         RFC 5322 3.4, 4.4 */
MAIL_DEF int mail_addr_next(mail_str *list, mail_addr *a) {
    memset(a, 0, sizeof *a);
    while (list->n) {
        mail_str s = *list, piece;
        size_t lt, n = mail__addr_piece(s, &lt);
        char end = n < s.n ? s.p[n] : ',';
        int none = mail__cfws(piece = mail_sn(s.p, n));
        if (end == ';' && !none) *list = mail_sn(s.p + n, s.n - n);
        else *list = n < s.n ? mail_sn(s.p + n + 1, s.n - n - 1)
                             : mail_sn(s.p + n, 0);
        if (none && end == ',') continue;
        a->name = mail__strip(piece);
        a->kind = end == ':' ? MAIL_ADDR_GROUP
                : none ? MAIL_ADDR_END : MAIL_ADDR_MAILBOX;
        if (a->kind == MAIL_ADDR_GROUP && none) a->err = MAIL_ERR_SYNTAX;
        if (a->kind == MAIL_ADDR_MAILBOX) a->err = mail__mailbox(piece, lt, a);
        return 1;
    }
    return 0;
}

/* --- charsets ------------------------------------------------------------- */

static void mail__put_char(mail_buf *b, uint32_t c) {
    char p[3];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
    p[0] = (char)(n == 1 ? c : n == 2 ? 0xc0 | c >> 6 : 0xe0 | c >> 12);
    p[1] = (char)(0x80 | (n == 2 ? c & 63 : c >> 6 & 63));
    p[2] = (char)(0x80 | (c & 63));
    mail_buf_add(b, mail_sn(p, n));
}

enum { MAIL__REPLACED = 0xfffd };

/* A character that is not whole yet is left: there may come more. */
static size_t mail__from_utf8(mail_str in, mail_buf *b) {
    size_t i = 0;
    while (i < in.n) {
        mail_utf8 u;
        size_t k = i;
        int ok = 1;
        memset(&u, 0, sizeof u);
        do ok = mail__utf8_step(&u, (unsigned char)in.p[k]);
        while (ok && ++k < in.n && u.more);
        if (ok && u.more) return i;
        if (ok) mail_buf_add(b, mail_sn(in.p + i, k - i));
        else mail__put_char(b, MAIL__REPLACED);
        i = k > i ? k : i + 1;
    }
    return i;
}

/* What differs from ISO-8859-1; 0: no character has that octet. */
static uint32_t mail__8859_15(uint32_t c) {
    static const char at[] = "\xa4\xa6\xa8\xb4\xb8\xbc\xbd\xbe";
    static const uint16_t is[] = { 0x20ac, 0x160, 0x161, 0x17d, 0x17e, 0x152,
                                   0x153, 0x178 };
    const char *p = c ? strchr(at, (int)(char)c) : NULL;
    return p ? is[p - at] : c;
}

static uint32_t mail__1252(uint32_t c) {
    static const uint16_t is[32] = {
        0x20ac, 0, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,
        0x2030, 0x160, 0x2039, 0x152, 0, 0x17d, 0, 0, 0x2018, 0x2019, 0x201c,
        0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153,
        0, 0x17e, 0x178
    };
    return c < 0x80 || c > 0x9f ? c : is[c - 0x80] ? is[c - 0x80]
                                                   : MAIL__REPLACED;
}

static uint32_t mail__ascii(uint32_t c) {
    return c < 0x80 ? c : MAIL__REPLACED;
}

static uint32_t mail__8859_1(uint32_t c) { return c; }

MAIL_DEF size_t mail_charset(void *ctx, mail_str charset, mail_str in,
                             mail_buf *b) {
    static const struct { const char *name; uint32_t (*is)(uint32_t c); }
    known[] = {
        { "US-ASCII", mail__ascii }, { "ISO-8859-1", mail__8859_1 },
        { "ISO-8859-15", mail__8859_15 }, { "windows-1252", mail__1252 }
    };
    size_t i, k;
    (void)ctx;
    if (mail_ieq(charset, mail_s("UTF-8")) ||
        mail_ieq(charset, mail_s("UTF8"))) return mail__from_utf8(in, b);
    for (k = 0; k < sizeof known / sizeof known[0]; k++)
        if (mail_ieq(charset, mail_s(known[k].name))) {
            for (i = 0; i < in.n; i++)
                mail__put_char(b, known[k].is((unsigned char)in.p[i]));
            return in.n;
        }
    return MAIL_NO_CHARSET;
}

/* --- fields --------------------------------------------------------------- */

MAIL_DEF int mail_field_next(mail_str *head, mail_field *f) {
    mail_str rest = *head, line = mail_cut(&rest, '\n');
    memset(f, 0, sizeof *f);
    if (line.n == 0 || mail_eq(line, mail_s("\r"))) {
        *head = rest;
        return 0;
    }
    while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
        mail_cut(&rest, '\n');
    f->all = mail_sn(head->p, (size_t)(rest.p - head->p));
    f->value = f->all;
    line = mail_cut(&f->value, ':');
    f->name = mail_trim(line);
    f->value = mail__strip(f->value);
    if (line.n == f->all.n || mail_has_control(f->name) ||
        memchr(f->name.p, ' ', f->name.n)) {
        f->value = mail__strip(f->all);
        f->name.n = 0;
    }
    *head = rest;
    return 1;
}

MAIL_DEF int mail_field_find(mail_str head, const char *name,
                             mail_str *value) {
    mail_field f;
    while (mail_field_next(&head, &f))
        if (f.name.n && mail_ieq(f.name, mail_s(name))) {
            *value = f.value;
            return 1;
        }
    return 0;
}

/* Q of RFC 2047 4.2: "_" is a space, "=ED" an octet. */
static int mail__q_decode(mail_str s, mail_buf *b) {
    size_t i;
    for (i = 0; i < s.n; i++) {
        char c = s.p[i] == '_' ? ' ' : s.p[i];
        if (c == '=') {
            int high = i + 2 < s.n ? mail__hex_value(s.p[i + 1]) : -1;
            int low = high < 0 ? -1 : mail__hex_value(s.p[i + 2]);
            if (low < 0) return 0;
            c = (char)(high * 16 + low);
            i += 2;
        }
        mail_buf_add(b, mail_sn(&c, 1));
    }
    return 1;
}

/* Takes an encoded-word off the front of s: adds its octets, and says in which
   charset they are. Returns its length; 0, and adds nothing, if it is none.
   encoded-word = "=?" charset "?" encoding "?" encoded-text "?="
   RFC 2047 2, 4; RFC 2231 5: charset may have a language, "UTF-8*ko". */
static size_t mail__decode_word(mail_str s, mail_str *charset, mail_buf *b) {
    mail_str rest = s, code, text;
    size_t at = b->n, n = 0, i;
    int ok;
    if (s.n < 8 || s.p[0] != '=' || s.p[1] != '?') return 0;
    rest = mail_sn(s.p + 2, s.n - 2);
    *charset = mail_cut(&rest, '?');
    code = mail_cut(&rest, '?');
    text = mail_cut(&rest, '?');
    if (rest.n == 0 || rest.p[0] != '=' || text.n > b->cap - b->n) return 0;
    for (i = 2; s.p + i < rest.p; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~') return 0;
    if (mail_ieq(code, mail_s("B"))) {
        ok = mail_b64_decode(text, b->p + at, &n) == MAIL_ERR_OK;
        if (ok) b->n += n;
    } else ok = mail_ieq(code, mail_s("Q")) && mail__q_decode(text, b);
    if (!ok) b->n = at;
    *charset = mail_cut(charset, '*');
    return ok ? (size_t)(rest.p + 1 - s.p) : 0;
}

/* Text that was added from at on: no control octet of it reaches a screen. */
static void mail__tame(mail_buf *b, size_t at) {
    for (; at < b->n; at++)
        if (mail_has_control(mail_sn(b->p + at, 1))) b->p[at] = '?';
}

/* Text that is no encoded-word: folds go, and what is no UTF-8. */
static void mail__plain(mail_buf *b, mail_str s) {
    size_t at = b->n, i, from = 0, n;
    for (i = 0; i <= s.n; i++) {
        int white = i < s.n && mail__white(s.p[i]);
        if (i < s.n && !white) continue;
        n = mail__from_utf8(mail_sn(s.p + from, i - from), b);
        if (n < i - from) mail__put_char(b, MAIL__REPLACED);
        if (white && s.p[i] != '\r' && s.p[i] != '\n')
            mail_buf_add(b, mail_s(" "));
        from = i + 1;
    }
    mail__tame(b, at);
}

/* Words beside each other, and what of their octets is no character yet. */
typedef struct mail__words {
    mail_buf *b, held;
    mail_str charset;
    int after;                       /* a word came before: a gap is none */
    mail_convert *convert; void *ctx;
    char octets[1200];
} mail__words;

/* The text between two words; white space alone is none. What was left of the
   word before it was no character, then. */
static void mail__words_gap(mail__words *w, mail_str gap, size_t left) {
    if (left) mail__put_char(w->b, MAIL__REPLACED);
    mail__plain(w->b, gap);
}

/* Takes a word off the front of s, behind a gap, or returns 0. A character
   may begin in one word and end in the next: RFC 2047 5 forbids it, and
   mailers do it. */
static size_t mail__word(mail__words *w, mail_str gap, mail_str s) {
    mail_str charset, octets;
    size_t at, old = w->held.n, took;
    size_t n = MAIL_DECODE_WORD(s, &charset, &w->held);
    int joined = w->after && mail__strip(gap).n == 0;
    w->held.full = 0;
    if (n && w->convert(w->ctx, charset, mail_sn("", 0), w->b) ==
             MAIL_NO_CHARSET) n = 0;
    if (n == 0) {
        w->held.n = old;
        return 0;
    }
    if (joined && mail_ieq(charset, w->charset)) old = 0;
    else mail__words_gap(w, joined ? mail_sn("", 0) : gap, old);
    at = w->b->n;
    octets = mail_sn(w->octets + old, w->held.n - old);
    took = w->convert(w->ctx, charset, octets, w->b);
    memmove(w->octets, octets.p + took, octets.n - took);
    w->held.n = octets.n - took;
    w->charset = charset;
    w->after = 1;
    mail__tame(w->b, at);
    return n;
}

MAIL_DEF void mail_text_decode(mail_buf *b, mail_str s,
                               mail_convert *convert, void *ctx) {
    mail__words w;
    size_t i = 0, from = 0, n;
    w.b = b;
    w.held = mail_buf_on(w.octets, sizeof w.octets);
    w.charset = mail_sn("", 0);
    w.after = 0;
    w.convert = convert ? convert : mail_charset;
    w.ctx = ctx;
    for (; i < s.n; i += n ? n : 1) {
        n = 0;
        if (s.p[i] == '=' && i + 1 < s.n && s.p[i + 1] == '?')
            n = mail__word(&w, mail_sn(s.p + from, i - from),
                           mail_sn(s.p + i, s.n - i));
        if (n) from = i + n;
    }
    mail__words_gap(&w, mail_sn(s.p + from, s.n - from), w.held.n);
}

/* A quoted string without its quotes and backslashes. RFC 5322 3.2.4 */
static void mail__unquote(mail_buf *b, mail_str s) {
    size_t k;
    for (k = 1; k < s.n && s.p[k] != '"'; k++) {
        if (s.p[k] == '\\' && k + 1 < s.n) k++;
        if (s.p[k] != '\r' && s.p[k] != '\n')
            mail_buf_add(b, mail_sn(s.p + k, 1));
    }
}

/* Where the words end that begin at i: before a quoted string, a comment or
   the end; behind white space that is before none of them. */
static size_t mail__words_run(mail_str s, size_t i) {
    while (i < s.n && s.p[i] != '"' && s.p[i] != '(') i++;
    return i;
}

/* Adds the words of a phrase with one space between them: quotes and
   backslashes taken away, and comments. RFC 5322 3.2.5. With decode,
   encoded-words are decoded where they may stand: not inside quotes. */
static void mail__phrase(mail_str s, mail_buf *b, int decode,
                         mail_convert *convert, void *ctx) {
    size_t i, end, at;
    int gap = 0, first = 1;
    for (i = 0; i < s.n; i = end) {
        char c = s.p[i];
        end = mail__past(s, i);
        if (end > s.n) end = s.n;
        if (mail__white(c) || c == '(') {
            gap = !first;
            continue;
        }
        if (gap) mail_buf_add(b, mail_s(" "));
        gap = first = 0;
        at = b->n;
        if (c == '"') {
            mail__unquote(b, mail_sn(s.p + i, end - i));
            if (decode) mail__tame(b, at);
        } else if (decode) {
            mail_str run = mail_sn(s.p + i, mail__words_run(s, i) - i);
            end = i + mail__strip(run).n;
            mail_text_decode(b, mail_sn(s.p + i, end - i), convert, ctx);
        } else mail_buf_add(b, mail_sn(s.p + i, end - i));
    }
}

MAIL_DEF void mail_addr_name(mail_buf *b, const mail_addr *a,
                             mail_convert *convert, void *ctx) {
    mail__phrase(a->name, b, 1, convert, ctx);
}

/* Cuts the next ";name=value" off; value may be quoted still. */
static int mail__param_next(mail_str *s, mail_str *name, mail_str *value) {
    size_t i = 0, k;
    while (i < s->n && s->p[i] != ';') i = mail__past(*s, i);
    if (i >= s->n) return 0;
    *s = mail_sn(s->p + i + 1, s->n - i - 1);
    for (i = 0; i < s->n && s->p[i] != '=' && s->p[i] != ';'; i++) {}
    *name = mail__strip(mail_sn(s->p, i));
    for (k = i; k < s->n && s->p[k] != ';'; ) k = mail__past(*s, k);
    if (k > s->n) k = s->n;
    *value = i < k ? mail__strip(mail_sn(s->p + i + 1, k - i - 1))
                   : mail_sn("", 0);
    *s = mail_sn(s->p + k, s->n - k);
    return 1;
}

/* The parameter called name, then what stands in tail: "*0*" ... */
static int mail__param_find(mail_str s, const char *name, const char *tail,
                            mail_str *value) {
    mail_str key;
    size_t n = strlen(name);
    while (mail__param_next(&s, &key, value))
        if (mail_starts(key, name) &&
            mail_eq(mail_sn(key.p + n, key.n - n), mail_s(tail))) return 1;
    return 0;
}

static void mail__percent(mail_buf *b, mail_str s) {
    size_t i;
    for (i = 0; i < s.n; i++) {
        char c = s.p[i];
        int high = c == '%' && i + 2 < s.n ? mail__hex_value(s.p[i + 1])
                                               : -1;
        int low = high < 0 ? -1 : mail__hex_value(s.p[i + 2]);
        if (low >= 0) c = (char)(high * 16 + low), i += 2;
        mail_buf_add(b, mail_sn(&c, 1));
    }
}

static void mail__param_value(mail_buf *b, mail_str v) {
    if (v.n && v.p[0] == '"') mail__unquote(b, v);
    else mail_buf_add(b, v);
}

enum { MAIL__PIECES = 100 };

/* RFC 2231 3, 4: name*=charset'language'text, or name*0, name*1* ..., where
   the ones with a star behind the number have %ED in them. */
static int mail__param_pieces(mail_buf *b, mail_str s, const char *name,
                              mail_str *charset) {
    char tail[8];
    mail_str v;
    int k;
    if (mail__param_find(s, name, "*", &v)) {
        *charset = mail_cut(&v, '\'');
        mail_cut(&v, '\'');
        mail__percent(b, v);
        return 1;
    }
    for (k = 0; k < MAIL__PIECES; k++) {
        mail_buf t = mail_buf_on(tail, sizeof tail);
        mail_buf_fmt(&t, "*%d*", k);
        if (mail__param_find(s, name, tail, &v)) {
            if (k == 0) {
                *charset = mail_cut(&v, '\'');
                mail_cut(&v, '\'');
            }
            mail__percent(b, v);
            continue;
        }
        tail[t.n - 1] = 0;
        if (!mail__param_find(s, name, tail, &v)) break;
        mail__param_value(b, v);
    }
    return k > 0;
}

/* Some write encoded-words into a quoted name: RFC 2047 5 forbids it, and
   everybody reads them. */
MAIL_DEF int mail_field_param(mail_buf *b, mail_str value, const char *name,
                              mail_convert *convert, void *ctx) {
    char text[2048];
    mail_buf t = mail_buf_on(text, sizeof text);
    mail_str charset = mail_sn("", 0), v;
    size_t at = b->n;
    if (mail__param_pieces(&t, value, name, &charset)) {
        if (convert == NULL) convert = mail_charset;
        if (charset.n == 0 ||
            convert(ctx, charset, mail_buf_str(&t), b) == MAIL_NO_CHARSET)
            mail__plain(b, mail_buf_str(&t));
        mail__tame(b, at);
        return 1;
    }
    if (!mail__param_find(value, name, "", &v)) return 0;
    mail__param_value(&t, v);
    mail_text_decode(b, mail_buf_str(&t), convert, ctx);
    return 1;
}

/* ======================================================================
   [MIME]
   ====================================================================== */

/* --- one field ------------------------------------------------------------ */

/* Octets on the line that b ends with. */
static size_t mail__column(const mail_buf *b) {
    size_t n = b->n;
    while (n && b->p[n - 1] != '\n') n--;
    return b->n - n;
}

/* A space, or a fold where n more octets would pass 78: RFC 5322 2.1.1 */
static void mail__space(mail_buf *b, size_t n) {
    mail_buf_add(b, mail_s(mail__column(b) + 1 + n > 78 ? "\r\n " : " "));
}

/* encoded-word = "=?" charset "?" encoding "?" encoded-text "?="; at most
   75 characters, so 45 octets in base64, in lines of at most 76; no character
   is split. RFC 2047 2 */
static void mail__encoded_words(mail_buf *b, mail_str s) {
    while (s.n) {
        size_t col = mail__column(b), most, n;
        if (col > 52) {
            mail_buf_add(b, mail_s("\r\n "));
            col = 1;
        }
        most = (76 - col - 12) / 4 * 3;
        if (most > 45) most = 45;
        n = s.n < most ? s.n : most;
        while (n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
        mail_buf_add(b, mail_s("=?UTF-8?B?"));
        mail_b64_encode(b, mail_sn(s.p, n));
        mail_buf_add(b, mail_s("?="));
        s = mail_sn(s.p + n, s.n - n);
        if (s.n) mail_buf_add(b, mail_s("\r\n "));
    }
}

/* One space between two words: there a line may be folded, and no line of
   white space alone can arise. */
static int mail__gap(mail_str s, size_t i) {
    return s.p[i] == ' ' && i && s.p[i - 1] != ' ' && i + 1 < s.n &&
           s.p[i + 1] != ' ';
}

/* Folds at a gap once a line has 60 octets: RFC 5322 2.2.3: 78 is the aim,
   998 the limit. */
static void mail__folded(mail_buf *b, mail_str s) {
    size_t i, line = 20;
    for (i = 0; i < s.n; i++, line++) {
        if (line > 60 && mail__gap(s, i)) {
            mail_buf_add(b, mail_s("\r\n"));
            line = 0;
        }
        mail_buf_add(b, mail_sn(s.p + i, 1));
    }
}

/* What a reader would not get back as it is: not ASCII, what looks like an
   encoded-word, space at the ends, and what has no place to fold at. */
static int mail__needs_words(mail_str s) {
    size_t i, run = 0;
    if (mail__is_8bit(s)) return 1;
    if (s.n && (s.p[0] == ' ' || s.p[s.n - 1] == ' ')) return 1;
    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '=' && i + 1 < s.n && s.p[i + 1] == '?') return 1;
        run = mail__gap(s, i) ? 0 : run + 1;
        if (run > 900) return 1;
    }
    return 0;
}

/* Writes a header. The first thing that is wrong stays. */
typedef struct mail__writer {
    mail_buf *b;
    mail_err  err;
    int       utf8;          /* an address outside ASCII was in it */
    char     *why; size_t why_n;
} mail__writer;

static void mail__wrong(mail__writer *w, mail_err e, const char *fmt, ...) {
    mail_buf b = mail_buf_on(w->why, w->why_n);
    va_list ap;
    if (w->err) return;
    w->err = e;
    if (w->why_n == 0) return;
    w->why[0] = 0;
    va_start(ap, fmt);
    mail__buf_vfmt(&b, fmt, ap);
    va_end(ap);
}

/* May this go into a header? Returns 0 if w has failed, or does now. */
static int mail__text_ok(mail__writer *w, const char *name, mail_str s) {
    if (mail_has_control(s))
        mail__wrong(w, MAIL_ERR_SYNTAX, "%s holds a line break or another "
                    "control octet", name);
    if (!mail_utf8_ok(s))
        mail__wrong(w, MAIL_ERR_SYNTAX, "%s is not UTF-8", name);
    return !w->err;
}

static void mail__subject(mail__writer *w, const char *name,
                          const char *value) {
    mail_str v = mail_s(value);
    if (value == NULL || !mail__text_ok(w, name, v)) return;
    mail_buf_fmt(w->b, "%s: ", name);
    if (mail__needs_words(v)) mail__encoded_words(w->b, v);
    else mail__folded(w->b, v);
    mail_buf_add(w->b, mail_s("\r\n"));
}

/* display-name = phrase: words; or one quoted string; or encoded-words, which
   stand in no quotes (RFC 2047 5 (3)). */
static void mail__display_name(mail_buf *b, mail_str s) {
    size_t i;
    int plain = 1;
    if (mail__needs_words(s) || s.n > 60) {
        mail__space(b, 30);
        mail__encoded_words(b, s);
        return;
    }
    for (i = 0; i < s.n; i++)
        plain &= mail__atext(s.p[i]) || (s.p[i] == ' ' && s.p[i - 1] != ' ');
    mail__space(b, s.n + 2);
    mail_buf_add(b, mail_s(plain ? "" : "\""));
    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') mail_buf_add(b, mail_s("\\"));
        mail_buf_add(b, mail_sn(s.p + i, 1));
    }
    mail_buf_add(b, mail_s(plain ? "" : "\""));
}

/* One address or the name of a group, with its space before it. */
static void mail__address(mail__writer *w, const char *field,
                          const mail_addr *a) {
    char name[1000], path[MAIL_PATH_SIZE], shown[80];
    mail_buf n = mail_buf_on(name, sizeof name);
    mail_buf t = mail_buf_on(path, sizeof path);
    if (a->err)
        mail__wrong(w, a->err, "%s holds no address: %s", field,
                    mail_printable(shown, sizeof shown, a->name));
    mail__phrase(a->name, &n, 0, NULL, NULL);
    if (n.full)
        mail__wrong(w, MAIL_ERR_TOOLONG, "%s holds a name that is too long",
                    field);
    if (w->err) return;
    if (n.n) mail__display_name(w->b, mail_buf_str(&n));
    if (a->kind == MAIL_ADDR_GROUP) return;
    mail_path_write(&t, &a->path);
    w->utf8 |= mail__is_8bit(mail_buf_str(&t));
    if (n.n == 0) t.p++, t.n -= 2;             /* no name: no < > */
    mail__space(w->b, t.n + 1);
    mail_buf_add(w->b, mail_buf_str(&t));
}

/* From: Al <al@a.example>, Friends: b@c, d@e; */
static void mail__addresses(mail__writer *w, const char *name,
                            const char *value) {
    mail_str list = mail_s(value);
    mail_addr a;
    int many = 0, none = 1, group = 0;
    if (list.n == 0 || !mail__text_ok(w, name, list)) return;
    mail_buf_fmt(w->b, "%s:", name);
    for (; !w->err && mail_addr_next(&list, &a); none = 0) {
        if (a.kind == MAIL_ADDR_END && !group)
            mail__wrong(w, MAIL_ERR_SYNTAX, "%s has a ; and no group before "
                        "it", name);
        if (a.kind != MAIL_ADDR_MAILBOX) group = a.kind == MAIL_ADDR_GROUP;
        if (a.kind != MAIL_ADDR_END) {
            if (many) mail_buf_add(w->b, mail_s(","));
            mail__address(w, name, &a);
        }
        if (a.kind != MAIL_ADDR_MAILBOX)
            mail_buf_add(w->b, mail_s(a.kind == MAIL_ADDR_END ? ";" : ":"));
        many = a.kind != MAIL_ADDR_GROUP;
    }
    if (none) mail__wrong(w, MAIL_ERR_SYNTAX, "%s holds no address", name);
    mail_buf_add(w->b, mail_s("\r\n"));
}

/* msg-id = "<" id-left "@" id-right ">", RFC 5322 3.6.4 */
static int mail__msg_id_ok(const char *id) {
    mail_str s = mail_s(id), left;
    size_t i;
    if (s.n < 5 || s.n > 900 || s.p[0] != '<' || s.p[s.n - 1] != '>') return 0;
    s = mail_sn(s.p + 1, s.n - 2);
    for (i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("<>", s.p[i])) return 0;
    left = mail_cut(&s, '@');
    return left.n && s.n;
}

static void mail__date_field(mail_buf *b, int64_t time, int zone) {
    mail_buf_add(b, mail_s("Date: "));
    mail_date(b, time, zone);
    mail_buf_add(b, mail_s("\r\n"));
}

/* The fields that every letter has. */
static void mail__fields(mail__writer *w, const mail_compose *m) {
    if (m->from == NULL) mail__wrong(w, MAIL_ERR_MISUSE, "there is no From");
    else if (*m->from == 0)
        mail__wrong(w, MAIL_ERR_SYNTAX, "From holds no address");
    if (m->message_id && !mail__msg_id_ok(m->message_id))
        mail__wrong(w, MAIL_ERR_SYNTAX, "Message-ID is not <left@right>");
    mail__addresses(w, "From", m->from);
    mail__addresses(w, "To", m->to);
    mail__addresses(w, "Cc", m->cc);
    mail__subject(w, "Subject", m->subject);
    if (w->err) return;
    mail__date_field(w->b, m->time, m->zone);
    if (m->message_id) mail_buf_fmt(w->b, "Message-ID: %s\r\n", m->message_id);
}

MAIL_DEF mail_err mail_compose_head(mail_buf *b, const mail_compose *m) {
    mail__writer w;
    memset(&w, 0, sizeof w);
    w.b = b;
    mail__fields(&w, m);
    if (m->body_8bit)
        mail_buf_add(b, mail_s("MIME-Version: 1.0\r\n"
                               "Content-Type: text/plain; charset=UTF-8\r\n"
                               "Content-Transfer-Encoding: 8bit\r\n"));
    mail_buf_add(b, mail_s("\r\n"));
    return w.err ? w.err : b->full ? MAIL_ERR_TOOLONG : MAIL_ERR_OK;
}

/* --- a header that somebody else wrote ------------------------------------ */

/* The line that an mbox has before each letter is no field, and mail readers
   hand it over all the same. */
static mail_str mail__past_mbox_line(mail_str s) {
    mail_str rest = s, line = mail_cut(&rest, '\n');
    size_t at = line.n && line.p[0] == '>';
    if (line.n < at + 5 || memcmp(line.p + at, "From ", 5) != 0) return s;
    line = mail_trim(mail_sn(line.p + at + 5, line.n - at - 5));
    return line.n && line.p[0] == ':' ? s : rest;   /* "From :" is a field */
}

/* The next field of a letter's header; 0 at the empty line, and before a line
   that is no field: *text is the body then. */
static int mail__letter_field(mail_str *text, mail_field *f) {
    mail_str rest = *text;
    int more = mail_field_next(&rest, f);
    if (more && f->name.n == 0) return 0;
    *text = rest;
    return more;
}

static int mail__one_of(mail_str name, const char *const names[3]) {
    int i;
    for (i = 0; i < 3; i++)
        if (mail_ieq(name, mail_s(names[i]))) return 1 << i;
    return 0;
}

static const char *const mail__receivers[2][3] = {
    { "To", "Cc", "Bcc" }, { "Resent-To", "Resent-Cc", "Resent-Bcc" }
};

MAIL_DEF int mail_named_next(mail_named *r, mail_addr *a) {
    mail_field f;
    mail_str rest;
    if (!r->resent) {
        r->resent = 1;
        r->head = rest = mail__past_mbox_line(r->head);
        while (mail__letter_field(&rest, &f))
            if (mail__one_of(f.name, mail__receivers[1])) r->resent = 2;
    }
    while (!mail_addr_next(&r->list, a)) {
        if (!mail__letter_field(&r->head, &f)) return 0;
        if (mail__one_of(f.name, mail__receivers[r->resent - 1]))
            r->list = f.value;
    }
    return 1;
}

/* A field as it is, but for its line ends. */
static void mail__add_lines(mail_buf *b, mail_str s) {
    while (s.n) {
        mail_str line = mail_cut(&s, '\n');
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        mail_buf_add(b, line);
        mail_buf_add(b, mail_s("\r\n"));
    }
}

MAIL_DEF mail_err mail_head_complete(mail_buf *b, mail_str *text,
                                     const mail_compose *m) {
    static const char *const hidden[] = { "Bcc", "Resent-Bcc",
                                          "Return-Path" };
    static const char *const needed[] = { "From", "Date", "Message-ID" };
    mail_field f;
    mail__writer w;
    int has = 0;
    memset(&w, 0, sizeof w);
    w.b = b;
    *text = mail__past_mbox_line(*text);
    while (mail__letter_field(text, &f)) {
        has |= mail__one_of(f.name, needed);
        if (!mail__one_of(f.name, hidden)) mail__add_lines(b, f.all);
    }
    if (!(has & 1)) mail__addresses(&w, "From", m->from);
    if (!(has & 2)) mail__date_field(b, m->time, m->zone);
    if (!(has & 4)) mail_buf_fmt(b, "Message-ID: %s\r\n", m->message_id);
    mail_buf_add(b, mail_s("\r\n"));
    return w.err ? w.err : b->full ? MAIL_ERR_TOOLONG : MAIL_ERR_OK;
}

/* --- a parameter ---------------------------------------------------------- */

/* What stands in a quoted string as it is. */
static int mail__param_plain(mail_str s) {
    return !mail__is_8bit(s) && s.n <= 60 && !memchr(s.p, '"', s.n) &&
           !memchr(s.p, '\\', s.n) && !memchr(s.p, '%', s.n) &&
           mail_trim(s).n == s.n && !mail__needs_words(s);
}

/* ; filename="plain.txt"; or, outside ASCII or long, in pieces that any
   reader puts together again:
   ; filename*0*=UTF-8''%ED%95%9C; filename*1*=%EA%B8%80.txt    RFC 2231 3, 4 */
static void mail__param(mail_buf *b, const char *name, mail_str s) {
    int piece = 0;
    size_t i = 0, room;
    if (mail__param_plain(s)) {
        mail_buf_fmt(b, ";\r\n %s=\"%.*s\"", name, MAIL_ARG(s));
        return;
    }
    do {
        mail_buf_fmt(b, ";\r\n %s*%d*=%s", name, piece, piece ? "" : "UTF-8''");
        for (room = 48; i < s.n && room >= 3; i++) {
            char c = s.p[i];
            if (mail__alnum(c) || c == '.' || c == '-' || c == '_')
                mail_buf_add(b, mail_sn(&c, 1)), room--;
            else mail_buf_fmt(b, "%%%02X", (unsigned)(unsigned char)c),
                 room -= 3;
        }
        piece++;
    } while (i < s.n);
}

/* --- one part ------------------------------------------------------------- */

/* What is in it: an octet over 127; something that 7bit cannot carry; text
   that is not UTF-8. */
enum { MAIL__8BIT = 1, MAIL__NOT_7BIT = 2, MAIL__NOT_UTF8 = 4 };

/* Looks at a part as it passes: can it go as it is? A line that begins like
   our boundaries cannot. Quoted-printable and base64 make no such line: so
   a boundary stands in no part, whatever somebody wrote into it. */
static void mail__look(mail_look *l, mail_str s) {
    static const char trap[] = "--=_";
    size_t i;
    for (i = 0; i < s.n; i++, l->n++) {
        unsigned char c = (unsigned char)s.p[i];
        int end = c == '\n' && l->cr;
        if (c > 127) l->is |= MAIL__8BIT | MAIL__NOT_7BIT;
        if (!mail__utf8_step(&l->utf8, c)) l->is |= MAIL__NOT_UTF8;
        if (c == 0 || (c == '\n') != l->cr ||
            (c != '\r' && !end && l->col >= 998)) l->is |= MAIL__NOT_7BIT;
        l->trap = l->trap == l->col && l->col < 4 && c == trap[l->col]
                      ? (unsigned char)(l->trap + 1) : 0;
        if (l->trap == 4) l->is |= MAIL__NOT_7BIT;
        l->cr = c == '\r';
        l->col = end ? 0 : l->col + 1;
    }
}

/* A CR without LF, a character that is not whole: at the end they count. */
static void mail__look_end(mail_look *l) {
    if (l->cr) l->is |= MAIL__NOT_7BIT;
    if (l->utf8.more) l->is |= MAIL__NOT_UTF8;
}

static int mail__has(const mail_source *s) { return s->text.p || s->read; }

/* The part i: a text, an HTML text, a file. */
static mail_source *mail__source(mail_letter *l, size_t i) {
    size_t texts = l->parts - l->m.nfiles;
    if (i >= texts) return &l->m.files[i - texts].from;
    return i || !l->has_text ? &l->m.html : &l->m.text;
}

static int mail__is_file(const mail_letter *l, size_t i) {
    return i >= l->parts - l->m.nfiles;
}

static int64_t mail__part_fail(mail_letter *l, mail_err e, const char *what) {
    size_t i = l->part - (l->parts - l->m.nfiles);
    char name[60];
    mail_buf b = mail_buf_on(l->why, sizeof l->why);
    if (l->err) return -1;
    l->err = e;
    if (mail__is_file(l, l->part))
        mail_buf_fmt(&b, "attachment %lu (%s) %s", (unsigned long)i + 1,
                     mail_printable(name, sizeof name,
                                    mail_s(l->m.files[i].name)), what);
    else mail_buf_fmt(&b, "the %s %s", mail__source(l, l->part) == &l->m.html
                      ? "HTML text" : "text", what);
    return -1;
}

static void mail__part_begin(mail_letter *l) {
    l->at = 0;
    l->cr = 0;
    memset(&l->look, 0, sizeof l->look);
    memset(&l->code, 0, sizeof l->code);
    l->code.coding = (mail_coding)mail__source(l, l->part)->coding;
    l->code.lines = !mail__is_file(l, l->part);
}

/* Every line end of a text is CRLF, whatever it was. */
static size_t mail__to_crlf(mail_letter *l, const char *p, size_t n,
                            char *out) {
    size_t i, made = 0;
    for (i = 0; i < n; i++) {
        if (p[i] == '\r' || (p[i] == '\n' && !l->cr)) {
            out[made++] = '\r';
            out[made++] = '\n';
        } else if (p[i] != '\n') out[made++] = p[i];
        l->cr = p[i] == '\r';
    }
    return made;
}

enum { MAIL__CHUNK = 1000 };

/* The next octets of the part into out, which holds twice the chunk; the last
   line of a text has its end. Returns 0 at the end, -1 if it failed. */
static int64_t mail__pull(mail_letter *l, char *out) {
    mail_source *s = mail__source(l, l->part);
    int file = mail__is_file(l, l->part);
    char raw[MAIL__CHUNK];
    int64_t n = 0;
    if (s->read) n = s->read(s->ctx, l->at, raw, sizeof raw);
    else {
        size_t left = s->text.n - (size_t)l->at;
        n = (int64_t)(left < sizeof raw ? left : sizeof raw);
        if (n) memcpy(raw, s->text.p + l->at, (size_t)n);
    }
    if (n < 0 || n > MAIL__CHUNK)
        return mail__part_fail(l, MAIL_ERR_IO, "cannot be read");
    l->at += n;
    if (n == 0 && (file || l->look.col == 0)) return 0;
    if (n == 0) memcpy(out, "\r\n", (size_t)(n = 2));
    else if (file) memcpy(out, raw, (size_t)n);
    else n = (int64_t)mail__to_crlf(l, raw, (size_t)n, out);
    mail__look(&l->look, mail_sn(out, (size_t)n));
    return n;
}

/* Reads the part once. As it is, if it can go so; else what is shorter, and
   of two that are alike the one that a person can read. */
static void mail__choose(mail_letter *l) {
    mail_source *s = mail__source(l, l->part);
    int64_t n, qp = 0, b64;
    char text[2 * MAIL__CHUNK];
    mail_buf b = mail_buf_on(l->out, sizeof l->out);
    mail__part_begin(l);
    l->code.coding = MAIL_CODING_QP;
    for (; (n = mail__pull(l, text)) > 0; b.n = 0) {
        mail_encode_add(&l->code, mail_sn(text, (size_t)n), &b);
        qp += (int64_t)b.n;
    }
    if (n < 0) return;
    mail_encode_end(&l->code, &b);
    qp += (int64_t)b.n;
    mail__look_end(&l->look);
    s->n = l->look.n;
    s->is = l->look.is;
    b64 = (s->n + 2) / 3 * 4 + (s->n ? (s->n - 1) / 57 * 2 : 0);
    s->coding = (unsigned char)(!(s->is & MAIL__NOT_7BIT) ? MAIL_CODING_NONE
                                : qp <= b64 ? MAIL_CODING_QP
                                            : MAIL_CODING_B64);
    l->size += s->coding == MAIL_CODING_NONE ? s->n
               : s->coding == MAIL_CODING_QP ? qp : b64;
    if (!mail__is_file(l, l->part) && s->is & MAIL__NOT_UTF8)
        mail__part_fail(l, MAIL_ERR_SYNTAX, "is not UTF-8");
}

/* --- a letter ------------------------------------------------------------- */

static int mail__alternative(const mail_letter *l) {
    return l->has_text && mail__has(&l->m.html);
}

static void mail__multipart(mail_letter *l, mail_buf *b, int inner) {
    mail_buf_fmt(b, "Content-Type: multipart/%s;\r\n boundary=\"%s_%d\"\r\n"
                 "\r\n", inner ? "alternative" : "mixed", l->boundary,
                 inner + 1);
}

/* The line end before it is its own: a part may end without one. */
static void mail__delimiter(mail_letter *l, mail_buf *b, int inner,
                            const char *end) {
    mail_buf_fmt(b, "%s--%s_%d%s\r\n", l->part ? "\r\n" : "", l->boundary,
                 inner + 1, end);
}

/* Plain ASCII needs no word about itself: it is what mail was before MIME. */
static void mail__part_head(mail_letter *l, mail_buf *b) {
    size_t texts = l->parts - l->m.nfiles;
    const mail_source *s = mail__source(l, l->part);
    const mail_file *f = mail__is_file(l, l->part)
                             ? &l->m.files[l->part - texts] : NULL;
    const char *type = f ? f->type : s == &l->m.html ? "text/html"
                                                     : "text/plain";
    if (type == NULL) type = "application/octet-stream";
    mail_buf_fmt(b, "Content-Type: %s%s\r\n", type,
                 mail_starts(mail_s(type), "text/") &&
                 !strchr(type, ';') && !(s->is & MAIL__NOT_UTF8)
                     ? "; charset=UTF-8" : "");
    if (f) {
        mail_buf_add(b, mail_s("Content-Disposition: attachment"));
        mail__param(b, "filename", mail_s(f->name));
        mail_buf_add(b, mail_s("\r\n"));
    }
    mail_buf_fmt(b, "Content-Transfer-Encoding: %s\r\n\r\n",
                 mail_coding_name((mail_coding)s->coding));
}

/* What stands before a part; all that is not its own octets:
   mixed( alternative( text, html ), file, file ), as far as they are there */
static void mail__part_open(mail_letter *l, mail_buf *b) {
    int mixed = l->m.nfiles > 0, both = mail__alternative(l);
    size_t i = l->part;
    const mail_source *s = mail__source(l, i);
    if (!mixed && !both && s == &l->m.text && s->coding == MAIL_CODING_NONE) {
        mail_buf_add(b, mail_s("\r\n"));
        return;
    }
    if (i == 0) mail_buf_add(b, mail_s("MIME-Version: 1.0\r\n"));
    if (i == 0 && mixed) mail__multipart(l, b, 0);
    if (both && i == 2) mail__delimiter(l, b, 1, "--");
    if (mixed && (i == 0 || !(both && i == 1))) mail__delimiter(l, b, 0, "");
    if (both && i == 0) mail__multipart(l, b, 1);
    if (both && i < 2) mail__delimiter(l, b, 1, "");
    mail__part_head(l, b);
}

static void mail__close(mail_letter *l, mail_buf *b) {
    if (l->m.nfiles) mail__delimiter(l, b, 0, "--");
    else if (mail__alternative(l)) mail__delimiter(l, b, 1, "--");
    else if (mail__source(l, 0)->coding == MAIL_CODING_B64)
        mail_buf_add(b, mail_s("\r\n"));
}

/* type "/" subtype, then what the caller knows of it, "; charset=EUC-KR". A
   multipart is ours to make, and RFC 2046 5.2.1 lets no message be encoded. */
static int mail__type_ok(const char *type) {
    mail_str s = mail_s(type), rest = s, sub;
    size_t i;
    if (type == NULL) return 1;
    sub = mail_cut(&rest, ';');
    for (i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~') return 0;
    rest = mail_cut(&sub, '/');
    for (i = 0; i < rest.n; i++) if (!mail__atext(rest.p[i])) return 0;
    for (i = 0; i < sub.n; i++)
        if (!mail__atext(sub.p[i]) && sub.p[i] != '.') return 0;
    return rest.n && sub.n && s.n < 128 && !mail_starts(s, "multipart/") &&
           !mail_starts(s, "message/");
}

/* No name is a way: what a reader does with it is not in our hands. */
static void mail__files_check(mail_letter *l) {
    for (l->part = l->parts - l->m.nfiles; l->part < l->parts; l->part++) {
        const mail_file *f =
            &l->m.files[l->part - (l->parts - l->m.nfiles)];
        mail_str name = mail_s(f->name);
        if (name.n == 0)
            mail__part_fail(l, MAIL_ERR_MISUSE, "has no name");
        else if (name.n > 255)
            mail__part_fail(l, MAIL_ERR_TOOLONG, "has too long a name");
        else if (mail_has_control(name) || memchr(name.p, '/', name.n) ||
                 memchr(name.p, '\\', name.n))
            mail__part_fail(l, MAIL_ERR_SYNTAX, "has a line break, a control "
                            "octet or a slash in its name");
        else if (!mail_utf8_ok(name))
            mail__part_fail(l, MAIL_ERR_SYNTAX, "has a name that is not "
                            "UTF-8");
        else if (!mail__type_ok(f->type))
            mail__part_fail(l, MAIL_ERR_SYNTAX, "has no type that an "
                            "attachment can have");
    }
}

/* The same letter has the same boundary; "=_" stands in no encoded text. */
static void mail__boundary(mail_letter *l) {
    unsigned char sum[32];
    mail_sha256 h;
    mail_buf b = mail_buf_on(l->boundary, sizeof l->boundary);
    size_t i;
    mail_sha256_init(&h);
    mail_sha256_add(&h, mail_buf_str(&l->head));
    mail_sha256_end(&h, sum);
    mail_buf_add(&b, mail_s("=_"));
    for (i = 0; i < 12; i++) mail_buf_fmt(&b, "%02x", (unsigned)sum[i]);
}

MAIL_DEF mail_err mail_letter_init(mail_letter *l, const mail_compose *m,
                                   mail_buf room) {
    mail__writer w;
    mail_buf b;
    memset(l, 0, sizeof *l);
    memset(&w, 0, sizeof w);
    l->m = *m;
    l->head = room;
    l->has_text = mail__has(&m->text) || (!mail__has(&m->html) && !m->nfiles);
    l->parts = (size_t)l->has_text + (size_t)mail__has(&m->html) + m->nfiles;
    w.b = &l->head;
    w.why = l->why;
    w.why_n = sizeof l->why;
    mail__fields(&w, m);
    if (l->head.full) mail__wrong(&w, MAIL_ERR_TOOLONG, "the header is longer "
                                  "than the room for it");
    l->err = w.err;
    l->utf8 = w.utf8;
    mail__boundary(l);
    mail__files_check(l);
    l->size = (int64_t)l->head.n;
    for (l->part = 0; l->part < l->parts && !l->err; l->part++) {
        mail__choose(l);
        b = mail_buf_on(l->out, sizeof l->out);
        mail__part_open(l, &b);
        l->size += (int64_t)b.n;
    }
    b = mail_buf_on(l->out, sizeof l->out);
    mail__close(l, &b);
    l->size += (int64_t)b.n;
    l->part = 0;
    return l->err;
}

enum { MAIL__L_HEAD, MAIL__L_OPEN, MAIL__L_OCTETS, MAIL__L_OVER };

/* A part has ended. What it was when it was read first, it must be still: its
   encoding was chosen for that. */
static void mail__part_end(mail_letter *l, mail_buf *b) {
    const mail_source *s = mail__source(l, l->part);
    mail__look_end(&l->look);
    if (s->n != l->look.n || s->is != l->look.is)
        mail__part_fail(l, MAIL_ERR_IO, "changed while it was sent");
    mail_encode_end(&l->code, b);
    l->part++;
    l->step = MAIL__L_OPEN;
}

static void mail__letter_step(mail_letter *l) {
    mail_buf b = mail_buf_on(l->out, sizeof l->out);
    char text[2 * MAIL__CHUNK];
    int64_t n;
    if (l->step == MAIL__L_HEAD) {
        l->next = mail_buf_str(&l->head);
        l->step = MAIL__L_OPEN;
        return;
    }
    if (l->step == MAIL__L_OPEN && l->part == l->parts) {
        mail__close(l, &b);
        l->step = MAIL__L_OVER;
    } else if (l->step == MAIL__L_OPEN) {
        mail__part_open(l, &b);
        mail__part_begin(l);
        l->step = MAIL__L_OCTETS;
    } else if ((n = mail__pull(l, text)) > 0)
        mail_encode_add(&l->code, mail_sn(text, (size_t)n), &b);
    else if (n == 0) mail__part_end(l, &b);
    l->next = mail_buf_str(&b);
}

MAIL_DEF int64_t mail_letter_read(mail_letter *l, char *p, size_t n) {
    while (l->next.n == 0 && l->step != MAIL__L_OVER && !l->err)
        mail__letter_step(l);
    if (l->err) return -1;
    if (n > l->next.n) n = l->next.n;
    if (n) memcpy(p, l->next.p, n);
    l->next = mail_sn(l->next.p + n, l->next.n - n);
    return (int64_t)n;
}

/* --- taking one apart ----------------------------------------------------- */

enum { MAIL__M_HEAD, MAIL__M_LEAF, MAIL__M_SKIP, MAIL__M_OVER };

static void mail__broken(mail_mime *m, const char *what) {
    if (m->broken == NULL) m->broken = what;
}

static void mail__mime_tell(mail_mime *m, int what, mail_str text) {
    if (what != MAIL_MIME_TEXT || text.n) m->tell(m->ctx, m, what, text);
}

static void mail__mime_text(mail_mime *m, mail_str s) {
    char out[MAIL_DECODE_SIZE(sizeof m->line)];
    mail_buf b = mail_buf_on(out, sizeof out);
    mail_decode_add(&m->decode, s, &b);
    mail__mime_tell(m, MAIL_MIME_TEXT, mail_buf_str(&b));
}

/* The line end before a boundary belongs to it: so one is held. */
static void mail__mime_eol(mail_mime *m) {
    if (m->eol) mail__mime_text(m, mail_s(m->eol == 2 ? "\r\n" : "\n"));
    m->eol = 0;
}

static void mail__mime_leaf_end(mail_mime *m) {
    char out[MAIL_DECODE_SIZE(0)];
    mail_buf b = mail_buf_on(out, sizeof out);
    if (m->state != MAIL__M_LEAF) return;
    mail_decode_end(&m->decode, &b);
    mail__mime_tell(m, MAIL_MIME_TEXT, mail_buf_str(&b));
    mail__mime_tell(m, MAIL_MIME_END, mail_s(""));
}

static void mail__mime_name(mail_mime *m, mail_str disposition,
                            mail_str type) {
    mail_buf b = mail_buf_on(m->name, sizeof m->name - 1);
    if (!mail_field_param(&b, disposition, "filename", m->convert,
                          m->convert_ctx))
        mail_field_param(&b, type, "name", m->convert, m->convert_ctx);
    m->name[b.n] = 0;
}

/* "text/plain", in lower case; what is no type is text (RFC 2045 5.2). */
static void mail__mime_type(mail_mime *m, mail_str value) {
    mail_buf b = mail_buf_on(m->charset, sizeof m->charset - 1);
    mail_str rest = value, type = mail__strip(mail_cut(&rest, ';'));
    size_t i;
    mail_field_param(&b, value, "charset", NULL, NULL);
    m->charset[b.n] = 0;
    if (type.n == 0 || !memchr(type.p, '/', type.n) || mail_has_control(type))
        type = mail_s(m->depth && m->digest >> (m->depth - 1) & 1
                          ? "message/rfc822" : "text/plain");
    mail_copy(m->type, sizeof m->type, type);
    for (i = 0; m->type[i]; i++) m->type[i] = mail__lower(m->type[i]);
}

static mail_coding mail__mime_coding(mail_mime *m, mail_str head) {
    mail_str v;
    if (!mail_field_find(head, "Content-Transfer-Encoding", &v) ||
        mail_ieq(v, mail_s("7bit")) || mail_ieq(v, mail_s("8bit")) ||
        mail_ieq(v, mail_s("binary"))) return MAIL_CODING_NONE;
    if (mail_ieq(v, mail_s("base64"))) return MAIL_CODING_B64;
    if (mail_ieq(v, mail_s("quoted-printable"))) return MAIL_CODING_QP;
    mail__broken(m, "a part has an unknown transfer encoding");
    return MAIL_CODING_NONE;
}

/* Opens a multipart: from now on its boundary is one. Else it is text. */
static int mail__mime_push(mail_mime *m, mail_str type) {
    char *to = m->depth < MAIL_MIME_DEPTH ? m->boundary[m->depth] : NULL;
    mail_buf b = mail_buf_on(to, to ? sizeof m->boundary[0] - 1 : 0);
    if (!mail_starts(mail_s(m->type), "multipart/")) return 0;
    if (to == NULL) mail__broken(m, "multiparts stand too deep in each other");
    else if (!mail_field_param(&b, type, "boundary", NULL, NULL) ||
             b.n == 0 || b.full)
        mail__broken(m, "a multipart has no good boundary");
    else {
        to[b.n] = 0;
        m->digest = (unsigned char)(m->digest & ~(1u << m->depth));
        if (mail_eq(mail_s(m->type), mail_s("multipart/digest")))
            m->digest |= (unsigned char)(1u << m->depth);
        m->depth++;
        return 1;
    }
    return 0;
}

/* The header of a part is whole. */
static void mail__mime_head(mail_mime *m) {
    mail_str head = mail_buf_str(&m->head), type = mail_sn("", 0);
    mail_str disposition = mail_sn("", 0);
    if (m->head.full) mail__broken(m, "a header is longer than there is room");
    mail_field_find(head, "Content-Type", &type);
    mail_field_find(head, "Content-Disposition", &disposition);
    mail__mime_type(m, type);
    mail__mime_name(m, disposition, type);
    m->attachment = mail_starts(disposition, "attachment");
    memset(&m->decode, 0, sizeof m->decode);
    m->multipart = mail__mime_push(m, type);
    m->state = m->multipart ? MAIL__M_SKIP : MAIL__M_LEAF;
    if (!m->multipart) m->decode.coding = mail__mime_coding(m, head);
    mail__mime_tell(m, MAIL_MIME_PART, mail_s(""));
}

/* "--boundary", of this multipart or one around it; with "--" it is over.
   Returns 0 if the line is none. */
static int mail__mime_delimiter(mail_mime *m, mail_str line) {
    int k, last;
    mail_str rest;
    if (line.n < 3 || line.p[0] != '-' || line.p[1] != '-') return 0;
    line = mail_trim(mail_sn(line.p + 2, line.n - 2));
    for (k = m->depth; k-- > 0; ) {
        size_t n = strlen(m->boundary[k]);
        if (line.n < n || memcmp(line.p, m->boundary[k], n) != 0) continue;
        rest = mail_sn(line.p + n, line.n - n);
        last = mail_eq(rest, mail_s("--"));
        if (rest.n && !last) continue;
        if (m->state == MAIL__M_HEAD) mail__mime_head(m);
        mail__mime_leaf_end(m);
        if (k + 1 < m->depth)
            mail__broken(m, "a multipart ends without its last boundary");
        m->depth = k + !last;
        m->eol = 0;
        m->state = MAIL__M_SKIP;
        if (last) return 1;
        if (m->part + 1 >= (m->most ? m->most : 1000)) {
            mail__broken(m, "there are too many parts");
            m->state = MAIL__M_OVER;
            return 1;
        }
        m->part++;
        m->head.n = 0;
        m->head.full = 0;
        m->state = MAIL__M_HEAD;
        return 1;
    }
    return 0;
}

/* A line, or a piece of a long one. eol: 0 none yet, 1 LF, 2 CRLF. */
static void mail__mime_line(mail_mime *m, int eol) {
    mail_str s = mail_sn(m->line, m->n);
    int front = !m->middle;
    m->middle = eol == 0;
    m->n = 0;
    if (m->state == MAIL__M_OVER) return;
    if (front && m->depth && mail__mime_delimiter(m, s)) return;
    if (m->state == MAIL__M_HEAD && front && s.n == 0) mail__mime_head(m);
    else if (m->state == MAIL__M_HEAD) {
        mail_buf_add(&m->head, s);
        if (eol) mail_buf_add(&m->head, mail_s("\r\n"));
    } else if (m->state == MAIL__M_LEAF) {
        mail__mime_eol(m);
        mail__mime_text(m, s);
        m->eol = (unsigned char)eol;
    }
}

MAIL_DEF void mail_mime_feed(mail_mime *m, mail_str s) {
    size_t i;
    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '\n') {
            int cr = m->n && m->line[m->n - 1] == '\r';
            if (cr) m->n--;
            mail__mime_line(m, cr ? 2 : 1);
            continue;
        }
        /* A CR at the edge waits: with an LF it is a line end. */
        if (m->n == sizeof m->line) {
            int cr = m->line[m->n - 1] == '\r';
            m->n -= (size_t)cr;
            mail__mime_line(m, 0);
            if (cr) m->line[m->n++] = '\r';
        }
        m->line[m->n++] = s.p[i];
    }
}

MAIL_DEF void mail_mime_end(mail_mime *m) {
    if (m->n || m->middle) mail__mime_line(m, 0);
    if (m->state == MAIL__M_HEAD) mail__mime_head(m);
    if (m->state == MAIL__M_LEAF) mail__mime_eol(m);
    mail__mime_leaf_end(m);
    if (m->depth) mail__broken(m, "the message ends before its multipart");
    m->state = MAIL__M_OVER;
}

/* ======================================================================
   [LINE]
   ====================================================================== */

MAIL_DEF void mail_line_reset(mail_line *l) {
    l->n = 0;
    l->done = l->cr = l->bad = l->longer = 0;
}

MAIL_DEF mail_str mail_line_text(const mail_line *l) {
    return mail_sn(l->p, l->n);
}

static void mail__line_keep(mail_line *l, const char *p, size_t n) {
    if (n > sizeof l->p - 2 - l->n) {       /* 2: its CRLF counts, too */
        n = sizeof l->p - 2 - l->n;
        l->longer = 1;
    }
    if (n) memcpy(l->p + l->n, p, n);
    l->n += n;
}

/* Octets come in any pieces: "NO", "OP\r", "\n" is one line. What is not
   yet a line stays in l until the rest has come. */
MAIL_DEF size_t mail_line_feed(mail_line *l, const char *in, size_t n,
                               int lf_ends) {
    size_t used = 0;
    while (used < n && !l->done) {
        const char *p = in + used;
        const char *lf = (const char *)memchr(p, '\n', n - used);
        size_t len = lf ? (size_t)(lf - p) : n - used;
        int cr = len ? p[len - 1] == '\r' : l->cr;
        size_t text = len && cr ? len - 1 : len;
        if (len && l->cr) {                    /* CR, then no LF */
            l->bad = 1;
            mail__line_keep(l, "\r", 1);
        }
        if (text && (memchr(p, '\r', text) || memchr(p, 0, text)))
            l->bad = 1;
        mail__line_keep(l, p, text);
        l->cr = (unsigned char)cr;
        used += len;
        if (lf == NULL) break;
        used++;
        l->cr = 0;
        if (l->torn) {                 /* the rest of a line with bare LF */
            l->torn = !cr;
            mail_line_reset(l);
        } else {
            l->done = 1;
            if (!cr && !lf_ends) l->bad = l->torn = 1;
        }
    }
    return used;
}

/* ======================================================================
   [DOT]
   ====================================================================== */

enum {                      /* what has been seen, up to now */
    MAIL__BOL,              /* CRLF, or nothing              */
    MAIL__BOL_DOT,          /* CRLF .                        */
    MAIL__BOL_DOT_CR,       /* CRLF . CR                     */
    MAIL__MID,              /* a line, open                  */
    MAIL__MID_CR            /* a line, and CR                */
};

/* The first CR or LF from p on, or end. In growing steps: where there are many
   of the one, the other is not searched for through all that follows. */
static const char *mail__eol(const char *p, const char *end) {
    size_t step;
    for (step = 256; p < end; step *= 2) {
        size_t n = (size_t)(end - p) < step ? (size_t)(end - p) : step;
        const char *cr = (const char *)memchr(p, '\r', n);
        const char *lf = (const char *)memchr(p, '\n', cr ? (size_t)(cr - p)
                                                         : n);
        if (cr || lf) return lf ? lf : cr;
        p += n;
    }
    return end;
}

/* So many octets from p on have each CR before an LF and each LF behind a CR;
   p is no LF. A CR at the end is left out. Where lines begin is not asked: so
   this is done without a branch, which compilers make a few wide
   instructions. */
static size_t mail__crlf_run(const char *p, size_t n) {
    enum { BLOCK = 256 };
    size_t at = 0, i;
    while (n - at > BLOCK + 1) {
        unsigned char bad = 0;
        for (i = 0; i < BLOCK; i++)
            bad |= (unsigned char)((p[at + i] == '\r') ^
                                   (p[at + i + 1] == '\n'));
        if (bad) break;
        at += BLOCK;
    }
    return at && p[at] == '\n' ? at - 1 : at;
}

/* The run of text from p on that can be handed out as it is: whole lines,
   while none of them begins with a dot, and what is left of the last one.
   Leaves d as it is behind that run. */
static size_t mail__dot_run(mail_dot_in *d, const char *p, size_t n) {
    const char *at = p, *end = p + n;
    if (d->plain && *p != '\n') at += mail__crlf_run(p, n);
    for (;;) {
        const char *eol = mail__eol(at, end);
        d->state = MAIL__MID;
        if (eol == end) return n;
        at = eol + 1;
        if (*eol == '\n') {                      /* an LF without its CR */
            d->bare = 1;
            if (d->lenient) return (size_t)(eol - p);
        } else if (at == end) {                  /* is it CR LF? later */
            return (size_t)(eol - p);
        } else if (*at != '\n') {                /* a CR without its LF */
            d->bare = 1;
            if (d->lenient) return (size_t)(eol - p);
        } else if (++at == end || *at == '.') {
            d->state = MAIL__BOL;
            return (size_t)(at - p);
        }
    }
}

/* One octet where a run cannot go on. Gives CRLF, CR or nothing. Returns 0
   if the octet is not taken: it has to be seen again, in the new state. */
static size_t mail__dot_step(mail_dot_in *d, char c, mail_str *text) {
    switch (d->state) {
    case MAIL__BOL:                            /* c is a dot */
        d->state = MAIL__BOL_DOT;
        return 1;
    case MAIL__BOL_DOT:
        d->state = c == '\r' ? MAIL__BOL_DOT_CR : MAIL__MID;
        return c == '\r';                      /* the dot is dropped */
    case MAIL__BOL_DOT_CR:
        if (c == '\n') d->end = 1;
        else d->state = MAIL__MID_CR;          /* CRLF . CR x: a bare CR */
        return c == '\n';
    case MAIL__MID_CR:
        if (c == '\n') {
            *text = mail_sn("\r\n", 2);
            d->state = MAIL__BOL;
            return 1;
        }
        d->bare = 1;
        *text = mail_sn("\r\n", d->lenient ? 2 : 1);
        d->state = MAIL__MID;
        return 0;
    default:                                   /* MID: CR, or a lenient LF */
        if (c == '\r') d->state = MAIL__MID_CR;
        else {
            d->bare = 1;
            *text = mail_sn("\r\n", 2);
            if (d->plain) d->state = MAIL__BOL;
        }
        return 1;
    }
}

/* After a bare LF a dot is text: the line it begins is not one for SMTP,
   and no client that sends such lines stuffs them. (RFC 5321 4.1.1.4) */
MAIL_DEF size_t mail_dot_read(mail_dot_in *d, const char *in, size_t n,
                              mail_str *text) {
    size_t used = 0;
    *text = mail_sn(in, 0);
    while (used < n && text->n == 0 && !d->end) {
        char c = in[used];
        int run = d->state == MAIL__MID ? c != '\r' : d->state == MAIL__BOL;
        if (d->state == MAIL__MID && c == '\n' && d->lenient) run = 0;
        if (d->state == MAIL__BOL && c == '.' && !d->plain) run = 0;
        if (run) {
            size_t k = mail__dot_run(d, in + used, n - used);
            *text = mail_sn(in + used, k);
            used += k;
        } else used += mail__dot_step(d, c, text);
    }
    return used;
}

static const char *mail__next(const char *p, const char *end, char c) {
    const char *at = p == end ? NULL
                   : (const char *)memchr(p, c, (size_t)(end - p));
    return at ? at : end;
}

/* Where it is: in the text, and in what is made of it. cr and lf are the next
   of each; each is looked for again only when it has been passed: a text of
   CRs alone costs no more than any other. */
typedef struct mail__stuffing {
    const char *p, *cr, *lf, *end;
    char *o, *full;
} mail__stuffing;

/* Lines as a mailbox has them, with LF alone, that begin with no dot. */
static void mail__stuff_lf(mail__stuffing *s) {
    const char *p = s->p, *lf = s->lf;
    char *o = s->o;
    while (lf < s->cr && *p != '.' && lf - p + 2 <= s->full - o) {
        memcpy(o, p, (size_t)(lf - p));
        o += lf - p;
        *o++ = '\r';
        *o++ = '\n';
        p = lf + 1;
        lf = mail__next(p, s->end, '\n');
    }
    s->p = p;
    s->lf = lf;
    s->o = o;
}

/* Lines that have their CRLF, all in one piece. */
static void mail__stuff_crlf(mail__stuffing *s) {
    const char *p = s->p, *cr = s->cr, *lf = s->lf, *stop = s->end;
    if (stop - p > s->full - s->o) stop = p + (s->full - s->o);
    while (lf == cr + 1 && lf < stop && *p != '.') {
        p = lf + 1;
        cr = mail__next(p, s->end, '\r');
        lf = mail__next(p, s->end, '\n');
    }
    memcpy(s->o, s->p, (size_t)(p - s->p));
    s->o += p - s->p;
    s->p = p;
    s->cr = cr;
    s->lf = lf;
}

/* What is left: a dot is doubled; text up to where a line ends, or an end is
   out of sight; any such end is CRLF. 0: out is full. */
static int mail__stuff_odd(mail_dot_out *d, mail__stuffing *s) {
    const char *to = s->cr < s->lf ? s->cr : s->lf;
    if (d->state == MAIL__BOL && *s->p == '.' && !d->plain) {
        if (s->full - s->o < 2) return 0;
        *s->o++ = '.';
    }
    if (to - s->p > s->full - s->o) to = s->p + (s->full - s->o);
    if (to > s->p) d->state = MAIL__MID;
    memcpy(s->o, s->p, (size_t)(to - s->p));
    s->o += to - s->p;
    s->p = to;
    if (to == s->end) return 1;
    if (s->full - s->o < 2) return 0;
    *s->o++ = '\r';
    *s->o++ = '\n';
    d->state = *s->p++ == '\r' ? MAIL__MID_CR : MAIL__BOL;
    return 1;
}

MAIL_DEF size_t mail_dot_write(mail_dot_out *d, const char *in, size_t n,
                               char *out, size_t cap, size_t *made) {
    mail__stuffing s;
    int room = 1;
    s.p = in;
    s.end = in + (n < cap ? n : cap);
    s.cr = mail__next(in, s.end, '\r');
    s.lf = mail__next(in, s.end, '\n');
    s.o = out;
    s.full = out + cap;
    while (s.p < s.end && room) {
        if (d->state == MAIL__MID_CR) {         /* its CRLF is out already */
            d->state = MAIL__BOL;
            if (*s.p == '\n') s.p++;
        }
        if (s.cr < s.p) s.cr = mail__next(s.p, s.end, '\r');
        if (s.lf < s.p) s.lf = mail__next(s.p, s.end, '\n');
        if (d->state == MAIL__BOL) mail__stuff_crlf(&s);
        if (d->state == MAIL__BOL) mail__stuff_lf(&s);
        if (s.p < s.end) room = mail__stuff_odd(d, &s);
    }
    *made = (size_t)(s.o - out);
    return (size_t)(s.p - in);
}

MAIL_DEF size_t mail_dot_close(mail_dot_out *d, char *out, size_t cap) {
    if (cap < 5) return 0;
    if (d->state == MAIL__MID) {
        memcpy(out, "\r\n.\r\n", 5);
        return 5;
    }
    memcpy(out, ".\r\n", 3);
    return 3;
}

/* ======================================================================
   [REPLY]
   ====================================================================== */

/* Reply-line = *( Reply-code "-" [ text ] CRLF ) Reply-code [ SP text ] */
MAIL_DEF mail_err mail_reply_line(mail_str line, int *code, int *more,
                                  mail_str *text) {
    if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' ||
        line.p[1] < '0' || line.p[1] > '9' || !mail__digit(line.p[2]) ||
        (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
        return MAIL_ERR_PROTOCOL;
    *code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 +
            (line.p[2] - '0');
    *more = line.n > 3 && line.p[3] == '-';
    *text = line.n > 4 ? mail_sn(line.p + 4, line.n - 4) : mail_sn("", 0);
    return MAIL_ERR_OK;
}

/* status = "+OK" / "-ERR", in upper case, then the end or a space */
MAIL_DEF mail_err mail_status_line(mail_str line, int *ok, mail_str *text) {
    mail_str word = mail_cut(&line, ' ');
    *ok = mail_eq(word, mail_s("+OK"));
    *text = line;
    return *ok || mail_eq(word, mail_s("-ERR")) ? MAIL_ERR_OK
                                                : MAIL_ERR_PROTOCOL;
}

/* status-code = class "." subject "." detail, RFC 3463 2 */
MAIL_DEF mail_err mail_reply_err(int code, mail_str text) {
    if (code < 400) return MAIL_ERR_OK;
    if (code < 500) return MAIL_ERR_TEMPFAIL;
    if (code == 530 || code == 534 || code == 535 || code == 538 ||
        mail_starts(text, "5.7.")) return MAIL_ERR_DENIED;
    return mail_starts(text, "5.1.") ? MAIL_ERR_NOTFOUND : MAIL_ERR_REFUSED;
}

MAIL_DEF mail_str mail_enhanced(mail_str text, mail_str *rest) {
    mail_str tail = text, word = mail_cut(&tail, ' '), w = word;
    mail_str a = mail_cut(&w, '.'), b = mail_cut(&w, '.');
    int64_t v;
    if (a.n != 1 || !memchr("245", a.p[0], 3) || b.n > 3 || w.n > 3 ||
        mail_number(b, 999, &v) || mail_number(w, 999, &v)) {
        *rest = text;
        return mail_sn("", 0);
    }
    *rest = tail;
    return word;
}

/* ======================================================================
   The four conversations: what they share
   ====================================================================== */

MAIL_DEF const char *mail_event_name(mail_event_kind k) {
    static const char *const names[] = {
#define MAIL__X(name, text) #name,
        MAIL_EVENTS(MAIL__X)
#undef MAIL__X
    };
    return (unsigned)k < MAIL_EV_COUNT ? names[k] : "?";
}

static mail_str mail__out_str(const mail_out *o) {
    return mail_sn(o->p + o->at, o->n - o->at);
}

static void mail__out_sent(mail_out *o, size_t n) {
    o->at += n < o->n - o->at ? n : o->n - o->at;
    if (o->at == o->n) o->at = o->n = 0;
}

/* Free octets, in one piece at the end. */
static size_t mail__out_room(mail_out *o) {
    if (o->at) {
        memmove(o->p, o->p + o->at, o->n - o->at);
        o->n -= o->at;
        o->at = 0;
    }
    return sizeof o->p - o->n;
}

/* The one place where a line gets onto a wire: whatever it was made of, it
   holds no control octet but the CRLF that ends it. MORE: no room now. */
static mail_err mail__out_line(mail_out *o, mail_str *line,
                               const char *fmt, va_list ap) {
    size_t room = mail__out_room(o);
    mail_buf b;
    if (room < 3) return MAIL_ERR_MORE;
    b = mail_buf_on(o->p + o->n, room - 2);
    mail__buf_vfmt(&b, fmt, ap);
    if (b.full) return MAIL_ERR_MORE;
    *line = mail_buf_str(&b);
    if (mail_has_control(*line)) return MAIL_ERR_SYNTAX;
    memcpy(b.p + b.n, "\r\n", 2);
    o->n += b.n + 2;
    return MAIL_ERR_OK;
}

/* A line, onto the wire and to the watcher, who is shown masked instead if
   that is given. */
static mail_err mail__say(mail_out *o, mail_watch *watch, void *ctx,
                          mail_note kind, const char *state,
                          const char *masked, const char *fmt, va_list ap) {
    mail_str line;
    mail_err e = mail__out_line(o, &line, fmt, ap);
    if (e == MAIL_ERR_OK && watch)
        watch(ctx, kind, masked ? mail_s(masked) : line, state);
    return e;
}

/* What a watcher is shown of a challenge that is none of his business. */
static const char *mail__challenge_masked(const char *begin) {
    return begin[0] == '+' ? "+ ****" : "334 ****";
}

/* A challenge of a login, behind "334 " or "+ ". hide: it proves that we know
   the password, which is no watcher's business. */
MAIL_PRINTF(6, 7)
static void mail__say_challenge(mail_out *o, mail_watch *watch, void *ctx,
                                const char *state, int hide,
                                const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    mail__say(o, watch, ctx, MAIL_NOTE_REPLY, state,
              hide ? mail__challenge_masked(fmt) : NULL, fmt, ap);
    va_end(ap);
}

/* What the owner is asked, when a step of a login needs him. */
static mail_event_kind mail__sasl_kind(int what) {
    return what == MAIL__SASL_LOGIN ? MAIL_EV_LOGIN :
           what == MAIL__SASL_KEYS ? MAIL_EV_KEYS : MAIL_EV_PROOF;
}

/* A slice or path that was inside the session when its event was made is
   inside it where the session is now. */
static const void *mail__moved(const void *p, uintptr_t home, uintptr_t now,
                               size_t n) {
    uintptr_t at = (uintptr_t)p;
    return at >= home && at - home < n ? (const void *)(at - home + now) : p;
}

/* The one event that waits, if there is one. The session may have been moved
   since it was made at home: what points into it moves along. */
static int mail__take_event(unsigned char *pending, const mail_event *from,
                            mail_event *ev, uintptr_t home, const void *now,
                            size_t n) {
    uintptr_t here = (uintptr_t)now;
    if (!*pending) return 0;
    *pending = 0;
    *ev = *from;
    ev->path = (const mail_path *)mail__moved(ev->path, home, here, n);
    ev->param = (const mail_param *)mail__moved(ev->param, home, here, n);
    ev->text.p = (const char *)mail__moved(ev->text.p, home, here, n);
    ev->user.p = (const char *)mail__moved(ev->user.p, home, here, n);
    ev->secret.p = (const char *)mail__moved(ev->secret.p, home, here, n);
    return 1;
}

/* The names and the meanings of a session's states, from its list. */
#define MAIL__WORD(name, text) #name,
#define MAIL__MEANING(name, text) text,
#define MAIL__NAMES(x, X) \
    MAIL_DEF const char *mail_##x##_state_name(mail_##x##_state s) { \
        static const char *const w[] = { MAIL_##X##_STATES(MAIL__WORD) }; \
        return (unsigned)s < MAIL_##X##_COUNT ? w[s] : "?"; \
    } \
    MAIL_DEF const char *mail_##x##_state_text(mail_##x##_state s) { \
        static const char *const w[] = { MAIL_##X##_STATES(MAIL__MEANING) }; \
        return (unsigned)s < MAIL_##X##_COUNT ? w[s] : "?"; \
    }

/* The mechanisms that our servers know, the strongest first. */
static const char mail__sasl_offer[] = "SCRAM-SHA-256 PLAIN LOGIN";

static int mail__is_login(mail_event_kind k) {
    return k == MAIL_EV_LOGIN || k == MAIL_EV_APOP || k == MAIL_EV_KEYS ||
           k == MAIL_EV_PROOF;
}

static int mail__nonce_good(mail_str s) {
    return s.n >= 16 && s.n <= 64 && mail__nonce_ok(s);
}

static int mail__keys_ok(const mail_keys *k, const char *nonce) {
    return k->rounds > 0 && k->rounds <= MAIL_ROUNDS_MAX &&
           k->nsalt > 0 && k->nsalt <= sizeof k->salt &&
           mail__nonce_good(mail_s(nonce));
}

static const char *mail__auth_masked(unsigned mech) {
    return mech == MAIL_SASL_PLAIN ? "AUTH PLAIN ****" :
           mech == MAIL_SASL_LOGIN ? "AUTH LOGIN ****" :
           mech == MAIL_SASL_SCRAM ? "AUTH SCRAM-SHA-256 ****" : "AUTH ****";
}

/* Is a watcher not to be shown this line? after: the one before was such a
   line; who does not look at the answer to AUTH says name and password all the
   same, and no verb is what they look like. */
static int mail__is_secret(mail_str line, const char *verb, int after,
                           int known) {
    return mail_starts(mail_trim(line), verb) || (after && !known);
}

/* What a watcher is shown of "AUTH ...": the mechanism. What is none may be
   a password. */
static mail_str mail__auth_shown(mail_str whole) {
    mail_str arg = whole;
    unsigned mech;
    mail_cut(&arg, ' ');
    mech = mail_sasl_list(mail_cut(&arg, ' '));
    if (whole.n == 4 || (mech && arg.n == 0)) return whole;
    return mail_s(mail__auth_masked(mech));
}

/* What a watcher is shown of a reply that may be the server's own proof: see
   mail__smtpd_challenge. */
static mail_str mail__saslc_shown(const mail_sasl *x, mail_str line,
                                  const char *challenge) {
    return x->mech == MAIL_SASL_SCRAM && x->step == 2 &&
           mail_starts(line, challenge)
           ? mail_s(mail__challenge_masked(challenge)) : line;
}

/* The login of a client is over: its secrets leave its memory. */
static void mail__saslc_end(mail_sasl *x, mail_out *o) {
    mail__sasl_begin(x, 0);
    if (o->n == 0) mail_wipe(o->p, sizeof o->p);
}

/* A line is done with; nothing is left of one that held a secret. */
static void mail__line_over(mail_line *l, int wipe) {
    if (wipe) mail_wipe(l->p, sizeof l->p);
    mail_line_reset(l);
}

/* A session has no clock: it notes that something happened (active, and so
   it begins), and the next tick says when that was. Returns when it will have
   been silent for too long. */
static int64_t mail__silent_at(int64_t now, int64_t timeout,
                               unsigned char *active, int64_t *since) {
    if (*active) *since = now;
    *active = 0;
    return *since + timeout;
}

/* When octets that began to move then are too slow: the time that they have,
   and ms more. */
static int64_t mail__slow_at(int64_t now, int64_t *began, int64_t octets,
                             int rate, int64_t ms) {
    if (*began < 0) *began = now;
    return *began + ms + octets / rate * 1000;
}

enum { MAIL__TLS_TIME = 60000 };           /* ms a handshake may take */

/* May TLS begin on a wire that is in clear? */
static int mail__tls_due(mail_tls tls, int secure) {
    return !secure && (tls == MAIL_TLS_MAY || tls == MAIL_TLS_MUST);
}

/* Octets of a peer's words, made fit to be shown and stored. */
static void mail__add_words(char *words, size_t cap, mail_str s) {
    size_t n = strlen(words), i;
    if (n && n + 1 < cap) words[n++] = ' ';
    for (i = 0; i < s.n && n + 1 < cap; i++)
        words[n++] = (char)(s.p[i] >= 32 && s.p[i] < 127 ? s.p[i] : '?');
    words[n] = 0;
}

/* A browser that a web page has sent here: what comes next would be octets
   of the page's choice, taken for commands. So: hang up. */
static int mail__is_http(mail_str verb) {
    static const char *const verbs[] = {
        "GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "PRI"
    };
    size_t i;
    for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (mail_ieq(verb, mail_s(verbs[i]))) return 1;
    return 0;
}

/* ======================================================================
   [SMTPD]
   ====================================================================== */

MAIL__NAMES(smtpd, SMTPD)

static void mail__smtpd_note(mail_smtpd *s, mail_note kind, mail_str text) {
    if (s->opts.watch)
        s->opts.watch(s->opts.watch_ctx, kind, text,
                      mail_smtpd_state_name(s->state));
}

MAIL_PRINTF(2, 3)
static mail_err mail__smtpd_say(mail_smtpd *s, const char *fmt, ...) {
    mail_err e;
    va_list ap;
    va_start(ap, fmt);
    e = mail__say(&s->out, s->opts.watch, s->opts.watch_ctx, MAIL_NOTE_REPLY,
                  mail_smtpd_state_name(s->state), NULL, fmt, ap);
    va_end(ap);
    return e;
}

static void mail__smtpd_event(mail_smtpd *s, mail_event_kind k, int decide) {
    memset(&s->ev, 0, sizeof s->ev);
    s->ev.kind = k;
    s->ev.size = -1;
    s->home = (uintptr_t)s;
    s->pending = 1;
    s->wait = decide ? k : MAIL_EV_NONE;
}

static void mail__smtpd_over(mail_smtpd *s) {
    s->state = MAIL_SMTPD_END;
    mail__smtpd_event(s, MAIL_EV_CLOSED, 0);
}

MAIL_DEF void mail_smtpd_bye(mail_smtpd *s, const char *text) {
    int mute = s->state == MAIL_SMTPD_TLS;    /* no word among the records */
    if (s->state == MAIL_SMTPD_END) return;
    mail__smtpd_over(s);
    if (!mute)
        mail__smtpd_say(s, "421 %s", text ? text
                                          : "4.3.2 closing, come again");
}

/* A refusal of the session's own. Too many of them, and it hangs up. */
static void mail__smtpd_refuse(mail_smtpd *s, const char *text) {
    mail__smtpd_say(s, "%s", text);
    if (++s->errors >= s->opts.max_errors)
        mail_smtpd_bye(s, "4.7.0 too many errors, goodbye");
}

/* The mail transaction ends: reverse-path and forward-paths are forgotten
   (RFC 5321 4.1.1.4). With an open one the owner is told to drop it. */
static void mail__smtpd_reset(mail_smtpd *s) {
    if (s->state > MAIL_SMTPD_READY && s->state < MAIL_SMTPD_AUTH)
        mail__smtpd_event(s, MAIL_EV_ABORT, 0);
    if (s->state != MAIL_SMTPD_START) s->state = MAIL_SMTPD_READY;
    s->rcpts = 0;
    s->body_8bit = s->utf8 = 0;
    memset(&s->path, 0, sizeof s->path);
}

/* What a client may call itself: a domain, a literal, or what people's
   machines are really called (5321-34); nothing that could be taken for
   something else in a Received field. */
static int mail__helo_ok(mail_str s) {
    size_t i;
    if (s.n == 0 || s.n >= MAIL_DOMAIN_SIZE) return 0;
    for (i = 0; i < s.n; i++)
        if (!mail__alnum(s.p[i]) && !(s.p[i] && strchr(".-_:[]", s.p[i])))
            return 0;
    return 1;
}

/* A command that brings no message. So many of them, and it hangs up. */
static int mail__smtpd_junk(mail_smtpd *s) {
    if (++s->junk <= s->opts.max_junk) return 0;
    mail_smtpd_bye(s, "4.7.0 too many commands, and no message");
    return 1;
}

/* ehlo = "EHLO" SP ( Domain / address-literal ) CRLF, RFC 5321 4.1.1.1 */
static int mail__smtpd_hello(mail_smtpd *s, mail_str name, int esmtp) {
    if (!mail__helo_ok(name)) {
        mail__smtpd_refuse(s, "501 5.5.4 name your host: EHLO host.example");
        return 0;
    }
    if (s->met && mail__smtpd_junk(s)) return 0;
    mail__smtpd_reset(s);
    s->state = MAIL_SMTPD_READY;
    s->met = 1;
    s->esmtp = esmtp;
    return mail_copy(s->helo, sizeof s->helo, name);
}

static void mail__smtpd_helo(mail_smtpd *s, mail_str arg) {
    if (mail__smtpd_hello(s, arg, 0)) mail__smtpd_say(s, "250 %s",
                                                      s->opts.host);
}

static void mail__smtpd_ehlo(mail_smtpd *s, mail_str arg) {
    if (s->opts.basic) {
        mail__smtpd_refuse(s, "502 5.5.1 no extensions here, say HELO");
        return;
    }
    if (!mail__smtpd_hello(s, arg, 1)) return;
    mail__smtpd_say(s, "250-%s", s->opts.host);
    mail__smtpd_say(s, "250-PIPELINING");
    mail__smtpd_say(s, "250-SIZE %lld", (long long)s->opts.max_size);
    mail__smtpd_say(s, "250-8BITMIME");
    mail__smtpd_say(s, "250-CHUNKING");
    /* RFC 9422. Only what is taken is counted, so nobody gets less. */
    mail__smtpd_say(s, "250-LIMITS MAILMAX=%d RCPTMAX=%d",
                    s->opts.max_messages, s->opts.max_rcpts);
    mail__smtpd_say(s, "250-SMTPUTF8");
    mail__smtpd_say(s, "250-DSN");
    if (mail__tls_due(s->opts.tls, s->secure))
        mail__smtpd_say(s, "250-STARTTLS");
    if (s->opts.auth && (s->secure || !s->opts.auth_tls))
        mail__smtpd_say(s, "250-AUTH %s", mail__sasl_offer);
    mail__smtpd_say(s, "250 ENHANCEDSTATUSCODES");
}

/* "AUTH=" ( xtext / "<>" ): who vouches for the sender (RFC 4954 5). No client
   is trusted to know, so it is as good as <>, and not kept. */
static const char *mail__smtpd_vouched(mail_str word) {
    mail_str value = word;
    char who[500];                        /* RFC 4954 3, (6): so many more */
    size_t n = 0;
    mail_cut(&value, '=');
    if (mail_eq(value, mail_s("<>")) ||
        (value.n && value.n <= sizeof who &&
         mail_xtext_read(value, who, &n) == MAIL_ERR_OK)) return NULL;
    return "501 5.5.4 AUTH is an address in xtext, or <>";
}

/* What stands behind the path. Returns the refusal, or NULL with s->param
   filled. */
static const char *mail__smtpd_params(mail_smtpd *s, mail_str params,
                                      int rcpt) {
    const char *no = NULL;
    memset(&s->param, 0, sizeof s->param);
    while (no == NULL && (params = mail_trim(params)).n) {
        mail_str word = mail_cut(&params, ' ');
        if (s->esmtp && s->opts.auth && !rcpt && mail_starts(word, "AUTH="))
            no = mail__smtpd_vouched(word);
        else if (s->esmtp) no = mail_param_read(&s->param, word, rcpt);
        else no = "555 5.5.4 no parameters after HELO: say EHLO";
    }
    if (no == NULL && s->param.size > s->opts.max_size)
        no = "552 5.3.4 that is more than I take";
    if (no == NULL && !s->utf8 && !s->param.utf8) {
        if (mail_path_utf8(&s->path))
            no = rcpt ? "553 5.6.7 an address in UTF-8 takes SMTPUTF8"
                      : "550 5.6.7 an address in UTF-8 takes SMTPUTF8";
        else if (mail__is_8bit(mail_s(s->param.orcpt)))
            no = "501 5.6.7 UTF-8 takes SMTPUTF8";
    }
    return no;
}

/* "FROM:" or "TO:", the path, the parameters. Returns the refusal, or NULL
   with s->path filled. */
static const char *mail__smtpd_path(mail_smtpd *s, mail_str arg,
                                    const char *key, int may_null,
                                    mail_str *params) {
    mail_err e;
    if (!mail_starts(arg, key)) return "501 5.5.4 syntax: MAIL FROM:<a@b>, "
                                       "RCPT TO:<a@b>";
    arg.p += strlen(key);
    arg.n -= strlen(key);
    arg = mail_trim(arg);
    e = MAIL_PATH_READ(arg, &s->path, params);
    if (e == MAIL_ERR_TOOLONG) return "501 5.1.3 address too long";
    if (e || (params->n && params->p[0] != ' '))
        return "501 5.1.3 not an address: write <user@domain>";
    if (!may_null && mail_path_null(&s->path))
        return "501 5.1.3 <> is a sender only";
    return NULL;
}

/* starttls = "STARTTLS" CRLF, RFC 3207 4 */
static void mail__smtpd_starttls(mail_smtpd *s, mail_str arg) {
    (void)arg;
    if (s->secure) mail__smtpd_refuse(s, "503 5.5.1 TLS runs already");
    else if (!mail__tls_due(s->opts.tls, s->secure))
        mail__smtpd_refuse(s, "502 5.5.1 TLS is not offered here");
    else mail__smtpd_event(s, MAIL_EV_TLS, 1);
}

/* Where TLS is a must, 530 to what would need it (RFC 3207 4). */
static int mail__smtpd_in_clear(mail_smtpd *s) {
    if (s->opts.tls != MAIL_TLS_MUST || s->secure) return 0;
    mail__smtpd_refuse(s, "530 5.7.0 say STARTTLS first");
    return 1;
}

/* mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF */
static void mail__smtpd_mail(mail_smtpd *s, mail_str arg) {
    mail_str params;
    const char *no;
    if (mail__smtpd_in_clear(s)) return;
    if (s->messages >= s->opts.max_messages) {
        mail_smtpd_bye(s, "4.7.0 that were enough messages: come again");
        return;
    }
    if (s->opts.submission && !s->authed) {
        mail__smtpd_refuse(s, "530 5.7.0 log in first: AUTH");
        return;
    }
    s->utf8 = 0;
    no = mail__smtpd_path(s, arg, "FROM:", 1, &params);
    if (no == NULL) no = mail__smtpd_params(s, params, 0);
    if (no) {
        mail__smtpd_refuse(s, no);
        return;
    }
    s->body_8bit = s->param.body_8bit;
    s->utf8 = s->param.utf8;
    mail__smtpd_event(s, MAIL_EV_MAIL, 1);
    s->ev.path = &s->path;
    s->ev.param = &s->param;
    s->ev.size = s->param.size ? s->param.size : -1;
}

/* rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" /
                       Forward-path ) [SP Rcpt-parameters] CRLF */
static void mail__smtpd_rcpt(mail_smtpd *s, mail_str arg) {
    mail_str params;
    const char *no = mail__smtpd_path(s, arg, "TO:", 0, &params);
    if (no == NULL) no = mail__smtpd_params(s, params, 1);
    if (no) {
        mail__smtpd_refuse(s, no);
        return;
    }
    if (s->rcpts >= s->opts.max_rcpts) {
        mail__smtpd_say(s, "452 4.5.3 too many recipients: send these first");
        return;
    }
    mail__smtpd_event(s, MAIL_EV_RCPT, 1);
    s->ev.path = &s->path;
    s->ev.param = &s->param;
    s->ev.number = s->rcpts;
}

static void mail__smtpd_data(mail_smtpd *s, mail_str arg) {
    (void)arg;
    mail__smtpd_event(s, MAIL_EV_DATA, 1);
}

static void mail__smtpd_rset(mail_smtpd *s, mail_str arg) {
    (void)arg;
    if (mail__smtpd_junk(s)) return;
    mail__smtpd_reset(s);
    mail__smtpd_say(s, "250 2.0.0 forgotten");
}

static void mail__smtpd_noop(mail_smtpd *s, mail_str arg) {
    (void)arg;
    if (mail__smtpd_junk(s)) return;
    mail__smtpd_say(s, "250 2.0.0 ok");
}

static void mail__smtpd_quit(mail_smtpd *s, mail_str arg) {
    (void)arg;
    mail__smtpd_over(s);
    mail__smtpd_say(s, "221 2.0.0 goodbye");
}

/* 252: neither yes nor no (RFC 5321 7.3); who is here is nobody's business. */
static void mail__smtpd_vrfy(mail_smtpd *s, mail_str arg) {
    (void)arg;
    if (mail__smtpd_junk(s)) return;
    mail__smtpd_say(s, "252 2.1.5 send it some mail and see");
}

static void mail__smtpd_help(mail_smtpd *s, mail_str arg) {
    (void)arg;
    if (mail__smtpd_junk(s)) return;
    mail__smtpd_say(s, "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP "
                       "QUIT VRFY HELP AUTH STARTTLS: RFC 5321, 3030, 4954, "
                       "3207");
}

static void mail__smtpd_off(mail_smtpd *s, mail_str arg) {
    (void)arg;
    mail__smtpd_refuse(s, "502 5.5.1 not offered here");
}

/* 334 and the challenge, in base64. The server's own proof could be used to
   guess the password: it is shown to nobody else. */
static void mail__smtpd_challenge(mail_smtpd *s, mail_str text, int hide) {
    char b64[MAIL__SASL_B64];
    mail__sasl_b64(text, b64);
    mail__say_challenge(&s->out, s->opts.watch, s->opts.watch_ctx,
                        mail_smtpd_state_name(s->state), hide, "334 %s", b64);
}

static void mail__smtpd_no_login(mail_smtpd *s, const char *text) {
    s->state = MAIL_SMTPD_READY;
    mail__sasl_begin(&s->sasl, 0);
    mail__smtpd_refuse(s, text);
}

/* One step of a login (RFC 4954 4): a response in base64. */
static void mail__smtpd_sasl(mail_smtpd *s, mail_str arg) {
    mail__step o;
    int what = mail__sasl_line(&s->sasl, s->line.p, arg, &o);
    if (what == MAIL__SASL_BAD)
        mail__smtpd_no_login(s, "501 5.5.2 that is not base64 of a login");
    else if (what == MAIL__SASL_OTHER)
        mail__smtpd_no_login(s, "535 5.7.8 log in as yourself");
    else if (what == MAIL__SASL_SAY)
        mail__smtpd_challenge(s, o.say, o.right);
    else {
        mail__smtpd_event(s, mail__sasl_kind(what), 1);
        s->ev.user = o.user;
        s->ev.secret = o.secret;
        s->ev.code = o.right;
    }
}

/* "AUTH" SP mechanism [SP initial-response]; "=" is one of no octets */
static void mail__smtpd_auth(mail_smtpd *s, mail_str arg) {
    mail_str name = mail_cut(&arg, ' ');
    unsigned mech = mail_sasl_list(name);
    if (mail__smtpd_in_clear(s)) return;
    if (!s->opts.auth) {
        mail__smtpd_refuse(s, "502 5.5.1 AUTH is not offered here");
        return;
    }
    if (s->opts.auth_tls && !s->secure) {
        mail__smtpd_refuse(s, "538 5.7.11 no password in clear: STARTTLS");
        return;
    }
    if (s->authed) {
        mail__smtpd_refuse(s, "503 5.5.1 you are logged in already");
        return;
    }
    if (mech == 0) {
        mail__smtpd_refuse(s, "504 5.5.4 I know SCRAM-SHA-256, PLAIN, LOGIN");
        return;
    }
    mail__sasl_begin(&s->sasl, mech);
    s->state = MAIL_SMTPD_AUTH;
    if (mail_eq(arg, mail_s("="))) arg.n = 0;
    else if (arg.n == 0) {
        mail__smtpd_challenge(s, mail__sasl_first(&s->sasl), 0);
        return;
    }
    mail__smtpd_sasl(s, arg);
}

MAIL_DEF mail_err mail_smtpd_keys(mail_smtpd *s, const mail_keys *k,
                                  const char *nonce) {
    mail_str say;
    if (s->wait != MAIL_EV_KEYS || s->pending || !mail__keys_ok(k, nonce))
        return MAIL_ERR_MISUSE;
    s->wait = MAIL_EV_NONE;
    if (mail__sasl_keys(&s->sasl, k, mail_s(nonce), &say))
        mail__smtpd_challenge(s, say, 0);
    else mail__smtpd_no_login(s, "501 5.5.2 that is too long for a login");
    return MAIL_ERR_OK;
}

/* 503, with what is missing. */
static const char *mail__smtpd_order(const mail_smtpd *s) {
    switch (s->state) {
    case MAIL_SMTPD_START: return s->opts.basic
                                  ? "503 5.5.1 say HELO first"
                                  : "503 5.5.1 say EHLO first";
    case MAIL_SMTPD_READY: return "503 5.5.1 say MAIL first";
    case MAIL_SMTPD_MAIL:  return "503 5.5.1 not now: RCPT comes next";
    default:               return "503 5.5.1 not now: a mail transaction "
                                  "is open (RSET ends it)";
    }
}

/* A line that is a dot but for control octets ends nothing here. A server
   that drops NULs, or takes VT or NEL (0x85) for the end of a line, may take
   it for the end of the data: who sends one wants to smuggle mail past it. */
enum { MAIL__DOT_NONE, MAIL__DOT_CONTROL, MAIL__DOT_ALONE, MAIL__DOT_NEAR,
       MAIL__DOT_TEXT, MAIL__DOT_SEEN };

static void mail__near_end(unsigned char *state, const char *p, size_t n) {
    const char *end = p + n;
    for (; p < end && *state != MAIL__DOT_SEEN; p++) {
        unsigned char c = (unsigned char)*p;
        if (*state == MAIL__DOT_TEXT) {
            p = (const char *)memchr(p, '\n', (size_t)(end - p));
            if (p == NULL) return;
            *state = MAIL__DOT_NONE;
        } else if (c == '\n')
            *state = *state == MAIL__DOT_NEAR ? MAIL__DOT_SEEN
                                              : MAIL__DOT_NONE;
        else if (c == '.' && *state < MAIL__DOT_ALONE)
            *state = (unsigned char)(*state + MAIL__DOT_ALONE);
        else if (c != '\r' && c != '\t' &&
                 (c < 32 || (c >= 127 && c < 160)))
            *state |= MAIL__DOT_CONTROL;
        else if (c != '\r') *state = MAIL__DOT_TEXT;
    }
}

static const char mail__no_number[] =
    "4.7.0 how many octets come now? So I cannot go on";

/* What is wrong with a text that is complete; NULL if nothing. It is said
   after the end of the data and not before: until then all is text. */
static const char *mail__smtpd_bad_text(mail_smtpd *s) {
    if (s->dot.bare && s->opts.reject_bare) {
        s->why = MAIL_ERR_SYNTAX;
        return "554 5.6.0 the text has a bare CR or LF: lines end with CRLF";
    }
    if (s->near_end == MAIL__DOT_SEEN) {
        s->why = MAIL_ERR_SYNTAX;
        return "554 5.6.0 a line of the text is a dot and control octets";
    }
    return s->why ? "552 5.3.4 the message is more than I take" : NULL;
}

/* Text for the owner, while there is nothing against it. */
static void mail__smtpd_give(mail_smtpd *s, mail_str text) {
    s->size += (int64_t)text.n;
    if (s->size > s->opts.max_size) s->why = MAIL_ERR_TOOLONG;
    if (text.n == 0 || s->why) return;
    mail__smtpd_event(s, MAIL_EV_TEXT, 0);
    s->ev.text = text;
}

static void mail__smtpd_data_end(mail_smtpd *s) {
    const char *no = mail__smtpd_bad_text(s);
    if (no) {
        mail__smtpd_reset(s);
        mail__smtpd_refuse(s, no);
    } else mail__smtpd_event(s, MAIL_EV_END, 1);
}

static size_t mail__smtpd_text(mail_smtpd *s, const char *in, size_t n) {
    mail_str text;
    size_t used = MAIL_DOT_READ(&s->dot, in, n, &text);
    mail__smtpd_note(s, MAIL_NOTE_TEXT, mail_sn(in, used));
    if (s->opts.reject_bare) mail__near_end(&s->near_end, in, used);
    mail__smtpd_give(s, text);
    if (s->dot.end) mail__smtpd_data_end(s);
    return used;
}

static int mail__smtpd_in_text(const mail_smtpd *s) {
    return s->chunk || s->state == MAIL_SMTPD_DATA ||
           s->state == MAIL_SMTPD_BDAT;
}

/* All octets of a chunk have come. Only now its sender hears what is wrong
   with it (RFC 3030 2): he would not have listened before.

   One that comes out of order may have been on its way when the one before
   it failed; then it is no error of his. */
static void mail__smtpd_chunk_end(mail_smtpd *s) {
    int open = s->dot.state != MAIL__BOL;
    if (s->state == MAIL_SMTPD_BDAT && s->last && open) {
        if (s->dot.state == MAIL__MID_CR) s->dot.bare = 1;
        s->dot.state = MAIL__BOL;
        mail__near_end(&s->near_end, "\n", 1);
        mail__smtpd_give(s, mail_s("\r\n"));       /* a text ends in CRLF */
        if (s->pending) return;                     /* and then it has ended */
    }
    s->chunk = 0;
    if (s->refusal[0]) mail__smtpd_say(s, "%s", s->refusal);
    else if (s->state != MAIL_SMTPD_BDAT) {
        if (!mail__smtpd_junk(s)) mail__smtpd_say(s, "%s",
                                                  mail__smtpd_order(s));
    } else if (s->last || mail__smtpd_bad_text(s)) mail__smtpd_data_end(s);
    else mail__smtpd_say(s, "250 2.0.0 and the next chunk");
}

/* Octets of a chunk, whatever they are: the only end is their number. They
   are text as it comes by DATA, but for the dots: lines end with CRLF
   (RFC 3030 2), and a bare CR or LF, or a dot and control octets, which might
   end the text where this mail is sent on to by DATA, is refused or made CRLF
   here, too. Only a text that is BINARYMIME may have it, and that is not
   offered: it could go to no mailbox of lines, and to no next hop that does
   not take it. */
static size_t mail__smtpd_chunk(mail_smtpd *s, const char *in, size_t n) {
    mail_str text = mail_sn(in, 0);
    if ((int64_t)n > s->left) n = (size_t)s->left;
    if (s->state == MAIL_SMTPD_BDAT) n = MAIL_DOT_READ(&s->dot, in, n, &text);
    else s->size += (int64_t)n;                   /* for its rate, no more */
    mail__smtpd_note(s, MAIL_NOTE_TEXT, mail_sn(in, n));
    if (s->opts.reject_bare) mail__near_end(&s->near_end, in, n);
    s->left -= (int64_t)n;
    mail__smtpd_give(s, text);
    if (s->left == 0 && !s->pending) mail__smtpd_chunk_end(s);
    return n;
}

/* bdat-cmd = "BDAT" SP 1*DIGIT [ SP "LAST" ] CRLF, RFC 3030 2. The octets are
   on their way already: they are read whatever the answer is, in any state.
   Without their number, what is text would be obeyed as commands: so it
   hangs up. */
static void mail__smtpd_bdat(mail_smtpd *s, mail_str arg) {
    mail_str last = arg, size = mail_cut(&last, ' ');
    if (s->opts.basic) {
        mail__smtpd_off(s, arg);
        return;
    }
    if (mail_number(size, INT64_MAX, &s->left) ||
        (last.n && !mail_ieq(last, mail_s("LAST")))) {
        mail__smtpd_refuse(s, "501 5.5.4 syntax: BDAT octets [LAST]");
        mail_smtpd_bye(s, mail__no_number);
        return;
    }
    s->chunk = 1;
    s->last = last.n > 0;
    s->refusal[0] = 0;
    if (s->state != MAIL_SMTPD_BDAT) s->size = 0, s->text_began = -1;
    if (s->state == MAIL_SMTPD_RCPT) mail__smtpd_event(s, MAIL_EV_DATA, 1);
    else if (s->left == 0) mail__smtpd_chunk_end(s);
}

/* The table that runs the session: a verb, the states it is allowed in, its
   argument, what runs, and what stands in `mail states`. */
enum { MAIL__NO_ARG, MAIL__ARG, MAIL__MAY_ARG };

#define MAIL__IN(x) (1u << MAIL_SMTPD_##x)
#define MAIL__ANY   (MAIL__IN(START) | MAIL__IN(READY) | MAIL__IN(MAIL) | \
                     MAIL__IN(RCPT) | MAIL__IN(BDAT))

typedef struct mail__smtpd_verb {
    const char *verb;
    unsigned states;
    int arg;
    void (*run)(mail_smtpd *s, mail_str arg);
    const char *then, *says;
} mail__smtpd_verb;

static const mail__smtpd_verb mail__smtpd_verbs[] = {
    {"EHLO", MAIL__ANY, MAIL__ARG, mail__smtpd_ehlo, "READY",
     "250s; a transaction is forgotten"},
    {"HELO", MAIL__ANY, MAIL__ARG, mail__smtpd_helo, "READY",
     "250; a transaction is forgotten"},
    {"AUTH", MAIL__IN(READY), MAIL__ARG, mail__smtpd_auth, "READY",
     "334 for more, 235 or 535"},
    {"STARTTLS", MAIL__IN(READY), MAIL__NO_ARG, mail__smtpd_starttls,
     "TLS", "220; then START, all forgotten"},
    {"MAIL", MAIL__IN(READY), MAIL__ARG, mail__smtpd_mail, "MAIL",
     "250; else nothing changes"},
    {"RCPT", MAIL__IN(MAIL) | MAIL__IN(RCPT), MAIL__ARG, mail__smtpd_rcpt,
     "RCPT", "250; else nothing changes"},
    {"DATA", MAIL__IN(RCPT), MAIL__NO_ARG, mail__smtpd_data, "DATA",
     "354; after the text 250 and READY"},
    {"BDAT", MAIL__IN(RCPT) | MAIL__IN(BDAT), MAIL__ARG, mail__smtpd_bdat,
     "BDAT", "250; after the LAST one READY"},
    {"RSET", MAIL__ANY, MAIL__NO_ARG, mail__smtpd_rset, "READY",
     "250; START stays START"},
    {"NOOP", MAIL__ANY, MAIL__MAY_ARG, mail__smtpd_noop, "", "250"},
    {"VRFY", MAIL__ANY, MAIL__ARG, mail__smtpd_vrfy, "", "252"},
    {"EXPN", MAIL__ANY, MAIL__ARG, mail__smtpd_off, "", "502"},
    {"HELP", MAIL__ANY, MAIL__MAY_ARG, mail__smtpd_help, "", "214"},
    {"QUIT", MAIL__ANY, MAIL__NO_ARG, mail__smtpd_quit, "END", "221"},
    {"TURN", MAIL__ANY, MAIL__MAY_ARG, mail__smtpd_off, "", "502"},
    {"ETRN", MAIL__ANY, MAIL__MAY_ARG, mail__smtpd_off, "", "502"}
};
enum { MAIL__SMTPD_VERBS = sizeof mail__smtpd_verbs /
                           sizeof mail__smtpd_verbs[0] };

MAIL_DEF int mail_smtpd_row(size_t i, mail_row *row) {
    static const char *const from[] = { "START to BDAT", "READY",
                                        "MAIL RCPT", "RCPT", "RCPT BDAT" };
    const mail__smtpd_verb *v;
    if (i >= MAIL__SMTPD_VERBS) return 0;
    v = &mail__smtpd_verbs[i];
    row->name = v->verb;
    row->from = v->states == MAIL__ANY ? from[0] :
                v->states == MAIL__IN(READY) ? from[1] :
                v->states == MAIL__IN(RCPT) ? from[3] :
                v->states & MAIL__IN(BDAT) ? from[4] : from[2];
    row->then = v->then;
    row->says = v->says;
    return 1;
}

/* May there be octets over 127? In an address, and its command sees to it
   that SMTPUTF8 is said; in VRFY and EXPN, with SMTPUTF8 behind it (RFC 6531
   3.7.4.2). Nothing else has any. */
static int mail__smtpd_utf8(const mail_smtpd *s, const mail__smtpd_verb *v,
                            mail_str line) {
    mail_str last = line;
    if (!s->esmtp || !mail__utf8_name(line)) return 0;
    while (last.n && memchr(last.p, ' ', last.n)) mail_cut(&last, ' ');
    return v->run == mail__smtpd_mail || v->run == mail__smtpd_rcpt ||
           ((!strcmp(v->verb, "VRFY") || !strcmp(v->verb, "EXPN")) &&
            mail_ieq(last, mail_s("SMTPUTF8")));
}

/* What is wrong with a command, or NULL. The octets behind a BDAT come in any
   state: when it is refused for that, see mail__smtpd_bdat. */
static const char *mail__smtpd_wrong(const mail_smtpd *s,
                                     const mail__smtpd_verb *v,
                                     mail_str whole, mail_str arg) {
    if (s->line.longer) return "500 5.5.2 line too long";
    if (s->line.bad) return "500 5.5.2 a bare CR, a bare LF or a NUL: "
                            "lines end with CRLF";
    if (v == NULL) return "500 5.5.1 no such command: try HELP";
    if (mail_has_control(whole) ||
        (mail__is_8bit(whole) && !mail__smtpd_utf8(s, v, whole)))
        return "501 5.5.2 only printable ASCII, please";
    if (!MAIL_SMTPD_MAY(s->state, v->verb)) return mail__smtpd_order(s);
    if (!(v->states & 1u << s->state) && v->run != mail__smtpd_bdat)
        return mail__smtpd_order(s);
    if (v->arg == MAIL__NO_ARG && arg.n)
        return "501 5.5.4 this command takes no argument";
    if (v->arg == MAIL__ARG && arg.n == 0)
        return "501 5.5.4 this command needs an argument";
    return NULL;
}

/* One command line, complete. RFC 5321 2.4: verb, space, argument. */
static void mail__smtpd_command(mail_smtpd *s) {
    mail_str rest = mail_line_text(&s->line), verb, whole;
    const mail__smtpd_verb *v = NULL;
    const char *no;
    size_t i;
    while (rest.n && (rest.p[rest.n - 1] == ' ' ||         /* 5321-24 */
                      rest.p[rest.n - 1] == '\t')) rest.n--;
    whole = rest;
    verb = mail_cut(&rest, ' ');
    for (i = 0; i < MAIL__SMTPD_VERBS; i++)
        if (mail_ieq(verb, mail_s(mail__smtpd_verbs[i].verb)))
            v = &mail__smtpd_verbs[i];
    s->hide = (unsigned char)mail__is_secret(whole, "AUTH", s->hide, v != NULL);
    mail__smtpd_note(s, MAIL_NOTE_COMMAND, !s->hide ? whole :
                     mail_starts(whole, "AUTH") ? mail__auth_shown(whole)
                                                : mail_s("****"));
    no = mail__smtpd_wrong(s, v, whole, rest);
    if (v == NULL && mail__is_http(verb) && !s->line.longer && !s->line.bad)
        mail_smtpd_bye(s, "4.7.0 this is no web server");
    else if (no) {
        mail__smtpd_refuse(s, no);
        if (v && v->run == mail__smtpd_bdat && !s->opts.basic)
            mail_smtpd_bye(s, mail__no_number);
    } else v->run(s, rest);
}

/* One line while a login is under way. "*" cancels it, RFC 4954 4 */
static void mail__smtpd_response(mail_smtpd *s) {
    mail_str text = mail_line_text(&s->line);
    s->hide = 1;
    mail__smtpd_note(s, MAIL_NOTE_COMMAND, mail_s("****"));
    if (s->line.longer) mail__smtpd_no_login(s, "500 5.5.6 line too long");
    else if (s->line.bad || mail_eq(text, mail_s("*")))
        mail__smtpd_no_login(s, "501 5.7.0 login cancelled");
    else mail__smtpd_sasl(s, text);
}

static mail_err mail__smtpd_greet(mail_smtpd *s) {
    return mail__smtpd_say(s, "220 %s %s ready", s->opts.host,
                           s->opts.basic ? "SMTP" : "ESMTP");
}

MAIL_DEF mail_err mail_smtpd_init(mail_smtpd *s, mail_smtpd_opts opts) {
    memset(s, 0, sizeof *s);
    s->active = 1;
    s->began = -1;
    if (opts.host == NULL || mail_has_control(mail_s(opts.host)))
        return s->err = MAIL_ERR_MISUSE;
    s->opts = opts;
    if (!s->opts.max_size) s->opts.max_size = 10 * 1024 * 1024;
    if (!s->opts.max_rcpts) s->opts.max_rcpts = 100;
    if (!s->opts.max_errors) s->opts.max_errors = 20;
    if (!s->opts.max_junk) s->opts.max_junk = 100;
    if (!s->opts.max_messages) s->opts.max_messages = 1000;
    if (!s->opts.timeout) s->opts.timeout = 300000;
    if (!s->opts.hello_timeout) s->opts.hello_timeout = 60000;
    if (!s->opts.max_time) s->opts.max_time = 3600000;
    if (s->opts.min_rate < 1) s->opts.min_rate = 500;
    if (opts.refuse) {                 /* nobody handshakes to hear it */
        if (opts.tls == MAIL_TLS_NOW) mail__smtpd_over(s);
        else mail_smtpd_bye(s, opts.refuse);
        s->opts.refuse = NULL;
    } else if (opts.tls == MAIL_TLS_NOW) s->state = MAIL_SMTPD_TLS;
    else s->err = mail__smtpd_greet(s);
    return s->err;
}

/* A reply may take 500 octets: nothing is read that could not be answered,
   so a client that does not read its replies stops itself. */
static int mail__smtpd_open(mail_smtpd *s) {
    return !s->pending && !s->wait && s->state < MAIL_SMTPD_TLS &&
           (s->out.n - s->out.at + 512 <= sizeof s->out.p);
}

MAIL_DEF size_t mail_smtpd_feed(mail_smtpd *s, const char *in, size_t n) {
    size_t used = 0;
    /* Whoever is in between may have put this behind STARTTLS: obeyed later
       it would be the client's word (CVE-2011-0411). */
    if (s->state == MAIL_SMTPD_TLS) return n;
    while (used < n && mail__smtpd_open(s)) {
        if (s->chunk || s->state == MAIL_SMTPD_DATA) {
            s->active = 1;
            used += s->chunk ? mail__smtpd_chunk(s, in + used, n - used)
                             : mail__smtpd_text(s, in + used, n - used);
            continue;
        }
        used += MAIL_LINE_FEED(&s->line, in + used, n - used,
                               !s->opts.reject_bare);
        if (!s->line.done) break;
        s->active = 1;        /* a whole line: an octet now and then is none */
        if (s->state == MAIL_SMTPD_AUTH) mail__smtpd_response(s);
        else mail__smtpd_command(s);
        if (s->wait != MAIL_EV_LOGIN) mail__line_over(&s->line, s->hide);
    }
    return used;
}

MAIL_DEF int mail_smtpd_next(mail_smtpd *s, mail_event *ev) {
    if (!mail__take_event(&s->pending, &s->ev, ev, s->home, s, sizeof *s))
        return 0;
    if (s->chunk && s->left == 0 && !s->wait) mail__smtpd_chunk_end(s);
    return 1;
}

MAIL_DEF mail_str mail_smtpd_out(const mail_smtpd *s) {
    return mail__out_str(&s->out);
}

MAIL_DEF void mail_smtpd_sent(mail_smtpd *s, size_t n) {
    mail__out_sent(&s->out, n);
    if (n) s->active = 1;
}

/* How long may it be silent? */
static int64_t mail__smtpd_patience(const mail_smtpd *s) {
    int64_t ms = s->state == MAIL_SMTPD_TLS ? MAIL__TLS_TIME
                                            : s->opts.timeout;
    return s->hurry && s->hurry < ms && !mail__smtpd_in_text(s) ? s->hurry
                                                                : ms;
}

/* And when is it too late, however busy it is? */
static int64_t mail__smtpd_limit(mail_smtpd *s, int64_t now,
                                 const char **why) {
    if (s->began < 0) s->began = now;
    if (s->wait || s->state >= MAIL_SMTPD_TLS) return INT64_MAX;
    if (mail__smtpd_in_text(s)) {
        int64_t n = s->size < s->opts.max_size ? s->size : s->opts.max_size;
        *why = "4.4.2 the text comes too slowly";
        return mail__slow_at(now, &s->text_began, n, s->opts.min_rate,
                             s->opts.timeout);
    }
    *why = s->met ? "4.4.2 that was long enough: come again"
                  : "4.4.2 you did not say EHLO";
    return s->began + (s->met ? s->opts.max_time : s->opts.hello_timeout);
}

MAIL_DEF int64_t mail_smtpd_tick(mail_smtpd *s, int64_t now) {
    const char *why = NULL;
    int64_t due, limit;
    if (s->wait) s->active = 1;             /* it is not the peer who waits */
    due = mail__silent_at(now, mail__smtpd_patience(s), &s->active,
                          &s->since);
    limit = mail__smtpd_limit(s, now, &why);
    if (limit < due) due = limit;
    else why = "4.4.2 you were silent for too long";
    if (now >= due && s->state != MAIL_SMTPD_END) {
        s->err = MAIL_ERR_TIMEOUT;
        mail_smtpd_bye(s, why);
    }
    return due;
}

MAIL_DEF void mail_smtpd_hurry(mail_smtpd *s, int64_t ms) { s->hurry = ms; }

/* The good code of each decision, its usual words, and the state after. */
static int mail__smtpd_good(const mail_smtpd *s, const char **text,
                            mail_smtpd_state *then) {
    switch (s->wait) {
    case MAIL_EV_TLS:
        *text = "2.0.0 begin TLS";
        *then = MAIL_SMTPD_TLS;
        return 220;
    case MAIL_EV_LOGIN:
    case MAIL_EV_PROOF:
    case MAIL_EV_KEYS:
        *text = "2.7.0 welcome";
        *then = MAIL_SMTPD_READY;
        return 235;
    case MAIL_EV_MAIL:
        *text = "2.1.0 sender ok";
        *then = MAIL_SMTPD_MAIL;
        return 250;
    case MAIL_EV_RCPT:
        *text = "2.1.5 recipient ok";
        *then = MAIL_SMTPD_RCPT;
        return 250;
    case MAIL_EV_DATA:
        *text = "end with CRLF.CRLF";
        *then = s->chunk ? MAIL_SMTPD_BDAT : MAIL_SMTPD_DATA;
        return 354;
    default:
        *text = "2.0.0 mine now";
        *then = MAIL_SMTPD_READY;
        return 250;
    }
}

/* After any final answer to DATA or to the end of the data, good or bad,
   nothing of the transaction is left. */
static void mail__smtpd_settle(mail_smtpd *s, int good,
                               mail_smtpd_state then) {
    mail_event_kind was = s->wait;
    s->wait = MAIL_EV_NONE;
    if (good) s->state = then;
    if (mail__is_login(was)) {
        mail__line_over(&s->line, 1);
        s->authed = good;
        s->state = MAIL_SMTPD_READY;
        if (good) memcpy(s->user, s->sasl.user, sizeof s->user);
        mail__sasl_begin(&s->sasl, 0);
    }
    if (was == MAIL_EV_RCPT && good) s->rcpts++;
    if (was == MAIL_EV_DATA && good) {
        memset(&s->dot, 0, sizeof s->dot);
        s->dot.lenient = (unsigned char)!s->opts.reject_bare;
        s->dot.plain = s->chunk;
        s->near_end = 0;
        s->size = 0;
        s->text_began = -1;
        s->why = MAIL_ERR_OK;
    }
    if (was == MAIL_EV_END && good) s->messages++, s->junk = 0;
    if (was == MAIL_EV_END || (was == MAIL_EV_DATA && !good)) {
        s->state = MAIL_SMTPD_READY;
        mail__smtpd_reset(s);
    }
}

/* The decision on the first chunk of a text; it is here already if it has no
   octets. Who sends chunks waits for no 354. */
static void mail__smtpd_chunk_go(mail_smtpd *s, int good, int code,
                                 const char *text) {
    if (!good) snprintf(s->refusal, sizeof s->refusal, "%d %s", code, text);
    if (s->left == 0) mail__smtpd_chunk_end(s);
}

MAIL_DEF mail_err mail_smtpd_reply(mail_smtpd *s, int code,
                                   const char *text) {
    const char *usual;
    mail_smtpd_state then;
    int good;
    if (s->wait == MAIL_EV_NONE || s->pending) return MAIL_ERR_MISUSE;
    good = mail__smtpd_good(s, &usual, &then);
    if (code != good && (code < 400 || code > 599)) return MAIL_ERR_MISUSE;
    if (code == good && (s->wait == MAIL_EV_KEYS ||
                         (s->wait == MAIL_EV_PROOF && !s->sasl.done)))
        return MAIL_ERR_MISUSE;
    if (text == NULL) text = code == good ? usual :
        s->wait == MAIL_EV_TLS ? "4.7.0 no TLS for now" :
        code < 500 ? "4.3.0 not now" :
        mail__is_login(s->wait) ? "5.7.8 wrong user name or password" :
        "5.3.0 no";
    if (strlen(text) > 480 || mail_has_control(mail_s(text)))
        return MAIL_ERR_MISUSE;
    if (code == 421) {
        mail__line_over(&s->line, 1);
        s->wait = MAIL_EV_NONE;
        mail_smtpd_bye(s, text);
        return MAIL_ERR_OK;
    }
    good = code == good;
    if (!good && code >= 500) s->errors++;
    if (!good && code >= 500 && mail__is_login(s->wait)) s->denied++;
    mail__smtpd_settle(s, good, then);
    if (s->chunk) mail__smtpd_chunk_go(s, good, code, text);
    else mail__smtpd_say(s, "%d %s", code, text);
    if (s->denied >= 3) mail_smtpd_bye(s, "4.7.0 three wrong passwords");
    else if (s->errors >= s->opts.max_errors)
        mail_smtpd_bye(s, "4.7.0 too many errors, goodbye");
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_smtpd_tls(mail_smtpd *s, mail_err e) {
    if (s->state != MAIL_SMTPD_TLS || s->out.n) return MAIL_ERR_MISUSE;
    if (e) {
        s->err = e;
        mail__smtpd_over(s);
        return MAIL_ERR_OK;
    }
    s->state = MAIL_SMTPD_START;
    s->secure = s->active = 1;
    s->esmtp = s->authed = 0;
    s->helo[0] = s->user[0] = 0;
    mail__smtpd_reset(s);
    mail_line_reset(&s->line);
    if (s->opts.tls == MAIL_TLS_NOW) s->err = mail__smtpd_greet(s);
    return s->err;
}

/* ======================================================================
   [SMTPC]
   ====================================================================== */

MAIL__NAMES(smtpc, SMTPC)

static void mail__smtpc_note(mail_smtpc *s, mail_note kind, mail_str text) {
    if (s->opts.watch)
        s->opts.watch(s->opts.watch_ctx, kind, text,
                      mail_smtpc_state_name(s->state));
}

MAIL_PRINTF(3, 4)
static mail_err mail__smtpc_say(mail_smtpc *s, const char *masked,
                                const char *fmt, ...) {
    mail_err e;
    va_list ap;
    va_start(ap, fmt);
    e = mail__say(&s->out, s->opts.watch, s->opts.watch_ctx,
                  MAIL_NOTE_COMMAND, mail_smtpc_state_name(s->state), masked,
                  fmt, ap);
    va_end(ap);
    s->active = 1;
    return e;
}

static void mail__smtpc_event(mail_smtpc *s, mail_event_kind k, int code) {
    memset(&s->ev, 0, sizeof s->ev);
    s->ev.kind = k;
    s->ev.code = code;
    s->ev.size = -1;
    s->ev.text = mail_s(s->words);
    s->home = (uintptr_t)s;
    s->pending = 1;
}

/* The session is over. The first error stays. */
static void mail__smtpc_over(mail_smtpc *s, mail_err e) {
    if (s->state == MAIL_SMTPC_END) return;
    s->state = MAIL_SMTPC_END;
    s->err = e;
    if (s->sasl.mech) mail__saslc_end(&s->sasl, &s->out);
    mail__smtpc_event(s, MAIL_EV_CLOSED, s->code);
}

static mail_err mail__code_err(int code) {
    return code >= 500 ? MAIL_ERR_REFUSED :
           code >= 400 ? MAIL_ERR_TEMPFAIL : MAIL_ERR_PROTOCOL;
}

static void mail__smtpc_fail(mail_smtpc *s) {
    mail__smtpc_over(s, mail__code_err(s->code));
}

/* limits = *( SP name "=" value ), RFC 9422 3. What is no number limits
   nothing. */
static void mail__smtpc_limits(mail_smtpc *s, mail_str rest) {
    while (rest.n) {
        mail_str value = mail_cut(&rest, ' '), key = mail_cut(&value, '=');
        int64_t *to = mail_ieq(key, mail_s("MAILMAX")) ? &s->max_mails :
                      mail_ieq(key, mail_s("RCPTMAX")) ? &s->max_rcpts : NULL;
        if (to && mail_number(value, 999999, to)) *to = 0;
    }
}

/* An extension line of the answer to EHLO, RFC 5321 4.1.1.1 */
static void mail__smtpc_offer(mail_smtpc *s, mail_str line) {
    mail_str rest = line, key = mail_cut(&rest, ' ');
    if (mail_ieq(key, mail_s("PIPELINING"))) s->ext |= MAIL_EXT_PIPELINING;
    if (mail_ieq(key, mail_s("8BITMIME"))) s->ext |= MAIL_EXT_8BITMIME;
    if (mail_ieq(key, mail_s("STARTTLS"))) s->ext |= MAIL_EXT_STARTTLS;
    if (mail_ieq(key, mail_s("SMTPUTF8"))) s->ext |= MAIL_EXT_SMTPUTF8;
    if (mail_ieq(key, mail_s("DSN"))) s->ext |= MAIL_EXT_DSN;
    if (mail_ieq(key, mail_s("CHUNKING"))) s->ext |= MAIL_EXT_CHUNKING;
    if (mail_ieq(key, mail_s("LIMITS"))) mail__smtpc_limits(s, rest);
    if (mail_ieq(key, mail_s("SIZE"))) {
        s->ext |= MAIL_EXT_SIZE;
        if (mail_number(rest, INT64_MAX, &s->max_size)) s->max_size = 0;
    }
    if (mail_ieq(key, mail_s("AUTH"))) {
        s->ext |= MAIL_EXT_AUTH;
        s->mechs |= mail_sasl_list(rest);
        mail__add_words(s->offer, sizeof s->offer, rest);
    }
}

static mail__who mail__smtpc_who(const mail_smtpc *s) {
    mail__who w;
    w.user = mail_s(s->opts.user);
    w.password = mail_s(s->opts.password);
    w.nonce = mail_s(s->opts.nonce);
    return w;
}

static void mail__smtpc_ready(mail_smtpc *s) {
    s->state = MAIL_SMTPC_READY;
    mail__smtpc_event(s, MAIL_EV_READY, s->code);
}

static void mail__smtpc_greeted(mail_smtpc *s) {
    s->state = s->opts.basic ? MAIL_SMTPC_HELO : MAIL_SMTPC_EHLO;
    mail__smtpc_say(s, NULL, "%s %s", s->opts.lmtp ? "LHLO" :
                    s->opts.basic ? "HELO" : "EHLO", s->opts.helo);
}

/* No HELO on 4yz (5321-55), and none in LMTP: whoever knows no LHLO speaks
   SMTP, and would give one answer for all (RFC 2033 4.1). */
static void mail__smtpc_no_ehlo(mail_smtpc *s) {
    if (s->code < 500 || s->opts.lmtp) {
        mail__smtpc_fail(s);
        return;
    }
    s->ext = s->mechs = 0;
    s->offer[0] = 0;
    s->state = MAIL_SMTPC_HELO;
    mail__smtpc_say(s, NULL, "HELO %s", s->opts.helo);
}

/* It ends for a reason of our own: the words say it. */
static void mail__smtpc_give_up(mail_smtpc *s, mail_err e,
                                const char *why) {
    mail_copy(s->words, sizeof s->words, mail_s(why));
    mail__smtpc_over(s, e);
}

/* "AUTH" SP mechanism [SP initial-response], RFC 4954 4; the response waits
   for a challenge if the line would have more than 512 octets. */
static void mail__smtpc_login(mail_smtpc *s) {
    unsigned mech = mail__saslc_choose(s->mechs, s->opts.nonce,
                                       s->opts.plaintext_ok || s->secure);
    const char *name = mail_sasl_name(mech);
    char b64[MAIL__SASL_B64], why[MAIL__WHY];
    if (mech == 0) {
        mail__saslc_why(why, s->mechs, s->offer);
        mail__smtpc_give_up(s, MAIL_ERR_UNABLE, why);
        return;
    }
    s->state = MAIL_SMTPC_AUTH;
    if (mail__saslc_begin(&s->sasl, mech, mail__smtpc_who(s), 512, b64))
        mail__smtpc_say(s, mail__auth_masked(mech), "AUTH %s %s", name, b64);
    else mail__smtpc_say(s, NULL, "AUTH %s", name);
    mail_wipe(b64, sizeof b64);
}

/* 334 and a challenge in base64. */
static void mail__smtpc_challenge(mail_smtpc *s, mail_str text) {
    char b64[MAIL__SASL_B64];
    const char *no = mail__saslc_go(&s->sasl, mail__smtpc_who(s), text, b64);
    if (no) mail__smtpc_give_up(s, MAIL_ERR_PROTOCOL, no);
    else mail__smtpc_say(s, "****", "%s", b64);
    mail_wipe(b64, sizeof b64);
}

/* 235, 334, or no. A server that has not yet proved itself may not say that
   all is well. */
static void mail__smtpc_auth(mail_smtpc *s) {
    mail_str text = mail_line_text(&s->line);
    if (s->code == 334)
        mail__smtpc_challenge(s, mail_trim(mail_sn(text.p + 3, text.n - 3)));
    else if (s->code / 100 == 2 && !s->sasl.done)
        mail__smtpc_give_up(s, MAIL_ERR_PROTOCOL, mail__early);
    else if (s->code / 100 == 2) {
        mail__saslc_end(&s->sasl, &s->out);
        mail__smtpc_ready(s);
    } else if (s->code == 535)
        mail__smtpc_over(s, MAIL_ERR_DENIED);
    else mail__smtpc_fail(s);
}

static void mail__smtpc_go_on(mail_smtpc *s) {
    if (s->opts.user) mail__smtpc_login(s);
    else mail__smtpc_ready(s);
}

/* It is known what the server offers. The one place that decides what comes
   next. Who strips STARTTLS from the offer gets nothing where TLS is a
   must (CVE-2016-0772). */
static void mail__smtpc_offered(mail_smtpc *s) {
    if (!mail__tls_due(s->opts.tls, s->secure)) mail__smtpc_go_on(s);
    else if (s->ext & MAIL_EXT_STARTTLS) {
        s->state = MAIL_SMTPC_STARTTLS;
        mail__smtpc_say(s, NULL, "STARTTLS");
    } else if (s->opts.tls == MAIL_TLS_MUST)
        mail__smtpc_give_up(s, MAIL_ERR_UNABLE,
                            "TLS is asked for, and the server offers none");
    else mail__smtpc_go_on(s);
}

static void mail__smtpc_tls_go(mail_smtpc *s) {
    s->state = MAIL_SMTPC_TLS;
    mail__smtpc_event(s, MAIL_EV_TLS, s->code);
}

static void mail__smtpc_tls_no(mail_smtpc *s) {
    if (s->opts.tls == MAIL_TLS_MUST)
        mail__smtpc_give_up(s, MAIL_ERR_UNABLE,
                            "TLS is asked for, and the server refuses it");
    else mail__smtpc_go_on(s);
}

static void mail__smtpc_done(mail_smtpc *s) {
    s->state = MAIL_SMTPC_READY;
    mail__smtpc_event(s, MAIL_EV_DONE, s->fail_code ? s->fail_code : s->code);
}

/* The answer to the text. After a BDAT that was refused nobody knows what
   state the server is in (RFC 3030 2): RSET. */
static void mail__smtpc_answered(mail_smtpc *s) {
    if (s->bdat && s->code / 100 != 2) {
        s->fail_code = s->code;
        s->state = MAIL_SMTPC_RSET;
        mail__smtpc_say(s, NULL, "RSET");
    } else mail__smtpc_done(s);
}

/* After the text LMTP has an answer for each of those who were accepted, in
   the order of their RCPT (RFC 2033 4.2). */
static void mail__smtpc_given(mail_smtpc *s) {
    int i = s->given_at;
    if (!s->opts.lmtp) {
        mail__smtpc_answered(s);
        return;
    }
    while (!(s->taken[i / 8] >> i % 8 & 1)) i++;
    s->given_at = i + 1;
    s->given++;
    mail__smtpc_event(s, MAIL_EV_GIVEN, s->code);
    s->ev.number = i;
}

/* That was the last of them, and is told. */
static int mail__smtpc_all_given(const mail_smtpc *s) {
    return s->state == MAIL_SMTPC_DOT && s->opts.lmtp &&
           s->given == s->rcpts_ok;
}

/* The text may go. */
static void mail__smtpc_go(mail_smtpc *s) {
    s->go = 0;
    s->state = MAIL_SMTPC_TEXT;
    s->text_began = -1;
    s->text_size = 0;
    memset(&s->dot, 0, sizeof s->dot);
    s->dot.plain = s->bdat;
    mail__smtpc_event(s, MAIL_EV_DATA, s->code);
}

static void mail__smtpc_bye(mail_smtpc *s) {
    mail__smtpc_over(s, MAIL_ERR_OK);
}

/* When every answer is in: DATA if somebody was accepted (all: everybody);
   else the transaction is taken back. Called after each answer, and by data. */
static void mail__smtpc_proceed(mail_smtpc *s) {
    if (s->state != MAIL_SMTPC_MAIL || s->mail_due || s->data_due ||
        s->rcpts_answered < s->rcpts_sent || !s->data_asked) return;
    if (s->opts.all && s->rcpts_ok < s->rcpts_sent && !s->fail_code)
        s->fail_code = 554;
    if (s->rcpts_ok && !s->fail_code && s->bdat) {
        mail__smtpc_say(s, NULL, "BDAT %lld LAST", (long long)s->left);
        s->go = 1;                       /* behind the event of this answer */
    } else if (s->rcpts_ok && !s->fail_code) {
        s->data_due = 1;
        mail__smtpc_say(s, NULL, "DATA");
    } else {
        if (!s->fail_code) s->fail_code = 554;   /* nobody was accepted */
        s->state = MAIL_SMTPC_RSET;
        mail__smtpc_say(s, NULL, "RSET");
    }
}

/* An answer inside a mail transaction; they come in the order of the
   commands, RFC 2920 3.1. */
static void mail__smtpc_answer(mail_smtpc *s) {
    int code = s->code, ok = code / 100 == 2;
    if (s->mail_due) {
        s->mail_due = 0;
        if (!ok) s->fail_code = code;
        if (!ok) s->data_asked = 1;              /* nothing more to ask for */
        mail__smtpc_event(s, MAIL_EV_MAIL, code);
    } else if (s->rcpts_answered < s->rcpts_sent) {
        if (code == 552) code = 452;             /* RFC 5321 4.5.3.1.10 */
        s->rcpts_ok += ok;
        if (ok && s->opts.lmtp)
            s->taken[s->rcpts_answered / 8] |=
                (unsigned char)(1u << s->rcpts_answered % 8);
        mail__smtpc_event(s, MAIL_EV_RCPT, s->fail_code ? s->fail_code
                                                        : code);
        s->ev.number = s->rcpts_answered++;
    } else {
        s->data_due = 0;
        if (code == 354 && s->rcpts_ok && !s->fail_code) {
            mail__smtpc_go(s);
        } else if (code == 354 && s->opts.lmtp) {     /* RFC 2033 4.2: 503 */
            mail__smtpc_give_up(s, MAIL_ERR_PROTOCOL,
                                "the server takes a text for nobody");
            return;
        } else if (code == 354) {       /* nobody was accepted: a lone dot */
            if (!s->fail_code) s->words[0] = 0;   /* "go ahead" is no reason */
            if (!s->fail_code) s->fail_code = 554;
            s->state = MAIL_SMTPC_DOT;
            mail__smtpc_say(s, NULL, ".");
        } else {
            if (!s->fail_code) s->fail_code = s->rcpts_ok ? code : 554;
            s->state = MAIL_SMTPC_RSET;
            mail__smtpc_say(s, NULL, "RSET");
        }
    }
    mail__smtpc_proceed(s);
}

/* What each state waits for, how long (s, RFC 5321 4.5.3.2), and what runs
   on a good answer and on a bad one. A first digit that is neither good nor
   4 nor 5 is the peer's error. */
typedef struct mail__smtpc_rule {
    char good;              /* first digit; '*' any; 0: nothing is due */
    int  timeout;
    void (*yes)(mail_smtpc *s);
    void (*no)(mail_smtpc *s);
    const char *then, *says;
} mail__smtpc_rule;

static const mail__smtpc_rule mail__smtpc_rules[MAIL_SMTPC_COUNT] = {
    {'2', 300, mail__smtpc_greeted, mail__smtpc_fail, "EHLO",
     "220: says EHLO; else hangs up"},
    {'2', 300, mail__smtpc_offered, mail__smtpc_no_ehlo, "READY or AUTH",
     "250: go on; 5yz: says HELO"},
    {'2', 300, mail__smtpc_offered, mail__smtpc_fail, "READY",
     "250: go on; else hangs up"},
    {'2', 300, mail__smtpc_tls_go, mail__smtpc_tls_no, "TLS",
     "220: TLS; else ends or goes on"},
    {0,   MAIL__TLS_TIME / 1000, NULL, NULL, "EHLO", "your handshake"},
    {'*', 300, mail__smtpc_auth, mail__smtpc_auth, "READY",
     "334: next step; 235: go on"},
    {0,   300, NULL, NULL, "MAIL or QUIT", "your next mail, or quit"},
    {'*', 300, mail__smtpc_answer, mail__smtpc_answer, "TEXT or RSET",
     "354: the text; nobody taken: RSET"},
    {0,   180, NULL, mail__smtpc_fail, "DOT", "your text, then end"},
    {'2', 600, mail__smtpc_given, mail__smtpc_given, "READY",
     "250: it is theirs; else ours"},
    {'*', 300, mail__smtpc_done, mail__smtpc_done, "READY", "anything"},
    {'*', 10,  mail__smtpc_bye, mail__smtpc_bye, "END", "221, or the end"},
    {0,   10,  NULL, NULL, "", ""}
};

MAIL_DEF int mail_smtpc_row(size_t i, mail_row *row) {
    if (i >= MAIL_SMTPC_END) return 0;
    row->name = "";
    row->from = mail_smtpc_state_name((mail_smtpc_state)i);
    row->then = mail__smtpc_rules[i].then;
    row->says = mail__smtpc_rules[i].says;
    return 1;
}

/* Is the answer to DATA the next? In a group, those before it come first. */
static int mail__smtpc_data_next(const mail_smtpc *s) {
    return s->state == MAIL_SMTPC_MAIL && s->data_due && !s->mail_due &&
           s->rcpts_answered == s->rcpts_sent;
}

/* The last line of a reply has come. */
static void mail__smtpc_reply(mail_smtpc *s) {
    const mail__smtpc_rule *r;
    char digit = (char)('0' + s->code / 100);
    int data = mail__smtpc_data_next(s);
    /* The server can count: it has heard all, though end was not called. */
    if (s->state == MAIL_SMTPC_TEXT && s->bdat && s->left == 0)
        s->state = MAIL_SMTPC_DOT;
    r = &mail__smtpc_rules[s->state];
    if (s->code == 421 && s->state != MAIL_SMTPC_QUIT)  /* RFC 5321 3.8 */
        mail__smtpc_fail(s);
    else if (digit == '3' && (s->state == MAIL_SMTPC_MAIL) && !data)
        mail__smtpc_over(s, MAIL_ERR_PROTOCOL);
    else if (data && digit == '2') mail__smtpc_over(s, MAIL_ERR_PROTOCOL);
    else if (r->yes && (r->good == '*' || r->good == digit)) r->yes(s);
    else if (r->no && digit >= '4') r->no(s);
    else mail__smtpc_over(s, MAIL_ERR_PROTOCOL);
}

/* May more be on the wire behind a whole reply? Only answers to a group of
   commands that went out together (RFC 2920), and those to a text (LMTP). */
static int mail__smtpc_awaits(const mail_smtpc *s) {
    if (s->state == MAIL_SMTPC_DOT && s->opts.lmtp)
        return s->given < s->rcpts_ok;
    return s->state == MAIL_SMTPC_MAIL &&
           (s->mail_due || s->data_due || s->rcpts_answered < s->rcpts_sent);
}

/* An answer to what was not asked yet is nobody's answer: take it for one,
   and every later command gets the wrong reply. What was answered before it
   stands: its event goes first. Not so before TLS: what stands in clear
   behind the 220 was put there by somebody in between (CVE-2021-22947). */
static void mail__smtpc_early(mail_smtpc *s) {
    if (s->state == MAIL_SMTPC_TLS) {
        s->pending = 0;
        mail_copy(s->words, sizeof s->words,
                  mail_s("octets in clear where TLS should begin"));
    }
    if (s->pending) s->later = MAIL_ERR_PROTOCOL;
    else mail__smtpc_over(s, MAIL_ERR_PROTOCOL);
}

/* The peer is gone. Where only RSET was unanswered, the mail has its verdict:
   that is told first. */
static void mail__smtpc_gone(mail_smtpc *s, mail_err e) {
    if (s->state == MAIL_SMTPC_RSET && !s->pending) {
        s->later = (unsigned char)e;
        mail__smtpc_done(s);
    } else mail__smtpc_over(s, e);
}

static int mail__smtpc_verdict(const mail_smtpc *s) {
    return s->state == MAIL_SMTPC_RSET ? s->fail_code : 0;
}

/* One line of a reply. All lines of one reply have one code (5321-39), and
   there are not for ever more of them. */
static void mail__smtpc_line(mail_smtpc *s) {
    mail_str line = mail_line_text(&s->line), text;
    int code, more;
    mail_err e = MAIL_REPLY_LINE(line, &code, &more, &text);
    mail__smtpc_note(s, MAIL_NOTE_REPLY,
                     mail__saslc_shown(&s->sasl, line, "334 "));
    if (e || s->line.bad || (s->lines && code != s->code) ||
        ++s->lines > 100) {
        mail__smtpc_over(s, MAIL_ERR_PROTOCOL);
        return;
    }
    if (s->lines == 1 && !(s->fail_code && s->state >= MAIL_SMTPC_MAIL &&
                           s->state <= MAIL_SMTPC_RSET))
        s->words[0] = 0;
    s->code = code;
    if (s->state == MAIL_SMTPC_EHLO && code == 250 && s->lines > 1)
        mail__smtpc_offer(s, text);
    else if (!(s->fail_code && s->state >= MAIL_SMTPC_MAIL &&
               s->state <= MAIL_SMTPC_RSET))
        mail__add_words(s->words, sizeof s->words, text);
    if (more) return;
    s->lines = 0;
    s->active = 1;           /* the time is that of a reply, not of a line */
    mail__smtpc_reply(s);
}

MAIL_DEF mail_err mail_smtpc_init(mail_smtpc *s, mail_smtpc_opts opts) {
    memset(s, 0, sizeof *s);
    s->active = 1;
    s->opts = opts;
    if (opts.lmtp) s->opts.basic = 0;               /* there is no HELO */
    if (s->opts.min_rate < 1) s->opts.min_rate = 500;
    if (opts.helo == NULL || !opts.helo[0] ||
        (opts.user != NULL) != (opts.password != NULL))
        return s->err = MAIL_ERR_MISUSE;
    if (mail_has_control(mail_s(opts.helo)) || strchr(opts.helo, ' ') ||
        mail_has_control(mail_s(opts.user)) ||
        mail_has_control(mail_s(opts.password)) ||
        (opts.nonce && !mail__nonce_good(mail_s(opts.nonce))))
        return s->err = MAIL_ERR_SYNTAX;
    if (opts.tls == MAIL_TLS_NOW) s->state = MAIL_SMTPC_TLS;
    if (strlen(opts.helo) >= MAIL_DOMAIN_SIZE ||
        mail_s(opts.user).n > 255 || mail_s(opts.password).n > 255)
        return s->err = MAIL_ERR_TOOLONG;
    return MAIL_ERR_OK;
}

MAIL_DEF size_t mail_smtpc_feed(mail_smtpc *s, const char *in, size_t n) {
    size_t used = 0;
    if (s->state == MAIL_SMTPC_TLS && n) mail__smtpc_early(s);
    while (used < n && !s->pending && s->state != MAIL_SMTPC_END &&
           s->out.n - s->out.at + 512 <= sizeof s->out.p) {
        used += MAIL_LINE_FEED(&s->line, in + used, n - used, 1);
        if (s->line.longer) mail__smtpc_over(s, MAIL_ERR_PROTOCOL);
        else if (s->line.done) mail__smtpc_line(s);
        else break;
        mail_line_reset(&s->line);
        if (used < n && s->lines == 0 && !mail__smtpc_awaits(s))
            mail__smtpc_early(s);
    }
    return used;
}

MAIL_DEF int mail_smtpc_next(mail_smtpc *s, mail_event *ev) {
    if (!mail__take_event(&s->pending, &s->ev, ev, s->home, s, sizeof *s))
        return 0;
    if (mail__smtpc_all_given(s)) mail__smtpc_done(s);
    else if (s->later) mail__smtpc_over(s, (mail_err)s->later);
    else if (s->go && s->state == MAIL_SMTPC_MAIL) mail__smtpc_go(s);
    return 1;
}

MAIL_DEF mail_str mail_smtpc_out(const mail_smtpc *s) {
    return mail__out_str(&s->out);
}

MAIL_DEF void mail_smtpc_sent(mail_smtpc *s, size_t n) {
    mail__out_sent(&s->out, n);
    if (n) s->active = 1;
}

MAIL_DEF int64_t mail_smtpc_tick(mail_smtpc *s, int64_t now) {
    int64_t timeout = mail__smtpc_rules[s->state].timeout * (int64_t)1000;
    int64_t due, limit;
    if (mail__smtpc_data_next(s)) timeout = 120000;
    if (s->opts.timeout && s->opts.timeout < timeout)
        timeout = s->opts.timeout;
    due = mail__silent_at(now, timeout, &s->active, &s->since);
    if (s->state == MAIL_SMTPC_TEXT) {
        limit = mail__slow_at(now, &s->text_began, s->text_size,
                              s->opts.min_rate, timeout);
        if (limit < due) due = limit;
    }
    if (now >= due)
        mail__smtpc_gone(s, s->state == MAIL_SMTPC_QUIT ? MAIL_ERR_OK :
                            s->state == MAIL_SMTPC_TLS ? MAIL_ERR_TLS
                                                       : MAIL_ERR_TIMEOUT);
    return due;
}

MAIL_DEF mail_err mail_smtpc_tls(mail_smtpc *s, mail_err e,
                                 const char *why) {
    if (s->state != MAIL_SMTPC_TLS || s->out.n || s->pending)
        return MAIL_ERR_MISUSE;
    s->words[0] = 0;
    s->code = 0;
    if (e) {
        mail__add_words(s->words, sizeof s->words, mail_s(why));
        mail__smtpc_over(s, e);
        return MAIL_ERR_OK;
    }
    s->secure = s->active = 1;
    s->ext = s->mechs = 0;
    s->offer[0] = 0;
    s->max_size = s->max_mails = s->max_rcpts = 0;
    if (s->opts.tls == MAIL_TLS_NOW) s->state = MAIL_SMTPC_GREET;
    else mail__smtpc_greeted(s);
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_smtpc_mail(mail_smtpc *s, const mail_path *from,
                                  const mail_param *p) {
    char text[MAIL_PATH_SIZE + MAIL_ENVID_SIZE + 80];
    mail_buf b = mail_buf_on(text, sizeof text - 1);
    mail_param q;
    mail_err e;
    memset(&q, 0, sizeof q);
    if (p) q = *p;
    q.utf8 |= mail_path_utf8(from);
    if (s->state != MAIL_SMTPC_READY || s->pending) return MAIL_ERR_MISUSE;
    if (!mail__path_sane(from)) return MAIL_ERR_SYNTAX;
    if (s->max_size && q.size > s->max_size) return MAIL_ERR_TOOLONG;
    if ((q.body_8bit && !(s->ext & MAIL_EXT_8BITMIME)) ||
        (q.utf8 && !(s->ext & MAIL_EXT_SMTPUTF8))) return MAIL_ERR_UNABLE;
    if (!(s->ext & MAIL_EXT_SIZE)) q.size = 0;
    if (!(s->ext & MAIL_EXT_DSN)) q.ret = 0, q.envid[0] = 0;
    q.notify = 0;
    q.orcpt[0] = 0;
    mail_path_write(&b, from);
    if (mail_param_write(&b, &q)) return MAIL_ERR_SYNTAX;
    if (s->opts.relay && s->opts.user) mail_buf_add(&b, mail_s(" AUTH=<>"));
    text[b.n] = 0;
    s->rcpts_sent = s->rcpts_answered = s->rcpts_ok = s->fail_code = 0;
    s->given = s->given_at = 0;
    memset(s->taken, 0, sizeof s->taken);
    s->data_due = s->data_asked = s->bdat = s->go = 0;
    s->mail_due = 1;
    s->utf8 = (unsigned char)q.utf8;
    s->state = MAIL_SMTPC_MAIL;
    e = mail__smtpc_say(s, NULL, "MAIL FROM:%s", text);
    if (e) s->state = MAIL_SMTPC_READY;
    return e;
}

/* May another command go out, or is an answer due first? A refused MAIL
   settles all that follows. */
static mail_err mail__smtpc_turn(const mail_smtpc *s) {
    if (s->state != MAIL_SMTPC_MAIL || s->data_asked) return MAIL_ERR_MISUSE;
    if ((s->mail_due || s->rcpts_answered < s->rcpts_sent) &&
        !(s->ext & MAIL_EXT_PIPELINING)) return MAIL_ERR_MORE;
    return MAIL_ERR_OK;
}

/* Where SMTPUTF8 is not said: \x{D55C} for a character (RFC 6533 3), or nothing
   where that is too long. */
static void mail__orcpt_ascii(char orcpt[MAIL_ORCPT_SIZE]) {
    char text[MAIL_ORCPT_SIZE];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_str s = mail_s(orcpt);
    while (s.n && !b.full) {
        uint32_t c = mail__utf8_take(&s);
        char ascii = (char)c;
        if (c == MAIL__NO_CHAR) b.full = 1;
        else if (c < 128) mail_buf_add(&b, mail_sn(&ascii, 1));
        else mail_buf_fmt(&b, "\\x{%lX}", (unsigned long)c);
    }
    if (b.full) b.n = 0;
    mail_copy(orcpt, MAIL_ORCPT_SIZE, mail_buf_str(&b));
}

MAIL_DEF mail_err mail_smtpc_rcpt(mail_smtpc *s, const mail_path *to,
                                  const mail_param *p) {
    char text[MAIL_PATH_SIZE + MAIL_ORCPT_SIZE + 80];
    mail_buf b = mail_buf_on(text, sizeof text - 1);
    mail_param q;
    mail_err e = mail__smtpc_turn(s);
    if (e) return e;
    if (to == NULL || mail_path_null(to)) return MAIL_ERR_MISUSE;
    if (!mail__path_sane(to)) return MAIL_ERR_SYNTAX;
    if (mail_path_utf8(to) && !s->utf8) return MAIL_ERR_UNABLE;
    if (s->opts.lmtp && s->rcpts_sent == MAIL_LMTP_RCPTS)
        return MAIL_ERR_TOOLONG;
    memset(&q, 0, sizeof q);
    if (p && s->ext & MAIL_EXT_DSN) {
        q.notify = p->notify;
        memcpy(q.orcpt, p->orcpt, sizeof q.orcpt);
        if (!s->utf8 && mail__is_8bit(mail_s(q.orcpt)))
            mail__orcpt_ascii(q.orcpt);
    }
    mail_path_write(&b, to);
    if (mail_param_write(&b, &q)) return MAIL_ERR_SYNTAX;
    text[b.n] = 0;
    e = mail__smtpc_say(s, NULL, "RCPT TO:%s", text);
    if (e == MAIL_ERR_OK) s->rcpts_sent++;
    return e;
}

MAIL_DEF mail_err mail_smtpc_data(mail_smtpc *s) {
    mail_err e;
    if (s->state != MAIL_SMTPC_MAIL || s->data_asked || s->rcpts_sent == 0)
        return MAIL_ERR_MISUSE;
    if ((s->ext & MAIL_EXT_PIPELINING) && !s->opts.all &&
        (s->mail_due || s->rcpts_answered < s->rcpts_sent)) {
        e = mail__smtpc_say(s, NULL, "DATA");   /* the last of its group */
        if (e) return e;
        s->data_due = 1;
    }
    s->data_asked = 1;
    mail__smtpc_proceed(s);
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_smtpc_bdat(mail_smtpc *s, int64_t size) {
    if (s->state != MAIL_SMTPC_MAIL || s->data_asked || s->rcpts_sent == 0 ||
        size < 0) return MAIL_ERR_MISUSE;
    if (!(s->ext & MAIL_EXT_CHUNKING) || s->opts.lmtp) return MAIL_ERR_UNABLE;
    s->bdat = s->data_asked = 1;
    s->left = size;
    mail__smtpc_proceed(s);
    if (s->go && !s->pending) mail__smtpc_go(s);
    return MAIL_ERR_OK;
}

/* More or less text than BDAT has said: the server would take commands for
   text, or text for commands. There is no way back. */
static void mail__smtpc_misfit(mail_smtpc *s) {
    mail__smtpc_give_up(s, MAIL_ERR_MISUSE,
                        "the text is not as long as BDAT has said");
}

/* As much of it as the chunk has room for: what is left over then is too
   much. */
static size_t mail__smtpc_chunk(mail_smtpc *s, const char *p, size_t n,
                                char *out, size_t cap, size_t *made) {
    size_t used, room = (int64_t)cap > s->left ? (size_t)s->left : cap;
    if (n == 0 || cap == 0) return 0;
    if (*p == '\n' && s->dot.state == MAIL__MID_CR) {
        s->dot.state = MAIL__BOL;               /* its CRLF is out already */
        return 1;
    }
    used = MAIL_DOT_WRITE(&s->dot, p, n, out, room, made);
    s->left -= (int64_t)*made;
    if (used < n && s->left < 2 &&
        !(p[used] == '\n' && s->dot.state == MAIL__MID_CR))
        mail__smtpc_misfit(s);
    return used;
}

static size_t mail__smtpc_text(mail_smtpc *s, const char *p, size_t n,
                               char *out, size_t cap, size_t *made) {
    size_t used;
    *made = 0;
    if (s->state != MAIL_SMTPC_TEXT) return 0;
    used = s->bdat ? mail__smtpc_chunk(s, p, n, out, cap, made)
                   : MAIL_DOT_WRITE(&s->dot, p, n, out, cap, made);
    s->text_size += (int64_t)*made;
    mail__smtpc_note(s, MAIL_NOTE_TEXT, mail_sn(out, *made));
    return used;
}

MAIL_DEF size_t mail_smtpc_write(mail_smtpc *s, const char *p, size_t n) {
    size_t room = mail__out_room(&s->out), made, used;
    used = mail__smtpc_text(s, p, n, s->out.p + s->out.n, room, &made);
    s->out.n += made;
    return used;
}

MAIL_DEF size_t mail_smtpc_write_to(mail_smtpc *s, const char *p, size_t n,
                                    char *out, size_t cap, size_t *made) {
    size_t used = 0;
    *made = 0;
    if (s->out.n == 0) used = mail__smtpc_text(s, p, n, out, cap, made);
    if (*made) s->active = 1;
    return used;
}

/* The end of the chunk: CRLF if a line is open. */
static mail_err mail__smtpc_chunk_end(mail_smtpc *s, char *out, size_t room,
                                      size_t *made) {
    *made = s->dot.state == MAIL__MID ? 2 : 0;
    if (s->left != (int64_t)*made) {
        mail__smtpc_misfit(s);
        return MAIL_ERR_MISUSE;
    }
    if (room < 2) return MAIL_ERR_MORE;
    memcpy(out, "\r\n", 2);
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_smtpc_end(mail_smtpc *s) {
    size_t made, room;
    char *out;
    mail_err e = MAIL_ERR_OK;
    if (s->state != MAIL_SMTPC_TEXT) return MAIL_ERR_MISUSE;
    room = mail__out_room(&s->out);              /* first: it moves out.n */
    out = s->out.p + s->out.n;
    if (s->bdat) e = mail__smtpc_chunk_end(s, out, room, &made);
    else if ((made = MAIL_DOT_CLOSE(&s->dot, out, room)) == 0)
        e = MAIL_ERR_MORE;
    if (e) return e;
    mail__smtpc_note(s, MAIL_NOTE_TEXT, mail_sn(s->out.p + s->out.n, made));
    s->out.n += made;
    s->active = 1;
    s->state = MAIL_SMTPC_DOT;
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_smtpc_quit(mail_smtpc *s) {
    mail_err e;
    if (s->state != MAIL_SMTPC_READY) return MAIL_ERR_MISUSE;
    s->state = MAIL_SMTPC_QUIT;
    e = mail__smtpc_say(s, NULL, "QUIT");
    if (e) s->state = MAIL_SMTPC_READY;
    return e;
}

MAIL_DEF void mail_smtpc_eof(mail_smtpc *s) {
    mail__smtpc_gone(s, s->state == MAIL_SMTPC_QUIT ? MAIL_ERR_OK
                                                    : MAIL_ERR_CLOSED);
}

/* ======================================================================
   [POP3D]
   ====================================================================== */

MAIL__NAMES(pop3d, POP3D)

static void mail__pop3d_note(mail_pop3d *s, mail_note kind, mail_str text) {
    if (s->opts.watch)
        s->opts.watch(s->opts.watch_ctx, kind, text,
                      mail_pop3d_state_name(s->state));
}

MAIL_PRINTF(2, 3)
static mail_err mail__pop3d_say(mail_pop3d *s, const char *fmt, ...) {
    mail_err e;
    va_list ap;
    va_start(ap, fmt);
    e = mail__say(&s->out, s->opts.watch, s->opts.watch_ctx, MAIL_NOTE_REPLY,
                  mail_pop3d_state_name(s->state), NULL, fmt, ap);
    va_end(ap);
    return e;
}

static void mail__pop3d_event(mail_pop3d *s, mail_event_kind k, int decide) {
    memset(&s->ev, 0, sizeof s->ev);
    s->ev.kind = k;
    s->home = (uintptr_t)s;
    s->pending = 1;
    s->wait = decide ? k : MAIL_EV_NONE;
}

static void mail__pop3d_over(mail_pop3d *s) {
    s->state = MAIL_POP3D_END;
    mail__pop3d_event(s, MAIL_EV_CLOSED, 0);
}

MAIL_DEF void mail_pop3d_bye(mail_pop3d *s, const char *text) {
    if (s->state == MAIL_POP3D_END) return;
    if (s->state != MAIL_POP3D_SEND && s->state != MAIL_POP3D_TLS &&
        !s->listing)
        mail__pop3d_say(s, "-ERR %s", text ? text : "closing, come again");
    mail__pop3d_over(s);
}

static void mail__pop3d_refuse(mail_pop3d *s, const char *text) {
    mail__pop3d_say(s, "-ERR %s", text);
    if (++s->errors >= s->opts.max_errors)
        mail_pop3d_bye(s, "too many errors, goodbye");
}

/* Passwords, here and now? */
static int mail__pop3d_may_login(const mail_pop3d *s) {
    return !s->opts.no_login && (s->opts.tls != MAIL_TLS_MUST || s->secure);
}

static int mail__pop3d_in_clear(mail_pop3d *s) {
    if (mail__pop3d_may_login(s)) return 0;
    mail__pop3d_refuse(s, s->opts.no_login
                       ? "[AUTH] no passwords on this connection"
                       : "[AUTH] say STLS first");
    return 1;
}

/* What a name or a password may be, RFC 6856 2.2. Nothing is normalised: it
   is compared octet by octet. */
static int mail__pop3d_no_utf8(mail_pop3d *s, mail_str arg) {
    if (mail_utf8_ok(arg)) return 0;
    mail__pop3d_refuse(s, "[AUTH] neither ASCII nor UTF-8");
    return 1;
}

static void mail__pop3d_user(mail_pop3d *s, mail_str arg) {
    if (mail__pop3d_in_clear(s) || mail__pop3d_no_utf8(s, arg)) return;
    /* +OK whoever it is: a -ERR would tell who has a mailbox (1939-18). A
       name that fits nobody is forgotten, and its password is refused. */
    if (!mail_copy(s->user, sizeof s->user, arg)) s->user[0] = 0;
    s->state = MAIL_POP3D_USER;
    mail__pop3d_say(s, "+OK and the password?");
}

/* The argument is all that follows the space: a password may hold some. */
static void mail__pop3d_pass(mail_pop3d *s, mail_str arg) {
    if (mail__pop3d_no_utf8(s, arg)) return;
    s->state = MAIL_POP3D_AUTH;
    mail__pop3d_event(s, MAIL_EV_LOGIN, 1);
    s->ev.user = mail_s(s->user);
    s->ev.secret = arg;
}

static void mail__pop3d_apop(mail_pop3d *s, mail_str arg) {
    mail_str digest = arg, name = mail_cut(&digest, ' ');
    if (s->opts.stamp == NULL || !mail__pop3d_may_login(s)) {
        mail__pop3d_refuse(s, "APOP is not offered here");
        return;
    }
    if (digest.n != 32 || !mail_copy(s->user, sizeof s->user, name)) {
        mail__pop3d_refuse(s, "APOP takes a name and 32 hex digits");
        return;
    }
    if (mail__is_8bit(name)) {       /* RFC 6856 2.2 wants SASLprep: not here */
        s->user[0] = 0;
        mail__pop3d_refuse(s, "[AUTH] APOP takes a name in ASCII");
        return;
    }
    mail__pop3d_event(s, MAIL_EV_APOP, 1);
    s->ev.user = mail_s(s->user);
    s->ev.secret = digest;
}

static void mail__pop3d_challenge(mail_pop3d *s, mail_str text, int hide) {
    char b64[MAIL__SASL_B64];
    mail__sasl_b64(text, b64);
    mail__say_challenge(&s->out, s->opts.watch, s->opts.watch_ctx,
                        mail_pop3d_state_name(s->state), hide, "+ %s", b64);
}

static void mail__pop3d_no_login(mail_pop3d *s, const char *text) {
    s->state = MAIL_POP3D_AUTH;
    mail__sasl_begin(&s->sasl, 0);
    mail__pop3d_refuse(s, text);
}

/* One step of AUTH (RFC 5034 4), as in mail__smtpd_sasl. */
static void mail__pop3d_sasl(mail_pop3d *s, mail_str arg) {
    mail__step o;
    int what = mail__sasl_line(&s->sasl, s->line.p, arg, &o);
    if (what == MAIL__SASL_BAD)
        mail__pop3d_no_login(s, "that is not base64 of a login");
    else if (what == MAIL__SASL_OTHER)
        mail__pop3d_no_login(s, "[AUTH] log in as yourself");
    else if (what == MAIL__SASL_SAY)
        mail__pop3d_challenge(s, o.say, o.right);
    else {
        mail__pop3d_event(s, mail__sasl_kind(what), 1);
        s->ev.user = o.user;
        s->ev.secret = o.secret;
        s->ev.code = o.right;
    }
}

/* "AUTH" alone asked for a list before there was CAPA (and no RFC says so):
   there are clients that still ask. */
static void mail__pop3d_mechs(mail_pop3d *s) {
    mail_str list = mail_s(mail__sasl_offer);
    mail__pop3d_say(s, "+OK");
    while (list.n) {
        mail_str mech = mail_cut(&list, ' ');
        mail__pop3d_say(s, "%.*s", MAIL_ARG(mech));
    }
    mail__pop3d_say(s, ".");
}

/* "AUTH" SP mechanism [SP initial-response]; "=" is one of no octets */
static void mail__pop3d_auth(mail_pop3d *s, mail_str arg) {
    mail_str name = mail_cut(&arg, ' ');
    unsigned mech = mail_sasl_list(name);
    if (mail__pop3d_in_clear(s)) return;
    if (name.n == 0) {
        mail__pop3d_mechs(s);
        return;
    }
    if (mech == 0) {
        mail__pop3d_refuse(s, "I know SCRAM-SHA-256, PLAIN, LOGIN");
        return;
    }
    mail__sasl_begin(&s->sasl, mech);
    s->state = MAIL_POP3D_SASL;
    if (mail_eq(arg, mail_s("="))) arg.n = 0;
    else if (arg.n == 0) {
        mail__pop3d_challenge(s, mail__sasl_first(&s->sasl), 0);
        return;
    }
    mail__pop3d_sasl(s, arg);
}

/* One line of a client's, while a login is under way. */
static void mail__pop3d_response(mail_pop3d *s) {
    mail_str text = mail_line_text(&s->line);
    s->hide = 1;
    mail__pop3d_note(s, MAIL_NOTE_COMMAND, mail_s("****"));
    if (s->line.longer) mail__pop3d_no_login(s, "line too long");
    else if (s->line.bad || mail_eq(text, mail_s("*")))
        mail__pop3d_no_login(s, "login cancelled");
    else mail__pop3d_sasl(s, text);
}

MAIL_DEF mail_err mail_pop3d_keys(mail_pop3d *s, const mail_keys *k,
                                  const char *nonce) {
    mail_str say;
    if (s->wait != MAIL_EV_KEYS || s->pending || !mail__keys_ok(k, nonce))
        return MAIL_ERR_MISUSE;
    s->wait = MAIL_EV_NONE;
    if (mail__sasl_keys(&s->sasl, k, mail_s(nonce), &say))
        mail__pop3d_challenge(s, say, 0);
    else mail__pop3d_no_login(s, "that is too long for a login");
    return MAIL_ERR_OK;
}

/* STAT counts what is not marked: 1939-29. */
static void mail__pop3d_sum(const mail_pop3d *s, size_t *count,
                            int64_t *octets) {
    size_t i;
    *count = 0;
    *octets = 0;
    for (i = 0; i < s->count; i++)
        if (!s->drops[i].deleted) {
            ++*count;
            *octets += s->drops[i].size;
        }
}

static void mail__pop3d_stat(mail_pop3d *s, mail_str arg) {
    size_t n;
    int64_t octets;
    (void)arg;
    mail__pop3d_sum(s, &n, &octets);
    mail__pop3d_say(s, "+OK %lu %lld", (unsigned long)n, (long long)octets);
}

/* A message number: 1 to count, and not marked. NULL with -ERR said. */
static mail_drop *mail__pop3d_drop(mail_pop3d *s, mail_str arg) {
    int64_t n;
    if (mail_number(arg, (int64_t)s->count, &n) || n == 0) {
        mail__pop3d_refuse(s, "no such message");
        return NULL;
    }
    if (s->drops[n - 1].deleted) {
        mail__pop3d_refuse(s, "that message is marked for deletion");
        return NULL;
    }
    return &s->drops[n - 1];
}

static void mail__pop3d_item(mail_pop3d *s, const char *ok,
                             const mail_drop *d) {
    unsigned long n = (unsigned long)(d - s->drops) + 1;
    if (s->uidl) mail__pop3d_say(s, "%s%lu %s", ok, n, d->uid);
    else mail__pop3d_say(s, "%s%lu %lld", ok, n, (long long)d->size);
}

/* A listing goes on as the peer takes it: a line at a time, while there is
   room, so that 100,000 messages need no more memory than one. */
static void mail__pop3d_list_on(mail_pop3d *s) {
    while (s->listing && mail__out_room(&s->out) >= 128) {
        if (s->list_at == s->count) {
            s->listing = 0;
            mail__pop3d_say(s, ".");
        } else {
            const mail_drop *d = &s->drops[s->list_at++];
            if (!d->deleted) mail__pop3d_item(s, "", d);
        }
    }
}

static void mail__pop3d_listing(mail_pop3d *s, mail_str arg, int uidl) {
    const mail_drop *d;
    s->uidl = (unsigned char)uidl;
    if (arg.n) {
        d = mail__pop3d_drop(s, arg);
        if (d) mail__pop3d_item(s, "+OK ", d);
        return;
    }
    s->listing = 1;
    s->list_at = 0;
    mail__pop3d_say(s, "+OK");
}

static void mail__pop3d_list(mail_pop3d *s, mail_str arg) {
    mail__pop3d_listing(s, arg, 0);
}

static void mail__pop3d_uidl(mail_pop3d *s, mail_str arg) {
    mail__pop3d_listing(s, arg, 1);
}

static void mail__pop3d_send(mail_pop3d *s, mail_str arg, int64_t lines) {
    const mail_drop *d = mail__pop3d_drop(s, arg);
    if (d == NULL) return;
    mail__pop3d_event(s, MAIL_EV_RETR, 1);
    s->ev.number = d - s->drops + 1;
    s->ev.size = s->lines = lines;
}

static void mail__pop3d_retr(mail_pop3d *s, mail_str arg) {
    mail__pop3d_send(s, arg, -1);
}

static void mail__pop3d_top(mail_pop3d *s, mail_str arg) {
    mail_str lines = arg, n = mail_cut(&lines, ' ');
    int64_t k;
    mail_err e = mail_number(lines, INT64_MAX, &k);
    if (e == MAIL_ERR_SYNTAX)
        mail__pop3d_refuse(s, "TOP takes a message and a number of lines");
    else mail__pop3d_send(s, n, e ? INT64_MAX : k);
}

static void mail__pop3d_dele(mail_pop3d *s, mail_str arg) {
    mail_drop *d = mail__pop3d_drop(s, arg);
    if (d == NULL) return;
    d->deleted = 1;
    mail__pop3d_say(s, "+OK marked");
}

static void mail__pop3d_rset(mail_pop3d *s, mail_str arg) {
    size_t i;
    (void)arg;
    for (i = 0; i < s->count; i++) s->drops[i].deleted = 0;
    mail__pop3d_say(s, "+OK no marks");
}

static void mail__pop3d_noop(mail_pop3d *s, mail_str arg) {
    (void)arg;
    mail__pop3d_say(s, "+OK");
}

/* QUIT is what makes the marks count, and only in TRANSACTION. */
static void mail__pop3d_quit(mail_pop3d *s, mail_str arg) {
    (void)arg;
    if (s->state == MAIL_POP3D_TRANS) {
        s->state = MAIL_POP3D_UPDATE;
        mail__pop3d_event(s, MAIL_EV_UPDATE, 1);
        return;
    }
    mail__pop3d_say(s, "+OK goodbye");
    mail__pop3d_over(s);
}

/* RFC 2595 4: in AUTHORIZATION only; RFC 6856 2.1: not after UTF8. */
static int mail__pop3d_may_stls(const mail_pop3d *s) {
    return mail__tls_due(s->opts.tls, s->secure) && !s->utf8 &&
           s->state != MAIL_POP3D_TRANS;
}

/* The same before and after the login (RFC 2449 5), but for STLS: a client
   need not ask twice. */
static void mail__pop3d_capa(mail_pop3d *s, mail_str arg) {
    (void)arg;
    mail__pop3d_say(s, "+OK");
    if (mail__pop3d_may_login(s)) mail__pop3d_say(s, "USER");
    if (mail__pop3d_may_stls(s)) mail__pop3d_say(s, "STLS");
    if (mail__pop3d_may_login(s))
        mail__pop3d_say(s, "SASL %s", mail__sasl_offer);
    mail__pop3d_say(s, "TOP");
    mail__pop3d_say(s, "UIDL");
    mail__pop3d_say(s, "UTF8 USER");
    mail__pop3d_say(s, "PIPELINING");
    mail__pop3d_say(s, "RESP-CODES");
    mail__pop3d_say(s, "AUTH-RESP-CODE");
    mail__pop3d_say(s, "LOGIN-DELAY 0");
    mail__pop3d_say(s, "EXPIRE NEVER");
    mail__pop3d_say(s, "IMPLEMENTATION mail.h-" MAIL_VERSION);
    mail__pop3d_say(s, ".");
}

static void mail__pop3d_utf8(mail_pop3d *s, mail_str arg) {
    (void)arg;
    s->utf8 = 1;
    mail__pop3d_say(s, "+OK UTF-8 from here on");
}

static void mail__pop3d_stls(mail_pop3d *s, mail_str arg) {
    (void)arg;
    if (s->secure) mail__pop3d_refuse(s, "TLS runs already");
    else if (s->utf8) mail__pop3d_refuse(s, "STLS comes before UTF8");
    else if (!mail__pop3d_may_stls(s))
        mail__pop3d_refuse(s, "TLS is not offered here");
    else mail__pop3d_event(s, MAIL_EV_TLS, 1);
}

#define MAIL__POP(x) (1u << MAIL_POP3D_##x)
#define MAIL__LOGGING_IN (MAIL__POP(AUTH) | MAIL__POP(USER))

typedef struct mail__pop3d_verb {
    const char *verb;
    unsigned states;
    int arg;
    void (*run)(mail_pop3d *s, mail_str arg);
    const char *then, *says;
} mail__pop3d_verb;

static const mail__pop3d_verb mail__pop3d_verbs[] = {
    {"USER", MAIL__LOGGING_IN, MAIL__ARG, mail__pop3d_user, "USER",
     "+OK, whoever it is"},
    {"PASS", MAIL__POP(USER), MAIL__ARG, mail__pop3d_pass, "TRANS",
     "+OK, locked; or -ERR and AUTH"},
    {"APOP", MAIL__LOGGING_IN, MAIL__ARG, mail__pop3d_apop, "TRANS",
     "+OK, locked; or -ERR and AUTH"},
    {"AUTH", MAIL__LOGGING_IN, MAIL__MAY_ARG, mail__pop3d_auth, "TRANS",
     "+ for more, then as PASS"},
    {"STLS", MAIL__LOGGING_IN, MAIL__NO_ARG, mail__pop3d_stls, "TLS",
     "+OK; then AUTH, all forgotten"},
    {"UTF8", MAIL__LOGGING_IN, MAIL__NO_ARG, mail__pop3d_utf8, "AUTH",
     "+OK: fields may be in UTF-8"},
    {"STAT", MAIL__POP(TRANS), MAIL__NO_ARG, mail__pop3d_stat, "",
     "+OK count octets"},
    {"LIST", MAIL__POP(TRANS), MAIL__MAY_ARG, mail__pop3d_list, "",
     "+OK number octets, one or all"},
    {"UIDL", MAIL__POP(TRANS), MAIL__MAY_ARG, mail__pop3d_uidl, "",
     "+OK number UID, one or all"},
    {"RETR", MAIL__POP(TRANS), MAIL__ARG, mail__pop3d_retr, "SEND",
     "+OK and the message"},
    {"TOP",  MAIL__POP(TRANS), MAIL__ARG, mail__pop3d_top, "SEND",
     "+OK, the header, some lines"},
    {"DELE", MAIL__POP(TRANS), MAIL__ARG, mail__pop3d_dele, "",
     "+OK: a mark, nothing more"},
    {"RSET", MAIL__POP(TRANS), MAIL__NO_ARG, mail__pop3d_rset, "",
     "+OK: no mark is left"},
    {"NOOP", MAIL__POP(TRANS), MAIL__NO_ARG, mail__pop3d_noop, "", "+OK"},
    {"QUIT", MAIL__LOGGING_IN, MAIL__NO_ARG, mail__pop3d_quit, "END", "+OK"},
    {"QUIT", MAIL__POP(TRANS), MAIL__NO_ARG, mail__pop3d_quit, "UPDATE",
     "+OK; what is marked is removed"},
    {"CAPA", MAIL__LOGGING_IN | MAIL__POP(TRANS), MAIL__NO_ARG,
     mail__pop3d_capa, "", "+OK and the capabilities"}
};
enum { MAIL__POP3D_VERBS = sizeof mail__pop3d_verbs /
                           sizeof mail__pop3d_verbs[0] };

MAIL_DEF int mail_pop3d_row(size_t i, mail_row *row) {
    const mail__pop3d_verb *v;
    if (i >= MAIL__POP3D_VERBS) return 0;
    v = &mail__pop3d_verbs[i];
    row->name = v->verb;
    row->from = v->states == MAIL__LOGGING_IN ? "AUTH USER" :
                v->states == MAIL__POP(USER) ? "USER" :
                v->states == MAIL__POP(TRANS) ? "TRANS" : "AUTH USER TRANS";
    row->then = v->then;
    row->says = v->says;
    return 1;
}

/* May this command be said now? allowed: by the table. */
static int mail__pop3d_may(const mail_pop3d *s, mail_str verb, mail_str arg,
                           int allowed) {
    (void)s, (void)verb, (void)arg;
    return allowed;
}

static const char *mail__pop3d_order(const mail_pop3d *s, int pass) {
    if (s->state == MAIL_POP3D_TRANS) return "you are logged in already";
    return pass ? "USER comes before PASS" : "log in first: USER, PASS";
}

static void mail__pop3d_command(mail_pop3d *s) {
    mail_str rest = mail_line_text(&s->line), verb, whole = rest;
    const mail__pop3d_verb *v = NULL;
    unsigned state = 1u << s->state;
    int pass;
    size_t i;
    /* What follows USER is PASS at once, or the name is said again: a command
       that is refused counts, too (1939-19). */
    if (s->state == MAIL_POP3D_USER) s->state = MAIL_POP3D_AUTH;
    verb = mail_cut(&rest, ' ');
    for (i = 0; i < MAIL__POP3D_VERBS; i++)       /* QUIT has two rows */
        if (mail_ieq(verb, mail_s(mail__pop3d_verbs[i].verb)) &&
            (v == NULL || mail__pop3d_verbs[i].states & state))
            v = &mail__pop3d_verbs[i];
    pass = v && v->run == mail__pop3d_pass;
    if (!pass) rest = mail_trim(rest);
    s->hide = (unsigned char)(
        mail__is_secret(whole, "PASS", s->hide, v != NULL) ||
        mail__is_secret(whole, "AUTH", 0, 0));
    mail__pop3d_note(s, MAIL_NOTE_COMMAND, !s->hide ? whole :
                     mail_starts(whole, "AUTH") ? mail__auth_shown(whole) :
                     mail_starts(whole, "PASS") ? mail_s("PASS ****")
                                                : mail_s("****"));
    if (s->line.longer || whole.n > 253)          /* RFC 2449 4: 255 */
        mail__pop3d_refuse(s, "line too long");
    else if (s->line.bad || (!pass && mail_has_control(whole)))
        mail__pop3d_refuse(s, "a control octet: lines end with CRLF");
    else if (v == NULL && mail__is_http(verb))
        mail_pop3d_bye(s, "this is no web server");
    else if (v == NULL) mail__pop3d_refuse(s, "no such command");
    else if (!MAIL_POP3D_MAY(s, verb, rest, (v->states & state) != 0))
        mail__pop3d_refuse(s, mail__pop3d_order(s, pass));
    else if (v->arg == MAIL__NO_ARG && rest.n)
        mail__pop3d_refuse(s, "this command takes no argument");
    else if (v->arg == MAIL__ARG && rest.n == 0)
        mail__pop3d_refuse(s, "this command needs an argument");
    else v->run(s, rest);
}

static mail_err mail__pop3d_greet(mail_pop3d *s) {
    return mail__pop3d_say(s, "+OK %s POP3 ready%s%s", s->opts.host,
                           s->opts.stamp ? " " : "",
                           s->opts.stamp ? s->opts.stamp : "");
}

MAIL_DEF mail_err mail_pop3d_init(mail_pop3d *s, mail_pop3d_opts opts) {
    memset(s, 0, sizeof *s);
    s->active = 1;
    s->began = -1;
    if (opts.host == NULL || mail_has_control(mail_s(opts.host)))
        return s->err = MAIL_ERR_MISUSE;
    s->opts = opts;
    if (!s->opts.timeout) s->opts.timeout = 600000;
    if (!s->opts.login_timeout) s->opts.login_timeout = 60000;
    if (!s->opts.max_errors) s->opts.max_errors = 20;
    if (opts.refuse) {                 /* nobody handshakes to hear it */
        if (opts.tls == MAIL_TLS_NOW) mail__pop3d_over(s);
        else mail_pop3d_bye(s, opts.refuse);
        s->opts.refuse = NULL;
    } else if (opts.tls == MAIL_TLS_NOW) s->state = MAIL_POP3D_TLS;
    else s->err = mail__pop3d_greet(s);
    return s->err;
}

static int mail__pop3d_open(const mail_pop3d *s) {
    return !s->pending && !s->wait && !s->listing &&
           s->state < MAIL_POP3D_TLS && s->state != MAIL_POP3D_SEND &&
           s->out.n - s->out.at + 512 <= sizeof s->out.p;
}

MAIL_DEF size_t mail_pop3d_feed(mail_pop3d *s, const char *in, size_t n) {
    size_t used = 0;
    if (s->state == MAIL_POP3D_TLS) return n;    /* see mail_smtpd_feed */
    while (used < n && mail__pop3d_open(s)) {
        used += MAIL_LINE_FEED(&s->line, in + used, n - used,
                               !s->opts.reject_bare);
        if (!s->line.done) break;
        s->active = 1;
        if (s->state == MAIL_POP3D_SASL) mail__pop3d_response(s);
        else mail__pop3d_command(s);
        mail__pop3d_list_on(s);
        if (s->wait != MAIL_EV_LOGIN && s->wait != MAIL_EV_APOP)
            mail__line_over(&s->line, s->hide);
    }
    return used;
}

MAIL_DEF int mail_pop3d_next(mail_pop3d *s, mail_event *ev) {
    return mail__take_event(&s->pending, &s->ev, ev, s->home, s, sizeof *s);
}

MAIL_DEF mail_str mail_pop3d_out(const mail_pop3d *s) {
    return mail__out_str(&s->out);
}

MAIL_DEF void mail_pop3d_sent(mail_pop3d *s, size_t n) {
    mail__out_sent(&s->out, n);
    if (n) s->active = 1;
    mail__pop3d_list_on(s);
}

/* On expiry: close, and remove nothing (1939-11). */
MAIL_DEF int64_t mail_pop3d_tick(mail_pop3d *s, int64_t now) {
    int login = s->state <= MAIL_POP3D_SASL;        /* not logged in yet */
    int64_t due, timeout = s->state == MAIL_POP3D_TLS ? MAIL__TLS_TIME :
                           login ? s->opts.login_timeout : s->opts.timeout;
    if (s->began < 0) s->began = now;
    if (s->wait) s->active = 1;
    if (s->hurry && s->hurry < timeout && login) timeout = s->hurry;
    due = mail__silent_at(now, timeout, &s->active, &s->since);
    if (login && !s->wait && due > s->began + s->opts.timeout)
        due = s->began + s->opts.timeout;
    if (now >= due && s->state != MAIL_POP3D_END) {
        s->err = MAIL_ERR_TIMEOUT;
        mail__pop3d_over(s);
    }
    return due;
}

MAIL_DEF void mail_pop3d_hurry(mail_pop3d *s, int64_t ms) { s->hurry = ms; }

MAIL_DEF mail_err mail_pop3d_login(mail_pop3d *s, mail_err e,
                                   mail_drop *drops, size_t count) {
    size_t n;
    int64_t octets;
    if (!mail__is_login(s->wait) || s->pending ||
        (e == MAIL_ERR_OK && (s->wait == MAIL_EV_KEYS ||
                              (s->wait == MAIL_EV_PROOF && !s->sasl.done))))
        return MAIL_ERR_MISUSE;
    s->wait = MAIL_EV_NONE;
    s->state = MAIL_POP3D_AUTH;
    mail__line_over(&s->line, 1);
    if (s->sasl.mech) memcpy(s->user, s->sasl.user, sizeof s->user);
    mail__sasl_begin(&s->sasl, 0);
    if (e == MAIL_ERR_OK) {
        s->drops = drops;
        s->count = count;
        s->state = MAIL_POP3D_TRANS;
        mail__pop3d_sum(s, &n, &octets);
        mail__pop3d_say(s, "+OK %lu messages, %lld octets",
                        (unsigned long)n, (long long)octets);
        return MAIL_ERR_OK;
    }
    s->user[0] = 0;
    mail__pop3d_refuse(s, e == MAIL_ERR_DENIED
                          ? "[AUTH] wrong user name or password" :
                          e == MAIL_ERR_TEMPFAIL
                          ? "[SYS/TEMP] too many wrong passwords: try again "
                            "later" :
                          e == MAIL_ERR_BUSY
                          ? "[IN-USE] another session has this maildrop" :
                          e == MAIL_ERR_REFUSED
                          ? "[SYS/PERM] the maildrop cannot be opened: it "
                            "must be mended first"
                          : "[SYS/TEMP] the maildrop cannot be opened now");
    if (e == MAIL_ERR_DENIED && ++s->denied >= 3)
        mail_pop3d_bye(s, "three wrong passwords");
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_pop3d_reply(mail_pop3d *s, mail_err e) {
    mail_event_kind was = s->wait;
    if ((was != MAIL_EV_RETR && was != MAIL_EV_UPDATE &&
         was != MAIL_EV_TLS) || s->pending) return MAIL_ERR_MISUSE;
    s->wait = MAIL_EV_NONE;
    if (was == MAIL_EV_TLS) {
        if (e) mail__pop3d_refuse(s, "[SYS/TEMP] no TLS for now");
        else mail__pop3d_say(s, "+OK begin TLS");
        if (!e) s->state = MAIL_POP3D_TLS;
        return MAIL_ERR_OK;
    }
    if (was == MAIL_EV_UPDATE) {
        if (e) mail__pop3d_say(s, "-ERR [SYS/TEMP] some were not removed");
        else mail__pop3d_say(s, "+OK goodbye");
        mail__pop3d_over(s);
        return MAIL_ERR_OK;
    }
    if (e) {
        mail__pop3d_refuse(s, e == MAIL_ERR_UNABLE
                           ? "[UTF8] this message has addresses or fields in "
                             "UTF-8: say UTF8 before the login"
                           : "[SYS/TEMP] the message cannot be read now");
        return MAIL_ERR_OK;
    }
    s->state = MAIL_POP3D_SEND;
    s->top_over = 0;
    s->head = s->bol = 1;
    memset(&s->dot, 0, sizeof s->dot);
    if (s->lines < 0)
        mail__pop3d_say(s, "+OK %lld octets",
                        (long long)s->drops[s->ev.number - 1].size);
    else mail__pop3d_say(s, "+OK the top of it");
    return MAIL_ERR_OK;
}

/* TOP: the header, the empty line, then so many lines. Returns how much of
   p belongs to that. */
static size_t mail__pop3d_top_part(mail_pop3d *s, const char *p, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        if (p[i] == '\r') continue;
        if (p[i] != '\n') {
            s->bol = 0;
            continue;
        }
        if (s->head) s->head = !s->bol;
        else s->lines--;
        s->bol = 1;
        if (!s->head && s->lines <= 0) {
            s->top_over = 1;
            return i + 1;
        }
    }
    return n;
}

/* With TOP no more is looked at than is sure to fit: a dot may double an
   octet, an LF may become two. */
static size_t mail__pop3d_text(mail_pop3d *s, const char *p, size_t n,
                               char *out, size_t cap, size_t *made) {
    size_t used;
    *made = 0;
    if (s->state != MAIL_POP3D_SEND) return 0;
    if (s->top_over) return n;
    if (s->lines >= 0) {
        if (n > cap / 2) n = cap / 2;
        n = mail__pop3d_top_part(s, p, n);
    }
    used = MAIL_DOT_WRITE(&s->dot, p, n, out, cap, made);
    mail__pop3d_note(s, MAIL_NOTE_TEXT, mail_sn(out, *made));
    return used;
}

MAIL_DEF size_t mail_pop3d_write(mail_pop3d *s, const char *p, size_t n) {
    size_t room = mail__out_room(&s->out), made, used;
    used = mail__pop3d_text(s, p, n, s->out.p + s->out.n, room, &made);
    s->out.n += made;
    return used;
}

MAIL_DEF size_t mail_pop3d_write_to(mail_pop3d *s, const char *p, size_t n,
                                    char *out, size_t cap, size_t *made) {
    size_t used = 0;
    *made = 0;
    if (s->out.n == 0) used = mail__pop3d_text(s, p, n, out, cap, made);
    if (*made) s->active = 1;
    return used;
}

MAIL_DEF mail_err mail_pop3d_end(mail_pop3d *s) {
    size_t made, room;
    if (s->state != MAIL_POP3D_SEND) return MAIL_ERR_MISUSE;
    room = mail__out_room(&s->out);              /* first: it moves out.n */
    made = MAIL_DOT_CLOSE(&s->dot, s->out.p + s->out.n, room);
    if (made == 0) return MAIL_ERR_MORE;
    mail__pop3d_note(s, MAIL_NOTE_TEXT, mail_sn(s->out.p + s->out.n, made));
    s->out.n += made;
    s->active = 1;
    s->state = MAIL_POP3D_TRANS;
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_pop3d_tls(mail_pop3d *s, mail_err e) {
    if (s->state != MAIL_POP3D_TLS || s->out.n) return MAIL_ERR_MISUSE;
    if (e) {
        s->err = e;
        mail__pop3d_over(s);
        return MAIL_ERR_OK;
    }
    s->state = MAIL_POP3D_AUTH;
    s->secure = s->active = 1;
    s->user[0] = 0;
    mail_line_reset(&s->line);
    if (s->opts.tls == MAIL_TLS_NOW) s->err = mail__pop3d_greet(s);
    return s->err;
}

/* ======================================================================
   [POP3C]
   ====================================================================== */

MAIL__NAMES(pop3c, POP3C)

static void mail__pop3c_note(mail_pop3c *s, mail_note kind, mail_str text) {
    if (s->opts.watch)
        s->opts.watch(s->opts.watch_ctx, kind, text,
                      mail_pop3c_state_name(s->state));
}

MAIL_PRINTF(3, 4)
static mail_err mail__pop3c_say(mail_pop3c *s, const char *masked,
                                const char *fmt, ...) {
    mail_err e;
    va_list ap;
    va_start(ap, fmt);
    e = mail__say(&s->out, s->opts.watch, s->opts.watch_ctx,
                  MAIL_NOTE_COMMAND, mail_pop3c_state_name(s->state), masked,
                  fmt, ap);
    va_end(ap);
    s->active = 1;
    return e;
}

static void mail__pop3c_event(mail_pop3c *s, mail_event_kind k, int ok) {
    memset(&s->ev, 0, sizeof s->ev);
    s->ev.kind = k;
    s->ev.code = ok;
    s->ev.number = s->ev.size = -1;
    s->ev.text = mail_s(s->words);
    s->home = (uintptr_t)s;
    s->pending = 1;
}

static void mail__pop3c_over(mail_pop3c *s, mail_err e) {
    if (s->state == MAIL_POP3C_END) return;
    s->state = MAIL_POP3C_END;
    s->err = e;
    mail__saslc_end(&s->sasl, &s->out);
    mail__pop3c_event(s, MAIL_EV_CLOSED, e == MAIL_ERR_OK);
}

/* The greeting's timestamp, "<...>" with an "@" in it, for APOP. */
static mail_str mail__stamp(mail_str text) {
    const char *p = (const char *)memchr(text.p, '<', text.n), *end;
    mail_str none = mail_sn("", 0);
    if (text.n == 0 || p == NULL) return none;
    end = (const char *)memchr(p, '>', text.n - (size_t)(p - text.p));
    if (end == NULL || !memchr(p, '@', (size_t)(end - p))) return none;
    return mail_sn(p, (size_t)(end - p) + 1);
}

static mail__who mail__pop3c_who(const mail_pop3c *s) {
    mail__who w;
    w.user = mail_s(s->opts.user);
    w.password = mail_s(s->opts.password);
    w.nonce = mail_s(s->opts.nonce);
    return w;
}

static void mail__pop3c_no_login(mail_pop3c *s, mail_err e,
                                 const char *why) {
    mail_copy(s->words, sizeof s->words, mail_s(why));
    mail__pop3c_over(s, e);
}

/* USER and PASS are for ASCII, if the server does not say otherwise (RFC 6856
   2.2); what AUTH sends is UTF-8 anyway. */
static int mail__pop3c_ascii(const mail_pop3c *s) {
    return (s->capa & MAIL_CAPA_UTF8_USER) ||
           (!mail__is_8bit(mail_s(s->opts.user)) &&
            !mail__is_8bit(mail_s(s->opts.password)));
}

/* Only when told to: whoever can make up a greeting and listen learns from a
   few digests what MD5 hides, and the server must know the password itself.
   SCRAM is better, and PLAIN within TLS. */
static void mail__pop3c_apop(mail_pop3c *s) {
    char digest[33];
    if (s->stamp[0] == 0) {
        mail__pop3c_no_login(s, MAIL_ERR_UNABLE, "the server offers no APOP: "
                             "there is no timestamp in its greeting");
        return;
    }
    if (mail__is_8bit(mail_s(s->opts.user)) ||
        mail__is_8bit(mail_s(s->opts.password))) {
        mail__pop3c_no_login(s, MAIL_ERR_UNABLE, "APOP is for a name and a "
                             "password in ASCII");
        return;
    }
    mail_apop(mail_s(s->stamp), mail_s(s->opts.password), digest);
    s->state = MAIL_POP3C_PASS;
    mail__pop3c_say(s, NULL, "APOP %s %s", s->opts.user, digest);
}

/* "AUTH" SP mechanism [SP initial-response]: RFC 5034 4, in a line of 255
   octets at most. */
static void mail__pop3c_auth(mail_pop3c *s, unsigned mech) {
    const char *name = mail_sasl_name(mech);
    char b64[MAIL__SASL_B64];
    s->state = MAIL_POP3C_SASL;
    if (mail__saslc_begin(&s->sasl, mech, mail__pop3c_who(s), 255, b64))
        mail__pop3c_say(s, mail__auth_masked(mech), "AUTH %s %s", name, b64);
    else mail__pop3c_say(s, NULL, "AUTH %s", name);
    mail_wipe(b64, sizeof b64);
}

/* The strongest of what is offered; USER and PASS come last. A server that
   was asked and did not name USER does not want it, here. */
static void mail__pop3c_login(mail_pop3c *s) {
    int show = s->opts.plaintext_ok || s->secure;
    unsigned mech = mail__saslc_choose(s->mechs, s->opts.nonce, show);
    int user = !(s->capa & MAIL_CAPA_KNOWN) || (s->capa & MAIL_CAPA_USER);
    char why[MAIL__WHY];
    if (s->opts.apop) mail__pop3c_apop(s);
    else if (mech) mail__pop3c_auth(s, mech);
    else if (user && show && !mail__pop3c_ascii(s))
        mail__pop3c_no_login(s, MAIL_ERR_UNABLE, "the server takes no name "
                             "and no password in UTF-8");
    else if (user && show) {
        s->state = MAIL_POP3C_USER;
        mail__pop3c_say(s, NULL, "USER %s", s->opts.user);
    } else {
        if (user) mail__add_words(s->offer, sizeof s->offer, mail_s("USER"));
        mail__saslc_why(why, s->mechs | (user ? MAIL_SASL_PLAIN : 0),
                        s->offer);
        mail__pop3c_no_login(s, MAIL_ERR_UNABLE, why);
    }
}

/* "+" SP challenge, RFC 5034 4. */
static void mail__pop3c_challenge(mail_pop3c *s, mail_str text) {
    char b64[MAIL__SASL_B64];
    const char *no = mail__saslc_go(&s->sasl, mail__pop3c_who(s), text, b64);
    if (no) mail__pop3c_no_login(s, MAIL_ERR_PROTOCOL, no);
    else mail__pop3c_say(s, "****", "%s", b64);
    mail_wipe(b64, sizeof b64);
}

/* Whoever can read fields in UTF-8 says so before the login, and after STLS
   (RFC 6856 2.1). */
static void mail__pop3c_may_utf8(mail_pop3c *s) {
    if ((s->capa & MAIL_CAPA_UTF8) && !s->opts.ascii) {
        s->state = MAIL_POP3C_UTF8;
        mail__pop3c_say(s, NULL, "UTF8");
    } else mail__pop3c_login(s);
}

static void mail__pop3c_is_utf8(mail_pop3c *s) {
    s->utf8 = 1;
    mail__pop3c_login(s);
}

/* It is known what the server offers, or that it does not say. The one
   place that decides what comes next. Where TLS is a must the offer is not
   even asked for: somebody in between could strip STLS from it. */
static void mail__pop3c_offered(mail_pop3c *s) {
    if (mail__tls_due(s->opts.tls, s->secure) &&
        (s->capa & MAIL_CAPA_STLS || s->opts.tls == MAIL_TLS_MUST)) {
        s->state = MAIL_POP3C_STLS;
        mail__pop3c_say(s, NULL, "STLS");
    } else mail__pop3c_may_utf8(s);
}

static void mail__pop3c_tls_go(mail_pop3c *s) {
    s->state = MAIL_POP3C_TLS;
    mail__pop3c_event(s, MAIL_EV_TLS, 1);
}

static void mail__pop3c_tls_no(mail_pop3c *s) {
    if (s->opts.tls != MAIL_TLS_MUST) {
        mail__pop3c_may_utf8(s);
        return;
    }
    mail_copy(s->words, sizeof s->words,
              mail_s("TLS is asked for, and the server refuses it"));
    mail__pop3c_over(s, MAIL_ERR_UNABLE);
}

static void mail__pop3c_ask_capa(mail_pop3c *s) {
    s->capa = s->mechs = 0;
    s->lines = 0;
    s->offer[0] = 0;
    s->state = MAIL_POP3C_CAPA;
    mail__pop3c_say(s, NULL, "CAPA");
}

static void mail__pop3c_hello(mail_pop3c *s) {
    if (s->opts.basic || (s->opts.tls == MAIL_TLS_MUST && !s->secure))
        mail__pop3c_offered(s);
    else mail__pop3c_ask_capa(s);
}

static void mail__pop3c_greeted(mail_pop3c *s) {
    mail_str stamp = mail__stamp(mail_s(s->words));
    if (!mail_copy(s->stamp, sizeof s->stamp, stamp)) s->stamp[0] = 0;
    mail__pop3c_hello(s);
}

static void mail__pop3c_capas(mail_pop3c *s) {
    s->capa = MAIL_CAPA_KNOWN;
    s->state = MAIL_POP3C_OFFER;
}

/* A line of the answer to CAPA, RFC 2449 3. A hundred lines are no
   list but a flood. */
static void mail__pop3c_capa(mail_pop3c *s, mail_str line) {
    mail_str rest = line, tag = mail_cut(&rest, ' ');
    if (mail_eq(line, mail_s("."))) mail__pop3c_offered(s);
    else if (s->line.bad || ++s->lines > 100)
        mail__pop3c_over(s, MAIL_ERR_PROTOCOL);
    else if (mail_ieq(tag, mail_s("USER"))) s->capa |= MAIL_CAPA_USER;
    else if (mail_ieq(tag, mail_s("STLS"))) s->capa |= MAIL_CAPA_STLS;
    else if (mail_ieq(tag, mail_s("UTF8")))
        s->capa |= mail_ieq(mail_trim(rest), mail_s("USER"))
                   ? MAIL_CAPA_UTF8 | MAIL_CAPA_UTF8_USER : MAIL_CAPA_UTF8;
    else if (mail_ieq(tag, mail_s("SASL"))) {
        s->mechs |= mail_sasl_list(rest);
        mail__add_words(s->offer, sizeof s->offer, rest);
    }
}

static void mail__pop3c_pass(mail_pop3c *s) {
    s->state = MAIL_POP3C_PASS;
    mail__pop3c_say(s, "PASS ****", "PASS %s", s->opts.password);
}

static void mail__pop3c_ready(mail_pop3c *s) {
    if (s->state == MAIL_POP3C_SASL && !s->sasl.done) {
        mail__pop3c_no_login(s, MAIL_ERR_PROTOCOL, mail__early);
        return;
    }
    mail__saslc_end(&s->sasl, &s->out);      /* of PASS, too */
    s->state = MAIL_POP3C_READY;
    mail__pop3c_event(s, MAIL_EV_READY, 1);
}

/* Whose fault is it? "[IN-USE]", "[LOGIN-DELAY]" and "[SYS/TEMP]" are for now,
   "[SYS/PERM]" until somebody mends it (RFC 2449 8, RFC 3206 4); the rest is
   about the name and the password. */
static void mail__pop3c_denied(mail_pop3c *s) {
    mail_str w = mail_s(s->words);
    mail__pop3c_over(s, mail_starts(w, "[IN-USE]") ? MAIL_ERR_BUSY :
                        mail_starts(w, "[SYS/TEMP]") ||
                        mail_starts(w, "[LOGIN-DELAY]") ? MAIL_ERR_TEMPFAIL :
                        mail_starts(w, "[SYS/PERM]") ? MAIL_ERR_REFUSED
                        : MAIL_ERR_DENIED);
}

static void mail__pop3c_refused(mail_pop3c *s) {
    mail__pop3c_over(s, MAIL_ERR_TEMPFAIL);
}

/* "n value" of STAT, LIST n, UIDL n: the numbers go into the event. */
static void mail__pop3c_numbers(mail_pop3c *s, mail_str line) {
    mail_str n = mail_cut(&line, ' ');
    if (mail_number(n, INT32_MAX, &s->ev.number)) s->ev.number = -1;
    s->ev.text = line;
    n = mail_cut(&line, ' ');
    if (mail_number(n, INT64_MAX, &s->ev.size)) s->ev.size = -1;
}

static void mail__pop3c_one(mail_pop3c *s) {
    s->state = MAIL_POP3C_READY;
    mail__pop3c_event(s, MAIL_EV_DONE, 1);
    mail__pop3c_numbers(s, mail_s(s->words));
}

static void mail__pop3c_none(mail_pop3c *s) {
    s->state = MAIL_POP3C_READY;
    mail__pop3c_event(s, MAIL_EV_DONE, 0);
}

static void mail__pop3c_many(mail_pop3c *s) {
    s->state = s->text_next ? MAIL_POP3C_TEXT : MAIL_POP3C_LIST;
    memset(&s->dot, 0, sizeof s->dot);
    s->dot.lenient = 1;
}

static void mail__pop3c_bye(mail_pop3c *s) {
    mail__pop3c_over(s, MAIL_ERR_OK);
}

static void mail__pop3c_no_bye(mail_pop3c *s) {
    mail__pop3c_over(s, MAIL_ERR_REFUSED);
}

/* What runs on +OK and on -ERR, in each state that waits for one. */
typedef struct mail__pop3c_rule {
    void (*yes)(mail_pop3c *s);
    void (*no)(mail_pop3c *s);
    const char *then, *says;
} mail__pop3c_rule;

static const mail__pop3c_rule mail__pop3c_rules[MAIL_POP3C_COUNT] = {
    {mail__pop3c_greeted, mail__pop3c_refused, "CAPA",
     "+OK: says CAPA; basic: logs in"},
    {mail__pop3c_capas, mail__pop3c_offered, "OFFER",
     "+OK: a list; -ERR: logs in"},
    {NULL, NULL, "STLS, UTF8, SASL or USER", "lines, until a dot alone"},
    {mail__pop3c_tls_go, mail__pop3c_tls_no, "TLS",
     "+OK: TLS; else ends or goes on"},
    {NULL, NULL, "CAPA", "your handshake"},
    {mail__pop3c_is_utf8, mail__pop3c_login, "SASL or USER",
     "either way: logs in"},
    {mail__pop3c_pass, mail__pop3c_denied, "PASS", "+OK: says PASS"},
    {mail__pop3c_ready, mail__pop3c_denied, "READY", "+OK: logged in"},
    {mail__pop3c_ready, mail__pop3c_denied, "READY",
     "+: next step; +OK: logged in"},
    {NULL, NULL, "ONE, MANY or QUIT", "your next command"},
    {mail__pop3c_one, mail__pop3c_none, "READY", "+OK or -ERR"},
    {mail__pop3c_many, mail__pop3c_none, "LIST or TEXT",
     "+OK: more follows; -ERR: none"},
    {NULL, NULL, "READY", "lines, until a dot alone"},
    {NULL, NULL, "READY", "text, until CRLF.CRLF"},
    {mail__pop3c_bye, mail__pop3c_no_bye, "END",
     "+OK: the marked are removed"},
    {NULL, NULL, "", ""}
};

MAIL_DEF int mail_pop3c_row(size_t i, mail_row *row) {
    if (i >= MAIL_POP3C_END) return 0;
    row->name = "";
    row->from = mail_pop3c_state_name((mail_pop3c_state)i);
    row->then = mail__pop3c_rules[i].then;
    row->says = mail__pop3c_rules[i].says;
    return 1;
}

static void mail__pop3c_item(mail_pop3c *s, mail_str line) {
    if (mail_eq(line, mail_s("."))) {
        s->words[0] = 0;
        s->state = MAIL_POP3C_READY;
        mail__pop3c_event(s, MAIL_EV_DONE, 1);
        return;
    }
    if (line.n && line.p[0] == '.') line = mail_sn(line.p + 1, line.n - 1);
    mail__pop3c_event(s, MAIL_EV_ITEM, 1);
    mail__pop3c_numbers(s, line);
}

static void mail__pop3c_line(mail_pop3c *s) {
    const mail__pop3c_rule *r = &mail__pop3c_rules[s->state];
    mail_str line = mail_line_text(&s->line), text;
    int ok;
    s->active = 1;
    mail__pop3c_note(s, MAIL_NOTE_REPLY,
                     mail__saslc_shown(&s->sasl, line, "+ "));
    if (s->state == MAIL_POP3C_LIST) {
        mail__pop3c_item(s, line);
        return;
    }
    if (s->state == MAIL_POP3C_OFFER) {
        mail__pop3c_capa(s, line);
        return;
    }
    if (s->state == MAIL_POP3C_SASL && !s->line.bad && line.n &&
        line.p[0] == '+' && (line.n == 1 || line.p[1] == ' ')) {
        mail__pop3c_challenge(s, mail_trim(mail_sn(line.p + 1, line.n - 1)));
        return;
    }
    if (r->yes == NULL || s->line.bad || mail_status_line(line, &ok, &text)) {
        mail__pop3c_over(s, MAIL_ERR_PROTOCOL);
        return;
    }
    s->words[0] = 0;
    mail__add_words(s->words, sizeof s->words, text);
    (ok ? r->yes : r->no)(s);
}

MAIL_DEF mail_err mail_pop3c_init(mail_pop3c *s, mail_pop3c_opts opts) {
    memset(s, 0, sizeof *s);
    s->active = 1;
    s->opts = opts;
    if (!s->opts.timeout) s->opts.timeout = 60000;
    if (opts.tls == MAIL_TLS_NOW) s->state = MAIL_POP3C_TLS;
    if (opts.user == NULL || opts.password == NULL)
        return s->err = MAIL_ERR_MISUSE;
    if (mail_has_control(mail_s(opts.user)) ||
        mail_has_control(mail_s(opts.password)) ||
        (opts.nonce && !mail__nonce_good(mail_s(opts.nonce))))
        return s->err = MAIL_ERR_SYNTAX;
    if (mail_s(opts.user).n > 200 || mail_s(opts.password).n > 200)
        return s->err = MAIL_ERR_TOOLONG;
    return MAIL_ERR_OK;
}

static size_t mail__pop3c_text(mail_pop3c *s, const char *in, size_t n) {
    mail_str text;
    size_t used = MAIL_DOT_READ(&s->dot, in, n, &text);
    s->active = 1;
    mail__pop3c_note(s, MAIL_NOTE_TEXT, mail_sn(in, used));
    if (text.n) {
        mail__pop3c_event(s, MAIL_EV_TEXT, 1);
        s->ev.text = text;
    } else if (s->dot.end) {
        s->state = MAIL_POP3C_READY;
        mail__pop3c_event(s, MAIL_EV_DONE, 1);
    }
    return used;
}

/* Octets behind an answer when nothing was asked: see mail__smtpc_early. */
static void mail__pop3c_early(mail_pop3c *s) {
    if (s->state == MAIL_POP3C_TLS) {
        s->pending = 0;
        mail_copy(s->words, sizeof s->words,
                  mail_s("octets in clear where TLS should begin"));
    }
    s->early = s->pending;
    if (!s->pending) mail__pop3c_over(s, MAIL_ERR_PROTOCOL);
}

static int mail__pop3c_reads(const mail_pop3c *s) {
    return s->state == MAIL_POP3C_LIST || s->state == MAIL_POP3C_TEXT ||
           s->state == MAIL_POP3C_OFFER;
}

MAIL_DEF size_t mail_pop3c_feed(mail_pop3c *s, const char *in, size_t n) {
    size_t used = 0;
    if (s->state == MAIL_POP3C_TLS && n) mail__pop3c_early(s);
    while (used < n && !s->pending && s->state != MAIL_POP3C_END &&
           s->out.n - s->out.at + 512 <= sizeof s->out.p) {
        if (s->state == MAIL_POP3C_TEXT)
            used += mail__pop3c_text(s, in + used, n - used);
        else {
            if (s->line.done) mail_line_reset(&s->line);
            used += MAIL_LINE_FEED(&s->line, in + used, n - used, 1);
            if (s->line.longer) mail__pop3c_over(s, MAIL_ERR_PROTOCOL);
            if (!s->line.done || s->line.longer) break;
            mail__pop3c_line(s);
        }
        if (used < n && !mail__pop3c_reads(s) && s->state != MAIL_POP3C_END)
            mail__pop3c_early(s);
    }
    return used;
}

MAIL_DEF int mail_pop3c_next(mail_pop3c *s, mail_event *ev) {
    if (!mail__take_event(&s->pending, &s->ev, ev, s->home, s, sizeof *s))
        return 0;
    if (s->early) mail__pop3c_early(s);
    return 1;
}

MAIL_DEF mail_str mail_pop3c_out(const mail_pop3c *s) {
    return mail__out_str(&s->out);
}

MAIL_DEF void mail_pop3c_sent(mail_pop3c *s, size_t n) {
    mail__out_sent(&s->out, n);
    if (n) s->active = 1;
}

MAIL_DEF int64_t mail_pop3c_tick(mail_pop3c *s, int64_t now) {
    int64_t timeout = s->state == MAIL_POP3C_TLS ? MAIL__TLS_TIME
                                                 : s->opts.timeout;
    int64_t due = mail__silent_at(now, timeout, &s->active, &s->since);
    if (now >= due)
        mail__pop3c_over(s, s->state == MAIL_POP3C_TLS ? MAIL_ERR_TLS
                                                       : MAIL_ERR_TIMEOUT);
    return due;
}

MAIL_DEF mail_err mail_pop3c_tls(mail_pop3c *s, mail_err e,
                                 const char *why) {
    if (s->state != MAIL_POP3C_TLS || s->out.n || s->pending)
        return MAIL_ERR_MISUSE;
    s->words[0] = 0;
    if (e) {
        mail__add_words(s->words, sizeof s->words, mail_s(why));
        mail__pop3c_over(s, e);
        return MAIL_ERR_OK;
    }
    s->secure = s->active = 1;
    s->capa = s->mechs = 0;
    if (s->opts.tls == MAIL_TLS_NOW) s->state = MAIL_POP3C_GREET;
    else mail__pop3c_hello(s);
    return MAIL_ERR_OK;
}

/* Sends "VERB" or "VERB n" and waits in that state. */
static mail_err mail__pop3c_ask(mail_pop3c *s, const char *verb, int64_t n,
                                mail_pop3c_state then, int text) {
    mail_pop3c_state was = s->state;
    mail_err e;
    if (s->state != MAIL_POP3C_READY)
        return s->state == MAIL_POP3C_END ? MAIL_ERR_MISUSE : MAIL_ERR_MORE;
    if (s->pending || n < 0) return MAIL_ERR_MISUSE;
    s->state = then;
    s->text_next = (unsigned char)text;
    e = n ? mail__pop3c_say(s, NULL, "%s %lld", verb, (long long)n)
          : mail__pop3c_say(s, NULL, "%s", verb);
    if (e) s->state = was;
    return e;
}

MAIL_DEF mail_err mail_pop3c_stat(mail_pop3c *s) {
    return mail__pop3c_ask(s, "STAT", 0, MAIL_POP3C_ONE, 0);
}

MAIL_DEF mail_err mail_pop3c_list(mail_pop3c *s, int64_t n) {
    return mail__pop3c_ask(s, "LIST", n, n ? MAIL_POP3C_ONE
                                           : MAIL_POP3C_MANY, 0);
}

MAIL_DEF mail_err mail_pop3c_uidl(mail_pop3c *s, int64_t n) {
    return mail__pop3c_ask(s, "UIDL", n, n ? MAIL_POP3C_ONE
                                           : MAIL_POP3C_MANY, 0);
}

MAIL_DEF mail_err mail_pop3c_retr(mail_pop3c *s, int64_t n) {
    if (n == 0) return MAIL_ERR_MISUSE;
    return mail__pop3c_ask(s, "RETR", n, MAIL_POP3C_MANY, 1);
}

MAIL_DEF mail_err mail_pop3c_dele(mail_pop3c *s, int64_t n) {
    if (n == 0) return MAIL_ERR_MISUSE;
    return mail__pop3c_ask(s, "DELE", n, MAIL_POP3C_ONE, 0);
}

MAIL_DEF mail_err mail_pop3c_quit(mail_pop3c *s) {
    return mail__pop3c_ask(s, "QUIT", 0, MAIL_POP3C_QUIT, 0);
}

/* No answer to QUIT: the marks may count or may not. It is an error; what
   was taken is durable here, so nothing is lost either way. */
MAIL_DEF void mail_pop3c_eof(mail_pop3c *s) {
    mail__pop3c_over(s, MAIL_ERR_CLOSED);
}

/* --- delete mode and keep mode ----------------------------------------- */

MAIL_DEF mail_err mail_fetcher_init(mail_fetcher *f, mail_fetcher_opts opts) {
    memset(f, 0, sizeof *f);
    f->opts = opts;
    if (!f->opts.max_size) f->opts.max_size = 50 * 1024 * 1024;
    if (opts.seen) memset(opts.seen, 0, opts.seen_size);
    return f->err = mail_pop3c_init(&f->pop3, opts.pop3);
}

/* What is known of a message, in two bits of f->opts.seen: it is new; it is
   here already; it is, and may go in keep mode, too; DELE was said and
   answered. */
enum { MAIL__UNSEEN, MAIL__HERE, MAIL__OLD, MAIL__MARKED };

static size_t mail__fetch_room(const mail_fetcher *f) {
    return (f->opts.seen ? f->opts.seen_size : sizeof f->own) * 4;
}

static int mail__fetch_known(const mail_fetcher *f, int64_t number) {
    const unsigned char *seen = f->opts.seen ? f->opts.seen : f->own;
    size_t i = (size_t)(number - 1);
    return seen[i / 4] >> (i % 4 * 2) & 3;
}

static void mail__fetch_learn(mail_fetcher *f, int64_t number, int what) {
    size_t i = (size_t)(number - 1);
    unsigned char *at = (f->opts.seen ? f->opts.seen : f->own) + i / 4;
    *at = (unsigned char)((*at & ~(3 << (i % 4 * 2))) | what << (i % 4 * 2));
}

MAIL_DEF int mail_fetcher_marked(const mail_fetcher *f, int64_t n) {
    return n > 0 && n <= f->count && mail__fetch_known(f, n) == MAIL__MARKED;
}

static void mail__fetch_fail(mail_fetcher *f, mail_err e) {
    if (f->err || !e) return;
    f->err = e;
    f->failed = f->step;
    mail_copy(f->words, sizeof f->words, mail_s(f->pop3.words));
}

static void mail__fetch_quit(mail_fetcher *f) {
    f->step = MAIL_FETCH_QUIT;
    mail_pop3c_quit(&f->pop3);
}

static void mail__fetch_retr(mail_fetcher *f) {
    f->step = MAIL_FETCH_RETR;
    f->size = 0;
    mail_pop3c_retr(&f->pop3, f->number);
}

/* If one of them may be too large, its size is asked first. */
static void mail__fetch_take(mail_fetcher *f) {
    if (f->octets <= f->opts.max_size) mail__fetch_retr(f);
    else {
        f->step = MAIL_FETCH_LIST;
        mail_pop3c_list(&f->pop3, f->number);
    }
}

/* What now: RETR, DELE (of f->number) or QUIT? f->step is over; ok: as it
   should be. A message that is durable here is marked in delete mode; then the
   next that is new is taken, and one that is known and may go is marked; then
   QUIT, which makes the marks count. */
static mail_fetch_step mail__fetch_plan(mail_fetcher *f, int ok) {
    if (f->step == MAIL_FETCH_STORE && !ok) return MAIL_FETCH_QUIT;
    if (f->step == MAIL_FETCH_STORE && !f->opts.keep) return MAIL_FETCH_DELE;
    while (++f->number <= f->count) {
        int known = mail__fetch_known(f, f->number);
        if (known == MAIL__UNSEEN) return MAIL_FETCH_RETR;
        if (!f->opts.keep || known == MAIL__OLD) return MAIL_FETCH_DELE;
    }
    return MAIL_FETCH_QUIT;
}

static void mail__fetch_on_to(mail_fetcher *f, int ok) {
    mail_fetch_step next = MAIL_FETCH_PLAN(f, ok);
    if (next == MAIL_FETCH_RETR) mail__fetch_take(f);
    else if (next == MAIL_FETCH_DELE) {
        f->step = MAIL_FETCH_DELE;
        mail_pop3c_dele(&f->pop3, f->number);
    } else mail__fetch_quit(f);
}

/* STAT has answered. More messages than there are bits wait for the next
   run; in keep mode they would wait for ever, so that is said. */
static void mail__fetch_counted(mail_fetcher *f, const mail_event *ev) {
    int64_t most = (int64_t)mail__fetch_room(f), i;
    if (!ev->code || ev->number < 0 || ev->size < 0) {
        mail__fetch_fail(f, MAIL_ERR_PROTOCOL);
        mail__fetch_quit(f);
        return;
    }
    f->count = ev->number;
    f->octets = ev->size;
    f->uids = f->count + 1000;
    if (f->count > most) {
        if (f->opts.keep) mail__fetch_fail(f, MAIL_ERR_TOOLONG);
        f->count = most;
    }
    /* In keep mode a message that UIDL does not name cannot be remembered,
       so it is not taken: it is here, until its UID proves to be new. */
    for (i = 1; f->opts.keep && i <= f->count; i++)
        mail__fetch_learn(f, i, MAIL__HERE);
    if (f->count && (f->opts.keep || f->opts.ledger)) {
        f->step = MAIL_FETCH_UIDL;
        mail_pop3c_uidl(&f->pop3, 0);
    } else mail__fetch_on_to(f, 1);
}

/* A line of UIDL: returns 1 if it is to be asked about. A UID is 1 to 70
   octets of 0x21..0x7E (RFC 1939 7). A number past the count was said by a
   server that lies, or is past what this run can hold: not asked about. But a
   listing with a thousand lines too many is one without end. */
static int mail__fetch_uid(mail_fetcher *f, const mail_event *in) {
    size_t i;
    if (f->uids-- == 0) {
        mail__fetch_fail(f, MAIL_ERR_PROTOCOL);
        mail__pop3c_over(&f->pop3, MAIL_ERR_PROTOCOL);
        return 0;
    }
    int good = in->number >= 1 && in->text.n >= 1 && in->text.n <= 70;
    for (i = 0; good && i < in->text.n; i++)
        good = in->text.p[i] >= 0x21 && in->text.p[i] <= 0x7e;
    if (!good) mail__fetch_fail(f, MAIL_ERR_PROTOCOL);
    if (!good || in->number > f->count) return 0;
    mail_copy(f->uid, sizeof f->uid, in->text);
    f->asked = in->number;
    return 1;
}

static int mail__fetch_ask(mail_fetcher *f, mail_event *ev,
                           mail_event_kind kind, int64_t number) {
    memset(ev, 0, sizeof *ev);
    ev->kind = kind;
    ev->number = number;
    ev->size = f->size;
    if (kind == MAIL_EV_HAVE) ev->text = mail_s(f->uid);
    f->waiting = 1;
    return 1;
}

/* A command of the run is answered. Returns 1 with an event for the owner. */
static int mail__fetch_done(mail_fetcher *f, const mail_event *in,
                            mail_event *ev) {
    switch (f->step) {
    case MAIL_FETCH_STAT:
        mail__fetch_counted(f, in);
        return 0;
    case MAIL_FETCH_UIDL:
        if (!in->code && f->opts.keep) mail__fetch_fail(f, MAIL_ERR_UNABLE);
        if (f->err && f->err != MAIL_ERR_TOOLONG) mail__fetch_quit(f);
        else mail__fetch_on_to(f, 1);
        return 0;
    case MAIL_FETCH_LIST:
        if (in->code && in->size <= f->opts.max_size) mail__fetch_retr(f);
        else {                       /* it stays there, and the next comes */
            f->skipped++;
            mail__fetch_on_to(f, 0);
        }
        return 0;
    case MAIL_FETCH_RETR:
        if (in->code) {
            f->step = MAIL_FETCH_STORE;
            return mail__fetch_ask(f, ev, MAIL_EV_STORE, f->number);
        }
        f->skipped++;                /* refused: it stays there, unmarked */
        mail__fetch_on_to(f, 0);
        return 0;
    default:
        if (f->step == MAIL_FETCH_DELE && in->code) {
            f->removed++;
            mail__fetch_learn(f, f->number, MAIL__MARKED);
        }
        mail__fetch_on_to(f, in->code);
        return 0;
    }
}

static int mail__fetch_event(mail_fetcher *f, const mail_event *in,
                             mail_event *ev) {
    switch (in->kind) {
    case MAIL_EV_TLS:
        *ev = *in;
        return 1;
    case MAIL_EV_READY:
        f->step = MAIL_FETCH_STAT;
        mail_pop3c_stat(&f->pop3);
        return 0;
    case MAIL_EV_ITEM:
        return mail__fetch_uid(f, in) &&
               mail__fetch_ask(f, ev, MAIL_EV_HAVE, f->asked);
    case MAIL_EV_TEXT:
        f->size += (int64_t)in->text.n;
        if (f->size > f->opts.max_size) {
            mail__fetch_fail(f, MAIL_ERR_TOOLONG);
            mail__pop3c_over(&f->pop3, MAIL_ERR_TOOLONG);
            return 0;
        }
        *ev = *in;
        ev->number = f->number;
        return 1;
    case MAIL_EV_DONE:
        return mail__fetch_done(f, in, ev);
    default:                                            /* CLOSED */
        mail__fetch_fail(f, f->pop3.err);
        f->step = MAIL_FETCH_END;
        *ev = *in;
        return 1;
    }
}

MAIL_DEF size_t mail_fetcher_feed(mail_fetcher *f, const char *in, size_t n) {
    return f->waiting ? 0 : mail_pop3c_feed(&f->pop3, in, n);
}

MAIL_DEF int mail_fetcher_next(mail_fetcher *f, mail_event *ev) {
    mail_event in;
    while (!f->waiting && mail_pop3c_next(&f->pop3, &in))
        if (mail__fetch_event(f, &in, ev)) return 1;
    return 0;
}

MAIL_DEF mail_str mail_fetcher_out(const mail_fetcher *f) {
    return mail_pop3c_out(&f->pop3);
}

MAIL_DEF void mail_fetcher_sent(mail_fetcher *f, size_t n) {
    mail_pop3c_sent(&f->pop3, n);
}

MAIL_DEF int64_t mail_fetcher_tick(mail_fetcher *f, int64_t now) {
    if (f->waiting) f->pop3.active = 1;
    return mail_pop3c_tick(&f->pop3, now);
}

MAIL_DEF mail_err mail_fetcher_tls(mail_fetcher *f, mail_err e,
                                   const char *why) {
    return mail_pop3c_tls(&f->pop3, e, why);
}

MAIL_DEF void mail_fetcher_eof(mail_fetcher *f) { mail_pop3c_eof(&f->pop3); }

MAIL_DEF mail_err mail_fetcher_answer(mail_fetcher *f, mail_err e) {
    if (!f->waiting) return MAIL_ERR_MISUSE;
    f->waiting = 0;
    if (f->step == MAIL_FETCH_UIDL) {
        mail__fetch_learn(f, f->asked, e == MAIL_ERR_OK ? MAIL__HERE :
                          e == MAIL_ERR_EXISTS ? MAIL__OLD : MAIL__UNSEEN);
        return MAIL_ERR_OK;
    }
    if (e) mail__fetch_fail(f, e);   /* not durable: so not marked either */
    else f->taken++;
    mail__fetch_on_to(f, e == MAIL_ERR_OK);
    return MAIL_ERR_OK;
}

/* ======================================================================
   [BOX]
   ====================================================================== */

MAIL_DEF void mail_box_name(mail_buf *b, int64_t time, const char *unique,
                            const char *host, int64_t s, int64_t w) {
    size_t i;
    mail_buf_fmt(b, "%lld.%s.", (long long)time, unique);
    for (i = 0; i < 60 && host[i]; i++)
        mail_buf_add(b, strchr("/:,", host[i]) ? mail_s("_")
                                               : mail_sn(host + i, 1));
    mail_buf_fmt(b, ",S=%lld,W=%lld", (long long)s, (long long)w);
}

MAIL_DEF void mail_box_uid(mail_str name, char uid[72]) {
    unsigned char digest[32];
    mail_sha256 m;
    size_t n = 0, i;
    int plain = 1;
    while (n < name.n && name.p[n] != ',' && name.p[n] != ':') {
        if (name.p[n] < 0x21 || name.p[n] > 0x7e) plain = 0;
        n++;
    }
    if (plain && n > 0 && n <= 70) {
        mail_copy(uid, 72, mail_sn(name.p, n));
        return;
    }
    mail_sha256_init(&m);
    mail_sha256_add(&m, mail_sn(name.p, n));
    mail_sha256_end(&m, digest);
    for (i = 0; i < 32; i++)
        snprintf(uid + 2 * i, 3, "%02x", (unsigned)digest[i]);
}

MAIL_DEF int64_t mail_box_size(mail_str name, char which) {
    mail_str base = mail_cut(&name, ':');
    int64_t v;
    mail_cut(&base, ',');
    while (base.n) {
        mail_str part = mail_cut(&base, ',');
        if (part.n > 2 && part.p[0] == which && part.p[1] == '=' &&
            mail_number(mail_sn(part.p + 2, part.n - 2), INT64_MAX,
                        &v) == MAIL_ERR_OK) return v;
    }
    return -1;
}

/* A CR is held back until it is known whether an LF follows. */
MAIL_DEF size_t mail_to_lf_feed(mail_to_lf *t, const char *in, size_t n,
                                char *out) {
    size_t used = 0, m = 0;
    while (used < n) {
        const char *cr;
        size_t k;
        if (t->cr && in[used] != '\n') out[m++] = '\r';
        t->cr = 0;
        cr = (const char *)memchr(in + used, '\r', n - used);
        k = cr ? (size_t)(cr - in) - used : n - used;
        memcpy(out + m, in + used, k);
        m += k;
        used += k;
        if (cr) t->cr = 1, used++;
    }
    return m;
}

MAIL_DEF size_t mail_to_lf_end(mail_to_lf *t, char *out) {
    size_t n = t->cr;
    if (n) out[0] = '\r';
    t->cr = 0;
    return n;
}

/* ">" go as they come, for all that a line begins with are alike; of "From "
   what has come is held back. inside a line: 2 if it is ">" so far. */
MAIL_DEF size_t mail_mbox_feed(mail_mbox *m, const char *in, size_t n,
                               char *out) {
    static const char from[] = "From ";
    size_t i, k = 0;
    for (i = 0; i < n; i++) {
        if (m->inside != 1 && !(m->at == 0 && in[i] == '>')) {
            if (in[i] == from[m->at] && ++m->at < 5) continue;
            m->inside = 1;
            if (m->at == 5) {
                memcpy(out + k, ">From", 5);
                k += 5;
            } else memcpy(out + k, from, m->at), k += m->at;
            m->at = 0;
        }
        out[k++] = in[i];
        if (m->inside == 0) m->inside = 2;
        if (in[i] == '\n') m->inside = 0;
    }
    return k;
}

MAIL_DEF size_t mail_mbox_end(mail_mbox *m, char *out) {
    size_t k = m->at;
    memcpy(out, "From", k);
    if (m->inside || k) out[k++] = '\n';
    out[k++] = '\n';
    memset(m, 0, sizeof *m);
    return k;
}

/* What asctime says, in UTC, without its static buffer. */
MAIL_DEF void mail_mbox_from(mail_buf *b, int64_t seconds) {
    char rfc[40];
    mail_buf d = mail_buf_on(rfc, sizeof rfc - 1);
    mail_date(&d, seconds, 0);                    /* Thu, 01 Jan 2026 ... */
    rfc[d.n] = 0;
    mail_buf_fmt(b, "From MAILER-DAEMON %.3s %.3s %c%c %.8s %.4s\n", rfc,
                 rfc + 8, rfc[5] == '0' ? ' ' : rfc[5], rfc[6], rfc + 17,
                 rfc + 12);
}

MAIL_DEF mail_err mail_ledger_read(mail_str line, mail_ledger *out) {
    out->account = mail_cut(&line, ' ');
    out->uid = mail_cut(&line, ' ');
    out->time = 0;
    if (out->account.n == 0 || out->uid.n == 0 ||
        mail_has_control(out->account) || mail_has_control(out->uid) ||
        (line.n && mail_number(line, INT64_MAX, &out->time)))
        return MAIL_ERR_SYNTAX;
    return MAIL_ERR_OK;
}

MAIL_DEF void mail_ledger_write(mail_buf *b, const mail_ledger *l) {
    mail_buf_add(b, l->account);
    mail_buf_add(b, mail_s(" "));
    mail_buf_add(b, l->uid);
    if (l->time) mail_buf_fmt(b, " %lld", (long long)l->time);
}

/* ======================================================================
   [QUEUE]
   ====================================================================== */

MAIL_DEF void mail_id_write(char id[MAIL_ID_SIZE], int64_t time,
                            uint32_t run, uint32_t number) {
    /* Padded, so that names of one second sort as they came. */
    snprintf(id, MAIL_ID_SIZE, "%llX-%08lX-%06lX", (unsigned long long)time,
             (unsigned long)run, (unsigned long)number);
}

/* Hexadecimal digits in capitals, at most 16. */
static mail_err mail__hex_read(mail_str s, uint64_t *value) {
    size_t i;
    *value = 0;
    if (s.n == 0 || s.n > 16) return MAIL_ERR_SYNTAX;
    for (i = 0; i < s.n; i++) {
        int c = mail__hex_digit(s.p[i]);
        if (c < 0) return MAIL_ERR_SYNTAX;
        *value = *value << 4 | (uint64_t)c;
    }
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_id_read(mail_str name, int64_t *time, uint32_t *run,
                               uint32_t *number) {
    mail_str rest = name, a = mail_cut(&rest, '-'), b = mail_cut(&rest, '-');
    uint64_t x, y, z;
    char id[MAIL_ID_SIZE];
    if (mail__hex_read(a, &x) || mail__hex_read(b, &y) ||
        mail__hex_read(rest, &z) || x > INT64_MAX || y > UINT32_MAX ||
        z > UINT32_MAX) return MAIL_ERR_SYNTAX;
    *time = (int64_t)x;
    *run = (uint32_t)y;
    *number = (uint32_t)z;
    mail_id_write(id, *time, *run, *number);
    return mail_eq(mail_s(id), name) ? MAIL_ERR_OK : MAIL_ERR_SYNTAX;
}

static const char *const mail__fate_words[] = {
#define MAIL__X(name, word, text) word,
    MAIL_FATES(MAIL__X)
#undef MAIL__X
};

MAIL_DEF const char *mail_fate_word(mail_fate f) {
    return (unsigned)f < MAIL_FATE_COUNT ? mail__fate_words[f] : "?";
}

static const struct { char which; const char *key; } mail__queue_keys[] = {
    { 'q', "mail-queue" }, { 'i', "id" }, { 't', "text" }, { 'f', "from" },
    { 'r', "to" }, { 'o', "alias" }, { 'g', "group" }, { 'a', "about" },
    { 'l', "late" }, { 'd', "delivered" }, { 'y', "relayed" },
    { 'e', "expanded" }
};

MAIL_DEF void mail_queue_write(mail_buf *b, const mail_queue_line *q) {
    const char *key = "";
    size_t i;
    for (i = 0; i < sizeof mail__queue_keys / sizeof *mail__queue_keys; i++)
        if (mail__queue_keys[i].which == q->which)
            key = mail__queue_keys[i].key;
    mail_buf_add(b, mail_s(key));
    switch (q->which) {
    case 'q':
        mail_buf_add(b, mail_s(" 3"));
        break;
    case 'i':
        mail_buf_fmt(b, " %.*s", MAIL_ARG(q->text));
        break;
    case 't':
        mail_buf_fmt(b, " %lld %lld %d%s", (long long)q->size,
                     (long long)q->wire, q->eight ? 8 : 7,
                     q->apart ? " apart" : "");
        break;
    case 'f':
    case 'r':
    case 'g':
    case 'o':
        mail_buf_add(b, mail_s(" "));
        mail_path_write(b, &q->path);
        mail_param_write(b, &q->param);
        break;
    case 'a':
    case 'l':
    case 'd':
    case 'y':
    case 'e':
        mail_buf_fmt(b, " %.*s %lld", MAIL_ARG(q->text),
                     (long long)q->number);
        break;
    default:
        break;
    }
    mail_buf_add(b, mail_s("\n"));
}

static mail_err mail__queue_text(mail_str s, mail_queue_line *out) {
    mail_str size = mail_cut(&s, ' '), wire = mail_cut(&s, ' ');
    mail_str bits = mail_cut(&s, ' ');
    out->eight = mail_eq(bits, mail_s("8"));
    out->apart = mail_eq(s, mail_s("apart"));
    if (mail_number(size, INT64_MAX, &out->size) ||
        mail_number(wire, INT64_MAX, &out->wire) ||
        (!out->eight && !mail_eq(bits, mail_s("7"))) ||
        (s.n && !out->apart)) return MAIL_ERR_SYNTAX;
    return MAIL_ERR_OK;
}

/* "<a@b> RET=HDRS ENVID=x", as behind MAIL FROM: */
static mail_err mail__queue_path(mail_str s, mail_queue_line *out) {
    mail_str rest;
    mail_err e = mail_path_read(s, &out->path, &rest);
    if (!e && rest.n && (rest.p[0] != ' ' || out->which == 'o'))
        e = MAIL_ERR_SYNTAX;
    if (!e) mail_cut(&rest, ' ');
    while (!e && rest.n)
        if (mail_param_read(&out->param, mail_cut(&rest, ' '),
                            out->which != 'f')) e = MAIL_ERR_SYNTAX;
    return e;
}

MAIL_DEF mail_err mail_queue_read(mail_str line, mail_queue_line *out) {
    mail_str value = line, key = mail_cut(&value, ' ');
    size_t i;
    memset(out, 0, sizeof *out);
    if (line.n == 0) return MAIL_ERR_OK;
    for (i = 0; i < sizeof mail__queue_keys / sizeof *mail__queue_keys; i++)
        if (mail_eq(key, mail_s(mail__queue_keys[i].key)))
            out->which = mail__queue_keys[i].which;
    out->text = value;
    switch (out->which) {
    case 'q':
        return mail_eq(value, mail_s("2")) || mail_eq(value, mail_s("3"))
               ? MAIL_ERR_OK : MAIL_ERR_SYNTAX;
    case 'i':
        return MAIL_ERR_OK;
    case 't':
        return mail__queue_text(value, out);
    case 'f':
    case 'r':
    case 'g':
    case 'o':
        return mail__queue_path(value, out);
    case 'a':
    case 'l':
    case 'd':
    case 'y':
    case 'e':
        out->text = mail_cut(&value, ' ');
        return mail_number(value, 100000, &out->number);
    default:
        return MAIL_ERR_SYNTAX;
    }
}

MAIL_DEF void mail_state_write(mail_buf *b, const mail_state_line *s) {
    char words[512] = "";
    mail__add_words(words, sizeof words, s->words);
    mail_buf_fmt(b, "%lld %s %lld %lld %s\n", (long long)s->n,
                 mail_fate_word(s->fate), (long long)s->tries,
                 (long long)s->code, words);
}

MAIL_DEF mail_err mail_state_read(mail_str line, mail_state_line *out) {
    mail_str n = mail_cut(&line, ' '), fate = mail_cut(&line, ' ');
    mail_str tries = mail_cut(&line, ' '), code = mail_cut(&line, ' ');
    int i;
    out->words = line;
    for (i = 0; i < MAIL_FATE_COUNT; i++)
        if (mail_eq(fate, mail_s(mail__fate_words[i]))) break;
    if (i == MAIL_FATE_COUNT) return MAIL_ERR_SYNTAX;
    out->fate = (mail_fate)i;
    if (mail_number(n, 100000, &out->n) ||
        mail_number(tries, 1000000, &out->tries) ||
        mail_number(code, 999, &out->code)) return MAIL_ERR_SYNTAX;
    return MAIL_ERR_OK;
}

MAIL_DEF int64_t mail_retry_after(int64_t tries, int64_t first,
                                  int64_t max) {
    int64_t t = first;
    while (tries-- > 1 && t < max) t *= 2;
    return t < max ? t : max;
}

/* The beginning of MD5 over the salt, what is there of the head, the body:
   against damage, and against what is old; it keeps no secret. digits: 8 or
   16, and a NUL. */
static void mail__record_sum(char *sum, size_t digits, mail_str salt,
                             mail_str head, mail_str body) {
    unsigned char digest[16];
    mail_md5 m;
    size_t i;
    mail_md5_init(&m);
    mail_md5_add(&m, salt);
    mail_md5_add(&m, head);
    mail_md5_add(&m, body);
    mail_md5_end(&m, digest);
    for (i = 0; i < digits / 2; i++)
        snprintf(sum + 2 * i, 3, "%02X", (unsigned)digest[i]);
}

MAIL_DEF void mail_record_write(char head[MAIL_RECORD_HEAD], char kind,
                                uint64_t lap, mail_str salt, mail_str body) {
    char line[MAIL_RECORD_HEAD + 1];
    if (kind == 'S') salt.n = 0;
    snprintf(line, sizeof line, "mail %c %016llX %08lX ", kind,
             (unsigned long long)lap, (unsigned long)body.n);
    mail__record_sum(line + 33, 8, salt, mail_sn(line, 33), mail_sn("", 0));
    line[41] = ' ';
    mail__record_sum(line + 42, 16, salt, mail_sn(line, 42), body);
    line[58] = '\n';
    memcpy(head, line, MAIL_RECORD_HEAD);
}

/* The head has a sum of its own: what a peer may have sent to look like one
   costs next to nothing. */
MAIL_DEF size_t mail_record_read(mail_str s, uint64_t *lap, mail_str salt,
                                 char *kind, mail_str *body) {
    uint64_t its, n;
    char sum[17];
    if (s.n < MAIL_RECORD_HEAD || memcmp(s.p, "mail ", 5) != 0) return 0;
    *kind = s.p[5];
    if (s.p[6] != ' ' || s.p[23] != ' ' || s.p[32] != ' ' ||
        s.p[41] != ' ' || s.p[58] != '\n' ||
        mail__hex_read(mail_sn(s.p + 7, 16), &its) ||
        mail__hex_read(mail_sn(s.p + 24, 8), &n) ||
        n > s.n - MAIL_RECORD_HEAD ||
        n > MAIL_RECORD_MAX - MAIL_RECORD_HEAD) return 0;
    if (*kind == 'S') salt.n = 0;
    else if (its != *lap) return 0;
    mail__record_sum(sum, 8, salt, mail_sn(s.p, 33), mail_sn("", 0));
    if (memcmp(sum, s.p + 33, 8) != 0) return 0;
    *body = mail_sn(s.p + MAIL_RECORD_HEAD, (size_t)n);
    mail__record_sum(sum, 16, salt, mail_sn(s.p, 42), *body);
    if (memcmp(sum, s.p + 42, 16) != 0) return 0;
    *lap = its;
    return MAIL_RECORD_HEAD + (size_t)n;
}

/* ======================================================================
   [ROUTE]
   ====================================================================== */

enum { MAIL__HOP_SIZE = MAIL_NAME_SIZE + 8 };

MAIL_DEF mail_err mail_host_port(mail_str s, mail_str *host, int *port) {
    mail_str rest = s;
    int64_t v;
    *host = mail_sn(s.p, 0);
    if (s.n && s.p[0] == '[') {                       /* [::1]:PORT */
        rest = mail_sn(s.p + 1, s.n - 1);
        *host = mail_cut(&rest, ']');
        if (rest.n < 2 || rest.p[0] != ':') return MAIL_ERR_SYNTAX;
        rest = mail_sn(rest.p + 1, rest.n - 1);
    } else if (s.n && memchr(s.p, ':', s.n)) *host = mail_cut(&rest, ':');
    if (mail_number(rest, 65535, &v)) return MAIL_ERR_SYNTAX;
    *port = (int)v;
    return MAIL_ERR_OK;
}

static int mail__our_domain(const mail_routing *r, const char *domain) {
    size_t i;
    for (i = 0; i < r->ndomains; i++)
        if (mail_domain_same(mail_s(domain), mail_s(r->domains[i])))
            return 1;
    return domain[0] == 0;                            /* <postmaster> */
}

/* NAME@DOMAIN: in lower case, +detail stripped. No % and no ! is obeyed:
   they are letters of a name that nobody has. */
static mail_route_kind mail__local_user(const mail_routing *r,
                                        const char *local, char *to) {
    size_t i;
    for (i = 0; local[i] && local[i] != '+'; i++)
        to[i] = mail__lower(local[i]);
    to[i] = 0;
    if (mail_user_ok(mail_sn(to, i)) && r->is_user(r->ctx, to))
        return MAIL_ROUTE_LOCAL;
    if (r->catch_all == NULL || !r->is_user(r->ctx, r->catch_all))
        return MAIL_ROUTE_NO_USER;
    mail_copy(to, MAIL_USER_SIZE, mail_s(r->catch_all));
    return MAIL_ROUTE_LOCAL;
}

/* Mailboxes that are on other machines: who has one is known from the users
   here, if there are any. The name goes there as it came, +detail and all. */
static mail_route_kind mail__lmtp_user(const mail_routing *r,
                                       const char *local, char *to) {
    mail_route_kind k = r->any_user ? MAIL_ROUTE_LOCAL
                                    : mail__local_user(r, local, to);
    if (k != MAIL_ROUTE_LOCAL) return k;
    snprintf(to, MAIL__HOP_SIZE, "lmtp:%s%s", r->lmtp[0] == ':' ? "127.0.0.1" :
             strchr(r->lmtp, ':') || r->lmtp[0] == '/' ? "" : "127.0.0.1:",
             r->lmtp);
    return MAIL_ROUTE_RELAY;
}

MAIL_DEF mail_route_kind mail_route_find(const mail_routing *r,
                                         const mail_path *rcpt,
                                         int may_relay, char *to) {
    const char *hop = r->smarthost;
    size_t i;
    to[0] = 0;
    if (mail__our_domain(r, rcpt->domain))
        return r->lmtp ? mail__lmtp_user(r, rcpt->local, to)
                       : mail__local_user(r, rcpt->local, to);
    if (!may_relay) return MAIL_ROUTE_DENIED;
    for (i = 0; i < r->nroutes; i++)
        if (mail_domain_same(mail_s(rcpt->domain),
                             mail_s(r->routes[i].domain))) {
            hop = r->routes[i].hop;
            break;
        }
    if (hop)                                  /* a port alone is here */
        snprintf(to, MAIL__HOP_SIZE, "%s%s", hop[0] == ':' ? "127.0.0.1" :
                 strchr(hop, ':') ? "" : "127.0.0.1:", hop);
    else if (mail_starts(mail_s(rcpt->domain), "[IPv6:"))
        snprintf(to, MAIL__HOP_SIZE, "[%s:25", rcpt->domain + 6);
    else if (rcpt->domain[0] == '[')
        snprintf(to, MAIL__HOP_SIZE, "%.*s:25",
                 (int)strlen(rcpt->domain) - 2, rcpt->domain + 1);
    else mail_domain_ascii(mail_s(rcpt->domain), to);
    return MAIL_ROUTE_RELAY;
}

MAIL_DEF mail_err mail_relay_check(mail_str nets, mail_str *bad) {
    while (nets.n) {
        mail_net net;
        *bad = mail_cut(&nets, ' ');
        if (bad->n == 0) continue;
        if (mail_net_read(*bad, &net)) return MAIL_ERR_SYNTAX;
        if (net.bits < (mail__is_v4(&net.at) ? 96 + 8 : 16))
            return MAIL_ERR_MISUSE;
    }
    return MAIL_ERR_OK;
}

MAIL_DEF int mail_relay_has(mail_str nets, mail_str address) {
    mail_address a;
    if (mail_address_read(address, &a)) return 0;
    while (nets.n) {
        mail_net net;
        if (mail_net_read(mail_cut(&nets, ' '), &net) == MAIL_ERR_OK &&
            mail_net_has(&net, &a)) return 1;
    }
    return 0;
}

MAIL_DEF int mail_hop_is_host(const char *hop) {
    return strchr(hop, ':') != NULL;
}

MAIL_DEF const char *mail_hop_lmtp(const char *hop) {
    return mail_starts(mail_s(hop), "lmtp:") ? hop + 5 : NULL;
}

MAIL_DEF mail_err mail_lmtp_check(const char *lmtp) {
    mail_str host;
    int port;
    if (mail_has_control(mail_s(lmtp))) return MAIL_ERR_SYNTAX;
    if (lmtp[0] == '/')
        return strlen(lmtp) > 100 ? MAIL_ERR_SYNTAX : MAIL_ERR_OK;
    if (mail_host_port(mail_s(lmtp), &host, &port) || port == 0 ||
        host.n >= MAIL_DOMAIN_SIZE) return MAIL_ERR_SYNTAX;
    return port == 25 ? MAIL_ERR_MISUSE : MAIL_ERR_OK;
}

static const struct { int code; const char *text; } mail__verdicts[] = {
#define MAIL__X(name, code, text) { code, text },
    MAIL_VERDICTS(MAIL__X)
#undef MAIL__X
};

MAIL_DEF int mail_verdict_code(mail_verdict v) {
    return (unsigned)v < MAIL_VERDICT_COUNT ? mail__verdicts[v].code : 451;
}

MAIL_DEF const char *mail_verdict_text(mail_verdict v) {
    return (unsigned)v < MAIL_VERDICT_COUNT ? mail__verdicts[v].text : "?";
}

/* A number that nobody can foresee without chance: which of the hosts with
   one preference comes first. */
static uint32_t mail__shuffle(uint32_t chance, uint32_t i) {
    uint32_t x = chance + i * 0x9E3779B9u;
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    return x ^ x >> 16;
}

static int mail__mx_usable(const mail_rr *r) {
    return r->type == MAIL_RR_MX && r->data[0] != '[' &&
           !mail__is_8bit(mail_s(r->data)) && mail_domain_ok(mail_s(r->data));
}

/* Our own place among the hosts: preferences from there on are not for us,
   or mail would go round in circles. */
static int mail__mx_own(const mail_rr *rr, size_t n, const char *own) {
    int limit = 65536;
    size_t i;
    for (i = 0; i < n; i++)
        if (rr[i].type == MAIL_RR_MX && rr[i].preference < limit &&
            mail_ieq(mail_s(rr[i].data), mail_s(own)))
            limit = rr[i].preference;
    return limit;
}

/* The best hosts, best first: whatever their number, in one pass. A key is
   the preference, then chance. */
static void mail__mx_sort(mail_hosts *h, const mail_rr *rr, size_t n,
                          int limit, uint32_t chance) {
    uint64_t key[MAIL_HOSTS], k;
    size_t best[MAIL_HOSTS], count = 0, i, j;
    for (i = 0; i < n; i++) {
        if (!mail__mx_usable(&rr[i]) || rr[i].preference >= limit) continue;
        k = (uint64_t)rr[i].preference << 32 |
            mail__shuffle(chance, (uint32_t)i);
        for (j = 0; j < count && key[j] <= k; j++) {}
        if (j == MAIL_HOSTS) continue;
        if (count < MAIL_HOSTS) count++;
        memmove(key + j + 1, key + j, (count - 1 - j) * sizeof key[0]);
        memmove(best + j + 1, best + j, (count - 1 - j) * sizeof best[0]);
        key[j] = k;
        best[j] = i;
    }
    for (i = 0; i < count; i++) {
        const char *name = rr[best[i]].data;
        for (j = 0; j < h->n; j++)                    /* twice is once */
            if (mail_ieq(mail_s(h->name[j]), mail_s(name))) break;
        if (j == h->n) mail_copy(h->name[h->n++], MAIL_DOMAIN_SIZE,
                                 mail_s(name));
    }
}

MAIL_DEF mail_verdict mail_hosts_find(mail_hosts *h, const char *domain,
                                      const char *own, uint32_t chance,
                                      mail_err e, const mail_rr *rr,
                                      size_t n) {
    size_t i, mx = 0, root = 0, null = 0;
    int limit = mail__mx_own(rr, n, own);
    memset(h, 0, sizeof *h);
    if (e == MAIL_ERR_NOTFOUND) return MAIL_VERDICT_NO_DOMAIN;
    if (e) return MAIL_VERDICT_LATER;
    for (i = 0; i < n; i++) {
        mx += rr[i].type == MAIL_RR_MX;
        root += rr[i].type == MAIL_RR_MX && rr[i].data[0] == 0;
        null += rr[i].type == MAIL_RR_MX && rr[i].data[0] == 0 &&
                rr[i].preference == 0;
    }
    if (mx == 0) {                         /* RFC 5321 5.1: implicit MX */
        h->implicit = 1;
        if (mail_ieq(mail_s(domain), mail_s(own))) return MAIL_VERDICT_LOOP;
        mail_copy(h->name[h->n++], MAIL_DOMAIN_SIZE, mail_s(domain));
        return MAIL_VERDICT_HOSTS;
    }
    /* RFC 7505 3: preference 0. With another it is somebody's mistake. */
    if (root == mx) return null == mx ? MAIL_VERDICT_NULL_MX
                                      : MAIL_VERDICT_LATER;
    mail__mx_sort(h, rr, n, limit, chance);
    return h->n ? MAIL_VERDICT_HOSTS :
           limit < 65536 ? MAIL_VERDICT_LOOP : MAIL_VERDICT_NO_HOST;
}

/* ======================================================================
   [DSN]
   ====================================================================== */

/* What each kind of report says: RFC 3464 2.3.3, and for people. */
typedef struct mail__dsn_kind {
    mail_fate about;
    char digit;                   /* of the status */
    const char *action, *subject, *what, *then;
} mail__dsn_kind;

static const mail__dsn_kind *mail__dsn_kind_of(const mail_dsn *d) {
    static const mail__dsn_kind kinds[] = {
        { MAIL_FATE_FAILED, '5', "failed",
          "Undelivered mail: returned to you", "could not be delivered to",
          "Nobody will try again." },
        { MAIL_FATE_DUE, '4', "delayed",
          "Delayed mail: still being tried", "has not yet been delivered to",
          "It will be tried again; do not send it again." },
        { MAIL_FATE_DELIVERED, '2', "delivered",
          "Delivered mail, as you asked to hear", "is in the mailbox of",
          "You asked to be told." },
        { MAIL_FATE_RELAYED, '2', "relayed",
          "Relayed mail, as you asked to hear", "was passed on for",
          "That server sends no such reports: you may hear no more." },
        { MAIL_FATE_EXPANDED, '2', "expanded",
          "Expanded mail, as you asked to hear",
          "goes to those who are behind",
          "Of them you will hear if it fails." }
    };
    size_t i = sizeof kinds / sizeof kinds[0];
    while (--i && kinds[i].about != d->about) {}
    return &kinds[i];
}

/* The label of a part: 8bit, if there may be octets over 127. */
static void mail__dsn_part(mail_buf *b, const mail_dsn *d, const char *type) {
    mail_buf_fmt(b, "--=_%s\r\nContent-Type: %s\r\n%s\r\n", d->id, type,
                 d->utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

MAIL_DEF void mail_dsn_head(mail_buf *b, const mail_dsn *d) {
    const mail__dsn_kind *k = mail__dsn_kind_of(d);
    mail_buf_fmt(b, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: ",
                 d->host);
    mail_path_write(b, d->to);
    mail_buf_fmt(b, "\r\nSubject: %s\r\nDate: ", k->subject);
    mail_date(b, d->time, d->zone);
    mail_buf_fmt(b, "\r\nMessage-ID: <%s.report@%s>\r\n"
                    "Auto-Submitted: auto-replied\r\n"
                    "MIME-Version: 1.0\r\n"
                    "Content-Type: multipart/report; "
                    "report-type=%sdelivery-status;\r\n"
                    "\tboundary=\"=_%s\"\r\n\r\n",
                 d->id, d->host, d->utf8 ? "global-" : "", d->id);
    mail__dsn_part(b, d, d->utf8 ? "text/plain; charset=utf-8"
                                 : "text/plain; charset=us-ascii");
    mail_buf_fmt(b, "This is the mail server at %s.\r\n\r\n"
                    "Your message %s:\r\n\r\n", d->host, k->what);
}

MAIL_DEF void mail_dsn_say(mail_buf *b, const mail_dsn_rcpt *r) {
    mail_buf_add(b, mail_s("  "));
    mail_path_write(b, r->path);
    if (r->alias) {
        mail_buf_add(b, mail_s("\r\n    who is behind "));
        mail_path_write(b, r->alias);
    }
    mail_buf_fmt(b, "\r\n    %s", r->hop[0] ? r->hop : "this server");
    if (r->code) mail_buf_fmt(b, " said: %d %s\r\n\r\n", r->code, r->words);
    else mail_buf_fmt(b, ": %s\r\n\r\n", r->words);
}

MAIL_DEF void mail_dsn_middle(mail_buf *b, const mail_dsn *d) {
    char envid[MAIL_ENVID_SIZE];
    size_t n = 0;
    mail_buf_fmt(b, "%s What follows is for programs, and %s\r\n"
                    "your message.\r\n\r\n", mail__dsn_kind_of(d)->then,
                 d->full ? "then" : "the header of");
    mail__dsn_part(b, d, d->utf8 ? "message/global-delivery-status"
                                 : "message/delivery-status");
    if (d->envid[0] && strlen(d->envid) < sizeof envid &&
        mail_xtext_read(mail_s(d->envid), envid, &n) == MAIL_ERR_OK)
        mail_buf_fmt(b, "Original-Envelope-Id: %.*s\r\n", (int)n, envid);
    mail_buf_fmt(b, "Reporting-MTA: dns; %s\r\nX-Queue-ID: %s\r\n"
                    "Arrival-Date: ", d->host, d->queue_id);
    mail_date(b, d->arrived, d->zone);
    mail_buf_add(b, mail_s("\r\n"));
}

/* "Final-Recipient: rfc822; bob@b.example", without < > */
static void mail__dsn_path(mail_buf *b, const char *key,
                           const mail_path *who) {
    char path[MAIL_PATH_SIZE];
    mail_buf p = mail_buf_on(path, sizeof path);
    mail_path_write(&p, who);
    mail_buf_fmt(b, "%s: %s; %.*s\r\n", key,
                 mail_path_utf8(who) ? "utf-8" : "rfc822", (int)(p.n - 2),
                 path + 1);
}

/* As the sender wrote it (RFC 3461 6.3); else the alias, if he wrote to
   one. */
static void mail__dsn_original_rcpt(mail_buf *b, const mail_dsn_rcpt *r) {
    char addr[MAIL_ORCPT_SIZE];
    mail_str s = mail_s(r->orcpt), type = mail_cut(&s, ';');
    size_t n = 0;
    if (r->orcpt && mail__is_8bit(s))
        mail_buf_fmt(b, "Original-Recipient: %s\r\n", r->orcpt);
    else if (r->orcpt && s.n < sizeof addr &&
             mail_xtext_read(s, addr, &n) == MAIL_ERR_OK)
        mail_buf_fmt(b, "Original-Recipient: %.*s; %.*s\r\n",
                     MAIL_ARG(type), (int)n, addr);
    else if (r->alias) mail__dsn_path(b, "Original-Recipient", r->alias);
}

/* The peer's own enhanced code, if it gave one that fits. */
static void mail__dsn_status(mail_buf *b, const mail__dsn_kind *k,
                             const char *words) {
    mail_str rest, status = mail_enhanced(mail_s(words), &rest);
    if (status.n && (status.p[0] == '2') == (k->digit == '2'))
        mail_buf_fmt(b, "Action: %s\r\nStatus: %.*s\r\n", k->action,
                     MAIL_ARG(status));
    else mail_buf_fmt(b, "Action: %s\r\nStatus: %c.0.0\r\n", k->action,
                      k->digit);
}

/* per-recipient-fields, RFC 3464 2.3 */
MAIL_DEF void mail_dsn_group(mail_buf *b, const mail_dsn *d,
                             const mail_dsn_rcpt *r) {
    mail_buf_add(b, mail_s("\r\n"));
    mail__dsn_original_rcpt(b, r);
    mail__dsn_path(b, "Final-Recipient", r->path);
    mail__dsn_status(b, mail__dsn_kind_of(d), r->words);
    if (r->code && r->hop[0]) {
        mail_str host = mail_s(r->hop);
        int port;
        if (mail_host_port(mail_s(r->hop), &host, &port))
            host = mail_s(r->hop);
        mail_buf_fmt(b, "Remote-MTA: dns; %.*s\r\n"
                        "Diagnostic-Code: smtp; %d %s\r\n",
                     MAIL_ARG(host), r->code, r->words);
    }
    if (d->about == MAIL_FATE_DUE) {
        mail_buf_add(b, mail_s("Will-Retry-Until: "));
        mail_date(b, d->until, d->zone);
        mail_buf_add(b, mail_s("\r\n"));
    }
}

MAIL_DEF void mail_dsn_original(mail_buf *b, const mail_dsn *d) {
    mail_buf_add(b, mail_s("\r\n"));
    mail__dsn_part(b, d, d->full ? d->utf8 ? "message/global"
                                           : "message/rfc822"
                                 : d->utf8 ? "message/global-headers"
                                           : "text/rfc822-headers");
}

MAIL_DEF void mail_dsn_tail(mail_buf *b, const mail_dsn *d) {
    mail_buf_fmt(b, "\r\n--=_%s--\r\n", d->id);
}

/* ======================================================================
   [SERVER] what its parts share
   ====================================================================== */

#include <stdlib.h>    /* qsort */

enum {
    MAIL__READ = 16384, MAIL__BLOCK = 65536, MAIL__GATHER = 65536,
    MAIL__TURN = 1024 * 1024,     /* octets out, then another conn's turn */
    MAIL__DRAFT = 32768,          /* a longer text has a file of its own  */
    MAIL__ENVELOPE = 49152,       /* octets of an envelope, at most       */
    MAIL__RCPTS = 1000,           /* of a message, aliases expanded       */
    MAIL__SLICE = 32,             /* messages, then another's turn        */
    MAIL__LINES = 8               /* of senders, before a next hop        */
};

typedef struct mail__item mail__item;
typedef struct mail__hop mail__hop;
typedef struct mail__job mail__job;
typedef struct mail__lookup mail__lookup;

/* A ticket of sys->flush: done is called when all it waits for is answered,
   with the first error. */
typedef struct mail__ask {
    void (*done)(mail_server *v, void *arg, mail_err e);
    void *arg;
    int left;
    mail_err err;
} mail__ask;

/* What has a moment when it is due: a message, a next hop, a connection. It
   is the first member of each. */
enum { MAIL__TIMES_ITEM, MAIL__TIMES_HOP, MAIL__TIMES_CONN };
typedef struct mail__timer {
    int64_t due;                  /* by sys->clock                       */
    uint32_t at;                  /* place in the heap, from 1; 0: none  */
    uint32_t of;                  /* whose it is                         */
} mail__timer;

typedef struct mail__user {
    char name[MAIL_USER_SIZE];
    mail_str secret;              /* in mail_server.users_text */
    mail_conn *locked;            /* who has its maildrop open */
    uint64_t lap;                 /* of the journal: its newest mail */
    int proved;                   /* proof holds: mail__user_known */
    unsigned char proof[32];
} mail__user;

/* A login that is being decided. */
typedef struct mail__login {
    struct mail__login *next;     /* who waits for rounds as well        */
    mail_conn *conn;
    mail_event_kind what;
    char name[MAIL_USER_SIZE];
    mail_str secret;              /* in the session, which waits         */
    int64_t due;                  /* when it is looked at again; INT64_MAX:
                                     when its rounds are done            */
    mail_err verdict;             /* what is to be said then, if not OK  */
    int real;                     /* keys are a user's                   */
    mail_keys keys;
    mail_kdf kdf;
    unsigned char proof[32];
} mail__login;

/* Wrong passwords from one address, or of one name from there. */
enum { MAIL__GUESSES = 256 };
typedef struct mail__guess {
    unsigned char who[32];
    int count;                    /* 0: the row is free                  */
    int64_t last, until;          /* no answer before                    */
} mail__guess;

/* A line of `aliases`. */
typedef struct mail__alias {
    struct mail__alias *up;       /* who waits behind it, in a walk      */
    mail_str name;
    size_t first, n;              /* its targets in mail__aliases        */
    size_t next; int color;       /* where a walk is                     */
    int line;
} mail__alias;

typedef struct mail__aliases {
    char *text;                   /* of the file; the slices point there */
    mail__alias *list; size_t n, cap;
    mail_str *to; size_t nto, to_cap;
    int walk;                     /* color of the newest walk            */
} mail__aliases;

typedef struct mail__rcpt {
    mail_path path;
    int group;                    /* an alias of several, and gets nothing */
    unsigned notify;              /* MAIL_NOTIFY_ bits                   */
    char *orcpt;                  /* owned: ORCPT=, or NULL              */
    mail_fate fate;
    int code;                     /* the last reply, 0 if none           */
    int tries;
    int made, shut;               /* by a checkpoint: its mailbox file is;
                                     its mailbox takes none just now     */
    int told;                     /* a report under way is about it; at a
                                     start: one in the journal was       */
    mail_conn *busy;              /* whose transaction it is in          */
    mail__job *job;               /* as long as it is due                */
    char *words;                  /* owned                               */
    mail_path *alias;             /* owned: what it stood for; or NULL   */
} mail__rcpt;

/* What of a message is in memory only while it is needed, or while it is
   newer than what is on the disk. */
typedef struct mail__letter {
    mail_path from;
    int ret, utf8;                /* RET=; its header needs SMTPUTF8     */
    char envid[MAIL_ENVID_SIZE];
    size_t nrcpts, cap;
    size_t octets;                /* of the recipients, in an envelope   */
    mail__rcpt *rcpts;
} mail__letter;

/* A message that is being received, or a report that is being made. */
typedef struct mail__draft {
    char *text; size_t n, cap;    /* in mailbox form; not yet in a file  */
    int file;                     /* queue/ID.text, or -1                */
    int64_t written;              /* octets in it                        */
    unsigned lost;                /* mail_server.lost when it was opened */
    mail_to_lf to_lf;
    mail_err err, refused;        /* refused: when its R is durable,     */
    int again, sure;              /* or could not be made so: not sure   */
    mail__ask ask;
    mail_conn *waiter;            /* who waits for the 250               */
    mail__item *about;            /* of a report: on what,               */
    mail_fate fate;               /* and on those with this fate         */
} mail__draft;

enum { MAIL__NEW, MAIL__QUEUED, MAIL__LEAVING };          /* its stage   */
enum { MAIL__PUT_A = 1, MAIL__PUT_F = 2, MAIL__PUT_D = 4 };

/* A message. 100,000 of them may wait for one dead host: what is here, and
   a job, is all of each that is in memory. */
struct mail__item {
    mail__timer timer;
    mail__item *next, *prev;      /* in the queue, as they came; or moving */
    mail__item *chain;            /* with the same hash of the ID        */
    mail__item *todo;             /* behind it on the way to the journal */
    struct { mail__item *next, *prev; } in[2];  /* lists of the segments */
    mail__letter *letter;         /* NULL: to be read when it is needed  */
    mail__draft *draft;
    mail__job *jobs;
    int64_t time;                 /* of arrival, s since 1970            */
    int64_t born;                 /* the same by sys->clock              */
    int64_t at;                   /* of the envelope in its segment      */
    int64_t size, wire;           /* of the text, in a mailbox, on a wire */
    uint32_t run, number;         /* with time: the ID                   */
    uint32_t text_at;             /* behind the envelope's beginning     */
    short busy;                   /* tries and reports under way         */
    signed char seg;              /* the segment it is in; -1: a file    */
    unsigned char stage, puts, listed, eight, apart;
    unsigned char has_file, has_state;
    unsigned char changed;        /* fates that a re-read would not give */
    unsigned char unsaved;        /* fates that are in no record         */
    unsigned char warned;         /* the sender knows that it is late    */
    unsigned char dead, aside;    /* nobody takes it; it is in queue/dead */
    unsigned char unread, blind;  /* see mail__letter_unread              */
    unsigned char check, tmp, tmp_state;        /* see CHECKPOINT         */
};

/* What one message has for one next hop, or (hop NULL) for the mailboxes
   here: its recipients there go in one transaction (RFC 5321 4.5.4.1). */
enum { MAIL__JOB_WAITS, MAIL__JOB_READY, MAIL__JOB_BUSY };
struct mail__job {
    mail__job *next;              /* of the same message                 */
    mail__job *behind, *ahead;    /* in its line before the hop          */
    mail__item *item;
    mail__hop *hop;
    int64_t due;                  /* of the next try                     */
    int tries;
    size_t from;                  /* whose turn it is among the recipients,
                                     when they are too many for one mail */
    unsigned char line, state, last;   /* it has had its last try        */
};

/* A next hop. What fails there fails for all: they rest together. */
struct mail__hop {
    mail__timer timer;
    mail__hop *chain, *calling;   /* same hash; behind it in v->calling  */
    struct { mail__job *first, *last; } lines[MAIL__LINES];
    unsigned turn, jobs, ready, conns;
    int is_calling, tries;        /* calls that failed in a row          */
    int64_t rest;                 /* nobody calls before                 */
    int64_t failed;               /* when the last call did              */
    int code;                     /* of the last failure,                */
    char *words;                  /* and why                             */
    char host[MAIL_DOMAIN_SIZE];  /* the one of its hosts called last    */
    char name[MAIL_NAME_SIZE + 8];
};

enum { MAIL__FREE, MAIL__OPEN, MAIL__SEALED };
typedef struct mail__segment {
    int file, state, closing, recovered;
    mail_err failed;              /* a flush of it has: nothing new counts */
    uint64_t lap;
    char salt[MAIL_SALT_SIZE];
    int64_t at;                   /* end of what is written              */
    int64_t ready;                /* end of what was written ahead       */
    int64_t since;                /* of its first record; -1: none       */
    int removed;                  /* names were, for a D in it           */
    mail__item *list;             /* whose A or F is in it               */
} mail__segment;

/* Records that share a flush, and who waits for it. */
typedef struct mail__batch {
    mail__ask ask;
    int seg;                      /* -1: there is none                   */
    mail_err err;
    mail__item **items; size_t n, cap;
} mail__batch;

typedef struct mail__check {      /* a checkpoint under way */
    int seg, phase, any, waits;
    int again, redo;              /* MAKE comes again; has come again    */
    int late;                     /* STATE has something to do           */
    unsigned lost;                /* mail_server.lost when it began      */
    mail_err err;
    mail__item *next;
    mail__ask ask;
} mail__check;

typedef struct mail__box {        /* a maildrop, opened by POP3 */
    size_t n, cap, text_n, text_cap;
    mail_drop *drops;
    struct mail__box_file {
        size_t at; int cur; int64_t age, size; const char *name, *uid;
    } *files;                     /* sorted like drops: by age, then UID */
    char *text;
} mail__box;

/* Where clients come from: an IPv4 address, or an IPv6 network of 64 bits
   (who has one address of it has them all). */
typedef struct mail__peer {
    struct mail__peer *chain;     /* with the same hash                  */
    mail_address at;
    int conns;                    /* open connections from there         */
} mail__peer;

struct mail_conn {
    mail__timer timer;
    mail_conn *next, *prev, *next_dead;
    mail__peer *from;             /* of a client                         */
    int64_t paused;               /* nothing comes or goes before; or 0  */
    unsigned number;
    int wire, connecting, closing, eof, dead, going;
    int securing;                 /* TLS is being made on the wire    */
    int in_clear;                 /* TLS failed: called again without */
    char role;                    /* 's'mtpd, 'p'op3d, smtp'c'       */
    char peer[48];
    union {
        mail_smtpd smtpd;
        mail_pop3d pop3d;
        mail_smtpc smtpc;
    } u;
    mail_server *v;
    mail__item *item;             /* being received, or being relayed */
    mail_head head;
    char *kept; size_t nkept;     /* input that the session did not take */
    char *back; size_t nback;     /* output that the wire did not take   */
    int file; int64_t at;         /* text on its way out                 */
    int64_t end;                  /* and where it ends; -1: not known    */
    int shared;                   /* file is that of segment shared - 1  */
    int quit;                     /* UPDATE waits until all is out, or
                                     has more to remove                  */
    size_t removed;               /* by UPDATE so far,                   */
    mail_err failed;              /* and what went wrong                 */
    int more;                     /* there is more, but its turn is over */
    mail__user *user;
    mail__box *box;
    int entering;                 /* the maildrop opens after a checkpoint */
    uint64_t lap;                 /* of that one                         */
    mail__ask ask;                /* of UPDATE                           */
    char stamp[128];              /* of APOP                             */
    mail__login *login;           /* being decided                       */
    unsigned char keyed[32];      /* by SCRAM: the secret KEYS were of   */
    mail__hop *hop;
    mail__job *job;
    mail__lookup *lookup;         /* of the hop: who can be called       */
    size_t called;                /* how many of them have been,         */
    int sessions;                 /* and how many answered               */
    size_t next_rcpt;
    int asked_data, served;       /* transactions on this connection */
    int greeted;                  /* it was READY once                   */
};

struct mail_server {
    mail_sys sys;
    mail_server_opts opts;
    mail_conn *conns;
    mail__item *queue, *newest;   /* oldest first                        */
    mail__item *moving;           /* not in the queue: new, or leaving   */
    mail__item **ids; size_t nids;    /* by hash of the ID: a power of 2 */
    mail__timer **timers; size_t ntimers, timers_cap, timed;
    mail__peer *peers[256];       /* by hash of the address              */
    mail_conn *dead;              /* to be buried                        */
    int crowded;                  /* most of the connections are taken   */
    mail__hop *hops[256];         /* by hash of the name                 */
    mail__hop *calling, *calling_last;
    mail__segment segs[2];
    int cur;                      /* the open one, or -1                 */
    uint64_t lap, lap_done;       /* the newest; given up up to this     */
    mail__item *todo, *todo_last; /* on the way to the journal           */
    unsigned lost;                /* flushes that failed. One for all may
                                     have lost what somebody else wrote,
                                     and his own will say OK             */
    mail__ask home;               /* for durable directories             */
    int64_t home_after;           /* if that failed: when it comes again */
    mail__batch filling, flying;
    char *jbuf; size_t njbuf;     /* octets for segs[filling.seg]        */
    mail__check check;
    int hurry;                    /* somebody waits for a checkpoint     */
    int check_fails; int64_t check_after;
    mail__lookup *lookups;
    mail__aliases aliases;
    mail__user *users;
    size_t nusers, nconns, nout, nqueue;
    char *users_text; size_t users_size;
    unsigned numbers;
    uint32_t run, ids_given;      /* random: this run of the server */
    int keyed;                    /* so is key, once somebody logs in */
    unsigned char key[32];
    size_t nplain;                /* users with a plain secret           */
    mail__login *logins;          /* who waits for rounds of PBKDF2      */
    int64_t guessed;              /* until then a row of these counts    */
    mail__guess by_address[MAIL__GUESSES], by_name[MAIL__GUESSES];
    int stopping;
    int64_t due;
    char *in, *block, *gather;    /* from a wire, from a file, to a wire */
};

/* The ways up: what becomes of a message is decided; a record is durable; a
   connection can move, or ends; the dead are buried. Everything else is
   called from below. */
static void mail__item_settle(mail_server *v, mail__item *m);
static void mail__item_accept(mail_server *v, mail__item *m);
static void mail__item_refuse(mail_server *v, mail__item *m, mail_err e);
static void mail__item_left(mail_server *v, mail__item *m);
static int mail__report(mail_server *v, mail__item *m, mail_fate about);
static void mail__item_gone(mail_server *v, mail__item *m);
static void mail__job_done(mail_server *v, mail__job *j);
static mail__hop *mail__hop_find(mail_server *v, const char *name);
static mail__hop *mail__hop_known(mail_server *v, const char *name);
static void mail__hop_want(mail_server *v, mail__hop *h);
static void mail__hop_free(mail_server *v, mail__hop *h);
static void mail__hop_leave(mail__job *j);
static void mail__job_ready(mail_server *v, mail__job *j);
static int mail__box_ready(const mail_server *v, const mail__user *u);
static void mail__pop3d_enter(mail_server *v, mail_conn *c);
static void mail__pop3d_admit(mail_server *v, mail_conn *c, mail__user *u,
                              mail_err e);
static void mail__conn_go(mail_server *v, mail_conn *c);
static void mail__conn_kill(mail_server *v, mail_conn *c);
static void mail__reap(mail_server *v);
static void mail__crowd(mail_server *v);

static void *mail__alloc(mail_server *v, size_t n) {
    void *p = v->sys.alloc(v->sys.ctx, NULL, n);
    if (p) memset(p, 0, n);
    return p;
}

static void mail__free(mail_server *v, void *p) {
    if (p) v->sys.alloc(v->sys.ctx, p, 0);
}

/* Room for one more of size each; doubles. Returns 0 without memory. */
static int mail__grow(mail_server *v, void **p, size_t n, size_t *cap,
                      size_t each) {
    size_t want = *cap ? *cap * 2 : 8;
    void *q;
    if (n < *cap) return 1;
    while (want <= n) want *= 2;
    q = v->sys.alloc(v->sys.ctx, *p, want * each);
    if (q == NULL) return 0;
    *p = q;
    *cap = want;
    return 1;
}

MAIL_PRINTF(5, 6)
static void mail__tell(mail_server *v, const mail_conn *c, mail_note kind,
                       const char *state, const char *fmt, ...) {
    char text[1200], shown[2400];         /* a longer line is cut */
    va_list ap;
    if (v->opts.watch == NULL) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mail_printable(shown, sizeof shown, mail_s(text));
    v->opts.watch(v->opts.watch_ctx, c ? c->number : 0, c ? c->role : '-',
                  kind, mail_s(shown), state);
}

static size_t mail__hash(mail_str s) {
    uint32_t h = 2166136261u;
    size_t i;
    for (i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)mail__lower(s.p[i])) * 16777619u;
    return h ^ h >> 15;
}

static int64_t mail__now(mail_server *v) {
    return v->sys.clock(v->sys.ctx);
}

static int64_t mail__time(mail_server *v, int *zone) {
    int z = 0;
    int64_t t = v->sys.time(v->sys.ctx, &z);
    if (zone) *zone = z;
    return t;
}

static void mail__due(mail_server *v, int64_t when) {
    if (when < v->due) v->due = when;
}

/* A path as text, for the log. */
static const char *mail__show(const mail_path *p, char text[MAIL_PATH_SIZE]) {
    mail_buf b = mail_buf_on(text, MAIL_PATH_SIZE - 1);
    mail_path_write(&b, p);
    text[b.n] = 0;
    return text;
}

/* Asks for a flush of a file, of a directory, or (dir NULL) of everything;
   done comes later, never from here. */
static void mail__ask_flush(mail_server *v, mail__ask *a, int file,
                            const char *dir) {
    mail_err e;
    a->left++;
    e = v->sys.flush(v->sys.ctx, file, dir, a);
    if (e == MAIL_ERR_OK) return;
    a->left--;
    if (a->err == MAIL_ERR_OK) a->err = e;
}

static void mail__ask_begin(mail__ask *a, void *arg,
                            void (*done)(mail_server *, void *, mail_err)) {
    memset(a, 0, sizeof *a);
    a->arg = arg;
    a->done = done;
    a->left = 1;                  /* until all has been asked */
}

static void mail__ask_end(mail_server *v, mail__ask *a) {
    if (--a->left == 0) a->done(v, a->arg, a->err);
}

MAIL_DEF void mail_server_flushed(mail_server *v, void *ticket, mail_err e) {
    mail__ask *a = (mail__ask *)ticket;
    if (e) v->lost++;
    if (a->err == MAIL_ERR_OK) a->err = e;
    mail__ask_end(v, a);
    mail__reap(v);
}

/* A slice of a file in another one, from its beginning. */
static mail_err mail__copy(mail_server *v, int from, int64_t at, int64_t n,
                           const char *name) {
    void *ctx = v->sys.ctx;
    int file = v->sys.open(ctx, name, MAIL_OPEN_NEW);
    int64_t to = 0, k;
    mail_err e = file < 0 ? (mail_err)(-1 - file) : MAIL_ERR_OK;
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "write %s", name);
    for (; to < n && !e; to += k) {
        int64_t want = n - to < MAIL__BLOCK ? n - to : MAIL__BLOCK;
        k = v->sys.read(ctx, from, at + to, v->block, (size_t)want);
        if (k <= 0) e = MAIL_ERR_IO;
        else e = v->sys.write(ctx, file, to, v->block, (size_t)k);
    }
    if (file >= 0 && v->sys.close(ctx, file) && !e) e = MAIL_ERR_IO;
    return e;
}

static mail_err mail__rename(mail_server *v, const char *from,
                             const char *to, int replace) {
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "rename %s %s", from, to);
    return v->sys.rename(v->sys.ctx, from, to, replace);
}

static void mail__remove(mail_server *v, const char *name) {
    mail_err e = v->sys.remove(v->sys.ctx, name);
    if (e == MAIL_ERR_OK)
        mail__tell(v, NULL, MAIL_NOTE_DISK, "", "remove %s", name);
    else if (e != MAIL_ERR_NOTFOUND)
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s cannot be removed: %s",
                   name, mail_err_text(e));
}

enum { MAIL__SMALL = 1024 * 1024 };

/* What held secrets is not given back with them. */
static void mail__free_secret(mail_server *v, char *p, size_t n) {
    if (p) mail_wipe(p, n);
    mail__free(v, p);
}

/* Room for 4096 octets behind n. A small file may hold secrets: nothing of it
   stays where it was before. */
static int mail__slurp_room(mail_server *v, char **text, size_t n,
                            size_t *cap, int small) {
    size_t was = *cap;
    char *old = *text;
    if (!small || n + 4096 < was)
        return mail__grow(v, (void **)text, n + 4096, cap, 1);
    *text = NULL;
    if (!mail__grow(v, (void **)text, n + 4096, cap, 1)) {
        *text = old;
        *cap = was;
        return 0;
    }
    if (n) memcpy(*text, old, n);
    mail__free_secret(v, old, n);
    return 1;
}

/* A whole small file, with a NUL behind it; NULL: there is none, or memory
   is out (*e says). Nothing over max octets is a file of ours. */
static char *mail__slurp(mail_server *v, const char *name, size_t max,
                         size_t *n, mail_err *e) {
    int file = v->sys.open(v->sys.ctx, name, MAIL_OPEN_READ);
    char *text = NULL;
    size_t cap = 0;
    int64_t k = 0;
    *n = 0;
    *e = file < 0 ? (mail_err)(-1 - file) : MAIL_ERR_OK;
    while (*e == MAIL_ERR_OK) {
        if (!mail__slurp_room(v, &text, *n, &cap, max <= MAIL__SMALL))
            *e = MAIL_ERR_NOMEM;
        else k = v->sys.read(v->sys.ctx, file, (int64_t)*n, text + *n,
                             cap - *n - 1);
        if (*e == MAIL_ERR_OK && k < 0) *e = MAIL_ERR_IO;
        if (*e || k == 0) break;
        *n += (size_t)k;
        if (*n > max) *e = MAIL_ERR_TOOLONG;
    }
    if (file >= 0) v->sys.close(v->sys.ctx, file);
    if (*e == MAIL_ERR_OK) text[*n] = 0;
    else {
        mail__free_secret(v, text, max <= MAIL__SMALL ? *n : 0);
        text = NULL;
    }
    return text;
}

/* ======================================================================
   [SERVER TIMER] who is due next                                    ch.9
   A heap: the earliest is on top, whoever else there is.
   ====================================================================== */

static void mail__timer_put(mail_server *v, mail__timer *t, size_t at) {
    v->timers[at - 1] = t;
    t->at = (uint32_t)at;
}

static void mail__timer_up(mail_server *v, mail__timer *t, size_t at) {
    while (at > 1 && v->timers[at / 2 - 1]->due > t->due) {
        mail__timer_put(v, v->timers[at / 2 - 1], at);
        at /= 2;
    }
    mail__timer_put(v, t, at);
}

static void mail__timer_down(mail_server *v, mail__timer *t, size_t at) {
    for (;;) {
        size_t child = 2 * at;
        if (child > v->ntimers) break;
        if (child < v->ntimers &&
            v->timers[child]->due < v->timers[child - 1]->due) child++;
        if (v->timers[child - 1]->due >= t->due) break;
        mail__timer_put(v, v->timers[child - 1], at);
        at = child;
    }
    mail__timer_put(v, t, at);
}

static void mail__timer_stop(mail_server *v, mail__timer *t) {
    size_t at = t->at;
    mail__timer *last;
    if (at == 0) return;
    t->at = 0;
    last = v->timers[--v->ntimers];
    if (last == t) return;
    mail__timer_up(v, last, at);
    mail__timer_down(v, last, last->at);
}

/* The room was made by mail__timer_room when it came into the world. */
static void mail__timer_set(mail_server *v, mail__timer *t, int64_t due) {
    t->due = due;
    if (t->at == 0) mail__timer_up(v, t, ++v->ntimers);
    else {
        mail__timer_up(v, t, t->at);
        mail__timer_down(v, t, t->at);
    }
    mail__due(v, due);
}

static int mail__timer_room(mail_server *v) {
    if (!mail__grow(v, (void **)&v->timers, v->timed, &v->timers_cap,
                    sizeof *v->timers)) return 0;
    v->timed++;
    return 1;
}

static void mail__timer_end(mail_server *v, mail__timer *t) {
    mail__timer_stop(v, t);
    v->timed--;
}

/* ======================================================================
   [SERVER PEERS] who is it from?                                   ch.13
   One table for all that is counted by address, and not by connection. It
   has no more rows than there are connections.
   ====================================================================== */

/* The row's key: an address as text. What cannot be read is one address. */
static void mail__peer_key(mail_address *a, const char *address) {
    mail_str rest = mail_s(address);
    mail_address_read(mail_cut(&rest, '%'), a);          /* fe80::1%eth0 */
    if (!mail__is_v4(a)) memset(a->p + 8, 0, 8);
}

static mail__peer **mail__peer_place(mail_server *v, const mail_address *a) {
    mail_str key = mail_sn((const char *)a->p, sizeof a->p);
    mail__peer **at = &v->peers[mail__hash(key) & 255];
    while (*at && memcmp(&(*at)->at, a, sizeof *a) != 0) at = &(*at)->chain;
    return at;
}

/* The row of an address, for one connection more. NULL: no memory. */
static mail__peer *mail__peer_add(mail_server *v, const char *address) {
    mail_address key;
    mail__peer **at;
    mail__peer_key(&key, address);
    at = mail__peer_place(v, &key);
    if (*at == NULL) {
        *at = (mail__peer *)mail__alloc(v, sizeof **at);
        if (*at == NULL) return NULL;
        (*at)->at = key;
    }
    (*at)->conns++;
    return *at;
}

static void mail__peer_drop(mail_server *v, mail__peer *p) {
    mail__peer **at;
    if (p == NULL || --p->conns > 0) return;
    at = mail__peer_place(v, &p->at);
    *at = p->chain;
    mail__free(v, p);
}

/* ======================================================================
   [SERVER USERS] users                                             ch.10
   ====================================================================== */

static mail__user *mail__user_find(mail_server *v, mail_str name) {
    size_t i;
    for (i = 0; i < v->nusers; i++)
        if (mail_ieq(mail_s(v->users[i].name), name)) return &v->users[i];
    return NULL;
}

static int mail__is_user(void *ctx, const char *name) {
    return mail__user_find((mail_server *)ctx, mail_s(name)) != NULL;
}

/* mail/NAME and its three directories. "mail" itself is flushed by reload. */
static void mail__user_dirs(mail_server *v, const char *name) {
    static const char *const subs[] = { "", "/tmp", "/new", "/cur" };
    char dir[MAIL_NAME_SIZE];
    size_t i;
    for (i = 0; i < 4; i++) {
        snprintf(dir, sizeof dir, "mail/%s%s", name, subs[i]);
        v->sys.mkdir(v->sys.ctx, dir);
    }
    snprintf(dir, sizeof dir, "mail/%s", name);
    mail__ask_flush(v, &v->home, -1, dir);
}

/* No word of the line itself: without its colon it may be a password. */
static mail_err mail__user_wrong(mail_server *v, int line, const char *why) {
    if (line)
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "users, line %d: %s", line,
                   why);
    return MAIL_ERR_OK;
}

/* A line that is wrong costs its user the login, and nobody else anything. */
static mail_err mail__user_add(mail_server *v, size_t *cap, mail_str name,
                               mail_str secret, int line) {
    mail_str password;
    mail_keys keys;
    mail__user *u;
    size_t i;
    if (!mail_user_ok(name))
        return mail__user_wrong(v, line, "write NAME:SECRET, as mail user "
                                "does");
    if (mail__user_find(v, name))
        return mail__user_wrong(v, line, "this name is there already");
    if (secret.n && !mail_secret_plain(secret, &password) &&
        mail_secret_keys(secret, &keys))
        mail__user_wrong(v, line, "no password fits this secret: see mail "
                         "user passwd");
    mail_wipe(&keys, sizeof keys);
    if (!mail__grow(v, (void **)&v->users, v->nusers, cap, sizeof *u))
        return MAIL_ERR_NOMEM;
    u = &v->users[v->nusers++];
    memset(u, 0, sizeof *u);
    for (i = 0; i < name.n; i++) u->name[i] = mail__lower(name.p[i]);
    u->secret = secret;
    v->nplain += (size_t)mail_secret_plain(secret, &secret);
    mail__user_dirs(v, u->name);
    return MAIL_ERR_OK;
}

static void mail__users_free(mail_server *v, mail__user *users, size_t n) {
    if (users) mail_wipe(users, n * sizeof *users);
    mail__free(v, users);
}

/* `users`: "name:secret", "#" begins a comment. postmaster always exists
   (RFC 5321 4.5.1), if need be without a login. */
static mail_err mail__users_read(mail_server *v) {
    mail__user *old = v->users;
    size_t nold = v->nusers, cap = 0, nplain = v->nplain, n, i;
    mail_err e;
    char *text = mail__slurp(v, "users", MAIL__SMALL, &n, &e);
    char *old_text = v->users_text;
    size_t old_size = v->users_size;
    int any, line = 0;
    mail_str rest = mail_sn(text ? text : "", text ? n : 0);
    if (text == NULL && e != MAIL_ERR_NOTFOUND) return e;
    v->users = NULL;
    v->nusers = v->nplain = 0;
    v->users_text = text;
    v->users_size = n;
    e = MAIL_ERR_OK;
    while (rest.n && !e) {
        mail_str secret = mail_cut(&rest, '\n'), name;
        line++;
        if (mail_trim(secret).n == 0 || secret.p[0] == '#') continue;
        name = mail_cut(&secret, ':');
        e = mail__user_add(v, &cap, mail_trim(name), mail_trim(secret), line);
    }
    if (!e) e = mail__user_add(v, &cap, mail_s("postmaster"),
                               mail_sn("", 0), 0);
    if (e) {          /* half the users would refuse the other half's mail */
        mail__free(v, v->users);
        mail__free_secret(v, text, n);
        v->users = old;
        v->nusers = nold;
        v->users_text = old_text;
        v->users_size = old_size;
        v->nplain = nplain;
        return e;
    }
    mail__ask_flush(v, &v->home, -1, "mail");
    if (v->opts.routing.catch_all &&
        !mail__user_find(v, mail_s(v->opts.routing.catch_all)))
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "catch-all: there is no "
                   "user %s", v->opts.routing.catch_all);
    /* Nobody but a postmaster who cannot log in: no list. */
    any = v->opts.routing.any_user;
    v->opts.routing.any_user = v->opts.routing.lmtp && v->nusers == 1 &&
                               v->users[0].secret.n == 0;
    if (v->opts.routing.any_user && !any)
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "users is empty: mail for any "
                   "name goes to %s, and whom that refuses is reported to the "
                   "sender", v->opts.routing.lmtp);
    for (i = 0; i < nold; i++) {                /* locks move along */
        mail__user *u = mail__user_find(v, mail_s(old[i].name));
        if (u) u->locked = old[i].locked;
        if (u) u->lap = old[i].lap;
        if (old[i].locked) old[i].locked->user = u;
    }
    mail__users_free(v, old, nold);
    mail__free_secret(v, old_text, old_size);
    return MAIL_ERR_OK;
}

/* APOP needs the password in clear, and there are clients (curl) that take
   it whenever a greeting offers it and try nothing else. So it is offered
   where everybody can use it. */
static int mail__apop_ok(const mail_server *v) {
    size_t i, plain = 0;
    mail_str password;
    for (i = 0; i < v->nusers; i++) {
        mail_str secret = v->users[i].secret;
        if (secret.n && !mail_secret_plain(secret, &password)) return 0;
        plain += secret.n > 0;
    }
    return plain > 0;
}

/* HMAC(key, secret line NUL password) */
static void mail__user_proof(const mail_server *v, mail_str secret,
                             mail_str password, unsigned char proof[32]) {
    mail__hmac h;
    mail__hmac_key(&h, mail_sn((const char *)v->key, sizeof v->key));
    mail_sha256_add(&h.in, secret);
    mail_sha256_add(&h.in, mail_sn("", 1));
    mail_sha256_add(&h.in, password);
    mail_sha256_end(&h.in, proof);
    mail_sha256_add(&h.out, mail_sn((char *)proof, 32));
    mail_sha256_end(&h.out, proof);
    mail_wipe(&h, sizeof h);
}

/* ======================================================================
   [SERVER LOGIN] is it who he says?                                 ch.10
   A login may have to wait: for its turn of PBKDF2, and after wrong guesses
   from its address for the clock. Its session waits with it.
   ====================================================================== */

enum {
    MAIL__ROUNDS_TURN = 8192,     /* of PBKDF2, for all, in one turn     */
    MAIL__ROUNDS_PART = 1024,     /* of them for one login, then another */
    MAIL__DELAY_MAX = 15000       /* ms, see auth_delay                  */
};

/* Who has that name? It takes as long to find the first of many as to find
   nobody. */
static mail__user *mail__login_user(mail_server *v, const char *name) {
    mail_str n = mail_s(name);
    mail__user *found = NULL;
    size_t i;
    for (i = 0; i < v->nusers; i++)
        if (mail_ieq(mail_s(v->users[i].name), n)) found = &v->users[i];
    return found;
}

/* A random key of this run, which nobody else has. */
static void mail__server_key(mail_server *v) {
    if (!v->keyed) v->sys.random(v->sys.ctx, v->key, sizeof v->key);
    v->keyed = 1;
}

/* HMAC(key, what NUL name) */
static void mail__name_mac(const mail_server *v, mail_str what,
                           const char *name, unsigned char out[32]) {
    char text[80];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_buf_add(&b, what);
    mail_buf_add(&b, mail_sn("", 1));
    mail_buf_add(&b, mail_s(name));
    mail_hmac(mail__key(v->key), mail_buf_str(&b), out);
}

/* --- guesses -------------------------------------------------------------
   Wrong ones are counted by address, which slows them down, and by address
   and name, which ends them; names that nobody has count like others. Two
   tables of fixed size: who fills them pushes out the oldest rows, and pays
   for it with as many delays. A row is named by an HMAC: so it is short, and
   no wrong name, which may well be a password, stays in memory. */

static void mail__guess_who(const mail_server *v, const mail_conn *c,
                            const char *name, unsigned char who[32]) {
    const mail_address *a = &c->from->at;
    mail__name_mac(v, mail_sn((const char *)a->p, sizeof a->p), name, who);
}

/* The row of who in a table. make: a new one, if there is none. */
static mail__guess *mail__guess_row(mail_server *v, mail__guess *rows,
                                    const unsigned char who[32], int64_t now,
                                    int make) {
    mail__guess *oldest = rows, *r = rows, *end = rows + MAIL__GUESSES;
    for (; r < end; r++) {
        if (r->count && now - r->last >= v->opts.auth_lock) r->count = 0;
        if (r->count && memcmp(r->who, who, sizeof r->who) == 0) return r;
        if (r->count == 0 ? oldest->count != 0
                          : oldest->count && r->last < oldest->last)
            oldest = r;
    }
    if (!make) return NULL;
    memset(oldest, 0, sizeof *oldest);
    memcpy(oldest->who, who, sizeof oldest->who);
    return oldest;
}

static int64_t mail__guess_delay(const mail_server *v, int count) {
    int64_t delay = v->opts.auth_delay;
    while (--count > 0 && delay < MAIL__DELAY_MAX) delay *= 2;
    if (delay > MAIL__DELAY_MAX && v->opts.auth_delay < MAIL__DELAY_MAX)
        delay = MAIL__DELAY_MAX;
    return delay;
}

/* Until when this address waits for its next answer. With pay it is its turn
   now, and the others from there wait behind it: what is counted is guesses,
   and a hundred connections are no quicker than one. */
static int64_t mail__guess_wait(mail_server *v, const mail_conn *c, int pay) {
    unsigned char who[32];
    int64_t now = mail__now(v);
    mail__guess *r;
    if (now >= v->guessed) return now;                 /* the usual case */
    mail__guess_who(v, c, "", who);
    r = mail__guess_row(v, v->by_address, who, now, 0);
    if (r == NULL) return now;
    if (pay) r->until = now + mail__guess_delay(v, r->count);
    return r->until;
}

static int mail__guess_locked(mail_server *v, const mail_conn *c,
                              const char *name) {
    unsigned char who[32];
    int64_t now = mail__now(v);
    mail__guess *r;
    if (v->opts.auth_tries < 0 || now >= v->guessed) return 0;
    mail__guess_who(v, c, name, who);
    r = mail__guess_row(v, v->by_name, who, now, 0);
    return r && r->count >= v->opts.auth_tries;
}

/* A wrong one. Returns when it is to be answered. */
static int64_t mail__guess_wrong(mail_server *v, const mail_conn *c,
                                 const char *name) {
    unsigned char who[32];
    int64_t now = mail__now(v);
    mail__guess *r;
    mail__guess_who(v, c, name, who);
    r = mail__guess_row(v, v->by_name, who, now, 1);
    r->count++;
    r->last = now;
    mail__guess_who(v, c, "", who);
    r = mail__guess_row(v, v->by_address, who, now, 1);
    r->count += r->count < 1000;
    r->last = now;
    r->until = now + mail__guess_delay(v, r->count);
    v->guessed = now + v->opts.auth_lock;
    return r->until;
}

/* A right one: what was before is forgiven. */
static void mail__guess_right(mail_server *v, const mail_conn *c,
                              const char *name) {
    unsigned char who[32];
    int64_t now = mail__now(v);
    mail__guess *r;
    if (now >= v->guessed) return;
    mail__guess_who(v, c, name, who);
    r = mail__guess_row(v, v->by_name, who, now, 0);
    if (r) r->count = 0;
    mail__guess_who(v, c, "", who);
    r = mail__guess_row(v, v->by_address, who, now, 0);
    if (r) r->count = 0;
}

/* --- keys and rounds ----------------------------------------------------- */

/* Keys for a name without a SCRAM line. It has the rounds and the length of
   the salt of some user, and for as long as the server runs always the same
   salt: whoever asks cannot tell it from a user's. No proof fits. */
static void mail__user_fake(mail_server *v, const char *name, mail_keys *k) {
    unsigned char mac[32];
    size_t i, left = v->nusers;
    mail__name_mac(v, mail_s("like"), name, mac);
    i = (size_t)mac[0] << 8 | mac[1];
    while (left && mail_secret_keys(v->users[i % v->nusers].secret, k))
        i++, left--;
    if (left == 0) {
        k->rounds = MAIL_ROUNDS;
        k->nsalt = 16;
    }
    for (i = 0; i < k->nsalt; i++) {
        if (i % 32 == 0) mail__name_mac(v, mail_s(i ? "tlas" : "salt"), name,
                                        mac);
        k->salt[i] = (char)mac[i % 32];
    }
    mail__name_mac(v, mail_s("keys"), name, k->stored);
    memcpy(k->server, k->stored, sizeof k->server);
}

/* The rounds of PBKDF2 are paid once: a password that was right leaves a
   proof of it, and the next login with the same password costs two
   microseconds, not a thousand and more. Why this gives nothing away:

   - The rounds guard the file `users`, should it be stolen. The proof is in
     no file. It is worth something only together with the key, which is
     random, new in each run, and in this memory only; and whoever reads this
     memory sees every password come by in clear.
   - Only the right password is quick, and who has it learns no more from the
     time than from the answer. A wrong one always pays all the rounds,
     whether there is a proof or not, and so does the name of nobody: guessing
     on line is as slow as ever, and the time does not tell who is a user.
   - The proof covers the line of the file that it was made from, and is kept
     with the user, whom a reload makes anew: a changed password, or a user
     that has gone, counts at once. There is one for each user, no more; close
     and reload wipe them. */
static int mail__user_known(mail_server *v, mail__user *u, mail__login *l) {
    mail_str plain;
    mail__user_proof(v, u ? u->secret : mail_s(""), l->secret, l->proof);
    if (u == NULL) return 0;
    if (u->proved && mail_same_secret(l->proof, u->proof, sizeof u->proof))
        return 1;
    return mail_secret_plain(u->secret, &plain) && plain.n &&
           plain.n == l->secret.n &&
           mail_same_secret(plain.p, l->secret.p, plain.n);
}

static mail_err mail__user_apop(const mail__user *u, const char *stamp,
                                mail_str got) {
    mail_str plain = mail_sn("", 0);
    int has = u && mail_secret_plain(u->secret, &plain) && plain.n;
    char digest[33];
    mail_apop(mail_s(stamp), plain, digest);
    return mail_same_secret(digest, got.p, 32) && has ? MAIL_ERR_OK
                                                      : MAIL_ERR_DENIED;
}

/* OK, DENIED, or MORE: the rounds of l->kdf are due. Keys are there at once,
   but if one user has a plain secret, for which they must be made, all wait
   for as long. */
static mail_err mail__login_first(mail_server *v, mail__user *u,
                                  const char *stamp, mail__login *l) {
    mail_str password = l->secret;
    mail_keys own;
    if (l->what == MAIL_EV_APOP) return mail__user_apop(u, stamp, l->secret);
    if (mail__user_known(v, u, l) && l->what == MAIL_EV_LOGIN)
        return MAIL_ERR_OK;
    mail__user_fake(v, l->name, &l->keys);      /* for a user, too: it takes */
    l->real = u && mail_secret_keys(u->secret, &own) == MAIL_ERR_OK; /* time */
    if (l->real) l->keys = own;
    if (l->what == MAIL_EV_KEYS && !v->nplain) return MAIL_ERR_OK;
    if (l->what == MAIL_EV_KEYS &&
        (u == NULL || !mail_secret_plain(u->secret, &password)))
        password = mail_s("");
    mail_kdf_begin(&l->kdf, password, mail_sn(l->keys.salt, l->keys.nsalt),
                   l->keys.rounds);
    return MAIL_ERR_MORE;
}

/* The rounds are done. Meanwhile a reload may have changed the user: the
   proof tells. */
static mail_err mail__login_last(mail_server *v, mail__user *u,
                                 mail__login *l) {
    unsigned char salted[32], proof[32];
    mail_str plain;
    mail_keys got;
    int ok;
    mail_kdf_end(&l->kdf, salted);
    mail_keys_make(&got, salted);
    mail_wipe(salted, sizeof salted);
    if (l->what == MAIL_EV_KEYS) {
        if (!l->real && u && mail_secret_plain(u->secret, &plain) && plain.n) {
            memcpy(l->keys.stored, got.stored, 32);
            memcpy(l->keys.server, got.server, 32);
        }
        return MAIL_ERR_OK;
    }
    mail__user_proof(v, u ? u->secret : mail_s(""), l->secret, proof);
    ok = mail_same_secret(got.stored, l->keys.stored, 32) & l->real &
         mail_same_secret(proof, l->proof, sizeof proof);
    mail_wipe(&got, sizeof got);
    if (!ok || u == NULL) return MAIL_ERR_DENIED;
    memcpy(u->proof, proof, sizeof u->proof);
    u->proved = 1;
    return MAIL_ERR_OK;
}

/* --- one login ----------------------------------------------------------- */

/* "bob", or "bob@one.of.our.domains": the name as the users have it, in lower
   case. */
static void mail__login_name(mail_server *v, mail_str name,
                             char out[MAIL_USER_SIZE]) {
    mail_path p;
    size_t i;
    if (name.n && memchr(name.p, '@', name.n) &&
        mail_path_mailbox(name, &p) == MAIL_ERR_OK &&
        mail__our_domain(&v->opts.routing, p.domain)) name = mail_s(p.local);
    mail_copy(out, MAIL_USER_SIZE, name);
    for (i = 0; out[i]; i++) out[i] = mail__lower(out[i]);
}

static void mail__login_free(mail_server *v, mail_conn *c) {
    mail__login *l = c->login, **at = &v->logins;
    if (l == NULL) return;
    while (*at && *at != l) at = &(*at)->next;
    if (*at) *at = l->next;
    mail_wipe(l, sizeof *l);
    mail__free(v, l);
    c->login = NULL;
}

/* The answer goes out. */
static void mail__login_say(mail_server *v, mail_conn *c, mail_err e) {
    mail__user *u = c->login ? mail__login_user(v, c->login->name) : NULL;
    mail__login_free(v, c);
    if (e == MAIL_ERR_OK && u == NULL) e = MAIL_ERR_DENIED;
    if (c->role == 'p') {
        mail__pop3d_admit(v, c, u, e);
        return;
    }
    mail__tell(v, c, MAIL_NOTE_FATE, "", "login %s from %s",
               e ? "refused" : u->name, c->peer);
    if (e == MAIL_ERR_OK || e == MAIL_ERR_DENIED)
        mail_smtpd_reply(&c->u.smtpd, e ? 535 : 235, NULL);
    else if (e == MAIL_ERR_CLOSED) mail_smtpd_reply(&c->u.smtpd, 421, NULL);
    else mail_smtpd_reply(&c->u.smtpd, 454, e == MAIL_ERR_TEMPFAIL
                          ? "4.7.0 too many wrong passwords: try again later"
                          : "4.3.0 out of memory");
}

/* It is decided. The answer to a wrong password waits. */
static void mail__login_end(mail_server *v, mail_conn *c, mail_err e) {
    mail__login *l = c->login;
    l->verdict = e;
    l->due = mail__now(v);
    if (e == MAIL_ERR_OK) mail__guess_right(v, c, l->name);
    if (e == MAIL_ERR_DENIED) l->due = mail__guess_wrong(v, c, l->name);
    if (l->due <= mail__now(v)) mail__login_say(v, c, e);
}

/* SCRAM goes on, until PROOF. */
static void mail__login_keys(mail_server *v, mail_conn *c) {
    unsigned char r[18];
    char nonce[MAIL_B64_SIZE(sizeof r) + 1];
    mail_buf b = mail_buf_on(nonce, sizeof nonce - 1);
    v->sys.random(v->sys.ctx, r, sizeof r);
    mail_b64_encode(&b, mail_sn((char *)r, sizeof r));
    nonce[b.n] = 0;
    memcpy(c->keyed, c->login->proof, sizeof c->keyed);
    if (c->role == 's') mail_smtpd_keys(&c->u.smtpd, &c->login->keys, nonce);
    else mail_pop3d_keys(&c->u.pop3d, &c->login->keys, nonce);
    mail__login_free(v, c);
}

static void mail__login_done(mail_server *v, mail_conn *c, mail_err e) {
    if (e == MAIL_ERR_OK && c->login->what == MAIL_EV_KEYS)
        mail__login_keys(v, c);
    else mail__login_end(v, c, e);
}

/* Its time has come to be looked at, or to be answered. */
static void mail__login_turn(mail_server *v, mail_conn *c) {
    mail__login *l = c->login, **at = &v->logins;
    mail_err e;
    if (l->verdict || v->stopping) {
        mail__login_say(v, c, l->verdict ? l->verdict : MAIL_ERR_CLOSED);
        return;
    }
    l->due = mail__guess_wait(v, c, 0);
    if (l->due > mail__now(v)) return;
    l->due = INT64_MAX;
    mail__guess_wait(v, c, 1);
    e = mail__guess_locked(v, c, l->name) ? MAIL_ERR_TEMPFAIL
        : mail__login_first(v, mail__login_user(v, l->name), c->stamp, l);
    if (e == MAIL_ERR_MORE) {
        while (*at) at = &(*at)->next;
        *at = l;
        mail__due(v, mail__now(v));
    } else mail__login_done(v, c, e);
}

/* The client's proof, of the keys that he was shown: a reload since then may
   have changed his secret, and it is the old password that was proved. */
static void mail__login_proof(mail_server *v, mail_conn *c, int right) {
    mail__login *l = c->login;
    mail__user_known(v, mail__login_user(v, l->name), l);
    right &= mail_same_secret(l->proof, c->keyed, sizeof c->keyed);
    mail__login_end(v, c, right ? MAIL_ERR_OK : MAIL_ERR_DENIED);
}

static void mail__login_begin(mail_server *v, mail_conn *c,
                              const mail_event *ev) {
    mail__login *l = (mail__login *)mail__alloc(v, sizeof *l);
    c->login = l;
    if (l == NULL) {
        mail__login_say(v, c, MAIL_ERR_NOMEM);
        return;
    }
    mail__server_key(v);
    l->conn = c;
    l->what = ev->kind;
    l->secret = ev->secret;
    mail__login_name(v, ev->user, l->name);
    if (ev->kind != MAIL_EV_PROOF) mail__login_turn(v, c);
    else mail__login_proof(v, c, ev->code);
}

/* Some rounds for those who wait for them, in turn. */
static void mail__logins(mail_server *v) {
    unsigned left = MAIL__ROUNDS_TURN;
    while (v->logins && left) {
        mail__login *l = v->logins, **at = &v->logins;
        mail_conn *c = l->conn;
        unsigned before = l->kdf.left;
        mail_kdf_run(&l->kdf, left < MAIL__ROUNDS_PART ? left
                                                       : MAIL__ROUNDS_PART);
        left -= before - l->kdf.left;
        v->logins = l->next;
        l->next = NULL;
        if (l->kdf.left) {
            while (*at) at = &(*at)->next;
            *at = l;
        } else {
            mail__login_done(v, c, mail__login_last(v,
                             mail__login_user(v, l->name), l));
            mail__conn_go(v, c);
        }
        if (left && before == 0) left--;       /* a round is paid by each */
    }
    if (v->logins) mail__due(v, mail__now(v));
}

/* ======================================================================
   [SERVER ALIASES] names that stand for others                      ch.5
   The file `aliases`, in sendmail's form:

       # a comment
       postmaster: bob
       staff:      alice, bob, carol@elsewhere.example,
                   students
       bob:        bob, bob@phone.example     # his mailbox, and there

   A target is a user, another alias or an address; a name that stands for
   itself, or is written \name, is the user. Programs (|prog), files (/file)
   and :include: are refused: whoever can write into this file must not be
   able to run anything. A file with an error changes nothing.
   ====================================================================== */

static void mail__aliases_free(mail_server *v, mail__aliases *s) {
    mail__free(v, s->text);
    mail__free(v, s->list);
    mail__free(v, s->to);
    memset(s, 0, sizeof *s);
}

/* "staff", "Staff+x" and "staff@one.of.our.domains" are the same one. */
static mail__alias *mail__alias_find(mail__aliases *s, mail_str name) {
    mail_str rest = name;
    size_t i;
    name = mail_cut(&rest, '+');
    for (i = 0; i < s->n; i++)
        if (mail_ieq(s->list[i].name, name)) return &s->list[i];
    return NULL;
}

static mail__alias *mail__alias_of(mail_server *v, const mail_path *p) {
    return mail__our_domain(&v->opts.routing, p->domain)
           ? mail__alias_find(&v->aliases, mail_s(p->local)) : NULL;
}

/* A target as a path; a name alone is in the domain that was written to. */
static mail_err mail__alias_path(mail_str to, const char *domain,
                                 mail_path *out) {
    char text[MAIL_PATH_SIZE];
    mail_buf b = mail_buf_on(text, sizeof text);
    if (to.n && to.p[0] == '\\') to.p++, to.n--;
    mail_buf_add(&b, to);
    if (to.n && memchr(to.p, '@', to.n) == NULL) {
        mail_buf_add(&b, mail_s("@"));
        mail_buf_add(&b, mail_s(domain));
    }
    return b.full ? MAIL_ERR_TOOLONG
                  : mail_path_mailbox(mail_buf_str(&b), out);
}

/* The alias that a target of a is, or NULL: it is somebody. */
static mail__alias *mail__alias_next(mail_server *v, mail__aliases *s,
                                     const mail__alias *a, mail_str to,
                                     const mail_path *p) {
    mail__alias *b = to.p[0] == '\\' ||
                     !mail__our_domain(&v->opts.routing, p->domain)
                     ? NULL : mail__alias_find(s, mail_s(p->local));
    return b == a ? NULL : b;
}

/* Calls each for everybody behind an alias, whom it may find twice; each
   alias on the way is looked at once, however they hang together. */
static mail_err mail__alias_walk(mail_server *v, mail__alias *a,
                                 const mail_path *rcpt,
                                 mail_err (*each)(void *arg,
                                                  const mail_path *to),
                                 void *arg) {
    mail__aliases *s = &v->aliases;
    const char *domain = rcpt->domain[0] ? rcpt->domain
                                         : v->opts.routing.domains[0];
    mail__alias *last = a;
    mail_err e = MAIL_ERR_OK;
    a->up = NULL;
    a->color = ++s->walk;
    for (; a && !e; a = a->up) {
        size_t i;
        for (i = a->first; i < a->first + a->n && !e; i++) {
            mail_path to;
            mail__alias *b;
            e = mail__alias_path(s->to[i], domain, &to);
            b = e ? NULL : mail__alias_next(v, s, a, s->to[i], &to);
            if (!e && b == NULL) e = each(arg, &to);
            if (b == NULL || b->color == s->walk) continue;
            b->color = s->walk;
            b->up = NULL;
            last = last->up = b;
        }
    }
    return e;
}

/* Does a chain of aliases lead back to its beginning? In depth, without
   recursion: color 1 is on the way, 2 is done. Returns where, or NULL. */
static mail__alias *mail__alias_loop(mail_server *v, mail__aliases *s) {
    size_t i;
    for (i = 0; i < s->n; i++) {
        mail__alias *a = &s->list[i];
        if (a->color) continue;
        a->up = NULL;
        a->color = 1;
        while (a) {
            mail_path to;
            mail_str t;
            mail__alias *b;
            if (a->next == a->n) {
                a->color = 2;
                a = a->up;
                continue;
            }
            t = s->to[a->first + a->next++];
            if (mail__alias_path(t, v->opts.routing.domains[0], &to))
                continue;                      /* too long in that domain */
            b = mail__alias_next(v, s, a, t, &to);
            if (b && b->color == 1) return b;
            if (b == NULL || b->color) continue;
            b->color = 1;
            b->up = a;
            a = b;
        }
    }
    return NULL;
}

/* Cuts off what stands before c, but not a c in quotes. */
static mail_str mail__alias_cut(mail_str *rest, char c) {
    mail_str head = *rest;
    size_t i;
    int quoted = 0;
    for (i = 0; i < rest->n && (quoted || rest->p[i] != c); i++)
        if (rest->p[i] == '"') quoted = !quoted;
    head.n = i;
    i += i < rest->n;
    *rest = mail_sn(rest->p + i, rest->n - i);
    return head;
}

/* Why this is no target, or NULL. */
static const char *mail__alias_bad(mail_str to) {
    mail_str bare = to;
    mail_path p;
    if (bare.p[0] == '"') bare.p++, bare.n--;
    if (bare.n && bare.p[0] == '|') return "programs are not run";
    if (bare.n && bare.p[0] == '/') return "files are not written";
    if (mail_starts(bare, ":include:")) return "there is no :include:";
    return mail__alias_path(to, "x", &p) ? "this is no address" : NULL;
}

/* The targets in a line, for the newest alias. Returns what is wrong. */
static const char *mail__alias_targets(mail_server *v, mail__aliases *s,
                                       mail_str rest) {
    while (rest.n) {
        mail_str to = mail_trim(mail__alias_cut(&rest, ','));
        const char *bad = to.n ? mail__alias_bad(to) : NULL;
        if (bad) return bad;
        if (to.n == 0) continue;
        if (!mail__grow(v, (void **)&s->to, s->nto, &s->to_cap, sizeof to))
            return mail_err_text(MAIL_ERR_NOMEM);
        s->to[s->nto++] = to;
        s->list[s->n - 1].n++;
    }
    return NULL;
}

/* One line: "name: targets", more targets behind a space, or nothing. */
static const char *mail__alias_line(mail_server *v, mail__aliases *s,
                                    mail_str line, int number) {
    int more = line.n && (line.p[0] == ' ' || line.p[0] == '\t');
    mail_str name;
    mail_path p;
    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    line = mail__alias_cut(&line, '#');
    if (mail_trim(line).n == 0) return NULL;
    if (more) return s->n ? mail__alias_targets(v, s, line)
                          : "a line before it is missing";
    name = mail__alias_cut(&line, ':');
    if (name.p + name.n == line.p) return "write NAME: TARGET, TARGET";
    name = mail_trim(name);
    if (name.n == 0 || memchr(name.p, '@', name.n) ||
        mail__alias_path(name, "x", &p) || name.p[0] == '\\')
        return "write NAME: TARGET, TARGET";
    if (mail__alias_find(s, name)) return "this name was there before";
    if (!mail__grow(v, (void **)&s->list, s->n, &s->cap, sizeof *s->list))
        return mail_err_text(MAIL_ERR_NOMEM);
    memset(&s->list[s->n], 0, sizeof *s->list);
    s->list[s->n].name = name;
    s->list[s->n].first = s->nto;
    s->list[s->n++].line = number;
    return mail__alias_targets(v, s, line);
}

/* Reads `aliases`. After an error, which the log names, the old ones stay. */
static mail_err mail__aliases_read(mail_server *v) {
    mail__aliases s;
    mail__alias *loop;
    const char *bad = NULL;
    size_t n;
    int line = 0;
    mail_err e;
    mail_str rest;
    memset(&s, 0, sizeof s);
    s.text = mail__slurp(v, "aliases", MAIL__SMALL, &n, &e);
    if (s.text == NULL && e != MAIL_ERR_NOTFOUND) bad = mail_err_text(e);
    else e = MAIL_ERR_OK;
    rest = mail_sn(s.text ? s.text : "", n);
    while (rest.n && !bad)
        bad = mail__alias_line(v, &s, mail_cut(&rest, '\n'), ++line);
    loop = bad ? NULL : mail__alias_loop(v, &s);
    if (loop) bad = "this name leads back to itself", line = loop->line;
    if (bad == mail_err_text(MAIL_ERR_NOMEM)) e = MAIL_ERR_NOMEM;
    if (bad) {
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "aliases, line %d: %s", line,
                   bad);
        mail__aliases_free(v, &s);
        return e ? e : MAIL_ERR_SYNTAX;
    }
    s.walk = 2;                   /* colors 1 and 2 are those of the loops */
    mail__aliases_free(v, &v->aliases);
    v->aliases = s;
    return MAIL_ERR_OK;
}

/* Both are tried: an error in one does not keep the other out. */
MAIL_DEF mail_err mail_server_reload(mail_server *v) {
    mail_err e = mail__users_read(v), a = mail__aliases_read(v);
    return e ? e : a;
}

/* ======================================================================
   [SERVER ITEM] messages                                            ch.8
   A message in the queue is a small thing; its letter, which says who it is
   from and for, is read again whenever it is needed.
   ====================================================================== */

static const char *mail__id(const mail__item *m, char id[MAIL_ID_SIZE]) {
    mail_id_write(id, m->time, m->run, m->number);
    return id;
}

/* "queue/" ID ".state", and the like. */
static const char *mail__name(const mail__item *m, const char *dir,
                              const char *suffix, char name[MAIL_NAME_SIZE]) {
    char id[MAIL_ID_SIZE];
    snprintf(name, MAIL_NAME_SIZE, "%s%s%s", dir, mail__id(m, id), suffix);
    return name;
}

static size_t mail__id_hash(int64_t time, uint32_t run, uint32_t number) {
    return ((size_t)time + run + number) * 2654435761u;
}

static mail__item **mail__id_place(mail_server *v, int64_t time,
                                   uint32_t run, uint32_t number) {
    return &v->ids[mail__id_hash(time, run, number) >> 4 & (v->nids - 1)];
}

static mail__item *mail__item_find(mail_server *v, mail_str id) {
    mail__item *m;
    int64_t time;
    uint32_t run, number;
    if (v->nids == 0 || mail_id_read(id, &time, &run, &number)) return NULL;
    m = *mail__id_place(v, time, run, number);
    while (m && (m->time != time || m->run != run || m->number != number))
        m = m->chain;
    return m;
}

/* Twice as many places; without memory the chains get longer. */
static void mail__ids_grow(mail_server *v) {
    size_t n = v->nids ? v->nids * 2 : 64, i;
    mail__item **old = v->ids, *m, *next, **place;
    size_t nold = v->nids;
    mail__item **ids = (mail__item **)mail__alloc(v, n * sizeof *ids);
    if (ids == NULL) return;
    v->ids = ids;
    v->nids = n;
    for (i = 0; i < nold; i++)
        for (m = old[i]; m; m = next) {
            next = m->chain;
            place = mail__id_place(v, m->time, m->run, m->number);
            m->chain = *place;
            *place = m;
        }
    mail__free(v, old);
}

static void mail__item_link(mail_server *v, mail__item *m) {
    mail__item **place;
    if (v->nqueue >= v->nids) mail__ids_grow(v);
    place = mail__id_place(v, m->time, m->run, m->number);
    m->chain = *place;
    *place = m;
    m->next = NULL;
    m->prev = v->newest;
    if (m->prev) m->prev->next = m;
    else v->queue = m;
    v->newest = m;
    v->nqueue++;
    m->stage = MAIL__QUEUED;
}

static void mail__item_unlink(mail_server *v, mail__item *m) {
    mail__item **place = mail__id_place(v, m->time, m->run, m->number);
    while (*place != m) place = &(*place)->chain;
    *place = m->chain;
    if (m->prev) m->prev->next = m->next;
    else v->queue = m->next;
    if (m->next) m->next->prev = m->prev;
    else v->newest = m->prev;
    v->nqueue--;
}

/* Not in the queue: being received, or leaving. */
static void mail__item_move(mail_server *v, mail__item *m) {
    m->prev = NULL;
    m->next = v->moving;
    if (m->next) m->next->prev = m;
    v->moving = m;
}

static void mail__item_moved(mail_server *v, mail__item *m) {
    if (m->prev) m->prev->next = m->next;
    else v->moving = m->next;
    if (m->next) m->next->prev = m->prev;
}

/* On the list of a segment are those who have an A or an F in it. */
static void mail__list_add(mail_server *v, mail__item *m, int k) {
    mail__segment *g = &v->segs[k];
    if (m->listed & 1 << k) return;
    m->listed = (unsigned char)(m->listed | 1 << k);
    m->in[k].prev = NULL;
    m->in[k].next = g->list;
    if (g->list) g->list->in[k].prev = m;
    g->list = m;
}

static void mail__list_cut(mail_server *v, mail__item *m, int k) {
    if (!(m->listed & 1 << k)) return;
    if (v->check.seg == k && v->check.next == m)
        v->check.next = m->in[k].next;
    m->listed = (unsigned char)(m->listed & ~(1 << k));
    if (m->in[k].prev) m->in[k].prev->in[k].next = m->in[k].next;
    else v->segs[k].list = m->in[k].next;
    if (m->in[k].next) m->in[k].next->in[k].prev = m->in[k].prev;
}

/* --- the letter --------------------------------------------------------- */

static int mail__rcpt_due(const mail__rcpt *r) {
    return r->fate == MAIL_FATE_DUE || r->fate == MAIL_FATE_LATE;
}

/* The first n recipients stay. */
static void mail__letter_cut(mail_server *v, mail__letter *l, size_t n) {
    while (l->nrcpts > n) {
        mail__rcpt *r = &l->rcpts[--l->nrcpts];
        mail__free(v, r->words);
        mail__free(v, r->alias);
        mail__free(v, r->orcpt);
    }
}

static void mail__letter_drop(mail_server *v, mail__letter *l) {
    if (l == NULL) return;
    mail__letter_cut(v, l, 0);
    mail__free(v, l->rcpts);
    mail__free(v, l);
}

static void mail__letter_free(mail_server *v, mail__item *m) {
    mail__letter_drop(v, m->letter);
    m->letter = NULL;
}

/* One more, and octets of "alias <a@b>" and the like. TOOLONG: the envelope is
   full, or what becomes of all of them would not fit into a record. */
static mail_err mail__letter_room(mail__letter *l, const mail_path *p,
                                  const mail_param *param) {
    char text[MAIL_PATH_SIZE + MAIL_ORCPT_SIZE + 80];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_path_write(&b, p);
    if (param) mail_param_write(&b, param);
    if (l->nrcpts >= MAIL__RCPTS ||
        l->octets + b.n + 8 > MAIL__ENVELOPE - 1024) return MAIL_ERR_TOOLONG;
    l->octets += b.n + 8;
    return MAIL_ERR_OK;
}

/* What is asked for a recipient: reports. */
static mail_err mail__rcpt_asks(mail_server *v, mail__rcpt *r,
                                const mail_param *p) {
    size_t n = strlen(p->orcpt) + 1;
    r->notify = p->notify;
    if (n == 1) return MAIL_ERR_OK;
    r->orcpt = (char *)mail__alloc(v, n);
    if (r->orcpt == NULL) return MAIL_ERR_NOMEM;
    memcpy(r->orcpt, p->orcpt, n);
    return MAIL_ERR_OK;
}

static void mail__rcpt_asked(const mail__rcpt *r, mail_param *p) {
    memset(p, 0, sizeof *p);
    p->notify = r->notify;
    if (r->orcpt) mail_copy(p->orcpt, sizeof p->orcpt, mail_s(r->orcpt));
}

/* One more recipient; the same one twice is one. param may be NULL. group: it
   is an alias, and nothing goes there. */
static mail_err mail__letter_add(mail_server *v, mail__letter *l,
                                 const mail_path *p, const mail_param *param,
                                 int group) {
    mail__rcpt *r;
    size_t i;
    for (i = 0; i < l->nrcpts; i++)
        if (l->rcpts[i].group == group &&
            mail_path_same(&l->rcpts[i].path, p)) return MAIL_ERR_OK;
    if (!mail__grow(v, (void **)&l->rcpts, l->nrcpts, &l->cap,
                    sizeof *l->rcpts)) return MAIL_ERR_NOMEM;
    r = &l->rcpts[l->nrcpts];
    memset(r, 0, sizeof *r);
    r->path = *p;
    r->group = group;
    if (group) r->fate = MAIL_FATE_EXPANDED;
    if (param && mail__rcpt_asks(v, r, param)) return MAIL_ERR_NOMEM;
    l->nrcpts++;
    return MAIL_ERR_OK;
}

static mail_err mail__letter_to(mail_server *v, mail__letter *l,
                                const mail_path *p, const mail_param *param) {
    return mail__letter_add(v, l, p, param, 0);
}

static void mail__letter_from(mail__letter *l, const mail_path *from,
                              const mail_param *p) {
    l->from = *from;
    l->ret = p->ret;
    l->utf8 = p->utf8;
    mail_copy(l->envid, sizeof l->envid, mail_s(p->envid));
}

static void mail__letter_asked(const mail__letter *l, mail_param *p) {
    memset(p, 0, sizeof *p);
    p->ret = l->ret;
    p->utf8 = l->utf8;
    mail_copy(p->envid, sizeof p->envid, mail_s(l->envid));
}

/* The last recipient stands for an alias: a report says so (RFC 3464 2.3.1),
   or its sender would hear of somebody whom he did not write to. */
static mail_err mail__letter_named(mail_server *v, mail__letter *l,
                                   const mail_path *alias) {
    mail__rcpt *r = l->nrcpts ? &l->rcpts[l->nrcpts - 1] : NULL;
    if (r == NULL) return MAIL_ERR_SYNTAX;
    if (r->alias) return MAIL_ERR_OK;
    r->alias = (mail_path *)mail__alloc(v, sizeof *r->alias);
    if (r->alias == NULL) return MAIL_ERR_NOMEM;
    *r->alias = *alias;
    return MAIL_ERR_OK;
}

/* One target of an alias: checked (l NULL), or put into the letter. */
typedef struct mail__behind {
    mail_server *v;
    mail__letter *l;
    const mail_path *alias;
    const mail_param *param;
    size_t n;
} mail__behind;

static mail_err mail__behind_one(void *arg, const mail_path *to) {
    mail__behind *b = (mail__behind *)arg;
    char hop[MAIL_NAME_SIZE + 8], path[MAIL_PATH_SIZE];
    size_t n;
    mail_err e;
    if (b->l == NULL) {
        b->n++;
        if (MAIL_ROUTE_FIND(&b->v->opts.routing, to, 1, hop) !=
            MAIL_ROUTE_NO_USER) return MAIL_ERR_OK;
        mail__tell(b->v, NULL, MAIL_NOTE_FATE, "", "aliases: behind %s there "
                   "is nobody", mail__show(to, path));
        return MAIL_ERR_NOTFOUND;
    }
    n = b->l->nrcpts;
    e = mail__letter_room(b->l, to, b->param);
    if (!e) e = mail__letter_room(b->l, b->alias, NULL);
    if (!e) e = mail__letter_to(b->v, b->l, to, b->param);
    if (e || b->l->nrcpts == n) return e;
    return mail__letter_named(b->v, b->l, b->alias);
}

/* Of one who stands behind an alias its sender hears what he asked to hear; of
   several that they do, and then only of failures (RFC 3461 5.2.7.3 c). */
static mail_err mail__letter_group(mail_server *v, mail__letter *l,
                                   const mail_path *p, mail_param *param) {
    mail_param whole = *param;
    if (!(param->notify & MAIL_NOTIFY_SUCCESS)) return MAIL_ERR_OK;
    param->notify &= ~(unsigned)MAIL_NOTIFY_SUCCESS;
    if (param->notify == 0) param->notify = MAIL_NOTIFY_NEVER;
    if (mail_path_null(&l->from)) return MAIL_ERR_OK;
    if (mail__letter_room(l, p, &whole)) return MAIL_ERR_TOOLONG;
    return mail__letter_add(v, l, p, &whole, 1);
}

/* All who stand behind an alias, or nobody: NOTFOUND if one of them is not
   there, TOOLONG if they are too many for one message. */
static mail_err mail__letter_alias(mail_server *v, mail__letter *l,
                                   mail__alias *a, const mail_path *p,
                                   const mail_param *param) {
    mail__behind b;
    mail_param each;
    size_t n = l->nrcpts, octets = l->octets;
    mail_err e;
    memset(&b, 0, sizeof b);
    memset(&each, 0, sizeof each);
    if (param) each = *param;
    b.v = v;
    b.alias = p;
    b.param = &each;
    e = mail__alias_walk(v, a, p, mail__behind_one, &b);
    if (!e && n + b.n > MAIL__RCPTS) e = MAIL_ERR_TOOLONG;
    b.l = l;
    if (!e && b.n > 1) e = mail__letter_group(v, l, p, &each);
    if (!e) e = mail__alias_walk(v, a, p, mail__behind_one, &b);
    if (!e) return e;
    mail__letter_cut(v, l, n);
    l->octets = octets;
    return e;
}

/* What became of a recipient, with the words of whoever said so. */
static void mail__rcpt_set(mail_server *v, mail__item *m, mail__rcpt *r,
                           mail_fate fate, int code, mail_str words) {
    char *w = (char *)mail__alloc(v, words.n + 1);
    if (fate != MAIL_FATE_DUE || r->fate != MAIL_FATE_LATE) r->fate = fate;
    r->code = code;
    m->changed = m->unsaved = 1;
    if (w == NULL) return;            /* the fate counts, not the words */
    mail_copy(w, words.n + 1, words);
    mail__free(v, r->words);
    r->words = w;
}

/* An envelope, up to its empty line, at the front of text: into m and its
   letter. */
static mail_err mail__envelope_read(mail_server *v, mail__item *m,
                                    mail_str text) {
    mail_str rest = text;
    mail__letter *l = m->letter;
    char id[MAIL_ID_SIZE];
    mail__id(m, id);
    while (rest.n && memchr(rest.p, '\n', rest.n)) {
        int first = rest.p == text.p;
        mail_queue_line q;
        mail_err e = mail_queue_read(mail_cut(&rest, '\n'), &q);
        if (e || first != (q.which == 'q')) return MAIL_ERR_SYNTAX;
        if (q.which == 'i' && !mail_eq(q.text, mail_s(id)))
            return MAIL_ERR_SYNTAX;
        if (q.which == 'f') mail__letter_from(l, &q.path, &q.param);
        if ((q.which == 'r' || q.which == 'g') &&
            (e = mail__letter_add(v, l, &q.path, &q.param,
                                  q.which == 'g')) != 0) return e;
        if (q.which == 'o' && (e = mail__letter_named(v, l, &q.path)) != 0)
            return e;
        if (q.which == 't') {
            m->size = q.size;
            m->wire = q.wire;
            m->eight = q.eight != 0;
            m->apart = q.apart != 0;
        }
        m->text_at = (uint32_t)(rest.p - text.p);
        if (q.which == 0) return l->nrcpts ? MAIL_ERR_OK : MAIL_ERR_SYNTAX;
    }
    return MAIL_ERR_SYNTAX;
}

/* What reports are about: the fate, the line of the report's envelope that
   says so, and what becomes of that fate by it. */
static const struct mail__tell {
    mail_fate due, told;
    char which;
} mail__tells[] = {
    { MAIL_FATE_FAILED, MAIL_FATE_TOLD, 'a' },
    { MAIL_FATE_DELIVERED, MAIL_FATE_BOXED, 'd' },
    { MAIL_FATE_RELAYED, MAIL_FATE_SENT, 'y' },
    { MAIL_FATE_EXPANDED, MAIL_FATE_TOLD, 'e' },
    { MAIL_FATE_DUE, MAIL_FATE_LATE, 'l' }
};
enum { MAIL__TELLS = sizeof mail__tells / sizeof mail__tells[0] };

/* Of a fate, or (of a line) by its letter; NULL: there is nothing to tell. */
static const struct mail__tell *mail__tell_of(mail_fate f, char which) {
    size_t i;
    for (i = 0; i < MAIL__TELLS; i++)
        if (which ? mail__tells[i].which == which : mail__tells[i].due == f)
            return &mail__tells[i];
    return NULL;
}

/* Is there a report to come that nothing else is waited for? */
static int mail__fate_tells(mail_fate f) {
    return f != MAIL_FATE_DUE && mail__tell_of(f, 0) != NULL;
}

static int mail__letter_tells(const mail__letter *l) {
    size_t i;
    for (i = 0; i < l->nrcpts; i++)
        if (mail__fate_tells(l->rcpts[i].fate)) return 1;
    return 0;
}

/* Does its sender want to hear of this fate? RFC 3461 5.2; never of a report
   (5321-139). */
static int mail__rcpt_wants(const mail__letter *l, const mail__rcpt *r,
                            mail_fate f) {
    unsigned bit = f == MAIL_FATE_FAILED ? MAIL_NOTIFY_FAILURE :
                   f == MAIL_FATE_DUE ? MAIL_NOTIFY_DELAY
                                      : MAIL_NOTIFY_SUCCESS;
    unsigned asked = r->notify ? r->notify
                               : MAIL_NOTIFY_FAILURE | MAIL_NOTIFY_DELAY;
    return !mail_path_null(&l->from) && (asked & bit);
}

/* In a mailbox: is that to be told? */
static mail_fate mail__rcpt_boxed(const mail__letter *l,
                                  const mail__rcpt *r) {
    return mail__rcpt_wants(l, r, MAIL_FATE_DELIVERED) ? MAIL_FATE_DELIVERED
                                                       : MAIL_FATE_BOXED;
}

/* Whom a report tells about. */
static void mail__about_write(const mail__draft *d, mail_buf *b) {
    mail_queue_line q;
    char id[MAIL_ID_SIZE];
    size_t i;
    memset(&q, 0, sizeof q);
    if (d->about) q.which = mail__tell_of(d->fate, 0)->which;
    for (i = 0; d->about && i < d->about->letter->nrcpts; i++) {
        if (!d->about->letter->rcpts[i].told) continue;
        q.text = mail_s(mail__id(d->about, id));
        q.number = (int64_t)i;
        mail_queue_write(b, &q);
    }
}

/* The envelope of a message, to be written. */
static void mail__envelope_write(mail__item *m, mail_buf *b) {
    mail__letter *l = m->letter;
    mail_queue_line q;
    char id[MAIL_ID_SIZE];
    size_t i;
    memset(&q, 0, sizeof q);
    q.which = 'q';
    mail_queue_write(b, &q);
    q.which = 'i';
    q.text = mail_s(mail__id(m, id));
    mail_queue_write(b, &q);
    q.which = 't';
    q.size = m->size;
    q.wire = m->wire;
    q.eight = m->eight;
    q.apart = m->apart;
    mail_queue_write(b, &q);
    q.which = 'f';
    q.path = l->from;
    mail__letter_asked(l, &q.param);
    mail_queue_write(b, &q);
    for (i = 0; i < l->nrcpts; i++) {
        q.which = l->rcpts[i].group ? 'g' : 'r';
        q.path = l->rcpts[i].path;
        mail__rcpt_asked(&l->rcpts[i], &q.param);
        mail_queue_write(b, &q);
        if (l->rcpts[i].alias == NULL) continue;
        memset(&q.param, 0, sizeof q.param);
        q.which = 'o';
        q.path = *l->rcpts[i].alias;
        mail_queue_write(b, &q);
    }
    mail__about_write(m->draft, b);
    q.which = 0;
    mail_queue_write(b, &q);
    m->text_at = (uint32_t)b->n;
}

/* The lines of a state file: into b, or out of it. boxed: as a checkpoint
   under way will have made them. */
static void mail__state_put(const mail__item *m, mail_buf *b, int boxed) {
    const mail__letter *l = m->letter;
    size_t i, most = l->nrcpts ? MAIL__ENVELOPE / l->nrcpts - 48 : 0;
    for (i = 0; i < l->nrcpts; i++) {
        const mail__rcpt *r = &l->rcpts[i];
        mail_state_line s;
        s.n = (int64_t)i;
        s.fate = boxed && r->made ? mail__rcpt_boxed(l, r) : r->fate;
        s.tries = r->job ? r->job->tries : r->tries;
        s.code = r->code;
        s.words = mail_s(boxed && r->made ? "2.0.0 boxed" : r->words);
        if (s.words.n > most) s.words.n = most;    /* all fates have room */
        if (s.fate == MAIL_FATE_DUE && !s.tries && !s.words.n) continue;
        mail_state_write(b, &s);
    }
}

/* What has become of a recipient does not unbecome. So of two that tell of
   it the one that knows more is right, in whatever order they come: an F that
   is still in one segment may be older than the state that the checkpoint of
   the other has written; one that says "failed" may have been written while
   the report, durable since, was on its way. */
static int mail__fate_rank(mail_fate f) {
    return f == MAIL_FATE_DUE ? 0 : f == MAIL_FATE_LATE ? 1 :
           mail__fate_tells(f) ? 2 : 3;
}

/* Recipient n; NULL: there is none. A message that is unread has as many as
   are spoken of; NULL: out of memory. */
static mail__rcpt *mail__letter_rcpt(mail_server *v, mail__item *m,
                                     int64_t n) {
    mail__letter *l = m->letter;
    while (m->unread && l->nrcpts <= (uint64_t)n) {
        if (!mail__grow(v, (void **)&l->rcpts, l->nrcpts, &l->cap,
                        sizeof *l->rcpts)) return NULL;
        memset(&l->rcpts[l->nrcpts++], 0, sizeof *l->rcpts);
    }
    return (uint64_t)n < l->nrcpts ? &l->rcpts[n] : NULL;
}

static mail_err mail__state_get(mail_server *v, mail__item *m,
                                mail_str text) {
    mail__letter *l = m->letter;
    while (text.n) {
        mail_state_line s;
        mail__rcpt *r;
        if (mail_state_read(mail_cut(&text, '\n'), &s)) continue;
        r = mail__letter_rcpt(v, m, s.n);
        if (r == NULL && m->unread) return MAIL_ERR_NOMEM;
        if (r == NULL) continue;
        if (mail__fate_rank(s.fate) < mail__fate_rank(r->fate)) continue;
        r->tries = (int)s.tries;
        mail__rcpt_set(v, m, r, s.fate, (int)s.code, s.words);
        if (s.fate == MAIL_FATE_TOLD && mail_path_null(&l->from) &&
            !m->unread)
            m->dead = 1;               /* nobody was told: it is set aside */
    }
    return MAIL_ERR_OK;
}

/* queue/ID.state, if there is one. */
static mail_err mail__state_load(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE], *text;
    size_t n;
    mail_err e;
    if (!m->has_state) return MAIL_ERR_OK;
    text = mail__slurp(v, mail__name(m, "queue/", ".state", name),
                       MAIL__SMALL, &n, &e);
    if (text) e = mail__state_get(v, m, mail_sn(text, n));
    mail__free(v, text);
    m->changed = m->unsaved = 0;
    return e;
}

/* --- its jobs ----------------------------------------------------------- */

static void mail__job_free(mail_server *v, mail__job *j) {
    mail__job **at = &j->item->jobs;
    while (*at != j) at = &(*at)->next;
    *at = j->next;
    mail__hop_leave(j);
    if (j->hop) {
        j->hop->jobs--;
        mail__hop_free(v, j->hop);
    }
    mail__free(v, j);
}

/* A job for each way that somebody who is due goes; those that there are
   already stay. */
static mail_err mail__jobs_make(mail_server *v, mail__item *m) {
    mail__letter *l = m->letter;
    char to[MAIL_NAME_SIZE + 8], from[MAIL_PATH_SIZE];
    size_t i;
    for (i = 0; i < l->nrcpts && !m->unread; i++) {
        mail__rcpt *r = &l->rcpts[i];
        mail__hop *h = NULL;
        mail__job *j;
        if (!mail__rcpt_due(r)) continue;
        if (MAIL_ROUTE_FIND(&v->opts.routing, &r->path, 1, to) ==
                MAIL_ROUTE_RELAY && (h = mail__hop_find(v, to)) == NULL)
            return MAIL_ERR_NOMEM;
        for (j = m->jobs; j && j->hop != h; j = j->next) {}
        if (j == NULL) {
            j = (mail__job *)mail__alloc(v, sizeof *j);
            if (j == NULL && h) mail__hop_free(v, h);
            if (j == NULL) return MAIL_ERR_NOMEM;
            j->item = m;
            j->hop = h;
            j->tries = r->tries;
            j->due = mail__now(v);
            j->line = (unsigned char)(mail__hash(mail_s(mail__show(
                &l->from, from))) % MAIL__LINES);
            j->next = m->jobs;
            m->jobs = j;
            if (h) h->jobs++;
        }
        r->job = j;
    }
    return MAIL_ERR_OK;
}

/* How many recipients have that fate? */
static size_t mail__count(const mail__item *m, mail_fate fate) {
    size_t i, n = 0;
    for (i = 0; i < m->letter->nrcpts; i++)
        n += m->letter->rcpts[i].fate == fate;
    return n;
}

/* A letter from the disk: its state, too. */
static mail_err mail__letter_load(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE];
    int file = -1;
    int64_t n = -1;
    mail_err e;
    m->letter = (mail__letter *)mail__alloc(v, sizeof *m->letter);
    if (m->letter == NULL) return MAIL_ERR_NOMEM;
    if (m->seg >= 0)
        n = v->sys.read(v->sys.ctx, v->segs[m->seg].file, m->at, v->block,
                        MAIL__BLOCK);
    else {
        file = v->sys.open(v->sys.ctx, mail__name(m, "queue/", "", name),
                           MAIL_OPEN_READ);
        if (file >= 0)
            n = v->sys.read(v->sys.ctx, file, 0, v->block, MAIL__BLOCK);
        if (file >= 0) v->sys.close(v->sys.ctx, file);
    }
    e = n < 0 ? MAIL_ERR_IO
              : mail__envelope_read(v, m, mail_sn(v->block, (size_t)n));
    if (e == MAIL_ERR_OK && m->seg < 0) e = mail__state_load(v, m);
    return e;
}

/* The letter of a message, read again if need be; then with what is known of
   it by now. */
static mail_err mail__letter_get(mail_server *v, mail__item *m) {
    mail__letter *known = m->letter;
    unsigned char unread = m->unread, changed = m->changed;
    mail_err e;
    if (known && !unread) return MAIL_ERR_OK;
    m->unread = 0;
    e = mail__letter_load(v, m);
    if (e == MAIL_ERR_OK && known) {
        mail_buf b = mail_buf_on(v->block, MAIL__BLOCK);
        mail__letter *l = m->letter;
        m->letter = known;
        mail__state_put(m, &b, 0);
        m->letter = l;
        e = mail__state_get(v, m, mail_buf_str(&b));
        m->changed = changed;
        m->unsaved = m->blind;
    }
    if (e == MAIL_ERR_OK) e = mail__jobs_make(v, m);
    if (e) {
        mail__letter_free(v, m);
        m->letter = known;
        m->unread = unread;
        m->changed = changed;
        return e;
    }
    mail__letter_drop(v, known);
    m->blind = 0;
    return MAIL_ERR_OK;
}

/* Its file cannot be read now. What the journal says of it is kept: in a
   letter where nobody has a name, and, with the next checkpoint, in its state
   file. blind: that cannot be read either, and is not written over. */
static mail_err mail__letter_unread(mail_server *v, mail__item *m) {
    mail_err e;
    while (m->jobs) mail__job_free(v, m->jobs);
    m->unread = 1;
    if (m->letter) return MAIL_ERR_OK;
    m->letter = (mail__letter *)mail__alloc(v, sizeof *m->letter);
    if (m->letter == NULL) return MAIL_ERR_NOMEM;
    e = mail__state_load(v, m);
    m->blind = e != MAIL_ERR_OK;
    return e == MAIL_ERR_NOMEM ? e : MAIL_ERR_OK;
}

/* It may go from memory, unless it is needed or newer than the disk. */
static void mail__letter_rest(mail_server *v, mail__item *m) {
    if (m->stage == MAIL__QUEUED && !m->busy && !m->changed && !m->check &&
        !m->puts)
        mail__letter_free(v, m);
}

/* The text of a message: the open file (*owned: to be closed), and from
   where to where. First comes the Return-Path line; without skips it. */
static int mail__text_open(mail_server *v, mail__item *m, int without,
                           int64_t *at, int64_t *end, int *owned) {
    char name[MAIL_NAME_SIZE];
    *owned = m->seg < 0 || m->apart;
    *at = m->apart ? 0 : m->text_at + (m->seg < 0 ? 0 : m->at);
    *end = *at + m->size;
    if (without) {
        char line[MAIL_PATH_SIZE];
        mail_buf b = mail_buf_on(line, sizeof line);
        mail_path_write(&b, &m->letter->from);
        *at += (int64_t)(b.n + strlen("Return-Path: \n"));
    }
    if (!*owned) return v->segs[m->seg].file;
    return v->sys.open(v->sys.ctx, mail__name(m, "queue/",
                       m->apart ? ".text" : "", name), MAIL_OPEN_READ);
}

/* --- a new one ---------------------------------------------------------- */

static void mail__draft_free(mail_server *v, mail__item *m) {
    mail__draft *d = m->draft;
    m->draft = NULL;
    if (d == NULL) return;
    if (d->file >= 0) v->sys.close(v->sys.ctx, d->file);
    mail__free(v, d->text);
    mail__free(v, d);
}

static mail__item *mail__item_alloc(mail_server *v) {
    mail__item *m;
    if (!mail__timer_room(v)) return NULL;
    m = (mail__item *)mail__alloc(v, sizeof *m);
    if (m) m->letter = (mail__letter *)mail__alloc(v, sizeof *m->letter);
    if (m == NULL || m->letter == NULL) {
        mail__free(v, m);
        v->timed--;
        return NULL;
    }
    m->seg = -1;
    m->born = mail__now(v);
    mail__item_move(v, m);
    return m;
}

static mail__item *mail__item_new(mail_server *v) {
    mail__item *m = mail__item_alloc(v);
    if (m == NULL) return NULL;
    m->time = mail__time(v, NULL);
    if (m->time < 0) m->time = 0;
    m->run = v->run;
    m->number = ++v->ids_given;
    return m;
}

/* Out of memory with it; what is on the disk stays, but for what a
   checkpoint had begun. */
static void mail__item_free(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE];
    if (m->tmp) mail__remove(v, mail__name(m, "queue/tmp/", "", name));
    if (m->tmp_state)
        mail__remove(v, mail__name(m, "queue/tmp/", ".state", name));
    mail__list_cut(v, m, 0);
    mail__list_cut(v, m, 1);
    while (m->jobs) mail__job_free(v, m->jobs);
    mail__letter_free(v, m);
    mail__draft_free(v, m);
    mail__timer_end(v, &m->timer);
    if (m->stage == MAIL__QUEUED) mail__item_unlink(v, m);
    else mail__item_moved(v, m);
    mail__free(v, m);
}

/* It comes to nothing, before it was accepted. */
static void mail__item_drop(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE];
    if (m->apart) mail__remove(v, mail__name(m, "queue/", ".text", name));
    mail__item_free(v, m);
}

/* The text collected so far goes to queue/ID.text. */
static void mail__draft_write(mail_server *v, mail__item *m) {
    mail__draft *d = m->draft;
    char name[MAIL_NAME_SIZE];
    if (!m->apart && !d->err) {
        mail__name(m, "queue/", ".text", name);
        d->file = v->sys.open(v->sys.ctx, name, MAIL_OPEN_NEW);
        mail__tell(v, NULL, MAIL_NOTE_DISK, "", "write %s", name);
        m->apart = d->file >= 0;
        d->lost = v->lost;
        if (d->file < 0) {    /* a name that is taken is not ours: hands off */
            d->err = (mail_err)(-1 - d->file);
            if (d->err == MAIL_ERR_EXISTS) d->err = MAIL_ERR_IO;
        }
    }
    if (!d->err) d->err = v->sys.write(v->sys.ctx, d->file, d->written,
                                       d->text, d->n);
    d->written += (int64_t)d->n;
    d->n = 0;
}

/* Wire text into the draft, in mailbox form. */
static void mail__draft_add(mail_server *v, mail__item *m, mail_str s) {
    mail__draft *d = m->draft;
    while (s.n && !d->err) {
        size_t k = s.n < MAIL__READ ? s.n : MAIL__READ;
        if (d->n + k + 1 > MAIL__DRAFT) mail__draft_write(v, m);
        if (d->err) break;
        if (!mail__grow(v, (void **)&d->text, d->n + k + 1, &d->cap, 1)) {
            d->err = MAIL_ERR_NOMEM;
            break;
        }
        d->n += mail_to_lf_feed(&d->to_lf, s.p, k, d->text + d->n);
        m->wire += (int64_t)k;
        s = mail_sn(s.p + k, s.n - k);
    }
}

/* The Return-Path line comes first: a mailbox file begins with it, and only
   there is it read; whoever sends the text on leaves it out. */
static mail_err mail__draft_begin(mail_server *v, mail__item *m) {
    char line[MAIL_PATH_SIZE + 20];
    mail_buf b = mail_buf_on(line, sizeof line);
    m->draft = (mail__draft *)mail__alloc(v, sizeof *m->draft);
    if (m->draft == NULL) return MAIL_ERR_NOMEM;
    m->draft->file = -1;
    mail_buf_add(&b, mail_s("Return-Path: "));
    mail_path_write(&b, &m->letter->from);
    mail_buf_add(&b, mail_s("\r\n"));
    mail__draft_add(v, m, mail_buf_str(&b));
    return m->draft->err;
}

/* ======================================================================
   [SERVER JOURNAL] one flush for many                               ch.8
   See [QUEUE] for what is in it and why that is enough. Records are put
   together in memory while a turn of the loop lasts; its end asks for one
   flush of the segment, and what comes meanwhile goes with the next.
   ====================================================================== */

enum { MAIL__PAGE = 4096 };
enum { MAIL__START = 2 * (MAIL_RECORD_HEAD + 2 * MAIL_SALT_SIZE + 1) };

static void mail__journal_name(int k, char name[MAIL_NAME_SIZE]) {
    snprintf(name, MAIL_NAME_SIZE, "queue/journal.%d", k);
}

/* A record behind those in jbuf; its body is there already. */
static void mail__journal_close(mail_server *v, char kind, size_t n) {
    const mail__segment *g = &v->segs[v->cur];
    char *head = v->jbuf + v->njbuf;
    mail_record_write(head, kind, g->lap, mail_sn(g->salt, MAIL_SALT_SIZE),
                      mail_sn(head + MAIL_RECORD_HEAD, n));
    v->njbuf += MAIL_RECORD_HEAD + n;
}

/* A free segment is opened: the next lap, a new salt, and the start record
   twice, so that one damaged octet does not make all of it unreadable. */
static void mail__segment_open(mail_server *v, int k) {
    mail__segment *g = &v->segs[k];
    size_t i;
    int twice;
    v->cur = k;
    g->state = MAIL__OPEN;
    g->closing = g->removed = g->recovered = 0;
    g->failed = MAIL_ERR_OK;
    g->lap = ++v->lap;
    g->at = 0;
    g->since = -1;
    v->sys.random(v->sys.ctx, g->salt, MAIL_SALT_SIZE);
    for (twice = 0; twice < 2; twice++) {
        char *body = v->jbuf + v->njbuf + MAIL_RECORD_HEAD;
        for (i = 0; i < MAIL_SALT_SIZE; i++)
            snprintf(body + 2 * i, 3, "%02X", (unsigned char)g->salt[i]);
        body[2 * MAIL_SALT_SIZE] = '\n';
        mail__journal_close(v, 'S', 2 * MAIL_SALT_SIZE + 1);
    }
}

/* Is the open segment in use by a flush, or by records for one? */
static int mail__segment_idle(const mail_server *v, int k) {
    return v->filling.seg != k && v->flying.seg != k;
}

/* Nothing more comes into the open one. What is in jbuf now can only be the
   start of it. */
static void mail__segment_seal(mail_server *v) {
    v->segs[v->cur].state = MAIL__SEALED;
    v->cur = -1;
    v->njbuf = 0;
    mail__due(v, mail__now(v));
}

/* Makes a segment open that has room for a record, if there can be one. */
static int mail__journal_room(mail_server *v) {
    mail__segment *g = v->cur >= 0 ? &v->segs[v->cur] : NULL;
    int k;
    if (v->home.left || v->home.err) return 0;
    if (g && (g->closing || g->at + (int64_t)v->njbuf + MAIL_RECORD_MAX >
                                v->opts.journal)) {
        g->closing = 1;
        if (!mail__segment_idle(v, v->cur) ||
            v->segs[1 - v->cur].state != MAIL__FREE) return 0;
        mail__segment_seal(v);
    }
    for (k = 0; k < 2 && v->cur < 0; k++)
        if (v->segs[k].state == MAIL__FREE && mail__segment_idle(v, k))
            mail__segment_open(v, k);
    return v->cur >= 0;
}

static int64_t mail__page_end(int64_t at) {
    return (at + MAIL__PAGE - 1) / MAIL__PAGE * MAIL__PAGE;
}

static mail_err mail__journal_zeros(mail_server *v, mail__segment *g,
                                    int64_t end) {
    mail_err e = MAIL_ERR_OK;
    memset(v->block, 0, MAIL__BLOCK);
    while (!e && g->ready < end) {
        int64_t n = end - g->ready < MAIL__BLOCK ? end - g->ready
                                                 : MAIL__BLOCK;
        e = v->sys.write(v->sys.ctx, g->file, g->ready, v->block, (size_t)n);
        if (!e) g->ready += n;
    }
    return e;
}

/* Space first, then the records: what has no room on the disk must not be on
   it by half, and refused. It ends with a page, because what makes the file
   longer writes its last page again. New space is written ahead with zeros,
   a step at a time: to grow a file by each record would make each flush two or
   three times as slow. That more than is needed now has no room matters
   nothing. */
static mail_err mail__journal_space(mail_server *v, mail__segment *g,
                                    int64_t end) {
    int64_t step = v->opts.journal / 16, ahead;
    if (end <= g->ready) return MAIL_ERR_OK;
    if (step > 1024 * 1024) step = 1024 * 1024;
    ahead = end + step < v->opts.journal ? end + step : v->opts.journal;
    mail__journal_zeros(v, g, mail__page_end(ahead));
    return mail__journal_zeros(v, g, mail__page_end(end));
}

static void mail__journal_write(mail_server *v) {
    mail__segment *g = &v->segs[v->cur];
    int64_t end = g->at + (int64_t)v->njbuf;
    mail_err e;
    if (v->njbuf == 0) return;
    e = mail__journal_space(v, g, end);
    if (!e) e = v->sys.write(v->sys.ctx, g->file, g->at, v->jbuf, v->njbuf);
    if (!v->filling.err) v->filling.err = e;
    g->at = end;
    v->njbuf = 0;
}

/* The body of a record of a message, at p. Returns its length, 0: too
   long. */
static size_t mail__journal_body(mail__item *m, int put, char *p) {
    mail_buf b = mail_buf_on(p, MAIL__ENVELOPE);
    char id[MAIL_ID_SIZE];
    if (put == MAIL__PUT_A) {
        mail__envelope_write(m, &b);
        if (b.full) return 0;
        if (m->apart) return b.n;
        memcpy(p + b.n, m->draft->text, m->draft->n);
        return b.n + m->draft->n;
    }
    mail_buf_fmt(&b, "%s\n", mail__id(m, id));
    if (put == MAIL__PUT_F) mail__state_put(m, &b, 0);
    if (put == MAIL__PUT_D && m->draft) mail__about_write(m->draft, &b);
    return b.full ? 0 : b.n;
}

/* One record of a message. The batch is told who waits for it. */
static mail_err mail__journal_add(mail_server *v, mail__item *m, int put) {
    mail__segment *g = &v->segs[v->cur];
    mail__batch *b = &v->filling;
    size_t n, was = v->njbuf;
    char id[MAIL_ID_SIZE], kind = put == MAIL__PUT_A ? 'A' :
                                  put == MAIL__PUT_F ? 'F' :
                                  m->draft ? 'R' : 'D';
    if (!mail__grow(v, (void **)&b->items, b->n, &b->cap,
                    sizeof *b->items)) return MAIL_ERR_NOMEM;
    n = mail__journal_body(m, put, v->jbuf + was + MAIL_RECORD_HEAD);
    if (n == 0) return MAIL_ERR_TOOLONG;
    if (put != MAIL__PUT_D) mail__list_add(v, m, v->cur);
    if (put == MAIL__PUT_A) {
        m->seg = (signed char)v->cur;
        m->at = g->at + (int64_t)was + MAIL_RECORD_HEAD;
    }
    mail__journal_close(v, kind, n);
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "append queue/journal.%d %c %s",
               v->cur, kind, mail__id(m, id));
    if (put != MAIL__PUT_F) b->items[b->n++] = m;
    b->seg = v->cur;
    if (g->since < 0 && !m->blind) g->since = mail__now(v);
    if (v->njbuf > MAIL_RECORD_MAX) mail__journal_write(v);
    return MAIL_ERR_OK;
}

/* What a message has to say goes into the journal: accepted, what has become
   of it, done. */
static void mail__journal_put_one(mail_server *v, mail__item *m) {
    mail_err e = MAIL_ERR_OK;
    if (m->puts & MAIL__PUT_A) {
        m->puts = 0;
        e = mail__journal_add(v, m, MAIL__PUT_A);
        if (e) mail__item_refuse(v, m, e);
    } else if (m->puts & MAIL__PUT_D) {
        m->puts = 0;
        e = MAIL_ERR_NOTFOUND;
        if (m->seg >= 0 || m->has_file)
            e = mail__journal_add(v, m, MAIL__PUT_D);
        if (e && m->draft) mail__item_refuse(v, m, m->draft->refused);
        else if (e) mail__item_left(v, m);    /* at worst, once more */
    } else if (m->puts & MAIL__PUT_F) {
        m->puts = 0;
        e = mail__journal_add(v, m, MAIL__PUT_F);
        if (!e) m->unsaved = 0;
    }
}

/* The first one that waits for the journal; of those not yet accepted. */
static mail__item *mail__todo_take(mail_server *v, int drafts) {
    mail__item **at = &v->todo, *m, *before = NULL;
    while (*at && drafts && !(*at)->draft) before = *at, at = &before->todo;
    m = *at;
    if (m == NULL) return NULL;
    *at = m->todo;
    if (v->todo_last == m) v->todo_last = before;
    m->todo = NULL;
    return m;
}

/* Without room they wait in turn: for a flush, for a checkpoint. If that has
   failed, there is no telling for how long, and new mail is refused. */
static void mail__journal_drain(mail_server *v) {
    while (v->todo) {
        int room = mail__journal_room(v);
        mail__item *m = room || v->check_fails ? mail__todo_take(v, !room)
                                               : NULL;
        if (m == NULL) return;
        if (room) mail__journal_put_one(v, m);
        else mail__item_refuse(v, m, m->draft->refused ? m->draft->refused :
                               v->check.err ? v->check.err : MAIL_ERR_IO);
    }
}

static void mail__journal_put(mail_server *v, mail__item *m, int put) {
    int waits = m->puts;
    m->puts = (unsigned char)(m->puts | put);
    if (waits) return;
    if (v->todo_last) v->todo_last->todo = m;
    else v->todo = m;
    v->todo_last = m;
    mail__journal_drain(v);
}

/* What a batch was is decided. A flush that fails is never tried again, and
   its segment is given up as soon as it can be: the kernel may have dropped
   the pages and say OK the next time, and with them the start record, without
   which nothing behind it is found. What may be on the disk all the same,
   and is to be refused, gets an R first, right behind it: a power loss must
   not bring back what its sender was told to send again. */
static void mail__journal_flushed(mail_server *v, void *arg, mail_err e) {
    mail__batch b = v->flying;
    mail_err now = e;
    size_t i;
    (void)arg;
    if (!e) e = v->segs[b.seg].failed;
    memset(&v->flying, 0, sizeof v->flying);
    v->flying.seg = -1;
    if (e) {
        v->segs[b.seg].closing = 1;
        v->segs[b.seg].failed = e;
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "the journal: %s",
                   mail_err_text(e));
    }
    for (i = 0; i < b.n; i++) {
        mail__item *m = b.items[i];
        if (m->stage == MAIL__LEAVING) {
            if (e) mail__journal_put(v, m, MAIL__PUT_D);
            else {
                v->segs[b.seg].removed = 1;
                mail__item_left(v, m);
            }
        } else if (m->draft->refused && now && m->draft->again++ < 3)
            mail__journal_put(v, m, MAIL__PUT_D);
        else if (m->draft->refused) {
            m->draft->sure = !now;
            mail__item_refuse(v, m, m->draft->refused);
        } else if (e) {
            m->draft->refused = e;
            mail__list_cut(v, m, b.seg);
            if (mail__journal_add(v, m, MAIL__PUT_D))
                mail__item_refuse(v, m, e);
        } else mail__item_accept(v, m);
    }
    v->flying.items = b.items;                   /* its room is kept */
    v->flying.cap = b.cap;
    mail__journal_drain(v);
}

/* The end of a turn: what has come is flushed, if no other flush is out. The
   next records begin on a page of their own: what is durable is never written
   again, so no power loss in the middle of a write can take it along. */
static void mail__journal_flush(mail_server *v) {
    mail__batch b = v->filling;
    mail_err e;
    if (b.seg < 0 || v->flying.seg >= 0) return;
    mail__journal_write(v);
    v->segs[b.seg].at = mail__page_end(v->segs[b.seg].at);
    e = v->filling.err;
    b = v->filling;
    v->filling = v->flying;
    v->filling.seg = -1;
    v->filling.n = 0;
    v->filling.err = MAIL_ERR_OK;
    v->flying = b;
    mail__ask_begin(&v->flying.ask, NULL, mail__journal_flushed);
    v->flying.ask.err = e;
    if (!e) mail__ask_flush(v, &v->flying.ask, v->segs[b.seg].file, NULL);
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "flush queue/journal.%d", b.seg);
    mail__ask_end(v, &v->flying.ask);
}

/* ======================================================================
   [SERVER CHECKPOINT] out of the journal, into files                ch.8

   For each message with a record in the sealed segment, a few at a turn:

     MAKE   a file under mail/NAME/tmp for each recipient here; if it stays
            in the queue, queue/tmp/ID and its state; if it has a file there
            and leaves it, the state alone.                Flush everything.
     NAME   rename them into mail/NAME/new and queue.      Flush everything.
     STATE  those of older messages, whose A is in no journal any more: what
            they say is in a mailbox is so by now.         Flush everything.
     FREE   zeros over the start of the segment.           Flush the segment.
     END    only now it is said, in memory too, that all this is so.

   So a name in a mailbox always has its whole content behind it, and until
   the segment is given up it outweighs all that is half done. Whatever
   fails: the segment stays, and some seconds later all of it is done anew,
   with new files, because what was flushed in vain is never flushed again.
   ====================================================================== */

enum {
    MAIL__CHECK_MAKE, MAIL__CHECK_NAME, MAIL__CHECK_STATE, MAIL__CHECK_FREE,
    MAIL__CHECK_END, MAIL__CHECK_UNDO
};
enum { MAIL__AGAIN = 5000 };      /* ms after a checkpoint that failed */

static void mail__box_tmp(mail_server *v, const mail__item *m, size_t i,
                          const char *user, char name[MAIL_NAME_SIZE]) {
    char id[MAIL_ID_SIZE];
    snprintf(name, MAIL_NAME_SIZE, "mail/%s/tmp/%s-%lu.%.60s", user,
             mail__id(m, id), (unsigned long)i, v->opts.host);
}

static void mail__box_new(mail_server *v, const mail__item *m, size_t i,
                          const char *user, char name[MAIL_NAME_SIZE]) {
    char unique[MAIL_ID_SIZE + 24], id[MAIL_ID_SIZE];
    mail_buf b = mail_buf_on(name, MAIL_NAME_SIZE - 1);
    snprintf(unique, sizeof unique, "%s-%lu", mail__id(m, id),
             (unsigned long)i);
    mail_buf_fmt(&b, "mail/%s/new/", user);
    mail_box_name(&b, m->time, unique, v->opts.host, m->size, m->wire);
    name[b.n] = 0;
}

/* The mailbox of a recipient whose turn it is. */
static mail__user *mail__box_user(mail_server *v, const mail__rcpt *r) {
    char to[MAIL_NAME_SIZE + 8];
    if (MAIL_ROUTE_FIND(&v->opts.routing, &r->path, 1, to) !=
        MAIL_ROUTE_LOCAL) return NULL;
    return mail__user_find(v, mail_s(to));
}

/* A long text has a file already, and this is one more name for it. */
static mail_err mail__box_make(mail_server *v, mail__item *m,
                               const char *name) {
    char from[MAIL_NAME_SIZE];
    int64_t at, end;
    int file, owned;
    mail_err e;
    v->sys.remove(v->sys.ctx, name);          /* of a try before a crash */
    if (m->apart && v->sys.link(v->sys.ctx, mail__name(m, "queue/", ".text",
                                from), name) == MAIL_ERR_OK) {
        mail__tell(v, NULL, MAIL_NOTE_DISK, "", "link %s %s", from, name);
        return MAIL_ERR_OK;
    }
    file = mail__text_open(v, m, 0, &at, &end, &owned);
    if (file < 0) return (mail_err)(-1 - file);
    e = mail__copy(v, file, at, end - at, name);
    if (owned) v->sys.close(v->sys.ctx, file);
    return e;
}

/* The recipients here, if it is time for them. */
static void mail__check_boxes(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE], path[MAIL_PATH_SIZE];
    size_t i;
    for (i = 0; i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        mail__user *u;
        mail_err e;
        r->made = 0;
        if (!r->job || r->job->hop || r->job->state != MAIL__JOB_READY ||
            r->shut) continue;
        u = mail__box_user(v, r);
        if (u == NULL) {
            mail__rcpt_set(v, m, r, MAIL_FATE_FAILED, 0,
                           mail_s("5.1.1 no such user here"));
            r->job = NULL;
            continue;
        }
        mail__box_tmp(v, m, i, u->name, name);
        e = mail__box_make(v, m, name);
        r->made = e == MAIL_ERR_OK;
        if (!e) continue;
        v->sys.remove(v->sys.ctx, name);
        mail__rcpt_set(v, m, r, MAIL_FATE_DUE, 0, mail_s(mail_err_text(e)));
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s waits for mailbox %s: %s",
                   mail__show(&r->path, path), u->name, mail_err_text(e));
    }
}

/* Is somebody left whom only the queue knows of? */
static int mail__check_stays(const mail__item *m) {
    size_t i;
    for (i = 0; i < m->letter->nrcpts; i++) {
        const mail__rcpt *r = &m->letter->rcpts[i];
        if (r->made ? mail__rcpt_boxed(m->letter, r) != MAIL_FATE_BOXED
                    : mail__rcpt_due(r) || mail__fate_tells(r->fate))
            return 1;
    }
    return m->dead;
}

/* It says already what will be so when the segment is given up. If the A is in
   it, that outweighs it until then; of another message it gets its name only
   when that is so: phase STATE. */
static mail_err mail__state_make(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE];
    mail_buf b = mail_buf_on(v->block, MAIL__BLOCK);
    mail_err e;
    int file;
    mail__name(m, "queue/tmp/", ".state", name);
    v->sys.remove(v->sys.ctx, name);
    file = v->sys.open(v->sys.ctx, name, MAIL_OPEN_NEW);
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "write %s", name);
    if (file < 0) return (mail_err)(-1 - file);
    m->tmp_state = 1;
    mail__state_put(m, &b, 1);
    e = v->sys.write(v->sys.ctx, file, 0, b.p, b.n);
    if (v->sys.close(v->sys.ctx, file) && !e) e = MAIL_ERR_IO;
    return e;
}

/* Its jobs here are not for this checkpoint. */
static void mail__jobs_later(mail_server *v, mail__item *m) {
    int64_t due = mail__now(v) + v->opts.retry_first * 1000;
    mail__job *j;
    for (j = m->jobs; j; j = j->next)
        if (j->hop == NULL && j->state == MAIL__JOB_READY) {
            j->state = MAIL__JOB_WAITS;
            j->due = due;
        }
    mail__timer_set(v, &m->timer, due);
}

/* Is something so that its state, as it is on the disk, does not say? */
static mail_err mail__check_state(mail_server *v, mail__item *m, int made) {
    int here = m->seg == v->check.seg;
    if (!m->changed && !made && !(here && m->has_state)) return MAIL_ERR_OK;
    v->check.any = 1;
    return mail__state_make(v, m);
}

/* Nobody is left, but it has a file: once the segment is given up only its
   state says so, until its D is durable. */
static mail_err mail__check_last(mail_server *v, mail__item *m, int made) {
    if (!m->has_file) return MAIL_ERR_OK;
    return mail__check_state(v, m, made);
}

static mail_err mail__check_make(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE];
    int k = v->check.seg, made = 0;
    mail_err e;
    size_t i;
    if (m->stage == MAIL__LEAVING) return mail__check_last(v, m, 0);
    e = mail__letter_get(v, m);
    if (e && m->seg == k) return e;
    if (e && m->unread && m->changed && !m->blind) {
        m->check = 1;
        v->check.any = 1;
        return mail__state_make(v, m);
    }
    if (e) {                      /* its file is what counts: later; what */
        mail__jobs_later(v, m);   /* only the journal says stays there    */
        if (m->changed) mail__journal_put(v, m, MAIL__PUT_F);
        return MAIL_ERR_OK;
    }
    m->check = 1;
    mail__check_boxes(v, m);
    for (i = 0; i < m->letter->nrcpts; i++) made |= m->letter->rcpts[i].made;
    v->check.any |= made;
    if (!mail__check_stays(m)) return mail__check_last(v, m, made);
    v->check.any = 1;
    if (m->seg == k) {
        mail__name(m, "queue/tmp/", "", name);
        v->sys.remove(v->sys.ctx, name);
        m->tmp = 1;
        e = mail__copy(v, v->segs[k].file, m->at,
                       m->text_at + (m->apart ? 0 : m->size), name);
    }
    return e ? e : mail__check_state(v, m, made);
}

/* EXISTS: put there before a crash. A name of a checkpoint that failed may not
   be durable, and is given again. */
static mail_err mail__check_link(mail_server *v, const char *from,
                                 const char *to) {
    mail_err e;
    if (v->check_fails) mail__remove(v, to);
    e = v->sys.link(v->sys.ctx, from, to);
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "link %s %s", from, to);
    return e == MAIL_ERR_EXISTS ? MAIL_ERR_OK : e;
}

static mail_err mail__check_aside(mail_server *v, mail__item *m) {
    char from[MAIL_NAME_SIZE], to[MAIL_NAME_SIZE];
    mail_err e = v->sys.mkdir(v->sys.ctx, "queue/dead");
    mail__name(m, m->tmp ? "queue/tmp/" : "queue/", "", from);
    mail__name(m, "queue/dead/", "", to);
    if (!e && m->tmp) e = mail__rename(v, from, to, 1);
    else if (!e) e = mail__check_link(v, from, to);
    if (!e && m->apart)
        e = mail__check_link(v, mail__name(m, "queue/", ".text", from),
                             mail__name(m, "queue/dead/", ".text", to));
    if (!e) m->tmp = 0, m->aside = 1;
    return e;
}

/* After a checkpoint that failed, or was cut off by a crash (then the message
   is of a run before this one), the name may be there and not durable: it is
   given again. A mailbox that takes no name is left out, and all is made once
   more: the states that were written say otherwise. */
static void mail__check_box_name(mail_server *v, mail__item *m, size_t i) {
    mail__rcpt *r = &m->letter->rcpts[i];
    mail__user *u = mail__box_user(v, r);
    char tmp[MAIL_NAME_SIZE], name[MAIL_NAME_SIZE];
    mail_err e = MAIL_ERR_NOTFOUND;
    if (u) {
        mail__box_tmp(v, m, i, u->name, tmp);
        mail__box_new(v, m, i, u->name, name);
        e = mail__rename(v, tmp, name, v->check_fails || r->job->tries ||
                                       v->check.redo || m->run != v->run);
        if (e) v->sys.remove(v->sys.ctx, tmp);
    }
    if (e) {
        mail__rcpt_set(v, m, r, MAIL_FATE_DUE, 0, mail_s(mail_err_text(e)));
        r->made = 0;
        r->shut = v->check.again = 1;
    }
}

static mail_err mail__check_late(mail_server *v, mail__item *m) {
    char from[MAIL_NAME_SIZE], to[MAIL_NAME_SIZE];
    mail_err e;
    if (!m->tmp_state) return MAIL_ERR_OK;
    mail__name(m, "queue/tmp/", ".state", from);
    e = mail__rename(v, from, mail__name(m, "queue/", ".state", to), 1);
    if (e) return e;
    m->tmp_state = 0;
    m->has_state = 1;
    return MAIL_ERR_OK;
}

static mail_err mail__check_name(mail_server *v, mail__item *m) {
    char from[MAIL_NAME_SIZE], to[MAIL_NAME_SIZE];
    mail_err e = MAIL_ERR_OK;
    int made = 0;
    size_t i;
    for (i = 0; m->letter && i < m->letter->nrcpts; i++) {
        if (!m->letter->rcpts[i].made) continue;
        mail__check_box_name(v, m, i);
        made = 1;
    }
    /* Its file in the queue stays until its D is durable: with its state. */
    if (m->dead && !m->jobs && m->stage == MAIL__QUEUED) {
        e = mail__check_aside(v, m);
        if (e || !m->has_file) return e;
    }
    if (made && m->seg != v->check.seg) v->check.late = 1;
    else e = mail__check_late(v, m);
    if (e) return e;
    if (m->tmp) {
        mail__name(m, "queue/tmp/", "", from);
        mail__name(m, "queue/", "", to);
        e = mail__rename(v, from, to, m->has_file);
        if (e == MAIL_ERR_EXISTS) {       /* somebody else's: hands off */
            char away[MAIL_NAME_SIZE];
            mail__name(m, "queue/foreign-", "", away);
            e = mail__rename(v, to, away, 0);
            if (!e) e = mail__rename(v, from, to, 0);
        }
        if (e) return e;
        m->tmp = 0;
        m->has_file = 1;
    }
    return e;
}

/* Who sends its text from the segment goes on with the file. */
static void mail__check_switch(mail_server *v, mail__item *m) {
    mail_conn *c;
    for (c = v->conns; c && m->busy; c = c->next) {
        int64_t at, end;
        int owned;
        if (c->role != 'c' || c->item != m || !c->shared) continue;
        c->at -= m->at;               /* text_at is the same in the file */
        c->end -= m->at;
        c->shared = 0;
        m->seg = -1;
        c->file = mail__text_open(v, m, 0, &at, &end, &owned);
        if (c->file < 0) c->file = -1, mail__conn_kill(v, c);
    }
    m->seg = -1;
    m->at = 0;
}

static mail_err mail__check_end(mail_server *v, mail__item *m) {
    char path[MAIL_PATH_SIZE], id[MAIL_ID_SIZE];
    size_t i;
    mail__job *j, *next;
    int here = m->seg == v->check.seg;
    if (here) mail__check_switch(v, m);
    mail__list_cut(v, m, v->check.seg);
    if (!m->check || m->stage == MAIL__LEAVING) return MAIL_ERR_OK;
    m->check = 0;
    if (!m->unsaved) m->changed = 0;
    for (i = 0; i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        int was = m->changed;
        r->shut = 0;
        if (!r->made) continue;
        r->made = 0;
        r->job = NULL;
        mail__rcpt_set(v, m, r, mail__rcpt_boxed(m->letter, r), 250,
                       mail_s("2.0.0 boxed"));
        if (!was) m->changed = m->unsaved = 0;      /* the state says so */
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s is in the mailbox of %s",
                   mail__id(m, id), mail__show(&r->path, path));
    }
    for (j = m->jobs; j; j = next) {
        next = j->next;
        if (j->hop == NULL && j->state == MAIL__JOB_READY)
            mail__job_done(v, j);
    }
    if (m->aside) mail__item_gone(v, m);
    else mail__item_settle(v, m);
    return MAIL_ERR_OK;
}

/* --- the phases --------------------------------------------------------- */

static void mail__check_wake(mail_server *v) {
    mail_conn *c;
    v->hurry = v->stopping;
    for (c = v->conns; c; c = c->next) {
        if (c->dead || !c->entering) continue;
        if (c->lap <= v->lap_done || v->check_fails) {
            mail__pop3d_enter(v, c);
            mail__conn_go(v, c);
        } else v->hurry = 1;
    }
}

/* It comes to nothing: what it has made goes, message by message. */
static void mail__check_fail(mail_server *v, mail_err e) {
    mail__check *k = &v->check;
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "queue/journal.%d is kept, and "
               "tried again: %s", k->seg, mail_err_text(e));
    v->check_fails++;
    k->err = e;
    k->phase = MAIL__CHECK_UNDO;
    k->next = v->segs[k->seg].list;
    mail__due(v, mail__now(v));
}

static mail_err mail__check_undo(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE];
    size_t i;
    for (i = 0; m->check && i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        mail__user *u = r->made ? mail__box_user(v, r) : NULL;
        if (u) mail__box_tmp(v, m, i, u->name, name);
        if (u) v->sys.remove(v->sys.ctx, name);
        r->made = r->shut = 0;
    }
    if (m->tmp) mail__remove(v, mail__name(m, "queue/tmp/", "", name));
    if (m->tmp_state)
        mail__remove(v, mail__name(m, "queue/tmp/", ".state", name));
    if (m->check) m->changed = 1;      /* its state may say what is not so */
    m->check = m->tmp = m->tmp_state = m->aside = 0;
    mail__item_settle(v, m);           /* what it had to wait with */
    return MAIL_ERR_OK;
}

static void mail__check_undone(mail_server *v) {
    v->check.seg = -1;
    v->check_after = mail__now(v) + MAIL__AGAIN;
    mail__due(v, v->check_after);
    mail__journal_drain(v);
    mail__check_wake(v);
}

static void mail__check_next(mail_server *v, void *arg, mail_err e) {
    mail__check *k = &v->check;
    (void)arg;
    k->waits = 0;
    if (e == MAIL_ERR_OK) e = k->err;
    if (e == MAIL_ERR_OK && k->lost != v->lost) e = MAIL_ERR_IO;
    if (e) {
        mail__check_fail(v, e);
        return;
    }
    k->phase++;
    k->next = v->segs[k->seg].list;
    if (k->phase == MAIL__CHECK_END) {
        v->segs[k->seg].at = 0;
        v->check_fails = 0;
    }
    mail__due(v, mail__now(v));
}

/* A phase is over: what it did is made durable, then comes the next. */
static void mail__check_flush(mail_server *v, int file, int any) {
    mail__check *k = &v->check;
    k->waits = 1;
    mail__ask_begin(&k->ask, NULL, mail__check_next);
    if (any) {
        mail__ask_flush(v, &k->ask, file, NULL);
        if (file < 0)
            mail__tell(v, NULL, MAIL_NOTE_DISK, "", "flush everything");
        else mail__tell(v, NULL, MAIL_NOTE_DISK, "",
                        "flush queue/journal.%d", k->seg);
    }
    mail__ask_end(v, &k->ask);
}

/* The segment is nobody's any more. */
static void mail__check_give_up(mail_server *v) {
    mail__segment *g = &v->segs[v->check.seg];
    char zeros[MAIL__START];
    memset(zeros, 0, sizeof zeros);
    v->check.err = v->sys.write(v->sys.ctx, g->file, 0, zeros, sizeof zeros);
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "clear queue/journal.%d",
               v->check.seg);
    mail__check_flush(v, g->file, 1);
}

static void mail__check_over(mail_server *v) {
    mail__segment *g = &v->segs[v->check.seg];
    v->lap_done = g->lap;
    g->state = MAIL__FREE;
    v->check.seg = -1;
    mail__journal_drain(v);
    mail__check_wake(v);
}

/* A checkpoint has time while mail comes in: it is what waits for a flush that
   is in a hurry. But not if somebody waits for it, or will soon: then the
   open segment is half full. */
static int mail__check_slice(const mail_server *v) {
    int busy = v->filling.seg >= 0 || v->flying.seg >= 0;
    if (!busy || v->hurry || v->todo || v->stopping ||
        (v->cur >= 0 && v->segs[v->cur].at > v->opts.journal / 2))
        return MAIL__SLICE;
    return 1;
}

/* Up to so many messages of a phase, then it is another's turn. */
static void mail__check_step(mail_server *v) {
    static mail_err (*const each[])(mail_server *, mail__item *) = {
        mail__check_make, mail__check_name, mail__check_late, NULL,
        mail__check_end, mail__check_undo
    };
    mail__check *k = &v->check;
    mail__segment *g = &v->segs[k->seg];
    int left = mail__check_slice(v);
    mail_err e = MAIL_ERR_OK;
    while (each[k->phase] && k->next && left-- && !e) {
        mail__item *m = k->next;
        k->next = m->in[k->seg].next;
        e = each[k->phase](v, m);
    }
    mail__due(v, mail__now(v));
    if (e) mail__check_fail(v, e);
    else if (each[k->phase] && k->next) return;
    else if (k->phase == MAIL__CHECK_MAKE)
        mail__check_flush(v, -1, k->any || g->removed);
    else if (k->phase == MAIL__CHECK_NAME && k->again) {
        k->again = 0;
        k->redo = 1;
        k->phase = MAIL__CHECK_MAKE;
        k->next = g->list;
    } else if (k->phase == MAIL__CHECK_NAME)
        mail__check_flush(v, -1, k->any);
    else if (k->phase == MAIL__CHECK_STATE)
        mail__check_flush(v, -1, k->late);
    else if (k->phase == MAIL__CHECK_FREE) mail__check_give_up(v);
    else if (k->phase == MAIL__CHECK_END) mail__check_over(v);
    else mail__check_undone(v);
}

/* Is it time for the open segment? Nothing may be under way in it. */
static void mail__check_seal(mail_server *v, int64_t now) {
    mail__segment *g = v->cur >= 0 ? &v->segs[v->cur] : NULL;
    int64_t at;
    if (g == NULL || g->since < 0) return;
    at = v->hurry || g->closing ? now : g->since + v->opts.checkpoint;
    if (at > now) {
        mail__due(v, at);
        return;
    }
    /* As long as the other one is kept, this one goes on to be written to. */
    if (v->segs[1 - v->cur].state != MAIL__FREE) return;
    g->closing = 1;
    if (mail__segment_idle(v, v->cur)) mail__segment_seal(v);
}

static void mail__check_tick(mail_server *v, int64_t now) {
    int k;
    if (v->home.left || v->home.err) return;
    if (v->check.seg >= 0) {
        if (!v->check.waits) mail__check_step(v);
        return;
    }
    mail__check_seal(v, now);
    if (v->check_after > now) {
        mail__due(v, v->check_after);
        return;
    }
    for (k = 0; k < 2; k++) {
        const mail__segment *other = &v->segs[1 - k];
        if (v->segs[k].state != MAIL__SEALED) continue;
        if (other->state == MAIL__SEALED && other->lap < v->segs[k].lap)
            continue;
        memset(&v->check, 0, sizeof v->check);
        v->check.seg = k;
        v->check.next = v->segs[k].list;
        v->check.lost = v->lost;
        mail__check_step(v);
        return;
    }
}

/* ======================================================================
   [SERVER ROUND] what becomes of a message                          ch.9
   Its jobs are tried, each in its own time; whenever something has changed
   it is settled: who is to be told, is it done with, when is the next try?
   ====================================================================== */

/* D is durable, or could not be written: its files may go. In this order a
   crash leaves a state or a text without a message, which the next start
   removes, and never a message that has forgotten who has it. */
static void mail__item_left(mail_server *v, mail__item *m) {
    char name[MAIL_NAME_SIZE];
    if (m->has_file) mail__remove(v, mail__name(m, "queue/", "", name));
    if (m->has_state)
        mail__remove(v, mail__name(m, "queue/", ".state", name));
    if (m->apart) mail__remove(v, mail__name(m, "queue/", ".text", name));
    mail__item_free(v, m);
}

/* It is done with. If neither a file nor a journal has it there is nothing
   to be written down. If it has a file, what a segment says of it counts until
   its D is durable: it stays on the list. */
static void mail__item_gone(mail_server *v, mail__item *m) {
    if (!m->has_file) {
        mail__list_cut(v, m, 0);
        mail__list_cut(v, m, 1);
    }
    mail__timer_stop(v, &m->timer);
    mail__item_unlink(v, m);
    mail__item_move(v, m);
    m->stage = MAIL__LEAVING;
    if (m->seg < 0 && !m->has_file && !m->puts) mail__item_left(v, m);
    else mail__journal_put(v, m, MAIL__PUT_D);
}

/* Seconds until the next try. Messages that came together would all try
   together again: each waits up to a tenth longer, always the same share of
   it, so that its waits never get shorter. */
static int64_t mail__job_wait(mail_server *v, const mail__job *j) {
    const mail__item *m = j->item;
    int64_t wait = MAIL_RETRY_AFTER(j->tries, v->opts.retry_first,
                                    v->opts.retry_max);
    size_t share = mail__id_hash(m->time, m->run, m->number) % 101;
    return wait + wait * (int64_t)share / 1000;
}

/* A try of a job is over: the next one is later, if anybody is left. The last
   one is when it expires: then, and not hours later, the sender knows. */
static void mail__job_done(mail_server *v, mail__job *j) {
    mail__item *m = j->item;
    int64_t now = mail__now(v), end = m->born + v->opts.expire * 1000;
    size_t i, left = 0;
    for (i = 0; i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        if (r->job != j) continue;
        if (mail__rcpt_due(r)) left++;
        else r->tries = j->tries + 1, r->job = NULL;
    }
    j->state = MAIL__JOB_WAITS;
    j->due = now;
    if (j->from == 0) {                       /* all have had their turn */
        j->tries++;
        j->due += mail__job_wait(v, j) * 1000;
        j->last = now >= end;
    }
    if (now < end && j->due > end) j->due = end;
    if (left == 0) mail__job_free(v, j);
}

/* Has this job, of a message that is too old, had its chance? If its next
   hop was called a moment ago, that was it. */
static int mail__job_over(mail_server *v, const mail__job *j, int64_t now) {
    const mail__hop *h = j->hop;
    return j->last || (h && h->rest > now && now - h->failed < 10000) ||
           now - j->item->born > (v->opts.expire + 3600) * 1000;
}

/* Too old: who is still due has failed (RFC 5321 4.5.4.1). */
static void mail__item_expire(mail_server *v, mail__item *m, int64_t now) {
    char path[MAIL_PATH_SIZE], id[MAIL_ID_SIZE], words[600];
    mail__job *j, *next;
    size_t i;
    if (now - m->born < v->opts.expire * 1000) return;
    for (i = 0; i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        const char *why = r->words && r->words[0] ? r->words :
                          r->job && r->job->hop && r->job->hop->words
                              ? r->job->hop->words : "no answer";
        if (!mail__rcpt_due(r) || !r->job || !mail__job_over(v, r->job, now))
            continue;
        snprintf(words, sizeof words, "4.4.7 tried for too long; at last: "
                 "%.500s", why);
        r->tries = r->job->tries;
        mail__rcpt_set(v, m, r, MAIL_FATE_FAILED, 0, mail_s(words));
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s has failed for %s: %s",
                   mail__id(m, id), mail__show(&r->path, path), words);
    }
    for (i = 0; i < m->letter->nrcpts; i++)
        if (!mail__rcpt_due(&m->letter->rcpts[i]))
            m->letter->rcpts[i].job = NULL;
    for (j = m->jobs; j; j = next) {
        next = j->next;
        if (mail__job_over(v, j, now)) mail__job_free(v, j);
        else if (j->hop && j->hop->rest > now) {       /* its last chance */
            j->hop->rest = now;
            mail__hop_want(v, j->hop);
        }
    }
}

/* Has somebody been tried for so long that the sender should know? */
static int mail__item_late(const mail_server *v, const mail__item *m,
                           int64_t now) {
    const mail__job *j;
    if (m->warned || now - m->born < v->opts.warn * 1000) return 0;
    for (j = m->jobs; j; j = j->next)
        if (j->tries || (j->hop && j->hop->tries)) return 1;
    return 0;
}

/* When must somebody look at it? */
static void mail__item_schedule(mail_server *v, mail__item *m, int64_t now) {
    int64_t due = m->born + v->opts.expire * 1000;
    int64_t warn = m->born + v->opts.warn * 1000;
    const mail__job *j;
    if (!m->warned && warn < due) due = warn > now ? warn : now + 60000;
    for (j = m->jobs; j; j = j->next)
        if (j->state == MAIL__JOB_WAITS && j->due < due) due = j->due;
    if (due <= now || m->jobs == NULL)      /* something did not come off */
        due = now + v->opts.retry_first * 1000;
    mail__timer_set(v, &m->timer, due);
}

/* The jobs whose time has come join their lines. */
static void mail__item_start(mail_server *v, mail__item *m, int64_t now) {
    mail__job *j, *next;
    for (j = m->jobs; j; j = next) {
        next = j->next;
        if (j->state == MAIL__JOB_WAITS && j->due <= now)
            mail__job_ready(v, j);
    }
}

/* The reports that are due, one after the other. Returns 1 while one is on its
   way. */
static int mail__item_tell(mail_server *v, mail__item *m, int64_t now) {
    size_t i;
    if (m->unsaved && mail__letter_tells(m->letter))
        mail__journal_put(v, m, MAIL__PUT_F);              /* and then A */
    for (i = 0; i < MAIL__TELLS; i++) {
        mail_fate f = mail__tells[i].due;
        if (f == MAIL_FATE_DUE && !mail__item_late(v, m, now)) continue;
        if (mail__count(m, f) && mail__report(v, m, f)) return 1;
        if (f == MAIL_FATE_DUE && !mail__count(m, f)) m->warned = 1;
    }
    return 0;
}

static void mail__item_settle(mail_server *v, mail__item *m) {
    int64_t now = mail__now(v);
    if (m->check || m->stage != MAIL__QUEUED) return;
    if (m->busy) {                /* others of its tries may take their time */
        if (m->unsaved) mail__journal_put(v, m, MAIL__PUT_F);
        return;
    }
    if (m->letter || m->jobs == NULL || mail__item_late(v, m, now) ||
        now - m->born >= v->opts.expire * 1000) {
        char id[MAIL_ID_SIZE];
        mail_err e = mail__letter_get(v, m);
        if (e == MAIL_ERR_OK) {
            mail__item_expire(v, m, now);
            if (mail__item_tell(v, m, now)) return;
            if (!m->dead && !m->jobs && !mail__letter_tells(m->letter)) {
                mail__item_gone(v, m);
                return;
            }
        } else mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s cannot be read: "
                          "%s", mail__id(m, id), mail_err_text(e));
    }
    if (m->letter && (m->unsaved || (m->dead && !m->jobs)))
        mail__journal_put(v, m, MAIL__PUT_F);
    mail__item_start(v, m, now);
    mail__item_schedule(v, m, now);
    mail__letter_rest(v, m);
}

/* --- accepted, or not --------------------------------------------------- */

/* A is durable: the instant of acceptance. */
static void mail__item_accept(mail_server *v, mail__item *m) {
    mail__draft *d = m->draft;
    mail_conn *w = d->waiter;
    mail__item *about = d->about;
    char from[MAIL_PATH_SIZE], id[MAIL_ID_SIZE];
    size_t i;
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s is accepted from %s for %lu, "
               "%lld octets", mail__id(m, id),
               mail__show(&m->letter->from, from),
               (unsigned long)m->letter->nrcpts, (long long)m->wire);
    if (w) {
        w->item = NULL;
        mail_smtpd_reply(&w->u.smtpd, 250, NULL);
    }
    for (i = 0; about && i < about->letter->nrcpts; i++) {
        mail__rcpt *r = &about->letter->rcpts[i];
        if (!r->told) continue;
        r->told = 0;
        if (r->fate != d->fate) continue;     /* sent, or failed, meanwhile */
        r->fate = mail__tell_of(d->fate, 0)->told;
        about->changed = about->unsaved = 1;
    }
    if (about && d->fate == MAIL_FATE_DUE) about->warned = 1;
    /* Until a state file says so, too, the report's segment stays. */
    if (about && about->changed) mail__list_add(v, about, m->seg);
    mail__item_moved(v, m);
    mail__item_link(v, m);
    mail__draft_free(v, m);
    mail__item_settle(v, m);
    if (about) {
        about->busy--;
        mail__item_settle(v, about);
    }
    if (w) mail__conn_go(v, w);
}

static void mail__say_disk(mail_smtpd *s, mail_err e) {
    if (e == MAIL_ERR_NOSPACE)
        mail_smtpd_reply(s, 452, "4.3.1 no space on my disk, try later");
    else if (e == MAIL_ERR_TOOLONG)
        mail_smtpd_reply(s, 452, "4.5.3 too many recipients for one mail");
    else if (e == MAIL_ERR_NOMEM)
        mail_smtpd_reply(s, 451, "4.3.0 out of memory");
    else mail_smtpd_reply(s, 451, "4.3.0 my disk failed, try later");
}

/* It could not be made durable: whoever sent it keeps it. If it may be on the
   disk all the same, with no R behind it, nothing that we say would be sure:
   the client hears nothing, and knows what that means (RFC 5321 6.1). */
static void mail__item_refuse(mail_server *v, mail__item *m, mail_err e) {
    mail_conn *w = m->draft->waiter;
    mail__item *about = m->draft->about;
    int sure = !m->draft->refused || m->draft->sure;
    char id[MAIL_ID_SIZE];
    size_t i;
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s is refused: %s",
               mail__id(m, id), mail_err_text(e));
    if (sure) mail__item_drop(v, m);
    else mail__item_free(v, m);     /* the next start will see to its text */
    if (w) {
        w->item = NULL;
        if (sure) mail__say_disk(&w->u.smtpd, e);
        else mail__conn_kill(v, w);
        mail__conn_go(v, w);
    }
    if (about == NULL) return;
    for (i = 0; i < about->letter->nrcpts; i++)
        about->letter->rcpts[i].told = 0;
    about->busy--;
    if (about->unsaved && !about->check)
        mail__journal_put(v, about, MAIL__PUT_F);
    mail__timer_set(v, &about->timer,
                    mail__now(v) + v->opts.retry_first * 1000);
}

static void mail__draft_flushed(mail_server *v, void *arg, mail_err e) {
    mail__item *m = (mail__item *)arg;
    if (!e && m->apart && m->draft->lost != v->lost) e = MAIL_ERR_IO;
    if (e) mail__item_refuse(v, m, e);
    else mail__journal_put(v, m, MAIL__PUT_A);
}

/* The draft is complete. A long text is made durable under its own name
   first, by a flush that others share: it takes its time, and the journal's
   does not wait for it. Then, and for a short one at once, it goes into the
   journal. */
static void mail__item_commit(mail_server *v, mail__item *m) {
    mail__draft *d = m->draft;
    mail_err e;
    if (m->apart) mail__draft_write(v, m);
    m->size = m->apart ? d->written : (int64_t)d->n;
    e = d->err ? d->err : mail__jobs_make(v, m);
    if (e || !m->apart) {
        mail__draft_flushed(v, m, e);
        return;
    }
    mail__ask_begin(&d->ask, m, mail__draft_flushed);
    mail__ask_flush(v, &d->ask, -1, NULL);
    mail__tell(v, NULL, MAIL_NOTE_DISK, "", "flush everything");
    mail__ask_end(v, &d->ask);
}

/* --- reports ------------------------------------------------------------ */

static void mail__report_part(mail_server *v, mail__item *r, mail_buf *b) {
    r->eight |= mail__is_8bit(mail_buf_str(b)) != 0;
    mail__draft_add(v, r, mail_buf_str(b));
    b->n = 0;
    b->full = 0;
}

/* The header of the message that failed: everything up to the empty line,
   at most 32 KiB of it. */
static void mail__report_header(mail_server *v, mail__item *m,
                                mail__item *r) {
    int64_t at, end, n = 0;
    int owned, left = 2, file = mail__text_open(v, m, 1, &at, &end, &owned);
    while (file >= 0 && left-- && at < end) {
        mail_str rest;
        n = v->sys.read(v->sys.ctx, file, at, v->block,
                        end - at < MAIL__READ ? (size_t)(end - at)
                                              : MAIL__READ);
        rest = mail_sn(v->block, n > 0 ? (size_t)n : 0);
        while (rest.n && memchr(rest.p, '\n', rest.n)) {
            mail_str line = mail_cut(&rest, '\n');
            at += (int64_t)line.n + 1;
            if (line.n == 0) left = 0;
            if (line.n == 0) break;
            r->eight |= mail__is_8bit(line) != 0;
            mail__draft_add(v, r, line);
            mail__draft_add(v, r, mail_s("\r\n"));
        }
        if (n < MAIL__READ) break;
    }
    if (file >= 0 && owned) v->sys.close(v->sys.ctx, file);
}

static void mail__report_rcpts(mail_server *v, mail__item *m, mail__item *r,
                               mail_buf *b, const mail_dsn *machine) {
    size_t i;
    for (i = 0; i < m->letter->nrcpts; i++) {
        const mail__rcpt *to = &m->letter->rcpts[i];
        const mail__hop *h;
        mail_dsn_rcpt d;
        char hop[MAIL_NAME_SIZE + 8];
        if (!to->told) continue;
        if (MAIL_ROUTE_FIND(&v->opts.routing, &to->path, 1, hop) !=
            MAIL_ROUTE_RELAY) hop[0] = 0;
        h = mail__hop_known(v, hop);
        d.path = &to->path;
        d.alias = to->alias;
        d.orcpt = to->orcpt;
        d.hop = h && h->host[0] ? h->host : mail_hop_lmtp(hop)
                    ? mail_hop_lmtp(hop) : hop;
        d.code = to->code;
        d.words = to->words && to->words[0] ? to->words :
                  h && h->words ? h->words :
                  to->group ? "2.0.0 they have it" : "it failed";
        if (machine) mail_dsn_group(b, machine, &d);
        else mail_dsn_say(b, &d);
        mail__report_part(v, r, b);
    }
}

/* The reverse-path may be an alias of ours. */
static mail_err mail__letter_report(mail_server *v, mail__letter *l,
                                    const mail_path *to) {
    mail__alias *a = mail__alias_of(v, to);
    mail_err e = a ? mail__letter_alias(v, l, a, to, NULL)
                   : MAIL_ERR_NOTFOUND;
    return e == MAIL_ERR_NOTFOUND ? mail__letter_to(v, l, to, NULL) : e;
}

/* All of the message, if it is not too long, and its sender has asked. */
static int mail__report_full(const mail_server *v, const mail__item *m,
                             mail_fate about) {
    return about == MAIL_FATE_FAILED && m->letter->ret == MAIL_RET_FULL &&
           m->wire <= v->opts.max_return;
}

static void mail__report_text(mail_server *v, mail__item *m, mail__item *r) {
    int64_t at, end, n;
    int owned, file = mail__text_open(v, m, 1, &at, &end, &owned);
    for (; file >= 0 && at < end; at += n) {
        mail_str rest;
        n = v->sys.read(v->sys.ctx, file, at, v->block,
                        end - at < MAIL__READ ? (size_t)(end - at)
                                              : MAIL__READ);
        if (n <= 0) break;
        rest = mail_sn(v->block, (size_t)n);
        r->eight |= mail__is_8bit(rest) != 0;
        while (rest.n) {
            mail_str line = mail_cut(&rest, '\n');
            mail__draft_add(v, r, line);
            if (line.p + line.n < v->block + n)
                mail__draft_add(v, r, mail_s("\r\n"));
        }
    }
    if (file >= 0 && owned) v->sys.close(v->sys.ctx, file);
}

/* A report that nobody takes: it is set aside. */
static void mail__report_dead(mail_server *v, mail__item *m) {
    char id[MAIL_ID_SIZE];
    size_t i;
    for (i = 0; i < m->letter->nrcpts; i++)
        if (m->letter->rcpts[i].fate == MAIL_FATE_FAILED)
            m->letter->rcpts[i].fate = MAIL_FATE_TOLD;
    m->changed = m->unsaved = m->dead = 1;
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s is set aside in queue/dead: a "
               "report that nobody takes", mail__id(m, id));
}

/* Whom a report is about: those with that fate whose sender wants to hear of
   it, at most 500 in one. For who does not there is no more to be told of a
   failure (RFC 3461 5.2.6). Returns how many. */
static size_t mail__report_whom(mail_server *v, mail__item *m,
                                mail_fate about) {
    char id[MAIL_ID_SIZE], path[MAIL_PATH_SIZE];
    size_t i, n = 0;
    for (i = 0; i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        int wants = mail__rcpt_wants(m->letter, r, about);
        r->told = r->fate == about && wants && n < 500;
        n += r->told != 0;
        if (r->fate != about || wants || about == MAIL_FATE_DUE) continue;
        r->fate = mail__tell_of(about, 0)->told;
        m->changed = m->unsaved = 1;
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s: its sender wants no "
                   "report about %s", mail__id(m, id),
                   mail__show(&r->path, path));
    }
    return n;
}

/* Is there something in UTF-8 that a report has to name? */
static int mail__report_utf8(const mail__item *m) {
    const mail__letter *l = m->letter;
    int utf8 = l->utf8 || mail_path_utf8(&l->from);
    size_t i;
    for (i = 0; i < l->nrcpts; i++) {
        const mail__rcpt *r = &l->rcpts[i];
        utf8 |= mail_path_utf8(&r->path) || mail__is_8bit(mail_s(r->orcpt)) ||
                (r->alias && mail_path_utf8(r->alias));
    }
    return utf8;
}

static void mail__report_write(mail_server *v, mail__item *m, mail__item *r,
                               mail_fate about) {
    char text[3000], id[MAIL_ID_SIZE], mid[MAIL_ID_SIZE];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_dsn d;
    memset(&d, 0, sizeof d);
    d.host = v->opts.host;
    d.id = mail__id(r, id);
    d.queue_id = mail__id(m, mid);
    d.to = &m->letter->from;
    d.envid = m->letter->envid;
    d.arrived = m->time;
    d.time = mail__time(v, &d.zone);
    d.about = about;
    d.until = m->time + v->opts.expire;
    d.full = mail__report_full(v, m, about);
    d.utf8 = mail__report_utf8(m) || (d.full && m->eight);
    mail_dsn_head(&b, &d);
    mail__report_part(v, r, &b);
    mail__report_rcpts(v, m, r, &b, NULL);
    mail_dsn_middle(&b, &d);
    mail__report_part(v, r, &b);
    mail__report_rcpts(v, m, r, &b, &d);
    mail_dsn_original(&b, &d);
    mail__report_part(v, r, &b);
    if (d.full) mail__report_text(v, m, r);
    else mail__report_header(v, m, r);
    mail_dsn_tail(&b, &d);
    mail__report_part(v, r, &b);
}

/* The report is a message like any other, and its record says whom it tells
   about: one flush makes both true. Never one about a report: <> gets no
   answer (5321-139). It is about those with that fate: see mail__tells; DUE is
   for too long. Returns 0 if there is nothing to wait for. */
static int mail__report(mail_server *v, mail__item *m, mail_fate about) {
    char id[MAIL_ID_SIZE], mid[MAIL_ID_SIZE];
    mail__item *r;
    if (mail_path_null(&m->letter->from)) {
        m->warned = 1;
        if (about == MAIL_FATE_FAILED) mail__report_dead(v, m);
        return 0;
    }
    if (mail__report_whom(v, m, about) == 0) {
        if (about == MAIL_FATE_DUE) m->warned = 1;
        return 0;
    }
    r = mail__item_new(v);
    if (r == NULL) return 0;
    if (mail__letter_report(v, r->letter, &m->letter->from) ||
        mail__draft_begin(v, r)) {
        mail__item_drop(v, r);
        return 0;
    }
    r->letter->utf8 = mail_path_utf8(&m->letter->from);
    r->draft->about = m;
    r->draft->fate = about;
    mail__report_write(v, m, r, about);
    m->busy++;
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s: a report goes to the "
               "sender, as %s", mail__id(m, mid), mail__id(r, id));
    mail__item_commit(v, r);
    return 1;
}

/* ======================================================================
   [SERVER LOOKUP] from a next hop to addresses          RFC 5321 5 | ch.9

   A hop goes in, and out comes a list of candidates, in the order in which
   they are to be called, or the reason why there is none:

       b.example        MX?  mx1.b.example, then mx2.b.example
                          A?  AAAA?  of mx1 --> 192.0.2.1:25
                          A?  AAAA?  of mx2 --> 192.0.2.2:25, [2001:db8::2]:25
       mail.b:2525      A?  AAAA?           --> 198.51.100.25:2525
       127.0.0.1:2525   nothing to be asked
       lmtp:/run/lmtp   nor here: a UNIX socket

   One question at a time, each answered whenever it may be. Others use four
   names: mail__lookup_start, its callback, mail__lookup_free, and the list.
   ====================================================================== */

enum {
    MAIL__CANDIDATES = 16,        /* addresses, of all hosts together    */
    MAIL__LOOKUP_MS = 60000       /* then it goes on with what it has    */
};

typedef struct mail__candidate {
    const char *host;             /* "mx1.b.example"                     */
    char at[112];                 /* "192.0.2.1:25" or "/run/lmtp", for
                                     sys->connect                        */
} mail__candidate;

/* Called once, and never from mail__lookup_start. */
typedef void mail__lookup_done(mail_server *v, mail__lookup *l, void *arg);

struct mail__lookup {
    size_t n;                     /* the result: candidates,             */
    mail__candidate list[MAIL__CANDIDATES];
    int code;                     /* or (n = 0) what is to be said       */
    char words[500];

    mail__lookup *next;           /* the rest is private                 */
    mail__lookup_done *done;      /* NULL: it knows, or it has gone      */
    void *arg;
    mail_hosts hosts;
    size_t host;                  /* whose addresses are asked for       */
    int is_host, port;
    int type;                     /* the question that is out; 0: none   */
    int over, freed;
    mail_err failed;              /* a question that had no answer       */
    int64_t until;
};

static void mail__lookup_unlink(mail_server *v, mail__lookup *l) {
    mail__lookup **at = &v->lookups;
    while (*at && *at != l) at = &(*at)->next;
    if (*at) *at = l->next;
    mail__free(v, l);
}

/* From now on nobody is called back. A ticket that is still out keeps the
   memory until it is answered. */
static void mail__lookup_free(mail_server *v, mail__lookup *l) {
    if (l == NULL) return;
    l->done = NULL;
    l->freed = 1;
    if (l->type == 0) mail__lookup_unlink(v, l);
}

static void mail__lookup_tell(mail_server *v, mail__lookup *l) {
    mail__lookup_done *done = l->done;
    l->done = NULL;
    if (done) done(v, l, l->arg);
}

static void mail__lookup_fail(mail__lookup *l, mail_verdict verdict) {
    snprintf(l->words, sizeof l->words, "%s (%.260s)%s%s",
             mail_verdict_text(verdict), l->hosts.name[l->host],
             verdict == MAIL_VERDICT_LATER ? ": " : "",
             verdict == MAIL_VERDICT_LATER ? mail_err_text(l->failed) : "");
    l->code = mail_verdict_code(verdict);
    l->over = 1;
}

/* All has been asked, or there is no time for more. Without an address, one
   question that failed is reason enough to try again. A host that we were
   told of by name is not the sender's fault. */
static void mail__lookup_end(mail__lookup *l) {
    l->over = 1;
    if (l->n) return;
    if (l->host == l->hosts.n) l->host = 0;
    mail__lookup_fail(l, l->failed ? MAIL_VERDICT_LATER :
                         l->is_host ? MAIL_VERDICT_NO_ROUTE :
                         l->hosts.implicit ? MAIL_VERDICT_NO_ADDRESS
                                           : MAIL_VERDICT_NO_HOST);
}

/* One more candidate; whatever is no address is not one. */
static void mail__lookup_add(mail__lookup *l, mail_str address) {
    mail__candidate *c = &l->list[l->n];
    int v6 = mail__ipv6_ok(address);
    if (!v6 && !mail__ipv4_ok(address)) return;
    if (l->n == MAIL__CANDIDATES || address.n > 45) return;
    c->host = l->hosts.name[l->host];
    snprintf(c->at, sizeof c->at, v6 ? "[%.*s]:%d" : "%.*s:%d",
             MAIL_ARG(address), l->port);
    l->n++;
}

static void mail__lookup_answer(mail_server *v, mail__lookup *l, int type,
                                mail_err e, const mail_rr *rr, size_t n);

static void mail__lookup_ask(mail_server *v, mail__lookup *l, int type) {
    mail_err e;
    l->type = type;
    e = v->sys.lookup(v->sys.ctx, l->hosts.name[l->host], type, l);
    if (e) mail__lookup_answer(v, l, type, e, NULL, 0);
}

/* MX; then A and AAAA of each host in turn. IPv4 comes first: it is what the
   most mail servers can be reached by, still. */
static void mail__lookup_answer(mail_server *v, mail__lookup *l, int type,
                                mail_err e, const mail_rr *rr, size_t n) {
    size_t i;
    l->type = 0;
    if (type == MAIL_RR_MX) {
        mail_hosts found;
        uint32_t chance;
        mail_verdict verdict;
        v->sys.random(v->sys.ctx, &chance, sizeof chance);
        verdict = mail_hosts_find(&found, l->hosts.name[0], v->opts.host,
                                  chance, e, rr, n);
        l->failed = e || verdict != MAIL_VERDICT_LATER ? e
                                                       : MAIL_ERR_PROTOCOL;
        if (verdict == MAIL_VERDICT_HOSTS) l->hosts = found;
        else mail__lookup_fail(l, verdict);
        type = MAIL_RR_A;
    } else {
        if (e && e != MAIL_ERR_NOTFOUND) l->failed = e;
        for (i = 0; i < n && e == MAIL_ERR_OK; i++)
            if (rr[i].type == type) mail__lookup_add(l, mail_s(rr[i].data));
        if (type == MAIL_RR_AAAA) l->host++;
        type = type == MAIL_RR_A ? MAIL_RR_AAAA : MAIL_RR_A;
    }
    if (l->over) return;
    if (l->host == l->hosts.n || l->n == MAIL__CANDIDATES)
        mail__lookup_end(l);
    else mail__lookup_ask(v, l, type);
}

/* A UNIX socket is on this host, and has no address. */
static void mail__lookup_socket(mail__lookup *l, const char *path) {
    mail_copy(l->hosts.name[0], MAIL_DOMAIN_SIZE, mail_s("localhost"));
    l->list[0].host = l->hosts.name[0];
    l->n = mail_copy(l->list[0].at, sizeof l->list[0].at, mail_s(path)) != 0;
}

/* Begins. done is called later, with what was found; what start returns is
   yours until you free it, before or after that. NULL: no memory. */
static mail__lookup *mail__lookup_start(mail_server *v, const char *hop,
                                        mail__lookup_done *done, void *arg) {
    mail__lookup *l = (mail__lookup *)mail__alloc(v, sizeof *l);
    const char *lmtp = mail_hop_lmtp(hop);
    mail_str host = mail_s(lmtp ? lmtp : hop);
    if (l == NULL) return NULL;
    l->done = done;
    l->arg = arg;
    l->until = mail__now(v) + MAIL__LOOKUP_MS;
    l->next = v->lookups;
    v->lookups = l;
    l->is_host = mail_hop_is_host(hop);
    l->port = 25;
    if (l->is_host) mail_host_port(host, &host, &l->port);
    mail_copy(l->hosts.name[0], MAIL_DOMAIN_SIZE, host);
    l->hosts.n = 1;
    if (lmtp && lmtp[0] == '/') mail__lookup_socket(l, lmtp);
    else if (l->is_host) mail__lookup_add(l, host);
    if (l->n) l->over = 1;
    else mail__lookup_ask(v, l, l->is_host ? MAIL_RR_A : MAIL_RR_MX);
    mail__due(v, l->over ? mail__now(v) : l->until);
    return l;
}

MAIL_DEF void mail_server_found(mail_server *v, void *ticket, mail_err e,
                                const mail_rr *rr, size_t n) {
    mail__lookup *l = (mail__lookup *)ticket;
    int type = l->type;
    if (l->over || l->freed) l->type = 0;        /* it has gone on without */
    else mail__lookup_answer(v, l, type, e, rr, n);
    if (l->freed) mail__lookup_unlink(v, l);
    else if (l->over) mail__lookup_tell(v, l);
    mail__reap(v);
}

/* Those that have waited long enough, and those that had nothing to ask. */
static void mail__lookups(mail_server *v, int64_t now) {
    mail__lookup *l = v->lookups;
    while (l) {
        if (!l->over && !l->freed && l->until <= now) {
            l->failed = MAIL_ERR_TIMEOUT;
            mail__lookup_end(l);
        }
        if (l->over && l->done) {
            mail__lookup_tell(v, l);
            l = v->lookups;                      /* the list has changed */
        } else {
            if (!l->over && !l->freed) mail__due(v, l->until);
            l = l->next;
        }
    }
}

/* ======================================================================
   [SERVER HOP] who waits before a next hop                          ch.9
   The jobs for a next hop stand in a few lines, one for each share of the
   senders, which are served in turn: whoever sends ten thousand messages
   waits behind himself. When a call fails, all rest; then one connection
   tries, and if it is heard the others follow.
   ====================================================================== */

static mail__hop *mail__hop_known(mail_server *v, const char *name) {
    mail__hop *h = v->hops[mail__hash(mail_s(name)) & 255];
    while (h && !mail_ieq(mail_s(h->name), mail_s(name))) h = h->chain;
    return h;
}

/* It is there, or made; NULL: no memory. */
static mail__hop *mail__hop_find(mail_server *v, const char *name) {
    mail__hop **place = &v->hops[mail__hash(mail_s(name)) & 255];
    mail__hop *h = mail__hop_known(v, name);
    if (h) return h;
    if (!mail__timer_room(v)) return NULL;
    h = (mail__hop *)mail__alloc(v, sizeof *h);
    if (h == NULL) {
        v->timed--;
        return NULL;
    }
    mail_copy(h->name, sizeof h->name, mail_s(name));
    h->timer.of = MAIL__TIMES_HOP;
    h->chain = *place;
    return *place = h;
}

static void mail__calling_cut(mail_server *v, mail__hop *h) {
    mail__hop **at = &v->calling, *last = NULL;
    if (!h->is_calling) return;
    while (*at != h) last = *at, at = &(*at)->calling;
    *at = h->calling;
    if (v->calling_last == h) v->calling_last = last;
    h->calling = NULL;
    h->is_calling = 0;
}

/* Nobody waits for it any more: it goes. */
static void mail__hop_free(mail_server *v, mail__hop *h) {
    mail__hop **at = &v->hops[mail__hash(mail_s(h->name)) & 255];
    if (h->jobs || h->conns) return;
    while (*at != h) at = &(*at)->chain;
    *at = h->chain;
    mail__calling_cut(v, h);
    mail__timer_end(v, &h->timer);
    mail__free(v, h->words);
    mail__free(v, h);
}

/* There are jobs: may somebody call, and when? */
static void mail__hop_want(mail_server *v, mail__hop *h) {
    int64_t now = mail__now(v);
    unsigned most = h->tries ? 1 : (unsigned)v->opts.max_hop;
    if (h->rest > now) mail__timer_set(v, &h->timer, h->rest);
    else if (h->ready > h->conns && h->conns < most && !h->is_calling) {
        h->is_calling = 1;
        if (v->calling) v->calling_last->calling = h;
        else v->calling = h;
        v->calling_last = h;
        mail__due(v, now);
    }
}

/* Whose mailbox opens only after the checkpoint that brings this message? */
static void mail__box_laps(mail_server *v, mail__item *m, int listed) {
    uint64_t lap = 0;
    size_t i;
    int k;
    for (k = 0; k < 2; k++)
        if (listed & 1 << k && v->segs[k].lap > lap) lap = v->segs[k].lap;
    if (mail__letter_get(v, m)) {            /* for whom? it may be anybody's */
        for (i = 0; i < v->nusers; i++)
            if (v->users[i].lap < lap) v->users[i].lap = lap;
        return;
    }
    for (i = 0; i < m->letter->nrcpts; i++) {
        const mail__rcpt *r = &m->letter->rcpts[i];
        mail__user *u = r->job && !r->job->hop ? mail__box_user(v, r) : NULL;
        if (u && u->lap < lap) u->lap = lap;
    }
}

/* A job's time has come: it joins its line, or a checkpoint's list. */
static void mail__job_ready(mail_server *v, mail__job *j) {
    mail__hop *h = j->hop;
    mail__item *m = j->item;
    int checked = v->check.seg >= 0 ? 1 << v->check.seg : 0;
    if (h == NULL) {
        if (!(m->listed & ~checked) && !mail__journal_room(v)) {
            j->due = mail__now(v) + 1000;
            return;
        }
        if (!(m->listed & ~checked)) {
            mail__list_add(v, m, v->cur);
            if (v->segs[v->cur].since < 0)
                v->segs[v->cur].since = mail__now(v);
        }
        j->state = MAIL__JOB_READY;
        mail__box_laps(v, m, m->listed & ~checked);
        mail__due(v, mail__now(v));
        return;
    }
    /* What cannot be written down is not done: the next crash would do it
       once more. */
    if (v->todo && v->check_fails) {
        j->due = mail__now(v) + 1000;
        return;
    }
    j->state = MAIL__JOB_READY;
    j->behind = NULL;
    j->ahead = h->lines[j->line].last;
    if (j->ahead) j->ahead->behind = j;
    else h->lines[j->line].first = j;
    h->lines[j->line].last = j;
    h->ready++;
    mail__hop_want(v, h);
}

/* It waits in its line no longer. */
static void mail__hop_leave(mail__job *j) {
    mail__hop *h = j->hop;
    if (h == NULL || j->state != MAIL__JOB_READY) return;
    if (j->ahead) j->ahead->behind = j->behind;
    else h->lines[j->line].first = j->behind;
    if (j->behind) j->behind->ahead = j->ahead;
    else h->lines[j->line].last = j->ahead;
    j->ahead = j->behind = NULL;
    j->state = MAIL__JOB_BUSY;
    h->ready--;
}

/* The next one of a hop, each line in its turn; NULL: none. */
static mail__job *mail__hop_next(mail__hop *h) {
    unsigned i;
    for (i = 0; i < MAIL__LINES; i++) {
        unsigned k = (h->turn + i) % MAIL__LINES;
        mail__job *j = h->lines[k].first;
        if (j == NULL) continue;
        h->turn = k + 1;
        mail__hop_leave(j);
        return j;
    }
    return NULL;
}

/* Its recipients are the connection's (or, without one, nobody's); but no more
   than the server takes for one mail (LIMITS, RFC 9422). The others come next,
   without waiting, and who was refused for now not before all have been
   named. Returns how many. */
static size_t mail__job_take(mail__job *j, mail_conn *c) {
    mail__letter *l = j->item->letter;
    size_t i = c ? j->from : 0, n = 0;
    int64_t most = c ? c->u.smtpc.max_rcpts : 0;
    j->from = 0;
    for (; i < l->nrcpts && !j->from; i++) {
        mail__rcpt *r = &l->rcpts[i];
        if (r->job != j || !mail__rcpt_due(r)) continue;
        if (most && (int64_t)n == most) j->from = i;
        else {
            r->busy = c;
            r->code = 0;
            n++;
        }
    }
    return n;
}

/* The next job that can be begun. A letter that cannot be read waits. */
static mail__job *mail__hop_take(mail_server *v, mail__hop *h,
                                 mail_conn *c) {
    mail__job *j;
    while ((j = mail__hop_next(h)) != NULL) {
        mail__item *m = j->item;
        if (mail__letter_get(v, m)) {
            j->state = MAIL__JOB_WAITS;
            j->due = mail__now(v) + v->opts.retry_first * 1000;
            mail__item_schedule(v, m, mail__now(v));
            continue;
        }
        if (mail__job_take(j, c) == 0) mail__job_take(j, c);
        m->busy++;
        return j;
    }
    return NULL;
}

/* A next hop has taken it. One without DSN reports no success: we say that we
   have passed it on (RFC 3461 5.2.2), or, of LMTP, that it is in a mailbox. */
static mail_fate mail__relay_sent(const mail__item *m, const mail__rcpt *r,
                                  const mail_conn *c) {
    int deaf = c && !(c->u.smtpc.ext & MAIL_EXT_DSN);
    if (!deaf || !mail__rcpt_wants(m->letter, r, MAIL_FATE_RELAYED))
        return MAIL_FATE_SENT;
    return c->u.smtpc.opts.lmtp ? MAIL_FATE_DELIVERED : MAIL_FATE_RELAYED;
}

/* Is a refusal for good, or only for now (4yz)? */
static int mail__for_good(int code) { return code / 100 == 5; }

/* The try of a job is over. Who was refused at RCPT, or had an answer of his
   own (LMTP), keeps that fate; the others share this one. ours: no peer said
   that code. */
static void mail__job_end(mail_server *v, mail__job *j, mail_conn *c,
                          int code, const char *words, int ours) {
    mail__item *m = j->item;
    char path[MAIL_PATH_SIZE], id[MAIL_ID_SIZE];
    size_t i;
    for (i = 0; i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        if (r->job != j || r->busy != c) continue;
        r->busy = NULL;
        if (r->code == 0)
            mail__rcpt_set(v, m, r,
                           code / 100 == 2 ? mail__relay_sent(m, r, c) :
                           MAIL_FOR_GOOD(code) ? MAIL_FATE_FAILED :
                           MAIL_FATE_DUE, code, mail_s(words));
        if (ours) r->code = 0;
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s %s %s: %s: %d %s",
                   mail__id(m, id),
                   r->fate == MAIL_FATE_FAILED ? "has failed for" :
                   mail__rcpt_due(r) ? "waits for" : "is sent to",
                   mail__show(&r->path, path), j->hop->name,
                   r->code ? r->code : code, r->words ? r->words : "");
    }
    m->busy--;
    mail__job_done(v, j);
    mail__item_settle(v, m);
}

/* No host of this hop will have us: for now, all rest, and the one whose
   turn it was has had its try. For ever (5yz): all of them have failed, some
   at a turn. */
static void mail__hop_failed(mail_server *v, mail__hop *h, int code,
                             const char *words, int ours) {
    char *w = (char *)mail__alloc(v, strlen(words) + 1);
    int64_t now = mail__now(v);
    int left = code >= 500 ? MAIL__SLICE : 1;
    mail__job *j;
    mail__free(v, h->words);
    h->words = w;
    if (w) memcpy(w, words, strlen(words) + 1);
    h->code = code;
    if (code < 500 && h->rest > now) left = 0;  /* another call said so */
    else if (code < 500) {
        h->tries++;
        h->failed = now;
        h->rest = now + MAIL_RETRY_AFTER(h->tries, v->opts.retry_first,
                                         v->opts.retry_max) * 1000;
    }
    h->jobs++;                            /* it stays while we look at it */
    while (left-- && (j = mail__hop_take(v, h, NULL)) != NULL)
        mail__job_end(v, j, NULL, code, words, ours);
    h->jobs--;
    mail__hop_want(v, h);
    mail__hop_free(v, h);
}

/* ======================================================================
   [SERVER RELAY] on to the next hop                                 ch.9
   ====================================================================== */

static mail_conn *mail__conn_new(mail_server *v, char role) {
    mail_conn *c;
    if (!mail__timer_room(v)) return NULL;
    c = (mail_conn *)mail__alloc(v, sizeof *c);
    if (c == NULL) {
        v->timed--;
        return NULL;
    }
    c->timer.of = MAIL__TIMES_CONN;
    c->v = v;
    c->role = role;
    c->wire = c->file = -1;
    c->end = -1;
    c->number = ++v->numbers;
    c->next = v->conns;
    if (c->next) c->next->prev = c;
    v->conns = c;
    v->nconns++;
    return c;
}

static void mail__conn_watch(void *ctx, mail_note kind, mail_str text,
                             const char *state) {
    mail_conn *c = (mail_conn *)ctx;
    mail_server *v = c->v;
    if (v->opts.watch)
        v->opts.watch(v->opts.watch_ctx, c->number, c->role, kind, text,
                      state);
}

/* The file of a segment is everybody's. */
static void mail__conn_file(mail_server *v, mail_conn *c) {
    if (c->file >= 0 && !c->shared) v->sys.close(v->sys.ctx, c->file);
    c->file = -1;
    c->shared = 0;
}

static void mail__relay_end(mail_server *v, mail_conn *c, int code,
                            const char *words, int ours) {
    mail__job *j = c->job;
    c->item = NULL;
    c->job = NULL;
    mail__conn_file(v, c);
    if (j) mail__job_end(v, j, c, code, words, ours);
}

/* Nobody can be called, now or ever. */
static void mail__relay_none(mail_server *v, mail_conn *c, int code,
                             const char *words, int ours) {
    mail__hop *h = c->hop;
    char copy[600];                       /* words may go with c */
    mail_copy(copy, sizeof copy, mail_s(words));
    c->hop = NULL;
    h->conns--;
    mail__conn_kill(v, c);
    mail__hop_failed(v, h, code, copy, ours);
}

/* Calls the next candidate. A host that cannot be reached, or will not have
   us, is no reason to give up while there are others (RFC 5321 5.1); with
   none left, code and words are those of the last one. */
static void mail__relay_call(mail_server *v, mail_conn *c, int code,
                             const char *words, int ours) {
    char why[400];
    mail__lookup *l = c->lookup;
    mail__candidate *to = NULL;
    if (c->wire >= 0) v->sys.hangup(v->sys.ctx, c->wire);
    c->wire = -1;
    c->securing = 0;
    while (c->wire < 0 && l && c->called < l->n &&
           c->called < (size_t)v->opts.max_addresses &&
           c->sessions < v->opts.max_sessions) {
        to = &l->list[c->called++];
        mail_copy(c->peer, sizeof c->peer, mail_s(to->at));
        mail_copy(c->hop->host, sizeof c->hop->host, mail_s(to->host));
        mail__tell(v, c, MAIL_NOTE_OPEN, "", "%s (%s)", to->at, to->host);
        c->at = mail__now(v) + v->opts.connect_timeout;
        mail__timer_set(v, &c->timer, c->at);
        c->wire = v->sys.connect(v->sys.ctx, to->at, c);
        if (c->wire >= 0) break;
        snprintf(why, sizeof why, "4.4.1 no connection: %s",
                 mail_err_text((mail_err)(-1 - c->wire)));
        c->wire = -1;
        code = 451, words = why, ours = 1;
    }
    if (c->wire < 0) mail__relay_none(v, c, code, words, ours);
}

static void mail__relay_found(mail_server *v, mail__lookup *l, void *arg) {
    mail_conn *c = (mail_conn *)arg;
    if (l->n) mail__relay_call(v, c, 451, "4.4.1 no connection", 1);
    else mail__relay_none(v, c, l->code, l->words, 1);
}

/* The session, before each call. TLS is taken where it is offered, and no
   certificate is looked at: whoever could strip the offer could show one,
   too, as long as a domain has no way to say that it has TLS (RFC 7435). */
static void mail__relay_begin(mail_server *v, mail_conn *c) {
    mail_smtpc_opts o;
    memset(&o, 0, sizeof o);
    o.helo = v->opts.host;
    o.lmtp = mail_hop_lmtp(c->hop->name) != NULL;
    o.basic = v->opts.basic && !o.lmtp;
    o.tls = v->sys.secure && !o.basic && !c->in_clear ? MAIL_TLS_MAY
                                                      : MAIL_TLS_NO;
    o.relay = 1;
    o.timeout = v->opts.reply_timeout;
    o.min_rate = v->opts.min_rate;
    o.watch = mail__conn_watch;
    o.watch_ctx = c;
    mail_smtpc_init(&c->u.smtpc, o);
    c->connecting = 1;
    c->at = INT64_MAX;                  /* a look-up has its own end */
}

/* The i-th recipient given to this connection. */
static mail__rcpt *mail__relay_rcpt(mail_conn *c, int64_t number) {
    mail__letter *l = c->item->letter;
    size_t i;
    for (i = 0; i < l->nrcpts; i++)
        if (l->rcpts[i].busy == c && number-- == 0) return &l->rcpts[i];
    return NULL;
}

/* Must SMTPUTF8 be said? For an address or a header in UTF-8; who has said it
   to us for nothing (RFC 6531 3.4) is not to suffer for it. */
static int mail__relay_utf8(const mail_conn *c) {
    const mail__letter *l = c->item->letter;
    int utf8 = l->utf8 || mail_path_utf8(&l->from);
    size_t i;
    for (i = 0; i < l->nrcpts; i++)
        utf8 |= l->rcpts[i].busy == c && mail_path_utf8(&l->rcpts[i].path);
    return utf8;
}

/* A hop without SMTPUTF8: who has an address in UTF-8 has failed, the others
   go on. Nothing is changed to make it fit (RFC 6531 3.2). How many are
   left? */
static size_t mail__relay_ascii(mail_server *v, mail_conn *c) {
    mail__item *m = c->item;
    size_t i, left = 0;
    for (i = 0; i < m->letter->nrcpts; i++) {
        mail__rcpt *r = &m->letter->rcpts[i];
        if (r->busy != c) continue;
        left++;
        if (!mail_path_utf8(&r->path)) continue;
        mail__rcpt_set(v, m, r, MAIL_FATE_FAILED, 0, mail_s("5.6.7 the "
                       "address is in UTF-8, and the next hop takes none "
                       "(SMTPUTF8)"));
        r->busy = NULL;
        left--;
    }
    return left;
}

/* Octets of the text, with CRLF line ends, without its Return-Path. */
static int64_t mail__relay_size(const mail_conn *c) {
    const mail__item *m = c->item;
    return m->wire - (m->size - (c->end - c->at)) - 1;
}

/* By BDAT where it is worth it. A small text goes by DATA: that can be said
   together with RCPT, so it costs no round trip more, and all servers know it.
   With a long one the server has less to do, and what ends it is a number: in
   no text there is anything that could end it sooner. */
static mail_err mail__relay_data(mail_conn *c) {
    int64_t size = mail__relay_size(c);
    return size >= c->v->opts.bdat && mail_smtpc_bdat(&c->u.smtpc, size) ==
           MAIL_ERR_OK ? MAIL_ERR_OK : mail_smtpc_data(&c->u.smtpc);
}

/* MAIL, for the job that was taken. */
static mail_err mail__relay_from(mail_server *v, mail_conn *c) {
    mail__item *m = c->item;
    mail__letter *l = m->letter;
    mail_param p;
    mail__letter_asked(l, &p);
    p.size = mail__relay_size(c);
    p.body_8bit = m->eight;
    p.utf8 = mail__relay_utf8(c);
    if (p.utf8 && !(c->u.smtpc.ext & MAIL_EXT_SMTPUTF8)) {
        if (l->utf8 || mail_path_utf8(&l->from)) return MAIL_ERR_UNABLE;
        if (mail__relay_ascii(v, c) == 0) return MAIL_ERR_UNABLE;
        p.utf8 = 0;
    }
    return mail_smtpc_mail(&c->u.smtpc, &l->from, &p);
}

/* What a next hop lacks. A text in 8 bits comes back: RFC 6152 3 would have us
   send it in another encoding, or that. Whoever changes a text breaks the
   signature over it (DKIM), and has to understand all of MIME to do no harm;
   the sender hears of this at once, and can do it better. */
static const char *mail__relay_unable(const mail_conn *c) {
    if (mail__relay_utf8(c) && !(c->u.smtpc.ext & MAIL_EXT_SMTPUTF8))
        return "5.6.7 the sender's address or the header is in UTF-8, and "
               "the next hop takes none (SMTPUTF8)";
    return "5.6.3 the text has octets over 127, and the next hop takes none "
           "(8BITMIME)";
}

/* A mail transaction for the next job of the hop; after a hundred the
   connection has had its turn, and without one it says goodbye. */
static void mail__relay_mail(mail_server *v, mail_conn *c) {
    mail_smtpc *s = &c->u.smtpc;
    mail__item *m;
    int owned;
    mail_err e;
    while (c->served < (s->max_mails && s->max_mails < 100
                            ? (int)s->max_mails : 100) && !v->stopping &&
           (c->job = mail__hop_take(v, c->hop, c)) != NULL) {
        m = c->item = c->job->item;
        c->served++;
        c->file = mail__text_open(v, m, 1, &c->at, &c->end, &owned);
        c->shared = owned ? 0 : m->seg + 1;
        if (c->file < 0) c->file = -1;
        c->next_rcpt = 0;
        c->asked_data = 0;
        e = c->file < 0 ? MAIL_ERR_IO : mail__relay_from(v, c);
        if (e == MAIL_ERR_OK) return;
        if (e == MAIL_ERR_TOOLONG)
            mail__relay_end(v, c, 552, "5.3.4 larger than the next hop takes",
                            0);
        else if (e == MAIL_ERR_UNABLE)
            mail__relay_end(v, c, 554, mail__relay_unable(c), 1);
        else mail__relay_end(v, c, 451, "4.3.0 the queue file cannot be read",
                             1);
    }
    mail_smtpc_quit(s);
}

/* As many recipients as may be named now, then DATA. <postmaster> needs no
   domain here, and may need one there. */
static void mail__relay_more(mail_conn *c) {
    mail_smtpc *s = &c->u.smtpc;
    mail__rcpt *r;
    mail_path to;
    if (c->item == NULL || c->asked_data || s->state != MAIL_SMTPC_MAIL)
        return;
    while ((r = mail__relay_rcpt(c, (int64_t)c->next_rcpt)) != NULL) {
        mail_param p;
        mail__rcpt_asked(r, &p);
        to = r->path;
        if (to.domain[0] == 0)
            mail_copy(to.domain, sizeof to.domain,
                      mail_s(c->v->opts.routing.domains[0]));
        if (mail_smtpc_rcpt(s, &to, &p)) return;
        c->next_rcpt++;
    }
    if (mail__relay_data(c) == MAIL_ERR_OK) c->asked_data = 1;
}

/* A recipient that is refused has its own code and words. One that is given
   its mail (LMTP), too, and that is written down at once: the next answer may
   take its time, and until then a crash would bring the mail again. */
static void mail__relay_answer(mail_server *v, mail_conn *c,
                               const mail_event *ev) {
    mail__rcpt *r = mail__relay_rcpt(c, ev->number);
    int given = ev->kind == MAIL_EV_GIVEN;
    if (r == NULL || (ev->code < 400 && !given)) return;
    mail__rcpt_set(v, c->item, r, MAIL_FOR_GOOD(ev->code) ? MAIL_FATE_FAILED :
                   ev->code >= 400 ? MAIL_FATE_DUE :
                   mail__relay_sent(c->item, r, c),
                   ev->code, ev->text);
    if (given) mail__item_settle(v, c->item);
}

/* The enhanced status code (RFC 3463) of a session that has ended so, with a
   space: 4.4.2 is a connection that broke off, 4.5.0 a protocol, 4.7.5 a
   cipher. */
static const char *mail__relay_status(mail_err e) {
    return e == MAIL_ERR_TIMEOUT || e == MAIL_ERR_CLOSED ? "4.4.2 " :
           e == MAIL_ERR_PROTOCOL ? "4.5.0 " :
           e == MAIL_ERR_TLS ? "4.7.5 " : "";
}

static const char *mail__relay_why(const mail_smtpc *s, char words[600]) {
    snprintf(words, 600, "%s%.90s%s%.480s", mail__relay_status(s->err),
             mail_err_text(s->err), s->words[0] ? ": " : "", s->words);
    return words;
}

/* It has ended. A refusal of us as a whole (a greeting, EHLO) is not one of
   the mail: it is tried elsewhere, and later (5321-13: as after 451). */
static void mail__relay_closed(mail_server *v, mail_conn *c) {
    const mail_smtpc *s = &c->u.smtpc;
    char words[600];
    mail__relay_why(s, words);
    if (c->greeted) {
        mail__relay_end(v, c, 451, words, 0);
        c->closing = 1;
    } else {
        mail__free(v, c->back);
        c->back = NULL;
        c->nback = 0;
        c->eof = 0;
        /* Broken TLS is no better than none, and no reason to keep the mail:
           the same host is called once more, without. */
        c->in_clear = s->err == MAIL_ERR_TLS && !c->in_clear;
        if (c->in_clear) c->called--;
        mail__relay_begin(v, c);
        mail__relay_call(v, c, 451, words, 0);
    }
}

static void mail__relay_event(mail_server *v, mail_conn *c,
                              const mail_event *ev) {
    mail_smtpc *s = &c->u.smtpc;
    switch (ev->kind) {
    case MAIL_EV_READY:
        c->greeted = 1;
        c->hop->tries = 0;                 /* it is heard: the others follow */
        c->hop->rest = 0;
        mail__relay_mail(v, c);
        mail__hop_want(v, c->hop);
        break;
    case MAIL_EV_RCPT:
    case MAIL_EV_GIVEN:
        if (c->item) mail__relay_answer(v, c, ev);
        break;
    case MAIL_EV_DONE:
        mail__relay_end(v, c, ev->code, s->words, 0);
        mail__relay_mail(v, c);
        break;
    case MAIL_EV_CLOSED:
        mail__relay_closed(v, c);
        return;
    default:
        break;
    }
    mail__relay_more(c);
}

static void mail__relay_open(mail_server *v, mail__hop *h) {
    mail_conn *c = mail__conn_new(v, 'c');
    if (c == NULL) {                        /* no memory: in a while */
        mail__timer_set(v, &h->timer, mail__now(v) + 1000);
        return;
    }
    c->hop = h;
    mail__relay_begin(v, c);
    h->conns++;
    mail_copy(c->peer, sizeof c->peer, mail_s(h->name));
    v->nout++;
    mail__hop_want(v, h);                   /* are there more who wait? */
    c->lookup = mail__lookup_start(v, h->name, mail__relay_found, c);
    if (c->lookup == NULL)
        mail__relay_none(v, c, 451, "4.3.0 out of memory", 1);
}

/* Those that may call do so, each a connection in its turn, as long as there
   are connections to spare. */
static void mail__relay_calls(mail_server *v) {
    while (v->calling && v->nout < (size_t)v->opts.max_out && !v->stopping) {
        mail__hop *h = v->calling;
        mail__calling_cut(v, h);
        if (h->ready == 0 || h->rest > mail__now(v)) continue;
        mail__relay_open(v, h);
    }
}

/* ======================================================================
   [SERVER RECEIVE] a client sends us mail                           ch.4
   ====================================================================== */

static void mail__conn_drop_item(mail_server *v, mail_conn *c) {
    mail__item *m = c->item;
    if (m == NULL) return;
    if (c->role == 'c') {
        const mail_smtpc *s = &c->u.smtpc;
        int code = mail__smtpc_verdict(s);
        char why[600];
        mail__relay_end(v, c, code ? code : 451, code ? s->words :
                        s->err ? mail__relay_why(s, why)
                               : "4.4.2 the connection broke", code == 0);
        return;
    }
    /* A commit under way goes on without its client: it may well have heard
       nothing, and will send again; that is the duplicate that RFC 5321 6.1
       allows. */
    if (m->draft && m->draft->waiter == c) m->draft->waiter = NULL;
    else mail__item_drop(v, m);
    c->item = NULL;
}

/* Is there room for it on the disk, in the queue and in a mailbox? Better
   refused now than after the whole text. */
static int mail__disk_full(mail_server *v, int64_t size) {
    int64_t space = v->opts.reserve ? v->sys.space(v->sys.ctx) : -1;
    return space >= 0 && space / 2 < v->opts.reserve / 2 + size;
}

static void mail__smtpd_on_mail(mail_server *v, mail_conn *c,
                                const mail_event *ev) {
    mail_err e = v->home.err;
    if (!e && mail__disk_full(v, ev->size > 0 ? ev->size : 0))
        e = MAIL_ERR_NOSPACE;
    if (e) {
        mail__say_disk(&c->u.smtpd, e);
        return;
    }
    c->item = mail__item_new(v);
    if (c->item == NULL) {
        mail_smtpd_reply(&c->u.smtpd, 451, "4.3.0 out of memory");
        return;
    }
    mail__letter_from(c->item->letter, ev->path, ev->param);
    mail_smtpd_reply(&c->u.smtpd, 250, NULL);
}

static void mail__smtpd_on_rcpt(mail_server *v, mail_conn *c,
                                const mail_event *ev) {
    char to[MAIL_NAME_SIZE + 8], path[MAIL_PATH_SIZE];
    mail_smtpd *s = &c->u.smtpd;
    int may_relay = s->authed || mail_relay_has(mail_s(v->opts.relay_from),
                                                mail_s(c->peer));
    mail__alias *a = mail__alias_of(v, ev->path);
    mail_route_kind k = a ? MAIL_ROUTE_LOCAL :
                        MAIL_ROUTE_FIND(&v->opts.routing, ev->path,
                                        may_relay, to);
    mail_err e = MAIL_ERR_OK;
    if (a) e = mail__letter_alias(v, c->item->letter, a, ev->path,
                                  ev->param);
    else if (k == MAIL_ROUTE_LOCAL || k == MAIL_ROUTE_RELAY) {
        e = mail__letter_room(c->item->letter, ev->path, ev->param);
        if (!e) e = mail__letter_to(v, c->item->letter, ev->path, ev->param);
    }
    if (e == MAIL_ERR_NOTFOUND) k = MAIL_ROUTE_NO_USER;
    if (k == MAIL_ROUTE_NO_USER)
        mail_smtpd_reply(s, 550, "5.1.1 no such user here");
    else if (k == MAIL_ROUTE_DENIED)
        mail_smtpd_reply(s, 550, "5.7.1 relaying denied: log in first");
    else if (e == MAIL_ERR_TOOLONG)
        mail_smtpd_reply(s, 452, "4.5.3 too many recipients: send these first");
    else if (e) mail_smtpd_reply(s, 451, "4.3.0 out of memory");
    else mail_smtpd_reply(s, 250, NULL);
    if (k == MAIL_ROUTE_NO_USER || k == MAIL_ROUTE_DENIED)
        mail__tell(v, c, MAIL_NOTE_FATE, "", "refused %s from %s",
                   mail__show(ev->path, path), c->peer);
}

/* How it came: RFC 3848, and RFC 6531 4.3. */
static const char *mail__smtpd_with(const mail_smtpd *s) {
    static const char *const with[2][4] = {
        { "ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA" },
        { "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA" }
    };
    return s->esmtp ? with[s->utf8 != 0][(s->secure != 0) * 2 +
                                         (s->authed != 0)] : "SMTP";
}

/* The text begins with what we add to it: see mail__draft_begin. */
static void mail__smtpd_on_data(mail_server *v, mail_conn *c) {
    mail_smtpd *s = &c->u.smtpd;
    mail__item *m = c->item;
    mail_err e = mail__draft_begin(v, m);
    char text[1024], id[MAIL_ID_SIZE];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_received r;
    if (e) {
        mail__item_drop(v, m);
        c->item = NULL;
        mail__say_disk(s, e);
        return;
    }
    r.helo = s->helo;
    r.address = c->peer;
    r.by = v->opts.host;
    r.with = mail__smtpd_with(s);
    r.id = mail__id(m, id);
    r.for_ = m->letter->nrcpts > 1 ? NULL : m->letter->rcpts[0].alias ?
             m->letter->rcpts[0].alias : &m->letter->rcpts[0].path;
    r.time = mail__time(v, &r.zone);
    MAIL_RECEIVED_WRITE(&b, &r);
    mail__draft_add(v, m, mail_buf_str(&b));
    memset(&c->head, 0, sizeof c->head);
    mail_smtpd_reply(s, 354, NULL);
}

/* What speaks against a text that is whole, or NULL. */
static const char *mail__text_refuse(const mail_server *v,
                                     const mail_head *h, int *code) {
    *code = 554;
    if (h->received > v->opts.max_hops)            /* RFC 5321 6.3 */
        return "5.4.6 so many hops: this mail goes in circles";
    *code = 552;
    if (h->size > v->opts.max_header || h->lines > v->opts.max_lines)
        return "5.3.4 the header is more than I take";
    return NULL;
}

static void mail__smtpd_on_end(mail_server *v, mail_conn *c) {
    mail__item *m = c->item;
    int code;
    const char *no = mail__text_refuse(v, &c->head, &code);
    if (no) {
        mail__conn_drop_item(v, c);
        mail_smtpd_reply(&c->u.smtpd, code, no);
        return;
    }
    m->eight = c->head.has_8bit != 0;
    m->letter->utf8 = c->u.smtpd.utf8 && c->head.head_8bit;
    m->draft->waiter = c;
    mail__item_commit(v, m);
}

static void mail__receive_event(mail_server *v, mail_conn *c,
                                const mail_event *ev) {
    switch (ev->kind) {
    case MAIL_EV_TLS:
        mail_smtpd_reply(&c->u.smtpd, 220, NULL);
        break;
    case MAIL_EV_LOGIN:
    case MAIL_EV_KEYS:
    case MAIL_EV_PROOF:
        mail__login_begin(v, c, ev);
        break;
    case MAIL_EV_MAIL:
        mail__smtpd_on_mail(v, c, ev);
        break;
    case MAIL_EV_RCPT:
        mail__smtpd_on_rcpt(v, c, ev);
        break;
    case MAIL_EV_DATA:
        mail__smtpd_on_data(v, c);
        break;
    case MAIL_EV_TEXT:
        mail_head_feed(&c->head, ev->text);
        mail__draft_add(v, c->item, ev->text);
        break;
    case MAIL_EV_END:
        mail__smtpd_on_end(v, c);
        break;
    case MAIL_EV_CLOSED:
        c->closing = 1;
        mail__conn_drop_item(v, c);
        break;
    default:                                       /* ABORT */
        mail__conn_drop_item(v, c);
        break;
    }
}

/* ======================================================================
   [SERVER HAND OUT] a client fetches its mail                      ch.10
   ====================================================================== */

static void mail__box_free(mail_server *v, mail__box *b) {
    if (b == NULL) return;
    mail__free(v, b->drops);
    mail__free(v, b->files);
    mail__free(v, b->text);
    mail__free(v, b);
}

typedef struct mail__box_list {
    mail_server *v;
    mail__box *b;
    int cur, hides;
    mail_err err;
} mail__box_list;

/* Is this recipient of this message still due? Then a checkpoint that brought
   it has failed, and another will bring it again: it is still to come. */
static int mail__box_hidden(mail_server *v, const char *name) {
    mail_str s = mail_s(name), id;
    mail__item *m;
    const mail__rcpt *r;
    int64_t n;
    size_t dash;
    mail_cut(&s, '.');
    id = mail_cut(&s, '.');
    for (dash = id.n; dash && id.p[dash - 1] != '-'; dash--) {}
    m = dash ? mail__item_find(v, mail_sn(id.p, dash - 1)) : NULL;
    if (m == NULL || mail_number(mail_sn(id.p + dash, id.n - dash), 100000,
                                 &n)) return 0;
    if (mail__letter_get(v, m) || (uint64_t)n >= m->letter->nrcpts) return 1;
    r = &m->letter->rcpts[n];
    n = r->job && r->job->hop == NULL;
    mail__letter_rest(v, m);
    return (int)n;
}

/* May the maildrop be opened, or is mail for it still in the journal? */
static int mail__box_ready(const mail_server *v, const mail__user *u) {
    return u == NULL || u->lap <= v->lap_done || v->check_fails;
}

/* The number that a name begins with, up to 18 digits of it. */
static int64_t mail__box_age(const char *name) {
    int64_t age = 0;
    size_t i;
    for (i = 0; i < 18 && mail__digit(name[i]); i++)
        age = age * 10 + (name[i] - '0');
    return age;
}

/* One name of new or cur: "name NUL uid NUL" goes into the text. */
static void mail__box_take(void *arg, const char *name) {
    mail__box_list *l = (mail__box_list *)arg;
    mail__box *b = l->b;
    size_t n = strlen(name) + 1;
    char uid[72];
    if (name[0] == '.' || n > 200 || l->err) return;
    if (l->hides && mail__box_hidden(l->v, name)) return;
    mail_box_uid(mail_s(name), uid);
    if (!mail__grow(l->v, (void **)&b->files, b->n, &b->cap,
                    sizeof *b->files) ||
        !mail__grow(l->v, (void **)&b->text, b->text_n + n + 72,
                    &b->text_cap, 1)) {
        l->err = MAIL_ERR_NOMEM;
        return;
    }
    b->files[b->n].at = b->text_n;
    b->files[b->n].cur = l->cur;
    b->files[b->n].age = mail__box_age(name);
    b->files[b->n++].size = mail_box_size(mail_s(name), 'W');
    memcpy(b->text + b->text_n, name, n);
    b->text_n += n;
    n = strlen(uid) + 1;
    memcpy(b->text + b->text_n, uid, n);
    b->text_n += n;
}

static void mail__box_path(const mail_conn *c, size_t i,
                           char path[MAIL_NAME_SIZE + 80]) {
    const mail__box *b = c->box;
    snprintf(path, MAIL_NAME_SIZE + 80, "mail/%s/%s/%s", c->user->name,
             b->files[i].cur ? "cur" : "new", b->files[i].name);
}

/* Octets on the wire of a file that somebody else put there: a line end
   counts two, whatever it is here. -1 if it cannot be read. */
static int64_t mail__wire_size(mail_server *v, const char *path) {
    int file = v->sys.open(v->sys.ctx, path, MAIL_OPEN_READ);
    int64_t at = 0, wire = 0, n = -1, i;
    char last = '\n';
    while (file >= 0 &&
           (n = v->sys.read(v->sys.ctx, file, at, v->block,
                            MAIL__BLOCK)) > 0) {
        for (i = 0; i < n; i++) {
            char c = v->block[i];
            if (!(c == '\n' && last == '\r'))
                wire += c == '\n' || c == '\r' ? 2 : 1;
            last = c;
        }
        at += n;
    }
    if (file >= 0) v->sys.close(v->sys.ctx, file);
    if (last != '\n' && last != '\r') wire += 2;
    return n < 0 ? -1 : wire;
}

/* A name begins with the time of arrival: the number is compared, and of the
   same second the rest. */
static int mail__box_order(const void *a, const void *b) {
    const struct mail__box_file *x = (const struct mail__box_file *)a;
    const struct mail__box_file *y = (const struct mail__box_file *)b;
    if (x->age != y->age) return x->age < y->age ? -1 : 1;
    return strcmp(x->uid, y->uid);
}

/* Snapshot of the maildrop: numbers and sizes do not change while it is
   open, whatever arrives (1939-27, 28). */
static mail_err mail__box_open(mail_server *v, mail_conn *c) {
    mail__box_list l;
    mail__box *b = (mail__box *)mail__alloc(v, sizeof *b);
    char dir[MAIL_NAME_SIZE + 80];
    size_t i, n;
    if (b == NULL) return MAIL_ERR_NOMEM;
    l.v = v;
    l.b = b;
    l.err = MAIL_ERR_OK;
    l.hides = v->nqueue > 0;
    for (l.cur = 0; l.cur < 2 && !l.err; l.cur++) {
        mail_err e;
        snprintf(dir, sizeof dir, "mail/%s/%s", c->user->name,
                 l.cur ? "cur" : "new");
        e = v->sys.list(v->sys.ctx, dir, mail__box_take, &l);
        if (e && e != MAIL_ERR_NOTFOUND) l.err = e;
    }
    b->drops = (mail_drop *)mail__alloc(v, (b->n + 1) * sizeof *b->drops);
    if (b->drops == NULL) l.err = MAIL_ERR_NOMEM;
    c->box = b;
    for (i = 0; i < b->n; i++) {
        b->files[i].name = b->text + b->files[i].at;
        b->files[i].uid = b->files[i].name + strlen(b->files[i].name) + 1;
    }
    if (b->n) qsort(b->files, b->n, sizeof *b->files, mail__box_order);
    for (i = n = 0; i < b->n && !l.err; i++) {
        if (b->files[i].size < 0) {
            mail__box_path(c, i, dir);
            b->files[i].size = mail__wire_size(v, dir);
        }
        if (b->files[i].size < 0) continue;      /* no file, no message */
        b->files[n] = b->files[i];
        b->drops[n].size = b->files[n].size;
        b->drops[n].uid = b->files[n].uid;
        n++;
    }
    b->n = n;
    if (l.err) {
        mail__box_free(v, b);
        c->box = NULL;
    }
    return l.err;
}

static void mail__pop3d_answer(mail_server *v, mail_conn *c, mail_err e) {
    mail__tell(v, c, MAIL_NOTE_FATE, "", "login %s%s from %s",
               e == MAIL_ERR_OK ? c->user->name : "refused: ",
               e ? mail_err_text(e) : "", c->peer);
    mail_pop3d_login(&c->u.pop3d, e, e ? NULL : c->box->drops,
                     e ? 0 : c->box->n);
}

/* It is the right one, and all its mail is in files. */
static void mail__pop3d_enter(mail_server *v, mail_conn *c) {
    mail_err e = c->user ? mail__box_open(v, c) : MAIL_ERR_NOTFOUND;
    c->entering = 0;
    if (e && c->user) c->user->locked = NULL, c->user = NULL;
    mail__pop3d_answer(v, c, e);
}

/* It is u, if there is no error. */
static void mail__pop3d_admit(mail_server *v, mail_conn *c, mail__user *u,
                              mail_err e) {
    if (e == MAIL_ERR_OK && u->locked) e = MAIL_ERR_BUSY;
    if (e == MAIL_ERR_OK) {
        c->user = u;
        u->locked = c;
        if (!mail__box_ready(v, u)) {
            c->entering = v->hurry = 1;
            c->lap = u->lap;
            mail__due(v, mail__now(v));
        } else mail__pop3d_enter(v, c);
    } else mail__pop3d_answer(v, c, e);
}

/* Did it come by SMTPUTF8? The newest Received field says so, after "with":
   UTF8SMTP, UTF8SMTPS ... (RFC 6531 4.3). */
static int mail__came_utf8(mail_str head) {
    mail_str line = mail_cut(&head, '\n'), last = mail_s("");
    while (head.n && line.n && !mail_starts(line, "Received:"))
        line = mail_cut(&head, '\n');
    while (line.n) {
        mail_str word = mail_cut(&line, ' ');
        if (mail_ieq(last, mail_s("with")) || mail_ieq(last, mail_s("\twith")))
            return mail_starts(word, "UTF8SMTP");
        last = word;
        if (line.n == 0 && head.n && (head.p[0] == ' ' || head.p[0] == '\t'))
            line = mail_cut(&head, '\n');
    }
    return 0;
}

/* Is this file a message that only a client with UTF8 may have (RFC 6856
   2.1)? Not every one with octets over 127 in its header: in many old ones
   they are no UTF-8, and clients have always been given them. */
static int mail__needs_utf8(mail_server *v, int file) {
    mail_head h;
    int64_t n, at = 0;
    memset(&h, 0, sizeof h);
    while (!h.over && !h.head_8bit && at <= v->opts.max_header * 2 &&
           (n = v->sys.read(v->sys.ctx, file, at, v->block,
                            MAIL__BLOCK)) > 0) {
        mail_str text = mail_sn(v->block, (size_t)n);
        if (at == 0 && !mail__came_utf8(text)) return 0;
        mail_head_feed(&h, text);
        at += n;
    }
    return h.head_8bit;
}

static void mail__pop3d_on_retr(mail_server *v, mail_conn *c,
                                const mail_event *ev) {
    char path[MAIL_NAME_SIZE + 80];
    mail_err e;
    c->file = -1;
    c->at = 0;
    if (c->user) {
        const char *name = c->box->files[ev->number - 1].name;
        c->end = mail_box_size(mail_s(name), 'S');
        mail__box_path(c, (size_t)ev->number - 1, path);
        c->file = v->sys.open(v->sys.ctx, path, MAIL_OPEN_READ);
    }
    e = c->file < 0 ? MAIL_ERR_IO :
        !c->u.pop3d.utf8 && mail__needs_utf8(v, c->file) ? MAIL_ERR_UNABLE
                                                         : MAIL_ERR_OK;
    if (e) mail__conn_file(v, c);
    mail_pop3d_reply(&c->u.pop3d, e);
}

static void mail__update_done(mail_server *v, void *arg, mail_err e) {
    mail_conn *c = (mail_conn *)arg;
    if (c->dead) return;
    mail_pop3d_reply(&c->u.pop3d, e);
    mail__conn_go(v, c);
}

/* A QUIT that came early waits so long, in ms, for a peer that does not take
   what is before it: as long as RFC 1939 3 waits for a command. */
enum { MAIL__QUIT_WAIT = 600000 };

/* QUIT: the marked messages go, the removal is made durable, then +OK. Some at
   a time: a mailbox may have a hundred thousand, and others wait. Returns 0 if
   there are more: c->end is the next. */
static int mail__pop3d_on_update(mail_server *v, mail_conn *c) {
    mail__box *b = c->box;
    char path[MAIL_NAME_SIZE + 80], dir[MAIL_NAME_SIZE];
    int left = 2 * MAIL__SLICE;
    if (!c->user) c->failed = MAIL_ERR_NOTFOUND;
    for (; c->user && c->end < (int64_t)b->n; c->end++) {
        mail_err e;
        if (!b->drops[c->end].deleted) continue;
        if (left-- == 0) return 0;
        mail__box_path(c, (size_t)c->end, path);
        e = v->sys.remove(v->sys.ctx, path);
        mail__tell(v, NULL, MAIL_NOTE_DISK, "", "remove %s", path);
        if (e) c->failed = e;
        c->removed++;
    }
    if (!c->removed || c->failed) {
        mail_pop3d_reply(&c->u.pop3d, c->failed);
        return 1;
    }
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "mailbox %s: %lu removed",
               c->user->name, (unsigned long)c->removed);
    mail__ask_begin(&c->ask, c, mail__update_done);
    snprintf(dir, sizeof dir, "mail/%s/cur", c->user->name);
    mail__ask_flush(v, &c->ask, -1, dir);
    snprintf(dir, sizeof dir, "mail/%s/new", c->user->name);
    mail__ask_flush(v, &c->ask, -1, dir);
    mail__ask_end(v, &c->ask);
    return 1;
}

static void mail__hand_out_event(mail_server *v, mail_conn *c,
                                 const mail_event *ev) {
    switch (ev->kind) {
    case MAIL_EV_TLS:
        mail_pop3d_reply(&c->u.pop3d, MAIL_ERR_OK);
        break;
    case MAIL_EV_LOGIN:
    case MAIL_EV_APOP:
    case MAIL_EV_KEYS:
    case MAIL_EV_PROOF:
        mail__login_begin(v, c, ev);
        break;
    case MAIL_EV_RETR:
        mail__pop3d_on_retr(v, c, ev);
        break;
    case MAIL_EV_UPDATE:
        c->quit = 1;                   /* mail__conn_quit obeys it */
        c->at = mail__now(v) + MAIL__QUIT_WAIT;
        c->end = 0;
        break;
    default:
        c->closing = 1;
        break;
    }
}

/* ======================================================================
   [SERVER CONN] a connection                                       ch.14
   ====================================================================== */

static size_t mail__conn_take(mail_conn *c, const char *p, size_t n) {
    return c->role == 's' ? mail_smtpd_feed(&c->u.smtpd, p, n) :
           c->role == 'p' ? mail_pop3d_feed(&c->u.pop3d, p, n)
                          : mail_smtpc_feed(&c->u.smtpc, p, n);
}

static mail_str mail__conn_out(const mail_conn *c) {
    return c->role == 's' ? mail_smtpd_out(&c->u.smtpd) :
           c->role == 'p' ? mail_pop3d_out(&c->u.pop3d)
                          : mail_smtpc_out(&c->u.smtpc);
}

static void mail__conn_sent(mail_conn *c, size_t n) {
    if (c->role == 's') mail_smtpd_sent(&c->u.smtpd, n);
    else if (c->role == 'p') mail_pop3d_sent(&c->u.pop3d, n);
    else mail_smtpc_sent(&c->u.smtpc, n);
}

static int mail__conn_events(mail_server *v, mail_conn *c) {
    mail_event ev;
    int any = 0;
    while (!c->dead && (c->role == 's' ? mail_smtpd_next(&c->u.smtpd, &ev) :
                        c->role == 'p' ? mail_pop3d_next(&c->u.pop3d, &ev)
                                       : mail_smtpc_next(&c->u.smtpc, &ev))) {
        if (c->role == 's') mail__receive_event(v, c, &ev);
        else if (c->role == 'p') mail__hand_out_event(v, c, &ev);
        else mail__relay_event(v, c, &ev);
        any = 1;
    }
    return any;
}

/* A next hop with which it broke before the first mail has failed: called
   again at once it would break again, and so on for ever. */
static void mail__conn_leave(mail_server *v, mail_conn *c) {
    mail__hop *h = c->hop;
    c->hop = NULL;
    h->conns--;
    if (c->greeted || v->stopping) {
        mail__hop_want(v, h);
        mail__hop_free(v, h);
    } else mail__hop_failed(v, h, 451, "4.4.2 the connection broke", 1);
}

/* Hangs up. The memory goes later: somebody up the stack may hold c. */
static void mail__conn_kill(mail_server *v, mail_conn *c) {
    if (c->dead) return;
    c->dead = 1;
    mail__conn_drop_item(v, c);
    mail__conn_file(v, c);
    if (c->user && c->user->locked == c) c->user->locked = NULL;
    if (c->role == 'c') {
        v->nout--;
        mail__due(v, mail__now(v));            /* another may have its turn */
    }
    if (c->hop) mail__conn_leave(v, c);
    mail__lookup_free(v, c->lookup);
    c->lookup = NULL;
    mail__login_free(v, c);
    mail__tell(v, c, MAIL_NOTE_CLOSE, "", "%s", c->peer);
    if (c->wire >= 0) v->sys.hangup(v->sys.ctx, c->wire);
    c->wire = -1;
    mail__timer_stop(v, &c->timer);
    c->next_dead = v->dead;
    v->dead = c;
}

/* May there be a password in what comes now? Then nothing is left of it. */
static int mail__conn_secret(const mail_conn *c) {
    return (c->role == 's' && c->u.smtpd.opts.auth && !c->u.smtpd.authed &&
            !mail__smtpd_in_text(&c->u.smtpd)) ||
           (c->role == 'p' && c->u.pop3d.state <= MAIL_POP3D_SASL);
}

static void mail__reap(mail_server *v) {
    mail_conn **at = &v->dead, *c;
    int any = v->dead != NULL;
    while ((c = *at) != NULL) {
        if (c->going || c->ask.left) {
            at = &c->next_dead;
            continue;
        }
        *at = c->next_dead;
        if (c->prev) c->prev->next = c->next;
        else v->conns = c->next;
        if (c->next) c->next->prev = c->prev;
        v->nconns--;
        v->timed--;
        mail__peer_drop(v, c->from);
        mail__box_free(v, c->box);
        if (c->kept && mail__conn_secret(c)) mail_wipe(c->kept, c->nkept);
        mail__free(v, c->kept);
        mail__free(v, c->back);
        mail_wipe(&c->u, sizeof c->u);
        mail__free(v, c);
    }
    if (any) mail__crowd(v);
}

/* A text on its way out: a piece of its file, encoded into out. Returns how
   many octets that made; the end of the text is the session's to say. */
static size_t mail__conn_text(mail_server *v, mail_conn *c, char *out,
                              size_t cap) {
    size_t used = 0, made = 0, want = cap < MAIL__BLOCK ? cap : MAIL__BLOCK;
    int64_t n;
    if (c->file < 0 || cap < 1024 || mail__conn_out(c).n ||
        (c->role == 'c' && c->u.smtpc.state != MAIL_SMTPC_TEXT)) return 0;
    /* Behind the text of a message in a segment is another one. */
    if (c->role == 'c' && (int64_t)want > c->end - c->at)
        want = (size_t)(c->end - c->at);
    n = v->sys.read(v->sys.ctx, c->file, c->at, v->block, want);
    if (n < 0) {             /* half a message must not look like a whole */
        mail__conn_kill(v, c);
        return 0;
    }
    if (n > 0) used = c->role == 'p'
        ? mail_pop3d_write_to(&c->u.pop3d, v->block, (size_t)n, out, cap,
                              &made)
        : mail_smtpc_write_to(&c->u.smtpc, v->block, (size_t)n, out, cap,
                              &made);
    c->at += (int64_t)used;
    if (c->role == 'c' && n == 0 && c->at < c->end) {
        mail__conn_kill(v, c);
        return 0;
    }
    /* Whoever changed a file did not change its name: only where the name
       and a read that came back short agree is there nothing behind it. */
    if (n == 0 || (c->at == c->end && (c->role == 'c' || (size_t)n < want)) ||
        (c->role == 'p' && c->u.pop3d.top_over)) {
        if (c->role == 'p') mail_pop3d_end(&c->u.pop3d);
        else mail_smtpc_end(&c->u.smtpc);
        mail__conn_file(v, c);
    }
    return made;
}

/* Keeps what the wire did not take. It is little, and it is all there is:
   until it has gone, nothing more is made. */
static int mail__conn_back(mail_server *v, mail_conn *c, const char *p,
                           size_t n) {
    char *back = n ? (char *)mail__alloc(v, n) : NULL;
    if (n && back == NULL) return 0;
    if (n) memcpy(back, p, n);
    mail__free(v, c->back);
    c->back = back;
    c->nback = n;
    return 1;
}

/* Octets to the wire; what it does not take now is kept. */
static int mail__conn_send(mail_server *v, mail_conn *c, const char *p,
                           size_t n) {
    int64_t k = v->sys.send(v->sys.ctx, c->wire, p, n);
    if (k == -1 && p == c->back) return 0;              /* as it was */
    if (k == -2 || !mail__conn_back(v, c, p + (k > 0 ? k : 0),
                                    n - (size_t)(k > 0 ? k : 0))) {
        mail__conn_kill(v, c);
        return 0;
    }
    return c->nback == 0;
}

/* Commands that were refused. From the fifth on (slow_errors) the answer
   waits for a second, and the peer with it: a program that guesses finds
   little in the time, and nobody else waits. */
enum { MAIL__SLOW = 1000 };

static int mail__conn_errors(const mail_conn *c) {
    return c->role == 's' ? c->u.smtpd.errors :
           c->role == 'p' ? c->u.pop3d.errors : 0;
}

/* Input into the session, event by event. What it does not take now is
   kept; until it has been taken, nothing more is read from the wire. */
static void mail__conn_feed(mail_server *v, mail_conn *c, const char *p,
                            size_t n) {
    int errors = mail__conn_errors(c);
    int secret = c->kept && p == c->kept && mail__conn_secret(c);
    size_t all = n;
    while (!c->paused) {
        size_t k = n ? mail__conn_take(c, p, n) : 0;
        if (k) p += k, n -= k;
        if (!mail__conn_events(v, c) && k == 0) break;
        if (c->dead && secret) mail_wipe(c->kept, all);
        if (c->dead) return;
        if (c->connecting) break;
        if (mail__conn_errors(c) > errors && !c->closing &&
            mail__conn_errors(c) >= v->opts.slow_errors)
            c->paused = mail__now(v) + MAIL__SLOW;
    }
    if (c->closing || c->connecting) n = 0;
    c->nkept = n;
    if (n && c->kept) memmove(c->kept, p, n);       /* p is inside it */
    if (secret) mail_wipe(c->kept + n, all - n);
    if (n && c->kept) return;
    if (n && (c->kept = (char *)mail__alloc(v, n)) != NULL)
        memcpy(c->kept, p, n);
    else {
        mail__free(v, c->kept);
        c->kept = NULL;
        if (n) mail__conn_kill(v, c);
    }
}

/* Gathers what is to be sent, so that a group of replies is one segment and
   ten small messages are one, too. A POP3 client that has asked for more
   already is served before anything is sent. Returns how many octets. */
static size_t mail__conn_gather(mail_server *v, mail_conn *c) {
    size_t n = 0, k, before;
    while (!c->dead) {
        mail_str out = mail__conn_out(c);
        if (out.n > MAIL__GATHER - n) break;
        if (out.n) {
            memcpy(v->gather + n, out.p, out.n);
            n += out.n;
            mail__conn_sent(c, out.n);
            continue;
        }
        k = mail__conn_text(v, c, v->gather + n, MAIL__GATHER - n);
        n += k;
        if (k || mail__conn_out(c).n) continue;
        before = c->nkept;
        if (n == 0 || c->file >= 0 || c->role != 'p' || !before) break;
        mail__conn_feed(v, c, c->kept, before);
        if (c->nkept == before && mail__conn_out(c).n == 0) break;
    }
    return n;
}

/* Sends what there is, but no more than is good for the others. Returns 1 if
   something went out. */
static int mail__conn_push(mail_server *v, mail_conn *c) {
    size_t n, sent = 0;
    c->more = 0;
    if (c->dead || c->connecting || c->securing || c->paused) return 0;
    if (c->nback && !mail__conn_send(v, c, c->back, c->nback)) return 0;
    while (!c->more && (n = mail__conn_gather(v, c)) > 0 && !c->dead) {
        sent += n;
        if (!mail__conn_send(v, c, v->gather, n)) break;
        c->more = sent >= MAIL__TURN;
    }
    return sent > 0;
}

static int mail__conn_in_tls(const mail_conn *c) {
    return c->role == 's' ? c->u.smtpd.state == MAIL_SMTPD_TLS :
           c->role == 'p' ? c->u.pop3d.state == MAIL_POP3D_TLS
                          : c->u.smtpc.state == MAIL_SMTPC_TLS;
}

/* How TLS went, into the log and into the session. */
static void mail__conn_secured(mail_server *v, mail_conn *c, mail_err e,
                               const char *text) {
    if (text == NULL) text = mail_err_text(e);
    mail__tell(v, c, MAIL_NOTE_TLS, "", e ? "no TLS with %s: %s"
                                          : "TLS with %s: %s", c->peer, text);
    c->securing = 0;
    if (c->role == 's') mail_smtpd_tls(&c->u.smtpd, e);
    else if (c->role == 'p') mail_pop3d_tls(&c->u.pop3d, e);
    else mail_smtpc_tls(&c->u.smtpc, e, text);
}

/* All that was to be said in clear is out: TLS begins. What came in clear
   and nobody took yet is forgotten with the rest. */
static int mail__conn_secure(mail_server *v, mail_conn *c) {
    mail_err e;
    if (c->dead || c->connecting || c->securing || c->closing || c->nback ||
        mail__conn_out(c).n || !mail__conn_in_tls(c)) return 0;
    mail__free(v, c->kept);
    c->kept = NULL;
    c->nkept = 0;
    c->securing = 1;
    e = v->sys.secure(v->sys.ctx, c->wire,
                      c->role == 'c' ? c->hop->host : NULL, c);
    if (e) mail__conn_secured(v, c, e, NULL);
    return e != MAIL_ERR_OK;
}

/* A QUIT that came early is obeyed only when all that was said before it is
   out: who did not get a message may not have it removed. */
static int mail__conn_quit(mail_server *v, mail_conn *c) {
    if (c->dead || !c->quit || c->nback || mail__conn_out(c).n) return 0;
    c->quit = !mail__pop3d_on_update(v, c);
    if (c->quit) c->at = mail__now(v) + 1;        /* others have their turn */
    return !c->quit;
}

static int mail__conn_idle(const mail_conn *c) {
    return c->nback == 0 && mail__conn_out(c).n == 0 &&
           (c->file < 0 || c->role == 'c') &&
           !(c->role == 's' && c->u.smtpd.wait) &&
           !(c->role == 'p' && c->u.pop3d.wait);
}

static int64_t mail__conn_tick(mail_conn *c, int64_t now) {
    int64_t due;
    if (c->connecting || c->quit) return c->at > now ? c->at : now;
    if (c->login && c->login->due < INT64_MAX)
        return c->login->due > now ? c->login->due : now;
    due = c->role == 's' ? mail_smtpd_tick(&c->u.smtpd, now) :
          c->role == 'p' ? mail_pop3d_tick(&c->u.pop3d, now)
                         : mail_smtpc_tick(&c->u.smtpc, now);
    return c->paused && c->paused < due ? c->paused : due;
}

/* Sees to it that its timer is not too late. Most deadlines only move away:
   a timer that is early looks again, and costs less than one that is set
   with each line. */
static void mail__conn_due(mail_server *v, mail_conn *c) {
    int64_t due = c->dead ? INT64_MAX : mail__conn_tick(c, mail__now(v));
    if (!c->dead && (c->timer.at == 0 || due < c->timer.due))
        mail__timer_set(v, &c->timer, due);
}

/* Turns the crank of one connection until nothing moves. */
static void mail__conn_go(mail_server *v, mail_conn *c) {
    if (c->going || c->dead) return;
    c->going = 1;
    while (!c->paused) {
        size_t before = c->nkept;
        int sent;
        /* While the peer takes nothing it is not listened to. */
        if (c->nback == 0) mail__conn_feed(v, c, c->kept, c->nkept);
        if (c->role == 'c') mail__relay_more(c);
        sent = mail__conn_push(v, c);
        sent |= mail__conn_quit(v, c);
        sent |= mail__conn_secure(v, c);
        if (c->dead || c->more || (!sent && c->nkept == before)) break;
    }
    if (!c->dead && !c->paused && mail__conn_idle(c)) {
        if (c->closing) mail__conn_kill(v, c);
        else if (c->eof && c->nkept == 0) mail__conn_kill(v, c);
    }
    c->going = 0;
    mail__conn_due(v, c);
}

/* Its moment has come: the end of a pause, or a deadline. */
static void mail__conn_time(mail_server *v, mail_conn *c, int64_t now) {
    int64_t due;
    if (c->paused && c->paused <= now) c->paused = 0;
    if (c->login && c->login->due <= now) mail__login_turn(v, c);
    due = mail__conn_tick(c, now);
    if (c->connecting && due <= now)
        mail_server_connected(v, c, MAIL_ERR_TIMEOUT, NULL);
    mail__conn_go(v, c);
    if (!c->dead && due <= now && c->nback)
        mail__conn_kill(v, c);             /* it does not even take a 421 */
    if (!c->dead && c->timer.due <= now)
        mail__timer_set(v, &c->timer, due > now ? due : now + 1000);
}

MAIL_DEF int mail_conn_wants(const mail_conn *c) {
    int want = 0;
    if (c->dead || c->securing || c->paused) return 0;
    if (c->connecting || c->nback || c->more || mail__conn_out(c).n)
        want |= MAIL_WANT_WRITE;
    /* Not in state TLS: what comes now is for TLS, or for nobody. */
    if (!c->connecting && !c->eof && !c->nkept && !c->nback && !c->more &&
        !c->closing && !mail__conn_in_tls(c) &&
        !(c->role == 's' && c->u.smtpd.wait) &&
        !(c->role == 'p' && c->u.pop3d.wait)) want |= MAIL_WANT_READ;
    return want;
}

MAIL_DEF void mail_server_ready(mail_server *v, mail_conn *c) {
    int64_t n;
    int secret;
    if (c->dead || c->connecting || c->securing) return;
    c->going++;
    mail__conn_push(v, c);
    if (mail_conn_wants(c) & MAIL_WANT_READ) {
        n = v->sys.recv(v->sys.ctx, c->wire, v->in, MAIL__READ);
        if (n == -2 && c->role != 'c') mail__conn_kill(v, c);
        else if (n == 0 || n == -2) {     /* of a next hop: is there another? */
            c->eof = 1;
            if (c->role == 'c') mail_smtpc_eof(&c->u.smtpc);
        }
        secret = mail__conn_secret(c);
        if (n > 0) mail__conn_feed(v, c, v->in, (size_t)n);
        if (n > 0 && secret) mail_wipe(v->in, (size_t)n);
    }
    c->going--;
    mail__conn_go(v, c);
    mail__reap(v);
}

static void mail__conn_hurry(mail_server *v, mail_conn *c) {
    int64_t ms = v->crowded ? v->opts.crowd_timeout : 0;
    if (c->role == 's') mail_smtpd_hurry(&c->u.smtpd, ms);
    if (c->role == 'p') mail_pop3d_hurry(&c->u.pop3d, ms);
    mail__conn_due(v, c);
}

/* With over 80 % of the connections taken the silent make room, until there
   are less than 70 %: see mail_smtpd_hurry. */
static void mail__crowd(mail_server *v) {
    int64_t clients = (int64_t)(v->nconns - v->nout);
    int64_t most = v->opts.max_conns;
    int crowded = clients * 10 > most * (v->crowded ? 7 : 8);
    mail_conn *c;
    if (crowded == v->crowded) return;
    v->crowded = crowded;
    for (c = v->conns; c; c = c->next)
        if (!c->dead) mail__conn_hurry(v, c);
}

/* Why this client is not served, or NULL. It is in the counts already. */
static const char *mail__conn_refuse(const mail_server *v,
                                     const mail_conn *c) {
    if (v->stopping) return "4.3.2 closing, come again";
    if (v->nconns - v->nout > (size_t)v->opts.max_conns)
        return "4.7.0 too many connections";
    if (c->from->conns > v->opts.max_per_address)
        return "4.7.0 too many connections from your address";
    return NULL;
}

static mail_tls mail__accept_tls(const mail_server *v, int port) {
    return port == MAIL_PORT_SMTPS || port == MAIL_PORT_POP3S ? MAIL_TLS_NOW :
           v->opts.tls && v->sys.secure && !v->opts.basic ? MAIL_TLS_MAY
                                                          : MAIL_TLS_NO;
}

static void mail__accept_smtp(mail_server *v, mail_conn *c, int port,
                              mail_tls tls, int local) {
    mail_smtpd_opts o;
    memset(&o, 0, sizeof o);
    o.host = v->opts.host;
    o.max_size = v->opts.max_size;
    o.max_rcpts = v->opts.max_rcpts;
    o.max_errors = v->opts.max_errors;
    o.max_junk = v->opts.max_junk;
    o.max_messages = v->opts.max_messages;
    o.min_rate = v->opts.min_rate;
    o.timeout = v->opts.timeout;
    o.hello_timeout = v->opts.hello_timeout;
    o.max_time = v->opts.max_time;
    o.submission = port != MAIL_PORT_SMTP;
    o.auth = o.submission || v->opts.any_auth;
    o.auth_tls = !local;
    o.tls = tls;
    o.reject_bare = v->opts.reject_bare;
    o.basic = v->opts.basic;
    o.watch = mail__conn_watch;
    o.watch_ctx = c;
    o.refuse = mail__conn_refuse(v, c);
    if (!local && tls == MAIL_TLS_NO) o.auth = 0;
    mail_smtpd_init(&c->u.smtpd, o);
}

static void mail__accept_pop3(mail_server *v, mail_conn *c, mail_tls tls,
                              int local) {
    mail_pop3d_opts o;
    mail_str refuse = mail_s(mail__conn_refuse(v, c));
    char words[100];
    uint32_t r[2];
    memset(&o, 0, sizeof o);
    v->sys.random(v->sys.ctx, r, sizeof r);
    snprintf(c->stamp, sizeof c->stamp, "<%lx%lx.%u@%.80s>",
             (unsigned long)r[0], (unsigned long)r[1], c->number,
             v->opts.host);
    o.host = v->opts.host;
    o.max_errors = v->opts.max_errors;
    o.timeout = v->opts.pop3_timeout;
    o.login_timeout = v->opts.login_timeout;
    if (!v->opts.basic && mail__apop_ok(v)) o.stamp = c->stamp;
    o.reject_bare = v->opts.reject_bare;
    o.tls = tls == MAIL_TLS_MAY && !local ? MAIL_TLS_MUST : tls;
    o.no_login = tls == MAIL_TLS_NO && !local;
    o.watch = mail__conn_watch;
    o.watch_ctx = c;
    if (refuse.n) mail_enhanced(refuse, &refuse);        /* SMTP's alone */
    snprintf(words, sizeof words, "[SYS/TEMP] %.*s", MAIL_ARG(refuse));
    if (refuse.n) o.refuse = words;
    mail_pop3d_init(&c->u.pop3d, o);
}

MAIL_DEF mail_conn *mail_server_accept(mail_server *v, int wire, int port,
                                       const char *peer, int local) {
    int pop3 = port == MAIL_PORT_POP3 || port == MAIL_PORT_POP3S;
    mail_tls tls = mail__accept_tls(v, port);
    mail_conn *c = tls == MAIL_TLS_NOW && !v->sys.secure ? NULL
                 : mail__conn_new(v, pop3 ? 'p' : 's');
    if (c == NULL) return NULL;
    c->from = mail__peer_add(v, peer);
    if (c->from == NULL) {
        mail__conn_kill(v, c);
        mail__reap(v);
        return NULL;
    }
    c->wire = wire;
    mail_copy(c->peer, sizeof c->peer, mail_s(peer));
    mail__tell(v, c, MAIL_NOTE_OPEN, "", "%s", peer);
    if (c->role == 's') mail__accept_smtp(v, c, port, tls, local);
    else mail__accept_pop3(v, c, tls, local);
    if (v->crowded) mail__conn_hurry(v, c);
    mail__crowd(v);
    mail__conn_due(v, c);
    return c;
}

MAIL_DEF void mail_server_connected(mail_server *v, mail_conn *c,
                                    mail_err err, const char *why) {
    char words[400];
    if (c->dead) return;
    if (err) {
        snprintf(words, sizeof words, "4.4.1 no connection: %.250s",
                 why ? why : mail_err_text(err));
        c->in_clear = 0;
        mail__relay_begin(v, c);
        mail__relay_call(v, c, 451, words, 1);
        return;
    }
    c->connecting = 0;
    c->sessions += !c->in_clear;    /* that is the one before, once more */
    mail__conn_go(v, c);
}

MAIL_DEF void mail_server_secured(mail_server *v, mail_conn *c, mail_err err,
                                  const char *text) {
    if (c->dead || !c->securing) return;
    c->going++;
    mail__conn_secured(v, c, err, text);
    c->going--;
    mail__conn_go(v, c);
    mail__reap(v);
}

/* ======================================================================
   [SERVER ASK] what an operator asks about the queue               ch.14
   Text in, lines of text out: mail.c carries both. What peers chose is
   shown with its control octets escaped: no terminal obeys it.
   ====================================================================== */

typedef struct mail__asked {
    mail_server *v;
    void (*line)(void *ctx, mail_str text);
    void *ctx;
} mail__asked;

MAIL_PRINTF(2, 3)
static void mail__ask_say(const mail__asked *a, const char *fmt, ...) {
    char text[1200];                      /* a longer line is cut */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    a->line(a->ctx, mail_s(text));
}

/* 59s, 59m, 47h, 5d: short, for a column. */
static const char *mail__ask_age(int64_t s, char *to, size_t cap) {
    if (s < 0) s = 0;                      /* the clock was set back */
    if (s < 60) snprintf(to, cap, "%ds", (int)s);
    else if (s < 3600) snprintf(to, cap, "%dm", (int)(s / 60));
    else if (s < 48 * 3600) snprintf(to, cap, "%dh", (int)(s / 3600));
    else snprintf(to, cap, "%lldd", (long long)(s / 86400));
    return to;
}

/* Seconds until the next try; "busy" while one is under way. A job in a line
   waits for its next hop. */
static const char *mail__ask_next(mail_server *v, const mail__item *m,
                                  char *to, size_t cap) {
    int64_t at = m->jobs ? INT64_MAX : m->timer.due, ms;
    const mail__job *j;
    for (j = m->jobs; j; j = j->next) {
        int64_t due = j->hop && j->hop->rest > j->due ? j->hop->rest : j->due;
        if (due < at) at = due;
    }
    ms = at - mail__now(v);
    if (m->busy) return "busy";
    snprintf(to, cap, "%lld", (long long)(ms > 0 ? (ms + 999) / 1000 : 0));
    return to;
}

/* The fate, the address, what was said last: in 80 columns if it can be,
   else the words have a line of their own. */
static void mail__ask_rcpt(const mail__asked *a, const mail__rcpt *r) {
    char path[MAIL_PATH_SIZE], to[4 * MAIL_PATH_SIZE], said[600];
    char code[16] = "";
    const mail__hop *h = r->job ? r->job->hop : NULL;
    const char *words = r->words && r->words[0] ? r->words :
                        h && h->tries ? h->words : NULL;
    size_t n = r->code || words ? 1 : 0;
    mail_printable(to, sizeof to, mail_s(mail__show(&r->path, path)));
    mail_printable(said, sizeof said, mail_s(words));
    if (r->code) snprintf(code, sizeof code, "%d ", r->code);
    if (n) n = strlen(code) + strlen(said);
    if (n && 9 + strlen(to) + 1 + n <= 80)
        mail__ask_say(a, "  %-6s %s %s%s", mail_fate_word(r->fate), to, code,
                      said);
    else {
        mail__ask_say(a, "  %-6s %s", mail_fate_word(r->fate), to);
        if (n) mail__ask_say(a, "         %s%s", code, said);
    }
}

static void mail__ask_line(const mail__asked *a, mail__item *m) {
    char path[MAIL_PATH_SIZE], from[4 * MAIL_PATH_SIZE], age[32], next[32];
    char id[MAIL_ID_SIZE];
    const mail__job *j;
    int tries = 0;
    size_t i;
    mail_err e = mail__letter_get(a->v, m);
    for (j = m->jobs; j; j = j->next) if (j->tries > tries) tries = j->tries;
    mail_printable(from, sizeof from, e ? mail_s(mail_err_text(e)) :
                   mail_s(mail__show(&m->letter->from, path)));
    mail__ask_say(a, "%-24s %4s %10lld %5d %6s %s", mail__id(m, id),
                  mail__ask_age(mail__time(a->v, NULL) - m->time, age,
                                sizeof age),
                  (long long)m->wire, tries,
                  mail__ask_next(a->v, m, next, sizeof next), from);
    for (i = 0; !e && i < m->letter->nrcpts; i++)
        mail__ask_rcpt(a, &m->letter->rcpts[i]);
}

static void mail__ask_title(const mail__asked *a) {
    mail__ask_say(a, "%-24s %4s %10s %5s %6s %s", "ID", "AGE", "OCTETS",
                  "TRIES", "NEXT/s", "FROM");
}

static mail_err mail__ask_list(const mail__asked *a, mail__item *m) {
    if (a->v->queue) mail__ask_title(a);
    else mail__ask_say(a, "the queue is empty");
    for (m = a->v->queue; m; m = m->next) {
        mail__ask_line(a, m);
        mail__letter_rest(a->v, m);
    }
    return MAIL_ERR_OK;
}

/* The header of the message, a line at a time; at most 32 KiB of it. What
   of a line is in two blocks comes as two. */
static void mail__ask_header(const mail__asked *a, mail__item *m) {
    mail_server *v = a->v;
    int64_t at, end;
    int owned, left = 2;
    int file = mail__text_open(v, m, 1, &at, &end, &owned);
    char text[1000];
    while (file >= 0 && left-- && at < end) {
        int64_t n = v->sys.read(v->sys.ctx, file, at, v->block,
                                end - at < MAIL__READ ? (size_t)(end - at)
                                                      : MAIL__READ);
        mail_str rest = mail_sn(v->block, n > 0 ? (size_t)n : 0);
        while (rest.n) {
            mail_str line = mail_cut(&rest, '\n');
            at += (int64_t)line.n + 1;
            if (line.n == 0) left = 0;
            if (line.n == 0) break;
            mail__ask_say(a, "%s", mail_printable(text, sizeof text, line));
        }
        if (n < MAIL__READ) break;
    }
    if (file >= 0 && owned) v->sys.close(v->sys.ctx, file);
}

static mail_err mail__ask_show(const mail__asked *a, mail__item *m) {
    mail__ask_title(a);
    mail__ask_line(a, m);
    mail__ask_say(a, "%s", "");
    if (m->letter) mail__ask_header(a, m);
    mail__letter_rest(a->v, m);
    return MAIL_ERR_OK;
}

/* Due now, and its next hop rests no longer. What is under way will say
   itself when its next try is. */
static void mail__item_hurry(mail_server *v, mail__item *m) {
    int64_t now = mail__now(v);
    mail__job *j;
    for (j = m->jobs; j; j = j->next) {
        if (j->state == MAIL__JOB_WAITS) j->due = now;
        if (j->hop && j->hop->rest > now) {
            j->hop->rest = now;
            mail__hop_want(v, j->hop);
        }
    }
    mail__timer_set(v, &m->timer, now);
}

static mail_err mail__ask_retry(const mail__asked *a, mail__item *m) {
    mail_server *v = a->v;
    char id[MAIL_ID_SIZE];
    if (m) {
        mail__item_hurry(v, m);
        mail__ask_say(a, "%s is %s now", mail__id(m, id),
                      m->busy ? "tried" : "due");
        return MAIL_ERR_OK;
    }
    for (m = v->queue; m; m = m->next) mail__item_hurry(v, m);
    mail__ask_say(a, "due now: %lu", (unsigned long)v->nqueue);
    return MAIL_ERR_OK;
}

/* Nobody is told: who asks for this has read who sent it. Not in the middle
   of a try, nor of a checkpoint. */
static mail_err mail__ask_remove(const mail__asked *a, mail__item *m) {
    char id[MAIL_ID_SIZE];
    if (m->busy || m->check) return MAIL_ERR_BUSY;
    mail__id(m, id);
    mail__tell(a->v, NULL, MAIL_NOTE_FATE, "", "%s is removed by hand", id);
    while (m->jobs) mail__job_free(a->v, m->jobs);
    mail__item_gone(a->v, m);
    mail__ask_say(a, "removed %s", id);
    return MAIL_ERR_OK;
}

MAIL_DEF mail_err mail_server_ask(mail_server *v, mail_str request,
                                  void (*line)(void *ctx, mail_str text),
                                  void *ctx) {
    static const struct {
        const char *verb;
        int none, one;                     /* with no ID? with one? */
        mail_err (*run)(const mail__asked *a, mail__item *m);
    } rows[] = {
        { "list",   1, 0, mail__ask_list },
        { "show",   0, 1, mail__ask_show },
        { "retry",  1, 1, mail__ask_retry },
        { "remove", 0, 1, mail__ask_remove }
    };
    mail_str id = request, verb = mail_cut(&id, ' ');
    mail__asked a;
    mail__item *m = NULL;
    size_t i;
    a.v = v;
    a.line = line;
    a.ctx = ctx;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (mail_eq(verb, mail_s(rows[i].verb))) break;
    if (i == sizeof rows / sizeof rows[0]) return MAIL_ERR_SYNTAX;
    if (!(id.n ? rows[i].one : rows[i].none)) return MAIL_ERR_SYNTAX;
    if (id.n) m = mail__item_find(v, id);
    if (id.n && m == NULL) return MAIL_ERR_NOTFOUND;
    return rows[i].run(&a, m);
}

/* ======================================================================
   [SERVER RECOVER] what was there before                            ch.8
   First the files of the queue, then what the journal knows better, the
   older lap before the newer one. What cannot be read is left where it is,
   and named; what the journal says of it is kept until it can. Without a
   segment that cannot be read nothing starts.
   ====================================================================== */

typedef struct mail__names {
    mail_server *v;
    char *p; size_t n, cap;
    int full;                     /* out of memory */
} mail__names;

static void mail__names_add(void *arg, const char *name) {
    mail__names *l = (mail__names *)arg;
    size_t n = strlen(name) + 1;
    if (l->full || !mail__grow(l->v, (void **)&l->p, l->n + n, &l->cap, 1)) {
        l->full = 1;
        return;
    }
    memcpy(l->p + l->n, name, n);
    l->n += n;
}

/* The names of a directory, which may change while they are gone through. */
static mail_err mail__names_get(mail_server *v, const char *dir,
                                mail__names *l) {
    mail_err e;
    memset(l, 0, sizeof *l);
    l->v = v;
    e = v->sys.list(v->sys.ctx, dir, mail__names_add, l);
    return e ? e : l->full ? MAIL_ERR_NOMEM : MAIL_ERR_OK;
}

typedef mail_err mail__name_fn(mail_server *v, const char *dir,
                               const char *name);

static mail_err mail__names_each(const mail__names *l, const char *dir,
                                 mail__name_fn *each) {
    mail_err e = MAIL_ERR_OK;
    size_t i;
    for (i = 0; i < l->n && !e; i += strlen(l->p + i) + 1)
        e = each(l->v, dir, l->p + i);
    return e;
}

static mail_err mail__names_of(mail_server *v, const char *dir,
                               mail__name_fn *each) {
    mail__names l;
    mail_err e = mail__names_get(v, dir, &l);
    if (!e) e = mail__names_each(&l, dir, each);
    mail__free(v, l.p);
    return e;
}

/* "ID", "ID.state" or "ID.text"? */
static mail_str mail__queue_name(const char *name, mail_str *suffix) {
    int64_t time;
    uint32_t run, number;
    mail_str id;
    *suffix = mail_s(name);
    id = mail_cut(suffix, '.');
    if (mail_id_read(id, &time, &run, &number)) id.n = 0;
    if (suffix->n && !mail_eq(*suffix, mail_s("state")) &&
        !mail_eq(*suffix, mail_s("text"))) id.n = 0;
    return id;
}

/* What is in queue/tmp at a start is nobody's. */
static mail_err mail__sweep_one(mail_server *v, const char *dir,
                                const char *name) {
    char path[MAIL_NAME_SIZE];
    mail_str suffix;
    if (!mail__queue_name(name, &suffix).n) return MAIL_ERR_OK;
    snprintf(path, sizeof path, "%s/%.100s", dir, name);
    v->sys.remove(v->sys.ctx, path);
    return MAIL_ERR_OK;
}

/* In a mailbox's tmp: the names that mail__box_tmp makes. */
static mail_err mail__sweep_box(mail_server *v, const char *dir,
                                const char *name) {
    char path[MAIL_NAME_SIZE], mine[80];
    mail_str s = mail_s(name), id = mail_cut(&s, '.');
    int64_t time;
    uint32_t run, number;
    size_t i = id.n;
    snprintf(mine, sizeof mine, "%.60s", v->opts.host);
    while (i && id.p[i - 1] != '-') i--;
    if (i == 0 || mail_id_read(mail_sn(id.p, i - 1), &time, &run, &number) ||
        !mail_eq(s, mail_s(mine))) return MAIL_ERR_OK;
    snprintf(path, sizeof path, "%s/%.150s", dir, name);
    v->sys.remove(v->sys.ctx, path);
    return MAIL_ERR_OK;
}

/* When it came, by our clock: the wall clock may have jumped since, and mail
   that has waited while we were down has its try first. */
static void mail__item_born(mail_server *v, mail__item *m) {
    int64_t age = mail__time(v, NULL) - m->time, most = v->opts.expire - 60;
    if (age > most) age = most;
    m->born = mail__now(v) - (age > 0 ? age : 0) * 1000;
}

static mail_err mail__item_named(mail_server *v, mail_str id,
                                 mail__item **item) {
    mail__item *m = *item = mail__item_alloc(v);
    if (m == NULL) return MAIL_ERR_NOMEM;
    if (!mail_id_read(id, &m->time, &m->run, &m->number)) return MAIL_ERR_OK;
    mail__item_free(v, m);
    return MAIL_ERR_SYNTAX;
}

static void mail__foreign(mail_server *v, mail_str name, mail_err e) {
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "queue/%.*s is not a message of "
               "mine and is left alone: %s", MAIL_ARG(name),
               mail_err_text(e));
}

static void mail__unread_say(mail_server *v, const char *name) {
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "queue/%s cannot be read now, and "
               "waits", name);
}

/* A file of the queue: a message. Its state, if it has one, comes later. */
static mail_err mail__recover_file(mail_server *v, const char *dir,
                                   const char *name) {
    mail_str suffix, id = mail__queue_name(name, &suffix);
    char path[MAIL_NAME_SIZE];
    int64_t n = -1;
    int file, tries;
    mail__item *m;
    mail_err e;
    if (id.n == 0 || suffix.n) return MAIL_ERR_OK;
    e = mail__item_named(v, id, &m);
    if (e) return e;
    snprintf(path, sizeof path, "%s/%.100s", dir, name);
    for (tries = 0; n < 0 && tries < 3; tries++) {
        file = v->sys.open(v->sys.ctx, path, MAIL_OPEN_READ);
        if (file < 0) continue;
        n = v->sys.read(v->sys.ctx, file, 0, v->block, MAIL__BLOCK);
        v->sys.close(v->sys.ctx, file);
    }
    m->unread = n < 0;
    if (m->unread) mail__unread_say(v, name);
    e = m->unread ? MAIL_ERR_OK : mail__envelope_read(v, m,
                                      mail_sn(v->block, (size_t)n));
    if (e == MAIL_ERR_OK) e = mail__jobs_make(v, m);
    if (e) {
        mail__item_free(v, m);
        if (e != MAIL_ERR_NOMEM) mail__foreign(v, id, e);
        return e == MAIL_ERR_NOMEM ? e : MAIL_ERR_OK;
    }
    m->has_file = 1;
    mail__item_born(v, m);
    mail__item_moved(v, m);
    mail__item_link(v, m);
    mail__letter_rest(v, m);
    return MAIL_ERR_OK;
}

/* Fates are known now: the jobs are made again. */
static mail_err mail__recover_jobs(mail_server *v, mail__item *m) {
    size_t i;
    while (m->jobs) mail__job_free(v, m->jobs);
    for (i = 0; i < m->letter->nrcpts; i++) m->letter->rcpts[i].job = NULL;
    return mail__jobs_make(v, m);
}

/* The state of a message; a state or a text without one goes. */
static mail_err mail__recover_more(mail_server *v, const char *dir,
                                   const char *name) {
    mail_str suffix, id = mail__queue_name(name, &suffix);
    mail__item *m = mail__item_find(v, id);
    mail_err e = MAIL_ERR_OK;
    (void)dir;
    if (id.n == 0 || suffix.n == 0) return MAIL_ERR_OK;
    if (m && mail_eq(suffix, mail_s("state"))) {
        m->has_state = 1;
        if (m->seg >= 0) return MAIL_ERR_OK;
        mail__letter_free(v, m);
        e = mail__letter_get(v, m);
        if (!e) e = mail__recover_jobs(v, m);
        if (!e) mail__letter_rest(v, m);
        if (e == MAIL_ERR_IO) mail__unread_say(v, name);
        if (e && e != MAIL_ERR_NOMEM) e = MAIL_ERR_OK;
    }
    return e;
}

static mail_err mail__recover_orphan(mail_server *v, const char *dir,
                                     const char *name) {
    mail_str suffix, id = mail__queue_name(name, &suffix);
    mail__item *m = mail__item_find(v, id);
    char path[MAIL_NAME_SIZE];
    int file;
    if (id.n == 0 || suffix.n == 0) return MAIL_ERR_OK;
    if (m && mail_eq(suffix, mail_s("state")) && m->has_state)
        return MAIL_ERR_OK;
    if (m && mail_eq(suffix, mail_s("text")) && (m->apart || m->unread))
        return MAIL_ERR_OK;
    if (m == NULL) {             /* its message is there, and is foreign? */
        snprintf(path, sizeof path, "%s/%.*s", dir, MAIL_ARG(id));
        file = v->sys.open(v->sys.ctx, path, MAIL_OPEN_READ);
        if (file >= 0) v->sys.close(v->sys.ctx, file);
        if (file >= 0) return MAIL_ERR_OK;
    }
    snprintf(path, sizeof path, "%s/%.100s", dir, name);
    mail__remove(v, path);
    return MAIL_ERR_OK;
}

/* --- the journal -------------------------------------------------------- */

/* The letter of a message that the journal speaks of: NOMEM, or OK. */
static mail_err mail__replay_letter(mail_server *v, mail__item *m) {
    mail_err e = mail__letter_get(v, m);
    if (e == MAIL_ERR_OK || e == MAIL_ERR_NOMEM) return e;
    return mail__letter_unread(v, m);
}

/* In a state file that is newer than the report there may be more: who is
   sent to, or told, stays so; and what a refused report has not changed, its
   refusal (undo) does not change back. */
static void mail__replay_told(mail__rcpt *r, const struct mail__tell *tell,
                              int undo) {
    if (undo && r->told) r->fate = tell->due;
    else if (!undo &&
             mail__fate_rank(r->fate) <= mail__fate_rank(tell->due)) {
        r->fate = tell->told;
        r->told = 1;
        return;
    }
    r->told = 0;
}

/* A report says whom it tells about, so that one flush makes both true. undo:
   it was refused, and they have not been told. */
static mail_err mail__replay_about(mail_server *v, int k, mail_str body,
                                   int undo) {
    mail_err e = MAIL_ERR_OK;
    while (body.n && !e) {
        const struct mail__tell *tell;
        mail_queue_line q;
        mail__item *about;
        mail__rcpt *r;
        if (mail_queue_read(mail_cut(&body, '\n'), &q) || q.which == 0) break;
        tell = mail__tell_of(MAIL_FATE_DUE, q.which);
        if (tell == NULL) continue;
        about = mail__item_find(v, q.text);
        if (about == NULL || (e = mail__replay_letter(v, about)) != 0 ||
            (r = mail__letter_rcpt(v, about, q.number)) == NULL) continue;
        mail__replay_told(r, tell, undo);
        about->changed = 1;
        mail__list_add(v, about, k);
        e = mail__recover_jobs(v, about);
    }
    return e;
}

/* Of a record that is whole, and no message of ours for all that: a text of
   another length could never be copied out, and its segment never given
   up. */
static mail_err mail__replay_read(mail_server *v, mail__item *m,
                                  mail_str body) {
    mail_err e = mail__envelope_read(v, m, body);
    if (!e && !m->apart && (uint64_t)m->size != body.n - m->text_at)
        e = MAIL_ERR_SYNTAX;
    return e ? e : mail__jobs_make(v, m);
}

/* Accepted. What the journal says outweighs the files of the same ID. */
static mail_err mail__replay_a(mail_server *v, int k, mail_str body,
                               int64_t at) {
    mail_str rest = body;
    mail_queue_line q;
    mail__item *m, *old;
    mail_err e;
    mail_cut(&rest, '\n');
    e = mail_queue_read(mail_cut(&rest, '\n'), &q);
    if (!e && q.which != 'i') e = MAIL_ERR_SYNTAX;
    if (!e) e = mail__item_named(v, q.text, &m);
    if (!e && (e = mail__replay_read(v, m, body)) != 0)
        mail__item_free(v, m);
    if (e) {
        if (e == MAIL_ERR_NOMEM) return e;
        mail__tell(v, NULL, MAIL_NOTE_FATE, "", "queue/journal.%d: the record "
                   "at octet %lld is not a message of mine, and is passed "
                   "over", k, (long long)(at - MAIL_RECORD_HEAD));
        return MAIL_ERR_OK;
    }
    old = mail__item_find(v, q.text);
    if (old) {
        m->has_file = old->has_file;
        m->has_state = old->has_state;
        mail__item_free(v, old);
    }
    m->seg = (signed char)k;
    m->at = at;
    mail__item_born(v, m);
    mail__item_moved(v, m);
    mail__item_link(v, m);
    mail__list_add(v, m, k);
    mail__letter_rest(v, m);
    return mail__replay_about(v, k, body, 0);
}

static mail_err mail__replay(mail_server *v, int k, char kind, mail_str body,
                             int64_t at) {
    mail_str rest = body;
    mail__item *m;
    mail_err e;
    if (kind == 'A') return mail__replay_a(v, k, body, at);
    m = mail__item_find(v, mail_cut(&rest, '\n'));
    if (m == NULL || kind == 'S') return MAIL_ERR_OK;
    if (kind == 'D' || kind == 'R') {
        char name[MAIL_NAME_SIZE];
        if (m->has_file) mail__remove(v, mail__name(m, "queue/", "", name));
        if (m->has_state)
            mail__remove(v, mail__name(m, "queue/", ".state", name));
        if (m->apart) mail__remove(v, mail__name(m, "queue/", ".text", name));
        mail__item_free(v, m);
        v->segs[k].removed = 1;
        return mail__replay_about(v, k, rest, 1);
    }
    e = mail__replay_letter(v, m);
    if (!e) e = mail__state_get(v, m, rest);
    m->unsaved = m->blind = 0;             /* it says all that is known */
    mail__list_add(v, m, k);
    return e ? e : mail__recover_jobs(v, m);
}

/* Is there the beginning of a record of this lap? Then it is damaged, or the
   power went while it was written. */
static int mail__record_torn(mail_str s, uint64_t lap) {
    char want[18];
    snprintf(want, sizeof want, " %016llX", (unsigned long long)lap);
    return s.n > 23 && !memcmp(s.p, "mail ", 5) && !memcmp(s.p + 6, want, 17);
}

/* Every whole record of the lap, in order; what is not one is passed over. */
static mail_err mail__recover_walk(mail_server *v, int k, mail_str text,
                                   size_t at) {
    mail__segment *g = &v->segs[k];
    mail_str salt = mail_sn(g->salt, MAIL_SALT_SIZE);
    mail_err e = MAIL_ERR_OK;
    size_t torn = 0, where = 0;
    while (at < text.n && !e) {
        uint64_t lap = g->lap;
        char kind;
        mail_str rest = mail_sn(text.p + at, text.n - at), body;
        const char *next;
        size_t n = mail_record_read(rest, &lap, salt, &kind, &body);
        if (n && kind != 'S') {
            e = mail__replay(v, k, kind, body, (int64_t)at +
                             MAIL_RECORD_HEAD);
            at += n;
            continue;
        }
        if (mail__record_torn(rest, g->lap) && torn++ == 0) where = at;
        next = (const char *)memchr(rest.p + 1, 'm', rest.n - 1);
        at = next ? (size_t)(next - text.p) : text.n;
    }
    if (torn) mail__tell(v, NULL, MAIL_NOTE_FATE, "", "queue/journal.%d: %lu "
                         "records are not whole, and are passed over; the "
                         "first is at octet %lu", k, (unsigned long)torn,
                         (unsigned long)where);
    return e;
}

/* The start of a segment: zeros or nothing: it was given up. */
static int mail__recover_start(mail_server *v, int k, mail_str text,
                               size_t *at) {
    mail__segment *g = &v->segs[k];
    char kind, name[MAIL_NAME_SIZE], to[MAIL_NAME_SIZE];
    mail_str body, none = mail_sn("", 0);
    uint64_t lap, salt;
    size_t i, n;
    for (i = 0; i < 2; i++) {
        size_t from = i * (MAIL__START / 2);
        if (from > text.n) break;
        n = mail_record_read(mail_sn(text.p + from, text.n - from), &lap,
                             none, &kind, &body);
        if (n != MAIL__START / 2 || kind != 'S') continue;
        for (n = 0; n < MAIL_SALT_SIZE; n++) {
            if (mail__hex_read(mail_sn(body.p + 2 * n, 2), &salt)) break;
            g->salt[n] = (char)salt;
        }
        g->lap = lap;
        *at = MAIL__START;
        return 1;
    }
    for (i = 0; i < text.n && i < MAIL__START && !text.p[i]; i++) {}
    if (i == text.n || i == MAIL__START) return 0;
    mail__journal_name(k, name);
    snprintf(to, sizeof to, "queue/bad-journal.%d-%08lX", k,
             (unsigned long)v->run);
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s does not begin as a journal "
               "of mine does, and is set aside as %s", name, to);
    mail__rename(v, name, to, 0);
    g->ready = 0;
    return 0;
}

/* A segment that cannot be read may hold mail that was accepted: nobody goes
   on without it but whoever runs the server. It is told which pages are bad
   and how to do without them: zeros are passed over like any damage. */
static void mail__recover_bad(mail_server *v, const char *name) {
    int file = v->sys.open(v->sys.ctx, name, MAIL_OPEN_READ);
    int64_t at, n = 1, first = 0;
    unsigned long bad = 0;
    for (at = 0; file >= 0 && n && at < v->opts.journal; at += MAIL__PAGE) {
        n = v->sys.read(v->sys.ctx, file, at, v->block, MAIL__PAGE);
        if (n < 0 && bad++ == 0) first = at;
    }
    if (file >= 0) v->sys.close(v->sys.ctx, file);
    mail__tell(v, NULL, MAIL_NOTE_FATE, "", "%s: %lu pages of %d octets "
               "cannot be read, the first at octet %lld. Mail that was "
               "accepted may be %s. Start again when they can be read; or do "
               "without: dd if=%s of=copy bs=%d conv=noerror,sync && mv copy "
               "%s", name, bad, (int)MAIL__PAGE, (long long)first,
               first ? "in them" : "in all of it, for the first page says "
               "how to read the others", name, (int)MAIL__PAGE, name);
}

/* A whole segment. What is read at the third go was no damage. */
static char *mail__segment_slurp(mail_server *v, int k, size_t *n,
                                 mail_err *e) {
    char name[MAIL_NAME_SIZE], *text = NULL;
    int tries;
    *e = MAIL_ERR_IO;
    mail__journal_name(k, name);
    for (tries = 0; tries < 3 && *e == MAIL_ERR_IO; tries++)
        text = mail__slurp(v, name, SIZE_MAX / 4, n, e);
    if (*e == MAIL_ERR_IO) mail__recover_bad(v, name);
    if (*e == MAIL_ERR_NOTFOUND) *e = MAIL_ERR_OK;
    return text;
}

static mail_err mail__recover_journal(mail_server *v) {
    char name[MAIL_NAME_SIZE];
    char *text[2] = { NULL, NULL };
    size_t n[2], at[2] = { 0, 0 };
    mail_err e = MAIL_ERR_OK;
    int k, live[2] = { 0, 0 }, first;
    for (k = 0; k < 2 && !e; k++) {
        mail__journal_name(k, name);
        text[k] = mail__segment_slurp(v, k, &n[k], &e);
        v->segs[k].ready = (int64_t)n[k];
        if (text[k]) live[k] = mail__recover_start(v, k, mail_sn(text[k],
                                                   n[k]), &at[k]);
        if (live[k] && v->segs[k].lap > v->lap) v->lap = v->segs[k].lap;
        v->segs[k].file = v->sys.open(v->sys.ctx, name, MAIL_OPEN_BOTH);
        if (v->segs[k].file < 0 && !e) e = (mail_err)(-1 - v->segs[k].file);
    }
    first = live[0] && live[1] && v->segs[1].lap < v->segs[0].lap;
    for (k = 0; k < 2 && !e; k++) {
        int i = k ? 1 - first : first;
        if (!live[i]) continue;
        v->segs[i].state = MAIL__SEALED;
        v->segs[i].since = 0;
        v->segs[i].recovered = 1;
        e = mail__recover_walk(v, i, mail_sn(text[i], n[i]), at[i]);
    }
    v->lap_done = v->lap;
    for (k = 0; k < 2; k++) {
        mail__free(v, text[k]);
        if (v->segs[k].state == MAIL__SEALED &&
            v->segs[k].lap - 1 < v->lap_done)
            v->lap_done = v->segs[k].lap - 1;
    }
    return e;
}

static mail_err mail__recover_queue(mail_server *v) {
    mail__names l;
    mail_err e = mail__names_get(v, "queue", &l);
    if (!e) e = mail__names_each(&l, "queue", mail__recover_file);
    if (!e) e = mail__names_each(&l, "queue", mail__recover_more);
    if (!e) e = mail__recover_journal(v);
    if (!e) e = mail__names_each(&l, "queue", mail__recover_orphan);
    mail__free(v, l.p);
    return e;
}

/* Everything that is due begins. */
static void mail__recover_start_all(mail_server *v) {
    mail__item *m, *next;
    for (m = v->queue; m; m = next) {
        next = m->next;
        mail__item_settle(v, m);
    }
}

/* ======================================================================
   [SERVER LIFE] the whole server                                   ch.14
   ====================================================================== */

/* The directories and the journal have durable names now. Until then no mail
   is taken, and what failed is done anew: see mail__home_again. */
static void mail__home_flushed(mail_server *v, void *arg, mail_err e) {
    (void)arg;
    if (e) mail__tell(v, NULL, MAIL_NOTE_FATE, "", "no mail is taken yet: the "
                      "directories could not be made durable: %s",
                      mail_err_text(e));
    v->home_after = mail__now(v) + 1000;
    mail__due(v, e ? v->home_after : mail__now(v));
}

/* A name whose flush has failed may never become durable: a journal that
   nothing is in gets a new one. (A file system that loses a directory has
   stopped by itself.) */
static void mail__home_again(mail_server *v) {
    char name[MAIL_NAME_SIZE];
    size_t i;
    int k;
    mail__ask_begin(&v->home, NULL, mail__home_flushed);
    for (k = 0; k < 2; k++) {
        mail__segment *g = &v->segs[k];
        if (g->state != MAIL__FREE) continue;
        mail__journal_name(k, name);
        if (g->file >= 0) v->sys.close(v->sys.ctx, g->file);
        v->sys.remove(v->sys.ctx, name);
        g->ready = 0;
        g->file = v->sys.open(v->sys.ctx, name, MAIL_OPEN_BOTH);
        if (g->file < 0) v->home.err = (mail_err)(-1 - g->file);
        if (g->file < 0) g->file = -1;
    }
    for (i = 0; i < v->nusers; i++) {
        snprintf(name, sizeof name, "mail/%s", v->users[i].name);
        mail__ask_flush(v, &v->home, -1, name);
    }
    mail__ask_flush(v, &v->home, -1, "mail");
    mail__ask_flush(v, &v->home, -1, "queue");
    mail__ask_flush(v, &v->home, -1, ".");
    mail__ask_end(v, &v->home);
}

/* Whose moment has come: at most a few hundred, then it is another's turn. */
static void mail__timers(mail_server *v, int64_t now) {
    int left = 8 * MAIL__SLICE;
    while (v->ntimers && v->timers[0]->due <= now && left--) {
        mail__timer *t = v->timers[0];
        mail__timer_stop(v, t);
        if (t->of == MAIL__TIMES_CONN)
            mail__conn_time(v, (mail_conn *)(void *)t, now);
        else if (t->of == MAIL__TIMES_HOP) {
            mail__hop *h = (mail__hop *)(void *)t;
            mail__hop_want(v, h);
            mail__hop_free(v, h);
        } else if (v->stopping) mail__timer_set(v, t, now + 1000);
        else mail__item_settle(v, (mail__item *)(void *)t);
    }
    if (v->ntimers) mail__due(v, v->timers[0]->due);
}

MAIL_DEF int64_t mail_server_tick(mail_server *v) {
    int64_t now = mail__now(v);
    mail__journal_flush(v);
    if (now < v->due) return v->due;
    v->due = INT64_MAX;
    if (v->home.err && !v->home.left) {
        if (now >= v->home_after) mail__home_again(v);
        else mail__due(v, v->home_after);
    }
    mail__lookups(v, now);
    mail__logins(v);
    mail__timers(v, now);
    mail__journal_drain(v);
    mail__check_tick(v, now);
    mail__relay_calls(v);
    mail__reap(v);
    mail__journal_flush(v);
    return v->due;
}

static mail_err mail__server_begin(mail_server *v) {
    static const char *const dirs[] = { "mail", "queue", "queue/tmp" };
    char dir[MAIL_NAME_SIZE];
    mail_err e = MAIL_ERR_OK;
    mail_str bad;
    size_t i;
    if (v->opts.host == NULL || mail_has_control(mail_s(v->opts.host)) ||
        mail_relay_check(mail_s(v->opts.relay_from), &bad) ||
        (v->opts.routing.lmtp && (v->opts.routing.catch_all ||
                                  mail_lmtp_check(v->opts.routing.lmtp))))
        return MAIL_ERR_MISUSE;
    mail__ask_begin(&v->home, NULL, mail__home_flushed);
    for (i = 0; i < 3 && !e; i++) e = v->sys.mkdir(v->sys.ctx, dirs[i]);
    if (!e) e = mail_server_reload(v);
    if (!e) e = mail__names_of(v, "queue/tmp", mail__sweep_one);
    for (i = 0; i < v->nusers && !e; i++) {
        snprintf(dir, sizeof dir, "mail/%s/tmp", v->users[i].name);
        mail__names_of(v, dir, mail__sweep_box);
    }
    mail__ids_grow(v);
    if (!v->nids) e = MAIL_ERR_NOMEM;
    if (!e) e = mail__recover_queue(v);
    mail__ask_flush(v, &v->home, -1, ".");
    mail__ask_flush(v, &v->home, -1, "queue");
    mail__ask_end(v, &v->home);
    if (!e) mail__recover_start_all(v);
    return e;
}

/* What grows is there from the start. */
static int mail__rooms(mail_server *v) {
    mail__batch *a = &v->filling, *b = &v->flying;
    return mail__grow(v, (void **)&a->items, 0, &a->cap, sizeof *a->items) &&
           mail__grow(v, (void **)&b->items, 0, &b->cap, sizeof *b->items) &&
           mail__grow(v, (void **)&v->timers, 0, &v->timers_cap,
                      sizeof *v->timers);
}

MAIL_DEF mail_server *mail_server_open(const mail_sys *sys,
                                       const mail_server_opts *opts,
                                       mail_err *err) {
    mail_server *v = (mail_server *)sys->alloc(sys->ctx, NULL, sizeof *v);
    *err = MAIL_ERR_NOMEM;
    if (v == NULL) return NULL;
    memset(v, 0, sizeof *v);
    v->sys = *sys;
    v->opts = *opts;
    v->opts.routing.is_user = mail__is_user;
    v->opts.routing.ctx = v;
    if (!v->opts.max_conns) v->opts.max_conns = 100;
    if (!v->opts.max_per_address)
        v->opts.max_per_address = (v->opts.max_conns + 1) / 2;
    if (!v->opts.crowd_timeout) v->opts.crowd_timeout = 10000;
    if (!v->opts.slow_errors) v->opts.slow_errors = 5;
    if (!v->opts.max_header) v->opts.max_header = 102400;
    if (!v->opts.max_lines) v->opts.max_lines = 1000;
    if (!v->opts.max_hops) v->opts.max_hops = 100;
    if (!v->opts.max_addresses) v->opts.max_addresses = 5;
    if (!v->opts.max_sessions) v->opts.max_sessions = 2;
    if (!v->opts.connect_timeout) v->opts.connect_timeout = 30000;
    if (!v->opts.bdat) v->opts.bdat = 65536;
    if (!v->opts.max_out) v->opts.max_out = 20;
    if (!v->opts.max_hop) v->opts.max_hop = 10;
    if (v->opts.max_rcpts > MAIL__RCPTS) v->opts.max_rcpts = MAIL__RCPTS;
    if (!v->opts.retry_first) v->opts.retry_first = 300;
    if (!v->opts.retry_max) v->opts.retry_max = 14400;
    if (!v->opts.warn) v->opts.warn = 14400;
    if (!v->opts.max_return) v->opts.max_return = 51200;
    if (!v->opts.expire) v->opts.expire = 432000;
    if (v->opts.expire > 315360000) v->opts.expire = 315360000; /* 10 years */
    if (v->opts.warn > v->opts.expire) v->opts.warn = v->opts.expire;
    if (v->opts.retry_first > v->opts.expire)
        v->opts.retry_first = v->opts.expire;
    if (v->opts.retry_max > v->opts.expire)
        v->opts.retry_max = v->opts.expire;
    if (!v->opts.journal) v->opts.journal = 64 * 1024 * 1024;
    if (v->opts.journal < 256 * 1024) v->opts.journal = 256 * 1024;
    if (!v->opts.checkpoint) v->opts.checkpoint = 1000;
    if (!v->opts.auth_delay) v->opts.auth_delay = 2000;
    if (v->opts.auth_delay < 0) v->opts.auth_delay = 0;
    if (!v->opts.auth_tries) v->opts.auth_tries = 10;
    if (!v->opts.auth_lock) v->opts.auth_lock = 900;
    v->opts.auth_lock *= 1000;                              /* as the clock */
    v->cur = v->check.seg = v->filling.seg = v->flying.seg = -1;
    v->segs[0].file = v->segs[1].file = -1;
    sys->random(sys->ctx, &v->run, sizeof v->run);
    v->in = (char *)sys->alloc(sys->ctx, NULL, MAIL__READ);
    v->block = (char *)sys->alloc(sys->ctx, NULL, MAIL__BLOCK);
    v->gather = (char *)sys->alloc(sys->ctx, NULL, MAIL__GATHER);
    v->jbuf = (char *)sys->alloc(sys->ctx, NULL, 2 * MAIL_RECORD_MAX);
    if (v->in && v->block && v->gather && v->jbuf && mail__rooms(v))
        *err = mail__server_begin(v);
    if (*err == MAIL_ERR_OK) return v;
    mail_server_close(v);
    return NULL;
}

MAIL_DEF void mail_server_close(mail_server *v) {
    mail_conn *c;
    size_t i;
    if (v == NULL) return;
    v->stopping = 1;
    for (c = v->conns; c; c = c->next) {
        mail__conn_kill(v, c);
        c->ask.left = c->going = 0;        /* nobody answers any more */
    }
    mail__reap(v);
    while (v->lookups) mail__lookup_unlink(v, v->lookups);
    v->check.seg = -1;
    while (v->queue) mail__item_free(v, v->queue);
    while (v->moving) mail__item_free(v, v->moving);
    for (i = 0; i < 256; i++)
        while (v->hops[i]) mail__hop_free(v, v->hops[i]);
    for (i = 0; i < 2; i++)
        if (v->segs[i].file >= 0) v->sys.close(v->sys.ctx, v->segs[i].file);
    mail__users_free(v, v->users, v->nusers);
    mail__aliases_free(v, &v->aliases);
    mail_wipe(v->key, sizeof v->key);
    mail_wipe(v->by_address, sizeof v->by_address);
    mail_wipe(v->by_name, sizeof v->by_name);
    mail__free(v, v->filling.items);
    mail__free(v, v->flying.items);
    mail__free(v, v->timers);
    mail__free(v, v->ids);
    mail__free_secret(v, v->users_text, v->users_size);
    mail__free_secret(v, v->in, v->in ? MAIL__READ : 0);
    mail__free(v, v->block);
    mail__free(v, v->gather);
    mail__free(v, v->jbuf);
    mail__free(v, v);
}

/* Is everything out of the journal? While that fails nobody waits for it. */
static int mail__journal_empty(const mail_server *v) {
    int k;
    for (k = 0; k < 2; k++) {
        const mail__segment *g = &v->segs[k];
        if (g->state == MAIL__SEALED ||
            (g->state == MAIL__OPEN && g->since >= 0))
            return v->check_fails > 0 || v->home.err;
    }
    return v->todo == NULL;
}

/* Idle clients are told at once; who is in the middle may finish. What is in
   the journal becomes files: the next start has little to do. */
MAIL_DEF int mail_server_stop(mail_server *v) {
    mail_conn *c;
    v->stopping = v->hurry = 1;
    for (c = v->conns; c; c = c->next) {
        if (c->role == 's' && !c->u.smtpd.wait && !c->item)
            mail_smtpd_bye(&c->u.smtpd, NULL);
        if (c->role == 'p' && !c->u.pop3d.wait && c->file < 0)
            mail_pop3d_bye(&c->u.pop3d, NULL);
        if (c->role == 'c' && c->connecting)   /* nobody is waited for */
            mail__conn_kill(v, c);
        if (c->login && c->login->due < INT64_MAX) mail__login_turn(v, c);
        mail__conn_go(v, c);
    }
    mail__reap(v);
    mail__due(v, mail__now(v));
    return v->conns == NULL && mail__journal_empty(v);
}

MAIL_DEF int64_t mail_server_due(const mail_server *v) {
    return v->filling.seg >= 0 && v->flying.seg < 0 ? INT64_MIN : v->due;
}

MAIL_DEF size_t mail_server_queued(const mail_server *v) {
    return v->nqueue;
}

MAIL_DEF size_t mail_server_conns(const mail_server *v) {
    return v->nconns;
}

#endif /* MAIL_IMPLEMENTATION_DONE */
#endif /* MAIL_IMPLEMENTATION */

/* --------------------------------------------------------------------------
   This software is available under two licences: choose whichever you prefer.

   ALTERNATIVE A - MIT No Attribution (MIT-0)
   Copyright (c) 2026 the mail.h authors
   Permission is hereby granted, free of charge, to any person obtaining a
   copy of this software and associated documentation files (the "Software"),
   to deal in the Software without restriction, including without limitation
   the rights to use, copy, modify, merge, publish, distribute, sublicense,
   and/or sell copies of the Software, and to permit persons to whom the
   Software is furnished to do so.
   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
   IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
   FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
   AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
   LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
   FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
   DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B - Public Domain (www.unlicense.org)
   This is free and unencumbered software released into the public domain.
   Anyone is free to copy, modify, publish, use, compile, sell, or distribute
   this software, either in source code form or as a compiled binary, for any
   purpose, commercial or non-commercial, and by any means. The authors
   dedicate any and all copyright interest in the software to the public
   domain. The software is provided "as is", without warranty of any kind.
   ----------------------------------------------------------------------- */
