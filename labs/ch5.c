/* make ch5: labs/ch5.txt is what a client says. The server MTA of mail.h
   answers it; then each letter's envelope is held against its header. */
#define MAIL_IMPLEMENTATION
#include "../mail.h"
#include <stdio.h>

enum { USERS = 3 };

static const char *const users[USERS] = { "bob", "carol", "dave" };

typedef struct letter {
    int    envelope[USERS];          /* who had a 250 to RCPT */
    char   text[20000];
    size_t n;
} letter;

static letter now;
static int    found[2];              /* what the chapter asks for */

/* Which of the users is it? USERS: somebody else. */
static int user_of(const mail_path *p) {
    int i = 0;
    if (strcmp(p->domain, "b.example") == 0)
        while (i < USERS && strcmp(users[i], p->local) != 0) i++;
    else i = USERS;
    return i;
}

/* Whom does that field name? Adds them to in; returns how many it has. */
static int names(mail_str head, const char *field, int in[USERS + 1]) {
    mail_str list;
    mail_addr a;
    int n = 0;
    if (!mail_field_find(head, field, &list)) return 0;
    while (mail_addr_next(&list, &a))
        if (a.kind == MAIL_ADDR_MAILBOX && !a.err) in[user_of(&a.path)]++, n++;
    return n;
}

static void list(const char *what, const int in[USERS]) {
    int i, n = 0;
    printf("   %s", what);
    for (i = 0; i < USERS; i++) if (in[i]) printf(" %s", users[i]), n++;
    printf("%s\n", n ? "" : " nobody of b.example");
}

static void judge(void) {
    mail_str head = mail_sn(now.text, now.n);
    int in[USERS + 1] = { 0 }, i, met = 0, to = names(head, "To", in);
    int surprise, blind;
    names(head, "Cc", in);
    names(head, "Bcc", in);
    list("the envelope names", now.envelope);
    list("the header names  ", in);
    for (i = 0; i < USERS; i++) met += now.envelope[i] && in[i];
    surprise = now.envelope[0] && to > 0 && met == 0;
    blind = now.envelope[0] && now.envelope[1] && in[0] && !in[1];
    printf("   that is %s\n", surprise ? "a letter for bob, who is not in it"
                            : blind ? "a blind copy for carol"
                                    : "neither of the two letters");
    found[0] |= surprise;
    found[1] |= blind;
}

/* The owner of the session: it knows three users, and keeps a letter. */
static void decide(mail_smtpd *s, const mail_event *ev) {
    int who;
    if (ev->kind == MAIL_EV_MAIL) {
        memset(&now, 0, sizeof now);
        mail_smtpd_reply(s, 250, NULL);
    } else if (ev->kind == MAIL_EV_RCPT) {
        who = user_of(ev->path);
        if (who < USERS) now.envelope[who] = 1;
        mail_smtpd_reply(s, who < USERS ? 250 : 550, NULL);
    } else if (ev->kind == MAIL_EV_DATA) mail_smtpd_reply(s, 354, NULL);
    else if (ev->kind == MAIL_EV_TEXT && ev->text.n < sizeof now.text - now.n) {
        memcpy(now.text + now.n, ev->text.p, ev->text.n);
        now.n += ev->text.n;
    } else if (ev->kind == MAIL_EV_END) mail_smtpd_reply(s, 250, NULL);
}

static void say(mail_smtpd *s, const char *in, size_t n) {
    mail_event ev;
    mail_str out;
    int end = 0;
    while (n) {
        size_t k = mail_smtpd_feed(s, in, n);
        in += k, n -= k;
        while (mail_smtpd_next(s, &ev)) {
            decide(s, &ev);
            end |= ev.kind == MAIL_EV_END;
        }
        if (k == 0) break;
    }
    out = mail_smtpd_out(s);
    while (out.n) {
        mail_str one = mail_cut(&out, '\r');
        printf("S: %.*s\n", MAIL_ARG(one));
        mail_cut(&out, '\n');
    }
    mail_smtpd_sent(s, mail_smtpd_out(s).n);
    if (end) judge();
}

int main(int argc, char **argv) {
    static mail_smtpd s;
    static char line[2000];
    const char *file = argc > 1 ? argv[1] : "labs/ch5.txt";
    FILE *f = fopen(file, "r");
    if (f == NULL) {
        perror(file);
        return 1;
    }
    mail_smtpd_init(&s, (mail_smtpd_opts){ .host = "mail.b", .basic = 1 });
    say(&s, "", 0);
    while (fgets(line, sizeof line - 2, f)) {
        size_t n = strcspn(line, "\r\n");
        memcpy(line + n, "\r\n", 3);
        printf("C: %s", line);
        say(&s, line, n + 2);
    }
    fclose(f);
    if (s.state != MAIL_SMTPD_END)
        printf("and there it ends, without QUIT: in state %s\n",
               mail_smtpd_state_name(s.state));
    printf("ch 5  the envelope is not the letter  %d of 2\n",
           found[0] + found[1]);
    return !(found[0] && found[1]);
}
