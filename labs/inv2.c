/* Investigation 2: a pair that can be smuggled through. Tutorial chapter 13.

   Each of the two has one mistake, and one changed line mends it. First do
   the questions of inv2.md with them as they are; then mend both. What stands
   in labs/inv2.md is not asked of your code: there the lenient pair stays
   lenient. */

#include "inv.h"

/* The sender: the length of the line end at p; 0: there is none. */
static size_t sender_line_end(const char *p, size_t n) {
    if (n > 1 && p[0] == '\r' && p[1] == '\n') return 2;
    return 0;
}

/* The receiver: the same question. */
static size_t receiver_line_end(const char *p, size_t n) {
    if (n > 1 && p[0] == '\r' && p[1] == '\n') return 2;
    if (n > 0 && (p[0] == '\r' || p[0] == '\n')) return 1;
    return 0;
}

static size_t put(char *out, const char *s) {
    size_t n = 0;
    while (s[n]) out[n] = s[n], n++;
    return n;
}

/* Each line as it is, with CRLF behind it; a dot before a line that begins
   with one; at the end a line with a dot. */
size_t send_text(const char *in, size_t n, char *out) {
    size_t i = 0, made = 0, end;
    int first = 1;                        /* of a line */
    while (i < n) {
        if (first && in[i] == '.') out[made++] = '.';
        end = sender_line_end(in + i, n - i);
        if (end) made += put(out + made, "\r\n");
        else out[made++] = in[i];
        i += end ? end : 1;
        first = end != 0;
    }
    if (!first) made += put(out + made, "\r\n");
    return made + put(out + made, ".\r\n");
}

/* A line that is a dot, and nothing else. */
size_t find_end(const char *in, size_t n) {
    size_t i = 0, end;
    int first = 1;
    while (i < n) {
        if (first && in[i] == '.') {
            end = receiver_line_end(in + i + 1, n - i - 1);
            if (end) return i + 1 + end;
        }
        end = receiver_line_end(in + i, n - i);
        i += end ? end : 1;
        first = end != 0;
    }
    return 0;
}
