"""Writes a report with tables and pictures: what the codec keeps, how a training went, how well a model listens,
how well its stems, or anybody's, fit their songs.

    python evaluate.py experiment=codec
    python evaluate.py what=codec input=recordings/ codec=encodec_24khz
    python evaluate.py what=training ckpt=runs/train/mine/last.ckpt
    python evaluate.py what=continuation limit=10
    python evaluate.py what=listening ckpt=runs/train/mine/last.ckpt folders=[data/practice,data/midi]
    python evaluate.py what=adherence data.source.first_seed=4000000 lookahead_s=[-0.5,1.0]
    python evaluate.py what=adherence input=my/pairs

A folder of pairs has any number of folders with mix.wav and stem.wav, and true.wav if there is one. Reports go into
the folder `out`.
"""

from gigmate.config.cli import command

main = command("evaluate", "gigmate.evaluation.run:evaluate", __doc__)

if __name__ == "__main__":
    main()
