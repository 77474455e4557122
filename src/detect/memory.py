"""Keeps what was read once, so that what repeats is not read again."""

from collections.abc import Callable, Hashable, Sequence

MOST = 2**16
"""Distinct things that are kept."""


class Memory[Key: Hashable, Found]:
    """What was found for each key, as long as there are few.

    Parameters
    ----------
    read : callable
        Finds something for each of several distinct keys, in their order.
    most : int
        Keys that are kept.
    """

    def __init__(self, read: Callable[[list[Key]], Sequence[Found]], most: int = MOST) -> None:
        self._read, self._most = read, most
        self._known: dict[Key, Found] = {}

    def look_up(self, keys: Sequence[Key]) -> list[Found]:
        """Find something for each key; only what is new is read, all of it at once.

        Parameters
        ----------
        keys : sequence of hashable
            In any order, with repetitions.

        Returns
        -------
        list
            As many.
        """
        known = self._known
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if len(known) + len(new) > self._most:
            known = self._known = {key: known[key] for key in keys if key in known}
        if new:
            known.update(zip(new, self._read(new), strict=True))
        return [known[key] for key in keys]
