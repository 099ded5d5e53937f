"""Films pushed by dcmtk's storescu: so many at once, each a new object of a new patient."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks.node.peers import Peer, program

_EACH_ITS_OWN = ["--invent-series", "1", "--invent-study", "1", "--invent-patient", "1"]


def push(film: Path, peer: Peer, films: int, associations: int) -> float:
    """Seconds until `films` copies are acknowledged, shared out over so many associations.

    Raises
    ------
    SystemExit : a sender was told that an object was not stored.
    """
    each = films // associations
    words = [program("storescu"), *_EACH_ITS_OWN, "--repeat", str(each), "-aec", peer.ae_title]
    words += ["127.0.0.1", str(peer.port), str(film)]
    begin = time.perf_counter()
    senders = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(associations)
    ]
    said = [sender.communicate()[0] for sender in senders]
    seconds = time.perf_counter() - begin
    for sender, words_said in zip(senders, said, strict=True):
        if sender.returncode != 0:
            raise SystemExit(f"expected every film to be stored, found: {words_said[-500:]}")
    return seconds
