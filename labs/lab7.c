/* Lab 7: whose mail is it?    tutorial chapter 9 | RFC 5321 3.6, 4.4, 6.3
                               60 minutes

   Each RCPT asks a mail server: is that one of ours, and is there such a
   user? If it is another's: may this client send mail through us at all? An
   open relay, which says yes to everybody, is found by spammers in hours.

   Will be tested: routing; refusals (the tricks, too, with which people try to
   get mail relayed); loops; the text of the trace field. `make lab7` says how
   far you are. */

#include "lab.h"

/* Where does mail for local@domain go? Returns

     ROUTE_LOCAL    a mailbox here; to is the user's name, in lower case
     ROUTE_RELAY    another domain; to is the next hop: of the route for that
                    domain, else the smarthost, else the domain itself
     ROUTE_NO_USER  our domain, but nobody has that name
     ROUTE_DENIED   another domain, and the client may not relay
     ROUTE_LOOP     LOCAL or RELAY, but the mail has more than 100 hops: it
                    goes in circles

   Domains and names are the same in capitals and small letters. What is behind
   a + in a local part is a detail: bob+news is bob's. No other letter has a
   meaning: with % or ! or @ in a local part it is a name that nobody has.
   domain "" is our own. to has room for 256 octets. */
int relay_decide(const post *p, const char *local, const char *domain,
                 char *to) {
    (void)p, (void)local, (void)domain;
    to[0] = 0;
    return LAB_TODO;
}

/* How many Received fields has this header? It has n octets, its lines end with
   CRLF; it may be followed by the empty line and the body, which are not
   looked at. A field's name stands at the begin of a line, in capitals or
   small letters; lines that begin with a space or a tab go on with the field
   before. */
int count_hops(const char *header, size_t n) {
    (void)header, (void)n;
    return LAB_TODO;
}

/* The trace field that a server adds (RFC 5321 4.4), with CRLF and, in front
   of the lines that go on, a tab:

     Received: from HELO ([ADDRESS])
             by BY with WITH id ID
             for <FOR>;
             DATE

   Without FOR the third line is not there, and its ; stands behind ID. out has
   room for 1000 octets. Returns how many it made. */
size_t received(const trace_line *t, char *out) {
    (void)t, (void)out;
    return 0;
}
