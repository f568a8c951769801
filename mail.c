/* mail.c - the mail system around mail.h: files, sockets, a virtual world,
   the demo and the command line. `main` is left out under MAIL_NO_MAIN, so
   that a project can compile this file in, and test.c include it. Under
   MAIL_NO_SYNCFS everything is flushed name by name, as on all but Linux.
   Under MAIL_TLS there is TLS, with -lssl -lcrypto (OpenSSL 1.1.1 or later).
   Under MAIL_ICONV mail show knows the charsets of libc (or -liconv).

   mail.h decides, mail.c does: below that border nothing knows what a reply
   means. The rooms, from the bottom up:

   POSIX   mail_sys on real files          WORLD  mail_sys in memory, for
   DNS     names into addresses                   the demo and the tests
   TLS     handshakes, records, certificates: OpenSSL
   NET     sockets, and the loop           CLIENT a client program's socket
   SEND    a client MTA with a message     FETCH  a client MAA with a place
   SERVE   a server for tests of others    TRACE  one list of events
   VIEWS   what is shown of it             HTML   the same, as a page
   DEMO    one message, four programs      SCENARIO what may befall it
   PLAY    be one of the programs          BENCH  a load generator, a sink
   CLI     the program; main is last

   Licence: public domain or MIT-0, see the end of mail.h. */

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE                                      /* syncfs */
#endif
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#endif
#if defined(__FreeBSD__) && !defined(__BSD_VISIBLE)
#define __BSD_VISIBLE 1                                  /* <resolv.h> */
#endif
#if defined(__NetBSD__)
#define _NETBSD_SOURCE
#endif
#if defined(__OpenBSD__)
#define _BSD_SOURCE
#endif

#if !defined(__linux__) && !defined(MAIL_NO_SYNCFS)
#define MAIL_NO_SYNCFS
#endif

#define MAIL_IMPLEMENTATION
#include "mail.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <arpa/nameser.h>
#include <resolv.h>
#ifdef MAIL_ICONV
#include <iconv.h>
#endif

#ifdef MAIL_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#endif

#ifdef MAIL_TEST           /* test.c makes each allocation fail in turn */
static void *test_alloc(void *p, size_t n, size_t zeros);
#ifdef MAIL_NO_SYNCFS
static char *test_copy(const char *s);
#undef strdup
#define strdup(s)     test_copy(s)
#endif
static void test_step(const char *what);      /* and ends at each step */
static int test_fsync(int fd);
#define fsync(fd) test_fsync(fd)
#define call_step(what) test_step(what)
#define malloc(n)     test_alloc(NULL, n, 0)
#define calloc(n, m)  test_alloc(NULL, 0, (n) * (m))
#define realloc(p, n) test_alloc(p, n, 0)
#else
#define call_step(what) ((void)0)
#endif

/* ======================================================================
   [POSIX] mail_sys on real files                                   ch.8
   A machine is one directory, its lock, its sockets. Every name is taken
   relative to the open directory; a file is never a symbolic link.
   ====================================================================== */

typedef struct flush_ask flush_ask;
struct flush_ask {                  /* something to be made durable */
    int   file;                     /* -1: the directory name       */
    char  dir[MAIL_NAME_SIZE];      /* "": everything               */
    void *ticket;
    /* and of the real machine: */
    int   shares;                   /* it may be done with others   */
    mail_err e;                     /* how it went                  */
    flush_ask *next;
    /* and of the virtual one: */
    int64_t at;                     /* when it is told              */
    int   early;                    /* it is done already           */
};

typedef struct flush_list { flush_ask *first, **end; } flush_list;

typedef struct dns_query dns_query;

typedef struct tls_wire tls_wire;
typedef struct ssl_ctx_st tls_keys;     /* OpenSSL's SSL_CTX: what all share */
static void tls_keys_free(tls_keys *k);

typedef struct wire {               /* a socket, by its number */
    mail_conn *conn;
    int connecting;                 /* not answered yet             */
    tls_wire *tls;                       /* what runs on it, or is made  */
    dns_query *query;               /* or it is one to a name server */
    int64_t warm; int listed;       /* see wire_warm                 */
} wire;

typedef struct net_address {
    struct sockaddr_storage at;
    socklen_t n;
} net_address;

typedef struct dns_entry {          /* an answer that is kept a while */
    char name[MAIL_DOMAIN_SIZE];    /* "": free */
    int type;
    int64_t until;
    mail_err e;
    mail_rr *rr; size_t n;
} dns_entry;

enum { DNS_SERVERS = 3, DNS_ENTRIES = 256 };

typedef struct dns {
    net_address servers[DNS_SERVERS];
    size_t nservers;                /* 0: sealed, and none is loopback */
    int chosen;                     /* by --resolver                  */
    dns_query *queries;
    dns_entry *entries;             /* DNS_ENTRIES of them, or NULL    */
} dns;

typedef struct name_list { char **p; size_t n, cap; int lost; } name_list;

typedef struct machine {
    int dir, lock, unsealed;
    mail_server *server;
    dns dns;
    flush_list asks;                /* of this turn                       */
    flush_list waiting;             /* for the next flush of everything   */
    flush_list begun;               /* for the one under way              */
    int flusher;                    /* its thread: 1 runs, -1 cannot, 0
                                       was not needed yet                 */
    pthread_t thread;
    int to_thread, in_thread;       /* one wire: the loop's end, its end  */
    mail_err beside;                /* the loop's part in the one begun   */
#ifdef MAIL_NO_SYNCFS
    name_list touched;              /* since the last flush of everything */
    name_list flushing;             /* the list of the one under way      */
    char **open; size_t nopen;      /* names of files, by number          */
#endif
    wire *wires; size_t nwires;
    tls_keys *tls_server, *tls_client;  /* or NULL: no TLS                */
    struct pollfd *polls; size_t polls_cap;
    int *warm; size_t nwarm, warm_cap;  /* wires: see wire_warm     */
    int64_t look;                   /* when all are looked at again */
    int64_t full_until;             /* no sockets left: accept later */
} machine;

static mail_err errno_err(void) {
    switch (errno) {
    case ENOENT: return MAIL_ERR_NOTFOUND;
    case EEXIST: return MAIL_ERR_EXISTS;
    case ENOSPC: return MAIL_ERR_NOSPACE;
#ifdef EDQUOT
    case EDQUOT: return MAIL_ERR_NOSPACE;
#endif
    case ENOMEM: return MAIL_ERR_NOMEM;
    default:     return MAIL_ERR_IO;
    }
}

static int64_t sys_clock(void *ctx) {
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Seconds since 1970, and how far east of UTC we are. tm_gmtoff is not
   everywhere: the two broken-down times are compared instead. */
static int64_t sys_time(void *ctx, int *zone) {
    time_t now = time(NULL);
    struct tm g, l;
    int days;
    (void)ctx;
    gmtime_r(&now, &g);
    localtime_r(&now, &l);
    days = l.tm_year != g.tm_year ? (l.tm_year > g.tm_year ? 1 : -1)
                                  : l.tm_yday - g.tm_yday;
    *zone = days * 1440 + (l.tm_hour - g.tm_hour) * 60 + l.tm_min - g.tm_min;
    return (int64_t)now;
}

static int random_fill(void *p, size_t n) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    char *at = p;
    while (n && fd >= 0) {
        ssize_t k = read(fd, at, n);
        if (k <= 0) break;
        at += k;
        n -= (size_t)k;
    }
    if (fd >= 0) close(fd);
    return n == 0;
}

static void sys_random(void *ctx, void *p, size_t n) {
    (void)ctx;
    if (!random_fill(p, n)) {       /* better no server than a guessable one */
        fprintf(stderr, "mail: /dev/urandom cannot be read: no random "
                        "numbers, so no safe names\n");
        exit(1);
    }
}

static void *sys_alloc(void *ctx, void *p, size_t n) {
    (void)ctx;
    if (n == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, n);
}

/* On macOS fsync only hands the data to the drive. */
static int fsync_full(int fd) {
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
    return fsync(fd);
}

/* The content of a file and its size. fsync would commit a mere time stamp,
   too. */
static int fsync_data(int fd) {
#if !defined(F_FULLFSYNC) && (defined(__linux__) || \
    (defined(_POSIX_SYNCHRONIZED_IO) && _POSIX_SYNCHRONIZED_IO > 0))
    return fdatasync(fd);
#else
    return fsync_full(fd);
#endif
}

/* --- flushes: what is asked ---------------------------------------------- */

static void flush_put(flush_list *l, flush_ask *a) {
    if (l->first == NULL) l->end = &l->first;
    a->next = NULL;
    *l->end = a;
    l->end = &a->next;
}

/* Noted now, done at the end of this turn of the loop: see flush_all. */
static mail_err disk_flush(void *ctx, int file, const char *dir,
                           void *ticket) {
    machine *m = ctx;
    flush_ask *a = calloc(1, sizeof *a);
    if (a == NULL) return MAIL_ERR_NOMEM;
    a->file = file;
    a->ticket = ticket;
    if (file < 0 && dir) mail_copy(a->dir, sizeof a->dir, mail_s(dir));
    /* What is opened to be read, too, is written in place again and again,
       and does not wait for others. MAIL_OPEN_NEW is to write only. */
    a->shares = file < 0 || (fcntl(file, F_GETFL) & O_ACCMODE) == O_WRONLY;
    flush_put(&m->asks, a);
    return MAIL_ERR_OK;
}

/* --- flushes: everything ------------------------------------------------- */

#ifndef MAIL_NO_SYNCFS

static mail_err flush_everything(machine *m) {
    return syncfs(m->dir) == 0 ? MAIL_ERR_OK : errno_err();
}

static void touch(machine *m, const char *name) { (void)m, (void)name; }
static void touch_open(machine *m, int fd, const char *name) {
    (void)m, (void)fd, (void)name;
}
static void touch_link(machine *m, const char *to) { touch(m, to); }
static void touch_rename(machine *m, const char *from, const char *to) {
    (void)m, (void)from, (void)to;
}
static void names_take(machine *m) { (void)m; }
static void names_free(machine *m) { (void)m; }

#else
/* Without syncfs, "everything" is a list: the names that have come or gone
   since the last such flush began, and what is open to be written. Their
   files are flushed, and the directories that they are in. A list that gets
   long is flushed though nobody has asked. */
enum { NAMES_MAX = 10000 };

static void touch(machine *m, const char *name) {
    name_list *l = &m->touched;
    char **p = l->p;
    if (l->n == l->cap && (p = realloc(p, (l->n * 2 + 64) * sizeof *p))) {
        l->p = p;
        l->cap = l->n * 2 + 64;
    }
    if (p == NULL || (p[l->n] = strdup(name)) == NULL) l->lost = 1;
    else if (++l->n == NAMES_MAX) disk_flush(m, -1, NULL, NULL);
}

/* The file has that name, while it is open; NULL: it is closed. */
static void touch_open(machine *m, int fd, const char *name) {
    size_t n = (size_t)fd + 1;
    char **p = m->open;
    if (name == NULL && n > m->nopen) return;
    if (n > m->nopen && (p = realloc(p, n * sizeof *p)) != NULL) {
        memset(p + m->nopen, 0, (n - m->nopen) * sizeof *p);
        m->open = p;
        m->nopen = n;
    }
    if (p) {
        free(p[fd]);
        p[fd] = name ? strdup(name) : NULL;
    }
    if (name && (p == NULL || p[fd] == NULL)) m->touched.lost = 1;
}

static mail_err name_flush(int dir, const char *name) {
    mail_err e = MAIL_ERR_OK;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
                               O_NONBLOCK);
    if (fd < 0) return errno == ENOENT ? MAIL_ERR_OK : errno_err();
    if (fsync(fd)) e = errno_err();
    close(fd);
    return e;
}

/* A file has got another name. A flush of everything that is under way may
   look for the old one when that is gone: so the file is flushed here. */
static void touch_link(machine *m, const char *to) {
    mail_err e = m->begun.first ? name_flush(m->dir, to) : MAIL_ERR_OK;
    if (e) m->beside = e;
    touch(m, to);
}

static void touch_rename(machine *m, const char *from, const char *to) {
    size_t i;
    touch_link(m, to);
    touch(m, from);
    for (i = 0; i < m->nopen; i++)
        if (m->open[i] && strcmp(m->open[i], from) == 0)
            touch_open(m, (int)i, to);
}

/* The next flush of everything takes the list. What is open may be written
   after that, and so is in the new one, too. */
static void names_take(machine *m) {
    size_t i;
    m->flushing = m->touched;
    memset(&m->touched, 0, sizeof m->touched);
    for (i = 0; i < m->nopen; i++)
        if (m->open[i]) touch(m, m->open[i]);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Flushes each of them once. What is gone needs no flush. */
static mail_err names_flush(int dir, name_list *l) {
    mail_err all = MAIL_ERR_OK, e;
    size_t i;
    if (l->n) qsort(l->p, l->n, sizeof *l->p, by_name);
    for (i = 0; i < l->n; i++) {
        if (i && strcmp(l->p[i - 1], l->p[i]) == 0) continue;
        e = name_flush(dir, l->p[i]);
        if (e) all = e;
    }
    return all;
}

/* The files first, then their directories; then once more for the drive. */
static mail_err flush_everything(machine *m) {
    name_list *l = &m->flushing;
    mail_err files = names_flush(m->dir, l), dirs;
    size_t i;
    for (i = 0; i < l->n; i++) {
        char *slash = strrchr(l->p[i], '/');
        if (slash) *slash = 0;
        else mail_copy(l->p[i], 2, mail_s("."));
    }
    dirs = names_flush(m->dir, l);
    if (!dirs && fsync_full(m->dir)) dirs = errno_err();
    if (l->lost) dirs = MAIL_ERR_NOMEM;
    for (i = 0; i < l->n; i++) free(l->p[i]);
    free(l->p);
    memset(l, 0, sizeof *l);
    return files ? files : dirs;
}

static void names_free(machine *m) {
    size_t i;
    for (i = 0; i < m->touched.n; i++) free(m->touched.p[i]);
    for (i = 0; i < m->nopen; i++) free(m->open[i]);
    free(m->touched.p);
    free(m->open);
}
#endif

/* --- files --------------------------------------------------------------- */

static int disk_open(void *ctx, const char *name, int how) {
    machine *m = ctx;
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
                (how == MAIL_OPEN_NEW ? O_WRONLY | O_CREAT | O_EXCL :
                 how == MAIL_OPEN_BOTH ? O_RDWR | O_CREAT : O_RDONLY);
    int fd = openat(m->dir, name, flags, 0600);
    struct stat st;
    /* A mailbox may hold what others put there: a pipe would never end. */
    if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
        close(fd);
        return -1 - (int)MAIL_ERR_IO;
    }
    if (fd < 0) return -1 - (int)errno_err();
    if (how != MAIL_OPEN_READ) touch(m, name);
    touch_open(m, fd, how != MAIL_OPEN_READ ? name : NULL);
    return fd;
}

/* Less than asked for is the end of the file; a bad place on the disk is an
   error wherever it is. */
static int64_t disk_read(void *ctx, int file, int64_t at, void *p,
                         size_t n) {
    size_t got = 0;
    (void)ctx;
    while (got < n) {
        ssize_t k = pread(file, (char *)p + got, n - got,
                          (off_t)at + (off_t)got);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        if (k == 0) break;
        got += (size_t)k;
    }
    return (int64_t)got;
}

static mail_err disk_write(void *ctx, int file, int64_t at, const void *p,
                           size_t n) {
    const char *from = p;
    (void)ctx;
    while (n) {
        ssize_t k = pwrite(file, from, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return errno_err();
        from += k;
        at += k;
        n -= (size_t)k;
    }
    return MAIL_ERR_OK;
}

static mail_err disk_close(void *ctx, int file) {
    touch_open(ctx, file, NULL);
    return close(file) == 0 || errno == EINTR ? MAIL_ERR_OK : errno_err();
}

/* Without replace a name that exists must stay what it is. Linux has a rename
   for that; elsewhere link refuses where rename would overwrite, and a file
   system without links gets rename. */
static mail_err disk_rename(void *ctx, const char *from, const char *to,
                            int replace) {
    machine *m = ctx;
#ifdef RENAME_NOREPLACE
    if (!replace && renameat2(m->dir, from, m->dir, to,
                              RENAME_NOREPLACE) == 0) replace = -1;
    else if (!replace && errno == EEXIST) return MAIL_ERR_EXISTS;
#endif
    if (!replace) {
        if (linkat(m->dir, from, m->dir, to, 0) == 0) {
            /* It has its name. An old one that stays is swept up later. */
            unlinkat(m->dir, from, 0);
            touch_rename(m, from, to);
            return MAIL_ERR_OK;
        }
        if (errno == EEXIST || errno == ENOENT || errno == ENOSPC)
            return errno_err();
    }
    if (replace >= 0 && renameat(m->dir, from, m->dir, to))
        return errno_err();
    touch_rename(m, from, to);
    return MAIL_ERR_OK;
}

static mail_err disk_link(void *ctx, const char *from, const char *to) {
    machine *m = ctx;
    if (linkat(m->dir, from, m->dir, to, 0)) return errno_err();
    touch_link(m, to);
    return MAIL_ERR_OK;
}

static int64_t disk_space(void *ctx) {
    machine *m = ctx;
    struct statvfs st;
    if (fstatvfs(m->dir, &st)) return -1;
    return (int64_t)st.f_bavail * (int64_t)st.f_frsize;
}

static mail_err disk_remove(void *ctx, const char *name) {
    machine *m = ctx;
    if (unlinkat(m->dir, name, 0)) return errno_err();
    touch(m, name);
    return MAIL_ERR_OK;
}

static mail_err disk_mkdir(void *ctx, const char *name) {
    machine *m = ctx;
    if (mkdirat(m->dir, name, 0700))
        return errno == EEXIST ? MAIL_ERR_OK : errno_err();
    touch(m, name);
    return MAIL_ERR_OK;
}

static mail_err disk_list(void *ctx, const char *dir,
                          void (*each)(void *arg, const char *name),
                          void *arg) {
    machine *m = ctx;
    int fd = openat(m->dir, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                 O_NOFOLLOW);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    if (d == NULL) {
        mail_err err = errno_err();
        if (fd >= 0) close(fd);
        return err;
    }
    while ((e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            each(arg, e->d_name);
    closedir(d);
    return MAIL_ERR_OK;
}

/* --- flushes: how it is done ---------------------------------------------

   The loop itself flushes a file or two: nothing is faster, and nobody waits
   long for it. A flush of everything may take 150 ms; a thread does it, and
   the loop looks for the answer at the end of its turns. Who asks for one
   meanwhile shares the next: what was written after a flush had begun may
   not be in it. */

/* Each directory once: one of those done may have been the same. */
static mail_err flush_one(machine *m, const flush_ask *done,
                          const flush_ask *a) {
    mail_err e = MAIL_ERR_OK;
    int fd;
    if (a->file >= 0) return fsync_data(a->file) ? errno_err() : MAIL_ERR_OK;
    for (; done; done = done->next)
        if (done->file < 0 && strcmp(done->dir, a->dir) == 0) return done->e;
    fd = openat(m->dir, a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                O_NOFOLLOW);
    if (fd < 0 || fsync_full(fd)) e = errno_err();
    if (fd >= 0) close(fd);
    return e;
}

/* The thread. An octet comes, everything is flushed, and an octet goes back
   and says how that went. Whoever has the octet has m->flushing, too; no
   more is shared, and so there is no lock. */
static void *flusher_run(void *arg) {
    machine *m = arg;
    char c;
    while (read(m->in_thread, &c, 1) == 1) {
        c = (char)flush_everything(m);
        if (write(m->in_thread, &c, 1) != 1) break;
    }
    return NULL;
}

/* Signals are the caller's, never the thread's. */
static int thread_start(pthread_t *thread, void *(*run)(void *), void *arg) {
    sigset_t all, old;
    int e;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e == 0;
}

static int flusher_start(machine *m) {
    int fd[2];
    if (m->flusher) return m->flusher > 0;
    m->flusher = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) return 0;
    fcntl(fd[0], F_SETFD, FD_CLOEXEC);
    fcntl(fd[1], F_SETFD, FD_CLOEXEC);
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    m->to_thread = fd[0];
    m->in_thread = fd[1];
    if (thread_start(&m->thread, flusher_run, m)) return m->flusher = 1;
    close(fd[0]);
    close(fd[1]);
    return 0;
}

/* After the flush under way, if there is one. */
static void flusher_stop(machine *m) {
    if (m->flusher <= 0) return;
    close(m->to_thread);
    pthread_join(m->thread, NULL);
    close(m->in_thread);
}

static void flush_tell(machine *m, flush_ask *a) {
    while (a) {
        flush_ask *next = a->next;
        if (a->ticket) mail_server_flushed(m->server, a->ticket, a->e);
        free(a);
        a = next;
    }
}

static void flush_end(machine *m, mail_err e) {
    flush_ask *done = m->begun.first, *a;
    for (a = done; a; a = a->next) a->e = e ? e : m->beside;
    m->begun.first = NULL;
    m->beside = MAIL_ERR_OK;
    flush_tell(m, done);
}

/* A flush of everything for all who wait. Without a thread the loop has to
   do it. */
static void flush_begin(machine *m) {
    m->begun = m->waiting;
    m->waiting.first = NULL;
    names_take(m);
    if (!flusher_start(m) || write(m->to_thread, "", 1) != 1)
        flush_end(m, flush_everything(m));
}

/* Nobody is there to be told. */
static void flush_drop(flush_list *l) {
    while (l->first) {
        flush_ask *a = l->first;
        l->first = a->next;
        free(a);
    }
}

/* Is something asked, or under way? */
static int flush_busy(const machine *m) {
    return m->asks.first || m->waiting.first || m->begun.first;
}

/* The end of a turn. One flush of everything costs about what two of single
   files do: three and more share it. Who is told of that by the thread may
   ask again in this turn; who is told at the end, in the next. */
static void flush_all(machine *m) {
    flush_list now = { NULL, NULL };
    flush_ask *asks, *a;
    size_t n = 0;
    char e;
    if (m->begun.first && read(m->to_thread, &e, 1) == 1)
        flush_end(m, (mail_err)e);
    asks = m->asks.first;
    m->asks.first = NULL;
    if (m->dir < 0) {               /* no disk, nothing to wait for */
        flush_tell(m, asks);
        return;
    }
    for (a = asks; a; a = a->next) n += (size_t)a->shares;
    while ((a = asks) != NULL) {
        int all = a->file < 0 && a->dir[0] == 0;
        asks = a->next;
        if (!all && !(n >= 3 && a->shares)) {
            a->e = flush_one(m, now.first, a);
            flush_put(&now, a);
        } else {
            if (!all && a->file < 0) touch(m, a->dir);
            flush_put(&m->waiting, a);
        }
    }
    if (m->waiting.first && !m->begun.first) flush_begin(m);
    flush_tell(m, now.first);
}

/* Turns without sockets, so many at most, until all is flushed. */
static void flush_rest(machine *m, int turns) {
    while (turns--) {
        struct pollfd p = { -1, POLLIN, 0 };
        mail_server_tick(m->server);
        if (!flush_busy(m)) break;
        flush_all(m);
        p.fd = m->to_thread;
        if (m->begun.first) poll(&p, 1, -1);
    }
}

#ifdef MAIL_NO_SYNCFS
static int disk_check(machine *m) { return m != NULL; }     /* by name */
#else
/* One syncfs is for one file system: is everything on it? */
static int disk_is_one(machine *m, const char *dir, const char *name) {
    char path[2 * MAIL_NAME_SIZE];
    struct stat st, top;
    snprintf(path, sizeof path, "%s/%.200s", dir, name);
    if (fstat(m->dir, &top) || fstatat(m->dir, path, &st, 0) ||
        st.st_dev == top.st_dev) return 1;
    fprintf(stderr, "mail serve: %s is on another disk than the directory it "
            "is in: both must be on one, for one flush makes both durable\n",
            path);
    return 0;
}

typedef struct disk_scan { machine *m; int ok; } disk_scan;

static void disk_one_user(void *arg, const char *name) {
    disk_scan *s = arg;
    char dir[MAIL_NAME_SIZE];
    snprintf(dir, sizeof dir, "mail/%.200s", name);
    s->ok &= disk_is_one(s->m, "mail", name) && disk_is_one(s->m, dir, "new") &&
             disk_is_one(s->m, dir, "tmp");
}

static int disk_check(machine *m) {
    disk_scan s;
    s.m = m;
    s.ok = disk_is_one(m, ".", "mail") && disk_is_one(m, ".", "queue");
    if (s.ok) disk_list(m, "mail", disk_one_user, &s);
    return s.ok;
}
#endif

/* DIR, made if need be, for that owner: its own name is durable, too. */
static int dir_make(const char *dir, const struct passwd *owner) {
    int fd, up;
    if (mkdir(dir, 0700)) {
        if (errno == EEXIST) return 1;
        fprintf(stderr, "mail: the directory %s cannot be made: %s\n", dir,
                strerror(errno));
        return 0;
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    up = fd < 0 ? -1 : openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && owner && fchown(fd, owner->pw_uid, owner->pw_gid))
        fprintf(stderr, "mail: the directory %s cannot be given to %s: %s\n",
                dir, owner->pw_name, strerror(errno));
    if (up >= 0) fsync_full(up);
    if (up >= 0) close(up);
    if (fd >= 0) close(fd);
    return 1;
}

/* --- root ----------------------------------------------------------------- */

/* For good: the groups first, while that is allowed, the user last; and then
   it is tried whether there is a way back. */
static int root_leave(const char *name, uid_t uid, gid_t gid) {
    if ((name ? initgroups(name, gid) : setgroups(1, &gid)) == 0 &&
        setgid(gid) == 0 && setuid(uid) == 0 &&
        setuid(0) && seteuid(0) && getuid() == uid && geteuid() == uid &&
        getgid() == gid && getegid() == gid && (gid == 0 || setgid(0)))
        return 1;
    fprintf(stderr, "mail: root cannot be given up: %s\n", strerror(errno));
    return 0;
}

static const struct passwd *root_find(const char *user) {
    const struct passwd *w = getpwnam(user);
    if (w && w->pw_uid && (!geteuid() || w->pw_uid == geteuid())) return w;
    fprintf(stderr, "mail: --run-as %s: %s\n", user, w == NULL ?
            "there is no such user" : w->pw_uid == 0 ?
            "that is root: name somebody else" :
            "only root can become somebody else");
    return NULL;
}

/* Whoever starts this as root, for ports under 1024 or in a container, works
   in DIR as its owner: nothing there is opened, made or followed as root. user
   is who that must be, or NULL. Returns 1 when root is given up, or nobody
   had it; -1 if DIR is root's own; 0 and a line on stderr. */
static int root_give_up(const char *dir, const char *user) {
    const struct passwd *w = user ? root_find(user) : NULL;
    char name[100];
    struct stat st;
    if (user && w == NULL) return 0;
    if (geteuid() != 0) return 1;
    if (user && !dir_make(dir, w)) return 0;
    if (stat(dir, &st)) return -1;                 /* whoever opens it says */
    if (user && st.st_uid != w->pw_uid) {
        fprintf(stderr, "mail: --run-as %s: %s is not theirs: chown -R %s "
                "%s\n", user, dir, user, dir);
        return 0;
    }
    if (st.st_uid == 0) return -1;
    if (w == NULL) w = getpwuid(st.st_uid);
    snprintf(name, sizeof name, "%s", w ? w->pw_name : "");
    return root_leave(w ? name : NULL, st.st_uid, w ? w->pw_gid : st.st_gid);
}

/* Opens DIR, makes it if need be, and locks it: one server to a directory.
   0 and a line on stderr if it cannot be. */
static int machine_open(machine *m, const char *dir) {
    struct flock l;
    memset(m, 0, sizeof *m);
    m->lock = m->dir = -1;
    if (!dir_make(dir, NULL)) return 0;
    m->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->dir >= 0)
        m->lock = openat(m->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (m->lock < 0) {
        fprintf(stderr, "mail: the directory %s cannot be written: %s; "
                "name another one with --dir\n", dir, strerror(errno));
        return 0;
    }
    memset(&l, 0, sizeof l);
    l.l_type = F_WRLCK;
    l.l_whence = SEEK_SET;
    if (fcntl(m->lock, F_SETLK, &l)) {
        fprintf(stderr, "mail: another server uses %s; stop it, or name "
                "another directory with --dir\n", dir);
        return 0;
    }
    return 1;
}

static void machine_close(machine *m) {
    flusher_stop(m);                   /* under the lock still */
    if (m->lock >= 0) close(m->lock);
    flush_drop(&m->asks);
    flush_drop(&m->waiting);
    flush_drop(&m->begun);
    names_free(m);
    if (m->dir >= 0) close(m->dir);
    tls_keys_free(m->tls_server);
    tls_keys_free(m->tls_client);
    free(m->wires);
    free(m->polls);
    free(m->warm);
}

/* ======================================================================
   [DNS] names into addresses        RFC 1035, 3596, 5452; RFC 5321 5 | ch.9

   A question goes to a name server in one datagram (UDP), and one comes
   back, or does not: then the next server is asked. An answer that is too
   long for a datagram says so, and the question is put again over TCP. The
   loop waits for both as it waits for mail: nothing here blocks.

       octets  2    2     2 2 2 2   ...        2    2
             | id | flags | counts | question: | type | class | records ...
                                     3 m x 1 7 e x a m p l e 0

   Whoever guesses the id, the port that we asked from and the question can
   send us an answer of his own before the real one comes, and with it all
   our mail to where he likes. So id and port are random, new in every try;
   the socket takes nothing but from the server that was asked; and what does
   not answer just this question is not read further.
   ====================================================================== */

/* --- sockets and addresses ---------------------------------------------- */

static int is_loopback(const struct sockaddr *a) {
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, a, sizeof in6);
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    return 0;
}

/* "127.0.0.1" or "::1", and the port. */
static int address_text(const struct sockaddr *a, socklen_t n, char *text,
                        size_t cap) {
    char port[16] = "0";
    if (getnameinfo(a, n, text, (socklen_t)cap, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV)) mail_copy(text, cap,
                                                                mail_s("?"));
    return atoi(port);
}

static void socket_ready(int fd) {
    int on = 1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* Else a small reply waits 40 ms for company. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static int64_t net_recv(void *ctx, int fd, void *p, size_t n) {
    ssize_t k;
    (void)ctx;
    do k = recv(fd, p, n, 0); while (k < 0 && errno == EINTR);
    if (k >= 0) return k;
    return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : -2;
}

static int64_t net_send(void *ctx, int fd, const void *p, size_t n) {
    ssize_t k;
    (void)ctx;
    do k = send(fd, p, n, MSG_NOSIGNAL); while (k < 0 && errno == EINTR);
    if (k >= 0) return k;
    return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : -2;
}

static wire *wire_of(machine *m, int fd) {
    if ((size_t)fd >= m->nwires) {
        size_t n = (size_t)fd + 64;
        wire *w = realloc(m->wires, n * sizeof *w);
        if (w == NULL) return NULL;
        memset(w + m->nwires, 0, (n - m->nwires) * sizeof *w);
        m->wires = w;
        m->nwires = n;
    }
    return &m->wires[fd];
}

/* A thousand clients that are silent must cost the one that is not as good
   as nothing, and poll goes through all that it is given. So in each turn it
   is given those that moved in the last tenth of a second, and all of them
   only every ten milliseconds; or at once, when none has moved. */
enum { WIRE_WARM = 100, WIRE_LOOK = 10 };

/* It has moved: it is looked at in each turn. */
static void wire_warm(machine *m, int fd) {
    wire *w = wire_of(m, fd);
    if (w == NULL) return;
    w->warm = sys_clock(NULL) + WIRE_WARM;
    if (w->listed) return;
    if (m->nwarm == m->warm_cap) {
        int *p = realloc(m->warm, (m->warm_cap + 64) * sizeof *p);
        if (p == NULL) {
            m->look = 0;
            return;
        }
        m->warm = p;
        m->warm_cap += 64;
    }
    m->warm[m->nwarm++] = fd;
    w->listed = 1;
}

static int address_set(net_address *a, const char *host, int port) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memset(a, 0, sizeof *a);
    memset(&v4, 0, sizeof v4);
    memset(&v6, 0, sizeof v6);
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons((uint16_t)port);
        memcpy(&a->at, &v4, a->n = sizeof v4);
    } else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons((uint16_t)port);
        memcpy(&a->at, &v6, a->n = sizeof v6);
    }
    return a->n > 0;
}

/* "192.0.2.1:25", "[2001:db8::1]:25", ":25", "25"; an address alone, too, if
   there is a port to go with it. Never a name. */
static int address_read(net_address *a, mail_str s, int port) {
    char host[64];
    mail_str h;
    if (port && mail_copy(host, sizeof host, s) && address_set(a, host, port))
        return 1;
    if (mail_host_port(s, &h, &port) || !mail_copy(host, sizeof host, h))
        return 0;
    return address_set(a, host[0] ? host : "127.0.0.1", port);
}

/* A socket that is connected, or about to be; the system chooses its port,
   at random. -1: it cannot be. */
static int socket_to(const net_address *a, int type) {
    int fd = socket(a->at.ss_family, type, 0);
    if (fd < 0) return -1;
    socket_ready(fd);
    if (connect(fd, (const struct sockaddr *)&a->at, a->n) == 0 ||
        errno == EINPROGRESS) return fd;
    close(fd);
    return -1;
}

/* --- messages ----------------------------------------------------------- */

enum { DNS_RECORDS = 100, DNS_LINKS = 8, DNS_CNAME = 5, DNS_IN = 1 };

typedef struct dns_answer {
    mail_err e;                     /* OK, NOTFOUND; TEMPFAIL: not its day  */
    int cut;                        /* it is longer: ask again over TCP     */
    int moved;                      /* a CNAME led away from the name,      */
    char name[MAIL_DOMAIN_SIZE];    /* to this one                          */
    int64_t ttl;                    /* s for which all of this is true      */
    mail_rr rr[DNS_RECORDS]; size_t n; /* more than that are not looked at  */
} dns_answer;

typedef struct dns_reader {
    const unsigned char *begin, *at, *end;
    int bad;                        /* something ends beyond the end */
} dns_reader;

static uint32_t dns_number(dns_reader *r, int octets) {
    uint32_t v = 0;
    if (r->end - r->at < octets) {
        r->bad = 1;
        return 0;
    }
    while (octets--) v = v << 8 | *r->at++;
    return v;
}

/* Are there octets in a name that stand in no host's? libc may write them as
   they are (musl), and a NUL would end the name early. */
static int dns_odd(const dns_reader *r) {
    const unsigned char *p = r->at;
    int jumps = 0, i;
    while (p < r->end && *p && jumps < 128) {
        int n = *p, left = (int)(r->end - p) - 1;
        if (n >= 192 && left > 0) {
            int to = (n & 63) << 8 | p[1];
            if (to >= r->end - r->begin) return 1;
            p = r->begin + to;
            jumps++;
            continue;
        }
        if (n > left) return 1;
        for (i = 1; i <= n; i++)
            if (p[i] <= 32 || p[i] >= 127 || p[i] == '.') return 1;
        p += n + 1;
    }
    return 0;
}

/* A name may point back to where its rest stands, and a hostile one to
   itself: dn_expand sees to that. What is no name of a host becomes "?". */
static void dns_name(dns_reader *r, char name[MAIL_DOMAIN_SIZE]) {
    char text[1025];
    int n = r->bad ? -1 : dn_expand(r->begin, r->end, r->at, text,
                                    (int)sizeof text);
    name[0] = 0;
    if (n < 0) r->bad = 1;
    else {
        int odd = dns_odd(r);
        r->at += n;
        if (odd || !mail_copy(name, MAIL_DOMAIN_SIZE, mail_s(text)))
            mail_copy(name, MAIL_DOMAIN_SIZE, mail_s("?"));
    }
}

/* The octets of a question; 0 if this cannot be a name in the DNS. */
static size_t dns_question(unsigned char *to, size_t cap, unsigned id,
                           const char *name, int type) {
    int n = res_mkquery(0, name, DNS_IN, type, NULL, 0, NULL, to, (int)cap);
    if (n < 12) return 0;
    to[0] = (unsigned char)(id >> 8);
    to[1] = (unsigned char)id;
    to[2] = 1;                      /* please ask others (RD); no more flags */
    to[3] = 0;
    return (size_t)n;
}

/* One record: is it one of those wanted, or a CNAME of the name? */
static void dns_record(dns_reader *r, int type, dns_answer *a,
                       char next[MAIL_DOMAIN_SIZE]) {
    char owner[MAIL_DOMAIN_SIZE];
    const unsigned char *data;
    mail_rr *rr = &a->rr[a->n];
    int64_t ttl;
    int rtype, class, size, ours;
    dns_name(r, owner);
    rtype = (int)dns_number(r, 2);
    class = (int)dns_number(r, 2);
    ttl = (int64_t)dns_number(r, 4);
    size = (int)dns_number(r, 2);
    data = r->at;
    if (r->bad || r->end - data < size) {
        r->bad = 1;
        return;
    }
    ours = class == DNS_IN && mail_ieq(mail_s(owner), mail_s(a->name));
    if (ours && rtype == DNS_CNAME && type != DNS_CNAME) dns_name(r, next);
    else if (ours && rtype == type && a->n < DNS_RECORDS) {
        memset(rr, 0, sizeof *rr);
        rr->type = type;
        if (type == MAIL_RR_MX) {
            rr->preference = (int)dns_number(r, 2);
            dns_name(r, rr->data);
        } else if (size != (type == MAIL_RR_A ? 4 : 16)) r->bad = 1;
        else inet_ntop(type == MAIL_RR_A ? AF_INET : AF_INET6, data,
                       rr->data, sizeof rr->data);
        a->n++;
    } else ours = 0;
    if (ours && ttl > INT32_MAX) ttl = 0;                /* RFC 2181 8 */
    if (ours && ttl < a->ttl) a->ttl = ttl;
    if (r->at > data + size) r->bad = 1;
    r->at = data + size;
}

/* The records of a name, wherever it really is: each CNAME is one more look
   through all of them, so their order does not matter. */
static void dns_records(dns_reader *r, unsigned count, const char *name,
                        int type, dns_answer *a) {
    const unsigned char *begin = r->at;
    char next[MAIL_DOMAIN_SIZE];
    unsigned i, links;
    mail_copy(a->name, sizeof a->name, mail_s(name));
    for (links = 0; !r->bad; links++) {
        next[0] = 0;
        r->at = begin;
        for (i = 0; i < count && !r->bad; i++)
            dns_record(r, type, a, next);
        if (a->n || next[0] == 0) return;
        if (links == DNS_LINKS) a->e = MAIL_ERR_TEMPFAIL;    /* a circle */
        if (a->e) return;
        memcpy(a->name, next, sizeof next);
        a->moved = 1;
    }
}

/* Reads a message. PROTOCOL: it is no answer to this question, or broken; it
   may be a forgery, and the real one may still come. */
static mail_err dns_read(const unsigned char *p, size_t n, unsigned id,
                         const char *name, int type, dns_answer *a) {
    char asked[MAIL_DOMAIN_SIZE];
    unsigned flags, questions, count, rcode;
    dns_reader r;
    memset(a, 0, offsetof(dns_answer, rr));
    a->n = 0;
    a->ttl = INT32_MAX;
    r.begin = r.at = p;
    r.end = p + n;
    r.bad = 0;
    if (dns_number(&r, 2) != id) return MAIL_ERR_PROTOCOL;
    flags = dns_number(&r, 2);
    questions = dns_number(&r, 2);
    count = dns_number(&r, 2);
    dns_number(&r, 4);
    dns_name(&r, asked);
    if ((int)dns_number(&r, 2) != type || dns_number(&r, 2) != DNS_IN ||
        r.bad || (flags & 0xf800) != 0x8000 || questions != 1 ||
        !mail_ieq(mail_s(asked), mail_s(name))) return MAIL_ERR_PROTOCOL;
    a->cut = (flags & 0x0200) != 0;
    if (a->cut) return MAIL_ERR_OK;
    rcode = flags & 15;
    if (rcode != 0 && rcode != 3) {              /* SERVFAIL, REFUSED, ... */
        a->e = MAIL_ERR_TEMPFAIL;
        return MAIL_ERR_OK;
    }
    dns_records(&r, count, name, type, a);
    if (rcode == 3 && !a->e) {
        a->e = MAIL_ERR_NOTFOUND;
        a->n = 0;
    }
    return r.bad ? MAIL_ERR_PROTOCOL : MAIL_ERR_OK;
}

/* --- the files of this machine ------------------------------------------- */

/* A line of /etc/hosts, "ADDRESS NAME NAME...": is the name on it? */
static int hosts_line(char *line, const char *name, int type, mail_rr *rr) {
    net_address a;
    char host[64];
    mail_str rest = mail_sn(line, strcspn(line, "#\r\n"));
    char *p;
    memset(rr, 0, sizeof *rr);
    for (p = line; p < rest.p + rest.n; p++)
        if (*p == '\t') *p = ' ';
    while (rest.n) {
        mail_str word = mail_cut(&rest, ' ');
        if (word.n == 0) continue;
        if (rr->data[0] == 0) {
            if (!mail_copy(host, sizeof host, word) ||
                !address_set(&a, host, 0)) return 0;
            if ((a.at.ss_family == AF_INET6) == (type == MAIL_RR_AAAA))
                rr->type = type;
            mail_copy(rr->data, sizeof rr->data, word);
        } else if (mail_ieq(word, mail_s(name))) return 1;
    }
    return 0;
}

/* Does this machine know the name by itself? Then its addresses of that type
   are in rr, which may be none. localhost is never asked for (RFC 6761). */
static int hosts_find(const char *file, const char *name, int type,
                      mail_rr *rr, size_t cap, size_t *n) {
    size_t k = strlen(name);
    char line[1024];
    int there = 0;
    FILE *f;
    *n = 0;
    if (mail_ieq(mail_s(name), mail_s("localhost")) ||
        (k > 10 && mail_ieq(mail_s(name + k - 10), mail_s(".localhost")))) {
        if (type != MAIL_RR_MX) {
            memset(rr, 0, sizeof *rr);
            rr->type = type;
            mail_copy(rr->data, sizeof rr->data,
                      mail_s(type == MAIL_RR_A ? "127.0.0.1" : "::1"));
            *n = 1;
        }
        return 1;
    }
    f = type == MAIL_RR_MX ? NULL : fopen(file, "r");
    while (f && *n < cap && fgets(line, sizeof line, f))
        if (hosts_line(line, name, type, &rr[*n])) {
            there = 1;
            *n += rr[*n].type != 0;
        }
    if (f) fclose(f);
    return there;
}

/* The "nameserver ADDRESS" lines of /etc/resolv.conf; without one it is this
   machine. Sealed, those beyond it are left out. */
static void servers_read(dns *d, const char *file, int unsealed) {
    char line[1024];
    int any = 0;
    FILE *f = fopen(file, "r");
    d->nservers = 0;
    while (d->nservers < DNS_SERVERS && f && fgets(line, sizeof line, f)) {
        net_address *a = &d->servers[d->nservers];
        mail_str s = mail_trim(mail_sn(line, strcspn(line, "\r\n")));
        if (!mail_starts(s, "nameserver") || s.n < 11 || s.p[10] > ' ')
            continue;
        any = 1;
        s = mail_trim(mail_sn(s.p + 10, s.n - 10));
        if (address_read(a, s, 53) &&
            (unsealed || is_loopback((struct sockaddr *)&a->at)))
            d->nservers++;
    }
    if (f) fclose(f);
    if (!any) d->nservers = (size_t)address_set(&d->servers[0],
                                                "127.0.0.1", 53);
}

/* --- answers that are kept ------------------------------------------------ */

enum {
    DNS_KEEP = 3600,                /* s at most                            */
    DNS_KEEP_NO = 60,               /* that there is none: it may come soon */
    DNS_KEEP_RECORDS = 32           /* longer answers are asked for again   */
};

static dns_entry *dns_kept(dns *d, const char *name, int type) {
    size_t i;
    for (i = 0; i < DNS_ENTRIES && d->entries; i++) {
        dns_entry *k = &d->entries[i];
        if (k->type == type && mail_ieq(mail_s(k->name), mail_s(name)) &&
            k->until > sys_clock(NULL)) return k;
    }
    return NULL;
}

/* Into the place of an older answer, a free one, or the one that would be
   the next to go. */
static void dns_keep(dns *d, const char *name, int type,
                     const dns_answer *a) {
    int64_t ttl = a->e || a->n == 0 ? DNS_KEEP_NO :
                  a->ttl < DNS_KEEP ? a->ttl : DNS_KEEP;
    dns_entry *to;
    mail_rr *rr;
    size_t i;
    if (d->entries == NULL) d->entries = calloc(DNS_ENTRIES, sizeof *to);
    if (d->entries == NULL || ttl == 0 || a->n > DNS_KEEP_RECORDS) return;
    if ((to = dns_kept(d, name, type)) == NULL)
        for (to = d->entries, i = 1; i < DNS_ENTRIES; i++)
            if (d->entries[i].until < to->until) to = &d->entries[i];
    rr = a->n ? malloc(a->n * sizeof *rr) : NULL;
    if (a->n && rr == NULL) return;
    if (a->n) memcpy(rr, a->rr, a->n * sizeof *rr);
    free(to->rr);
    mail_copy(to->name, sizeof to->name, mail_s(name));
    to->type = type;
    to->until = sys_clock(NULL) + ttl * 1000;
    to->e = a->e;
    to->rr = rr;
    to->n = a->n;
}

/* --- questions ------------------------------------------------------------ */

enum { DNS_ROUNDS = 3, DNS_TRY_MS = 3000, DNS_ALL_MS = 20000 };

struct dns_query {
    dns_query *next;
    void *ticket;
    char first[MAIL_DOMAIN_SIZE];   /* the name that we were asked for */
    char name[MAIL_DOMAIN_SIZE];    /* where CNAMEs have led           */
    int type, links;
    int over;                       /* answered: */
    mail_err e; mail_rr *rr; size_t n;
    int fd, tcp;
    unsigned id;
    size_t tries, refused;
    int64_t until, end;             /* of this try; of all of them     */
    unsigned char out[2 + 512]; size_t out_n, sent;
    unsigned char *in; size_t in_n; /* TCP: two octets length, message */
};

static void dns_hangup(machine *m, dns_query *q) {
    if (q->fd >= 0) {
        wire_of(m, q->fd)->query = NULL;
        close(q->fd);
    }
    q->fd = -1;
    free(q->in);
    q->in = NULL;
}

/* The answer: it is handed over in the next turn of the loop. */
static void dns_end(machine *m, dns_query *q, mail_err e, const mail_rr *rr,
                    size_t n) {
    dns_hangup(m, q);
    q->rr = n ? malloc(n * sizeof *rr) : NULL;
    if (n && q->rr == NULL) e = MAIL_ERR_NOMEM;
    q->e = e;
    q->n = q->rr ? n : 0;
    if (q->n) memcpy(q->rr, rr, n * sizeof *rr);
    q->over = 1;
}

/* Puts the question to a server: a new id and a new socket, whose port
   nobody knows. 0: it cannot be sent. */
static int dns_put(machine *m, dns_query *q, size_t server, int tcp) {
    unsigned char r[2];
    size_t n;
    wire *w;
    dns_hangup(m, q);
    sys_random(NULL, r, sizeof r);
    q->id = (unsigned)r[0] << 8 | r[1];
    n = dns_question(q->out + 2, sizeof q->out - 2, q->id, q->name, q->type);
    q->out[0] = (unsigned char)(n >> 8);
    q->out[1] = (unsigned char)n;
    q->out_n = n + 2;
    q->sent = q->in_n = 0;
    q->tcp = tcp;
    q->until = sys_clock(NULL) + DNS_TRY_MS;
    if (tcp && (q->in = malloc(2 + 65535)) == NULL) return 0;
    q->fd = socket_to(&m->dns.servers[server], tcp ? SOCK_STREAM
                                                   : SOCK_DGRAM);
    w = q->fd >= 0 ? wire_of(m, q->fd) : NULL;
    if (w == NULL) {
        if (q->fd >= 0) close(q->fd);
        q->fd = -1;
        return 0;
    }
    w->query = q;
    wire_warm(m, q->fd);
    return tcp || send(q->fd, q->out + 2, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* The next try, each at the next server, as long as there is time. Once all
   of them have said that they cannot, it is enough. */
static void dns_next(machine *m, dns_query *q) {
    dns *d = &m->dns;
    for (;;) {
        if (q->tries >= DNS_ROUNDS * d->nservers ||
            q->refused >= d->nservers || sys_clock(NULL) >= q->end) {
            dns_end(m, q, q->refused ? MAIL_ERR_TEMPFAIL : MAIL_ERR_TIMEOUT,
                    NULL, 0);
            return;
        }
        if (dns_put(m, q, q->tries++ % d->nservers, 0)) return;
    }
}

/* A message has come. 0: it is not for us, or nothing we can read. */
static int dns_take(machine *m, dns_query *q, const unsigned char *p,
                    size_t n) {
    dns *d = &m->dns;
    dns_answer a;
    if (dns_read(p, n, q->id, q->name, q->type, &a)) return 0;
    if (a.cut) {
        if (q->tcp || !dns_put(m, q, (q->tries - 1) % d->nservers, 1))
            dns_next(m, q);
    } else if (a.e == MAIL_ERR_TEMPFAIL) {
        q->refused++;
        dns_next(m, q);
    } else if (!a.e && !a.n && a.moved && q->links++ < DNS_LINKS) {
        mail_copy(q->name, sizeof q->name, mail_s(a.name));
        q->tries = 0;         /* what a CNAME leads to was not in the answer */
        dns_next(m, q);
    } else {
        if (q->links > DNS_LINKS) a.e = MAIL_ERR_TEMPFAIL;     /* a circle */
        else dns_keep(d, q->first, q->type, &a);
        dns_end(m, q, a.e, a.rr, a.n);
    }
    return 1;
}

static void dns_tcp(machine *m, dns_query *q) {
    int writing = q->sent < q->out_n;
    int64_t k = writing
        ? net_send(NULL, q->fd, q->out + q->sent, q->out_n - q->sent)
        : net_recv(NULL, q->fd, q->in + q->in_n, 2 + 65535 - q->in_n);
    size_t n;
    if (k == -1) return;
    if (k <= 0) {                   /* refused, broken, or too short */
        dns_next(m, q);
        return;
    }
    if (writing) q->sent += (size_t)k;
    else q->in_n += (size_t)k;
    n = q->in_n < 2 ? 65536 : (size_t)q->in[0] << 8 | q->in[1];
    if (q->in_n >= 2 + n && !dns_take(m, q, q->in + 2, n)) dns_next(m, q);
}

static void dns_event(machine *m, dns_query *q) {
    unsigned char p[4096];
    int64_t k;
    if (q->tcp) {
        dns_tcp(m, q);
        return;
    }
    k = net_recv(NULL, q->fd, p, sizeof p);
    if (k == -2) dns_next(m, q);           /* nobody listens there */
    if (k > 0) dns_take(m, q, p, (size_t)k);
}

static int dns_wants(const dns_query *q) {
    return q->tcp && q->sent < q->out_n ? MAIL_WANT_WRITE : MAIL_WANT_READ;
}

static int64_t dns_due(const machine *m) {
    const dns_query *q = m->dns.queries;
    int64_t due = INT64_MAX;
    for (; q; q = q->next) {
        int64_t t = q->over ? 0 : q->until;
        if (t < due) due = t;
    }
    return due;
}

/* Goes on with what has waited in vain, and hands over what is answered:
   who gets it may well ask for more. */
static void dns_turn(machine *m) {
    dns_query **at = &m->dns.queries, *q;
    int64_t now = sys_clock(NULL);
    for (q = *at; q; q = q->next)
        if (!q->over && q->until <= now) dns_next(m, q);
    while ((q = *at) != NULL) {
        if (!q->over) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        mail_server_found(m->server, q->ticket, q->e, q->rr, q->n);
        free(q->rr);
        free(q);
        at = &m->dns.queries;
    }
}

/* sys->lookup: this machine's own names, then what is known, then a server.
   The files are small, and what they say may change: they are read anew. */
static mail_err dns_lookup(void *ctx, const char *name, int type,
                           void *ticket) {
    machine *m = ctx;
    dns *d = &m->dns;
    dns_query *q = calloc(1, sizeof *q);
    mail_rr rr[16];
    dns_entry *kept;
    size_t n;
    if (q == NULL) return MAIL_ERR_NOMEM;
    q->fd = -1;
    q->ticket = ticket;
    q->type = type;
    mail_copy(q->first, sizeof q->first, mail_s(name));
    mail_copy(q->name, sizeof q->name, mail_s(name));
    q->next = d->queries;
    d->queries = q;
    if (!d->chosen) servers_read(d, "/etc/resolv.conf", m->unsealed);
    if (hosts_find("/etc/hosts", name, type, rr, 16, &n))
        dns_end(m, q, MAIL_ERR_OK, rr, n);
    else if ((kept = dns_kept(d, name, type)) != NULL)
        dns_end(m, q, kept->e, kept->rr, kept->n);
    else if (d->nservers == 0) dns_end(m, q, MAIL_ERR_SEALED, NULL, 0);
    else if (!dns_question(q->out, sizeof q->out, 0, name, type))
        dns_end(m, q, MAIL_ERR_NOTFOUND, NULL, 0);
    else {
        q->end = sys_clock(NULL) + DNS_ALL_MS;
        dns_next(m, q);
    }
    return MAIL_ERR_OK;
}

/* The name server that was chosen (--resolver), or NULL. 0: it is sealed
   off. */
static int dns_open(machine *m, const char *resolver) {
    dns *d = &m->dns;
    d->chosen = resolver != NULL;
    if (!resolver) return 1;
    d->nservers = (size_t)address_read(&d->servers[0], mail_s(resolver), 53);
    return m->unsealed ||
           is_loopback((const struct sockaddr *)&d->servers[0].at);
}

/* Whoever asked is gone. */
static void dns_close(machine *m) {
    dns *d = &m->dns;
    size_t i;
    while (d->queries) {
        dns_query *q = d->queries;
        d->queries = q->next;
        dns_hangup(m, q);
        free(q->rr);
        free(q);
    }
    for (i = 0; i < DNS_ENTRIES && d->entries; i++) free(d->entries[i].rr);
    free(d->entries);
    d->entries = NULL;
}

/* ======================================================================
   [TLS] handshakes, records, certificates: OpenSSL     RFC 8446, 9325 | ch.13
   When TLS begins, and what is forgotten then, is decided in mail.h; this is
   the rest. Nothing here waits: what cannot go on says what it waits for.
   ====================================================================== */

#ifdef MAIL_TLS
struct tls_wire {
    SSL *ssl;
    int fd, made, broken;           /* the handshake is over; so is TLS   */
    int reads, writes;              /* MAIL_WANT_: what each waits for    */
    char why[300];                  /* it failed                          */
    char what[80];                  /* "TLSv1.3 TLS_AES_256_GCM_SHA384"   */
};

/* OpenSSL reads and writes through our own functions: one place for octets,
   and no SIGPIPE. */
static int tls_bio_read(BIO *b, char *p, int n) {
    int64_t k = net_recv(NULL, (int)(intptr_t)BIO_get_data(b), p, (size_t)n);
    BIO_clear_retry_flags(b);
    if (k == -1) BIO_set_retry_read(b);
    return k < 0 ? -1 : (int)k;
}

static int tls_bio_write(BIO *b, const char *p, int n) {
    int64_t k = net_send(NULL, (int)(intptr_t)BIO_get_data(b), p, (size_t)n);
    BIO_clear_retry_flags(b);
    if (k == -1) BIO_set_retry_write(b);
    return k < 0 ? -1 : (int)k;
}

static long tls_bio_ctrl(BIO *b, int what, long n, void *p) {
    (void)b;
    (void)n;
    (void)p;
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *tls_bio_how;

static void tls_bio_make(void) {
    BIO_METHOD *how = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
                                   "mail");
    if (how == NULL) return;
    BIO_meth_set_read(how, tls_bio_read);
    BIO_meth_set_write(how, tls_bio_write);
    BIO_meth_set_ctrl(how, tls_bio_ctrl);
    tls_bio_how = how;
}

static BIO *tls_bio_new(int fd) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *b;
    pthread_once(&once, tls_bio_make);
    b = tls_bio_how ? BIO_new(tls_bio_how) : NULL;
    if (b) {
        BIO_set_data(b, (void *)(intptr_t)fd);
        BIO_set_init(b, 1);
    }
    return b;
}

/* OpenSSL's first word on what went wrong. */
static const char *tls_reason(void) {
    unsigned long e = ERR_peek_error();
    const char *why = !e ? NULL : ERR_GET_LIB(e) == ERR_LIB_SYS
                      ? strerror(ERR_GET_REASON(e))
                      : ERR_reason_error_string(e);
    if (e && ERR_GET_REASON(e) == SSL_R_WRONG_VERSION_NUMBER)
        why = "what the peer says is not TLS";
    return why ? why : "the connection broke in the handshake";
}

/* The names that a certificate is for, "a.example b.example". */
static void tls_names(X509 *x, char *to, size_t cap) {
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL,
                                            NULL);
    mail_buf b = mail_buf_on(to, cap - 1);
    int i;
    for (i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type == GEN_DNS)
            mail_buf_fmt(&b, "%s%.*s", b.n ? " " : "",
                         ASN1_STRING_length(g->d.dNSName),
                         (const char *)ASN1_STRING_get0_data(g->d.dNSName));
    }
    to[b.n] = 0;
    GENERAL_NAMES_free(names);
}

/* Called for each thing that is wrong with a certificate: the first one is
   kept, in words. */
static int tls_verified(int ok, X509_STORE_CTX *store) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store,
                   SSL_get_ex_data_X509_STORE_CTX_idx());
    tls_wire *t = SSL_get_app_data(ssl);
    int e = X509_STORE_CTX_get_error(store);
    char names[200] = "";
    if (ok || t->why[0]) return ok;
    if (e == X509_V_ERR_HOSTNAME_MISMATCH ||
        e == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        tls_names(X509_STORE_CTX_get0_cert(store), names, sizeof names);
        snprintf(t->why, sizeof t->why, "its certificate is for %s",
                 names[0] ? names : "another name");
    } else snprintf(t->why, sizeof t->why, "its certificate is not good: %s",
                    X509_verify_cert_error_string(e));
    return ok;
}

static const char *tls_version(void) {
    return OpenSSL_version(OPENSSL_VERSION);
}

/* What holds for both sides: TLS 1.2 and later, no renegotiation, no memory
   for records while nothing moves. */
static tls_keys *tls_keys_new(int server) {
    SSL_CTX *k = SSL_CTX_new(server ? TLS_server_method()
                                    : TLS_client_method());
    if (k == NULL) return NULL;
    SSL_CTX_set_min_proto_version(k, TLS1_2_VERSION);
    SSL_CTX_set_mode(k, SSL_MODE_RELEASE_BUFFERS |
                     SSL_MODE_ENABLE_PARTIAL_WRITE |
                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One record a call: a flood of new keys would keep SSL_read busy. */
    SSL_CTX_clear_mode(k, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_options(k, SSL_OP_NO_COMPRESSION);
#ifdef SSL_OP_NO_RENEGOTIATION
    SSL_CTX_set_options(k, SSL_OP_NO_RENEGOTIATION);
#endif
    SSL_CTX_set_session_cache_mode(k, SSL_SESS_CACHE_OFF); /* tickets do */
    SSL_CTX_set_session_id_context(k, (const unsigned char *)"mail", 4);
    return k;
}

static void tls_keys_free(tls_keys *k) { SSL_CTX_free(k); }

/* A key behind a password would have to be asked for, now and at each
   reload. */
static int tls_no_password(char *to, int n, int writing, void *ctx) {
    (void)to;
    (void)n;
    (void)writing;
    (void)ctx;
    return -1;
}

/* A server's certificate, with what leads to its CA behind it, and its key.
   NULL and a line on stderr. */
static tls_keys *tls_server_keys(const char *cert, const char *key) {
    tls_keys *k = tls_keys_new(1);
    const char *what = "--cert", *name = cert;
    const struct passwd *w;
    int ok = k != NULL;
    ERR_clear_error();
    if (ok) {
        SSL_CTX_set_default_passwd_cb(k, tls_no_password);
        ok = SSL_CTX_use_certificate_chain_file(k, cert) == 1;
    }
    if (ok) {
        what = "--key", name = key;
        ok = SSL_CTX_use_PrivateKey_file(k, key, SSL_FILETYPE_PEM) == 1 &&
             SSL_CTX_check_private_key(k) == 1;
    }
    if (ok) return k;
    w = getpwuid(geteuid());           /* who was root has given that up */
    fprintf(stderr, "mail: %s %s: %s; it must be PEM, readable by the "
            "user %s, without a password, and the key be the certificate's\n",
            what, name, tls_reason(), w ? w->pw_name : "of this server");
    SSL_CTX_free(k);
    return NULL;
}

/* For clients: whom to trust. cafile NULL: whom the system trusts. NULL with
   the reason, borrowed. */
static tls_keys *tls_client_keys(const char *cafile, const char **why) {
    tls_keys *k = tls_keys_new(0);
    ERR_clear_error();
    if (k && (cafile ? SSL_CTX_load_verify_locations(k, cafile, NULL)
                     : SSL_CTX_set_default_verify_paths(k)) == 1) return k;
    if (k && cafile == NULL) return k;         /* then nobody is trusted */
    *why = tls_reason();
    SSL_CTX_free(k);
    return NULL;
}

/* The name that the certificate must be for, and that the server is told
   (RFC 6066 3), which for an address it is not. */
static int tls_host(SSL *ssl, const char *host, int verify) {
    unsigned char address[16];
    int is_address = inet_pton(AF_INET, host, address) == 1 ||
                     inet_pton(AF_INET6, host, address) == 1;
    if (!is_address && SSL_set_tlsext_host_name(ssl, host) != 1) return 0;
    if (!verify) return 1;
    SSL_set_verify(ssl, SSL_VERIFY_PEER, tls_verified);
    /* "*.a.example" is for a host of that domain, "m*.a.example" for none
       (RFC 9525 6.3). */
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return (is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
                                                       host)
                       : SSL_set1_host(ssl, host)) == 1;
}

static void tls_free(tls_wire *t) {
    if (t == NULL) return;
    ERR_clear_error();
    if (t->made && !t->broken) SSL_shutdown(t->ssl);     /* close_notify */
    SSL_free(t->ssl);
    free(t);
}

/* TLS on a socket: of a client that calls host, or (NULL) of a server. */
static tls_wire *tls_new(tls_keys *k, int fd, const char *host, int verify) {
    tls_wire *t = calloc(1, sizeof *t);
    BIO *b = tls_bio_new(fd);
    ERR_clear_error();
    if (t) t->ssl = SSL_new(k);
    if (t == NULL || t->ssl == NULL || b == NULL ||
        (host && !tls_host(t->ssl, host, verify))) {
        BIO_free(b);
        tls_free(t);
        return NULL;
    }
    SSL_set_app_data(t->ssl, t);
    SSL_set_bio(t->ssl, b, b);
    if (host) SSL_set_connect_state(t->ssl);
    else SSL_set_accept_state(t->ssl);
    t->fd = fd;
    t->reads = MAIL_WANT_READ;
    t->writes = MAIL_WANT_WRITE;
    if (host) t->reads = MAIL_WANT_WRITE;          /* its hello comes first */
    return t;
}

/* What OpenSSL waits for, or 0: it is over. */
static int tls_blocked(tls_wire *t, int k) {
    int e = SSL_get_error(t->ssl, k);
    if (e == SSL_ERROR_WANT_READ) return MAIL_WANT_READ;
    if (e == SSL_ERROR_WANT_WRITE) return MAIL_WANT_WRITE;
    if (e != SSL_ERROR_ZERO_RETURN) t->broken = 1;
    return 0;
}

/* One step of the handshake: 1 it is made, 0 not yet, -1 why. */
static int tls_shake(tls_wire *t) {
    int k;
    ERR_clear_error();
    k = SSL_do_handshake(t->ssl);
    if (k == 1) {
        t->made = 1;
        t->reads = MAIL_WANT_READ;
        snprintf(t->what, sizeof t->what, "%s %s", SSL_get_version(t->ssl),
                 SSL_get_cipher_name(t->ssl));
        return 1;
    }
    t->reads = tls_blocked(t, k);
    if (t->reads) return 0;
    t->broken = 1;
    if (!t->why[0]) mail_copy(t->why, sizeof t->why, mail_s(tls_reason()));
    return -1;
}

/* As net_recv: 0 is the peer's close_notify; an end without it is a break:
   somebody may have cut the rest off (RFC 8446 6.1). */
static int64_t tls_recv(tls_wire *t, void *p, size_t n) {
    size_t got = 0;
    int k;
    if (t->broken) return -2;
    ERR_clear_error();
    t->reads = MAIL_WANT_READ;
    do {
        k = SSL_read(t->ssl, (char *)p + got, (int)(n - got));
        if (k > 0) got += (size_t)k;
    } while (k > 0 && got < n && SSL_pending(t->ssl) > 0);
    if (got) return (int64_t)got;
    t->reads = tls_blocked(t, k);
    if (t->reads) return -1;
    t->reads = MAIL_WANT_READ;
    return t->broken ? -2 : 0;
}

static int64_t tls_send(tls_wire *t, const void *p, size_t n) {
    int k;
    if (t->broken) return -2;
    ERR_clear_error();
    t->writes = MAIL_WANT_WRITE;
    k = SSL_write(t->ssl, p, (int)(n < 1024 * 1024 ? n : 1024 * 1024));
    if (k > 0) return k;
    t->writes = tls_blocked(t, k);
    if (t->writes) return -1;
    t->broken = 1;
    return -2;
}

/* What to poll for, when the session wants that. */
static int tls_wants(const tls_wire *t, int want) {
    if (!t->made) return t->reads;
    return (want & MAIL_WANT_READ ? t->reads : 0) |
           (want & MAIL_WANT_WRITE ? t->writes : 0);
}

/* Octets that have been read from the socket and not from here: poll knows
   nothing of them. */
static int tls_holds(const tls_wire *t) {
    return t->made && !t->broken && SSL_pending(t->ssl) > 0;
}

#else
struct tls_wire { int made, reads; char why[4], what[4]; };

static tls_keys *tls_server_keys(const char *cert, const char *key) {
    (void)key;
    fprintf(stderr, "mail: --cert %s: this program was built without TLS: "
            "install OpenSSL's headers, and make again\n", cert);
    return NULL;
}

static tls_keys *tls_client_keys(const char *cafile, const char **why) {
    (void)cafile;
    *why = "this program was built without TLS: install OpenSSL's headers, "
           "and make again";
    return NULL;
}

static tls_wire *tls_new(tls_keys *k, int fd, const char *host, int verify) {
    (void)k;
    (void)fd;
    (void)host;
    (void)verify;
    return NULL;
}

static const char *tls_version(void) { return "none"; }
static void tls_keys_free(tls_keys *k) { (void)k; }
static void tls_free(tls_wire *t) { (void)t; }
static int tls_shake(tls_wire *t) { (void)t; return -1; }
static int tls_wants(const tls_wire *t, int want) { (void)t; return want; }
static int tls_holds(const tls_wire *t) { (void)t; return 0; }

static int64_t tls_recv(tls_wire *t, void *p, size_t n) {
    (void)t;
    (void)p;
    (void)n;
    return -2;
}

static int64_t tls_send(tls_wire *t, const void *p, size_t n) {
    (void)t;
    (void)p;
    (void)n;
    return -2;
}
#endif

/* ======================================================================
   [NET] sockets, and the loop                                      ch.14
   One process, one loop: it waits for whatever can move, moves it, makes
   durable what is to be durable, and waits again. One thing blocks: the
   flush of a file or two. Of more, a thread does it (see flush_all).
   ====================================================================== */

/* The addresses of "host:port"; NULL with a reason. It may wait for a name
   server: for the start of a server and for client programs only. */
static struct addrinfo *net_find(const char *host_port, int passive,
                                 const char **why) {
    char host[MAIL_NAME_SIZE], service[8];
    struct addrinfo hints, *found = NULL;
    mail_str h;
    int port, e;
    if (mail_host_port(mail_s(host_port), &h, &port) ||
        !mail_copy(host, sizeof host, h)) {
        *why = "write HOST:PORT";
        return NULL;
    }
    if (host[0] == 0) mail_copy(host, sizeof host, mail_s("127.0.0.1"));
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = passive ? AI_PASSIVE : 0;
    snprintf(service, sizeof service, "%d", port);
    e = getaddrinfo(host, service, &hints, &found);
    if (e) *why = gai_strerror(e);
    return e ? NULL : found;
}

/* The address of a UNIX socket, "/run/lmtp". 0: it is too long. */
static int address_unix(net_address *a, const char *path) {
    struct sockaddr_un un;
    memset(&un, 0, sizeof un);
    memset(a, 0, sizeof *a);
    un.sun_family = AF_UNIX;
    if (!mail_copy(un.sun_path, sizeof un.sun_path, mail_s(path))) return 0;
    memcpy(&a->at, &un, sizeof un);
    a->n = sizeof un;
    return 1;
}

/* Begins to connect. Sealed, to a loopback address and no other; a UNIX
   socket is on this machine. */
static int net_connect(void *ctx, const char *at, void *conn) {
    machine *m = ctx;
    net_address a;
    int fd;
    wire *w;
    if (at[0] == '/' ? !address_unix(&a, at) : !address_read(&a, mail_s(at), 0))
        return -1 - (int)MAIL_ERR_NOTFOUND;
    if (at[0] != '/' && !m->unsealed && !is_loopback((struct sockaddr *)&a.at))
        return -1 - (int)MAIL_ERR_SEALED;
    fd = socket_to(&a, SOCK_STREAM);
    w = fd >= 0 ? wire_of(m, fd) : NULL;
    if (w == NULL) {
        if (fd >= 0) close(fd);
        return -1 - (int)MAIL_ERR_IO;
    }
    w->conn = conn;
    w->connecting = 1;
    wire_warm(m, fd);
    return fd;
}

static void net_hangup(void *ctx, int fd) {
    machine *m = ctx;
    wire *w = wire_of(m, fd);
    if (w) tls_free(w->tls);
    if (w) {
        int listed = w->listed;
        memset(w, 0, sizeof *w);
        w->listed = listed;
    }
    close(fd);
}

static int64_t wire_recv(void *ctx, int fd, void *p, size_t n) {
    wire *w = wire_of(ctx, fd);
    return w && w->tls ? tls_recv(w->tls, p, n) : net_recv(NULL, fd, p, n);
}

static int64_t wire_send(void *ctx, int fd, const void *p, size_t n) {
    wire *w = wire_of(ctx, fd);
    return w && w->tls ? tls_send(w->tls, p, n) : net_send(NULL, fd, p, n);
}

static mail_err wire_secure(void *ctx, int fd, const char *host,
                            void *conn) {
    machine *m = ctx;
    wire *w = wire_of(m, fd);
    tls_keys *k = host ? m->tls_client : m->tls_server;
    (void)conn;                            /* it is that of the wire */
    if (w == NULL || w->tls || k == NULL) return MAIL_ERR_TLS;
    w->tls = tls_new(k, fd, host, 0);
    return w->tls ? MAIL_ERR_OK : MAIL_ERR_NOMEM;
}

/* The next step of a handshake. */
static void wire_shake(machine *m, const wire *w) {
    tls_wire *t = w->tls;
    int k = tls_shake(t);
    if (k) mail_server_secured(m->server, w->conn,
                               k > 0 ? MAIL_ERR_OK : MAIL_ERR_TLS,
                               k > 0 ? t->what : t->why);
}

/* An outgoing connection has been made or refused. */
static void net_connected(machine *m, int fd) {
    wire *w = wire_of(m, fd);
    struct pollfd p = { fd, POLLOUT, 0 };
    int e = 0;
    socklen_t n = sizeof e;
    if (poll(&p, 1, 0) <= 0) return;    /* that was an earlier owner's event */
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n);
    w->connecting = 0;
    mail_server_connected(m->server, w->conn, e ? MAIL_ERR_IO : MAIL_ERR_OK,
                          e ? strerror(e) : NULL);
}

typedef struct listener {
    int fd, port;
    const char *name, *where;
} listener;

/* The port that it got, and its address. */
static int listen_at(const listener *l, char text[64]) {
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    memset(&at, 0, sizeof at);
    getsockname(l->fd, (struct sockaddr *)&at, &n);
    return address_text((struct sockaddr *)&at, n, text, 64);
}

/* Opens a port. 0 and the reason if it cannot be. */
static int listen_open(listener *l, int unsealed, const char **why) {
    struct addrinfo *a = net_find(l->where, 1, why);
    int on = 1, bad;
    l->fd = -1;
    if (a == NULL) return 0;
    if (!unsealed && !is_loopback(a->ai_addr)) {
        *why = "it is not a loopback address: say --unsealed if the network "
               "may come in";
        freeaddrinfo(a);
        return 0;
    }
    l->fd = socket(a->ai_family, SOCK_STREAM, 0);
    if (l->fd >= 0) {
        setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        socket_ready(l->fd);
    }
    bad = l->fd < 0 || bind(l->fd, a->ai_addr, a->ai_addrlen) ||
          listen(l->fd, 1024);
    *why = bad ? strerror(errno) : NULL;
    freeaddrinfo(a);
    return !bad;
}

/* The same, and says so on standard output, or why not on stderr. */
static int listen_on(listener *l, int unsealed) {
    const char *why = NULL;
    char text[64];
    int port;
    if (!listen_open(l, unsealed, &why)) {
        fprintf(stderr, l->fd < 0 ? "mail: --%s %s: %s\n" :
                "mail: --%s %s: %s; choose another port (0 takes a free "
                "one)\n", l->name, l->where, why);
        return 0;
    }
    port = listen_at(l, text);
    printf(strchr(text, ':') ? "listening %s [%s]:%d\n"
                             : "listening %s %s:%d\n", l->name, text, port);
    fflush(stdout);
    return 1;
}

/* So many come in, and then it is the turn of those who are in. */
enum { NET_COME = 32 };

static void net_accept(machine *m, const listener *l, int may_login) {
    int left = NET_COME;
    while (left--) {
        struct sockaddr_storage from;
        socklen_t n = sizeof from;
        char peer[64];
        mail_conn *c = NULL;
        int fd;
        memset(&from, 0, sizeof from);   /* BSD: none, if reset meanwhile */
        fd = accept(l->fd, (struct sockaddr *)&from, &n);
        if (fd < 0) {     /* out of sockets: poll would call again at once */
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                errno == ENOMEM) m->full_until = sys_clock(NULL) + 1000;
            return;
        }
        socket_ready(fd);
        address_text((struct sockaddr *)&from, n, peer, sizeof peer);
        if (wire_of(m, fd))
            c = mail_server_accept(m->server, fd, l->port, peer,
                may_login || is_loopback((struct sockaddr *)&from));
        if (c == NULL) {
            close(fd);
            continue;
        }
        wire_of(m, fd)->conn = c;
        wire_warm(m, fd);
        mail_server_ready(m->server, c);
    }
}

static volatile sig_atomic_t signal_stop, signal_reload;
static int signal_pipe[2] = { -1, -1 };

/* The octet in the pipe wakes the loop, whenever the signal comes. */
static void on_signal(int n) {
    int old = errno;
    if (n == SIGHUP) signal_reload = 1;
    else signal_stop = 1;
    if (write(signal_pipe[1], "", 1) < 0) errno = old;
    errno = old;
}

static void catch_signals(void) {
    struct sigaction s;
    if (pipe(signal_pipe) == 0) {
        fcntl(signal_pipe[0], F_SETFL, O_NONBLOCK);
        fcntl(signal_pipe[1], F_SETFL, O_NONBLOCK);
        fcntl(signal_pipe[0], F_SETFD, FD_CLOEXEC);
        fcntl(signal_pipe[1], F_SETFD, FD_CLOEXEC);
    }
    memset(&s, 0, sizeof s);
    s.sa_handler = on_signal;          /* no SA_RESTART: poll is to return */
    sigaction(SIGINT, &s, NULL);
    sigaction(SIGTERM, &s, NULL);
    sigaction(SIGHUP, &s, NULL);
    s.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &s, NULL);
}

static void drain_signals(void) {
    char c[64];
    while (read(signal_pipe[0], c, sizeof c) > 0) {}
}

static struct pollfd *polls_room(machine *m, size_t n) {
    if (n > m->polls_cap) {
        struct pollfd *p = realloc(m->polls, (n + 64) * sizeof *p);
        if (p == NULL) return NULL;
        m->polls = p;
        m->polls_cap = n + 64;
    }
    return m->polls;
}

/* Has TLS read more of it than the session has? poll knows nothing of that. */
static int wire_holds(const wire *w, int want) {
    return w->tls && (want & MAIL_WANT_READ) && tls_holds(w->tls);
}

static int net_held(machine *m, const struct pollfd *p) {
    const wire *w = wire_of(m, p->fd);
    return w && w->conn && wire_holds(w, mail_conn_wants(w->conn));
}

/* What this wire waits for. One that wants nothing is left out: poll would
   say "hung up" again and again, and the loop would spin. */
static size_t polls_wire(machine *m, size_t n, int fd, int *held) {
    const wire *w = &m->wires[fd];
    struct pollfd *p = &m->polls[n];
    int want = w->conn ? mail_conn_wants(w->conn) :
               w->query ? dns_wants(w->query) : 0;
    if (wire_holds(w, want)) *held = 1;
    if (w->tls) want = tls_wants(w->tls, want);
    if (want == 0) return n;
    p->fd = fd;
    p->revents = 0;
    p->events = (short)((want & MAIL_WANT_READ ? POLLIN : 0) |
                        (want & MAIL_WANT_WRITE ? POLLOUT : 0));
    return n + 1;
}

/* Who waits for what: listeners first, then signals, the thread that
   flushes, connections: all, or the warm ones. */
static size_t polls_fill(machine *m, const listener *ls, size_t nls,
                         int64_t now, int all, int *held) {
    size_t n = nls, i;
    struct pollfd *p = polls_room(m, nls + m->nwires + 2);
    if (p == NULL) return 0;
    p[n].fd = signal_pipe[0];
    p[n].revents = 0;
    p[n++].events = POLLIN;
    p[n].fd = m->begun.first ? m->to_thread : -1;
    p[n].revents = 0;
    p[n++].events = POLLIN;
    for (i = 0; i < nls; i++) {
        p[i].fd = now < m->full_until ? -1 : ls[i].fd;
        p[i].events = POLLIN;
        p[i].revents = 0;
    }
    if (!all) {
        for (i = 0; i < m->nwarm; i++)
            n = polls_wire(m, n, m->warm[i], held);
        return n;
    }
    m->nwarm = 0;
    for (i = 0; i < m->nwires; i++) {
        m->wires[i].listed = m->wires[i].warm > now && m->nwarm < m->warm_cap;
        if (m->wires[i].listed) m->warm[m->nwarm++] = (int)i;
        n = polls_wire(m, n, (int)i, held);
    }
    return n;
}

static void net_event(machine *m, const struct pollfd *p) {
    wire *w;
    wire_warm(m, p->fd);
    w = wire_of(m, p->fd);
    if (w == NULL) return;
    if (w->query) dns_event(m, w->query);
    else if (w->conn == NULL) return;
    else if (w->connecting) net_connected(m, p->fd);
    else if (w->tls && !w->tls->made) wire_shake(m, w);
    else mail_server_ready(m->server, w->conn);
}

static void net_turn(machine *m, const listener *ls, size_t nls,
                     int may_login, int64_t at_most) {
    int64_t due = mail_server_tick(m->server), now = sys_clock(NULL);
    int64_t names = dns_due(m), wait = (names < due ? names : due) - now;
    int all = m->nwarm == 0 || now >= m->look, any, held = 0;
    size_t n = polls_fill(m, ls, nls, now, all, &held), i;
    if (wait > at_most) wait = at_most;
    if (!all && wait > m->look - now) wait = m->look - now;
    if (now < m->full_until && wait > 1000) wait = 1000;
    if (wait < 0 || m->asks.first || held) wait = 0;
    if (n == 0 && wait > 100) wait = 100;      /* no memory: deaf, not asleep */
    any = poll(m->polls, (nfds_t)n, (int)wait);
    if (all) m->look = sys_clock(NULL) + WIRE_LOOK;
    if (any > 0 || held)
        for (i = 0; i < n; i++) {
            if (m->polls[i].revents == 0 &&
                !(held && i > nls + 1 && net_held(m, &m->polls[i]))) continue;
            if (i < nls) net_accept(m, &ls[i], may_login);
            else if (i == nls) drain_signals();
            else if (i > nls + 1) net_event(m, &m->polls[i]);
        }
    dns_turn(m);
    /* What came in may be due at once: one flush for all of it. */
    mail_server_tick(m->server);
    flush_all(m);
}

static void machine_sys(machine *m, mail_sys *s) {
    s->ctx = m;
    s->clock = sys_clock;
    s->time = sys_time;
    s->random = sys_random;
    s->alloc = sys_alloc;
    s->open = disk_open;
    s->read = disk_read;
    s->write = disk_write;
    s->close = disk_close;
    s->rename = disk_rename;
    s->link = disk_link;
    s->remove = disk_remove;
    s->mkdir = disk_mkdir;
    s->list = disk_list;
    s->space = disk_space;
    s->flush = disk_flush;
    s->recv = wire_recv;
    s->send = wire_send;
    s->lookup = dns_lookup;
    s->connect = net_connect;
    s->hangup = net_hangup;
    s->secure = m->tls_client ? wire_secure : NULL;
}

/* ======================================================================
   [WORLD] the virtual machine                                 ch.0, ch.8
   mail_sys once more, in memory: a clock that stands still until nothing
   else can move, wires, a table of names, a disk that can lose power. The
   demo, the tests and the labs run the same server that `mail serve` runs.
   ====================================================================== */

/* A client program: a session and what drives it, whatever carries its
   octets. `mail send`, `mail fetch` and the demo's Alice and Bob are such. */
typedef struct agent agent;
struct agent {
    size_t   (*feed)(agent *a, const char *in, size_t n);
    mail_str (*out)(agent *a);
    void     (*sent)(agent *a, size_t n);
    int64_t  (*tick)(agent *a, int64_t now);
    void     (*eof)(agent *a);
    /* Shall TLS begin now? Then how it went. NULL: it knows no TLS. */
    int      (*tls)(agent *a);
    void     (*secured)(agent *a, mail_err e, const char *why);
    int over;
};

enum { VBLOCK = 512 };

/* What of the unflushed survives a power loss. Names: of one name's changes
   always a beginning, and a rename is never half undone (the old name may
   stay). Content: each block for itself is old, new or zero, the size old or
   new. */
enum {
    VDISK_SIMPLE,                   /* nothing: exactly what was flushed  */
    VDISK_STRICT,                   /* any subset of names, any blocks    */
    VDISK_ORDERED,                  /* names as they came, up to a point  */
    VDISK_EXT4                      /* so, too; a flush of a file keeps its
                                       name; appended blocks before sizes */
};

enum { VBLOCK_CLEAN, VBLOCK_DIRTY, VBLOCK_LOST };  /* lost: a flush failed */

typedef struct vnode {              /* a file's content */
    char  *data; size_t n, cap;
    char  *safe; size_t nsafe, safe_cap;  /* what survives: flushed    */
    unsigned char *marks; size_t nmarks;  /* a VBLOCK_ for each block  */
    size_t lo, hi;                  /* blocks from lo to hi - 1 may be dirty */
    size_t refs, names, safes;      /* users; names now; durable names */
    size_t at;                      /* its place among the nodes       */
    unsigned long serial;
    int    bad;                     /* cannot be read: a bad sector    */
    size_t bad_at, bad_n;           /* that one alone; 0: all of it    */
    int    owed;                    /* another's flush lost its pages  */
} vnode;

typedef struct vname {              /* a name in a directory */
    char   path[MAIL_NAME_SIZE];
    vnode *node, *safe;             /* now; and after a power loss     */
    int    dir, safe_dir;
    int    next;                    /* with the same hash; -1: none    */
    unsigned pending, kept, seen;   /* changes not flushed             */
} vname;

typedef struct vop {                /* a change of a name, not flushed */
    int    name;
    vnode *node;                    /* NULL: it is gone                */
    int    dir;
    int    pair;                    /* the op before renamed it to that */
    int    lost, take;
} vop;

typedef struct vdisk vdisk;
struct vdisk {
    vname  *names; size_t n, cap;   /* path "": a free place           */
    int    *heads; size_t nheads;   /* of hash chains                  */
    int     spare;                  /* free places, chained; 0: none   */
    vnode **nodes; size_t nnodes, nodes_cap;
    vop    *ops; size_t nops, ops_cap;
    vnode  *files[64];              /* open ones, by number            */
    int64_t used, limit;            /* octets; limit 0: endless        */
    unsigned long steps, cut_at;    /* operations; power goes at this one */
    unsigned long serials;
    int     dead;                   /* power has gone                  */
    int64_t slow;                   /* ms that a flush may take        */
    int     mode, style;            /* VDISK_; what survives: see below */
    uint64_t luck;
    long    fail_flush, fail_space, fail_open, fail_read, fail_close;
                                    /* that one fails                  */
    void  (*watch)(void *ctx, vdisk *d, int op, const char *path,
                   vnode *node);
    void   *watch_ctx;
};

typedef struct world world;

typedef struct world_host {
    world *w;
    const char *name, *address;
    vdisk disk;
    mail_sys sys;
    mail_server *server;            /* NULL: it is down */
    mail_server_opts opts;
    flush_ask *asks; size_t nasks, asks_cap;
} world_host;

typedef struct vpipe { char *p; size_t at, n, cap; int closed; } vpipe;

typedef struct vwire {              /* end 0 has called end 1 */
    int used, pending, port;
    vpipe to[2];                    /* octets on their way to each end  */
    int gone[2];                    /* that end has hung up             */
    world_host *host[2];            /* whose end it is, with its conn   */
    mail_conn *conn[2];
    agent *agent; int agent_end;    /* or a program: end 0 is a client  */
    size_t cut_after; int cut;      /* the wire is cut after so many    */
    size_t back_after; int back;    /* the same, counted from end 1     */
    int half;                       /* end 0's cut: it only says no more */
    int broken, mute;               /* mute: what end 1 says is lost, and
                                       the wire with it                 */
    int64_t late, at[2];            /* ms under way; when that end sees */
    int64_t drip; size_t piece;     /* ms between pieces, of so many    */
    int64_t deaf[2];                /* that end reads nothing until then */
    int answer;                     /* to a call: WIRE_                 */
    int tls[2]; size_t hello[2];    /* VTLS_; octets seen of the other's
                                       hello                            */
    int tls_fate;                   /* of TLS on it: VTLS_GOOD ...      */
    int cr[2];                      /* see world.take: the last was CR  */
} vwire;

enum { WIRE_ANSWERED, WIRE_REFUSED, WIRE_SILENT };

/* TLS that hides nothing. Each end says hello, the client first, and takes
   what comes for the other's; from then on octets go as they are. So all that
   mail.h decides about TLS is seen and tested without a cipher. */
enum { VTLS_NONE, VTLS_CLIENT, VTLS_SERVER, VTLS_RUNS };
enum { VTLS_GOOD, VTLS_FAILS, VTLS_STALLS };
static const char vtls_hello[] = "\x16\x03\x03 hello";

/* A record of the virtual name system, or what is wrong with a name. */
typedef struct vrecord {
    const char *name;
    int type, preference;           /* MAIL_RR_, DNS_CNAME, or WRONG_     */
    const char *data;               /* a name, an address, "" for no name */
} vrecord;

enum {
    WRONG_SERVFAIL = -1,            /* the name server cannot say         */
    WRONG_SILENCE = -2,             /* no answer comes                    */
    WRONG_ID = -3,                  /* answers come, but to another's id  */
    WRONG_CUT = -4                  /* too long for one datagram          */
};

typedef struct vquestion {
    world_host *host;               /* who asks; NULL: free               */
    void *ticket;
    char name[MAIL_DOMAIN_SIZE];
    int type, tcp, late;
    int64_t at;                     /* when the answer comes              */
} vquestion;

enum { WORLD_HOSTS = 4, WORLD_WIRES = 256, WORLD_QUESTIONS = 64 };

struct world {
    int64_t ms, epoch;              /* clock; s since 1970 at ms 0      */
    int64_t still;                  /* the wall clock stands at this    */
    uint64_t seed, luck;
    size_t chunk;                   /* octets a recv gives at most      */
    size_t pieces;                  /* or by chance 1 to so many        */
    /* Who breaks wires: a new one; octets that an end puts on it. */
    void (*wired)(void *ctx, vwire *x);
    void (*tap)(void *ctx, vwire *x, int end, const char *p, size_t n);
    /* What an end's program makes of octets: takes at most n off its pipe
       into p, and changes those that it sends. NULL: they are as they are. */
    size_t (*take)(void *ctx, vwire *x, int end, char *p, size_t n);
    void (*give)(void *ctx, vwire *x, int end, char *p, size_t n);
    /* A program that answers this call; NULL: the host's mail server does. */
    agent *(*serve)(void *ctx, vwire *x);
    void *watch_ctx;
    world_host hosts[WORLD_HOSTS];
    size_t nhosts;
    vwire wires[WORLD_WIRES];
    const vrecord *names; size_t nnames; /* besides those of the hosts  */
    vquestion questions[WORLD_QUESTIONS];
    int64_t name_ms;                /* how long a look-up takes         */
    size_t nwires;                  /* those behind were never used     */
    long fail_alloc;                /* the allocation that fails, or 0  */
    int far;                        /* clients call from beyond loopback */
    int  fail_all;                  /* and all after it                 */
    long failed, live;              /* that did; that are not yet freed */
};

/* --- the disk: names and contents --------------------------------------- */

/* splitmix64: a disk's own chances, apart from the servers' random numbers */
static uint64_t luck_next(uint64_t *luck) {
    uint64_t x = *luck += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Each operation counts as a step; at the chosen one the power goes, and
   nothing that comes after it happens. */
static int vdisk_on(vdisk *d) {
    if (++d->steps == d->cut_at) d->dead = 1;
    return !d->dead;
}

/* The k-th one fails, then no more. */
static int vdisk_fails(long *k) { return *k > 0 && --*k == 0; }

static void vdisk_tell(vdisk *d, int op, const char *path, vnode *node) {
    if (d->watch) d->watch(d->watch_ctx, d, op, path, node);
}

/* The last who used it is gone: so is the content. */
static void vnode_drop(vdisk *d, vnode *node) {
    if (node == NULL || --node->refs) return;
    d->nodes[node->at] = d->nodes[--d->nnodes];
    d->nodes[node->at]->at = node->at;
    free(node->data);
    free(node->safe);
    free(node->marks);
    free(node);
}

static vnode *vdisk_node(vdisk *d) {
    vnode *node;
    if (d->nnodes == d->nodes_cap) {
        size_t cap = d->nodes_cap ? d->nodes_cap * 2 : 32;
        vnode **p = realloc(d->nodes, cap * sizeof *p);
        if (p == NULL) return NULL;
        d->nodes = p;
        d->nodes_cap = cap;
    }
    node = calloc(1, sizeof *node);
    if (node == NULL) return NULL;
    node->serial = ++d->serials;
    node->at = d->nnodes;
    d->nodes[d->nnodes++] = node;
    return node;
}

static int *vdisk_head(vdisk *d, const char *path) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);            /* FNV-1a */
    while (*path) h = (h ^ (unsigned char)*path++) * UINT64_C(0x100000001b3);
    return &d->heads[(h ^ (h >> 32)) & (d->nheads - 1)];
}

static int vdisk_index(vdisk *d, const char *path) {
    int i = d->nheads ? *vdisk_head(d, path) : -1;
    while (i >= 0 && strcmp(d->names[i].path, path) != 0)
        i = d->names[i].next;
    return i;
}

static vname *vdisk_find(vdisk *d, const char *path) {
    int i = vdisk_index(d, path);
    return i < 0 ? NULL : &d->names[i];
}

static int vdisk_grow(vdisk *d) {
    size_t cap = d->cap ? d->cap * 2 : 32, i;
    vname *p = realloc(d->names, cap * sizeof *p);
    int *heads;
    if (p) d->names = p;
    heads = p ? realloc(d->heads, cap * 2 * sizeof *heads) : NULL;
    if (heads == NULL) return 0;
    d->cap = cap;
    d->heads = heads;
    d->nheads = cap * 2;
    for (i = 0; i < d->nheads; i++) heads[i] = -1;
    for (i = 0; i < d->n; i++)
        if (d->names[i].path[0]) {
            int *head = vdisk_head(d, d->names[i].path);
            d->names[i].next = *head;
            *head = (int)i;
        }
    return 1;
}

/* The name's place; made if need be. -1: no memory. */
static int vdisk_name(vdisk *d, const char *path) {
    int i = vdisk_index(d, path), *head;
    vname *e;
    if (i >= 0) return i;
    if (d->spare == 0 && d->n == d->cap && !vdisk_grow(d)) return -1;
    i = d->spare ? d->spare - 1 : (int)d->n++;
    e = &d->names[i];
    if (d->spare) d->spare = e->next;
    memset(e, 0, sizeof *e);
    mail_copy(e->path, sizeof e->path, mail_s(path));
    head = vdisk_head(d, path);
    e->next = *head;
    *head = i;
    return i;
}

/* A name that nothing remembers leaves its place to another. */
static void vdisk_forget(vdisk *d, int i) {
    vname *e = &d->names[i];
    int *at;
    if (!e->path[0] || e->node || e->safe || e->dir || e->safe_dir ||
        e->pending) return;
    for (at = vdisk_head(d, e->path); *at != i; at = &d->names[*at].next) {}
    *at = e->next;
    e->path[0] = 0;
    e->next = d->spare;
    d->spare = i + 1;
}

static void vname_keep(vdisk *d, int i, vnode *node) {      /* durable */
    vnode *old = d->names[i].safe;
    d->names[i].safe = node;
    if (node) node->refs++, node->safes++;
    if (old) old->safes--;
    vnode_drop(d, old);
}

static void vname_now(vdisk *d, int i, vnode *node) {
    vnode *old = d->names[i].node;
    d->names[i].node = node;
    if (node) {
        node->refs++;
        if (node->names++ == 0) d->used += (int64_t)node->n;
    }
    if (old && --old->names == 0) d->used -= (int64_t)old->n;
    vnode_drop(d, old);
}

/* An op is over: applied, or it never was. */
static void vdisk_op_end(vdisk *d, vop *o, int apply) {
    vname *e = &d->names[o->name];
    if (apply && !o->lost) {
        if (o->dir) e->safe_dir = 1;
        else vname_keep(d, o->name, o->node);
    }
    e->pending--;
    vnode_drop(d, o->node);
    vdisk_forget(d, o->name);
}

/* The first n ops become durable, as the kernel does it in its own time. */
static void vdisk_ops_keep(vdisk *d, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) vdisk_op_end(d, &d->ops[i], 1);
    d->nops -= n;
    memmove(d->ops, d->ops + n, d->nops * sizeof *d->ops);
    if (d->nops) d->ops[0].pair = 0;
}

/* The name is that file now; durable when its directory is flushed. pair:
   it gave its file to the name of the op before. */
static void vdisk_set(vdisk *d, int i, vnode *node, int dir, int pair) {
    vop *o;
    if (dir) d->names[i].dir = 1;
    else vname_now(d, i, node);
    if (d->mode == VDISK_SIMPLE) {
        vdisk_forget(d, i);
        return;
    }
    if (d->nops == 4096) vdisk_ops_keep(d, 2048);
    if (d->nops == d->ops_cap) {
        size_t cap = d->ops_cap ? d->ops_cap * 2 : 64;
        o = realloc(d->ops, cap * sizeof *o);
        if (o == NULL) return;
        d->ops = o;
        d->ops_cap = cap;
    }
    o = &d->ops[d->nops++];
    memset(o, 0, sizeof *o);
    o->name = i;
    o->node = node;
    o->dir = dir;
    o->pair = pair;
    if (node) node->refs++;
    d->names[i].pending++;
}

/* Are the directories above a name there? In the simple mode always. */
static int vdisk_home(vdisk *d, const char *path) {
    char dir[MAIL_NAME_SIZE];
    const char *slash = strchr(path, '/');
    for (; slash && d->mode; slash = strchr(slash + 1, '/')) {
        vname *e;
        mail_copy(dir, sizeof dir, mail_sn(path, (size_t)(slash - path)));
        e = vdisk_find(d, dir);
        if (e == NULL || !e->dir) return 0;
    }
    return 1;
}

/* --- the disk: mail_sys ------------------------------------------------- */

static mail_err vdisk_create(vdisk *d, const char *name, vnode **node) {
    int i;
    if (vdisk_fails(&d->fail_space) || (d->limit && d->used >= d->limit))
        return MAIL_ERR_NOSPACE;
    if (!vdisk_home(d, name)) return MAIL_ERR_NOTFOUND;
    i = vdisk_name(d, name);
    *node = i >= 0 ? vdisk_node(d) : NULL;
    if (*node == NULL) return MAIL_ERR_NOMEM;
    vdisk_set(d, i, *node, 0, 0);
    vdisk_tell(d, 'n', name, *node);
    return MAIL_ERR_OK;
}

static int vdisk_open(void *ctx, const char *name, int how) {
    vdisk *d = &((world_host *)ctx)->disk;
    vname *e = vdisk_find(d, name);
    vnode *node = e ? e->node : NULL;
    mail_err err = MAIL_ERR_OK;
    int i;
    if (!vdisk_on(d) || vdisk_fails(&d->fail_open))
        return -1 - (int)MAIL_ERR_IO;
    for (i = 0; i < 64 && d->files[i]; i++) {}
    if (i == 64) return -1 - (int)MAIL_ERR_IO;
    if (how == MAIL_OPEN_BOTH && node) how = MAIL_OPEN_READ;
    if (how == MAIL_OPEN_READ) {
        if (node == NULL) err = MAIL_ERR_NOTFOUND;
    } else if (node) err = MAIL_ERR_EXISTS;
    else err = vdisk_create(d, name, &node);
    if (err) return -1 - (int)err;
    node->refs++;
    d->files[i] = node;
    return i;
}

static int64_t vdisk_read(void *ctx, int file, int64_t at, void *p,
                          size_t n) {
    vdisk *d = &((world_host *)ctx)->disk;
    vnode *node = d->files[file];
    size_t left = (size_t)at < node->n ? node->n - (size_t)at : 0;
    if (vdisk_fails(&d->fail_read)) node->bad = 1;
    if (n > left) n = left;
    if (d->dead || (node->bad && (node->bad_n == 0 ||
        ((size_t)at + n > node->bad_at &&
         (size_t)at < node->bad_at + node->bad_n)))) return -1;
    if (n) memcpy(p, node->data + at, n);
    return (int64_t)n;
}

/* Room for size octets, and a mark for each block of them. */
static int vnode_room(vnode *node, size_t size) {
    size_t blocks;
    char *q;
    unsigned char *marks;
    if (size <= node->cap) return 1;
    size = (size * 2 + VBLOCK - 1) / VBLOCK * VBLOCK;
    blocks = size / VBLOCK;
    q = realloc(node->data, size);
    if (q) node->data = q;
    marks = q ? realloc(node->marks, blocks) : NULL;
    if (marks == NULL) return 0;
    memset(marks + node->nmarks, VBLOCK_CLEAN, blocks - node->nmarks);
    node->marks = marks;
    node->nmarks = blocks;
    node->cap = size;
    return 1;
}

static void vnode_put(vnode *node, size_t at, const void *p, size_t n) {
    size_t first = at < node->n ? at : node->n, end = at + n;
    if (n == 0) return;
    if (at > node->n)                              /* a hole reads as NUL */
        memset(node->data + node->n, 0, at - node->n);
    memcpy(node->data + at, p, n);
    if (end > node->n) node->n = end;
    first /= VBLOCK;
    end = (end + VBLOCK - 1) / VBLOCK;
    memset(node->marks + first, VBLOCK_DIRTY, end - first);
    if (node->lo >= node->hi) {
        node->lo = first;
        node->hi = end;
    }
    if (first < node->lo) node->lo = first;
    if (end > node->hi) node->hi = end;
}

/* Power that goes in the middle of it leaves its first blocks, or fewer. */
static mail_err vdisk_write(void *ctx, int file, int64_t at, const void *p,
                            size_t n) {
    vdisk *d = &((world_host *)ctx)->disk;
    vnode *node = d->files[file];
    size_t end = (size_t)at + n, more = end > node->n ? end - node->n : 0;
    int was = d->dead, on = vdisk_on(d);
    if (was) return MAIL_ERR_IO;
    if (vdisk_fails(&d->fail_space) ||
        (more && d->limit && d->used + (int64_t)more > d->limit))
        return MAIL_ERR_NOSPACE;
    if (!vnode_room(node, end)) return MAIL_ERR_NOMEM;
    if (!on) n = (size_t)(luck_next(&d->luck) % (n / VBLOCK + 1)) * VBLOCK;
    more = node->n;
    vnode_put(node, (size_t)at, p, n);
    if (node->names) d->used += (int64_t)(node->n - more);
    vdisk_tell(d, 'w', "", node);
    return on ? MAIL_ERR_OK : MAIL_ERR_IO;
}

/* A close that fails, as over a network: what was written and not flushed has
   come nowhere. */
static mail_err vdisk_close(void *ctx, int file) {
    vdisk *d = &((world_host *)ctx)->disk;
    vnode *node = d->files[file];
    size_t from = node->lo * VBLOCK;
    int fails = node->lo < node->hi && !d->dead && vdisk_fails(&d->fail_close);
    if (fails) memset(node->data + from, 0, node->n - from);
    vnode_drop(d, node);
    d->files[file] = NULL;
    return fails ? MAIL_ERR_IO : MAIL_ERR_OK;
}

static mail_err vdisk_rename(void *ctx, const char *from, const char *to,
                             int replace) {
    vdisk *d = &((world_host *)ctx)->disk;
    vname *old = vdisk_find(d, from), *e = vdisk_find(d, to);
    vnode *node;
    int i;
    if (!vdisk_on(d)) return MAIL_ERR_IO;
    if (old == NULL || old->node == NULL || !vdisk_home(d, to))
        return MAIL_ERR_NOTFOUND;
    if (e && e->node && !replace) return MAIL_ERR_EXISTS;
    if (e == old) return MAIL_ERR_OK;
    node = old->node;
    i = vdisk_name(d, to);              /* may move the table: old is gone */
    if (i < 0) return MAIL_ERR_NOMEM;
    vdisk_set(d, i, node, 0, 0);
    vdisk_set(d, vdisk_index(d, from), NULL, 0, 1);
    vdisk_tell(d, 'r', to, node);
    return MAIL_ERR_OK;
}

static mail_err vdisk_link(void *ctx, const char *from, const char *to) {
    vdisk *d = &((world_host *)ctx)->disk;
    vname *old = vdisk_find(d, from), *e = vdisk_find(d, to);
    vnode *node;
    int i;
    if (!vdisk_on(d)) return MAIL_ERR_IO;
    if (old == NULL || old->node == NULL || !vdisk_home(d, to))
        return MAIL_ERR_NOTFOUND;
    if (e && e->node) return MAIL_ERR_EXISTS;
    node = old->node;
    i = vdisk_name(d, to);
    if (i < 0) return MAIL_ERR_NOMEM;
    vdisk_set(d, i, node, 0, 0);
    vdisk_tell(d, 'l', to, node);
    return MAIL_ERR_OK;
}

static mail_err vdisk_remove(void *ctx, const char *name) {
    vdisk *d = &((world_host *)ctx)->disk;
    int i = vdisk_index(d, name);
    if (!vdisk_on(d)) return MAIL_ERR_IO;
    if (i < 0 || d->names[i].node == NULL) return MAIL_ERR_NOTFOUND;
    vdisk_tell(d, 'x', name, d->names[i].node);
    vdisk_set(d, i, NULL, 0, 0);
    return MAIL_ERR_OK;
}

static int64_t vdisk_space(void *ctx) {
    vdisk *d = &((world_host *)ctx)->disk;
    return d->limit == 0 ? -1 : d->used < d->limit ? d->limit - d->used : 0;
}

static mail_err vdisk_mkdir(void *ctx, const char *name) {
    vdisk *d = &((world_host *)ctx)->disk;
    int i;
    if (!vdisk_on(d)) return MAIL_ERR_IO;
    if (!vdisk_home(d, name)) return MAIL_ERR_NOTFOUND;
    i = vdisk_name(d, name);
    if (i >= 0 && !d->names[i].dir) vdisk_set(d, i, NULL, 1, 0);
    return i >= 0 ? MAIL_ERR_OK : MAIL_ERR_NOMEM;
}

/* Is path a name in dir itself? Then its last part, else NULL. */
static const char *vdisk_in(const char *path, const char *dir) {
    size_t n = strlen(dir);
    if (strcmp(dir, ".") == 0) return strchr(path, '/') ? NULL : path;
    if (strncmp(path, dir, n) != 0 || path[n] != '/') return NULL;
    return strchr(path + n + 1, '/') ? NULL : path + n + 1;
}

static mail_err vdisk_list(void *ctx, const char *dir,
                           void (*each)(void *arg, const char *name),
                           void *arg) {
    vdisk *d = &((world_host *)ctx)->disk;
    size_t i;
    if (d->dead) return MAIL_ERR_IO;
    for (i = 0; i < d->n; i++) {
        const char *name = vdisk_in(d->names[i].path, dir);
        if (name && (d->names[i].node || d->names[i].dir)) each(arg, name);
    }
    return MAIL_ERR_OK;
}

static mail_err vdisk_flush_now(vdisk *d, const flush_ask *a);

/* On a slow disk a flush is told later; it may be done now or then: nobody
   can know whether it took what was written meanwhile. */
static mail_err vdisk_flush(void *ctx, int file, const char *dir,
                            void *ticket) {
    world_host *h = ctx;
    flush_ask *a;
    size_t i;
    if (h->nasks == h->asks_cap) {
        size_t cap = h->asks_cap ? h->asks_cap * 2 : 16;
        a = realloc(h->asks, cap * sizeof *a);
        if (a == NULL) return MAIL_ERR_NOMEM;
        h->asks = a;
        h->asks_cap = cap;
    }
    a = &h->asks[h->nasks++];
    a->file = file;
    a->ticket = ticket;
    mail_copy(a->dir, sizeof a->dir, mail_s(dir)); /* "": everything */
    a->at = h->w->ms;
    a->early = 0;
    if (h->disk.slow) {
        uint64_t luck = luck_next(&h->disk.luck);
        a->at += (int64_t)(luck / 2 % (uint64_t)h->disk.slow);
        a->early = luck % 2;
    }
    /* A flush of everything begins when the one before it has been told. */
    for (i = 0; i + 1 < h->nasks && file < 0 && !a->dir[0]; i++) {
        const flush_ask *b = &h->asks[i];
        if (b->file >= 0 || b->dir[0]) continue;
        if (a->at < b->at) a->at = b->at;
        a->early = 0;
    }
    if (a->early) a->e = vdisk_flush_now(&h->disk, a);
    return MAIL_ERR_OK;
}

/* --- the disk: flushes -------------------------------------------------- */

/* Its dirty blocks are durable now. A failed flush says so once, and leaves
   pages behind that look clean: no later flush writes them. */
static mail_err vnode_flush(vdisk *d, vnode *node, int fails) {
    size_t i;
    if (!fails) vdisk_tell(d, 'f', "", node);
    if (!fails && node->safe_cap < node->n) {
        char *p = realloc(node->safe, node->cap);
        if (p == NULL) return MAIL_ERR_IO;
        memset(p + node->safe_cap, 0, node->cap - node->safe_cap);
        node->safe = p;
        node->safe_cap = node->cap;
    }
    for (i = node->lo; i < node->hi; i++) {
        size_t at = i * VBLOCK, n = node->n - at;
        if (node->marks[i] != VBLOCK_DIRTY) continue;
        node->marks[i] = fails ? VBLOCK_LOST : VBLOCK_CLEAN;
        if (!fails) memcpy(node->safe + at, node->data + at,
                           n < VBLOCK ? n : VBLOCK);
    }
    node->lo = node->hi = 0;
    if (!fails) node->nsafe = node->n;
    return fails ? MAIL_ERR_IO : MAIL_ERR_OK;
}

/* Which ops a flush of dir takes: all of its names; and what a rename took
   away there is not durable before what it put elsewhere. */
static void vdisk_take(vdisk *d, const char *dir) {
    size_t i;
    for (i = 0; i < d->nops; i++) {
        vname *e = &d->names[d->ops[i].name];
        e->seen = dir[0] == 0 || vdisk_in(e->path, dir) != NULL;
    }
    for (i = d->nops; i--; ) {
        vop *o = &d->ops[i];
        o->take = d->names[o->name].seen > 0;
        if (o->take && o->pair && !o->lost) {
            d->names[d->ops[i - 1].name].seen = 1;
            d->ops[i - 1].lost = 0;
        }
    }
}

/* An ordered disk keeps everything up to the last of them. */
static void vdisk_take_before(vdisk *d) {
    size_t i = d->nops;
    while (i && !d->ops[i - 1].take) i--;
    while (i) d->ops[--i].take = 1;
}

/* A name whose flush has failed is not durable later, either. But a directory
   is, and that a name is gone: nobody could do that again. */
static mail_err vdisk_ops_flush(vdisk *d, int fails) {
    size_t i, n = 0;
    for (i = 0; i < d->nops; i++) {
        vop *o = &d->ops[i];
        if (o->take && fails && !o->dir && (o->node || o->pair)) o->lost = 1;
        if (o->take && !fails) vdisk_op_end(d, o, 1);
        else {
            if (!fails && i && d->ops[i - 1].take) o->pair = 0;
            d->ops[n++] = *o;
        }
    }
    if (!fails) d->nops = n;
    return fails ? MAIL_ERR_IO : MAIL_ERR_OK;
}

static mail_err vdisk_flush_dir(vdisk *d, const char *dir, int fails) {
    size_t i;
    if (d->mode) {
        vdisk_take(d, dir);
        if (d->mode != VDISK_STRICT) vdisk_take_before(d);
        return vdisk_ops_flush(d, fails);
    }
    for (i = 0; i < d->n && !fails; i++) {
        vname *e = &d->names[i];
        if (e->safe == e->node || (dir[0] && !vdisk_in(e->path, dir)))
            continue;
        vname_keep(d, (int)i, e->node);
        vdisk_forget(d, (int)i);
    }
    return fails ? MAIL_ERR_IO : MAIL_ERR_OK;
}

/* ext4 keeps the name of a file with its content. */
static void vdisk_flush_entry(vdisk *d, const vnode *node) {
    size_t i;
    for (i = 0; i < d->nops; i++) d->ops[i].take = d->ops[i].node == node;
    vdisk_take_before(d);
    vdisk_ops_flush(d, 0);
}

static mail_err vdisk_flush_now(vdisk *d, const flush_ask *a) {
    mail_err e = MAIL_ERR_OK, names;
    int fails;
    size_t i;
    if (!vdisk_on(d)) return MAIL_ERR_IO;
    fails = vdisk_fails(&d->fail_flush);
    if (a->file >= 0) {
        vnode *node = d->files[a->file];
        if (node == NULL) return MAIL_ERR_IO;
        if (node->owed) fails = 1;       /* said once to each who flushes */
        node->owed = 0;
        e = vnode_flush(d, node, fails);
        if (!e && d->mode == VDISK_EXT4) vdisk_flush_entry(d, node);
        return e;
    }
    if (!fails) vdisk_tell(d, 'd', a->dir, NULL);
    for (i = 0; i < d->nnodes && a->dir[0] == 0; i++) {
        if (fails && d->nodes[i]->lo < d->nodes[i]->hi) d->nodes[i]->owed = 1;
        e = vnode_flush(d, d->nodes[i], fails);
    }
    names = vdisk_flush_dir(d, a->dir, fails);
    return e ? e : names;
}

/* --- the disk: the power goes ------------------------------------------- */

static int vdisk_chance(vdisk *d, unsigned below) {
    return (int)(luck_next(&d->luck) % below);
}

/* What survives of the unflushed: 0 nothing, 1 all of it, 2 by chance. */
static int vdisk_survives(vdisk *d, int style) {
    return style == 2 ? vdisk_chance(d, 2) : style;
}

static void vnode_cut_block(vdisk *d, vnode *node, size_t i, size_t size,
                            int style) {
    size_t at = i * VBLOCK, n = size > at ? size - at : 0;
    int added = at + VBLOCK > node->nsafe;
    if (n > VBLOCK) n = VBLOCK;
    if (node->marks[i] != VBLOCK_DIRTY || n == 0) return;
    if (vdisk_survives(d, style) || (added && d->mode == VDISK_EXT4))
        memcpy(node->safe + at, node->data + at, n);
    else if (d->mode == VDISK_STRICT && vdisk_chance(d, 2))
        memset(node->safe + at, 0, n);
}

/* Its content is what survives: block by block old, new or zero. */
static void vnode_cut(vdisk *d, vnode *node, int style) {
    size_t size = node->nsafe, i;
    int longer = vdisk_survives(d, style == 0 ? 2 : style);
    if (d->mode && longer) size = node->n;
    if (size > node->safe_cap) {
        char *p = realloc(node->safe, size);
        if (p == NULL) return;
        memset(p + node->safe_cap, 0, size - node->safe_cap);
        node->safe = p;
        node->safe_cap = size;
    }
    for (i = node->lo; i < node->hi && d->mode; i++)
        vnode_cut_block(d, node, i, size, style);
    if (node->names) d->used += (int64_t)size - (int64_t)node->n;
    node->n = node->nsafe = size;
    if (size) memcpy(node->data, node->safe, size);
    if (node->nmarks) memset(node->marks, VBLOCK_CLEAN, node->nmarks);
    node->lo = node->hi = 0;
}

/* Of each name a beginning of its changes; a rename that took a name away
   has given the other one. */
static void vdisk_cut_strict(vdisk *d, int style) {
    size_t i;
    int again = 1;
    for (i = 0; i < d->nops; i++) d->names[d->ops[i].name].seen = 0;
    for (i = 0; i < d->nops; i++) {
        vname *e = &d->names[d->ops[i].name];
        if (e->seen == 0)
            e->kept = style == 2 ? (unsigned)vdisk_chance(d, e->pending + 1)
                                 : style ? e->pending : 0;
        d->ops[i].take = e->seen++ < e->kept;
    }
    while (again) {
        again = 0;
        for (i = d->nops; i--; ) {
            vop *o = &d->ops[i], *to = i ? o - 1 : o;
            size_t k;
            if (!o->take || !o->pair || to->take) continue;
            again = 1;
            for (k = 0; k < i; k++)
                if (d->ops[k].name == to->name) d->ops[k].take = 1;
        }
    }
}

static void vdisk_cut_ordered(vdisk *d, int style) {
    size_t n = style == 2 ? (size_t)vdisk_chance(d, (unsigned)d->nops + 1)
                          : style ? d->nops : 0, i;
    while (n && n < d->nops && d->ops[n].pair) n++;
    for (i = 0; i < d->nops; i++) d->ops[i].take = i < n;
}

/* A name without its directory is lost. */
static void vdisk_cut_homeless(vdisk *d) {
    size_t i;
    for (i = 0; i < d->n && d->mode; i++)
        d->names[i].dir = d->names[i].safe_dir;
    for (i = 0; i < d->n; i++) {
        vname *e = &d->names[i];
        if (e->path[0] && !vdisk_home(d, e->path)) {
            e->dir = e->safe_dir = 0;
            vname_keep(d, (int)i, NULL);
        }
        if (e->node != e->safe) vname_now(d, (int)i, e->safe);
        vdisk_forget(d, (int)i);
    }
}

/* The power goes and comes back: what was flushed is there, and of the rest
   what the mode and chance leave. style: 3 * names + contents, each 0
   nothing, 1 all, 2 by chance; negative: any. */
static void vdisk_power_cut(vdisk *d) {
    int style = d->style < 0 ? vdisk_chance(d, 9) : d->style;
    size_t i;
    for (i = 0; i < 64; i++) {
        if (d->files[i]) vnode_drop(d, d->files[i]);
        d->files[i] = NULL;
    }
    for (i = 0; i < d->nnodes; i++) vnode_cut(d, d->nodes[i], style % 3);
    if (d->mode == VDISK_STRICT) vdisk_cut_strict(d, style / 3);
    else vdisk_cut_ordered(d, style / 3);
    for (i = 0; i < d->nops; i++)
        vdisk_op_end(d, &d->ops[i], d->ops[i].take);
    d->nops = 0;
    vdisk_cut_homeless(d);
    d->dead = 0;
    d->cut_at = 0;
}

static void vdisk_free(vdisk *d) {
    size_t i;
    for (i = 0; i < d->nnodes; i++) {
        free(d->nodes[i]->data);
        free(d->nodes[i]->safe);
        free(d->nodes[i]->marks);
        free(d->nodes[i]);
    }
    free(d->nodes);
    free(d->names);
    free(d->heads);
    free(d->ops);
    memset(d, 0, sizeof *d);
}

/* A file put there from outside, as a person would; durable at once, as are
   the directories above it. */
static void vdisk_put(vdisk *d, const char *path, mail_str text) {
    int i = vdisk_name(d, path);
    vnode *node = i >= 0 ? vdisk_node(d) : NULL;
    const char *slash = strchr(path, '/');
    char dir[MAIL_NAME_SIZE];
    if (node == NULL || !vnode_room(node, text.n)) return;
    vnode_put(node, 0, text.p, text.n);
    vname_now(d, i, node);
    vname_keep(d, i, node);
    vnode_flush(d, node, 0);
    for (; slash; slash = strchr(slash + 1, '/')) {
        mail_copy(dir, sizeof dir, mail_sn(path, (size_t)(slash - path)));
        i = vdisk_name(d, dir);
        if (i >= 0) d->names[i].dir = d->names[i].safe_dir = 1;
    }
}

/* --- wires -------------------------------------------------------------- */

static int vpipe_add(vpipe *p, const void *data, size_t n) {
    if (p->at && p->at + p->n + n > p->cap) {
        memmove(p->p, p->p + p->at, p->n);
        p->at = 0;
    }
    if (p->n + n > p->cap) {
        size_t cap = (p->n + n) * 2;
        char *q = realloc(p->p, cap);
        if (q == NULL) return 0;
        p->p = q;
        p->cap = cap;
    }
    memcpy(p->p + p->at + p->n, data, n);
    p->n += n;
    return 1;
}

static void vpipe_drop(vpipe *p, size_t n) {
    p->n -= n;
    p->at = p->n ? p->at + n : 0;
}

/* How much of n octets comes to that end at once? What is left comes later
   on a wire that drips. */
static size_t world_piece(world *w, vwire *x, int end, size_t n) {
    size_t most = x->drip ? x->piece : w->chunk;
    if (w->pieces && !x->drip)
        most = 1 + (size_t)(luck_next(&w->luck) % w->pieces);
    if (x->drip) x->at[end] = w->ms + x->drip;
    return most && n > most ? most : n;
}

/* Does that end see what has come? When it next may: */
static int vwire_sees(const world *w, const vwire *x, int end) {
    return w->ms >= x->at[end] && w->ms >= x->deaf[end];
}

static int64_t vwire_next(const world *w, const vwire *x) {
    int64_t next = INT64_MAX, t;
    int end;
    for (end = 0; end < 2; end++) {
        t = x->at[end] > x->deaf[end] ? x->at[end] : x->deaf[end];
        if (t > w->ms && t < next) next = t;
    }
    return next;
}

/* A wire's number, seen from an end: twice its index, plus the end. */
static int64_t vwire_recv(void *ctx, int number, void *p, size_t n) {
    world *w = ((world_host *)ctx)->w;
    vwire *x = &w->wires[number / 2];
    vpipe *in = &x->to[number % 2];
    if (!vwire_sees(w, x, number % 2)) return -1;
    if (in->n == 0)              /* TLS knows an end from a wire that is cut */
        return !in->closed ? -1 : x->broken && x->tls[number % 2] ? -2 : 0;
    if (n > in->n) n = in->n;
    n = world_piece(w, x, number % 2, n);
    if (w->take) return (int64_t)w->take(w->watch_ctx, x, number % 2, p, n);
    memcpy(p, in->p + in->at, n);
    vpipe_drop(in, n);
    return (int64_t)n;
}

static void vwire_break(vwire *x) {
    x->broken = x->to[0].closed = x->to[1].closed = 1;
}

/* A wire that is cut takes what fits before the cut and is dead then; one
   end may also only fall silent. */
static size_t vwire_cut(vwire *x, int end, size_t n) {
    size_t *left = end ? &x->back_after : &x->cut_after;
    if (!(end ? x->back : x->cut)) return n;
    if (n >= *left) {
        n = *left;
        if (!end && x->half) x->to[1].closed = 1;
        else vwire_break(x);
    }
    *left -= n;
    return n;
}

static int64_t vwire_put(world *w, int number, const void *p, size_t n) {
    vwire *x = &w->wires[number / 2];
    int other = 1 - number % 2, hello = p == (const void *)vtls_hello;
    vpipe *to = &x->to[other];
    char given[512];
    if (x->gone[other] || x->broken) return -2;
    if (to->n > 256 * 1024) return -1;
    if (to->closed) return (int64_t)n;
    if (w->give && !hello) {
        if (n > sizeof given) n = sizeof given;
        memcpy(given, p, n);
        w->give(w->watch_ctx, x, 1 - other, given, n);
        p = given;
    }
    if (!x->mute || other) n = vwire_cut(x, 1 - other, n);
    if (w->tap && n && !hello) w->tap(w->watch_ctx, x, 1 - other, p, n);
    if (x->mute && other == 0) {
        vwire_break(x);
        return (int64_t)n;
    }
    if (to->n == 0 && x->late) x->at[other] = w->ms + x->late;
    return n == 0 || vpipe_add(to, p, n) ? (int64_t)n : -2;
}

/* A machine without power says nothing more. */
static int64_t vwire_send(void *ctx, int number, const void *p, size_t n) {
    world_host *h = ctx;
    return h->disk.dead ? -2 : vwire_put(h->w, number, p, n);
}

static void vwire_end(world *w, int number) {
    vwire *x = &w->wires[number / 2];
    x->gone[number % 2] = 1;
    x->to[1 - number % 2].closed = 1;
    if (x->gone[0] && x->gone[1]) {
        free(x->to[0].p);
        free(x->to[1].p);
        memset(x, 0, sizeof *x);
    }
}

static void vwire_hangup(void *ctx, int number) {
    world *w = ((world_host *)ctx)->w;
    w->wires[number / 2].conn[number % 2] = NULL;
    vwire_end(w, number);
}

/* --- TLS that hides nothing ---------------------------------------------- */

static mail_err vwire_secure(void *ctx, int number, const char *host,
                             void *conn) {
    world *w = ((world_host *)ctx)->w;
    vwire *x = &w->wires[number / 2];
    int end = number % 2;
    (void)conn;                     /* it is that of the wire */
    if (x->tls[end]) return MAIL_ERR_MISUSE;
    x->tls[end] = host ? VTLS_CLIENT : VTLS_SERVER;
    if (host) vwire_put(w, number, vtls_hello, sizeof vtls_hello - 1);
    return MAIL_ERR_OK;
}

/* Takes what has come, as far as it is the other end's hello. Returns 1 when
   it has all come, 0 when more must come, -1 - why not. */
static int vtls_take(world *w, vwire *x, int end) {
    vpipe *in = &x->to[end];
    size_t *at = &x->hello[end], n, i;
    if (!vwire_sees(w, x, end)) return 0;
    if (in->n == 0 && in->closed) return -1 - (int)MAIL_ERR_CLOSED;
    n = world_piece(w, x, end, in->n);
    for (i = 0; i < n && vtls_hello[*at]; i++, ++*at)
        if (in->p[in->at + i] != vtls_hello[*at])
            return -1 - (int)MAIL_ERR_TLS;
    vpipe_drop(in, i);
    if (vtls_hello[*at]) return 0;
    return x->tls_fate == VTLS_FAILS ? -1 - (int)MAIL_ERR_TLS : 1;
}

/* One step of TLS at one end. Returns 1 if something moved. */
static int vtls_turn(world *w, vwire *x, int end) {
    int number = (int)(x - w->wires) * 2 + end, server, k;
    size_t before = x->to[end].n;
    const char *why;
    mail_err e;
    if ((x->tls[end] != VTLS_CLIENT && x->tls[end] != VTLS_SERVER) ||
        x->tls_fate == VTLS_STALLS) return 0;
    server = x->tls[end] == VTLS_SERVER;
    k = vtls_take(w, x, end);
    if (k == 0) return x->to[end].n != before;
    if (k == 1 && server)
        vwire_put(w, number, vtls_hello, sizeof vtls_hello - 1);
    x->tls[end] = VTLS_RUNS;
    e = k == 1 ? MAIL_ERR_OK : MAIL_ERR_TLS;
    why = k == 1 ? "no cipher" : k == -1 - (int)MAIL_ERR_CLOSED
          ? "the connection ended in the handshake" : "that is no hello";
    if (x->agent && end == x->agent_end) x->agent->secured(x->agent, e, why);
    else if (x->conn[end])
        mail_server_secured(x->host[end]->server, x->conn[end], e, why);
    return 1;
}

static vwire *world_wire(world *w) {
    size_t i;
    for (i = 0; i < WORLD_WIRES; i++)
        if (!w->wires[i].used) {
            memset(&w->wires[i], 0, sizeof w->wires[i]);
            w->wires[i].used = 1;
            if (i == w->nwires) w->nwires++;
            return &w->wires[i];
        }
    return NULL;
}

static world_host *world_find(world *w, const char *host_port, int *port) {
    mail_str host;
    size_t i;
    if (mail_host_port(mail_s(host_port), &host, port)) return NULL;
    for (i = 0; i < w->nhosts; i++)
        if (mail_eq(host, mail_s(w->hosts[i].name)) ||
            mail_eq(host, mail_s(w->hosts[i].address))) return &w->hosts[i];
    return NULL;
}

static int world_port(int port) {
    return port == 110 ? MAIL_PORT_POP3 : port == 995 ? MAIL_PORT_POP3S :
           port == 465 ? MAIL_PORT_SMTPS :
           port == 587 ? MAIL_PORT_SUBMISSION : MAIL_PORT_SMTP;
}

/* The other end answers in the next step, as a real one would: -1 - error
   if there is no such address. */
static int vwire_connect(void *ctx, const char *host_port, void *conn) {
    world_host *h = ctx;
    int port;
    world_host *to = world_find(h->w, host_port, &port);
    vwire *x = to ? world_wire(h->w) : NULL;
    if (x == NULL) return -1 - (int)MAIL_ERR_NOTFOUND;
    x->host[0] = h;
    x->host[1] = to;
    x->conn[0] = conn;
    x->pending = x->port = port;
    if (h->w->wired) h->w->wired(h->w->watch_ctx, x);
    return (int)(x - h->w->wires) * 2;
}

/* --- names --------------------------------------------------------------- */

/* The name server of the world. Its answers are octets, which dns_read reads
   as it reads those of a real one. */
static int vrecord_put(unsigned char *p, size_t n, const vrecord *v) {
    unsigned char data[512];
    int k = dn_comp(v->name, p, (int)n, NULL, NULL), size = 0;
    if (v->type == MAIL_RR_MX) {
        data[0] = (unsigned char)(v->preference >> 8);
        data[1] = (unsigned char)v->preference;
        size = 2 + dn_comp(v->data, data + 2, 255, NULL, NULL);
    } else if (v->type == DNS_CNAME)
        size = dn_comp(v->data, data, 255, NULL, NULL);
    else if (v->type == MAIL_RR_A && inet_pton(AF_INET, v->data, data) == 1)
        size = 4;
    else if (inet_pton(AF_INET6, v->data, data) == 1) size = 16;
    if (k < 0 || size <= 0 || n < (size_t)(k + 10 + size)) return 0;
    p += k;
    memset(p, 0, 10);
    p[1] = (unsigned char)v->type;
    p[3] = DNS_IN;
    p[6] = 1;                                     /* true for 256 s */
    p[9] = (unsigned char)size;
    memcpy(p + 10, data, (size_t)size);
    return k + 10 + size;
}

/* Adds the records of a name. Whoever is asked for is there if it has any;
   a CNAME is followed. Returns what is wrong with the name, or 0. */
static int vname_find(world *w, const char *name, int type, int links,
                      unsigned char *p, size_t cap, size_t *n, int *there) {
    size_t i;
    int wrong = 0;
    for (i = 0; i < w->nnames + w->nhosts && !wrong; i++) {
        const world_host *h = i < w->nnames ? NULL : &w->hosts[i - w->nnames];
        vrecord v = { NULL, MAIL_RR_A, 0, NULL };
        int k;
        if (h) v.name = h->name, v.data = h->address;
        else v = w->names[i];
        if (!mail_ieq(mail_s(v.name), mail_s(name))) continue;
        *there = 1;
        if (v.type < 0) wrong = v.type;
        if (v.type != type && v.type != DNS_CNAME) continue;
        if ((k = vrecord_put(p + *n, cap - *n, &v)) == 0) continue;
        *n += (size_t)k;
        if (++p[7] == 0) p[6]++;                  /* one record more */
        if (v.type == DNS_CNAME && links < 20) {
            *there = 0;
            wrong = vname_find(w, v.data, type, links + 1, p, cap, n, there);
        }
    }
    return wrong;
}

static mail_err vname_lookup(void *ctx, const char *name, int type,
                             void *ticket) {
    world *w = ((world_host *)ctx)->w;
    size_t i;
    for (i = 0; i < WORLD_QUESTIONS; i++) {
        vquestion *q = &w->questions[i];
        if (q->host) continue;
        q->host = ctx;
        q->ticket = ticket;
        q->type = type;
        q->tcp = q->late = 0;
        q->at = w->ms + w->name_ms;
        mail_copy(q->name, sizeof q->name, mail_s(name));
        return MAIL_ERR_OK;
    }
    return MAIL_ERR_BUSY;
}

static void vname_answer(world *w, vquestion *q) {
    static unsigned char p[65536];
    static dns_answer a;
    world_host *h = q->host;
    size_t n = dns_question(p, sizeof p, 1, q->name, q->type);
    int there = 0, wrong = n ? vname_find(w, q->name, q->type, 0, p, sizeof p,
                                          &n, &there) : 0;
    mail_err e = MAIL_ERR_NOTFOUND;
    p[2] = (unsigned char)(wrong == WRONG_CUT && !q->tcp ? 0x82 : 0x80);
    p[3] = wrong == WRONG_SERVFAIL ? 2 : there ? 0 : 3;   /* the rcode */
    if (wrong == WRONG_ID) p[1] = 99;
    if (n) e = dns_read(p, n, 1, q->name, q->type, &a);
    if (wrong == WRONG_SILENCE) e = MAIL_ERR_PROTOCOL;
    if (!e && a.cut && !q->tcp++) {               /* once more, over TCP */
        q->at = w->ms + w->name_ms;
        return;
    }
    if (e == MAIL_ERR_PROTOCOL && !q->late) {     /* waited for in vain */
        q->late = 1;
        q->at = w->ms + DNS_ALL_MS;
        return;
    }
    q->host = NULL;
    if (e == MAIL_ERR_PROTOCOL) e = MAIL_ERR_TIMEOUT;
    mail_server_found(h->server, q->ticket, e ? e : a.e, a.rr,
                      e ? 0 : a.n);
}

/* Its server is another one now. */
static void names_forget(world_host *h) {
    size_t i;
    for (i = 0; i < WORLD_QUESTIONS; i++)
        if (h->w->questions[i].host == h) h->w->questions[i].host = NULL;
}

static int64_t names_due(const world *w) {
    int64_t due = INT64_MAX;
    size_t i;
    for (i = 0; i < WORLD_QUESTIONS; i++)
        if (w->questions[i].host && w->questions[i].at < due)
            due = w->questions[i].at;
    return due;
}

/* The answers that have come by now. */
static int names_turn(world *w) {
    size_t i;
    int moved = 0;
    for (i = 0; i < WORLD_QUESTIONS; i++) {
        vquestion *q = &w->questions[i];
        if (q->host && q->host->server == NULL) q->host = NULL;
        if (q->host && q->at <= w->ms) {
            vname_answer(w, q);
            moved = 1;
        }
    }
    return moved;
}

/* --- time, chance, memory ----------------------------------------------- */

static int64_t world_clock(void *ctx) { return ((world_host *)ctx)->w->ms; }

static int64_t world_time(void *ctx, int *zone) {
    world *w = ((world_host *)ctx)->w;
    *zone = 540;                                  /* Seoul */
    return w->still ? w->still : w->epoch + w->ms / 1000;
}

static void world_random(void *ctx, void *p, size_t n) {
    world *w = ((world_host *)ctx)->w;
    unsigned char *at = p;
    while (n--) {                                 /* xorshift64* */
        w->seed ^= w->seed >> 12;
        w->seed ^= w->seed << 25;
        w->seed ^= w->seed >> 27;
        *at++ = (unsigned char)(w->seed * UINT64_C(2685821657736338717) >>
                                56);
    }
}

static void *world_alloc(void *ctx, void *p, size_t n) {
    world *w = ((world_host *)ctx)->w;
    void *q;
    if (n == 0) {
        w->live -= p != NULL;
        free(p);
        return NULL;
    }
    if (w->fail_alloc && --w->fail_alloc == 0) {
        w->fail_alloc = w->fail_all;
        w->failed++;
        return NULL;
    }
    q = realloc(p, n);
    w->live += q != NULL && p == NULL;
    return q;
}

static void world_init(world *w, uint64_t seed) {
    memset(w, 0, sizeof *w);
    w->seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w->luck = seed;
    w->epoch = 1767225600;                        /* 2026-01-01 UTC */
}

static world_host *world_host_add(world *w, const char *name,
                                  const char *address) {
    world_host *h = &w->hosts[w->nhosts++];
    mail_sys *s = &h->sys;
    h->w = w;
    h->name = name;
    h->address = address;
    s->ctx = h;
    s->clock = world_clock;
    s->time = world_time;
    s->random = world_random;
    s->alloc = world_alloc;
    s->open = vdisk_open;
    s->read = vdisk_read;
    s->write = vdisk_write;
    s->close = vdisk_close;
    s->rename = vdisk_rename;
    s->link = vdisk_link;
    s->remove = vdisk_remove;
    s->mkdir = vdisk_mkdir;
    s->list = vdisk_list;
    s->space = vdisk_space;
    s->flush = vdisk_flush;
    s->recv = vwire_recv;
    s->send = vwire_send;
    s->lookup = vname_lookup;
    s->connect = vwire_connect;
    s->secure = vwire_secure;
    s->hangup = vwire_hangup;
    return h;
}

static mail_err world_boot(world_host *h) {
    mail_err e;
    names_forget(h);
    h->nasks = 0;                   /* what another server had asked for */
    if (!h->opts.journal) h->opts.journal = 256 * 1024;
    h->server = mail_server_open(&h->sys, &h->opts, &e);
    return e;
}

/* The server ends; what it asked for is forgotten. */
static void world_stop(world_host *h) {
    mail_server *v = h->server;
    h->server = NULL;
    mail_server_close(v);
    h->nasks = 0;
}

/* The host stops in the middle of everything: its wires break, and only
   what was flushed is on its disk when it boots again. */
static void world_crash(world_host *h) {
    h->disk.dead = 1;
    world_stop(h);
    vdisk_power_cut(&h->disk);
}

static void world_free(world *w) {
    size_t i;
    for (i = 0; i < w->nhosts; i++) {
        mail_server_close(w->hosts[i].server);
        w->hosts[i].server = NULL;
    }
    for (i = 0; i < WORLD_WIRES; i++) {
        free(w->wires[i].to[0].p);
        free(w->wires[i].to[1].p);
    }
    for (i = 0; i < w->nhosts; i++) {
        vdisk_free(&w->hosts[i].disk);
        free(w->hosts[i].asks);
    }
}

static int agent_turn(world *w, vwire *x);

/* A client program connects to "host:port". NULL: nobody answers. */
static vwire *world_call(world *w, agent *a, const char *host_port,
                         const char *from) {
    int port;
    world_host *h = world_find(w, host_port, &port);
    vwire *x = h && h->server ? world_wire(w) : NULL;
    if (x == NULL) return NULL;
    x->agent = a;
    x->port = port;
    x->host[1] = h;
    if (w->wired) w->wired(w->watch_ctx, x);
    if (x->answer) {
        x->used = 0;
        return NULL;
    }
    x->conn[1] = mail_server_accept(h->server, (int)(x - w->wires) * 2 + 1,
                                    world_port(port), from, !w->far);
    if (x->conn[1] == NULL) {
        x->used = 0;
        return NULL;
    }
    /* In TLS the client speaks first, and may well be the faster one. */
    if (a->tls && luck_next(&w->luck) & 1) agent_turn(w, x);
    mail_server_ready(h->server, x->conn[1]);
    return x;
}

/* An outgoing connection of a server is made, or there is nobody. */
static void world_answer(world *w, vwire *x) {
    world_host *from = x->host[0], *to = x->host[1];
    int port = x->pending, number = (int)(x - w->wires) * 2;
    mail_conn *c = NULL;
    x->pending = 0;
    if (x->answer == WIRE_SILENT) {          /* until the caller gives up */
        x->gone[1] = 1;
        return;
    }
    x->agent_end = 1;
    if (!x->answer && w->serve) x->agent = w->serve(w->watch_ctx, x);
    if (to->server && !x->answer && !x->agent)
        c = mail_server_accept(to->server, number + 1, world_port(port),
                               from->address, 1);
    if (c == NULL && x->agent == NULL) {
        x->gone[1] = 1;
        x->to[0].closed = 1;
        if (x->conn[0])
            mail_server_connected(from->server, x->conn[0], MAIL_ERR_IO,
                                  "connection refused");
        return;
    }
    x->conn[1] = c;
    if (c) mail_server_ready(to->server, c);
    if (x->conn[0])
        mail_server_connected(from->server, x->conn[0], MAIL_ERR_OK, NULL);
}

static int agent_turn(world *w, vwire *x) {
    agent *a = x->agent;
    int end = x->agent_end, number = (int)(x - w->wires) * 2 + end;
    int moved = 0, broken = 0;
    vpipe *in = &x->to[end];
    mail_str out;
    a->tick(a, w->ms);
    while ((out = a->out(a)).n) {
        int64_t k = vwire_put(w, number, out.p, out.n);
        broken = k == -2;
        if (k <= 0) break;
        a->sent(a, (size_t)k);
        moved = 1;
    }
    if (out.n == 0 && !x->tls[end] && a->tls && a->tls(a)) {
        x->tls[end] = VTLS_CLIENT;
        vwire_put(w, number, vtls_hello, sizeof vtls_hello - 1);
        return 1;
    }
    if (x->tls[end] == VTLS_CLIENT && !a->over) return moved;
    if (in->n && vwire_sees(w, x, end)) {
        size_t k = a->feed(a, in->p + in->at, world_piece(w, x, end, in->n));
        vpipe_drop(in, k);
        moved |= k > 0;
    } else if (((in->closed && in->n == 0) || broken) && !a->over) {
        a->eof(a);
        moved = 1;
    }
    if (a->over && (broken || a->out(a).n == 0)) {
        x->agent = NULL;
        vwire_end(w, number);
        moved = 1;
    }
    return moved;
}

static int wire_turn(world *w, vwire *x) {
    int end, moved = 0;
    if (x->pending) {
        world_answer(w, x);
        return 1;
    }
    if (x->agent) moved = agent_turn(w, x);
    for (end = 0; end < 2 && x->used; end++)
        moved |= vtls_turn(w, x, end);
    for (end = 0; end < 2; end++) {
        mail_conn *c = x->conn[end];
        int want = c ? mail_conn_wants(c) : 0;
        int input = (x->to[end].n > 0 || x->to[end].closed) &&
                    vwire_sees(w, x, end);
        if (c == NULL || x->pending) continue;
        if ((want & MAIL_WANT_WRITE) ||
            ((want & MAIL_WANT_READ) && input)) {
            size_t before = x->to[1 - end].n + x->to[end].n;
            mail_server_ready(x->host[end]->server, c);
            moved |= x->to[1 - end].n + x->to[end].n != before ||
                     x->conn[end] == NULL || !(want & MAIL_WANT_WRITE);
        }
    }
    return moved;
}

/* Does what was asked and is due, each directory once, and then tells who
   asked, as the real machine does (see flush_all). */
static int host_turn(world_host *h) {
    size_t n = 0, left = 0, i, k;
    flush_ask *due;
    if (h->server == NULL || h->nasks == 0) return 0;
    due = calloc(h->nasks, sizeof *due);
    if (due == NULL) return 0;
    for (i = 0; i < h->nasks; i++)
        if (h->asks[i].at <= h->w->ms) due[n++] = h->asks[i];
        else h->asks[left++] = h->asks[i];
    h->nasks = left;
    for (i = 0; i < n; i++) {
        flush_ask *a = &due[i];
        for (k = 0; k < i && a->file < 0; k++)
            if (due[k].file < 0 && strcmp(due[k].dir, a->dir) == 0) break;
        if (a->early) continue;
        a->e = a->file < 0 && k < i && !due[k].early
                   ? due[k].e : vdisk_flush_now(&h->disk, a);
    }
    for (i = 0; i < n; i++)
        if (due[i].ticket)
            mail_server_flushed(h->server, due[i].ticket, due[i].e);
    free(due);
    return n > 0;
}

/* Everything that can move without time passing, moves once. */
static int world_turn(world *w) {
    int moved = 0;
    size_t i;
    for (i = 0; i < w->nwires; i++)
        if (w->wires[i].used) moved |= wire_turn(w, &w->wires[i]);
    for (i = 0; i < w->nhosts; i++) moved |= host_turn(&w->hosts[i]);
    moved |= names_turn(w);
    for (i = 0; i < w->nhosts && !moved; i++)
        if (w->hosts[i].server &&
            mail_server_due(w->hosts[i].server) <= w->ms) {
            mail_server_tick(w->hosts[i].server);
            moved = 1;
        }
    return moved;
}

static void world_settle(world *w) { while (world_turn(w)) {} }

/* When is the next flush of a host done? */
static int64_t host_flushed(const world_host *h) {
    int64_t next = INT64_MAX;
    size_t i;
    for (i = 0; i < h->nasks; i++)
        if (h->asks[i].at < next) next = h->asks[i].at;
    return next;
}

/* When does something happen by itself? */
static int64_t world_next(world *w) {
    int64_t next = names_due(w), t;
    size_t i;
    for (i = 0; i < w->nhosts; i++) {
        if (w->hosts[i].server == NULL) continue;
        t = mail_server_tick(w->hosts[i].server);
        if (t < next) next = t;
        t = host_flushed(&w->hosts[i]);
        if (t < next) next = t;
    }
    for (i = 0; i < w->nwires; i++) {
        vwire *x = &w->wires[i];
        if (!x->used) continue;
        t = vwire_next(w, x);
        if (t < next) next = t;
        t = x->agent ? x->agent->tick(x->agent, w->ms) : next;
        if (t < next) next = t;
    }
    return next;
}

/* Lets the world run until nothing is due before that time (ms): the clock
   jumps from one deadline to the next. */
static void world_run(world *w, int64_t until) {
    for (;;) {
        int64_t next;
        world_settle(w);
        next = world_next(w);
        if (next > until) break;
        if (next > w->ms) w->ms = next;
    }
    if (w->ms < until) w->ms = until;
}

/* ======================================================================
   [CLIENT] a client program over a socket                         ch.14
   What mail_send and mail_fetch have in common. It waits, and does nothing
   else to the process that it is in: no output, no exit, no signal.
   ====================================================================== */

/* What SCRAM needs and a session has not: octets that nobody can guess. */
enum { NONCE_SIZE = MAIL_B64_SIZE(18) + 1, CONNECT_MS = 30000 };

typedef struct client {
    const mail_peer *o;
    mail_result *r;
    int64_t until;                  /* ms: the deadline                   */
    int fd, local;                  /* local: the server is on this machine */
    mail_tls mode;                  /* what comes of o->tls               */
    char server[MAIL_NAME_SIZE];    /* HOST:PORT                          */
    char host[MAIL_DOMAIN_SIZE];    /* its host, for the certificate      */
    char nonce[NONCE_SIZE];
    tls_keys *keys;
    tls_wire *tls;
} client;

/* The first error stays, with its words. */
MAIL_PRINTF(3, 4)
static mail_err call_fail(mail_result *r, mail_err e, const char *fmt, ...) {
    va_list ap;
    if (r->err || !e) return r->err;
    r->err = e;
    va_start(ap, fmt);
    vsnprintf(r->words, sizeof r->words, fmt, ap);
    va_end(ap);
    return e;
}

static mail_err nonce_make(char nonce[NONCE_SIZE]) {
    unsigned char r[18];
    mail_buf b = mail_buf_on(nonce, NONCE_SIZE - 1);
    if (!random_fill(r, sizeof r)) return MAIL_ERR_IO;
    mail_b64_encode(&b, mail_sn((char *)r, sizeof r));
    nonce[b.n] = 0;
    return MAIL_ERR_OK;
}

/* How long may something take that has ms of its own? */
static int client_wait(const client *c, int64_t ms) {
    int64_t left = c->until - sys_clock(NULL);
    return (int)(left < 0 ? 0 : left < ms ? left : ms);
}

/* Connects, within ms; the socket does not block any more. 0, or -1. */
static int connect_within(int fd, const struct addrinfo *a, int ms) {
    struct pollfd p = { fd, POLLOUT, 0 };
    int e = 0, n;
    socklen_t size = sizeof e;
    socket_ready(fd);
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) return 0;
    if (errno != EINPROGRESS && errno != EINTR) return -1;
    while ((n = poll(&p, 1, ms)) < 0 && errno == EINTR) {}
    if (n > 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size);
    errno = n > 0 ? e : ETIMEDOUT;
    return errno ? -1 : 0;
}

/* Is it on this machine? Where it may be on another one (unsealed), only an
   address says so, or localhost: what a name server says, somebody in between
   may have said, and the password would go in clear to who waits here. */
static int client_here(const client *c, const struct sockaddr *a) {
    net_address own;
    return is_loopback(a) && (!c->o->unsealed || address_set(&own, c->host, 0)
                              || mail_ieq(mail_s(c->host),
                                          mail_s("localhost")));
}

static mail_err client_connect(client *c) {
    const char *why = "nobody answers";
    struct addrinfo *found = net_find(c->server, 0, &why), *a;
    mail_err e = found ? MAIL_ERR_IO : MAIL_ERR_NOTFOUND;
    for (a = found; a && c->fd < 0; a = a->ai_next) {
        c->local = client_here(c, a->ai_addr);
        if (!c->o->unsealed && !c->local) {
            e = MAIL_ERR_SEALED;
            why = "it is not on this machine";
            continue;
        }
        c->fd = socket(a->ai_family, SOCK_STREAM, 0);
        if (c->fd < 0 || connect_within(c->fd, a,
                                        client_wait(c, CONNECT_MS))) {
            e = errno == ETIMEDOUT ? MAIL_ERR_TIMEOUT : MAIL_ERR_IO;
            why = strerror(errno);
            if (c->fd >= 0) close(c->fd);
            c->fd = -1;
        }
    }
    if (found) freeaddrinfo(found);
    return c->fd >= 0 ? MAIL_ERR_OK
                      : call_fail(c->r, e, "%s: %s", c->server, why);
}

/* Beyond this machine nothing is said in clear unless in_clear says so; on it
   there is nobody in between, and mostly no certificate. */
static mail_err client_secure(client *c, int port) {
    const mail_peer *o = c->o;
    const char *why = NULL;
    c->mode = o->in_clear ? MAIL_TLS_NO : o->tls ? o->tls :
              port == 465 || port == 995 ? MAIL_TLS_NOW :
              c->local ? MAIL_TLS_NO : MAIL_TLS_MUST;
    if (c->mode == MAIL_TLS_NO) return MAIL_ERR_OK;
    c->keys = tls_client_keys(o->cafile, &why);
    if (c->keys) return MAIL_ERR_OK;
    return call_fail(c->r, MAIL_ERR_TLS, "%s%s%s", o->cafile ? o->cafile : "",
                     o->cafile ? ": " : "", why);
}

static void client_close(client *c) {
    tls_free(c->tls);
    tls_keys_free(c->keys);
    if (c->fd >= 0) close(c->fd);
    mail_wipe(c->nonce, sizeof c->nonce);
}

/* Connects to o->server, or at; what is needed to talk to it is ready then. */
static mail_err client_open(client *c, const mail_peer *o, const char *at,
                            mail_result *r) {
    mail_str host;
    int port = 0;
    memset(c, 0, sizeof *c);
    c->o = o;
    c->r = r;
    c->fd = -1;
    c->until = o->deadline > 0 ? sys_clock(NULL) + o->deadline : INT64_MAX;
    if (o->server) at = o->server;
    if (!mail_copy(c->server, sizeof c->server, mail_s(at)) ||
        mail_host_port(mail_s(at), &host, &port) ||
        mail_has_control(mail_s(at)) ||
        !mail_copy(c->host, sizeof c->host, host))
        return call_fail(r, MAIL_ERR_SYNTAX, "the server is HOST:PORT");
    if (!host.n) mail_copy(c->host, sizeof c->host, mail_s("127.0.0.1"));
    if (nonce_make(c->nonce))
        return call_fail(r, MAIL_ERR_IO, "/dev/urandom cannot be read");
    if (client_connect(c) || client_secure(c, port)) client_close(c);
    return r->err;
}

static int64_t client_recv(const client *c, void *p, size_t n) {
    return c->tls ? tls_recv(c->tls, p, n) : net_recv(NULL, c->fd, p, n);
}

static int64_t client_send(const client *c, const void *p, size_t n) {
    return c->tls ? tls_send(c->tls, p, n) : net_send(NULL, c->fd, p, n);
}

/* Begins TLS when the program asks for it, and takes it a step on. Returns 1
   as long as it is being made. */
static int client_shake(client *c, agent *a) {
    int k;
    if (!c->tls && a->tls && a->tls(a)) {
        c->tls = tls_new(c->keys, c->fd, c->host, !c->o->insecure);
        if (c->tls == NULL) a->secured(a, MAIL_ERR_NOMEM, NULL);
    }
    if (!c->tls || c->tls->made || a->over) return 0;
    k = tls_shake(c->tls);
    if (k) a->secured(a, k > 0 ? MAIL_ERR_OK : MAIL_ERR_TLS,
                      k > 0 ? NULL : c->tls->why);
    return k == 0;
}

/* Waits for what the socket shall do, no longer than the program and the
   deadline allow. */
static void client_poll(const client *c, int want, int64_t wait) {
    struct pollfd p;
    if (c->tls) want = tls_wants(c->tls, want);
    p.fd = c->fd;
    p.events = (short)((want & MAIL_WANT_WRITE ? POLLOUT : 0) |
                       (want & MAIL_WANT_READ ? POLLIN : 0));
    if (wait < 0 || (c->tls && tls_holds(c->tls))) wait = 0;
    poll(&p, 1, client_wait(c, wait < 1000 ? wait : 1000));
}

/* Carries octets between a socket and a client program until it is over, or
   the deadline is. */
static void client_run(client *c, agent *a) {
    char buf[16384];
    size_t at = 0, n = 0;
    while (!a->over || a->out(a).n) {
        mail_str out;
        int64_t now = sys_clock(NULL), wait = a->tick(a, now) - now, k;
        int shakes;
        if (now >= c->until) {
            call_fail(c->r, MAIL_ERR_TIMEOUT, "the deadline is reached");
            return;
        }
        while ((out = a->out(a)).n) {
            k = client_send(c, out.p, out.n);
            if (k == -2) a->eof(a);
            if (k < 0) break;
            a->sent(a, (size_t)k);
        }
        /* What came in clear is the session's to judge, before TLS. */
        shakes = out.n == 0 && at == n && client_shake(c, a);
        if (out.n == 0 && a->out(a).n) continue;
        if (at < n) {
            size_t used = a->feed(a, buf + at, n - at);
            at += used;
            if (used || a->out(a).n || a->over) continue;
        }
        if (a->over) return;        /* what is left, nobody takes any more */
        client_poll(c, (out.n ? MAIL_WANT_WRITE : 0) |
                       (at == n ? MAIL_WANT_READ : 0), wait);
        if (at < n || shakes) continue;
        k = client_recv(c, buf, sizeof buf);
        at = 0;
        n = k > 0 ? (size_t)k : 0;
        if (k == 0 || k == -2) a->eof(a);
    }
}

/* ======================================================================
   [SEND] the client MTA, with a message to send                    ch.7
   ====================================================================== */

typedef struct send_rcpt {
    mail_path path;
    const mail_param *param;        /* what else RCPT says, or NULL     */
    int  code;                      /* its answer, 0 if there was none */
    char words[512];
} send_rcpt;

typedef struct sender sender;

struct sender {
    agent a;
    mail_smtpc c;
    int (*more)(sender *s);  /* a transaction is over, or could not
                                begin: 1 if another is ready. NULL: no  */
    mail_path from;
    send_rcpt *rcpts; size_t nrcpts;
    size_t first, next, most;       /* of this transaction: from, to, and
                                how many it may have, 0: all            */
    int64_t (*read)(void *ctx, void *p, size_t n);  /* 0: the end, -1 */
    void *ctx;
    char  text[1024]; size_t text_at, text_n;       /* read, not sent */
    int   has_8bit, started, asked_data, ended;
    int64_t size;                   /* or -1: not known                */
    int   bdat;                     /* it is exact: BDAT, if that can be */
    mail_param param;               /* what else MAIL and RCPT say     */
    mail_err err;                   /* why nothing was sent            */
    int   code;                     /* the answer to the message       */
    char  words[512];
};

/* MAIL, for the recipients from first on. */
static mail_err sender_mail(sender *s) {
    size_t i;
    mail_err e;
    for (i = s->first; i < s->nrcpts; i++) s->rcpts[i].code = 0;
    s->next = s->first;
    s->text_at = s->text_n = 0;
    s->asked_data = s->ended = s->code = 0;
    s->words[0] = 0;
    s->started = 1;
    s->param.size = s->size > 0 ? s->size : 0;
    s->param.body_8bit = s->has_8bit;
    e = mail_smtpc_mail(&s->c, &s->from, &s->param);
    if (e && !s->err) s->err = e;
    return e;
}

/* The next mail that can be sent; if there is none, good-bye. */
static void sender_on(sender *s, int ready) {
    while (ready && sender_mail(s)) ready = s->more && s->more(s);
    if (!ready) mail_smtpc_quit(&s->c);
}

/* Recipients that a transaction may have: what LIMITS said (RFC 9422), or what
   the last one has shown. */
static size_t sender_room(const sender *s) {
    size_t said = (size_t)s->c.max_rcpts;
    if (s->c.opts.all) return SIZE_MAX;
    return s->most && (!said || s->most < said) ? s->most :
           said ? said : SIZE_MAX;
}

static void sender_rcpts(sender *s) {
    if (s->asked_data || s->c.state != MAIL_SMTPC_MAIL) return;
    while (s->next < s->nrcpts && s->next - s->first < sender_room(s)) {
        const send_rcpt *p = &s->rcpts[s->next];
        if (mail_smtpc_rcpt(&s->c, &p->path, p->param ? p->param : &s->param))
            return;
        s->next++;
    }
    s->asked_data = (s->bdat && mail_smtpc_bdat(&s->c, s->size) ==
                     MAIL_ERR_OK) || mail_smtpc_data(&s->c) == MAIL_ERR_OK;
}

/* Text into the session, as much as it takes; at the end, the end. A file
   that breaks off is not a message: the connection is dropped before the
   dot, and nobody delivers half of it. */
static void sender_text(sender *s) {
    while (s->c.state == MAIL_SMTPC_TEXT && !s->ended) {
        size_t k;
        if (s->text_at == s->text_n) {
            int64_t n = s->read(s->ctx, s->text, sizeof s->text);
            if (n < 0) {
                s->err = MAIL_ERR_IO;
                s->a.over = 1;
                return;
            }
            s->text_at = 0;
            s->text_n = (size_t)n;
            if (n == 0) {
                if (mail_smtpc_end(&s->c) == MAIL_ERR_OK) s->ended = 1;
                return;
            }
        }
        k = mail_smtpc_write(&s->c, s->text + s->text_at,
                             s->text_n - s->text_at);
        s->text_at += k;
        if (k == 0) return;
    }
}

static void sender_event(sender *s, const mail_event *ev) {
    send_rcpt *p;
    switch (ev->kind) {
    case MAIL_EV_READY:
        sender_on(s, 1);
        break;
    case MAIL_EV_RCPT:
        p = &s->rcpts[s->first + (size_t)ev->number];
        p->code = ev->code;
        mail_copy(p->words, sizeof p->words, ev->text);
        break;
    case MAIL_EV_DONE:
        s->code = ev->code;
        mail_copy(s->words, sizeof s->words, ev->text);
        sender_on(s, s->more && s->more(s));
        break;
    case MAIL_EV_CLOSED:
        if (!s->err) s->err = s->c.err;
        s->a.over = 1;
        break;
    default:
        break;
    }
}

static void sender_move(sender *s) {
    mail_event ev;
    while (mail_smtpc_next(&s->c, &ev)) sender_event(s, &ev);
    sender_rcpts(s);
    sender_text(s);
}

static size_t sender_feed(agent *a, const char *in, size_t n) {
    sender *s = (sender *)a;
    size_t used = mail_smtpc_feed(&s->c, in, n);
    sender_move(s);
    return used;
}

static mail_str sender_out(agent *a) {
    return mail_smtpc_out(&((sender *)a)->c);
}

static void sender_sent(agent *a, size_t n) {
    sender *s = (sender *)a;
    mail_smtpc_sent(&s->c, n);
    sender_move(s);
}

static int64_t sender_tick(agent *a, int64_t now) {
    sender *s = (sender *)a;
    int64_t due = mail_smtpc_tick(&s->c, now);
    sender_move(s);
    return due;
}

static void sender_eof(agent *a) {
    sender *s = (sender *)a;
    mail_smtpc_eof(&s->c);
    sender_move(s);
}

static int sender_tls(agent *a) {
    return ((sender *)a)->c.state == MAIL_SMTPC_TLS;
}

static void sender_secured(agent *a, mail_err e, const char *why) {
    sender *s = (sender *)a;
    mail_smtpc_tls(&s->c, e, why);
    sender_move(s);
}

static mail_err sender_init(sender *s, mail_smtpc_opts o) {
    s->a.over = 0;
    s->most = 0;
    s->a.feed = sender_feed;
    s->a.out = sender_out;
    s->a.sent = sender_sent;
    s->a.tick = sender_tick;
    s->a.eof = sender_eof;
    s->a.tls = sender_tls;
    s->a.secured = sender_secured;
    return mail_smtpc_init(&s->c, o);
}

/* --- the call ------------------------------------------------------------- */

static const char SEND_SERVER[] = "127.0.0.1:2587";

/* What we call ourselves: the machine's name if it is one of a domain, else
   the address of our end, as a literal (RFC 5321 4.1.4). */
static const char *sender_helo(const char *host, int fd,
                               char name[MAIL_DOMAIN_SIZE]) {
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char text[80];
    if (strchr(host, '.') && mail_domain_ok(mail_s(host))) return host;
    if (getsockname(fd, (struct sockaddr *)&at, &n)) return "localhost";
    address_text((struct sockaddr *)&at, n, text, sizeof text);
    text[strcspn(text, "%")] = 0;
    snprintf(name, MAIL_DOMAIN_SIZE, "[%s%s]", strchr(text, ':') ? "IPv6:"
                                                                 : "", text);
    return name;
}

/* What becomes of a recipient: his own answer, or that to the text. */
static mail_err sender_verdict(const sender *s, const send_rcpt *p, int some,
                               mail_send_rcpt *to, const mail_result *r) {
    int refused = p->code >= 400;
    int left = !refused && some && s->c.opts.all;        /* not asked for */
    to->code = refused ? p->code : left ? 0 : s->code;
    mail_copy(to->words, sizeof to->words, mail_s(
              refused ? p->words : left ? "another one was refused" :
              s->code ? s->words : ""));
    return to->code / 100 == 2 ? MAIL_ERR_OK :
           to->code / 100 == 4 ? MAIL_ERR_TEMPFAIL :
           to->code || left ? MAIL_ERR_REFUSED :
           r->err ? r->err : s->err ? s->err : MAIL_ERR_CLOSED;
}

static void sender_fail(const sender *s, const char *words, mail_result *r) {
    if (s->err == MAIL_ERR_TOOLONG && s->c.max_size)
        call_fail(r, s->err, "it has %lld octets, and the server takes %lld",
                  (long long)s->size, (long long)s->c.max_size);
    else if (s->err == MAIL_ERR_UNABLE && s->started && !s->c.err)
        call_fail(r, s->err, "octets over 127 in %s", s->param.utf8 ?
                  "an address or the header (SMTPUTF8)" :
                  "the text (8BITMIME)");
    else call_fail(r, s->err, "%s", words);
}

/* The answer for each recipient from first to end, and for all of them. */
static void sender_end(sender *s, size_t end, mail_send_rcpt *to,
                       mail_result *r) {
    size_t i;
    const char *words = s->code ? s->words : s->c.words;
    int some = 0;
    for (i = s->first; i < end; i++) some |= s->rcpts[i].code >= 400;
    if (!r->err) r->code = s->code ? s->code : s->c.err ? s->c.code : 0;
    for (i = s->first; i < end; i++) {
        to[i].err = sender_verdict(s, &s->rcpts[i], some, &to[i], r);
        r->done += to[i].err == MAIL_ERR_OK;
        if (!to[i].err || s->err || (some && !to[i].code)) continue;
        s->err = to[i].err;                          /* the first refusal */
        r->code = to[i].code;
        words = to[i].words;
    }
    if (s->err) sender_fail(s, words, r);
    else mail_copy(r->words, sizeof r->words, mail_s(words));
}

/* How many of a transaction that was accepted could not be in it? Those at
   its end with 452 (RFC 5321 4.5.3.1.10): they are another's. */
static size_t sender_split(sender *s) {
    size_t n = s->next;
    if (s->code / 100 != 2 || s->c.opts.all) return 0;
    while (n > s->first && s->rcpts[n - 1].code == 452) n--;
    if (n == s->first) return 0;
    if (n < s->next) s->most = n - s->first;
    s->next = n;
    return s->nrcpts - n;
}

/* --- what is sent: a letter that is composed, or one that is there -------- */

typedef struct sending {
    sender s;                       /* first: more finds the rest by it    */
    mail_send_opts all, o;          /* as given; the message of now        */
    mail_result r;                  /* its result                          */
    mail_send_next *ask; void *ctx;
    int    asked, open, none;       /* open: it has no result yet          */
    mail_err err;                   /* the first of all                    */
    int64_t begun, sent;            /* ms; messages of this connection     */
    mail_compose m;
    mail_letter letter;
    char   head[32768], id[200];
    char  *to, *cc;                 /* the fields, with commas             */
    mail_file *files; int *fds;     /* as opened: -1: it was not           */
    mail_source raw; int64_t at;
    char   host[MAIL_DOMAIN_SIZE];  /* of this machine, and what we call  */
    char   name[MAIL_DOMAIN_SIZE];  /* ourselves without one              */
} sending;

static int64_t source_read(const mail_source *s, int64_t at, char *p,
                           size_t n) {
    size_t left = at < (int64_t)s->text.n ? s->text.n - (size_t)at : 0;
    if (s->read) return s->read(s->ctx, at, p, n);
    if (n > left) n = left;
    if (n) memcpy(p, s->text.p + at, n);
    return (int64_t)n;
}

static int64_t raw_read(void *ctx, void *p, size_t n) {
    sending *t = ctx;
    int64_t k = source_read(&t->raw, t->at, p, n);
    if (k > 0) t->at += k;
    t->r.octets = t->at;
    return k;
}

static int64_t composed_read(void *ctx, void *p, size_t n) {
    sending *t = ctx;
    int64_t k = mail_letter_read(&t->letter, p, n);
    if (k > 0) t->r.octets += k;
    if (k < 0) call_fail(&t->r, t->letter.err, "%s", t->letter.why);
    return k;
}

/* ctx points to its number. */
static int64_t file_read(void *ctx, int64_t at, char *p, size_t n) {
    return disk_read(NULL, *(const int *)ctx, at, p, n);
}

/* What a message needs to be sent as it is: its size on the wire, where every
   line end counts two; has it octets over 127; is a line too long? */
static mail_err raw_scan(sending *t) {
    char buf[4096], last = 0;
    int64_t line = 0, number = 1, n;
    int body = 0;
    sender *s = &t->s;
    while ((n = raw_read(t, buf, sizeof buf)) > 0) {
        int64_t i;
        for (i = 0; i < n; i++) {
            char c = buf[i];
            s->has_8bit |= (unsigned char)c > 127;
            s->param.utf8 |= !body && (unsigned char)c > 127;
            s->size += (c == '\n' && last != '\r') || c == '\r' ? 2
                                                                : c != '\n';
            if (c == '\n') body |= line == 0, line = 0, number++;
            else if (c != '\r' && ++line > 998)
                return call_fail(&t->r, MAIL_ERR_TOOLONG, "line %lld has more "
                    "than 998 octets (RFC 5322 2.1.1): break it",
                    (long long)number);
            last = c;
        }
    }
    if (last != '\n') s->size += 2;
    t->at = 0;
    s->read = raw_read;
    return n < 0 ? call_fail(&t->r, MAIL_ERR_IO, "the message cannot be read: "
                             "%s", strerror(errno)) : MAIL_ERR_OK;
}

/* "Bob <bob@b.example>" or "bob@b.example": the path in it. */
static mail_err address_path(mail_result *r, const char *text, mail_path *p) {
    mail_str s = mail_trim(mail_s(text)), rest;
    size_t i = s.n;
    char shown[120];
    mail_err e;
    if (s.n && s.p[s.n - 1] == '>') {
        while (i && s.p[i - 1] != '<') i--;
        if (i) i--;
        e = mail_path_read(mail_sn(s.p + i, s.n - i), p, &rest);
    } else e = mail_path_mailbox(s, p);
    return call_fail(r, e, "not an address: %s (write user@domain or Name "
                     "<user@domain>)", mail_printable(shown, sizeof shown, s));
}

static mail_err sending_rcpts(sending *t) {
    const mail_send_opts *o = &t->o;
    sender *s = &t->s;
    size_t i;
    s->rcpts = calloc(o->nrcpts, sizeof *s->rcpts);
    if (s->rcpts == NULL) return call_fail(&t->r, MAIL_ERR_NOMEM, "no memory");
    if (address_path(&t->r, o->from, &s->from)) return t->r.err;
    s->param.utf8 |= mail_path_utf8(&s->from);
    for (i = 0; i < o->nrcpts; i++) {
        mail_path *p = &s->rcpts[i].path;
        s->rcpts[i].param = o->rcpts[i].param;
        if (address_path(&t->r, o->rcpts[i].address, p)) return t->r.err;
        if (mail_path_null(p))
            return call_fail(&t->r, MAIL_ERR_SYNTAX, "<> is no recipient");
        s->param.utf8 |= mail_path_utf8(p);
    }
    s->nrcpts = o->nrcpts;
    return MAIL_ERR_OK;
}

/* The addresses of one field, "a@b, c@d"; NULL if there are none. */
static char *sending_field(const mail_send_opts *o, int field) {
    size_t i, n = 0;
    mail_buf b;
    for (i = 0; i < o->nrcpts; i++)
        if (o->rcpts[i].field == field) n += strlen(o->rcpts[i].address) + 2;
    b = mail_buf_on(n ? malloc(n + 1) : NULL, n);
    if (b.p == NULL) return NULL;
    for (i = 0; i < o->nrcpts; i++)
        if (o->rcpts[i].field == field)
            mail_buf_fmt(&b, "%s%s", b.n ? ", " : "", o->rcpts[i].address);
    b.p[b.n] = 0;
    return b.p;
}

static const char *file_type(const char *name) {
    static const char *const types[][2] = {
        { ".txt", "text/plain" }, { ".html", "text/html" },
        { ".csv", "text/csv" }, { ".pdf", "application/pdf" },
        { ".json", "application/json" }, { ".zip", "application/zip" },
        { ".png", "image/png" }, { ".jpg", "image/jpeg" },
        { ".jpeg", "image/jpeg" }, { ".gif", "image/gif" }
    };
    const char *dot = strrchr(name, '.');
    size_t i;
    for (i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (mail_ieq(mail_s(dot), mail_s(types[i][0]))) return types[i][1];
    return NULL;
}

/* Files that have no source are on the disk, and get their last name. */
static mail_err sending_files(sending *t) {
    size_t i, n = t->o.nfiles;
    t->files = calloc(n + 1, sizeof *t->files);
    t->fds = malloc((n + 1) * sizeof *t->fds);
    if (!t->files || !t->fds)
        return call_fail(&t->r, MAIL_ERR_NOMEM, "no memory");
    for (i = 0; i < n; i++) t->fds[i] = -1;
    for (i = 0; i < n; i++) {
        mail_file *f = &t->files[i];
        const char *path = t->o.files[i].name, *slash = strrchr(path, '/');
        struct stat st;
        *f = t->o.files[i];
        if (!f->type) f->type = file_type(path);
        if (f->from.read || f->from.text.p) continue;
        t->fds[i] = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (t->fds[i] < 0 || fstat(t->fds[i], &st))
            return call_fail(&t->r, errno_err(), "%s: %s", path,
                             strerror(errno));
        if (!S_ISREG(st.st_mode))
            return call_fail(&t->r, MAIL_ERR_IO, "%s: it is not a file", path);
        if (slash) f->name = slash + 1;
        f->from.read = file_read;
        f->from.ctx = &t->fds[i];
    }
    return MAIL_ERR_OK;
}

static mail_err sending_compose(sending *t) {
    const mail_send_opts *o = &t->o;
    mail_compose *m = &t->m;
    uint32_t r[2];
    if (sending_files(t)) return t->r.err;
    if (!random_fill(r, sizeof r))
        return call_fail(&t->r, MAIL_ERR_IO, "/dev/urandom cannot be read");
    memset(m, 0, sizeof *m);
    m->time = sys_time(NULL, &m->zone);
    snprintf(t->id, sizeof t->id, "<%llx.%08lx%08lx@%.120s>",
             (unsigned long long)m->time, (unsigned long)r[0],
             (unsigned long)r[1], t->s.from.domain[0] ? t->s.from.domain
                                                      : "localhost");
    t->to = sending_field(o, MAIL_TO);
    t->cc = sending_field(o, MAIL_CC);
    m->from = o->from;
    m->to = t->to;
    m->cc = t->cc;
    m->subject = o->subject;
    m->message_id = t->id;
    m->text = o->text;
    m->html = o->html;
    m->files = t->files;
    m->nfiles = o->nfiles;
    t->s.read = composed_read;
    return MAIL_ERR_OK;
}

/* From its first octet: for a transaction. */
static mail_err sending_rewind(sending *t) {
    mail_err e;
    t->at = t->r.octets = 0;
    if (t->s.read == raw_read) return MAIL_ERR_OK;
    e = mail_letter_init(&t->letter, &t->m, mail_buf_on(t->head,
                                                        sizeof t->head));
    t->s.size = t->letter.size;
    t->s.param.utf8 |= t->letter.utf8;
    return call_fail(&t->r, e, "%s", t->letter.why);
}

/* Nothing is sent of a message before all of it is known to be good. */
static mail_err sending_prepare(sending *t) {
    const mail_send_opts *o = &t->o;
    sender *s = &t->s;
    s->ctx = t;
    s->param = o->param;
    t->raw = o->raw;
    t->r.count = (int64_t)o->nrcpts;
    if (!o->from || !o->nrcpts || !o->rcpts)
        call_fail(&t->r, MAIL_ERR_MISUSE, "from, and at least one recipient");
    else if (sending_rcpts(t) == MAIL_ERR_OK &&
             (o->raw.read || o->raw.text.p ? raw_scan(t)
                                           : sending_compose(t)) ==
                 MAIL_ERR_OK) sending_rewind(t);
    s->bdat = s->size >= 65536;
    return t->r.err;
}

static void sending_clear(sending *t) {
    sender *s = &t->s;
    size_t i;
    for (i = 0; t->fds && i < t->o.nfiles; i++)
        if (t->fds[i] >= 0) close(t->fds[i]);
    free(t->fds);
    free(t->files);
    free(t->to);
    free(t->cc);
    free(s->rcpts);
    t->fds = NULL;
    t->files = NULL;
    t->to = t->cc = NULL;
    s->rcpts = NULL;
    s->nrcpts = s->first = s->next = 0;
    s->size = s->has_8bit = s->started = s->asked_data = s->code = 0;
    s->err = MAIL_ERR_OK;
}

/* The message has its result. */
static void sending_end(sending *t) {
    mail_send_rcpt *to = t->o.rcpts;
    size_t i;
    t->open = 0;
    if (!t->err) t->err = t->r.err;
    for (i = 0; to && i < t->o.nrcpts; i++)     /* who was never asked */
        if (t->r.err && !to[i].code) to[i].err = t->r.err;
}

/* The next message that can be sent: 1; there is none: 0. */
static int sending_next(sending *t) {
    do {
        mail_result last = t->r;
        sending_clear(t);
        t->o = t->all;
        memset(&t->r, 0, sizeof t->r);
        t->none = t->none || !t->ask(t->ctx, &t->o, t->asked ? &last : NULL);
        if (t->none) return 0;
        t->asked = t->open = 1;
        if (sending_prepare(t)) sending_end(t);
    } while (!t->open);
    return 1;
}

/* After a transaction: the rest of the recipients, or the next message. */
static int sending_more(sender *s) {
    sending *t = (sending *)s;
    int split = sender_split(s) > 0;
    sender_end(s, split ? s->next : s->nrcpts, t->o.rcpts, &t->r);
    t->sent++;
    s->first = s->next;
    if (split && s->c.max_mails != t->sent) {
        if (sending_rewind(t) == MAIL_ERR_OK) return 1;
    } else if (split) return 0;
    sending_end(t);
    return s->c.max_mails != t->sent && sending_next(t);
}

static mail_err sending_session(sending *t, const client *net) {
    const mail_peer *p = &t->all.peer;
    mail_smtpc_opts c;
    memset(&c, 0, sizeof c);
    gethostname(t->host, sizeof t->host - 1);
    c.helo = t->all.helo ? t->all.helo
                         : sender_helo(t->host, net->fd, t->name);
    c.user = p->user;
    c.password = p->user ? p->password : NULL;
    c.tls = net->mode;
    c.nonce = net->nonce;
    c.plaintext_ok = net->local || p->plaintext_ok;
    c.basic = p->basic;
    c.all = t->all.all;
    c.watch = p->watch;
    c.watch_ctx = p->watch_ctx;
    return call_fail(&t->r, sender_init(&t->s, c), "the user's name, the "
                     "password or helo is too long, or has control "
                     "characters");
}

/* The connection is over before any of the text was sent, and after other
   messages: 421, say, or as many as it takes. It gets another one. */
static int sending_again(sending *t) {
    sender *s = &t->s;
    if (!t->sent || t->r.err || t->r.octets || (s->c.err &&
        s->c.err != MAIL_ERR_TEMPFAIL && s->c.err != MAIL_ERR_CLOSED))
        return 0;
    s->err = MAIL_ERR_OK;
    return sending_rewind(t) == MAIL_ERR_OK;
}

static void sending_connect(sending *t) {
    mail_peer peer = t->all.peer;
    sender *s = &t->s;
    client net;
    if (peer.deadline > 0) {
        peer.deadline -= sys_clock(NULL) - t->begun;
        if (peer.deadline < 1) peer.deadline = 1;
    }
    t->sent = 0;
    if (client_open(&net, &peer, SEND_SERVER, &t->r) == MAIL_ERR_OK) {
        if (sending_session(t, &net) == MAIL_ERR_OK) client_run(&net, &s->a);
        if (t->open && !sending_again(t)) {
            sender_end(s, s->nrcpts, t->o.rcpts, &t->r);
            sending_end(t);
        }
        client_close(&net);
    } else sending_end(t);
}

mail_err mail_send_many(mail_send_opts o, mail_send_next *next, void *ctx) {
    sending *t = (sending *)calloc(1, sizeof *t);
    mail_err e;
    if (t == NULL) return MAIL_ERR_NOMEM;
    t->all = o;
    t->ask = next;
    t->ctx = ctx;
    t->begun = sys_clock(NULL);
    t->s.more = sending_more;
    while (t->open || sending_next(t)) sending_connect(t);
    e = t->err;
    sending_clear(t);
    mail_wipe(t, sizeof *t);      /* a deadline may have cut off a login */
    free(t);
    return e;
}

/* ctx: where its result goes. */
static int send_once(void *ctx, mail_send_opts *o, const mail_result *last) {
    (void)o;
    if (last) *(mail_result *)ctx = *last;
    return last == NULL;
}

mail_err mail_send(mail_send_opts o, mail_result *result) {
    mail_result own = { MAIL_ERR_OK, 0, "", 0, 0, 0, 0, 0 };
    mail_result *r = result ? result : &own;
    memset(r, 0, sizeof *r);
    r->count = (int64_t)o.nrcpts;
    if (mail_send_many(o, send_once, r) == MAIL_ERR_NOMEM && !r->err)
        call_fail(r, MAIL_ERR_NOMEM, "no memory");
    return r->err;
}

/* ======================================================================
   [FETCH] the client MAA, with somewhere to put the mail          ch.11
   ====================================================================== */

static const char FETCH_SERVER[] = "127.0.0.1:2110";

typedef struct fetcher {
    agent a;
    mail_fetcher f;
    /* The place: does it have that UID (see mail_fetcher_answer)? text; now
       make it durable. */
    mail_err (*have)(void *ctx, int64_t number, mail_str uid);
    mail_err (*text)(void *ctx, mail_str text);
    mail_err (*store)(void *ctx, int64_t number);
    void *ctx;
    mail_err text_err;
} fetcher;

static void fetcher_move(fetcher *g) {
    mail_event ev;
    while (mail_fetcher_next(&g->f, &ev)) {
        mail_err e;
        switch (ev.kind) {
        case MAIL_EV_HAVE:
            e = g->have(g->ctx, ev.number, ev.text);
            mail_fetcher_answer(&g->f, e);
            break;
        case MAIL_EV_TLS:
            break;
        case MAIL_EV_TEXT:
            if (!g->text_err) g->text_err = g->text(g->ctx, ev.text);
            break;
        case MAIL_EV_STORE:
            e = g->text_err;
            g->text_err = MAIL_ERR_OK;
            mail_fetcher_answer(&g->f, e ? e : g->store(g->ctx, ev.number));
            break;
        default:
            g->a.over = 1;
            break;
        }
    }
}

static size_t fetcher_feed(agent *a, const char *in, size_t n) {
    fetcher *g = (fetcher *)a;
    size_t used = mail_fetcher_feed(&g->f, in, n);
    fetcher_move(g);
    return used;
}

static mail_str fetcher_out(agent *a) {
    return mail_fetcher_out(&((fetcher *)a)->f);
}

static void fetcher_sent(agent *a, size_t n) {
    mail_fetcher_sent(&((fetcher *)a)->f, n);
}

static int64_t fetcher_tick(agent *a, int64_t now) {
    fetcher *g = (fetcher *)a;
    int64_t due = mail_fetcher_tick(&g->f, now);
    fetcher_move(g);
    return due;
}

static void fetcher_eof(agent *a) {
    fetcher *g = (fetcher *)a;
    mail_fetcher_eof(&g->f);
    fetcher_move(g);
}

static int fetcher_tls(agent *a) {
    return ((fetcher *)a)->f.pop3.state == MAIL_POP3C_TLS;
}

static void fetcher_secured(agent *a, mail_err e, const char *why) {
    fetcher *g = (fetcher *)a;
    mail_fetcher_tls(&g->f, e, why);
    fetcher_move(g);
}

static mail_err fetcher_init(fetcher *g, mail_fetcher_opts o) {
    g->a.feed = fetcher_feed;
    g->a.out = fetcher_out;
    g->a.sent = fetcher_sent;
    g->a.tick = fetcher_tick;
    g->a.eof = fetcher_eof;
    g->a.tls = fetcher_tls;
    g->a.secured = fetcher_secured;
    return mail_fetcher_init(&g->f, o);
}

/* --- the ledger: what is here already ------------------------------------- */

typedef struct noted {              /* a line of the ledger, of our account */
    mail_str uid;
    int64_t  time;
    size_t   met;                   /* of those with this UID, the server has
                                       named so many                       */
} noted;

typedef struct listed {             /* a message, by its number */
    char   *uid;                    /* NULL: the server did not name it    */
    int64_t time;                   /* when it was fetched                 */
    int     here;
} listed;

typedef struct ledger {
    int    fd;                      /* -1: there is none                   */
    char   path[1024], account[MAIL_NAME_SIZE + 256];
    char  *text; size_t n;          /* as it was                           */
    noted *known; size_t nknown, own;  /* sorted; own: our lines in it now */
    listed *listed; size_t nlisted;
    mail_ledger half;               /* see mbox_repair; uid "": nothing    */
    int    stale;                   /* it has lines that are of no use     */
} ledger;

/* Two more kinds of line tell of what a crash may have left half done, by the
   first word, which no account is:

       mbox OFFSET TIME     before a message is put there; its own line comes
                            when it is: without one the mbox is cut back
       maildir NAME TIME    before a message's own line, with which it has
                            been taken; then it moves from tmp to new

   So no message is there twice, whenever the power goes. */
static int ledger_says(const mail_ledger *e, const char *word) {
    return mail_eq(e->account, mail_s(word));
}

static int uid_order(mail_str a, mail_str b) {
    int d = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return d ? d : a.n < b.n ? -1 : a.n > b.n;
}

/* Two messages may have one UID (RFC 1939 7), and then there are two lines:
   by UID, and as they came. */
static int known_order(const void *a, const void *b) {
    const noted *x = a, *y = b;
    int d = uid_order(x->uid, y->uid);
    return d ? d : x->uid.p < y->uid.p ? -1 : x->uid.p > y->uid.p;
}

static void ledger_line(ledger *l, mail_str line) {
    mail_ledger e;
    if (mail_ledger_read(line, &e)) return;
    if (ledger_says(&e, "mbox") || ledger_says(&e, "maildir")) {
        l->half = e;
        l->stale = 1;
        return;
    }
    l->half.uid.n = 0;
    if (!ledger_says(&e, l->account)) return;
    l->known[l->nknown].uid = e.uid;
    l->known[l->nknown].time = e.time;
    l->known[l->nknown++].met = 0;
    if (e.time == 0) l->stale = 1;             /* from when it had no times */
}

/* All of it; half a line at its end, left by a crash, is cut off. */
static mail_err ledger_load(ledger *l) {
    struct stat st;
    mail_str rest;
    size_t lines = 0, i;
    if (fstat(l->fd, &st)) return errno_err();
    l->text = malloc((size_t)st.st_size + 1);
    if (l->text == NULL) return MAIL_ERR_NOMEM;
    if (disk_read(NULL, l->fd, 0, l->text, (size_t)st.st_size) !=
        (int64_t)st.st_size) return errno_err();
    for (l->n = (size_t)st.st_size; l->n && l->text[l->n - 1] != '\n';) l->n--;
    if (l->n < (size_t)st.st_size && ftruncate(l->fd, (off_t)l->n))
        return errno_err();
    for (i = 0; i < l->n; i++) lines += l->text[i] == '\n';
    l->known = malloc((lines + 1) * sizeof *l->known);
    if (l->known == NULL) return MAIL_ERR_NOMEM;
    for (rest = mail_sn(l->text, l->n); rest.n;)
        ledger_line(l, mail_cut(&rest, '\n'));
    if (l->nknown) qsort(l->known, l->nknown, sizeof *l->known, known_order);
    l->own = l->nknown;
    return MAIL_ERR_OK;
}

/* 1: locked. The lock goes with the process: a crash leaves none behind, and
   every program that writes to an mbox asks for it. */
static int file_lock(int fd) {
    struct flock k;
    memset(&k, 0, sizeof k);
    k.l_type = F_WRLCK;
    k.l_whence = SEEK_SET;
    return fcntl(fd, F_SETLK, &k) == 0;
}

/* Has the name become another file's since it was opened? */
static int file_moved(int fd, const char *path) {
    struct stat a, b;
    return fstat(fd, &a) || stat(path, &b) || a.st_ino != b.st_ino ||
           a.st_dev != b.st_dev;
}

static mail_err ledger_open(ledger *l) {
    int tries;
    for (tries = 0; tries < 10; tries++) {
        l->fd = open(l->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (l->fd < 0) return errno_err();
        if (!file_lock(l->fd)) return MAIL_ERR_BUSY;
        if (!file_moved(l->fd, l->path)) return ledger_load(l);
        close(l->fd);                /* another run has just rewritten it */
        l->fd = -1;
    }
    return MAIL_ERR_BUSY;
}

/* Lines, durable. */
static mail_err ledger_put(ledger *l, const mail_ledger *e, size_t n) {
    char lines[2048];
    mail_buf b = mail_buf_on(lines, sizeof lines);
    for (; n--; e++) {
        mail_ledger_write(&b, e);
        mail_buf_add(&b, mail_s("\n"));
    }
    call_step("ledger");
    if (b.full || write(l->fd, b.p, b.n) != (ssize_t)b.n) return errno_err();
    call_step("flush ledger");
    return fsync_full(l->fd) ? errno_err() : MAIL_ERR_OK;
}

/* The line about something half done. */
static mail_ledger ledger_half(ledger *l, const char *word, const char *what,
                               int64_t now) {
    mail_ledger e;
    e.account = mail_s(word);
    e.uid = mail_s(what);
    e.time = now;
    l->stale = 1;
    return e;
}

/* The message number has this UID. Two with the same one are two. */
static listed *ledger_list(ledger *l, int64_t number, mail_str uid) {
    size_t i = (size_t)number, n = i + i / 2 + 64;
    listed *u;
    if (i >= l->nlisted) {
        u = realloc(l->listed, n * sizeof *u);
        if (u == NULL) return NULL;
        memset(u + l->nlisted, 0, (n - l->nlisted) * sizeof *u);
        l->listed = u;
        l->nlisted = n;
    }
    u = &l->listed[i];
    free(u->uid);
    memset(u, 0, sizeof *u);
    u->uid = malloc(uid.n + 1);
    if (u->uid) mail_copy(u->uid, uid.n + 1, uid);
    return u->uid ? u : NULL;
}

/* The next line with that UID that no message of this listing has had. */
static const noted *ledger_find(ledger *l, mail_str uid) {
    size_t lo = 0, hi = l->nknown;
    noted *k;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (uid_order(l->known[mid].uid, uid) < 0) lo = mid + 1;
        else hi = mid;
    }
    k = l->known + lo;
    if (lo == l->nknown || !mail_eq(k->uid, uid)) return NULL;
    lo += k->met++;
    return lo < l->nknown && mail_eq(l->known[lo].uid, uid) ? l->known + lo
                                                            : NULL;
}

/* The lines of others. */
static int ledger_others(const ledger *l, FILE *f) {
    mail_str rest = mail_sn(l->text, l->n);
    while (rest.n) {
        mail_str line = mail_cut(&rest, '\n');
        mail_ledger e;
        if (mail_ledger_read(line, &e) == MAIL_ERR_OK &&
            !ledger_says(&e, "mbox") && !ledger_says(&e, "maildir") &&
            !ledger_says(&e, l->account))
            fprintf(f, "%.*s\n", MAIL_ARG(line));
    }
    return !ferror(f);
}

static int ledger_ours(const ledger *l, const mail_fetcher *f, FILE *out) {
    size_t i;
    for (i = 0; i < l->nlisted; i++) {
        const listed *u = &l->listed[i];
        char line[1024];
        mail_buf b = mail_buf_on(line, sizeof line);
        mail_ledger e;
        if (!u->here || mail_fetcher_marked(f, (int64_t)i)) continue;
        e.account = mail_s(l->account);
        e.uid = mail_s(u->uid);
        e.time = u->time;
        mail_ledger_write(&b, &e);
        fprintf(out, "%.*s\n", MAIL_ARG(mail_buf_str(&b)));
    }
    return !ferror(out);
}

/* How many of our lines are still of use? */
static size_t ledger_useful(const ledger *l, const mail_fetcher *f) {
    size_t i, n = 0;
    for (i = 0; i < l->nlisted; i++)
        n += l->listed[i].here && !mail_fetcher_marked(f, (int64_t)i);
    return n;
}

/* At the end of a good run: what the server does not have any more is
   dropped, so that the ledger stays as small as the mailbox. A new one is
   written beside it and takes its place: if that fails, the old one is as
   good. */
static void ledger_trim(ledger *l, const mail_fetcher *f) {
    char tmp[1100];
    int fd, ok;
    FILE *out;
    if (l->fd < 0 || (!l->stale && ledger_useful(l, f) == l->own)) return;
    snprintf(tmp, sizeof tmp, "%s.tmp", l->path);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out == NULL) {
        if (fd >= 0) close(fd);
        return;
    }
    ok = ledger_others(l, out) && ledger_ours(l, f, out) &&
         fflush(out) == 0 && fsync_full(fd) == 0;
    call_step("trim");
    if (fclose(out) || !ok || rename(tmp, l->path)) unlink(tmp);
}

static void ledger_free(ledger *l) {
    size_t i;
    for (i = 0; i < l->nlisted; i++) free(l->listed[i].uid);
    free(l->listed);
    free(l->known);
    free(l->text);
    if (l->fd >= 0) close(l->fd);
}

/* --- where the mail goes -------------------------------------------------- */

typedef struct place {
    const mail_fetch_opts *o;
    mail_result *r;
    const mail_fetcher *f;
    int    kind;                    /* 'd' Maildir, 'm' mbox, 0: the caller */
    int    dir;                     /* of the Maildir                      */
    FILE  *in; char tmp[MAIL_NAME_SIZE];   /* the message that is coming  */
    mail_to_lf lf; mail_mbox quote;
    int64_t size, wire, now;
    int    settled, repaired;
    ledger l;
} place;

static mail_err place_fail(place *p, mail_err e, const char *what) {
    int system = e == MAIL_ERR_IO || e == MAIL_ERR_NOTFOUND ||
                 e == MAIL_ERR_NOSPACE || e == MAIL_ERR_EXISTS;
    return call_fail(p->r, e, "%s: %s", what,
                     system ? strerror(errno) : mail_err_text(e));
}

/* Have we got it? If so, is it so old that it may go? */
static mail_err place_have(void *ctx, int64_t number, mail_str uid) {
    place *p = ctx;
    listed *u = p->l.fd < 0 ? NULL : ledger_list(&p->l, number, uid);
    const noted *k = u ? ledger_find(&p->l, uid) : NULL;
    if (k == NULL) return MAIL_ERR_NOTFOUND;  /* twice is better than never */
    u->here = 1;
    u->time = k->time ? k->time : p->now;
    return p->o->leave_days && k->time &&
           p->now - k->time >= (int64_t)p->o->leave_days * 86400
           ? MAIL_ERR_EXISTS : MAIL_ERR_OK;
}

/* Can it be noted? Its line, then. */
static int place_line(place *p, int64_t number, mail_ledger *e) {
    const listed *u = (size_t)number < p->l.nlisted ? &p->l.listed[number]
                                                    : NULL;
    if (p->l.fd < 0 || u == NULL || u->uid == NULL) return 0;
    e->account = mail_s(p->l.account);
    e->uid = mail_s(u->uid);
    e->time = p->now;
    return 1;
}

/* The UID is noted once the message is durable, and durably; before it, in
   the same breath, what is half done. */
static mail_err place_note(place *p, int64_t number, const char *half) {
    mail_ledger e[2];
    size_t n = half != NULL;
    if (!place_line(p, number, &e[n])) return MAIL_ERR_OK;
    if (half) e[0] = ledger_half(&p->l, "maildir", half, p->now);
    p->l.listed[number].here = 1;
    p->l.listed[number].time = p->now;
    p->l.own++;
    return ledger_put(&p->l, e, n + 1);
}

/* A new file in tmp of the Maildir: nobody else has its name. */
static int maildir_tmp(place *p) {
    char host[100] = "localhost", unique[60];
    mail_buf b = mail_buf_on(p->tmp, sizeof p->tmp - 1);
    uint32_t r[2];
    if (!random_fill(r, sizeof r)) return -1;
    gethostname(host, sizeof host - 1);
    snprintf(unique, sizeof unique, "P%ldR%08lx%08lx", (long)getpid(),
             (unsigned long)r[0], (unsigned long)r[1]);
    mail_buf_add(&b, mail_s("tmp/"));
    mail_box_name(&b, p->now, unique, host, 0, 0);
    p->tmp[b.n] = 0;
    *strchr(p->tmp, ',') = 0;                     /* sizes come at the end */
    return openat(p->dir, p->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                  0600);
}

/* The message is kept aside until it is whole: in tmp of the Maildir, or for
   an mbox, where others wait, in a file without a name. */
static mail_err place_begin(place *p) {
    int fd = -1, zone;
    p->size = p->wire = 0;
    p->now = sys_time(NULL, &zone);
    memset(&p->lf, 0, sizeof p->lf);
    memset(&p->quote, 0, sizeof p->quote);
    call_step("begin");
    if (p->kind == 'd') fd = maildir_tmp(p);
    p->in = p->kind == 'm' ? tmpfile() : fd >= 0 ? fdopen(fd, "w") : NULL;
    if (p->in) return MAIL_ERR_OK;
    if (fd >= 0) close(fd);
    return place_fail(p, errno_err(), p->o->into);
}

static mail_err place_put(place *p, const char *lf, size_t n) {
    char quoted[4096 + 4096 / 5 + 8];
    p->size += (int64_t)n;
    if (p->kind == 'm') {
        n = mail_mbox_feed(&p->quote, lf, n, quoted);
        lf = quoted;
    }
    fwrite(lf, 1, n, p->in);
    return ferror(p->in) ? place_fail(p, errno_err(), p->o->into)
                         : MAIL_ERR_OK;
}

static void place_told(place *p) {
    p->r->count = p->f->count;
    p->r->removed = p->f->removed;
    p->r->skipped = p->f->skipped;
    if (p->o->progress) p->o->progress(p->o->ctx, p->r);
}

static mail_err place_text(void *ctx, mail_str text) {
    place *p = ctx;
    char lf[4096 + 1];
    mail_err e;
    p->r->octets += (int64_t)text.n;
    place_told(p);
    if (!p->kind) return p->o->text(p->o->ctx, p->f->number, text);
    e = p->in ? MAIL_ERR_OK : place_begin(p);
    while (!e && text.n) {
        size_t k = text.n < 4095 ? text.n : 4095;
        e = place_put(p, lf, mail_to_lf_feed(&p->lf, text.p, k, lf));
        p->wire += (int64_t)k;
        text = mail_sn(text.p + k, text.n - k);
    }
    return e;
}

static mail_err dir_flush(const char *dir, int at) {
    int fd = openat(at, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad;
    bad = fd < 0 || fsync_full(fd);
    if (fd >= 0) close(fd);
    return bad ? errno_err() : MAIL_ERR_OK;
}

/* The directory that a name is in. */
static mail_err name_settle(const char *name) {
    char dir[1024];
    const char *slash = strrchr(name, '/');
    mail_copy(dir, sizeof dir, slash ? mail_sn(name, (size_t)(slash - name) +
                                               1) : mail_s("."));
    return dir_flush(dir, AT_FDCWD);
}

/* The names of a new mbox, Maildir and ledger, durable once. */
static mail_err place_settle(place *p) {
    mail_err e = p->kind ? name_settle(p->o->into) : MAIL_ERR_OK;
    if (!e && p->l.fd >= 0) e = name_settle(p->l.path);
    p->settled = !e;
    return e;
}

/* The first part of its name is the one in tmp. */
static mail_err maildir_move(place *p, const char *name) {
    char from[MAIL_NAME_SIZE], to[MAIL_NAME_SIZE];
    snprintf(from, sizeof from, "tmp/%.*s", (int)strcspn(name, ","), name);
    snprintf(to, sizeof to, "new/%.250s", name);
    call_step("rename");
    return renameat(p->dir, from, p->dir, to) ? errno_err() : MAIL_ERR_OK;
}

/* Flushed in tmp; noted; in new; and that is flushed: in this order. */
static mail_err maildir_store(place *p, int64_t number) {
    char name[MAIL_NAME_SIZE];
    mail_err e;
    FILE *f = p->in;
    call_step("flush message");
    e = fflush(f) || fsync_full(fileno(f)) ? errno_err() : MAIL_ERR_OK;
    p->in = NULL;
    if (fclose(f) && !e) e = errno_err();
    snprintf(name, sizeof name, "%.200s,S=%lld,W=%lld", p->tmp + 4,
             (long long)p->size, (long long)p->wire);
    if (!e) e = dir_flush("tmp", p->dir);
    if (!e && !p->settled) e = place_settle(p);
    if (e) unlinkat(p->dir, p->tmp, 0);
    if (!e) e = place_note(p, number, name);      /* from here on it stays */
    if (!e) e = maildir_move(p, name);
    call_step("flush new");
    return e ? e : dir_flush("new", p->dir);
}

/* What a crash has left in tmp that counts as taken. */
static mail_err maildir_repair(place *p) {
    mail_str rest = mail_sn(p->l.text, p->l.fd < 0 ? 0 : p->l.n);
    char name[MAIL_NAME_SIZE];
    int moved = 0;
    while (rest.n) {
        mail_str line = mail_cut(&rest, '\n');
        mail_ledger e;
        if (rest.n && mail_ledger_read(line, &e) == MAIL_ERR_OK &&
            ledger_says(&e, "maildir") && !memchr(e.uid.p, '/', e.uid.n) &&
            mail_copy(name, sizeof name, e.uid))
            moved |= maildir_move(p, name) == MAIL_ERR_OK;
    }
    return moved ? dir_flush("new", p->dir) : MAIL_ERR_OK;
}

/* --- mbox ----------------------------------------------------------------- */

/* The mbox, and its lock: ten seconds, while others write to it. */
static int mbox_open(place *p, mail_err *e) {
    const struct timespec nap = { 0, 100 * 1000 * 1000 };
    struct stat st;
    int left = 100, fd = open(p->o->into, O_RDWR | O_CREAT | O_CLOEXEC |
                              O_NONBLOCK, 0600);
    *e = fd < 0 ? errno_err() : fstat(fd, &st) || !S_ISREG(st.st_mode)
         ? MAIL_ERR_IO : MAIL_ERR_OK;
    while (!*e && !file_lock(fd)) {
        if (left-- == 0) *e = MAIL_ERR_BUSY;
        else nanosleep(&nap, NULL);
    }
    if (!*e) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

/* Does an mbox message begin between at and end? */
static int mbox_begins(int fd, int64_t at, int64_t end) {
    char buf[4096 + 6];
    size_t keep = 0;
    while (at < end) {
        int64_t n = disk_read(NULL, fd, at, buf + keep, 4096);
        const char *p = buf, *all;
        if (n <= 0) return 1;                  /* better to leave it alone */
        all = buf + keep + n;
        while ((p = memchr(p, '\n', (size_t)(all - p))) != NULL)
            if (all - ++p >= 5 && memcmp(p, "From ", 5) == 0) return 1;
        at += n;
        keep = (size_t)(all - buf) < 5 ? (size_t)(all - buf) : 5;
        memmove(buf, all - keep, keep);
    }
    return 0;
}

/* A crash in the middle of a message has left half of it at the end, or all
   of it, and no line of it in the ledger: it is still on the server, and will
   be fetched again. It goes, if it is ours, and nobody has put anything
   behind it. */
static mail_err mbox_repair(place *p, int fd, int64_t *size) {
    char from[80], there[80];
    mail_buf b = mail_buf_on(from, sizeof from);
    int64_t at;
    p->repaired = 1;
    if (p->l.fd < 0 || p->l.half.uid.n == 0 ||
        !ledger_says(&p->l.half, "mbox") || *size == 0 ||
        mail_number(p->l.half.uid, *size - 1, &at))
        return MAIL_ERR_OK;
    mail_mbox_from(&b, p->l.half.time);
    if (*size - at < (int64_t)b.n) b.n = (size_t)(*size - at);
    if (disk_read(NULL, fd, at, there, b.n) != (int64_t)b.n ||
        memcmp(there, from, b.n) != 0 || mbox_begins(fd, at, *size))
        return MAIL_ERR_OK;
    *size = at;
    return ftruncate(fd, (off_t)at) ? errno_err() : MAIL_ERR_OK;
}

/* Every message has an empty line before its "From " line. */
static mail_err mbox_gap(int fd, int64_t *size) {
    char end[2] = "";
    int64_t at = *size < 2 ? 0 : *size - 2;
    if (disk_read(NULL, fd, at, end, 2) < 0) return errno_err();
    while (*size && !(end[0] == '\n' && end[1] == '\n')) {
        mail_err e = disk_write(NULL, fd, *size, "\n", 1);
        if (e) return e;
        end[0] = *size == 1 ? end[0] : end[1];
        end[1] = '\n';
        ++*size;
    }
    return MAIL_ERR_OK;
}

static mail_err mbox_copy(place *p, int fd, int64_t at) {
    char buf[16384];
    mail_buf b = mail_buf_on(buf, sizeof buf);
    mail_err e;
    size_t n;
    mail_mbox_from(&b, p->now);
    e = disk_write(NULL, fd, at, b.p, b.n);
    at += (int64_t)b.n;
    rewind(p->in);
    while (!e && (n = fread(buf, 1, sizeof buf, p->in)) > 0) {
        call_step("append");
        e = disk_write(NULL, fd, at, buf, n);
        at += (int64_t)n;
    }
    if (!e && ferror(p->in)) e = MAIL_ERR_IO;
    call_step("flush mbox");
    return !e && fsync_full(fd) ? errno_err() : e;
}

/* Before the mbox grows, the ledger says from where: see mbox_repair. A
   message without a UID has no line there, and nothing to be undone by. */
static mail_err mbox_append(place *p, int fd, int64_t number) {
    char at[24];
    struct stat st;
    int64_t size;
    mail_ledger line;
    mail_err e = fstat(fd, &st) ? errno_err() : MAIL_ERR_OK;
    size = e ? 0 : (int64_t)st.st_size;
    if (!e && !p->settled) e = place_settle(p);
    if (!e && !p->repaired) e = mbox_repair(p, fd, &size);
    if (!e) e = mbox_gap(fd, &size);
    if (!e && place_line(p, number, &line)) {
        snprintf(at, sizeof at, "%lld", (long long)size);
        line = ledger_half(&p->l, "mbox", at, p->now);
        e = ledger_put(&p->l, &line, 1);
    }
    if (!e) e = mbox_copy(p, fd, size);
    if (e && ftruncate(fd, (off_t)size)) e = MAIL_ERR_IO;
    return e;
}

static mail_err mbox_store(place *p, int64_t number) {
    char end[8] = "";
    mail_err e;
    int fd;
    fwrite(end, 1, mail_mbox_end(&p->quote, end), p->in);
    if (fflush(p->in)) return errno_err();
    fd = mbox_open(p, &e);
    if (fd < 0) return e;
    e = mbox_append(p, fd, number);
    if (!e) e = place_note(p, number, NULL);
    if (close(fd) && !e) e = errno_err();
    fclose(p->in);
    p->in = NULL;
    return e;
}

/* --- a message is whole --------------------------------------------------- */

/* A message that broke off leaves nothing behind. */
static void place_drop(place *p) {
    if (p->in == NULL) return;
    fclose(p->in);           /* first: it may still write what it holds */
    p->in = NULL;
    if (p->kind == 'd') unlinkat(p->dir, p->tmp, 0);
}

static mail_err place_keep(place *p, int64_t number) {
    char last[1];
    mail_err e = p->in ? MAIL_ERR_OK : place_begin(p);   /* an empty one */
    if (!e && mail_to_lf_end(&p->lf, last)) e = place_put(p, last, 1);
    if (e) return e;
    e = p->kind == 'd' ? maildir_store(p, number) : mbox_store(p, number);
    return e ? place_fail(p, e, p->o->into) : MAIL_ERR_OK;
}

static mail_err place_store(void *ctx, int64_t number) {
    place *p = ctx;
    mail_err e = p->kind ? place_keep(p, number)
                         : p->o->store(p->o->ctx, number);
    if (!e && !p->kind) e = place_note(p, number, NULL);
    if (e) call_fail(p->r, e, "a message could not be stored");
    else p->r->done++;
    place_told(p);
    return e;
}

static mail_err place_maildir(place *p) {
    static const char *const subs[] = { "tmp", "new", "cur" };
    size_t i;
    if (mkdir(p->o->into, 0700) == 0 || errno == EEXIST)
        p->dir = open(p->o->into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (i = 0; i < 3 && p->dir >= 0; i++) mkdirat(p->dir, subs[i], 0700);
    if (p->dir < 0 || fsync_full(p->dir))
        return place_fail(p, errno_err(), p->o->into);
    return MAIL_ERR_OK;
}

static mail_err place_ledger(place *p, const char *user, const char *server) {
    ledger *l = &p->l;
    mail_err e;
    int n = p->o->ledger ? snprintf(l->path, sizeof l->path, "%s",
                                    p->o->ledger)
                         : snprintf(l->path, sizeof l->path, "%s.uidl",
                                    p->o->into);
    if (n >= (int)sizeof l->path)
        return place_fail(p, MAIL_ERR_TOOLONG, "the ledger's name");
    snprintf(l->account, sizeof l->account, "%s@%s", user, server);
    if (mail_has_control(mail_s(l->account)) || strchr(l->account, ' '))
        return place_fail(p, MAIL_ERR_SYNTAX, "the user's name");
    e = ledger_open(l);
    return e ? place_fail(p, e, l->path) : MAIL_ERR_OK;
}

static mail_err place_open(place *p, const mail_fetch_opts *o,
                           mail_result *r) {
    mail_str s = mail_s(o->into);
    int zone;
    mail_err e = MAIL_ERR_OK;
    p->o = o;
    p->r = r;
    p->dir = p->l.fd = -1;
    p->now = sys_time(NULL, &zone);
    p->kind = !o->into ? 0 : s.n > 5 && mail_ieq(mail_sn(s.p + s.n - 5, 5),
                                                 mail_s(".mbox")) ? 'm' : 'd';
    if (p->kind == 'd') e = place_maildir(p);
    /* The caller remembers by himself, unless he names a ledger. */
    if (!e && (p->kind || o->ledger))
        e = place_ledger(p, o->peer.user, o->peer.server ? o->peer.server
                                                         : FETCH_SERVER);
    if (!e && p->kind == 'd') e = maildir_repair(p);
    return e;
}

static void place_free(place *p) {
    place_drop(p);
    ledger_free(&p->l);
    if (p->dir >= 0) close(p->dir);
}

/* --- the call ------------------------------------------------------------- */

typedef struct fetching {
    fetcher g;
    place   p;
    client  c;
    unsigned char seen[25000];      /* 100,000 messages */
} fetching;

static mail_err fetch_begin(fetching *t, const mail_fetch_opts *o) {
    mail_fetcher_opts f;
    memset(&f, 0, sizeof f);
    f.pop3.user = o->peer.user;
    f.pop3.password = o->peer.password;
    f.pop3.tls = t->c.mode;
    f.pop3.nonce = t->c.nonce;
    f.pop3.plaintext_ok = t->c.local || o->peer.plaintext_ok;
    f.pop3.apop = o->apop;
    f.pop3.basic = o->peer.basic;
    f.pop3.watch = o->peer.watch;
    f.pop3.watch_ctx = o->peer.watch_ctx;
    f.keep = o->keep;
    f.ledger = t->p.l.fd >= 0;
    f.max_size = o->max_size;
    f.seen = t->seen;
    f.seen_size = sizeof t->seen;
    t->g.have = place_have;
    t->g.text = place_text;
    t->g.store = place_store;
    t->g.ctx = &t->p;
    return call_fail(t->p.r, fetcher_init(&t->g, f), "the user's name or the "
                     "password is too long, or has control characters");
}

/* What became of it. */
static void fetch_end(fetching *t) {
    const mail_fetcher *f = &t->g.f;
    mail_result *r = t->p.r;
    place_drop(&t->p);
    if (f->step > MAIL_FETCH_STAT && !(f->err && f->failed <= MAIL_FETCH_STAT))
        r->count = f->count;
    r->skipped = f->skipped;
    if (f->err == MAIL_ERR_UNABLE && f->failed == MAIL_FETCH_UIDL)
        call_fail(r, f->err, "the server has no UIDL, so keep mode cannot "
                  "know what is new: use delete mode");
    call_fail(r, f->err, "%s", f->words);
    r->removed = r->err ? 0 : f->removed;
    /* Without a listing, or behind the last one that is counted, nobody knows
       what is of use. */
    if (!r->err && (t->p.l.nlisted || f->count == 0) &&
        f->count < (int64_t)sizeof t->seen * 4) ledger_trim(&t->p.l, f);
}

static void fetch_run(fetching *t, const mail_fetch_opts *o, mail_result *r) {
    if (place_open(&t->p, o, r) == MAIL_ERR_OK &&
        client_open(&t->c, &o->peer, FETCH_SERVER, r) == MAIL_ERR_OK) {
        t->p.f = &t->g.f;
        if (fetch_begin(t, o) == MAIL_ERR_OK) {
            client_run(&t->c, &t->g.a);
            fetch_end(t);
        }
        client_close(&t->c);
    }
    place_free(&t->p);
}

mail_err mail_fetch(mail_fetch_opts o, mail_result *result) {
    mail_result own = { MAIL_ERR_OK, 0, "", 0, 0, 0, 0, 0 };
    mail_result *r = result ? result : &own;
    fetching *t;
    memset(r, 0, sizeof *r);
    r->count = -1;
    if (!o.peer.user || !o.peer.password || o.leave_days < 0 ||
        (o.leave_days && !o.keep) || (!o.into && (!o.text || !o.store)))
        return call_fail(r, MAIL_ERR_MISUSE, "user, password, and into, or "
                         "text and store; leave_days with keep");
    t = calloc(1, sizeof *t);
    if (t == NULL) return call_fail(r, MAIL_ERR_NOMEM, "no memory");
    fetch_run(t, &o, r);
    mail_wipe(t, sizeof *t);
    free(t);
    return r->err;
}

/* ======================================================================
   [SERVE] a server in the caller's process                        ch.14
   For tests of other programs: the sockets of NET, the disk of WORLD. It
   calls no other machine, and leaves nothing behind.
   ====================================================================== */

struct mail_serve {
    world_host h;                   /* first: the disk's ctx is a world_host */
    machine m;                      /* its sockets; no directory             */
    mail_serve_opts o;
    listener ls[3];
    const char *domains[1];
    int stop_here, stop_there;      /* the thread ends when the first one is
                                       closed                                */
    pthread_t thread;
};

static machine *serve_machine(void *ctx) { return &((mail_serve *)ctx)->m; }

static int64_t serve_recv(void *ctx, int fd, void *p, size_t n) {
    return wire_recv(serve_machine(ctx), fd, p, n);
}

static int64_t serve_send(void *ctx, int fd, const void *p, size_t n) {
    return wire_send(serve_machine(ctx), fd, p, n);
}

static mail_err serve_lookup(void *ctx, const char *name, int type,
                             void *ticket) {
    return dns_lookup(serve_machine(ctx), name, type, ticket);
}

static int serve_connect(void *ctx, const char *at, void *conn) {
    return net_connect(serve_machine(ctx), at, conn);
}

static void serve_hangup(void *ctx, int fd) {
    net_hangup(serve_machine(ctx), fd);
}

/* In memory everything is durable: it is said at the end of the turn. */
static mail_err serve_flush(void *ctx, int file, const char *dir,
                            void *ticket) {
    flush_ask *a = calloc(1, sizeof *a);
    (void)file;
    (void)dir;
    if (a == NULL) return MAIL_ERR_NOMEM;
    a->ticket = ticket;
    flush_put(&serve_machine(ctx)->asks, a);
    return MAIL_ERR_OK;
}

/* A name in mail/NAME/new: a message has come, and is whole. */
static void serve_arrived(void *ctx, vdisk *d, int op, const char *path,
                          vnode *node) {
    mail_serve *s = ctx;
    mail_str rest = mail_s(path), name;
    char user[MAIL_USER_SIZE], *text;
    size_t i, n = 0;
    (void)d;
    if ((op != 'r' && op != 'l') || !s->o.message ||
        !mail_eq(mail_cut(&rest, '/'), mail_s("mail"))) return;
    name = mail_cut(&rest, '/');
    if (!mail_starts(rest, "new/")) return;
    mail_copy(user, sizeof user, name);
    text = malloc(node->n * 2 + 1);
    for (i = 0; text && i < node->n; i++) {       /* line ends are CRLF */
        if (node->data[i] == '\n') text[n++] = '\r';
        text[n++] = node->data[i];
    }
    if (text) s->o.message(s->o.ctx, user, mail_sn(text, n));
    free(text);
}

static void serve_sys(mail_serve *s, mail_sys *sys) {
    machine_sys(&s->m, sys);
    sys->ctx = s;
    sys->open = vdisk_open;
    sys->read = vdisk_read;
    sys->write = vdisk_write;
    sys->close = vdisk_close;
    sys->rename = vdisk_rename;
    sys->link = vdisk_link;
    sys->remove = vdisk_remove;
    sys->mkdir = vdisk_mkdir;
    sys->list = vdisk_list;
    sys->space = vdisk_space;
    sys->flush = serve_flush;
    sys->recv = serve_recv;
    sys->send = serve_send;
    sys->lookup = serve_lookup;
    sys->connect = serve_connect;
    sys->hangup = serve_hangup;
    sys->secure = NULL;
}

/* Says yes to whoever writes to its domain, and at once. */
static mail_server *serve_open(mail_serve *s, mail_err *e) {
    mail_server_opts *o = &s->h.opts;
    o->host = s->o.host ? s->o.host : "localhost";
    s->domains[0] = s->o.domain ? s->o.domain : o->host;
    o->routing.domains = s->domains;
    o->routing.ndomains = 1;
    o->routing.catch_all = s->o.catch_all;
    o->max_size = s->o.max_size;
    o->reject_bare = s->o.reject_bare;
    o->basic = s->o.basic;
    o->any_auth = 1;
    o->auth_delay = o->auth_tries = -1;
    o->checkpoint = 1;
    o->journal = 256 * 1024;
    serve_sys(s, &s->h.sys);
    s->h.disk.watch = serve_arrived;
    s->h.disk.watch_ctx = s;
    if (s->o.users) vdisk_put(&s->h.disk, "users", mail_s(s->o.users));
    return mail_server_open(&s->h.sys, o, e);
}

static void serve_free(mail_serve *s) {
    size_t i;
    mail_server_close(s->m.server);
    dns_close(&s->m);
    machine_close(&s->m);
    for (i = 0; i < 3; i++)
        if (s->ls[i].fd >= 0) close(s->ls[i].fd);
    vdisk_free(&s->h.disk);
    free(s);
}

void mail_serve_step(mail_serve *s, int ms) {
    net_turn(&s->m, s->ls, 3, 0, ms);
}

/* Nobody new comes in; what is under way has ten seconds. */
static void serve_finish(mail_serve *s) {
    int64_t until = sys_clock(NULL) + 10000;
    while (!mail_server_stop(s->m.server) && sys_clock(NULL) < until)
        net_turn(&s->m, s->ls, 0, 0, 10);
}

static void *serve_thread(void *arg) {
    mail_serve *s = arg;
    char c;
    while (net_recv(NULL, s->stop_there, &c, 1) == -1) mail_serve_step(s, 10);
    serve_finish(s);
    return NULL;
}

static mail_err serve_begin_thread(mail_serve *s) {
    int fd[2];
    if (!s->o.thread) return MAIL_ERR_OK;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) return MAIL_ERR_IO;
    socket_ready(fd[0]);
    socket_ready(fd[1]);
    s->stop_here = fd[0];
    s->stop_there = fd[1];
    if (thread_start(&s->thread, serve_thread, s)) return MAIL_ERR_OK;
    close(fd[0]);
    close(fd[1]);
    s->stop_here = -1;
    return MAIL_ERR_IO;
}

mail_serve *mail_serve_start(mail_serve_opts opts, mail_result *result) {
    static const int ports[] = { MAIL_PORT_SMTP, MAIL_PORT_SUBMISSION,
                                 MAIL_PORT_POP3 };
    mail_result own = { MAIL_ERR_OK, 0, "", 0, 0, 0, 0, 0 };
    mail_result *r = result ? result : &own;
    mail_serve *s = calloc(1, sizeof *s);
    const char *why = NULL;
    mail_err e = MAIL_ERR_OK;
    size_t i;
    memset(r, 0, sizeof *r);
    if (s == NULL) e = MAIL_ERR_NOMEM;
    for (i = 0; i < 3 && s; i++) {
        s->ls[i].fd = -1;
        s->ls[i].port = ports[i];
        s->ls[i].where = "127.0.0.1:0";
    }
    if (!e) {
        s->m.dir = s->m.lock = s->stop_here = -1;
        s->o = opts;
        s->m.server = serve_open(s, &e);
    }
    for (i = 0; i < 3 && !e; i++)
        if (!listen_open(&s->ls[i], 0, &why)) e = MAIL_ERR_IO;
    if (!e) e = serve_begin_thread(s);
    if (!e) return s;
    call_fail(r, e, "%s", why ? why : mail_err_text(e));
    if (s) serve_free(s);
    return NULL;
}

int mail_serve_port(const mail_serve *s, int port) {
    size_t i;
    char text[64];
    for (i = 0; i < 3; i++)
        if (s->ls[i].port == port) return listen_at(&s->ls[i], text);
    return 0;
}

void mail_serve_stop(mail_serve *s) {
    if (s == NULL) return;
    if (s->stop_here >= 0) {
        close(s->stop_here);
        pthread_join(s->thread, NULL);
        close(s->stop_there);
    } else serve_finish(s);
    serve_free(s);
}

/* ======================================================================
   [TRACE] one list of events, many views                            ch.0
   What the watchers of servers are told is kept in order, with who takes
   part. The demo makes such a list, `mail serve --trace` writes one as lines
   of JSON, and all views (VIEWS) are renderings of it.
   ====================================================================== */

enum { TRACE_PARTS = 32 };

typedef struct trace_part {         /* a host, or a program that calls one */
    char name[64], address[64];
} trace_part;

typedef struct trace_note {
    int64_t   ms;                   /* since the beginning               */
    int       host;                 /* index of the part that tells it   */
    unsigned  conn;                 /* its connection; 0: the host itself */
    char      role;                 /* as mail_server_opts.watch has it; w:
                                       what befalls the host, see befalls */
    mail_note kind;
    char      state[10];            /* of the session, after it          */
    char     *text; size_t n;
} trace_note;

typedef struct trace {
    trace_note *p; size_t n, cap;
    trace_part parts[TRACE_PARTS]; int nparts;
    uint64_t seed;
    int64_t  epoch;                 /* s since 1970 when ms was 0        */
    char     scenario[12];          /* "": the demo's own, or none       */
    char     made[300];             /* the command that made it; or ""   */
    char     says[800];             /* what came of it, if that is known */
} trace;

/* The part of that name or address; made if need be. With too many the last
   place stands for all the others. Names come from peers and from files:
   what a view shows of one is printable. */
static int trace_part_of(trace *t, const char *said, const char *address) {
    trace_part *p;
    char name[64];
    int i;
    mail_printable_utf8(name, sizeof name, mail_s(said));
    for (i = 0; i < t->nparts; i++) {
        p = &t->parts[i];
        if ((*address && strcmp(p->address, address) == 0) ||
            strcmp(p->name, name) == 0) return i;
    }
    if (t->nparts == TRACE_PARTS) return TRACE_PARTS - 1;
    p = &t->parts[t->nparts];
    mail_copy(p->name, sizeof p->name, mail_s(name));
    mail_copy(p->address, sizeof p->address, mail_s(address));
    if (t->nparts == TRACE_PARTS - 1)
        mail_copy(p->name, sizeof p->name, mail_s("others"));
    return t->nparts++;
}

/* Text that goes on where the last note ended is a part of that note: into
   how many pieces the wire cut it is nobody's business. */
static int trace_join(trace *t, const trace_note *note, mail_str text) {
    trace_note *e = t->n ? &t->p[t->n - 1] : NULL;
    char *p;
    if (e == NULL || note->kind != MAIL_NOTE_TEXT || e->kind != note->kind ||
        e->host != note->host || e->conn != note->conn ||
        e->role != note->role || e->ms != note->ms ||
        strcmp(e->state, note->state) != 0) return 0;
    p = realloc(e->text, e->n + text.n + 1);
    if (p == NULL) return 0;
    if (text.n) memcpy(p + e->n, text.p, text.n);
    e->n += text.n;
    p[e->n] = 0;
    e->text = p;
    return 1;
}

static void trace_add(trace *t, const trace_note *note, mail_str text) {
    trace_note *e;
    if (trace_join(t, note, text)) return;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        e = realloc(t->p, cap * sizeof *e);
        if (e == NULL) return;
        t->p = e;
        t->cap = cap;
    }
    e = &t->p[t->n];
    *e = *note;
    e->text = malloc(text.n + 1);
    if (e->text == NULL) return;
    if (text.n) memcpy(e->text, text.p, text.n);
    e->text[text.n] = 0;
    e->n = text.n;
    t->n++;
}

static void trace_free(trace *t) {
    size_t i;
    for (i = 0; i < t->n; i++) free(t->p[i].text);
    free(t->p);
    memset(t, 0, sizeof *t);
}

/* What a peer sent, at most cap octets of it (512). The one way of peers'
   octets to a terminal or a log. */
static void show_safe(FILE *f, mail_str s, size_t cap) {
    char text[4 * 512 + 8];
    if (cap > 512) cap = 512;
    fputs(mail_printable(text, sizeof text, s.n > cap ? mail_sn(s.p, cap) : s),
          f);
    if (s.n > cap) fputs("...", f);
}

/* --- as lines of JSON ----------------------------------------------------
   A first line names the format, then a line for each part, when it is first
   met, and one for each note:
     {"mail.trace":1,"seed":1,"time":1767225600,"scenario":"down"}
     {"part":"mail.a","address":"192.0.2.25"}
     {"ms":0,"host":"mail.a","conn":1,"role":"s","kind":"COMMAND",
      "state":"READY","text":"HELO alice.a.example"}       (on one line)
   Text is octets, not characters: what is not printable ASCII is \u00XX. */

static void json_text(FILE *f, mail_str s) {
    size_t i;
    putc('"', f);
    for (i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') fprintf(f, "\\%c", c);
        else if (c == '\r') fputs("\\r", f);
        else if (c == '\n') fputs("\\n", f);
        else if (c < 32 || c > 126) fprintf(f, "\\u%04x", (unsigned)c);
        else putc(c, f);
    }
    putc('"', f);
}

static void json_begin(FILE *f, uint64_t seed, int64_t epoch,
                       const char *scenario) {
    fprintf(f, "{\"mail.trace\":1,\"seed\":%llu,\"time\":%lld",
            (unsigned long long)seed, (long long)epoch);
    if (*scenario) fputs(",\"scenario\":", f);
    if (*scenario) json_text(f, mail_s(scenario));
    fputs("}\n", f);
}

static void json_part(FILE *f, const trace_part *p) {
    fputs("{\"part\":", f);
    json_text(f, mail_s(p->name));
    fputs(",\"address\":", f);
    json_text(f, mail_s(p->address));
    fputs("}\n", f);
}

static void json_note(FILE *f, const trace_part *host, const trace_note *n,
                      mail_str text) {
    fprintf(f, "{\"ms\":%lld,\"host\":", (long long)n->ms);
    json_text(f, mail_s(host->name));
    fprintf(f, ",\"conn\":%u,\"role\":\"%c\",\"kind\":\"%s\",\"state\":",
            n->conn, n->role, mail_note_name(n->kind));
    json_text(f, mail_s(n->state));
    fputs(",\"text\":", f);
    json_text(f, text);
    fputs("}\n", f);
}

/* The string at *s, which begins with a quote, into to. */
static int json_string(mail_str *s, mail_buf *to) {
    int64_t code;
    size_t i;
    for (i = 1; i < s->n && s->p[i] != '"'; i++) {
        char c = s->p[i];
        if (c == '\\') {
            if (++i == s->n) return 0;
            c = s->p[i] == 'n' ? '\n' : s->p[i] == 'r' ? '\r' :
                s->p[i] == 't' ? '\t' : s->p[i];
            if (s->p[i] == 'u') {
                char hex[8] = "";
                if (s->n - i < 5) return 0;
                memcpy(hex, s->p + i + 1, 4);
                if (hex[strspn(hex, "0123456789abcdefABCDEF")]) return 0;
                code = strtol(hex, NULL, 16);
                if (code > 255) return 0;
                c = (char)(unsigned char)code;
                i += 4;
            }
        }
        mail_buf_add(to, mail_sn(&c, 1));
    }
    if (s->n == 0 || s->p[0] != '"' || i >= s->n || to->full) return 0;
    *s = mail_sn(s->p + i + 1, s->n - i - 1);
    return 1;
}

typedef struct json_field { char name[12]; mail_str text; } json_field;

/* The fields of one flat object, at most 8; their values' octets in room.
   Returns how many, -1: this is none. */
static int json_line(mail_str s, json_field *f, mail_buf *room) {
    int n = 0;
    if (s.n < 2 || s.p[0] != '{' || s.p[s.n - 1] != '}') return -1;
    s = mail_sn(s.p + 1, s.n - 2);
    while (s.n) {
        char name[12];
        mail_buf b = mail_buf_on(name, sizeof name - 1);
        size_t at = room->n;
        if (n == 8 || !json_string(&s, &b) || !mail_starts(s, ":")) return -1;
        name[b.n] = 0;
        s = mail_sn(s.p + 1, s.n - 1);
        if (s.n && s.p[0] == '"') {
            if (!json_string(&s, room)) return -1;
        } else while (s.n && s.p[0] != ',') {
            mail_buf_add(room, mail_sn(s.p, 1));
            s = mail_sn(s.p + 1, s.n - 1);
        }
        memcpy(f[n].name, name, sizeof name);
        f[n++].text = mail_sn(room->p + at, room->n - at);
        if (s.n && s.p[0] != ',') return -1;
        if (s.n) s = mail_sn(s.p + 1, s.n - 1);
        if (room->full) return -1;
    }
    return n;
}

static mail_str json_get(const json_field *f, int n, const char *name) {
    int i;
    for (i = 0; i < n; i++)
        if (strcmp(f[i].name, name) == 0) return f[i].text;
    return mail_sn(NULL, 0);
}

/* No time in a trace is beyond that many s, or ms: some 30,000 years, or 30. */
static const int64_t trace_most = 1000000000000;

static const char *trace_read_note(trace *t, const json_field *f, int n) {
    trace_note note;
    mail_str kind = json_get(f, n, "kind"), role = json_get(f, n, "role");
    char host[64];
    int64_t conn = 0;
    memset(&note, 0, sizeof note);
    mail_copy(host, sizeof host, json_get(f, n, "host"));
    if (host[0] == 0) return "no host";
    note.host = trace_part_of(t, host, "");
    if (mail_number(json_get(f, n, "ms"), trace_most, &note.ms))
        return "ms is no number";
    if (mail_number(json_get(f, n, "conn"), UINT32_MAX, &conn))
        return "conn is no number";
    note.conn = (unsigned)conn;
    if (role.n != 1 || role.p == NULL || !memchr("spc-w", role.p[0], 5))
        return "role is none of s, p, c, -, w";
    note.role = role.p[0];
    while (note.kind < MAIL_NOTE_COUNT &&
           !mail_eq(kind, mail_s(mail_note_name(note.kind))))
        note.kind = (mail_note)(note.kind + 1);
    if (note.kind == MAIL_NOTE_COUNT) return "an unknown kind";
    mail_printable(note.state, sizeof note.state, json_get(f, n, "state"));
    trace_add(t, &note, json_get(f, n, "text"));
    return NULL;
}

/* One line of a trace. NULL, or what is wrong with it. */
static const char *trace_read_line(trace *t, mail_str line, mail_buf room) {
    json_field f[8];
    char name[64], address[64];
    int64_t k = 0;
    int n = json_line(line, f, &room);
    if (n < 0) return "no line of JSON as mail serve --trace writes it";
    if (json_get(f, n, "mail.trace").p) {
        if (mail_number(json_get(f, n, "mail.trace"), 1, &k) || k != 1)
            return "a trace of another version";
        if (mail_number(json_get(f, n, "seed"), INT64_MAX, &k) == MAIL_ERR_OK)
            t->seed = (uint64_t)k;
        if (mail_number(json_get(f, n, "time"), trace_most, &k) == MAIL_ERR_OK)
            t->epoch = k;
        mail_copy(t->scenario, sizeof t->scenario,
                  json_get(f, n, "scenario"));
        return NULL;
    }
    if (json_get(f, n, "part").p == NULL) return trace_read_note(t, f, n);
    mail_copy(name, sizeof name, json_get(f, n, "part"));
    mail_copy(address, sizeof address, json_get(f, n, "address"));
    trace_part_of(t, name, address);
    return NULL;
}

/* A file of such lines. 0, or the number of the line that is wrong: see *why.
   A last line that is not whole is left out, *why says so: its server has not
   written the rest yet, or could not. */
static int trace_read(trace *t, FILE *f, const char **why) {
    size_t cap = 1 << 20;
    char *line = malloc(2 * cap);
    int number = 0, wrong = 0;
    *why = line ? "nothing is there" : "no memory";
    if (line == NULL) return 1;
    while (!wrong && fgets(line, (int)cap, f)) {
        mail_str s = mail_s(line);
        number++;
        while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r')) s.n--;
        if (s.n == 0) continue;
        *why = trace_read_line(t, s, mail_buf_on(line + cap, cap));
        if (*why) wrong = number;
        if (*why && t->n && feof(f)) wrong = 0;
    }
    free(line);
    return number ? wrong : 1;
}

/* ======================================================================
   [VIEWS] what is shown of a trace                                  ch.0
   First the list is made into steps: sessions, their phases, commands with
   their replies, what happens on disks. Then each view writes the steps.
   ====================================================================== */

/* What the views say, in English and Korean; %s is a name or a number. */
#define VIEW_WORDS(X) \
    X(TITLE, "one message, four programs, one process, no network", \
      "메일 한 통, 프로그램 넷, 프로세스 하나, 네트워크 없음") \
    X(TITLE_TRACE, "what a mail server heard and said", \
      "메일 서버가 듣고 말한 것") \
    X(CLIENT_MTA, "client MTA", "클라 MTA") \
    X(SERVER_MTA, "server MTA", "서버 MTA") \
    X(CLIENT_MAA, "client MAA", "클라 MAA") \
    X(SERVER_MAA, "server MAA", "서버 MAA") \
    X(USER_AGENT, "user agent", "UA") \
    X(FIRST_USE, "SMTP, first use: push", "SMTP 첫 번째 사용 (밀어넣기)") \
    X(SECOND_USE, "SMTP, second use: push", "SMTP 두 번째 사용 (밀어넣기)") \
    X(NEXT_USE, "SMTP, next use: push", "SMTP 다음 사용 (밀어넣기)") \
    X(PULL, "POP3: pull", "POP3 (끌어오기)") \
    X(SMTP_1, "1 connection establishment", "1단계 연결 설정") \
    X(SMTP_2, "2 mail transfer", "2단계 메일 전송") \
    X(SMTP_3, "3 connection termination", "3단계 연결 종료") \
    X(POP3_1, "user name and password", "사용자 이름과 암호") \
    X(POP3_2, "retrieval", "메일 가져오기") \
    X(POP3_3, "end", "끝") \
    X(POP3_DELETES, "end: deletions happen now", \
      "끝: 표시한 메일을 이제 지운다") \
    X(CONNECT, "(connect, TCP port %s)", "(연결, TCP %s번 포트)") \
    X(MESSAGE, "message, %s octets, \".\"", "메시지, %s 옥텟, \".\"") \
    X(MESSAGE_CUT, "message, %s octets, no end", "메시지, %s 옥텟, 끝이 없음") \
    X(EMPTY_LINE, "(an empty line)", "(빈 줄)") \
    X(NEXT_RCPT, "(the next recipient)", "(다음 받는 사람)") \
    X(UNASKED, "(nobody asked)", "(묻지 않았다)") \
    X(MINE, "250 mine", "250 맡음") \
    X(MAIL, "+OK mail", "+OK 메일") \
    X(CLEAR, " (clear on wire!)", " (평문 그대로!)") \
    X(DELETE_MODE, " (delete mode)", " (삭제 모드)") \
    X(QUEUED, "queue: on disk before that 250", \
      "큐: 그 250보다 먼저 디스크에") \
    X(QUEUED_ALONE, "queue: on disk; nobody heard that 250", \
      "큐: 디스크에 있다. 250을 들은 쪽은 없다") \
    X(SENT, "queue: done for %s, after that 250", \
      "큐: 그 250을 받고 %s 몫은 끝") \
    X(WAITS, "queue: %s's waits for a next try", \
      "큐: %s 몫은 다음 시도를 기다린다") \
    X(FAILED, "queue: given up for %s", "큐: %s 몫은 포기했다") \
    X(REPORT, "queue: a report to the sender", \
      "큐: 보낸 사람에게 보내는 보고") \
    X(BOXED, "mailbox %s: there; queue: empty", "메일함 %s: 도착, 큐: 비움") \
    X(BOXED_ONE, "mailbox %s: there", "메일함 %s: 도착") \
    X(REMOVED, "mailbox %s: empty (deleted now)", \
      "메일함 %s: 비었음 (지금 삭제됨)") \
    X(REMOVED_SOME, "mailbox %s: the marked ones are deleted now", \
      "메일함 %s: 표시한 것이 지금 삭제됨") \
    X(ADDED, "<- a dot was added", "<- 점 하나를 채웠다") \
    X(END, "<- end of the data", "<- 데이터의 끝") \
    X(BARE_END, "<- end? LF alone", "<- 끝? 외톨이 LF") \
    X(SESSION_LINE, "SESSION. %s. Client %s, server %s.\n", \
      "세션. %s. 클라이언트 %s, 서버 %s.\n") \
    X(PHASE_LINE, "PHASE %s.\n", "단계: %s.\n") \
    X(STEP_LINE, "Step %s. %s to %s: %s. Reply: %s.\n", \
      "%s번. %s -> %s: %s. 응답: %s.\n") \
    X(DISK_LINE, "Disk of %s: %s.\n", "%s의 디스크: %s.\n") \
    X(TIME_LINE, "TIME. %s.\n", "시간. %s.\n") \
    X(ACT_LINE, "ACT. %s.\n", "막. %s.\n") \
    X(EVENT_LINE, "At %s: %s.\n", "%s: %s.\n") \
    X(LATER, "%s later", "%s 뒤") \
    X(DAYS, "%ld days", "%ld일") X(DAY, "%ld day", "%ld일") \
    X(HOURS, "%ld hours", "%ld시간") X(HOUR, "%ld hour", "%ld시간") \
    X(MINUTES, "%ld minutes", "%ld분") X(MINUTE, "%ld minute", "%ld분") \
    X(NO_ANSWER, "no answer", "응답 없음") \
    X(NO_TLS, "no TLS", "TLS 안 됨") \
    X(DOWN, "its server is down", "서버가 멈췄다") \
    X(UP, "its server is up again", "서버가 다시 돈다") \
    X(POWER_OFF, "no power from disk step %s on", \
      "디스크 %s단계에서 전원이 나갔다") \
    X(POWER_ON, "power again: it reads its disk", \
      "전원이 돌아와 디스크를 읽는다") \
    X(LEFT, "left: %s", "남은 것: %s") \
    X(LEFT_MAIL, "left, with the mail: %s", "남은 것(메일도): %s") \
    X(CUT, "the wire is cut", "선이 끊겼다") \
    X(COMES, "mailbox %s: a mail has come", "메일함 %s: 메일이 왔다") \
    X(UA_QUEUE, "Alice's user agent: into the queue", \
      "앨리스의 UA: 큐에 넣는다") \
    X(UA_BOX, "Alice's user agent: mailbox %s", \
      "앨리스의 UA: 메일함 %s에 쓴다") \
    X(UA_READ, "Bob's user agent reads mailbox %s", \
      "밥의 UA: 메일함 %s을 읽는다") \
    X(ACT_AT, "%s at %s: no wire, no protocol", \
      "%s, %s에서: 회선도 프로토콜도 없다") \
    X(ACT_DELETE, "delete mode: Bob's permanent computer", \
      "삭제 모드: 밥이 늘 쓰는 컴퓨터") \
    X(ACT_KEEP, "keep mode: another computer", "유지 모드: 다른 컴퓨터") \
    X(ACT_LENIENT, "a lenient pair: mail.a passes a bare LF on, " \
      "to mail.b it ends a line", \
      "너그러운 한 쌍: mail.a는 외톨이 LF를 넘기고, mail.b는 줄 끝으로 본다") \
    X(ACT_STRICT, "mail.h on both: the same octets once more", \
      "양쪽에 mail.h: 같은 옥텟을 다시 한 번") \
    X(ACT_LETTER, "Korean in the letter", "편지에 쓴 한글") \
    X(ACT_ADDRESS, "Korean in the address", "주소에 쓴 한글") \
    X(FULL_HEAD, "octets, and the state of the server after each reply", \
      "옥텟, 그리고 응답마다 서버의 상태") \
    X(CONNECTS, "(connects to port %s)", "(%s번 포트에 연결)") \
    X(RECORD, "record", "레코드") X(TO, "to", "새 이름") \
    X(WRITE, "write", "쓰기") X(APPEND, "append", "덧붙이기") \
    X(FLUSH, "flush", "플러시") X(RENAME, "rename", "이름 바꾸기") \
    X(LINK, "link", "이름 더하기") X(REMOVE, "remove", "지우기") \
    X(MAKE_EMPTY, "clear", "비우기") X(EVERYTHING, "everything", "전체") \
    X(OCTETS, "%lu octets", "%lu 옥텟") \
    X(FIELD, "a field", "필드") \
    X(FOLDED, "folded: goes on", "접힌 줄: 이어짐") \
    X(EMPTY, "the header ends", "헤더의 끝") \
    X(BODY, "body", "본문") \
    X(CHAPTER, ", chapter %d\n", ", %d장\n") \
    X(KEYS, "[Enter] ", "[Enter] ") \
    X(KEYS_HELP, "Enter: on, b: back, ?: explain, o: octets, q: quit\n", \
      "Enter: 다음, b: 뒤로, ?: 설명, o: 옥텟, q: 그만\n") \
    X(DEADLOCK, "DEADLOCK. Nobody has anything left to do.\n", \
      "교착 상태(deadlock). 아무도 더 움직일 수 없다.\n") \
    X(YOUR_CLIENT, "your client", "당신의 클라이언트") \
    X(YOUR_SERVER, "your server", "당신의 서버") \
    X(THE_CLIENT, "the client", "클라이언트") \
    X(THE_SERVER, "the server", "서버") \
    X(WAITS_FOR, "%s waits for:", "%s: 기다리는 것은") \
    X(LAST_OCTETS, "last octets on the wire:", "회선 위의 마지막 옥텟:") \
    X(WAITS_COMMAND, "a command, ended by <CR><LF>", \
      "<CR><LF>로 끝나는 명령") \
    X(WAITS_LINE_END, "<CR><LF>: it has half a line", \
      "<CR><LF>: 줄이 아직 반뿐이다") \
    X(WAITS_DOT, "<CR><LF>.<CR><LF>", "<CR><LF>.<CR><LF>") \
    X(WAITS_CHUNK, "the rest of a chunk, or the next one", \
      "청크의 나머지, 또는 다음 청크") \
    X(WAITS_ANSWER, "an answer to its challenge", "물음(challenge)에 대한 답") \
    X(WAITS_TLS, "a TLS handshake", "TLS 핸드셰이크") \
    X(WAITS_DECISION, "a decision of its owner", "주인의 결정") \
    X(WAITS_REPLY, "a reply", "응답") \
    X(WAITS_REPLY_END, "the last line of a reply", "응답의 마지막 줄") \
    X(WAITS_WORK, "work: it has nothing to say", \
      "할 일: 스스로는 할 말이 없다") \
    X(WAITS_NOTHING, "nothing: it is over", "아무것도: 끝났다") \
    X(ENDS_NOTHING, "there are none", "없다") \
    X(ENDS_LF, "this is no CR LF (chapter 2)", "CR LF가 아니다 (2장)") \
    X(ENDS_CR, "CR, and no LF (chapter 2)", "CR뿐이고 LF가 없다 (2장)") \
    X(ENDS_OPEN, "no line end (chapter 2)", "줄 끝이 없다 (2장)") \
    X(ENDS_NO_DOT, "no line that is a dot (chapter 6)", \
      "점 하나만 있는 줄이 없다 (6장)") \
    X(PAGE_COUNTS, "%s participants, %s connections, %s steps", \
      "참가자 %s, 연결 %s, 단계 %s") \
    X(PAGE_HOW, "Time runs down. An arrow is a command, from the client to " \
      "the server; the dashed arrow back is the reply, with the state of " \
      "the server beside it. A cylinder is something on a disk.", \
      "시간은 아래로 흐른다. 화살표는 클라이언트가 서버에 보내는 명령, " \
      "점선 화살표는 응답이고 그 옆은 서버의 상태다. " \
      "원통은 디스크에서 일어난 일이다.") \
    X(PAGE_OCTETS, "on the wire, octet by octet", "회선 위의 옥텟") \
    X(PAGE_EVENTS, "what happens, in this order", "일어난 일, 순서대로") \
    X(PAGE_STATE, "state of the session", "세션의 상태") \
    X(PAGE_DISK, "disks, before and after", "디스크, 앞과 뒤") \
    X(PAGE_SAME, "disks: as they were", "디스크: 그대로") \
    X(PAGE_HOST, "host", "호스트") \
    X(PAGE_PLACE, "where", "어디") \
    X(PAGE_THING, "what", "무엇") \
    X(PAGE_SURVIVED, "survived a crash before", "앞에서 고장 났다면 남았는가") \
    X(PAGE_SURVIVES, "would survive a crash now", "지금 고장 나도 남는가") \
    X(PAGE_YES, "yes", "예") \
    X(PAGE_NO, "no", "아니요") \
    X(PAGE_BACK, "may come back", "되살아날 수 있음") \
    X(PAGE_GONE, " (removed)", " (지움)") \
    X(PAGE_QUEUE, "queue", "큐") \
    X(PAGE_MAILBOX, "mailbox", "메일함") \
    X(PAGE_A, "accepted", "맡음") \
    X(PAGE_F, "what became of it", "어떻게 되었는가") \
    X(PAGE_D, "done", "끝남") \
    X(PAGE_R, "refused", "거절함") \
    X(PAGE_SAFE, "safe from here on", "이제 안전") \
    X(PAGE_UNSAFE, "not safe yet", "아직 안전하지 않음") \
    X(PAGE_MORE, "... and %s octets more", "... 그리고 %s 옥텟 더") \
    X(PAGE_ITEMS, "... and %s more", "... 그리고 %s개 더") \
    X(PAGE_OPEN, "(the connection is there; no octet yet)", \
      "(연결되었다. 아직 아무 옥텟도 없다)") \
    X(PAGE_CLOSE, "(the connection is closed)", "(연결이 닫혔다)") \
    X(PAGE_CODE, "the code", "코드") \
    X(PAGE_ROW, "its row in the server's table", "서버 표에 있는 행") \
    X(PAGE_ASK, "What will the server answer?", "서버는 뭐라고 답할까?") \
    X(PAGE_RIGHT, "Right:", "맞다:") \
    X(PAGE_WRONG, "No, it is:", "아니다. 답은:") \
    X(PAGE_REPLY, "Reply:", "응답:") \
    X(PAGE_RANGE, "Octets %1 to %2 of %3.", "%3 옥텟 중 %1~%2.") \
    X(PAGE_FIRST, "first step", "처음") \
    X(PAGE_BACKWARD, "a step back", "뒤로") \
    X(PAGE_NEXT, "a step on", "다음") \
    X(PAGE_LAST, "last step", "마지막") \
    X(PAGE_STEP, "step", "단계") \
    X(PAGE_PLAY, "play", "재생") \
    X(PAGE_STOP, "stop", "멈춤") \
    X(PAGE_PREDICT, "predict", "예측") \
    X(PAGE_ALL, "open all", "모두 펼치기") \
    X(PAGE_TERMS, "words", "용어") \
    X(PAGE_FIELDS, "what the octets of a line are", "한 줄의 옥텟은 무엇인가") \
    X(PAGE_MADE, "how this page was made", "이 페이지를 만든 방법") \
    X(PAGE_CAPTURE, "SHA-256 of the capture (--pcapng FILE):", \
      "캡처(--pcapng FILE)의 SHA-256:") \
    X(DEMO_GOT, "Bob has the %s octets Alice wrote plus 3 trace fields " \
      "(%s octets in all).\n", \
      "밥은 앨리스가 쓴 %s 옥텟에 추적 필드 셋이 붙은, " \
      "모두 %s 옥텟을 받았다.\n") \
    X(DEMO_NONE, "Bob has no mail: it did not come that far. --full shows " \
      "the last words.\n", \
      "밥은 메일을 받지 못했다. 어디에서 멈추었는지는 --full이 보여 준다.\n") \
    X(DEMO_KEPT, "SMTP was used twice. Bob looked twice, took the mail once; " \
      "it is still there.\n", \
      "SMTP를 두 번 썼다. 밥은 두 번 들여다보고 메일을 " \
      "한 번 가져갔으며,\n메일은 서버에 그대로 있다.\n") \
    X(DEMO_DONE, "SMTP was used twice, POP3 once.\n", \
      "SMTP를 두 번, POP3를 한 번 썼다.\n") \
    X(CRASH_NONE, "mail.a's disk made fewer than %n steps: the power stayed, " \
      "and Bob has it once.\n", \
      "mail.a의 디스크는 %n단계에 이르지 않아 전원은 나가지 않았고, " \
      "밥은 한 번 받았다.\n") \
    X(CRASH_AGAIN, "Alice had no 250, so the mail was still hers: she sent " \
      "it again.\nBob has it once: of the first try nothing was left.\n", \
      "앨리스는 250을 받지 못했으니 아직 자기 책임이라 다시 보냈다.\n" \
      "처음 것은 남지 않았으니 밥은 한 번 받았다.\n") \
    X(CRASH_KEPT, "Alice had her 250, and mail.a kept its word: what was on " \
      "the disk before\nthat reply was there afterwards. Bob has it once.\n", \
      "앨리스는 250을 받았고 mail.a는 약속을 지켰다. 응답보다 먼저 디스크에\n" \
      "쓴 것은 전원이 나가도 남는다. 밥은 한 번 받았다.\n") \
    X(CRASH_TWICE, "Bob has it twice: mail.b had said 250, and mail.a " \
      "lost its power before it\nhad that on its disk, so it sent it again. " \
      "This is the one double that cannot\nbe avoided: a mail is rather " \
      "sent twice than lost (RFC 5321 6.1).\n", \
      "밥은 두 번 받았다. mail.b가 250이라고 했지만 mail.a는 이를 디스크에\n" \
      "적기 전에 전원이 나가 다시 보냈다. 이 중복 하나만은 피할 수 없다.\n" \
      "잃기보다는 두 번 보내는 쪽을 택한다 (RFC 5321 6.1).\n") \
    X(BOB_READS, "Bob reads: %s\n", "밥이 읽는 제목: %s\n") \
    X(SCENARIO_CHAPTER, "chapter %s\n", "%s장\n") \
    X(DEMO_MORE, "See also: --step --keep --full --plain\n", \
      "다른 보기: --step --keep --full --plain\n")

typedef enum view_word {
#define VIEW_X(name, en, ko) W_##name,
    VIEW_WORDS(VIEW_X)
#undef VIEW_X
    W_COUNT
} view_word;

enum { LANG_EN, LANG_KO };

/* The plays of `mail demo --scenario`: a name, its chapter, who takes part
   (see demo_part), whether --keep has a meaning; a title; what is said in the
   end (see scene_says). Each has a function scene_NAME in SCENARIO. */
#define SCENARIOS(X) \
    X(1, 1, "AaB", 0, \
      "both on one system: two user agents and a file", \
      "둘 다 한 시스템에: 사용자 에이전트 둘과 파일 하나", \
      "Two user agents and a file: on one system nothing else is needed.\n" \
      "What the other scenarios add is there because of the distance.\n", \
      "사용자 에이전트 둘과 파일 하나. 한 시스템에서는 이것으로 충분하다.\n" \
      "다른 시나리오에 더해지는 것은 모두 거리 때문에 있다.\n") \
    X(2, 1, "AabB", 0, \
      "two systems: one pair of MTAs between them", \
      "두 시스템: 그 사이에 MTA 한 쌍", \
      "Two user agents and one pair of MTAs: SMTP was used once. The queue\n" \
      "is there because the other system may not answer just now.\n", \
      "사용자 에이전트 둘과 MTA 한 쌍. SMTP를 한 번 썼다. 큐가 있는 까닭은\n" \
      "저쪽 시스템이 지금 답하지 않을 수도 있기 때문이다.\n") \
    X(3, 1, "AabB", 0, \
      "the sender is remote: two pairs of MTAs", \
      "보내는 사람이 멀리 있다: MTA 두 쌍", \
      "Two user agents and two pairs of MTAs: SMTP was used twice, to push.\n" \
      "Bob sits at mail.b and needs no protocol to read his mail.\n", \
      "사용자 에이전트 둘과 MTA 두 쌍. SMTP를 두 번 써서 밀어넣었다.\n" \
      "밥은 mail.b 앞에 있으니 메일을 읽는 데 프로토콜이 필요 없다.\n") \
    X(4, 0, "AabB", 1, "", "", "", "") \
    X(greylist, 7, "AabB", 1, \
      "451: not now, come again later", \
      "451: 지금은 안 된다, 나중에 다시", \
      "451 is no for now: mail.a kept the mail, came again, and was let in.\n" \
      "Bob has it once. Alice noticed nothing: she had her 250.\n", \
      "451은 지금은 안 된다는 뜻이다. mail.a는 메일을 간직했다가 다시 왔다.\n" \
      "밥은 메일을 한 번 받았다. 앨리스는 이미 250을 받아 아무것도 모른다.\n") \
    X(down, 9, "AabB", 1, \
      "the receiver's server is down for two days", \
      "받는 쪽 서버가 이틀 동안 멈춰 있다", \
      "mail.a called %t times, and its pauses grew; after four hours it\n" \
      "told Alice that the mail is late. In the end Bob had it, once.\n", \
      "mail.a는 %t번 걸었고 쉬는 시간은 점점 길어졌다. 네 시간 뒤에는\n" \
      "늦는다고 앨리스에게 알렸다. 결국 밥은 메일을 한 번 받았다.\n") \
    X(bounce, 9, "Aab", 1, \
      "no such user: a report comes back", \
      "그런 사용자는 없다: 보고가 돌아온다", \
      "mail.a had said 250: it had to deliver the mail, or to say why not.\n" \
      "Alice has its report. It is from <>, so that no report answers it.\n", \
      "mail.a는 250이라고 했으니 배달하거나 왜 못 했는지 알려야 한다.\n" \
      "앨리스는 보고를 받았다. 반송 경로가 <>라서 보고에 대한 보고는 없다.\n") \
    X(refused, 5, "AabB", 1, \
      "two recipients, one of them refused", \
      "받는 사람 둘, 그중 하나는 거절", \
      "RCPT is answered for each recipient. Dave was refused while Alice\n" \
      "was still there, so nobody owes her a report. Bob has the mail.\n", \
      "RCPT에는 받는 사람마다 답한다. 데이브는 앨리스가 아직 있을 때\n" \
      "거절되었으니 보고는 필요 없다. 밥은 메일을 받았다.\n") \
    X(crash, 8, "AabB", 1, \
      "mail.a loses its power: what is left, what comes", \
      "mail.a의 전원이 나간다: 무엇이 남고 무엇이 오나", "", "") \
    X(smuggle, 13, "EabB", 0, \
      "one message, two mails: what a bare LF may do", \
      "메시지 하나가 메일 둘로: 외톨이 LF가 하는 일", \
      "There one message became two mails, and the second one's sender is a\n" \
      "lie. Here it is one: nothing but <CR><LF>.<CR><LF> ends the data.\n", \
      "앞에서는 메시지 하나가 메일 둘이 되었고 둘째의 보낸 사람은 거짓이다.\n" \
      "뒤에서는 하나다. 데이터의 끝은 <CR><LF>.<CR><LF>뿐이다.\n") \
    X(cut, 11, "bB", 0, \
      "the wire is cut before QUIT", \
      "QUIT 앞에서 선이 끊긴다", \
      "Delete mode: no QUIT, nothing deleted: Bob fetched that mail twice.\n" \
      "Keep mode: he knew its UID and fetched it once. Neither was lost.\n", \
      "삭제 모드: QUIT이 없어 지워지지 않았고 밥은 그 메일을 두 번 받았다.\n" \
      "유지 모드: UID를 알기에 한 번만 가져갔다. 잃어버린 메일은 없다.\n") \
    X(korean, 12, "AabB", 1, \
      "a letter in Korean", \
      "한글로 쓴 편지", \
      "On the wires that was ASCII: encoded-words and base64. Only an\n" \
      "address in Korean needs servers that know more: SMTPUTF8.\n", \
      "회선 위에서는 ASCII였다: 인코딩된 낱말과 base64. 한글 주소에만\n" \
      "더 할 줄 아는 서버가 필요하다: SMTPUTF8.\n")

typedef struct scenario {
    const char *name, *cast, *title[2], *says[2];
    int chapter, keeps;
} scenario;

static const scenario scenarios[] = {
#define SCENARIO_X(name, ch, cast, keeps, en, ko, says_en, says_ko) \
    { #name, cast, { en, ko }, { says_en, says_ko }, ch, keeps },
    SCENARIOS(SCENARIO_X)
#undef SCENARIO_X
};

/* NULL: there is none of that name. */
static const scenario *scenario_find(const char *name) {
    size_t i;
    for (i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (strcmp(scenarios[i].name, name) == 0) return &scenarios[i];
    return NULL;
}

static const char *word(int lang, view_word w) {
    static const char *const words[][2] = {
#define VIEW_X(name, en, ko) { en, ko },
        VIEW_WORDS(VIEW_X)
#undef VIEW_X
    };
    return words[w][lang];
}

/* Columns a text takes on a terminal: Hangul and its like take two, and
   nothing else that is said here is wide. */
static int width(const char *s) {
    int n = 0;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        n += (c & 0xC0) != 0x80;
        n += c == 0xE1 || (c >= 0xE3 && c <= 0xED);
    }
    return n;
}

/* The first octets of s, whole characters, that take so many columns. */
static int width_fits(const char *s, int columns) {
    int n = 0, i = 0;
    while (s[i] && n <= columns) {
        char one[5] = "";
        int k = 1;
        while (k < 4 && ((unsigned char)s[i + k] & 0xC0) == 0x80) k++;
        memcpy(one, s + i, (size_t)k);
        n += width(one);
        if (n <= columns) i += k;
    }
    return i;
}

/* A host's name where there is little room: so many columns of it. */
enum { NAME_COLUMNS = 15 };

static void name_fits(char *to, size_t cap, const char *name) {
    snprintf(to, cap, "%.*s", width_fits(name, NAME_COLUMNS), name);
}

/* At least that many columns. */
static int put_width(FILE *f, const char *s, int columns) {
    int n = width(s), k;
    fputs(s, f);
    for (k = n; k < columns; k++) putc(' ', f);
    return k;
}

/* The people of the demo. Whoever is none of them keeps his name. */
static const char *person(int lang, const char *name) {
    static const char *const people[][2] = {
        { "Alice", "앨리스" }, { "Bob", "밥" }, { "Carol", "캐럴" },
        { "Eve", "이브" }
    };
    size_t i;
    for (i = 0; i < sizeof people / sizeof people[0]; i++)
        if (mail_ieq(mail_s(name), mail_s(people[i][0])))
            return people[i][lang];
    return name;
}

static int is_person(const char *name) {
    return person(LANG_KO, name) != name;
}

typedef enum step_kind {
    STEP_SESSION,                   /* a connection begins: text is a title */
    STEP_PHASE,                     /* one of its phases                    */
    STEP_TALK,                      /* a command and its reply              */
    STEP_STAR,                      /* something on the disk of host        */
    STEP_EVENT,                     /* something befalls host: see befalls  */
    STEP_ACT,                       /* the next act of a play: a title      */
    STEP_TIME                       /* time has passed: how much            */
} step_kind;

typedef struct step {
    step_kind kind;
    int     number, session, from, to, host, pop3;
    int64_t ms;
    size_t  first, end;             /* its notes, as places in steps.order  */
    char    key[12];                /* what it is: a verb, or see explains  */
    char    text[120], reply[60];
    char    before[10], after[10];  /* the server's state                   */
    int     befalls;                /* it is no server's note: see befalls  */
} step;

typedef struct steps {
    trace  *t;
    int     lang;
    size_t *order;                  /* of the notes: session by session     */
    step   *p; size_t n, cap;
    int     number, session, from, to, phase, pop3, smtps;
    int     in_mail, marked, lmtp;
    int     tls;                    /* nobody on the wire can read it;
                                       -1: it should have been so           */
    int64_t mails;                  /* in the mailbox, as POP3 said; or -1  */
    size_t  at, first;              /* this note, that of the command       */
    int64_t ms;                     /* the latest time that was shown       */
    char    state[10], key[12], command[120];
    char   *data; size_t data_n;    /* text on the wire, so far             */
    int64_t queued[TRACE_PARTS];    /* recipients that are due at a host    */
    size_t  stars;                  /* held back until their row is shown   */
    step    star[8];
} steps;

static void steps_free(steps *s) {
    free(s->order);
    free(s->p);
    free(s->data);
    memset(s, 0, sizeof *s);
}

static const char *part_name(const steps *s, int part) {
    return person(s->lang, s->t->parts[part].name);
}

static step *steps_new(steps *s, step_kind kind) {
    step *p;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        p = realloc(s->p, cap * sizeof *p);
        if (p == NULL) exit(1);
        s->p = p;
        s->cap = cap;
    }
    p = &s->p[s->n++];
    memset(p, 0, sizeof *p);
    p->kind = kind;
    p->session = s->session;
    p->from = s->from;
    p->to = s->to;
    p->pop3 = s->pop3;
    p->first = p->end = s->at;
    p->ms = s->t->p[s->order[s->at]].ms;
    return p;
}

/* "2 days 4 hours", as precisely as it matters. */
static void span(char *to, size_t cap, int lang, int64_t ms) {
    static const struct { long s; view_word one, many; } units[] = {
        { 86400, W_DAY, W_DAYS }, { 3600, W_HOUR, W_HOURS },
        { 60, W_MINUTE, W_MINUTES }
    };
    mail_buf b = mail_buf_on(to, cap - 1);
    long left = (long)((ms + 30000) / 60000 * 60);
    size_t i;
    for (i = 0; i < 3; i++) {
        long k = left / units[i].s;
        char text[40];
        left %= units[i].s;
        if (k == 0) continue;
        snprintf(text, sizeof text,
                 word(lang, k == 1 ? units[i].one : units[i].many), k);
        mail_buf_fmt(&b, "%s%s", b.n ? " " : "", text);
    }
    to[b.n] = 0;
}

/* Where a minute or more has passed that is said first. */
static step *steps_add(steps *s, step_kind kind) {
    int64_t ms = s->t->p[s->order[s->at]].ms, gone = ms - s->ms;
    char text[64];
    if (gone >= 60000 && s->n) {
        step *p = steps_new(s, STEP_TIME);
        span(text, sizeof text, s->lang, gone);
        snprintf(p->text, sizeof p->text, word(s->lang, W_LATER), text);
    }
    if (gone > 0) s->ms = ms;
    return steps_new(s, kind);
}

static void steps_phase(steps *s, int phase) {
    static const view_word smtp[] = { W_SMTP_1, W_SMTP_1, W_SMTP_2, W_SMTP_3 };
    static const view_word pop3[] = { W_POP3_1, W_POP3_1, W_POP3_2, W_POP3_3 };
    view_word w = s->pop3 ? pop3[phase] : smtp[phase];
    if (phase <= s->phase) return;
    s->phase = phase;
    if (phase == 3 && s->marked) w = W_POP3_DELETES;
    mail_copy(steps_add(s, STEP_PHASE)->text, sizeof s->p->text,
              mail_s(word(s->lang, w)));
}

/* "192.0.2.1"; of a call to a next hop "192.0.2.25:25 (mail.b)". */
static int steps_peer(steps *s, const trace_note *n) {
    mail_str rest = mail_s(n->text), address = mail_cut(&rest, ' ');
    char at[64], name[64];
    mail_copy(at, sizeof at, address);
    if (rest.n > 2) mail_copy(name, sizeof name,
                              mail_sn(rest.p + 1, rest.n - 2));
    else mail_copy(name, sizeof name, address);
    return trace_part_of(s->t, name, at);
}

/* Has anybody answered this call? A server that is there speaks first. */
static int steps_answered(const steps *s) {
    size_t i;
    for (i = s->at + 1; i < s->t->n; i++) {
        const trace_note *n = &s->t->p[s->order[i]];
        if (n->role == '-' || n->role == 'w') continue;
        if (n->kind == MAIL_NOTE_OPEN) return 0;
        if (n->kind == MAIL_NOTE_REPLY) return 1;
    }
    return 0;
}

/* A call of a client's that nobody answered is one row. */
static void steps_refused(steps *s) {
    step *p = steps_add(s, STEP_TALK);
    p->number = ++s->number;
    p->end = s->at + 1;
    snprintf(p->text, sizeof p->text, "%s", s->command);
    snprintf(p->reply, sizeof p->reply, "%s", word(s->lang, W_NO_ANSWER));
    snprintf(p->key, sizeof p->key, "no answer");
    s->command[0] = 0;
}

static void steps_message(steps *s);

/* What was held back until its row was shown; no 250: it has none. */
static void steps_stars(steps *s, int host, int no_250) {
    size_t i;
    for (i = 0; i < s->stars; i++) {
        step *p = steps_add(s, STEP_STAR);
        p->host = host;
        memcpy(p->key, s->star[i].key, sizeof p->key);
        memcpy(p->text, s->star[i].text, sizeof p->text);
        if (no_250 && strcmp(p->key, "queued") == 0)
            mail_copy(p->text, sizeof p->text,
                      mail_s(word(s->lang, W_QUEUED_ALONE)));
    }
    s->stars = 0;
}

/* What was said and not answered, when the connection ends. */
static void steps_unanswered(steps *s) {
    step *p;
    if (s->data && !s->pop3) steps_message(s);
    free(s->data);
    s->data = NULL;
    s->data_n = 0;
    if (s->command[0]) {
        p = steps_add(s, STEP_TALK);
        p->number = ++s->number;
        p->first = s->first;
        p->end = s->at;
        memcpy(p->key, s->key, sizeof p->key);
        snprintf(p->text, sizeof p->text, "%s", s->command);
        snprintf(p->reply, sizeof p->reply, "%s",
                 word(s->lang, s->tls < 0 ? W_NO_TLS : W_NO_ANSWER));
        s->command[0] = 0;
    }
    steps_stars(s, s->to, 1);
}

static void steps_open(steps *s, const trace_note *n) {
    static const view_word use[] = { W_FIRST_USE, W_SECOND_USE, W_NEXT_USE };
    int peer = steps_peer(s, n), calls = n->role == 'c';
    step *p;
    steps_unanswered(s);
    s->from = calls ? n->host : peer;
    s->to = calls ? peer : n->host;
    s->pop3 = n->role == 'p';
    s->session++;
    s->phase = s->in_mail = s->marked = s->lmtp = s->tls = 0;
    s->mails = -1;
    s->state[0] = 0;
    s->first = s->at;
    snprintf(s->command, sizeof s->command, word(s->lang, W_CONNECT),
             s->pop3 ? "110" : "25");
    mail_copy(s->key, sizeof s->key, mail_s("connect"));
    if (calls && !steps_answered(s)) {
        steps_refused(s);
        return;
    }
    p = steps_add(s, STEP_SESSION);
    snprintf(p->text, sizeof p->text, "%s: %s -> %s",
             word(s->lang, s->pop3 ? W_PULL : use[s->smtps > 1 ? 2 :
                                                  s->smtps]),
             part_name(s, s->from), part_name(s, s->to));
    if (!s->pop3) s->smtps++;
}

/* The phase follows from the session's state, not from the words. */
static int steps_phase_of(steps *s, const char *state, int reply) {
    if (strcmp(state, "END") == 0 || strcmp(state, "UPDATE") == 0 ||
        strcmp(state, "QUIT") == 0) return 3;
    if (s->pop3 && reply && s->phase) return s->phase;
    if (s->pop3) return strcmp(state, "TRANS") == 0 ? 2 : 1;
    if (strcmp(state, "MAIL") == 0 || strcmp(state, "DATA") == 0)
        s->in_mail = 1;
    return s->in_mail ? 2 : 1;
}

/* How many octets of message are in what went over the wire? What a lenient
   server took for the end is none of them. ended: there was an end. */
static size_t steps_octets(const steps *s, int *ended) {
    mail_dot_in d;
    const char *end = s->data + s->data_n;
    size_t used = 0, n = 0, dot = 0;
    memset(&d, 0, sizeof d);
    while (used < s->data_n && !d.end) {
        mail_str text;
        used += mail_dot_read(&d, s->data + used, s->data_n - used, &text);
        n += text.n;
    }
    if (!d.end && s->data_n > 3 && memcmp(end - 4, "\n.\r\n", 4) == 0) dot = 3;
    if (!d.end && s->data_n > 2 && memcmp(end - 3, "\n.\n", 3) == 0) dot = 2;
    *ended = d.end || dot;
    return n - dot;
}

/* After DATA the text is a row of its own; what BDAT sends is in its row, which
   says how much that is. */
static void steps_message(steps *s) {
    char octets[24];
    int ended;
    if (mail_starts(mail_s(s->command), "BDAT ")) return;
    snprintf(octets, sizeof octets, "%lu",
             (unsigned long)steps_octets(s, &ended));
    snprintf(s->command, sizeof s->command,
             word(s->lang, ended ? W_MESSAGE : W_MESSAGE_CUT), octets);
    mail_copy(s->key, sizeof s->key, mail_s("message"));
}

/* The row that a line goes on with, of what POP3 answers in many; NULL: there
   is none. */
static step *steps_goes_on(steps *s) {
    step *p = s->n ? &s->p[s->n - 1] : NULL;
    if (!s->pop3 || p == NULL || p->kind != STEP_TALK ||
        p->session != s->session || p->end == p->first) return NULL;
    p->end = s->at + 1;
    return p;
}

/* What POP3 said of the mailbox, and of the marks in it: to STAT, and our
   server to a login, too: "+OK 3 messages". */
static void steps_marks(steps *s, mail_str code, mail_str number,
                        mail_str rest) {
    int64_t mails;
    if (!mail_eq(code, mail_s("+OK"))) return;
    if (strcmp(s->key, "DELE") == 0) s->marked = 1;
    if (strcmp(s->key, "RSET") == 0) s->marked = 0;
    if ((strcmp(s->key, "STAT") == 0 || mail_starts(rest, "messages")) &&
        mail_number(number, INT64_MAX, &mails) == MAIL_ERR_OK)
        s->mails = mails;
}

/* A reply that nobody has asked for: "421 closing", before it hangs up. What
   POP3 says then begins so; other lines go on with the reply before. LMTP
   answers a text once for each recipient (RFC 2033 4.2). */
static int steps_unasked(steps *s, const trace_note *n) {
    int next = s->lmtp && !mail_starts(mail_s(n->text), "421");
    if (s->command[0] || (s->data && !s->pop3)) return 1;
    if (!mail_starts(mail_s(n->text), "-ERR") && steps_goes_on(s)) return 0;
    mail_copy(s->command, sizeof s->command,
              mail_s(word(s->lang, next ? W_NEXT_RCPT : W_UNASKED)));
    mail_copy(s->key, sizeof s->key, mail_s(next ? "message" : "unasked"));
    s->first = s->at;
    return 1;
}

/* A reply closes a row. Of its words only a little is shown: the code, the
   numbers of STAT, and "mine" where a server takes responsibility. */
static void steps_reply(steps *s, const trace_note *n) {
    step *p;
    int64_t a;
    mail_str rest = mail_s(n->text), code = mail_cut(&rest, ' '), second;
    int text = s->data && !s->pop3;
    if (n->n > 3 && n->text[3] == '-' && !s->pop3) return;
    if (!steps_unasked(s, n)) return;
    if (text) steps_message(s);
    steps_phase(s, steps_phase_of(s, n->state, 1));
    p = steps_add(s, STEP_TALK);
    p->number = ++s->number;
    p->first = s->first;
    p->end = s->at + 1;
    memcpy(p->key, s->key, sizeof p->key);
    mail_copy(p->text, sizeof p->text, mail_s(s->command));
    mail_printable(p->reply, sizeof p->reply, code);
    second = mail_cut(&rest, ' ');
    if (s->pop3) steps_marks(s, code, second, rest);
    if (s->pop3 && mail_number(second, INT64_MAX, &a) == MAIL_ERR_OK &&
        mail_number(rest, INT64_MAX, &a) == MAIL_ERR_OK)
        mail_printable(p->reply, sizeof p->reply, mail_s(n->text));
    if (text && mail_starts(code, "250") &&
        (strcmp(s->key, "message") == 0 || strstr(s->command, " LAST")))
        mail_copy(p->reply, sizeof p->reply, mail_s(word(s->lang, W_MINE)));
    mail_copy(p->before, sizeof p->before, mail_s(s->state));
    mail_copy(p->after, sizeof p->after, mail_s(n->state));
    mail_copy(s->state, sizeof s->state, mail_s(n->state));
    s->command[0] = 0;
    free(s->data);
    s->data = NULL;
    s->data_n = 0;
    steps_stars(s, n->host, 0);
}

static void steps_command(steps *s, const trace_note *n) {
    const char *more = "";
    char text[84];
    mail_str all = mail_sn(n->text, n->n), rest = mail_s(n->text);
    steps_phase(s, steps_phase_of(s, n->state, 0));
    if (strcmp(s->state, "SEND") == 0)     /* what was sent is through */
        mail_copy(s->state, sizeof s->state, mail_s(n->state));
    mail_copy(s->key, sizeof s->key, mail_cut(&rest, ' '));
    if (strcmp(s->key, "LHLO") == 0) s->lmtp = 1;
    if (strcmp(n->text, "PASS ****") == 0 && s->tls < 1)
        more = word(s->lang, W_CLEAR);
    if (strncmp(n->text, "DELE ", 5) == 0) more = word(s->lang, W_DELETE_MODE);
    snprintf(s->command, sizeof s->command, "%s%s",
             mail_printable_utf8(text, sizeof text, all), more);
    if (n->n == 0) mail_copy(s->command, sizeof s->command,
                             mail_s(word(s->lang, W_EMPTY_LINE)));
    s->first = s->at;
}

static void steps_data(steps *s, const trace_note *n) {
    char *p;
    if (s->pop3) {       /* the text follows the +OK: the row is there */
        step *row = steps_goes_on(s);
        if (row) mail_copy(row->reply, sizeof row->reply,
                           mail_s(word(s->lang, W_MAIL)));
        return;
    }
    if (s->data == NULL) s->first = s->at;
    p = realloc(s->data, s->data_n + n->n + 1);
    if (p == NULL) exit(1);
    memcpy(p + s->data_n, n->text, n->n);
    s->data = p;
    s->data_n += n->n;
}

/* What becomes of messages, as a server tells it: a word, the name that
   follows it, up to the octet end. */
static const struct fate {
    const char *says, *key;
    view_word w;
    char end;
    int names;                      /* a person, not a mailbox */
} fate_words[] = {
    { "is sent to <",           "sent",   W_SENT,   '@', 1 },
    { "waits for <",            "waits",  W_WAITS,  '@', 1 },
    { "has failed for <",       "failed", W_FAILED, '@', 1 },
    { "a report goes to ",      "report", W_REPORT, ',', 0 },
    { "is in the mailbox of <", "boxed",  W_BOXED,  '@', 0 },
    { "is accepted from <>",    "queued", W_COUNT,  0,   0 },
    { "is accepted",            "queued", W_QUEUED, 0,   0 }
};

/* A name out of a server's note, where octets over 127 are \xHH. */
static void name_shown(char *to, size_t cap, mail_str s) {
    char name[64];
    mail_buf b = mail_buf_on(name, sizeof name);
    while (s.n) {
        char c = s.p[0], hex[3] = "";
        size_t n = 1;
        if (s.n > 3 && c == '\\' && s.p[1] == 'x') {
            memcpy(hex, s.p + 2, 2);
            c = (char)(unsigned char)strtoul(hex, NULL, 16);
            n = 4;
        }
        mail_buf_add(&b, mail_sn(&c, 1));
        s = mail_sn(s.p + n, s.n - n);
    }
    mail_printable_utf8(to, cap, mail_buf_str(&b));
}

/* Something happens on a disk. Before the 250 it is held back until that row
   is shown, because it stands under it. */
static void steps_star(steps *s, const trace_note *n, const struct fate *f,
                       mail_str name, int later) {
    char who[64];
    int held = later && s->stars < 8;
    step *p;
    if (f->w == W_WAITS && s->n &&               /* that row says it */
        strcmp(s->p[s->n - 1].key, "no answer") == 0) return;
    p = held ? &s->star[s->stars++] : steps_add(s, STEP_STAR);
    name_shown(who, sizeof who, name);
    p->host = n->host;
    snprintf(p->text, sizeof p->text, word(s->lang, f->w),
             f->names ? person(s->lang, who) : who);
    snprintf(p->key, sizeof p->key, "%s", f->key);
}

/* How many recipients are still due there? */
static void steps_queued(steps *s, const trace_note *n, const char *key) {
    const char *p = strstr(n->text, "> for ");
    mail_str rest = mail_s(p ? p + 6 : "");
    int64_t *k = &s->queued[n->host], more = 0;
    if (strcmp(key, "queued") == 0) {
        mail_number(mail_cut(&rest, ','), 1000000, &more);
        *k += more;
    } else if (strcmp(key, "waits") != 0 && *k > 0) --*k;
}

static void steps_disk(steps *s, const trace_note *n) {
    static const struct fate one = { "", "boxed", W_BOXED_ONE, '@', 0 };
    static const struct fate removed[] = {
        { "", "removed", W_REMOVED, ':', 0 },
        { "", "removed", W_REMOVED_SOME, ':', 0 }
    };
    mail_str t = mail_s(n->text), first = mail_cut(&t, ' '), name;
    int64_t gone = 0;
    int held = s->data != NULL && !s->pop3 && n->host == s->to;
    size_t i;
    if (n->kind != MAIL_NOTE_FATE) return;
    if (mail_eq(first, mail_s("mailbox")) && t.n) {
        name = mail_cut(&t, ':');
        mail_cut(&t, ' ');
        mail_number(mail_cut(&t, ' '), INT64_MAX, &gone);
        steps_star(s, n, &removed[gone != s->mails], name, s->pop3);
    } else for (i = 0; i < sizeof fate_words / sizeof fate_words[0]; i++) {
        const struct fate *f = &fate_words[i];
        size_t skip = strlen(f->says);
        if (!mail_starts(t, f->says)) continue;
        if (f->w != W_REPORT) steps_queued(s, n, f->key);
        /* A report that nobody sent here has been told of already. */
        if (f->w == W_COUNT && !held) return;
        if (f->w == W_COUNT) f++;
        if (f->w == W_BOXED && s->queued[n->host]) f = &one;
        t = mail_sn(t.p + skip, t.n - skip);
        steps_star(s, n, f, f->end ? mail_cut(&t, f->end) : t, held);
        return;
    }
}

/* What befalls a host, other than its server's work. An act is a title; %s
   is what stands behind the key, a second one the host. */
static const struct befall {
    const char *key;
    view_word w;
    step_kind kind;
} befalls[] = {
    { "down",      W_DOWN,        STEP_EVENT },
    { "up",        W_UP,          STEP_EVENT },
    { "power-off", W_POWER_OFF,   STEP_EVENT },
    { "left",      W_LEFT,        STEP_STAR  },
    { "left-mail", W_LEFT_MAIL,   STEP_STAR  },
    { "power-on",  W_POWER_ON,    STEP_EVENT },
    { "cut",       W_CUT,         STEP_EVENT },
    { "comes",     W_COMES,       STEP_STAR  },
    { "ua-queue",  W_UA_QUEUE,    STEP_STAR  },
    { "ua-box",    W_UA_BOX,      STEP_STAR  },
    { "ua-read",   W_UA_READ,     STEP_STAR  },
    { "at",        W_ACT_AT,      STEP_ACT   },
    { "delete",    W_ACT_DELETE,  STEP_ACT   },
    { "keep",      W_ACT_KEEP,    STEP_ACT   },
    { "lenient",   W_ACT_LENIENT, STEP_ACT   },
    { "strict",    W_ACT_STRICT,  STEP_ACT   },
    { "letter",    W_ACT_LETTER,  STEP_ACT   },
    { "address",   W_ACT_ADDRESS, STEP_ACT   }
};

static void steps_event(steps *s, const trace_note *n) {
    mail_str rest = mail_s(n->text), key = mail_cut(&rest, ' ');
    char text[100];
    size_t i;
    step *p;
    for (i = 0; i < sizeof befalls / sizeof befalls[0]; i++)
        if (mail_eq(key, mail_s(befalls[i].key))) break;
    if (i == sizeof befalls / sizeof befalls[0]) return;
    steps_unanswered(s);
    p = steps_add(s, befalls[i].kind);
    p->befalls = 1;
    p->host = n->host;
    mail_printable_utf8(text, sizeof text, rest);
    snprintf(p->text, sizeof p->text, word(s->lang, befalls[i].w),
             p->kind == STEP_ACT ? person(s->lang, text) : text,
             part_name(s, n->host));
    snprintf(p->key, sizeof p->key, "%s", befalls[i].key);
}

/* --- the order of the notes ---------------------------------------------- */

typedef struct trace_session {
    int host;
    unsigned conn;
    char role;
    const char *from;               /* what its MAIL said, from < on       */
    size_t text;                    /* the last note of a text without a
                                       reply, counted from 1; 0: none      */
} trace_session;

enum { TRACE_OPEN = 1000 };         /* connections that may be open at once */

/* "ID is accepted from <a@b> for 1": of the session that said so in MAIL and
   waits for its reply; of several, the first that sent its text. Others have
   been heard since, where there are many at once. */
static size_t trace_accepted(const trace_session *list, size_t n,
                             const trace_note *e, size_t now) {
    const char *from = strstr(e->text, " is accepted from <");
    size_t k, first = (size_t)-1;
    if (from == NULL || e->kind != MAIL_NOTE_FATE) return now;
    from = strchr(from, '<');
    for (k = n; k > 0 && n - k < TRACE_OPEN; k--) {
        const trace_session *p = &list[k - 1];
        if (p->host != e->host || !p->text || !p->from || p->text > first ||
            strncmp(p->from, from, strcspn(from, ">") + 1) != 0) continue;
        first = p->text;
        now = k - 1;
    }
    return now;
}

/* What is said in a session, as far as trace_accepted asks. */
static void trace_heard(trace_session *p, const trace_note *e, size_t i) {
    if (e->kind == MAIL_NOTE_COMMAND && mail_starts(mail_s(e->text), "MAIL "))
        p->from = strchr(e->text, '<');
    if (e->kind == MAIL_NOTE_TEXT) p->text = i + 1;
    if (e->kind == MAIL_NOTE_REPLY || e->kind == MAIL_NOTE_CLOSE) p->text = 0;
}

/* Connections overlap; each is shown whole, in the order in which they began,
   and what a host itself says with the one that was heard last. Into of: the
   session of each note. Returns how many there are. */
static size_t trace_sessions(const trace *t, size_t *of) {
    trace_session *list = malloc((t->n + 1) * sizeof *list);
    size_t n = 0, now = 0, i, k;
    if (list == NULL) exit(1);
    for (i = 0; i < t->n; i++) {
        const trace_note *e = &t->p[i];
        if (e->conn) {
            for (k = e->kind == MAIL_NOTE_OPEN ? 0 : n; k-- > 0; )
                if (list[k].conn == e->conn && list[k].host == e->host &&
                    list[k].role == e->role) break;
            if (k == (size_t)-1) {
                k = n++;
                memset(&list[k], 0, sizeof list[k]);
                list[k].conn = e->conn;
                list[k].host = e->host;
                list[k].role = e->role;
            }
            now = k;
            trace_heard(&list[k], e, i);
        }
        of[i] = e->conn ? now : trace_accepted(list, n, e, now);
    }
    free(list);
    return n ? n : 1;
}

/* A stable sort by session: counted, then placed. */
static size_t *trace_order(const trace *t) {
    size_t *of = malloc((t->n + 1) * sizeof *of), n, i, sum = 0;
    size_t *order = calloc(t->n + 1, sizeof *order), *at;
    if (of == NULL || order == NULL) exit(1);
    n = trace_sessions(t, of);
    at = calloc(n + 1, sizeof *at);
    if (at == NULL) exit(1);
    for (i = 0; i < t->n; i++) at[of[i]]++;
    for (i = 0; i < n; i++) {
        size_t many = at[i];
        at[i] = sum;
        sum += many;
    }
    for (i = 0; i < t->n; i++) order[at[of[i]]++] = i;
    free(at);
    free(of);
    return order;
}

/* A client that pipelines says its next command before it hears the reply to
   the last (RFC 2920). They are shown as pairs, as if it had waited: a capture
   has them as they went over the wire. Only its own session is looked into. */
typedef struct pairing {
    const trace *t;
    const size_t *order;
    size_t n, reply;                /* no reply before this one is free     */
    int owed;                       /* something was said and not answered  */
    char *moved;                    /* of order: it has been placed         */
} pairing;

static int pair_is(const pairing *p, size_t i, const trace_note *of) {
    const trace_note *e = &p->t->p[p->order[i]];
    return e->role == 'c' && e->kind == MAIL_NOTE_REPLY &&
           e->conn == of->conn && e->host == of->host;
}

static int pair_ends(const trace_note *e) {
    return e->n < 4 || e->text[3] != '-';
}

/* Places the reply that is owed before note i is said; returns its lines. */
static size_t pair_reply(pairing *p, size_t i, size_t *to) {
    const trace_note *of = &p->t->p[p->order[i]];
    size_t n = 0;
    int ended = 0;
    if (p->reply < i) p->reply = i;
    for (; p->reply < p->n && !ended; p->reply++) {
        const trace_note *e = &p->t->p[p->order[p->reply]];
        if (e->kind == MAIL_NOTE_OPEN) break;
        if (p->moved[p->reply] || !pair_is(p, p->reply, of)) continue;
        p->moved[p->reply] = 1;
        to[n++] = p->order[p->reply];
        ended = pair_ends(e);
    }
    if (ended) p->owed = 0;
    return n;
}

static size_t *trace_pairs(const trace *t, size_t *order) {
    size_t *to = calloc(t->n + 1, sizeof *to), n = 0, i;
    pairing p = { t, order, t->n, 0, 0, NULL };
    p.moved = calloc(t->n + 1, 1);
    if (to == NULL || p.moved == NULL) exit(1);
    for (i = 0; i < t->n; i++) {
        const trace_note *e = &t->p[order[i]];
        if (p.moved[i]) continue;
        if (e->kind == MAIL_NOTE_OPEN) p.owed = 0;
        if (e->kind == MAIL_NOTE_COMMAND && e->role == 'c') {
            if (p.owed) n += pair_reply(&p, i, to + n);
            p.owed = 1;
        }
        if (e->kind == MAIL_NOTE_TEXT && e->role == 'c') p.owed = 1;
        if (e->kind == MAIL_NOTE_REPLY && pair_ends(e)) p.owed = 0;
        to[n++] = order[i];
    }
    free(p.moved);
    free(order);
    return to;
}

static void steps_make(steps *s, trace *t, int lang) {
    memset(s, 0, sizeof *s);
    s->t = t;
    s->lang = lang;
    s->order = trace_pairs(t, trace_order(t));
    for (s->at = 0; s->at < t->n; s->at++) {
        const trace_note *n = &t->p[s->order[s->at]];
        if (n->role == '-') steps_disk(s, n);
        else if (n->role == 'w') steps_event(s, n);
        else if (n->kind == MAIL_NOTE_OPEN) steps_open(s, n);
        else if (n->kind == MAIL_NOTE_TLS)
            s->tls = mail_starts(mail_s(n->text), "TLS") ? 1 : -1;
        else if (n->kind == MAIL_NOTE_COMMAND) steps_command(s, n);
        else if (n->kind == MAIL_NOTE_REPLY) steps_reply(s, n);
        else if (n->kind == MAIL_NOTE_TEXT) steps_data(s, n);
        else if (n->kind == MAIL_NOTE_CLOSE) steps_unanswered(s);
    }
}

/* --- what a step means ----------------------------------------------------
   For --step, and for whoever reads the code beside it: the server's function
   that answers, the RFC's paragraph, the chapter, a sentence. */

typedef struct explain {
    const char *key, *function, *clause;
    int pop3, chapter;              /* pop3 is 2: in both, or on a disk */
    const char *says[2];            /* English, Korean */
} explain;

static const explain explains[] = {
    { "connect", "mail__smtpd_greet", "RFC 5321 3.1", 0, 4,
      { "The client calls; the server speaks first. 220 is its greeting.",
        "거는 쪽은 클라이언트, 먼저 말하는 쪽은 서버다. 220은 인사다." } },
    { "HELO", "mail__smtpd_helo", "RFC 5321 4.1.1.1", 0, 4,
      { "The client says its name. Only now may mail begin.",
        "클라이언트가 이름을 밝힌다. 이제부터 메일을 보낼 수 있다." } },
    { "EHLO", "mail__smtpd_ehlo", "RFC 5321 4.1.1.1", 0, 4,
      { "As HELO, and: which extensions do you know? One line for each.",
        "HELO와 같되, 아는 확장도 묻는다. 답은 한 줄에 하나씩이다." } },
    { "AUTH", "mail__smtpd_auth", "RFC 4954 4", 0, 10,
      { "The user proves who he is, so that the server may relay for him.",
        "사용자가 누구인지 증명한다. 그래야 서버가 중계해 준다." } },
    { "STARTTLS", "mail__smtpd_starttls", "RFC 3207 4", 0, 13,
      { "From here on all is in TLS; what was said before is forgotten.",
        "이제부터 모든 말이 TLS 안에서 오간다. 앞서 한 말은 잊는다." } },
    { "MAIL", "mail__smtpd_mail", "RFC 5321 4.1.1.2", 0, 5,
      { "A mail begins. The reverse-path is where reports of failure go.",
        "메일 한 통이 시작된다. 반송 경로는 실패를 보고할 주소다." } },
    { "RCPT", "mail__smtpd_rcpt", "RFC 5321 4.1.1.3", 0, 5,
      { "One recipient; each is accepted or refused by himself.",
        "받는 사람 한 명. 한 명씩 따로 받아들이거나 거절한다." } },
    { "DATA", "mail__smtpd_data", "RFC 5321 4.1.1.4", 0, 6,
      { "354: now the letter itself; a line with one dot will end it.",
        "354: 이제 편지를 보낸다. 점 하나만 있는 줄이 끝이다." } },
    { "message", "mail__smtpd_data_end", "RFC 5321 4.1.1.4", 0, 8,
      { "The 250 after the dot means: it is on disk, and now it is mine.",
        "점 뒤의 250은 디스크에 썼으니 이제 내 책임이라는 뜻이다." } },
    { "BDAT", "mail__smtpd_bdat", "RFC 3030 2", 0, 6,
      { "The letter in chunks whose octets are counted: no dots needed.",
        "옥텟 수를 센 청크로 편지를 보낸다. 점이 필요 없다." } },
    { "RSET", "mail__smtpd_rset", "RFC 5321 4.1.1.5", 0, 4,
      { "This mail is forgotten; the connection stays.",
        "이 메일은 없던 일로 한다. 연결은 그대로다." } },
    { "QUIT", "mail__smtpd_quit", "RFC 5321 4.1.1.10", 0, 4,
      { "The client has no more mail. 221, and the connection ends.",
        "더 보낼 메일이 없다. 221이 오고 연결이 끝난다." } },
    { "unasked", "mail_smtpd_bye", "RFC 5321 3.8", 0, 4,
      { "Nobody asked: the server goes, and says why before it does.",
        "아무도 묻지 않았다. 서버가 끊기 전에 까닭을 말한다." } },
    { "connect", "mail__pop3d_greet", "RFC 1939 4", 1, 10,
      { "Bob's program calls when he likes: POP3 pulls, SMTP pushes.",
        "밥의 프로그램이 원할 때 건다. POP3는 끌어오고 SMTP는 밀어넣는다." } },
    { "USER", "mail__pop3d_user", "RFC 1939 7", 1, 10,
      { "The name; +OK for unknown names, too, so that it tells nothing.",
        "사용자 이름. 없는 이름에도 +OK라고 해서 아무것도 알리지 않는다." } },
    { "PASS", "mail__pop3d_pass", "RFC 1939 7", 1, 10,
      { "The password, readable to who listens; then the mailbox is locked.",
        "암호. 엿듣는 사람도 읽을 수 있다. 맞으면 메일함을 잠근다." } },
    { "APOP", "mail__pop3d_apop", "RFC 1939 7", 1, 10,
      { "A proof of the password that is good for this greeting only.",
        "암호를 안다는 증명. 이번 인사말에만 통한다." } },
    { "AUTH", "mail__pop3d_auth", "RFC 5034 4", 1, 10,
      { "A login by challenge and response.",
        "묻고 답하는(challenge, response) 로그인이다." } },
    { "CAPA", "mail__pop3d_capa", "RFC 2449 5", 1, 10,
      { "What can you do? One line for each.",
        "무엇을 할 수 있는지 묻는다. 한 줄에 하나씩 답한다." } },
    { "UTF8", "mail__pop3d_utf8", "RFC 6856 2.1", 1, 12,
      { "The client knows UTF-8: headers may come as they are.",
        "클라이언트가 UTF-8을 안다. 헤더가 그대로 와도 된다." } },
    { "STAT", "mail__pop3d_stat", "RFC 1939 5", 1, 10,
      { "How many messages, and octets in all.",
        "메일이 몇 통이고 모두 몇 옥텟인지 말한다." } },
    { "LIST", "mail__pop3d_list", "RFC 1939 5", 1, 10,
      { "The number and size of each message.",
        "메일마다 번호와 크기." } },
    { "UIDL", "mail__pop3d_uidl", "RFC 1939 7", 1, 11,
      { "A name for each message that stays: keep mode remembers these.",
        "메일마다 바뀌지 않는 이름. 유지 모드는 이것을 기억한다." } },
    { "RETR", "mail__pop3d_retr", "RFC 1939 5", 1, 10,
      { "The message comes, its dots stuffed, and a dot ends it.",
        "메일이 온다. 점이 채워져 있고, 점 하나만 있는 줄이 끝이다." } },
    { "TOP", "mail__pop3d_top", "RFC 1939 7", 1, 10,
      { "The header, and the first lines of the body.",
        "헤더와 본문의 첫 몇 줄." } },
    { "DELE", "mail__pop3d_dele", "RFC 1939 5", 1, 11,
      { "Only a mark. Nothing is removed before QUIT.",
        "표시일 뿐이다. QUIT 전에는 아무것도 지워지지 않는다." } },
    { "QUIT", "mail__pop3d_quit", "RFC 1939 6", 1, 11,
      { "UPDATE: what is marked is removed now, and the lock is released.",
        "UPDATE: 표시된 것을 이제 지우고 잠금을 푼다." } },
    { "queued", "mail__item_accept", "RFC 5321 4.2.5", 2, 8,
      { "Flushed to the disk before the 250: no crash can lose it now.",
        "250보다 먼저 디스크에 플러시했다. 이제 어떤 고장에도 남는다." } },
    { "sent", "mail__job_end", "RFC 5321 4.5.4.1", 2, 9,
      { "The next server has taken it; a crash before this doubles it.",
        "다음 서버가 맡았다. 이것을 적기 전에 멈추면 두 번 갈 수 있다." } },
    { "boxed", "mail__check_box_name", "Maildir", 2, 8,
      { "Its file has its name in new/; the queue has done its work.",
        "파일이 new/ 안에 이름을 얻었다. 큐가 할 일은 끝났다." } },
    { "no answer", "mail__hop_failed", "RFC 5321 4.5.4.1", 0, 9,
      { "Nobody listens there: the mail waits, and the pause grows.",
        "저쪽에 듣는 서버가 없다. 메일은 기다리고, 쉬는 시간은 길어진다." } },
    { "waits", "mail__job_end", "RFC 5321 4.5.4.1", 2, 9,
      { "4yz, or no answer: not now. The queue keeps it for a next try.",
        "4yz이거나 답이 없다. 지금은 안 되니 큐에 두고 다시 해 본다." } },
    { "failed", "mail__job_end", "RFC 5321 6.1", 2, 9,
      { "5yz: never. Whoever said 250 for it owes its sender a report.",
        "5yz: 영영 안 된다. 250이라고 한 쪽이 보낸 사람에게 알려야 한다." } },
    { "report", "mail__report_write", "RFC 3464 2", 2, 9,
      { "A mail from nobody, <>: if it fails, no report is written of it.",
        "반송 경로가 <>인 메일이다. 이것이 실패해도 또 보고하지 않는다." } },
    { "down", "mail_server_close", "RFC 5321 4.5.4.1", 2, 9,
      { "Machines stop. That is why a client MTA has a queue.",
        "기계는 멈추기도 한다. 그래서 클라이언트 MTA에 큐가 있다." } },
    { "up", "mail__recover_queue", "RFC 5321 4.5.4.1", 2, 9,
      { "It does not call anybody: the next try finds it.",
        "이쪽에서 걸지는 않는다. 다음 시도가 찾아온다." } },
    { "power-off", "mail__item_commit", "RFC 5321 6.1", 2, 8,
      { "All that was not flushed is gone, and all that was in memory.",
        "플러시하지 않은 것과 메모리에 있던 것은 모두 사라진다." } },
    { "left", "mail__item_accept", "RFC 5321 6.1", 2, 8,
      { "What was flushed is there; the mail is not in this file.",
        "플러시한 것은 남았다. 이 파일에 메일은 없다." } },
    { "left-mail", "mail__item_accept", "RFC 5321 6.1", 2, 8,
      { "What was flushed is there, and the mail is in it.",
        "플러시한 것은 남았고, 그 안에 메일이 있다." } },
    { "power-on", "mail__recover_queue", "RFC 5321 6.1", 2, 8,
      { "It goes through its queue: what it finds there it still owes.",
        "큐를 훑어본다. 거기서 찾은 것은 아직 갚을 빚이다." } },
    { "cut", "mail__pop3d_on_update", "RFC 1939 6", 2, 11,
      { "No QUIT, no UPDATE: the server removes nothing.",
        "QUIT이 없으면 UPDATE도 없다. 서버는 아무것도 지우지 않는다." } },
    { "comes", "mail_box_name", "Maildir", 2, 8,
      { "A file in new/: whoever reads it sees a whole mail.",
        "new/에 파일 하나. 읽는 쪽은 언제나 온전한 메일을 본다." } },
    { "ua-queue", "mail__item_commit", "RFC 5321 4.5.4", 2, 8,
      { "A program on the same system: its pipe is no wire.",
        "같은 시스템의 프로그램이다. 파이프로 건네니 회선이 없다." } },
    { "ua-box", "mail_box_name", "Maildir", 2, 8,
      { "Written in tmp/, flushed, renamed into new/: never half a mail.",
        "tmp/에 쓰고 플러시한 뒤 new/로 옮긴다. 반쪽 메일은 없다." } },
    { "ua-read", "mail_box_uid", "Maildir", 2, 8,
      { "Read, and renamed from new/ into cur/: it has been seen.",
        "읽고 나서 new/에서 cur/로 옮긴다. 본 메일이라는 뜻이다." } },
    { "removed", "mail__pop3d_on_update", "RFC 1939 6", 2, 11,
      { "The marks of DELE became true with QUIT.",
        "DELE로 해 둔 표시가 QUIT으로 효력을 얻었다." } }
};

/* NULL: nothing to say. */
static const explain *explain_of(const step *p) {
    size_t i;
    for (i = 0; i < sizeof explains / sizeof explains[0]; i++)
        if (strcmp(explains[i].key, p->key) == 0 &&
            (explains[i].pop3 == 2 || explains[i].pop3 == p->pop3))
            return &explains[i];
    return NULL;
}

/* --- the ladder ----------------------------------------------------------- */

enum { COLUMN = 5, APART = 11, LADDER_PARTS = 4, CODES = 70 };

/* With more than four parts only the two of a session are drawn. */
static int ladder_parts(const steps *s) {
    return s->t->nparts <= LADDER_PARTS ? s->t->nparts : 2;
}

static int ladder_words(const steps *s) {
    return COLUMN + ladder_parts(s) * APART - 7;
}

static int ladder_place(const steps *s, const step *p, int part) {
    if (s->t->nparts <= LADDER_PARTS) return COLUMN + part * APART;
    return COLUMN + (part == p->to) * APART;
}

/* Lifelines and nothing on them. */
static void ladder_lines(const steps *s, char *line) {
    int i;
    memset(line, ' ', 100);
    for (i = 0; i < ladder_parts(s); i++) line[COLUMN + i * APART] = '|';
    line[ladder_words(s) - 3] = 0;
}

/* As width_fits, but whole words where that can be. */
static int words_fit(const char *s, int columns) {
    int n = width_fits(s, columns), k = n;
    if (s[n] == 0) return n;
    while (k > 0 && s[k] != ' ') k--;
    return k ? k : n;
}

/* A text and blanks, exactly that many columns. */
static void put_fit(FILE *f, const char *s, int columns) {
    int k = words_fit(s, columns);
    char text[200];
    snprintf(text, sizeof text, "%.*s", k, s);
    put_width(f, text, columns);
}

static void ladder_talk(FILE *f, const steps *s, const step *p) {
    char line[101], number[12];
    int from = ladder_place(s, p, p->from), to = ladder_place(s, p, p->to);
    int left = from < to ? from : to, right = from < to ? to : from;
    int room = CODES - 1 - ladder_words(s), i;
    int wide = width(p->reply) - (80 - CODES);
    const char *rest = p->text;
    if (wide < 0) wide = 0;
    if (wide > room / 2) wide = room / 2;
    room -= wide;
    ladder_lines(s, line);
    for (i = left + 1; i < right; i++) line[i] = '-';
    if (from < to) line[right - 1] = '>';
    else if (from > to) line[left + 1] = '<';       /* else to itself */
    if (strcmp(p->key, "no answer") == 0 && from != to)   /* it gets lost */
        line[from < to ? right - 1 : left + 1] = 'x';
    snprintf(number, sizeof number, "%3d", p->number);
    memcpy(line, number, strlen(number));
    fprintf(f, "%s   ", line);
    put_fit(f, p->text, room);
    fprintf(f, " %.*s\n", width_fits(p->reply, wide + 80 - CODES), p->reply);
    for (rest += words_fit(rest, room); *rest;
         rest += words_fit(rest, room - 2)) {
        rest += strspn(rest, " ");
        ladder_lines(s, line);
        fprintf(f, "%s     %.*s\n", line, words_fit(rest, room - 2), rest);
    }
}

static void ladder_names(FILE *f, const steps *s) {
    static const view_word roles[] = { W_SERVER_MTA, W_CLIENT_MTA,
                                       W_CLIENT_MAA, W_SERVER_MAA };
    int row, i, k;
    for (row = 0; row < 3; row++) {
        int at = 0;
        for (i = 0; i < s->t->nparts; i++) {
            const char *text = part_name(s, i);
            int has[4] = { 0, 0, 0, 0 }, nth = 0;
            size_t n;
            for (n = 0; n < s->n; n++) {
                const step *p = &s->p[n];
                if (p->kind != STEP_SESSION) continue;
                if (p->to == i) has[p->pop3 ? 3 : 0] = 1;
                if (p->from == i) has[p->pop3 ? 2 : 1] = 1;
            }
            for (k = 0; k < 4 && row; k++)
                if (has[k] && ++nth == row) break;
            if (row) text = k < 4 ? word(s->lang, roles[k]) :
                     row == 1 && !nth && is_person(s->t->parts[i].name)
                     ? word(s->lang, W_USER_AGENT) : "";
            k = COLUMN + i * APART - width(text) / 2;
            if (*text == 0) continue;
            while (at < k) putc(' ', f), at++;
            fputs(text, f);
            at += width(text);
        }
        if (at) putc('\n', f);
    }
}

static void rule(FILE *f, const char *title) {
    int n = *title ? 4 + width(title) : 0;
    if (n > 80) n = 80;
    if (n) fprintf(f, "== %.*s ", width_fits(title, 76), title);
    while (n++ < 80) putc('=', f);
    putc('\n', f);
}

static const char *title(const steps *s) {
    const scenario *p = scenario_find(s->t->scenario);
    int real = !s->t->seed && mail_starts(mail_s(s->t->made), "mail view ");
    return p && p->title[s->lang][0] ? p->title[s->lang]
           : word(s->lang, real ? W_TITLE_TRACE : W_TITLE);
}

static void view_title(FILE *f, const steps *s) {
    char text[200];
    snprintf(text, sizeof text, "mail.h demo  %s", title(s));
    put_width(f, text, 73);
    fprintf(f, " seed=%llu\n", (unsigned long long)s->t->seed);
}

static void ladder_row(FILE *f, const steps *s, const step *p) {
    char line[101];
    switch (p->kind) {
    case STEP_SESSION:
        rule(f, p->text);
        break;
    case STEP_PHASE:
        ladder_lines(s, line);
        fprintf(f, "%s   -- %s\n", line, p->text);
        break;
    case STEP_TALK:
        ladder_talk(f, s, p);
        break;
    case STEP_ACT:
        rule(f, p->text);
        break;
    case STEP_TIME:
        ladder_lines(s, line);
        fprintf(f, "%s   ... %s ...\n", line, p->text);
        break;
    default:
        ladder_lines(s, line);
        line[ladder_place(s, p, p->host)] = p->kind == STEP_STAR ? '*' : '!';
        fprintf(f, "%s   %c %.*s\n", line, p->kind == STEP_STAR ? '*' : '!',
                width_fits(p->text, 78 - ladder_words(s)), p->text);
        break;
    }
}

static void view_ladder(FILE *f, const steps *s) {
    size_t i;
    if (s->t->nparts <= LADDER_PARTS) ladder_names(f, s);
    for (i = 0; i < s->n; i++) ladder_row(f, s, &s->p[i]);
}

/* --- the same as sentences, and as a picture for TUTORIAL.md ------------- */

/* A row as a sentence, with its line end. */
static void plain_row(const steps *s, const step *p, char *to, size_t cap) {
    const char *from = part_name(s, p->from), *dest = part_name(s, p->to);
    char number[12];
    switch (p->kind) {
    case STEP_SESSION:
        snprintf(to, cap, word(s->lang, W_SESSION_LINE), p->text, from, dest);
        break;
    case STEP_PHASE:
        snprintf(to, cap, word(s->lang, W_PHASE_LINE), p->text);
        break;
    case STEP_TALK:
        snprintf(number, sizeof number, "%d", p->number);
        snprintf(to, cap, word(s->lang, W_STEP_LINE), number, from, dest,
                 p->text, p->reply);
        break;
    case STEP_ACT:
        snprintf(to, cap, word(s->lang, W_ACT_LINE), p->text);
        break;
    case STEP_TIME:
        snprintf(to, cap, word(s->lang, W_TIME_LINE), p->text);
        break;
    default:
        snprintf(to, cap, word(s->lang, p->kind == STEP_STAR ? W_DISK_LINE
                                                             : W_EVENT_LINE),
                 part_name(s, p->host), p->text);
        break;
    }
}

static void view_plain(FILE *f, const steps *s) {
    char text[512];
    size_t i;
    for (i = 0; i < s->n; i++) {
        plain_row(s, &s->p[i], text, sizeof text);
        fputs(text, f);
    }
}

/* What Mermaid would take for markup, as its entities. */
static void mermaid_text(FILE *f, const char *s) {
    for (; *s; s++) {
        if (*s == '<') fputs("#lt;", f);
        else if (*s == '>') fputs("#gt;", f);
        else if (*s == ';') fputs("#59;", f);
        else if (*s == '#') fputs("#35;", f);
        else putc(*s, f);
    }
}

static void mermaid_arrow(FILE *f, int from, const char *arrow, int to,
                          const char *text) {
    fprintf(f, "    P%d%sP%d: ", from, arrow, to);
    mermaid_text(f, text);
    putc('\n', f);
}

static void view_mermaid(FILE *f, const steps *s) {
    size_t n;
    int i;
    fprintf(f, "sequenceDiagram\n    accTitle: %s\n    autonumber\n",
            title(s));
    for (i = 0; i < s->t->nparts; i++) {
        fprintf(f, "    participant P%d as ", i);
        mermaid_text(f, part_name(s, i));
        putc('\n', f);
    }
    for (n = 0; n < s->n; n++) {
        const step *p = &s->p[n];
        if (p->kind == STEP_TALK && strcmp(p->key, "no answer") == 0) {
            mermaid_arrow(f, p->from, "-x", p->to, p->text);
            continue;
        }
        if (p->kind == STEP_TALK) {
            mermaid_arrow(f, p->from, "->>", p->to, p->text);
            mermaid_arrow(f, p->to, "-->>", p->from, p->reply);
            continue;
        }
        if (p->kind == STEP_STAR || p->kind == STEP_EVENT)
            fprintf(f, "    Note over P%d: ", p->host);
        else if (p->kind == STEP_ACT || p->kind == STEP_TIME)
            fprintf(f, "    Note over P0,P%d: ", s->t->nparts - 1);
        else fprintf(f, "    Note over P%d,P%d: ", p->from, p->to);
        mermaid_text(f, p->text);
        putc('\n', f);
    }
}

/* --- every octet ---------------------------------------------------------- */

typedef struct full {
    FILE *f;
    const steps *s;
    int number;
} full;

/* One line of text with its line end drawn, and what is said of it. */
static void full_line(full *v, int to_right, const char *who, mail_str text,
                      const char *end, const char *remark) {
    char safe[1024], *p = safe;
    int n = fprintf(v->f, "%3d  %s  %s: ", ++v->number,
                    to_right ? "|------->|" : "|<-------|", who);
    if (text.n && text.p[0] == '\t') {            /* a folded field */
        n += fprintf(v->f, "<HT>");
        text = mail_sn(text.p + 1, text.n - 1);
    }
    mail_printable_utf8(safe, sizeof safe, text);
    for (; n + width(p) + (int)strlen(end) > 80;
         n = fprintf(v->f, "\n%20s", "") - 1) {
        int k = width_fits(p, 80 - n);
        fprintf(v->f, "%.*s", k, p);
        p += k;
    }
    fprintf(v->f, "%s%s", p, end);
    n += width(p) + (int)strlen(end);
    if (*remark && n + 2 + width(remark) > 80)
        n = fprintf(v->f, "\n%20s", "") - 1;
    if (*remark) fprintf(v->f, "%*s%s", n < 56 ? 56 - n : 2, "", remark);
    putc('\n', v->f);
}

/* What a line of a text that begins with a dot is. bare: before it stands a
   bare LF. Behind that no line begins, but for those who are lenient. */
static view_word dot_word(mail_str line, int bare) {
    if (line.n == 0 || line.p[0] != '.') return W_COUNT;
    if (bare) return line.n == 1 ? W_BARE_END : W_COUNT;
    return line.n == 1 ? W_END : W_ADDED;
}

/* A line end is drawn as it came: a bare LF is none. */
static void full_text(full *v, int to_right, const char *who, mail_str text) {
    int lang = v->s->lang, bare = 0;
    view_word w;
    while (text.n) {
        const char *lf = memchr(text.p, '\n', text.n);
        mail_str line = mail_cut(&text, '\n');
        const char *remark = "", *end = lf ? "<LF>" : "";
        if (lf && line.n && line.p[line.n - 1] == '\r') {
            end = "<CR><LF>";
            line.n--;
        }
        w = dot_word(line, bare);
        if (w != W_COUNT) remark = word(lang, w);
        bare = lf && end[1] == 'L';
        full_line(v, to_right, who, line, end, remark);
    }
}

/* What is done on a disk, in the reader's language. */
static const char *disk_word(int lang, mail_str verb) {
    static const struct { const char *says; view_word w; } verbs[] = {
        { "write", W_WRITE }, { "append", W_APPEND }, { "flush", W_FLUSH },
        { "rename", W_RENAME }, { "link", W_LINK }, { "remove", W_REMOVE },
        { "clear", W_MAKE_EMPTY }, { "everything", W_EVERYTHING }
    };
    size_t i;
    for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (mail_eq(verb, mail_s(verbs[i].says)))
            return word(lang, verbs[i].w);
    return NULL;
}

/* What is done, and the name it is done to: as much of it as has room. */
static void full_name(full *v, const char *does, mail_str name, int room) {
    int cut;
    room -= 1 + width(does);
    cut = name.n > (size_t)room;
    fprintf(v->f, "%s %.*s%s\n", does, cut ? room - 3 : (int)name.n, name.p,
            cut ? "..." : "");
}

static void full_disk(full *v, const trace_note *n) {
    char text[2 * MAIL_NAME_SIZE];
    mail_str rest = mail_s(mail_printable(text, sizeof text, mail_s(n->text)));
    mail_str verb = mail_cut(&rest, ' ');
    mail_str name = mail_cut(&rest, ' ');
    const char *does = disk_word(v->s->lang, verb);
    const char *all = disk_word(v->s->lang, name);
    const char *host = part_name(v->s, n->host);
    int cut = width_fits(host, 30);
    if (does == NULL) return;
    if (all) name = mail_s(all);
    fprintf(v->f, "     *  %.*s: ", cut, host);
    full_name(v, does, name, width(host) < 30 ? 69 - width(host) : 39);
    if (rest.n == 0) return;
    fputs("     *    ", v->f);
    full_name(v, word(v->s->lang, mail_eq(verb, mail_s("append")) ? W_RECORD
                                                                 : W_TO),
              rest, 69);
}

static void full_open(full *v, const step *p) {
    const char *head = word(v->s->lang, W_FULL_HEAD);
    char text[60], names[64];
    int n, k;
    rule(v->f, p->text);
    fputs("     ", v->f);
    name_fits(names, sizeof names, part_name(v->s, p->from));
    n = 5 + put_width(v->f, names, 6);
    name_fits(names, sizeof names, part_name(v->s, p->to));
    k = 6 - width(names) > 0 ? 6 - width(names) : 0;
    n += fprintf(v->f, " %*s", k, "") + width(names);
    fprintf(v->f, "%s  %s%s\n", names, n + 2 + width(head) > 80 ? "\n     "
                                                               : "", head);
    snprintf(text, sizeof text, word(v->s->lang, W_CONNECTS),
             p->pop3 ? "110" : "25");
    full_line(v, 1, "C", mail_s(text), "", "");
}

/* What is no note of a session: titles, time, what befalls a host. */
static void full_step(full *v, const step *p) {
    if (p->kind == STEP_SESSION) full_open(v, p);
    else if (p->kind == STEP_ACT) rule(v->f, p->text);
    else if (p->kind == STEP_TIME) fprintf(v->f, "     ... %s ...\n", p->text);
    else if (p->kind == STEP_EVENT || p->kind == STEP_STAR)
        fprintf(v->f, "     %c  %s: %s\n", p->kind == STEP_STAR ? '*' : '!',
                part_name(v->s, p->host), p->text);
    else
        fprintf(v->f, "%3d  |-------x|  %s -> %s %s: %s\n", ++v->number,
                part_name(v->s, p->from), part_name(v->s, p->to), p->text,
                p->reply);
}

static int full_shows(const step *p) {
    return p->kind == STEP_SESSION || p->kind == STEP_TIME || p->befalls ||
           strcmp(p->key, "no answer") == 0;
}

static void full_note(full *v, const trace_note *n) {
    int to_right = n->role == 's' || n->role == 'c';
    char state[20];
    switch (n->kind) {
    case MAIL_NOTE_COMMAND:
        full_line(v, 1, "C", mail_sn(n->text, n->n), "", "");
        break;
    case MAIL_NOTE_REPLY:
        snprintf(state, sizeof state, "[%s]", n->state);
        full_line(v, 0, "S", mail_sn(n->text, n->n), "", state);
        break;
    case MAIL_NOTE_TEXT:
        full_text(v, to_right, to_right ? "C" : "S",
                  mail_sn(n->text, n->n));
        break;
    case MAIL_NOTE_DISK:
        full_disk(v, n);
        break;
    default:
        break;
    }
}

/* Both directions, every octet, and the state of the server after each
   reply. The server is at the right; for POP3 too. */
static void view_full(FILE *f, const steps *s) {
    full v = { f, s, 0 };
    size_t i, k = 0;
    for (i = 0; i < s->t->n; i++) {
        const trace_note *n = &s->t->p[s->order[i]];
        for (; k < s->n && (!full_shows(&s->p[k]) || s->p[k].first <= i); k++)
            if (full_shows(&s->p[k])) full_step(&v, &s->p[k]);
        full_note(&v, n);
    }
}

static void view_json(FILE *f, const steps *s) {
    const trace *t = s->t;
    size_t i;
    int k;
    json_begin(f, t->seed, t->epoch, t->scenario);
    for (k = 0; k < t->nparts; k++) json_part(f, &t->parts[k]);
    for (i = 0; i < t->n; i++)
        json_note(f, &t->parts[t->p[i].host], &t->p[i],
                  mail_sn(t->p[i].text, t->p[i].n));
}

/* --- a capture, as if somebody had listened on the wire ------------------
   pcapng (draft-ietf-opsawg-pcapng): a section, an interface of bare IPv4
   packets, the names of the addresses, then a block for each packet. Secrets
   are masked here, too. All numbers are little-endian. */

enum { PCAP_SEGMENT = 1460, PCAP_IP = 20, PCAP_TCP = 20, PCAP_WORDS = 400 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

typedef struct pcap_flow {          /* one connection: [0] who called it */
    int      part[2], open;
    unsigned port[2], number;
    uint32_t seq[2];
    int      over, bare;            /* the empty line behind a header; a
                                       line that ended with LF alone     */
} pcap_flow;

typedef struct pcap {
    FILE *f;
    const steps *s;
    int64_t us;                     /* of the last packet, since 1970   */
    char    words[PCAP_WORDS];      /* of the next packet's comment     */
    pcap_flow *flow; int who;       /* whose text is held               */
    char    held[PCAP_SEGMENT]; size_t n;
    int     text;                   /* it is of a message               */
    unsigned frame, flows;          /* packets and connections so far   */
    const struct octets_view *octets; /* to be read by a person; or NULL  */
} pcap;

static void put_le(unsigned char *p, uint64_t v, int n) {
    int i;
    for (i = 0; i < n; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static void put_be(unsigned char *p, uint64_t v, int n) {
    int i;
    for (i = 0; i < n; i++) p[i] = (unsigned char)(v >> (8 * (n - 1 - i)));
}

/* A block: kind, length, content, padding to four octets, length. */
static void pcap_block(FILE *f, uint32_t kind, const unsigned char *p,
                       size_t n) {
    static const unsigned char zeros[4] = { 0 };
    unsigned char head[8];
    size_t pad = (4 - n % 4) % 4;
    put_le(head, kind, 4);
    put_le(head + 4, n + pad + 12, 4);
    fwrite(head, 1, 8, f);
    fwrite(p, 1, n, f);
    fwrite(zeros, 1, pad, f);
    fwrite(head + 4, 1, 4, f);
}

/* The IPv4 address of a part; one without gets one from 192.0.2.128 on. */
static void pcap_address(const steps *s, int part, unsigned char to[4]) {
    static const unsigned char base[4] = { 192, 0, 2, 128 };
    const char *text = s->t->parts[part].address;
    if (inet_pton(AF_INET, text, to) == 1) return;
    memcpy(to, base, 4);
    to[3] = (unsigned char)(base[3] + part);
}

static void pcap_begin(FILE *f, const steps *s) {
    unsigned char section[16] = { 0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0 };
    unsigned char device[8] = { 101, 0 };         /* LINKTYPE_RAW */
    unsigned char names[80];
    int i;
    memset(section + 8, 0xFF, 8);                 /* its length: not said */
    pcap_block(f, 0x0A0D0D0A, section, sizeof section);
    pcap_block(f, 1, device, sizeof device);
    for (i = 0; i < s->t->nparts; i++) {
        size_t n = strlen(s->t->parts[i].name), size = 4 + n + 1;
        put_le(names, 1, 2);                      /* a name of an IPv4 */
        put_le(names + 2, size, 2);
        pcap_address(s, i, names + 4);
        memcpy(names + 8, s->t->parts[i].name, n + 1);
        size = 4 + (size + 3) / 4 * 4;
        memset(names + 8 + n + 1, 0, size - (8 + n + 1));
        put_le(names + size, 0, 4);               /* the end of the names */
        pcap_block(f, 4, names, size + 4);
    }
}

/* RFC 1071, over p with what was summed before. */
static uint32_t pcap_sum(uint32_t sum, const unsigned char *p, size_t n) {
    size_t i;
    for (i = 0; i + 1 < n; i += 2) sum += (uint32_t)p[i] << 8 | p[i + 1];
    if (n % 2) sum += (uint32_t)p[n - 1] << 8;
    while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
    return sum;
}

static void pcap_ip(unsigned char *ip, size_t n) {
    unsigned char *tcp = ip + PCAP_IP;
    uint32_t sum;
    ip[0] = 0x45;
    put_be(ip + 2, n, 2);
    ip[8] = 64;
    ip[9] = 6;
    put_be(ip + 10, ~pcap_sum(0, ip, PCAP_IP) & 0xFFFF, 2);
    sum = pcap_sum((uint32_t)(6 + n - PCAP_IP), ip + 12, 8);
    put_be(tcp + 16, ~pcap_sum(sum, tcp, n - PCAP_IP) & 0xFFFF, 2);
}

static void octets_packet(pcap *c, pcap_flow *w, int who, int flags,
                          mail_str data);

/* One packet of a flow, from its end who; the comment goes with it. */
static void pcap_packet(pcap *c, pcap_flow *w, int who, int flags,
                        mail_str data) {
    static unsigned char p[20 + PCAP_IP + PCAP_TCP + PCAP_SEGMENT +
                           PCAP_WORDS + 16];
    unsigned char *ip = p + 20, *tcp = ip + PCAP_IP;
    size_t n = PCAP_IP + PCAP_TCP + data.n, at, words = strlen(c->words);
    c->frame++;
    if (c->octets) {
        octets_packet(c, w, who, flags, data);
        c->us++;
        return;
    }
    memset(p, 0, sizeof p);
    put_le(p + 4, (uint64_t)c->us >> 32, 4);
    put_le(p + 8, (uint64_t)c->us, 4);
    put_le(p + 12, n, 4);
    put_le(p + 16, n, 4);
    pcap_address(c->s, w->part[who], ip + 12);
    pcap_address(c->s, w->part[1 - who], ip + 16);
    put_be(tcp, w->port[who], 2);
    put_be(tcp + 2, w->port[1 - who], 2);
    put_be(tcp + 4, w->seq[who], 4);
    if (flags & TCP_ACK) put_be(tcp + 8, w->seq[1 - who], 4);
    tcp[12] = 5 << 4;
    tcp[13] = (unsigned char)flags;
    put_be(tcp + 14, 65535, 2);
    if (data.n) memcpy(tcp + PCAP_TCP, data.p, data.n);
    pcap_ip(ip, n);
    at = 20 + (n + 3) / 4 * 4;
    if (words) {
        put_le(p + at, 1, 2);                     /* opt_comment */
        put_le(p + at + 2, words, 2);
        memcpy(p + at + 4, c->words, words);
        at += 4 + (words + 3) / 4 * 4 + 4;        /* and opt_endofopt */
    }
    pcap_block(c->f, 6, p, at);
    w->seq[who] += (uint32_t)data.n + ((flags & (TCP_SYN | TCP_FIN)) != 0);
    c->words[0] = 0;
    c->us++;
}

static void pcap_flush(pcap *c) {
    if (c->n) pcap_packet(c, c->flow, c->who, TCP_PSH | TCP_ACK,
                          mail_sn(c->held, c->n));
    c->n = 0;
}

/* As a TCP would: what one end says in one go fills its packets. */
static void pcap_say(pcap *c, pcap_flow *w, int who, mail_str s) {
    if (c->flow != w || c->who != who) pcap_flush(c);
    c->flow = w;
    c->who = who;
    while (s.n) {
        size_t n = PCAP_SEGMENT - c->n < s.n ? PCAP_SEGMENT - c->n : s.n;
        memcpy(c->held + c->n, s.p, n);
        c->n += n;
        s = mail_sn(s.p + n, s.n - n);
        if (c->n == PCAP_SEGMENT) pcap_flush(c);
    }
}

static void pcap_line(pcap *c, pcap_flow *w, int who, const trace_note *n) {
    char line[2048];
    mail_buf b = mail_buf_on(line, sizeof line);
    mail_buf_add(&b, mail_sn(n->text, n->n < 2000 ? n->n : 2000));
    mail_buf_add(&b, mail_s("\r\n"));
    pcap_say(c, w, who, mail_buf_str(&b));
}

/* Where nobody listens, the call is turned away. */
static void pcap_refuse(pcap *c, pcap_flow *w) {
    pcap_packet(c, w, 0, TCP_SYN, mail_s(""));
    pcap_packet(c, w, 1, TCP_RST | TCP_ACK, mail_s(""));
    w->open = 0;
}

static void pcap_open(pcap *c, pcap_flow *w, const step *p, size_t number) {
    w->part[0] = p->from;
    w->part[1] = p->to;
    w->port[0] = (unsigned)(40000 + number % 20000);
    w->port[1] = p->pop3 ? 110 : 25;
    w->seq[0] = 1000;
    w->seq[1] = 2000;
    w->number = c->flows++;
    w->open = 1;
    if (p->kind != STEP_SESSION) {
        pcap_refuse(c, w);
        return;
    }
    pcap_packet(c, w, 0, TCP_SYN, mail_s(""));
    pcap_packet(c, w, 1, TCP_SYN | TCP_ACK, mail_s(""));
    pcap_packet(c, w, 0, TCP_ACK, mail_s(""));
}

static void pcap_close(pcap *c, pcap_flow *w) {
    if (!w->open) return;
    pcap_packet(c, w, 1, TCP_FIN | TCP_ACK, mail_s(""));
    pcap_packet(c, w, 0, TCP_FIN | TCP_ACK, mail_s(""));
    pcap_packet(c, w, 1, TCP_ACK, mail_s(""));
    w->open = 0;
}

/* What a comment says more. */
static void pcap_remark(pcap *c, const char *who, const char *what) {
    size_t n = strlen(c->words);
    snprintf(c->words + n, sizeof c->words - n, "%s%s%s%s", n ? "\n" : "",
             who, *who ? ": " : "", what);
}

static void pcap_note(pcap *c, pcap_flow *w, const trace_note *n) {
    int caller = n->role == 's' || n->role == 'c' ? 0 : 1;  /* of a text */
    char state[20];
    if (n->kind != MAIL_NOTE_TEXT) pcap_flush(c);
    if (n->role == '-' || n->role == 'w') {
        pcap_remark(c, c->s->t->parts[n->host].name, n->text);
        return;
    }
    if (!w->open) return;
    c->text = n->kind == MAIL_NOTE_TEXT;
    if (n->kind == MAIL_NOTE_COMMAND) pcap_line(c, w, 0, n);
    if (n->kind == MAIL_NOTE_REPLY) {
        snprintf(state, sizeof state, "[%s]", n->state);
        pcap_remark(c, "", state);
        pcap_line(c, w, 1, n);
    }
    if (n->kind != MAIL_NOTE_TEXT) pcap_flush(c);
    else
        pcap_say(c, w, caller, mail_sn(n->text, n->n));
    if (n->kind == MAIL_NOTE_CLOSE) pcap_close(c, w);
}

/* The notes in the order of time; each to the flow of its session. */
static void pcap_write(pcap *c, const steps *s) {
    size_t *of = calloc(s->t->n + 1, sizeof *of), i, k, n;
    const step **opens;
    pcap_flow *flows;
    if (of == NULL) exit(1);
    n = trace_sessions(s->t, of);
    flows = calloc(n, sizeof *flows);
    opens = calloc(n, sizeof *opens);
    if (flows == NULL || opens == NULL) exit(1);
    for (i = 0; i < s->n; i++)
        if (s->p[i].kind == STEP_SESSION ||
            strcmp(s->p[i].key, "no answer") == 0)
            opens[of[s->order[s->p[i].first]]] = &s->p[i];
    c->s = s;
    for (i = 0; i < s->t->n; i++) {
        const trace_note *e = &s->t->p[i];
        int64_t us = (s->t->epoch * 1000 + e->ms) * 1000;
        k = of[i];
        if (c->us < us) c->us = us;
        if (e->conn && e->kind == MAIL_NOTE_OPEN && opens[k])
            pcap_open(c, &flows[k], opens[k], k);
        else pcap_note(c, &flows[k], e);
    }
    pcap_flush(c);
    for (k = 0; k < n; k++) pcap_close(c, &flows[k]);
    free(of);
    free(flows);
    free(opens);
}

static void view_pcapng(FILE *f, const steps *s) {
    pcap c;
    memset(&c, 0, sizeof c);
    c.f = f;
    pcap_begin(f, s);
    pcap_write(&c, s);
}

/* --- the same packets, for whoever has no Wireshark ----------------------- */

enum { OCTETS_ROW = 12 };

typedef struct octets_view {        /* which of them: -1 is all */
    FILE *f;
    int64_t frame, stream;
    int lang;
} octets_view;

/* What a line of message text is. */
static view_word octets_what(pcap_flow *w, mail_str line) {
    char first = line.p[0];
    size_t n = line.p[line.n - 1] != '\n' ? 0 : line.n > 1 &&
               line.p[line.n - 2] == '\r' ? 2 : 1;
    int empty = mail_eq(line, mail_s("\r\n"));
    view_word dot = dot_word(mail_sn(line.p, line.n - n), w->bare);
    w->bare = n == 1;
    if (dot != W_COUNT) return dot;
    if (w->over) return W_BODY;
    w->over = empty;
    return empty ? W_EMPTY : first == ' ' || first == '\t' ? W_FOLDED
                                                          : W_FIELD;
}

/* A line of the wire, in rows: where it is, the octets, the characters. */
static void octets_line(const octets_view *o, size_t at, mail_str line,
                        const char *what) {
    size_t i, k;
    for (i = 0; i < line.n; i += OCTETS_ROW) {
        int n = 0;
        fprintf(o->f, "%4lu ", (unsigned long)(at + i));
        for (k = i; k < i + OCTETS_ROW; k++)
            if (k < line.n)
                fprintf(o->f, " %02X", (unsigned)(unsigned char)line.p[k]);
            else fputs("   ", o->f);
        fputs("  ", o->f);
        for (k = i; k < i + OCTETS_ROW && k < line.n; k++) {
            char c = line.p[k];
            n += c == '\r' ? fprintf(o->f, "<CR>") :
                 c == '\n' ? fprintf(o->f, "<LF>") :
                 fprintf(o->f, "%c", c == '\t' ? ' ' :
                                     c < ' ' || c > '~' ? '?' : c);
        }
        n = (width(what) > 18 ? 37 - width(what) : 19) - n;
        if (i == 0 && *what) fprintf(o->f, "%*s%s", n > 1 ? n : 1, "", what);
        putc('\n', o->f);
    }
}

static void octets_packet(pcap *c, pcap_flow *w, int who, int flags,
                          mail_str data) {
    const octets_view *o = c->octets;
    size_t at = 0;
    int shown = (o->frame < 0 || (unsigned)o->frame == c->frame) &&
                (o->stream < 0 || (unsigned)o->stream == w->number);
    if (shown) {
        char from[64], to[64];
        name_fits(from, sizeof from, part_name(c->s, w->part[who]));
        name_fits(to, sizeof to, part_name(c->s, w->part[1 - who]));
        fprintf(o->f, "frame %u  stream %u  %s -> %s  port %u", c->frame,
                w->number, from, to, w->port[1]);
        if (data.n) fprintf(o->f, "  ");
        if (data.n) fprintf(o->f, word(o->lang, W_OCTETS),
                            (unsigned long)data.n);
        else fprintf(o->f, " %s%s", flags & TCP_SYN ? " SYN" :
                     flags & TCP_RST ? " RST" : flags & TCP_FIN ? " FIN" : "",
                     flags & TCP_ACK ? " ACK" : "");
        putc('\n', o->f);
    }
    if (data.n && !c->text) w->over = w->bare = 0;
    while (data.n) {
        mail_str rest = data, line;
        const char *what = "";
        mail_cut(&rest, '\n');
        line = mail_sn(data.p, data.n - rest.n);
        if (c->text) what = word(o->lang, octets_what(w, line));
        if (shown) octets_line(o, at, line, what);
        at += line.n;
        data = rest;
    }
}

static void octets_show(FILE *f, const steps *s, int64_t stream,
                        int64_t frame) {
    pcap c;
    octets_view o;
    o.f = f;
    o.lang = s->lang;
    o.stream = stream;
    o.frame = frame;
    memset(&c, 0, sizeof c);
    c.octets = &o;
    pcap_write(&c, s);
}

static void view_octets(FILE *f, const steps *s) {
    octets_show(f, s, -1, -1);
}

/* --- when nothing moves ---------------------------------------------------
   Two programs, each waiting for the other: the commonest bug of a beginner,
   and it says nothing. Here it is named: for `mail play`, and for the labs. */

typedef struct deadlock {
    const char *client, *server;    /* what they are called                */
    const char *client_waits, *server_waits;       /* see waits_smtpd, ... */
    mail_str said;                  /* the last octets on the wire         */
    int text;                       /* they were of a message              */
} deadlock;

/* A line of which the end has not come yet? */
static view_word waits_line(const mail_line *l, view_word whole) {
    return l->n || l->cr ? W_WAITS_LINE_END : whole;
}

/* What a session waits for, once it has taken all that there was. */
static const char *waits_smtpd(const mail_smtpd *s, int lang) {
    view_word w = s->wait ? W_WAITS_DECISION :
        s->state == MAIL_SMTPD_END  ? W_WAITS_NOTHING :
        s->state == MAIL_SMTPD_TLS  ? W_WAITS_TLS :
        s->state == MAIL_SMTPD_DATA ? W_WAITS_DOT :
        s->chunk ? W_WAITS_CHUNK : waits_line(&s->line,
        s->state == MAIL_SMTPD_AUTH ? W_WAITS_ANSWER : W_WAITS_COMMAND);
    return word(lang, w);
}

static const char *waits_pop3d(const mail_pop3d *s, int lang) {
    view_word w = s->wait ? W_WAITS_DECISION :
        s->state == MAIL_POP3D_END  ? W_WAITS_NOTHING :
        s->state == MAIL_POP3D_TLS  ? W_WAITS_TLS : waits_line(&s->line,
        s->state == MAIL_POP3D_SASL ? W_WAITS_ANSWER : W_WAITS_COMMAND);
    return word(lang, w);
}

static const char *waits_smtpc(const mail_smtpc *s, int lang) {
    view_word w = s->state == MAIL_SMTPC_END ? W_WAITS_NOTHING :
        s->state == MAIL_SMTPC_TLS   ? W_WAITS_TLS :
        s->state == MAIL_SMTPC_READY || s->state == MAIL_SMTPC_TEXT ?
        W_WAITS_WORK : waits_line(&s->line, s->lines ? W_WAITS_REPLY_END
                                                     : W_WAITS_REPLY);
    return word(lang, w);
}

static const char *waits_pop3c(const mail_pop3c *s, int lang) {
    view_word w = s->state == MAIL_POP3C_END ? W_WAITS_NOTHING :
        s->state == MAIL_POP3C_TLS   ? W_WAITS_TLS :
        s->state == MAIL_POP3C_READY ? W_WAITS_WORK :
        s->state == MAIL_POP3C_TEXT || s->state == MAIL_POP3C_LIST ||
        s->state == MAIL_POP3C_OFFER ? W_WAITS_DOT :
        waits_line(&s->line, W_WAITS_REPLY);
    return word(lang, w);
}

/* What is wrong with the end of what was said? A dot is one in a line of its
   own, and lines end with CR LF. */
static const char *deadlock_end(const deadlock *d, int lang) {
    size_t n = d->said.n;
    const char *end = d->said.p + n;
    view_word w = n == 0 ? W_ENDS_NOTHING : end[-1] == '\r' ? W_ENDS_CR :
                  end[-1] != '\n' ? W_ENDS_OPEN :
                  n < 2 || end[-2] != '\r' ? W_ENDS_LF : W_ENDS_NO_DOT;
    if (w != W_ENDS_NO_DOT) return word(lang, w);
    if (!d->text) return "";
    return word(lang, n > 3 && end[-3] == '.' &&
                (end[-4] == '\n' || end[-4] == '\r') ? W_ENDS_LF : w);
}

/* Octets as one can read them: line ends are drawn. */
static void octets_add(mail_buf *to, mail_str s) {
    size_t i;
    char text[8];
    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '\r') mail_buf_add(to, mail_s("<CR>"));
        else if (s.p[i] == '\n') mail_buf_add(to, mail_s("<LF>"));
        else mail_buf_add(to, mail_s(mail_printable(
                          text, sizeof text, mail_sn(s.p + i, 1))));
    }
}

static void deadlock_line(FILE *f, const char *label, const char *text,
                          const char *remark) {
    int n;
    fputs("    ", f);
    n = 4 + put_width(f, label, 25) + width(text);
    fputs(text, f);
    if (*remark && n + width(remark) < 77) fprintf(f, "   %s", remark);
    else if (*remark) fprintf(f, "\n%29s%s", "", remark);
    putc('\n', f);
}

/* Who waits for what, and the end of the octets that are to blame. */
static void deadlock_show(FILE *f, const deadlock *d, int lang) {
    enum { SHOWN = 7 };
    char text[6 * SHOWN + 8];
    mail_buf b = mail_buf_on(text, sizeof text - 1);
    mail_str end = d->said;
    fputs(word(lang, W_DEADLOCK), f);
    snprintf(text, sizeof text, word(lang, W_WAITS_FOR), d->client);
    deadlock_line(f, text, d->client_waits, "");
    snprintf(text, sizeof text, word(lang, W_WAITS_FOR), d->server);
    deadlock_line(f, text, d->server_waits, "");
    if (end.n > SHOWN) {
        mail_buf_add(&b, mail_s("..."));
        end = mail_sn(end.p + end.n - SHOWN, SHOWN);
    }
    octets_add(&b, end);
    text[b.n] = 0;
    deadlock_line(f, word(lang, W_LAST_OCTETS), text, deadlock_end(d, lang));
}

/* --- step by step --------------------------------------------------------- */

/* Does --step stop there? */
static int step_stops(const step *p) {
    return p->kind == STEP_TALK || p->kind == STEP_STAR ||
           p->kind == STEP_EVENT;
}

/* The step before row i, or at it; -1: there is none. */
static long step_before(const steps *s, long i) {
    while (i >= 0 && !step_stops(&s->p[i])) i--;
    return i;
}

/* The rows from that one on, as far as the next step; which it is. */
static long step_show(FILE *f, const steps *s, long i) {
    for (; i < (long)s->n; i++) {
        ladder_row(f, s, &s->p[i]);
        if (step_before(s, i) == i) return i;
    }
    return -1;
}

static void step_explain(FILE *f, const steps *s, const step *p) {
    const explain *e = explain_of(p);
    if (e == NULL) return;
    fprintf(f, "     %s\n     %s, mail.h: %s()", e->says[s->lang], e->clause,
            e->function);
    fprintf(f, word(s->lang, W_CHAPTER), e->chapter);
    if (p->kind == STEP_TALK && p->before[0])
        fprintf(f, "     [%s] -> [%s]\n", p->before, p->after);
}

static void step_octets(FILE *f, const steps *s, const step *p) {
    full v = { f, s, 0 };
    size_t i;
    for (i = p->first; i < p->end; i++)
        full_note(&v, &s->t->p[s->order[i]]);
}

/* Enter goes on, b back; ? explains, o shows the octets, q ends it. */
static void step_through(FILE *in, FILE *f, const steps *s, int prompt) {
    char line[80];
    long at, k;
    ladder_names(f, s);
    for (at = step_show(f, s, 0); at >= 0; ) {
        if (prompt) fputs(word(s->lang, W_KEYS), f);
        fflush(f);
        if (fgets(line, sizeof line, in) == NULL || line[0] == 'q') return;
        while (!strchr(line, '\n') && fgets(line + 1, sizeof line - 1, in)) {}
        if (line[0] == '?') step_explain(f, s, &s->p[at]);
        else if (line[0] == 'o') step_octets(f, s, &s->p[at]);
        else if (line[0] == 'b') {
            k = step_before(s, at - 1);
            if (k >= 0) at = step_show(f, s, step_before(s, k - 1) + 1);
        } else if (line[0] == '\n') {
            at = step_show(f, s, at + 1);
        } else fputs(word(s->lang, W_KEYS_HELP), f);
    }
}

/* ======================================================================
   [HTML] the same as a page                                         ch.0
   One file that asks nothing of a network. It is complete as it stands: the
   ladder is drawn, and below it each step has a section. The script at its
   end only makes of that something to walk through.

   The walls first. What was on a wire or in a file comes into the page
   through html_text and no other way; and the page itself says, by its
   Content-Security-Policy, that no script runs but the one whose SHA-256
   stands there, that nothing is loaded, and nothing sent.
   ====================================================================== */

/* Words of the trade: a name in both languages, and what it is. The first
   time one is met the page gives its name in the other language, too. */
#define HTML_TERMS(X) \
    X("client MTA", "클라이언트 MTA", \
      "the program that has a mail and hands it on: it connects", \
      "메일을 갖고 있다가 넘겨주는 프로그램. 먼저 연결한다") \
    X("server MTA", "서버 MTA", \
      "the program that waits for mail and takes it", \
      "기다리고 있다가 메일을 받아 주는 프로그램") \
    X("client MAA", "클라이언트 MAA", \
      "the program of the reader: it fetches mail out of a mailbox", \
      "읽는 사람의 프로그램. 메일함에서 메일을 꺼내 온다") \
    X("server MAA", "서버 MAA", \
      "the program that gives mail out of a mailbox to its owner", \
      "메일함의 주인에게 메일을 내주는 프로그램") \
    X("push", "밀어넣기", "who has the mail connects: SMTP", \
      "메일을 가진 쪽이 연결한다: SMTP") \
    X("pull", "끌어오기", "who wants the mail connects: POP3", \
      "메일을 원하는 쪽이 연결한다: POP3") \
    X("command", "명령", "a line from the client to the server", \
      "클라이언트가 서버에 보내는 한 줄") \
    X("reply", "응답", "what the server says to a command; a response", \
      "명령에 서버가 하는 말") \
    X("greeting", "인사", "the first line of a server", "서버의 첫 줄") \
    X("extension", "확장", \
      "what a server can do more than the oldest SMTP", \
      "처음의 SMTP보다 더 할 수 있는 일") \
    X("reverse-path", "반송 경로", \
      "who sends it, and is told if it fails; the envelope has it", \
      "보낸 사람. 실패하면 보고할 주소. 봉투에 있다") \
    X("forward-path", "전달 경로", \
      "who gets it; the envelope has one or more", \
      "받는 사람. 봉투에 하나 이상 있다") \
    X("recipient", "받는 사람", "one who gets the mail, by RCPT", \
      "RCPT로 말한, 메일을 받는 사람") \
    X("envelope", "봉투", \
      "what MAIL and RCPT said; the letter itself is another thing", \
      "MAIL과 RCPT가 말한 것. 편지 자체와는 다르다") \
    X("relay", "중계", "to take a mail and send it on", \
      "메일을 받아 다시 보내는 일") \
    X("queue", "큐", "mail that a server has taken and must still send on", \
      "서버가 맡았고 아직 더 보내야 하는 메일") \
    X("mailbox", "메일함", "where mail waits for its reader", \
      "메일이 읽을 사람을 기다리는 곳") \
    X("octet", "옥텟", "a byte of eight bits", "8비트로 된 바이트") \
    X("keep mode", "유지 모드", \
      "mail that was fetched stays on the server", \
      "가져간 메일이 서버에 남는다") \
    X("delete mode", "삭제 모드", \
      "mail that was fetched is removed from the server", \
      "가져간 메일을 서버에서 지운다") \
    X("crash", "고장", "the power goes: what was not flushed is gone", \
      "전원이 나간다. 플러시하지 않은 것은 사라진다") \
    X("TLS", "TLS", "a layer that nobody on the way can read or change", \
      "길 위의 누구도 읽거나 바꿀 수 없는 층")

/* What the octets of a line are. */
#define HTML_FIELDS(X) \
    X(VERB, "verb", "동사", \
      "what is wanted; capitals and small letters are the same", \
      "무엇을 바라는지. 대소문자를 가리지 않는다") \
    X(KEY, "keyword", "정해진 말", "a fixed word, up to the colon", \
      "쌍점까지가 정해진 낱말이다") \
    X(HOST, "name", "이름", "who the client says it is", \
      "클라이언트가 말하는 자기 이름") \
    X(FROM, "reverse-path", "반송 경로", \
      "who sends it, and is told if it fails", \
      "보낸 사람. 실패하면 보고할 주소") \
    X(TO, "forward-path", "전달 경로", "who gets it", "받는 사람") \
    X(PARAM, "parameter", "매개변수", "what an extension adds", \
      "확장이 더하는 것") \
    X(USER, "user name", "사용자 이름", "whose mailbox it is", \
      "메일함의 주인") \
    X(SECRET, "masked", "가림", \
      "a secret stood here; a trace does not hold it, nor its length", \
      "비밀이 있던 자리. 트레이스는 비밀도 그 길이도 담지 않는다") \
    X(NUMBER, "number", "번호", \
      "of a message, counted from 1, or of its octets or lines", \
      "1부터 센 메일 번호, 또는 옥텟이나 줄의 수") \
    X(ARG, "argument", "인수", "what the verb needs", "동사에 딸린 것") \
    X(CODE, "reply code", "응답 코드", \
      "2 done, 3 go on, 4 not now, 5 never; only this decides", \
      "2 됐다, 3 계속하라, 4 지금은 안 된다, 5 안 된다. 이것만 보고 결정한다") \
    X(MORE, "more", "더 있음", "a hyphen: this reply has another line", \
      "하이픈: 이 응답은 다음 줄로 이어진다") \
    X(ENHANCED, "enhanced code", "상세 코드", \
      "class, subject, detail: the reason, for programs (RFC 3463)", \
      "종류, 주제, 세부: 프로그램이 읽을 이유 (RFC 3463)") \
    X(STATUS, "status", "상태", "POP3 has these two: +OK and -ERR", \
      "POP3에는 +OK와 -ERR 둘뿐이다") \
    X(EXTENSION, "extension", "확장", \
      "something this server can do more than the oldest SMTP", \
      "이 서버가 처음의 SMTP보다 더 할 수 있는 일") \
    X(WORDS, "words", "말", "for people; programs do not read them", \
      "사람을 위한 말. 프로그램은 읽지 않는다") \
    X(NAME, "field name", "필드 이름", \
      "of the header; the server does not care", \
      "헤더 필드의 이름. 서버는 신경 쓰지 않는다") \
    X(TRACE, "trace field", "추적 필드", \
      "put on top by a server that took the letter", \
      "편지를 맡은 서버가 맨 위에 붙인 것") \
    X(VALUE, "value", "값", "of the header field", "헤더 필드의 값") \
    X(FOLD, "folded", "접힘", \
      "a line that begins with a space goes on with the field before", \
      "공백으로 시작하는 줄은 앞 필드에서 이어진다") \
    X(BODY, "body", "본문", "what the letter says", "편지의 내용") \
    X(DOT, "added dot", "채운 점", \
      "a line that begins with a dot gets another; who reads takes it off", \
      "점으로 시작하는 줄에는 점을 하나 더한다. 받는 쪽이 뗀다") \
    X(LAST, "the end", "끝", "a line with one dot: the text ends here", \
      "점 하나만 있는 줄: 글은 여기에서 끝난다") \
    X(EMPTY, "empty line", "빈 줄", "the header ends here, the body begins", \
      "헤더가 끝나고 본문이 시작된다") \
    X(CRLF, "line end", "줄 끝", "carriage return, line feed: 13 and 10", \
      "캐리지 리턴과 라인 피드: 13과 10") \
    X(SP, "", "", "a space", "공백")

enum {
#define HTML_X(name, en, ko, says, says_ko) HTML_##name,
    HTML_FIELDS(HTML_X)
#undef HTML_X
    HTML_FIELD_COUNT
};

typedef struct html_word { const char *name[2], *says[2]; } html_word;

static const html_word html_terms[] = {
#define HTML_X(en, ko, says, says_ko) { { en, ko }, { says, says_ko } },
    HTML_TERMS(HTML_X)
#undef HTML_X
};

static const html_word html_fields[] = {
#define HTML_X(name, en, ko, says, says_ko) { { en, ko }, { says, says_ko } },
    HTML_FIELDS(HTML_X)
#undef HTML_X
};

enum { HTML_TERM_COUNT = sizeof html_terms / sizeof html_terms[0] };

/* What the states of a server mean; mail.h says it in English. */
static const char *const html_smtpd_ko[] = {
    "연결됨. 아직 HELO도 EHLO도 없음", "인사 끝. 메일을 시작해도 됨",
    "반송 경로를 앎", "받는 사람이 적어도 한 명 받아들여짐",
    "청크로 오는 글, LAST까지", "글, CRLF.CRLF까지", "로그인 중",
    "TLS를 만드는 중", "221이나 421을 말함"
};
static const char *const html_pop3d_ko[] = {
    "인증: 누구인가?", "인증: 이름을 받았고 암호를 기다림", "인증: AUTH 중",
    "처리: 메일함이 열리고 잠김", "처리: 메일이 나가는 중",
    "갱신: 표시된 것을 지우는 중", "TLS를 만드는 중", "끝"
};

static const char *server_state(int lang, int pop3, int i) {
    if (lang) return pop3 ? html_pop3d_ko[i] : html_smtpd_ko[i];
    return pop3 ? mail_pop3d_state_text((mail_pop3d_state)i)
                : mail_smtpd_state_text((mail_smtpd_state)i);
}

/* --- what is on the disks -------------------------------------------------
   Of the notes of a disk: a name or a record is there, and safe once it was
   flushed; it is gone, and may come back until that was flushed, too. */

typedef struct vault_item {
    int  host;
    char safe, gone, kind;          /* kind: of a record, see QUEUE; or 0 */
    char path[200], id[48];
} vault_item;

typedef struct vault {
    vault_item *p; size_t n, cap;
    size_t at;                      /* notes of the trace it has seen */
    unsigned changes;
} vault;

static vault_item *vault_add(vault *v, int host, mail_str path) {
    vault_item *p;
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 16;
        p = realloc(v->p, cap * sizeof *p);
        if (p == NULL) exit(1);
        v->p = p;
        v->cap = cap;
    }
    p = &v->p[v->n++];
    memset(p, 0, sizeof *p);
    p->host = host;
    mail_copy(p->path, sizeof p->path, path);
    return p;
}

/* The file of that name, if it is known. */
static vault_item *vault_find(vault *v, int host, mail_str path) {
    size_t i;
    for (i = v->n; i-- > 0; )
        if (v->p[i].host == host && !v->p[i].kind && !v->p[i].gone &&
            mail_eq(mail_s(v->p[i].path), path)) return &v->p[i];
    return NULL;
}

/* What has that name, or all, is flushed, or is cleared. */
static void vault_each(vault *v, int host, mail_str path, int clear) {
    int all = mail_eq(path, mail_s("everything"));
    size_t i, k = 0;
    for (i = 0; i < v->n; i++) {
        vault_item *p = &v->p[i];
        int mine = p->host == host && (all || mail_eq(path, mail_s(p->path)));
        if (mine && clear) p->safe = 0, p->gone = 1;
        else if (mine) p->safe = 1;
        if (!(p->safe && p->gone)) v->p[k++] = *p;
    }
    v->n = k;
}

/* The power goes: what was not flushed has never been. */
static void vault_cut(vault *v, int host) {
    size_t i, k = 0;
    for (i = 0; i < v->n; i++) {
        vault_item *p = &v->p[i];
        int back = p->host == host && !p->safe && p->gone;
        if (p->host == host && !p->safe && !back) continue;
        if (back) p->gone = 0, p->safe = 1;
        v->p[k++] = *p;
    }
    v->n = k;
    v->changes++;
}

static void vault_note(vault *v, const trace_note *n) {
    mail_str rest = mail_sn(n->text, n->n), verb = mail_cut(&rest, ' ');
    mail_str path = mail_cut(&rest, ' ');
    vault_item *p;
    if (n->role == 'w' && mail_eq(verb, mail_s("power-off")))
        vault_cut(v, n->host);
    if (n->kind != MAIL_NOTE_DISK) return;
    v->changes++;
    if (mail_eq(verb, mail_s("append"))) {
        p = vault_add(v, n->host, path);
        p->kind = (char)(rest.n ? rest.p[0] : '?');
        mail_cut(&rest, ' ');
        mail_copy(p->id, sizeof p->id, rest);
    } else if (mail_eq(verb, mail_s("flush")) ||
               mail_eq(verb, mail_s("clear"))) {
        vault_each(v, n->host, path, verb.p[0] == 'c');
    } else if (mail_eq(verb, mail_s("write"))) {
        p = vault_find(v, n->host, path);
        if (p == NULL) p = vault_add(v, n->host, path);
        p->safe = 0;
    } else if (mail_eq(verb, mail_s("link"))) {
        vault_add(v, n->host, rest);
    } else if (mail_eq(verb, mail_s("rename"))) {
        p = vault_find(v, n->host, path);
        if (p == NULL) p = vault_add(v, n->host, path);
        mail_copy(p->path, sizeof p->path, rest);
        p->safe = 0;
    } else if (mail_eq(verb, mail_s("remove"))) {
        p = vault_find(v, n->host, path);
        if (p == NULL) p = vault_add(v, n->host, path);
        p->safe = 0;
        p->gone = 1;
    }
}

/* On, until it has seen that many notes: in the order of time, which is not
   that of the ladder where connections overlap. */
static void vault_go(vault *v, const trace *t, size_t to) {
    for (; v->at < to; v->at++) vault_note(v, &t->p[v->at]);
}

/* Octets of one step that are shown; of a longer letter the rest is only
   counted. */
enum { HTML_SHOWN = 4096 };

typedef struct webpage {
    FILE *f;
    const steps *s;
    int lang, disks;                /* disk events so far                   */
    char seen[HTML_TERM_COUNT];     /* was given in the other language, too */
    int header;                     /* a letter's header is not over yet    */
    int ehlo, more;                 /* of a reply: to EHLO, not line 1      */
    size_t at;                      /* notes that are told, in s->order     */
    const step *session, *phase;    /* where we are */
    vault disk;
} webpage;

/* --- what is let in ------------------------------------------------------ */

static void html_text(FILE *f, mail_str s) {
    char safe[4 * 400 + 8];
    while (s.n) {
        size_t n = s.n < 400 ? s.n : 400;
        const char *c;
        while (n < s.n && n > 396 && (s.p[n] & 0xC0) == 0x80) n--;
        c = mail_printable_utf8(safe, sizeof safe, mail_sn(s.p, n));
        for (; *c; c++)
            if (*c == '&') fputs("&amp;", f);
            else if (*c == '<') fputs("&lt;", f);
            else if (*c == '>') fputs("&gt;", f);
            else if (*c == '"') fputs("&quot;", f);
            else if (*c == '\'') fputs("&#39;", f);
            else putc(*c, f);
        s = mail_sn(s.p + n, s.n - n);
    }
}

static void html_say(const webpage *h, view_word w) {
    html_text(h->f, mail_s(word(h->lang, w)));
}

/* Does a term begin here? One that is met in English is a whole word, or the
   plural of one. */
static size_t html_term_at(const char *all, const char *s, const char *term) {
    size_t n = strlen(term);
    if (mail_starts(mail_s(s), term) == 0) return 0;
    if ((unsigned char)term[0] >= 128) return n;
    if (s > all && mail__alnum(s[-1])) return 0;
    if (s[n] == 's' && !mail__alnum(s[n + 1])) return n + 1;
    return mail__alnum(s[n]) ? 0 : n;
}

/* A sentence of ours, with the words of the trade marked in it. */
static void html_sentence(webpage *h, const char *text) {
    const char *s = text, *plain = text;
    char now[HTML_TERM_COUNT];
    int other = !h->lang;
    memset(now, 0, sizeof now);
    while (*s) {
        size_t n = 0;
        int i;
        for (i = 0; i < HTML_TERM_COUNT && !n; i++)
            n = now[i] ? 0 : html_term_at(text, s, html_terms[i].name[h->lang]);
        if (n == 0) {
            s++;
            continue;
        }
        now[--i] = 1;
        html_text(h->f, mail_sn(plain, (size_t)(s - plain)));
        fprintf(h->f, "<a class=w href=\"#w%d\" title=\"%s: %s\">", i,
                html_terms[i].name[other], html_terms[i].says[h->lang]);
        html_text(h->f, mail_sn(s, n));
        fputs("</a>", h->f);
        if (!h->seen[i]++ && strcmp(html_terms[i].name[0],
                                    html_terms[i].name[1]) != 0)
            fprintf(h->f, " <small lang=%s>(%s)</small>",
                    other ? "ko" : "en", html_terms[i].name[other]);
        plain = s += n;
    }
    html_text(h->f, mail_s(plain));
}

/* --- the octets of a line, cut into fields -------------------------------- */

static void html_hex(FILE *f, mail_str s) {
    size_t i;
    for (i = 0; i < s.n; i++)
        fprintf(f, "%s%02X", i ? " " : "", (unsigned)(unsigned char)s.p[i]);
}

/* A field: its text, its octets, its name. What an encoded-word says stands
   beside the name. */
static void html_field(const webpage *h, int field, mail_str s) {
    char room[400];
    mail_buf b = mail_buf_on(room, sizeof room);
    int wide = s.n > 12;
    const char *sign = mail_eq(s, mail_s("\r\n")) ? "CR LF" :
                       mail_eq(s, mail_s("\n")) ? "LF" :
                       mail_eq(s, mail_s("\t")) ? "HT" : NULL;
    if (s.n == 0) return;
    fprintf(h->f, "<a class=%s href=\"#f%d\"><b%s>", wide ? "\"f v\"" : "f",
            field, sign ? " class=z" : "");
    if (sign) fputs(sign, h->f);
    else html_text(h->f, s);
    fputs("</b><i>", h->f);
    html_hex(h->f, s);
    fprintf(h->f, "</i><u>%s", html_fields[field].name[h->lang]);
    if (field == HTML_VALUE) mail_text_decode(&b, s, NULL, NULL);
    if (b.n && !b.full && !mail_eq(mail_buf_str(&b), s)) {
        fputs(" = ", h->f);
        html_text(h->f, mail_buf_str(&b));
    }
    fputs("</u></a>", h->f);
}

/* Cuts n octets off. */
static mail_str html_cut(mail_str *s, size_t n) {
    mail_str cut = mail_sn(s->p, n < s->n ? n : s->n);
    if (cut.n == 0) return cut;             /* s->p may be NULL */
    *s = mail_sn(s->p + cut.n, s->n - cut.n);
    return cut;
}

/* Octets up to c and with it, or all. */
static size_t html_upto(mail_str s, char c) {
    size_t i;
    for (i = 0; i < s.n; i++) if (s.p[i] == c) return i + 1;
    return s.n;
}

static void html_space(const webpage *h, mail_str *s) {
    if (s->n && s->p[0] == ' ') html_field(h, HTML_SP, html_cut(s, 1));
}

/* MAIL FROM:<a@b> SIZE=5; the verb is off already. */
static void html_path(const webpage *h, mail_str s, int field) {
    html_field(h, HTML_KEY, html_cut(&s, html_upto(s, ':')));
    html_field(h, field, html_cut(&s, html_upto(s, '>')));
    while (s.n) {
        size_t n;
        html_space(h, &s);
        n = html_upto(s, ' ');
        html_field(h, HTML_PARAM, html_cut(&s, n - (n && s.p[n - 1] == ' ')));
    }
}

static void html_command(const webpage *h, mail_str s) {
    static const struct { const char *verb; int field; } verbs[] = {
        { "HELO", HTML_HOST }, { "EHLO", HTML_HOST }, { "LHLO", HTML_HOST },
        { "MAIL", HTML_FROM }, { "RCPT", HTML_TO }, { "USER", HTML_USER },
        { "RETR", HTML_NUMBER }, { "DELE", HTML_NUMBER },
        { "TOP", HTML_NUMBER }, { "LIST", HTML_NUMBER },
        { "UIDL", HTML_NUMBER }, { "BDAT", HTML_NUMBER }
    };
    int field = HTML_ARG;
    mail_str rest = s, verb = mail_cut(&rest, ' ');
    size_t i;
    for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (mail_ieq(verb, mail_s(verbs[i].verb))) field = verbs[i].field;
    if (mail_eq(rest, mail_s("****"))) field = HTML_SECRET;
    html_field(h, HTML_VERB, html_cut(&s, verb.n));
    html_space(h, &s);
    if (field == HTML_FROM || field == HTML_TO) html_path(h, s, field);
    else html_field(h, field, s);
}

/* "2.1.5" at the front: how many octets. */
static size_t html_enhanced(mail_str s) {
    size_t i, dots = 0;
    for (i = 0; i < s.n && (mail__digit(s.p[i]) || s.p[i] == '.'); i++)
        dots += s.p[i] == '.';
    return dots == 2 && i >= 5 ? i : 0;
}

static void html_reply(const webpage *h, mail_str s, int pop3) {
    if (pop3) {
        int status = s.n && (s.p[0] == '+' || s.p[0] == '-');
        size_t n = html_upto(s, ' ');
        if (status) html_field(h, HTML_STATUS,
                               html_cut(&s, n - (s.p[n - 1] == ' ')));
        html_space(h, &s);
        html_field(h, status ? HTML_WORDS : HTML_ARG, s);
        return;
    }
    html_field(h, HTML_CODE, html_cut(&s, 3));
    if (s.n && s.p[0] == '-') html_field(h, HTML_MORE, html_cut(&s, 1));
    html_space(h, &s);
    html_field(h, HTML_ENHANCED, html_cut(&s, html_enhanced(s)));
    html_space(h, &s);
    html_field(h, h->more && h->ehlo ? HTML_EXTENSION : HTML_WORDS, s);
}

/* A line of a letter, without its end. */
static void html_letter_line(const webpage *h, mail_str s, int dots) {
    size_t colon = html_upto(s, ':');
    if (dots && s.n == 1 && s.p[0] == '.') {
        html_field(h, HTML_LAST, s);
        return;
    }
    if (dots && s.n && s.p[0] == '.') html_field(h, HTML_DOT, html_cut(&s, 1));
    if (!h->header) html_field(h, HTML_BODY, s);
    else if (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        html_field(h, HTML_FOLD, html_cut(&s, 1));
        html_field(h, HTML_VALUE, s);
    } else {
        int stamp = mail_starts(s, "Received:") ||
                    mail_starts(s, "Return-Path:");
        html_field(h, stamp ? HTML_TRACE : HTML_NAME, html_cut(&s, colon));
        html_space(h, &s);
        html_field(h, HTML_VALUE, s);
    }
}

static void html_line_begin(const webpage *h, int asks) {
    fprintf(h->f, "<li%s><b>%s</b><div>", asks ? "" : " class=s",
            asks ? "C:" : "S:");
}

static void html_line_end(const webpage *h, size_t octets) {
    fprintf(h->f, "</div><span class=len>%lu</span>\n",
            (unsigned long)octets);
}

/* A line of a list, with a number in it. */
static void html_number(const webpage *h, view_word w, size_t number) {
    char n[24];
    snprintf(n, sizeof n, "%lu", (unsigned long)number);
    fputs("<li class=o>", h->f);
    fprintf(h->f, word(h->lang, w), n);
    putc('\n', h->f);
}

/* What this step has of a letter, and which of the two sends it. */
static void html_letter(webpage *h, mail_str s, int asks, int dots) {
    size_t more = s.n > HTML_SHOWN ? s.n - HTML_SHOWN : 0;
    s.n -= more;
    while (s.n) {
        mail_str line = html_cut(&s, html_upto(s, '\n'));
        size_t n = line.n, end = line.p[n - 1] == '\n';
        end += end && n > 1 && line.p[n - 2] == '\r';
        line.n -= end;
        html_line_begin(h, asks);
        html_letter_line(h, line, dots);
        if (end) html_field(h, n > 2 ? HTML_CRLF : h->header ? HTML_EMPTY :
                            HTML_CRLF, mail_sn(line.p + line.n, end));
        if (n == 2 && end == 2) h->header = 0;
        html_line_end(h, n);
    }
    if (more) html_number(h, W_PAGE_MORE, more);
}

/* --- a step's section ----------------------------------------------------- */

/* That many of the last things are shown of disks. */
enum { HTML_ITEMS = 10 };

typedef struct html_disk { vault_item p[HTML_ITEMS]; size_t n, all; } html_disk;

static void html_disk_now(const vault *v, html_disk *d) {
    d->all = v->n;
    d->n = v->n < HTML_ITEMS ? v->n : HTML_ITEMS;
    if (d->n) memcpy(d->p, v->p + v->n - d->n, d->n * sizeof *d->p);
}

/* Where it is: queue, tmp, or whose mailbox. */
static void html_place(const webpage *h, const char *path) {
    mail_str rest = mail_s(path), top = mail_cut(&rest, '/');
    mail_str name = mail_cut(&rest, '/');
    if (!mail_eq(top, mail_s("mail"))) html_say(h, W_PAGE_QUEUE);
    else if (mail_starts(rest, "tmp/")) fputs("tmp", h->f);
    else {
        html_say(h, W_PAGE_MAILBOX);
        putc(' ', h->f);
        html_text(h->f, name);
    }
}

static void html_survives(const webpage *h, const vault_item *p) {
    fprintf(h->f, "<td class=%s>", p == NULL ? "none" : p->safe ? "safe"
            : "risk");
    if (p) html_say(h, p->safe ? W_PAGE_YES : p->gone ? W_PAGE_BACK
                    : W_PAGE_NO);
    else fputs("-", h->f);
}

/* A row: what it was before, and is now; one of them may be NULL. */
static void html_item(const webpage *h, const vault_item *was,
                      const vault_item *now, int both) {
    static const char kinds[] = "AFDR";
    static const view_word says[] = { W_PAGE_A, W_PAGE_F, W_PAGE_D, W_PAGE_R };
    const vault_item *p = now ? now : was;
    const char *k = p->kind ? strchr(kinds, p->kind) : NULL;
    fputs("<tr><td>", h->f);
    html_text(h->f, mail_s(part_name(h->s, p->host)));
    fputs("<td>", h->f);
    html_place(h, p->path);
    fputs("<td>", h->f);
    html_text(h->f, mail_s(p->kind ? p->id : p->path));
    if (k) {
        fputs(": <b>", h->f);
        html_say(h, says[k - kinds]);
        fputs("</b>", h->f);
    }
    if (now == NULL || p->gone) html_say(h, W_PAGE_GONE);
    if (both) html_survives(h, was);
    html_survives(h, now);
    putc('\n', h->f);
}

/* The same thing in the other list; or NULL. */
static const vault_item *html_same(const html_disk *d, const vault_item *p) {
    size_t i;
    for (i = 0; i < d->n; i++)
        if (d->p[i].host == p->host && d->p[i].kind == p->kind &&
            strcmp(d->p[i].path, p->path) == 0 &&
            strcmp(d->p[i].id, p->id) == 0) return &d->p[i];
    return NULL;
}

static void html_columns(const webpage *h, const view_word *w, int n) {
    int i;
    fputs("<table><tr>", h->f);
    for (i = 0; i < n; i++) {
        fputs("<th>", h->f);
        html_say(h, w[i]);
    }
    putc('\n', h->f);
}

/* The disks before and after, or only now. */
static void html_disks(const webpage *h, const html_disk *was, int changed) {
    static const view_word columns[] = { W_PAGE_HOST, W_PAGE_PLACE,
        W_PAGE_THING, W_PAGE_SURVIVED, W_PAGE_SURVIVES };
    static const view_word same[] = { W_PAGE_HOST, W_PAGE_PLACE,
        W_PAGE_THING, W_PAGE_SURVIVES };
    html_disk now;
    size_t i;
    html_disk_now(&h->disk, &now);
    if (was->n + now.n == 0) return;
    fputs("<div class=h><h4>", h->f);
    html_say(h, changed ? W_PAGE_DISK : W_PAGE_SAME);
    fputs("</h4>\n", h->f);
    html_columns(h, changed ? columns : same, changed ? 5 : 4);
    for (i = 0; i < was->n; i++)
        if (html_same(&now, &was->p[i]) == NULL)
            html_item(h, &was->p[i], NULL, changed);
    for (i = 0; i < now.n; i++)
        html_item(h, html_same(was, &now.p[i]), &now.p[i], changed);
    fputs("</table>\n", h->f);
    if (now.all > now.n) {
        fputs("<ul class=wire>", h->f);
        html_number(h, W_PAGE_ITEMS, now.all - now.n);
        fputs("</ul>\n", h->f);
    }
    fputs("</div>\n", h->f);
}

/* What happened on a host, between lines. */
static void html_event(const webpage *h, const trace_note *n) {
    int disk = n->kind == MAIL_NOTE_DISK;
    int flush = disk && mail_starts(mail_s(n->text), "flush ");
    if (n->role == 'w') return;             /* a heading has said it */
    fputs("<li class=k><b>*</b><span>", h->f);
    html_text(h->f, mail_s(part_name(h->s, n->host)));
    fputs(": ", h->f);
    html_text(h->f, mail_sn(n->text, n->n < 500 ? n->n : 500));
    if (disk) {
        fprintf(h->f, " <b class=%s>", flush ? "safe" : "risk");
        html_say(h, flush ? W_PAGE_SAFE : W_PAGE_UNSAFE);
        fputs("</b>", h->f);
    }
    fputs("</span>\n", h->f);
}

static void html_note(webpage *h, const trace_note *n) {
    int command = n->kind == MAIL_NOTE_COMMAND;
    int open = n->kind == MAIL_NOTE_OPEN;
    if (command || n->kind == MAIL_NOTE_REPLY) {
        html_line_begin(h, command);
        if (command) html_command(h, mail_sn(n->text, n->n));
        else html_reply(h, mail_sn(n->text, n->n), n->role == 'p');
        h->more = !command;
        html_field(h, HTML_CRLF, mail_s("\r\n"));
        html_line_end(h, n->n + 2);
        if (command && !mail_starts(mail_s(n->text), "BDAT")) h->header = 1;
    } else if (open || n->kind == MAIL_NOTE_CLOSE) {
        fputs("<li class=o>", h->f);
        html_say(h, open ? W_PAGE_OPEN : W_PAGE_CLOSE);
        putc('\n', h->f);
    } else html_event(h, n);
}

/* The notes from that place on, up to end; message text that was noted in
   pieces is put together. */
static void html_octets(webpage *h, const step *p, size_t end) {
    const trace *t = h->s->t;
    int dots = strcmp(p->key, "BDAT") != 0, asks = 0;
    char *text = NULL;
    size_t n = 0, i;
    if (h->at == end) return;
    h->ehlo = strcmp(p->key, "EHLO") == 0;
    h->more = 0;
    fputs("<h4>", h->f);
    html_say(h, p->kind == STEP_TALK ? W_PAGE_OCTETS : W_PAGE_EVENTS);
    fputs("</h4>\n<ul class=wire>\n", h->f);
    for (i = h->at; i <= end; i++) {
        const trace_note *e = i < end ? &t->p[h->s->order[i]] : NULL;
        if (e && e->kind == MAIL_NOTE_TEXT) {
            text = realloc(text, n + e->n + 1);
            if (text == NULL) exit(1);
            memcpy(text + n, e->text, e->n);
            n += e->n;
            asks = e->role != 'p';
        }
        if (e && e->kind == MAIL_NOTE_TEXT) continue;
        if (n) html_letter(h, mail_sn(text, n), asks, dots);
        n = 0;
        if (e) html_note(h, e);
    }
    free(text);
    fputs("</ul>\n", h->f);
}

/* Where the notes of row i end: it has what follows its reply, too, as far as
   the next command, and the last row has all the rest. */
static size_t html_end(const webpage *h, size_t i) {
    const steps *s = h->s;
    size_t end = s->p[i].end, next = i + 1;
    if (s->p[i].kind != STEP_TALK) end = s->p[i].first + 1;
    while (next < s->n && s->p[next].kind != STEP_TALK) next++;
    next = next < s->n ? s->p[next].first : s->t->n;
    if (i + 1 == s->n) end = next;
    while (end < next) {
        mail_note kind = s->t->p[s->order[end]].kind;
        if (kind != MAIL_NOTE_REPLY && kind != MAIL_NOTE_TEXT &&
            kind != MAIL_NOTE_CLOSE) break;
        end++;
    }
    return end > h->at ? end : h->at;
}

/* Notes of the trace that have happened when those in order are told. */
static size_t html_seen(const webpage *h, size_t end) {
    size_t i, to = 0;
    for (i = h->at; i < end; i++)
        if (h->s->order[i] + 1 > to) to = h->s->order[i] + 1;
    return to;
}

static void html_party(const webpage *h, int part, int term) {
    const trace_part *p = &h->s->t->parts[part];
    fprintf(h->f, "%s <b>", html_terms[term].name[h->lang]);
    html_text(h->f, mail_s(part_name(h->s, part)));
    fputs("</b>", h->f);
    if (p->address[0] && strcmp(p->address, p->name) != 0) {
        fputs(" (", h->f);
        html_text(h->f, mail_s(p->address));
        putc(')', h->f);
    }
}

static void html_who(const webpage *h, const step *p) {
    int talk = p->kind == STEP_TALK;
    fputs("<p class=who>", h->f);
    if (talk) html_party(h, p->from, p->pop3 ? 2 : 0);
    if (talk) fputs(" → ", h->f);
    if (talk) html_party(h, p->to, p->pop3 ? 3 : 1);
    if (talk && h->phase && h->phase->session == p->session) {
        fputs(" · ", h->f);
        html_text(h->f, mail_s(h->phase->text));
    }
    fprintf(h->f, "%s%lld&nbsp;ms</p>\n", talk ? " · " : "",
            (long long)p->ms);
}

/* What a state of a session means; "": who knows. */
static const char *html_state(const webpage *h, const step *p,
                              const char *name) {
    char role = h->s->t->n ? h->s->t->p[h->s->order[p->first]].role : '-';
    int i;
    for (i = 0; role == 's' && i < MAIL_SMTPD_COUNT; i++)
        if (strcmp(mail_smtpd_state_name((mail_smtpd_state)i), name) == 0)
            return server_state(h->lang, 0, i);
    for (i = 0; role == 'p' && i < MAIL_POP3D_COUNT; i++)
        if (strcmp(mail_pop3d_state_name((mail_pop3d_state)i), name) == 0)
            return server_state(h->lang, 1, i);
    return "";
}

static void html_states(const webpage *h, const step *p) {
    if (p->kind != STEP_TALK || p->after[0] == 0) return;
    fputs("<div class=h><h4>", h->f);
    html_say(h, W_PAGE_STATE);
    fputs("</h4><p class=st>", h->f);
    if (p->before[0] && strcmp(p->before, p->after) != 0) {
        fputs("<span>", h->f);
        html_text(h->f, mail_s(p->before));
        fputs("</span> → ", h->f);
    }
    fputs("<b>", h->f);
    html_text(h->f, mail_s(p->after));
    fputs("</b> ", h->f);
    html_text(h->f, mail_s(html_state(h, p, p->after)));
    fputs("</p></div>\n", h->f);
}

/* The code that answers, and its row of the table that runs the server. */
static void html_code(const webpage *h, const step *p) {
    static const char *const rooms[] = { "SMTPD", "POP3D", "SERVER" };
    const explain *e = explain_of(p);
    mail_row row;
    size_t i;
    if (e == NULL) return;
    fprintf(h->f, "<p class=src>%s: <code>mail.h</code> [%s] <code>%s()"
            "</code> · %s · %s", word(h->lang, W_PAGE_CODE), rooms[e->pop3],
            e->function, e->clause,
            h->lang ? "TUTORIAL.ko.md" : "TUTORIAL.md");
    fprintf(h->f, word(h->lang, W_CHAPTER), e->chapter);
    for (i = 0; e->pop3 < 2 && (e->pop3 ? mail_pop3d_row(i, &row)
                                        : mail_smtpd_row(i, &row)); i++) {
        if (strcmp(row.name, e->key) != 0) continue;
        fprintf(h->f, "<br>%s: <code>%s", word(h->lang, W_PAGE_ROW),
                row.name);
        fputs(" | ", h->f);
        html_text(h->f, mail_s(row.from));
        fputs(" | -&gt; ", h->f);
        html_text(h->f, mail_s(row.then));
        fputs(" | ", h->f);
        html_text(h->f, mail_s(row.says));
        fputs("</code>", h->f);
    }
    fputs("</p>\n", h->f);
}

/* The name of row i: in the address of the page, and of its section. */
static void html_id(const step *p, int disks, char *to, size_t cap) {
    if (p->kind == STEP_TALK) snprintf(to, cap, "step-%d", p->number);
    else snprintf(to, cap, p->kind == STEP_STAR ? "disk-%d" : "event-%d",
                  disks);
}

static void html_heading(const webpage *h, const step *p, const char *id) {
    fprintf(h->f, "<h3><a class=num href=\"#%s\">", id);
    if (p->kind != STEP_TALK) {
        fprintf(h->f, "%c</a> ", p->kind == STEP_STAR ? '*' : '!');
        html_text(h->f, mail_s(part_name(h->s, p->host)));
        fputs(": ", h->f);
        html_text(h->f, mail_s(p->text));
        fputs("</h3>\n", h->f);
        return;
    }
    fprintf(h->f, "%d</a> ", p->number);
    html_text(h->f, mail_s(part_name(h->s, p->from)));
    fputs(" → ", h->f);
    html_text(h->f, mail_s(part_name(h->s, p->to)));
    fputs(": <code>", h->f);
    html_text(h->f, mail_s(p->text));
    fputs("</code> <span class=r>⇠ ", h->f);
    html_text(h->f, mail_s(p->reply));
    fputs("</span></h3>\n", h->f);
}

/* What the script asks for: the first line of the reply, whose it is. */
static void html_data(const webpage *h, const step *p, size_t end) {
    size_t i;
    if (p->kind != STEP_TALK) return;
    fprintf(h->f, " data-to=\"%d\" data-state=\"", p->to);
    html_text(h->f, mail_s(p->after));
    fprintf(h->f, "\"%s", p->pop3 ? " data-pop3=1" : "");
    for (i = h->at; i < end; i++) {
        const trace_note *n = &h->s->t->p[h->s->order[i]];
        if (n->kind != MAIL_NOTE_REPLY) continue;
        fputs(" data-r=\"", h->f);
        html_text(h->f, mail_sn(n->text, n->n < 200 ? n->n : 200));
        putc('"', h->f);
        return;
    }
}

static void html_stop(webpage *h, size_t i) {
    const step *p = &h->s->p[i];
    size_t end = html_end(h, i);
    unsigned changes = h->disk.changes;
    const explain *e = explain_of(p);
    html_disk was;
    char id[24];
    html_id(p, ++h->disks, id, sizeof id);
    if (p->kind == STEP_TALK) h->disks--;
    fprintf(h->f, "<section class=stop id=%s", id);
    html_data(h, p, end);
    fputs(">\n", h->f);
    html_heading(h, p, id);
    html_who(h, p);
    if (e) {
        fputs("<p class=says>", h->f);
        html_sentence(h, e->says[h->lang]);
        fputs("</p>\n", h->f);
    }
    html_disk_now(&h->disk, &was);
    vault_go(&h->disk, h->s->t, html_seen(h, end));
    html_octets(h, p, end);
    h->at = end;
    html_states(h, p);
    html_disks(h, &was, changes != h->disk.changes);
    html_code(h, p);
    fputs("</section>\n", h->f);
}

static void html_stops(webpage *h) {
    size_t i;
    h->disks = 0;
    for (i = 0; i < h->s->n; i++) {
        const step *p = &h->s->p[i];
        if (step_stops(p)) html_stop(h, i);
        else if (p->kind == STEP_PHASE) h->phase = p;
        else {
            fputs(p->kind == STEP_TIME ? "<h2 class=\"run at\">" :
                  "<h2 class=run>", h->f);
            html_text(h->f, mail_s(p->text));
            fputs("</h2>\n", h->f);
        }
        if (p->kind == STEP_SESSION) h->phase = NULL;
    }
}

/* --- the ladder, drawn ----------------------------------------------------
   One drawing for each connection, 500 wide, so that a page of paper can hold
   it whole; lifelines go on from one to the next. */

enum { SVG_WIDE = 500, SVG_LEFT = 56, SVG_RIGHT = 440, SVG_SESSION = 58,
       SVG_PHASE = 26, SVG_TALK = 46, SVG_STAR = 30, SVG_ACT = 38,
       SVG_LETTER = 9 };

static int svg_x(const webpage *h, const step *p, int part) {
    int n = ladder_parts(h->s);
    int nth = h->s->t->nparts <= LADDER_PARTS ? part : p && part == p->to;
    return n < 2 ? SVG_LEFT : SVG_LEFT + nth * (SVG_RIGHT - SVG_LEFT) /
                                         (n - 1);
}

static int svg_height(const step *p) {
    static const int heights[] = { SVG_SESSION, SVG_PHASE, SVG_TALK, SVG_STAR,
                                   SVG_STAR, SVG_ACT, SVG_PHASE };
    return heights[p->kind];
}

/* A text of at most that many columns; the class says how it is set. */
static void svg_text(const webpage *h, const char *look, int x, int y,
                     const char *text, int columns) {
    mail_str s = mail_s(text);
    char part[200];
    while (s.n) {
        mail_copy(part, sizeof part, s);
        if (s.n < sizeof part && width(part) <= columns) break;
        do s.n--; while (s.n && (s.p[s.n] & 0xC0) == 0x80);
    }
    fprintf(h->f, "<text class=\"%s\" x=%d y=%d>", look, x, y);
    html_text(h->f, s);
    if (s.n < strlen(text)) fputs("...", h->f);
    fputs("</text>", h->f);
}

static void svg_title(const webpage *h, const step *p, int y) {
    fprintf(h->f, "<rect class=band x=0 y=%d width=%d height=24 />", y,
            SVG_WIDE);
    svg_text(h, "ttl", 8, y + 17, p->text, 62);
}

static void svg_session(const webpage *h, const step *p, int y) {
    int ends[2], i;
    ends[0] = p->from;
    ends[1] = p->to;
    svg_title(h, p, y);
    for (i = 0; i < 2; i++) {
        int x = svg_x(h, p, ends[i]);
        svg_text(h, "halo ct", x, y + 39, part_name(h->s, ends[i]), 16);
        svg_text(h, "halo ct dm", x, y + 54,
                 html_terms[(p->pop3 ? 2 : 0) + i].name[h->lang], 20);
    }
}

/* A phase spans its two lifelines; time passes on all of them. */
static void svg_phase(const webpage *h, const step *p, int y) {
    int time = p->kind == STEP_TIME;
    int a = time ? SVG_LEFT : svg_x(h, p, p->from);
    int b = time ? SVG_RIGHT : svg_x(h, p, p->to);
    fprintf(h->f, "<path class=\"life dash\" d=\"M%d %dH%d\" />", a, y + 14,
            b);
    svg_text(h, "ph ct", (a + b) / 2, y + 18, p->text, 60);
}

/* An arrow: command and reply are told apart by line and head, too. */
static void svg_arrow(const webpage *h, int from, int to, int y, int reply,
                      int big) {
    int d = to > from ? -1 : 1;
    fprintf(h->f, "<path class=\"%s%s\" d=\"M%d %dH%d\" />",
            reply ? "rep dash" : "cmd", big ? " big" : "", from, y,
            to + 9 * d);
    if (reply) fprintf(h->f, "<path class=rep d=\"M%d %dl%d -5m%d 5l%d 5\" />",
                       to + 2 * d, y, 9 * d, -9 * d, 9 * d);
    else fprintf(h->f, "<path class=tip d=\"M%d %dl%d -6v12z\" />",
                 to + d, y, 12 * d);
}

static void svg_talk(const webpage *h, const step *p, int y) {
    int a = svg_x(h, p, p->from), b = svg_x(h, p, p->to);
    int left = a <= b, end = left ? a + 6 : a - 6, big;
    char number[12];
    big = strcmp(p->key, "message") == 0;
    snprintf(number, sizeof number, "%d", p->number);
    fprintf(h->f, "<circle class=no cx=17 cy=%d r=12 />", y + 17);
    svg_text(h, "n ct", 17, y + 22, number, 6);
    svg_text(h, left ? "lab" : "lab rt", end, y + 14, p->text,
             (left ? SVG_WIDE - end : end - 30) / SVG_LETTER);
    svg_arrow(h, a, b, y + 21, 0, big);
    if (strcmp(p->key, "no answer") == 0)
        svg_text(h, "lost ct", b, y + 27, "x", 1);
    else svg_arrow(h, b, a, y + 37, 1, strcmp(p->key, "RETR") == 0);
    svg_text(h, "rl ct", (a + b) / 2, y + 42, p->reply, 16);
    svg_text(h, left ? "tag" : "tag rt", left ? b + 7 : b - 7, y + 41,
             p->after, 9);
}

/* A thing on a disk is a cylinder on the lifeline of its host; what befalls
   the host a triangle with an exclamation mark. */
static void svg_star(const webpage *h, const step *p, int y) {
    int x = svg_x(h, p, p->host), left = x <= SVG_WIDE / 2;
    if (p->kind == STEP_STAR)
        fprintf(h->f, "<path class=cyl d=\"M%d %dv14a9 4 0 0 0 18 0v-14"
                "a9 4 0 0 0 -18 0a9 4 0 0 0 18 0\" />", x - 9, y + 7);
    else {
        fprintf(h->f, "<path class=evt d=\"M%d %dl11 20h-22z\" />", x, y + 4);
        svg_text(h, "n ct", x, y + 22, "!", 1);
    }
    svg_text(h, left ? "halo" : "halo rt", left ? x + 15 : x - 15, y + 19,
             p->text, 48);
}

/* A step is a link to its section; what it is called is what --plain says. */
static void svg_link(webpage *h, const step *p, int y) {
    char id[24], text[512];
    html_id(p, ++h->disks, id, sizeof id);
    if (p->kind == STEP_TALK) h->disks--;
    plain_row(h->s, p, text, sizeof text);
    fprintf(h->f, "<a id=l-%s href=\"#%s\"><title>", id, id);
    html_text(h->f, mail_sn(text, strlen(text) - 1));
    fprintf(h->f, "</title><rect class=hit x=2 y=%d width=%d height=%d />", y,
            SVG_WIDE - 4, svg_height(p) - 1);
    if (p->kind == STEP_TALK) svg_talk(h, p, y);
    else svg_star(h, p, y);
    fputs("</a>\n", h->f);
}

static void svg_run(webpage *h, size_t from, size_t to, int number) {
    int y = 0, i;
    size_t k;
    for (k = from; k < to; k++) y += svg_height(&h->s->p[k]);
    fprintf(h->f, "<svg viewBox=\"0 0 %d %d\" role=group "
            "aria-labelledby=\"t%d d%d\"><title id=t%d>", SVG_WIDE, y, number,
            number, number);
    html_text(h->f, mail_s(h->s->p[from].text));
    fprintf(h->f, "</title><desc id=d%d>", number);
    html_say(h, W_PAGE_HOW);
    fputs("</desc>\n", h->f);
    for (i = 0; i < ladder_parts(h->s); i++)
        fprintf(h->f, "<path class=life d=\"M%d 24V%d\" />", SVG_LEFT +
                (ladder_parts(h->s) < 2 ? 0 : i * (SVG_RIGHT - SVG_LEFT) /
                (ladder_parts(h->s) - 1)), y);
    for (y = 0, k = from; k < to; y += svg_height(&h->s->p[k++])) {
        const step *p = &h->s->p[k];
        if (step_stops(p)) {
            svg_link(h, p, y);
            continue;
        }
        fputs("<g>", h->f);
        if (p->kind == STEP_SESSION) svg_session(h, p, y);
        else if (p->kind == STEP_ACT) svg_title(h, p, y);
        else svg_phase(h, p, y);
        fputs("</g>\n", h->f);
    }
    fputs("</svg>\n", h->f);
}

/* The names, which stay while the ladder is scrolled; the script puts the
   states under them. */
static void svg_heads(const webpage *h) {
    const trace *t = h->s->t;
    int i, x;
    if (t->nparts > LADDER_PARTS) return;
    fprintf(h->f, "<svg class=heads viewBox=\"0 0 %d 42\" aria-hidden=true>",
            SVG_WIDE);
    for (i = 0; i < t->nparts; i++) {
        x = svg_x(h, NULL, i);
        svg_text(h, "nm ct", x, 19, part_name(h->s, i), 12);
        fprintf(h->f, "<text id=p%d class=\"tag ct\" x=%d y=36></text>", i,
                x);
    }
    fputs("</svg>\n", h->f);
}

static void html_ladder(webpage *h) {
    size_t i, to;
    int number = 0;
    svg_heads(h);
    h->disks = 0;
    for (i = 0; i < h->s->n; i = to) {
        for (to = i + 1; to < h->s->n; to++)
            if (h->s->p[to].kind == STEP_SESSION ||
                h->s->p[to].kind == STEP_ACT) break;
        svg_run(h, i, to, ++number);
    }
}

/* --- the whole ------------------------------------------------------------ */

/* The style, and the script: what stands between their tags, to the octet,
   has the hash that the page allows. */
static const char *const html_style[] = {
    ":root { --bg: #fbfaf7; --ink: #1c1d20; --dim: #5a5d64;",
    "  --line: #c4c1b8; --card: #fff; --now: #fff1c2; --edge: #8a6a00;",
    "  --cmd: #0b4f8a; --rep: #8a3a06; --disk: #1f6b35;",
    "  --mono: ui-monospace, Menlo, Consolas, \"DejaVu Sans Mono\", monospace;",
    "  color-scheme: light dark; }",
    "@media (prefers-color-scheme: dark) { :root { --bg: #14161a;",
    "  --ink: #e9e7e2; --dim: #a7abb3; --line: #454a53; --card: #1d2025;",
    "  --now: #3a3115; --edge: #e3bd4f; --cmd: #8cc0ff; --rep: #ffb27a;",
    "  --disk: #8bd79a; } }",
    "* { box-sizing: border-box; }",
    "body { margin: 0; background: var(--bg); color: var(--ink);",
    "  font: 1.0625rem/1.5 system-ui, \"Segoe UI\", Roboto, \"Noto Sans KR\",",
    "    \"Noto Sans CJK KR\", sans-serif; }",
    "a { color: inherit; }",
    ":focus-visible { outline: 3px solid var(--cmd); outline-offset: 1px; }",
    "h1 { font-size: 1.1rem; margin: 0; display: inline; }",
    "h2 { font-size: 1.15rem; margin: 2.5rem 0 0; }",
    "h3 { font-size: 1.2rem; margin: 0 0 .4rem; line-height: 1.35; }",
    "h4 { font-size: .8rem; margin: 1.1rem 0 .3rem; color: var(--dim);",
    "  font-weight: 700; }",
    "header { padding: .5rem 1rem; border-bottom: 1px solid var(--line); }",
    "header p { display: inline; margin: 0 0 0 .8rem; color: var(--dim); }",
    ".how { font-size: .9rem; color: var(--dim); margin: .5rem .6rem; }",
    "",
    "/* the ladder */",
    "#ladder { max-width: 40rem; margin: 0 auto; }",
    "svg { display: block; width: 100%; height: auto; }",
    ".heads { position: sticky; top: 0; background: var(--bg); z-index: 1;",
    "  border-bottom: 1px solid var(--line); }",
    "text { fill: var(--ink); font: 13px system-ui, sans-serif; }",
    ".halo, .lab, .rl, .ph, .tag { paint-order: stroke; stroke: var(--bg);",
    "  stroke-width: 5px; stroke-linejoin: round; }",
    ".nm { font-weight: 700; font-size: 15px; }",
    ".dm, .tag { fill: var(--dim); font-size: 12px; }",
    ".ttl { font-weight: 700; font-size: 15px; }",
    ".ph { font-style: italic; }",
    ".lab { font: 15px var(--mono); }",
    ".rl { font: 700 14px var(--mono); fill: var(--rep); }",
    ".ct { text-anchor: middle; }",
    ".rt { text-anchor: end; }",
    ".band { fill: var(--line); opacity: .35; }",
    ".life { stroke: var(--line); stroke-width: 2; }",
    ".cmd { stroke: var(--cmd); stroke-width: 2; fill: none; }",
    ".tip { fill: var(--cmd); }",
    ".rep { stroke: var(--rep); stroke-width: 1.6; fill: none; }",
    ".big { stroke-width: 5; }",
    ".dash { stroke-dasharray: 6 4; }",
    ".evt { fill: var(--bg); stroke: var(--rep); stroke-width: 2; }",
    ".lost { font: 700 20px var(--mono); fill: var(--rep); }",
    ".cyl { fill: var(--bg); stroke: var(--disk); stroke-width: 2; }",
    ".no { fill: var(--bg); stroke: var(--line); }",
    ".hit { fill: transparent; stroke: none; }",
    "#ladder a { text-decoration: none; }",
    "#ladder a:hover .hit { fill: var(--line); fill-opacity: .25; }",
    "#ladder .now .hit { fill: var(--now); stroke: var(--edge);",
    "  stroke-width: 2; }",
    "#ladder .now .halo, #ladder .now .lab, #ladder .now .rl,",
    "#ladder .now .tag { stroke: var(--now); }",
    "#ladder .now .no { fill: var(--edge); stroke: none; }",
    "#ladder .now .n { fill: var(--bg); }",
    ".later { visibility: hidden; }",
    ".ask .rl, .ask .tag { visibility: hidden; }",
    "",
    "/* a step */",
    "#steps, footer { max-width: 56rem; margin: 0 auto;",
    "  padding: .2rem 1rem 1rem; }",
    ".stop { margin: .8rem 0; padding: .9rem 1rem; background: var(--card);",
    "  border: 1px solid var(--line); border-radius: 8px; }",
    ".stop:target { border: 2px solid var(--edge); }",
    "h3 code { overflow-wrap: anywhere; }",
    ".num { display: inline-block; min-width: 1.7em; padding: 0 .3em;",
    "  text-align: center; border-radius: 1em; background: var(--ink);",
    "  color: var(--bg); text-decoration: none; }",
    "code { font-family: var(--mono); font-size: .95em; }",
    ".r { color: var(--rep); white-space: nowrap; }",
    ".who { margin: 0; color: var(--dim); font-size: .95rem; }",
    ".says { font-size: 1.15rem; margin: .5rem 0; }",
    ".w { text-decoration: underline dotted; text-underline-offset: .2em; }",
    ".says small, dd small { color: var(--dim); }",
    ".wire { list-style: none; margin: 0; padding: 0; }",
    ".wire li { display: flex; gap: .5rem; padding: .15rem 0 .15rem .5rem;",
    "  border-left: 4px solid var(--cmd); }",
    ".wire .s { border-left: 4px double var(--rep); }",
    ".wire .k { border-left: 4px dotted var(--disk); color: var(--disk);",
    "  font: .88rem/1.4 var(--mono); overflow-wrap: anywhere; }",
    ".wire .k b { white-space: nowrap; }",
    ".wire .o { border-left-color: transparent; color: var(--dim);",
    "  font-size: .9rem; }",
    ".wire > li > b { flex: 0 0 1.4em; font-family: var(--mono); }",
    ".wire div { flex: 1; min-width: 0; display: flex; gap: 3px; }",
    ".len { flex: none; color: var(--dim); font-size: .75rem;",
    "  padding-top: .2rem; min-width: 2.2em; text-align: right; }",
    ".f { flex: none; max-width: 100%; padding: 0 5px; text-decoration: none;",
    "  background: var(--bg); border: 1px solid var(--line);",
    "  border-radius: 4px; line-height: 1.3; }",
    ".v { flex: 0 1 auto; min-width: 0; }",
    ".f:not(.v) b, .f:not(.v) i { white-space: pre; }",
    ".f.on { border-color: var(--edge); background: var(--now);",
    "  box-shadow: 0 0 0 1px var(--edge); }",
    ".f b, .f i, .f u { display: block; font-style: normal;",
    "  text-decoration: none; overflow-wrap: anywhere; }",
    ".f b { font: 600 .95rem/1.4 var(--mono); white-space: pre-wrap;",
    "  min-height: 1.4em; }",
    ".f i { font: .68rem/1.3 var(--mono); color: var(--dim); }",
    ".f u { font-size: .72rem; color: var(--cmd); }",
    ".f .z { font-size: .75rem; line-height: 1.8; color: var(--dim); }",
    ".note { margin: .2rem 0 .4rem 2rem; padding: .4rem .7rem;",
    "  border: 2px solid var(--edge); border-radius: 6px;",
    "  background: var(--now); font-size: .98rem; }",
    ".st b, .st span { display: inline-block; font: 600 .95rem var(--mono);",
    "  border: 2px solid var(--line); border-radius: 5px; padding: 0 .5em; }",
    ".st b { border-color: var(--ink); }",
    ".st { margin: 0; }",
    "table { border-collapse: collapse; width: 100%; font-size: .88rem; }",
    "td, th { text-align: left; padding: .15rem .7rem .15rem 0;",
    "  border-top: 1px solid var(--line); vertical-align: top; }",
    "th { color: var(--dim); font-weight: 400; border: 0; }",
    "td:nth-child(3) { font-family: var(--mono); overflow-wrap: anywhere;",
    "  font-size: .92em; }",
    ".safe { font-weight: 700; color: var(--disk); }",
    ".risk { font-weight: 700; color: var(--rep); }",
    ".src { margin: 1rem 0 0; padding-top: .5rem; font-size: .9rem;",
    "  border-top: 1px solid var(--line); color: var(--dim); }",
    "dt { font-weight: 700; margin-top: .5rem; }",
    "dd { margin: 0; }",
    "dl { columns: 22rem; }",
    "dl div { break-inside: avoid; padding-bottom: .1rem; }",
    "dl div:target { background: var(--now); }",
    "footer { color: var(--ink); font-size: .92rem; }",
    "footer code { overflow-wrap: anywhere; }",
    "",
    "/* with the script: two panes and a bar */",
    "#bar { display: none; }",
    "@media screen {",
    ".js body { height: 100vh; height: 100dvh; display: flex;",
    "  flex-direction: column; }",
    ".js main { flex: 1; min-height: 0; display: flex; }",
    ".js #ladder { flex: 0 0 min(36rem, 44vw); overflow-y: auto; margin: 0;",
    "  border-right: 1px solid var(--line); }",
    ".js #right { flex: 1; min-width: 0; overflow-y: auto; }",
    ".one .stop:not(.now), .one h2.run, .one .how { display: none; }",
    ".one .stop { margin-top: .5rem; }",
    ".js #bar { display: block; padding: .3rem .8rem .5rem;",
    "  border-top: 1px solid var(--line); background: var(--card); }",
    "#say { margin: 0; min-height: 1.5em; overflow: hidden;",
    "  text-overflow: ellipsis; }",
    "#bar div { display: flex; flex-wrap: wrap; align-items: center;",
    "  gap: .3rem .6rem; }",
    "#bar button { font: inherit; min-width: 2.7rem; min-height: 2.5rem;",
    "  padding: 0 .6rem; border: 1px solid var(--dim); border-radius: 6px;",
    "  background: var(--bg); color: inherit; cursor: pointer; }",
    "#bar input[type=range] { flex: 1 1 9rem; min-width: 6rem;",
    "  accent-color: var(--edge); }",
    "#bar label { min-height: 2.5rem; display: flex; align-items: center;",
    "  gap: .35rem; }",
    "#bar output { min-width: 4.2em; text-align: center; }",
    ".quiz { margin: .8rem 0; padding: .6rem .9rem; border-radius: 8px;",
    "  border: 2px solid var(--edge); background: var(--now); }",
    ".quiz button { display: block; width: 100%; margin: .35rem 0;",
    "  padding: .5rem .7rem; text-align: left; cursor: pointer;",
    "  font: 1rem var(--mono); color: var(--ink); background: var(--card);",
    "  border: 1px solid var(--dim); border-radius: 6px; }",
    ".quiz p { margin: .3rem 0 0; font-weight: 700; }",
    ".ask .r, .ask .says, .ask .s, .ask .k, .ask .h, .ask .src {",
    "  display: none; }",
    "@media (prefers-reduced-motion: no-preference) {",
    "  #ladder { scroll-behavior: smooth; } }",
    "}",
    "@media screen and (max-width: 52rem) {",
    "body { font-size: 1rem; }",
    "h1 { font-size: .95rem; }",
    ".js header { padding: .2rem .6rem; }",
    ".js header p { display: none; }",
    ".js main { flex-direction: column; }",
    ".js #ladder { flex: 0 1 36%; max-width: none; border-right: 0;",
    "  border-bottom: 2px solid var(--line); }",
    "#steps, footer { padding: .1rem .5rem .6rem; }",
    ".stop { padding: .6rem .6rem; }",
    ".len { display: none; }",
    ".wire div { flex-wrap: wrap; }",
    "#bar { padding: .2rem .5rem .3rem; }",
    "#bar button { min-width: 2.5rem; }",
    "table { font-size: .8rem; }",
    "#say { font-size: .9rem; } }",
    "",
    "@media print {",
    ":root { --bg: #fff; --ink: #000; --dim: #444; --line: #999;",
    "  --card: #fff; --now: #fff; --edge: #000; --cmd: #003a70;",
    "  --rep: #7a2e00; --disk: #0d4d20; color-scheme: light;",
    "  font-size: 12px; }",
    "@page { margin: 14mm; }",
    ".heads, .note, .quiz { display: none; }",
    "svg { break-inside: avoid; }",
    "#ladder { max-width: 13cm; }",
    "#ladder .now .hit { stroke: none; }",
    "#ladder .now .no { fill: #fff; stroke: #000; }",
    "#ladder .now .n { fill: #000; }",
    ".num { color: #000; border: 1px solid #000; }",
    ".stop { border: 0; border-top: 1px solid #999; border-radius: 0;",
    "  padding: .5rem 0; margin: 0; }",
    "h2, h3, h4 { break-after: avoid; }",
    ".wire li, .src, tr { break-inside: avoid; }",
    ".f { border-color: #bbb; } }",
    NULL
};
static const char *const html_script[] = {
    "'use strict';",
    "(function () {",
    "var d = document, root = d.documentElement, bar = id('bar');",
    "var stops = [].slice.call(d.querySelectorAll('.stop'));",
    "var at = -1, timer = 0, told = [], right = 0, asked = 0;",
    "function id(name) { return d.getElementById(name); }",
    "function row(i) { return id('l-' + stops[i].id); }",
    "function mark(e, name, on) { if (e) e.classList.toggle(name, on); }",
    "function make(tag, text, name) {",
    "  var e = d.createElement(tag);",
    "  e.textContent = text;",
    "  if (name) e.className = name;",
    "  return e;",
    "}",
    "",
    "/* Is its answer still a secret? */",
    "function secret(i) {",
    "  return id('predict').checked && stops[i].dataset.r && !told[i];",
    "}",
    "",
    "/* Puts e where it can be seen in its pane, and moves nothing else. */",
    "function into_view(pane, e, top) {",
    "  var a = pane.getBoundingClientRect(), b = e.getBoundingClientRect();",
    "  if (top) pane.scrollTop += b.top - a.top - 8;",
    "  else pane.scrollTop += (b.top + b.bottom - a.top - a.bottom) / 2;",
    "}",
    "",
    "/* What each host's session was in last, up to step i. */",
    "function states(i) {",
    "  var k, e = d.querySelectorAll('.heads .tag'), s;",
    "  for (k = 0; k < e.length; k++) e[k].textContent = '';",
    "  for (k = 0; k <= i; k++) {",
    "    s = stops[k].dataset;",
    "    e = s.to && id('p' + s.to);",
    "    if (e) e.textContent = secret(k) ? '?' : s.state;",
    "  }",
    "}",
    "",
    "/* Is what comes after this row of the ladder hidden? */",
    "function later(hidden) {",
    "  var e = d.querySelectorAll('#ladder a, #ladder g'), k, seen = 0;",
    "  for (k = 0; k < e.length; k++) {",
    "    mark(e[k], 'later', hidden && seen);",
    "    seen = seen || e[k] === row(at);",
    "  }",
    "}",
    "",
    "function show(i, quiet) {",
    "  var k, e;",
    "  if (i < 0 || i >= stops.length) return stop();",
    "  at = i;",
    "  for (k = 0; k < stops.length; k++) {",
    "    e = row(k);",
    "    mark(stops[k], 'now', k === i);",
    "    mark(e, 'now', k === i);",
    "    mark(stops[k], 'ask', !!secret(k));",
    "    mark(e, 'ask', !!secret(k));",
    "    if (e && k === i) e.setAttribute('aria-current', 'step');",
    "    else if (e) e.removeAttribute('aria-current');",
    "  }",
    "  later(id('predict').checked);",
    "  states(i);",
    "  quiz(i);",
    "  id('at').value = i;",
    "  id('nth').textContent = stops[i].querySelector('.num').textContent +",
    "    ' / ' + d.querySelectorAll('.stop[data-to]').length;",
    "  e = row(i).querySelector('title').textContent;",
    "  id('say').textContent = secret(i) ? e.slice(0, e.indexOf(",
    "    bar.dataset.reply)) + ' ' + bar.dataset.ask : e;",
    "  into_view(id('ladder'), row(i));",
    "  if (id('all').checked) into_view(id('right'), stops[i], 1);",
    "  else id('right').scrollTop = 0;",
    "  if (!quiet) try { history.replaceState(null, '', '#' + stops[i].id); }",
    "  catch (x) { /* some browsers, for a page of their own disk */ }",
    "}",
    "",
    "/* --- three choices, two of them said elsewhere in this page --- */",
    "",
    "function choices(i) {",
    "  var me = stops[i].dataset, all = [], k, s, first;",
    "  var more = bar.dataset[me.pop3 ? 'pop3' : 'smtp'].split('|');",
    "  function code(text) { return me.pop3 ? text : text.slice(0, 3); }",
    "  function add(text) {",
    "    for (var n = 0; n < all.length; n++)",
    "      if (code(all[n]) === code(text)) return;",
    "    if (code(text) !== code(me.r)) all.push(text);",
    "  }",
    "  for (k = 0; k < stops.length; k++) {",
    "    s = stops[k].dataset;",
    "    if (s.r && s.pop3 === me.pop3) add(s.r);",
    "  }",
    "  more.forEach(add);",
    "  first = i * 7 % all.length;",
    "  s = [all[first], all[(first + 1 + i % (all.length - 1)) % all.length]];",
    "  s.splice(i % 3, 0, me.r);",
    "  return s;",
    "}",
    "",
    "function answer(i, button) {",
    "  var ok = button.textContent === stops[i].dataset.r;",
    "  told[i] = ok ? 1 : 2;",
    "  asked++;",
    "  right += ok;",
    "  show(i);",
    "}",
    "",
    "function quiz(i) {",
    "  var old = d.querySelectorAll('.quiz'), k, box;",
    "  for (k = 0; k < old.length; k++) old[k].remove();",
    "  if (!secret(i) && !(id('predict').checked && told[i] && told[i] < 3))",
    "    return;",
    "  box = make('div', '', 'quiz');",
    "  if (told[i]) box.appendChild(make('p', (told[i] < 2 ? '✓ ' +",
    "    bar.dataset.yes : '✗ ' + bar.dataset.no) + ' ' + stops[i].dataset.r",
    "    + '  (' + right + ' / ' + asked + ')'));",
    "  else {",
    "    box.appendChild(make('p', bar.dataset.ask));",
    "    choices(i).forEach(function (text) {",
    "      var b = make('button', text);",
    "      b.type = 'button';",
    "      b.onclick = function () { answer(i, b); };",
    "      box.appendChild(b);",
    "    });",
    "  }",
    "  stops[i].querySelector('.who').after(box);",
    "  if (!told[i]) return;",
    "  box.tabIndex = -1;",
    "  box.focus();",
    "}",
    "",
    "/* Forward; a secret comes out first. */",
    "function next() {",
    "  if (!secret(at)) return show(at + 1);",
    "  told[at] = 3;",
    "  show(at);",
    "}",
    "",
    "/* --- play, only when asked to --- */",
    "",
    "function stop() {",
    "  clearInterval(timer);",
    "  timer = 0;",
    "  id('play').textContent = id('play').dataset.play;",
    "}",
    "function play() {",
    "  if (timer) return stop();",
    "  if (at === stops.length - 1) show(0);",
    "  id('play').textContent = id('play').dataset.stop;",
    "  timer = setInterval(next, 2500);",
    "}",
    "",
    "/* --- what a field or a word means, beside it --- */",
    "",
    "function explain(e) {",
    "  var was = e.classList.contains('on'), to = e.hash.slice(1), box, end;",
    "  var old = d.querySelectorAll('.note, .on'), k;",
    "  for (k = 0; k < old.length; k++)",
    "    if (old[k].className === 'note') old[k].remove();",
    "    else old[k].classList.remove('on');",
    "  if (was || !id(to)) return;",
    "  e.classList.add('on');",
    "  box = make('p', '', 'note');",
    "  box.setAttribute('role', 'status');",
    "  if (e.dataset.at) box.appendChild(make('b', e.dataset.at + ' '));",
    "  [].forEach.call(id(to).children, function (c, n) {",
    "    if (n) box.appendChild(d.createTextNode(' — '));",
    "    box.appendChild(make(n ? 'span' : 'b', c.textContent));",
    "  });",
    "  end = e.closest('li, p, dd');",
    "  end.after(box);",
    "}",
    "",
    "/* Octets 5 to 14 of 29: counted from the line's own hex. */",
    "function count(e) {",
    "  var n = 0, first, own, all = e.parentNode.querySelectorAll('.f i');",
    "  [].forEach.call(all, function (x) {",
    "    var k = x.textContent.split(' ').length;",
    "    if (x.parentNode === e) { first = n + 1; own = k; }",
    "    n += k;",
    "  });",
    "  if (own) e.dataset.at = bar.dataset.octets.replace('%1', first)",
    "    .replace('%2', first + own - 1).replace('%3', n);",
    "}",
    "",
    "/* --- who asks for what --- */",
    "",
    "function go() {",
    "  var k, name = decodeURIComponent(location.hash.slice(1));",
    "  for (k = 0; k < stops.length; k++)",
    "    if (stops[k].id === name) return show(k, 1);",
    "  if (at < 0) show(0, 1);",
    "}",
    "",
    "function key(ev) {",
    "  var t = ev.target.type;",
    "  if (ev.altKey || ev.ctrlKey || ev.metaKey || t === 'range') return;",
    "  if (ev.key === 'ArrowRight') next();",
    "  else if (ev.key === 'ArrowLeft') show(at - 1);",
    "  else if (ev.key === 'Home') show(0);",
    "  else if (ev.key === 'End') show(stops.length - 1);",
    "  else return;",
    "  ev.preventDefault();",
    "}",
    "",
    "if (!stops.length) return;",
    "root.className = 'js one';",
    "id('at').max = stops.length - 1;",
    "id('at').oninput = function () { show(+this.value); };",
    "id('first').onclick = function () { show(0); };",
    "id('back').onclick = function () { show(at - 1); };",
    "id('next').onclick = next;",
    "id('last').onclick = function () { show(stops.length - 1); };",
    "id('play').onclick = play;",
    "id('all').onchange = function () {",
    "  root.className = this.checked ? 'js' : 'js one';",
    "  show(at);",
    "};",
    "id('predict').onchange = function () {",
    "  told = [];",
    "  right = asked = 0;",
    "  stop();",
    "  show(at);",
    "};",
    "d.addEventListener('keydown', key);",
    "d.addEventListener('click', function (ev) {",
    "  var e = ev.target.closest && ev.target.closest('a.f, a.w');",
    "  if (!e) return;",
    "  ev.preventDefault();",
    "  if (e.classList.contains('f')) count(e);",
    "  explain(e);",
    "});",
    "window.addEventListener('hashchange', go);",
    "go();",
    "})();",
    NULL
};

static void html_lines(FILE *f, const char *const *lines) {
    for (; *lines; lines++) fprintf(f, "%s\n", *lines);
}

static void html_hash(FILE *f, const char *const *lines) {
    unsigned char sum[32];
    char text[MAIL_B64_SIZE(32)];
    mail_buf b = mail_buf_on(text, sizeof text);
    mail_sha256 m;
    mail_sha256_init(&m);
    for (; *lines; lines++) {
        mail_sha256_add(&m, mail_s(*lines));
        mail_sha256_add(&m, mail_s("\n"));
    }
    mail_sha256_end(&m, sum);
    mail_b64_encode(&b, mail_sn((char *)sum, sizeof sum));
    fprintf(f, "'sha256-%.*s'", (int)b.n, b.p);
}

static void html_title(const webpage *h) {
    fputs("mail.h: ", h->f);
    html_text(h->f, mail_s(title(h->s)));
}

static void html_head(const webpage *h) {
    fprintf(h->f, "<!doctype html>\n<html lang=%s>\n<meta charset=utf-8>\n"
            "<meta http-equiv=Content-Security-Policy content=\""
            "default-src 'none'; img-src data:; base-uri 'none'; "
            "form-action 'none'; style-src ", h->lang ? "ko" : "en");
    html_hash(h->f, html_style);
    fputs("; script-src ", h->f);
    html_hash(h->f, html_script);
    fputs("\">\n<meta name=viewport content=\"width=device-width\">\n"
          "<link rel=icon href=\"data:,\">\n<title>", h->f);
    html_title(h);
    fputs("</title>\n<style>", h->f);
    html_lines(h->f, html_style);
    fputs("</style>\n<body>\n", h->f);
}

static void html_top(const webpage *h) {
    char parts[12], talks[12], runs[12];
    snprintf(parts, sizeof parts, "%d", h->s->t->nparts);
    snprintf(runs, sizeof runs, "%d", h->s->session);
    snprintf(talks, sizeof talks, "%d", h->s->number);
    fputs("<header><h1>", h->f);
    html_title(h);
    fputs("</h1><p>", h->f);
    fprintf(h->f, word(h->lang, W_PAGE_COUNTS), parts, runs, talks);
    fputs("</p></header>\n", h->f);
}

static void html_button(const webpage *h, const char *id, const char *sign,
                        view_word name) {
    fprintf(h->f, "<button id=%s type=button aria-label=\"%s\">%s</button>\n",
            id, word(h->lang, name), sign);
}

static void html_check(const webpage *h, const char *id, view_word name) {
    fprintf(h->f, "<label><input id=%s type=checkbox>%s</label>\n", id,
            word(h->lang, name));
}

/* What the script needs, and its words; nothing of it is seen without. */
static void html_bar(const webpage *h) {
    int lang = h->lang;
    fprintf(h->f, "<nav id=bar data-ask=\"%s\" data-yes=\"%s\" data-no=\"%s\" "
            "data-reply=\"%s\" data-octets=\"%s\"\n"
            " data-smtp=\"503 5.5.1 not in this order|"
            "550 5.1.1 nobody here of that name|"
            "451 4.3.0 try again later\""
            " data-pop3=\"-ERR no such message|-ERR [IN-USE] it is locked\">\n"
            "<p id=say aria-live=polite></p>\n<div>\n",
            word(lang, W_PAGE_ASK), word(lang, W_PAGE_RIGHT),
            word(lang, W_PAGE_WRONG), word(lang, W_PAGE_REPLY),
            word(lang, W_PAGE_RANGE));
    html_button(h, "first", "&#171;", W_PAGE_FIRST);
    html_button(h, "back", "&#8249;", W_PAGE_BACKWARD);
    html_button(h, "next", "&#8250;", W_PAGE_NEXT);
    html_button(h, "last", "&#187;", W_PAGE_LAST);
    fprintf(h->f, "<input id=at type=range min=0 max=0 value=0 "
            "aria-label=\"%s\"><output id=nth></output>\n",
            word(lang, W_PAGE_STEP));
    fprintf(h->f, "<button id=play type=button data-play=\"%s\" "
            "data-stop=\"%s\">%s</button>\n", word(lang, W_PAGE_PLAY),
            word(lang, W_PAGE_STOP), word(lang, W_PAGE_PLAY));
    html_check(h, "predict", W_PAGE_PREDICT);
    html_check(h, "all", W_PAGE_ALL);
    fputs("</div></nav>\n", h->f);
}

static void html_list(const webpage *h, view_word title, char key,
                      const html_word *w, int n) {
    int i, other = !h->lang;
    fputs("<h2>", h->f);
    html_say(h, title);
    fputs("</h2><dl>\n", h->f);
    for (i = 0; i < n; i++) {
        if (w[i].name[0][0] == 0) continue;
        fprintf(h->f, "<div id=%c%d><dt>%s <small lang=%s>%s</small><dd>", key,
                i, w[i].name[h->lang], other ? "ko" : "en",
                w[i].name[other]);
        html_text(h->f, mail_s(w[i].says[h->lang]));
        fputs("</div>\n", h->f);
    }
    fputs("</dl>\n", h->f);
}

/* The capture of the same trace; 0: there is no room for it. */
static int html_capture(const steps *s, unsigned char sum[32]) {
    FILE *f = tmpfile();
    char some[4096];
    mail_sha256 m;
    size_t n;
    if (f == NULL) return 0;
    view_pcapng(f, s);
    rewind(f);
    mail_sha256_init(&m);
    while ((n = fread(some, 1, sizeof some, f)) > 0)
        mail_sha256_add(&m, mail_sn(some, n));
    mail_sha256_end(&m, sum);
    n = (size_t)ferror(f);
    fclose(f);
    return n == 0;
}

/* How to make it again, and what else comes of the same trace. */
static void html_made(const webpage *h) {
    const trace *t = h->s->t;
    unsigned char sum[32];
    int i;
    fputs("<h2>", h->f);
    html_say(h, W_PAGE_MADE);
    fprintf(h->f, "</h2><p>mail.h %s, seed %llu.", MAIL_VERSION,
            (unsigned long long)t->seed);
    if (t->made[0]) {
        fputs(" <code>", h->f);
        html_text(h->f, mail_s(t->made));
        fputs("</code>", h->f);
    }
    if (html_capture(h->s, sum)) {
        fprintf(h->f, "<br>%s <code>", word(h->lang, W_PAGE_CAPTURE));
        for (i = 0; i < 32; i++) fprintf(h->f, "%02x", (unsigned)sum[i]);
        fputs("</code>", h->f);
    }
    fputs("</p>\n", h->f);
}

/* What came of it. */
static void html_words(FILE *f, mail_str s) {
    if (s.n) fputs("<p>", f);
    while (s.n) {
        html_text(f, mail_cut(&s, '\n'));
        fputs(s.n ? "<br>\n" : "</p>\n", f);
    }
}

static void view_html(FILE *f, const steps *s) {
    webpage h;
    memset(&h, 0, sizeof h);
    h.f = f;
    h.s = s;
    h.lang = s->lang;
    html_head(&h);
    html_top(&h);
    fputs("<main>\n<div id=ladder>\n", f);
    html_ladder(&h);
    fputs("<p class=how>", f);
    html_say(&h, W_PAGE_HOW);
    fputs("</p>\n</div>\n<div id=right>\n<div id=steps>\n", f);
    html_stops(&h);
    fputs("</div>\n<footer>\n", f);
    html_words(f, mail_s(s->t->says));
    html_list(&h, W_PAGE_TERMS, 'w', html_terms, HTML_TERM_COUNT);
    html_list(&h, W_PAGE_FIELDS, 'f', html_fields, HTML_FIELD_COUNT);
    html_made(&h);
    fputs("</footer>\n</div>\n</main>\n", f);
    html_bar(&h);
    fputs("<script>", f);
    html_lines(f, html_script);
    fputs("</script>\n</body>\n</html>\n", f);
    free(h.disk.p);
}

/* One list of the views, with their options. */
static const struct view {
    const char *name, *help;
    void (*show)(FILE *f, const steps *s);
    int bare, ends;                 /* without a title, with a last word */
    int file;                       /* into a FILE, not on a terminal    */
} views[] = {
    { "ladder", ": a line for each command (default)", view_ladder, 0, 1, 0 },
    { "full", ": every line both ways, octets, states, the disk", view_full,
      0, 0, 0 },
    { "plain", ": the same as sentences, for grep and for ears", view_plain,
      1, 1, 0 },
    { "mermaid", ": a sequence diagram, for Markdown", view_mermaid, 1, 0,
      0 },
    { "json", ": the list itself, a line each; see mail view", view_json, 1,
      0, 0 },
    { "octets", ": each packet of the capture, in hex and text",
      view_octets, 1, 0, 0 },
    { "pcapng", "FILE: a capture, for Wireshark", view_pcapng, 1, 0, 1 },
    { "html", "FILE: a page to walk through, for a browser", view_html, 1, 0,
      1 }
};

enum { VIEWS = sizeof views / sizeof views[0] };

/* ======================================================================
   [DEMO] one message, four programs, one process                    ch.0
   Alice's client MTA, two mail servers, Bob's client MAA, in a world
   without a network. Two recipients: Bob at the other server, and Carol at
   Alice's own, who shows that not every mail is sent on.
   ====================================================================== */

enum { ALICE, MAIL_A, MAIL_B, BOB, PARTS, EVE = PARTS };

static const trace_part parts[] = {
    { "Alice",   "192.0.2.1"     },
    { "mail.a",  "192.0.2.25"    },
    { "mail.b",  "198.51.100.25" },
    { "Bob",     "198.51.100.1"  },
    { "Eve",     "192.0.2.66"    }
};

static const char demo_text[] =
    "From: Alice <alice@a.example>\r\n"
    "To: Bob <bob@b.example>, Carol <carol@a.example>\r\n"
    "Subject: hello\r\n"
    "Date: Thu, 01 Jan 2026 09:00:00 +0900\r\n"
    "Message-ID: <1@a.example>\r\n"
    "\r\n"
    "Hi Bob,\r\n"
    ".plan is at 3.\r\n";

typedef struct demo {
    world w;
    world_host *a, *b;                   /* NULL: not in this play        */
    const scenario *play;
    trace t;
    sender alice;
    send_rcpt rcpts[2];
    mail_str letter; size_t text_at;
    int keep;
    char uids[8][72]; size_t nuids;      /* what Bob has seen (keep mode) */
    char uid_now[8][72];
    char mail[16384]; size_t mail_n;     /* what Bob has                  */
    size_t got; int runs;
    size_t mails;                        /* how many that were            */
    /* of the other plays: see SCENARIO */
    int esmtp, mute, lenient, bent;
    unsigned long crash;                 /* the step at which power goes  */
    int sends;                           /* how often Alice has sent it   */
    struct grey {
        agent a;
        mail_smtpd s;
        struct demo *d;
        unsigned conn;
    } grey;
} demo;

static void demo_note(demo *d, const char *host, unsigned conn, char role,
                      mail_note kind, mail_str text, const char *state) {
    trace_note n;
    memset(&n, 0, sizeof n);
    n.ms = d->w.ms;
    n.host = trace_part_of(&d->t, host, "");
    n.conn = conn;
    n.role = role;
    n.kind = kind;
    mail_copy(n.state, sizeof n.state, mail_s(state));
    trace_add(&d->t, &n, text);
}

static mail_str demo_text_out(demo *d, const world_host *h, mail_str text,
                              char *room, size_t cap);

/* Of a connection each end once is enough, but of a call that nobody answers
   there is only one. A host without power says nothing. */
static void demo_watch(void *ctx, unsigned conn, char role, mail_note kind,
                       mail_str text, const char *state) {
    static char room[4096];
    world_host *h = ((mail_sys *)ctx)->ctx;
    demo *d = (demo *)((char *)h->w - offsetof(demo, w));
    if (role == 'c' && (d->b == NULL || d->b->server)) return;
    if (h->disk.dead || (d->mute && h == d->a && (role == 's' ||
        (kind == MAIL_NOTE_FATE && strstr(text.p, " is accepted ")))))
        return;
    if (d->lenient && kind == MAIL_NOTE_TEXT)
        text = demo_text_out(d, h, text, room, sizeof room);
    demo_note(d, h->name, conn, role, kind, text, state);
}

static int64_t demo_read(void *ctx, void *p, size_t n) {
    demo *d = ctx;
    size_t left = d->letter.n - d->text_at;
    if (n > left) n = left;
    memcpy(p, d->letter.p + d->text_at, n);
    d->text_at += n;
    return (int64_t)n;
}

static mail_err demo_have(void *ctx, int64_t number, mail_str uid) {
    demo *d = ctx;
    size_t i;
    if (number <= 8) mail_copy(d->uid_now[number - 1], 72, uid);
    for (i = 0; i < d->nuids; i++)
        if (mail_eq(mail_s(d->uids[i]), uid)) return MAIL_ERR_OK;
    return MAIL_ERR_NOTFOUND;
}

static mail_err demo_text_in(void *ctx, mail_str text) {
    demo *d = ctx;
    if (text.n > sizeof d->mail - d->mail_n) return MAIL_ERR_NOSPACE;
    memcpy(d->mail + d->mail_n, text.p, text.n);
    d->mail_n += text.n;
    return MAIL_ERR_OK;
}

static mail_err demo_store(void *ctx, int64_t number) {
    demo *d = ctx;
    if (d->nuids < 8 && number <= 8)
        mail_copy(d->uids[d->nuids++], 72, mail_s(d->uid_now[number - 1]));
    d->got = d->mail_n;
    d->mails++;
    return MAIL_ERR_OK;
}

static const char *const demo_domains[] = { "a.example", "b.example" };
static const mail_route demo_routes[] = { { "b.example", "mail.b:25" } };

static world_host *demo_host(demo *d, int part, size_t domain) {
    world_host *h = world_host_add(&d->w, parts[part].name,
                                   parts[part].address);
    h->opts.host = parts[part].name;
    h->opts.basic = 1;                 /* SMTP as the textbooks print it */
    h->opts.routing.domains = &demo_domains[domain];
    h->opts.routing.ndomains = 1;
    h->opts.routing.routes = demo_routes;
    h->opts.routing.nroutes = domain == 0;
    h->opts.any_auth = 1;
    h->opts.watch = demo_watch;
    h->opts.watch_ctx = &h->sys;
    return h;
}

/* Alice's own computer is listed as one that may send mail on. */
static const char demo_senders[] = "192.0.2.1 192.0.2.66 127.0.0.1";

/* Another client MTA in Alice's place (lab 6): it may put its own functions
   into her agent. */
#ifndef DEMO_CLIENT
#define DEMO_CLIENT(sender) ((void)0)
#endif

/* Sends a letter to one or two, from "alice@a.example"; helo is a host in
   that domain. The world goes on for as long as run says. */
static int demo_send(demo *d, int part, const char *to, mail_str letter,
                     void (*run)(demo *d, int64_t ms)) {
    char from[40], helo[40], who[16];
    const char *at = d->mute ? "127.0.0.1" : parts[part].address;
    mail_smtpc_opts o;
    mail_str list = mail_s(to);
    size_t i;
    for (i = 0; parts[part].name[i]; i++)
        who[i] = (char)(parts[part].name[i] | 0x20);
    who[i] = 0;
    snprintf(from, sizeof from, "%s@a.example", who);
    snprintf(helo, sizeof helo, "%s.a.example", who);
    memset(&o, 0, sizeof o);
    memset(&d->alice, 0, sizeof d->alice);
    memset(d->rcpts, 0, sizeof d->rcpts);
    o.helo = helo;
    o.basic = !d->esmtp;
    sender_init(&d->alice, o);
    mail_path_mailbox(mail_s(from), &d->alice.from);
    while (list.n && d->alice.nrcpts < 2)
        mail_path_mailbox(mail_cut(&list, ' '),
                          &d->rcpts[d->alice.nrcpts++].path);
    d->alice.rcpts = d->rcpts;
    d->alice.param.utf8 = mail_path_utf8(&d->rcpts[0].path);
    d->alice.read = demo_read;
    d->alice.ctx = d;
    d->alice.size = -1;
    d->letter = letter;
    d->text_at = 0;
    d->sends++;
    DEMO_CLIENT(&d->alice);
    world_call(&d->w, &d->alice.a, "mail.a:25", at);
    run(d, 1000);
    return d->alice.code;
}

static void demo_pass(demo *d, int64_t ms) {
    world_run(&d->w, d->w.ms + ms);
}

static void demo_alice(demo *d) {
    demo_send(d, ALICE, "bob@b.example carol@a.example",
              mail_sn(demo_text, sizeof demo_text - 1), demo_pass);
}

static void demo_fetcher(demo *d, fetcher *bob, const char *user, int keep) {
    mail_fetcher_opts o;
    memset(bob, 0, sizeof *bob);
    memset(&o, 0, sizeof o);
    o.pop3.user = user;
    o.pop3.password = "secret";
    o.pop3.basic = !d->esmtp;
    o.pop3.plaintext_ok = 1;
    o.keep = keep;
    fetcher_init(bob, o);
    bob->have = demo_have;
    bob->text = demo_text_in;
    bob->store = demo_store;
    bob->ctx = d;
    d->runs++;
}

/* Bob looks once, or twice in keep mode. */
static void demo_bob(demo *d) {
    fetcher bob;
    int k;
    for (k = 0; k <= d->keep; k++) {
        demo_fetcher(d, &bob, "bob", d->keep);
        world_call(&d->w, &bob.a, "mail.b:110", parts[BOB].address);
        demo_pass(d, 1000);
    }
}

static const int demo_parts[] = { 'A', 'a', 'b', 'B', 'E' };

/* Who is in the cast: Alice, mail.a, mail.b, Bob, Eve; in its order. */
static void demo_cast(demo *d, const char *cast) {
    int i;
    for (; *cast; cast++)
        for (i = 0; i <= EVE; i++)
            if (demo_parts[i] == *cast) d->t.parts[d->t.nparts++] = parts[i];
}

static void demo_begin(demo *d, const scenario *play, uint64_t seed,
                       size_t chunk, int keep) {
    memset(d, 0, sizeof *d);
    world_init(&d->w, seed);
    d->w.watch_ctx = d;
    d->w.chunk = chunk;
    d->keep = keep;
    d->play = play;
    d->t.seed = seed;
    d->t.epoch = d->w.epoch;
    if (play->title[0][0]) mail_copy(d->t.scenario, sizeof d->t.scenario,
                                     mail_s(play->name));
    demo_cast(d, play->cast);
    if (strchr(play->cast, 'a')) d->a = demo_host(d, MAIL_A, 0);
    if (strchr(play->cast, 'b')) d->b = demo_host(d, MAIL_B, 1);
    if (d->a) d->a->opts.relay_from = demo_senders;
    if (d->a) vdisk_put(&d->a->disk, "users", mail_s("alice:{PLAIN}secret\n"
                                                     "carol:{PLAIN}secret\n"));
    if (d->b) vdisk_put(&d->b->disk, "users", mail_s("bob:{PLAIN}secret\n"));
}

/* The usual play: both users are remote. */
static void scene_4(demo *d) {
    world_boot(d->a);
    world_boot(d->b);
    demo_alice(d);
    demo_bob(d);
}

static void demo_run(demo *d, uint64_t seed, size_t chunk, int keep) {
    demo_begin(d, scenario_find("4"), seed, chunk, keep);
    scene_4(d);
}

static void demo_free(demo *d) {
    world_free(&d->w);
    trace_free(&d->t);
}

/* What came of it. */
static void demo_says(mail_buf *b, const demo *d, int lang) {
    char wrote[24], got[24];
    snprintf(wrote, sizeof wrote, "%lu", (unsigned long)sizeof demo_text - 1);
    snprintf(got, sizeof got, "%lu", (unsigned long)d->got);
    if (d->got == 0) {
        mail_buf_fmt(b, "%s", word(lang, W_DEMO_NONE));
        return;
    }
    mail_buf_fmt(b, word(lang, W_DEMO_GOT), wrote, got);
    mail_buf_fmt(b, "%s", word(lang, d->keep ? W_DEMO_KEPT : W_DEMO_DONE));
}

/* ======================================================================
   [SCENARIO] what may befall a message                       ch.1 to ch.12
   More plays in the demo's world, each for one idea (the list: SCENARIOS).
   The servers are the real ones; what goes wrong goes wrong around them.
   ====================================================================== */

static const char scene_letter[] =
    "From: Alice <alice@a.example>\r\n"
    "To: Bob <bob@b.example>\r\n"
    "Subject: hello\r\n"
    "Date: Thu, 01 Jan 2026 09:00:00 +0900\r\n"
    "Message-ID: <1@a.example>\r\n"
    "\r\n"
    "Hi Bob,\r\n"
    ".plan is at 3.\r\n";

static mail_str scene_text(void) {
    return mail_sn(scene_letter, sizeof scene_letter - 1);
}

/* Something befalls a host: see befalls. */
static void scene_event(demo *d, const char *host, const char *text) {
    demo_note(d, host, 0, 'w', MAIL_NOTE_FATE, mail_s(text), "");
}

static void scene_boot(demo *d) {
    if (d->a) world_boot(d->a);
    if (d->b) world_boot(d->b);
}

/* --- who sits at his server needs no protocol ---------------------------- */

/* A step on a disk that no server takes, but a user agent. */
static void scene_disk(demo *d, world_host *h, const char *does,
                      const char *name) {
    char text[2 * MAIL_NAME_SIZE];
    snprintf(text, sizeof text, "%s %s", does, name);
    demo_note(d, h->name, 0, '-', MAIL_NOTE_DISK, mail_s(text), "");
}

static void scene_flush(demo *d, world_host *h, int file, const char *name) {
    flush_ask a;
    memset(&a, 0, sizeof a);
    a.file = file;
    vdisk_flush_now(&h->disk, &a);
    scene_disk(d, h, "flush", name);
}

/* Puts a mail into bob's mailbox as a Maildir wants it: a file in tmp, with
   LF line ends; flushed; and only then a name in new. */
static void scene_box(demo *d, world_host *h, mail_str mail) {
    static const char tmp[] = "mail/bob/tmp/1";
    char lf[1024], to[MAIL_NAME_SIZE], names[2 * MAIL_NAME_SIZE];
    mail_to_lf t;
    size_t n;
    mail_buf b = mail_buf_on(to, sizeof to - 1);
    int file = vdisk_open(h, tmp, MAIL_OPEN_NEW);
    memset(&t, 0, sizeof t);
    n = mail_to_lf_feed(&t, mail.p, mail.n, lf);
    n += mail_to_lf_end(&t, lf + n);
    vdisk_write(h, file, 0, lf, n);
    scene_disk(d, h, "write", tmp);
    scene_flush(d, h, file, tmp);
    vdisk_close(h, file);
    mail_buf_add(&b, mail_s("mail/bob/new/"));
    mail_box_name(&b, d->w.epoch + d->w.ms / 1000, "1", h->name, (int64_t)n,
                  (int64_t)mail.n);
    to[b.n] = 0;
    vdisk_rename(h, tmp, to, 0);
    snprintf(names, sizeof names, "%s %s", tmp, to);
    scene_disk(d, h, "rename", names);
    scene_flush(d, h, -1, "everything");
}

typedef struct scene_names {
    char name[8][MAIL_NAME_SIZE];
    size_t n;
} scene_names;

static void scene_name(void *arg, const char *name) {
    scene_names *p = arg;
    if (p->n < 8) mail_copy(p->name[p->n++], MAIL_NAME_SIZE, mail_s(name));
}

/* Bob opens his mailbox where it is: what is new is read, and becomes cur. */
static void scene_read(demo *d, world_host *h) {
    char from[MAIL_NAME_SIZE], to[MAIL_NAME_SIZE], both[2 * MAIL_NAME_SIZE];
    scene_names list;
    size_t i;
    list.n = 0;
    scene_event(d, h->name, "at Bob");
    scene_event(d, h->name, "ua-read bob");
    vdisk_list(h, "mail/bob/new", scene_name, &list);
    for (i = 0; i < list.n; i++) {
        int file, k;
        k = snprintf(from, sizeof from, "mail/bob/new/%s", list.name[i]);
        if (k < 0 || k + 4 >= (int)sizeof from) continue;
        file = vdisk_open(h, from, MAIL_OPEN_READ);
        d->mail_n += (size_t)vdisk_read(h, file, 0, d->mail + d->mail_n,
                                        sizeof d->mail - d->mail_n);
        vdisk_close(h, file);
        snprintf(to, sizeof to, "mail/bob/cur/%.230s:2,S", list.name[i]);
        vdisk_rename(h, from, to, 0);
        snprintf(both, sizeof both, "%s %s", from, to);
        scene_disk(d, h, "rename", both);
        d->mails++;
    }
    d->got = d->mail_n;
}

static void scene_1(demo *d) {
    scene_event(d, "mail.a", "at Alice");
    scene_event(d, "mail.a", "ua-box bob");
    scene_box(d, d->a, scene_text());
    scene_read(d, d->a);
}

/* At mail.a Alice's user agent runs a program that hands the mail to the
   server (as sendmail does), through a pipe: no wire, so nothing is shown. */
static void scene_2(demo *d) {
    scene_boot(d);
    scene_event(d, "mail.a", "at Alice");
    scene_event(d, "mail.a", "ua-queue");
    d->mute = 1;
    demo_send(d, ALICE, "bob@b.example", scene_text(), demo_pass);
    demo_pass(d, 2000);
    scene_read(d, d->b);
}

static void scene_3(demo *d) {
    scene_boot(d);
    demo_send(d, ALICE, "bob@b.example", scene_text(), demo_pass);
    demo_pass(d, 2000);
    scene_read(d, d->b);
}

/* --- not now, not at all ------------------------------------------------- */

/* A server MTA that knows nobody yet: a session as any other, whose owner
   says 451 to every recipient. Who comes again gets the real server. */
static void grey_move(struct grey *g) {
    mail_event ev;
    while (mail_smtpd_next(&g->s, &ev)) {
        if (ev.kind == MAIL_EV_MAIL) mail_smtpd_reply(&g->s, 250, NULL);
        if (ev.kind == MAIL_EV_RCPT)
            mail_smtpd_reply(&g->s, 451, "4.7.1 I do not know you yet: come "
                             "again in five minutes");
        if (ev.kind == MAIL_EV_CLOSED) g->a.over = 1;
    }
}

static size_t grey_feed(agent *a, const char *in, size_t n) {
    struct grey *g = (struct grey *)a;
    size_t k = mail_smtpd_feed(&g->s, in, n);
    grey_move(g);
    return k;
}

static mail_str grey_out(agent *a) {
    return mail_smtpd_out(&((struct grey *)a)->s);
}

static void grey_sent(agent *a, size_t n) {
    mail_smtpd_sent(&((struct grey *)a)->s, n);
    grey_move((struct grey *)a);
}

static int64_t grey_tick(agent *a, int64_t now) {
    return mail_smtpd_tick(&((struct grey *)a)->s, now);
}

static void grey_eof(agent *a) {
    struct grey *g = (struct grey *)a;
    demo_note(g->d, "mail.b", g->conn, 's', MAIL_NOTE_CLOSE,
              mail_s(parts[MAIL_A].address), "");
    a->over = 1;
}

static void grey_watch(void *ctx, mail_note kind, mail_str text,
                       const char *state) {
    struct grey *g = ctx;
    demo_note(g->d, "mail.b", g->conn, 's', kind, text, state);
}

static agent *grey_serve(void *ctx, vwire *x) {
    demo *d = ctx;
    struct grey *g = &d->grey;
    mail_smtpd_opts o;
    (void)x;
    if (g->d) return NULL;                         /* he has been here */
    memset(&o, 0, sizeof o);
    g->d = d;
    g->conn = 1000;
    g->a.feed = grey_feed;
    g->a.out = grey_out;
    g->a.sent = grey_sent;
    g->a.tick = grey_tick;
    g->a.eof = grey_eof;
    o.host = "mail.b";
    o.basic = 1;
    o.watch = grey_watch;
    o.watch_ctx = g;
    demo_note(d, "mail.b", g->conn, 's', MAIL_NOTE_OPEN,
              mail_s(parts[MAIL_A].address), "");
    mail_smtpd_init(&g->s, o);
    return &g->a;
}

static void scene_greylist(demo *d) {
    scene_boot(d);
    d->w.serve = grey_serve;
    demo_send(d, ALICE, "bob@b.example", scene_text(), demo_pass);
    demo_pass(d, 600 * 1000);
    demo_bob(d);
}

static void scene_down(demo *d) {
    scene_boot(d);
    world_stop(d->b);
    scene_event(d, "mail.b", "down");
    demo_send(d, ALICE, "bob@b.example", scene_text(), demo_pass);
    demo_pass(d, 2 * 86400 * 1000 - d->w.ms);
    world_boot(d->b);
    scene_event(d, "mail.b", "up");
    demo_pass(d, 5 * 3600 * 1000);
    demo_bob(d);
}

static const char bounce_letter[] =
    "From: Alice <alice@a.example>\r\n"
    "To: Bob <bobby@b.example>\r\n"
    "Subject: hello\r\n"
    "Date: Thu, 01 Jan 2026 09:00:00 +0900\r\n"
    "Message-ID: <1@a.example>\r\n"
    "\r\n"
    "Hi Bob, is this your address?\r\n";

static void scene_bounce(demo *d) {
    fetcher alice;
    scene_boot(d);
    demo_send(d, ALICE, "bobby@b.example",
              mail_sn(bounce_letter, sizeof bounce_letter - 1), demo_pass);
    demo_pass(d, 2000);
    demo_fetcher(d, &alice, "alice", d->keep);
    world_call(&d->w, &alice.a, "mail.a:110", parts[ALICE].address);
    demo_pass(d, 1000);
}

static void scene_refused(demo *d) {
    scene_boot(d);
    demo_send(d, ALICE, "bob@b.example dave@a.example", scene_text(),
              demo_pass);
    demo_pass(d, 2000);
    demo_bob(d);
}

/* --- the power goes ------------------------------------------------------ */

/* The message itself is in that file, as far as it has been flushed? */
static int scene_holds(const vnode *node) {
    static const char id[] = "Message-ID: <1@a.example>";
    size_t i, n = sizeof id - 1;
    for (i = 0; i + n <= node->n; i++)
        if (memcmp(node->data + i, id, n) == 0) return 1;
    return 0;
}

static void scene_power_off(demo *d) {
    char text[MAIL_NAME_SIZE + 16];
    vdisk *v = &d->a->disk;
    size_t i;
    world_crash(d->a);
    snprintf(text, sizeof text, "power-off %lu", d->crash);
    scene_event(d, "mail.a", text);
    for (i = 0; i < v->n; i++) {
        const vname *e = &v->names[i];
        if (e->node == NULL || strncmp(e->path, "queue/", 6) != 0) continue;
        snprintf(text, sizeof text, "%s %s", scene_holds(e->node) ? "left-mail"
                 : "left", e->path);
        scene_event(d, "mail.a", text);
    }
}

/* As world_run, until the power of mail.a goes. */
static void scene_run(demo *d, int64_t ms) {
    int64_t until = d->w.ms + ms, next;
    while (d->a->server) {
        while (!d->a->disk.dead && world_turn(&d->w)) {}
        next = d->a->disk.dead ? 0 : world_next(&d->w);
        if (d->a->disk.dead) scene_power_off(d);
        if (next > until) break;
        if (next > d->w.ms) d->w.ms = next;
    }
    world_run(&d->w, until);
}

/* Alice's client MTA is as stubborn as any: without a 250 it sends again. */
static void scene_crash(demo *d) {
    int code;
    scene_boot(d);
    world_settle(&d->w);
    d->a->disk.cut_at = d->a->disk.steps + d->crash;
    code = demo_send(d, ALICE, "bob@b.example", scene_text(), scene_run);
    scene_run(d, 9000);
    if (d->a->server == NULL) {
        demo_pass(d, 600 * 1000);
        world_boot(d->a);
        scene_event(d, "mail.a", "power-on");
        demo_pass(d, 1000);
    }
    if (code != 250)
        demo_send(d, ALICE, "bob@b.example", scene_text(), demo_pass);
    demo_pass(d, 9000);
    demo_bob(d);
}

/* mail.b has said 250, and mail.a has not flushed that: --crash's default. */
enum { SCENE_CRASH = 4 };

static view_word crash_says(const demo *d) {
    if (d->a->disk.cut_at) return W_CRASH_NONE;
    if (d->mails == 1)
        return d->sends > 1 ? W_CRASH_AGAIN : W_CRASH_KEPT;
    return W_CRASH_TWICE;
}

/* --- a bare LF --------------------------------------------------------------
   The lenient programs are the real servers with bad eyes: what comes to them
   and what leaves them goes through these. mail.a takes a bare LF for an
   octet of text like any other, and passes it on: inside it is SUB, so that
   our own code cannot see a line end. To mail.b a bare LF is CR LF. */

enum { SCENE_SUB = 0x1a };

static const char smuggle_letter[] =
    "From: Eve <eve@a.example>\r\n"
    "To: Bob <bob@b.example>\r\n"
    "Subject: hello\r\n"
    "Date: Thu, 01 Jan 2026 09:00:00 +0900\r\n"
    "Message-ID: <1@a.example>\r\n"
    "\r\n"
    "Hi Bob\x1a.\r\n"
    "MAIL FROM:<boss@a.example>\r\n"
    "RCPT TO:<bob@b.example>\r\n"
    "DATA\r\n"
    "From: The boss <boss@a.example>\r\n"
    "To: Bob <bob@b.example>\r\n"
    "Subject: Eve's salary\r\n"
    "Date: Thu, 01 Jan 2026 09:00:00 +0900\r\n"
    "Message-ID: <2@a.example>\r\n"
    "\r\n"
    "Pay Eve twice as much.\r\n";

static size_t lenient_take(void *ctx, vwire *x, int end, char *p, size_t n) {
    demo *d = ctx;
    vpipe *in = &x->to[end];
    int far = x->host[end] == d->b, bare = 0;
    size_t k = 0;
    while (k < n && !bare) {
        char c = in->p[in->at + k];
        bare = d->lenient && c == '\n' && !x->cr[end];
        x->cr[end] = c == '\r';
        if (!bare) p[k++] = c;
    }
    if (bare && k) x->cr[end] = 0;                 /* it has its own turn */
    if (bare && !k) {
        vpipe_drop(in, 1);
        memcpy(p, far ? "\r\n" : "\x1a", far ? 2 : 1);
        d->bent = far;
        return far ? 2 : 1;
    }
    vpipe_drop(in, k);
    return k;
}

/* Eve's own program, too, can send what no honest one would. */
static void lenient_give(void *ctx, vwire *x, int end, char *p, size_t n) {
    demo *d = ctx;
    size_t i;
    if (!(x->agent && x->agent_end == end) && !d->lenient) return;
    for (i = 0; i < n; i++)
        if (p[i] == SCENE_SUB) p[i] = '\n';
}

/* A text as it was on the wire. */
static mail_str demo_text_out(demo *d, const world_host *h, mail_str text,
                              char *room, size_t cap) {
    size_t i;
    if (h == d->b && d->bent && mail_eq(text, mail_s("\r\n"))) {
        d->bent = 0;
        return mail_s("\n");
    }
    if (text.n > cap) return text;
    for (i = 0; i < text.n; i++)
        room[i] = text.p[i] == SCENE_SUB ? '\n' : text.p[i];
    return mail_sn(room, text.n);
}

/* A race, as in the field: mail.b has to have read on when mail.a, which has
   had its 250, hangs up. So what is sent at once comes at once. */
static void scene_smuggle(demo *d) {
    scene_boot(d);
    d->w.chunk = 0;
    d->w.take = lenient_take;
    d->w.give = lenient_give;
    for (d->lenient = 1; d->lenient >= 0; d->lenient--) {
        scene_event(d, "mail.a", d->lenient ? "lenient" : "strict");
        demo_send(d, EVE, "bob@b.example",
                  mail_sn(smuggle_letter, sizeof smuggle_letter - 1),
                  demo_pass);
        demo_pass(d, 2000);
        demo_bob(d);
    }
    d->lenient = 0;
}

/* --- the wire is cut ----------------------------------------------------- */

/* Bob fetches; before his QUIT is on the wire, there is none. */
static void scene_bob_cut(demo *d, int keep) {
    fetcher bob;
    vwire *x;
    demo_fetcher(d, &bob, "bob", keep);
    x = world_call(&d->w, &bob.a, "mail.b:110", parts[BOB].address);
    while (x && bob.f.pop3.state != MAIL_POP3C_QUIT && world_turn(&d->w)) {}
    if (x) vwire_break(x);
    scene_event(d, "Bob", "cut");
    demo_pass(d, 60 * 1000);
}

static void scene_bob_again(demo *d, int keep) {
    fetcher bob;
    demo_fetcher(d, &bob, "bob", keep);
    world_call(&d->w, &bob.a, "mail.b:110", parts[BOB].address);
    demo_pass(d, 1000);
}

static void scene_cut(demo *d) {
    int keep;
    scene_boot(d);
    for (keep = 0; keep < 2; keep++) {
        scene_event(d, "mail.b", keep ? "keep" : "delete");
        scene_event(d, "mail.b", "comes bob");
        scene_box(d, d->b, scene_text());
        scene_bob_cut(d, keep);
        scene_bob_again(d, keep);
    }
}

/* --- Korean -------------------------------------------------------------- */

/* A letter as `mail send` composes it. */
static int64_t scene_korean_send(demo *d, const char *to, const char *rcpt) {
    static mail_letter l;
    static char room[4096], text[4096];
    mail_compose m;
    int64_t n;
    memset(&m, 0, sizeof m);
    m.from = "앨리스 <alice@a.example>";
    m.to = to;
    m.subject = "안녕, 밥";
    m.message_id = d->sends ? "<2@a.example>" : "<1@a.example>";
    m.time = d->w.epoch;
    m.zone = 540;
    m.text.text = mail_s("밥에게,\n세 시에 만나자.\n");
    if (mail_letter_init(&l, &m, mail_buf_on(room, sizeof room))) return -1;
    n = mail_letter_read(&l, text, sizeof text);
    if (n <= 0) return -1;
    return demo_send(d, ALICE, rcpt, mail_sn(text, (size_t)n), demo_pass);
}

static void scene_korean(demo *d) {
    d->a->opts.basic = d->b->opts.basic = 0;
    d->esmtp = 1;
    vdisk_put(&d->b->disk, "aliases", mail_s("밥: bob\n"));
    scene_boot(d);
    scene_event(d, "mail.a", "letter");
    scene_korean_send(d, "밥 <bob@b.example>", "bob@b.example");
    scene_event(d, "mail.a", "address");
    scene_korean_send(d, "밥 <밥@b.example>", "밥@b.example");
    demo_pass(d, 2000);
    demo_bob(d);
}

/* --- all of them --------------------------------------------------------- */

/* A play by its name. */
static void scenario_run(demo *d, const scenario *play, uint64_t seed,
                         size_t chunk, int keep, unsigned long crash) {
    static void (*const plays[])(demo *d) = {
#define SCENARIO_X(name, ch, cast, keeps, en, ko, says_en, says_ko) \
        scene_##name,
        SCENARIOS(SCENARIO_X)
#undef SCENARIO_X
    };
    demo_begin(d, play, seed, chunk, keep);
    d->crash = crash;
    plays[play - scenarios](d);
}

/* How often has mail.a called? */
static unsigned long scene_tries(const demo *d) {
    unsigned long n = 0;
    size_t i;
    for (i = 0; i < d->t.n; i++) {
        const trace_note *e = &d->t.p[i];
        const char *host = d->t.parts[e->host].name;
        n += e->kind == MAIL_NOTE_OPEN && (e->role == 'c' ||
             (e->role == 's' && strcmp(host, "mail.b") == 0));
    }
    return n;
}

/* What is said of a play: %t stands for mail.a's tries, %n for the step. */
static void scene_says(mail_buf *b, const demo *d, const char *s) {
    for (; *s; s++) {
        if (*s == '%' && s[1] == 't') mail_buf_fmt(b, "%lu", scene_tries(d));
        else if (*s == '%' && s[1] == 'n') mail_buf_fmt(b, "%lu", d->crash);
        else {
            mail_buf_add(b, mail_sn(s, 1));
            continue;
        }
        s++;
    }
}

/* The subject that Bob reads. */
static void scene_subject(mail_buf *b, const demo *d, int lang) {
    mail_str value;
    char text[200];
    mail_buf t = mail_buf_on(text, sizeof text - 1);
    if (!mail_field_find(mail_sn(d->mail, d->got), "Subject", &value)) return;
    mail_text_decode(&t, value, NULL, NULL);
    text[t.n] = 0;
    mail_buf_fmt(b, word(lang, W_BOB_READS), text);
}

/* What came of it, into the trace. */
static void scenario_says(demo *d, int lang) {
    mail_buf b = mail_buf_on(d->t.says, sizeof d->t.says - 1);
    const char *says = d->play->says[lang];
    if (strcmp(d->play->name, "crash") == 0) says = word(lang, crash_says(d));
    if (strcmp(d->play->name, "korean") == 0) scene_subject(&b, d, lang);
    if (d->play->title[0][0]) scene_says(&b, d, says);
    else demo_says(&b, d, lang);
    d->t.says[b.n] = 0;
}

/* For --scenario help. */
static void scenario_list(FILE *f, int lang) {
    size_t i;
    char number[12];
    for (i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        const scenario *p = &scenarios[i];
        snprintf(number, sizeof number, "%d", p->chapter);
        fprintf(f, "  %-9s ", p->name);
        put_width(f, p->title[0][0] ? p->title[lang] : word(lang, W_TITLE),
                  57);
        fprintf(f, word(lang, W_SCENARIO_CHAPTER), number);
    }
}

/* ======================================================================
   [PLAY] be one of the programs                              ch.4, ch.10
   Whoever types is one end of a wire: a client before the demo's servers, or
   a server before their client MTA, or before Bob's client MAA. The other end
   is what runs everywhere else, and the program tells what moves.
   ====================================================================== */

/* What mail play says; %s is a name or a number. */
#define PLAY_WORDS(X) \
    X(TITLE, "be one of the programs; no network, no file", \
      "프로그램 하나가 되어 본다. 네트워크도 파일도 없다") \
    X(SMTP_CLIENT, "You are Alice's client MTA. mail.a, a server MTA, " \
      "answers.\n", \
      "당신은 앨리스의 클라이언트 MTA다. 서버 MTA mail.a가 응답한다.\n") \
    X(POP3_CLIENT, "You are Bob's client MAA (name bob, password secret). " \
      "mail.b, a server MAA,\nanswers.\n", \
      "당신은 밥의 클라이언트 MAA다 (이름 bob, 암호 secret). " \
      "서버 MAA mail.b가\n응답한다.\n") \
    X(SMTP_SERVER, "You are mail.b, a server MTA. mail.a has a mail for " \
      "bob@b.example and calls you.\n", \
      "당신은 서버 MTA mail.b다. mail.a가 bob@b.example로 갈 메일을 " \
      "들고 연결한다.\n") \
    X(POP3_SERVER, "You are mail.b, a server MAA. Bob's client MAA calls " \
      "you.\n", \
      "당신은 서버 MAA mail.b다. 밥의 클라이언트 MAA가 연결한다.\n") \
    X(HINT, "Type a line. ? explains, :list has experiments, :help the " \
      "words, :quit ends.\n", \
      "한 줄씩 입력한다. ? 설명, :list 실험, :help 쓸 수 있는 말, " \
      ":quit 끝.\n") \
    X(HEAD_CLIENT, "octets, and the state of the server after each reply", \
      "옥텟, 그리고 응답마다 서버의 상태") \
    X(HEAD_SERVER, "octets; below each answer, what the client does with it", \
      "옥텟, 그리고 응답마다 클라이언트가 하는 일") \
    X(NO_REPLY, "(no reply: %s waits for %s)", \
      "(응답 없음: %s, 기다리는 것은 %s)") \
    X(NOT_OPEN, "There is no wire. :smtp or :pop3 calls, :again begins " \
      "anew.\n", \
      "연결이 없다. :smtp나 :pop3로 연결하고, :again으로 새로 시작한다.\n") \
    X(GONE, "The client has gone. :next waits until it calls again, :again " \
      "begins anew.\n", \
      "클라이언트가 갔다. :next는 다시 연결할 때까지 기다리고, :again은 새로 " \
      "시작한다.\n") \
    X(HUNG_UP, "(%s has hung up)", "(%s: 연결을 끊었다)") \
    X(THROWN, "(all at once, and you hang up: nobody hears the replies)", \
      "(한꺼번에 보내고 끊는다. 응답을 들을 사람이 없다)") \
    X(YOU_HANG_UP, "(you hang up)", "(당신이 연결을 끊는다)") \
    X(OTHER, "(the other connection, to %s)", "(다른 연결, 상대는 %s)") \
    X(WIRE_CUT, "(the wire is cut: both ends see only that it is gone)", \
      "(선이 끊겼다. 양쪽 다 연결이 없어졌다는 것만 안다)") \
    X(NOBODY, "Nobody answers there.\n", \
      "거기에서는 아무도 응답하지 않는다.\n") \
    X(SECONDS, "%d seconds", "%d초") X(LATER, "%s later", "%s 뒤") \
    X(MEANWHILE, "meanwhile:\n", "그사이에:\n") \
    X(DISK, "disk of %s: queue %s", "%s의 디스크: 큐 %s") \
    X(LOSES_NOTHING, "a power cut loses nothing", \
      "전원이 끊겨도 잃을 것 없음") \
    X(LOSES_MAIL, "a power cut loses this mail", \
      "전원이 끊기면 이 메일을 잃음") \
    X(LOSES_MARKS, "a power cut loses the marks", \
      "전원이 끊기면 표시를 잃음") \
    X(LOSES_FILES, "a power cut loses some of it", \
      "전원이 끊기면 일부를 잃음") \
    X(A_MAIL, "a mail", "한 통") \
    X(DISK_HEAD, "disk of %s", "%s의 디스크") \
    X(OCTETS, "octets", "옥텟") \
    X(SURVIVES, "survives a power cut now?", "지금 전원이 끊겨도 남는가?") \
    X(YES, "yes", "예") X(NO, "no", "아니요") \
    X(POWER_GONE, "power of %s is gone, and back: it has what was flushed", \
      "%s의 전원이 나갔다가 돌아왔다. 플러시한 것만 남아 있다") \
    X(POWER_SET, "(%s loses its power at disk step %s from now)", \
      "(%s: 지금부터 디스크 단계 %s에서 전원이 나간다)") \
    X(DOWN, "is without power", "전원이 없다") \
    X(WAITED, "(that was all)", "(이것이 전부다)") \
    X(NOTHING_DUE, "(nothing will happen by itself)", \
      "(저절로 일어날 일은 없다)") \
    X(TOO_LONG, "(only the first %s octets of that line are taken)", \
      "(그 줄의 처음 %s 옥텟만 받는다)") \
    X(WHAT, "There is no word :%s; see :help.\n", \
      ":%s라는 말은 없다. :help에 목록이 있다.\n") \
    X(WHICH, "Which? See :list.\n", "몇 번? :list에 번호가 있다.\n") \
    X(NO_MAIL, "(no mail in a mailbox)\n", "(메일함에 메일이 없다)\n") \
    X(EXPERIMENT, "Experiment %s: %s\n", "실험 %s: %s\n") \
    X(WATCH, "Watch: %s\n", "볼 것: %s\n") \
    X(TYPE, "Type this, or let it be typed with :run %s:\n", \
      "아래와 같이 입력한다 (:run %s: 대신 입력해 준다):\n") \
    X(SHOWS, "So: %s\n", "그래서: %s\n") \
    X(LIST_END, ":try N tells what to type, :run N types it, in a new " \
      "world.\n", \
      ":try N은 무엇을 입력할지 알려 주고, :run N은 새 세계에서 대신 " \
      "입력한다.\n") \
    X(NO_VERB, "(no command of this protocol)", \
      "(이 프로토콜에 없는 명령이다)") \
    X(ALLOWED, "allowed in the states: %s\n", "허용되는 상태: %s\n") \
    X(NOW, "now: %s\n", "가능: %s\n") \
    X(BYE, "The end.\n", "끝.\n")

typedef enum play_text {
#define PLAY_X(name, en, ko) P_##name,
    PLAY_WORDS(PLAY_X)
#undef PLAY_X
    P_COUNT
} play_text;

static const char *play_help[2] = {
    "What you type goes to the other end, with <CR><LF> behind it. But:\n"
    "  ?             what was the last step? what is possible now?\n"
    "  ? WORD        what is that command?\n"
    "  :list :try N :run N   experiments\n"
    "  :raw TEXT     these octets and no line end; \\r \\n \\t \\\\ \\0 "
    "\\x41 in it\n"
    "  ::TEXT        a line that begins with \":\"\n"
    "  :next         do nothing until something happens by itself\n"
    "  :wait N       do nothing for N minutes (1)\n"
    "  :hangup :cut  end the connection; cut the wire\n"
    "  :throw TEXT   as :raw, and hang up at once, without listening\n"
    "  :power [N]    power cut at the other machine, now or at its disk step "
    "N\n"
    "  :smtp :pop3   be the other agent; :call HOST:PORT calls another server\n"
    "  :other        leave this connection open, and open or take another\n"
    "  :client :server   change sides\n"
    "  :disk :mail   what is on the disks; the mail in the mailboxes\n"
    "  :ladder :full :plain  all that was said, as mail demo shows it\n"
    "  :again :quit  a new world; the end\n",
    "입력한 것은 뒤에 <CR><LF>를 붙여 상대에게 보낸다. 다만:\n"
    "  ?             방금 무슨 일이 있었나? 지금 무엇을 할 수 있나?\n"
    "  ? WORD        그 명령은 무엇인가?\n"
    "  :list :try N :run N   실험\n"
    "  :raw TEXT     이 옥텟만, 줄 끝 없이. \\r \\n \\t \\\\ \\0 \\x41을 "
    "쓸 수 있다\n"
    "  ::TEXT        \":\"로 시작하는 줄\n"
    "  :next         저절로 무슨 일이 일어날 때까지 가만히 있는다\n"
    "  :wait N       N분 동안 가만히 있는다 (1)\n"
    "  :hangup :cut  연결을 끝낸다. 선을 끊는다\n"
    "  :throw TEXT   :raw처럼 보내고, 듣지 않고 바로 끊는다\n"
    "  :power [N]    상대 컴퓨터의 전원을 끊는다. 지금, 또는 N번째 디스크 "
    "단계에\n"
    "  :smtp :pop3   다른 에이전트가 된다. :call HOST:PORT 다른 서버에 연결\n"
    "  :other        이 연결은 열어 두고 다른 연결을 열거나 그리로 돌아간다\n"
    "  :client :server   편을 바꾼다\n"
    "  :disk :mail   디스크에 있는 것. 메일함의 메일\n"
    "  :ladder :full :plain  오간 것 모두, mail demo가 보여 주는 대로\n"
    "  :again :quit  새 세계. 끝\n"
};

enum { PLAY_LINE = 8192, PLAY_SAID = 16, PLAY_SHOWN = 48 };

typedef struct play_wire {          /* one that ends at the keyboard */
    vwire *x;                       /* NULL: there is none                  */
    int    end, pop3, me;           /* ours; mail access; which agent       */
    int    host; unsigned conn;     /* whose notes are about it             */
    int    owed, silent;            /* a reply; and "no reply" was said     */
    char   said[PLAY_SAID]; size_t said_n;     /* our last octets           */
} play_wire;

typedef struct play_me { agent a; struct play *p; } play_me;

typedef struct play {
    demo   d;
    play_me me[2];
    fetcher bob;
    FILE  *in, *f;
    int    lang, prompt;            /* prompt: the terminal echoes          */
    int    as_server, over;
    play_wire w, kept;              /* the one that is typed to, the other  */
    int    called, gone;            /* it is new; it has just ended         */
    int    number;                  /* of the last line of the picture      */
    int    experiment;
    int64_t ms;                     /* the time that was shown last         */
    size_t seen;                    /* notes that were shown                */
    char   disk[200];               /* as it was shown last                 */
    char   line[PLAY_LINE]; size_t line_n;
} play;

static const char *say(const play *p, play_text t) {
    static const char *const words[][2] = {
#define PLAY_X(name, en, ko) { en, ko },
        PLAY_WORDS(PLAY_X)
#undef PLAY_X
    };
    return words[t][p->lang];
}

static void say_line(const play *p, play_text t, const char *name) {
    fputs("     ", p->f);
    fprintf(p->f, say(p, t), name);
    putc('\n', p->f);
}

/* --- the world ------------------------------------------------------------ */

static void play_watch(void *ctx, unsigned conn, char role, mail_note kind,
                       mail_str text, const char *state) {
    world_host *h = ((mail_sys *)ctx)->ctx;
    play *p = (play *)((char *)h->w - offsetof(play, d.w));
    trace_note n;
    if (h->disk.dead) return;                     /* it says nothing more */
    memset(&n, 0, sizeof n);
    n.ms = p->d.w.ms;
    n.host = h == p->d.a ? MAIL_A : MAIL_B;
    n.conn = conn;
    n.role = role;
    n.kind = kind;
    mail_copy(n.state, sizeof n.state, mail_s(state));
    /* Each end once is enough: the server's, but of a server that is played
       there are no notes. */
    if (role == '-' || (role == 'c') == p->as_server)
        trace_add(&p->d.t, &n, text);
}

/* Of Bob's client MAA, which no mail server looks after. */
static void play_watch_bob(void *ctx, mail_note kind, mail_str text,
                           const char *state) {
    play *p = ctx;
    trace_note n;
    memset(&n, 0, sizeof n);
    n.ms = p->d.w.ms;
    n.host = MAIL_B;
    n.conn = p->w.conn;
    n.role = 'p';
    n.kind = kind;
    mail_copy(n.state, sizeof n.state, mail_s(state));
    trace_add(&p->d.t, &n, text);
}

static size_t me_feed(agent *a, const char *in, size_t n) {
    (void)a;
    (void)in;
    return n;                       /* the notes tell what it was */
}

static mail_str me_out(agent *a) {
    (void)a;
    return mail_sn("", 0);          /* see play_put */
}

static void me_sent(agent *a, size_t n) {
    (void)a;
    (void)n;
}

static int64_t me_tick(agent *a, int64_t now) {
    (void)a;
    (void)now;
    return INT64_MAX;
}

/* The other end has hung up, and takes nothing more. */
static void me_eof(agent *a) {
    play *p = ((play_me *)a)->p;
    a->over = 1;
    if (a == &p->me[p->w.me].a) {
        p->gone = 1;
        p->w.x = NULL;
    } else p->kept.x = NULL;
}

/* The wire is there: these are its notes. */
static void play_open(play *p, vwire *x, int end, int host, unsigned conn) {
    p->w.x = x;
    p->w.end = end;
    p->w.host = host;
    p->w.conn = conn;
    p->called = 1;
    p->w.owed = p->w.silent = 0;
    p->w.said_n = 0;
}

/* mail.a calls mail.b, which is played. */
static agent *play_serve(void *ctx, vwire *x) {
    play *p = ctx;
    if (!p->as_server || p->w.x) return NULL;
    p->me[p->w.me].a.over = 0;
    play_open(p, x, 1, MAIL_A, x->conn[0]->number);
    return &p->me[p->w.me].a;
}

static const char welcome[] =
    "From: Carol <carol@a.example>\nTo: Bob <bob@b.example>\n"
    "Subject: welcome\nDate: Thu, 01 Jan 2026 08:00:00 +0900\n"
    "Message-ID: <0@a.example>\n\nHello Bob!\n";

static world_host *play_host(play *p, int part, size_t domain,
                             const char *users) {
    world_host *h = demo_host(&p->d, part, domain);
    h->opts.basic = 0;
    h->opts.watch = play_watch;
    vdisk_put(&h->disk, "users", mail_s(users));
    return h;
}

static void play_world(play *p) {
    demo *d = &p->d;
    int i;
    world_init(&d->w, 1);
    d->w.serve = play_serve;
    d->w.watch_ctx = p;
    d->t.seed = 1;
    d->t.epoch = d->w.epoch;
    memcpy(d->t.parts, parts, sizeof parts);
    d->t.nparts = PARTS;
    d->a = play_host(p, MAIL_A, 0, "alice:{PLAIN}secret\n"
                                   "carol:{PLAIN}secret\n");
    d->b = play_host(p, MAIL_B, 1, "bob:{PLAIN}secret\n");
    d->a->opts.relay_from = parts[ALICE].address;
    vdisk_put(&d->b->disk, "mail/bob/new/1767222000.1.mail.b",
              mail_s(welcome));
    world_boot(d->a);
    if (!p->as_server) world_boot(d->b);
    for (i = 0; i < 2; i++) {
        agent *a = &p->me[i].a;
        p->me[i].p = p;
        a->feed = me_feed;
        a->out = me_out;
        a->sent = me_sent;
        a->tick = me_tick;
        a->eof = me_eof;
    }
}

/* The machine at the other end, or where the client is one of ours. */
static world_host *play_other(play *p) {
    if (p->as_server) return p->w.pop3 ? NULL : p->d.a;
    return p->w.pop3 ? p->d.b : p->d.a;
}

/* --- calls ---------------------------------------------------------------- */

static void play_moved(play *p, mail_str mine);

static void play_hang_up(play *p) {
    vwire *x = p->w.x;
    p->w.x = NULL;
    if (x == NULL) return;
    if (x->agent == &p->me[p->w.me].a) x->agent = NULL;
    vwire_end(&p->d.w, (int)(x - p->d.w.wires) * 2 + p->w.end);
}

static void play_call(play *p, const char *host_port) {
    int port, part = p->w.pop3 ? BOB : ALICE;
    world_host *h = world_find(&p->d.w, host_port, &port);
    vwire *x;
    p->me[p->w.me].a.over = 0;
    x = world_call(&p->d.w, &p->me[p->w.me].a, host_port,
                   parts[part].address);
    if (x == NULL || h == NULL) {
        fputs(say(p, P_NOBODY), p->f);
        return;
    }
    p->w.pop3 = world_port(port) == MAIL_PORT_POP3;
    play_open(p, x, 0, h == p->d.a ? MAIL_A : MAIL_B, x->conn[1]->number);
    play_moved(p, mail_sn("", 0));
}

/* Bob's client MAA on a wire whose other end is typed. */
static void play_bob(play *p) {
    mail_fetcher_opts o;
    vwire *x = world_wire(&p->d.w);
    memset(&p->bob, 0, sizeof p->bob);
    memset(&o, 0, sizeof o);
    o.pop3.user = "bob";
    o.pop3.password = "secret";
    o.pop3.basic = o.pop3.plaintext_ok = 1;
    o.pop3.watch = play_watch_bob;
    o.pop3.watch_ctx = p;
    fetcher_init(&p->bob, o);
    p->bob.have = demo_have;
    p->bob.text = demo_text_in;
    p->bob.store = demo_store;
    p->bob.ctx = &p->d;
    p->d.mail_n = 0;
    if (x == NULL) return;
    x->agent = &p->bob.a;
    x->port = 110;
    play_open(p, x, 1, MAIL_B, p->w.conn + 1);
    play_watch_bob(p, MAIL_NOTE_OPEN, mail_s(parts[BOB].address), "");
    play_moved(p, mail_sn("", 0));
}

/* --- what is on the disks ------------------------------------------------- */

/* Would it be there after a power cut? */
static int vname_survives(const vname *e) {
    return e->node == e->safe && e->node->lo >= e->node->hi &&
           e->node->nsafe >= e->node->n;
}

/* The next file of the mail system, from place *i on; NULL: no more. */
static const vname *disk_next(const vdisk *d, size_t *i) {
    while (*i < d->n) {
        const vname *e = &d->names[(*i)++];
        if (e->node && (strncmp(e->path, "queue/", 6) == 0 ||
                        strncmp(e->path, "mail/", 5) == 0)) return e;
    }
    return NULL;
}

/* The files of a mailbox; tmp: those that are being written. */
static int disk_count(const vdisk *d, const char *user, int tmp) {
    char dir[80];
    size_t i = 0, n;
    int k = 0;
    const vname *e;
    snprintf(dir, sizeof dir, "mail/%s/", user);
    n = strlen(dir);
    while ((e = disk_next(d, &i)) != NULL)
        if (strncmp(e->path, dir, n) == 0)
            k += (strncmp(e->path + n, "tmp/", 4) == 0) == tmp;
    return k;
}

/* What of the session at the other end would a power cut take? */
static play_text play_loses(const play *p, world_host *h) {
    const mail_conn *c = p->w.x && !p->as_server ? p->w.x->conn[1] : NULL;
    size_t i = 0;
    const vname *e;
    while ((e = disk_next(&h->disk, &i)) != NULL)
        if (!vname_survives(e)) return P_LOSES_FILES;
    if (c == NULL || p->w.x->host[1] != h) return P_LOSES_NOTHING;
    for (i = 0; c->role == 'p' && i < c->u.pop3d.count; i++)
        if (c->u.pop3d.drops[i].deleted) return P_LOSES_MARKS;
    if (c->role != 's') return P_LOSES_NOTHING;
    return c->u.smtpd.state >= MAIL_SMTPD_MAIL &&
           c->u.smtpd.state <= MAIL_SMTPD_DATA ? P_LOSES_MAIL
                                               : P_LOSES_NOTHING;
}

/* The disk in a line, if it is another line than before. */
static void play_disk(play *p, world_host *h) {
    static const char *const users[] = { "alice", "carol", "bob" };
    char text[sizeof p->disk], number[24];
    mail_buf b = mail_buf_on(text, sizeof text - 1);
    size_t i;
    if (h == NULL || h->server == NULL) return;
    snprintf(number, sizeof number, "%lu",
             (unsigned long)mail_server_queued(h->server));
    mail_buf_fmt(&b, say(p, P_DISK), h->name, number);
    for (i = 0; i < 3; i++) {
        int n = disk_count(&h->disk, users[i], 0);
        int tmp = disk_count(&h->disk, users[i], 1);
        if ((h == p->d.b) != (i == 2)) continue;
        if (n || i == 2) mail_buf_fmt(&b, ", %s %d", users[i], n);
        if (tmp) mail_buf_fmt(&b, ", %s/tmp %d", users[i], tmp);
    }
    mail_buf_fmt(&b, "; %s", say(p, play_loses(p, h)));
    text[b.n] = 0;
    if (strcmp(text, p->disk) == 0) return;
    memcpy(p->disk, text, b.n + 1);
    fprintf(p->f, "     *  %s\n", text);
}

/* File by file. */
static void play_files(const play *p, world_host *h) {
    size_t i = 0;
    const vname *e;
    char head[80];
    snprintf(head, sizeof head, say(p, P_DISK_HEAD), h->name);
    put_width(p->f, head, 44);
    put_width(p->f, say(p, P_OCTETS), 8);
    fprintf(p->f, "%s\n", say(p, P_SURVIVES));
    while ((e = disk_next(&h->disk, &i)) != NULL)
        fprintf(p->f, "  %-40.40s  %6lu  %s\n", e->path,
                (unsigned long)e->node->n,
                say(p, vname_survives(e) ? P_YES : P_NO));
}

/* The letters in the mailboxes of a host. */
static int play_letters(const play *p, world_host *h) {
    size_t i = 0;
    int n = 0;
    const vname *e;
    while ((e = disk_next(&h->disk, &i)) != NULL) {
        mail_str text = mail_sn(e->node->data, e->node->n);
        if (strncmp(e->path, "mail/", 5) != 0) continue;
        n++;
        fprintf(p->f, "%s: %.60s\n", h->name, e->path);
        while (text.n) {
            mail_str line = mail_cut(&text, '\n');
            char shown[72];
            int folded = mail_starts(line, "\t");
            if (folded) line = mail_sn(line.p + 1, line.n - 1);
            fprintf(p->f, "  | %s%s\n", folded ? "    " : "",
                    mail_printable(shown, sizeof shown, line));
        }
    }
    return n;
}

/* --- what has moved ------------------------------------------------------- */

/* Octets that we sent, line by line as they were cut; secrets as the notes
   have them. */
static mail_str play_masked(const play *p, mail_str line) {
    size_t i;
    mail_str found = line;
    for (i = p->seen; i < p->d.t.n; i++) {
        const trace_note *n = &p->d.t.p[i];
        if (n->kind != MAIL_NOTE_COMMAND || n->conn != p->w.conn) continue;
        if (mail_eq(mail_trim(line), mail_s(n->text))) return line;
        if (strstr(n->text, "****")) found = mail_s(n->text);
    }
    return found;
}

/* Text from column at on; what does not fit goes on below, from a word on
   where there is one. Returns where it ends. */
static int play_wrap(const play *p, const char *text, int at, size_t row) {
    while (strlen(text) > row) {
        size_t n = row;
        while (n > row / 2 && text[n - 1] != ' ') n--;
        if (n == row / 2) n = row;
        fprintf(p->f, "%.*s\n%*s", (int)n, text, at, "");
        text += n;
    }
    return at + fprintf(p->f, "%s", text);
}

/* One line on the wire, its end drawn, and what is said of it. */
static void play_line(play *p, int to_right, mail_str text, const char *end,
                      const char *remark) {
    char shown[120];
    size_t row = 60 - strlen(end) - (*remark ? (size_t)width(remark) + 2 : 0);
    int n = fprintf(p->f, "%3d  %s  %s: ", ++p->number,
                    to_right ? "|------->|" : "|<-------|",
                    to_right ? "C" : "S");
    if (mail_starts(text, "\t")) {                /* a folded field */
        n += fprintf(p->f, "<HT>");
        text = mail_sn(text.p + 1, text.n - 1);
        row -= 4;
    }
    n = play_wrap(p, mail_printable(shown, sizeof shown, text), n, row);
    n += fprintf(p->f, "%s", end);
    if (*remark)
        fprintf(p->f, "%*s%s", n < 54 ? 56 - n : 2, "", remark);
    putc('\n', p->f);
}

/* Octets line by line, as they were cut. */
static void play_octets(play *p, int to_right, mail_str s, int ours) {
    while (s.n) {
        const char *lf = memchr(s.p, '\n', s.n), *end = "", *remark = "";
        size_t n = lf ? (size_t)(lf - s.p) + 1 : s.n;
        mail_str line = mail_sn(s.p, lf ? n - 1 : n);
        s = mail_sn(s.p + n, s.n - n);
        if (lf) end = "<LF>";
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--, end = lf ? "<CR><LF>" : "<CR>";
        if (!ours && line.n && line.p[0] == '.')
            remark = word(p->lang, line.n > 1 ? W_ADDED : W_END);
        if (ours && !p->as_server) line = play_masked(p, line);
        play_line(p, to_right, line, end, remark);
    }
}

/* Ten seconds or more have passed since the last thing that was shown. */
static void play_time(play *p, int64_t ms) {
    int64_t gone = ms - p->ms;
    char text[40];
    if (gone < 10000) return;
    p->ms = ms;
    if (gone >= 60000) span(text, sizeof text, p->lang, gone);
    else snprintf(text, sizeof text, say(p, P_SECONDS), (int)(gone / 1000));
    fputs("     -- ", p->f);
    fprintf(p->f, say(p, P_LATER), text);
    putc('\n', p->f);
}

/* A note of our wire. What we said stands there already. */
static void play_note(play *p, const trace_note *n) {
    char state[20];
    int theirs = n->kind == (p->as_server ? MAIL_NOTE_COMMAND
                                          : MAIL_NOTE_REPLY);
    snprintf(state, sizeof state, "[%s]", n->state);
    if (theirs) {
        play_time(p, n->ms);
        play_line(p, p->as_server, mail_sn(n->text, n->n), "",
                  p->as_server ? "" : state);
    }
    if (n->kind == MAIL_NOTE_TEXT &&
        (p->as_server ? n->role == 'c' : n->role == 'p'))
        play_octets(p, p->as_server, mail_sn(n->text, n->n), 0);
}

/* Of the machine at the other end: a server's disk, a client's mail. */
static void play_deed(play *p, const trace_note *n) {
    char text[160];
    int at;
    full v = { NULL, NULL, 0 };
    steps s;
    mail_str rest = mail_s(n->text), id = mail_cut(&rest, ' ');
    memset(&s, 0, sizeof s);
    s.t = &p->d.t;
    s.lang = p->lang;
    v.f = p->f;
    v.s = &s;
    play_time(p, n->ms);
    if (n->kind == MAIL_NOTE_DISK && !p->as_server) full_disk(&v, n);
    if (n->kind != MAIL_NOTE_FATE || !p->as_server || id.n < 20) return;
    at = fprintf(p->f, "     *  %s: ", parts[n->host].name);
    at += (int)put_width(p->f, say(p, P_A_MAIL), 0) + 1;
    putc(' ', p->f);
    play_wrap(p, mail_printable(text, sizeof text, rest), at, 56);
    putc('\n', p->f);
}

/* How many of the new notes belong to what we said: up to the last one of our
   wire. */
static size_t play_ours(const play *p) {
    size_t i, k = p->seen;
    for (i = p->seen; i < p->d.t.n; i++)
        if (p->d.t.p[i].conn == p->w.conn && p->d.t.p[i].host == p->w.host)
            k = i + 1;
    return k;
}

/* Sessions that are not ours, and what they left on disks, as mail demo shows
   them. */
static void play_others(play *p) {
    steps s;
    size_t i;
    int ours = 0, said = 0;
    steps_make(&s, &p->d.t, p->lang);
    for (i = 0; i < s.n; i++) {
        step *q = &s.p[i];
        size_t at = s.order[q->end > q->first ? q->end - 1 : q->first];
        const trace_note *n = &p->d.t.p[at];
        if (q->kind == STEP_SESSION)
            ours = n->conn == p->w.conn && n->host == p->w.host;
        if (at < p->seen || (ours && q->kind != STEP_STAR)) continue;
        if (ours) {
            fprintf(p->f, "     *  %s\n", q->text);
            continue;
        }
        if (!said++) fputs(say(p, P_MEANWHILE), p->f);
        if (q->kind == STEP_TALK) q->number = ++p->number;
        ladder_row(p->f, &s, q);
    }
    steps_free(&s);
}

static void play_head(play *p) {
    step q;
    int from = p->w.pop3 ? BOB : p->as_server ? MAIL_A : ALICE;
    int to = p->as_server ? MAIL_B : p->w.host;
    const char *who = person(p->lang, parts[from].name);
    memset(&q, 0, sizeof q);
    snprintf(q.text, sizeof q.text, "%s: %s -> %s", p->w.pop3 ? "POP3" :
             "SMTP", who, parts[to].name);
    rule(p->f, q.text);
    fputs("     ", p->f);
    put_width(p->f, who, 6);
    fprintf(p->f, " %6s  %s\n", parts[to].name,
            say(p, p->as_server ? P_HEAD_SERVER : P_HEAD_CLIENT));
    fprintf(p->f, "%3d  |------->|  C: ", ++p->number);
    fprintf(p->f, word(p->lang, W_CONNECTS), p->w.pop3 ? "110" : "25");
    putc('\n', p->f);
    p->called = 0;
}

/* What does the one at the other end wait for? "" if it has gone. */
static const char *play_waits(const play *p) {
    const mail_conn *c;
    if (p->w.x == NULL) return "";
    if (p->as_server && p->w.pop3)
        return waits_pop3c(&p->bob.f.pop3, p->lang);
    c = p->w.x->conn[1 - p->w.end];
    if (c == NULL) return "";
    return c->role == 's' ? waits_smtpd(&c->u.smtpd, p->lang) :
           c->role == 'p' ? waits_pop3d(&c->u.pop3d, p->lang)
                          : waits_smtpc(&c->u.smtpc, p->lang);
}

static void play_deadlock(const play *p) {
    deadlock d;
    const mail_conn *c = p->w.x ? p->w.x->conn[1] : NULL;
    memset(&d, 0, sizeof d);
    d.client = word(p->lang, p->as_server ? W_THE_CLIENT : W_YOUR_CLIENT);
    d.server = word(p->lang, p->as_server ? W_YOUR_SERVER : W_THE_SERVER);
    d.client_waits = p->as_server ? play_waits(p)
                                  : word(p->lang, W_WAITS_REPLY);
    d.server_waits = p->as_server ? word(p->lang, W_WAITS_COMMAND)
                                  : play_waits(p);
    d.said = mail_sn(p->w.said, p->w.said_n);
    d.text = c && c->role == 's' && c->u.smtpd.state == MAIL_SMTPD_DATA;
    deadlock_show(p->f, &d, p->lang);
}

/* Did that look like the end of a text to who sent it? Only CRLF.CRLF is. */
static int play_dot(const play *p) {
    size_t n = p->w.said_n;
    while (n && (p->w.said[n - 1] == '\r' || p->w.said[n - 1] == '\n')) n--;
    return n > 1 && p->w.said_n > n && p->w.said[n - 1] == '.' &&
           (p->w.said[n - 2] == '\n' || p->w.said[n - 2] == '\r');
}

/* Who is at the other end? */
static const char *play_peer(const play *p) {
    return !p->as_server ? parts[p->w.host].name :
           p->w.pop3 ? person(p->lang, "Bob") : "mail.a";
}

/* The other end has said nothing. In a text that is the rule: once is
   enough. */
static void play_silence(play *p) {
    const mail_conn *c = p->w.x->conn[1];
    mail_pop3c_state bob = p->bob.f.pop3.state;
    int text = p->as_server ? p->w.pop3 && (bob == MAIL_POP3C_LIST ||
                                          bob == MAIL_POP3C_TEXT)
               : c && c->role == 's' && c->u.smtpd.state == MAIL_SMTPD_DATA;
    p->w.owed = 1;
    if (text && play_dot(p)) play_deadlock(p);
    else if (!text || !p->w.silent) {
        fputs("     ", p->f);
        fprintf(p->f, say(p, P_NO_REPLY), play_peer(p), play_waits(p));
        putc('\n', p->f);
    }
    p->w.silent = text;
}

/* A client's state, and where an answer takes it. */
static void play_client(const play *p) {
    const mail_conn *c = p->w.x->conn[0];
    int (*rows)(size_t i, mail_row *row) = p->w.pop3 ? mail_pop3c_row
                                                   : mail_smtpc_row;
    const char *name, *text;
    mail_row r;
    size_t i;
    if (p->w.pop3) {
        name = mail_pop3c_state_name(p->bob.f.pop3.state);
        text = mail_pop3c_state_text(p->bob.f.pop3.state);
    } else if (c) {
        name = mail_smtpc_state_name(c->u.smtpc.state);
        text = mail_smtpc_state_text(c->u.smtpc.state);
    } else return;
    fprintf(p->f, "     [%s] %s\n", name, text);
    for (i = 0; rows(i, &r); i++)
        if (strcmp(r.from, name) == 0 && *r.says)
            fprintf(p->f, "       %s\n", r.says);
}

/* Everything new, in order: what we said, what came of it. */
static void play_show(play *p, mail_str mine) {
    world_host *h = play_other(p);
    size_t ours = play_ours(p), i, heard = 0;
    int others = 0;
    if (p->called) {
        play_time(p, p->d.w.ms);
        play_head(p);
    }
    play_octets(p, !p->as_server, mine, 1);
    for (i = p->seen; i < p->d.t.n; i++) {
        const trace_note *n = &p->d.t.p[i];
        int on_wire = n->conn == p->w.conn && n->host == p->w.host;
        if (on_wire) play_note(p, n);
        else if (n->role == '-' && (i < ours || p->as_server))
            play_deed(p, n);
        heard += on_wire && n->kind != MAIL_NOTE_OPEN &&
                 (p->as_server ? n->role == 'c' || n->kind ==
                  MAIL_NOTE_COMMAND : n->kind == MAIL_NOTE_REPLY) &&
                 !(p->as_server && n->kind == MAIL_NOTE_REPLY);
        others |= !on_wire;
    }
    if (others && !p->as_server) play_others(p);
    p->seen = p->d.t.n;
    if (heard) p->w.owed = p->w.silent = 0;
    p->ms = p->d.w.ms;
    if (h && h->disk.dead) return;                /* see play_moved */
    if (p->gone) say_line(p, P_HUNG_UP, play_peer(p));
    p->gone = 0;
    if (p->w.x && mine.n && !heard) play_silence(p);
    if (p->w.x && p->as_server) play_client(p);
    play_disk(p, h);
}

/* --- what is typed -------------------------------------------------------- */

static void play_tail(play *p, mail_str s) {
    char both[2 * PLAY_SAID];
    size_t n = s.n < PLAY_SAID ? s.n : PLAY_SAID;
    memcpy(both, p->w.said, p->w.said_n);
    memcpy(both + p->w.said_n, s.p + s.n - n, n);
    n += p->w.said_n;
    p->w.said_n = n < PLAY_SAID ? n : PLAY_SAID;
    memcpy(p->w.said, both + n - p->w.said_n, p->w.said_n);
}

/* Has the other end an answer, and holds it back? A wrong password's comes
   late. */
static int play_busy(const play *p) {
    const mail_conn *c = p->w.x && !p->as_server ? p->w.x->conn[1] : NULL;
    if (c == NULL) return 0;
    return c->paused > p->d.w.ms || (c->role == 's' ? c->u.smtpd.wait
                                                    : c->u.pop3d.wait);
}

/* A second passes: what a server does by itself comes to its end. */
static void play_settle(play *p) {
    int i;
    world_run(&p->d.w, p->d.w.ms + 1000);
    for (i = 0; i < 60 && play_busy(p); i++)
        world_run(&p->d.w, p->d.w.ms + 1000);
    if (p->w.x && p->as_server && p->w.pop3 && p->w.x->agent == NULL) {
        play_hang_up(p);
        p->gone = 1;
    }
}

/* What has moved, and whether the power has gone at a step of the disk. */
static void play_moved(play *p, mail_str mine) {
    world_host *h = play_other(p);
    play_settle(p);
    play_show(p, mine);
    if (h == NULL || !h->disk.dead) return;
    world_crash(h);
    say_line(p, P_POWER_GONE, h->name);
    world_boot(h);
    play_settle(p);
    play_show(p, mail_sn("", 0));
}

/* Our octets onto the wire; the world takes them as they come. */
static void play_put(play *p, mail_str s) {
    mail_str left = s;
    if (p->w.x == NULL) {
        fputs(say(p, p->as_server ? P_GONE : P_NOT_OPEN), p->f);
        return;
    }
    play_tail(p, s);
    while (left.n && p->w.x) {
        int number = (int)(p->w.x - p->d.w.wires) * 2 + p->w.end;
        int64_t k = vwire_put(&p->d.w, number, left.p, left.n);
        if (k <= 0) break;
        left = mail_sn(left.p + k, left.n - (size_t)k);
        world_settle(&p->d.w);
    }
    play_moved(p, s);
}

/* The octets that "\r\n" and the like stand for; what is none stays. */
static size_t play_unescape(char *to, mail_str s) {
    size_t i, n = 0;
    for (i = 0; i < s.n; i++) {
        char c = s.p[i];
        int a, b;
        if (c == '\\' && i + 1 < s.n) {
            c = s.p[++i];
            if (c == 'n') c = '\n';
            else if (c == 'r') c = '\r';
            else if (c == 't') c = '\t';
            else if (c == '0') c = 0;
            else if (c == 'x' && i + 2 < s.n &&
                     (a = mail__hex_value(s.p[i + 1])) >= 0 && a < 16 &&
                     (b = mail__hex_value(s.p[i + 2])) >= 0 && b < 16) {
                c = (char)(unsigned char)(a * 16 + b);
                i += 2;
            } else if (c != '\\') to[n++] = '\\';
        }
        to[n++] = c;
    }
    return n;
}

static void play_raw(play *p, mail_str arg) {
    char octets[PLAY_LINE];
    play_put(p, mail_sn(octets, play_unescape(octets, arg)));
}

/* A whole line: with its end. */
static void play_typed(play *p, mail_str line) {
    char octets[PLAY_LINE + 2];
    memcpy(octets, line.p, line.n);
    memcpy(octets + line.n, "\r\n", 2);
    play_put(p, mail_sn(octets, line.n + 2));
}

static void play_run_until(play *p, int64_t ms) {
    world_run(&p->d.w, ms);
    play_moved(p, mail_sn("", 0));
}

static void play_wait(play *p, mail_str arg) {
    int64_t minutes = 1;
    if (arg.n && mail_number(arg, 100000, &minutes)) {
        fputs(say(p, P_WHICH), p->f);
        return;
    }
    if (p->w.x && p->w.owed) play_deadlock(p);
    play_run_until(p, p->d.w.ms + minutes * 60000);
    say_line(p, P_WAITED, "");
}

/* From one deadline to the next, until one of them is worth a note; a week at
   most. */
static void play_next(play *p, mail_str arg) {
    int64_t next, end = p->d.w.ms + INT64_C(7) * 86400000;
    size_t n = p->d.t.n;
    (void)arg;
    if (p->w.x && p->w.owed) play_deadlock(p);
    while (p->d.t.n == n && !p->gone) {
        world_settle(&p->d.w);
        next = world_next(&p->d.w);
        if (next > end) {
            say_line(p, P_NOTHING_DUE, "");
            return;
        }
        world_run(&p->d.w, next);
    }
    play_moved(p, mail_sn("", 0));
}

static void play_hangup(play *p, mail_str arg) {
    (void)arg;
    if (p->w.x == NULL) return;
    say_line(p, P_YOU_HANG_UP, "");
    play_hang_up(p);
    play_moved(p, mail_sn("", 0));
}

/* All at once, and nobody waits for what comes back. */
static void play_throw(play *p, mail_str arg) {
    char octets[PLAY_LINE];
    mail_str s = mail_sn(octets, play_unescape(octets, arg));
    if (p->w.x == NULL) return;
    say_line(p, P_THROWN, "");
    vwire_put(&p->d.w, (int)(p->w.x - p->d.w.wires) * 2 + p->w.end, s.p, s.n);
    play_hang_up(p);
    play_moved(p, s);
}

static void play_cut(play *p, mail_str arg) {
    (void)arg;
    if (p->w.x == NULL) return;
    say_line(p, P_WIRE_CUT, "");
    vwire_break(p->w.x);
    play_hang_up(p);
    play_moved(p, mail_sn("", 0));
}

static void play_power(play *p, mail_str arg) {
    world_host *h = play_other(p);
    int64_t after = 0;
    char number[24];
    if (h == NULL) return;
    if (arg.n && (mail_number(arg, 1000, &after) || after == 0)) {
        fputs(say(p, P_WHICH), p->f);
        return;
    }
    if (after) {
        h->disk.cut_at = h->disk.steps + (unsigned long)after;
        snprintf(number, sizeof number, "%d", (int)after);
        fputs("     ", p->f);
        fprintf(p->f, say(p, P_POWER_SET), h->name, number);
        putc('\n', p->f);
        return;
    }
    h->disk.dead = 1;
    play_moved(p, mail_sn("", 0));
}

/* --- another world, another part ------------------------------------------ */

static void play_end(play *p) {
    world_free(&p->d.w);
    trace_free(&p->d.t);
    memset(&p->d, 0, sizeof p->d);
    memset(&p->me, 0, sizeof p->me);
    memset(&p->w, 0, sizeof p->w);
    memset(&p->kept, 0, sizeof p->kept);
    p->kept.me = 1;
    p->seen = 0;
    p->ms = 0;
    p->gone = p->called = p->number = 0;
    p->disk[0] = 0;
}

static void play_begin(play *p, int as_server, int pop3) {
    play_end(p);
    p->as_server = as_server;
    p->w.pop3 = pop3;
    play_world(p);
    fputs(say(p, as_server ? pop3 ? P_POP3_SERVER : P_SMTP_SERVER
                           : pop3 ? P_POP3_CLIENT : P_SMTP_CLIENT), p->f);
    if (!as_server) play_call(p, pop3 ? "mail.b:110" : "mail.a:25");
    else if (pop3) play_bob(p);
    else {
        demo_alice(&p->d);
        p->ms = p->d.w.ms;
        p->seen = p->d.t.n;
        play_moved(p, mail_sn("", 0));
    }
}

static void play_again(play *p, mail_str arg) {
    (void)arg;
    play_begin(p, p->as_server, p->w.pop3);
}

static void play_side_client(play *p, mail_str arg) {
    (void)arg;
    play_begin(p, 0, p->w.pop3);
}

static void play_side_server(play *p, mail_str arg) {
    (void)arg;
    play_begin(p, 1, p->w.pop3);
}

/* The other agent; a client stays in its world. */
static void play_agent(play *p, int pop3) {
    if (p->as_server) {
        play_begin(p, 1, pop3);
        return;
    }
    play_hangup(p, mail_s(""));
    p->w.pop3 = pop3;
    play_call(p, pop3 ? "mail.b:110" : "mail.a:25");
}

static void play_smtp(play *p, mail_str arg) {
    (void)arg;
    play_agent(p, 0);
}

static void play_pop3(play *p, mail_str arg) {
    (void)arg;
    play_agent(p, 1);
}

/* Back to the connection that was left open; if there is none, one more of the
   same kind. */
static void play_wire_other(play *p, mail_str arg) {
    play_wire w = p->w;
    int pop3 = w.pop3;
    (void)arg;
    if (p->as_server) {
        fputs(say(p, P_NOBODY), p->f);
        return;
    }
    p->w = p->kept;
    p->kept = w;
    if (p->w.x) say_line(p, P_OTHER, parts[p->w.host].name);
    else play_call(p, pop3 ? "mail.b:110" : "mail.a:25");
    if (p->w.x) p->w.pop3 = p->w.x->port == 110;
}

static void play_call_to(play *p, mail_str arg) {
    char name[64];
    if (p->as_server || !mail_copy(name, sizeof name, arg)) {
        fputs(say(p, P_NOBODY), p->f);
        return;
    }
    play_hangup(p, mail_s(""));
    play_call(p, name);
}

/* --- what can be looked at ------------------------------------------------ */

static void play_all_disks(play *p, mail_str arg) {
    (void)arg;
    play_files(p, p->d.a);
    if (!p->as_server) play_files(p, p->d.b);
}

static void play_mails(play *p, mail_str arg) {
    int n = play_letters(p, p->d.a);
    (void)arg;
    if (!p->as_server) n += play_letters(p, p->d.b);
    if (n == 0) fputs(say(p, P_NO_MAIL), p->f);
}

static void play_view(play *p, mail_str name) {
    steps s;
    int i;
    steps_make(&s, &p->d.t, p->lang);
    for (i = 0; i < VIEWS; i++)
        if (mail_eq(name, mail_s(views[i].name))) views[i].show(p->f, &s);
    steps_free(&s);
}

static void play_view_ladder(play *p, mail_str arg) {
    (void)arg;
    play_view(p, mail_s("ladder"));
}

static void play_view_full(play *p, mail_str arg) {
    (void)arg;
    play_view(p, mail_s("full"));
}

static void play_view_plain(play *p, mail_str arg) {
    (void)arg;
    play_view(p, mail_s("plain"));
}

/* The verbs that the table of the server's session allows in its state. */
static void play_possible(const play *p) {
    const mail_conn *c = p->w.x ? p->w.x->conn[1] : NULL;
    char text[200];
    mail_buf b = mail_buf_on(text, sizeof text - 1);
    size_t i;
    if (c == NULL || p->as_server) return;
    if (c->role == 's')
        fprintf(p->f, "     [%s] %s\n",
                mail_smtpd_state_name(c->u.smtpd.state),
                server_state(p->lang, 0, (int)c->u.smtpd.state));
    else
        fprintf(p->f, "     [%s] %s\n",
                mail_pop3d_state_name(c->u.pop3d.state),
                server_state(p->lang, 1, (int)c->u.pop3d.state));
    for (i = 0; c->role == 's' && i < MAIL__SMTPD_VERBS; i++)
        if (mail__smtpd_verbs[i].states >> c->u.smtpd.state & 1)
            mail_buf_fmt(&b, " %s", mail__smtpd_verbs[i].verb);
    for (i = 0; c->role == 'p' && i < MAIL__POP3D_VERBS; i++)
        if (mail__pop3d_verbs[i].states >> c->u.pop3d.state & 1)
            mail_buf_fmt(&b, " %s", mail__pop3d_verbs[i].verb);
    text[b.n] = 0;
    fputs("     ", p->f);
    fprintf(p->f, say(p, P_NOW), b.n ? text + 1 : play_waits(p));
}

static int play_row(const play *p, size_t i, mail_row *r) {
    return p->w.pop3 ? mail_pop3d_row(i, r) : mail_smtpd_row(i, r);
}

/* What is known of a command: its row of the table, and its explanation. */
static void play_explain_verb(const play *p, mail_str verb) {
    mail_row r;
    step q;
    size_t i;
    steps s;
    int known = 0;
    for (i = 0; play_row(p, i, &r); i++) {
        if (!mail_ieq(verb, mail_s(r.name))) continue;
        fprintf(p->f, "     %s: %s\n     ", r.name, r.says);
        fprintf(p->f, say(p, P_ALLOWED), r.from);
        if (known) continue;                       /* QUIT has two rows */
        memset(&q, 0, sizeof q);
        memset(&s, 0, sizeof s);
        s.lang = p->lang;
        q.pop3 = p->w.pop3;
        q.kind = STEP_STAR;
        mail_copy(q.key, sizeof q.key, mail_s(r.name));
        step_explain(p->f, &s, &q);
        known = 1;
    }
    if (!known) say_line(p, P_NO_VERB, "");
}

/* Where might the command of a step be said? */
static void play_allowed(const play *p, const step *q) {
    mail_row r;
    size_t i;
    for (i = 0; play_row(p, i, &r); i++) {
        if (strcmp(q->key, r.name) != 0) continue;
        fprintf(p->f, "     %s: ", r.name);
        fprintf(p->f, say(p, P_ALLOWED), r.from);
    }
}

/* The last step of our own wire, and what may follow. */
static void play_explain(play *p, mail_str arg) {
    steps s;
    size_t i;
    long last = -1;
    int ours = 0;
    if (arg.n) {
        play_explain_verb(p, arg);
        return;
    }
    steps_make(&s, &p->d.t, p->lang);
    for (i = 0; i < s.n; i++) {
        const trace_note *n = &p->d.t.p[s.order[s.p[i].first]];
        if (s.p[i].kind == STEP_SESSION)
            ours = n->conn == p->w.conn && n->host == p->w.host;
        if (ours && s.p[i].kind == STEP_TALK) last = (long)i;
    }
    if (last >= 0) {
        fprintf(p->f, "     %s\n", s.p[last].text);
        step_explain(p->f, &s, &s.p[last]);
        play_allowed(p, &s.p[last]);
    }
    steps_free(&s);
    play_possible(p);
    if (p->w.x && p->as_server) play_client(p);
}

/* --- experiments ---------------------------------------------------------- */

typedef struct experiment {
    int as_server, pop3, chapter;
    const char *title[2], *watch[2], *type, *shows[2];
} experiment;

#define PLAY_HELLO "HELO me.example\n"
#define PLAY_MAIL  PLAY_HELLO "MAIL FROM:<alice@a.example>\n" \
                   "RCPT TO:<carol@a.example>\n"
#define PLAY_LOGIN "USER bob\nPASS secret\n"

static const experiment experiments[] = {
    { 0, 0, 4,
      { "send RCPT before MAIL", "MAIL보다 먼저 RCPT를 보낸다" },
      { "which reply? and is the session still of use after it?",
        "어떤 응답이 오는가? 그 뒤에도 세션을 쓸 수 있는가?" },
      PLAY_HELLO "RCPT TO:<carol@a.example>\nMAIL FROM:<alice@a.example>\n",
      { "503, and nothing changes: a table of states and commands decides.",
        "503이고 아무것도 바뀌지 않는다. 상태와 명령의 표가 정한다." } },
    { 0, 0, 6,
      { "never send the dot", "점을 영영 보내지 않는다" },
      { "who waits for whom, and for how long?",
        "누가 누구를, 얼마나 오래 기다리는가?" },
      PLAY_MAIL "DATA\nbye\n:next\n",
      { "both wait; the server gives up after 5 minutes. No mail is left.",
        "둘 다 기다린다. 서버는 5분 뒤 포기하고, 메일은 남지 않는다." } },
    { 0, 0, 6,
      { "end the text with a lone LF", "LF만으로 글을 끝낸다" },
      { "does the server see the end?", "서버가 끝으로 알아듣는가?" },
      PLAY_MAIL "DATA\n:raw bye\\n.\\n\n:raw \\r\\n.\\r\\n\n",
      { "no: only <CR><LF>.<CR><LF> ends a text. All else would let mail be "
        "smuggled.",
        "아니다. <CR><LF>.<CR><LF>만이 끝이다. 다른 끝이 있으면 밀반입이 "
        "된다." } },
    { 0, 0, 8,
      { "QUIT without waiting", "기다리지 않고 QUIT" },
      { "all in one segment, and nobody hears the replies: is there a mail?",
        "모두 한 조각으로 보내고 응답을 듣지 않는다. 메일은 갔는가?" },
      PLAY_HELLO "MAIL FROM:<alice@a.example>\n"
      ":throw RCPT TO:<carol@a.example>\\r\\nDATA\\r\\nhi\\r\\n.\\r\\nQUIT"
      "\\r\\n\n:mail\n",
      { "there is; but who has read no 250 does not know it, and sends it "
        "again.",
        "갔다. 하지만 250을 읽지 않은 쪽은 모르고, 또 보내게 된다." } },
    { 0, 0, 2,
      { "two commands in one segment", "한 조각에 명령 둘" },
      { "how many replies?", "응답은 몇 개인가?" },
      PLAY_HELLO ":raw NOOP\\r\\nRSET\\r\\n\n",
      { "two. A line is not a packet: TCP knows octets only.",
        "둘이다. 줄은 패킷이 아니다. TCP는 옥텟만 안다." } },
    { 0, 0, 2,
      { "half a command", "명령 반쪽" },
      { "when does the reply come?", "응답은 언제 오는가?" },
      ":raw HELO me.ex\n:raw ample\n:raw \\r\n:raw \\n\n",
      { "with the <LF>, and not one octet before it.",
        "<LF>가 올 때. 그보다 한 옥텟도 먼저 오지 않는다." } },
    { 0, 0, 5,
      { "the envelope and the letter disagree", "봉투와 편지가 다르다" },
      { "who gets it: Dora of the To: field, or Carol of RCPT?",
        "누가 받는가? To: 필드의 도라인가, RCPT의 캐럴인가?" },
      PLAY_MAIL "DATA\nTo: Dora <dora@d.example>\nSubject: who?\n\nhi\n.\n"
      ":mail\n",
      { "Carol. Nobody reads the letter to find out where it goes.",
        "캐럴이다. 어디로 갈지 알아내려고 편지를 읽는 곳은 없다." } },
    { 0, 0, 6,
      { "a line that begins with a dot", "점으로 시작하는 줄" },
      { "what does Carol read?", "캐럴은 무엇을 읽는가?" },
      PLAY_MAIL "DATA\n.plan\n..plan\nRSET\n.\n:mail\n",
      { "the first dot of a line is the wire's. And RSET in a text is text.",
        "줄 첫머리의 점 하나는 회선의 것이다. 글 속의 RSET은 글이다." } },
    { 0, 0, 8,
      { "a power cut before the dot, and after the 250",
        "점 앞의 정전과 250 뒤의 정전" },
      { "which of the two mails is there afterwards?",
        "두 메일 가운데 어느 것이 남는가?" },
      PLAY_MAIL "DATA\nfirst\n:power\n:smtp\n" PLAY_MAIL
      "DATA\nsecond\n.\n:power\n:mail\n",
      { "the one with a 250. The other was never the server's.",
        "250을 받은 것. 다른 하나는 서버가 맡은 적이 없다." } },
    { 0, 0, 8,
      { "a power cut at the server's second disk step",
        "서버의 두 번째 디스크 단계에서 나는 정전" },
      { "was there a 250? is there a mail?",
        "250이 왔는가? 메일이 있는가?" },
      PLAY_MAIL "DATA\nhi\n:power 2\n.\n:disk\n",
      { "neither: what is written and not flushed is nothing. Try other steps.",
        "둘 다 없다. 플러시하지 않은 것은 없는 것이다. 다른 단계도 해 보자."
        } },
    { 0, 1, 10,
      { "log in twice", "두 번 로그인한다" },
      { "in one connection, and then in a second one",
        "한 연결 안에서, 그리고 두 번째 연결에서" },
      PLAY_LOGIN "USER bob\n:other\n" PLAY_LOGIN,
      { "in TRANSACTION there is no USER; and one session at a time has the "
        "lock.",
        "TRANSACTION 상태에는 USER가 없고, 잠금은 한 번에 한 세션만 갖는다." }
    },
    { 0, 1, 11,
      { "pull the plug before QUIT", "QUIT 전에 선을 뽑는다" },
      { "is the mail that DELE named gone?",
        "DELE로 표시한 메일은 없어졌는가?" },
      PLAY_LOGIN "DELE 1\nSTAT\n:cut\n:pop3\n" PLAY_LOGIN "STAT\n",
      { "it is there again: DELE is a mark, QUIT makes it true.",
        "그대로 있다. DELE는 표시일 뿐이고 QUIT이 효력을 준다." } },
    { 1, 0, 9,
      { "be the server: 451, try again later",
        "서버가 되어: 451, 나중에 다시" },
      { "what does the client MTA do with the mail? when does it come back?",
        "클라이언트 MTA는 메일을 어떻게 하는가? 언제 다시 오는가?" },
      "220 hello\n250 mail.b\n250 ok\n451 not now\n250 ok\n221 bye\n:disk\n"
      ":next\n",
      { "it keeps the mail in its queue and calls again.",
        "메일을 큐에 두었다가 다시 연결한다." } },
    { 1, 0, 9,
      { "be the server: 550, no such user",
        "서버가 되어: 550, 그런 사용자 없음" },
      { "who hears of it?", "누가 그것을 알게 되는가?" },
      "220 hello\n250 mail.b\n250 ok\n550 no such user\n250 ok\n221 bye\n"
      ":mail\n",
      { "the sender: a report comes into her mailbox, from nobody (<>).",
        "보낸 사람. 반송 경로가 빈(<>) 보고가 메일함에 온다." } },
    { 1, 0, 9,
      { "be the server: cut the wire before the last 250",
        "서버가 되어: 마지막 250 앞에서 선을 끊는다" },
      { "you have the mail. Does the client know?",
        "메일은 당신에게 있다. 클라이언트도 아는가?" },
      "220 hello\n250 mail.b\n250 ok\n250 ok\n354 go on\n:cut\n:next\n",
      { "no, so it sends it again: twice is better than never.",
        "모른다. 그래서 또 보낸다. 두 번 가는 것이 안 가는 것보다 낫다." } },
    { 1, 0, 3,
      { "be the server: a reply that does not end",
        "서버가 되어: 끝나지 않는 응답" },
      { "what does the client wait for?", "클라이언트는 무엇을 기다리는가?" },
      "220-hello\n220-are you still there?\n:raw 220 \n:raw yes\\r\\n\n",
      { "for a line with a space behind the code, and its <CR><LF>.",
        "코드 뒤가 빈칸인 줄, 그리고 그 <CR><LF>." } },
    { 1, 1, 11,
      { "be the server MAA: one message, and the wire is cut at DELE",
        "서버 MAA가 되어: 메일 한 통, DELE에서 선이 끊긴다" },
      { "in which order does the client take and delete?",
        "클라이언트는 어떤 순서로 가져가고 지우는가?" },
      "+OK hello\n+OK\n+OK\n+OK 1 12\n+OK\nSubject: x\n\nhi\n.\n:cut\n",
      { "first it has the mail, then it says DELE: nothing can be lost.",
        "먼저 메일을 손에 넣고, 그다음에 DELE라고 한다. 잃을 것이 없다." } }
};

enum { EXPERIMENTS = sizeof experiments / sizeof experiments[0] };

static void play_list(play *p, mail_str arg) {
    size_t i;
    (void)arg;
    for (i = 0; i < EXPERIMENTS; i++)
        fprintf(p->f, "%3d  %s\n", (int)i + 1, experiments[i].title[p->lang]);
    fputs(say(p, P_LIST_END), p->f);
}

/* The one that is named; or, if none is, the one before. NULL: none. */
static const experiment *play_which(play *p, mail_str arg) {
    int64_t k = p->experiment;
    if ((arg.n && mail_number(arg, EXPERIMENTS, &k)) || k == 0) {
        fputs(say(p, P_WHICH), p->f);
        return NULL;
    }
    p->experiment = (int)k;
    return &experiments[k - 1];
}

static void play_announce(const play *p, const experiment *e, char *number) {
    snprintf(number, 12, "%d", p->experiment);
    fprintf(p->f, say(p, P_EXPERIMENT), number, e->title[p->lang]);
    fprintf(p->f, say(p, P_WATCH), e->watch[p->lang]);
}

static void play_try(play *p, mail_str arg) {
    const experiment *e = play_which(p, arg);
    char number[12];
    mail_str left;
    if (e == NULL) return;
    play_announce(p, e, number);
    fprintf(p->f, say(p, P_TYPE), number);
    for (left = mail_s(e->type); left.n; ) {
        mail_str line = mail_cut(&left, '\n');
        fprintf(p->f, "  %.*s\n", MAIL_ARG(line));
    }
    play_begin(p, e->as_server, e->pop3);
}

static void play_input(play *p, mail_str line);

/* What a terminal would show of what is typed. */
static void play_echo(const play *p, mail_str line) {
    char shown[78];
    fprintf(p->f, "> %s\n", mail_printable(shown, sizeof shown, line));
}

static void play_run(play *p, mail_str arg) {
    const experiment *e = play_which(p, arg);
    char number[12];
    mail_str left;
    if (e == NULL) return;
    play_announce(p, e, number);
    play_begin(p, e->as_server, e->pop3);
    for (left = mail_s(e->type); left.n; ) {
        mail_str line = mail_cut(&left, '\n');
        play_echo(p, line);
        play_input(p, line);
    }
    fprintf(p->f, say(p, P_SHOWS), e->shows[p->lang]);
}

/* --- the keyboard --------------------------------------------------------- */

static void play_quit(play *p, mail_str arg) {
    (void)arg;
    p->over = 1;
}

static void play_words(play *p, mail_str arg) {
    (void)arg;
    fputs(play_help[p->lang], p->f);
}

static const struct play_word {
    const char *name;
    void (*run)(play *p, mail_str arg);
} play_table[] = {
    { "help", play_words }, { "list", play_list }, { "try", play_try },
    { "run", play_run }, { "raw", play_raw }, { "next", play_next },
    { "wait", play_wait }, { "throw", play_throw },
    { "hangup", play_hangup }, { "cut", play_cut },
    { "other", play_wire_other },
    { "power", play_power }, { "smtp", play_smtp }, { "pop3", play_pop3 },
    { "call", play_call_to }, { "client", play_side_client },
    { "server", play_side_server }, { "disk", play_all_disks },
    { "mail", play_mails }, { "ladder", play_view_ladder },
    { "full", play_view_full }, { "plain", play_view_plain },
    { "again", play_again }, { "quit", play_quit }
};

/* A line that begins with ":" is for this program. */
static void play_word(play *p, mail_str line) {
    mail_str rest = line, name = mail_cut(&rest, ' ');
    char shown[24];
    size_t i;
    for (i = 0; i < sizeof play_table / sizeof play_table[0]; i++)
        if (mail_ieq(name, mail_s(play_table[i].name))) {
            play_table[i].run(p, rest);
            return;
        }
    fprintf(p->f, say(p, P_WHAT), mail_printable(shown, sizeof shown, name));
}

static void play_input(play *p, mail_str line) {
    mail_str behind = line.n ? mail_sn(line.p + 1, line.n - 1) : line;
    if (mail_starts(line, "::")) play_typed(p, behind);
    else if (mail_starts(line, ":")) play_word(p, behind);
    else if (mail_starts(line, "?")) play_explain(p, mail_trim(behind));
    else play_typed(p, line);
}

/* A line of any length and any octets; what is too long is dropped, and said.
   0: there are no more. */
static int play_read(play *p) {
    int c;
    size_t n = 0;
    while ((c = getc(p->in)) != EOF && c != '\n')
        if (n++ < PLAY_LINE) p->line[n - 1] = (char)c;
    if (c == EOF && n == 0) return 0;
    p->line_n = n < PLAY_LINE ? n : PLAY_LINE;
    if (n > PLAY_LINE) {
        char number[24];
        snprintf(number, sizeof number, "%d", (int)PLAY_LINE);
        say_line(p, P_TOO_LONG, number);
    }
    if (p->line_n && p->line[p->line_n - 1] == '\r') p->line_n--;
    return 1;
}

/* From a file what is typed is shown, too, as a terminal would. */
static void play_loop(play *p) {
    while (!p->over) {
        if (p->prompt) fputs("> ", p->f);
        if (fflush(p->f)) break;                  /* nobody looks any more */
        if (!play_read(p)) {
            if (p->prompt) putc('\n', p->f);
            break;
        }
        if (!p->prompt) play_echo(p, mail_sn(p->line, p->line_n));
        play_input(p, mail_sn(p->line, p->line_n));
    }
    if (p->w.x && p->w.owed) play_deadlock(p);
    fputs(say(p, P_BYE), p->f);
}

/* ======================================================================
   [BENCH] a load generator, and a sink                             ch.15
   Many client programs in one loop. It shares the machine with the server
   it measures and so must cost little: the text is made once, in the form
   in which it is sent; a turn reads a socket once and writes what has come
   together once; while it runs nothing is allocated.
   ====================================================================== */

typedef struct bench_opts {
    int64_t clients, messages, size, per_conn;  /* 0: as many as there are */
    int64_t pipeline, logins;       /* POP3: commands under way; 0: fetch  */
    int     pop3, no_pipelining, del, json, unsealed;
    const char *from, *password;
    const char *const *to, *const *users; size_t nto, nusers;
} bench_opts;

typedef struct bench_times {        /* microseconds, one for each event */
    uint32_t *us;
    size_t n, cap;
} bench_times;

typedef struct bench bench;

typedef struct bench_conn {
    agent  a;
    bench *b;
    int    fd;                      /* -1: none                          */
    union { mail_smtpc smtp; mail_pop3c pop; mail_smtpd sink; } s;
    int64_t since;                  /* connected, or the final dot sent  */
    int64_t taken;                  /* messages begun on this connection */
    int     heard, busy, asked_rcpt;
    size_t  to;                     /* SMTP: which recipient             */
    mail_str text;                  /* still to be sent, of b->text      */
    int     direct, in_text;        /* POP3: answers are read here       */
    int64_t count, asked, got;      /* of count messages, or of commands */
    mail_line line;
    mail_dot_in dot;
} bench_conn;

struct bench {
    bench_opts o;
    struct sockaddr_storage at; socklen_t at_n;
    bench_conn *conns; struct pollfd *polls; size_t nconns, open;
    size_t top;                     /* no connection from here on        */
    mail_path from, *to; size_t next_to;
    char  *text; size_t text_n;     /* on the wire, with the final dot   */
    int64_t size;                   /* without it                        */
    int64_t left;                   /* messages, or logins, not begun    */
    int64_t sessions;               /* POP3: connections not begun       */
    int64_t done, failed, octets, logged_in;
    int64_t begun, first, last;     /* first RETR, last message: us      */
    int64_t told;                   /* the last look at clocks           */
    bench_times dots, logins;
    char   words[600];              /* of the first failure              */
    const char *why;                /* it cannot go on                   */
    void (*over)(bench_conn *c);
    char   buf[65536];
};

static int64_t bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void bench_time(bench_times *t, int64_t us) {
    if (t->n < t->cap) t->us[t->n++] = us > UINT32_MAX ? UINT32_MAX
                                                       : (uint32_t)us;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* In ms; the times are sorted by then. 100 per cent is the longest. */
static double bench_percentile(const bench_times *t, size_t percent) {
    return t->n ? t->us[(t->n - 1) * percent / 100] / 1000.0 : 0;
}

/* The first answer that was none we wanted is shown. */
static void bench_words(bench *b, int code, const char *words) {
    if (b->words[0]) return;
    if (code) snprintf(b->words, sizeof b->words, "%d %s", code, words);
    else mail_copy(b->words, sizeof b->words, mail_s(words));
}

static void bench_fail(bench *b, int code, const char *words) {
    b->failed++;
    bench_words(b, code, words);
}

static void bench_done(bench *b, int64_t octets) {
    b->done++;
    b->octets += octets;
    b->last = bench_now();
}

/* --- SMTP: mail after mail ------------------------------------------------ */

/* May this connection begin another message? */
static int bench_take(bench_conn *c) {
    bench *b = c->b;
    if (b->left == 0 || (b->o.per_conn && c->taken == b->o.per_conn))
        return 0;
    b->left--;
    c->taken++;
    return 1;
}

/* The next message, if there is one; else QUIT. */
static void bench_smtp_next(bench_conn *c) {
    bench *b = c->b;
    mail_param p;
    mail_err e = MAIL_ERR_OK;
    memset(&p, 0, sizeof p);
    p.size = b->size;
    c->asked_rcpt = 0;
    while (bench_take(c)) {
        e = mail_smtpc_mail(&c->s.smtp, &b->from, &p);
        if (e == MAIL_ERR_OK) {
            c->to = b->next_to;
            b->next_to = (b->next_to + 1) % b->o.nto;
            c->busy = 1;
            return;
        }
        bench_fail(b, 0, mail_err_text(e));     /* larger than it takes */
    }
    mail_smtpc_quit(&c->s.smtp);
}

/* Asks for whatever can be asked for now: with PIPELINING a whole group. */
static void bench_smtp_ask(bench_conn *c) {
    mail_smtpc *s = &c->s.smtp;
    if (s->state == MAIL_SMTPC_READY) bench_smtp_next(c);
    if (s->state != MAIL_SMTPC_MAIL || c->asked_rcpt) return;
    if (mail_smtpc_rcpt(s, &c->b->to[c->to], NULL)) return;
    c->asked_rcpt = 1;
    mail_smtpc_data(s);
}

/* The text waits ready with its final dot: the session's own is dropped. */
static void bench_smtp_text(bench_conn *c) {
    mail_smtpc_end(&c->s.smtp);
    mail_smtpc_sent(&c->s.smtp, mail_smtpc_out(&c->s.smtp).n);
    c->text = mail_sn(c->b->text, c->b->text_n);
}

static void bench_smtp_answer(bench_conn *c, const mail_event *ev) {
    bench *b = c->b;
    char words[512];
    mail_copy(words, sizeof words, ev->text);
    c->busy = 0;
    if (ev->code / 100 != 2) {
        bench_fail(b, ev->code, words);
        return;
    }
    bench_done(b, b->size);
    bench_time(&b->dots, b->last - c->since);
}

/* A connection that ends with no message under way has cost one, too, or a
   server that refuses us would be asked for ever. */
static void bench_smtp_closed(bench_conn *c) {
    mail_smtpc *s = &c->s.smtp;
    c->a.over = 1;
    if (s->code == 421 && s->mail_due && c->taken > 1) {
        c->b->left++;            /* enough of this connection: another one */
        c->busy = 0;
        return;
    }
    if (!c->busy && (s->err == MAIL_ERR_OK || !bench_take(c))) return;
    if (s->words[0] && s->code >= 400) bench_fail(c->b, s->code, s->words);
    else bench_fail(c->b, 0, mail_err_text(s->err));
    c->busy = 0;
}

static void bench_smtp_event(bench_conn *c, const mail_event *ev) {
    switch (ev->kind) {
    case MAIL_EV_READY:
        if (c->b->o.no_pipelining)
            c->s.smtp.ext &= ~(unsigned)MAIL_EXT_PIPELINING;
        break;
    case MAIL_EV_RCPT:
        if (ev->code >= 400) bench_words(c->b, ev->code, c->s.smtp.words);
        break;
    case MAIL_EV_DATA:
        bench_smtp_text(c);
        break;
    case MAIL_EV_DONE:
        bench_smtp_answer(c, ev);
        break;
    case MAIL_EV_CLOSED:
        bench_smtp_closed(c);
        break;
    default:
        break;
    }
}

static int bench_smtp_move(bench_conn *c) {
    mail_event ev;
    int moved = 0;
    while (mail_smtpc_next(&c->s.smtp, &ev)) {
        bench_smtp_event(c, &ev);
        moved = 1;
    }
    bench_smtp_ask(c);
    return moved;
}

static size_t bench_smtp_feed(agent *a, const char *in, size_t n) {
    bench_conn *c = (bench_conn *)a;
    size_t used = 0, k;
    do {
        k = mail_smtpc_feed(&c->s.smtp, in + used, n - used);
        used += k;
    } while ((bench_smtp_move(c) || k) && used < n);
    return used;
}

static mail_str bench_smtp_out(agent *a) {
    bench_conn *c = (bench_conn *)a;
    return c->text.n ? c->text : mail_smtpc_out(&c->s.smtp);
}

static void bench_smtp_sent(agent *a, size_t n) {
    bench_conn *c = (bench_conn *)a;
    if (c->text.n == 0) {
        mail_smtpc_sent(&c->s.smtp, n);
        return;
    }
    c->text = mail_sn(c->text.p + n, c->text.n - n);
    c->s.smtp.active = 1;               /* a long text is not silence */
    if (c->text.n == 0) c->since = bench_now();
}

static int64_t bench_smtp_tick(agent *a, int64_t now) {
    bench_conn *c = (bench_conn *)a;
    int64_t due = mail_smtpc_tick(&c->s.smtp, now);
    bench_smtp_move(c);
    return due;
}

static void bench_smtp_eof(agent *a) {
    bench_conn *c = (bench_conn *)a;
    mail_smtpc_eof(&c->s.smtp);
    bench_smtp_move(c);
}

static void bench_smtp_begin(bench_conn *c) {
    static const agent smtp = { bench_smtp_feed, bench_smtp_out,
        bench_smtp_sent, bench_smtp_tick, bench_smtp_eof, NULL,
        NULL, 0 };
    mail_smtpc_opts o;
    memset(&o, 0, sizeof o);
    o.helo = "localhost";
    o.user = c->b->o.nusers ? c->b->o.users[(size_t)(c - c->b->conns) %
                                            c->b->o.nusers] : NULL;
    o.password = o.user ? c->b->o.password : NULL;
    o.plaintext_ok = 1;
    c->a = smtp;
    c->text = mail_sn(NULL, 0);
    mail_smtpc_init(&c->s.smtp, o);
}

/* --- POP3: many answers under way ----------------------------------------- */

/* The session asks for one thing at a time and waits. Here it only writes
   the commands, and the answers are read below: so it is told, after each
   one, that it may go on. */
static void bench_pop_ask(bench_conn *c) {
    mail_pop3c *s = &c->s.pop;
    int64_t each = c->b->o.del ? 2 : 1;
    while (c->asked < c->count * each &&
           c->asked - c->got < c->b->o.pipeline * each) {
        int64_t number = c->asked / each + 1;
        if (c->asked % each ? mail_pop3c_dele(s, number)
                            : mail_pop3c_retr(s, number)) return;
        s->state = MAIL_POP3C_READY;
        c->asked++;
    }
    if (c->got < c->count * each) return;
    c->direct = 0;
    mail_pop3c_quit(s);
}

/* A status line: the text of a message follows, or that was all. */
static void bench_pop_line(bench_conn *c) {
    int64_t each = c->b->o.del ? 2 : 1;
    mail_str words;
    int ok, text = c->got % each == 0;
    char copy[512];
    if (mail_status_line(mail_line_text(&c->line), &ok, &words)) {
        bench_fail(c->b, 0, mail_err_text(MAIL_ERR_PROTOCOL));
        c->a.over = 1;
    } else if (!ok) {
        mail_copy(copy, sizeof copy, words);
        bench_fail(c->b, 0, copy);
    }
    c->in_text = ok && text;
    if (!c->in_text) c->got++;
    memset(&c->dot, 0, sizeof c->dot);
    mail_line_reset(&c->line);
}

static size_t bench_pop_answers(bench_conn *c, const char *in, size_t n) {
    size_t used = 0;
    mail_str text;
    while (used < n && c->got < c->asked && !c->a.over)
        if (c->in_text) {
            used += mail_dot_read(&c->dot, in + used, n - used, &text);
            c->b->octets += (int64_t)text.n;
            if (!c->dot.end) continue;
            c->in_text = 0;
            c->got++;
            bench_done(c->b, 0);
        } else {
            used += mail_line_feed(&c->line, in + used, n - used, 1);
            if (c->line.done) bench_pop_line(c);
        }
    return used;
}

/* STAT has answered: the login is over, the fetching may begin. */
static void bench_pop_counted(bench_conn *c, const mail_event *ev) {
    bench *b = c->b;
    int64_t now = bench_now();
    c->busy = 0;
    if (!ev->code || ev->number < 0)
        bench_fail(b, 0, mail_err_text(MAIL_ERR_PROTOCOL));
    bench_time(&b->logins, now - c->since);
    b->logged_in++;
    c->count = b->o.logins || !ev->code || ev->number < 0 ? 0 : ev->number;
    if (b->o.messages && c->count > b->left) c->count = b->left;
    if (b->o.messages) b->left -= c->count;
    if (!b->first) b->first = now;
    c->direct = c->count > 0;
    if (!c->direct) mail_pop3c_quit(&c->s.pop);
}

static void bench_pop_closed(bench_conn *c) {
    mail_pop3c *s = &c->s.pop;
    c->a.over = 1;
    if (s->err == MAIL_ERR_OK) return;
    bench_fail(c->b, 0, s->words[0] && s->err != MAIL_ERR_CLOSED
                        ? s->words : mail_err_text(s->err));
}

static int bench_pop_move(bench_conn *c) {
    mail_event ev;
    int moved = 0;
    while (mail_pop3c_next(&c->s.pop, &ev)) {
        moved = 1;
        if (ev.kind == MAIL_EV_READY) mail_pop3c_stat(&c->s.pop);
        if (ev.kind == MAIL_EV_DONE) bench_pop_counted(c, &ev);
        if (ev.kind == MAIL_EV_CLOSED) bench_pop_closed(c);
    }
    if (c->direct) bench_pop_ask(c);
    return moved;
}

static size_t bench_pop_feed(agent *a, const char *in, size_t n) {
    bench_conn *c = (bench_conn *)a;
    size_t used = 0, k;
    do {
        k = c->direct ? bench_pop_answers(c, in + used, n - used)
                      : mail_pop3c_feed(&c->s.pop, in + used, n - used);
        used += k;
    } while ((bench_pop_move(c) || k) && used < n);
    return used;
}

static mail_str bench_pop_out(agent *a) {
    return mail_pop3c_out(&((bench_conn *)a)->s.pop);
}

static void bench_pop_sent(agent *a, size_t n) {
    bench_conn *c = (bench_conn *)a;
    mail_pop3c_sent(&c->s.pop, n);
    if (c->direct) bench_pop_ask(c);
}

static int64_t bench_pop_tick(agent *a, int64_t now) {
    bench_conn *c = (bench_conn *)a;
    int64_t due = mail_pop3c_tick(&c->s.pop, now);
    bench_pop_move(c);
    return due;
}

static void bench_pop_eof(agent *a) {
    bench_conn *c = (bench_conn *)a;
    c->direct = 0;
    mail_pop3c_eof(&c->s.pop);
    bench_pop_move(c);
}

static void bench_pop_begin(bench_conn *c) {
    static const agent pop = { bench_pop_feed, bench_pop_out, bench_pop_sent,
        bench_pop_tick, bench_pop_eof, NULL, NULL, 0 };
    mail_pop3c_opts o;
    memset(&o, 0, sizeof o);
    o.user = c->b->o.users[(size_t)(c - c->b->conns) % c->b->o.nusers];
    o.password = c->b->o.password;
    o.basic = o.plaintext_ok = 1;
    o.timeout = 600000;
    c->a = pop;
    c->direct = c->in_text = 0;
    c->count = c->asked = c->got = 0;
    memset(&c->line, 0, sizeof c->line);
    mail_pop3c_init(&c->s.pop, o);
    c->b->sessions--;
}

/* --- the loop ------------------------------------------------------------- */

enum { BENCH_SIGNAL, BENCH_LISTENER, BENCH_FIRST };     /* places in polls */

static void bench_close(bench_conn *c) {
    bench *b = c->b;
    close(c->fd);
    c->fd = -1;
    b->polls[BENCH_FIRST + (c - b->conns)].fd = -1;
    b->open--;
}

/* The descriptor is watched; the connection's fields are still to be set. */
static void bench_watch(bench_conn *c, int fd) {
    bench *b = c->b;
    struct pollfd *p = &b->polls[BENCH_FIRST + (c - b->conns)];
    socket_ready(fd);
    c->fd = p->fd = fd;
    p->events = POLLIN;
    p->revents = 0;
    c->heard = c->busy = 0;
    c->taken = 0;
    b->open++;
    if ((size_t)(c - b->conns) >= b->top)
        b->top = (size_t)(c - b->conns) + 1;
}

/* A client connects, if there is work left for it. */
static void bench_connect(bench_conn *c) {
    bench *b = c->b;
    int fd;
    if (b->why || (b->o.pop3 ? b->sessions : b->left) == 0) return;
    fd = socket(b->at.ss_family, SOCK_STREAM, 0);
    if (fd < 0) {
        b->why = strerror(errno);
        return;
    }
    bench_watch(c, fd);
    c->since = bench_now();
    if (b->o.pop3) bench_pop_begin(c);
    else bench_smtp_begin(c);
    if (connect(fd, (struct sockaddr *)&b->at, b->at_n) &&
        errno != EINPROGRESS) {
        b->why = strerror(errno);
        bench_close(c);
    }
}

static void bench_read(bench_conn *c) {
    bench *b = c->b;
    int64_t k = net_recv(NULL, c->fd, b->buf, sizeof b->buf);
    if (k == -1) return;
    if (k == -2 && !c->heard && errno == ECONNREFUSED) {
        b->why = strerror(errno);
        c->a.over = 1;
    } else if (k <= 0) c->a.eof(&c->a);
    else {
        c->heard = 1;
        if (c->a.feed(&c->a, b->buf, (size_t)k) < (size_t)k && !c->a.over)
            c->a.eof(&c->a);            /* it says what nobody asked for */
    }
}

static void bench_write(bench_conn *c) {
    struct pollfd *p = &c->b->polls[BENCH_FIRST + (c - c->b->conns)];
    mail_str out;
    int64_t k = 0;
    while ((out = c->a.out(&c->a)).n) {
        k = net_send(NULL, c->fd, out.p, out.n);
        if (k < 0) break;
        c->a.sent(&c->a, (size_t)k);
    }
    p->events = (short)(out.n ? POLLIN | POLLOUT : POLLIN);
    if (k == -2 && !c->a.over) c->a.eof(&c->a);
}

static void bench_ready(bench_conn *c, int revents) {
    if (revents & (POLLIN | POLLHUP | POLLERR)) bench_read(c);
    if (!c->a.over || c->a.out(&c->a).n) bench_write(c);
    if (!c->a.over) return;
    bench_close(c);
    if (c->b->over) c->b->over(c);
}

/* Once a second: who has been silent for too long; how far are we? A server
   with a short queue at its door greets some of us never: when there is no
   work left for them, they need not wait. */
static void bench_second(bench *b, int64_t now) {
    size_t i;
    b->told = now;
    for (i = 0; i < b->top; i++) {
        bench_conn *c = &b->conns[i];
        if (c->fd < 0) continue;
        if (b->over && !c->heard && !b->o.pop3 && b->left == 0) {
            bench_close(c);
            continue;
        }
        c->a.tick(&c->a, now / 1000);
        bench_ready(c, 0);
    }
    if (b->over == NULL || b->o.json || !isatty(2)) return;
    fprintf(stderr, "\r%lld messages, %lld logins, %lld failed ",
            (long long)b->done, (long long)b->logged_in,
            (long long)b->failed);
}

static void bench_turn(bench *b) {
    size_t i;
    int64_t now;
    int n = poll(b->polls, (nfds_t)(BENCH_FIRST + b->top), 1000);
    for (i = 0; i < b->top && n > 0; i++) {
        struct pollfd *p = &b->polls[BENCH_FIRST + i];
        int revents = p->fd >= 0 ? p->revents : 0;
        if (revents == 0) continue;
        p->revents = 0;
        n--;
        bench_ready(&b->conns[i], revents);
    }
    now = bench_now();
    if (now - b->told >= 1000000) bench_second(b, now);
}

static int bench_room(bench *b, size_t n) {
    size_t i;
    b->conns = calloc(n, sizeof *b->conns);
    b->polls = calloc(BENCH_FIRST + n, sizeof *b->polls);
    if (b->conns == NULL || b->polls == NULL) return 0;
    b->nconns = n;
    for (i = 0; i < BENCH_FIRST + n; i++) b->polls[i].fd = -1;
    for (i = 0; i < n; i++) {
        b->conns[i].b = b;
        b->conns[i].fd = -1;
    }
    return 1;
}

static int bench_times_room(bench_times *t, int64_t n) {
    t->cap = (size_t)n;
    t->us = calloc(t->cap + 1, sizeof *t->us);
    return t->us != NULL;
}

static void bench_free(bench *b) {
    free(b->conns);
    free(b->polls);
    free(b->to);
    free(b->text);
    free(b->dots.us);
    free(b->logins.us);
}

/* --- mail bench smtp, mail bench pop3 ------------------------------------- */

/* A header, then lines that fill up the size; then the final dot. */
static mail_err bench_text(bench *b) {
    size_t cap = (size_t)b->o.size + 2048, i;
    mail_dot_out dot;
    mail_buf t;
    mail_compose m;
    mail_err e;
    b->text = malloc(cap);
    if (b->text == NULL) return MAIL_ERR_NOMEM;
    t = mail_buf_on(b->text, cap - 8);
    memset(&m, 0, sizeof m);
    memset(&dot, 0, sizeof dot);
    m.from = b->o.from;
    m.to = b->o.to[0];
    m.subject = "bench";
    m.message_id = "<bench@localhost>";
    m.time = sys_time(NULL, &m.zone);
    e = mail_compose_head(&t, &m);
    while (!e && t.n + 2 < (size_t)b->o.size) {
        size_t left = (size_t)b->o.size - t.n, line = left < 78 ? left : 78;
        if (left - line == 1) line--;       /* the last one needs its CRLF */
        for (i = 0; i + 2 < line; i++) t.p[t.n++] = (char)('a' + i % 26);
        t.p[t.n++] = '\r';
        t.p[t.n++] = '\n';
    }
    b->size = (int64_t)t.n;
    b->text_n = t.n + mail_dot_close(&dot, b->text + t.n, 8);
    return e;
}

static mail_err bench_paths(bench *b) {
    size_t i;
    mail_err e = mail_path_mailbox(mail_s(b->o.from), &b->from);
    b->to = calloc(b->o.nto, sizeof *b->to);
    if (b->to == NULL) return MAIL_ERR_NOMEM;
    for (i = 0; i < b->o.nto && !e; i++)
        e = mail_path_mailbox(mail_s(b->o.to[i]), &b->to[i]);
    return e;
}

/* The address all of them connect to. Sealed, it is on this machine. */
static int bench_find(bench *b, const char *server) {
    const char *why = "";
    struct addrinfo *found = net_find(server, 0, &why), *a = found;
    while (a && !b->o.unsealed && !is_loopback(a->ai_addr)) a = a->ai_next;
    if (a) {
        memcpy(&b->at, a->ai_addr, a->ai_addrlen);
        b->at_n = a->ai_addrlen;
    } else
        fprintf(stderr, "mail bench: %s %s%s\n", server, found
                ? "is not on this machine: say --unsealed if that is meant"
                : "is no address: ", found ? "" : why);
    if (found) freeaddrinfo(found);
    return a != NULL;
}

static void bench_json(const bench *b, double seconds, double login_s) {
    printf("{\"bench\":\"%s\",\"clients\":%lld,\"messages\":%lld,"
           "\"failed\":%lld,\"octets\":%lld,\"seconds\":%.6f,"
           "\"messages_per_s\":%.2f,\"mib_per_s\":%.3f,",
           b->o.pop3 ? "pop3" : "smtp", (long long)b->o.clients,
           (long long)b->done, (long long)b->failed, (long long)b->octets,
           seconds, (double)b->done / seconds,
           (double)b->octets / 1048576 / seconds);
    printf("\"dot_p50_ms\":%.3f,\"dot_p99_ms\":%.3f,\"dot_max_ms\":%.3f,",
           bench_percentile(&b->dots, 50), bench_percentile(&b->dots, 99),
           bench_percentile(&b->dots, 100));
    printf("\"logins\":%lld,\"logins_per_s\":%.2f,\"login_p50_ms\":%.3f,"
           "\"login_p99_ms\":%.3f,\"login_max_ms\":%.3f,\"first_error\":",
           (long long)b->logged_in, (double)b->logged_in / login_s,
           bench_percentile(&b->logins, 50),
           bench_percentile(&b->logins, 99),
           bench_percentile(&b->logins, 100));
    json_text(stdout, mail_s(b->words));
    printf("}\n");
}

static void bench_row_ms(const char *name, const bench_times *t) {
    printf("%-16s p50 %.2f   p99 %.2f   max %.2f\n", name,
           bench_percentile(t, 50), bench_percentile(t, 99),
           bench_percentile(t, 100));
}

static void bench_tell(const bench *b, double seconds, double login_s) {
    if (!b->o.logins) {
        printf("%-16s %lld\n", "messages", (long long)b->done);
        printf("%-16s %.3f\n", "seconds", seconds);
        printf("%-16s %.0f\n", "messages/s", (double)b->done / seconds);
        printf("%-16s %.2f\n", "MiB/s",
               (double)b->octets / 1048576 / seconds);
    }
    if (!b->o.pop3) bench_row_ms("final dot, ms", &b->dots);
    if (b->o.logins) {
        printf("%-16s %lld\n", "logins", (long long)b->logged_in);
        printf("%-16s %.3f\n", "seconds", login_s);
        printf("%-16s %.0f\n", "logins/s", (double)b->logged_in / login_s);
    }
    if (b->o.pop3) bench_row_ms("login+STAT, ms", &b->logins);
}

/* The figures; 0 if every message went well. */
static int bench_result(bench *b, int64_t ended) {
    int64_t from = b->first ? b->first : b->begun;
    double seconds = (double)(b->last - from) / 1e6;
    double login_s = (double)(ended - b->begun) / 1e6;
    if (seconds <= 0) seconds = 1e-6;
    if (login_s <= 0) login_s = 1e-6;
    qsort(b->dots.us, b->dots.n, sizeof *b->dots.us, by_number);
    qsort(b->logins.us, b->logins.n, sizeof *b->logins.us, by_number);
    if (b->o.json) bench_json(b, seconds, login_s);
    else bench_tell(b, seconds, login_s);
    if (b->failed) {
        fprintf(stderr, "mail bench: %lld failed; the first: ",
                (long long)b->failed);
        show_safe(stderr, mail_s(b->words), 400);
        fputc('\n', stderr);
    }
    return b->failed != 0;
}

static int bench_setup(bench *b, const char *server) {
    mail_err e = MAIL_ERR_OK;
    int64_t n = b->o.pop3 ? 0 : b->o.messages;
    if (!b->o.pop3 && b->o.clients > n) b->o.clients = n;
    b->left = b->o.messages;
    b->sessions = b->o.logins ? b->o.logins : b->o.clients;
    if (b->o.clients > b->sessions) b->o.clients = b->sessions;
    if (!b->o.pop3) e = bench_paths(b);
    if (e) fprintf(stderr, "mail bench: --from or --to is no address (write "
                   "user@domain)\n");
    if (!e && !b->o.pop3 && (e = bench_text(b)) != MAIL_ERR_OK)
        fprintf(stderr, "mail bench: the text cannot be made: %s\n",
                mail_err_text(e));
    if (e || !bench_find(b, server)) return 0;
    if (bench_room(b, (size_t)b->o.clients) &&
        bench_times_room(&b->dots, n) &&
        bench_times_room(&b->logins, b->sessions)) return 1;
    fprintf(stderr, "mail bench: out of memory: fewer --clients, --messages\n");
    return 0;
}

/* Runs the whole load. 0: every message went well. */
static int bench_run(const bench_opts *o, const char *server) {
    static bench b;
    size_t i;
    int e = 1;
    memset(&b, 0, sizeof b);
    b.o = *o;
    b.over = bench_connect;
    if (bench_setup(&b, server)) {
        b.begun = b.told = b.last = bench_now();
        for (i = 0; i < b.nconns; i++) bench_connect(&b.conns[i]);
        while (b.open && !b.why) bench_turn(&b);
        if (!b.o.json && isatty(2)) fprintf(stderr, "\r\033[K");
        if (b.why)
            fprintf(stderr, "mail bench: %s: %s; does the server run, and "
                    "there?\n", server, b.why);
        else e = bench_result(&b, bench_now());
    }
    bench_free(&b);
    return e;
}

/* --- mail bench sink ------------------------------------------------------ */

/* Everything is welcome, and nothing is kept. */
static void sink_event(bench_conn *c, const mail_event *ev) {
    mail_smtpd *s = &c->s.sink;
    switch (ev->kind) {
    case MAIL_EV_TEXT:
        c->b->octets += (int64_t)ev->text.n;
        break;
    case MAIL_EV_DATA:
        mail_smtpd_reply(s, 354, NULL);
        break;
    case MAIL_EV_END:
        c->b->done++;
        mail_smtpd_reply(s, 250, NULL);
        break;
    case MAIL_EV_CLOSED:
        c->a.over = 1;
        break;
    case MAIL_EV_ABORT:
        break;
    default:
        mail_smtpd_reply(s, 250, NULL);
        break;
    }
}

static int sink_move(bench_conn *c) {
    mail_event ev;
    int moved = 0;
    while (mail_smtpd_next(&c->s.sink, &ev)) {
        sink_event(c, &ev);
        moved = 1;
    }
    return moved;
}

/* What waits for the peer when its commands outrun our answers is sent in
   between: else a full output would keep the rest of them out. */
static size_t sink_feed(agent *a, const char *in, size_t n) {
    bench_conn *c = (bench_conn *)a;
    size_t used = 0, k;
    do {
        k = mail_smtpd_feed(&c->s.sink, in + used, n - used);
        used += k;
        if (!sink_move(c) && k == 0) {
            if (mail_smtpd_out(&c->s.sink).n == 0) break;
            bench_write(c);
            if (mail_smtpd_out(&c->s.sink).n) break;
        }
    } while (used < n && !c->a.over);
    return used;
}

static mail_str sink_out(agent *a) {
    return mail_smtpd_out(&((bench_conn *)a)->s.sink);
}

static void sink_sent(agent *a, size_t n) {
    mail_smtpd_sent(&((bench_conn *)a)->s.sink, n);
}

static int64_t sink_tick(agent *a, int64_t now) {
    bench_conn *c = (bench_conn *)a;
    int64_t due = mail_smtpd_tick(&c->s.sink, now);
    sink_move(c);
    return due;
}

static void sink_eof(agent *a) { a->over = 1; }

static void sink_accept(bench *b, int port) {
    static const agent sink = { sink_feed, sink_out, sink_sent, sink_tick,
                                sink_eof, NULL, NULL, 0 };
    mail_smtpd_opts o;
    size_t i;
    int fd;
    memset(&o, 0, sizeof o);
    o.host = "localhost";
    o.max_size = (int64_t)1 << 40;
    o.max_messages = 1 << 30;
    o.max_time = o.max_size;
    while ((fd = accept(port, NULL, NULL)) >= 0) {
        bench_conn *c;
        for (i = 0; i < b->nconns && b->conns[i].fd >= 0; i++) {}
        if (i == b->nconns) {
            close(fd);
            continue;
        }
        c = &b->conns[i];
        bench_watch(c, fd);
        c->a = sink;
        mail_smtpd_init(&c->s.sink, o);
        bench_write(c);
    }
}

static void sink_tell(const bench *b) {
    printf("%lld messages, %lld octets\n", (long long)b->done,
           (long long)b->octets);
    fflush(stdout);
}

/* An SMTP server that takes everything and keeps nothing, until a signal.
   SIGHUP asks how much it has taken so far. */
static int bench_sink(const char *where, int unsealed, int64_t conns) {
    static bench b;
    machine m;
    listener l = { -1, 0, "smtp", NULL };
    l.where = where;
    memset(&m, 0, sizeof m);
    memset(&b, 0, sizeof b);
    m.unsealed = unsealed;
    catch_signals();
    if (!bench_room(&b, (size_t)conns)) return 1;
    if (!listen_on(&l, m.unsealed)) return 1;
    printf("ready\n");
    fflush(stdout);
    b.polls[BENCH_LISTENER].fd = l.fd;
    b.polls[BENCH_SIGNAL].fd = signal_pipe[0];
    b.polls[BENCH_LISTENER].events = b.polls[BENCH_SIGNAL].events = POLLIN;
    while (!signal_stop) {
        bench_turn(&b);
        if (b.polls[BENCH_LISTENER].revents) sink_accept(&b, l.fd);
        if (b.polls[BENCH_SIGNAL].revents) drain_signals();
        if (!signal_reload) continue;
        signal_reload = 0;
        sink_tell(&b);
    }
    sink_tell(&b);
    close(l.fd);
    bench_free(&b);
    return 0;
}

/* ======================================================================
   [CLI] the program                                                ch.14
   Every command: 0 done, 1 failed (one line that says what to do), 2 wrong
   usage.
   ====================================================================== */

typedef enum opt_kind {
    OPT_FLAG, OPT_TEXT, OPT_LIST, OPT_NUMBER, OPT_TITLE
} opt_kind;

enum { LIST_MAX = 256 };
typedef struct text_list { const char *p[LIST_MAX]; size_t n; } text_list;
typedef struct text_rest { char **p; size_t n; } text_rest;  /* of argv */

typedef struct opt {
    const char *name;
    opt_kind kind;
    void *to;                       /* int, const char *, text_list, int64_t */
    const char *help;               /* "ARG: what it is"                     */
} opt;

/* command may go on with ": " and where it was wrong. */
static int usage_error(const char *command, const char *what,
                       const char *name) {
    fprintf(stderr, "mail %s: %s %s; see: mail help %.*s\n", command, what,
            name, (int)strcspn(command, ":"), command);
    return 2;
}

/* A number, with k or m behind it. */
static int opt_number(const char *text, int64_t *to) {
    mail_str s = mail_s(text);
    int64_t unit = 1;
    if (s.n && (s.p[s.n - 1] == 'k' || s.p[s.n - 1] == 'K')) unit = 1024;
    if (s.n && (s.p[s.n - 1] == 'm' || s.p[s.n - 1] == 'M'))
        unit = 1024 * 1024;
    if (unit > 1) s.n--;
    if (mail_number(s, INT64_MAX / unit, to)) return 0;
    *to *= unit;
    return 1;
}

static const opt *opt_find(const opt *opts, mail_str name) {
    for (; opts->name; opts++)
        if (opts->kind != OPT_TITLE && mail_eq(mail_s(opts->name), name))
            return opts;
    return NULL;
}

/* Sets an option. Returns 0, or 2 with a line on stderr. */
static int opt_set(const char *command, const opt *o, const char *value) {
    text_list *list = o->to;
    switch (o->kind) {
    case OPT_FLAG:              /* a value only in mail.conf: yes or no */
        *(int *)o->to = value == NULL || *value == 0 ||
                        strcmp(value, "yes") == 0;
        return *(int *)o->to || strcmp(value, "no") == 0 ? 0
               : usage_error(command, "yes or no is wanted for", o->name);
    case OPT_TEXT:
        *(const char **)o->to = value;
        return 0;
    case OPT_LIST:
        if (list->n == LIST_MAX)
            return usage_error(command, "too many of", o->name);
        list->p[list->n++] = value;
        return 0;
    default:
        return opt_number(value, o->to) ? 0
               : usage_error(command, "a number is wanted for", o->name);
    }
}

/* Reads --name VALUE and --name=VALUE; what is left over goes to rest.
   Returns 0, 2 after an error, or -1 when help was asked for. */
static int opts_read(const char *command, const opt *opts, int argc,
                     char **argv, text_rest *rest) {
    int i, e;
    if (rest) rest->p = argv, rest->n = 0;
    for (i = 0; i < argc; i++) {
        const char *arg = argv[i], *value;
        mail_str tail = mail_s(arg), name;
        const opt *o;
        if (strcmp(arg, "--help") == 0) return -1;
        if (strncmp(arg, "--", 2) != 0 || arg[2] == 0) {
            if (rest == NULL) return usage_error(command, "what is", arg);
            rest->p[rest->n++] = argv[i];
            continue;
        }
        name = mail_cut(&tail, '=');
        o = opt_find(opts, mail_sn(name.p + 2, name.n - 2));
        if (o == NULL) return usage_error(command, "unknown option", arg);
        value = strchr(arg, '=') ? strchr(arg, '=') + 1 : NULL;
        if (o->kind == OPT_FLAG && value)
            return usage_error(command, "takes no value:", arg);
        if (o->kind != OPT_FLAG && value == NULL) {
            if (++i == argc)
                return usage_error(command, "a value is missing for", arg);
            value = argv[i];
        }
        e = opt_set(command, o, o->kind == OPT_FLAG ? NULL : value);
        if (e) return e;
    }
    return 0;
}

static void opts_help(const opt *opts) {
    for (; opts->name; opts++) {
        char left[60];
        const char *text;
        if (opts->kind == OPT_TITLE) {
            printf("%s\n", opts->name);
            continue;
        }
        text = strstr(opts->help, ": ");
        snprintf(left, sizeof left, "--%s %.*s", opts->name,
                 (int)(text - opts->help), opts->help);
        if (strlen(left) > 24) printf("  %s\n%27s%s\n", left, "", text + 2);
        else printf("  %-24s %s\n", left, text + 2);
    }
}

/* A whole line of standard input or a file, without its end. */
static int read_line(FILE *f, char *to, size_t cap) {
    size_t n;
    if (fgets(to, (int)cap, f) == NULL) return 0;
    n = strlen(to);
    while (n && (to[n - 1] == '\n' || to[n - 1] == '\r')) to[--n] = 0;
    return 1;
}

static int ask_terminal(const char *prompt, char *to, size_t cap) {
    struct termios old, quiet;
    int ok;
    fprintf(stderr, "%s: ", prompt);
    if (tcgetattr(0, &old)) return read_line(stdin, to, cap);
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(0, TCSAFLUSH, &quiet);
    ok = read_line(stdin, to, cap);
    tcsetattr(0, TCSAFLUSH, &old);
    fputc('\n', stderr);
    return ok;
}

/* What is left of it in the environment, others could read as long as we
   run. */
static int password_env(char *env, char *to, size_t cap) {
    int ok = mail_copy(to, cap, mail_s(env));
    mail_wipe(env, strlen(env));
    unsetenv("MAIL_PASSWORD");
    if (!ok) fprintf(stderr, "mail: MAIL_PASSWORD is longer than 255 octets"
                     "\n");
    return ok;
}

/* The password never comes on the command line, where others can see it:
   a file, the environment, a prompt, or a line of standard input. */
static int get_password(const char *file, char *to, size_t cap) {
    char *env = getenv("MAIL_PASSWORD");
    FILE *f;
    int ok;
    if (file) {
        f = fopen(file, "r");
        if (f) setvbuf(f, NULL, _IONBF, 0);       /* no copy of it is left */
        ok = f && read_line(f, to, cap);
        if (f) fclose(f);
        if (!ok) fprintf(stderr, "mail: --password-file %s cannot be read: "
                         "put the password on its first line\n", file);
        return ok;
    }
    if (env) return password_env(env, to, cap);
    setvbuf(stdin, NULL, _IONBF, 0);
    ok = isatty(0) ? ask_terminal("password", to, cap)
                   : read_line(stdin, to, cap);
    if (!ok) fprintf(stderr, "mail: no password: set MAIL_PASSWORD, or name "
                     "a --password-file\n");
    return ok;
}

/* --- mail demo, mail view ------------------------------------------------ */

typedef struct view_line {          /* what both take */
    int on[VIEWS];
    const char *file[VIEWS];
    const char *lang;
} view_line;

/* Their rows of options, behind those that are there already. */
static void view_opts(opt *o, view_line *v) {
    static const opt lang = { "lang", OPT_TEXT, NULL,
                              "en|ko: the language it is told in" };
    int i;
    while (o->name) o++;
    for (i = 1; i < VIEWS; i++, o++) {
        o->name = views[i].name;
        o->kind = views[i].file ? OPT_TEXT : OPT_FLAG;
        o->to = views[i].file ? (void *)&v->file[i] : (void *)&v->on[i];
        o->help = views[i].help;
    }
    *o = lang;
    o->to = &v->lang;
}

/* The views that go into files. 0: one of them cannot be written. */
static int view_files(const view_line *v, const steps *s,
                      const char *command) {
    int i;
    for (i = 0; i < VIEWS; i++) {
        FILE *f = v->file[i] ? fopen(v->file[i], "wb") : NULL;
        if (v->file[i] == NULL) continue;
        if (f) views[i].show(f, s);
        if (f && !ferror(f) && fclose(f) == 0) continue;
        fprintf(stderr, "mail %s: --%s %s: %s\n", command, views[i].name,
                v->file[i], strerror(errno));
        return 0;
    }
    return 1;
}

/* What was typed, for who wants to type it again. */
static void view_made(trace *t, const char *command, int argc, char **argv) {
    mail_buf b = mail_buf_on(t->made, sizeof t->made - 1);
    int i;
    mail_buf_fmt(&b, "mail %s", command);
    for (i = 0; i < argc; i++) mail_buf_fmt(&b, " %s", argv[i]);
    t->made[b.n] = 0;
}

/* The view that is asked for; -1: more than one, -2: in what language? */
static int view_chosen(const view_line *v, int *lang) {
    int i, chosen = 0;
    *lang = LANG_EN;
    if (v->lang && strcmp(v->lang, "ko") == 0) *lang = LANG_KO;
    else if (v->lang && strcmp(v->lang, "en") != 0) return -2;
    for (i = 1; i < VIEWS; i++)
        if (v->on[i] && chosen) return -1;
        else if (v->on[i]) chosen = i;
    return chosen;
}

static int view_usage(const char *command, int chosen) {
    return chosen == -2 ? usage_error(command, "--lang is", "en or ko")
         : usage_error(command, "choose one of",
                       "--full, --plain, --mermaid, --json");
}

typedef struct demo_line {          /* what mail demo was asked for */
    int keep, del, by_step;
    int64_t seed, chunk, crash;
    const char *play;
} demo_line;

/* Which play? NULL, and *e is what to exit with. */
static const scenario *demo_which(const demo_line *l, int lang, int *e) {
    const char *name = l->play ? l->play : l->crash ? "crash" : "4";
    const scenario *p = scenario_find(name);
    *e = 0;
    if (strcmp(name, "help") == 0) {
        scenario_list(stdout, lang);
        return NULL;
    }
    if (p == NULL)
        *e = usage_error("demo", "--scenario help lists them; there is no",
                         name);
    else if (l->keep && l->del)
        *e = usage_error("demo", "choose one of", "--keep, --delete");
    else if (l->keep && !p->keeps)
        *e = usage_error("demo", "--keep has no meaning in --scenario", name);
    else if (l->crash && strcmp(name, "crash") != 0)
        *e = usage_error("demo", "--crash has no meaning in --scenario", name);
    return *e ? NULL : p;
}

/* The last words. Of the usual play --plain says the first of them. */
static void demo_end(const demo *d, int lang, int plain) {
    int usual = d->t.scenario[0] == 0;
    if (!plain) rule(stdout, "");
    if (plain && usual)
        printf("%.*s", (int)strcspn(d->t.says, "\n") + 1, d->t.says);
    else printf("%s", d->t.says);
    if (!plain && usual) printf("%s", word(lang, W_DEMO_MORE));
}

static int demo_show(const scenario *p, const demo_line *l, view_line *v,
                     int chosen, int lang, int argc, char **argv) {
    static demo d;
    steps s;
    int e;
    scenario_run(&d, p, (uint64_t)l->seed, (size_t)l->chunk, l->keep,
                 l->crash ? (unsigned long)l->crash : SCENE_CRASH);
    view_made(&d.t, "demo", argc, argv);
    scenario_says(&d, lang);
    steps_make(&s, &d.t, lang);
    if (!views[chosen].bare) view_title(stdout, &s);
    if (l->by_step) step_through(stdin, stdout, &s, isatty(0));
    else views[chosen].show(stdout, &s);
    if (views[chosen].ends) demo_end(&d, lang, views[chosen].bare);
    e = d.got == 0 || !view_files(v, &s, "demo");
    steps_free(&s);
    demo_free(&d);
    return e;
}

static int cmd_demo(int argc, char **argv) {
    static demo_line l;
    static view_line v;
    const scenario *p;
    int chosen, lang, e;
    opt opts[VIEWS + 10] = {
        { "delete", OPT_FLAG, &l.del,
          ": Bob's permanent computer: fetched mail goes (default)" },
        { "keep", OPT_FLAG, &l.keep,
          ": another computer: mail stays on the server" },
        { "scenario", OPT_TEXT, &l.play,
          "NAME: what may befall a message (below)" },
        { "crash", OPT_NUMBER, &l.crash,
          "N: the power of mail.a goes at its disk's step N" },
        { "chunk", OPT_NUMBER, &l.chunk,
          "N: octets that arrive at a time (the result is the same)" },
        { "seed", OPT_NUMBER, &l.seed, "N: another world" },
        { "step", OPT_FLAG, &l.by_step,
          ": one step at a time; ? explains it, b goes back" }
    };
    l.seed = 1;
    view_opts(opts, &v);
    e = opts_read("demo", opts, argc, argv, NULL);
    if (e < 0) {
        printf("mail demo: one message, all the way, in one process\n");
        opts_help(opts);
        printf("scenarios:\n");
        scenario_list(stdout, LANG_EN);
        return 0;
    }
    if (e) return e;
    chosen = view_chosen(&v, &lang);
    if (chosen < 0) return view_usage("demo", chosen);
    p = demo_which(&l, lang, &e);
    return p ? demo_show(p, &l, &v, chosen, lang, argc, argv) : e;
}

static int cmd_play(int argc, char **argv) {
    static play p;
    const char *as = NULL, *lang = NULL;
    int pop3 = 0, e;
    const opt opts[] = {
        { "as", OPT_TEXT, (void *)&as,
          "client|server: which end of the wire you are (client)" },
        { "pop3", OPT_FLAG, &pop3, ": mail access, not mail transfer" },
        { "lang", OPT_TEXT, (void *)&lang,
          "en|ko: the language it is told in" },
        { NULL, OPT_FLAG, NULL, NULL }
    };
    e = opts_read("play", opts, argc, argv, NULL);
    if (e < 0) {
        printf("mail play: type commands to a server, or be the server\n");
        opts_help(opts);
        return 0;
    }
    if (e) return e;
    if (as && strcmp(as, "client") != 0 && strcmp(as, "server") != 0)
        return usage_error("play", "--as is", "client or server");
    if (lang && strcmp(lang, "en") != 0 && strcmp(lang, "ko") != 0)
        return usage_error("play", "--lang is", "en or ko");
    p.lang = lang && strcmp(lang, "ko") == 0 ? LANG_KO : LANG_EN;
    p.in = stdin;
    p.f = stdout;
    p.prompt = isatty(0);
    printf("mail.h play  %s\n", say(&p, P_TITLE));
    fputs(say(&p, P_HINT), stdout);
    play_begin(&p, as && strcmp(as, "server") == 0, pop3);
    play_loop(&p);
    play_end(&p);
    return 0;
}

/* Reads what `mail serve --trace` or `mail demo --json` has written, "-" for
   standard input. 0, or 1 with a line said. */
static int view_read(trace *t, const char *name, const char *command) {
    const char *why = NULL;
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    int line;
    if (f == NULL) {
        fprintf(stderr, "mail %s: %s: %s\n", command, name, strerror(errno));
        return 1;
    }
    line = trace_read(t, f, &why);
    if (f != stdin) fclose(f);
    if (line) fprintf(stderr, "mail %s: %s, line %d: %s\n", command, name,
                      line, why);
    else if (why) fprintf(stderr, "mail %s: %s ends in the middle of a line: "
                          "that is left out\n", command, name);
    return line != 0;
}

static int cmd_view(int argc, char **argv) {
    static trace t;
    static view_line v;
    text_rest files;
    steps s;
    int chosen, lang, e;
    opt opts[VIEWS + 2] = { { NULL, OPT_FLAG, NULL, NULL } };
    view_opts(opts, &v);
    view_made(&t, "view", argc, argv);            /* before it is sorted */
    e = opts_read("view", opts, argc, argv, &files);
    if (e < 0) {
        printf("mail view FILE: a trace (of mail serve --trace), to be looked "
               "at\n");
        opts_help(opts);
        return 0;
    }
    if (e) return e;
    chosen = view_chosen(&v, &lang);
    if (chosen < 0) return view_usage("view", chosen);
    if (files.n != 1) return usage_error("view", "one FILE is wanted,",
                                         "or - for standard input");
    e = view_read(&t, files.p[0], "view");
    if (e == 0) {
        steps_make(&s, &t, lang);
        views[chosen].show(stdout, &s);
        e = !view_files(&v, &s, "view");
        steps_free(&s);
    }
    trace_free(&t);
    return e;
}

/* The view --octets, and only what of it is asked for. */
static int cmd_octets(int argc, char **argv) {
    static demo d;
    trace t;
    text_rest files;
    steps s;
    int64_t stream = -1, frame = -1;
    const opt opts[] = {
        { "stream", OPT_NUMBER, &stream, "N: one connection, from 0" },
        { "frame", OPT_NUMBER, &frame, "N: one packet, from 1" },
        { NULL, OPT_FLAG, NULL, NULL }
    };
    int e = opts_read("octets", opts, argc, argv, &files);
    if (e < 0) {
        printf("mail octets [FILE]: each packet of a trace, or of the demo, in "
               "hex and text\n");
        opts_help(opts);
        return 0;
    }
    if (e) return e;
    if (files.n > 1) return usage_error("octets", "one FILE at most,",
                                        "or - for standard input");
    memset(&t, 0, sizeof t);
    if (files.n && view_read(&t, files.p[0], "octets")) return 1;
    if (files.n == 0) demo_run(&d, 1, 0, 0);
    steps_make(&s, files.n ? &t : &d.t, LANG_EN);
    octets_show(stdout, &s, stream, frame);
    steps_free(&s);
    trace_free(&t);
    if (files.n == 0) demo_free(&d);
    return 0;
}

/* --- mail serve ---------------------------------------------------------- */

typedef struct serve_opts {
    const char *dir, *host, *smtp, *submission, *pop3, *smarthost;
    const char *resolver, *lmtp;
    const char *bare_lf, *catch_all, *retry, *run_as;
    const char *smtps, *pop3s, *cert, *key;
    text_list domains, routes, relay_from;
    char nets[4096];                /* of relay_from, with spaces */
    int64_t max_size, warn, max_out, max_hop, expire, max_rcpts, max_conns;
    int64_t max_per_address, crowd_timeout, timeout, hello_timeout;
    int64_t pop3_timeout, login_timeout, max_time, min_rate, max_messages;
    int64_t max_errors, slow_errors, max_junk, max_header, max_lines;
    int64_t auth_delay, auth_tries, auth_lock;
    int no_auth_limits;
    int64_t max_hops, min_free, max_addresses, max_sessions;
    int64_t connect_timeout, reply_timeout, max_return, bdat;
    int unsealed, allow_plain, verbose;
    const char *trace;
    mail_route route[LIST_MAX];
    char route_text[LIST_MAX][2 * MAIL_NAME_SIZE];
    char host_text[MAIL_DOMAIN_SIZE];
} serve_opts;

static serve_opts serve;

static const opt serve_table[] = {
    { "dir", OPT_TEXT, &serve.dir, "DIR: where everything is (./mail.d)" },
    { "host", OPT_TEXT, &serve.host, "NAME: this server's own name" },
    { "domain", OPT_LIST, &serve.domains,
      "NAME: a domain whose mail ends here (again: more)" },
    { "smtp", OPT_TEXT, &serve.smtp,
      "ADDR: from other servers (127.0.0.1:2525)" },
    { "submission", OPT_TEXT, &serve.submission,
      "ADDR: from users, who log in (127.0.0.1:2587)" },
    { "pop3", OPT_TEXT, &serve.pop3,
      "ADDR: users fetch here (127.0.0.1:2110)" },
    { "smtps", OPT_TEXT, &serve.smtps,
      "ADDR: submission, in TLS from the start (none)" },
    { "pop3s", OPT_TEXT, &serve.pop3s,
      "ADDR: POP3, in TLS from the start (none)" },
    { "cert", OPT_TEXT, &serve.cert,
      "FILE: the certificate, PEM, its CA's behind it: TLS" },
    { "key", OPT_TEXT, &serve.key,
      "FILE: its key, PEM (default: in the same FILE)" },
    { "route", OPT_LIST, &serve.routes,
      "DOMAIN=HOST:PORT: where that domain's mail goes" },
    { "smarthost", OPT_TEXT, &serve.smarthost,
      "HOST:PORT: where all other mail goes (default: its MX)" },
    { "lmtp", OPT_TEXT, &serve.lmtp,
      "HOST:PORT or /SOCKET: our domains' mailboxes (here)" },
    { "resolver", OPT_TEXT, &serve.resolver,
      "ADDR: the name server to ask (those of /etc/resolv.conf)" },
    { "relay-from", OPT_LIST, &serve.relay_from,
      "NET: may relay without a login: 192.0.2.0/24 (nobody)" },
    { "catch-all", OPT_TEXT, &serve.catch_all,
      "USER: gets the mail for unknown users" },
    { "bare-lf", OPT_TEXT, &serve.bare_lf,
      "normalise|reject: lines without CR (normalise)" },
    { "run-as", OPT_TEXT, &serve.run_as,
      "USER: who root becomes (the owner of --dir)" },
    { "unsealed", OPT_FLAG, &serve.unsealed,
      ": listen and connect beyond loopback" },
    { "allow-plaintext-auth", OPT_FLAG, &serve.allow_plain,
      ": take passwords in clear from beyond loopback" },
    { "verbose", OPT_FLAG, &serve.verbose,
      ": log commands, replies and disk steps, too" },
    { "trace", OPT_TEXT, &serve.trace,
      "FILE: write it all down for mail view, with all texts" },
    { "Limits (seconds, or octets: 10k, 10m; 0 is the number in brackets):",
      OPT_TITLE, NULL, NULL },
    { "max-connections", OPT_NUMBER, &serve.max_conns,
      "N: clients at once (100)" },
    { "max-per-address", OPT_NUMBER, &serve.max_per_address,
      "N: of them, from one address (half of them)" },
    { "crowd-timeout", OPT_NUMBER, &serve.crowd_timeout,
      "N: silence, with 80 % of the connections taken (10)" },
    { "timeout", OPT_NUMBER, &serve.timeout,
      "N: silence of an SMTP client (300)" },
    { "hello-timeout", OPT_NUMBER, &serve.hello_timeout,
      "N: until its first HELO or EHLO (60)" },
    { "pop3-timeout", OPT_NUMBER, &serve.pop3_timeout,
      "N: silence of a POP3 client; at least 600 (600)" },
    { "login-timeout", OPT_NUMBER, &serve.login_timeout,
      "N: the same, before its login (60)" },
    { "auth-delay", OPT_NUMBER, &serve.auth_delay,
      "N: a wrong password's answer waits; more: 4, 8, 15 (2)" },
    { "auth-tries", OPT_NUMBER, &serve.auth_tries,
      "N: wrong passwords lock the name for that address (10)" },
    { "auth-lock", OPT_NUMBER, &serve.auth_lock,
      "N: and for so long (900)" },
    { "no-auth-limits", OPT_FLAG, &serve.no_auth_limits,
      ": guess as often and as quickly as you like" },
    { "max-time", OPT_NUMBER, &serve.max_time,
      "N: how long an SMTP client may stay (3600)" },
    { "min-rate", OPT_NUMBER, &serve.min_rate,
      "N: octets a second that a text must come at (500)" },
    { "max-messages", OPT_NUMBER, &serve.max_messages,
      "N: from one connection (1000)" },
    { "max-errors", OPT_NUMBER, &serve.max_errors,
      "N: refused commands, then goodbye (20)" },
    { "slow-errors", OPT_NUMBER, &serve.slow_errors,
      "N: from this one on, replies a second late (5)" },
    { "max-junk", OPT_NUMBER, &serve.max_junk,
      "N: NOOP, RSET and the like without a message (100)" },
    { "max-size", OPT_NUMBER, &serve.max_size,
      "N: octets a message may have (10m)" },
    { "max-rcpts", OPT_NUMBER, &serve.max_rcpts,
      "N: recipients a message may have (100)" },
    { "max-header", OPT_NUMBER, &serve.max_header,
      "N: octets of its header (100k)" },
    { "max-lines", OPT_NUMBER, &serve.max_lines,
      "N: lines of its header (1000)" },
    { "max-return", OPT_NUMBER, &serve.max_return,
      "N: octets of failed mail that come back whole (50k)" },
    { "max-hops", OPT_NUMBER, &serve.max_hops,
      "N: servers it may have passed (100)" },
    { "min-free", OPT_NUMBER, &serve.min_free,
      "N: octets left on the disk, or no mail (1.5 messages)" },
    { "Limits of what goes out:", OPT_TITLE, NULL, NULL },
    { "max-out", OPT_NUMBER, &serve.max_out,
      "N: connections to other servers at once (20)" },
    { "max-hop", OPT_NUMBER, &serve.max_hop,
      "N: of them, to one next hop (10)" },
    { "max-addresses", OPT_NUMBER, &serve.max_addresses,
      "N: of a next hop, called in one try (5)" },
    { "max-sessions", OPT_NUMBER, &serve.max_sessions,
      "N: of them, that answer (2)" },
    { "connect-timeout", OPT_NUMBER, &serve.connect_timeout,
      "N: until a connection is made (30)" },
    { "reply-timeout", OPT_NUMBER, &serve.reply_timeout,
      "N: until a reply, at most (RFC 5321: 120 to 600)" },
    { "bdat", OPT_NUMBER, &serve.bdat,
      "N: octets from which on a text goes by BDAT (64k)" },
    { "retry", OPT_TEXT, &serve.retry,
      "FIRST[,MAX]: between tries (300,14400)" },
    { "warn", OPT_NUMBER, &serve.warn,
      "N: until the sender hears of a delay (14400)" },
    { "expire", OPT_NUMBER, &serve.expire,
      "N: until giving up (432000)" },
    { NULL, OPT_FLAG, NULL, NULL }
};

/* Opens a mail.conf. Root would show the first line of any file that a link
   points to, and do what whoever can write the file says: it follows none,
   and reads none of these. NULL with *e 0: there is no such file. */
static FILE *conf_open(const char *command, const char *path, int *e) {
    struct stat st;
    FILE *f;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
                  (geteuid() ? 0 : O_NOFOLLOW));
    *e = 0;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return NULL;
    f = fd < 0 || fstat(fd, &st) ? NULL : fdopen(fd, "r");
    *e = f == NULL || (geteuid() == 0 && (st.st_mode & 022));
    if (f == NULL)
        fprintf(stderr, "mail %s: %s cannot be read: %s\n", command, path,
                strerror(errno));
    else if (*e)
        fprintf(stderr, "mail %s: %s can be written by others: chmod go-w\n",
                command, path);
    if (*e && f) fclose(f);
    else if (*e && fd >= 0) close(fd);
    return *e ? NULL : f;
}

/* "name value". where is the command, the file and the line. The value lives
   as long as the program. */
static int conf_line(const char *where, const opt *opts, mail_str line) {
    static text_list kept;
    mail_str value = mail_trim(line), name = value;
    const opt *o;
    char *copy;
    if (value.n == 0 || value.p[0] == '#') return 0;
    while (value.n && value.p[0] != ' ' && value.p[0] != '\t')
        value = mail_sn(value.p + 1, value.n - 1);
    name.n -= value.n;
    value = mail_trim(value);
    o = opt_find(opts, name);
    if (o == NULL || kept.n == LIST_MAX ||
        (o->kind != OPT_FLAG && value.n == 0)) {
        char shown[160];
        mail_printable(shown, sizeof shown, mail_sn(name.p, name.n < 40 ?
                                                    name.n : 40));
        return usage_error(where, o && value.n ? "too many lines:" :
                           o ? "a value is missing for" : "what is", shown);
    }
    copy = malloc(value.n + 1);
    if (copy == NULL) {
        fprintf(stderr, "mail %s: out of memory\n", where);
        return 1;
    }
    mail_copy(copy, value.n + 1, value);
    kept.p[kept.n++] = copy;
    return opt_set(where, o, copy);
}

/* A mail.conf: "name value" lines, the names of a command's long options.
   What stands on the command line comes later and wins. Returns 0, 1 or 2
   with a line on stderr, -1 if there is no such file. */
static int conf_read(const char *command, const opt *opts, const char *path) {
    char line[1024], where[1200];
    int e, n = 0;
    FILE *f = conf_open(command, path, &e);
    if (f == NULL) return e ? e : -1;
    while (!e && read_line(f, line, sizeof line)) {
        snprintf(where, sizeof where, "%s: %s line %d", command, path, ++n);
        e = strlen(line) == sizeof line - 1
            ? usage_error(where, "too long:", "at most 1022 octets")
            : conf_line(where, opts, mail_s(line));
    }
    if (!e && ferror(f)) {
        fprintf(stderr, "mail %s: %s cannot be read: %s\n", command, path,
                strerror(errno));
        e = 1;
    }
    fclose(f);
    return e;
}

/* DIR/mail.conf, if there is one. */
static int serve_conf(const char *dir) {
    char path[1024];
    int e;
    snprintf(path, sizeof path, "%s/mail.conf", dir);
    e = conf_read("serve", serve_table, path);
    return e < 0 ? 0 : e;
}

static const char *dir_of(int argc, char **argv) {
    int i;
    for (i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            return argv[i + 1];
        if (strncmp(argv[i], "--dir=", 6) == 0) return argv[i] + 6;
    }
    return "./mail.d";
}

static int serve_routes(mail_routing *r) {
    size_t i;
    for (i = 0; i < serve.routes.n; i++) {
        mail_str hop = mail_s(serve.routes.p[i]), domain, host;
        char *at = serve.route_text[i];
        int port;
        domain = mail_cut(&hop, '=');
        if (!mail_domain_ok(domain) || mail_host_port(hop, &host, &port) ||
            domain.n + hop.n + 2 > sizeof serve.route_text[0])
            return usage_error("serve", "write DOMAIN=HOST:PORT, not",
                               serve.routes.p[i]);
        mail_copy(at, domain.n + 1, domain);
        serve.route[i].domain = at;
        at += domain.n + 1;
        mail_copy(at, hop.n + 1, hop);
        serve.route[i].hop = at;
    }
    r->routes = serve.route;
    r->nroutes = serve.routes.n;
    return 0;
}

/* Our name: --host, else the first domain, else what the system says. */
static const char *serve_host(void) {
    if (serve.host) return serve.host;
    if (serve.domains.n) return serve.domains.p[0];
    if (gethostname(serve.host_text, sizeof serve.host_text - 1) == 0 &&
        mail_domain_ok(mail_s(serve.host_text))) return serve.host_text;
    return "localhost";
}

/* A count: a million is as good as any number. */
static int small(int64_t n) { return (int)(n > 1000000 ? 1000000 : n); }

/* Seconds into milliseconds: a year is as good as any time. */
static int64_t ms_of(int64_t s) {
    return (s > 31536000 ? 31536000 : s) * 1000;
}

/* Octets: a terabyte is as good as any number. */
static int64_t octets_of(int64_t n) {
    const int64_t most = INT64_C(1) << 40;
    return n > most ? most : n;
}

static void serve_limits(mail_server_opts *o) {
    int64_t size = serve.max_size ? octets_of(serve.max_size)
                                  : 10 * 1024 * 1024;
    o->max_conns = small(serve.max_conns);
    o->max_per_address = small(serve.max_per_address);
    o->crowd_timeout = ms_of(serve.crowd_timeout);
    o->timeout = ms_of(serve.timeout);
    o->hello_timeout = ms_of(serve.hello_timeout);
    o->pop3_timeout = ms_of(serve.pop3_timeout);
    o->login_timeout = ms_of(serve.login_timeout);
    o->auth_delay = serve.no_auth_limits ? -1 : ms_of(serve.auth_delay);
    o->auth_tries = serve.no_auth_limits ? -1 : small(serve.auth_tries);
    o->auth_lock = ms_of(serve.auth_lock) / 1000;
    o->max_time = ms_of(serve.max_time);
    o->min_rate = small(serve.min_rate);
    o->max_messages = small(serve.max_messages);
    o->max_errors = small(serve.max_errors);
    o->slow_errors = small(serve.slow_errors);
    o->max_junk = small(serve.max_junk);
    o->max_size = octets_of(serve.max_size);
    o->max_rcpts = small(serve.max_rcpts);
    o->max_header = octets_of(serve.max_header);
    o->max_lines = small(serve.max_lines);
    o->max_hops = small(serve.max_hops);
    o->max_return = octets_of(serve.max_return);
    o->reserve = serve.min_free ? octets_of(serve.min_free)
                               : size + size / 2;
    o->max_out = small(serve.max_out);
    o->max_hop = small(serve.max_hop);
    o->max_addresses = small(serve.max_addresses);
    o->max_sessions = small(serve.max_sessions);
    o->connect_timeout = ms_of(serve.connect_timeout);
    o->reply_timeout = ms_of(serve.reply_timeout);
    o->bdat = octets_of(serve.bdat);
    o->warn = ms_of(serve.warn) / 1000;
    o->expire = ms_of(serve.expire) / 1000;
}

static int serve_relay(mail_server_opts *o) {
    mail_buf b = mail_buf_on(serve.nets, sizeof serve.nets - 1);
    mail_str bad;
    size_t i;
    mail_err e;
    for (i = 0; i < serve.relay_from.n; i++)
        mail_buf_fmt(&b, "%s%s", i ? " " : "", serve.relay_from.p[i]);
    serve.nets[b.n] = 0;
    o->relay_from = serve.nets;
    if (b.full) return usage_error("serve", "too many of", "--relay-from");
    e = mail_relay_check(mail_buf_str(&b), &bad);
    if (e == MAIL_ERR_OK) return 0;
    fprintf(stderr, "mail serve: --relay-from %.*s: %s\n", MAIL_ARG(bad),
            e == MAIL_ERR_SYNTAX ? "write an address, or a network as "
            "192.0.2.0/24 or 2001:db8::/32" : "so large a network holds "
            "strangers: this would be an open relay");
    return 2;
}

static int serve_lmtp(mail_routing *r) {
    mail_err e = serve.lmtp ? mail_lmtp_check(serve.lmtp) : MAIL_ERR_OK;
    r->lmtp = serve.lmtp;
    if (e == MAIL_ERR_MISUSE)
        return usage_error("serve", "port 25 is for SMTP, LMTP needs another "
                           "(RFC 2033 5):", serve.lmtp);
    if (e) return usage_error("serve", "--lmtp is HOST:PORT or /SOCKET, not",
                              serve.lmtp);
    if (serve.lmtp && serve.catch_all)
        return usage_error("serve", "with --lmtp the mailboxes are there, and "
                           "so is what --catch-all would do:",
                           serve.catch_all);
    return 0;
}

/* Who comes in from a network is told about; so is whom they may write to. */
static void serve_policy(const listener *ls, size_t n) {
    size_t i;
    int beyond = 0, logins = 0;
    for (i = 0; i < n; i++) {
        struct sockaddr_storage at;
        socklen_t size = sizeof at;
        memset(&at, 0, sizeof at);
        if (ls[i].fd < 0 ||
            getsockname(ls[i].fd, (struct sockaddr *)&at, &size) ||
            is_loopback((struct sockaddr *)&at)) continue;
        beyond = 1;
        logins |= ls[i].port != MAIL_PORT_SMTP;
    }
    if (logins && !serve.cert && !serve.allow_plain)
        fprintf(stderr, "mail serve: without --cert nobody can log in from "
                "another machine\n");
    if (!beyond && !serve.relay_from.n) return;
    fprintf(stderr, "mail serve: relays for those who have logged in%s%s, "
            "and for nobody else\n", serve.nets[0] ? ", for " : "",
            serve.nets);
}

static int serve_check(mail_server_opts *o) {
    static const char *own[1];
    net_address resolver;
    mail_str text, host;
    int port, e;
    size_t i;
    memset(o, 0, sizeof *o);
    for (i = 0; i < serve.domains.n; i++)
        if (!mail_domain_ok(mail_s(serve.domains.p[i])))
            return usage_error("serve", "not a domain:", serve.domains.p[i]);
    o->host = serve_host();
    if (!mail_domain_ok(mail_s(o->host)))
        return usage_error("serve", "not a host name:", o->host);
    own[0] = o->host;
    o->routing.domains = serve.domains.n ? serve.domains.p : own;
    o->routing.ndomains = serve.domains.n ? serve.domains.n : 1;
    e = serve_routes(&o->routing);
    if (e) return e;
    if (serve.smarthost && mail_host_port(mail_s(serve.smarthost), &host,
                                          &port))
        return usage_error("serve", "write HOST:PORT, not", serve.smarthost);
    if (serve.resolver && !address_read(&resolver, mail_s(serve.resolver),
                                        53))
        return usage_error("serve", "--resolver is an address, a port or "
                           "both, not", serve.resolver);
    if (serve.bare_lf && strcmp(serve.bare_lf, "reject") != 0 &&
        strcmp(serve.bare_lf, "normalise") != 0)
        return usage_error("serve", "--bare-lf is normalise or reject, not",
                           serve.bare_lf);
    text = mail_s(serve.retry);
    if (serve.retry && (mail_number(mail_cut(&text, ','), 1000000,
                                    &o->retry_first) ||
        (text.n && mail_number(text, 1000000, &o->retry_max))))
        return usage_error("serve", "--retry is FIRST or FIRST,MAX, not",
                           serve.retry);
    if (o->retry_max < o->retry_first && o->retry_max)
        o->retry_max = o->retry_first;
    if (serve.pop3_timeout && serve.pop3_timeout < 600)   /* RFC 1939 3 */
        return usage_error("serve", "600 seconds or more are wanted for",
                           "--pop3-timeout");
    if (!serve.cert && (serve.smtps || serve.pop3s || serve.key))
        return usage_error("serve", "TLS needs a certificate: give",
                           "--cert FILE");
    o->tls = serve.cert != NULL;
    if (serve.catch_all && !mail_user_ok(mail_s(serve.catch_all)))
        return usage_error("serve", "not a user:", serve.catch_all);
    e = serve_lmtp(&o->routing);
    if (!e) e = serve_relay(o);
    if (e) return e;
    o->routing.smarthost = serve.smarthost;
    o->routing.catch_all = serve.catch_all;
    o->reject_bare = serve.bare_lf && serve.bare_lf[0] == 'r';
    serve_limits(o);
    o->any_auth = 1;
    return 0;
}

/* --trace: the same notes as the log's, as lines of JSON. The file holds
   what people write to each other: it is its owner's alone, also if it was
   there before. */
static struct { FILE *f; trace_part host; int64_t since; } serve_traced;

static int serve_trace_open(void) {
    struct stat st;
    int fd, zone;
    if (serve.trace == NULL) return 1;
    fd = open(serve.trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        st.st_mode & 077 && fchmod(fd, 0600)) {
        close(fd);
        fd = -1;
    }
    serve_traced.f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (serve_traced.f == NULL) {
        fprintf(stderr, "mail serve: --trace %s: %s\n", serve.trace,
                strerror(errno));
        return 0;
    }
    setvbuf(serve_traced.f, NULL, _IOLBF, BUFSIZ);
    serve_traced.since = sys_clock(NULL);
    mail_copy(serve_traced.host.name, sizeof serve_traced.host.name,
              mail_s(serve_host()));
    json_begin(serve_traced.f, 0, sys_time(NULL, &zone), "");
    json_part(serve_traced.f, &serve_traced.host);
    return 1;
}

static void serve_trace(unsigned conn, char role, mail_note kind,
                        mail_str text, const char *state) {
    trace_note n;
    if (serve_traced.f == NULL) return;
    memset(&n, 0, sizeof n);
    n.ms = sys_clock(NULL) - serve_traced.since;
    n.conn = conn;
    n.role = role;
    n.kind = kind;
    mail_copy(n.state, sizeof n.state, mail_s(state));
    json_note(serve_traced.f, &serve_traced.host, &n, text);
}

/* Lines of the log that are not out yet. Whoever reads it may be slow, or
   asleep: the server does not wait for him. What does not fit is counted. */
enum { LOG_SIZE = 65536, LOG_PIECE = 512 };    /* POSIX: PIPE_BUF, at least */
static struct serve_lines {
    char text[LOG_SIZE]; size_t n;
    unsigned long lost;
} serve_lines;

/* Writes what can be written at once: a pipe that is ready takes PIPE_BUF
   octets without making anybody wait. O_NONBLOCK would be everybody's who
   holds the other end. 0: not all of it is out. */
static int log_push(void) {
    struct serve_lines *l = &serve_lines;
    struct pollfd p = { 2, POLLOUT, 0 };
    size_t at = 0;
    while (at < l->n && poll(&p, 1, 0) > 0) {
        size_t n = l->n - at < LOG_PIECE ? l->n - at : LOG_PIECE;
        ssize_t k = write(2, l->text + at, n);
        if (k < 0 && errno != EINTR && errno != EAGAIN) at = l->n; /* gone */
        if (k <= 0) break;
        at += (size_t)k;
    }
    l->n -= at;
    memmove(l->text, l->text + at, l->n);
    return l->n == 0;
}

static int log_keep(mail_str line) {
    struct serve_lines *l = &serve_lines;
    if (line.n > LOG_SIZE - l->n) return 0;
    memcpy(l->text + l->n, line.p, line.n);
    l->n += line.n;
    return 1;
}

static void log_line(mail_str line) {
    struct serve_lines *l = &serve_lines;
    char text[100];
    mail_buf b = mail_buf_on(text, sizeof text);
    log_push();
    mail_buf_fmt(&b, "mail serve: %lu lines of the log were not read in time "
                 "and are lost\n", l->lost);
    if (l->lost && !log_keep(mail_buf_str(&b))) l->lost++;
    else {
        l->lost = 0;
        if (!log_keep(line)) l->lost = 1;
    }
    log_push();
}

/* A line of the program's own. */
static void log_say(const char *fmt, ...) {
    char text[1400];
    mail_buf b = mail_buf_on(text, sizeof text - 1);
    va_list ap;
    int n;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text - 1, fmt, ap);
    va_end(ap);
    b.n = n < 0 ? 0 : (size_t)n < sizeof text - 2 ? (size_t)n
                                                  : sizeof text - 2;
    text[b.n++] = '\n';
    log_line(mail_buf_str(&b));
}

/* The end: a second for who reads slowly. */
static void log_end(void) {
    int left = 20;
    while (!log_push() && left--) {
        struct pollfd p = { 2, POLLOUT, 0 };
        poll(&p, 1, 50);
    }
}

/* The log: what became of messages and logins; with --verbose the rest.
   Peers' octets are escaped. */
static void serve_log(void *ctx, unsigned conn, char role, mail_note kind,
                      mail_str text, const char *state) {
    const char *who = role == 's' ? "smtpd" : role == 'p' ? "pop3d" :
                      role == 'c' ? "smtpc" : "server";
    char line[3000], safe[4 * 512 + 8], date[64];
    mail_buf b = mail_buf_on(line, sizeof line - 1);
    mail_buf d = mail_buf_on(date, sizeof date - 1);
    size_t shown = text.n < 512 ? text.n : 512;
    int zone;
    int64_t now;
    (void)ctx;
    serve_trace(conn, role, kind, text, state);
    if (kind != MAIL_NOTE_FATE && kind != MAIL_NOTE_TLS && !serve.verbose)
        return;
    now = sys_time(NULL, &zone);
    mail_date(&d, now, zone);
    date[d.n] = 0;
    mail_buf_fmt(&b, "%s %s", date + 5, who);
    if (conn) mail_buf_fmt(&b, "[%u]", conn);
    if (kind == MAIL_NOTE_TEXT)
        mail_buf_fmt(&b, " text %lu octets\n", (unsigned long)text.n);
    else mail_buf_fmt(&b, "%s%s%s\n",
                      kind == MAIL_NOTE_COMMAND ? " < " :
                      kind == MAIL_NOTE_REPLY ? " > " :
                      kind == MAIL_NOTE_OPEN ? " open " :
                      kind == MAIL_NOTE_CLOSE ? " close " :
                      kind == MAIL_NOTE_DISK ? " disk " : " ",
                      mail_printable(safe, sizeof safe,
                                     mail_sn(text.p, shown)),
                      shown < text.n ? "..." : "");
    log_line(mail_buf_str(&b));
}

/* --- what `mail queue` asks ---------------------------------------------- */

/* The names that `mail queue` makes; "x.new" and "x.answer" are not. */
static int ask_name_ok(const char *name) {
    return strlen(name) < 100 && name[strspn(name, "0123456789abcdef-")] == 0;
}

static void ask_sweep_one(void *arg, const char *name) {
    char path[MAIL_NAME_SIZE];
    snprintf(path, sizeof path, "queue/ask/%.200s", name);
    disk_remove(arg, path);
}

/* Left from before this start: who asked waits no longer. */
static void ask_sweep(machine *m) {
    disk_mkdir(m, "queue");
    disk_mkdir(m, "queue/ask");
    disk_list(m, "queue/ask", ask_sweep_one, m);
}

/* A space before each line of text; the last line has none: how it went. */
static void ask_line(void *ctx, mail_str line) {
    fprintf(ctx, " %.*s\n", MAIL_ARG(line));
}

static void ask_one(void *arg, const char *name) {
    machine *m = arg;
    char path[MAIL_NAME_SIZE], tmp[MAIL_NAME_SIZE], done[MAIL_NAME_SIZE];
    char request[100];
    int64_t n;
    int fd;
    FILE *out;
    if (!ask_name_ok(name)) return;
    snprintf(path, sizeof path, "queue/ask/%.100s", name);
    snprintf(tmp, sizeof tmp, "queue/ask/%.100s.tmp", name);
    snprintf(done, sizeof done, "queue/ask/%.100s.answer", name);
    fd = disk_open(m, path, MAIL_OPEN_READ);
    if (fd < 0) return;
    n = disk_read(m, fd, 0, request, sizeof request);
    close(fd);
    disk_remove(m, path);              /* before: it is obeyed once at most */
    fd = n < 0 ? -1 : disk_open(m, tmp, MAIL_OPEN_NEW);
    out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out == NULL) {
        if (fd >= 0) close(fd);
        return;
    }
    fprintf(out, "%s\n", mail_err_name(mail_server_ask(
            m->server, mail_sn(request, (size_t)n), ask_line, out)));
    flush_rest(m, 3);                  /* "removed" is said when it is */
    if (fclose(out) || disk_rename(m, tmp, done, 1)) disk_remove(m, tmp);
}

/* Names that come while we go through them are seen, or bring a SIGHUP. */
static void ask_all(machine *m) { disk_list(m, "queue/ask", ask_one, m); }

/* Secrets, in a file that others may read? And if it was root who wrote it,
   can we? */
static int users_check(const machine *m) {
    int fd = openat(m->dir, "users", O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno != ENOENT) {
        log_say("mail serve: %s/users cannot be read: %s", serve.dir,
                strerror(errno));
        return 0;
    }
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_mode & 077)
        log_say("mail serve: %s/users can be read by others: chmod 600 "
                "%s/users", serve.dir, serve.dir);
    if (fd >= 0) close(fd);
    return 1;
}

/* The certificate, at the start and after each SIGHUP: what is in force stays
   if the new one is not good. Without --cert there is TLS to others only. */
static int serve_keys(machine *m) {
    const char *key = serve.key ? serve.key : serve.cert, *why;
    struct stat st;
    tls_keys *k;
    if (m->tls_client == NULL) m->tls_client = tls_client_keys(NULL, &why);
    if (serve.cert == NULL) return 1;
    k = tls_server_keys(serve.cert, key);
    if (k == NULL) return 0;
    if (stat(key, &st) == 0 && st.st_mode & 07)    /* a group may have it */
        log_say("mail serve: the key in %s can be read by others: chmod o= "
                "%s", key, key);
    tls_keys_free(m->tls_server);
    m->tls_server = k;
    return 1;
}

static int serve_loop(machine *m, const listener *ls, size_t n) {
    int64_t until = 0;
    while (!until || sys_clock(NULL) < until) {
        int all_said = log_push();
        if (signal_reload) {
            mail_err e;
            signal_reload = 0;       /* before: the next one is not lost */
            e = mail_server_reload(m->server);
            if (e) log_say("mail serve: users or aliases: %s; the old ones "
                           "stay", mail_err_text(e));
            if (!serve_keys(m))
                log_say("mail serve: the old certificate stays");
            users_check(m);
            disk_check(m);
            ask_all(m);
        }
        if (signal_stop) {
            if (!until) until = sys_clock(NULL) + 10000;
            if (mail_server_stop(m->server) && !flush_busy(m)) break;
            n = 0;                              /* nobody new comes in */
        }
        net_turn(m, ls, n, serve.allow_plain,
                 until ? 100 : all_said ? 60000 : 200);
    }
    return 0;
}

/* The ports are opened first, and root is given up: nothing else is done as
   root, so that what SIGHUP reads again can be read, or there is no start. */
static int serve_begin(listener *ls, size_t n) {
    size_t i;
    for (i = 0; i < n; i++)
        if (ls[i].where && !listen_on(&ls[i], serve.unsealed)) return 0;
    serve_policy(ls, n);
    return root_give_up(serve.dir, serve.run_as);
}

static int serve_run(machine *m, const mail_server_opts *o) {
    listener ls[5] = {
        { -1, MAIL_PORT_SMTP, "smtp", serve.smtp },
        { -1, MAIL_PORT_SUBMISSION, "submission", serve.submission },
        { -1, MAIL_PORT_POP3, "pop3", serve.pop3 },
        { -1, MAIL_PORT_SMTPS, "smtps", serve.smtps },
        { -1, MAIL_PORT_POP3S, "pop3s", serve.pop3s }
    };
    mail_sys sys;
    mail_err e;
    size_t i;
    int ok;
    if (!serve_begin(ls, 5) || !machine_open(m, serve.dir) ||
        !users_check(m) || !serve_keys(m) || !serve_trace_open()) return 1;
    machine_sys(m, &sys);
    ask_sweep(m);
    m->unsealed = serve.unsealed;
    if (!dns_open(m, serve.resolver)) {
        fprintf(stderr, "mail: --resolver %s is not a loopback address: say "
                "--unsealed if the network may be asked\n", serve.resolver);
        return 1;
    }
    catch_signals();
    m->server = mail_server_open(&sys, o, &e);
    if (m->server == NULL) {
        fprintf(stderr, e == MAIL_ERR_SYNTAX ? "mail serve: %s/aliases: %s; "
                "see the line above\n" : "mail serve: %s: %s; is it a "
                "directory of yours that can be written?\n", serve.dir,
                mail_err_text(e));
        return 1;
    }
    ok = disk_check(m);
    if (ok && geteuid() == 0)
        fprintf(stderr, "mail serve: runs as root: %s belongs to nobody else, "
                "and there is no --run-as USER\n", serve.dir);
    if (ok) {
        printf("ready\n");
        fflush(stdout);
        serve_loop(m, ls, 5);
    }
    mail_server_close(m->server);
    log_end();
    for (i = 0; i < 5; i++)
        if (ls[i].fd >= 0) close(ls[i].fd);
    return !ok;
}

static int cmd_serve(int argc, char **argv) {
    machine m;
    mail_server_opts o;
    int e;
    memset(&serve, 0, sizeof serve);
    serve.dir = dir_of(argc, argv);
    serve.smtp = "127.0.0.1:2525";
    serve.submission = "127.0.0.1:2587";
    serve.pop3 = "127.0.0.1:2110";
    e = serve_conf(serve.dir);
    if (!e) e = opts_read("serve", serve_table, argc, argv, NULL);
    if (e < 0) {
        printf("mail serve: one mail server, SMTP and POP3\n");
        opts_help(serve_table);
        return 0;
    }
    if (!e) e = serve_check(&o);
    if (e) return e;
    o.watch = serve_log;
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ);     /* a line, not octet by octet */
    umask(077);
    memset(&m, 0, sizeof m);
    m.lock = m.dir = -1;
    e = serve_run(&m, &o);
    dns_close(&m);
    machine_close(&m);
    return e;
}

/* --- mail user ----------------------------------------------------------- */

/* Copies every line but that of name. 0: the old file cannot be read. */
static int users_copy(machine *m, const char *name, FILE *out) {
    int fd = openat(m->dir, "users", O_RDONLY | O_CLOEXEC), ok;
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char old[1024];
    if (in == NULL) return errno == ENOENT;         /* there is none yet */
    while (fgets(old, sizeof old, in)) {
        mail_str rest = mail_s(old), user = mail_cut(&rest, ':');
        if (mail_ieq(mail_trim(user), mail_s(name))) continue;
        fputs(old, out);
        if (strchr(old, '\n') == NULL) fputc('\n', out);
    }
    ok = !ferror(in);
    fclose(in);
    return ok;
}

/* Rewrites users: the line of name becomes line (NULL: it goes). Written
   beside it, flushed, renamed: a power loss leaves the old or the new. */
static int users_edit(machine *m, const char *name, const char *line) {
    mail_err e = MAIL_ERR_OK;
    int tmp;
    FILE *out;
    unlinkat(m->dir, "users.tmp", 0);
    tmp = openat(m->dir, "users.tmp", O_WRONLY | O_CREAT | O_EXCL, 0600);
    out = tmp >= 0 ? fdopen(tmp, "w") : NULL;
    if (out == NULL || !users_copy(m, name, out)) e = errno_err();
    if (out && line) fprintf(out, "%s:%s\n", name, line);
    if (out && (fflush(out) || ferror(out) || fsync_full(fileno(out))))
        e = errno_err();
    if (out && fclose(out)) e = MAIL_ERR_IO;
    if (!e) e = disk_rename(m, "users.tmp", "users", 1);
    if (!e && fsync_full(m->dir)) e = errno_err();
    if (e) fprintf(stderr, "mail user: users cannot be written: %s\n",
                   mail_err_text(e));
    return e == MAIL_ERR_OK;
}

/* One `mail user` at a time; released when the program ends. */
static int users_lock(machine *m) {
    struct flock l;
    int fd = openat(m->dir, "users.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    memset(&l, 0, sizeof l);
    l.l_type = F_WRLCK;
    l.l_whence = SEEK_SET;
    if (fd >= 0 && fcntl(fd, F_SETLKW, &l) == 0) return 1;
    fprintf(stderr, "mail user: users.lock cannot be locked: %s\n",
            strerror(errno));
    return 0;
}

/* Is the user there? With list, prints all of them. */
static int users_look(machine *m, const char *name, int list) {
    int fd = openat(m->dir, "users", O_RDONLY | O_CLOEXEC), found = 0;
    FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    char line[1024];
    while (in && read_line(in, line, sizeof line)) {
        mail_str secret = mail_s(line), user = mail_cut(&secret, ':');
        if (user.n == 0 || user.p[0] == '#') continue;
        if (list) printf("%-24.*s %s\n", MAIL_ARG(user),
                         mail_starts(secret, "{PLAIN}") ? "APOP and password"
                                                        : "password");
        else found |= mail_ieq(mail_trim(user), mail_s(name));
    }
    if (in) fclose(in);
    return found;
}

/* The process that holds the lock: a server. 0: there is none; 1: one that
   cannot be named (another PID namespace). */
static long server_pid(machine *m) {
    struct flock l;
    long pid = 0;
    int fd = openat(m->dir, "lock", O_RDWR | O_CLOEXEC);
    memset(&l, 0, sizeof l);
    l.l_type = F_WRLCK;
    l.l_whence = SEEK_SET;
    if (fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK)
        pid = l.l_pid > 1 ? (long)l.l_pid : 1;
    if (fd >= 0) close(fd);
    return pid;
}

/* A server that runs on this directory reads users again. */
static void users_tell(machine *m) {
    long pid = server_pid(m);
    if (pid > 1) kill((pid_t)pid, SIGHUP);
}

static int user_secret(const char *file, int plain, char *to, size_t cap) {
    char password[256];
    unsigned char salt[16];
    mail_buf b = mail_buf_on(to, cap - 1);
    if (!get_password(file, password, sizeof password)) return 0;
    if (password[0] == 0 || mail_has_control(mail_s(password))) {
        fprintf(stderr, "mail user: a password has 1 to 200 octets and no "
                "control characters\n");
        mail_wipe(password, sizeof password);
        return 0;
    }
    sys_random(NULL, salt, sizeof salt);
    if (plain) mail_buf_fmt(&b, "{PLAIN}%s", password);
    else mail_secret_make(&b, mail_s(password),
                          mail_sn((char *)salt, sizeof salt), 4096);
    to[b.n] = 0;
    mail_wipe(password, sizeof password);
    return !b.full;
}

static int user_change(machine *m, const char *verb, const char *name,
                       const char *file, int plain) {
    char secret[512];
    int there, add = strcmp(verb, "add") == 0;
    if (!users_lock(m)) return 1;
    there = users_look(m, name, 0);
    if (!mail_user_ok(mail_s(name)))
        return usage_error("user", "a name is 1 to 63 of a-z 0-9 . _ -, "
                           "not", name);
    if (add ? there : !there) {
        fprintf(stderr, add ? "mail user: %s is there already; mail user "
                "passwd changes the password\n" : "mail user: there is no "
                "user %s; mail user list shows them\n", name);
        return 1;
    }
    if (strcmp(verb, "remove") == 0) {
        if (!users_edit(m, name, NULL)) return 1;
        printf("removed %s; the mail stays in mail/%s\n", name, name);
    } else {
        int ok = user_secret(file, plain, secret, sizeof secret) &&
                 users_edit(m, name, secret);
        mail_wipe(secret, sizeof secret);
        if (!ok) return 1;
        printf(add ? "added %s\n" : "changed %s\n", name);
    }
    users_tell(m);
    return 0;
}

static int cmd_user(int argc, char **argv) {
    const char *dir = "./mail.d", *file = NULL;
    int plain = 0, e;
    text_rest rest;
    machine m;
    const opt opts[] = {
        { "dir", OPT_TEXT, &dir, "DIR: the server's directory (./mail.d)" },
        { "password-file", OPT_TEXT, &file, "FILE: its first line" },
        { "plain", OPT_FLAG, &plain,
          ": keep it readable, for APOP (offered if all users are)" },
        { NULL, OPT_FLAG, NULL, NULL }
    };
    e = opts_read("user", opts, argc, argv, &rest);
    if (e < 0) {
        printf("mail user add|passwd|remove|list [NAME]\n");
        opts_help(opts);
        return 0;
    }
    if (e) return e;
    e = rest.n == 1 && strcmp(rest.p[0], "list") == 0;
    if (!e && (rest.n != 2 || (strcmp(rest.p[0], "add") != 0 &&
                               strcmp(rest.p[0], "passwd") != 0 &&
                               strcmp(rest.p[0], "remove") != 0)))
        return usage_error("user", "write", "add|passwd|remove NAME, or list");
    memset(&m, 0, sizeof m);
    umask(077);
    if (strcmp(rest.p[0], "add") == 0 && !dir_make(dir, NULL)) return 1;
    if (!root_give_up(dir, NULL)) return 1;
    m.lock = -1;
    m.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m.dir < 0) {
        fprintf(stderr, "mail user: %s: %s; name the directory with --dir\n",
                dir, strerror(errno));
        return 1;
    }
    if (e) users_look(&m, "", 1);
    else e = user_change(&m, rest.p[0], rest.p[1], file, plain);
    machine_close(&m);
    return strcmp(rest.p[0], "list") == 0 ? 0 : e;
}

/* --- mail queue ---------------------------------------------------------- */

static void queue_print(void *ctx, mail_str line) {
    (void)ctx;
    printf("%.*s\n", MAIL_ARG(line));          /* mail.h has escaped it */
}

/* The words for how it went. Returns the exit code. */
static int queue_end(const char *id, mail_err e) {
    if (e == MAIL_ERR_NOTFOUND)
        fprintf(stderr, "mail queue: there is no message %s; mail queue list "
                "shows them\n", id);
    else if (e == MAIL_ERR_BUSY)
        fprintf(stderr, "mail queue: %s is being sent just now: try again\n",
                id);
    else if (e) fprintf(stderr, "mail queue: %s\n", mail_err_text(e));
    return e != MAIL_ERR_OK;
}

/* No server runs: we are one for a moment, which sends nothing. */
static int queue_alone(const char *dir, const char *request,
                       const char *id) {
    mail_server_opts o;
    mail_sys sys;
    machine m;
    mail_err e;
    int bad, turn;
    memset(&serve, 0, sizeof serve);
    serve.dir = dir;
    bad = serve_conf(dir);
    if (!bad) bad = serve_check(&o);
    if (bad) return bad;
    if (!machine_open(&m, dir)) return 1;
    machine_sys(&m, &sys);
    m.server = mail_server_open(&sys, &o, &e);
    if (m.server) {
        e = mail_server_ask(m.server, mail_s(request), queue_print, NULL);
        /* What has left is durable, and then its files may go. */
        for (turn = 0; turn < 1000 && !mail_server_stop(m.server); turn++)
            flush_rest(&m, 10);
        mail_server_close(m.server);
    }
    machine_close(&m);
    return queue_end(id, e);
}

/* The request gets its name when it is whole. */
static mail_err queue_put(machine *m, const char *name,
                          const char *request) {
    char tmp[MAIL_NAME_SIZE];
    mail_err e;
    int fd;
    snprintf(tmp, sizeof tmp, "%.200s.new", name);
    fd = disk_open(m, tmp, MAIL_OPEN_NEW);
    if (fd < 0) return (mail_err)(-1 - fd);
    e = disk_write(m, fd, 0, request, strlen(request));
    if (close(fd) && !e) e = MAIL_ERR_IO;
    if (!e) e = disk_rename(m, tmp, name, 0);
    if (e) disk_remove(m, tmp);
    return e;
}

/* Prints an answer: the lines that begin with a space. The last one does
   not, and says how it went. */
static mail_err queue_get(int fd) {
    FILE *f = fdopen(fd, "r");
    char line[1300], text[1300];
    int i, e = MAIL_ERR_IO;
    if (f == NULL) close(fd);
    while (f && read_line(f, line, sizeof line)) {
        if (line[0] == ' ')
            puts(mail_printable(text, sizeof text, mail_s(line + 1)));
        else for (i = 0; i < MAIL_ERR_COUNT; i++)
            if (strcmp(line, mail_err_name((mail_err)i)) == 0) e = i;
    }
    if (f) fclose(f);
    return (mail_err)e;
}

/* A server runs: it is asked by a file, as `mail user` tells it by SIGHUP. */
static int queue_beside(machine *m, long pid, const char *request,
                        const char *id) {
    const struct timespec nap = { 0, 10 * 1000 * 1000 };
    char name[100], answer[120];
    uint32_t chance;
    mail_err e;
    int fd = -1, left = 1000;                     /* 10 s */
    sys_random(NULL, &chance, sizeof chance);
    snprintf(name, sizeof name, "queue/ask/%lx-%08lx", (long)getpid(),
             (unsigned long)chance);
    snprintf(answer, sizeof answer, "%s.answer", name);
    e = queue_put(m, name, request);
    if (e) {
        fprintf(stderr, "mail queue: queue/ask cannot be written: %s\n",
                mail_err_text(e));
        return 1;
    }
    if (pid > 1) kill((pid_t)pid, SIGHUP);
    while ((fd = disk_open(m, answer, MAIL_OPEN_READ)) < 0 && left--)
        nanosleep(&nap, NULL);
    disk_remove(m, name);
    if (fd < 0) {
        fprintf(stderr, "mail queue: the server does not answer: does it run "
                "still, and as the same user?\n");
        return 1;
    }
    e = queue_get(fd);
    disk_remove(m, answer);
    return queue_end(id, e);
}

static int queue_run(const char *dir, const char *request, const char *id) {
    machine m;
    struct stat st;
    long pid;
    int e;
    memset(&m, 0, sizeof m);
    m.lock = -1;
    m.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m.dir < 0 || fstatat(m.dir, "queue", &st, 0)) {
        fprintf(stderr, "mail queue: %s: %s; name a server's directory with "
                "--dir\n", dir, m.dir < 0 ? strerror(errno) : "has no queue");
        machine_close(&m);
        return 1;
    }
    pid = server_pid(&m);
    e = pid ? queue_beside(&m, pid, request, id)
            : queue_alone(dir, request, id);
    machine_close(&m);
    return e;
}

static int cmd_queue(int argc, char **argv) {
    int64_t time;
    uint32_t run, number;
    const char *dir = "./mail.d", *verb, *id;
    char request[100];
    text_rest rest;
    const opt opts[] = {
        { "dir", OPT_TEXT, &dir, "DIR: the server's directory (./mail.d)" },
        { NULL, OPT_FLAG, NULL, NULL }
    };
    int e = opts_read("queue", opts, argc, argv, &rest), all, one;
    if (e < 0) {
        printf("mail queue list|show ID|retry [ID]|remove ID\n"
               "  What waits to be sent, beside a running server or without "
               "one. retry: now;\n  remove: it goes, and nobody is told.\n");
        opts_help(opts);
        return 0;
    }
    if (e) return e;
    verb = rest.n ? rest.p[0] : "";
    id = rest.n > 1 ? rest.p[1] : "";
    all = strcmp(verb, "list") == 0 || strcmp(verb, "retry") == 0;
    one = strcmp(verb, "show") == 0 || strcmp(verb, "retry") == 0 ||
          strcmp(verb, "remove") == 0;
    if (rest.n < 1 || rest.n > 2 || !(rest.n == 1 ? all : one))
        return usage_error("queue", "write",
                           "list, show ID, retry [ID], or remove ID");
    if (*id && mail_id_read(mail_s(id), &time, &run, &number))
        return usage_error("queue", "not an ID of mail queue list:", id);
    if (rest.n == 2 && !*id)
        return usage_error("queue", "write", "the ID of a message");
    umask(077);
    if (!root_give_up(dir, NULL)) return 1;
    snprintf(request, sizeof request, "%s%s%s", verb, *id ? " " : "", id);
    return queue_run(dir, request, id);
}

/* What mail send and mail fetch have in common. */
typedef struct peer_cli {
    mail_peer peer;
    const char *tls, *password_file;
    int64_t deadline;               /* s */
    int verbose;
    char password[256];
} peer_cli;

#define PEER_OPTIONS(o) \
    { "password-file", OPT_TEXT, &(o).password_file, \
      "FILE: its first line" }, \
    { "unsealed", OPT_FLAG, &(o).peer.unsealed, \
      ": the server is not on this machine" }, \
    { "allow-plaintext-auth", OPT_FLAG, &(o).peer.plaintext_ok, \
      ": the password may cross a network in clear" }, \
    { "tls", OPT_TEXT, &(o).tls, \
      "no|starttls|tls: (beyond this machine starttls)" }, \
    { "cafile", OPT_TEXT, &(o).peer.cafile, \
      "FILE: trust these CAs, PEM (those of the system)" }, \
    { "insecure", OPT_FLAG, &(o).peer.insecure, \
      ": TLS with whoever answers, no certificate checked" }, \
    { "basic", OPT_FLAG, &(o).peer.basic, \
      ": no extensions: HELO; no CAPA, USER and PASS" }, \
    { "deadline", OPT_NUMBER, &(o).deadline, \
      "N: seconds for all of it (none)" }, \
    { "verbose", OPT_FLAG, &(o).verbose, ": show the dialogue" }

static void client_watch(void *ctx, mail_note kind, mail_str text,
                         const char *state) {
    (void)ctx;
    (void)state;
    if (kind == MAIL_NOTE_TEXT) return;
    fputs(kind == MAIL_NOTE_COMMAND ? "C: " : "S: ", stderr);
    show_safe(stderr, text, 512);
    fputc('\n', stderr);
}

/* Reads what is left of the options: 0, or 2 with a line on stderr. */
static int peer_check(peer_cli *c, const char *command) {
    const char *how = c->tls ? c->tls : "";
    c->peer.in_clear = strcmp(how, "no") == 0;
    c->peer.tls = strcmp(how, "tls") == 0 ? MAIL_TLS_NOW :
                  strcmp(how, "starttls") == 0 ? MAIL_TLS_MUST : MAIL_TLS_NO;
    if (c->tls && !c->peer.in_clear && !c->peer.tls)
        return usage_error(command, "--tls is no, starttls or tls, not", how);
    c->peer.deadline = ms_of(c->deadline);
    if (c->verbose) c->peer.watch = client_watch;
    return 0;
}

/* What to do about it. */
static void peer_hint(mail_err e, const char *words) {
    if (e == MAIL_ERR_TLS && strstr(words, "certificate"))
        fprintf(stderr, "  --cafile FILE names a CA to trust; --insecure "
                "trusts whoever answers\n");
    if (e == MAIL_ERR_TLS && strstr(words, "is not TLS"))
        fprintf(stderr, "  a port that begins in clear wants --tls "
                "starttls\n");
    if (e == MAIL_ERR_UNABLE && mail_starts(mail_s(words), "TLS is asked"))
        fprintf(stderr, "  --tls no sends everything in clear; --tls tls is "
                "for ports that begin with TLS\n");
    if (e == MAIL_ERR_UNABLE && strstr(words, "network in clear"))
        fprintf(stderr, "  --tls starttls hides it; --allow-plaintext-auth "
                "sends it all the same\n");
}

/* One line. Words of our own say all; a server's do not. */
static void peer_tell(const char *command, const mail_result *r) {
    int ours = r->err == MAIL_ERR_IO || r->err == MAIL_ERR_NOTFOUND ||
               r->err == MAIL_ERR_SEALED || r->err == MAIL_ERR_SYNTAX ||
               r->err == MAIL_ERR_MISUSE || r->err == MAIL_ERR_NOSPACE ||
               r->err == MAIL_ERR_NOMEM;
    if (r->err == MAIL_ERR_OK) return;
    fprintf(stderr, "mail %s: ", command);
    if (!ours || !r->words[0]) fputs(mail_err_text(r->err), stderr);
    if (!ours && r->words[0]) fputs(": ", stderr);
    if (!ours && r->code >= 400) fprintf(stderr, "%d ", r->code);
    show_safe(stderr, mail_s(r->words), 400);
    fputs(r->err == MAIL_ERR_SEALED ? ": say --unsealed if that is meant\n"
                                    : "\n", stderr);
    peer_hint(r->err, r->words);
}

/* --- mail send ------------------------------------------------------------ */

typedef struct send_cli {
    peer_cli c;
    mail_send_opts o;
    mail_result r;
    const char *raw, *html;
    size_t at, failed;              /* of several                          */
    text_list to, cc, bcc, files;
    text_rest rest;
    int text_fd, html_fd;
    const char *notify, *ret, *envid;     /* reports: RFC 3461 */
} send_cli;

/* A text that cannot be read twice (a pipe) is copied to a file first. */
static int send_spool(int in) {
    char buf[16384];
    FILE *f;
    ssize_t k;
    int fd;
    if (lseek(in, 0, SEEK_CUR) == 0 && !isatty(in)) return dup(in);
    f = tmpfile();
    while (f && (k = read(in, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)k, f);
    /* What did not get to the disk would be missing in the mail. */
    fd = f && k == 0 && fflush(f) == 0 ? dup(fileno(f)) : -1;
    if (f) fclose(f);
    return fd;
}

/* NULL: standard input. 0 and a line on stderr. */
static int send_source(const char *name, int *fd, mail_source *s) {
    struct stat st;
    int in = name ? open(name, O_RDONLY | O_CLOEXEC) : 0;
    *fd = in < 0 ? -1 : fstat(in, &st) == 0 && S_ISDIR(st.st_mode)
          ? (errno = EISDIR, -1) : send_spool(in);
    if (in > 0) close(in);
    if (*fd < 0)
        fprintf(stderr, "mail send: %s cannot be read: %s\n",
                name ? name : "standard input", strerror(errno));
    s->read = file_read;
    s->ctx = fd;
    return *fd >= 0;
}

static int send_rcpts(send_cli *o) {
    const text_list *const lists[] = { &o->to, &o->cc, &o->bcc };
    size_t i, k;
    o->o.rcpts = calloc(o->to.n + o->cc.n + o->bcc.n, sizeof *o->o.rcpts);
    if (o->o.rcpts == NULL) {
        fprintf(stderr, "mail send: out of memory\n");
        return 0;
    }
    for (k = 0; k < 3; k++)
        for (i = 0; i < lists[k]->n; i++) {
            mail_send_rcpt *r = &o->o.rcpts[o->o.nrcpts++];
            r->address = lists[k]->p[i];
            r->field = k == 0 ? MAIL_TO : k == 1 ? MAIL_CC : MAIL_BCC;
        }
    return 1;
}

/* What became of it for each recipient, in the server's words. */
static int send_tell(const send_cli *o, const mail_result *r) {
    size_t i;
    int said = 0;
    for (i = 0; i < o->o.nrcpts; i++) {
        const mail_send_rcpt *p = &o->o.rcpts[i];
        FILE *f = p->err ? stderr : stdout;
        char shown[MAIL_PATH_SIZE];
        mail_result own = { MAIL_ERR_OK, 0, "", 0, 0, 0, 0, 0 };
        mail_path path;
        if (p->code == 0 || address_path(&own, p->address, &path)) continue;
        fprintf(f, "%s %s: %d ", p->err ? "refused" : "sent",
                mail__show(&path, shown), p->code);
        show_safe(f, mail_s(p->words), 400);
        fputc('\n', f);
        said |= p->err != MAIL_ERR_OK;
    }
    for (i = 0; i < o->o.nrcpts; i++) said &= o->o.rcpts[i].code != 0;
    if (!said) peer_tell("send", r);
    return r->err ? 1 : 0;
}

/* A connection that cannot be had, or breaks: no other one would do better. */
static int send_is_over(const mail_result *r) {
    switch (r->err) {
    case MAIL_ERR_IO: case MAIL_ERR_NOTFOUND: case MAIL_ERR_SEALED:
    case MAIL_ERR_DENIED: case MAIL_ERR_TLS: case MAIL_ERR_TIMEOUT:
    case MAIL_ERR_CLOSED: case MAIL_ERR_MISUSE: case MAIL_ERR_NOMEM: return 1;
    default: return 0;
    }
}

/* The next message: --raw FILE, and the files that were named behind it. One
   that cannot be read is told and passed over. */
static int send_next(void *ctx, mail_send_opts *next,
                     const mail_result *last) {
    send_cli *o = ctx;
    size_t n = o->raw ? 1 + o->rest.n : 1;
    if (last) {
        if (n > 1 && last->err)
            fprintf(stderr, "mail send: %s:\n", o->at > 1 ?
                    o->rest.p[o->at - 2] : o->raw);
        o->r = *last;
        o->failed += (size_t)send_tell(o, last);
        if (send_is_over(last)) o->at = n;
    }
    for (; o->at < n; o->at++) {
        const char *name = o->at ? o->rest.p[o->at - 1] : o->raw;
        if (o->text_fd >= 0) close(o->text_fd);
        if (!o->raw) name = o->rest.n ? o->rest.p[0] : NULL;
        if (send_source(name, &o->text_fd, o->raw ? &next->raw
                                                  : &next->text)) break;
        o->failed++;
    }
    return o->at++ < n;
}

static int send_go(send_cli *o) {
    static mail_file files[LIST_MAX];
    size_t i;
    int ok = send_rcpts(o);
    for (i = 0; i < o->files.n; i++) files[i].name = o->files.p[i];
    o->o.files = files;
    o->o.nfiles = o->files.n;
    if (ok && o->c.peer.user)
        ok = get_password(o->c.password_file, o->c.password,
                          sizeof o->c.password);
    o->c.peer.password = o->c.password;
    o->o.peer = o->c.peer;
    if (ok && o->html) ok = send_source(o->html, &o->html_fd, &o->o.html);
    if (ok && mail_send_many(o->o, send_next, o) == MAIL_ERR_NOMEM) ok = 0;
    mail_wipe(o->c.password, sizeof o->c.password);
    if (o->text_fd >= 0) close(o->text_fd);
    if (o->html_fd >= 0) close(o->html_fd);
    free(o->o.rcpts);
    return !ok || o->failed;
}

/* One of the parameters that ask for reports. */
static int send_asks(send_cli *o, const char *key, const char *value,
                     int rcpt) {
    char word[600];
    mail_buf b = mail_buf_on(word, sizeof word);
    const char *no;
    if (value == NULL) return 0;
    mail_buf_fmt(&b, "%s=", key);
    if (strcmp(key, "ENVID") == 0) mail_xtext_write(&b, mail_s(value));
    else mail_buf_add(&b, mail_s(value));
    no = mail_param_read(&o->o.param, mail_buf_str(&b), rcpt);
    return no ? usage_error("send", no + strlen("501 5.5.4 "), value) : 0;
}

static int send_check(send_cli *o) {
    if (send_asks(o, "NOTIFY", o->notify, 1) ||
        send_asks(o, "RET", o->ret, 0) || send_asks(o, "ENVID", o->envid, 0))
        return 2;
    if (o->o.from == NULL || o->to.n + o->cc.n + o->bcc.n == 0)
        return usage_error("send", "at least", "--from and one --to");
    if (o->rest.n > 1 && !o->raw)
        return usage_error("send", "one text is enough:", o->rest.p[0]);
    if (o->raw && (o->html || o->files.n || o->o.subject))
        return usage_error("send", "it is sent as it is:", o->raw);
    if (o->c.peer.user && !o->raw && o->rest.n == 0 && !o->c.password_file &&
        !getenv("MAIL_PASSWORD") && !isatty(0))
        return usage_error("send", "standard input is the text: set",
                           "MAIL_PASSWORD or --password-file");
    return peer_check(&o->c, "send");
}

static int cmd_send(int argc, char **argv) {
    static send_cli o;
    const opt opts[] = {
        { "server", OPT_TEXT, &o.c.peer.server,
          "HOST:PORT: the sender's mail server (127.0.0.1:2587)" },
        { "from", OPT_TEXT, &o.o.from, "A: the sender" },
        { "to", OPT_LIST, &o.to, "A: a recipient (again: more)" },
        { "cc", OPT_LIST, &o.cc, "A: a recipient, named in Cc" },
        { "bcc", OPT_LIST, &o.bcc, "A: a recipient, named nowhere" },
        { "subject", OPT_TEXT, &o.o.subject, "S: the subject" },
        { "attach", OPT_LIST, &o.files, "FILE: goes with it (again: more)" },
        { "html", OPT_TEXT, &o.html,
          "FILE: the same text in HTML, for who can show it" },
        { "raw", OPT_TEXT, &o.raw,
          "FILE...: messages with their headers, sent as they are" },
        { "user", OPT_TEXT, &o.c.peer.user,
          "U: log in (password: see below)" },
        { "notify", OPT_TEXT, &o.notify,
          "WHEN: reports: never, or some of success,failure,delay" },
        { "ret", OPT_TEXT, &o.ret,
          "full|hdrs: what a report of a failure brings back" },
        { "envid", OPT_TEXT, &o.envid, "S: your name for it, in reports" },
        { "helo", OPT_TEXT, &o.o.helo, "NAME: what to call ourselves" },
        PEER_OPTIONS(o.c),
        { NULL, OPT_FLAG, NULL, NULL }
    };
    int e;
    memset(&o, 0, sizeof o);
    o.text_fd = o.html_fd = -1;
    e = opts_read("send", opts, argc, argv, &o.rest);
    if (e < 0) {
        printf("mail send: send a message; its text on standard input, or "
               "a FILE\n");
        opts_help(opts);
        printf("The password: MAIL_PASSWORD, --password-file, or a "
               "prompt.\n");
        return 0;
    }
    if (!e) e = send_check(&o);
    return e ? e : send_go(&o);
}

/* --- mail show ------------------------------------------------------------ */

/* One part, as the first pass over the message found it. */
typedef struct show_part {
    char type[80], name[260];
    int  attachment, leaf;
    int64_t size;
} show_part;

enum { SHOW_PARTS = 1000 };

typedef struct show {
    const char *file, *save;
    int all_fields, listing;        /* the first pass; else the second     */
    int fields;                     /* that have a name                    */
    show_part part[SHOW_PARTS]; int n;
    const char *text_type;          /* of the parts that are shown as text */
    int dir, out, failed, shown;    /* out: a file that is saved, or -1    */
    char out_name[256];
    char raw[4200]; size_t raw_n;   /* octets that are no character yet    */
    int  tag, skip, gap, blank;     /* HTML: where we are                  */
    char word[32]; size_t word_n;   /* HTML: a tag's name, an entity       */
#ifdef MAIL_ICONV
    iconv_t cd; char cd_name[40];
#endif
} show;

#ifdef MAIL_ICONV
static int show_iconv_open(show *s, mail_str charset) {
    if (s->cd_name[0] && mail_ieq(mail_s(s->cd_name), charset)) return 1;
    if (s->cd_name[0]) iconv_close(s->cd);
    s->cd_name[0] = 0;
    if (charset.n == 0 || mail_has_control(charset) ||
        !mail_copy(s->cd_name, sizeof s->cd_name, charset)) return 0;
    s->cd = iconv_open("UTF-8", s->cd_name);
    if (s->cd == (iconv_t)-1) s->cd_name[0] = 0;
    return s->cd_name[0] != 0;
}

/* What is no character becomes U+FFFD, and the next octet is tried. */
static size_t show_iconv(show *s, mail_str in, mail_buf *b) {
    char *p = (char *)(uintptr_t)in.p, *out = b->p + b->n;
    size_t left = in.n, room = b->cap - b->n;
    while (left && iconv(s->cd, &p, &left, &out, &room) == (size_t)-1 &&
           errno == EILSEQ && room > 3) {
        memcpy(out, "\xef\xbf\xbd", 3);
        out += 3, room -= 3;
        p++, left--;
    }
    b->n = b->cap - room;
    return in.n - left;
}
#endif

/* The charsets that mail.h knows, then those of libc. */
static size_t show_convert(void *ctx, mail_str charset, mail_str in,
                           mail_buf *b) {
    size_t took = mail_charset(NULL, charset, in, b);
#ifdef MAIL_ICONV
    if (took == MAIL_NO_CHARSET && show_iconv_open(ctx, charset))
        return show_iconv(ctx, in, b);
#else
    (void)ctx;
#endif
    return took;
}

static void show_utf8(mail_str s) {
    char text[4 * 4096 + 8];
    fputs(mail_printable_utf8(text, sizeof text, s), stdout);
}

/* Text in UTF-8, line by line; nothing in it steers the terminal. Is a line
   open at the end, if one was before? */
static int show_lines(mail_str s, int line) {
    size_t i, from = 0;
    for (i = 0; i <= s.n; i++) {
        int end = i == s.n || strchr("\r\n\t", s.p[i]) != NULL;
        if (!end && i - from < 4000) continue;
        if (!end) while (((unsigned char)s.p[i] & 0xc0) == 0x80) i--;
        show_utf8(mail_sn(s.p + from, i - from));
        if (end && i < s.n && s.p[i] != '\r') putchar(s.p[i]);
        if (i < s.n) line = s.p[i] != '\n';
        else line |= i > from;
        from = end ? i + 1 : i;
    }
    return line;
}

/* What a tag or an entity of HTML stands for, as far as text has it. */
static const char *html_entity(const char *name) {
    static const char *const known[][2] = {
        { "amp", "&" }, { "lt", "<" }, { "gt", ">" }, { "quot", "\"" },
        { "apos", "'" }, { "#39", "'" }, { "nbsp", " " }
    };
    size_t i;
    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i][0]) == 0) return known[i][1];
    return NULL;
}

static int html_is(const char *name, const char *const *list) {
    for (; *list; list++) if (strcmp(name, *list) == 0) return 1;
    return 0;
}

static void html_tag(show *s) {
    static const char *const breaks[] = {
        "br", "p", "/p", "div", "/div", "li", "tr", "/tr", "h1", "h2", "h3",
        "/h1", "/h2", "/h3", "/table", "/ul", "/ol", NULL
    };
    static const char *const hidden[] = { "style", "script", "head", "title",
                                          NULL };
    const char *name = s->word;
    if (html_is(name, hidden)) s->skip = 1;
    else if (name[0] == '/' && html_is(name + 1, hidden)) s->skip = 0;
    else if (html_is(name, breaks) && !s->blank) {
        putchar('\n');
        s->blank = 1;
        s->gap = 0;
    }
}

static void html_put(show *s, mail_str text) {
    if (s->skip) return;
    if (s->gap && !s->blank) putchar(' ');
    show_utf8(text);
    s->gap = s->blank = 0;
}

/* HTML without its tags: enough to read a mail by. tag: '<' inside a tag, '-'
   behind its name, '&' in an entity. */
static void show_html(show *s, mail_str t) {
    size_t i, k;
    for (i = 0; i < t.n; i += k) {
        char c = t.p[i];
        int white = strchr(" \r\n\t", c) != NULL;
        for (k = 1; i + k < t.n && ((unsigned char)t.p[i + k] & 0xc0) == 0x80; )
            k++;
        if (s->tag == '<' && (white || c == '>')) s->tag = '-';
        if (s->tag == '-' && c == '>') {
            s->word[s->word_n] = 0;
            s->tag = 0;
            html_tag(s);
        } else if (s->tag == '&' && (c == ';' || s->word_n > 8 || white)) {
            const char *is;
            s->word[s->word_n] = 0;
            s->tag = 0;
            is = html_entity(s->word);
            if (!is) html_put(s, mail_s("&")), html_put(s, mail_s(s->word));
            html_put(s, is ? mail_s(is) : mail_sn(&c, !white));
            s->gap |= white;
        } else if (s->tag == '<' || s->tag == '&') {
            if (s->word_n < sizeof s->word - 1)
                s->word[s->word_n++] = mail__lower(c);
        } else if (s->tag == '-') continue;
        else if (c == '<' || c == '&') {
            s->tag = (unsigned char)c;
            s->word_n = 0;
        }
        else if (white) s->gap = 1;
        else html_put(s, mail_sn(t.p + i, k));
    }
}

/* Octets of a text, decoded; the end when there are none. */
static void show_text(show *s, const mail_mime *m, mail_str text) {
    static char out[4 * sizeof s->raw];
    mail_buf b = mail_buf_on(out, sizeof out);
    mail_str charset = mail_s(m->charset[0] ? m->charset : "UTF-8");
    size_t took;
    if (text.n > sizeof s->raw - s->raw_n) text.n = sizeof s->raw - s->raw_n;
    memcpy(s->raw + s->raw_n, text.p, text.n);
    s->raw_n += text.n;
    took = show_convert(s, charset, mail_sn(s->raw, s->raw_n), &b);
    if (took == MAIL_NO_CHARSET)
        took = mail_charset(NULL, mail_s("US-ASCII"),
                            mail_sn(s->raw, s->raw_n), &b);
    memmove(s->raw, s->raw + took, s->raw_n - took);
    s->raw_n -= took;
    if (strcmp(m->type, "text/html") == 0) show_html(s, mail_buf_str(&b));
    else s->blank = !show_lines(mail_buf_str(&b), !s->blank);
}

static void show_text_begin(show *s, const mail_mime *m) {
    char probe[1], name[200];
    mail_buf none = mail_buf_on(probe, 0);
    s->raw_n = s->word_n = 0;
    s->tag = s->skip = s->gap = 0;
    s->blank = 1;
    if (s->shown++) putchar('\n');
    if (m->charset[0] && show_convert(s, mail_s(m->charset), mail_sn("", 0),
                                      &none) == MAIL_NO_CHARSET)
        printf("(the charset %s is unknown: only its ASCII is shown)\n",
               mail_printable(name, sizeof name, mail_s(m->charset)));
}

static void show_text_end(show *s) {
    if (s->raw_n) fputs("\xef\xbf\xbd", stdout);
    if (!s->blank) putchar('\n');
    s->blank = 1;
}

/* Al <al@a.example>, G: b@c;  only the name is decoded, never the address:
   nothing that a name says is taken for one. */
static void show_addresses(show *s, mail_str list) {
    char text[1200], path[MAIL_PATH_SIZE];
    mail_addr a;
    int many = 0;
    while (mail_addr_next(&list, &a)) {
        mail_buf b = mail_buf_on(text, sizeof text);
        mail_buf p = mail_buf_on(path, sizeof path);
        if (a.kind != MAIL_ADDR_END && many) fputs(",\n         ", stdout);
        many = a.kind != MAIL_ADDR_GROUP;
        mail_addr_name(&b, &a, show_convert, s);
        show_utf8(mail_buf_str(&b));
        if (a.kind == MAIL_ADDR_GROUP) fputs(": ", stdout);
        if (a.kind == MAIL_ADDR_END) putchar(';');
        if (a.kind != MAIL_ADDR_MAILBOX || a.err) continue;
        mail_path_write(&p, &a.path);
        if (b.n) putchar(' ');
        else p.p++, p.n -= 2;                   /* no name: no < > */
        show_utf8(mail_buf_str(&p));
    }
}

static int show_field_wanted(const mail_field *f, int *list) {
    static const char *const names[] = { "From", "To", "Cc", "Reply-To",
                                         "Subject", "Date" };
    size_t i;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mail_ieq(f->name, mail_s(names[i]))) {
            *list = i < 4;
            return 1;
        }
    return 0;
}

static void show_header(show *s, mail_str head) {
    static char text[16384];
    mail_field f;
    while (mail_field_next(&head, &f)) {
        mail_buf b = mail_buf_on(text, sizeof text);
        int list = 0, wanted = show_field_wanted(&f, &list);
        s->fields += f.name.n > 0;
        if (!wanted && !s->all_fields) continue;
        show_utf8(f.name);
        fputs(f.name.n ? ":" : "", stdout);
        printf("%*s", f.name.n < 8 ? (int)(8 - f.name.n) : 1, "");
        mail_text_decode(&b, f.value, show_convert, s);
        if (list) show_addresses(s, f.value);
        else show_lines(mail_buf_str(&b), 0);
        putchar('\n');
    }
}

/* A name for a file of ours, out of what somebody wrote: no path, no dot or
   hyphen in front, nothing that a terminal or a shell takes for more. */
static void show_safe_name(char to[200], const char *name, int number) {
    const char *p;
    size_t n = 0;
    for (p = name; *p; p++) if (*p == '/' || *p == '\\') name = p + 1;
    for (p = name; *p && n < 180; p++) {
        int bad = (unsigned char)*p < 32 || *p == 127 ||
                  strchr(":*?\"<>|$`'&;!", *p) != NULL;
        if (n == 0 && (*p == '.' || *p == '-' || *p == ' ')) continue;
        to[n++] = bad ? '_' : *p;
    }
    while (n && !mail_utf8_ok(mail_sn(to, n))) n--;  /* cut in a character */
    while (n && (to[n - 1] == '.' || to[n - 1] == ' ')) n--;
    to[n] = 0;
    if (n == 0) snprintf(to, 200, "part-%d", number);
}

/* Never over a file that is there: report.pdf, report-1.pdf, ... */
static int show_create(show *s, const char *name, int number) {
    char safe[200];
    const char *dot;
    int k;
    show_safe_name(safe, name, number);
    dot = strrchr(safe, '.');
    if (dot == NULL) dot = safe + strlen(safe);
    for (k = 0; k < 1000; k++) {
        if (k == 0) snprintf(s->out_name, sizeof s->out_name, "%s", safe);
        else snprintf(s->out_name, sizeof s->out_name, "%.*s-%d%s",
                      (int)(dot - safe), safe, k, dot);
        s->out = openat(s->dir, s->out_name, O_WRONLY | O_CREAT | O_EXCL |
                        O_NOFOLLOW | O_CLOEXEC, 0600);
        if (s->out >= 0 || errno != EEXIST) break;
    }
    return s->out >= 0;
}

static void show_save_failed(show *s) {
    fprintf(stderr, "mail show: %s/%s: %s\n", s->save, s->out_name,
            strerror(errno));
    s->failed = 1;
    if (s->out < 0) return;
    close(s->out);
    unlinkat(s->dir, s->out_name, 0);      /* half of it is not it */
    s->out = -1;
}

static void show_save(show *s, mail_str text) {
    while (text.n && s->out >= 0) {
        ssize_t k = write(s->out, text.p, text.n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) show_save_failed(s);
        else text = mail_sn(text.p + k, text.n - (size_t)k);
    }
}

static int show_is_text(const show *s, const show_part *p) {
    return s->text_type && p->leaf && !p->attachment && !p->name[0] &&
           strcmp(p->type, s->text_type) == 0;
}

/* HTML is the same text again, where there is a plain one. */
static int show_is_file(const show *s, const show_part *p) {
    return p->leaf && !show_is_text(s, p) &&
           (p->attachment || p->name[0] || !mail_starts(mail_s(p->type),
                                                        "text/"));
}

static void show_list_part(show *s, const mail_mime *m, int what,
                           mail_str text) {
    show_part *p = &s->part[m->part];
    if (what == MAIL_MIME_TEXT) p->size += (int64_t)text.n;
    if (what != MAIL_MIME_PART) return;
    if (m->part == 0) show_header(s, mail_buf_str(&m->head));
    snprintf(p->type, sizeof p->type, "%s", m->type);
    snprintf(p->name, sizeof p->name, "%s", m->name);
    p->attachment = m->attachment;
    p->leaf = !m->multipart;
    s->n = m->part + 1;
}

static void show_tell(void *ctx, const mail_mime *m, int what,
                      mail_str text) {
    show *s = ctx;
    show_part *p = &s->part[m->part];
    if (s->listing) {
        show_list_part(s, m, what, text);
        return;
    }
    if (show_is_text(s, p)) {
        if (what == MAIL_MIME_PART) show_text_begin(s, m);
        if (what == MAIL_MIME_TEXT) show_text(s, m, text);
        if (what == MAIL_MIME_END) show_text_end(s);
    } else if (s->save && show_is_file(s, p)) {
        if (what == MAIL_MIME_PART && !show_create(s, p->name, m->part))
            show_save_failed(s);
        if (what == MAIL_MIME_TEXT) show_save(s, text);
        if (what != MAIL_MIME_END || s->out < 0) return;
        if (close(s->out)) s->out = -1, show_save_failed(s);
        else snprintf(p->name, sizeof p->name, "%s", s->out_name);
        s->out = -1;
    }
}

/* Through the whole message, once. */
static int show_pass(show *s, FILE *f) {
    static char head[65536], buf[16384];
    static mail_mime m;
    size_t k;
    rewind(f);
    memset(&m, 0, sizeof m);
    m.tell = show_tell;
    m.ctx = s;
    m.convert = show_convert;
    m.convert_ctx = s;
    m.head = mail_buf_on(head, sizeof head);
    m.most = SHOW_PARTS;
    while ((k = fread(buf, 1, sizeof buf, f)) > 0)
        mail_mime_feed(&m, mail_sn(buf, k));
    mail_mime_end(&m);
    if (ferror(f)) fprintf(stderr, "mail show: %s: %s\n", s->file,
                           strerror(errno));
    else if (m.broken && !s->listing)
        fprintf(stderr, "mail show: %s: %s; this is what can be read\n",
                s->file, m.broken);
    s->failed |= ferror(f) || m.broken;
    return !ferror(f);
}

static void show_choose(show *s) {
    static const char *const types[] = { "text/plain", "text/html" };
    size_t k;
    int i, found = 0;
    for (k = 0; k < 2 && !found; k++)
        for (s->text_type = types[k], i = 0; i < s->n; i++)
            found |= show_is_text(s, &s->part[i]);
    if (!found) s->text_type = NULL;
}

static void show_files(const show *s) {
    int i, any = 0;
    for (i = 0; i < s->n; i++) {
        const show_part *p = &s->part[i];
        if (!show_is_file(s, p)) continue;
        if (any++ == 0) printf("\n%s\n", s->save ? "Saved:" : "Attachments:");
        printf("  %10lld octets  ", (long long)p->size);
        show_utf8(mail_s(p->name[0] ? p->name : "(no name)"));
        fputs("  ", stdout);
        show_utf8(mail_s(p->type));
        putchar('\n');
    }
}

static int show_file(show *s, FILE *f) {
    s->listing = 1;
    if (!show_pass(s, f)) return 1;
    show_choose(s);
    s->listing = s->failed = 0;
    putchar('\n');
    if (!show_pass(s, f)) return 1;
    show_files(s);
    if (s->fields == 0) {
        fprintf(stderr, "mail show: %s: no field of a header at its "
                "beginning: is it a message?\n", s->file);
        s->failed = 1;
    }
#ifdef MAIL_ICONV
    show_iconv_open(s, mail_sn("", 0));
#endif
    return fflush(stdout) || s->failed;
}

static int cmd_show(int argc, char **argv) {
    static show s;
    text_rest files;
    const opt opts[] = {
        { "save", OPT_TEXT, &s.save,
          "DIR: put the attachments there; it is made" },
        { "header", OPT_FLAG, &s.all_fields, ": every field of the header" },
        { NULL, OPT_FLAG, NULL, NULL }
    };
    FILE *f = NULL;
    int e, in, fd;
    memset(&s, 0, sizeof s);
    s.dir = s.out = -1;
    e = opts_read("show", opts, argc, argv, &files);
    if (e < 0) {
        printf("mail show FILE: a message, as a person reads it; or - for "
               "standard input\n");
        opts_help(opts);
        return 0;
    }
    if (e) return e;
    if (files.n != 1) return usage_error("show", "one FILE is wanted,",
                                         "or - for standard input");
    s.file = files.p[0];
    in = strcmp(s.file, "-") == 0 ? 0 : open(s.file, O_RDONLY | O_CLOEXEC);
    fd = in < 0 ? -1 : send_spool(in);
    f = fd < 0 ? NULL : fdopen(fd, "rb");
    if (f && s.save) mkdir(s.save, 0700);        /* if it is not there */
    if (f && s.save) s.dir = open(s.save, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    e = 1;
    if (f == NULL || (s.save && s.dir < 0))
        fprintf(stderr, "mail show: %s: %s\n", f ? s.save : s.file,
                strerror(errno));
    else e = show_file(&s, f);
    if (s.dir >= 0) close(s.dir);
    if (f) fclose(f);
    if (in > 0) close(in);
    return e;
}

/* --- sendmail ------------------------------------------------------------- */

/* What programs call that want to send mail, and have called for forty years:
   under the name sendmail, or as mail sendmail. The exit status is one of
   <sysexits.h>, and one is for all: either everybody has the mail, or nobody
   has, and nothing is kept here. (But for a reply to the last dot that was
   lost: RFC 5321 6.1.) */
#define SENDMAIL_EXITS(X) \
    X(OK,           0, "everybody has it") \
    X(USAGE,       64, "wrong options, or no recipient") \
    X(DATAERR,     65, "an address or the header is none, or too long") \
    X(NOUSER,      67, "there is no such recipient") \
    X(NOHOST,      68, "the server has no address") \
    X(UNAVAILABLE, 69, "refused for good") \
    X(OSERR,       71, "no memory") \
    X(CANTCREAT,   73, "no space for the text in a temporary file") \
    X(IOERR,       74, "the text cannot be read") \
    X(TEMPFAIL,    75, "not now; the server cannot be reached: try again") \
    X(PROTOCOL,    76, "the server does not speak SMTP, or no TLS") \
    X(NOPERM,      77, "not without a login, or not with this one") \
    X(CONFIG,      78, "mail.conf is wrong")

enum {
#define SENDMAIL_X(name, code, text) SENDMAIL_##name = code,
    SENDMAIL_EXITS(SENDMAIL_X)
#undef SENDMAIL_X
    SENDMAIL_GOES_ON = -1
};

typedef struct sendmail {
    peer_cli c;
    const char *conf, *from, *name, *domain, *dir, *helo;
    const char *notify, *ret, *envid;
    int named, dots, mode;          /* -t, -i; 's', 'p', 'q', or 'm'       */
    mail_send_opts o;               /* rcpts: cap of them; addresses ours  */
    size_t cap;
    char sender[MAIL_PATH_SIZE];
    FILE *text;                     /* what is sent                        */
    int fd;
} sendmail;

static sendmail sm;

static const opt sendmail_table[] = {
    { "server", OPT_TEXT, &sm.c.peer.server,
      "HOST:PORT: who takes the mail (127.0.0.1:2525; with user :2587)" },
    { "user", OPT_TEXT, &sm.c.peer.user, "U: log in (password-file)" },
    { "from", OPT_TEXT, &sm.from, "A: the sender, without -f" },
    { "domain", OPT_TEXT, &sm.domain,
      "NAME: belongs to names without one (this machine's)" },
    { "helo", OPT_TEXT, &sm.helo, "NAME: what to call ourselves" },
    { "dir", OPT_TEXT, &sm.dir,
      "DIR: of the server whose queue -q and -bp mean (./mail.d)" },
    PEER_OPTIONS(sm.c),
    { NULL, OPT_FLAG, NULL, NULL }
};

/* takes: ' ' nothing, ':' a word, here or the next; '+' the rest of this one.
   Those without help have no meaning here, and are taken all the same. */
static const struct sendmail_flag {
    char key, takes;
    const char *help;
} sendmail_flags[] = {
    { 't', ' ', "t       to whom the header says: To, Cc, Bcc; and arguments" },
    { 'i', ' ', "i, -oi  a line of a dot only is text, not the end" },
    { 'f', ':', "f ADDR  the sender (-r ADDR); <> for none" },
    { 'F', ':', "F NAME  and its name, if there is no From" },
    { 'b', ':', "bs      speak SMTP on standard input and output\n"
                "  -bp      what waits in the queue of mail.conf's dir" },
    { 'q', '+', "q       try that queue now" },
    { 'N', ':', "N WHEN  reports: never, or some of success,failure,delay" },
    { 'R', ':', "R WHAT  in which comes back: full, or hdrs" },
    { 'V', ':', "V ID    and which say: this was ID" },
    { 'C', ':', "C FILE  the mail.conf" },
    { 'v', ' ', "v       show the dialogue" },
    { 'r', ':', NULL }, { 'o', ':', NULL }, { 'B', ':', NULL },
    { 'e', ':', NULL }, { 'h', ':', NULL }, { 'L', ':', NULL },
    { 'O', ':', NULL }, { 'p', ':', NULL }, { 'A', '+', NULL },
    { 'G', ' ', NULL }, { 'm', ' ', NULL }, { 'n', ' ', NULL },
    { 'U', ' ', NULL }
};
enum { SENDMAIL_FLAGS = sizeof sendmail_flags / sizeof sendmail_flags[0] };

static void sendmail_help(void) {
    size_t i;
    printf("mail sendmail: sendmail [options] [ADDR...]; the message on "
           "standard input\n");
    for (i = 0; i < SENDMAIL_FLAGS; i++)
        if (sendmail_flags[i].help) printf("  -%s\n", sendmail_flags[i].help);
    printf("  --       what follows is an ADDR\n"
           "Taken, of no meaning here:");
    for (i = 0; i < SENDMAIL_FLAGS; i++)
        if (!sendmail_flags[i].help && sendmail_flags[i].key != 'r')
            printf(" -%c%s", sendmail_flags[i].key,
                   sendmail_flags[i].takes == ' ' ? "" : " X");
    printf("\nmail.conf: the file in MAIL_CONF, else ~/.mail.conf, else "
           "/etc/mail.conf;\nname value lines, with these names without the "
           "--:\n");
    opts_help(sendmail_table);
    printf("Exit status:\n");
#define SENDMAIL_X(name, code, text) printf("  %-2d  %s\n", code, text);
    SENDMAIL_EXITS(SENDMAIL_X)
#undef SENDMAIL_X
}

static int sendmail_wrong(const char *what, const char *name) {
    usage_error("sendmail", what, name);
    return SENDMAIL_USAGE;
}

static int sendmail_flag(char key, const char *value) {
    switch (key) {
    case 't': sm.named = 1; break;
    case 'i': sm.dots = 1; break;
    case 'o': if (strcmp(value, "i") == 0) sm.dots = 1; break;
    case 'r': case 'f': sm.from = value; break;
    case 'F': sm.name = value; break;
    case 'N': sm.notify = value; break;
    case 'R': sm.ret = value; break;
    case 'V': sm.envid = value; break;
    case 'C': sm.conf = value; break;
    case 'v': sm.c.verbose = 1; break;
    case 'q':
        if (*value) return sendmail_wrong("the queue has its own clock: -q, "
                                          "without", value);
        sm.mode = 'q';
        break;
    case 'b':
        if (strlen(value) != 1 || !strchr("mspa", *value))
            return sendmail_wrong("-bm, -bs or -bp; the server is mail serve: "
                                  "-b", value);
        if (*value != 'a') sm.mode = (unsigned char)*value;
        break;
    default: break;
    }
    return SENDMAIL_OK;
}

/* One word, -ti or -fADDR. *i is the last word that was taken. */
static int sendmail_word(int argc, char **argv, int *i) {
    const char *p = argv[*i] + 1;
    int e = SENDMAIL_OK;
    for (; !e && *p; p++) {
        const struct sendmail_flag *f = sendmail_flags;
        const char *value = p + 1;
        while (f < sendmail_flags + SENDMAIL_FLAGS && f->key != *p) f++;
        if (f == sendmail_flags + SENDMAIL_FLAGS)
            return sendmail_wrong("unknown option", argv[*i]);
        if (f->takes == ' ') {
            e = sendmail_flag(*p, "");
            continue;
        }
        if (*value == 0 && f->takes == ':') {
            if (++*i == argc)
                return sendmail_wrong("a value is missing for",
                                      argv[argc - 1]);
            value = argv[*i];
        }
        return sendmail_flag(*p, value);
    }
    return e;
}

/* *rest is the first word that is no option. */
static int sendmail_args(int argc, char **argv, int *rest) {
    int i, e = SENDMAIL_OK;
    for (i = 0; !e && i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            sendmail_help();
            return SENDMAIL_GOES_ON;
        }
        if (strcmp(argv[i], "--") == 0) {
            *rest = i + 1;
            return SENDMAIL_OK;
        }
        if (argv[i][0] != '-') break;
        e = sendmail_word(argc, argv, &i);
    }
    *rest = i;
    for (; !e && i < argc; i++)
        if (argv[i][0] == '-')
            e = sendmail_wrong("options come first:", argv[i]);
    return e;
}

/* The first that there is. A file that was named must be there. */
static int sendmail_conf(void) {
    const struct passwd *w = getpwuid(getuid());
    const char *from = sm.from, *env = getenv("MAIL_CONF");
    const char *home = getenv("HOME");
    char path[1024];
    int e;
    sm.from = NULL;
    if (sm.conf == NULL && env && *env) sm.conf = env;
    if (home == NULL && w) home = w->pw_dir;
    if (sm.conf) {
        e = conf_read("sendmail", sendmail_table, sm.conf);
        if (e < 0) fprintf(stderr, "mail sendmail: there is no %s\n", sm.conf);
        if (e < 0) return SENDMAIL_CONFIG;
    } else {
        snprintf(path, sizeof path, "%s/.mail.conf", home ? home : "");
        e = home ? conf_read("sendmail", sendmail_table, path) : -1;
        if (e < 0) e = conf_read("sendmail", sendmail_table,
                                 "/etc/mail.conf");
    }
    if (e <= 0) e = peer_check(&sm.c, "sendmail");
    if (from) sm.from = from;
    return e ? SENDMAIL_CONFIG : SENDMAIL_OK;
}

/* --- who, and to whom --- */

/* A name without a domain is one of this machine's. */
static mail_err sendmail_path(mail_str s, mail_path *p) {
    char whole[MAIL_PATH_SIZE];
    if (mail_path_mailbox(s, p) == MAIL_ERR_OK) return MAIL_ERR_OK;
    if (snprintf(whole, sizeof whole, "%.*s@%s", MAIL_ARG(s), sm.domain) >=
        (int)sizeof whole) return MAIL_ERR_TOOLONG;
    return mail_path_mailbox(mail_s(whole), p);
}

static int sendmail_none(mail_str s) {
    fputs("mail sendmail: not an address: ", stderr);
    show_safe(stderr, s, 80);
    fputc('\n', stderr);
    return SENDMAIL_DATAERR;
}

/* "bob", "Bob <bob>" are no addresses of RFC 5322. */
static int sendmail_address(const mail_addr *a, mail_path *p) {
    mail_str s = a->name;
    size_t at = s.n;
    *p = a->path;
    if (a->err == MAIL_ERR_OK) return SENDMAIL_OK;
    while (at && s.p[at - 1] != '<') at--;
    if (at && s.p[s.n - 1] == '>') s = mail_sn(s.p + at, s.n - at - 1);
    return sendmail_path(s, p) ? sendmail_none(a->name) : SENDMAIL_OK;
}

typedef struct sendmail_rcpt {
    char address[MAIL_PATH_SIZE];
    mail_param param;
} sendmail_rcpt;

static int sendmail_add(const mail_path *p, const mail_param *param) {
    mail_send_rcpt *more = sm.o.rcpts;
    sendmail_rcpt *copy;
    char path[MAIL_PATH_SIZE];
    size_t i, cap = sm.cap;
    mail__show(p, path);
    for (i = 0; i < sm.o.nrcpts; i++)
        if (strcmp(more[i].address, path) == 0) return SENDMAIL_OK;
    if (sm.o.nrcpts == cap) {
        cap = cap ? 2 * cap : 16;
        more = realloc(sm.o.rcpts, cap * sizeof *more);
        if (more) sm.o.rcpts = more, sm.cap = cap;
    }
    copy = more ? malloc(sizeof *copy) : NULL;
    if (copy == NULL) {
        fprintf(stderr, "mail sendmail: out of memory\n");
        return SENDMAIL_OSERR;
    }
    mail_copy(copy->address, sizeof copy->address, mail_s(path));
    copy->param = param ? *param : sm.o.param;
    more = &sm.o.rcpts[sm.o.nrcpts++];
    memset(more, 0, sizeof *more);
    more->address = copy->address;             /* which it begins with */
    more->param = &copy->param;
    return SENDMAIL_OK;
}

/* A new message, or none. */
static void sendmail_drop(void) {
    if (sm.text) fclose(sm.text);
    sm.text = NULL;
    while (sm.o.nrcpts) free((char *)sm.o.rcpts[--sm.o.nrcpts].address);
}

/* next gives addresses until it is 0: of an argument, or of a header. */
static int sendmail_all(int (*next)(void *ctx, mail_addr *a), void *ctx) {
    mail_addr a;
    mail_path p;
    int e = SENDMAIL_OK;
    while (!e && next(ctx, &a)) {
        if (a.kind != MAIL_ADDR_MAILBOX) continue;
        e = sendmail_address(&a, &p);
        if (!e) e = sendmail_add(&p, NULL);
    }
    return e;
}

static int sendmail_next(void *ctx, mail_addr *a) {
    return mail_addr_next(ctx, a);
}

static int sendmail_next_named(void *ctx, mail_addr *a) {
    return mail_named_next(ctx, a);
}

/* Who sends: -f, from of mail.conf, or who runs this. */
static int sendmail_who(void) {
    const struct passwd *w = getpwuid(getuid());
    static char host[MAIL_DOMAIN_SIZE];
    mail_str s = mail_trim(mail_s(sm.from));
    mail_addr a;
    mail_path p;
    int e;
    mail_copy(sm.sender, sizeof sm.sender, mail_s("<>"));
    sm.o.from = sm.sender;
    if (sm.domain == NULL)
        sm.domain = gethostname(host, sizeof host - 1) == 0 &&
                    mail_domain_ok(mail_s(host)) ? host : "localhost";
    if (!mail_domain_ok(mail_s(sm.domain))) {
        fprintf(stderr, "mail sendmail: domain in mail.conf is no domain\n");
        return SENDMAIL_CONFIG;
    }
    if (sm.from && (s.n == 0 || mail_eq(s, mail_s("<>"))))
        return SENDMAIL_OK;
    if (sm.from == NULL) s = mail_s(w ? w->pw_name : "nobody");
    if (mail_has_control(s) || !mail_addr_next(&s, &a) ||
        a.kind != MAIL_ADDR_MAILBOX || s.n)
        return sendmail_none(mail_s(sm.from));
    if ((e = sendmail_address(&a, &p)) == SENDMAIL_OK)
        mail__show(&p, sm.sender);
    return e;
}

/* -N, -R and -V in the words of RFC 3461; notify and the rest of it stand in
   one struct. */
static int sendmail_reports(void) {
    const char *value[3], *const key[3] = { "RET", "ENVID", "NOTIFY" };
    char word[200], id[MAIL_ENVID_SIZE];
    mail_buf b = mail_buf_on(id, sizeof id - 1);
    int i;
    mail_xtext_write(&b, mail_s(sm.envid));
    id[b.n] = 0;
    value[0] = sm.ret;
    value[1] = sm.envid ? id : NULL;
    value[2] = sm.notify;
    for (i = 0; i < 3; i++) {
        if (value[i] == NULL) continue;
        snprintf(word, sizeof word, "%s=%s", key[i], value[i]);
        if (b.full || mail_param_read(&sm.o.param, mail_s(word), i == 2))
            return sendmail_wrong(i == 2 ? "not for -N:" : i ? "not for -V:" :
                                  "not for -R:", value[i]);
    }
    return SENDMAIL_OK;
}

/* --- the message --- */

/* Standard input, which a line of one dot ends, unless -i. */
typedef struct dotted { FILE *f; int dots, bol, over; char held[2];
                        size_t n; } dotted;

static int dotted_get(dotted *d) {
    int c;
    if (d->n) return (unsigned char)d->held[--d->n];
    c = d->over ? EOF : getc(d->f);
    if (c == '.' && d->bol && !d->dots) {
        int next = getc(d->f), last = next == '\r' ? getc(d->f) : next;
        d->over = last == '\n' || last == EOF;
        if (d->over) return EOF;
        d->held[d->n++] = (char)last;
        if (next == '\r') d->held[d->n++] = '\r';
    }
    d->bol = c == '\n';
    return c;
}

enum { SENDMAIL_HEAD = 1024 * 1024 };

/* Its first octets: the header, unless that is longer than SENDMAIL_HEAD. */
static size_t sendmail_head(dotted *d, char *p) {
    size_t n = 0, line = 0;
    int c;
    while (n < SENDMAIL_HEAD && (c = dotted_get(d)) != EOF) {
        p[n++] = (char)c;
        if (c != '\n') line += c != '\r';
        else if (line) line = 0;
        else break;
    }
    return n;
}

/* What a letter must have, if the user's program did not say it. */
static mail_err sendmail_complete(mail_buf *b, mail_str *text) {
    char from[1500], id[400], path[MAIL_PATH_SIZE];
    mail_buf f = mail_buf_on(from, sizeof from - 1);
    const char *who = sm.sender;
    mail_path nobody;
    mail_compose m;
    const char *p;
    uint32_t r[2];
    memset(&m, 0, sizeof m);
    m.time = sys_time(NULL, &m.zone);
    sys_random(NULL, r, sizeof r);
    snprintf(id, sizeof id, "<%llx.%08lx%08lx@%.250s>",
             (unsigned long long)m.time, (unsigned long)r[0],
             (unsigned long)r[1], sm.domain);
    if (strcmp(who, "<>") == 0 &&
        !sendmail_path(mail_s("MAILER-DAEMON"), &nobody))
        who = mail__show(&nobody, path);
    if (sm.name && *sm.name) mail_buf_add(&f, mail_s("\""));
    for (p = sm.name ? sm.name : ""; *p; p++) {
        if (*p == '"' || *p == '\\') mail_buf_add(&f, mail_s("\\"));
        mail_buf_add(&f, mail_sn(p, 1));
    }
    if (sm.name && *sm.name) mail_buf_add(&f, mail_s("\" "));
    mail_buf_add(&f, mail_s(who));
    from[f.n] = 0;
    if (f.full) return MAIL_ERR_TOOLONG;
    m.from = from;
    m.message_id = id;
    return mail_head_complete(b, text, &m);
}

static int sendmail_cannot(const char *what, int status) {
    fprintf(stderr, "mail sendmail: %s: %s\n", what, strerror(errno));
    return status;
}

/* The header, whole, and the rest of the text, in a file without a name. */
static int sendmail_spool(dotted *d, mail_str text) {
    size_t room = 3 * SENDMAIL_HEAD;
    mail_buf b = mail_buf_on(malloc(room), room);
    FILE *f = tmpfile();
    mail_err e = b.p ? sendmail_complete(&b, &text) : MAIL_ERR_NOMEM;
    int c, status = SENDMAIL_OK;
    if (e) {
        fprintf(stderr, "mail sendmail: the header: %s\n", mail_err_text(e));
        status = e == MAIL_ERR_NOMEM ? SENDMAIL_OSERR : SENDMAIL_DATAERR;
    } else if (f) {
        fwrite(b.p, 1, b.n, f);
        fwrite(text.p, 1, text.n, f);
        while ((c = dotted_get(d)) != EOF) putc(c, f);
    }
    free(b.p);
    sm.text = f;
    if (status) return status;
    if (f == NULL || fflush(f) || ferror(f))
        return sendmail_cannot("the text cannot be kept in a temporary file",
                               SENDMAIL_CANTCREAT);
    return SENDMAIL_OK;
}

static int sendmail_read(void) {
    char *head = malloc(SENDMAIL_HEAD);
    mail_named named;
    dotted d;
    size_t n;
    int e;
    if (head == NULL) return sendmail_cannot("no memory", SENDMAIL_OSERR);
    memset(&d, 0, sizeof d);
    d.f = stdin;
    d.bol = 1;
    d.dots = sm.dots;
    n = sendmail_head(&d, head);
    memset(&named, 0, sizeof named);
    named.head = mail_sn(head, n);
    e = sm.named ? sendmail_all(sendmail_next_named, &named) : SENDMAIL_OK;
    if (!e && sm.o.nrcpts == 0)
        e = sendmail_wrong("to whom?", sm.named ? "no recipient is in the "
                           "header" : "name somebody, or say -t");
    if (!e) e = sendmail_spool(&d, mail_sn(head, n));
    if (!e && ferror(stdin))
        e = sendmail_cannot("standard input cannot be read", SENDMAIL_IOERR);
    free(head);
    return e;
}

/* --- to the server --- */

static const struct { mail_err e; int status; } sendmail_errors[] = {
    { MAIL_ERR_SYNTAX,   SENDMAIL_CONFIG },       /* the server is none  */
    { MAIL_ERR_TOOLONG,  SENDMAIL_DATAERR },
    { MAIL_ERR_PROTOCOL, SENDMAIL_PROTOCOL },
    { MAIL_ERR_TLS,      SENDMAIL_PROTOCOL },
    { MAIL_ERR_TEMPFAIL, SENDMAIL_TEMPFAIL },
    { MAIL_ERR_TIMEOUT,  SENDMAIL_TEMPFAIL },
    { MAIL_ERR_CLOSED,   SENDMAIL_TEMPFAIL },
    { MAIL_ERR_IO,       SENDMAIL_TEMPFAIL },     /* it does not answer  */
    { MAIL_ERR_DENIED,   SENDMAIL_NOPERM },
    { MAIL_ERR_NOMEM,    SENDMAIL_OSERR },
    { MAIL_ERR_NOTFOUND, SENDMAIL_NOHOST },
    { MAIL_ERR_SEALED,   SENDMAIL_CONFIG }
};

static int sendmail_status(mail_err e) {
    size_t i;
    for (i = 0; i < sizeof sendmail_errors / sizeof sendmail_errors[0]; i++)
        if (sendmail_errors[i].e == e) return sendmail_errors[i].status;
    return SENDMAIL_UNAVAILABLE;
}

/* Who is refused for good is so whatever becomes of the others. */
static int sendmail_result(const mail_result *r) {
    int status = SENDMAIL_OK;
    size_t i;
    if (r->err == MAIL_ERR_OK) return SENDMAIL_OK;
    for (i = 0; i < sm.o.nrcpts; i++) {
        const mail_send_rcpt *p = &sm.o.rcpts[i];
        mail_err e = mail_reply_err(p->code, mail_s(p->words));
        if (e && (!status || status == SENDMAIL_TEMPFAIL))
            status = e == MAIL_ERR_NOTFOUND ? SENDMAIL_NOUSER
                                            : sendmail_status(e);
    }
    return status ? status : sendmail_status(r->err);
}

static void sendmail_tell(const mail_result *r) {
    size_t i, told = 0;
    if (r->err == MAIL_ERR_OK) return;
    for (i = 0; i < sm.o.nrcpts; i++) {
        const mail_send_rcpt *p = &sm.o.rcpts[i];
        if (p->code < 400) continue;
        fprintf(stderr, "mail sendmail: refused %s: %d ", p->address,
                p->code);
        show_safe(stderr, mail_s(p->words), 400);
        fputc('\n', stderr);
        told++;
    }
    if (!told) peer_tell("sendmail", r);
    fprintf(stderr, "mail sendmail: nobody has it, and it is not kept here\n");
}

/* The text to sm.o.rcpts. */
static int sendmail_go(mail_result *r) {
    mail_send_opts *o = &sm.o;
    sm.fd = fileno(sm.text);
    o->peer = sm.c.peer;
    if (o->peer.server == NULL && o->peer.user == NULL)
        o->peer.server = "127.0.0.1:2525";
    o->peer.password = sm.c.password;
    o->helo = sm.helo;
    o->raw.read = file_read;
    o->raw.ctx = &sm.fd;
    o->all = 1;
    mail_send(*o, r);
    return sendmail_result(r);
}

static int sendmail_mail(void) {
    mail_result r;
    int e = sendmail_read();
    if (!e) {
        e = sendmail_go(&r);
        sendmail_tell(&r);
    }
    return e;
}

/* --- -bs: a server on standard input --- */

/* The answer to the text is what the server said. */
static void sendmail_on_end(mail_smtpd *d) {
    mail_result r;
    char words[400] = "";
    int code = 451, status = SENDMAIL_CANTCREAT;
    size_t i;
    if (fflush(sm.text) == 0 && !ferror(sm.text)) {
        status = sendmail_go(&r);
        code = status == SENDMAIL_TEMPFAIL ? 451 : status ? 554 : 250;
    }
    for (i = 0; i < sm.o.nrcpts && status; i++)
        if (sm.o.rcpts[i].code >= 400) {
            code = sm.o.rcpts[i].code;
            mail_printable(words, sizeof words,
                           mail_s(sm.o.rcpts[i].words));
        }
    if (status && status != SENDMAIL_CANTCREAT && !words[0])
        mail_printable(words, sizeof words, mail_s(r.words));
    mail_smtpd_reply(d, code, words[0] ? words : NULL);
    sendmail_drop();
}

static void sendmail_event(mail_smtpd *d, const mail_event *ev) {
    switch (ev->kind) {
    case MAIL_EV_MAIL:
        sendmail_drop();
        mail__show(ev->path, sm.sender);
        sm.o.from = sm.sender;
        sm.o.param = *ev->param;
        mail_smtpd_reply(d, 250, NULL);
        break;
    case MAIL_EV_RCPT:
        mail_smtpd_reply(d, sendmail_add(ev->path, ev->param) ? 452 : 250,
                         NULL);
        break;
    case MAIL_EV_DATA:
        sm.text = tmpfile();
        mail_smtpd_reply(d, sm.text ? 354 : 452, NULL);
        break;
    case MAIL_EV_TEXT:
        fwrite(ev->text.p, 1, ev->text.n, sm.text);
        break;
    case MAIL_EV_END:
        sendmail_on_end(d);
        break;
    default:
        sendmail_drop();
        break;
    }
}

static int sendmail_smtp(void) {
    static mail_smtpd d;
    char in[4096];
    size_t n = 0, at = 0;
    mail_smtpd_opts o;
    mail_event ev;
    mail_str out;
    ssize_t k;
    memset(&o, 0, sizeof o);
    o.host = sm.domain;
    o.max_size = INT64_C(1) << 40;              /* the server has its own */
    o.max_rcpts = o.max_messages = 1000000;
    mail_smtpd_init(&d, o);
    for (;;) {
        while (mail_smtpd_next(&d, &ev)) sendmail_event(&d, &ev);
        out = mail_smtpd_out(&d);
        k = out.n ? write(1, out.p, out.n) : 0;
        if (k > 0) mail_smtpd_sent(&d, (size_t)k);
        if (k < 0 && errno != EINTR) break;
        if (out.n) continue;
        if (d.state == MAIL_SMTPD_END) break;
        if (at == n) {
            while ((k = read(0, in, sizeof in)) < 0 && errno == EINTR) {}
            if (k <= 0) break;
            at = 0;
            n = (size_t)k;
        }
        at += mail_smtpd_feed(&d, in + at, n - at);
    }
    return SENDMAIL_OK;
}

static int sendmail_queue(void) {
    const char *dir = sm.dir ? sm.dir : "./mail.d";
    umask(077);
    if (!root_give_up(dir, NULL)) return SENDMAIL_NOPERM;
    return queue_run(dir, sm.mode == 'q' ? "retry" : "list", "")
               ? SENDMAIL_UNAVAILABLE : SENDMAIL_OK;
}

/* The password is never asked for: nobody may be there. */
static int sendmail_password(void) {
    if (sm.c.peer.user == NULL) return SENDMAIL_OK;
    if (sm.c.password_file == NULL && getenv("MAIL_PASSWORD") == NULL) {
        fprintf(stderr, "mail sendmail: user in mail.conf has no password: "
                "add password-file FILE\n");
        return SENDMAIL_CONFIG;
    }
    return get_password(sm.c.password_file, sm.c.password,
                        sizeof sm.c.password) ? SENDMAIL_OK : SENDMAIL_CONFIG;
}

static int sendmail_run(int argc, char **argv) {
    mail_str list;
    int i, e = sendmail_conf();
    if (e || strchr("qp", sm.mode)) return e ? e : sendmail_queue();
    if ((e = sendmail_who()) || (e = sendmail_reports())) return e;
    for (i = 0; !e && i < argc; i++) {
        list = mail_s(argv[i]);
        e = mail_has_control(list) ? sendmail_none(list)
                                   : sendmail_all(sendmail_next, &list);
    }
    if (!e && sm.mode == 's' && (sm.named || argc))
        e = sendmail_wrong("-bs says it all itself:", "neither -t nor ADDR");
    if (!e) e = sendmail_password();
    if (!e) e = sm.mode == 's' ? sendmail_smtp() : sendmail_mail();
    mail_wipe(sm.c.password, sizeof sm.c.password);
    sendmail_drop();
    free(sm.o.rcpts);
    return e;
}

/* It reads files that its caller names, and says what is wrong in them: made
   to run as somebody else, it would tell everybody. */
static int cmd_sendmail(int argc, char **argv) {
    int e, rest;
    memset(&sm, 0, sizeof sm);
    sm.mode = 'm';
    if (getuid() != geteuid() || getgid() != getegid()) {
        fprintf(stderr, "mail sendmail: not to be installed setuid or "
                "setgid: chmod ug-s\n");
        return SENDMAIL_NOPERM;
    }
    e = sendmail_args(argc, argv, &rest);
    if (e == SENDMAIL_GOES_ON) return 0;
    return e ? e : sendmail_run(argc - rest, argv + rest);
}

/* --- mail fetch ----------------------------------------------------------- */

typedef struct fetch_cli {
    peer_cli c;
    mail_fetch_opts o;
    int64_t leave_days;
    int del;
    FILE *spool; mail_to_lf lf;     /* --into -: a message that is coming */
    int progress; int64_t shown;    /* on a terminal; when, in ms         */
} fetch_cli;

/* Standard output gets whole messages. */
static mail_err output_text(void *ctx, int64_t number, mail_str text) {
    fetch_cli *o = ctx;
    char lf[4096 + 1] = "";
    (void)number;
    if (o->spool == NULL) o->spool = tmpfile();
    while (o->spool && text.n) {
        size_t k = text.n < 4096 ? text.n : 4096;
        fwrite(lf, 1, mail_to_lf_feed(&o->lf, text.p, k, lf), o->spool);
        text = mail_sn(text.p + k, text.n - k);
    }
    return o->spool == NULL || ferror(o->spool) ? errno_err() : MAIL_ERR_OK;
}

static mail_err output_store(void *ctx, int64_t number) {
    fetch_cli *o = ctx;
    char buf[4096] = "";
    size_t n;
    int bad;
    (void)number;
    if (o->spool == NULL) return MAIL_ERR_OK;           /* an empty one */
    fwrite(buf, 1, mail_to_lf_end(&o->lf, buf), o->spool);
    rewind(o->spool);
    while ((n = fread(buf, 1, sizeof buf, o->spool)) > 0)
        fwrite(buf, 1, n, stdout);
    bad = ferror(o->spool);
    fclose(o->spool);
    o->spool = NULL;
    /* A pipe cannot be made durable; a file can, and is. */
    if (fflush(stdout) || bad || (fsync(1) && errno != EINVAL &&
                                  errno != ENOTSUP && errno != EROFS))
        return MAIL_ERR_IO;
    return MAIL_ERR_OK;
}

/* One line, which is written again ten times a second. */
static void fetch_progress(void *ctx, const mail_result *r) {
    fetch_cli *o = ctx;
    int64_t now = sys_clock(NULL);
    if (now < o->shown + 100) return;
    o->shown = now;
    fprintf(stderr, "\r%lld of %lld messages, %lld KiB ", (long long)r->done,
            (long long)r->count, (long long)r->octets / 1024);
}

static int fetch_tell(const fetch_cli *o, const mail_result *r) {
    if (o->shown) fprintf(stderr, "\r%60s\r", "");
    peer_tell("fetch", r);
    if (r->count >= 0)
        fprintf(o->o.into ? stdout : stderr, "%lld of %lld messages fetched, "
                "%lld removed there%s\n", (long long)r->done,
                (long long)r->count, (long long)r->removed,
                r->skipped ? ", some refused" : "");
    return r->err || r->skipped ? 1 : 0;
}

static int fetch_check(fetch_cli *o) {
    if (o->c.peer.user == NULL)
        return usage_error("fetch", "whose mail? give", "--user");
    if (o->o.keep && o->del)
        return usage_error("fetch", "choose one of", "--keep, --delete");
    if (o->leave_days == 0 || o->leave_days > 36500)
        return usage_error("fetch", "1 to 36500 is wanted for",
                           "--leave-days");
    if (o->leave_days > 0 && o->del)
        return usage_error("fetch", "choose one of",
                           "--leave-days, --delete");
    if (o->leave_days > 0) {
        o->o.keep = 1;
        o->o.leave_days = (int)o->leave_days;
    }
    if (strcmp(o->o.into, "-") == 0) {
        o->o.into = NULL;
        o->o.text = output_text;
        o->o.store = output_store;
    }
    return peer_check(&o->c, "fetch");
}

static int cmd_fetch(int argc, char **argv) {
    static fetch_cli o;
    mail_result r;
    const opt opts[] = {
        { "server", OPT_TEXT, &o.c.peer.server,
          "HOST:PORT: the receiver's mail server (127.0.0.1:2110)" },
        { "user", OPT_TEXT, &o.c.peer.user, "U: whose mail" },
        { "delete", OPT_FLAG, &o.del,
          ": fetched mail is removed there (default)" },
        { "keep", OPT_FLAG, &o.o.keep,
          ": it stays there; each message is fetched once" },
        { "leave-days", OPT_NUMBER, &o.leave_days,
          "N: it stays for N days after it was fetched" },
        { "into", OPT_TEXT, &o.o.into,
          "MAILDIR|FILE.mbox|-: where to (./Maildir)" },
        { "ledger", OPT_TEXT, &o.o.ledger,
          "FILE: the UIDs that are here already (INTO.uidl)" },
        { "max-size", OPT_NUMBER, &o.o.max_size,
          "N: octets a message may have (50m)" },
        { "apop", OPT_FLAG, &o.o.apop, ": log in without the password in "
          "clear" },
        PEER_OPTIONS(o.c),
        { NULL, OPT_FLAG, NULL, NULL }
    };
    int e;
    memset(&o, 0, sizeof o);
    o.o.into = "./Maildir";
    o.leave_days = -1;
    e = opts_read("fetch", opts, argc, argv, NULL);
    if (e < 0) {
        printf("mail fetch: take the mail out of a mailbox (POP3)\n");
        opts_help(opts);
        printf("The password: MAIL_PASSWORD, --password-file, or a "
               "prompt.\n");
        return 0;
    }
    if (!e) e = fetch_check(&o);
    if (e) return e;
    umask(077);
    if (!get_password(o.c.password_file, o.c.password, sizeof o.c.password))
        return 1;
    o.c.peer.password = o.c.password;
    o.o.peer = o.c.peer;
    o.o.ctx = &o;
    if (isatty(2) && !o.c.verbose) o.o.progress = fetch_progress;
    mail_fetch(o.o, &r);
    mail_wipe(o.c.password, sizeof o.c.password);
    if (o.spool) fclose(o.spool);
    return fetch_tell(&o, &r);
}

/* --- mail bench ----------------------------------------------------------- */

typedef struct bench_cli {
    bench_opts o;
    text_list to, users;
    text_rest rest;
    const char *password_file;
} bench_cli;

static bench_cli bench_line;

static const opt bench_table[] = {
    { "clients", OPT_NUMBER, &bench_line.o.clients,
      "N: connections at once (10; pop3: one a user)" },
    { "messages", OPT_NUMBER, &bench_line.o.messages,
      "N: in all (1000; pop3: all there are)" },
    { "size", OPT_NUMBER, &bench_line.o.size,
      "N: octets of the text, header and all (1024)" },
    { "per-connection", OPT_NUMBER, &bench_line.o.per_conn,
      "N: messages, then QUIT (0: no such limit)" },
    { "from", OPT_TEXT, &bench_line.o.from, "A: the sender" },
    { "to", OPT_LIST, &bench_line.to,
      "A: a recipient (again: more, in turn)" },
    { "no-pipelining", OPT_FLAG, &bench_line.o.no_pipelining,
      ": smtp: one command at a time" },
    { "user", OPT_LIST, &bench_line.users,
      "U: log in (again: more, in turn)" },
    { "password-file", OPT_TEXT, &bench_line.password_file,
      "FILE: its first line" },
    { "pipeline", OPT_NUMBER, &bench_line.o.pipeline,
      "N: pop3: messages asked for ahead (16)" },
    { "delete", OPT_FLAG, &bench_line.o.del,
      ": pop3: what was fetched is removed" },
    { "logins", OPT_NUMBER, &bench_line.o.logins,
      "N: pop3: only log in, N times" },
    { "json", OPT_FLAG, &bench_line.o.json, ": the figures on one line" },
    { "unsealed", OPT_FLAG, &bench_line.o.unsealed,
      ": the server is not on this machine" },
    { NULL, OPT_FLAG, NULL, NULL }
};

static void bench_help(void) {
    printf("mail bench smtp HOST:PORT   send mail, as fast as it is taken\n"
           "mail bench pop3 HOST:PORT   fetch mail, as fast as it comes\n"
           "mail bench sink [ADDR]      a server that takes all, keeps none "
           "(2500)\n");
    opts_help(bench_table);
    printf("The password: MAIL_PASSWORD, --password-file, or a prompt.\n");
}

static int bench_check(bench_cli *c) {
    bench_opts *o = &c->o;
    const char *what = c->rest.n ? c->rest.p[0] : "";
    o->pop3 = strcmp(what, "pop3") == 0;
    if (!o->pop3 && strcmp(what, "smtp") != 0 && strcmp(what, "sink") != 0)
        return usage_error("bench", "write", "smtp|pop3 HOST:PORT, or sink");
    if (what[0] == 's' && what[1] == 'i')
        return c->rest.n > 2 ? usage_error("bench", "what is", c->rest.p[2])
                             : 0;
    if (c->rest.n != 2)
        return usage_error("bench", "which server? write", "HOST:PORT");
    if (o->pop3 && c->users.n == 0)
        return usage_error("bench", "whose mail? give", "--user");
    if (!o->pop3 && (o->from == NULL || c->to.n == 0))
        return usage_error("bench", "at least", "--from and one --to");
    if (o->clients < 0) o->clients = o->pop3 ? (int64_t)c->users.n : 10;
    if (o->messages < 0) o->messages = o->pop3 ? 0 : 1000;
    if (o->clients == 0 || o->clients > 100000 || o->pipeline == 0)
        return usage_error("bench", "1 to 100000 is wanted for",
                           "--clients, --pipeline");
    if ((o->messages == 0 && !o->pop3) || o->messages > 100000000 ||
        o->logins > 100000000)
        return usage_error("bench", "1 to 100 million is wanted for",
                           "--messages, --logins");
    if (o->size > 1024 * 1024 * 1024)
        return usage_error("bench", "1024m is the most for", "--size");
    return 0;
}

static int cmd_bench(int argc, char **argv) {
    bench_cli *c = &bench_line;
    char password[256] = "";
    int e;
    memset(c, 0, sizeof *c);
    c->o.clients = c->o.messages = -1;
    c->o.size = 1024;
    c->o.pipeline = 16;
    e = opts_read("bench", bench_table, argc, argv, &c->rest);
    if (e < 0) {
        bench_help();
        return 0;
    }
    if (!e) e = bench_check(c);
    if (e) return e;
    if (strcmp(c->rest.p[0], "sink") == 0)
        return bench_sink(c->rest.n > 1 ? c->rest.p[1] : "127.0.0.1:2500",
                          c->o.unsealed, c->o.clients > 0 ? c->o.clients
                                                          : 1000);
    if (c->users.n && !get_password(c->password_file, password,
                                    sizeof password)) return 1;
    c->o.to = c->to.p;
    c->o.nto = c->to.n;
    c->o.users = c->users.p;
    c->o.nusers = c->users.n;
    c->o.password = password;
    e = bench_run(&c->o, c->rest.p[1]);
    mail_wipe(password, sizeof password);
    return e;
}

/* --- mail states, mail help ----------------------------------------------- */

static void states_rows(int (*row)(size_t i, mail_row *r)) {
    mail_row r;
    size_t i;
    for (i = 0; row(i, &r); i++)
        printf("  %-9s%-15s -> %-16s %s\n", r.name, r.from, r.then, r.says);
}

static void states_list(const char *title, int n,
                        const char *(*name)(int), const char *(*text)(int)) {
    int i;
    printf("%s\n", title);
    for (i = 0; i < n; i++) printf("  %-9s%s\n", name(i), text(i));
}

#define STATES(x, X) \
    static const char *x##_name(int i) { \
        return mail_##x##_state_name((mail_##x##_state)i); \
    } \
    static const char *x##_text(int i) { \
        return mail_##x##_state_text((mail_##x##_state)i); \
    }
STATES(smtpd, SMTPD)
STATES(smtpc, SMTPC)
STATES(pop3d, POP3D)
STATES(pop3c, POP3C)

static int cmd_states(int argc, char **argv) {
    static const opt none[] = { { NULL, OPT_FLAG, NULL, NULL } };
    int e = opts_read("states", none, argc, argv, NULL);
    if (e < 0) {
        printf("mail states: the tables that run the four sessions\n");
        return 0;
    }
    if (e) return e;
    states_list("server MTA (SMTPD): states", MAIL_SMTPD_COUNT, smtpd_name,
                smtpd_text);
    printf(" verb, allowed in -> leads to, says\n");
    states_rows(mail_smtpd_row);
    states_list("\nclient MTA (SMTPC): states", MAIL_SMTPC_COUNT, smtpc_name,
                smtpc_text);
    printf(" state -> leads to, by the reply\n");
    states_rows(mail_smtpc_row);
    states_list("\nserver MAA (POP3D): states", MAIL_POP3D_COUNT, pop3d_name,
                pop3d_text);
    printf(" verb, allowed in -> leads to, says\n");
    states_rows(mail_pop3d_row);
    states_list("\nclient MAA (POP3C): states", MAIL_POP3C_COUNT, pop3c_name,
                pop3c_text);
    printf(" state -> leads to, by the reply\n");
    states_rows(mail_pop3c_row);
    return 0;
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    { "demo",   cmd_demo,   "one message, four programs, no network" },
    { "play",   cmd_play,   "type to a server, or be the server" },
    { "view",   cmd_view,   "look at a trace of mail serve" },
    { "octets", cmd_octets, "every octet of it, or of the demo" },
    { "serve",  cmd_serve,  "a mail server: SMTP and POP3" },
    { "send",   cmd_send,   "send a message" },
    { "sendmail", cmd_sendmail, "the same, as other programs call it" },
    { "fetch",  cmd_fetch,  "fetch mail: delete mode or keep mode" },
    { "show",   cmd_show,   "a message, as a person reads it" },
    { "user",   cmd_user,   "add, change, remove, list users" },
    { "queue",  cmd_queue,  "what waits: list, show, retry, remove" },
    { "bench",  cmd_bench,  "how fast is a server? a load, and a sink" },
    { "states", cmd_states, "the tables that run the four sessions" }
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *f) {
    size_t i;
    fprintf(f, "mail.h %s: Internet mail in one file\n\n", MAIL_VERSION);
    for (i = 0; i < COMMANDS; i++)
        fprintf(f, "  mail %-8s %s\n", commands[i].name, commands[i].what);
    fprintf(f, "  mail help [COMMAND]\n\nBegin with: mail demo\n");
}

static int run_command(const char *name, int argc, char **argv) {
    size_t i;
    for (i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(argc, argv);
    fprintf(stderr, "mail: there is no command %s; see: mail help\n", name);
    return 2;
}

/* Is that the name that the program was started under? */
static int called(int argc, char **argv, const char *name) {
    const char *slash = argc ? strrchr(argv[0], '/') : NULL;
    return argc && strcmp(slash ? slash + 1 : argv[0], name) == 0;
}

/* The program as a function, for a project that compiles this file in. */
int mail_main(int argc, char **argv);

int mail_main(int argc, char **argv) {
    static char help[] = "--help";
    static char *ask[] = { help, NULL }, list[] = "-bp";
    static char *mailq[] = { list, NULL };
    const char *name = argc > 1 ? argv[1] : NULL;
    if (called(argc, argv, "sendmail"))
        return cmd_sendmail(argc - 1, argv + 1);
    if (called(argc, argv, "mailq")) return cmd_sendmail(1, mailq);
    if (name == NULL) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(name, "--version") == 0) {
        printf("mail.h %s, TLS: %s\n", MAIL_VERSION, tls_version());
        return 0;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0) {
        if (argc > 2) return run_command(argv[2], 1, ask);
        print_help(stdout);
        return 0;
    }
    return run_command(name, argc - 2, argv + 2);
}

#ifndef MAIL_NO_MAIN
/* Everything the program does, it does in one of the commands above. */
int main(int argc, char **argv) {
    int e;
    signal(SIGPIPE, SIG_IGN);   /* where MSG_NOSIGNAL is not known */
    e = mail_main(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout)) return e;
    if (errno != EPIPE)         /* nobody looks any more: mail demo | head */
        fprintf(stderr, "mail: standard output: not all could be written\n");
    return e ? e : 1;
}
#endif
