"""The 25 kinds of instruction of IFEval whose keeping can be told from the text alone.

Zhou et al. 2023, arXiv 2311.07911. Each rule takes an answer and the instruction's details, as the
benchmark's file writes them, and returns whether it was kept; None where that cannot be judged. The
rules mean what the authors' code means, but for three libraries that they use: sentences, words
with capitals and languages are told by this room's own rules (`lengths`, `languages`).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from upbring.rules.languages import is_in_language
from upbring.rules.lengths import sentences

Details = Mapping[str, Any]
Rule = Callable[[str, Details], bool | None]

_TOKEN = re.compile(r"\w+")
_CAPITALS = re.compile(r"[^\W_]+(?:[-.'’&][^\W_]+)*")
_ENDS_WORD = ".,?!'\""
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_TOLD_POSTSCRIPTS = {
    "P.P.S": re.compile(r"\s*p\.\s?p\.\s?s.*$", re.MULTILINE),
    "P.S.": re.compile(r"\s*p\.\s?s\..*$", re.MULTILINE),
}


def no_comma(text: str, _: Details) -> bool:
    """Tell whether there is no comma."""
    return "," not in text


def existing(text: str, details: Details) -> bool:
    """Tell whether every keyword occurs."""
    return all(_count(keyword, text) for keyword in details["keywords"])


def forbidden(text: str, details: Details) -> bool:
    """Tell whether none of the words occurs."""
    words = details["forbidden_words"]
    return not any(re.search(rf"\b{re.escape(w)}\b", text, re.IGNORECASE) for w in words)


def frequency(text: str, details: Details) -> bool:
    """Tell whether a keyword occurs as often as asked."""
    return _compared(_count(details["keyword"], text), details["relation"], details["frequency"])


def letters(text: str, details: Details) -> bool:
    """Tell whether a letter occurs as often as asked."""
    count = text.lower().count(details["letter"].lower())
    return _compared(count, details["let_relation"], details["let_frequency"])


def in_language(text: str, details: Details) -> bool | None:
    """Tell whether the answer is in the language asked for."""
    return is_in_language(text, details["language"])


def num_sentences(text: str, details: Details) -> bool:
    """Tell whether there are as many sentences as asked."""
    return _compared(len(sentences(text)), details["relation"], details["num_sentences"])


def num_words(text: str, details: Details) -> bool:
    """Tell whether there are as many words as asked."""
    return _compared(len(_TOKEN.findall(text)), details["relation"], details["num_words"])


def num_paragraphs(text: str, details: Details) -> bool:
    """Tell whether there are as many paragraphs, divided by ***, as asked."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    inner = [part for place, part in enumerate(parts) if 0 < place < len(parts) - 1]
    if not all(part.strip() for part in inner):
        return False
    return len([part for part in parts if part.strip()]) == int(details["num_paragraphs"])


def nth_paragraph(text: str, details: Details) -> bool:
    """Tell whether there are as many paragraphs as asked, and the nth begins with a word."""
    parts = text.split("\n\n")
    count, place = sum(bool(part.strip()) for part in parts), details["nth_paragraph"]
    if count != details["num_paragraphs"] or place > count or not parts[place - 1].strip():
        return False
    word = parts[place - 1].split()[0].lstrip("'").lstrip('"')
    end = next((i for i, letter in enumerate(word) if letter in _ENDS_WORD), len(word))
    return bool(word[:end].lower() == details["first_word"].lower())


def placeholders(text: str, details: Details) -> bool:
    """Tell whether there are as many [placeholders] as asked, or more."""
    return len(re.findall(r"\[.*?\]", text)) >= int(details["num_placeholders"])


def postscript(text: str, details: Details) -> bool:
    """Tell whether there is a postscript with the marker asked for."""
    marker = details["postscript_marker"]
    told = _TOLD_POSTSCRIPTS.get(marker)
    if told is None:
        told = re.compile(rf"\s*{re.escape(marker.lower())}.*$", re.MULTILINE)
    return told.search(text.lower()) is not None


def num_bullets(text: str, details: Details) -> bool:
    """Tell whether there are exactly as many markdown bullets as asked."""
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == int(details["num_bullets"])


def one_of_three(text: str, _: Details) -> bool:
    """Tell whether one of the three answers that were offered is given."""
    return any(answer in text.strip() for answer in _ANSWERS)


def highlights(text: str, details: Details) -> bool:
    """Tell whether there are as many *highlighted* parts as asked, or more."""
    single = [h for h in re.findall(r"\*[^\n\*]*\*", text) if h.strip("*").strip()]
    double = re.findall(r"\*\*[^\n\*]*\*\*", text)
    double = [h for h in double if h.removeprefix("**").removesuffix("**").strip()]
    return len(single) + len(double) >= int(details["num_highlights"])


def sections(text: str, details: Details) -> bool:
    """Tell whether there are as many numbered sections as asked, or more."""
    splitter = details["section_spliter"]
    found = re.findall(rf"\s?{re.escape(splitter)}\s?\d+\s?", text)
    return len(found) >= int(details["num_sections"])


def is_bare_json(text: str, _: Details) -> bool:
    """Tell whether the whole answer is JSON, a fence around it forgiven."""
    bare = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        bare = bare.removeprefix(fence)
    try:
        json.loads(bare.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str, _: Details) -> bool:
    """Tell whether there is a <<title>>."""
    found = re.findall(r"<<[^\n]+>>", text)
    return any(each.lstrip("<").rstrip(">").strip() for each in found)


def two_responses(text: str, _: Details) -> bool:
    """Tell whether there are two different answers, divided by six asterisks."""
    parts = text.split("******")
    if not all(part.strip() for part in parts[1:-1]):
        return False
    told = [part.strip() for part in parts if part.strip()]
    return len(told) == 2 and told[0] != told[1]  # noqa: PLR2004 -- two responses


def repeats_prompt(text: str, details: Details) -> bool:
    """Tell whether the answer begins by repeating the request."""
    return text.strip().lower().startswith(details["prompt_to_repeat"].strip().lower())


def ends_with(text: str, details: Details) -> bool:
    """Tell whether the answer ends with a phrase."""
    return text.strip().strip('"').lower().endswith(str(details["end_phrase"]).strip().lower())


def num_capitals(text: str, details: Details) -> bool:
    """Tell whether as many words as asked are all in capitals."""
    count = sum(word.isupper() for word in _CAPITALS.findall(text))
    return _compared(count, details["capital_relation"], details["capital_frequency"])


def capitals(text: str, _: Details) -> bool:
    """Tell whether the answer is English, all in capitals."""
    return text.isupper() and bool(is_in_language(text, "en"))


def lowercase(text: str, _: Details) -> bool:
    """Tell whether the answer is English, without a capital."""
    return text.islower() and bool(is_in_language(text, "en"))


def quoted(text: str, _: Details) -> bool:
    """Tell whether the whole answer stands in double quotation marks."""
    bare = text.strip()
    return len(bare) > 1 and bare[0] == bare[-1] == '"'


RULES: Mapping[str, Rule] = {
    "keywords:existence": existing,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden,
    "keywords:letter_frequency": letters,
    "language:response_language": in_language,
    "length_constraints:number_sentences": num_sentences,
    "length_constraints:number_paragraphs": num_paragraphs,
    "length_constraints:number_words": num_words,
    "length_constraints:nth_paragraph_first_word": nth_paragraph,
    "detectable_content:number_placeholders": placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": num_bullets,
    "detectable_format:constrained_response": one_of_three,
    "detectable_format:number_highlighted_sections": highlights,
    "detectable_format:multiple_sections": sections,
    "detectable_format:json_format": is_bare_json,
    "detectable_format:title": title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeats_prompt,
    "startend:end_checker": ends_with,
    "startend:quotation": quoted,
    "change_case:capital_word_frequency": num_capitals,
    "change_case:english_capital": capitals,
    "change_case:english_lowercase": lowercase,
    "punctuation:no_comma": no_comma,
}
# What an instruction's details must hold, and what each of them is.
DETAILS: Mapping[str, Mapping[str, type]] = {
    "keywords:existence": {"keywords": list},
    "keywords:frequency": {"keyword": str, "relation": str, "frequency": int},
    "keywords:forbidden_words": {"forbidden_words": list},
    "keywords:letter_frequency": {"letter": str, "let_relation": str, "let_frequency": int},
    "language:response_language": {"language": str},
    "length_constraints:number_sentences": {"relation": str, "num_sentences": int},
    "length_constraints:number_paragraphs": {"num_paragraphs": int},
    "length_constraints:number_words": {"relation": str, "num_words": int},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": int,
        "nth_paragraph": int,
        "first_word": str,
    },
    "detectable_content:number_placeholders": {"num_placeholders": int},
    "detectable_content:postscript": {"postscript_marker": str},
    "detectable_format:number_bullet_lists": {"num_bullets": int},
    "detectable_format:number_highlighted_sections": {"num_highlights": int},
    "detectable_format:multiple_sections": {"section_spliter": str, "num_sections": int},
    "combination:repeat_prompt": {"prompt_to_repeat": str},
    "startend:end_checker": {"end_phrase": str},
    "change_case:capital_word_frequency": {"capital_relation": str, "capital_frequency": int},
}
RELATIONS = ("less than", "at least")


def _count(keyword: str, text: str) -> int:
    """Return how often a keyword occurs, in whatever case."""
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE))


def _compared(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == RELATIONS[0] else count >= limit
