/* Lab 5: dots.           tutorial chapter 6 | RFC 5321 4.5.2 | 45 minutes

   The end of a mail's text is a line with a dot, CRLF.CRLF, and nothing else.
   So the sender adds a dot to each line that begins with one (stuff), and the
   receiver takes it away again (unstuff). The text comes in pieces, cut
   anywhere: what you must remember from one piece to the next goes into
   d->state, one octet. It is 0 at the beginning: there a line begins, too.

   Will be tested: plain lines, dots, bare CR and LF, the empty message, every
   way to cut the octets. `make lab5` says how far you are. */

#include "lab.h"

/* From the wire to the text. in: the next n octets from the wire, and nothing
   stands behind them (no in[n]); n may be 0. Put the text into out, which has
   room for n + 4 octets, and say how many in *made.

   Only CRLF.CRLF ends a text: the CRLF before the dot belongs to it, the dot
   and the CRLF behind it do not. State 0 is behind the CRLF of DATA: so a text
   that begins with .CRLF ends at once. When you see the end, set d->end and
   return how many octets of in you took: with the end, and not one of what
   follows. Else return n.

   A bare CR or a bare LF ends nothing: it is an octet like any other, it stays,
   and no line begins behind it. (mail.h's server makes CRLF of a bare LF; your
   unstuff does not.) In CR CR LF the first CR is bare, and CR LF is a line end.
   You may hold octets back that you cannot judge yet; they come out with a
   later piece. */
size_t unstuff(dots *d, const char *in, size_t n, char *out, size_t *made) {
    (void)d, (void)in, (void)out;
    *made = 0;
    return n;
}

/* From the text to the wire. in: the next n octets of the text. Put what goes
   to the wire into out, which has room for 2 * n + 2 octets, and return how
   many they are. n may be 0.

   Here a line may end with CRLF, with LF alone (as in a file) or with CR alone:
   on the wire it is CRLF always. A CR at the end of a piece and an LF at the
   begin of the next are one line end. */
size_t stuff(dots *d, const char *in, size_t n, char *out) {
    (void)d, (void)in, (void)n, (void)out;
    return 0;
}

/* The text is over. Put the end of the data into out (room: 5 octets), and
   return how many octets that is. A last line that was not ended is ended
   first. */
size_t stuff_end(dots *d, char *out) {
    (void)d, (void)out;
    return 0;
}
