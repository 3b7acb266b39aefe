"""What a finished run shows to someone who looks at it."""

import re
import shutil
import subprocess
import sys
import urllib.parse

import psutil
import pytest

from planet.tools import events
from tests import browser

# What can be seen of summaries, once their pictures are there.
CARDS = """(async () => {
  const cards = [];
  for (const card of document.querySelectorAll('card-view')) {
    if (!card.checkVisibility()) continue;
    card.scrollIntoView();
    const image = card.querySelector('img');
    const drawn = card.querySelector('image-card')
      ? image && image.complete && image.naturalWidth
      : card.querySelector('svg path');
    if (!drawn || !card.innerText.includes('00001/')) return null;
    const shown = {text: card.innerText.split(/\\s+/), charts: 0, image: null};
    shown.charts = card.querySelectorAll('line-chart').length;
    if (image) {
      const response = await fetch(image.src);
      const type = response.headers.get('content-type');
      const data = await response.arrayBuffer();
      const decoder = new ImageDecoder({data, type});
      await decoder.tracks.ready;
      await decoder.completed;
      const track = decoder.tracks.selectedTrack;
      const width = image.naturalWidth, height = image.naturalHeight;
      shown.image = {type, frames: track.frameCount, animated: track.animated};
      shown.image.size = [width, height];
    }
    cards.push(shown);
  }
  return cards.length ? cards : null;
})()"""


@pytest.fixture(scope="module")
def run(finished_runs, tmp_path_factory):
    """Logdir of nothing but a finished run, and what its terminal received."""
    folder, received = finished_runs
    logdir = tmp_path_factory.mktemp("logdir")
    shutil.copytree(folder / "00001", logdir / "00001")
    return logdir, received.split("Start run")[1]


@pytest.fixture(scope="module")
def server(run):
    """A process of TensorBoard, and its address."""
    logdir, _ = run
    command = [sys.executable, "-m", "tensorboard.main", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--logdir", str(logdir)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, browser.find_in(process.stderr, r"(http://127.0.0.1:\d+/)")
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


@pytest.fixture(scope="module")
def open_page(server):
    """Opens TensorBoard in a browser, with the summaries of some tags."""
    _, url = server
    with browser.page() as page:

        def open_page(tags):
            query = urllib.parse.urlencode({"tagFilter": tags})
            page.open(f"{url}?{query}#timeseries")
            return page.wait_for(CARDS)

        yield open_page


def test_progress_on_a_terminal(run):
    _, received = run
    number = r"\d+\.\d+"
    for pattern in (
        rf"train 1: 50% \|.*\| 5/10, +{number} steps/s, \d+:\d+ left, step 5/40\r",
        rf"test 2: 0% \|.*\| 0/10, .*left, step 30/40, score {number}\r",
        rf"episode of dummy: \d+ decisions, +{number} decisions/s",
    ):
        assert re.search(pattern, received), pattern
    # Bars are cleared before a line of the log is printed.
    assert len(re.findall(r"(?:\n|\r +\r)step/score.*\]\r\n", received)) == 6


def test_tensorboard_is_not_to_be_reached_from_other_machines(server):
    process, _ = server
    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    listening = [
        connection.laddr.ip
        for member in family
        for connection in member.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1"}


needs_browser = pytest.mark.skipif(
    not browser.PROGRAM, reason="no chromium; on Debian: apt-get install chromium"
)


@needs_browser
def test_scalars(run, open_page):
    logdir, _ = run
    (card,) = open_page("^score$")
    assert card["charts"] == 1
    (*_, last) = events.read(logdir / "00001" / "test", "scalars")["score"]
    assert last.step == 40
    value = f"{last.value:.4f}".rstrip("0")
    assert {"score", "00001/train", "00001/test", "40", value} <= set(card["text"])


@needs_browser
@pytest.mark.parametrize(
    ("tag", "size"),
    [
        ("data/strip", [10 * 64, 3 * 64 + 2 * 4]),
        ("open_loop/strip", [10 * 64 + 4, 3 * 4 * 64 + 2 * 4]),
        ("trajectories/reward", None),
    ],
)
def test_images(tag, size, open_page):
    cards = open_page(tag)
    phases = {tuple(card["text"][2:]) for card in cards}
    assert phases == {("00001/train", "Step", "30"), ("00001/test", "Step", "40")}
    for card in cards:
        assert card["image"]["type"] == "image/png"
        assert size in (None, card["image"]["size"])


@needs_browser
@pytest.mark.parametrize(
    ("tag", "size", "frames"),
    [
        ("open_loop/video", [3 * 64, 3 * 64], 10),
        ("simulation/dummy/horizon_12/video", [64, 64], 11),
    ],
)
def test_animated_gifs(tag, size, frames, open_page):
    for card in open_page(tag):
        expected = {"type": "image/gif", "animated": True, "frames": frames}
        assert card["image"] == {**expected, "size": size}


@needs_browser
def test_histograms(open_page):
    cards = open_page("entropy/")
    assert len(cards) == 4
