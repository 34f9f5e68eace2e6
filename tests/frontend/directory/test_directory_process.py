"""The clerk's process, from its start to TERM, with a catalogue that other processes have open."""

from __future__ import annotations

import select
import signal
from pathlib import Path

from frontend.directory.conftest import Members
from support.catalogue_writer import CatalogueWriter
from support.serving import settings

from offload.config import FrontendCluster, SqliteSettings
from offload.frontend.directory import process as process_module
from offload.frontend.directory.board import Board
from offload.frontend.directory.file import DirectoryFile
from offload.frontend.process import Process
from offload.frontend.signals import Signals


def test_serves_until_term(members: Members, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "catalogue.db"
    writer = CatalogueWriter(path, members.signers["alpha"])
    writer.put(members.record("alpha"), members.web())
    writer.alive("alpha")
    cluster = FrontendCluster(name="front", state=tmp_path, catalogue=SqliteSettings(path=path))
    frontend = settings(members.identities["alpha"], {"default": True})
    frontend = frontend.model_copy(
        update={"pool": frontend.pool.model_copy(update={"trust": members.pki.root_path})}
    )
    board = Board(1)
    signals = Signals((signal.SIGTERM,))
    try:
        process = Process.fork(
            lambda ready_fd: process_module.serve(frontend, cluster, board, ready_fd),
            signals,
            0.0,
            lambda: None,
        )
        assert process.ready_fd is not None
        assert select.select([process.ready_fd], [], [], 20)[0]
        assert process.take_ready()
        while not board.settled:
            assert select.select([board.bell(0)], [], [], 20)[0]
            board.answer(board.bell(0))
        saved = DirectoryFile(tmp_path).load()
        assert saved is not None
        assert saved.alive == ("alpha",)
        assert saved.values.keys() == {"members/alpha", "certificates/web"}
        process.signal(signal.SIGTERM)
        assert process.reap() == 0
        assert writer.frontend("front") is None
    finally:
        signals.close()
        board.close()
