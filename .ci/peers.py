"""What make bench and make interop have in common: servers of the field, found
or unpacked, and started on loopback from configuration made here."""
import glob, os, re, shutil, signal, socket, subprocess, threading
import time

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
MAIL = os.path.abspath('mail')
ENV = dict(os.environ, MAIL_PASSWORD='secret', LC_ALL='C')
PEERS = os.path.abspath('build/peers')
UID = 7999                      # whose the peers' mailboxes are


class Skip(Exception):
    pass


def progress(text):
    print(text, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)
    return path


def run(*args, **more):
    return subprocess.run(args, env=ENV, capture_output=True, text=True,
                          timeout=120, **more)


def wait(test, seconds=10, step=0.02):
    end = time.time() + seconds
    while time.time() < end:
        if test():
            return True
        time.sleep(step)
    return False


# --- processes --------------------------------------------------------------

def children():
    of = {}
    for d in glob.glob('/proc/[0-9]*/stat'):
        try:
            with open(d) as f:
                s = f.read()
        except OSError:
            continue
        pid = int(s.split(' ', 1)[0])
        rest = s[s.rindex(')') + 2:].split()
        of.setdefault(int(rest[1]), []).append(
            (pid, int(rest[11]) + int(rest[12])))
    return of


class Server:
    """Something that was started here, and all that it started itself."""
    running = []

    def launch(self, args, **more):
        self.log = open(os.path.join(self.dir, 'log'), 'a')
        self.p = subprocess.Popen(args, env=ENV, stderr=self.log,
                                  start_new_session=True, **more)
        Server.running.append(self)

    def tree(self):
        of, out, todo = children(), [], [self.p.pid]
        own = {p: t for kids in of.values() for p, t in kids}
        while todo:
            pid = todo.pop()
            out.append((pid, own.get(pid, 0)))
            todo += [p for p, _ in of.get(pid, [])]
        return out

    def memory(self):
        """KiB of the whole family, shared pages divided (PSS)."""
        total = 0
        for pid, _ in self.tree():
            try:
                with open('/proc/%d/smaps_rollup' % pid) as f:
                    for line in f:
                        if line.startswith('Pss:'):
                            total += int(line.split()[1])
            except OSError:
                pass
        return total

    def settle(self, seconds=10):
        """Until it has nothing to do any more: deliveries behind a round
        must not take the time of the next one."""
        end, last, quiet = time.time() + seconds, None, 0
        while time.time() < end and quiet < 3:
            now = sum(t for _, t in self.tree())
            quiet = quiet + 1 if now == last else 0
            last = now
            time.sleep(0.05)

    def stop(self):
        if self in Server.running:
            Server.running.remove(self)
        kids = [p for p, _ in self.tree()[1:]]
        if self.jailed and kids:
            os.kill(kids[0], signal.SIGTERM)
        else:
            self.p.terminate()
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            for pid in kids[:1]:    # with it, all of its PID namespace
                os.kill(pid, signal.SIGKILL)
            self.p.kill()
            self.p.wait(5)
        if self.p.stdout:
            self.p.stdout.close()


# --- peers: found, or unpacked; started in a namespace of their own ---------

fetching = threading.Lock()


def unpacked(package):
    """The package and what it needs, under build/peers: nothing is installed
    and nothing is configured."""
    root = os.path.join(PEERS, package)
    with fetching:
        if not os.path.isdir(root + '/usr'):
            fetch(package, root)
    return root


def fetch(package, root):
    if not shutil.which('apt-get'):
        raise Skip('not installed')
    debs = root + '.debs'
    os.makedirs(debs + '/partial', exist_ok=True)
    progress('fetching %s into build/peers' % package)
    get = ['apt-get', '-qq', '-y', '--no-install-recommends',
           '--download-only', '-o', 'Dir::Cache::archives=' + debs, '-o',
           'APT::Sandbox::User=root', '-o', 'Debug::NoLocking=1', 'install',
           package]
    if run(*get).returncode:
        run('apt-get', '-qq', 'update')
        if run(*get).returncode:
            raise Skip('not installed, and apt-get cannot fetch it')
    for deb in glob.glob(debs + '/*.deb'):
        run('dpkg', '-x', deb, root + '.new')
    if os.path.isdir(root + '.new/lib') and not \
            os.path.islink(root + '.new/lib'):
        shutil.copytree(root + '.new/lib', root + '.new/usr/lib',
                        dirs_exist_ok=True, symlinks=True)
    os.rename(root + '.new', root)


def jail(where, *packages):
    """The front of a command that runs in a mount namespace, where the
    packages are as good as installed and their users exist; and in a PID
    namespace, so that nothing of it is left behind. packages: pairs of a
    package and a file of it, whose name may be a pattern."""
    if os.geteuid():
        raise Skip('needs root')
    if not shutil.which('unshare'):
        raise Skip('needs unshare')
    mounts = ['mount --make-rprivate /']
    roots = [unpacked(p) + '/usr' for p, path in packages
             if not glob.glob(path)]
    if roots:
        mounts.append('mount -t overlay -o lowerdir=%s:/usr o /usr'
                      % ':'.join(roots))
    extra = ('postfix', 'opensmtpd', 'opensmtpq', 'dovecot', 'dovenull',
             'postdrop', 'Debian-exim', 'peermail')
    for name in 'passwd', 'group':
        text = open('/etc/' + name).read()
        for i, user in enumerate(extra):
            uid = UID if user == 'peermail' else 7900 + i
            if not re.search('^%s:' % user, text, re.M):
                text += ('%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n'
                         % (user, uid, uid) if name == 'passwd'
                         else '%s:x:%d:\n' % (user, uid))
        write(where + '/' + name, text)
        mounts.append('mount --bind %s/%s /etc/%s' % (where, name, name))
    script = '\n'.join(['set -e'] + mounts + ['exec "$@"'])
    front = ['unshare', '-m', '-p', '-f', '--kill-child', '--mount-proc',
             'sh', '-c', script, 'jail']
    if any(run(*front, 'sh', '-c', 'ls ' + path).returncode
           for _, path in packages):
        raise Skip('no mount namespaces here')
    return front


def id_of(where, user):
    for line in open(where + '/passwd'):
        f = line.split(':')
        if f[0] == user:
            return int(f[2]), int(f[3])


class Peer(Server):
    """packages: what it is made of, see jail; settings: more lines for its
    configuration."""
    jailed = True

    def __init__(self, where, settings=''):
        self.dir, self.settings = where, settings
        os.makedirs(self.dir, exist_ok=True)
        self.port = {x: free_port() for x in ('smtp', 'smtps', 'pop3',
                                              'pop3s', 'lmtp')}
        self.front = jail(self.dir, *self.packages)
        self.configure()
        self.start()

    def start(self):
        self.launch(self.front + self.command())
        if not wait(self.answers, 15):
            self.stop()
            raise Skip('does not start: ' + self.last_words())

    def answers(self):
        try:
            with socket.create_connection(
                    ('127.0.0.1', self.port[self.proto]), 5) as s:
                return len(s.recv(100)) > 3
        except OSError:
            return False

    def last_words(self):
        lines = []
        for name in 'log', 'maillog':
            if os.path.exists(self.dir + '/' + name):
                lines += open(self.dir + '/' + name).read().split('\n')
        lines = [x for x in lines if x]
        return lines[-1][-150:] if lines else 'it says nothing'

    def relay_args(self):
        return [self.port['smtp']]


class Postfix(Peer):
    name, proto = 'Postfix', 'smtp'
    binary = '/usr/lib/postfix/sbin/master'
    packages = [('postfix', binary)]
    services = '''127.0.0.1:%d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
'''
    main = '''compatibility_level = 3.6
queue_directory = %(dir)s/queue
data_directory = %(dir)s/data
maillog_file = %(dir)s/maillog
maillog_file_prefixes = %(dir)s
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
biff = no
append_dot_mydomain = no
mailbox_size_limit = 0
message_size_limit = 52428800
recipient_delimiter = +
alias_maps =
alias_database =
default_process_limit = 150
smtpd_client_connection_count_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = b.example
virtual_mailbox_base = %(dir)s/mail
virtual_mailbox_maps = texthash:%(dir)s/conf/users
virtual_uid_maps = static:%(uid)d
virtual_gid_maps = static:%(uid)d
transport_maps = texthash:%(dir)s/conf/transport
'''

    def __init__(self, where, users, routes, settings='', services=''):
        self.users, self.routes, self.more = users, routes, services
        super().__init__(where, settings)

    def configure(self):
        d = self.dir
        write(d + '/conf/main.cf', self.main % {'dir': d, 'uid': UID}
              + self.settings)
        write(d + '/conf/master.cf', self.services % self.port['smtp']
              + self.more)
        write(d + '/conf/users', ''.join('%s@b.example %s/\n' % (u, u)
                                         for u in self.users))
        write(d + '/conf/transport', ''.join('%s %s\n' % r
                                             for r in self.routes.items()))
        own, group = id_of(d, 'postfix'), id_of(d, 'postdrop')
        for q in ('active bounce corrupt defer deferred flush hold incoming '
                  'private public maildrop saved trace pid').split():
            os.makedirs(d + '/queue/' + q)
            if q != 'pid':
                os.chown(d + '/queue/' + q, own[0],
                         group[1] if q in ('public', 'maildrop') else 0)
                os.chmod(d + '/queue/' + q, 0o700)
        os.chmod(d + '/queue/public', 0o710)
        os.chmod(d + '/queue/maildrop', 0o730)
        os.makedirs(d + '/data')
        os.chown(d + '/data', *own)
        os.makedirs(d + '/mail')
        os.chown(d + '/mail', UID, UID)

    def command(self):
        return [self.binary, '-i', '-c', self.dir + '/conf']


class SmtpSink(Peer):
    """settings: more arguments."""
    name, proto = 'smtp-sink', 'smtp'
    packages = [('postfix', '/usr/sbin/smtp-sink')]

    def configure(self):
        pass

    def command(self):
        # It is not process 1 of its namespace: that hears no SIGTERM.
        return ['sh', '-c', 'trap exit TERM; smtp-sink "$@" & wait', 'sh',
                '-u', 'peermail', *self.settings,
                '127.0.0.1:%d' % self.port['smtp'], '1000']


class OpenSMTPD(Peer):
    name, proto = 'OpenSMTPD', 'smtp'
    packages = [('opensmtpd', '/usr/sbin/smtpctl')]

    def __init__(self, where, users, sink):
        self.users, self.sink = users, sink
        super().__init__(where)

    def configure(self):
        d = self.dir
        for x in ('spool/smtpd', 'varlib/opensmtpd/empty', 'run', 'mail'):
            os.makedirs('%s/%s' % (d, x))
        for x in ('spool', 'spool/smtpd', 'varlib', 'varlib/opensmtpd',
                  'varlib/opensmtpd/empty', 'run'):
            os.chmod('%s/%s' % (d, x), 0o711)
        os.chown(d + '/mail', UID, UID)
        write(d + '/users', ''.join('%s %d:%d:%s/mail/%s\n' % (
            u, UID, UID, d, u) for u in self.users))
        write(d + '/smtpd.conf',
              'table users file:%(d)s/users\n'
              'smtp max-message-size 50M\n'
              'smtp limit max-mails 1000000\n'
              'listen on 127.0.0.1 port %(port)d hostname osmtpd.example\n'
              'action "local" maildir "%(d)s/mail/%%{user.username}" '
              'userbase <users>\n'
              'action "relay" relay host smtp://127.0.0.1:%(sink)d\n'
              'match from any for domain "b.example" action "local"\n'
              'match from any for domain "sink.example" action "relay"\n'
              % {'d': d, 'port': self.port['smtp'], 'sink': self.sink})
        os.chmod(d + '/smtpd.conf', 0o600)
        self.front[-2] = self.front[-2].replace(
            'exec', 'mount --bind %s/spool /var/spool\nmount --bind '
            '%s/varlib /var/lib\nmount --bind %s/run /run\nexec' % (d, d, d))

    def command(self):
        return ['/usr/sbin/smtpd', '-d', '-f', self.dir + '/smtpd.conf']


class Dovecot(Peer):
    """users: name -> its password as Dovecot writes it, {SCHEME}..."""
    name, proto = 'Dovecot', 'pop3'
    packages = [('dovecot-pop3d', '/usr/lib/dovecot/pop3')]
    conf = '''base_dir = %(d)s/run
state_dir = %(d)s/state
log_path = %(d)s/maillog
protocols = pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:%(d)s/mail/%%u:INDEX=%(d)s/index/%%u
passdb {
  driver = passwd-file
  args = %(d)s/users
}
userdb {
  driver = static
  args = uid=%(uid)d gid=%(uid)d home=%(d)s/home/%%u
}
service pop3-login {
  inet_listener pop3 {
    port = %(port)d
  }
  inet_listener pop3s {
    port = 0
  }
}
'''

    def __init__(self, where, users, settings=''):
        self.users = users
        super().__init__(where, settings)

    def configure(self):
        d = self.dir
        write(d + '/users', ''.join('%s:%s\n' % u
                                    for u in self.users.items()))
        for u in self.users:
            for x in 'tmp', 'new', 'cur':
                os.makedirs('%s/mail/%s/%s' % (d, u, x))
        os.makedirs(d + '/index')
        os.chown(d + '/index', UID, UID)
        self.own()
        os.chmod(d + '/users', 0o644)
        write(d + '/conf', self.conf % {'d': d, 'uid': UID,
                                        'port': self.port['pop3']}
              + self.settings)

    def command(self):
        return ['/usr/sbin/dovecot', '-F', '-c', self.dir + '/conf']

    def own(self):
        subprocess.run(['chown', '-R', '%d:%d' % (UID, UID),
                        self.dir + '/mail'])
