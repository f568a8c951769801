/* lab.h - the functions of the labs: their names, what they take and return.
   Each labN.c includes it, and the grader does. Nothing in here is an answer.

   A list LABN(X) has a row for each function of lab N. What is written in it
   is what your function must be: the compiler compares. */

#ifndef LAB_H
#define LAB_H

#include <stddef.h>
#include <string.h>

/* What a function returns that is not written yet: it is no answer, and so
   never a right one. */
#define LAB_TODO (-1)

/* --- lab 5: dots ---------------------------------------------------------- */

typedef struct dots {
    unsigned char state;    /* yours; 0 before the first octet            */
    unsigned char end;      /* unstuff: set it when CRLF.CRLF has been seen */
} dots;

#define LAB5(X) \
    X(size_t, unstuff, (dots *d, const char *in, size_t n, char *out, \
                        size_t *made)) \
    X(size_t, stuff, (dots *d, const char *in, size_t n, char *out)) \
    X(size_t, stuff_end, (dots *d, char *out))

/* --- all of them ---------------------------------------------------------- */

#define LABS(X) LAB5(X)

#define LAB_DECLARE(type, name, takes) type name takes;
LABS(LAB_DECLARE)

/* One solution: a student's, the reference, an impostor. */
#define LAB_POINTER(type, name, takes) type (*name) takes;
typedef struct lab_functions { LABS(LAB_POINTER) } lab_functions;

/* Fills in those of the lab that was compiled (hand.c). */
void lab_hand(lab_functions *f);

#endif
