"""A headless Chromium for tests of the page, if there is one."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import unittest

_PLACES = ('chromium', 'chromium-browser', 'google-chrome')
_OPTIONS = (
    *('--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run'),
    *('--disable-background-networking', '--disable-component-update'),
    *('--disable-sync', '--disable-dev-shm-usage', '--window-size=1280,1000'),
)


def missing() -> str | None:
    """Says what a test in a browser lacks; None: nothing."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is missing: pip install 'tfcharrnn[browser]'"
    if not _browser() or not shutil.which('chromedriver'):
        return 'Chromium is missing: apt install chromium chromium-driver'
    return None


@contextlib.contextmanager
def opened(logs: bool = True):
    """Starts a browser; yields selenium's driver of it."""
    if reason := missing():
        raise unittest.SkipTest(reason)
    from selenium import webdriver

    profile = tempfile.mkdtemp()
    options = webdriver.ChromeOptions()
    options.binary_location = _browser()
    for option in (*_OPTIONS, f'--user-data-dir={profile}'):
        options.add_argument(option)
    if logs:
        options.set_capability(
            'goog:loggingPrefs', {'performance': 'ALL', 'browser': 'ALL'}
        )
    service = webdriver.ChromeService(shutil.which('chromedriver'))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(60)
    try:
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


def call(driver, expression: str, *arguments):
    """Returns the value of a promise; raises where it is rejected."""
    done, value = driver.execute_async_script(
        f"""
        const finish = arguments[arguments.length - 1];
        const call = async (...given) => {{ return await ({expression}); }};
        call(...arguments).then(
          (value) => finish([true, value]),
          (error) => finish([false, String(error)]));
        """,
        *arguments,
    )
    if not done:
        raise AssertionError(value)
    return value


def open_page(driver, path: str | os.PathLike) -> None:
    """Opens a page from disk and waits until it is ready."""
    driver.get(pathlib.Path(path).resolve().as_uri())
    call(driver, 'tfcharrnn.ready.then(() => null)')


def requests(driver) -> list[str]:
    """Returns what pages from disk asked for since the last call.

    The browser's own pages, such as that of a new tab, are left out.
    """
    urls = []
    for entry in driver.get_log('performance'):
        message = json.loads(entry['message'])['message']
        if message['method'] == 'Network.requestWillBeSent':
            request = message['params']
            if request['documentURL'].startswith('file:'):
                urls.append(request['request']['url'])
    return urls


def complaints(driver) -> list[str]:
    """Returns errors in the console, such as what the policy forbade."""
    return [
        entry['message']
        for entry in driver.get_log('browser')
        if entry['level'] == 'SEVERE'
    ]


def _browser():
    return next(filter(None, map(shutil.which, _PLACES)), None)
