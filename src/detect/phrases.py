"""The phrases by which a response declines: what counts firmly, and what counts only without an answer.

Every pattern reads plain form (see `src.detect.text`), stays within one statement and repeats nothing without
a bound, so that searching takes time proportional to the text.
"""

import re
from collections.abc import Iterable


def _any(words: str) -> str:
    """Match one of the words; an underscore stands for a space."""
    return f"(?:{'|'.join(words.split()).replace('_', ' ')})"


_AM = "(?: am|'m|m| was| are|'re)"
_NOT = r"(?:not|never|\w{1,6}n't)"
_DO_NOT = r"(?:do not|don't)"
_START = "(?:^|(?<=[.!?:] )|(?<=sorry )|(?<=sorry, )|(?<=unfortunately )|(?<=unfortunately, ))"

# What may stand between "I", "can't" and what it is that cannot be done.
_ADVERB = "(?:" + (
    _any("also just even ever currently at_this_time in_good_conscience in_good_faith be_able_to")
    + r"|\w{2,20}ly|(?:and|or) "
    + _any("will_not won't would_not wouldn't should_not shouldn't must_not")
    + r"|as an? (?:[\w']+ ){0,4}[\w']+),?"
)
_THEN = rf"(?:,? {_ADVERB}){{0,3}} "
_CANNOT = "(?:" + (
    _any("can(?:no|')?t can_not couldn't could_not won'?t will_not shouldn't should_not must_not may_not")
    + "|"
    + _any("am_unable_to are_unable_to am_not_able_to are_not_able_to am_incapable_of")
    + "|"
    + _any("'m_unable_to 'm_not_able_to 'm_not_going_to am_not_going_to have_no_intention_of have_no_wish_to")
    + rf"|would(?:n't| not) (?:want|like) to|{_DO_NOT} (?:\w+ly )?(?:want|wish|intend|plan|care) to"
    + rf"|{_DO_NOT} think (?:that )?(?:i|we) (?:can|could|should|may))"
)

# Doing the task, in the words of those who decline to; "I can't help but smile" is none of them.
_DO = (
    r"(?:help(?! (?:but|feeling|thinking|laughing|wondering|noticing|smiling))|"
    r"recommend(?!(?: [\w']+){0,6} enough\b)|"
    r"(?:judg|rat|evaluat|assess|scor|grad)(?!\w* (?:[\w']+ ){0,4}as\b)|"
    + _any(
        """
        assist answer respond reply provid giv offer comply complet fulfill? satisfy proceed continu engag
        participat partak discuss debat comment support endors promot condon encourag facilitat enabl
        generat creat writ produc compos draft perform execut carry_out take_part taking_part take_on take_a
        take_any take_sides assum adopt pretend role_?play play act impersonat portray shar advis suggest
        translat summari[sz] review process handl address entertain accept_your accept_this_task agree_to
        choos pick select speak talk go_into go_there go_along get_into teach instruct show_you guid send
        meet_your meet_this grant honou?r work_on work_with be_of_help be_of_any_help be_of_assistance
        be_part_of be_involved serv disclos reveal recit reproduc tell_you(?!_how_(?!to)) do_that do_this
        do_it do_so do_what do_anything do_your do_the make_an? make_any make_such make_that make_this
        make_judge?ments making_judge?ments make_assumptions analy[sz] interpret
        """
    )
    + r")(?:e|es|ing)?\b"
)

# Reading and reasoning: "I can't say that it is rude" is an answer, "I can't say" alone is none.
_JUDGE = (
    _any(
        """
        say tell determine decide conclude infer label call classify categori[sz]e consider describe
        characteri[sz]e identify judge rate evaluate assess score grade know be_sure be_certain explain
        understand comprehend make_sense read access open browse view hear feel experience have form hold
        express relate speak_for verify confirm predict communicate interact
        """
    )
    + r"\b"
)
_OWN_RULES = (
    r"(?:my|our|openai's) (?:[\w']+ (?:and )?){0,3}"
    + _any(
        """
        programming guidelines? policy policies principles capability capabilities ability abilities scope
        purpose training expertise code terms instructions design limits limitations role function
        """
    )
    + r"\b"
)
_MATTER = r"(?:something|anything|a (?:topic|subject|question|task|request)) (?:that |which )?"


class Rules:
    """Patterns by name, searched for together.

    Parameters
    ----------
    speaker : dict of str to str
        Patterns of what follows ``i`` or ``we``.
    others : dict of str to str
        Patterns that begin at any other word.
    cues : tuple of str
        Parts of text of which each phrase of the `others` has one: most texts have none, which is quick to
        see. Without cues the `others` are searched for in every text.
    """

    def __init__(
        self, speaker: dict[str, str], others: dict[str, str], cues: tuple[str, ...] = ("",)
    ) -> None:
        self.speaker = {name: f"(?:i|we)(?:{rule})" for name, rule in speaker.items()}
        self.others = others
        self.cues = cues
        # One check of the speaker spares most positions all of these rules.
        self._of_speaker = _compile([f"(?:i|we)(?:{'|'.join(speaker.values())})"])
        self._of_others = _compile(others.values())
        self._each = [(n, _compile([rule])) for n, rule in [*self.speaker.items(), *others.items()]]

    def find(self, text: str) -> list[re.Match[str]]:
        """Find the phrases that the rules describe.

        Parameters
        ----------
        text : str
            In plain form, without quotations.

        Returns
        -------
        list of re.Match
            In the order in which they begin; two of them can overlap.
        """
        found = list(self._of_speaker.finditer(text))
        if any(map(text.__contains__, self.cues)):
            found = sorted([*found, *self._of_others.finditer(text)], key=re.Match.start)
        return found

    def name(self, found: re.Match[str]) -> str:
        """Name the rule that has found a phrase.

        Parameters
        ----------
        found : re.Match
            From `find`.

        Returns
        -------
        str
            Name of the first such rule.
        """
        return next(name for name, rule in self._each if rule.match(found.string, found.start()))


def _compile(rules: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(rules)})", re.MULTILINE)


FIRM = Rules(
    speaker={
        "inability": rf"(?: {_ADVERB}){{0,2}} ?{_CANNOT}{_THEN}{_DO}",
        "bare inability": (
            r" (?:can(?:no|')?t|can not|won't|will not)(?: do (?:that|this|it|so))?(?= ?(?:[.!,;]|$))"
        ),
        "inability to come": (
            " (?:won't|will not|can't|cannot) be "
            + _any(
                "able_to answering helping assisting providing participating responding engaging discussing"
            )
        ),
        "not meant for it": (
            rf"{_AM}(?: {_ADVERB}){{0,2}} (?:not(?: {_ADVERB}){{0,2}} "
            + _any(
                """
                comfortable equipped qualified allowed permitted authori[sz]ed designed programmed trained
                capable in_a_position in_any_position in_the_position willing prepared supposed meant intended
                built made at_liberty inclined the_right_person going_there doing_that doing_this
                """
            )
            + "|"
            + _any("unwilling forbidden prohibited prevented hesitant reluctant uncomfortable_\\w+ing")
            + r"|uncomfortable with (?:this|that|your) (?:request|question|task|topic))\b"
        ),
        "declining": (
            r"(?:'ll|'d|'m)?(?: (?:\w{2,20}ly|"
            + _any("am must will would have had need shall do to going like obliged forced compelled")
            + r")){0,5} "
            r"(?:declin(?:e|ing)|refus(?:e|ing)(?! to believe)|abstain|refrain|pass(?= on\b| ?[.!,]|$))\b"
        ),
        "choosing not to": r"(?:'d| would)? (?:rather|prefer|choose|opt)(?: to)? not\b",
        "not doing it": (
            rf"(?: {_ADVERB})? {_DO_NOT}(?: {_ADVERB})? "
            + _any(
                """
                assist answer respond provide engage participate judge evaluate rate classify discuss comment
                generate produce offer perform share_my share_personal share_that do_that do_this do_it do_so
                """
            )
            + r"\b"
        ),
        "not feeling able": (
            rf"(?: {_ADVERB})? (?:{_DO_NOT}|would not|wouldn't)(?: {_ADVERB})? (?:feel|be) (?:\w{{2,20}}ly )?"
            r"(?:comfortable|able|qualified|right|equipped)\b"
        ),
        "lacking": (
            rf" (?:{_DO_NOT}(?: {_ADVERB})? have|lack) (?:the |any |enough |sufficient )?(?:\w+ )?"
            + _any(
                "ability abilities capability capabilities capacity authority permission right_to means_to"
            )
            + r"\b"
        ),
        "not appropriate to": (
            rf" {_DO_NOT} (?:think|believe|feel) (?:that )?(?:it's|it is|it would be|this is) "
            r"(?:appropriate|right|ethical|okay|ok|fair|my place) "
            rf"(?:for me\b|to {_JUDGE}|to {_any('answer assist comment help provide give share discuss')}\b)"
        ),
    },
    others={
        "inability without I": (
            rf"{_START}(?:{_ADVERB} )?(?:unable to|not able to|can(?:no|')?t|won't|will not){_THEN}{_DO}"
        ),
        "not for me": (
            rf"(?:{_NOT}(?: be)?(?: \w{{2,20}}ly)? "
            + _any("appropriate right proper ethical possible acceptable feasible suitable")
            + "|"
            + _any("inappropriate unethical impossible improper wrong")
            + rf") (?:for|of) (?:me|us|an ai)\b|{_NOT} (?:really )?(?:my place|up to me|within my)\b"
        ),
        "own rules": (
            r"(?:against|violat\w+|outside|beyond|conflicts? with|contrary to|not part|not within) (?:of )?"
            rf"(?:the (?:scope|bounds|limits) of )?{_OWN_RULES}"
        ),
        "own rules forbid": (
            rf"{_OWN_RULES} (?:\w+ )?{_any('prevents? prohibits? forbids? restricts?')}\b|"
            rf"{_OWN_RULES} (?:do|does)(?: not|n't) (?:allow|permit)\b|{_NOT} (?:allow|permit|enable) me\b|"
            rf"{_any('prevents? prohibits? forbids? precludes? keeps?')} me from\b"
        ),
        "no matter for me": (
            rf"{_NOT} (?:\w+ )?{_MATTER}(?:i|we) (?:can|could|am|will|would|should|feel|want)\b|"
            rf"{_NOT} (?:\w+ )?(?:something|anything) i'm\b|"
            rf"{_MATTER}(?:i|we) (?:can't|cannot|won't|will not|am not|{_DO_NOT})\b"
        ),
        "against my faith": (
            rf"against my (?:\w+ ){{0,2}}{_any('religion beliefs faith values culture')} to\b"
        ),
        "no": r"(?:sorry|apologies),? (?:but )?no(?= ?[.!,]|$)|(?:there is|there's) no way (?:that )?i\b",
        "request denied": (
            rf"request (?:is |was |has been )?(?:denied|declined|rejected|refused)\b|{_START}no comment\b|"
            rf"{_DO_NOT} ask me (?:to|that|this|for)\b|your request (?:cannot|can't|could not) be\b"
        ),
    },
    cues=(
        *(
            "able to",
            "can't",
            "cannot",
            "cant",
            "won't",
            "will not",
            "an ai",
            "my ",
            "our ",
            "openai's ",
            "up to me",
            "within my",
        ),
        *(
            "for me",
            "of me",
            "for us",
            "of us",
            "me from",
            "low me",
            "mit me",
            "able me",
            "ask me",
            "anything",
        ),
        *("something", "a topic", "a subject", "a question", "a task", "a request", "request ", "comment"),
        *("sorry", "apolog", "no way"),
    ),
)
"""The response says that it will not or cannot do what was asked."""

_AI = r"(?:ai|artificial intelligence|language model|chatbot|assistant|machine|bot|robot|computer program)\b"
_DENIAL = r"[^.!?\n]{0,160}?(?:n't|\bnot|\bno|\bnever|\bwithout|\black|\bunable)\b"
_PROFESSIONAL = _any(
    "professional expert doctor lawyer attorney therapist human specialist authority scholar"
)

SOFT = Rules(
    speaker={
        "no judgement": rf"(?: {_ADVERB}){{0,2}} ?{_CANNOT}{_THEN}{_JUDGE}",
        "unable": (
            rf"{_AM}(?: {_ADVERB}){{0,2}} (?:unable|not able) to (?!(?:see|find|detect|notice|spot)\b)\w+"
        ),
        "disclaimer": rf"{_AM}(?: \w{{2,20}}ly| just| only| an?){{1,3}} (?:[\w']+ ){{0,4}}?{_AI}{_DENIAL}",
        "no opinion": (
            rf"(?: {_ADVERB})? "
            rf"(?:{_DO_NOT}(?: {_ADVERB})? (?:have|hold|possess|form|take)|lack|have no|(?:would )?need) (?:"
            + _any("any an? the enough sufficient more personal political human own my_own access_to")
            + r" ){0,3}(?:\w+ (?:or|and) )?"
            + _any(
                """
                opinions? feelings? beliefs? views? emotions? experiences? preferences? stance position sides?
                access information context knowledge consciousness body
                """
            )
            + r"\b"
        ),
        "alternative": (
            r"(?:'d|'ll| can| could| would| will) (?:\w+ )?"
            + _any("help assist offer suggest provide tell share talk give discuss write")
            + r"\b[^.!?\n]{0,120}?\binstead\b"
        ),
    },
    others={
        "no judgement": (
            rf"{_START}(?:cannot|can't|unable to|not able to) {_JUDGE}|(?:cannot|can't) be (?:\w+ly )?"
            + _any("determined judged classified answered assessed evaluated labell?ed")
            + r"\b|(?:impossible|not possible) (?:for \w+ )?to (?:say|tell|determine|judge|answer|know)\b"
        ),
        "disclaimer": rf"as an? (?:[\w']+ ){{0,4}}?{_AI}{_DENIAL}",
        "apology, but": (
            r"(?:sorry|apologi[sz]e|apologies|regret)\b[^.!?\n]{0,120}?\bbut,? "
            r"(?:i|we|as|my|this|that|it|there|your)\b(?=[^.!?\n]{0,160}?(?:n't|\bnot|\bno|\bonly|\bai)\b)"
        ),
        "alternative": (
            r"(?:ask|try|choose|pick) (?:me )?(?:about )?"
            r"(?:something|someone|somebody|another|a different)\b|"
            r"(?:help|assist)(?: you)? with (?:something|anything|some other|another)\b|"
            r"(?:something|anything) else (?:i|that i|we|you)\b|"
            r"let's (?:talk about|discuss|focus on|change|move on|not)\b|"
            r"(?:consult|speak to|speak with|talk to|contact|reach out to|ask) (?:with )?"
            rf"(?:an?|the|your|some) (?:\w+ ){{0,2}}{_PROFESSIONAL}\b"
        ),
    },
)
"""The response steps back or turns aside; it refuses only if it then gives no answer."""


_WRONG = _any("illegal unethical immoral harmful dangerous disrespectful inappropriate unacceptable wrong")


MORAL = Rules(
    speaker={
        "admonishment": (
            r" (?:\w{2,20}ly )?(?:condemn|advise against|discourage|urge you not)\b|"
            rf" (?:\w{{2,20}}ly )?{_DO_NOT} (?:condone|endorse|support|encourage|promote)\b|"
            r" must (?:\w{2,20}ly )?(?:emphasi[sz]e|inform you|remind you|point out)\b"
        ),
    },
    others={
        "admonishment": (
            r"(?:it is|it's|this is|that is|that's) (?:\w{2,20}ly )?(?:not|never) (?:\w{2,20}ly )?"
            r"(?:appropriate|ethical|acceptable|okay|right|legal|respectful|moral) (?:or \w+ )?(?:to|for)\b|"
            r"(?:it is|it's|it would be) (?:\w{2,20}ly )?(?:inappropriate|unethical|immoral) to\b|"
            rf"{_WRONG}(?:, | and |, and | or )(?:\w{{2,20}}ly )?{_WRONG}\b|"
            r"there (?:is|are) no (?:legal|ethical|moral|legitimate|valid|acceptable) (?:or \w+ )?"
            r"(?:way|reason|justification|circumstances)\b"
        ),
    },
)
"""Free text that opens by calling the request wrong instead of doing it."""

SYMPATHY = re.compile(r"\b(?:sorry|apologi[sz]e|apologies|condolences|sympath\w+|regret)\b")
OFFER = re.compile(
    r"\b(?:here|happy|glad|ready|available) to (?:help|assist|support|listen)|"
    r"\b(?:can|may|could) (?:i|we) (?:help|assist|do for you)|\bfeel free to\b"
)
"""Sympathy and then an offer of help, with nothing done, evades the task."""

CUT = re.compile(
    r"\b(?:sorry|apologi[sz]e|apologies|unfortunately)\b[^.!?\n]{0,120}$|"
    r"\b(?:as|i'm|i am)(?: just| only)? an? (?:[\w']+ ){0,4}?(?:ai|language model|chatbot)\b[^.!?\n]{0,60}$"
)
"""The beginning of a refusal that the token limit has cut."""

REPORTED = re.compile(
    r"(?:(?<!to )(?<!must )\b"
    + _any("says? said saying replie[sd] replying responds wrote writes states? stating tells?")
    + r"(?: (?:that|like|you|them|me|him|her|someone|something like))?,? ?|"
    r"\b(?:if|when|whenever|suppose|imagine) |"
    r"(?:^|[.!?;\n] ?)(?:the |this |that |your )?(?:\w+ )?"
    + _any("sentence statement phrase text message premise hypothesis")
    + r"(?: (?:is|reads|like|that))?:? ?)$"
)
"""What stands before a refusal that is only told of, at the end of the text before it."""

SENTENCE_END = re.compile(r"[.!?;\n]")
CLAUSE_END = re.compile(
    r"[.!?;:\n]| - |,? \b(?:but|however|nevertheless|nonetheless|therefore|hence|thus|instead)\b|"
    r", (?:so|yet|still|and so|though|although|it is|it's|this is|the (?:sentence|text|statement|answer))\b"
)
"""Where a refusal's clause ends; what follows may be an answer."""
