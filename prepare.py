"""Turns songs in stems into a data set that train.py reads: practice songs, MIDI files or recordings.

    python prepare.py data=practice data.source.num_songs=100
    python prepare.py data=midi data.source.folder=midi/ data.source.soundfont=band.sf2
    python prepare.py data=stems data.source.folder=multitracks/
    python prepare.py kind=audio out=data/practice_audio

A run that was cut off goes on where it was; songs that can't be used are listed in quarantine.jsonl.
"""

from gigmate.config.cli import command

main = command("prepare", "gigmate.data.prepare:prepare", __doc__)

if __name__ == "__main__":
    main()
