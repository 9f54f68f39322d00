"""The embedded index: what it finds, and a cache that is never trusted blindly."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.environments.deepsearch import index as module
from pipelines.environments.deepsearch.documents import Document, corpus_sha256, read_documents
from pipelines.environments.deepsearch.index import Index, build_index, open_index
from pipelines.errors import DataError
from pipelines.files import sealed, unsealed
from tests.environments.deepsearch.conftest import write_corpus, write_rows

SHA = "a" * 64


def ids(index: Index, query: str, topk: int = 3) -> list[str]:
    return [document.id for document, _ in index.search(query, topk)]


def test_what_is_found(index: Index) -> None:
    assert ids(index, "Zulet")[0] == "1"
    assert ids(index, "the writer?")[0] == "2"
    assert ids(index, "WRITERS") == ["2"]
    assert ids(index, "novels")[0] == "1"
    assert ids(index, "", 5) == ids(index, " .,:;?! ", 5) == ids(index, "unheard", 5) == []
    assert ids(index, "A:A", 5) == ids(index, "the", 5) == ids(index, "is it of the", 5) == []
    assert ids(index, "the Zulet of the") == ids(index, "Zulet")
    assert ids(index, "rimol", 1) == ["3"]  # the title weighs more than a mention; of two alike the first


@pytest.mark.parametrize(("titles", "often", "title_first"), [(7, 3, True), (8, 2, False)])
def test_a_word_in_the_title_counts_twice(titles: int, often: int, title_first: bool) -> None:
    """A common word of titles against a rare word of bodies, whose own scores are 1 to 1.90, and 1 to 2.08."""
    documents = [Document(f"title {i}", f"harbour {i}\nA town by the sea.") for i in range(titles)]
    documents += [Document(f"body {n}", f"Town {n}\nSee the {'lighthouse ' * n}") for n in range(1, 6)]
    documents += [Document(f"other {i}", f"Place {i}\nA town in the hills.") for i in range(12 - titles)]
    found = ids(build_index(documents, SHA, None), "harbour lighthouse", 20)
    assert (found.index("title 0") < found.index(f"body {often}")) == title_first


def test_pages_by_id_and_by_title(index: Index) -> None:
    page = index.page("RIMOL")
    assert page == Document("3", '"Rimol"\nRimol is a town on a hill. Its river has no name.')
    assert index.page('"Rimol"') == page
    assert index.page("2") == Document("2", '"Gomun"\nGomun was a writer, born in Rimol.')
    assert index.page("Rim") is None


@settings(max_examples=60, deadline=None)
@example(query="A:A")
@given(
    query=st.text(max_size=60)
    | st.lists(st.sampled_from(["Zulet", "AND", "title:", "[", "TO", '"', "*", "-", "^2"])).map(" ".join)
)
def test_any_query_is_answered(index: Index, query: str) -> None:
    assert len(index.search(query, 3)) <= 3
    index.page(query)


@pytest.mark.parametrize("in_order", [True, False])
def test_ties_go_by_the_order_of_the_corpus(in_order: bool) -> None:
    """Two hundred documents that a query cannot tell apart: always the first ones, whatever the engine's segments."""
    same = [Document(str(i), f"same {i}\nsame words") for i in range(200)]
    built = build_index(same, SHA, None)
    assert built._in_order
    built._in_order = in_order  # as in an index of several segments
    for topk in (1, 3, 50, 200, 300):
        assert ids(built, "words", topk) == [str(i) for i in range(min(topk, 200))]


def test_two_builds_say_the_same(worlds: Path, tmp_path: Path) -> None:
    corpus = worlds / "corpora" / "held-out.jsonl"
    first, second = (open_index(corpus, SHA, tmp_path / name) for name in ("a", "b"))
    words = " ".join(document.contents for document in read_documents(corpus)).split()
    rng = random.Random(0)
    second._in_order = False
    for _ in range(100):
        query = " ".join(rng.sample(words, 3))
        assert first.search(query, 5) == second.search(query, 5)


# ----------------------------------------------------------------------------------------------------------- the cache


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.jsonl")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """Where indexes are built from now on."""
    built: list[Path | None] = []
    build = module.build_index

    def noted(documents: object, sha256: str, folder: Path | None) -> Index:
        built.append(folder)
        return build(documents, sha256, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "build_index", noted)
    return built


def test_an_index_is_built_once(corpus: Path, tmp_path: Path, builds: list[Path | None]) -> None:
    for _ in range(3):
        assert ids(open_index(corpus, SHA, tmp_path / "cache"), "Zulet")[0] == "1"
    assert len(builds) == 1
    open_index(corpus, "b" * 64, tmp_path / "cache")  # another corpus
    assert len(builds) == 2
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap_corpus(folder: Path) -> None:
    record = folder / "index.json"
    record.write_text(record.read_text().replace(SHA, "c" * 64))


def lose_documents(folder: Path) -> None:
    """As files above the size of which only the size is compared may."""
    record = folder / "index.json"
    value = unsealed(record.read_bytes())
    record.write_bytes(sealed(value | {"documents": value["documents"] + 1}))


def largest(folder: Path) -> Path:
    return max((folder / "tantivy").iterdir(), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(largest(folder)),
        lambda folder: flip(folder / "tantivy" / "meta.json"),
        lambda folder: largest(folder).unlink(),
        lambda folder: largest(folder).write_bytes(b""),
        lambda folder: (folder / "index.json").write_text("{"),
        lambda folder: (folder / "index.json").unlink(),
        lambda folder: shutil.rmtree(folder / "tantivy"),
        swap_corpus,
        lose_documents,
    ],
)
def test_a_damaged_index_is_built_anew(
    corpus: Path,
    tmp_path: Path,
    builds: list[Path | None],
    damage: Callable[[Path], object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    open_index(corpus, SHA, tmp_path / "cache")
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    damage(folder)
    for _ in range(2):
        assert ids(open_index(corpus, SHA, tmp_path / "cache"), "Zulet")[0] == "1"
    assert len(builds) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert str(folder) in said


def test_a_cache_that_cannot_be_written_is_done_without(
    corpus: Path, tmp_path: Path, builds: list[Path | None]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert ids(open_index(corpus, SHA, tmp_path / "cache"), "Zulet")[0] == "1"
    assert builds == [None]


def test_a_disk_that_is_full_while_building(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = module.build_index

    def full(documents: object, sha256: str, folder: Path | None) -> Index:
        if folder is not None:
            (folder / "half").write_text("…")
            raise ValueError("No space left on device")
        return build(documents, sha256, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "build_index", full)
    assert ids(open_index(corpus, SHA, tmp_path / "cache"), "Zulet")[0] == "1"
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_two_documents_with_one_id_are_named(tmp_path: Path, builds: list[Path | None]) -> None:
    rows = [{"id": i, "contents": f"title {i}\nx"} for i in range(5)]
    corpus = write_rows(tmp_path / "corpus.jsonl", *rows, {"id": "3", "contents": "another\nx"}, *rows[:1])
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 6.*'3'.*line 4"):
        open_index(corpus, SHA, tmp_path / "cache")
    assert len(builds) == 1


def test_an_id_as_long_as_can_be_is_found(tmp_path: Path) -> None:
    corpus = write_rows(tmp_path / "corpus.jsonl", {"id": "x" * 65_530, "contents": "Zulet\na novel"})
    page = open_index(corpus, SHA, tmp_path / "cache").page("x" * 65_530)
    assert page is not None
    assert page.title == "Zulet"


def test_nobody_writes_into_a_draft_that_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's threads have names; one that wrote on would fill the draft again."""
    corpus = write_rows(tmp_path / "corpus.jsonl", *({"id": i, "contents": "T\nhello"} for i in range(100)), {"id": 1})
    writing: list[str] = []
    remove = shutil.rmtree

    def noted(folder: Path, ignore_errors: bool) -> None:
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
        writing.extend(name for name in names if name.startswith("thrd-tantivy"))
        remove(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", noted)
    with pytest.raises(DataError, match="line 101: no id"):
        open_index(corpus, SHA, tmp_path / "cache")
    assert writing == []
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_text_that_is_no_unicode_is_no_full_disk(
    corpus: Path, tmp_path: Path, builds: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "distinct_documents", lambda path: iter([Document("1", "half \ud800")]))
    with pytest.raises(UnicodeEncodeError):
        open_index(corpus, SHA, tmp_path / "cache")
    assert len(builds) == 1  # not once more, in memory


def test_a_corpus_that_changed_has_another_hash(corpus: Path, tmp_path: Path) -> None:
    before = corpus_sha256(corpus, tmp_path / "memo")
    assert corpus_sha256(corpus, tmp_path / "memo") == before
    write_rows(corpus, {"id": "1", "contents": "Zulet\nanother text"})
    assert corpus_sha256(corpus, tmp_path / "memo") != before
    with pytest.raises(DataError, match=r"nowhere.jsonl cannot be read"):
        corpus_sha256(tmp_path / "nowhere.jsonl", tmp_path / "memo")
