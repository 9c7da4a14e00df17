"""Pictures of a page, to look at before a release: 1280 and 390 pixels wide, light and dark, and as printed.

    python benchmarks/screenshots.py PAGE FOLDER

PAGE is a report or a replay, FOLDER gets `light-1280.png`, `dark-390.png`, ... and `print.pdf`. It needs
Chromium, and says what the page requested and what it complained of. A tall page is cut into several files.
"""

import argparse
import base64
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from browser import Browser

WIDTHS = (1280, 390)
TALL = 4000  # pixels of one picture
DRAWN = (  # every plot that can be seen, which are drawn when they come near the view
    "[...document.querySelectorAll('figure.plot')]"
    ".every(one => one.dataset.drawn === 'yes' || one.closest('details:not([open])'))"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                browser.dark(scheme == "dark")
                browser.resize(width, 900)
                browser.open(options.page)
                browser.wait_for("document.readyState === 'complete'")
                height = int(browser.evaluate("document.documentElement.scrollHeight"))
                browser.resize(width, height)  # all of it is in view now
                browser.wait_for(DRAWN, 60)
                parts = range(0, height, TALL)
                for part, top in enumerate(parts):
                    name = f"{scheme}-{width}{f'-{part + 1}' if len(parts) > 1 else ''}.png"
                    clip = {"x": 0, "y": top, "width": width, "height": min(TALL, height - top), "scale": 1}
                    save(browser, options.folder / name, "Page.captureScreenshot", format="png", clip=clip)
                print(
                    f"{scheme}, {width} pixels: {height} pixels high, as wide as the window: {fits(browser)}"
                )
        pdf = {"printBackground": True, "preferCSSPageSize": True, "paperWidth": 8.27, "paperHeight": 11.69}
        save(browser, options.folder / "print.pdf", "Page.printToPDF", **pdf)
        print("requests:", *sorted(set(browser.requests)), sep="\n  ")
        print("problems:", *(browser.problems or ["none"]), sep="\n  ")


def fits(browser: Browser) -> bool:
    return bool(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def save(browser: Browser, path: Path, method: str, **options: object) -> None:
    path.write_bytes(base64.b64decode(browser.call(method, **options)["data"]))


if __name__ == "__main__":
    main()
