"""Questions and corpora from files: FlashRAG's rows as they are, and every fault named by file and record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.environments.deepsearch.config import DeepsearchConfig, RetrievalSettings
from pipelines.environments.deepsearch.documents import Document, read_documents
from pipelines.environments.deepsearch.index import build_index
from pipelines.environments.deepsearch.questions import read_question, read_questions
from pipelines.errors import DataError
from tests.environments.deepsearch.conftest import QUESTION, benchmark_of, real, write_corpus, write_rows

SETS = ("nq", "triviaqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle", "popqa", "webwalkerqa")


def row(i: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"test_{i}", "question": f"question {i}?", "golden_answers": [f"answer {i}", "other"]} | changes


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    rows = [row(i, metadata={"supporting": ["x"] * i}) for i in range(5)]
    lines, table = write_rows(tmp_path / "a.jsonl", *rows), write_parquet(tmp_path / "a.parquet", rows)
    places, questions = zip(*read_questions(lines), strict=True)
    assert [(q.id, q.question, q.golden) for q in questions] == [
        (q.id, q.question, q.golden) for _, q in read_questions(table)
    ]
    assert questions[2].golden == ("answer 2", "other")
    for place, question in zip(places, questions, strict=True):
        assert read_question(lines, place) == question
    assert read_question(table, "3").id == "test_3"
    with pytest.raises(DataError, match=r"a.parquet has no record 7"):
        read_question(table, "7")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x", "question": "q?"', r"test.jsonl, line 2: not JSON .*cut or damaged"),
        ("[1]", r"test.jsonl, line 2: a list, not an object"),
        (json.dumps(row(2, id="")), "record 2: no id; a question has id, question and golden_answers"),
        (json.dumps(row(2, id="test_1")), "record 2: id 'test_1' was there before"),
        (json.dumps(row(2, question=" ")), r"record 2 \(test_2\): no question"),
        (json.dumps(row(2, golden_answers="Rimol")), r"record 2 \(test_2\): golden_answers is 'Rimol'"),
        (json.dumps(row(2, golden_answers=[])), r"record 2 \(test_2\): golden_answers is \[\]"),
        (json.dumps(row(2, golden_answers=["x", 3])), r"record 2 \(test_2\): golden_answers is \['x', 3\]"),
        (json.dumps(row(2, metadata=[1])), r"record 2 \(test_2\): metadata is \[1\], not an object"),
        ("\udcff", r"test.jsonl, line 2: not JSON"),
        (f'{{"id": {"[" * 100_000}', r"test.jsonl, line 2: not JSON \(maximum recursion depth .*cut or damaged"),
        (f'{{"id": {"1" * 5000}}}', r"test.jsonl, line 2: not JSON \(Exceeds the limit .* 5000 digits\): the file"),
        (json.dumps(row(2, question="half \ud800")), "record 2: half of a character .* no Unicode"),
        (json.dumps(row(2, golden_answers=["x", "\udfff"])), "record 2: half of a character"),
    ],
)
def test_a_malformed_question_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_bytes(f"{json.dumps(row(1))}\n{line}\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message) as caught:
        list(read_questions(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_malformed_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "test.parquet", [{"id": "1", "question": "q"}])
    with pytest.raises(DataError, match=r"test.parquet lacks the columns golden_answers"):
        list(read_questions(path))
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match=r"test.parquet is no readable Parquet file"):
        list(read_questions(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "2"}', "line 2: no id or no contents; every line of a corpus is"),
        ('{"contents": "x"}', "line 2: no id or no contents"),
        ('{"id": "2", "contents": 3}', "line 2: no id or no contents"),
        ('{"id": "2", "contents": " "}', "line 2: no id or no contents"),
        ('{"id": "2", "contents": ""}', "line 2: no id or no contents"),
        ('{"id": "2", "contents": "\\n \\t\\n"}', "line 2: no id or no contents"),
        ('{"id": "2", "contents": "x', "line 2: not JSON"),
        ("2", "line 2: a int, not an object"),
        (
            json.dumps({"id": "é" * 40_000, "contents": "x"}),
            "line 2: an id of more than 65530 bytes, 'é+'…; every line",
        ),
        (r'{"id": "2", "contents": "x \ud800"}', "line 2: half of a character .* no Unicode: take it out"),
        (r'{"id": "\ud800", "contents": "x"}', "line 2: half of a character"),
    ],
)
def test_a_malformed_document_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(f'{{"id": 1, "contents": "t\\nx"}}\n\n{line}\n'.replace("\n\n", "\n"))
    with pytest.raises(DataError, match=message):
        list(read_documents(path))
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no document"):
        list(read_documents(path))


def test_a_document_has_a_title_and_a_text() -> None:
    document = Document("1", '"Zulet"\na novel\nof two lines')
    assert (document.title, document.text) == ('"Zulet"', "a novel\nof two lines")
    assert (Document("1", "alone").title, Document("1", "alone").text) == ("alone", "")


def test_a_blank_document_is_named_when_the_corpus_is_indexed(root: Path, tmp_path: Path) -> None:
    """At set-up, before anybody plays; nothing is kept of the index."""
    path = write_rows(root / "wiki-18.jsonl", {"id": "1", "contents": "a\nb"}, {"id": "2", "contents": "\n"})
    with pytest.raises(DataError, match=rf"{path}, line 2.*\"contents\""):
        benchmark_of(DeepsearchConfig(), real(root)).panels(tmp_path / "data" / "x")
    assert list(tmp_path.glob("**/index.json")) == []


@pytest.mark.parametrize("contents", ["Lone Title", "Lone Title\n", '"Lone Title"\n  \n'])
def test_a_title_with_nothing_after_it_is_a_document(tmp_path: Path, contents: str) -> None:
    """Accepted: it is found by its title, and its page is empty, which the agent sees."""
    path = write_rows(
        tmp_path / "corpus.jsonl", {"id": "1", "contents": contents}, {"id": "2", "contents": "\nuntitled"}
    )
    index = build_index(read_documents(path), "sha", None)
    ((found, _),) = index.search("lone", 3)
    assert (found.id, found.text.strip()) == ("1", "")
    page = index.page("Lone Title")
    assert page is not None
    assert page.id == "1"
    assert not page.text.strip()
    assert [document.id for document, _ in index.search("untitled", 3)] == ["2"]


# ------------------------------------------------------------------------------------------------------------- panels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Every set as FlashRAG has it: some with dev instead of test, one in Parquet."""
    write_corpus(tmp_path / "root" / "wiki-18.jsonl")
    for i, name in enumerate(SETS):
        for split in ("train", "dev" if i % 2 else "test"):
            rows = [row(k, question=f"{name} {split} {k}?") for k in range(6)]
            if name == "nq":
                write_parquet(tmp_path / "root" / name / f"{split}.parquet", rows)
            else:
                write_rows(tmp_path / "root" / name / f"{split}.jsonl", *rows)
    return tmp_path / "root"


def test_panels_of_the_papers_sets(root: Path, tmp_path: Path) -> None:
    data = real(root, train_sets=SETS[:5], in_domain=("webwalkerqa", "hotpotqa", "2wikimultihopqa"),
                out_of_domain=("musique", "bamboogle"), train=13, test=4)  # fmt: skip
    benchmark, folder = benchmark_of(DeepsearchConfig(), data), tmp_path / "data" / "x"
    panels = benchmark.panels(folder)
    assert {split: len(panel.tasks) for split, panel in panels.items()} == {
        "train": 13, "in_domain": 12, "out_of_domain": 8, "test": 20
    }  # fmt: skip
    assert [task.task_type for task in panels["test"].tasks[:5]] == [
        "webwalkerqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle"
    ]  # fmt: skip
    assert {task.task_type for task in panels["train"].tasks[:5]} == set(SETS[:5])
    for task in (*panels["train"].tasks, *panels["test"].tasks):
        split = "train" if task.split == "train" else ("dev" if SETS.index(task.task_type) % 2 else "test")
        assert benchmark.environment(task, folder).reset().text.startswith(f"{task.task_type} {split}")
    assert data.averages["overall"] == ["webwalkerqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle"]
    everything = benchmark_of(DeepsearchConfig(), real(root, train=0, test=0)).panels(folder)
    assert len(everything["train"].tasks) == len(everything["test"].tasks) == 6


def test_a_changed_question_or_corpus_is_another_panel_and_refused(root: Path, tmp_path: Path) -> None:
    benchmark, folder = benchmark_of(DeepsearchConfig(), real(root, train=0)), tmp_path / "data" / "x"
    before = benchmark.panels(folder)["train"]
    task = before.tasks[0]
    file = root / task.source.rpartition("@")[0]
    whole = file.read_text()
    file.write_text(whole.replace('"answer ', '"anzwer '))
    assert benchmark.panels(folder)["train"].sha256 != before.sha256
    with pytest.raises(DataError, match=r"hotpotqa/train\.jsonl, record \d+.*again"):
        benchmark.environment(task, folder)
    file.write_text(whole[: len(whole) // 2 + 9])
    with pytest.raises(DataError, match=r"hotpotqa/train.jsonl, line \d: not JSON"):
        benchmark.panels(folder)
    file.write_text(whole)
    benchmark.environment(task, folder)
    write_rows(root / "wiki-18.jsonl", {"id": "1", "contents": "another\ncorpus"})
    with pytest.raises(DataError, match="its corpus changed"):
        benchmark.environment(task, folder)
    assert benchmark.panels(folder)["train"].sha256 != before.sha256


def test_missing_data_is_one_line_with_the_remedy(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSEARCH_DATA", raising=False)
    folder = tmp_path / "data" / "x"
    with pytest.raises(DataError, match=r"DEEPSEARCH_DATA.*data\.root"):
        benchmark_of(DeepsearchConfig(), real(root).model_copy(update={"root": None})).panels(folder)
    monkeypatch.setenv("DEEPSEARCH_DATA", str(root))
    assert benchmark_of(DeepsearchConfig(), real(root).model_copy(update={"root": None})).panels(folder)
    with pytest.raises(DataError, match=r"other\.jsonl.*data\.root and data\.corpus"):
        benchmark_of(DeepsearchConfig(), real(root, corpus="other.jsonl")).panels(folder)
    with pytest.raises(DataError, match=r"popq.*train\.jsonl, train\.parquet.*download"):
        benchmark_of(DeepsearchConfig(), real(root, train_sets=("popq",))).panels(folder)


def test_what_is_searched_is_part_of_every_task(root: Path, tmp_path: Path) -> None:
    def panel(retrieval: RetrievalSettings) -> str:
        return (
            benchmark_of(DeepsearchConfig(retrieval=retrieval), real(root))
            .panels(tmp_path / "data" / "x")["test"]
            .sha256
        )

    def remote(url: str, collection: str) -> RetrievalSettings:
        return RetrievalSettings(backend="remote", url=url, collection=collection)

    assert panel(remote("http://a/retrieve", "wiki")) == panel(remote("http://b/retrieve", "wiki"))
    assert panel(remote("http://a/retrieve", "wiki")) != panel(remote("http://a/retrieve", "web"))
    assert panel(remote("http://a/retrieve", "wiki")) != panel(RetrievalSettings())
    assert panel(RetrievalSettings(topk=5)) == panel(RetrievalSettings())  # a setting, in every stage's own identity


def test_the_vocabulary_of_real_data_has_its_words(root: Path, tmp_path: Path) -> None:
    words = set(benchmark_of(DeepsearchConfig(), real(root)).corpus(tmp_path / "data" / "x"))
    assert {" Gomun", " novel", "<search>", "</information>", "hotpotqa train 0?"} <= words
    assert QUESTION["question"] not in words
