"""What no machine does on demand: scripts that change what the page finds in its browser, and a network to cut."""

import asyncio
import threading
from typing import Any

from gigmate.live.network_proxy import NetworkProxy

LOOP_MS = 230
# What goes to the loudspeaker comes back at the microphone, later and fainter.
LOOP = """
  const connect = AudioNode.prototype.connect;
  let microphone;
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext();
    microphone = new MediaStreamAudioDestinationNode(context);
    return microphone.stream;
  };
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && this.context !== microphone.context) {
      const loop = new MediaStreamAudioDestinationNode(this.context);
      const late = new DelayNode(this.context, { delayTime: %f, maxDelayTime: 1 });
      connect.call(this, late);
      connect.call(late, new GainNode(this.context, { gain: 0.2 })).connect(loop);
      connect.call(microphone.context.createMediaStreamSource(loop.stream), microphone);
    }
    return connect.call(this, target, ...rest);
  };
""" % (LOOP_MS / 1000)
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
