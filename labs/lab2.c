/* Lab 2: command parser.  tutorial chapters 3, 5 | RFC 5321 2.4, 4.1.2 | 45 min

   A command is a verb and perhaps an argument: "MAIL FROM:<a@b.example>". The
   server has to take it apart, and the path in it, too. People and programs
   write both in many ways, and some on purpose write what is neither.

   Will be tested: verbs in any case, arguments, paths (also <>, quoted ones,
   routes), and what is malformed. `make lab2` says how far you are. */

#include "lab.h"

/* line: n octets without CRLF; no zero octet stands behind them.

   The verb is what stands before the first space, or all of the line; the
   argument is what stands behind that space, with the spaces in it. Spaces at
   the end of the line belong to neither. Let c point to both (narg is 0 if
   there is no argument), and return 1. Return 0 for a line that is empty, and
   for one with a control octet (0 to 31, or 127) in it. */
int parse_command(const char *line, size_t n, command_parts *c) {
    (void)line, (void)n;
    memset(c, 0, sizeof *c);
    return LAB_TODO;
}

/* Are the n octets at p that word? Upper and lower case are the same. For verbs
   ("helo"), and for what stands before a path ("To:"). word is a C string. */
int same_word(const char *p, size_t n, const char *word) {
    (void)p, (void)n, (void)word;
    return LAB_TODO;
}

/* s: n octets that begin with a path; n may be 0, and no zero octet stands
   behind them.

       path   = "<" [ route ":" ] local "@" domain ">"  /  "<>"
       route  = "@" domain, and more of them with a comma between
       local  = one or more of letters, digits, "!#$%&'*+-/=?^_`{|}~", and dots,
                but no dot first, last, or beside a dot;
                or any printable octets in quotes, where \" is a quote and
                \\ is a backslash
       domain = one or more labels of letters, digits and hyphens, with a dot
                between; no hyphen begins or ends a label

   Return 1, fill in local (without its quotes and backslashes) and domain as C
   strings, and set *used to the octets of the path, with its < and >. A route
   is read and dropped. For <> both are "". Return 0 if it is no path, or if the
   local part has more than 64 octets or the domain more than 255. */
int parse_path(const char *s, size_t n, path_parts *p, size_t *used) {
    (void)s, (void)n;
    memset(p, 0, sizeof *p);
    *used = 0;
    return LAB_TODO;
}
