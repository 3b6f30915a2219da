"""Writes a report with tables and pictures: what the codec keeps, how a training went, how songs are continued.

    python evaluate.py experiment=codec
    python evaluate.py what=codec input=recordings/ codec=encodec_24khz
    python evaluate.py what=training ckpt=runs/train/mine/last.ckpt
    python evaluate.py what=continuation limit=10

Reports go into the folder `out`.
"""

from gigmate.config.cli import command

main = command("evaluate", "gigmate.evaluation.run:evaluate", __doc__)

if __name__ == "__main__":
    main()
