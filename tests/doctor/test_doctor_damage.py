"""Damaged texts are found; correct texts in many languages are left alone."""

import pytest
from tests.doctor.doctor_samples import numbered, summary

from gistembed.doctor.damage import damaged_texts

CORRECT = [
    "« À l’âge de 30 ans, l’élève a été reçu à l’École », déclara-t-il. « Où est-ce ? »",
    "LE CHÂTEAU DE LA RÉPUBLIQUE FRANÇAISE — ÂGE D’OR, « Â », ÇA VA",
    "Les œuvres d’Émile Zola, naïveté, Noël, aiguë; cœur.",
    "Die Straße heißt „Große Bleichen“ – Übergrößen, Äpfel und Öl.",
    "ÄRGER MIT DER ÜBERSETZUNG: „Ä“ und „Ö“ sind Umlaute.",
    "A NAÇÃO ALEMÃ — SÃO PAULO, “IRMÃ” e «ALEMû. NÃO! MÃE… O GALÃ® não é.",
    "På ön Åland är det 5 Å–6 Å… ”Å” är en bokstav.",
    "1.54 Å², 2 Å³, 1.5 Å±0.2, Å·mol⁻¹, JOTÅ®",
    "Zażółć gęślą jaźń – „ŁÓDŹ” i Kraków.",
    "ÂŞIK VEYSEL, İstanbul’da kâğıt",
    "ÞAÐ er “Ð” sem er stafur. Ísland, Ðað",
    "ÂM NHẠC Việt Nam: “Đây là Ã, Ẵ” – Ã…  ÂN",
    "ÎNTR-O ZI, „Â” şi ă; România. „Î”…",
    "¿Qué pasó en ESPAÑA? “Ñ” ¡Sí! EL AÑO… «ESPAÑOL»",
    "RØDGRØD MED FLØDE: »Ø«, “Ø”, Ø…",
    "Привет, мир! Это «тест» – №5, Ёлка.",
    "你好，世界！这是“测试”……《红楼梦》？",
    "これは「テスト」です。カタカナも漢字もあります。",
    "안녕하세요, 세계! ‘시험’입니다.",
    "مرحبا بالعالم، هذا اختبار؟",
    "שלום עולם, זה מבחן",
    "Γειά σου Κόσμε· «δοκιμή»",
    "สวัสดีชาวโลก นี่คือการทดสอบ",
    "नमस्ते दुनिया, यह एक परीक्षण है।",
    "👩\u200d🚀 family 👨\u200d👩\u200d👧, soft\u00adhyphen, no\u00a0break, ﬁne",
    "AT&T & R&D; Q&A; “It’s 5° ± 2 µm — £5 © 2020™…”",
    "https://a.b/?x=1&copy=2&reg=3 and C:\\users\\new, \\n or \\t, \\\\u00e9",
    "first line\nsecond line\r\n\tthird",
]

DAMAGED = {
    "mojibake": [
        *[
            "cafÃ©",
            "naÃ¯ve",
            "StraÃŸe",
            "OÃ¹",
            "Ã¼ber",
            "seÃ±or",
            "Â¿QuÃ©?",
            "Itâ€™s â€œfineâ€¦",
            "20 Â°C",
        ],
        *[
            "Å‚Ã³dÅº",
            "Å›wiat",
            "Ð¿Ñ€Ð¸Ð²ÐµÑ‚",
            "ä½ å¥½ä¸–ç•Œ",
            "æ—¥æœ¬èªž",
            "Ù…Ø±Ø­Ø¨Ø§",
            "Î•Î»Î»Î¬Î´Î±",
            "tradeâ„¢",
        ],
        *[
            "caf\u00c3\u00a9",
            "\u00e4\u00bd\u00a0\u00e5\u00a5\u00bd",
            "ï»¿first",
            "Ãƒ©",
            "maÃ®tre",
            "gewÃ¶hnlich",
        ],
    ],
    "replacement-character": ["caf\ufffd", "\ufffd\ufffd"],
    "html-entity": ["AT&amp;T", "a &lt; b", "caf&eacute;", "it&#39;s", "&#x27;quoted&#x27;", "a&nbsp;b"],
    "escaped-character": ["caf\\u00e9", "\\u4f60\\u597d"],
    "control-character": ["a\x08b", "\x1b[0m", "a\x93quoted\x94", "\ufefffirst", "form\x0bfeed"],
}


@pytest.mark.parametrize("text", CORRECT)
def test_a_correct_text_is_left_alone(text):
    assert damaged_texts(numbered([(text, ["x"], [])])) == []


@pytest.mark.parametrize(
    ("code", "text"), [(code, text) for code, texts in DAMAGED.items() for text in texts]
)
def test_a_damaged_text_is_found(code, text):
    found = damaged_texts(numbered([("x", [f"before {text} behind"], [])]))
    assert summary(found) == [(code, "error", 1, 2)]


def test_where_and_how_much():
    rows = [(f"q{number}", [f"p{number}"], ["n"]) for number in range(500)]
    rows[3] = ("q3", ["a long beginning, and then a cafÃ© with a terrace and a view of the sea below"], ["n"])
    (found,) = damaged_texts(numbered(rows))
    assert summary([found]) == [("mojibake", "note", 1, 1_001)]
    assert found.what == "texts were written as UTF-8 and read as something else ('Ã©' for 'é')"
    (example,) = found.examples
    assert example.place == "pairs.csv:5"
    assert example.text == "…ning, and then a cafÃ© with a terrace and a view …"


def test_one_damaged_text_in_several_rows_counts_once():
    rows = [(f"q{number}", ["cafÃ©"], []) for number in range(9)]
    assert summary(damaged_texts(numbered(rows))) == [("mojibake", "error", 1, 10)]
