"""What no machine does on demand: scripts that change what the page finds in its browser, and a network to cut.

And what its tests share: a page that was opened, what it says to the server, what it saves.
"""

import asyncio
import json
import threading
from typing import Any

import numpy as np
import soundfile

from gigmate.live.network_proxy import NetworkProxy

AIR_MS = 130
# What goes to a loudspeaker comes back at the microphone within the same context, so that AIR_MS is all that it takes;
# the microphone, which is the browser's fake one, hears its song besides.
ROOM = """
  const { connect } = AudioNode.prototype;
  const { createMediaStreamSource } = AudioContext.prototype;
  const rooms = new WeakMap();
  const airOf = (context) => {
    if (!rooms.has(context)) rooms.set(context, new DelayNode(context, { delayTime: %f, maxDelayTime: 1 }));
    return rooms.get(context);
  };
  AudioContext.prototype.createMediaStreamSource = function (stream) {
    const microphone = new GainNode(this);
    connect.call(createMediaStreamSource.call(this, stream), microphone);
    connect.call(connect.call(airOf(this), new GainNode(this, { gain: 0.3 })), microphone);
    return microphone;
  };
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) connect.call(this, airOf(this.context));
    return connect.call(this, target, ...rest);
  };
""" % (AIR_MS / 1000)
INSECURE = "Object.defineProperty(window, 'isSecureContext', { value: false });"
REFUSE = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); };"
NO_DEVICE = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); };"


class Network(threading.Thread):
    """A network between browser and server, in a thread of its own; a context manager."""

    def __init__(self, port: int, own_port: int) -> None:
        super().__init__(daemon=True)
        self._loop = asyncio.new_event_loop()
        self.port, self.proxy = port, NetworkProxy(port, own_port=own_port)

    def run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def __enter__(self) -> "Network":
        self.start()
        asyncio.run_coroutine_threadsafe(self.proxy.__aenter__(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.__aexit__(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join()

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self.proxy.cut)


def opened(browser: Any, address: str, script: str = "", **options: Any) -> tuple[Any, list[str]]:
    """A page, once `script` has run in it, and the list of what goes wrong in it from now on."""
    page = browser.new_page(**options)
    page.add_init_script(script)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    return page, faults


def said_by(page: Any) -> list[dict[str, Any]]:
    """The texts that the page sends from now on, parsed."""
    texts: list[dict[str, Any]] = []

    def listen(socket: Any) -> None:
        socket.on("framesent", lambda payload: texts.append(json.loads(payload)) if isinstance(payload, str) else None)

    page.on("websocket", listen)
    return texts


def saved(page: Any, name: str) -> tuple[np.ndarray, int]:
    """[N] of the file that a button saves, and its rate."""
    with page.expect_download() as download:
        page.click(f"#save-{name}")
    assert download.value.suggested_filename.endswith(".wav")
    return soundfile.read(download.value.path(), dtype="float32")
