"""How rough a storm is, drawn at random."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Chances are from 0 to 1; `log_s` and `answer_s` are means of exponential distributions."""

    log_s: float  # on the way to the log, and on the way back
    log_away: float  # chance that the log does not answer a request
    ack_lost: float  # chance that an append is stored, and its answer lost
    lagging: float  # chance that a read misses the newest records of a side
    position_first: bool  # the log checks the position before the id, as with one replica
    skew_s: float  # the most that a worker's clock is wrong
    slots: int
    dials_per_s: float
    commands_per_s: float
    silent: float  # chance that a worker takes deliveries over, and its answer is lost
    busy: float  # chance of a 429
    unanswered: float  # chance that a command has no answer
    refused: float
    answer_s: float  # of the carrier
    kills: int
    freezes: int
    drains: int
    calls: int


def weather_of(dice: Random) -> Weather:
    return Weather(
        log_s=dice.choice([0.001, 0.001, 0.01, 0.2, 0.8]),
        log_away=dice.choice([0, 0, 0.01, 0.05]),
        ack_lost=dice.choice([0, 0, 0.01, 0.05]),
        lagging=dice.choice([0, 0.05, 0.3]),
        position_first=dice.random() < 0.5,
        skew_s=dice.choice([0, 0, 0.3, 3]),
        slots=dice.choice([1, 2, 4, 50]),
        dials_per_s=dice.choice([0.1, 0.4, 30]),
        commands_per_s=dice.choice([0, 0, 1, 5]),
        silent=dice.choice([0, 0.05]),
        busy=dice.choice([0, 0.05, 0.3]),
        unanswered=dice.choice([0, 0.1, 0.5]),
        refused=dice.choice([0, 0.05, 0.3]),
        answer_s=dice.choice([0.01, 0.3, 1.5]),
        kills=dice.choice([0, 0, 3, 10]),
        freezes=dice.choice([0, 0, 3]),
        drains=dice.choice([0, 0, 3]),
        calls=dice.choice([3, 8, 20]),
    )
