"""The pages in a real browser: a planner's way through them, and strangers' words that never run.

It needs Chromium with its driver; nothing is downloaded, and only loopback is reached.
"""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException, WebDriverException
from selenium.webdriver.support.wait import WebDriverWait

from catalog.app import create_app
from catalog.record import Text
from catalog.service import Catalog
from catalog.settings import Settings
from catalog.source import Document
from catalog.stores import Entry, memory
from strangers import PAYLOADS, hostile, record

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    (CHROMIUM is None or DRIVER is None) and "BIENMO_REQUIRE_REAL" not in os.environ,
    reason="Chromium is missing: apt-get install chromium chromium-driver",
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1200,900",
)  # fmt: skip
READY_SECONDS = 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the real application, over a few good records and one hostile one a payload."""
    strangers = [hostile(number, payload) for number, payload in enumerate(PAYLOADS)]
    levels = record(
        "mực nước",
        id="sample-muc-nuoc",
        title=Text.of("Mực nước biển", "vi"),
        kind="timeseries",
        variables=(),
    )
    store = memory.open_store(Path())
    for entry in (record("nhiệt độ", id="sample-nhiet-do"), levels, *strangers):
        store.put([Entry(document=Document(source=entry.source, native_id=entry.native_id), record=entry)])
    catalog = Catalog(store, Settings(home=tmp_path_factory.mktemp("home")))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(catalog), log_level="error"))
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        serving.start()
        end = time.monotonic() + READY_SECONDS
        while not server.started:
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        serving.join(READY_SECONDS)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.set_capability("unhandledPromptBehavior", "ignore")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.set_page_load_timeout(READY_SECONDS)
    yield driver
    driver.quit()


def _complaints(browser: Any) -> list[str]:
    """What the console said since it was last asked: errors, and violations of the page's own policy."""
    return [line["message"] for line in browser.get_log("browser")]


def _dialog(browser: Any) -> str | None:
    try:
        return str(browser.switch_to.alert.text)
    except NoAlertPresentException:
        return None


def _follow(browser: Any, element: Any) -> None:
    """Click, and wait until another page is there; while pages change, Chromium answers with errors of its own."""
    browser.execute_script("window.leaving = true")
    element.click()
    waiting = WebDriverWait(browser, READY_SECONDS, ignored_exceptions=[WebDriverException])
    there = "return !window.leaving && document.readyState === 'complete'"
    waiting.until(lambda _: browser.execute_script(there))


def test_a_planner_searches_chooses_and_opens_a_dataset(browser: Any, site: str) -> None:
    browser.get(site)
    assert browser.find_element("tag name", "html").get_attribute("lang") == "vi"
    browser.find_element("name", "q").send_keys("mực nước")
    _follow(browser, browser.find_element("css selector", "form[role=search] button"))
    assert "Số bộ dữ liệu tìm thấy: 1" in browser.find_element("tag name", "main").text

    _follow(browser, browser.find_element("partial link text", "Chuỗi thời gian"))
    assert "kind=timeseries" in browser.current_url
    _follow(browser, browser.find_element("link text", "English"))
    assert "Datasets found: 1" in browser.find_element("tag name", "main").text
    assert browser.find_element("name", "q").get_attribute("value") == "mực nước"

    _follow(browser, browser.find_element("link text", "Mực nước biển"))
    assert browser.find_element("tag name", "h1").text == "Mực nước biển"
    assert browser.find_element("css selector", "svg.map").size["width"] > 300
    assert _complaints(browser) == []


def test_every_page_fits_a_phone_and_keeps_its_policy(browser: Any, site: str) -> None:
    phone = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    for path in (
        "/",
        "/?lang=en&bbox=105.5,17,110,22",
        "/datasets/sample-nhiet-do",
        "/sources",
        "/runs",
        "/docs",
    ):
        browser.get(site + path)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360, path
        assert _complaints(browser) == [], path


def test_a_try_it_form_asks_the_api(browser: Any, site: str) -> None:
    browser.get(f"{site}/docs?lang=en")
    form = browser.find_element("css selector", "form:has(input[value='/api/datasets/{record_id}'])")
    browser.execute_script("arguments[0].parentElement.open = true", form)
    field = form.find_element("name", "record_id")
    field.clear()
    field.send_keys("sample-nhiet-do")
    _follow(browser, form.find_element("tag name", "button"))
    assert browser.current_url == f"{site}/api/datasets/sample-nhiet-do"


def test_strangers_words_never_run(browser: Any, site: str) -> None:
    """FAULTS row 23: every payload in every field of a record, shown in a list and on its page."""
    places = [
        "/?limit=1000",
        "/?limit=1000&lang=en",
        *(f"/datasets/sample-hostile-{n}" for n in range(len(PAYLOADS))),
    ]
    for path in places:
        browser.get(site + path)
        assert _dialog(browser) is None, path
        assert _complaints(browser) == [], path
        for link in browser.find_elements("css selector", "main a"):
            assert str(link.get_property("protocol")) in {"http:", "https:", "mailto:"}, path
