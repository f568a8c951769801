# make           the program: ./mail; with TLS where OpenSSL is found, without
#                it with make TLS=0
# make help      this list
# make demo      one message through four programs, no network
# make octets    every octet of it, and what it is
# make test      every test, in seconds; without network or root
# make tutorial  does the text still say what the code does, in both languages?
#                (FIX=1: mends it)
# make map       section of an RFC, function of mail.h, test, chapter
# make ch1 ch5   the exercises of chapters 1 and 5; the others are labs
# make lab1      ... lab12: how far is labs/lab1.c? CASE=9: one case; VIEW=full:
#                the demo with your function inside (labs/run has the rest)
# make grade     all of them: a table, labs/results.json, labs/results.csv
# make impostor  which of 28 bugs do your conversations catch?
# make handout   the sheet of LAB=5
# make labs      is the grader right?
# make pcapng    a capture for STUDENT=20231234; make inv1 ... inv4: how far are
#                the answers in labs/inv1.md?
# make check     compilers, standards, sanitizers, the header alone
# make interop   real programs on loopback, as far as they are installed
# make fuzz      octets nobody would send, FUZZ_SECONDS=60 for each target, or
#                TARGET="smtpd dns"; best with clang and its libFuzzer
# make soak      worlds with faults, new ones, for MINUTES=60; the first that
#                fails is printed, and how to see it again
# make mutants   is each planted bug found, and after how many worlds?
# make crash     servers under load, killed again and again
# make bench     beside Postfix, OpenSMTPD, Dovecot (root), as far as there

CC      = cc
CFLAGS  = -O2 -g
STD     = -std=c99
WARN    = -Wall -Wextra -Wconversion -Wshadow -pedantic -Wformat=2 \
          -Wno-format-nonliteral
BUILD   = $(CC) $(STD) -pthread $(WARN) $(CPPFLAGS)
# DNS messages are read by libc, or (macOS, glibc before 2.34) by -lresolv.
RESOLV  = $(shell sh .ci/resolv $(CC)) $(ICONV)
# Charsets that mail.h does not know, for mail show: libc's, or -liconv.
ICONV   = $(shell sh .ci/iconv $(CC))
# OpenSSL, where it is found; TLS=0 looks for none.
TLS     = 1
WITH    = $(eval WITH := $(if $(filter 0,$(TLS)),,$(shell sh .ci/tls $(CC) \
          $(CPPFLAGS) $(LDFLAGS))))$(WITH)

all: mail

help:
	@sed -n '/^#/!q; s/^# //; p' Makefile

mail: mail.c mail.h build/with
	$(BUILD) $(CFLAGS) -o $@ mail.c $(LDFLAGS) $(RESOLV) $(WITH)

build/test: test.c mail.c mail.h build/with
	$(BUILD) -O1 -g -o $@ test.c $(LDFLAGS) $(RESOLV) $(WITH)

# What was built with other libraries is built again.
build/with: FORCE
	@mkdir -p build
	@echo '$(WITH)' | cmp -s - $@ || echo '$(WITH)' >$@

demo: mail
	@./mail demo

octets: mail
	@./mail octets
.PHONY: octets

test: mail build/test labs
	@CC="$(CC)" ./build/test

tutorial: mail build/test
	@CC="$(CC)" $(if $(FIX),FIX=1) ./build/test lockstep

map: build/test
	@./build/test --map

ch1: mail
	@./mail demo --plain | awk -f labs/ch1.awk - labs/ch1.txt

ch5: build/ch5
	@./build/ch5

build/ch5: labs/ch5.c mail.h
	@mkdir -p build
	$(CC) $(STD) $(WARN) $(CPPFLAGS) $(CFLAGS) -o $@ labs/ch5.c

check: mail build/test
	@CC="$(CC)" sh .ci/check

interop: mail build/test
	@python3 .ci/interop

fuzz: build/test
	@TARGET="$(TARGET)" FUZZ_SECONDS="$(FUZZ_SECONDS)" sh .ci/fuzz

soak:
	@CC="$(CC)" MINUTES="$(or $(MINUTES),60)" sh .ci/soak

mutants: mail
	@CC="$(CC)" python3 .ci/mutants

crash: mail
	@python3 .ci/crash

bench: mail build/test
	@python3 .ci/bench

# The grader has all of the mail system in it: once a while to compile.
LABS    = lab1 lab2 lab3 lab4 lab5 lab6 lab7 lab8 lab9 lab10 lab11 lab12
build/labs/grade.o: mail.c mail.h labs/grade.c $(wildcard labs/*.h)
	@mkdir -p build/labs
	@$(CC) $(STD) -pthread $(CPPFLAGS) -w -O0 -g -c -o $@ labs/grade.c

$(LABS): build/labs/grade.o
	@CC="$(CC)" LINK="-pthread $(LDFLAGS) $(RESOLV)" sh labs/run $(@:lab%=%)

build/labs/grade: build/labs/grade.o labs/hand.c labs/lab.h
	@$(CC) $(STD) -pthread -o $@ labs/hand.c build/labs/grade.o $(LDFLAGS) \
	    $(RESOLV)

# The reference scores full, each impostor does not.
labs: build/labs/grade
	@build/labs/grade check

# And the stubs, as long as they are stubs, score nothing.
build/labs/check: build/labs/grade.o $(LABS:%=labs/%.c) labs/hand.c labs/lab.h
	@$(BUILD) -Wno-shadow -Ilabs -DLAB_ALL -o $@ labs/hand.c \
	    $(LABS:%=labs/%.c) build/labs/grade.o $(LDFLAGS) $(RESOLV)

stubs: build/labs/check
	@AS=stub build/labs/check impostor labs/impostor.txt | grep '^0 of 28 '
	@AS=all build/labs/check impostor .ci/impostor.txt | grep '^28 of 28 '
	@build/labs/check check
	@rm -rf build/forged; mkdir build/forged; for n in $(LABS) impostor; do printf \
	    'points 28.0 of 28.0\n' >build/forged/$$n.result; done
	@$(MAKE) -s grade FROM=build/forged 2>/dev/null | \
	    grep ' 0.0 of 148.0' >/dev/null || { \
	    echo 'grade: a result that was handed in counts'; exit 1; }
	@(echo '#include "../mail.h"'; cat labs/lab5.c) >build/forged/lab5.c
	@CC="$(CC)" FROM=build/forged sh labs/run 5 | grep 'write it' \
	    >/dev/null || { echo 'grade: a lab may include mail.h'; exit 1; }

# Table of all labs, exit code 1 unless all is right. A result that was there
# is none: only what is run now counts.
MARKED  = $(or $(FROM),labs)
grade: build/labs/grade
	@rm -f $(LABS:%="$(MARKED)"/%.result) "$(MARKED)"/impostor.result
	@link="-pthread $(LDFLAGS) $(RESOLV)"; for n in $(LABS:lab%=%); do \
	    AS= CASE= VIEW= FILE= HERE= CC="$(CC)" FROM="$(FROM)" LINK="$$link" \
	    sh labs/run $$n >/dev/null 2>&1; done; \
	if [ -f "$(MARKED)"/impostor.txt ]; then AS= build/labs/grade \
	    impostor "$(MARKED)"/impostor.txt >/dev/null; fi; \
	build/labs/grade all $(LABS) impostor

.PHONY: labs stubs grade impostor handout $(LABS)
impostor: build/labs/grade
	@build/labs/grade impostor "$(or $(FILE),$(or $(FROM),labs)/impostor.txt)"

handout: build/labs/grade
	@build/labs/grade handout "$(LAB)"

# The investigations: a capture for one student, and what he found in it.
build/labs/inv.o: mail.c mail.h labs/inv.c labs/inv.h
	@mkdir -p build/labs
	@$(CC) $(STD) -pthread $(CPPFLAGS) -w -O0 -g -c -o $@ labs/inv.c

build/labs/inv: build/labs/inv.o FORCE
	@$(CC) $(STD) -pthread -Wall -Wextra -Ilabs -o $@ \
	    $(firstword $(wildcard $(FROM)/inv2.c) labs/inv2.c) \
	    $(firstword $(wildcard $(FROM)/inv3.c) labs/inv3.c) \
	    build/labs/inv.o $(LDFLAGS) $(RESOLV)

pcapng: build/labs/inv
	@STUDENT="$(STUDENT)" SEED="$(SEED)" build/labs/inv pcapng

inv1 inv2 inv3 inv4: build/labs/inv
	@FROM="$(FROM)" STUDENT="$(STUDENT)" SEED="$(SEED)" build/labs/inv $(@:inv%=%)

inv-answers: build/labs/inv
	@STUDENT="$(STUDENT)" SEED="$(SEED)" build/labs/inv answers
.PHONY: pcapng inv1 inv2 inv3 inv4 inv-answers

clean:
	rm -rf build mail

.PHONY: FORCE all help demo test tutorial map ch1 ch5 check interop fuzz soak \
        mutants crash bench clean
