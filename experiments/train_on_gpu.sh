#!/usr/bin/env bash
# Trains the weights that ship on, in ten minutes of one GPU: data are made on the way, while codec and language model
# train side by side, each at a level learning rate first, then down a cosine of as many steps as fit. The language model
# takes what is left of END_S seconds. Run to its end on a CPU alone so far; on an H200 its preparation, 150 steps of the
# codec and some of the language model ran, in an earlier form that counted steps.
#
#   experiments/train_on_gpu.sh MIDI_FOLDER SOUNDFONT.sf3 STEMS_FOLDER OUT_FOLDER
#
# OUT gets compact.safetensors and nano.safetensors in float16, their figures and the logs.
set -euo pipefail
midi=$1 soundfont=$2 stems=$3 out=$4
python=${PYTHON:-python3} trainer=${TRAINER:-cuda} precision=${PRECISION:-bf16-mixed} workers=${WORKERS:-$(nproc)}
audio_songs=${AUDIO_SONGS:-60} token_songs=${TOKEN_SONGS:-200} midi_audio=${MIDI_AUDIO:-50} midi_tokens=${MIDI_TOKENS:-120}
codec_s=${CODEC_S:-250} codec_fall_s=${CODEC_FALL_S:-110} end_s=${END_S:-490} lm_fall_s=${LM_FALL_S:-110} start_s=${START_S:-20}
data=${DATA:-data/gpu} runs=${RUNS:-runs/gpu} weights=gigmate/weights
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1
mkdir -p "$out"

say() { echo "$(date +%T) $*"; }

prepare() { "$python" prepare.py "device=$trainer" max_bad_fraction=0.5 "$@" >> "$out/prepare.log" 2>&1; }
practice=("workers=$workers" data=practice data.source.first_seed=100000 data.source.seconds=50)
files=("workers=$workers" data=midi "data.source.folder=$midi" "data.source.soundfont=$soundfont")

# name, seconds, seconds of the fall, settings of train.py: leaves $runs/NAME-fall/model.safetensors
train() {
    local name=$1 level_s=$2 fall_s=$3 begun step
    shift 3
    begun=$runs/$name-level
    timeout --foreground -s TERM "$level_s" "$python" train.py "$@" trainer.max_steps=1000000 "paths.run_dir=$begun" \
        "init_from=$weights/$name.safetensors" trainer.val_check_interval=1000000 >> "$out/$name.log" 2>&1 || true
    step=$(basename "$(ls "$begun"/checkpoints/*.ckpt | sort | tail -n 1)" .ckpt)
    local steps=$((10#${step#step-} * fall_s / (level_s - start_s)))
    say "$name: $step, then $steps more"
    "$python" train.py "$@" "trainer.max_steps=$((steps > 1 ? steps : 1))" "paths.run_dir=$runs/$name-fall" \
        "init_from=$begun/checkpoints/$step.ckpt" trainer.val_check_interval=1000000 >> "$out/$name.log" 2>&1
}
settings=("trainer=$trainer" "trainer.precision=$precision" trainer.log_every_n_steps=50 trainer.enable_progress_bar=false
    callbacks.checkpoint.every_steps=1000000 loader.windows_per_epoch=10000000)

say audio
prepare kind=audio "${files[@]}" "data.source.max_songs=$midi_audio" "out=$data/midi_audio" &
one=$!
prepare kind=audio data=stems "data.source.folder=$stems" "out=$data/stems_audio" workers=1 &
two=$!
prepare kind=audio "${practice[@]}" "data.source.num_songs=$audio_songs" "out=$data/practice_audio"
wait $one && wait $two

say codec
train compact "$codec_s" "$codec_fall_s" experiment=compact_codec module.decoder_only=true module.partial_share=0 \
    module.lr=1e-3 "loader.folders=[$data/midi_audio,$data/practice_audio,$data/stems_audio]" \
    loader.batch_size="${CODEC_BATCH:-96}" loader.num_workers="${CODEC_WORKERS:-3}" "${settings[@]}" &
codec=$!

say tokens
prepare "${files[@]}" "data.source.max_songs=$midi_tokens" "out=$data/midi" &
one=$!
prepare "${practice[@]}" "data.source.num_songs=$token_songs" "out=$data/practice"
wait $one

say language model
train nano $((end_s - SECONDS - lm_fall_s - 2 * start_s)) "$lm_fall_s" experiment=band_lm optimizer.lr=1e-3 "loader.folders=[$data/practice,$data/midi]" \
    loader.batch_size="${LM_BATCH:-128}" loader.num_workers="${LM_WORKERS:-11}" "${settings[@]}"
wait $codec

say export
for name in compact nano; do
    "$python" -c "from gigmate.checkpoint import load_any; load_any('$runs/$name-fall/model.safetensors').save('$out/$name.safetensors', half=True)"
    cp "$runs/$name-fall/metrics.json" "$out/$name.json"
done
say done
