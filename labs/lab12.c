/* Lab 12: a Korean subject.    tutorial chapter 12 | RFC 2047 | 60 minutes

   A header is ASCII. Other characters travel in encoded-words,

       =?UTF-8?B?7JWI64WV?=        =?UTF-8?Q?Se=C3=B1or_Bob?=

   a charset, an encoding (B: base64; Q: octets as =XX, a space as _), and the
   encoded octets. Decode one.

   Will be tested: ASCII and UTF-8 in both encodings; whole subjects, folded,
   and with a character that begins in one word and ends in the next; words
   that are malformed, which are shown as they are. `make lab12` says how far
   you are. */

#include "lab.h"

/* Is there an encoded-word at the front of s? (n octets, perhaps none; nothing
   stands behind them.) Then put its octets, decoded, into out, which has room
   for n, and how many they are into *made; its charset, as a C string, into
   charset, which has room for 40 octets: of a longer name 39 are kept. And
   return how many octets of s the word takes, with its "=?" and "?=". What
   follows it is not looked at.

   If it is none, return 0: another octet than one of 33..126 inside it, an
   encoding that is neither B nor Q (b and q are the same), base64 that is
   none, "=" without two hex digits behind it, no end. The charset may have a
   language behind it, "UTF-8*ko": that is not a part of it.

   The octets are not looked at: a character may begin in this word and end in
   the next. */
size_t decode_word(const char *s, size_t n, char *charset, char *out,
                   size_t *made) {
    (void)s, (void)n, (void)out;
    charset[0] = 0;
    *made = 0;
    return 0;
}
