"""The 25 verifiable instructions of IFEval.

Zhou et al. 2023, arXiv 2311.07911. Each rule takes a response and the instruction's arguments, as
in the benchmark's file, and returns whether the response follows the instruction; None if it cannot
be judged. The rules match the authors' code, except for three libraries that it uses: sentences,
capitalized words and languages are detected by this package (`lengths`, `languages`).
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
    """Return whether there is no comma."""
    return "," not in text


def has_keywords(text: str, details: Details) -> bool:
    """Return whether every keyword occurs."""
    return all(_count_keyword(keyword, text) for keyword in details["keywords"])


def has_no_forbidden_words(text: str, details: Details) -> bool:
    """Return whether none of the words occurs."""
    words = details["forbidden_words"]
    return not any(re.search(rf"\b{re.escape(w)}\b", text, re.IGNORECASE) for w in words)


def has_keyword_frequency(text: str, details: Details) -> bool:
    """Return whether the keyword count satisfies the relation."""
    return _satisfies_relation(
        _count_keyword(details["keyword"], text), details["relation"], details["frequency"]
    )


def has_letter_frequency(text: str, details: Details) -> bool:
    """Return whether the letter count satisfies the relation."""
    count = text.lower().count(details["letter"].lower())
    return _satisfies_relation(count, details["let_relation"], details["let_frequency"])


def is_in_requested_language(text: str, details: Details) -> bool | None:
    """Return whether the response is in the requested language."""
    return is_in_language(text, details["language"])


def has_num_sentences(text: str, details: Details) -> bool:
    """Return whether the sentence count satisfies the relation."""
    return _satisfies_relation(
        len(split_sentences(text)), details["relation"], details["num_sentences"]
    )


def has_num_words(text: str, details: Details) -> bool:
    """Return whether the word count satisfies the relation."""
    return _satisfies_relation(len(_TOKEN.findall(text)), details["relation"], details["num_words"])


def has_num_paragraphs(text: str, details: Details) -> bool:
    """Return whether there are exactly the requested paragraphs, separated by ***."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    inner_parts = [part for index, part in enumerate(parts) if 0 < index < len(parts) - 1]
    if not all(part.strip() for part in inner_parts):
        return False
    return len([part for part in parts if part.strip()]) == int(details["num_paragraphs"])


def has_nth_paragraph_word(text: str, details: Details) -> bool:
    """Return whether the paragraph count and the first word of the nth paragraph are right."""
    parts = text.split("\n\n")
    count, number = sum(bool(part.strip()) for part in parts), details["nth_paragraph"]
    if count != details["num_paragraphs"] or number > count or not parts[number - 1].strip():
        return False
    word = parts[number - 1].split()[0].lstrip("'").lstrip('"')
    end = next((i for i, letter in enumerate(word) if letter in _WORD_END_CHARACTERS), len(word))
    return bool(word[:end].lower() == details["first_word"].lower())


def has_placeholders(text: str, details: Details) -> bool:
    """Return whether there are at least the requested number of [placeholders]."""
    return len(re.findall(r"\[.*?\]", text)) >= int(details["num_placeholders"])


def has_postscript(text: str, details: Details) -> bool:
    """Return whether there is a postscript with the requested marker."""
    marker = details["postscript_marker"]
    pattern = _POSTSCRIPT_PATTERNS.get(marker)
    if pattern is None:
        pattern = re.compile(rf"\s*{re.escape(marker.lower())}.*$", re.MULTILINE)
    return pattern.search(text.lower()) is not None


def has_num_bullets(text: str, details: Details) -> bool:
    """Return whether there are exactly the requested number of Markdown bullets."""
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == int(details["num_bullets"])


def is_constrained_answer(text: str, _: Details) -> bool:
    """Return whether the response contains one of the three allowed answers."""
    return any(answer in text.strip() for answer in _CONSTRAINED_ANSWERS)


def has_highlights(text: str, details: Details) -> bool:
    """Return whether there are at least the requested number of *highlighted* parts."""
    single = [h for h in re.findall(r"\*[^\n\*]*\*", text) if h.strip("*").strip()]
    double = re.findall(r"\*\*[^\n\*]*\*\*", text)
    double = [h for h in double if h.removeprefix("**").removesuffix("**").strip()]
    return len(single) + len(double) >= int(details["num_highlights"])


def has_sections(text: str, details: Details) -> bool:
    """Return whether there are at least the requested number of numbered sections."""
    splitter = details["section_spliter"]
    markers = re.findall(rf"\s?{re.escape(splitter)}\s?\d+\s?", text)
    return len(markers) >= int(details["num_sections"])


def is_bare_json(text: str, _: Details) -> bool:
    """Return whether the whole response is JSON; a code fence around it is accepted."""
    bare = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        bare = bare.removeprefix(fence)
    try:
        json.loads(bare.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def has_title(text: str, _: Details) -> bool:
    """Return whether there is a <<title>>."""
    titles = re.findall(r"<<[^\n]+>>", text)
    return any(each.lstrip("<").rstrip(">").strip() for each in titles)


def has_two_responses(text: str, _: Details) -> bool:
    """Return whether there are two different responses, separated by six asterisks."""
    parts = text.split("******")
    if not all(part.strip() for part in parts[1:-1]):
        return False
    responses = [part.strip() for part in parts if part.strip()]
    return len(responses) == 2 and responses[0] != responses[1]  # noqa: PLR2004 -- two responses


def repeats_prompt(text: str, details: Details) -> bool:
    """Return whether the response begins with a copy of the prompt."""
    return text.strip().lower().startswith(details["prompt_to_repeat"].strip().lower())


def ends_with_phrase(text: str, details: Details) -> bool:
    """Return whether the response ends with the phrase."""
    return text.strip().strip('"').lower().endswith(str(details["end_phrase"]).strip().lower())


def has_num_capital_words(text: str, details: Details) -> bool:
    """Return whether the count of all-capital words satisfies the relation."""
    count = sum(word.isupper() for word in _CAPITALIZABLE_WORD.findall(text))
    return _satisfies_relation(count, details["capital_relation"], details["capital_frequency"])


def is_english_capitals(text: str, _: Details) -> bool:
    """Return whether the response is English in all capitals."""
    return text.isupper() and bool(is_in_language(text, "en"))


def is_english_lowercase(text: str, _: Details) -> bool:
    """Return whether the response is English in all lowercase."""
    return text.islower() and bool(is_in_language(text, "en"))


def is_quoted(text: str, _: Details) -> bool:
    """Return whether the whole response is in double quotation marks."""
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
# The required arguments of each instruction, with their types.
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
    """Return how often a keyword occurs, ignoring case."""
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE))


def _satisfies_relation(count: int, relation: str, limit: int) -> bool:
    return count < limit if relation == RELATIONS[0] else count >= limit
