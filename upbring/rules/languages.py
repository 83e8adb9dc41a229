"""Language detection from the script and the most common words of a text.

It is meant to check whether a response is in the requested language. If only one supported language
uses the script, that language is returned; otherwise the one whose common words occur most.
Limits: a short text may contain none of the common words; an unlisted language is detected as a
similar listed one (Norwegian as Swedish); a mixed text gets the language of its larger part.
Measured accuracy: 98 % of 2,866 English responses of five or more words (the errors are lists of
names), all of 300 English questions. Other languages are tested only on the first article of the
Universal Declaration of Human Rights (31 of 31) and on 44 short answers; the word lists were made
with this test data in view, so it is not held-out.
"""

import re
from collections import Counter
from collections.abc import Mapping

# Character ranges of each script; a script with a single language has the code of the language.
_SCRIPT_RANGES: Mapping[str, str] = {
    "latin": "A-Za-zÀ-ɏḀ-ỿ",
    "cyrillic": "Ѐ-ӿ",
    "arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
    "devanagari": "\u0900-\u097f",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "th": "\u0e00-\u0e7f",
    "ko": "\uac00-\ud7af\u1100-\u11ff",
    "ja": "\u3040-\u30ff",
    "zh": "\u4e00-\u9fff",
    "el": "\u0370-\u03ff",
    "he": "\u0590-\u05ff",
}
_SCRIPT_PATTERNS = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPT_RANGES.items()}
_WORD = re.compile(r"[\w\u0900-\u097f\u200c]+")

# Common words: articles, pronouns, conjunctions, forms of "to be". Words that are unique within the
# script are preferred; a shared word counts for each of its languages.
_COMMON_WORDS: Mapping[str, Mapping[str, str]] = {
    "latin": {
        "en": "the of and to in is that it for was on are with as be this by from have not or you "
        "they his her which will their would there what about can if your has do i my we an at a "
        "so no he she had but all one more who when were been its than them some other into only "
        "most made over also how may should could these those such used many any each between",
        "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem es sie ich auch "
        "als wie im aber wir bei sind oder wird werden haben zur zum einen einer kann nur noch des",
        "fr": "le la les des et est une un dans que qui pour pas vous nous sur avec ce il elle du "
        "au aux sont mais ou plus cette être avoir je leur par se ne en",
        "es": "el la los las de y que en un una es por con para no se su al lo como más pero sus "
        "del son está este esta muy también o nos yo todos",
        "it": "il lo la i gli le di e che un una è per con non si del della dei sono come più ma "
        "anche nel nella questo questa alla al da ed essere tutti sul sulla dal dalla ho ha",
        "pt": "o a os as de e que em um uma é para com não se do da dos das no na por mais como "
        "mas ao você são seu sua está também muito isso pelo pela todos ou",
        "nl": "de het een en van is dat niet op te zijn voor met die er aan maar ook als bij ik "
        "je wij worden naar heeft deze alle met hun",
        "fi": "ja on ei se että hän oli mutta ovat kun tai minä sinä joka kuin niin myös jos "
        "mitä tämä sen voi olla ole olen he kanssa hyvin kaikki jotka heitä",
        "sw": "na ya wa ni kwa la za katika kuwa hii hiyo yake watu sana lakini au kama cha vya "
        "wao yao huyu mimi wewe sisi kila bila zao hivyo wote ana yetu tu pia ili",
        "vi": "và là của có không cho được một những các người trong với này đã để khi tôi bạn "
        "rất như cũng đến từ hoặc về phải mọi sẽ",
        "sv": "och det att är en som på för av med den till inte har de ett om jag var kan man "
        "alla från vi så sig eller i",
        "pl": "i w na z do nie się to jest że jak o po za od co ale są być dla przez tego który "
        "jego wszyscy oraz swej",
        "tr": "bir ve bu için ile da de çok ne gibi olarak daha en değil var ben sen o bütün "
        "insanlar karşı olan kadar",
        "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada adalah saya kamu ke "
        "mereka juga semua orang atau oleh",
        "ro": "și de la în nu să cu o pe este din care mai un ce sunt pentru se că toate ele dar",
        "cs": "a se na je že v s z do to i o ve jsou jako ale by pro být si byl všichni sobě",
    },
    "cyrillic": {
        "ru": "и в не на я что он с как это по но они мы вы все так его её к из у же был для или "
        "есть быть ты от только ещё очень когда друг",
        "bg": "и на да се в е от за не са с че по това със към като има които бъде ще го тя един "
        "една му ми съм си към още много хора всички ли или",
        "uk": "і в не на я що він з як це по але вони ми ви всі так його її до із у й та є був "
        "для або бути один",
    },
    "arabic": {
        "ar": "في من على أن إلى هذا هذه التي الذي و لا ما عن هو هي كان مع كل أو بعد قد لم ثم إن "
        "ذلك بين يمكن جميع وقد هم أنا",
        "fa": "و در به از که این را با است برای آن یک می تا بر شود هم خود شما من ما اند باشد کرد "
        "های نیست یا همه دارند بسیار",
        "ur": "کے کی میں ہے اور سے کا کو نے پر یہ کہ ہیں ایک اس بھی نہیں تھا وہ جو ہوں ہو آپ لیے "
        "کر تو تمام",
    },
    "devanagari": {
        "hi": "के है में की और से का को हैं यह पर ने एक कि नहीं भी इस था हो तो लिए वह जो कर मैं आप "
        "सभी उन्हें तथा होता",
        "mr": "आहे आणि व या च्या हे ते आहेत नाही मी एक तो ती होते करून तर असे साठी सर्व त्यांना "
        "होता होती पण खूप मध्ये त्या आपण की",
        "ne": "छ र को मा छन् हो यो ले लाई भएको गर्न पनि एक हुन् थियो म यस तर गर्ने हुन्छ सबै लागि "
        "त्यो उनी हुँ छु भन्ने गर्छ",
    },
}
_COMMON_WORD_SETS = {
    script: {code: frozenset(words.split()) for code, words in languages.items()}
    for script, languages in _COMMON_WORDS.items()
}
# Letters that only one language of a script uses; a word with one counts as a common word.
_UNIQUE_LETTERS: Mapping[str, re.Pattern[str]] = {
    "vi": re.compile(r"[ăơưđạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]"),
    "ur": re.compile(r"[ٹڈڑںھہے]"),
    "ru": re.compile(r"[ыэё]"),
    "uk": re.compile(r"[іїєґ]"),
    "mr": re.compile(r"[ळ]"),
}
LANGUAGES = frozenset(
    {name for name in _SCRIPT_RANGES if name not in _COMMON_WORDS}
    | {code for languages in _COMMON_WORDS.values() for code in languages}
)


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of the text's language, or None if it is undecided.

    >>> detect_language("Das ist nicht der richtige Weg."), detect_language("2 + 2")
    ('de', None)
    """
    counts = {name: len(letters.findall(text)) for name, letters in _SCRIPT_PATTERNS.items()}
    script = max(counts, key=counts.__getitem__)
    if counts["ja"] and script in {"ja", "zh"}:
        return "ja"
    if counts[script] == 0:
        return None
    if script not in _COMMON_WORD_SETS:
        return script
    words = [word.casefold() for word in _WORD.findall(text)]
    hits_by_language = Counter(
        {
            code: sum(w in common for w in words)
            for code, common in _COMMON_WORD_SETS[script].items()
        }
    )
    for code, letters in _UNIQUE_LETTERS.items():
        if code in hits_by_language:
            hits_by_language[code] += sum(letters.search(word) is not None for word in words)
    code, hits = hits_by_language.most_common(1)[0]
    return code if hits else None


def is_in_language(text: str, code: str) -> bool | None:
    """Return whether the text is in a language; None if that language is not supported.

    If detection is undecided, a text without letters counts as any language, and other text as
    English only.

    >>> is_in_language("Il est là.", "fr"), is_in_language("Saluton!", "eo")
    (True, None)
    """
    if code not in LANGUAGES:
        return None
    detected = detect_language(text)
    return detected == code or (
        detected is None and (code == "en" or not any(map(str.isalpha, text)))
    )
