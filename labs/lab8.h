/* lab8.h - lab 8, commit: the cases. The disk is the virtual world's. */

struct disk {
    world_host h;
    const lab_functions *other;   /* whose commit comes in between a write */
    int told;                     /* and got its 250                       */
    int fail_rename;              /* the next one                          */
    int fail_remove;              /* each one                              */
};

static int lab8_put(const lab_functions *f, disk *d, const char *id);

static int lab8_step(mail_err e) { return e ? -1 : 0; }

int d_create(disk *d, const char *name) {
    int file = vdisk_open(&d->h, name, MAIL_OPEN_NEW);
    return file < 0 ? -1 : file;
}

/* A number that no file has is an error, and no more. */
static int lab8_file(disk *d, int file) {
    return file >= 0 && file < 64 && d->h.disk.files[file];
}

int d_write(disk *d, int file, const char *p, size_t n) {
    const lab_functions *other = d->other;
    vnode *node;
    mail_err e;
    if (!lab8_file(d, file)) return -1;
    node = d->h.disk.files[file];
    e = vdisk_write(&d->h, file, (int64_t)node->n, p, n);
    d->other = NULL;
    if (other) d->told = lab8_put(other, d, "C");
    return lab8_step(e);
}

static int lab8_flush(disk *d, int file, const char *dir) {
    flush_ask a;
    memset(&a, 0, sizeof a);
    a.file = file;
    mail_copy(a.dir, sizeof a.dir, mail_s(dir));
    return lab8_step(vdisk_flush_now(&d->h.disk, &a));
}

int d_flush(disk *d, int file) {
    return lab8_file(d, file) ? lab8_flush(d, file, "") : -1;
}

int d_flush_dir(disk *d, const char *dir) {
    return lab8_flush(d, -1, dir);
}

int d_close(disk *d, int file) {
    return lab8_file(d, file) ? lab8_step(vdisk_close(&d->h, file)) : -1;
}

int d_rename(disk *d, const char *from, const char *to) {
    if (d->fail_rename) {
        d->fail_rename = 0;
        return -1;
    }
    return lab8_step(vdisk_rename(&d->h, from, to, 1));
}

int d_remove(disk *d, const char *name) {
    return d->fail_remove ? -1 : lab8_step(vdisk_remove(&d->h, name));
}

int d_list(disk *d, const char *dir, int i, char *name) {
    vdisk *v = &d->h.disk;
    size_t k;
    for (k = 0; k < v->n && !v->dead; k++) {
        const char *p = vdisk_in(v->names[k].path, dir);
        if (p == NULL || v->names[k].node == NULL || i-- > 0) continue;
        mail_copy(name, 60, mail_s(p));
        return 1;
    }
    return 0;
}

/* ---- the reference ------------------------------------------------------- */

static int lab8_commit_by(disk *d, const char *id, const char *text,
                          size_t n, int flush, int dir) {
    char tmp[80], queue[80];
    int file, e;
    snprintf(tmp, sizeof tmp, "tmp/%s", id);
    snprintf(queue, sizeof queue, "queue/%s", id);
    file = d_create(d, tmp);
    if (file < 0) return 0;
    e = d_write(d, file, text, n);
    if (!e && flush) e = d_flush(d, file);
    if (d_close(d, file)) e = -1;
    if (!e) e = d_rename(d, tmp, queue);
    if (e) d_remove(d, tmp);
    if (!e && dir) e = d_flush_dir(d, "queue");
    return !e;
}

static int lab8_commit(disk *d, const char *id, const char *text, size_t n,
                       int complete) {
    return complete && lab8_commit_by(d, id, text, n, 1, 1);
}

static int lab8_recover(disk *d) {
    char name[60], path[80];
    while (d_list(d, "tmp", 0, name)) {
        snprintf(path, sizeof path, "tmp/%s", name);
        if (d_remove(d, path)) return 0;
    }
    d_flush_dir(d, "tmp");
    return 1;
}

static const lab_functions lab8_reference = {
    .commit = lab8_commit, .recover = lab8_recover
};

/* ---- impostors --------------------------------------------------------- */

static int lab8_b6(disk *d, const char *id, const char *text, size_t n,
                   int complete) {
    (void)complete;
    return lab8_commit(d, id, text, n, 1);
}

static int lab8_b26(disk *d, const char *id, const char *text, size_t n,
                    int complete) {
    return complete && lab8_commit_by(d, id, text, n, 0, 0);
}

/* B27: two clients at once write into one file. */
static int lab8_b27(disk *d, const char *id, const char *text, size_t n,
                    int complete) {
    static int shared;
    char queue[80];
    int file, e;
    snprintf(queue, sizeof queue, "queue/%s", id);
    if (!complete) return 0;
    file = d_create(d, "tmp/mail");
    if (file < 0) file = shared;
    shared = file;
    e = d_write(d, file, text, n) || d_flush(d, file);
    d_close(d, file);
    if (!e) e = d_rename(d, "tmp/mail", queue) || d_flush_dir(d, "queue");
    if (e) d_remove(d, "tmp/mail");
    return !e;
}

static int lab8_m1(disk *d, const char *id, const char *text, size_t n,
                   int complete) {                   /* no flush of the file */
    return complete && lab8_commit_by(d, id, text, n, 0, 1);
}

static int lab8_m2(disk *d, const char *id, const char *text, size_t n,
                   int complete) {                   /* nor of its name */
    return complete && lab8_commit_by(d, id, text, n, 1, 0);
}

static int lab8_m3(disk *d, const char *id, const char *text, size_t n,
                   int complete) {                   /* straight into queue */
    char queue[80];
    int file, e;
    snprintf(queue, sizeof queue, "queue/%s", id);
    file = complete ? d_create(d, queue) : -1;
    if (file < 0) return 0;
    e = d_write(d, file, text, n) || d_flush(d, file);
    d_close(d, file);
    return !e && d_flush_dir(d, "queue") == 0;
}

static int lab8_m4(disk *d, const char *id, const char *text, size_t n,
                   int complete) {                   /* what fails is ignored */
    char tmp[80], queue[80];
    int file;
    snprintf(tmp, sizeof tmp, "tmp/%s", id);
    snprintf(queue, sizeof queue, "queue/%s", id);
    if (!complete) return 0;
    file = d_create(d, tmp);
    d_write(d, file, text, n);
    d_flush(d, file);
    d_close(d, file);
    d_rename(d, tmp, queue);
    d_flush_dir(d, "queue");
    return 1;
}

static int lab8_m5(disk *d) {                        /* does nothing */
    (void)d;
    return 1;
}

static int lab8_m6(disk *d) {                        /* empties queue, too */
    char name[60], path[80];
    while (d_list(d, "queue", 0, name)) {
        snprintf(path, sizeof path, "queue/%s", name);
        if (d_remove(d, path)) return 0;
    }
    return lab8_recover(d);
}

/* M7: each removal moves the others up, and the next one is not seen. */
static int lab8_m7(disk *d) {
    char name[60], path[80];
    int i;
    for (i = 0; d_list(d, "tmp", i, name); i++) {
        snprintf(path, sizeof path, "tmp/%s", name);
        d_remove(d, path);
    }
    return d_flush_dir(d, "tmp") == 0;
}

/* X1: what cannot be removed is tried for ever. */
static int lab8_x1(disk *d) {
    char name[60], path[80];
    while (d_list(d, "tmp", 0, name)) {
        snprintf(path, sizeof path, "tmp/%s", name);
        d_remove(d, path);
    }
    return d_flush_dir(d, "tmp") == 0;
}

/* X2, M8: commit is right. */
static int lab8_x2(disk *d) {
    while (lab_for_ever) continue;
    return lab8_recover(d);
}

static int lab8_m8(disk *d) {
    (void)d;
    return LAB_TODO;
}

static const lab_impostor lab8_impostors[] = {
    { "B6", "takes half a message when the client hangs up",
      { .commit = lab8_b6 } },
    { "B26", "says 250 before the message is on the disk",
      { .commit = lab8_b26 } },
    { "B27", "two clients at once write into one file",
      { .commit = lab8_b27 } },
    { "M1", "does not flush the file", { .commit = lab8_m1 } },
    { "M2", "does not flush the directory", { .commit = lab8_m2 } },
    { "M3", "writes straight into queue", { .commit = lab8_m3 } },
    { "M4", "does not look whether a step has failed", { .commit = lab8_m4 } },
    { "M5", "leaves tmp as it is", { .recover = lab8_m5 } },
    { "M7", "leaves every second file in tmp", { .recover = lab8_m7 } },
    { "M6", "throws away what is in queue", { .recover = lab8_m6 } },
    { "M8", "recover is not written yet", { .recover = lab8_m8 } },
    { "X1", "tries for ever to remove a file", { .recover = lab8_x1 } },
    { "X2", "recover never ends", { .recover = lab8_x2 } }
};

/* ---- cases --------------------------------------------------------------- */

static const lab_group lab8_groups[] = {
    { "250: never lost", "the power fails after step k, or right after 250; "
      "what was in memory is gone, or not, or by chance; writes and flushes "
      "that fail", 40 },
    { "no half message", "the same, and what is in queue then; clients that "
      "hang up; two at once", 30 },
    { "recovery", "all of tmp is removed, queue is left alone; the power "
      "may fail in the middle of it, and the disk may fail", 20 }
};

static const char lab8_text[] =
    "Received: from alice.a.example by mail.a\r\nFrom: Alice <alice@a.example>"
    "\r\n\r\nHi Bob,\r\n.plan is at 3.\r\n";

/* How the memory is lost: of the octets and the names nothing survives, all
   does, names only, or each by chance. */
static const struct { int mode, style; const char *what; } lab8_losses[] = {
    { VDISK_SIMPLE, 0, "nothing of what was in memory survives" },
    { VDISK_STRICT, 4, "all that was in memory survives" },
    { VDISK_STRICT, 3, "of what was in memory the names survive" },
    { VDISK_STRICT, 8, "what survives is left to chance" }
};
enum { LAB8_LOSSES = sizeof lab8_losses / sizeof lab8_losses[0],
       LAB8_STEPS = 9, LAB8_FAULTS = 7 };

static disk *lab8_disk(size_t loss) {
    disk *d = (disk *)lab_room(sizeof *d);
    world *w = (world *)lab_room(sizeof *w);
    memset(d, 0, sizeof *d);
    memset(w, 0, sizeof *w);
    d->h.w = w;
    d->h.disk.luck = lab_random(1u << 30);
    d->h.disk.style = lab8_losses[loss].style;
    d->h.disk.mode = lab8_losses[loss].mode;
    vdisk_mkdir(&d->h, "tmp");
    vdisk_mkdir(&d->h, "queue");
    d_flush_dir(d, "");
    d->h.disk.steps = 0;
    return d;
}

/* 0 absent, 1 whole, 2 something else: how many octets */
static int lab8_see(disk *d, const char *id, size_t *n) {
    char path[80];
    const vname *e;
    snprintf(path, sizeof path, "queue/%s", id);
    e = vdisk_find(&d->h.disk, path);
    *n = 0;
    if (e == NULL || e->node == NULL) return 0;
    *n = e->node->n;
    return *n == sizeof lab8_text - 1 &&
           memcmp(e->node->data, lab8_text, *n) == 0 ? 1 : 2;
}

static void lab8_state(disk *d, const char *id, int told, int half,
                       lab_text *out) {
    size_t n;
    int k = lab8_see(d, id, &n);
    if (k == 2 && half) lab_fmt(out, "%s: %lu octets of %lu in queue; ", id,
                        (unsigned long)n, (unsigned long)sizeof lab8_text - 1);
    else if (told && !k && !half)
        lab_fmt(out, "%s: 250 was said, and it is lost; ", id);
    else lab_fmt(out, "%s: fine; ", id);
}

static int lab8_put(const lab_functions *f, disk *d, const char *id) {
    char *text = lab_exact(lab8_text, sizeof lab8_text - 1);
    return f->commit(d, id, text, sizeof lab8_text - 1, 1) == 1 &&
           !d->h.disk.dead;
}

/* A is stored, and nothing happens. Then B, and the power fails after step k
   of it (0: when 250 was said). Then the machine starts again. Only the last
   group needs the student's recover. */
static void lab8_crash(const lab_functions *f, size_t loss, unsigned long k,
                       unsigned long again, int group, lab_text *out) {
    disk *d = lab8_disk(loss);
    char name[60];
    int (*recover)(disk *) = group == 2 ? f->recover : lab8_recover;
    size_t n;
    int a, b;
    a = lab8_put(f, d, "A");
    lab_fmt(out, "A: %s; ", a ? "250" : "no 250");
    if (k) d->h.disk.cut_at = d->h.disk.steps + k;
    b = lab8_put(f, d, "B");
    d->h.disk.dead = 1;
    vdisk_power_cut(&d->h.disk);
    if (group == 2) {                 /* others have left something, too */
        vdisk_put(&d->h.disk, "tmp/X", mail_s("half a m"));
        vdisk_put(&d->h.disk, "tmp/Y", mail_s(""));
    }
    if (again) {
        d->h.disk.cut_at = d->h.disk.steps + again;
        recover(d);
        d->h.disk.dead = 1;
        vdisk_power_cut(&d->h.disk);
    }
    if (recover(d) != 1) lab_say(out, "recover does not return 1; ");
    lab8_state(d, "A", a, group == 1, out);
    lab8_state(d, "B", b, group == 1, out);
    if (group < 2) return;
    if (d_list(d, "tmp", 0, name)) lab_fmt(out, "tmp/%s is still there", name);
    else lab_say(out, "tmp is empty");
    if (lab8_see(d, "B", &n)) return;
    if (!lab8_put(f, d, "B")) lab_fmt(out, "; B comes again: no 250");
}

/* The client hangs up; or a step on the disk fails. */
static void lab8_fault(const lab_functions *f, int what, lab_text *out) {
    disk *d = lab8_disk(what % 2 ? 2 : 0);
    char half[40];
    size_t n;
    int a = lab8_put(f, d, "A"), b = 0;
    lab_fmt(out, "A: %s; ", a ? "250" : "no 250");
    memcpy(half, lab8_text, sizeof half);
    if (what == 1) d->h.disk.fail_space = 1;
    if (what == 2) d->h.disk.fail_flush = 1;
    if (what == 3) d->h.disk.fail_flush = 2;
    if (what == 4) d->h.disk.fail_open = 1;
    if (what == 5) d->other = f;
    if (what == 6) d->fail_rename = 1;
    if (what == 0) b = f->commit(d, "B", half, sizeof half, 0) == 1;
    else b = lab8_put(f, d, "B");
    lab_fmt(out, "B: %s; ", b ? "250" : "no 250");
    if (what == 0 && lab8_see(d, "B", &n)) lab_say(out, "and it is in queue; ");
    if (what == 5) lab_fmt(out, "C: %s; ", d->told ? "250" : "no 250");
    vdisk_power_cut(&d->h.disk);
    lab8_recover(d);
    lab8_state(d, "A", a, what == 0, out);
    lab8_state(d, "B", b, what == 0, out);
    if (what == 5) lab8_state(d, "C", d->told, 1, out);
}

/* The disk removes nothing; then the machine starts again, and it is well. */
static void lab8_stuck(const lab_functions *f, lab_text *out) {
    disk *d = lab8_disk(0);
    char name[60];
    int a = lab8_put(f, d, "A");
    lab_fmt(out, "A: %s; ", a ? "250" : "no 250");
    vdisk_put(&d->h.disk, "tmp/X", mail_s("half a m"));
    d->fail_remove = 1;
    f->recover(d);
    d->fail_remove = 0;
    if (f->recover(d) != 1) lab_say(out, "recover does not return 1; ");
    lab8_state(d, "A", a, 0, out);
    if (d_list(d, "tmp", 0, name)) lab_fmt(out, "tmp/%s is still there", name);
    else lab_say(out, "tmp is empty");
}

static const char *const lab8_faults[] = {
    "and its client hangs up", "but the write fails: the disk is full",
    "but the first flush fails", "but the second flush fails",
    "but no file can be made", "and while it is written C",
    "but the rename fails"
};

static const char *lab8_rule(int group, size_t fault) {
    if (fault == 0) return "the client hangs up: no half message is kept";
    if (fault == 5)
        return "two clients at once: each message has a file of its own";
    if (fault < LAB8_FAULTS)
        return "what could not be made durable gets no 250";
    return group == 0 ? "what got 250 is in queue, whole, whenever the power "
                        "fails (RFC 5321 6.1)" :
           group == 1 ? "what is in queue is whole" :
           "recover empties tmp and leaves queue alone; it may be cut off, and "
           "then it is called again";
}

/* A power failure is given, and what it leaves. */
static void lab8_given(lab_text *t, unsigned long k, unsigned long again,
                       size_t loss) {
    if (k) lab_fmt(t, "A; then B, and the power fails after step %lu", k);
    else lab_say(t, "A; then B; 250; and then the power fails");
    if (again) lab_fmt(t, "; X and Y lie in tmp, too; in recover again, after "
                       "step %lu", again);
    lab_fmt(t, "; %s", lab8_losses[loss].what);
}

static void lab8_run_fault(const lab_functions *f, size_t i, lab_case *c) {
    uint64_t luck = lab_state;
    c->group = i == 0 || i == 5;
    mail_copy(c->rule, sizeof c->rule, mail_s(lab8_rule(c->group, i)));
    lab_fmt(&c->given, "A; then B, %s", lab8_faults[i]);
    lab8_fault(&lab8_reference, (int)i, &c->expected);
    lab_state = luck;
    if (f) lab8_fault(f, (int)i, &c->yours);
}

static void lab8_run_stuck(const lab_functions *f, lab_case *c) {
    c->group = 2;
    c->calls = "recover";
    mail_copy(c->rule, sizeof c->rule, mail_s("what fails may fail again: "
              "recover ends, and is called again later"));
    lab_say(&c->given, "A; X lies in tmp, too; recover, but no file can be "
            "removed; then recover again, and all is well");
    lab8_stuck(&lab8_reference, &c->expected);
    if (f) lab8_stuck(f, &c->yours);
}

static int lab8_run(const lab_functions *f, size_t i, lab_case *c) {
    size_t loss = i % LAB8_LOSSES, crash = LAB8_LOSSES * (LAB8_STEPS + 1);
    size_t last = 2 * crash + LAB8_FAULTS + 2 * LAB8_STEPS;
    uint64_t luck = lab_state;
    unsigned long k, again = 0;
    c->calls = "commit";
    if (i > last) return 0;
    if (i == last) return lab8_run_stuck(f, c), 1;
    if (i >= 2 * crash && i < 2 * crash + LAB8_FAULTS)
        return lab8_run_fault(f, i - 2 * crash, c), 1;
    c->group = (int)(i / crash);
    k = (unsigned long)(i % crash / LAB8_LOSSES);
    if (c->group == 2) {
        c->calls = "commit, recover";
        i -= 2 * crash + LAB8_FAULTS;
        k = (unsigned long)i / 2 + 1;
        loss = i % 2;
        again = 1 + (unsigned long)i % 3;
    }
    lab8_given(&c->given, k, again, loss);
    mail_copy(c->rule, sizeof c->rule,
              mail_s(lab8_rule(c->group, LAB8_FAULTS)));
    lab8_crash(&lab8_reference, loss, k, again, c->group, &c->expected);
    lab_state = luck;
    if (f) lab8_crash(f, loss, k, again, c->group, &c->yours);
    return 1;
}

static const lab lab8 = {
    .number = 8, .title = "commit", .stars = 3, .minutes = 90,
    .chapter = 8, .rfc = "RFC 5321 4.2.5, 6.1",
    .task =
        "A mail server that has said 250 must not lose the message any more, "
        "whenever the\npower fails; and nobody may ever see half a message. "
        "Store it so (`commit`), on a disk\nthat may stop after any step "
        "(lab.h has its functions), and clean up when the machine\nstarts "
        "again (`recover`). There are two directories, `tmp` and `queue`; "
        "what is in\n`queue` is delivered.\n",
    .signs = "A, B, C messages; 250: commit returned 1; X, Y what others left "
             "in tmp; fine: whole in queue, or gone and without 250",
    .groups = lab8_groups, .ngroups = LAB_COUNT(lab8_groups),
    .impostors = lab8_impostors, .nimpostors = LAB_COUNT(lab8_impostors),
    .reference = &lab8_reference, .run = lab8_run
};
