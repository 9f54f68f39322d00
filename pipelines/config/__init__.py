"""The configuration of one run: frozen, no unknown keys, every value checked before anything heavy is imported.

Hydra composes ``conf/`` once; ``ExperimentConfig.model_validate`` checks the result; it is written to the run's
``params.yaml`` and everybody reads that. ``ExecutionConfig`` holds what never bears on the numbers (folders, worker
counts, ports): it is no part of any fingerprint.
"""

from pipelines.config.alfworld import (
    AlfworldConfig,
    AlfworldGenerated,
    RealData,
)
from pipelines.config.cluster import ClusterConfig, GpuSettings
from pipelines.config.deepsearch import (
    DeepsearchConfig,
    DeepsearchGenerated,
    DeepsearchReal,
    JudgeSettings,
    QuestionType,
    RetrievalSettings,
    ServerSettings,
)
from pipelines.config.experiment import (
    Benchmarks,
    Data,
    ExecutionConfig,
    ExperimentConfig,
    RunConfig,
)
from pipelines.config.learning import (
    AlgorithmConfig,
    EmpgArm,
    EvaluationConfig,
    LocalPolicyConfig,
    ModelConfig,
    OptimizerSettings,
    RolloutConfig,
    ScriptedPolicyConfig,
    StandIn,
    TrainingConfig,
    UpdateSettings,
    VllmPolicyConfig,
    WarmStartConfig,
)
from pipelines.config.openrlhf import OpenrlhfPolicyConfig
from pipelines.config.section import (
    DataSection,
    FolderData,
    PromptSettings,
    Section,
)
from pipelines.config.webshop import (
    WebshopConfig,
    WebshopGenerated,
    WebshopGoals,
    WebshopPrompt,
    WebshopReal,
)

__all__ = [
    "AlfworldConfig",
    "AlfworldGenerated",
    "AlgorithmConfig",
    "Benchmarks",
    "ClusterConfig",
    "Data",
    "DataSection",
    "DeepsearchConfig",
    "DeepsearchGenerated",
    "DeepsearchReal",
    "EmpgArm",
    "EvaluationConfig",
    "ExecutionConfig",
    "ExperimentConfig",
    "FolderData",
    "GpuSettings",
    "JudgeSettings",
    "LocalPolicyConfig",
    "ModelConfig",
    "OpenrlhfPolicyConfig",
    "OptimizerSettings",
    "PromptSettings",
    "QuestionType",
    "RealData",
    "RetrievalSettings",
    "RolloutConfig",
    "RunConfig",
    "ScriptedPolicyConfig",
    "Section",
    "ServerSettings",
    "StandIn",
    "TrainingConfig",
    "UpdateSettings",
    "VllmPolicyConfig",
    "WarmStartConfig",
    "WebshopConfig",
    "WebshopGenerated",
    "WebshopGoals",
    "WebshopPrompt",
    "WebshopReal",
]
