"""Trains a model of GigMate: the language model that plays along, or with experiment=compact_codec the codec.

    python train.py experiment=smoke
    python train.py model=nano data=practice trainer.max_steps=5000
    python train.py -m model=tiny,small pattern=delay,parallel experiment=smoke
    python train.py -m hparams_search=optuna experiment=smoke
    python train.py resume=auto paths.run_dir=runs/train/mine

Checkpoints, logs and the model itself (model.safetensors, with its card) go into a new run folder.
"""

from gigmate.config.cli import command

main = command("train", "gigmate.training.run:train", __doc__)

if __name__ == "__main__":
    main()
