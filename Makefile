# make           the program: ./mail
# make demo      one message through four programs, no network
# make test      every test, in seconds; without network or root
# make tutorial  does the text still say what the code does? (FIX=1: mends it)
# make check     compilers, standards, sanitizers, the header alone
# make interop   real programs on loopback, as far as they are installed
# make bench     what a message costs, in instructions (needs valgrind)

CC      = cc
CFLAGS  = -O2 -g
STD     = -std=c99
WARN    = -Wall -Wextra -Wconversion -Wshadow -pedantic -Wformat=2 \
          -Wno-format-nonliteral
BUILD   = $(CC) $(STD) $(WARN) $(CPPFLAGS)

all: mail

mail: mail.c mail.h
	$(BUILD) $(CFLAGS) -o $@ mail.c $(LDFLAGS)

build/test: test.c mail.c mail.h
	@mkdir -p build
	$(BUILD) -O1 -g -o $@ test.c $(LDFLAGS)

demo: mail
	@./mail demo

test: mail build/test
	@CC="$(CC)" ./build/test

tutorial: mail build/test
	@CC="$(CC)" $(if $(FIX),FIX=1) ./build/test lockstep

check: mail build/test
	@CC="$(CC)" sh .ci/check

interop: mail
	@python3 .ci/interop

bench: mail build/test
	@sh .ci/bench

soak:
	@MINUTES="$(or $(MINUTES),60)" sh .ci/soak

mutants:
	@CC="$(CC)" python3 .ci/mutants

clean:
	rm -rf build mail

.PHONY: all demo test tutorial check interop bench soak mutants clean
