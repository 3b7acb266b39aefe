import base64
import json
import re

import numpy as np
import pytest

from planet.scripts import report
from planet.tools import video
from tests import browser

SHOWN = """(async () => {
  const images = [...document.images];
  await Promise.all(images.map(image => image.decode()));
  return {
    title: document.title,
    text: document.body.innerText,
    sizes: images.map(image => [image.naturalWidth, image.naturalHeight]),
    captions: [...document.querySelectorAll('figcaption')].map(x => x.innerText),
    drawings: document.querySelectorAll('svg').length,
    requests: performance.getEntriesByType('resource')
      .filter(entry => !entry.name.startsWith('data:')).length,
  };
})()"""


@pytest.fixture
def run_report(run_main):
    return lambda *arguments: run_main(report.main, *arguments)


@pytest.mark.skipif(
    not browser.PROGRAM, reason="no chromium; on Debian: apt-get install chromium"
)
def test_page_in_a_browser(finished_runs, run_report, tmp_path):
    logdir, _ = finished_runs
    output = tmp_path / "report.html"
    code, out, err = run_report(logdir, "--output", output)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"Reported 2 runs in {output}: \d\.\d MB\.\n", out)
    with browser.page() as page:
        page.open(output.as_uri())
        page.wait_for("document.readyState == 'complete' && document.images.length")
        shown = page.evaluate(SHOWN)
        page.screenshot(tmp_path / "page.png")
    assert shown["title"].count("00001") == shown["title"].count("00002") == 1
    assert shown["requests"] == 0
    assert shown["drawings"] >= 3  # Those of each run, and both compared.
    assert len(shown["sizes"]) >= 6
    assert all(min(size) > 50 for size in shown["sizes"])
    assert shown["captions"].count("The last test episode") == 2
    text = shown["text"]
    for words in ("finished", "last test score", "reward", "updates per second"):
        assert words in text
    assert "python -m planet.scripts.train --logdir" in text
    assert "What the states hold" in text
    assert "isolate_envs" in text  # A setting that is not that of the config.
    assert re.search(r"encoder\s+[\d,]+", text)


@pytest.fixture
def empty_run(finished_runs, tmp_path):
    """A run that has begun: there are settings and no events."""
    logdir, _ = finished_runs
    folder = tmp_path / "runs" / "00001"
    folder.mkdir(parents=True)
    text = (logdir / "00001" / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text)
    return folder


def test_evaluations_and_failures_are_shown(finished_runs, empty_run, run_report):
    logdir, _ = finished_runs
    for phase in ("train", "test"):
        (empty_run / phase).symlink_to(logdir / "00001" / phase)
    (empty_run / "FAIL").write_text("Traceback\n<b>OSError</b>: full\n")
    result = {"episodes": 3, "mean": 5.25, "stddev": 1.5, "returns": [4, 5, 6]}
    film = empty_run / "dummy_001.gif"
    video.write(film, np.zeros([2, 8, 8, 3], np.uint8), 15)
    films = [str(film), str(empty_run / "config.yaml"), "/dev/zero"]
    content = {"checkpoint": 40, "tasks": {"dummy": result}, "films": films}
    (empty_run / "evaluation_40.json").write_text(json.dumps(content))
    (empty_run / "evaluation_other.json").write_text("[]")
    output = empty_run.parent / "report.html"
    code, _, err = run_report(empty_run, "--output", output)
    assert code == 0
    assert err == f"Skip {empty_run}/evaluation_other.json: it is no evaluation\n"
    page = output.read_text()
    encoded = base64.b64encode(film.read_bytes()).decode()
    assert page.count(f"data:image/gif;base64,{encoded}") == 1
    assert page.count("Evaluation of step 40") == 2  # Caption and description.
    assert "failed: &lt;b&gt;OSError&lt;/b&gt;: full" in page
    cells = re.findall(r"<td>(.*?)</td>", page)
    start = cells.index("step 40")
    assert cells[start : start + 5] == ["step 40", "dummy", "3", "5.2", "1.5"]


def test_bad_input(finished_runs, empty_run, run_report, tmp_path):
    code, _, err = run_report(empty_run, "--output", tmp_path / "page.html")
    assert code == 2
    assert err.splitlines()[-1] == (
        "planet.scripts.report: error: there is no run to report"
    )
    assert not (tmp_path / "page.html").exists()
    logdir, _ = finished_runs
    (tmp_path / "page.html").touch()
    code, _, err = run_report(logdir, "--output", tmp_path / "page.html")
    assert (code, err.count("\n")) == (2, 1)
    assert "--overwrite replaces it" in err
    assert run_report(logdir, "--output", tmp_path / "page.txt")[0] == 2
