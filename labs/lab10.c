/* Lab 10: the POP3 server.
   tutorial chapters 10 and 11 (marks) | RFC 1939 | 75 minutes

   The server MAA is a table: in which state is which command allowed, and
   what does it do? And three small things that servers get wrong: how many
   octets a message has, how it goes over the wire, and what a password is.

   Will be tested: each of 10 commands in AUTH, USER and TRANS; marks; when
   messages are really removed, and that nothing is said behind the end; octets
   and passwords. `make lab10` says how
   far you are. */

#include "lab.h"

/* One command of the client, or the end of the connection. p: what the server
   knows (lab.h); change it. n: the message number of RETR, DELE, LIST, UIDL (0:
   there was none, as LIST and UIDL allow), as the client said it: it may be far
   greater than p->count. For PASS 1 if the password is right, else 0. Returns
   1: the server says +OK; 0: it says -ERR.

   PASS comes right after USER: anything but PASS or another USER leads back to
   AUTH, even if it is refused (RFC 1939 7), and so does a wrong password.
   Otherwise what is refused changes nothing. NOOP needs a login; QUIT does not.
   Behind the end (UPDATE, END) nothing is said any more: return 0, and change
   nothing.

   POP3_DROPPED is no command: the connection has broken. Nobody hears what you
   return, but p->state counts. */
int pop3_step(maa *p, int verb, int n) {
    (void)p, (void)verb, (void)n;
    return LAB_TODO;
}

/* A message is kept as a file, whose lines end with LF alone. How many octets
   has it for STAT and LIST: with CRLF at each line end? (Added dots and the
   end of the data do not count. A last line without LF counts as if it had
   one. A file of 0 octets has no line.) Neither file[n] nor file[-1] is
   there. */
long pop3_size(const char *file, size_t n) {
    (void)file, (void)n;
    return LAB_TODO;
}

/* The answer to RETR, behind its +OK line: the file as it goes over the wire,
   dot-stuffed, the first line too, to the line with the final dot; a last line
   without LF is ended first. n may be 0. out has room for 3 * n + 5 octets.
   Returns how many it made. */
size_t pop3_retr(const char *file, size_t n, char *out) {
    (void)file, (void)n, (void)out;
    return 0;
}

/* line: a command "PASS password", n octets, without its CRLF. Returns how many
   octets at its end are the password: all behind the first space, 0 if there is
   none. (RFC 1939 7: PASS has one argument, and that may have spaces in
   it.) */
size_t pop3_password(const char *line, size_t n) {
    (void)line, (void)n;
    return 0;
}
