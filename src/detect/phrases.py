"""The phrases by which a response declines, steps back, turns aside or lectures.

Every pattern reads plain form (see `src.detect.text`), stays within one statement and repeats nothing without
a bound, so that searching takes time proportional to the text.
"""

import re
from operator import attrgetter
from typing import NamedTuple

from src.detect.screening import Held, Search


def _any(words: str) -> str:
    """Match one of the words; an underscore stands for a space."""
    return f"(?:{'|'.join(words.split()).replace('_', ' ')})"


_AM = "(?: am|'m|m| was| are|'re| have been|'ve been)"
_NOT = r"(?:not|never|hardly|scarcely|\w{1,6}n't)"
_DO_NOT = r"(?:do not|don't)"
# At the beginning of a statement, or after a word such as sorry, unfortunately, no and nope.
START = r"(?:^|(?<=[.!?:] )|(?<=(?:ry|ly|no|pe), )|(?<=(?:ry|ly) ))"

# How much: "not quite ready", "not all that keen", "not at all familiar".
_DEGREE = (
    "(?: (?:"
    + _any("quite yet really very too so well even all that at_all in_any_way the_least_bit much")
    + r"|\w{2,20}ly),?){0,3}"
)
# What may stand between "I", "can't" and what it is that cannot be done.
_ADVERB = "(?:" + (
    _any("also just even ever however though still simply currently at_this_time be_able_to")
    + "|"
    + _any("in_good_conscience in_good_faith at_all")
    + r"|\w{2,20}ly|(?:and|or) "
    + _any("will_not won't would_not wouldn't should_not shouldn't must_not")
    + r"|as an? (?:[\w']+ ){0,4}[\w']+),?"
)
_THEN = rf"(?:,? {_ADVERB}){{0,3}} "
# What the speaker is not, or was not made: "I'm hardly qualified", "I haven't been trained".
_AM_NOT = (
    rf"(?:{_AM}(?:,? {_ADVERB}){{0,2}} (?:not|never|hardly|scarcely|neither|no longer|far from|by no means|"
    r"in no way)|(?:'ve| have) (?:not|never)(?: yet)? been| (?:was|were|have)n't(?: been)?| ain't| never was)"
)
# What may stand between "I" and a verb of declining: "I'm going to have to", "I'd really rather".
_CHAIN = (
    r"(?:'ll|'d|'m|'ve)?(?: (?:\w{2,20}ly|"
    + _any(
        """
        am must will would shall should have had need do to going gonna like obliged forced compelled better
        rather sooner prefer choose chosen choosing decided elected try trying aim strive want wish always
        here
        told been asked instructed trained taught programmed just also be do_my_best
        """
    )
    + r")){0,6} "
)
# What is doubted in "I'm not sure I'd even be able to", "I don't think that I should", "I doubt I can".
_I_CAN = (
    rf"(?:i|we)(?: can| could| should| may| ought to|(?:'m| am|'d| would|'re| are)(?: be)?{_DEGREE}(?: be)?"
    r" (?:(?:able|ready|qualified|allowed|equipped|prepared|the (?:right|best) \w+) to|"
    r"(?:capable of|comfortable(?: with)?)))"
)
_CANNOT = "(?:" + (
    _any(
        """
        can(?:no|')?t can_not couldn't could_not won'?t will_not shouldn't should_not must_not may_not
        can_never could_never will_never would_never would_be_unable_to shall_not shall_never shan't 'll_not
        'll_never 'd_never mustn't dare_not daren't ought_not_to
        """
    )
    + "|"
    + _any("am_unable_to are_unable_to am_incapable_of")
    + rf"|(?:am|are|'m|'re) not{_DEGREE} (?:able|here|about|prepared|willing) to"
    + "|"
    + _any(
        "'m_unable_to 'm_not_going_to 'm_not_gonna ain't_gonna am_not_going_to have_no_intention_of "
        "have_no_wish_to"
    )
    + rf"|would(?:n't| not) (?:want|like) to|{_DO_NOT} (?:\w+ly )?(?:want|wish|intend|plan|care) to"
    + rf"|(?:{_DO_NOT} (?:think|believe|feel)|doubt)(?: that)? {_I_CAN})"
)

# Doing the task, in the words of those who decline to; "I can't help but smile" is none of them.
_DO = (
    r"(?:help(?! (?:but|feeling|thinking|laughing|wondering|noticing|smiling))|"
    r"recommend(?!(?: [\w']+){0,6} enough\b)|"
    r"(?:judg|rat|evaluat|assess|scor|grad)(?!\w* (?:[\w']+ ){0,4}as\b)|"
    + _any(
        r"""
        assist answer respond reply provid giv offer comply complet fulfill? satisfy proceed continu engag
 participat partak discuss debat comment support endors promot condon encourag facilitat enabl
        generat creat writ produc compos draft perform execut carry_out take_part taking_part take_on take_a
        take_any take_sides assum adopt pretend role_?play play act impersonat portray shar advis suggest
        translat summari[sz] review process handl address entertain accept_your accept_this_task agree_to
        enforc deliver justify justifi defend glorify glamori[sz] normali[sz] suppl(?:y|i) contribut
        collaborat cooperat look_up deal_with search_for point_you devis
        choos pick select speak(?!_for) talk go_into go_there go_along get_into teach instruct show_you guid
        send
        meet_your meet_this grant honou?r work_on work_with be_of_help be_of_any_help be_of_assistance
        be_part_of be_involved serv disclos reveal recit reproduc sit_in_judge?ment pass_judge?ment weigh_in
        walk_you touch_(?:this|that|it) go_(?:any)?near be_drawn be_the_(?:judge|arbiter|one) cast_(?:a|any)
        put_(?:a|any)_\w+_(?:on|to) dig_up hand_out vouch rule_on
        tell_you(?!_(?:how_(?!to)|twice|again|a_)) do_that do_this
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
        say tell(?!_(?:a_lie|you_(?:twice|again))) determine decide conclude infer label call classify
        categori[sz]e consider describe
        characteri[sz]e identify judge rate evaluate assess score grade know be_sure be_certain explain
        understand comprehend make_sense read access open browse view hear feel experience have form hold
        express relate speak_for verify confirm predict communicate interact
        """
    )
    + r"\b"
)
# What is no doing at all: "I can't see anything rude", "I can't imagine", "I can't wait".
_NO_DOING = _any(
    r"""
    see find detect notice spot think imagine believe wait recall remember stress emphasi[sz]e overstate deny
    stand afford help recommend(?=(?:_[\w']+){0,6}_enough\b) agree accept tolerate understand blame complain
    lie get_enough bore tell_a_lie fault argue disagree say_enough thank wish ask hope even be_more be_happier
    have be_sure be_certain be_offended be_hurt be_upset take_offen[cs]e tell_you_(?:twice|again) bear
    resist live sleep eat drink swim drive walk vote go
    """
)
_OWN_RULES = (
    r"(?:my|our|openai's|company|usage|content) (?:[\w']+ (?:and )?){0,3}?"
    + _any(
        """
        programming guidelines? policy policies principles capability capabilities ability abilities scope
        purpose training expertise area field domain remit knowledge code terms instructions rules
        design limits limitations role functions? skills? skill_?set depth league comfort_zone wheelhouse
        features services reach pay_grade head
        """
    )
    + r"\b"
)
_POWER = _any(
    r"""
    ability abilities capability capabilities capacity authority authori[sz]ation permission clearance mandate
    license skills? qualifications? credentials competence expertise training right_to means_to standing
    business_\w{2,20}ing tools vocabulary (?:what_it_takes|what(?:_is|'s)_needed)
    (?:head|ear|eye|feel|sense|grasp|command)_(?:for|of)
    """
)
# What a judge of texts does, besides doing the task in general.
_JUDGING = (
    _any(
        r"""
        judg rat evaluat assess grad scor label classify categori[sz] critici[sz] moderat decid rank polic
        condemn
        analy[sz] compar debat argu comment take_sides weigh_in
        (?:giv|pass|mak|provid|offer|shar|express|form|tak)(?:e|ing)?_(?:\w+_){0,2}(?:judge?ment|opinion|verdict|rating|label|instruction)s?
        """
    )
    + r"(?:e|es|ing)?\b"
)
_ROLE = _any(
    "place job role task call business responsibility purpose duty function decision area field domain "
    "specialty department lane remit strong_suit strength forte province prerogative"
)
_REQUEST = _any("request question prompt query topic content statement joke task ask")
# "Something that", "a judgement I", "the kind of thing which".
_MATTER = (
    r"(?:something|anything|ones?|(?:an?|the) (?:[\w']+ ){0,2}?"
    + _any(
        """
        topic subject question task request thing kind sort call decision judge?ment matter line field area
        job
        role service discussion debate exercise content
        """
    )
    + r")(?: of (?:thing|task|content|request|question|text))? (?:(?:on |in |for )?(?:that|which) )?"
)
_MATTERS = _any(
    r"""
    content material topics? subjects? questions? matters? requests? tasks? debates? discussions? statements?
    posts? tweets? things? politic\w+ controvers\w+ judge?ments? ratings? one
    """
)
# What one may stay out of, as against "I stay away from sugar".
_OUT_OF = (
    r"(?= ?[.,;!]|$| (?:this|that|it|such|these|those)\b| (?:\w+ ){0,2}?" + _MATTERS + r"\b| \w{2,20}ing\b)"
)
# What somebody who is here to help is not here for, without declining anything.
_HOSTILE = _any(
    """
    offend insult hurt harm attack upset fight cause bother annoy blame scold hate hinder discriminate provoke
    be_(?!(?:the|an?|your)_) make_(?:you|anyone|anybody|trouble|fun|things)
    """
)
# Who speaks of itself as one of many: "an assistant such as myself".
_LIKE_ME = r"(?:like|such as) (?:me|myself|us|ourselves)|this (?:\w+ )?(?:assistant|model|ai|bot|chatbot)"


# Beginning with a letter, which the search can skip to, and only then looking whether a word begins there.
SPEAKER = r"(?:i(?<!\wi)|we(?<!\wwe))"


class Phrase(NamedTuple):
    """A phrase that a rule has found in a text."""

    rule: str
    """Name of the rule."""
    words: str
    """What it found, in plain form."""
    start: int
    """Where it begins in the text."""
    end: int
    """Where it ends."""


class Rules:
    """Patterns by name.

    Parameters
    ----------
    speaker : dict of str to str
        Patterns of what follows ``i`` or ``we``.
    others : dict of str to str
        Patterns of rules that begin at any other word.
    """

    def __init__(self, speaker: dict[str, str], others: dict[str, str]) -> None:
        self.speaker = {name: f"{SPEAKER}(?:{rule})" for name, rule in speaker.items()}
        self.others = others
        # One check of the speaker spares most positions all of these rules.
        together = rf"(?m:{SPEAKER}(?:{'|'.join(f'({rule})' for rule in speaker.values())}))"
        self.searches = (
            Search(together, tuple(speaker)),
            *(Search(rf"(?m:\b(?:{rule}))", (name,)) for name, rule in others.items()),
        )

        self._all = frozenset(self.searches)

    def find(self, text: str, held: Held) -> list[Phrase]:
        """Find the phrases that the rules describe.

        Parameters
        ----------
        text : str
            In plain form, without quotations.
        held : frozenset of Search
            Those of `searches` that can find something.

        Returns
        -------
        list of Phrase
            In the order in which they begin; they can overlap.
        """
        if held.isdisjoint(self._all):
            return []
        found = [
            Phrase(search.names[(m.lastindex or 1) - 1], m.group(), m.start(), m.end())
            for search in self.searches
            if search in held
            for m in search.pattern.finditer(text)
        ]
        if len(found) > 1:
            found.sort(key=_START_OF)
        return found


_START_OF = attrgetter("start")

_UNSURE = (
    rf"{_AM} (?:not{_DEGREE} (?:sure|certain|confident|convinced)|unsure|uncertain)"
    r"(?: (?:if|that|whether|how))?"
)

_AI = r"(?:ai|artificial intelligence|language model|chatbot|assistant|machine|bot|robot|computer program)\b"

FIRM = Rules(
    speaker={
        "inability": rf"(?: {_ADVERB}){{0,2}} ?{_CANNOT}{_THEN}(?:be )?{_DO}",
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
            rf"{_AM_NOT}{_DEGREE}(?: {_ADVERB}){{0,2}} (?:"
            + _any(
                """
                comfortable equipped qualified competent suited fit cut_out set_up licensed certified entitled
                eligible cleared keen_on keen_to eager_to open_to up_for at_ease allowed permitted
                authori[sz]ed
                designed programmed trained taught tasked capable in_the_business_of in_the_habit_of
                in_(?:a|any|the)_(?:position|capacity) willing prepared supposed meant intended
                built made at_liberty free_to inclined going_there doing_that doing_this good_at privy_to
                one_(?:to|for)
                """
            )
            + r"|the (?:right|best|proper|ideal) (?:person|one|choice|place|assistant|tool|model|judge)|"
            rf"ready to (?:{_DO}|{_JUDGING})|(?=\w+ing\b)(?:{_JUDGING}|answering|writing|helping|providing)|"
            r"(?:all right|alright|okay|ok|fine) with (?:\w{2,20}ing|your request))\b"
        ),
        "unwilling": (
            rf"{_AM}(?:,? {_ADVERB}){{0,2}} (?:"
            r"(?:restricted|barred|banned|blocked) from|"
            + _any(
                r"""
                unwilling forbidden prohibited prevented hesitant reluctant loath disinclined
                uncomfortable_\w+ing unqualified unfit (?:ill_|un|under)(?:equipped|qualified|suited)
                no_(?:good|use)_(?:at|for|with|in) of_(?:no|little)_(?:use|help) in_no_position
                the_wrong_(?:person|one|model|assistant|choice|place)
                """
            )
            + "|"
            + _any("programmed designed trained instructed built made required obliged bound told")
            + r" (?:not to|to (?:decline|refuse|avoid|refrain|reject|stay|keep))"
            + r"|uncomfortable with (?:this|that|your) (?:request|question|task|topic))\b"
        ),
        "declining": (
            rf"{_CHAIN}(?:declin(?:e|ing)|refus(?:e|ing)(?! to believe)|abstain|refrain|"
            r"pass(?= on\b| ?[.!,]|$)|(?<!would )(?<!'d )(?:turn(?:ing)? down|turn(?:ing)? (?:this|that|"
            r"your|such) "
            r"(?:[\w']+ ){0,2}down)|skip(?:ping)? (?:this|that|it)|"
            r"(?:excus|recus)(?:e|ing) myself|(?:stay|remain|keep)(?:ing)? (?:neutral|impartial|silent|quiet|"
            r"out of (?:this|that|it))|disappoint you|"
            r"draw the line|(?:bow|opt)(?:ing)? out|leave (?:this|that|it)(?: \w+)? unanswered|"
            r"leave unanswered)\b"
            r"(?! (?:the|an?|his|her|their|all) (?:\w+ )?(?:offer|invitation|invite|job|meeting|call)\b)"
        ),
        "staying out": (
            rf"{_CHAIN}(?<!would )(?<!'d )(?:(?:stay|keep)(?:ing)? (?:out of|away from|clear of)|"
            rf"steer(?:ing)? (?:clear|away)(?: of| from)?|shy(?:ing)? away from){_OUT_OF}|"
            rf"{_CHAIN}(?:avoid(?:ing)? (?:(?:taking|making|getting|giving|{_JUDGING})\b|(?:this|that|it)\b|"
            rf"(?:\w+ ){{1,2}}?{_MATTERS}\b)|"
            r"sit(?:ting)? (?:out |(?:this|that|it) (?:\w+ )?out)|"
            r"leav(?:e|ing)(?: (?:this|that|it|them|these|those|such|the)(?: [\w']+){0,3}?)?(?: up)? to "
            r"(?:others|those|people|other|the|someone|somebody|experts?|professionals?|you(?= ?[.!]|$)))\b"
        ),
        "saying no": (
            r"(?:'ll|'d| will| would| must)?(?: have to| need to| must)? say no"
            r"(?= ?(?:[.!,]|$)| to (?:this|that|your))"
        ),
        "choosing not to": (
            r"(?:'d|'m|'ve| would| am| have| will|'ll)?(?: \w{2,20}ly)? (?:rather|sooner|prefer|choos(?:e|"
            r"ing)|"
            r"chosen|elect(?:ed)?|opt(?:ed)?|decided)(?: to)? "
            r"(?:(?:that |if )?you (?:not|ask|asked|didn't|don't)\b|avoid\b|stay (?:out|neutral)\b|steer "
            r"clear\b|leave (?:that|this|it)\b|"
            r"not\b(?! (?:hear|see|receive|get|read)\b| be (?!(?:the|an?|asked|drawn|part|involved)\b)))"
        ),
        "doubtful about doing": (
            rf"{_UNSURE} {_I_CAN}(?: \w{{2,20}}ly)? (?:{_DO}|{_JUDGING}|us(?:e|ing)\b|repeat(?:ing)?\b)"
        ),
        "here, not to": (
            rf"{_AM}(?: \w{{2,20}}ly| only| just)? "
            + _any("here made built designed trained meant programmed")
            + rf" (?:to|for) [^.!?\n]{{1,60}}?,? (?:and |but )?not (?:(?:to |for )?{_JUDGING}|"
            rf"to(?:$| (?!{_HOSTILE})\w+))"
        ),
        "rule of one's own": (rf" make it a (?:rule|point|habit) (?:not|never) to (?:{_DO}|{_JUDGING})"),
        "not doing it": (
            rf"(?: {_ADVERB})? {_DO_NOT}(?: {_ADVERB})? "
            + _any(
                """
                assist answer respond provide engage participate judge evaluate rate classify discuss comment
                generate produce offer perform share_such share_any share_private disclose give_out share_my
                share_personal share_that do_that do_this do_it do_so take_part take_sides weigh_in
                get_involved
                help_with entertain facilitate pass_judge?ment
                do_(?:classifications?|ratings?|requests|politics)
                """
            )
            + rf"\b|(?: {_ADVERB})? {_DO_NOT} "
            + _any("create write make handle process share work_with work_on deal_with take_on touch cover")
            + rf" (?:[\w']+ ){{0,2}}?{_MATTERS}\b"
        ),
        "not feeling able": (
            rf"(?: {_ADVERB})? (?:{_DO_NOT}|would not|wouldn't|would never)(?: {_ADVERB})? "
            r"(?:feel|be|(?:consider|see|regard|view|count|think of) myself) (?:to be |as )?(?:\w{2,20}ly |"
            r"very )?"
            r"(?:comfortable|able|qualified|right|equipped|at ease|at liberty|competent|entitled|fit|"
            r"in a position|"
            r"the right|the one|up to|well placed|an? \w+ of)\b"
        ),
        "lacking": (
            rf"(?: {_DO_NOT}(?: {_ADVERB})? (?:have|possess)| lack|(?: have|'ve)(?: got)? no| have(?:n't|"
            rf" not) got) "
            rf"(?:the |any |enough |sufficient )?(?:\w+ )?{_POWER}\b"
        ),
        "not appropriate to": (
            rf" {_DO_NOT} (?:think|believe|feel|find) (?:that )?"
            r"(?:it's|it is|it would be|it to be|it|this is) "
            r"(?:appropriate|right|ethical|okay|ok|fair|my place) "
            rf"(?:for me\b|to {_JUDGE}|to {_any('answer assist comment help provide give share discuss')}\b)"
        ),
    },
    others={
        "inability without I": (
            rf"{START}(?:{_ADVERB} )?(?:unable to|not able to|not going to|can(?:no|')?t|won't|will not)"
            rf"{_THEN}{_DO}"
        ),
        "not for me": (
            rf"(?:{_NOT}(?: be| seem)?(?: \w{{2,20}}ly)? "
            + _any("appropriate right proper ethical possible acceptable feasible suitable fitting fair wise")
            + "|"
            + _any("inappropriate unethical impossible improper wrong irresponsible presumptuous")
            + r") (?:for|of) (?:me|us|an ai|(?:someone|somebody|an? \w+|an? \w+ \w+) like me|"
            r"an? (?:chatbot|robot|machine|bot|assistant|language model))\b|no way for (?:me|us) to\b|"
            rf"{_NOT} (?:be |seems? )?(?:fitting|proper|appropriate|right) that (?:i|we)\b|"
            rf"{_NOT} (?:really )?(?:up to (?:me|us|an? (?:ai|bot|chatbot|machine|assistant))(?= to)|"
            rf"up to (?:me|us)|within my|for me to)\b|"
            rf"{_NOT}{_DEGREE} (?:my|our) {_ROLE}\b(?! of work)|"
            rf"no (?:\w+ )?{_ROLE} of (?:mine|ours)\b|(?:none|no part) of my {_ROLE}\b|"
            rf"(?:my|our) (?:\w+ )?{_ROLE} (?:is not|isn't|was not|wasn't) to\b|"
            rf"{_NOT}{_DEGREE} (?:all right|alright|okay|ok|fine|acceptable) (?:with|by) (?:me|us)\b|"
            r"(?:beyond|above) me(?= to\b| ?[.,;!]|$)|"
            r"who am i to "
            rf"{_JUDGING}"
        ),
        "one of many": (
            rf"(?:{_LIKE_ME})(?: \w{{2,20}}ly)? (?:{_CANNOT}{_THEN}(?:be )?(?:{_DO}|{_JUDGE}|"
            rf"{_JUDGING}|grasp)|"
            r"(?:is|are|was|were) (?:not|never) (?:able|equipped|designed|made|meant|built|trained|"
            r"qualified|"
            r"supposed|allowed|capable)\b|(?:is|are) (?:unable|incapable)\b|(?:isn't|aren't|"
            r"wasn't) \w+\b|"
            rf"(?:does not|doesn't|do not|don't) (?:{_DO}|{_JUDGING}|have|hold|possess)|"
            r"(?:has|have) no \w+|lacks?\b|declines?\b)"
        ),
        "nothing from me": (
            r"(?:(?:a|an) (?:\w+ )?no|(?:no|not an?) (?:[\w']+ )?"
            + _any("rating label verdict answer opinion judge?ment comment help advice assessment")
            + r"|(?:won't|will not|'ll not|not going to|cannot|can't|do not|don't) (?:get|hear|receive|"
            r"expect)"
            r"\b[^.!?\n]{0,40}?|not (?:something|anything) you(?:'ll| will) (?:get|hear|"
            r"receive)) from me\b"
        ),
        "making me uneasy": (
            rf"(?:{_JUDGING}[^.!?\n]{{0,60}}? |it )(?:makes?|would make|leaves?|making) me "
            r"(?:feel )?(?:\w+ )?(?:uneasy|uncomfortable)\b"
        ),
        "own rules": (
            r"(?:against|violat\w+|outside|beyond|conflicts? with|contrary to|(?:not|isn't|"
            r"aren't) (?:part|one)|"
            r"not within|not among|out of|over|above|exceeds?|comply with|"
            r"(?:in )?line with|adhere to|abide by) (?:of )?"
            rf"(?:the (?:scope|bounds|limits) of )?{_OWN_RULES}|"
            r"(?:outside|beyond)(?: of)? (?:what|anything|the things) "
            r"(?:(?:i|we)(?:'m| am| can| are|'re| was| were| do)|(?:my|our) \w+)\b|"
            rf"(?:outside|beyond|not within|exceeds?) the (?:\w+ )?(?:scope|bounds|limits|capabilities|"
            rf"abilities|"
            rf"power|competence) of (?:an? |this )?(?:\w+ )?{_AI}|"
            rf"{_NOT} (?:\w{{2,20}}ly )?(?:part of )?what (?:i|we)(?:'m| am| was| were| are)? "
            r"(?:do|offer|built|made|designed|trained|programmed|meant|created|here)\b"
        ),
        "own rules forbid": (
            rf"{_OWN_RULES} (?:\w+ )?{_any('prevents? prohibits? forbids? restricts?')}\b|"
            rf"{_OWN_RULES} (?:do|does)(?: not|n't) (?:allow|permit|cover|include|extend)\b|"
            rf"{_NOT} (?:allow|permit|"
            rf"enable) me\b|{_NOT} let me (?:{_DO}|{_JUDGING})|(?:forbids?|prohibits?) me\b|"
            rf"{_any('prevents? prohibits? forbids? precludes? keeps? stops? bars?')} me from\b|"
            rf"(?:teach(?:es)?|tells?|asks?|requires?|taught) me not to (?:{_DO}|{_JUDGING})"
        ),
        "no matter for me": (
            rf"{_NOT} (?:\w+ )?{_MATTER}(?:i|we)(?:'m|'ll| (?:can|could|am|will|should|ought|feel|want|"
            rf"do|offer|ever)|"
            r"(?:'d| would)(?! (?:say|call|use|send|consider|describe|expect|want|like)\b))\b|"
            rf"{_MATTER}(?:i|we)(?: (?:can't|cannot|won't|will not|am not|shall not|never|must not|"
            rf"refuse|"
            rf"prefer not|{_DO_NOT})|'m not|'ll not|'ll never|'d rather not|'d never)\b"
            rf"(?! (?:{_NO_DOING}|like|know|get|expect|appreciate|mind|say|use|call|want_to)\b)"
        ),
        "against my faith": (
            rf"against my (?:\w+ ){{0,2}}{_any('religion beliefs faith values culture')} to\b"
        ),
        "no": (
            r"(?:sorry|apologies),? (?:but )?no(?= ?[.!,]|$)|(?:there is|there's) no way (?:that )?i\b|"
            r"i'm afraid (?:not|no)(?= ?[.!,]|$)|no can do\b|"
            r"(?:under no circumstances|nor) (?:will|would|can|could|should|shall) (?:i|we)\b"
        ),
        "request denied": (
            r"request (?:is |was |has been )?(?:denied|declined|rejected|refused)\b|"
            rf"{START}no comment\b|{_DO_NOT} ask me (?:to|that|this|for)\b|"
            rf"{START}(?:please )?count me out\b|"
            r"your (?:request|question) (?:cannot|can't|could not) be\b|"
            rf"(?:this|that|your) (?:\w+ )?{_REQUEST} (?:cannot|can't|won't|will not) be \w{{2,20}}ed\b|"
            rf"{START}(?:this|that|it) (?:won't|will not|cannot|can't) be possible\b"
        ),
        "sorry for not": (
            r"(?:sorry|apolog\w{3,6})(?: for|,)? (?:\w+ )?(?:not being able to|being unable to)\b"
        ),
        "request breaks rules": (
            rf"(?:this|that|your|the|such an?) (?:\w+ )?{_REQUEST} (?:\w+ )?"
            r"(?:violat\w+|goes against|is against|falls outside|conflicts? with|is not (?:allowed|"
            r"permitted))\b"
        ),
    },
)
"""The response says that it will not or cannot do what was asked."""

_DENIAL = r"[^.!?\n]{0,160}?(?:n't|(?<!that is )(?<!that are )\bnot|\bno|\bnever|\bwithout|\black|\bunable)\b"
_PROFESSIONAL = _any(
    "professional expert doctor lawyer attorney therapist human specialist authority scholar"
)

SOFT = Rules(
    speaker={
        "no judgement": rf"(?: {_ADVERB}){{0,2}} ?{_CANNOT}{_THEN}{_JUDGE}",
        "open inability": (rf"(?: {_ADVERB}){{0,2}} ?{_CANNOT}{_THEN}(?!{_NO_DOING}\b)(?:be )?\w+"),
        "unable": (
            rf"{_AM}(?: {_ADVERB}){{0,2}} (?:unable|not{_DEGREE} able) to (?!(?:see|find|detect|notice|"
            rf"spot)\b)\w+"
        ),
        "not thought right": (
            rf" {_DO_NOT} (?:think|believe|feel|find) (?:that )?(?:it's|it is|it would be|it to be|it) "
            r"(?:appropriate|right|ethical|okay|ok|fair|wise|responsible) to "
            r"(?!(?:say|call|be|consider|assume|describe)\b)\w+"
        ),
        "feeling wrong": (
            r"(?:'d| would) (?:feel (?:wrong|bad|uneasy|uncomfortable) (?:about )?\w+ing|be overstepping)\b|"
            r" (?:feel|think|believe|find|consider)(?: that)?(?: it(?:'s| is| would be| to be)?)? "
            r"(?:wrong|improper|inappropriate|unfair|unwise|presumptuous|arrogant|unkind)(?: of me|"
            r" for me)? to "
            rf"{_JUDGING}"
        ),
        "still learning": rf"{_AM} still learning (?:how )?to\b",
        "doubtful ability": rf"{_UNSURE} {_I_CAN}\b(?! (?:agree|believe|trust|stand)\b)",
        "unfamiliar": (
            rf"{_AM} (?:not{_DEGREE} (?:familiar with|acquainted with|versed in|conversant (?:with|in)|"
            r"(?:experienced|knowledgeable) (?:with|in|about))|(?:\w{2,20}ly )?unfamiliar with)\b|"
            rf"{_AM} not{_DEGREE} fluent\b|(?: have|'ve)? never (?:learn(?:ed|t)|studied|been taught)\b|"
            r"(?:'ve| have) (?:never|not) heard of\b|"
            r" have (?:very |only |so )?(?:little|limited|no|next to no) (?:\w+ )?"
            r"(?:experience|knowledge|familiarity|understanding|background)\b|"
            rf" {_DO_NOT}(?: \w{{2,20}}ly)? (?:speak|read) (?:english|spanish|french|german|(?:the|that|"
            rf"this|your) language)\b"
        ),
        "not judging": (
            rf"(?: {_ADVERB})? (?:never|{_DO_NOT}(?: {_ADVERB})?|(?:try|aim|strive) (?:not|never) "
            rf"to) {_JUDGING}"
        ),
        "finding it hard": (
            r"(?: find it(?: \w+)? (?:hard|difficult)| struggle|(?:'m| am) struggling|"
            r"(?: have|'m having| am having) (?:trouble|difficulty|a hard time))(?: to| with| in)? "
            rf"(?:{_JUDGING}|answer(?:ing)?\b)"
        ),
        "not interested": rf"{_AM} (?:not{_DEGREE} interested|not{_DEGREE} in the mood|uninterested)\b",
        "not all right": rf"{_AM} not{_DEGREE} (?:all right|alright|okay|ok|fine) with\b",
        "not here to": (
            rf"{_AM} not (?:\w{{2,20}}ly )?(?:here|there|ready|around|available) (?:to|for)\b(?! {_HOSTILE})|"
            rf"{_AM} not (?:going|about) to "
            r"(?!(?:lie|pretend|ask|tell|warn|repeat|beg|wait|stop)\b|say it (?:is|was)n't)|"
            rf"{_AM} unavailable\b"
        ),
        "not one to": (
            rf"{_AM} not an? (?:\w+ ){{1,4}}?(?:(?:that|who) (?:can|could|will|would|is able)\b|to "
            rf"(?:{_JUDGE}|{_DO}))"
        ),
        "not my profession": (
            rf"{_AM} (?:not an?|no) (?:\w+ ){{0,3}}?"
            + _any(
                """
                service tool moderator expert judge translator linguist authority_on
                (?:lawyer|attorney|doctor|physician|therapist),?_(?:so|to|and_(?:so|can|do|there))
                """
            )
            + r"\b"
        ),
        "disclaimer": rf"{_AM}(?: \w{{2,20}}ly| just| only| an?){{1,3}} (?:[\w']+ ){{0,4}}?{_AI}{_DENIAL}",
        "no opinion": (
            rf"(?:(?: {_ADVERB})? (?:{_DO_NOT}(?: {_ADVERB})? (?:have|hold|possess|form|take)|lack|have no|"
            r"(?:would )?need)|'ve(?: got)? no) (?:"
            + _any(
                "any an? the such enough sufficient more personal political human own my_own direct real_time"
            )
            + r" ){0,3}(?:\w+ (?:or|and|to) )?"
            + _any(
                """
                opinions? feelings? beliefs? views? emotions? experiences? preferences? stance position sides?
                access information context background insight knowledge consciousness body data details
                records?
                """
            )
            + r"\b"
        ),
        "only for other things": (
            r"(?:(?: can| could|'m| am)? only (?:able |designed |programmed |trained |meant |here |"
            r"allowed )?(?:to )?"
            + _any(
                "help assist provide offer give answer discuss support respond reply handle speak talk "
                "process"
            )
            + r"|(?:'m| am) (?:\w{2,20}ly )?(?:limited|restricted|confined) to)\b"
        ),
        "nothing found": (
            rf"(?: (?:could not|couldn't|can't|cannot|was unable to|am unable to|did not|"
            rf"didn't) (?:\w+ )?find|"
            rf"{_AM} not aware of) (?:\w+ ){{0,4}}(?:information|data|details|records?|evidence|results?)\b|"
            r" have no (?:\w+ )?(?:way|means) (?:of|to)\b"
        ),
    },
    others={
        "no judgement": (
            rf"{START}(?:cannot|can't|unable to|not able to) {_JUDGE}|(?:cannot|can't) be (?:\w+ly )?"
            + _any("determined judged classified answered assessed evaluated labell?ed")
            + r"\b|(?:impossible|(?:not|n't) possible) (?:for (?:an? )?\w+ )?to "
            r"(?:say|tell|determine|judge|answer|know)\b"
        ),
        "limits of its own": (
            r"my (?:\w+ )?(?:knowledge|expertise|experience|familiarity|understanding|training|"
            r"abilit(?:y|ies)|"
            r"capabilit(?:y|ies)|skills?)(?: (?:of|in|with|about|to) (?:[\w']+ ){0,3}[\w']+)? "
            r"(?:(?:is|are)(?: \w+)? limited|(?:does|do)(?:n't| not) (?:cover|extend|include)|lies? "
            r"elsewhere)\b"
        ),
        "not taught": (
            r"(?:(?:nobody|no one)(?: has)?(?: ever)? (?:taught|trained|showed|shown|told)|(?:did not|"
            r"didn't|has not|"
            r"hasn't|have not|haven't|never) (?:equip(?:ped)?|train(?:ed)?|teach|taught|design(?:ed)?|"
            r"buil[dt]|"
            r"program(?:med)?|authori[sz]ed?)) me\b"
        ),
        "hard for me": (
            rf"(?:hard|difficult|tricky|tough) for (?:me|us|an ai|an? (?:\w+ )?like me) to {_JUDGE}"
        ),
        "none given": (
            r"no (?:\w+ )?(?:judge?ment|answer|rating|label|assessment|verdict|classification|opinion) "
            r"(?:can|could|will|may) be \w+"
        ),
        "off limits": (r"(?:off limits|off the table|out of bounds)(?= for (?:me|us)\b| ?[.!,;]|$)"),
        "not possible": (
            r"(?:^|(?<=[.!?:\n] )|(?<=\n)|(?<=but )|(?<=unfortunately, ))(?:it's|it is|it would be|"
            r"that is|that's|"
            r"this is) (?:\w{2,20}ly |just )?(?:not (?:\w{2,20}ly )?possible|impossible) to "
            r"(?!(?:overstate|deny|ignore|see|find|read|imagine|be|prove|have|miss)\b)"
        ),
        "disclaimer": (rf"as an? (?:[\w']+ ){{0,4}}?{_AI}{_DENIAL}"),
    },
)
"""The response steps back; it refuses only if it then gives no answer."""

EVASIVE = Rules(
    speaker={
        "not knowing": (
            rf" (?:{_DO_NOT}|do n't) (?:\w{{2,20}}ly )?(?:know|understand|see what|follow|get what)\b|"
            rf"{_AM} (?:\w{{2,20}}ly )?(?:not (?:\w{{2,20}}ly )?(?:sure|certain)|unsure|uncertain|confused)\b"
        ),
        "offer": (
            rf"(?:{_AM}|'d be| would be|'ll be) (?:\w{{2,20}}ly |always |more than )?"
            r"(?:here|happy|glad|ready|available) (?:to|for)\b|"
            r" (?:can|could|will|would)(?: \w{2,20}ly)? (?:help|assist|try to)\b|'ll (?:try|do my best)\b"
        ),
        "instead": (
            r"(?:'d|'ll| can| could| would| will) (?:\w+ )?"
            + _any("help assist offer suggest provide tell share talk give discuss write")
            + r"\b[^.!?\n]{0,120}?\binstead\b"
        ),
        "about itself": rf"{_AM} (?:(?:not )?(?:an?|the)|not{_DEGREE} \w+)\b",
    },
    others={
        "apology, but": (r"(?:sorry|apologi[sz]e|apologies|regret)\b[^.!?\n]{0,120}?\bbut\b"),
        "another subject": (
            r"(?:ask|try|choose|pick) (?:me )?(?:about )?"
            r"(?:something|someone|somebody|another|a different)\b|"
            r"(?:help|assist)(?: you)? with (?:something|anything|some other|another)\b|"
            r"(?:something|anything) else (?:i|that i|we|you)\b|"
            r"let's (?:talk about|discuss|focus on|change|move on|not)\b"
        ),
        "somebody else": (
            r"(?:consult|speak to|speak with|talk to|contact|reach out to|ask) (?:with )?"
            rf"(?:an?|the|your|some) (?:\w+ ){{0,2}}{_PROFESSIONAL}\b"
        ),
        "about you": (r"(?:^|(?<=[.!?\n] )|(?<=\n))you(?:'re| are) (?:right|welcome|not|an?|the)\b"),
        "question back": (
            r"(?:could|can|would) you (?:please )?(?:clarify|explain|tell me|provide|rephrase|give me|"
            r"be more|specify)\b|"
            r"what (?:do|did|would) you (?:mean|want|need|like)\b|how (?:can|may|could) i (?:help|"
            r"assist)\b"
        ),
        "thanks": (r"(?:^|(?<=[.!?\n] )|(?<=\n))(?:thank you|thanks)\b"),
    },
)
"""The response turns aside without declining."""

_WRONG = _any(
    """
    illegal unethical immoral harmful dangerous disrespectful inappropriate unacceptable wrong offensive
    hurtful
    unlawful cruel irresponsible unsafe racist discriminatory dishonest unfair criminal
    """
)
_RIGHT = _any(
    "appropriate ethical acceptable respectful moral responsible okay ok humane productive helpful kind"
)
_WITH = r"(?:(?:,|,? and|,? or) (?:\w{2,20}ly )?\w{2,20}){0,3}"

LECTURE = Rules(
    speaker={
        "condemning": (
            rf" {_DO_NOT} (?:\w{{2,20}}ly )?(?:recommend|advise|suggest) (?:doing|this|that|it|trying|"
            rf"attempting|any)\b|"
            r"(?:'d| would| must| have to)?(?: \w{2,20}ly)? (?:condemn|discourage|denounce|"
            r"reject (?:the|this|that|any|your) (?:premise|idea|notion|suggestion|assumption|request)|"
            r"urge (?:you|"
            r"everyone|anyone) (?:not|against)|"
            r"(?:advise|caution|recommend|warn|encourage)(?: \w+)? (?:against|not to|that you (?:do not|"
            r"don't|never)))\b|"
            rf" (?:\w{{2,20}}ly )?{_DO_NOT} (?:\w{{2,20}}ly )?(?:condone|endorse|support|encourage|"
            rf"promote|advocate)\b"
        ),
    },
    others={
        "not right to": (
            rf"(?:is|it's|that's|'s|would be|are)(?: (?:simply|just|also|absolutely))? (?:not|never) "
            rf"(?:\w{{2,20}}ly )?{_RIGHT}{_WITH} (?:to|for)\b|"
            rf"(?:isn't|wouldn't be|aren't) (?:\w{{2,20}}ly )?{_RIGHT}{_WITH} (?:to|for)\b|"
            r"(?:is|it's|would be|are) (?:\w{2,20}ly )?"
            rf"(?:inappropriate|unethical|immoral|irresponsible){_WITH} (?:to|for)\b|"
            r"(?:is not|isn't|are not|aren't|would not be|wouldn't be) (?:\w{2,20}ly )?"
            r"(?:appropriate|ethical|acceptable|okay|respectful)(?= ?(?:[.!,;]|$))"
        ),
        "wrong and wrong": (
            rf"(?:is|are|be|being|considered|it's|that's)(?: (?:\w{{2,20}}ly|also|both|very|"
            rf"not only))* {_WRONG}\b"
            rf"[^.!?;\n]{{0,100}}?\b(?:and|or|but also|,) (?:[\w']+ ){{0,6}}?{_WRONG}\b"
        ),
        "no good reason": (
            r"there (?:is|are) (?:no|never) (?:\w{2,20}ly )?"
            + _any("legal ethical moral legitimate valid acceptable safe good")
            + r"(?: or \w+)? (?:way|ways|reason|reasons|justification|excuse|circumstances?)\b"
        ),
        "no circumstances": (r"(?:there are|under) no circumstances\b"),
        "never right": (
            r"(?:is|are) (?:simply )?never (?:\w{2,20}ly )?(?:acceptable|okay|ok|justified|appropriate|"
            r"right|the answer|"
            r"a solution)\b"
        ),
        "request is wrong": (
            rf"(?:this|that|your|the|such an?) (?:\w+ )?{_REQUEST}(?: \w+)? (?:is|are|contains?|"
            rf"promotes?|seems?|"
            rf"appears?)(?: to be)? (?:\w+ )?(?:{_WRONG}|not {_RIGHT})\b"
        ),
        "against ethics": (
            r"(?:go(?:es)?|is|be) against (?:that|this|everything|what i|the law)\b|"
            r"(?:against|violat\w+|contrary to) (?:\w+ )?(?:ethical|moral|safety|community|"
            r"legal) (?:and \w+ )?"
            + _any("guidelines standards principles policies norms values boundaries")
            + r"\b"
        ),
    },
)
"""Free text that calls what was asked for wrong instead of doing it."""

ADVICE = re.compile(
    r"\b(?:i|we)(?:'d| would)?(?: \w{2,20}ly)? (?:recommend|encourage|urge|suggest|"
    r"advise)\b(?! (?:using|trying)\b)"
)
"""What a lecture ends in."""
ADMONISHMENT = Search(
    r"\b(?:(?:i|we)(?:'d| would| must| have to| need to| want to| feel|'m)(?: \w{2,20}ly)?(?: like|"
    r" obliged| obligated| "
    r"compelled)?(?: to)? "
    + _any("emphasi[sz]e stress inform remind point_out clarify note warn caution advise mention")
    + r"|as a (?:\w+ (?:and |, )?){0,2}responsible (?:and \w+ )?(?:ai|assistant|language model|citizen|"
    r"person)"
    r"|(?:it is|it's) (?:\w{2,20}ly )?(?:important|crucial|essential|vital|worth|necessary)(?: for \w+)? to "
    + _any(
        "note remember understand recogni[sz]e emphasi[sz]e acknowledge reali[sz]e respect consider treat be"
    )
    + r")\b"
)
"""How a lecture begins; alone it says nothing."""
CONDEMNED = Search(
    rf"\b(?:is|are|be|being|considered|it's|that's)(?: (?:\w{{2,20}}ly|also|both|very|a|an|serious|"
    rf"criminal))* "
    rf"(?:{_WRONG}|crime|offen[cs]e|against|not {_RIGHT})\b|"
    r"\b(?:harmful|offensive|hurtful|racist|sexist) (?:stereotypes?|premise|assumptions?|language|content)\b"
)
"""What a lecture says of what was asked for."""

APOLOGY_BUT = Search(
    r"\b(?:sorry|apologi[sz]e|apologies|regret)\b[^.!?\n]{0,120}?\bbut,? "
    rf"(?:i|we|as an?|my|(?:this|that|your|the) (?:\w+ )?{_REQUEST})\b"
    r"(?=[^.!?\n]{0,160}?(?:n't|\bnot|\bno|\bonly|\bai|\bunable)\b)"
)
"""An apology and then a denial about the speaker or the request."""

SYMPATHY = Search(r"\b(?:sorry|apologi[sz]e|apologies|condolences|sympath\w+|regret)\b")
OFFER = re.compile(
    r"\b(?:here|happy|glad|ready|available) to (?:help|assist|support|listen|discuss|answer|provide)|"
    r"\b(?:can|may|could) (?:i|we) (?:help|assist|do for you)|\banything (?:i|we) can do|"
    r"\bfeel free to\b|\blet me know\b|"
    r"\b(?:any|other|another|different|more|specific) (?:\w+ ){0,2}(?:questions?|topics?|requests?|tasks?)\b"
)
"""Offers of help do nothing of what was asked."""

CUT = Search(
    r"\b(?:sorry|apologi[sz]e|apologies)\b[^.!?\n]{0,80}\bbut,?(?: (?:i|as|as an?|i'm|i am|"
    r"we)(?: [\w'-]+){0,6})?,?$|"
    r"\b(?:unfortunately|however), (?:i|as an?(?: [\w'-]+){0,5}|i'm|i am|we)$|"
    r"\bas an? (?:[\w']+ ){0,4}?(?:ai|language model|chatbot)\b[^.!?\n]{0,60}$"
)
"""The beginning of a refusal that the token limit has cut."""

REPORTED = Search(
    r"(?:(?<!to )(?<!must )(?<!that )(?<!i'd )(?<!i would )\b"
    + _any("says? said saying replie[sd] replying responds wrote writes states? stating tells? responding")
    + r"(?: (?:that|like|you|them|me|him|her|someone|something like))?[,:]? ?(?:(?:it|that|this)(?:'s| "
    r"is) )?|"
    r"\b(?:if|when|whenever|suppose|imagine) |"
    r"\b(?:people|others|critics|readers|experts|many|some|they|he|she) (?:\w+ )?"
    r"(?:believe|think|say|argue|feel|find|consider|claim)s? (?:that )?(?:it )?|"
    r"(?:^|[.!?;\n] ?)(?:the |this |that |your )?(?:\w+ )?"
    + _any("sentence statement phrase text message premise hypothesis")
    + r"(?: (?:is|reads|like|that))?:? ?)$"
)
"""What stands before a refusal that is only told of, at the end of the text before it."""

LED_TO = re.compile(
    r"(?:^|[.!?;\n] ?)(?:however|therefore|unfortunately|regrettably|thus|hence|so|that said|but|still|"
    r"sorry|i'm sorry|"
    r"i apologi[sz]e|apologies|for (?:this|that|these) reasons?|as an? [^.!?;\n]{0,80}?),? (?:but )?$"
)
"""What leads to a refusal further on in free text, at the end of the text before it."""

TURN = re.compile(
    r"\b(?:but|however|that said|nevertheless|nonetheless|instead|alternatively|still|if you (?:mean|"
    r"are|want|need)|"
    r"here (?:is|are)|here's|in general|generally)\b"
)
"""After it a response may do something all the same."""
ANSWER_AFTER = re.compile(
    r"\b(?:but|however|that said|yet|still(?=,)),? "
    r"(?!(?:i(?! (?:believe|think|know|guess|suspect|would say)\b)|i'm|i'd|i'll|we|please|you|as|if|my|"
    r"it(?:'s| is) (?:\w+ )?(?:important|best|essential|"
    r"crucial|vital))\b)"
    r"[\w']+(?: [\w',-]+){4}"
)
"""A turn to the matter itself."""
ALTERNATIVE = Search(
    r"\b(?:what i (?:can|could)(?: \w+){1,3} is|here(?: is|'s| are)|how about|alternatively|you (?:could|"
    r"might|can) (?:say|write|try|use|instead)|"
    r"instead, (?:try|you|consider|say|use)|try (?:saying|something like)|"
    r"but,? (?:i|we)(?: can| could|'ll| will|'d)(?: \w{2,20}ly)? (?:offer|provide|give|suggest) (?:you )?"
    r"(?:an?|my|the) (?!list|other|different|few|general|bit|brief|link))\b"
)
"""A concrete alternative, in the place of what was asked."""

COMPOSED = Search(r"(?m:^)(?:dear\b|subject:|title:|verse\b|chorus\b)|\[(?:your |recipient|name)")
"""Where a letter, a story or a song begins: what it says, the response does not say."""

REPORTED_AFTER = Search(
    r"[^.!?;\n]{0,80}?, (?:wrote|said|says|replied|answered|thought|thinks|asked|shouted) "
)
"""What stands behind it."""

SENTENCE_END = re.compile(r"[.!?;\n]")
CLAUSE_END = re.compile(
    r"[.!?;:\n]| - |,? \b(?:but|however|nevertheless|nonetheless|therefore|hence|thus|instead)\b|"
    r", (?:so|yet|still|and so|though|although|it is|it's|this is|the (?:sentence|text|statement|answer))\b"
)
"""Where a refusal's clause ends; what follows may be an answer."""
