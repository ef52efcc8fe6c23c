#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/check/test_html.py UMBRA - the page of `umbra check --html` in a real browser."""
import html
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

UMBRA = sys.argv[1]
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
DETAILS = "<script>document.getElementById('details').click()</script></body>"


def rendered(browser, page, profile):
    """The document as it is after its scripts have run."""
    command = [browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
               f'--user-data-dir={profile}', '--dump-dom', page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def expect(ok, what):
    if not ok:
        sys.exit(f'the page does not {what}')


def main():
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        print('skipped: no browser (Debian\'s package chromium; tools/setup test installs it)')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / 'run.html'
        result = subprocess.run([UMBRA, 'check', '--without=SEQ_BEFORE_PFN', f'--html={page}'],
                                capture_output=True, text=True, timeout=120, check=True)
        source = page.read_text()
        expect(not re.search(r'(?:src|href)=|url\(|https?:', source), 'stand alone')
        seen = rendered(browser, page, f'{folder}/profile')
        token = re.search(r'--replay (\S+)', result.stdout).group(1)
        expect(html.escape(token) in seen, 'name the run')
        expect(seen.count('<tr') > 20 and 'vCPU 0' in seen and 'class="end"' in seen or
               ' end"' in seen, 'show the run')
        expect('<body>' in seen, 'begin with what matters')
        page.write_text(source.replace('</body>', DETAILS))
        expect('class="details"' in rendered(browser, page, f'{folder}/profile'),
               'show the details when asked')
    return 0


if __name__ == '__main__':
    sys.exit(main())
