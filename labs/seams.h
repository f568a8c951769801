/* seams.h - where the functions of the labs get into mail.h: included before
   its implementation. Each is defined in the labN.h of its lab, and calls what
   is inside now (lab_inside), or mail.h's own function. */

/* lab 1 */
static size_t lab1_feed(mail_line *l, const char *in, size_t n, int lf_ends);
#define MAIL_LINE_FEED lab1_feed

/* lab 2 */
static mail_err lab2_path(mail_str s, mail_path *out, mail_str *rest);
#define MAIL_PATH_READ lab2_path

/* lab 3 */
static mail_err lab3_line(mail_str line, int *code, int *more,
                          mail_str *text);
#define MAIL_REPLY_LINE lab3_line

/* lab 4 */
static int lab4_may(mail_smtpd_state s, const char *verb);
#define MAIL_SMTPD_MAY lab4_may

/* lab 5 */
static size_t lab5_read(mail_dot_in *d, const char *in, size_t n,
                        mail_str *text);
static size_t lab5_write(mail_dot_out *d, const char *in, size_t n,
                         char *out, size_t cap, size_t *made);
static size_t lab5_close(mail_dot_out *d, char *out, size_t cap);
#define MAIL_DOT_READ  lab5_read
#define MAIL_DOT_WRITE lab5_write
#define MAIL_DOT_CLOSE lab5_close

/* lab 6, in mail.c: the demo's Alice */
struct sender;
static void lab6_alice(struct sender *s);
#define DEMO_CLIENT(s) lab6_alice(s)

/* lab 7 */
static mail_route_kind lab7_route(const mail_routing *r,
                                  const mail_path *rcpt, int may_relay,
                                  char *to);
static void lab7_received(mail_buf *b, const mail_received *r);
#define MAIL_ROUTE_FIND     lab7_route
#define MAIL_RECEIVED_WRITE lab7_received

/* lab 9 */
static int64_t lab9_after(int64_t tries, int64_t first, int64_t max);
static int lab9_for_good(int code);
#define MAIL_RETRY_AFTER lab9_after
#define MAIL_FOR_GOOD    lab9_for_good

/* lab 10 */
static int lab10_may(const mail_pop3d *s, mail_str verb, mail_str arg,
                     int allowed);
#define MAIL_POP3D_MAY lab10_may

/* lab 11 */
static mail_fetch_step lab11_plan(mail_fetcher *f, int ok);
#define MAIL_FETCH_PLAN lab11_plan

/* lab 12 */
static size_t lab12_word(mail_str s, mail_str *charset, mail_buf *b);
#define MAIL_DECODE_WORD lab12_word
