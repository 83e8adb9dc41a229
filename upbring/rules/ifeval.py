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
from upbring.rules.lengths import split_sentences

Details = Mapping[str, Any]
Rule = Callable[[str, Details], bool | None]

_TOKEN = re.compile(r"\w+")
_CAPITALIZABLE_WORD = re.compile(r"[^\W_]+(?:[-.'’&][^\W_]+)*")
_WORD_END_CHARACTERS = ".,?!'\""
_CONSTRAINED_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_POSTSCRIPT_PATTERNS = {
    "P.P.S": re.compile(r"\s*p\.\s?p\.\s?s.*$", re.MULTILINE),
    "P.S.": re.compile(r"\s*p\.\s?s\..*$", re.MULTILINE),
}


def has_no_comma(text: str, _: Details) -> bool:
    """Tell whether there is no comma."""
    return "," not in text


def has_keywords(text: str, details: Details) -> bool:
    """Tell whether every keyword occurs."""
    return all(_count_keyword(keyword, text) for keyword in details["keywords"])


def has_no_forbidden_words(text: str, details: Details) -> bool:
    """Tell whether none of the words occurs."""
    words = details["forbidden_words"]
    return not any(re.search(rf"\b{re.escape(w)}\b", text, re.IGNORECASE) for w in words)


def has_keyword_frequency(text: str, details: Details) -> bool:
    """Tell whether a keyword occurs as often as asked."""
    return _satisfies_relation(
        _count_keyword(details["keyword"], text), details["relation"], details["frequency"]
    )


def has_letter_frequency(text: str, details: Details) -> bool:
    """Tell whether a letter occurs as often as asked."""
    count = text.lower().count(details["letter"].lower())
    return _satisfies_relation(count, details["let_relation"], details["let_frequency"])


def is_in_requested_language(text: str, details: Details) -> bool | None:
    """Tell whether the answer is in the language asked for."""
    return is_in_language(text, details["language"])


def has_num_sentences(text: str, details: Details) -> bool:
    """Tell whether there are as many sentences as asked."""
    return _satisfies_relation(
        len(split_sentences(text)), details["relation"], details["num_sentences"]
    )


def has_num_words(text: str, details: Details) -> bool:
    """Tell whether there are as many words as asked."""
    return _satisfies_relation(len(_TOKEN.findall(text)), details["relation"], details["num_words"])


def has_num_paragraphs(text: str, details: Details) -> bool:
    """Tell whether there are as many paragraphs, divided by ***, as asked."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    inner_parts = [part for index, part in enumerate(parts) if 0 < index < len(parts) - 1]
    if not all(part.strip() for part in inner_parts):
        return False
    return len([part for part in parts if part.strip()]) == int(details["num_paragraphs"])


def has_nth_paragraph_word(text: str, details: Details) -> bool:
    """Tell whether there are as many paragraphs as asked, and the nth begins with a word."""
    parts = text.split("\n\n")
    count, number = sum(bool(part.strip()) for part in parts), details["nth_paragraph"]
    if count != details["num_paragraphs"] or number > count or not parts[number - 1].strip():
        return False
    word = parts[number - 1].split()[0].lstrip("'").lstrip('"')
    end = next((i for i, letter in enumerate(word) if letter in _WORD_END_CHARACTERS), len(word))
    return bool(word[:end].lower() == details["first_word"].lower())


def has_placeholders(text: str, details: Details) -> bool:
    """Tell whether there are as many [placeholders] as asked, or more."""
    return len(re.findall(r"\[.*?\]", text)) >= int(details["num_placeholders"])


def has_postscript(text: str, details: Details) -> bool:
    """Tell whether there is a postscript with the marker asked for."""
    marker = details["postscript_marker"]
    pattern = _POSTSCRIPT_PATTERNS.get(marker)
    if pattern is None:
        pattern = re.compile(rf"\s*{re.escape(marker.lower())}.*$", re.MULTILINE)
    return pattern.search(text.lower()) is not None


def has_num_bullets(text: str, details: Details) -> bool:
    """Tell whether there are exactly as many markdown bullets as asked."""
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == int(details["num_bullets"])


def is_constrained_answer(text: str, _: Details) -> bool:
    """Tell whether one of the three answers that were offered is given."""
    return any(answer in text.strip() for answer in _CONSTRAINED_ANSWERS)


def has_highlights(text: str, details: Details) -> bool:
    """Tell whether there are as many *highlighted* parts as asked, or more."""
    single = [h for h in re.findall(r"\*[^\n\*]*\*", text) if h.strip("*").strip()]
    double = re.findall(r"\*\*[^\n\*]*\*\*", text)
    double = [h for h in double if h.removeprefix("**").removesuffix("**").strip()]
    return len(single) + len(double) >= int(details["num_highlights"])


def has_sections(text: str, details: Details) -> bool:
    """Tell whether there are as many numbered sections as asked, or more."""
    splitter = details["section_spliter"]
    markers = re.findall(rf"\s?{re.escape(splitter)}\s?\d+\s?", text)
    return len(markers) >= int(details["num_sections"])


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


def has_title(text: str, _: Details) -> bool:
    """Tell whether there is a <<title>>."""
    titles = re.findall(r"<<[^\n]+>>", text)
    return any(each.lstrip("<").rstrip(">").strip() for each in titles)


def has_two_responses(text: str, _: Details) -> bool:
    """Tell whether there are two different answers, divided by six asterisks."""
    parts = text.split("******")
    if not all(part.strip() for part in parts[1:-1]):
        return False
    responses = [part.strip() for part in parts if part.strip()]
    return len(responses) == 2 and responses[0] != responses[1]  # noqa: PLR2004 -- two responses


def repeats_prompt(text: str, details: Details) -> bool:
    """Tell whether the answer begins by repeating the request."""
    return text.strip().lower().startswith(details["prompt_to_repeat"].strip().lower())


def ends_with_phrase(text: str, details: Details) -> bool:
    """Tell whether the answer ends with a phrase."""
    return text.strip().strip('"').lower().endswith(str(details["end_phrase"]).strip().lower())


def has_num_capital_words(text: str, details: Details) -> bool:
    """Tell whether as many words as asked are all in capitals."""
    count = sum(word.isupper() for word in _CAPITALIZABLE_WORD.findall(text))
    return _satisfies_relation(count, details["capital_relation"], details["capital_frequency"])


def is_english_capitals(text: str, _: Details) -> bool:
    """Tell whether the answer is English, all in capitals."""
    return text.isupper() and bool(is_in_language(text, "en"))


def is_english_lowercase(text: str, _: Details) -> bool:
    """Tell whether the answer is English, without a capital."""
    return text.islower() and bool(is_in_language(text, "en"))


def is_quoted(text: str, _: Details) -> bool:
    """Tell whether the whole answer stands in double quotation marks."""
    bare = text.strip()
    return len(bare) > 1 and bare[0] == bare[-1] == '"'


RULES: Mapping[str, Rule] = {
    "keywords:existence": has_keywords,
    "keywords:frequency": has_keyword_frequency,
    "keywords:forbidden_words": has_no_forbidden_words,
    "keywords:letter_frequency": has_letter_frequency,
    "language:response_language": is_in_requested_language,
    "length_constraints:number_sentences": has_num_sentences,
    "length_constraints:number_paragraphs": has_num_paragraphs,
    "length_constraints:number_words": has_num_words,
    "length_constraints:nth_paragraph_first_word": has_nth_paragraph_word,
    "detectable_content:number_placeholders": has_placeholders,
    "detectable_content:postscript": has_postscript,
    "detectable_format:number_bullet_lists": has_num_bullets,
    "detectable_format:constrained_response": is_constrained_answer,
    "detectable_format:number_highlighted_sections": has_highlights,
    "detectable_format:multiple_sections": has_sections,
    "detectable_format:json_format": is_bare_json,
    "detectable_format:title": has_title,
    "combination:two_responses": has_two_responses,
    "combination:repeat_prompt": repeats_prompt,
    "startend:end_checker": ends_with_phrase,
    "startend:quotation": is_quoted,
    "change_case:capital_word_frequency": has_num_capital_words,
    "change_case:english_capital": is_english_capitals,
    "change_case:english_lowercase": is_english_lowercase,
    "punctuation:no_comma": has_no_comma,
}
# What an instruction's details must hold, and what each of them is.
DETAIL_TYPES: Mapping[str, Mapping[str, type]] = {
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


def _count_keyword(keyword: str, text: str) -> int:
    """Return how often a keyword occurs, in whatever case."""
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE))


def _satisfies_relation(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == RELATIONS[0] else count >= limit
