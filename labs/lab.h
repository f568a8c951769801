/* lab.h - the functions of the labs: their names, what they take and return.
   Each labN.c includes it, and the grader does. Nothing in here is an answer.

   A list LABN(X) has a row for each function of lab N. What is written in it
   is what your function must be: the compiler compares. */

#ifndef LAB_H
#define LAB_H

#include <stddef.h>
#include <string.h>

/* What a function returns that is not written yet: it is no answer, and so
   never a right one. */
#define LAB_TODO (-1)

/* --- lab 1: line reader --------------------------------------------------- */

#define LINE_MAX_OCTETS 512              /* of a line, with its CRLF          */
#define LINE_TOO_LONG   ((size_t)-1)     /* in place of its length            */

#define LAB1(X) \
    X(size_t, next_line, (const char *buf, size_t n, size_t *len))

/* --- lab 2: command parser ------------------------------------------------ */

typedef struct command_parts {
    const char *verb; size_t nverb;      /* point into the line               */
    const char *arg;  size_t narg;
} command_parts;

typedef struct path_parts {
    char local[65];                      /* C strings: 64 and 255 octets,     */
    char domain[256];                    /* and their zero                    */
} path_parts;

#define LAB2(X) \
    X(int, parse_command, (const char *line, size_t n, command_parts *c)) \
    X(int, same_word, (const char *p, size_t n, const char *word)) \
    X(int, parse_path, (const char *s, size_t n, path_parts *p, size_t *used))

/* --- lab 3: reply parser -------------------------------------------------- */

#define LAB3(X) \
    X(int, parse_reply, (const char *line, size_t n, int *code, int *more))

/* --- lab 4: SMTP server table --------------------------------------------- */

typedef enum smtp_state {
    SMTP_START,              /* connected; neither HELO nor EHLO yet          */
    SMTP_READY,              /* greeted: a mail transaction may begin         */
    SMTP_MAIL,               /* the reverse-path is known                     */
    SMTP_RCPT,               /* at least one forward-path is accepted         */
    SMTP_DATA,               /* message text, until CRLF.CRLF                 */
    SMTP_END                 /* 221 is said                                   */
} smtp_state;

typedef enum smtp_verb {
    VERB_HELO, VERB_EHLO, VERB_MAIL, VERB_RCPT, VERB_DATA,
    VERB_DOT,                /* a line that is a dot                          */
    VERB_RSET, VERB_NOOP, VERB_VRFY, VERB_QUIT,
    VERB_OTHER               /* a line that begins with no verb you know      */
} smtp_verb;

#define LAB4(X) \
    X(int, smtp_step, (smtp_state *state, smtp_verb verb, int ok))

/* --- lab 5: dots ---------------------------------------------------------- */

typedef struct dots {
    unsigned char state;    /* yours; 0 before the first octet            */
    unsigned char end;      /* unstuff: set it when CRLF.CRLF has been seen */
} dots;

#define LAB5(X) \
    X(size_t, unstuff, (dots *d, const char *in, size_t n, char *out, \
                        size_t *made)) \
    X(size_t, stuff, (dots *d, const char *in, size_t n, char *out)) \
    X(size_t, stuff_end, (dots *d, char *out))

/* --- lab 6: client MTA ---------------------------------------------------- */

enum { CLIENT_RCPTS = 4 };

typedef enum rcpt_fate {
    RCPT_OPEN,               /* not known yet; still so at the end: forgotten */
    RCPT_GIVEN,              /* the server has the mail for him: 250          */
    RCPT_LATER,              /* not now: keep it, and try again               */
    RCPT_REFUSED             /* never: tell the sender                        */
} rcpt_fate;

typedef struct client_mta {
    int rcpts;               /* the mail has so many recipients, from 1       */
    int rcpt;                /* yours, for SAY_RCPT: which one, from 0        */
    rcpt_fate fate[CLIENT_RCPTS];      /* yours: what became of each        */
    int state, accepted, a, b;           /* yours; 0 at the beginning         */
} client_mta;

typedef enum client_action {
    WAIT_REPLY,              /* say nothing, wait until a reply comes         */
    SAY_HELO, SAY_MAIL, SAY_RCPT, SAY_DATA,
    SAY_TEXT,                /* the letter, line by line, dots stuffed        */
    SAY_DOT,                 /* the line with a dot that ends it              */
    SAY_RSET, SAY_QUIT,
    HANG_UP                  /* it is over                                    */
} client_action;

enum { CLIENT_CLOSED = -1 }; /* in place of a code: the server has hung up    */

#define LAB6(X) \
    X(client_action, client_next, (client_mta *c, int code))

/* --- lab 7: the relay decision -------------------------------------------- */

enum { ROUTE_LOCAL, ROUTE_RELAY, ROUTE_NO_USER, ROUTE_DENIED, ROUTE_LOOP };

typedef struct post {           /* what the server knows; all of it is given */
    const char *const *domains; size_t ndomains;        /* ours              */
    int (*is_user)(const void *who, const char *name);  /* has a mailbox?    */
    const void *who;            /* for is_user; names are in lower case      */
    const char *const *route_domains, *const *route_hops; /* "host:port"     */
    size_t nroutes;
    const char *smarthost;      /* "host:port" of who takes all else; NULL   */
    int may_relay;              /* this client has logged in                 */
    int hops;                   /* Received fields that the mail has already */
} post;

typedef struct trace_line {     /* what a Received field says: C strings     */
    const char *helo, *address; /* the client's name for itself; where it is */
    const char *by, *with, *id; /* our name; SMTP or ESMTP; the queue id     */
    const char *for_;           /* the recipient; NULL: there are several    */
    const char *date;           /* "Thu, 01 Jan 2026 09:00:00 +0900"         */
} trace_line;

#define LAB7(X) \
    X(int, relay_decide, (const post *p, const char *local, \
                          const char *domain, char *to)) \
    X(int, count_hops, (const char *header, size_t n)) \
    X(size_t, received, (const trace_line *t, char *out))

/* --- lab 8: commit -------------------------------------------------------- */

typedef struct disk disk;           /* a simulated one; it may lose its power */

/* Each returns -1 if it failed. What was written or renamed is in the memory
   of the machine, until the file or its directory is flushed. */
int d_create(disk *d, const char *name);      /* a new file: its number   */
int d_write(disk *d, int file, const char *p, size_t n);
int d_flush(disk *d, int file);               /* its octets are durable   */
int d_close(disk *d, int file);
int d_rename(disk *d, const char *from, const char *to);
int d_remove(disk *d, const char *name);
int d_flush_dir(disk *d, const char *dir);    /* its names are durable    */
/* The name of file i (from 0) in dir, without dir; 0: there are no more. name
   has room for 60 octets. */
int d_list(disk *d, const char *dir, int i, char *name);

#define LAB8(X) \
    X(int, commit, (disk *d, const char *id, const char *text, size_t n, \
                    int complete)) \
    X(int, recover, (disk *d))

/* --- lab 9: retry and bounce ---------------------------------------------- */

enum { TRY_DONE, TRY_LATER, TRY_BOUNCE, TRY_DEAD };

#define LAB9(X) \
    X(int, retry, (int code, int tries, long age, int is_bounce, long *wait))

/* --- lab 10: the POP3 server ---------------------------------------------- */

enum { POP3_USER, POP3_PASS, POP3_STAT, POP3_LIST, POP3_UIDL, POP3_RETR,
       POP3_DELE, POP3_RSET, POP3_NOOP, POP3_QUIT, POP3_DROPPED };

/* For the RFC there are three. AUTH and USER are both AUTHORIZATION: PASS comes
   right after USER, anything but PASS or another USER leads back to AUTH.
   UPDATE and END are both the end. */
enum {
    MAA_AUTH,               /* AUTHORIZATION: nobody has said a name      */
    MAA_USER,               /* AUTHORIZATION: USER was said just before   */
    MAA_TRANS,              /* TRANSACTION: logged in                     */
    MAA_UPDATE,             /* over: what is marked is being removed      */
    MAA_END                 /* over: nothing is removed                   */
};

typedef struct maa {
    int  state;             /* MAA_AUTH at the beginning                  */
    int  count;             /* given: messages in the maildrop, 1..count  */
    char marked[32];        /* marked[3] is 1: message 3 is to be removed */
} maa;

#define LAB10(X) \
    X(int, pop3_step, (maa *p, int verb, int n)) \
    X(long, pop3_size, (const char *file, size_t n)) \
    X(size_t, pop3_retr, (const char *file, size_t n, char *out)) \
    X(size_t, pop3_password, (const char *line, size_t n))

/* --- lab 11: delete mode and keep mode ------------------------------------ */

enum { FETCH_LOGIN, FETCH_STAT, FETCH_UIDL, FETCH_RETR, FETCH_STORE,
       FETCH_DELE, FETCH_QUIT, FETCH_END };

typedef struct fetch {
    int  keep;              /* given: 1 keep mode, 0 delete mode           */
    int  count;             /* given, once STAT is answered: messages 1..  */
    char known[32];         /* given, once UIDL is answered: known[2] is 1:
                               Bob has message 2 already                   */
    int  number;            /* yours: which message RETR, STORE, DELE mean */
    int  state;             /* yours, for whatever you like                */
} fetch;

#define LAB11(X) \
    X(int, fetch_next, (fetch *f, int last, int ok))

/* --- lab 12: encoded words ------------------------------------------------ */

#define LAB12(X) \
    X(size_t, decode_word, (const char *s, size_t n, char *charset, \
                            char *out, size_t *made))

/* --- all of them ---------------------------------------------------------- */

#define LABS(X) LAB1(X) LAB2(X) LAB3(X) LAB4(X) LAB5(X) LAB6(X) LAB7(X) \
    LAB8(X) LAB9(X) LAB10(X) LAB11(X) LAB12(X)

#define LAB_DECLARE(type, name, takes) type name takes;
LABS(LAB_DECLARE)

/* One solution: a student's, the reference, an impostor. */
#define LAB_POINTER(type, name, takes) type (*name) takes;
typedef struct lab_functions { LABS(LAB_POINTER) } lab_functions;

/* Fills in those of the lab that was compiled (hand.c). */
void lab_hand(lab_functions *f);

/* With AddressSanitizer: whoever touches these octets crashes (hand.c). */
void lab_forbid(const char *p, size_t n);
void lab_allow(const char *p, size_t n);
/* A crash was found, and is going to be reported (grade.c). */
void lab_on_error(void);

#endif
