/* Lab 11: delete mode, keep mode.   tutorial chapter 11 | RFC 1939
                                     45 minutes

   Bob's client MAA takes what is new, and nothing twice. In delete mode the
   mail goes from the server, once it is safe here; in keep mode it stays, and
   the client must remember what it has. And the connection may break at any
   time.

   Will be tested: delete mode; keep mode; a connection that is cut after every
   reply, and again from the beginning: nothing may be lost, nothing be there
   twice. `make lab11` says how far you are. */

#include "lab.h"

/* What now? last: what you returned the time before, ok: whether that went well
   (+OK; STORE: it is durable). The first call has FETCH_LOGIN and 1. Returns

     FETCH_STAT   how many messages are there? (then f->count is known)
     FETCH_UIDL   what are their names? (then f->known is, for each: a UID that
                  was stored here in an earlier run is known, in both modes)
     FETCH_RETR   take message f->number
     FETCH_STORE  make what RETR brought durable here; its UID is remembered
     FETCH_DELE   mark message f->number
     FETCH_QUIT   make the marks count
     FETCH_END    over; only after QUIT

   Begin with STAT, and with UIDL if there is any message. Take the messages
   in the order of their numbers. If RETR is refused leave that one where it
   is, and go on. If STORE fails (the disk is full) take no more: QUIT, and what
   was marked before that is removed. f is new (zeros) in each run; what Bob has
   is not: that is what known is for. */
int fetch_next(fetch *f, int last, int ok) {
    (void)f, (void)last, (void)ok;
    return FETCH_END;
}
