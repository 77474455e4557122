"""The interface that every engine fulfils: render a prompt, then answer many of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from src.study.prompts import Prompt

SystemRole = Literal["native", "folded", "none"]
FinishReason = Literal["stop", "length", "decided", "error"]

NO_NUMBERS = "scores that are no numbers (NaN): try engine.dtype=float32, or other weights"
NO_MEMORY = "too little memory for even one at a time: use a smaller model or another engine.device"
NO_ROOM = "a prompt that is empty or fills the model's context: shorten it, or use another model"
"""Why a response ended as ``error``, and what would help."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What answered: everything about the model that can change a response."""

    model_id: str
    """Hub id, folder or server model name."""
    model_revision: str
    """Commit of the hub repository, or a fingerprint of the local files."""
    dtype: str
    """Number format of the weights in use, such as ``bfloat16``."""
    engine: str
    """Name of the engine."""
    device: str
    """Where it ran, such as ``cpu`` or ``cuda:0``."""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How responses are drawn; part of every cell's key."""

    max_new_tokens: int
    """Limit of new tokens of one response."""
    temperature: float
    """Zero means greedy decoding."""
    top_p: float
    """Nucleus of the sampling distribution, in (0, 1]."""
    seed: int
    """Root of the seeds of the single responses."""
    stop_when_decided: bool = False
    """Whether a response ends where its outcome is decided; see `Job.decided`."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as the model will read it."""

    text: str
    """The prompt after the chat template (or its messages as JSON where a server applies the template)."""
    token_ids: tuple[int, ...] | None
    """Token ids without doubled special tokens; None where only the server knows them."""
    system_role: SystemRole
    """``native``: a system message; ``folded``: put before the user's text; ``none``: no system text."""


@dataclass(frozen=True, slots=True)
class Job:
    """One response to produce."""

    key: str
    """The cell key; returned with the response."""
    rendered: Rendered
    """The prompt."""
    prompt: Prompt
    """Its messages, for engines that talk to a server."""
    seed: int
    """Seed of this response alone, so that order and batching do not change it."""
    levels: tuple[tuple[str, str], ...]
    """Factor levels such as ``(("persona", "muslim"), ...)``; only the simulated engine reads them."""
    decided: Callable[[str], bool] | None = None
    """Whether the text so far decides the outcome, so that writing ends; None: never. Engines ask it now and
    then, and only those whose module says ``CAN_STOP``."""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    key: str
    """Key of the job that it answers."""
    text: str
    """What the model wrote, special tokens removed, otherwise untouched."""
    prompt_tokens: int
    """Tokens of the prompt."""
    new_tokens: int
    """Tokens generated, the end token included."""
    finish_reason: FinishReason
    """``stop``: the model ended; ``length``: cut by the limit; ``decided``: ended by `Job.decided`;
    ``error``: no answer was had (text empty)."""
    batch_size: int
    """Sequences decoded together with this one."""
    cause: str = ""
    """Of an ``error``: why, and what would help."""


class Engine(Protocol):
    """Answers prompts with one model. Weights load at the first call of `load` or `generate`, not before."""

    def identity(self) -> Identity:
        """Say what answers; must not load weights."""
        ...

    def render(self, prompts: Sequence[Prompt]) -> list[Rendered]:
        """Apply the model's own chat template; must not load weights."""
        ...

    def generate(self, jobs: Sequence[Job], settings: GenerationSettings) -> Iterator[Response]:
        """Yield each job's response exactly once, in any order, as soon as it is there."""
        ...

    def load(self) -> None:
        """Load what `generate` needs, so that the time this takes can be told apart; does nothing twice."""
        ...

    def close(self) -> None:
        """Give memory back."""
        ...


@runtime_checkable
class ScoringEngine(Protocol):
    """An engine that can also say how probable the first word of an answer is."""

    def first_words(self, prompts: Sequence[Rendered], words: Sequence[str]) -> list[list[float]]:
        """Compute the probability that an answer begins with each of some words.

        Parameters
        ----------
        prompts : sequence of Rendered
            From `Engine.render`.
        words : sequence of str
            Such as ``A``; each has to be one token of the model.

        Returns
        -------
        list of list of float, shape (prompts, words)
            In the order given; NaN for a prompt longer than the context, or scores that are no numbers.

        Raises
        ------
        InputError
            If the model has no such token.
        """
        ...
