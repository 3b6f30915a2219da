"""The job of `serve.py`: bind, load, serve, and leave in order."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gigmate.errors import MachineError, UsageError
from gigmate.live.server.settings import TOKEN_LENGTHS, ServeSettings, is_token

_PRACTICE_QUEUE = 8


def serve(cfg: DictConfig) -> None:
    """Serve until SIGTERM (exit 0) or Ctrl-C (exit 130).

    Raises:
        GigmateError: a token is needed (2), the checkpoint is refused (4), the port is taken or the device missing (5).
    """
    settings = read_settings(cfg)
    with bound(settings.host, settings.port) as listener:
        # a second's worth of imports, after what a person can get wrong
        from gigmate.live.server.jobs import Jobs
        from gigmate.live.server.serving import run_server
        from gigmate.live.worker import Worker, worker_command

        settings = replace(settings, port=listener.getsockname()[1])
        player = _player(cfg)
        command = worker_command(player, settings.capacity, str(Path(cfg.paths.runs_dir) / "live"))
        predictions, practice = Jobs(player, settings.predict_queue), Jobs({}, _PRACTICE_QUEUE)
        run_server(settings, listener, lambda: Worker(command), predictions, practice)


def _player(cfg: DictConfig) -> dict[str, Any]:
    """What plays, as primitives: weights, codec and device."""
    whole = OmegaConf.to_container(cfg)
    assert isinstance(whole, dict)
    return {key: whole[key] for key in ("ckpt", "codec", "device")}


def read_settings(cfg: DictConfig) -> ServeSettings:
    """The server's settings.

    Raises:
        UsageError: no token where others than this machine reach the server, or one that can't be one.
    """
    settings = ServeSettings(
        host=cfg.host,
        port=cfg.port,
        capacity=cfg.capacity,
        token=cfg.token,
        hosts=tuple(cfg.hosts),
        origins=tuple(cfg.origins),
        drain_s=cfg.drain_s,
        max_upload_bytes=cfg.max_upload_mb << 20,
        max_seconds=cfg.max_seconds,
        predict_queue=cfg.predict_queue,
        connects_per_s=cfg.connects_per_s,
    )
    if settings.token is not None and not is_token(settings.token):
        what = f"a token has {TOKEN_LENGTHS[0]} to {TOKEN_LENGTHS[-1]} letters, digits and - . _ ~"
        raise UsageError("token", what, "token", "choose another one, a long and random one")
    if settings.token is None and not settings.is_local:
        what = f"{settings.host} is reached by others than this machine, so clients must show a token"
        raise UsageError("token", what, "token", "add token=SECRET, or take host=127.0.0.1")
    return settings


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there.

    Raises:
        MachineError: the port is taken, or the address isn't one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MachineError("address", f"{host} isn't an address of this machine", "host", "take 127.0.0.1") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1024)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise MachineError("port", f"port {port} is taken", "port", "choose another: port=8766") from error
            what = f"can't listen on {host}:{port} ({error.strerror})"
            raise MachineError("address", what, "host", "choose others") from error
        yield listener
