"""Chromium without a window, by its debugging pipe; and what make interop
asks of the page that mail demo --html writes."""
import json, os, re, select, shutil, subprocess, tempfile, time

NAMES = 'chromium', 'chromium-browser', 'google-chrome', 'chrome'
KEYS = {'ArrowLeft': 37, 'ArrowRight': 39, 'Home': 36, 'End': 35, 'Tab': 9}


def program():
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mail-browser-')
        here, theirs, self.n, self.got = os.pipe(), os.pipe(), 0, b''
        self.events, self.session = [], None
        def pipes():                            # 3 is read, 4 written
            os.dup2(here[0], 300)
            os.dup2(theirs[1], 301)
            os.dup2(300, 3)
            os.dup2(301, 4)
        self.p = subprocess.Popen(
            [program(), '--headless=new', '--disable-gpu', '--no-first-run',
             '--disable-background-networking', '--hide-scrollbars',
             '--remote-debugging-pipe', '--user-data-dir=' + self.dir,
             *(['--no-sandbox'] if os.geteuid() == 0 else []), 'about:blank'],
            close_fds=False, preexec_fn=pipes, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(here[0])
        os.close(theirs[1])
        self.to, self.of = here[1], theirs[0]
        page = [t for t in self('Target.getTargets')['targetInfos']
                if t['type'] == 'page'][0]
        self.session = self('Target.attachToTarget', flatten=True,
                            targetId=page['targetId'])['sessionId']
        for domain in 'Page', 'Runtime', 'Log', 'Network':
            self(domain + '.enable')

    def read(self):
        while b'\0' not in self.got:
            if not select.select([self.of], [], [], 60)[0]:
                raise TimeoutError('the browser says nothing')
            some = os.read(self.of, 65536)
            if not some:
                raise EOFError('the browser is gone')
            self.got += some
        line, self.got = self.got.split(b'\0', 1)
        line = json.loads(line)
        if 'method' in line:
            self.events.append(line)
        return line

    def __call__(self, method, **params):
        self.n += 1
        call = {'id': self.n, 'method': method, 'params': params}
        if self.session:
            call['sessionId'] = self.session
        os.write(self.to, json.dumps(call).encode() + b'\0')
        while True:
            line = self.read()
            if line.get('id') == self.n:
                if 'error' in line:
                    raise RuntimeError('%s: %s' % (method, line['error']))
                return line['result']

    def open(self, path, hash=''):
        self.events.clear()
        self('Page.navigate', url='about:blank')
        self('Page.navigate', url='file://' + path + hash)
        while not self.js('location.protocol === "file:" && '
                          'document.readyState === "complete"'):
            time.sleep(0.05)

    def js(self, text):
        r = self('Runtime.evaluate', expression=text, returnByValue=True)
        if 'exceptionDetails' in r:
            raise RuntimeError(r['exceptionDetails'])
        return r['result'].get('value')

    def key(self, name):
        for kind in 'rawKeyDown', 'keyUp':
            self('Input.dispatchKeyEvent', type=kind, key=name, code=name,
                 windowsVirtualKeyCode=KEYS[name])

    def look(self, width=1280, height=720, scheme='light', media=''):
        self('Emulation.setDeviceMetricsOverride', width=width, height=height,
             deviceScaleFactor=1, mobile=width < 600)
        self('Emulation.setEmulatedMedia', media=media, features=[
            {'name': 'prefers-color-scheme', 'value': scheme},
            {'name': 'prefers-reduced-motion', 'value': 'reduce'}])

    def complaints(self):
        """What it logged, and what it asked for beside the page itself."""
        out = []
        for e in self.events:
            if e['method'] in ('Log.entryAdded', 'Runtime.exceptionThrown',
                               'Runtime.consoleAPICalled'):
                out.append(str(e['params'])[:300])
            elif e['method'] == 'Network.requestWillBeSent':
                url = e['params']['request']['url']
                if not url.startswith(('file:', 'data:', 'about:')):
                    out.append('asks for ' + url)
        return out

    def close(self):
        if self.p.returncode is not None:
            return
        try:
            self('Browser.close')
        except (OSError, EOFError, RuntimeError, TimeoutError):
            pass
        try:
            self.p.wait(20)
        except subprocess.TimeoutExpired:
            self.p.kill()
        os.close(self.to)
        os.close(self.of)
        shutil.rmtree(self.dir, ignore_errors=True)


# What is wrong with the page that is open, in its own words; "" is nothing.
SEEN = """(function () { var n = 0, all = document.querySelectorAll('.stop');
[].forEach.call(all, function (e) { n += e.offsetParent !== null; });
return n + ' of ' + all.length; })()"""
NOW = "location.hash + ' ' + document.querySelector('.stop.now').id"
CONTRAST = """(function () {
function part(x) { x /= 255;
  return x <= .03928 ? x / 12.92 : Math.pow((x + .055) / 1.055, 2.4); }
function light(c) { c = c.match(/[0-9.]+/g);
  return .2126 * part(c[0]) + .7152 * part(c[1]) + .0722 * part(c[2]); }
function back(e) { for (; e; e = e.parentElement) {
  var c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)|transparent/.test(c)) return c; }
  return 'rgb(255,255,255)'; }
var bad = [];
[].forEach.call(document.querySelectorAll('h1, h3, h4, p, .r, .f b, .f i, ' +
  '.f u, .len, td, th, .k b, .k span, .num, dd, small, svg text'),
  function (e) {
  var svg = e instanceof SVGElement, s = getComputedStyle(e);
  var a = light(svg ? s.fill : s.color), b = light(back(e)), r;
  if (e.classList.contains('n') && e.closest('.now'))
    b = light(getComputedStyle(e.closest('.now').querySelector('.no')).fill);
  r = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (r < 4.5 && e.textContent.trim())
    bad.push(e.tagName + '.' + e.getAttribute('class') + ' ' +
             r.toFixed(1));
});
return bad.slice(0, 5).join(', '); })()"""
WIDE = """(function () { var r = document.getElementById('right'),
l = document.getElementById('ladder'), d = document.documentElement;
return [d.scrollWidth - d.clientWidth, r.scrollWidth - r.clientWidth,
l.scrollWidth - l.clientWidth].filter(function (x) { return x > 0; })
.join(); })()"""
ORDER = """(function () { var at = 0, ok = true;
[].forEach.call(document.querySelectorAll('#ladder a[id]'), function (e, n) {
  ok = ok && e.getAttribute('href') ===
  '#' + document.querySelectorAll('.stop')[n].id; });
return ok && document.scripts.length === 1; })()"""


def walk(b, page, steps):
    """It goes where keys, slider, address and pointer say."""
    b.open(page)
    if b.js(SEEN) != '1 of %d' % steps:
        return 'shown at first: ' + b.js(SEEN)
    if not b.js(ORDER):
        return 'the order of the links is not that of time'
    for key, want in (('ArrowRight', '#step-2 step-2'),
                      ('ArrowLeft', '#step-1 step-1'),
                      ('ArrowLeft', '#step-1 step-1'),
                      ('End', None), ('ArrowRight', None),
                      ('Home', '#step-1 step-1')):
        b.key(key)
        if want and b.js(NOW) != want:
            return '%s leads to %s' % (key, b.js(NOW))
        if not want and b.js('+at.value') != steps - 1:
            return '%s leads to %s' % (key, b.js(NOW))
    b.js("location.hash = '#step-5'")
    time.sleep(0.2)
    said = b.js('say.textContent')
    if b.js(NOW) != '#step-5 step-5' or not re.search(r'(?<!\d)5(?!\d)', said):
        return 'by its address: %s, %s' % (b.js(NOW), said)
    b.js("at.value = 1; at.dispatchEvent(new Event('input'))")
    if b.js(NOW) != '#step-2 step-2':
        return 'the slider leads to ' + b.js(NOW)
    b.js("document.querySelector('#step-2 .f').click()")
    if not re.search(r'1\D+4\D', b.js(
            "document.querySelector('.note').textContent")):
        return 'a field says ' + b.js(
            "document.querySelector('.note').textContent")
    b.js("document.querySelector('#step-2 .f').click(); all.click()")
    if b.js("!document.querySelector('.note')") is not True:
        return 'a field goes on speaking'
    if b.js(SEEN) != '%d of %d' % (steps, steps):
        return 'open all: ' + b.js(SEEN)
    b.js('all.click(); play.click()')
    time.sleep(3)
    if b.js(NOW) != '#step-3 step-3':
        return 'play leads to ' + b.js(NOW)
    b.js('play.click()')
    b.open(page, '#step-6')
    if b.js(NOW) != '#step-6 step-6':
        return 'opened at step 6: ' + b.js(NOW)


def predict(b, page):
    """A reply is a secret until somebody has guessed."""
    hidden = "getComputedStyle(document.querySelector('%s')).%s"
    b.open(page, '#step-2')
    b.js('predict.click()')
    for css, how, want in (('#step-2 .r', 'display', 'none'),
                           ('#step-2 .s', 'display', 'none'),
                           ('#step-2 .src', 'display', 'none'),
                           ('#l-step-2 .rl', 'visibility', 'hidden'),
                           ('#l-step-3', 'visibility', 'hidden'),
                           ('#l-step-1 .rl', 'visibility', 'hidden')):
        if b.js(hidden % (css, how)) != want:
            return '%s is not hidden' % css
    if '250' in b.js('say.textContent'):
        return 'the live words tell it'
    guess = "[].map.call(document.querySelectorAll('.quiz button'), " \
            'function (x) { return x.textContent; })'
    answers, truth = b.js(guess), b.js(
        "document.getElementById('step-2').dataset.r")
    if len(set(answers)) != 3 or answers.count(truth) != 1:
        return 'choices: %s' % answers
    wrong = [x for x in answers if x != truth][0]
    b.js("document.querySelectorAll('.quiz button')[%d].click()"
         % answers.index(truth))
    if '(1 / 1)' not in b.js("document.querySelector('.quiz').textContent"):
        return 'right is not right'
    if b.js(hidden % ('#step-2 .r', 'display')) == 'none':
        return 'what was guessed stays hidden'
    b.key('ArrowRight')
    answers = b.js(guess)
    truth = b.js("document.getElementById('step-3').dataset.r")
    b.js("document.querySelectorAll('.quiz button')[%d].click()"
         % ((answers.index(truth) + 1) % 3))
    if '(1 / 2)' not in b.js("document.querySelector('.quiz').textContent"):
        return 'wrong is not wrong'
    b.key('End')
    b.key('Home')
    b.key('ArrowRight')
    b.js('predict.click()')
    if b.js("!!document.querySelector('.quiz, .ask, .later')"):
        return 'not all is shown again'


EVIL = [
    {'mail.trace': 1, 'seed': 1, 'time': 0},
    {'part': '<img src=x onerror=alert(1)>', 'address': '192.0.2.1'},
    *({'ms': 0, 'host': '</title><script>alert(2)</script>', 'conn': 1,
       'role': 's', 'kind': kind, 'state': '"><svg onload=alert(3)>',
       'text': text} for kind, text in (
        ('OPEN', '192.0.2.1'),
        ('REPLY', '220 </script><script>alert(4)</script>'),
        ('COMMAND', 'HELO \' onfocus=alert(5) autofocus x="'),
        ('REPLY', '250 <iframe src="javascript:alert(6)">'),
        ('COMMAND', 'DATA'), ('REPLY', '354 <style>*{display:none}'),
        ('TEXT', '<a href=javascript:alert(7) class=f>x</a>\r\n.\r\n'),
        ('DISK', 'append <b onclick=alert(8)> A <object>'),
        ('REPLY', '250 &lt;script&gt;&#60;img src=x onerror=alert(9)>')))]


def evil(b, page):
    """What peers say is text, and only text; also in what the script makes
    of it."""
    b.open(page)
    b.js("window.alert = function (x) { document.bad = 1; }; all.click()")
    b.js("[].forEach.call(document.querySelectorAll('.f'), "
         "function (x) { x.click(); })")
    b.js('predict.click(); all.click()')
    for _ in range(8):
        b.key('ArrowRight')
        b.js("var q = document.querySelector('.quiz button'); q && q.click()")
    return b.js("""(function () {
var d = document, n = d.querySelectorAll('img, iframe, object, b[onclick], ' +
  '[onfocus], [onload], [href^="javascript:"]').length;
return (d.bad || n || d.scripts.length !== 1 || d.styleSheets.length !== 1)
  && 'there are ' + n + ' elements, ' + d.scripts.length + ' scripts'; })()"""
    ) or None


def looks(b, page, steps):
    """On a projector, a phone, paper; light and dark; without the script."""
    b.open(page)
    for width, height in ((1280, 720), (390, 844), (1920, 1080)):
        for scheme in 'light', 'dark':
            b.look(width, height, scheme)
            for step in (1, 7):
                b.js("location.hash = '#step-%d'" % step)
                time.sleep(0.1)
                if b.js(WIDE):
                    return 'too wide at %d, step %d: %s' % (width, step,
                                                            b.js(WIDE))
            if b.js(CONTRAST):
                return '%s, %d: pale: %s' % (scheme, width, b.js(CONTRAST))
    b.look(media='print')
    if b.js(SEEN) != '%d of %d' % (steps, steps) or b.js('bar.offsetParent'):
        return 'on paper: ' + b.js(SEEN)
    b.look()
    pdf = b('Page.printToPDF')['data']
    if not pdf.startswith('JVBER') or len(pdf) < 50000:
        return 'no PDF'
    b('Emulation.setScriptExecutionDisabled', value=True)
    b.open(page)
    b('Emulation.setScriptExecutionDisabled', value=False)
    if b.js(SEEN) != '%d of %d' % (steps, steps) or b.js('bar.offsetParent'):
        return 'without the script: ' + b.js(SEEN)
