import pytest

from upbring.rules.languages import LANGUAGES, detect_language, is_in_language

# The Universal Declaration of Human Rights, article 1 (in the public domain).
ARTICLES = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with "
    "reason and conscience and should act towards one another in a spirit of brotherhood.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft "
    "und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués "
    "de raison et de conscience et doivent agir les uns envers les autres.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como "
    "están de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati "
    "di ragione e di coscienza e devono agire gli uni verso gli altri.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de "
    "razão e de consciência, devem agir uns para com os outros em espírito de fraternidade.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd "
    "met verstand en geweten, en behoren zich jegens elkander te gedragen.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on "
    "annettu järki ja omatunto, ja heidän on toimittava toisiaan kohtaan.",
    "sw": "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa. Wote wamejaliwa akili na dhamiri, "
    "hivyo yapasa watendeane kindugu.",
    "vi": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    "sv": "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med "
    "förnuft och samvete och bör handla gentemot varandra.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana "
    "sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
    "id": "Semua orang dilahirkan merdeka dan mempunyai martabat dan hak-hak yang sama.",
    "ro": "Toate ființele umane se nasc libere și egale în demnitate și în drepturi.",
    "cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены "
    "разумом и совестью и должны поступать в отношении друг друга в духе братства.",
    "bg": "Всички хора се раждат свободни и равни по достойнство и права. Те са надарени с разум "
    "и съвест и следва да се отнасят помежду си в дух на братство.",
    "uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن "
    "يعامل بعضهم بعضا بروح الإخاء.",
    "fa": "تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.",
    "ur": "تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "mr": "सर्व मानवी व्यक्ती जन्मतः स्वतंत्र आहेत व त्यांना समान प्रतिष्ठा व समान अधिकार आहेत.",
    "ne": "सबै व्यक्तिहरू जन्मजात स्वतन्त्र हुन् ती सबैको समान अधिकार र महत्व छ।",
    "bn": "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "gu": "પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો જન્મથી સ્વતંત્ર અને સમાન હોય છે.",
    "kn": "ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ.",
    "ta": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "te": "ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులును సమానులును నగుదురు.",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
}
# Two short responses in each language of IFEval.
ANSWERS = {
    "ar": ("القطة في البيت مع الكلب.", "أنا أحب هذا الكتاب، وهو من أجمل الكتب التي قرأتها."),
    "bg": ("Това е много хубава книга.", "Котката е на масата, а кучето е в градината."),
    "bn": ("আমি ভাত খাই।", "এটি একটি সুন্দর বই।"),
    "de": ("Die Katze schläft auf dem Sofa.", "Ich habe heute keine Zeit, aber morgen geht es."),
    "fa": ("این کتاب بسیار خوب است.", "گربه در خانه است و سگ در باغ می‌دود."),
    "fi": (
        "Kissa on talossa ja koira puutarhassa.",
        "Minä pidän tästä kirjasta, koska se on hyvä.",
    ),
    "gu": ("આ એક સારું પુસ્તક છે.", "બિલાડી ઘરમાં છે."),
    "hi": ("यह किताब बहुत अच्छी है।", "मैं आज बाजार नहीं गया क्योंकि बारिश हो रही थी।"),
    "it": ("Il gatto dorme sul divano.", "Questo libro è molto bello, ma non ho tempo."),
    "kn": ("ಇದು ಒಳ್ಳೆಯ ಪುಸ್ತಕ.", "ಬೆಕ್ಕು ಮನೆಯಲ್ಲಿದೆ."),
    "ko": ("고양이는 집에 있습니다.", "이 책은 정말 좋아요."),
    "mr": ("हे पुस्तक खूप चांगले आहे.", "मी आज बाजारात गेलो नाही कारण पाऊस पडत होता."),
    "ne": ("यो किताब धेरै राम्रो छ।", "म आज बजार गएको छैन किनभने पानी परेको थियो।"),
    "pa": ("ਇਹ ਕਿਤਾਬ ਚੰਗੀ ਹੈ।", "ਬਿੱਲੀ ਘਰ ਵਿੱਚ ਹੈ।"),
    "pt": ("O gato está em cima da mesa.", "Este livro é muito bom, mas não tenho tempo."),
    "ru": ("Это очень хорошая книга.", "Кошка спит на столе, а собака гуляет в саду."),
    "sw": ("Paka yuko katika nyumba.", "Kitabu hiki ni kizuri sana, lakini sina muda."),
    "ta": ("இது ஒரு நல்ல புத்தகம்.", "பூனை வீட்டில் இருக்கிறது."),
    "te": ("ఇది మంచి పుస్తకం.", "పిల్లి ఇంట్లో ఉంది."),
    "th": ("แมวอยู่ในบ้าน", "หนังสือเล่มนี้ดีมาก"),
    "ur": ("یہ کتاب بہت اچھی ہے۔", "بلی گھر میں ہے اور کتا باغ میں ہے۔"),
    "vi": ("Con mèo ở trong nhà.", "Cuốn sách này rất hay nhưng tôi không có thời gian."),
}


@pytest.mark.parametrize("code", ARTICLES)
def test_the_first_human_right_is_read_in_its_language(code: str) -> None:
    assert detect_language(ARTICLES[code]) == code


@pytest.mark.parametrize("code", ANSWERS)
def test_short_answers_are_read_in_their_language(code: str) -> None:
    assert [detect_language(text) for text in ANSWERS[code]] == [code, code]


def test_the_documented_counts_are_these() -> None:
    assert (len(ARTICLES), sum(map(len, ANSWERS.values()))) == (31, 44)
    assert set(ANSWERS) | set(ARTICLES) <= LANGUAGES


def test_scripts_of_one_language_decide_alone() -> None:
    assert detect_language("すべての人間は、生まれながらにして自由である。") == "ja"
    assert detect_language("人人生而自由,在尊严和权利上一律平等。") == "zh"
    assert detect_language("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι.") == "el"
    assert detect_language("כל בני אדם נולדו בני חורין.") == "he"


def test_without_evidence_there_is_no_language() -> None:
    assert detect_language("2 + 2 = 4") is None
    assert detect_language("Xyzzy plugh") is None
    assert detect_language("") is None


def test_without_evidence_english_is_accepted() -> None:
    assert is_in_language("Xyzzy plugh", "en") is True
    assert is_in_language("Xyzzy plugh", "de") is False
    assert is_in_language("2 + 2 = 4", "de") is True  # as IFEval treats langdetect's error
    assert is_in_language("Das ist nicht gut.", "en") is False


def test_a_language_that_is_not_known_is_not_judged() -> None:
    assert is_in_language("Ĉiuj homoj estas denaske liberaj.", "eo") is None


def test_capitals_do_not_hide_a_language() -> None:
    assert detect_language("THE CAT IS ON THE TABLE AND THE DOG IS NOT.") == "en"
