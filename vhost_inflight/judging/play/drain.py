"""What happens when no more crashes come: a fair device, a driver that may sleep, a back-end that rests."""

from __future__ import annotations

from refimpl.backend.queue import Queue, starved
from refimpl.errors import InflightError
from refimpl.packed.driver import PackedDriver
from vhost_inflight.judging.play.player import EndlessError, Player
from vhost_inflight.judging.play.schedule import Event
from vhost_inflight.judging.play.world import Device, Work

__all__ = ["drain"]


def drain(player: Player) -> str | None:
    """Let everything that is owed happen, after a schedule played to its end; return what is stuck then, or None.

    Owed: the driver ends what it has begun, uses what it sees, and else sleeps until it is notified; the back-end
    starts if it is dead, and else fetches, rests until it is kicked, and supplies; one that is asked to stop fetches no
    more, answers when all has come back, and is started again; the device finishes everything.
    Where that has no end, `Player.endless` says after how much the player gave up.
    """
    try:
        while not player.endless and (_driver(player) or _back_end(player)):
            player.spend()
    except EndlessError:
        pass
    except InflightError as error:
        return f"before everything came back, a rule was broken: {error}"
    waiting = player.judge.waiting()
    if not waiting:
        return None
    if player.endless:
        return f"{waiting} had not come back after {player.endless} steps more, and there was no end of them"
    driver = "the driver sleeps" if player.driving.driver.asleep else "the driver is awake"
    back_end = "the back-end rests" if player.queue is not None and player.queue.resting else "the back-end is awake"
    return f"{waiting} never came back: {driver}, {back_end}, nothing more happens"


def _driver(player: Player) -> bool:
    """Let the driver do all it can; return whether that was more than to sleep."""
    moved = False
    while player.driving.making:
        player.drive(Event(player.driving.next_to_make()))
        moved = True
    driver = player.driving.driver
    if driver.asleep:
        if not player.called:
            return moved
        driver.wake()
        if isinstance(driver, PackedDriver):
            driver.wake_quiet()
        moved = True
    while driver.used_waiting:
        player.drive(Event("driver.use"))
        player.spend()
        moved = True
    driver.try_sleep()
    return moved


def _back_end(player: Player) -> bool:
    """Let the back-end and its device do all they can; return whether they did anything."""
    if player.queue is None:
        player.start()
        return True
    moved = not player.stopping.asked and _fetch(player, player.queue)
    device = player.device
    for head in device.heads(Work.WORKING):
        device.finish(head)
        player.judge.finished(head)
    if device.heads(Work.FINISHED):
        player.queue.supply(lambda: _next_finished(device))
        moved = True
    if player.stopping.asked and not moved:
        player.answer()
        moved = True
    return moved


def _next_finished(device: Device) -> int | None:
    finished = device.heads(Work.FINISHED)
    if not finished:
        return None
    device.take(finished[0])
    return finished[0]


def _fetch(player: Player, queue: Queue) -> bool:
    """Fetch all there is and rest, unless the back-end rests without a kick; return whether it did anything."""
    if queue.resting:
        if not player.kicked:
            return False
        queue.wake()
    queue.look()
    taken = queue.available
    while queue.available:
        queue.take()
        queue.look()
    if starved(queue):
        return taken
    queue.arm()
    queue.look_again()
    return True
