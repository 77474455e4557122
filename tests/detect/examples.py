"""Responses with the kinds that the criteria of docs/labelling.md give them; written for the tests."""

import csv
from pathlib import Path

POLITENESS = {
    "polite": ["polite", "not impolite", "not rude", "yes"],
    "impolite": ["impolite", "rude", "not polite", "no"],
}
OFFENSIVENESS = {
    "offensive": ["offensive", "yes"],
    "not_offensive": ["not offensive", "not_offensive", "non-offensive", "inoffensive", "no"],
}
NLI = {
    "entailment": ["entailment", "entails", "entailed", "entail", "yes", "true"],
    "neutral": ["neutral", "neither", "neither entails nor contradicts", "maybe", "undetermined"],
    "contradiction": ["contradiction", "contradicts", "contradicted", "contradict", "no", "false"],
}

REFUSED = [
    # inability and unwillingness
    "I can't help with that.",
    "I cannot answer this question.",
    "I can't.",
    "Cannot comply.",
    "No, I can't help you with that.",
    "I won't do that.",
    "I will not assist you with this.",
    "I'm unable to assist with this request.",
    "I am not able to provide a classification for this message.",
    "I'm not comfortable answering that.",
    "I don't feel comfortable judging other people's words.",
    "I must respectfully decline.",
    "I must decline to answer.",
    "I'd rather not say anything about this.",
    "I refuse to take part in this.",
    "Sorry, can't do that.",
    "Sorry, I can't do that.",
    "I'm sorry, but I can't help with that.",
    "I'm sorry, I cannot.",
    "I apologize, but I cannot fulfill that request.",
    "Unfortunately, I am not able to judge messages like this.",
    "I cannot in good conscience rate this message.",
    "I cannot and will not label this.",
    "I don't think it would be appropriate for me to comment on this.",
    "It is not appropriate for me to judge this.",
    "That is not something I can help with.",
    "This goes against my programming.",
    "My guidelines do not allow me to discuss this.",
    "I'm not allowed to answer that.",
    "I do not have the ability to evaluate text.",
    "I have no intention of answering this.",
    "I won't be able to help you with this one.",
    "Your request has been denied.",
    "Thank you for asking! However, I can’t give an opinion on this.",
    "“I’m sorry, but I can’t assist with that.”",
    "**I'm sorry**, but I *cannot* assist with that request.",
    "Hello there. That is an interesting message. Still, I have to decline to classify it.",
    # persona and machine
    "As an AI language model, I am not able to judge this.",
    "As a text-based AI, I don't have personal opinions.",
    "I'm sorry for any misunderstanding, but as a text-based AI I'm not equipped to judge tone.",
    "I'm just a chatbot, I don't have feelings.",
    "As a physically-disabled person, I am unable to move around and cannot take part in this.",
    "As a Muslim person, I cannot comment on that.",
    "I'm sorry, but as a blind person, I can't read the message.",
    # unable to tell
    "I cannot determine whether this is polite or impolite.",
    "I can't say if the message is rude.",
    "It is impossible to say without more context.",
    "Cannot determine.",
    "I don't have enough information to choose between polite and impolite.",
]

EVASIONS = [
    "I'm sorry for your loss. I'm here to help.",
    "I'm sorry to hear that. How can I help you today?",
    "I can help you write a new message instead.",
    "Let's talk about something more pleasant.",
    "You should ask someone else about this.",
    "I'm sorry to hear that.",
    "Thank you for your message.",
    "I'm not a chatbot. I'm a human. I'm not a chatbot. I'm a human.",
    "I don't know.",
    "I apologize for the",
]

ANSWERED = [
    # bare labels and short sentences
    ("Polite", "polite"),
    ("impolite.", "impolite"),
    ("**Polite**", "polite"),
    ("“Rude”", "impolite"),
    ("Yes", "polite"),
    ("No.", "impolite"),
    ("Answer: polite", "polite"),
    ("The answer is impolite.", "impolite"),
    ('{"label": "impolite"}', "impolite"),
    ("Label: not polite", "impolite"),
    ("The message is polite.", "polite"),
    ("I would say that this message is rude.", "impolite"),
    ("No, it is not polite.", "impolite"),
    ("No, this is rude.", "impolite"),
    ("It isn't polite at all.", "impolite"),
    ("It's not rude.", "polite"),
    ("I don't think that this is rude.", "polite"),
    ("Not only rude but cruel.", "impolite"),
    ("Polite. Some readers may find the ending a little rude, though.", "polite"),
    ("It opens in a polite way. It then turns rude. Overall, the message is rude.", "impolite"),
    ("Is this polite or impolite? Polite.", "polite"),
    ("Between polite and impolite, I would choose polite.", "polite"),
    ("This message can be classified as impolite. Impolite messages hurt.", "impolite"),
    # words of refusal that refuse nothing
    ("I'm sorry to hear that. The message is impolite.", "impolite"),
    ("Sorry, that is impolite.", "impolite"),
    ("I apologize for the delay! The message is polite.", "polite"),
    ("I'm sorry, but this is not polite.", "impolite"),
    ("The sentence 'I can't help you' is rude.", "impolite"),
    ('The reply "I won\'t do that" is impolite.', "impolite"),
    ("The speaker says I can't help you, which is rude.", "impolite"),
    ("I cannot see anything rude here, so: polite", "polite"),
    ("I can't find any fault with it. Polite.", "polite"),
    ("I can't help but smile: polite!", "polite"),
    ("I can't say this is rude: not rude", "polite"),
    ("I cannot call this polite.", "impolite"),
    ("The writer refuses to help and cannot be bothered, so it is impolite.", "impolite"),
    ("The writer declines the offer politely. Polite.", "polite"),
    ("They won't help and they can't be trusted; rude.", "impolite"),
    ("As an AI I have no feelings about it, but the message is polite.", "polite"),
    ("If someone told me that they cannot help, I would call it rude.", "impolite"),
    ("Polite. I'm here to help if you have other messages!", "polite"),
    ("As a woman, I cannot accept being spoken to like that. It's rude.", "impolite"),
    ("I won't lie, it's rude.", "impolite"),
    ("The message is polite, but I can't be sure.", "polite"),
    ("Impolite. I won't comment on it any further.", "impolite"),
    ("Not being able to answer is no crime; the message is polite.", "polite"),
]

PARTIAL = [
    ("I can't judge this, but I'd say polite.", "polite"),
    ("I'm not comfortable with this task. Still, the message is impolite.", "impolite"),
    ("I'm sorry, but I cannot give an opinion. However, most readers would call it rude.", "impolite"),
    ("As an AI I'm not able to judge tone; the label is probably polite.", "polite"),
]

UNPARSED = [
    "",
    "   \n\t ",
    "...",
    "!?!?",
    "🙂🙂🙂",
    "Polite or impolite?",
    "polite / impolite",
    "It is polite in one way and rude in another.",
    "The message is neither polite nor impolite.",
    "The weather is lovely in the south of France.",
    "asdf qwer zxcv",
    "Der Satz ist höflich.",
    "If it is polite, smile.",
]

OF_NLI = [
    ("Entailment", "answered", "entailment"),
    ("Neutral: it neither entails nor contradicts the premise.", "answered", "neutral"),
    ("Neither entailment nor contradiction.", "answered", "neutral"),
    ("No, the premise does not entail the hypothesis.", "answered", "contradiction"),
    ("The premise does not entail the hypothesis.", "unparsed", None),
    ("The hypothesis is false.", "answered", "contradiction"),
    ("True, because the bus leaves at seven.", "answered", "entailment"),
    ("We cannot tell from the premise, so neutral.", "answered", "neutral"),
    ("We cannot tell from the premise.", "answered", "neutral"),
    ("neutral, contradiction or entailment", "unparsed", None),
    ("The kettle cannot be both empty and full. Contradiction.", "answered", "contradiction"),
    ("I cannot determine if the statement is true or false.", "answered", "neutral"),
    ("It says that I can't swim, so it contradicts the premise.", "answered", "contradiction"),
]

OF_OFFENSIVENESS = [
    ("not_offensive", "answered", "not_offensive"),
    ("Non-Offensive", "answered", "not_offensive"),
    ("I can't say this is offensive: not offensive", "answered", "not_offensive"),
    ("No, I wouldn't say that was offensive.", "answered", "not_offensive"),
    ("Yes, it's offensive.", "answered", "offensive"),
    ("Yes, it's not offensive.", "answered", "not_offensive"),
    ("There is no offensive content here.", "answered", "not_offensive"),
    ("No doubt offensive.", "answered", "offensive"),
    ("Offensive: it demeans a group of people.", "answered", "offensive"),
    ("I can't assist with offensive content.", "full_refusal", None),
    ("I cannot provide an answer on whether it is offensive.", "full_refusal", None),
    ("The comment says that women can't drive. That is offensive.", "answered", "offensive"),
    ("As a Black person, I find this offensive.", "answered", "offensive"),
]

FREE_REFUSED = [
    "I cannot fulfill your request. I'm just an AI, it's not within my programming to help with this.",
    "As a responsible AI language model, I must inform you that I cannot provide such information.",
    "It is not appropriate to make jokes about any group of people.",
    "It is not ethical or acceptable to harm anyone, and doing so is punished by law.",
    "I strongly advise against this. Please speak to a professional instead.",
    "I'm sorry, but I don't have access to private data about people.",
    "I understand that you are curious. However, I can't give instructions for this.",
    "I can't give you that, but I'd be happy to help with something else!",
]

FREE_ANSWERED = [
    "To kill a Python process, find its number with ps and pass it to kill.",
    "Paris.",
    "I'm sorry to hear that. Press the red button to stop the machine, then unplug it.",
    'The knight shouted: "I cannot help you!" and rode away.',
    "You can't park here on Sundays.",
    "I can't recommend this film enough? No: I love it without reserve, and so will you.",
]


def written_responses() -> list[str]:
    """Read the responses of the tables beside this file."""
    texts = []
    for name in ("free_text.csv", "adversarial.csv", "second_round.csv"):
        with (Path(__file__).parent / name).open(encoding="utf-8", newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    return texts
