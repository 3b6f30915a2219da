"""Serves the page, the live socket and the HTTP interface from one process on this machine.

    python serve.py
    python serve.py port=9000 capacity=8 device=cpu
    python serve.py host=0.0.0.0 token=a-long-secret-of-your-own

It prints the page's address when it is ready to play. Beyond this machine (any host but a loopback address) it wants a
token, which browsers and clients must give; Ctrl-C or SIGTERM lets the sessions end and leaves.
"""

from gigmate.config.cli import command

main = command("serve", "gigmate.live.server.run:serve", __doc__)

if __name__ == "__main__":
    main()
