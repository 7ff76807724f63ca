"""The guess at script and language."""

import pytest
from tests.doctor.doctor_samples import numbered, real_rows, summary

from gistembed.doctor.language import guess, languages

SENTENCES = {
    "English": "The committee decided that the bridge was not safe and that it had to be closed for repairs.",
    "German": "Der Ausschuss hat beschlossen, dass die Brücke nicht sicher ist und gesperrt wird.",
    "French": "Le comité a décidé que le pont n'est pas sûr et qu'il est fermé pour des travaux.",
    "Spanish": "El comité decidió que el puente no es seguro y que se cierra por las obras de la ciudad.",
    "Italian": "Il comitato ha deciso che il ponte non è sicuro e che è chiuso per i lavori della città.",
    "Portuguese": "O comitê decidiu que a ponte não é segura e que está fechada para as obras da cidade.",
    "Dutch": "Het comité heeft besloten dat de brug niet veilig is en dat die voor het werk wordt gesloten.",
    "Swedish": "Kommittén har beslutat att bron inte är säker och att den stängs för arbeten som ska göras.",
    "Polish": "Komitet uznał, że most nie jest bezpieczny i że od jutra będzie zamknięty na czas prac.",
    "Turkish": "Komite, köprünün güvenli olmadığına ve bu nedenle kapalı olarak daha çok kalacağına",
    "Cyrillic script": "Комитет решил, что мост небезопасен.",
    "Greek script": "Η επιτροπή αποφάσισε ότι η γέφυρα δεν είναι ασφαλής.",
    "Arabic script": "قررت اللجنة أن الجسر غير آمن",
    "Hebrew script": "הוועדה החליטה שהגשר אינו בטוח",
    "Devanagari script": "समिति ने निर्णय लिया कि पुल सुरक्षित नहीं है।",
    "Thai script": "คณะกรรมการตัดสินใจว่าสะพานไม่ปลอดภัย",
    "Chinese": "委员会认为这座桥不安全。",
    "Japanese": "委員会は、その橋は安全ではないと判断した。",
    "Korean": "위원회는 그 다리가 안전하지 않다고 결정했다.",
}


@pytest.mark.parametrize(("language", "text"), SENTENCES.items(), ids=list(SENTENCES))
def test_guess(language, text):
    assert guess(text) == language


@pytest.mark.parametrize(
    "text", ["", "42", "print(x)", "café", "red shoes", "BRCA1 TP53", "NumPy 和 PyTorch", "🙂"]
)
def test_no_guess_where_it_is_not_clear(text):
    assert guess(text) is None


def rows_in(first, second, crossing, of=100):
    return [
        (
            f"{SENTENCES[first]} {number}",
            [f"{SENTENCES[second if number < crossing else first]} {number} again"],
            [],
        )
        for number in range(of)
    ]


def test_pairs_in_two_languages():
    crossing, several = languages(numbered(rows_in("English", "German", 10)))
    assert summary([crossing, several]) == [
        ("pair-in-two-languages", "warning", 10, 100),
        ("several-languages", "note", 10, 200),
    ]
    assert crossing.what == (
        "pairs seem to be in two languages, most often English → German (script/language guess)"
    )
    assert several.what == "texts seem not to be in English: German 5% (script/language guess)"
    assert several.examples[0].place == "pairs.csv:2"
    assert several.examples[0].text.startswith("German: Der Ausschuss hat")


def test_translations_are_meant():
    (crossing, _) = languages(numbered(rows_in("Dutch", "Japanese", 100)))
    assert summary([crossing]) == [("pair-in-two-languages", "note", 100, 100)]


def test_a_stray_pair_is_not_worth_a_word():
    assert languages(numbered(rows_in("English", "French", 1))) == []


def test_real_rows_have_one_language():
    assert languages(numbered(real_rows())) == []
