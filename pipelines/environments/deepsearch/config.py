"""Deep Search."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.sections import (
    BenchmarkSection,
    DataSection,
    FolderData,
    Int,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    PromptSettings,
    Section,
    never_bears,
)

_ADDRESS = re.compile(r"https?://[^\s/?#]+(?:[/?#]\S*)?")
_MOST_PATIENCE_S = 50  # twice that, and a round's other work, is below the environment pool's patience


class ServerSettings(Section):
    """How a server is asked, which is no part of what a run is.

    ``url``: the server's address. ``timeout_s``: seconds from the start of a try to the answer's last byte. ``retries``: further
    tries. ``backoff_s``: seconds before the first further try, twice as long before each next. ``max_bytes``: longest answer."""

    url: str | None = never_bears("where the server is: what it serves has a name of its own", None)
    timeout_s: Positive = 10.0
    retries: Annotated[Int, Field(ge=0, le=10)] = 3
    backoff_s: NonNegative = never_bears("how long is waited before the next try", 0.5)
    max_bytes: PositiveInt = 8_000_000

    @property
    def patience_s(self) -> float:
        """The longest that a request can take."""
        return self.timeout_s * (self.retries + 1) + self.backoff_s * (2.0**self.retries - 1.0)

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is not None and not _ADDRESS.fullmatch(url):
            raise ValueError("a server's address is http://host:port/… or https://…")
        return url

    @model_validator(mode="after")
    def _patient(self) -> ServerSettings:
        if self.patience_s > _MOST_PATIENCE_S:
            raise ValueError(
                f"timeout_s={self.timeout_s:g}, retries={self.retries} and backoff_s={self.backoff_s:g} wait up to "
                f"{self.patience_s:.0f} s, and an environment is given up after 120: at most {_MOST_PATIENCE_S} s together"
            )
        return self


class RetrievalSettings(ServerSettings):
    """What answers searches.

    ``backend``: embedded, the index of this process, or remote, the server at ``url``. ``url``: the server's address,
    ``http://…/retrieve``. ``topk``: results of a search. ``collection``: in words, what the server holds; it is part of what a run
    is. ``form``: the form of a question that the server understands."""

    backend: Literal["embedded", "remote"] = "embedded"
    topk: Annotated[Int, Field(ge=1, le=100)] = 3
    collection: str = ""
    form: Literal["queries", "query"] = never_bears("how the same question is put to the server", "queries")

    @model_validator(mode="after")
    def _named(self) -> RetrievalSettings:
        if self.backend == "remote" and not (self.url and self.collection):
            raise ValueError(
                "backend=remote needs url (http://host:port/retrieve) and collection (in words, what it serves)"
            )
        return self


class JudgeSettings(ServerSettings):
    """An OpenAI-compatible endpoint.

    ``url``: its address, up to and without ``/chat/completions``. ``model``: the judge's name there. ``key_variable``: the
    environment variable that holds the key."""

    model: str = ""
    key_variable: str = never_bears("the name of a variable", "OPENAI_API_KEY")


class AnswerSettings(Section):
    """How answers are compared with golden ones.

    ``normalization``: squad is SQuAD's rule, the papers', to which 3.14 is 314 and -5 is 5; numeric is the same, with numbers
    compared as numbers and parted by what stands between them."""

    normalization: Literal["squad", "numeric"] = "squad"


class DeepsearchConfig(BenchmarkSection):
    """Answer questions with a search engine and a page viewer.

    ``reward``: exact match with any golden answer, or a judge's word where there is none. ``passage_chars``: characters that a
    search shows of each result. ``page_chars``: characters that the viewer shows of a page. ``evaluation_split``: both domains, or
    one of them."""

    name: Literal["deepsearch"] = "deepsearch"
    max_steps: PositiveInt = 15
    prompt: PromptSettings = PromptSettings(show_admissible=False)
    success_reward: Positive = 1.0
    invalid_penalty: NonNegative = 0.01
    reward: Literal["exact_match", "judge"] = "exact_match"
    answers: AnswerSettings = AnswerSettings()
    judge: JudgeSettings = JudgeSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    passage_chars: PositiveInt = 2000
    page_chars: PositiveInt = 8000
    evaluation_split: Literal["test", "in_domain", "out_of_domain"] = "test"

    @property
    def measures(self) -> dict[str, str]:
        return {"success": "exact match" if self.reward == "exact_match" else "judged right", "score": "F1"}

    @model_validator(mode="after")
    def _judged(self) -> DeepsearchConfig:
        if self.reward == "judge" and not (self.judge.url and self.judge.model):
            raise ValueError("reward=judge needs judge.url and judge.model")
        return self

    def check_data(self, data: DataSection) -> None:
        if self.retrieval.backend == "remote" and isinstance(data, DeepsearchGenerated) and data.train_worlds:
            raise ValueError("a retrieval server holds one corpus: set data.train_worlds=0")


QuestionType = Literal[
    "one_hop", "two_hop", "three_hop", "four_hop", "comparison", "bridge_comparison", "inference"
]  # fmt: skip


class DeepsearchGenerated(DataSection):
    """Invented worlds with the same names and other facts.

    ``seed``: of what is drawn. ``train_worlds``: worlds that ask the training questions, beside one that asks the held-out ones; 0:
    that one asks both, with one corpus, as real data does. ``countries``, ``cities``, ``rivers``, ``people``, ``works``: pages of
    this kind in a world. ``pages``: how pages are written. ``facts``: how many a page states, the first ones; 0: all.
    ``in_domain``: types of questions that training and evaluations ask. ``out_of_domain``: types of questions that evaluations
    alone ask. ``train``: training questions, over which the types take turns. ``test``: held-out questions, over which the types
    take turns."""

    source: Literal["deepsearch_generated"] = "deepsearch_generated"
    seed: Int = 0
    train_worlds: NonNegativeInt = 4
    countries: PositiveInt = 12
    cities: PositiveInt = 80
    rivers: PositiveInt = 40
    people: PositiveInt = 400
    works: PositiveInt = 160
    pages: Literal["infobox", "prose"] = "infobox"
    facts: NonNegativeInt = 0
    in_domain: tuple[QuestionType, ...] = ("one_hop", "two_hop", "comparison")
    out_of_domain: tuple[QuestionType, ...] = ("three_hop", "four_hop", "bridge_comparison", "inference")
    train: PositiveInt = 1600
    test: PositiveInt = 210

    @property
    def averages(self) -> dict[str, list[str]]:
        return _domains(self.in_domain, self.out_of_domain)

    @model_validator(mode="after")
    def _worlds_hold_it(self) -> DeepsearchGenerated:
        if self.cities < self.countries:
            raise ValueError(f"cities={self.cities} but countries={self.countries}: each has a capital of its own")
        return self

    def holds(self, split: str) -> int:
        """Of a domain alone: at most so many."""
        return self.test


class DeepsearchReal(FolderData):
    """FlashRAG's ``<set>/{train,dev,test}.{jsonl,parquet}`` and a corpus below one folder.

    ``corpus``: the file of documents. ``train_sets``: sets that the training questions are drawn from, evenly. ``train``: training
    questions in all; 0: every one. ``in_domain``: sets that evaluations ask, of the training's kind. ``out_of_domain``: further
    sets that evaluations ask. ``test``: evaluation questions of each set; 0: all."""

    variable: ClassVar[str] = "DEEPSEARCH_DATA"
    needs: ClassVar[str] = "FlashRAG's question sets and a corpus"
    source: Literal["deepsearch_real"] = "deepsearch_real"
    corpus: str = "wiki-18.jsonl"
    train_sets: tuple[str, ...] = ("webwalkerqa", "hotpotqa", "2wikimultihopqa", "nq", "triviaqa")
    in_domain: tuple[str, ...] = ("webwalkerqa", "hotpotqa", "2wikimultihopqa")
    out_of_domain: tuple[str, ...] = ("musique", "bamboogle")
    train: NonNegativeInt = 17_000
    test: NonNegativeInt = 125

    @property
    def averages(self) -> dict[str, list[str]]:
        return _domains(self.in_domain, self.out_of_domain)


def _domains(in_domain: Sequence[str], out_of_domain: Sequence[str]) -> dict[str, list[str]]:
    """The paper's averages: each set weighs the same, in a domain and over all."""
    both = {"in_domain": list(in_domain), "out_of_domain": list(out_of_domain)}
    return both | {"overall": [*in_domain, *out_of_domain]}
