/* inv.h - what inv2.c and inv3.c hand in. */

#ifndef INV_H
#define INV_H

#include <stddef.h>

/* inv2.c: a text as it goes to the wire, with the end of the data; out has
   room for 2 * n + 5 octets. And the octets of in up to the end of the data,
   with it; 0: it is not there. */
size_t send_text(const char *in, size_t n, char *out);
size_t find_end(const char *in, size_t n);

/* inv3.c: what a mail server does with one message, in your order. */
enum {
    WRITE = 1,                      /* the text, into tmp/1               */
    FLUSH,                          /* tmp/1: its octets are durable      */
    RENAME,                         /* tmp/1 is queue/1 now               */
    FLUSHDIR,                       /* queue: its names are durable       */
    REPLY,                          /* 250 to the client                  */
    SEND,                           /* to the next server; it says 250    */
    REMOVE                          /* queue/1                            */
};
extern const int my_order[];        /* 0 behind the last                  */

#endif
