"""The order of prompts and what each takes over, against sets of all beginnings and all orders."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from src.engines.local.requests import Request
from src.engines.local.sharing import shared_tokens, sharing_order

prompts = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)


def requests(found):
    return [Request(index, prompt, 1, index) for index, prompt in enumerate(found)]


def tokens_read(ordered):
    donors = [(), *(request.prompt for request in ordered)]
    return sum(
        len(r.prompt) - shared_tokens(donor, r.prompt) for donor, r in zip(donors, ordered, strict=False)
    )


@given(prompts, prompts)
def test_what_is_shared_is_equal_and_no_token_more_could_be(donor, prompt):
    shared = shared_tokens(donor, prompt)
    assert donor[:shared] == prompt[:shared]
    assert shared < len(prompt)
    assert shared in (len(prompt) - 1, len(donor)) or donor[shared] != prompt[shared]


@given(st.lists(prompts, min_size=1, max_size=12))
def test_every_distinct_beginning_is_read_once(found):
    beginnings = {prompt[:end] for prompt in found for end in range(1, len(prompt) + 1)}
    # A prompt that was there before has its last token read again.
    repeats = len(found) - len(set(found))
    assert tokens_read(sharing_order(requests(found))) == len(beginnings) + repeats


@given(st.lists(prompts, min_size=1, max_size=5))
def test_no_other_order_reads_less(found):
    asked = requests(found)
    assert tokens_read(sharing_order(asked)) == min(tokens_read(order) for order in permutations(asked))


@given(st.lists(prompts, max_size=12), st.randoms())
def test_order_does_not_depend_on_how_requests_come(found, random):
    asked = requests(found)
    shuffled = random.sample(asked, len(asked))
    assert sharing_order(shuffled) == sharing_order(asked)
    assert sorted(sharing_order(asked), key=lambda request: request.index) == asked
