"""Plays along with a song, or goes on where it ends.

    python generate.py input=song.wav instrument=drums
    python generate.py input=songs/ out=accompanied/ instrument=bass seconds=30 lookahead_s=-0.5 seed=1
    python generate.py input=song.wav instrument=drums sampler=topp sampler.temperature=0.7 beats=beats.txt
    python generate.py task=continue input=song.wav seconds=20

A song gives stem.wav, mix.wav and report.json in the folder `out`; a folder of songs one such folder a song.
"""

from gigmate.config.cli import command

main = command("generate", "gigmate.offline:run", __doc__)

if __name__ == "__main__":
    main()
