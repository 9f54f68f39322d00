"""The original files: what is read of them, what is made of them, and what is said when they are wrong."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import files
from pipelines.environments.webshop import json_stream, shop
from pipelines.environments.webshop.benchmark import WebshopBenchmark
from pipelines.environments.webshop.catalogue import Product, Sources, read_products
from pipelines.environments.webshop.config import WebshopConfig, WebshopGenerated, WebshopReal
from pipelines.environments.webshop.generate import generate_catalogue
from pipelines.environments.webshop.goals import goal_order, make_goal
from pipelines.environments.webshop.search import WORDS
from pipelines.environments.webshop.shop import open_shop
from pipelines.errors import DataError
from tests.environments.webshop.catalogues import WANT, catalogue, product, record, write_files

SYNTHETIC = {"instruction": "Find me soft chairs", "instruction_attributes": ["soft"], "attributes": ["soft", "oak"]}
HUMAN = {"instruction": "i want a chair.", "instruction_attributes": ["soft"], "instruction_options": ["red"]}


def sources(folder: Path, *, human: bool = False, most: int | None = None) -> Sources:
    return Sources(
        folder / "items_shuffle_1000.json", folder / "items_ins_v2_1000.json",
        folder / "items_human_ins.json" if human else None, most,
    )  # fmt: skip


def read(folder: Path, **how: Any) -> list[Product]:
    return list(read_products(sources(folder, **how), seed=0))


# ------------------------------------------------------------------------------------------------------------ products


def test_a_record_as_the_original_reads_it(tmp_path: Path) -> None:
    write_files(tmp_path, [record("B1")], {"B1": SYNTHETIC})
    (one,) = read(tmp_path)
    assert (one.query, one.title, one.price, one.price_tag) == ("arm chair", "Zorba Soft Chair", 19.99, "$19.99")
    assert one.options == (("color", ("navy | blue", "red")),)
    assert one.attributes == ("soft", "oak")
    assert one.indexed_text == "zorba soft chair a chair to read in. solid oak color: navy | blue, red"
    assert catalogue(one)[0] == one  # packed and unpacked


def test_which_records_are_left_out(tmp_path: Path) -> None:
    records = [record("nan"), record("B1"), record("B" * 11), record("B1", name="Second"), record("B2"), record("B3")]
    write_files(tmp_path, records, {})
    assert [one.asin for one in read(tmp_path)] == ["B1", "B2", "B3"]
    assert [one.asin for one in read(tmp_path, most=5)] == ["B1", "B2"]  # the cut comes first
    assert read(tmp_path)[0].title == "Zorba Soft Chair"
    assert read(tmp_path)[0].attributes == ("DUMMY_ATTR",)


@pytest.mark.parametrize(
    ("said", "tag", "low", "high"),
    [
        (None, "$100.0", 100, 100), ("", "$100.0", 100, 100), ("$1,299.00", "$1299.0", 1299, 1299),
        ("$5 - $9.50", "$5.0 to $9.5", 5, 9.5), ("$5.00$7.00$9.00", "$5.0 to $7.0", 5, 7),
    ],
)  # fmt: skip
def test_prices(tmp_path: Path, said: str | None, tag: str, low: float, high: float) -> None:
    write_files(tmp_path, [record("B1", pricing=said)], {})
    (one,) = read(tmp_path)
    assert one.price_tag == tag
    assert low <= one.price <= high
    assert read(tmp_path)[0].price == one.price  # drawn, but seeded


def test_a_description_that_is_one_text_is_one_bullet(tmp_path: Path) -> None:
    write_files(tmp_path, [record("B1", small_description="Oak", customization_options=None)], {})
    (one,) = read(tmp_path)
    assert (one.bullets, one.options) == (("Oak",), ())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, "name is None, not text"),
        ({"pricing": "cheap"}, "pricing is 'cheap', not a price such as"),
        ({"pricing": "$" + "9" * 400}, "pricing is '\\$999.*…, not a price"),
        ({"pricing": "$1.2.3"}, "pricing is '\\$1.2.3', not a price"),
        ({"customization_options": {"color": [{"label": "red"}]}}, "customization_options is .* not a list of"),
        ({"customization_options": ["red"]}, "customization_options is .* not an object"),
        ({"small_description": [1]}, "small_description is \\[1\\], not a list of texts"),
        ({"small_description": None}, "small_description is None, not text"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_files(tmp_path, [record("B1"), record("B2", **changes)], {})
    with pytest.raises(DataError, match=rf"items_shuffle_1000.json: record 2 \(B2\): {said}") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_half_of_a_character_gets_no_further(tmp_path: Path) -> None:
    """No tokenizer and no table takes one: the parser makes a "?" of a first half and refuses a second."""
    write_files(tmp_path, [record("B1", name="half \ud83d")], {})
    assert read(tmp_path)[0].title == "half ?"
    write_files(tmp_path, [record("B1"), record("B2", name="half \ude00")], {})
    with pytest.raises(DataError, match=r"record 2 \(no UTF-8\)"):
        read(tmp_path)


def test_other_wrong_records_are_named(tmp_path: Path) -> None:
    lacking = record("B1")
    del lacking["full_description"]
    for records, attributes, human, said in (
        ([lacking], {}, {}, r"record 1 \(B1\) lacks full_description"),
        (["B1"], {}, {}, "items_shuffle_1000.json: record 1 is no object"),
        ([], {"B1": []}, {}, "items_ins_v2_1000.json: record B1 is no object"),
        ([], {"B1": {"attributes": "soft"}}, {}, "record B1: attributes is 'soft', not a list"),
        (
            [],
            {"B1": SYNTHETIC | {"instruction_attributes": []}},
            {},
            r"instruction_attributes is \[\], not at least one",
        ),
        ([], {}, {"B1": {}}, "items_human_ins.json: record B1 is no list"),
        (
            [],
            {},
            {"B1": [{"instruction": "x", "instruction_attributes": ["a"]}]},
            "record B1 lacks instruction_options",
        ),
    ):
        write_files(tmp_path, records, attributes, human)
        with pytest.raises(DataError, match=said):
            read(tmp_path, human=bool(human))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"damaged at record 1 \(\[ expected\)"), ('{"item": [1]}', r"\[ expected"), ("[1 2]", "record 2 .*I expect ','"),
        ('[{"asin": "B1"', "damaged at record 1"), ('[{}, {"a": "cut', "damaged at record 2"), ("[nope]", "record 1"),
        ("[1, 2] 3", "damaged at record 3"), ('["\\udc00"]', "no UTF-8"), ("[NaN]", "lexical error"),
        ('["' + "é" * 40 + '" 2]', r"record 2 \(parse error: .*']'\): "),
    ],
)  # fmt: skip
def test_a_file_that_is_cut_or_no_json_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "items.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        list(json_stream.array_elements(path))
    path.write_bytes(b'["\xff\xfe"]')
    with pytest.raises(DataError, match=r"record 1 \(no UTF-8\)"):
        list(json_stream.array_elements(path))
    path.write_text("[]")
    with pytest.raises(DataError, match=r"\{ expected"):
        list(json_stream.object_items(path))


def test_an_element_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", 64)
    monkeypatch.setattr(json_stream, "_MOST", 600)
    path = tmp_path / "items.json"
    path.write_text(json.dumps(["x" * 500] * 9))
    assert len(list(json_stream.array_elements(path))) == 9
    path.write_text('["one", "' + "x" * 5000 + '"]')
    with pytest.raises(DataError, match=r"record 2 \(no end after 640 bytes\)"):
        list(json_stream.array_elements(path))


def test_endless_brackets_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text('["one", ' + "[" * 50_000)
    with pytest.raises(DataError, match=r"record 1 \(50001 brackets are left open\)"):
        list(json_stream.array_elements(path))


@pytest.mark.parametrize("window", [1, 3, 1000])
def test_the_window_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", window)
    value = {"a": [1, 22, {"b": 'ünï\n"q"'}], "c": -1.5e3, "d": None, "": "x"}
    (tmp_path / "one.json").write_text(json.dumps(value, indent=1))
    (tmp_path / "many.json").write_text(json.dumps([value, 123, "s", []]))
    (tmp_path / "none.json").write_text(" [ ] ")
    assert dict(json_stream.object_items(tmp_path / "one.json")) == value
    assert list(json_stream.array_elements(tmp_path / "many.json")) == [value, 123, "s", []]
    assert list(json_stream.array_elements(tmp_path / "none.json")) == []


# --------------------------------------------------------------------------------------------------------------- goals


def test_synthetic_goals_are_the_combinations_of_the_options_sorted_by_name() -> None:
    one = product(options=(("size", ("s", "m")), ("color", ("red", "blue", "tan"))), instructions=(WANT,), price=12.0)
    order = goal_order(catalogue(one), human=False)
    assert sorted(which for _, which in order.tolist()) == list(range(6))
    made = make_goal(one, 1, human=False, seed=0)
    assert made.options == (("color", "red"), ("size", "m"))
    cap = made.price_cap
    assert cap in (30.0, 40.0, 50.0)  # the larger of two of 20, 30, 40, 50
    assert made.instruction == f"{WANT.text} with color: red, and size: m, and price lower than {cap:.2f} dollars"
    assert {make_goal(one, which, human=False, seed=0).price_cap for which in range(6)} == {cap}  # one per product
    assert {make_goal(one, 0, human=False, seed=seed).price_cap for seed in range(40)} == {30.0, 40.0, 50.0}


def test_the_combinations_are_the_products_of_the_originals_order() -> None:
    """``itertools.product`` over the options sorted by name."""
    options = (("size", ("s", "m")), ("color", ("red", "blue", "tan")), ("fit", ("x",)), ("trim", ("a", "b", "c", "d")))
    one = product(options=options, instructions=(WANT,))
    names, values = zip(*sorted(options), strict=True)
    expected = [tuple(zip(names, chosen, strict=True)) for chosen in itertools.product(*values)]
    assert [make_goal(one, which, human=False, seed=0).options for which in range(24)] == expected


def test_the_last_of_very_many_combinations_is_as_near_as_the_first() -> None:
    one = product(
        options=tuple((name, tuple(f"{name}{i}" for i in range(60))) for name in "abcdef"), instructions=(WANT,)
    )
    assert make_goal(one, 60**6 - 1, human=False, seed=0).options == tuple((name, f"{name}59") for name in "abcdef")


def test_more_goals_than_can_be_held_are_reported(tmp_path: Path) -> None:
    many = {name: [{"value": f"{name}{i}"} for i in range(60)] for name in "abcdef"}
    write_files(
        tmp_path, [record("B1"), record("B2", customization_options=many)], {"B1": SYNTHETIC, "B2": SYNTHETIC},
        {"B1": [HUMAN]},
    )  # fmt: skip
    said = rf"{60**6 + 2} combinations, {60**6} of them those of product B2, .* at most 100000000 .* data.goals=human"
    with pytest.raises(DataError, match=said) as caught:
        open_shop(sources(tmp_path), 0, tmp_path / "cache")
    assert str(caught.value).startswith(str(tmp_path / "items_shuffle_1000.json"))
    assert len(open_shop(sources(tmp_path, human=True), 0, tmp_path / "cache")) == 1


def test_without_two_caps_above_the_price_there_is_none() -> None:
    for price, capped in ((969.0, True), (979.0, True), (981.0, False), (5000.0, False)):
        made = make_goal(product(price=price, options=(), instructions=(WANT,)), 0, human=False, seed=0)
        assert (made.price_cap < 1000) == capped
        assert ("price lower than" in made.instruction) == capped
    assert (
        make_goal(product(price=5000.0, options=(), instructions=(WANT,)), 0, human=False, seed=0).instruction
        == WANT.text
    )


def test_a_cap_is_above_the_price_and_never_the_price_itself() -> None:
    """The larger of two of 30, 40, 50, 60."""
    one = product(price=20.0, options=(), instructions=(WANT,))
    assert {make_goal(one, 0, human=False, seed=seed).price_cap for seed in range(40)} == {40.0, 50.0, 60.0}


def test_human_goals(tmp_path: Path) -> None:
    human = {"B1": [HUMAN, HUMAN | {"instruction_attributes": []}, HUMAN | {"instruction_options": {"color": "red"}}]}
    write_files(tmp_path, [record("B1"), record("B2")], {"B1": SYNTHETIC}, human)
    one, other = read(tmp_path, human=True)
    assert len(one.instructions) == 2  # without attributes it is no goal
    assert other.instructions == ()
    first, second = (make_goal(one, which, human=True, seed=0) for which in range(2))
    assert first.instruction == f"i want a chair, and price lower than {first.price_cap:.2f} dollars"
    assert (first.options, second.options) == (("red",), (("color", "red"),))


def test_goals_are_shuffled_as_the_original_shuffles_them() -> None:
    import random

    shelf = catalogue(*(product(asin=f"B{i}", options=(), instructions=(WANT,)) for i in range(30)))
    expected = list(range(30))
    random.seed(233)
    random.shuffle(expected)
    assert goal_order(shelf, human=False)[:, 0].tolist() == expected


# ----------------------------------------------------------------------------------------------------- benchmark, cache


def test_panels_are_the_originals_splits(tmp_path: Path) -> None:
    records = [record(f"B{i}") for i in range(760)]  # two goals each
    write_files(tmp_path / "real", records, {f"B{i}": SYNTHETIC for i in range(760)})
    benchmark = WebshopBenchmark(WebshopConfig(), WebshopReal(root=tmp_path / "real"))
    panels = benchmark.panels(tmp_path / "store" / "data" / "x")
    assert {split: len(panel.tasks) for split, panel in panels.items()} == {"test": 500, "dev": 1000, "train": 20}
    assert [panels["dev"].tasks[0].id, panels["train"].tasks[0].id] == ["goal_00500", "goal_01500"]
    assert panels["test"].tasks[0].task_type == "garden"


def test_the_splits_of_real_data_can_be_those_of_the_papers_runs(tmp_path: Path) -> None:
    """Goals 0–499 evaluate, the rest train; a cap takes the first of the rest."""
    write_files(tmp_path / "real", [record(f"B{i}") for i in range(300)], {f"B{i}": SYNTHETIC for i in range(300)})
    folder = tmp_path / "store" / "data" / "x"

    def panels(**settings: int) -> dict[str, list[str]]:
        data = WebshopReal.model_validate({"root": tmp_path / "real", "dev": 0, **settings})
        made = WebshopBenchmark(WebshopConfig(), data).panels(folder)
        return {split: [task.id for task in panel.tasks] for split, panel in made.items()}

    everything = panels()
    assert {split: len(tasks) for split, tasks in everything.items()} == {"test": 500, "train": 100}
    assert everything["train"][0] == "goal_00500"
    assert panels(train=30) == {"test": everything["test"], "train": everything["train"][:30]}
    assert panels(train=101) == everything
    assert panels(dev=60, train=30)["train"] == everything["train"][60:90]


def test_generated_files_are_read_as_real_ones(tmp_path: Path) -> None:
    """The split of the generated goals is the original's, so the tasks are the same. Their hashes are not: those of real
    data also say by which words they are searched."""
    made, folder = WebshopBenchmark(WebshopConfig(), WebshopGenerated(products=300)), tmp_path / "store" / "data" / "x"
    made.prepare(folder, workers=1, tick=lambda _: None)
    real = WebshopBenchmark(WebshopConfig(), WebshopReal(root=folder))
    panels = [one.panels(place) for one, place in ((real, tmp_path / "other" / "data" / "x"), (made, folder))]
    (read, generated) = ({(t.id, t.source, t.task_type) for p in ps.values() for t in p.tasks} for ps in panels)
    assert read == generated
    assert panels[0]["test"].sha256 != panels[1]["test"].sha256


def test_missing_real_data_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBSHOP_DATA", raising=False)
    with pytest.raises(DataError, match=r"WEBSHOP_DATA.*data\.root"):
        WebshopBenchmark(WebshopConfig(), WebshopReal()).panels(tmp_path)
    monkeypatch.setenv("WEBSHOP_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"items_shuffle\.json.*download"):
        WebshopBenchmark(WebshopConfig(), WebshopReal(catalogue="full")).panels(tmp_path)
    write_files(tmp_path, [], {})
    with pytest.raises(DataError, match="holds no product"):
        WebshopBenchmark(WebshopConfig(), WebshopReal()).panels(tmp_path / "a" / "b" / "c")
    write_files(tmp_path, [record("B1")], {"B1": SYNTHETIC})
    with pytest.raises(DataError, match="has 2 goals, of which 500 test"):
        WebshopBenchmark(WebshopConfig(), WebshopReal()).panels(tmp_path / "a" / "b" / "c")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_files(tmp_path / "data", [record(f"B{i}") for i in range(5)], {"B1": SYNTHETIC})
    return tmp_path


def fresh(folder: Path, cache: str = "cache", key: str | None = None) -> shop.Shop:
    """As another process would open it."""
    shop.close_shops()
    return open_shop(sources(folder / "data"), 0, folder / cache, key)


def same(one: shop.Shop, other: shop.Shop) -> bool:
    return (
        list(one.catalogue) == list(other.catalogue)
        and np.array_equal(one.order, other.order)
        and one.search("chair") == other.search("chair")
    )


def test_the_cache_is_used_and_gives_the_same(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = fresh(small)
    monkeypatch.setattr(shop, "_build", None)
    assert same(fresh(small), built)
    shutil.rmtree(small / "data")
    assert same(fresh(small, key=built.key), built)  # a worker need not read the sources


def test_sources_are_hashed_once_for_as_long_as_they_stay(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = files.sha256_file

    def noted(path: Path) -> str:
        if path.parent.name == "data":
            hashed.append(path.name)
        return real(path)

    monkeypatch.setattr(files, "sha256_file", noted)
    built = fresh(small)
    assert len(hashed) == 2
    for _ in range(2):
        assert fresh(small).key == built.key
        files._remembered.cache_clear()  # as another process
    assert len(hashed) == 2
    write_files(small / "data", [record("B9")], {})
    assert fresh(small).key != built.key
    assert len(hashed) == 4


@pytest.mark.parametrize("name", ["products.jsonl", "weights.npy", "ties.npy", "vocabulary.json", "SHA256SUMS"])
@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_a_damaged_cache_is_made_anew(small: Path, name: str, harm: str, capsys: pytest.CaptureFixture[str]) -> None:
    built = fresh(small)
    path = small / "cache" / f"{built.key}-{WORDS}" / name
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(
            content[:middle]
            if harm == "cut"
            else content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
    assert same(fresh(small), built)
    assert path.read_bytes() == content
    (said,) = capsys.readouterr().err.splitlines()
    assert str(path.parent) in said


def test_what_a_killed_builder_left_is_removed(small: Path) -> None:
    """A half-written draft is no cache; it would stay for ever."""
    built = fresh(small)
    kept = small / "cache" / f"{built.key}-{WORDS}"
    left = kept.with_name(f".{kept.name}.draft")
    kept.rename(left)
    (left / "products.jsonl").write_bytes(b"half")
    assert same(fresh(small), built)
    assert not left.exists()


def test_a_cache_that_cannot_be_written_is_done_without(small: Path) -> None:
    (small / "file").write_text("no folder")
    built = fresh(small, cache="file")
    assert same(built, fresh(small))
    assert (small / "file").read_text() == "no folder"


def test_other_sources_are_not_taken_for_the_panels(small: Path) -> None:
    built = fresh(small)
    write_files(small / "data", [record("B9")], {})
    assert fresh(small).key != built.key
    with pytest.raises(DataError, match="start the run anew"):
        fresh(small, cache="elsewhere", key=built.key)


def test_the_generated_catalogue_is_the_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate_catalogue(WebshopGenerated(products=100, seed=seed), tmp_path / folder, tick=lambda _: None)
    files = {folder: [path.read_bytes() for path in sorted((tmp_path / folder).iterdir())] for folder in "abc"}
    assert files["a"] == files["b"] != files["c"]
    assert len(read(tmp_path / "a")) == 100
    assert len(read(tmp_path / "a", human=True)) == 100
