/* Lab 1: line reader.    tutorial chapter 2 | RFC 5321 2.3.8 | 45 minutes

   TCP carries a stream of octets and knows no lines. Commands and responses
   are lines, and a line ends with CR LF and nothing else. What has come so far
   is in a buffer: find the first line in it.

   Will be tested: whole lines, several lines at once, bare CR and LF, a line
   that is too long, every way to cut a session. `make lab1` says how far you
   are. */

#include "lab.h"

/* buf: the n octets that have come and that nobody has taken yet; n may be 0.
   It is no C string: no zero octet stands behind them, so no strlen, no strstr;
   and who looks at buf[n] looks at what is not there.

   If they begin with a whole line, set *len to its length without its CRLF, and
   return how many octets it takes of the buffer, with its CRLF. The caller
   drops these, and calls again for the next line. If no line is whole yet,
   return 0: the caller calls again when more has come, with the same octets
   and the new ones behind them.

   A bare CR or a bare LF ends no line: it is an octet of it like any other.
   (The server looks at the line later, and refuses it.)

   A line has at most LINE_MAX_OCTETS, 512, with its CRLF. If there are that
   many octets in the buffer and no line ends in the first 512 of them, set *len
   to LINE_TOO_LONG and return LINE_MAX_OCTETS: these are dropped, and what is
   behind them begins the next line. */
size_t next_line(const char *buf, size_t n, size_t *len) {
    (void)buf;
    *len = n;               /* each delivery is a line? It is not so */
    return n;
}
