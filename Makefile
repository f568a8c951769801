# make         the program: ./mail
# make demo    one message through four programs, no network
# make test    every test, in seconds, without network or root
# make check   compilers, standards, sanitizers, the header alone
# make interop real programs on loopback, as far as they are installed
# make bench   what a message costs, in instructions (needs valgrind)

CC      = cc
CFLAGS  = -O2 -g
WARN    = -Wall -Wextra -Wconversion -Wshadow -pedantic -Wformat=2 \
          -Wno-format-nonliteral
STD     = -std=c99

all: mail

mail: mail.c mail.h
	$(CC) $(STD) $(WARN) $(CFLAGS) $(CPPFLAGS) -o $@ mail.c $(LDFLAGS)

test.bin = build/test
$(test.bin): test.c mail.c mail.h
	@mkdir -p build
	$(CC) $(STD) $(WARN) -O1 -g $(CPPFLAGS) -o $@ test.c $(LDFLAGS)

demo: mail
	@./mail demo

test: mail $(test.bin)
	@CC="$(CC)" ./$(test.bin)

clean:
	rm -rf build mail

.PHONY: all demo test check interop bench tutorial clean
