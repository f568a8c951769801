/* Lab 6: client MTA.     tutorial chapter 7 | RFC 5321 3, 4.2 | 60 minutes

   The server says codes; it is the client that decides. It has one mail for
   some recipients, and it must know in the end what became of each of them:
   the server has the mail (GIVEN), not now (LATER), or never (REFUSED). Who is
   forgotten has lost a mail, and nobody knows.

   Will be tested: all is well, recipients that are refused, "not now" (4yz),
   421 and lost connections, one command at a time. Who waits for a server that
   waits for him stands in a deadlock: it is named. `make lab6` says how far you
   are. */

#include "lab.h"

/* What do you do next? The grader calls this again and again, and does what you
   say; c is zero at first, but for c->rcpts. code is the reply that has come,
   when you waited for one (WAIT_REPLY), CLIENT_CLOSED if the server has hung up
   instead, and 0 in all other cases: at the very beginning, and behind what
   you said.

   The server speaks first: it says 220. Then HELO, MAIL, RCPT for each
   recipient (say which in c->rcpt, from 0), DATA, and behind its 354 the text
   and the dot; QUIT, whose 221 you await, and HANG_UP. Each of them but
   SAY_TEXT has one reply, and you wait for it before you say anything else.

   2yz is yes (354 to DATA), 5yz is never, 4yz is not now; to RCPT 552 means
   "too many at once", so it is not now, too. A reply to MAIL, DATA or the dot
   goes for all who are not refused yet. Where nobody is accepted there is no
   DATA (SAY_RSET, or the end). 421, whenever it comes, says that the server
   ends the connection: hang up; what has not been given is for later. So it is
   when it just hangs up. Put into c->fate[] what became of each.

   Text to nobody, a second command before the reply, a recipient forgotten:
   those are the mistakes. */
client_action client_next(client_mta *c, int code) {
    (void)c, (void)code;
    return (client_action)LAB_TODO;
}
