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
