/* Investigation 3: the order of a server's work. Tutorial chapter 8.

   Change the order, leave steps out, do some twice: `make inv3` shows what a
   power failure after each step does. In the end it should be an order in
   which no mail is ever lost, and as few as can be come twice; and the client
   must not wait for the next server (REPLY before SEND). */

#include "inv.h"

const int my_order[] = {
    WRITE, REPLY, SEND, REMOVE, FLUSHDIR, 0
};
