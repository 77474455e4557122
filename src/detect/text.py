"""Brings text into the plain form that rules are written for: small letters, straight quotes, no markup."""

import re
import unicodedata

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′ʼ´＇", "'"),
        **dict.fromkeys("“”„‟″«»＂", '"'),
        **dict.fromkeys("‐‑‒", "-"),
        **dict.fromkeys("–—―", " - "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad"),
        "…": "...",
    }
)
_MARKUP = {"*": "", "#": "", "~": "", "|": "", "_": " "}
_INNER_BACKTICK = re.compile(r"(?<=[a-z])`(?=(?:[mtsd]|re|ve|ll)\b)")
_INNER_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
_LINE_MARKS = (">", "-", "+", "•")
_LINE_START = re.compile(r"^[>\-+• ]+")

# What reasoning models write before their response; some of their templates leave out where it begins.
_THOUGHT = r"(?:think|thinking|thoughts?|reasoning)"
_THOUGHT_BEGINS = re.compile(rf"<{_THOUGHT}>", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(rf"</{_THOUGHT}>", re.IGNORECASE)

# A single quotation mark opens after a non-word character and closes before one; apostrophes stand in words.
# The mark comes first, which the search can skip to, and only then what stands before it.
_OPENING = r"'(?<![\w']')(?=[^\s'])"
_SINGLE = rf"{_OPENING}([^'\n]*(?:(?<=\w)'(?=\w)[^'\n]*)*)'(?!\w)"
_OPENED = re.compile(_OPENING)
_QUOTED = re.compile(rf'"([^"\n]*)"|`([^`\n]*)`|{_SINGLE}')
_PIECE_ENDS = '.!?;:"<>'
_PIECE_END = re.compile(rf"([{_PIECE_ENDS}\n]+)")
_ECHO_WORDS = 4

_TOLD_BY = 600
"""Characters that tell a language."""
_WORDS = re.compile(r"[^\W\d_]+")
_ASCII_WORDS = re.compile(r"[a-z]+")  # takes half the time
_COMMON = """
    a an and are as at be but by can do for from have he i if in is it me my no not of on or she so that
    the they this to was we what who will with would you your sorry yes
"""
_ENGLISH = frozenset(_COMMON.split())
# The commonest words of other languages in Latin letters, without those that English has too.
_COMMON_ELSEWHERE = """
    der das ist nicht und ich ein eine kann wir leider sie es zu mit auf für que el la los las lo un una
    por para con del pero soy estoy puedo siento le les des est pas je ne vous une dans suis peux désolé
    il di che non per sono posso mi dispiace os não uma em com desculpe het niet een van ik dat jag inte
    är och det nie jest się na
"""
_FOREIGN = frozenset(_COMMON_ELSEWHERE.split())


def without_thought(text: str) -> str | None:
    """Take out the thought that a reasoning model shows before it responds.

    Parameters
    ----------
    text : str
        As the model wrote it.

    Returns
    -------
    str or None
        What follows the thought, or all of a text that begins with none; None if the thought never ends, so
        that nothing has been said.
    """
    text = text.lstrip()
    begins, ends = _THOUGHT_BEGINS.match(text), _THOUGHT_ENDS.search(text)
    if ends and (begins or not _THOUGHT_BEGINS.search(text, 0, ends.start())):
        return text[ends.end() :]
    return None if begins else text


def normalise(text: str) -> str:
    """Bring text into plain form.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        Small letters, straight quotes, hyphens within words as spaces, no markup, single spaces, and line
        breaks only between lines that hold something.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS))
    text = text.lower()
    for mark, plain in _MARKUP.items():
        if mark in text:
            text = text.replace(mark, plain)
    if "`" in text:
        text = _INNER_BACKTICK.sub("'", text)
    if "-" in text:
        text = _INNER_HYPHEN.sub(" ", text)
    if text.isprintable():
        return _plain_line(text)
    return "\n".join(filter(None, map(_plain_line, text.splitlines())))


def _plain_line(line: str) -> str:
    """Single spaces, and no marks of lists and quotations at the beginning."""
    single = line.isprintable() and "  " not in line
    line = line.strip() if single else " ".join(line.split())
    return _LINE_START.sub("", line) if line.startswith(_LINE_MARKS) else line


def without_quotations(text: str, kept: frozenset[str] = frozenset()) -> str:
    """Take out what is quoted, since it is somebody else's statement.

    Parameters
    ----------
    text : str
        In plain form.
    kept : frozenset of str
        Words that stay if they are the whole of a quotation.

    Returns
    -------
    str
        With ``""`` in place of each quotation; a text that is quoted as a whole only loses its marks.
    """
    if '"' not in text and "`" not in text and not ("'" in text and _OPENED.search(text)):
        return text
    whole = _QUOTED.fullmatch(text.rstrip(" .!"))
    if whole:
        return _inside(whole)

    def replacement(quotation: re.Match[str]) -> str:
        inside = _inside(quotation)
        return inside if inside.strip(" .,!") in kept else '""'

    return _QUOTED.sub(replacement, text)


def is_english(text: str) -> bool:
    """Whether text can be read by rules for English, as far as its commonest words tell.

    Parameters
    ----------
    text : str
        In plain form.

    Returns
    -------
    bool
        False if most letters are of another alphabet, or if the commonest words of other languages outnumber
        those of English. Text without either, such as single words, passes.
    """
    head = text[:_TOLD_BY]
    letters = [c for c in head if c.isalpha()] if not head.isascii() else []
    if sum(c > "\u024f" for c in letters) * 2 > len(letters) > 0:
        return False
    words = (_ASCII_WORDS if head.isascii() else _WORDS).findall(head)
    if _FOREIGN.isdisjoint(words):
        return True
    foreign = sum(word in _FOREIGN for word in words)
    return foreign < 2 or foreign <= sum(word in _ENGLISH for word in words)


def pieces(text: str) -> frozenset[str]:
    """Cut text at every stop and quotation mark, and keep what is long enough to be told from chance.

    Parameters
    ----------
    text : str
        In plain form.

    Returns
    -------
    frozenset of str
        Pieces of at least four words.
    """
    for end in _PIECE_ENDS:
        if end in text:
            text = text.replace(end, "\n")
    long = [piece for piece in text.split("\n") if piece.count(" ") >= _ECHO_WORDS - 1]
    return frozenset([piece.strip(" ,'-()") for piece in long])


def without_pieces(text: str, echoed: frozenset[str]) -> str:
    """Take out pieces that repeat the prompt.

    Parameters
    ----------
    text : str
        In plain form.
    echoed : frozenset of str
        Some of its `pieces`.

    Returns
    -------
    str
        The rest of the text with its stops.
    """
    parts = _PIECE_END.split(text)  # pieces and, between them, their stops
    parts[::2] = ["" if piece.strip(" ,'-()") in echoed else piece for piece in parts[::2]]
    return "".join(parts).strip()


def _inside(quotation: re.Match[str]) -> str:
    return quotation[quotation.lastindex or 0]
