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

/* --- all of them ---------------------------------------------------------- */

#define LABS(X) LAB1(X) LAB2(X) LAB3(X) LAB4(X) LAB5(X) LAB6(X)

#define LAB_DECLARE(type, name, takes) type name takes;
LABS(LAB_DECLARE)

/* One solution: a student's, the reference, an impostor. */
#define LAB_POINTER(type, name, takes) type (*name) takes;
typedef struct lab_functions { LABS(LAB_POINTER) } lab_functions;

/* Fills in those of the lab that was compiled (hand.c). */
void lab_hand(lab_functions *f);

#endif
