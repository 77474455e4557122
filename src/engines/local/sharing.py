"""The order in which prompts share the most, and how much each takes over from the one before it."""

from collections.abc import Sequence

from src.engines.local.requests import Request


def sharing_order(requests: Sequence[Request]) -> list[Request]:
    """Order requests by their prompts' token ids.

    In lexicographic order no earlier prompt shares a longer beginning with a prompt than the one right before
    it does. So if each takes over what it shares with that one, every distinct beginning is read once, which
    is the least that any order can reach.

    Parameters
    ----------
    requests : sequence of Request
        In any order.

    Returns
    -------
    list of Request
        The same for every order of the same requests.
    """
    return sorted(requests, key=lambda request: (request.prompt, request.index))


def shared_tokens(donor: Sequence[int], prompt: Sequence[int]) -> int:
    """Count the tokens that a prompt takes over.

    Parameters
    ----------
    donor : sequence of int
        Token ids of the prompt before it.
    prompt : sequence of int
        Its own token ids, at least one.

    Returns
    -------
    int
        Length of the common beginning; the prompt's last token is always left to be read, since what follows
        it is asked for.
    """
    end = min(len(donor), len(prompt) - 1)
    if donor[:end] == prompt[:end]:
        return end
    return next(place for place in range(end) if donor[place] != prompt[place])
