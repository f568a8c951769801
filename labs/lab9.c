/* Lab 9: retry, and give up politely.   tutorial chapter 9
   RFC 5321 4.5.4.1, 6.1 | 60 minutes

   A mail server has called the next one, for one recipient, and this is how
   it went. What now?

   Will be tested: waits that grow; refusals for good; mail that is too old; a
   bounce that cannot be delivered. `make lab9` says how far you are. */

#include "lab.h"

/* code: the reply, 2yz, 4yz or 5yz; 0: nobody answered. tries: how often it
   has been tried, this time included: 1, 2, 3 ... age: seconds since the
   message came. is_bounce: it is a report itself, from <>. Returns

     TRY_DONE     the next server has it
     TRY_LATER    *wait: after so many seconds. 300 after the first try, twice
                  as long after each, but never more than 14400 (4 hours). If
                  it would be older than 5 days then, the last try is at 5
                  days.
     TRY_BOUNCE   refused for good, or it is 5 days old and still not
                  delivered: the sender is told
     TRY_DEAD     the same, but it is a bounce: nobody is told, and it is set
                  aside. (Who would be told? <> is nobody.) */
int retry(int code, int tries, long age, int is_bounce, long *wait) {
    (void)code, (void)tries, (void)age, (void)is_bounce;
    *wait = 0;
    return LAB_TODO;
}
