"""The policy of a run, with the weights of one artifact at a time."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines import registry
from pipelines.artifacts import Artifact
from pipelines.config.views import PolicyView, UpdateView
from pipelines.protocols import Policy
from pipelines.seeds import derive_seed
from pipelines.stages.reading import read_scored
from pipelines.stages.update import update_policy


@dataclass(frozen=True)
class Update:
    """What an update is made from: its view, the policy before it, and the batch with its advantages."""

    view: UpdateView
    policy: Artifact
    rollout: Artifact
    advantage: Artifact


class LivePolicy:
    """Opened when a stage first needs it, so that a run whose stages are all done costs no model.

    ``initial``: the artifact that the run starts from. Its model is also the frozen reference of the KL loss.
    """

    def __init__(self, view: PolicyView, initial: Artifact) -> None:
        self._view, self._initial = view, initial
        self._policy: Policy | None = None
        self._holds: str | None = None  # fingerprint of the artifact whose weights the policy has
        self._updates: dict[str, Update] = {}  # by the fingerprint of the artifact that each gave

    def at(self, artifact: Artifact) -> Policy:
        """The policy with the artifact's weights: as it is, loaded, or freshly built. A checkpoint whose weights were
        retired is made again, bit for bit, from the last one that is there: updates are cheap beside rollouts, and these are
        kept."""
        replay, policy = list[str](), self._loaded_if_there(artifact)
        while policy is None:
            replay.append(artifact.fingerprint)
            artifact = self._updates[artifact.fingerprint].policy
            policy = self._loaded_if_there(artifact)
        for fingerprint in reversed(replay):
            self._train(policy, self._updates[fingerprint])
            self._holds = fingerprint
        return policy

    def apply(self, update: Update) -> tuple[Policy, dict[str, float]]:
        """Train the policy. Returns it and the metrics; ``remember`` says afterwards which artifact it is now."""
        policy = self.at(update.policy)
        return policy, self._train(policy, update)

    def remember(self, update: Update, updated: Artifact) -> None:
        """``updated`` is what ``update`` gives, whether it was found or made."""
        self._updates[updated.fingerprint] = update
        if self._policy is not None and self._holds is None:
            self._holds = updated.fingerprint

    def measurements(self) -> dict[str, float]:
        """What the policy's engines measured since last asked; nothing where no stage needed it."""
        return self._policy.sampler.measurements() if self._policy is not None else {}

    def close(self) -> None:
        if self._policy is not None:
            self._policy.close()

    def _loaded_if_there(self, artifact: Artifact) -> Policy | None:
        """None: its weights were retired. Another run that shares it may be about to retire them."""
        with artifact.held():
            if self._holds != artifact.fingerprint and self._is_retired(artifact):
                return None
            return self._loaded(artifact)

    def _is_retired(self, artifact: Artifact) -> bool:
        return artifact.fingerprint in self._updates and bool(artifact.lacks())

    def _loaded(self, artifact: Artifact) -> Policy:
        is_initial = artifact.fingerprint == self._initial.fingerprint
        if self._policy is None or (is_initial and self._holds != artifact.fingerprint):
            self.close()
            self._policy = registry.policy_spec(self._view.policy.name).build(self._view, self._initial.tree("model"))
            self._holds = self._initial.fingerprint
        if self._holds != artifact.fingerprint:
            self._holds = None
            self._policy.learner.load(artifact.tree())
            self._holds = artifact.fingerprint
        return self._policy

    def _train(self, policy: Policy, update: Update) -> dict[str, float]:
        scored = read_scored(update.rollout, update.advantage)
        self._holds = None  # A policy that is half updated is no artifact's until it is whole.
        seed = derive_seed(update.view.seed, "update", update.view.iteration)
        return update_policy(policy.learner, scored, update.view.settings, seed=seed)
