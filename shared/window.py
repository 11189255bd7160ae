"""How many messages may wait in Redis: as few as keep the workers busy.

What waits there is beyond all choice: a run that comes later cannot overtake it. So there wait as
many as there are free threads; where hardly any is free, a few: the fewer, the slower the runs.
"""

_LEAST = 2


class Window:
    """The few more: grown when the workers found nothing to fetch, shrunk when much was left.

    As in TCP's congestion control, what is good is found by trying; here in both directions by
    factors, for a look costs next to nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._spare = min(_LEAST, most)
        #: Whether the last look left runs behind for want of room.
        self.crowded = False
        #: Whether there was nothing left to fetch at that look, though runs had been left behind.
        self.starved = False

    def room(self, *, waiting: int, free_threads: int) -> int:
        """How many messages may be sent, while so many *waiting* have not been fetched."""
        return max(min(max(free_threads, self._spare), self._most) - waiting, 0)

    def looked(self, *, waiting: int, full: bool) -> None:
        """Note how many were found *waiting*, and whether the room was then filled."""
        # The look after a starved one comes so soon that much is left of any room.
        soon, self.starved = self.starved, self.crowded and not waiting
        if self.starved:
            self._spare = min(self._spare * 2, self._most)
        elif not full or (waiting > self._spare * 3 // 4 and not soon):
            self._spare = min(max(self._spare // 2, _LEAST), self._most)
        self.crowded = full
