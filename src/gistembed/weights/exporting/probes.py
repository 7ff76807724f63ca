"""Texts that an exported model is compared on: of many lengths and scripts."""

from pathlib import Path

from gistembed.errors import UserError

_SENTENCE = (
    "An embedding is a list of numbers that stands for a text, so that texts of like meaning lie close. "
)

PROBES: tuple[str, ...] = (
    "",
    " ",
    "a",
    "word",
    "Two words",
    "How do I reset my password?",
    "  White space \t before, between \n and after  ",
    "UPPER, lower and MiXeD case; numbers 1,234.50 and 2026-01-31; signs §±µ€™ and a_snake.case(value=[1]).",
    "Crème brûlée, naïve façade, Straße, smørrebrød, żółć, şişe",
    "Cre\u0301me bru\u0302le\u0301e, with accents of their own",
    "Что такое векторное представление текста?",
    "Τι είναι η διανυσματική αναπαράσταση;",
    "ما هو تمثيل النص كمتجه؟",
    "מהו ייצוג וקטורי של טקסט?",
    "पाठ का सदिश निरूपण क्या है?",
    "文本的向量表示是什么？",
    "テキストのベクトル表現とは何ですか？",
    "텍스트의 벡터 표현이란 무엇인가요?",
    "การแทนข้อความด้วยเวกเตอร์คืออะไร",
    "🙂 👩\u200d👩\u200d👧 🇪🇺 and \u200bno width",
    *(_SENTENCE * times for times in (1, 2, 4, 8, 16, 64)),
)


def probe_texts(file: Path | None) -> tuple[str, ...]:
    """The texts to compare on.

    Args:
        file: A file of the user's own texts, one a line, which come after the built-in ones; None for those
            alone.

    Raises:
        UserError: If it can't be read as UTF-8, or holds no text.
    """
    if file is None:
        return PROBES
    try:
        texts = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"--texts {file}: not UTF-8; save it as UTF-8, one text a line") from error
    if not texts:
        raise UserError(f"--texts {file}: holds no text; give one a line")
    return (*PROBES, *texts)
