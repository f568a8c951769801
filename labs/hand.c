/* hand.c - hands in: with -DLAB=5 the functions of lab5.c, to the grader. It is
   compiled and linked with them; without LAB it hands in nothing. */

#include "lab.h"

#define LAB_HAND(type, name, takes) f->name = name;
#define LAB_PASTE(a, b) a##b
#define LAB_LIST(n) LAB_PASTE(LAB, n)

void lab_hand(lab_functions *f) {
#if defined(LAB_ALL)                       /* the stubs, all together */
    LABS(LAB_HAND)
#elif defined(LAB)
    LAB_LIST(LAB)(LAB_HAND)
#else
    (void)f;
#endif
}

/* For AddressSanitizer, where there is one: the grader ends its processes
   without giving memory back. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }
