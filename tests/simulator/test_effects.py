"""The count of effects."""

from datetime import UTC, datetime

from offhook.simulator.effects import Effect, EffectLog

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def effect(command_id: str | None, *, operation: str = "answer", repeated: int = 0) -> Effect:
    return Effect(
        at=NOON,
        operation=operation,
        call_control_id="v3:leg",
        call_session_id="session",
        command_id=command_id,
        repeated=repeated,
    )


def test_an_effect_under_a_known_command_id_raises_its_count() -> None:
    log = EffectLog()
    for command_id in ("one", "two", "one"):
        log.add("v3:leg", effect(command_id))
    log.add("v3:other", effect("two"))
    log.add("v3:leg", effect("two", operation="hangup"))
    assert [one.count for one in log.effects()] == [2, 1, 1, 1]
    assert [one.command_id for one in log.doubled()] == ["one"]
    assert log.totals == {"answer": 4, "hangup": 1}


def test_effects_without_a_command_id_are_counted_apart() -> None:
    log = EffectLog()
    log.add("v3:leg", effect(None))
    log.add("v3:leg", effect(None, repeated=1))
    assert [one.count for one in log.effects()] == [1, 1]
    assert len(log.doubled()) == 1


def test_the_log_counts_what_it_forgets() -> None:
    log = EffectLog(effects_max=2)
    for number in range(5):
        log.add("v3:leg", effect(str(number)))
    assert [one.command_id for one in log.effects()] == ["3", "4"]
    assert log.forgotten == 3
    assert log.totals == {"answer": 5}
