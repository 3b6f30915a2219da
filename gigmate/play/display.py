"""The player in a terminal: beat, levels, lookahead, what came too late."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gigmate.play.player import State

_FLOOR_DB, _METER_CELLS = -60.0, 30


def draw(state: State) -> RenderableType:
    """One picture of the state."""
    table = Table.grid(padding=(0, 2))
    table.add_row("beat", beat_row(state))
    table.add_row("heard", meter(state.level_in_db))
    table.add_row("stem", meter(state.level_out_db))
    plan = f"{-state.lookahead_ms:.0f} ms ahead of what it heard"
    table.add_row("plays", plan if state.mode == "ahead" else "whole bars later: no lookahead is short enough")
    lost = f"{100 * state.in_time:.2f} % in time; {state.missing_ms:.0f} ms silent for want of it"
    table.add_row("stem", f"{lost}, ran out {state.num_underruns}x, device lost {state.num_xruns} blocks")
    step = "-" if state.step_p95_ms is None else f"{state.step_p95_ms:.1f} ms"
    table.add_row("a frame takes", f"{step} (95 of 100 take less; 20 ms are there)")
    return Group(Text(f"{state.seconds:7.1f} s   stop with Ctrl-C", style="bold"), table)


def beat_row(state: State) -> Text:
    """The bar as dots with the beat that it is at, and how sure that is."""
    if state.bpm is None:
        return Text("listening for it", style="dim")
    text = Text()
    for beat in range(state.beats_per_bar):
        is_now = beat == state.beat_in_bar
        text.append("● " if is_now else "○ ", style="bold red" if is_now and not beat else "")
    return text.append(f" {state.bpm:5.1f} bpm, {100 * state.beat_confidence:.0f} % sure")


def meter(level_db: float | None) -> Text:
    """A level as a bar and a number."""
    level = _FLOOR_DB if level_db is None else max(_FLOOR_DB, min(0.0, level_db))
    cells = round((1 - level / _FLOOR_DB) * _METER_CELLS)
    return Text(
        f"{'█' * cells}{'·' * (_METER_CELLS - cells)} " + ("silent" if level_db is None else f"{level_db:.0f} dB")
    )
