/* Lab 3: reply parser.   tutorial chapter 3 | RFC 5321 4.2 | 30 minutes

   A server answers each command with a reply: three digits, and words for
   people. It may have several lines: "250-" says that another one follows,
   "250 " that this is the last. A client that does not see the difference
   takes the second line for the answer to its next command.

   Will be tested: single lines, replies of many lines, and what is none.
   `make lab3` says how far you are. */

#include "lab.h"

/* line: one line of a reply, n octets, without CRLF; no zero octet stands
   behind it.

       reply line = code [ ( " " / "-" ) [ text ] ]
       code       = three digits; the first is 2, 3, 4 or 5

   Return 1 if that is what it is, and set *code to 200..599 and *more to 1 if
   another line follows ("-"), else to 0. Return 0 if it is none. */
int parse_reply(const char *line, size_t n, int *code, int *more) {
    (void)line, (void)n, (void)code, (void)more;
    return LAB_TODO;
}
