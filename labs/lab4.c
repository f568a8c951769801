/* Lab 4: SMTP server table. tutorial chapter 4 | RFC 5321 4.1, 4.3 | 75 min

   The server MTA knows one word, its state, and answers each line from it: with
   a code, and perhaps with another state. Write that table. It need not look
   like one, but it has 6 states and 11 verbs, and each of the 66 cells is
   tested, so half a table is about half the points.

   Will be tested: every verb in every state, with an argument that is accepted
   and, where it matters, with one that is not. Where the RFC leaves a choice,
   each good code is right. `make lab4` says how far you are. */

#include "lab.h"

/* One line from the client has come; *state is the state it finds. Return the
   code of the reply, and set *state to the state after it. Return 0 where the
   server says nothing: in the middle of a text (SMTP_DATA), where every line
   but the dot is text, and after the end (SMTP_END).

   ok says how it went with what your table does not know:
       HELO, EHLO, VRFY   1: the name is good              0: it is malformed
       MAIL, RCPT         1: the address is accepted       0: it is refused
       DOT, in a text     1: the message is on the disk    0: it cannot be kept
   For all the others it is 1.

   Codes: 250 done; 354 go ahead; 221 goodbye; 252 cannot say (VRFY); 500 no
   such command; 501 malformed; 503 not now, wrong order; 550 no such mailbox,
   or no; 452 cannot keep it now. A command that is refused changes nothing: but
   for DOT, which ends the transaction, kept or not. */
int smtp_step(smtp_state *state, smtp_verb verb, int ok) {
    (void)state, (void)verb, (void)ok;
    return LAB_TODO;
}
