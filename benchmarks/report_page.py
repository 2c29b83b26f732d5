"""How large the page of a run is, how long it takes to build, and how soon a browser shows and filters it.

    python -m benchmarks.report_records runs/synthetic --cells 100000 --mismatching 10000 --signatures 200
    python -m benchmarks.report_page runs/synthetic

The bounds for 100,000 cells: 3 MB, 3 s, first paint within 1 s, a filter within 100 ms.
"""

import argparse
from pathlib import Path
from statistics import median
from time import perf_counter

from reports.render import write_report
from suites.chromium import chromium, opened

FILTERS = ("dtype:bf16", "stage:weight.scale !known ulp>1", "rule_1", "any", "")

# Types a filter and returns how long the page was busy with it.
_TYPE = """text => {
  const [start, box] = [performance.now(), document.getElementById("query")];
  box.value = text;
  box.dispatchEvent(new Event("input"));
  return performance.now() - start;
}"""

_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    seconds = []
    for _ in range(5):
        start = perf_counter()
        path = write_report(directory)
        seconds.append(perf_counter() - start)
    print(f"{path.stat().st_size / 1e6:.2f} MB, built in {median(seconds):.2f} s (best {min(seconds):.2f} s)")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        opened(page, path)
        page.wait_for_selector(".heat")
        print(f"first paint after {page.evaluate(_PAINT):.0f} ms")
        taken: dict[str, list[float]] = {text: [] for text in FILTERS}
        for text in FILTERS * 5:
            taken[text].append(page.evaluate(_TYPE, text))
        for text, milliseconds in taken.items():
            print(f"{median(milliseconds):6.0f} ms  {text or 'no filter'}")


if __name__ == "__main__":
    main()
